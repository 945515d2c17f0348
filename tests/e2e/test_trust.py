# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint, mirror and table on all three engines: a table that is gone, emptied or made anew under an incremental sync, a mirror that
could not be made, columns spelt in another case, what `dray state verify` calls a difference and what not."""

import pytest

import harness

SEEN = [(i, f"name {i}") for i in range(1, 11)]
LATER = [(11, "late")]
MODES = {"upsert": "", "append": "", "history": "", "timed": ", valid_from: at"}


class Sqlite:
    def __init__(self, project, _server):
        self.project = project
        self.connection = "{plugin: sqlite, path: warehouse.db}"

    def sql(self, script):
        self.project.execute(script)

    def ask(self, query):
        return [tuple(None if value is None else str(value) for value in row) for row in self.project.query(query)]


class Served:
    def __init__(self, plugin, project, server):
        self.server = server
        self.plugin = plugin
        server.fresh()
        project.environment["WH_PASSWORD"] = harness.CANARY_BEARER
        self.connection = (f"{{plugin: {plugin}, host: 127.0.0.1, port: {server.port}, database: work, user: dray, sslmode: disable, "
                           "password: !secret env:WH_PASSWORD}")

    def sql(self, script):
        """As who owns what dray writes."""
        self.server.sql(("SET ROLE dray;" if self.plugin == "postgres" else "") + script)

    def ask(self, query):
        return [tuple(None if value in ("NULL", "") else value for value in row) for row in self.server.sql(query)]


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def warehouse(request, project):
    if request.param == "sqlite":
        return Sqlite(project, None)
    return Served(request.param, project, request.getfixturevalue(request.param))


def source(project, script):
    project.execute(script, database="source.db")


def put(project, rows):
    source(project, "".join(f"INSERT INTO t VALUES ({i}, '{n}', '2024-01-01 00:00:{i:02}');" for i, n in rows))


def configure(project, warehouse, mode="upsert", more=""):
    """`s`: a table by a cursor into the warehouse, and what it begins with."""
    spelt = "history" if mode == "timed" else mode
    project.config("connections:\n"
                   "  from: {plugin: sqlite, path: source.db}\n"
                   f"  wh: {warehouse.connection}\n"
                   "  files: {plugin: file, path: in}\n"
                   f"syncs:\n  s: {{from: {{connection: from, stream: t, cursor: id}}, to: {{connection: wh, table: copy}}, key: id, "
                   f"mode: {spelt}{MODES.get(mode, '')}{more}}}\n")
    source(project, "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, at DATETIME)")


def ids(warehouse, table="copy"):
    return sorted(int(row[0]) for row in warehouse.ask(f"SELECT id FROM {table}"))


ALL = [i for i, _ in SEEN + LATER]


@pytest.mark.parametrize("mode", MODES)
def test_a_table_that_is_gone_is_read_from_the_beginning(project, warehouse, mode):
    configure(project, warehouse, mode)
    put(project, SEEN)
    project.sync("s")
    warehouse.sql("DROP TABLE copy")
    put(project, LATER)
    told = project.dray("sync", "s", "--json").expect(0)
    assert ids(warehouse) == ALL
    assert "the table is not there any more" in told.err and "from the beginning" in told.err
    again = project.dray("sync", "s", "--json").expect(0)
    assert again.line("run")["rows_read"] == 1 and "beginning" not in again.err  # it goes on from where it is
    if mode in ("upsert", "history"):
        project.dray("state", "verify", "s").expect(0)


@pytest.mark.parametrize("step", ["warehouse.begin", "sync.merged"])
def test_a_run_that_is_killed_when_the_table_is_gone_forgets_it_all_the_same(project, warehouse, step):
    """Where DDL commits, the table is there again without its rows."""
    configure(project, warehouse)
    put(project, SEEN)
    project.sync("s")
    warehouse.sql("DROP TABLE copy")
    put(project, LATER)
    assert project.dray("sync", "s", env={"DRAY_FAULT": f"kill:{step}:1"}).code != 0
    project.sync("s")
    assert ids(warehouse) == ALL


@pytest.mark.parametrize("mode", ["upsert", "history", "timed"])
def test_a_table_that_was_emptied_is_read_from_the_beginning(project, warehouse, mode):
    configure(project, warehouse, mode)
    put(project, SEEN)
    project.sync("s")
    warehouse.sql("DELETE FROM copy")
    put(project, LATER)
    for _ in range(2):  # a plan says so, and leaves no trace
        plan = project.dray("plan", "s", "--json").expect(0)
        assert plan.line("plan")["inserts"] == 11 and "the table is empty" in plan.err
    assert not list((project.folder / ".dray").rglob("mirror.plan"))
    told = project.dray("sync", "s", "--json").expect(0)
    assert ids(warehouse) == ALL and "the table is empty" in told.err
    told = project.dray("sync", "s", "--json").expect(0)
    assert "empty" not in told.err and ids(warehouse) == ALL


def test_a_mirror_made_of_an_emptied_table_does_not_hide_it(project, warehouse):
    configure(project, warehouse)
    put(project, SEEN)
    project.sync("s")
    warehouse.sql("DELETE FROM copy")
    project.dray("state", "rebuild", "s", "--yes").expect(0)
    put(project, LATER)
    project.sync("s")
    assert ids(warehouse) == ALL


def test_a_table_to_append_to_that_was_emptied_is_told_of(project, warehouse):
    """Rows may be taken out of it on purpose: they do not come again unasked."""
    configure(project, warehouse, "append")
    put(project, SEEN)
    project.sync("s")
    warehouse.sql("DELETE FROM copy")
    put(project, LATER)
    told = project.dray("sync", "s").expect(0)
    assert "the table is empty, though rows were appended to it" in told.err and "state reset s" in told.err
    assert ids(warehouse) == [10, 11]
    assert "empty" not in project.dray("sync", "s").expect(0).err
    project.dray("state", "reset", "s", "--yes").expect(0)
    warehouse.sql("DELETE FROM copy")
    project.sync("s")
    assert ids(warehouse) == ALL


def test_a_source_that_had_no_rows_is_no_emptied_table(project, warehouse):
    configure(project, warehouse, "append")
    project.sync("s")
    assert warehouse.ask("SELECT count(*) FROM copy") == [("0",)]
    assert "empty" not in project.dray("sync", "s").expect(0).err
    put(project, SEEN)
    assert "empty" not in project.dray("sync", "s").expect(0).err
    assert len(ids(warehouse)) == 10


def test_a_state_that_is_lost_appends_nothing_twice(project, warehouse):
    configure(project, warehouse, "append")
    put(project, SEEN)
    project.sync("s")
    warehouse.sql("DROP TABLE _dray_state")
    put(project, LATER)
    refused = project.dray("sync", "s").expect(7)
    assert "has no state of this sync any more" in refused.err and "once more" in refused.err
    assert len(ids(warehouse)) == 10
    warehouse.sql("DELETE FROM copy")
    told = project.dray("sync", "s").expect(0)
    assert "from the beginning" in told.err and ids(warehouse) == ALL


def test_a_state_that_is_lost_has_all_read_again(project, warehouse):
    configure(project, warehouse)
    put(project, SEEN)
    project.sync("s")
    warehouse.sql("DROP TABLE _dray_state; DELETE FROM copy WHERE id = 3")
    put(project, LATER)
    told = project.dray("sync", "s", "--json").expect(0)
    assert "has no state of this sync any more" in told.err
    assert told.line("run")["applied"] == 2 and ids(warehouse) == ALL


# ---- a mirror that could not be made ----

def people(project, warehouse, rows, more=""):
    project.config(f"connections:\n  wh: {warehouse.connection}\n  files: {{plugin: file, path: in, types: {{id: int64}}}}\n"
                   f"syncs:\n  p: {{from: {{connection: files, stream: p}}, to: {{connection: wh}}, key: id, mode: mirror{more}}}\n")
    project.write("in/p.csv", "id,name\n" + "".join(f"{i},{n}\n" for i, n in rows))


@pytest.mark.parametrize("how", ["eio:sync.rebuilding", "kill:sync.rebuilding"])
def test_a_mirror_that_was_made_of_half_a_table_is_not_believed(project, warehouse, how):
    """The table was there before the sync: no generation tells that the mirror knows none of its rows."""
    people(project, warehouse, SEEN[:2], ", guard: off")
    warehouse.sql("CREATE TABLE p (id bigint PRIMARY KEY, name varchar(90))")
    warehouse.sql("INSERT INTO p VALUES " + ", ".join(f"({i}, 'old')" for i in range(1, 101)))
    assert project.dray("sync", "p", env={"DRAY_FAULT": f"{how}:1"}).code != 0
    assert len(ids(warehouse, "p")) == 100
    run = project.sync("p")
    assert run["deletes"] == 98 and ids(warehouse, "p") == [1, 2]
    assert project.sync("p")["applied"] == 0
