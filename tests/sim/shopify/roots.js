// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The fields of QueryRoot that are simulated. Any other is refused loudly, so that nobody takes emptiness for an
// answer.
'use strict';

const { rootList, LISTS, testOf } = require('./lists');
const { Pages } = require('./pages');
const { numberOf } = require('./connection');
const { failure } = require('./vendor_errors');

const SINGLE = {
  customer: 'Customer',
  order: 'Order',
  product: 'Product',
  productVariant: 'ProductVariant',
  collection: 'Collection',
  draftOrder: 'DraftOrder',
  inventoryItem: 'InventoryItem',
  abandonedCheckout: 'AbandonedCheckout',
  event: 'BasicEvent',
};
const COUNTS = {
  customersCount: 'customers',
  ordersCount: 'orders',
  productsCount: 'products',
  eventsCount: 'events',
  productVariantsCount: 'productVariants',
  collectionsCount: 'collections',
  draftOrdersCount: 'draftOrders',
  abandonedCheckoutsCount: 'abandonedCheckouts',
  locationsCount: 'locations',
};
const GID = /^gid:\/\/shopify\/(\w+)\/[^/\s]+$/;

/** Refuses what is no gid, or one of another type, as the vendor does. */
function checkId(id, kind) {
  const type = GID.exec(id)?.[1];
  if (!type) throw failure(`Invalid global id '${id}'`, 'argumentLiteralsIncompatible', { typeName: 'CoercionError' });
  if (kind && type !== kind) throw failure(`Invalid id: ${id}`, 'RESOURCE_NOT_FOUND');
  return type;
}

function node(id, ctx) {
  const type = checkId(id);
  if (type === 'BulkOperation') return ctx.sim.bulk.get(id);
  if (type === 'Shop') return shop(ctx);
  if (type === 'InventoryLevel') return inventoryLevel(id, ctx);
  if (type === 'Refund') return ofAnOrder(id, '$refunds', ctx);
  if (type === 'Fulfillment') return ofAnOrder(id, '$fulfillments', ctx);
  return ctx.store.get(id);
}

function ofAnOrder(id, name, ctx) {
  for (const order of ctx.store.table('Order').each()) {
    const found = ctx.store.children(order, name).find((one) => one.id === id);
    if (found) return found;
  }
  return null;
}

function inventoryLevel(id, ctx) {
  const item = /inventory_item_id=(\d+)/.exec(id)?.[1];
  const found = item && ctx.store.get(`gid://shopify/InventoryItem/${item}`);
  return (found && ctx.store.children(found, '$levels').find((one) => one.id === id)) || null;
}

function shop(ctx) {
  const { options, clock } = ctx.sim;
  const address = {
    id: 'gid://shopify/ShopAddress/66000000001',
    address1: 'Storgata 1',
    city: 'Oslo',
    country: 'Norway',
    countryCodeV2: 'NO',
    zip: '0155',
    company: 'Dray Test',
    formatted: ['Storgata 1', '0155 Oslo', 'Norway'],
    coordinatesValidated: true,
  };
  return {
    __typename: 'Shop',
    id: 'gid://shopify/Shop/66000000001',
    name: 'Dray Test Shop ☕',
    email: 'owner@example.com',
    contactEmail: 'help@example.com',
    myshopifyDomain: options.shop,
    currencyCode: 'EUR',
    ianaTimezone: 'Europe/Oslo',
    timezoneAbbreviation: 'CET',
    timezoneOffset: '+0100',
    timezoneOffsetMinutes: 60,
    unitSystem: 'METRIC_SYSTEM',
    weightUnit: 'GRAMS',
    createdAt: '2021-03-04T05:06:07Z',
    updatedAt: ctx.store.seed.ago(86400),
    url: `https://${options.shop}`,
    primaryDomain: {
      id: 'gid://shopify/Domain/1',
      host: options.shop,
      url: `https://${options.shop}`,
      sslEnabled: true,
    },
    plan: { displayName: 'Basic', publicDisplayName: 'Basic', partnerDevelopment: false, shopifyPlus: false },
    shopOwnerName: 'Åse Berg',
    description: null,
    taxesIncluded: true,
    taxShipping: false,
    setupRequired: false,
    enabledPresentmentCurrencies: ['EUR', 'USD'],
    shipsToCountries: ['NO', 'DE', 'US'],
    shopAddress: address,
    billingAddress: address,
    orderNumberFormatPrefix: '#',
    orderNumberFormatSuffix: '',
    $now: clock.iso(),
    $metafields: [],
  };
}

const scope = (handle) => ({ handle, description: handle.replaceAll('_', ' ') });

function installation(ctx) {
  const scopes = [...ctx.token.scopes].sort().map(scope);
  return {
    __typename: 'AppInstallation',
    id: 'gid://shopify/AppInstallation/88000000001',
    accessScopes: scopes,
    launchUrl: 'https://app.example/',
    uninstallUrl: null,
    $metafields: [],
    app: {
      __typename: 'App',
      id: 'gid://shopify/App/77000000001',
      title: 'Dray',
      handle: 'dray',
      apiKey: ctx.sim.options.clientId,
      availableAccessScopes: scopes,
      requestedAccessScopes: scopes,
      optionalAccessScopes: [],
      developerName: 'Dray',
    },
  };
}

function byIdentifier(kind, members) {
  return ({ identifier }, ctx) => {
    const [name, value] = Object.entries(identifier)[0];
    if (name === 'id') {
      checkId(value, kind);
      return ctx.store.get(value);
    }
    if (name === 'customId') return byCustomId(kind, value, ctx);
    const member = members[name];
    if (kind === 'Customer') return ctx.store.customerBy(member, value);
    for (const record of ctx.store.table(kind).each()) if (record[member] === value) return record;
    return null;
  };
}

/** The record whose metafield of type `id` has this value; a top-level NOT_FOUND when there is no such definition. */
function byCustomId(kind, custom, ctx) {
  const ownerType = kind === 'ProductVariant' ? 'PRODUCTVARIANT' : kind.toUpperCase();
  const namespace = custom.namespace ?? 'app--1';
  const definition = ctx.store.definition(ownerType, namespace, custom.key);
  if (!definition || definition.$type.name !== 'id') {
    throw failure(`Metafield definition of type 'id' is required when using custom ids.`, 'NOT_FOUND');
  }
  for (const record of ctx.store.table(kind).each()) {
    const fits = ctx.store
      .children(record, '$metafields')
      .some((one) => one.namespace === namespace && one.key === custom.key && one.value === custom.value);
    if (fits) return record;
  }
  return null;
}

function definitions(args, ctx, field) {
  const list = {
    getters: {
      id: (d) => numberOf(d.id),
      key: (d) => d.key,
      namespace: (d) => d.namespace,
      owner_type: (d) => d.ownerType,
      type: (d) => d.$type.name,
      created_at: () => null,
    },
  };
  const test = testOf(
    list,
    args.query,
    field.args.find((one) => one.name === 'query'),
    ctx,
    [field.name],
  );
  const wanted = [...ctx.store.definitions.values()].filter(
    (one) =>
      one.ownerType === args.ownerType &&
      (!args.namespace || one.namespace === args.namespace) &&
      (!args.key || one.key === args.key) &&
      test(one) &&
      (args.pinnedStatus === 'ANY' || (args.pinnedStatus === 'PINNED') === (one.pinnedPosition !== null)),
  );
  return new Pages(wanted, args, field.name);
}

function bulkOperations(args, ctx, field) {
  const list = {
    getters: {
      id: (b) => numberOf(b.id),
      status: (b) => b.status,
      operation_type: (b) => b.type,
      created_at: (b) => b.createdAt,
    },
  };
  const test = testOf(
    list,
    args.query,
    field.args.find((one) => one.name === 'query'),
    ctx,
    [field.name],
  );
  return new Pages(ctx.sim.bulk.all().filter(test), args, field.name);
}

const ROOTS = {
  shop: (args, ctx) => shop(ctx),
  node: (args, ctx) => node(args.id, ctx),
  nodes: (args, ctx) => args.ids.map((id) => node(id, ctx)),
  location: (args, ctx) =>
    args.id ? (checkId(args.id, 'Location'), ctx.store.get(args.id)) : [...ctx.store.table('Location').each()][0],
  inventoryLevel: (args, ctx) => inventoryLevel(args.id, ctx),
  customerByIdentifier: byIdentifier('Customer', { emailAddress: 'email', phoneNumber: 'phone' }),
  productByIdentifier: byIdentifier('Product', { handle: 'handle' }),
  productByHandle: (args, ctx) =>
    [...ctx.store.table('Product').each()].find((one) => one.handle === args.handle) || null,
  productVariantByIdentifier: byIdentifier('ProductVariant', {}),
  orderByIdentifier: byIdentifier('Order', {}),
  currentAppInstallation: (args, ctx) => installation(ctx),
  appInstallation: (args, ctx) => installation(ctx),
  app: (args, ctx) => installation(ctx).app,
  publicApiVersions: (args, ctx) =>
    ctx.sim.versions.map(({ handle, supported }) => ({ handle, supported, displayName: handle })),
  metafieldDefinitions: definitions,
  metafieldDefinition: (args, ctx) => {
    if (args.identifier)
      return ctx.store.definition(args.identifier.ownerType, args.identifier.namespace, args.identifier.key);
    return ctx.store.definitions.get(args.id) || null;
  },
  bulkOperations,
  bulkOperation: (args, ctx) => (checkId(args.id, 'BulkOperation'), ctx.sim.bulk.get(args.id)),
  currentBulkOperation: (args, ctx) =>
    ctx.sim.bulk
      .all()
      .filter((one) => one.type === args.type)
      .at(-1) || null,
};
for (const [name, kind] of Object.entries(SINGLE)) {
  ROOTS[name] = (args, ctx) => {
    checkId(args.id, kind);
    return ctx.store.get(args.id);
  };
}
for (const name of Object.keys(LISTS)) ROOTS[name] = (args, ctx, field) => rootList(name, args, ctx, field);
for (const [name, list] of Object.entries(COUNTS)) {
  ROOTS[name] = (args, ctx, field) => {
    const count = rootList(list, args, ctx, field).count();
    const limit = args.limit ?? Infinity;
    return count > limit ? { count: limit, precision: 'AT_LEAST' } : { count, precision: 'EXACT' };
  };
}

function rootOf(field, args, ctx) {
  const root = ROOTS[field.name];
  if (!root) throw failure(`the simulator does not serve QueryRoot.${field.name}`, 'INTERNAL_SERVER_ERROR');
  return root(args, ctx, field);
}

module.exports = { rootOf, checkId, byCustomId, shop, ROOTS };
