# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Exports and lists: what a reader of an account meets, traps included."""

import collections

import pytest

CURSOR = "incremental/{}/cursor?start_time={}"


def by_cursor(zendesk, name, start=1, more=""):
    """All records, as a client that follows the cursor sees them, and the last cursor."""
    reply = zendesk.get(CURSOR.format(name, start) + more).json()
    rows = list(reply[name])
    while not reply["end_of_stream"]:
        reply = zendesk.get(f"incremental/{name}/cursor?cursor={reply['after_cursor']}{more}").json()
        rows += reply[name]
    return rows, reply["after_cursor"]


def by_time(zendesk, name, start=1, more=""):
    reply = zendesk.get(f"incremental/{name}?start_time={start}{more}").json()
    rows = list(reply[name])
    while not reply["end_of_stream"]:
        reply = zendesk.follow(reply["next_page"]).json()
        rows += reply[name]
    return rows


def test_a_cursor_export_gives_every_record_once_and_then_what_changed(start):
    zendesk = start("--export-page", 7)
    for name in ("tickets", "users"):
        rows, cursor = by_cursor(zendesk, name)
        assert sorted(row["id"] for row in rows) == [row["id"] for row in zendesk.state(f"?tables={name}")[name]]
        changed = next(row["id"] for row in rows if row.get("active", True) and row.get("status") not in ("closed", "deleted"))
        zendesk.change({name: [{"id": changed, "tags": ["brand_new"]}]})
        zendesk.advance(61)
        again = zendesk.get(f"incremental/{name}/cursor?cursor={cursor}").json()
        assert [row["id"] for row in again[name]] == [changed] and again["end_of_stream"] is True
        assert again["after_cursor"] != cursor


def test_what_changed_in_the_last_minute_is_withheld(zendesk):
    _, cursor = by_cursor(zendesk, "users")
    made = zendesk.change({"users": [{"name": "New"}], "organizations": [{"name": "New"}]})
    assert zendesk.get(f"incremental/users/cursor?cursor={cursor}").json()["users"] == []
    assert made["organizations"][0] not in [row["id"] for row in by_time(zendesk, "organizations")]
    zendesk.advance(61)
    assert [row["id"] for row in zendesk.get(f"incremental/users/cursor?cursor={cursor}").json()["users"]] == made["users"]
    assert made["organizations"][0] in [row["id"] for row in by_time(zendesk, "organizations")]


@pytest.mark.parametrize("query,error", [("start_time=1795161600", "StartTimeTooRecent"), ("", "StartTimeMissing"),
                                         ("start_time=soon", "StartTimeInvalid"), ("cursor=garbage", "InvalidCursor"),
                                         ("start_time=1&per_page=1001", None), ("start_time=1&include=last_audits", "InvalidInclude")])
def test_exports_that_are_refused(kept, query, error):
    reply = kept.get("incremental/tickets/cursor?" + query)
    assert reply.status == 400 and (error is None or reply.json()["error"] == error)


def test_cursors_that_are_no_longer_taken(zendesk):
    _, cursor = by_cursor(zendesk, "users")
    zendesk.fault({"kind": "stale_cursor", "path": "*/cursor"})
    assert zendesk.get(f"incremental/users/cursor?cursor={cursor}").json()["error"] == "InvalidCursor"
    assert zendesk.get(f"incremental/users/cursor?cursor={cursor}").status == 200
    zendesk.change({"drop_cursors": True})
    assert zendesk.get(f"incremental/users/cursor?cursor={cursor}").status == 400
    rows, cursor = by_cursor(zendesk, "users")
    assert rows and zendesk.get(f"incremental/users/cursor?cursor={cursor}").status == 200


def test_an_empty_page_need_not_be_the_last(start):
    zendesk = start("--export-page", 20)
    zendesk.fault({"kind": "empty_page", "nth": 2, "count": 2})
    rows, _ = by_cursor(zendesk, "tickets")
    assert len(rows) == len({row["id"] for row in rows}) == 60
    zendesk.fault({"kind": "empty_page"})
    reply = zendesk.get("incremental/organizations?start_time=5").json()
    assert reply["organizations"] == [] and reply["end_of_stream"] is False and reply["end_time"] == 5


def test_by_time_a_boundary_comes_twice(start):
    zendesk = start("--organizations", 40)
    rows = by_time(zendesk, "organizations", more="&per_page=10")
    counts = collections.Counter(row["id"] for row in rows)
    assert len(counts) == 40 and max(counts.values()) > 1
    assert zendesk.get("incremental/organizations?start_time=1700000000").json()["count"] == 40


def test_by_time_more_than_a_page_of_one_second_never_ends(start):
    zendesk = start("--organizations", 40)
    ids = [row["id"] for row in zendesk.state("?tables=organizations")["organizations"]][:12]
    zendesk.change({"same_second": {"organizations": {"ids": ids, "ago_s": 300}}})
    first = zendesk.get("incremental/organizations?start_time=1795161000&per_page=10").json()
    second = zendesk.follow(first["next_page"]).json()
    assert first["end_of_stream"] is second["end_of_stream"] is False
    pinned = zendesk.follow(second["next_page"]).json()
    assert pinned["next_page"] == second["next_page"] and pinned["organizations"] == second["organizations"]
    beyond = zendesk.get(f"incremental/organizations?start_time={pinned['end_time'] + 1}&per_page=10").json()
    assert beyond["end_of_stream"] is True


def test_the_cursor_passes_a_second_with_more_than_a_page(start):
    zendesk = start("--export-page", 10)
    ids = [row["id"] for row in zendesk.state("?tables=tickets")["tickets"]][:25]
    zendesk.change({"same_second": {"tickets": {"ids": ids, "ago_s": 300}}})
    rows, _ = by_cursor(zendesk, "tickets", 1795161000)
    assert sorted(row["id"] for row in rows) == ids


def test_a_ticket_that_the_system_touched_is_older_than_start_time(zendesk):
    number = zendesk.get("tickets").json()["tickets"][0]["id"]
    zendesk.change({"system_update": [number]})
    zendesk.advance(120)
    reply = zendesk.get("incremental/tickets/cursor?start_time=1795161600").json()
    assert [row["id"] for row in reply["tickets"]] == [number]
    row = reply["tickets"][0]
    assert row["generated_timestamp"] >= 1795161600 and row["updated_at"] < "2026-11-20T08:00:00Z"
    assert row["fields"] == row["custom_fields"]


def test_deleted_and_scrubbed_tickets(zendesk):
    made = zendesk.change({"tickets": [{"subject": "secret", "comment": {"body": "secret"}, "external_id": "x"}]})["tickets"][0]
    zendesk.change({"delete": {"tickets": [made]}})
    zendesk.advance(61)
    row = zendesk.get("incremental/tickets/cursor?start_time=1795161600").json()["tickets"][-1]
    assert (row["id"], row["status"], row["subject"]) == (made, "deleted", "secret")
    hidden = zendesk.get("incremental/tickets/cursor?start_time=1795161600&exclude_deleted=true").json()
    assert hidden["tickets"] == [] and hidden["after_cursor"]
    for path in (f"tickets/{made}", f"tickets/{made}/comments", f"tickets/{made}/audits"):
        assert zendesk.get(path).status == 404
    assert made in [row["id"] for row in zendesk.get("deleted_tickets").json()["deleted_tickets"]]
    zendesk.change({"scrub": [made]})
    row = zendesk.get("incremental/tickets/cursor?start_time=1795161600").json()["tickets"][-1]
    assert row["subject"] == row["description"] == "SCRUBBED" and row["external_id"] is None


def test_deleted_users_are_inactive_and_some_are_gone_for_good(zendesk):
    made = zendesk.change({"users": [{"name": "Gone", "email": "gone@example.com", "phone": "+49"}]})["users"][0]
    assert zendesk.delete(f"users/{made}").json()["user"]["active"] is False
    assert zendesk.get(f"deleted_users/{made}").json()["deleted_user"]["name"] == "Gone"
    assert zendesk.delete(f"users/{made}").status == 404
    assert zendesk.delete(f"deleted_users/{made}").status == 200
    zendesk.advance(61)
    row = zendesk.get("incremental/users/cursor?start_time=1795161600").json()["users"][-1]
    assert (row["id"], row["active"], row["name"], row["email"], row["phone"]) == (
        made, False, "Permanently Deleted User", None, None)
    assert made in [row["id"] for row in zendesk.get("deleted_users?page[size]=100").json()["deleted_users"]]
    assert made not in [row["id"] for row in zendesk.get("users?page[size]=100").json()["users"]]


def test_deleted_organizations_bear_the_time(zendesk):
    made = zendesk.change({"organizations": [{"name": "Brief"}]})["organizations"][0]
    assert zendesk.delete(f"organizations/{made}").status == 204
    zendesk.advance(61)
    row = next(row for row in by_time(zendesk, "organizations") if row["id"] == made)
    assert row["deleted_at"].startswith("2026-11-20T08:00")
    assert zendesk.get(f"organizations/{made}").status == 404


def test_comments_come_through_ticket_events_when_asked_for(kept):
    plain, rich = by_time(kept, "ticket_events"), by_time(kept, "ticket_events", more="&include=comment_events")
    assert not any(child["event_type"] == "Comment" for row in plain for child in row["child_events"])
    comments = [child for row in rich for child in row["child_events"] if child["event_type"] == "Comment"]
    told = {event["id"] for row in kept.state("?tables=audits")["audits"] for event in row["events"] if event["type"] == "Comment"}
    assert {comment["id"] for comment in comments} == told
    one = kept.get("tickets/1/comments").json()["comments"][0]
    assert one["body"] == next(comment["body"] for comment in comments if comment["id"] == one["id"])
    assert all(row["timestamp"] > 1.5e9 and row["ticket_id"] and row["event_type"] == "Audit" for row in rich)


def test_metrics_beside_tickets_or_within_them(start):
    zendesk = start()
    path = "incremental/tickets/cursor?start_time=1&include=metric_sets,users,organizations"
    reply = zendesk.get(path).json()
    assert {row["ticket_id"] for row in reply["metric_sets"]} == {row["id"] for row in reply["tickets"]}
    assert {row["requester_id"] for row in reply["tickets"]} <= {row["id"] for row in reply["users"]}
    inside = start("--metric-sets", "embedded").get(path).json()
    assert "metric_sets" not in inside and inside["tickets"][0]["metric_set"]["ticket_id"] == inside["tickets"][0]["id"]
    events = by_time(zendesk, "ticket_metric_events")
    assert {event["type"] for event in events} == {"activate", "fulfill"}
    assert by_time(zendesk, "ticket_metric_events", 1700000000) == [event for event in events if event["time"] > "2023-11-14T22:13"]


# ---- lists ----

LISTS = ("tickets", "users", "organizations", "groups", "group_memberships", "organization_memberships", "ticket_fields",
         "ticket_forms", "user_fields", "organization_fields", "satisfaction_ratings", "brands", "macros", "tags", "deleted_users",
         "ticket_metrics", "deleted_tickets")


@pytest.mark.parametrize("name", LISTS)
def test_every_list_pages_by_cursor_and_by_offset_alike(kept, name):
    key = (lambda row: row["name"]) if name == "tags" else lambda row: row["id"]
    one = kept.get(f"{name}?page[size]=3").json()
    cursor = [key(row) for row in one[name]]
    while one["meta"]["has_more"]:
        one = kept.follow(one["links"]["next"]).json()
        cursor += [key(row) for row in one[name]]
    assert one["links"]["next"] is None
    page = kept.get(f"{name}?per_page=3").json()
    offset = [key(row) for row in page[name]]
    while page["next_page"]:
        page = kept.follow(page["next_page"]).json()
        offset += [key(row) for row in page[name]]
    assert cursor == offset and len(set(cursor)) == len(cursor) == page["count"] > 0


def test_the_way_back(kept):
    first = kept.get("users?page[size]=4").json()
    second = kept.follow(first["links"]["next"]).json()
    back = kept.follow(second["links"]["prev"]).json()
    assert back["users"] == first["users"] and first["links"]["prev"] is None


@pytest.mark.parametrize("query", ["page=101", "page=101&per_page=1", "page=0", "per_page=101", "page=x", "page[size]=101",
                                   "page[size]=5&page=2", "page[after]=zzz", "sort=name", "include=everything"])
def test_pages_that_are_refused(kept, query):
    reply = kept.get("users?" + query)
    assert reply.status == 400, reply


def test_a_cursor_belongs_to_its_list(zendesk):
    cursor = zendesk.get("users?page[size]=2").json()["meta"]["after_cursor"]
    assert zendesk.get("groups?page[size]=2&page[after]=" + cursor).status == 400
    zendesk.fault({"kind": "stale_cursor"})
    assert zendesk.get("users?page[size]=2&page[after]=" + cursor).status == 400


def test_offsets_drift_when_records_go_while_they_are_paged_and_cursors_do_not(zendesk):
    first = zendesk.get("organizations?per_page=5").json()
    cursor = zendesk.get("organizations?page[size]=5").json()
    zendesk.change({"delete": {"organizations": [first["organizations"][0]["id"]]}})
    by_offset = zendesk.follow(first["next_page"]).json()["organizations"]
    by_mark = zendesk.follow(cursor["links"]["next"]).json()["organizations"]
    assert by_offset[0]["id"] == by_mark[1]["id"]


def test_filters(kept):
    users = kept.get("users?role[]=agent&role[]=admin").json()["users"]
    assert {user["role"] for user in users} == {"agent", "admin"}
    some = next(user for user in kept.get("users").json()["users"] if user["external_id"])
    for path in (f"users?external_id={some['external_id'].upper()}", f"users/search?external_id={some['external_id'].lower()}",
                 f"users/show_many?external_ids={some['external_id']}", f"users/show_many?ids={some['id']}"):
        assert [user["id"] for user in kept.get(path).json()["users"]] == [some["id"]], path
    ratings = kept.get("satisfaction_ratings?score=received").json()["satisfaction_ratings"]
    assert {rating["score"] for rating in ratings} <= {"good", "bad"} and ratings
    assert kept.get("satisfaction_ratings?end_time=1795161599").status == 400
    late = kept.get("satisfaction_ratings?start_time=1780000000").json()["satisfaction_ratings"]
    assert all(rating["updated_at"] >= "2026-05-28" for rating in late)
    groups = kept.get("groups").json()["groups"]
    assert any(group["deleted"] for group in groups)
    assert not any(group["deleted"] for group in kept.get("groups?exclude_deleted=true").json()["groups"])
    assert kept.get("users/show_many?ids=" + ",".join(map(str, range(101)))).status == 400


def test_audits_of_a_ticket_and_of_all(zendesk):
    number = zendesk.post("tickets", {"ticket": {"subject": "a", "comment": {"body": "b"}}}).json()["ticket"]["id"]
    zendesk.put(f"tickets/{number}", {"ticket": {"status": "open", "comment": {"body": "c", "public": False}}})
    audits = zendesk.get(f"tickets/{number}/audits").json()["audits"]
    assert [[event["type"] for event in audit["events"]][0] for audit in audits] == ["Comment", "Comment"]
    assert {"type": "Change", "field_name": "status", "value": "open", "previous_value": "new"}.items() <= audits[1]["events"][1].items()
    newest = zendesk.get("ticket_audits?page[size]=2").json()["audits"]
    assert [audit["id"] for audit in newest] == [audits[1]["id"], audits[0]["id"]]
    closed = next(row["id"] for row in zendesk.get("tickets").json()["tickets"] if row["status"] == "closed")
    rest = zendesk.get("ticket_audits").json()["audits"]
    assert closed not in {audit["ticket_id"] for audit in rest}
