# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Values that a table's columns do not take, though their type is right: texts longer than the column or the index, floats
that are no numbers. Each is one row on record; all others are written, in every mode and by every way rows go."""

import pytest

import harness
from engine_scene import HERE, MYSQL, engine, server, source  # noqa: F401

PASSWORD = harness.CANARY_BEARER
KEY_CHARACTERS = 766  # of plugins/mysql


def configure(project, server, mode, key="id", stream="stream: s", more=""):
    project.environment["PASSWORD"] = PASSWORD
    keyed = f", key: {key}" if key else ""
    project.config(f"connections:\n  src: {{plugin: sqlite, path: src.db}}\n"
                   f"  wh: {{plugin: {server.plugin}, host: 127.0.0.1, port: {server.port}, database: work, user: dray, "
                   f"password: !secret env:PASSWORD, sslmode: disable}}\n"
                   f"syncs:\n  s: {{from: {{connection: src, {stream}}}, to: {{connection: wh, table: t}}, mode: {mode}"
                   f"{keyed}{more}}}\n")


def held(server, columns="id, v"):
    return sorted(tuple(row) for row in server.sql(f"SELECT {columns} FROM t"))


def told(project):
    return sorted((row["key"], row["error"]) for row in project.rows("s"))


def make(server, columns):
    """A table of somebody else's, which dray may write and owns where it must."""
    if server.plugin == "mysql":
        server.sql(f"CREATE TABLE t ({columns})")
    else:
        server.sql(f"CREATE TABLE t ({columns}); ALTER TABLE t OWNER TO dray")


@HERE
@pytest.mark.parametrize("mode", ["mirror", "upsert", "history", "replace", "append"])
def test_a_text_that_a_column_is_too_short_for(project, server, source, mode):
    if mode != "history":
        make(server, "id bigint PRIMARY KEY, v varchar(5), n varchar(4)")
    source.execute("CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT, n INTEGER)")
    source.executemany("INSERT INTO s VALUES (?, ?, ?)",
                       [(1, "short", 1), (2, "longer", 1), (3, "äöü€😀", 1), (4, "äöü€😀ß", 1), (5, None, 12345), (6, "six", 9999),
                        (7, "blank   ", 1)])
    configure(project, server, mode, key=None if mode == "append" else "id")
    if mode == "history":  # its table is dray's own
        project.sync("s")
        kept = "id bigint NOT NULL, v varchar(5), n varchar(4)"
        times = ("_dray_synced_at datetime(6), _dray_valid_from datetime(6) NOT NULL, _dray_valid_to datetime(6), "
                 "_dray_current boolean NOT NULL, PRIMARY KEY (id, _dray_valid_from)")
        server.sql("DROP TABLE t")
        make(server, f"{kept}, {times if server.plugin == 'mysql' else times.replace('datetime(6)', 'timestamptz')}")
    run = project.sync("s", code=3)
    assert (run["rows_read"], run["rejected"], run["applied"]) == (7, 4, 3)
    assert held(server) == [("1", "short"), ("3", "äöü€😀"), ("6", "six")]
    keys = ["id=2", "id=4", "id=5", "id=7"]
    assert told(project) == [(key, "data_too_large") for key in keys]
    by_column = {row["key"][-1]: (row["column"], row["text"]) for row in project.rows("s")}
    assert by_column["4"][0] == "v" and "6 characters" in by_column["4"][1] and "takes 5" in by_column["4"][1]
    assert by_column["5"][0] == "n" and "takes 4" in by_column["5"][1]


@HERE
def test_a_row_that_comes_to_fit_is_taken_and_one_that_grows_is_left_as_it_was(project, server, source):
    make(server, "id bigint PRIMARY KEY, v varchar(5)")
    source.executescript("CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO s VALUES (1, 'one'), (2, 'longer'), (3, 'x')")
    configure(project, server, "mirror")
    project.sync("s", code=3)
    source.executescript("UPDATE s SET v = 'one and more' WHERE id = 1; UPDATE s SET v = 'fits' WHERE id = 2; DELETE FROM s WHERE id = 3")
    run = project.sync("s", code=3)
    assert (run["inserts"], run["updates"], run["rejected"]) == (1, 0, 1)
    assert (run["deletes"], run["deletes_withheld"]) == (0, 2)
    # A row that could not be taken is not one that is gone, so nothing is deleted.
    assert held(server) == [("1", "one"), ("2", "fits"), ("3", "x")]
    assert told(project) == [("id=1", "data_too_large")]
    source.execute("UPDATE s SET v = 'uno' WHERE id = 1")
    assert project.sync("s")["rejected"] == 0
    assert held(server) == [("1", "uno"), ("2", "fits")] and told(project) == []
    project.dray("state", "verify", "s").expect(0)


@HERE
@pytest.mark.parametrize("key", ["id", None])
def test_a_replacement_takes_no_row_away_whose_values_came_not_to_fit(project, server, source, key):
    make(server, "id integer NOT NULL, n smallint")
    source.execute("CREATE TABLE s (id INTEGER, n INTEGER)")
    source.executemany("INSERT INTO s VALUES (?, 1)", [(number,) for number in range(100)])
    configure(project, server, "replace", key=key)
    project.sync("s")
    before = held(server, "id, n")
    assert len(before) == 100
    source.executescript("UPDATE s SET n = 40000 WHERE id < 60; UPDATE s SET n = 2 WHERE id >= 98")
    if key:
        for written in (2, 0):
            run = project.sync("s", code=3)
            assert (run["applied"], run["rejected"], run["deletes_withheld"]) == (written, 60, 60)
            now = [(number, n) for number, n in before if int(number) < 98]
            assert held(server, "id, n") == sorted([*now, ("98", "2"), ("99", "2")])
    else:
        result = project.dray("sync", "s").expect(7)
        assert result.errors() == ["guard"] and "60 rows were rejected" in result.err
        assert held(server, "id, n") == before
    assert len(project.rows("s", "--limit", "1000")) == 60
    source.execute("DELETE FROM s WHERE id < 60")
    project.sync("s")
    assert len(held(server, "id, n")) == 40 and project.rows("s") == []


@HERE
def test_a_history_by_time_into_a_table_whose_columns_take_no_null(project, server, source):
    time = "datetime(6)" if server.plugin == "mysql" else "timestamptz"
    make(server, f"id bigint NOT NULL, v varchar(9) NOT NULL, at {time} NOT NULL, _dray_synced_at {time}, "
                 f"_dray_valid_from {time} NOT NULL, _dray_valid_to {time}, _dray_current boolean NOT NULL, "
                 "PRIMARY KEY (id, _dray_valid_from)")
    source.execute("CREATE TABLE s (n INTEGER PRIMARY KEY, id INTEGER, v TEXT, at DATETIME)")
    configure(project, server, "history", stream="stream: s, cursor: n",
              more=", valid_from: at, map: {id: , v: , at: }")
    rows = []
    for day, v in (("03", "c"), ("01", "a"), ("02", "b")):
        source.execute("INSERT INTO s (id, v, at) VALUES (1, ?, ?)", (v, f"2024-01-{day} 00:00:00"))
        assert project.sync("s")["applied"] > 0
        rows.append(("1", v))
        assert held(server) == sorted(rows)


@MYSQL
@pytest.mark.parametrize("mode", ["mirror", "upsert", "history", "replace", "append"])
def test_floats_that_are_no_numbers(project, server, source, mode):
    source.execute("CREATE TABLE s (id INTEGER PRIMARY KEY, v REAL)")
    source.executemany("INSERT INTO s VALUES (?, ?)", [(1, 1.5), (2, "NaN"), (3, float("inf")), (4, float("-inf")), (5, -0.25)])
    configure(project, server, mode, key=None if mode == "append" else "id")
    for again in (0, 1):
        run = project.sync("s", code=3)
        assert run["rejected"] == 3
        assert set(held(server)) == {("1", "1.5"), ("5", "-0.25")}
    assert {row["text"].split()[-1] for row in project.rows("s")} == {"NaN", "Infinity", "-Infinity"}
    assert {row["error"] for row in project.rows("s")} == {"data_type"}


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_an_engine_that_has_them_takes_them(project, server, source):
    source.execute("CREATE TABLE s (id INTEGER PRIMARY KEY, v REAL)")
    source.executemany("INSERT INTO s VALUES (?, ?)", [(1, "NaN"), (2, float("-inf"))])
    configure(project, server, "mirror")
    assert project.sync("s")["applied"] == 2
    assert held(server) == [("1", "NaN"), ("2", "-Infinity")]


@MYSQL
@pytest.mark.parametrize("mode", ["mirror", "upsert", "history"])
def test_keys_that_an_index_does_not_take(project, server, source, mode):
    fits, long = "ä" * KEY_CHARACTERS, "k" * (KEY_CHARACTERS + 1)
    source.execute("CREATE TABLE s (k TEXT NOT NULL, v TEXT)")
    rows = [("short", "1"), (long, "2"), (long + "k", "3"), ("k" * 9000, "4"), (fits, "5")]
    source.executemany("INSERT INTO s VALUES (?, ?)", rows)
    configure(project, server, mode, key="k")
    assert project.sync("s", code=3)["rejected"] == 3
    assert held(server, "k, v") == sorted([("short", "1"), (fits, "5")])
    assert len(project.rows("s")) == 3
    assert all(row["column"] == "k" and f"takes {KEY_CHARACTERS}" in row["text"] for row in project.rows("s"))
    source.executescript("UPDATE s SET v = v || 'x'; INSERT INTO s VALUES ('z', '6')")  # now by way of the staging
    assert project.sync("s", code=3)["rejected"] == 3
    now = " WHERE _dray_current" if mode == "history" else ""
    assert server.sql(f"SELECT v FROM t{now} ORDER BY v") == [["1x"], ["5x"], ["6"]]


@MYSQL
def test_a_key_of_two_columns_shares_the_characters(project, server, source):
    half = KEY_CHARACTERS // 2
    source.execute("CREATE TABLE s (a TEXT NOT NULL, b BLOB NOT NULL, v TEXT)")
    rows = [("a" * half, b"b" * half, "1"), ("a" * (half + 1), b"b", "2"), ("a", b"\xff" * (half + 1), "3"), ("é" * half, b"", "4")]
    source.executemany("INSERT INTO s VALUES (?, ?, ?)", rows)
    configure(project, server, "mirror", key="[a, b]")
    assert project.sync("s", code=3)["rejected"] == 2
    assert held(server, "v") == [("1",), ("4",)]
    assert sorted((row["column"], row["text"].split()[1]) for row in project.rows("s")) == [("a", "characters,"), ("b", "bytes,")]


@MYSQL
def test_bytes_that_a_blob_is_too_short_for(project, server, source):
    make(server, "id bigint PRIMARY KEY, v tinyblob, w varbinary(3)")
    source.execute("CREATE TABLE s (id INTEGER PRIMARY KEY, v BLOB, w BLOB)")
    source.executemany("INSERT INTO s VALUES (?, ?, ?)", [(1, b"\xc3" * 255, b"abc"), (2, b"x" * 256, b""), (3, b"", b"abcd"), (4, None, None)])
    configure(project, server, "mirror")
    assert project.sync("s", code=3)["rejected"] == 2
    assert held(server, "id") == [("1",), ("4",)]
    assert told(project) == [("id=2", "data_too_large"), ("id=3", "data_too_large")]


@HERE
def test_an_incremental_read_tells_them_once_and_forgets_them_when_they_fit(project, server, source):
    make(server, "id bigint PRIMARY KEY, v varchar(5), seen bigint")
    source.executescript("CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT, seen INTEGER);"
                         "INSERT INTO s VALUES (1, 'one', 1), (2, 'longer', 2), (3, 'longest', 3), (4, 'four', 3)")
    configure(project, server, "upsert", stream="stream: s, cursor: seen")
    assert project.sync("s", code=3)["rejected"] == 2
    source.execute("UPDATE s SET v = 'fits', seen = 4 WHERE id = 2")
    project.sync("s", code=3)  # id 3 is shown again: its cursor is the last that was seen
    assert told(project) == [("id=3", "data_too_large")]
    assert held(server) == [("1", "one"), ("2", "fits"), ("4", "four")]


@MYSQL
def test_long_keys_that_begin_alike_are_told_each(project, server, source):
    source.execute("CREATE TABLE s (k TEXT NOT NULL, seen INTEGER)")
    source.executemany("INSERT INTO s VALUES (?, 1)", [("k" * 1000,), ("k" * 1001,), ("a",)])
    configure(project, server, "upsert", key="k", stream="stream: s, cursor: seen")
    for again in (0, 1):
        project.sync("s", code=3)
        assert len(project.rows("s")) == 2


@HERE
def test_a_plan_counts_them(project, server, source):
    make(server, "id bigint PRIMARY KEY, v varchar(5)")
    source.executescript("CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO s VALUES (1, 'one'), (2, 'longer')")
    configure(project, server, "mirror")
    plan, _ = project.plan("s")
    assert (plan["inserts"], plan["rejected"], plan["exit_code"]) == (1, 1, 3)
    assert held(server, "id") == []
