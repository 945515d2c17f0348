# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a project, a receiver that is ended with its test, the real data, simulated accounts of vendors."""

import os
import sys

import pytest

import harness
import mysql_server
import postgres_server
import scene
import shopify_scene

sys.path.insert(0, str(harness.ROOT / "tests" / "bench"))

from driver import accounts  # noqa: E402  pylint: disable=wrong-import-position


@pytest.fixture
def project(tmp_path):
    made = harness.Project(tmp_path / "project")
    yield made
    made.assert_no_canary_kept()


@pytest.fixture
def receiver(tmp_path):
    """A receiver that wants the signature and the token, the canaries of these tests."""
    made = harness.Receiver(tmp_path, "--require-hmac", harness.CANARY_HMAC, "--require-bearer", harness.CANARY_BEARER,
                            "--require-key")
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


@pytest.fixture(scope="module")
def postgres():
    made = scene.started(postgres_server)
    yield made
    made.close()


@pytest.fixture(scope="module")
def mysql():
    made = scene.started(mysql_server)
    yield made
    made.close()


@pytest.fixture(scope="module")
def clean_shopify_traffic():
    """All that the tests of a file asked of shops is judged by Shopify's schema at their end."""
    yield
    shopify_scene.expect_clean_traffic()


@pytest.fixture
def shops(tmp_path):
    shopify_scene.need_shop()
    made = shopify_scene.Shops(tmp_path)
    yield made
    made.end()


def vendor(name):
    """The class of a vendor's simulated accounts, if this machine can run them."""
    made = accounts.VENDORS[name]
    why = made.missing()
    if why and os.environ.get("CI") == "true":
        pytest.fail(why)
    if why:
        pytest.skip(f"skipped: {why}")
    return made


@pytest.fixture(scope="module")
def shared_account(tmp_path_factory):
    """Gives the account of a vendor that the tests of a file share, made when it is first asked for, without faults."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = vendor(name)(tmp_path_factory.mktemp(name), size=150)
        made[name].sim.sim("DELETE", "faults")
        return made[name]
    yield get
    defects = {name: account.defects() for name, account in made.items()}
    for account in made.values():
        account.sim.stop()
    assert not any(defects.values()), defects


@pytest.fixture
def own_account(tmp_path):
    """Gives accounts of a test's own, with options of their own."""
    running = []

    def start(name, *options, size=60):
        folder = tmp_path / f"{name}{len(running)}"
        folder.mkdir()
        running.append(vendor(name)(folder, *options, size=size))
        return running[-1]
    yield start
    defects = [account.defects() for account in running]
    for account in running:
        account.sim.stop()
    assert not any(defects), defects
