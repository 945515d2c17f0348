# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A shop into a warehouse: in bulk, in pages, again and again, and through what goes wrong on the way."""

import json

import pytest

import harness
import shopify_scene as scene

PARENTS = {"customers": "Customer", "orders": "Order", "products": "Product", "product_variants": "ProductVariant",
           "collections": "Collection", "inventory_items": "InventoryItem", "locations": "Location",
           "draft_orders": "DraftOrder", "abandoned_checkouts": "AbandonedCheckout"}
BELOW = {"customer_addresses": ("Customer", "addresses"), "order_line_items": ("Order", "lineItems"),
         "draft_order_line_items": ("DraftOrder", "lineItems"), "abandoned_checkout_line_items": ("AbandonedCheckout", "lineItems"),
         "metafields_customers": ("Customer", "metafields"), "metafields_orders": ("Order", "metafields"),
         "metafields_products": ("Product", "metafields"), "metafields_product_variants": ("ProductVariant", "metafields")}
LISTS = {"order_transactions": "OrderTransaction", "order_refunds": "Refund", "fulfillments": "Fulfillment"}
LINES = {"order_refund_line_items": "refunds", "fulfillment_line_items": "fulfillments"}  # no bulk query takes them
EVERY = ["shop", *PARENTS, *BELOW, *LISTS, *LINES, "inventory_levels", "deleted_records"]

pytestmark = pytest.mark.usefixtures("clean_shopify_traffic")


@pytest.fixture(scope="module")
def one_shop(tmp_path_factory):
    """One shop with 60 orders for all tests that only read them."""
    scene.need_shop()
    made = scene.Shops(tmp_path_factory.mktemp("shop"))
    yield made.start("--orders", 60, "--bulk-slots", 100)
    made.end()


@pytest.fixture
def still(one_shop):
    one_shop.sim("POST", "faults", {"clear": True})
    yield one_shop
    one_shop.sim("POST", "faults", {"clear": True})


def ids(project, stream):
    return sorted(row[0] for row in project.query(f'SELECT id FROM "{stream}"'))


def expect_equal(project, shop, streams=None):
    """The warehouse holds each record of the shop once, by id."""
    for stream in streams or [*PARENTS, *BELOW, *LINES]:
        if stream in PARENTS:
            wanted = [record["id"] for record in shop.records(PARENTS[stream])]
        elif stream in LINES:
            wanted = [line["id"] for record in shop.records("Order") for one in record[LINES[stream]] for line in one["lineItems"]]
            assert wanted, stream
        else:
            kind, member = BELOW[stream]
            wanted = [one["id"] for record in shop.records(kind) for one in record[member]]
        assert ids(project, stream) == sorted(wanted), stream


def run_all(project, *options, code=0):
    return project.dray("sync", "in", "--json", *options).expect(code).lines("run")


def total(runs, name):
    return sum(run[name] for run in runs)


def test_everything_by_both_ways_is_the_same(project, shops, tmp_path):
    shop = shops.start()
    scene.reading(project, shop, *EVERY)
    runs = run_all(project)
    assert total(runs, "rejected") == 0
    expect_equal(project, shop)
    assert scene.operations(shop).count("bulkOperationRunQuery") == len(EVERY) - 5  # not shop, locations, deleted_records, LINES
    paged = harness.Project(tmp_path / "paged")
    scene.reading(paged, shop, *EVERY, use_bulk="never", page_size=37)
    before = len(scene.operations(shop))
    assert total(run_all(paged), "rejected") == 0
    assert "bulkOperationRunQuery" not in scene.operations(shop)[before:]
    for stream in EVERY:
        columns = [row[1] for row in project.query(f'PRAGMA table_info("{stream}")') if not row[1].startswith("_dray")]
        shown = ", ".join(f'"{name}"' for name in columns)
        assert scene.held(project, stream, shown) == scene.held(paged, stream, shown), stream


def test_values_are_those_of_the_shop(project, shops):
    shop = shops.start()
    scene.reading(project, shop, "customers", "orders", "order_line_items")
    run_all(project)
    for record in shop.records("Customer")[:50]:
        row = project.query("SELECT email, phone, first_name, tags, note, number_of_orders, updated_at, "
                            "email_marketing_state FROM customers WHERE id = ?", (record["id"],))[0]
        assert row[0] == record["email"] and row[1] == record["phone"] and row[2] == record["firstName"]
        assert json.loads(row[3]) == record["tags"] and row[4] == record["note"]
        assert row[5] == len(record["orders"])
        assert row[6].replace(" ", "T") + "Z" == record["updatedAt"]
        fields = {one["key"]: one for one in record["metafields"] if one["namespace"] == "custom"}
        points, vip, mood = project.query("SELECT metafield_custom_loyalty_points, metafield_custom_vip, "
                                          "metafield_custom_mood FROM customers WHERE id = ?", (record["id"],))[0]
        assert points == (int(fields["loyalty_points"]["value"]) if "loyalty_points" in fields else None)
        assert vip == ((fields["vip"]["value"] == "true") if "vip" in fields else None)
        assert (json.loads(mood) if mood else None) == (json.loads(fields["mood"]["value"]) if "mood" in fields else None)
    for record in shop.records("Order")[:50]:
        row = project.query("SELECT total_price, customer_id FROM orders WHERE id = ?", (record["id"],))[0]
        assert float(row[0]) == pytest.approx(record["total"]) and row[1] == record["customer"]
        lines = project.query("SELECT id, quantity FROM order_line_items WHERE order_id = ?", (record["id"],))
        assert sorted(lines) == sorted((one["id"], one["quantity"]) for one in record["lineItems"])


def test_lines_are_those_of_the_shop(project, still):
    """Each line is there once, has the id of what it is in, and the values of its kind."""
    scene.reading(project, still, *LINES, "draft_order_line_items", "abandoned_checkout_line_items")
    assert total(run_all(project), "rejected") == 0
    orders = still.records("Order")
    for stream, parent in (("order_refund_line_items", "refund_id"), ("fulfillment_line_items", "fulfillment_id")):
        wanted = sorted((one["id"], line["id"], line["lineItem"], line["quantity"])
                        for order in orders for one in order[LINES[stream]] for line in one["lineItems"])
        assert sorted(project.query(f"SELECT {parent}, id, line_item_id, quantity FROM {stream}")) == wanted and wanted
    for stream, kind, parent in (("draft_order_line_items", "DraftOrder", "draft_order_id"),
                                 ("abandoned_checkout_line_items", "AbandonedCheckout", "abandoned_checkout_id")):
        wanted = sorted((record["id"], one["id"], one["quantity"], one["title"], one["sku"] or "")
                        for record in still.records(kind) for one in record["lineItems"])
        assert sorted(project.query(f"SELECT {parent}, id, quantity, title, ifnull(sku, '') FROM {stream}")) == wanted and wanted
    both = ("sum(original_total IS NULL) + sum(currency_code != 'EUR'), max(json_extract(components, '$[0].title')), "
            "max(json_extract(custom_attributes, '$[0].value'))")
    for stream in ("draft_order_line_items", "abandoned_checkout_line_items"):
        assert project.query(f"SELECT {both} FROM {stream}") == [(0, "Box", "Für Åse 🎂")], stream
    discounts = project.query("SELECT total_discount, json_extract(applied_discount, '$.amountSet.shopMoney.amount'), "
                              "original_total - discounted_total FROM draft_order_line_items WHERE applied_discount IS NOT NULL")
    assert discounts
    for row in discounts:
        assert [float(one) for one in row] == [pytest.approx(float(row[0]))] * 3


def test_second_run_reads_what_changed(project, shops):
    shop = shops.start(*scene.days_ago(3))
    scene.reading(project, shop, "customers", "orders", lookback_hours=0)
    run_all(project)
    shop.advance(7200)
    changed = [record["id"] for record in shop.records("Customer")[:3]]
    shop.change({"update": [{"id": one, "set": {"note": "changed"}} for one in changed],
                 "create": [{"__typename": "Customer", "email": "new@example.com"}]})
    before = len(scene.operations(shop))
    runs = run_all(project)
    assert scene.operations(shop)[before:].count("bulkOperationRunQuery") == 0
    assert (total(runs, "inserts"), total(runs, "updates")) == (1, 3)
    expect_equal(project, shop, ["customers", "orders"])
    assert project.query("SELECT count(*) FROM customers WHERE note = 'changed'") == [(3,)]
    again = run_all(project)
    assert total(again, "inserts") + total(again, "updates") == 0


def test_many_records_of_one_time_over_page_edges(project, shops):
    shop = shops.start("--customers", 90, "--orders", 10)
    scene.reading(project, shop, "customers", use_bulk="never", page_size=20)
    shop.change({"update": [{"id": record["id"], "set": {}, "at": "2026-11-19T12:00:00Z"} for record in shop.records("Customer")]})
    run = project.sync("in")
    assert (run["rows_read"], run["inserts"]) == (90, 90)
    expect_equal(project, shop, ["customers"])


def test_record_updated_while_it_is_paged_is_not_lost(project, shops):
    """It moves to the end of the pages: one version is given out now, the other by the next run."""
    shop = shops.start("--customers", 100, "--orders", 10, "--latency-ms", 60)
    scene.reading(project, shop, "customers", use_bulk="never", page_size=10, lookback_hours=0)
    first = min(shop.records("Customer"), key=lambda record: (record["updatedAt"], record["id"]))
    process = project.start("sync", "in", "--json")
    harness.wait_until(lambda: scene.operations(shop).count("page") >= 3, what="three pages")
    shop.change({"update": [{"id": first["id"], "set": {"note": "in between"}}]})
    run = project.finish(process).expect(0).line("run")
    assert run["rejected"] == 0
    project.sync("in")
    assert project.query("SELECT note FROM customers WHERE id = ?", (first["id"],)) == [("in between",)]
    expect_equal(project, shop, ["customers"])


def test_killed_while_an_operation_runs_goes_on_waiting_for_it(project, shops):
    shop = shops.start("--bulk-seconds", 2)
    scene.reading(project, shop, "orders")
    process = project.start("sync", "in")
    harness.wait_until(lambda: "bulkOperationRunQuery" in scene.operations(shop), what="the operation")
    harness.wait_until(lambda: any("bulkOperation(id" in (entry.get("operation") or {}).get("query", "")
                                   for entry in shop.ledger()), what="a poll")
    project.kill(process)
    project.dray("sync", "in").expect(0)
    assert scene.operations(shop).count("bulkOperationRunQuery") == 1
    expect_equal(project, shop, ["orders"])


def test_download_that_breaks_off_goes_on_in_the_next_run(project, shops):
    """What came before is kept with its place in the file: the next run asks for the rest of the same file."""
    shop = shops.start("--orders", 1500)
    scene.reading(project, shop, "orders", sync=", commit_rows: 100")
    shop.fault({"kind": "cut", "port": "storage", "keep_bytes": 1500000},
               {"kind": "status", "port": "storage", "status": 500, "nth": 2, "count": 1000})
    project.dray("sync", "in").expect(1)
    kept = project.query("SELECT count(*) FROM orders")[0][0]
    assert 0 < kept < 1500
    shop.sim("POST", "faults", {"clear": True})
    since = len(shop.ledger())
    project.sync("in")
    assert scene.operations(shop).count("bulkOperationRunQuery") == 1
    asked = [entry for entry in shop.ledger()[since:] if entry.get("port") == "storage"]
    assert [entry["status"] for entry in asked] == [206]
    expect_equal(project, shop, ["orders"])


def test_long_gap_is_read_in_bulk_from_where_it_was(project, shops):
    shop = shops.start("--orders", 60, *scene.days_ago(3))
    scene.reading(project, shop, "orders", window_days=1, lookback_hours=0)
    project.sync("in")
    shop.advance(60)
    changed = shop.records("Order")[7]["id"]
    shop.change({"update": [{"id": changed, "set": {"note": "after the gap"}}]})
    run = project.sync("in")
    assert scene.operations(shop).count("bulkOperationRunQuery") == 2
    assert (run["updates"], run["rows_read"] < 60) == (1, True)


def test_zero_rows_have_no_file(project, shops):
    shop = shops.start("--drafts", 0)
    scene.reading(project, shop, "draft_orders")
    assert project.sync("in")["rows_read"] == 0
    assert project.sync("in")["rows_read"] == 0


@pytest.mark.parametrize("fault", [{"kind": "bulk", "status": "FAILED", "error_code": "INTERNAL_SERVER_ERROR"},
                                   {"kind": "bulk", "status": "FAILED", "error_code": "TIMEOUT", "partial": 0.5},
                                   {"kind": "bulk", "expire": True}],
                         ids=["failed", "partial", "expired"])
def test_operation_that_fails_is_read_in_pages(project, still, fault):
    shop = still
    shop.fault(fault)
    scene.reading(project, shop, "orders")
    assert project.sync("in")["inserts"] == 60
    expect_equal(project, shop, ["orders"])


def test_slots_taken_by_others_are_not_waited_for(project, shops):
    shop = shops.start("--orders", 60)
    shop.sim("POST", "bulk", {"count": 5, "seconds": 600})
    scene.reading(project, shop, "orders")
    assert project.sync("in")["inserts"] == 60
    assert "page" in scene.operations(shop)
    assert [one["status"] for one in shop.state()["bulk"]].count("CANCELED") == 0


def test_file_that_is_cut_is_resumed(project, still):
    shop = still
    before = len(shop.ledger())
    shop.fault({"kind": "cut", "port": "storage", "keep_bytes": 20001, "count": 3})
    scene.reading(project, shop, "orders")
    assert project.sync("in")["inserts"] == 60
    ranges = [entry for entry in shop.ledger()[before:] if entry.get("port") == "storage"]
    assert len(ranges) == 4
    expect_equal(project, shop, ["orders"])


def test_address_that_ends_in_the_middle_is_asked_for_again(project, still):
    shop = still
    shop.fault({"kind": "cut", "port": "storage", "keep_bytes": 20000},
               {"kind": "status", "port": "storage", "status": 403, "nth": 2})
    scene.reading(project, shop, "orders")
    assert project.sync("in")["inserts"] == 60
    expect_equal(project, shop, ["orders"])


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 502, "count": 2}, {"kind": "html", "count": 2},
                                   {"kind": "reset", "count": 2}, {"kind": "throttled", "count": 3},
                                   {"kind": "status", "status": 429, "retry_after": 1},
                                   {"kind": "graphql_error", "code": "INTERNAL_SERVER_ERROR", "message": "Internal error"}],
                         ids=["502", "html", "reset", "throttled", "429", "internal"])
@pytest.mark.parametrize("use_bulk", ["auto", "never"])
def test_what_passes_is_waited_for(project, still, fault, use_bulk):
    shop = still
    scene.reading(project, shop, "orders", use_bulk=use_bulk, page_size=25)
    project.dray("discover", "shop").expect(0)
    shop.fault({**fault, "nth": 3})
    assert project.sync("in")["inserts"] == 60
    expect_equal(project, shop, ["orders"])


def test_small_bucket_is_never_overdrawn(project, shops):
    shop = shops.start("--orders", 120, "--bucket", 1000, "--restore-rate", 900)
    scene.reading(project, shop, "orders", use_bulk="never")
    assert project.sync("in")["inserts"] == 120
    assert shop.state()["bucket"]["throttled"] == 0


def test_missing_scope_fails_that_stream_only(project, shops):
    shop = shops.start()
    scopes = [one for one in shop.state()["access"]["scopes"] if "customers" not in one]
    shop.sim("POST", "access", {"scopes": scopes})
    scene.reading(project, shop, "customers", "products")
    result = project.dray("sync", "in", "--json")
    assert result.code != 0
    assert "auth_forbidden" in result.errors() and "read_customers" in result.out + result.err
    expect_equal(project, shop, ["products"])
    checked = project.dray("check")
    assert checked.code == 5 and "grant the app the scope read_customers" in checked.out + checked.err


def test_field_that_may_not_be_seen_is_null_and_said(project, shops):
    shop = shops.start("--customers", 30)
    shop.sim("POST", "access", {"deny": ["Customer.note"]})
    scene.reading(project, shop, "customers")
    result = project.dray("sync", "in").expect(0)
    assert "note may not be seen" in result.err
    assert project.query("SELECT count(*), count(note) FROM customers") == [(30, 0)]


def test_definition_deleted_after_discover(project, shops):
    shop = shops.start("--customers", 30)
    scene.reading(project, shop, "customers")
    project.dray("discover", "shop").expect(0)
    shop.change({"undefine": [{"ownerType": "CUSTOMER", "namespace": "custom", "key": "vip"}]})
    assert project.sync("in")["inserts"] == 30


def definitions_asked(shop, since=0):
    asked = [(entry.get("operation") or {}).get("query", "") for entry in shop.ledger()[since:]]
    return [query.count("metafieldDefinitions(") for query in asked if "metafieldDefinitions(" in query]


def test_definitions_of_all_owners_are_one_request(project, shops):
    """And more pages only for an owner with more than 250 of them."""
    shop = shops.start("--customers", 5, "--orders", 3)
    scene.reading(project, shop, "customers", use_bulk="never")
    project.dray("discover", "shop").expect(0)
    assert definitions_asked(shop) == [4, 2]  # source and destination
    shop.change({"define": [{"ownerType": "CUSTOMER", "namespace": "many", "key": f"key_{i}", "type": "number_integer"}
                            for i in range(300)]})
    since = len(shop.ledger())
    found = project.dray("discover", "shop").expect(0).out
    assert definitions_asked(shop, since) == [4, 1, 2, 1]
    assert all(f"metafield_many_key_{i}" in found for i in range(300)) and "metafield_custom_vip" in found


def test_definitions_that_may_not_be_seen_take_none_of_the_others_away(project, shops):
    shop = shops.start("--customers", 5, "--orders", 3)
    scopes = [one for one in shop.state()["access"]["scopes"] if "orders" not in one]
    shop.sim("POST", "access", {"scopes": scopes})
    scene.reading(project, shop, "customers", use_bulk="never")
    assert project.sync("in")["inserts"] == 5
    assert project.query("SELECT count(metafield_custom_vip) FROM customers")[0][0] > 0


def test_more_below_a_parent_than_its_page_holds(project, shops):
    """The rest of a connection is asked for by the parent's id, page by page."""
    shop = shops.start("--customers", 40)
    for number in (3, 17, 39):
        one = shop.records("Customer")[number]["id"]
        shop.change({"metafields": [{"id": one, "namespace": "many", "key": f"key_{i}", "type": "number_integer", "value": str(i)}
                                    for i in range(60)]})
    scene.reading(project, shop, "metafields_customers", use_bulk="never", page_size=20)
    assert project.sync("in")["rejected"] == 0
    expect_equal(project, shop, ["metafields_customers"])
    assert project.query("SELECT count(*), sum(value) FROM metafields_customers WHERE namespace = 'many'") == [(180, 3 * 1770)]


def test_more_lines_of_a_refund_than_its_page_holds(project, shops):
    """Two refunds of one order, both longer than what comes with the order; then one that comes later, with its order's time."""
    shop = shops.start("--orders", 30)
    orders = [record["id"] for record in shop.records("Order")[:2]]

    def refund(order, number, lines):
        return {"__typename": "Refund", "id": f"gid://shopify/Refund/{number}", "$order": order, "$cents": 100, "createdAt":
                "2026-11-01T00:00:00Z", "$lines": [
                    {"__typename": "RefundLineItem", "id": f"gid://shopify/RefundLineItem/{number}{at:03}", "quantity": at + 1,
                     "restockType": "RETURN", "restocked": True, "$cents": 100,
                     "$line": {"__typename": "LineItem", "id": f"gid://shopify/LineItem/{number}{at:03}"}} for at in range(lines)]}
    shop.change({"update": [{"id": orders[0], "set": {"$refunds": [refund(orders[0], 71, 55), refund(orders[0], 72, 11)]}}]})
    scene.reading(project, shop, "order_refund_line_items", page_size=20, lookback_hours=0)
    assert project.sync("in")["rejected"] == 0
    expect_equal(project, shop, ["order_refund_line_items"])
    counted = "SELECT refund_id, count(*), sum(quantity) FROM order_refund_line_items WHERE refund_id GLOB '*Refund/7[123]' GROUP BY 1 ORDER BY 1"
    first = [("gid://shopify/Refund/71", 55, 1540), ("gid://shopify/Refund/72", 11, 66)]
    assert project.query(counted) == first
    shop.advance(7200)
    shop.change({"update": [{"id": orders[1], "set": {"$refunds": [refund(orders[1], 73, 12)]}}]})
    assert project.sync("in")["inserts"] == 12
    assert project.query(counted) == [*first, ("gid://shopify/Refund/73", 12, 78)]


@pytest.mark.parametrize("denied", ["Order.refunds", "Refund.refundLineItems"])
def test_lines_that_may_not_be_seen_are_not_none(project, shops, denied):
    shop = shops.start("--orders", 30)
    scene.reading(project, shop, "order_refund_line_items", mode="mirror")
    shop.sim("POST", "access", {"deny": [denied]})
    failed = project.dray("sync", "in")
    assert failed.code not in (0, 1) and denied.partition(".")[2] in failed.err, failed
    shop.sim("POST", "access", {"deny": []})
    project.sync("in")
    expect_equal(project, shop, ["order_refund_line_items"])


def test_full_read_shows_what_is_gone(project, shops):
    shop = shops.start("--customers", 60, "--orders", 20)
    scene.reading(project, shop, "products", mode="mirror, delete: hard")
    config = project.folder / "dray.yaml"
    config.write_text(config.read_text().replace("streams: [products]", "streams: [products], read: full"))
    project.sync("in")
    shop.change({"delete": [shop.records("Product")[5]["id"]]})
    assert project.sync("in", "--allow-guard")["deletes"] == 1
    expect_equal(project, shop, ["products"])


def test_deleted_records_are_told(project, shops):
    shop = shops.start()
    scene.reading(project, shop, "deleted_records", lookback_hours=0)
    before = project.sync("in")["rows_read"]
    shop.advance(60)
    gone = shop.records("Product")[0]["id"]
    shop.change({"delete": [gone]})
    assert project.sync("in")["inserts"] >= 1
    assert (gone,) in project.query("SELECT subject_id FROM deleted_records"), before


CLIENT = "client_id: dray-client, client_secret: !secret env:SHOP_SECRET"


@pytest.mark.parametrize("auth", [CLIENT, CLIENT + ", refresh_token: !secret env:SHOP_REFRESH"], ids=["client", "refresh"])
def test_token_that_is_revoked_in_the_middle(project, shops, auth):
    shop = shops.start("--orders", 100, "--latency-ms", 40)
    scene.reading(project, shop, "orders", auth=auth, use_bulk="never", page_size=10)
    process = project.start("sync", "in", "--json")
    harness.wait_until(lambda: scene.operations(shop).count("page") >= 2, what="two pages")
    for token in shop.state()["access"]["tokens"]:
        shop.sim("POST", "access", {"revoke": token})
    assert project.finish(process).expect(0).line("run")["inserts"] == 100
    expect_equal(project, shop, ["orders"])
    assert project.sync("in")["rejected"] == 0


def test_static_token_that_is_wrong(project, still):
    shop = still
    scene.reading(project, shop, "orders")
    project.environment["SHOP_TOKEN"] = "shpat_wrong_0123456789"
    result = project.dray("sync", "in")
    assert result.code == 5 and "shpat_wrong" not in result.out + result.err
    checked = project.dray("check")
    assert checked.code == 5 and "access_token" in checked.out + checked.err


def test_old_version_is_told(project, still):
    shop = still
    scene.reading(project, shop, "draft_orders", api_version="2024-01", use_bulk="never")
    result = project.dray("sync", "in").expect(0)
    assert "api_version" in result.err


def test_two_processes_share_a_budget(project, shops):
    shop = shops.start("--orders", 100, "--bucket", 1000, "--restore-rate", 900)
    scene.reading(project, shop, "orders", "customers", use_bulk="never")
    both = [project.start("sync", f"in.{stream}", "--json") for stream in ("orders", "customers")]
    for process in both:
        assert project.finish(process).expect(0).line("run")["rejected"] == 0
    expect_equal(project, shop, ["orders", "customers"])
    assert shop.state()["bucket"]["throttled"] == 0


def test_plan_starts_no_operation(project, still):
    shop, before = still, len(scene.operations(still))
    scene.reading(project, shop, "orders")
    plan, _ = project.plan("in")
    assert plan["inserts"] == 60
    assert "bulkOperationRunQuery" not in scene.operations(shop)[before:]
