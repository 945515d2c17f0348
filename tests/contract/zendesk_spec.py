# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Zendesk's OpenAPI document, made fit to judge real traffic: each relaxation with its reason, applied to a copy.

`checked(simulator_url, validator)` is what a test of the plugin uses: it stands before the simulator and keeps what was wrong.
"""

import copy
import re

import openapi
import prism

NAME = "support-oas-2025-04.yaml.gz"
DATA = {"example", "examples", "default", "enum"}  # members of a schema that hold values, not schemas


def original():
    return openapi.load(openapi.shared_spec("zendesk", NAME))


def schemas_below(thing):
    """Every schema in there, innermost first."""
    if isinstance(thing, dict):
        for name, value in thing.items():
            if name not in DATA or (name == "default" and isinstance(value, dict) and "type" in value):
                yield from schemas_below(value)
        yield thing
    elif isinstance(thing, list):
        for value in thing:
            yield from schemas_below(value)


def ref(name):
    return {"$ref": "#/components/schemas/" + name}


def body(schema):
    return {"content": {"application/json": {"schema": schema}}, "required": True}


def wrapped(name, schema, many=False):
    return {"type": "object", "required": [name], "properties": {name: {"type": "array", "items": schema} if many else schema}}


TAGS = {"type": "object", "required": ["tags"], "properties": {
    "tags": {"oneOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]},
    "safe_update": {"type": "boolean"}, "updated_stamp": {"type": "string"}}}


def token(grant, required, more=()):
    """The body of a request for a token by one grant. A public client has no secret: it proves itself by the verifier."""
    return {"type": "object", "required": ["grant_type", "client_id", *required], "properties": {
        "grant_type": {"type": "string", "enum": [grant]},
        **{name: {"type": "string", "minLength": 1} for name in ("client_id", "client_secret", "scope", *required, *more)},
        **{name: {"type": "integer"} for name in ("expires_in", "refresh_token_expires_in")}}}


EXCHANGE = ("code", "redirect_uri", "scope")
TOKEN = {"anyOf": [token("client_credentials", ["client_secret"]), token("refresh_token", ["refresh_token"]),
                   token("authorization_code", [*EXCHANGE, "client_secret"], ["code_verifier"]),
                   token("authorization_code", [*EXCHANGE, "code_verifier"])]}
# R3: writes to which the document gives no body, and with it prism answers 415 to any.
BODIES = {
    ("post", "/oauth/tokens"): TOKEN,
    ("put", "/api/v2/organizations/{organization_id}"): wrapped("organization", ref("OrganizationWrite")),
    ("post", "/api/v2/organizations/create_or_update"): wrapped("organization", ref("OrganizationWrite")),
    ("post", "/api/v2/organizations/create_many"): wrapped("organizations", ref("OrganizationWrite"), True),
    ("put", "/api/v2/organizations/update_many"): {"anyOf": [wrapped("organizations", ref("OrganizationWrite"), True),
                                                             wrapped("organization", ref("OrganizationWrite"))]},
    ("post", "/api/v2/organization_memberships"): wrapped("organization_membership", ref("OrganizationMembershipWrite")),
    ("post", "/api/v2/organization_memberships/create_many"): wrapped("organization_memberships", ref("OrganizationMembershipWrite"),
                                                                      True),
    ("post", "/api/v2/group_memberships"): wrapped("group_membership", ref("GroupMembershipWrite")),
    ("post", "/api/v2/group_memberships/create_many"): wrapped("group_memberships", ref("GroupMembershipWrite"), True),
    ("put", "/api/v2/tickets/update_many"): {"anyOf": [wrapped("tickets", ref("TicketWriteById"), True),
                                                       wrapped("ticket", ref("TicketUpdateInput"))]},
    ("put", "/api/v2/tickets/{ticket_id}/tags"): TAGS, ("post", "/api/v2/tickets/{ticket_id}/tags"): TAGS,
    ("delete", "/api/v2/tickets/{ticket_id}/tags"): TAGS,
    ("post", "/api/v2/user_fields"): wrapped("user_field", ref("UserFieldObject")),
    ("post", "/api/v2/organization_fields"): wrapped("organization_field", ref("OrganizationFieldObject")),
    ("post", "/api/v2/ticket_fields"): wrapped("ticket_field", ref("TicketFieldObject")),
    ("post", "/api/v2/users/{user_id}/identities"): wrapped("identity", {
        "type": "object", "required": ["type", "value"], "properties": {
            "type": {"type": "string"}, "value": {"type": "string"}, "verified": {"type": "boolean"}, "primary": {"type": "boolean"},
            "skip_verify_email": {"type": "boolean"}}}),
}
# What a user that is written may hold: the declared UserInput has a branch that takes anything (a name that is a number, too).
USER_ONLY_WRITTEN = {"skip_verify_email": {"type": "boolean"}, "identities": {"type": "array", "items": {"type": "object"}},
                     "organization": {"type": "object", "properties": {"name": {"type": "string"}}},
                     "organization_ids": {"type": "array", "items": {"type": "integer"}}, "custom_role_id": {"type": "integer"}}
READ_ONLY = {"url", "created_at", "updated_at", "last_login_at", "active", "shared", "shared_agent", "chat_only", "role_type",
             "two_factor_auth_enabled", "report_csv", "photo"}


def relaxed(document):
    """A copy with R1 to R12."""
    made = copy.deepcopy(document)
    schemas = made["components"]["schemas"]
    for schema in schemas_below(schemas):  # R1: real records are full of nulls, and almost nothing is marked
        if isinstance(schema.get("type"), str):
            schema["nullable"] = True
    custom_fields(schemas)
    writable(schemas)
    # R8: exports give deleted tickets with a status that the list of statuses does not have.
    schemas["TicketObject"]["properties"]["status"]["enum"].append("deleted")
    # R9: a result of a job is one of three shapes that overlap, and failures to create have neither id nor action.
    # And `results`, null until a job is done, is null in both its shapes since R1.
    schemas["JobStatusResultObject"] = {"anyOf": schemas["JobStatusResultObject"]["oneOf"]}
    results = schemas["JobStatusObject"]["properties"]["results"]
    results["anyOf"] = results.pop("oneOf")
    schemas["FailedResult"]["required"] = ["error", "success"]
    # R11: what tags have become is a list in the events of an audit, where text and numbers are declared.
    events = schemas["AuditObject"]["properties"]["events"]["items"]["properties"]
    events["value"] = {"anyOf": [*events["value"]["oneOf"], {"type": "array", "items": {"type": "string"}, "nullable": True}]}
    # R12: what a ticket's metrics are is declared as a list; clients read one object.
    metric = schemas["TicketMetricsByTicketMetricIdResponse"]["properties"]
    metric["ticket_metric"] = metric["ticket_metric"]["items"]
    # R10: the current token is not a number.
    made["paths"]["/api/v2/oauth/tokens/current"] = {
        "get": {"operationId": "current", "responses": copy.deepcopy(
            made["paths"]["/api/v2/oauth/tokens/{oauth_token_id}"]["get"]["responses"])},
        "delete": {"operationId": "end_current", "responses": {"204": {"description": "ended"}}}}
    for template, item in made["paths"].items():
        path(made, template, item)
    # R7: basic is the only way declared.
    made["components"]["securitySchemes"]["bearer"] = {"type": "http", "scheme": "bearer"}
    made["security"] = [{"basicAuth": []}, {"bearer": []}]
    made["paths"]["/oauth/tokens"]["post"]["security"] = []
    return made


def path(document, template, item):
    names = {part[1:-1] for part in template.split("/") if part.startswith("{")}
    for parameters in [item.get("parameters", [])] + [item[method].get("parameters", []) for method in openapi.METHODS
                                                      if method in item]:
        for parameter in list(parameters):
            name = parameter.get("$ref", "").split("/")[-1]
            meant = document["components"]["parameters"][name] if name else parameter
            # R5: parameters of the path that the path does not have.
            if meant["in"] == "path" and meant["name"] not in names:
                parameters.remove(parameter)
                continue
            # R4: start_time goes with the first request of an export by cursor only.
            if template.endswith("/cursor") and name == "IncrementalUnixTime":
                parameters[parameters.index(parameter)] = {"name": "start_time", "in": "query", "schema": {"type": "integer"}}
    for method in openapi.METHODS:
        if method in item:
            # R2: what is not a success is not declared, and a real 429 is text.
            item[method]["responses"]["default"] = {"description": "anything else", "content": {"*/*": {}}}
            if (method, template) in BODIES:
                item[method]["requestBody"] = body(BODIES[method, template])


def custom_fields(schemas):
    """R6: written values of custom fields point at the definition of a field; read ones are of any type."""
    value = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "value": {}}}
    schemas["TicketUpdateInput"]["properties"]["custom_fields"] = {"type": "array", "items": value, "nullable": True}
    schemas["TicketObject"]["properties"]["custom_fields"]["items"] = copy.deepcopy(value)
    # Those of organizations are declared as text or number; a checkbox is a boolean, a multiselect a list.
    schemas["OrganizationObject"]["properties"]["organization_fields"]["additionalProperties"] = {}


def writable(schemas):
    """Bodies closed enough for the lint to see a field that does not exist, and prism a value of another type."""
    admin = schemas["UserForAdmin"]["properties"]
    schemas["UserInput"] = {"type": "object", "properties": {
        **{name: schema for name, schema in admin.items() if name not in READ_ONLY}, **USER_ONLY_WRITTEN}}
    organization = schemas["OrganizationObject"]["properties"]
    schemas["OrganizationWrite"] = {"type": "object", "properties": {
        name: schema for name, schema in organization.items() if name not in READ_ONLY}}
    membership = schemas["OrganizationMembershipObject"]["properties"]
    schemas["OrganizationMembershipWrite"] = {"type": "object", "required": ["user_id", "organization_id"], "properties": {
        name: {"type": membership[name]["type"]} for name in ("user_id", "organization_id", "default", "view_tickets")}}
    schemas["GroupMembershipWrite"] = {"type": "object", "required": ["user_id", "group_id"], "properties": {
        "user_id": {"type": "integer"}, "group_id": {"type": "integer"}, "default": {"type": "boolean"}}}
    schemas["TicketWriteById"] = {"allOf": [ref("TicketUpdateInput"), {"type": "object", "properties": {"id": {"type": "integer"}}}]}
    # An import is a ticket with more; only a few of its members are declared, and `comments` stand for `comment`.
    parts = [schemas["TicketUpdateInput"], *(part for part in schemas["TicketCreateInput"]["allOf"] if "properties" in part),
             schemas["TicketImportInput"]]
    schemas["TicketImportInput"] = {"type": "object", "properties": {
        name: schema for part in parts for name, schema in part["properties"].items()}}
    for name in ("created_at", "updated_at", "solved_at"):
        schemas["TicketImportInput"]["properties"][name] = {"type": "string", "format": "date-time"}


# Real and documented, but not in the document. Lists take cursors everywhere; exports take sizes and sideloads.
QUERIES = [("GET", "/api/v2/*", name) for name in ("page[size]", "page[after]", "page[before]", "page", "per_page")] + [
    ("GET", "/api/v2/incremental/*", "include"), ("GET", "/api/v2/incremental/*", "per_page"),
    ("GET", "/api/v2/incremental/tickets/cursor", "exclude_deleted"), ("GET", "/api/v2/satisfaction_ratings", "start_time"),
    ("GET", "/api/v2/satisfaction_ratings", "end_time"), ("GET", "/api/v2/satisfaction_ratings", "score"),
    ("GET", "/api/v2/tickets*", "include"),
]
FIELDS = [(method, "/api/v2/*tickets*", pointer) for method in ("POST", "PUT") for pointer in (
    "/ticket/requester*", "/tickets/*/requester*", "/ticket/additional_tags", "/ticket/remove_tags", "/tickets/*/additional_tags",
    "/tickets/*/remove_tags")]
# Not in the document at all: tags of users and organizations.
PATHS = [(method, f"/api/v2/{table}/*/tags", "") for method in ("GET", "PUT", "POST", "DELETE") for table in ("users", "organizations")]
# "List Memberships" is one page of the vendor's, "for the account, user or organization in question"; the document has the account's.
PATHS.append(("GET", "/api/v2/users/*/organization_memberships", "*"))
# Where access is granted is a page for people.
PATHS.append(("GET", "/oauth/authorizations/new", "*"))


def lint(document):
    return openapi.Lint(document, QUERIES, FIELDS, PATHS, TOLD)


# The spec says 201; the vendor's own pages and clients have seen 200.
STATUSES = [("POST", "/oauth/tokens", 200)]
OWN = [("GET", "/oauth/authorizations/new", 302, None)]
# R2 leaves open what a refusal says. `error` is a text or an object, or there are `errors`; limits are told as text.
JSON = "application/json"
SAID = {"error": str, "description": str}
TITLED = {"error": {"title": str, "message": str}}
GRANT = {"error": re.compile(r"^[a-z_]+$"), "error_description": str}
REFUSALS = [
    *(("/api/v2/*", status, JSON, SAID) for status in (400, 403, 404, 409, 413, 429)),
    *(("*", status, JSON, TITLED) for status in (403, 404)),
    ("/api/v2/*", 400, JSON, {"errors": [{"code": str, "title": str, "detail?": str}]}),
    ("/api/v2/*", 401, JSON, ({"error": re.compile("^Couldn't authenticate you$")}, GRANT)),
    ("/api/v2/*", 422, JSON, {**SAID, "details": {"*": [{"description": str, "error?": str}]}}),
    ("*", 429, "text/plain", re.compile(r"\S")),
    *(("/oauth/*", status, JSON, GRANT) for status in (400, 401)),
]
FAULTS = {}
HEADERS = [("/api/v2/*", 401, "WWW-Authenticate")]


def known(violation):
    """Nothing of what prism says is left aside."""
    return False


# What the vendor's pages or recordings show in answers, and the document does not declare.
TOLD = [(method, path, pointer) for method, path, pointers in (
    ("GET", "*", ("/count", "/next_page", "/previous_page", "/links", "/meta")),  # either way of paging, of every list
    ("PUT", "*/make_default", ("/count", "/next_page", "/previous_page", "/organization_memberships")),  # the list as it is now
    ("GET", "/api/v2/incremental/*", ("/end_of_stream", "/metric_sets", "/organizations", "/users", "/tickets/*/metric_set")),
    ("*", "/api/v2/*tickets*", ("/ticket/encoded_id", "/ticket/fields", "/tickets/*/encoded_id", "/tickets/*/fields")),
    # What a write noted, and what an audit says of a comment and of a change.
    ("*", "/api/v2/tickets*", ("/audit", *(f"{base}/events/*/{name}" for base in ("/audit", "/audits/*") for name in (
        "attachments", "audit_id", "author_id", "html_body", "plain_body", "previous_value", "public")))),
    ("GET", "/api/v2/ticket_audits", tuple(f"/audits/*/events/*/{name}" for name in (
        "attachments", "audit_id", "author_id", "html_body", "plain_body", "previous_value", "public"))),
    ("GET", "/api/v2/deleted_tickets", ("/deleted_tickets/*/description",)),
    ("*", "/api/v2/*organizations*", ("/organization/deleted_at", "/organizations/*/deleted_at")),
    ("GET", "/api/v2/ticket_fields*", ("/ticket_fields/*/key", "/ticket_field/key")),
    ("POST", "/api/v2/ticket_fields", ("/ticket_field/key",)),
    ("GET", "/api/v2/incremental/ticket_events", tuple(f"/ticket_events/*/{name}" for name in (
        "child_events", "created_at", "event_type", "metadata", "system", "timestamp", "updater_id", "via"))),
    ("GET", "/api/v2/incremental/ticket_metric_events", ("/ticket_metric_events/*/status",)),
    ("GET", "/api/v2/oauth/tokens/current", ("/token/refresh_token_expires_at",)),
) for pointer in pointers]


# What is asked for under a path that the document does not have, and under which one it does: each path with the suffix too; lists of
# what belongs to a record; tags, which the vendor's pages describe with those of tickets.
SAME = [(re.compile(pattern), path) for pattern, path in (
    (r"\.json$", r""), (r"^/api/v2/(?:users|organizations)/\d+/organization_memberships$", r"/api/v2/organization_memberships"),
    (r"^/api/v2/organizations/\d+/users$", r"/api/v2/users"), (r"^/api/v2/tickets/(\d+)/metrics$", r"/api/v2/ticket_metrics/\1"),
    (r"^/api/v2/(?:users|organizations)/(\d+)/tags$", r"/api/v2/tickets/\1/tags"))]


def document_path(path):
    for pattern, there in SAME:
        path = pattern.sub(there, path)
    return path


def checked(validator, simulator_url):
    """A context: `url` for the client, `violations()` at the end. `validator` is a prism.Validator on relaxed(original())."""
    return prism.Checked(validator, lint(validator.document), simulator_url)
