// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs SQL in DuckDB. Argument: a JSON file {module_folder, database, settings, prepare: [sql], timed: [sql], then: sql}.
// Prints one line of JSON: seconds of `timed` with the opening of the database, peak memory of the process, the rows of
// `then` (not timed).
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { DuckDBInstance } = createRequire(job.module_folder + '/')('@duckdb/node-api');

let begin = process.hrtime.bigint();
const instance = await DuckDBInstance.create(job.database, job.settings);
const connection = await instance.connect();
let seconds = Number(process.hrtime.bigint() - begin) / 1e9;
for (const sql of job.prepare) await connection.run(sql);
begin = process.hrtime.bigint();
for (const sql of job.timed) await connection.run(sql);
seconds += Number(process.hrtime.bigint() - begin) / 1e9;
const peak_mb = process.resourceUsage().maxRSS / 1024;
const rows = job.then ? (await connection.runAndReadAll(job.then)).getRowsJson() : [];
console.log(JSON.stringify({ total_s: seconds, peak_mb, rows }));
connection.closeSync();
instance.closeSync();
