#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The kit on the plugin `shopify`, against a simulated shop: customers and lines of orders, read; customers, written."""
import json
import os
import pathlib
import sys
import tempfile
import unittest

import kit

sys.path.insert(0, os.path.join(kit.ROOT, "tests", "sim", "shopify"))

import shop  # noqa: E402

LOCATION = ("id", "legacyResourceId", "name", "isActive", "isFulfillmentService", "fulfillsOnlineOrders", "shipsInventory",
            "hasActiveInventory", "address", "deactivatedAt", "createdAt", "updatedAt")
ADDRESS = "address1 address2 city province provinceCode zip country countryCode phone"
STREAMS = ["locations", "customers", "order_line_items"]
WRITE = {"columns": {"email": "string", "first_name": "string", "tags": "json", "tax_exempt": "bool"}, "match_keys": ["email"],
         "rows": [["kit1@example.com", "Grüße, 東京 \U0001F600 \u202eright", '["a","b"]', "true"],
                  ["kit2@example.com", None, None, None], ["kit3@example.com", "", "[]", "false"]]}


@unittest.skipUnless(kit.BIN, "DRAY_BIN names no program")
class TestShopify(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        problem = shop.missing()
        if problem and os.environ.get("CI") == "true":
            self.fail(problem)
        if problem:
            self.skipTest("skipped: %s" % problem)
        temporary = tempfile.TemporaryDirectory(prefix="dray-conformance-")
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.shop = shop.Shop("--customers", 30, "--orders", 12, "--restore-rate", 100000, "--bulk-seconds", 0.01,
                              ledger=pathlib.Path(self.folder) / "ledger.ndjson")
        self.addCleanup(self.shop.stop)

    def test_pages_and_writes(self):
        config = {
            "settings": {"shop": "dray-test", "base_url": self.shop.url, "use_bulk": "never", "page_size": 10},
            "secrets": {"access_token": shop.TOKEN},
            "streams": STREAMS,
            "object": "customers",
            "write": WRITE,
            "expect": [{"stream": "locations", "rows": self.locations()}],
        }
        results = kit.run(kit.library("shopify"), config, self.folder)
        kit.expect_clean(self, results)
        held = {record["email"]: record for record in self.shop.records("Customer")}
        self.assertEqual(("Grüße, 東京 \U0001F600 \u202eright", ["a", "b"], True),
                         tuple(held["kit1@example.com"][name] for name in ("firstName", "tags", "taxExempt")))
        self.assertEqual([], self.shop.calls()["defects"])

    def locations(self):
        """All rows of a stream with few, as text."""
        asked = " ".join(LOCATION).replace(" address ", " address{%s} " % ADDRESS)
        return [[as_text(one[name]) for name in LOCATION]
                for one in self.shop.every("locations", asked, includeInactive="true", sortKey="ID")]


def as_text(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) if isinstance(value, dict) else str(value)


if __name__ == "__main__":
    unittest.main()
