#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The kit on the plugin `postgres`, against a real server. Every check gets a database of its own, as others get a folder."""
import os
import sys
import tempfile
import unittest

import kit

sys.path.insert(0, os.path.join(kit.ROOT, "tests", "e2e"))
import postgres_server  # noqa: E402

PASSWORD = "the-kit's own password"
TABLES = """
CREATE TABLE edges (id bigint PRIMARY KEY, text text, big bigint, real float8, bytes bytea, day date, at timestamptz, price numeric(38,9), list int[]);
INSERT INTO edges VALUES (1, 'Grüße, 東京 😀', 9223372036854775807, 1.7976931348623157e308, '\\x00fe', '2024-02-29',
    '2024-03-31T01:00:00Z', 12345678901234567890.000000001, '{1,NULL}'),
  (2, '', -9223372036854775808, -0.1, '', '0001-01-01', '9999-12-31T23:59:59.999999Z', -0.5, '{}'); INSERT INTO edges VALUES (3);
CREATE TABLE many (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO many SELECT i, 'name ' || i * 7 FROM generate_series(1, 1500) i;
"""
EXPECTED = [
    ["1", "Grüße, 東京 😀", "9223372036854775807", "1.7976931348623157e+308", "AP4=", "2024-02-29",
     "2024-03-31T01:00:00Z", "12345678901234567890.000000001", "[1,null]"],
    ["2", "", "-9223372036854775808", "-0.1", "", "0001-01-01", "9999-12-31T23:59:59.999999Z", "-0.500000000", "[]"],
    ["3"] + [None] * 8]


@unittest.skipUnless(kit.BIN, "DRAY_BIN names no program")
class TestPostgres(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        why = postgres_server.missing()
        if why is not None:
            self.assertNotEqual(os.environ.get("CI"), "true", why)
            self.skipTest(why)
        self.server = postgres_server.Server(PASSWORD.replace("'", "''"))
        self.addCleanup(self.server.close)

    # Read by a cursor and written; read by the log.
    def test_tables_read_and_a_warehouse_written(self):
        self.server.stop()
        self.server.start("wal_level=logical")
        for more, cursors in (({}, {"edges": "id", "many": "id"}), ({"replication": True}, {})):
            settings = {"host": "127.0.0.1", "port": self.server.port, "database": "work", "user": "dray", **more}
            config = {"settings": settings, "secrets": {"password": PASSWORD}, "streams": ["edges", "many"], "cursors": cursors,
                      "expect": [{"stream": "edges", "rows": EXPECTED}]}
            results = {}
            for check in kit.CHECKS if more == {} else ("resume", "second_sync", "values"):
                self.server.fresh()
                self.server.sql("ALTER ROLE dray REPLICATION; SET ROLE dray;" + TABLES)
                with tempfile.TemporaryDirectory(prefix="dray-conformance-") as folder:
                    results.update(kit.run(kit.library("postgres"), config, folder, only=check))
                self.assertEqual(self.server.sql("SELECT slot_name FROM pg_replication_slots"), [], check)
            if more == {}:
                kit.expect_clean(self, results, may_skip=("receipts", "caps"))  # no destination
            self.assertEqual([], [item for item in results.items() if item[1][0] == "fail"])
            self.assertEqual(results["resume"][0], "pass", results)


if __name__ == "__main__":
    unittest.main()
