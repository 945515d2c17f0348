#!/usr/bin/env python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""`diff: local` against `diff: warehouse`: a model in PostgreSQL to a file, rows of 12 columns, 1 % changed between two runs.

    tests/bench/diff_in_warehouse.py BUILD [--rows 1000000] [--rounds 3] [--settings work_mem=64MB ...]

BUILD is a release build with dray and the plugins postgres and file. A server of its own is started (fsync on unless a setting says
otherwise). The two sides take turns; each has a project, a mirror and a file of its own, and the same table. Prints one JSON object
a run, then the medians. `client_s` and `server_s` are processor seconds.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import harness  # noqa: E402
import postgres_server  # noqa: E402

PASSWORD = "bench"
TABLE = """
CREATE TABLE people AS SELECT i::bigint AS id, 'person' || i || '@shop.example' AS email, 'First' || i % 997 AS first_name,
  'Last' || i % 9973 AS last_name, 'City ' || i % 499 AS city, (ARRAY['DE','FR','IT','US'])[1 + i % 4] AS country,
  date '2015-01-01' + (i % 3000)::int AS joined, timestamptz '2024-01-01 00:00:00+00' + i * interval '1 second' AS seen_at,
  (i % 50)::int AS orders, (i % 100000 / 7.0)::numeric(12,2) AS revenue, (i % 1000 / 1000.0)::float8 AS score,
  CASE WHEN i % 3 = 0 THEN NULL ELSE i % 2 = 0 END AS subscribed
FROM generate_series(1, {rows}) i;
ALTER TABLE people ADD PRIMARY KEY (id); GRANT SELECT ON people TO dray; VACUUM ANALYZE people
"""


def project(folder, server, diff):
    made = harness.Project(folder, {"PG_PASSWORD": PASSWORD})
    made.config(f"connections:\n  wh: {{plugin: postgres, host: {server.folder}, port: {server.port}, database: work, user: dray, "
                "password: !secret env:PG_PASSWORD}\n  out: {plugin: file, path: out}\n"
                "models:\n  people: {warehouse: wh, sql: \"SELECT * FROM people\", key: id}\n"
                "syncs:\n  people: {from: {model: people}, to: {connection: out, object: people}, mode: mirror, guard: off, "
                f"diff: {diff}}}\n")
    (folder / "out").mkdir()
    return made


def server_seconds(server):
    """Processor seconds of the server's processes by now, ended ones included (they are the postmaster's children)."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == server.process.pid or int(entry.name) == server.process.pid:
            total += int(fields[11]) + int(fields[12])
        if int(entry.name) == server.process.pid:
            total += int(fields[13]) + int(fields[14])
    return total / ticks


def measured(made, server, what, *arguments):
    server.sql("CHECKPOINT")
    wal, server_before = server.wal(), server_seconds(server)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    result = made.dray(*arguments, "--json")
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    server.sql("SELECT 1")
    assert result.code == 0, str(result)
    found = {"what": what, "wall_s": round(wall, 2), "wal_mb": round((server.wal() - wal) / 1e6, 1),
             "client_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
             "server_s": round(server_seconds(server) - server_before, 2), "read_s": 0}
    print(result.err, end="", file=sys.stderr)
    for record in result.lines():
        if record["type"] in ("run", "plan"):
            diff = record["diff"]
            side = "local" if what[0] == "local" else "warehouse"
        found.update(rows_moved=diff[side + "_rows"], mb_moved=round(diff[side + "_bytes"] / 1e6, 2), used=diff["used"],
                         why=diff["why"], changes=record["inserts"] + record["updates"] + record["deletes"], read_s=record["read_ms"] / 1000)
    print(json.dumps(found), flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settings", nargs="*", default=["fsync=on", "full_page_writes=on", "shared_buffers=512MB"])
    given = parser.parse_args()
    os.environ["DRAY_BIN"] = str(given.build.resolve() / "tools/dray/dray")
    harness.RUN_SECONDS_MAX = 3600
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dray-bench-"))
    server = postgres_server.Server(PASSWORD)
    runs = []
    try:
        server.stop()
        server.start(*given.settings)
        server.fresh()
        server.sql(TABLE.format(rows=given.rows))
        sides = {diff: project(folder / diff, server, diff) for diff in ("local", "warehouse")}
        for diff, made in sides.items():
            runs.append(measured(made, server, (diff, "baseline"), "state", "baseline", "people", "--yes"))
        for round_number in range(given.rounds):
            order = list(sides.items())[::1 if round_number % 2 == 0 else -1]
            server.sql(f"UPDATE people SET score = score + 1, orders = orders + 1 WHERE id % 100 = {round_number}")
            for diff, made in order:
                runs.append(measured(made, server, (diff, "1 % changed"), "sync", "people"))
            for diff, made in order:
                runs.append(measured(made, server, (diff, "nothing changed"), "sync", "people"))
        size = server.value("SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE relnamespace = 'dray'::regnamespace "
                            "AND relkind = 'r'")
        print(json.dumps({"table_mb": int(server.value("SELECT pg_total_relation_size('people')")) / 1e6,
                          "snapshot_mb": int(size) / 1e6}))
        for what in sorted({run["what"] for run in runs}):
            of = [run for run in runs if run["what"] == what]
            print("median", " ".join(what), {name: statistics.median(run[name] for run in of)
                                             for name in ("wall_s", "read_s", "client_s", "server_s", "wal_mb", "mb_moved", "rows_moved")
                                             if all(name in run for run in of)})
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
