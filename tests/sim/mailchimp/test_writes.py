# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The Mailchimp simulator judged over real sockets: every write, consent, merge fields, batches, the ledger."""

import gzip
import http.client
import io
import json
import subprocess
import tarfile
import urllib.parse

import pytest
from test_server import ADDRESS, NOW, SCRIPT, Api, Running, api, loose, md5, next_email  # noqa: F401

EMAIL = "new.person@post.example"


# ---- PUT ----

def test_put_makes_a_member_and_then_changes_it(api):
    made = api.put(EMAIL, merge_fields={"FNAME": "Zoë", "LTV": 12.5}, language="de", vip=True)
    assert (made["id"], made["status"], made["merge_fields"]["FNAME"], made["merge_fields"]["LTV"]) == (
        md5(EMAIL), "subscribed", "Zoë", 12.5)
    api.sim.advance(10)
    changed = api.put(EMAIL, merge_fields={"LTV": ""})
    assert (changed["merge_fields"]["LTV"], changed["merge_fields"]["FNAME"], changed["status"]) == ("", "Zoë", "subscribed")
    assert changed["last_changed"] > made["last_changed"] and changed["contact_id"] == made["contact_id"]
    assert api.held(EMAIL)["merge_fields"] == {"FNAME": "Zoë"}
    api.sim.advance(10)
    assert api.put(EMAIL, merge_fields={"FNAME": "Zoë"})["last_changed"] == changed["last_changed"]


def test_put_without_status_leaves_consent_alone(api):
    email = api.any("unsubscribed")["email_address"]
    assert api.put(email, merge_fields={"FNAME": "Q"})["status"] == "unsubscribed"
    assert api.held(email)["status"] == "unsubscribed"


def test_put_needs_an_email_only_for_new_members(api):
    known = api.any()["email_address"]
    api.ask("PUT", api.of(known), {"merge_fields": {"FNAME": "Only"}})
    refused = api.ask("PUT", api.of(EMAIL), {"merge_fields": {}}, code=400)
    assert "email_address, status_if_new" in refused["errors"][0]["message"]
    refused = api.ask("PUT", api.of(EMAIL), {"email_address": EMAIL}, code=400)
    assert "status_if_new" in refused["errors"][0]["message"]


def test_an_email_change_is_a_new_id_and_never_onto_another_member(api):
    one, other = api.any(number=0), api.any(number=1)
    refused = api.ask("PUT", api.of(one["email_address"]), {"email_address": other["email_address"]}, code=400)
    assert refused["title"] == "Member Exists"
    moved = api.ask("PUT", api.of(one["email_address"]), {"email_address": EMAIL})
    assert (moved["id"], moved["contact_id"], moved["unique_email_id"]) == (md5(EMAIL), one["contact_id"], one["unique_email_id"])
    api.ask("GET", api.of(one["email_address"]), code=404)


def test_a_wrong_hash_of_a_known_email_is_refused(api):
    email = api.any()["email_address"]
    refused = api.ask("PUT", f"/lists/{api.list}/members/{'f' * 32}", {"email_address": email, "status_if_new": "subscribed"},
                      code=400)
    assert refused["title"] == "Member Exists"
    made = api.ask("PUT", f"/lists/{api.list}/members/{'f' * 32}", {"email_address": EMAIL, "status_if_new": "subscribed"})
    assert made["id"] == md5(EMAIL)


@pytest.mark.parametrize("email, detail", [
    ("nonsense", "Please provide a valid email address."), ("a@b", "Please provide a valid email address."),
    ("fake@post.example", "looks fake or invalid"), ("x@y.invalid", "looks fake or invalid")])
def test_emails_that_are_none_or_fake(loose, email, detail):
    refused = loose.put(email, code=400)
    assert detail in refused["detail"] and refused["title"] == "Invalid Resource"
    assert detail in loose.batch({"email_address": email, "status": "subscribed"})["errors"][0]["error"]
    assert loose.held(email) is None


def test_compliance_forgotten_and_pending(api):
    email = api.any()["email_address"]
    api.sim.change({"op": "unsubscribe", "email": email})
    refused = api.put(email, status="subscribed", code=400)
    assert (refused["title"], "type" in refused) == ("Member In Compliance State", False)
    assert "compliance state" in api.batch({"email_address": email, "status": "subscribed"}, update_existing=True)["errors"][0]["error"]
    assert api.put(email, status="pending")["status"] == "pending"
    cleaned = api.any("cleaned")["email_address"]
    api.put(cleaned, status="subscribed", code=400)

    gone = api.any(number=5)["email_address"]
    api.ask("POST", api.of(gone) + "/actions/delete-permanent", code=204)
    api.ask("GET", api.of(gone), code=404)
    for status in ("subscribed", "pending"):
        assert api.put(gone, status=status, code=400)["title"] == "Forgotten Email Not Subscribed"
    assert "permanently deleted" in api.batch({"email_address": gone, "status": "subscribed"})["errors"][0]["error"]
    assert md5(gone) in api.sim.state()["lists"][api.list]["forgotten"]


def test_who_was_unsubscribed_by_the_api_may_come_back(api):
    email = api.any()["email_address"]
    api.put(email, status="unsubscribed")
    assert api.put(email, status="subscribed")["status"] == "subscribed"


def test_double_optin_makes_new_subscribers_pending(api):
    api.sim.change({"op": "double_optin", "on": True})
    assert api.put(EMAIL)["status"] == "pending"


def test_post_patch_and_their_statuses(api):
    made = api.ask("POST", f"/lists/{api.list}/members", {"email_address": EMAIL, "status": "transactional", "tags": ["a", "A"]})
    assert made["tags_count"] == 1
    again = api.ask("POST", f"/lists/{api.list}/members", {"email_address": EMAIL.upper(), "status": "subscribed"}, code=400)
    assert again["title"] == "Member Exists"
    api.ask("PATCH", api.of(EMAIL), {"status": "unsubscribed"})
    assert api.held(EMAIL)["status"] == "unsubscribed"
    api.ask("PATCH", api.of("nobody.here@post.example"), {"vip": True}, code=404)
    api.ask("PATCH", api.of(EMAIL), {"status": "archived"}, code=400)


def test_archive_and_its_405(api):
    email = api.any()["email_address"]
    api.ask("DELETE", api.of(email), code=204)
    assert api.held(email)["status"] == "archived"
    assert api.ask("DELETE", api.of(email), code=405)["detail"].startswith("This list member cannot be removed")
    for status in ("pending", "cleaned"):
        api.ask("DELETE", api.of(api.any(status)["email_address"]), code=405)
    api.ask("DELETE", api.of(EMAIL), code=404)
    assert api.put(email, status="subscribed")["status"] == "subscribed"


@pytest.mark.parametrize("body, field, message", [
    ({"email_address": 5}, "email_address", "Schema describes string, integer found instead"),
    ({"email_address": None}, "email_address", "Schema describes string, NULL found instead"),
    ({"status": "gone"}, "status", "Value must be one of"), ({"status_if_new": "archived"}, "status_if_new", "Value must be one of"),
    ({"vip": "yes"}, "vip", "Schema describes boolean, string found instead"),
    ({"merge_fields": {"FNAME": None}}, "merge_fields.FNAME", "Data did not match any of the schemas"),
    ({"merge_fields": {"FNAME": True}}, "merge_fields.FNAME", "Data did not match any of the schemas"),
    ({"interests": {"nope": True}}, "interests.nope", "Invalid interest ID"), ({"tags": ["a"]}, "tags", "not part of"),
    ({"surname": "x"}, "surname", "not part of"), ({"timestamp_opt": "soon"}, "timestamp_opt", "not a valid datetime")])
def test_a_wrong_body_is_refused_whole(loose, body, field, message):
    email_now = next_email()
    refused = loose.put(email_now, code=400, **body) if "email_address" not in body else loose.ask(
        "PUT", loose.of(email_now), {"status_if_new": "subscribed", **body}, code=400)
    assert refused["title"] == "Invalid Resource" and refused["errors"][0]["field"] == field
    assert message in refused["errors"][0]["message"] and loose.held(email_now) is None


def test_broken_json(api):
    assert api.ask("PUT", api.of(EMAIL), '{"email_address": ', code=400)["title"] == "JSON Parse Error"


def test_interests_permissions_location_and_times(api):
    category = api.get(f"/lists/{api.list}/interest-categories")["categories"][0]["id"]
    path = f"/lists/{api.list}/interest-categories/{category}/interests"
    made = api.ask("POST", path, {"name": "Brand new"})
    other = api.get(path, count=100)["interests"][0]
    row = api.put(EMAIL, interests={made["id"]: True, other["id"]: True}, location={"latitude": 1.5, "longitude": -2},
                  timestamp_signup="2020-02-03T04:05:06+02:00")
    assert row["interests"][made["id"]] is row["interests"][other["id"]] is True
    assert (row["location"]["latitude"], row["location"]["longitude"]) == (1.5, -2)
    assert row["timestamp_signup"] == "2020-02-03T02:05:06+00:00"
    assert int(api.get(f"{path}/{made['id']}")["subscriber_count"]) == 1
    assert api.put(EMAIL, interests={other["id"]: False})["interests"] == {**row["interests"], other["id"]: False}
    permission = row["marketing_permissions"][0]["marketing_permission_id"]
    granted = api.put(EMAIL, marketing_permissions=[{"marketing_permission_id": permission, "enabled": True}])
    assert [one["enabled"] for one in granted["marketing_permissions"]] == [True, False]
    api.ask("POST", path, {"name": "Brand new"}, code=400)


# ---- merge fields ----

@pytest.mark.parametrize("tag, value, kept", [
    ("FNAME", "日本語 ☃", "日本語 ☃"), ("FNAME", 5, "5"), ("FNAME", "x" * 255, "x" * 255), ("LTV", "12", 12), ("LTV", 1e3, 1000),
    ("LTV", -0.5, -0.5), ("SINCE", "2024-02-29", "2024-02-29"), ("SINCE", "29/02/2024", "2024-02-29"), ("BIRTHDAY", "2/9", "02/09"),
    ("ADDRESS", ADDRESS, ADDRESS), ("PLAN", "team", "team"), ("SIZE", "M", "M"), ("ZIP", "10001-0001", "10001-0001"),
    ("SITE", "https://a.example/x", "https://a.example/x"), ("PHONE", "+49 221 1", "+49 221 1")])
def test_merge_values_that_are_taken(loose, tag, value, kept):
    email_now = next_email()
    assert loose.put(email_now, merge_fields={tag: value})["merge_fields"][tag] == kept
    assert loose.put(email_now, merge_fields={tag: ""})["merge_fields"][tag] == ""


@pytest.mark.parametrize("tag, value, message", [
    ("FNAME", "é" * 128, "255 bytes"), ("LTV", "much", "Please enter a number"), ("LTV", {"a": "b"}, "Please enter a number"),
    ("SINCE", "2023-02-29", "Please enter the date"), ("SINCE", "02/29/2024", "Please enter the date"),
    ("BIRTHDAY", "2000-01-01", "month"), ("BIRTHDAY", "02/30", "month"), ("ADDRESS", "Main St 1", "complete address"),
    ("ADDRESS", {"addr1": "Main St 1"}, "complete address"), ("ADDRESS", {**ADDRESS, "zip": ""}, "complete address"),
    ("PLAN", "gold", "available options"), ("ZIP", "SW1A 1AA", "zip code"), ("SITE", "a.example", "complete URL"),
    ("AVATAR", "no", "complete URL"), ("PHONE", "call me", "phone")])
def test_merge_values_that_are_refused(loose, tag, value, message):
    email_now = next_email()
    refused = loose.put(email_now, code=400, merge_fields={tag: value})
    assert (refused["detail"], refused["errors"][0]["field"]) == ("Your merge fields were invalid.", tag)
    assert message in refused["errors"][0]["message"] and loose.held(email_now) is None
    row = loose.batch({"email_address": email_now, "status": "subscribed", "merge_fields": {tag: value}})
    assert (row["total_created"], row["error_count"], row["errors"][0]["error_code"], row["errors"][0]["field"]) == (
        0, 1, "ERROR_GENERIC", tag)
    assert message in row["errors"][0]["field_message"]


def test_required_fields_and_skip_merge_validation(api):
    field = api.ask("POST", f"/lists/{api.list}/merge-fields", {"name": "Must", "type": "text", "tag": "MUST", "required": True})
    refused = api.put(EMAIL, code=400)
    assert refused["errors"] == [{"field": "MUST", "message": "Please enter a value"}]
    api.put(EMAIL, query={"skip_merge_validation": "true"})
    api.put(EMAIL, code=400, merge_fields={"FNAME": "still missing"})
    api.put(EMAIL, merge_fields={"MUST": "there"})
    assert "LTV" in str(api.put(EMAIL, code=400, merge_fields={"LTV": "x"}, query={"skip_merge_validation": "true"}))
    api.ask("PATCH", f"/lists/{api.list}/merge-fields/{field['merge_id']}", {"name": "Must", "required": False})
    api.put("other@post.example")


def test_a_merge_field_is_made_changed_and_dropped(api):
    path = f"/lists/{api.list}/merge-fields"
    made = api.ask("POST", path, {"name": "Score 2026", "type": "number"})
    assert made["tag"] == "SCORE2026" and made["type"] == "number"
    api.put(EMAIL, merge_fields={"SCORE2026": 7})
    api.ask("PATCH", f"{path}/{made['merge_id']}", {"name": "Score", "tag": "SCORE"})
    assert api.put(EMAIL)["merge_fields"]["SCORE"] == 7
    api.ask("DELETE", f"{path}/{made['merge_id']}", code=204)
    assert "SCORE" not in api.put(EMAIL, merge_fields={"SCORE": 8})["merge_fields"]  # unknown tags are ignored
    for wrong, message in (({"name": "x", "type": "text", "tag": "ELEVENCHARS"}, "Merge tags are"),
                           ({"name": "x", "type": "text", "tag": "FNAME"}, "already exists"),
                           ({"name": "x", "type": "text", "tag": "EMAIL"}, "reserved"), ({"name": "x", "type": "money"}, "one of"),
                           ({"name": "x", "type": "radio"}, "choice"), ({"type": "text"}, "name")):
        refused = api.ask("POST", path, wrong, code=400)
        assert message in refused["detail"] + json.dumps(refused.get("errors", ""))


@pytest.mark.parametrize("tag, kind, options, good, kept, bad", [
    ("US_PHONE", "phone", {"phone_format": "US"}, "555-867-5309", "555-867-5309", "+49 221 1"),
    ("DAY_FIRST", "birthday", {"date_format": "DD/MM"}, "31/1", "31/01", "1/31"),
    ("US_DATE", "date", {"date_format": "MM/DD/YYYY"}, "01/31/2026", "2026-01-31", "31/01/2026"),
    ("YES_NO", "radio", {"choices": ["ja", "nein"]}, "ja", "ja", "Ja")])
def test_formats_of_fields_follow_their_options(loose, tag, kind, options, good, kept, bad):
    loose.ask("POST", f"/lists/{loose.list}/merge-fields", {"name": tag, "tag": tag, "type": kind, "options": options})
    email = next_email()
    assert loose.put(email, merge_fields={tag: good})["merge_fields"][tag] == kept
    assert loose.put(email, code=400, merge_fields={tag: bad})["errors"][0]["field"] == tag


def test_a_field_dropped_and_made_again_with_another_type_by_others(api):
    email = api.any()["email_address"]
    api.put(email, merge_fields={"LTV": 5})
    api.sim.change({"op": "field_type", "tag": "LTV", "type": "date"})
    assert api.put(email)["merge_fields"]["LTV"] == ""
    assert api.put(email, code=400, merge_fields={"LTV": 5})["errors"][0]["field"] == "LTV"
    api.sim.change({"op": "field_drop", "tag": "LTV"})
    assert "LTV" not in api.put(email, merge_fields={"LTV": 5})["merge_fields"]


# ---- the batch of 500 ----

def test_a_batch_is_refused_row_by_row(api):
    known = api.any()["email_address"]
    answer = api.batch({"email_address": EMAIL, "status": "subscribed", "merge_fields": {"FNAME": "A"}},
                       {"email_address": "second@post.example", "status": "subscribed", "merge_fields": {"LTV": "x"}},
                       {"email_address": known.upper(), "status": "subscribed"}, {"email_address": "third@post.example"})
    assert (answer["total_created"], answer["total_updated"], answer["error_count"]) == (1, 0, 3)
    assert [row["error_code"] for row in answer["errors"]] == ["ERROR_GENERIC", "ERROR_CONTACT_EXISTS", "ERROR_GENERIC"]
    assert answer["errors"][1]["email_address"] == known.upper() and answer["new_members"][0]["id"] == md5(EMAIL)
    assert api.held(EMAIL) and not api.held("second@post.example")
    rows = api.sim.ledger()[-1]["rows"]
    assert [row["became"] for row in rows] == ["created", "refused", "refused", "refused"]


def test_update_existing_and_what_became_of_rows(api):
    one, other = api.any(number=0), api.any(number=1)
    first = {"email_address": one["email_address"], "merge_fields": {"FNAME": "Changed"}}
    answer = api.batch(first, {"email_address": other["email_address"]}, update_existing=True)
    assert (answer["total_updated"], answer["error_count"]) == (2, 0)
    assert [row["became"] for row in api.sim.ledger()[-1]["rows"]] == ["changed", "unchanged"]
    assert api.held(one["email_address"])["merge_fields"]["FNAME"] == "Changed"


def test_duplicates_in_a_batch(api):
    rows = [{"email_address": EMAIL, "status": "subscribed", "merge_fields": {"FNAME": name}} for name in ("first", "second")]
    rows[1]["email_address"] = EMAIL.upper()
    answer = api.batch(*rows)
    assert (answer["total_created"], answer["error_count"]) == (1, 1) and "more than once" in answer["errors"][0]["error"]
    rows = [{**row, "email_address": "x" + row["email_address"]} for row in rows]
    answer = api.batch(*rows, query={"skip_duplicate_check": "true"})
    assert (answer["total_created"], answer["error_count"]) == (1, 0)
    assert api.held("x" + EMAIL)["merge_fields"]["FNAME"] == "first"


def test_sync_tags_replaces_and_tags_alone_add(api):
    row = {"email_address": EMAIL, "status": "subscribed", "tags": ["One", "Two"]}
    api.batch(row)
    api.batch({**row, "tags": ["three"]}, update_existing=True)
    assert api.held(EMAIL)["tags"] == ["One", "Two", "three"]
    api.batch({**row, "tags": ["TWO", "four"]}, update_existing=True, sync_tags=True)
    assert api.held(EMAIL)["tags"] == ["Two", "four"]


def test_a_batch_of_500_and_not_501(api):
    rows = [{"email_address": f"b{number}@post.example", "status": "subscribed"} for number in range(501)]
    refused = api.batch(*rows, code=400)
    assert refused["errors"][0]["field"] == "members" and api.held("b0@post.example") is None
    assert api.batch(*rows[:500])["total_created"] == 500
    assert api.batch(*rows[:500], update_existing=True)["total_updated"] == 500


def test_a_batch_that_does_not_fit_the_schema_is_refused_whole(api):
    good = {"email_address": EMAIL, "status": "subscribed"}
    for bad, field in (({"status": "archived"}, "members.item:1.status"), ({"merge_fields": {"FNAME": None}}, "members.item:1."
                                                                           "merge_fields.FNAME"), ({"nme": 1}, "members.item:1.nme")):
        refused = api.batch(good, {"email_address": "o@post.example", "status": "subscribed", **bad}, code=400)
        assert refused["errors"][0]["field"] == field
    assert api.held(EMAIL) is None


def test_a_fault_refuses_members_by_pattern(api):
    api.sim.fault({"kind": "refuse_member", "email": "b7*", "message": "no more signups for now"})
    answer = api.batch(*({"email_address": f"b{number}@post.example", "status": "subscribed"} for number in range(10)))
    assert [row["email_address"] for row in answer["errors"]] == ["b7@post.example"] and answer["total_created"] == 9


def test_a_lost_answer_was_done_and_done_again_changes_nothing(api):
    rows = [{"email_address": f"b{number}@post.example", "status": "subscribed"} for number in range(3)]
    api.sim.fault({"kind": "reset", "applied": True})
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        api.batch(*rows)
    assert api.held("b2@post.example")
    assert api.batch(*rows, update_existing=True)["total_updated"] == 3
    assert [row["became"] for row in api.sim.ledger()[-1]["rows"]] == ["unchanged"] * 3


# ---- tags, segments, events ----

def test_tags_answer_204_and_404(api):
    email = api.any()["email_address"]
    tag = {"tags": [{"name": "Fresh", "status": "active"}, {"name": "never was", "status": "inactive"}]}
    api.ask("POST", api.of(email) + "/tags", tag, code=204)
    assert "Fresh" in api.held(email)["tags"]
    assert "Fresh" in [one["name"] for one in api.get(api.of(email) + "/tags", count=100)["tags"]]
    api.ask("POST", api.of(email) + "/tags", {"tags": [{"name": "fRESH", "status": "inactive"}]}, code=204)
    assert "Fresh" not in api.held(email)["tags"]
    assert [one["name"] for one in api.get(f"/lists/{api.list}/tag-search", name="fres")["tags"]] == ["Fresh"]
    api.ask("POST", api.of(EMAIL) + "/tags", tag, code=404)
    api.ask("POST", api.of(email) + "/tags", {"tags": [{"name": "x", "status": "on"}]}, code=400)


def test_static_segments_take_500_and_tell_unknown_emails(api):
    emails = [one["email_address"] for one in api.members(status="subscribed", count=200)["members"]]
    segment = api.ask("POST", f"/lists/{api.list}/segments", {"name": "Buyers", "static_segment": emails[:2]})
    path = f"/lists/{api.list}/segments/{segment['id']}"
    answer = api.ask("POST", path, {"members_to_add": emails[2:10] + ["stranger@post.example"], "members_to_remove": emails[:1]})
    assert (answer["total_added"], answer["total_removed"], answer["error_count"]) == (8, 1, 1)
    assert answer["errors"][0]["email_addresses"] == ["stranger@post.example"]
    assert {one["email_address"] for one in api.get(path + "/members", count=100)["members"]} == set(emails[1:10])
    api.ask("POST", path, {"members_to_add": ["a@post.example"] * 501}, code=400)
    saved = next(one for one in api.get(f"/lists/{api.list}/segments", count=100)["segments"] if one["type"] == "saved")
    api.ask("POST", f"/lists/{api.list}/segments/{saved['id']}", {"members_to_add": emails[:1]}, code=400)
    api.ask("POST", f"/lists/{api.list}/segments", {"name": "buyers", "static_segment": []}, code=400)
    api.ask("DELETE", path, code=204)
    assert "Buyers" not in api.held(emails[5])["tags"]


def test_events(api):
    email = api.any()["email_address"]
    api.ask("POST", api.of(email) + "/events", {"name": "purchased", "properties": {"amount": "12.50"}}, code=204)
    assert api.get(api.of(email) + "/events")["events"][0]["properties"] == {"amount": "12.50"}
    refused = api.ask("POST", api.of(email) + "/events", {"name": "purchased", "properties": {"amount": 12.5}}, code=400)
    assert refused["errors"][0]["field"] == "properties.amount"


def test_an_audience_is_made_and_used(api):
    body = {"name": "Second", "permission_reminder": "r", "email_type_option": False,
            "contact": {"company": "c", "address1": "a", "city": "b", "country": "DE"},
            "campaign_defaults": {"from_name": "n", "from_email": "n@post.example", "subject": "s", "language": "de"}}
    made = api.ask("POST", "/lists", body)
    api.ask("PUT", f"/lists/{made['id']}/members/{md5(EMAIL)}", {"email_address": EMAIL, "status_if_new": "subscribed"})
    assert api.get(f"/lists/{made['id']}")["stats"]["member_count"] == 1
    api.ask("POST", "/lists", {"name": "x"}, code=400)


# ---- batch operations ----

def fetch(url, headers=None):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=600)
    connection.request("GET", f"{parts.path}?{parts.query}", headers=headers or {})
    answer = connection.getresponse()
    status, raw = answer.status, answer.read()
    connection.close()
    return status, raw


def unpacked(raw):
    """{name: bytes} of a result archive."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(raw))) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar.getmembers() if entry.isfile()}


def results(raw):
    return [row for content in unpacked(raw).values() if content for row in json.loads(content)]


def put_operation(api, email, **more):
    return {"method": "PUT", "path": api.of(email), "operation_id": email,
            "body": json.dumps({"email_address": email, "status_if_new": "subscribed", **more})}


def test_operations_are_executed_for_real_and_their_answers_fetched(api):
    batch = api.ask("POST", "/batches", {"operations": [
        put_operation(api, EMAIL, merge_fields={"FNAME": "Batch"}), put_operation(api, "fake@post.example"),
        {"method": "GET", "path": f"/lists/{api.list}/members", "params": {"count": "150", "fields": "members.id,total_items"},
         "operation_id": "all"}, {"method": "POST", "path": "/batches", "body": "{}"}]})
    batch = api.get(f"/batches/{batch['id']}")
    # The GET walks through its pages, each counted like an operation.
    assert (batch["status"], batch["total_operations"], batch["finished_operations"], batch["errored_operations"]) == (
        "finished", 6, 6, 2)
    assert api.held(EMAIL)["merge_fields"]["FNAME"] == "Batch"
    status, raw = fetch(batch["response_body_url"])
    files, rows = unpacked(raw), results(raw)
    assert status == 200 and b"" in files.values() and len(rows) == 6
    assert [row["status_code"] for row in rows] == [200, 400, 200, 200, 200, 400]
    assert json.loads(rows[0]["response"])["email_address"] == EMAIL
    ids = [one["id"] for row in rows if row["operation_id"] == "all" for one in json.loads(row["response"])["members"]]
    assert len(ids) == len(set(ids)) == api.members(count=0)["total_items"]
    assert [line["outcome"] for line in api.sim.ledger()].count(f"batch {batch['id']}") == 6


def test_the_states_come_slowly_and_a_batch_can_be_ended(tmp_path):
    with Running(SCRIPT, "--now", NOW, "--members", 50, "--batch-step-ms", 60_000) as sim:
        api, seen = Api(sim), []
        operations = [put_operation(api, f"b{number}@post.example") for number in range(10)]
        batch = api.ask("POST", "/batches", {"operations": operations})
        other = api.ask("POST", "/batches", {"operations": operations[:1]})
        assert batch["total_operations"] == 0 and batch["response_body_url"] == "" and batch["completed_at"] == ""
        for _ in range(5):
            now = api.get(f"/batches/{batch['id']}")
            seen.append((now["status"], now["finished_operations"]))
            if now["status"] == "preprocessing":
                api.ask("DELETE", f"/batches/{other['id']}", code=204)
            sim.advance(30 if now["status"] == "preprocessing" else 60)
            if now["status"] == "preprocessing":
                sim.advance(60)
        assert [state for state, _ in seen] == ["pending", "preprocessing", "started", "finalizing", "finished"]
        assert 0 < seen[2][1] < 10 and seen[4][1] == 10
        api.get(f"/batches/{other['id']}", code=404)
        assert [one["id"] for one in api.get("/batches")["batches"]] == [batch["id"]]


def test_links_expire_and_results_are_kept_seven_days(api):
    key = api.ask("POST", "/batches", {"operations": [put_operation(api, EMAIL)]})["id"]
    link = api.get(f"/batches/{key}")["response_body_url"]
    assert fetch(link)[0] == 200
    assert fetch(link, {"Authorization": "Bearer " + api.sim.hello["api_key"]})[0] == 400
    assert fetch(link[:-1] + ("0" if link[-1] != "0" else "1"))[0] == 403
    api.sim.advance(601)
    status, raw = fetch(link)
    assert status == 403 and b"Request has expired" in raw
    assert fetch(api.get(f"/batches/{key}")["response_body_url"])[0] == 200
    api.sim.advance(7 * 86400)
    api.get(f"/batches/{key}", code=404)


def test_faults_of_batches(api):
    def made(*faults):
        api.sim.fault(*faults)
        return api.get("/batches/" + api.ask("POST", "/batches", {"operations": [
            put_operation(api, f"b{number}@post.example") for number in range(3)]})["id"])
    assert made({"kind": "batch_stuck", "at": "preprocessing"})["status"] == "preprocessing"
    assert results(fetch(made({"kind": "batch_empty"})["response_body_url"])[1]) == []
    assert made({"kind": "batch_errors", "operations": 2})["errored_operations"] == 2
    expired = made({"kind": "expired_link"})
    assert fetch(expired["response_body_url"])[0] == 403
    assert fetch(api.get("/batches/" + expired["id"])["response_body_url"])[0] == 200
    api.sim.fault({"kind": "batch_lost"})
    lost = api.ask("POST", "/batches", {"operations": [put_operation(api, EMAIL)]})
    api.get(f"/batches/{lost['id']}", code=404)


def test_the_download_host_cuts_and_resets_too(api):
    key = api.ask("POST", "/batches", {"operations": [put_operation(api, EMAIL)]})["id"]
    link = api.get(f"/batches/{key}")["response_body_url"]
    api.sim.fault({"kind": "cut", "path": "*-response.tar.gz"}, {"kind": "reset", "path": "*-response.tar.gz", "nth": 2})
    for problem in (http.client.IncompleteRead, (ConnectionError, http.client.HTTPException)):
        with pytest.raises(problem):
            fetch(link)
    assert fetch(link)[0] == 200
    assert api.sim.calls()["calls"]["GET /{name}"] == 3


def test_over_tls(tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    with Running(SCRIPT, "--members", 20, "--batch-step-ms", 0, "--tls", cert, key) as sim:
        api = Api(sim)
        made = api.ask("POST", "/batches", {"operations": [{"method": "GET", "path": "/ping"}]})
        assert api.get(f"/batches/{made['id']}")["response_body_url"].startswith(f"https://127.0.0.1:{sim.hello['download_port']}/")
        told = sim.request("GET", "/oauth2/metadata", headers={"Authorization": "OAuth " + sim.hello["oauth_token"]}).json()
        assert told["api_endpoint"] == sim.url and sim.url.startswith("https://")


def test_batches_have_limits(api):
    one = {"method": "GET", "path": "/ping"}
    api.ask("POST", "/batches", {"operations": [one] * 1001}, code=400)
    api.ask("POST", "/batches", {"operations": []}, code=400)
    api.ask("POST", "/batches", {"operations": [{"method": "GET"}]}, code=400)
    api.ask("POST", "/batches", {"operations": [{**one, "body": {"a": 1}}]}, code=400)


def test_five_hundred_open_batches(tmp_path):
    with Running(SCRIPT, "--members", 10, "--batch-step-ms", 1e9) as sim:
        api, connection = Api(sim), sim.connect()
        body = json.dumps({"operations": [{"method": "GET", "path": "/ping"}]})
        codes = [sim.request("POST", "/3.0/batches", body, api.auth, connection).status for _ in range(501)]
        assert codes == [200] * 500 + [429]


# ---- changes by others, the ledger, size ----

def test_changes_by_the_vendors_own_users(api):
    api.sim.change({"ops": [{"op": "add", "email": EMAIL, "member": {"merge_fields": {"FNAME": "Ute"}}},
                            {"op": "tag", "email": EMAIL, "tag": "VIP"}, {"op": "unsubscribe", "email": EMAIL}]})
    held = api.held(EMAIL)
    assert (held["status"], held["tags"], held["barred"]) == ("unsubscribed", ["VIP"], True)
    api.sim.change({"op": "email", "email": EMAIL, "to": "moved@post.example"})
    assert api.held(EMAIL) is None and api.held("moved@post.example")["tags"] == ["VIP"]
    api.sim.change({"op": "delete", "email": "moved@post.example"})
    api.ask("GET", api.of("moved@post.example"), code=404)
    assert api.sim.request("POST", "/_sim/change", {"op": "nonsense"}).status == 400


def test_every_change_by_others_does_what_it_says(api):
    api.put(EMAIL)
    for order, name, value in (({"op": "set", "member": {"vip": True}}, "vip", True), ({"op": "clean"}, "status", "cleaned"),
                               ({"op": "resubscribe"}, "status", "subscribed"), ({"op": "bar"}, "barred", True),
                               ({"op": "touch", "at": 1_700_000_000}, "last_changed", "2023-11-14T22:13:20+00:00"),
                               ({"op": "tag", "tag": "T"}, "tags", ["T"]), ({"op": "tag", "tag": "t", "active": False}, "tags", []),
                               ({"op": "archive"}, "status", "archived")):
        api.sim.change({**order, "email": EMAIL})
        assert api.held(EMAIL)[name] == value
    api.sim.change({"op": "field_add", "field": {"name": "By hand", "type": "text", "tag": "HAND"}})
    assert "HAND" in api.any()["merge_fields"]
    api.sim.change({"op": "role", "key": api.sim.hello["api_key"], "role": "viewer"})
    api.get("/lists")
    api.ask("DELETE", api.of(EMAIL), code=403)


def test_the_ledger_says_who_did_what_to_which_row(api):
    api.put(EMAIL, merge_fields={"FNAME": "L"})
    api.ask("DELETE", api.of(EMAIL), code=204)
    last = api.sim.ledger()[-2:]
    assert [(line["method"], line["status"], line["who"], line["rows"][0]["became"]) for line in last] == [
        ("PUT", 200, "owner", "created"), ("DELETE", 204, "owner", "archived")]
    assert last[0]["template"] == "/3.0/lists/{list_id}/members/{subscriber_hash}"
    assert api.sim.hello["api_key"] not in api.sim.ledger_path.read_text()
    counts = api.sim.calls()["calls"]
    assert counts["PUT /3.0/lists/{list_id}/members/{subscriber_hash}"] == 1 and not api.sim.calls()["defects"]


def test_a_hundred_thousand_members(tmp_path):
    with Running(SCRIPT, "--members", 100_000, ledger=tmp_path / "ledger") as sim:
        api = Api(sim)
        page = api.members(count=1000, offset=50_000, sort_field="last_changed")
        assert len(page["members"]) == 1000 and page["total_items"] > 95_000
        rows = [{"email_address": one["email_address"], "merge_fields": {"FNAME": "All"}} for one in page["members"][:500]]
        assert api.batch(*rows, update_existing=True)["total_updated"] == 500


def test_a_webhook_and_the_settings_of_an_audience(api):
    path = f"/lists/{api.list}/webhooks"
    made = api.ask("POST", path, {"url": "https://dray.example/h", "events": {"profile": True}, "sources": {"api": True}})
    assert api.get(f"{path}/{made['id']}") == made and api.get(path)["total_items"] == 1
    api.get(f"{path}/0000000000", code=404)
    now = api.get(f"/lists/{api.list}")
    whole = {name: now[name] for name in ("name", "contact", "permission_reminder", "campaign_defaults", "email_type_option")}
    assert api.ask("PATCH", f"/lists/{api.list}", {**whole, "name": "Other"}) == {**now, "name": "Other"}
    assert api.get(f"/lists/{api.list}")["name"] == "Other"
    api.ask("PATCH", f"/lists/{api.list}", {"name": "Other"}, code=400)  # it takes them all or none
