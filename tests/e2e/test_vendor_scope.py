# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Every stream and every operation that the vendors' plugins offer, one by one, as `dray discover` lists them: each has requests of
its own. Which these are is kept beside the traffic (DRAY_TRAFFIC), where tests/contract looks whether they were judged.
"""

import json
import os
import pathlib
import shutil
import sqlite3

import pytest

import harness
import mailchimp_scene
import shopify_scene
import zendesk_scene

import shopify_ledger  # by the path that shopify_scene sets

VALUES = "values"  # the table behind every model


class Sample:
    """Rows for an object. `rows` first, `changed` in the place of the first of them afterwards; then the last one goes."""

    def __init__(self, columns, key, rows, changed=None, to="", mode="mirror"):
        self.columns, self.key, self.rows, self.changed, self.to, self.mode = columns, key, rows, changed, to, mode


class Vendor:
    """A running simulator and what is asked of it. `operations({label: lines of the ledger})`: {label: names of what was asked}."""

    name = connection = streams_more = ""

    def __init__(self, folder):
        self.folder = folder
        self.sim = self.start()

    def samples(self):
        raise NotImplementedError

    def operations(self, lines):
        return {label: sorted({f"{one['method']} {one['template']}" for one in part if one.get("template")}) for label, part in lines.items()}

    def writes(self, name):
        return not name.startswith("GET ")

    def project(self, name):
        made = harness.Project(self.folder / name, self.environment())
        sqlite3.connect(made.folder / "warehouse.db").close()
        return made


class Shopify(Vendor):
    name = "shopify"

    def start(self):
        shopify_scene.need_shop()
        self.shops = shopify_scene.Shops(self.folder)
        return self.shops.start("--customers", 12, "--orders", 12, "--products", 6)

    def stop(self):
        self.shops.end()

    def environment(self):
        return {"SHOP_TOKEN": shopify_scene.TOKEN}

    @property
    def connection(self):
        return shopify_scene.connection(self.sim)

    def operations(self, lines):
        paths = {label: self.folder / f"part{number}.ndjson" for number, label in enumerate(lines)}
        for label, part in lines.items():
            paths[label].write_text("".join(json.dumps(one) + "\n" for one in part), encoding="utf-8")
        asked = shopify_ledger.check(*paths.values()).asked
        return {label: sorted(asked.get(str(path), [])) for label, path in paths.items()}

    def writes(self, name):
        return "mutation" in name

    def samples(self):
        customers = [record["id"] for record in self.sim.records("Customer") if record["email"]][:3]
        order = self.sim.records("Order")[0]["id"]
        return {
            "customers": Sample("email TEXT, note TEXT", ["email"], [("s1@example.com", "a"), ("s2@example.com", "b")],
                                ("s1@example.com", "c"), ", deletes: delete"),
            "customer_tags": Sample("id TEXT, tag TEXT", ["id", "tag"], [(customers[0], "x"), (customers[1], "y")]),
            "metafields": Sample("owner_id TEXT, namespace TEXT, key TEXT, value TEXT, type TEXT", ["owner_id", "namespace", "key"],
                                 [(one, "dray", "num", "1", "number_integer") for one in customers],
                                 (customers[0], "dray", "num", "2", "number_integer")),
            "customer_consent": Sample("id TEXT, email_marketing_state TEXT, email_marketing_opt_in_level TEXT", ["id"],
                                       [(one, "UNSUBSCRIBED", "SINGLE_OPT_IN") for one in customers],
                                       (customers[0], "SUBSCRIBED", "SINGLE_OPT_IN"), mode="upsert"),
            "orders": Sample("id TEXT, note TEXT", ["id"], [(order, "a")], (order, "b"), mode="upsert"),
        }


class Zendesk(Vendor):
    name = "zendesk"

    def start(self):
        made = zendesk_scene.Zendesk(self.folder, "--users", 30, "--tickets", 30)
        made.settings(endpoint_limits={"user_update": 0, "ticket_update": 0, "tickets_index": 0})
        return made

    def stop(self):
        self.sim.stop()

    def environment(self):
        return zendesk_scene.environment(self.sim)

    @property
    def connection(self):
        return zendesk_scene.connection(self.sim)

    def samples(self):
        state = self.sim.state()
        users = [row["id"] for row in state["users"] if row["role"] == "end-user" and row["active"]]
        company = next(row["id"] for row in state["organizations"] if not row["deleted_at"])
        ticket = [row["id"] for row in state["tickets"] if row["status"] in ("new", "open", "pending")]
        member = {row["user_id"] for row in state["organization_memberships"]}
        free = [user for user in users if user not in member] or users
        return {
            "users": Sample("external_id TEXT, name TEXT, email TEXT", ["external_id"],
                            [(f"s-{n}", f"Name {n}", f"s{n}@dray.example") for n in range(3)], ("s-0", "Other", "s0@dray.example")),
            "organizations": Sample("external_id TEXT, name TEXT", ["external_id"], [(f"s-{n}", f"Sample {n}") for n in range(3)],
                                    ("s-0", "Other sample")),
            "organization_memberships": Sample('user_id INTEGER, organization_id INTEGER, "default" BOOLEAN',
                                               ["user_id", "organization_id"], [(user, company, False) for user in free[:3]],
                                               (free[0], company, True)),
            "tickets": Sample("external_id TEXT, subject TEXT, comment TEXT, requester_email TEXT, requester_name TEXT", ["external_id"],
                              [(f"s-{n}", f"Subject {n}", "Body", f"a{n}@dray.example", f"Asks {n}") for n in range(3)],
                              ("s-0", "Other", "Body", "a0@dray.example", "Asks 0"), mode="upsert"),
            "ticket_tags": Sample("ticket_id INTEGER, tags TEXT", ["ticket_id"], [(number, "a b") for number in ticket[:2]],
                                  (ticket[0], "a b c")),
            "user_tags": Sample("user_id INTEGER, tags TEXT", ["user_id"], [(number, "a b") for number in users[:2]], (users[0], "a b c")),
        }


class Mailchimp(Vendor):
    name = "mailchimp"

    def start(self):
        return mailchimp_scene.start(self.folder, members=120)

    def stop(self):
        self.sim.stop()

    def environment(self):
        return mailchimp_scene.environment(self.sim)

    @property
    def connection(self):
        return mailchimp_scene.connection(self.sim).partition(": ")[2]

    def samples(self):
        audience = f", list_id: {self.sim.hello['list_id']}"
        emails = [email for email, member in mailchimp_scene.members(self.sim).items() if member["status"] == "subscribed"]
        segments = self.sim.state()["lists"][self.sim.hello["list_id"]]["segments"]
        static = next(one for one in (segments.values() if isinstance(segments, dict) else segments) if one["type"] == "static")
        return {
            "members": Sample("email_address TEXT, merge_fname TEXT, merge_made TEXT", ["email_address"],
                              [(f"s{n}@dray.test", "Ada", "x") for n in range(3)], ("s0@dray.test", "Eve", "x"),
                              audience + ", create_merge_fields: true"),
            "member_tags": Sample("email_address TEXT, tag TEXT", ["email_address", "tag"], [(one, "made here") for one in emails[:3]], to=audience),
            "segment_members": Sample("email_address TEXT", ["email_address"], [(one,) for one in emails[:3]],
                                      to=f"{audience}, segment_id: \"{static['id']}\""),
        }


VENDORS = {kind.name: kind for kind in (Shopify, Zendesk, Mailchimp)}


@pytest.fixture(params=sorted(VENDORS))
def vendor(request, tmp_path):
    made = VENDORS[request.param](tmp_path)
    yield made
    made.stop()


def catalog(vendor):
    project = vendor.project("catalog")
    project.config(f"connections:\n  v: {vendor.connection}\n")
    return project.dray("discover", "v", "--json").expect(0).line("catalog")["catalog"]


def read(vendor, stream):
    """The ledger of one run that reads a stream, whole."""
    project, begin = vendor.project("read"), len(vendor.sim.ledger())
    project.config(f"connections:\n  v: {vendor.connection}\n  wh: {{plugin: sqlite, path: warehouse.db}}\n"
                   f"syncs:\n  {stream}: {{from: {{connection: v, stream: {stream}}}, to: {{connection: wh, table: {stream}}}, mode: upsert}}\n")
    run = project.sync(stream)
    assert run["rejected"] == run["unreadable"] == 0
    return vendor.sim.ledger()[begin:]


def write(vendor, name, sample):
    """{operation: the ledger of a run that needs it}."""
    project, key = vendor.project(name), ", ".join(sample.key)
    project.config(f"connections:\n  v: {vendor.connection}\n  wh: {{plugin: sqlite, path: warehouse.db}}\n"
                   f"models:\n  m: {{warehouse: wh, sql: 'SELECT * FROM \"{VALUES}\"', key: [{key}]}}\n"
                   f"syncs:\n  out: {{from: {{model: m}}, to: {{connection: v, object: {name}{sample.to}}}, mode: {sample.mode}, guard: off}}\n")
    turns = {"insert": sample.rows}
    if sample.changed:
        turns["update"] = [sample.changed, *sample.rows[1:]]
    if sample.mode == "mirror":
        turns["delete"] = (turns.get("update") or sample.rows)[:-1]
    asked = {}
    for operation, rows in turns.items():
        marks = ", ".join("?" * len(rows[0]))
        with sqlite3.connect(project.folder / "warehouse.db") as connection:
            connection.execute(f'DROP TABLE IF EXISTS "{VALUES}"')
            connection.execute(f'CREATE TABLE "{VALUES}" ({sample.columns})')
            connection.executemany(f'INSERT INTO "{VALUES}" VALUES ({marks})', rows)
        connection.close()
        begin = len(vendor.sim.ledger())
        result = project.dray("sync", "out", "--json")
        assert result.code == 0, f"{name}: {operation}\n{result}\n{project.rows('out')}"
        run = result.line("run")
        assert run[operation + "s"] > 0 and run["rejected"] == run["pending"] == 0, (name, operation, run)
        asked[operation] = vendor.sim.ledger()[begin:]
    return asked


def streams_of(vendor, offered):
    """{stream: what its run asks for, and no other's}."""
    lines = {}
    for stream in offered["source"]["streams"]:
        shutil.rmtree(vendor.folder / "read", ignore_errors=True)
        lines[stream["name"]] = read(vendor, stream["name"])
    asked, found = vendor.operations(lines), {}
    common = set.intersection(*map(set, asked.values()))  # what each run asks for, whatever it reads
    for name, all_asked in asked.items():
        own = [one for one in all_asked if one not in common]
        found[name] = own or [one for one in all_asked if one.replace("-", "_").endswith(("/" + name, " " + name))]
        assert found[name], f"{name} asked for nothing of its own: {all_asked}"
    return found


def objects_of(vendor, offered):
    """{object: {operation: what it writes by}}."""
    samples, lines = vendor.samples(), {}
    assert set(samples) == {one["name"] for one in offered["destination"]["objects"]}
    for one in offered["destination"]["objects"]:
        asked = write(vendor, one["name"], samples[one["name"]])
        keys = all(field["match_key"] for field in one["fields"])
        # What is all key has nothing to change; and what the catalogue offers is what was tried.
        assert set(asked) == set(one["operations"]) - ({"update"} if keys else set()), one["name"]
        lines.update({(one["name"], operation): part for operation, part in asked.items()})
    found = {}
    for (name, operation), asked in vendor.operations(lines).items():
        found.setdefault(name, {})[operation] = [one for one in asked if vendor.writes(one)]
        assert found[name][operation], f"{name}: {operation} wrote nothing"
    return found


def test_every_stream_and_operation_asks_for_something(vendor):
    offered = catalog(vendor)
    scope = {"streams": streams_of(vendor, offered), "objects": objects_of(vendor, offered)}
    folder = os.environ.get("DRAY_TRAFFIC")
    if folder:
        (pathlib.Path(folder) / f"scope.{vendor.name}.json").write_text(json.dumps(scope, indent=1, sort_keys=True), encoding="utf-8")


# What a run lives through without a word, at its first requests.
PASSING = {
    "shopify": [{"kind": "status", "status": 502}, {"kind": "throttled", "nth": 2}, {"kind": "reset", "nth": 4}, {"kind": "html", "nth": 6}],
    "zendesk": [{"kind": "status", "status": 503, "headers": {"Retry-After": "0"}, "path": "/api/*"},
                {"kind": "throttle", "retry_after": 0, "nth": 2, "path": "/api/*"}, {"kind": "reset", "nth": 4, "path": "/api/*"},
                {"kind": "status", "status": 520, "nth": 6, "path": "/api/*"}],
    "mailchimp": [{"kind": "status", "status": 503}, {"kind": "throttle", "nth": 2}, {"kind": "status", "status": 403, "body": "", "nth": 4},
                  {"kind": "reset", "nth": 6}],
}


def place(vendor, stream):
    """Where faults strike a stream: what it asks for by itself, as far as that has a path of its own."""
    if vendor.name == "shopify":
        return {}
    if vendor.name == "mailchimp":
        return {"path": "/3.0/*" + {"list_members": "members", "email_activity": "activity", "unsubscribes": "unsubscribed", "tags": "tag-search",
                                    "segment_members": "members"}.get(stream, stream.replace("_", "-"))}
    return {"path": "/api/v2/*" + {"ticket_comments": "ticket_events", "ticket_metrics": "tickets/cursor", "tickets": "tickets/cursor",
                                   "users": "users/cursor"}.get(stream, stream)}


def table_of(project, stream):
    columns = [row[1] for row in project.query(f'PRAGMA table_info("{stream}")') if not row[1].startswith("_dray")]
    shown = ", ".join(f'"{name}"' for name in columns)
    return sorted(map(repr, project.query(f'SELECT {shown} FROM "{stream}"')))


def test_every_stream_is_the_same_whatever_passes(vendor):
    """5xx, 429 and resets at its first requests: each stream holds what it holds without."""
    for stream in [one["name"] for one in catalog(vendor)["source"]["streams"]]:
        shutil.rmtree(vendor.folder / "read", ignore_errors=True)
        read(vendor, stream)
        clean = table_of(vendor.project("read"), stream)
        shutil.rmtree(vendor.folder / "read", ignore_errors=True)
        vendor.sim.fault(*({**fault, **place(vendor, stream)} for fault in PASSING[vendor.name]))
        read(vendor, stream)
        vendor.sim.sim("DELETE", "faults")
        assert table_of(vendor.project("read"), stream) == clean, stream


def test_discover_tells_what_a_write_may_do(vendor):
    """The rules of each field stand in the text too: what is required, what finds a record, and what the plugin says of it."""
    project = vendor.project("told")
    project.config(f"connections:\n  v: {vendor.connection}\n")
    text = project.dray("discover", "v").expect(0).out
    for one in catalog(vendor)["destination"]["objects"]:
        part = text[text.index(f"\nobject {one['name']} ") + 1:].split("\nobject ")[0].splitlines()
        lines = {line.split()[0]: line for line in part if line.startswith("    ")}
        assert set(lines) == {field["name"] for field in one["fields"]}, one["name"]
        for field in one["fields"]:
            line = lines[field["name"]]
            assert ("match key" in line, " required" in line.partition(":")[0]) == (field["match_key"], field["required"]), line
            assert field.get("description", "") in line
        assert any("match key" in line for line in lines.values()), one["name"]
