# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint, mirror and table on all three engines: a table that is gone or emptied under an incremental sync, a mirror that
could not be made, columns spelt in another case, what `dray state verify` calls a difference and what not."""

import shutil

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


@pytest.mark.parametrize("mode", ["upsert", "timed"])
def test_a_lost_mirror_of_an_emptied_table_does_not_hide_it(project, warehouse, mode):
    configure(project, warehouse, mode)
    put(project, SEEN)
    project.sync("s")
    warehouse.sql("DELETE FROM copy")
    shutil.rmtree(project.folder / ".dray")
    put(project, LATER)
    assert project.plan("s")[0]["inserts"] == 11
    shutil.rmtree(project.folder / ".dray")
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


# ---- columns in another case ----

def case_table(warehouse):
    return {"postgres": '"Name"', "mysql": "NAME"}.get(getattr(warehouse, "plugin", ""), '"NAME"')


def test_columns_in_another_case_are_those_of_the_table(project, warehouse):
    """In a rebuild and in verify as in a write."""
    name = case_table(warehouse)
    key = "ID" if getattr(warehouse, "plugin", "") != "postgres" else "id"
    people(project, warehouse, SEEN)
    warehouse.sql(f"CREATE TABLE p ({key} bigint PRIMARY KEY, {name} varchar(90))")
    run = project.sync("p")
    assert run["applied"] == 10
    project.dray("state", "verify", "p").expect(0)
    project.dray("state", "rebuild", "p", "--yes").expect(0)
    project.dray("state", "verify", "p").expect(0)
    assert project.sync("p")["applied"] == 0
    people(project, warehouse, SEEN[:9] + LATER)
    assert project.sync("p")["applied"] == 2
    project.dray("state", "verify", "p").expect(0)
    assert [row for row in warehouse.ask(f"SELECT {key}, {name} FROM p ORDER BY 1")] == [(str(i), n) for i, n in SEEN[:9] + LATER]
    warehouse.sql(f"UPDATE p SET {name} = 'by hand' WHERE {key} = 3")
    told = project.dray("state", "verify", "p", "--json")
    assert told.code == 1 and told.line("verify")["different"] == 1


def test_a_table_with_columns_in_another_case_is_adopted(project, warehouse):
    key = "ID" if getattr(warehouse, "plugin", "") != "postgres" else "id"
    people(project, warehouse, SEEN)
    warehouse.sql(f"CREATE TABLE p ({key} bigint PRIMARY KEY, {case_table(warehouse)} varchar(90))")
    warehouse.sql(f"INSERT INTO p VALUES (1, 'name 1'), (2, 'other')")
    run = project.sync("p")
    assert (run["inserts"], run["updates"], run["unchanged"]) == (8, 1, 1)
    project.dray("state", "verify", "p").expect(0)


# ---- what is a difference ----

def compared(project, sync="s"):
    """(exit code, table only, mirror only, different, of others, not known)"""
    told = project.dray("state", "verify", sync, "--json")
    line = told.line("verify")
    return (told.code, *(line[name] for name in ("table_only", "mirror_only", "different", "others", "unknown")))


@pytest.mark.parametrize("keep", ["row", "columns", "key"])
def test_rows_older_than_a_column_are_equal_to_their_mirror(project, warehouse, keep):
    configure(project, warehouse, more=f", keep: {keep}")
    put(project, SEEN)
    project.sync("s")
    source(project, "ALTER TABLE t ADD COLUMN more TEXT; INSERT INTO t VALUES (11, 'late', NULL, 'x'), (12, 'later', NULL, NULL)")
    project.sync("s")
    known = 9 if keep == "key" else 0  # the tenth was read again, with the cursor's value
    assert compared(project) == (0, 0, 0, 0, 0, known)
    warehouse.sql("UPDATE copy SET more = 'by hand' WHERE id = 3")
    assert compared(project) == ((0, 0, 0, 0, 0, known) if keep == "key" else (1, 0, 0, 1, 0, 0))
    warehouse.sql("UPDATE copy SET more = NULL WHERE id IN (3, 11)")
    assert compared(project) == (1, 0, 0, 1, 0, known)
    assert "11" in project.dray("state", "verify", "s").out


def test_drift_that_waits_is_no_difference(project, warehouse):
    """Rows that are refused for what they have in a column; what the table holds there is of its own type."""
    people(project, warehouse, SEEN, ", drift: discard_row")
    warehouse.sql("CREATE TABLE p (id bigint PRIMARY KEY, name varchar(90), v bigint)")
    project.write("in/p.csv", "id,name,v\n1,a,1\n2,b,2\n3,c,\n")
    project.sync("p")
    project.write("in/p.csv", "id,name,v,n\n1,a,1.5,\n2,b,2,x\n3,c,,\n4,d,,\n")
    project.sync("p", code=3)
    assert compared(project, "p") == (0, 0, 0, 0, 0, 0)
    project.sync("p", code=3)
    assert compared(project, "p") == (0, 0, 0, 0, 0, 0)
    warehouse.sql("UPDATE p SET name = 'by hand' WHERE id = 1")
    assert compared(project, "p") == (1, 0, 0, 1, 0, 0)


def test_rows_of_another_sync_in_the_same_table_are_told_apart(project, warehouse):
    project.config(f"connections:\n  wh: {warehouse.connection}\n  files: {{plugin: file, path: in, types: {{id: int64}}}}\nsyncs:\n" +
                   "".join(f"  {s}: {{from: {{connection: files, stream: {s}}}, to: {{connection: wh, table: both}}, key: id, mode: upsert}}\n"
                           for s in ("a", "b")))
    project.write("in/a.csv", "id,a\n1,a\n2,a\n")
    project.write("in/b.csv", "id,b\n2,b\n3,b\n")
    for sync in ("a", "b", "a", "b"):
        project.sync(sync)
    assert compared(project, "a") == (0, 0, 0, 0, 1, 0)
    assert compared(project, "b") == (0, 0, 0, 0, 0, 0)  # which found the rows of the first in its table, and knows them
    project.write("in/a.csv", "id,a\n1,a\n2,a\n4,a\n")
    project.sync("a")
    assert compared(project, "b") == (0, 0, 0, 0, 1, 0)
    assert "1 rows more are in the table, which sync b writes as well" in project.dray("state", "verify", "a").expect(0).out
    warehouse.sql("UPDATE both SET a = 'by hand' WHERE id = 1; DELETE FROM both WHERE id = 2".replace("both", case_both(warehouse)))
    assert compared(project, "a") == (1, 0, 1, 1, 1, 0)
    told = project.dray("state", "verify", "a")
    assert "a: 0 rows stand in the table only, 1 in the mirror only, 1 differ; the table is also written by sync b" in told.err


def case_both(warehouse):
    """`both` is a reserved word in two of the three."""
    return "`both`" if getattr(warehouse, "plugin", "") == "mysql" else '"both"'


def test_a_history_by_time_has_no_mirror_to_verify(project, warehouse):
    configure(project, warehouse, "timed")
    put(project, SEEN)
    project.sync("s")
    told = project.dray("state", "verify", "s").expect(0)
    assert "there is no mirror" in told.out
    assert not project.dray("state", "verify", "s", "--json").expect(0).line("verify")["compared"]


def test_the_counts_are_in_the_error(project, warehouse):
    configure(project, warehouse)
    put(project, SEEN)
    project.sync("s")
    warehouse.sql("DELETE FROM copy WHERE id < 3; UPDATE copy SET name = 'by hand' WHERE id > 5; "
                  "INSERT INTO copy (id, name) VALUES (77, 'by hand')")
    told = project.dray("state", "verify", "s", "--json").expect(1)
    said = "s: 1 rows stand in the table only, 2 in the mirror only, 5 differ"
    assert [line["text"] for line in told.lines("error")] == [said]
    assert said in project.dray("state", "verify", "s").expect(1).err
