# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Mutations of the Shopify simulator: customers, consent, tags, metafields, orders, products."""

import pytest

SET = ("mutation($input: CustomerSetInput!, $identifier: CustomerSetIdentifiers) { customerSet(input: $input, identifier: $identifier) "
       "{ customer { id email firstName note tags addressesV2(first: 9) { nodes { city countryCodeV2 } } updatedAt } "
       "userErrors { field message code } } }")
CREATE = ("mutation($input: CustomerInput!) { customerCreate(input: $input) { customer { id email metafield(namespace: \"custom\", "
          "key: \"vip\") { value } defaultEmailAddress { marketingState } } userErrors { field message } } }")
UPDATE = ("mutation($input: CustomerInput!) { customerUpdate(input: $input) { customer { id note tags updatedAt } "
          "userErrors { field message } } }")
DELETE = "mutation($input: CustomerDeleteInput!) { customerDelete(input: $input) { deletedCustomerId userErrors { field message } } }"
CONSENT = ("mutation($input: CustomerEmailMarketingConsentUpdateInput!) { customerEmailMarketingConsentUpdate(input: $input) "
           "{ customer { defaultEmailAddress { marketingState marketingOptInLevel marketingUpdatedAt } } "
           "userErrors { field message code } } }")
FIELDS = ("mutation($metafields: [MetafieldsSetInput!]!) { metafieldsSet(metafields: $metafields) { metafields { id namespace key type "
          "value compareDigest } userErrors { field message code elementIndex } } }")


def put(shop, input, identifier=None):
    return shop.data(SET, {"input": input, "identifier": identifier})["customerSet"]


def one(shop, **members):
    return next(record for record in shop.records("Customer") if all(record[name] == value for name, value in members.items()))


def became(shop):
    return [write["became"] for write in shop.ledger()[-1]["writes"]]


def test_customer_set_creates_updates_and_leaves_alone(shop):
    made = put(shop, {"email": "New@example.com", "firstName": "N", "tags": ["b", "a"]}, {"email": "new@example.com"})
    assert made["userErrors"] == [] and made["customer"]["tags"] == ["a", "b"] and became(shop) == ["created"]
    shop.advance(60)
    changed = put(shop, {"email": "new@example.com", "tags": ["c"]}, {"email": "new@example.com"})
    assert changed["customer"]["id"] == made["customer"]["id"] and became(shop) == ["updated"]
    assert (changed["customer"]["firstName"], changed["customer"]["tags"]) == ("N", ["c"])  # omitted is kept, lists are replaced
    assert changed["customer"]["updatedAt"] > made["customer"]["updatedAt"]
    shop.advance(60)
    same = put(shop, {"email": "new@example.com", "tags": ["c"]}, {"email": "new@example.com"})
    assert same["customer"]["updatedAt"] == changed["customer"]["updatedAt"] and became(shop) == ["unchanged"]
    cleared = put(shop, {"email": "new@example.com", "firstName": None, "note": "x"}, {"id": made["customer"]["id"]})
    assert cleared["customer"]["firstName"] is None and cleared["customer"]["note"] == "x"


def test_customer_set_replaces_addresses(shop):
    address = {"city": "Oslo", "countryCode": "NO"}
    made = put(shop, {"email": "a@example.com", "addresses": [address, {"city": "Rome", "countryCode": "IT"}]})["customer"]
    assert [where["city"] for where in made["addressesV2"]["nodes"]] == ["Oslo", "Rome"]
    again = put(shop, {"email": "a@example.com", "addresses": [address]}, {"id": made["id"]})["customer"]
    assert again["addressesV2"]["nodes"] == [{"city": "Oslo", "countryCodeV2": "NO"}]


def test_customer_set_finds_by_phone_and_by_a_custom_id(shop):
    by_phone = put(shop, {"phone": "+4799887766", "firstName": "P"}, {"phone": "+4799887766"})["customer"]
    assert put(shop, {"phone": "+4799887766", "lastName": "Q"}, {"phone": "+4799887766"})["customer"]["id"] == by_phone["id"]
    known = shop.records("Customer")[5]
    erp = {"customId": {"namespace": "custom", "key": "erp_id", "value": "ERP-5"}}
    assert put(shop, {"note": "by erp"}, erp)["customer"]["id"] == known["id"]
    made = put(shop, {"firstName": "E"}, {"customId": {"namespace": "custom", "key": "erp_id", "value": "ERP-new"}})["customer"]
    assert [field["value"] for field in one(shop, id=made["id"])["metafields"]] == ["ERP-new"]
    answer = shop.gql(SET, {"input": {"firstName": "E"}, "identifier": {"customId": {"namespace": "custom", "key": "vip", "value": "1"}}})
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND" and answer["data"] == {"customerSet": None}


@pytest.mark.parametrize("input,identifier,field,message,code", [
    ({"id": "gid://shopify/Customer/7201000000000", "note": "x"}, {"id": "gid://shopify/Customer/7201000000000"}, ["input"],
     "not allowed if identifier", "ID_NOT_ALLOWED"),
    ({"email": "a@example.com"}, {"email": "b@example.com"}, ["input"], "does not match", "INPUT_MISMATCH"),
    ({"note": "x"}, {"email": "b@example.com"}, ["input", "email"], "required", "MISSING_FIELD_REQUIRED"),
    ({"email": "broken@"}, None, ["input", "email"], "Email is invalid", "INVALID"),
    ({"email": "customer.1@example.com"}, None, ["input", "email"], "Email has already been taken", "TAKEN"),
    ({"phone": "12"}, None, ["input", "phone"], "Phone is invalid", "INVALID"),
    ({"note": "x"}, None, ["input"], "A name, phone number, or email address must be present", "INVALID"),
    ({"firstName": "x", "note": "n" * 5001}, None, ["input", "note"], "too long (maximum is 5000 characters)", "TOO_LONG"),
    ({"firstName": "x", "tags": ["t" * 256]}, None, ["input", "tags"], "255", "TOO_LONG"),
    ({"firstName": "x", "tags": [f"t{n}" for n in range(251)]}, None, ["input", "tags"], "Tags cannot be more than 250", "INVALID"),
    ({"firstName": "x"}, {"id": "gid://shopify/Customer/1"}, ["input"], "not found", "NOT_FOUND"),
])
def test_customer_set_rejects_by_record(shop, input, identifier, field, message, code):
    payload = put(shop, input, identifier)
    error = payload["userErrors"][0]
    assert payload["customer"] is None and error["field"] == field and message in error["message"] and error["code"] == code
    assert became(shop) == ["rejected"]


def test_a_phone_is_taken_however_it_is_written(shop):
    phone = next(record["phone"] for record in shop.records("Customer") if record["phone"])
    error = put(shop, {"phone": f"{phone[:3]} {phone[3:]}", "firstName": "x"})["userErrors"][0]
    assert (error["field"], error["message"], error["code"]) == (["input", "phone"], "Phone has already been taken", "TAKEN")


def test_an_identifier_names_one_thing(shop):
    answer = shop.gql(SET, {"input": {"email": "a@example.com"}, "identifier": {"email": "a@example.com", "phone": "+4799887766"}})
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_VARIABLE"
    answer = shop.gql(SET, {"input": {"email": "a@example.com", "metafields": []}})
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_VARIABLE"


def test_create_takes_metafields_and_consent(shop):
    payload = shop.data(CREATE, {"input": {
        "email": "c@example.com", "metafields": [{"namespace": "custom", "key": "vip", "value": "true"}],
        "emailMarketingConsent": {"marketingState": "SUBSCRIBED", "marketingOptInLevel": "SINGLE_OPT_IN"}}})["customerCreate"]
    assert payload["userErrors"] == [] and payload["customer"]["metafield"] == {"value": "true"}
    assert payload["customer"]["defaultEmailAddress"]["marketingState"] == "SUBSCRIBED"
    bad = shop.data(CREATE, {"input": {"email": "d@example.com", "metafields": [{"namespace": "custom", "key": "vip", "value": "maybe"}]}})
    assert bad["customerCreate"]["customer"] is None and bad["customerCreate"]["userErrors"][0]["field"] == ["metafields", "0", "value"]
    assert not [record for record in shop.records("Customer") if record["email"] == "d@example.com"]
    assert "code" not in bad["customerCreate"]["userErrors"][0]


def test_a_missing_name_has_no_field(shop):
    error = shop.data(CREATE, {"input": {"note": "x"}})["customerCreate"]["userErrors"][0]
    assert error == {"field": None, "message": "A name, phone number, or email address must be present"}


def test_update_refuses_consent_and_points_to_its_mutation(shop):
    gid = shop.records("Customer")[1]["id"]
    consent = {"marketingState": "SUBSCRIBED", "marketingOptInLevel": "SINGLE_OPT_IN"}
    error = shop.data(UPDATE, {"input": {"id": gid, "emailMarketingConsent": consent}})["customerUpdate"]["userErrors"][0]
    assert "customerEmailMarketingConsentUpdate" in error["message"]
    assert shop.data(UPDATE, {"input": {"id": gid, "note": "n"}})["customerUpdate"]["customer"]["note"] == "n"
    error = shop.data(UPDATE, {"input": {"id": "gid://shopify/Customer/1", "note": "n"}})["customerUpdate"]["userErrors"][0]
    assert error == {"field": ["id"], "message": "Customer does not exist"}


def test_customers_with_orders_stay(shop):
    with_orders = next(record for record in shop.records("Customer") if record["orders"])
    payload = shop.data(DELETE, {"input": {"id": with_orders["id"]}})["customerDelete"]
    assert payload["deletedCustomerId"] is None and "orders" in payload["userErrors"][0]["message"]
    made = put(shop, {"email": "gone@example.com"})["customer"]["id"]
    assert shop.data(DELETE, {"input": {"id": made}})["customerDelete"] == {"deletedCustomerId": made, "userErrors": []}
    assert shop.data(DELETE, {"input": {"id": made}})["customerDelete"]["userErrors"]
    events = shop.every("events", "... on BasicEvent { subjectId }", query="action:destroy subject_type:CUSTOMER")
    assert made in [event["subjectId"] for event in events]


@pytest.mark.parametrize("consent,code", [
    ({"marketingState": "SUBSCRIBED", "marketingOptInLevel": "SINGLE_OPT_IN"}, None),
    ({"marketingState": "UNSUBSCRIBED"}, None),
    ({"marketingState": "PENDING", "marketingOptInLevel": "CONFIRMED_OPT_IN"}, None),
    ({"marketingState": "PENDING", "marketingOptInLevel": "SINGLE_OPT_IN"}, "INVALID"),
    ({"marketingState": "SUBSCRIBED"}, "MISSING_ARGUMENT"),
    ({"marketingState": "NOT_SUBSCRIBED", "marketingOptInLevel": "SINGLE_OPT_IN"}, "INVALID"),
    ({"marketingState": "SUBSCRIBED", "marketingOptInLevel": "SINGLE_OPT_IN", "consentUpdatedAt": "2027-01-01T00:00:00Z"}, "INVALID"),
])
def test_consent_has_a_mutation_of_its_own(shop, consent, code):
    gid = next(record["id"] for record in shop.records("Customer") if record["email"])
    payload = shop.data(CONSENT, {"input": {"customerId": gid, "emailMarketingConsent": consent}})["customerEmailMarketingConsentUpdate"]
    if code is None:
        assert payload["userErrors"] == []
        assert payload["customer"]["defaultEmailAddress"]["marketingState"] == consent["marketingState"]
    else:
        assert payload["userErrors"][0]["code"] == code


def test_consent_needs_an_email(shop):
    gid = next(record["id"] for record in shop.records("Customer") if not record["email"])
    payload = shop.data(CONSENT, {"input": {"customerId": gid, "emailMarketingConsent": {"marketingState": "UNSUBSCRIBED"}}})
    assert payload["customerEmailMarketingConsentUpdate"]["userErrors"][0]["code"] == "INVALID"


def test_tags_are_added_and_removed_without_a_race(shop):
    change = "mutation($id: ID!, $tags: [String!]!) { %s(id: $id, tags: $tags) { node { id } userErrors { field message } } }"
    for kind in ("Customer", "Order", "Product", "DraftOrder"):
        gid = shop.records(kind)[3]["id"]
        before = shop.records(kind)[3]["tags"]
        shop.data(change % "tagsAdd", {"id": gid, "tags": ["Zulu", "zulu", "two words"]})
        shop.data(change % "tagsAdd", {"id": gid, "tags": ["Zulu"]})
        assert became(shop) == ["unchanged"]
        assert set(shop.records(kind)[3]["tags"]) == set(before) | {"Zulu", "two words"}
        shop.data(change % "tagsRemove", {"id": gid, "tags": ["ZULU", "two words", "never"]})
        assert set(shop.records(kind)[3]["tags"]) == set(before)
    payload = shop.data(change % "tagsAdd", {"id": "gid://shopify/Customer/1", "tags": ["x"]})["tagsAdd"]
    assert payload["node"] is None and payload["userErrors"][0]["field"] == ["id"]


def fields(shop, *given):
    return shop.data(FIELDS, {"metafields": list(given)})["metafieldsSet"]


def field(gid, key, value, **more):
    return {"ownerId": gid, "namespace": "custom", "key": key, "value": value, **more}


def test_metafields_are_set_all_or_none(shop):
    gid = shop.records("Customer")[0]["id"]
    before = shop.records("Customer")[0]["metafields"]
    payload = fields(shop, field(gid, "vip", "true"), field(gid, "loyalty_points", "many"), field(gid, "score", "1.5"))
    assert payload["metafields"] is None and [error["field"] for error in payload["userErrors"]] == [["metafields", "1", "value"]]
    assert payload["userErrors"][0]["code"] == "INVALID_VALUE" and shop.records("Customer")[0]["metafields"] == before
    payload = fields(shop, field(gid, "vip", "true"), field(gid, "score", "1.5"))
    assert payload["userErrors"] == [] and {one["key"]: one["value"] for one in payload["metafields"]} == {"vip": "true", "score": "1.5"}
    assert payload["metafields"][0]["type"] == "boolean"  # from the definition


@pytest.mark.parametrize("change,member,code", [
    ({"type": "number_integer"}, "type", "INVALID_TYPE"), ({"value": ""}, "value", "BLANK"), ({"namespace": "ab"}, "namespace", "TOO_SHORT"),
    ({"key": "k"}, "key", "TOO_SHORT"), ({"key": "k" * 65}, "key", "TOO_LONG"), ({"key": "undefined_one"}, "type", "BLANK"),
    ({"key": "undefined_one", "type": "shoe"}, "type", "INCLUSION"), ({"value": "yes"}, "value", "INVALID_VALUE"),
    ({"compareDigest": "stale"}, None, "STALE_OBJECT"), ({"ownerId": "gid://shopify/Customer/1"}, "ownerId", "INVALID"),
])
def test_metafields_are_refused_by_index(shop, change, member, code):
    gid = shop.records("Customer")[0]["id"]
    payload = fields(shop, field(gid, "nickname", "fine"), {**field(gid, "vip", "true"), **change})
    error = payload["userErrors"][0]
    assert (error["field"], error["code"]) == (["metafields", "1"] + ([member] if member else []), code)


def test_metafields_by_digest_and_at_most_25(shop):
    gid = shop.records("Customer")[0]["id"]
    digest = fields(shop, field(gid, "vip", "true"))["metafields"][0]["compareDigest"]
    assert fields(shop, field(gid, "vip", "false", compareDigest=digest))["userErrors"] == []
    assert fields(shop, field(gid, "vip", "true", compareDigest=digest))["userErrors"][0]["code"] == "STALE_OBJECT"
    many = [field(gid, f"free_{n}", "x", type="single_line_text_field") for n in range(26)]
    assert fields(shop, *many)["userErrors"][0]["code"] == "LESS_THAN_OR_EQUAL_TO"
    assert fields(shop, *many[:25])["userErrors"] == []
    assert shop.code(FIELDS, {"metafields": many * 10}) == "MAX_INPUT_SIZE_EXCEEDED"


def test_metafields_need_the_owners_scope(start):
    shop = start("--scopes", "write_customers,read_orders")
    order, customer = shop.records("Order")[0]["id"], shop.records("Customer")[0]["id"]
    assert fields(shop, field(order, "gift", "true"))["userErrors"][0]["code"] == "APP_NOT_AUTHORIZED"
    assert fields(shop, field(customer, "vip", "true"))["userErrors"] == []


def test_deleting_a_metafield_that_is_not_there_is_no_error(shop):
    gid = shop.records("Customer")[0]["id"]
    fields(shop, field(gid, "vip", "true"))
    payload = shop.data("mutation($m: [MetafieldIdentifierInput!]!) { metafieldsDelete(metafields: $m) { deletedMetafields { key } "
                        "userErrors { field message } } }",
                        {"m": [{"ownerId": gid, "namespace": "custom", "key": key} for key in ("vip", "never")]})["metafieldsDelete"]
    assert payload == {"deletedMetafields": [{"key": "vip"}, None], "userErrors": []}
    assert "vip" not in [one["key"] for one in shop.records("Customer")[0]["metafields"]]


def test_orders_are_updated(shop):
    gid = shop.records("Order")[0]["id"]
    update = ("mutation($input: OrderInput!) { orderUpdate(input: $input) { order { note tags email shippingAddress { city } "
              "metafield(namespace: \"custom\", key: \"gift\") { value } } userErrors { field message } } }")
    payload = shop.data(update, {"input": {"id": gid, "note": "n", "tags": ["b", "a"], "email": "o@example.com",
                                           "shippingAddress": {"city": "Rome"}, "metafields": [
                                               {"namespace": "custom", "key": "gift", "value": "true"}]}})["orderUpdate"]
    assert payload == {"order": {"note": "n", "tags": ["a", "b"], "email": "o@example.com", "shippingAddress": {"city": "Rome"},
                                 "metafield": {"value": "true"}}, "userErrors": []}
    payload = shop.data(update, {"input": {"id": "gid://shopify/Order/1", "note": "n"}})["orderUpdate"]
    assert payload["order"] is None and payload["userErrors"][0]["message"] == "Order does not exist"


def test_products_are_set(shop):
    query = ("mutation($input: ProductSetInput!, $identifier: ProductSetIdentifiers) { productSet(input: $input, identifier: $identifier, "
             "synchronous: true) { product { id title handle tags variants(first: 5) { nodes { id sku price title } } } "
             "userErrors { field message code } } }")
    options = {"productOptions": [{"name": "Colour", "values": [{"name": "Red"}, {"name": "Blue"}]}]}
    variants = [{"optionValues": [{"optionName": "Colour", "name": name}], "sku": name, "price": "9.90"} for name in ("Red", "Blue")]
    made = shop.data(query, {"input": {"title": "Set", "handle": "set", **options, "variants": variants}})["productSet"]
    assert made["userErrors"] == [] and [one["sku"] for one in made["product"]["variants"]["nodes"]] == ["Red", "Blue"]
    again = shop.data(query, {"input": {"title": "Set 2", **options, "variants": variants[1:]}, "identifier": {"handle": "set"}})["productSet"]
    assert again["product"]["id"] == made["product"]["id"] and again["product"]["title"] == "Set 2"
    assert again["product"]["variants"]["nodes"] == made["product"]["variants"]["nodes"][1:]
    assert shop.data(query, {"input": {"vendor": "x"}})["productSet"]["userErrors"][0]["code"] == "MISSING_FIELD_REQUIRED"
    taken = shop.data(query, {"input": {"title": "x", "handle": "set"}})["productSet"]["userErrors"][0]
    assert taken["code"] == "HANDLE_NOT_UNIQUE"


def test_a_definition_deleted_meanwhile_is_gone(shop):
    shop.change({"undefine": [{"ownerType": "CUSTOMER", "namespace": "custom", "key": "vip"}]})
    found = shop.data("{ metafieldDefinitions(ownerType: CUSTOMER, first: 50) { nodes { key } } }")["metafieldDefinitions"]["nodes"]
    assert {"key": "vip"} not in found and {"key": "score"} in found
