# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""MariaDB as a warehouse, against a real server: every mode, second runs that touch nothing, types both ways, names and values
that try to break out, kills at the named steps, a server that goes away, locks, missing rights, timeouts."""

import json
import os
import signal
import socket
import ssl
import threading

import pytest

import harness
import mysql_server
import scene

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


def connection(server, more="", user="dray", host="127.0.0.1", name="wh", sslmode="disable"):
    """TLS has its own test: handshakes are most of what a short run takes."""
    tls = f", sslmode: {sslmode}" if sslmode else ""
    return (f"  {name}: {{plugin: mysql, host: {host}, port: {server.port}, database: work, user: {user}, "
            f"password: !secret env:MY_PASSWORD{tls}{more}}}\n")


def configure(project, server, syncs, more="", models="", others=""):
    project.environment["MY_PASSWORD"] = PASSWORD
    project.config("connections:\n" + connection(server, more) + "  files: {plugin: file, path: in}\n" + others +
                   (f"models:\n{models}" if models else "") + f"syncs:\n{syncs}")


def put_people(project, rows):
    """in/people.csv of (id, name, score)."""
    project.write("in/people.csv", "id,name,score\n" + "".join(f"{i},{n},{s}\n" for i, n, s in rows))


PEOPLE = [(i, f"name {i}", i * 10) for i in range(1, 21)]


def people_sync(mode, more=""):
    return f"  people: {{from: {{connection: files, stream: people}}, to: {{connection: wh}}, mode: {mode}, key: id{more}}}\n"


def held(server, table="people", where="1 = 1"):
    return [tuple(row) for row in server.rows(table, ("id", "name", "score"), where, "id")]


def tables(server, database="work"):
    return {row[0] for row in server.sql("SHOW TABLES", database)}


def versions(server, table="people"):
    """When each row was written: a row that was touched has another time."""
    return server.sql(f"SELECT id, _dray_synced_at FROM {table} ORDER BY id")


def written(server):
    """How many statements have written anything at all."""
    return [server.counter(f"Com_{what}") for what in ("insert", "insert_select", "update", "update_multi", "delete",
                                                        "delete_multi", "load", "create_table", "alter_table")]


# ---- modes ----

@pytest.mark.parametrize("local_infile", [1, 0])
def test_upsert_touches_only_what_changed(project, server, local_infile):
    server.sql(f"SET GLOBAL local_infile = {local_infile}")
    try:
        configure(project, server, people_sync("upsert"))
        put_people(project, PEOPLE)
        assert project.sync("people")["applied"] == 20
        assert held(server) == PEOPLE
        before, count = versions(server), written(server)
        assert project.sync("people")["applied"] == 0
        assert versions(server) == before and written(server) == count  # not a row was written, of any table
        put_people(project, [(i, n, s + 1 if i == 7 else s) for i, n, s in PEOPLE[:19]] + [(99, "new", 0)])
        assert project.sync("people")["applied"] == 2
        touched = [b[0] for b, a in zip(before, versions(server)) if a != b]
        assert touched == ["7"] and len(held(server)) == 21  # upsert deletes nothing
        assert tables(server) == {"people", "_dray_state"}
    finally:
        server.sql("SET GLOBAL local_infile = 1")


def test_a_resync_rewrites_only_what_differs_to_the_byte(project, server):
    """Also where the collation of the server takes texts for equal."""
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    server.sql("UPDATE people SET name = 'NAME 3' WHERE id = 3; UPDATE people SET name = 'name 4 ' WHERE id = 4;"
               "ALTER TABLE people MODIFY name varchar(80) COLLATE utf8mb4_general_ci")
    before = versions(server)
    assert project.sync("people", "--full-refresh")["applied"] == 2
    assert [b[0] for b, a in zip(before, versions(server)) if a != b] == ["3", "4"]
    assert held(server) == PEOPLE


@pytest.mark.parametrize("soft", [False, True])
def test_mirror_deletes_what_is_gone(project, server, soft):
    configure(project, server, people_sync("mirror", ", delete: soft" if soft else ""))
    put_people(project, PEOPLE)
    project.sync("people")
    put_people(project, PEOPLE[3:])
    project.sync("people")
    live = "_dray_deleted_at IS NULL" if soft else "1 = 1"
    assert held(server, where=live) == PEOPLE[3:]
    assert len(held(server)) == (20 if soft else 17)
    put_people(project, PEOPLE)  # they return
    project.sync("people")
    assert held(server, where=live) == PEOPLE


def test_append_and_replace(project, server):
    configure(project, server, people_sync("append").replace(", key: id", "") +
              "  whole: {from: {connection: files, stream: people}, to: {connection: wh, table: whole}, mode: replace}\n")
    put_people(project, PEOPLE)
    project.sync("people")
    project.sync("whole")
    assert held(server) == PEOPLE and held(server, "whole") == PEOPLE
    server.sql("CREATE VIEW seen AS SELECT count(*) AS n FROM whole")
    put_people(project, PEOPLE[:5])
    project.sync("whole")
    assert held(server, "whole") == PEOPLE[:5] and server.value("SELECT n FROM seen") == "5"


TYPED = (
    "CREATE TABLE typed (id bigint, yes boolean, amount decimal(20,6), ratio double, name varchar(40), raw varbinary(40),"
    " day date, at datetime(6), doc json) CHARACTER SET utf8mb4; INSERT INTO typed VALUES"
    " (1, true, 12345678901234.000001, 0.1, 'Zoë', x'00ff', '2024-02-29', '2024-02-29 23:59:59.999999', '{\"a\": 1.0}'),"
    " (1, NULL, -0.5, -1e300, '', '', '1000-01-01', '9999-12-31 00:00:00', '[]'),"
    " (NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL)")


def test_a_replacement_by_the_same_writes_nothing(project, server):
    server.sql(TYPED)
    configure(project, server, "  whole: {from: {model: all}, to: {connection: wh, table: whole}, mode: replace}\n",
              models="  all: {warehouse: wh, sql: SELECT * FROM typed, key: id}\n")
    project.sync("whole")
    looks, logged = ("SELECT * FROM whole ORDER BY 1, 2, 3", "SELECT * FROM _dray_state"), []
    before = [server.sql(look) for look in looks]
    counts = written(server), server.counter("Com_create_temporary_table")
    for _ in range(5):  # the server writes now and then on its own
        log = server.counter("Innodb_os_log_written")
        assert project.sync("whole")["applied"] == 0
        logged.append(server.counter("Innodb_os_log_written") - log)
    assert (written(server), server.counter("Com_create_temporary_table")) == counts
    assert [server.sql(look) for look in looks] == before and min(logged) == 0, logged
    server.sql("UPDATE whole SET name = 'ZOË' WHERE name = 'Zoë'")  # the same to the collation
    assert project.sync("whole")["applied"] > 0
    assert server.value("SELECT count(*) FROM whole WHERE BINARY name = 'Zoë'") == "1"


@pytest.mark.parametrize("mode", ["mirror", "replace", "history"])
def test_a_plan_shows_the_staging_that_the_run_makes(project, server, mode):
    configure(project, server, people_sync(mode))
    put_people(project, PEOPLE)
    server.sql("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = 1")
    try:
        for rows in (PEOPLE, [(i, n, s + 1) for i, n, s in PEOPLE], [(i, n, f"{s}.5") for i, n, s in PEOPLE]):
            put_people(project, rows)
            server.sql("TRUNCATE mysql.general_log")
            plan = project.plan("people")[0]
            tried = "'^(CREATE TEMPORARY TABLE|DROP TEMPORARY TABLE IF EXISTS|ALTER TABLE) `_dray_rehearsal`'"
            rehearsed = {row[0] for row in server.sql(  # the staging of the rehearsal's table, temporary as well
                "SELECT REGEXP_SUBSTR(argument, '`_dray_staging_[0-9a-f]*`') FROM mysql.general_log "
                "WHERE argument REGEXP '^CREATE TEMPORARY TABLE `_dray_staging_'")}
            assert len(rehearsed) == (1 if plan["ddl"] else 0)
            tried = tried[:-1] + "".join(f"|^(CREATE|DROP) TEMPORARY TABLE (IF EXISTS )?{name}" for name in rehearsed) + "'"
            assert server.value("SELECT count(*) FROM mysql.general_log WHERE argument REGEXP '^(CREATE|DROP|ALTER)' AND "
                                f"argument NOT REGEXP {tried}") == "0"
            project.sync("people")
            said = server.sql("SELECT argument FROM mysql.general_log WHERE user_host LIKE 'dray%' AND "
                              "argument REGEXP '^(CREATE|DROP).*_dray_staging_' ORDER BY event_time")
            said = [row for row in said if not any(name in row[0] for name in rehearsed)]
            assert [row[0] for row in said] == plan.get("staging", {"statements": []})["statements"]
            assert (len(said) > 0) == (rows is not PEOPLE)  # a first load goes straight in
    finally:
        server.sql("SET GLOBAL general_log = 0")


def test_history_keeps_versions(project, server):
    configure(project, server, people_sync("history"))
    put_people(project, PEOPLE)
    project.sync("people")
    put_people(project, [(1, "other", 5)] + PEOPLE[1:])
    project.sync("people")
    assert held(server, where="_dray_current") == [(1, "other", 5)] + PEOPLE[1:]
    closed = "NOT _dray_current AND _dray_valid_to > _dray_valid_from"
    assert held(server, where=closed) == PEOPLE[:1]
    before = versions(server)
    assert project.sync("people")["applied"] == 0
    assert versions(server) == before


def test_texts_are_keys_as_their_bytes_are(project, server):
    """Case, accents and blanks at the end make different keys; a key in several columns has one of each type."""
    keys = ["a", "A", "ä", "a ", "", "straße", "strasse", "x" * 255, "\U0001F600", "'`\"\\"]
    header = "name,n,day,v\n"
    lines = ['"' + key.replace('"', '""') + f'",{n},2024-02-29,{n}' for n, key in enumerate(keys)]
    configure(project, server, "  t: {from: {connection: files, stream: t}, to: {connection: wh}, mode: mirror, "
              "key: [name, n, day]}\n")
    project.write("in/t.csv", header + "\n".join(lines[:4] + lines[5:]) + "\n")
    assert project.sync("t")["applied"] == 9
    project.write("in/t.csv", header + "\n".join(line.replace(",0,2024-02-29,0", ",0,2024-02-29,7") for line in lines[:4] + lines[5:]) + "\n")
    assert project.sync("t")["applied"] == 1
    assert [row[0] for row in server.rows("t", ("name",), order="n")] == keys[:4] + keys[5:]
    assert project.sync("t", "--full-refresh")["applied"] == 0
    project.write("in/t.csv", header + f"{'东' * 256},1,2024-02-29,1\n")
    assert project.sync("t", "--allow-guard", code=3)["rejected"] == 1
    assert [(row["error"], row["column"]) for row in project.rows("t")] == [("data_too_large", "name")]
    assert len(server.rows("t", ("name",))) == 9


# ---- models ----

def test_a_model_goes_to_another_system(project, server, receiver):
    server.sql("CREATE TABLE people (id int PRIMARY KEY, name text, score int);"
               "INSERT INTO people SELECT seq, CONCAT('name ', seq), seq * 10 FROM seq_1_to_500")
    project.environment.update(scene.SECRETS)
    models = "  people: {warehouse: wh, sql: \"SELECT id, name, score FROM people; -- all\", key: id}\n"
    configure(project, server, "  people: {from: {model: people}, to: {connection: hook, object: people}, mode: mirror}\n",
              ", read_only: true", models, scene.hook_connection(receiver))
    project.sync("people")
    assert scene.held(receiver) == [{"id": i, "name": f"name {i}", "score": i * 10} for i in range(1, 501)]
    seen = len(receiver.ledger())
    project.sync("people")
    assert len(receiver.ledger()) == seen
    server.sql("UPDATE people SET score = 0 WHERE id = 5; DELETE FROM people WHERE id = 6")
    project.sync("people")
    assert len(receiver.sent(seen)) == 2


def test_a_model_can_be_written_to_its_own_warehouse(project, server):
    """The query is still open when the table is described: the stream keeps its connection, the writer gets another."""
    server.sql("CREATE TABLE raw (id int PRIMARY KEY, n decimal(8,2)); INSERT INTO raw SELECT seq, seq / 4.0 FROM seq_1_to_30000")
    models = "  twice: {warehouse: wh, sql: \"SELECT id, CAST(n * 2 AS decimal(9,2)) AS n FROM raw\", key: id}\n"
    configure(project, server, "  twice: {from: {model: twice}, to: {connection: wh, schema: made, table: t}, mode: mirror}\n",
              "", models)
    assert project.sync("twice")["applied"] == 30000
    same = "SELECT count(*) FROM raw r LEFT JOIN made.t USING (id) WHERE NOT t.n <=> r.n * 2"
    assert server.value(same) == "0"
    server.sql("UPDATE raw SET n = n + 1 WHERE id % 100 = 0; DELETE FROM raw WHERE id = 1")
    assert project.sync("twice")["applied"] == 301
    assert server.value(same) == "0" and server.value("SELECT count(*) FROM made.t") == "29999"


# ---- types ----

READ = [
    ("tinyint(1)", "1", True), ("boolean", "0", False), ("tinyint", "-128", -128), ("tinyint unsigned", "255", 255),
    ("smallint", "-32768", -32768), ("mediumint unsigned", "16777215", 16777215), ("int", "-2147483648", -2147483648),
    ("int unsigned", "4294967295", 4294967295), ("bigint", "-9223372036854775808", "-9223372036854775808"),
    ("bigint unsigned", "18446744073709551615", "18446744073709551615"), ("float", "0.1", 0.10000000149011612),
    ("float", "16777215", 16777215.0), ("double", "1.7976931348623157e308", 1.7976931348623157e308),
    ("double", "5e-324", 5e-324), ("double", "0.1", 0.1), ("double(10,2)", "1.25", 1.25),
    ("decimal(38,9)", "-99999999999999999999999999999.999999999", "-99999999999999999999999999999.999999999"),
    ("decimal(10,2)", "0.1", "0.10"), ("decimal(10,2) unsigned", "99999999.99", "99999999.99"),
    ("decimal(65,30)", "12345678901234567890123456789012345.000000000000000000000000000001",
     "12345678901234567890123456789012345.000000000000000000000000000001"),
    ("decimal(65,0)", "9" * 38, "9" * 38), ("bit(1)", "b'1'", True), ("bit(8)", "b'10000001'", 129),
    ("bit(64)", "b'" + "1" * 64 + "'", "18446744073709551615"), ("year", "2024", 2024),
    ("date", "0001-01-01", "0001-01-01"), ("date", "9999-12-31", "9999-12-31"),
    ("datetime", "2024-02-29 12:00:00", "2024-02-29T12:00:00Z"),
    ("datetime(6)", "9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999999Z"),
    ("datetime(6)", "0001-01-01 00:00:00.000001", "0001-01-01T00:00:00.000001Z"),
    ("timestamp(3)", "2038-01-19 03:14:07.999", "2038-01-19T03:14:07.999Z"),
    ("time", "25:00:00", "25:00:00"), ("time(3)", "-838:59:58.999", "-838:59:58.999"),
    ("char(4)", "ab", "ab"), ("varchar(20)", "ab  ", "ab  "), ("text", "Grüße, 東京 \U0001F600", "Grüße, 東京 \U0001F600"),
    ("text CHARACTER SET latin1", "Grüße", "Grüße"), ("longtext", "", ""), ("enum('it''s ok','b')", "it's ok", "it's ok"),
    ("set('a','b','c')", "a,c", "a,c"), ("binary(4)", "ab", "YWIAAA=="), ("varbinary(9)", "x'00ff'", "AP8="),
    ("blob", "x''", ""), ("json", '{"b": 12345678901234567890, "a": [1.50, null]}', {"b": 12345678901234567890, "a": [1.50, None]}),
    ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), ("inet6", "::1", "::1"),
    ("point", "POINT(1, 2)", "AAAAAAEBAAAAAAAAAAAA8D8AAAAAAAAAQA=="),
]


def literal(text):
    return text if text[:2] in ("b'", "x'") or text.startswith("POINT") else mysql_server.text(text)


def test_types_are_read_as_documented(project, server, receiver):
    columns = ", ".join(f"c{i} {kind} NULL" for i, (kind, _, _) in enumerate(READ))
    values = ", ".join(literal(text) for _, text, _ in READ)
    server.sql(f"SET time_zone = '+00:00'; CREATE TABLE t (id int PRIMARY KEY, {columns}); INSERT INTO t VALUES (1, {values}), "
               f"(2{', NULL' * len(READ)})")
    project.environment.update(scene.SECRETS)
    configure(project, server, "  e: {from: {model: e}, to: {connection: hook, object: every}, mode: upsert}\n", "",
              "  e: {warehouse: wh, sql: \"SELECT * FROM t ORDER BY id\", key: id}\n", scene.hook_connection(receiver))
    project.sync("e")
    full, empty = sorted(receiver.state("every"), key=lambda row: row["id"])
    for i, (kind, text, wanted) in enumerate(READ):
        found = full[f"c{i}"]
        if isinstance(found, (int, float)) and not isinstance(found, bool) and isinstance(wanted, str):
            found = str(found) if isinstance(found, int) else found
            wanted = type(found)(wanted) if isinstance(found, float) else wanted
        assert found == wanted and isinstance(found, bool) == isinstance(wanted, bool), f"{kind} {text}: {found!r}, not {wanted!r}"
        assert empty[f"c{i}"] is None, kind


def test_expressions_have_the_types_of_their_results(project, server, receiver):
    server.sql("CREATE TABLE t (id int PRIMARY KEY, n bigint, d decimal(38,9), s varchar(10));"
               "INSERT INTO t VALUES (1, 9223372036854775807, 0.5, 'a'), (2, 9223372036854775807, 0.25, 'b')")
    project.environment.update(scene.SECRETS)
    sql = ("SELECT 1 AS id, COUNT(*) AS c, SUM(n) AS s, SUM(d) AS d, AVG(id) AS a, MAX(s) AS m, CONCAT(1, 'x') AS k, NULL AS e, "
           "JSON_OBJECT('a', 1) AS j, 1 = 1 AS b, '2024-01-01' + INTERVAL 1 DAY AS t, REPEAT('y', 100000) AS big FROM t")
    configure(project, server, "  e: {from: {model: e}, to: {connection: hook, object: every}, mode: upsert}\n", "",
              f"  e: {{warehouse: wh, sql: \"{sql}\", key: id}}\n", scene.hook_connection(receiver))
    project.sync("e")
    row = receiver.state("every")[0]
    assert str(row["s"]) == "18446744073709551614" and row["d"] == "0.750000000" and row["c"] == 2
    assert row["m"] == "b" and row["k"] == "1x" and row["e"] is None and row["j"] == {"a": 1} and row["b"] == 1
    assert float(row["a"]) == 1.5 and row["big"] == "y" * 100000


BAD = [("date", "0000-00-00", "zero_dates"), ("datetime", "0000-00-00 00:00:00", "zero_dates"), ("date", "2024-00-15", "zero_dates"),
       ("timestamp", "0000-00-00 00:00:00", "zero_dates"), ("tinyint(1)", "5", "neither 0 nor 1"),
       ("decimal(65,0)", "1" + "0" * 38, "does not fit"), ("date", "2024-02-31", "is no date")]


@pytest.mark.parametrize("kind, text, why", BAD)
def test_a_value_that_no_type_holds_rejects_its_row_alone(project, server, kind, text, why):
    server.sql(f"SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE odd (id int, v {kind} NULL);"
               f"INSERT INTO odd VALUES (1, NULL), (2, '{text}'), (3, NULL)")
    configure(project, server, "  o: {from: {model: o}, to: {connection: wh, table: o}, mode: upsert}\n", "",
              "  o: {warehouse: wh, sql: \"SELECT * FROM odd\", key: id}\n")
    assert project.sync("o", code=3)["rejected"] == 1
    assert server.sql("SELECT id FROM o ORDER BY id") == [["1"], ["3"]]
    (row,) = project.rows("o")
    assert (row["key"], row["column"]) == ("id=2", "v") and why in row["text"]


def test_zero_dates_are_null_where_that_is_asked_for(project, server):
    server.sql("SET sql_mode = ''; CREATE TABLE odd (id int, a date, b datetime);"
               "INSERT INTO odd VALUES (1, '0000-00-00', '0000-00-00'), (2, '2024-05-00', '2024-05-06 07:08:09')")
    configure(project, server, "  o: {from: {model: o}, to: {connection: wh, table: o}, mode: upsert}\n", ", zero_dates: 'null'",
              "  o: {warehouse: wh, sql: \"SELECT * FROM odd\", key: id}\n")
    assert project.sync("o")["applied"] == 2
    assert server.sql("SELECT id, a, b FROM o ORDER BY id") == [["1", "NULL", "NULL"], ["2", "NULL", "2024-05-06 07:08:09.000000"]]


@pytest.mark.parametrize("local_infile", [1, 0])
def test_canonical_values_survive_a_table(project, server, local_infile):
    """Out of one table through dray into another that dray made: equal for the server, and of the documented types."""
    server.sql(r"""SET time_zone = '+00:00';
      CREATE TABLE edge (id bigint PRIMARY KEY, b tinyint(1), f double, d decimal(38,9),
        s longtext COLLATE utf8mb4_nopad_bin, y longblob, da date, ts datetime(6), j json);
      INSERT INTO edge VALUES
      (1, true, 1.7976931348623157e308, 99999999999999999999999999999.999999999, 'tab\t"quote''s \\ \\N \é\r\n\Z', x'00ff005c0a09', '0001-01-01',
       '0001-01-01 00:00:00', '{"z":1,"a":"\\u0000","a":1e2,"n":12345678901234567890}'),
      (2, false, -2.2250738585072014e-308, -0.000000001, '', x'', '9999-12-31', '9999-12-31 23:59:59.999999', '[]'),
      (-9223372036854775808, null, 5e-324, 10000, 'NULL', null, '2000-01-01', '1999-12-31 23:59:59.999999', '"x"'),
      (9223372036854775807, null, -0.0, 0, '\\N', x'5c', null, null, null),
      (5, null, 0.1, null, '\\', x'5c4e', null, null, null), (6, null, 0.30000000000000004, null, '  ', null, null, null, null)""")
    configure(project, server, "  e: {from: {model: e}, to: {connection: wh, table: copy}, mode: upsert}\n", "",
              "  e: {warehouse: wh, sql: \"SELECT * FROM edge\", key: id}\n")
    server.sql(f"SET GLOBAL local_infile = {local_infile}")
    try:
        assert project.sync("e")["applied"] == 6
        text = "SELECT id, b, f, d, HEX(s), HEX(y), da, ts, HEX(j) FROM {} ORDER BY id"
        assert server.sql(text.format("copy")) == server.sql(text.format("edge"))
        kinds = "SELECT GROUP_CONCAT(CONCAT(column_type, COALESCE(collation_name, '')) ORDER BY ordinal_position) FROM " \
                "information_schema.columns WHERE table_schema = 'work' AND table_name = '{}' AND column_name NOT LIKE '\\_dray%'"
        assert server.value(kinds.format("copy")) == server.value(kinds.format("edge"))
        server.sql("UPDATE edge SET j = '{\"z\":2}' WHERE id = 1; UPDATE edge SET s = 'null' WHERE id < 0")
        assert project.sync("e")["applied"] == 2  # by way of the staging table
        assert server.sql(text.format("copy")) == server.sql(text.format("edge"))
    finally:
        server.sql("SET GLOBAL local_infile = 1")


def test_a_table_of_the_operators_own_is_written_as_it_is(project, server):
    server.sql("CREATE TABLE people (id int PRIMARY KEY, name varchar(12), score smallint, tags set('x','y') DEFAULT 'x',"
               "seen timestamp DEFAULT now(), twice int AS (score * 2) PERSISTENT)")
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    assert held(server) == PEOPLE and server.value("SELECT sum(twice) FROM people") == str(2 * sum(s for _, _, s in PEOPLE))
    put_people(project, [(1, "one", 32767)])
    project.sync("people")
    assert held(server)[0] == (1, "one", 32767)
    for row in ((1, "one", 32768), (1, "one", -32769)):
        put_people(project, [row, (77, "x", 1)])
        assert project.sync("people", code=3)["rejected"] == 1
        assert held(server)[0] == (1, "one", 32767) and held(server)[20:] == [(77, "x", 1)]  # nothing was cut
    put_people(project, [(1, "more than twelve", 1), (77, "x", 1)])
    assert project.sync("people", code=3)["rejected"] == 1  # its length is known before
    assert [(row["key"], row["column"]) for row in project.rows("people")] == [("id=1", "name")]
    assert held(server)[0] == (1, "one", 32767) and held(server)[20:] == [(77, "x", 1)]
    server.sql("CREATE TABLE at (id int PRIMARY KEY, t datetime)")  # it would round
    configure(project, server, "  at: {from: {connection: files, stream: at}, to: {connection: wh}, mode: upsert, key: id}\n")
    project.write("in/at.csv", "id,t\n1,2024-01-01T00:00:00.6Z\n")
    assert "schema_drift" in project.dray("sync", "at").errors()
    server.sql("ALTER TABLE at MODIFY t datetime(6)")
    project.sync("at")
    assert server.value("SELECT t FROM at") == "2024-01-01 00:00:00.600000"


@pytest.fixture
def odd_server(server):
    """One whose operator set all that changes values and results in silence, for every session."""
    globals_ = ("SET GLOBAL sql_select_limit = 2; SET GLOBAL completion_type = 'CHAIN'; SET GLOBAL sql_notes = 0;"
                "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'")
    server.stop()
    server.start("character-set-client-handshake=0", "character-set-server=latin1", "explicit-defaults-for-timestamp=0")
    server.sql("SET NAMES utf8mb4; ALTER DATABASE work CHARACTER SET utf8mb4; " + globals_)
    yield server
    server.stop()
    server.start()


def test_what_the_operator_set_for_every_session_changes_no_value(project, odd_server):
    server = odd_server
    texts = [(i, f"gr\u00fc\u00dfe \u6771\U0001F600 \\ {i}") for i in range(7)]
    put = ", ".join(f"({i}, UNHEX('{text.encode().hex()}'))" for i, text in texts)
    server.sql(f"SET completion_type = 0; CREATE TABLE raw (id int PRIMARY KEY, v varchar(40)); INSERT INTO raw VALUES {put}")
    configure(project, server, "  copy: {from: {model: copy}, to: {connection: wh, table: copy}, mode: mirror}\n", "",
              "  copy: {warehouse: wh, sql: \"SELECT * FROM raw\", key: id}\n")
    assert project.sync("copy")["applied"] == 7
    found = "SET sql_select_limit = 1000; SELECT id, HEX(v) FROM {} ORDER BY id"
    assert server.sql(found.format("copy")) == [[str(i), text.encode().hex().upper()] for i, text in texts]
    server.sql("SET completion_type = 0; UPDATE raw SET v = 'new' WHERE id = 6; DELETE FROM raw WHERE id = 5")
    assert project.sync("copy")["applied"] == 2
    assert server.sql(found.format("copy")) == server.sql(found.format("raw"))


@pytest.fixture
def stern_server(server):
    """One whose operator lets nobody do much who does not ask for it."""
    server.sql("CREATE USER plain@'%' IDENTIFIED BY " + mysql_server.text(PASSWORD) + "; GRANT SELECT, CREATE TEMPORARY TABLES, "
               "CREATE, ALTER, DROP, INSERT, UPDATE, DELETE ON *.* TO plain@'%'")
    yield server
    server.stop()
    server.start()
    server.sql("DROP USER plain@'%'")


@pytest.mark.parametrize("setting", ["tx_read_only = 1", "sql_big_selects = 0, GLOBAL max_join_size = 1", "autocommit = 0",
                                     "sql_safe_updates = 1", "default_tmp_storage_engine = MEMORY"])
def test_what_a_session_may_set_it_sets(project, server, setting):
    before = [part.split("=")[0].split()[-1] for part in setting.split(",")]
    kept = [server.value(f"SELECT @@GLOBAL.{name}") for name in before]
    try:
        # the mode replace stages, joins by a key without an index and deletes; an upsert keeps its transaction open
        configure(project, server, people_sync("upsert") + people_sync("replace").replace("people: {from", "again: {from").replace(
            "{connection: wh}", "{connection: wh, table: again}"))
        put_people(project, PEOPLE)
        server.sql(f"SET GLOBAL {setting}")
        project.sync("people")
        project.sync("again")
        put_people(project, [(i, n + "!", s) for i, n, s in PEOPLE[:15]])
        assert project.sync("people")["applied"] == 15
        assert project.sync("again")["applied"] == 20
    finally:
        server.sql(";".join(f"SET GLOBAL {name} = '{value}'" if not value.isdigit() else f"SET GLOBAL {name} = {value}"
                            for name, value in zip(before, kept) if value != "NULL"))
        server.sql("SET GLOBAL default_tmp_storage_engine = NULL")
    assert held(server, "again") == [(i, n + "!", s) for i, n, s in PEOPLE[:15]]
    assert held(server)[:15] == held(server, "again") and len(held(server)) == 20


def test_an_engine_that_is_enforced(project, stern_server):
    """Who may not ask for another one gets the server's words and no table; whoever may has InnoDB."""
    server = stern_server
    server.sql("SET GLOBAL enforce_storage_engine = Aria")
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.environment["MY_PASSWORD"] = PASSWORD
    project.config("connections:\n" + connection(server, user="plain") + "  files: {plugin: file, path: in}\n"
                   f"syncs:\n{people_sync('upsert')}")
    assert "auth_forbidden" in project.dray("sync", "people").expect(5).errors() and tables(server) == set()
    configure(project, server, people_sync("upsert"))
    assert project.sync("people")["applied"] == 20
    assert server.value("SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_NAME = 'people'") == "InnoDB"


def test_the_key_zero_stays_zero(project, server):
    server.sql("CREATE TABLE people (id bigint AUTO_INCREMENT PRIMARY KEY, name varchar(12), score int)")
    configure(project, server, people_sync("upsert"))
    put_people(project, [(0, "zero", 1), (7, "seven", 2)])
    project.sync("people")
    put_people(project, [(0, "zero", 3), (7, "seven", 2), (9, "nine", 4)])
    assert project.sync("people")["applied"] == 2
    assert held(server) == [(0, "zero", 3), (7, "seven", 2), (9, "nine", 4)]


@pytest.mark.parametrize("notes", [1, 0])
def test_blanks_that_do_not_fit_are_not_cut_in_silence(project, server, notes):
    server.sql(f"CREATE TABLE people (id int PRIMARY KEY, name varchar(3), score int); SET GLOBAL sql_notes = {notes}")
    try:
        configure(project, server, people_sync("upsert"))
        put_people(project, [(1, "abc", 1), (2, "x", 2)])
        project.sync("people")
        for row in ((1, '"abc  "', 1), (3, '"abc "', 1)):  # an update and an insert
            put_people(project, [row, (2, "x", 2)])
            assert project.sync("people", code=3)["rejected"] == 1
            assert {told["column"] for told in project.rows("people")} == {"name"}
            assert held(server) == [(1, "abc", 1), (2, "x", 2)]
    finally:
        server.sql("SET GLOBAL sql_notes = 1")


@pytest.mark.parametrize("local_infile", [1, 0])
@pytest.mark.parametrize("kind", ["seen timestamp(6) NOT NULL", "seen timestamp(6) NOT NULL DEFAULT now(6)",
                                  "seen bigint NOT NULL AUTO_INCREMENT UNIQUE"])
def test_a_null_does_not_become_a_value(project, server, kind, local_infile):
    value = "5" if "bigint" in kind else "2024-01-01T00:00:00Z"
    server.sql(f"CREATE TABLE t (id int PRIMARY KEY, {kind}); SET GLOBAL local_infile = {local_infile}")
    try:
        configure(project, server, "  t: {from: {connection: files, stream: t}, to: {connection: wh}, mode: upsert, key: id}\n")
        project.write("in/t.csv", f"id,seen\n1,\n2,{value}\n")
        assert project.sync("t", code=3)["rejected"] == 1
        assert [(row["key"], row["column"]) for row in project.rows("t")] == [("id=1", "seen")]
        assert server.sql("SELECT id FROM t") == [["2"]]
    finally:
        server.sql("SET GLOBAL local_infile = 1")


def test_json_columns_take_what_is_said_and_keep_what_is_not(project, server):
    configure(project, server, "  docs: {from: {connection: files, stream: docs}, to: {connection: wh}, mode: upsert, key: id}\n")
    project.write("in/docs.jsonl", '{"id":1,"d":{"b":1,"a":[1e2]},"n":"x"}\n{"id":2,"d":[],"n":"y"}\n')
    project.sync("docs")
    assert server.sql("SELECT d FROM docs ORDER BY id") == [['{"b":1,"a":[1e2]}'], ["[]"]]
    with open(project.folder / "in/docs.jsonl", "a", encoding="utf-8") as file:
        file.write('{"id":1,"n":"z"}\n{"id":2,"d":{"q":null}}\n{"id":3,"d":{"new":1},"n":"w"}\n')
    assert project.sync("docs")["applied"] == 3
    assert server.sql("SELECT id, d, n FROM docs ORDER BY id") == [
        ["1", '{"b":1,"a":[1e2]}', "z"], ["2", '{"q":null}', "y"], ["3", '{"new":1}', "w"]]


# ---- names and values ----

def test_hostile_names_and_values(project, server):
    names = ['we"ird', "we`ird", "se;lect", "UPPER", "user", "größe 東", "東" * 64, "it's", "a\\b", "?", "%s", "@v1"]
    value = "'; DROP TABLE victim; --"
    server.sql("CREATE TABLE victim (a int)")
    header = "id," + ",".join('"' + name.replace('"', '""') + '"' for name in names)
    line = ",".join('"' + (value + name).replace('"', '""') + '"' for name in names)
    project.write("in/odd.csv", f"{header}\n1,{line}\n2,{line}\n")
    configure(project, server, "  odd: {from: {connection: files, stream: odd}, to: {connection: wh, schema: \"s'\\\"`x\", "
              "table: \"t`; drop table victim\"}, mode: mirror, key: id}\n")
    project.sync("odd")
    project.write("in/odd.csv", f"{header}\n1,{line}\n2,{line.replace('DROP', 'drop')}\n")
    assert project.sync("odd")["applied"] == 1
    rows = server.rows("`s'\"``x`.`t``; drop table victim`", names)
    assert rows[0] == [value + name for name in names]
    assert "victim" in tables(server)
    for name, word in (("y" * 65, "64"), ("face \U0001F600", "U+FFFF"), ("blank ", "name")):
        project.write("in/odd.csv", f"id,{name}\n1,2\n")
        assert word in project.dray("sync", "odd").expect(4).err


# ---- schema drift ----

def test_a_column_is_added_and_widened(project, server):
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    server.sql("ALTER TABLE people ADD COLUMN note varchar(9) DEFAULT 'mine' AFTER id")
    project.write("in/people.csv", "id,name,score,city\n" + "".join(f"{i},{n},{s}.5,Ulm\n" for i, n, s in PEOPLE))
    assert project.sync("people")["applied"] == 20
    assert "decimal" in server.sql("SHOW COLUMNS FROM people LIKE 'score'")[0][1]
    assert server.sql("SELECT DISTINCT city, note FROM people") == [["Ulm", "mine"]]
    assert float(server.value("SELECT score FROM people WHERE id = 2")) == 20.5


def test_a_widened_column_stays_not_null(project, server):
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    server.sql("ALTER TABLE people MODIFY score bigint NOT NULL")
    put_people(project, [(i, n, f"{s}.5") for i, n, s in PEOPLE])
    project.sync("people")
    field, kind, null = server.sql("SHOW COLUMNS FROM people LIKE 'score'")[0][:3]
    assert field == "score" and kind.startswith("decimal") and null == "NO"


def test_a_column_that_differs_by_the_case_of_another_alphabet_is_the_same(project, server):
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    server.sql("ALTER TABLE people ADD COLUMN `größe_ä` text")
    project.write("in/people.csv", "id,name,score,GRÖßE_Ä\n" + "".join(f"{i},{n},{s},x\n" for i, n, s in PEOPLE))
    plan, _ = project.plan("people")
    assert plan["ddl"] == []
    assert project.sync("people")["applied"] == 20
    assert server.value("SELECT COUNT(*) FROM people WHERE `größe_ä` = 'x'") == "20"


def test_a_column_that_only_this_server_takes_for_the_same_is_told_by_the_plan(project, server):
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    server.sql("ALTER TABLE people ADD COLUMN `xi` text")
    project.write("in/people.csv", "id,name,score,Xİ\n" + "".join(f"{i},{n},{s},x\n" for i, n, s in PEOPLE))
    for command in ("plan", "sync"):
        refused = project.dray(command, "people").expect(1)
        assert "schema_drift" in refused.errors() and "Xİ" in refused.err and "upper or lower case" in refused.err
    assert held(server) == PEOPLE and tables(server) == {"people", "_dray_state"}


def test_a_boolean_does_not_become_a_text_of_numbers(project, server):
    configure(project, server, "  t: {from: {connection: files, stream: t}, to: {connection: wh}, mode: upsert, key: id}\n")
    project.write("in/t.jsonl", '{"id":1,"b":true}\n')
    project.sync("t")
    project.write("in/t.jsonl", '{"id":1,"b":"maybe"}\n')
    refused = project.dray("sync", "t")
    assert refused.code == 1 and "schema_drift" in refused.errors() and "'b'" in refused.err


# ---- faults ----

STEPS = ("warehouse.begin", "warehouse.loaded", "warehouse.merged", "sync.merged", "sync.warehouse_committed",
         "sync.mirror_committed")


@pytest.mark.parametrize("first", [True, False])
def test_killed_at_each_step_nothing_is_lost_or_left(project, server, first):
    """With a column that is new in the second run: DDL has been committed before every one of the kills."""
    for step in ("warehouse.begin", "warehouse.loaded", "sync.warehouse_committed") if first else STEPS:
        server.fresh()
        name = step.replace(".", "_") + ("_first" if first else "_later")
        case = harness.Project(project.folder / name)
        configure(case, server, people_sync("mirror"))
        put_people(case, PEOPLE)
        wanted = PEOPLE
        if not first:
            case.sync("people")
            before = held(server)
            wanted = PEOPLE[4:] + [(50, "new", 1)]
            case.write("in/people.csv", "id,name,score,more\n" + "".join(f"{i},{n},{s},m{i}\n" for i, n, s in wanted))
        died = case.dray("sync", "people", env={"DRAY_FAULT": f"kill:{step}:1"})
        assert died.code != 0, f"{step} was not passed"
        harness.wait_until(lambda: server.sessions() == 0)
        if step.startswith("warehouse.") or step == "sync.merged":
            assert held(server) == ([] if first else before), step  # the rows are as they were
        case.sync("people")
        assert held(server) == wanted, step
        assert tables(server) == {"people", "_dray_state"}, step
        assert case.sync("people")["applied"] == 0, step
        if not first:
            assert server.rows("people", ("more",), order="id") == [[f"m{i}"] for i, _, _ in wanted]


class Breaker:
    """A wire to the server that breaks once, when the bytes go by that `where` says: before they reach the server, or behind
    them, so that the server has done what was asked and nobody hears of it."""

    def __init__(self, server, where, reaches):
        self.upstream, self.where, self.reaches, self.broken = server.port, where, reaches, False
        self.cut, self.answered = None, threading.Event()  # the connection that breaks; what it was asked is done
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.upstream))
            threading.Thread(target=self._up, args=(near, far), daemon=True).start()
            threading.Thread(target=self._down, args=(near, far), daemon=True).start()

    @staticmethod
    def _close(*sockets):
        for each in sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _up(self, near, far):
        writing = False
        try:
            while data := near.recv(65536):
                writing = writing or b"START TRANSACTION" in data and b"READ ONLY" not in data
                if (writing or self.where.startswith(b"CREATE")) and self.where in data and not self.broken:
                    self.cut, self.broken = far, True
                    if self.reaches:
                        far.sendall(data)
                        self.answered.wait(0.3 if self.where == b"name 7" else 600)  # no answer in the middle of a load
                    break
                far.sendall(data)
        except OSError:
            pass
        self._close(near, far)

    def _down(self, near, far):
        try:
            while data := far.recv(65536):
                if far is self.cut:
                    self.answered.set()
                    break
                near.sendall(data)
        except OSError:
            pass
        self._close(near, far)

    def close(self):
        self.listener.close()


@pytest.mark.parametrize("where, reaches", [(b"COMMIT", True), (b"COMMIT", False), (b"name 7", True), (b"CREATE TABLE", False),
                                            (b"CREATE TABLE", True)])
@pytest.mark.parametrize("mode", ["append", "mirror"])
def test_a_wire_that_breaks_loses_nothing_and_doubles_nothing(project, server, mode, where, reaches):
    wire = Breaker(server, where, reaches)
    try:
        project.environment["MY_PASSWORD"] = PASSWORD
        project.config("connections:\n" + connection(server).replace(str(server.port), str(wire.port)) +
                       "  files: {plugin: file, path: in}\nsyncs:\n" +
                       people_sync(mode).replace(", key: id" if mode == "append" else "\0", ""))
        put_people(project, PEOPLE)
        first = project.dray("sync", "people")
        assert wire.broken and (first.code == 0 or "net_closed" in first.errors()), first
        project.sync("people")
        assert held(server) == PEOPLE
        assert project.sync("people")["applied"] == 0
        assert tables(server) == {"people", "_dray_state"}
    finally:
        wire.close()


def test_a_connection_that_died_between_two_batches_is_made_again(project, server):
    """The server ends idle sessions after a second; the model takes longer to come to its end."""
    server.sql("CREATE TABLE raw (id int PRIMARY KEY); INSERT INTO raw SELECT seq FROM seq_1_to_10")
    configure(project, server, "  slow: {from: {model: slow}, to: {connection: wh, table: t}, mode: upsert}\n", "",
              "  slow: {warehouse: src, sql: \"SELECT id, SLEEP(0.2) AS z FROM raw\", key: id}\n", connection(server, "", name="src"))
    ended = threading.Event()

    def end_idle_sessions():
        while not ended.wait(0.1):
            for row in server.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'dray' AND COMMAND = 'Sleep' AND "
                                  "TIME_MS > 400"):
                server.try_sql(f"KILL {row[0]}")

    killer = threading.Thread(target=end_idle_sessions, daemon=True)
    killer.start()
    try:
        project.dray("sync", "slow")  # a session may be hit at any moment
    finally:
        ended.set()
        killer.join()
    project.sync("slow")
    assert server.value("SELECT count(*) FROM t") == "10"
    assert project.sync("slow")["applied"] == 0


def test_the_server_is_started_again_in_the_middle(project, server):
    configure(project, server, people_sync("mirror"))
    rows = [(i, "x" * 200, i) for i in range(60000)]
    put_people(project, rows)
    process, ask = server.session()
    ask("CREATE TABLE people (id bigint PRIMARY KEY, name text, score bigint);")
    ask("LOCK TABLES people WRITE;")
    run = project.start("sync", "people")
    harness.wait_until(lambda: server.value("SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = 'dray' AND "
                                            "STATE LIKE '%lock%'") != "0" or run.poll() is not None)
    server.stop(signal.SIGKILL)
    process.kill()
    process.communicate()
    server.start()
    project.finish(run)  # it may have tried again by itself
    project.sync("people")
    assert server.value("SELECT count(*) FROM people") == "60000"
    assert project.sync("people")["applied"] == 0
    assert tables(server) == {"people", "_dray_state"}


@pytest.mark.parametrize("lock", ["BEGIN; SELECT * FROM people WHERE id = 6 FOR UPDATE;", "LOCK TABLES people WRITE;"])
def test_a_lock_of_another_session_is_waited_for_and_then_told(project, server, lock):
    configure(project, server, people_sync("upsert"), ", lock_timeout_seconds: 1")
    put_people(project, PEOPLE)
    project.sync("people")
    process, ask = server.session()
    try:
        ask(lock)
        put_people(project, PEOPLE[:5] + [(6, "other", 6)])
        refused = project.dray("sync", "people")
        assert refused.code == 1 and "busy" in refused.errors() and "timeout" in refused.err, refused
        ask("ROLLBACK; UNLOCK TABLES;")
    finally:
        process.kill()
        process.communicate()
    assert project.sync("people")["applied"] == 1


def test_two_writers_do_not_pass_each_other(project, server):
    """One is in its merge, the other waits for the row of the state table: then it is behind, and writes nothing of its own plan."""
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    other = harness.Project(project.folder / "other")
    configure(other, server, people_sync("upsert"))
    put_people(other, PEOPLE)
    other.sync("people")
    put_people(project, [(6, "ours", 1)] + PEOPLE[6:])
    put_people(other, [(7, "theirs", 1)] + PEOPLE[7:])
    process, ask = server.session()
    try:
        ask("BEGIN; SELECT * FROM people WHERE id = 6 FOR UPDATE;")
        first = project.start("sync", "people")
        harness.wait_until(lambda: server.lock_waits() == 1, what="the first writer's wait for the row")
        second = other.start("sync", "people")
        harness.wait_until(lambda: server.lock_waits() == 2 or second.poll() is not None, what="the second writer's wait")
        ask("ROLLBACK;")
    finally:
        process.kill()
        process.communicate()
    ends = [project.finish(first), other.finish(second)]
    assert 0 in [end.code for end in ends], ends
    assert all(end.code == 0 or "state_generation" in end.errors() for end in ends), ends
    project.sync("people")
    other.sync("people")
    assert [row[1] for row in held(server)[5:7]] == ["ours", "theirs"]


def test_a_statement_that_takes_too_long_is_ended(project, server):
    configure(project, server, "  slow: {from: {model: slow}, to: {connection: wh, table: t}, mode: upsert}\n",
              ", statement_timeout_seconds: 1",
              "  slow: {warehouse: wh, sql: \"SELECT COUNT(*) AS id FROM seq_1_to_1000000000 s WHERE SLEEP(1) = 0\", key: id}\n")
    refused = project.dray("sync", "slow")
    assert refused.code == 1 and "timeout" in refused.errors() and "max_statement_time" in refused.err


def test_an_interrupted_run_ends_the_query(project, server):
    configure(project, server, "  slow: {from: {model: slow}, to: {connection: wh, table: t}, mode: upsert}\n", "",
              "  slow: {warehouse: wh, sql: \"SELECT 1 AS id FROM DUAL WHERE SLEEP(600) = 0\", key: id}\n")
    run = project.start("sync", "slow")
    running = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = 'dray' AND STATE = 'User sleep'"
    harness.wait_until(lambda: server.value(running) == "1")
    run.send_signal(signal.SIGINT)
    assert project.finish(run).code == 130
    harness.wait_until(lambda: server.value(running) == "0")


def test_a_query_that_is_given_up_is_stopped_at_the_server(project, server):
    """The fault ends the run after the first batch of a result without end."""
    server.sql("CREATE TABLE t (id bigint PRIMARY KEY)")
    configure(project, server, "  long: {from: {model: long}, to: {connection: wh, table: t}, mode: upsert}\n", "",
              "  long: {warehouse: wh, sql: \"SELECT CAST(seq AS SIGNED) AS id, REPEAT('x', 100) AS a FROM seq_1_to_100000000\", key: id}\n")
    run = project.start("sync", "long")
    harness.wait_until(lambda: server.value("SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = 'dray' AND INFO LIKE "
                                            "'SELECT CAST(seq%'") != "0")
    run.send_signal(signal.SIGTERM)
    ended = project.finish(run)
    assert ended.code == 143, str(ended)
    harness.wait_until(lambda: server.sessions() == 0)


def test_a_role_without_rights_is_told_what_to_grant(project, server):
    server.sql(f"DROP USER IF EXISTS guest; CREATE USER guest@'%' IDENTIFIED BY {mysql_server.text(PASSWORD)};"
               "CREATE TABLE people (id int PRIMARY KEY, name text, score int); CREATE TABLE mine (a int);"
               "GRANT SELECT ON work.mine TO guest")
    project.environment["MY_PASSWORD"] = PASSWORD
    project.config("connections:\n" + connection(server, user="guest") + "  files: {plugin: file, path: in}\n"
                   "models:\n  m: {warehouse: wh, sql: 'SELECT id, name, score FROM people', key: id}\n"
                   "syncs:\n" + people_sync("upsert") +
                   "  out: {from: {model: m}, to: {connection: wh, table: t}, mode: upsert}\n")
    put_people(project, PEOPLE)
    refused = project.dray("sync", "out").expect(5)
    assert "GRANT SELECT ON `work`.`_dray_state` TO 'guest'@" in refused.err
    told = project.dray("check", "--json")
    assert told.code == 5 and "GRANT CREATE, ALTER" in told.out, told
    server.sql("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP ON work.* TO guest; DROP TABLE people")
    told = project.dray("check", "--json")
    assert "GRANT CREATE TEMPORARY TABLES" in told.out, told
    server.sql("GRANT CREATE TEMPORARY TABLES ON work.* TO guest")
    project.dray("check").expect(0)
    project.sync("people")
    put_people(project, PEOPLE[1:])
    project.sync("people")
    assert held(server) == PEOPLE
    server.sql("SET GLOBAL local_infile = 0")
    try:
        told = project.dray("check", "--json").expect(0)
        assert "SET GLOBAL local_infile = 1" in told.out
    finally:
        server.sql("SET GLOBAL local_infile = 1")


def test_what_is_refused_says_why(project, server):
    server.sql("CREATE TABLE t1 (id int)")
    configure(project, server, "  m: {from: {model: m}, to: {connection: wh, table: t}, mode: upsert}\n", "",
              "  m: {warehouse: wh, sql: models/m.sql, key: id}\n")
    for sql, words in (("SELECT 1 AS id,\n  nothing FROM t1", "nothing"), ("SELECT 1 AS id; SELECT 2", "syntax"),
                       ("SELECT FROM", "syntax"), ("SELECT 1 AS id, 2 AS id", "two columns"), ("-- nothing", "no columns"),
                       ("DELETE FROM t1 RETURNING id", "READ ONLY"), ("INSERT INTO t1 VALUES (1)", "READ ONLY"),
                       ("DROP TABLE t1", "no columns"), ("SELECT ? AS id", "parameter"), ("SELECT * FROM gone", "gone"),
                       ("SELECT 1 AS id INTO OUTFILE '/tmp/x'", "no columns")):
        project.write("models/m.sql", sql)
        refused = project.dray("sync", "m").expect(4)
        assert words in refused.err, f"{sql}: {refused.err}"
    assert tables(server) == {"t1"}
    configure(project, server, "  n: {from: {model: n}, to: {connection: wh, table: t}, mode: upsert}\n", "",
              "  n: {warehouse: wh, sql: models/n.sql, key: id}\n")
    project.write("models/n.sql", "/* c; */ (SELECT 1 AS id, ';--' AS a, '\\';' AS b) -- end;\n")
    assert project.sync("n")["applied"] == 1
    assert server.sql("SELECT a, b FROM t") == [[";--", "';"]]


class Thief:
    """A server that lets everybody in, and answers the first query with the wish for a file of the client's machine."""

    def __init__(self, wanted):
        self.wanted, self.got = str(wanted).encode(), b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @staticmethod
    def _packet(number, body):
        return len(body).to_bytes(3, "little") + bytes([number]) + body

    def _serve(self):
        done = b"\0\0\0\x02\0\0\0"
        client, _ = self.listener.accept()
        greeting = (b"\x0a5.5.5-10.11.0-MariaDB\0" + (7).to_bytes(4, "little") + b"12345678\0" + b"\xdf\xf7\x2d\x02\0\xaf\x01\x15" +
                    bytes(10) + b"123456789012\0mysql_native_password\0")
        client.settimeout(600)
        try:
            client.sendall(self._packet(0, greeting))
            client.recv(65536)
            client.sendall(self._packet(2, done))
            client.recv(65536)
            client.sendall(self._packet(1, b"\xfb" + self.wanted))
            while data := client.recv(65536):
                self.got += data
                if data[:3] == b"\0\0\0":  # the end of the file
                    client.sendall(self._packet(data[3] + 1, done))
        except OSError:
            pass
        client.close()


def test_a_server_that_asks_for_a_file_gets_none(project):
    secret = project.write("secret.txt", "canary-file\n")
    thief = Thief(secret)
    project.environment["MY_PASSWORD"] = PASSWORD
    project.config("connections:\n" + connection(thief) + "syncs: {}\n")
    told = project.dray("check", "--json")
    assert told.code != 0 and "asked for a file" in told.out, told
    harness.wait_until(lambda: thief.got)
    assert b"canary" not in thief.got
    thief.listener.close()


class Asker:
    """A server with a certificate of its own that says it must see the password itself: by `way`, which asks for it in the
    clear, inside TLS."""

    def __init__(self, server, way):
        self.way, self.got = way.encode(), b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(server.authority, server.folder / "server.key")
        self.ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        client, _ = self.listener.accept()
        client.settimeout(600)
        greeting = (b"\x0a8.0.36\0" + (7).to_bytes(4, "little") + b"12345678\0" + b"\xdf\xff\x2d\x02\0\xaf\x01\x15" +
                    bytes(10) + b"123456789012\0" + self.way + b"\0")
        try:
            client.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
            client.recv(36)  # the wish for TLS
            client = self.context.wrap_socket(client, server_side=True)
            number = client.recv(65536)[3] + 1
            for asks in (b"\x01\x04", b"\xfe" + self.way + b"\0" + b"1" * 20 + b"\0"):
                client.sendall(len(asks).to_bytes(3, "little") + bytes([number]) + asks)
                data = client.recv(65536)
                self.got += data
                number = data[3] + 1
        except (OSError, IndexError):
            pass
        client.close()
        self.ended.set()


@pytest.mark.parametrize("way", ["caching_sha2_password", "sha256_password", "mysql_clear_password"])
def test_a_server_that_is_not_verified_does_not_get_the_password(project, server, way):
    asker = Asker(server, way)
    project.environment["MY_PASSWORD"] = PASSWORD
    project.config("connections:\n" + connection(asker, host="0.0.0.0", sslmode="require") + "syncs: {}\n")
    told = project.dray("check", "--json")
    assert told.code != 0 and asker.ended.wait(600), told
    assert PASSWORD.encode() not in asker.got
    asker.listener.close()


def test_logins_and_tls(project, server):
    def check(more="", host="127.0.0.1", password=PASSWORD, user="dray", sslmode=None):
        project.environment["MY_PASSWORD"] = password
        project.config("connections:\n" + connection(server, more, user, host, sslmode=sslmode) + "syncs: {}\n")
        return project.dray("check", "--json")

    assert "TLSv1" in check().expect(0).out  # prefer, to this machine
    assert "TLSv1" not in check(sslmode="disable").expect(0).out
    assert "TLSv1" in check(sslmode="require").expect(0).out
    assert "verified" in check(f", sslrootcert: {server.authority}", "localhost", sslmode="verify-full").expect(0).out
    wrong = check(f", sslrootcert: {server.authority}", sslmode="verify-full")
    assert wrong.code != 0 and "sslrootcert" in wrong.out  # the certificate is for localhost, not for 127.0.0.1
    assert check("", "localhost", sslmode="verify-full").code != 0  # no authority of the system has signed it
    wrong = check(password="not the password")
    assert wrong.code == 5 and "Access denied" in wrong.out and "not the password" not in wrong.out
    assert check(user="nobody-at-all").code == 5
    assert check(host=str(server.socket)).expect(0)
    project.config("connections:\n" + connection(server).replace("database: work", "database: gone") + "syncs: {}\n")
    wrong = project.dray("check", "--json")
    assert wrong.code == 4 and "gone" in wrong.out
    project.config("connections:\n" + connection(server).replace(f"port: {server.port}", "port: 1") + "syncs: {}\n")
    wrong = project.dray("check", "--json")
    assert wrong.code == 1 and "connect" in wrong.out.lower()


def test_discover_tells_tables_and_keys(project, server):
    server.sql("""CREATE DATABASE shop; USE shop;
      CREATE TABLE parted (a int, b varchar(9) NOT NULL, PRIMARY KEY (b, a)) PARTITION BY HASH (a) PARTITIONS 2;
      CREATE TABLE `Upper` (id uuid NOT NULL UNIQUE, n decimal(50,3), tags json, at timestamp NULL, u bigint unsigned);
      CREATE VIEW v AS SELECT 1 AS one; CREATE TABLE gone (a int); CREATE VIEW broken AS SELECT a FROM gone; DROP TABLE gone;
      CREATE TABLE odd (a int UNIQUE, b int, c int NOT NULL, UNIQUE (b, c), UNIQUE (c))""")
    configure(project, server, "  {}\n")
    found = json.loads(project.dray("discover", "wh", "--json").expect(0).out)
    listed = {(stream["schema"], stream["name"]): stream for stream in found["catalog"]["warehouse"]["streams"]}
    assert set(listed) == {("shop", "parted"), ("shop", "Upper"), ("shop", "v"), ("shop", "odd")}
    assert listed[("shop", "parted")]["primary_key"] == ["b", "a"]
    assert listed[("shop", "Upper")]["primary_key"] == ["id"] and listed[("shop", "odd")]["primary_key"] == ["c"]
    assert [c["type"] for c in listed[("shop", "Upper")]["columns"]] == ["string", "string", "json", "timestamp", "decimal(20,0)"]
