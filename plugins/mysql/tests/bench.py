#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Loading and reading a million rows of twelve columns: the plugin against the client's LOAD DATA LOCAL INFILE of the same rows
and a bare loop over an unbuffered result, in turn, against a server of its own with default durability. Usage: bench.py BENCH
[ROWS [TURNS]]; BENCH is the built plugin_mysql_bench of a release build."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests" / "e2e"))
import mysql_server  # noqa: E402

TABLE = ("CREATE TABLE bench (id bigint, customer bigint, quantity bigint, price decimal(12,2), total decimal(14,4), rate double, "
         "paid tinyint(1), day date, at datetime(6), sku longtext, name longtext, note longtext)")
LOAD = "LOAD DATA LOCAL INFILE '{}' INTO TABLE bench CHARACTER SET utf8mb4"


def main():
    bench, rows, turns = sys.argv[1], int((sys.argv[2:] + ["1000000"])[0]), int((sys.argv[3:] + ["5"])[0])
    mysql_server.FAST = ("innodb-buffer-pool-size=512M", "innodb-log-file-size=512M")
    server = mysql_server.Server("unused")
    try:
        server.fresh()
        server.sql(TABLE)
        config = json.dumps({"host": str(server.socket), "database": "work", "user": "root", "sslmode": "disable"})

        def ours(*arguments):
            out = subprocess.run([bench, *arguments], check=True, capture_output=True, text=True).stdout.split()
            assert int(out[0]) == rows, out
            return float(out[1]), float(out[2]), int(out[3]) // 1024

        def client(command):
            before, start = os.times(), time.monotonic()
            subprocess.run(server.client() + ["--skip-ssl", "-e", command], check=True, stdout=subprocess.DEVNULL)
            wall, after = time.monotonic() - start, os.times()
            return wall, after.children_user + after.children_system - before.children_user - before.children_system, 0

        ours(config, "load", str(rows))
        path = server.folder / "rows.tsv"
        server.sql(f"SELECT * FROM bench INTO OUTFILE '{path}' CHARACTER SET utf8mb4")
        ways = {"load": lambda: ours(config, "load", str(rows)),
                "LOAD DATA LOCAL INFILE": lambda: client(LOAD.format(path))}
        reads = {"query": lambda: ours(config, "query"), "bare loop": lambda: ours(str(server.socket), "bare")}
        found = {}
        for turn in range(turns):
            for name, run in sorted(ways.items(), reverse=turn % 2 == 1):
                server.sql("DROP TABLE bench; " + TABLE)
                found.setdefault(name, []).append(run())
            for name, run in reads.items():
                found.setdefault(name, []).append(run())
        print(f"{rows} rows, {turns} turns; medians: wall s, rows/s, CPU s of the client, its peak MiB")
        for name, times in found.items():
            wall, cpu, peak = (statistics.median(column) for column in zip(*times))
            print(f"{name:24} {wall:8.3f} {rows / wall:12,.0f} {cpu:8.3f} {peak:6.0f}   "
                  f"[{min(t[0] for t in times):.2f} to {max(t[0] for t in times):.2f}]")
    finally:
        server.close()


if __name__ == "__main__":
    main()
