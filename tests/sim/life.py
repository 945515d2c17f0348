#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What people do in the simulated shop and at its help desk: life.py begin|day SHOP_URL DESK_URL.

`begin`: some of the shop's customers are known at the help desk and have asked something. `day`: a day later. Both go through
the simulators' `/_sim/change`, as by the vendors' own users.
"""
import json
import sys
import urllib.request

ASKED = 40    # customers who are known at the help desk
ORDERED = 3   # customers who order on the day
SOLVED = 2    # questions that are answered on it


def ask(url, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data, {"Content-Type": "application/json"}), timeout=600) as answer:
        return json.load(answer)


def customers(shop):
    """Those who can be written to, in the shop's order."""
    return [one for one in ask(shop, "/_sim/state?kind=Customer")["records"] if one["email"]]


def begin(shop, desk):
    known = customers(shop)[:ASKED]
    ask(desk, "/_sim/change", {"fields": [
        {"object": "users", "key": "rfm", "type": "text", "title": "RFM score"},
        {"object": "users", "key": "open_tickets", "type": "integer", "title": "Open tickets"}]})
    made = ask(desk, "/_sim/change", {"users": [
        {"name": f"{one['firstName'] or ''} {one['lastName'] or ''}".strip() or one["email"], "email": one["email"]} for one in known]})
    ask(desk, "/_sim/change", {"tickets": [
        {"subject": f"Where is my order? ({at})", "comment": {"body": "It was to arrive last week."}, "requester_id": user,
         "status": "open" if at % 3 else "solved"} for at, user in enumerate(made["users"])]})
    ask(desk, "/_sim/clock", {"advance_s": 120})  # exports withhold the last minute


def day(shop, desk):
    for url in (shop, desk):
        ask(url, "/_sim/clock", {"advance_s": 86400})
    people = customers(shop)
    willing = [one for one in people if one["emailMarketing"]["state"] == "SUBSCRIBED"]
    ask(shop, "/_sim/change", {"create": [
        {"__typename": "Order", "$customer": one["id"], "$total": 49900 + 1000 * at} for at, one in enumerate(willing[-ORDERED:])]})
    known = {one["email"].lower() for one in people[:ASKED]}
    state = ask(desk, "/_sim/state")
    users = {user["id"] for user in state["users"] if (user["email"] or "").lower() in known}
    waiting = [ticket["id"] for ticket in state["tickets"] if ticket["requester_id"] in users and ticket["status"] == "open"]
    ask(desk, "/_sim/change", {"tickets": [{"id": number, "status": "solved"} for number in waiting[:SOLVED]]})
    ask(desk, "/_sim/clock", {"advance_s": 120})


if __name__ == "__main__":
    {"begin": begin, "day": day}[sys.argv[1]](*sys.argv[2:4])
