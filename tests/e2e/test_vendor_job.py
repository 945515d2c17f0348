# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The main job as tools/demo shows it, with the config and the models that stand there: a shop and a help desk into the warehouse, scores
of customers to an audience and back to the help desk; a day of changes; the second run moves only those, and `plan` says so before.
"""

import re
import subprocess
import sys

import pytest

import harness
import mailchimp_scene
import shopify_scene
import zendesk_scene

DEMO = harness.ROOT / "tools" / "demo"
LIFE = harness.ROOT / "tests" / "sim" / "life.py"


class World:
    """The three simulators, and the demo's project over them."""

    def __init__(self, folder):
        shopify_scene.need_shop()
        self.shops = shopify_scene.Shops(folder)
        self.shop = self.shops.start("--customers", 120, "--orders", 300)
        self.desk = zendesk_scene.Zendesk(folder, "--users", 30, "--tickets", 30)
        self.mail = mailchimp_scene.start(folder, members=20)
        self.desk.settings(endpoint_limits={"user_update": 0, "ticket_update": 0, "tickets_index": 0})
        self.project = harness.Project(folder / "project", {
            "SHOP_TOKEN": shopify_scene.TOKEN, "DESK_SECRET": self.desk.hello["client_secret"], "MAIL_KEY": self.mail.hello["api_key"]})
        text = DEMO.read_text(encoding="utf-8")
        said = {"shop": self.shop.hello, "desk": self.desk.hello, "mail": self.mail.hello}
        for name, mark, body in re.findall(r"^cat >(\S+) <<'?(\w+)'?\n(.*?)^\2$", text, re.S | re.M):
            self.project.write(name, re.sub(r"\$\(said (\w+) (\w+)\)", lambda found: str(said[found[1]][found[2]]), body))
            assert "$(" not in (self.project.folder / name).read_text(encoding="utf-8"), (name, mark)

    def life(self, what):
        subprocess.run([sys.executable, str(LIFE), what, self.shop.url, self.desk.url], check=True, timeout=120)

    def rows(self, model):
        sql = (self.project.folder / "models" / f"{model}.sql").read_text(encoding="utf-8")
        return {row[0]: row[1:] for row in self.project.query(sql)}

    def expect_delivered(self):
        members = {email.lower(): one for email, one in mailchimp_scene.members(self.mail).items()}
        for email, (first, last, rfm, spent) in self.rows("audience").items():
            held = members[email]["merge_fields"]
            names = held.get("FNAME", ""), held.get("LNAME", "")
            assert (*names, held["RFM"], float(held["SPENT"])) == (first or "", last or "", rfm, spent), email
        users = self.desk.rows("users")
        for number, (rfm, tickets) in self.rows("desk_scores").items():
            assert (users[number]["user_fields"]["rfm"], users[number]["user_fields"]["open_tickets"]) == (rfm, tickets), number

    def end(self):
        self.shops.end()
        self.desk.stop()
        self.mail.stop()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.end()


def writes(world):
    """How many calls have written so far, at each of the two that are written to."""
    return [sum(line.get("method") in zendesk_scene.WRITES and "/api/v2/" in line["path"] for line in world.desk.ledger()),
            sum(line["method"] != "GET" for line in world.mail.ledger())]


def test_the_main_job_and_a_day_later(world):
    project, targets = world.project, ("to_audience", "to_desk")
    world.life("begin")
    project.dray("check").expect(0)
    project.dray("sync", "shop", "desk").expect(0)
    project.execute((project.folder / "models" / "scores.sql").read_text(encoding="utf-8"))
    first = {"to_audience": world.rows("audience"), "to_desk": world.rows("desk_scores")}
    assert len(first["to_audience"]) > 20 and len(first["to_desk"]) > 20
    before = writes(world)
    for name in targets:
        plan, _ = project.plan(name)
        assert plan["inserts"] == len(first[name])
    assert writes(world) == before, "a plan sends nothing"
    for name in targets:
        run = project.sync(name)
        assert (run["applied"], run["rejected"]) == (len(first[name]), 0), run
    world.expect_delivered()

    world.life("day")
    runs = project.dray("sync", "shop", "desk", "--json").expect(0).lines("run")
    # Three orders, two tickets, and the users whose fields were written by the run before.
    assert 5 <= sum(run["inserts"] + run["updates"] for run in runs) <= 5 + len(first["to_desk"]), runs
    now = {"to_audience": world.rows("audience"), "to_desk": world.rows("desk_scores")}
    for name in targets:
        changed = {key for key, row in now[name].items() if first[name].get(key) != row}
        plan, samples = project.plan(name)
        assert plan["inserts"] + plan["updates"] == len(changed) and changed, name
        assert samples
        run = project.sync(name)
        assert (run["applied"], run["rejected"]) == (len(changed), 0), run
    world.expect_delivered()

    before = writes(world)
    project.dray("sync", "--all").expect(0)
    assert writes(world) == before, "nothing has changed, so nothing is written"
