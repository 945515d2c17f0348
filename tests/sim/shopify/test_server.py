# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The Shopify simulator judged over real sockets: reading, pages, filters, refusals, price. Others: test_auth, test_bulk, test_writes."""

import gzip
import json
import subprocess
import time

import pytest

import shop as module

ALL = {
    "customers": "id updatedAt displayName tags defaultEmailAddress { emailAddress marketingState } amountSpent { amount }",
    "orders": "id updatedAt name customer { id } totalPriceSet { shopMoney { amount currencyCode } } lineItems(first: 3) "
              "{ nodes { id quantity variant { id } } } transactions { id kind } refunds { id note } fulfillments { id status } "
              "shippingLines(first: 2) { nodes { title } } shippingAddress { city countryCodeV2 }",
    "products": "id updatedAt title status variants(first: 3) { nodes { id sku price } } options { name values }",
    "productVariants": "id updatedAt sku product { id } inventoryItem { id tracked unitCost { amount } }",
    "collections": "id updatedAt title products(first: 3) { nodes { id } }",
    "inventoryItems": "id updatedAt sku inventoryLevels(first: 5) { nodes { id quantities(names: [\"available\"]) { name quantity } "
                      "location { id } } }",
    "locations": "id name isActive address { city country }",
    "draftOrders": "id updatedAt name status lineItems(first: 3) { nodes { id title } }",
    "abandonedCheckouts": "id updatedAt abandonedCheckoutUrl customer { id } lineItems(first: 3) { nodes { id } }",
    "events": "id createdAt action message ... on BasicEvent { subjectId subjectType }",
}


@pytest.mark.parametrize("root", ALL)
def test_every_list_gives_each_record_once(still, root):
    nodes = [node for page in still.pages(root, ALL[root], 7) for node in page]
    assert len(nodes) > 2 and len({node["id"] for node in nodes}) == len(nodes)
    if root in ("customers", "orders", "products"):
        kind = {"customers": "Customer", "orders": "Order", "products": "Product"}[root]
        assert {node["id"] for node in nodes} == {one["id"] for one in still.records(kind)}
        assert all(len(node["id"].split("/")[-1]) == 13 for node in nodes)


def test_records_are_linked(still):
    orders = still.every("orders", "id customer { id } lineItems(first: 5) { nodes { product { id } variant { product { id } } } }")
    customers = {one["id"]: one for one in still.records("Customer")}
    for order in orders:
        if order["customer"]:
            assert order["id"] in customers[order["customer"]["id"]]["orders"]
        for line in order["lineItems"]["nodes"]:
            if line["variant"]:
                assert line["variant"]["product"]["id"] == line["product"]["id"]
    names = " ".join(str(one["firstName"]) for one in customers.values())
    assert "山田" in names and "None" in names


def test_the_same_seed_gives_the_same_shop(start):
    one, two, other = start("--customers", 30), start("--customers", 30), start("--customers", 30, "--seed", 2)
    assert one.records("Customer") == two.records("Customer") != other.records("Customer")


def test_pages_go_on_over_records_that_share_one_time(still):
    times = [one["updatedAt"] for one in still.every("customers", "id updatedAt", 7, sortKey="UPDATED_AT")]
    assert times == sorted(times) and len(times) == 200
    assert max(times.count(one) for one in set(times)) >= 50  # more than many pages hold


def test_a_page_is_250_at_most_and_needs_a_size(still):
    assert still.code("{ customers(first: 251) { nodes { id } } }") == "BAD_REQUEST"
    assert still.code("{ customers { nodes { id } } }") == "BAD_REQUEST"
    assert len(still.data("{ customers(first: 250) { nodes { id } } }")["customers"]["nodes"]) == 200


def test_a_cursor_of_another_order_or_none_is_refused(still):
    cursor = still.data("{ customers(first: 1, sortKey: UPDATED_AT) { pageInfo { endCursor } } }")["customers"]["pageInfo"]["endCursor"]
    query = "query($c: String!) { customers(first: 1, after: $c, sortKey: %s) { nodes { id } } }"
    assert still.code(query % "ID", {"c": cursor}) == "BAD_REQUEST"
    assert still.code(query % "UPDATED_AT", {"c": "garbage"}) == "BAD_REQUEST"
    assert still.data(query % "UPDATED_AT", {"c": cursor})


def test_pages_backwards_and_reversed(still):
    ids = [one["id"] for one in still.every("orders", "id", sortKey="ID")]
    assert [one["id"] for one in still.every("orders", "id", 90, sortKey="ID", reverse="true")] == ids[::-1]
    page = still.data("{ orders(last: 2, sortKey: ID) { nodes { id } pageInfo { hasPreviousPage startCursor } } }")["orders"]
    assert [one["id"] for one in page["nodes"]] == ids[-2:] and page["pageInfo"]["hasPreviousPage"]


def test_orders_are_filtered_to_the_second_and_customers_by_whole_days(still):
    orders = sorted(one["updatedAt"] for one in still.records("Order"))
    low, high = orders[100], orders[200]
    text = f"updated_at:>='{low}' AND updated_at:<'{high}'"
    assert sorted(one["updatedAt"] for one in still.every("orders", "updatedAt", query=text)) == [t for t in orders if low <= t < high]
    customers = sorted(one["updatedAt"] for one in still.records("Customer"))
    low = customers[100]
    found = sorted(one["updatedAt"] for one in still.every("customers", "updatedAt", query=f"updated_at:>='{low}'"))
    assert found == [t for t in customers if t[:10] >= low[:10]]


def test_filters_by_name(still):
    tagged = still.every("customers", "tags", query="tag:vip")
    assert tagged and all("vip" in one["tags"] for one in tagged)
    either = still.every("customers", "tags", query="(tag:vip OR tag:b2b) AND -tag:newsletter")
    assert either and all({"vip", "b2b"} & set(one["tags"]) and "newsletter" not in one["tags"] for one in either)
    deleted = still.every("events", "action ... on BasicEvent { subjectType subjectId }", query="action:destroy AND subject_type:PRODUCT")
    assert deleted and all(one["subjectType"] == "PRODUCT" and "/Product/" in one["subjectId"] for one in deleted)


def test_an_unknown_filter_is_ignored_and_warned_of(still):
    answer = still.gql('{ customers(first: 250, query: "colour:red") { nodes { id } } }')
    assert len(answer["data"]["customers"]["nodes"]) == 200
    warning = answer["extensions"]["search"][0]["warnings"][0]
    assert warning == {"field": "colour", "message": "Invalid search field for this query."}


def test_events_are_kept_for_a_year(start):
    shop = start()
    before = len(shop.every("events", "id"))
    assert before < shop.state()["counts"]["BasicEvent"]
    shop.advance(300 * 86400)
    assert len(shop.every("events", "id")) < before


def test_a_record_updated_while_paging_comes_again_at_the_end(start):
    shop = start()
    pages = shop.pages("customers", "id updatedAt", 50, sortKey="UPDATED_AT")
    first = next(pages)
    shop.change({"update": [{"id": first[3]["id"], "set": {"note": "changed"}}]})
    rest = [node for page in pages for node in page]
    assert rest[-1]["id"] == first[3]["id"] and rest[-1]["updatedAt"] >= "2026-11-20T08"
    assert {one["id"] for one in first + rest} == {one["id"] for one in shop.records("Customer")}


def test_what_users_make_and_delete_is_seen(start):
    shop = start()
    made = shop.change({"create": [{"__typename": "Customer", "email": "made@example.com", "firstName": "Made"}]})["created"][0]
    assert shop.data("query($id: ID!) { customer(id: $id) { email } }", {"id": made})["customer"] == {"email": "made@example.com"}
    shop.change({"delete": [made]})
    assert shop.data("query($id: ID!) { customer(id: $id) { email } }", {"id": made})["customer"] is None
    gone = shop.every("events", "... on BasicEvent { subjectId }", query="action:destroy AND subject_type:CUSTOMER")
    assert made in [one["subjectId"] for one in gone]


def test_metafields_and_their_definitions(still):
    found = still.data("{ metafieldDefinitions(ownerType: CUSTOMER, first: 50) { nodes { namespace key type { name category } "
                       "validations { name value } } } }")["metafieldDefinitions"]["nodes"]
    types = {one["key"]: one["type"]["name"] for one in found}
    assert {"number_integer", "number_decimal", "boolean", "date", "date_time", "json", "money", "rating", "id",
            "list.single_line_text_field", "product_reference"} <= set(types.values())
    undefined = 0
    for customer in still.every("customers", "metafields(first: 30) { nodes { namespace key type value definition { id } } }", 100):
        for field in customer["metafields"]["nodes"]:
            assert isinstance(field["value"], str)
            if field["namespace"] == "custom":
                assert field["type"] == types[field["key"]] and field["definition"]
            undefined += field["definition"] is None
    assert undefined > 5


def test_single_records_nodes_and_counts(still):
    ids = [one["id"] for one in still.records("Customer")[:2]]
    data = still.data("query($i: [ID!]!, $o: ID!) { nodes(ids: $i) { id ... on Customer { email } } order(id: $o) { name } "
                      "customersCount { count precision } shop { name currencyCode ianaTimezone plan { publicDisplayName } } "
                      "currentAppInstallation { accessScopes { handle } } publicApiVersions { handle supported } }",
                      {"i": ids, "o": still.records("Order")[0]["id"]})
    assert [one["id"] for one in data["nodes"]] == ids and data["customersCount"] == {"count": 200, "precision": "EXACT"}
    assert {"handle": "read_orders"} in data["currentAppInstallation"]["accessScopes"]
    assert data["shop"]["currencyCode"] == "EUR"


# ---- refusals ----

@pytest.mark.parametrize("query,variables,code", [
    ("{ customers(first: 1) { nodes { shoesize } } }", {}, "undefinedField"),
    ("{ customers(first: 1, colour: 2) { nodes { id } } }", {}, "argumentNotAccepted"),
    ('{ customers(first: "x") { nodes { id } } }', {}, "argumentLiteralsIncompatible"),
    ("{ customers(first: 1, sortKey: SHOE) { nodes { id } } }", {}, "argumentLiteralsIncompatible"),
    ("{ customer { id } }", {}, "missingRequiredArguments"),
    ("{ customers(first: 1) }", {}, "selectionMismatch"),
    ("query($x: Int) { shop { id } }", {}, "variableNotUsed"),
    ("{ customers(first: $x) { nodes { id } } }", {}, "variableNotDefined"),
    ("query($x: String) { customers(first: $x) { nodes { id } } }", {}, "variableMismatch"),
    ("query($id: ID!) { customer(id: $id) { id } }", {}, "INVALID_VARIABLE"),
    ("query($id: ID!) { customer(id: $id) { id } }", {"id": "42"}, "INVALID_VARIABLE"),
    ("query($n: Int) { customers(first: $n) { nodes { id } } }", {"n": "many"}, "INVALID_VARIABLE"),
    ("mutation($i: CustomerInput!) { customerCreate(input: $i) { customer { id } } }", {"i": {"emial": "x"}}, "INVALID_VARIABLE"),
    ('{ customer(id: "42") { id } }', {}, "argumentLiteralsIncompatible"),
    ("{ __schema { types { name } } nothing }", {}, "undefinedField"),
])
def test_operations_outside_the_schema_are_refused(still, query, variables, code):
    answer = still.gql(query, variables)
    assert answer["errors"][0]["extensions"]["code"] == code and "data" not in answer


def test_the_words_are_the_vendors(still):
    error = still.gql("{ customers(first: 1) { edges { node { shoesize } } } }")["errors"][0]
    assert error["message"] == "Field 'shoesize' doesn't exist on type 'Customer'"
    assert error["path"] == ["query", "customers", "edges", "node", "shoesize"] and error["locations"][0]["line"] == 1
    error = still.gql("mutation($i: CustomerInput!) { customerCreate(input: $i) { customer { id } } }", {"i": {"emial": "x"}})["errors"][0]
    assert error["message"] == ("Variable $i of type CustomerInput! was provided invalid value for emial "
                                "(Field is not defined on CustomerInput)")
    assert error["extensions"]["problems"] == [{"path": ["emial"], "explanation": "Field is not defined on CustomerInput"}]


def test_syntax_and_bodies(still):
    assert "syntax error" in still.gql("{ customers(")["errors"][0]["message"]
    reply = still.request("POST", "/admin/api/2026-10/graphql.json", {"variables": {}}, {"X-Shopify-Access-Token": still.token})
    assert reply.status == 400 and reply.json() == {"errors": {"query": "Required parameter missing or invalid"}}
    reply = still.request("POST", "/admin/api/2026-10/graphql.json", "{", {"X-Shopify-Access-Token": still.token})
    assert reply.status == 400


def test_a_list_of_more_than_250_inputs_is_refused(still):
    ids = [f"gid://shopify/Customer/{number}" for number in range(251)]
    assert still.code("query($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": ids}) == "MAX_INPUT_SIZE_EXCEEDED"


def test_what_is_not_simulated_is_said_loudly(shop):
    error = shop.gql("{ themes(first: 1) { nodes { id } } }")["errors"][0]
    assert error["extensions"]["code"] in ("INTERNAL_SERVER_ERROR", "ACCESS_DENIED")
    answer = shop.gql("{ giftCards(first: 1) { nodes { id } } }")
    assert answer["data"] is None and answer["errors"]


# ---- price ----

def test_an_answer_tells_its_price_and_the_bucket_comes_back_with_time(start):
    shop = start("--bucket", 100, "--restore-rate", 0.5)
    query = "{ customers(first: 250) { nodes { id defaultEmailAddress { emailAddress } } } }"
    cost = shop.gql(query)["extensions"]["cost"]
    assert cost["requestedQueryCost"] == 16 and cost["actualQueryCost"] <= 16
    assert set(cost["throttleStatus"]) == {"maximumAvailable", "currentlyAvailable", "restoreRate"}
    answers = [shop.gql(query) for _ in range(9)]
    throttled = [one for one in answers if "errors" in one]
    assert throttled and throttled[0]["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert "data" not in throttled[0] and throttled[0]["extensions"]["cost"]["actualQueryCost"] is None
    shop.advance(60)
    assert "data" in shop.gql(query)
    assert shop.state()["bucket"]["throttled"] == len(throttled)


def test_the_unused_part_of_the_price_is_given_back(start):
    shop = start("--restore-rate", 0.001)
    cost = shop.gql("{ orders(first: 250, query: \"name:nothing\") { nodes { id customer { id } } } }")["extensions"]["cost"]
    assert cost["requestedQueryCost"] == 16 and cost["actualQueryCost"] == 0
    assert cost["throttleStatus"]["currentlyAvailable"] == 2000


def test_one_query_may_ask_for_1000_points(start):
    shop = start("--cost", "linear")
    error = shop.gql("{ orders(first: 250) { nodes { customer { id } lineItems(first: 10) { nodes { id } } } } }")["errors"][0]
    assert error["extensions"]["code"] == "MAX_COST_EXCEEDED" and error["extensions"]["maxCost"] == 1000


def test_a_mutation_costs_ten(shop):
    answer = shop.gql('mutation { tagsAdd(id: "%s", tags: ["x"]) { node { id } userErrors { message } } }' % shop.records("Customer")[0]["id"])
    assert answer["extensions"]["cost"]["requestedQueryCost"] == 10


# ---- wire ----

def test_answers_are_gzipped_when_asked_for_and_bear_an_id(still):
    reply = still.post("{ customers(first: 50) { nodes { id email } } }", headers={"Accept-Encoding": "gzip"})
    assert reply.headers["content-encoding"] == "gzip" and len(json.loads(gzip.decompress(reply.raw))["data"]["customers"]["nodes"]) == 50
    assert reply.headers["x-request-id"] and reply.headers["x-shopify-api-version"] == "2026-10"


def test_a_connection_is_used_again(still):
    connection = still.connect()
    for _ in range(3):
        assert still.post("{ shop { id } }", connection=connection).status == 200
    connection.close()


def test_faults_strike_where_and_as_often_as_told(shop):
    shop.fault({"kind": "status", "status": 502, "count": 2}, {"kind": "status", "status": 430, "nth": 4})
    replies = [shop.post("{ shop { id } }") for _ in range(5)]
    # The two faults count what they meet each for itself.
    assert [one.status for one in replies] == [502, 502, 200, 430, 200]
    assert b"<html>" in replies[0].raw and replies[0].headers["x-sim-fault"] == "status"
    shop.fault({"kind": "throttle", "retry_after": 3}, {"kind": "html", "nth": 2}, {"kind": "not_json", "nth": 3})
    replies = [shop.post("{ shop { id } }") for _ in range(3)]
    assert [one.status for one in replies] == [429, 200, 200] and replies[0].headers["retry-after"] == "3"
    assert replies[1].raw.startswith(b"<!doctype html") and shop.calls()["throttled"] == 1


def test_the_ledger_says_what_was_answered_where_no_work_was_done(shop):
    gid = shop.records("Customer")[0]["id"]
    tag = 'mutation { tagsAdd(id: "%s", tags: ["never"]) { userErrors { message } } }' % gid
    for fault, status, outcome in (({"kind": "throttle"}, 429, "fault: throttle"), ({"kind": "status", "status": 502}, 502, "fault: status"),
                                   ({"kind": "html"}, 200, "fault: html"), ({"kind": "throttled"}, 200, "throttled, nothing done")):
        shop.fault(fault)
        assert shop.post(tag).status == status
        line = shop.ledger()[-1]
        assert (line["status"], line["outcome"], line.get("writes")) == (status, outcome, None), line
    assert "never" not in shop.records("Customer")[0]["tags"]


@pytest.mark.parametrize("kind", ["reset", "cut", "stall"])
def test_faults_of_the_connection(shop, kind):
    gid = shop.records("Customer")[0]["id"]
    shop.fault({"kind": kind, "applied": True, "seconds": 0.05, "body_contains": "tagsAdd"})
    with pytest.raises((ConnectionError, OSError, Exception)):
        shop.post('mutation { tagsAdd(id: "%s", tags: ["struck"]) { userErrors { message } } }' % gid)
    assert "struck" in shop.records("Customer")[0]["tags"]
    shop.fault({"kind": "reset"})
    with pytest.raises((ConnectionError, OSError, Exception)):
        shop.post('mutation { tagsAdd(id: "%s", tags: ["never"]) { userErrors { message } } }' % gid)
    assert "never" not in shop.records("Customer")[0]["tags"]


def test_faults_of_graphql(shop):
    query = "{ shop { id } customers(first: 1) { nodes { id } } }"
    shop.fault({"kind": "throttled", "count": 2})
    assert [shop.code(query), shop.code(query)] == ["THROTTLED", "THROTTLED"]
    shop.fault({"kind": "graphql_error"})
    answer = shop.gql(query)
    assert answer["data"] is None and answer["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    shop.fault({"kind": "user_error", "root": "customerSet", "message": "Odd"})
    payload = shop.data('mutation { customerSet(input: {email: "a@b.example"}) { customer { id } userErrors { field message code } } }')
    assert payload["customerSet"] == {"customer": None, "userErrors": [{"field": None, "message": "Odd", "code": None}]}


def test_unknown_faults_are_refused(shop):
    for order in ([{"kind": "earthquake"}], [{"kind": "status"}], [{"kind": "html", "colour": 1}]):
        assert shop.request("POST", "/_sim/faults", order).status == 400


def test_the_ledger_has_operation_and_answer_before_the_client_does(shop):
    gid = shop.records("Customer")[0]["id"]
    shop.data('mutation($t: [String!]!) { tagsAdd(id: "%s", tags: $t) { userErrors { message } } }' % gid, {"t": ["x"]})
    line = shop.ledger()[-1]
    assert line["operation"]["variables"] == {"t": ["x"]} and line["answer"]["data"] == {"tagsAdd": {"userErrors": []}}
    assert line["writes"] == [{"kind": "Customer", "id": gid, "became": "updated", "what": "tags"}] and line["who"] == "static"
    assert shop.token not in json.dumps(line)


def test_half_a_line_of_the_ledger_is_none(start, tmp_path):
    (tmp_path / "ledger1.ndjson").write_bytes('{"number":1}\n{"number":2,"who":"sp\u00e4t'.encode()[:-1])
    shop = start()
    shop.post("{ shop { id } }")
    assert [entry["number"] for entry in shop.ledger()] == [1, 2] and shop.ledger()[1]["status"] == 200


def test_the_date_of_an_answer_is_the_simulators(shop):
    assert shop.post("{ shop { id } }").headers["date"].startswith("Fri, 20 Nov 2026 08:0")
    shop.advance(3600)
    assert shop.post("{ shop { id } }").headers["date"].startswith("Fri, 20 Nov 2026 09:0")


def test_a_deleted_product_takes_its_variants_along(shop):
    product = shop.records("Product")[1]
    shop.change({"delete": [product["id"]]})
    gone = shop.every("events", "... on BasicEvent { subjectId }", query="action:destroy AND created_at:>='2026-11-20T08:00:00Z'")
    assert {one["subjectId"] for one in gone} == {product["id"], *product["variants"]}
    items = shop.every("inventoryItems", "id variant { id product { id } }")
    assert len(items) == 120 - len(product["variants"]) and all(one["variant"]["product"] for one in items)


def test_tls_on_both_ports(tmp_path, still):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
                    "-subj", "/CN=127.0.0.1", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")],
                   check=True, capture_output=True)
    with module.Shop("--tls", tmp_path / "cert", tmp_path / "key") as secure:
        operation = secure.finished(secure.start("{ customers { edges { node { id } } } }")["bulkOperation"]["id"])
        assert operation["url"].startswith("https://127.0.0.1:") and len(secure.fetch(operation["url"]).raw.splitlines()) == 200


def test_latency(start):
    shop = start("--latency-ms", 120)
    began = time.monotonic()
    shop.data("{ shop { id } }")
    assert time.monotonic() - began >= 0.115


def test_kind_too_large_to_be_held_has_its_first_page(start):
    """As bulk clients ask for one record ahead, to see what they may see."""
    shop = start("--customers", 200_001, "--orders", 0)
    page = shop.data("{ customers(first: 250, sortKey: UPDATED_AT) { nodes { id updatedAt } pageInfo { hasNextPage } } }")["customers"]
    times = [node["updatedAt"] for node in page["nodes"]]
    assert len({node["id"] for node in page["nodes"]}) == 250 and times == sorted(times) and page["pageInfo"]["hasNextPage"]
    first = shop.data("{ customers(first: 1, sortKey: UPDATED_AT) { nodes { id } } }")["customers"]["nodes"]
    assert first == [{"id": page["nodes"][0]["id"]}]
