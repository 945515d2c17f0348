# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""MariaDB as a source, against a real server: tables and views in full and by a cursor with an overlap: late commits, rows
without a value, tables that change between runs, names that try to break out, a run that is ended in its middle."""

import os
import signal

import pytest

import harness
import mysql_server

PASSWORD = harness.CANARY_BEARER


@pytest.fixture(scope="module")
def engine():
    why = mysql_server.missing()
    if why is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    made = mysql_server.Server(PASSWORD)
    yield made
    made.close()


@pytest.fixture
def server(engine):
    engine.fresh()
    return engine


def configure(project, server, syncs, more="", user="dray"):
    project.environment["MY_PASSWORD"] = PASSWORD
    project.config(f"connections:\n  my: {{plugin: mysql, host: 127.0.0.1, port: {server.port}, database: work, user: {user}, "
                   f"password: !secret env:MY_PASSWORD, sslmode: disable{more}}}\n"
                   f"  wh: {{plugin: sqlite, path: warehouse.db}}\nsyncs:\n{syncs}")


def full_sync(mode="mirror", more=""):
    return f"  s: {{from: {{connection: my, stream: t}}, to: {{connection: wh}}, mode: {mode}, key: id{more}}}\n"


def cursor_sync(column, more=""):
    return f"  s: {{from: {{connection: my, stream: t, cursor: {column}{more}}}, to: {{connection: wh}}, key: id}}\n"


def ids(project):
    return [row[0] for row in project.query("SELECT id FROM t ORDER BY id")]


# ---- what there is ----

def test_streams_are_tables_and_views_named_by_database(project, server):
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id int PRIMARY KEY, at timestamp(6) NULL);"
               "CREATE TABLE people (region int, id int, name text NOT NULL, PRIMARY KEY (id, region));"
               "CREATE TABLE `a.b` (x int); CREATE VIEW v AS SELECT 1 AS one")
    configure(project, server, "")
    catalog = project.dray("discover", "my", "--json").expect(0).line("catalog")
    streams = {stream["name"]: stream for stream in catalog["catalog"]["source"]["streams"]}
    assert set(streams) == {"people", "shop.orders", '"a.b"', "v"}
    assert streams["people"]["primary_key"] == ["id", "region"] and streams["v"]["primary_key"] == []
    assert streams["people"]["modes"] == ["full"] and streams["v"]["description"] == "view"
    assert streams["shop.orders"]["columns"] == [{"name": "id", "type": "int64", "nullable": False},
                                                 {"name": "at", "type": "timestamp", "nullable": True}]


@pytest.mark.parametrize("stream", ["people", "shop.orders", '"a.b"', 'shop."x""y"', 'sh`op.t', "v", "`;-- '"])
def test_streams_of_any_name_are_read(project, server, stream):
    server.sql("CREATE DATABASE shop; CREATE DATABASE `sh``op`; CREATE VIEW v AS SELECT 7 AS id; CREATE TABLE people (id int PRIMARY KEY);"
               "CREATE TABLE shop.orders (id int PRIMARY KEY); CREATE TABLE `a.b` (id int); CREATE TABLE shop.`x\"y` (id int);"
               "CREATE TABLE `sh``op`.t (id int); CREATE TABLE ```;-- '` (id int);"
               "INSERT INTO people VALUES (7); INSERT INTO shop.orders VALUES (7); INSERT INTO `a.b` VALUES (7);"
               "INSERT INTO shop.`x\"y` VALUES (7); INSERT INTO `sh``op`.t VALUES (7); INSERT INTO ```;-- '` VALUES (7)")
    quoted = "'" + stream.replace("'", "''") + "'"
    configure(project, server, f"  s: {{from: {{connection: my, stream: {quoted}}}, to: {{connection: wh, table: c}}, key: id}}\n")
    assert project.sync("s")["rows_read"] == 1
    assert project.query("SELECT id FROM c") == [(7,)]


@pytest.mark.parametrize("stream", ['"open', "a.b.c", '"a"b', "."])
def test_what_is_no_name_is_refused(project, server, stream):
    configure(project, server, f"  s: {{from: {{connection: my, stream: '{stream}'}}, to: {{connection: wh, table: c}}, key: id}}\n")
    assert "schema_stream" in project.dray("sync", "s", "--json").expect(4).errors()


def test_check_and_reading_need_select_alone(project, server):
    server.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);"
               f"CREATE USER IF NOT EXISTS reader@'%' IDENTIFIED BY {mysql_server.text(PASSWORD)}; GRANT SELECT ON work.* TO reader@'%'")
    configure(project, server, full_sync(), user="reader")
    project.dray("check").expect(0)
    assert project.sync("s")["rows_read"] == 1
    assert server.sql("SHOW TABLES") == [["t"]]


# ---- in full ----

def test_a_mirror_of_full_reads_deletes_what_is_gone(project, server):
    server.sql("CREATE TABLE t (id int PRIMARY KEY, name text, _dray_synced_at datetime); INSERT INTO t (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    configure(project, server, full_sync())
    assert project.sync("s")["inserts"] == 3
    assert project.sync("s")["applied"] == 0
    server.sql("DELETE FROM t WHERE id = 2; UPDATE t SET name = 'z' WHERE id = 3; INSERT INTO t (id) VALUES (4)")
    run = project.sync("s")
    assert (run["inserts"], run["updates"], run["deletes"]) == (1, 1, 1)
    assert project.query("SELECT id, name FROM t ORDER BY id") == [(1, "a"), (3, "z"), (4, None)]


def test_a_view_without_a_key_is_read(project, server):
    server.sql("CREATE TABLE base (g int, n bigint unsigned); INSERT INTO base VALUES (1, 18446744073709551615), (1, 0), (2, 3);"
               "CREATE VIEW t AS SELECT g, COUNT(*) AS c, MAX(n) AS n FROM base GROUP BY g")
    configure(project, server, "  s: {from: {connection: my, stream: t}, to: {connection: wh}, mode: replace}\n")
    assert project.sync("s")["rows_read"] == 2
    assert project.query("SELECT g, c, n FROM t ORDER BY g") == [(1, 2, "18446744073709551615"), (2, 1, "3")]


# ---- by a cursor ----

def test_a_cursor_reads_what_is_new_and_an_overlap_before_it(project, server):
    server.sql("SET time_zone = '+00:00'; CREATE TABLE t (id int PRIMARY KEY, at timestamp(6) NULL, n int);"
               "INSERT INTO t VALUES (1, '2024-05-01 10:00:00', 1), (2, '2024-05-01 10:05:00.123456', 2), (3, NULL, 3)")
    configure(project, server, cursor_sync("at"), ", overlap_seconds: 30")
    assert project.sync("s")["rows_read"] == 3
    # A transaction that took its time commits below what was seen, within the overlap; another one beyond it.
    server.sql("SET time_zone = '+00:00'; INSERT INTO t VALUES (4, '2024-05-01 10:04:30.123456', 4), "
               "(5, '2024-05-01 10:04:30.123455', 5), (6, '2024-05-01 11:00:00', 6)")
    result = project.dray("sync", "s", "--json").expect(0)
    run = result.line("run")
    assert run["rows_read"] == 4 and run["applied"] == 2  # 2, 3 (without a value), 4, 6
    assert "no value in the cursor" in result.err
    assert ids(project) == [1, 2, 3, 4, 6]
    assert project.sync("s")["applied"] == 0
    project.sync("s", "--full-refresh")
    assert ids(project) == [1, 2, 3, 4, 5, 6]


def test_a_commit_after_a_read_that_began_before_it_is_found(project, server):
    server.sql("CREATE TABLE t (id int PRIMARY KEY, at datetime(6)); INSERT INTO t VALUES (1, '2024-05-01 10:00:00')")
    configure(project, server, cursor_sync("at"))
    process, ask = server.session()
    try:
        ask("BEGIN; INSERT INTO t VALUES (2, '2024-05-01 10:00:01');")
        server.sql("INSERT INTO t VALUES (3, '2024-05-01 10:00:50')")
        assert project.sync("s")["rows_read"] == 2
        ask("COMMIT;")
    finally:
        process.stdin.close()
        process.wait(timeout=600)
        process.stdout.close()
    assert project.sync("s")["applied"] == 1
    assert ids(project) == [1, 2, 3]


@pytest.mark.parametrize("kind,first,later", [
    ("bigint", "9007199254740993", "9007199254740994"), ("bigint unsigned", "18446744073709551613", "18446744073709551614"),
    ("bigint", "-9223372036854775808", "-9223372036854775807"), ("smallint", "-5", "-4"), ("year", "2024", "2025"),
    ("decimal(38,9)", "12345678901234567890.000000001", "12345678901234567890.000000002"),
    ("timestamp(6)", "'2024-05-01 10:00:00.000001'", "'2024-05-01 10:00:00.000002'"), ("datetime", "'2024-05-01 10:00:00'", "'2024-05-01 10:00:01'"),
    ("date", "'2024-05-01'", "'2024-05-02'"), ("double", "0.1", "0.2"), ("float", "0.1", "0.2"),
    ("text", "'b''\\\\'", "'c'"), ("varchar(9)", "'Z'", "'a'"), ("varchar(9) CHARACTER SET latin1", "'\u00e4'", "'\u00fc'"),
    ("varchar(9)", "'a'", "'a\\t'"), ("char(9)", "'a'", "'b'"),
    ("uuid", "'00000000-0000-4000-8000-000000000001'", "'00000000-0000-4000-8000-000000000002'")])
def test_cursors_of_each_type_go_on_exactly(project, server, kind, first, later):
    server.sql(f"CREATE TABLE t (id int PRIMARY KEY, c {kind}); INSERT INTO t VALUES (1, {first})")
    configure(project, server, cursor_sync("c", ", columns: [id]"), ", overlap_seconds: 0")
    assert project.sync("s")["rows_read"] == 1
    server.sql(f"INSERT INTO t VALUES (2, {later})")
    assert project.sync("s")["rows_read"] == 2
    server.sql("DELETE FROM t WHERE id = 1")
    assert project.sync("s")["rows_read"] == 1  # what it stands at is read again, what is below is not
    server.sql(f"INSERT INTO t VALUES (3, {first})")
    assert project.sync("s")["rows_read"] == 1
    assert ids(project) == [1, 2]
    assert {row[1] for row in project.query("PRAGMA table_info(t)")} == {"id", "_dray_synced_at"}


@pytest.mark.parametrize("kind,overlap,first,later,found", [
    ("bigint unsigned", "overlap: 10", "3", "0", True),  # the place lies below the least value of the type
    ("bigint unsigned", "overlap: 10", "18446744073709551615", "18446744073709551605", True),
    ("bigint unsigned", "overlap: 10", "18446744073709551615", "18446744073709551604", False),
    ("float", "overlap: 1", "16777216", "16777215", True), ("decimal(5,2)", "overlap: 1", "1.50", "0.50", True),
    ("date", "overlap_seconds: 86400", "'2024-03-01'", "'2024-02-29'", True),
    ("date", "overlap_seconds: 86400", "'2024-03-01'", "'2024-02-28'", False),
    ("timestamp", "overlap_seconds: 604800", "'1970-01-02 00:00:00'", "'1970-01-01 00:00:01'", True),
    ("datetime(6)", "overlap_seconds: 604800", "'0001-01-02 00:00:00'", "'0001-01-01 00:00:01'", True)])
def test_overlaps_reach_as_far_as_they_say(project, server, kind, overlap, first, later, found):
    server.sql(f"SET time_zone = '+00:00'; CREATE TABLE t (id int PRIMARY KEY, c {kind}, INDEX (c)); INSERT INTO t VALUES (1, {first})")
    configure(project, server, cursor_sync("c"), f", {overlap}")
    project.sync("s")
    server.sql(f"SET time_zone = '+00:00'; INSERT INTO t VALUES (2, {later})")
    assert project.sync("s")["applied"] == found
    assert ids(project) == [1, 2][:1 + found]


@pytest.mark.parametrize("kind", ["date", "datetime(6)", "timestamp"])
@pytest.mark.parametrize("null", ["", " NOT NULL"])
def test_dates_that_are_none_are_read_each_time(project, server, kind, null):
    server.sql(f"SET sql_mode = ''; CREATE TABLE t (id int PRIMARY KEY, c {kind}{null} DEFAULT '2024-01-01', INDEX (c)); INSERT INTO t VALUES (1, '2024-05-01')")
    configure(project, server, cursor_sync("c"), ", zero_dates: 'null'")
    assert project.sync("s")["rows_read"] == 1
    server.sql("SET sql_mode = ''; INSERT INTO t VALUES (2, '0000-00-00')")
    for inserts in (1, 0):
        result = project.dray("sync", "s", "--json").expect(0)
        assert result.line("run")["rows_read"] == 2 and result.line("run")["applied"] == inserts
        assert "1 rows have no value in the cursor" in result.err
    assert project.query("SELECT id, c IS NULL FROM t ORDER BY id") == [(1, 0), (2, 1)]


def test_a_row_that_is_spoilt_is_not_counted_as_seen(project, server):
    server.sql("CREATE TABLE t (id int PRIMARY KEY, n bigint, b tinyint(1)); INSERT INTO t VALUES (1, 1, 1), (2, 9, 7)")
    configure(project, server, cursor_sync("n"))
    project.dray("sync", "s", "--json")
    assert ids(project) == [1]
    server.sql("UPDATE t SET b = 0 WHERE id = 2; INSERT INTO t VALUES (3, 5, 1)")
    project.sync("s")
    assert ids(project) == [1, 2, 3]


# ---- what changes between runs, and what cannot be ----

def test_a_table_that_is_gone_and_one_that_comes_back(project, server):
    server.sql("CREATE TABLE t (id int PRIMARY KEY, n bigint); INSERT INTO t VALUES (1, 10)")
    configure(project, server, cursor_sync("n"))
    project.sync("s")
    server.sql("DROP TABLE t")
    assert "schema_stream" in project.dray("sync", "s", "--json").expect(4).errors()
    assert ids(project) == [1]
    server.sql("CREATE TABLE t (id int PRIMARY KEY, n bigint); INSERT INTO t VALUES (2, 11)")
    assert project.sync("s")["applied"] == 1


def test_states_of_other_columns_and_types_are_refused(project, server):
    server.sql("CREATE TABLE t (id int PRIMARY KEY, n bigint, other bigint); INSERT INTO t VALUES (1, 10, 10)")
    configure(project, server, cursor_sync("n"))
    project.sync("s")
    configure(project, server, cursor_sync("other"))
    assert "state_checkpoint" in project.dray("sync", "s", "--json").expect(1).errors()
    configure(project, server, cursor_sync("n", ", columns: [id]"))
    server.sql("ALTER TABLE t MODIFY n varchar(20)")
    assert "state_checkpoint" in project.dray("sync", "s", "--json").expect(1).errors()
    project.sync("s", "--full-refresh")
    server.sql("INSERT INTO t VALUES (2, '11', 0), (3, '0', 0)")
    assert project.sync("s")["applied"] == 1  # as texts now


def test_columns_that_have_no_order_or_are_not_there_are_refused(project, server):
    server.sql("CREATE TABLE t (id int PRIMARY KEY, j json, b blob, e enum('b', 'a'), m time, d decimal(60,2), bits bit(3), yes boolean)")
    for column in ("j", "b", "e", "m", "d", "bits", "yes", "nothing", "ID"):
        configure(project, server, cursor_sync(column))
        assert "schema_column" in project.dray("sync", "s", "--json").expect(4).errors(), column
    configure(project, server, cursor_sync("id", ", columns: [id, nothing]"))
    assert "schema_column" in project.dray("sync", "s", "--json").expect(4).errors()


def test_columns_of_any_name_are_cursors(project, server):
    name = "a`b 'c\" -- ;\\"
    column = "`" + name.replace("`", "``") + "`"
    server.sql(f"CREATE TABLE t (id int PRIMARY KEY, {column} text); INSERT INTO t VALUES (1, '\\'; DROP TABLE t; -- ')")
    configure(project, server, cursor_sync("'" + name.replace("'", "''") + "'", ", columns: [id]"))
    project.sync("s")
    server.sql("INSERT INTO t VALUES (2, '\\'; E')")
    assert project.sync("s")["applied"] == 1
    assert ids(project) == [1, 2]


# ---- a run that is ended in its middle ----

def test_a_run_that_is_ended_in_its_middle_leaves_its_place_alone(project, server):
    server.sql("CREATE TABLE t (id int PRIMARY KEY, n bigint); INSERT INTO t VALUES (1, 1)")
    configure(project, server, cursor_sync("n"))
    project.sync("s")
    # Each row takes the server a while, so that the read is under way for long.
    server.sql("RENAME TABLE t TO base; INSERT INTO base SELECT seq + 1, seq + 1 FROM seq_1_to_5000;"
               "CREATE VIEW t AS SELECT id, n + SLEEP(0.05) AS n FROM base")
    run = project.start("sync", "s", "--json")
    reading = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'dray' AND STATE = 'User sleep'"
    harness.wait_until(lambda: server.value(reading) == "1" or run.poll() is not None)
    run.send_signal(signal.SIGINT)
    assert project.finish(run).code == 130
    harness.wait_until(lambda: server.sessions() == 0)  # the server has given it up
    server.sql("DROP VIEW t; RENAME TABLE base TO t")
    assert project.sync("s")["rows_read"] == 5001
    assert len(ids(project)) == 5001
