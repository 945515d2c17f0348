// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Faults that a test switches on: where each applies, when it strikes, how often. The same members as those of the
// simulators in Python (tests/sim/server), and the vendor's own kinds. README.md has the table.
'use strict';

const COMMON = ['status', 'throttle', 'html', 'not_json', 'empty', 'reset', 'cut', 'stall', 'slow', 'connect_reset'];
const WHERE = ['method', 'path', 'query', 'body_contains', 'port'];
const WHEN = ['nth', 'count', 'for_s'];
const WHAT = [
  'status',
  'headers',
  'body',
  'content_type',
  'applied',
  'retry_after',
  'seconds',
  'drip_s',
  'reset',
  'keep_bytes',
];
const OWN = {
  throttled: [],
  graphql_error: ['code', 'message', 'field', 'applied'],
  user_error: ['root', 'message', 'field', 'code'],
  bulk: ['status', 'error_code', 'partial', 'seconds', 'cut_bytes', 'expire'],
};

function globbed(pattern) {
  const text = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${text}$`, 's');
}

class Faults {
  constructor(clock) {
    this.clock = clock;
    this.list = [];
  }

  /** Adds a list of orders. Throws when one says something that nobody would do. */
  add(orders) {
    if (!Array.isArray(orders)) throw new Error('faults are a list');
    const made = orders.map((order) => {
      const kind = order && order.kind;
      if (!COMMON.includes(kind) && !(kind in OWN)) {
        throw new Error(`unknown kind of fault ${kind}, one of ${[...COMMON, ...Object.keys(OWN)].sort()}`);
      }
      const allowed = new Set([...WHERE, ...WHEN, 'kind', ...(OWN[kind] || WHAT)]);
      const unknown = Object.keys(order).filter((name) => !allowed.has(name));
      if (unknown.length) throw new Error(`fault ${kind} takes no ${unknown}`);
      if (kind === 'status' && !Number.isInteger(order.status)) throw new Error('fault status needs a status');
      // A fault that lasts for a time strikes as often as it is met.
      return { nth: 1, count: 'for_s' in order ? -1 : 1, ...order, met: 0, struck: 0, until: null };
    });
    this.list.push(...made);
  }

  clear() {
    this.list = [];
  }

  /** Takes one use of every fault that strikes now, and gives them. `request` is absent for connections. */
  due(wanted, request) {
    return this.list
      .filter((fault) => wanted(fault.kind) && (!request || applies(fault, request)) && this.strikes(fault))
      .map((fault) => ({ ...fault }));
  }

  strikes(fault) {
    fault.met += 1;
    if (fault.met < fault.nth || fault.count === 0) return false;
    if ('for_s' in fault) {
      if (fault.until === null) fault.until = this.clock.now() + fault.for_s * 1000;
      if (this.clock.now() > fault.until) return false;
    }
    if (fault.count > 0) fault.count -= 1;
    fault.struck += 1;
    return true;
  }
}

function applies(fault, request) {
  if ('port' in fault && fault.port !== request.port) return false;
  if ('method' in fault && fault.method !== request.method) return false;
  if ('path' in fault && !globbed(fault.path).test(request.path)) return false;
  for (const [name, value] of Object.entries(fault.query || {})) {
    if (request.query.get(name) !== value) return false;
  }
  return !('body_contains' in fault) || request.raw.includes(Buffer.from(fault.body_contains));
}

module.exports = { Faults, COMMON, OWN };
