# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What the account's own users do while a client works: POST /_sim/change. And the switches of an account: /_sim/settings."""

from server.clock import iso

from . import companies, people, seed, tickets
from .errors import Conflict, Denied, Invalid, NotFound

ORDERS = {"users", "organizations", "tickets", "delete", "delete_for_good", "scrub", "system_update", "same_second", "fields",
          "drop_fields", "revoke", "drop_cursors", "code", "ratings"}


def change(simulator, order):
    """Does every part of the order; gives the ids of what was made: {"users": [...], ...}."""
    unknown = set(order) - ORDERS
    if unknown:
        raise ValueError(f"no such change: {sorted(unknown)}, one of {sorted(ORDERS)}")
    try:
        return Changes(simulator).run(order)
    except (Invalid, NotFound, Denied, Conflict) as problem:
        raise ValueError(f"{type(problem).__name__}: {problem}") from None


class Changes:
    def __init__(self, simulator):
        self.simulator, self.world = simulator, simulator.world

    def run(self, order):
        made = {}
        for field in order.get("fields", ()):
            kind = field.pop("object")
            options = [tuple(one) for one in field.pop("options", ())]
            row = seed.define(self.world, kind, field.pop("key", None), field.pop("type"), field.pop("title"), options=options, **field)
            self.simulator.fill_field(kind, row)
            made.setdefault("fields", []).append(row["id"])
        for name in order.get("drop_fields", ()):
            self.drop_field(name)
        for table, make in (("users", self.user), ("organizations", self.organization), ("tickets", self.ticket)):
            for body in order.get(table, ()):
                made.setdefault(table, []).append(make(dict(body)))
        for table, numbers in order.get("delete", {}).items():
            self.delete(table, numbers)
        for number in order.get("delete_for_good", ()):
            people.delete_for_good(self.world, self.world.get("users", number))
        for number in order.get("scrub", ()):
            tickets.scrub(self.world, self.world.get("tickets", number))
        for number in order.get("system_update", ()):
            row = self.world.get("tickets", number)
            row["_stamp"] = row["generated_timestamp"] = self.world.now()  # updated_at stays as it was
            self.world.tables["tickets"].changed()
        for table, group in order.get("same_second", {}).items():
            self.same_second(table, group)
        for number in order.get("ratings", ()):
            ticket = self.world.get("tickets", number)
            row = self.world.add("satisfaction_ratings", {
                "assignee_id": ticket["assignee_id"], "group_id": ticket["group_id"], "requester_id": ticket["requester_id"],
                "ticket_id": number, "score": "good", "comment": None, "reason": None, "reason_id": None, "reason_code": None})
            made.setdefault("ratings", []).append(row["id"])
        if order.get("drop_cursors"):
            self.simulator.exports.generation += 1
        if order.get("revoke"):
            self.revoke(order["revoke"])
        if order.get("code"):
            made["code"] = self.simulator.auth.code(order["code"])
        return made

    def user(self, body):
        if "id" not in body:
            return people.create(self.world, {"skip_verify_email": True, **body})["id"]
        row = self.world.get("users", body.pop("id"))
        people.update(self.world, row, body)
        return row["id"]

    def organization(self, body):
        if "id" not in body:
            return companies.create(self.world, body)["id"]
        row = self.world.get("organizations", body.pop("id"))
        companies.update(self.world, row, body)
        return row["id"]

    def ticket(self, body):
        if "id" not in body:
            return tickets.create(self.world, body, self.world.admin_id)[0]["id"]
        row = self.world.get("tickets", body.pop("id"))
        tickets.update(self.world, row, body, self.world.admin_id)
        return row["id"]

    def delete(self, table, numbers):
        act = {"users": people.delete, "organizations": companies.delete, "tickets": tickets.delete,
               "organization_memberships": companies.leave}.get(table)
        for number in numbers:
            row = self.world.get(table, number)
            if act:
                act(self.world, row)
            elif table == "groups":
                row["deleted"] = True
                self.world.touch("groups", row)
            elif table == "brands":
                row["is_deleted"], row["active"] = True, False
                self.world.touch("brands", row)
            else:
                self.world.remove(table, number)

    def same_second(self, table, group):
        """{"ids": [...], "ago_s": n}: all of them are as if changed in one second, so long ago."""
        at = self.world.now() - int(group["ago_s"])
        for number in group["ids"]:
            row = self.world.get(table, number)
            row["_stamp"], row["updated_at"] = at, iso(at)
            if table == "tickets":
                row["generated_timestamp"] = at
        self.world.tables[table].changed()

    def drop_field(self, name):
        """`users.key`, `organizations.key` or `tickets.id`."""
        kind, _, key = name.partition(".")
        found = self.world.fields(kind).get(int(key) if kind == "tickets" else key)
        if found is None:
            raise ValueError(f"no field {name}")
        self.simulator.drop_field(kind, found)

    def revoke(self, what):
        """access: what is in use ends, refreshing still works. all: everything but the API token. api_tokens: those."""
        auth = self.simulator.auth
        if what == "access":
            auth.access.clear()
        elif what == "all":
            for row in list(auth.access.values()) + list(auth.refresh.values()):
                auth.kill(row)
        elif what == "api_tokens":
            auth.api_tokens = False
        else:
            raise ValueError("revoke is access, all or api_tokens")
