# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What is below a record of a shop: more of it than fits into memory or a page, lines without an id, and whose they are."""

import pytest

import harness
import shopify_scene as scene

pytestmark = pytest.mark.usefixtures("clean_shopify_traffic")
WIDE = "x" * 60000


@pytest.fixture(scope="module")
def one_shop(tmp_path_factory):
    scene.need_shop()
    made = scene.Shops(tmp_path_factory.mktemp("shop"))
    yield made.start("--customers", 12, "--orders", 12, "--products", 3)
    made.end()


def give(shop, customer, first, count, value):
    shop.change({"metafields": [{"id": customer, "namespace": "many", "key": f"key_{i:05}", "type": "multi_line_text_field", "value": value}
                                for i in range(first, first + count)]})


def below(shop):
    return sorted(one["id"] for record in shop.records("Customer") for one in record["metafields"])


def test_memory_does_not_grow_with_what_is_below_one_parent(project, one_shop, tmp_path):
    """18 MB of metafields of one customer, then 54 MB: they come in pages of their own, and are given out page by page."""
    customer = one_shop.records("Customer")[4]["id"]
    counts, peaks = (300, 900), []
    for first, count in zip((0, *counts), counts):
        give(one_shop, customer, first, count - first, WIDE)
        fresh = harness.Project(tmp_path / f"shop{count}")
        scene.reading(fresh, one_shop, "metafields_customers", use_bulk="never")
        run, kib = fresh.peak("in")
        assert run["rejected"] == 0
        assert sorted(row[0] for row in fresh.query("SELECT id FROM metafields_customers")) == below(one_shop)
        assert fresh.query("SELECT count(*), min(length(value)) FROM metafields_customers WHERE namespace = 'many'") == [(count, 60000)]
        peaks.append(kib)
    assert peaks[1] < peaks[0] + 12 * 1024, f"{peaks} KiB for {counts} metafields of 60 kB"


def pages_below(shop, since=0):
    return [entry for entry in shop.ledger()[since:] if "node(id:$id)" in ((entry.get("operation") or {}).get("query") or "")]


def test_killed_among_the_records_of_one_parent(project, shops):
    """Some of them are in the warehouse by then, and the place that was kept is before their parent: all of them come, each once."""
    shop = shops.start("--customers", 6, "--orders", 3, "--latency-ms", 60)
    give(shop, shop.records("Customer")[2]["id"], 0, 200, "small")
    scene.reading(project, shop, "metafields_customers", use_bulk="never", page_size=10, sync=", commit_after: 0s")
    process = project.start("sync", "in")
    harness.wait_until(lambda: len(pages_below(shop)) >= 8, what="pages below a parent")
    project.kill(process)
    kept = project.query("SELECT count(*) FROM metafields_customers")[0][0]
    assert 0 < kept < len(below(shop))
    project.sync("in")
    assert sorted(row[0] for row in project.query("SELECT id FROM metafields_customers")) == below(shop)
    shop.advance(60)
    assert project.sync("in")["inserts"] == 0


def test_pages_below_a_parent_become_smaller_where_they_are_too_much(project, shops):
    shop = shops.start("--customers", 6, "--orders", 3)
    give(shop, shop.records("Customer")[2]["id"], 0, 100, "small")
    scene.reading(project, shop, "metafields_customers", use_bulk="never", max_retries=0)
    shop.fault({"kind": "status", "status": 502, "body_contains": "node(id:$id)", "count": 2})
    assert project.sync("in")["rejected"] == 0
    assert sorted(row[0] for row in project.query("SELECT id FROM metafields_customers")) == below(shop)
    sizes = [entry["operation"]["variables"]["first"] for entry in pages_below(shop)]
    assert max(sizes) <= 250 // 4, sizes  # of those that were answered


def refund(order, number, lines, identified=True):
    return {"__typename": "Refund", "id": f"gid://shopify/Refund/{number}", "$order": order, "$cents": 100, "createdAt":
            "2026-11-01T00:00:00Z", "$lines": [
                {"__typename": "RefundLineItem", "id": f"gid://shopify/RefundLineItem/{number}{at:03}" if identified else None,
                 "quantity": at + 1, "restockType": "RETURN", "restocked": True, "$cents": 100,
                 "$line": {"__typename": "LineItem", "id": f"gid://shopify/LineItem/{number}{at % 3:03}"}} for at in range(lines)]}


def test_lines_of_refunds_without_an_id_are_rows_too(project, shops):
    """The schema lets RefundLineItem.id be null, and one line of an order may be refunded twice in one refund."""
    shop = shops.start("--customers", 6, "--orders", 8)
    orders = [record["id"] for record in shop.records("Order")[:2]]
    shop.change({"update": [{"id": orders[0], "set": {"$refunds": [refund(orders[0], 81, 35, False), refund(orders[0], 82, 2)]}},
                            {"id": orders[1], "set": {"$refunds": [refund(orders[1], 83, 3, False)]}}]})
    scene.reading(project, shop, "order_refund_line_items", page_size=10, lookback_hours=0)
    run = project.sync("in")
    assert (run["rejected"], run["unreadable"]) == (0, 0)
    held = "SELECT id, order_id, refund_id, quantity FROM order_refund_line_items WHERE refund_id GLOB '*Refund/8[123]'"
    wanted = {(f"gid://shopify/Refund/{number}#{at + 1}" if number != 82 else f"gid://shopify/RefundLineItem/82{at:03}", order,
               f"gid://shopify/Refund/{number}", at + 1)
              for number, order, count in ((81, orders[0], 35), (82, orders[0], 2), (83, orders[1], 3)) for at in range(count)}
    assert set(project.query(held)) == wanted
    shop.change({"update": [{"id": order, "set": {"note": "read again"}} for order in orders]})
    again = project.sync("in")
    assert (again["inserts"], again["updates"]) == (0, 0) and set(project.query(held)) == wanted


def test_lines_of_lines_say_whose_order_they_are_in(project, one_shop):
    streams = {"order_refund_line_items": ("refunds", "refund_id"), "fulfillment_line_items": ("fulfillments", "fulfillment_id")}
    scene.reading(project, one_shop, *streams)
    project.dray("sync", "in").expect(0)
    for stream, (member, parent) in streams.items():
        wanted = sorted((order["id"], one["id"], line["id"]) for order in one_shop.records("Order") for one in order[member]
                        for line in one["lineItems"])
        assert sorted(project.query(f"SELECT order_id, {parent}, id FROM {stream}")) == wanted and wanted, stream


def test_record_that_is_too_long_is_a_bad_row_with_its_reason(project, shops):
    """All json columns of a record lie in one line; it may have 32 MiB. The others are read."""
    shop = shops.start("--customers", 6, "--orders", 3)
    long = shop.records("Customer")[1]["id"]
    shop.change({"update": [{"id": long, "set": {"note": "x" * (33 << 20)}}]})
    scene.reading(project, shop, "customers", use_bulk="never")
    result = project.dray("sync", "in", "--json")
    run = result.line("run")
    assert (run["inserts"], run["unreadable"]) == (5, 1), result
    assert "more than 33554432 bytes" in " ".join(row["text"] for row in project.rows("in")), project.rows("in")


def test_page_that_is_larger_than_an_answer_may_be_becomes_smaller(project, shops):
    """80 MB of notes: an answer may have 64 MiB."""
    shop = shops.start("--customers", 6, "--orders", 3)
    long = [record["id"] for record in shop.records("Customer")[:4]]
    for one in long:
        shop.change({"update": [{"id": one, "set": {"note": "x" * (20 << 20)}}]})
    scene.reading(project, shop, "customers", use_bulk="never")
    run = project.sync("in")
    assert (run["inserts"], run["unreadable"]) == (6, 0)
    assert project.query("SELECT count(*) FROM customers WHERE length(note) = ?", (20 << 20,)) == [(4,)]
