# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The account as a whole: seed, credentials, scopes, rates, plans, errors in all shapes, the ledger."""

import base64
import json
import urllib.parse

import pytest

from zendesk.conftest import Zendesk


def basic(email, token):
    return {"Authorization": "Basic " + base64.b64encode(f"{email}/token:{token}".encode()).decode()}


# ---- the seed ----

def test_the_same_seed_is_the_same_account_and_another_is_not(start):
    first, again, other = start().state(), start().state(), start("--seed", 2).state()
    assert first == again
    assert first["users"] != other["users"]


def test_the_seeded_account_holds_what_real_ones_do(start):
    state = start("--users", 400, "--tickets", 400).state()
    users, tickets = state["users"], state["tickets"]
    assert {user["role"] for user in users} == {"end-user", "agent", "admin"}
    assert all(user["id"] > 10 ** 12 for user in users)
    assert any(user["name"] == "Permanently Deleted User" and user["email"] is None for user in users)
    assert any(not user["active"] and user["name"] != "Permanently Deleted User" for user in users)
    assert any(any(ord(letter) > 0x3000 for letter in user["name"]) for user in users)
    for name in ("email", "phone", "external_id", "organization_id", "notes", "last_login_at"):
        assert any(user[name] is None for user in users) and any(user[name] is not None for user in users), name
    assert {field["type"] for field in state["user_fields"]} == {
        "text", "textarea", "checkbox", "date", "integer", "decimal", "regexp", "dropdown", "multiselect", "lookup"}
    for key in (field["key"] for field in state["user_fields"] if field["active"]):
        values = [user["user_fields"][key] for user in users]
        assert any(value not in (None, False, []) for value in values), key
    assert {"new", "open", "pending", "hold", "solved", "closed", "deleted"} == {ticket["status"] for ticket in tickets}
    assert any(ticket["subject"] == "SCRUBBED" for ticket in tickets)
    stamps = [ticket["generated_timestamp"] for ticket in tickets]
    assert len(set(stamps)) < len(stamps)
    ids = {user["id"] for user in users}
    assert all(ticket["requester_id"] in ids for ticket in tickets)
    assert any(organization["deleted_at"] for organization in state["organizations"])
    defaults = {row["user_id"]: row["organization_id"] for row in state["organization_memberships"] if row["default"]}
    assert defaults == {user["id"]: user["organization_id"] for user in users if user["organization_id"]}


def test_five_thousand_of_each_start_in_moments_and_page_whole(start):
    zendesk = start("--users", 5000, "--tickets", 2000)
    seen, path = set(), "users?page[size]=100"
    reply = zendesk.get(path).json()
    while True:
        seen |= {user["id"] for user in reply["users"]}
        if not reply["meta"]["has_more"]:
            break
        reply = zendesk.follow(reply["links"]["next"]).json()
    assert len(seen) == zendesk.get("users/count").json()["count"]["value"] > 4000


# ---- credentials ----

def test_client_credentials_give_a_token_that_expires(zendesk):
    reply = zendesk.oauth(grant_type="client_credentials", scope="read write")
    body = reply.json()
    assert reply.status == 200 and body["token_type"] == "bearer" and body["scope"] == "read write"
    assert body["expires_in"] == 1800 and "refresh_token" not in body
    assert zendesk.get("users/me", token=body["access_token"]).status == 200
    current = zendesk.get("oauth/tokens/current", token=body["access_token"]).json()["token"]
    assert current["expires_at"] == "2026-11-20T08:30:00Z"[:14] + current["expires_at"][14:] and current["scopes"] == ["read", "write"]
    zendesk.advance(1801)
    refused = zendesk.get("users/me", token=body["access_token"])
    assert refused.status == 401 and refused.json()["error"] == "invalid_token"
    assert "invalid_token" in refused.headers["www-authenticate"]


def test_a_refresh_ends_the_old_pair_at_once(zendesk):
    old = zendesk.hello
    new = zendesk.oauth(grant_type="refresh_token", refresh_token=old["refresh_token"]).json()
    assert new["access_token"] != old["access_token"] and new["refresh_token"] != old["refresh_token"]
    assert zendesk.get("users/me").status == 401
    assert zendesk.get("users/me", token=new["access_token"]).status == 200
    again = zendesk.oauth(grant_type="refresh_token", refresh_token=old["refresh_token"])
    assert again.status == 400 and again.json()["error"] == "invalid_grant"
    assert zendesk.get("users/me", token=new["access_token"]).status == 200
    zendesk.advance(31 * 86400)
    assert zendesk.oauth(grant_type="refresh_token", refresh_token=new["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_lost_answer_of_a_refresh_loses_the_pair(zendesk):
    zendesk.fault({"kind": "reset", "path": "/oauth/tokens", "applied": True})
    with pytest.raises(ConnectionError):
        zendesk.oauth(grant_type="refresh_token", refresh_token=zendesk.hello["refresh_token"])
    assert zendesk.get("users/me").status == 401
    lost = zendesk.oauth(grant_type="refresh_token", refresh_token=zendesk.hello["refresh_token"])
    assert lost.status == 400 and lost.json()["error"] == "invalid_grant"


def exchanged(zendesk, code, **more):
    return zendesk.oauth(**{"grant_type": "authorization_code", "code": code, "redirect_uri": zendesk.hello["redirect_uri"],
                            "scope": "read", **more})


def authorized(zendesk, **more):
    """The reply of the page where access is granted."""
    query = {"response_type": "code", "client_id": zendesk.hello["client_id"], "redirect_uri": zendesk.hello["redirect_uri"],
             "scope": "read", "state": "s/1", **more}
    return zendesk.request("GET", "/oauth/authorizations/new?" + urllib.parse.urlencode(
        {name: value for name, value in query.items() if value is not None}))


def code_of(reply):
    assert reply.status == 302, reply
    return urllib.parse.parse_qs(urllib.parse.urlsplit(reply.headers["location"]).query)["code"][0]


def test_a_code_is_good_for_two_minutes_and_once(zendesk):
    code = zendesk.change({"code": "read"})["code"]
    got = exchanged(zendesk, code, expires_in=300)
    assert got.json()["expires_in"] == 300 and got.json()["scope"] == "read" and got.json()["refresh_token"]
    assert exchanged(zendesk, code).json()["error"] == "invalid_grant"
    late = zendesk.change({"code": "read"})["code"]
    zendesk.advance(121)
    assert exchanged(zendesk, late).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("change,error", [
    ({"redirect_uri": "https://dray.example/other"}, "invalid_grant"), ({"redirect_uri": None}, "invalid_request"),
    ({"scope": None}, "invalid_request"), ({"scope": "read write"}, "invalid_scope"), ({"client_secret": "no"}, "invalid_client"),
    ({"code_verifier": "v" * 43}, "invalid_grant"), ({"client_id": "dray_public", "client_secret": None}, "invalid_grant"),
])
def test_exchanges_that_are_refused(zendesk, change, error):
    code = zendesk.change({"code": "read"})["code"]
    reply = exchanged(zendesk, code, **change)
    assert (reply.status, reply.json()["error"]) == (401 if error == "invalid_client" else 400, error)


def test_access_is_granted_for_a_client_and_its_redirect_uri(zendesk):
    back = authorized(zendesk)
    assert back.headers["location"].startswith("https://dray.example/callback?code=") and back.headers["location"].endswith("&state=s%2F1")
    assert exchanged(zendesk, code_of(back)).status == 200
    for wrong in ({"client_id": "other"}, {"redirect_uri": "https://other.example/"}, {"response_type": "token"}, {"scope": None},
                  {"code_challenge": "short", "code_challenge_method": "S256"}, {"code_challenge_method": "S256"},
                  {"code_challenge": "c" * 43, "code_challenge_method": "plain"}, {"client_id": "dray_public"}):
        assert authorized(zendesk, **wrong).status == 400, wrong


def test_a_public_client_proves_that_it_asked(zendesk):
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
    asked = {"client_id": "dray_public", "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"}
    own = {"client_id": "dray_public", "client_secret": None}
    assert exchanged(zendesk, code_of(authorized(zendesk, **asked)), **own).json()["error"] == "invalid_grant"
    assert exchanged(zendesk, code_of(authorized(zendesk, **asked)), **own, code_verifier="x" * 43).json()["error"] == "invalid_grant"
    got = exchanged(zendesk, code_of(authorized(zendesk, **asked)), **own, code_verifier=verifier).json()
    assert zendesk.get("users/me", token=got["access_token"]).status == 200
    form = {"grant_type": "refresh_token", "refresh_token": got["refresh_token"], "client_id": "dray_public"}
    assert zendesk.request("POST", "/oauth/tokens", form).status == 200
    assert zendesk.request("POST", "/oauth/tokens", {"grant_type": "client_credentials", "client_id": "dray_public"}).status == 401


@pytest.mark.parametrize("change,status,error", [
    ({"client_secret": "no"}, 401, "invalid_client"), ({"client_id": "no"}, 401, "invalid_client"),
    ({"grant_type": "password"}, 400, "unsupported_grant_type"), ({"expires_in": 299}, 400, "invalid_request"),
    ({"expires_in": 172801}, 400, "invalid_request"), ({"expires_in": "600"}, 400, "invalid_request"),
    ({"user": "x"}, 400, "invalid_request"),
])
def test_token_requests_that_are_refused(zendesk, change, status, error):
    reply = zendesk.oauth(**{"grant_type": "client_credentials", "scope": "read", **change})
    assert (reply.status, reply.json()["error"]) == (status, error)


def test_secrets_never_reach_the_ledger(zendesk):
    token = zendesk.oauth(grant_type="client_credentials", scope="read").json()["access_token"]
    zendesk.get("users/me", token=token)
    text = zendesk.ledger_path.read_text()
    for secret in (zendesk.hello["client_secret"], token, zendesk.hello["refresh_token"]):
        assert secret not in text
    assert zendesk.ledger()[1]["who"].startswith("token ")


def test_scopes_are_kept(zendesk):
    def token(scope):
        return zendesk.oauth(grant_type="client_credentials", scope=scope).json()["access_token"]

    reader = token("read")
    assert zendesk.get("groups", token=reader).status == 200
    refused = zendesk.post("users", {"user": {"name": "A"}}, token=reader)
    assert refused.status == 403 and refused.json()["error"] == "Forbidden"
    assert refused.json()["description"].endswith("Missing the following required scopes: users:write")
    tickets = token("tickets:read users:write")
    assert zendesk.get("tickets", token=tickets).status == 200
    assert zendesk.get("incremental/tickets/cursor?start_time=1", token=tickets).status == 200
    assert zendesk.get("users", token=tickets).status == 403
    assert zendesk.get("ticket_fields", token=tickets).status == 403
    assert zendesk.post("users", {"user": {"name": "A"}}, token=tickets).status == 201
    both = token("users")  # without an access: both are meant
    assert zendesk.get("users", token=both).status == 200
    assert zendesk.post("users", {"user": {"name": "B"}}, token=both).status == 201
    assert zendesk.get("tickets", token=both).status == 403
    assert zendesk.get("oauth/tokens/current", token=reader).json()["token"]["scopes"] == ["read"]
    nonsense = zendesk.oauth(grant_type="client_credentials", scope="everything")
    assert nonsense.status == 200
    assert zendesk.get("users/me", token=nonsense.json()["access_token"]).status == 403


def test_legacy_api_tokens_live_until_their_last_day(zendesk):
    hello = zendesk.hello
    good = basic(hello["email"], hello["api_token"])
    assert zendesk.get("users/me", **good).json()["user"]["email"] == hello["email"]
    assert zendesk.get("oauth/tokens/current", **good).status == 404
    for bad in (basic(hello["email"], "no"), basic("nobody@example.com", hello["api_token"]), {"Authorization": "Basic ???"},
                {"Authorization": ""}):
        reply = zendesk.get("users/me", **bad)
        assert reply.status == 401 and reply.json() == {"error": "Couldn't authenticate you"}
    zendesk.advance(170 * 86400)  # into May 2027
    assert zendesk.get("users/me", **good).status == 401


def test_rights_are_taken_away_in_the_middle(zendesk):
    zendesk.change({"revoke": "access"})
    assert zendesk.get("users/me").status == 401
    new = zendesk.oauth(grant_type="refresh_token", refresh_token=zendesk.hello["refresh_token"]).json()
    zendesk.token = new["access_token"]
    assert zendesk.get("users/me").status == 200
    zendesk.change({"revoke": "all"})
    assert zendesk.get("users/me").status == 401
    assert zendesk.oauth(grant_type="refresh_token", refresh_token=new["refresh_token"]).status == 400


def test_an_agent_may_less_than_an_admin(start):
    zendesk = start("--role", "agent")
    assert zendesk.get("tickets").status == 200 and zendesk.get("users/me").json()["user"]["role"] == "agent"
    for reply in (zendesk.get("incremental/users/cursor?start_time=1"), zendesk.post("imports/tickets", {"ticket": {}}),
                  zendesk.post("organizations", {"organization": {"name": "x"}})):
        assert reply.status == 403 and reply.json()["description"].startswith("You do not have access to this page.")


# ---- rates ----

def test_the_plan_sets_requests_a_minute(start):
    zendesk = start("--plan", "team")
    first = zendesk.get("groups")
    assert first.headers["x-rate-limit"] == "200" and first.headers["x-rate-limit-remaining"] == "199"
    tickets = zendesk.get("tickets")
    assert tickets.headers["ratelimit-limit"] == "200" and tickets.headers["ratelimit-remaining"] == "198"
    assert 1 <= int(tickets.headers["ratelimit-reset"]) <= 60
    assert tickets.headers["zendesk-ratelimit-tickets-index"].startswith("total=100; remaining=99; resets=")
    statuses = [zendesk.get("groups").status for _ in range(198)]
    assert statuses == [200] * 198
    beyond = zendesk.get("groups")
    assert beyond.status == 429 and beyond.json()["error"] == "APIRateLimitExceeded" and 1 <= int(beyond.headers["retry-after"]) <= 60
    assert zendesk.calls()["throttled"] == 1
    zendesk.advance(60)
    assert zendesk.get("groups").status == 200
    assert start("--plan", "team", "--high-volume").get("groups").headers["x-rate-limit"] == "2500"
    assert "x-rate-limit" not in start("--rate-limit", 0).get("groups").headers


def test_exports_have_ten_a_minute_and_say_no_in_plain_text(tmp_path):
    with Zendesk(ledger=tmp_path / "l") as zendesk:
        paths = ["incremental/tickets/cursor?start_time=1", "incremental/organizations?start_time=1"] * 5
        assert [zendesk.get(path).status for path in paths] == [200] * 10
        beyond = zendesk.get(paths[0])
        assert beyond.status == 429 and beyond.headers["content-type"].startswith("text/plain")
        assert 1 <= int(beyond.headers["retry-after"]) <= 60 and zendesk.get("tickets").status == 200
        zendesk.advance(61)
        assert zendesk.get(paths[0]).status == 200


def test_one_user_and_one_ticket_are_not_updated_too_often(zendesk):
    user = zendesk.post("users", {"user": {"name": "A"}}).json()["user"]["id"]
    statuses = [zendesk.put(f"users/{user}", {"user": {"notes": str(n)}}).status for n in range(6)]
    assert statuses == [200] * 5 + [429]
    ticket = zendesk.post("tickets", {"ticket": {"comment": {"body": "x"}}}).json()["ticket"]["id"]
    statuses = [zendesk.put(f"tickets/{ticket}", {"ticket": {"subject": str(n)}}).status for n in range(31)]
    assert statuses == [200] * 30 + [429]
    zendesk.settings(endpoint_limits={"user_update": 0})
    assert zendesk.put(f"users/{user}", {"user": {"notes": "more"}}).status == 200


def test_throttling_without_a_hint(zendesk):
    zendesk.fault({"kind": "throttle", "count": 2}, {"kind": "throttle", "nth": 3, "retry_after": 17})
    replies = [zendesk.get("groups") for _ in range(4)]
    assert [reply.status for reply in replies] == [429, 429, 429, 200]
    assert "retry-after" not in replies[0].headers and replies[0].headers["content-type"].startswith("text/plain")
    assert replies[2].headers["retry-after"] == "17"


# ---- plans, and errors in all shapes ----

def test_what_the_plan_does_not_have(start):
    zendesk = start("--plan", "team")
    forms, ratings = zendesk.get("ticket_forms"), zendesk.get("satisfaction_ratings")
    assert forms.status == 403 and set(forms.json()["error"]) == {"title", "message"}
    assert ratings.status == 403 and ratings.json()["error"] == "Forbidden"
    zendesk.settings(gates={"macros": "404", "ticket_forms": None})
    assert zendesk.get("macros").status == 404 and zendesk.get("macros").json()["error"] == "InvalidEndpoint"
    assert zendesk.get("ticket_forms").status == 200 and zendesk.get("tickets").status == 200


def test_every_shape_of_no(zendesk):
    assert zendesk.get("users/1").json() == {"error": "RecordNotFound", "description": "Not found"}
    assert zendesk.get("nothing").json() == {"error": "InvalidEndpoint", "description": "Not found"}
    assert zendesk.get("users?page=101").json()["errors"][0]["code"] == "InvalidPaginationDepth"
    assert zendesk.get("users?pagesize=5").status == 400
    invalid = zendesk.post("users", {"user": {"name": "A", "email": "no address"}})
    assert invalid.status == 422 and invalid.json()["error"] == "RecordInvalid"
    assert invalid.json()["description"] == "Record validation errors"
    assert "not properly formatted" in invalid.json()["details"]["email"][0]["description"]
    assert zendesk.ask("POST", "users", "{", Content_Type="application/json").status == 400
    assert zendesk.ask("POST", "users", '{"user":{"name":"a","name":"b"}}', Content_Type="application/json").status == 400
    assert zendesk.ask("POST", "users", '{"user":{"name":"a"}}', Content_Type="text/plain").status == 400
    assert zendesk.post("users", {"users": {"name": "A"}}).json()["error"] == "ParameterMissing"
    zendesk.fault({"kind": "conflict", "method": "PUT"}, {"kind": "no_scope", "path": "*/groups"})
    assert zendesk.put("users/1", {"user": {}}).status == 409
    assert "Missing the following required scopes" in zendesk.get("groups").json()["description"]
    zendesk.settings(help_desk=False)
    wrong = zendesk.get("users/me")
    assert wrong.status == 404 and wrong.json()["error"]["title"] == "No help desk"


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 524])
def test_servers_that_are_down(kept, status):
    kept.fault({"kind": "status", "status": status, "body": "<html>down</html>", "content_type": "text/html",
                   "headers": {"Retry-After": "5"}})
    reply = kept.get("groups")
    assert reply.status == status and reply.headers["retry-after"] == "5"
    assert kept.get("groups").status == 200


def test_json_suffix_is_the_same_path(kept):
    assert kept.get("users/me.json").json() == kept.get("users/me").json()
    assert kept.get("incremental/users/cursor.json?start_time=1").status == 200


def test_the_ledger_says_what_became_of_each_write(zendesk):
    made = zendesk.post("users/create_or_update", {"user": {"name": "A", "external_id": "e1"}})
    zendesk.post("users/create_or_update", {"user": {"name": "A", "external_id": "e1"}})
    zendesk.post("users/create_or_update", {"user": {"name": "B", "external_id": "E1"}})
    zendesk.post("users", {"user": {"name": ""}})
    number = made.json()["user"]["id"]
    entries = zendesk.ledger()
    assert [entry["rows"] for entry in entries] == [
        [{"index": 0, "id": number, "became": "created"}], [{"index": 0, "id": number, "became": "unchanged"}],
        [{"index": 0, "id": number, "became": "updated"}], None]
    assert json.loads(entries[2]["body"])["user"]["name"] == "B"
    assert [entry["status"] for entry in entries] == [201, 200, 200, 422]


# ---- what no other test asks ----

@pytest.mark.parametrize("table", [
    "brands", "groups", "group_memberships", "macros", "organizations", "organization_fields", "organization_memberships",
    "ticket_fields", "ticket_forms", "user_fields"])
def test_a_single_record_is_as_the_list_has_it(kept, table):
    row = kept.get(table).json()[table][-1]
    assert kept.get(f"{table}/{row['id']}").json() == {table[:-1]: row}
    assert kept.get(f"{table}/1").status == 404


def test_records_below_others_are_those_of_the_account(kept):
    user = next(one for one in kept.state()["users"] if one["organization_id"] and one["active"] and one["tags"])
    company = user["organization_id"]
    members = [one["user_id"] for one in kept.state()["organization_memberships"] if one["organization_id"] == company]
    own = kept.get(f"organizations/{company}/organization_memberships").json()["organization_memberships"]
    assert [one["user_id"] for one in own] == members
    assert {one["id"] for one in kept.get(f"organizations/{company}/users").json()["users"]} == {
        one["id"] for one in kept.state()["users"] if one["id"] in members and one["active"]}
    assert kept.get(f"users/{user['id']}/tags").json() == {"tags": user["tags"]}
    assert kept.get("organizations/count").json()["count"]["value"] == sum(
        not one["deleted_at"] for one in kept.state()["organizations"])
    macros = kept.get("macros/active").json()["macros"]
    assert macros and all(one["active"] for one in macros)
    ticket = next(one for one in kept.state()["tickets"] if one["status"] == "open")
    assert kept.get(f"tickets/{ticket['id']}/metrics").json()["ticket_metric"]["ticket_id"] == ticket["id"]


@pytest.mark.parametrize("table", ["user_fields", "organization_fields", "ticket_fields"])
def test_a_field_is_made_and_ended(zendesk, table):
    made = zendesk.post(table, {table[:-1]: {"key": "own", "type": "text", "title": "Own"}})
    assert made.status == 201 and made.json()[table[:-1]]["title"] == "Own"
    path = f"{table}/{made.json()[table[:-1]]['id']}"
    assert zendesk.get(path).status == 200
    assert (zendesk.delete(path).status, zendesk.get(path).status, zendesk.delete(path).status) == (204, 404, 404)


def test_tags_of_organizations_and_a_verified_identity(zendesk):
    company = zendesk.get("organizations").json()["organizations"][0]["id"]
    path = f"organizations/{company}/tags"
    assert zendesk.post(path, {"tags": ["a", "b"]}).json() == zendesk.get(path).json() == {"tags": ["a", "b"]}  # these and no others
    assert zendesk.put(path, {"tags": ["c"]}).json() == {"tags": ["a", "b", "c"]}
    assert zendesk.delete(path, {"tags": ["a"]}).status == 204 and zendesk.row("organizations", company)["tags"] == ["b", "c"]
    user = zendesk.post("users", {"user": {"name": "Ann", "email": "ann@example.com"}}).json()["user"]["id"]
    identity = zendesk.get(f"users/{user}/identities").json()["identities"][0]
    verified = zendesk.put(f"users/{user}/identities/{identity['id']}/verify").json()["identity"]
    assert not identity["verified"] and verified["verified"]


def test_a_token_that_ends_itself_is_no_token_any_more(zendesk):
    token = zendesk.oauth(grant_type="client_credentials", scope="read write").json()["access_token"]
    assert zendesk.get("oauth/tokens/current", token=token).status == 200
    assert zendesk.delete("oauth/tokens/current", token=token).status == 204
    assert zendesk.get("users/me", token=token).status == 401
