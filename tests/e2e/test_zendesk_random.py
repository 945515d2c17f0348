# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Zendesk by dice: changes, faults and deaths in any order, and then what is held here is what is held there.

DRAY_RANDOM_SEEDS=20 runs long; DRAY_RANDOM_FIRST is the first seed, DRAY_RANDOM_ROUNDS the rounds of each.
"""

import collections
import os
import random
import time

import pytest

import zendesk_scene as scene
from test_zendesk_source import differences, living, table

FIRST = int(os.environ.get("DRAY_RANDOM_FIRST", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("DRAY_RANDOM_SEEDS", "1")))
ROUNDS = int(os.environ.get("DRAY_RANDOM_ROUNDS", "3"))
READS = ("tickets", "ticket_comments", "ticket_metrics", "users", "organizations", "organization_memberships")

PASSING = [{"kind": "throttle", "retry_after": 0}, {"kind": "reset"}, {"kind": "cut", "keep_bytes": 30},
           {"kind": "status", "status": 503, "headers": {"Retry-After": "0"}}, {"kind": "status", "status": 502, "body": "<html>"},
           {"kind": "html"}, {"kind": "not_json"}, {"kind": "status", "status": 401, "body": {"error": "invalid_token"}}]


def faults(dice, path, kinds, most=2):
    return [{**dice.choice(kinds), "path": path, "nth": dice.randrange(1, 8), "count": 1} for _ in range(dice.randrange(most + 1))]


def run(dice, project, zendesk, *arguments):
    """A run that may die at any request."""
    dies = dice.random() < 0.5
    mark, least = zendesk.mark(), dice.randrange(1, 20)
    process = project.start(*arguments)
    end = time.monotonic() + 60
    while dies and process.poll() is None and len(zendesk.ledger()) - mark < least and time.monotonic() < end:
        time.sleep(0.01)
    if dies:
        time.sleep(dice.random() * 0.05)
        project.kill(process)
        return None
    result = project.finish(process, arguments)
    assert 0 <= result.code < 8, str(result)
    return result


# ---- source ----

def disturb(dice, zendesk):
    """A few orders of what agents and the system do."""
    users, tickets, companies = (sorted(living(zendesk, name)) for name in ("users", "tickets", "organizations"))
    open_tickets = [number for number in tickets if zendesk.rows("tickets")[number]["status"] not in ("closed", "deleted")]
    ends = [row["id"] for row in living(zendesk, "users").values() if row["role"] == "end-user"]
    word = f"w{dice.randrange(10**9)}"
    orders = [
        {"users": [{"name": f"New {word}", "email": f"{word}@dray.example"} for _ in range(1)]},
        {"users": [{"id": number, "notes": word} for number in dice.sample(users, 3)]},
        {"organizations": [{"name": f"Company {word}"}]},
        {"organizations": [{"id": number, "notes": word} for number in dice.sample(companies, 2)]},
        {"tickets": [{"subject": word, "comment": {"body": f"first of {word}"}, "requester_id": dice.choice(ends)}]},
        {"tickets": [{"id": number, "subject": word, "comment": {"body": f"{number} {word}"}} for number in dice.sample(open_tickets, 3)]},
        {"system_update": dice.sample(open_tickets, 2)},
        {"same_second": {dice.choice(["users", "tickets", "organizations"]): None}},
        {"delete": {"tickets": [dice.choice(tickets)]}},
        {"delete": {"users": [dice.choice(ends)]}},
        {"delete": {"organizations": [dice.choice(companies)]}},
        {"delete": {"organization_memberships": dice.sample(sorted(zendesk.rows("organization_memberships")), 1)}},
        {"drop_cursors": True},
    ]
    for order in dice.sample(orders, 4):
        if "same_second" in order:
            [name] = order["same_second"]
            ids = {"users": users, "tickets": tickets, "organizations": companies}[name]
            order["same_second"][name] = {"ids": dice.sample(ids, 8), "ago_s": 0}
        try:
            zendesk.change(order)
        except AssertionError as reason:  # an order that this record does not take any more
            if "400" not in str(reason):
                raise


def compare(zendesk, project):
    for name in ("tickets", "users", "organizations", "organization_memberships"):
        assert differences(project, name, living(zendesk, name)) == [], name
    tickets = living(zendesk, "tickets")
    metrics = {row["ticket_id"]: row for row in zendesk.state()["metrics"] if row["ticket_id"] in tickets}
    assert differences(project, "ticket_metrics", metrics, "ticket_id") == []
    comments = {event["id"]: event["body"] for audit in zendesk.state()["audits"] for event in audit["events"]
                if event["type"] == "Comment" and audit["ticket_id"] in tickets}
    held = {number: row["body"] for number, row in table(project, "ticket_comments").items() if row["ticket_id"] in tickets}
    assert held == comments


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_read_is_what_is_held(project, tmp_path, seed):
    dice = random.Random(seed)
    with scene.Zendesk(tmp_path, "--users", 40, "--tickets", 40) as zendesk:
        scene.ingest(project, zendesk, READS, more=f", page_size: {dice.choice([5, 9, 40])}")
        for _ in range(ROUNDS):
            zendesk.fault(*faults(dice, "/api/v2/*", PASSING, 3), {"kind": "slow", "seconds": 0.01, "path": "/api/v2/*", "count": -1},
                          *([{"kind": dice.choice(["empty_page", "stale_cursor"]), "path": "/api/v2/incremental/*", "nth": 3, "count": 1}]))
            disturb(dice, zendesk)
            run(dice, project, zendesk, "sync", "--all")
            zendesk.advance(dice.choice([0, 30, 61, 400]))
            zendesk.clear_faults()
        zendesk.advance(200)
        project.dray("sync", "--all").expect(0)
        compare(zendesk, project)


# ---- destination ----

LOST = PASSING + [{"kind": "reset", "applied": True}, {"kind": "html", "applied": True},
                  {"kind": "status", "status": 500, "applied": True}, {"kind": "conflict"}]
JOBS = [{"kind": "job_failed", "after": 2}, {"kind": "job_killed", "after": 1}, {"kind": "job_vanish", "applied": True},
        {"kind": "job_vanish", "applied": False}, {"kind": "job_object_results"}, {"kind": "job_slow", "seconds": 1}]
TICKETS = {"external_id": "TEXT", "subject": "TEXT", "priority": "TEXT", "tags": "TEXT", "comment": "TEXT", "requester_email": "TEXT",
           "requester_name": "TEXT"}


def ticket(dice, name, turn):
    return {"external_id": name, "subject": f"{name} in turn {turn}", "priority": dice.choice(["low", "high", "urgent"]),
            "tags": dice.choice(["", "one", "two three"]), "comment": f"{name} says {turn}", "requester_email": "ada@dray.example",
            "requester_name": "Ada"}


def check_tickets(zendesk, rows):
    held = collections.defaultdict(list)
    for row in zendesk.state()["tickets"]:
        held[row["external_id"]].append(row)
    said = collections.Counter((audit["ticket_id"], event["body"]) for audit in zendesk.state()["audits"]
                               for event in audit["events"] if event["type"] == "Comment")
    for name, wanted in rows.items():
        assert len(held[name]) == 1, (name, held[name])
        [row] = held[name]
        assert (row["subject"], row["priority"], sorted(row["tags"])) == (
            wanted["subject"], wanted["priority"], sorted(wanted["tags"].split())), name
        mine = {body: count for (number, body), count in said.items() if number == row["id"] and " says " in body}
        assert mine.get(wanted["comment"]) == 1 and set(mine.values()) == {1}, (name, mine)


@pytest.mark.parametrize("seed", SEEDS)
def test_tickets_are_written_once(project, tmp_path, seed):
    dice = random.Random(seed)
    with scene.Zendesk(tmp_path, "--users", 20, "--tickets", 10) as zendesk:
        scene.activate(project, zendesk, "tickets", TICKETS, "external_id",
                       more=f", batch_size: {dice.choice([3, 7, 100])}, use_bulk: {dice.choice(['auto', 'auto', 'never'])}")
        rows = {}
        for turn in range(ROUNDS):
            for _ in range(dice.randrange(1, 12)):
                name = f"mine-{dice.randrange(20)}"
                rows[name] = ticket(dice, name, turn)
            scene.fill(project, list(rows.values()))
            zendesk.fault(*faults(dice, "/api/v2/*", LOST, 3), *faults(dice, "/api/v2/tickets/*_many", JOBS, 1),
                          {"kind": "slow", "seconds": 0.01, "path": "/api/v2/*", "count": -1})
            run(dice, project, zendesk, "sync", "out")
            mine = [row["id"] for row in zendesk.state()["tickets"] if str(row["external_id"]).startswith("mine-")]
            if mine and dice.random() < 0.7:  # an agent, or a trigger
                zendesk.change({"tickets": [{"id": dice.choice(mine), "status": "open", "type": "question"}]})
            if mine and dice.random() < 0.7:
                zendesk.change({"tickets": [{"id": dice.choice(mine), "priority": "normal", "comment": {"body": "an agent's"}}]})
            zendesk.clear_faults()
        zendesk.advance(20)
        for turn in range(3):  # what is in doubt is settled
            result = project.dray("sync", "out")
        result.expect(0)
        for row in rows.values():  # whoever has changed it, the row's values are set anew
            row["subject"], row["priority"] = row["subject"] + ".", dice.choice(["low", "high"]) if row["priority"] == "urgent" else "urgent"
        scene.fill(project, list(rows.values()))
        project.dray("sync", "out").expect(0)
        check_tickets(zendesk, rows)
        mark = zendesk.mark()
        project.dray("sync", "out").expect(0)
        assert zendesk.requests(mark, scene.WRITES) == []
