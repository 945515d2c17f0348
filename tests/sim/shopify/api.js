// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The Admin API's one endpoint: HTTP, then validation, price, execution. graphql-js validates what comes and what goes.
'use strict';

const crypto = require('crypto');
const {
  execute,
  getNamedType,
  getOperationAST,
  getVariableValues,
  GraphQLError,
  Kind,
  parse,
  print,
  TypeInfo,
  validate,
  visit,
  visitWithTypeInfo,
} = require('graphql');
const { ofValidation, ofVariables, ofSyntax, failure } = require('./vendor_errors');
const { rootOf } = require('./roots');
const { valueOf } = require('./fields');
const { Pages, TablePages } = require('./pages');

const INPUT_ARRAY_MAX = 250;
const DOCUMENTS_KEPT = 200;
const GID = /^gid:\/\/shopify\/\w+\/[^/\s]+$/;
const PATH = /^(?:\/([a-z0-9-]+\.myshopify\.com))?\/admin\/(?:api\/([^/]+)\/graphql\.json|oauth\/(access_token|authorize))$/;

const MUTATIONS = {
  ...require('./mutations_customers').mutations,
  ...require('./mutations_metafields').mutations,
  ...require('./mutations_orders').mutations,
  bulkOperationRunQuery: (args, ctx) => ctx.sim.bulk.runQuery(args, ctx),
  bulkOperationRunMutation: (args, ctx) => ctx.sim.bulk.runMutation(args, ctx),
  bulkOperationCancel: (args, ctx) => ctx.sim.bulk.cancel(args, ctx),
  stagedUploadsCreate: (args, ctx) => ctx.sim.staged.create(args),
};

/** All values of ID variables that are no gids: [{name, problems}]. The schema says ID, the vendor means gid. */
function wrongIds(schema, definitions, variables) {
  const found = [];
  const look = (type, value, path, problems) => {
    const text = String(type).replace(/[![\]]/g, '');
    if (value === null || value === undefined) return;
    if (Array.isArray(value)) value.forEach((one, at) => look(type, one, [...path, at], problems));
    else if (text === 'ID') {
      if (GID.test(value)) return;
      const told = `Invalid global id '${value}'`;
      problems.push({ path, explanation: told, message: told });
    } else {
      const named = schema.getType(text);
      if (!named || !named.getFields) return;
      for (const [name, one] of Object.entries(value)) {
        const field = named.getFields()[name];
        if (field) look(field.type, one, [...path, name], problems);
      }
    }
  };
  for (const definition of definitions) {
    const name = definition.variable.name.value;
    const problems = [];
    look(print(definition.type), variables[name], [], problems);
    if (problems.length) {
      found.push({
        message:
          `Variable $${name} of type ${print(definition.type)} was provided invalid value` +
          (problems[0].path.length
            ? ` for ${problems.map((one) => `${one.path.join('.')} (${one.explanation})`).join(', ')}`
            : ''),
        locations: [{ line: definition.loc.startToken.line, column: definition.loc.startToken.column }],
        extensions: { code: 'INVALID_VARIABLE', value: variables[name], problems },
      });
    }
  }
  return found;
}

/** The same of IDs that stand in the text of the operation. */
function wrongIdLiterals(schema, document) {
  const found = [];
  const types = new TypeInfo(schema);
  visit(
    document,
    visitWithTypeInfo(types, {
      [Kind.STRING]: (node) => {
        const type = types.getInputType();
        if (!type || getNamedType(type).name !== 'ID' || GID.test(node.value)) return;
        found.push({
          message: `Invalid global id '${node.value}'`,
          locations: [{ line: node.loc.startToken.line, column: node.loc.startToken.column }],
          extensions: { code: 'argumentLiteralsIncompatible', typeName: 'CoercionError' },
        });
      },
    }),
  );
  return found;
}

class Api {
  constructor(sim) {
    this.sim = sim;
    this.documents = new Map();
  }

  template(request) {
    const match = PATH.exec(request.path);
    if (!match) return '(no such path)';
    return match[2] ? '/admin/api/{version}/graphql.json' : `/admin/oauth/${match[3]}`;
  }

  // ---- HTTP ----

  handle(request) {
    const answer = this.answer(request);
    answer.headers = { 'X-Request-Id': crypto.randomUUID(), 'X-Shopify-Shop-Id': '66000000001', ...answer.headers };
    if (request.version) answer.headers['X-Shopify-API-Version'] = request.version;
    return answer;
  }

  answer(request) {
    const { sim } = this;
    const match = PATH.exec(request.path);
    const host = (request.headers.host || '').replace(/:\d+$/, '');
    const named = match?.[1] || (/\.myshopify\.com$/.test(host) ? host : sim.options.shop);
    if (!match || named !== sim.options.shop) return { status: 404, body: { errors: 'Not Found' } };
    if (match[3] === 'authorize' && request.method === 'GET') return sim.access.authorize(request);
    if (match[3] === 'authorize' || request.method !== 'POST') return { status: 404, body: { errors: 'Not Found' } };
    if (!match[2]) return sim.access.exchange(request);
    const version = sim.versionOf(match[2]);
    if (!version) return { status: 404, body: { errors: 'Not Found' } };
    request.version = version;
    const token = sim.access.of(request);
    if (!token) return { status: 401, body: sim.vendorStatus(401) };
    request.note.who = token.kind;
    let order;
    if (/^application\/graphql\b/.test(request.headers['content-type'] || ''))
      order = { query: request.raw.toString() };
    else {
      try {
        order = JSON.parse(request.raw.toString('utf8'));
      } catch {
        return { status: 400, body: { errors: { query: 'Required parameter missing or invalid' } } };
      }
    }
    if (!order || typeof order.query !== 'string' || (order.variables != null && typeof order.variables !== 'object')) {
      return { status: 400, body: { errors: { query: 'Required parameter missing or invalid' } } };
    }
    Object.assign(request.note, {
      operation: { query: order.query, variables: order.variables ?? {}, operationName: order.operationName ?? null },
    });
    const body = this.run(order, token, request);
    if (!sim.ledger.brief) request.note.answer = body;
    return { status: 200, body };
  }

  // ---- one operation ----

  /** {document, errors} of a text; documents are kept, since clients send the same again and again. */
  read(text) {
    let kept = this.documents.get(text);
    if (!kept) {
      kept = this.parsed(text);
      if (this.documents.size >= DOCUMENTS_KEPT) this.documents.delete(this.documents.keys().next().value);
      this.documents.set(text, kept);
    }
    return kept;
  }

  parsed(text) {
    let document;
    try {
      document = parse(text);
    } catch (error) {
      return { errors: [ofSyntax(error)] };
    }
    const errors = validate(this.sim.schema, document).map((error) => ofValidation(document, error));
    return { document, errors: errors.length ? errors : wrongIdLiterals(this.sim.schema, document) };
  }

  run(order, token, request) {
    const { sim } = this;
    const { document, errors } = this.read(order.query);
    if (errors.length) return { errors };
    const operation = getOperationAST(document, order.operationName);
    if (!operation) {
      return {
        errors: [
          {
            message: order.operationName
              ? `No operation named "${order.operationName}"`
              : 'An operation name is required',
          },
        ],
      };
    }
    this.count(operation);
    const given = order.variables || {};
    const definitions = operation.variableDefinitions || [];
    const checked = getVariableValues(sim.schema, definitions, given, { maxErrors: 50 });
    if (checked.errors) return { errors: ofVariables(definitions, given, checked.errors) };
    const badIds = wrongIds(sim.schema, definitions, checked.coerced);
    if (badIds.length) return { errors: badIds };
    const requested = sim.pricing.of(document, operation, checked.coerced);
    if (requested > sim.pricing.max) {
      return {
        errors: [
          {
            message:
              `Query cost is ${requested}, which exceeds the single query max cost limit (${sim.pricing.max}). See ` +
              'https://shopify.dev/concepts/about-apis/rate-limits for more information on how the cost of a ' +
              'query is calculated.',
            extensions: {
              code: 'MAX_COST_EXCEEDED',
              cost: requested,
              maxCost: sim.pricing.max,
              documentation: 'https://shopify.dev/api/usage/rate-limits',
            },
          },
        ],
      };
    }
    const throttled = request.faults.some((fault) => fault.kind === 'throttled');
    if (throttled || !sim.bucket.take(requested)) {
      request.note.throttled = true;
      return {
        errors: [
          {
            message: 'Throttled',
            extensions: { code: 'THROTTLED', documentation: 'https://shopify.dev/api/usage/rate-limits' },
          },
        ],
        extensions: {
          cost: { requestedQueryCost: requested, actualQueryCost: null, throttleStatus: sim.bucket.status() },
        },
      };
    }
    const ctx = this.context(token, request);
    const result = this.executed(document, operation, order.operationName, given, ctx, request);
    const actual = result.data ? sim.pricing.of(document, operation, checked.coerced, result.data) : 0;
    sim.bucket.give(Math.max(0, requested - actual));
    request.note.writes = ctx.writes.length ? ctx.writes : undefined;
    const body = { ...result };
    body.extensions = {
      cost: { requestedQueryCost: requested, actualQueryCost: actual, throttleStatus: sim.bucket.status() },
    };
    if (ctx.search.length) body.extensions.search = ctx.search;
    return body;
  }

  count(operation) {
    for (const selection of operation.selectionSet.selections) {
      if (selection.kind === Kind.FIELD)
        this.sim.calls.count('operations', `${operation.operation} ${selection.name.value}`);
    }
  }

  context(token, request) {
    const writes = [];
    return {
      sim: this.sim,
      store: this.sim.store,
      token,
      search: [],
      faults: request.faults,
      writes,
      wrote(kind, id, became, errors, what) {
        this.writes.push({ kind, id, became, ...(errors ? { errors } : {}), ...(what ? { what } : {}) });
      },
    };
  }

  executed(document, operation, operationName, variables, ctx, request) {
    const fault = request.faults.find((one) => one.kind === 'graphql_error');
    if (fault && !fault.applied && !fault.field) return { errors: [errorOf(fault)], data: null };
    const result = execute({
      schema: this.sim.schema,
      document,
      operationName,
      variableValues: variables,
      contextValue: ctx,
      fieldResolver: (source, args, context, info) => this.field(source, args, context, info),
    });
    if (fault && fault.applied) return { errors: [errorOf(fault)], data: null };
    // The vendor gives errors first and data also when it is null.
    return result.errors
      ? { errors: result.errors.map((error) => this.shown(error)), data: result.data ?? null }
      : { data: result.data };
  }

  shown(error) {
    const { originalError } = error;
    if (originalError && !(originalError instanceof GraphQLError)) this.sim.defect(originalError);
    if (!error.extensions?.code) {
      this.sim.defect(originalError || error);
      return { ...error.toJSON(), extensions: { code: 'INTERNAL_SERVER_ERROR', requestId: crypto.randomUUID() } };
    }
    return error.toJSON();
  }

  field(source, args, ctx, info) {
    const type = info.parentType;
    const definition = type.getFields()[info.fieldName];
    this.sim.access.check(type.name, definition);
    let value;
    if (type.name === 'QueryRoot') {
      this.refuse(definition, ctx);
      checkSizes(args);
      value = rootOf(definition, args, ctx);
    } else if (type.name === 'Mutation') {
      this.refuse(definition, ctx);
      checkSizes(args);
      value = this.mutate(definition, args, ctx);
    } else value = valueOf(type.name, definition, source, args, ctx);
    return value instanceof Pages || value instanceof TablePages ? value.page() : value;
  }

  refuse(definition, ctx) {
    const fault = ctx.faults.find(
      (one) => one.kind === 'graphql_error' && one.field === definition.name && !one.applied,
    );
    if (fault) throw failure(fault.message || 'Internal error', fault.code || 'INTERNAL_SERVER_ERROR');
  }

  mutate(definition, args, ctx) {
    const fault = ctx.faults.find((one) => one.kind === 'user_error' && (!one.root || one.root === definition.name));
    if (fault) {
      const error = {
        field: fault.field ?? null,
        message: fault.message || 'Something went wrong',
        code: fault.code ?? null,
      };
      ctx.wrote(definition.name, null, 'rejected', [error]);
      return { userErrors: [error] };
    }
    const mutation = MUTATIONS[definition.name];
    if (!mutation) throw failure(`the simulator does not serve Mutation.${definition.name}`, 'INTERNAL_SERVER_ERROR');
    return mutation(args, ctx);
  }

  /** One line of a bulk mutation: the answer's {data} or {errors}. */
  runLine({ document, operation }, line, ctx) {
    let variables;
    try {
      variables = JSON.parse(line);
    } catch (error) {
      return { data: null, errors: [{ message: `Invalid JSON: ${error.message}` }] };
    }
    const definitions = operation.variableDefinitions || [];
    const checked = getVariableValues(this.sim.schema, definitions, variables, { maxErrors: 50 });
    if (checked.errors) return { data: null, errors: ofVariables(definitions, variables, checked.errors) };
    const badIds = wrongIds(this.sim.schema, definitions, checked.coerced);
    if (badIds.length) return { data: null, errors: badIds };
    const result = execute({
      schema: this.sim.schema,
      document,
      variableValues: variables,
      contextValue: { ...ctx, faults: [] },
      fieldResolver: (source, args, context, info) => this.field(source, args, context, info),
    });
    return result.errors
      ? { data: result.data ?? null, errors: result.errors.map((error) => this.shown(error)) }
      : { data: result.data };
  }
}

function errorOf(fault) {
  return {
    message: fault.message || 'Internal error. Looks like something went wrong on our end.',
    extensions: { code: fault.code || 'INTERNAL_SERVER_ERROR', requestId: crypto.randomUUID() },
  };
}

function checkSizes(args) {
  for (const [name, value] of Object.entries(args)) {
    if (Array.isArray(value) && value.length > INPUT_ARRAY_MAX) {
      throw failure(
        `The input array size of ${value.length} is greater than the maximum allowed of ${INPUT_ARRAY_MAX}.`,
        'MAX_INPUT_SIZE_EXCEEDED',
        { argument: name },
      );
    }
  }
}

module.exports = { Api };
