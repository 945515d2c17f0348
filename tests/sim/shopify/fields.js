// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// How each object gives its fields. A field that has no entry here is a member of the record by that name; a field of
// the schema that the simulator holds nothing for is answered as by a shop that does not use it (schema's nullability
// decides: see blank()).
'use strict';

const crypto = require('crypto');
const { getNullableType, isEnumType, isListType, isNonNullType, isScalarType } = require('graphql');
const { Pages } = require('./pages');
const { numberOf } = require('./connection');
const { childList } = require('./lists');
const { failure } = require('./vendor_errors');
const { cents } = require('./seed');

const CURRENCY = 'EUR';
const OTHER_RATE = 1.0875;

const money = (amount, currencyCode = CURRENCY) => ({ amount, currencyCode });
const bag = (value, record) => ({
  shopMoney: money(cents(value)),
  presentmentMoney:
    record && record.presentmentCurrencyCode && record.presentmentCurrencyCode !== CURRENCY
      ? money(cents(Math.round(value * OTHER_RATE)), record.presentmentCurrencyCode)
      : money(cents(value)),
});
const stripped = (html) => html.replace(/<[^>]*>/g, '');
const byId = (member) => (record, args, ctx) => ctx.store.peek(record[member]);
const total = (record, ctx) => ctx.store.total(record);
const lines = (record, ctx) => ctx.store.children(record, '$lines');
const lineSum = (line) => line.$unit * line.quantity;
const legacyId = (record) => String(numberOf(record.id));
const children = (name) => (record, args, ctx, field) => new Pages(ctx.store.children(record, name), args, field.name);
const some = (name) => (record, args, ctx) => ctx.store.children(record, name).slice(0, args.first ?? undefined);
const refunded = (order, ctx) => ctx.store.children(order, '$refunds').reduce((sum, one) => sum + one.$cents, 0);
const orderBag = (of) => (order, args, ctx) => bag(of(order, ctx), order);
const lineBag = (of) => (line) => bag(of(line), line);
const zero = (record) => bag(0, record);

function metafield(record, args, ctx) {
  return (
    ctx.store
      .children(record, '$metafields')
      .find((one) => one.namespace === (args.namespace ?? 'app--1') && one.key === args.key) || null
  );
}

function metafields(record, args, ctx, field) {
  const wanted = args.keys && new Set(args.keys);
  const list = ctx.store
    .children(record, '$metafields')
    .filter(
      (one) =>
        (!args.namespace || one.namespace === args.namespace) && (!wanted || wanted.has(`${one.namespace}.${one.key}`)),
    );
  return new Pages(list, args, field.name);
}

function events(record, args, ctx, field) {
  const table = ctx.store.table('BasicEvent');
  return childList(
    'events',
    [...table.each()].filter((one) => one.subjectId === record.id),
    args,
    ctx,
    field,
  );
}

const owner = { metafield, metafields, events, legacyResourceId: legacyId };

// The newer consent objects have another word for it.
const consentState = (state) => (state === 'NOT_SUBSCRIBED' ? 'NEVER_SUBSCRIBED' : state);

const email = (customer, ctx) =>
  customer.email
    ? {
        emailAddress: customer.email,
        marketingState: customer.$email.state,
        marketingOptInLevel: customer.$email.level,
        marketingUpdatedAt: customer.$email.at,
        validFormat: true,
        openTrackingLevel: 'UNKNOWN',
        sourceLocation: null,
        marketingUnsubscribeUrl: `https://${ctx.sim.options.shop}/account/unsubscribe/${numberOf(customer.id)}`,
        openTrackingUrl: `https://${ctx.sim.options.shop}/tools/emails/open/${numberOf(customer.id)}`,
      }
    : null;

const FIELDS = {
  Customer: {
    ...owner,
    displayName: (c) => [c.firstName, c.lastName].filter(Boolean).join(' ') || c.email || c.phone || '',
    defaultEmailAddress: (c, args, ctx) => email(c, ctx),
    defaultPhoneNumber: (c) =>
      c.phone
        ? {
            phoneNumber: c.phone,
            marketingState: c.$sms.state,
            marketingOptInLevel: c.$sms.level,
            marketingUpdatedAt: c.$sms.at,
            marketingCollectedFrom: 'OTHER',
            smsMarketingConsent: {
              state: consentState(c.$sms.state),
              optInLevel: c.$sms.level,
              updatedAt: c.$sms.at,
              collectedFrom: 'OTHER',
            },
            whatsAppMarketingConsent: { state: 'NEVER_SUBSCRIBED', optInLevel: null, updatedAt: null },
          }
        : null,
    emailMarketingConsent: (c) =>
      c.email
        ? {
            marketingState: c.$email.state,
            marketingOptInLevel: c.$email.level,
            consentUpdatedAt: c.$email.at,
            sourceLocation: null,
          }
        : null,
    smsMarketingConsent: (c) =>
      c.phone
        ? {
            marketingState: c.$sms.state,
            marketingOptInLevel: c.$sms.level,
            consentUpdatedAt: c.$sms.at,
            consentCollectedFrom: 'OTHER',
          }
        : null,
    addresses: some('$addresses'),
    addressesV2: children('$addresses'),
    defaultAddress: (c, args, ctx) => ctx.store.children(c, '$addresses')[0] || null,
    numberOfOrders: (c, args, ctx) => String(ctx.store.ordersOf(c).length),
    amountSpent: (c, args, ctx) =>
      money(cents(ctx.store.ordersOf(c).reduce((sum, order) => sum + total(order, ctx), 0))),
    orders: (c, args, ctx, field) => childList('orders', ctx.store.ordersOf(c), args, ctx, field),
    lastOrder: (c, args, ctx) => ctx.store.ordersOf(c).at(-1) || null,
    canDelete: (c, args, ctx) => ctx.store.ordersOf(c).length === 0,
    validEmailAddress: (c) => Boolean(c.email),
    lifetimeDuration: () => 'about 1 year',
    mergeable: () => ({ isMergeable: true, errorFields: [], reason: null, mergeInProgress: null }),
    image: () => ({ url: 'https://cdn.example/avatar.png' }),
  },
  MailingAddress: {
    name: (a) => [a.firstName, a.lastName].filter(Boolean).join(' ') || null,
    formatted: (a) =>
      [a.company, a.address1, a.address2, [a.zip, a.city].filter(Boolean).join(' '), a.country].filter(Boolean),
    formattedArea: (a) => [a.city, a.country].filter(Boolean).join(', '),
  },
  Order: {
    ...owner,
    customer: byId('$customer'),
    lineItems: children('$lines'),
    transactions: some('$transactions'),
    refunds: some('$refunds'),
    fulfillments: some('$fulfillments'),
    shippingLines: children('$shippingLines'),
    shippingLine: (o, args, ctx) => ctx.store.children(o, '$shippingLines')[0] || null,
    shippingAddress: (o, args, ctx) => o.$shipping ?? ctx.store.seed.orderAddress(o, 0),
    billingAddress: (o, args, ctx) => ctx.store.seed.orderAddress(o, 1),
    displayAddress: (o, args, ctx) => o.$shipping ?? ctx.store.seed.orderAddress(o, 0),
    subtotalLineItemsQuantity: (o, args, ctx) => lines(o, ctx).reduce((sum, line) => sum + line.quantity, 0),
    currentSubtotalLineItemsQuantity: (o, args, ctx) => lines(o, ctx).reduce((sum, line) => sum + line.quantity, 0),
    totalPriceSet: orderBag(total),
    currentTotalPriceSet: orderBag((o, ctx) => total(o, ctx) - refunded(o, ctx)),
    originalTotalPriceSet: orderBag(total),
    totalPrice: (o, args, ctx) => cents(total(o, ctx)),
    subtotalPriceSet: orderBag((o, ctx) => total(o, ctx) - (o.$shippingCents || 0)),
    currentSubtotalPriceSet: orderBag((o, ctx) => total(o, ctx) - (o.$shippingCents || 0) - refunded(o, ctx)),
    totalShippingPriceSet: (o) => bag(o.$shippingCents || 0, o),
    currentShippingPriceSet: (o) => bag(o.$shippingCents || 0, o),
    totalTaxSet: orderBag((o, ctx) => Math.round(total(o, ctx) / 5)),
    totalRefundedSet: orderBag(refunded),
    currentTotalTaxSet: orderBag((o, ctx) => Math.round(total(o, ctx) / 5)),
    totalReceivedSet: orderBag((o, ctx) => (o.displayFinancialStatus === 'PENDING' ? 0 : total(o, ctx))),
    netPaymentSet: orderBag((o, ctx) => total(o, ctx) - refunded(o, ctx)),
    totalOutstandingSet: orderBag((o, ctx) => (o.displayFinancialStatus === 'PENDING' ? total(o, ctx) : 0)),
    totalDiscountsSet: zero,
    currentTotalDiscountsSet: zero,
    unpaid: (o) => o.displayFinancialStatus === 'PENDING',
    fullyPaid: (o) => o.displayFinancialStatus !== 'PENDING',
    paymentGatewayNames: () => ['shopify_payments'],
    customerLocale: () => 'en',
    confirmationNumber: (o) => `C${numberOf(o.id).toString(36).toUpperCase()}`,
    statusPageUrl: (o, args, ctx) => `https://${ctx.sim.options.shop}/orders/${numberOf(o.id)}/authenticate`,
  },
  OrderTransaction: {
    amountSet: (t) => bag(t.$cents),
    order: byId('$order'),
    parentTransaction: (t) => t.$parent || null,
    totalUnsettledSet: zero,
    fees: () => [],
    receiptJson: () => null,
    accountNumber: () => null,
  },
  Refund: {
    order: byId('$order'),
    totalRefundedSet: (r) => bag(r.$cents),
    legacyResourceId: legacyId,
    refundLineItems: (r, args, ctx, field) => new Pages(r.$lines, args, field.name),
    transactions: (r, args, ctx, field) =>
      new Pages(
        ctx.store.children(ctx.store.get(r.$order), '$transactions').filter((one) => one.kind === 'REFUND'),
        args,
        field.name,
      ),
  },
  RefundLineItem: {
    lineItem: (r) => r.$line,
    subtotalSet: (r) => bag(r.$cents),
    priceSet: (r) => bag(r.$cents),
    totalTaxSet: zero,
    location: () => null,
  },
  Fulfillment: {
    order: byId('$order'),
    location: byId('$location'),
    legacyResourceId: legacyId,
    trackingInfo: (f, args) => f.$tracking.slice(0, args.first ?? undefined),
    fulfillmentLineItems: (f, args, ctx, field) => new Pages(f.$lines, args, field.name),
  },
  FulfillmentLineItem: {
    lineItem: (f) => f.$line,
    originalTotalSet: (f) => bag(lineSum(f.$line)),
    discountedTotalSet: (f) => bag(lineSum(f.$line)),
  },
  ShippingLine: {
    originalPriceSet: (s) => bag(s.$cents),
    discountedPriceSet: (s) => bag(s.$cents),
    currentDiscountedPriceSet: (s) => bag(s.$cents),
  },
  Product: {
    ...owner,
    variants: (p, args, ctx, field) => new Pages(ctx.store.variantsOf(p), { sortKey: 'POSITION', ...args }, field.name),
    variantsCount: (p, args, ctx) => ({ count: ctx.store.variantsOf(p).length, precision: 'EXACT' }),
    description: (p) => stripped(p.descriptionHtml),
    tracksInventory: () => true,
    bodyHtml: (p) => p.descriptionHtml,
    hasOnlyDefaultVariant: (p, args, ctx) => ctx.store.variantsOf(p).length === 1,
    collections: (p, args, ctx, field) =>
      new Pages(
        [...ctx.store.table('Collection').each()].filter((one) => one.$products.includes(p.id)),
        args,
        field.name,
      ),
    options: (p, args, ctx) => optionsOf(p, ctx),
    priceRangeV2: (p, args, ctx) => {
      const prices = ctx.store
        .variantsOf(p)
        .map((one) => Number(one.price))
        .sort((a, b) => a - b);
      return {
        minVariantPrice: money((prices[0] ?? 0).toFixed(2)),
        maxVariantPrice: money((prices.at(-1) ?? 0).toFixed(2)),
      };
    },
    onlineStoreUrl: (p, args, ctx) => (p.publishedAt ? `https://${ctx.sim.options.shop}/products/${p.handle}` : null),
  },
  ProductVariant: {
    ...owner,
    product: byId('$product'),
    inventoryItem: byId('$item'),
    selectedOptions: (v) => v.$options.map(([name, value]) => ({ name, value, optionValue: { name: value } })),
  },
  InventoryItem: {
    legacyResourceId: legacyId,
    variant: byId('$variant'),
    inventoryLevels: children('$levels'),
    variants: (item, args, ctx, field) => new Pages([ctx.store.get(item.$variant)].filter(Boolean), args, field.name),
    inventoryLevel: (item, args, ctx) =>
      ctx.store.children(item, '$levels').find((one) => one.$location === args.locationId) || null,
    unitCost: (item) => (item.$cost ? money(item.$cost) : null),
    locationsCount: (item, args, ctx) => ({ count: ctx.store.children(item, '$levels').length, precision: 'EXACT' }),
    measurement: (item) => ({
      id: item.id.replace('/InventoryItem/', '/InventoryItemMeasurement/'),
      weight: { unit: 'GRAMS', value: 120.5 },
    }),
  },
  InventoryLevel: {
    item: byId('$item'),
    location: byId('$location'),
    quantities: (level, args) =>
      args.names
        .filter((name) => name in level.$quantities)
        .map((name) => ({
          id: `gid://shopify/InventoryQuantity/${numberOf(level.id)}?name=${name}`,
          name,
          quantity: level.$quantities[name],
          updatedAt: level.updatedAt,
        })),
  },
  Collection: {
    ...owner,
    description: (c) => stripped(c.descriptionHtml),
    seo: () => ({ title: null, description: null }),
    products: (c, args, ctx, field) =>
      new Pages(c.$products.map((id) => ctx.store.get(id)).filter(Boolean), args, field.name),
    productsCount: (c) => ({ count: c.$products.length, precision: 'EXACT' }),
    hasProduct: (c, args) => c.$products.includes(args.id),
  },
  Location: {
    ...owner,
    address: (l) => ({ ...l.$address, formatted: FIELDS.MailingAddress.formatted(l.$address) }),
    inventoryLevels: (l, args, ctx, field) =>
      new Pages(
        [...ctx.store.table('InventoryItem').each()]
          .flatMap((item) => ctx.store.children(item, '$levels'))
          .filter((level) => level.$location === l.id),
        args,
        field.name,
      ),
  },
  DraftOrder: {
    ...owner,
    customer: byId('$customer'),
    lineItems: children('$lines'),
    currencyCode: () => CURRENCY,
    presentmentCurrencyCode: () => CURRENCY,
    totalPriceSet: orderBag(total),
    subtotalPriceSet: orderBag(total),
    totalLineItemsPriceSet: orderBag(total),
    lineItemsSubtotalPrice: orderBag(total),
    amountDueNowSet: orderBag(total),
    totalQuantityOfLineItems: (d, args, ctx) => lines(d, ctx).reduce((sum, line) => sum + line.quantity, 0),
    invoiceUrl: (d, args, ctx) => `https://${ctx.sim.options.shop}/invoices/${numberOf(d.id)}`,
    order: () => null,
    ready: () => true,
    visibleToCustomer: () => false,
    invoiceEmailTemplateSubject: () => 'Invoice',
  },
  AbandonedCheckout: {
    customer: byId('$customer'),
    lineItems: children('$lines'),
    totalPriceSet: orderBag(total),
    subtotalPriceSet: orderBag(total),
    totalLineItemsPriceSet: orderBag(total),
    lineItemsQuantity: (c, args, ctx) => lines(c, ctx).reduce((sum, line) => sum + line.quantity, 0),
  },
  BasicEvent: {
    message: (e) => e.$message,
    subject: (e, args, ctx) => ctx.store.get(e.subjectId),
    attributeToApp: () => false,
    attributeToUser: () => true,
    criticalAlert: () => false,
    author: () => 'Shop Owner',
    hasAdditionalContent: () => false,
  },
  Metafield: {
    legacyResourceId: legacyId,
    owner: byId('$owner'),
    jsonValue: (m) => jsonOf(m),
    compareDigest: (m) => digest(m),
    sizeInBytes: (m) => Buffer.byteLength(m.value),
    ownerType: (m) => ownerTypeOf(m.$owner),
    definition: (m, args, ctx) => ctx.store.definition(ownerTypeOf(m.$owner), m.namespace, m.key),
    reference: (m, args, ctx) => (/(?<!list\.)\w+_reference$/.test(m.type) ? ctx.store.get(m.value) : null),
  },
  MetafieldDefinition: {
    type: (d) => d.$type,
    access: () => ({ admin: 'PUBLIC_READ_WRITE', storefront: 'NONE', customerAccount: 'NONE' }),
    metafieldsCount: () => 0,
    capabilities: () => ({
      adminFilterable: {},
      analyticsQueryable: {},
      cartToOrderCopyable: {},
      smartCollectionCondition: {},
      uniqueValues: {},
    }),
  },
};

const engraving = (line) => (line.custom ? [{ key: 'engraving', value: 'Für Åse 🎂' }] : []);
const productLine = { product: byId('$product'), variant: byId('$variant') };
Object.assign(FIELDS, {
  LineItem: {
    ...productLine,
    currentQuantity: (l) => l.quantity,
    unfulfilledQuantity: () => 0,
    refundableQuantity: (l) => l.quantity,
    nonFulfillableQuantity: () => 0,
    originalUnitPriceSet: lineBag((l) => l.$unit),
    discountedUnitPriceSet: lineBag((l) => l.$unit),
    discountedUnitPriceAfterAllDiscountsSet: lineBag((l) => l.$unit),
    priceAfterAllDiscountsBeforeTaxesSet: lineBag(lineSum),
    originalTotalSet: lineBag(lineSum),
    discountedTotalSet: lineBag(lineSum),
    totalDiscountSet: zero,
    originalUnitPrice: (l) => cents(l.$unit),
    fulfillmentStatus: () => 'fulfilled',
    customAttributes: () => [],
    taxLines: () => [],
  },
  DraftOrderLineItem: {
    ...productLine,
    originalUnitPriceSet: lineBag((l) => l.$unit),
    discountedUnitPriceSet: lineBag((l) => l.$unit),
    approximateDiscountedUnitPriceSet: lineBag((l) => Math.round((lineSum(l) - l.$discount) / l.quantity)),
    originalTotalSet: lineBag(lineSum),
    discountedTotalSet: lineBag((l) => lineSum(l) - l.$discount),
    totalDiscountSet: lineBag((l) => l.$discount),
    appliedDiscount: (l) =>
      l.$discount
        ? {
            title: 'Regular / Stammkunde',
            description: 'for a regular',
            value: l.$discount / 100,
            valueType: 'FIXED_AMOUNT',
            amountSet: bag(l.$discount),
          }
        : null,
    weight: (l) => (l.custom ? null : { unit: 'GRAMS', value: 120.5 }),
    customAttributes: engraving,
    components: (l) => (l.quantity === 2 ? [{ ...l, id: `${l.id}0`, title: 'Box', quantity: 2 }] : []),
  },
  AbandonedCheckoutLineItem: {
    ...productLine,
    originalUnitPriceSet: lineBag((l) => l.$unit),
    discountedUnitPriceSet: lineBag((l) => l.$unit),
    originalTotalPriceSet: lineBag(lineSum),
    discountedTotalPriceSet: lineBag(lineSum),
    discountedUnitPriceWithCodeDiscount: lineBag((l) => l.$unit),
    discountedTotalPriceWithCodeDiscount: lineBag(lineSum),
    customAttributes: engraving,
    components: (l) => (l.quantity === 2 ? [{ ...l, id: `${l.id}0`, title: 'Box', quantity: 2 }] : null),
  },
});

const OWNER_TYPES = { ProductVariant: 'PRODUCTVARIANT', DraftOrder: 'DRAFTORDER' };

function ownerTypeOf(id) {
  const kind = /^gid:\/\/shopify\/(\w+)\//.exec(id)[1];
  return OWNER_TYPES[kind] || kind.toUpperCase();
}

const digest = (field) => crypto.createHash('sha256').update(`${field.type}:${field.value}`).digest('hex');

function jsonOf(field) {
  if (/^(list\..*|json|money|rating|dimension|weight|volume|number_integer|number_decimal|boolean)$/.test(field.type)) {
    try {
      return JSON.parse(field.value);
    } catch {
      /* a value that is no JSON is given as the text it is */
    }
  }
  return field.value;
}

function optionsOf(product, ctx) {
  const values = new Map();
  for (const variant of ctx.store.variantsOf(product)) {
    for (const [name, value] of variant.$options) values.set(name, [...new Set([...(values.get(name) || []), value])]);
  }
  return [...values].map(([name, list], at) => ({
    id: `gid://shopify/ProductOption/${numberOf(product.id) + at}`,
    name,
    position: at + 1,
    values: list,
    optionValues: list.map((one, place) => ({
      id: `gid://shopify/ProductOptionValue/${numberOf(product.id) + place}`,
      name: one,
      hasVariants: true,
    })),
  }));
}

// What a field says that the simulator holds nothing for, when the schema does not let it be null.
const BLANKS = {
  Boolean: false,
  Int: 0,
  Float: 0,
  String: '',
  ID: 'gid://shopify/Unknown/1',
  Decimal: '0.0',
  Money: '0.00',
  UnsignedInt64: '0',
  URL: 'https://sim.example/',
  JSON: {},
  HTML: '',
  FormattedString: '',
  StorefrontID: '0',
  ARN: '',
  BigInt: '0',
  Color: '#000000',
  Date: '2026-01-01',
  UtcOffset: '+00:00',
};
const ENUM_BLANKS = { CurrencyCode: CURRENCY, CountryCode: 'NO', OrderReturnStatus: 'NO_RETURN', WeightUnit: 'GRAMS' };

function blank(type, source, ctx) {
  if (!isNonNullType(type)) return null;
  const inner = getNullableType(type);
  if (isListType(inner)) return [];
  if (inner.name === 'DateTime') return source.updatedAt || source.createdAt || ctx.sim.clock.iso();
  if (isScalarType(inner)) return BLANKS[inner.name] ?? '';
  if (isEnumType(inner)) return ENUM_BLANKS[inner.name] ?? inner.getValues()[0].name;
  if (/Connection$/.test(inner.name)) return new Pages([], { first: 1 }, inner.name);
  if (!inner.getInterfaces || inner.getTypes)
    throw failure(`the simulator holds no ${inner.name}`, 'INTERNAL_SERVER_ERROR');
  return {};
}

/** The value of a field of an object, before it is completed. Connections are Pages. */
function valueOf(typeName, field, source, args, ctx) {
  const own = FIELDS[typeName] && FIELDS[typeName][field.name];
  if (own) return own(source, args, ctx, field);
  const value = source[field.name];
  return value === undefined ? blank(field.type, source, ctx) : value;
}

module.exports = { valueOf, bag, digest, ownerTypeOf, FIELDS, CURRENCY };
