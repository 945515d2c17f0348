# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Tickets with their audits, comments, metrics: made, changed, deleted, by Zendesk's rules. Functions over the world, no HTTP."""

import html

from server.clock import iso, parse_iso

from . import checks, people
from .errors import Conflict, Invalid, NotFound

STATUSES = ("new", "open", "pending", "hold", "solved", "closed")
PRIORITIES = ("urgent", "high", "normal", "low")
TYPES = ("problem", "incident", "question", "task")
DECLARED = {
    "subject": "string", "raw_subject": "string", "comment": "object", "requester": "object", "requester_id": "integer",
    "submitter_id": "integer", "assignee_id": "integer", "assignee_email": "string", "group_id": "integer",
    "organization_id": "integer", "external_id": "string", "custom_fields": "objects", "tags": "tags", "priority": PRIORITIES,
    "status": STATUSES, "type": TYPES, "due_at": "date-time", "ticket_form_id": "integer", "brand_id": "integer",
    "collaborator_ids": "integers", "collaborators": "any", "email_ccs": "objects", "email_cc_ids": "integers",
    "followers": "objects", "follower_ids": "integers", "macro_ids": "integers", "problem_id": "integer", "recipient": "string",
    "custom_status_id": "integer", "via_followup_source_id": "integer", "via": "object", "metadata": "object",
    "sharing_agreement_ids": "integers", "attribute_value_ids": "integers",
}
UPDATING = {**DECLARED, "id": "integer", "safe_update": "boolean", "updated_stamp": "date-time", "additional_tags": "tags",
            "remove_tags": "tags", "additional_collaborators": "any"}
IMPORTING = {**DECLARED, "description": "string", "comments": "objects", "created_at": "date-time", "updated_at": "date-time",
             "solved_at": "date-time"}
COMMENT = {"body": "string", "html_body": "string", "public": "boolean", "author_id": "integer", "uploads": "strings",
           "created_at": "date-time", "value": "string", "type": "string"}
PLAIN = ("subject", "assignee_id", "group_id", "external_id", "priority", "type", "due_at", "ticket_form_id", "brand_id", "problem_id",
         "recipient", "collaborator_ids", "follower_ids", "email_cc_ids")
AUDITED = ("subject", "status", "priority", "type", "assignee_id", "group_id", "requester_id", "organization_id", "external_id",
           "tags", "due_at")
VIA = {"channel": "api", "source": {"from": {}, "to": {}, "rel": None}}
TIMES = ("agent_wait_time_in_minutes", "first_resolution_time_in_minutes", "full_resolution_time_in_minutes",
         "on_hold_time_in_minutes", "reply_time_in_minutes", "requester_wait_time_in_minutes")


def blank(world):
    return {
        "external_id": None, "via": VIA, "type": None, "subject": None, "raw_subject": None, "description": None, "priority": None,
        "status": "new", "recipient": None, "requester_id": None, "submitter_id": None, "assignee_id": None,
        "organization_id": None, "group_id": world.default_group_id, "collaborator_ids": [], "follower_ids": [],
        "email_cc_ids": [], "forum_topic_id": None, "problem_id": None, "has_incidents": False, "is_public": True, "due_at": None,
        "tags": [], "custom_fields": [{"id": number, "value": False if field["type"] == "checkbox" else None}
                                      for number, field in world.fields("tickets").items()],
        "satisfaction_rating": None, "sharing_agreement_ids": [], "custom_status_id": None, "encoded_id": None, "followup_ids": [],
        "ticket_form_id": next(iter(world.tables["ticket_forms"].rows), None), "brand_id": world.default_brand_id,
        "allow_channelback": False, "allow_attachments": True, "from_messaging_channel": False, "generated_timestamp": None,
        "_audits": []}


def shown(world, row, base):
    """`fields` repeats custom_fields, as Zendesk does."""
    made = world.shown("tickets", row, base)
    made["fields"] = made["custom_fields"]
    return made


# ---- checking ----

def check(world, body, declared, creating):
    checks.members(body, declared)
    for name, table in (("requester_id", "users"), ("submitter_id", "users"), ("assignee_id", "users"), ("group_id", "groups"),
                        ("organization_id", "organizations"), ("ticket_form_id", "ticket_forms"), ("brand_id", "brands"),
                        ("problem_id", "tickets")):
        found = world.get(table, body.get(name))
        if body.get(name) is not None and (found is None or found.get("active") is False or found.get("deleted_at")):
            raise Invalid({name.removesuffix("_id"): [(f"{checks.title(name.removesuffix('_id'))}: is invalid", "InvalidValue")]})
    assignee = world.get("users", body.get("assignee_id"))
    if assignee is not None and assignee["role"] == "end-user":
        raise Invalid({"assignee": [("Assignee: must be an agent", "InvalidValue")]})
    if body.get("requester") is not None:
        check_requester(world, body["requester"])
    for comment in [body.get("comment")] + list(body.get("comments") or ()):
        if comment is not None:
            check_comment(world, comment)
    if creating and not (text_of(body.get("comment") or {}) or body.get("comments") or body.get("description")):
        raise Invalid({"base": [("Description: cannot be blank", "BlankValue")]})
    if creating and body.get("status") == "closed" and declared is not IMPORTING:
        raise Invalid({"status": [("Status: closed is not valid for a new ticket", "InvalidValue")]})
    return custom_values(world, body.get("custom_fields") or ())


def check_requester(world, requester):
    if set(requester) - {"name", "email", "locale_id", "locale"}:
        raise Invalid({"requester": [("Requester: is not valid", "InvalidValue")]})
    address = checks.email(requester.get("email"))
    if address not in world.user_by_email and not (requester.get("name") or "").strip():
        raise Invalid({"requester": [("Requester Name: is too short (minimum one character)", "ValueTooShort")]})


def check_comment(world, comment):
    try:
        checks.members(comment, COMMENT)
    except Invalid as problem:
        raise Invalid({f"comment.{name}": said for name, said in problem.details.items()}) from None
    if comment.get("author_id") is not None and world.get("users", comment["author_id"]) is None:
        raise Invalid({"author": [("Author: is invalid", "InvalidValue")]})


def custom_values(world, given):
    fields, values = world.fields("tickets"), {}
    for one in given:
        if set(one) - {"id", "value"} or not checks.is_int(one.get("id")):
            raise Invalid({"custom_fields": [("Custom fields: each is {id, value}", "InvalidFormat")]})
        if one["id"] not in fields:
            world.ignored[f"tickets.{one['id']}"] = world.ignored.get(f"tickets.{one['id']}", 0) + 1
            continue
        values[one["id"]] = checks.custom_value(fields[one["id"]], one.get("value"), world)
    return values


def text_of(comment):
    return comment.get("body") or comment.get("html_body") or comment.get("value") or ""


# ---- audits ----

def comment_event(world, ticket, author_id, text, public, html_body=None):
    return {"id": world.new_id("events"), "type": "Comment", "author_id": author_id, "body": text,
            "html_body": html_body or f"<div class=\"zd-comment\">{html.escape(text)}</div>", "plain_body": text, "public": public,
            "attachments": []}


def add_audit(world, ticket, author_id, events, at):
    row = world.add("audits", {"ticket_id": ticket["id"], "created_at": iso(at), "author_id": author_id, "via": VIA,
                               "metadata": {"system": {"client": None}, "custom": {}}, "events": events}, at)
    for event in events:
        event["audit_id"] = row["id"]
    del row["updated_at"]  # audits never change
    ticket["_audits"].append(row)
    return row


def comments_of(ticket):
    """What is said on it, in order, as the comments endpoint gives it."""
    return [{"id": event["id"], "type": "Comment", "author_id": event["author_id"], "body": event["body"],
             "html_body": event["html_body"], "plain_body": event["plain_body"], "public": event["public"],
             "attachments": [], "audit_id": audit["id"], "via": audit["via"], "created_at": audit["created_at"],
             "metadata": audit["metadata"]}
            for audit in ticket["_audits"] for event in audit["events"] if event["type"] == "Comment"]


def change_events(world, before, ticket):
    made = []
    for name in AUDITED:
        if before[name] != ticket[name]:
            made.append({"id": world.new_id("events"), "type": "Change", "field_name": name, "value": as_text(ticket[name]),
                         "previous_value": as_text(before[name])})
    old = {one["id"]: one["value"] for one in before["custom_fields"]}
    for one in ticket["custom_fields"]:
        if old.get(one["id"]) != one["value"]:
            made.append({"id": world.new_id("events"), "type": "Change", "field_name": str(one["id"]),
                         "value": as_text(one["value"]), "previous_value": as_text(old.get(one["id"]))})
    return made


def as_text(value):
    return value if value is None or isinstance(value, list) else str(value)


# ---- making ----

def requester_of(world, body, who_id):
    if body.get("requester_id") is not None:
        return world.get("users", body["requester_id"])
    if body.get("requester") is not None:
        address = body["requester"]["email"].lower()
        known = world.get("users", world.user_by_email.get(address))
        return known or people.create(world, {"name": body["requester"]["name"], "email": address, "skip_verify_email": True})
    return world.get("users", who_id)


def create(world, body, who_id, importing=False):
    """(ticket, its first audit). Importing: with history, and no triggers."""
    values = check(world, body, IMPORTING if importing else DECLARED, True)
    requester = requester_of(world, body, who_id)
    now = world.now()
    at = int(parse_iso(body["created_at"])) if importing and body.get("created_at") else now
    ticket = world.add("tickets", blank(world), at)
    apply(world, ticket, body, values)
    ticket["requester_id"] = requester["id"]
    ticket["submitter_id"] = body.get("submitter_id") or (body.get("comment") or {}).get("author_id") or requester["id"]
    if body.get("organization_id") is None:
        ticket["organization_id"] = requester["organization_id"]
    ticket["status"] = body.get("status") or ("open" if ticket["assignee_id"] else "new")
    said = list(body.get("comments") or ()) or [body.get("comment") or {"body": body.get("description")}]
    ticket["description"] = text_of(said[0])
    ticket["is_public"] = said[0].get("public") is not False
    for number, comment in enumerate(said):
        events = [comment_event(world, ticket, comment.get("author_id") or requester["id"], text_of(comment),
                                comment.get("public") is not False, comment.get("html_body"))]
        if number == 0:
            events += [{"id": world.new_id("events"), "type": "Create", "field_name": name, "value": as_text(ticket[name])}
                       for name in AUDITED if ticket[name] not in (None, [])]
        when = int(parse_iso(comment["created_at"])) if importing and comment.get("created_at") else at
        add_audit(world, ticket, events[0]["author_id"], events, when)
    ticket["_stamp"] = ticket["generated_timestamp"] = now
    ticket["updated_at"] = iso(parse_iso(body["updated_at"])) if importing and body.get("updated_at") else iso(now)
    world.tables["tickets"].changed()
    index(world, ticket)
    add_metrics(world, ticket, at)
    if not importing:
        world.mail(requester["email"], "ticket created")
    return ticket, ticket["_audits"][0]


def index(world, ticket):
    if ticket["external_id"] is not None:
        world.tickets_by_external.setdefault(ticket["external_id"], []).append(ticket["id"])


def apply(world, ticket, body, values):
    for name in PLAIN:
        if name in body:
            ticket[name] = body[name]
    if "subject" in body or "raw_subject" in body:
        ticket["subject"] = ticket["raw_subject"] = body.get("subject", body.get("raw_subject"))
    if body.get("assignee_email"):
        ticket["assignee_id"] = world.user_by_email.get(body["assignee_email"].lower(), ticket["assignee_id"])
    for name in ("status", "requester_id"):
        if body.get(name) is not None:
            ticket[name] = body[name]
    if "organization_id" in body:
        ticket["organization_id"] = body["organization_id"]
    tags = set(checks.tags(body["tags"] or [])) if "tags" in body else set(ticket["tags"])
    tags |= set(checks.tags(body.get("additional_tags") or []))
    tags -= set(checks.tags(body.get("remove_tags") or []))
    fields = world.fields("tickets")
    kept = []
    for one in ticket["custom_fields"]:
        if one["id"] in values:
            kind, old, new = fields[one["id"]]["type"], one["value"], values[one["id"]]
            if kind in ("tagger", "multiselect"):
                tags -= set(old if isinstance(old, list) else [old]) - {None}
                tags |= set(new if isinstance(new, list) else [new]) - {None}
            one = {"id": one["id"], "value": new}
        kept.append(one)
    known = {one["id"] for one in kept}
    ticket["custom_fields"] = kept + [{"id": number, "value": value} for number, value in values.items() if number not in known]
    ticket["tags"] = sorted(tags)


def update(world, ticket, body, who_id):
    """The audit, or None when nothing changed."""
    if ticket["status"] == "deleted":
        raise NotFound
    if ticket["status"] == "closed":
        raise Invalid({"status": [("Status: closed prevents ticket update", None)]})
    values = check(world, body, UPDATING, False)
    if body.get("safe_update"):
        if body.get("updated_stamp") is None:
            raise Invalid({"safe_update": [("Safe update: needs updated_stamp", "BlankValue")]})
        if parse_iso(body["updated_stamp"]) < parse_iso(ticket["updated_at"]):
            raise Conflict
    before = dict(ticket)
    apply(world, ticket, body, values)
    if body.get("requester") is not None:
        ticket["requester_id"] = requester_of(world, body, who_id)["id"]
    if before["external_id"] != ticket["external_id"]:
        if before["external_id"] is not None:
            world.tickets_by_external[before["external_id"]].remove(ticket["id"])
        index(world, ticket)
    events = change_events(world, before, ticket)
    comment = body.get("comment")
    if comment is not None and text_of(comment):
        events.insert(0, comment_event(world, ticket, comment.get("author_id") or who_id, text_of(comment),
                                       comment.get("public") is not False, comment.get("html_body")))
        if comment.get("public") is not False:
            world.mail((world.get("users", ticket["requester_id"]) or {}).get("email"), "ticket updated")
    if not events:
        return None
    at = world.now()
    world.touch("tickets", ticket, at)
    update_metrics(world, ticket, before, at)
    return add_audit(world, ticket, who_id, events, at)


def set_tags(world, ticket, tags, who_id):
    if ticket["status"] == "deleted":
        raise NotFound
    update(world, ticket, {"tags": tags}, who_id)
    return ticket["tags"]


def delete(world, ticket, at=None):
    if ticket["status"] == "deleted":
        raise NotFound
    ticket["_previous_status"], ticket["status"] = ticket["status"], "deleted"
    ticket["_deleted_at"] = iso(world.now() if at is None else at)
    if ticket["external_id"] is not None:
        world.tickets_by_external[ticket["external_id"]].remove(ticket["id"])
    world.touch("tickets", ticket, at)


def scrub(world, ticket):
    """What Zendesk does about 30 days after the deletion: the record stays, what it said goes."""
    ticket.update(subject="SCRUBBED", raw_subject="SCRUBBED", description="SCRUBBED", tags=[], external_id=None,
                  custom_fields=[{"id": one["id"], "value": None} for one in ticket["custom_fields"]], _scrubbed=True)


# ---- metrics ----

def add_metrics(world, ticket, at, random=None):
    def spell(top):
        value = random.randint(0, top) if random and random.random() < 0.7 else None
        return {"calendar": value, "business": None if value is None else value // 3}

    row = {"ticket_id": ticket["id"], "group_stations": 1, "assignee_stations": 1 if ticket["assignee_id"] else 0, "reopens": 0,
           "replies": sum(1 for comment in comments_of(ticket)[1:] if comment["public"]),
           "assignee_updated_at": None, "requester_updated_at": iso(at), "status_updated_at": ticket["updated_at"],
           "initially_assigned_at": iso(at) if ticket["assignee_id"] else None,
           "assigned_at": iso(at) if ticket["assignee_id"] else None,
           "solved_at": ticket["updated_at"] if ticket["status"] in ("solved", "closed") else None,
           "latest_comment_added_at": ticket["_audits"][-1]["created_at"], "custom_status_updated_at": ticket["updated_at"],
           "reply_time_in_seconds": {"calendar": spell(86400)["calendar"]}, **{name: spell(5000) for name in TIMES}}
    row["updated_at"] = ticket["updated_at"]
    ticket["_metrics"] = world.add("metrics", row, at)
    for metric in ("reply_time", "requester_wait_time", "resolution_time"):
        add_metric_event(world, ticket, metric, "activate", at)
    if ticket["status"] in ("solved", "closed"):
        add_metric_event(world, ticket, "resolution_time", "fulfill", ticket["_stamp"])


def add_metric_event(world, ticket, metric, kind, at):
    row = world.add("metric_events", {"ticket_id": ticket["id"], "metric": metric, "instance_id": 1, "type": kind, "time": iso(at)},
                    at)
    if kind == "fulfill":
        row["status"] = {"calendar": 60, "business": 20}
    del row["created_at"], row["updated_at"]


def update_metrics(world, ticket, before, at):
    row = ticket["_metrics"]
    row["updated_at"] = iso(at)
    if before["status"] != ticket["status"]:
        row["status_updated_at"] = iso(at)
        if ticket["status"] == "solved":
            row["solved_at"] = iso(at)
            add_metric_event(world, ticket, "resolution_time", "fulfill", at)
        elif before["status"] == "solved":
            row["reopens"] += 1
    world.tables["metrics"].changed()


def seeded(world, random, at, end, requester, assignee_id, given):
    """One ticket of the past with a few audits; its id."""
    from .names import BODIES
    ticket = world.add("tickets", blank(world), at)
    text = random.choice(BODIES) or "(empty)"
    ticket.update(subject=given["subject"], raw_subject=given["subject"], description=text, requester_id=requester["id"],
                  submitter_id=requester["id"], assignee_id=assignee_id, organization_id=requester["organization_id"],
                  priority=given["priority"], type=given["type"], external_id=given["external_id"])
    apply(world, ticket, {"tags": given["tags"]}, given["custom"])
    add_audit(world, ticket, requester["id"], [comment_event(world, ticket, requester["id"], text, True)] + [
        {"id": world.new_id("events"), "type": "Create", "field_name": name, "value": as_text(ticket[name])}
        for name in AUDITED if ticket[name] not in (None, [])], at)
    last = at
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        last = min(end, last + random.choice((0, 1, 300, 86400)))
        author = random.choice((requester["id"], assignee_id or requester["id"]))
        add_audit(world, ticket, author, [comment_event(world, ticket, author, random.choice(BODIES), random.random() < 0.8)], last)
    if given["status"] != "new":
        last = min(end, last + random.choice((0, 60, 7200)))
        before = dict(ticket)
        ticket["status"] = given["status"]
        add_audit(world, ticket, assignee_id or world.admin_id, change_events(world, before, ticket), last)
    ticket["updated_at"] = iso(last)
    ticket["_stamp"] = ticket["generated_timestamp"] = last
    world.tables["tickets"].changed()
    index(world, ticket)
    add_metrics(world, ticket, at, random)
    return ticket["id"]
