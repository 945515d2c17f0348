// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Definitions of custom fields, of every type that plugins must tell apart, and values for seeded records. One field
// of each kind of owner has no definition: those exist too.
'use strict';

const OWNERS = { CUSTOMER: 'Customer', ORDER: 'Order', PRODUCT: 'Product', PRODUCTVARIANT: 'ProductVariant' };

// [owner, key, type, category, name, validations, value(h, seed)]
const DEFINITIONS = [
  [
    'CUSTOMER',
    'loyalty_points',
    'number_integer',
    'NUMBER',
    'Loyalty points',
    [['min', 'number_integer', '0']],
    (h) => String(h % 5000),
  ],
  ['CUSTOMER', 'score', 'number_decimal', 'NUMBER', 'Score', [], (h) => ((h % 1000) / 10).toFixed(1)],
  ['CUSTOMER', 'vip', 'boolean', 'TRUE_FALSE', 'VIP', [], (h) => String(h % 2 === 0)],
  ['CUSTOMER', 'birthday', 'date', 'DATE_TIME', 'Birthday', [], (h) => `19${50 + (h % 50)}-0${1 + (h % 9)}-1${h % 10}`],
  [
    'CUSTOMER',
    'last_seen',
    'date_time',
    'DATE_TIME',
    'Last seen',
    [],
    (h) => `2026-0${1 + (h % 9)}-1${h % 10}T08:3${h % 10}:00Z`,
  ],
  [
    'CUSTOMER',
    'nickname',
    'single_line_text_field',
    'TEXT',
    'Nickname',
    [['max', 'number_integer', '40']],
    (h) => `Nick/${h % 100} 🎈`,
  ],
  ['CUSTOMER', 'bio', 'multi_line_text_field', 'TEXT', 'Bio', [], (h) => `line 1\nline ${h % 9}`],
  [
    'CUSTOMER',
    'preferences',
    'json',
    'CUSTOM',
    'Preferences',
    [],
    (h) => JSON.stringify({ size: h % 50, likes: ['tea', 'été'] }),
  ],
  [
    'CUSTOMER',
    'credit',
    'money',
    'COST',
    'Credit',
    [],
    (h) => JSON.stringify({ amount: ((h % 9000) / 100).toFixed(2), currency_code: 'EUR' }),
  ],
  [
    'CUSTOMER',
    'mood',
    'rating',
    'CUSTOM',
    'Mood',
    [
      ['scale_min', 'rating', '1.0'],
      ['scale_max', 'rating', '5.0'],
    ],
    (h) => JSON.stringify({ value: `${1 + (h % 5)}.0`, scale_min: '1.0', scale_max: '5.0' }),
  ],
  [
    'CUSTOMER',
    'interests',
    'list.single_line_text_field',
    'TEXT',
    'Interests',
    [],
    (h) => JSON.stringify(['a/b', `i${h % 7}`]),
  ],
  [
    'CUSTOMER',
    'favourite',
    'product_reference',
    'REFERENCE',
    'Favourite',
    [],
    (h, seed) => (seed.counts.Product ? seed.id('Product', h % seed.counts.Product) : 'gid://shopify/Product/1'),
  ],
  ['CUSTOMER', 'erp_id', 'id', 'CUSTOM', 'ERP id', [], (h, seed, i) => `ERP-${i}`],
  ['ORDER', 'gift', 'boolean', 'TRUE_FALSE', 'Gift', [], (h) => String(h % 3 === 0)],
  [
    'ORDER',
    'delivery_slot',
    'date_time',
    'DATE_TIME',
    'Delivery slot',
    [],
    (h) => `2026-0${1 + (h % 9)}-2${h % 8}T1${h % 10}:00:00Z`,
  ],
  ['ORDER', 'erp_number', 'number_integer', 'NUMBER', 'ERP number', [], (h) => `9${String(h).padStart(15, '0')}`],
  ['PRODUCT', 'material', 'single_line_text_field', 'TEXT', 'Material', [], (h) => ['wool', 'Ton/clay', '綿'][h % 3]],
  [
    'PRODUCT',
    'net_weight',
    'weight',
    'MEASUREMENT',
    'Net weight',
    [],
    (h) => JSON.stringify({ value: h % 900, unit: 'GRAMS' }),
  ],
  [
    'PRODUCT',
    'length',
    'dimension',
    'MEASUREMENT',
    'Length',
    [],
    (h) => JSON.stringify({ value: (h % 90) / 2, unit: 'CENTIMETERS' }),
  ],
  ['PRODUCT', 'sizes', 'list.number_integer', 'NUMBER', 'Sizes', [], (h) => JSON.stringify([h % 40, (h % 40) + 2])],
  ['PRODUCT', 'colour', 'color', 'CUSTOM', 'Colour', [], (h) => `#${(h % 0xffffff).toString(16).padStart(6, '0')}`],
  ['PRODUCT', 'manual', 'url', 'CUSTOM', 'Manual', [], (h) => `https://docs.example/m/${h % 99}`],
  [
    'PRODUCTVARIANT',
    'content',
    'volume',
    'MEASUREMENT',
    'Content',
    [],
    (h) => JSON.stringify({ value: h % 1000, unit: 'MILLILITERS' }),
  ],
  ['PRODUCTVARIANT', 'supplier_no', 'single_line_text_field', 'TEXT', 'Supplier number', [], (h) => `S${h % 10000}`],
];

const NAMESPACE = 'custom';
const BASE = { Customer: 2200000000000, Order: 2400000000000, Product: 2600000000000, ProductVariant: 2800000000000 };

/** The definitions as records. */
function definitions() {
  return DEFINITIONS.map(([ownerType, key, type, category, name, validations], at) => ({
    __typename: 'MetafieldDefinition',
    id: `gid://shopify/MetafieldDefinition/${7700000000000 + at * 7}`,
    ownerType,
    namespace: NAMESPACE,
    key,
    name,
    description: at % 3 ? null : `About ${name}`,
    pinnedPosition: at % 2 ? null : at,
    validationStatus: 'ALL_VALID',
    $type: { name: type, category },
    validations: validations.map(([rule, kind, value]) => ({ name: rule, type: kind, value })),
  }));
}

/** Values of a seeded record: about half of the fields, and one without a definition. */
function seeded(seed, record) {
  if (record.$i === undefined || !BASE[record.__typename]) return [];
  const made = [];
  DEFINITIONS.forEach(([owner, key, type, , , , value], at) => {
    if (OWNERS[owner] !== record.__typename) return;
    const h = seed.h(`metafield-${key}`, record.$i);
    if (h % 2 && key !== 'erp_id') return;
    made.push([key, type, value(h >>> 3, seed, record.$i), at, NAMESPACE]);
  });
  if (seed.h('legacy', record.$i) % 4 === 0)
    made.push(['crm_ref', 'single_line_text_field', `CRM/${record.$i}`, 30, 'legacy']);
  return made.map(([key, type, value, at, namespace]) => ({
    __typename: 'Metafield',
    id: `gid://shopify/Metafield/${BASE[record.__typename] + record.$i * 32 + at}`,
    namespace,
    key,
    type,
    value,
    createdAt: record.createdAt,
    updatedAt: record.updatedAt,
    $owner: record.id,
  }));
}

module.exports = { definitions, seeded, OWNERS };
