# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What is given out is never older than what was, nor than what a checkpoint says: operations that are taken up, clocks."""

import datetime

import pytest

import harness
import shopify_scene as scene

SUBMIT = "bulkOperationRunQuery"

pytestmark = pytest.mark.usefixtures("clean_shopify_traffic")


def kill_behind_operation(project, shop, *options):
    """A run that dies when Shopify has done its operation and nothing of it was read. How many there are then."""
    def polls():
        return sum("bulkOperation(id" in (entry.get("operation") or {}).get("query", "") for entry in shop.ledger())
    before = polls()
    process = project.start("sync", "in", *options)
    harness.wait_until(lambda: polls() > before, what="a poll")
    project.kill(process)
    harness.wait_until(lambda: shop.state()["bulk"][-1]["status"] == "COMPLETED", what="its end")
    return len(shop.state()["bulk"])


def note(project, gid):
    rows = project.query("SELECT note FROM customers WHERE id = ?", (gid,))
    return rows[0][0] if rows else "not there"


def change(shop, gid, text):
    shop.advance(60)
    shop.change({"update": [{"id": gid, "set": {"note": text}}]})


def test_incremental_read_of_a_taken_up_operation_ends_at_its_start(project, shops):
    shop = shops.start("--customers", 20, "--orders", 3, "--bulk-seconds", 1)
    scene.reading(project, shop, "customers", lookback_hours=0)
    made = kill_behind_operation(project, shop)
    shop.advance(7200)
    gid = shop.records("Customer")[4]["id"]
    change(shop, gid, "later")
    created = shop.change({"create": [{"__typename": "Customer", "email": "later@example.com"}]})["created"][0]
    shop.advance(3600)
    assert project.sync("in")["inserts"] == 20
    assert len(shop.state()["bulk"]) == made
    assert (note(project, gid) == "later", note(project, created)) == (False, "not there")
    run = project.sync("in")
    assert (run["inserts"], run["updates"]) == (1, 1)
    assert note(project, gid) == "later"


def test_full_read_takes_up_nothing_that_is_older_than_what_was_read_since(project, shops):
    """Its rows would go back to what they were, behind the checkpoint that says they were read."""
    shop = shops.start("--customers", 20, "--orders", 3, "--bulk-seconds", 1)
    scene.reading(project, shop, "customers", lookback_hours=0)
    project.sync("in")
    first, second = (shop.records("Customer")[i]["id"] for i in (4, 5))
    made = kill_behind_operation(project, shop, "--full-refresh")
    change(shop, first, "later")
    change(shop, second, "and later")
    assert project.sync("in")["updates"] == 2
    project.sync("in", "--full-refresh", "--allow-guard")
    assert (note(project, first), note(project, second)) == ("later", "and later")
    assert len(shop.state()["bulk"]) == made + 1
    assert project.sync("in")["updates"] == 0


def test_mirror_keeps_rows_that_are_younger_than_an_operation(project, shops):
    """A row that was created behind the start of an operation that another read has left is no row that is gone."""
    shop = shops.start("--customers", 20, "--orders", 3, "--bulk-seconds", 1)
    scene.reading(project, shop, "customers", mode="mirror, delete: hard, guard: off")
    project.sync("in")
    made = kill_behind_operation(project, shop)
    created = shop.change({"create": [{"__typename": "Customer", "email": "later@example.com"}]})["created"][0]
    config = project.folder / "dray.yaml"
    text = config.read_text()
    config.write_text(text.replace("shop: dray-test", "shop: dray-test, use_bulk: never"))
    assert project.sync("in")["inserts"] == 1
    config.write_text(text)
    assert project.sync("in")["deletes"] == 0
    assert note(project, created) is None and len(shop.state()["bulk"]) == made + 1


def test_full_read_goes_on_with_its_own_operation(project, shops):
    shop = shops.start("--customers", 20, "--orders", 3, "--bulk-seconds", 1)
    scene.reading(project, shop, "customers", mode="mirror, delete: hard, guard: off")
    made = kill_behind_operation(project, shop)
    project.plan("in")  # looks, and forgets nothing
    assert project.sync("in")["inserts"] == 20
    assert len(shop.state()["bulk"]) == made
    project.sync("in")
    assert len(shop.state()["bulk"]) == made + 1


# ---- clocks ----

# by the time of update, by id (their lists have no such order), in bulk and in pages
STREAMS = {"customers": ("Customer", "note"), "product_variants": ("ProductVariant", "barcode"), "inventory_items": ("InventoryItem", "sku")}


@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
@pytest.mark.parametrize("use_bulk", ["never", "auto"])
def test_clocks_an_hour_apart_lose_nothing(project, shops, hours, use_bulk):
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
    shop = shops.start("--now", now.strftime("%Y-%m-%dT%H:%M:%SZ"), "--customers", 12, "--orders", 3, "--products", 4)
    scene.reading(project, shop, *STREAMS, use_bulk=use_bulk, lookback_hours=0)
    for round_number in range(3):
        assert project.dray("sync", "in", "--json").expect(0).lines("run")[0]["rejected"] == 0
        text = f"round {round_number}"
        for kind, member in STREAMS.values():
            shop.change({"update": [{"id": shop.records(kind)[round_number]["id"], "set": {member: text}}]})
        shop.advance(1)
    project.dray("sync", "in").expect(0)
    for stream, (kind, member) in STREAMS.items():
        held = {row[0] for row in project.query(f'SELECT "{member}" FROM "{stream}" WHERE "{member}" LIKE \'round %\'')}
        assert held == {"round 0", "round 1", "round 2"}, (stream, held)


def test_change_between_a_query_and_the_date_of_its_answer(project, shops):
    """What the answer holds is older than its Date by as long as it took."""
    shop = shops.start("--customers", 3, "--orders", 1, "--products", 4, "--latency-ms", 1500)
    scene.reading(project, shop, "inventory_items", use_bulk="never", lookback_hours=0, include_metafields=False)
    gid = shop.records("InventoryItem")[2]["id"]
    process = project.start("sync", "in", "--json")
    harness.wait_until(lambda: "page" in scene.operations(shop), what="the page")
    shop.change({"update": [{"id": gid, "set": {"sku": "in between"}}]})
    project.finish(process).expect(0)
    shop.advance(10)
    project.sync("in")
    assert project.query("SELECT sku FROM inventory_items WHERE id = ?", (gid,)) == [("in between",)]
