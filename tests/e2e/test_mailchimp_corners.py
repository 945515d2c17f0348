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


@pytest.mark.parametrize("first, then", [("jörg@dray.test", "JÖRG@dray.test"), ("JÖRG@dray.test", "jörg@dray.test"), ("Ada@dray.test", "ada@dray.test"),
                                         ("ΝΙΚΟΣ@dray.test", "νικοσ@dray.test"), ("νικος@dray.test", "Νικος@dray.test")])
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
    mine = [(email, member["status"]) for email, member in scene.members(sim).items() if email.lower().endswith("@dray.test")]
    assert len(mine) == 3, "another spelling is the same member"
    held = {email.casefold(): status for email, status in mine}
    assert held == {"eva@dray.test": "subscribed", first.casefold(): "archived", "bob@dray.test": "archived"}
    made = calls.made()
    assert made.pop(REMOVAL) == 2 and not [name for name in made if "members" in name], made


# ---- modes of what is no member ----

FIELD = "POST /3.0/lists/{list_id}/merge-fields"


@pytest.mark.parametrize("target, columns", [("object: member_tags", ["email_address", "tag"]), ("object: segment_members", ["email_address"])],
                         ids=["tags", "segment"])
def test_mode_update_puts_nobody_anywhere(project, sim, target, columns):
    """Who has a tag or is in a segment is there or is not: there is nothing about it that an update could change."""
    project.environment.update(scene.environment(sim))
    held = scene.members(sim)
    known = next(email for email, member in held.items() if member["status"] == "subscribed")
    static = next(one for one in sim.state()["lists"][sim.hello["list_id"]]["segments"] if one["type"] == "static")
    more = f", segment_id: \"{static['id']}\"" if "segment" in target else ""
    scene.to_audience(project, sim, columns, [(known, "brand new")[:len(columns)]], target=target + more, mode="update",
                      key="[email_address, tag]" if len(columns) > 1 else "email_address")
    calls = scene.Calls(sim)
    result = project.dray("sync", "out", "--json").expect(4)
    assert "config_value" in result.errors() and "mode update" in result.out and "upsert" in result.out, result
    assert calls.writes() == {} and scene.members(sim) == held


def test_mode_create_adds_tags_and_leaves_those_that_are_there(project, sim):
    project.environment.update(scene.environment(sim))
    known = [email for email, member in scene.members(sim).items() if member["status"] == "subscribed"][:2]
    sim.change({"op": "tag", "email": known[0], "tag": "theirs", "active": True})
    before = {email: names(member) for email, member in scene.members(sim).items()}
    scene.to_audience(project, sim, ["email_address", "tag"], [(known[0], "Theirs"), (known[0], "ours"), (known[1], "ours")],
                      target="object: member_tags", key="[email_address, tag]", mode="create")
    assert project.sync("out")["rejected"] == 0
    after = {email: names(member) for email, member in scene.members(sim).items()}
    assert after == {**before, known[0]: before[known[0]] | {"ours"}, known[1]: before[known[1]] | {"ours"}}


def names(member):
    return {tag["name"] if isinstance(tag, dict) else tag for tag in member["tags"]}


@pytest.mark.parametrize("sync_tags", ["false", "true"])
def test_mode_create_leaves_the_tags_of_members_as_they_are(project, sim, sync_tags):
    project.environment.update(scene.environment(sim))
    before = scene.members(sim)
    known = [next(email for email, member in before.items() if member["status"] == status) for status in ("subscribed", "unsubscribed")]
    scene.to_audience(project, sim, ["email_address", "merge_fname", "tags"],
                      [(email, "Changed", '["ours"]') for email in [*known, "new@dray.test"]], mode="create",
                      target=f"object: members, sync_tags: {sync_tags}")
    config = project.folder / "dray.yaml"
    config.write_text(config.read_text() + "    types: {tags: json}\n")
    project.sync("out")
    held = scene.members(sim)
    assert [held[email] for email in known] == [before[email] for email in known]
    assert names(held["new@dray.test"]) == {"ours"}


@pytest.mark.parametrize("mode", ["create", "update", "remove"])
def test_merge_fields_are_made_where_members_are_written(project, sim, mode):
    project.environment.update(scene.environment(sim))
    known = next(email for email, member in scene.members(sim).items() if member["status"] == "subscribed")
    row = ("new@dray.test", 7) if mode == "create" else (known, 7)
    scene.to_audience(project, sim, ["email_address", "merge_score"], [row], mode=mode, target="object: members, create_merge_fields: true")
    calls = scene.Calls(sim)
    assert project.sync("out")["applied"] == 1
    held = scene.members(sim)
    if mode == "remove":
        assert calls.writes() == {REMOVAL: 1} and held[known]["status"] == "archived"
    else:
        assert calls.writes()[FIELD] == 1 and float(held[row[0]]["merge_fields"]["SCORE"]) == 7


# ---- addresses ----

@pytest.mark.parametrize("types", ["", "    types: {merge_address: json}\n"], ids=["text", "json"])
def test_addresses_of_a_file_without_types(project, sim, types):
    project.environment.update(scene.environment(sim))
    fields = {field["tag"]: field["type"] for field in sim.state()["lists"][sim.hello["list_id"]]["merge_fields"]}
    assert fields["ADDRESS"] == "address"
    whole = '{"addr1": "1 Main St", "city": "Ulm", "state": "BW", "zip": "89073"}'
    rows = [("a@dray.test", whole), ("c@dray.test", "")] + ([] if types else [("b@dray.test", "1 Main St, Ulm"), ("d@dray.test", '{"addr1": "1')])
    scene.to_audience(project, sim, ["email_address", "merge_address"], rows)
    config = project.folder / "dray.yaml"
    config.write_text(config.read_text() + types)
    run = project.sync("out", code=0 if types else 3)
    assert (run["applied"], run["rejected"]) == (2, len(rows) - 2), run
    assert scene.members(sim)["a@dray.test"]["merge_fields"]["ADDRESS"]["city"] == "Ulm"
    assert all("complete address" in row["text"] and 'JSON object, {"addr1"' in row["text"] for row in project.rows("out"))
