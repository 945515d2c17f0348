# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Background jobs: asked for together, seen or not, of this program and of others; what lanes of one run need not ask twice."""

import threading

import pytest

import harness
import zendesk_scene as scene
from test_zendesk_destination import assert_people, by_external_id, person, request, tickets, users, zendesk  # noqa: F401

RESOURCES = "users:read users:write tickets:read tickets:write organizations:read organizations:write"


def once_each(zendesk, rows):  # noqa: F811
    held = by_external_id(zendesk, "tickets", "mine-")
    assert {name: len(found) for name, found in held.items()} == {row["external_id"]: 1 for row in rows}


# ---- polls ----

def polls(zendesk, mark):  # noqa: F811
    """(calls that ask for many jobs, calls that ask for one)"""
    asked = [line["path"] for line in zendesk.requests(mark, ("GET",), "/job_statuses/")]
    return sum(path.endswith("/show_many") for path in asked), sum(not path.endswith("/show_many") for path in asked)


@pytest.mark.parametrize("answer", ["together", "404", "no list"])
def test_open_jobs_are_asked_for_by_one_call(project, zendesk, answer):  # noqa: F811
    users(project, zendesk, more=", batch_size: 5")
    rows = [person(n) for n in range(60)]
    scene.fill(project, rows)
    zendesk.fault({"kind": "job_slow", "seconds": 2, "count": -1})
    body = {"404": (404, {"error": "InvalidEndpoint", "description": "Not found"}), "no list": (200, {"count": 0})}
    if answer in body:
        status, text = body[answer]
        zendesk.fault({"kind": "status", "status": status, "body": text, "path": "/api/v2/job_statuses/show_many", "count": -1})
    mark = zendesk.mark()
    assert project.sync("out")["applied"] == 60
    assert_people(zendesk, rows)
    many, single = polls(zendesk, mark)
    if answer == "together":  # a dozen jobs, several rounds: one by one it is a dozen calls a round
        assert 1 <= many <= 8 and single <= 1, (many, single)
    else:
        assert 1 <= many <= 4 and single >= 12, (many, single)  # an instance, of which a run has four, asks once


def test_a_job_that_vanished_among_others(project, zendesk):  # noqa: F811
    users(project, zendesk, more=", batch_size: 5")
    rows = [person(n) for n in range(30)]
    scene.fill(project, rows)
    zendesk.fault({"kind": "job_vanish", "applied": False, "nth": 3, "count": 1}, {"kind": "job_slow", "seconds": 1, "count": -1})
    run = project.sync("out")
    assert (run["applied"], run["in_doubt"], run["pending"]) == (30, 0, 0)
    assert_people(zendesk, rows)


# ---- rights ----

def test_without_the_scope_read_rows_go_one_by_one(project, zendesk):  # noqa: F811
    """Bulk writes are of a resource, jobs are of none: who has the scopes of resources alone may begin one and never see its end."""
    tickets(project, zendesk, more=f', scope: "{RESOURCES} write"')
    zendesk.fault({"kind": "no_scope", "path": "/api/v2/ticket_fields", "count": -1})
    rows = [request(n) for n in range(6)]
    scene.fill(project, rows)
    mark = zendesk.mark()
    result = project.dray("sync", "out", "--json").expect(0)
    assert result.line("run")["applied"] == 6 and "grant" in result.err and "scope read" in result.err
    once_each(zendesk, rows)
    assert zendesk.requests(mark, path="_many") == [] and len(zendesk.requests(mark, path="/job_statuses")) == 1


def test_a_job_in_doubt_that_may_not_be_seen_any_more(project, zendesk):  # noqa: F811
    """No right to see jobs is not that there is none: the rows of this one come later."""
    tickets(project, zendesk)
    rows = [request(n) for n in range(5)]
    scene.fill(project, rows)
    zendesk.fault({"kind": "job_slow", "seconds": 3600, "count": -1})
    project.start("sync", "out", env={"DRAY_FAULT": "kill:delivery.written:1"}).communicate()
    zendesk.clear_faults()
    zendesk.fault({"kind": "no_scope", "path": "/api/v2/job_statuses*", "count": -1})
    mark = zendesk.mark()
    process = project.start("sync", "out")
    harness.wait_until(lambda: zendesk.requests(mark, path="/job_statuses"), what="the read back")
    harness.wait_until(lambda: process.poll() is not None or len(zendesk.requests(mark, path="/job_statuses")) > 2, what="another look")
    assert zendesk.requests(mark, scene.WRITES) == []
    zendesk.advance(3700)  # the job has worked: what it made is found, rights or none
    project.finish(process)
    project.dray("sync", "out").expect(0)
    once_each(zendesk, rows)


def test_check_asks_whether_jobs_may_be_seen(project, zendesk):  # noqa: F811
    tickets(project, zendesk)
    assert "jobs" in project.dray("check").expect(0).out
    zendesk.fault({"kind": "no_scope", "path": "/api/v2/job_statuses*", "count": -1})
    result = project.dray("check")
    assert result.code == 5 and "use_bulk" in result.out + result.err


# ---- other people's jobs ----

class Busy:
    """Another integration: a job every half a second, each of which lasts three."""

    def __init__(self, zendesk):  # noqa: F811
        self.zendesk, self.ends = zendesk, threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        body = {"users": [{"name": "Not ours", "email": "not.ours@dray.example"}]}
        header = {"Authorization": f"Bearer {self.zendesk.hello['access_token']}"}
        while not self.ends.wait(0.5):
            self.zendesk.request("POST", "/api/v2/users/create_or_update_many", body, header)

    def __enter__(self):
        self.zendesk.fault({"kind": "job_slow", "seconds": 3, "path": "/api/v2/users/create_or_update_many", "count": -1})
        self.thread.start()
        harness.wait_until(lambda: any(job["status"] != "completed" for job in self.zendesk.state()["jobs"]), what="a foreign job")
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()


def test_an_account_that_is_never_idle_leaves_nothing_in_doubt(project, zendesk):  # noqa: F811
    """Only jobs that were at work when the answer was lost can hold the rows: those that began later are not waited for."""
    tickets(project, zendesk)
    rows = [request(n) for n in range(6)]
    scene.fill(project, rows)
    zendesk.fault({"kind": "reset", "path": "/api/v2/tickets/create_many", "count": 1})
    with Busy(zendesk):
        run = project.sync("out")
    assert (run["applied"], run["in_doubt"], run["pending"]) == (6, 0, 0)
    once_each(zendesk, rows)


# ---- lanes ----

@pytest.mark.parametrize("bulk", ["auto", "never"])
def test_custom_fields_are_asked_for_once_a_run(project, zendesk, bulk):  # noqa: F811
    users(project, zendesk, more=f", batch_size: 5, use_bulk: {bulk}")
    rows = [person(n) for n in range(40)]
    scene.fill(project, rows)
    for turn in range(2):
        mark = zendesk.mark()
        assert project.sync("out")["applied"] == 40
        assert len(zendesk.requests(mark, path="/user_fields")) == 1
        assert_people(zendesk, rows)
        for row in rows:
            row["visits"] += 100
        scene.fill(project, rows)


# ---- users that are matched by address ----

@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("column", ["notes", "name"])
def test_a_deleted_user_that_is_matched_by_address_is_made_again_whole(project, zendesk, column, count):  # noqa: F811
    table = {"email": "TEXT", "name": "TEXT", "notes": "TEXT", "phone": "TEXT"}
    scene.activate(project, zendesk, "users", table, "email")
    rows = [{"email": f"by{n}@dray.example", "name": f"By {n}", "notes": "first", "phone": f"+49 30 {n}"} for n in range(5)]
    scene.fill(project, rows)
    assert project.sync("out")["applied"] == 5

    def held():
        return {row["email"]: row for row in zendesk.state()["users"] if row["active"] and str(row["email"]).startswith("by")}

    zendesk.change({"delete": {"users": [held()["by1@dray.example"]["id"]]}})
    zendesk.change({"users": [{"id": held()["by2@dray.example"]["id"], "phone": "+1 an agent's"}]})
    for row in rows[1:1 + count]:
        row[column] = row[column] + " changed"
    scene.fill(project, rows)
    run = project.sync("out")
    assert (run["applied"], run["rejected"]) == (count, 0)
    found = held()
    for number, row in enumerate(rows):
        phone = "+1 an agent's" if number == 2 and (column == "notes" or count == 1) else row["phone"]
        assert [found[row["email"]][name] for name in ("name", "notes", "phone")] == [row["name"], row["notes"], phone]
