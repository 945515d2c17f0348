#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The kit on the plugin `zendesk`, against the simulator of tests/sim."""
import os
import sys
import tempfile
import unittest

import kit

SIMULATOR = os.path.join(kit.ROOT, "tests", "sim", "zendesk", "server.py")
sys.path.insert(0, os.path.join(kit.ROOT, "tests", "sim"))
from server.running import Running  # noqa: E402

# One of each way that pages follow each other. The first is read once for every allocation that may fail: it is small, and the exports'
# budget holds thousands.
STREAMS = ["organizations", "tickets", "ticket_audits", "satisfaction_ratings"]


@unittest.skipUnless(kit.BIN, "DRAY_BIN names no program")
class TestZendesk(unittest.TestCase):
    maxDiff = None

    def test_both_roles(self):
        with tempfile.TemporaryDirectory(prefix="dray-conformance-") as folder, Running(
                SIMULATOR, "--export-limit", 0, "--rate-limit", 0, "--users", 40, "--organizations", 12, "--tickets", 60,
                ledger=os.path.join(folder, "ledger")) as zendesk:
            config = {
                "settings": {"base_url": zendesk.url, "client_id": "dray_client", "exports_per_minute": 100000,
                             "requests_per_minute": 100000, "page_size": 20},
                "secrets": {"client_secret": zendesk.hello["client_secret"]},
                "streams": STREAMS,
                "object": "users",
                "write": {
                    "columns": {"external_id": "string", "name": "string", "email": "string", "notes": "string",
                                "organization_id": "int64", "suspended": "bool"},
                    "match_keys": ["external_id"],
                    "rows": [["kit-1", "Grüße, 東京 \U0001F600", "kit1@dray.example", "", None, "false"],
                             ["kit-2", "Kit 2", "kit2@dray.example", None, None, "false"],
                             ["kit-3", "Kit 3", "kit3@dray.example", "x" * 60000, {}, "true"]],
                },
            }
            results = kit.run(kit.library("zendesk"), config, folder)
            held = {row["external_id"]: row for row in zendesk.state()["users"] if str(row["external_id"]).startswith("kit-")}
        kit.expect_clean(self, results)
        self.assertEqual({"kit-1", "kit-2", "kit-3"}, set(held))
        self.assertEqual("Grüße, 東京 \U0001F600", held["kit-1"]["name"])
        self.assertEqual(("x" * 60000, True), (held["kit-3"]["notes"], held["kit-3"]["suspended"]))


if __name__ == "__main__":
    unittest.main()
