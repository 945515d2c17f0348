#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The kit bites: one plugin, whole and broken in one way at a time. Each fault fails exactly the check that is there for it."""
import concurrent.futures
import json
import os
import sqlite3
import subprocess
import tempfile
import unittest

import kit

BROKEN = os.environ.get("DRAY_BROKEN", "")
FAULTS = {  # the fault: its check, and what the kit says
    "exports": ("exports", "surplus_symbol"),
    "manifest": ("manifest", "1.0.1"),
    "spec_secret": ("spec", '"token" sounds like a secret'),
    "spec_open": ("spec", "additionalProperties"),
    "unknown_setting": ("unknown_setting", "took the setting"),
    "canary_print": ("canary_secrets", "printed or logged"),
    "canary_log": ("canary_secrets", "printed or logged"),
    "canary_debug": ("canary_secrets", "printed or logged"),
    "canary_text": ("canary_secrets", "answer of check"),
    "canary_state": ("canary_secrets", "stream's state"),
    "canary_receipt": ("canary_secrets", "answer of write"),
    "discover": ("discover_stable", "different catalogues"),
    "resume": ("resume", "never came"),
    "resume_memory": ("resume", "never came"),
    "second_sync": ("second_sync", "differ in 950 rows"),
    "receipts_missing": ("receipts", "receipt"),
    "receipts_double": ("receipts", "receipt"),
    "caps_zero": ("caps", "caps"),
    "caps_doubt": ("caps", "doubt"),
    "cancel_next": ("cancel", "next answered"),
    "cancel_hang": ("cancel", "a call did not answer"),
    "cancel_write": ("cancel", "write answered"),
    "allocation_crash": ("allocation", ""),
    "allocation_leak": ("allocation", "not freed"),
    "allocation_lie": ("allocation", "was reported as io"),
    "allocation_write": ("allocation", "not freed"),
    "lifecycle_write": ("lifecycle", "left 89 blocks"),
    "lifecycle": ("lifecycle", "left 89 blocks"),
    "values_unicode": ("values", "row 1, column 2 (text)"),
    "values_decimal": ("values", "row 1, column 3 (amount)"),
    "values_null": ("values", "row 3, column 2 (text)"),
    "values_empty": ("values", "a text is empty"),
}
NOT_LOADED = ("exports", "manifest")  # with these faults nothing else can be tried
LEAKS = ("allocation_leak", "allocation_write", "lifecycle", "lifecycle_write")
CONFIG = {
    "settings": {"rows": 950},
    "secrets": {"token": "open sesame"},
    "object": "rows",
    "expect": {"stream": "edges", "rows": [
        ["1", "Grüße \U0001F600", "12345678901234567890123456789.123456789", "2024-03-31T01:00:00Z"],
        ["2", "", "-0.000000001", "0001-01-01T00:00:00Z"],
        ["3", None, None, None],
        ["4", "null", "0.000000000", "9999-12-31T23:59:59.999999Z"]]},
}


# The plugin sqlite with something broken below it.
WAREHOUSE_FAULTS = {
    "float": ("values", "rows of edge values came back changed"),
    "trim": ("values", "1 rows of edge values came back changed"),
    "cancel": ("cancel", "query answered"),
}
WAREHOUSE_SKIPS = {"canary_secrets", "receipts", "caps"}  # no secrets, no destination


def library(name):
    return os.path.join(BROKEN, name, "kit_%s.so" % name)


def run_warehouse(name):
    with tempfile.TemporaryDirectory(prefix="dray-broken-") as folder:
        database = sqlite3.connect(os.path.join(folder, "theirs.db"))
        database.execute("CREATE TABLE many (id INTEGER PRIMARY KEY, name TEXT)")
        database.executemany("INSERT INTO many VALUES (?, ?)", [(i, str(i)) for i in range(250)])
        database.commit()
        database.close()
        return kit.run(library("warehouse_" + name), {
            "source": {"settings": {"path": "@CONFIG@/theirs.db"}},
            "warehouse": {"settings": {"path": "@SCRATCH@/warehouse.db"}},
            "cursors": {"many": "id"}}, folder)


def run(name, config=None):
    with tempfile.TemporaryDirectory(prefix="dray-broken-") as folder:
        return kit.run(library(name), config or CONFIG, folder, sanitizer_leaks=name not in LEAKS)


@unittest.skipUnless(kit.BIN and BROKEN, "DRAY_BIN or DRAY_BROKEN names nothing")
class TestBroken(unittest.TestCase):
    maxDiff = None

    def test_the_whole_plugin_passes_every_check(self):
        kit.expect_clean(self, run("none"))

    def test_each_fault_fails_its_check_and_no_other(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            everything = dict(zip(FAULTS, pool.map(run, FAULTS)))
        for name, results in everything.items():
            check, text = FAULTS[name]
            with self.subTest(fault=name):
                self.assertEqual(kit.CHECKS, list(results))
                self.assertEqual({check}, {found for found, (status, _) in results.items() if status == "fail"}, results)
                self.assertIn(text, results[check][1])
                skipped = {found: why for found, (status, why) in results.items() if status == "skip"}
                if name in NOT_LOADED:
                    # Without a library that may be loaded there is nothing else to try.
                    self.assertEqual(set(kit.CHECKS) - set(NOT_LOADED), set(skipped) - set(NOT_LOADED))
                    self.assertEqual({"the library was not loaded"}, set(skipped.values()))
                elif name.startswith("caps_"):
                    self.assertEqual({"receipts": "caps did not come"}, skipped)
                else:
                    self.assertEqual({}, skipped)

    def test_each_fault_of_a_warehouse_fails_its_check_and_no_other(self):
        kit.expect_clean(self, run_warehouse("whole"), may_skip=WAREHOUSE_SKIPS)
        for name, (check, text) in WAREHOUSE_FAULTS.items():
            results = run_warehouse(name)
            with self.subTest(fault=name):
                self.assertEqual({check}, {found for found, (status, _) in results.items() if status == "fail"}, results)
                self.assertIn(text, results[check][1])
                self.assertEqual(WAREHOUSE_SKIPS, {found for found, (status, _) in results.items() if status == "skip"})

    def test_every_fault_that_is_built_is_tried(self):
        built = set(os.listdir(BROKEN)) - {"none", "warehouse_whole"}
        self.assertEqual(set(FAULTS) | {"warehouse_" + name for name in WAREHOUSE_FAULTS}, built)
        self.assertEqual(set(kit.CHECKS), {check for check, _ in FAULTS.values()})

    def test_a_config_that_says_nothing_skips_what_needs_it(self):
        results = run("none", {"$comment": "no secrets, no rows to expect"})
        self.assertEqual("skip", results["canary_secrets"][0])
        self.assertEqual([], [name for name, (status, _) in results.items() if status == "fail"])

    def test_a_config_that_cannot_be_used_is_said_once(self):
        for text, said in (('{"setings": {}}', 'did you mean "settings"'), ('{"source": {"object": "x"}}', '"object"'),
                           ("{", "kit.json"), ('{"destination": 1}', "destination is no object")):
            with tempfile.TemporaryDirectory(prefix="dray-broken-") as folder:
                path = os.path.join(folder, "kit.json")
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                done = subprocess.run([kit.BIN, "plugin", "test", library("none"), "--config", path], capture_output=True,
                                      text=True, check=False)
                self.assertEqual((4, ""), (done.returncode, done.stdout), done)
                self.assertIn(said, done.stderr)

    def test_a_config_that_is_not_there(self):
        done = subprocess.run([kit.BIN, "plugin", "test", library("none"), "--config", "/nonexistent/kit.json"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(4, done.returncode)
        self.assertIn("/nonexistent/kit.json", done.stderr)

    def test_one_check_alone_and_a_name_that_is_none(self):
        with tempfile.TemporaryDirectory(prefix="dray-broken-") as folder:
            self.assertEqual({"spec": ("pass", "")}, kit.run(library("none"), CONFIG, folder, only="spec"))
            done = subprocess.run([kit.BIN, "plugin", "test", library("none"), "--config", os.path.join(folder, "kit.json"),
                                   "--only", "recepits"], capture_output=True, text=True, check=False)
            self.assertEqual(4, done.returncode)
            self.assertIn("receipts", done.stderr)

    def test_json_output_is_one_record_a_check(self):
        with tempfile.TemporaryDirectory(prefix="dray-broken-") as folder:
            kit.run(library("none"), CONFIG, folder, only="spec")
            done = subprocess.run([kit.BIN, "--json", "plugin", "test", library("none"), "--config",
                                   os.path.join(folder, "kit.json"), "--only", "caps"], capture_output=True, text=True,
                                  check=False)
            records = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertEqual([("caps", "pass")], [(record["check"], record["status"]) for record in records])


if __name__ == "__main__":
    unittest.main()
