// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Holds a ledger of the Shopify simulator against the vendor's schema: each operation, its variables, the answer, the
// inner operations of bulk operations and the lines of their results. Shares no code with the simulator: the answer is
// walked here by the selection, not executed.
//
//     node shopify_check.js LEDGER... [--answers LEDGER...]     prints {"checked": {...}, "roots": {...}, "met": {...},
//     "asked": {...}, "violations": [...]}
//
// Ledgers after --answers are of tests that ask much wrongly on purpose: only what the simulator gave is judged.
'use strict';

const fs = require('fs');
const path = require('path');
const zlib = require('zlib');
const graphql = require('graphql');

const { Kind } = graphql;
const VIOLATIONS_MAX = 200;

function schemaOf() {
  const shared = process.env.DRAY_SHARED || path.join(__dirname, '..', '..', '..', 'shared');
  const file = path.join(shared, 'specs', 'shopify', 'admin-graphql-2026-10.introspection.json.gz');
  return graphql.buildClientSchema(JSON.parse(zlib.gunzipSync(fs.readFileSync(file))).data, { assumeValid: true });
}

const text = (pattern) => (value) => typeof value === 'string' && pattern.test(value);
const LEAVES = {
  String: (value) => typeof value === 'string',
  ID: text(/^gid:\/\/shopify\/[A-Za-z]+\/[^\s]+$/),
  Int: (value) => Number.isInteger(value) && Math.abs(value) <= 2147483647,
  Float: (value) => typeof value === 'number',
  Boolean: (value) => typeof value === 'boolean',
  DateTime: text(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
  Date: text(/^\d{4}-\d\d-\d\d$/),
  Decimal: text(/^-?\d+(\.\d+)?$/),
  Money: text(/^-?\d+(\.\d+)?$/),
  UnsignedInt64: text(/^\d{1,20}$/),
  URL: text(/^https?:\/\/\S+$/),
  JSON: () => true,
};

// Codes of errors that have been seen at the vendor, and those of its validation (graphql-ruby's own).
const CODES = new Set(
  (
    'THROTTLED ACCESS_DENIED INVALID_VARIABLE MAX_INPUT_SIZE_EXCEEDED MAX_COST_EXCEEDED BAD_REQUEST NOT_FOUND ' +
    'RESOURCE_NOT_FOUND INTERNAL_SERVER_ERROR undefinedField undefinedType argumentNotAccepted fieldConflict ' +
    'argumentLiteralsIncompatible missingRequiredArguments missingRequiredInputObjectAttribute variableNotDefined ' +
    'variableNotUsed variableMismatch selectionMismatch useAndDefineFragment cannotSpreadFragment'
  ).split(' '),
);
const number = (value) => typeof value === 'number';
const COST = {
  requestedQueryCost: number,
  actualQueryCost: (value) => value === null || number(value),
  throttleStatus: {
    maximumAvailable: number,
    currentlyAvailable: (value) => number(value) && value >= 0,
    restoreRate: number,
  },
};
const sentence = (value) => typeof value === 'string' && value.length > 0;
const STAGED = /<PostResponse><Location>http[^<]+<\/Location><Key>tmp\/[^<]+<\/Key><\/PostResponse>$/;
const XML = /^<\?xml version='1\.0' encoding='UTF-8'\?><Error><Code>\w+<\/Code><Message>[^<]+<\/Message><\/Error>$/;
const ADMIN = { errors: sentence };
const TOKEN = { access_token: text(/^shpat_\w+$/), scope: (value) => typeof value === 'string' };
const OAUTH = { error: text(/^[a-z_]+$/), error_description: sentence };
const EXPIRING = { expires_in: number };
const ROTATING = { ...EXPIRING, refresh_token: text(/^shprt_\w+$/), refresh_token_expires_in: number };
// What is no answer to an operation: path, status, shapes of which the body has one (a pattern: of its text).
const REPLIES = [
  ['/admin/api/{version}/graphql.json', 400, [{ errors: { query: sentence } }]],
  ...[401, 402, 403, 404, 423, 429].map((status) => ['/admin/api/{version}/graphql.json', status, [ADMIN]]),
  ['/admin/api/{version}/graphql.json', 413, [ADMIN]],
  ['/admin/oauth/access_token', 200, [TOKEN, { ...TOKEN, ...EXPIRING }, { ...TOKEN, ...ROTATING }]],
  ['/admin/oauth/access_token', 400, [OAUTH]],
  ['/admin/oauth/access_token', 404, [ADMIN]],
  ['/admin/oauth/authorize', 302, [null]],
  ['/admin/oauth/authorize', 400, [OAUTH]],
  ['/admin/oauth/authorize', 404, [ADMIN]],
  ['(no such path)', 404, [ADMIN]],
  ['/bulk-operation-outputs/{file}', 200, [null]], // what stands in it is judged as the operation's result
  ['/bulk-operation-outputs/{file}', 206, [null]],
  ...[400, 403, 404, 416].map((status) => ['/bulk-operation-outputs/{file}', status, [XML]]),
  ['/shopify-staged-uploads', 201, [STAGED]],
  ...[400, 403, 404].map((status) => ['/shopify-staged-uploads', status, [XML]]),
];

/** Whether a value has exactly the members of a shape, each as it says. */
function fits(value, shape) {
  if (shape instanceof RegExp) return typeof value === 'string' && shape.test(value);
  if (typeof shape === 'function') return shape(value);
  if (shape === null) return value === null;
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return false;
  const names = Object.keys(shape);
  const same = Object.keys(value).length === names.length;
  return same && names.every((name) => name in value && fits(value[name], shape[name]));
}

class Check {
  constructor(schema) {
    this.schema = schema;
    this.violations = [];
    this.whole = true; // what was asked is judged too
    this.checked = { operations: 0, refused: 0, answers: 0, values: 0, inner: 0, lines: 0, replies: 0, alone: 0 };
    this.roots = {};
    this.met = {}; // file -> root -> faults, codes of errors, userErrors or data, with counts
    this.asked = {}; // file -> root fields, those of inner operations too
    this.file = null;
    this.documents = new Map();
  }

  say(line, kind, where, message, refused = false) {
    if (this.violations.length < VIOLATIONS_MAX) this.violations.push({ file: this.file, line, kind, where, message, refused });
  }

  /** What is wrong with what the client sent. */
  sayAsked(...what) {
    if (this.whole) this.say(...what);
  }

  document(source) {
    if (!this.documents.has(source)) {
      let document = null;
      let problems;
      try {
        document = graphql.parse(source);
        problems = graphql.validate(this.schema, document).map((error) => error.message);
      } catch (error) {
        problems = [error.message];
      }
      this.documents.set(source, { document, problems });
    }
    return this.documents.get(source);
  }

  // ---- an exchange ----

  exchange(line, entry) {
    const { answer } = entry;
    const asked = entry.operation || entry.asked; // a fault struck, and no work was done on what was asked
    if (this.whole) this.checked.operations += 1;
    const refused = Boolean(answer && answer.errors && (answer.data === undefined || answer.data === null));
    if (refused) this.checked.refused += 1;
    const { document, problems } = this.document(asked.query);
    problems.forEach((message) => this.sayAsked(line, 'operation', asked.query.slice(0, 200), message, refused));
    if (problems.length) {
      this.unserved(line, entry);
      return;
    }
    const operation = graphql.getOperationAST(document, asked.operationName);
    if (!operation) {
      this.sayAsked(line, 'operation', asked.operationName, 'no such operation', refused);
      this.unserved(line, entry);
      return;
    }
    const given = graphql.getVariableValues(this.schema, operation.variableDefinitions || [], asked.variables || {});
    (given.errors || []).forEach((error) =>
      this.sayAsked(line, 'variables', JSON.stringify(asked.variables).slice(0, 300), error.message, refused),
    );
    const undeclared = Object.keys(asked.variables || {}).filter(
      (name) => !(operation.variableDefinitions || []).some((one) => one.variable.name.value === name),
    );
    undeclared.forEach((name) =>
      this.sayAsked(line, 'variables', name, 'a variable that the operation does not declare', refused),
    );
    for (const selection of operation.selectionSet.selections) {
      if (selection.kind !== Kind.FIELD) continue;
      const name = `${operation.operation} ${selection.name.value}`;
      this.roots[name] = (this.roots[name] || 0) + 1;
      this.ask(name);
      this.meet(name, (selection.alias || selection.name).value, entry);
      if (/^bulkOperationRun/.test(selection.name.value))
        this.bulkArguments(line, selection, given.coerced || {}, answer);
    }
    if (given.errors) this.unserved(line, entry);
    else if (answer) this.answer(line, document, operation, entry);
  }

  ask(name) {
    const asked = (this.asked[this.file] = this.asked[this.file] || []);
    if (!asked.includes(name)) asked.push(name);
  }

  /** Counts what became of a root field. */
  meet(name, key, { answer, faults, status }) {
    const roots = (this.met[this.file] = this.met[this.file] || {});
    const met = (roots[name] = roots[name] || {});
    const count = (what) => (met[what] = (met[what] || 0) + 1);
    (faults || []).forEach((kind) => kind !== 'slow' && count(kind === 'status' || kind === 'throttle' ? status : kind));
    ((answer && answer.errors) || []).forEach((error) => count((error.extensions && error.extensions.code) || 'error'));
    const value = answer && answer.data && answer.data[key];
    if (value && value.userErrors && value.userErrors.length) count('userErrors');
    else if (value) count('data');
  }

  /** What the client gave as inner operation, whether or not it was taken. */
  bulkArguments(line, selection, variables, answer) {
    for (const argument of selection.arguments) {
      if (argument.name.value !== 'query' && argument.name.value !== 'mutation') continue;
      const source = graphql.valueFromASTUntyped(argument.value, variables);
      const payload = answer && answer.data && answer.data[(selection.alias || selection.name).value];
      const refused = !payload || (payload.userErrors || []).length > 0;
      this.checked.inner += 1;
      const inner = this.document(source);
      const operation = inner.document && graphql.getOperationAST(inner.document);
      (operation ? operation.selectionSet.selections : []).forEach((one) =>
        this.ask(`bulk ${operation.operation} ${one.name.value}`),
      );
      inner.problems.forEach((message) =>
        this.sayAsked(line, 'inner', String(source).slice(0, 200), message, refused),
      );
    }
  }

  /** The answer to what is no operation of the schema: errors and nothing else. */
  unserved(line, { answer, faults }) {
    if (!answer) return;
    this.checked[this.whole ? 'answers' : 'alone'] += 1;
    const bad = (where, message) => this.say(line, 'answer', where, message);
    const strange = Object.keys(answer).filter((name) => name !== 'errors');
    if (strange.length) bad('', `members of an answer to what is no operation of the schema: ${strange}`);
    this.errors(answer, faults || [], bad);
  }

  errors(answer, faults, bad) {
    if (!answer.errors && !answer.data) bad('', 'neither data nor errors');
    if (answer.errors && !answer.errors.length) bad('errors', 'an empty list');
    for (const error of answer.errors || []) {
      const { message, path: at, locations, extensions } = error;
      if (!sentence(message)) bad('errors', 'an error without a message');
      if (at !== undefined && !Array.isArray(at)) bad('errors', 'a path that is no list');
      if (locations && !locations.every((one) => fits(one, { line: number, column: number })))
        bad('errors', `locations are ${JSON.stringify(locations)}`);
      // What a fault says is the test's. Errors of syntax and of names of operations have no code.
      const code = extensions && extensions.code;
      if (extensions && !CODES.has(code) && !faults.includes('graphql_error'))
        bad('errors', `${code} is no code that is known`);
    }
  }

  answer(line, document, operation, { answer, faults }) {
    this.checked[this.whole ? 'answers' : 'alone'] += 1;
    const bad = (where, message) => this.say(line, 'answer', where, message);
    const strange = Object.keys(answer).filter((name) => !['data', 'errors', 'extensions'].includes(name));
    if (strange.length) bad('', `members that no answer has: ${strange}`);
    this.errors(answer, faults || [], bad);
    const { cost } = answer.extensions || {};
    if ('data' in answer && !cost) bad('extensions', 'no cost');
    if (cost && !fits(cost, COST)) bad('extensions.cost', JSON.stringify(cost));
    const paths = new Set((answer.errors || []).filter((error) => error.path).map((error) => error.path.join('.')));
    if (!answer.data) return;
    this.object(
      answer.data,
      this.schema.getRootType(operation.operation),
      [operation.selectionSet],
      this.fragments(document),
      [],
      { bad, paths },
    );
  }

  /** What the storage host, OAuth and the door of the API answer. */
  reply(line, entry) {
    this.checked[this.whole ? 'replies' : 'alone'] += 1;
    const { template, status, reply } = entry;
    const known = REPLIES.find(([path_, code]) => path_ === template && code === status);
    const where = `${entry.method} ${template} ${status}`;
    this.met[this.file] ||= {};
    const met = (this.met[this.file][`${entry.method} ${template}`] ||= {});
    met[status] = (met[status] || 0) + 1;
    if (!known) this.say(line, 'answer', where, 'is never answered');
    else if (!known[2].some((shape) => fits(reply, shape)))
      this.say(line, 'answer', where, JSON.stringify(reply ?? null).slice(0, 200));
  }

  fragments(document) {
    return new Map(
      document.definitions.filter((one) => one.kind === Kind.FRAGMENT_DEFINITION).map((one) => [one.name.value, one]),
    );
  }

  // ---- the walk ----

  /** The fields that a selection asks of an object type. */
  fields(type, sets, fragments, into = new Map()) {
    for (const node of sets.flatMap((set) => (set ? set.selections : []))) {
      if (node.kind === Kind.FIELD) {
        const key = (node.alias || node.name).value;
        if (!into.has(key)) into.set(key, []);
        into.get(key).push(node);
        continue;
      }
      const fragment = node.kind === Kind.FRAGMENT_SPREAD ? fragments.get(node.name.value) : node;
      const on = fragment.typeCondition ? this.schema.getType(fragment.typeCondition.name.value) : type;
      if (on === type || (graphql.isAbstractType(on) && this.schema.isSubType(on, type))) {
        this.fields(type, [fragment.selectionSet], fragments, into);
      }
    }
    return into;
  }

  object(value, declared, sets, fragments, where, how) {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) {
      how.bad(where.join('.'), `not an object but ${JSON.stringify(value)}`);
      return;
    }
    const type = graphql.isAbstractType(declared) ? this.concrete(value, declared) : declared;
    if (!type) {
      // Nothing tells which type it is: what all of them share is all that can be asked.
      this.shared(value, declared, sets, fragments, where, how);
      return;
    }
    const asked = this.fields(type, sets, fragments);
    for (const key of Object.keys(value)) {
      if (!asked.has(key) && !how.more?.includes(key)) how.bad([...where, key].join('.'), 'was not asked for');
    }
    for (const [key, nodes] of asked) {
      if (how.lines && /Connection$/.test(this.named(type, nodes[0])?.name)) continue; // lines of their own
      if (!(key in value)) how.bad([...where, key].join('.'), 'is missing');
      else if (nodes[0].name.value === '__typename') {
        if (value[key] !== type.name) how.bad([...where, key].join('.'), `${value[key]} is not ${type.name}`);
      } else {
        const field = type.getFields()[nodes[0].name.value];
        this.value(
          value[key],
          field.type,
          nodes.map((node) => node.selectionSet),
          fragments,
          [...where, key],
          { ...how, more: null },
        );
      }
    }
  }

  named(type, node) {
    const field = type.getFields()[node.name.value];
    return field && graphql.getNamedType(field.type);
  }

  concrete(value, declared) {
    const name = value.__typename || /^gid:\/\/shopify\/(\w+)\//.exec(value.id || '')?.[1];
    const type = name && this.schema.getType(name);
    return type && graphql.isObjectType(type) && this.schema.isSubType(declared, type) ? type : null;
  }

  shared(value, declared, sets, fragments, where, how) {
    const possible = this.schema.getPossibleTypes(declared);
    const fits = possible.some((type) => {
      const asked = this.fields(type, sets, fragments);
      return Object.keys(value).every((key) => asked.has(key)) && asked.size === Object.keys(value).length;
    });
    if (!fits) how.bad(where.join('.'), `fits no type of ${declared.name}: ${JSON.stringify(value).slice(0, 100)}`);
  }

  value(value, type, sets, fragments, where, how) {
    this.checked.values += 1;
    if (graphql.isNonNullType(type)) {
      if (value === null || value === undefined) how.bad(where.join('.'), `null, but ${type}`);
      else this.value(value, type.ofType, sets, fragments, where, how);
    } else if (value === null) {
      // Allowed; errors tell why, when there are any.
    } else if (graphql.isListType(type)) {
      if (!Array.isArray(value)) how.bad(where.join('.'), `not a list but ${JSON.stringify(value).slice(0, 100)}`);
      else value.forEach((one, at) => this.value(one, type.ofType, sets, fragments, [...where, at], how));
    } else if (graphql.isEnumType(type)) {
      if (!type.getValue(value)) how.bad(where.join('.'), `${JSON.stringify(value)} is no ${type.name}`);
    } else if (graphql.isScalarType(type)) {
      const fits = LEAVES[type.name] || LEAVES.String;
      if (!fits(value)) how.bad(where.join('.'), `${JSON.stringify(value)} is no ${type.name}`);
    } else this.object(value, type, sets, fragments, where, how);
  }

  // ---- results of bulk operations ----

  result(line, entry) {
    const { document, problems } = this.document(entry.inner);
    this.checked.inner += 1;
    problems.forEach((message) => this.say(line, 'inner', entry.inner.slice(0, 200), message));
    if (problems.length || !entry.lines) return;
    const operation = graphql.getOperationAST(document);
    const fragments = this.fragments(document);
    const objects = entry.lines.map((one) => JSON.parse(one));
    this.checked.lines += objects.length;
    entry.lines.forEach((one, at) => {
      if (/[^\\]\//.test(one)) this.say(line, 'line', `${entry.id} ${at}`, 'a slash that is not escaped');
    });
    if (entry.type === 'MUTATION') this.mutations(line, entry, operation, fragments, objects);
    else this.nodes(line, entry, operation, fragments, objects);
  }

  mutations(line, entry, operation, fragments, objects) {
    const numbers = new Set();
    objects.forEach((object, at) => {
      const bad = (where, message) => this.say(line, 'line', `${entry.id} ${at} ${where}`, message);
      const { __lineNumber: number, data, errors, ...more } = object;
      if (!Number.isInteger(number) || numbers.has(number)) bad('__lineNumber', `${number} is no number of its own`);
      numbers.add(number);
      if (Object.keys(more).length) bad('', `members that no line has: ${Object.keys(more)}`);
      if (!data && !errors) bad('', 'neither data nor errors');
      if (data)
        this.object(data, this.schema.getMutationType(), [operation.selectionSet], fragments, [], {
          bad,
          paths: new Set(),
        });
    });
  }

  /** The selections of nodes of all connections: [{type, sets, root}]. */
  shapes(type, sets, fragments, root, into) {
    const types = graphql.isAbstractType(type) ? this.schema.getPossibleTypes(type) : [type];
    for (const one of types) {
      for (const [, nodes] of this.fields(one, sets, fragments)) {
        if (nodes[0].name.value === '__typename') continue;
        const inner = this.named(one, nodes[0]);
        const below = nodes.map((node) => node.selectionSet).filter(Boolean);
        if (/Connection$/.test(inner.name)) {
          const edges = [...this.fields(inner, below, fragments).values()].find(
            (list) => list[0].name.value === 'edges',
          );
          const edge = this.named(inner, edges[0]);
          const node = this.fields(
            edge,
            edges.map((one_) => one_.selectionSet),
            fragments,
          ).get('node');
          const nodeType = this.named(edge, node[0]);
          const shape = { type: nodeType, sets: node.map((one_) => one_.selectionSet), root };
          if (!into.some((other) => other.sets[0] === shape.sets[0])) {
            into.push(shape);
            this.shapes(nodeType, shape.sets, fragments, false, into);
          }
        } else if (graphql.isCompositeType(inner)) this.shapes(inner, below, fragments, root, into);
      }
    }
    return into;
  }

  nodes(line, entry, operation, fragments, objects) {
    const shapes = this.shapes(this.schema.getQueryType(), [operation.selectionSet], fragments, true, []);
    const ids = new Set(objects.map((object) => object.id));
    objects.forEach((object, at) => {
      const root = !('__parentId' in object);
      // In the part that a failed operation leaves, a child may be there without its parent, which comes after it.
      if (!root && !ids.has(object.__parentId) && (this.whole || !entry.error)) {
        this.say(line, 'line', `${entry.id} ${at}`, `its parent ${object.__parentId} is no line`);
      }
      let best = null;
      for (const shape of shapes) {
        if (shape.root !== root) continue;
        const found = [];
        this.object(object, shape.type, shape.sets, fragments, [], {
          bad: (where, message) => found.push([where, message]),
          lines: true,
          more: ['__parentId'],
          paths: new Set(),
        });
        if (!best || found.length < best.length) best = found;
      }
      if (!best) this.say(line, 'line', `${entry.id} ${at}`, 'no connection of the query gives such lines');
      else best.forEach(([where, message]) => this.say(line, 'line', `${entry.id} ${at} ${where}`, message));
    });
  }
}

function main(files) {
  const check = new Check(schemaOf());
  for (const file of files) {
    if (file === '--answers') {
      check.whole = false;
      continue;
    }
    check.file = file;
    fs.readFileSync(file, 'utf8')
      .split('\n')
      .slice(0, -1) // what has no end is no line: its writer was killed
      .forEach((raw, at) => {
        const entry = JSON.parse(raw);
        if (entry.event === 'bulk_result') check.result(at + 1, entry);
        else if (entry.operation || entry.asked) check.exchange(at + 1, entry);
        else if ('reply' in entry) check.reply(at + 1, entry);
      });
  }
  const { checked, roots, met, asked, violations } = check;
  process.stdout.write(JSON.stringify({ checked, roots, met, asked, violations }));
}

main(process.argv.slice(2));
