#!/usr/bin/env node
// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// A simulated Shopify shop as a program. Prints one JSON line {"port": N, "storage_port": M, ...} and serves on
// 127.0.0.1 until SIGTERM. See README.md.
'use strict';

const { parse } = require('./options');
const { Simulator } = require('./simulator');

async function main() {
  const simulator = new Simulator(parse(process.argv.slice(2)));
  const hello = await simulator.listen();
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
  process.stdout.write(`${JSON.stringify(hello)}\n`);
}

main().catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(2);
});
