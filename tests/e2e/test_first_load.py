# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""First loads that begin while the source is still read, into all three engines: whatever comes and whatever breaks, table,
report and what is recorded are those of a load that begins when all is read (DRAY_LOAD_ROWS=0)."""

import shutil
import signal

import pytest

import harness
import postgres_scene

PASSWORD = harness.CANARY_BEARER
COUNT = 3000  # of about 600 bytes: several batches
BESIDE, AFTERWARDS = {"DRAY_LOAD_ROWS": "1"}, {"DRAY_LOAD_ROWS": "0"}
PLAIN = [(i, "n" * 600 + str(i), i * 10) for i in range(COUNT)]


class Sqlite:
    fragment = "{plugin: sqlite, path: warehouse.db}"
    environment = {}
    leaves_table = False

    def __init__(self, project):
        self.project = project

    def fresh(self):
        (self.project.folder / "warehouse.db").unlink(missing_ok=True)

    def tables(self):
        return self.project.tables() if (self.project.folder / "warehouse.db").exists() else set()

    def held(self):
        return self.project.query("SELECT id, name, score FROM people ORDER BY id, score")


class Postgres:
    environment = {"SERVER_PASSWORD": PASSWORD}
    leaves_table = False

    def __init__(self, server):
        self.server = server
        self.fragment = (f"{{plugin: postgres, host: 127.0.0.1, port: {server.port}, database: work, user: dray, "
                         "password: !secret env:SERVER_PASSWORD}")

    def fresh(self):
        self.server.fresh()

    def tables(self):
        return postgres_scene.tables(self.server)

    def held(self):
        return [tuple(row) for row in self.server.rows("SELECT id, name, score FROM people ORDER BY id, score")]


class Maria:
    environment = {"SERVER_PASSWORD": PASSWORD}
    leaves_table = True  # DDL commits: what a kill or an error leaves is a table without rows

    def __init__(self, server):
        self.server = server
        self.fragment = (f"{{plugin: mysql, host: 127.0.0.1, port: {server.port}, database: work, user: dray, sslmode: disable, "
                         "password: !secret env:SERVER_PASSWORD}")

    def fresh(self):
        self.server.fresh()

    def tables(self):
        return {row[0] for row in self.server.sql("SHOW TABLES")}

    def held(self):
        return [tuple(row) for row in self.server.rows("people", ("id", "name", "score"), order="id, score")]


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def warehouse(request, project):
    made = Sqlite(project) if request.param == "sqlite" else None
    if made is None:
        made = {"postgres": Postgres, "mysql": Maria}[request.param](request.getfixturevalue(request.param))
    made.fresh()
    project.environment.update(made.environment)
    return made


def configure(project, warehouse, sync="mode: mirror"):
    project.config(f"connections:\n  wh: {warehouse.fragment}\n"
                   "  files: {plugin: file, path: in, types: {id: int64, score: int64}}\n"
                   f"syncs:\n  people: {{from: {{connection: files, stream: people}}, to: {{connection: wh}}, key: id, {sync}}}\n")


def put(project, rows):
    lines = ["id,name,score\n", *(",".join("" if value is None else str(value) for value in row) + "\n" for row in rows)]
    project.write("in/people.csv", "".join(lines))


def run(project, env, code=0):
    """One run: its record, and the named steps that it passed."""
    trace = project.folder / "steps"
    trace.unlink(missing_ok=True)
    said = project.sync("people", env={**env, "DRAY_FAULT_TRACE": str(trace)}, code=code)
    return said, set(trace.read_text().split()) if trace.exists() else set()


def assert_nothing_there(warehouse):
    if "people" in warehouse.tables():
        assert warehouse.leaves_table and warehouse.held() == []


def assert_next_run_brings_all(project, warehouse, rows=None):
    rows = PLAIN if rows is None else rows
    run(project, BESIDE)
    assert warehouse.held() == rows
    assert run(project, BESIDE)[0]["applied"] == 0
    assert warehouse.tables() == {"people", "_dray_state"}
    project.dray("state", "verify", "people").expect(0)
    assert not project.left_behind()


TWICE = PLAIN[:2500] + [(5, "again", 1), (2999, "again", 2)] + PLAIN[2500:] + [(5, "once more", 3)]
KINDS = [("plain", "mode: mirror", PLAIN, 0),
         ("upsert", "mode: upsert", PLAIN, 0),
         ("history", "mode: history", PLAIN, 0),
         ("rejected", "mode: mirror, duplicates: reject", TWICE, 3),
         ("first", "mode: mirror, duplicates: first", TWICE, 0),
         ("last", "mode: upsert, duplicates: last", TWICE, 0),
         ("keyless", "mode: mirror", PLAIN[:2000] + [(None, "nobody", 0)] + PLAIN[2000:] + [(None, "nobody", 1)], 3),
         ("unreadable", "mode: mirror", PLAIN[:2000] + [(9000, "x", "not a number")] + PLAIN[2000:], 3)]


@pytest.mark.parametrize("name, sync, rows, code", KINDS, ids=[kind[0] for kind in KINDS])
def test_the_table_is_that_of_a_load_afterwards(project, warehouse, name, sync, rows, code):
    configure(project, warehouse, sync)
    put(project, rows)
    seen = []
    for env in (AFTERWARDS, BESIDE):
        warehouse.fresh()
        shutil.rmtree(project.folder / ".dray", ignore_errors=True)
        said, steps = run(project, env, code)
        assert env is BESIDE or "sync.loading" not in steps
        assert env is AFTERWARDS or rows is TWICE or "sync.loading" in steps  # what is known to be vain need not have begun
        told = sorted((row["error"], row["key"]) for row in project.rows("people")) if code else []
        seen.append((warehouse.held(), {key: value for key, value in said.items() if isinstance(value, int) and
                                        not key.endswith("_ms") and key not in ("run", "id")}, told))
    assert seen[0] == seen[1]
    assert run(project, BESIDE, code)[0]["applied"] == 0
    project.dray("state", "verify", "people").expect(0)
    if name == "plain":
        assert seen[1][0] == PLAIN


STEPS = [("warehouse.begin", 1), ("sync.loading", 1), ("sync.loading", 2), ("warehouse.loaded", 1), ("warehouse.merged", 1),
         ("mirror.prepare", 1), ("sync.warehouse_committed", 1), ("mirror.commit", 1)]


@pytest.mark.parametrize("step, number", STEPS)
def test_killed_while_it_is_loaded_it_is_as_before_or_whole(project, warehouse, step, number):
    configure(project, warehouse)
    put(project, PLAIN)
    killed = project.dray("sync", "people", env={**BESIDE, "DRAY_FAULT": f"kill:{step}:{number}"})
    assert killed.code != 0
    if step in ("sync.warehouse_committed", "mirror.commit"):
        assert warehouse.held() == PLAIN
    else:
        assert_nothing_there(warehouse)
    assert_next_run_brings_all(project, warehouse)


def test_a_load_that_breaks_is_done_again_from_the_changes(project, warehouse):
    configure(project, warehouse)
    put(project, PLAIN)
    assert run(project, {**BESIDE, "DRAY_FAULT": "eio:sync.loading:2"})[0]["applied"] == COUNT
    assert warehouse.held() == PLAIN
    assert_next_run_brings_all(project, warehouse)


def test_an_interrupt_ends_both_threads(project, warehouse):
    configure(project, warehouse)
    put(project, PLAIN)
    paused = postgres_scene.Paused(project, "sync.loading", 2, BESIDE)
    paused.run.send_signal(signal.SIGINT)
    assert paused.go_on().code == 130
    assert_nothing_there(warehouse)
    assert_next_run_brings_all(project, warehouse)


# ---- errors of the load itself ----

def test_a_table_that_cannot_be_made_is_told_as_ever(project, postgres):
    warehouse = Postgres(postgres)
    warehouse.fresh()
    project.environment.update(warehouse.environment)
    configure(project, warehouse)
    put(project, PLAIN)
    postgres.sql("REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM dray; "
                 "GRANT USAGE ON SCHEMA public TO dray; REVOKE CREATE ON DATABASE work FROM dray; "
                 "ALTER SCHEMA public OWNER TO postgres; ALTER DATABASE work OWNER TO postgres")
    refused = [project.dray("sync", "people", env=env) for env in (AFTERWARDS, BESIDE)]
    assert "permission denied for schema public" in refused[1].err, refused[1]
    assert [one.code for one in refused] == [refused[0].code] * 2 and refused[0].errors() == refused[1].errors()
    postgres.sql("GRANT CREATE ON SCHEMA public TO dray")
    assert_next_run_brings_all(project, warehouse)


def test_a_value_that_the_table_does_not_take_is_told_as_ever(project, postgres):
    warehouse = Postgres(postgres)
    warehouse.fresh()
    project.environment.update(warehouse.environment)
    configure(project, warehouse)
    put(project, PLAIN[:2000] + [(9000, "m" * 700, 1)] + PLAIN[2000:])
    postgres.sql("CREATE TABLE people (id bigint NOT NULL PRIMARY KEY, name text CONSTRAINT short CHECK (length(name) <= 650), score bigint); "
                 "ALTER TABLE people OWNER TO dray")
    for env in (AFTERWARDS, BESIDE):
        refused = project.dray("sync", "people", env=env)
        assert refused.code == 3 and '"short"' in refused.err, str(refused)
        assert warehouse.held() == []
        assert "_dray_state" not in warehouse.tables()
    postgres.sql("ALTER TABLE people DROP CONSTRAINT short")
    assert_next_run_brings_all(project, warehouse, sorted(PLAIN + [(9000, "m" * 700, 1)]))


def test_rows_for_which_somebody_else_holds_the_table_wait_in_the_change_set(project, postgres):
    """The load beside the reading waits for a lock and gives up; the reading goes on, and so does the load afterwards."""
    warehouse = Postgres(postgres)
    warehouse.fresh()
    project.environment.update(warehouse.environment)
    configure(project, warehouse)
    put(project, PLAIN)
    postgres.sql("CREATE TABLE people (id bigint NOT NULL PRIMARY KEY, name text, score bigint); ALTER TABLE people OWNER TO dray")
    process, ask = postgres.session()
    try:
        ask("BEGIN; LOCK TABLE people IN EXCLUSIVE MODE;")
        going = project.start("sync", "people", "--json", env={**BESIDE, "DRAY_LOAD_PAUSE_MS": "100"})
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'dray' AND wait_event_type = 'Lock'"
        harness.wait_until(lambda: postgres.value(waiting) == "1")
        ask("COMMIT;")
        assert project.finish(going).expect(0).line("run")["applied"] == COUNT
    finally:
        process.kill()
        process.communicate()
    assert_next_run_brings_all(project, warehouse)
