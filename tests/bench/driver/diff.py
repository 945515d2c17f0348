# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The suite `diff`: every bar of the diff engine is a row (two where it says two things), measured beside its peer on the
same rows. Rows without a bar are there to know."""
import functools
import hashlib
import pathlib
import shutil
import struct
import subprocess

from . import machine, peers
from .machine import Failed, in_turn
from .rows import NOT_AVAILABLE, Bar, median, peak, row

ROWS_DEFAULT = 1_000_000
PROGRAMS = ("bench_diff_programs", "dray", "plugin_file", "plugin_sqlite")
BENCHES = []  # (name, what, bytes of disk a row, function)


def bench(name, what, disk):
    def register(function):
        BENCHES.append((name, what, disk, function))
        return function
    return register


# ---- data, mirrors, ours ----

class Data:
    """Files of rows, mirrors and databases of one invocation, each made when first asked for."""

    def __init__(self, place):
        self.place = place
        self.folder = place.work / "data"
        self.folder.mkdir(exist_ok=True)
        self.mirrors = {}

    def file(self, kind, version, order, rows=None):
        rows = rows or self.place.rows
        path = self.folder / f"{rows}-{order}-{version}.{kind}"
        if not path.exists():
            made = self.made_here(path).with_suffix(".part")
            machine.run([self.place.need("bench_generate"), kind, rows, version, order, made])
            made.rename(path)
        return path

    def made_here(self, path):
        """`path`, which goes with the end of the invocation."""
        self.place.files.append(path)
        return path

    @functools.lru_cache(maxsize=None)
    def expected(self, rows, version=2):
        ran = machine.run([self.place.need("bench_generate"), "count", rows, version, "key", "/dev/null"])
        return ran.said

    def words(self, version, order="random", rows=None):
        return f"words:{self.file('words', version, order, rows)}"

    def made(self, version, order="random", rows=None):
        return f"rows:{rows or self.place.rows}:{version}:{order}"

    def mirror(self, source, *options):
        """A mirror of everything in `source`, at rest: (folder, what the program said)."""
        key = (source, options)
        if key not in self.mirrors:
            folder = self.place.scratch / f"mirror-{len(self.mirrors)}"
            self.mirrors[key] = (folder, self.engine("pass,ack,compact", folder, source, *options).said)
            self.set_of(folder).unlink(missing_ok=True)
        return self.mirrors[key]

    def forget(self, source, *options):
        folder, _ = self.mirrors.pop((source, options))
        shutil.rmtree(folder)

    @staticmethod
    def set_of(folder):
        return folder.with_name(folder.name + ".changes")

    def engine(self, steps, folder, source, *options, program=None, seconds="total_s", env=None):
        command = [program or self.place.need("bench_diff"), steps, "--mirror", folder, "--set", self.set_of(folder),
                   "--source", source, *options]
        return machine.run(command, seconds=seconds, env=env)


def differs(said, expected, rows_too=False):
    """A sentence when what a side found is not what the generator made."""
    for name in ("inserts", "updates", "deletes") + (("rows",) if rows_too else ()):
        if name in said and int(said[name]) != expected[name]:
            deferred = f" ({said['deferred']} rows deferred to the next pass)" if said.get("deferred") else ""
            return f"{said[name]} {name} found, {expected[name]} are there{deferred}"
    return None


def first_wrong(expected, **sides):
    for name, runs in sides.items():
        for ran in runs:
            wrong = differs(ran.said, expected)
            if wrong:
                return f"{name}: {wrong}"
    return None


@functools.lru_cache(maxsize=None)
def data_of(place):
    return Data(place)


@functools.lru_cache(maxsize=None)
def duckdb_of(place):
    return peers.DuckDB(place)


@functools.lru_cache(maxsize=None)
def postgres_of(place):
    return peers.Postgres(place)


def named(name, why):
    return f"{name} {NOT_AVAILABLE}" if why else name


# ---- 1: (id, hash) pairs ----

@bench("hashed", "rows as (id, hash) against a mirror that keeps the key, 256 MB, changed rows out; DuckDB's snapshot diff",
       200)
def hashed(place):
    data, duck = data_of(place), duckdb_of(place)
    expected = data.expected(place.rows)
    folder, _ = data.mirror(data.words(1), "--keep", "key")
    database = data.folder / f"pairs-{place.rows}.duckdb"
    if not duck.why and not database.exists():
        data.made_here(database)
        duck.run([f"CREATE TABLE {name} AS SELECT * FROM read_csv('{data.file('pairs', version, 'random')}', "
                  "header = true, columns = {'id': 'BIGINT', 'h': 'BIGINT'})" for name, version in (("o", 1), ("n", 2))],
                 database=database)

    def ours():
        return data.engine("pass", folder, data.words(2), "--memory", "256")

    def theirs(memory):
        ran = duck.run([f"CREATE TEMP TABLE changes AS SELECT {peers.OPERATION} AS op, coalesce(n.id, o.id) AS id, "
                        "n.h AS h FROM n FULL JOIN o ON n.id = o.id WHERE n.h IS DISTINCT FROM o.h"],
                       database=database, memory=memory, then="SELECT op, count(*) FROM changes GROUP BY op")
        ran.said = peers.counts_of(ran.said["rows"])
        return ran

    limited, free = (None, None) if duck.why else (lambda: theirs("256MiB"), lambda: theirs(None))
    mine, duck_limited, duck_free = in_turn(place.runs, ours, limited, free)
    more = {"wrong": first_wrong(expected, ours=mine, duckdb=duck_limited + duck_free), "note": duck.why}
    yield row("hashed", place.rows, Bar(">=", 3), ours=mine, peer=named("duckdb, 256 MB", duck.why), peers=duck_limited, **more)
    yield row("hashed_unlimited", place.rows, ours=mine, peer=named("duckdb, no limit", duck.why), peers=duck_free, **more)


# ---- 2: two CSV files ----

@bench("csv", "`dray diff` of two CSV files, changed rows out; DuckDB's full join of the two, sort + sort + comm", 700)
def csv(place):
    data, duck = data_of(place), duckdb_of(place)
    expected = data.expected(place.rows)
    old, new = data.file("csv", 1, "key"), data.file("csv", 2, "key")
    out = place.scratch / "changes.out"
    program = place.need("dray")
    why = no_diff_command(program)

    def ours():
        with open(out, "wb") as stdout:
            ran = machine.run([program, "diff", old, new, "--key", "id", "--format", "ndjson"], codes=(2,), stdout=stdout,
                              env={"TMPDIR": str(place.scratch)})
        ran.said = operations(out)
        return ran

    def theirs():
        full = f"read_csv('{old}', all_varchar = true, header = true) o"
        join = (f"FROM read_csv('{new}', all_varchar = true, header = true) n FULL JOIN {full} ON n.id = o.id "
                f"WHERE n.id IS NULL OR o.id IS NULL OR {peers.CHANGED}")
        ran = duck.run([f"COPY (SELECT {peers.OPERATION} AS op, coalesce(n.id, o.id) AS id, {peers.OLD_ROW}, "
                        f"{peers.NEW_ROW} {join}) "
                        f"TO '{out}.duckdb' (HEADER)"],
                       then=f"SELECT op, count(*) FROM read_csv('{out}.duckdb', all_varchar = true) GROUP BY op")
        ran.said = peers.counts_of(ran.said["rows"])
        pathlib.Path(f"{out}.duckdb").unlink()
        return ran

    mine, duck_runs, sort_runs = in_turn(place.runs, None if why else ours, None if duck.why else theirs,
                                         lambda: peers.sort_comm(place, old, new))
    more = {"wrong": first_wrong(expected, ours=mine, duckdb=duck_runs), "note": why or duck.why}
    name = named("duckdb, full join, 2 threads", duck.why)
    yield row("csv", place.rows, Bar(">=", 6), ours=mine, peer=name, peers=duck_runs, **more)
    both = peak(mine) and peak(duck_runs) and peak(mine) / peak(duck_runs)
    yield row("csv_memory", place.rows, Bar("<=", 1 / 8), ours=mine, peer=name, peers=duck_runs, ratio=both,
              measure="ours MB / peer MB", **more)
    yield row("csv_sort", place.rows, ours=mine, peer="sort + sort + comm, 256 MB", peers=sort_runs, note=why)


def no_diff_command(program):
    """None, or why there is nothing to measure."""
    done = subprocess.run([program, "diff", "--help"], capture_output=True, text=True)
    return None if done.returncode == 0 and "--key" in done.stdout else "this build has no `dray diff`"


def operations(path):
    """Counts the operations in `dray diff`'s NDJSON, one change a line."""
    found = {"inserts": 0, "updates": 0, "deletes": 0}
    begins = {f'{{"op":"{name[:-1]}"'.encode(): name for name in found}
    with open(path, "rb") as lines:
        for line in lines:
            for begin, name in begins.items():
                found[name] += line.startswith(begin)
    return found


@bench("sqlite", "`dray diff` of two SQLite tables; SQLite's own left join and anti join", 900)
def sqlite(place):
    data = data_of(place)
    expected = data.expected(place.rows)
    if shutil.which("sqlite3") is None:
        yield row("sqlite", place.rows, peer=named("sqlite", True), note="no sqlite3 (tools/bench --setup)")
        return
    database = data.folder / f"tables-{place.rows}.sqlite"
    if not database.exists():
        data.made_here(database)
        machine.say("bench: loading two tables into SQLite")
        peers.sqlite_load(place, database, data.file("csv", 1, "key"), data.file("csv", 2, "key"))
    program, out = place.need("dray"), place.scratch / "changes.out"
    why = no_diff_command(program)

    def ours():
        with open(out, "wb") as stdout:
            ran = machine.run([program, "diff", f"sqlite:{database}#old", f"sqlite:{database}#new", "--key", "id", "--format", "ndjson"],
                              codes=(2,), stdout=stdout)
        ran.said = operations(out)
        return ran

    mine, theirs = in_turn(place.runs, None if why else ours, lambda: peers.sqlite_join(database))
    yield row("sqlite", place.rows, ours=mine, peer="sqlite, left join + anti join", peers=theirs, note=why,
              wrong=first_wrong(expected, ours=mine))


# ---- 3 and 7: out of PostgreSQL ----

@bench("postgres", "rows from PostgreSQL by binary COPY into the engine, changed rows out; a COPY loop that only counts", 700)
def postgres(place):
    data, server = data_of(place), postgres_of(place)
    if server.why:
        yield row("postgres", place.rows, Bar("<=", 1.10), peer=named("COPY out, counted", True), note=server.why,
                  measure="ours / peer")
        return
    table = server.load("new_key", data.file("csv", 2, "key"))
    yield from out_of_postgres(place, server, "postgres", table, Bar("<=", 1.10),
                               f"COPY out, counted (PostgreSQL {server.version})",
                               lambda: machine.run([place.need("bench_copy_count"), table], env=server.env))


KEPT = (("key", "", "against a mirror that keeps keys: as the peer, it says which rows, not which columns"),
        ("row", "_rows", "against a mirror that keeps rows: changed columns and values before are known"))


def out_of_postgres(place, server, name, table, bar, peer, theirs):
    """The rows of a table against mirrors of version 1, beside a peer."""
    data = data_of(place)
    sides = [functools.partial(data.engine, "pass", data.mirror(data.made(1, "key"), "--keep", keep)[0],
                               f"postgres:{table}", env=server.env) for keep, _, _ in KEPT]
    *all_ours, peers_runs = in_turn(place.runs, *sides, theirs)
    for mine, (_, suffix, note) in zip(all_ours, KEPT):
        yield row(name + suffix, place.rows, bar, ours=mine, peer=peer, peers=peers_runs, measure="ours / peer", note=note,
                  wrong=first_wrong(data.expected(place.rows), ours=mine, peer=peers_runs))


@bench("postgres_random", "the same with keys in random order; PostgreSQL's FULL JOIN ... IS DISTINCT FROM", 900)
def postgres_random(place):
    data, server = data_of(place), postgres_of(place)
    if server.why:
        yield row("postgres_random", place.rows, Bar("<=", 0.7), peer=named("postgres, FULL JOIN", True), note=server.why,
                  measure="ours / peer")
        return
    old = server.load("old_random", data.file("csv", 1, "random"))
    new = server.load("new_random", data.file("csv", 2, "random"))
    yield from out_of_postgres(place, server, "postgres_random", new, Bar("<=", 0.7),
                               f"PostgreSQL {server.version}, FULL JOIN", lambda: server.full_join(new, old))


# ---- 4: ten times the rows ----

@bench("linear", "`hashed` with ten times the rows: time against that of the rows, and peak memory", 1400)
def linear(place):
    data, many = data_of(place), place.rows * 10
    few_folder, _ = data.mirror(data.words(1), "--keep", "key")
    many_folder, made = data.mirror(data.words(1, rows=many), "--keep", "key")
    few_rows, many_rows = data.words(2), data.words(2, rows=many)
    big, small = in_turn(place.runs, lambda: data.engine("pass", many_folder, many_rows, "--memory", "256"),
                         lambda: data.engine("pass", few_folder, few_rows, "--memory", "256"))
    wrong = first_wrong(data.expected(many), ours=big)
    yield row("linear", many, Bar("<=", 11), ours=big, peer=f"ours, {place.rows:,} rows", peers=small,
              measure="ours / peer", wrong=wrong, deferred=big[-1].said["deferred"])
    yield row("linear_peak", many, Bar("<=", 256), ours=big, ratio=peak(big), measure="MB at most", wrong=wrong,
              note=f"the first pass, acknowledging and merging of these rows took {made['total_s']:.1f} s")
    data.forget(data.words(1, rows=many), "--keep", "key")
    for version in (1, 2):
        data.file("words", version, "random", many).unlink()


# ---- 5: size ----

@bench("size", "bytes a row of the mirror on disk, by key and by what it keeps; LMDB", 400)
def size(place):
    data = data_of(place)
    stored = lmdb_size(place, data)
    kinds = (("size_integer", "id", "key", Bar("<=", 17)), ("size_text", "email", "key", Bar("<=", 25)),
             ("size_columns", "id", "columns", None), ("size_row", "id", "row", None))
    for name, key, keep, bar in kinds:
        options = ("--keep", keep, "--key", key)
        folder, said = data.mirror(data.made(1), *options)
        entries, everything = entry_bytes(folder) / place.rows, said["base_bytes"] / place.rows
        data.forget(data.made(1), *options)
        yield row(name, place.rows, bar, peer=named("lmdb, 16 bytes of hash as key", stored is None), ratio=entries if bar else everything,
                  measure="bytes a row", peer_bytes_a_row=stored, all_bytes_a_row=everything,
                  note=f"entries {entries:.1f}, with what it keeps {everything:.1f}; lmdb {stored or 0:.1f}")


def entry_bytes(folder):
    """Bytes of the base's entries and of the directory to them: what stands between entries and places, by the footer
    (core/diff/README.md)."""
    path, = folder.glob("base.*")
    with open(path, "rb") as file:
        file.seek(-128, 2)
        footer = struct.unpack("<8s15Q", file.read(128))
    if footer[0] != b"DRAYFOOT":
        raise Failed(f"{path.name} ends without a footer")
    return footer[3] - footer[5]


def lmdb_size(place, data):
    if place.program("bench_lmdb") is None:
        return None
    folder = place.scratch / "lmdb.size"
    folder.mkdir()
    said = machine.run([place.need("bench_lmdb"), "fill", folder, data.file("words", 1, "random"), "hash"]).said
    shutil.rmtree(folder)
    return said["bytes"] / place.rows


# ---- 6: diff and update ----

@bench("update", "the pass, acknowledging it all, commit and merge; get and put on LMDB, one durable transaction", 800)
def update(place):
    data = data_of(place)
    expected, program = data.expected(place.rows), place.program("bench_lmdb")
    for name, order, key, bar in (("update", "random", "hash", Bar(">=", 10)), ("update_integer", "key", "int", None)):
        source = data.words(1, order)
        folder, _ = data.mirror(source, "--keep", "key")
        filled = place.scratch / f"lmdb.{key}"
        if program:
            filled.mkdir()
            machine.run([program, "fill", filled, data.file("words", 1, order), key])
        mine, theirs = in_turn(
            place.runs, lambda: on_copy(place, folder, lambda at: data.engine("pass,ack,compact", at, data.words(2, order))),
            program and (lambda: on_copy(place, filled, lambda at: machine.run(
                [program, "update", at, data.file("words", 2, order), key]))))
        shutil.rmtree(filled, ignore_errors=True)
        yield row(name, place.rows, bar, ours=mine, peer=named(f"lmdb, {order} order, {key} keys", program is None),
                  peers=theirs, wrong=first_wrong(expected, ours=mine, lmdb=theirs))


def on_copy(place, folder, work):
    """Measures on a copy, because the work changes the folder."""
    copy = place.scratch / "copy"
    shutil.copytree(folder, copy)
    try:
        return work(copy)
    finally:
        shutil.rmtree(copy)
        Data.set_of(copy).unlink(missing_ok=True)


# ---- 8: the portable build ----

@bench("portable", "the portable build against the same program with -march=native, processor time in one thread", 200)
def portable(place):
    data = data_of(place)
    native = machine.build("bench-native", ["bench_diff"], "-march=native") / "tests/bench/diff/bench_diff"
    for name, source, keep in (("portable_columns", data.made, "row"), ("portable_hashed", data.words, "key")):
        folder, _ = data.mirror(source(1), "--keep", keep)
        options = ("--threads", "1")
        mine, theirs = in_turn(place.runs, *(functools.partial(
            data.engine, "pass", folder, source(2), *options, program=program, seconds="engine_cpu_s")
            for program in (place.need("bench_diff"), native)))
        yield row(name, place.rows, Bar("<=", 1.15), ours=mine, peer="-march=native", peers=theirs, measure="ours / peer")


# ---- 9: nothing changed ----

@bench("unchanged", "a run in which nothing changed: files of the mirror that are other files afterwards, fsyncs", 300)
def unchanged(place):
    data = data_of(place)
    source = data.made(1)
    folder, _ = data.mirror(source)
    counted = place.scratch / "fsyncs"
    env = {"LD_PRELOAD": str(place.need("libbench_fsyncs.so")), "BENCH_FSYNCS": str(counted)}
    before = {path.name: identity(path) for path in sorted(folder.iterdir())}
    mine = [data.engine("pass,ack,compact", folder, source, env=env) for _ in range(place.runs)]
    after = {path.name: identity(path) for path in sorted(folder.iterdir())}
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    said = mine[-1].said
    wrong = None if said["unchanged"] == place.rows else f"ours: {said['unchanged']} of {place.rows} rows unchanged"
    yield row("unchanged_files", place.rows, Bar("<=", 0), ours=mine, ratio=len(changed), measure="files rewritten",
              wrong=wrong, note="changed: " + ", ".join(changed) if changed else None)
    yield row("unchanged_fsyncs", place.rows, Bar("<=", 1), ours=mine, ratio=int(counted.read_text()), measure="fsyncs",
              wrong=wrong)


def identity(path):
    stat = path.stat()
    with open(path, "rb") as file:
        return stat.st_ino, stat.st_mtime_ns, hashlib.file_digest(file, "blake2b").hexdigest()


# ---- 10: acknowledging ----

@bench("ack", "acknowledging 1 M changes in batches of 1,000, durable every 50 ms", 400)
def ack(place):
    data, changes = data_of(place), 1_000_000
    for name, keep, bar in (("ack", "row", Bar(">=", 200_000)), ("ack_keys", "key", None)):
        mine = []
        for _ in range(place.runs):
            folder = place.scratch / "ack"
            mine.append(data.engine("pass,groups", folder, data.made(1, "random", changes), "--keep", keep,
                                    seconds="groups_s"))
            shutil.rmtree(folder)
            data.set_of(folder).unlink()
        speed = changes / median(ran.seconds for ran in mine)
        yield row(name, changes, bar, ours=mine, ratio=speed, measure="changes/s",
                  note=f"{mine[-1].said['commits']} commits, rows kept: {keep}")


# ---- 11: the first change ----

@bench("first", "from opening the mirror with the first batch at hand until its changes are known, one thread", 300)
def first(place):
    data = data_of(place)
    for name, source, keep in (("first", data.made, "row"), ("first_hashed", data.words, "key")):
        folder, _ = data.mirror(source(1), "--keep", keep)
        mine = [data.engine("first", folder, source(2), "--threads", "1") for _ in range(place.runs)]
        yield row(name, place.rows, Bar("<=", 1), ours=mine, ratio=median(ran.seconds for ran in mine), measure="seconds")


def prepare(place):
    """Before the first bench."""
    place.build = machine.build("release", PROGRAMS)


def instructions(arguments):
    from . import instructions as counting
    return counting.main(arguments)
