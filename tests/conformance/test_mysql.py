#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The kit on the plugin `mysql`, against a real MariaDB. Every check gets a database of its own, as others get a folder."""
import os
import sys
import tempfile
import unittest

import kit

sys.path.insert(0, os.path.join(kit.ROOT, "tests", "e2e"))
import mysql_server  # noqa: E402

PASSWORD = "the-kit's own password"
TABLES = """
SET time_zone = '+00:00';
CREATE TABLE edges (id bigint PRIMARY KEY, text text CHARACTER SET utf8mb4, big bigint, huge bigint unsigned, floating double, bytes blob, day date,
    at datetime(6), price decimal(38,9), doc json);
INSERT INTO edges VALUES (1, 'Grüße, 東京 😀', 9223372036854775807, 18446744073709551615, 1.7976931348623157e308, X'00fe', '2024-02-29',
    '2024-03-31 01:00:00', 12345678901234567890.000000001, '[1,null]'),
  (2, '', -9223372036854775808, 0, -0.1, '', '0001-01-01', '9999-12-31 23:59:59.999999', -0.5, '[]');
INSERT INTO edges (id) VALUES (3);
CREATE TABLE many (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO many SELECT seq, CONCAT('name ', seq * 7) FROM seq_1_to_1500;
"""
EXPECTED = [
    ["1", "Grüße, 東京 😀", "9223372036854775807", "18446744073709551615", "1.7976931348623157e+308", "AP4=", "2024-02-29",
     "2024-03-31T01:00:00Z", "12345678901234567890.000000001", "[1,null]"],
    ["2", "", "-9223372036854775808", "0", "-0.1", "", "0001-01-01", "9999-12-31T23:59:59.999999Z", "-0.500000000", "[]"],
    ["3"] + [None] * 9]


@unittest.skipUnless(kit.BIN, "DRAY_BIN names no program")
class TestMysql(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        why = mysql_server.missing()
        if why is not None:
            self.assertNotEqual(os.environ.get("CI"), "true", why)
            self.skipTest(why)
        self.server = mysql_server.Server(PASSWORD)
        self.addCleanup(self.server.close)

    def run_checks(self, checks):
        config = {"settings": {"host": "127.0.0.1", "port": self.server.port, "database": "work", "user": "dray",
                               "sslmode": "disable"},  # a hundred handshakes take long; tests/e2e has the others
                  "secrets": {"password": PASSWORD}, "streams": ["edges", "many"], "cursors": {"edges": "id", "many": "id"},
                  "expect": [{"stream": "edges", "rows": EXPECTED}]}
        results = {}
        for check in checks:
            self.server.fresh()
            self.server.sql(TABLES)
            with tempfile.TemporaryDirectory(prefix="dray-conformance-") as folder:
                results.update(kit.run(kit.library("mysql"), config, folder, only=check))
        return results

    def test_tables_read_and_a_warehouse_written(self):
        results = self.run_checks(kit.CHECKS)
        kit.expect_clean(self, results, may_skip=("receipts", "caps"))  # no destination
        self.assertEqual(results["resume"][0], "pass", results)

    def test_a_warehouse_written_where_local_infile_is_off(self):
        self.server.sql("SET GLOBAL local_infile = 0", "")
        for results in self.run_checks(("second_sync", "values")).values():
            self.assertEqual("pass", results[0] if isinstance(results, tuple) else results)


if __name__ == "__main__":
    unittest.main()
