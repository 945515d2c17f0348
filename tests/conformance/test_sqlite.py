#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The kit on the plugin `sqlite`: a database that another program made is read, and a new one is the warehouse."""
import os
import sqlite3
import tempfile
import unittest

import kit

HUGE = "x" * 65536 + "\U0001F600"
ROWS = [
    (1, "Grüße, 東京 \U0001F600", 9223372036854775807, 1.7976931348623157e308, b"\x00\xff\x80", "2024-02-29",
     "2024-03-31 01:00:00"),
    (2, "", -9223372036854775808, 2.2250738585072014e-308, b"", "0001-01-01", "0001-01-01 00:00:00"),
    (3, None, None, None, None, None, None),
    (4, HUGE, 9007199254740993, -0.1, b"z" * 70000, "9999-12-31", "9999-12-31 23:59:59.999999"),
    (5, "'; drop table edges; --", 0, 0.0, b"null", "1969-12-31", "1969-12-31 23:59:59.999999")]
EXPECTED = [
    ["1", "Grüße, 東京 \U0001F600", "9223372036854775807", "1.7976931348623157e+308", "AP+A", "2024-02-29",
     "2024-03-31T01:00:00Z"],
    ["2", "", "-9223372036854775808", "2.2250738585072014e-308", "", "0001-01-01", "0001-01-01T00:00:00Z"],
    ["3", None, None, None, None, None, None],
    ["4", HUGE, "9007199254740993", "-0.1", "enp6" * 23333 + "eg==", "9999-12-31", "9999-12-31T23:59:59.999999Z"],
    ["5", "'; drop table edges; --", "0", "0", "bnVsbA==", "1969-12-31", "1969-12-31T23:59:59.999999Z"]]


@unittest.skipUnless(kit.BIN, "DRAY_BIN names no program")
class TestSqlite(unittest.TestCase):
    maxDiff = None

    def test_a_database_read_and_a_warehouse_written(self):
        with tempfile.TemporaryDirectory(prefix="dray-conformance-") as folder:
            database = sqlite3.connect(os.path.join(folder, "theirs.db"))
            database.execute("CREATE TABLE edges (id INTEGER PRIMARY KEY, text TEXT, big BIGINT, real DOUBLE, bytes BLOB, "
                             "day DATE, at TIMESTAMP)")
            database.executemany("INSERT INTO edges VALUES (?, ?, ?, ?, ?, ?, ?)", ROWS)
            database.execute("CREATE TABLE many (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
            database.executemany("INSERT INTO many VALUES (?, ?)", [(i, "name %d" % (i * 7)) for i in range(1500)])
            database.execute("CREATE VIEW joined AS SELECT m.id, e.text FROM many m JOIN edges e USING (id)")
            database.commit()
            database.close()
            config = {
                "source": {"settings": {"path": "@CONFIG@/theirs.db"}},
                "warehouse": {"settings": {"path": "@SCRATCH@/warehouse.db"}},
                "cursors": {"many": "id"},
                "expect": {"stream": "edges", "rows": EXPECTED},
            }
            results = kit.run(kit.library("sqlite"), config, folder)
        # No destination, so neither receipts nor caps; no secrets.
        kit.expect_clean(self, results, may_skip=("canary_secrets", "receipts", "caps"))


if __name__ == "__main__":
    unittest.main()
