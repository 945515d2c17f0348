#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Third parties can: a source in C and a destination in C++17, built out of tree against the installed SDK and nothing else of the tree,
pass the kit, and what they do is seen in the rows."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import kit

CMAKE = os.environ.get("DRAY_CMAKE", "cmake")
SANITIZE = os.environ.get("DRAY_SANITIZE", "")
FLAGS = "-Werror" + (" -fsanitize=%s -fno-sanitize-recover=undefined" % SANITIZE if SANITIZE else "")
FLAGS += " --coverage" if os.environ.get("DRAY_COVERAGE") == "ON" else ""
TEMPLATE = "their_crm"
DAYS = {
    "2026-11-20.log": "1763596800 kitchen 21.5\n1763596801 cellar -0.000001 door open\n\n"
                      "1763596802 Küche 999999999999.999999 \U0001F600 warm\n1763596803 attic -\n",
    "2026-11-21.log": "".join("%d hall %d.%03d\n" % (1763683200 + i, i, i) for i in range(420)) + "1763690000 hall 3",
    "2026-11-22.log": "1763769600 kitchen 20\n1763769601 kitchen 2",  # the last line is not finished
}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError("%s failed:\n%s%s" % (" ".join(command), done.stdout, done.stderr))


@unittest.skipUnless(kit.BIN and kit.BUILD, "DRAY_BIN or DRAY_BUILD names nothing")
class TestThirdParty(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dray-third-party-")
        os.chmod(cls.folder, 0o755)
        cls.prefix = os.path.join(cls.folder, "prefix")
        run([CMAKE, "--install", kit.BUILD, "--component", "sdk", "--prefix", cls.prefix])

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def build(self, name, edit=None):
        source = tempfile.mkdtemp(prefix=name + "-", dir=self.folder)  # away from the tree
        if name == TEMPLATE:
            self.instantiate(os.path.join(self.prefix, "share", "dray", "template"), source)
        else:
            shutil.copytree(os.path.join(kit.HERE, "third_party", name), source, dirs_exist_ok=True)
        if edit:
            path, old, new = edit
            with open(os.path.join(source, path), encoding="utf-8") as file:
                text = file.read()
            self.assertIn(old, text)
            with open(os.path.join(source, path), "w", encoding="utf-8") as file:
                file.write(text.replace(old, new))
        build = os.path.join(source, "build")
        run([CMAKE, "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_PREFIX_PATH=" + self.prefix,
             "-DCMAKE_C_COMPILER=" + os.environ.get("DRAY_CC", "cc"), "-DCMAKE_C_FLAGS=" + FLAGS,
             "-DCMAKE_CXX_COMPILER=" + os.environ.get("DRAY_CXX", "c++"), "-DCMAKE_CXX_FLAGS=" + FLAGS])
        run([CMAKE, "--build", build])
        return os.path.join(build, "plugins", name, name + ".so")

    @staticmethod
    def instantiate(template, folder):
        """What `dray plugin new` does, from the installed template."""
        for root, _, files in os.walk(template):
            target = os.path.join(folder, os.path.relpath(root, template))
            os.makedirs(target, exist_ok=True)
            for name in files:
                with open(os.path.join(root, name), encoding="utf-8") as file:
                    text = file.read()
                with open(os.path.join(target, name), "w", encoding="utf-8") as file:
                    file.write(text.replace("@NAME@", TEMPLATE))

    def test_what_plugin_new_gives(self):
        library = self.build(TEMPLATE)
        with open(os.path.join(self.folder, "records.jsonl"), "w", encoding="utf-8") as file:
            file.write('{"id": 9223372036854775807, "name": "\\ud83d\\ude00", "amount": -0.01, "updated_at": null}\n')
            file.write('{"id": 2, "name": ""}\n')
            file.write("".join('{"id": %d, "name": "n"}\n' % i for i in range(3, 300)))
        rows = [["9223372036854775807", "\U0001F600", "-0.01", None], ["2", "", None, None]]
        rows += [[str(i), "n", None, None] for i in range(3, 300)]
        config = {"source": {"settings": {"path": "@CONFIG@/records.jsonl"}},
                  "destination": {"settings": {"path": "@SCRATCH@/changes.jsonl"}}, "object": "changes",
                  "expect": {"stream": "records", "rows": rows}}
        # It has no secrets.
        kit.expect_clean(self, kit.run(library, config, self.folder), may_skip=("canary_secrets",))

    def test_a_source_in_c(self):
        library = self.build("sensors")
        days = os.path.join(self.folder, "days")
        os.mkdir(days)
        for name, text in DAYS.items():
            with open(os.path.join(days, name), "w", encoding="utf-8") as file:
                file.write(text)
        with open(os.path.join(days, "notes.txt"), "w", encoding="utf-8") as file:
            file.write("no day\n")
        rows = [["kitchen", "2025-11-20T00:00:00Z", "21.500000", None],
                ["cellar", "2025-11-20T00:00:01Z", "-0.000001", "door open"],
                ["Küche", "2025-11-20T00:00:02Z", "999999999999.999999", "\U0001F600 warm"],
                ["attic", "2025-11-20T00:00:03Z", None, None]]
        rows += [["hall", "2025-11-21T00:%02d:%02dZ" % divmod(i, 60), "%d.%03d000" % (i, i), None] for i in range(420)]
        rows += [["hall", "2025-11-21T01:53:20Z", "3.000000", None], ["kitchen", "2025-11-22T00:00:00Z", "20.000000", None]]
        config = {"settings": {"folder": "@CONFIG@/days"}, "expect": {"stream": "readings", "rows": rows}}
        # No secrets, and nothing is written.
        kit.expect_clean(self, kit.run(library, config, self.folder), may_skip=("canary_secrets", "receipts", "caps"))

    def test_a_destination_in_cpp(self):
        library = self.build("ledger")
        held = os.path.join(self.folder, "held.jsonl")
        with open(held, "w", encoding="utf-8") as file:
            file.write('{"op":"insert","row":{"id":1}}\n{"end":"known"}\n{"op":"insert","row":{"id":2}}\n')
        config = {"settings": {"path": "@SCRATCH@/ledger.jsonl"}, "object": "changes"}
        results = kit.run(library, config, self.folder)
        # Nothing is read, and there are no secrets.
        kit.expect_clean(self, results, may_skip=("canary_secrets", "resume", "second_sync"))
        # What has arrived, beside the batch that an earlier run never finished.
        config["settings"]["path"] = held
        self.assertEqual({"values": ("pass", "")}, kit.run(library, config, self.folder, only="values"))
        with open(held, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        self.assertEqual([{"id": 1}] + [{"id": i} for i in range(1, 11)],
                         [{"id": line["row"]["id"]} for line in lines if "row" in line])
        self.assertEqual("Grüße, 東京 \U0001F600 \u202eright to left", lines[4]["row"]["a_text"])
        self.assertEqual({"end"}, set(lines[-1]))

    def test_a_failing_new_is_seen(self):
        """The kit makes C++'s `new` throw: a plugin that reports it as something else fails the check of allocations."""
        library = self.build("ledger", ("ledger.cpp", 'DRAY_E_OUT_OF_MEMORY, "no memory for the ledger"',
                                        'DRAY_E_INTERNAL, "no memory for the ledger"'))
        config = {"settings": {"path": "@SCRATCH@/ledger.jsonl"}, "object": "changes"}
        status, text = kit.run(library, config, self.folder, only="allocation")["allocation"]
        self.assertEqual("fail", status)
        self.assertIn("was reported as internal: no memory for the ledger", text)


if __name__ == "__main__":
    unittest.main()
