# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A shop that answers as no shop should, and processes that die between two requests."""

import pytest

import harness
import shopify_scene as scene

pytestmark = pytest.mark.usefixtures("clean_shopify_traffic")
SUBMIT = "bulkOperationRunQuery("


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 502}, {"kind": "reset"},
                                   {"kind": "reset", "applied": True}, {"kind": "html"},
                                   {"kind": "stall", "seconds": 12, "applied": True},
                                   {"kind": "graphql_error", "code": "INTERNAL_SERVER_ERROR", "message": "Internal error"},
                                   {"kind": "user_error", "root": "bulkOperationRunQuery", "message": "not today"}],
                         ids=["502", "reset", "reset-applied", "html", "stall", "internal", "refused"])
def test_operation_that_may_not_have_begun(project, shops, fault):
    """Nothing is lost by reading pages instead."""
    shop = shops.start("--orders", 30)
    scene.reading(project, shop, "orders", request_timeout=5)
    shop.fault({**fault, "body_contains": SUBMIT})
    assert project.sync("in")["inserts"] == 30


def test_killed_before_the_operation_is_known(project, shops):
    """The one that runs is found again by its query; no slot is lost to it."""
    shop = shops.start("--orders", 30, "--bulk-seconds", 1)
    scene.reading(project, shop, "orders")
    shop.fault({"kind": "stall", "seconds": 5, "applied": True, "body_contains": SUBMIT})
    process = project.start("sync", "in")
    harness.wait_until(lambda: shop.state()["bulk"], what="the operation")
    project.kill(process)
    assert project.sync("in")["inserts"] == 30
    assert len(shop.state()["bulk"]) <= 2


def test_operation_that_vanishes_while_it_is_waited_for(project, shops):
    shop = shops.start("--orders", 30, "--bulk-seconds", 60)
    scene.reading(project, shop, "orders")
    process = project.start("sync", "in", "--json")
    harness.wait_until(lambda: shop.state()["bulk"], what="the operation")
    shop.change({"vanish": [shop.state()["bulk"][0]["id"]]})
    result = project.finish(process).expect(0)
    assert result.line("run")["inserts"] == 30
    again = project.sync("in")
    assert again["inserts"] == 0


def test_value_that_no_column_can_hold(project, shops):
    """The record is told as unreadable, with the column; all others arrive."""
    shop = shops.start("--customers", 5, "--orders", 3)
    gid = "gid://shopify/Customer/98765432109876543210"
    strange = shop.records("Customer")[0]["id"]
    shop.change({"create": [{"__typename": "Customer", "id": gid, "email": "big@example.com"}],
                 "metafields": [{"id": strange, "namespace": "custom", "key": "loyalty_points",
                                 "type": "single_line_text_field", "value": "many"}]})
    for use in ("never", "always"):
        made = harness.Project(project.folder / use)
        scene.reading(made, shop, "customers", use_bulk=use)
        assert made.sync("in", code=3)["unreadable"] == 2
        assert made.query("SELECT count(*) FROM customers") == [(4,)]
        rows = {row["key"]: (row["error"], row["column"]) for row in made.rows("in")}
        assert rows == {f"id={gid}": ("data_overflow", "legacy_resource_id"),
                        f"id={strange}": ("data_type", "metafield_custom_loyalty_points")}, made.rows("in")
        assert gid.rpartition("/")[2] in str(made.rows("in")) and "'many'" in str(made.rows("in"))
        made.sync("in", code=3)  # in pages they are met again: the same rows, once each
        assert len(made.rows("in")) == 2, made.rows("in")


def test_texts_of_all_kinds(project, shops):
    """Half an emoji does not stop a stream: it is the replacement character, read either way."""
    shop = shops.start("--customers", 6, "--orders", 3)
    texts = ["half a pair: \ud83d", "other half: \ude00.", "both: \U0001f600 \\ud83d", "\ufffe \u2028 \u00a0 \\/", "n" * 70000]
    ids = [record["id"] for record in shop.records("Customer")]
    shop.change({"update": [{"id": gid, "set": {"note": text}} for gid, text in zip(ids, texts)]})
    for use in ("never", "always"):
        made = harness.Project(project.folder / use)
        scene.reading(made, shop, "customers", use_bulk=use)
        assert made.sync("in")["inserts"] == 6
        held = dict(made.query("SELECT id, note FROM customers"))
        for gid, text in zip(ids, texts):
            assert held[gid] == text.replace("\ud83d", "\ufffd").replace("\ude00", "\ufffd")


def test_security_block_ends_one_run(project, shops):
    shop = shops.start("--orders", 10)
    scene.reading(project, shop, "orders", use_bulk="never")
    shop.fault({"kind": "status", "status": 430, "nth": 2})
    run = project.sync("in", code=1)
    assert (run["error"], run["rejected"]) == ("throttled", 0)
    assert project.sync("in")["rejected"] == 0
    assert project.query("SELECT count(*) FROM orders") == [(10,)]


@pytest.mark.parametrize("status,word", [(401, "access_token"), (402, "has paid"), (403, "merchant approval"),
                                         (404, "https://acme.myshopify.com"), (423, "locked")])
def test_status_says_what_to_do(project, shops, status, word):
    shop = shops.start("--orders", 10)
    scene.reading(project, shop, "orders")
    shop.fault({"kind": "status", "status": status, "count": 1000})
    result = project.dray("sync", "in")
    assert result.code != 0 and word in result.err, result
    checked = project.dray("check")
    assert checked.code == result.code and word in checked.out + checked.err, checked


def test_shop_that_is_locked_for_a_moment_has_the_same_columns(project, shops):
    """Only a scope that lacks takes metafields away; the next run has them again, so nothing may be written without."""
    shop = shops.start("--customers", 10, "--orders", 3)
    scene.reading(project, shop, "customers", use_bulk="never")
    shop.fault({"kind": "status", "status": 423, "body_contains": "metafieldDefinitions"})
    assert project.dray("sync", "in").code == 5
    assert project.sync("in")["inserts"] == 10
    assert project.query("SELECT count(metafield_custom_vip) FROM customers")[0][0] > 0


def test_html_for_ever(project, shops):
    shop = shops.start("--orders", 10)
    scene.reading(project, shop, "orders", max_retries=1)
    shop.fault({"kind": "html", "count": 1000})
    result, checked = project.dray("sync", "in"), project.dray("check")
    assert result.code == 1 and "Something went wrong" in result.err and "proxy or login page" in result.err
    assert checked.code == 1 and "FAIL" in checked.out


@pytest.mark.parametrize("retries", [0, 1, 7])
def test_as_many_retries_as_are_asked_for(project, shops, retries):
    """Not more where the shop is down, and not fewer where it takes longer. Larger pages would be made smaller first."""
    shop = shops.start("--orders", 3)
    scene.reading(project, shop, "locations", max_retries=retries, use_bulk="never", page_size=1)
    shop.fault({"kind": "status", "status": 502, "count": retries + 1, "body_contains": "locations("})
    assert project.dray("sync", "in").code == 1
    assert [entry["status"] for entry in shop.ledger()].count(502) == retries + 1
    shop.fault({"kind": "status", "status": 502, "count": retries, "body_contains": "locations("})
    assert project.sync("in")["rejected"] == 0


def test_tag_of_a_customer_who_was_deleted(project, shops):
    """It is gone with the customer: its row is not refused in every run from then on."""
    shop = shops.start("--customers", 5, "--orders", 3)
    gid = shop.change({"create": [{"__typename": "Customer", "email": "gone@example.com"}]})["created"][0]
    scene.writing(project, shop, "customer_tags", ["id", "tag"], ["id", "tag"], mode="mirror")
    kept = shop.records("Customer")[0]["id"]
    project.execute(f"CREATE TABLE rows (id TEXT, tag TEXT); INSERT INTO rows VALUES ('{gid}', 'vip2'), ('{kept}', 'vip2')")
    assert project.sync("out")["applied"] == 2
    shop.change({"delete": [gid]})
    project.execute(f"DELETE FROM rows WHERE id = '{gid}'")
    run = project.sync("out")
    assert (run["deletes"], run["refused"]) == (1, 0)
    assert project.sync("out")["sent"] == 0


def test_nobody_answers(project, shops):
    """What is said of the reach is not said of the credentials."""
    shop = shops.start("--orders", 3)
    scene.reading(project, shop, "orders", max_retries=0)
    shop.stop()
    result, checked = project.dray("sync", "in"), project.dray("check")
    assert "net_connect" in result.err and "reachable from this machine" in result.err
    assert (result.code, checked.code) == (1, 1)
    assert "FAIL  shop (source) reach" in checked.out and "the shop answers" not in checked.out
