# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What `dray plan` says of a table is what the run does: what the engine will not take is refused by both with the same error, before
anything is touched. Tables that two syncs name by different words and that are one to the engine; keys and tables of too many columns."""

import sqlite3

import pytest

import harness
import mysql_server
import postgres_server
import scene

PASSWORD = harness.CANARY_BEARER
SERVERS = {"mysql": mysql_server, "postgres": postgres_server}
EVERY = pytest.mark.parametrize("engine", ["sqlite", "mysql", "postgres"], indirect=True)
MYSQL = pytest.mark.parametrize("engine", ["mysql"], indirect=True)
POSTGRES = pytest.mark.parametrize("engine", ["postgres"], indirect=True)
SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
KEY_COLUMNS = {"mysql": 16, "postgres": 32}
COLUMNS = {"mysql": 1017, "postgres": 1600, "sqlite": 2000}


class File:
    """The engine that has no server."""
    plugin = "sqlite"

    def fresh(self):
        pass

    def close(self):
        pass


@pytest.fixture(scope="module")
def engine(request):
    made = scene.started(SERVERS[request.param]) if request.param in SERVERS else File()
    made.plugin = request.param
    yield made
    made.close()


@pytest.fixture
def server(engine):
    engine.fresh()
    return engine


@pytest.fixture
def source(project):
    connection = sqlite3.connect(project.folder / "src.db", isolation_level=None)
    yield connection
    connection.close()


def wh(server):
    if server.plugin == "sqlite":
        return "  wh: {plugin: sqlite, path: warehouse.db}\n"
    return (f"  wh: {{plugin: {server.plugin}, host: 127.0.0.1, port: {server.port}, database: work, user: dray, "
            f"password: !secret env:PASSWORD, sslmode: disable}}\n")


def configure(project, server, syncs):
    project.environment["PASSWORD"] = PASSWORD
    project.config(f"connections:\n  src: {{plugin: sqlite, path: src.db}}\n{wh(server)}syncs:\n{syncs}")


def sync(name="s", stream="s", to="table: t", mode="upsert", key="id", more=""):
    keyed = f", key: {key}" if key else ""
    return (f"  {name}: {{from: {{connection: src, stream: {stream}}}, to: {{connection: wh, {to}}}, mode: {mode}{keyed}"
            f"{more}}}\n")


def ask(server, project, sql):
    """Rows of the warehouse as texts."""
    if server.plugin == "sqlite":
        return [["NULL" if value is None else str(value) for value in row] for row in project.query(sql)]
    return server.sql(sql)


def tables(server, project):
    """All that there is, dray's own included."""
    if server.plugin == "sqlite":
        return project.tables() if (project.folder / "warehouse.db").exists() else set()
    schema = "work" if server.plugin == "mysql" else "public"
    return {row[0] for row in server.sql(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}'")}


def refused(project, name, error, *words, code=1):
    """Plan and run end with the same error, in the same words."""
    said = []
    for command in ("plan", "sync"):
        result = project.dray(command, name).expect(code)
        assert error in result.errors(), result
        for word in words:
            assert word in result.err, f"{word} is not said by:\n{result}"
        said.append(result.err)
    return said


# ---- two names of one table ----

def one_table(project, server, source, first, second, mode="mirror", more=", guard: off"):
    source.executescript("CREATE TABLE one (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO one VALUES (1, 'a'), (2, 'b');"
                         "CREATE TABLE two (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO two VALUES (3, 'c')")
    configure(project, server, sync("first", "one", first, "upsert") + sync("second", "two", second, mode, more=more))


ONE_TABLE = [("sqlite", "schema: a, table: b__c", "schema: a__b, table: c"), ("sqlite", "table: Tt", "table: tt"),
             ("sqlite", "schema: A, table: t", "table: a__T"), ("postgres", "table: t", "schema: public, table: t"),
             ("mysql", "table: t", "schema: work, table: t")]


@pytest.mark.parametrize("engine, first, second", ONE_TABLE, indirect=["engine"])
@pytest.mark.parametrize("mode", ["mirror", "replace"])
def test_what_is_one_table_to_the_engine_is_not_emptied_by_two_syncs(project, server, source, first, second, mode):
    one_table(project, server, source, first, second, mode)
    for name, other in (("first", "second"), ("second", "first")):
        refused(project, name, "config_value", f'sync "{name}"', f'sync "{other}"', "one table", code=4)
    assert tables(server, project) == set()
    checked = project.dray("check").expect(4)
    assert 'sync "first"' in checked.out and 'sync "second"' in checked.out


@pytest.mark.parametrize("engine, first, second", [
    ("postgres", "table: Tt", "table: tt"), ("mysql", "table: Tt", "table: tt"), ("sqlite", "table: a_b", "schema: a, table: b"),
    ("postgres", "schema: a, table: b__c", "schema: a__b, table: c")], indirect=["engine"])
def test_what_is_two_tables_to_the_engine_is_written_as_two(project, server, source, first, second):
    one_table(project, server, source, first, second)
    assert project.sync("first")["applied"] == 2 and project.sync("second")["applied"] == 1
    project.dray("check").expect(0)


@SQLITE
def test_who_takes_nothing_away_may_share(project, server, source):
    one_table(project, server, source, "table: Tt", "table: tt", "upsert", "")
    project.sync("first")
    project.sync("second")
    assert ask(server, project, "SELECT id, v FROM tt ORDER BY id") == [["1", "a"], ["2", "b"], ["3", "c"]]


# ---- too many ----

def wide(source, count, kind="INTEGER", value="1"):
    names = [f"c{i}" for i in range(count)]
    source.execute(f"CREATE TABLE s ({', '.join(name + ' ' + kind + ' NOT NULL' for name in names)})")
    source.execute(f"INSERT INTO s VALUES ({', '.join([value] * count)})")
    return names


@pytest.mark.parametrize("engine", ["mysql", "postgres"], indirect=True)
@pytest.mark.parametrize("mode", ["upsert", "mirror", "history"])
def test_a_key_that_no_index_takes_is_refused_before_anything_is_made(project, server, source, mode):
    most = KEY_COLUMNS[server.plugin] - (mode == "history")
    names = wide(source, most + 1)
    configure(project, server, sync(mode=mode, key=f"[{', '.join(names)}]"))
    refused(project, "s", "schema_key", f"{most + 1} columns", f"takes {KEY_COLUMNS[server.plugin]}", code=4)
    assert tables(server, project) == set()
    assert f"{most + 1} columns" in project.dray("check").expect(4).out
    configure(project, server, sync(mode=mode, key=f"[{', '.join(names[:most])}]"))
    project.dray("check").expect(0)
    assert project.sync("s")["applied"] == 1
    source.execute(f"UPDATE s SET c{most} = 2")
    assert project.sync("s")["applied"] == 1 + (mode == "history")  # through the staging


@SQLITE
def test_a_key_of_forty_columns_where_there_is_no_limit(project, server, source):
    names = wide(source, 41)
    configure(project, server, sync(key=f"[{', '.join(names[:40])}]"))
    project.dray("check").expect(0)
    assert project.sync("s")["applied"] == 1
    source.execute("UPDATE s SET c40 = 7")
    assert project.sync("s")["applied"] == 1
    assert ask(server, project, "SELECT c0, c40 FROM t") == [["1", "7"]]


@MYSQL
def test_a_replacement_by_a_key_that_no_index_takes(project, server, source):
    names = wide(source, 18)
    configure(project, server, sync(mode="replace", key=f"[{', '.join(names[:17])}]"))
    refused(project, "s", "schema_key", "17 columns", "takes 16", code=4)


@EVERY
def test_a_table_of_more_columns_than_there_can_be(project, server, source):
    most = COLUMNS[server.plugin]
    source.execute(f"CREATE TABLE s ({', '.join(f'c{i} INTEGER' for i in range(min(most + 1, 2000)))})")
    source.execute("INSERT INTO s (c0) VALUES (1)")
    configure(project, server, sync(mode="append", key=None))
    refused(project, "s", "limit", f"takes {most}")
    assert tables(server, project) == set()
    assert f"takes {most}" in project.dray("check").expect(1).out


@EVERY
def test_columns_that_a_full_table_does_not_take(project, server, source):
    """The table is somebody else's, and has as many columns as there can be but for one."""
    most = COLUMNS[server.plugin]
    kind = {"mysql": "tinyint", "postgres": "smallint", "sqlite": "INTEGER"}[server.plugin]
    made = f"CREATE TABLE t ({', '.join(f'c{i} {kind}' for i in range(most - 1))})"
    if server.plugin == "sqlite":
        project.execute(made)
    else:
        server.sql(made + ("; ALTER TABLE t OWNER TO dray" if server.plugin == "postgres" else ""))
    before = tables(server, project)
    source.executescript("CREATE TABLE s (c0 INTEGER, new INTEGER); INSERT INTO s VALUES (1, 2)")
    configure(project, server, sync(mode="append", key=None))
    refused(project, "s", "limit", f"takes {most}")
    assert tables(server, project) == before
    assert ask(server, project, "SELECT COUNT(*) FROM t") == [["0"]]
