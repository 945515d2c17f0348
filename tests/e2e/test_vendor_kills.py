# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Runs against the vendors' simulators that are killed and gone on with: two seeds a vendor and direction. Twenty, at all steps
that there are, are `tools/bench vendors --only kills_VENDOR`; the code is the same."""
import os
import pathlib
import sys

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "bench"))

from driver import accounts, vendor_kills  # noqa: E402

WAYS = ("request", "step")
SEEDS = (0, 1)


def need(vendor):
    folder = pathlib.Path(harness.program()).resolve().parents[2] / "plugins" / vendor
    if not folder.is_dir():
        pytest.skip(f"skipped: there is no plugin {vendor}")
    why = accounts.VENDORS[vendor].missing()
    if why and os.environ.get("CI") == "true":
        pytest.fail(why)
    if why:
        pytest.skip(f"skipped: {why}")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("direction", vendor_kills.DIRECTIONS)
@pytest.mark.parametrize("vendor", sorted(accounts.VENDORS))
def test_killed_and_gone_on_with(vendor, direction, seed, tmp_path):
    need(vendor)
    told = vendor_kills.run_seed(vendor, direction, seed, tmp_path, WAYS)
    assert told["wrong"] is None, told
    assert told["deaths"]


class Judged:
    """A case of Zendesk's tickets that was never killed, so that what a judge says follows from what is done to it."""

    def __init__(self, direction, folder):
        self.case = vendor_kills.KINDS[direction]("zendesk", direction, 1, folder / direction)
        self.case.go_on()
        self.sim = self.case.account.sim

    def verdict(self):
        with pytest.raises(vendor_kills.Wrong) as wrong:
            self.case.judge()
        return str(wrong.value)


@pytest.fixture
def judged(tmp_path):
    need("zendesk")
    made = []

    def make(direction):
        made.append(Judged(direction, tmp_path))
        return made[-1]
    yield make
    for one in made:
        one.case.close()


def test_judges_see_what_was_lost_and_what_is_there_twice(judged):
    one = judged("activate")
    one.case.judge()
    there = [row for row in one.sim.state()["tickets"] if row["external_id"] == "crm-3"]
    again = {name: there[0][name] for name in ("external_id", "subject")}
    one.sim.change({"tickets": [{**again, "comment": {"body": "again"}, "requester_id": there[0]["requester_id"]}]})
    assert "created more than once" in one.verdict()
    one.case.project.execute(f"INSERT INTO {accounts.TABLE} (external_id, subject, comment) VALUES ('crm-x', 'x', 'x')")
    assert "never arrived" in one.verdict()


def test_judges_see_rows_written_again(judged):
    """What the ledger says was done once more is wrong unless it was in flight."""
    one = judged("activate")
    case, lines = one.case, one.sim.ledger
    case.target = accounts.Target("tickets", "tickets", ("external_id", "subject"))
    one.sim.ledger = lambda: lines() + lines()[case.begin:]
    assert "were written again, 0 were in flight" in one.verdict()
    case.allowed = 10 * case.rows
    case.judge()


def test_judges_see_records_that_are_not_the_vendors(judged):
    one = judged("ingest")
    one.case.judge()
    one.case.project.execute("UPDATE users SET notes = 'other' WHERE id = (SELECT min(id) FROM users)")
    assert "not as the vendor has them" in one.verdict()
    one.case.project.execute("DELETE FROM users WHERE id = (SELECT min(id) FROM users)")
    assert "were lost" in one.verdict()
