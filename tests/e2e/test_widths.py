# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The widest tables and the longest values that there can be, on all three engines: what is accepted goes through as it is,
one more is refused before anything is made, or is one row on record."""

import sqlite3

import pytest

import harness
import mysql_server
import scene

WAREHOUSE = "plugin: {plugin}, host: 127.0.0.1, port: {port}, database: work, user: dray, password: !secret env:PASSWORD, sslmode: disable"
COLUMNS_MAX = {"postgres": 1600, "mysql": 1017, "sqlite": 2000}
MASK_BITS = 62
MIB = 2**20


class File:
    """SQLite in the place of a server."""
    plugin = "sqlite"

    def __init__(self):
        self.path = None

    def fresh(self):
        self.path = None

    def close(self):
        pass

    def sql(self, script):
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            return [list(row) for row in connection.execute(script).fetchall()]
        finally:
            connection.close()


@pytest.fixture(scope="module")
def engine(request, postgres):
    if request.param == "postgres":
        made = postgres  # of the file: what is read is there as well
    else:
        made = File() if request.param == "sqlite" else scene.started(mysql_server)
    made.plugin = request.param
    yield made
    if made is not postgres:
        made.close()


@pytest.fixture
def server(engine, project):
    engine.fresh()
    if engine.plugin == "sqlite":
        engine.path = project.folder / "wh.db"
    return engine


POSTGRES = pytest.mark.parametrize("engine", ["postgres"], indirect=True)
MYSQL = pytest.mark.parametrize("engine", ["mysql"], indirect=True)
SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
HERE = pytest.mark.parametrize("engine", ["postgres", "mysql", "sqlite"], indirect=True)


def widest(server):
    """Fields of the widest table: dray's own columns and the masks of the staging are counted in."""
    room = COLUMNS_MAX[server.plugin]
    return max(n for n in range(1, room) if n + 4 + -(-n // MASK_BITS) <= room)


def target(server):
    return "plugin: sqlite, path: wh.db" if server.plugin == "sqlite" else WAREHOUSE.format(plugin=server.plugin, port=server.port)


def configure(project, server, mode="mirror"):
    project.environment["PASSWORD"] = harness.CANARY_BEARER
    project.config(f"connections:\n  src: {{plugin: file, path: s.csv}}\n  wh: {{{target(server)}}}\n"
                   f"syncs:\n  s: {{from: {{connection: src, stream: s}}, to: {{connection: wh, table: t}}, mode: {mode}, key: id}}\n")


def wide(project, count, rows):
    names = ["id"] + [f"c{n}" for n in range(1, count)]
    project.write("s.csv", ",".join(names) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))


def row_of(key, count, value):
    return [key] + [value(n) for n in range(1, count)]


def flags(number):
    return lambda n: "true" if (n + number) % 2 else "false"


def columns_held(server, key):
    """How many of the row's columns are true, and the last of them."""
    row = server.sql(f"SELECT * FROM t WHERE id = {key}")[0]
    values = [str(value) in ("t", "1") for value in row[1:-1]]  # the last is dray's
    return sum(values), values[-1]


def tables(server):
    if server.plugin == "sqlite":
        return server.sql("SELECT name FROM sqlite_master") if server.path.exists() else []
    return server.sql("SELECT table_name FROM information_schema.tables WHERE table_schema IN ('work', 'public')")


def refused(project, *words):
    """By plan and sync alike."""
    for command in ("plan", "sync"):
        said = project.dray(command, "s").expect(1).err
        assert all(word in said for word in ("error[limit]", *words)), said


@HERE
def test_the_widest_table_and_one_that_is_wider(project, server):
    count = widest(server)
    configure(project, server)
    wide(project, count + 1, [row_of(1, count + 1, flags(1))])
    refused(project, f"{count + 1} columns", f"{server.plugin} takes {COLUMNS_MAX[server.plugin]}")
    assert tables(server) == []
    wide(project, count, [row_of(key, count, flags(key)) for key in (1, 2, 3)])
    assert project.sync("s")["inserts"] == 3
    wide(project, count, [row_of(key, count, flags(key + (key == 2))) for key in (1, 2, 4)])
    run = project.sync("s")
    assert (run["inserts"], run["updates"], run["deletes"], run["unchanged"]) == (1, 1, 1, 1)
    assert [columns_held(server, key) for key in (1, 2, 4)] == [
        (sum(flags(flag)(n) == "true" for n in range(1, count)), flags(flag)(count - 1) == "true") for flag in (1, 3, 4)]


@MYSQL
@pytest.mark.parametrize("value", [lambda n: n, lambda n: f"text of column {n}, longer than what lies in a row"], ids=["int", "text"])
def test_a_row_that_innodb_has_no_room_for_is_refused_before_there_is_a_table(project, server, value):
    """Half a page, whatever is in it: 996 integers are a table, but the staging beside them is no longer one."""
    configure(project, server)
    wide(project, 996, [row_of(1, 996, value)])
    refused(project, "Row size too large")
    assert tables(server) == []


@MYSQL
def test_350_long_texts(project, server):
    """Texts that do not lie in the row; the table of the changes is the wider one."""
    configure(project, server)
    wide(project, 350, [row_of(key, 350, lambda n: f"{n}" * 50) for key in (1, 2)])
    project.sync("s")
    wide(project, 350, [row_of(key, 350, lambda n, key=key: f"{n * key}" * 50) for key in (1, 2)])
    run = project.sync("s")
    assert (run["updates"], run["unchanged"]) == (1, 1)
    assert server.sql("SELECT c349 FROM t ORDER BY id") == [["349" * 50], ["698" * 50]]


@POSTGRES
def test_a_row_that_is_longer_than_a_page_ends_the_run(project, server):
    """Only the server knows how long a row is: 1,570 integers are too many, as many flags are not."""
    configure(project, server)
    wide(project, 1570, [row_of(1, 1570, lambda n: n)])
    said = project.dray("sync", "s").expect(1).err
    assert "error[limit]" in said and "row is too big: size" in said and "COPY t, line 2" in said
    assert tables(server) == []


@POSTGRES
def test_a_table_of_as_many_columns_as_there_can_be_is_read(project, server):
    server.sql("DO $$ BEGIN EXECUTE 'CREATE TABLE wide (id int PRIMARY KEY, ' || "
               "(SELECT string_agg('c' || n || ' smallint', ', ') FROM generate_series(1, 1599) n) || ')'; END $$;"
               "DO $$ BEGIN EXECUTE 'INSERT INTO wide SELECT k, ' || "
               "(SELECT string_agg('k + ' || n, ', ') FROM generate_series(1, 1599) n) || ' FROM generate_series(1, 2) k'; END $$;"
               "GRANT SELECT ON wide TO dray")
    project.environment["PASSWORD"] = harness.CANARY_BEARER
    project.config(f"connections:\n  src: {{{WAREHOUSE.format(plugin='postgres', port=server.port)}}}\n  wh: {{plugin: sqlite, path: warehouse.db}}\n"
                   "syncs:\n  s: {from: {connection: src, stream: wide}, to: {connection: wh, table: t}, mode: mirror, key: id}\n")
    assert project.sync("s")["inserts"] == 2
    server.sql("UPDATE wide SET c1599 = -5 WHERE id = 2")
    run = project.sync("s")
    assert (run["updates"], run["unchanged"]) == (1, 1)
    rows = project.query("SELECT * FROM t ORDER BY id")
    assert [row[:1600] for row in rows] == [tuple(range(1, 1601)), tuple(range(2, 1601)) + (-5,)]


def long_values(project, server, postgres, *rows):
    if server is not postgres:
        postgres.fresh()
    postgres.sql("CREATE TABLE long (id bigint PRIMARY KEY, v text, w text); GRANT SELECT ON long TO dray;" +
                 "".join(f"INSERT INTO long VALUES ({row});" for row in rows))
    project.environment["PASSWORD"] = harness.CANARY_BEARER
    project.config(f"connections:\n  src: {{{WAREHOUSE.format(plugin='postgres', port=postgres.port)}}}\n  wh: {{{target(server)}}}\n"
                   "syncs:\n  s: {from: {connection: src, stream: long}, to: {connection: wh, table: t}, mode: mirror, key: id}\n")


def held(server):
    return [[str(value) for value in row] for row in
            server.sql("SELECT id, length(v), substr(v, 1, 1), substr(v, 50000000, 1) FROM t ORDER BY id")]


@HERE
def test_a_value_of_100_mib(project, server, postgres):
    """MySQL takes no more than max_allowed_packet: there it is one row on record."""
    taken = server.plugin != "mysql"
    long_values(project, server, postgres, f"1, repeat('x', {100 * MIB})", "3, 'short'")
    for letter in "xy" if taken else "x":
        if letter == "y":
            postgres.sql("UPDATE long SET v = 'y' || substr(v, 2) WHERE id = 1")
        assert project.sync("s", code=0 if taken else 3)["rejected"] == (not taken)
        assert [(row["key"], row["error"], row["column"]) for row in project.rows("s")] == (
            [] if taken else [("id=1", "data_too_large", "v")])
        assert held(server) == [*([["1", str(100 * MIB), letter, "x"]] if taken else []), ["3", "5", "s", ""]]


@SQLITE
def test_a_row_that_there_is_no_room_for_is_one_row_on_record(project, server, postgres):
    """A row has at most 255 MiB in all its values; the longest of them is told."""
    long_values(project, server, postgres, "1, 'first'", f"2, repeat('x', {200 * MIB}), repeat('x', {55 * MIB + 1})", "3, 'last'")
    run = project.sync("s", code=3)
    assert (run["inserts"], run["rejected"]) == (2, 1)
    assert [(row["key"], row["error"], row["column"], row["text"]) for row in project.rows("s")] == [
        ("id=2", "data_too_large", "v", f"{200 * MIB} bytes in a row of {255 * MIB + 1}, and a row has at most {255 * MIB} (255 MiB)")]
    assert [row[0] for row in held(server)] == ["1", "3"]
    postgres.sql("UPDATE long SET w = NULL WHERE id = 2; UPDATE long SET v = 'shorter' WHERE id = 2")
    assert project.sync("s")["inserts"] == 1 and project.rows("s") == []
