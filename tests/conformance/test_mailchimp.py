#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The kit on the plugin `mailchimp`, against the simulator of tests/sim."""
import os
import sys
import tempfile
import unittest

import kit

sys.path.insert(0, os.path.join(kit.ROOT, "tests", "sim"))
from server.running import Running  # noqa: E402

SIMULATOR = os.path.join(kit.ROOT, "tests", "sim", "mailchimp", "server.py")


@unittest.skipUnless(kit.BIN, "DRAY_BIN names no program")
class TestMailchimp(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="dray-conformance-")
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.sim = Running(SIMULATOR, "--members", "400", "--campaigns", "6", "--recipients", "60")
        self.addCleanup(self.sim.stop)

    def test_the_kit(self):
        columns = {"email_address": "string", "merge_fname": "string", "language": "string", "vip": "bool"}
        rows = [["kit%d@dray.test" % i, "Grüße \U0001F600" if i % 2 else "", "de", "true" if i % 3 else None] for i in range(40)]
        config = {
            "settings": {"base_url": self.sim.url, "page_size": 100},
            "secrets": {"api_key": self.sim.hello["api_key"]},
            "streams": ["lists", "list_members", "segments", "segment_members", "tags", "email_activity", "unsubscribes"],
            "object": "members",
            "options": {"list_id": self.sim.hello["list_id"]},
            "write": {"columns": columns, "match_keys": ["email_address"], "rows": rows},
        }
        results = kit.run(kit.library("mailchimp"), config, self.folder)
        kit.expect_clean(self, results)


if __name__ == "__main__":
    unittest.main()
