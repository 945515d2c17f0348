#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A third party's view: the SDK is installed into an empty prefix, the template becomes a plugin, and it is built once
with the CMake package and once with pkg-config and the compiler alone. Nothing else of the source tree is used."""
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import unittest

SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.environ.get("DRAY_BUILD", "")
CMAKE = os.environ.get("DRAY_CMAKE", "cmake")
CC = os.environ.get("DRAY_CC", "cc")
SANITIZE = os.environ.get("DRAY_SANITIZE", "")
# An instrumented libdray_sdk.a needs instrumented users.
FLAGS = ["-fsanitize=" + SANITIZE] if SANITIZE else []
FLAGS += ["--coverage"] if os.environ.get("DRAY_COVERAGE") == "ON" else []
PROBE = os.environ.get("DRAY_PROBE", "")
NAME = "their_crm"


def run(command, cwd=None, env=None):
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError("%s failed:\n%s\n%s" % (" ".join(command), result.stdout, result.stderr))
    return result.stdout


def exports(library):
    return [line.split()[-1] for line in run(["nm", "-D", "--defined-only", library]).splitlines() if line.strip()]


def new_plugin(template, folder):
    """What `dray plugin new` does."""
    for root, _, files in os.walk(template):
        target = os.path.join(folder, os.path.relpath(root, template))
        os.makedirs(target, exist_ok=True)
        for name in files:
            with open(os.path.join(root, name), encoding="utf-8") as file:
                text = file.read()
            with open(os.path.join(target, name), "w", encoding="utf-8") as file:
                file.write(text.replace("@NAME@", NAME))


@unittest.skipUnless(BUILD, "DRAY_BUILD names no build folder")
class TestOutOfTree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dray-out-of-tree-")
        os.chmod(cls.folder, 0o755)
        os.umask(0o002)  # many systems' default: what is built must be loadable all the same
        cls.prefix = os.path.join(cls.folder, "prefix")
        run([CMAKE, "--install", BUILD, "--component", "sdk", "--prefix", cls.prefix])
        cls.plugin = os.path.join(cls.folder, NAME)
        new_plugin(os.path.join(cls.prefix, "share", "dray", "template"), cls.plugin)
        found = [root for root, _, files in os.walk(cls.prefix) if "dray-sdk.pc" in files]
        assert len(found) == 1, found
        cls.environment = dict(os.environ, PKG_CONFIG_PATH=found[0])

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def check_plugin(self, library):
        self.assertEqual(["dray_plugin_entry_v1"], exports(library))
        with open(os.path.join(os.path.dirname(library), "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        with open(library, "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), manifest["sha256"])
        self.assertEqual(os.path.basename(library), manifest["library"])
        self.assertEqual(NAME, manifest["name"])
        for path in (library, os.path.dirname(library), os.path.join(os.path.dirname(library), "manifest.json")):
            self.assertEqual(0, os.stat(path).st_mode & 0o022, "%s is writable by others" % path)
        # And dray itself loads and reads it: four records, one of them unreadable, which is a row with a reason.
        records = os.path.join(self.folder, "records.jsonl")
        with open(records, "w", encoding="utf-8") as file:
            file.write('{"id": 1}\n{"id": 2, "name": "x"}\n{"id": "?"}\n{"id": 4}\n')
        config = json.dumps({"path": records})
        if PROBE:
            self.assertEqual("4\n", run([PROBE, os.path.dirname(library), config, "records"]))

    def test_nothing_of_the_machine_is_in_the_package(self):
        for root, _, files in os.walk(self.prefix):
            for name in files:
                if name.endswith(".a"):
                    continue
                with open(os.path.join(root, name), encoding="utf-8") as file:
                    text = file.read()
                for path in (SOURCE, BUILD):
                    self.assertNotIn(path + "/", text, os.path.join(root, name))

    def test_the_cmake_package_builds_tests_and_installs_it(self):
        build = os.path.join(self.folder, "build")
        run([CMAKE, "-S", self.plugin, "-B", build, "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_COMPILER=" + CC,
             "-DCMAKE_C_FLAGS=-Werror " + " ".join(FLAGS), "-DCMAKE_PREFIX_PATH=" + self.prefix])
        run([CMAKE, "--build", build])
        self.check_plugin(os.path.join(build, "plugins", NAME, NAME + ".so"))
        run(["ctest", "--output-on-failure"], cwd=build)
        target = os.path.join(self.folder, "installed")
        run([CMAKE, "--install", build, "--prefix", target])
        self.check_plugin(os.path.join(target, "lib", "dray", "plugins", NAME, NAME + ".so"))

    def test_a_newer_abi_than_installed_is_refused(self):
        asked = os.path.join(self.folder, "asked")
        os.makedirs(asked)
        for version, fits in (("1.0", True), ("1.9", False), ("2.0", False)):
            with open(os.path.join(asked, "CMakeLists.txt"), "w", encoding="utf-8") as file:
                file.write("cmake_minimum_required(VERSION 3.25)\nproject(x LANGUAGES C)\n"
                           "find_package(dray-sdk %s REQUIRED)\n" % version)
            command = [CMAKE, "-S", asked, "-B", os.path.join(asked, version), "-DCMAKE_C_COMPILER=" + CC,
                       "-DCMAKE_PREFIX_PATH=" + self.prefix]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(fits, result.returncode == 0, result.stderr)

    def test_pkg_config_and_the_compiler_alone_build_it(self):
        out = os.path.join(self.folder, "out")
        os.makedirs(out)
        library = os.path.join(out, NAME + ".so")

        def ask(*what):
            return run(["pkg-config", *what, "dray-sdk"], env=self.environment).split()

        sources = sorted(os.path.join(self.plugin, f) for f in os.listdir(self.plugin) if f.endswith(".c"))
        run([CC, "-std=gnu11", "-D_GNU_SOURCE", "-shared", "-fPIC", "-fvisibility=hidden", *FLAGS, *ask("--cflags"),
             *sources, "-o", library, "-Wl,--version-script=" + ask("--variable=export_map")[0],
             "-Wl,--exclude-libs,ALL", *ask("--libs")])
        run([ask("--variable=manifest_tool")[0], os.path.join(self.plugin, "manifest.json"), library])
        self.check_plugin(library)
        test = os.path.join(self.folder, "test_alone")
        run([CC, "-std=gnu11", "-D_GNU_SOURCE", *FLAGS, *ask("--cflags"),
             os.path.join(self.plugin, "tests", "test_plugin.c"), "-o", test, *ask("--libs"), "-ldl"])
        self.assertEqual("ok\n", run([test, library]))


if __name__ == "__main__":
    unittest.main()
