// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The command line: one table, so that --help and the README say the same. No defaults live elsewhere.
'use strict';

const TABLE = [
  ['port', 'number', 0, 'the Admin API; 0: any that is free, told in the first line printed'],
  ['storage-port', 'number', 0, 'where results of bulk operations are downloaded and staged files are uploaded'],
  ['ledger', 'text', null, 'append-only JSON lines, one for each request'],
  [
    'ledger-brief',
    'flag',
    false,
    'no answers and no bulk results in the ledger, and no wait for the disk (for benches)',
  ],
  ['seed', 'number', 1, 'another number, another shop'],
  ['now', 'text', null, "the simulator's own clock at its start, ISO (default: the real time)"],
  ['latency-ms', 'number', 0, 'how long every answer takes at least'],
  ['tls', 'pair', null, 'CERT KEY: PEM files; both ports serve https'],
  ['storage-url', 'text', null, 'how links name the storage host (default: its port on this machine)'],
  ['shop', 'text', 'dray-test.myshopify.com', 'the only shop there is'],
  ['customers', 'number', 200, ''],
  ['orders', 'number', 400, 'with 1 to 4 lines each'],
  ['products', 'number', 60, 'with 1 to 3 variants each'],
  ['drafts', 'number', 20, 'draft orders'],
  ['checkouts', 'number', 20, 'abandoned checkouts'],
  ['token', 'text', 'shpat_dray_static', 'the static Admin token; an empty text: there is none'],
  ['scopes', 'text', '', 'granted access scopes, comma separated (default: all that the simulator knows)'],
  ['client-id', 'text', 'dray-client', 'of the app, for OAuth'],
  ['client-secret', 'text', 'dray-secret', 'of the app'],
  ['redirect-uri', 'text', 'https://dray.example/callback', 'of the app: where merchants are sent back to'],
  ['refresh-token', 'text', 'shprt_dray_first', 'the refresh token that an installed app holds at the start'],
  ['token-ttl', 'number', 3600, 'seconds that an offline access token lives'],
  ['bucket', 'number', 2000, 'points that the cost bucket holds'],
  ['restore-rate', 'number', 100, 'points that come back in a second'],
  ['max-cost', 'number', 1000, 'the most that one query may ask for'],
  ['cost', 'text', 'log', 'how a connection is priced: log (by the logarithm of its size) or linear (2 + size x node)'],
  ['bulk-seconds', 'number', 0.2, 'how long a bulk operation runs at least'],
  ['bulk-slots', 'number', 5, 'operations of one type at a time'],
  [
    'bulk-dir',
    'text',
    null,
    'keeps results of bulk queries here and uses them again (default: a folder that is deleted)',
  ],
];

function usage() {
  const lines = TABLE.map(
    ([name, kind, value, help]) =>
      `  --${(name + ' ').padEnd(16)}${help}${value === null || kind === 'flag' ? '' : ` [${value}]`}`,
  );
  return `node server.js [options]\n${lines.join('\n')}\n`;
}

/** The options by their camel-case names. Throws at one that it does not know. */
function parse(argv) {
  const known = new Map(TABLE.map((row) => [row[0], row]));
  const camel = (name) => name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());
  const options = Object.fromEntries(TABLE.map(([name, , value]) => [camel(name), value]));
  for (let at = 0; at < argv.length; at++) {
    if (argv[at] === '--help') {
      process.stdout.write(usage());
      process.exit(0);
    }
    const [, name, inline] = /^--([a-z-]+)(?:=(.*))?$/s.exec(argv[at]) || [];
    const row = known.get(name);
    if (!row) {
      throw new Error(`unknown option ${argv[at]}\n${usage()}`);
    }
    const next = () => (inline === undefined ? argv[++at] : inline);
    if (row[1] === 'flag') options[camel(name)] = true;
    else if (row[1] === 'pair') options[camel(name)] = [argv[++at], argv[++at]];
    else if (row[1] === 'number') options[camel(name)] = Number(next());
    else options[camel(name)] = next();
    if (row[1] === 'number' && !Number.isFinite(options[camel(name)])) {
      throw new Error(`--${name} takes a number`);
    }
  }
  return options;
}

module.exports = { parse };
