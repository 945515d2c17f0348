// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Turns the selection of a bulk query into functions that make lines from records. The resolvers are those of normal
// queries; only the walk is another one, since a million records would take minutes through a general executor.
'use strict';

const {
  getNamedType,
  getNullableType,
  getArgumentValues,
  isAbstractType,
  isEnumType,
  isLeafType,
  isListType,
  isNonNullType,
  Kind,
  typeFromAST,
} = require('graphql');
const { rootOf } = require('./roots');
const { valueOf } = require('./fields');

const PLAIN = new Set(['String', 'ID', 'Int', 'Float', 'Boolean', 'JSON', 'HTML']);

class Compiler {
  /** `ctx` is that of normal queries; its access is checked while compiling. */
  constructor(schema, fragments, ctx) {
    Object.assign(this, { schema, fragments, ctx });
  }

  /** The fields of an object type: response key -> {definition, nodes}. */
  collect(type, sets, into = new Map()) {
    for (const set of sets) {
      for (const node of set ? set.selections : []) {
        if (node.kind === Kind.FIELD) {
          const key = (node.alias || node.name).value;
          if (!into.has(key))
            into.set(key, { name: node.name.value, definition: type.getFields()[node.name.value], nodes: [] });
          into.get(key).nodes.push(node);
          continue;
        }
        const fragment = node.kind === Kind.FRAGMENT_SPREAD ? this.fragments.get(node.name.value) : node;
        const on = fragment.typeCondition ? typeFromAST(this.schema, fragment.typeCondition) : type;
        if (on === type || (isAbstractType(on) && this.schema.isSubType(on, type)))
          this.collect(type, [fragment.selectionSet], into);
      }
    }
    return into;
  }

  /**
   * make(record, out, found, id): fills `out`, pushes {make, pages, parent} of connections to `found`; `id` is that
   * of the node.
   */
  object(type, sets, isRoot = false) {
    const steps = [];
    for (const [key, { name, definition, nodes }] of this.collect(type, sets)) {
      if (name === '__typename') {
        steps.push((record, out) => {
          out[key] = type.name;
        });
        continue;
      }
      const args = getArgumentValues(definition, nodes[0], {});
      const below = nodes.map((node) => node.selectionSet).filter(Boolean);
      const { ctx } = this;
      if (this.denied(type, definition)) {
        steps.push((record, out) => {
          out[key] = null;
        });
        continue;
      }
      const value = isRoot
        ? () => rootOf(definition, args, ctx)
        : (record) => valueOf(type.name, definition, record, args, ctx);
      if (/Connection$/.test(getNamedType(definition.type).name)) steps.push(this.connection(definition, below, value));
      else {
        const complete = this.completer(definition.type, below, `${type.name}.${name}`);
        steps.push((record, out, found, id) => {
          out[key] = complete(value(record), found, id);
        });
      }
    }
    return (record, out, found, id) => {
      for (const step of steps) step(record, out, found, id);
    };
  }

  /** Fields that the app has no approval for are null where they may be; a missing scope fails the operation. */
  denied(type, definition) {
    try {
      this.ctx.sim.access.check(type.name, definition);
      return false;
    } catch (error) {
      if (error.extensions?.requiredAccess || isNonNullType(definition.type)) throw error;
      return true;
    }
  }

  connection(definition, sets, value) {
    const type = getNamedType(definition.type);
    const edges = this.collect(type, sets).get('edges');
    const edgeType = getNamedType(edges.definition.type);
    const node = this.collect(
      edgeType,
      edges.nodes.map((one) => one.selectionSet),
    ).get('node');
    const nodeType = getNamedType(node.definition.type);
    const make = this.any(
      nodeType,
      node.nodes.map((one) => one.selectionSet),
    );
    return (record, out, found, id) => {
      const pages = value(record);
      if (pages) found.push({ make, pages, parent: id });
    };
  }

  /** make() for a type that may be abstract: the record tells which it is. */
  any(type, sets) {
    if (!isAbstractType(type)) return this.object(type, sets);
    const made = new Map();
    return (record, out, found, id) => {
      let make = made.get(record.__typename);
      if (!make) {
        make = this.object(this.schema.getType(record.__typename), sets);
        made.set(record.__typename, make);
      }
      make(record, out, found, id);
    };
  }

  completer(type, sets, where) {
    if (isNonNullType(type)) {
      const inner = this.completer(getNullableType(type), sets, where);
      return (value, found, id) => {
        const made = inner(value, found, id);
        if (made === null) throw new Error(`${where} is null and must not be`);
        return made;
      };
    }
    if (isListType(type)) {
      const inner = this.completer(type.ofType, sets, where);
      return (value, found, id) =>
        value === null || value === undefined ? null : value.map((one) => inner(one, found, id));
    }
    if (isLeafType(type)) {
      if (PLAIN.has(type.name)) return (value) => (value === undefined ? null : value);
      if (isEnumType(type)) return (value) => (value === null || value === undefined ? null : type.serialize(value));
      return (value) => (value === null || value === undefined ? null : type.serialize(value));
    }
    let make = null;
    return (value, found, id) => {
      if (value === null || value === undefined) return null;
      make ??= this.any(type, sets);
      const out = {};
      make(value, out, found, id);
      return out;
    };
  }
}

const SLASH = /\//g;

/** A line of the result: the vendor escapes slashes. */
function lineOf(object) {
  return JSON.stringify(object).replace(SLASH, '\\/') + '\n';
}

module.exports = { Compiler, lineOf };
