# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a project, a receiver that is ended with its test, the real data."""

import os

import pytest

import harness


@pytest.fixture
def project(tmp_path):
    made = harness.Project(tmp_path / "project")
    yield made
    made.assert_no_canary_kept()


@pytest.fixture
def receiver(tmp_path):
    """A receiver that wants the signature and the token, the canaries of these tests."""
    made = harness.Receiver(tmp_path, "--require-hmac", harness.CANARY_HMAC, "--require-bearer", harness.CANARY_BEARER,
                            "--require-key").start()
    yield made
    made.stop()


def real(name):
    folder = harness.shared()
    if folder is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the real data is not here (DRAY_SHARED)")
        pytest.skip("skipped: no DRAY_SHARED with the real data")
    return folder / "data" / name


@pytest.fixture(scope="session")
def retail_whole(tmp_path_factory):
    """The CSV with all its 541,909 lines."""
    path = tmp_path_factory.mktemp("retail") / "online_retail.csv"
    harness.unpack_retail(real("online-retail") / "online_retail.csv.xz", path)
    return path


@pytest.fixture(scope="session")
def retail(tmp_path_factory):
    """Its first 20,000 lines."""
    path = tmp_path_factory.mktemp("retail") / "online_retail.csv"
    harness.unpack_retail(real("online-retail") / "online_retail.csv.xz", path, 20000)
    return path


@pytest.fixture(scope="session")
def chinook():
    return real("chinook") / "chinook.sqlite"
