// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// All parts of the simulated shop, and the test side under /_sim/, which is never part of the vendor's API.
'use strict';

const { Access } = require('./access');
const { Api } = require('./api');
const { Bulk, xml } = require('./bulk');
const { Bucket, Pricing } = require('./cost');
const { Calls, Port } = require('./wire');
const { Clock } = require('./clock');
const { Faults } = require('./faults');
const { Ledger } = require('./ledger');
const { Staged } = require('./staged');
const { Store } = require('./store');
const { load } = require('./schema');
const { parse } = require('./options');

const ADMIN_BODY_MAX = 10 * 1024 * 1024;
const STORAGE_BODY_MAX = 110 * 1024 * 1024;
const VERSION = '2026-10';
// Quarterly versions live a year; what is older falls forward to the oldest that is supported.
const VERSIONS = ['2026-01', '2026-04', '2026-07', '2026-10']
  .map((handle) => ({ handle, supported: true }))
  .concat([
    { handle: '2027-01', supported: false },
    { handle: 'unstable', supported: false },
  ]);

const STATUS_BODIES = {
  401: { errors: '[API] Invalid API key or access token (unrecognized login or wrong password)' },
  402: { errors: 'Unavailable Shop' },
  403: { errors: '[API] This action requires merchant approval.' },
  404: { errors: 'Not Found' },
  423: { errors: 'This shop is unavailable' },
  429: { errors: 'Exceeded rate limit. Reduce request rates to resume uninterrupted service.' },
  430: 'Security Rejection',
  500: { errors: 'Internal Server Error' },
  502: '<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>',
  503: '<!DOCTYPE html><html><body><h1>Service unavailable</h1></body></html>',
  504: '<!DOCTYPE html><html><body><h1>Gateway timeout</h1></body></html>',
};

class Simulator {
  constructor(options) {
    const { schema, access } = load(VERSION);
    Object.assign(this, { schema, scopeMap: access, versions: VERSIONS, calls: new Calls() });
    this.vendorStatus = (status) => STATUS_BODIES[status] ?? { errors: `HTTP ${status}` };
    this.begin(options);
    this.admin = new Port(this, 'admin', {
      handle: (request) => this.api.handle(request),
      bodyMax: ADMIN_BODY_MAX,
      template: (request) => this.api.template(request),
    });
    this.storagePort = new Port(this, 'storage', {
      handle: (request) => this.storage(request),
      bodyMax: STORAGE_BODY_MAX,
      template: (request) => (request.method === 'GET' ? '/bulk-operation-outputs/{file}' : '/shopify-staged-uploads'),
    });
  }

  /** Everything anew: another shop, another clock, no faults. The ports and what clients hold open stay. */
  begin(options) {
    if (this.bulk) this.bulk.end();
    this.options = options;
    this.clock = new Clock(options.now);
    this.faults = new Faults(this.clock);
    this.ledger = new Ledger(options.ledger, options.ledgerBrief);
    this.calls.reset();
    this.access = new Access(this, this.scopeMap);
    this.store = new Store(options, this.clock);
    this.pricing = new Pricing(this.schema, options.cost, options.maxCost);
    this.bucket = new Bucket(this.clock, options.bucket, options.restoreRate);
    this.bulk = new Bulk(this);
    this.staged = new Staged(this);
    this.api = new Api(this);
    this.leaks = 0; // requests to the storage host that carried a token
  }

  async listen() {
    await this.admin.listen(this.options.port);
    await this.storagePort.listen(this.options.storagePort);
    return {
      port: this.admin.number,
      storage_port: this.storagePort.number,
      shop: this.options.shop,
      version: VERSION,
    };
  }

  /** The version that answers: the asked one, the oldest supported for an older one, null for one that never was. */
  versionOf(asked) {
    if (VERSIONS.some((one) => one.handle === asked)) return asked;
    return /^20\d\d-(01|04|07|10)$/.test(asked) && asked < VERSIONS[0].handle ? VERSIONS[0].handle : null;
  }

  /** A defect of the simulator itself: seen by tests in /_sim/calls and on stderr. */
  defect(error) {
    this.calls.defects.push(String(error.stack || error));
    process.stderr.write(`defect: ${error.stack || error}\n`);
  }

  storage(request) {
    if (request.headers['x-shopify-access-token'] || request.headers.authorization) {
      this.leaks += 1;
      return xml(
        400,
        'InvalidArgument',
        'Only one auth mechanism allowed; the request carries a token that is not for this host.',
      );
    }
    const output = /^\/bulk-operation-outputs\/(\d+)\.jsonl$/.exec(request.path);
    if (request.method === 'GET' && output) return this.bulk.download(output[1], request);
    if (request.method === 'POST' && request.path === '/shopify-staged-uploads') return this.staged.upload(request);
    return xml(404, 'NoSuchKey', 'There is nothing here.');
  }

  // ---- the test side ----

  async side(request) {
    const name = request.path.slice('/_sim/'.length);
    const body = () => JSON.parse(request.raw.toString('utf8') || '{}');
    const handlers = {
      'GET state': () => this.state(request.query),
      'GET calls': () => this.calls.shown(),
      'DELETE calls': () => (this.calls.reset(), {}),
      'GET clock': () => ({ now: this.clock.iso() }),
      'POST clock': () => (this.clock.advance(body().advance_s), { now: this.clock.iso() }),
      'GET faults': () => ({ faults: this.faults.list }),
      'DELETE faults': () => (this.faults.clear(), { faults: [] }),
      'POST faults': () => this.orderFaults(body()),
      'POST change': () => this.change(body()),
      'POST access': () => this.access.order(body()),
      'POST bulk': () => ({ held: this.bulk.hold(body()) }),
      'POST reset': () => (this.begin(parse(body().arguments || [])), {}),
    };
    if (request.method === 'GET' && name === 'ledger') {
      return { status: 200, body: this.ledger.text(), headers: { 'Content-Type': 'application/x-ndjson' } };
    }
    const handler = handlers[`${request.method} ${name}`];
    if (!handler) return { status: 404, body: { error: `no such thing: ${request.method} ${request.path}` } };
    try {
      return { status: 200, body: handler() };
    } catch (error) {
      return { status: 400, body: { error: error.message } };
    }
  }

  orderFaults(order) {
    const { faults, clear } = Array.isArray(order) ? { faults: order } : order;
    if (clear) this.faults.clear();
    this.faults.add(faults || []);
    return { faults: this.faults.list };
  }

  /** ?kind=Customer: the records of a kind; without: how many there are of each, and what else there is. */
  state(query) {
    const kind = query.get('kind');
    if (kind) {
      const table = this.store.table(kind);
      if (!table) throw new Error(`no such kind: ${kind}`);
      const records = query.get('id') ? [table.get(query.get('id'))].filter(Boolean) : [...table.rows.values()];
      return { records: records.map((record) => this.record(record)) };
    }
    return {
      counts: Object.fromEntries(
        Object.entries(this.store.tables).map(([name, table]) => [name, table.giant ? table.count : table.rows.size]),
      ),
      bucket: {
        ...this.bucket.status(),
        spent: this.bucket.spent,
        throttled: this.bucket.throttled,
        lowest: Math.floor(this.bucket.lowest),
      },
      access: this.access.shown(),
      token_leaks: this.leaks,
      now: this.clock.iso(),
      bulk: this.bulk
        .all()
        .map(({ id, type, status, objectCount, fileSize, url }) => ({ id, type, status, objectCount, fileSize, url })),
    };
  }

  /** A record as tests see it: with its children, which have no `$`. */
  record(record) {
    const { store } = this;
    const shown = {};
    for (const [name, value] of Object.entries(record)) if (!name.startsWith('$')) shown[name] = value;
    const open = (one) => Object.fromEntries(Object.entries(one).filter(([key]) => !key.startsWith('$')));
    const child = (name) => store.children(record, name).map(open);
    const withLines = (name) =>
      store.children(record, name).map((one) => ({
        ...open(one),
        lineItems: one.$lines.map((line) => ({ ...open(line), lineItem: line.$line.id })),
      }));
    if (record.__typename === 'Customer') {
      Object.assign(shown, {
        addresses: child('$addresses'),
        emailMarketing: record.$email,
        smsMarketing: record.$sms,
      });
      shown.orders = store.ordersOf(record).map((one) => one.id);
    }
    if (record.__typename === 'Order')
      Object.assign(shown, {
        customer: record.$customer,
        lineItems: child('$lines'),
        refunds: withLines('$refunds'),
        fulfillments: withLines('$fulfillments'),
        total: store.total(record) / 100,
      });
    if (['DraftOrder', 'AbandonedCheckout'].includes(record.__typename)) shown.lineItems = child('$lines');
    if (record.__typename === 'Product') shown.variants = store.variantsOf(record).map((one) => one.id);
    if (['Customer', 'Order', 'Product', 'ProductVariant'].includes(record.__typename))
      shown.metafields = child('$metafields');
    return shown;
  }

  /**
   * Records made, changed and deleted as by the shop's own users. {create: [{__typename, ...}], update: [{id, set,
   * at}], delete: [id], metafields: [{id, namespace, key, type, value}], define: [{ownerType, namespace, key,
   * type}] of a type that is defined already, undefine: [{ownerType, namespace, key}], vanish: [bulk gid]}.
   */
  change({ create = [], update = [], delete: gone = [], metafields = [], define = [], undefine = [], vanish = [] }) {
    const made = create.map((order) => this.create(order));
    for (const { id, set = {}, at } of update) {
      const record = this.found(id);
      this.store.update(record, set);
      if (at) record.updatedAt = at;
    }
    for (const id of gone) this.store.remove(this.found(id));
    for (const { id, namespace, key, type, value } of metafields) {
      const list = this.store.children(this.found(id), '$metafields');
      const known = list.find((one) => one.namespace === namespace && one.key === key);
      const now = this.clock.iso();
      if (known) Object.assign(known, { type: type || known.type, value, updatedAt: now });
      else
        list.push({
          __typename: 'Metafield',
          id: this.store.newId('Metafield'),
          namespace,
          key,
          type,
          value,
          createdAt: now,
          updatedAt: now,
          $owner: id,
        });
    }
    for (const order of define) this.define(order);
    for (const { ownerType, namespace, key } of undefine) {
      const definition = this.store.definition(ownerType, namespace, key);
      if (!definition) throw new Error(`no definition ${ownerType} ${namespace}.${key}`);
      this.store.definitions.delete(definition.id);
    }
    for (const id of vanish) this.bulk.operations.get(id).vanished = true;
    return { created: made.map((record) => record.id) };
  }

  define({ ownerType, namespace, key, type }) {
    const { definitions } = this.store;
    const like = [...definitions.values()].find((one) => one.$type.name === type);
    if (!like) throw new Error(`no definition has the type ${type}`);
    if (this.store.definition(ownerType, namespace, key)) throw new Error(`${namespace}.${key} is defined`);
    const id = this.store.newId('MetafieldDefinition');
    const own = { ownerType, namespace, key, name: key, description: null, pinnedPosition: null, validations: [] };
    definitions.set(id, { ...like, ...own, id });
  }

  found(id) {
    const record = this.store.get(id);
    if (!record) throw new Error(`no record ${id}`);
    return record;
  }

  create(order) {
    const now = this.clock.iso();
    if (order.__typename === 'Customer') {
      return this.store.insert({
        firstName: null,
        lastName: null,
        email: null,
        phone: null,
        note: null,
        locale: 'en',
        state: 'DISABLED',
        verifiedEmail: true,
        taxExempt: false,
        taxExemptions: [],
        tags: [],
        createdAt: now,
        updatedAt: now,
        $addresses: [],
        $metafields: [],
        $email: { state: 'NOT_SUBSCRIBED', level: null, at: null },
        $sms: { state: 'NOT_SUBSCRIBED', level: null, at: null },
        id: this.store.newId('Customer'),
        ...order,
      });
    }
    if (order.__typename === 'Order') {
      const template = this.store.seed.Order(0);
      return this.store.insert({
        ...template,
        $i: undefined,
        createdAt: now,
        processedAt: now,
        updatedAt: now,
        $customer: null,
        $lines: [],
        $metafields: [],
        id: this.store.newId('Order'),
        ...order,
      });
    }
    throw new Error(`create takes Customer and Order, not ${order.__typename}`);
  }
}

module.exports = { Simulator };
