// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The lists at the root of the schema: which table, what it can be filtered by, what hides records from an app.
'use strict';

const { compile } = require('./search');
const { filtersOf } = require('./schema');
const { numberOf } = require('./connection');
const { Pages, TablePages } = require('./pages');

const DAY_MS = 86400000;

const tags = (record) => record.tags;
const common = {
  id: (record) => numberOf(record.id),
  created_at: (record) => record.createdAt,
  updated_at: (record) => record.updatedAt,
  title: (record) => record.title,
  handle: (record) => record.handle,
  tag: tags,
  status: (record) => record.status,
  name: (record) => record.name,
  email: (record) => record.email,
  sku: (record) => record.sku,
  vendor: (record) => record.vendor,
  customer_id: (record) => numberOf(record.$customer),
  product_type: (record) => record.productType,
  published_at: (record) => record.publishedAt,
  barcode: (record) => record.barcode,
};

// `hide`: what an app without more scopes, or nobody, gets to see.
const LISTS = {
  customers: {
    kind: 'Customer',
    wholeDays: true,
    getters: {
      ...common,
      first_name: (record) => record.firstName,
      last_name: (record) => record.lastName,
      phone: (record) => record.phone,
      state: (record) => record.state,
      customer_date: (record) => record.createdAt,
      accepts_marketing: (record) => record.$email && record.$email.state === 'SUBSCRIBED',
    },
  },
  orders: {
    kind: 'Order',
    getters: {
      ...common,
      processed_at: (record) => record.processedAt,
      test: (record) => record.test,
      financial_status: (record) => record.displayFinancialStatus,
      source_name: (record) => record.sourceName,
      fulfillment_status: (record) => record.displayFulfillmentStatus,
      status: (record) => (record.cancelledAt ? 'cancelled' : record.closed ? 'closed' : 'open'),
    },
    hide: (ctx) => {
      if (ctx.token.scopes.has('read_all_orders')) return null;
      const since = new Date(ctx.sim.clock.now() - 60 * DAY_MS).toISOString();
      return (record) => record.createdAt >= since;
    },
  },
  products: { kind: 'Product', getters: common },
  productVariants: {
    kind: 'ProductVariant',
    getters: { ...common, product_id: (record) => numberOf(record.$product) },
  },
  collections: { kind: 'Collection', getters: common },
  inventoryItems: { kind: 'InventoryItem', getters: common },
  draftOrders: { kind: 'DraftOrder', getters: common },
  abandonedCheckouts: { kind: 'AbandonedCheckout', getters: common },
  locations: {
    kind: 'Location',
    getters: { ...common, active: (record) => record.isActive },
    hide: (ctx, args) => (args.includeInactive ? null : (record) => record.isActive),
  },
  events: {
    kind: 'BasicEvent',
    getters: {
      ...common,
      action: (record) => record.action,
      subject_type: (record) => record.subjectType,
      comments: () => true,
    },
    hide: (ctx) => {
      const since = new Date(ctx.sim.clock.now() - 365 * DAY_MS).toISOString();
      return (record) => record.createdAt >= since;
    },
  },
};

const free = (record) =>
  [record.email, record.firstName, record.lastName, record.title, record.name, record.sku].filter(Boolean).join(' ');

const always = () => true;

/** A test of records for the text of a `query` argument; warnings go to the answer's extensions.search. */
function testOf(list, text, argument, ctx, path) {
  if (!text) return always;
  const warnings = [];
  const test = compile(
    text,
    { filters: filtersOf(argument), getters: list.getters, now: ctx.sim.clock.now(), wholeDays: list.wholeDays, free },
    warnings,
  );
  if (warnings.length && ctx.search) ctx.search.push({ path, query: text, warnings });
  return test;
}

/** The records of a root list, as pages. `name` is the field or the stem of its count (`customersCount`). */
function rootList(name, args, ctx, field) {
  const list = LISTS[name];
  const argument = field.args.find((one) => one.name === 'query');
  const wanted = testOf(list, args.query, argument, ctx, [field.name]);
  const hidden = list.hide ? list.hide(ctx, args) : null;
  const test = hidden ? (record) => hidden(record) && wanted(record) : wanted;
  const steady = !hidden && !/\bnow\b/.test(args.query || '');
  return new TablePages(ctx.store.table(list.kind), test, args, field.name, steady ? args.query || '' : null);
}

/** Children of a record that take a `query` argument: orders of a customer, events of an order. */
function childList(name, records, args, ctx, field) {
  const list = LISTS[name];
  const argument = field.args.find((one) => one.name === 'query');
  const hidden = (list.hide && list.hide(ctx, args)) || always;
  const test = argument ? testOf(list, args.query, argument, ctx, [field.name]) : always;
  return new Pages(
    records.filter((record) => hidden(record) && test(record)),
    { sortKey: 'ID', ...args },
    field.name,
  );
}

module.exports = { LISTS, rootList, childList, testOf };
