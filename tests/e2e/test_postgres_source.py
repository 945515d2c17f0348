# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL as a source, against a real server: tables by a cursor with an overlap, and by logical replication: what is
there, then every change, while others write, runs are killed, slots are lost and the server goes away."""

import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest

import harness
import postgres_server

PASSWORD = harness.CANARY_BEARER
LOGICAL = ("wal_level=logical", "max_replication_slots=10", "max_wal_senders=10")


@pytest.fixture(scope="module")
def engine():
    why = postgres_server.missing()
    if why is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    made = postgres_server.Server(PASSWORD)
    made.stop()
    made.start(*LOGICAL)
    yield made
    made.close()


@pytest.fixture
def server(engine):
    drop_slots(engine)
    engine.fresh()
    engine.sql("ALTER ROLE dray REPLICATION", "postgres")
    return engine


def drop_slots(server):
    end = time.monotonic() + 600
    while slots(server, "postgres"):
        server.try_sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active; "
                       "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active", "postgres")
        assert time.monotonic() < end
        time.sleep(0.05)


def slots(server, database="work"):
    return [row[0] for row in server.sql("SELECT slot_name FROM pg_replication_slots", database)]


def publications(server):
    return [row[0] for row in server.sql("SELECT pubname FROM pg_publication")]


def owned(server, script):
    """As the role that owns what dray reads."""
    return server.sql("SET ROLE dray;" + script)


def configure(project, server, syncs, more="", user="dray"):
    project.environment["PG_PASSWORD"] = PASSWORD
    place = f"host: 127.0.0.1, port: {server.port}, database: work, user: {user}, password: !secret env:PG_PASSWORD"
    project.config(f"connections:\n  pg: {{plugin: postgres, {place}{more}}}\n  copy: {{plugin: postgres, {place}}}\n"
                   f"  wh: {{plugin: sqlite, path: warehouse.db}}\nsyncs:\n{syncs}")


ROUNDS = int(os.environ.get("DRAY_TEST_ROUNDS", "6"))  # of the test with writers and kills
FOLLOW = ", replication: true"


def follow(project, server, mode="mirror", stream="t", more="", to="{connection: wh}"):
    configure(project, server, f"  s: {{from: {{connection: pg, stream: {stream}}}, to: {to}, mode: {mode}{more}}}\n", FOLLOW)


# ---- by a cursor ----

def test_streams_are_tables_and_views_named_by_schema(project, server):
    owned(server, 'CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY, at timestamptz);'
                  'CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL);'
                  'CREATE TABLE "a.b" (x int); CREATE VIEW v AS SELECT 1 AS one')
    configure(project, server, "")
    catalog = project.dray("discover", "pg", "--json").expect(0).line("catalog")
    streams = {stream["name"]: stream for stream in catalog["catalog"]["source"]["streams"]}
    assert set(streams) == {"people", "shop.orders", '"a.b"', "v"}
    assert streams["people"]["primary_key"] == ["id"] and streams["people"]["modes"] == ["full"]
    assert not streams["people"]["changes"]
    configure(project, server, "", FOLLOW)
    catalog = project.dray("discover", "pg", "--json").expect(0).line("catalog")["catalog"]["source"]
    assert {s["name"]: s["changes"] for s in catalog["streams"]} == {"people": True, "shop.orders": True, '"a.b"': False, "v": False}


@pytest.mark.parametrize("stream", ["people", "shop.orders", '"a.b"', 'shop."x""y"', "v"])
def test_streams_of_any_name_are_read(project, server, stream):
    owned(server, "CREATE SCHEMA shop; CREATE VIEW v AS SELECT 7 AS id; CREATE TABLE people (id int PRIMARY KEY);"
                  'CREATE TABLE shop.orders (id int PRIMARY KEY); CREATE TABLE "a.b" (id int); CREATE TABLE shop."x""y" (id int);'
                  'INSERT INTO people VALUES (7); INSERT INTO shop.orders VALUES (7); INSERT INTO "a.b" VALUES (7);'
                  'INSERT INTO shop."x""y" VALUES (7)')
    quoted = "'" + stream.replace("'", "''") + "'"
    configure(project, server, f"  s: {{from: {{connection: pg, stream: {quoted}}}, to: {{connection: wh, table: c}}, key: id}}\n")
    assert project.sync("s")["rows_read"] == 1
    assert project.query("SELECT id FROM c") == [(7,)]


def cursor_sync(column, more=""):
    return f"  s: {{from: {{connection: pg, stream: t, cursor: {column}{more}}}, to: {{connection: wh}}, key: id}}\n"


def test_a_cursor_reads_what_is_new_and_an_overlap_before_it(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n int);"
                  "INSERT INTO t VALUES (1, '2024-05-01T10:00:00Z', 1), (2, '2024-05-01T10:05:00.123456Z', 2), (3, NULL, 3)")
    configure(project, server, cursor_sync("at"), ", overlap_seconds: 30")
    assert project.sync("s")["rows_read"] == 3
    # A transaction that took its time commits below what was seen, within the overlap; another one beyond it.
    owned(server, "INSERT INTO t VALUES (4, '2024-05-01T10:04:40Z', 4), (5, '2024-05-01T10:04:30Z', 5), "
                  "(6, '2024-05-01T11:00:00Z', 6)")
    result = project.dray("sync", "s", "--json").expect(0)
    run = result.line("run")
    assert run["rows_read"] == 4 and run["applied"] == 2  # 2, 3 (without a value), 4, 6
    assert "no value in the cursor" in result.err
    assert project.query("SELECT id FROM t ORDER BY id") == [(1,), (2,), (3,), (4,), (6,)]
    assert project.sync("s")["applied"] == 0


@pytest.mark.parametrize("kind,first,later", [
    ("bigint", "9007199254740993", "9007199254740994"), ("numeric(38,9)", "12345678901234567890.000000001",
                                                         "12345678901234567890.000000002"),
    ("timestamp", "'2024-05-01 10:00:00.000001'", "'2024-05-01 10:00:00.000002'"), ("date", "'2024-05-01'", "'2024-05-02'"),
    ("text", "'b''\\'", "'c'"), ("double precision", "0.1", "0.2"), ("uuid", "'00000000-0000-4000-8000-000000000001'",
                                                                    "'00000000-0000-4000-8000-000000000002'"),
    ("varchar(9)", "'Z'", "'a'"), ("smallint", "-5", "-4"), ("real", "0.1", "0.2")])
def test_cursors_of_each_type_go_on_exactly(project, server, kind, first, later):
    owned(server, f"CREATE TABLE t (id int PRIMARY KEY, c {kind}); INSERT INTO t VALUES (1, {first})")
    configure(project, server, cursor_sync("c", ", columns: [id]"), ", overlap_seconds: 0")
    assert project.sync("s")["rows_read"] == 1
    owned(server, f"INSERT INTO t VALUES (2, {later})")
    assert project.sync("s")["rows_read"] == 2
    owned(server, "DELETE FROM t WHERE id = 1")
    assert project.sync("s")["rows_read"] == 1  # what it stands at is read again, what is below is not
    assert project.query("SELECT * FROM t")[0][:1] == (1,)
    assert {row[1] for row in project.query("PRAGMA table_info(t)")} == {"id", "_dray_synced_at"}


def test_cursors_that_have_no_order_and_states_of_others_are_refused(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, n numeric, j json, at timestamptz DEFAULT now(), other int DEFAULT 1);"
                  "INSERT INTO t VALUES (1)")
    for column in ("n", "j"):
        configure(project, server, cursor_sync(column))
        assert "schema_column" in project.dray("sync", "s", "--json").expect(4).errors()
    configure(project, server, cursor_sync("at"))
    project.sync("s")
    configure(project, server, cursor_sync("other"))
    assert "state_checkpoint" in project.dray("sync", "s", "--json").expect(1).errors()


# ---- by the log ----

TABLE = ("CREATE TABLE t (id int PRIMARY KEY, name text, amount numeric(12,2), big text, at timestamptz, tags text[],"
         " doc jsonb, free numeric, span interval, ip inet, mood mood, bits bytea);")
MOOD = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');"


def differences(server, columns, source="public.t", copy="copy.t"):
    """Rows that are in one of the two tables only, by SQL that knows nothing of dray."""
    names = ", ".join(columns)
    return server.rows(f"(SELECT 'source', {names} FROM {source} EXCEPT ALL SELECT 'source', {names} FROM {copy}) UNION ALL "
                       f"(SELECT 'copy', {names} FROM {copy} EXCEPT ALL SELECT 'copy', {names} FROM {source}) LIMIT 5")


def test_values_of_the_log_equal_those_of_a_query(project, server):
    owned(server, MOOD + TABLE)
    row = ("'Zoë \"q\"', 12.50, repeat('x', 10), '2024-05-01 10:00:00.123456+02', '{a,\"b c\",NULL}', '{\"n\": 12345678901234567890}',"
           " 1234567890.000100, '1 year 2 days 03:04:05.6', '10.0.0.0/8', 'happy', '\\x00ff'")
    owned(server, f"INSERT INTO t VALUES (1, {row}); INSERT INTO t VALUES (2)")
    follow(project, server)
    assert project.sync("s")["applied"] == 2
    owned(server, f"INSERT INTO t VALUES (3, {row}); INSERT INTO t VALUES (4); UPDATE t SET amount = NULL WHERE id = 1; UPDATE t SET amount = 12.50 WHERE id = 1")
    assert project.sync("s")["rows_read"] == 3  # of a row that changes twice the last version counts
    columns = "name, amount, big, at, tags, doc, free, span, ip, mood, bits"
    rows = project.query(f"SELECT {columns} FROM t ORDER BY id")
    assert rows[0] == rows[2] and rows[1] == rows[3]
    assert rows[0][4] == '["a","b c",null]' and rows[0][8] == "10.0.0.0/8" and rows[0][6] == "1234567890.000100"


@pytest.mark.parametrize("gone", ["DROP TABLE t", "DELETE FROM t"])
@pytest.mark.parametrize("mode", ["mirror", "upsert", "history"])
def test_a_copy_that_is_gone_is_made_of_what_is_there(project, server, mode, gone):
    """What the log brings since the checkpoint would be all there ever is of it."""
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 9) i")
    follow(project, server, mode)
    project.sync("s")
    project.execute(gone)
    owned(server, "INSERT INTO t VALUES (10, 'ten'); DELETE FROM t WHERE id = 2; UPDATE t SET name = 'one' WHERE id = 1")
    project.sync("s")
    rows = [(1, "one")] + [(i, f"n{i}") for i in range(3, 10)] + [(10, "ten")]
    assert project.query("SELECT id, name FROM t ORDER BY id") == rows
    owned(server, "INSERT INTO t VALUES (11, 'eleven')")
    assert project.sync("s")["rows_read"] == 1
    assert project.query("SELECT id, name FROM t ORDER BY id") == rows + [(11, "eleven")]
    assert len(slots(server)) == 1
    project.dray("state", "verify", "s").expect(0)


def test_inserts_updates_deletes_and_key_changes(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 9) i")
    follow(project, server)
    assert project.sync("s")["inserts"] == 9
    assert len(slots(server)) == 1 and publications(server) == slots(server)
    owned(server, "INSERT INTO t VALUES (10, 'ten'); UPDATE t SET name = 'one' WHERE id = 1; DELETE FROM t WHERE id = 2;"
                  "UPDATE t SET id = 33 WHERE id = 3; DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (4, 'again');"
                  "INSERT INTO t VALUES (50, 'x'); DELETE FROM t WHERE id = 50; UPDATE t SET name = 'a' WHERE id = 5;"
                  "UPDATE t SET name = 'b' WHERE id = 5")
    run = project.sync("s")
    assert (run["inserts"], run["updates"], run["deletes"]) == (2, 3, 2)
    assert project.query("SELECT id, name FROM t ORDER BY id") == [
        (1, "one"), (4, "again"), (5, "b"), (6, "n6"), (7, "n7"), (8, "n8"), (9, "n9"), (10, "ten"), (33, "n3")]
    read = []
    server.assert_idle(lambda: read.append(project.sync("s")["rows_read"]))
    assert set(read) == {0}


def test_large_values_that_were_not_touched_stay(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, n int, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;"
                  "INSERT INTO t SELECT i, 0, repeat(chr(64 + i), 9000) FROM generate_series(1, 5) i")
    follow(project, server)
    project.sync("s")
    owned(server, "UPDATE t SET n = 1 WHERE id = 1; UPDATE t SET n = 2 WHERE id = 1;"             # absent
                  "UPDATE t SET big = repeat('z', 9000) WHERE id = 2; UPDATE t SET n = 2 WHERE id = 2;"  # changed, then absent
                  "INSERT INTO t VALUES (6, 6, repeat('w', 9000)); UPDATE t SET n = 7 WHERE id = 6;"     # new, then absent
                  "UPDATE t SET id = 30 WHERE id = 3; UPDATE t SET big = NULL WHERE id = 4")              # under another key
    project.sync("s")
    assert project.query("SELECT id, n, substr(big, 1, 1), length(big) FROM t ORDER BY id") == [
        (1, 2, "A", 9000), (2, 2, "z", 9000), (4, 0, None, None), (5, 0, "E", 9000), (6, 7, "w", 9000), (30, 0, "C", 9000)]


@pytest.mark.parametrize("mode", ["upsert", "history"])
def test_other_modes_follow_too(project, server, mode):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    follow(project, server, mode)
    project.sync("s")
    owned(server, "UPDATE t SET name = 'c' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, 'd')")
    project.sync("s")
    where = "WHERE _dray_current" if mode == "history" else ""
    assert project.query(f"SELECT id, name FROM t {where} ORDER BY id") == [(1, "c"), (3, "d")]


def test_append_cannot_take_a_log(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY)")
    follow(project, server, "append")
    result = project.dray("sync", "s", "--json").expect(4)
    assert "config_value" in result.errors() and not slots(server)


def test_plans_and_checks_leave_no_trace(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a')")
    follow(project, server)
    plan, _ = project.plan("s")
    assert plan["inserts"] == 1 and not slots(server) and not publications(server)
    project.dray("check").expect(0)
    assert not slots(server) and not publications(server)
    project.sync("s")
    confirmed = server.value("SELECT confirmed_flush_lsn FROM pg_replication_slots")
    owned(server, "DELETE FROM t; INSERT INTO t VALUES (2, 'b')")
    plan, _ = project.plan("s")
    assert (plan["inserts"], plan["deletes"]) == (1, 1)
    assert server.value("SELECT confirmed_flush_lsn FROM pg_replication_slots") == confirmed
    assert project.sync("s")["deletes"] == 1


def test_only_a_durable_checkpoint_is_confirmed(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a')")
    follow(project, server)
    project.sync("s")
    begun = server.value("SELECT confirmed_flush_lsn FROM pg_replication_slots")
    owned(server, "INSERT INTO t VALUES (2, 'b')")
    project.dray("sync", "s", env={"DRAY_FAULT": "kill:sync.merged:1"})
    assert server.value("SELECT confirmed_flush_lsn FROM pg_replication_slots") == begun
    assert project.sync("s")["inserts"] == 1
    assert server.value("SELECT confirmed_flush_lsn FROM pg_replication_slots") == begun  # the next run says it
    assert project.sync("s")["rows_read"] == 0
    assert server.value(f"SELECT confirmed_flush_lsn > '{begun}' FROM pg_replication_slots") == "t"


# ---- dropping ----

def test_drop_leaves_nothing_behind_and_can_be_repeated(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    follow(project, server)
    project.dray("sync", "s", "--drop").expect(4)  # without --yes
    project.sync("s")
    slot = slots(server)[0]
    record = project.dray("sync", "s", "--drop", "--yes", "--json").expect(0).line("drop")
    assert record["removed"] == [{"kind": "replication slot", "name": slot}, {"kind": "publication", "name": slot}]
    assert not slots(server) and not publications(server)
    assert "nothing of it was found" in project.dray("sync", "s", "--drop", "--yes").expect(0).out
    assert project.query("SELECT id FROM t ORDER BY id") == [(1,), (2,)]  # the copy stays
    owned(server, "DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, 'c')")
    assert project.sync("s")["deletes"] == 1  # begins anew, and sees what is gone
    assert project.query("SELECT id FROM t ORDER BY id") == [(2,), (3,)]
    owned(server, "DROP TABLE t")
    project.dray("sync", "s", "--drop", "--yes").expect(0)
    assert not slots(server) and not publications(server)


@pytest.mark.parametrize("point", ["sync.unread"])
def test_a_drop_that_was_killed_is_repeated(project, server, point):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    follow(project, server)
    project.sync("s")
    project.dray("sync", "s", "--drop", "--yes", env={"DRAY_FAULT": f"kill:{point}:1"})
    assert len(slots(server)) == 1
    assert project.sync("s")["rows_read"] == 2  # begins anew, in the place of the old slot
    assert len(slots(server)) == 1
    project.dray("sync", "s", "--drop", "--yes", env={"DRAY_FAULT": f"kill:{point}:1"})
    project.dray("sync", "s", "--drop", "--yes").expect(0)
    assert not slots(server) and not publications(server)


# ---- what breaks ----

def broken(project, words, code=1, name="state_checkpoint"):
    result = project.dray("sync", "s", "--json").expect(code)
    assert name in result.errors(), str(result)
    assert words in result.out + result.err, str(result)


def anew(project, server, expected):
    """The way out that the errors name."""
    project.sync("s", "--full-refresh")
    assert project.query("SELECT id FROM t ORDER BY id") == [(i,) for i in expected]
    owned(server, "INSERT INTO t (id) VALUES (1000)")
    project.sync("s")
    assert project.query("SELECT id FROM t ORDER BY id")[-1] == (1000,)
    assert len(slots(server)) == 1


def test_a_lost_slot_is_noticed(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    follow(project, server)
    project.sync("s")
    server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    owned(server, "DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, 'c')")
    broken(project, "is gone")
    anew(project, server, [2, 3])


def test_a_slot_that_somebody_else_moved_is_noticed(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    follow(project, server)
    project.sync("s")
    owned(server, "DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, 'c')")
    server.sql("SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) FROM pg_replication_slots")
    broken(project, "beyond the checkpoint")
    anew(project, server, [2, 3])


def test_a_dropped_publication_is_noticed(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a')")
    follow(project, server)
    project.sync("s")
    name = publications(server)[0]
    owned(server, f'DROP PUBLICATION "{name}"; INSERT INTO t VALUES (2, \'b\')')
    broken(project, "publication")
    owned(server, f'CREATE PUBLICATION "{name}" FOR TABLE t')
    broken(project, "publication")  # what was written meanwhile is not in the log
    anew(project, server, [1, 2])


def test_a_truncated_table_is_noticed(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a')")
    follow(project, server)
    project.sync("s")
    owned(server, "TRUNCATE t; INSERT INTO t VALUES (2, 'b')")
    broken(project, "TRUNCATE")
    anew(project, server, [2])


def test_a_table_made_anew_is_noticed(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a')")
    follow(project, server)
    project.sync("s")
    owned(server, "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (2, 'b')")
    broken(project, "another table")
    anew(project, server, [2])


def test_columns_are_added_and_dropped_while_it_is_followed(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text, old int DEFAULT 5); INSERT INTO t VALUES (1, 'a')")
    follow(project, server)
    project.sync("s")
    owned(server, "INSERT INTO t VALUES (2, 'b'); ALTER TABLE t ADD more text, DROP old; INSERT INTO t VALUES (3, 'c', 'more')")
    project.sync("s")
    project.sync("s")
    assert project.query("SELECT id, name, old, more FROM t ORDER BY id") == [
        (1, "a", 5, None), (2, "b", None, None), (3, "c", None, "more")]  # what was gone when it was read is not there
    owned(server, "ALTER TABLE t ADD given int DEFAULT 7")
    broken(project, "default")
    project.sync("s", "--full-refresh")
    assert project.query("SELECT given FROM t") == [(7,)] * 3
    owned(server, "ALTER TABLE t RENAME name TO title")
    broken(project, "another name")
    project.sync("s", "--full-refresh")
    owned(server, "ALTER TABLE t ALTER given TYPE text USING 'g' || given")
    broken(project, "another type")


def test_a_table_without_identity_is_refused_before_anything_is_made(project, server):
    owned(server, "CREATE TABLE t (id int NOT NULL UNIQUE, name text); INSERT INTO t VALUES (1, 'a')")
    follow(project, server, more=", key: id")
    broken(project, "REPLICA IDENTITY FULL", 4, "config_value")
    assert not publications(server) and not slots(server)
    owned(server, "ALTER TABLE t REPLICA IDENTITY FULL")
    project.sync("s")
    owned(server, "UPDATE t SET name = 'b'; INSERT INTO t VALUES (2, 'x'), (3, 'y'); UPDATE t SET id = 20 WHERE id = 2;"
                  "DELETE FROM t WHERE id = 3")
    project.sync("s")
    assert project.query("SELECT id, name FROM t ORDER BY id") == [(1, "b"), (20, "x")]


def test_missing_rights_are_named(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    follow(project, server)
    server.sql("ALTER ROLE dray NOREPLICATION")
    broken(project, 'ALTER ROLE \\"dray\\" REPLICATION', 5, "auth_forbidden")
    check = {line["name"]: line for line in project.dray("check", "--json").lines("check")}
    assert not check["log"]["ok"] and "REPLICATION" in check["log"]["fix"]
    server.sql("ALTER ROLE dray REPLICATION; ALTER TABLE t OWNER TO postgres; GRANT SELECT ON t TO dray")
    broken(project, "CREATE PUBLICATION", 5, "auth_forbidden")
    assert not slots(server)
    server.sql("CREATE PUBLICATION dray FOR TABLE t")
    configure(project, server, "  s: {from: {connection: pg, stream: t}, to: {connection: wh}, mode: mirror}\n",
              FOLLOW + ", publication: dray")
    project.sync("s")
    server.sql("INSERT INTO t VALUES (2)")
    assert project.sync("s")["inserts"] == 1
    project.dray("sync", "s", "--drop", "--yes").expect(0)
    assert publications(server) == ["dray"] and not slots(server)  # what dray did not make it does not remove


def test_a_server_that_does_not_log_enough_is_named(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY)")
    follow(project, server)
    server.stop()
    server.start()
    try:
        broken(project, "wal_level", 4, "config_value")
    finally:
        server.stop()
        server.start(*LOGICAL)


def test_a_server_that_crashes_and_comes_back_is_followed_on(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a')")
    follow(project, server)
    project.sync("s")
    owned(server, "INSERT INTO t VALUES (2, 'b')")
    project.sync("s")
    server.sql("CHECKPOINT")
    server.stop(signal.SIGQUIT)
    result = project.dray("sync", "s", "--json").expect(1)
    assert set(result.errors()) & {"net_connect", "net_closed"}
    server.start(*LOGICAL)
    owned(server, "INSERT INTO t VALUES (3, 'c'); DELETE FROM t WHERE id = 1")
    project.sync("s")
    assert project.query("SELECT id FROM t ORDER BY id") == [(2,), (3,)]


def test_check_says_what_slots_hold_back(project, server):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text)")
    follow(project, server)
    project.sync("s")
    check = {line["name"]: line for line in project.dray("check", "--json").expect(0).lines("check")}
    assert check["log"]["ok"] and check["slots"]["ok"] and slots(server)[0] in check["slots"]["text"]


@pytest.mark.parametrize("touched,news", [("t", "1"), ("other", "0")])
def test_a_wait_ends_with_the_first_change_of_the_table(server, touched, news):
    owned(server, "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    settings = {"host": str(server.folder), "port": server.port, "database": "work", "user": "dray", "replication": True}
    program = os.path.join(os.environ["DRAY_BUILD"], "plugins", "postgres", "tests", "plugin_postgres_bench")
    waiting = subprocess.Popen([program, json.dumps(settings), "wait", "t", "600000" if news == "1" else "1500"],
                               stdout=subprocess.PIPE, text=True)
    assert waiting.stdout.readline() == "ready\n"
    owned(server, f"INSERT INTO {touched} VALUES (2)")
    said, took = waiting.communicate(timeout=900)[0].split()
    assert said == news and (int(took) < 600000 if news == "1" else int(took) >= 1400)
    assert waiting.returncode == 0 and not slots(server)


# ---- while others write ----

class Writers:
    """Random inserts, updates, deletes, key changes, large values and large transactions, until it is stopped."""

    def __init__(self, server, seed):
        self.random, self.failure, self.stopped = random.Random(seed), None, threading.Event()
        self.process, self.ask = server.session()
        self.thread = threading.Thread(target=self.run)

    def statement(self):
        key, other = self.random.randint(1, 60), self.random.randint(1, 60)
        return self.random.choice([
            f"INSERT INTO t (id, n, name) VALUES ({key}, {other}, 'i{other}') ON CONFLICT DO NOTHING",
            f"INSERT INTO t (id, n, big, free) VALUES ({key}, {other}, repeat('{other} ', 3000), {other}.50) ON CONFLICT DO NOTHING",
            f"UPDATE t SET n = n + 1, tags = '{{{key},x}}' WHERE id = {key}",
            f"UPDATE t SET n = n + 1 WHERE id BETWEEN {key} AND {key + 5}",
            f"UPDATE t SET big = repeat('{key} ', {self.random.choice([1, 3000])}) WHERE id = {other}",
            f"UPDATE t SET name = NULL WHERE id = {key}",
            f"DELETE FROM t WHERE id = {key}",
            f"UPDATE t SET id = {key} WHERE id = {other} AND NOT EXISTS (SELECT 1 FROM t WHERE id = {key})",
        ])

    def run(self):
        try:
            while not self.stopped.is_set():
                count = self.random.choice([1, 1, 1, 4, 12])
                lines = [self.statement() for _ in range(count)]
                if self.random.random() < 0.03:
                    first = self.random.choice([1000, 100000])
                    lines.append(f"INSERT INTO t (id, n) SELECT i, 0 FROM generate_series({first}, {first + 3000}) i ON CONFLICT DO NOTHING")
                if self.random.random() < 0.03:
                    lines.append("UPDATE t SET n = n + 1 WHERE id >= 1000")
                if self.random.random() < 0.02:
                    lines.append("DELETE FROM t WHERE id >= 1000")
                end = "ROLLBACK" if self.random.random() < 0.1 else "COMMIT"
                self.ask("BEGIN; " + "; ".join(lines) + f"; {end};")
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        self.process.stdin.close()
        self.process.wait(timeout=600)


@pytest.mark.parametrize("target,rounds", [("wh", ROUNDS), ("copy", ROUNDS)])
def test_the_copy_equals_the_table_while_others_write_and_runs_are_killed(project, server, target, rounds):
    columns = ["id", "n", "name", "big", "tags", "free"]
    owned(server, "CREATE SCHEMA copy; CREATE TABLE t (id int PRIMARY KEY, n int, name text, big text, tags text[], free numeric);"
                  "ALTER TABLE t ALTER big SET STORAGE EXTERNAL;"
                  "INSERT INTO t SELECT i, 0, 'n' || i, repeat(i || ' ', 3000) FROM generate_series(1, 40) i")
    follow(project, server, to="{connection: wh}" if target == "wh" else "{connection: copy, schema: copy}",
           more=", guard: off")
    chance = random.Random(20240501)
    killed = 0
    with Writers(server, 7) as writers:
        for _ in range(rounds):
            process = project.start("sync", "s", "--json")
            if chance.random() < 0.5:
                time.sleep(chance.random() * 1.5)
                project.kill(process)
                killed += 1
                continue
            project.finish(process, ("sync", "s")).expect(0)
    assert writers.failure is None and killed > 0
    project.dray("sync", "s", "--json").expect(0)
    wanted = server.rows("SELECT id, n, name, big, tags::text AS tags, free::text AS free FROM t ORDER BY id")
    assert len(wanted) > 10
    for row in wanted:
        row[4] = row[4] and "[" + ",".join(f'"{word}"' for word in row[4].strip("{}").split(",")) + "]"
    if target == "wh":
        held = [list(row) for row in project.query(f"SELECT {', '.join(columns)} FROM t ORDER BY id")]
    else:
        held = server.rows("SELECT id, n, name, big, tags::text AS tags, free FROM copy.t ORDER BY id")
    assert held == wanted
    assert len(slots(server)) == 1
    project.dray("sync", "s", "--drop", "--yes").expect(0)
    assert not slots(server) and not publications(server)
