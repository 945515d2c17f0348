# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of somebody else's in a SQLite file, made anew because columns get another type: what is no value of its column's type,
names in another case, the numbers that a table gives out."""

import sqlite3

import pytest

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
