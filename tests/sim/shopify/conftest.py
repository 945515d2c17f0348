# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Starts shops for tests. What is not on this machine: skipped here, failed where CI=true."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import shop as module  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def present():
    problem = module.missing()
    if problem and os.environ.get("CI") == "true":
        pytest.fail(problem)
    if problem:
        pytest.skip(f"skipped: {problem}")


@pytest.fixture
def start(tmp_path, present):
    running = []

    def make(*arguments):
        running.append(module.Shop(*arguments, ledger=tmp_path / f"ledger{len(running)}.ndjson"))
        return running[-1]

    yield make
    defects = [one.calls()["defects"] for one in running if one.process.poll() is None]
    for one in running:
        one.stop()
    assert not any(defects), defects


@pytest.fixture
def shop(start):
    return start()


@pytest.fixture(scope="module")
def still(tmp_path_factory, present):
    """One shop for all tests of a module that only read."""
    with module.Shop("--restore-rate", 100000, ledger=tmp_path_factory.mktemp("still") / "ledger.ndjson") as one:
        yield one
        assert one.calls()["defects"] == []
