# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Random tables through the program into real engines, in every mode, over several syncs: each time the table must be what
plain Python makes of the same files (table_model.py), and a sync of files that did not change must write nothing.

The same must hold where an operator gives the table's texts, those of the key too, a collation to which case, accents or blanks at
the end are nothing.

DRAY_MODES_CASES=1000 runs that many cases (an engine), DRAY_MODES_SEED=N begins at another seed, and the seed that a
failure names runs alone with DRAY_MODES_CASES=1."""

import datetime
import decimal
import functools
import hashlib
import json
import os
import re
import sqlite3

import pytest

import harness
import mysql_server
import postgres_server
import table_model as model

CASES = int(os.environ.get("DRAY_MODES_CASES", "8"))
SEED = int(os.environ.get("DRAY_MODES_SEED", "1"))
SYNCS = 3
SECRET = '"@password@"'
PASSWORD = harness.CANARY_BEARER
TABLES = ["plain", 'ta"ble', "select", "Größe 東", "t; drop table t", "UPPER", "a.b", "it's", "%s"]
OWN = ("_dray_valid_from", "_dray_valid_to", "_dray_current")


def moment(text):
    return None if text is None else datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


class Sqlite:
    """A file of the project's own."""

    def __init__(self, project):
        self.project = project
        self.connection = {"plugin": "sqlite", "path": "warehouse.db"}

    def fingerprint(self, _table):
        return hashlib.sha256((self.project.folder / "warehouse.db").read_bytes()).hexdigest()

    def loosen(self, table, names):
        """Gives texts another collation, and takes their uniqueness away. The statement that made the table is read from it."""
        quote = quoted(table)
        made, = self.project.query("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
        text = made[0]
        for i, name in enumerate(names):
            old = f"{quoted(name)} TEXT"
            assert old in text, text
            text = text.replace(old, f"{old} COLLATE {['NOCASE', 'RTRIM'][i % 2]}")
        text = re.sub(r", PRIMARY KEY \(.*\)\)$", ")", text, flags=re.DOTALL)
        assert text.startswith(f"CREATE TABLE {quote} "), text
        self.project.execute(f"ALTER TABLE {quote} RENAME TO was; {text}; INSERT INTO {quote} SELECT * FROM was; DROP TABLE was")

    def fetch(self, table, kinds, where="1"):
        """Rows of these columns, [(name, type)], as Python values."""
        names = ", ".join(quoted(name) for name, _ in kinds)
        rows = self.project.query(f"SELECT {names} FROM {quoted(table)} WHERE {where}")
        return [tuple(self.value(kind, value) for (_, kind), value in zip(kinds, row)) for row in rows]

    @staticmethod
    def value(kind, value):
        make = {"bool": bool, "decimal": decimal.Decimal, "date": datetime.date.fromisoformat, "timestamp": moment,
                "json": json.loads}.get(kind.split("(")[0], lambda same: same)
        return None if value is None else make(value)


class Postgres:
    """A database of Debian's server."""

    SPELT = {"bytes": "encode({}, 'hex')", "timestamp": "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"}

    def __init__(self, server, project):
        self.server = server
        server.fresh()
        project.environment["PG_PASSWORD"] = PASSWORD
        self.connection = {"plugin": "postgres", "host": "127.0.0.1", "port": server.port, "database": "work",
                           "user": "dray", "password": "@password@"}

    def fingerprint(self, table):
        """Who wrote each row of table and state, and where it lies."""
        return self.server.sql(f"SELECT xmin::text, ctid::text, '' FROM {quoted(table)} UNION ALL "
                               "SELECT xmin::text, ctid::text, generation::text FROM _dray_state ORDER BY 1, 2, 3")

    def loosen(self, table, names):
        quote = quoted(table)
        self.server.sql("CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
                        "CREATE COLLATION anyaccent (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
        for row in self.server.rows(f"SELECT conname FROM pg_constraint WHERE conrelid = '{quote.replace(chr(39), 2 * chr(39))}'"
                                    "::regclass AND contype = 'p'"):
            self.server.sql(f"ALTER TABLE {quote} DROP CONSTRAINT {quoted(row[0])}")
        for i, name in enumerate(names):
            self.server.sql(f"ALTER TABLE {quote} ALTER COLUMN {quoted(name)} TYPE text COLLATE {['anycase', 'anyaccent'][i % 2]}")

    def fetch(self, table, kinds, where="true"):
        spelt = ", ".join(self.SPELT.get(kind.split("(")[0], "{}::text").format(quoted(name)) + f" AS c{i}"
                          for i, (name, kind) in enumerate(kinds))
        rows = self.server.rows(f"SELECT {spelt} FROM {quoted(table)} WHERE {where}")
        return [tuple(self.value(kind, value) for (_, kind), value in zip(kinds, row)) for row in rows]

    @staticmethod
    def value(kind, value):
        make = {"bool": "true".__eq__, "int64": int, "float64": float, "bytes": bytes.fromhex, "decimal": decimal.Decimal,
                "date": datetime.date.fromisoformat, "timestamp": moment,
                "json": json.loads}.get(kind.split("(")[0], lambda same: same)
        return None if value is None else make(value)


class Mysql:
    """A database of Debian's MariaDB."""

    SPELT = {"bytes": "HEX({})", "timestamp": "DATE_FORMAT({}, '%Y-%m-%dT%H:%i:%s.%f')", "bool": "{}"}

    def __init__(self, server, project):
        self.server = server
        server.fresh()
        project.environment["PG_PASSWORD"] = PASSWORD
        self.connection = {"plugin": "mysql", "host": "127.0.0.1", "port": server.port, "database": "work", "user": "dray",
                           "sslmode": "disable", "password": "@password@"}

    @staticmethod
    def takes(name):
        return not name.endswith(" ") and max(name) <= "\uffff"

    def fingerprint(self, table):
        return self.server.sql(f"CHECKSUM TABLE {self.quoted(table)}, _dray_state")

    @staticmethod
    def quoted(name):
        return "`" + name.replace("`", "``") + "`"

    def loosen(self, table, names):
        quote = self.quoted(table)
        if self.server.sql(f"SHOW KEYS FROM {quote} WHERE Key_name = 'PRIMARY'"):
            self.server.sql(f"ALTER TABLE {quote} DROP PRIMARY KEY")
        for i, name in enumerate(names):
            collation = ["general_ci", "bin", "unicode_ci"][i % 3]
            self.server.sql(f"ALTER TABLE {quote} MODIFY {self.quoted(name)} longtext COLLATE utf8mb4_{collation}")

    def fetch(self, table, kinds, where="1 = 1"):
        spelt = ", ".join(self.SPELT.get(kind.split("(")[0], "CAST({} AS CHAR)").format(self.quoted(name))
                          for name, kind in kinds)
        rows = self.server.sql(f"SELECT JSON_ARRAY({spelt}) FROM {self.quoted(table)} WHERE {where}")
        return [tuple(self.value(kind, value) for (_, kind), value in zip(kinds, json.loads("\t".join(row)))) for row in rows]

    @staticmethod
    def value(kind, value):
        make = {"bool": bool, "int64": int, "float64": float, "bytes": bytes.fromhex, "decimal": decimal.Decimal,
                "date": datetime.date.fromisoformat, "timestamp": moment,
                "json": json.loads}.get(kind.split("(")[0], lambda same: same)
        return None if value is None else make(value)


SERVERS = {"postgres": (postgres_server, Postgres), "mysql": (mysql_server, Mysql)}


def skip_or_fail(why):
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def servers():
    """Those that were asked for, by name."""
    made = {}
    yield made
    for server in made.values():
        server.close()


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def engine(request, servers):
    """Makes the engine of a project."""
    if request.param == "sqlite":
        return Sqlite
    module, kind = SERVERS[request.param]
    if module.missing() is not None:
        skip_or_fail(module.missing())
    if request.param not in servers:
        servers[request.param] = module.Server(PASSWORD)
    made = functools.partial(kind, servers[request.param])
    made.takes = getattr(kind, "takes", None)
    return made


# ---- one case ----

class Case:
    def __init__(self, engine, folder, mode, seed, loose=False):
        self.rng = model.seeded(f"{mode} {seed}")
        self.project = harness.Project(folder)
        self.project.environment["DRAY_LOAD_ROWS"] = str(seed % 2)  # 1: a first load begins with the first row that is read
        self.engine = engine(self.project)
        self.mode = mode
        takes = getattr(engine, "takes", None) or (lambda name: True)
        self.table = model.Table(self.rng, history=mode.startswith("history by time"), takes=takes, texts=loose)
        self.name = self.rng.choice(TABLES)
        self.ending = self.rng.choice(["csv", "jsonl"])  # without a line, JSON Lines have no columns
        self.kinds = [(column.name, column.kind) for column in self.table.columns]
        self.loose = [name for name, kind in self.kinds if kind == "string"] if loose else []  # done after the first sync

    def configure(self, mode, read="full", keyed=True, **more):
        sync = {"from": {"connection": "files", "stream": "data", "read": read},
                "to": {"connection": "wh", "table": self.name}, "mode": mode, "guard": False, **more}
        if keyed:
            sync["key"] = [column.name for column in self.table.columns[:self.table.key_count]]
        config = {"version": 1, "syncs": {"s": sync}, "connections": {
            "wh": self.engine.connection, "files": {"plugin": "file", "path": "in", "types": dict(self.kinds)}}}
        text = json.dumps(config, ensure_ascii=False, indent=1).replace('"guard": false', '"guard": off')
        self.project.write("dray.yaml", text.replace(SECRET, "!secret env:PG_PASSWORD"))

    def put(self, rows, append=False):
        columns = self.table.columns
        path = self.project.folder / "in" / f"data.{self.ending}"
        path.parent.mkdir(exist_ok=True)
        begun = append and path.exists()
        text = model.jsonl(columns, rows) if self.ending == "jsonl" else model.csv_rows(columns, rows)
        if self.ending == "csv" and not begun:
            text = model.csv_header(columns) + text
        with open(path, "a" if begun else "w", encoding="utf-8", newline="") as file:
            file.write(text)

    def comparable(self, rows):
        """JSON by what it says."""
        return [tuple(json.loads(value) if kind == "json" and isinstance(value, str) and of_file else value
                      for (_, kind), value, of_file in zip(self.kinds, row, [True] * len(row))) for row in rows]

    def held(self, where="1 = 1"):
        return self.engine.fetch(self.name, self.kinds, where)

    def sync(self):
        record = self.project.sync("s")
        if self.loose:
            self.engine.loosen(self.name, self.loose)
            self.loose = []
        return record

    def check_idle(self):
        """The same files again: nothing is written."""
        before = self.engine.fingerprint(self.name)
        assert self.sync()["applied"] == 0
        assert self.engine.fingerprint(self.name) == before


def bag(rows):
    return model.as_bag(rows)


def differ(case, before, after):
    """Keys whose row is not what it was."""
    before, after = ({case.table.key(row): row for row in rows} for rows in (before, after))
    return sum(before.get(key) != after.get(key) for key in before.keys() | after.keys())


def run_append(case):
    case.configure("append", read="incremental", keyed=False)
    wanted = model.Appended()
    for _ in range(SYNCS):
        rows = [case.table.new_row(few=True) for _ in range(case.rng.randrange(1, 12))]
        case.put(rows, append=True)
        case.sync()
        wanted.sync(rows, case.table)
        assert bag(case.held()) == bag(case.comparable(wanted.rows))
        case.check_idle()


def run_keyed(case, mode, wanted, **more):
    case.configure(mode, **more)
    case.table.grow(20)
    for _ in range(SYNCS):
        before = list(wanted.rows)
        case.put(case.table.rows)
        applied = case.sync()["applied"]
        wanted.sync(case.table.rows, case.table)
        alive = "_dray_deleted_at IS NULL" if "delete" in more else "1 = 1"
        assert bag(case.held(alive)) == bag(case.comparable(wanted.rows))
        if "delete" in more:
            assert bag(case.held(f"NOT ({alive})")) == bag(case.comparable(wanted.gone.values()))
        assert applied == differ(case, before, wanted.rows)
        case.check_idle()
        case.table.change()


def run_upsert(case):
    run_keyed(case, "upsert", model.Upserted())


def run_mirror(case):
    run_keyed(case, "mirror", model.Upserted(deletes=True))


def run_mirror_soft(case):
    run_keyed(case, "mirror", model.Upserted(deletes=True), delete="soft")


def run_replace_by_key(case):
    run_keyed(case, "replace", model.Replaced())


def run_replace(case):
    """Rows that may come several times, and a table that is edited meanwhile."""
    case.configure("replace", keyed=case.rng.random() < 0.5)
    rows = []
    for _ in range(SYNCS):
        rows = [row for row in rows if case.rng.random() < 0.7] + [case.table.new_row(few=True) for _ in range(case.rng.randrange(10))]
        rows += case.rng.sample(rows, len(rows) // 3) or [case.table.new_row(few=True)]
        case.put(rows)
        case.sync()
        assert bag(case.held()) == bag(case.comparable(rows))
        case.check_idle()


def in_order(case):
    """Versions of each key, oldest first: {key: [(row, from, to, current)]}."""
    found = {}
    own = [(OWN[0], "timestamp"), (OWN[1], "timestamp"), (OWN[2], "bool")]
    for row in case.engine.fetch(case.name, case.kinds + own):
        found.setdefault(case.table.key(row), []).append((row[:-3], *row[-3:]))
    return {key: sorted(versions, key=lambda version: version[1]) for key, versions in found.items()}


def run_history(case):
    case.configure("history")
    wanted = model.Versioned()
    case.table.grow(15)
    for _ in range(SYNCS):
        case.put(case.table.rows)
        case.sync()
        wanted.sync(case.table.rows, case.table)
        found, times = in_order(case), {}
        by_key = {}
        for row, since, until in wanted.versions:
            by_key.setdefault(case.table.key(row), []).append((row, since, until))
        assert found.keys() == by_key.keys()
        for key, versions in found.items():
            assert [version[0] for version in versions] == case.comparable([version[0] for version in by_key[key]])
            for (_, since, until, current), (_, first, last) in zip(versions, by_key[key]):
                assert times.setdefault(first, since) == since  # what one sync brings begins and ends at one time
                assert current == (last is None) and (until is None) == (last is None)
                assert last is None or times.setdefault(last, until) == until
        assert [times[number] for number in sorted(times)] == sorted(times.values())
        case.check_idle()
        case.table.change()


def run_history_by_time(case):
    case.configure("history", read="incremental", valid_from="since")
    wanted = model.Timed()
    keys = [case.table.new_row(few=True)[:case.table.key_count] for _ in range(4)]
    last = case.table.columns[-1]
    midnight = datetime.time(tzinfo=datetime.timezone.utc)
    when = [last.value(case.rng) for _ in range(8)]
    for _ in range(SYNCS):
        rows = [case.rng.choice(keys) + case.table.new_row(few=True)[case.table.key_count:-1] + (case.rng.choice(when),)
                for _ in range(case.rng.randrange(1, 8))]
        rows += case.rng.sample(rows, len(rows) // 2)
        case.put(rows, append=True)
        case.sync()
        wanted.sync(rows, case.table)
        found = sorted((version for versions in in_order(case).values() for version in versions), key=repr)
        expected = []
        for row, since, until in wanted.versions:
            if last.kind == "date":
                since, until = (value and datetime.datetime.combine(value, midnight) for value in (since, until))
            expected.append((case.comparable([row])[0], since, until, until is None))
        assert found == sorted(expected, key=repr)
        case.check_idle()


def run_history_by_time_of_what_is_shown(case):
    """Full reads: whatever went and came back in between, the current versions are the rows that were read last."""
    case.configure("history", valid_from="since")
    rows = {case.table.key(row): row for row in (case.table.new_row(few=True) for _ in range(6))}
    last = case.table.columns[-1]
    for _ in range(2 * SYNCS):
        for key, row in rows.items():
            if case.rng.random() < 0.4:
                since = max(row[-1], last.value(case.rng)) if case.rng.random() < 0.5 else row[-1]
                rows[key] = row[:case.table.key_count] + case.table.new_row(few=True)[case.table.key_count:-1] + (since,)
        shown = case.rng.sample(list(rows.values()), case.rng.randrange(1, len(rows) + 1))
        case.put(shown)
        case.sync()
        assert bag(case.held("_dray_current")) == bag(case.comparable(shown))
        case.check_idle()


MODES = {"append": run_append, "upsert": run_upsert, "mirror": run_mirror, "mirror soft": run_mirror_soft,
         "replace by key": run_replace_by_key, "replace": run_replace, "history": run_history,
         "history by time": run_history_by_time, "history by time, shown": run_history_by_time_of_what_is_shown}


def run(engine, folder, mode, loose):
    for seed in range(SEED, SEED + max(1, CASES // len(MODES))):
        case = Case(engine, folder / str(seed), mode, seed, loose)
        try:
            MODES[mode](case)
        except AssertionError as error:
            raise AssertionError(f"DRAY_MODES_SEED={seed} DRAY_MODES_CASES=1: {mode}, table {case.name!r} of "
                                 f"{case.table.columns}, {case.ending}, in {case.project.folder}\n{error}") from error


@pytest.mark.parametrize("mode", MODES)
def test_the_table_is_what_plain_python_makes_of_the_files(engine, tmp_path, mode):
    run(engine, tmp_path, mode, loose=False)


@pytest.mark.parametrize("mode", sorted(MODES.keys() - {"append", "mirror"}))
def test_it_is_whatever_its_collations_take_for_equal(engine, tmp_path, mode):
    run(engine, tmp_path, mode, loose=True)
