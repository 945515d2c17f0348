// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// What the inner operation of a bulk operation may look like. Each rule is told in the vendor's words; the first that
// is broken wins.
'use strict';

const { getNamedType, getNullableType, isListType, Kind, parse, typeFromAST, validate } = require('graphql');
const { ofValidation, ofSyntax } = require('./vendor_errors');

const QUERY_BYTES_MAX = 65535;
const CONNECTIONS_MAX = 5;
const DEPTH_MAX = 2;

const isConnection = (type) => /Connection$/.test(getNamedType(type).name);

/** Calls visit(field node, definition, parent type, path) for each field below a selection; fragments are followed. */
function walk(schema, fragments, set, type, state, visit) {
  for (const node of set ? set.selections : []) {
    if (node.kind === Kind.FIELD) {
      if (node.name.value === '__typename') continue;
      const definition = type.getFields()[node.name.value];
      const inner = visit(node, definition, type, state);
      if (node.selectionSet) walk(schema, fragments, node.selectionSet, getNamedType(definition.type), inner, visit);
    } else {
      const fragment = node.kind === Kind.FRAGMENT_SPREAD ? fragments.get(node.name.value) : node;
      const on = fragment.typeCondition ? typeFromAST(schema, fragment.typeCondition) : type;
      walk(schema, fragments, fragment.selectionSet, on, state, visit);
    }
  }
}

/** All fields that a selection asks for on its own level, fragments opened. */
function flat(fragments, set) {
  return (set ? set.selections : []).flatMap((node) =>
    node.kind === Kind.FIELD
      ? [node]
      : flat(fragments, (node.kind === Kind.FRAGMENT_SPREAD ? fragments.get(node.name.value) : node).selectionSet),
  );
}

function read(schema, text, operation) {
  let document;
  try {
    document = parse(text);
  } catch (error) {
    return { problem: `Invalid bulk ${operation}: ${ofSyntax(error).message}` };
  }
  const operations = document.definitions.filter((one) => one.kind === Kind.OPERATION_DEFINITION);
  if (operations.length !== 1) return { problem: `Bulk ${operation} must contain exactly one operation.` };
  if (operations[0].operation !== operation) {
    return {
      problem:
        operation === 'query'
          ? 'Bulk queries must not contain mutations or subscriptions.'
          : 'Bulk mutations must contain a mutation.',
    };
  }
  const wrong = validate(schema, document);
  if (wrong.length)
    return {
      problem: `Invalid bulk ${operation}: ${wrong.map((one) => ofValidation(document, one).message).join(', ')}`,
    };
  const fragments = new Map(
    document.definitions.filter((one) => one.kind === Kind.FRAGMENT_DEFINITION).map((one) => [one.name.value, one]),
  );
  return { document, operation: operations[0], fragments };
}

/** {document, operation, fragments} of a good bulk query, or {problem: text}. */
function checkQuery(schema, text) {
  if (Buffer.byteLength(text) > QUERY_BYTES_MAX)
    return { problem: `Bulk queries cannot be longer than ${QUERY_BYTES_MAX} bytes.` };
  const query = read(schema, text, 'query');
  if (query.problem) return query;
  const { operation, fragments } = query;
  if ((operation.variableDefinitions || []).length) return { problem: 'Bulk queries cannot use variables.' };
  const problems = [];
  let connections = 0;
  walk(
    schema,
    fragments,
    operation.selectionSet,
    schema.getQueryType(),
    { depth: -1, list: false, parent: null },
    (node, definition, parent, state) => {
      const name = node.name.value;
      if (parent === schema.getQueryType() && (name === 'node' || name === 'nodes')) {
        problems.push(`Bulk queries cannot contain a top level '${name}' field.`);
      }
      if (isConnection(definition.type)) {
        connections += 1;
        if (state.list)
          problems.push('Queries that contain a connection field within a list field are not currently supported.');
        if (state.depth + 1 > DEPTH_MAX) {
          problems.push(`Bulk queries cannot contain connections with a nesting depth greater than ${DEPTH_MAX}.`);
        }
        if (state.parent && !state.parent.hasId) {
          problems.push(
            "The parent 'node' field for a nested connection must select the 'id' field without an alias and must be " +
              `of 'ID' return type. Connection fields without 'id': ${name}.`,
          );
        }
        const asked = flat(fragments, node.selectionSet).map((one) => one.name.value);
        if (asked.includes('nodes'))
          problems.push("Bulk queries must use 'edges { node }'; the 'nodes' field is not supported.");
        if (!asked.includes('edges')) problems.push(`The connection '${name}' must select 'edges { node { ... } }'.`);
        return { depth: state.depth + 1, list: false, parent: null, connection: true };
      }
      if (/Edge$/.test(parent.name) && name === 'node') {
        const hasId = flat(fragments, node.selectionSet).some((one) => one.name.value === 'id' && !one.alias);
        return { ...state, list: false, parent: { hasId } };
      }
      const list = isListType(getNullableType(definition.type)) && !/Connection$/.test(parent.name);
      return { ...state, list: state.list || list };
    },
  );
  if (connections === 0) problems.unshift('Bulk queries must contain at least one connection.');
  if (connections > CONNECTIONS_MAX)
    problems.unshift(`Bulk queries cannot contain more than ${CONNECTIONS_MAX} connections.`);
  return problems.length ? { problem: problems[0] } : query;
}

/** {document, operation, field} of a good bulk mutation, or {problem: text}. */
function checkMutation(schema, text) {
  const mutation = read(schema, text, 'mutation');
  if (mutation.problem) return mutation;
  const { operation, fragments } = mutation;
  const fields = flat(fragments, operation.selectionSet);
  if (fields.length !== 1) return { problem: 'You must specify a single top level mutation.' };
  const field = fields[0].name.value;
  if (/^bulkOperation/.test(field)) return { problem: 'You cannot run a bulk operation within a bulk operation.' };
  let connections = 0;
  walk(schema, fragments, operation.selectionSet, schema.getMutationType(), {}, (node, definition) => {
    if (isConnection(definition.type)) connections += 1;
    return {};
  });
  if (connections > 1) return { problem: 'Bulk mutations cannot contain more than 1 connection.' };
  return { ...mutation, field };
}

module.exports = { checkQuery, checkMutation, flat };
