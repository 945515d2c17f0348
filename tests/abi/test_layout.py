#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The headers of the plugin ABI against the locks of its minors, and the proof that the comparison bites."""
import glob
import json
import os
import re
import shutil
import tempfile
import unittest

import layout

LOCKS = os.path.normpath(os.path.join(layout.HERE, "..", "..", "sdk", "abi"))


def read_lock(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


class TestLocks(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.now = layout.compute()

    def test_the_rules_of_the_abi_hold(self):
        self.assertEqual([], layout.broken_rules(self.now))

    def test_the_current_minor_is_locked_exactly(self):
        path = os.path.join(LOCKS, "v%s.lock" % self.now["abi"])
        self.assertTrue(os.path.exists(path), "tests/abi/layout.py --write %s, and a paragraph in history.md" % path)
        self.assertEqual([], layout.differences(read_lock(path), self.now, exact=True),
                         "the ABI changed: raise DRAY_ABI_MINOR (sdk/abi/history.md says how)")

    def test_every_older_minor_is_contained(self):
        for path in glob.glob(os.path.join(LOCKS, "v%d.*.lock" % self.now["constants"]["DRAY_ABI_MAJOR"])):
            with self.subTest(lock=path):
                self.assertEqual([], layout.differences(read_lock(path), self.now, exact=False))

    def test_every_lock_has_its_paragraph(self):
        with open(os.path.join(LOCKS, "history.md"), encoding="utf-8") as file:
            history = file.read()
        for path in glob.glob(os.path.join(LOCKS, "v*.lock")):
            self.assertRegex(history, r"(?m)^## %s$" % re.escape(read_lock(path)["abi"]))


class TestItBites(unittest.TestCase):
    """Each edit of a copy of the headers must be noticed."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.include = os.path.join(self.folder.name, "include")
        shutil.copytree(layout.INCLUDE, self.include)
        self.before = layout.compute()

    def tearDown(self):
        self.folder.cleanup()

    def edit(self, header, old, new):
        path = os.path.join(self.include, "dray", header)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn(old, text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new, 1))
        return layout.compute(self.include)

    def assert_noticed(self, after, *words, exact=False):
        problems = layout.differences(self.before, after, exact=exact)
        self.assertTrue(any(all(w in p for w in words) for p in problems), problems)

    def test_a_member_in_the_middle(self):
        after = self.edit("stream.h", "uint64_t rows; ", "uint64_t pages;\n  uint64_t rows; ")
        self.assert_noticed(after, "dray_progress", "pages is not at the end")

    def test_a_member_that_goes(self):
        after = self.edit("stream.h", "uint64_t bytes_total;", "")
        self.assert_noticed(after, "dray_progress", "bytes_total is gone")

    def test_a_type_of_the_same_size(self):
        after = self.edit("destination.h", "int64_t retry_after_ms;", "uint64_t retry_after_ms;")
        self.assert_noticed(after, "dray_receipt", "retry_after_ms")

    def test_another_signature(self):
        after = self.edit("host.h", "uint32_t (*cancelled)(void *ctx);",
                          "uint32_t (*cancelled)(void *ctx, int32_t why);")
        self.assert_noticed(after, "dray_cancel_service", "cancelled")

    def test_a_constant_that_changes(self):
        after = self.edit("destination.h", "DRAY_RECEIPT_RETRY = 4", "DRAY_RECEIPT_RETRY = 14")
        self.assert_noticed(after, "DRAY_RECEIPT_RETRY was 4, is 14")

    def test_an_error_code_that_goes(self):
        after = self.edit("errors.def", "DRAY_ERROR(LOCKED, 607,", "DRAY_ERROR(LOCKED_NOW, 607,")
        self.assert_noticed(after, "DRAY_E_LOCKED was 607, is None")

    def test_growth_of_a_frozen_struct(self):
        after = self.edit("abi.h", "uint64_t len;     // bytes", "uint64_t len;\n  uint64_t capacity;")
        self.assert_noticed(after, "dray_str has new members")

    def test_growth_without_a_new_minor(self):
        after = self.edit("stream.h", "uint64_t bytes_total;", "uint64_t bytes_total;\n  uint64_t pages;")
        self.assertEqual([], layout.differences(self.before, after, exact=False))  # as a new minor it would be fine
        self.assert_noticed(after, "dray_progress has new members: pages", exact=True)

    def test_names_of_parameters_and_comments_may_change(self):
        after = self.edit("host.h", "uint32_t (*cancelled)(void *ctx);",
                          "uint32_t (*cancelled)(void *context); // words")
        self.assertEqual([], layout.differences(self.before, after, exact=True))

    def assert_rule_broken(self, old, new, said):
        problems = layout.broken_rules(self.edit("stream.h", old, new))
        self.assertTrue(any(said in p for p in problems), problems)

    def test_a_hole(self):
        self.assert_rule_broken("uint64_t bytes_total;", "uint64_t bytes_total;\n  uint32_t pages;", "hole of 4 bytes")

    def test_a_type_without_a_width(self):
        self.assert_rule_broken("uint64_t bytes_total;", "long bytes_total;", "no explicit width")

    def test_a_struct_without_its_size(self):
        self.assert_rule_broken("uint32_t struct_size;\n  uint32_t reserved;\n  uint64_t rows;", "uint64_t rows;",
                                "does not begin with struct_size")


if __name__ == "__main__":
    unittest.main()
