# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The suite `warehouse`: whole runs of `dray sync` against the fastest plain way to do the same, on servers of our own with
default durability. Ours is always wall time of the program from its start to its end: reading, comparing, loading, the
commit with its checkpoint, the mirror on disk.

The bars are about 5 M rows to load and 2 M rows to send again; `again` and `idle` take two fifths of --rows."""
import functools
import json
import os
import pathlib
import random
import shutil
import subprocess
import time

from . import machine, maria, peers
from .machine import Failed, in_turn
from .rows import NOT_AVAILABLE, Bar, median, peak, row

ROWS_DEFAULT = 1_000_000
PROGRAMS = ("bench_diff_programs", "dray", "plugin_file", "plugin_sqlite", "plugin_postgres", "plugin_mysql",
            "plugin_postgres_bench")
BENCHES = []  # (name, what, bytes of disk a row, function)

COLUMNS = "id, " + ", ".join(peers.COLUMNS)
SUM = f"SELECT count(*), coalesce(sum(hashtextextended(ROW({COLUMNS})::text, 0)), 0) FROM "
CHANGED_EVERY = 100  # one row in so many, in the second version that `again` sends
PEAK_MB = 256
MYSQL_BAR = 0.8


def bench(name, what, disk):
    def register(function):
        BENCHES.append((name, what, disk, function))
        return function
    return register


# ---- the server ----

class Server(peers.Postgres):
    """With default durability. What is set is what both sides gain from alike: room for pages and for log between two
    checkpoints, and no vacuum in the middle of a measurement."""

    SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "1h", "autovacuum": "off",
                "unix_socket_directories": ""}
    # What dray makes of these rows, but for its own column.
    TABLE = """CREATE TABLE {name} (id bigint NOT NULL, email text, first_name text, last_name text, city text, country text,
        signed_up date, seen_at timestamptz, orders bigint, revenue numeric(12,2), score double precision,
        subscribed boolean)"""
    KEY = "ALTER TABLE {name} ADD PRIMARY KEY (id)"

    def number(self, query):
        return int(self.sql(query).strip())

    def wal(self):
        return self.number("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")

    def wal_by_kind(self, begin, end):
        """MB of the log between two places: (changes, pages written whole because they are the first after a checkpoint)."""
        lsn = lambda place: f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"  # noqa: E731
        done = subprocess.run([*self.drop, str(self.bin / "pg_waldump"), "-z", "-p", str(self.folder / "data/pg_wal"), "-s",
                               lsn(begin), "-e", lsn(end)], capture_output=True, text=True, cwd=self.folder)
        total = next((line.split() for line in done.stdout.splitlines() if line.startswith("Total")), None)
        return (int(total[2]) / 1e6, int(total[4]) / 1e6) if total else (None, None)

    def size(self, name):
        return self.number(f"SELECT pg_table_size('{name}')")

    def sum_of(self, name):
        return self.sql(SUM + name).strip()

    def cpu_s(self):
        """Processor time of all sessions that have ended."""
        fields = pathlib.Path(f"/proc/{self.server.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def make(self, name, keyed):
        self.sql(f"DROP TABLE IF EXISTS {name}", self.TABLE.format(name=name), *([self.KEY.format(name=name)] if keyed else []))

    def written(self, name):
        """Rows inserted, updated and deleted since the server began, by its own statistics."""
        found = self.sql(f"SELECT pg_stat_clear_snapshot(); SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables "
                         f"WHERE relname = '{name}'")
        return [int(number) for number in found.split()[-1].split(",")]

    def measured(self, work):
        """A run, with the processor time of the server's sessions beside it."""
        before = self.cpu_s()
        ran = work()
        time.sleep(0.1)  # its sessions end after it
        ran.server_cpu_s = self.cpu_s() - before
        return ran


# ---- data, projects ----

class Data:
    def __init__(self, place):
        self.place = place
        self.folder = place.work / "data"
        self.folder.mkdir(exist_ok=True)
        self.peaks = {}  # name of the bench: MB at most

    def csv(self, rows=None, second=False):
        """The first version of the benchmarks' table; the second differs in the revenue of one row in a hundred."""
        rows = rows or self.place.rows
        path = self.folder / f"{rows}-key-{'hundredth' if second else 1}.csv"
        if not path.exists():
            made = path.with_suffix(".part")
            self.place.files.append(path)
            if second:
                change_some(self.csv(rows), made, rows)
            else:
                machine.run([self.place.need("bench_generate"), "csv", rows, 1, "key", made])
            made.rename(path)
        return path

    def project(self, server, path, **syncs):
        """A project that reads `path`; syncs: name = the inside of its YAML mapping."""
        folder = self.place.scratch / "project"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        lines = ["version: 1", "connections:",
                 f"  files: {{plugin: file, path: {path}, stream: customers, types: {{revenue: \"decimal(12,2)\", score: float64}}}}",
                 *server.connections(), "models:",
                 "  whole: {warehouse: from, sql: \"SELECT " + COLUMNS + " FROM source\", key: id}", "syncs:",
                 *(f"  {name}: {{{inside}}}" for name, inside in syncs.items())]
        (folder / "dray.yaml").write_text("\n".join(lines) + "\n")
        return folder

    def sync(self, server, folder, name, bench_name):
        ran = server.measured(lambda: machine.run([self.place.need("dray"), "-C", folder, "sync", name, "--json"],
                                                  env=server.env, seconds=None))
        self.peaks[bench_name] = max(self.peaks.get(bench_name, 0), ran.peak_mb)
        return ran


def change_some(path, to, rows):
    """Copies the CSV with another revenue in one row of a hundred, which ones by chance."""
    chosen = set(random.Random(rows).sample(range(rows), rows // CHANGED_EVERY))
    with open(path, "rb") as old, open(to, "wb") as new:
        new.write(old.readline())
        for number, line in enumerate(old):
            if number in chosen:
                parts = line.split(b",")
                parts[9] = b"0.01" if parts[9] != b"0.01" else b"0.02"
                line = b",".join(parts)
            new.write(line)


def fresh(folder):
    shutil.rmtree(folder / ".dray", ignore_errors=True)


@functools.lru_cache(maxsize=None)
def data_of(place):
    return Data(place)


@functools.lru_cache(maxsize=None)
def server_of(place):
    server = Server(place)
    if not server.why:
        link = (f"plugin: postgres, host: 127.0.0.1, port: {server.port}, database: postgres, user: bench, "
                "password: !secret env:PGPASSWORD, sslmode: disable")
        server.connections = lambda: [f"  wh: {{{link}}}", f"  from: {{{link}, read_only: true}}"]
    return server


def peer_run(server, command):
    ran = server.measured(lambda: machine.run(command, env=server.env, seconds=None))
    ran.peak_mb = None  # psql's own says nothing
    return ran


def servers_cpu(mine, theirs):
    return {"ours_server_cpu_s": median(getattr(ran, "server_cpu_s", None) for ran in mine),
            "peer_server_cpu_s": median(getattr(ran, "server_cpu_s", None) for ran in theirs)}


def not_there(name, server, bar, rows, peer):
    return row(name, rows, bar, peer=f"{peer} {NOT_AVAILABLE}", note=server.why)


def unequal(server, ours, theirs):
    one, two = server.sum_of(ours), server.sum_of(theirs)
    return None if one == two else f"the tables differ: rows and sum are {one} here, {two} at the peer"


def ok(ran, applied):
    """None, or what a run of ours said that it should not have."""
    said = ran.said
    if said.get("applied") != applied or said.get("rejected") != 0 or said.get("deferred") != 0:
        return f"ours: {said.get('applied')} rows applied, not {applied} ({said.get('rejected')} rejected, {said.get('deferred')} deferred)"
    return None


def first_of(*sentences):
    return next((one for one in sentences if one), None)


def stages(mine):
    """What the program says of its own parts, medians."""
    parts = [f"{name[:-3]} {median(ran.said.get(name) for ran in mine) / 1000:.2f} s" for name in ("read_ms", "apply_ms")
             if all(ran.said.get(name) is not None for ran in mine)]
    return ", ".join(parts)


# ---- full loads from a file ----

def load_beside(place, name, bar, keyed, sync):
    data, server = data_of(place), server_of(place)
    peer = "psql \\copy of the same CSV" + (", primary key" if keyed else "")
    if server.why:
        return not_there(name, server, bar, place.rows, peer)
    path = data.csv()
    folder = data.project(server, path, load=f"from: {{connection: files, stream: customers}}, {sync}")
    drop = ("DROP TABLE IF EXISTS ours", "DROP TABLE IF EXISTS _dray_state", "CHECKPOINT")

    def ours():
        fresh(folder)
        server.sql(*drop)
        return data.sync(server, folder, "load", name)

    def theirs():
        server.make("theirs", keyed)
        server.sql("CHECKPOINT")
        return peer_run(server, server.psql(f"\\copy theirs ({COLUMNS}) FROM '{path}' CSV HEADER"))

    mine, peer_runs = in_turn(place.runs, ours, theirs)
    wrong = first_of(*(ok(ran, place.rows) for ran in mine), unequal(server, "ours", "theirs"))
    server.sql(*drop, "DROP TABLE theirs")
    return row(name, place.rows, bar, ours=mine, peer=peer, peers=peer_runs, wrong=wrong, note=stages(mine),
               **servers_cpu(mine, peer_runs))


@bench("load", "a CSV file into a new table, as \\copy does it: append; psql \\copy of the same file into the same table", 700)
def load(place):
    yield load_beside(place, "load", Bar(">=", 0.8), False, "to: {connection: wh, table: ours}, mode: append")


@bench("load_keyed", "the same with a key: the table's primary key and a mirror of the rows are made beside", 900)
def load_keyed(place):
    yield load_beside(place, "load_keyed", Bar(">=", 0.8), True, "to: {connection: wh, table: ours}, mode: upsert, key: id")


# ---- from table to table ----

@bench("copy", "a table into another by a model, without a key and with one; psql | psql, COPY in binary", 900)
def copy(place):
    data, server = data_of(place), server_of(place)
    bar = Bar(">=", 0.9)
    kinds = (("copy", False, "mode: replace"), ("copy_keyed", True, "mode: upsert"))
    if server.why:
        for name, *_ in kinds:
            yield not_there(name, server, bar, place.rows, "psql | psql, binary")
        return
    fill(server, "source", data.csv())
    for name, keyed, mode in kinds:
        folder = data.project(server, data.csv(), **{name: f"from: {{model: whole}}, to: {{connection: wh, table: ours}}, {mode}"})

        def ours():
            fresh(folder)
            server.sql("DROP TABLE IF EXISTS ours", "DROP TABLE IF EXISTS _dray_state", "CHECKPOINT")
            return data.sync(server, folder, name, name)

        def theirs():
            server.make("theirs", keyed)
            server.sql("CHECKPOINT")
            pipe = ("set -e -o pipefail; psql -X -q -c \"COPY source TO STDOUT (FORMAT binary)\" | "
                    "psql -X -q -c \"COPY theirs FROM STDIN (FORMAT binary)\"")
            return peer_run(server, ["bash", "-c", pipe])

        mine, peer_runs = in_turn(place.runs, ours, theirs)
        wrong = first_of(*(ok(ran, place.rows) for ran in mine), unequal(server, "ours", "theirs"))
        yield row(name, place.rows, bar, ours=mine, peer="psql | psql, binary" + (", primary key" if keyed else ""),
                  peers=peer_runs, wrong=wrong, note=stages(mine), **servers_cpu(mine, peer_runs))
    server.sql("DROP TABLE IF EXISTS ours", "DROP TABLE IF EXISTS theirs", "DROP TABLE IF EXISTS _dray_state")


def fill(server, name, path):
    """A table from the CSV with its key, hint bits set: nobody pays for being the first reader."""
    if server.sql(f"SELECT to_regclass('{name}')").strip():
        return
    server.make(name, False)
    server.sql(f"\\copy {name} FROM '{path}' CSV HEADER", server.KEY.format(name=name), f"VACUUM (FREEZE, ANALYZE) {name}",
               "CHECKPOINT")


# ---- reading a model ----

@bench("model", "reading a table through the plugin's stream; a loop over PQgetCopyData that only counts rows", 500)
def model(place):
    data, server = data_of(place), server_of(place)
    bar, peer = Bar(">=", 0.8), "COPY out, counted"
    program = place.program("plugin_postgres_bench")
    if server.why or program is None:
        server.why = server.why or "built without libpq (tools/bench --setup)"
        yield not_there("model", server, bar, place.rows, peer)
        return
    fill(server, "source", data.csv())
    server.sql("DROP VIEW IF EXISTS bench", "CREATE VIEW bench AS SELECT * FROM source")
    config = json.dumps({"host": "127.0.0.1", "port": server.port, "database": "postgres", "user": "bench",
                         "sslmode": "disable"})

    def reading(how, connection):
        out = place.scratch / "model.out"
        with open(out, "wb") as stdout:
            ran = server.measured(lambda: machine.run([program, connection, how], env=server.env, stdout=stdout, seconds=None))
        rows, seconds, cpu, kib = out.read_text().split()
        made = machine.Run(float(seconds), int(kib) / 1024, float(cpu), {"rows": int(rows)})
        made.server_cpu_s = ran.server_cpu_s
        return made

    mine, theirs = in_turn(place.runs, lambda: reading("query", config), lambda: reading("bare", ""))
    data.peaks["model"] = peak(mine)
    wrong = first_of(*(f"{ran.said['rows']} rows read, not {place.rows}" for ran in mine + theirs
                       if ran.said["rows"] != place.rows))
    yield row("model", place.rows, bar, ours=mine, peer=peer, peers=theirs, wrong=wrong, **servers_cpu(mine, theirs))
    server.sql("DROP VIEW bench")


# ---- sending the same again ----

PEER_AGAIN = ("staging of all rows + INSERT ... ON CONFLICT DO UPDATE")


def conflict_script(path):
    sets = ", ".join(f"{name} = excluded.{name}" for name in peers.COLUMNS)
    return ["BEGIN", "CREATE TEMPORARY TABLE staging (LIKE theirs) ON COMMIT DROP",
            f"\\copy staging ({COLUMNS}) FROM '{path}' CSV HEADER",
            f"INSERT INTO theirs SELECT * FROM staging ON CONFLICT (id) DO UPDATE SET {sets}", "COMMIT"]


def settle(server, *tables):
    """What is due from before is not for the next measurement to pay."""
    server.sql(*(f"VACUUM {name}" for name in tables), "CHECKPOINT")


class Again:
    """A table that was loaded, a source that sends everything again, and the two versions it alternates between."""

    def __init__(self, place, name):
        self.place, self.name, self.data, self.server = place, name, data_of(place), server_of(place)
        self.rows = place.rows * 2 // 5
        self.changed = self.rows // CHANGED_EVERY
        self.versions = (self.data.csv(self.rows), self.data.csv(self.rows, second=True))
        self.source = place.scratch / "again.csv"
        self.folder = self.data.project(
            self.server, self.source, again="from: {connection: files, stream: customers, read: full}, "
            "to: {connection: wh, table: ours}, mode: upsert, key: id")
        self.server.sql("DROP TABLE IF EXISTS ours", "DROP TABLE IF EXISTS _dray_state")
        self.use(0)
        self.first = self.sync(measure=False)

    def use(self, version):
        self.source.unlink(missing_ok=True)
        os.link(self.versions[version], self.source)
        os.utime(self.source)

    def sync(self, measure=True):
        """One run, with the log that was written and what it did to the table."""
        server = self.server
        tables = () if not measure else ("ours", "_dray_state")
        settle(server, *tables)
        before = (server.written("ours"), server.size("ours")) if measure else None
        log = server.wal()
        ran = self.data.sync(server, self.folder, "again", self.name)
        ran.wal = server.wal() - log
        if measure:
            ran.wal_kinds = server.wal_by_kind(log, log + ran.wal)
            ran.written = [after - earlier for after, earlier in zip(server.written("ours"), before[0])]
            ran.grown = server.size("ours") / before[1]
        return ran

    def close(self):
        self.server.sql("DROP TABLE IF EXISTS ours", "DROP TABLE IF EXISTS theirs", "DROP TABLE IF EXISTS _dray_state")


@bench("again", "all rows sent again, one in a hundred changed: rows written, log, time, size; staging everything + ON CONFLICT", 1500)
def again(place):
    server = server_of(place)
    names = ("again_written", "again_wal", "again_time", "again_size")
    if server.why:
        for name in names:
            yield not_there(name, server, None, place.rows, PEER_AGAIN)
        return
    case = Again(place, "again")
    server.make("theirs", True)
    server.sql(f"\\copy theirs FROM '{case.versions[0]}' CSV HEADER")
    turn = [0, 0]

    def ours():
        turn[0] = 1 - turn[0]
        case.use(turn[0])
        ran = case.sync()
        ran.touched = server.number("SELECT count(*) FROM ours WHERE xmin = (SELECT xmin FROM _dray_state LIMIT 1)")
        return ran

    def theirs():
        turn[1] = 1 - turn[1]
        settle(server, "theirs")
        log, size = server.wal(), server.size("theirs")
        ran = peer_run(server, server.psql(*conflict_script(case.versions[turn[1]])))
        ran.wal, ran.grown = server.wal() - log, server.size("theirs") / size
        return ran

    mine, peer_runs = in_turn(place.runs, ours, theirs)
    wrong = first_of(*(ok(ran, case.changed) for ran in mine), unequal(server, "ours", "theirs"))
    more = {"ours": mine, "peer": PEER_AGAIN, "peers": peer_runs, "wrong": wrong}
    off = max(abs(sum(ran.written) - case.changed) + abs(ran.touched - case.changed) for ran in mine)
    yield row(names[0], case.rows, Bar("<=", 0), ratio=off, measure="rows written - rows changed", **more,
              note=f"inserted, updated, deleted by the server's statistics: {mine[-1].written}; by xmin {mine[-1].touched}; changed {case.changed}")
    ours_wal, peer_wal = median(ran.wal for ran in mine), median(ran.wal for ran in peer_runs)
    yield row(names[1], case.rows, Bar("<=", 1 / 8), ratio=ours_wal / peer_wal, measure="ours bytes / peer bytes", **more,
              note=f"{ours_wal / 1e6:.1f} MB of log, the peer {peer_wal / 1e6:.1f} MB, each directly after a checkpoint; ours in MB, "
                   f"(changes, pages written whole): {mine[-1].wal_kinds}")
    yield row(names[2], case.rows, Bar("<=", 1 / 8), measure="ours / peer", note=stages(mine), **more,
              **servers_cpu(mine, peer_runs))
    later = max((ran.grown for ran in mine[1:]), default=mine[0].grown)
    yield row(names[3], case.rows, Bar("<=", 1), ratio=later, measure="size after / before", **more,
              note=f"first change of a table without a free page: x {mine[0].grown:.4f} (the peer x {peer_runs[0].grown:.3f}); "
                   "then space of dead rows is used again")
    server.sql("DROP TABLE theirs")
    case.close()


@bench("idle", "all rows sent again, nothing changed: bytes of the server's log, rows written", 700)
def idle(place):
    server = server_of(place)
    if server.why:
        yield not_there("idle_wal", server, Bar("<=", 0), place.rows, "")
        return
    case = Again(place, "idle")
    mine = [case.sync() for _ in range(place.runs)]
    wrong = first_of(*(ok(ran, 0) for ran in mine))
    # The server writes a few bytes by itself at times (the running transactions, 15 s after the last of its log): the least counts.
    yield row("idle_wal", case.rows, Bar("<=", 0), ours=mine, ratio=min(ran.wal for ran in mine), measure="bytes of log",
              wrong=wrong, note=f"of each run: {[ran.wal for ran in mine]}; {stages(mine)}")
    yield row("idle_written", case.rows, Bar("<=", 0), ours=mine, ratio=max(sum(ran.written) for ran in mine),
              measure="rows written", wrong=wrong)
    case.close()


# ---- MySQL and MariaDB ----

@bench("mysql_load", "a CSV file into a new table of MySQL or MariaDB; LOAD DATA LOCAL INFILE of the same file", 900)
def mysql_load(place):
    data, server = data_of(place), maria.server_of(place)
    peer = "LOAD DATA LOCAL INFILE of the same CSV"
    kinds = (("mysql_load", False, "mode: append"), ("mysql_load_keyed", True, "mode: upsert, key: id"))
    for name, keyed, mode in kinds:
        if server.why:
            yield not_there(name, server, Bar(">=", MYSQL_BAR), place.rows, peer)
            continue
        path = data.csv()
        folder = data.project(server, path, load=f"from: {{connection: files, stream: customers}}, "
                              f"to: {{connection: wh, table: ours}}, {mode}")

        def ours():
            fresh(folder)
            server.sql("DROP TABLE IF EXISTS ours", "DROP TABLE IF EXISTS _dray_state")
            return data.sync(server, folder, "load", name)

        def theirs():
            server.make("theirs", keyed)
            return peer_run(server, server.client(server.load_data("theirs", path)))

        mine, peer_runs = in_turn(place.runs, ours, theirs)
        wrong = first_of(*(ok(ran, place.rows) for ran in mine), server.unequal("ours", "theirs"))
        yield row(name, place.rows, Bar(">=", MYSQL_BAR), ours=mine, peer=peer + (", primary key" if keyed else ""),
                  peers=peer_runs, wrong=wrong, note=stages(mine))
        server.sql("DROP TABLE IF EXISTS ours", "DROP TABLE IF EXISTS theirs", "DROP TABLE IF EXISTS _dray_state")


# ---- memory ----

@bench("peak", "peak memory of dray in everything that was measured in this call", 0)
def peak_of_all(place):
    peaks = data_of(place).peaks
    yield row("peak", place.rows, Bar("<=", PEAK_MB), ratio=max(peaks.values(), default=None), measure="MB at most",
              note=", ".join(f"{name} {mb:.0f}" for name, mb in peaks.items()) or "nothing was measured before")


@bench("tenfold", "a keyed load, a second run of it and a copy with ten times the rows: peak memory", 9000)
def tenfold(place):
    data, server = data_of(place), server_of(place)
    if server.why:
        yield not_there("tenfold_peak", server, Bar("<=", PEAK_MB), place.rows, "ours")
        return
    peaks = {}
    for rows in (place.rows, 10 * place.rows):
        path = data.csv(rows)
        folder = data.project(server, path, load="from: {connection: files, stream: customers, read: full}, "
                              "to: {connection: wh, table: source}, mode: upsert, key: id",
                              copy="from: {model: whole}, to: {connection: wh, table: ours}, mode: replace")
        server.sql("DROP TABLE IF EXISTS source CASCADE", "DROP TABLE IF EXISTS ours", "DROP TABLE IF EXISTS _dray_state", "CHECKPOINT")
        runs = {what: data.sync(server, folder, name, f"tenfold {what}")
                for what, name in (("load", "load"), ("again", "load"), ("copy", "copy"))}
        wrong = first_of(ok(runs["load"], rows), ok(runs["again"], 0), ok(runs["copy"], rows))
        peaks[rows] = {what: ran.peak_mb for what, ran in runs.items()}
        if rows != place.rows and not place.keep:
            path.unlink()
    server.sql("DROP TABLE source", "DROP TABLE ours", "DROP TABLE _dray_state")
    few, many = peaks.values()
    yield row("tenfold_peak", 10 * place.rows, Bar("<=", PEAK_MB), ratio=max(many.values()), measure="MB at most", wrong=wrong,
              note=f"{place.rows:,} rows: {shown(few)}; {10 * place.rows:,} rows: {shown(many)}",
              seconds={what: round(ran.seconds, 2) for what, ran in runs.items()})


def shown(peaks):
    return ", ".join(f"{what} {mb:.0f} MB" for what, mb in peaks.items())


def prepare(place):
    """Before the first bench."""
    place.build = machine.build("release", PROGRAMS)
