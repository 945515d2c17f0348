# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Mailchimp's own OpenAPI document with what the real API is known to do otherwise, applied to a copy when tests run.

M1 moments in answers may be "", M2 a PUT of a member that exists needs neither email_address nor status_if_new, M3 bearer
tokens besides basic; notify_on_* are typed as text and are sent as booleans. M4 a batch's answer has the statuses that a single
member has: the document leaves out archived there, which an update leaves as it is.
"""

import copy
import re

import openapi

BASE = "/3.0"
# Real, though the document does not declare it: tags of members in the batch, which `sync_tags` speaks of.
FIELDS = [("POST", BASE + "/lists/*", "/members/*/tags*")]
# Codes, the token for one and the data centre of a token are told by another host.
PATHS = [("GET", "/oauth2/authorize", "*"), ("GET", "/oauth2/metadata", "*"), ("POST", "/oauth2/token", "*")]
STATUSES = []
RESULTS = "/*-response.tar.gz"  # on the host that hands out what batches became
OWN = [
    ("GET", "/oauth2/authorize", 302, None),
    ("GET", "/oauth2/metadata", 200, ({"error": str, "error_description": str}, {
        "dc": str, "role": str, "accountname": str, "user_id": int, "login_url": re.compile("^https:"),
        "api_endpoint": re.compile("^https?:"),
        "login": {"email": str, "avatar": (str, type(None)), "login_id": int, "login_name": str, "login_email": str}})),
    ("POST", "/oauth2/token", 200, {"access_token": str, "expires_in": 0, "scope": type(None)}),
    ("GET", RESULTS, 200, None),
]
PROBLEM_TYPE = "application/problem+json"


def problem(status, more):
    return {"title": re.compile(r"\S"), "status": status, "detail": re.compile(r"\S"), "instance": re.compile(r"^[0-9a-f-]{36}$"),
            "errors?": [{"field": str, "message": re.compile(r"\S")}], **more}


TYPED = {"type": re.compile("^https://mailchimp.com/developer/marketing/docs/errors/$")}
# Refusals that the vendor sends without `type`, as recorded; the document requires it.
UNTYPED = {"title": re.compile("^(Member In Compliance State|Forgotten Email Not Subscribed)$")}
STATUS = (400, 401, 403, 404, 405, 429)
REFUSALS = [
    *(("/3.0*", status, PROBLEM_TYPE, problem(status, TYPED)) for status in STATUS), ("/3.0*", 400, PROBLEM_TYPE, problem(400, UNTYPED)),
    ("/3.0*", 429, None, None), ("/3.0*", 403, None, None),  # of the ten connections
    ("/3.0*", 413, None, None),
    *(("/oauth2/*", status, "application/json", {"error": re.compile("^[a-z_]+$")}) for status in (400, 401)),
    *((RESULTS, status, "application/xml", re.compile(r"<Error><Code>\w+</Code><Message>[^<]+</Message></Error>$"))
      for status in (400, 403, 404)),
]
FAULTS = {"untyped": [("/3.0*", status, PROBLEM_TYPE, problem(status, {})) for status in STATUS]}
HEADERS = [("/3.0*", 405, "Allow")]


def document_path(path):
    return path.rstrip("/")


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
