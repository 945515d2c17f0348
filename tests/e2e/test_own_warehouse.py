# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A model that is written into the warehouse it is read from, on all three engines: by `append` and `replace`, also when the model
reads the very table it is written to, and when the run is killed. The modes that go by the mirror have their tests with each engine.
"""

import os
import sqlite3

import pytest

import harness
import mysql_server
import postgres_server

ROWS = 10000


class Engine:
    numbers, after = "", ""

    def make(self, table):
        self.sql(f"CREATE TABLE {table} (id int, name varchar(30)); INSERT INTO {table} {self.numbers}; {self.after.format(table)}")


class Sqlite(Engine):
    numbers = (f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ROWS}) "
               "SELECT n, 'name ' || n FROM c")

    def __init__(self, project):
        self.path = project.folder / "warehouse.db"

    def connection(self):
        return "  wh: {plugin: sqlite, path: warehouse.db}\n"

    def sql(self, script):
        with sqlite3.connect(self.path) as connection:
            connection.executescript(script)
        connection.close()

    def ask(self, query):
        connection = sqlite3.connect(self.path)
        found = connection.execute(query).fetchall()
        connection.close()
        return [tuple(str(value) for value in row) for row in found]

    def sessions(self):
        return 0


class Served(Engine):
    def __init__(self, plugin, server, numbers, after=""):
        self.plugin, self.server, self.numbers, self.after = plugin, server, numbers, after
        server.fresh()

    def connection(self):
        return (f"  wh: {{plugin: {self.plugin}, host: 127.0.0.1, port: {self.server.port}, database: work, user: dray, sslmode: "
                "disable, password: !secret env:WH_PASSWORD}\n")

    def sql(self, script):
        self.server.sql(script)

    def ask(self, query):
        return [tuple(row) for row in self.server.sql(query)]

    def sessions(self):
        if self.plugin == "mysql":
            return self.server.sessions()
        return int(self.server.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'dray'"))


@pytest.fixture(scope="module", params=["sqlite", "postgres", "mysql"])
def server(request):
    servers = {"postgres": postgres_server, "mysql": mysql_server}.get(request.param)
    if servers is None:
        yield None
        return
    if servers.missing() is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(servers.missing())
        pytest.skip(servers.missing())
    made = servers.Server(harness.CANARY_BEARER)
    yield made
    made.close()


@pytest.fixture
def engine(server, project):
    project.environment["WH_PASSWORD"] = harness.CANARY_BEARER
    if server is None:
        return Sqlite(project)
    if isinstance(server, mysql_server.Server):
        return Served("mysql", server, f"SELECT seq, concat('name ', seq) FROM seq_1_to_{ROWS}")
    return Served("postgres", server, f"SELECT n, 'name ' || n FROM generate_series(1, {ROWS}) AS i(n)",
                  "ALTER TABLE {} OWNER TO dray")


def configure(project, engine, model, mode, table="copies"):
    project.config("connections:\n" + engine.connection() +
                   f"models:\n  m: {{warehouse: wh, sql: \"{model}\", key: id}}\n"
                   f"syncs:\n  s: {{from: {{model: m}}, to: {{connection: wh, table: {table}}}, mode: {mode}}}\n")


def counted(engine, table="copies"):
    return engine.ask(f"SELECT count(*), count(DISTINCT id), min(id), max(id) FROM {table}")


def test_append_and_replace(project, engine):
    engine.make("people")
    configure(project, engine, "SELECT id, name FROM people", "append")
    for copies in (1, 2):
        assert project.sync("s")["applied"] == ROWS
        assert counted(engine) == [(str(copies * ROWS), str(ROWS), "1", str(ROWS))]
    configure(project, engine, "SELECT id, name FROM people WHERE id > 10", "replace", "others")
    project.dray("state", "reset", "s", "--yes").expect(0)
    assert project.sync("s")["applied"] == ROWS - 10
    engine.sql("UPDATE people SET name = 'new' WHERE id = 11")
    assert project.sync("s")["applied"] > 0
    assert project.sync("s")["applied"] == 0  # the same once more
    assert counted(engine, "others") == [(str(ROWS - 10), str(ROWS - 10), "11", str(ROWS))]
    assert engine.ask("SELECT count(*) FROM others JOIN people ON people.id = others.id WHERE others.name = people.name") == \
        [(str(ROWS - 10),)]
    assert not project.left_behind() and engine.sessions() == 0


def test_a_model_of_its_own_table(project, engine):
    """The rows are those of before: what is written is not read again. The column that is new waits for nobody."""
    engine.make("copies")
    configure(project, engine, "SELECT id + 100000 AS id, name, 'x' AS more FROM copies WHERE id <= 5000", "append")
    assert project.sync("s")["applied"] == 5000
    assert counted(engine) == [(str(ROWS + 5000), str(ROWS + 5000), "1", "105000")]
    assert engine.ask("SELECT count(*) FROM copies WHERE more = 'x'") == [("5000",)]
    configure(project, engine, "SELECT id, name, more FROM copies WHERE id > 100", "replace")
    project.dray("state", "reset", "s", "--yes").expect(0)
    project.sync("s")
    assert counted(engine) == [(str(ROWS + 4900), str(ROWS + 4900), "101", "105000")]


@pytest.mark.parametrize("step", ["warehouse.begin", "warehouse.loaded", "warehouse.merged"])
def test_killed_before_the_commit_nothing_is_there(project, engine, step):
    engine.make("people")
    configure(project, engine, "SELECT id, name FROM people", "append")
    project.sync("s")
    died = project.dray("sync", "s", "--json", env={"DRAY_FAULT": f"kill:{step}"})
    assert died.code == -9 or "killed" in died.errors(), str(died)
    assert counted(engine) == [(str(ROWS), str(ROWS), "1", str(ROWS))]
    assert not project.left_behind()
    project.sync("s")
    assert counted(engine) == [(str(2 * ROWS), str(ROWS), "1", str(ROWS))]
