# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""`start_date` of each vendor: set, set later, set earlier, taken away, over the runs of one project."""

import pytest

import harness
import mailchimp_scene
import shopify_scene
import zendesk_scene

AGAIN = "start_date is earlier now"


class Shopify:
    stream, time = "orders", "updated_at"
    quiet = ", use_bulk: never"

    def __init__(self, folder):
        shopify_scene.need_shop()
        self.shops = shopify_scene.Shops(folder)
        self.sim = self.shops.start("--customers", 12, "--orders", 40, "--products", 6)
        self.environment = {"SHOP_TOKEN": shopify_scene.TOKEN}

    def stop(self):
        self.shops.end()

    def connection(self, more):
        return "v: " + shopify_scene.connection(self.sim).removesuffix("}") + more + "}"


class ShopifyBulk(Shopify):
    quiet = ", use_bulk: always"


class Zendesk:
    stream, time, quiet = "tickets", "generated_timestamp", ""

    def __init__(self, folder):
        self.sim = zendesk_scene.Zendesk(folder, "--users", 30, "--tickets", 60)
        self.environment = zendesk_scene.environment(self.sim)

    def stop(self):
        self.sim.stop()

    def connection(self, more):
        return "v: " + zendesk_scene.connection(self.sim, more)


class ZendeskByTime(Zendesk):
    stream, time = "organizations", "updated_at"


class Mailchimp:
    stream, time, quiet = "campaigns", "create_time", ""

    def __init__(self, folder):
        self.sim = mailchimp_scene.start(folder, members=120)
        self.environment = mailchimp_scene.environment(self.sim)

    def stop(self):
        self.sim.stop()

    def connection(self, more):
        return "v: " + mailchimp_scene.connection(self.sim, more).partition(": ")[2]


class MailchimpMembers(Mailchimp):
    stream, time = "list_members", "last_changed"


KINDS = [Shopify, ShopifyBulk, Zendesk, ZendeskByTime, Mailchimp, MailchimpMembers]


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind.__name__}")
def vendor(request, tmp_path):
    made = request.param(tmp_path)
    yield made
    made.stop()


def read(project, vendor, start):
    """One run with this start_date; its record, and what was said."""
    project.environment.update(vendor.environment)
    more = vendor.quiet + (f', start_date: "{start}"' if start else "")
    project.config(f"connections:\n  {vendor.connection(more)}\n  wh: {{plugin: sqlite, path: warehouse.db}}\nsyncs:\n"
                   f"  in: {{from: {{connection: v, stream: {vendor.stream}}}, to: {{connection: wh, table: t}}, mode: upsert}}\n")
    result = project.dray("sync", "in", "--json").expect(0)
    return result.line("run"), result.err


def held(project):
    return sorted(row[0] for row in project.query("SELECT id FROM t"))


def test_a_start_that_is_moved(vendor, project, tmp_path):
    whole = harness.Project(tmp_path / "whole")
    read(whole, vendor, None)
    times = sorted(row[0] for row in whole.query(f"SELECT DISTINCT {vendor.time} FROM t"))
    early, late, last = (times[len(times) * part // 4] for part in (1, 2, 3))
    assert times[0] < early < late < last

    def since(start):
        return sorted(row[0] for row in whole.query(f"SELECT id FROM t WHERE {vendor.time} >= ?", (start,)))

    def spelled(start):
        return start.replace(" ", "T").partition(".")[0] + "Z"
    expect_from(project, vendor, spelled(late), since(late), said=False)
    expect_from(project, vendor, spelled(last), since(late), said=False)  # a later one: nothing
    expect_from(project, vendor, spelled(late), since(late), said=False)  # nor the one that it was begun with
    expect_from(project, vendor, spelled(early), since(early), said=True)
    run, _ = expect_from(project, vendor, spelled(early), since(early), said=False)
    assert run["inserts"] == run["updates"] == 0
    expect_from(project, vendor, None, held(whole), said=True)
    expect_from(project, vendor, spelled(late), held(whole), said=False)


def expect_from(project, vendor, start, wanted, said):
    run, err = read(project, vendor, start)
    assert held(project) == wanted, (start, err)
    assert (AGAIN in err) == said, err
    return run, err


def here(project, sim, email):
    return project.query("SELECT id FROM t WHERE email_address = ? AND list_id = ?", (email, sim.hello["list_id"]))


def test_who_is_archived_before_the_start_is_moved_is_taken_back(project, tmp_path):
    """Reading again must not forget where the archive was read up to."""
    vendor = MailchimpMembers(tmp_path)
    vendor.quiet = ", include_archived: false"
    try:
        read(project, vendor, "2026-01-01")
        gone = next(email for email, member in mailchimp_scene.members(vendor.sim).items()
                    if member["status"] == "subscribed" and here(project, vendor.sim, email))
        vendor.sim.advance(600)
        vendor.sim.change({"ops": [{"op": "archive", "email": gone}]})
        _, err = read(project, vendor, "2020-01-01")
        assert AGAIN in err
        assert not here(project, vendor.sim, gone)
    finally:
        vendor.stop()
