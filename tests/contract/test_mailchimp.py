# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The Mailchimp simulator held against the vendor's own document and its official client.

Every read and write of the v1 scope goes through without a violation; what is wrong is still found, on both sides; the client
reads and writes, and the simulator's state is what it was told.
"""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse

import pytest

import mailchimp_spec
import openapi
import prism

SIM = pathlib.Path(__file__).resolve().parent.parent / "sim"
sys.path.insert(0, str(SIM))

from server import Answer  # noqa: E402
from server.running import Running  # noqa: E402

SCRIPT = SIM / "mailchimp" / "server.py"
READS = {"/ping", "", "/lists", "/lists/{list_id}", "/lists/{list_id}/members", "/lists/{list_id}/members/{subscriber_hash}",
         "/lists/{list_id}/members/{subscriber_hash}/tags", "/lists/{list_id}/members/{subscriber_hash}/events",
         "/lists/{list_id}/merge-fields", "/lists/{list_id}/merge-fields/{merge_id}", "/lists/{list_id}/interest-categories",
         "/lists/{list_id}/interest-categories/{interest_category_id}",
         "/lists/{list_id}/interest-categories/{interest_category_id}/interests", "/lists/{list_id}/segments",
         "/lists/{list_id}/segments/{segment_id}", "/lists/{list_id}/segments/{segment_id}/members", "/lists/{list_id}/tag-search",
         "/lists/{list_id}/webhooks", "/campaigns", "/campaigns/{campaign_id}", "/reports", "/reports/{campaign_id}",
         "/reports/{campaign_id}/email-activity", "/reports/{campaign_id}/unsubscribed", "/reports/{campaign_id}/open-details",
         "/reports/{campaign_id}/click-details", "/reports/{campaign_id}/click-details/{link_id}/members",
         "/reports/{campaign_id}/sent-to", "/automations", "/templates", "/batches", "/batches/{batch_id}"}


def md5(email):
    return hashlib.md5(email.lower().encode()).hexdigest()


class Client:
    """Talks with the simulator through Checked."""

    def __init__(self, sim, checked):
        self.sim, self.checked, self.list = sim, checked, sim.hello["list_id"]
        self.key, self.port, self.url = sim.hello["api_key"], checked.port, checked.url
        self.auth = {"Authorization": "Basic " + base64.b64encode(f"any:{self.key}".encode()).decode()}

    def ask(self, method, path, body=None, code=200, **query):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = dict(self.auth)
        if body is not None:
            headers["Content-Type"] = "application/json"
        target = "/3.0" + urllib.parse.quote(path) + ("?" + urllib.parse.urlencode(query) if query else "")
        connection.request(method, target, json.dumps(body) if body is not None else None, headers)
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        assert reply.status == code, text[:500]
        return json.loads(text) if text else None

    def member(self, email):
        return f"/lists/{self.list}/members/{md5(email)}"

    def held(self, email):
        found = self.sim.state(f"?list={self.list}&email={urllib.parse.quote(email)}")
        return found["lists"][self.list]["members"].get(md5(email))


@pytest.fixture(scope="module")
def spec():
    return mailchimp_spec.document()


@pytest.fixture(scope="module")
def validator(spec, tmp_path_factory):
    openapi.node_modules()
    with prism.Validator(spec, tmp_path_factory.mktemp("prism")) as running:
        yield running


@pytest.fixture
def client(spec, validator):
    with Running(SCRIPT, "--members", 300, "--batch-step-ms", 0) as sim:
        with prism.Checked(validator, mailchimp_spec.lint(spec), sim.url, mailchimp_spec.known) as checked:
            yield Client(sim, checked)


# ---- everything of the scope, without a violation ----

def read_all(client):
    """Every listing to its end, every single thing once."""
    ask, one = client.ask, f"/lists/{client.list}"
    ask("GET", "/ping")
    ask("GET", "")
    ask("GET", "/lists", include_total_contacts="true")
    ask("GET", one)
    for status in ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"):
        members = ask("GET", one + "/members", status=status, count=500, sort_field="last_changed", sort_dir="ASC",
                      since_last_changed="2020-01-01T00:00:00+00:00")["members"]
    ask("GET", one + "/members", fields="members.id,members.merge_fields,total_items", count=5)
    ask("GET", one + "/members/" + members[0]["id"])
    ask("GET", one + "/members/" + members[0]["id"] + "/tags")
    ask("GET", one + "/members/" + members[0]["id"] + "/events")
    fields = ask("GET", one + "/merge-fields", count=100)["merge_fields"]
    ask("GET", f"{one}/merge-fields/{fields[2]['merge_id']}")
    for category in ask("GET", one + "/interest-categories")["categories"]:
        ask("GET", f"{one}/interest-categories/{category['id']}")
        ask("GET", f"{one}/interest-categories/{category['id']}/interests")
    for segment in ask("GET", one + "/segments", count=100)["segments"]:
        ask("GET", f"{one}/segments/{segment['id']}", include_cleaned="true")
        ask("GET", f"{one}/segments/{segment['id']}/members", count=200)
    ask("GET", one + "/tag-search", name="V")
    ask("GET", one + "/webhooks")
    for campaign in ask("GET", "/campaigns", count=100, sort_field="create_time")["campaigns"]:
        ask("GET", f"/campaigns/{campaign['id']}")
    for report in ask("GET", "/reports", since_send_time="2020-01-01T00:00:00+00:00", count=100)["reports"]:
        path = f"/reports/{report['id']}"
        for detail in ("", "/email-activity", "/unsubscribed", "/open-details", "/sent-to"):
            ask("GET", path + detail)
        ask("GET", path + "/email-activity", count=1000, since="2020-01-01T00:00:00+00:00")
        for url in ask("GET", path + "/click-details")["urls_clicked"][:1]:
            ask("GET", f"{path}/click-details/{url['id']}/members")
    ask("GET", "/automations")
    ask("GET", "/templates")
    batch = ask("POST", "/batches", {"operations": [{"method": "GET", "path": "/ping"}]})
    ask("GET", "/batches")
    ask("GET", f"/batches/{batch['id']}")


def test_every_read_of_the_scope_is_as_the_vendor_declares(client):
    read_all(client)
    assert client.checked.violations() == []
    read = {name.removeprefix("GET /3.0") for name in client.checked.operations if name.startswith("GET ")}
    assert read == READS


def test_every_write_of_the_scope_is_as_the_vendor_declares(client):
    ask, one, email = client.ask, f"/lists/{client.list}", "contract@post.example"
    address = {"addr1": "a", "city": "b", "state": "c", "zip": "d"}
    ask("PUT", client.member(email), {"email_address": email, "status_if_new": "subscribed", "language": "de", "vip": True,
                                      "merge_fields": {"FNAME": "Ünal", "LTV": 1.5, "ADDRESS": address, "SINCE": "2026-01-31"},
                                      "location": {"latitude": 1.5, "longitude": 2}})
    ask("PUT", client.member(email), {"merge_fields": {"LTV": ""}}, skip_merge_validation="true")
    ask("PATCH", client.member(email), {"status": "unsubscribed"})
    ask("POST", one + "/members", {"email_address": "c2@post.example", "status": "pending", "tags": ["t"]})
    rows = [{"email_address": f"c{number}@post.example", "status": "subscribed", "tags": ["batch"],
             "merge_fields": {"LTV": "x" if number == 7 else number}} for number in range(3, 20)]
    answer = ask("POST", one, {"members": rows, "update_existing": True, "sync_tags": True}, skip_duplicate_check="true")
    assert (answer["total_created"], answer["error_count"]) == (16, 1)
    ask("POST", client.member(email) + "/tags", {"tags": [{"name": "x", "status": "active"}]}, code=204)
    ask("POST", client.member(email) + "/events", {"name": "seen", "properties": {"a": "b"}}, code=204)
    segment = ask("POST", one + "/segments", {"name": "S", "static_segment": [email]})
    ask("POST", f"{one}/segments/{segment['id']}", {"members_to_add": ["c3@post.example", "no@post.example"],
                                                    "members_to_remove": [email]})
    ask("POST", f"{one}/segments/{segment['id']}/members", {"email_address": email})
    ask("DELETE", f"{one}/segments/{segment['id']}/members/{md5(email)}", code=204)
    ask("PATCH", f"{one}/segments/{segment['id']}", {"name": "S2"})
    ask("DELETE", f"{one}/segments/{segment['id']}", code=204)
    field = ask("POST", one + "/merge-fields", {"name": "Made", "type": "dropdown", "tag": "MADE", "options": {"choices": ["a"]}})
    ask("PATCH", f"{one}/merge-fields/{field['merge_id']}", {"name": "Made it"})
    ask("DELETE", f"{one}/merge-fields/{field['merge_id']}", code=204)
    category = ask("POST", one + "/interest-categories", {"title": "C", "type": "checkboxes"})
    ask("POST", f"{one}/interest-categories/{category['id']}/interests", {"name": "I"})
    hook = ask("POST", one + "/webhooks", {"url": "https://dray.example/h", "events": {"profile": True}, "sources": {"api": False}})
    ask("DELETE", f"{one}/webhooks/{hook['id']}", code=204)
    ask("DELETE", client.member("c3@post.example"), code=204)
    ask("POST", client.member("c4@post.example") + "/actions/delete-permanent", code=204)
    batch = ask("POST", "/batches", {"operations": [
        {"method": "PUT", "path": client.member(email), "operation_id": "1", "body": json.dumps({"email_address": email})}]})
    ask("DELETE", f"/batches/{batch['id']}", code=204)
    read_all(client)
    assert client.checked.violations() == []
    assert len([name for name in client.checked.operations if not name.startswith("GET ")]) == 23


def test_refusals_are_problem_documents(client):
    email = client.ask("GET", f"/lists/{client.list}/members", status="cleaned", count=1)["members"][0]["email_address"]
    client.ask("GET", "/lists/0000000000", code=404)
    client.ask("PUT", client.member(email), {"email_address": "nonsense"}, code=400)
    client.ask("DELETE", client.member(email), code=405)
    client.ask("PUT", client.member(email), {"merge_fields": {"LTV": "x"}}, code=400)
    assert client.checked.violations() == []
    # The one exception that recordings show: no `type`, which the document requires.
    client.checked.ignore = lambda violation: False
    client.ask("PUT", client.member(email), {"email_address": email, "status": "subscribed"}, code=400)
    found = client.checked.violations()
    assert found and all("type" in one["message"] and mailchimp_spec.known(one) for one in found)


# ---- the validators have teeth ----

@pytest.mark.parametrize("method, path, body, query, code", [
    ("PUT", "{member}", {"email_address": 5}, {}, "type"), ("PUT", "{member}", {"status": "archived"}, {}, "enum"),
    ("POST", "{list}", {"members": [{"email_address": "a@post.example", "status": "gone"}]}, {}, "enum"),
    ("POST", "{list}/merge-fields", {"name": "x", "type": "money"}, {}, "enum"), ("POST", "/batches", {}, {}, "required"),
    ("POST", "{member}/tags", {"tags": [{"name": "x"}]}, {}, "required"),
    ("GET", "{list}/members", None, {"count": 1001}, "maximum"), ("GET", "{list}/members", None, {"status": "gone"}, "enum"),
    ("GET", "{list}/members", None, {"limit": 5}, "lint"), ("PUT", "{member}", {"surname": "x"}, {}, "lint"),
    ("POST", "{list}", {"members": [], "upsert": True}, {}, "lint"), ("GET", "{list}/subscribers", None, {}, "lint")])
def test_a_known_bad_request_is_found_and_refused(client, method, path, body, query, code):
    path = path.format(list=f"/lists/{client.list}", member=client.member("bad@post.example"))
    client.ask(method, path, body, 404 if path.endswith("/subscribers") else 400, **query)
    found = client.checked.violations()
    assert any(one["code"] == code and one["refused"] for one in found), found


@pytest.mark.parametrize("path, answer, code", [
    ("/3.0/lists/a/members", {"members": [{"id": 5}], "total_items": 1}, "type"),
    ("/3.0/lists/a/members", {"members": [], "total_items": "1"}, "type"), ("/3.0/lists", {"lists": [], "constraints": {}}, "required"),
    ("/3.0/lists/a/members/b", {"status": "gone"}, "enum")])
def test_a_known_bad_answer_is_found(validator, path, answer, code):
    said = validator.judge("GET", path, {"authorization": "Bearer k"}, b"", Answer(200, answer))
    assert said and all(one["location"][0] == "response" for one in said)  # the request with its bearer token was right
    assert code in [one["code"] for one in said]


# ---- the vendor's own client ----

SCRIPT_OF_CLIENT = """
const client = require("@mailchimp/mailchimp_marketing");
const {url, key, list, email, hash} = JSON.parse(require("fs").readFileSync(0, "utf8"));
client.setConfig({apiKey: key, server: "us21"});
client.basePath = url + "/3.0";
const lists = client.lists, out = {};
(async () => {
  out.ping = await client.ping.get();
  out.lists = (await lists.getAllLists({fields: ["lists.id", "total_items"]})).lists.map(one => one.id);
  out.set = await lists.setListMember(list, hash, {email_address: email, status_if_new: "subscribed", merge_fields: {FNAME: "Zoë"}});
  out.batch = await lists.batchListMembers(list, {update_existing: true, members: [0, 1, 2].map(number => ({
    email_address: `node${number}@post.example`, status: "subscribed", merge_fields: {LTV: number === 1 ? "x" : number}}))});
  await lists.updateListMemberTags(list, hash, {tags: [{name: "From node", status: "active"}]});
  await lists.createListMemberEvent(list, hash, {name: "seen", properties: {a: "b"}});
  out.field = await lists.addListMergeField(list, {name: "Node", type: "number", tag: "NODE"});
  const segment = await lists.createSegment(list, {name: "Node segment", static_segment: [email]});
  await lists.batchSegmentMembers({members_to_add: ["node0@post.example"]}, list, segment.id);
  out.segment = (await lists.getSegmentMembersList(list, segment.id)).members.map(one => one.email_address);
  await lists.updateListMember(list, hash, {vip: true});
  await lists.deleteListMember(list, require("crypto").createHash("md5").update("node2@post.example").digest("hex"));
  out.members = [];
  for (let offset = 0; ; offset += 100) {
    const page = await lists.getListMembersInfo(list, {count: 100, offset, sortField: "last_changed", sortDir: "ASC"});
    out.members.push(...page.members.map(one => [one.id, one.status, one.merge_fields, one.last_changed]));
    if (offset + 100 >= page.total_items) break;
  }
  const batch = await client.batches.start({operations: [{method: "GET", path: "/ping", operation_id: "p"}]});
  out.batchStatus = (await client.batches.status(batch.id)).status;
  const reports = (await client.reports.getAllCampaignReports({count: 100})).reports;
  out.activity = (await client.reports.getEmailActivityForCampaign(reports[0].id, {count: 1000})).emails.length;
  out.sent = reports[0].emails_sent;
  try { await lists.setListMember(list, hash, {email_address: "nonsense", status_if_new: "subscribed"}); }
  catch (refusal) { out.refused = [refusal.status, refusal.response.body.title]; }
  process.stdout.write(JSON.stringify(out));
})().catch(problem => { process.stderr.write(String(problem.stack || problem) + JSON.stringify(problem.response && problem.response.body));
                        process.exit(1); });
"""


def test_the_official_client_reads_and_writes_what_the_simulator_holds(client):
    email = "official.client@post.example"
    order = {"url": client.url, "key": client.key, "list": client.list, "email": email, "hash": md5(email)}
    done = subprocess.run(["node", "-e", SCRIPT_OF_CLIENT], input=json.dumps(order).encode(), capture_output=True, timeout=120,
                          env={**os.environ, "NODE_PATH": str(openapi.node_modules())})
    assert done.returncode == 0, done.stderr.decode()
    out, state = json.loads(done.stdout), client.sim.state()["lists"]
    held = state[client.list]["members"]
    assert out["lists"] == list(state) and out["refused"] == [400, "Invalid Resource"]
    one = held[md5(email)]
    assert (one["merge_fields"], one["tags"], one["vip"], one["events"]) == (
        {"FNAME": "Zoë"}, ["From node", "Node segment"], True, ["seen"])
    assert (out["batch"]["total_created"], out["batch"]["errors"][0]["email_address"]) == (2, "node1@post.example")
    assert held[md5("node2@post.example")]["status"] == "archived" and md5("node1@post.example") not in held
    assert out["segment"] == [email, "node0@post.example"]
    assert "NODE" in [field["tag"] for field in state[client.list]["merge_fields"]] and out["field"]["type"] == "number"
    told = {key: (status, {tag: value for tag, value in merge.items() if value != ""}, changed)
            for key, status, merge, changed in out["members"]}
    assert told == {key: (one["status"], one["merge_fields"], one["last_changed"]) for key, one in held.items()
                    if one["status"] != "archived"}
    assert out["activity"] == out["sent"] and out["batchStatus"] in ("finalizing", "finished")
    assert client.checked.violations() == []
