# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""`diff: warehouse` beside `diff: local`: the same life lived twice, run for run, in two projects. What the receiver holds,
what was sent to it and every count must be equal, whatever happened: rows refused, copies of a key, rows without a key,
values that cannot be read, an edited mapping, a restored warehouse, a snapshot edited by hand, a lost mirror, kills.

DRAY_DIFF_LIVES and DRAY_DIFF_SEED: how many random lives, and from which on.
"""

import concurrent.futures
import json
import os
import random
import shutil
import sqlite3

import pytest

import harness
import mysql_server
import scene

LIVES = int(os.environ.get("DRAY_DIFF_LIVES", "12"))
SEED = int(os.environ.get("DRAY_DIFF_SEED", "1"))
RUNS = int(os.environ.get("DRAY_DIFF_RUNS", "8"))
COUNTS = ("rows_read", "inserts", "updates", "deletes", "unchanged", "sent", "applied", "rejected", "unreadable", "null_keys",
          "duplicate_keys", "duplicate_rows", "refused", "parked", "pending", "in_doubt", "deletes_withheld", "deferred",
          "ignored", "mirror_rows", "changed_columns", "exit_code", "error")

# `b` and `word` are compared without regard to case by the engine, by MySQL's also to blanks at the end; `spare` is sent by no
# mapping.
SQLITE_TABLE = ("CREATE TABLE things (a INTEGER, b TEXT COLLATE NOCASE, word TEXT COLLATE NOCASE, number INTEGER, price "
                "DECIMAL(10,2), day DATE, doc JSON, spare TEXT)")
POSTGRES_TABLE = ("CREATE TABLE things (a int, b text COLLATE anycase, word text COLLATE anycase, number numeric, price numeric(10,2), "
                  "day date, doc json, spare text)")
MYSQL_TABLE = ("CREATE TABLE things (a int, b text COLLATE utf8mb4_general_ci, word text COLLATE utf8mb4_general_ci, number "
               "decimal(65,10), price decimal(10,2), day date, doc json, spare text)")


class Table:
    """The model's table, as rows that the test knows, put into each engine as a whole."""

    def __init__(self, chance, composite):
        self.chance, self.composite = chance, composite
        self.rows = [self.new_row(key) for key in range(1, 41)]
        self.next_key = 41

    def new_row(self, key):
        pick = self.chance
        return [key, pick.choice(["x", "X", "x ", "y"]) if self.composite else "x", pick.choice(["one", "ONE", "two", "", None]),
                pick.choice(["1", "1.0", "10", None]), pick.choice(["1.50", "-3.25", None]), pick.choice(["2024-02-29", None]),
                pick.choice(['{"a": 1}', '{"a":1}', "[]", None]), "s"]

    def change(self):
        pick = self.chance
        for _ in range(pick.choice([0, 1, 3, 8])):
            what = pick.random()
            row = pick.choice(self.rows) if self.rows else None
            if what < 0.15 or row is None:
                self.rows.append(self.new_row(self.next_key))
                self.next_key += 1
            elif what < 0.30:
                self.rows.remove(row)
            elif what < 0.36:
                self.rows.append(list(row))  # a copy of a key, all of it
            elif what < 0.42:
                self.rows.append(row[:2] + self.new_row(0)[2:])  # a copy of a key, another row
            elif what < 0.46:
                self.rows.append([None] + self.new_row(0)[1:])
            elif what < 0.52 and row[2] is not None:
                row[2] = row[2].swapcase()
            elif what < 0.55 and self.composite:
                row[1] = row[1].swapcase()
            elif what < 0.61 and self.composite:  # a key that the engine takes for that of another row
                other = pick.choice([row[1].swapcase(), row[1] + " ", row[1].strip()])
                self.rows.append([row[0], other] + self.new_row(0)[2:])
            elif what < 0.62:
                row[7] = "spare" + str(pick.random())
            elif what < 0.67:
                row[5] = "infinity" if row[5] != "infinity" else None  # cannot be read
            elif what < 0.72:
                key = (row[0], row[1])
                copies = [other for other in self.rows if (other[0], other[1]) == key]
                for other in copies[1:]:
                    self.rows.remove(other)
            elif what < 0.76:
                self.rows = [other for other in self.rows if other[0] is not None]
            else:
                column = pick.randrange(2, 7)
                row[column] = self.new_row(0)[column]
        return [list(row) for row in self.rows]


class Side:
    """One project of the two, with its receiver and its warehouse."""

    def __init__(self, folder, diff, composite):
        self.diff, self.composite = diff, composite
        folder.mkdir(parents=True)
        self.receiver = harness.Receiver(folder)
        self.project = harness.Project(folder / "project")
        self.project.environment.update(scene.SECRETS)
        self.extra, self.mode, self.saved = "note: {value: v}", "mirror", False
        self.word = "word"

    def connection(self):
        return "  wh: {plugin: sqlite, path: warehouse.db}\n"

    def prepare(self):
        """Before the first run."""

    def configure(self):
        key = "[a, b]" if self.composite else "a"
        text = ("connections:\n" + self.connection() + scene.hook_connection(self.receiver, "batch_rows: 7") +
                f"models:\n  things: {{warehouse: wh, sql: \"SELECT * FROM things -- all\", key: {key}}}\n"
                "syncs:\n  things:\n    from: {model: things}\n    to: {connection: hook, object: things}\n"
                f"    mode: {self.mode}\n    guard: off\n    attempts: 2\n"
                f"    map: {{a: a, b: b, word: {self.word}, number: number, price: price, day: day, doc: doc, {self.extra}}}\n")
        self.project.config(text + ("    diff: warehouse\n" if self.diff == "warehouse" else ""))

    def fill(self, rows):
        connection = sqlite3.connect(self.project.folder / "warehouse.db")
        connection.execute("DROP TABLE IF EXISTS things")
        connection.execute(SQLITE_TABLE)
        connection.executemany("INSERT INTO things VALUES (?,?,?,?,?,?,?,?)", rows)
        connection.commit()
        connection.close()

    def save(self):
        shutil.copy(self.project.folder / "warehouse.db", self.project.folder / "backup.db")
        self.saved = True

    def restore(self):
        shutil.copy(self.project.folder / "backup.db", self.project.folder / "warehouse.db")

    def by_hand(self, sql):
        """Edits the snapshot: {s} and {c} are its tables."""
        found = sorted(name for name in self.project.tables() if name.startswith("dray__"))
        if len(found) == 2:
            self.project.execute(sql.format(c=found[0], s=found[1]))

    def run(self, *options):
        seen = len(self.receiver.ledger())
        result = self.project.dray("sync", "things", "--json", *options)
        record = result.line("run")
        assert record["error"] in (None, "mirror_missing"), str(result)
        sent = sorted((json.dumps([row["op"], row["key"], row.get("data"), row.get("changed")], sort_keys=True)
                       for row in self.receiver.sent(seen)))
        return record, sent

    def plan(self):
        result = self.project.dray("plan", "things", "--json", "--samples", "1000")
        record, samples = result.line("plan"), result.lines("sample")
        assert record["error"] in (None, "mirror_missing"), str(result)
        # Rejects are shown by their place in what was read.
        shown = sorted((sample["op"], sample["key"], sample["text"], sample["error"]) for sample in samples
                       if sample["op"] != "delete" or record["unreadable"] == 0)
        return counts(record), shown

    def refuse(self, faults):
        self.receiver.faults(*faults)

    def close(self):
        self.receiver.stop()


def counts(record):
    """What must be equal. A row that could not be read is not gone, so no delete goes out; of those that are held back for it the
    local diff counts the row's own key as well, since it does not see it."""
    found = {name: record[name] for name in COUNTS}
    if record["unreadable"] > 0 and record["deletes"] == 0:
        found.update(deletes_withheld="some")
    return found


HAND = ["DELETE FROM {s} WHERE _dray_number % 5 = 0", "UPDATE {s} SET word = 'by hand' WHERE _dray_number % 3 = 0",
        "INSERT INTO {s} SELECT * FROM {s}", "DROP TABLE {c}", "DELETE FROM {s}", "DROP TABLE {s}; DROP TABLE {c}"]


def accident(chance, sides):
    """Something that befalls both sides, or only the snapshot."""
    what = chance.random()
    if what < 0.10:
        for side in sides:
            side.save()
    elif what < 0.18:
        for side in sides:
            if side.saved:
                side.restore()
        return "restored"
    elif what < 0.26:
        extra = chance.choice(["note: {value: v}", "note: {value: w}", "spare: spare", "spare: note"])
        for side in sides:
            side.extra = extra
            side.configure()
        return "mapping"
    elif what < 0.32:
        mode = chance.choice(["mirror", "upsert", "create", "update", "mirror"])
        for side in sides:
            side.mode = mode
            side.configure()
        return "mode " + mode
    elif what < 0.42:
        hand = chance.choice(HAND)
        sides[1].by_hand(hand)
        return hand
    elif what < 0.50:
        word = chance.choice(["{to: word, nulls: keep}", "{nulls: keep}", "{to: word, nulls: send}"])
        for side in sides:
            side.word = word
            side.configure()
        return "nulls " + word
    elif what < 0.53:
        for side in sides:
            shutil.rmtree(side.project.folder / ".dray/syncs/things/mirror", ignore_errors=True)
        return "lost mirror"
    return ""


def faults_of(chance):
    found = []
    if chance.random() < 0.4:
        found.append({"kind": "reject_rows", "where": {"field": "a", "equals": chance.randrange(1, 45)}, "count": -1})
    if chance.random() < 0.2:
        found.append({"kind": "reject_rows", "where": {"op": chance.choice(["delete", "update", "insert"])}, "count": -1})
    return found


def live(folder, seed, make):
    chance = random.Random(seed)
    composite = chance.random() < 0.5
    table = Table(chance, composite)
    sides = [make(folder / "local", "local", composite), make(folder / "warehouse", "warehouse", composite)]
    told = []
    moved = 0
    try:
        for side in sides:
            side.prepare()
            side.configure()
            side.fill([list(row) for row in table.rows])
        for number in range(RUNS):
            where = f"seed {seed}, run {number}, {told[-3:]}"
            faults = faults_of(chance)
            for side in sides:
                side.refuse(faults)
            if chance.random() < 0.4:
                assert sides[0].plan() == sides[1].plan(), where
            options = chance.choice([()] * 9 + [("--full-refresh",)])
            (one, sent_one), (two, sent_two) = (side.run(*options) for side in sides)
            told.append((number, two["diff"]["used"] if "diff" in two else None, two["error"]))
            assert counts(one) == counts(two), f"{where}\n{one}\n{two}"
            assert sent_one == sent_two, f"{where}\n{set(sent_one) ^ set(sent_two)}"
            ones, others = (sorted(side.receiver.state("things"), key=repr) for side in sides)
            assert ones == others, where
            moved += "diff" in two and two["diff"]["used"] == "warehouse"
            if one["error"] == "mirror_missing":
                for side in sides:
                    side.project.dray("state", "baseline", "things", "--yes")
            happened = accident(chance, sides)
            told.append(happened)
            if not happened.startswith("restored"):
                rows = table.change()
                for side in sides:
                    side.fill(rows)
    finally:
        for side in sides:
            side.close()
    return moved


@pytest.mark.parametrize("block", range(4))
def test_random_lives_are_the_same_by_both(block, tmp_path):
    seeds = [SEED + block + 4 * i for i in range(max(1, LIVES // 4))]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        moved = list(pool.map(lambda seed: live(tmp_path / str(seed), seed, Side), seeds))
    assert sum(moved) >= len(seeds), f"the snapshot was hardly ever used: {moved}"


# ---- on servers ----


def literal(value):
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


def insert(rows):
    values = ", ".join("(" + ", ".join(literal(value) for value in row) + ")" for row in rows)
    return f"INSERT INTO things VALUES {values};" if rows else ""


def server_connection(plugin, server, database, more=""):
    return (f"  wh: {{plugin: {plugin}, host: 127.0.0.1, port: {server.port}, database: {database}, user: dray, sslmode: disable, "
            f"password: !secret env:WH_PASSWORD{more}}}\n")


class ServerSide(Side):
    plugin, server = "", None

    def __init__(self, folder, diff, composite):
        super().__init__(folder, diff, composite)
        self.database = diff
        self.project.environment["WH_PASSWORD"] = harness.CANARY_BEARER

    def connection(self):
        return server_connection(self.plugin, self.server, self.database)

    def of_snapshot(self):
        raise NotImplementedError

    def by_hand(self, sql):
        found = sorted(name for name in self.of_snapshot() if not name.startswith("_"))
        if len(found) == 2:
            self.server.sql(sql.format(c="dray." + found[0], s="dray." + found[1]), self.database)


class PostgresSide(ServerSide):
    plugin = "postgres"

    def prepare(self):
        self.server.fresh(self.database)
        self.server.sql("CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
                        self.database)

    def fill(self, rows):
        self.server.sql("BEGIN; DROP TABLE IF EXISTS things; " + POSTGRES_TABLE + "; GRANT SELECT ON things TO dray;" +
                        insert(rows) + "COMMIT", self.database)

    def save(self):
        self.server.sql(f"DROP DATABASE IF EXISTS kept_{self.database} WITH (FORCE)", "postgres")
        self.server.sql(f"CREATE DATABASE kept_{self.database} TEMPLATE {self.database} OWNER dray STRATEGY file_copy", "postgres")
        self.saved = True

    def restore(self):
        self.server.sql(f"DROP DATABASE {self.database} WITH (FORCE)", "postgres")
        self.server.sql(f"CREATE DATABASE {self.database} TEMPLATE kept_{self.database} OWNER dray STRATEGY file_copy", "postgres")

    def of_snapshot(self):
        return [row[0] for row in self.server.sql("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = "
                                                  "to_regnamespace('dray')", self.database)]


class MysqlSide(ServerSide):
    """The schema `dray` is a database beside the model's, which a restore brings back with it."""

    plugin = "mysql"

    def prepare(self):
        if self.diff == "local":
            self.server.fresh(self.database)
        else:
            self.server.sql(f"CREATE DATABASE {self.database}", "")

    def fill(self, rows):
        rows = [row[:5] + ["0000-00-00" if row[5] == "infinity" else row[5]] + row[6:] for row in rows]
        self.server.sql("SET sql_mode = ''; DROP TABLE IF EXISTS things; " + MYSQL_TABLE + ";" + insert(rows), self.database)

    def homes(self):
        return [self.database] + (["dray"] if self.diff == "warehouse" else [])

    def of_snapshot(self):
        return self.tables("dray")

    def tables(self, database):
        return [row[0] for row in self.server.sql(f"SELECT table_name FROM information_schema.tables WHERE table_schema = "
                                                  f"'{database}'", "")]

    def copy(self, begin, end):
        """Databases begin* become end*, of each of the two."""
        for home in self.homes():
            script = f"SET sql_mode = ''; DROP DATABASE IF EXISTS {end}{home}; CREATE DATABASE {end}{home};"
            for table in self.tables(begin + home):
                script += (f"CREATE TABLE {end}{home}.{table} LIKE {begin}{home}.{table};"
                           f"INSERT INTO {end}{home}.{table} SELECT * FROM {begin}{home}.{table};")
            self.server.sql(script, "")

    def save(self):
        self.copy("", "kept_")
        self.saved = True

    def restore(self):
        self.copy("kept_", "")


SIDES = {"postgres": PostgresSide, "mysql": MysqlSide}


@pytest.mark.parametrize("seed", [SEED + 1000, SEED + 1002, SEED + 1003])  # the last two by composite keys
@pytest.mark.parametrize("engine", SIDES)
def test_random_lives_on_a_server(engine, seed, tmp_path, request):
    SIDES[engine].server = request.getfixturevalue(engine)
    assert live(tmp_path / "lives", seed, SIDES[engine]) > 1


LOOSE_TYPES = {"sqlite": "TEXT COLLATE NOCASE", "postgres": "text COLLATE anycase", "mysql": "varchar(20) COLLATE utf8mb4_general_ci"}


@pytest.mark.parametrize("engine", LOOSE_TYPES)
def test_keys_that_the_engine_takes_for_one_are_counted_each(engine, project, receiver, request):
    sql, connection = project.execute, "  wh: {plugin: sqlite, path: warehouse.db}\n"
    other = "a " if engine == "mysql" else "A"
    if engine != "sqlite":
        server = request.getfixturevalue(engine)
        server.fresh()
        sql, connection = server.sql, server_connection(engine, server, "work")
        if engine == "postgres":
            sql("CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    sql(f"CREATE TABLE m (k {LOOSE_TYPES[engine]}, v int); INSERT INTO m VALUES ('a', 1), ('{other}', 2), ('c', 3), ('d', 4)" +
        ("; GRANT SELECT ON m TO dray" if engine == "postgres" else ""))
    project.environment.update(scene.SECRETS)
    project.environment["WH_PASSWORD"] = harness.CANARY_BEARER
    project.config("connections:\n" + connection + scene.hook_connection(receiver) +
                   "models:\n  m: {warehouse: wh, sql: \"SELECT k, v FROM m\", key: k}\n"
                   "syncs:\n  m:\n    from: {model: m}\n    to: {connection: hook, object: m}\n    mode: mirror\n"
                   "    guard: off\n    diff: warehouse\n")

    def run(change, *wanted):
        sql(change)
        record = project.sync("m", code=3 if wanted[-1] else 0)
        counted = ("rows_read", "inserts", "updates", "deletes", "unchanged", "duplicate_rows")
        assert tuple(record[name] for name in counted) == wanted, record
        return record["diff"]

    assert run("SELECT 1", 4, 4, 0, 0, 0, 0)["used"] == "local"
    assert run("SELECT 1", 4, 0, 0, 0, 4, 0)["used"] == "warehouse"
    assert run("UPDATE m SET v = 30 WHERE v = 3", 4, 0, 1, 0, 3, 0)["warehouse_rows"] == 1  # the two are no copies of one
    run("UPDATE m SET v = 20 WHERE v = 2", 4, 0, 1, 0, 3, 0)
    run("INSERT INTO m VALUES ('D', 5)", 5, 1, 0, 0, 4, 0)
    run("INSERT INTO m VALUES ('D', 5)", 6, 0, 0, 0, 4, 2)  # but these are
    run("DELETE FROM m WHERE v IN (1, 5)", 3, 0, 0, 2, 3, 0)
    assert {row["k"]: row["v"] for row in scene.held(receiver, "m", "k")} == {other: 20, "c": 30, "d": 4}


class PostgresPeople:
    """A table of people on a server, and what a test asks and forbids there."""

    plugin = "postgres"
    number = "generate_series(1, {}) AS i(n)"

    def __init__(self, server):
        self.server = server
        self.sql = server.sql

    def assert_idle(self, run):
        self.server.assert_idle(run)

    def take_rights(self):
        self.sql("REVOKE CREATE ON DATABASE work FROM PUBLIC; ALTER DATABASE work OWNER TO postgres; "
                 "GRANT CREATE, USAGE ON SCHEMA public TO dray")

    def give_rights(self):
        self.sql("CREATE SCHEMA dray AUTHORIZATION dray")


class MysqlPeople(PostgresPeople):
    plugin = "mysql"
    number = "(SELECT seq AS n FROM seq_1_to_{}) AS i"

    def assert_idle(self, run):
        counters = ("Handler_write", "Handler_update", "Handler_delete")
        before = [self.server.counter(name) for name in counters]
        run()
        assert [self.server.counter(name) for name in counters] == before

    def take_rights(self):
        self.sql("CREATE OR REPLACE USER dray@'%' IDENTIFIED BY " + mysql_server.text(harness.CANARY_BEARER) +
                 "; GRANT SELECT, CREATE, ALTER, DROP, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES ON work.* TO dray@'%'")

    def give_rights(self):
        self.sql("GRANT SELECT, CREATE, DROP, INDEX, INSERT, UPDATE, DELETE ON dray.* TO dray@'%'")


@pytest.fixture(params=[PostgresPeople, MysqlPeople], ids=["postgres", "mysql"])
def people(request):
    server = request.getfixturevalue(request.param.plugin)
    server.fresh()
    yield request.param(server)
    if request.param.plugin == "mysql":
        server.sql("GRANT ALL ON *.* TO dray@'%'", "")


def people_in(people, project, receiver, rows):
    people.sql(f"CREATE TABLE people (id int PRIMARY KEY, name varchar(20), score int); INSERT INTO people SELECT n, concat('name ', "
               f"n), n FROM {people.number.format(rows)}; GRANT SELECT ON people TO dray")
    project.environment.update(scene.SECRETS)
    project.environment["WH_PASSWORD"] = harness.CANARY_BEARER
    project.config("connections:\n" + server_connection(people.plugin, people.server, "work") + scene.hook_connection(receiver) +
                   "models:\n  people: {warehouse: wh, sql: \"SELECT id, name, score FROM people\", key: id}\n"
                   "syncs:\n  people:\n    from: {model: people}\n    to: {connection: hook, object: people}\n"
                   "    mode: mirror\n    diff: warehouse\n")


def test_only_changed_rows_leave_the_server(people, project, receiver):
    people_in(people, project, receiver, 3000)
    assert project.sync("people")["diff"]["used"] == "local"
    runs = []
    people.assert_idle(lambda: runs.append(project.sync("people")))
    for idle in runs:
        assert (idle["diff"]["used"], idle["diff"]["warehouse_rows"], idle["unchanged"]) == ("warehouse", 0, 3000)
    people.sql("UPDATE people SET score = -1 WHERE id % 100 = 0; DELETE FROM people WHERE id IN (7, 8); "
               "INSERT INTO people VALUES (9000, 'new', 0)")
    plan, _ = project.plan("people")
    done = project.sync("people")
    for record in (plan, done):
        assert (record["updates"], record["deletes"], record["inserts"], record["unchanged"]) == (30, 2, 1, 2968)
        assert (record["diff"]["warehouse_rows"], record["diff"]["local_rows"], record["rows_read"]) == (33, 2999, 2999)
        assert 20 * record["diff"]["warehouse_bytes"] < record["diff"]["local_bytes"]
    assert len(scene.held(receiver)) == 2999


def test_a_missing_right_is_told(people, project, receiver):
    people_in(people, project, receiver, 10)
    people.take_rights()
    checked = project.dray("check").expect(5)
    assert "snapshot" in checked.out and "diff: local" in checked.out and "GRANT" in checked.out, str(checked)
    failed = project.dray("sync", "people")
    assert failed.code != 0 and "GRANT" in failed.err, str(failed)
    people.give_rights()
    project.dray("check").expect(0)
    assert project.sync("people")["applied"] == 10
    people.sql("UPDATE people SET score = 0 WHERE id = 1")
    changed = project.sync("people")
    assert (changed["applied"], changed["diff"]["used"]) == (1, "warehouse")


def test_two_runs_do_not_take_the_snapshot_from_each_other(people, project, receiver, tmp_path):
    """A copy of the project on another machine: the token says that the snapshot is not its any more."""
    people_in(people, project, receiver, 10)
    project.sync("people")
    shutil.copytree(project.folder, tmp_path / "copy")
    copy = harness.Project(tmp_path / "copy", project.environment)
    people.sql("UPDATE people SET score = 100 WHERE id = 1")
    assert project.sync("people")["applied"] == 1
    people.sql("UPDATE people SET score = 101 WHERE id = 2")
    other = copy.sync("people")
    assert "not of the same time" in other["diff"]["why"] and other["updates"] == 2
    assert "not of the same time" in project.sync("people")["diff"]["why"]


def test_nulls_may_come_where_there_were_none(people, project, receiver):
    """Copies of a column that cannot be null can."""
    people_in(people, project, receiver, 10)
    people.sql("UPDATE people SET name = 'x'; DROP TABLE IF EXISTS other; CREATE TABLE other (id int PRIMARY KEY, name varchar(20) "
               "NOT NULL, score int NOT NULL); INSERT INTO other SELECT * FROM people; DROP TABLE people; ALTER TABLE other RENAME "
               "TO people; GRANT SELECT ON people TO dray")
    project.sync("people")
    people.sql("DELETE FROM people WHERE id = 1")
    assert project.sync("people")["deletes"] == 1
    people.sql("DROP TABLE IF EXISTS other; CREATE TABLE other (id int PRIMARY KEY, name varchar(20), score int); INSERT INTO other "
               "SELECT * FROM people; UPDATE other SET name = NULL WHERE id < 4; DROP TABLE people; ALTER TABLE other RENAME TO "
               "people; GRANT SELECT ON people TO dray")
    for applied in (2, 0):
        record = project.sync("people")
        assert (record["applied"], record["diff"]["used"]) == (applied, "warehouse")
    assert [row["name"] for row in scene.held(receiver)] == [None, None] + ["x"] * 7


# A first run, and one that finds changes: what the model loses between the death and the next run goes all the same.
@pytest.mark.parametrize("step,before", [("disbelieved", 0), ("remaking", 0), ("remade", 0), ("settling", 0), ("settled", 0),
                                         ("advancing", 1), ("advanced", 1), ("settling", 1), ("settled", 1)])
def test_killed_at_each_step_where_ddl_commits(mysql, project, receiver, step, before):
    mysql.fresh()
    people = MysqlPeople(mysql)
    people_in(people, project, receiver, 60)
    if before:
        project.sync("people")
        people.sql("UPDATE people SET score = -1 WHERE id % 5 = 0; DELETE FROM people WHERE id = 1; INSERT INTO people VALUES "
                   "(100, 'new', 1), (101, 'newer', 1)")
    died = project.dray("sync", "people", "--json", env={"DRAY_FAULT": f"kill:snapshot.{step}"})
    assert died.code == -9 or "killed" in died.errors(), str(died)
    people.sql("DELETE FROM people WHERE id IN (2, 10, 100); UPDATE people SET score = -2 WHERE id = 20")
    for _ in range(3):
        last = project.sync("people")
        assert scene.held(receiver) == [{"id": int(row[0]), "name": row[1], "score": int(row[2])}
                                        for row in people.sql("SELECT * FROM people ORDER BY id")]
    assert (last["diff"]["used"], last["applied"]) == ("warehouse", 0)
    assert len(people.sql("SHOW TABLES", "dray")) == 3  # the two and the state
    assert mysql.sessions() == 0


# ---- what is told, and what is left ----


def small(project, receiver, sync="diff: warehouse"):
    scene.people_to_hook(project, receiver, 40, sync=sync)
    project.sync("people")


def test_plan_says_what_each_would_cost(project, receiver):
    small(project, receiver, "")
    told = project.dray("plan", "people").expect(0).out
    assert "diff: local, since it needs read rights only" in told and "local: 40 rows" in told, told
    small_config = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", small_config + "    diff: warehouse\n")
    told = project.dray("plan", "people").expect(0).out
    assert "diff: local, since there is no snapshot" in told and "warehouse: about 0 rows" in told, told
    assert project.tables() == {"people"}  # a plan leaves no trace
    project.sync("people")
    told = project.dray("plan", "people").expect(0).out
    assert "diff: warehouse, since" in told and "warehouse: 0 rows" in told and "local: about 40 rows" in told, told


def test_state_shows_and_reset_removes_the_snapshot(project, receiver):
    small(project, receiver)
    assert any(name.startswith("dray__snapshot_") for name in project.tables())
    assert "snapshot     dray.snapshot_" in project.dray("state", "show", "people").expect(0).out
    project.dray("state", "reset", "people", "--yes").expect(0)
    assert project.tables() == {"people", "_dray_state"}
    assert project.query("SELECT count(*) FROM _dray_state") == [(0,)]
    assert "snapshot" not in project.dray("state", "show", "people").expect(0).out


def test_back_to_local_and_to_the_warehouse_again(project, receiver):
    """A run that goes by the mirror alone gives the snapshot up: what it did is not in there."""
    small(project, receiver)
    with_snapshot = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", with_snapshot.replace("diff: warehouse", "diff: local"))
    project.execute("INSERT INTO people VALUES (900, 'x', 1)")
    project.sync("people")
    project.execute("DELETE FROM people WHERE id = 900")  # neither the model nor the old snapshot has it
    project.write("dray.yaml", with_snapshot)
    record = project.sync("people")
    assert record["deletes"] == 1 and record["diff"]["used"] == "local"
    assert project.sync("people")["diff"]["used"] == "warehouse"
    assert scene.held(receiver) == scene.people(project)


def test_the_model_may_end_in_a_comment_or_a_semicolon(project, receiver):
    scene.people_to_hook(project, receiver, 5, sync="diff: warehouse")
    config = (project.folder / "dray.yaml").read_text()
    for end in (" -- all of them", ";", "; -- all; of them", " /* a; b */ ;"):
        project.write("dray.yaml", config.replace("score FROM people", "score FROM people" + end))
        project.sync("people")
        assert project.sync("people")["diff"]["used"] == "warehouse"


@pytest.mark.parametrize("sync,told", [
    ("diff: warehouse\nduplicates: last", "exclude each other"), ("diff: warehouze", "did you mean"),
])
def test_config_that_cannot_be(project, receiver, sync, told):
    scene.people_to_hook(project, receiver, 5, sync=sync)
    assert told in project.dray("check").expect(4).err
