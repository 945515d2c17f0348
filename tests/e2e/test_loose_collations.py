# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of others whose columns call different texts equal: by case, by accents, by blanks at the end. A change that such a
column cannot see reaches the table, and keys that it takes for one are never written over each other."""

import sqlite3

import pytest

import harness
import mysql_server
import postgres_server
import scene

PASSWORD = harness.CANARY_BEARER
ENGINES = ["sqlite", "postgres", "mysql"]
# Columns of texts, and two texts that are one to each.
LOOSE = {"sqlite": {"TEXT COLLATE NOCASE": ("x", "X"), "VARCHAR(60) COLLATE RTRIM": ("x", "x  ")},
         "postgres": {"text COLLATE anycase": ("x", "X"), "varchar(60) COLLATE anyaccent": ("e", "é"), "folded": ("x", "X")},
         "mysql": {"varchar(60) COLLATE utf8mb4_general_ci": ("x", "X"), "varchar(60) COLLATE utf8mb4_bin": ("x", "x "),
                   "varchar(60) CHARACTER SET latin1": ("é", "E"), "text COLLATE utf8mb4_unicode_ci": ("x", "x ")}}
KINDS = [(engine, column) for engine in ENGINES for column in LOOSE[engine]]
OF_KINDS = pytest.mark.parametrize("server, column", KINDS, indirect=["server"], ids=[f"{e}-{c}" for e, c in KINDS])


class Sqlite:
    plugin = "sqlite"

    def __init__(self, folder):
        self.path = folder / "warehouse.db"

    def sql(self, script):
        connection = sqlite3.connect(self.path)
        try:
            if not script.startswith("SELECT"):
                connection.executescript(script)
                return []
            return [["NULL" if value is None else str(value) for value in row] for row in connection.execute(script)]
        finally:
            connection.close()


@pytest.fixture
def server(request, project):
    if request.param == "sqlite":
        return Sqlite(project.folder)
    made = request.getfixturevalue(request.param)
    made.plugin = request.param
    made.fresh()
    if made.plugin == "postgres":
        made.sql("CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
                 "CREATE COLLATION anyaccent (provider = icu, locale = 'und-u-ks-level1', deterministic = false);"
                 "CREATE DOMAIN folded AS text COLLATE anycase")
    return made


@pytest.fixture
def source(project):
    connection = sqlite3.connect(project.folder / "src.db", isolation_level=None)
    yield connection
    connection.close()


def configure(project, server, mode, key="id", more="", stream="stream: s"):
    project.environment["PASSWORD"] = PASSWORD
    wh = "{plugin: sqlite, path: warehouse.db}"
    if server.plugin != "sqlite":
        wh = (f"{{plugin: {server.plugin}, host: 127.0.0.1, port: {server.port}, database: work, user: dray, "
              "password: !secret env:PASSWORD, sslmode: disable}")
    keyed = f", key: {key}" if key else ""
    project.config(f"connections:\n  src: {{plugin: sqlite, path: src.db}}\n  wh: {wh}\n"
                   f"syncs:\n  s: {{from: {{connection: src, {stream}}}, to: {{connection: wh, table: t}}, mode: {mode}"
                   f"{keyed}, guard: off{more}}}\n")


def make(server, columns):
    """A table of somebody else's, which dray may write and owns where it must."""
    server.sql(f"CREATE TABLE t ({columns})" + ("; ALTER TABLE t OWNER TO dray" if server.plugin == "postgres" else ""))


def own_columns(server, mode):
    """What dray would have put beside the columns."""
    time = {"sqlite": "TIMESTAMP_TEXT", "postgres": "timestamptz", "mysql": "datetime(6)"}[server.plugin]
    own = f", _dray_synced_at {time}"
    return own if mode != "history" else own + (f", _dray_valid_from {time} NOT NULL, _dray_valid_to {time}, "
                                                "_dray_current boolean NOT NULL")


def held(server, columns="k, v", where="1 = 1"):
    rows = server.sql(f"SELECT {columns} FROM t WHERE {where}")
    return sorted(tuple("" if value == "NULL" else value for value in row) for row in rows)


def both(server):
    """The first kind of an engine's loose columns, and its two texts."""
    return next(iter(LOOSE[server.plugin].items()))


def fill(source, rows, columns="id INTEGER PRIMARY KEY, v TEXT"):
    source.execute("DROP TABLE IF EXISTS s")
    source.execute(f"CREATE TABLE s ({columns})")
    source.executemany(f"INSERT INTO s VALUES ({', '.join('?' * len(columns.split(',')))})", rows)


def texts(rows):
    return sorted(tuple("" if value is None else str(value) for value in row) for row in rows)


# ---- values ----

@OF_KINDS
def test_a_change_that_the_column_cannot_see_reaches_the_table(project, server, source, column):
    one, other = LOOSE[server.plugin][column]
    make(server, f"id bigint PRIMARY KEY, v {column}")
    configure(project, server, "mirror")
    fill(source, [(1, one), (2, "lèft"), (3, None)])
    project.sync("s")
    fill(source, [(1, other), (2, "lèft"), (3, None)])
    assert project.sync("s")["applied"] == 1
    assert held(server, "id, v") == texts([(1, other), (2, "lèft"), (3, None)])
    assert project.sync("s", "--full-refresh")["applied"] == 0  # and is known again
    project.dray("state", "verify", "s").expect(0)


MODES = {"upsert": ("upsert", "id", ""), "mirror": ("mirror", "id", ""), "soft": ("mirror", "id", ", delete: soft"),
         "replace": ("replace", None, ""), "replace by key": ("replace", "id", ""), "history": ("history", "id", ""),
         "history by time": ("history", "id", ", valid_from: since")}
OF_ENGINES = pytest.mark.parametrize("server", ENGINES, indirect=True)


@OF_ENGINES
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_sees_it(project, server, source, mode):
    column, (one, other) = both(server)
    name, key, more = MODES[mode]
    timed = mode == "history by time"
    since = {"sqlite": "DATE_TEXT", "postgres": "date", "mysql": "date"}[server.plugin]
    make(server, f"id bigint, v {column}{', since ' + since if timed else ''}{own_columns(server, name)}")
    configure(project, server, name, key, more)
    shape = "id INTEGER PRIMARY KEY, v TEXT" + (", since DATE" if timed else "")
    day = ("2024-01-01",) if timed else ()
    fill(source, [(i, one, *day) for i in (1, 2, 3)], shape)
    project.sync("s")
    fill(source, [(1, other, *day), (2, one, *day), (3, one, *day)], shape)
    assert project.sync("s")["applied"] > 0
    current = "_dray_current" if name == "history" else "1 = 1"
    assert held(server, "id, v", current) == texts([(1, other), (2, one), (3, one)])
    assert len(held(server, "id, v")) == (4 if mode == "history" else 3)  # of the same moment it is corrected
    before = held(server, "id, v, _dray_synced_at")
    project.sync("s", "--full-refresh")
    assert held(server, "id, v, _dray_synced_at") == before


# ---- keys ----

KEYED = {name: (mode, key and "k", more) for name, (mode, key, more) in MODES.items() if key}


def own_keys(server, name, unique, column):
    timed = name == "history by time"
    time = {"sqlite": "DATE_TEXT", "postgres": "date", "mysql": "date"}[server.plugin]
    mode = KEYED[name][0]
    primary = f", PRIMARY KEY (k{', _dray_valid_from' if mode == 'history' else ''})" if unique else ""
    gone = own_columns(server, mode).split(",")[1].replace("_synced_", "_deleted_")
    make(server, f"k {column} NOT NULL, v {'varchar(60)' if server.plugin == 'mysql' else 'text'}"
                 f"{', since ' + time if timed else ''}{own_columns(server, mode)}"
                 f"{',' + gone if name == 'soft' else ''}{primary}")


@OF_ENGINES
@pytest.mark.parametrize("name", KEYED)
def test_keys_that_the_column_takes_for_one_are_two_rows(project, server, source, name):
    """Where nothing in the table forbids it: each is written, changed and removed by itself."""
    column, (one, other) = both(server)
    mode, key, more = KEYED[name]
    own_keys(server, name, False, column)
    configure(project, server, mode, key, more)
    timed = name == "history by time"
    shape = "k TEXT, v TEXT" + (", since DATE" if timed else "")
    now = "_dray_deleted_at IS NULL" if name == "soft" else "_dray_current" if mode == "history" else "1 = 1"

    def step(rows, day):
        fill(source, [(*row, *([day] if timed else [])) for row in rows], shape)
        project.sync("s")
        assert held(server, where=now) == texts(rows)

    step([("z", "0")], "2024-01-01")
    step([("z", "0"), (one, "1"), (other, "2")], "2024-01-02")
    step([("z", "0"), (one, "1"), (other, "two")], "2024-01-03")
    if name == "upsert":  # nothing is removed
        return
    step([("z", "0"), (other, "two")], "2024-01-04")
    step([("z", "0"), (one, "one")], "2024-01-05")
    step([("z", "0"), (one, "one"), (other, "2")], "2024-01-06")


@OF_ENGINES
@pytest.mark.parametrize("name, first", [(name, False) for name in KEYED if name not in ("soft", "history")] +
                         [("mirror", True)])
def test_two_keys_for_which_the_table_has_one_place_are_refused(project, server, source, name, first):
    """Never one row for two: with the same words by every engine, and nothing is written."""
    column, (one, other) = both(server)
    mode, key, more = KEYED[name]
    own_keys(server, name, True, column)
    configure(project, server, mode, key, more)
    timed = name == "history by time"
    shape = "k TEXT, v TEXT" + (", since DATE" if timed else "")
    day = ["2024-01-01"] if timed else []
    if not first:
        fill(source, [("z", "0", *day), ("y", "0", *day)], shape)
        project.sync("s")
    before = held(server)
    fill(source, [("z", "0", *day), (one, "1", *day), (other, "2", *day)], shape)
    refused = project.dray("sync", "s").expect(3)
    assert refused.errors() == ["data_key_duplicate"]
    assert "table t has no place for all keys: by its collation the column 'k' takes texts for equal" in refused.err
    assert held(server) == before
    fill(source, [("z", "0", *day), (other, "2", *day)], shape)
    project.sync("s")  # and nothing of it is left
    now = "_dray_deleted_at IS NULL" if name == "soft" else "_dray_current" if mode == "history" else "1 = 1"
    assert held(server, where=now) == texts([("z", "0"), (other, "2")] + ([("y", "0")] if name == "upsert" and not first else []))


@pytest.mark.parametrize("server, column", [kind for kind in KINDS if kind[1] == next(iter(LOOSE[kind[0]])) or "_bin" in kind[1]],
                         indirect=["server"])
def test_a_key_that_is_spelt_anew_moves_its_row(project, server, source, column):
    one, other = LOOSE[server.plugin][column]
    make(server, f"k {column} PRIMARY KEY, v varchar(60)")
    configure(project, server, "mirror", key="k")
    fill(source, [(one, "1"), ("z", "0")], "k TEXT, v TEXT")
    project.sync("s")
    fill(source, [(other, "1"), ("z", "0")], "k TEXT, v TEXT")
    project.sync("s")
    assert held(server) == texts([(other, "1"), ("z", "0")])
    project.dray("state", "verify", "s").expect(0)
    project.dray("state", "rebuild", "s", "--yes").expect(0)
    assert project.sync("s")["applied"] == 0


OTHER_SETS = ["CHARACTER SET latin1", "CHARACTER SET utf8mb3", "CHARACTER SET cp1250", "COLLATE latin1_nopad_bin",
              "COLLATE utf8mb4_general_ci"]
READS = ("Handler_read_rnd_next", "Handler_read_next", "Handler_read_key", "Handler_read_prev", "Handler_read_rnd")


@pytest.mark.parametrize("server", ["mysql"], indirect=True)
@pytest.mark.parametrize("name, column", [(name, OTHER_SETS[0]) for name in KEYED] + [("mirror", column) for column in OTHER_SETS[1:]])
def test_the_index_of_a_key_of_another_character_set_is_used(project, server, source, name, column):
    """The server does not read all rows for each."""
    rows = 400
    mode, key, more = KEYED[name]
    own_keys(server, name, True, "varchar(40) " + column)
    configure(project, server, mode, key, more)
    timed = name == "history by time"
    shape = "k TEXT, v TEXT" + (", since DATE" if timed else "")

    def step(wanted, day):
        fill(source, [(*row, *([day] if timed else [])) for row in wanted], shape)
        before = sum(server.counter(read) for read in READS)
        project.sync("s")
        return sum(server.counter(read) for read in READS) - before

    step([(f"Kä{i}", "0") for i in range(rows)], "2024-01-01")
    wanted = [(f"Kä{i}", str(i % 2)) for i in range(rows // 10 if name != "upsert" else 0, rows + rows // 10)]
    # A history by time reads its own tables once for each row, of whatever set the key is, and nothing else so.
    assert step(wanted, "2024-01-02") < rows * rows * (2 if timed else 1 / 8)
    now = "_dray_deleted_at IS NULL" if name == "soft" else "_dray_current" if mode == "history" else "1 = 1"
    assert held(server, where=now) == texts(wanted)


@pytest.mark.parametrize("server", ["postgres"], indirect=True)
@pytest.mark.parametrize("kind", ["citext", "char(5)"])
def test_types_that_compare_loosely_are_not_written(project, server, source, kind):
    if kind == "citext" and server.try_sql("CREATE EXTENSION citext").returncode != 0:
        pytest.skip("skipped: the server has no citext")
    make(server, f"id bigint PRIMARY KEY, v {kind}")
    configure(project, server, "mirror")
    fill(source, [(1, "x")])
    assert "schema_drift" in project.dray("sync", "s").errors()
    assert held(server, "id, v") == []
