// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Bulk operations: their life from CREATED to EXPIRED, the slots, and the files of their results.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { checkQuery, checkMutation } = require('./bulk_rules');
const { runQuery, runMutation } = require('./bulk_run');
const { checkId } = require('./roots');
const { iso } = require('./clock');
const { hash } = require('./random');

const VALID_MS = 7 * 86400000;
const CANCEL_MS = 150;
const FILE_BYTES_MAX = 100 * 1024 * 1024;
const LEDGER_LINES_MAX = 5000;
const LIVE = new Set(['CREATED', 'RUNNING', 'CANCELING']);

class Operation {
  constructor(bulk, id, type, query) {
    const { clock, options } = bulk.sim;
    Object.assign(this, {
      __typename: 'BulkOperation',
      bulk,
      id,
      type,
      query,
      began: clock.now(),
      createdAt: clock.iso(),
      lasts: options.bulkSeconds * 1000,
      end: null,
      wanted: null,
      cancelledAt: null,
      lines: 0,
      roots: 0,
      bytes: 0,
      failed: null,
      file: null,
      fault: {},
      vanished: false,
    });
  }

  get status() {
    const now = this.bulk.sim.clock.now();
    if (this.cancelledAt !== null) return now < this.cancelledAt + CANCEL_MS ? 'CANCELING' : 'CANCELED';
    const age = now - this.began;
    if (this.end === null || age < this.lasts) return age < this.lasts / 10 ? 'CREATED' : 'RUNNING';
    if (this.failed) return 'FAILED';
    if (this.wanted) return this.wanted;
    return now > this.finishedAt + VALID_MS ? 'EXPIRED' : 'COMPLETED';
  }

  get finishedAt() {
    return Math.max(this.end ?? 0, this.began + this.lasts);
  }

  get done() {
    return !LIVE.has(this.status);
  }

  get completedAt() {
    if (this.cancelledAt !== null) return this.done ? iso(this.cancelledAt + CANCEL_MS) : null;
    return this.done ? iso(this.finishedAt) : null;
  }

  get errorCode() {
    return this.status === 'FAILED' ? this.failed : null;
  }

  get objectCount() {
    return String(
      this.done
        ? this.lines
        : Math.floor(this.lines * Math.min(1, (this.bulk.sim.clock.now() - this.began) / (this.lasts || 1))),
    );
  }

  get rootObjectCount() {
    return String(this.done ? this.roots : 0);
  }

  get fileSize() {
    return this.done && this.lines && this.status !== 'CANCELED' ? String(this.bytes) : null;
  }

  get url() {
    return this.status === 'COMPLETED' && this.lines > 0 ? this.bulk.urlOf(this) : null;
  }

  get partialDataUrl() {
    const partial = this.status === 'FAILED' || this.status === 'CANCELED';
    return partial && this.lines > 0 && this.file ? this.bulk.urlOf(this) : null;
  }
}

class Bulk {
  constructor(sim) {
    this.sim = sim;
    this.operations = new Map();
    this.folder = sim.options.bulkDir || fs.mkdtempSync(path.join(os.tmpdir(), 'shopify-sim-'));
    fs.mkdirSync(this.folder, { recursive: true });
    this.next = 5800000000007;
    this.last = () => this.end();
    process.on('exit', this.last);
  }

  /** The folder of results goes, unless it was given to keep them. */
  end() {
    process.off('exit', this.last);
    for (const operation of this.operations.values()) operation.cancelledAt ??= 0;
    if (!this.sim.options.bulkDir) fs.rmSync(this.folder, { recursive: true, force: true });
  }

  all() {
    return [...this.operations.values()].filter((one) => !one.vanished);
  }

  get(id) {
    const found = this.operations.get(id);
    return found && !found.vanished ? found : null;
  }

  live(type) {
    return this.all().filter((one) => one.type === type && LIVE.has(one.status));
  }

  make(type, query) {
    this.next += 3;
    const operation = new Operation(this, `gid://shopify/BulkOperation/${this.next}`, type, query);
    const fault = this.sim.faults.due((kind) => kind === 'bulk')[0];
    if (fault) {
      operation.fault = fault;
      if (fault.seconds !== undefined) operation.lasts = fault.seconds * 1000;
    }
    this.operations.set(operation.id, operation);
    return operation;
  }

  busy(type) {
    const live = this.live(type);
    if (live.length < this.sim.options.bulkSlots) return null;
    const ids = live.map((one) => one.id).join(', ');
    return `A bulk ${type.toLowerCase()} operation for this app and shop is already in progress: ${ids}.`;
  }

  /** As by another process of the same app: operations that hold slots for a time. */
  hold({ count = this.sim.options.bulkSlots, seconds = 5, type = 'QUERY' }) {
    return Array.from({ length: count }, () => {
      const operation = this.make(type, '{ shop { name } }');
      operation.lasts = seconds * 1000;
      operation.end = operation.began;
      return operation.id;
    });
  }

  // ---- queries ----

  runQuery({ query, groupObjects }, ctx) {
    const refuse = (field, message, code) => ({ bulkOperation: null, userErrors: [{ field, message, code }] });
    const checked = checkQuery(this.sim.schema, query);
    if (checked.problem) return refuse(['query'], checked.problem, 'INVALID');
    const busy = this.busy('QUERY');
    if (busy) return refuse(null, busy, 'OPERATION_IN_PROGRESS');
    const operation = this.make('QUERY', query);
    operation.grouped = groupObjects;
    const inner = { ...ctx, search: null };
    setImmediate(() => this.work(operation, () => this.query(operation, checked, groupObjects, inner)));
    return { bulkOperation: operation, userErrors: [] };
  }

  async query(operation, checked, grouped, ctx) {
    const kept = this.keptName(operation.query, grouped);
    const file = kept || path.join(this.folder, `${operation.id.split('/').pop()}.jsonl`);
    const meta = `${file}.meta`;
    operation.file = file;
    if (kept && fs.existsSync(meta)) {
      Object.assign(operation, JSON.parse(fs.readFileSync(meta, 'utf8')));
      return;
    }
    const made = await runQuery({
      schema: this.sim.schema,
      fragments: checked.fragments,
      operation: checked.operation,
      ctx,
      path: file,
      grouped,
      progress: (lines, roots) => Object.assign(operation, { lines, roots }),
      cancelled: () => operation.cancelledAt !== null,
    });
    Object.assign(operation, made);
    if (kept && operation.cancelledAt === null) fs.writeFileSync(meta, JSON.stringify(made));
  }

  /** The name of a result that may be kept between runs: only of a shop as it was seeded, at a time that was given. */
  keptName(query, grouped) {
    const { options, store, access } = this.sim;
    if (!options.bulkDir || !options.now || Object.values(store.tables).some((table) => table.version)) return null;
    const { seed, now, customers, orders, products, drafts, checkouts, shop } = options;
    const key = JSON.stringify([
      seed,
      now,
      customers,
      orders,
      products,
      drafts,
      checkouts,
      shop,
      grouped,
      query,
      [...access.scopes],
      [...access.denied],
    ]);
    return path.join(
      options.bulkDir,
      `kept-${crypto.createHash('sha256').update(key).digest('hex').slice(0, 24)}.jsonl`,
    );
  }

  /** Runs the work of an operation and takes care of how it ends, faults included. */
  async work(operation, run) {
    try {
      await run();
    } catch (error) {
      const denied = error.extensions?.code === 'ACCESS_DENIED';
      operation.failed = denied ? 'ACCESS_DENIED' : 'INTERNAL_SERVER_ERROR';
      if (!denied) this.sim.defect(error);
      Object.assign(operation, { lines: 0, roots: 0, bytes: 0 });
    }
    const { fault } = operation;
    if (fault.status === 'FAILED' || fault.partial !== undefined) this.cut(operation, fault.partial ?? 0);
    if (fault.status === 'FAILED') operation.failed = fault.error_code || 'INTERNAL_SERVER_ERROR';
    else if (fault.status) operation.wanted = fault.status;
    operation.end = this.sim.clock.now();
    this.tell(operation);
  }

  /** Keeps this fraction of the lines: what a failed operation had written. */
  cut(operation, fraction) {
    const lines = Math.floor(operation.lines * fraction);
    const text = operation.lines
      ? fs
          .readFileSync(operation.file, 'utf8')
          .split('\n')
          .slice(0, lines)
          .map((line) => `${line}\n`)
          .join('')
      : '';
    operation.file = path.join(this.folder, `${operation.id.split('/').pop()}-partial.jsonl`);
    fs.writeFileSync(operation.file, text);
    Object.assign(operation, { lines, bytes: Buffer.byteLength(text) });
  }

  tell(operation) {
    const { ledger } = this.sim;
    if (!ledger.path || ledger.brief) return;
    const lines =
      operation.lines && operation.lines <= LEDGER_LINES_MAX
        ? fs.readFileSync(operation.file, 'utf8').split('\n').slice(0, -1)
        : null;
    ledger.write({
      time: this.sim.clock.iso(),
      event: 'bulk_result',
      id: operation.id,
      type: operation.type,
      inner: operation.query,
      lines,
      count: operation.lines,
      error: operation.failed,
      writes: operation.writes,
    });
  }

  cancel({ id }, ctx) {
    checkId(id, 'BulkOperation');
    const operation = this.get(id);
    if (!operation)
      return { bulkOperation: null, userErrors: [{ field: ['id'], message: 'Bulk operation does not exist' }] };
    if (!LIVE.has(operation.status)) {
      return {
        bulkOperation: operation,
        userErrors: [
          { field: null, message: `A bulk operation cannot be canceled when it is ${operation.status.toLowerCase()}` },
        ],
      };
    }
    if (operation.cancelledAt === null) operation.cancelledAt = this.sim.clock.now();
    ctx.wrote('BulkOperation', id, 'canceled');
    return { bulkOperation: operation, userErrors: [] };
  }

  // ---- mutations ----

  runMutation({ mutation, stagedUploadPath, clientIdentifier }, ctx) {
    const refuse = (field, message, code) => ({ bulkOperation: null, userErrors: [{ field, message, code }] });
    if (clientIdentifier != null && (clientIdentifier.length < 10 || clientIdentifier.length > 255)) {
      return refuse(
        ['clientIdentifier'],
        'Client identifier must be between 10 and 255 characters.',
        'INVALID_MUTATION',
      );
    }
    const checked = checkMutation(this.sim.schema, mutation);
    if (checked.problem) return refuse(['mutation'], checked.problem, 'INVALID_MUTATION');
    const staged = this.sim.staged.get(stagedUploadPath);
    if (!staged) {
      return refuse(
        null,
        "The JSONL file could not be found. Try uploading the file again, and check that you've entered the URL " +
          'correctly for the stagedUploadPath mutation argument.',
        'NO_SUCH_FILE',
      );
    }
    if (staged.bytes === 0 || staged.bytes > FILE_BYTES_MAX) {
      return refuse(
        null,
        staged.bytes ? 'The JSONL file is larger than 100MB.' : 'The JSONL file is empty.',
        'INVALID_STAGED_UPLOAD_FILE',
      );
    }
    const busy = this.busy('MUTATION');
    if (busy) return refuse(null, busy, 'OPERATION_IN_PROGRESS');
    const operation = this.make('MUTATION', mutation);
    operation.writes = [];
    setImmediate(() => this.work(operation, () => this.mutate(operation, checked, staged, ctx)));
    return { bulkOperation: operation, userErrors: [] };
  }

  async mutate(operation, checked, staged, ctx) {
    operation.file = path.join(this.folder, `${operation.id.split('/').pop()}.jsonl`);
    let number = 0;
    const made = await runMutation({
      source: staged.path,
      path: operation.file,
      one: (line) => this.sim.api.runLine(checked, line, { ...ctx, search: null, writes: operation.writes }),
      progress: (lines, roots) => Object.assign(operation, { lines, roots }),
      cancelled: () => operation.cancelledAt !== null,
      shuffle: (count) => hash(this.sim.options.seed, 'bulk-order', number++) % count,
    });
    Object.assign(operation, made);
  }

  // ---- the storage side ----

  signature(operation) {
    return crypto.createHash('sha256').update(`${this.sim.options.seed}${operation.id}`).digest('hex').slice(0, 40);
  }

  urlOf(operation) {
    const number = operation.id.split('/').pop();
    const expires = Math.floor((operation.finishedAt + VALID_MS) / 1000);
    const file = `${this.sim.storagePort.url}/bulk-operation-outputs/${number}.jsonl`;
    return `${file}?Expires=${expires}&Signature=${this.signature(operation)}`;
  }

  /** The answer of the storage host to a GET of a result. */
  download(number, request) {
    const operation = this.operations.get(`gid://shopify/BulkOperation/${number}`);
    if (!operation || !operation.file) return xml(404, 'NoSuchKey', 'The specified key does not exist.');
    if (request.query.get('Signature') !== this.signature(operation))
      return xml(403, 'SignatureDoesNotMatch', 'Access denied.');
    if (operation.fault.expire || this.sim.clock.now() > operation.finishedAt + VALID_MS)
      return xml(403, 'ExpiredToken', 'The provided token has expired.');
    const size = fs.statSync(operation.file).size;
    const headers = {
      'Content-Type': 'application/jsonl',
      'Accept-Ranges': 'bytes',
      ETag: `"${this.signature(operation).slice(0, 16)}"`,
    };
    const file = { path: operation.file, start: 0, end: size };
    if (operation.fault.cut_bytes !== undefined && !operation.fault.cut) {
      operation.fault.cut = true; // the first download only
      file.cutBytes = operation.fault.cut_bytes;
    }
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range || '');
    if (!range) return { status: 200, headers, file };
    const start = Number(range[1]);
    if (start >= size)
      return {
        ...xml(416, 'InvalidRange', 'The requested range cannot be satisfied.'),
        headers: { 'Content-Range': `bytes */${size}` },
      };
    const end = range[2] === '' ? size : Math.min(size, Number(range[2]) + 1);
    headers['Content-Range'] = `bytes ${start}-${end - 1}/${size}`;
    return { status: 206, headers, file: { ...file, start, end } };
  }
}

function xml(status, code, message) {
  return {
    status,
    body: `<?xml version='1.0' encoding='UTF-8'?><Error><Code>${code}</Code><Message>${message}</Message></Error>`,
    headers: { 'Content-Type': 'application/xml; charset=UTF-8' },
  };
}

module.exports = { Bulk, xml, FILE_BYTES_MAX };
