# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""For tests: the whole traffic of a Shopify simulator, as its ledger tells it, held against the vendor's schema."""

import json
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
SCHEMA = "admin-graphql-2026-10.introspection.json.gz"
MODULES = HERE.parents[1] / "build" / "npm" / "node_modules"


class Report:
    """`checked`: how much of what was looked at; `roots`: how often each root field was asked; of each ledger `met`: what became of
    its root fields (faults, codes of errors, userErrors, data), and `asked`: which they are, inner ones too; `violations`: all that
    was wrong."""

    def __init__(self, told):
        self.checked, self.roots, self.violations = told["checked"], told["roots"], told["violations"]
        self.met, self.asked = told["met"], told["asked"]

    def of(self, kind):
        """Violations of a kind: operation, variables, inner (what the client sent), answer, line (what the simulator gave)."""
        return [one for one in self.violations if one["kind"] == kind]


def check(*ledgers, answers=(), timeout_s=120):
    """A Report on these ledgers; of those in `answers` on what the simulator gave alone. A simulator started with --ledger-brief keeps
    no answers: then only requests are judged."""
    environment = {**os.environ}
    environment.setdefault("NODE_PATH", str(MODULES))
    done = subprocess.run(["node", str(HERE / "shopify_check.js"), *map(str, ledgers), "--answers", *map(str, answers)],
                          capture_output=True, text=True, timeout=timeout_s, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return Report(json.loads(done.stdout))
