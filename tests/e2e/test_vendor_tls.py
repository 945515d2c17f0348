# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The vendors at their own addresses: no base_url, TLS with a certificate of a test CA, through a proxy that leads each of the
vendors' hosts to its simulator. So the addresses that plugins make, the check of certificates and hosts, and the hosts that
get no credentials are those of real life.
"""

import sqlite3

import pytest

import harness
import mailchimp_scene
import shopify_scene
import zendesk_scene
from vendor_hosts import HOSTS, Authority, Proxy, ports_of


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "good")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "other")


def start(vendor, folder, pair, *more):
    """(simulator, {host: port})."""
    if vendor == "shopify":
        shopify_scene.need_shop()
        sim = shopify_scene.module.Shop("--tls", *pair, "--storage-url", "https://storage.example", "--bulk-seconds", 0.05, "--restore-rate",
                                        10000, *more, ledger=folder / "shop.ndjson")
        return sim, ports_of(vendor, sim)
    if vendor == "zendesk":
        sim = zendesk_scene.Zendesk(folder, "--users", 20, "--tickets", 10, "--tls", *pair, *more)
        return sim, ports_of(vendor, sim)
    sim = mailchimp_scene.start(folder, "--tls", *pair, *more, members=60)
    return sim, ports_of(vendor, sim)


CONNECTIONS = {"shopify": "{plugin: shopify, shop: dray-test, access_token: !secret env:SHOP_TOKEN}",
               "zendesk": "{plugin: zendesk, subdomain: acme, client_id: dray_client, client_secret: !secret env:ZENDESK_SECRET, "
                          "exports_per_minute: 1000}",
               "mailchimp": "{plugin: mailchimp, api_key: !secret env:MAILCHIMP_KEY}"}
STREAMS = {"shopify": "orders", "zendesk": "users", "mailchimp": "list_members"}


class World:
    """A project whose vendor is behind the proxy."""

    def __init__(self, vendor, folder, pair, trusted):
        self.vendor = vendor
        self.sim, ports = start(vendor, folder, pair)
        self.proxy = Proxy(ports)
        more = {"shopify": lambda: {"SHOP_TOKEN": shopify_scene.TOKEN}, "zendesk": lambda: zendesk_scene.environment(self.sim),
                "mailchimp": lambda: mailchimp_scene.environment(self.sim)}[vendor]()
        self.project = harness.Project(folder / "project", {**more, "HTTPS_PROXY": self.proxy.url, "SSL_CERT_FILE": str(trusted)})
        self.config(CONNECTIONS[vendor])

    def config(self, connection):
        stream = STREAMS[self.vendor]
        self.project.config(f"connections:\n  vendor: {connection}\n  wh: {{plugin: sqlite, path: warehouse.db}}\n"
                            f"syncs:\n  in: {{from: {{connection: vendor, stream: {stream}}}, to: {{connection: wh, table: held}}, mode: upsert}}\n")

    def close(self):
        self.proxy.close()
        self.sim.stop()


@pytest.fixture
def world(tmp_path):
    made = []

    def make(vendor, pair, trusted):
        made.append(World(vendor, tmp_path, pair, trusted))
        return made[-1]
    yield make
    for one in made:
        one.close()


def held_there(world):
    if world.vendor == "shopify":
        return len(world.sim.records("Order"))
    if world.vendor == "zendesk":
        return sum(user["active"] for user in world.sim.state()["users"])
    return sum(len(one["members"]) for one in world.sim.state()["lists"].values())


@pytest.mark.parametrize("vendor", sorted(HOSTS))
def test_the_vendors_own_hosts_by_a_certificate_that_is_trusted(world, authority, vendor):
    one = world(vendor, authority.issue(vendor, HOSTS[vendor]), authority.certificate)
    one.project.dray("check").expect(0)
    run = one.project.sync("in")
    assert run["rejected"] == 0 and one.project.query("SELECT count(*) FROM held") == [(held_there(one),)]
    known = {"shopify": {"dray-test.myshopify.com", "storage.example"}, "zendesk": {"acme.zendesk.com"},
             "mailchimp": {"us21.api.mailchimp.com"}}[vendor]
    assert set(one.proxy.asked) == known, "only the vendor's own hosts are asked"
    if vendor == "shopify":
        assert not one.sim.state()["token_leaks"]


@pytest.mark.parametrize("wrong", ["another CA", "another host"])
@pytest.mark.parametrize("vendor", sorted(HOSTS))
def test_a_certificate_that_is_not_the_vendors_ends_the_run(world, authority, stranger, vendor, wrong):
    """Nothing is sent to who cannot show that it is the vendor: no credentials, no rows."""
    pair = authority.issue(f"wrong-{vendor}", HOSTS[vendor] if wrong == "another CA" else ["elsewhere.example"])
    one = world(vendor, pair, (stranger if wrong == "another CA" else authority).certificate)
    result = one.project.dray("sync", "in", "--json")
    assert result.code != 0 and result.errors() == ["net_tls"], result
    assert one.sim.calls()["total"] == 0 and one.proxy.asked
    checked = one.project.dray("check")
    assert checked.code != 0 and "FAIL" in checked.out, checked


def test_writes_over_tls(world, authority):
    one = world("mailchimp", authority.issue("writes", HOSTS["mailchimp"]), authority.certificate)
    with sqlite3.connect(one.project.folder / "warehouse.db") as connection:
        connection.execute("CREATE TABLE people (email_address TEXT, merge_fname TEXT)")
        connection.executemany("INSERT INTO people VALUES (?, ?)", [(f"t{n}@dray.test", "Ada") for n in range(20)])
    connection.close()
    one.project.config(f"connections:\n  vendor: {CONNECTIONS['mailchimp']}\n  wh: {{plugin: sqlite, path: warehouse.db}}\n"
                       "models:\n  people: {warehouse: wh, sql: 'SELECT * FROM people', key: email_address}\n"
                       "syncs:\n  out: {from: {model: people}, to: {connection: vendor, object: members, "
                       f"list_id: {one.sim.hello['list_id']}}}, mode: upsert}}\n")
    assert one.project.sync("out")["applied"] == 20
    assert sum(email.endswith("@dray.test") for email in mailchimp_scene.members(one.sim)) == 20


def test_a_token_leads_to_the_hosts_that_its_metadata_name(world, authority):
    one = world("mailchimp", authority.issue("oauth", HOSTS["mailchimp"]), authority.certificate)
    one.project.environment["MAILCHIMP_KEY"] = one.sim.hello["oauth_token"]
    one.config(CONNECTIONS["mailchimp"].replace("api_key", "access_token"))
    one.project.sync("in")
    assert set(one.proxy.asked) == {"login.mailchimp.com", "us21.api.mailchimp.com"}


# ---- wrong shop, subdomain, data centre ----

@pytest.mark.parametrize("vendor, old, new, told", [
    ("shopify", "shop: dray-test", "shop: nobody", "nobody"),
    ("zendesk", "subdomain: acme", "subdomain: nobody", "check subdomain"),
    ("mailchimp", "plugin: mailchimp", "plugin: mailchimp, dc: us6", "us6")])
def test_a_shop_a_subdomain_a_data_centre_that_is_not_there(world, authority, vendor, old, new, told):
    one = world(vendor, authority.issue(f"gone-{vendor}", HOSTS[vendor]), authority.certificate)
    if vendor == "zendesk":
        one.sim.settings(help_desk=False)
    one.config(CONNECTIONS[vendor].replace(old, new))
    result, checked = one.project.dray("sync", "in", "--json"), one.project.dray("check")
    assert result.code not in (0, 3), result
    assert checked.code != 0 and told in checked.out + checked.err, checked


@pytest.mark.parametrize("vendor, old, new", [
    ("shopify", "shop: dray-test", "shop: dray-test.example.com"), ("shopify", "shop: dray-test", "shop: \"dray-test.myshopify.com.evil.example\""),
    ("shopify", "shop: dray-test", "shop: \"evil.example/dray-test\""), ("zendesk", "subdomain: acme", "subdomain: \"evil.example/acme\""),
    ("zendesk", "subdomain: acme", "subdomain: \"acme.evil.example#\""), ("mailchimp", "plugin: mailchimp", "plugin: mailchimp, dc: \"evil.example/us21\"")])
def test_names_that_would_lead_elsewhere_are_refused(world, authority, vendor, old, new):
    one = world(vendor, authority.issue(f"evil-{vendor}", HOSTS[vendor]), authority.certificate)
    one.config(CONNECTIONS[vendor].replace(old, new))
    assert one.project.dray("sync", "in").code == 4
    assert one.proxy.asked == []
