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
        config = {"warehouse": {
            "settings": {"host": "127.0.0.1", "port": self.server.port, "database": "work", "user": "dray",
                         "sslmode": "disable"},  # a hundred handshakes take long; tests/e2e has the others
            "secrets": {"password": PASSWORD}}}
        results = {}
        for check in checks:
            self.server.fresh()
            with tempfile.TemporaryDirectory(prefix="dray-conformance-") as folder:
                results.update(kit.run(kit.library("mysql"), config, folder, only=check))
        return results

    def test_a_warehouse_written(self):
        # Neither source nor destination.
        kit.expect_clean(self, self.run_checks(kit.CHECKS), may_skip=("discover_stable", "resume", "receipts", "caps"))

    def test_a_warehouse_written_where_local_infile_is_off(self):
        self.server.sql("SET GLOBAL local_infile = 0", "")
        for results in self.run_checks(("second_sync", "values")).values():
            self.assertEqual("pass", results[0] if isinstance(results, tuple) else results)


if __name__ == "__main__":
    unittest.main()
