// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The price of a query and the bucket that it is paid from.
//
// Objects cost 1, mutations 10, scalars nothing. A connection of size n with nodes of cost c (an object and what is in
// it) costs log2(n + 1) x (1 + c), rounded ("log", which gives the 24 that the vendor told for variants(first: 250)
// with one object in each), or 2 + n x (1 + c) ("linear", the worst case that the vendor once documented). The actual
// cost puts in what was returned.
'use strict';

const { getNamedType, isAbstractType, isLeafType, Kind, typeFromAST } = require('graphql');

const MUTATION = 10;

class Pricing {
  constructor(schema, model, max) {
    if (model !== 'log' && model !== 'linear') throw new Error('--cost is log or linear');
    Object.assign(this, { schema, model, max });
  }

  connection(size, node) {
    return this.model === 'log' ? Math.round(Math.log2(size + 1) * (1 + node)) : 2 + size * (1 + node);
  }

  /** The requested cost of an operation, or the actual one when its data are given. */
  of(document, operation, variables, data) {
    const fragments = new Map(
      document.definitions.filter((one) => one.kind === Kind.FRAGMENT_DEFINITION).map((one) => [one.name.value, one]),
    );
    const root = this.schema.getRootType(operation.operation);
    return this.selection(operation.selectionSet, root, { fragments, variables, actual: data !== undefined }, data);
  }

  selection(set, type, how, data) {
    let sum = 0;
    for (const node of set ? set.selections : []) {
      if (node.kind === Kind.FIELD) sum += this.field(node, type, how, data);
      else {
        const fragment = node.kind === Kind.FRAGMENT_SPREAD ? how.fragments.get(node.name.value) : node;
        const inner = fragment.typeCondition ? typeFromAST(this.schema, fragment.typeCondition) : type;
        if (data && data.__typename && inner.name !== data.__typename && !isAbstractType(inner)) continue;
        sum += this.selection(fragment.selectionSet, inner, how, data);
      }
    }
    return sum;
  }

  field(node, type, how, data) {
    const definition = type.getFields && type.getFields()[node.name.value];
    if (!definition) return 0;
    const inner = getNamedType(definition.type);
    if (isLeafType(inner)) return type.name === 'Mutation' ? MUTATION : 0;
    const value = how.actual ? data?.[(node.alias || node.name).value] : undefined;
    if (how.actual && (value === null || value === undefined)) return 0;
    if (/Connection$/.test(inner.name)) return this.pages(node, inner, how, value);
    const values = Array.isArray(value) ? value.filter((one) => one !== null) : [value];
    const below = values.reduce((sum, one) => sum + this.selection(node.selectionSet, inner, how, one), 0);
    if (type.name === 'Mutation') return MUTATION; // whatever it gives back
    return /^(PageInfo|.*Error)$/.test(inner.name) ? 0 : values.length + below;
  }

  pages(node, type, how, value) {
    const size = how.actual ? (value.edges || value.nodes || []).length : this.size(node, how.variables);
    let cost = 0;
    for (const child of node.selectionSet.selections) {
      if (child.kind !== Kind.FIELD || !['edges', 'nodes'].includes(child.name.value)) continue;
      const listed = getNamedType(type.getFields()[child.name.value].type);
      const sets =
        child.name.value === 'nodes'
          ? [child.selectionSet]
          : child.selectionSet.selections.filter((one) => one.name?.value === 'node').map((one) => one.selectionSet);
      const nodeType = child.name.value === 'nodes' ? listed : getNamedType(listed.getFields().node.type);
      for (const set of sets) {
        if (!how.actual) cost = Math.max(cost, this.selection(set, nodeType, how));
        else {
          for (const one of value[(child.alias || child.name).value] || []) {
            cost = Math.max(cost, this.selection(set, nodeType, how, child.name.value === 'nodes' ? one : one.node));
          }
        }
      }
    }
    return this.connection(size, cost);
  }

  size(node, variables) {
    for (const argument of node.arguments || []) {
      if (argument.name.value !== 'first' && argument.name.value !== 'last') continue;
      const { value } = argument;
      if (value.kind === Kind.INT) return Number(value.value);
      if (value.kind === Kind.VARIABLE && Number.isInteger(variables[value.name.value]))
        return variables[value.name.value];
    }
    return 1;
  }
}

/** Points that come back with time. One bucket for an app and its shop. */
class Bucket {
  constructor(clock, size, rate) {
    Object.assign(this, { clock, size, rate, points: size, at: clock.now(), spent: 0, throttled: 0, lowest: size });
  }

  available() {
    const now = this.clock.now();
    this.points = Math.min(this.size, this.points + ((now - this.at) / 1000) * this.rate);
    this.at = now;
    return this.points;
  }

  /** Holds the requested cost back; false when there is not enough. */
  take(cost) {
    if (this.available() < cost) {
      this.throttled += 1;
      return false;
    }
    this.points -= cost;
    this.spent += cost;
    this.lowest = Math.min(this.lowest, this.points);
    return true;
  }

  give(cost) {
    this.points = Math.min(this.size, this.available() + cost);
    this.spent -= cost;
  }

  status() {
    return { maximumAvailable: this.size, currentlyAvailable: Math.floor(this.available()), restoreRate: this.rate };
  }
}

module.exports = { Pricing, Bucket };
