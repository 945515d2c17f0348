// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Staged uploads: targets that are given out, and the storage host that takes multipart forms for them.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const { xml, FILE_BYTES_MAX } = require('./bulk');
const { failure } = require('./vendor_errors');

const POLICY_MS = 3600 * 1000;

class Staged {
  constructor(sim) {
    this.sim = sim;
    this.targets = new Map(); // key -> {parameters, expires, path, bytes}
  }

  /** An uploaded file by its key, or null. */
  get(key) {
    const target = this.targets.get(key);
    return target && target.bytes !== null ? target : null;
  }

  create({ input }) {
    const errors = [];
    input.forEach((one, at) => {
      const wrong = (name, message) => errors.push({ field: ['input', String(at), name], message });
      if (one.resource !== 'BULK_MUTATION_VARIABLES') {
        throw failure(
          `the simulator stages BULK_MUTATION_VARIABLES only, not ${one.resource}`,
          'INTERNAL_SERVER_ERROR',
        );
      }
      if (one.mimeType !== 'text/jsonl') wrong('mimeType', `${one.mimeType} is not a recognized format`);
      if (one.httpMethod !== 'POST') wrong('httpMethod', 'httpMethod must be POST for this resource');
      if (one.filename === '') wrong('filename', "Filename can't be blank");
    });
    if (errors.length) return { stagedTargets: null, userErrors: errors };
    return { stagedTargets: input.map((one) => this.target(one)), userErrors: [] };
  }

  target(input) {
    const { clock, storagePort, options } = this.sim;
    const made = crypto.createHash('sha256').update(`${options.seed}-${this.targets.size}`).digest('hex');
    const uuid = made.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5');
    const key = `tmp/66000000001/bulk/${uuid}/${input.filename}`;
    const stamp = clock.iso().replace(/[-:]/g, '');
    const parameters = [
      ['Content-Type', 'text/jsonl'],
      ['success_action_status', '201'],
      ['acl', 'private'],
      ['key', key],
      ['x-goog-date', stamp],
      ['x-goog-credential', `merchant-assets@sim.example/${stamp.slice(0, 8)}/auto/storage/goog4_request`],
      ['x-goog-algorithm', 'GOOG4-RSA-SHA256'],
      ['x-goog-signature', made],
      ['policy', Buffer.from(`{"key":"${key}"}`).toString('base64')],
    ].map(([name, value]) => ({ name, value }));
    this.targets.set(key, {
      parameters,
      expires: clock.now() + POLICY_MS,
      bytes: null,
      path: path.join(this.sim.bulk.folder, `staged-${made.slice(0, 16)}.jsonl`),
    });
    return { url: `${storagePort.url}/shopify-staged-uploads`, resourceUrl: null, parameters };
  }

  /** The storage host's answer to a POST of a form. */
  upload(request) {
    const boundary = /^multipart\/form-data;.*boundary="?([^";]+)"?/.exec(request.headers['content-type'] || '')?.[1];
    if (!boundary) return xml(400, 'InvalidArgument', 'Cannot create buckets using a POST.');
    const parts = formOf(request.raw, boundary);
    if (!parts)
      return xml(400, 'MalformedPOSTRequest', 'The body of your POST request is not well-formed multipart/form-data.');
    const fields = new Map(parts.map((part) => [part.name, part]));
    const key = fields.get('key')?.raw.toString();
    const target = this.targets.get(key);
    request.note.staged = key;
    if (!target) return xml(403, 'AccessDenied', 'The policy does not allow this key.');
    if (this.sim.clock.now() > target.expires)
      return xml(400, 'ExpiredToken', 'Invalid argument: the policy has expired.');
    for (const { name, value } of target.parameters) {
      if (fields.get(name)?.raw.toString() !== value)
        return xml(403, 'AccessDenied', `Policy condition failed: ["eq", "$${name}"]`);
    }
    const last = parts[parts.length - 1];
    if (last.name !== 'file')
      return xml(400, 'InvalidArgument', 'POST requires exactly one file upload per request, as the last field.');
    const strange = parts.find((part) => part !== last && !target.parameters.some((one) => one.name === part.name));
    if (strange) return xml(403, 'AccessDenied', `The policy does not name the field ${strange.name}.`);
    if (last.raw.length > FILE_BYTES_MAX)
      return xml(400, 'EntityTooLarge', 'Your proposed upload exceeds the maximum allowed object size.');
    fs.writeFileSync(target.path, last.raw);
    target.bytes = last.raw.length;
    const location = `${this.sim.storagePort.url}/shopify-staged-uploads/${key}`;
    return {
      status: 201,
      headers: { 'Content-Type': 'application/xml; charset=UTF-8', Location: location },
      body:
        "<?xml version='1.0' encoding='UTF-8'?><PostResponse>" +
        `<Location>${location}</Location><Key>${key}</Key></PostResponse>`,
    };
  }
}

/** The parts of a multipart body: [{name, filename, raw}], or null when it is not well-formed. */
function formOf(raw, boundary) {
  const mark = Buffer.from(`--${boundary}`);
  const parts = [];
  let at = raw.indexOf(mark);
  if (at !== 0 && raw.indexOf(`\r\n--${boundary}`) !== at - 2) return null;
  for (;;) {
    const head = at + mark.length;
    if (raw.subarray(head, head + 2).toString() === '--') return parts.length ? parts : null;
    const end = raw.indexOf('\r\n\r\n', head);
    const next = raw.indexOf(`\r\n--${boundary}`, end);
    if (at < 0 || end < 0 || next < 0) return null;
    const headers = raw.subarray(head, end).toString();
    const name = /content-disposition:\s*form-data;.*?\bname="([^"]*)"/is.exec(headers)?.[1];
    if (name === undefined) return null;
    parts.push({ name, filename: /filename="([^"]*)"/i.exec(headers)?.[1], raw: raw.subarray(end + 4, next) });
    at = next + 2;
  }
}

module.exports = { Staged };
