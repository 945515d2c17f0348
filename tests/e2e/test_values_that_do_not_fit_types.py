# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Every type that dray writes, in tables of somebody else's, with values at the border of what it takes: those within are
written as they are, each of those beyond is one row on record. By every way rows go: straight into the empty table, by the
staging, and with other modes."""

import base64
import json

import pytest

import harness
from engine_scene import HERE, MYSQL, POSTGRES, engine, server  # noqa: F401


def configure(project, server, types, mode="mirror", key="id", more=""):
    project.environment["PASSWORD"] = harness.CANARY_BEARER
    told = ", ".join(f'{name}: "{kind}"' for name, kind in types.items())
    keyed = f", key: {key}" if key else ""
    project.config(f"connections:\n  src: {{plugin: file, path: s.jsonl, types: {{{told}}}}}\n"
                   f"  wh: {{plugin: {server.plugin}, host: 127.0.0.1, port: {server.port}, database: work, user: dray, "
                   f"password: !secret env:PASSWORD, sslmode: disable}}\n"
                   f"syncs:\n  s: {{from: {{connection: src, stream: s}}, to: {{connection: wh, table: t}}, mode: {mode}"
                   f"{keyed}{more}}}\n")


def write(project, rows):
    project.write("s.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def make(server, columns, before=""):
    if server.plugin == "mysql":
        server.sql(f"CREATE TABLE t ({columns})")
    else:
        server.sql(f"{before} CREATE TABLE t ({columns}); ALTER TABLE t OWNER TO dray")


def told(project):
    """What is on record, by the number of the row: its key, or without one its place."""
    return {int(row["key"].removeprefix("id=").removeprefix("row ")): row
            for row in project.rows("s", "--limit", "1000")}


def sync_twice(project, mode):
    """Yields the record of two runs that are to refuse rows, the second of which knows the table: it reads again what a mode of
    full reads does, and nothing else."""
    yield project.sync("s", code=3)
    if mode in ("mirror", "replace"):
        yield project.sync("s", code=3)


NUL, DEEP = "\0", 31  # of MariaDB's JSON


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


# The column, its canonical type, values that it takes, values that it does not, how the latter are called.
MYSQL_TYPES = [
    ("tinyint", "int64", [-128, 127], [-129, 128], "data_overflow"),
    ("tinyint unsigned", "int64", [0, 255], [-1, 256], "data_overflow"),
    ("tinyint(1) unsigned", "int64", [0, 255], [-1, 256], "data_overflow"),
    ("smallint", "int64", [-32768, 32767], [-32769, 32768], "data_overflow"),
    ("smallint unsigned", "int64", [0, 65535], [-1, 65536], "data_overflow"),
    ("mediumint", "int64", [-8388608, 8388607], [-8388609, 8388608], "data_overflow"),
    ("mediumint unsigned", "int64", [0, 16777215], [-1, 16777216], "data_overflow"),
    ("int", "int64", [-2147483648, 2147483647], [-2147483649, 2147483648], "data_overflow"),
    ("int unsigned zerofill", "int64", [0, 4294967295], [-1, 4294967296], "data_overflow"),
    ("bigint", "int64", [-2**63, 2**63 - 1], [], None),
    ("bigint unsigned", "int64", [0, 2**63 - 1], [-1, -2**63], "data_overflow"),
    ("bigint unsigned", "decimal(20,0)", ["0", "18446744073709551615"], ["-1", "18446744073709551616", "9" * 20], "data_overflow"),
    ("decimal(5,2) unsigned", "decimal(5,2)", ["0.00", "999.99"], ["-0.01"], "data_overflow"),
    ("decimal(7,3) unsigned", "decimal(5,2)", ["0.000", "999.990"], ["-999.99"], "data_overflow"),
    ("decimal(38,0) unsigned", "int64", [0, 2**63 - 1], [-1], "data_overflow"),
    ("double", "float64", [1.7976931348623157e308, 5e-324], ["NaN", "Infinity"], "data_type"),
    ("double unsigned", "float64", [0.0, 1.5], [-1e-300, -2.0], "data_overflow"),
    ("date", "date", ["0001-01-01", "9999-12-31"], [], None),
    ("datetime(6)", "timestamp", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"], [], None),
    ("timestamp(6) NULL", "timestamp", ["1970-01-01T00:00:01Z", "2038-01-19T03:14:07.999999Z"],
     ["1970-01-01T00:00:00Z", "2038-01-19T03:14:08Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"], "data_date"),
    ("tinytext CHARACTER SET utf8mb4", "string", ["x" * 255, "ä" * 127 + "x", "😀" * 63], ["x" * 256, "ä" * 128, "😀" * 64],
     "data_too_large"),
    ("tinytext CHARACTER SET utf8mb3", "string", ["€" * 85], ["€" * 86], "data_too_large"),
    ("tinytext CHARACTER SET latin1", "string", ["ä" * 255], ["ä" * 256], "data_too_large"),
    ("tinytext CHARACTER SET ucs2", "string", ["€" * 127], ["€" * 128], "data_too_large"),
    ("tinytext CHARACTER SET utf32", "string", ["😀" * 63], ["x" * 64], "data_too_large"),
    ("text CHARACTER SET utf8mb4", "string", ["ä" * 32767 + "x"], ["ä" * 32768], "data_too_large"),
    ("text CHARACTER SET utf8mb4", "int64", [2**63 - 1], [], None),
    ("tinytext CHARACTER SET latin1", "decimal(38,2)", ["9" * 36 + ".99"], [], None),
    ("tinytext CHECK (JSON_VALID(c))", "json", [["x" * 251]], [["x" * 252], ["é" * 126]], "data_too_large"),
    ("varchar(5) CHARACTER SET latin1", "string", ["naïve", "€‚ƒ„…", "œŸž™Š"], ["Łódź", "1\u2192", "😀", "\u0080"], "data_rejected"),
    ("tinytext CHARACTER SET latin1 CHECK (JSON_VALID(c))", "json", ["€"], ["→", ["é", "ć"]], "data_rejected"),
    ("varchar(5) CHARACTER SET ascii", "string", ["plain", "\x7f"], ["ä", "€", "aaaaé"], "data_rejected"),
    ("varchar(5) CHARACTER SET utf8mb3", "string", ["äö€", "\uffff", "\ue000"], ["😀", "aaaa\U00010000"], "data_rejected"),
    ("longtext CHARACTER SET ucs2", "string", ["\ufffd€"], ["x😀"], "data_rejected"),
    ("json", "json", [nested(DEEP), "\0", "[[" * 50, 1e300], [nested(DEEP + 1), {"a": nested(DEEP)}], "data_too_large"),
    ("tinyblob", "bytes", ["A" * 340], ["A" * 344], "data_too_large"),
    ("boolean", "bool", [True, False], [], None),
]
POSTGRES_TYPES = [
    ("smallint", "int64", [-32768, 32767], [-32769, 32768, 2**63 - 1, -2**63], "data_overflow"),
    ("integer", "int64", [-2147483648, 2147483647], [-2147483649, 2147483648], "data_overflow"),
    ("bigint", "int64", [-2**63, 2**63 - 1], [], None),
    ("narrow", "int64", [1], [32768], "data_overflow"),  # a domain over a domain over smallint
    ("numeric(5,2)", "decimal(5,2)", ["-999.99", "999.99"], [], None),
    ("numeric(2,4)", "decimal(4,4)", ["0.0099", "-0.0099"], ["0.0100", "-0.0100", "0.9999"], "data_overflow"),
    ("double precision", "float64", [1.7976931348623157e308, "NaN", "-Infinity"], [], None),
    ("date", "date", ["0001-01-01", "9999-12-31"], [], None),
    ("timestamptz", "timestamp", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"], [], None),
    ("timestamp(0)", "timestamp", ["2024-02-29T12:00:01Z", "1969-12-31T23:59:59Z"],
     ["2024-02-29T12:00:01.5Z", "1969-12-31T23:59:59.999999Z"], "data_precision"),
    ("timestamptz(3)", "timestamp", ["2024-02-29T12:00:01.123Z"], ["2024-02-29T12:00:01.1234Z", "0001-01-01T00:00:00.000001Z"],
     "data_precision"),
    ("json", "json", ["\0", {"\0": "\0"}, 1e300], [], None),
    ("jsonb", "json", ["\\u0000", {"\\\\u0000": "\\\\"}, [1e300, -0.5]], ["\0", {"a\0": 1}, ["x\\\0y"], "\\\0"], "data_rejected"),
    ("varchar(5)", "string", ["€€€€€"], ["123456"], "data_too_large"),
    ("text", "string", ["😀" * 1000], [], None),
    ("boolean", "bool", [True, False], [], None),
]
TYPES = {"mysql": MYSQL_TYPES, "postgres": POSTGRES_TYPES}


def cases(plugin):
    """Of each value a row: its number, the column, the value, how it is refused (None: it is not)."""
    number = 0
    for column, (_, _, fit, beyond, error) in enumerate(TYPES[plugin]):
        for value, why in [(value, None) for value in fit] + [(value, error) for value in beyond]:
            number += 1
            yield number, f"c{column}", value, why


def columns_of(server):
    return {f"c{i}": declared.replace("(c)", f"(c{i})") for i, (declared, *_) in enumerate(TYPES[server.plugin])}


def expect(server, project, rows, run):
    refused = {number: (column, why) for number, column, _, why in rows if why is not None}
    assert {number: (row["column"], row["error"]) for number, row in told(project).items()} == refused
    assert (run["rejected"], run["rows_read"]) == (len(refused), len(rows))
    kept = [number for number, *_ in rows if number not in refused]
    assert sorted(int(row[0]) for row in server.sql("SELECT id FROM t")) == kept


def as_sent(server, number, column):
    """The value of a column as a number, or the text of anything else."""
    cast = "HEX({})" if server.plugin == "mysql" else "encode(convert_to({}::text, 'UTF8'), 'hex')"
    converted = f"CONVERT({column} USING utf8mb4)" if server.plugin == "mysql" else column
    return bytes.fromhex(server.value(f"SELECT {cast.format(converted)} FROM t WHERE id = {number}")).decode()


@HERE
@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_each_type_at_its_border(project, server, mode):
    rows = list(cases(server.plugin))
    columns = columns_of(server)
    make(server, "id bigint PRIMARY KEY, " + ", ".join(f"{name} {declared}" for name, declared in columns.items()),
         before="CREATE DOMAIN small AS smallint; CREATE DOMAIN narrow AS small CHECK (VALUE <> 7);")
    types = {"id": "int64", **{f"c{i}": kind for i, (_, kind, *_) in enumerate(TYPES[server.plugin])}}
    configure(project, server, types, mode, key="id" if mode == "mirror" else None)
    write(project, [{"id": number, **{name: None for name in columns}, column: value} for number, column, value, _ in rows])
    expect(server, project, rows, project.sync("s", code=3))
    for number, column, value, why in rows:
        if why is None and types[column] in ("int64", "decimal(20,0)"):
            assert int(as_sent(server, number, column)) == int(value)
        if why is None and types[column] == "string":
            assert as_sent(server, number, column) == value
    if mode == "append":
        return
    # Now by the staging, as inserts and as updates.
    server.sql("DELETE FROM t WHERE id % 2 = 0; UPDATE t SET _dray_synced_at = NULL")
    project.dray("state", "rebuild", "s", "--yes").expect(0)
    run = project.sync("s", code=3)
    expect(server, project, rows, run)
    assert run["inserts"] > 0


@HERE
def test_a_value_that_outgrows_its_column_leaves_the_row_as_it_was(project, server):
    make(server, "id bigint PRIMARY KEY, v smallint")
    configure(project, server, {"id": "int64", "v": "int64"})
    write(project, [{"id": 1, "v": 1}, {"id": 2, "v": 2}])
    project.sync("s")
    write(project, [{"id": 1, "v": 40000}, {"id": 2, "v": 3}, {"id": 3, "v": -40000}])
    run = project.sync("s", code=3)
    assert (run["inserts"], run["updates"], run["rejected"]) == (0, 1, 2)
    assert sorted(server.sql("SELECT id, v FROM t")) == [["1", "1"], ["2", "3"]]
    assert "32767" in told(project)[1]["text"] and "-32768" in told(project)[3]["text"]
    plan, _ = project.plan("s")
    assert (plan["rejected"], plan["exit_code"]) == (2, 3)


@HERE
def test_a_column_that_is_widened_is_not_limited_any_more(project, server):
    """Where today's plan widens, it goes on: a decimal into a smallint."""
    make(server, "id bigint PRIMARY KEY, v smallint")
    configure(project, server, {"id": "int64", "v": "decimal(12,2)"})
    write(project, [{"id": 1, "v": "40000.25"}])
    assert project.sync("s")["rejected"] == 0
    assert [float(row[0]) for row in server.sql("SELECT v FROM t")] == [40000.25]


@HERE
@pytest.mark.parametrize("mode", ["mirror", "upsert", "history", "replace"])
def test_keys_outside_their_column(project, server, mode):
    if mode == "history":
        times = "datetime(6)" if server.plugin == "mysql" else "timestamptz"
        make(server, f"id smallint, v integer, _dray_synced_at {times}, _dray_valid_from {times}, _dray_valid_to {times}, "
                     "_dray_current boolean NOT NULL, PRIMARY KEY (id, _dray_valid_from)")
    else:
        make(server, "id smallint PRIMARY KEY, v integer")
    configure(project, server, {"id": "int64", "v": "int64"}, mode)
    write(project, [{"id": 32767, "v": 1}, {"id": 32768, "v": 2}, {"id": 3, "v": 2**31}])
    for run in sync_twice(project, mode):
        assert run["rejected"] == 2
        assert server.sql("SELECT id, v FROM t") == [["32767", "1"]]
    assert sorted(told(project)) == [3, 32768]


# ---- nulls ----

@HERE
@pytest.mark.parametrize("mode", ["mirror", "upsert", "replace", "append"])
def test_a_null_in_a_column_that_takes_none(project, server, mode):
    make(server, "id bigint PRIMARY KEY, plain integer NOT NULL, filled varchar(9) DEFAULT 'none' NOT NULL")
    configure(project, server, {"id": "int64", "plain": "int64", "filled": "string"}, mode, key=None if mode == "append" else "id")
    write(project, [{"id": 1, "plain": 1, "filled": "x"}, {"id": 2, "plain": None, "filled": "x"},
                    {"id": 3, "plain": 1, "filled": None}, {"id": 4, "filled": "x"}, {"id": 5, "plain": 5, "filled": ""}])
    assert project.sync("s", code=3)["rejected"] == 3
    assert sorted(server.sql("SELECT id, plain, filled FROM t")) == [["1", "1", "x"], ["5", "5", ""]]
    rows = told(project)
    assert {number: (row["column"], row["error"]) for number, row in rows.items()} == {
        2: ("plain", "data_rejected"), 3: ("filled", "data_rejected"), 4: ("plain", "data_rejected")}
    assert rows[2]["text"].startswith("null") and "default" not in rows[2]["text"]
    assert rows[3]["text"].startswith("null") and "default" in rows[3]["text"]
    assert rows[4]["text"].startswith("absent")


@HERE
def test_a_row_that_is_there_keeps_what_is_absent(project, server):
    make(server, "id bigint PRIMARY KEY, v integer NOT NULL, w integer")
    configure(project, server, {"id": "int64", "v": "int64", "w": "int64"}, "upsert")
    write(project, [{"id": 1, "v": 1, "w": 1}])
    project.sync("s")
    write(project, [{"id": 1, "w": 2}, {"id": 2, "v": 2, "w": 2}, {"id": 1000, "v": None, "w": 3}])
    run = project.sync("s", code=3)
    assert (run["inserts"], run["updates"], run["rejected"]) == (1, 1, 1)
    assert sorted(server.sql("SELECT id, v, w FROM t")) == [["1", "1", "2"], ["2", "2", "2"]]


@HERE
@pytest.mark.parametrize("mode", ["mirror", "upsert", "history"])
def test_a_new_row_that_lacks_a_value_among_others_that_are_there(project, server, mode):
    """Which of the two a row is, is known when it has been compared."""
    times = "datetime(6)" if server.plugin == "mysql" else "timestamptz"
    more = (f"_dray_synced_at {times}, _dray_valid_from {times}, _dray_valid_to {times}, _dray_current boolean NOT NULL, "
            "PRIMARY KEY (id, _dray_valid_from)") if mode == "history" else "PRIMARY KEY (id)"
    make(server, f"id bigint, v integer NOT NULL, w integer, {more}")
    configure(project, server, {"id": "int64", "v": "int64", "w": "int64"}, mode, more=", guard: off")
    write(project, [{"id": number, "v": number, "w": 1} for number in range(10)])
    project.sync("s")
    rows = [{"id": number, "w": 2} for number in range(20) if number != 15] + [{"id": 15, "v": 15, "w": 2}]
    write(project, rows)
    plan, _ = project.plan("s")
    assert (plan["inserts"], plan["updates"], plan["rejected"]) == (1, 10, 9)
    run = project.sync("s", code=3)
    assert (run["inserts"], run["updates"], run["rejected"]) == (1, 10, 9)
    now = " WHERE _dray_current" if mode == "history" else ""
    there = [[str(number), str(number), "2"] for number in [*range(10), 15]]
    assert server.sql(f"SELECT id, v, w FROM t{now} ORDER BY id") == there
    assert sorted(told(project)) == [number for number in range(10, 20) if number != 15]
    assert all(row["column"] == "v" and row["text"].startswith("absent") for row in told(project).values())
    project.dray("state", "verify", "s").expect(0)
    if mode == "upsert":  # reads what is new alone
        rows = [{"id": 12, "v": 12, "w": 3}]
        write(project, [{"id": number, "w": 2} for number in range(20) if number != 15] + [{"id": 15, "v": 15, "w": 2}] + rows)
        project.sync("s")
    else:
        write(project, [{**row, "v": row["id"]} for row in rows])
        assert project.sync("s")["inserts"] == 9
        assert told(project) == {}
    assert server.sql(f"SELECT v FROM t{now and now + ' AND' or ' WHERE'} id = 12") == [["12"]]
    assert 12 not in told(project)


@POSTGRES
def test_a_domain_that_takes_no_null(project, server):
    make(server, "id bigint PRIMARY KEY, v given", before="CREATE DOMAIN whole AS integer NOT NULL; CREATE DOMAIN given AS whole;")
    configure(project, server, {"id": "int64", "v": "int64"})
    write(project, [{"id": 1, "v": 1}, {"id": 2, "v": None}])
    assert project.sync("s", code=3)["rejected"] == 1
    assert sorted(told(project)) == [2]


@MYSQL
def test_a_null_that_the_server_would_fill(project, server):
    make(server, "id bigint PRIMARY KEY, v timestamp(6) NOT NULL, n int AUTO_INCREMENT UNIQUE")
    configure(project, server, {"id": "int64", "v": "timestamp", "n": "int64"})
    now = "2024-02-29T12:00:00Z"
    write(project, [{"id": 1, "v": now, "n": 1}, {"id": 2, "v": None, "n": 2}, {"id": 3, "v": now, "n": None}])
    assert project.sync("s", code=3)["rejected"] == 2
    assert sorted(told(project)) == [2, 3] and server.sql("SELECT id FROM t") == [["1"]]


def test_a_null_in_sqlite(project):
    project.config("connections:\n  src: {plugin: file, path: s.jsonl, types: {id: int64, v: int64}}\n"
                   "  wh: {plugin: sqlite, path: warehouse.db}\n"
                   "syncs:\n  s: {from: {connection: src, stream: s}, to: {connection: wh, table: t}, key: id}\n")
    project.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER NOT NULL)")
    write(project, [{"id": 1, "v": 1}, {"id": 2, "v": None}])
    assert project.sync("s", code=3)["rejected"] == 1
    assert project.query("SELECT id, v FROM t") == [(1, 1)]


# ---- the tables that dray makes ----

@MYSQL
def test_json_that_nests_too_deep_for_a_table_of_dray_s(project, server):
    configure(project, server, {"id": "int64", "v": "json"})
    write(project, [{"id": 1, "v": nested(DEEP)}, {"id": 2, "v": nested(DEEP + 1)}, {"id": 3, "v": "[" * 40 + '"['}])
    for run in sync_twice(project, "mirror"):
        assert run["rejected"] == 1
        assert sorted(told(project)) == [2]
    assert server.sql("SELECT id FROM t") == [["1"], ["3"]]


@MYSQL
@pytest.mark.parametrize("local_infile", [1, 0])
def test_values_that_the_server_does_not_work_with(project, server, local_infile):
    """LOAD takes a value beyond max_allowed_packet, and nothing can be done with it afterwards."""
    most = 2**20 - 1000
    before = server.value("SELECT @@GLOBAL.max_allowed_packet")
    server.sql(f"SET GLOBAL max_allowed_packet = {2**20}; SET GLOBAL local_infile = {local_infile}")
    try:
        configure(project, server, {"id": "int64", "v": "string", "b": "bytes"})
        for letter in "xyz":  # straight into the table, and by the staging
            write(project, [{"id": 1, "v": letter * most}, {"id": 2, "v": letter * (most + 1)}, {"id": 3, "v": letter},
                            {"id": 4, "b": base64.b64encode(letter.encode() * most).decode()},
                            {"id": 5, "b": base64.b64encode(letter.encode() * (most + 1)).decode()}])
            assert project.sync("s", code=3)["rejected"] == 2
            assert sorted(told(project)) == [2, 5]
            assert server.sql("SELECT id, length(v), length(b), left(v, 1) FROM t") == [
                ["1", str(most), "NULL", letter], ["3", "1", "NULL", letter], ["4", "NULL", str(most), "NULL"]]
    finally:
        server.sql(f"SET GLOBAL max_allowed_packet = {before}; SET GLOBAL local_infile = 1")


@POSTGRES
@pytest.mark.parametrize("mode", ["mirror", "upsert", "history"])
def test_keys_that_may_be_too_long_for_their_index(project, server, mode):
    """What cannot be compressed is the worst case: a key of as many bytes as are taken goes in, whatever it is made of."""
    words = "".join(f"{number * 2654435761 % 2**32:08x}" for number in range(1, 500))
    noise = "".join(chr(0x4e00 + int(words[i:i + 4], 16) % 20000) for i in range(0, 3600, 4))  # three bytes each
    most = 2696 - 7 - (32 if mode == "history" else 0)
    fits = noise[:most // 3] + "x" * (most % 3)
    configure(project, server, {"k": "string", "v": "int64"}, mode, key="k")
    write(project, [{"k": fits, "v": 1}, {"k": fits + "y", "v": 2}, {"k": "short", "v": 3}, {"k": "z" * 9000, "v": 4}])
    for run in sync_twice(project, mode):
        assert run["rejected"] == 2
        assert server.sql("SELECT v FROM t ORDER BY v") == [["1"], ["3"]]
        assert {row["error"] for row in project.rows("s")} == {"data_too_large"} and len(project.rows("s")) == 2


@POSTGRES
def test_the_columns_of_a_key_share_their_index(project, server):
    configure(project, server, {"a": "string", "n": "int64", "b": "string"}, key="[a, n, b]")
    write(project, [{"a": "a" * 2000, "n": 1, "b": "b" * 640}, {"a": "a" * 2000, "n": 2, "b": "b" * 660}, {"a": "a", "n": 3, "b": "b"}])
    assert project.sync("s", code=3)["rejected"] == 1
    assert server.sql("SELECT n FROM t ORDER BY n") == [["1"], ["3"]]
    assert [row["column"] for row in project.rows("s")] == ["b"]


@POSTGRES
def test_a_table_without_an_index_takes_long_keys(project, server):
    make(server, "k text NOT NULL, v bigint")
    configure(project, server, {"k": "string", "v": "int64"}, key="k")
    write(project, [{"k": "z" * 9000, "v": 4}])
    assert project.sync("s")["rejected"] == 0


@POSTGRES
def test_a_scale_below_zero_is_not_written(project, server):
    """The server would round 12345 to 12300, in silence."""
    make(server, "id bigint PRIMARY KEY, v numeric(3, -2)")
    configure(project, server, {"id": "int64", "v": "decimal(5,0)"})
    write(project, [{"id": 1, "v": "12345"}])
    result = project.dray("sync", "s").expect(1)
    assert "schema_drift" in result.errors() and server.sql("SELECT v FROM t") == []
