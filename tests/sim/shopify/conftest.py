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


@pytest.fixture(scope="session")
def idle(present):
    """Programs that run and are not in use: a start takes half a second, a reset none."""
    programs = []
    yield programs
    for one in programs:
        one.stop()


@pytest.fixture
def start(tmp_path, idle):
    """start(*arguments) gives a shop of its own."""
    running = []

    def make(*arguments):
        one = idle.pop() if idle else module.Shop()
        running.append(one)
        return one.reset(*arguments, ledger=tmp_path / f"ledger{len(running)}.ndjson")

    yield make
    defects = [one.calls()["defects"] for one in running]
    idle.extend(running)
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
