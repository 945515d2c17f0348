# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What a row is known by here is what it is found by at the vendor, the same for each of them: a key of another kind is refused
with the one to take, and then people who change their address, swap it, or share one, are nobody else's and lose nothing."""

import json

import pytest

from driver import accounts, vendor_kills

VENDORS = sorted(accounts.VENDORS)
# The object's rows are found by the first field; the others are values.
FIELDS = {"shopify": ("email", "first_name", "note"), "zendesk": ("external_id", "name", "notes"),
          "mailchimp": ("email_address", "merge_fname", "merge_lname")}


class Scene:
    def __init__(self, account, folder):
        self.account, self.project = account, vendor_kills.Project(folder)
        self.project.environment.update(account.environment())
        self.fields = FIELDS[account.plugin]
        self.target = account.targets[0]

    def configure(self, key, mode="mirror"):
        mapping = dict(zip(("address", "name", "note"), self.fields))
        delete = ", deletes: delete" if self.account.plugin == "shopify" else ""
        self.project.config(
            f"connections:\n  vendor: {self.account.connection(self.target.more)}\n  wh: {{plugin: sqlite, path: warehouse.db}}\n"
            "models:\n  people: {warehouse: wh, sql: \"SELECT id, address, name, note FROM people\", key: id}\n"
            f"syncs:\n  out:\n    from: {{model: people}}\n    to: {{connection: vendor, object: {self.target.object}{self.target.to}{delete}}}\n"
            f"    mode: {mode}\n    guard: off\n{key}    map: {json.dumps(mapping)}\n")

    def put(self, rows):
        self.project.execute("DROP TABLE IF EXISTS people; CREATE TABLE people (id INTEGER PRIMARY KEY, address TEXT, name TEXT, note TEXT)")
        self.project.execute_many("SELECT 1", "INSERT INTO people VALUES (?, ?, ?, ?)",
                                  ((number, f"{address}@dray.test", name, f"of {name}") for number, address, name in rows))

    def held(self):
        """{address: (name, note)} of ours that are there and neither archived nor deleted."""
        name = {"shopify": "Customer", "zendesk": "users", "mailchimp": None}[self.account.plugin]
        if self.account.plugin == "shopify":
            found = {one["email"]: (one["firstName"], one["note"]) for one in self.account.records(name)}
        elif self.account.plugin == "zendesk":
            found = {one["external_id"]: (one["name"], one["notes"])
                     for one in self.account.sim.state("?tables=users")["users"] if one["active"]}
        else:
            found = {one["email_address"]: (one["merge_fields"].get("FNAME"), one["merge_fields"].get("LNAME"))
                     for one in self.account.members().values() if one["status"] != "archived"}
        return {key.split("@")[0]: value for key, value in found.items() if key and key.endswith("@dray.test")}


@pytest.fixture
def scene(request, own_account, tmp_path):
    return Scene(own_account(request.param), tmp_path / "project")


every_vendor = pytest.mark.parametrize("scene", VENDORS, indirect=True)


@every_vendor
def test_a_key_that_the_vendor_does_not_know_is_refused_with_the_one_to_take(scene):
    scene.configure("")
    scene.put([(1, "a", "Ada")])
    result = scene.project.dray("sync", "out").expect(4)
    assert scene.fields[0] in result.err and "`key: address`" in result.err, result
    assert scene.held() == {}


@every_vendor
def test_people_who_change_what_they_are_found_by(scene):
    def of(**people):
        return {address: (name, f"of {name}") for address, name in people.items()}

    scene.configure("    key: address\n")
    scene.put([(1, "a", "Ada"), (2, "b", "Bob"), (3, "c", "Cy"), (4, "d", "Di")])
    scene.project.sync("out")
    assert scene.held() == of(a="Ada", b="Bob", c="Cy", d="Di")
    # Another number, another address, two that swap theirs.
    scene.put([(11, "a", "Ada"), (2, "b2", "Bob"), (3, "d", "Cy"), (4, "c", "Di")])
    run = scene.project.sync("out")
    assert (run["inserts"], run["updates"], run["deletes"]) == (1, 2, 1), run
    assert scene.held() == of(a="Ada", b2="Bob", c="Di", d="Cy")
    # Two with one address: neither is the other, and both are told.
    scene.put([(11, "a", "Ada"), (2, "b2", "Bob"), (3, "d", "Cy"), (4, "c", "Di"), (5, "c", "Dee")])
    scene.project.sync("out", code=3)
    assert scene.held() == of(a="Ada", b2="Bob", c="Di", d="Cy") and len(scene.project.rows("out")) == 2
    scene.put([(11, "a", "Ada"), (2, "b2", "Bob"), (3, "d", "Cy"), (5, "c", "Dee")])
    scene.project.sync("out")
    assert scene.held() == of(a="Ada", b2="Bob", c="Dee", d="Cy") and scene.project.rows("out") == []
