# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Bodies made of anything: each is taken or refused, never a defect, and what is refused leaves no trace."""

import random

import pytest

from zendesk import companies, people, tickets

VALUES = [None, 0, -1, 2 ** 70, 1.5, True, "", "x", "é🙂", "a@example.com", "2026-01-01T00:00:00Z", "2026-13-45T99:00:00Z", [], [1], ["a"],
          [None], [[]], [{}], {}, {"name": 5}, {"name": "x", "email": "q@example.com"}, {"body": 5}, {"body": "x"}, [{"id": 1, "value": 1}],
          {"a": {"b": [1]}}]
TABLES = "?tables=users,organizations,tickets,identities,organization_memberships"  # the others would come again and again
QUERIES = ["", "0", "-1", "x", "%00", "%ff", "99999999999999999999", "W10", "MTIz", "1,2,x", "NaN"]


def body_of(dice, declared, fields):
    body = {name: dice.choice(VALUES) for name in dice.sample(sorted(declared), dice.randint(0, 4))}
    if dice.random() < 0.4:
        name, keys = fields
        body[name] = {key: dice.choice(VALUES) for key in keys} if isinstance(keys, tuple) else [
            {"id": dice.choice(keys), "value": dice.choice(VALUES)}]
    return body


@pytest.mark.parametrize("seed", [1, 2])
def test_bodies_of_anything_are_taken_or_refused_and_refusals_leave_no_trace(zendesk, seed):
    dice = random.Random(seed)
    zendesk.settings(rate_limit=0, endpoint_limits={"user_update": 0, "ticket_update": 0})
    state = zendesk.state()
    user, company = state["users"][10]["id"], state["organizations"][3]["id"]
    ticket = next(row["id"] for row in state["tickets"] if row["status"] in ("open", "new"))
    kinds = (
        ("user", people.DECLARED, ("user_fields", ("visits", "ltv", "tier", "interests", "birthday", "plz", "is_vip", "account_manager")),
         (("POST", "users"), ("POST", "users/create_or_update"), ("PUT", f"users/{user}"))),
        ("organization", companies.DECLARED, ("organization_fields", ("visits", "tier", "interests")),
         (("POST", "organizations"), ("POST", "organizations/create_or_update"), ("PUT", f"organizations/{company}"))),
        ("ticket", {**tickets.UPDATING, **tickets.IMPORTING}, ("custom_fields", [row["id"] for row in state["ticket_fields"]]),
         (("POST", "tickets"), ("PUT", f"tickets/{ticket}"), ("POST", "imports/tickets"))))
    held, statuses = zendesk.state(TABLES), set()
    for number in range(100):
        name, declared, fields, routes = dice.choice(kinds)
        method, path = dice.choice(routes)
        body = body_of(dice, declared, fields)
        if dice.random() < 0.8:
            body.update({"name": f"N{number}"} if name != "ticket" else {"subject": "S", "comment": {"body": "x"}})
        reply = zendesk.ask(method, path, {name: body})
        statuses.add(reply.status)
        now = zendesk.state(TABLES)
        now.pop("ignored_fields"), held.pop("ignored_fields", None)  # counted also when another member is refused
        if reply.status >= 400:
            assert now == held, (method, path, body, reply)
        held = now
    assert {200, 201, 422} <= statuses <= {200, 201, 404, 409, 422}, statuses


def test_other_requests_of_anything(zendesk):
    dice = random.Random(4)
    number = zendesk.state("?tables=users")["users"][10]["id"]
    for name in ("page", "per_page", "page[size]", "page[after]", "sort", "include", "external_id"):
        for value in QUERIES:
            assert zendesk.get(f"users?{name}={value}").status in (200, 400)
            assert zendesk.get(f"incremental/users/cursor?{dice.choice(('cursor', 'start_time'))}={value}").status in (200, 400)
            assert zendesk.get(f"users/show_many?{dice.choice(('ids', 'external_ids'))}={value}").status in (200, 400)
    for value in VALUES:
        assert zendesk.post("/oauth/tokens", {"grant_type": value, "client_id": value}).status in (400, 401)
        assert zendesk.post("users/create_or_update_many", {"users": [value, {"name": value}]}).status == 200
        assert zendesk.put("users/update_many", {"users": [value, {"id": value}, {"id": number, "name": value}]}).status == 200
        zendesk.advance(5)
        assert zendesk.post("organization_memberships", {"organization_membership": {
            "user_id": number, "organization_id": value, "default": value}}).status == 422
        assert zendesk.post(f"users/{number}/identities", {"identity": {"type": value, "value": value}}).status == 422
        assert zendesk.post(f"users/{number}/identities", {"identity": {"type": "google", "value": value}}).status in (
            (201, 422) if isinstance(value, str) else (422,))
        assert zendesk.post(f"users/{number}/identities", {"identity": {"type": "google"}}).status == 422
        assert zendesk.put("tickets/1/tags", {"tags": value}).status in (200, 400, 404, 422)
