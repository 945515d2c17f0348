# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated accounts of the vendors for measurements: what a connection to each is set to, the syncs that are run against
it, what it holds afterwards, and what its ledger says was done. Of dray only the config and the settings of plugins are known.
"""
import collections
import importlib.util
import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIMULATORS = ROOT / "tests" / "sim"
sys.path.insert(0, str(SIMULATORS))

from server.running import Running  # noqa: E402

NOW = "2026-11-20T08:00:00Z"
BULK_SECONDS = 0.2  # how long an operation lasts at least
WRITES = ("POST", "PUT", "PATCH", "DELETE")
TABLE = "people"  # of the warehouse, behind every model


class Target:
    """An object that rows of the warehouse are sent to. `columns`: of the table, the key first; `create_only`: an operation
    that must never be done twice; `to`, `more`: YAML after the object and after the connection's settings."""

    def __init__(self, name, object_name, columns, *, mode="upsert", to="", more="", create_only=False, batch_rows=500):
        self.name, self.object, self.columns, self.mode, self.to, self.more = name, object_name, columns, mode, to, more
        self.create_only, self.batch_rows = create_only, batch_rows


class Account:
    """A running simulator with its project-side settings. Use as a context."""

    plugin = None
    streams = ()
    targets = ()
    reading_more = ("",)  # ways to set the connection for reading; a seed takes one of them
    in_flight_max = None  # requests at once that the vendor allows

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sim.stop()

    def connection(self, more=""):
        raise NotImplementedError

    def environment(self):
        return {}

    def held(self, target):
        """What the account holds of the target's rows: key -> list of the values of each record that bears the key."""
        raise NotImplementedError

    def done(self, target, entries):
        """How often each key was made or written by these lines of the ledger: {key: count}."""
        raise NotImplementedError

    def wanted(self, stream):
        """The records that a reader of the stream must end with: id -> a value to compare, and the columns for both."""
        raise NotImplementedError

    def change(self, chance):
        """Some records are changed, made, deleted by the vendor's own users."""
        raise NotImplementedError

    def requests(self, entries):
        """Lines of the ledger about calls of the API."""
        return [entry for entry in entries if "method" in entry]

    def writes(self, entries):
        """How many of these calls write."""
        return sum(entry["method"] in WRITES for entry in self.requests(entries))

    def defects(self):
        return self.sim.calls()["defects"]


def count_by(keys):
    return dict(collections.Counter(key for key in keys if key is not None))


# ---- Shopify ----

class Shopify(Account):
    plugin = "shopify"
    streams = ("customers", "orders", "order_line_items")
    targets = (Target("customers in calls", "customers", ("email", "first_name", "note"), to=", bulk_threshold: 0", batch_rows=250),
               Target("customers in bulk", "customers", ("email", "first_name", "note"), to=", bulk_threshold: 20", batch_rows=50000))
    reading_more = ("", ", use_bulk: never, page_size: 25")
    kinds = {"customers": "Customer", "orders": "Order"}

    def __init__(self, folder, *arguments, size=120, brief=False):
        os.environ.setdefault("NODE_PATH", str(ROOT / "build" / "npm" / "node_modules"))
        records = [] if "--customers" in arguments else ["--customers", size, "--orders", size]
        speed = ["--restore-rate", 100000, "--bucket", 100000, "--bulk-seconds", BULK_SECONDS]
        self.ledger = pathlib.Path(folder) / "ledger.ndjson"
        self.sim = Running(SIMULATORS / "shopify" / "server.js", "--now", NOW, *speed, *records, *(["--ledger-brief"] if brief else []),
                           *arguments, ledger=self.ledger)

    @staticmethod
    def missing():
        """What this machine lacks to run the simulator, or None."""
        spec = importlib.util.spec_from_file_location("shopify_shop", SIMULATORS / "shopify" / "shop.py")
        shop = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(shop)
        return shop.missing()

    def connection(self, more=""):
        return f'{{plugin: shopify, shop: dray-test, base_url: "{self.sim.url}", access_token: !secret env:SHOP_TOKEN{more}}}'

    def environment(self):
        return {"SHOP_TOKEN": "shpat_dray_static"}

    def records(self, kind):
        return self.sim.state(f"?kind={kind}")["records"]

    def held(self, target):
        found = collections.defaultdict(list)
        for record in self.records("Customer"):
            found[record["email"]].append((record["firstName"], record["note"]))
        return found

    def done(self, target, entries):
        emails = {record["id"]: record["email"] for record in self.records("Customer")}
        return count_by(emails.get(write["id"]) for entry in entries for write in entry.get("writes") or ()
                        if write["kind"] == "Customer" and write["became"] != "rejected")

    def writes(self, entries):
        """Of GraphQL each call is a POST: mutations write, and an upload."""
        queries = [(entry.get("operation") or {}).get("query") or "" for entry in entries]
        uploads = [entry for entry in entries if entry.get("port") == "storage" and entry["method"] == "POST"]
        return sum(query.lstrip().startswith("mutation") for query in queries) + len(uploads)

    def wanted(self, stream):
        if stream == "order_line_items":
            return {line["id"]: (line["quantity"],) for order in self.records("Order") for line in order["lineItems"]}, ("id", "quantity")
        return {record["id"]: (record["note"],) for record in self.records(self.kinds[stream])}, ("id", "note")

    def change(self, chance):
        """Nothing is deleted: incremental reads do not see that."""
        self.sim.advance(7200)
        customers, orders = self.records("Customer"), self.records("Order")
        self.sim.change({"update": [{"id": one["id"], "set": {"note": f"changed {chance.random()}"}}
                                    for one in chance.sample(customers, 9) + chance.sample(orders, 9)],
                         "create": [{"__typename": "Customer", "email": f"new{n}@example.com"} for n in range(5)]})


# ---- Zendesk ----

class Zendesk(Account):
    plugin = "zendesk"
    streams = ("users", "organizations", "tickets")
    targets = (Target("users in jobs", "users", ("external_id", "name", "email", "notes"), more=", batch_size: 20", batch_rows=20),
               Target("tickets looked up", "tickets", ("external_id", "subject", "comment"), mode="create", more=", batch_size: 20",
                      create_only=True, batch_rows=20),
               Target("tickets never looked up", "tickets", ("external_id", "subject", "comment"), mode="create",
                      to=", match_by: none", more=", batch_size: 20", create_only=True, batch_rows=20),
               Target("users one by one", "users", ("external_id", "name", "email", "notes"), more=", batch_size: 20, use_bulk: never",
                      batch_rows=20))
    reading_more = (", page_size: 40", ", page_size: 7")
    columns = {"users": "notes", "organizations": "notes", "tickets": "subject"}

    def __init__(self, folder, *arguments, size=60, brief=False):
        del brief
        self.ledger = pathlib.Path(folder) / "ledger.ndjson"
        limits = ["--rate-limit", 0, "--export-limit", 0]
        records = ["--users", size, "--organizations", max(10, size // 5), "--tickets", size]
        self.sim = Running(SIMULATORS / "zendesk" / "server.py", *limits, *records, *arguments, ledger=self.ledger)
        self.sim.sim("POST", "settings", {"endpoint_limits": {"user_update": 0, "ticket_update": 0, "tickets_index": 0}})

    @staticmethod
    def missing():
        return None

    def connection(self, more=""):
        return (f'{{plugin: zendesk, base_url: "{self.sim.url}", client_id: dray_client, client_secret: !secret env:ZENDESK_SECRET, '
                f'exports_per_minute: 1000, requests_per_minute: 100000{more}}}')

    def environment(self):
        return {"ZENDESK_SECRET": self.sim.hello["client_secret"]}

    def held(self, target):
        names = target.columns[1:] if target.object == "users" else ("subject",)
        found = collections.defaultdict(list)
        for row in self.sim.state(f"?tables={target.object}")[target.object]:
            found[row["external_id"]].append(tuple(row[name] for name in names))
        return found

    def done(self, target, entries):
        keys = {row["id"]: row["external_id"] for row in self.sim.state(f"?tables={target.object}")[target.object]}
        written = ("created",) if target.create_only else ("created", "updated", "unchanged")
        return count_by(keys.get(row.get("id")) for entry in entries if self.is_about(target, entry) for row in entry.get("rows") or ()
                        if row.get("became") in written)

    @staticmethod
    def is_about(target, entry):
        return entry["outcome"] == "job" or f"/api/v2/{target.object}" in entry.get("path", "")

    def requests(self, entries):
        return [entry for entry in entries if "method" in entry and entry["path"].startswith("/api/")]

    def wanted(self, stream):
        gone = {"tickets": lambda row: row["status"] == "deleted", "users": lambda row: not row["active"],
                "organizations": lambda row: row.get("deleted_at") is not None}[stream]
        name = self.columns[stream]
        rows = self.sim.state(f"?tables={stream}")[stream]
        return {row["id"]: (row[name],) for row in rows if not gone(row)}, ("id", name)

    def change(self, chance):
        known = {name: sorted(self.wanted(name)[0]) for name in self.streams}
        closed = {row["id"] for row in self.sim.state("?tables=tickets")["tickets"] if row["status"] == "closed"}
        known["tickets"] = [number for number in known["tickets"] if number not in closed]
        some = {name: chance.sample(numbers, 6) for name, numbers in known.items()}
        self.sim.change({name: [{"id": number, self.columns[name]: f"changed {chance.random()}"} for number in numbers[:4]]
                         for name, numbers in some.items()})
        self.sim.change({"delete": {"tickets": some["tickets"][4:]}})
        self.sim.advance(120)


# ---- Mailchimp ----

class Mailchimp(Account):
    plugin = "mailchimp"
    streams = ("list_members",)
    in_flight_max = 4
    targets = ()  # made with the audience's id
    reading_more = (", page_size: 20", ", page_size: 200")

    def __init__(self, folder, *arguments, size=150, brief=False):
        self.ledger = None if brief else pathlib.Path(folder) / "ledger.ndjson"
        self.sim = Running(SIMULATORS / "mailchimp" / "server.py", "--now", NOW, "--members", size, *arguments, ledger=self.ledger)
        self.list = self.sim.hello["list_id"]
        self.targets = (self.target(), self.target(", never_resubscribe: false"))

    def target(self, to="", more=""):
        """Consent of members that are there stays as it is, unless `to` says otherwise."""
        return Target("members" + to, "members", ("email_address", "FNAME", "LNAME"), to=f", list_id: \"{self.list}\"{to}", more=more)

    @staticmethod
    def missing():
        return None

    def connection(self, more=""):
        limit = "" if "max_connections" in more else f", max_connections: {self.in_flight_max}"
        return f'{{plugin: mailchimp, base_url: "{self.sim.url}", list_ids: ["{self.list}"], api_key: !secret env:MC_KEY{limit}{more}}}'

    def environment(self):
        return {"MC_KEY": self.sim.hello["api_key"]}

    def members(self):
        return self.sim.state(f"?list={self.list}")["lists"][self.list]["members"]

    def held(self, target):
        found = collections.defaultdict(list)
        for member in self.members().values():
            found[member["email_address"]].append((member["merge_fields"].get("FNAME"), member["merge_fields"].get("LNAME")))
        return found

    def done(self, target, entries):
        return count_by(row["email"] for entry in entries if entry.get("method") in ("POST", "PUT", "PATCH", None)
                        for row in entry.get("rows") or () if row.get("became") in ("created", "changed", "unchanged") and "email" in row)

    def wanted(self, stream):
        return {key: (member["email_address"], member["status"]) for key, member in self.members().items()}, ("id", "email_address", "status")

    def change(self, chance):
        self.sim.advance(7200)
        there = sorted(member["email_address"] for member in self.members().values() if member["status"] == "subscribed")
        some = chance.sample(there, 12)
        self.sim.change({"ops": [*({"op": "set", "email": email, "member": {"merge_fields": {"FNAME": f"changed {number}"}}}
                                   for number, email in enumerate(some[:6])),
                                 *({"op": "unsubscribe", "email": email} for email in some[6:9]),
                                 *({"op": "archive", "email": email} for email in some[9:]),
                                 *({"op": "add", "email": f"new{number}@dray.test"} for number in range(5))]})
        self.sim.advance(120)  # what changes in the second in which a read begins is the next one's


VENDORS = {"shopify": Shopify, "zendesk": Zendesk, "mailchimp": Mailchimp}


# ---- projects ----

def reading(project, account, more="", mode="upsert", streams=None):
    """A sync `in` (`in.STREAM`) of the account's streams into a warehouse of its own."""
    project.environment.update(account.environment())
    project.config("connections:\n"
                   f"  vendor: {account.connection(more)}\n"
                   "  wh: {plugin: sqlite, path: warehouse.db}\n"
                   "syncs:\n"
                   f"  in: {{from: {{connection: vendor, streams: [{', '.join(streams or account.streams)}]}}, to: {{connection: wh}}, mode: {mode}}}\n")


def writing(project, account, target, more=""):
    """A sync `out` of the rows of the table `people`, whose first column is the key, to an object of the account."""
    project.environment.update(account.environment())
    key = target.columns[0]
    project.config("connections:\n"
                   f"  vendor: {account.connection(target.more + more)}\n"
                   "  wh: {plugin: sqlite, path: warehouse.db}\n"
                   "models:\n"
                   f"  rows: {{warehouse: wh, sql: \"SELECT {', '.join(target.columns)} FROM {TABLE}\", key: {key}}}\n"
                   "syncs:\n"
                   "  out:\n"
                   "    from: {model: rows}\n"
                   f"    to: {{connection: vendor, object: {target.object}{target.to}}}\n"
                   f"    mode: {target.mode}\n"
                   "    map: " + json.dumps({name: field_of(account, name) for name in target.columns}) + "\n")


def field_of(account, column):
    return "merge_" + column.lower() if account.plugin == "mailchimp" and column.isupper() else column


def value_of(column, number, version):
    """What row `number` has in a column; version 0 is the first."""
    if column in ("email", "email_address"):
        return f"person{number}@dray.test"
    if column == "external_id":
        return f"crm-{number}"
    if column in ("note", "notes", "LNAME", "comment"):
        return f"version {version} of {number}"
    return f"Person {number}"


def fill(project, target, numbers, version=0):
    """Rows with these numbers are made, or become this version."""
    values = ", ".join("?" for _ in target.columns)
    names = ", ".join(target.columns)
    project.execute_many(f"CREATE TABLE IF NOT EXISTS {TABLE} ({target.columns[0]} TEXT PRIMARY KEY, "
                         f"{', '.join(name + ' TEXT' for name in target.columns[1:])})", f"INSERT OR REPLACE INTO {TABLE} ({names}) VALUES ({values})",
                         ([value_of(name, number, version) for name in target.columns] for number in numbers))


def expected(project, target):
    """key -> the other columns, as the model has them now."""
    return {row[0]: tuple(row[1:]) for row in project.query(f"SELECT {', '.join(target.columns)} FROM {TABLE}")}


