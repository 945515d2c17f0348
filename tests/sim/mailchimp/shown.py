# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""How resources become text: pages with total_items, fields and exclude_fields, the vendor's _links.

A page of 1,000 members is 3 MB, most of it links. Members are therefore written as text with their links put in from a
template; only a request that names fields takes the way over dictionaries.
"""

import json

from mailchimp.shapes import COUNT_DEFAULT, COUNT_MAX, whole

API = "https://us21.api.mailchimp.com/3.0"
SCHEMA = "https://us21.api.mailchimp.com/schema/3.0"
PAGE = ("fields", "exclude_fields", "count", "offset")
ONE = ("fields", "exclude_fields")
# What batches do not show of a member, and the members of a segment neither.
NOT_BATCHED = ("marketing_permissions", "contact_id", "full_name", "consents_to_one_to_one_messaging", "source",
               "unsubscribe_reason", "web_id")
NOT_IN_SEGMENTS = NOT_BATCHED + ("tags", "tags_count")


def text_of(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _links(list_id, member_id):
    members = f"{API}/lists/{list_id}/members"
    own = f"{members}/{member_id}"
    shape = SCHEMA + "/Definitions/Lists/Members/Response.json"
    return [
        {"rel": "self", "href": own, "method": "GET", "targetSchema": shape},
        {"rel": "parent", "href": members, "method": "GET",
         "targetSchema": SCHEMA + "/Definitions/Lists/Members/CollectionResponse.json",
         "schema": SCHEMA + "/Paths/Lists/Members/Collection.json"},
        {"rel": "update", "href": own, "method": "PATCH", "targetSchema": shape,
         "schema": SCHEMA + "/Definitions/Lists/Members/PATCH.json"},
        {"rel": "upsert", "href": own, "method": "PUT", "targetSchema": shape,
         "schema": SCHEMA + "/Definitions/Lists/Members/PUT.json"},
        {"rel": "delete", "href": own, "method": "DELETE"},
        {"rel": "activity", "href": own + "/activity", "method": "GET",
         "targetSchema": SCHEMA + "/Definitions/Lists/Members/Activity/Response.json"},
        {"rel": "events", "href": own + "/events", "method": "POST",
         "targetSchema": SCHEMA + "/Definitions/Lists/Members/Events/POST.json"},
        {"rel": "delete_permanent", "href": own + "/actions/delete-permanent", "method": "POST"},
    ]


def links(path):
    """Of anything but a member."""
    return [{"rel": "self", "href": API + path, "method": "GET"}]


def shown_of(audience, member, without):
    shown = member.show(audience)
    for name in without:
        shown.pop(name, None)
    if without:
        del shown["location"]["region"]
        shown["stats"].pop("ecommerce_data", None)
    return shown


def member_dict(audience, member, without=()):
    return {**shown_of(audience, member, without), "_links": _links(audience.id, member.id)}


def members_text(audience, members, without=()):
    """The same as a JSON array of member_dict(), in a third of the time."""
    template = text_of(_links(audience.id, "@@"))
    rows = [f'{text_of(shown_of(audience, member, without))[:-1]},"_links":{template.replace("@@", member.id)}}}' for member in members]
    return "[" + ",".join(rows) + "]"


# ---- fields and exclude_fields ----

def _tree(text):
    tree = {}
    for path in text.split(","):
        node, parts = tree, path.strip().split(".")
        for part in parts[:-1]:
            node = node.setdefault(part, {})
            if node is True:
                break
        else:
            node[parts[-1]] = True
    return tree


def _only(tree, value):
    if isinstance(value, list):
        return [_only(tree, item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: item if tree[name] is True else _only(tree[name], item) for name, item in value.items() if name in tree}


def _without(tree, value):
    if isinstance(value, list):
        return [_without(tree, item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: item if name not in tree else _without(tree[name], item)
            for name, item in value.items() if tree.get(name) is not True}


def picked(query, value):
    if query.get("fields"):
        value = _only(_tree(query["fields"]), value)
    if query.get("exclude_fields"):
        value = _without(_tree(query["exclude_fields"]), value)
    return value


# ---- pages ----

def window(query):
    return whole(query, "count", COUNT_DEFAULT, COUNT_MAX), whole(query, "offset", 0)


def page(query, name, rows, show, path, **more):
    """A page of rows. `more` are members of the collection itself, e.g. list_id."""
    count, offset = window(query)
    return picked(query, {name: [show(row) for row in rows[offset:offset + count]], **more, "total_items": len(rows),
                          "_links": links(path)})


def member_page(query, audience, rows, path, without=()):
    """Text when no fields are named, otherwise a dict."""
    count, offset = window(query)
    rows_now = rows[offset:offset + count]
    end = {"list_id": audience.id, "total_items": len(rows), "_links": links(path)}
    if without:
        del end["list_id"]
    if query.get("fields") or query.get("exclude_fields"):
        return picked(query, {"members": [member_dict(audience, member, without) for member in rows_now], **end})
    return f'{{"members":{members_text(audience, rows_now, without)},{text_of(end)[1:]}'
