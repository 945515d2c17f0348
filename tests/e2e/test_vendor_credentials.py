# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Credentials of vendors that are renewed, lost on the way, or of somebody who may too little."""

import contextlib
import json
import sqlite3

import pytest

import harness
import mailchimp_scene
import shopify_scene
import zendesk_scene

CLIENT = "client_id: dray-client, client_secret: !secret env:SHOP_SECRET, refresh_token: !secret env:SHOP_REFRESH"


@pytest.fixture
def shop(tmp_path):
    shopify_scene.need_shop()
    shops = shopify_scene.Shops(tmp_path)
    yield shops.start("--customers", 20, "--orders", 20)
    shops.end()


@pytest.fixture
def zendesk(tmp_path):
    with zendesk_scene.Zendesk(tmp_path, "--users", 20, "--tickets", 10) as made:
        yield made


def refreshes(sim, path):
    return [line for line in sim.ledger() if line.get("path") == path]


def test_shopify_forgives_a_refresh_whose_answer_is_lost(project, shop):
    """The token before stays good until its successor is used: the next run renews again."""
    shopify_scene.reading(project, shop, "orders", auth=CLIENT, use_bulk="never")
    shop.fault({"kind": "reset", "applied": True, "path": "/admin/oauth/access_token"})
    project.dray("sync", "in")
    assert project.sync("in")["rejected"] == 0
    assert len(refreshes(shop, "/admin/oauth/access_token")) == 2
    assert project.query("SELECT count(*) FROM orders") == [(20,)]


def test_shopify_rotates_once_for_two_processes(project, shop):
    shopify_scene.reading(project, shop, "orders", "customers", auth=CLIENT, use_bulk="never")
    for turn in (1, 2):
        both = [project.start("sync", f"in.{stream}", "--json") for stream in ("orders", "customers")]
        for process in both:
            project.finish(process).expect(0)
        assert len(refreshes(shop, "/admin/oauth/access_token")) == turn
        shop.advance(4000)  # the access token lives an hour
    secrets = [shop.state()["access"]["refresh_tokens"], "shprt_dray_first"]
    assert all(str(secret).encode() not in path.read_bytes() for secret in secrets for path in project.state_files())


def two_of_one(project, zendesk, first="za", second="zb"):
    """Two connections that are set to one refresh token."""
    project.environment.update(zendesk_scene.environment(zendesk))
    same = zendesk_scene.connection(zendesk, auth="refresh")
    syncs = "".join(f"  {name}: {{from: {{connection: {connection}, stream: {stream}}}, to: {{connection: wh, table: {name}}}, mode: mirror}}\n"
                    for name, connection, stream in (("a", first, "groups"), ("b", second, "users")))
    project.config(f"connections:\n  {first}: {same}\n  {second}: {same}\n  wh: {{plugin: sqlite, path: warehouse.db}}\nsyncs:\n{syncs}")


def test_two_connections_with_one_refresh_token_have_one_pair(project, zendesk):
    two_of_one(project, zendesk)
    for turn in (1, 2):
        for process in [project.start("sync", name) for name in "ab"]:
            project.finish(process).expect(0)
        assert [line["status"] for line in refreshes(zendesk, "/oauth/tokens")] == [200] * turn
        zendesk.advance(2000)  # the access token lives half an hour
    project.dray("sync", "--all").expect(0)  # both in one process
    assert [line["status"] for line in refreshes(zendesk, "/oauth/tokens")] == [200] * 3
    for secret in zendesk_scene.environment(zendesk).values():
        assert all(secret.encode() not in path.read_bytes() and secret not in str(path) for path in project.state_files())


def test_a_pair_that_was_stored_for_its_connection_is_found(project, zendesk):
    """As a state of before has it: under the connection's name."""
    two_of_one(project, zendesk)
    project.dray("sync", "a").expect(0)
    with contextlib.closing(sqlite3.connect(project.folder / ".dray" / "state.db")) as state, state:
        state.execute("DELETE FROM plugin_state WHERE connection = 'za'")
        moved = state.execute("UPDATE plugin_state SET connection = 'za', key = CAST('oauth' AS BLOB) WHERE connection = ''").rowcount
    assert moved == 1
    zendesk.advance(2000)
    for name in "ab":
        project.dray("sync", name).expect(0)
    assert [line["status"] for line in refreshes(zendesk, "/oauth/tokens")] == [200, 200]


def stored_pairs(project):
    """Values of the state that connections share."""
    with contextlib.closing(sqlite3.connect(project.folder / ".dray" / "state.db")) as state:
        return [bytes(value).decode() for value, in state.execute("SELECT value FROM plugin_state WHERE connection = ''")]


def test_the_pair_of_a_replaced_refresh_token_is_left_by_the_last_connection(project, zendesk):
    two_of_one(project, zendesk)
    for name in "ab":
        project.dray("sync", name).expect(0)
    first, = stored_pairs(project)
    other = zendesk.request("POST", "/oauth/tokens", {
        "grant_type": "authorization_code", "code": zendesk.change({"code": "read write"})["code"], "client_id": zendesk.hello["client_id"],
        "client_secret": zendesk.hello["client_secret"], "redirect_uri": zendesk.hello["redirect_uri"], "scope": "read write"}).json()["refresh_token"]
    project.environment["ZENDESK_REFRESH"] = "wrong"
    assert project.dray("sync", "a").code == 5 and first in stored_pairs(project)
    project.environment["ZENDESK_REFRESH"] = other
    project.dray("sync", "a").expect(0)
    old = json.loads(first)["refresh"]
    kept, = (json.loads(value) for value in stored_pairs(project) if old in value)
    assert len(kept["users"]) == 1 and "left_us" not in kept  # it is still zb's
    project.dray("sync", "b").expect(0)
    kept, = (json.loads(value) for value in stored_pairs(project) if old in value)
    assert kept["users"] == [] and kept["left_us"] > 0  # for whom else it was set, and has not run yet
    zendesk.advance(2000)
    for name in "ab":
        project.dray("sync", name).expect(0)


def test_a_pair_that_zendesk_gave_and_nobody_received_ends_with_a_clear_error(project, zendesk):
    """The old pair is dead and the new one unknown: only somebody who grants access again can help, and that is said."""
    zendesk_scene.ingest(project, zendesk, ("users",), auth="refresh")
    zendesk.fault({"kind": "reset", "applied": True, "path": "/oauth/tokens"})
    project.dray("sync", "users")
    result = project.dray("sync", "users", "--json")
    assert result.code == 5 and "auth_rejected" in result.errors(), result
    checked = project.dray("check")
    assert checked.code == 5 and "refresh" in (checked.out + checked.err + result.out + result.err).lower(), checked


def test_check_of_a_destination_names_the_role(project, tmp_path):
    with zendesk_scene.Zendesk(tmp_path, "--users", 10, "--tickets", 10, "--role", "agent") as zendesk:
        zendesk_scene.activate(project, zendesk, "users", {"external_id": "TEXT", "name": "TEXT"}, "external_id")
        checked = project.dray("check")
        assert checked.code == 5 and "admin" in checked.out + checked.err and "FAIL" in checked.out, checked


# The step says what to grant; a sync with that grant then works. Of an account, and of one resource alone (which may not see its own scopes).
@pytest.mark.parametrize("scope,object_name,lacks", [
    ("read", "users", "users:write"), ("users:read", "users", "users:write"), ("read users:write", "tickets", "tickets:write"),
    ("read users:write", "user_tags", None), ("read users", "users", None), ("read", "organization_memberships", "write"),
    ("read organizations:write", "organization_memberships", None), ("read write", "tickets", None),
])
def test_check_says_which_scope_is_missing_to_write(project, tmp_path, scope, object_name, lacks):
    with zendesk_scene.Zendesk(tmp_path, "--users", 10, "--tickets", 10) as zendesk:
        user = sorted(zendesk.rows("users"))[3]
        mine = {row["organization_id"] for row in zendesk.rows("organization_memberships").values() if row["user_id"] == user}
        elsewhere = min(set(zendesk.rows("organizations")) - mine)
        columns = {"users": {"external_id": "TEXT", "name": "TEXT"}, "user_tags": {"user_id": "INTEGER", "tags": "TEXT"},
                   "tickets": {"external_id": "TEXT", "subject": "TEXT", "comment": "TEXT"},
                   "organization_memberships": {"user_id": "INTEGER", "organization_id": "INTEGER"}}[object_name]
        key = {"users": "external_id", "tickets": "external_id", "user_tags": "user_id"}.get(object_name, "[user_id, organization_id]")
        zendesk_scene.activate(project, zendesk, object_name, columns, key, more=f', use_bulk: never, scope: "{scope}"')
        values = {"external_id": "x-1", "name": "Ann", "user_id": user, "tags": "vip", "subject": "s", "comment": "c",
                  "organization_id": elsewhere}
        zendesk_scene.fill(project, [{name: values[name] for name in columns}])
        checked = project.dray("check", "--json")
        steps = {step["name"]: step for step in checked.lines("check") if step["role"] == "destination" and step["connection"] == "zd"}
        mine = steps[f"write {object_name}"]
        assert mine["used"] and mine["ok"] == (lacks is None), checked
        mark = zendesk.mark()
        if lacks is None:
            assert checked.code == 0, checked
            project.dray("sync", "out").expect(0)
        else:
            assert checked.code == 5 and mine["error"] == "auth_forbidden" and f"the scope {lacks}," in mine["fix"], checked
            assert project.dray("sync", "out").code == 5
        assert any(line["status"] < 300 for line in zendesk.requests(mark, zendesk_scene.WRITES)) == (lacks is None)


@pytest.mark.parametrize("auth,status,step", [("refresh", 200, "write users"), ("refresh", 403, "scopes"), ("legacy", 200, None)])
def test_check_of_scopes_that_are_not_those_asked_for(project, zendesk, auth, status, step):
    zendesk_scene.activate(project, zendesk, "users", {"external_id": "TEXT", "name": "TEXT"}, "external_id", auth=auth)
    if status != 200:
        zendesk.fault({"kind": "no_scope", "path": "/api/v2/oauth/tokens/current", "scopes": ["read"], "count": -1})
    checked = project.dray("check", "--json").expect(0)
    steps = {item["name"]: item for item in checked.lines("check") if item["role"] == "destination" and item["connection"] == "zd"}
    assert [name for name in ("write users", "scopes") if name in steps] == ([step] if step else [])
    assert status == 200 or "not known" in steps["scopes"]["text"]


def test_check_of_an_audience_names_the_role(project, tmp_path):
    with mailchimp_scene.start(tmp_path, members=10) as sim:
        project.environment.update(mailchimp_scene.environment(sim, "viewer_key"))
        mailchimp_scene.to_audience(project, sim, ("email_address",), [("a@dray.test",)])
        checked = project.dray("check")
        assert checked.code == 5 and "FAIL" in checked.out and "viewer" in checked.out + checked.err, checked
        assert "manager" in (checked.out + checked.err).lower()
        result = project.dray("sync", "out", "--json")
        assert result.code == 5 and "auth_forbidden" in result.errors() and project.rows("out") == [], result
    harness.assert_no_canary(checked.out, "check")
