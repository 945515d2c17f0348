#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The kit on the plugin `webhook`, against the receiver of tests/sim, which checks token, signature and keys, and keeps what it got."""
import json
import os
import sys
import tempfile
import unittest

import kit

RECEIVER = os.path.join(kit.ROOT, "tests", "sim", "webhook", "server.py")
sys.path.insert(0, os.path.join(kit.ROOT, "tests", "sim"))
from server.running import Running  # noqa: E402

TOKEN, SIGNING = "bearer of the test", "signing of the test"
RESULTS = {"path": "results", "index": "index", "status": "status", "applied": ["applied"], "unchanged": ["unchanged"],
           "retry": ["retry"], "error": "error.message"}


@unittest.skipUnless(kit.BIN, "DRAY_BIN names no program")
class TestWebhook(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="dray-conformance-")
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.receiver = Running(RECEIVER, "--require-hmac", SIGNING, "--require-bearer", TOKEN, "--require-key",
                                ledger=os.path.join(self.folder, "ledger"))
        self.addCleanup(self.receiver.stop)

    def check(self, write=None, **settings):
        config = {
            "settings": {"url": self.receiver.url + "/hooks", **settings},
            "secrets": {"bearer_token": TOKEN, "hmac_secret": SIGNING},
            "object": "rows",
        }
        if write is not None:
            config["write"] = write
        results = kit.run(kit.library("webhook"), config, self.folder)
        # Only the host decides what is sent, and there is nothing to read: no second sync, no resuming.
        kit.expect_clean(self, results, may_skip=("resume", "second_sync"))

    def test_results_row_by_row(self):
        self.check(results=RESULTS)
        # And the edge values have arrived as they are: the other side of the check of values.
        rows = {row["id"]: row for row in self.receiver.state()["rows"]}
        self.assertEqual(10, len(rows))
        self.assertEqual((9223372036854775807, ""), (rows[4]["an_int"], rows[2]["a_text"]))
        self.assertEqual("Grüße, 東京 \U0001F600 \u202eright to left", rows[3]["a_text"])
        self.assertEqual((None, None, None), (rows[9]["a_text"], rows[9]["a_decimal"], rows[9]["a_time"]))
        self.assertEqual("x" * 65536, rows[10]["a_text"])
        self.assertEqual("2024-03-31T01:00:00Z", rows[6]["a_time"])

    def test_rows_that_the_config_gives(self):
        write = {"columns": {"email": "string", "score": "int64", "note": "string"}, "match_keys": ["email"],
                 "rows": [["ada@example.com", "7", "x"], ["bob@example.com", None, {}]]}
        self.check(write=write, results=RESULTS)
        rows = {row["email"]: row for row in self.receiver.state()["rows"]}
        self.assertEqual({"email": "ada@example.com", "score": 7, "note": "x"}, rows["ada@example.com"])
        self.assertEqual({"email": "bob@example.com", "score": None}, rows["bob@example.com"])

    def test_rows_that_the_config_gives_wrongly(self):
        wrong = [({"columns": {"a": "text"}, "rows": [["x"]]}, "text"), ({"columns": {"a": "string"}, "rows": [["x", "y"]]}, "row 1"),
                 ({"columns": {}, "rows": [[]]}, "write.columns"), ({"columns": {"a": "int64"}, "rows": []}, "write.rows")]
        for write, told in wrong:
            config = {"settings": {"url": self.receiver.url + "/hooks"}, "object": "rows", "write": write}
            results = kit.run(kit.library("webhook"), config, self.folder, only="receipts")
            self.assertIn(told, json.dumps(results))

    def test_a_batch_that_is_applied_as_a_whole(self):
        self.check(gzip=True, batch_rows=5)
        self.assertLessEqual(5, len(self.receiver.state()["rows"]))


if __name__ == "__main__":
    unittest.main()
