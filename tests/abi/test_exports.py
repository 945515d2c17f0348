#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Every plugin of the build exports its entry point and nothing else, and its manifest fits."""
import glob
import hashlib
import json
import os
import subprocess
import unittest

BUILD = os.environ.get("DRAY_BUILD", "")


def exports(library):
    output = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    return [line.split()[-1] for line in output.splitlines() if line.strip()]


@unittest.skipUnless(BUILD, "DRAY_BUILD names no build folder")
class TestExports(unittest.TestCase):
    def test_every_plugin_exports_only_its_entry_point(self):
        libraries = glob.glob(os.path.join(BUILD, "plugins", "*", "*.so"))
        libraries.append(os.path.join(BUILD, "tests", "abi", "broken", "good", "broken_good.so"))
        for library in libraries:
            with self.subTest(library=library):
                self.assertEqual(["dray_plugin_entry_v1"], exports(library))
                with open(os.path.join(os.path.dirname(library), "manifest.json"), encoding="utf-8") as file:
                    manifest = json.load(file)
                with open(library, "rb") as file:
                    self.assertEqual(hashlib.sha256(file.read()).hexdigest(), manifest["sha256"])

    def test_nm_sees_what_is_too_much(self):
        library = os.path.join(BUILD, "tests", "abi", "broken", "extra_export", "broken_extra_export.so")
        self.assertEqual({"dray_plugin_entry_v1", "json_parse_everything", "leaked_data"}, set(exports(library)))


if __name__ == "__main__":
    unittest.main()
