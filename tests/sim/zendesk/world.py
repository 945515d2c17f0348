# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The account's records and the indexes over them. Nothing of HTTP here.

Records are dicts in the API's shape. Members that begin with `_` are the simulator's own: `_stamp` is the second by which exports
order a record.
"""

from server.clock import iso

# A first id and the step between two: as large as real ones, beyond 2^31, some of 14 digits.
IDS = {
    "users": (1900000000104, 20), "organizations": (1500000000206, 20), "tickets": (1, 1), "groups": (360000000307, 20),
    "group_memberships": (4400000000408, 20), "organization_memberships": (4500000000509, 20),
    "ticket_fields": (27486231200610, 20), "ticket_forms": (360000000711, 20), "user_fields": (360000000812, 20),
    "organization_fields": (360000000913, 20), "satisfaction_ratings": (62000000101400, 20), "brands": (360000001115, 20),
    "macros": (360000001216, 20), "audits": (31000000101300, 1), "events": (32000000101401, 1),
    "metrics": (6000000010150, 20), "metric_events": (926232157301, 1), "identities": (5200000001617, 20),
    "options": (360000001818, 20), "tokens": (1223443, 1),
}
# Where a record of a table lives under /api/v2.
PATHS = {name: name for name in IDS}
PATHS.update(metrics="ticket_metrics", tokens="oauth/tokens")


class Table:
    """Rows by id; `ordered(key)` keeps a sorted list until a row changes."""

    def __init__(self):
        self.rows = {}
        self.version = 0
        self.sorted = {}

    def changed(self):
        self.version += 1

    def ordered(self, name, key):
        kept = self.sorted.get(name)
        if kept is None or kept[0] != self.version:
            kept = (self.version, sorted(self.rows.values(), key=key))
            self.sorted[name] = kept
        return kept[1]

    def by_id(self):
        return self.ordered("id", lambda row: row["id"])

    def by_stamp(self):
        """For exports: (second of the last change, id)."""
        return self.ordered("stamp", lambda row: (row["_stamp"], row["id"]))


class World:
    def __init__(self, clock):
        self.clock = clock
        self.tables = {name: Table() for name in IDS}
        self.next_id = {name: first for name, (first, _) in IDS.items()}
        self.user_by_email = {}     # every identity's address -> user id
        self.user_by_external = {}  # lower-cased
        self.organization_by_external, self.organization_by_name = {}, {}
        self.tickets_by_external = {}
        self.audits_of = {}         # ticket id -> audits in order
        self.mails = []             # what the account would have sent: {"to", "why"}
        self.ignored = {}           # keys of custom fields that were written and do not exist -> how often
        self.metric_sets_embedded = False
        self.admin_id = self.default_group_id = self.default_brand_id = None

    # ---- rows ----

    def new_id(self, table):
        number = self.next_id[table]
        self.next_id[table] = number + IDS[table][1]
        return number

    def now(self):
        return int(self.clock.now())

    def add(self, table, row, at=None):
        """Puts a new row, with its id and times when it has none."""
        at = self.now() if at is None else at
        row = {"id": row.get("id") or self.new_id(table), **{name: value for name, value in row.items() if name != "id"}}
        row.setdefault("created_at", iso(at))
        row.setdefault("updated_at", row["created_at"])
        row.setdefault("_stamp", at)
        self.tables[table].rows[row["id"]] = row
        self.tables[table].changed()
        return row

    def touch(self, table, row, at=None):
        at = self.now() if at is None else at
        row["updated_at"] = iso(at)
        row["_stamp"] = max(at, row["_stamp"])
        if table == "tickets":
            row["generated_timestamp"] = row["_stamp"]
        self.tables[table].changed()

    def remove(self, table, number):
        row = self.tables[table].rows.pop(number)
        self.tables[table].changed()
        return row

    def get(self, table, number):
        """The row, or None; also for what is no number at all."""
        return self.tables[table].rows.get(number) if isinstance(number, int) and not isinstance(number, bool) else None

    def rows(self, table):
        return self.tables[table].rows.values()

    # ---- what depends on what ----

    def user_with_external(self, external_id):
        return self.get("users", self.user_by_external.get(str(external_id).lower()))

    def organization_with_external(self, external_id):
        return self.get("organizations", self.organization_by_external.get(str(external_id).lower()))

    def identities_of(self, user_id):
        return [row for row in self.get("users", user_id)["_identities"]]

    def memberships_of(self, user_id):
        return self.get("users", user_id)["_memberships"]

    def fields(self, kind):
        """Active definitions of custom fields by key (users, organizations) or id (tickets)."""
        if kind == "tickets":
            return {row["id"]: row for row in self.rows("ticket_fields") if row["active"] and row["removable"]}
        table = {"users": "user_fields", "organizations": "organization_fields"}[kind]
        return {row["key"]: row for row in self.rows(table) if row["active"]}

    def mail(self, to, why):
        self.mails.append({"to": to, "why": why})

    # ---- what is shown ----

    def shown(self, table, row, base):
        """A row as the API gives it."""
        made = {name: value for name, value in row.items() if name[0] != "_"}
        made["url"] = f"{base}/api/v2/{PATHS[table]}/{row['id']}.json"
        return made

    def state(self, names):
        """For tests: every table without the simulator's own members."""
        tables = {}
        for name in names:
            tables[name] = [{key: value for key, value in row.items() if key[0] != "_"} for row in self.tables[name].by_id()]
        return tables
