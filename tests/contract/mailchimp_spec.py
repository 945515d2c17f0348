# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Mailchimp's own OpenAPI document with what the real API is known to do otherwise, applied to a copy when tests run.

M1 moments in answers may be "", M2 a PUT of a member that exists needs neither email_address nor status_if_new, M3 bearer
tokens besides basic; notify_on_* are typed as text and are sent as booleans. M4 a batch's answer has the statuses that a single
member has: the document leaves out archived there, which an update leaves as it is.
"""

import copy

import openapi

BASE = "/3.0"
# Real, though the document does not declare it: tags of members in the batch, which `sync_tags` speaks of.
FIELDS = [("POST", BASE + "/lists/*", "/members/*/tags*")]
# The token for a code and the data centre of a token are told by another host.
PATHS = [("GET", "/oauth2/metadata", "*"), ("POST", "/oauth2/token", "*")]
# Refusals that the vendor sends without `type`, as recorded; the document requires it.
UNTYPED = ("Member In Compliance State", "Forgotten Email Not Subscribed")


def document():
    """The vendor's document, read anew, relaxed, with paths as they are asked for (/3.0/...)."""
    spec = copy.deepcopy(openapi.load(openapi.shared_spec("mailchimp", "marketing-3.0.55.openapi3.json.gz")))
    for item in spec["paths"].values():
        for operation in (item[method] for method in openapi.METHODS if method in item):
            openapi.visit(operation["responses"], relax_answer)
    body = spec["paths"]["/lists/{list_id}/members/{subscriber_hash}"]["put"]["requestBody"]
    for kind in body["content"].values():
        kind["schema"]["required"] = []
    for name in ("new_members", "updated_members"):
        batched(spec, name)["enum"].append("archived")
    spec["components"]["securitySchemes"]["bearerAuth"] = {"type": "http", "scheme": "bearer"}
    spec["security"] = [{"basicAuth": []}, {"bearerAuth": []}]
    spec["paths"] = {BASE + path.rstrip("/"): item for path, item in spec["paths"].items()}
    spec["servers"] = [{"url": "/"}]
    return spec


def resolved(spec, thing):
    return openapi.Lint(spec).resolve(thing)


def batched(spec, name):
    """The schema of `status` in what a batch answers."""
    answer = resolved(spec, spec["paths"]["/lists/{list_id}"]["post"]["responses"]["200"])
    whole = resolved(spec, answer["content"]["application/json"]["schema"])
    return resolved(spec, resolved(spec, whole["properties"][name])["items"])["properties"]["status"]


def relax_answer(schema):
    if schema.get("format") == "date-time":
        del schema["format"]
    for name in ("notify_on_subscribe", "notify_on_unsubscribe"):
        named = schema.get("properties", {}).get(name) if isinstance(schema.get("properties"), dict) else None
        if named and "type" in named:
            del named["type"]


def lint(spec):
    return openapi.Lint(spec, fields=FIELDS, paths=PATHS)


def known(violation):
    """Said elsewhere: a problem document without `type`, and refusals without a body (429, 403) of the ten connections."""
    if violation["status"] < 400 or not violation.get("location", [""])[0] == "response":
        return False
    return "'type'" in violation["message"] or violation["status"] in (403, 429)
