# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Values of a Mailchimp account that change their kind, or that no column can hold."""

import pytest

import mailchimp_scene as scene


@pytest.fixture
def sim(tmp_path):
    made = scene.start(tmp_path, members=80)
    yield made
    made.stop()


@pytest.fixture
def account(project, sim):
    project.environment.update(scene.environment(sim))
    return project


def test_a_merge_field_that_is_of_another_type_from_now_on(account, sim):
    """A number becomes a text between two reads: what it holds arrives, and no member is lost."""
    scene.into_warehouse(account, sim, ["list_members"], "mirror")
    account.sync("list_members")
    before = account.query("SELECT count(*) FROM list_members")
    email = next(email for email, member in scene.members(sim).items() if member["status"] == "subscribed")
    sim.advance(100)
    sim.change({"ops": [{"op": "field_type", "tag": "LTV", "type": "text"},
                        {"op": "set", "email": email, "member": {"merge_fields": {"LTV": "rather much"}}}]})
    sim.advance(100)
    run = account.sync("list_members")
    assert run["unreadable"] == run["rejected"] == 0, run
    assert account.query("SELECT merge_ltv FROM list_members WHERE email_address = ?", (email,)) == [("rather much",)]
    assert account.query("SELECT count(*) FROM list_members") == before


@pytest.mark.parametrize("kind, good, bad", [("number", "12.5", "many"), ("date", "2026-01-31", "soon")])
def test_rows_for_a_merge_field_that_is_of_another_type_now(account, sim, kind, good, bad):
    """Rows that fit go; those that do not have the vendor's words."""
    columns = ("email_address", "merge_note")
    sim.change({"op": "field_add", "field": {"tag": "NOTE", "name": "Note", "type": "text"}})
    scene.to_audience(account, sim, columns, [("a@dray.test", "text"), ("b@dray.test", "text")])
    assert account.sync("out")["applied"] == 2
    sim.change({"op": "field_type", "tag": "NOTE", "type": kind})
    scene.write_rows(account, columns, [("a@dray.test", good), ("b@dray.test", bad)])
    run = account.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (1, 1), run
    told = account.rows("out")
    assert len(told) == 1 and "b@dray.test" in str(told) and "NOTE" in str(told).upper(), told
    assert str(scene.members(sim)["a@dray.test"]["merge_fields"]["NOTE"]) == good


def test_numbers_of_twenty_digits_are_bad_rows(account, sim):
    """Not rounded, not cut: the row is told, with its column, and all others arrive."""
    scene.into_warehouse(account, sim, ["list_members"], more=", list_ids: [%s]" % sim.hello["list_id"])
    count = len(scene.members(sim))
    number = min(member["web_id"] for member in scene.members(sim).values()) if "web_id" in next(iter(scene.members(sim).values())) else None
    if number is None:
        page = sim.request("GET", f"/3.0/lists/{sim.hello['list_id']}/members?count=1", headers={
            "Authorization": "Bearer " + sim.hello["api_key"]}).json()
        number = page["members"][0]["web_id"]
    sim.fault({"kind": "mangle", "find": f'"web_id":{number},', "replace": '"web_id":99999999999999999999,', "path": "/3.0/lists/*/members",
               "count": -1})
    run = account.sync("list_members", code=3)
    assert run["unreadable"] == 1 and run["inserts"] == count - 1, run
    assert "web_id" in str(account.rows("list_members"))
