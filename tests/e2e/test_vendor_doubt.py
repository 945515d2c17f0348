# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Every object of every vendor through every way in which an answer is lost: each row has one outcome, arrives once, and the run
after that has nothing to do. Members, users and tickets have more of this in files of their own."""
import json

import pytest

from driver import vendor_kills

ROWS = 3
LOST = [{"kind": "reset"}, {"kind": "reset", "applied": True}, {"kind": "status", "status": 500, "applied": True}, {"kind": "html"},
        {"kind": "cut", "keep_bytes": 40}]

WRITES = {
    "shopify": [{"body_contains": '"mutation'}],
    "zendesk": [{"path": "/api/v2/*", "method": method} for method in ("POST", "PUT")],
    "mailchimp": [{"path": "/3.0/lists/*", "method": "POST"}],
}


class Thing:
    """An object. `rows(account, version)`: the model's; `held(account)`: the vendor's side of them, to compare with
    `wanted(rows)`, by default the rows themselves."""

    def __init__(self, vendor, name, columns, key, rows, held, to=None):
        self.vendor, self.name, self.columns, self.key = vendor, name, columns, key
        self.rows, self.held, self.to = rows, held, to or (lambda account: "")


def customers(account):
    """Some with an address, by id."""
    found = [one for one in account.records("Customer") if one["email"] and not one["email"].endswith("@dray.test")]
    return {one["id"]: one for one in found[:ROWS]}


def orders(account):
    return {one["id"]: one for one in account.records("Order")[:ROWS]}


def tagged(records, name="tags"):
    return {(key, tag) for key, one in records.items() for tag in one[name]}


def consent(version):
    return "UNSUBSCRIBED" if version % 2 else "SUBSCRIBED"


def living(account, table):
    rows = account.sim.state(f"?tables={table}")[table]
    good = [row for row in rows if row.get("active", True) and row.get("status") not in ("closed", "deleted")]
    return {row["id"]: row for row in good if row.get("role", "end-user") == "end-user"}


def pairs(account):
    return [(row["user_id"], row["organization_id"]) for row in account.sim.state("?tables=organization_memberships")["organization_memberships"]]


def new_pairs(account, version):
    """Users with organizations that they are not in; the same for the same version."""
    companies = sorted(row["id"] for row in account.sim.state("?tables=organizations")["organizations"] if not row.get("deleted_at"))
    return [(user, companies[(version + n) % len(companies)]) for n, user in enumerate(sorted(living(account, "users"))[:ROWS])]


def willing(account):
    return sorted(member["email_address"] for member in account.members().values() if member["status"] == "subscribed")


def member_tags(account):
    return [(member["email_address"], tag["name"] if isinstance(tag, dict) else tag) for member in account.members().values()
            for tag in member["tags"]]


def segment(account):
    """A static one: to its members it is a tag."""
    return next(one for one in account.sim.state()["lists"][account.list]["segments"] if one["type"] == "static")


def of_segment(account, name):
    return [(email,) for email, tag in member_tags(account) if tag == name]


def in_list(account):
    return f', list_id: "{account.list}"'


THINGS = [
    Thing("shopify", "customers", ("email", "note"), ["email"],
          lambda account, v: [(one["email"], f"note {v}") for one in customers(account).values()],
          lambda account: [(one["email"], one["note"]) for one in account.records("Customer")]),
    Thing("shopify", "customer_tags", ("id", "tag"), ["id", "tag"],
          lambda account, v: [(key, f"lost {v}") for key in customers(account)],
          lambda account: [(one["id"], tag) for one in account.records("Customer") for tag in one["tags"]]),
    Thing("shopify", "metafields", ("owner_id", "namespace", "key", "value", "type"), ["owner_id", "namespace", "key"],
          lambda account, v: [(key, "lost", "rank", str(v), "number_integer") for key in customers(account)],
          lambda account: [(one["id"], field["namespace"], field["key"], field["value"], field["type"])
                           for one in account.records("Customer") for field in one["metafields"]]),
    Thing("shopify", "customer_consent", ("id", "email_marketing_state", "email_marketing_opt_in_level"), ["id"],
          lambda account, v: [(key, consent(v), "SINGLE_OPT_IN") for key in customers(account)],
          lambda account: [(one["id"], one["emailMarketing"]["state"], "SINGLE_OPT_IN") for one in account.records("Customer")]),
    Thing("shopify", "orders", ("id", "note"), ["id"],
          lambda account, v: [(key, f"note {v}") for key in orders(account)],
          lambda account: [(one["id"], one["note"]) for one in account.records("Order")]),
    Thing("zendesk", "organizations", ("external_id", "name", "notes"), ["external_id"],
          lambda account, v: [(f"crm-{n}", f"Company {n}", f"note {v}") for n in range(ROWS)],
          lambda account: [(row["external_id"], row["name"], row["notes"])
                           for row in account.sim.state("?tables=organizations")["organizations"]]),
    Thing("zendesk", "organization_memberships", ("user_id", "organization_id"), ["user_id", "organization_id"], new_pairs, pairs),
    Thing("zendesk", "ticket_tags", ("ticket_id", "tags"), ["ticket_id"],
          lambda account, v: [(key, f"lost_{v}") for key in sorted(living(account, "tickets"))[:ROWS]],
          lambda account: [(key, tag) for key, row in living(account, "tickets").items() for tag in row["tags"]]),
    Thing("zendesk", "user_tags", ("user_id", "tags"), ["user_id"],
          lambda account, v: [(key, f"lost_{v}") for key in sorted(living(account, "users"))[:ROWS]],
          lambda account: [(key, tag) for key, row in living(account, "users").items() for tag in row["tags"]]),
    Thing("mailchimp", "member_tags", ("email_address", "tag"), ["email_address", "tag"],
          lambda account, v: [(email, f"lost {v}") for email in willing(account)[:ROWS]], member_tags, in_list),
    Thing("mailchimp", "segment_members", ("email_address",), ["email_address"],
          lambda account, v: [(email,) for email in willing(account)[ROWS * v:ROWS * (v + 1)]],
          lambda account: of_segment(account, segment(account)["name"]),
          lambda account: f'{in_list(account)}, segment_id: "{segment(account)["id"]}"'),
]


def project_of(account, thing, folder):
    project = vendor_kills.Project(folder)
    project.environment.update(account.environment())
    project.config("connections:\n"
                   f"  vendor: {account.connection()}\n"
                   "  wh: {plugin: sqlite, path: warehouse.db}\n"
                   "models:\n"
                   f"  rows: {{warehouse: wh, sql: \"SELECT {', '.join(thing.columns)} FROM rows\", key: {json.dumps(thing.key)}}}\n"
                   "syncs:\n"
                   f"  out: {{from: {{model: rows}}, to: {{connection: vendor, object: {thing.name}{thing.to(account)}}}, mode: upsert}}\n")
    kinds = {"user_id": "INTEGER", "organization_id": "INTEGER", "ticket_id": "INTEGER"}
    project.execute("CREATE TABLE rows (%s)" % ", ".join(f"{name} {kinds.get(name, 'TEXT')}" for name in thing.columns))
    return project


def fill(project, thing, rows):
    project.execute_many("DELETE FROM rows", f"INSERT INTO rows VALUES ({', '.join('?' * len(thing.columns))})", rows)


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: f"{thing.vendor}-{thing.name}")
def test_no_answer_is_lost(shared_account, tmp_path, thing):
    account = shared_account(thing.vendor)
    project = project_of(account, thing, tmp_path / "project")
    for version, fault in enumerate(LOST, 1):
        rows = thing.rows(account, version)
        assert len(rows) == ROWS
        fill(project, thing, rows)
        account.sim.fault(*({**fault, **where} for where in WRITES[thing.vendor]))
        result = project.dray("sync", "out", "--json")
        run = result.line("run")
        struck = [one for one in account.sim.sim("GET", "faults")["faults"] if one["struck"]]
        assert struck, (fault, result)
        assert result.code in (0, 1, 3), result
        if result.code != 1:
            assert run["applied"] + run["refused"] + run["in_doubt"] + run["pending"] == ROWS, result
        account.sim.sim("DELETE", "faults")
        if result.code != 0:
            project.dray("sync", "out").expect(0)
        held = thing.held(account)
        assert {row: held.count(row) for row in rows} == {row: 1 for row in rows}, fault
        assert project.rows("out") == [], fault
    mark = len(account.sim.ledger())
    assert project.sync("out")["sent"] == 0
    assert account.writes(account.sim.ledger()[mark:]) == 0
