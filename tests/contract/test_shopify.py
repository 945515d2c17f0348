# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The Shopify simulator held against the vendor's schema by an independent walk, and against the vendor's own client."""

import copy
import json
import os
import pathlib
import subprocess
import sys

import pytest

import shopify_ledger

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "sim" / "shopify"))

import shop as module  # noqa: E402

MONEY = "{ shopMoney { amount currencyCode } presentmentMoney { amount currencyCode } }"
ADDRESS = "{ id address1 address2 city company country countryCodeV2 firstName lastName name phone province provinceCode zip latitude longitude }"
FIELD = "{ nodes { id namespace key type value jsonValue createdAt updatedAt compareDigest ownerType definition { id name } } }"
LINE = f"id title quantity sku vendor originalUnitPriceSet {MONEY}"
# Every stream of the v1 scope, with all that a plugin may want of it.
READS = {
    "customers": f"id legacyResourceId displayName firstName lastName note locale state tags verifiedEmail taxExempt taxExemptions createdAt "
                 "updatedAt numberOfOrders amountSpent { amount currencyCode } canDelete lifetimeDuration lastOrder { id } "
                 "defaultEmailAddress { emailAddress marketingState marketingOptInLevel marketingUpdatedAt validFormat } "
                 "defaultPhoneNumber { phoneNumber marketingState marketingOptInLevel marketingUpdatedAt smsMarketingConsent { state } } "
                 f"email phone emailMarketingConsent {{ marketingState }} smsMarketingConsent {{ marketingState }} "
                 f"defaultAddress {ADDRESS} addresses(first: 5) {ADDRESS} addressesV2(first: 5) {{ nodes {ADDRESS} }} "
                 f"statistics {{ predictedSpendTier }} orders(first: 2) {{ nodes {{ id }} }} "
                 f"metafields(first: 20) {FIELD} metafield(namespace: \"custom\", key: \"vip\") {{ value }}",
    "orders": "id legacyResourceId name number createdAt processedAt updatedAt cancelledAt cancelReason closedAt closed confirmed test email "
              "phone note tags currencyCode presentmentCurrencyCode displayFinancialStatus displayFulfillmentStatus returnStatus "
              "sourceName customAttributes { key value } discountCodes taxesIncluded fullyPaid unpaid statusPageUrl "
              f"totalPriceSet {MONEY} subtotalPriceSet {MONEY} totalTaxSet {MONEY} totalShippingPriceSet {MONEY} totalDiscountsSet {MONEY} "
              f"totalRefundedSet {MONEY} currentTotalPriceSet {MONEY} netPaymentSet {MONEY} totalReceivedSet {MONEY} customer {{ id }} "
              f"shippingAddress {ADDRESS} billingAddress {ADDRESS} lineItems(first: 5) {{ nodes {{ {LINE} currentQuantity requiresShipping "
              f"taxable product {{ id }} variant {{ id sku }} discountedTotalSet {MONEY} customAttributes {{ key value }} taxLines "
              "{ title rate } } } "
              f"transactions(first: 5) {{ id kind status gateway test createdAt processedAt amountSet {MONEY} parentTransaction {{ id }} }} "
              f"refunds {{ id createdAt updatedAt note totalRefundedSet {MONEY} refundLineItems(first: 3) {{ nodes {{ id quantity "
              f"restockType lineItem {{ id }} subtotalSet {MONEY} }} }} transactions(first: 2) {{ nodes {{ id }} }} }} "
              "fulfillments { id name status displayStatus createdAt updatedAt totalQuantity trackingInfo { company number url } "
              "location { id } fulfillmentLineItems(first: 3) { nodes { id quantity lineItem { id } } } } "
              f"shippingLines(first: 3) {{ nodes {{ id title code source originalPriceSet {MONEY} }} }} metafields(first: 5) {FIELD}",
    "products": "id legacyResourceId title handle descriptionHtml description productType vendor status tags createdAt updatedAt publishedAt "
                "totalInventory tracksInventory hasOnlyDefaultVariant onlineStoreUrl seo { title description } options { id name values } "
                f"priceRangeV2 {{ minVariantPrice {{ amount currencyCode }} }} variantsCount {{ count }} metafields(first: 9) {FIELD} "
                "variants(first: 3) { nodes { id } } collections(first: 3) { nodes { id } }",
    "productVariants": "id legacyResourceId title displayName sku barcode price compareAtPrice position taxable availableForSale "
                       "inventoryPolicy inventoryQuantity createdAt updatedAt selectedOptions { name value } product { id } "
                       f"inventoryItem {{ id sku }} metafields(first: 5) {FIELD}",
    "collections": "id legacyResourceId title handle description descriptionHtml sortOrder templateSuffix updatedAt productsCount { count } "
                   "products(first: 5) { nodes { id } } seo { title }",
    "inventoryItems": "id legacyResourceId sku tracked requiresShipping countryCodeOfOrigin harmonizedSystemCode unitCost { amount } createdAt "
                      "updatedAt measurement { weight { unit value } } inventoryLevels(first: 5) { nodes { id isActive createdAt updatedAt "
                      "item { id } location { id } quantities(names: [\"available\", \"on_hand\"]) { id name quantity updatedAt } } }",
    "locations": "id legacyResourceId name isActive createdAt updatedAt deactivatedAt shipsInventory fulfillsOnlineOrders address { address1 "
                 "city country countryCode formatted } inventoryLevels(first: 2) { nodes { id } }",
    "draftOrders": f"id legacyResourceId name status email note2 tags createdAt updatedAt completedAt invoiceUrl currencyCode customer {{ id }} "
                   f"totalPriceSet {MONEY} subtotalPriceSet {MONEY} totalTaxSet {MONEY} lineItems(first: 3) {{ nodes {{ {LINE} }} }}",
    "abandonedCheckouts": f"id name note abandonedCheckoutUrl completedAt createdAt updatedAt customer {{ id }} totalPriceSet {MONEY} "
                          "lineItems(first: 3) { nodes { id title quantity } } taxesIncluded",
    "events": "id action createdAt message appTitle attributeToApp ... on BasicEvent { __typename subjectId subjectType author }",
}
WRITES = [
    ("mutation($i: CustomerSetInput!) { customerSet(input: $i) { customer { id } userErrors { field message code } } }",
     {"i": {"email": "w@example.com", "addresses": [{"city": "Oslo"}]}}),
    ("mutation($i: CustomerSetInput!) { customerSet(input: $i) { customer { id } userErrors { field message code } } }",
     {"i": {"email": "broken"}}),
    ("mutation($i: CustomerInput!) { customerCreate(input: $i) { customer { id } userErrors { field message } } }", {"i": {"note": "x"}}),
    ("mutation($i: CustomerInput!) { customerUpdate(input: $i) { customer { id note } userErrors { field message } } }",
     {"i": {"id": "gid://shopify/Customer/7201000000000", "note": "x"}}),
    ("mutation($i: CustomerDeleteInput!) { customerDelete(input: $i) { deletedCustomerId shop { id } userErrors { field message } } }",
     {"i": {"id": "gid://shopify/Customer/1"}}),
    ("mutation($i: CustomerEmailMarketingConsentUpdateInput!) { customerEmailMarketingConsentUpdate(input: $i) { customer { id } "
     "userErrors { field message code } } }", {"i": {"customerId": "gid://shopify/Customer/7201000000000", "emailMarketingConsent": {
         "marketingState": "PENDING", "marketingOptInLevel": "UNKNOWN"}}}),
    ("mutation($t: [String!]!) { tagsAdd(id: \"gid://shopify/Order/5400100000000\", tags: $t) { node { id ... on Order { tags } } "
     "userErrors { field message } } }", {"t": ["x"]}),
    ("mutation($t: [String!]!) { tagsRemove(id: \"gid://shopify/Order/5400100000000\", tags: $t) { node { __typename id } "
     "userErrors { field message } } }", {"t": ["x"]}),
    ("mutation($m: [MetafieldsSetInput!]!) { metafieldsSet(metafields: $m) { metafields { id value owner { __typename ... on Customer { id } "
     "} } userErrors { field message code elementIndex } } }",
     {"m": [{"ownerId": "gid://shopify/Customer/7201000000000", "namespace": "custom", "key": "vip", "value": "true"}]}),
    ("mutation($m: [MetafieldsSetInput!]!) { metafieldsSet(metafields: $m) { metafields { id } userErrors { field message code } } }",
     {"m": [{"ownerId": "gid://shopify/Customer/7201000000000", "namespace": "custom", "key": "vip", "value": "no"}]}),
    ("mutation($m: [MetafieldIdentifierInput!]!) { metafieldsDelete(metafields: $m) { deletedMetafields { key } userErrors { message } } }",
     {"m": [{"ownerId": "gid://shopify/Customer/7201000000000", "namespace": "custom", "key": "vip"}]}),
    ("mutation($i: OrderInput!) { orderUpdate(input: $i) { order { id tags } userErrors { field message } } }",
     {"i": {"id": "gid://shopify/Order/5400100000000", "tags": ["a"]}}),
    ("mutation($i: ProductSetInput!) { productSet(input: $i, synchronous: true) { product { id title variants(first: 2) { nodes { id price "
     "title selectedOptions { name value } inventoryItem { id } } } } productSetOperation { id } userErrors { field message code } } }",
     {"i": {"title": "P"}}),
]
ORDERS = ("{ orders { edges { node { __typename id updatedAt totalPriceSet { shopMoney { amount } } customer { id displayName } "
          "lineItems { edges { node { __typename id quantity sku } } } metafields { edges { node { id key value } } } } } } }")


@pytest.fixture(scope="session", autouse=True)
def present():
    problem = module.missing()
    if problem and os.environ.get("CI") == "true":
        pytest.fail(problem)
    if problem:
        pytest.skip(f"skipped: {problem}")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, present):
    """A ledger of everything that a plugin would do."""
    path = tmp_path_factory.mktemp("shopify") / "ledger.ndjson"
    with module.Shop("--restore-rate", 100000, ledger=path) as shop:
        for root, selection in READS.items():
            assert shop.every(root, selection, 40)
        for owner in ("CUSTOMER", "ORDER", "PRODUCT", "PRODUCTVARIANT", "COLLECTION"):
            shop.data("query($o: MetafieldOwnerType!) { metafieldDefinitions(ownerType: $o, first: 250) { nodes { id namespace key name "
                      "description ownerType type { name category } validations { name type value } access { admin storefront } } } }",
                      {"o": owner})
        shop.data("{ shop { id name email myshopifyDomain currencyCode ianaTimezone createdAt updatedAt unitSystem weightUnit url plan "
                  "{ publicDisplayName shopifyPlus } primaryDomain { host url } shopAddress { city countryCodeV2 } taxesIncluded } "
                  "publicApiVersions { handle supported } currentAppInstallation { id accessScopes { handle description } } "
                  "ordersCount { count precision } }")
        for query, variables in WRITES:
            shop.data(query, variables)
        shop.bulk(ORDERS)
        shop.bulk("{ events { edges { node { __typename id ... on BasicEvent { subjectId } } } } }")
        shop.bulk("{ products { edges { node { id variants { edges { node { id inventoryItem { id inventoryLevels { edges { node "
                  "{ id updatedAt } } } } } } } } } } }")
        key = shop.stage([{"input": {"email": f"l{n}@example.com" if n % 3 else "broken"}} for n in range(20)])
        payload = shop.start_mutation("mutation($input: CustomerSetInput!) { customerSet(input: $input) { customer { id } userErrors "
                                      "{ field message code } } }", key)
        shop.finished(payload["bulkOperation"]["id"])
        shop.sim("POST", "access", {"deny": ["Customer.defaultEmailAddress"]})
        shop.gql("{ customers(first: 5) { nodes { id defaultEmailAddress { emailAddress } } } }")
        assert shop.calls()["defects"] == []
    return path


def test_all_traffic_fits_the_schema(recorded):
    report = shopify_ledger.check(recorded)
    assert report.violations == []
    assert report.checked["values"] > 30000 and report.checked["lines"] > 1000 and report.checked["inner"] >= 8
    for root in (*READS, "shop", "metafieldDefinitions", "bulkOperation"):
        assert report.roots[f"query {root}"] >= 1
    for root in ("customerSet", "customerCreate", "customerUpdate", "customerDelete", "customerEmailMarketingConsentUpdate", "tagsAdd",
                 "tagsRemove", "metafieldsSet", "metafieldsDelete", "orderUpdate", "productSet", "stagedUploadsCreate",
                 "bulkOperationRunQuery", "bulkOperationRunMutation"):
        assert report.roots[f"mutation {root}"] >= 1


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def spoiled(entry, what):
    """The entry with one thing wrong, as a careless simulator or client would have it."""
    entry = copy.deepcopy(entry)
    if what in ("line_type", "line_parent", "line_slash", "line_extra"):
        at = next(number for number, line in enumerate(entry["lines"]) if "LineItem" in line)
        line = json.loads(entry["lines"][at])
        if what == "line_type":
            line["quantity"] = "2"
        elif what == "line_parent":
            line["__parentId"] = "gid://shopify/Order/1"
        elif what == "line_extra":
            line["price"] = "1.00"
        entry["lines"][at] = json.dumps(line) if what == "line_slash" else json.dumps(line).replace("/", "\\/")
        return entry
    node = entry["answer"]["data"]["orders"]["edges"][0]["node"]
    if what == "missing":
        del node["name"]
    elif what == "null":
        node["name"] = None
    elif what == "type":
        node["number"] = "1001"
    elif what == "enum":
        node["displayFinancialStatus"] = "RICH"
    elif what == "extra":
        node["colour"] = "red"
    elif what == "date":
        node["updatedAt"] = "2026-11-20 08:00"
    elif what == "money":
        node["totalPriceSet"]["shopMoney"]["amount"] = 12.5
    elif what == "operation":
        entry["operation"]["query"] = entry["operation"]["query"].replace(" name ", " shoesize ")
    elif what == "argument":
        entry["operation"]["query"] = entry["operation"]["query"].replace("first: 40", "frist: 40")
    elif what == "variables":
        entry["operation"]["variables"] = {"colour": "red"}
    return entry


SPOILED = {"missing": "answer", "null": "answer", "type": "answer", "enum": "answer", "extra": "answer", "date": "answer", "money": "answer",
           "operation": "operation", "argument": "operation", "variables": "variables", "line_type": "line", "line_parent": "line",
           "line_slash": "line", "line_extra": "line"}


def test_what_is_wrong_is_found(recorded, tmp_path):
    entries = lines_of(recorded)
    lines = next(one for one in entries if one.get("event") == "bulk_result" and "LineItem" in "".join(one["lines"][:9]))
    orders = next(one for one in entries if "orders(first: 40" in one.get("operation", {}).get("query", ""))
    path = tmp_path / "spoiled.ndjson"
    path.write_text("".join(json.dumps(spoiled(lines if kind == "line" else orders, what)) + "\n" for what, kind in SPOILED.items()))
    found = {(one["line"], one["kind"]) for one in shopify_ledger.check(path).violations}
    missed = [what for number, (what, kind) in enumerate(SPOILED.items(), 1) if (number, kind) not in found]
    assert missed == []


def test_a_bad_operation_is_refused_by_both(tmp_path):
    path = tmp_path / "ledger.ndjson"
    with module.Shop(ledger=path) as shop:
        assert shop.code("{ customers(first: 1) { nodes { shoesize } } }") == "undefinedField"
        assert shop.code("query($n: Int!) { customers(first: $n) { nodes { id } } }", {"n": "x"}) == "INVALID_VARIABLE"
        assert shop.start("{ orders { edges { node { shoesize } } } }")["userErrors"]
    report = shopify_ledger.check(path)
    assert [(one["kind"], one["refused"]) for one in report.violations] == [("operation", True), ("variables", True), ("inner", True)]


def the_rest_agrees(told, made, shop):
    orders = {one["id"]: one for one in shop.records("Order")}
    assert {one["id"]: [(line["id"], line["quantity"]) for line in one["lineItems"]["nodes"]] for one in told["orders"]} == {
        gid: [(line["id"], line["quantity"]) for line in orders[gid]["lineItems"]] for gid in (one["id"] for one in told["orders"])}
    assert len(told["orders"]) == min(250, len(orders))
    assert {one["id"]: [variant["id"] for variant in one["variants"]["nodes"]] for one in told["products"]} == {
        one["id"]: one["variants"] for one in shop.records("Product")}
    assert made["tags"] == ["more"] and made["emailMarketing"]["state"] == "SUBSCRIBED"
    assert told["consent"]["customerEmailMarketingConsentUpdate"]["customer"]["defaultEmailAddress"]["marketingState"] == "SUBSCRIBED"
    assert orders[told["order"]["orderUpdate"]["order"]["id"]]["note"] == "by the official client"
    lines = told["bulk"]["lines"]
    assert told["bulk"]["status"] == "COMPLETED" and len(lines) == int(told["bulk"]["objectCount"])
    assert {one["id"] for one in lines if "__parentId" not in one} == set(orders)
    assert {(one["__parentId"], one["id"], one["quantity"]) for one in lines if "__parentId" in one} == {
        (gid, line["id"], line["quantity"]) for gid, order in orders.items() for line in order["lineItems"]}


def test_the_official_client_reads_and_writes(tmp_path):
    path = tmp_path / "ledger.ndjson"
    with module.Shop("--token", "", ledger=path) as shop:
        before = {one["id"]: one for one in shop.records("Customer")}
        done = subprocess.run(["node", str(HERE / "shopify_client.js"), shop.url, shop.hello["shop"]], capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert {one["id"]: (one["email"], one["tags"], one["updatedAt"]) for one in told["customers"]} == {
            gid: (one["email"], one["tags"], one["updatedAt"]) for gid, one in before.items()}
        made = next(one for one in shop.records("Customer") if one["email"] == "official@example.com")
        assert told["set"] == {"customer": {"id": made["id"], "email": made["email"], "tags": ["client"]}, "userErrors": []}
        assert told["metafields"] == {"metafields": [{"key": "vip", "value": "true"}], "userErrors": []}
        assert [(one["key"], one["value"]) for one in made["metafields"]] == [("vip", "true")]
        the_rest_agrees(told, made, shop)
        assert told["refused"] == {"name": "GraphqlQueryError", "code": "undefinedField"}
        assert told["refreshed"]["refresh"] in shop.state()["access"]["refresh_tokens"]
        assert told["shop"]["myshopifyDomain"] == shop.hello["shop"] and told["cost"]["requestedQueryCost"] == 10
    assert [one for one in shopify_ledger.check(path).violations if not one["refused"]] == []
