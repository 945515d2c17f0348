# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Bulk operations of the Shopify simulator: rules, life, files, faults, staged uploads and mutations."""

import json

import pytest

CUSTOMERS = "{ customers { edges { node { __typename id email tags updatedAt } } } }"
ORDERS = ("{ orders { edges { node { __typename id name updatedAt totalPriceSet { shopMoney { amount currencyCode } } customer { id } "
          "lineItems { edges { node { __typename id title quantity variant { id } } } } "
          "metafields { edges { node { __typename id namespace key type value } } } } } } }")


def by_type(lines):
    found = {}
    for line in lines:
        found.setdefault(line["__typename"], []).append(line)
    return found


def test_a_bulk_query_gives_what_pages_give(shop):
    operation, lines = shop.bulk(CUSTOMERS)
    assert operation["status"] == "COMPLETED" and operation["completedAt"] and operation["errorCode"] is None
    assert operation["objectCount"] == operation["rootObjectCount"] == "200" and isinstance(operation["fileSize"], str)
    paged = shop.every("customers", "__typename id email tags updatedAt")
    assert sorted(lines, key=lambda one: one["id"]) == sorted(paged, key=lambda one: one["id"])


def test_children_are_lines_of_their_own_anywhere(shop):
    operation, lines = shop.bulk(ORDERS)
    found = by_type(lines)
    orders = {one["id"] for one in found["Order"]}
    assert len(lines) == int(operation["objectCount"]) and len(orders) == int(operation["rootObjectCount"]) == 400
    assert all(line["__parentId"] in orders for line in found["LineItem"] + found["Metafield"])
    state = {one["id"]: one for one in shop.records("Order")}
    assert sorted(one["id"] for one in found["LineItem"]) == sorted(line["id"] for one in state.values() for line in one["lineItems"])
    places = {line["id"]: at for at, line in enumerate(lines)}
    before = [line for line in found["LineItem"] if places[line["id"]] < places[line["__parentId"]]]
    far = [line for line in found["LineItem"] if places[line["id"]] > places[line["__parentId"]] + 100]
    assert before and far


def test_grouped_children_follow_their_parent(shop):
    _, lines = shop.bulk(ORDERS, group=True)
    parent = None
    for line in lines:
        if line["__typename"] == "Order":
            parent = line["id"]
        else:
            assert line["__parentId"] == parent


def test_slashes_are_escaped(shop):
    operation = shop.finished(shop.start(CUSTOMERS)["bulkOperation"]["id"])
    raw = shop.fetch(operation["url"]).raw
    assert b'"gid:\\/\\/shopify\\/Customer\\/' in raw and b"gid://" not in raw


def test_two_levels_below_the_root(shop):
    _, lines = shop.bulk("{ products { edges { node { __typename id variants { edges { node { __typename id "
                         "metafields { edges { node { __typename id value } } } } } } } } } }")
    found = by_type(lines)
    variants = {one["id"] for one in found["ProductVariant"]}
    assert all(one["__parentId"].startswith("gid://shopify/Product/") for one in found["ProductVariant"])
    assert found["Metafield"] and all(one["__parentId"] in variants for one in found["Metafield"])


def test_filters_and_events_in_bulk(shop):
    text = "updated_at:>='2026-06-01T00:00:00Z' AND updated_at:<'2026-08-01T00:00:00Z'"
    _, lines = shop.bulk('{ orders(query: "%s") { edges { node { id updatedAt } } } }' % text)
    wanted = [one["id"] for one in shop.records("Order") if "2026-06-01" <= one["updatedAt"] < "2026-08-01"]
    assert sorted(one["id"] for one in lines) == sorted(wanted) and 0 < len(wanted) < 400
    _, lines = shop.bulk('{ events(query: "action:destroy") { edges { node { __typename id ... on BasicEvent { subjectId } } } } }')
    assert lines and all(one["__typename"] == "BasicEvent" and one["subjectId"] for one in lines)


def test_zero_rows_have_no_url(shop):
    operation, lines = shop.bulk('{ orders(query: "name:nothing") { edges { node { id } } } }')
    assert (operation["status"], operation["objectCount"], operation["url"], operation["fileSize"]) == ("COMPLETED", "0", None, None)


@pytest.mark.parametrize("query,words", [
    ("{ shop { name } }", "at least one connection"),
    ("{ a: customers { edges { node { id } } } b: customers { edges { node { id } } } c: customers { edges { node { id } } } "
     "d: customers { edges { node { id } } } e: customers { edges { node { id } } } f: customers { edges { node { id } } } }",
     "more than 5 connections"),
    ("{ customers { edges { node { id orders { edges { node { id lineItems { edges { node { id product { id variants { edges { node "
     "{ id } } } } } } } } } } } } } }", "nesting depth greater than 2"),
    ("{ orders { edges { node { id refunds { id refundLineItems { edges { node { id } } } } } } } }", "within a list field"),
    ("{ orders { edges { node { name lineItems { edges { node { id } } } } } } }", "must select the 'id' field"),
    ("{ orders { edges { node { key: id lineItems { edges { node { id } } } } } } }", "must select the 'id' field"),
    ("{ orders { nodes { id } } }", "'nodes'"),
    ('{ node(id: "gid://shopify/Order/1") { id ... on Order { lineItems { edges { node { id } } } } } }', "top level 'node'"),
    ("{ orders { edges { node { shoe } } } }", "doesn't exist"),
    ("{ orders {", "syntax error"),
    ('mutation { tagsAdd(id: "gid://shopify/Order/1", tags: []) { node { id } } }', "must not contain mutations"),
    ("query A { orders { edges { node { id } } } } query B { orders { edges { node { id } } } }", "exactly one"),
    ("query($n: Int) { orders(first: $n) { edges { node { id } } } }", "variables"),
    ("{ orders { edges { node { id } } } }" + " " * 65535, "65535"),
])
def test_rules_of_the_inner_query(still, query, words):
    payload = still.start(query)
    assert payload["bulkOperation"] is None
    error = payload["userErrors"][0]
    assert error["code"] == "INVALID" and error["field"] == ["query"] and words in error["message"], error


def test_it_takes_its_time_and_is_listed(start):
    shop = start("--bulk-seconds", 5000)
    gid = shop.start(CUSTOMERS)["bulkOperation"]["id"]
    first = shop.operation(gid)
    assert first["status"] == "CREATED" and first["url"] is None and first["completedAt"] is None
    shop.advance(2000)
    assert shop.operation(gid)["status"] == "RUNNING"
    running = shop.data('{ bulkOperations(first: 5, query: "status:running") { nodes { id } } currentBulkOperation { id } }')
    assert running["bulkOperations"]["nodes"] == [{"id": gid}] and running["currentBulkOperation"]["id"] == gid
    shop.advance(4000)
    assert shop.finished(gid)["status"] == "COMPLETED"
    node = shop.data("query($i: ID!) { node(id: $i) { ... on BulkOperation { status } } }", {"i": gid})["node"]
    assert node == {"status": "COMPLETED"}


def test_the_sixth_operation_is_refused(start):
    shop = start("--bulk-seconds", 3000)
    ids = [shop.start(CUSTOMERS)["bulkOperation"]["id"] for _ in range(5)]
    payload = shop.start(CUSTOMERS)
    error = payload["userErrors"][0]
    assert payload["bulkOperation"] is None and error["code"] == "OPERATION_IN_PROGRESS" and error["field"] is None
    assert all(gid in error["message"] for gid in ids)
    shop.advance(3001)
    shop.finished(ids[0])
    assert shop.start(CUSTOMERS)["userErrors"] == []


def test_slots_held_by_another_process(shop):
    shop.sim("POST", "bulk", {"hold": True, "count": 5, "seconds": 6000})
    assert shop.start(CUSTOMERS)["userErrors"][0]["code"] == "OPERATION_IN_PROGRESS"
    shop.advance(6001)
    assert shop.start(CUSTOMERS)["userErrors"] == []


def test_cancelling(start):
    shop = start("--bulk-seconds", 3000)
    gid = shop.start(CUSTOMERS)["bulkOperation"]["id"]
    cancel = "mutation($i: ID!) { bulkOperationCancel(id: $i) { bulkOperation { status } userErrors { field message } } }"
    assert shop.data(cancel, {"i": gid})["bulkOperationCancel"]["bulkOperation"]["status"] == "CANCELING"
    assert shop.finished(gid)["status"] == "CANCELED"
    assert shop.data(cancel, {"i": gid})["bulkOperationCancel"]["userErrors"]


def test_urls_end_after_a_week(shop):
    operation, _ = shop.bulk(CUSTOMERS)
    shop.advance(7 * 86400 + 5)
    assert shop.fetch(operation["url"]).status == 403
    again = shop.operation(operation["id"])
    assert again["status"] == "EXPIRED" and again["url"] is None


def test_the_storage_host_takes_no_token_and_serves_ranges(shop):
    operation, _ = shop.bulk(ORDERS)
    whole = shop.fetch(operation["url"])
    assert whole.headers["content-type"] == "application/jsonl" and whole.headers["accept-ranges"] == "bytes"
    part = shop.fetch(operation["url"], {"Range": "bytes=1000-1999"})
    assert part.status == 206 and part.raw == whole.raw[1000:2000]
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(whole.raw)}"
    assert shop.fetch(operation["url"], {"Range": "bytes=5000-"}).raw == whole.raw[5000:]
    assert shop.fetch(operation["url"], {"Range": f"bytes={len(whole.raw)}-"}).status == 416
    assert shop.fetch(operation["url"], {"X-Shopify-Access-Token": shop.token}).status == 400
    assert shop.state()["token_leaks"] == 1
    assert shop.fetch(operation["url"].replace("Signature=", "Signature=0")).status == 403


def test_faults_of_bulk_operations(shop):
    whole, _ = shop.bulk(ORDERS)
    shop.fault({"kind": "bulk", "status": "FAILED", "error_code": "TIMEOUT", "partial": 0.5})
    failed = shop.finished(shop.start(ORDERS)["bulkOperation"]["id"])
    assert (failed["status"], failed["errorCode"], failed["url"]) == ("FAILED", "TIMEOUT", None)
    lines = shop.fetch(failed["partialDataUrl"]).raw.splitlines()
    assert len(lines) == int(failed["objectCount"]) == int(whole["objectCount"]) // 2
    shop.fault({"kind": "bulk", "expire": True})
    assert shop.fetch(shop.finished(shop.start(CUSTOMERS)["bulkOperation"]["id"])["url"]).status == 403
    shop.fault({"kind": "bulk", "status": "EXPIRED"})
    assert shop.finished(shop.start(CUSTOMERS)["bulkOperation"]["id"])["status"] == "EXPIRED"
    shop.fault({"kind": "bulk", "cut_bytes": 700})
    operation = shop.finished(shop.start(CUSTOMERS)["bulkOperation"]["id"])
    with pytest.raises(Exception) as cut:
        shop.fetch(operation["url"])
    assert len(cut.value.partial) == 700
    assert len(shop.fetch(operation["url"]).raw) == int(operation["fileSize"])


def test_a_vanished_operation_is_null(shop):
    gid = shop.start(CUSTOMERS)["bulkOperation"]["id"]
    shop.change({"vanish": [gid]})
    assert shop.operation(gid) is None


def test_a_missing_scope_fails_the_operation(start):
    shop = start("--scopes", "read_products")
    operation = shop.finished(shop.start(ORDERS)["bulkOperation"]["id"])
    assert (operation["status"], operation["errorCode"], operation["partialDataUrl"]) == ("FAILED", "ACCESS_DENIED", None)


def test_many_records_are_streamed_and_kept(start, tmp_path):
    kept_in = tmp_path / "bulk"
    kept_in.mkdir()
    arguments = ("--orders", 210000, "--customers", 1000, "--bulk-dir", kept_in, "--bulk-seconds", 0)
    query = "{ orders { edges { node { id name customer { id } } } } }"
    shop = start(*arguments)
    operation = shop.finished(shop.start(query)["bulkOperation"]["id"])
    assert operation["objectCount"] == "210000"
    last = shop.fetch(operation["url"], {"Range": f"bytes={int(operation['fileSize']) - 300}-"}).raw.splitlines()[-1]
    assert json.loads(last)["name"].startswith("#21")
    files = {path: path.stat().st_mtime_ns for path in kept_in.rglob("*") if path.is_file()}
    again = start(*arguments)
    kept = again.finished(again.start(query)["bulkOperation"]["id"])
    assert kept["fileSize"] == operation["fileSize"]
    assert files and files == {path: path.stat().st_mtime_ns for path in kept_in.rglob("*") if path.is_file()}  # none was written again


# ---- bulk mutations ----

SET = ("mutation call($input: CustomerSetInput!, $identifier: CustomerSetIdentifiers) { customerSet(input: $input, "
       "identifier: $identifier) { customer { id email } userErrors { field message code } } }")


def variables(email, **more):
    return {"input": {"email": email, **more}, "identifier": {"email": email}}


def results(shop, gid):
    operation = shop.finished(gid)
    return operation, [json.loads(line) for line in shop.fetch(operation["url"]).raw.splitlines()]


def test_a_bulk_mutation_maps_results_by_line_number(shop):
    rows = [variables(f"bulk{n}@example.com", firstName=f"B{n}") for n in range(40)]
    rows[7] = variables("broken")
    rows[9] = {"input": {"email": 5}}
    payload = shop.start_mutation(SET, shop.stage(rows), "client-identifier-1")
    assert payload["userErrors"] == []
    operation, lines = results(shop, payload["bulkOperation"]["id"])
    assert operation["type"] == "MUTATION" and operation["objectCount"] == "40"
    numbers = [line["__lineNumber"] for line in lines]
    assert sorted(numbers) == list(range(40)) and numbers != sorted(numbers)
    at = {line["__lineNumber"]: line for line in lines}
    assert at[7]["data"]["customerSet"]["userErrors"][0]["message"] == "Email is invalid"
    assert at[9]["errors"][0]["extensions"]["code"] == "INVALID_VARIABLE"
    assert at[3]["data"]["customerSet"]["customer"]["email"] == "bulk3@example.com"
    emails = {one["email"]: one["firstName"] for one in shop.records("Customer")}
    assert emails["bulk39@example.com"] == "B39" and "broken" not in emails


@pytest.mark.parametrize("mutation,words", [
    ("query { shop { id } }", "must contain a mutation"),
    ("mutation { a: shoe { id } }", "doesn't exist"),
    ("mutation($i: ID!, $t: [String!]!) { tagsAdd(id: $i, tags: $t) { userErrors { field } } tagsRemove(id: $i, tags: $t) "
     "{ userErrors { field } } }", "single top level"),
    ("mutation($q: String!) { bulkOperationRunQuery(query: $q) { userErrors { field } } }", "within a bulk operation"),
    ("mutation($i: CustomerInput!) { customerUpdate(input: $i) { customer { addressesV2(first: 1) { nodes { id } } "
     "orders(first: 1) { nodes { id } } } userErrors { field } } }", "more than 1 connection"),
])
def test_rules_of_the_inner_mutation(shop, mutation, words):
    error = shop.start_mutation(mutation, shop.stage([{}]))["userErrors"][0]
    assert error["code"] == "INVALID_MUTATION" and words in error["message"]


def test_files_of_bulk_mutations(shop):
    assert shop.start_mutation(SET, "tmp/nothing")["userErrors"][0]["code"] == "NO_SUCH_FILE"
    assert shop.start_mutation(SET, shop.stage(b""))["userErrors"][0]["code"] == "INVALID_STAGED_UPLOAD_FILE"
    assert shop.start_mutation(SET, shop.stage([variables("x@example.com")]), "short")["userErrors"][0]["field"] == ["clientIdentifier"]
    create = ('mutation { stagedUploadsCreate(input: [{resource: BULK_MUTATION_VARIABLES, filename: "v", mimeType: "%s", '
              "httpMethod: %s}]) { stagedTargets { url parameters { name value } } userErrors { field message } } }")
    assert shop.data(create % ("text/csv", "POST"))["stagedUploadsCreate"]["userErrors"][0]["field"] == ["input", "0", "mimeType"]
    assert shop.data(create % ("text/jsonl", "PUT"))["stagedUploadsCreate"]["userErrors"][0]["field"] == ["input", "0", "httpMethod"]
    target = shop.data(create % ("text/jsonl", "POST"))["stagedUploadsCreate"]["stagedTargets"][0]
    assert shop.upload(target, b"{}\n", leave_out="policy").status == 403
    shop.advance(3700)
    assert shop.upload(target, b"{}\n").status == 400


def test_bulk_mutations_have_slots_of_their_own(start):
    shop = start("--bulk-seconds", 3000)
    for _ in range(5):
        assert shop.start(CUSTOMERS)["userErrors"] == []
    keys = [shop.stage([variables(f"m{n}@example.com")]) for n in range(6)]
    for key in keys[:5]:
        assert shop.start_mutation(SET, key)["userErrors"] == []
    assert shop.start_mutation(SET, keys[5])["userErrors"][0]["code"] == "OPERATION_IN_PROGRESS"
