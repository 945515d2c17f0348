// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the shop holds at the start: each record is made from its index alone. Members with a `$` are the simulator's
// own and no field of the schema; children (lines, addresses, metafields, ...) are made when first asked for.
'use strict';

const { hash, pick } = require('./random');
const { iso } = require('./clock');
const metafields = require('./seed_metafields');

const DAY = 86400;
const SPREAD_DAYS = 400;
const FIRST = [
  'Ann',
  'José',
  '山田',
  'Олена',
  'Zoë',
  'Łukasz',
  'محمد',
  'Bo',
  'Siobhán',
  'दीपा',
  'Nguyễn',
  'Ilse',
  'Θάλεια',
  '민준',
  'Fatma',
];
const LAST = [
  'Lee',
  "O'Brien",
  '太郎',
  'Шевченко',
  'Müller-Łoś',
  'de la Cruz',
  'العلي',
  'Berg',
  'Þórsson',
  'Sharma',
  'Văn',
  'Smith',
  '김',
  'Öztürk',
];
const PLACES = [
  ['Oslo', 'Norway', 'NO', null, null, '0150'],
  ['Ottawa', 'Canada', 'CA', 'Ontario', 'ON', 'K1A 0B1'],
  ['San José', 'United States', 'US', 'California', 'CA', '95113'],
  ['Kyiv', 'Ukraine', 'UA', null, null, '01001'],
  ['大阪市', 'Japan', 'JP', 'Ōsaka', 'JP-27', '530-0001'],
  ['Köln', 'Germany', 'DE', null, null, '50667'],
  ['São Paulo', 'Brazil', 'BR', 'São Paulo', 'SP', '01310-100'],
];
const TAGS = ['vip', 'newsletter', 'wholesale', 'Café', 'b2b', 'churn-risk', 'été 2026', '🎁'];
const NOTES = [null, null, 'Calls before noon', 'Likes 🎁 and "quotes", back\\slash', 'two\nlines\tand a tab', ''];
const STATES = ['SUBSCRIBED', 'NOT_SUBSCRIBED', 'UNSUBSCRIBED', 'PENDING', 'INVALID'];
const GOODS = [
  'Tea cup',
  'Röstkaffee',
  'Wool socks',
  '抹茶',
  'Notebook',
  'Lamp “Lumen”',
  'Bike bell',
  'Apron',
  'Sæson Ale',
];
const COLOURS = ['Red', 'Blue', 'Vert'];

const gid = (type, number) => `gid://shopify/${type}/${number}`;
const cents = (value) => (value / 100).toFixed(2);

const BASES = {
  Customer: [7201000000000, 37],
  Order: [5400100000000, 41],
  Product: [8100200000000, 53],
  ProductVariant: [4400300000000, 29],
  InventoryItem: [4500400000000, 29],
  Collection: [3010500000000, 101],
  Location: [6500060000000, 11],
  DraftOrder: [1020700000000, 17],
  AbandonedCheckout: [3340800000000, 19],
  BasicEvent: [9990900000000, 3],
};
// Children: parent index x places + place.
const CHILD = {
  LineItem: 1390000000000,
  OrderTransaction: 6600000000000,
  Refund: 8800000000000,
  Fulfillment: 4900000000000,
  ShippingLine: 4100000000000,
  MailingAddress: 2900000000000,
  RefundLineItem: 3700000000000,
  FulfillmentLineItem: 5300000000000,
  DraftOrderLineItem: 5700000000000,
  AbandonedCheckoutLineItem: 5900000000000,
};

class Seed {
  constructor(options, clock) {
    this.options = options;
    this.seed = options.seed;
    this.start = Math.floor(clock.base / 1000);
    const { products } = options;
    this.counts = {
      Customer: options.customers,
      Order: options.orders,
      Product: products,
      ProductVariant: this.variantsBefore(products),
      InventoryItem: this.variantsBefore(products),
      Collection: Math.min(8, products),
      Location: 4,
      DraftOrder: options.drafts,
      AbandonedCheckout: options.checkouts,
      BasicEvent: Math.min(40, products + options.orders),
    };
    // Orders belong to customers by a permutation, so that each side finds the other without an index.
    this.stride = 7919;
    while (options.customers > 1 && gcd(this.stride, options.customers) !== 1) this.stride += 2;
  }

  h(what, index) {
    return hash(this.seed, what, index);
  }

  id(type, index) {
    const [base, step] = BASES[type];
    return gid(type, base + index * step);
  }

  /** The index of a seeded record, or -1. */
  indexOf(type, id) {
    const [base, step] = BASES[type];
    const at = (Number(/\/(\d+)$/.exec(id)?.[1] ?? NaN) - base) / step;
    return Number.isInteger(at) && at >= 0 && at < this.counts[type] ? at : -1;
  }

  ago(seconds) {
    return iso((this.start - seconds) * 1000);
  }

  // ---- customers ----

  Customer(i) {
    const count = this.counts.Customer;
    const h = this.h('customer', i);
    const group = this.h('customer-time', Math.floor(i / 7));
    const block = Math.floor(count * 0.3);
    const imported = i >= block && i < block + Math.min(300, count >> 2);
    const updated = imported ? 45 * DAY : 60 + (group % (SPREAD_DAYS * DAY));
    const first = h % 19 === 0 ? null : pick(FIRST, h >>> 3);
    const last = h % 23 === 0 ? null : pick(LAST, h >>> 7);
    const email = this.emailOf(i, h);
    const phone = h % 3 === 0 || email === null ? `+4740${String(100000 + i).padStart(6, '0')}` : null;
    const state = pick(STATES, h >>> 11);
    return {
      __typename: 'Customer',
      id: this.id('Customer', i),
      $i: i,
      firstName: first,
      lastName: last,
      email,
      phone,
      note: pick(NOTES, h >>> 5),
      locale: pick(['en', 'nb', 'ja', 'pt-BR', 'de'], h >>> 9),
      state: pick(['DISABLED', 'ENABLED', 'INVITED'], h >>> 4),
      verifiedEmail: email !== null && h % 5 !== 0,
      taxExempt: h % 17 === 0,
      taxExemptions: h % 17 === 0 ? ['EU_REVERSE_CHARGE_EXEMPTION_RULE'] : [],
      tags: TAGS.filter((_, at) => ((h >>> (at + 2)) & 7) === 0).sort(),
      createdAt: this.ago(updated + (h % (200 * DAY))),
      updatedAt: this.ago(updated),
      $email: {
        state,
        level: state === 'SUBSCRIBED' || state === 'PENDING' ? 'SINGLE_OPT_IN' : null,
        at: state === 'NOT_SUBSCRIBED' ? null : this.ago(updated + 7200),
      },
      $sms: {
        state: h % 2 ? 'NOT_SUBSCRIBED' : 'SUBSCRIBED',
        level: 'SINGLE_OPT_IN',
        at: h % 2 ? null : this.ago(updated + 9000),
      },
    };
  }

  emailOf(i, h = this.h('customer', i)) {
    return h % 13 === 0 && h % 29 !== 0 ? null : `customer.${i}${h % 31 === 0 ? '+shop' : ''}@example.com`;
  }

  customerOf(order) {
    const { Customer, Order } = this.counts;
    if (!Customer || this.h('guest', order) % 11 === 0) return -1;
    return (Math.floor((order * Customer) / Order) * this.stride) % Customer;
  }

  /** The indexes of a customer's orders. */
  ordersOf(customer) {
    const { Customer, Order } = this.counts;
    if (!Order) return [];
    if (!this.inverse) this.inverse = inverse(this.stride, Customer);
    const slot = Number((BigInt(customer) * BigInt(this.inverse)) % BigInt(Customer));
    const found = [];
    for (
      let at = Math.ceil((slot * Order) / Customer);
      at < Order && Math.floor((at * Customer) / Order) === slot;
      at++
    ) {
      if (this.customerOf(at) === customer) found.push(at);
    }
    return found;
  }

  address(kind, number, h, firstName, lastName) {
    const [city, country, countryCode, province, provinceCode, zip] = pick(PLACES, h);
    return {
      __typename: 'MailingAddress',
      id: `${gid('MailingAddress', CHILD.MailingAddress + number)}?model_name=${kind}`,
      address1: `${1 + (h % 199)} Main/Side Street`,
      address2: h % 4 ? null : 'c/o Åse',
      city,
      country,
      province,
      provinceCode,
      zip,
      countryCode,
      countryCodeV2: countryCode,
      company: h % 5 ? null : 'Acme & Sons',
      firstName,
      lastName,
      phone: h % 3 ? null : '+4722000000',
      latitude: 40 + (h % 2000) / 100,
      longitude: -70 + (h % 9000) / 100,
      coordinatesValidated: h % 2 === 0,
    };
  }

  // ---- products ----

  /** How many variants the first products have: 1, 2, 3, 1, 2, 3, ... */
  variantsBefore(product) {
    return Math.floor(product / 3) * 6 + [0, 1, 3][product % 3];
  }

  productOf(variant) {
    const rest = variant % 6;
    return Math.floor(variant / 6) * 3 + (rest === 0 ? 0 : rest < 3 ? 1 : 2);
  }

  price(variant) {
    return 500 + (this.h('price', variant) % 20000);
  }

  titleOf(i, h = this.h('product', i)) {
    return `${pick(GOODS, h >>> 3)} ${i + 1}`;
  }

  Product(i) {
    const h = this.h('product', i);
    const updated = 90 + (this.h('product-time', Math.floor(i / 4)) % (SPREAD_DAYS * DAY));
    const title = this.titleOf(i, h);
    return {
      __typename: 'Product',
      id: this.id('Product', i),
      $i: i,
      title,
      handle: `product-${i + 1}`,
      descriptionHtml: h % 4 ? `<p>${title} – made <em>well</em></p>` : '',
      productType: pick(['Kitchen', 'Wear', ''], h >>> 5),
      vendor: pick(['Northwind', 'Çelik', 'Acme'], h >>> 7),
      status: pick(['ACTIVE', 'ACTIVE', 'DRAFT', 'ARCHIVED'], h >>> 9),
      tags: h % 3 ? ['sale'] : [],
      createdAt: this.ago(updated + (h % (300 * DAY))),
      updatedAt: this.ago(updated),
      publishedAt: h % 5 ? this.ago(updated + 100) : null,
      isGiftCard: false,
      totalInventory: h % 90,
      seo: { title: null, description: null },
    };
  }

  ProductVariant(i) {
    const h = this.h('variant', i);
    const product = this.productOf(i);
    const place = i - this.variantsBefore(product);
    const only = product % 3 === 0;
    const title = only ? 'Default Title' : pick(COLOURS, place);
    return {
      __typename: 'ProductVariant',
      id: this.id('ProductVariant', i),
      $i: i,
      $product: this.id('Product', product),
      $item: this.id('InventoryItem', i),
      title,
      displayName: `${this.Product(product).title} - ${title}`,
      sku: h % 9 ? `SKU-${i + 1}` : null,
      barcode: h % 4 ? null : String(4000000000000 + i),
      price: cents(this.price(i)),
      compareAtPrice: h % 3 ? null : cents(this.price(i) + 500),
      position: place + 1,
      taxable: true,
      availableForSale: h % 8 > 0,
      inventoryPolicy: 'DENY',
      inventoryQuantity: h % 60,
      sellableOnlineQuantity: h % 60,
      $options: [[only ? 'Title' : 'Colour', title]],
      createdAt: this.ago(SPREAD_DAYS * DAY),
      updatedAt: this.ago(120 + (this.h('variant-time', Math.floor(i / 5)) % (SPREAD_DAYS * DAY))),
    };
  }

  InventoryItem(i) {
    const h = this.h('item', i);
    return {
      __typename: 'InventoryItem',
      id: this.id('InventoryItem', i),
      $i: i,
      $variant: this.id('ProductVariant', i),
      sku: this.h('variant', i) % 9 ? `SKU-${i + 1}` : null,
      tracked: h % 7 > 0,
      requiresShipping: true,
      countryCodeOfOrigin: h % 2 ? 'NO' : null,
      provinceCodeOfOrigin: null,
      harmonizedSystemCode: h % 3 ? null : '691110',
      $cost: h % 2 ? cents(this.price(i) / 2) : null,
      createdAt: this.ago(SPREAD_DAYS * DAY),
      updatedAt: this.ago(130 + (this.h('item-time', Math.floor(i / 3)) % (SPREAD_DAYS * DAY))),
    };
  }

  /** Levels of an item at the first two locations (one of which is not active). */
  levels(item, at) {
    return [0, 2].map((location) => {
      const h = this.h('level', at * 4 + location);
      const number = BASES.InventoryItem[0] + at * BASES.InventoryItem[1];
      return {
        __typename: 'InventoryLevel',
        id: `gid://shopify/InventoryLevel/${53570000000 + location}?inventory_item_id=${number}`,
        $item: item,
        $location: this.id('Location', location),
        isActive: true,
        canDeactivate: true,
        deactivationAlert: null,
        $quantities: { available: h % 60, on_hand: (h % 60) + 3, committed: 3, incoming: 0, reserved: 0 },
        createdAt: this.ago(SPREAD_DAYS * DAY),
        updatedAt: this.ago(300 + (h % (SPREAD_DAYS * DAY))),
      };
    });
  }

  Collection(i) {
    const h = this.h('collection', i);
    return {
      __typename: 'Collection',
      id: this.id('Collection', i),
      $i: i,
      title: `${pick(GOODS, i)}s & more`,
      handle: `collection-${i}`,
      descriptionHtml: '<b>All</b>',
      sortOrder: pick(['BEST_SELLING', 'MANUAL'], h),
      templateSuffix: null,
      $products: Array.from({ length: this.counts.Product }, (_, at) => at)
        .filter((at) => at % this.counts.Collection === i)
        .map((at) => this.id('Product', at)),
      updatedAt: this.ago(200 + (h % (SPREAD_DAYS * DAY))),
    };
  }

  Location(i) {
    return {
      __typename: 'Location',
      id: this.id('Location', i),
      $i: i,
      name: ['Main', 'Old depot', 'Lager Nord', '東京店'][i],
      isActive: i !== 1,
      $legacy: false,
      isPrimary: i === 0,
      shipsInventory: true,
      fulfillsOnlineOrders: i < 3,
      hasActiveInventory: i % 2 === 0,
      deactivatedAt: i === 1 ? this.ago(30 * DAY) : null,
      $address: this.address('Location', 900000 + i, this.h('location', i), null, null),
      createdAt: this.ago(SPREAD_DAYS * DAY),
      updatedAt: this.ago((10 + i) * DAY),
    };
  }

  DraftOrder(i) {
    const h = this.h('draft', i);
    const updated = 400 + (this.h('draft-time', i >> 1) % (100 * DAY));
    return {
      __typename: 'DraftOrder',
      id: this.id('DraftOrder', i),
      $i: i,
      name: `#D${i + 1}`,
      note2: pick(NOTES, h),
      $lines: null,
      $customer: this.counts.Customer && h % 3 ? this.id('Customer', h % this.counts.Customer) : null,
      email: h % 3 ? `draft.${i}@example.com` : null,
      status: pick(['OPEN', 'INVOICE_SENT', 'COMPLETED'], h >>> 3),
      tags: h % 2 ? ['phone order'] : [],
      taxExempt: false,
      createdAt: this.ago(updated + 5000),
      updatedAt: this.ago(updated),
    };
  }

  AbandonedCheckout(i) {
    const h = this.h('checkout', i);
    const updated = 500 + (this.h('checkout-time', i >> 1) % (80 * DAY));
    return {
      __typename: 'AbandonedCheckout',
      id: this.id('AbandonedCheckout', i),
      $i: i,
      name: `#C${i + 1}`,
      note: pick(NOTES, h) || '',
      $customer: this.counts.Customer && h % 4 ? this.id('Customer', h % this.counts.Customer) : null,
      abandonedCheckoutUrl: `https://${this.options.shop}/checkouts/ac/${h.toString(16)}/recover`,
      completedAt: h % 5 ? null : this.ago(updated),
      createdAt: this.ago(updated + 900),
      updatedAt: this.ago(updated),
      $lines: null,
    };
  }

  /** Things that were deleted before the test began, one of them more than a year ago. */
  BasicEvent(i) {
    const kinds = [
      ['PRODUCT', 'destroy', 'Product', 8100100000000],
      ['ORDER', 'destroy', 'Order', 5400000000000],
      ['CUSTOMER', 'destroy', 'Customer', 7200900000000],
      ['PRODUCT', 'create', 'Product', null],
      ['COLLECTION', 'destroy', 'Collection', 3010400000000],
      ['PRODUCT_VARIANT', 'destroy', 'ProductVariant', 4400200000000],
    ];
    const [subjectType, action, type, base] = kinds[i % kinds.length];
    const subjectId = base === null ? this.id('Product', i % Math.max(1, this.counts.Product)) : gid(type, base + i);
    const at = i === 0 ? 380 * DAY : (this.counts.BasicEvent - Math.floor(i / 2)) * 3 * DAY;
    return {
      __typename: 'BasicEvent',
      id: this.id('BasicEvent', i),
      $i: i,
      subjectType,
      action,
      subjectId,
      createdAt: this.ago(at),
      $message: `The ${subjectType.toLowerCase()} was ${action === 'create' ? 'created' : 'deleted'}.`,
    };
  }

  metafieldsOf(record) {
    return metafields.seeded(this, record);
  }
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}

function inverse(a, modulus) {
  let [r0, r1, s0, s1] = [BigInt(modulus), BigInt(a) % BigInt(modulus), 0n, 1n];
  while (r1 > 0n) {
    const q = r0 / r1;
    [r0, r1] = [r1, r0 - q * r1];
    [s0, s1] = [s1, s0 - q * s1];
  }
  const m = BigInt(modulus);
  return ((s0 % m) + m) % m;
}

module.exports = { Seed, BASES, CHILD, DAY, gid, cents };
require('./seed_orders'); // adds the orders to Seed
