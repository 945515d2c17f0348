# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Mailchimp by dice: changes, faults and deaths in any order, and then what is held here is what is held there.

DRAY_RANDOM_SEEDS=20 runs long; DRAY_RANDOM_FIRST is the first seed, DRAY_RANDOM_ROUNDS the rounds of each.
"""

import os
import random
import time

import pytest

import mailchimp_scene as scene

FIRST = int(os.environ.get("DRAY_RANDOM_FIRST", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("DRAY_RANDOM_SEEDS", "1")))
ROUNDS = int(os.environ.get("DRAY_RANDOM_ROUNDS", "3"))
READS = ("list_members", "segments", "segment_members", "lists", "merge_fields")

PASSING = [{"kind": "throttle"}, {"kind": "throttle", "retry_after": 0}, {"kind": "reset"}, {"kind": "cut", "keep_bytes": 200},
           {"kind": "status", "status": 503}, {"kind": "status", "status": 502, "body": "<html>"}, {"kind": "html"},
           {"kind": "not_json"}, {"kind": "empty"}, {"kind": "status", "status": 403, "body": ""}]


def faults(dice, path, kinds, most):
    return [{**dice.choice(kinds), "path": path, "nth": dice.randrange(1, 9), "count": 1} for _ in range(dice.randrange(most + 1))]


def run(dice, project, sim, *arguments):
    """A run that may die at any request."""
    dies = dice.random() < 0.5
    mark, least = sim.noted(), dice.randrange(1, 20)
    process = project.start(*arguments)
    end = time.monotonic() + 60
    while dies and process.poll() is None and sim.noted() - mark < least and time.monotonic() < end:
        time.sleep(0.01)
    if dies:
        time.sleep(dice.random() * 0.05)
        project.kill(process)
        return
    result = project.finish(process, arguments)
    assert 0 <= result.code < 8, str(result)


def disturb(dice, sim, turn):
    held = scene.members(sim)
    here = [email for email, member in held.items() if member["status"] in ("subscribed", "unsubscribed", "transactional")]
    now = sim.advance(0)
    orders = [{"op": "add", "email": f"new{turn}.{dice.randrange(10**6)}@dray.test"}]
    for email in dice.sample(here, 14):
        orders.append(dice.choice([
            {"op": "set", "email": email, "member": {"merge_fields": {"FNAME": f"Name {turn}"}}},
            {"op": "unsubscribe", "email": email}, {"op": "archive", "email": email}, {"op": "clean", "email": email},
            {"op": "touch", "email": email}, {"op": "tag", "email": email, "tag": f"tag {dice.randrange(3)}"},
            {"op": "delete", "email": email}, {"op": "email", "email": email, "to": f"moved{turn}.{dice.randrange(10**6)}@dray.test"},
            {"op": "resubscribe", "email": email}]))
    archived = [email for email, member in held.items() if member["status"] == "archived"]
    orders += [{"op": "resubscribe", "email": email} for email in dice.sample(archived, min(2, len(archived)))]
    orders += [{"op": "touch", "email": email} for email in dice.sample(sorted(set(here) - {one["email"] for one in orders}), 30)]
    sim.change({"ops": orders})
    return now


def compare(project, sim, full):
    state = sim.state()["lists"]
    columns = "id, email_address, status, merge_fname, language, vip, substr(last_changed, 1, 19)"
    for list_id, audience in state.items():
        wanted = {number: (member["email_address"], member["status"], member["merge_fields"].get("FNAME", ""), member["language"],
                           member["vip"], member["last_changed"][:19].replace("T", " ")) for number, member in audience["members"].items()}
        rows = project.query(f"SELECT {columns} FROM list_members WHERE list_id = ?", (list_id,))
        got = {row[0]: (row[1], row[2], row[3] or "", row[4] or "", bool(row[5]), row[6].replace("T", " ")) for row in rows}
        assert len(rows) == len(got)
        if not full:  # who was deleted or renamed has left no trace
            got = {number: row for number, row in got.items() if number in wanted}
        assert {number: (row, wanted.get(number)) for number, row in got.items() if row != wanted.get(number)} == {}
        assert set(got) == set(wanted)
        fields = {row[0] for row in project.query("SELECT tag FROM merge_fields WHERE list_id = ?", (list_id,))}
        assert fields == {field["tag"] for field in audience["merge_fields"]}
        segments = {row[0] for row in project.query("SELECT id FROM segments WHERE list_id = ?", (list_id,))}
        assert segments == {segment["id"] for segment in audience["segments"]}
        for segment in audience["segments"]:
            if segment["members"] is None:
                continue
            inside = [row[0] for row in project.query("SELECT id FROM segment_members WHERE segment_id = ?", (segment["id"],))]
            assert sorted(inside) == sorted(number for number in segment["members"]
                                            if audience["members"][number]["status"] == "subscribed") or set(inside) <= set(
                                                segment["members"]), segment["name"]
    assert {row[0] for row in project.query("SELECT id FROM lists")} == set(state)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_read_is_what_is_held(project, tmp_path, seed):
    dice = random.Random(seed)
    sim = scene.start(tmp_path, "--seed", seed, members=260)
    try:
        project.environment.update(scene.environment(sim))
        scene.into_warehouse(project, sim, READS, "mirror", more=f", page_size: {dice.choice([20, 50, 90])}")
        for turn in range(ROUNDS):
            sim.fault(*faults(dice, "/3.0/*", PASSING, 3), {"kind": "slow", "seconds": 0.01, "path": "/3.0/*", "count": -1},
                      {"kind": "drift", "touch": dice.randrange(3), "archive": dice.randrange(2), "path": "/3.0/*/members", "count": 3})
            disturb(dice, sim, turn)
            run(dice, project, sim, "sync", "--all")
            sim.advance(dice.choice([0, 1, 30, 400]))
            sim.sim("DELETE", "faults")
        sim.advance(5)
        project.dray("sync", "--all").expect(0)
        compare(project, sim, full=False)
        text = (project.folder / "dray.yaml").read_text(encoding="utf-8").replace("stream: list_members", "stream: list_members, read: full")
        project.write("dray.yaml", text)
        project.dray("sync", "list_members").expect(0)
        compare(project, sim, full=True)
    finally:
        sim.stop()


# ---- destination ----

LOST = PASSING + [{"kind": "reset", "applied": True}, {"kind": "html", "applied": True},
                  {"kind": "status", "status": 500, "applied": True}, {"kind": "stall", "seconds": 0.3, "applied": True}]
COLUMNS = ("email_address", "merge_fname", "merge_ltv", "language", "vip")


@pytest.mark.parametrize("seed", SEEDS)
def test_an_audience_becomes_the_model_and_consent_stays(project, tmp_path, seed):
    dice = random.Random(seed)
    sim = scene.start(tmp_path, "--seed", seed, members=60)
    try:
        project.environment.update(scene.environment(sim))
        before = scene.members(sim)
        rows = {}
        scene.to_audience(project, sim, COLUMNS, [])
        left = set()  # those who may not be brought back
        for turn in range(ROUNDS):
            for _ in range(dice.randrange(1, 40)):
                number = dice.randrange(60)
                email = f"{'pP'[number % 2]}{number}@dray.test"  # one spelling: a removal of another one is a row of its own
                rows[number] = (email, f"Name {turn}.{dice.randrange(9)}", dice.choice([1, 2.5, 30]), dice.choice(["de", "en"]),
                                dice.choice(["true", "false"]))
            for number in dice.sample(sorted(rows), min(len(rows), dice.randrange(4))):
                del rows[number]
            scene.write_rows(project, COLUMNS, rows.values())
            sim.fault(*faults(dice, "/3.0/*", LOST, 3), {"kind": "slow", "seconds": 0.01, "path": "/3.0/*", "count": -1})
            run(dice, project, sim, "sync", "out")
            held = scene.members(sim)
            mine = [email for email in held if email.lower().startswith("p") and email.endswith("@dray.test") and held[email]["status"] == "subscribed"]
            for email in dice.sample(mine, min(len(mine), 3)):
                sim.change({"op": dice.choice(["unsubscribe", "clean"]), "email": email})
                left.add(email.lower())
            sim.sim("DELETE", "faults")
        for _ in range(3):
            result = project.dray("sync", "out")
        assert result.code in (0, 3), str(result)
        for number, row in rows.items():
            rows[number] = (row[0], row[1] + ".", *row[2:])
        scene.write_rows(project, COLUMNS, rows.values())
        assert project.dray("sync", "out").code in (0, 3)
        held = {email.lower(): member for email, member in scene.members(sim).items()}
        names = {row["key"].partition("=")[2].lower() for row in project.rows("out")}
        assert names <= left, "only who left is refused"
        for email, name, ltv, language, vip in rows.values():
            member = held[email.lower()]
            if email.lower() in names:
                continue
            assert (member["merge_fields"]["FNAME"], float(member["merge_fields"]["LTV"]), member["language"], member["vip"]) == (
                name, float(ltv), language, vip == "true"), (email, member)
            assert member["status"] in (("unsubscribed", "cleaned", "archived") if email.lower() in left else ("subscribed",)), (email, member)
        assert all(held[email]["status"] in ("unsubscribed", "cleaned", "archived") for email in left)
        wanted = {row[0].lower() for row in rows.values()}
        assert {email for email, member in held.items() if email.endswith("@dray.test") and email[0] == "p" and email[1].isdigit()
                and member["status"] not in ("archived", "cleaned")} <= wanted
        for email, member in before.items():
            assert scene.members(sim)[email]["last_changed"] == member["last_changed"], email
        calls = scene.Calls(sim)
        again = project.dray("sync", "out")
        assert not calls.writes() or again.code == 3, calls.writes()
    finally:
        sim.stop()
