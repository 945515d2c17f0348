// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// graphql-js finds what is wrong with an operation; this turns what it says into the vendor's words and codes.
'use strict';

const { GraphQLError, Kind, print } = require('graphql');

const QUOTED = '"([^"]*)"';

// [pattern of graphql-js's message, code, (match) -> {message, extensions}]
const RULES = [
  [
    `^Cannot query field ${QUOTED} on type ${QUOTED}`,
    'undefinedField',
    (m) => ({
      message: `Field '${m[1]}' doesn't exist on type '${m[2]}'`,
      extensions: { typeName: m[2], fieldName: m[1] },
    }),
  ],
  [
    `^Unknown argument ${QUOTED} on field "[^".]*\\.([^"]*)"`,
    'argumentNotAccepted',
    (m) => ({
      message: `Field '${m[2]}' doesn't accept argument '${m[1]}'`,
      extensions: { name: m[2], typeName: 'Field', argumentName: m[1] },
    }),
  ],
  [
    `^Unknown argument ${QUOTED} on directive "@([^"]*)"`,
    'argumentNotAccepted',
    (m) => ({
      message: `Directive '${m[2]}' doesn't accept argument '${m[1]}'`,
      extensions: { name: m[2], typeName: 'Directive', argumentName: m[1] },
    }),
  ],
  [
    `^Field ${QUOTED} argument ${QUOTED} of type ${QUOTED} is required`,
    'missingRequiredArguments',
    (m) => ({
      message: `Field '${m[1]}' is missing required arguments: ${m[2]}`,
      extensions: { className: 'Field', name: m[1], arguments: m[2] },
    }),
  ],
  [
    `^Field "([^".]*)\\.([^"]*)" of required type ${QUOTED} was not provided`,
    'missingRequiredInputObjectAttribute',
    (m) => ({
      message: `Argument '${m[2]}' on InputObject '${m[1]}' is required. Expected type ${m[3]}`,
      extensions: { argumentName: m[2], argumentType: m[3], inputObjectType: m[1] },
    }),
  ],
  [
    `^Field ${QUOTED} is not defined by type ${QUOTED}`,
    'argumentNotAccepted',
    (m) => ({
      message: `InputObject '${m[2]}' doesn't accept argument '${m[1]}'`,
      extensions: { name: m[2], typeName: 'InputObject', argumentName: m[1] },
    }),
  ],
  [
    `^Variable "\\$([^"]*)" is not defined by operation ${QUOTED}`,
    'variableNotDefined',
    (m) => ({
      message: `Variable $${m[1]} is used by ${m[2]} but not declared`,
      extensions: { variableName: m[1] },
    }),
  ],
  [
    '^Variable "\\$([^"]*)" is not defined\\.',
    'variableNotDefined',
    (m) => ({
      message: `Variable $${m[1]} is used by anonymous query but not declared`,
      extensions: { variableName: m[1] },
    }),
  ],
  [
    `^Variable "\\$([^"]*)" is never used(?: in operation ${QUOTED})?`,
    'variableNotUsed',
    (m) => ({
      message: `Variable $${m[1]} is declared by ${m[2] || 'anonymous query'} but not used`,
      extensions: { variableName: m[1] },
    }),
  ],
  [
    `^Variable "\\$([^"]*)" of type ${QUOTED} used in position expecting type ${QUOTED}`,
    'variableMismatch',
    (m) => ({
      message: `Type mismatch on variable $${m[1]} (${m[2]} / ${m[3]})`,
      extensions: { variableName: m[1], typeName: m[2], errorMessage: 'Type mismatch' },
    }),
  ],
  [
    `^Field ${QUOTED} of type ${QUOTED} must have a selection of subfields`,
    'selectionMismatch',
    (m) => ({
      message:
        `Field must have selections (field '${m[1]}' returns ${m[2].replace(/[![\]]/g, '')} but has no selections. ` +
        `Did you mean '${m[1]} { ... }'?)`,
      extensions: { nodeName: `field '${m[1]}'`, typeName: m[2].replace(/[![\]]/g, '') },
    }),
  ],
  [
    `^Field ${QUOTED} must not have a selection since type ${QUOTED} has no subfields`,
    'selectionMismatch',
    (m) => ({
      message:
        `Selections can't be made on scalars (field '${m[1]}' returns ${m[2].replace(/[![\]]/g, '')} but has ` +
        'selections)',
      extensions: { nodeName: `field '${m[1]}'`, typeName: m[2].replace(/[![\]]/g, '') },
    }),
  ],
  [
    `^Unknown type ${QUOTED}`,
    'undefinedType',
    (m) => ({
      message: `No such type ${m[1]}, so it can't be a fragment condition`,
      extensions: { typeName: m[1] },
    }),
  ],
  [
    `^Unknown fragment ${QUOTED}`,
    'useAndDefineFragment',
    (m) => ({
      message: `Fragment ${m[1]} was used, but not defined`,
      extensions: { fragmentName: m[1] },
    }),
  ],
  [
    `^Fragment ${QUOTED} is never used`,
    'useAndDefineFragment',
    (m) => ({
      message: `Fragment ${m[1]} was defined, but not used`,
      extensions: { fragmentName: m[1] },
    }),
  ],
  [
    `^Fragment ${QUOTED} cannot be spread here.*type ${QUOTED} can never be of type ${QUOTED}`,
    'cannotSpreadFragment',
    (m) => ({
      message: `Fragment ${m[1]} on ${m[3]} can't be spread inside ${m[2]}`,
      extensions: { typeName: m[3], fragmentName: m[1], parentName: m[2] },
    }),
  ],
  [
    `^Fragment cannot be spread here.*type ${QUOTED} can never be of type ${QUOTED}`,
    'cannotSpreadFragment',
    (m) => ({
      message: `Fragment on ${m[2]} can't be spread inside ${m[1]}`,
      extensions: { typeName: m[2], fragmentName: 'unknown', parentName: m[1] },
    }),
  ],
  [
    `^Fields ${QUOTED} conflict because`,
    'fieldConflict',
    (m) => ({
      message: `Field '${m[1]}' has a field conflict`,
      extensions: { fieldName: m[1], conflicts: m[1] },
    }),
  ],
].map(([pattern, code, make]) => [new RegExp(pattern, 's'), code, make]);

// graphql-js says these of a literal that does not fit its argument.
const LITERAL =
  /cannot represent|^Expected value of type|^(Enum|Value) .* (cannot|does not exist)|must be a|OneOf Input|Exactly one key/;

/** The chain of names from the operation to the node that an error is about, as the vendor gives in `path`. */
function pathTo(document, node) {
  let found = null;
  const walk = (at, names) => {
    if (found || !at || typeof at !== 'object') return;
    if (at === node) {
      found = names;
      return;
    }
    if (Array.isArray(at)) {
      at.forEach((one) => walk(one, names));
      return;
    }
    for (const key of [
      'definitions',
      'variableDefinitions',
      'selectionSet',
      'selections',
      'arguments',
      'directives',
      'value',
      'fields',
      'values',
      'typeCondition',
      'name',
      'type',
      'variable',
    ]) {
      const child = at[key];
      if (child) (Array.isArray(child) ? child : [child]).forEach((one) => walk(one, [...names, ...label(one)]));
    }
  };
  walk(document, []);
  return found || [];
}

function label(node) {
  switch (node.kind) {
    case Kind.OPERATION_DEFINITION:
      return [node.name ? `${node.operation} ${node.name.value}` : node.operation];
    case Kind.FRAGMENT_DEFINITION:
      return [`fragment ${node.name.value}`];
    case Kind.INLINE_FRAGMENT:
      return [node.typeCondition ? `... on ${node.typeCondition.name.value}` : '...'];
    case Kind.FRAGMENT_SPREAD:
      return [`... ${node.name.value}`];
    case Kind.FIELD:
      return [(node.alias || node.name).value];
    case Kind.ARGUMENT:
    case Kind.OBJECT_FIELD:
      return [node.name.value];
    default:
      return [];
  }
}

function ofArgument(document, node) {
  let owner = null;
  const walk = (at, argument, field) => {
    if (at === node) owner = owner || { argument, field };
    if (!at || typeof at !== 'object' || owner) return;
    for (const [key, child] of Object.entries(at)) {
      if (key === 'loc') continue;
      const nextField = at.kind === Kind.FIELD ? at : field;
      const nextArgument = at.kind === Kind.ARGUMENT || at.kind === Kind.OBJECT_FIELD ? at : argument;
      walk(child, nextArgument, nextField);
    }
  };
  walk(document, null, null);
  return owner;
}

/** One error of validate() as the vendor says it. */
function ofValidation(document, error) {
  const node = error.nodes && error.nodes[error.nodes.length - 1];
  const shaped = (message, code, extensions) => ({
    message,
    locations: error.locations,
    path: node ? pathTo(document, node) : [],
    extensions: { code, ...extensions },
  });
  for (const [pattern, code, make] of RULES) {
    const match = pattern.exec(error.message);
    if (match) {
      const { message, extensions } = make(match);
      return shaped(message, code, extensions);
    }
  }
  const owner = node && LITERAL.test(error.message) ? ofArgument(document, node) : null;
  if (owner && owner.argument) {
    const expected =
      /"?([A-Z]\w*!?)"? cannot represent|Expected value of type "([^"]*)"|Value ".*" does not exist in "([^"]*)"/.exec(
        error.message,
      );
    const type = expected ? expected[1] || expected[2] || expected[3] : 'another type';
    return shaped(
      `Argument '${owner.argument.name.value}' on Field '${owner.field.name.value}' has an invalid value ` +
        `(${print(node)}). Expected type '${type}'.`,
      'argumentLiteralsIncompatible',
      { typeName: 'Field', argumentName: owner.argument.name.value },
    );
  }
  return shaped(error.message, 'invalid', {});
}

/** Errors of variables that do not fit their declared types, as one error for each variable. */
function ofVariables(definitions, variables, errors) {
  const byName = new Map();
  for (const error of errors) {
    const name = /^Variable "\$(\w+)"/.exec(error.message)?.[1] ?? '?';
    byName.set(name, [...(byName.get(name) || []), error]);
  }
  return [...byName].map(([name, list]) => {
    const definition = definitions.find((one) => one.variable.name.value === name);
    const type = definition ? print(definition.type) : '?';
    const problems = list.map((error) => {
      const at = /at "\w+\.?([^"]*)"/.exec(error.message)?.[1] || '';
      const path = at
        .replace(/\[(\d+)\]/g, '.$1')
        .split('.')
        .filter(Boolean)
        .map((one) => (/^\d+$/.test(one) ? Number(one) : one));
      const why = error.message.replace(/^.*?; /s, '');
      const unknown = /^Field "(\w+)" is not defined by type "(\w+)"/.exec(why);
      if (unknown) return { path: [...path, unknown[1]], explanation: `Field is not defined on ${unknown[2]}` };
      const missing = /^Field "(\w+)" of required type "[^"]*" was not provided/.exec(why);
      if (missing) return { path: [...path, missing[1]], explanation: 'Expected value to not be null' };
      if (/was not provided|must not be null|non-nullable/.test(error.message)) {
        return { path, explanation: 'Expected value to not be null' };
      }
      return { path, explanation: why };
    });
    const told = problems.map((one) =>
      one.path.length ? `${one.path.join('.')} (${one.explanation})` : one.explanation,
    );
    return {
      message:
        `Variable $${name} of type ${type} was provided invalid value` +
        (problems.some((one) => one.path.length) ? ` for ${told.join(', ')}` : ''),
      locations: list[0].locations,
      extensions: { code: 'INVALID_VARIABLE', value: variables[name] ?? null, problems },
    };
  });
}

function ofSyntax(error) {
  return { message: error.message.replace(/^Syntax Error: /, 'syntax error, '), locations: error.locations };
}

/** A failure of one field at execution, with the vendor's code. */
function failure(message, code, more = {}) {
  return new GraphQLError(message, { extensions: { code, ...more } });
}

module.exports = { ofValidation, ofVariables, ofSyntax, failure };
