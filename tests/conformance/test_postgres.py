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

    def test_a_warehouse_written(self):
        config = {"warehouse": {
            "settings": {"host": "127.0.0.1", "port": self.server.port, "database": "work", "user": "dray"},
            "secrets": {"password": PASSWORD}}}
        results = {}
        for check in kit.CHECKS:
            self.server.fresh()
            with tempfile.TemporaryDirectory(prefix="dray-conformance-") as folder:
                results.update(kit.run(kit.library("postgres"), config, folder, only=check))
        # Neither source nor destination.
        kit.expect_clean(self, results, may_skip=("discover_stable", "resume", "receipts", "caps"))


if __name__ == "__main__":
    unittest.main()
