# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Tables of somebody else's in a SQLite file, made anew because columns get another type: names in another case, and the numbers that
a table gives out."""

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
