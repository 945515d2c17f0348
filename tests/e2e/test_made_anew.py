# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of somebody else's in a SQLite file, made anew because columns get another type: what is no value of its column's type,
names in another case, the numbers that a table gives out; a run that is killed in the middle of it, and who reads meanwhile."""

import sqlite3
import threading

import pytest

import harness

ROWS = 20000  # with what is beside them, more than the 32 MiB that a run keeps in memory: it writes the file before its end


@pytest.fixture
def source(project):
    connection = sqlite3.connect(project.folder / "src.db", isolation_level=None)
    yield connection
    connection.close()


def configure(project, table="t", key="id"):
    project.config("connections:\n  src: {plugin: sqlite, path: src.db}\n  wh: {plugin: sqlite, path: warehouse.db}\n"
                   f"syncs:\n  s: {{from: {{connection: src, stream: s}}, to: {{connection: wh, table: {table}}}, mode: upsert, "
                   f"key: {key}}}\n")


@pytest.mark.parametrize("table", ["orders", "Orders", "ORDERS"])
def test_a_table_keeps_its_spelling_and_the_numbers_it_gives_out(project, source, table):
    project.execute(f"CREATE TABLE {table} (pk INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, n INTEGER);"
                    f"CREATE TABLE child (o INTEGER REFERENCES {table} (pk) ON DELETE CASCADE); CREATE TABLE log (what);"
                    "CREATE INDEX by_n ON orders (n); CREATE TRIGGER noted AFTER INSERT ON Orders BEGIN INSERT INTO log VALUES "
                    f"(new.pk); END; INSERT INTO {table} (pk, id, n) VALUES (1, 'a', 1), (100, 'b', 2); DELETE FROM log;"
                    f"DELETE FROM {table} WHERE pk = 100; INSERT INTO child VALUES (1)")
    names = "SELECT type, name, tbl_name COLLATE NOCASE FROM sqlite_master WHERE name NOT LIKE '%dray%' ORDER BY name"
    before = project.query(names)
    source.executescript("CREATE TABLE s (id TEXT, n TEXT); INSERT INTO s VALUES ('a', 'x1'), ('q', '2')")
    configure(project, table="orders")
    assert project.sync("s")["applied"] == 2
    assert project.query("SELECT pk, id, n, typeof(n) FROM orders ORDER BY pk") == [(1, "a", "x1", "text"), (101, "q", "2", "text")]
    assert project.query("SELECT name, seq FROM sqlite_sequence") == [(table, 101)]
    assert [(kind, name) for kind, name, _ in project.query(names)] == [(kind, name) for kind, name, _ in before]
    assert project.query("SELECT what FROM log") == [(101,)] and project.query("SELECT o FROM child") == [(1,)]


# What stands in the column, and what stands there afterwards, both as SQL.
CELLS = {
    "INTEGER": [("0.30000000000000004", "'0.30000000000000004'"), ("12345678901234.56", "'12345678901234.56'"),
                ("1.4523142177899403e308", "'1.4523142177899403e+308'"), ("9e999", "'Infinity'"), ("x'00ff41'", "x'00ff41'"),
                ("x''", "x''"), ("'word'", "'word'"), ("''", "''"), ("' 5 x'", "' 5 x'"), ("CAST(x'61ff00' AS TEXT)", "CAST(x'61ff00' AS TEXT)"),
                ("9223372036854775807", "'9223372036854775807'"), ("NULL", "NULL")],
    "BOOLEAN": [("0", "'false'"), ("1", "'true'"), ("2", "'2'"), ("-1", "'-1'"), ("0.5", "'0.5'"), ("'yes'", "'yes'"), ("x'01'", "x'01'"),
                ("NULL", "NULL")],
    "NUMERIC(6,2)": [("12.5", "'12.5'"), ("3", "'3'"), ("0.30000000000000004", "'0.30000000000000004'"), ("x'ff'", "x'ff'")],
    "DATETIME": [("2460000.5", "'2460000.5'"), ("1700000000", "'1700000000'"), ("'2024-02-29 12:00'", "'2024-02-29 12:00'")],
}


def stored(project, column):
    """Each cell's class and bytes; a real is there as what it is."""
    return project.query(f"SELECT typeof({column}), hex(CAST({column} AS BLOB)) FROM t WHERE id < 1000 ORDER BY id")


@pytest.mark.parametrize("declared", CELLS)
def test_cells_that_are_not_of_the_column_s_type_keep_their_value(project, source, declared):
    cells = CELLS[declared]
    project.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
    for number, (value, _) in enumerate(cells):
        project.execute(f"INSERT INTO t VALUES ({number}, {value})")
    source.executescript("CREATE TABLE s (id INTEGER, v TEXT); INSERT INTO s VALUES (1000, 'a text')")
    numbers = project.query("SELECT id, v FROM t WHERE typeof(v) = 'real'")
    configure(project)
    project.sync("s")
    assert project.query("SELECT type FROM pragma_table_info('t') WHERE name = 'v'") == [("TEXT",)]
    wanted = project.query("SELECT typeof(v), hex(CAST(v AS BLOB)) FROM (" + " UNION ALL ".join(
        f"SELECT {number} AS id, {after} AS v" for number, (_, after) in enumerate(cells)) + ") ORDER BY id")
    assert stored(project, "v") == wanted
    for number, value in numbers:
        assert [float(row[0]) for row in project.query("SELECT v FROM t WHERE id = ?", (number,))] == [value]


def refused(project, *words):
    """Plan and run end with the same error, and the file is as it was."""
    before, said = (project.folder / "warehouse.db").read_bytes(), []
    for command in ("plan", "sync"):
        result = project.dray(command, "s").expect(1)
        assert "schema_drift" in result.errors() and all(word in result.err for word in words), result
        said.append(result.err.splitlines()[0])
    assert said[0] == said[1] and (project.folder / "warehouse.db").read_bytes() == before


@pytest.mark.parametrize("columns", ["pk INTEGER PRIMARY KEY, id TEXT UNIQUE", "pk INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE",
                                     "pk INTEGER NOT NULL, id TEXT UNIQUE, CONSTRAINT one PRIMARY KEY (PK DESC)"])
def test_the_number_of_the_row_gets_no_other_type(project, source, columns):
    project.execute(f"CREATE TABLE t ({columns}); INSERT INTO t VALUES (1, 'a')")
    source.executescript("CREATE TABLE s (id TEXT, pk TEXT); INSERT INTO s VALUES ('a', 'x')")
    configure(project)
    refused(project, "INTEGER PRIMARY KEY")


@pytest.mark.parametrize("columns", ["pk INT PRIMARY KEY, id TEXT UNIQUE", "pk INTEGER PRIMARY KEY DESC, id TEXT UNIQUE",
                                     "pk INTEGER, id TEXT UNIQUE, PRIMARY KEY (pk, id)",
                                     "pk INTEGER NOT NULL PRIMARY KEY, id TEXT UNIQUE) WITHOUT ROWID --"])
def test_a_key_that_is_no_number_of_the_row_does(project, source, columns):
    project.execute(f"CREATE TABLE t ({columns}\n); INSERT INTO t VALUES (1, 'a')" if "--" not in columns else
                    f"CREATE TABLE t ({columns}\n; INSERT INTO t VALUES (1, 'a')")
    source.executescript("CREATE TABLE s (id TEXT, pk TEXT); INSERT INTO s VALUES ('b', 'x')")
    configure(project)
    project.sync("s")
    assert project.query("SELECT pk, id FROM t ORDER BY pk") == [("1", "a"), ("x", "b")]


# ---- killed, and read meanwhile ----

OPERATORS = f"""
CREATE TABLE People (pk INTEGER PRIMARY KEY AUTOINCREMENT, id INTEGER NOT NULL UNIQUE, v INTEGER, pad TEXT);
CREATE TABLE child (p INTEGER REFERENCES People (pk) ON DELETE CASCADE);
CREATE INDEX by_v ON People (v);
CREATE VIEW seen AS SELECT id, v FROM People;
CREATE TRIGGER noted AFTER DELETE ON People BEGIN DELETE FROM child; END;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
  INSERT INTO People SELECT i, i, i % 100, hex(zeroblob(1000)) FROM n;
INSERT INTO People (pk, id) VALUES (900000, 900000); DELETE FROM People WHERE id = 900000;
INSERT INTO child VALUES (1), (2);
"""
LOOK = ("SELECT (SELECT type FROM pragma_table_info('People') WHERE name = 'v'), count(*), sum(CAST(v AS INTEGER)), "
        "group_concat(DISTINCT typeof(v)), (SELECT seq FROM sqlite_sequence), (SELECT count(*) FROM child), (SELECT count(*) FROM seen),"
        "(SELECT count(*) FROM sqlite_master WHERE tbl_name = 'People'), "
        "(SELECT count(*) FROM sqlite_master WHERE name = '_dray_rebuilt') FROM People WHERE id <= " + str(ROWS))
SUM = sum(i % 100 for i in range(1, ROWS + 1))
BEFORE = ("INTEGER", ROWS, SUM, "integer", 900000, 2, ROWS, 4, 0)
AFTER = ("TEXT", ROWS, SUM, "text", 900001, 2, ROWS + 1, 4, 0)


@pytest.fixture(params=["delete", "wal"])
def people(project, source, request):
    project.execute(f"PRAGMA journal_mode = {request.param};" + OPERATORS)
    source.executescript("CREATE TABLE s (id INTEGER, v TEXT); INSERT INTO s VALUES (900001, 'new')")
    configure(project, table="people")
    return project


def look(people):
    connection = sqlite3.connect(people.folder / "warehouse.db", timeout=60)  # takes back what was left in the middle
    try:
        return connection.execute(LOOK).fetchone(), connection.execute("PRAGMA integrity_check").fetchall()
    finally:
        connection.close()


def size(people):
    """Of all that a transaction writes."""
    paths = [people.folder / ("warehouse.db" + suffix) for suffix in ("", "-wal")]
    return sum(path.stat().st_size for path in paths if path.exists())


def test_a_run_that_is_killed_within_leaves_the_table_whole(people):
    """At the steps that have a name, and while the new table is being written, sooner and later."""
    for step in ("warehouse.begin", "warehouse.loaded", "warehouse.merged", "sync.merged"):
        people.dray("sync", "s", env={"DRAY_FAULT": f"kill:{step}:1"}).expect(1)
        assert look(people) == (BEFORE, [("ok",)]), step
    before, seen = size(people), []
    for more in (1, 4 << 20, 12 << 20):
        running = people.start("sync", "s")
        harness.wait_until(lambda: running.poll() is not None or size(people) > before + more, what="a run that writes")
        grown = size(people) > before
        people.kill(running)
        now, whole = look(people)
        assert grown and now in (BEFORE, AFTER) and whole == [("ok",)], more
        seen.append(now)
        if now == AFTER:  # it was too fast
            break
    assert seen[0] == BEFORE
    people.sync("s")
    assert look(people) == (AFTER, [("ok",)])
    people.dray("state", "verify", "s").expect(0)


def test_who_reads_meanwhile_sees_the_table_as_it_was_or_as_it_is(people):
    seen, problems, ended = [], [], threading.Event()

    def read():
        connection = sqlite3.connect(f"file:{people.folder / 'warehouse.db'}?mode=ro", uri=True, timeout=60)
        try:
            while not ended.wait(0.02):
                seen.append(connection.execute(LOOK).fetchone())
            seen.append(connection.execute(LOOK).fetchone())
        except sqlite3.Error as problem:
            problems.append(problem)
        finally:
            connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        people.sync("s")
    finally:
        ended.set()
        reader.join()
    assert problems == [] and seen[-1] == AFTER
    assert set(seen) <= {BEFORE, AFTER} and seen == sorted(seen, key=lambda row: row == AFTER)
