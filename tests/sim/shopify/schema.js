// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The vendor's own schema: built from the introspection result, with scalars that check what passes through them, the
// map of access scopes, and the names of search filters, which stand in the descriptions of the `query` arguments.
'use strict';

const fs = require('fs');
const path = require('path');
const zlib = require('zlib');
const { buildClientSchema, getNamedType, GraphQLError, Kind, valueFromASTUntyped } = require('graphql');

const DECIMAL = /^-?\d+(\.\d+)?$/;
const DATE_TIME = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/;
const DATE_TIME_OUT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const URL_OUT = /^(https?|shopify-ping-api):\/\/[^\s]+$/;
const URL_IN = /^https?:\/\/[^\s]+$/;

// What an answer may hold, by scalar (out), and what a variable may hold (in), as patterns of the text.
const SCALARS = {
  DateTime: { in: DATE_TIME, out: DATE_TIME_OUT, say: 'a valid ISO8601 date time' },
  Date: { in: /^\d{4}-\d\d-\d\d$/, out: /^\d{4}-\d\d-\d\d$/, say: 'a valid ISO8601 date' },
  Decimal: { in: DECIMAL, out: DECIMAL, say: 'a decimal number', numbers: true },
  Money: { in: DECIMAL, out: DECIMAL, say: 'a decimal number', numbers: true },
  UnsignedInt64: { in: /^\d{1,20}$/, out: /^\d{1,20}$/, say: 'an unsigned 64-bit integer', numbers: true },
  URL: { in: URL_IN, out: URL_OUT, say: 'a URL' },
};

/** Where the specs are: DRAY_SHARED, or a folder `shared` beside the source tree. */
function specsFolder() {
  const shared = process.env.DRAY_SHARED || path.join(__dirname, '..', '..', '..', '..', 'shared');
  return path.join(shared, 'specs', 'shopify');
}

function strictScalar(type, rule) {
  const input = (value) => {
    const text = rule.numbers && typeof value === 'number' ? String(value) : value;
    if (typeof text !== 'string' || !rule.in.test(text)) throw new GraphQLError(`${type.name} must be ${rule.say}`);
    return text;
  };
  type.parseValue = input;
  type.parseLiteral = (node, variables) => {
    const value =
      node.kind === Kind.INT || node.kind === Kind.FLOAT ? node.value : valueFromASTUntyped(node, variables);
    return input(value);
  };
  type.serialize = (value) => {
    if (typeof value !== 'string' || !rule.out.test(value)) {
      throw new GraphQLError(`${type.name} cannot hold ${JSON.stringify(value)}`);
    }
    return value;
  };
}

/** {schema, access} of one API version. `access`: `Type` or `Type.field` -> {scopes, text}. */
function load(version = '2026-10') {
  const file = path.join(specsFolder(), `admin-graphql-${version}.introspection.json.gz`);
  const raw = JSON.parse(zlib.gunzipSync(fs.readFileSync(file)));
  const schema = buildClientSchema(raw.data, { assumeValid: true });
  for (const [name, rule] of Object.entries(SCALARS)) strictScalar(schema.getType(name), rule);
  const access = new Map();
  for (const row of raw.offline_scopes.items) {
    if (row.offlineScopes.length === 0) continue;
    const name = row.type === 'field' ? `${row.typeName}.${row.fieldName}` : row.typeName;
    access.set(name, { scopes: row.offlineScopes, text: row.requiredAccess });
  }
  return { schema, access };
}

/** The type of what a field gives in the end: of a connection, that of its nodes. */
function nodeType(type) {
  const named = getNamedType(type);
  if (!named.getFields || !/(Connection|Edge)$/.test(named.name)) return named;
  const fields = named.getFields();
  const inner = fields.nodes || fields.node;
  return inner ? getNamedType(inner.type) : named;
}

/** The names that a `query` argument filters by, from its description's table: name -> time, id, string, ... */
function filtersOf(argument) {
  const names = new Map();
  for (const [, name, type] of (argument.description || '').matchAll(/^\s*\| ([a-z_.]+) \| ([a-z]+) \|/gm)) {
    if (type !== 'type') names.set(name, type); // not the table's head
  }
  return names;
}

module.exports = { load, nodeType, filtersOf, specsFolder };
