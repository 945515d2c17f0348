# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Corners of a model into a Mailchimp audience: keys that differ by the case of letters."""

import pytest

import mailchimp_scene as scene

COLUMNS = ["email_address", "merge_fname"]
REMOVAL = "DELETE /3.0/lists/{list_id}/members/{subscriber_hash}"


@pytest.fixture
def sim(tmp_path):
    made = scene.start(tmp_path, members=20)
    yield made
    made.stop()


def test_a_mirror_whose_addresses_lose_their_capitals_archives_nobody(project, sim):
    project.environment.update(scene.environment(sim))
    scene.to_audience(project, sim, COLUMNS, [(f"P{n}@Dray.test", "Ada") for n in range(5)])
    project.sync("out")
    scene.write_rows(project, COLUMNS, [(f"p{n}@dray.test", "Ada") for n in range(4)])  # and one is really gone
    project.sync("out")
    held = {email.lower(): member["status"] for email, member in scene.members(sim).items() if email.lower().endswith("@dray.test")}
    assert [held[f"p{n}@dray.test"] for n in range(5)] == ["subscribed"] * 4 + ["archived"]


@pytest.mark.parametrize("first, then", [("jörg@dray.test", "JÖRG@dray.test"), ("JÖRG@dray.test", "jörg@dray.test"), ("Ada@dray.test", "ada@dray.test")])
@pytest.mark.parametrize("respelled_by", ["source", "mailchimp"])
def test_whoever_is_spelled_otherwise_by_now_is_removed_all_the_same(project, sim, first, then, respelled_by):
    """Every spelling of an address is one key, so a removal is of nobody else. It takes a call, and no look before it."""
    project.environment.update(scene.environment(sim))
    rows = [("eva@dray.test", "Eva"), (first, "A"), ("Bob@Dray.test", "B")]
    scene.to_audience(project, sim, COLUMNS, rows)
    assert project.sync("out")["applied"] == 3
    if respelled_by == "source":
        scene.write_rows(project, COLUMNS, [rows[0], (then, "A"), rows[2]])
        assert project.sync("out")["deletes"] == 0
    else:
        sim.change({"op": "email", "email": first, "to": then})
    scene.write_rows(project, COLUMNS, rows[:1])
    calls = scene.Calls(sim)
    run = project.sync("out")
    assert (run["deletes"], run["applied"], run["rejected"]) == (2, 2, 0), run
    held = {email.lower(): member["status"] for email, member in scene.members(sim).items() if email.lower().endswith("@dray.test")}
    assert held == {"eva@dray.test": "subscribed", first.lower(): "archived", "bob@dray.test": "archived"}
    made = calls.made()
    assert made.pop(REMOVAL) == 2 and not [name for name in made if "members" in name], made
