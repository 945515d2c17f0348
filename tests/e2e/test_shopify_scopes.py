# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Access scopes of a shop's app, as Shopify's own map of them says: what each stream and object needs is all that `dray check` asks for,
what is lost without others is said, and a right that is missing is no fault of a row."""

import re

import pytest

import shopify_scene as scene
from test_shopify import BELOW, EVERY, LINES, LISTS, PARENTS
from test_shopify_writes import custom, fill, typed

pytestmark = pytest.mark.usefixtures("clean_shopify_traffic")

# By the only scope that the app has: the streams that can be read, each with the columns that are null then.
READ = {
    "read_customers": {"customers": "", "customer_addresses": "", "metafields_customers": ""},
    "read_orders": {"orders": "customer_id", "order_transactions": "", "order_refunds": "", "fulfillments": "location_id",
                    "order_line_items": "product_id variant_id", "order_refund_line_items": "location_id", "fulfillment_line_items": "",
                    "abandoned_checkouts": "customer_id", "abandoned_checkout_line_items": "product_id variant_id", "metafields_orders": ""},
    "read_products": {"products": "", "product_variants": "", "collections": "", "inventory_items": "", "metafields_products": "",
                      "metafields_product_variants": ""},
    "read_inventory": {"inventory_items": "", "inventory_levels": ""},
    "read_locations": {"locations": ""},
    "read_draft_orders": {"draft_orders": "customer_id order_id", "draft_order_line_items": "product_id variant_id"},
}
ANY = {"shop", "deleted_records"}  # need none


@pytest.fixture(scope="module")
def one_shop(tmp_path_factory):
    scene.need_shop()
    made = scene.Shops(tmp_path_factory.mktemp("shop"))
    yield made.start("--customers", 20, "--orders", 40, "--products", 6, "--drafts", 12, "--checkouts", 12)
    made.end()


@pytest.fixture
def shop(one_shop):
    whole = one_shop.state()["access"]["scopes"]
    yield one_shop
    one_shop.sim("POST", "access", {"scopes": whole})


def steps(project, role):
    """{name of a stream or object: its line of `dray check`}."""
    out = project.dray("check").out
    return {match.group(1): line for line in out.splitlines() for match in [re.search(rf"{role} (\w+): ", line)] if match}


def test_every_stream_stands_in_the_table():
    assert {*ANY, *(name for streams in READ.values() for name in streams)} == set(EVERY) == {
        "shop", "inventory_levels", "deleted_records", *PARENTS, *BELOW, *LISTS, *LINES}


@pytest.mark.parametrize("scope", sorted(READ))
def test_a_stream_is_read_with_the_scope_that_check_asks_for(project, shop, scope):
    more = ["read_all_orders"] if scope == "read_orders" else []
    shop.sim("POST", "access", {"scopes": [scope, *more]})
    able = {**READ[scope], **dict.fromkeys(ANY, "")}
    scene.reading(project, shop, *EVERY, use_bulk="never")
    told = steps(project, "stream")
    assert {name for name, line in told.items() if line.startswith("ok")} == set(able)
    refused = {name: line for name, line in told.items() if name not in able}
    assert all("FAIL" in line and "the app lacks the scope" in line for line in refused.values()), refused
    scene.reading(project, shop, *able, use_bulk="never")
    result = project.dray("sync", "in").expect(0)
    for stream, lost in able.items():
        warned = {match.group(1) for match in re.finditer(rf"\b{stream}: (\w+) may not be seen", result.err)}
        assert warned == {name.removesuffix("_id") for name in lost.split()}, (stream, result.err)
        for column in lost.split():
            assert re.search(rf"without [\w ]+ [\w ]*\b{column}\b", told[stream]), told[stream]
            assert project.query(f"SELECT count(*) > 0, count({column}) FROM {stream}") == [(1, 0)]
        assert ("without" in told[stream]) == bool(lost), told[stream]


COLUMNS = {"owner_id": "TEXT", "namespace": "TEXT", "key": "TEXT", "value": "TEXT"}
OWNERS = {"Customer": "write_customers", "Order": "write_orders", "Product": "write_products", "ProductVariant": "write_products"}


WAYS = {"upsert": (0, "upsert"), "create": (0, "create"), "update": (0, "update"), "job": (10, "upsert")}


@pytest.mark.parametrize("kind, way", [(kind, "upsert") for kind in sorted(OWNERS)] + [("Order", way) for way in WAYS if way != "upsert"])
def test_metafields_whose_owner_may_not_be_written_are_no_bad_rows(project, shop, kind, way):
    """Each of them would be refused, for ever: the run says what to grant, and the rows come when it is granted."""
    threshold, mode = WAYS[way]
    whole = shop.state()["access"]["scopes"]
    others = [one for one in whole if one != OWNERS[kind]]
    owners = [record["id"] for record in shop.records(kind)][:15]
    shop.change({"metafields": [{"id": owner, "namespace": "custom", "key": "scoped", "type": "single_line_text_field", "value": "theirs"}
                                for owner in owners]})
    scene.writing(project, shop, "metafields", [*COLUMNS, "type"], ["owner_id", "namespace", "key"], mode=mode,
                  options=f", bulk_threshold: {threshold}")
    fill(project, typed({**COLUMNS, "type": "TEXT"}), [(owner, "custom", "scoped", "ours", "single_line_text_field") for owner in owners])
    shop.sim("POST", "access", {"scopes": others})
    line = steps(project, "object")["metafields"]
    assert line.startswith("ok") and f"without {OWNERS[kind]} none of" in line and line.count("without") == 1, line
    for _ in range(2):
        result = project.dray("sync", "out", "--json")
        assert result.code == 5 and "auth_forbidden" in result.errors() and OWNERS[kind] in result.out + result.err, result
        assert project.rows("out") == []
    assert {custom(shop, kind)[owner]["scoped"] for owner in owners} == {"theirs"}
    shop.sim("POST", "access", {"scopes": whole})
    assert project.sync("out")["applied"] == len(owners)
    assert {custom(shop, kind)[owner]["scoped"] for owner in owners} == {"theirs" if mode == "create" else "ours"}


@pytest.mark.parametrize("threshold", [0, 100], ids=["aliases", "job"])
@pytest.mark.parametrize("name", ["customers", "customer_tags", "customer_consent", "orders"])
def test_an_object_that_may_not_be_written_has_no_bad_rows(project, shops, name, threshold):
    shop = shops.start("--customers", 300, "--orders", 150)
    whole, kind = shop.state()["access"]["scopes"], "Order" if name == "orders" else "Customer"
    scope, column = f"write_{kind.lower()}s", {"customer_tags": "tag", "customer_consent": "email_marketing_state"}.get(name, "note")
    owners = [record["id"] for record in shop.records(kind) if record["email"] or kind == "Order"][:120]
    scene.writing(project, shop, name, ["id", column], ["id", "tag"] if name == "customer_tags" else ["id"], options=f", bulk_threshold: {threshold}")
    fill(project, ["id TEXT", f"{column} TEXT"], [(owner, "UNSUBSCRIBED") for owner in owners])
    shop.sim("POST", "access", {"scopes": [one for one in whole if one != scope]})
    result = project.dray("sync", "out", "--json")
    assert result.code == 5 and "auth_forbidden" in result.errors() and scope in result.out + result.err, result
    assert project.rows("out") == []
    shop.sim("POST", "access", {"scopes": whole})
    run = project.sync("out")
    assert (run["applied"], run["rejected"]) == (len(owners), 0)
    assert scene.operations(shop).count("bulkOperationRunMutation") == (threshold > 0)


def test_metafields_need_some_scope_to_write(project, shop):
    shop.sim("POST", "access", {"scopes": [one for one in shop.state()["access"]["scopes"] if one.startswith("read_")]})
    scene.writing(project, shop, "metafields", list(COLUMNS), ["owner_id", "namespace", "key"])
    fill(project, typed(COLUMNS), [])
    line = steps(project, "object")["metafields"]
    assert "FAIL" in line and "write_customers or write_orders or write_products" in line, line
