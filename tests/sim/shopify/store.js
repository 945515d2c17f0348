// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the shop holds now. Up to TABLE_MAX records of a kind live in memory; a larger kind is made record by record
// while it is streamed (bulk operations, look-ups by id), has a first page only, and cannot be changed.
'use strict';

const { Seed, gid } = require('./seed');
const { definitions } = require('./seed_metafields');
const { sorted, PAGE_MAX } = require('./connection');

const TABLE_MAX = 200000;
const KINDS = [
  'Customer',
  'Order',
  'Product',
  'ProductVariant',
  'InventoryItem',
  'Collection',
  'Location',
  'DraftOrder',
  'AbandonedCheckout',
  'BasicEvent',
];
const SUBJECTS = {
  Customer: 'CUSTOMER',
  Order: 'ORDER',
  Product: 'PRODUCT',
  ProductVariant: 'PRODUCT_VARIANT',
  Collection: 'COLLECTION',
  DraftOrder: 'DRAFT_ORDER',
};

class Table {
  constructor(kind, seed) {
    this.kind = kind;
    this.seed = seed;
    this.count = seed.counts[kind];
    this.giant = this.count > TABLE_MAX;
    this.version = 0;
    this.views = new Map();
    this.memory = null;
  }

  get rows() {
    if (this.giant) throw new Error(`${this.count} ${this.kind} records can only be streamed (bulk) or read by id`);
    if (!this.memory) {
      this.memory = new Map();
      for (let i = 0; i < this.count; i++) {
        const record = this.seed[this.kind](i);
        this.memory.set(record.id, record);
      }
    }
    return this.memory;
  }

  get(id) {
    if (!this.giant) return this.rows.get(id) || null;
    const at = this.seed.indexOf(this.kind, id);
    return at < 0 ? null : this.seed[this.kind](at);
  }

  /** A record to look at only: as long as nothing of this kind was paged or changed, it is made and let go. */
  peek(id) {
    if (this.memory) return this.rows.get(id) || null;
    const at = this.seed.indexOf(this.kind, id);
    return at < 0 ? null : this.seed[this.kind](at);
  }

  /** All records, to look at only, in flat memory where that can be. */
  *stream() {
    if (this.memory) yield* this.memory.values();
    else for (let i = 0; i < this.count; i++) yield this.seed[this.kind](i);
  }

  *each() {
    if (!this.giant) yield* this.rows.values();
    else for (let i = 0; i < this.count; i++) yield this.seed[this.kind](i);
  }

  /** All records sorted by a key, kept until something changes. */
  view(by) {
    let view = this.views.get(by.name);
    if (!view || view.version !== this.version) {
      view = { version: this.version, rows: sorted([...this.rows.values()], by) };
      this.views.set(by.name, view);
    }
    return view.rows;
  }

  /** The same of a kind too large to be held: no more than its first page needs. */
  head(by, name, test) {
    const { last } = this;
    if (name !== null && last && last.by === by.name && last.name === name) return last.rows;
    let rows = [];
    const trim = () => sorted(rows, by).slice(0, PAGE_MAX + 1);
    for (const record of this.stream()) {
      if (test(record)) rows.push(record);
      if (rows.length > 20 * PAGE_MAX) rows = trim().map((row) => row.record);
    }
    rows = trim();
    this.last = { by: by.name, name, version: this.version, rows };
    return rows;
  }

  /** The rows of a view that pass a test. The last is kept, since a client asks for it page by page. */
  filtered(by, name, test) {
    const { last, version } = this;
    if (name !== null && last && last.by === by.name && last.name === name && last.version === version)
      return last.rows;
    const rows = this.view(by).filter((row) => test(row.record));
    if (name !== null) this.last = { by: by.name, name, version, rows };
    return rows;
  }
}

class Store {
  constructor(options, clock) {
    this.clock = clock;
    this.seed = new Seed(options, clock);
    this.tables = Object.fromEntries(KINDS.map((kind) => [kind, new Table(kind, this.seed)]));
    this.definitions = new Map(definitions().map((one) => [one.id, one]));
    this.next = 9100000000001;
    this.emails = null;
  }

  newId(type) {
    this.next += 4;
    return gid(type, this.next);
  }

  table(kind) {
    return this.tables[kind];
  }

  get(id) {
    const kind = /^gid:\/\/shopify\/(\w+)\//.exec(id || '')?.[1];
    if (kind === 'MetafieldDefinition') return this.definitions.get(id) || null;
    return this.tables[kind] ? this.tables[kind].get(id) : null;
  }

  peek(id) {
    const kind = /^gid:\/\/shopify\/(\w+)\//.exec(id || '')?.[1];
    return this.tables[kind] ? this.tables[kind].peek(id) : null;
  }

  /** Members of a record that are made from its index when first asked for. `name` is one of the makers below. */
  children(record, name) {
    if (record[name] === undefined || record[name] === null) record[name] = MAKERS[name](this.seed, record, this);
    return record[name];
  }

  /** The customer with this value of email or phone, or null. The index is made at the first use and kept. */
  customerBy(member, value) {
    if (!this.emails) {
      this.emails = { email: new Map(), phone: new Map() };
      for (const record of this.tables.Customer.rows.values()) this.index(record);
    }
    const id = this.emails[member].get(member === 'email' ? value.toLowerCase() : value);
    return id ? this.tables.Customer.get(id) : null;
  }

  index(record) {
    if (record.email) this.emails.email.set(record.email.toLowerCase(), record.id);
    if (record.phone) this.emails.phone.set(record.phone, record.id);
  }

  unindex(record) {
    if (!this.emails) return;
    if (record.email) this.emails.email.delete(record.email.toLowerCase());
    if (record.phone) this.emails.phone.delete(record.phone);
  }

  insert(record) {
    const table = this.tables[record.__typename];
    table.rows.set(record.id, record);
    table.version += 1;
    if (record.__typename === 'Customer' && this.emails) this.index(record);
    return record;
  }

  /** Sets members of a record. `touch` false leaves updatedAt as it is. */
  update(record, members, touch = true) {
    if (record.__typename === 'Customer') this.unindex(record);
    Object.assign(record, members);
    if (touch) record.updatedAt = this.clock.iso();
    if (record.__typename === 'Customer' && this.emails) this.index(record);
    this.tables[record.__typename].version += 1;
  }

  remove(record) {
    if (record.__typename === 'Product') this.variantsOf(record).forEach((one) => this.remove(one));
    if (record.__typename === 'ProductVariant') {
      this.tables.InventoryItem.rows.delete(record.$item);
      this.tables.InventoryItem.version += 1;
    }
    const table = this.tables[record.__typename];
    if (record.__typename === 'Customer') this.unindex(record);
    table.rows.delete(record.id);
    table.version += 1;
    const subjectType = SUBJECTS[record.__typename];
    if (!subjectType) return;
    this.insert({
      __typename: 'BasicEvent',
      id: this.newId('BasicEvent'),
      subjectType,
      action: 'destroy',
      subjectId: record.id,
      createdAt: this.clock.iso(),
      $message: 'It was deleted.',
    });
  }

  ordersOf(customer) {
    if (this.tables.Order.giant) return this.seed.ordersOf(customer.$i).map((at) => this.seed.Order(at));
    const view = this.tables.Order.view({ name: 'CUSTOMER', of: (order) => order.$customer });
    if (view.byCustomer === undefined) {
      view.byCustomer = new Map();
      for (const { record } of view) {
        if (!view.byCustomer.has(record.$customer)) view.byCustomer.set(record.$customer, []);
        view.byCustomer.get(record.$customer).push(record);
      }
    }
    return view.byCustomer.get(customer.id) || [];
  }

  variantsOf(product) {
    if (product.$variants) return product.$variants.map((id) => this.get(id)).filter(Boolean);
    const { seed } = this;
    const list = [];
    for (let at = seed.variantsBefore(product.$i); at < seed.variantsBefore(product.$i + 1); at++) {
      const record = this.get(seed.id('ProductVariant', at));
      if (record) list.push(record);
    }
    return list;
  }

  /** The totals of an order in cents. */
  total(order) {
    if (order.$total === undefined) {
      const lines = this.children(order, '$lines');
      order.$total = this.seed.sumOf(order, lines) + (order.$shippingCents || 0);
    }
    return order.$total;
  }

  definition(ownerType, namespace, key) {
    for (const one of this.definitions.values()) {
      if (one.ownerType === ownerType && one.namespace === namespace && one.key === key) return one;
    }
    return null;
  }
}

const MAKERS = {
  $lines: (seed, record) => seed.lines(record),
  $transactions: (seed, record, store) => seed.transactions(record, store.total(record)),
  $refunds: (seed, record, store) => seed.refunds(record, store.children(record, '$lines'), store.total(record)),
  $fulfillments: (seed, record, store) => seed.fulfillments(record, store.children(record, '$lines')),
  $shippingLines: (seed, record) => seed.shippingLines(record),
  $addresses: (seed, record) => seed.addressesOf(record),
  $metafields: (seed, record) => seed.metafieldsOf(record),
  $levels: (seed, record) => (record.$i === undefined ? [] : seed.levels(record.id, record.$i)),
};

module.exports = { Store, TABLE_MAX, SUBJECTS };
