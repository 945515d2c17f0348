# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Rows that were not taken, as `dray rows` has them: how long they stay there when what is read is only what is new."""

import sqlite3

import pytest

CONFIG = """version: 1
connections:
  src: {plugin: sqlite, path: src.db}
  wh: {plugin: sqlite, path: wh.db}
syncs:
  s: {from: {connection: src, stream: t, cursor: seen}, to: {connection: wh, table: t}, key: %s, mode: %s%s}
"""


@pytest.fixture
def source(project):
    connection = sqlite3.connect(project.folder / "src.db", isolation_level=None)
    connection.execute("CREATE TABLE t (id TEXT, part INTEGER, seen INTEGER, score INTEGER)")
    connection.execute("CREATE INDEX by_id ON t (id)")
    connection.execute("CREATE INDEX by_seen ON t (seen)")  # a read may be resumed at every batch
    yield connection
    connection.close()


def configure(project, key="[id, part]", mode="upsert", more=""):
    project.write("dray.yaml", CONFIG % (key, mode, more))


def put(source, seen, *rows):
    """Rows (id, score) as of `seen`; a score that is no number is one that no column takes."""
    source.execute("BEGIN")
    source.executemany("DELETE FROM t WHERE id = ?", [(name,) for name, _ in rows])
    source.executemany("INSERT INTO t VALUES (?, 1, ?, ?)", [(name, seen, score) for name, score in rows])
    source.execute("COMMIT")


def names(project):
    return sorted(row["key"] for row in project.rows("s"))


def held(project):
    with sqlite3.connect(project.folder / "wh.db") as warehouse:
        return warehouse.execute("SELECT id, score FROM t ORDER BY id").fetchall()


def test_a_row_leaves_when_a_later_read_takes_it(project, source):
    configure(project)
    put(source, 1, ("b", "bad"), ("c", "bad"), ("d", "bad"))
    put(source, 2, ("a", 1))
    assert project.sync("s", code=3)["rejected"] == 3
    assert names(project) == ["id=b part=1", "id=c part=1", "id=d part=1"]
    put(source, 3, ("b", 2), ("d", "still bad"))
    put(source, 4, ("e", 5))
    run = project.sync("s", code=3)
    assert (run["rejected"], run["inserts"]) == (1, 2)
    assert names(project) == ["id=c part=1", "id=d part=1"]  # nothing was shown of c
    put(source, 5, ("d", 4))
    project.sync("s")
    assert names(project) == ["id=c part=1"]
    assert held(project) == [("a", 1), ("b", 2), ("d", 4), ("e", 5)]
    project.sync("s")
    assert names(project) == ["id=c part=1"]
    project.dray("sync", "s", "--full-refresh").expect(3)  # shows c again, and only that
    assert names(project) == ["id=c part=1"]


def test_a_row_that_is_as_it_was_before_leaves(project, source):
    """The bad version is taken back: nothing changes in the warehouse, and yet nothing is missing there."""
    configure(project)
    put(source, 1, ("a", 1), ("b", 2))
    project.sync("s")
    put(source, 3, ("a", "bad"))
    put(source, 4, ("c", 3))
    assert project.sync("s", code=3)["rejected"] == 1
    assert names(project) == ["id=a part=1"]
    put(source, 5, ("a", 1))
    project.sync("s")
    assert names(project) == []


def test_copies_of_a_key_leave_when_one_is_taken(project, source):
    configure(project, key="id")
    put(source, 1, ("a", 1))
    project.sync("s")
    source.executemany("INSERT INTO t VALUES (?, ?, 2, ?)", [("b", 1, 1), ("b", 2, 2), (None, 3, 3)])
    put(source, 3, ("z", 9))
    assert project.sync("s", code=3)["rejected"] == 3
    assert names(project) == ["id=b", "id=b", "id=null"]
    put(source, 4, ("b", 4), ("null", 5))  # another row than the one that has no key
    project.sync("s")
    assert names(project) == ["id=null"]
    assert held(project) == [("a", 1), ("b", 4), ("null", 5), ("z", 9)]


def test_what_a_window_committed_leaves_though_the_run_dies(project, source):
    """The windows before the last one are as good as runs of their own."""
    configure(project, more=", commit_rows: 1, commit_after: 0s")
    put(source, 1, ("b", "bad"), ("c", "bad"))
    put(source, 2, ("a", 1))
    project.sync("s", code=3)
    put(source, 3, ("b", 2))
    put(source, 4, *((f"n{i}", i) for i in range(30000)))
    put(source, 5, ("c", 3))
    process = project.start("sync", "s", env={"DRAY_FAULT": "kill:sync.merged:2"})
    process.communicate()
    assert "id=b part=1" not in names(project) and "id=c part=1" in names(project)
    project.sync("s")
    assert names(project) == []


def test_rows_that_are_only_appended_stay_on_record(project, source):
    """Each is a fact of its own: a later one with the same key does not bring the one that was refused."""
    configure(project, mode="append")
    put(source, 1, ("b", "bad"))
    put(source, 2, ("a", 1))
    project.sync("s", code=3)
    put(source, 3, ("b", 2))
    project.sync("s")
    assert names(project) == ["id=b part=1"]
