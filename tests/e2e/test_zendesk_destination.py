# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A model into Zendesk: every object and operation, what is refused, and what nobody knows."""

import collections
import contextlib
import fcntl
import json
import os
import random
import signal
import subprocess

import pytest

import harness
import zendesk_scene as scene

USERS = {"external_id": "TEXT", "name": "TEXT", "email": "TEXT", "notes": "TEXT", "visits": "INTEGER", "is_vip": "BOOLEAN"}
USER_MAP = {"external_id": "external_id", "name": "name", "email": "email", "notes": "notes", "visits": "user_fields.visits",
            "is_vip": "user_fields.is_vip"}
TICKETS = {"external_id": "TEXT", "subject": "TEXT", "comment": "TEXT", "requester_email": "TEXT", "requester_name": "TEXT",
           "priority": "TEXT", "tags": "TEXT"}


@pytest.fixture
def zendesk(tmp_path):
    with scene.Zendesk(tmp_path, "--users", 40, "--tickets", 40) as made:
        made.settings(endpoint_limits={"user_update": 0, "ticket_update": 0, "tickets_index": 0})
        yield made


def person(n, **more):
    return {"external_id": f"crm-{n}", "name": f"Person {n}", "email": f"person{n}@dray.example", "notes": None, "visits": n,
            "is_vip": n % 2 == 0, **more}


def request(n, **more):
    return {"external_id": f"mine-{n}", "subject": f"Case {n}", "comment": f"It is broken {n}", "priority": "low",
            "requester_email": f"asks{n}@dray.example", "requester_name": f"Asks {n}", "tags": "one,two", **more}


def by_external_id(zendesk, table="users", prefix="crm-"):
    found = {}
    for row in zendesk.state()[table]:
        if str(row["external_id"] or "").startswith(prefix) and row.get("active", True) and not row.get("deleted_at"):
            found.setdefault(row["external_id"], []).append(row)
    return found


def assert_people(zendesk, rows):
    held = by_external_id(zendesk)
    assert set(held) == {row["external_id"] for row in rows}
    for row in rows:
        [user] = held[row["external_id"]]
        assert (user["name"], user["email"], user["notes"]) == (row["name"], row["email"], row["notes"])
        assert (user["user_fields"]["visits"], user["user_fields"]["is_vip"]) == (row["visits"], row["is_vip"])


def users(project, zendesk, mode="upsert", more="", to=""):
    scene.activate(project, zendesk, "users", USERS, "external_id", mode, USER_MAP, more=more, to=to)


@pytest.mark.parametrize("bulk", ["jobs", "not enabled", "never"])
def test_users_are_made_changed_and_left_alone(project, zendesk, bulk):
    zendesk.settings(bulk_users=bulk != "not enabled")
    users(project, zendesk, more=", use_bulk: never" if bulk == "never" else "")
    rows = [person(n) for n in range(25 if bulk != "jobs" else 230)]
    scene.fill(project, rows)
    run = project.sync("out")
    assert (run["applied"], run["rejected"], run["pending"]) == (len(rows), 0, 0)
    assert_people(zendesk, rows)
    assert zendesk.state()["ignored_fields"] == {} and zendesk.state()["mails"] == []
    calls = zendesk.requests(methods=scene.WRITES)
    jobs = [line for line in calls if line["path"].endswith("create_or_update_many")]
    assert len(jobs) == {"jobs": 3, "not enabled": 1, "never": 0}[bulk]

    mark = zendesk.mark()
    assert project.sync("out")["applied"] == 0
    assert zendesk.requests(mark, scene.WRITES) == []

    rows[3]["notes"], rows[4]["visits"] = "changed", 99
    scene.fill(project, rows)
    mark = zendesk.mark()
    run = project.sync("out")
    assert (run["updates"], run["applied"]) == (2, 2)
    assert_people(zendesk, rows)
    assert len(zendesk.requests(mark, scene.WRITES)) == (1 if bulk == "jobs" else 2 if bulk == "never" else 3)


def test_only_changed_fields_are_sent(project, zendesk):
    users(project, zendesk)
    rows = [person(1), person(2)]
    scene.fill(project, rows)
    project.sync("out")
    number = by_external_id(zendesk)["crm-1"][0]["id"]
    zendesk.change({"users": [{"id": number, "notes": "by an agent"}]})
    rows[0]["visits"] = 5
    scene.fill(project, rows)
    project.sync("out")
    [user] = by_external_id(zendesk)["crm-1"]
    assert (user["notes"], user["user_fields"]["visits"]) == ("by an agent", 5)


def test_a_changed_address_becomes_primary(project, zendesk):
    users(project, zendesk)
    rows = [person(n) for n in range(6)]
    scene.fill(project, rows)
    project.sync("out")
    rows[2]["email"] = "Moved@dray.example"
    scene.fill(project, rows)
    project.sync("out")
    [user] = by_external_id(zendesk)["crm-2"]
    assert user["email"] == "moved@dray.example"
    kept = [row["value"] for row in zendesk.state()["identities"] if row["user_id"] == user["id"]]
    assert sorted(kept) == ["moved@dray.example", "person2@dray.example"]


@pytest.mark.parametrize("key, mode", [("external_id", "upsert"), ("external_id", "update"), ("external_id", "mirror"), ("id", "update"), ("id", "upsert")])
def test_the_address_of_a_first_row_becomes_primary_on_a_user_who_is_there(project, zendesk, key, mode):
    there = [row for row in zendesk.state()["users"] if row["role"] == "end-user" and row["active"] and row["email"]][:4]
    for n, user in enumerate(there):
        zendesk.change({"users": [{"id": user["id"], "external_id": f"crm-{n}"}]})
    wanted = ["one@dray.example", "Two@dray.example", there[2]["email"].upper(), None]
    rows = [{"external_id": f"crm-{n}", "id": user["id"], "name": f"N {n}", "email": wanted[n]} for n, user in enumerate(there)]
    columns = {key: "INTEGER" if key == "id" else "TEXT", "name": "TEXT", "email": "TEXT"}
    scene.activate(project, zendesk, "users", columns, key, mode)
    scene.fill(project, [{name: row[name] for name in columns} for row in rows])
    mark = zendesk.mark()
    assert project.sync("out")["applied"] == 4
    held = [zendesk.rows("users")[user["id"]]["email"] for user in there]
    assert held == ["one@dray.example", "two@dray.example", there[2]["email"], there[3]["email"]]
    made = [line["path"] for line in zendesk.requests(mark, ("PUT",)) if line["path"].endswith("/make_primary")]
    assert len(made) == 2, "an address that is primary already needs no call"
    kept = [row["value"] for row in zendesk.state()["identities"] if row["user_id"] == there[0]["id"]]
    assert sorted(kept) == sorted(["one@dray.example", there[0]["email"]])
    if key == "external_id" and mode != "update":
        assert zendesk.state()["mails"] == []
    assert project.sync("out")["sent"] == 0


@pytest.mark.parametrize("bulk", ["auto", "never"])
def test_rows_are_rejected_in_the_vendors_words(project, zendesk, bulk):
    users(project, zendesk, more=f", use_bulk: {bulk}")
    rows = [person(n) for n in range(8)]
    rows[3]["email"] = "not an address"
    scene.fill(project, rows)
    run = project.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (7, 1)
    [row] = project.rows("out")
    assert "not properly formatted" in row["text"] or "Email" in row["text"], row
    assert "crm-3" not in by_external_id(zendesk)
    rows[3]["email"] = "good@dray.example"
    scene.fill(project, rows)
    assert project.sync("out")["applied"] == 1
    assert_people(zendesk, rows)


def test_modes_create_update_and_remove(project, zendesk):
    users(project, zendesk, "create")
    rows = [person(n) for n in range(5)]
    scene.fill(project, rows)
    assert project.sync("out")["applied"] == 5
    rows[1]["notes"] = "not sent"
    number = sorted(zendesk.rows("users"))[12]
    zendesk.change({"users": [{"id": number, "external_id": "crm-7", "name": "Theirs"}]})
    scene.fill(project, rows + [person(7), person(8)])
    project.sync("out")
    assert by_external_id(zendesk)["crm-1"][0]["notes"] is None
    assert [row["name"] for row in by_external_id(zendesk)["crm-7"]] == ["Theirs"]
    assert [row["name"] for row in by_external_id(zendesk)["crm-8"]] == ["Person 8"]


@pytest.mark.parametrize("bulk", ["auto", "never"])
def test_mode_create_by_email_leaves_users_as_they_are(project, zendesk, bulk):
    there = [row for row in zendesk.rows("users").values() if row["role"] == "end-user" and row["active"] and row["email"]][:2]
    scene.activate(project, zendesk, "users", {"email": "TEXT", "name": "TEXT"}, "email", "create", more=f", use_bulk: {bulk}")
    scene.fill(project, [{"email": row["email"], "name": "Changed"} for row in there] + [{"email": "new@dray.example", "name": "New"}])
    run = project.sync("out")
    assert (run["applied"], run["refused"]) == (3, 0) and project.rows("out") == []  # or there already
    now = zendesk.rows("users")
    assert [now[row["id"]]["name"] for row in there] == [row["name"] for row in there]
    assert [row["name"] for row in now.values() if row["email"] == "new@dray.example"] == ["New"]


def test_mode_update_makes_nothing(project, zendesk):
    users(project, zendesk, "update")
    number = sorted(zendesk.rows("users"))[12]
    zendesk.change({"users": [{"id": number, "external_id": "crm-0"}]})
    scene.fill(project, [person(0, email=None), person(1)])
    run = project.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (1, 1)
    assert set(by_external_id(zendesk)) == {"crm-0"}
    assert zendesk.rows("users")[number]["name"] == "Person 0"


def test_mirror_removes(project, zendesk):
    users(project, zendesk, "mirror")
    rows = [person(n) for n in range(6)]
    scene.fill(project, rows)
    project.sync("out")
    scene.fill(project, rows[:4])
    run = project.sync("out")
    assert (run["deletes"], run["applied"]) == (2, 2)
    assert_people(zendesk, rows[:4])


def test_organizations_and_memberships(project, zendesk):
    table = {"external_id": "TEXT", "name": "TEXT", "domain_names": "TEXT", "tags": "TEXT"}
    scene.activate(project, zendesk, "organizations", table, "external_id", "mirror")
    rows = [{"external_id": f"crm-{n}", "name": f"Company {n}", "domain_names": f'["c{n}.example"]', "tags": "a b"}
            for n in range(12)]
    scene.fill(project, rows)
    assert project.sync("out")["applied"] == 12
    rows[2]["name"] = "Renamed"
    rows[5]["tags"] = "c"
    rows.append({"external_id": "crm-99", "name": "Late", "domain_names": None, "tags": None})
    scene.fill(project, rows[1:])
    run = project.sync("out")
    assert (run["inserts"], run["updates"], run["deletes"], run["applied"]) == (1, 2, 1, 4)
    held = by_external_id(zendesk, "organizations")
    assert set(held) == {row["external_id"] for row in rows[1:]}
    assert held["crm-2"][0]["name"] == "Renamed" and held["crm-5"][0]["tags"] == ["c"]
    assert held["crm-3"][0]["domain_names"] == ["c3.example"] and sorted(held["crm-3"][0]["tags"]) == ["a", "b"]


def test_a_name_that_is_taken_is_refused(project, zendesk):
    table = {"external_id": "TEXT", "name": "TEXT"}
    taken = zendesk.state()["organizations"][0]["name"]
    scene.activate(project, zendesk, "organizations", table, "external_id")
    scene.fill(project, [{"external_id": "crm-1", "name": taken}, {"external_id": "crm-2", "name": "Free"},
                         {"external_id": "crm-3", "name": "Free too"}])
    run = project.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (2, 1)
    [row] = project.rows("out")
    assert "taken" in row["text"], row


def test_memberships(project, zendesk):
    state = zendesk.state()
    have = {(row["user_id"], row["organization_id"]) for row in state["organization_memberships"]}
    ends = [row["id"] for row in state["users"] if row["role"] == "end-user" and row["active"]][:4]
    companies = [row["id"] for row in state["organizations"] if not row.get("deleted_at")][:2]
    wanted = [{"user_id": user, "organization_id": company, "default": company == companies[1]}
              for user in ends for company in companies]
    scene.activate(project, zendesk, "organization_memberships", {"user_id": "INTEGER", "organization_id": "INTEGER", "default": "BOOLEAN"},
                   "[user_id, organization_id]", "mirror")
    scene.fill(project, wanted)
    run = project.sync("out")
    assert run["rejected"] == 0
    now = {(row["user_id"], row["organization_id"]) for row in zendesk.state()["organization_memberships"]}
    assert now == have | {(row["user_id"], row["organization_id"]) for row in wanted}
    scene.fill(project, wanted[2:])  # what was there before, and is taken away here, is gone all the same
    assert project.sync("out")["deletes"] == 2
    now = {(row["user_id"], row["organization_id"]) for row in zendesk.state()["organization_memberships"]}
    assert not {(row["user_id"], row["organization_id"]) for row in wanted[:2]} & now


def tickets(project, zendesk, mode="upsert", more="", to="", table=None):
    scene.activate(project, zendesk, "tickets", table or TICKETS, "external_id", mode, more=more, to=to)


def comments(zendesk, ticket):
    return [event["body"] for audit in zendesk.state()["audits"] if audit["ticket_id"] == ticket["id"]
            for event in audit["events"] if event["type"] == "Comment"]


@pytest.mark.parametrize("bulk", ["auto", "never"])
def test_tickets_are_made_once_and_updated(project, zendesk, bulk):
    tickets(project, zendesk, more=f", use_bulk: {bulk}")
    rows = [request(n) for n in range(12)]
    scene.fill(project, rows)
    assert project.sync("out")["applied"] == 12
    held = by_external_id(zendesk, "tickets", "mine-")
    assert {name: len(found) for name, found in held.items()} == {row["external_id"]: 1 for row in rows}
    assert held["mine-3"][0]["subject"] == "Case 3" and sorted(held["mine-3"][0]["tags"]) == ["one", "two"]
    assert comments(zendesk, held["mine-3"][0]) == ["It is broken 3"]
    rows[3]["priority"] = "urgent"
    rows[4]["comment"] = "Now it works"
    scene.fill(project, rows)
    assert project.sync("out")["applied"] == 2
    held = by_external_id(zendesk, "tickets", "mine-")
    assert held["mine-3"][0]["priority"] == "urgent" and comments(zendesk, held["mine-3"][0]) == ["It is broken 3"]
    assert comments(zendesk, held["mine-4"][0]) == ["It is broken 4", "Now it works"]


def test_a_ticket_that_is_there_is_not_made_again(project, zendesk):
    number = sorted(zendesk.rows("tickets"))[5]
    zendesk.change({"tickets": [{"id": number, "external_id": "mine-1", "status": "open"}]})
    tickets(project, zendesk)
    scene.fill(project, [request(0), request(1, subject="New subject", comment=None)])
    project.sync("out")
    held = by_external_id(zendesk, "tickets", "mine-")
    assert [row["id"] for row in held["mine-1"]] == [number] and held["mine-1"][0]["subject"] == "New subject"


def test_closed_tickets_are_refused(project, zendesk):
    number = sorted(zendesk.rows("tickets"))[5]
    zendesk.change({"tickets": [{"id": number, "external_id": "mine-1", "status": "closed"}]})
    tickets(project, zendesk, more=", use_bulk: never")
    scene.fill(project, [request(1, comment=None)])
    run = project.sync("out", code=3)
    assert run["rejected"] == 1 and "closed" in project.rows("out")[0]["text"].lower()


@pytest.mark.parametrize("how", ["add", "remove", "set"])
@pytest.mark.parametrize("of", ["ticket", "user"])
def test_tags(project, zendesk, how, of):
    living = [row for row in zendesk.state()[of + "s"] if row.get("active", True) and row.get("status") not in ("closed", "deleted")]
    chosen = [row["id"] for row in living[:3]]
    zendesk.change({of + "s": [{"id": number, "tags": ["old", "gone"]} for number in chosen]})
    scene.activate(project, zendesk, of + "_tags", {of + "_id": "INTEGER", "tags": "TEXT"}, of + "_id", "mirror",
                   to=f", tags: {how}")
    scene.fill(project, [{of + "_id": number, "tags": "gone new"} for number in chosen])
    assert project.sync("out")["applied"] == 3
    wanted = {"add": {"old", "gone", "new"}, "remove": {"old"}, "set": {"gone", "new"}}[how]
    assert all(set(zendesk.rows(of + "s")[number]["tags"]) == wanted for number in chosen)
    scene.fill(project, [{of + "_id": number, "tags": "gone new"} for number in chosen[1:]])
    project.sync("out")
    wanted = {"add": {"old"}, "remove": {"old"}, "set": set()}[how]
    assert set(zendesk.rows(of + "s")[chosen[0]]["tags"]) == wanted


# ---- jobs and doubt ----

FAULTS = {
    "job_failed": {"kind": "job_failed", "after": 3},
    "job_killed": {"kind": "job_killed", "after": 3},
    "vanished and done": {"kind": "job_vanish", "applied": True},
    "vanished and not done": {"kind": "job_vanish", "applied": False},
    "object results": {"kind": "job_object_results"},
    "reset": {"kind": "reset"},
    "reset and done": {"kind": "reset", "applied": True},
    "500 and done": {"kind": "status", "status": 500, "applied": True},
    "html and done": {"kind": "html", "applied": True},
    "cut": {"kind": "cut", "keep_bytes": 20},
    "429 and no header": {"kind": "throttle", "retry_after": 0},
    "503": {"kind": "status", "status": 503, "headers": {"Retry-After": "0"}},
    "409": {"kind": "conflict"},
    "503 and done": {"kind": "status", "status": 503, "applied": True},
    "504 and done": {"kind": "status", "status": 504, "applied": True},
}


JOB_CASES = [("tickets", fault) for fault in FAULTS]
JOB_CASES += [("users", fault) for fault in ("job_killed", "vanished and not done", "reset and done", "503")]


@pytest.mark.parametrize("what, fault", JOB_CASES)
def test_a_job_goes_wrong_and_each_row_arrives_once(project, zendesk, what, fault):
    path = "/api/v2/users/create_or_update_many" if what == "users" else "/api/v2/tickets/create_many"
    zendesk.fault({**FAULTS[fault], "path": path, "count": 1})
    if what == "users":
        users(project, zendesk)
        rows = [person(n) for n in range(10)]
    else:
        tickets(project, zendesk)
        rows = [request(n) for n in range(10)]
    scene.fill(project, rows)
    project.dray("sync", "out")
    project.dray("sync", "out").expect(0)
    if what == "users":
        assert_people(zendesk, rows)
    else:
        held = by_external_id(zendesk, "tickets", "mine-")
        assert {name: len(found) for name, found in held.items()} == {row["external_id"]: 1 for row in rows}
    mark = zendesk.mark()
    project.dray("sync", "out").expect(0)
    assert zendesk.requests(mark, scene.WRITES) == []


SINGLE_CASES = [("", fault) for fault in ("reset", "500 and done", "cut", "429 and no header", "409")]
SINGLE_CASES += [(", match_by: none", fault) for fault in ("reset", "reset and done", "html and done", "503 and done", "504 and done")]


@pytest.mark.parametrize("to, fault", SINGLE_CASES)
def test_a_single_ticket_in_doubt_is_made_once(project, zendesk, fault, to):
    zendesk.fault({**FAULTS[fault], "path": "/api/v2/tickets", "method": "POST", "nth": 3, "count": 1})
    tickets(project, zendesk, "create", more=", use_bulk: never", to=to)
    rows = [request(n) for n in range(6)]
    scene.fill(project, rows)
    project.dray("sync", "out")
    project.dray("sync", "out").expect(0)
    held = by_external_id(zendesk, "tickets", "mine-")
    assert {name: len(found) for name, found in held.items()} == {row["external_id"]: 1 for row in rows}


HOUR = 3600


@pytest.mark.parametrize("hours, applied", [(1, None), (3, True), (3, False)], ids=["young", "old, made", "old, not made"])
def test_tickets_in_doubt_for_longer_than_a_key_lives(project, zendesk, hours, applied):
    """Zendesk remembers an Idempotency-Key for two hours. A run dies while a ticket is on its way, and the next one comes later:
    sent again under its key then, the ticket would be made twice."""
    path = {"path": "/api/v2/tickets", "method": "POST"}
    zendesk.fault({**FAULTS["reset and done" if applied is not False else "reset"], **path, "nth": 3, "count": 1},
                  {**FAULTS["503"], **path, "nth": 4, "count": 200})
    tickets(project, zendesk, "create", more=", use_bulk: never", to=", match_by: none")
    rows = [request(n) for n in range(3)]
    scene.fill(project, rows)
    made = lambda: {name: len(found) for name, found in by_external_id(zendesk, "tickets", "mine-").items()}  # noqa: E731
    project.dray("sync", "out")
    there = made()
    assert len(there) == (2 if applied is False else 3) and set(there.values()) == {1}
    zendesk.clear_faults()
    zendesk.advance(hours * HOUR)
    project.environment["DRAY_CLOCK_AHEAD_MS"] = str(hours * HOUR * 1000)
    mark = zendesk.mark()
    run = project.dray("sync", "out", "--json").line("run")
    if hours == 1:
        assert run["in_doubt"] == 0 and len(made()) == 3 and set(made().values()) == {1}, run
        assert project.dray("sync", "out").expect(0) and set(made().values()) == {1}
        return
    assert zendesk.requests(mark, scene.WRITES, "/tickets") == [] and made() == there, "it was sent again, under a key that is forgotten"
    told = project.rows("out")
    assert len(told) == 1 and told[0]["error"] == "state_in_doubt", told
    assert "may have forgotten" in told[0]["text"] and "dray rows resolve" in told[0]["text"], told
    project.dray("rows", "resolve", "out", "--applied" if applied else "--resend").expect(0)
    project.dray("sync", "out").expect(0)
    assert made() == {row["external_id"]: 1 for row in rows}
    project.dray("sync", "out").expect(0)
    assert project.rows("out") == [] and made() == {row["external_id"]: 1 for row in rows}


@pytest.mark.parametrize("first, second", [("reset and done", "429 and no header"), ("429 and no header", "reset and done"),
                                           ("409", "reset and done"), ("reset and done", "409"), ("503 and done", "503"),
                                           ("reset and done", "reset and done")])
def test_a_lost_answer_and_a_row_that_is_put_off_in_one_batch(project, zendesk, first, second):
    """Tickets that are only created: what is sent again under its key is not sent under another one as well."""
    path = {"path": "/api/v2/tickets", "method": "POST", "count": 1}
    zendesk.fault({**FAULTS[first], **path, "nth": 5}, {**FAULTS[second], **path, "nth": 9})
    tickets(project, zendesk, "create", to=", match_by: none")
    rows = [request(n) for n in range(20)]
    scene.fill(project, rows)
    run = project.sync("out")
    assert (run["applied"], run["in_doubt"], run["rejected"], run["kept_back"]) == (20, 0, 0, 0)
    assert collections.Counter(made(zendesk).values()) == {1: 20}


def made(zendesk):
    """How often each ticket was made one by one, by the ledger."""
    return collections.Counter(json.loads(line["body"])["ticket"]["external_id"]
                               for line in zendesk.requests(methods=("POST",), path="/api/v2/tickets")
                               for row in line["rows"] or [] if row["became"] == "created")


def test_a_limit_that_lets_one_row_through_at_a_time(project, zendesk):
    """More refusals than a row may have: none of them is the row's, and all are sent by the same run."""
    zendesk.fault(*({"kind": "throttle", "retry_after": 0, "path": "/api/v2/tickets", "method": "POST", "nth": nth}
                    for nth in range(2, 25, 2)))
    tickets(project, zendesk, "create", more=", use_bulk: never")
    rows = [request(n) for n in range(12)]
    scene.fill(project, rows)
    run = project.sync("out")
    assert (run["applied"], run["refused"], run["rejected"], run["kept_back"]) == (12, 0, 0, 0)
    assert zendesk.calls()["throttled"] > 5
    assert made(zendesk) == {row["external_id"]: 1 for row in rows}
    assert project.rows("out") == []


def test_a_limit_in_a_jobs_result_is_not_the_rows_fault(project, zendesk):
    """What the limit keeps back for longer than a run waits is the next run's, and the run says so."""
    zendesk.fault({"kind": "job_rows", "indexes": [0], "error": "TooManyRequests", "details": "429", "count": 200},
                  {"kind": "throttle", "retry_after": 0, "path": "/api/v2/tickets", "method": "POST", "count": 500})
    tickets(project, zendesk)
    rows = [request(n) for n in range(10)]
    scene.fill(project, rows)
    result = project.dray("sync", "out", env={"DRAY_LIMIT_MS": "200"}).expect(3)
    assert "1 rows were kept back by a limit of the destination and are not refused" in result.err + result.out
    assert project.rows("out") == []
    held = by_external_id(zendesk, "tickets", "mine-")
    assert sorted(len(found) for found in held.values()) == [1] * 9
    zendesk.clear_faults()
    run = project.sync("out")
    assert (run["applied"], run["refused"], run["kept_back"]) == (1, 0, 0)
    held = by_external_id(zendesk, "tickets", "mine-")
    assert {name: len(found) for name, found in held.items()} == {row["external_id"]: 1 for row in rows}


KILL_CASES = [("tickets", step) for step in ("delivery.sending", "delivery.written", "delivery.answered", "delivery.mirrored")]
KILL_CASES += [("users", step) for step in ("delivery.written", "delivery.settled")]


@pytest.mark.parametrize("what, step", KILL_CASES)
def test_killed_at_a_step(project, zendesk, step, what):
    if what == "users":
        users(project, zendesk, more=", batch_size: 10")
        rows = [person(n) for n in range(25)]
    else:
        tickets(project, zendesk, more=", batch_size: 10")
        rows = [request(n) for n in range(25)]
    scene.fill(project, rows)
    process = project.start("sync", "out", env={"DRAY_FAULT": f"kill:{step}:1"})
    process.communicate()
    project.dray("sync", "out")
    project.dray("sync", "out").expect(0)
    if what == "users":
        assert_people(zendesk, rows)
    else:
        held = by_external_id(zendesk, "tickets", "mine-")
        assert {name: len(found) for name, found in held.items()} == {row["external_id"]: 1 for row in rows}


def test_jobs_survive_a_restart(project, zendesk):
    users(project, zendesk)
    rows = [person(n) for n in range(30)]
    scene.fill(project, rows)
    zendesk.fault({"kind": "job_slow", "seconds": 3600, "count": -1})
    run = project.sync("out", env={"DRAY_POLL_MS": "0"})
    assert run["pending"] == 30
    zendesk.advance(3600)
    harness.wait_until(lambda: len(by_external_id(zendesk)) == 30, what="the job")
    mark = zendesk.mark()
    run = project.sync("out")
    assert run["pending"] == 0
    assert zendesk.requests(mark, scene.WRITES) == []
    assert_people(zendesk, rows)


def test_more_jobs_than_zendesk_queues(project, zendesk):
    users(project, zendesk, more=", batch_size: 5")
    rows = [person(n) for n in range(300)]
    scene.fill(project, rows)
    run = project.sync("out")
    assert (run["applied"], run["rejected"]) == (300, 0)
    assert_people(zendesk, rows)


def test_two_syncs_share_the_accounts_budget(project, tmp_path):
    with scene.Zendesk(tmp_path, "--users", 20, "--tickets", 10, "--rate-limit", 200) as zendesk:
        zendesk.settings(endpoint_limits={"user_update": 0})
        users(project, zendesk, more=", use_bulk: never")
        scene.fill(project, [person(n) for n in range(40)])
        processes = [project.start("sync", "out"), project.start("check")]
        results = [project.finish(process) for process in processes]
        results[0].expect(0)
        assert zendesk.calls()["throttled"] == 0


def test_a_run_that_waits_for_another_process_ends_when_it_is_told_to(project, zendesk):
    """A process was stopped while it looked at the budget that all share: the others wait for it, and can be ended."""
    users(project, zendesk)
    scene.fill(project, [person(1)])
    project.sync("out")
    scene.fill(project, [person(1), person(2)])
    budgets = list((project.folder / ".dray" / "shared").iterdir())
    assert budgets
    with contextlib.ExitStack() as stack:
        for path in budgets:
            file = stack.enter_context(path.open("r+b"))
            fcntl.lockf(file, fcntl.LOCK_EX, 1)
        process = project.start("sync", "out")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        process.send_signal(signal.SIGTERM)
        told = project.finish(process).expect(143)
        assert "the run was asked to end" in told.err, told  # and did, by itself
    assert project.sync("out")["applied"] == 1


def test_a_missing_write_scope_stops_the_run(project, zendesk):
    users(project, zendesk)
    zendesk.fault({"kind": "no_scope", "path": "/api/v2/users/create*", "scopes": ["users:write"], "count": -1})
    scene.fill(project, [person(n) for n in range(3)])
    result = project.dray("sync", "out").expect(5)
    assert "scope" in result.err and project.rows("out") == []


@pytest.mark.parametrize("seed", range(int(os.environ.get("DRAY_ZENDESK_SEEDS", "2"))))
def test_killed_at_any_moment(project, zendesk, seed):
    """Tickets are not idempotent: each is there once, whenever the run died. DRAY_ZENDESK_SEEDS=20 runs long."""
    dice = random.Random(seed)
    bulk = dice.choice(["auto", "never"])
    tickets(project, zendesk, more=f", batch_size: {dice.choice([3, 10, 100])}, use_bulk: {bulk}")
    rows = [request(n) for n in range(30)]
    scene.fill(project, rows)
    for _ in range(2):
        zendesk.fault({"kind": "slow", "seconds": 0.05, "path": "/api/v2/tickets*", "count": -1})
        mark, seen = zendesk.mark(), dice.randrange(1, 25)
        process = project.start("sync", "out")
        harness.wait_until(lambda: process.poll() is not None or len(zendesk.requests(mark)) >= seen, what="requests")
        project.kill(process)
    zendesk.clear_faults()
    project.dray("sync", "out")
    project.dray("sync", "out").expect(0)
    held = by_external_id(zendesk, "tickets", "mine-")
    assert {name: len(found) for name, found in held.items()} == {row["external_id"]: 1 for row in rows}
