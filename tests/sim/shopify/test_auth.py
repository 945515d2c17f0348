# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Who may do what in the Shopify simulator: tokens, OAuth, versions, shops, scopes, states of the shop."""

import urllib.parse

import pytest

SHOP = "{ shop { id } }"


def test_a_request_needs_a_token_that_is_known(shop):
    reply = shop.post(SHOP, headers={"X-Shopify-Access-Token": "shpat_other"})
    assert reply.status == 401
    assert reply.json() == {"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"}
    shop.sim("POST", "access", {"revoke": shop.token})
    assert shop.post(SHOP).status == 401


def test_client_credentials_end_after_a_day(start):
    shop = start("--token", "")
    answer = shop.oauth(grant_type="client_credentials")
    assert answer.status == 200 and set(answer.json()) == {"access_token", "scope", "expires_in"} and answer.json()["expires_in"] == 86399
    shop.token = answer.json()["access_token"]
    assert shop.post(SHOP).status == 200
    shop.advance(86400)
    assert shop.post(SHOP).status == 401
    assert shop.oauth(grant_type="client_credentials").status == 200
    shop.sim("POST", "access", {"installed": False})
    reply = shop.oauth(grant_type="client_credentials")
    assert reply.status == 400 and reply.json()["error"] == "app_not_installed"
    shop.sim("POST", "access", {"installed": True, "permitted": False})
    assert shop.oauth(grant_type="client_credentials").json()["error"] == "shop_not_permitted"
    assert shop.oauth(grant_type="client_credentials", client_secret="wrong").status == 400


def test_a_form_is_taken_too(shop):
    reply = shop.request("POST", "/admin/oauth/access_token", "client_id=dray-client&client_secret=dray-secret&grant_type=client_credentials",
                         {"Content-Type": "application/x-www-form-urlencoded"})
    assert reply.status == 200


def test_offline_tokens_live_an_hour_and_refresh_tokens_rotate(start):
    shop = start("--token", "")
    first = shop.oauth(grant_type="refresh_token", refresh_token="shprt_dray_first").json()
    assert set(first) == {"access_token", "scope", "expires_in", "refresh_token", "refresh_token_expires_in"}
    assert (first["expires_in"], first["refresh_token_expires_in"]) == (3600, 90 * 86400)
    shop.token = first["access_token"]
    assert shop.post(SHOP).status == 200
    shop.advance(3601)
    assert shop.post(SHOP).status == 401
    second = shop.oauth(grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    # The new one was used, so that which it replaced is at its end.
    reply = shop.oauth(grant_type="refresh_token", refresh_token="shprt_dray_first")
    assert reply.status == 400 and reply.json()["error"] == "invalid_grant"


def test_the_answer_to_a_refresh_may_be_lost(start):
    shop = start("--token", "")
    shop.fault({"kind": "reset", "path": "/admin/oauth/*", "applied": True})
    with pytest.raises(OSError):
        shop.oauth(grant_type="refresh_token", refresh_token="shprt_dray_first")
    lost = [one for one in shop.state()["access"]["refresh_tokens"] if one != "shprt_dray_first"]
    second = shop.oauth(grant_type="refresh_token", refresh_token="shprt_dray_first")
    assert second.status == 200 and len(lost) == 1
    assert shop.oauth(grant_type="refresh_token", refresh_token=lost[0]).json()["error"] == "invalid_grant"
    assert shop.oauth(grant_type="refresh_token", refresh_token=second.json()["refresh_token"]).status == 200


def test_refresh_tokens_end(start):
    shop = start("--token", "")
    made = shop.oauth(grant_type="refresh_token", refresh_token="shprt_dray_first").json()
    shop.advance(31 * 86400)  # the old one lives 30 days more at most, though nobody used the new one
    assert shop.oauth(grant_type="refresh_token", refresh_token="shprt_dray_first").status == 400
    shop.advance(60 * 86400)
    assert shop.oauth(grant_type="refresh_token", refresh_token=made["refresh_token"]).status == 400


REDIRECT = "https://dray.example/callback"


def code_of(shop, **more):
    asked = {"client_id": "dray-client", "scope": "read_orders,read_products", "redirect_uri": REDIRECT, "state": "s/1", **more}
    back = shop.request("GET", "/admin/oauth/authorize?" + urllib.parse.urlencode(asked))
    if back.status != 302:
        return back
    address, _, query = back.headers["location"].partition("?")
    query = dict(urllib.parse.parse_qsl(query))
    assert (address, query["shop"], query["state"]) == (REDIRECT, "dray-test.myshopify.com", "s/1")
    return query["code"]


def test_codes_become_tokens_once(shop):
    code = code_of(shop)
    assert "refresh_token" in shop.oauth(code=code, expiring=1, redirect_uri=REDIRECT, grant_type="authorization_code").json()
    assert shop.oauth(code=code, expiring=1).status == 400
    assert set(shop.oauth(code=code_of(shop)).json()) == {"access_token", "scope"}
    assert shop.oauth(code="other").status == 400
    assert shop.oauth(code=shop.sim("POST", "access", {"code": True})["code"], expiring="1").status == 200


@pytest.mark.parametrize("change", [{"redirect_uri": "https://dray.example/other"}, {"expiring": 2}, {"client_secret": "no"},
                                    {"grant_type": "password"}])
def test_codes_that_are_refused(shop, change):
    assert shop.oauth(**{"code": code_of(shop), "expiring": 1, "redirect_uri": REDIRECT, **change}).status == 400


def test_codes_end_and_are_granted_for_the_app_alone(shop):
    code = code_of(shop)
    shop.advance(601)
    assert shop.oauth(code=code, expiring=1).status == 400
    for wrong in ({"client_id": "other"}, {"redirect_uri": "https://other.example/"}, {"scope": "read_everything"}):
        assert code_of(shop, **wrong).status == 400
    assert shop.request("POST", "/admin/oauth/authorize").status == 404


def test_versions_fall_forward(shop):
    for asked, used in (("2026-10", "2026-10"), ("2026-04", "2026-04"), ("2023-07", "2026-01"), ("unstable", "unstable")):
        reply = shop.post(SHOP, path=f"/admin/api/{asked}/graphql.json")
        assert reply.status == 200 and reply.headers["x-shopify-api-version"] == used
    for never in ("2026-11", "v2", "2031-01"):
        assert shop.post(SHOP, path=f"/admin/api/{never}/graphql.json").status == 404


def test_another_shop_is_not_found(shop):
    assert shop.post(SHOP, headers={"Host": "nobody.myshopify.com"}).status == 404
    assert shop.post(SHOP, headers={"Host": "dray-test.myshopify.com"}).status == 200
    assert shop.post(SHOP, path="/nobody.myshopify.com/admin/api/2026-10/graphql.json").status == 404
    assert shop.post(SHOP, path="/dray-test.myshopify.com/admin/api/2026-10/graphql.json").status == 200
    assert shop.request("GET", "/admin/api/2026-10/graphql.json").status == 404


@pytest.mark.parametrize("status,words", [(402, "Unavailable"), (403, "merchant approval"), (423, "unavailable"), (430, "Rejection"),
                                          (502, "<html>")])
def test_states_of_a_shop(shop, status, words):
    shop.fault({"kind": "status", "status": status})
    reply = shop.post(SHOP)
    assert reply.status == status and words in reply.raw.decode()


# ---- scopes ----

def test_a_field_without_its_scope_is_denied_by_name(start):
    shop = start("--scopes", "read_products")
    answer = shop.gql("{ orders(first: 1) { nodes { id } } }")
    error = answer["errors"][0]
    assert error["extensions"]["code"] == "ACCESS_DENIED" and "read_orders" in error["message"] and error["path"] == ["orders"]
    assert answer["data"] is None
    assert shop.data("{ products(first: 1) { nodes { id } } }")
    assert shop.code('mutation { tagsAdd(id: "gid://shopify/Product/1", tags: ["x"]) { node { id } } }') == "ACCESS_DENIED"


def test_denied_fields_leave_the_others(start):
    shop = start("--scopes", "read_orders")
    answer = shop.gql("{ orders(first: 5, sortKey: ID) { nodes { id name customer { id } } } }")
    assert all(order["name"] and order["customer"] is None for order in answer["data"]["orders"]["nodes"])
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"ACCESS_DENIED"}
    assert answer["errors"][0]["path"][:2] == ["orders", "nodes"] and answer["errors"][0]["path"][3] == "customer"


def test_writing_implies_reading(start):
    shop = start("--scopes", "write_customers")
    assert shop.data("{ customers(first: 1) { nodes { id } } }")
    assert shop.oauth(grant_type="client_credentials").json()["scope"] == "write_customers"


def test_old_orders_need_a_scope_of_their_own(start):
    few = start("--scopes", "read_orders").every("orders", "createdAt")
    assert 0 < len(few) < 400 and all(one["createdAt"] >= "2026-09-21" for one in few)


def test_protected_data_are_lost_field_by_field(shop):
    shop.sim("POST", "access", {"deny": ["Customer.defaultEmailAddress", "Customer.firstName"]})
    answer = shop.gql("{ customers(first: 2) { nodes { id firstName defaultEmailAddress { emailAddress } updatedAt } } }")
    assert all(one["firstName"] is None and one["updatedAt"] for one in answer["data"]["customers"]["nodes"])
    assert "not approved" in answer["errors"][0]["message"] and answer["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"
    _, lines = shop.bulk("{ customers { edges { node { id firstName } } } }")
    assert lines and all(line["firstName"] is None for line in lines)
