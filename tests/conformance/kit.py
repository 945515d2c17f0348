# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Runs `dray plugin test` and reads its report: what a third party's CI does."""
import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
BIN = os.environ.get("DRAY_BIN", "")
BUILD = os.environ.get("DRAY_BUILD", "")
CHECKS = ["exports", "manifest", "spec", "unknown_setting", "canary_secrets", "discover_stable", "resume", "second_sync",
          "receipts", "caps", "cancel", "allocation", "lifecycle", "values"]
SECONDS_MAX = 3000


def library(name):
    return os.path.join(BUILD, "plugins", name, name + ".so")


def run(path, config, folder, only=None, sanitizer_leaks=True):
    """Without `sanitizer_leaks` leaks are the kit's alone to see: LeakSanitizer would end every check that leaks.
    `config` is written into `folder`, which is @CONFIG@. Returns {check: (status, text)}, in the order of the report."""
    config_path, report_path = os.path.join(folder, "kit.json"), os.path.join(folder, "report.json")
    with open(config_path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    command = [BIN, "plugin", "test", path, "--config", config_path, "--report", report_path]
    environment = dict(os.environ)
    if not sanitizer_leaks:
        environment["ASAN_OPTIONS"] = ":".join(filter(None, [environment.get("ASAN_OPTIONS"), "detect_leaks=0"]))
    done = subprocess.run(command + (["--only", only] if only else []), capture_output=True, text=True,
                          timeout=SECONDS_MAX, env=environment, check=False)
    if not os.path.exists(report_path):
        raise AssertionError("no report: exit %d\n%s%s" % (done.returncode, done.stdout, done.stderr))
    with open(report_path, encoding="utf-8") as file:
        report = json.load(file)
    os.unlink(report_path)
    results = {check["check"]: (check["status"], check["text"]) for check in report["checks"]}
    failed = [name for name, (status, _) in results.items() if status == "fail"]
    assert report["v"] == 1 and len(results) == len(report["checks"])
    assert report["failed"] == len(failed) and done.returncode == (1 if failed else 0), done
    assert report["passed"] + report["failed"] + report["skipped"] == len(results)
    return results


def expect_clean(case, results, may_skip=()):
    """Every check ran and passed, but for those that the plugin gives no occasion for."""
    case.assertEqual(CHECKS, list(results))
    for name, (status, text) in results.items():
        case.assertIn(status, ("pass", "skip") if name in may_skip else ("pass",), "%s: %s" % (name, text))
