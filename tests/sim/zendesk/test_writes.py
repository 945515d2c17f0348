# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Writes of single records and in bulk: matching, identities, memberships, tickets, what is refused and how, jobs."""

import pytest


def user(zendesk, **body):
    return zendesk.post("users/create_or_update", {"user": body})


# ---- users ----

def test_create_or_update_matches_by_external_id_in_any_case_then_by_email(zendesk):
    first = user(zendesk, name="Ann", external_id="Crm-1", email="Ann@Example.COM", skip_verify_email=True)
    assert first.status == 201
    made = first.json()["user"]
    assert made["email"] == "ann@example.com" and made["external_id"] == "Crm-1"
    again = user(zendesk, name="Ann B", external_id="CRM-1")
    assert again.status == 200 and again.json()["user"]["id"] == made["id"] and again.json()["user"]["external_id"] == "CRM-1"
    by_email = user(zendesk, email="ANN@example.com", phone="+49")
    assert by_email.json()["user"]["id"] == made["id"] and by_email.json()["user"]["phone"] == "+49"
    assert by_email.json()["user"]["name"] == "Ann B"
    assert user(zendesk, name="Other").status == 201
    assert user(zendesk, email="new@example.com").status == 422
    assert zendesk.state("?tables=groups")["mails"] == []
    user(zendesk, name="Mail", email="mail@example.com")
    assert zendesk.state("?tables=groups")["mails"] == [{"to": "mail@example.com", "why": "verify"}]


def test_updated_at_moves_only_when_something_changed(zendesk):
    made = user(zendesk, name="Ann", external_id="e").json()["user"]
    zendesk.advance(10)
    assert user(zendesk, name="Ann", external_id="e").json()["user"]["updated_at"] == made["updated_at"]
    assert user(zendesk, name="Ann", external_id="e", notes="x").json()["user"]["updated_at"] > made["updated_at"]


def test_another_email_is_another_identity_until_it_is_made_primary(zendesk):
    number = user(zendesk, name="Ann", email="a@example.com").json()["user"]["id"]
    zendesk.put(f"users/{number}", {"user": {"email": "b@example.com"}})
    identities = zendesk.get(f"users/{number}/identities").json()["identities"]
    assert [(one["value"], one["primary"]) for one in identities] == [("a@example.com", True), ("b@example.com", False)]
    assert zendesk.row("users", number)["email"] == "a@example.com"
    path = f"users/{number}/identities/{identities[1]['id']}"
    after = zendesk.put(path + "/make_primary").json()["identities"]
    assert [one["primary"] for one in after] == [False, True] and zendesk.row("users", number)["email"] == "b@example.com"
    assert zendesk.delete(path).status == 422
    assert zendesk.delete(f"users/{number}/identities/{identities[0]['id']}").status == 204
    assert user(zendesk, name="C", email="a@example.com").status == 201  # the address is free again
    taken = zendesk.post(f"users/{number}/identities", {"identity": {"type": "email", "value": "A@example.com"}})
    assert taken.status == 422 and zendesk.put(f"users/{number}/identities/1/make_primary").status == 404


@pytest.mark.parametrize("body,field", [
    ({"email": "x@example.com"}, "name"), ({"name": " "}, "name"), ({"name": 5}, "name"), ({"name": "A", "nope": 1}, "nope"),
    ({"name": "A", "email": "user0@example.com"}, "email"), ({"name": "A", "email": "a b@example.com"}, "email"),
    ({"name": "A", "external_id": 5}, "external_id"), ({"name": "A", "organization_id": 17}, "organization_id"),
    ({"name": "A", "role": "boss"}, "role"), ({"name": "A", "tags": 5}, "tags"), ({"name": "A", "verified": "yes"}, "verified"),
    ({"name": "A", "user_fields": {"visits": "many"}}, "visits"), ({"name": "A", "user_fields": {"birthday": "1.2.1990"}}, "birthday"),
    ({"name": "A", "user_fields": {"birthday": "1990-02-30"}}, "birthday"), ({"name": "A", "user_fields": {"plz": "1234"}}, "plz"),
    ({"name": "A", "user_fields": {"is_vip": "true"}}, "is_vip"), ({"name": "A", "user_fields": {"tier": "platinum"}}, "tier"),
    ({"name": "A", "user_fields": {"interests": ["int_ski", "x"]}}, "interests"),
    ({"name": "A", "user_fields": {"account_manager": 5}}, "account_manager"), ({"name": "A", "user_fields": {"ltv": "1,5"}}, "ltv"),
    ({"name": "A", "user_fields": {"note_text": 5}}, "note_text"),
])
def test_users_that_are_refused_and_leave_no_trace(kept, body, field):
    before = kept.state("?tables=users,identities")
    reply = kept.post("users", {"user": body})
    assert reply.status == 422 and list(reply.json()["details"]) == [field]
    assert kept.state("?tables=users,identities") == before


def test_custom_fields_of_every_type_and_keys_that_do_not_exist(zendesk):
    given = {"note_text": "x", "long_text": "a\nb", "is_vip": True, "birthday": "1990-02-28", "visits": 9007199254740993,
             "ltv": "12.50", "plz": "01067", "tier": "tier_gold", "interests": ["int_ski"],
             "account_manager": zendesk.get("users/me").json()["user"]["id"], "no_such": 1}
    made = user(zendesk, name="A", external_id="e", user_fields=given, tags=["Big Spender", "VIP"]).json()["user"]
    fields = made["user_fields"]
    assert {key: fields[key] for key in given if key not in ("no_such", "account_manager")} == {
        key: value for key, value in given.items() if key not in ("no_such", "account_manager")}
    assert fields["account_manager"] == str(given["account_manager"]) and "no_such" not in fields
    assert made["tags"] == ["big_spender", "int_ski", "is_vip", "tier_gold", "vip"]
    assert zendesk.state("?tables=groups")["ignored_fields"] == {"users.no_such": 1}
    cleared = user(zendesk, external_id="e", user_fields={"tier": None, "is_vip": None, "visits": None}).json()["user"]
    assert (cleared["user_fields"]["tier"], cleared["user_fields"]["is_vip"], cleared["user_fields"]["visits"]) == (None, False, None)
    assert cleared["tags"] == ["big_spender", "int_ski", "vip"]


def test_roles_of_agents_are_not_changed_by_an_upsert(zendesk):
    agent = zendesk.get("users?role=agent").json()["users"][0]
    assert user(zendesk, email=agent["email"], role="end-user").status == 403
    assert user(zendesk, email=agent["email"], notes="ok").status == 200


def test_a_field_that_is_dropped_between_two_writes(zendesk):
    zendesk.change({"fields": [{"object": "users", "key": "score", "type": "integer", "title": "Score"}]})
    assert user(zendesk, name="A", external_id="e", user_fields={"score": 5}).json()["user"]["user_fields"]["score"] == 5
    zendesk.change({"drop_fields": ["users.score"]})
    assert "score" not in user(zendesk, external_id="e", user_fields={"score": 6}).json()["user"]["user_fields"]
    made = zendesk.post("user_fields", {"user_field": {"key": "score", "type": "text", "title": "Score"}})
    assert made.status == 201 and made.json()["user_field"]["id"] in [
        field["id"] for field in zendesk.get("user_fields").json()["user_fields"]]
    assert user(zendesk, external_id="e", user_fields={"score": 6}).status == 422


# ---- organizations and memberships ----

def organization(zendesk, **body):
    return zendesk.post("organizations/create_or_update", {"organization": body})


def test_organizations_are_matched_by_external_id_never_by_name(zendesk):
    made = organization(zendesk, name="Neu GmbH", external_id="K-1", organization_fields={"tier": "tier_gold"}).json()["organization"]
    assert made["organization_fields"]["tier"] == "tier_gold" and made["tags"] == ["tier_gold"]
    again = organization(zendesk, external_id="k-1", notes="x")
    assert again.status == 200 and again.json()["organization"]["id"] == made["id"]
    taken = organization(zendesk, name="neu gmbh", external_id="K-2")
    assert taken.status == 422 and taken.json()["details"]["name"][0]["error"] == "DuplicateValue"
    by_id = organization(zendesk, id=made["id"], name="Neu AG")
    assert by_id.status == 200 and organization(zendesk, id=5).status == 404
    assert zendesk.post("organizations", {"organization": {"external_id": "x"}}).status == 422
    assert zendesk.put(f"organizations/{made['id']}", {"organization": {"domain_names": "a.example"}}).status == 422
    assert zendesk.get("organizations/search?external_id=K-1").json()["organizations"][0]["name"] == "Neu AG"


def test_the_default_organization_follows_the_memberships(zendesk):
    one, two = (organization(zendesk, name=name).json()["organization"]["id"] for name in ("One", "Two"))
    number = user(zendesk, name="A", organization_id=one).json()["user"]["id"]
    made = zendesk.post("organization_memberships", {"organization_membership": {"user_id": number, "organization_id": two}})
    assert made.status == 201 and made.json()["organization_membership"]["default"] is False
    assert zendesk.post("organization_memberships", {
        "organization_membership": {"user_id": number, "organization_id": two}}).status == 422
    second = made.json()["organization_membership"]["id"]
    zendesk.put(f"users/{number}/organization_memberships/{second}/make_default")
    assert zendesk.row("users", number)["organization_id"] == two
    assert zendesk.delete(f"organization_memberships/{second}").status == 204
    assert zendesk.row("users", number)["organization_id"] == one
    user(zendesk, name="A2", external_id="zz", organization={"name": "Three"})
    assert zendesk.get("organizations/search?name=three").json()["count"] == 1
    zendesk.put(f"users/{number}", {"user": {"organization_id": None}})
    assert zendesk.row("users", number)["organization_id"] is None
    assert zendesk.get(f"users/{number}/organization_memberships").json()["count"] == 0


def test_agents_join_groups_and_others_do_not(zendesk):
    agent, end_user = (zendesk.get(f"users?role={role}").json()["users"][0]["id"] for role in ("agent", "end-user"))
    held = next(row for row in zendesk.get("group_memberships").json()["group_memberships"] if row["user_id"] == agent)
    join = {"group_membership": {"user_id": agent, "group_id": held["group_id"]}}
    assert zendesk.post("group_memberships", join).status == 422
    assert zendesk.delete(f"group_memberships/{held['id']}").status == 204
    made = zendesk.post("group_memberships", join)
    assert made.status == 201 and made.json()["group_membership"]["group_id"] == held["group_id"]
    job = zendesk.job(zendesk.post("group_memberships/create_many", {"group_memberships": [
        {"user_id": end_user, "group_id": held["group_id"]}]}))
    assert job["results"][0]["details"] == "User: must be an agent"
    job = zendesk.job(zendesk.delete(f"group_memberships/destroy_many?ids={made.json()['group_membership']['id']},5"))
    assert [row["success"] for row in job["results"]] == [True, False]


# ---- tickets ----

def ticket(zendesk, **body):
    return zendesk.post("tickets", {"ticket": {"subject": "S", "comment": {"body": "Hello"}, **body}})


def test_a_ticket_for_somebody_new(zendesk):
    made = ticket(zendesk, requester={"name": "New", "email": "New@example.com"}, tags=["A B"], priority="high", external_id="e")
    assert made.status == 201 and made.headers["location"].endswith(f"/tickets/{made.json()['ticket']['id']}.json")
    row = made.json()["ticket"]
    assert row["status"] == "new" and row["tags"] == ["a_b"] and row["description"] == "Hello" and row["custom_fields"] == row["fields"]
    who = zendesk.get("users/search?query=email:new@example.com").json()["users"][0]
    assert who["id"] == row["requester_id"] and made.json()["audit"]["events"][0]["body"] == "Hello"
    assert {"to": "new@example.com", "why": "ticket created"} in zendesk.state("?tables=groups")["mails"]
    other = ticket(zendesk, external_id="e").json()["ticket"]["id"]
    assert [one["id"] for one in zendesk.get("tickets?external_id=e").json()["tickets"]] == [row["id"], other]


@pytest.mark.parametrize("body,field", [
    ({"comment": None}, "base"), ({"comment": {"body": ""}}, "base"), ({"requester_id": 5}, "requester"),
    ({"requester": {"email": "nobody@example.com"}}, "requester"), ({"requester": {"name": "x", "email": "no"}}, "email"),
    ({"priority": "top"}, "priority"), ({"status": "deleted"}, "status"), ({"status": "closed"}, "status"),
    ({"comment": {"text": "x"}}, "comment.text"), ({"subjekt": "x"}, "subjekt"), ({"assignee_id": 5}, "assignee"),
    ({"custom_fields": [{"key": "x", "value": 1}]}, "custom_fields"), ({"custom_fields": {"x": 1}}, "custom_fields"),
    ({"due_at": "tomorrow"}, "due_at"), ({"group_id": 1}, "group"),
])
def test_tickets_that_are_refused(kept, body, field):
    reply = ticket(kept, **body)
    assert reply.status == 422 and list(reply.json()["details"]) == [field]


def test_custom_fields_of_tickets_go_by_number(zendesk):
    fields = {field["title"]: field["id"] for field in zendesk.get("ticket_fields").json()["ticket_fields"]}
    row = ticket(zendesk, custom_fields=[{"id": fields["Tier"], "value": "t_tier_gold"}, {"id": fields["Visits"], "value": 3},
                                         {"id": 7, "value": 1}]).json()["ticket"]
    values = {one["id"]: one["value"] for one in row["custom_fields"]}
    assert values[fields["Tier"]] == "t_tier_gold" and values[fields["Visits"]] == 3 and 7 not in values
    assert values[fields["VIP?"]] is False and values[fields["Note"]] is None and row["tags"] == ["t_tier_gold"]
    assert ticket(zendesk, custom_fields=[{"id": fields["Tier"], "value": "tier_gold"}]).status == 422


def test_the_same_idempotency_key_makes_one_ticket(zendesk):
    body = {"ticket": {"subject": "S", "comment": {"body": "once"}}}
    first = zendesk.post("tickets", body, Idempotency_Key="k1")
    again = zendesk.post("tickets", body, Idempotency_Key="k1")
    assert first.headers["x-idempotency-lookup"] == "miss" and again.headers["x-idempotency-lookup"] == "hit"
    assert again.status == 201 and again.json() == first.json()
    other = zendesk.post("tickets", {"ticket": {"subject": "T", "comment": {"body": "once"}}}, Idempotency_Key="k1")
    assert other.status == 400 and other.json()["error"] == "IdempotentRequestError"
    zendesk.advance(2 * 3600 + 1)
    assert zendesk.post("tickets", body, Idempotency_Key="k1").json()["ticket"]["id"] != first.json()["ticket"]["id"]
    zendesk.fault({"kind": "reset", "applied": True, "path": "/api/v2/tickets"})
    with pytest.raises(ConnectionError):
        zendesk.post("tickets", body, Idempotency_Key="k2")
    assert zendesk.post("tickets", body, Idempotency_Key="k2").headers["x-idempotency-lookup"] == "hit"


def test_safe_update_and_closed_tickets(zendesk):
    row = ticket(zendesk).json()["ticket"]
    zendesk.advance(5)
    moved = zendesk.put(f"tickets/{row['id']}", {"ticket": {"subject": "T"}}).json()["ticket"]
    clash = zendesk.put(f"tickets/{row['id']}", {"ticket": {"subject": "U", "safe_update": True, "updated_stamp": row["updated_at"]}})
    assert clash.status == 409 and clash.json()["error"] == "UpdateConflict"
    fine = zendesk.put(f"tickets/{row['id']}", {"ticket": {"subject": "U", "safe_update": True, "updated_stamp": moved["updated_at"]}})
    assert fine.status == 200 and fine.json()["ticket"]["subject"] == "U"
    closed = zendesk.put(f"tickets/{row['id']}", {"ticket": {"status": "closed"}})
    assert closed.json()["ticket"]["status"] == "closed"
    refused = zendesk.put(f"tickets/{row['id']}", {"ticket": {"subject": "V"}})
    assert refused.status == 422 and "closed prevents ticket update" in refused.json()["details"]["status"][0]["description"]
    assert zendesk.put(f"tickets/{row['id']}/tags", {"tags": ["x"]}).status == 422
    assert zendesk.delete(f"tickets/{row['id']}").status == 204
    assert zendesk.put(f"tickets/{row['id']}", {"ticket": {"subject": "V"}}).status == 404


def test_tags_are_set_added_and_removed(zendesk):
    made = ticket(zendesk, tags=["one"]).json()["ticket"]["id"]
    assert zendesk.put(f"tickets/{made}/tags", {"tags": ["Two", "three"]}).json() == {"tags": ["one", "three", "two"]}
    assert zendesk.delete(f"tickets/{made}/tags", {"tags": ["one", "nope"]}).status == 204
    assert zendesk.get(f"tickets/{made}/tags").json() == {"tags": ["three", "two"]}
    put = zendesk.post(f"tickets/{made}/tags", {"tags": ["only"]})
    assert put.status == 201 and put.json() == {"tags": ["only"]}
    assert {"name": "only", "count": 1} in zendesk.get("tags?per_page=100").json()["tags"]
    assert zendesk.put(f"tickets/{made}/tags", {"tag": ["x"]}).status == 400
    number = user(zendesk, name="A").json()["user"]["id"]
    assert zendesk.put(f"users/{number}/tags", {"tags": ["X"]}).json() == {"tags": ["x"]}


def test_history_is_imported_without_mails(zendesk):
    author = user(zendesk, name="A", external_id="a").json()["user"]["id"]
    made = zendesk.post("imports/tickets", {"ticket": {
        "subject": "Old", "requester_id": author, "status": "solved", "created_at": "2020-01-01T00:00:00Z", "tags": ["old"],
        "comments": [{"author_id": author, "value": "first", "created_at": "2020-01-01T00:00:00Z"},
                     {"author_id": author, "html_body": "<p>second</p>", "created_at": "2020-01-02T00:00:00Z", "public": False}]}})
    assert made.status == 201 and made.json()["ticket"]["created_at"] == "2020-01-01T00:00:00Z"
    comments = zendesk.get(f"tickets/{made.json()['ticket']['id']}/comments").json()["comments"]
    assert [(one["created_at"], one["public"]) for one in comments] == [("2020-01-01T00:00:00Z", True), ("2020-01-02T00:00:00Z", False)]
    assert zendesk.state("?tables=groups")["mails"] == []


# ---- jobs ----

def test_a_job_is_queued_then_working_then_completed_with_mixed_results(start):
    zendesk = start("--job-queued-s", 10, "--job-working-s", 10)
    old = user(zendesk, name="Old", external_id="o").json()["user"]["id"]
    reply = zendesk.post("users/create_or_update_many", {"users": [
        {"name": "New", "external_id": "n", "email": "n@example.com"}, {"external_id": "O", "notes": "x"},
        {"name": "Bad", "email": "no address"}, {"external_id": "nobody"}, "not an object"]})
    job = reply.json()["job_status"]
    assert (job["status"], job["total"], job["progress"], job["results"]) == ("queued", 5, None, None)
    zendesk.advance(11)
    assert zendesk.get("job_statuses/" + job["id"]).json()["job_status"]["status"] == "working"
    assert zendesk.get("users/search?external_id=n").json()["users"] == []
    zendesk.advance(10)
    done = zendesk.get(f"job_statuses/show_many?ids={job['id']},x").json()["job_statuses"][0]
    assert done["status"] == "completed" and done["message"].startswith("Completed at")
    results = done["results"]
    assert [row["success"] for row in results] == [True, True, False, False, False]
    new = zendesk.get("users/search?external_id=n").json()["users"][0]["id"]
    assert results[0] == {"id": new, "index": 0, "action": "create", "status": "Created", "success": True}
    assert results[1] == {"id": old, "action": "update", "status": "Updated", "success": True}
    assert results[2]["index"] == 2 and results[2]["error"] == "RecordInvalid" and "not properly formatted" in results[2]["details"]
    entry = next(entry for entry in zendesk.ledger() if entry["outcome"] == "job")
    assert [row["became"] for row in entry["rows"]] == ["created", "updated", "refused", "refused", "refused"]
    assert entry["job"] == job["id"] and entry["status"] == "completed"


def test_jobs_that_fail_are_killed_or_vanish(zendesk):
    def submit(number):
        return zendesk.post("users/create_many", {"users": [{"name": "A", "external_id": f"{number}-{n}"} for n in range(3)]})

    def arrived(number):
        return sum(len(zendesk.get(f"users/search?external_id={number}-{n}").json()["users"]) for n in range(3))

    zendesk.fault({"kind": "job_failed", "after": 2, "message": "Oh"}, {"kind": "job_killed", "nth": 2})
    failed = zendesk.job(submit(1))
    assert (failed["status"], failed["message"], failed["results"]) == ("failed", "Oh", []) and arrived(1) == 2
    assert zendesk.job(submit(2))["status"] == "killed" and arrived(2) == 0
    zendesk.fault({"kind": "job_vanish"}, {"kind": "job_vanish", "applied": False, "nth": 2})
    for number, came in ((3, 3), (4, 0)):
        reply = submit(number).json()["job_status"]["id"]
        zendesk.advance(5)
        assert zendesk.get("job_statuses/" + reply).status == 404 and arrived(number) == came
    zendesk.fault({"kind": "job_rows", "indexes": [1], "details": "no"}, {"kind": "job_object_results", "nth": 2})
    assert [row["success"] for row in zendesk.job(submit(5))["results"]] == [True, False, True]
    assert zendesk.job(submit(6))["results"] == {"success": True}
    zendesk.fault({"kind": "job_slow", "seconds": 60})
    assert zendesk.job(submit(7))["status"] == "working"
    zendesk.advance(60)
    assert arrived(7) == 3


def test_thirty_jobs_at_once_and_none_is_known_after_an_hour(start):
    zendesk = start("--job-queued-s", 100)
    replies = [zendesk.post("organizations/create_many", {"organizations": [{"name": f"N{n}"}]}) for n in range(31)]
    assert [reply.status for reply in replies] == [200] * 30 + [429]
    assert replies[30].json()["error"] == "TooManyJobs" and "retry-after" not in replies[30].headers
    zendesk.advance(101)
    assert zendesk.get("organizations/search?name=n29").json()["count"] == 1
    assert zendesk.post("organizations/create_many", {"organizations": [{"name": "again"}]}).status == 200
    first = "job_statuses/" + replies[0].json()["job_status"]["id"]
    assert zendesk.get(first).json()["job_status"]["status"] == "completed"
    zendesk.advance(3600)
    assert zendesk.get(first).json()["error"] == "RecordNotFound"


def test_bulk_that_is_not_enabled_and_single_calls_that_are(start):
    zendesk = start("--no-bulk")
    for reply in (zendesk.post("users/create_or_update_many", {"users": [{"name": "A"}]}),
                  zendesk.post("users/create_many", {"users": [{"name": "A"}]}),
                  zendesk.put("users/update_many", {"users": [{"id": 1}]})):
        assert reply.status == 403 and reply.json()["error"] == "Forbidden"
    assert user(zendesk, name="A").status == 201
    assert zendesk.post("organizations/create_many", {"organizations": [{"name": "A"}]}).status == 200
    zendesk.settings(bulk_users=True)
    assert zendesk.post("users/create_many", {"users": [{"name": "A"}]}).status == 200


def test_at_most_a_hundred_records_in_a_job(zendesk):
    for path, name in (("users/create_many", "users"), ("tickets/create_many", "tickets"), ("imports/tickets/create_many", "tickets")):
        assert zendesk.post(path, {name: [{"name": "A"}] * 101}).json()["error"] == "TooManyValues"
        assert zendesk.post(path, {name: []}).status == 400
    assert zendesk.delete("users/destroy_many").status == 400
    assert zendesk.delete("users/destroy_many?ids=" + ",".join(["1"] * 101)).status == 400


def test_bulk_updates_and_deletes_of_all_kinds(zendesk):
    def done(reply, wanted):
        job = zendesk.job(reply)
        assert [row["success"] for row in job["results"]] == wanted, job
        return job["results"]

    done(zendesk.post("organizations/create_many", {"organizations": [{"name": "A1", "external_id": "a1"}, {"name": "A1"}]}),
         [True, False])
    done(zendesk.put("organizations/update_many", {"organizations": [{"external_id": "A1", "notes": "n"}, {"id": 5, "notes": "n"}]}),
         [True, False])
    done(zendesk.put("organizations/update_many?external_ids=a1", {"organization": {"details": "d"}}), [True])
    row = zendesk.get("organizations/search?external_id=a1").json()["organizations"][0]
    assert (row["notes"], row["details"]) == ("n", "d")
    people = [user(zendesk, name="U", external_id=f"u{n}").json()["user"]["id"] for n in range(2)]
    done(zendesk.put("users/update_many", {"users": [{"id": people[0], "notes": "n"}, {"external_id": "U1", "notes": "m"}]}), [True, True])
    done(zendesk.post("organization_memberships/create_many", {"organization_memberships": [
        {"user_id": people[0], "organization_id": row["id"]}, {"user_id": people[0], "organization_id": row["id"]}]}), [True, False])
    made = zendesk.get(f"users/{people[0]}/organization_memberships").json()["organization_memberships"]
    assert [one["organization_id"] for one in made] == [row["id"]]
    done(zendesk.delete(f"organization_memberships/destroy_many?ids={made[0]['id']},5"), [True, False])
    done(zendesk.delete(f"users/destroy_many?ids={people[0]}"), [True])
    done(zendesk.delete("users/destroy_many?external_ids=u1,nobody"), [True, False])
    done(zendesk.delete("organizations/destroy_many?external_ids=a1"), [True])
    made = done(zendesk.post("tickets/create_many", {"tickets": [
        {"subject": "1", "comment": {"body": "a"}}, {"subject": "2"}, {"subject": "3", "comment": {"body": "c"}}]}), [True, False, True])
    ids = [made[0]["id"], made[2]["id"]]
    assert [row.get("index") for row in made] == [0, 1, 2]
    done(zendesk.put("tickets/update_many", {"tickets": [{"id": ids[0], "status": "closed"}, {"id": ids[1], "priority": "low"}]}),
         [True, True])
    results = done(zendesk.put(f"tickets/update_many?ids={ids[0]},{ids[1]}", {
        "ticket": {"additional_tags": ["Plus"], "remove_tags": ["x"]}}), [False, True])
    assert results[0]["id"] == ids[0] and "closed" in results[0]["details"]
    assert zendesk.get(f"tickets/{ids[1]}").json()["ticket"]["tags"] == ["plus"]
    done(zendesk.delete(f"tickets/destroy_many?ids={ids[0]},{ids[1]},99999"), [True, True, False])
    done(zendesk.post("imports/tickets/create_many", {"tickets": [{"subject": "i", "comments": [{"value": "x"}]}]}), [True])


def test_a_user_leaves_an_organization_by_the_organizations_number(zendesk):
    user = zendesk.post("users", {"user": {"name": "Leaves", "email": "leaves@example.com"}}).json()["user"]["id"]
    first, second = [row["id"] for row in zendesk.state()["organizations"] if not row.get("deleted_at")][:2]
    for organization in (first, second):
        body = {"organization_membership": {"user_id": user, "organization_id": organization}}
        assert zendesk.post("organization_memberships", body).status == 201
    answer = zendesk.put(f"users/{user}/organizations/{second}/make_default", {})
    assert [row["organization_id"] for row in answer.json()["organization_memberships"] if row["default"]] == [second]
    assert zendesk.delete(f"users/{user}/organizations/{first}").status == 204
    assert zendesk.delete(f"users/{user}/organizations/{first}").status == 404
    left = [row["organization_id"] for row in zendesk.state()["organization_memberships"] if row["user_id"] == user]
    assert left == [second]
