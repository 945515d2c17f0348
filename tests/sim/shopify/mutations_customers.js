// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Mutations of customers, with the vendor's checks and words. Each gives its payload; ctx.wrote() tells the ledger
// what became of the record.
'use strict';

const { checkId, byCustomId, shop } = require('./roots');
const { setAll } = require('./mutations_metafields');
const { gid } = require('./seed');

const EMAIL = /^[^\s@<>,;]+@[^\s@.,]+(\.[^\s@.,]+)+$/;
const PHONE = /^\+[1-9]\d{7,14}$/;
const TAGS_MAX = 250;
const TAG_CHARS = 255;
const NOTE_CHARS = 5000;
const NAME_CHARS = 255;

const trouble = (field, message, code) => ({ field, message, code });

/** Tags as the vendor stores them: trimmed, without empties, one of each regardless of case, sorted. */
function cleanTags(tags) {
  const seen = new Map();
  for (const tag of tags
    .flatMap((one) => one.split(','))
    .map((one) => one.trim())
    .filter(Boolean)) {
    if (!seen.has(tag.toLowerCase())) seen.set(tag.toLowerCase(), tag);
  }
  return [...seen.values()].sort();
}

const normalPhone = (phone) => phone.replace(/[\s().-]/g, '');
const blankToNull = (value) => (value === '' ? null : value);

/** What is wrong with the input for this customer (null: a new one). `prefix` leads the field paths. */
function problems(input, customer, ctx, prefix = []) {
  const list = [];
  const at = (name) => [...prefix, name];
  if (input.email) {
    if (!EMAIL.test(input.email)) list.push(trouble(at('email'), 'Email is invalid', 'INVALID'));
    else {
      const other = ctx.store.customerBy('email', input.email);
      if (other && other !== customer) list.push(trouble(at('email'), 'Email has already been taken', 'TAKEN'));
    }
  }
  if (input.phone) {
    const phone = normalPhone(input.phone);
    if (!PHONE.test(phone)) list.push(trouble(at('phone'), 'Phone is invalid', 'INVALID'));
    else {
      const other = ctx.store.customerBy('phone', phone);
      if (other && other !== customer) list.push(trouble(at('phone'), 'Phone has already been taken', 'TAKEN'));
    }
  }
  for (const [name, title] of [
    ['firstName', 'First name'],
    ['lastName', 'Last name'],
  ]) {
    if (input[name] && input[name].length > NAME_CHARS) {
      list.push(trouble(at(name), `${title} is too long (maximum is ${NAME_CHARS} characters)`, 'TOO_LONG'));
    }
  }
  if (input.note && input.note.length > NOTE_CHARS) {
    list.push(trouble(at('note'), `Note is too long (maximum is ${NOTE_CHARS} characters)`, 'TOO_LONG'));
  }
  list.push(...tagProblems(input.tags, at('tags')));
  const after = (name) => (input[name] === undefined ? customer && customer[name] : blankToNull(input[name]));
  if (!list.length && !['email', 'phone', 'firstName', 'lastName'].some((name) => after(name))) {
    list.push(
      trouble(prefix.length ? prefix : null, 'A name, phone number, or email address must be present', 'INVALID'),
    );
  }
  return list;
}

function tagProblems(tags, path) {
  if (!tags) return [];
  if (cleanTags(tags).length > TAGS_MAX) return [trouble(path, `Tags cannot be more than ${TAGS_MAX}`, 'INVALID')];
  if (tags.some((tag) => tag.length > TAG_CHARS)) {
    return [trouble(path, `Tags exceed the maximum of ${TAG_CHARS} characters`, 'TOO_LONG')];
  }
  return [];
}

const SCALARS = ['firstName', 'lastName', 'email', 'phone', 'note', 'locale', 'taxExempt', 'taxExemptions'];

/** The members that the input sets. Lists are replaced whole, what is absent is kept. */
function members(input, ctx) {
  const set = {};
  for (const name of SCALARS) if (input[name] !== undefined) set[name] = blankToNull(input[name]);
  if (set.phone) set.phone = normalPhone(set.phone);
  if (set.locale === null) set.locale = 'en';
  if (set.taxExempt === null) set.taxExempt = false;
  if (set.taxExemptions === null) set.taxExemptions = [];
  if (input.tags !== undefined) set.tags = cleanTags(input.tags || []);
  if (input.addresses !== undefined)
    set.$addresses = (input.addresses || []).map((one) => addressOf(one, ctx, 'CustomerAddress'));
  return set;
}

function addressOf(input, ctx, kind) {
  const number = ctx.store.newId('MailingAddress');
  return {
    __typename: 'MailingAddress',
    id: `${number}?model_name=${kind}`,
    country: null,
    province: null,
    latitude: null,
    longitude: null,
    coordinatesValidated: false,
    address1: null,
    address2: null,
    city: null,
    company: null,
    firstName: null,
    lastName: null,
    phone: null,
    zip: null,
    provinceCode: null,
    ...input,
    countryCode: input.countryCode ?? null,
    countryCodeV2: input.countryCode ?? null,
  };
}

const sameAddress = (a, b) =>
  [
    'address1',
    'address2',
    'city',
    'company',
    'countryCodeV2',
    'firstName',
    'lastName',
    'phone',
    'provinceCode',
    'zip',
  ].every((name) => (a[name] ?? null) === (b[name] ?? null));

function differs(record, set) {
  return Object.entries(set).some(([name, value]) => {
    if (name !== '$addresses') return JSON.stringify(record[name] ?? null) !== JSON.stringify(value ?? null);
    const old = record.$addresses || [];
    return old.length !== value.length || value.some((one, at) => !sameAddress(one, old[at]));
  });
}

function create(input, ctx) {
  const now = ctx.sim.clock.iso();
  const customer = {
    __typename: 'Customer',
    id: ctx.store.newId('Customer'),
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
    $email: { state: 'NOT_SUBSCRIBED', level: 'SINGLE_OPT_IN', at: null },
    $sms: { state: 'NOT_SUBSCRIBED', level: 'SINGLE_OPT_IN', at: null },
    $addresses: [],
    $metafields: [],
    ...members(input, ctx),
  };
  return ctx.store.insert(customer);
}

function update(customer, input, ctx) {
  ctx.store.children(customer, '$addresses');
  const set = members(input, ctx);
  const changed = differs(customer, set);
  if (changed) ctx.store.update(customer, set);
  return changed;
}

function rejected(ctx, kind, id, errors, payload = { customer: null }) {
  ctx.wrote(kind, id, 'rejected', errors);
  return { ...payload, userErrors: errors };
}

function customerSet({ input, identifier }, ctx) {
  const reject = (errors) => rejected(ctx, 'Customer', null, errors);
  if (input.id && identifier) {
    return reject([trouble(['input'], 'The id field is not allowed if identifier is provided.', 'ID_NOT_ALLOWED')]);
  }
  const found = identified(input, identifier, ctx);
  if (found.errors) return reject(found.errors);
  const { customer, custom } = found;
  const errors = problems(input, customer, ctx, ['input']);
  if (errors.length) return reject(errors);
  if (customer) {
    const changed = update(customer, input, ctx);
    ctx.wrote('Customer', customer.id, changed ? 'updated' : 'unchanged');
    return { customer, userErrors: [] };
  }
  const made = create(input, ctx);
  if (custom) setAll(made, [{ ...custom, type: 'id' }], ctx);
  ctx.wrote('Customer', made.id, 'created');
  return { customer: made, userErrors: [] };
}

/** The customer that an identifier names: {customer: record or null for a new one, custom} or {errors}. */
function identified(input, identifier, ctx) {
  if (!identifier) {
    if (!input.id) return { customer: null };
    checkId(input.id, 'Customer');
    const customer = ctx.store.get(input.id);
    return customer ? { customer } : { errors: [trouble(['input', 'id'], 'Customer does not exist', 'NOT_FOUND')] };
  }
  const [name, value] = Object.entries(identifier)[0];
  if (name === 'id') {
    checkId(value, 'Customer');
    const customer = ctx.store.get(value);
    return customer
      ? { customer }
      : { errors: [trouble(['input'], 'Resource matching the identifier was not found.', 'NOT_FOUND')] };
  }
  if (name === 'customId') {
    const customer = byCustomId('Customer', value, ctx);
    return {
      customer,
      custom: customer ? null : { namespace: value.namespace ?? 'app--1', key: value.key, value: value.value },
    };
  }
  if (input[name] === undefined || input[name] === null) {
    return {
      errors: [
        trouble(['input', name], `The ${name} field is required when it is the identifier.`, 'MISSING_FIELD_REQUIRED'),
      ],
    };
  }
  const same =
    name === 'email'
      ? input.email.toLowerCase() === value.toLowerCase()
      : normalPhone(input.phone) === normalPhone(value);
  if (!same) {
    return {
      errors: [
        trouble(
          ['input'],
          `The identifier value does not match the value of the corresponding field in the input.`,
          'INPUT_MISMATCH',
        ),
      ],
    };
  }
  return { customer: ctx.store.customerBy(name, name === 'phone' ? normalPhone(value) : value) };
}

const plain = (errors) =>
  errors.map(({ field, message }) => ({ field: field && field.length ? field : null, message }));

function customerCreate({ input }, ctx) {
  const errors = input.id ? [trouble(['id'], 'Cannot specify ID on creation')] : problems(input, null, ctx);
  errors.push(...consentProblems(input.emailMarketingConsent, ctx, ['emailMarketingConsent']));
  if (errors.length) return rejected(ctx, 'Customer', null, plain(errors));
  const customer = create(input, ctx);
  const set = setAll(customer, input.metafields || [], ctx);
  if (set.errors.length) {
    ctx.store.tables.Customer.rows.delete(customer.id);
    ctx.store.unindex(customer);
    return rejected(
      ctx,
      'Customer',
      null,
      plain(set.errors.map((one) => ({ ...one, field: ['metafields', ...one.field.slice(1)] }))),
    );
  }
  if (input.emailMarketingConsent) applyConsent(customer, input.emailMarketingConsent, ctx);
  ctx.wrote('Customer', customer.id, 'created');
  return { customer, userErrors: [] };
}

function customerUpdate({ input }, ctx) {
  if (!input.id) return rejected(ctx, 'Customer', null, [{ field: ['id'], message: 'Customer id must be provided' }]);
  checkId(input.id, 'Customer');
  const customer = ctx.store.get(input.id);
  if (!customer) return rejected(ctx, 'Customer', input.id, [{ field: ['id'], message: 'Customer does not exist' }]);
  for (const [name, title] of [
    ['emailMarketingConsent', 'Email'],
    ['smsMarketingConsent', 'Sms'],
    ['whatsAppMarketingConsent', 'WhatsApp'],
  ]) {
    if (input[name]) {
      return rejected(
        ctx,
        'Customer',
        customer.id,
        [
          {
            field: [name],
            message: `To update ${name}, please use the customer${title}MarketingConsentUpdate Mutation instead`,
          },
        ],
        { customer },
      );
    }
  }
  const errors = problems(input, customer, ctx);
  const fields = errors.length ? { errors: [] } : setAll(customer, input.metafields || [], ctx);
  errors.push(...fields.errors.map((one) => ({ ...one, field: ['metafields', ...one.field.slice(1)] })));
  if (errors.length) return rejected(ctx, 'Customer', customer.id, plain(errors), { customer });
  const changed = update(customer, input, ctx);
  ctx.wrote('Customer', customer.id, changed || fields.changed ? 'updated' : 'unchanged');
  return { customer, userErrors: [] };
}

function customerDelete({ input }, ctx) {
  checkId(input.id, 'Customer');
  const customer = ctx.store.get(input.id);
  const refuse = (message) =>
    rejected(ctx, 'Customer', input.id, [{ field: ['id'], message }], { deletedCustomerId: null, shop: shop(ctx) });
  if (!customer) return refuse("Customer can't be found");
  if (ctx.store.ordersOf(customer).length)
    return refuse('Customer can’t be deleted because they have associated orders');
  ctx.store.remove(customer);
  ctx.wrote('Customer', customer.id, 'deleted');
  return { deletedCustomerId: customer.id, shop: shop(ctx), userErrors: [] };
}

// ---- consent ----

const SETTABLE = new Set(['SUBSCRIBED', 'UNSUBSCRIBED', 'PENDING']);

function consentProblems(consent, ctx, path) {
  if (!consent) return [];
  const at = (name) => [...path, name];
  if (!SETTABLE.has(consent.marketingState)) {
    return [
      trouble(at('marketingState'), `Cannot specify ${consent.marketingState} as a marketing state input`, 'INVALID'),
    ];
  }
  if (consent.consentUpdatedAt && Date.parse(consent.consentUpdatedAt) > ctx.sim.clock.now()) {
    return [trouble(at('consentUpdatedAt'), 'Consent updated at must not be in the future', 'INVALID')];
  }
  if (!consent.marketingOptInLevel && consent.marketingState !== 'UNSUBSCRIBED') {
    return [trouble(at('marketingOptInLevel'), 'Marketing opt in level must be specified', 'MISSING_ARGUMENT')];
  }
  if (consent.marketingState === 'PENDING' && consent.marketingOptInLevel !== 'CONFIRMED_OPT_IN') {
    return [
      trouble(
        at('marketingOptInLevel'),
        'Marketing opt in level must be confirmed opt-in for pending consent state',
        'INVALID',
      ),
    ];
  }
  return [];
}

function applyConsent(customer, consent, ctx) {
  const before = customer.$email;
  const level = consent.marketingOptInLevel ?? before.level;
  const stated = consent.consentUpdatedAt
    ? new Date(consent.consentUpdatedAt).toISOString().replace(/\.\d+Z$/, 'Z')
    : null;
  if (before.state === consent.marketingState && before.level === level && (stated === null || stated === before.at))
    return false;
  ctx.store.update(customer, { $email: { state: consent.marketingState, level, at: stated || ctx.sim.clock.iso() } });
  return true;
}

function customerEmailMarketingConsentUpdate({ input }, ctx) {
  const { customerId, emailMarketingConsent: consent } = input;
  checkId(customerId, 'Customer');
  const customer = ctx.store.get(customerId);
  const path = ['input', 'emailMarketingConsent'];
  const errors = !customer
    ? [trouble(['input', 'customerId'], 'Customer not found', 'INVALID')]
    : !customer.email
      ? [trouble(['input'], 'The customer must have an email address', 'INVALID')]
      : consentProblems(consent, ctx, path);
  if (errors.length) return rejected(ctx, 'Customer', customerId, errors, { customer });
  const changed = applyConsent(customer, consent, ctx);
  ctx.wrote('Customer', customer.id, changed ? 'updated' : 'unchanged', null, 'consent');
  return { customer, userErrors: [] };
}

// ---- tags: of customers, orders, products, draft orders ----

const TAGGED = new Set(['Customer', 'Order', 'Product', 'DraftOrder']);

function tagged(change, name) {
  return ({ id, tags }, ctx) => {
    const kind = checkId(id);
    ctx.sim.access.checkWrite(kind, name);
    const record = TAGGED.has(kind) ? ctx.store.get(id) : null;
    const wanted = cleanTags(tags);
    const errors = !record
      ? [{ field: ['id'], message: `${kind} does not exist` }]
      : plain(tagProblems([...(change === 'add' ? record.tags : []), ...wanted], ['tags']));
    if (errors.length) return rejected(ctx, kind, id, errors, { node: null });
    const fold = new Set(wanted.map((tag) => tag.toLowerCase()));
    const next =
      change === 'add'
        ? cleanTags([...record.tags, ...wanted])
        : record.tags.filter((tag) => !fold.has(tag.toLowerCase()));
    const changed = JSON.stringify([...record.tags].sort()) !== JSON.stringify([...next].sort());
    if (changed) ctx.store.update(record, { tags: next });
    ctx.wrote(kind, id, changed ? 'updated' : 'unchanged', null, 'tags');
    return { node: record, userErrors: [] };
  };
}

module.exports = {
  mutations: {
    customerSet,
    customerCreate,
    customerUpdate,
    customerDelete,
    customerEmailMarketingConsentUpdate,
    tagsAdd: tagged('add', 'tagsAdd'),
    tagsRemove: tagged('remove', 'tagsRemove'),
  },
  cleanTags,
  tagProblems,
  addressOf,
  rejected,
  plain,
  EMAIL,
  gid,
};
