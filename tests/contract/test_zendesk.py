# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The Zendesk simulator held against Zendesk's own OpenAPI document and the official client node-zendesk."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import openapi
import prism
import zendesk_spec

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "sim"))

from zendesk.conftest import Zendesk  # noqa: E402


@pytest.fixture(scope="module")
def validator(tmp_path_factory):
    with prism.Validator(zendesk_spec.relaxed(zendesk_spec.original()), tmp_path_factory.mktemp("zendesk")) as running:
        yield running


@pytest.fixture
def simulator(tmp_path):
    with Zendesk("--export-limit", 0, "--users", 150, "--tickets", 150, ledger=tmp_path / "ledger") as running:
        running.settings(endpoint_limits={"user_update": 0, "ticket_update": 0})
        yield running
        assert running.calls()["defects"] == []


@pytest.fixture
def zendesk(simulator, validator):
    """The simulator's client, its requests going through the judge."""
    with zendesk_spec.checked(validator, simulator.url) as checked:
        direct = simulator.port, simulator.url
        simulator.port, simulator.url, simulator.checked = checked.port, checked.url, checked
        yield simulator
        simulator.port, simulator.url = direct


def assert_clean(zendesk, operations):
    """Nothing was wrong, and that many of the document's operations were looked at."""
    found = zendesk.checked.violations()
    assert found == [], json.dumps(found[:10], indent=1, ensure_ascii=False)
    assert len(zendesk.checked.operations) >= operations, sorted(zendesk.checked.operations)


READS = (
    "users?page[size]=100", "users?role=end-user&per_page=5&page=2", "users?external_id=Ext-7", "users/me", "users/count",
    "users/show_many?ids={users}", "users/show_many?external_ids=Ext-7,Ext-8", "users/search?query=user8@example.com",
    "users/search?external_id=Ext-7", "users/{user}", "users/{user}/identities", "deleted_users?page[size]=100",
    "deleted_users/{gone}", "organizations?page[size]=20", "organizations/{organization}",
    "organizations/show_many?ids={organization}", "organizations/search?name=hydra", "organization_memberships?page[size]=100",
    "groups?page[size]=100", "groups?exclude_deleted=true", "group_memberships?page[size]=100", "ticket_fields", "ticket_forms", "user_fields", "organization_fields",
    "satisfaction_ratings?page[size]=100&start_time=1", "brands", "tags?page[size]=100", "macros?page[size]=100", "tickets?page[size]=100",
    "tickets?external_id=case-7", "tickets/show_many?ids={tickets}", "tickets/count", "tickets/{ticket}",
    "tickets/{ticket}/comments", "tickets/{ticket}/audits", "tickets/{ticket}/tags", "ticket_metrics?page[size]=100",
    "ticket_audits?page[size]=50", "deleted_tickets", "job_statuses", "oauth/tokens/current", "account/settings",
    "incremental/tickets/cursor?start_time=1&include=metric_sets&per_page=1000", "incremental/tickets?start_time=1",
    "incremental/users/cursor?start_time=1&per_page=100", "incremental/users?start_time=1", "incremental/organizations?start_time=1",
    "incremental/ticket_events?start_time=1&include=comment_events", "incremental/ticket_metric_events?start_time=1")


def test_every_read_of_the_scope_is_as_zendesk_declares_it(zendesk):
    state = zendesk.state("?tables=users,tickets,organizations")
    users = [user["id"] for user in state["users"] if user["active"]]
    named = {"user": users[-1], "users": ",".join(map(str, users[:9])), "ticket": state["tickets"][0]["id"],
             "tickets": ",".join(str(row["id"]) for row in state["tickets"][:9]), "organization": state["organizations"][0]["id"],
             "gone": next(user["id"] for user in state["users"] if not user["active"])}
    for path in READS:
        reply = zendesk.get(path.format(**named))
        assert reply.status == 200, (path, reply)
    page = zendesk.get("incremental/users/cursor?start_time=1&per_page=50").json()
    while not page["end_of_stream"]:
        page = zendesk.get(f"incremental/users/cursor?cursor={page['after_cursor']}&per_page=50").json()
    page = zendesk.get("tickets?page[size]=50").json()
    while page["links"]["next"]:
        page = zendesk.follow(page["links"]["next"]).json()
    assert_clean(zendesk, 38)


FIELDS = {"note_text": "x", "is_vip": True, "birthday": "1990-02-28", "visits": 17, "ltv": 12.5, "plz": "01067", "tier": "tier_gold",
          "interests": ["int_ski"], "long_text": None}


def test_every_write_of_the_scope_is_as_zendesk_declares_it(zendesk):
    def ok(reply, *statuses):
        assert reply.status in (statuses or (200, 201, 204)), reply
        return reply

    def job(reply):
        done = zendesk.job(reply)
        assert done["status"] == "completed"
        return done["results"]

    person = {"name": "Zoë 🦊", "email": "zoe@example.com", "external_id": "c-1", "phone": None, "user_fields": FIELDS, "tags": ["a"],
              "role": "end-user", "skip_verify_email": True, "verified": True, "notes": "n", "details": None, "alias": "z",
              "time_zone": "Berlin", "locale": "de"}
    user = ok(zendesk.post("users", {"user": person})).json()["user"]["id"]
    ok(zendesk.post("users/create_or_update", {"user": {"external_id": "C-1", "notes": None}}), 200)
    ok(zendesk.post("users/create_or_update", {"user": {"external_id": "c-2", "name": "Two"}}), 201)
    ok(zendesk.put(f"users/{user}", {"user": {"email": "zoe2@example.com", "user_fields": {"visits": None}}}))
    identity = ok(zendesk.get(f"users/{user}/identities")).json()["identities"][1]["id"]
    ok(zendesk.put(f"users/{user}/identities/{identity}/make_primary"))
    ok(zendesk.post(f"users/{user}/identities", {"identity": {"type": "email", "value": "zoe3@example.com"}}))
    assert len(job(zendesk.post("users/create_or_update_many", {"users": [
        person, {"external_id": "c-2", "tags": []}, {"name": "Bad", "email": "bad"}, {"name": "Four"}]}))) == 4
    job(zendesk.post("users/create_many", {"users": [{"name": "Five", "external_id": "c-5"}]}))
    job(zendesk.put("users/update_many", {"users": [{"id": user, "notes": "x"}, {"external_id": "nobody", "notes": "x"}]}))
    job(zendesk.put(f"users/update_many?ids={user}", {"user": {"notes": "y"}}))
    job(zendesk.delete("users/destroy_many?external_ids=c-5,c-6"))
    company = {"name": "Neu", "external_id": "o-1", "domain_names": ["neu.example"], "organization_fields": FIELDS, "notes": None, "tags": ["b"]}
    organization = ok(zendesk.post("organizations", {"organization": company})).json()["organization"]["id"]
    ok(zendesk.post("organizations/create_or_update", {"organization": {"external_id": "o-1", "details": "d"}}))
    ok(zendesk.put(f"organizations/{organization}", {"organization": {"details": None}}))
    job(zendesk.post("organizations/create_many", {"organizations": [{"name": "Neu 2", "external_id": "o-2"}, {"name": "Neu"}]}))
    job(zendesk.put("organizations/update_many", {"organizations": [{"external_id": "o-2", "notes": "n"}]}))
    joined = ok(zendesk.post("organization_memberships", {"organization_membership": {
        "user_id": user, "organization_id": organization, "default": True}})).json()["organization_membership"]["id"]
    job(zendesk.post("organization_memberships/create_many", {"organization_memberships": [
        {"user_id": user, "organization_id": organization}]}))
    ok(zendesk.delete(f"organization_memberships/{joined}"))
    job(zendesk.delete("organizations/destroy_many?external_ids=o-2"))
    member = ok(zendesk.get("group_memberships")).json()["group_memberships"][0]
    ok(zendesk.delete(f"group_memberships/{member['id']}"))
    ok(zendesk.post("group_memberships", {"group_membership": {"user_id": member["user_id"], "group_id": member["group_id"]}}))
    job(zendesk.post("group_memberships/create_many", {"group_memberships": [{"user_id": 5, "group_id": 5}]}))
    job(zendesk.delete("group_memberships/destroy_many?ids=5"))
    tickets(zendesk, ok, job, user)
    ok(zendesk.delete(f"organizations/{organization}"))
    ok(zendesk.delete(f"users/{user}"))
    ok(zendesk.delete(f"deleted_users/{user}"))
    ok(zendesk.post("user_fields", {"user_field": {"key": "new_one", "type": "text", "title": "New"}}))
    tokens(zendesk, ok)
    assert_clean(zendesk, 42)


def tickets(zendesk, ok, job, user):
    field = next(row["id"] for row in zendesk.get("ticket_fields").json()["ticket_fields"] if row["title"] == "Visits")
    body = {"subject": "S", "comment": {"body": "b", "public": False}, "external_id": "t-1", "tags": ["x"], "priority": "high",
            "custom_fields": [{"id": field, "value": 5}], "type": "question"}
    made = ok(zendesk.post("tickets", {"ticket": {**body, "requester": {"name": "R", "email": "r@example.com"}}}, Idempotency_Key="k"))
    row = made.json()["ticket"]
    ok(zendesk.put(f"tickets/{row['id']}", {"ticket": {"status": "open", "safe_update": True, "updated_stamp": row["updated_at"],
                                                       "comment": {"html_body": "<p>x</p>", "author_id": user}}}))
    for method in ("PUT", "POST", "DELETE"):
        ok(zendesk.ask(method, f"tickets/{row['id']}/tags", {"tags": ["y"]}))
    results = job(zendesk.post("tickets/create_many", {"tickets": [{**body, "requester_id": user}, {"subject": "empty", "comment": {"body": ""}}]}))
    assert [one["success"] for one in results] == [True, False]
    job(zendesk.put("tickets/update_many", {"tickets": [{"id": results[0]["id"], "status": "solved"}, {"id": 99999, "status": "open"}]}))
    job(zendesk.put(f"tickets/update_many?ids={row['id']},{results[0]['id']}", {
        "ticket": {"additional_tags": ["z"], "remove_tags": ["x"]}}))
    ok(zendesk.post("imports/tickets", {"ticket": {"subject": "I", "requester_id": user, "created_at": "2020-01-01T00:00:00Z",
                                                   "comments": [{"author_id": user, "value": "v", "created_at": "2020-01-01T00:00:00Z"}]}}))
    job(zendesk.post("imports/tickets/create_many", {"tickets": [{"subject": "I", "comments": [{"value": "v"}]}]}))
    job(zendesk.delete(f"tickets/destroy_many?ids={row['id']}"))
    ok(zendesk.delete(f"tickets/{results[0]['id']}"))


def tokens(zendesk, ok):
    hello = zendesk.hello
    secrets = {"client_id": hello["client_id"], "client_secret": hello["client_secret"]}
    ok(zendesk.post("/oauth/tokens", {**secrets, "grant_type": "client_credentials", "scope": "read write", "expires_in": 300}))
    new = ok(zendesk.post("/oauth/tokens", {**secrets, "grant_type": "refresh_token", "refresh_token": hello["refresh_token"]})).json()
    zendesk.token = new["access_token"]
    ok(zendesk.get("oauth/tokens/current"))


def test_every_refusal_is_as_zendesk_declares_it(zendesk):
    for kind, path in (("403", "macros"), ("403 object", "ticket_forms"), ("404", "brands")):
        zendesk.settings(gates={path: kind})
        assert zendesk.get(path).status == int(kind[:3])
    zendesk.fault({"kind": "throttle", "retry_after": 5}, {"kind": "throttle", "nth": 2}, {"kind": "status", "status": 520, "nth": 3})
    assert [zendesk.get("groups").status for _ in range(4)] == [429, 429, 520, 200]
    zendesk.settings(bulk_users=False, endpoint_limits={"exports": 1, "user_update": 1})
    refused = [zendesk.post("users/create_or_update_many", {"users": [{"name": "A"}]}),
               zendesk.post("users", {"user": {"name": ""}}), zendesk.get("users/5"), zendesk.get("users?page=101"),
               zendesk.get("incremental/tickets/cursor?cursor=zzz"), zendesk.get("incremental/users/cursor?start_time=1"),
               zendesk.get("groups", token="no"), zendesk.put("tickets/5", {"ticket": {"safe_update": True}})]
    assert [reply.status for reply in refused] == [403, 422, 404, 400, 400, 429, 401, 422]
    assert refused[5].headers["content-type"].startswith("text/plain")
    assert_clean(zendesk, 11)


EXCHANGE = {"grant_type": "authorization_code", "code": "x", "redirect_uri": "https://dray.example/callback", "client_id": "dray_client",
            "client_secret": "x", "scope": "read"}


@pytest.mark.parametrize("method,path,body,said", [
    ("POST", "/api/v2/users", {"users": {"name": "A"}}, "user"),
    ("POST", "/api/v2/users", {"user": {"name": 5}}, "name"),
    ("POST", "/api/v2/users/create_or_update_many", {"users": [{"name": "A", "verified": "yes"}]}, "verified"),
    ("POST", "/api/v2/users/create_or_update_many", {"users": [{"naem": "A"}]}, "naem"),
    ("POST", "/api/v2/tickets", {"ticket": {"priority": "top"}}, "priority"),
    ("POST", "/api/v2/tickets", {"ticket": {"custom_fields": [{"value": 5}]}}, "custom_fields"),
    ("PUT", "/api/v2/organizations/update_many", {"organisations": []}, "organi"),
    ("POST", "/api/v2/organization_memberships", {"organization_membership": {"user_id": 5}}, "organization_id"),
    ("PUT", "/api/v2/tickets/5/tags", {"tags": [5]}, "tags"),
    ("GET", "/api/v2/incremental/organizations", None, "start_time"),
    ("GET", "/api/v2/incremental/tickets/cursor?start_tiem=1", None, "start_tiem"),
    ("GET", "/api/v2/users/abc", None, "user"),
    ("GET", "/api/v2/user", None, "not in the document"),
    ("POST", "/oauth/tokens", {**EXCHANGE, "redirect_uri": None}, "redirect_uri"),
    ("POST", "/oauth/tokens", {**EXCHANGE, "client_secret": None}, "client_secret"),
    ("POST", "/oauth/tokens", {**EXCHANGE, "code_challenge": "x"}, "code_challenge"),
])
def test_a_request_that_is_known_to_be_bad_is_found(zendesk, method, path, body, said):
    """What is None is not sent."""
    body = body and {name: value for name, value in body.items() if value is not None}
    zendesk.request(method, path, body, {"Authorization": f"Bearer {zendesk.token}"})
    found = zendesk.checked.violations()
    assert found and all(one["location"][0] == "request" for one in found) and said in json.dumps(found), found


@pytest.mark.parametrize("path,find,replace", [
    ("users/me", '"name":"', '"name":5,"x":"'), ("tickets/1", '"status":"', '"status":"x'), ("groups", '"groups":[', '"groups":[5,'),
    ("job_statuses", '"job_statuses"', '"jobs"'), ("organizations", '"shared_tickets":false', '"shared_tickets":"no"'), ("tickets?page[size]=2", '"custom_fields":[', '"custom_fields":[{"value":5},')])
def test_an_answer_that_is_known_to_be_bad_is_found(simulator, validator, path, find, replace):
    """The fault is the playback's here: what a fault of the simulator made is not judged."""
    reply = simulator.get(path)
    assert reply.status == 200 and find in reply.raw.decode()
    said = validator.judge("GET", "/api/v2/" + path, {"authorization": "Bearer x"}, b"", prism.Answer(
        200, reply.raw.decode().replace(find, replace), content_type="application/json"))
    assert said and all(one["location"][0] == "response" for one in said)
    assert validator.judge("GET", "/api/v2/" + path, {"authorization": "Bearer x"}, b"", prism.Answer(
        200, reply.raw, content_type="application/json")) == []


def test_every_body_that_was_edited_still_has_teeth(validator):
    """Prism says nothing of a body whose schema does not compile: so each must refuse what is no object, without the lint's help."""
    toothless = []
    for method, template in [*zendesk_spec.BODIES, ("post", "/api/v2/users"), ("post", "/api/v2/users/create_or_update_many"),
                             ("put", "/api/v2/users/update_many"), ("post", "/api/v2/tickets"), ("put", "/api/v2/tickets/{ticket_id}"),
                             ("post", "/api/v2/tickets/create_many"), ("post", "/api/v2/imports/tickets"),
                             ("post", "/api/v2/imports/tickets/create_many"), ("post", "/api/v2/organizations")]:
        path = "/".join("1" if part.startswith("{") else part for part in template.split("/"))
        said = validator.judge(method.upper(), path, {"authorization": "Bearer x", "content-type": "application/json"}, b"[5]",
                               prism.Answer(422, {"error": "x"}))
        if not any(one["location"][:2] == ["request", "body"] for one in said):
            toothless.append((method, template, said))
    assert toothless == []


# ---- the official client ----

CLIENT = pathlib.Path(__file__).with_name("zendesk_client.js")


def as_javascript(value):
    """JavaScript has no integers beyond 2^53: the client rounds them."""
    if isinstance(value, dict):
        return {name: as_javascript(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_javascript(one) for one in value]
    return int(float(value)) if isinstance(value, int) and not isinstance(value, bool) else value


def test_the_official_client_reads_and_writes_what_the_simulator_holds(simulator):
    before = as_javascript(simulator.state())
    done = subprocess.run(["node", str(CLIENT), simulator.url, simulator.token], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "NODE_PATH": str(openapi.node_modules())})
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    state = simulator.state()

    def plain(rows, *more):
        """As the state has them: without what an answer adds."""
        return [{name: value for name, value in row.items() if name not in ("url", *more)} for row in rows]

    reads = out["reads"]
    assert plain(reads["users"]) == [row for row in before["users"] if row["active"]]
    assert plain(reads["tickets"], "fields") == [row for row in before["tickets"] if row["status"] != "deleted"]
    assert plain(reads["organizations"]) == [row for row in before["organizations"] if not row["deleted_at"]]
    for name in ("groups", "ticket_fields", "user_fields", "organization_memberships"):
        assert plain(reads[name]) == before[name], name
    assert {row["id"]: row["status"] for row in reads["exported"]} == {row["id"]: row["status"] for row in before["tickets"]}
    assert reads["me"]["email"] == simulator.hello["email"]
    people_agree(out["people"], state)
    tickets = {row["id"]: row for row in state["tickets"]}
    made, gone = out["tickets"]["made"]["id"], out["tickets"]["gone"]["id"]
    assert (tickets[made]["status"], tickets[made]["tags"], tickets[gone]["status"]) == ("solved", ["n"], "deleted")
    assert [(one["body"], one["public"]) for one in out["tickets"]["comments"]] == [("hi", True), ("done", False)]
    assert plain([out["tickets"]["shown"]], "fields") == [tickets[made]]


def people_agree(out, state):
    users = {row["id"]: row for row in state["users"]}
    user = users[out["made"]["id"]]
    assert out["upserted"]["id"] == user["id"] and out["made"]["name"] == user["name"] == "Ünï 🦊"
    assert (user["email"], user["external_id"], user["notes"], user["phone"]) == ("uni@example.com", "NODE-1", "from node", "+49 30")
    assert user["user_fields"]["visits"] == 9007199254740991 and user["tags"] == ["from_node", "tier_gold"]
    assert user["organization_id"] == out["organization"]["id"] == out["membership"]["organization_id"]
    assert {name: value for name, value in out["shown"].items() if name != "url"} == user
    results = out["job"]["results"]
    assert out["job"]["status"] == "completed" and [one["success"] for one in results] == [True, False]
    assert users[results[0]["id"]]["external_id"] == "m1"
    assert "(422)" in out["refused"] and "(404)" in out["missing"]
