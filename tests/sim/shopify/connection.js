// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Pages of a list by keyset cursors: a cursor holds the sort value and the id of its record, so a page goes on from
// where the record stood when it was read, and a record that is updated meanwhile moves, as at the vendor.
'use strict';

const { failure } = require('./vendor_errors');

const PAGE_MAX = 250;
const NUMBER = /\/(\d+)(?:\?.*)?$/;

/** The number at the end of a gid; records without one (line numbers of lists) give 0. */
function numberOf(id) {
  const match = NUMBER.exec(id || '');
  return match ? Number(match[1]) : 0;
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64');

function decode(text) {
  try {
    const value = JSON.parse(Buffer.from(text, 'base64').toString('utf8'));
    if (value && typeof value === 'object' && 'last_id' in value) return value;
  } catch {
    /* told below */
  }
  throw failure(`Invalid cursor: ${text}`, 'BAD_REQUEST');
}

function order(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return a < b ? -1 : 1;
}

/** Sorted by value and then by id. `by` is a sort key's {name, of}. Gives [{value, id, record}]. */
function sorted(records, by) {
  const list = records.map((record) => ({ value: by.of(record), id: numberOf(record.id), record }));
  return list.sort((a, b) => order(a.value, b.value) || a.id - b.id);
}

function checkSize(args, field) {
  for (const name of ['first', 'last']) {
    if (args[name] === undefined || args[name] === null) continue;
    if (args[name] > PAGE_MAX) throw failure(`${name} cannot exceed ${PAGE_MAX}`, 'BAD_REQUEST');
    if (args[name] < 0) throw failure(`${name} must be positive`, 'BAD_REQUEST');
  }
  if (args.first == null && args.last == null) {
    throw failure(`you must provide one of first or last`, 'BAD_REQUEST', { field });
  }
  if (args.first != null && args.last != null)
    throw failure('providing both first and last is not supported', 'BAD_REQUEST');
}

const byPosition = { name: 'POSITION', of: null };

/** A connection over `list` in the order of `by`; `by.of` null keeps the list's own order (children of a record). */
function connect(list, args, by = byPosition, field = null) {
  checkSize(args, field);
  let rows = by.of ? (by.cached ? list : sorted(list, by)) : list.map((record, at) => ({ value: at, id: at, record }));
  if (args.reverse) rows = [...rows].reverse();
  const sign = args.reverse ? -1 : 1;
  const place = (cursor) => {
    const at = decode(cursor);
    if (at.sort !== by.name) throw failure('Invalid cursor for current pagination sort.', 'BAD_REQUEST');
    return (row) => sign * (order(row.value, at.last_value) || row.id - at.last_id);
  };
  let low = 0;
  let high = rows.length;
  if (args.after != null) {
    const to = place(args.after);
    low = search(rows, (row) => to(row) > 0);
  }
  if (args.before != null) {
    const to = place(args.before);
    high = search(rows, (row) => to(row) >= 0);
  }
  high = Math.max(low, high);
  const [start, end] =
    args.first != null ? [low, Math.min(high, low + args.first)] : [Math.max(low, high - args.last), high];
  const page = rows.slice(start, end);
  const cursors = page.map((row) => encode({ last_id: row.id, last_value: row.value, sort: by.name }));
  return {
    edges: page.map((row, at) => ({ cursor: cursors[at], node: row.record })),
    nodes: page.map((row) => row.record),
    pageInfo: {
      hasNextPage: end < rows.length,
      hasPreviousPage: start > 0,
      startCursor: cursors[0] ?? null,
      endCursor: cursors[cursors.length - 1] ?? null,
    },
  };
}

function search(rows, test) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(rows[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

module.exports = { connect, sorted, numberOf, PAGE_MAX };
