# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Vendors that find a record by an address whatever the case of its letters: another spelling is the same row to dray too.

What the vendor holds and the ledger of its simulator are the oracle: nobody is removed for the way an address is written."""

import sqlite3

import pytest

import mailchimp_scene
import shopify_scene
import zendesk_scene

MANY = 1100  # more than two calls of Mailchimp, more than ten jobs of Zendesk; over lanes


class Mailchimp:
    connection, key, changes = mailchimp_scene.CONNECTION, "email_address", "merge_fname"

    def __init__(self, folder, project):
        self.project, self.sim = project, mailchimp_scene.start(folder, members=20)
        project.environment.update(mailchimp_scene.environment(self.sim))
        mailchimp_scene.to_audience(project, self.sim, [self.key, self.changes], [])

    def fill(self, rows):
        mailchimp_scene.write_rows(self.project, [self.key, self.changes], rows)

    def held(self):
        return {email: member["merge_fields"]["FNAME"] for email, member in mailchimp_scene.members(self.sim).items()
                if "@dray." in email.lower() and member["status"] != "archived"}

    def removals(self):
        """One for each record that was to be removed."""
        return [line for line in self.sim.ledger() if line.get("method") == "DELETE" or line.get("path", "").endswith("delete-permanent")]


class Zendesk:
    connection, key, changes = "zd", "email", "name"

    def __init__(self, folder, project):
        self.project, self.sim = project, zendesk_scene.Zendesk(folder, "--users", 40, "--tickets", 40)
        self.sim.settings(endpoint_limits={"user_update": 0})
        zendesk_scene.activate(project, self.sim, "users", {self.key: "TEXT", self.changes: "TEXT"}, self.key, "mirror")
        project.write("dray.yaml", (project.folder / "dray.yaml").read_text(encoding="utf-8") + "    guard: off\n")

    def fill(self, rows):
        zendesk_scene.fill(self.project, [{self.key: email, self.changes: name} for email, name in rows])

    def held(self):
        return {user["email"]: user["name"] for user in self.sim.state()["users"]
                if user["email"] and "@dray." in user["email"].lower() and user["active"]}

    def removals(self):
        return self.sim.requests(methods=("DELETE",))


class Shopify:
    connection, key, changes = "shop", "email", "first_name"

    def __init__(self, folder, project):
        shopify_scene.need_shop()
        self.project, self.shops = project, shopify_scene.Shops(folder)
        self.sim = self.shops.start("--customers", 20, "--orders", 5)
        shopify_scene.writing(project, self.sim, "customers", [self.key, self.changes], [self.key], mode="mirror",
                              options=", deletes: delete")
        project.write("dray.yaml", (project.folder / "dray.yaml").read_text(encoding="utf-8") + "    guard: off\n")

    def fill(self, rows):
        connection = sqlite3.connect(self.project.folder / "warehouse.db")
        connection.executescript(f"DROP TABLE IF EXISTS rows; CREATE TABLE rows ({self.key} TEXT, {self.changes} TEXT)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", rows)
        connection.commit()
        connection.close()

    def held(self):
        return {record["email"]: record["firstName"] for record in self.sim.records("Customer")
                if record["email"] and "@dray." in record["email"].lower()}

    def removals(self):
        queries = [(line.get("operation") or {}).get("query") or "" for line in self.sim.ledger()]
        return [query for query in queries for _ in range(query.count("customerDelete("))]


@pytest.fixture(params=[Mailchimp, Zendesk, Shopify], ids=["mailchimp", "zendesk", "shopify"])
def vendor(request, tmp_path, project):
    made = request.param(tmp_path, project)
    yield made
    made.shops.end() if request.param is Shopify else made.sim.stop()


def test_discover_says_of_which_fields_the_case_does_not_count(project, vendor):
    lines = project.dray("discover", vendor.connection).expect(0).out.splitlines()
    assert any(line.split()[:1] == [vendor.key] and " in any case" in line for line in lines)
    assert not any(line.split()[:1] == ["id"] and "case" in line for line in lines)


def held_caseless(vendor):
    return {email.lower(): value for email, value in vendor.held().items()}


def test_a_mirror_whose_addresses_change_their_capitals_removes_nobody(project, vendor):
    count = MANY if isinstance(vendor, Mailchimp) else 30
    blanks = isinstance(vendor, Mailchimp)  # the others' simulators take such an address for none
    rows = [(f"Person.{n}@Dray.example", f"Name {n}") for n in range(count)]
    vendor.fill(rows)
    assert project.sync("out")["applied"] == count
    assert project.sync("out")["sent"] == 0
    # All are written in small letters from now on; one has another name as well, and the last is really gone.
    rows = [(email.lower(), name) for email, name in rows[:-1]]
    rows[3] = (rows[3][0], "Another")
    vendor.fill(rows)
    plan, samples = project.plan("out")
    assert (plan["inserts"], plan["updates"], plan["deletes"]) == (0, count - 1, 1)
    updates = {sample["key"]: sample["text"] for sample in samples if sample["op"] == "update"}
    assert f"{vendor.key}=person.0@dray.example" in updates
    assert updates[f"{vendor.key}=person.0@dray.example"] == f"{vendor.key}: Person.0@Dray.example -> person.0@dray.example"
    run = project.sync("out")
    assert (run["applied"], run["inserts"], run["deletes"]) == (count, 0, 1)
    assert held_caseless(vendor) == dict(rows)
    assert len(vendor.removals()) == 1
    assert project.sync("out")["sent"] == 0
    # Nor when some of them come back in capitals, or with blanks that a form left there, beside others that go.
    rows = [(email.upper() if n % 3 == 1 else email + " " if n % 3 == 2 and blanks else email, name) for n, (email, name) in enumerate(rows)][2:]
    vendor.fill(rows)
    project.sync("out")
    assert held_caseless(vendor) == {email.strip().lower(): name for email, name in rows}
    assert len(vendor.removals()) == 3


def test_rows_that_differ_by_case_alone_are_withheld_and_told(project, vendor):
    vendor.fill([("anna@dray.example", "Anna"), ("bob@dray.example", "Bob")])
    project.sync("out")
    vendor.fill([("anna@dray.example", "Anna"), ("ANNA@dray.example", "Other"), ("bob@dray.example", "Robert")])
    run = project.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (1, 2)
    told = project.rows("out")
    assert {row["key"] for row in told} == {f"{vendor.key}=anna@dray.example", f"{vendor.key}=ANNA@dray.example"}
    assert all("case" in row["text"] for row in told)
    assert held_caseless(vendor) == {"anna@dray.example": "Anna", "bob@dray.example": "Robert"}
    assert vendor.removals() == []
    vendor.fill([("ANNA@dray.example", "Other"), ("bob@dray.example", "Robert")])
    assert project.sync("out")["applied"] == 1
    assert held_caseless(vendor) == {"anna@dray.example": "Other", "bob@dray.example": "Robert"}
    assert vendor.removals() == []
    assert project.rows("out") == []


def test_a_mirror_of_keys_alone_still_removes_who_is_gone(project, vendor):
    project.write("dray.yaml", (project.folder / "dray.yaml").read_text(encoding="utf-8").rstrip("\n") + "\n    keep: key\n")
    vendor.fill([("Anna@dray.example", "Anna"), ("bob@dray.example", "Bob"), ("eve@dray.example", "Eve")])
    project.sync("out")
    vendor.fill([("anna@dray.example", "Anna"), ("bob@dray.example", "Bob")])
    assert project.sync("out")["deletes"] == 1
    assert held_caseless(vendor) == {"anna@dray.example": "Anna", "bob@dray.example": "Bob"}
    vendor.fill([("bob@dray.example", "Bob")])
    project.sync("out")
    assert held_caseless(vendor) == {"bob@dray.example": "Bob"}
    assert len(vendor.removals()) == 2


@pytest.mark.parametrize("vendor", [Zendesk, Shopify], ids=["zendesk", "shopify"], indirect=True)
def test_the_warehouse_compares_no_such_keys(project, vendor):
    project.write("dray.yaml", (project.folder / "dray.yaml").read_text(encoding="utf-8").rstrip("\n") + "\n    diff: warehouse\n")
    vendor.fill([("Anna@dray.example", "Anna"), ("bob@dray.example", "Bob")])
    project.sync("out")
    vendor.fill([("anna@dray.example", "Anna"), ("bob@dray.example", "Bob")])
    plan, _ = project.plan("out")
    assert (plan["diff"]["used"], "case" in plan["diff"]["why"]) == ("local", True)
    project.sync("out")
    assert held_caseless(vendor) == {"anna@dray.example": "Anna", "bob@dray.example": "Bob"}
    assert vendor.removals() == []
