# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Access that somebody grants in a browser: from the address that `dray check` says to the tables, with each vendor's simulator."""

import contextlib
import json
import re
import signal
import sqlite3
import urllib.parse

import pytest

import harness
import mailchimp_scene
import shopify_scene
import zendesk_scene

REDIRECT = "https://dray.example/callback"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B


class Shopify:
    plugin, streams, token_path, api, lifetime_s, code_s = "shopify", ("orders", "products"), "/admin/oauth/access_token", "/admin/api/*", 4000, 601
    page, secret, client = "https://dray-test.myshopify.com/admin/oauth/authorize", "dray-secret", "dray-client"
    asked = {"scope": "read_customers,read_orders,read_products,read_inventory,read_locations,read_draft_orders"}

    def __init__(self, folder):
        shopify_scene.need_shop()
        self.shops = shopify_scene.Shops(folder)
        self.sim = self.shops.start("--customers", 10, "--orders", 10, "--products", 5, "--token", "")
        self.place = f'shop: dray-test, base_url: "{self.sim.url}", use_bulk: never'

    def end(self):
        self.shops.end()


class Zendesk:
    plugin, streams, token_path, api, lifetime_s, code_s = "zendesk", ("groups", "brands"), "/oauth/tokens", "/api/*", 2000, 121
    asked = {"scope": "read write"}

    def __init__(self, folder, subdomain="example"):
        self.sim = zendesk_scene.Zendesk(folder, "--users", 10, "--tickets", 5)
        # A browser is sent to Zendesk itself, where that is said.
        self.page = (f"https://{subdomain}.zendesk.com" if subdomain else self.sim.url) + "/oauth/authorizations/new"
        self.secret, self.client = self.sim.hello["client_secret"], self.sim.hello["client_id"]
        self.place = f'base_url: "{self.sim.url}", exports_per_minute: 1000' + (f", subdomain: {subdomain}" if subdomain else "")

    def end(self):
        self.sim.stop()


class Mailchimp:
    plugin, streams, token_path, api, lifetime_s, code_s = "mailchimp", ("lists", "tags"), "/oauth2/token", "/oauth2/metadata", None, 601
    page, secret, client, asked = "https://login.mailchimp.com/oauth2/authorize", "client-secret-1", "client-1", {}

    def __init__(self, folder):
        self.sim = mailchimp_scene.start(folder, members=5)
        self.place = f'base_url: "{self.sim.url}"'

    def end(self):
        self.sim.stop()


VENDORS = {"shopify": Shopify, "zendesk": Zendesk, "mailchimp": Mailchimp}


@pytest.fixture(params=sorted(VENDORS))
def vendor(request, tmp_path):
    made = VENDORS[request.param](tmp_path)
    yield made
    made.end()


def connect(project, vendor, more="client_secret: !secret env:APP_SECRET", client=None, code=True):
    """A sync for each stream. `code`: whether the setting is there, the code itself is in the environment."""
    more += (", " if more else "") + "authorization_code: !secret env:APP_CODE" if code else ""
    lines = "".join(f"  {name}: {{from: {{connection: it, stream: {name}}}, to: {{connection: wh, table: {name}}}, mode: mirror}}\n"
                    for name in vendor.streams)
    project.environment.update({"APP_SECRET": vendor.secret, "APP_VERIFIER": VERIFIER})
    project.config(f"connections:\n  it: {{plugin: {vendor.plugin}, {vendor.place}, client_id: {client or vendor.client}, "
                   f'redirect_uri: "{REDIRECT}", {more}}}\n'
                   f"  wh: {{plugin: sqlite, path: warehouse.db}}\nsyncs:\n{lines}")


def exchanges(vendor):
    """Statuses of requests for a token; None where none was received."""
    return [line.get("status") for line in vendor.sim.ledger() if line.get("path") == vendor.token_path]


def credentials_step(project, code=5):
    checked = project.dray("check", "--json").expect(code)
    step, = (step for step in checked.lines("check") if step["name"] == "credentials" and step["connection"] == "it")
    assert not step["ok"], checked
    return step


def grant(project, vendor, step):
    """Opens the address of a check's step as a browser does, looks at the state, and sets the code."""
    address, state = re.search(r"open (\S+) in a browser", step["fix"]).group(1), re.search(r"see that state is (\w+),", step["fix"]).group(1)
    page, _, query = address.partition("?")
    asked = dict(urllib.parse.parse_qsl(query, strict_parsing=True))
    assert page == vendor.page and "authorization_code" in step["fix"]
    assert {name: value for name, value in asked.items() if not name.startswith("code_challenge")} == {
        "response_type": "code", "client_id": asked["client_id"], "redirect_uri": REDIRECT, "state": state, **vendor.asked}
    back = vendor.sim.request("GET", urllib.parse.urlsplit(address).path + "?" + query)
    assert back.status == 302, back
    arrived, _, query = back.headers["location"].partition("?")
    query = dict(urllib.parse.parse_qsl(query))
    assert (arrived, query["state"]) == (REDIRECT, state)
    project.environment["APP_CODE"] = query["code"]


def granted(project, vendor):
    """A project whose code has been granted and not been used."""
    connect(project, vendor, code=False)
    step = credentials_step(project, code=4)
    connect(project, vendor)
    grant(project, vendor, step)


def stored(project):
    with contextlib.closing(sqlite3.connect(project.folder / ".dray" / "state.db")) as state:
        values = [bytes(value).decode() for value, in state.execute("SELECT value FROM plugin_state WHERE connection = ''")]
    return [json.loads(value) for value in values]


def sync_all(project, vendor):
    for name in vendor.streams:
        project.dray("sync", name).expect(0)


def test_from_an_address_to_tables(project, vendor):
    connect(project, vendor, more="", code=False)  # the app's name and address are all that is needed to ask
    step = credentials_step(project, code=4)
    assert step["error"] == "config_missing" and "no authorization_code yet" in step["text"]
    first = project.dray("sync", vendor.streams[0], "--json")
    assert first.code == 4 and "config_missing" in first.errors() and "dray check says the address" in first.out + first.err, first
    shown = project.dray("check").expect(4).out
    assert f"fix: open {vendor.page}?response_type=code&" in shown and "set what stands behind code= as authorization_code, and run dray" in shown
    connect(project, vendor)
    unset = credentials_step(project, code=4)
    assert unset["error"] == "config_secret_missing" and vendor.page in unset["fix"]
    assert exchanges(vendor) == []
    grant(project, vendor, step)
    project.dray("check").expect(0)
    assert exchanges(vendor) == [200]
    sync_all(project, vendor)
    project.dray("check").expect(0)
    assert exchanges(vendor) == [200]
    assert all(project.query(f"SELECT count(*) FROM {name}")[0][0] > 0 for name in vendor.streams)
    if vendor.lifetime_s:
        vendor.sim.advance(vendor.lifetime_s)
        sync_all(project, vendor)
        assert exchanges(vendor) == [200, 200]
    for secret in (project.environment["APP_CODE"], vendor.secret):
        assert all(secret.encode() not in path.read_bytes() for path in project.state_files())
        assert all(secret not in one.out + one.err for one in project.said)


def test_a_code_that_has_expired_is_granted_again(project, vendor):
    granted(project, vendor)
    vendor.sim.advance(vendor.code_s)
    late = project.dray("sync", vendor.streams[0], "--json")
    assert late.code == 5 and "auth_rejected" in late.errors() and "authorise the app again" in late.out + late.err, late
    step = credentials_step(project)
    assert "(invalid_" in step["text"]  # the vendor's own words
    grant(project, vendor, step)
    sync_all(project, vendor)
    assert exchanges(vendor) == [400, 400, 200]


def test_a_code_whose_answer_is_lost_is_not_sent_again(project, vendor):
    granted(project, vendor)
    vendor.sim.fault({"kind": "reset", "applied": True, "path": vendor.token_path})
    lost = project.dray("sync", vendor.streams[0], "--json")
    assert lost.code == 5 and "auth_rejected" in lost.errors() and "counts as used" in lost.out + lost.err, lost
    assert project.dray("sync", vendor.streams[0]).code == 5
    step = credentials_step(project)
    assert len(exchanges(vendor)) == 1
    grant(project, vendor, step)
    sync_all(project, vendor)
    assert len(exchanges(vendor)) == 2


def test_two_processes_exchange_a_code_once(project, vendor):
    granted(project, vendor)
    vendor.sim.fault({"kind": "slow", "path": vendor.token_path, "seconds": 1})  # so that one waits for the other
    for process in [project.start("sync", name) for name in vendor.streams]:
        project.finish(process).expect(0)
    assert exchanges(vendor) == [200]


def waiting(vendor):
    """A request is being kept, and the code was sent."""
    return len(exchanges(vendor)) == 1 and vendor.sim.calls()["in_flight"] > 0


def test_killed_between_exchange_and_use(project, vendor):
    granted(project, vendor)
    vendor.sim.fault({"kind": "stall", "path": vendor.api, "seconds": 20})
    process = project.start("sync", vendor.streams[0])
    # The exchange is answered while it is still counted as under way: what is certain is what is stored.
    harness.wait_until(lambda: waiting(vendor) and any("access" in one for one in stored(project)), what="the first use")
    project.kill(process)
    sync_all(project, vendor)
    assert exchanges(vendor) == [200]


@pytest.mark.parametrize("number, code", ((signal.SIGINT, 130), (signal.SIGTERM, 143)))
@pytest.mark.parametrize("renewal", (False, True), ids=("code", "refresh_token"))
def test_asked_to_end_while_a_token_is_on_its_way(project, vendor, renewal, number, code):
    if renewal and not vendor.lifetime_s:
        pytest.skip("its tokens do not end")
    granted(project, vendor)
    if renewal:
        sync_all(project, vendor)
        vendor.sim.advance(vendor.lifetime_s)
    vendor.sim.fault({"kind": "slow", "path": vendor.token_path, "seconds": 2})
    process = project.start("sync", vendor.streams[0])
    harness.wait_until(lambda: vendor.sim.calls()["in_flight"] > 0, what="the request for a token")
    process.send_signal(number)
    ended = project.finish(process).expect(code)
    assert "cancelled" in ended.out + ended.err, ended
    sync_all(project, vendor)
    assert exchanges(vendor) == [200] * (1 + renewal)


def test_killed_before_the_answer_of_the_exchange(project, vendor):
    granted(project, vendor)
    vendor.sim.fault({"kind": "stall", "path": vendor.token_path, "applied": True, "seconds": 20})
    process = project.start("sync", vendor.streams[0])
    harness.wait_until(lambda: waiting(vendor), what="the exchange")
    project.kill(process)
    again = project.dray("sync", vendor.streams[0], "--json")
    assert again.code == 5 and "counts as used" in again.out + again.err, again
    step = credentials_step(project)
    assert len(exchanges(vendor)) == 1
    grant(project, vendor, step)
    sync_all(project, vendor)
    assert len(exchanges(vendor)) == 2


def test_a_new_code_takes_the_place_of_the_one_before(project, vendor):
    granted(project, vendor)
    sync_all(project, vendor)
    before, = stored(project)
    project.environment["APP_CODE"] = "wrong"
    step = credentials_step(project)
    assert before in stored(project)
    grant(project, vendor, step)
    sync_all(project, vendor)
    left, after = sorted(stored(project), key=lambda one: len(one["users"]))
    assert exchanges(vendor) == [200, 400, 200]
    assert left["for"] == before["for"] and left["users"] == [] and left["left_us"] > 0 and after["users"] == before["users"]


def set_second(project, vendor):
    """A second connection and a sync of its own, set to the code that there is now."""
    path = project.folder / "dray.yaml"
    line, = (line for line in path.read_text().splitlines() if line.startswith("  it:"))
    other = line.replace("  it:", "  it2:").replace("env:APP_CODE", "env:OTHER_CODE")
    path.write_text(path.read_text().replace(line, line + "\n" + other) +
                    f"  second: {{from: {{connection: it2, stream: {vendor.streams[0]}}}, to: {{connection: wh, table: second}}, mode: mirror}}\n")
    project.environment["OTHER_CODE"] = project.environment["APP_CODE"]


def grant_again(project, vendor):
    project.environment["APP_CODE"] = "wrong"
    grant(project, vendor, credentials_step(project))


def test_a_code_that_was_replaced_is_there_for_a_connection_that_has_not_run(project, vendor):
    granted(project, vendor)
    sync_all(project, vendor)
    set_second(project, vendor)
    grant_again(project, vendor)
    sync_all(project, vendor)
    project.dray("sync", "second").expect(0)
    assert exchanges(vendor).count(200) == 2


def test_a_run_with_the_code_before_leaves_the_newer_pair_alone(project, tmp_path):
    zendesk = Zendesk(tmp_path)
    try:
        granted(project, zendesk)
        set_second(project, zendesk)
        sync_all(project, zendesk)
        project.dray("sync", "second").expect(0)
        older, = stored(project)
        zendesk.sim.fault({"kind": "hold", "path": "/api/v2/groups"})
        running = project.start("sync", "groups")
        harness.wait_until(lambda: zendesk.sim.holding() == 1, what="a run with the first code")
        grant_again(project, zendesk)
        project.dray("check").expect(0)
        assert exchanges(zendesk) == [200, 400, 200]
        newer, = (one for one in stored(project) if one["for"] != older["for"])
        zendesk.sim.advance(zendesk.lifetime_s)
        zendesk.sim.faults()
        project.finish(running).expect(0)
        assert exchanges(zendesk) == [200, 400, 200, 200] and newer in stored(project)
        sync_all(project, zendesk)
        project.dray("sync", "second").expect(0)
        assert exchanges(zendesk) == [200, 400, 200, 200, 200]
    finally:
        zendesk.end()


def test_a_wrong_secret_leaves_the_code_as_good_as_it_was(project, vendor):
    granted(project, vendor)
    project.environment["APP_SECRET"] = "wrong"
    checked = project.dray("check", "--json").expect(5)
    assert "check the client's id and its secret" in checked.out and "in a browser" not in checked.out, checked
    project.environment["APP_SECRET"] = vendor.secret
    sync_all(project, vendor)


def test_a_public_client_of_zendesk_proves_who_asked(project, tmp_path):
    zendesk = Zendesk(tmp_path, subdomain=None)
    try:
        public = {"more": "code_verifier: !secret env:APP_VERIFIER", "client": zendesk.sim.hello["public_client_id"]}
        connect(project, zendesk, code=False, **public)
        step = credentials_step(project, code=4)
        assert "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256" in step["fix"]
        connect(project, zendesk, **public)
        grant(project, zendesk, step)
        project.environment["APP_VERIFIER"] = "short"
        short = project.dray("sync", "groups", "--json")
        assert short.code == 4 and "43 to 128" in short.out + short.err and exchanges(zendesk) == [], short
        project.environment["APP_VERIFIER"] = VERIFIER
        sync_all(project, zendesk)
        zendesk.sim.advance(2000)
        sync_all(project, zendesk)
        assert exchanges(zendesk) == [200, 200]
    finally:
        zendesk.end()


def test_a_token_that_mailchimp_has_revoked_needs_another_code(project, tmp_path):
    mailchimp = Mailchimp(tmp_path)
    try:
        granted(project, mailchimp)
        sync_all(project, mailchimp)
        mailchimp.sim.change({"op": "key_revoke", "key": mailchimp.sim.hello["oauth_token"]})
        refused = project.dray("sync", "lists", "--json")
        assert refused.code == 5 and "auth_rejected" in refused.errors(), refused
        assert mailchimp.page in credentials_step(project)["fix"] and exchanges(mailchimp) == [200]
    finally:
        mailchimp.end()
