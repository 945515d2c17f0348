// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Writes the result of one bulk operation into a file, in slices between which other requests are served, with flat
// memory.
'use strict';

const fs = require('fs');
const readline = require('readline');
const { Compiler, lineOf } = require('./bulk_compile');

const SLICE_MS = 20;
const BUFFER_CHARS = 1 << 20;
const PARENT_LAG = 4; // so many parents are behind their children when results are not grouped
const LATE_EVERY = 5; // each fifth child comes late
const LATE_MAX = 500;

const breathe = () => new Promise((done) => setImmediate(done));

class Output {
  constructor(path) {
    this.file = fs.openSync(path, 'w');
    this.buffer = [];
    this.chars = 0;
    this.lines = 0;
    this.bytes = 0;
  }

  line(text) {
    this.buffer.push(text);
    this.chars += text.length;
    this.lines += 1;
    if (this.chars >= BUFFER_CHARS) this.flush();
  }

  flush() {
    const raw = Buffer.from(this.buffer.join(''));
    for (let at = 0; at < raw.length;) at += fs.writeSync(this.file, raw, at);
    this.bytes += raw.length;
    this.buffer = [];
    this.chars = 0;
  }

  close() {
    this.flush();
    fs.closeSync(this.file);
  }
}

/** Where lines go when children need not follow their parents: some come before them, some long after. */
class Scatter {
  constructor(output) {
    Object.assign(this, { output, parents: [], late: [], count: 0 });
  }

  parent(text) {
    this.parents.push(text);
    if (this.parents.length > PARENT_LAG) this.output.line(this.parents.shift());
  }

  child(text) {
    this.count += 1;
    if (this.count % LATE_EVERY === 0) this.late.push(text);
    else this.output.line(text);
    if (this.late.length >= LATE_MAX) this.late.splice(0).forEach((one) => this.output.line(one));
  }

  end() {
    [...this.parents, ...this.late].forEach((one) => this.output.line(one));
  }
}

class Grouped {
  constructor(output) {
    this.parent = this.child = (text) => output.line(text);
  }

  end() {}
}

/**
 * Runs a checked query. `progress` gets {lines, roots}. Gives {lines, roots, bytes}. Stops early when cancelled()
 * says so.
 */
async function runQuery({ schema, fragments, operation, ctx, path, grouped, progress, cancelled }) {
  const found = [];
  new Compiler(schema, fragments, ctx).object(schema.getQueryType(), [operation.selectionSet], true)(
    null,
    {},
    found,
    null,
  );
  const output = new Output(path);
  const way = grouped ? new Grouped(output) : new Scatter(output);
  let roots = 0;
  let began = performance.now();
  try {
    for (const { make, pages } of found) {
      for (const record of pages.all()) {
        emit(make, record, null, way, true);
        roots += 1;
        if ((roots & 15) === 0 && performance.now() - began > SLICE_MS) {
          progress(output.lines, roots);
          await breathe();
          if (cancelled()) return { lines: output.lines, roots, bytes: output.bytes };
          began = performance.now();
        }
      }
    }
    way.end();
  } finally {
    output.close();
  }
  return { lines: output.lines, roots, bytes: output.bytes };
}

function emit(make, record, parent, way, isRoot) {
  const out = {};
  const found = [];
  make(record, out, found, record.id); // children belong to the nearest node, not to an object inside it
  if (parent !== null) out.__parentId = parent;
  const text = lineOf(out);
  if (isRoot) way.parent(text);
  else way.child(text);
  for (const below of found) {
    for (const child of below.pages.all()) emit(below.make, child, below.parent, way, false);
  }
}

/** Runs a mutation over each line of a staged file. `one(variables)` gives the answer's {data, errors}. */
async function runMutation({ source, path, one, progress, cancelled, shuffle }) {
  const output = new Output(path);
  const held = [];
  const put = (entry) => {
    // The vendor does not keep the order: a few results are held back and come later.
    held.push(entry);
    if (held.length > 7) output.line(held.splice(shuffle(held.length), 1)[0]);
  };
  let number = 0;
  let began = performance.now();
  const reader = readline.createInterface({ input: fs.createReadStream(source), crlfDelay: Infinity });
  for await (const line of reader) {
    if (line.trim() === '') continue;
    put(lineOf({ ...one(line), __lineNumber: number }));
    number += 1;
    if (performance.now() - began > SLICE_MS) {
      progress(output.lines, number);
      await breathe();
      if (cancelled()) break;
      began = performance.now();
    }
  }
  held.forEach((entry) => output.line(entry));
  output.close();
  return { lines: output.lines, roots: number, bytes: output.bytes };
}

module.exports = { runQuery, runMutation };
