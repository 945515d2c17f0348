# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The Mailchimp simulator judged over real sockets: reading, keys, members, segments. test_writes.py has the rest."""

import base64
import hashlib
import itertools
import json
import pathlib
import sys
import threading
import time
import urllib.parse

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from mailchimp.members import hash_of, lowered  # noqa: E402
from server.running import Running  # noqa: E402

SCRIPT = HERE / "server.py"
NOW = "2026-11-20T08:00:00Z"
ADDRESS = {"addr1": "Main St 1", "addr2": "", "city": "Austin", "state": "TX", "zip": "73301", "country": "US"}


def md5(text):
    return hashlib.md5(text.lower().encode()).hexdigest()


class Api:
    """The simulator with the owner's key."""

    def __init__(self, sim):
        self.sim, self.list = sim, sim.hello["list_id"]
        self.auth = {"Authorization": "Bearer " + sim.hello["api_key"]}

    def ask(self, method, path, body=None, query=None, headers=None, code=200):
        text = "?" + urllib.parse.urlencode(query) if query else ""
        reply = self.sim.request(method, "/3.0" + urllib.parse.quote(path) + text, body, {**self.auth, **(headers or {})})
        assert reply.status == code, reply
        return reply.json() if reply.raw else None

    def get(self, path, code=200, **query):
        return self.ask("GET", path, query=query, code=code)

    def members(self, **query):
        return self.get(f"/lists/{self.list}/members", **query)

    def of(self, email):
        return f"/lists/{self.list}/members/{md5(email)}"

    def any(self, status="subscribed", number=0):
        return self.members(status=status, count=1, offset=number)["members"][0]

    def put(self, email, code=200, query=None, **body):
        return self.ask("PUT", self.of(email), {"email_address": email, "status_if_new": "subscribed", **body}, query, code=code)

    def batch(self, *members, code=200, query=None, **more):
        return self.ask("POST", f"/lists/{self.list}", {"members": list(members), **more}, query, code=code)

    def held(self, email):
        return self.sim.state(f"?list={self.list}&email={urllib.parse.quote(email)}")["lists"][self.list]["members"].get(md5(email))


@pytest.fixture(scope="module")
def shared():
    """One simulator for what only reads."""
    with Running(SCRIPT, "--now", NOW) as sim:
        yield Api(sim)


@pytest.fixture
def api(tmp_path):
    with Running(SCRIPT, "--now", NOW, "--members", 400, "--batch-step-ms", 0, ledger=tmp_path / "ledger") as sim:
        yield Api(sim)


@pytest.fixture(scope="module")
def loose():
    """One simulator for many small writes that do not meet each other: next_email() is never the same."""
    with Running(SCRIPT, "--now", NOW, "--members", 400) as sim:
        yield Api(sim)


def next_email(numbers=itertools.count(1)):
    return f"fresh{next(numbers)}@post.example"


# ---- keys ----

def test_basic_and_bearer_reach_the_same_account(shared):
    key = shared.sim.hello["api_key"]
    basic = base64.b64encode(f"anyone:{key}".encode()).decode()
    for word in ("Basic " + basic, "Bearer " + key, "Bearer " + shared.sim.hello["oauth_token"]):
        assert shared.get("/ping") == {"health_status": "Everything's Chimpy!"}
        assert shared.ask("GET", "/", headers={"Authorization": word})["role"] == "owner"


@pytest.mark.parametrize("authorization, status, title", [
    (None, 401, "API Key Missing"), ("Bearer nonsense-us21", 401, "API Key Invalid"),
    ("Bearer 0123456789abcdef0123456789abcd01-us9", 401, "API Key Invalid"),
    ("Bearer 0123456789abcdef0123456789abcd03-us21", 403, "User Disabled")])
def test_a_wrong_key_is_refused(shared, authorization, status, title):
    reply = shared.sim.request("GET", "/3.0/lists", headers={"Authorization": authorization} if authorization else {})
    assert (reply.status, reply.json()["title"]) == (status, title)
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert set(reply.json()) == {"type", "title", "status", "detail", "instance"}


def test_a_viewer_reads_and_does_not_write(shared):
    viewer = {"Authorization": "Bearer " + shared.sim.hello["viewer_key"]}
    shared.ask("GET", "/lists", headers=viewer)
    refused = shared.ask("PUT", shared.of("a@post.example"), {"email_address": "a@post.example"}, headers=viewer, code=403)
    assert refused["title"] == "User action not permitted"


def test_a_revoked_key_ends_the_run(api):
    api.get("/ping")
    api.sim.change({"op": "key_revoke", "key": api.sim.hello["api_key"]})
    assert api.get("/ping", code=401)["title"] == "API Key Invalid"


def test_metadata_answers_200_for_a_bad_token_without_an_endpoint(shared):
    good = shared.sim.request("GET", "/oauth2/metadata", headers={"Authorization": "OAuth " + shared.sim.hello["oauth_token"]})
    assert (good.json()["dc"], good.json()["api_endpoint"]) == ("us21", shared.sim.url)
    bad = shared.sim.request("GET", "/oauth2/metadata", headers={"Authorization": "OAuth wrong"})
    assert bad.status == 200 and "api_endpoint" not in bad.json() and "dc" not in bad.json()


def test_a_code_becomes_a_token_once(api):
    asked = {"response_type": "code", "client_id": "client-1", "redirect_uri": "https://dray.example/callback", "state": "s/1"}
    back = api.sim.request("GET", "/oauth2/authorize?" + urllib.parse.urlencode(asked))
    assert (back.status, back.headers["location"]) == (302, "https://dray.example/callback?code=code-1&state=s%2F1")
    assert api.sim.request("GET", "/oauth2/authorize?" + urllib.parse.urlencode({**asked, "client_id": "x"})).status == 400
    form = {"grant_type": "authorization_code", "client_id": "client-1", "client_secret": "client-secret-1",
            "redirect_uri": "https://dray.example/callback", "code": "code-1"}
    wrong = api.sim.request("POST", "/oauth2/token", urllib.parse.urlencode({**form, "client_secret": "x"}))
    assert (wrong.status, wrong.json()) == (401, {"error": "invalid_client"})
    token = api.sim.request("POST", "/oauth2/token", urllib.parse.urlencode(form)).json()
    assert token["access_token"] == api.sim.hello["oauth_token"] and token["expires_in"] == 0
    assert api.sim.request("POST", "/oauth2/token", urllib.parse.urlencode(form)).json() == {"error": "invalid_grant"}
    for number, (change, late_s) in enumerate([({"redirect_uri": "https://dray.example/other"}, 0), ({"redirect_uri": ""}, 0), ({}, 601)], 2):
        code = {"code": f"code-{number}"}
        assert api.sim.request("GET", "/oauth2/authorize?" + urllib.parse.urlencode(asked)).status == 302
        api.sim.advance(late_s)
        refused = api.sim.request("POST", "/oauth2/token", urllib.parse.urlencode({**form, **code, **change}))
        assert (refused.status, refused.json()) == (400, {"error": "invalid_grant"})
    assert "client-secret-1" not in api.sim.ledger_path.read_text()


# ---- paging, filters, fields ----

def test_pages_by_offset_give_every_member_once(shared):
    total = shared.members(count=1)["total_items"]
    seen = []
    for offset in range(0, total, 1000):
        seen += [one["id"] for one in shared.members(count=1000, offset=offset, sort_field="last_changed")["members"]]
    assert len(seen) == len(set(seen)) == total
    held = shared.sim.state()["lists"][shared.list]["members"]
    assert set(seen) == {key for key, one in held.items() if one["status"] != "archived"}
    assert len(shared.members()["members"]) == 10


def test_letters_become_small_one_by_one():
    assert lowered("ΝΙΚΟΣ@Dray.test") == "νικοσ@dray.test" and hash_of("ΝΙΚΟΣ@x.y") == hash_of("νικοσ@x.y")
    assert hash_of("νικος@x.y") != hash_of("νικοσ@x.y")
    assert hash_of(" Ada@X.y ") == md5("ada@x.y")


def test_an_id_is_the_hash_of_the_lowercased_email(shared):
    for one in shared.members(count=300)["members"]:
        assert one["id"] == md5(one["email_address"])
    mixed = next(one for one in shared.members(count=300)["members"] if one["email_address"] != one["email_address"].lower())
    for key in (mixed["id"], mixed["contact_id"], mixed["email_address"], mixed["email_address"].upper()):
        assert shared.get(f"/lists/{shared.list}/members/{key}")["id"] == mixed["id"]


@pytest.mark.parametrize("query, field", [
    ({"count": 1001}, "count"), ({"offset": -1}, "offset"), ({"sort_field": "email"}, "sort_field"), ({"status": "gone"}, "status"),
    ({"since_last_changed": "yesterday"}, "since_last_changed"), ({"limit": 5}, "limit"), ({"page": 2}, "page"),
    ({"interest_ids": "x"}, "interest_ids"), ({"unsubscribed_since": NOW}, "unsubscribed_since")])
def test_a_wrong_query_is_refused(shared, query, field):
    refused = shared.get(f"/lists/{shared.list}/members", code=400, **query)
    assert (refused["title"], refused["errors"][0]["field"]) == ("Invalid Resource", field)


def test_archived_members_are_only_listed_when_asked_for(shared):
    total = shared.members(count=0)["total_items"]
    by_status = {status: shared.members(count=0, status=status)["total_items"]
                 for status in ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")}
    assert by_status["archived"] > 0 and total == sum(by_status.values()) - by_status["archived"]
    assert {one["status"] for one in shared.members(count=50, status="archived")["members"]} == {"archived"}


def test_since_and_before_are_exclusive_and_more_than_a_page_shares_a_second(shared):
    rows = shared.members(count=1000, offset=1000, sort_field="last_changed", sort_dir="ASC")["members"]
    moment = rows[-1]["last_changed"]
    equal = sum(one["last_changed"] == moment for one in shared.sim.state()["lists"][shared.list]["members"].values()
                if one["status"] != "archived")
    assert equal > 1000
    at_or_after = shared.members(count=0, since_last_changed=shift(moment, -1))["total_items"]
    after = shared.members(count=0, since_last_changed=moment)["total_items"]
    before = shared.members(count=0, before_last_changed=moment)["total_items"]
    assert at_or_after - after == equal
    assert before + equal + after == shared.members(count=0)["total_items"]


def shift(moment, seconds):
    import datetime
    return (datetime.datetime.fromisoformat(moment) + datetime.timedelta(seconds=seconds)).isoformat()


def test_sorting(shared):
    up = [one["last_changed"] for one in shared.members(count=400, sort_field="last_changed", sort_dir="ASC")["members"]]
    down = [one["last_changed"] for one in shared.members(count=400, sort_field="last_changed", sort_dir="DESC")["members"]]
    assert up == sorted(up) and down == sorted(down, reverse=True) and up[0] < down[0]


def test_fields_and_exclude_fields(shared):
    assert set(shared.members(count=2, fields="members.id,members.merge_fields.FNAME,total_items")) == {"members", "total_items"}
    one = shared.members(count=2, fields="members.id,members.merge_fields.FNAME")["members"][0]
    assert set(one) == {"id", "merge_fields"} and set(one["merge_fields"]) == {"FNAME"}
    slim = shared.members(count=2, exclude_fields="members._links,_links,members.merge_fields.FNAME")
    assert "_links" not in slim and "_links" not in slim["members"][0] and "FNAME" not in slim["members"][0]["merge_fields"]
    assert "LNAME" in slim["members"][0]["merge_fields"]
    full = shared.members(count=2)
    without = {name: value for name, value in full["members"][0].items() if name != "_links"}
    assert shared.members(count=2, exclude_fields="members._links")["members"][0] == without


def test_empty_values_are_empty_texts_not_null(shared):
    rows = shared.members(count=500)["members"]
    assert any(one["timestamp_signup"] == "" for one in rows) and any(one["timestamp_signup"] for one in rows)
    assert any(one["merge_fields"]["LTV"] == "" for one in rows) and any(one["merge_fields"]["ADDRESS"] == "" for one in rows)
    assert "null" not in json.dumps(rows)
    assert all(set(one["merge_fields"]) == {field["tag"] for field in shared.get(f"/lists/{shared.list}/merge-fields", count=100)
                                            ["merge_fields"]} for one in rows)


def test_pages_drift_while_others_change_records(api):
    first = [one["id"] for one in api.members(count=50, sort_field="last_changed", sort_dir="ASC")["members"]]
    email = api.get(f"/lists/{api.list}/members/{first[3]}")["email_address"]
    api.sim.change({"op": "touch", "email": email})
    second = [one["id"] for one in api.members(count=50, offset=50, sort_field="last_changed", sort_dir="ASC")["members"]]
    third = [one["id"] for one in api.members(count=51, sort_field="last_changed", sort_dir="ASC")["members"]]
    # What stood at offset 50 is now at 49, so a walk by offset misses it; the touched one stands at the end.
    assert third[49] not in first and third[49] not in second
    assert api.members(count=1, sort_field="last_changed", sort_dir="DESC")["members"][0]["id"] == first[3]


def test_drift_can_be_switched_on_between_pages(api):
    api.sim.fault({"kind": "drift", "touch": 2, "archive": 3, "path": "*/members"})
    query = {"count": 100, "sort_field": "last_changed", "sort_dir": "ASC"}
    before = api.members(**query)
    total, ids = before["total_items"], [one["id"] for one in before["members"]]
    after = api.members(**query)
    assert total - 3 <= after["total_items"] < total
    assert [one["id"] for one in after["members"]][:98] == ids[2:]  # two places forward: a walk by offset loses two


# ---- the other streams ----

def test_merge_fields_of_every_type(shared):
    fields = shared.get(f"/lists/{shared.list}/merge-fields", count=100)
    assert {field["type"] for field in fields["merge_fields"]} == {
        "text", "number", "address", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip"}
    assert fields["total_items"] == len(fields["merge_fields"]) and fields["list_id"] == shared.list
    plan = next(field for field in fields["merge_fields"] if field["tag"] == "PLAN")
    assert "business 💼" in plan["options"]["choices"]


def test_interests_and_their_counts(shared):
    categories = shared.get(f"/lists/{shared.list}/interest-categories")["categories"]
    assert [one["title"] for one in categories] == ["Topics", "Frequency"]
    path = f"/lists/{shared.list}/interest-categories/{categories[0]['id']}/interests"
    interests = shared.get(path)["interests"]
    key = interests[0]["id"]
    query = {"interest_category_id": categories[0]["id"], "interest_ids": key, "interest_match": "any", "count": 1000}
    found = shared.members(status="subscribed", **query)
    assert int(interests[0]["subscriber_count"]) == found["total_items"] > 0
    assert all(one["interests"][key] for one in found["members"])


def test_segments_tags_and_their_members(shared):
    segments = shared.get(f"/lists/{shared.list}/segments", count=100)["segments"]
    static = next(one for one in segments if one["type"] == "static")
    saved = next(one for one in segments if one["type"] == "saved")
    path = f"/lists/{shared.list}/segments/{static['id']}"
    members = shared.get(path + "/members", count=1000)
    assert members["total_items"] == static["member_count"] > 0
    assert all(one["status"] == "subscribed" and static["id"] in [tag["id"] for tag in shared.get(shared.of(one["email_address"]))["tags"]]
               for one in members["members"][:20])
    assert not {"tags", "web_id", "source"} & members["members"][0].keys()  # there the vendor shows less of a member
    assert shared.get(path, include_unsubscribed="true", include_cleaned="true")["member_count"] > static["member_count"]
    plans = shared.get(f"/lists/{shared.list}/segments/{saved['id']}/members", count=1000)["members"]
    assert plans and {one["merge_fields"]["PLAN"] for one in plans} == {"business 💼"}
    tags = shared.get(f"/lists/{shared.list}/tag-search", name="GRÖSSE")
    assert [tag["name"] for tag in tags["tags"]] == ["größe-L"] and shared.get(f"/lists/{shared.list}/tag-search")["total_items"] == 5


def test_campaigns_reports_and_details_agree(shared):
    campaigns = shared.get("/campaigns", count=100, sort_field="create_time", sort_dir="ASC")["campaigns"]
    assert {"sent", "save", "schedule"} == {one["status"] for one in campaigns}
    assert any(one["send_time"] == "" for one in campaigns)
    reports = shared.get("/reports", count=100)["reports"]
    assert {one["id"] for one in reports} == {one["id"] for one in campaigns if one["status"] == "sent"}
    one = reports[-1]
    emails = shared.get(f"/reports/{one['id']}/email-activity", count=1000)
    assert emails["total_items"] == one["emails_sent"] and emails["campaign_id"] == one["id"]
    assert [row for row in emails["emails"] if "activity" not in row]  # the vendor leaves the key out for some
    actions = [entry["action"] for row in emails["emails"] for entry in row.get("activity", ())]
    assert actions.count("open") == one["opens"]["opens_total"] and actions.count("click") == one["clicks"]["clicks_total"]
    opens = shared.get(f"/reports/{one['id']}/open-details", count=1000)
    assert opens["total_opens"] == one["opens"]["opens_total"] and opens["total_items"] == one["opens"]["unique_opens"]
    assert shared.get(f"/reports/{one['id']}/unsubscribed", count=1000)["total_items"] == one["unsubscribed"]
    assert shared.get(f"/reports/{one['id']}/sent-to", count=1000)["total_items"] == one["emails_sent"]
    urls = shared.get(f"/reports/{one['id']}/click-details")["urls_clicked"]
    assert sum(row["total_clicks"] for row in urls) == one["clicks"]["clicks_total"]
    clicked = shared.get(f"/reports/{one['id']}/click-details/{urls[0]['id']}/members", count=1000)
    assert clicked["total_items"] == urls[0]["unique_clicks"]
    draft = next(campaign for campaign in campaigns if campaign["status"] == "save")
    shared.get(f"/reports/{draft['id']}", code=404)


def test_email_activity_since_is_exclusive(api):
    report = api.get("/reports", count=1)["reports"][0]
    path = f"/reports/{report['id']}/email-activity"
    assert api.get(path, since=NOW)["total_items"] == 0
    email = api.get(path, count=1)["emails"][0]["email_address"]
    api.sim.change({"op": "activity", "campaign": report["id"], "email": email, "action": "open"})
    since = api.get(path, since="2026-11-20T07:59:59+00:00")
    assert [row["email_address"] for row in since["emails"]] == [email] and len(since["emails"][0]["activity"]) == 1


def test_campaigns_by_time_automations_and_templates(shared):
    campaigns = shared.get("/campaigns", count=100, sort_field="create_time", sort_dir="ASC")["campaigns"]
    moment = campaigns[5]["create_time"]
    after = shared.get("/campaigns", count=100, since_create_time=moment)["campaigns"]
    assert {one["id"] for one in after} == {one["id"] for one in campaigns if one["create_time"] > moment}
    assert [one["start_time"] == "" for one in shared.get("/automations")["automations"]].count(True) == 1
    assert shared.get("/templates", count=5)["total_items"] == 12


def test_segments_since_updated(api):
    segments = api.get(f"/lists/{api.list}/segments", count=100)["segments"]
    assert api.get(f"/lists/{api.list}/segments", since_updated_at="2026-11-20T07:59:59Z")["total_items"] == 0
    api.ask("POST", api.of(api.any()["email_address"]) + "/tags", {"tags": [{"name": "brand new", "status": "active"}]}, code=204)
    changed = api.get(f"/lists/{api.list}/segments", since_updated_at="2026-11-20T07:59:59Z")["segments"]
    assert [one["name"] for one in changed] == ["brand new"] and changed[0]["id"] not in [one["id"] for one in segments]


# ---- limits ----

def test_the_eleventh_request_at_a_time_gets_429_and_who_keeps_coming_no_json(tmp_path):
    with Running(SCRIPT, "--members", 10) as sim:
        api, held = Api(sim), []
        sim.fault({"kind": "slow", "seconds": 600, "count": 10})
        threads = [threading.Thread(target=lambda: held.append(api.get("/ping"))) for _ in range(10)]
        for thread in threads:
            thread.start()
        while sim.calls()["in_flight"] < 10:
            time.sleep(0.02)
        replies = [sim.request("GET", "/3.0/lists", headers=api.auth) for _ in range(12)]
        app, viewer = sim.hello["oauth_token"], sim.hello["viewer_key"]
        assert api.ask("GET", "/lists", headers={"Authorization": "Bearer " + viewer})
        assert sim.request("GET", "/3.0/lists", headers={"Authorization": "Bearer " + app}).status == 403  # the same user's app
        sim.sim("DELETE", "faults")
        for thread in threads:
            thread.join()
        assert len(held) == 10
        assert [(reply.status, bool(reply.raw)) for reply in replies] == (
            [(429, True)] * 5 + [(429, False)] * 5 + [(403, False)] * 2)
        assert replies[0].json()["title"] == "Too Many Requests" and "retry-after" not in replies[0].headers
        assert api.get("/ping") and sim.calls()["throttled"] == 10 and sim.calls()["in_flight_max"] == 11


def test_faults_storm_bare_403_stall_html_and_missing_type(api):
    api.sim.fault({"kind": "throttle", "count": 2}, {"kind": "status", "status": 403, "body": "", "nth": 3, "count": 1})
    for status in (429, 429):
        reply = api.sim.request("GET", "/3.0/ping", headers=api.auth)
        assert (reply.status, reply.json()["status"], "retry-after" in reply.headers) == (status, 429, False)
    assert api.sim.request("GET", "/3.0/ping", headers=api.auth).raw == b""
    api.sim.fault({"kind": "untyped", "path": "*/members/*"})
    assert set(api.get(f"/lists/{api.list}/members/{'0' * 32}", code=404)) == {"title", "status", "detail", "instance"}
    assert "type" in api.get(f"/lists/{api.list}/members/{'0' * 32}", code=404)
    api.sim.fault({"kind": "stall", "seconds": 0.3})
    with pytest.raises(OSError):
        api.get("/ping")
    assert api.get("/ping")


def test_unknown_paths_and_methods(shared):
    assert shared.get("/nothing", code=404)["title"] == "Resource Not Found"
    assert shared.ask("DELETE", "/ping", code=405)["title"] == "Method Not Allowed"
    assert shared.sim.request("DELETE", "/3.0/ping", None, shared.auth).headers["allow"] == "GET"
    assert shared.get("/lists/0000000000/members", code=404)
    reply = shared.sim.request("POST", "/3.0/ping", headers={**shared.auth, "X-HTTP-Method-Override": "GET"})
    assert reply.status == 200


def test_the_same_seed_gives_the_same_account():
    def held(*more):
        with Running(SCRIPT, "--now", NOW, "--members", 50, *more) as sim:
            return {key: {name: value for name, value in one.items()}
                    for key, one in sim.state()["lists"][sim.hello["list_id"]]["members"].items()}
    assert held() == held() and held() != held("--seed", 2)
