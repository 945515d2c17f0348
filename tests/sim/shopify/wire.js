// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 on one port: reads whole requests, lets faults strike, sends answers. Nothing of the vendor is in here.
//
// An answer is {status, headers: {name: value}, body: text | Buffer | JSON value | null, file: {path, start, end}}.
'use strict';

const fs = require('fs');
const http = require('http');
const https = require('https');
const zlib = require('zlib');

const GZIP_BYTES_MIN = 256;
const SIDE_BYTES_MAX = 256 << 20; // of what a test orders
const HTML =
  '<!doctype html><html><head><title>Something went wrong</title></head><body><h1>Bad gateway</h1></body></html>';

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** The operation of a request on which no work is done, for who judges requests; undefined when it has none. */
function operationOf(request) {
  try {
    const { query, variables, operationName } = JSON.parse(request.raw.toString());
    return typeof query === 'string' ? { query, variables, operationName } : undefined;
  } catch {
    return undefined;
  }
}

/** The body of an answer that is none to an operation, for judges, without secrets; null: a file, or nothing. */
function replyOf({ body }) {
  if (Buffer.isBuffer(body)) return body.toString();
  if (body === null || typeof body !== 'object') return body ?? null;
  const shown = ([name, value]) => [name, /^(access|refresh)_token$/.test(name) ? value.replace(/_.*/, '_x') : value];
  return Object.fromEntries(Object.entries(body).map(shown));
}

/** What was asked how often, and how much at a time; over both ports. */
class Calls {
  constructor() {
    this.inFlight = 0;
    this.connections = 0;
    this.reset();
  }

  reset() {
    this.byRoute = {};
    this.statuses = {};
    this.operations = {};
    this.throttled = 0;
    this.inFlightMax = 0;
    this.connectionsMax = 0;
    this.connectionsMade = 0;
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.defects = [];
  }

  count(table, name) {
    this[table][name] = (this[table][name] || 0) + 1;
  }

  shown() {
    return {
      calls: this.byRoute,
      operations: this.operations,
      statuses: this.statuses,
      total: Object.values(this.byRoute).reduce((sum, count) => sum + count, 0),
      throttled: this.throttled,
      in_flight: this.inFlight,
      in_flight_max: this.inFlightMax,
      connections: this.connections,
      connections_max: this.connectionsMax,
      connections_made: this.connectionsMade,
      bytes_in: this.bytesIn,
      bytes_out: this.bytesOut,
      defects: this.defects,
    };
  }
}

function read(message, limit) {
  return new Promise((done, fail) => {
    const pieces = [];
    let size = 0;
    message.on('data', (piece) => {
      size += piece.length;
      if (size <= limit) pieces.push(piece);
    });
    message.on('end', () => done(size > limit ? null : Buffer.concat(pieces)));
    message.on('error', fail);
    message.on('close', () => fail(new Error('the request was cut')));
  });
}

class Port {
  /** `handle(request)` gives the answer; `template(request)` names the path in the counts. */
  constructor(simulator, name, { handle, template, bodyMax }) {
    Object.assign(this, { simulator, name, handle, template, bodyMax });
    const tls = simulator.options.tls;
    const serve = (message, response) =>
      this.serve(message, response).catch((error) => {
        if (!response.headersSent) message.socket.destroy();
        if (error.message !== 'the request was cut') simulator.defect(error);
      });
    this.server = tls
      ? https.createServer(
          { cert: fs.readFileSync(tls[0]), key: fs.readFileSync(tls[1]), minVersion: 'TLSv1.2' },
          serve,
        )
      : http.createServer(serve);
    this.server.keepAliveTimeout = 75000;
    this.server.requestTimeout = 0;
    this.server.on('connection', (socket) => this.connected(socket));
  }

  connected(socket) {
    const { calls, faults } = this.simulator;
    calls.connectionsMade += 1;
    calls.connections += 1;
    calls.connectionsMax = Math.max(calls.connectionsMax, calls.connections);
    socket.on('close', () => {
      calls.connections -= 1;
    });
    if (faults.list.length && faults.due((kind) => kind === 'connect_reset').length) socket.resetAndDestroy();
  }

  listen(port) {
    return new Promise((done, fail) => {
      this.server.on('error', fail);
      this.server.listen(port, '127.0.0.1', () => {
        this.number = this.server.address().port;
        this.url = `${this.simulator.options.tls ? 'https' : 'http'}://127.0.0.1:${this.number}`;
        if (this.name === 'storage' && this.simulator.options.storageUrl) this.url = this.simulator.options.storageUrl;
        done(this.number);
      });
    });
  }

  async serve(message, response) {
    const { calls, options } = this.simulator;
    const url = new URL(message.url, 'http://sim');
    const aside = url.pathname.startsWith('/_sim/') && this.name === 'admin';
    const raw = await read(message, aside ? SIDE_BYTES_MAX : this.bodyMax);
    const request = {
      port: this.name,
      method: message.method,
      path: decodeURIComponent(url.pathname),
      query: url.searchParams,
      queryText: url.search.slice(1),
      headers: message.headers,
      raw: raw || Buffer.alloc(0),
      tooLarge: raw === null,
      begun: performance.now(),
      faults: [],
      note: {},
    };
    calls.bytesIn += request.raw.length;
    if (aside) {
      const answer = request.tooLarge ? { status: 413, body: 'too large' } : await this.simulator.side(request);
      return this.send(request, response, answer);
    }
    calls.count('byRoute', `${request.method} ${this.template(request)}`);
    calls.inFlight += 1;
    calls.inFlightMax = Math.max(calls.inFlightMax, calls.inFlight);
    try {
      const { answer, onWire } = await this.struck(request);
      const early = options.latencyMs - (performance.now() - request.begun);
      if (early > 0) await wait(early);
      if (answer) calls.count('statuses', String(answer.status));
      if (answer && answer.status === 429) calls.throttled += 1;
      await this.send(request, response, answer, onWire);
    } finally {
      calls.inFlight -= 1;
    }
  }

  /** The answer with faults: {answer, onWire}, where onWire is what is to be done to the connection. */
  async struck(request) {
    const { faults, vendorStatus } = this.simulator;
    const own = new Set(['throttled', 'graphql_error', 'user_error', 'bulk']);
    request.faults = faults.due((kind) => own.has(kind) && kind !== 'bulk', request);
    const struck = faults.due((kind) => !own.has(kind) && kind !== 'connect_reset', request);
    const kinds = [...request.faults, ...struck].map((fault) => fault.kind);
    if (kinds.length) request.note.faults = kinds;
    for (const slow of struck.filter((fault) => fault.kind === 'slow')) await wait((slow.seconds ?? 1) * 1000);
    const fault = struck.find((one) => one.kind !== 'slow');
    const dripping = struck.find((one) => one.kind === 'slow' && one.drip_s);
    if (!fault) return { answer: await this.work(request), onWire: dripping };
    const given = Object.fromEntries(Object.entries(fault.headers || {}));
    if (fault.content_type) given['Content-Type'] = fault.content_type;
    const made = {
      status: () => ({ status: fault.status, body: fault.body ?? vendorStatus(fault.status), headers: given }),
      throttle: () => ({
        status: 429,
        body: vendorStatus(429),
        headers: fault.retry_after == null ? given : { 'Retry-After': String(fault.retry_after), ...given },
      }),
      html: () => ({
        status: fault.status ?? 200,
        body: HTML,
        headers: { 'Content-Type': 'text/html; charset=utf-8' },
      }),
      not_json: () => ({
        status: 200,
        body: fault.body ?? '{"data":{"customers":{"edges":[',
        headers: { 'Content-Type': 'application/json' },
      }),
      empty: () => ({ status: fault.status ?? 200, body: null }),
    }[fault.kind]?.();
    let answer = null;
    if (fault.applied || fault.kind === 'cut') answer = await this.work(request, `applied, then fault: ${fault.kind}`);
    else {
      request.note.asked = operationOf(request);
      this.write(request, { status: made ? made.status : null }, `fault: ${fault.kind}`);
    }
    if (!made) return { answer, onWire: fault };
    return { answer: { ...made, headers: { 'X-Sim-Fault': fault.kind, ...made.headers } } };
  }

  async work(request, outcome = 'done') {
    let answer;
    try {
      answer = request.tooLarge ? { status: 413, body: this.simulator.vendorStatus(413) } : await this.handle(request);
    } catch (error) {
      this.simulator.defect(error);
      answer = { status: 500, body: `defect of the simulator\n${error.stack}`, headers: { 'X-Sim-Defect': '1' } };
    }
    this.write(request, { reply: replyOf(answer), ...answer }, request.note.throttled ? 'throttled, nothing done' : outcome);
    return answer;
  }

  write(request, answer, outcome) {
    const { ledger, clock } = this.simulator;
    ledger.write({
      time: clock.iso(),
      wall: Date.now() / 1000,
      port: this.name,
      method: request.method,
      path: request.path,
      query: request.queryText,
      template: this.template(request),
      ms: Math.round(performance.now() - request.begun),
      body_bytes: request.raw.length,
      status: answer.status,
      outcome,
      reply: ledger.brief || request.note.answer ? undefined : answer.reply,
      ...request.note,
    });
  }

  async send(request, response, answer, onWire) {
    if (onWire && (onWire.kind === 'reset' || onWire.kind === 'stall')) {
      if (onWire.kind === 'stall') await wait((onWire.seconds ?? 120) * 1000);
      response.socket.resetAndDestroy();
      return;
    }
    const headers = { Date: new Date(this.simulator.clock.now()).toUTCString(), ...answer.headers };
    if (answer.file) return this.sendFile(response, answer, headers, onWire);
    let body = answer.body;
    if (body === null || body === undefined) body = Buffer.alloc(0);
    else if (typeof body === 'string') body = Buffer.from(body);
    else if (!Buffer.isBuffer(body)) {
      headers['Content-Type'] ??= 'application/json; charset=utf-8';
      body = Buffer.from(JSON.stringify(body));
    }
    if (/\bgzip\b/.test(request.headers['accept-encoding'] || '') && body.length >= GZIP_BYTES_MIN) {
      body = zlib.gzipSync(body, { level: 1 });
      headers['Content-Encoding'] = 'gzip';
    }
    headers['Content-Length'] = body.length;
    response.writeHead(answer.status, headers);
    this.simulator.calls.bytesOut += body.length;
    if (onWire && onWire.kind === 'cut') {
      const keep = Math.min(onWire.keep_bytes ?? body.length >> 1, Math.max(body.length - 1, 0));
      response.write(body.subarray(0, keep), () => this.end(response, onWire));
    } else if (onWire) {
      await drip(response, body, onWire.drip_s);
    } else {
      response.end(body);
    }
  }

  end(response, fault) {
    setTimeout(() => (fault.reset ? response.socket?.resetAndDestroy() : response.socket?.destroy()), 20);
  }

  async sendFile(response, answer, headers, fault) {
    const { path, start, end } = answer.file;
    headers['Content-Length'] = end - start;
    response.writeHead(answer.status, headers);
    const cut =
      answer.file.cutBytes ?? (fault && fault.kind === 'cut' ? (fault.keep_bytes ?? (end - start) >> 1) : null);
    const upto = cut === null ? end : Math.min(start + cut, end - 1);
    if (upto <= start) {
      if (cut === null) response.end();
      else this.end(response, fault || {});
      return;
    }
    const source = fs.createReadStream(path, { start, end: upto - 1, highWaterMark: 1 << 18 });
    await new Promise((done) => {
      response.on('close', () => {
        source.destroy();
        done();
      });
      source.on('error', (error) => {
        this.simulator.defect(error);
        response.socket?.destroy();
        done();
      });
      source.on('data', (piece) => {
        this.simulator.calls.bytesOut += piece.length;
      });
      source.on('end', () => {
        if (cut !== null) this.end(response, fault || {});
      });
      source.pipe(response, { end: cut === null });
    });
  }
}

async function drip(response, body, seconds) {
  const step = Math.max(1, Math.ceil(body.length / 20));
  for (let at = 0; at < body.length; at += step) {
    response.write(body.subarray(at, at + step));
    await wait((seconds * 1000) / 20);
  }
  response.end();
}

module.exports = { Port, Calls, wait };
