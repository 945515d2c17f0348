// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The vendor's search syntax: terms `field:>='value'`, AND, OR, NOT, a leading minus, parentheses, free words.
//
// A name that the stream does not filter by is ignored and warned of (extensions.search), as the vendor does: the
// answer is then wider than asked for, which a client must notice itself.
'use strict';

const { failure } = require('./vendor_errors');

// A parenthesis, a connective, or a term: an optional minus, field, comparator, and a value in quotes or without.
const TOKEN = new RegExp(
  String.raw`\s*(?:(\()|(\))|(AND|OR|NOT)(?=[\s(]|$)|(-)?(?:([A-Za-z_][\w.]*):\s*)?(<=|>=|<|>|=)?\s*` +
    String.raw`(?:'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)"|([^\s()]+)))`,
  'gy',
);

function tokens(text) {
  const list = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const m = TOKEN.exec(text);
    if (!m) throw failure(`Invalid search query: ${text}`, 'BAD_REQUEST');
    if (m[1] || m[2]) list.push({ kind: m[1] || m[2] });
    else if (m[3]) list.push({ kind: m[3] });
    else {
      const value = (m[7] ?? m[8] ?? m[9]).replace(/\\(.)/g, '$1');
      const term = { kind: 'term', field: m[5] || null, op: m[6] || '=', value, quoted: m[9] === undefined };
      list.push(m[4] ? { kind: 'not-term', term } : term);
    }
  }
  return list;
}

/** A tree of {and: []}, {or: []}, {not: x} and terms; null for an empty text. */
function parse(text) {
  const list = tokens(text);
  let at = 0;
  const either = () => {
    const parts = [both()];
    while (list[at]?.kind === 'OR') {
      at += 1;
      parts.push(both());
    }
    return parts.length === 1 ? parts[0] : { or: parts };
  };
  const both = () => {
    const parts = [one()];
    while (at < list.length && list[at].kind !== 'OR' && list[at].kind !== ')') {
      if (list[at].kind === 'AND') at += 1;
      parts.push(one());
    }
    return parts.length === 1 ? parts[0] : { and: parts };
  };
  const one = () => {
    const token = list[at++];
    if (!token || token.kind === ')' || token.kind === 'AND' || token.kind === 'OR') {
      throw failure(`Invalid search query: ${text}`, 'BAD_REQUEST');
    }
    if (token.kind === 'NOT') return { not: one() };
    if (token.kind === 'not-term') return { not: token.term };
    if (token.kind === '(') {
      const inner = either();
      if (list[at++]?.kind !== ')') throw failure(`Invalid search query: ${text}`, 'BAD_REQUEST');
      return inner;
    }
    return token;
  };
  if (list.length === 0) return null;
  const tree = either();
  if (at !== list.length) throw failure(`Invalid search query: ${text}`, 'BAD_REQUEST');
  return tree;
}

const compare = {
  '=': (a, b) => a === b,
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
  '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b,
};

function timeOf(text, now) {
  if (text === 'now') return now;
  if (/^\d{4}$/.test(text)) return Date.parse(`${text}-01-01T00:00:00Z`);
  return Date.parse(/T\d\d:\d\d(:\d\d(\.\d+)?)?$/.test(text) ? `${text}Z` : text);
}

const DAY = 86400000;

// How the value of a term is understood and compared, by the type that the schema's description gives: makes a test of
// a record.
const TESTS = {
  time(term, get, { now, wholeDays }) {
    const wanted = timeOf(term.value, now);
    if (Number.isNaN(wanted)) return null;
    const round = wholeDays ? (moment) => Math.floor(moment / DAY) : (moment) => Math.floor(moment / 1000);
    const test = compare[term.op];
    const limit = round(wanted);
    // A day without an hour means the whole day when asked for equality.
    if (term.op === '=' && /^\d{4}-\d\d-\d\d$/.test(term.value)) {
      return (record) => Math.floor(Date.parse(get(record)) / DAY) === Math.floor(wanted / DAY);
    }
    return (record) => {
      const value = get(record);
      return value !== null && value !== undefined && test(round(Date.parse(value)), limit);
    };
  },
  id(term, get) {
    const wanted = Number(String(term.value).replace(/^gid:\/\/shopify\/\w+\//, ''));
    return Number.isNaN(wanted) ? null : (record) => compare[term.op](get(record), wanted);
  },
  number(term, get) {
    const wanted = Number(term.value);
    return Number.isNaN(wanted) ? null : (record) => compare[term.op](Number(get(record)), wanted);
  },
  boolean(term, get) {
    if (!/^(true|false)$/.test(term.value)) return null;
    return (record) => Boolean(get(record)) === (term.value === 'true');
  },
  string(term, get) {
    if (term.value === '*' && !term.quoted) return (record) => has(get(record));
    const wanted = term.value.toLowerCase();
    const prefix = wanted.endsWith('*') && !term.quoted ? wanted.slice(0, -1) : null;
    const fits = (value) => (prefix === null ? value.toLowerCase() === wanted : value.toLowerCase().startsWith(prefix));
    return (record) => [].concat(get(record) ?? []).some((value) => fits(String(value)));
  },
};
TESTS.integer = TESTS.float = TESTS.number;

const has = (value) =>
  value !== null && value !== undefined && value !== '' && !(Array.isArray(value) && !value.length);

/**
 * A test of records for a query text. `filters`: names that the schema declares; `getters`: how a record gives each;
 * `warnings` is filled with what was ignored.
 */
function compile(text, { filters, getters, now, wholeDays, free }, warnings) {
  const build = (node) => {
    if (node.and) {
      const parts = node.and.map(build);
      return (record) => parts.every((part) => part(record));
    }
    if (node.or) {
      const parts = node.or.map(build);
      return (record) => parts.some((part) => part(record));
    }
    if (node.not) {
      const inner = build(node.not);
      return (record) => !inner(record);
    }
    if (!node.field) {
      const words = node.value.toLowerCase();
      return (record) => free(record).toLowerCase().includes(words);
    }
    const name = node.field.toLowerCase();
    if (!filters.has(name)) {
      warnings.push({ field: node.field, message: 'Invalid search field for this query.' });
      return () => true;
    }
    const get = getters[name];
    if (!get) throw failure(`the simulator does not filter by ${name}`, 'INTERNAL_SERVER_ERROR');
    const kind = TESTS[filters.get(name)] || TESTS.string;
    const test = kind(node, get, { now, wholeDays: wholeDays && name === 'updated_at' });
    if (!test) {
      warnings.push({
        field: node.field,
        message: `Input \`${node.value}\` is not an accepted value.`,
        code: 'invalid_value',
      });
      return () => true;
    }
    return test;
  };
  const tree = parse(text);
  return tree ? build(tree) : () => true;
}

module.exports = { parse, compile };
