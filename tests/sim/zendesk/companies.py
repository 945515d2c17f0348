# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Organizations, and who is in which: memberships with their default. Functions over the world, no HTTP."""

from server.clock import iso

from . import checks
from .errors import Invalid, NotFound

DECLARED = {
    "id": "integer", "name": "string", "external_id": "string", "details": "string", "notes": "string", "group_id": "integer",
    "domain_names": "strings", "tags": "tags", "organization_fields": "object", "shared_tickets": "boolean",
    "shared_comments": "boolean",
}
PLAIN = ("details", "notes", "group_id", "domain_names", "shared_tickets", "shared_comments")
BLANK = {"name": None, "shared_tickets": False, "shared_comments": False, "external_id": None, "domain_names": [], "details": None,
         "notes": None, "group_id": None, "tags": [], "deleted_at": None}


def blank(world):
    fields = {key: False if field["type"] == "checkbox" else None for key, field in world.fields("organizations").items()}
    return {**BLANK, "domain_names": [], "tags": [], "organization_fields": fields}


def check(world, organization, body):
    checks.members(body, DECLARED, fixed=("name",))
    name = body.get("name")
    if organization is None and not (name or "").strip():
        raise Invalid({"name": [("Name: cannot be blank", "BlankValue")]})
    if name is not None:
        owner = world.organization_by_name.get(name.strip().lower())
        if owner is not None and (organization is None or owner != organization["id"]):
            raise Invalid({"name": [(f"Name: {name} has already been taken", "DuplicateValue")]})
    if body.get("external_id") is not None:
        owner = world.organization_with_external(body["external_id"])
        if owner is not None and owner is not organization:
            raise Invalid({"external_id": [(f"External: {body['external_id']} has already been taken", "DuplicateValue")]})
    if body.get("group_id") is not None and world.get("groups", body["group_id"]) is None:
        raise Invalid({"group": [("Group: is invalid", "InvalidValue")]})
    from .people import custom_values  # people needs this module, too
    return custom_values(world, "organizations", body.get("organization_fields"))


def apply(world, organization, body, values):
    from .people import set_fields_and_tags
    shown = {name: value for name, value in organization.items() if name[0] != "_"}
    before = {**shown, "tags": list(shown["tags"]), "organization_fields": dict(shown["organization_fields"])}
    if "name" in body:
        if organization["name"] is not None:
            world.organization_by_name.pop(organization["name"].lower(), None)
        organization["name"] = body["name"].strip()
        world.organization_by_name[organization["name"].lower()] = organization["id"]
    for name in PLAIN:
        if name in body:
            organization[name] = body[name] if body[name] is not None or name != "domain_names" else []
    if "external_id" in body:
        if organization["external_id"] is not None:
            world.organization_by_external.pop(organization["external_id"].lower(), None)
        organization["external_id"] = body["external_id"]
        if body["external_id"] is not None:
            world.organization_by_external[body["external_id"].lower()] = organization["id"]
    if "tags" in body:
        organization["tags"] = checks.tags(body["tags"] or [])
    set_fields_and_tags(world, "organizations", organization, "organization_fields", values)
    return before != {name: value for name, value in organization.items() if name[0] != "_"}


def create(world, body):
    if "id" in body:
        raise Invalid({"id": [("Id: cannot be given", "InvalidValue")]})
    values = check(world, None, body)
    organization = world.add("organizations", blank(world))
    apply(world, organization, body, values)
    return organization


def update(world, organization, body):
    values = check(world, organization, {name: value for name, value in body.items() if name != "id"})
    changed = apply(world, organization, body, values)
    if changed:
        world.touch("organizations", organization)
    return changed


def create_or_update(world, body):
    """Matched by id or external_id, never by name: a name that is taken is refused."""
    if "id" in body:
        organization = world.get("organizations", body["id"])
        if organization is None or organization["deleted_at"]:
            raise NotFound
    else:
        checks.members(body, DECLARED)
        organization = world.organization_with_external(body["external_id"]) if body.get("external_id") is not None else None
    if organization is None:
        return create(world, body), "created"
    return organization, "updated" if update(world, organization, body) else "unchanged"


def delete(world, organization):
    if organization["deleted_at"]:
        raise NotFound
    for row in [row for row in world.rows("organization_memberships") if row["organization_id"] == organization["id"]]:
        leave(world, row)
    world.organization_by_name.pop(organization["name"].lower(), None)
    if organization["external_id"] is not None:
        world.organization_by_external.pop(organization["external_id"].lower(), None)
    organization["deleted_at"] = iso(world.now())
    world.touch("organizations", organization)


# ---- memberships ----

def living(world, organization_id):
    found = world.get("organizations", organization_id)
    if found is None or found["deleted_at"]:
        raise Invalid({"organization_id": [("Organization: is invalid", "InvalidValue")]})
    return found


def join(world, user, organization_id, default=None, at=None):
    """The first membership of a user is the default; a new default takes it from the other."""
    living(world, organization_id)
    if any(row["organization_id"] == organization_id for row in user["_memberships"]):
        raise Invalid({"user_id": [("User has already been taken", "DuplicateValue")]})
    default = bool(default) or not user["_memberships"]
    row = world.add("organization_memberships", {
        "user_id": user["id"], "organization_id": organization_id, "default": False,
        "organization_name": world.get("organizations", organization_id)["name"], "view_tickets": True}, at)
    user["_memberships"].append(row)
    if default:
        make_default(world, user, row, at)
    return row


def make_default(world, user, membership, at=None):
    for row in user["_memberships"]:
        if row["default"] != (row is membership):
            row["default"] = row is membership
            world.touch("organization_memberships", row, at)
    user["organization_id"] = membership["organization_id"]
    world.touch("users", user, at)


def leave(world, membership):
    user = world.get("users", membership["user_id"])
    user["_memberships"].remove(membership)
    world.remove("organization_memberships", membership["id"])
    if membership["default"]:
        user["organization_id"] = None
        if user["_memberships"]:
            make_default(world, user, user["_memberships"][0])
        world.touch("users", user)


def set_default(world, user, organization_id):
    """What organization_id on a user does: null ends the default membership, a number joins and makes it the default."""
    if organization_id == user["organization_id"]:
        return
    if organization_id is None:
        leave(world, next(row for row in user["_memberships"] if row["default"]))
        return
    known = next((row for row in user["_memberships"] if row["organization_id"] == organization_id), None)
    if known:
        make_default(world, user, known)
    else:
        join(world, user, organization_id, True)


def join_by_name(world, user, name):
    number = world.organization_by_name.get(name.strip().lower())
    set_default(world, user, number if number is not None else create(world, {"name": name})["id"])
