// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// orderUpdate and productSet.
'use strict';

const { checkId } = require('./roots');
const { setAll } = require('./mutations_metafields');
const { addressOf, cleanTags, tagProblems, rejected, plain, EMAIL } = require('./mutations_customers');
const { failure } = require('./vendor_errors');

const ORDER_MEMBERS = ['email', 'note', 'phone', 'customAttributes', 'poNumber'];

function changes(record, set) {
  return Object.entries(set).some(
    ([name, value]) => JSON.stringify(record[name] ?? null) !== JSON.stringify(value ?? null),
  );
}

function fieldErrors(owner, inputs, ctx, path) {
  return setAll(owner, inputs, ctx).errors.map((one) => ({ ...one, field: [...path, ...one.field.slice(1)] }));
}

function orderUpdate({ input }, ctx) {
  checkId(input.id, 'Order');
  const order = ctx.store.get(input.id);
  if (!order)
    return rejected(ctx, 'Order', input.id, [{ field: ['id'], message: 'Order does not exist' }], { order: null });
  const errors = plain(tagProblems(input.tags, ['tags']));
  if (input.email && !EMAIL.test(input.email)) errors.push({ field: ['email'], message: 'Email is invalid' });
  if (input.note && input.note.length > 5000)
    errors.push({ field: ['note'], message: 'Note is too long (maximum is 5000 characters)' });
  const before = order.$metafields && JSON.stringify(order.$metafields);
  if (!errors.length) errors.push(...plain(fieldErrors(order, input.metafields || [], ctx, ['metafields'])));
  if (errors.length) return rejected(ctx, 'Order', order.id, errors, { order });
  const set = {};
  for (const name of ORDER_MEMBERS) if (input[name] !== undefined) set[name] = input[name] === '' ? null : input[name];
  if (set.customAttributes === null) set.customAttributes = [];
  if (input.tags !== undefined) set.tags = cleanTags(input.tags || []);
  if (input.shippingAddress) set.$shipping = addressOf(input.shippingAddress, ctx, 'Address');
  const changed = changes(order, set);
  if (changed) ctx.store.update(order, set);
  const fields = before !== undefined && before !== (order.$metafields && JSON.stringify(order.$metafields));
  ctx.wrote('Order', order.id, changed || fields || (input.metafields || []).length ? 'updated' : 'unchanged');
  return { order, userErrors: [] };
}

const PRODUCT_MEMBERS = ['title', 'handle', 'descriptionHtml', 'productType', 'vendor', 'status', 'templateSuffix'];

/** Synchronous only: the asynchronous mode would need operations that nobody polls here. */
function productSet({ identifier, input, synchronous }, ctx) {
  if (!synchronous) throw failure('the simulator runs productSet synchronously only', 'INTERNAL_SERVER_ERROR');
  const refuse = (field, message, code) =>
    rejected(ctx, 'Product', input.id || null, [{ field, message, code }], {
      product: null,
      productSetOperation: null,
    });
  if (identifier && input.id)
    return refuse(['input'], 'The id field is not allowed if identifier is provided.', 'ID_NOT_ALLOWED');
  const { record: product, missing } = productOf(identifier, input, ctx);
  if (missing) return refuse(['input', 'id'], 'Product does not exist', 'PRODUCT_DOES_NOT_EXIST');
  if (!product && !input.title) return refuse(['input', 'title'], "Title can't be blank", 'MISSING_FIELD_REQUIRED');
  const other =
    input.handle &&
    [...ctx.store.table('Product').each()].find((one) => one.handle === input.handle && one !== product);
  if (other)
    return refuse(
      ['input', 'handle'],
      `Handle '${input.handle}' already in use. Please provide a new handle.`,
      'HANDLE_NOT_UNIQUE',
    );
  if (input.variants && !input.productOptions && !product) {
    return refuse(
      ['input', 'productOptions'],
      'Product options input is required when updating variants',
      'PRODUCT_OPTIONS_INPUT_MISSING',
    );
  }
  if (input.productOptions && !input.variants) {
    return refuse(
      ['input', 'variants'],
      'Variants input is required when updating product options',
      'VARIANTS_INPUT_MISSING',
    );
  }
  const set = {};
  for (const name of PRODUCT_MEMBERS) if (input[name] !== undefined) set[name] = input[name] ?? '';
  if (input.tags !== undefined) set.tags = cleanTags(input.tags || []);
  const now = ctx.sim.clock.iso();
  const target =
    product ||
    ctx.store.insert({
      __typename: 'Product',
      id: ctx.store.newId('Product'),
      descriptionHtml: '',
      productType: '',
      vendor: 'Dray Test',
      status: 'ACTIVE',
      tags: [],
      createdAt: now,
      updatedAt: now,
      publishedAt: null,
      isGiftCard: false,
      totalInventory: 0,
      $variants: [],
      $metafields: [],
      handle: (input.title || 'product').toLowerCase().replace(/[^a-z0-9]+/g, '-'),
      seo: { title: null, description: null },
    });
  const errors = fieldErrors(target, input.metafields || [], ctx, ['input', 'metafields']);
  if (errors.length) {
    if (!product) ctx.store.table('Product').rows.delete(target.id);
    return refuse(errors[0].field, errors[0].message, 'INVALID_METAFIELD');
  }
  const changed = !product || changes(target, set);
  if (changed) ctx.store.update(target, set);
  const variants =
    input.variants || (product ? null : [{ optionValues: [{ optionName: 'Title', name: 'Default Title' }] }]);
  const variantsChanged = variants ? setVariants(target, variants, ctx) : false;
  ctx.wrote('Product', target.id, !product ? 'created' : changed || variantsChanged ? 'updated' : 'unchanged');
  return { product: target, productSetOperation: null, userErrors: [] };
}

function productOf(identifier, input, ctx) {
  const id = identifier ? identifier.id : input.id;
  if (id) {
    checkId(id, 'Product');
    const record = ctx.store.get(id);
    return { record, missing: !record };
  }
  if (identifier && identifier.handle) {
    return { record: [...ctx.store.table('Product').each()].find((one) => one.handle === identifier.handle) || null };
  }
  if (identifier) throw failure("Metafield definition of type 'id' is required when using custom ids.", 'NOT_FOUND');
  return { record: null };
}

/** Variants are replaced whole: those that are matched by id, or by their options, are kept and changed. */
function setVariants(product, inputs, ctx) {
  const old = ctx.store.variantsOf(product);
  const key = (options) => JSON.stringify(options);
  let changed = false;
  const kept = inputs.map((input, at) => {
    const options = input.optionValues.map((one) => [one.optionName ?? 'Title', one.name ?? '']);
    const known = old.find((one) => (input.id ? one.id === input.id : key(one.$options) === key(options)));
    const set = { $options: options, title: options.map((one) => one[1]).join(' / '), position: at + 1 };
    for (const name of ['barcode', 'price', 'compareAtPrice', 'sku', 'taxable', 'inventoryPolicy']) {
      if (input[name] !== undefined) set[name] = input[name];
    }
    if (known) {
      if (changes(known, set)) {
        changed = true;
        ctx.store.update(known, set);
      }
      return known.id;
    }
    changed = true;
    return newVariant(product, set, ctx).id;
  });
  for (const one of old) {
    if (kept.includes(one.id)) continue;
    changed = true;
    ctx.store.remove(one);
  }
  product.$variants = kept;
  if (changed) ctx.store.update(product, {});
  return changed;
}

function newVariant(product, set, ctx) {
  const now = ctx.sim.clock.iso();
  const item = ctx.store.insert({
    __typename: 'InventoryItem',
    id: ctx.store.newId('InventoryItem'),
    sku: set.sku ?? null,
    tracked: false,
    requiresShipping: true,
    createdAt: now,
    updatedAt: now,
    $cost: null,
    $levels: [],
    countryCodeOfOrigin: null,
  });
  const variant = ctx.store.insert({
    __typename: 'ProductVariant',
    id: ctx.store.newId('ProductVariant'),
    $product: product.id,
    $item: item.id,
    sku: null,
    barcode: null,
    price: '0.00',
    compareAtPrice: null,
    taxable: true,
    availableForSale: true,
    inventoryPolicy: 'DENY',
    inventoryQuantity: 0,
    sellableOnlineQuantity: 0,
    createdAt: now,
    updatedAt: now,
    $metafields: [],
    displayName: `${product.title} - ${set.title}`,
    ...set,
  });
  item.$variant = variant.id;
  return variant;
}

module.exports = { mutations: { orderUpdate, productSet } };
