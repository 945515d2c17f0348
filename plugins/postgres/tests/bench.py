#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Loading and reading a million rows of twelve columns: the plugin against psql's \\copy and a bare COPY loop, in turn,
against a server of its own with default durability. Usage: bench.py BENCH [ROWS [TURNS]]; BENCH is the built
plugin_postgres_bench of a release build."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests" / "e2e"))
import postgres_server  # noqa: E402

TABLE = ("CREATE TABLE bench (id bigint, customer bigint, quantity bigint, price numeric(12,2), total numeric(14,4), "
         "rate double precision, paid boolean, day date, at timestamptz, sku text, name text, note text)")


def main():
    bench, rows, turns = sys.argv[1], int((sys.argv[2:] + ["1000000"])[0]), int((sys.argv[3:] + ["5"])[0])
    postgres_server.FAST = ("max_wal_size=4GB", "autovacuum=off")
    server = postgres_server.Server("unused")
    try:
        server.fresh()
        server.sql(TABLE)
        config = json.dumps({"host": str(server.folder), "port": server.port, "database": "work", "user": "postgres"})
        conninfo = f"host={server.folder} port={server.port} dbname=work user=postgres"

        def ours(*arguments):
            out = subprocess.run([bench, *arguments], check=True, capture_output=True, text=True).stdout.split()
            assert int(out[0]) == rows, out
            return float(out[1]), float(out[2]), int(out[3]) // 1024

        def psql(command):
            before, start = os.times(), time.monotonic()
            subprocess.run(server.psql() + ["-c", command], check=True, stdout=subprocess.DEVNULL)
            wall, after = time.monotonic() - start, os.times()
            return wall, after.children_user + after.children_system - before.children_user - before.children_system, 0

        ours(config, "load", str(rows))
        files = {kind: server.folder / f"rows.{kind}" for kind in ("csv", "binary")}
        for kind, path in files.items():
            server.sql(f"\\copy bench TO '{path}' (FORMAT {kind})")
        ways = {
            "load": lambda: ours(config, "load", str(rows)),
            "psql \\copy csv": lambda: psql(f"\\copy bench FROM '{files['csv']}' (FORMAT csv)"),
            "psql \\copy binary": lambda: psql(f"\\copy bench FROM '{files['binary']}' (FORMAT binary)"),
        }
        reads = {"query": lambda: ours(config, "query"), "bare COPY loop": lambda: ours(conninfo, "bare")}
        found = {}
        for _ in range(turns):
            for name, run in ways.items():
                server.sql("TRUNCATE bench; CHECKPOINT")
                found.setdefault(name, []).append(run())
            for name, run in reads.items():
                found.setdefault(name, []).append(run())
        print(f"{rows} rows, {turns} turns; medians: wall s, rows/s, CPU s of the client, its peak MiB")
        for name, times in found.items():
            wall, cpu, peak = (statistics.median(column) for column in zip(*times))
            print(f"{name:20} {wall:8.3f} {rows / wall:12,.0f} {cpu:8.3f} {peak:6.0f}   "
                  f"[{min(t[0] for t in times):.2f} to {max(t[0] for t in times):.2f}]")
    finally:
        server.close()


if __name__ == "__main__":
    main()
