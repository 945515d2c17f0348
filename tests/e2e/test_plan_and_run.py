# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What `dray plan` says of a table is what the run does: what the engine will not take is refused by both with the same error, before
anything is touched. Tables that two syncs name by different words and that are one to the engine; keys and tables of too many columns."""

import sqlite3

import pytest

import harness
import mysql_server
from engine_scene import MYSQL, POSTGRES, engine, server, source  # noqa: F401

PASSWORD = harness.CANARY_BEARER
EVERY = pytest.mark.parametrize("engine", ["sqlite", "mysql", "postgres"], indirect=True)
SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
KEY_COLUMNS = {"mysql": 16, "postgres": 32}
COLUMNS = {"mysql": 1017, "postgres": 1600, "sqlite": 2000}


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


# ---- columns of another type ----

OPERATORS = """
CREATE TABLE "t" ( -- of the operator's, with (all) that may stand in one
  [id] INTEGER PRIMARY KEY AUTOINCREMENT, "a ""b"", (c)" TEXT DEFAULT 'x, (y' COLLATE NOCASE,
  v INTEGER NOT NULL DEFAULT 5 CHECK (v <> 3) /* v TEXT, */, `flag` BOOLEAN, d NUMERIC(6, 2) DEFAULT (1 + 1),
  doubled AS (v || v) STORED, parent INTEGER REFERENCES t (id) ON DELETE CASCADE,
  CONSTRAINT "v, twice" CHECK (length(v) < 9), UNIQUE (v, parent));
CREATE TABLE child (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id) ON DELETE CASCADE);
CREATE TABLE log (what TEXT);
CREATE UNIQUE INDEX by_v ON t (v DESC, "a ""b"", (c)");
CREATE INDEX some ON T (v + 0) WHERE v > 2;
CREATE VIEW seen AS SELECT v, flag FROM t WHERE v IS NOT NULL;
CREATE TRIGGER noted AFTER UPDATE OF v ON t BEGIN INSERT INTO log VALUES (old.v || '>' || new.v); END;
CREATE TRIGGER of_another AFTER INSERT ON child BEGIN UPDATE t SET parent = new.id WHERE id = new.t; END;
CREATE TRIGGER into_view INSTEAD OF INSERT ON seen BEGIN INSERT INTO t (v) VALUES (new.v); END;
INSERT INTO t (id, v, flag, d) VALUES (1, 10, 1, 12.5), (2, 20, 0, NULL), (90, 30, NULL, 3);
DELETE FROM t WHERE id = 90;
INSERT INTO child VALUES (7, 1), (8, 2);
DELETE FROM log;
"""


def catalogue(project):
    """All that hangs on tables, as it was written."""
    return project.query("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE '\\_dray%' ESCAPE '\\' "
                         "AND tbl_name NOT LIKE '\\_dray%' ESCAPE '\\' AND (type <> 'table' OR name <> 't') ORDER BY type, name")


@SQLITE
def test_a_column_is_widened_whatever_hangs_on_it_and_all_else_stays(project, server, source):
    project.execute(OPERATORS)
    source.executescript("CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT, flag TEXT, d DECIMAL_TEXT(12,4));"
                         "INSERT INTO s VALUES (1, 'ten', 'maybe', '12.5001'), (2, '20', 'false', NULL)")
    before, astray = catalogue(project), project.query("PRAGMA foreign_key_check")
    columns = project.query("SELECT cid, name, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo('t')")
    configure(project, server, sync())
    plan, _ = project.plan("s")
    assert any("CREATE TABLE" in statement and "REFERENCES t (id)" in statement for statement in plan["ddl"])
    assert catalogue(project) == before and project.query("SELECT v FROM t ORDER BY id") == [(10,), (20,)]
    run = project.sync("s")
    assert run["applied"] == 1 and run["ddl"] == plan["ddl"]  # '20' is what 20 became
    assert project.query("SELECT id, v, flag, d, doubled FROM t ORDER BY id") == [
        (1, "ten", "maybe", "12.5001", "tenten"), (2, "20", "false", None, "2020")]
    assert catalogue(project) == before
    after = project.query("SELECT cid, name, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo('t')")
    assert after[:len(columns)] == columns and [row[1] for row in after[len(columns):]] == ["_dray_synced_at"]
    assert dict(project.query("SELECT name, type FROM pragma_table_xinfo('t')"))["v"] == "TEXT"
    assert project.query("SELECT id, t FROM child") == [(7, 1), (8, 2)]  # no row of another table went with the old one
    assert project.query("PRAGMA integrity_check") == [("ok",)] and project.query("PRAGMA foreign_key_check") == astray
    assert {row[0] for row in project.query("SELECT what FROM log")} == {"10>ten"}  # the sync's change alone
    # The number that was given out last is not given again, names have no case, the CHECKs hold.
    project.execute("INSERT INTO t (v) VALUES ('new'); INSERT INTO seen (v) VALUES ('seen'); INSERT INTO child VALUES (9, 2)")
    assert project.query("SELECT id, v, \"a \"\"b\"\", (c)\", parent FROM t WHERE id > 1 ORDER BY id") == [
        (2, "20", "x, (y", 9), (91, "new", "x, (y", None), (92, "seen", "x, (y", None)]
    assert project.query("SELECT COUNT(*) FROM t WHERE \"a \"\"b\"\", (c)\" = 'X, (Y'") == [(4,)]
    with pytest.raises(sqlite3.IntegrityError):
        project.execute("INSERT INTO t (v) VALUES ('123456789')")
    with pytest.raises(sqlite3.IntegrityError):
        project.execute("INSERT INTO t (v) VALUES (NULL)")


@SQLITE
@pytest.mark.parametrize("made", [
    "CREATE TABLE t (k TEXT, id INTEGER NOT NULL, v INTEGER, PRIMARY KEY (k, id)) WITHOUT ROWID",
    "CREATE TABLE t (v INTEGER, id TEXT UNIQUE, rowid TEXT DEFAULT 'mine', k TEXT)",
    "CREATE TABLE t (id INTEGER, k TEXT, v INTEGER, _dray_synced_at TEXT) STRICT", "CREATE TABLE t(id INT,k,v'INTEGER')",
    "CREATE TABLE t (id INTEGER PRIMARY KEY DESC, v BIGINT(20)DEFAULT 1, k TEXT)"])
def test_tables_of_many_kinds_are_made_anew(project, server, source, made):
    project.execute(made + "; INSERT INTO t (id, k, v) VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3); DELETE FROM t WHERE k = 'b'")
    numbers = "WITHOUT" not in made and "SELECT _rowid_, k FROM t WHERE k < 'z' ORDER BY k"
    before = project.query(numbers) if numbers else None
    source.executescript("CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT, k TEXT); INSERT INTO s VALUES (1, 'one', 'a'), (4, 'x', 'z')")
    configure(project, server, sync())
    assert project.sync("s")["applied"] == 2
    assert project.query("SELECT k, CAST(id AS INTEGER), v FROM t ORDER BY k") == [
        ("a", 1, "one"), ("c", 3, "3"), ("z", 4, "x")]
    if numbers:
        assert project.query(numbers) == before
    assert made.split(")")[-1] in project.query("SELECT sql FROM sqlite_master WHERE name = 't'")[0][0]


@SQLITE
@pytest.mark.parametrize("made, kind, value, why", [
    ("CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER CHECK (typeof(v) = 'integer'))", "TEXT", "'x'", "CHECK"),
    ("CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER) STRICT", "DECIMAL_TEXT(9,2)", "'1.25'", "DECIMAL_TEXT"),
    ("CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER CHECK (t.v > 0))", "TEXT", "'x'", "t.v"),
    ("CREATE TABLE u (id INTEGER PRIMARY KEY, v INTEGER); CREATE VIEW t AS SELECT * FROM u", "TEXT", "'x'", "view")])
def test_a_column_that_cannot_be_widened_is_told_by_the_plan(project, server, source, made, kind, value, why):
    table = "u" if "VIEW" in made else "t"
    project.execute(made + f"; INSERT INTO {table} VALUES (1, 7)")
    before = (project.folder / "warehouse.db").read_bytes()
    source.executescript(f"CREATE TABLE s (id INTEGER PRIMARY KEY, v {kind}); INSERT INTO s VALUES (1, {value})")
    configure(project, server, sync())
    told = refused(project, "s", "schema_drift", why)
    assert told[0].splitlines()[0] == told[1].splitlines()[0]
    assert (project.folder / "warehouse.db").read_bytes() == before


@SQLITE
def test_widening_and_new_columns_of_a_killed_run_come_again(project, server, source):
    """The whole change is one transaction of the run."""
    source.executescript("CREATE TABLE s (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO s VALUES (1, 1), (2, 2)")
    configure(project, server, sync())
    project.sync("s")
    project.execute("CREATE VIEW seen AS SELECT v FROM t")
    source.executescript("DROP TABLE s; CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT, w TEXT);"
                         "INSERT INTO s VALUES (1, 'one', 'w'), (2, '2', NULL)")
    for step in ("warehouse.begin", "warehouse.loaded", "warehouse.merged"):
        project.dray("sync", "s", env={"DRAY_FAULT": f"kill:{step}:1"}).expect(1)
        assert project.query("SELECT seen.v, t.v FROM seen, t WHERE t.v = seen.v ORDER BY id") == [(1, 1), (2, 2)], step
    project.sync("s")
    assert project.query("SELECT id, v, w FROM t ORDER BY id") == [(1, "one", "w"), (2, "2", None)]
    assert "_dray_rebuilt" not in project.tables()


# The column as it was, the type it gets, and what of it has to be there still.
REMARK = r"COMMENT 'it''s (a, b), `c` \\ DEFAULT 7 \n ä'"
KEPT = [("int NOT NULL DEFAULT 5 " + REMARK, "TEXT", "'x'"), ("int unsigned DEFAULT 7 " + REMARK, "TEXT", "'x'"),
        ("int(5) DEFAULT (1 + 2) CHECK (v <> 4)", "DECIMAL_TEXT(20,4)", "'1.5000'"),
        ("decimal(6,2) DEFAULT -1.25 " + REMARK, "DECIMAL_TEXT(12,4)", "'1.0005'"),
        ("date DEFAULT '2024-02-29' " + REMARK, "TEXT", "'x'"), ("datetime(6) DEFAULT '2024-02-29 01:02:03.5'", "TEXT", "'x'"),
        ("json DEFAULT '[1]' " + REMARK, "TEXT", "'no json'")]


@MYSQL
@pytest.mark.parametrize("declared, kind, value", KEPT)
def test_a_widened_column_keeps_what_was_said_of_it(project, server, source, declared, kind, value):
    server.sql("SET sql_mode = ''; CREATE TABLE t (a int, v " + declared + ", id bigint PRIMARY KEY, `v (``, b` int DEFAULT 9, "
               "KEY a (a))")
    server.sql("INSERT INTO t (id) VALUES (9)")
    kept = ("SELECT ORDINAL_POSITION, COLUMN_DEFAULT, IS_NULLABLE, COLUMN_COMMENT, REPLACE(EXTRA, ' ', '') FROM "
            "information_schema.COLUMNS WHERE TABLE_NAME = 't' AND COLUMN_NAME = 'v'")
    before, checks = server.sql(kept), "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE TABLE_NAME = 't' AND CHECK_CLAUSE NOT LIKE 'json_valid%'"
    checked = server.sql(checks)
    source.executescript(f"CREATE TABLE s (id INTEGER PRIMARY KEY, v {kind}); INSERT INTO s VALUES (1, {value})")
    configure(project, server, sync())
    plan, _ = project.plan("s")
    assert sum("MODIFY COLUMN `v` " in statement for statement in plan["ddl"]) == 1
    run = project.sync("s")
    assert run["applied"] == 1 and run["ddl"] == plan["ddl"]
    after = server.sql(kept)
    assert after[0][0] == before[0][0] and after[0][2:] == before[0][2:]
    assert "NULL" not in (after[0][1], before[0][1])
    assert server.sql(checks) == checked
    assert server.value("SELECT v FROM t WHERE id = 1") == value.strip("'")
    server.sql("INSERT INTO t (id) VALUES (10)")
    assert server.value("SELECT v = (SELECT v FROM t WHERE id = 9) FROM t WHERE id = 10") == "1"  # the default is what it was


@MYSQL
@pytest.mark.parametrize("made, kind, value, why", [
    ("CREATE TABLE t (id bigint PRIMARY KEY, v int INVISIBLE)", "TEXT", "'x'", "Duplicate column"),
    ("CREATE TABLE t (id bigint PRIMARY KEY, v int UNIQUE AUTO_INCREMENT)", "DECIMAL_TEXT(20,4)", "'1.5'", "column specifier"),
    ("CREATE TABLE u (v int PRIMARY KEY); CREATE TABLE t (id bigint PRIMARY KEY, v int, CONSTRAINT `t'u` FOREIGN KEY (v) REFERENCES u (v))",
     "DECIMAL_TEXT(20,4)", "'1.5'", "foreign key t'u"),
    ("CREATE TABLE t (id bigint PRIMARY KEY, v int, UNIQUE KEY (v)); CREATE TABLE u (v int, CONSTRAINT `u_t` FOREIGN KEY (v) REFERENCES t (v))",
     "DECIMAL_TEXT(20,4)", "'1.5'", "foreign key u_t"),
    ("CREATE TABLE t (id bigint PRIMARY KEY, v datetime(6) DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6))", "TEXT", "'x'",
     "ON UPDATE")])
def test_a_column_of_a_server_that_cannot_be_widened_is_told_by_the_plan(project, server, source, made, kind, value, why):
    server.sql(made)
    shown = server.sql("SHOW CREATE TABLE t")
    source.executescript(f"CREATE TABLE s (id INTEGER PRIMARY KEY, v {kind}); INSERT INTO s VALUES (1, {value})")
    configure(project, server, sync())
    before = tables(server, project)
    told = refused(project, "s", "schema_drift", why)
    assert told[0].splitlines()[0] == told[1].splitlines()[0]
    assert server.sql("SHOW CREATE TABLE t") == shown and tables(server, project) == before


@MYSQL
def test_rows_that_are_too_long_for_a_page_are_told_by_the_plan(project, server, source):
    names = wide(source, 1010)
    server.sql("CREATE TABLE t (" + ", ".join(f"c{i} bigint" for i in range(900)) + ")")
    configure(project, server, sync(mode="append", key=None))
    before = tables(server, project)
    refused(project, "s", "limit")
    assert tables(server, project) == before and len(names) == 1010


@MYSQL
def test_a_plan_needs_no_right_to_make_temporary_tables(project, server, source):
    server.sql("CREATE USER plain@'%' IDENTIFIED BY " + mysql_server.text(PASSWORD) + "; GRANT SELECT, CREATE ON work.* TO plain@'%'")
    try:
        source.executescript("CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO s VALUES (1, 'x')")
        configure(project, server, sync())
        project.write("dray.yaml", (project.folder / "dray.yaml").read_text().replace("user: dray", "user: plain"))
        assert project.plan("s")[0]["ddl"]
        server.sql("CREATE TABLE t (id bigint PRIMARY KEY, v int)")
        assert any("MODIFY" in statement for statement in project.plan("s")[0]["ddl"])
    finally:
        server.sql("DROP USER plain@'%'")


HOLDERS = [("CREATE VIEW by_hand AS SELECT v FROM odd.\"T t\"", "view by_hand"),
           ("CREATE MATERIALIZED VIEW by_hand AS SELECT v FROM odd.\"T t\"", "view by_hand"),
           ("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'; CREATE TRIGGER by_hand BEFORE UPDATE "
            "OF v ON odd.\"T t\" FOR EACH ROW EXECUTE FUNCTION f()", "trigger by_hand"),
           ("CREATE POLICY by_hand ON odd.\"T t\" USING (v > 0)", "policy by_hand"),
           ("ALTER TABLE odd.\"T t\" ADD COLUMN g int GENERATED ALWAYS AS (v + 1) STORED", "column g")]


@POSTGRES
@pytest.mark.parametrize("made, why", HOLDERS)
def test_what_keeps_a_column_of_a_server_from_being_widened_is_told_by_the_plan(project, server, source, made, why):
    server.sql("CREATE SCHEMA odd AUTHORIZATION dray; CREATE TABLE odd.\"T t\" (id bigint PRIMARY KEY, v int DEFAULT 5 CHECK (v <> 3), "
               "w int UNIQUE); ALTER TABLE odd.\"T t\" OWNER TO dray; CREATE VIEW harmless AS SELECT w FROM odd.\"T t\";"
               "CREATE INDEX by_v ON odd.\"T t\" (v);" + made)
    source.executescript("CREATE TABLE s (id INTEGER PRIMARY KEY, v DECIMAL_TEXT(20,4)); INSERT INTO s VALUES (1, '1.5')")
    configure(project, server, sync(to="schema: odd, table: T t"))
    told = refused(project, "s", "schema_drift", why)
    assert told[0].splitlines()[0] == told[1].splitlines()[0]
    assert server.value("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'odd'") == "1"


@POSTGRES
def test_what_the_server_makes_anew_itself_keeps_no_column(project, server, source):
    server.sql("CREATE TABLE t (id bigint PRIMARY KEY, v int DEFAULT 5 CHECK (v <> 3) UNIQUE, w int); ALTER TABLE t OWNER TO dray;"
               "CREATE INDEX by_v ON t ((v + 1)); COMMENT ON COLUMN t.v IS 'of v'; CREATE VIEW harmless AS SELECT w FROM t")
    source.executescript("CREATE TABLE s (id INTEGER PRIMARY KEY, v DECIMAL_TEXT(20,4)); INSERT INTO s VALUES (1, '1.5')")
    configure(project, server, sync())
    plan, _ = project.plan("s")
    run = project.sync("s")
    assert run["ddl"] == plan["ddl"] and run["applied"] == 1
    server.sql("INSERT INTO t (id) VALUES (2)")
    assert server.sql("SELECT id, v FROM t ORDER BY id") == [["1", "1.5000"], ["2", "5.0000"]]
    assert server.value("SELECT col_description('t'::regclass, 2)") == "of v"
