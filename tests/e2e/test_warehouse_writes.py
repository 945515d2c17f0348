# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What stands around a table that is written: what hangs on it survives, readers see one state or the other, what did not
change is not touched, and a write that fails leaves everything as it was."""

import json
import resource
import sqlite3
import threading

import pytest

import harness
import mysql_server
import postgres_server
import scene

PASSWORD = harness.CANARY_BEARER
ROWS = [(i, f"name {i}", 1) for i in range(1, 201)]


@pytest.fixture(scope="module")
def engine():
    made = scene.started(postgres_server)
    yield made
    made.close()


@pytest.fixture
def server(engine):
    engine.fresh()
    return engine


def configure(project, server=None, mode="replace", more="", key=True, connection=""):
    wh = "{plugin: sqlite, path: warehouse.db}"
    if server is not None:
        project.environment["PG_PASSWORD"] = PASSWORD
        wh = (f"{{plugin: postgres, host: 127.0.0.1, port: {server.port}, database: work, user: dray, "
              f"password: !secret env:PG_PASSWORD{connection}}}")
    project.config(f"connections:\n  wh: {wh}\n  files: {{plugin: file, path: in, types: {{id: int64}}}}\n"
                   f"syncs:\n  t: {{from: {{connection: files, stream: t}}, to: {{connection: wh}}, mode: {mode}"
                   f"{', key: id' if key else ''}{more}}}\n")


def put(project, rows, name="t"):
    project.write(f"in/{name}.csv", "id,name,v\n" + "".join(f"{i},{n},{v}\n" for i, n, v in rows))


def held(server, where="true"):
    return [tuple(row) for row in server.rows(f"SELECT id, name, v FROM t WHERE {where} ORDER BY id, v")]


def ours_left(server):
    """Tables of dray's that are not to stay, of any schema and session."""
    return server.value("SELECT count(*) FROM pg_class WHERE relname LIKE '\\_dray\\_%' AND relkind = 'r' AND "
                        "relname <> '_dray_state'")


# ---- what hangs on the table ----

PG_SURROUNDINGS = """
    ALTER TABLE t ADD COLUMN note text DEFAULT 'mine', ADD COLUMN number serial;
    COMMENT ON TABLE t IS 'about t'; COMMENT ON COLUMN t.name IS 'about name';
    CREATE VIEW seen AS SELECT count(*) AS n, sum(v) AS v FROM t;
    CREATE MATERIALIZED VIEW stored AS SELECT * FROM t;
    CREATE INDEX by_name ON t (name, v) WHERE v > 0;
    CREATE TABLE log (op text); GRANT ALL ON log TO PUBLIC;
    CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (tg_op); RETURN NULL; END';
    CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION logged();
    GRANT SELECT, UPDATE (note) ON t TO reader;
    ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY all_of_it ON t USING (true);
    GRANT ALL ON SEQUENCE t_number_seq TO dray;"""
PG_SEEN = """SELECT oid, relowner, relacl, relkind, obj_description(oid), col_description(oid, 2), relrowsecurity FROM pg_class
    WHERE relname = 't'"""


@pytest.mark.parametrize("key", [True, False])
def test_a_replaced_table_keeps_what_hangs_on_it(project, server, key):
    server.sql("DO $$BEGIN CREATE ROLE reader; EXCEPTION WHEN duplicate_object THEN NULL; END$$")
    configure(project, server, key=key)
    put(project, ROWS)
    project.sync("t")
    server.sql("SET ROLE dray; " + PG_SURROUNDINGS.replace("GRANT ALL ON SEQUENCE", "RESET ROLE; GRANT ALL ON SEQUENCE"))
    if key:
        server.sql("ALTER TABLE t ADD UNIQUE (id); CREATE TABLE child (t_id bigint REFERENCES t (id)); "
                   "INSERT INTO child VALUES (1), (200); UPDATE t SET note = 'by hand' WHERE id = 2; TRUNCATE log")
    before = server.sql(PG_SEEN)
    changed = [(i, n, 2 if i == 7 else v) for i, n, v in ROWS if i not in (5, 6)] + [(500, "new", 1)]
    put(project, changed)
    project.sync("t")
    assert held(server) == sorted(changed)
    assert server.sql(PG_SEEN) == before
    assert server.sql("SELECT n, v FROM seen") == [["199", "200"]]
    assert server.value("SELECT count(*) FROM pg_indexes WHERE tablename = 't' AND indexname = 'by_name'") == "1"
    assert server.value("SET ROLE reader; SELECT count(*) FROM t") == "199"
    server.sql("REFRESH MATERIALIZED VIEW stored")
    assert server.value("SELECT note FROM t WHERE id = 500") == "mine"
    told = dict(server.sql("SELECT op, count(*) FROM log GROUP BY op"))
    if key:
        assert told == {"INSERT": "1", "UPDATE": "1", "DELETE": "2"}
        assert server.value("SELECT note FROM t WHERE id = 2") == "by hand"
        put(project, ROWS[1:])  # key 1 is pointed at
        refused = project.dray("sync", "t")
        assert refused.code != 0 and "child" in refused.err, refused
        assert held(server) == sorted(changed) and ours_left(server) == "0"


def test_a_replaced_table_of_sqlite_keeps_what_hangs_on_it(project):
    configure(project)
    put(project, ROWS)
    project.sync("t")
    project.execute("ALTER TABLE t ADD COLUMN note TEXT DEFAULT 'mine'; UPDATE t SET note = 'by hand' WHERE id = 2;"
                    "CREATE VIEW seen AS SELECT count(*) AS n, sum(v) AS v FROM t; CREATE INDEX by_name ON t (name);"
                    "CREATE TABLE log (op TEXT); CREATE TRIGGER told AFTER UPDATE ON t BEGIN INSERT INTO log VALUES ('u'); END")
    changed = [(i, n, 2 if i == 7 else v) for i, n, v in ROWS if i != 5] + [(500, "new", 1)]
    put(project, changed)
    assert project.sync("t")["applied"] == 3
    assert project.query("SELECT id, name, v FROM t ORDER BY id") == sorted(changed)
    assert project.query("SELECT n, v FROM seen") == [(200, 201)]
    assert project.query("SELECT count(*) FROM log") == [(1,)]
    assert project.query("SELECT note FROM t WHERE id IN (2, 3, 500) ORDER BY id") == [("by hand",), ("mine",), ("mine",)]
    assert project.query("SELECT count(*) FROM sqlite_master WHERE name = 'by_name'") == [(1,)]


@pytest.fixture(scope="module")
def maria_engine():
    made = scene.started(mysql_server)
    yield made
    made.close()


@pytest.mark.parametrize("key", [True, False])
def test_a_replaced_table_of_mysql_keeps_what_hangs_on_it(project, maria_engine, key):
    maria_engine.fresh()
    configure(project, key=key)
    project.environment["MY_PASSWORD"] = PASSWORD
    text = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", text.replace("{plugin: sqlite, path: warehouse.db}", (
        f"{{plugin: mysql, host: 127.0.0.1, port: {maria_engine.port}, database: work, user: dray, sslmode: disable, "
        "password: !secret env:MY_PASSWORD}")))
    put(project, ROWS)
    project.sync("t")
    maria_engine.sql("ALTER TABLE t ADD COLUMN note varchar(20) DEFAULT 'mine', ADD INDEX by_v (v), COMMENT 'about t';"
                     "CREATE VIEW seen AS SELECT count(*) AS n, sum(v) AS v FROM t; CREATE TABLE log (op text);"
                     "CREATE TRIGGER told AFTER UPDATE ON t FOR EACH ROW INSERT INTO log VALUES ('u');"
                     "CREATE USER IF NOT EXISTS reader; GRANT SELECT, UPDATE (note) ON t TO reader")
    if key:
        maria_engine.sql("ALTER TABLE t ADD UNIQUE (id); CREATE TABLE child (t_id bigint, FOREIGN KEY (t_id) REFERENCES t (id));"
                         "INSERT INTO child VALUES (1), (200); UPDATE t SET note = 'by hand' WHERE id = 2; DELETE FROM log")
    made = maria_engine.sql("SHOW CREATE TABLE t")
    grants = maria_engine.sql("SHOW GRANTS FOR reader")
    changed = [(i, n, 2 if i == 7 else v) for i, n, v in ROWS if i not in (5, 6)] + [(500, "new", 1)]
    put(project, changed)
    project.sync("t")
    assert [tuple(row) for row in maria_engine.rows("t", ("id", "name", "v"), order="id")] == sorted(changed)
    assert maria_engine.sql("SHOW CREATE TABLE t") == made
    assert maria_engine.sql("SHOW GRANTS FOR reader") == grants
    assert maria_engine.sql("SELECT n, v FROM seen") == [["199", "200"]]
    assert maria_engine.value("SELECT note FROM t WHERE id = 500") == "mine"
    if key:
        assert maria_engine.sql("SELECT count(*) FROM log") == [["1"]]
        assert maria_engine.value("SELECT note FROM t WHERE id = 2") == "by hand"
    before = maria_engine.sql("CHECKSUM TABLE t, _dray_state")
    assert project.sync("t")["applied"] == 0
    assert maria_engine.sql("CHECKSUM TABLE t, _dray_state") == before


@pytest.mark.parametrize("key", [True, False])
def test_a_key_that_is_no_key_is_not_trusted(project, key):
    """`key` in a mode that promises nothing about it: rows with one key, and without any."""
    configure(project, key=key)
    rows = [(1, "a", 1), (1, "a", 1), (1, "b", 1), (None, "c", 1), (None, "c", 2)]
    for some in (rows, rows[1:], rows[3:], rows, rows[:1], rows[2:]):
        put(project, [("" if i is None else i, n, v) for i, n, v in some])
        project.sync("t")
        assert sorted(project.query("SELECT id, name, v FROM t"), key=repr) == sorted(some, key=repr)


# ---- readers ----

@pytest.mark.parametrize("key", [True, False])
def test_a_reader_never_sees_a_half_or_empty_table(project, server, key):
    configure(project, server, key=key)
    states = [[(i, "x" * 50, v) for i in range(1, count)] for count, v in ((3000, 1), (4500, 2), (2000, 3))]
    put(project, states[0])
    project.sync("t")
    wanted = {f"{len(state)}|{state[0][2]}|{state[0][2]}" for state in states}
    process, ask = server.session()
    seen, done = set(), threading.Event()

    def look():
        while not done.is_set():
            seen.update(ask("SELECT count(*), min(v), max(v) FROM t;"))
    looking = threading.Thread(target=look)
    looking.start()
    try:
        for state in states[1:] + states:
            put(project, state)
            project.sync("t")
    finally:
        done.set()
        looking.join()
        process.kill()
        process.communicate()
    assert seen <= wanted and len(seen) > 1, seen


# ---- what did not change ----

MODES = [("append", "", False), ("upsert", "", True), ("mirror", "", True), ("mirror", ", delete: soft", True),
         ("history", "", True), ("history", ", valid_from: at", True), ("replace", "", True), ("replace", "", False)]


@pytest.mark.parametrize("mode, more, key", MODES)
def test_nothing_is_written_when_nothing_changed(project, server, mode, more, key):
    configure(project, server, mode, more, key)
    project.write("in/t.csv", "id,name,v,at\n" + "".join(f"{i},{n},{v},2024-01-01T00:00:00Z\n" for i, n, v in ROWS))
    project.sync("t")
    state = "SELECT xmin::text, ctid::text, generation, updated_at FROM _dray_state"
    rows = "SELECT id, xmin::text, ctid::text FROM t ORDER BY 1, 3"
    before, applied = (server.sql(state), server.sql(rows)), []
    server.assert_idle(lambda: applied.append(project.sync("t")["applied"]))
    assert (server.sql(state), server.sql(rows)) == before and set(applied) == {0}


@pytest.mark.parametrize("mode, more, key", MODES)
def test_the_file_of_sqlite_is_not_changed_when_nothing_changed(project, mode, more, key):
    configure(project, None, mode, more, key)
    project.write("in/t.csv", "id,name,v,at\n" + "".join(f"{i},{n},{v},2024-01-01T00:00:00Z\n" for i, n, v in ROWS))
    project.sync("t")
    look = sqlite3.connect(project.folder / "warehouse.db")
    try:
        before = look.execute("PRAGMA data_version").fetchone()
        assert project.sync("t")["applied"] == 0
        assert look.execute("PRAGMA data_version").fetchone() == before
    finally:
        look.close()


# ---- writes that fail ----

def check_unharmed(project, server, before, wanted):
    """Table and state are as they were, nothing is left, and the next run does it."""
    assert (held(server), server.sql("SELECT * FROM _dray_state")) == before
    assert ours_left(server) == "0"
    assert server.value("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE usename = 'dray'") == "0"
    if wanted is not None:
        project.sync("t")
        assert held(server) == sorted(wanted)


def prepared(project, server, mode, key=True, connection=""):
    configure(project, server, mode, key=key, connection=connection)
    put(project, ROWS)
    project.sync("t")
    return held(server), server.sql("SELECT * FROM _dray_state")


ALL = [("append", False), ("upsert", True), ("mirror", True), ("replace", True), ("replace", False), ("history", True)]
MERGED = ALL[1:]
CHANGED = [(i, n, 2) for i, n, _ in ROWS]


@pytest.mark.parametrize("mode, key", ALL)
def test_an_error_in_the_middle_leaves_everything_as_it_was(project, server, mode, key):
    before = prepared(project, server, mode, key)
    server.sql("ALTER TABLE t ADD CONSTRAINT small CHECK (v < 10)")
    bad = CHANGED + [(900, "too large", 10)]
    put(project, bad)
    refused = project.dray("sync", "t")
    assert refused.code != 0 and "small" in refused.err, refused
    server.sql("ALTER TABLE t DROP CONSTRAINT small")
    check_unharmed(project, server, before, None)
    project.sync("t")
    assert held(server, "_dray_current" if mode == "history" else "v <> 1") == sorted(bad)


@pytest.mark.parametrize("mode, key", MERGED)
def test_a_lock_of_another_session_is_not_waited_for_without_end(project, server, mode, key):
    before = prepared(project, server, mode, key, ", lock_timeout_seconds: 1")
    put(project, CHANGED)
    process, ask = server.session()
    try:
        ask("BEGIN; SELECT 1 FROM t WHERE id = 7 FOR UPDATE;")
        refused = project.dray("sync", "t")
        assert refused.code == 1 and "busy" in refused.errors(), refused
        ask("ROLLBACK;")
    finally:
        process.kill()
        process.communicate()
    check_unharmed(project, server, before, None if mode == "history" else CHANGED)


def test_a_deadlock_is_no_harm(project, server):
    before = prepared(project, server, "upsert")
    server.sql("ALTER ROLE dray SET deadlock_timeout = '10s'")
    put(project, CHANGED)
    process, ask = server.session()
    try:
        ask("SET deadlock_timeout = '100s'; BEGIN; UPDATE t SET v = 9 WHERE id = 200;")
        run = project.start("sync", "t", "--json")
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'dray' AND wait_event_type = 'Lock'"
        harness.wait_until(lambda: server.value(waiting) == "1")
        ask("UPDATE t SET v = 9 WHERE id = 1;")  # waits for dray, which waits for us; the server ends dray's
        refused = project.finish(run)
        assert refused.code == 1 and "busy" in refused.errors(), refused
        assert "deadlock" in refused.out, refused
        ask("ROLLBACK;")
    finally:
        process.kill()
        process.communicate()
        server.sql("ALTER ROLE dray RESET deadlock_timeout")
    check_unharmed(project, server, before, CHANGED)


@pytest.mark.parametrize("mode, key", [("append", False), ("upsert", True), ("replace", True)])
def test_a_full_disk_of_the_server_is_no_harm(project, server, mode, key):
    """No file of the server can grow past its limit: as on a disk that is full."""
    before = prepared(project, server, mode, key)
    large = [(i, "y" * 900, 3) for i in range(1, 24000)]
    put(project, large)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    server.stop()
    resource.setrlimit(resource.RLIMIT_FSIZE, (17 << 20, hard))  # inherited; a segment of WAL has 16 MiB
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    refused = project.dray("sync", "t")
    server.stop()
    server.start()
    assert refused.code == 1 and "extend" in refused.err, refused
    check_unharmed(project, server, before, None)
    project.sync("t")
    assert held(server, "v = 3") == sorted(large)


# ---- names ----

@pytest.mark.parametrize("of_postgres", [False, True])
def test_names_that_a_table_cannot_keep_apart_are_refused(project, request, of_postgres):
    server = request.getfixturevalue("server") if of_postgres else None
    configure(project, server, "upsert")
    project.write("in/t.csv", "id,Name,name\n1,a,b\n")
    refused = project.dray("sync", "t").expect(4)
    assert "differ only by case" in refused.err and "'Name'" in refused.err
    if of_postgres:
        long = "ä" * 32  # 64 bytes: what the server would cut it to is not left to it
        project.write("in/t.csv", f"id,{long}\n1,a\n")
        refused = project.dray("sync", "t").expect(4)
        assert "64 bytes" in refused.err and "at most 63" in refused.err
        project.write("in/t.csv", f"id,{long[:31]}x\n1,a\n")
        project.sync("t")
        assert server.value(f'SELECT "{long[:31]}x" FROM t') == "a"


def test_since_when_must_be_a_time_that_is_written(project):
    configure(project, None, "history", ", valid_from: name")
    put(project, ROWS)
    assert "must be a timestamp or a date" in project.dray("sync", "t").err
    configure(project, None, "history", ", valid_from: nothing")
    assert "not among the columns" in project.dray("sync", "t").expect(4).err


def test_rows_of_a_history_without_a_key_are_told(project):
    configure(project, None, "history", ", valid_from: at")
    project.write("in/t.csv", "id,v,at\n1,a,2024-01-02\n,b,2024-01-03\n1,c,2024-01-01\n")
    assert project.sync("t", code=3)["rejected"] == 1
    assert [(row["key"], row["column"]) for row in project.rows("t")] == [("row 2", "id")]
    assert project.query("SELECT v, _dray_current FROM t ORDER BY _dray_valid_from") == [("c", 0), ("a", 1)]


# ---- plans ----

@pytest.mark.parametrize("of_postgres", [False, True])
def test_a_plan_on_the_first_day_says_what_it_cannot_know(project, request, of_postgres):
    server = request.getfixturevalue("server") if of_postgres else None
    configure(project, server, "mirror")
    text = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", text.replace("syncs:", "models:\n"
                  "  big: {warehouse: wh, sql: \"SELECT id, name FROM t WHERE v > 0\", key: id}\n"
                  "  wrong: {warehouse: wh, sql: \"SELECT nothing FROM t\", key: id}\n"
                  "syncs:\n"
                  "  a_big: {from: {model: big}, to: {connection: wh, table: copy}, mode: mirror}"))
    put(project, ROWS)
    text = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", text.replace("SELECT id, name FROM", "SELEC id, name FROM"))
    project.dray("plan", "a_big").expect(4)  # that no table mends
    project.write("dray.yaml", text)
    told = project.dray("plan", "--json").expect(0)
    plans = {record["sync"]: record for record in told.lines("plan")}
    assert "t (by sync t)" in plans["a_big"]["unknown"] and plans["a_big"]["error"] is None
    assert plans["t"]["unknown"] is None and plans["t"]["inserts"] == 200
    assert plans["t"]["ddl"][0].startswith("CREATE TABLE")
    assert plans["t"]["own_ddl"].startswith("CREATE TABLE") and "_dray_state" in plans["t"]["own_ddl"]
    assert project.dray("plan").expect(0).out.count("ddl, dray's own: CREATE TABLE") == 1
    assert "not known yet: t (by sync t) is not there yet" in project.dray("plan").expect(0).out
    project.dray("plan", "--detailed-exitcode").expect(2)
    project.dray("sync", "a_big").expect(4)  # to run it is another thing
    project.sync("t")
    plan, _ = project.plan("a_big")
    assert plan["unknown"] is None and plan["inserts"] == 200 and plan["ddl"][0].startswith("CREATE TABLE")
    assert '"copy"' in plan["ddl"][0] and "own_ddl" not in plan  # that is there by now
    project.sync("a_big")
    assert json.dumps(project.plan("a_big")[0]["ddl"]) == "[]"
    project.write("dray.yaml", (project.folder / "dray.yaml").read_text().replace("{model: big}", "{model: wrong}"))
    project.dray("plan", "a_big").expect(4)  # all tables are there: this query is wrong


def staging_of(plan):
    return plan["staging"]["statements"] if "staging" in plan else []


@pytest.mark.parametrize("mode, more, key", MODES)
def test_a_plan_shows_the_staging_that_the_run_makes(project, server, mode, more, key):
    """To the letter, and only where there is one."""
    configure(project, server, mode, more, key)

    def lines(rows):
        project.write("in/t.csv", "id,name,v,at\n" + "".join(f"{i},{n},{v},2024-01-0{v}T00:00:00Z\n" for i, n, v in rows))

    def run_as_planned():
        plan, start = project.plan("t")[0], (server.folder / "log").stat().st_size
        project.sync("t")
        with open(server.folder / "log", encoding="utf-8") as log:
            log.seek(start)
            said = [line.split("statement: ")[-1].split(": ")[-1].strip() for line in log if "_dray_staging_" in line or
                    "_dray_moments_" in line or "_dray_events_" in line]
        assert said == staging_of(plan), plan
        return plan

    lines(ROWS)
    server.sql("ALTER ROLE dray SET log_statement = 'ddl'; ALTER ROLE dray SET client_min_messages = 'error'")
    try:
        timed = "valid_from" in more
        assert bool(staging_of(run_as_planned())) == timed  # a first load goes straight in
        plan = project.plan("t")[0]
        if mode == "replace":  # that it will find nothing to do is not known before
            assert plan["staging"]["if_changed"] and ", if rows changed:" in project.dray("plan").expect(0).out
        else:
            assert not staging_of(run_as_planned())  # nothing changed
        lines([(i, n, 2) for i, n, _ in ROWS])
        plan = run_as_planned()
        if mode == "append":
            assert not staging_of(plan)
        else:
            kinds = [statement.split()[0] for statement in staging_of(plan)]
            assert kinds == ["DROP", "CREATE"] * (3 if timed else 1) + ["DROP"] * (3 if timed else 1)
            assert all("_dray_staging_" not in statement for statement in plan["ddl"])
            lines([(i, n, 3) for i, n, _ in ROWS])
            out = project.dray("plan").expect(0).out
            head = "  staging, dray's own, made for the run and dropped at its end"
            assert out.count(head) == 1 and out.count("    CREATE TEMPORARY TABLE") == (3 if timed else 1)
            assert out.index(head) > out.index("cost:")  # behind what matters
    finally:
        server.sql("ALTER ROLE dray RESET log_statement; ALTER ROLE dray RESET client_min_messages")
