// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// metafieldsSet (up to 25, all or nothing), metafieldsDelete, and metafields in the input of other mutations.
'use strict';

const { digest, ownerTypeOf } = require('./fields');
const { checkId } = require('./roots');

const SET_MAX = 25;
const VALUE_BYTES = 65536;
const OWNERS = new Set(['Customer', 'Order', 'Product', 'ProductVariant', 'Collection', 'DraftOrder', 'Location']);
const LENGTHS = { namespace: [3, 255], key: [2, 64] };

const isJson = (test) => (value) => {
  try {
    return test(JSON.parse(value));
  } catch {
    return false;
  }
};
const measure = isJson((v) => v && typeof v.value === 'number' && typeof v.unit === 'string');
const reference = (kind) => (value) => new RegExp(`^gid://shopify/${kind}/\\d+$`).test(value);

// What a value of each type must be: [test of the text, the vendor's words when it is not].
const TYPES = {
  single_line_text_field: [(v) => !/[\r\n]/.test(v), 'Value must be a single line text string.'],
  multi_line_text_field: [() => true, ''],
  number_integer: [
    (v) => /^-?\d{1,16}$/.test(v) && Math.abs(Number(v)) <= Number.MAX_SAFE_INTEGER,
    'Value must be an integer.',
  ],
  number_decimal: [(v) => /^-?\d{1,13}(\.\d{1,9})?$/.test(v), 'Value must be a decimal.'],
  boolean: [(v) => v === 'true' || v === 'false', 'Value must be true or false.'],
  date: [(v) => /^\d{4}-\d\d-\d\d$/.test(v) && !Number.isNaN(Date.parse(v)), 'Value must be in YYYY-MM-DD format.'],
  date_time: [
    (v) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:?\d\d)?$/.test(v) && !Number.isNaN(Date.parse(v)),
    'Value must be in “YYYY-MM-DDTHH:MM:SS” format. For example: 2022-06-01T15:30:00',
  ],
  json: [isJson(() => true), 'Value is invalid JSON.'],
  money: [
    isJson((v) => v && /^-?\d+(\.\d+)?$/.test(String(v.amount)) && /^[A-Z]{3}$/.test(v.currency_code)),
    'Value must be a stringified JSON object with amount and currency_code fields.',
  ],
  rating: [
    isJson(
      (v) =>
        v &&
        [v.value, v.scale_min, v.scale_max].every((one) => !Number.isNaN(Number(one))) &&
        Number(v.value) >= Number(v.scale_min) &&
        Number(v.value) <= Number(v.scale_max),
    ),
    'Value must be a stringified JSON object with value, scale_min and scale_max fields.',
  ],
  weight: [measure, 'Value must be a stringified JSON object with a value and a unit.'],
  dimension: [measure, 'Value must be a stringified JSON object with a value and a unit.'],
  volume: [measure, 'Value must be a stringified JSON object with a value and a unit.'],
  color: [(v) => /^#[0-9a-fA-F]{6}$/.test(v), 'Value must be a hex color code.'],
  url: [(v) => /^(https?|mailto|sms|tel):/.test(v), 'Value must be a valid URL.'],
  id: [(v) => v.length > 0 && v.length <= 255, 'Value is invalid.'],
  product_reference: [reference('Product'), 'Value require that you select a product.'],
  customer_reference: [reference('Customer'), 'Value require that you select a customer.'],
  variant_reference: [reference('ProductVariant'), 'Value require that you select a variant.'],
  order_reference: [reference('Order'), 'Value require that you select an order.'],
};

function typeRule(type) {
  if (!type.startsWith('list.')) return TYPES[type];
  const inner = TYPES[type.slice(5)];
  if (!inner) return undefined;
  return [
    isJson(
      (v) =>
        Array.isArray(v) &&
        v.length <= 128 &&
        v.every((one) => inner[0](typeof one === 'string' ? one : JSON.stringify(one))),
    ),
    'Value must be an array of valid values.',
  ];
}

/** What is wrong with one metafield for its owner, or null: {member, message, code}. Gives the type in `out.type`. */
function problem(input, owner, ctx, out) {
  const namespace = input.namespace ?? 'app--1';
  for (const [member, value] of [
    ['namespace', namespace],
    ['key', input.key],
  ]) {
    const [least, most] = LENGTHS[member];
    if (value.length < least)
      return { member, code: 'TOO_SHORT', message: `${title(member)} is too short (minimum is ${least} characters)` };
    if (value.length > most)
      return { member, code: 'TOO_LONG', message: `${title(member)} is too long (maximum is ${most} characters)` };
    if (!/^[\w-]+$/.test(value))
      return { member, code: 'INVALID', message: `${title(member)} contains one or more invalid characters.` };
  }
  const definition = ctx.store.definition(ownerTypeOf(owner.id), namespace, input.key);
  const existing = ctx.store
    .children(owner, '$metafields')
    .find((one) => one.namespace === namespace && one.key === input.key);
  const type = input.type ?? definition?.$type.name ?? existing?.type;
  if (!type) return { member: 'type', code: 'BLANK', message: "Type can't be blank" };
  const rule = typeRule(type);
  if (!rule) return { member: 'type', code: 'INCLUSION', message: 'Type must be one of the supported types.' };
  if (definition && definition.$type.name !== type) {
    return {
      member: 'type',
      code: 'INVALID_TYPE',
      message: `Type '${type}' must be consistent with the definition's type: ` + `'${definition.$type.name}'.`,
    };
  }
  if (input.value === '') return { member: 'value', code: 'BLANK', message: "Value can't be blank." };
  if (Buffer.byteLength(input.value) > VALUE_BYTES) {
    return { member: 'value', code: 'TOO_LONG', message: `Value is too long (maximum is ${VALUE_BYTES} characters)` };
  }
  if (!rule[0](input.value)) return { member: 'value', code: 'INVALID_VALUE', message: rule[1] };
  const refused = definition ? broken(definition, input.value) : null;
  if (refused) return { member: 'value', code: 'INVALID_VALUE', message: refused };
  if (type === 'id' && taken(owner, namespace, input, ctx))
    return { member: 'value', code: 'TAKEN', message: 'Value has already been assigned to another metafield' };
  if ('compareDigest' in input && input.compareDigest !== undefined) {
    const now = existing ? digest(existing) : null;
    if (input.compareDigest !== now) {
      return {
        member: null,
        code: 'STALE_OBJECT',
        message:
          'The resource has been updated since it was loaded. ' + 'Try again with an updated `compareDigest` value.',
      };
    }
  }
  out.type = type;
  out.namespace = namespace;
  out.existing = existing;
  return null;
}

const title = (member) => member[0].toUpperCase() + member.slice(1);

/** What a definition's own rules say against a value. */
function broken(definition, value) {
  for (const rule of definition.validations) {
    const number = definition.$type.category === 'TEXT' ? [...value].length : Number(value);
    if (rule.name === 'min' && number < Number(rule.value)) return `Value has a minimum of ${rule.value}.`;
    if (rule.name === 'max' && number > Number(rule.value)) return `Value has a maximum length of ${rule.value}.`;
  }
  return null;
}

function taken(owner, namespace, input, ctx) {
  for (const other of ctx.store.table(owner.__typename).each()) {
    if (
      other !== owner &&
      ctx.store
        .children(other, '$metafields')
        .some((one) => one.namespace === namespace && one.key === input.key && one.value === input.value)
    )
      return true;
  }
  return false;
}

function write(owner, input, out, ctx) {
  const now = ctx.sim.clock.iso();
  const { existing } = out;
  if (existing) {
    if (existing.value === input.value && existing.type === out.type) return [existing, 'unchanged'];
    Object.assign(existing, { value: input.value, type: out.type, updatedAt: now });
    ctx.store.tables[owner.__typename].version += 1;
    return [existing, 'updated'];
  }
  const made = {
    __typename: 'Metafield',
    id: ctx.store.newId('Metafield'),
    namespace: out.namespace,
    key: input.key,
    type: out.type,
    value: input.value,
    createdAt: now,
    updatedAt: now,
    $owner: owner.id,
  };
  ctx.store.children(owner, '$metafields').push(made);
  return [made, 'created'];
}

/** Sets several on one record, all or nothing: {errors: [{field: [null, index, member], ...}], changed}. */
function setAll(owner, inputs, ctx) {
  const outs = inputs.map(() => ({}));
  const errors = [];
  inputs.forEach((input, at) => {
    const wrong = problem(input, owner, ctx, outs[at]);
    if (wrong)
      errors.push({
        field: ['metafields', String(at), wrong.member || 'value'],
        message: wrong.message,
        code: wrong.code,
      });
  });
  if (errors.length) return { errors, changed: false };
  const changed = inputs
    .map((input, at) => write(owner, input, outs[at], ctx)[1])
    .some((became) => became !== 'unchanged');
  return { errors, changed };
}

function metafieldsSet({ metafields }, ctx) {
  const errors = [];
  const fail = (at, member, message, code) =>
    errors.push({
      field: member ? ['metafields', String(at), member] : ['metafields', String(at)],
      message,
      code,
      elementIndex: null,
    });
  if (metafields.length > SET_MAX) {
    errors.push({
      field: ['metafields'],
      message: `Exceeded the maximum metafields input limit of ${SET_MAX}.`,
      code: 'LESS_THAN_OR_EQUAL_TO',
      elementIndex: null,
    });
  }
  const seen = new Set();
  const plan = errors.length
    ? []
    : metafields.map((input, at) => {
        const kind = checkId(input.ownerId);
        const out = {};
        const owner = OWNERS.has(kind) ? ctx.store.get(input.ownerId) : null;
        const name = `${input.ownerId} ${input.namespace ?? 'app--1'}.${input.key}`;
        const wrong = owner ? problem(input, owner, ctx, out) : null;
        if (!owner) fail(at, 'ownerId', 'Owner does not exist.', 'INVALID');
        else if (!allowed(kind, ctx))
          fail(at, 'ownerId', 'The app is not authorized to write metafields of this owner.', 'APP_NOT_AUTHORIZED');
        else if (seen.has(name)) fail(at, 'key', 'Key must be unique within this namespace on this resource', 'TAKEN');
        else if (wrong) fail(at, wrong.member, wrong.message, wrong.code);
        seen.add(name);
        return { owner, input, out };
      });
  if (errors.length) {
    metafields.forEach((input) =>
      ctx.wrote('Metafield', `${input.ownerId}#${input.namespace ?? 'app--1'}.${input.key}`, 'rejected', errors),
    );
    return { metafields: null, userErrors: errors };
  }
  const made = plan.map(({ owner, input, out }) => {
    const [record, became] = write(owner, input, out, ctx);
    ctx.wrote('Metafield', `${owner.id}#${record.namespace}.${record.key}`, became);
    return record;
  });
  return { metafields: made, userErrors: [] };
}

function allowed(kind, ctx) {
  try {
    ctx.sim.access.checkWrite(kind, 'metafieldsSet');
    return true;
  } catch {
    return false;
  }
}

function metafieldsDelete({ metafields }, ctx) {
  const gone = metafields.map((one) => {
    const kind = checkId(one.ownerId);
    ctx.sim.access.checkWrite(kind, 'metafieldsDelete');
    const owner = ctx.store.get(one.ownerId);
    const list = owner ? ctx.store.children(owner, '$metafields') : [];
    const at = list.findIndex((field) => field.namespace === one.namespace && field.key === one.key);
    if (at >= 0) list.splice(at, 1);
    ctx.wrote('Metafield', `${one.ownerId}#${one.namespace}.${one.key}`, at >= 0 ? 'deleted' : 'unchanged');
    // What was not there counts as deleted; its place in the list is null.
    return at >= 0 ? { ownerId: one.ownerId, namespace: one.namespace, key: one.key } : null;
  });
  return { deletedMetafields: gone, userErrors: [] };
}

module.exports = { mutations: { metafieldsSet, metafieldsDelete }, setAll };
