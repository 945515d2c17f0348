# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Rows that take several calls of which a later one fails: when the source then says again what was there before, it is sent."""

import pytest

import shopify_scene
import zendesk_scene as scene
from test_vendor_nulls import fill, shop  # noqa: F401
from test_zendesk_corners import tagged
from test_zendesk_destination import zendesk  # noqa: F401


# ---- Zendesk ----

REFUSED = {"kind": "status", "status": 422, "body": {"error": "RecordInvalid", "description": "x", "details": {}}}
FAULTS = {"422": REFUSED, "401": {"kind": "status", "status": 401}, "403": {"kind": "status", "status": 403},
          "409": {"kind": "conflict"}, "503": {"kind": "status", "status": 503}}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_lost_tag_comes_back(project, zendesk, fault):  # noqa: F811
    sync = tagged(project, zendesk)
    sync("a b")
    zendesk.fault({**fault, "method": "PUT", "path": "/api/v2/users/*/tags", "count": -1})
    assert sync("a c", code=3) == {"theirs", "a"}
    zendesk.clear_faults()
    assert sync("a b") == {"theirs", "a", "b"}


def test_what_a_lost_tag_leaves_is_known_to_the_next_list(project, zendesk):  # noqa: F811
    sync = tagged(project, zendesk)
    sync("a b")
    zendesk.fault({**REFUSED, "method": "PUT", "path": "/api/v2/users/*/tags", "count": -1})
    assert sync("a c", code=3) == {"theirs", "a"}
    zendesk.clear_faults()
    assert sync("d") == {"theirs", "d"}


def test_an_address_that_became_no_primary_one(project, zendesk):  # noqa: F811
    number = next(row["id"] for row in zendesk.state()["users"] if row["role"] == "end-user" and row["active"])
    zendesk.change({"users": [{"id": number, "external_id": "crm-1"}]})
    scene.activate(project, zendesk, "users", {"external_id": "TEXT", "name": "TEXT", "email": "TEXT", "notes": "TEXT"}, "external_id", "upsert")

    def sync(email, notes, code=0):
        scene.fill(project, [{"external_id": "crm-1", "name": "N", "email": email, "notes": notes}])
        project.sync("out", code=code)
        return zendesk.rows("users")[number]["notes"]

    sync("one@dray.example", "A")
    zendesk.fault({"kind": "status", "status": 503, "path": "/api/v2/users/*/identities*", "count": -1},
                  {"kind": "status", "status": 503, "path": "/api/v2/users/*/identities/*/make_primary", "count": -1})
    assert sync("two@dray.example", "B", code=3) == "B"
    zendesk.clear_faults()
    assert sync("one@dray.example", "A") == "A"


# ---- Shopify ----

def customer(shop, email):  # noqa: F811
    [record] = [one for one in shop.records("Customer") if one["email"] == email]
    return record


def held(shop, email):  # noqa: F811
    record = customer(shop, email)
    return record["firstName"], {one["key"]: one["value"] for one in record["metafields"] if one["key"] in ("nickname", "favourite")}


@pytest.mark.parametrize("match", ["email", "id"])
def test_a_customer_whose_metafield_is_refused(project, shop, match):  # noqa: F811
    shop.change({"create": [{"__typename": "Customer", "email": "n1@example.com", "firstName": "zero"}]})
    key = customer(shop, "n1@example.com")[match]
    columns = {match: "TEXT", "first_name": "TEXT", "metafield_custom_favourite": "TEXT", "metafield_custom_nickname": "TEXT"}
    shopify_scene.writing(project, shop, "customers", list(columns), [match])
    product = shop.records("Product")[0]["id"]
    fill(project, columns, [(key, "A", product, "nick")])
    project.sync("out")
    before = held(shop, "n1@example.com")
    assert before == ("A", {"favourite": product, "nickname": "nick"})
    fill(project, columns, [(key, "B", "no gid", None)])
    project.sync("out", code=3)
    assert held(shop, "n1@example.com") != before
    fill(project, columns, [(key, "A", product, "nick")])
    project.sync("out")
    assert held(shop, "n1@example.com") == before


def test_a_customer_whose_metafields_find_a_broken_server(project, shop):  # noqa: F811
    shop.change({"create": [{"__typename": "Customer", "email": "n1@example.com", "firstName": "zero"}]})
    columns = {"email": "TEXT", "first_name": "TEXT", "metafield_custom_nickname": "TEXT"}
    shopify_scene.writing(project, shop, "customers", list(columns), ["email"])
    fill(project, columns, [("n1@example.com", "A", "nick")])
    project.sync("out")
    shop.fault({"kind": "status", "status": 503, "body_contains": "metafieldsSet", "count": -1})
    fill(project, columns, [("n1@example.com", "B", "nock")])
    project.sync("out", code=3)
    assert held(shop, "n1@example.com") == ("B", {"nickname": "nick"})
    shop.sim("DELETE", "faults")
    fill(project, columns, [("n1@example.com", "A", "nick")])
    assert project.sync("out")["applied"] == 1
    assert held(shop, "n1@example.com") == ("A", {"nickname": "nick"})
