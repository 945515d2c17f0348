# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Users and their identities: made, changed, matched, deleted, by Zendesk's rules. Functions over the world, no HTTP."""

from server.clock import iso

from . import checks, companies
from .errors import Denied, Invalid, NotFound

ROLES = ("end-user", "agent", "admin")
DECLARED = {
    "name": "string", "email": "string", "external_id": "string", "phone": "string", "alias": "string", "details": "string",
    "notes": "string", "role": ROLES, "custom_role_id": "integer", "organization_id": "integer", "organization": "object",
    "tags": "tags", "user_fields": "object", "verified": "boolean", "skip_verify_email": "boolean", "suspended": "boolean",
    "locale": "string", "locale_id": "integer", "time_zone": "string", "iana_time_zone": "string", "signature": "string",
    "ticket_restriction": ("organization", "groups", "assigned", "requested", None), "default_group_id": "integer",
    "only_private_comments": "boolean", "restricted_agent": "boolean", "moderator": "boolean", "remote_photo_url": "string",
    "shared_phone_number": "boolean", "identities": "objects", "id": "integer", "agent_brand_ids": "integers",
    "organization_ids": "integers",
}
# Kept as they are given; the others have rules of their own.
PLAIN = ("phone", "alias", "details", "notes", "suspended", "locale", "locale_id", "time_zone", "iana_time_zone", "signature",
         "ticket_restriction", "default_group_id", "only_private_comments", "restricted_agent", "moderator", "custom_role_id",
         "shared_phone_number", "verified")
BLANK = {
    "name": None, "email": None, "time_zone": "Berlin", "iana_time_zone": "Europe/Berlin", "phone": None,
    "shared_phone_number": None, "photo": None, "locale_id": 1, "locale": "en-US", "organization_id": None, "role": "end-user",
    "verified": False, "external_id": None, "tags": [], "alias": None, "active": True, "shared": False, "shared_agent": False,
    "last_login_at": None, "two_factor_auth_enabled": False, "signature": None, "details": None, "notes": None, "role_type": None,
    "custom_role_id": None, "moderator": False, "ticket_restriction": "requested", "only_private_comments": False,
    "restricted_agent": True, "suspended": False, "default_group_id": None, "report_csv": False,
}


def blank(world):
    fields = {key: False if field["type"] == "checkbox" else None for key, field in world.fields("users").items()}
    return {**BLANK, "tags": [], "user_fields": fields, "_identities": [], "_memberships": []}


def add_identity(world, user, value, primary, verified, at=None, kind="email"):
    at = world.now() if at is None else at
    row = world.add("identities", {
        "user_id": user["id"], "type": kind, "value": value, "verified": verified, "primary": primary,
        "created_at": iso(at), "updated_at": iso(at), "undeliverable_count": 0, "deliverable_state": "deliverable"}, at)
    user["_identities"].append(row)
    if kind == "email":
        world.user_by_email[value] = user["id"]
        if primary:
            user["email"] = value
    return row


def drop_identity(world, user, row):
    user["_identities"].remove(row)
    world.remove("identities", row["id"])
    if row["type"] == "email":
        world.user_by_email.pop(row["value"], None)


def set_external(world, user, external_id):
    """Unique in whatever case; the case is rewritten."""
    old, new = user["external_id"], external_id
    if new is not None:
        owner = world.user_with_external(new)
        if owner is not None and owner is not user:
            raise Invalid({"external_id": [(f"External: {new} has already been taken", "DuplicateValue")]})
    if old is not None:
        world.user_by_external.pop(old.lower(), None)
    if new is not None:
        world.user_by_external[new.lower()] = user["id"]
    user["external_id"] = new


def check(world, user, body, creating, upserting):
    """All that can be wrong with a body, before anything is changed. Gives (emails, custom field values)."""
    checks.members(body, DECLARED, fixed=("name",))
    if creating and not (body.get("name") or "").strip():
        raise Invalid({"name": [("Name: cannot be blank", "BlankValue")]})
    if "name" in body and not body["name"].strip():
        raise Invalid({"name": [("Name: is too short (minimum is 1 characters)", "ValueTooShort")]})
    emails = [checks.email(body["email"])] if body.get("email") is not None else []
    for identity in body.get("identities") or ():
        if set(identity) - {"type", "value", "verified", "primary"} or "value" not in identity:
            raise Invalid({"identities": [("Identities: is not valid", "InvalidValue")]})
        if identity.get("type", "email") == "email":
            emails.append(checks.email(identity["value"]))
    for address in emails:
        owner = world.user_by_email.get(address)
        if owner is not None and (user is None or owner != user["id"]):
            raise Invalid({"email": [(f"Email: {address} is already being used by another user", "DuplicateValue")]})
    if body.get("external_id") is not None:
        owner = world.user_with_external(body["external_id"])
        if owner is not None and owner is not user:
            raise Invalid({"external_id": [(f"External: {body['external_id']} has already been taken", "DuplicateValue")]})
    if body.get("organization_id") is not None:
        companies.living(world, body["organization_id"])
    if body.get("organization") and not str(body["organization"].get("name") or "").strip():
        raise Invalid({"organization": [("Organization: is invalid", "InvalidValue")]})
    if upserting and user is not None and user["role"] != "end-user" and body.get("role", user["role"]) != user["role"]:
        raise Denied("The role of an agent or admin cannot be changed this way")
    return emails, custom_values(world, "users", body.get("user_fields"))


def custom_values(world, kind, given):
    """Keys that do not exist are ignored, as Zendesk does, but counted; values that are wrong are refused."""
    fields, values = world.fields(kind), {}
    for key, value in (given or {}).items():
        if key not in fields:
            world.ignored[f"{kind}.{key}"] = world.ignored.get(f"{kind}.{key}", 0) + 1
            continue
        values[key] = checks.custom_value(fields[key], value, world)
    return values


def apply(world, user, body, values):
    """Changes what differs; True when anything did."""
    before = {name: value for name, value in user.items() if name[0] != "_"}
    before["tags"], before["user_fields"] = list(user["tags"]), dict(user["user_fields"])
    if "name" in body:
        user["name"] = " ".join(body["name"].split())
    for name in PLAIN:
        if name in body:
            user[name] = body[name]
    if body.get("role") is not None:
        user["role"] = body["role"]
        user["restricted_agent"] = body["role"] == "end-user"
    if "external_id" in body:
        set_external(world, user, body["external_id"])
    if "tags" in body:
        user["tags"] = checks.tags(body["tags"] or [])
    set_fields_and_tags(world, "users", user, "user_fields", values)
    if body.get("organization"):
        companies.join_by_name(world, user, body["organization"].get("name"))
    if "organization_id" in body:
        companies.set_default(world, user, body["organization_id"])
    return before != {name: value for name, value in user.items() if name[0] != "_"}


def set_fields_and_tags(world, kind, record, member, values):
    """An option of a dropdown is a tag of the record as well."""
    fields = world.fields(kind)
    tags = set(record["tags"])
    for key, value in values.items():
        if fields[key]["type"] in ("dropdown", "multiselect"):
            old = record[member].get(key)
            tags -= set(old if isinstance(old, list) else [old]) - {None}
            tags |= set(value if isinstance(value, list) else [value]) - {None}
        if fields[key]["type"] == "checkbox" and fields[key]["tag"]:
            (tags.add if value else tags.discard)(fields[key]["tag"])
        record[member][key] = value
    record["tags"] = sorted(tags)


def create(world, body):
    if "id" in body:
        raise Invalid({"id": [("Id: cannot be given", "InvalidValue")]})
    emails, values = check(world, None, body, True, False)
    user = world.add("users", blank(world))
    apply(world, user, body, values)
    for number, address in enumerate(emails):
        add_identity(world, user, address, number == 0, bool(body.get("verified")))
    if emails and not body.get("skip_verify_email") and not body.get("verified"):
        world.mail(emails[0], "verify")
    world.touch("users", user)
    return user


def update(world, user, body, upserting=False):
    """Gives True when something changed. Another email becomes one more identity; the primary stays."""
    if not user["active"]:
        raise NotFound
    emails, values = check(world, user, body, False, upserting)
    changed = apply(world, user, body, values)
    for address in emails:
        if address not in [row["value"] for row in user["_identities"]]:
            primary = user["email"] is None
            add_identity(world, user, address, primary, bool(body.get("verified")))
            changed = True
            if not body.get("skip_verify_email"):
                world.mail(address, "verify")
    if changed:
        world.touch("users", user)
    return changed


def match(world, body):
    """The user that create_or_update means: by external_id first, else by email."""
    found = None
    if body.get("external_id") is not None:
        found = world.user_with_external(body["external_id"])
    if found is None and isinstance(body.get("email"), str):
        found = world.get("users", world.user_by_email.get(body["email"].lower()))
    return found


def create_or_update(world, body):
    """(user, what became of it: created, updated, unchanged)."""
    if not isinstance(body.get("external_id"), (str, type(None))):
        checks.members(body, DECLARED)
    if body.get("external_id") is None and body.get("email") is None:
        if not body.get("name"):
            raise Invalid({"name": [("Name: cannot be blank", "BlankValue")]})
    user = match(world, body)
    if user is None:
        return create(world, body), "created"
    return user, "updated" if update(world, user, body, True) else "unchanged"


def delete(world, user):
    """Soft: it stays in exports with active false, and leaves its address and external id free."""
    if not user["active"]:
        raise NotFound
    if user["id"] == world.admin_id:
        raise Denied("You cannot delete yourself")
    for row in list(user["_identities"]):
        drop_identity(world, user, row)
    for row in list(user["_memberships"]):
        companies.leave(world, row)
    if user["external_id"] is not None:
        world.user_by_external.pop(user["external_id"].lower(), None)
    user["active"] = False
    world.touch("users", user)


def delete_for_good(world, user):
    if user["active"] or user.get("_permanent"):
        raise NotFound
    user.update(name="Permanently Deleted User", email=None, phone=None, external_id=None, notes=None, details=None, alias=None,
                photo=None, signature=None, tags=[], _permanent=True, user_fields={key: None for key in user["user_fields"]})
    world.touch("users", user)


def make_primary(world, user, identity):
    for row in user["_identities"]:
        if row["type"] == "email":
            row["primary"] = row is identity
    user["email"] = identity["value"]
    world.tables["identities"].changed()
    world.touch("users", user)
