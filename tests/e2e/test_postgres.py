# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL as a warehouse, against a real server: every mode, second runs that touch nothing, types both ways, names and
values that try to break out, wires that break, locks, missing rights, timeouts. (More faults: test_postgres_faults.)"""

import json
import signal

import pytest

import harness
import scene
from postgres_scene import (PASSWORD, PEOPLE, Breaker, configure, connection, engine, held, people_sync,  # noqa: F401
                            put_people, server, tables, versions)

# ---- modes ----

def test_upsert_touches_only_what_changed(project, server):
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    assert project.sync("people")["applied"] == 20
    assert held(server) == PEOPLE
    before, applied = versions(server), []
    server.assert_idle(lambda: applied.append(project.sync("people")["applied"]))
    assert versions(server) == before and set(applied) == {0}
    put_people(project, [(i, n, s + 1 if i == 7 else s) for i, n, s in PEOPLE[:19]] + [(99, "new", 0)])
    assert project.sync("people")["applied"] == 2
    touched = [b[0] for b, a in zip(before, versions(server)) if a != b]
    assert touched == ["7"] and len(held(server)) == 21  # upsert deletes nothing
    assert tables(server) == {"people", "_dray_state"}


def test_a_resync_rewrites_only_what_differs(project, server):
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    server.sql("UPDATE people SET name = 'by hand' WHERE id = 3")
    before = versions(server)
    assert project.sync("people", "--full-refresh")["applied"] == 1
    assert [b[0] for b, a in zip(before, versions(server)) if a != b] == ["3"]
    assert held(server) == PEOPLE


@pytest.mark.parametrize("soft", [False, True])
def test_mirror_deletes_what_is_gone(project, server, soft):
    configure(project, server, people_sync("mirror", ", delete: soft" if soft else ""))
    put_people(project, PEOPLE)
    project.sync("people")
    put_people(project, PEOPLE[3:])
    project.sync("people")
    assert held(server, where="_dray_deleted_at IS NULL" if soft else "true") == PEOPLE[3:]
    assert len(held(server)) == (20 if soft else 17)
    put_people(project, PEOPLE)  # they return
    project.sync("people")
    assert held(server, where="_dray_deleted_at IS NULL" if soft else "true") == PEOPLE


TYPED = """
    CREATE TABLE typed (id bigint, yes boolean, amount numeric(20,6), ratio float8, name text, raw bytea, day date,
                        at timestamptz, doc json);
    INSERT INTO typed VALUES
      (1, true, 12345678901234.000001, 0.1, 'Zoë', '\\x00ff', '2024-02-29', '2024-02-29 23:59:59.999999Z', '{"a":1.0}'),
      (1, NULL, -0.5, 'NaN', '', '', '0001-01-01', '9999-12-31 00:00:00Z', '[]'),
      (3, NULL, 0, '-Infinity', NULL, NULL, NULL, NULL, 'null'),
      (NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (NULL, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
"""


def test_a_replacement_by_the_same_writes_nothing(project, server):
    server.sql(TYPED + "GRANT SELECT ON typed TO dray")
    models = "  all: {warehouse: wh, sql: SELECT * FROM typed, key: id}\n"
    configure(project, server, "  whole: {from: {model: all}, to: {connection: wh, table: whole}, mode: replace}\n",
              models=models)
    project.sync("whole")
    looks, applied = ("SELECT xmin::text, ctid::text FROM whole", "SELECT xmin::text, * FROM _dray_state"), []
    before = [server.sql(look) for look in looks]
    server.assert_idle(lambda: applied.append(project.sync("whole")["applied"]))
    assert [server.sql(look) for look in looks] == before and set(applied) == {0}
    exact = "SELECT count(*) FROM (SELECT t::text FROM typed t EXCEPT ALL SELECT ROW(" + \
            "id, yes, amount, ratio, name, raw, day, at, doc)::text FROM whole) d"
    for edit in ("UPDATE whole SET doc = '{\"a\":1}' WHERE yes", "UPDATE whole SET ratio = 0.1000001 WHERE yes",
                 "UPDATE whole SET raw = NULL WHERE raw = ''", "UPDATE whole SET day = day + 1 WHERE yes",
                 "DELETE FROM whole WHERE id = 3; INSERT INTO whole SELECT * FROM whole WHERE yes"):
        server.sql(edit)  # as many rows as before
        assert server.value(exact) != "0"
        assert project.sync("whole")["applied"] > 0, edit
        assert server.value(exact) == "0" and server.value("SELECT count(*) FROM whole") == "5"


def test_append_and_replace(project, server):
    configure(project, server, people_sync("append").replace(", key: id", "") +
              "  whole: {from: {connection: files, stream: people}, to: {connection: wh, table: whole}, mode: replace}\n")
    put_people(project, PEOPLE)
    project.sync("people")
    project.sync("whole")
    assert held(server) == PEOPLE and held(server, "whole") == PEOPLE
    server.sql("CREATE VIEW seen AS SELECT count(*) AS n FROM whole; GRANT SELECT ON whole TO PUBLIC")
    put_people(project, PEOPLE[:5])
    project.sync("whole")
    assert held(server, "whole") == PEOPLE[:5] and server.value("SELECT n FROM seen") == "5"
    assert "=r/dray" in server.value("SELECT relacl FROM pg_class WHERE relname = 'whole'")  # the grant is still there


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


# ---- models ----

def test_a_model_goes_to_another_system(project, server, receiver):
    server.sql("CREATE TABLE people (id int PRIMARY KEY, name text, score int);"
               "INSERT INTO people SELECT i, 'name ' || i, i * 10 FROM generate_series(1, 500) i;"
               "GRANT SELECT ON people TO dray")
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
    server.sql("CREATE TABLE raw (id int PRIMARY KEY, n numeric(8,2)); INSERT INTO raw SELECT i, i / 4.0 FROM "
               "generate_series(1, 30000) i; GRANT SELECT ON raw TO dray")
    models = "  twice: {warehouse: wh, sql: \"SELECT id, (n * 2)::numeric(9,2) AS n FROM raw\", key: id}\n"
    configure(project, server, "  twice: {from: {model: twice}, to: {connection: wh, schema: made, table: t}, mode: mirror}\n",
              "", models)
    assert project.sync("twice")["applied"] == 30000
    same = "SELECT count(*) FROM raw r FULL JOIN made.t USING (id) WHERE t.n IS DISTINCT FROM r.n * 2"
    assert server.value(same) == "0"
    server.sql("UPDATE raw SET n = n + 1 WHERE id % 100 = 0; DELETE FROM raw WHERE id = 1")
    assert project.sync("twice")["applied"] == 301
    assert server.value(same) == "0"


# ---- types ----

READ = [
    ("boolean", "true", True), ("smallint", "-32768", -32768), ("integer", "2147483647", 2147483647),
    ("bigint", "-9223372036854775808", "-9223372036854775808"), ("oid", "4294967295", 4294967295),
    ("real", "0.5", 0.5), ("double precision", "1.7976931348623157e308", 1.7976931348623157e308),
    ("numeric(38,9)", "-99999999999999999999999999999.999999999", "-99999999999999999999999999999.999999999"),
    ("numeric(10,2)", "0.1", "0.10"), ("numeric(5,-2)", "12345", "12300"), ("numeric(2,5)", "0.00012", "0.00012"),
    ("numeric", "3.33333333333333333333", "3.33333333333333333333"), ("numeric", "NaN", "NaN"),
    ("numeric(50,1)", "1e48", "1" + "0" * 48 + ".0"),
    ("text", "Grüße, 東京 \U0001F600", "Grüße, 東京 \U0001F600"), ("varchar(5)", "", ""), ("char(4)", "ab", "ab  "),
    ("name", "x", "x"), ("date", "0001-01-01", "0001-01-01"),
    ("date", "9999-12-31", "9999-12-31"), ("timestamp", "2024-02-29 12:00:00.000001", "2024-02-29T12:00:00.000001Z"),
    ("timestamptz", "2024-03-31 03:30:00+02", "2024-03-31T01:30:00Z"),
    ("timestamptz", "9999-12-31 23:59:59.999999+00", "9999-12-31T23:59:59.999999Z"),
    ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("json", '{"b": 12345678901234567890, "a": [1.50, null]}', {"b": 12345678901234567890, "a": [1.50, None]}),
    ("jsonb", '{"b": 12345678901234567890}', {"b": 12345678901234567890}),
    ("interval", "1 year 2 mons 3 days 04:05:06.5", "P1Y2M3DT4H5M6.5S"), ("time", "12:34:56.789", "12:34:56.789"),
    ("timetz", "12:34:56+02", "12:34:56+02"), ("inet", "10.0.0.1/8", "10.0.0.1/8"), ("cidr", "10.0.0.0/8", "10.0.0.0/8"),
    ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"), ("bit(3)", "101", "101"), ("xml", "<a/>", "<a/>"),
    ("mood", "it's ok", "it's ok"), ("price", "1.25", "1.25"), ("int[]", "{1,NULL,3}", [1, None, 3]),
    ("text[]", '{"a\\"b",c}', ['a"b', "c"]), ("spot", "(1,two)", {"x": 1, "y": "two"}),
    ("int4range", "[1,5)", "[1,5)"), ("money", "12.30", "$12.30"), ("point", "(1,2)", "(1,2)"),
]


def test_types_are_read_as_documented(project, server, receiver):
    server.sql("CREATE TYPE mood AS ENUM ('it''s ok', 'bad'); CREATE DOMAIN price AS numeric(9,2);"
               "CREATE TYPE spot AS (x int, y text)")
    columns = ", ".join(f"c{i} {kind}" for i, (kind, _, _) in enumerate(READ))
    values = ", ".join("'" + text.replace("'", "''") + "'" for _, text, _ in READ)
    server.sql(f"CREATE TABLE every (id int PRIMARY KEY, {columns}); INSERT INTO every VALUES (1, {values}), "
               f"(2{', NULL' * len(READ)}); GRANT SELECT ON every TO dray")
    project.environment.update(scene.SECRETS)
    configure(project, server, "  e: {from: {model: e}, to: {connection: hook, object: every}, mode: upsert}\n", "",
              "  e: {warehouse: wh, sql: \"SELECT * FROM every ORDER BY id\", key: id}\n", scene.hook_connection(receiver))
    project.sync("e")
    full, empty = sorted(receiver.state("every"), key=lambda row: row["id"])
    for i, (kind, text, wanted) in enumerate(READ):
        found = full[f"c{i}"]
        if isinstance(found, (int, float)) and not isinstance(found, bool) and isinstance(wanted, str):
            found = str(found) if isinstance(found, int) else found
            wanted = type(found)(wanted) if isinstance(found, float) else wanted
        assert found == wanted, f"{kind} '{text}': {found!r}, not {wanted!r}"
        assert empty[f"c{i}"] is None, kind


BAD = [("numeric(5,1)", "NaN", "NaN"), ("date", "infinity", "infinity"), ("date", "0044-03-15 BC", "years 1 to 9999"),
       ("timestamptz", "-infinity", "infinity"), ("timestamp", "12024-01-01", "years 1 to 9999")]


@pytest.mark.parametrize("kind, text, why", BAD)
def test_a_value_that_no_type_holds_rejects_its_row_alone(project, server, kind, text, why):
    server.sql(f"CREATE TABLE odd (id int, v {kind}); INSERT INTO odd VALUES (1, NULL), (2, '{text}'), (3, NULL);"
               "GRANT SELECT ON odd TO dray")
    configure(project, server, "  o: {from: {model: o}, to: {connection: wh, table: o}, mode: upsert}\n", "",
              "  o: {warehouse: wh, sql: \"TABLE odd\", key: id}\n")
    assert project.sync("o", code=3)["rejected"] == 1
    assert server.sql("SELECT id FROM o ORDER BY id") == [["1"], ["3"]]
    (row,) = project.rows("o")
    assert (row["key"], row["column"]) == ("id=2", "v") and why in row["text"]


def test_canonical_values_survive_a_table(project, server):
    """Out of one table through dray into another that dray made: equal for the server, and of the documented types."""
    server.sql("""CREATE TABLE edge (id bigint PRIMARY KEY, b boolean, f double precision, d numeric(38,9), s text, y bytea,
      da date, ts timestamptz, j json);
      INSERT INTO edge VALUES
      (1, true, 'NaN', 99999999999999999999999999999.999999999, E'tab\\t"quote''s \\\\ \\u00e9', '\\x00ff00', '0001-01-01',
       '0001-01-01 00:00:00+00', '{"z":1,"a":"\\u0000","a":1e2}'),
      (2, false, '-Infinity', -0.000000001, '', '', '9999-12-31', '9999-12-31 23:59:59.999999+00', '[]'),
      (-9223372036854775808, null, 5e-324, 10000, 'NULL', null, '2000-01-01', '1999-12-31 23:59:59.999999+00', '"x"'),
      (9223372036854775807, null, -0.0, 0, '\\N', '\\x5c', null, null, null);
      GRANT SELECT ON edge TO dray""")
    configure(project, server, "  e: {from: {model: e}, to: {connection: wh, table: copy}, mode: upsert}\n", "",
              "  e: {warehouse: wh, sql: \"TABLE edge\", key: id}\n")
    assert project.sync("e")["applied"] == 4
    text = "SELECT id, b, f, d, s, y, da, ts, j::text FROM {} ORDER BY id"
    assert server.sql(text.format("copy")) == server.sql(text.format("edge"))
    kinds = "SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute WHERE attnum > 0 " \
            "AND attrelid = '{}'::regclass AND attname NOT LIKE '\\_dray%'"
    assert server.value(kinds.format("copy")) == server.value(kinds.format("edge"))
    server.sql("UPDATE edge SET j = '{\"z\":2}' WHERE id = 1")  # json has no equality of its own
    assert project.sync("e")["applied"] == 1
    assert server.sql(text.format("copy")) == server.sql(text.format("edge"))


def test_a_table_of_the_operators_own_is_written_as_it_is(project, server):
    server.sql("CREATE TABLE people (id int PRIMARY KEY, name varchar(12), score smallint, tags text[] DEFAULT '{x}',"
               "seen timestamptz DEFAULT now(), twice int GENERATED ALWAYS AS (score * 2) STORED);"
               "ALTER TABLE people OWNER TO dray")
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    assert held(server) == PEOPLE and server.value("SELECT sum(twice) FROM people") == str(2 * sum(s for _, _, s in PEOPLE))
    put_people(project, [(1, "one", 32767)])
    project.sync("people")
    assert held(server)[0] == (1, "one", 32767)
    put_people(project, [(1, "one", 32768), (77, "x", 1)])
    assert project.sync("people", code=3)["rejected"] == 1
    assert held(server)[0] == (1, "one", 32767) and held(server)[20:] == [(77, "x", 1)]


def test_json_columns_take_what_is_said_and_keep_what_is_not(project, server):
    """Also where an operator has made jsonb of dray's json."""
    configure(project, server, "  docs: {from: {connection: files, stream: docs}, to: {connection: wh}, mode: upsert, key: id}\n")
    project.write("in/docs.jsonl", '{"id":1,"d":{"b":1,"a":[1e2]},"n":"x"}\n{"id":2,"d":[],"n":"y"}\n')
    project.sync("docs")
    assert server.sql("SELECT d::text FROM docs ORDER BY id") == [['{"b":1,"a":[1e2]}'], ["[]"]]
    server.sql("ALTER TABLE docs ALTER d TYPE jsonb")
    with open(project.folder / "in/docs.jsonl", "a", encoding="utf-8") as file:
        file.write('{"id":1,"n":"z"}\n{"id":2,"d":{"q":null}}\n{"id":3,"d":{"new":1},"n":"w"}\n')
    assert project.sync("docs")["applied"] == 3
    assert server.sql("SELECT id, d::text, n FROM docs ORDER BY id") == [
        ["1", '{"a": [100], "b": 1}', "z"], ["2", '{"q": null}', "y"], ["3", '{"new": 1}', "w"]]


# ---- names and values ----

def test_hostile_names_and_values(project, server):
    names = ['we"ird', "se;lect", "UPPER", "user", "größe 東", "x" * 63, "it's", "a\\b", "$1", "%s"]
    value = "'; DROP TABLE victim; --"
    server.sql("CREATE TABLE victim (a int)")
    header = "id," + ",".join('"' + name.replace('"', '""') + '"' for name in names)
    line = ",".join('"' + (value + name).replace('"', '""') + '"' for name in names)
    project.write("in/odd.csv", f"{header}\n1,{line}\n2,{line}\n")
    configure(project, server, "  odd: {from: {connection: files, stream: odd}, to: {connection: wh, schema: \"s'\\\"x\", "
              "table: \"t; drop table victim\"}, mode: mirror, key: id}\n")
    project.sync("odd")
    project.write("in/odd.csv", f"{header}\n1,{line}\n2,{line.replace('DROP', 'drop')}\n")
    assert project.sync("odd")["applied"] == 1
    rows = server.rows("SELECT * FROM \"s'\"\"x\".\"t; drop table victim\" ORDER BY id")
    assert rows[0][1:1 + len(names)] == [value + name for name in names]
    assert "victim" in tables(server)
    project.write("in/odd.csv", f"id,{'y' * 64}\n1,2\n")
    assert "63" in project.dray("sync", "odd").expect(4).err


# ---- schema drift ----

def test_a_column_is_added_and_widened(project, server):
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    server.sql("ALTER TABLE people ADD COLUMN note text DEFAULT 'mine'")
    project.write("in/people.csv", "id,name,score,city\n" + "".join(f"{i},{n},{s}.5,Ulm\n" for i, n, s in PEOPLE))
    assert project.sync("people")["applied"] == 20
    assert server.value("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'people'::regclass "
                        "AND attname = 'score'") != "bigint"
    assert server.sql("SELECT DISTINCT city, note FROM people") == [["Ulm", "mine"]]
    assert float(server.value("SELECT score FROM people WHERE id = 2")) == 20.5


def test_a_view_that_keeps_a_column_from_being_widened_is_named(project, server):
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    server.sql("CREATE VIEW seen_by_all AS SELECT score FROM people")
    put_people(project, [(i, n, f"{s}.5") for i, n, s in PEOPLE])
    refused = project.dray("sync", "people").expect(1)
    assert "schema_drift" in refused.errors() and "view seen_by_all" in refused.err and "Drop the view" in refused.err
    assert held(server) == PEOPLE
    server.sql("DROP VIEW seen_by_all")
    assert project.sync("people")["applied"] == 20


# ---- faults ----

@pytest.mark.parametrize("where, reaches", [(b"COMMIT", True), (b"COMMIT", False), (b"name 7", True), (b"CREATE TABLE", False)])
@pytest.mark.parametrize("mode", ["append", "mirror"])
def test_a_wire_that_breaks_loses_nothing_and_doubles_nothing(project, server, mode, where, reaches):
    wire = Breaker(server, where, reaches)
    try:
        project.environment["PG_PASSWORD"] = PASSWORD
        project.config("connections:\n" + connection(server, ", sslmode: disable").replace(str(server.port), str(wire.port)) +
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


def test_the_server_is_started_again_in_the_middle(project, server):
    configure(project, server, people_sync("mirror"))
    rows = [(i, "x" * 200, i) for i in range(60000)]
    put_people(project, rows)
    process, ask = server.session()
    ask("CREATE TABLE people (id bigint PRIMARY KEY, name text, score bigint); ALTER TABLE people OWNER TO dray;")
    ask("BEGIN; LOCK people IN ACCESS EXCLUSIVE MODE;")
    run = project.start("sync", "people")
    harness.wait_until(lambda: server.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") != "0" or
                       run.poll() is not None)
    server.stop(signal.SIGQUIT)
    process.kill()
    process.communicate()
    server.start()
    project.finish(run)  # it may have tried again by itself
    project.sync("people")
    assert server.value("SELECT count(*) FROM people") == "60000"
    assert project.sync("people")["applied"] == 0
    assert tables(server) == {"people", "_dray_state"}


def test_a_schema_that_somebody_else_makes_at_the_same_time_is_no_duplicate_row(project, server):
    configure(project, server, people_sync("upsert").replace("connection: wh}", "connection: wh, schema: shop}"))
    put_people(project, PEOPLE)
    process, ask = server.session()
    try:
        ask("BEGIN; CREATE SCHEMA shop AUTHORIZATION dray;")
        run = project.start("sync", "people", "--json")
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'dray' AND wait_event_type = 'Lock'"
        harness.wait_until(lambda: server.value(waiting) == "1" or run.poll() is not None, what="the wait for the schema's name")
        ask("COMMIT;")
        refused = project.finish(run)
        assert refused.code == 1 and refused.errors() == ["busy"], refused
    finally:
        process.kill()
        process.communicate()
    assert project.sync("people")["inserts"] == len(PEOPLE)


def test_a_lock_of_another_session_is_waited_for_and_then_told(project, server):
    configure(project, server, people_sync("upsert"), ", lock_timeout_seconds: 1")
    put_people(project, PEOPLE)
    project.sync("people")
    process, ask = server.session()
    try:
        ask("BEGIN; LOCK people IN ACCESS EXCLUSIVE MODE;")
        put_people(project, PEOPLE[:5] + [(6, "other", 6)])
        refused = project.dray("sync", "people")
        assert refused.code == 1 and "busy" in refused.errors() and "lock timeout" in refused.err
        ask("ROLLBACK;")
    finally:
        process.kill()
        process.communicate()
    assert project.sync("people")["applied"] == 1


def test_a_statement_that_takes_too_long_is_ended(project, server):
    configure(project, server, "  slow: {from: {model: slow}, to: {connection: wh, table: t}, mode: upsert}\n",
              ", statement_timeout_seconds: 1",
              "  slow: {warehouse: wh, sql: \"SELECT 1 AS id FROM pg_sleep(60)\", key: id}\n")
    refused = project.dray("sync", "slow")
    assert refused.code == 1 and "timeout" in refused.errors() and "statement timeout" in refused.err


def test_an_interrupted_run_ends_the_query(project, server):
    configure(project, server, "  slow: {from: {model: slow}, to: {connection: wh, table: t}, mode: upsert}\n", "",
              "  slow: {warehouse: wh, sql: \"SELECT 1 AS id FROM pg_sleep(600)\", key: id}\n")
    run = project.start("sync", "slow")
    running = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'dray' AND state = 'active'"
    harness.wait_until(lambda: server.value(running) == "1")
    run.send_signal(signal.SIGINT)
    assert project.finish(run).code == 130
    harness.wait_until(lambda: server.value(running) == "0")


def test_a_role_without_rights_is_told_what_to_grant(project, server):
    server.sql("CREATE ROLE guest LOGIN PASSWORD '%s'; CREATE TABLE people (id int PRIMARY KEY, name text, score int);"
               "REVOKE TEMPORARY ON DATABASE work FROM PUBLIC" % PASSWORD if
               server.value("SELECT count(*) FROM pg_roles WHERE rolname = 'guest'") == "0" else
               "CREATE TABLE people (id int PRIMARY KEY, name text, score int)")
    project.environment["PG_PASSWORD"] = PASSWORD
    project.config("connections:\n" + connection(server, user="guest") + "  files: {plugin: file, path: in}\n"
                   "models:\n  m: {warehouse: wh, sql: TABLE people, key: id}\n"
                   "syncs:\n" + people_sync("upsert") +
                   "  out: {from: {model: m}, to: {connection: wh, table: t}, mode: upsert}\n")
    put_people(project, PEOPLE)
    refused = project.dray("sync", "out").expect(5)
    assert 'GRANT SELECT ON TABLE "people" TO "guest"' in refused.err
    told = project.dray("check", "--json")
    assert told.code == 5 and "GRANT SELECT" in told.out, told
    server.sql("GRANT SELECT ON people TO guest")
    told = project.dray("check", "--json")
    assert "GRANT USAGE, CREATE ON SCHEMA" in told.out, told
    server.sql("GRANT ALL ON SCHEMA public TO guest; GRANT TEMPORARY ON DATABASE work TO guest; DROP TABLE people")
    project.dray("check").expect(0)
    project.sync("people")
    assert held(server) == PEOPLE


def test_what_is_refused_says_why(project, server):
    configure(project, server, "  m: {from: {model: m}, to: {connection: wh, table: t}, mode: upsert}\n", "",
              "  m: {warehouse: wh, sql: models/m.sql, key: id}\n")
    for sql, words in (("SELECT 1 AS id,\n  nothing FROM pg_class", "line 2, column 3"), ("SELECT 1 AS id; SELECT 2", "multiple"),
                       ("SELECT FROM", "syntax"), ("SELECT 1 AS id, 2 AS id", "two columns"), ("-- nothing", "no statement"),
                       ("DELETE FROM pg_class RETURNING oid AS id", "read-only"), ("SELECT 1/0 AS id", "division by zero"),
                       ("SELECT $1::int AS id", "parameter"), ("SELECT * FROM gone", "gone")):
        project.write("models/m.sql", sql)
        refused = project.dray("sync", "m").expect(4)
        assert words in refused.err, f"{sql}: {refused.err}"
    configure(project, server, "  n: {from: {model: n}, to: {connection: wh, table: t}, mode: upsert}\n", "",
              "  n: {warehouse: wh, sql: models/n.sql, key: id}\n")
    project.write("models/n.sql", "/* c; */ (SELECT 1 AS id, $q$;--$q$ AS a, E'\\';' AS b) -- end;\n;;")
    assert project.sync("n")["applied"] == 1
    assert server.sql("SELECT a, b FROM t") == [[";--", "';"]]


def test_logins_and_tls(project, server):
    def check(more="", host="127.0.0.1", password=PASSWORD, user="dray"):
        project.environment["PG_PASSWORD"] = password
        project.config("connections:\n" + connection(server, more, user, host) + "syncs: {}\n")
        return project.dray("check", "--json")

    assert check().expect(0)
    assert "TLSv1" in check(", sslmode: require").expect(0).out
    assert "verified" in check(f", sslmode: verify-full, sslrootcert: {server.authority}", "localhost").expect(0).out
    wrong = check(f", sslmode: verify-full, sslrootcert: {server.authority}")
    assert wrong.code != 0 and "sslrootcert" in wrong.out  # the certificate is for localhost, not for 127.0.0.1
    assert check(", sslmode: verify-full", "localhost").code != 0  # no authority of the system has signed it
    wrong = check(password="not the password")
    assert wrong.code == 5 and "password authentication failed" in wrong.out and "not the password" not in wrong.out
    assert check(user="nobody-at-all").code == 5
    project.config("connections:\n" + connection(server).replace(f"port: {server.port}", "port: 1") + "syncs: {}\n")
    wrong = project.dray("check", "--json")
    assert wrong.code == 1 and "refused" in wrong.out.lower()


def test_discover_tells_tables_and_keys(project, server):
    server.sql("""CREATE SCHEMA shop AUTHORIZATION dray; SET ROLE dray;
      CREATE TABLE shop.parted (a int, b text NOT NULL, PRIMARY KEY (b, a)) PARTITION BY LIST (a);
      CREATE TABLE shop.part1 PARTITION OF shop.parted FOR VALUES IN (1);
      CREATE TABLE shop."Upper" (id uuid NOT NULL UNIQUE, n numeric, tags int[], at timestamptz);
      CREATE VIEW shop.v AS SELECT 1 AS one; CREATE MATERIALIZED VIEW shop.mv AS SELECT true AS yes;
      CREATE TABLE hidden (a int); RESET ROLE; ALTER TABLE hidden OWNER TO postgres""")
    configure(project, server, "  {}\n")
    found = json.loads(project.dray("discover", "wh", "--json").expect(0).out)
    listed = {(stream["schema"], stream["name"]): stream for stream in found["catalog"]["warehouse"]["streams"]}
    assert set(listed) == {("shop", "parted"), ("shop", "Upper"), ("shop", "v"), ("shop", "mv")}
    assert listed[("shop", "parted")]["primary_key"] == ["b", "a"]
    assert listed[("shop", "Upper")]["primary_key"] == ["id"]
    assert [c["type"] for c in listed[("shop", "Upper")]["columns"]] == ["string", "string", "json", "timestamp"]

