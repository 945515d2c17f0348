#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Every public header stands alone, in C11 and in C++17, without a warning, beside another Arrow header."""
import os
import shutil
import subprocess
import unittest

INCLUDE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "sdk", "include"))
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wundef", "-pedantic", "-Werror", "-fsyntax-only"]
COMPILERS = [
    ("C11", [os.environ.get("DRAY_CC") or "cc", "-x", "c", "-std=c11", "-Wstrict-prototypes", "-Wshadow"]),
    ("C++17", [os.environ.get("DRAY_CXX") or "c++", "-x", "c++", "-std=c++17", "-Wold-style-cast"]),
    ("C++17 of clang", ["clang++", "-x", "c++", "-std=c++17"]),
]


def headers():
    found = []
    for folder, _, files in os.walk(os.path.join(INCLUDE, "dray")):
        found += [os.path.relpath(os.path.join(folder, f), INCLUDE) for f in files if f.endswith(".h")]
    return sorted(found)


def compile_text(command, text):
    result = subprocess.run(command + WARNINGS + ["-I", INCLUDE, "-"], input=text, capture_output=True, text=True,
                            check=False)
    return result.returncode, result.stderr


class TestHeaders(unittest.TestCase):
    def each(self):
        for name, command in COMPILERS:
            if shutil.which(command[0]) is None:
                self.assertNotEqual(name, "C11")
                continue
            yield name, command

    def test_each_header_stands_alone(self):
        self.assertGreater(len(headers()), 10)
        for name, command in self.each():
            for header in headers():
                with self.subTest(language=name, header=header):
                    code, said = compile_text(command, '#include "%s"\n' % header)
                    self.assertEqual(0, code, said)

    def test_arrow_structs_may_be_declared_before(self):
        with open(os.path.join(INCLUDE, "dray", "arrow.h"), encoding="utf-8") as file:
            arrow = file.read()
        other = arrow.replace("DRAY_ARROW_H", "SOMEBODY_ELSES_H")  # any header with the canonical guards
        for name, command in self.each():
            with self.subTest(language=name):
                code, said = compile_text(command, other + '\n#include "dray/sdk.h"\n')
                self.assertEqual(0, code, said)

    def test_an_entry_point_in_cxx_has_c_linkage(self):
        text = ('#include "dray/plugin.h"\n'
                'int32_t dray_plugin_entry_v1(const dray_host *, dray_plugin *, dray_error *) { return DRAY_OK; }\n'
                'extern dray_plugin_entry_fn *const same;\ndray_plugin_entry_fn *const same = dray_plugin_entry_v1;\n')
        for name, command in self.each():
            if name.startswith("C++"):
                with self.subTest(language=name):
                    code, said = compile_text(command, text)
                    self.assertEqual(0, code, said)


if __name__ == "__main__":
    unittest.main()
