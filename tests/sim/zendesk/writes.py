# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Requests that write: single records and bulk jobs of users, organizations, memberships, tickets, custom fields."""

import hashlib

from server import Answer, Route

from . import checks, companies, people, seed, tickets
from .errors import Conflict, Denied, Invalid, NotFound, bad_request, forbidden
from .paging import ids

IDEMPOTENCY_SECONDS = 2 * 3600


def answered(handler):
    """What a rule of the records refuses becomes Zendesk's answer."""
    def run(request):
        try:
            return handler(request)
        except (Invalid, NotFound, Denied, Conflict) as problem:
            raise problem.refusal() from None
    return run


class Writes:
    def __init__(self, simulator):
        self.simulator, self.world, self.jobs = simulator, simulator.world, simulator.jobs
        self.keys = {}  # Idempotency-Key -> (until, digest of the body, answer)

    def routes(self):
        def users(method, path, handler, query=(), **options):
            return Route(method, "/api/v2/" + path, answered(handler), query, resource="users", **options)

        def organizations(method, path, handler, query=(), **options):
            return Route(method, "/api/v2/" + path, answered(handler), query, resource="organizations", **options)

        def ticket(method, path, handler, query=(), **options):
            return Route(method, "/api/v2/" + path, answered(handler), query, resource="tickets", **options)

        named = ("ids", "external_ids")
        made = [
            users("POST", "users", self.create_user), users("POST", "users/create_or_update", self.upsert_user),
            users("PUT", "users/{id:int}", self.update_user), users("DELETE", "users/{id:int}", self.delete_user),
            users("POST", "users/create_many", self.create_users),
            users("POST", "users/create_or_update_many", self.upsert_users),
            users("PUT", "users/update_many", self.update_users, named),
            users("DELETE", "users/destroy_many", self.delete_users, named),
            users("DELETE", "deleted_users/{id:int}", self.delete_user_for_good, admin=True),
            users("POST", "users/{id:int}/identities", self.add_identity),
            users("PUT", "users/{id:int}/identities/{identity:int}/make_primary", self.make_primary),
            users("PUT", "users/{id:int}/identities/{identity:int}/verify", self.verify_identity),
            users("DELETE", "users/{id:int}/identities/{identity:int}", self.delete_identity),
            organizations("POST", "organizations", self.create_organization, admin=True),
            organizations("POST", "organizations/create_or_update", self.upsert_organization, admin=True),
            organizations("PUT", "organizations/{id:int}", self.update_organization),
            organizations("DELETE", "organizations/{id:int}", self.delete_organization, admin=True),
            organizations("POST", "organizations/create_many", self.create_organizations, admin=True),
            organizations("PUT", "organizations/update_many", self.update_organizations, named, admin=True),
            organizations("DELETE", "organizations/destroy_many", self.delete_organizations, named, admin=True),
            organizations("POST", "organization_memberships", self.create_membership),
            organizations("DELETE", "organization_memberships/{id:int}", self.delete_membership),
            organizations("POST", "organization_memberships/create_many", self.create_memberships),
            organizations("DELETE", "organization_memberships/destroy_many", self.delete_memberships, ("ids",)),
            users("PUT", "users/{id:int}/organization_memberships/{membership:int}/make_default", self.default_membership),
            users("POST", "group_memberships", self.create_group_membership, admin=True),
            users("DELETE", "group_memberships/{id:int}", self.delete_group_membership, admin=True),
            users("POST", "group_memberships/create_many", self.create_group_memberships, admin=True),
            users("DELETE", "group_memberships/destroy_many", self.delete_group_memberships, ("ids",), admin=True),
            users("PUT", "users/{id:int}/organizations/{organization:int}/make_default", self.default_organization),
            users("DELETE", "users/{id:int}/organizations/{organization:int}", self.leave_organization),
            ticket("POST", "tickets", self.create_ticket), ticket("PUT", "tickets/{id:int}", self.update_ticket),
            ticket("DELETE", "tickets/{id:int}", self.delete_ticket),
            ticket("POST", "tickets/create_many", self.create_tickets),
            ticket("PUT", "tickets/update_many", self.update_tickets, ("ids",)),
            ticket("DELETE", "tickets/destroy_many", self.delete_tickets, ("ids",)),
            ticket("POST", "imports/tickets", self.import_ticket, ("archive_immediately",), admin=True),
            ticket("POST", "imports/tickets/create_many", self.import_tickets, ("archive_immediately",), admin=True),
        ]
        for table in ("tickets", "users", "organizations"):
            made += [Route(method, f"/api/v2/{table}/{{id:int}}/tags", answered(
                lambda request, table=table: self.tags(request, table)), (), resource=table)
                for method in ("GET", "POST", "PUT", "DELETE")]
        for kind, table in (("users", "user_fields"), ("organizations", "organization_fields"), ("tickets", "ticket_fields")):
            made += [Route("POST", "/api/v2/" + table, answered(
                         lambda request, kind=kind, table=table: self.create_field(request, kind, table)), admin=True),
                     Route("DELETE", f"/api/v2/{table}/{{id:int}}", answered(
                         lambda request, kind=kind, table=table: self.delete_field(request, kind, table)), admin=True)]
        return made

    # ---- common to all ----

    def became(self, request, number, what):
        request.rows = [{"index": 0, "id": number, "became": what}]

    def user(self, request):
        row = self.world.get("users", request.params["id"])
        if row is None or not row["active"]:
            raise NotFound
        return row

    def bulk_people(self):
        if not self.simulator.settings["bulk_users"]:
            raise forbidden("You do not have access to this page. Bulk user import is not enabled for this account.")

    def targets(self, request, table):
        """The records that `ids` or `external_ids` of a query name: [id, or text of an external id]."""
        if ("ids" in request.query) == ("external_ids" in request.query):
            raise bad_request("ParameterMissing", "either ids or external_ids is needed")
        if "ids" in request.query:
            return ids(request, "ids")
        return [text for text in request.query["external_ids"].split(",") if text]

    def find(self, table, named):
        if isinstance(named, int):
            row = self.world.get(table, named)
        elif table == "users":
            row = self.world.user_with_external(named)
        else:
            row = self.world.organization_with_external(named)
        if row is None or not row.get("active", True) or row.get("deleted_at"):
            raise NotFound
        return row

    def update_many(self, request, table, singular, update):
        """Either an array of records that say which they are, or one record for all that the query names."""
        if request.query:
            same = checks.wrapped(request, singular)
            items = [{"id": named, "_same": same} for named in self.targets(request, table)]
        else:
            items = checks.wrapped(request, table, list)

        def work(item):
            if not isinstance(item, dict):
                raise Invalid({"base": ["is not an object"]})
            body = dict(item.get("_same", item))
            named = item.get("id") if item.get("id") is not None else item.get("external_id")
            if named is None:
                raise Invalid({"id": [("Id: cannot be blank", "BlankValue")]})
            row = self.find(table, named)
            return row["id"], "updated" if update(row, body) else "unchanged"
        return self.jobs.submit(request, f"Bulk Update {singular.capitalize()}", "update", items, work)

    def delete_many(self, request, table, kind, delete):
        def work(named):
            row = self.find(table, named)
            delete(row)
            return row["id"], "deleted"
        return self.jobs.submit(request, kind, "delete", self.targets(request, table), work)

    def create_many(self, request, table, kind, create):
        def work(item):
            if not isinstance(item, dict):
                raise Invalid({"base": ["is not an object"]})
            return create(item)
        return self.jobs.submit(request, kind, "create", checks.wrapped(request, table, list), work)

    # ---- users ----

    def user_answer(self, request, status, user, became):
        self.became(request, user["id"], became)
        return Answer(status, {"user": self.world.shown("users", user, request.base)})

    def create_user(self, request):
        return self.user_answer(request, 201, people.create(self.world, checks.wrapped(request, "user")), "created")

    def upsert_user(self, request):
        user, became = people.create_or_update(self.world, checks.wrapped(request, "user"))
        return self.user_answer(request, 201 if became == "created" else 200, user, became)

    def update_user(self, request):
        body, user = checks.wrapped(request, "user"), self.user(request)
        self.simulator.limits.endpoint(request, "user_update", user["id"])
        return self.user_answer(request, 200, user, "updated" if people.update(self.world, user, body) else "unchanged")

    def delete_user(self, request):
        user = self.user(request)
        people.delete(self.world, user)
        return self.user_answer(request, 200, user, "deleted")

    def delete_user_for_good(self, request):
        user = self.world.get("users", request.params["id"])
        if user is None:
            raise NotFound
        people.delete_for_good(self.world, user)
        self.became(request, user["id"], "deleted for good")
        return Answer(200, {"deleted_user": self.simulator.reads.deleted(user, request.base)})

    def create_users(self, request):
        self.bulk_people()
        return self.create_many(request, "users", "Bulk Create User",
                                lambda item: (people.create(self.world, item)["id"], "created"))

    def upsert_users(self, request):
        self.bulk_people()

        def work(item):
            user, became = people.create_or_update(self.world, item)
            return user["id"], became
        return self.create_many(request, "users", "Bulk Create Or Update User", work)

    def update_users(self, request):
        self.bulk_people()
        return self.update_many(request, "users", "user", lambda row, body: people.update(self.world, row, body))

    def delete_users(self, request):
        return self.delete_many(request, "users", "Bulk Delete User", lambda row: people.delete(self.world, row))

    # ---- identities ----

    def identity(self, request):
        user = self.user(request)
        found = next((row for row in user["_identities"] if row["id"] == request.params["identity"]), None)
        if found is None:
            raise NotFound
        return user, found

    def add_identity(self, request):
        user, body = self.user(request), checks.wrapped(request, "identity")
        checks.members(body, {"type": ("email", "phone_number", "twitter", "facebook", "google"), "value": "string", "primary": "boolean",
                              "verified": "boolean", "skip_verify_email": "boolean"}, fixed=("type", "value"))
        if "value" not in body:
            raise Invalid({"value": [("Value: cannot be blank", "BlankValue")]})
        kind, value = body.get("type", "email"), body.get("value")
        if kind == "email":
            value = checks.email(value)
            if value in self.world.user_by_email:
                raise Invalid({"value": [(f"Email: {value} is already being used by another user", "DuplicateValue")]})
        row = people.add_identity(self.world, user, value, False, bool(body.get("verified")), kind=kind)
        if body.get("primary"):
            people.make_primary(self.world, user, row)
        self.world.touch("users", user)
        self.became(request, user["id"], "updated")
        return Answer(201, {"identity": self.world.shown("identities", row, request.base)})

    def make_primary(self, request):
        user, row = self.identity(request)
        if row["type"] != "email":
            raise Invalid({"base": ["Only an email can be the primary identity"]})
        people.make_primary(self.world, user, row)
        self.became(request, user["id"], "updated")
        return Answer(200, {"identities": [self.world.shown("identities", one, request.base) for one in user["_identities"]]})

    def verify_identity(self, request):
        user, row = self.identity(request)
        row["verified"] = True
        self.world.touch("users", user)
        return Answer(200, {"identity": self.world.shown("identities", row, request.base)})

    def delete_identity(self, request):
        user, row = self.identity(request)
        if row["primary"] and any(other["type"] == "email" for other in user["_identities"] if other is not row):
            raise Invalid({"base": ["Cannot delete the primary identity"]})
        people.drop_identity(self.world, user, row)
        if row["primary"]:
            user["email"] = None
        self.world.touch("users", user)
        self.became(request, user["id"], "updated")
        return Answer(204)

    # ---- organizations and memberships ----

    def organization_answer(self, request, status, row, became):
        self.became(request, row["id"], became)
        return Answer(status, {"organization": self.world.shown("organizations", row, request.base)})

    def create_organization(self, request):
        return self.organization_answer(request, 201, companies.create(self.world, checks.wrapped(request, "organization")), "created")

    def upsert_organization(self, request):
        row, became = companies.create_or_update(self.world, checks.wrapped(request, "organization"))
        return self.organization_answer(request, 201 if became == "created" else 200, row, became)

    def update_organization(self, request):
        body, row = checks.wrapped(request, "organization"), self.find("organizations", request.params["id"])
        return self.organization_answer(request, 200, row, "updated" if companies.update(self.world, row, body) else "unchanged")

    def delete_organization(self, request):
        row = self.find("organizations", request.params["id"])
        companies.delete(self.world, row)
        self.became(request, row["id"], "deleted")
        return Answer(204)

    def create_organizations(self, request):
        return self.create_many(request, "organizations", "Bulk Create Organization",
                                lambda item: (companies.create(self.world, item)["id"], "created"))

    def update_organizations(self, request):
        return self.update_many(request, "organizations", "organization",
                                lambda row, body: companies.update(self.world, row, body))

    def delete_organizations(self, request):
        return self.delete_many(request, "organizations", "Bulk Delete Organization",
                                lambda row: companies.delete(self.world, row))

    def join(self, body):
        checks.members(body, {"user_id": "integer", "organization_id": "integer", "default": "boolean", "view_tickets": "boolean"})
        user = self.world.get("users", body.get("user_id"))
        if user is None or not user["active"]:
            raise Invalid({"user": [("User: cannot be blank", "BlankValue")]})
        if body.get("organization_id") is None:
            raise Invalid({"organization": [("Organization: cannot be blank", "BlankValue")]})
        row = companies.join(self.world, user, body["organization_id"], body.get("default"))
        self.world.touch("users", user)
        return row

    def create_membership(self, request):
        row = self.join(checks.wrapped(request, "organization_membership"))
        self.became(request, row["id"], "created")
        return Answer(201, {"organization_membership": self.world.shown("organization_memberships", row, request.base)})

    def create_memberships(self, request):
        return self.create_many(request, "organization_memberships", "Bulk Create Organization Membership",
                                lambda item: (self.join(item)["id"], "created"))

    def delete_membership(self, request):
        companies.leave(self.world, self.find("organization_memberships", request.params["id"]))
        self.became(request, request.params["id"], "deleted")
        return Answer(204)

    def delete_memberships(self, request):
        return self.delete_many(request, "organization_memberships", "Bulk Delete Organization Membership",
                                lambda row: companies.leave(self.world, row))

    def default_membership(self, request):
        user = self.user(request)
        row = next((row for row in user["_memberships"] if row["id"] == request.params["membership"]), None)
        if row is None:
            raise NotFound
        companies.make_default(self.world, user, row)
        return Answer(200, {"organization_memberships": [self.world.shown("organization_memberships", one, request.base)
                                                         for one in user["_memberships"]]})

    def join_group(self, body):
        """Only agents and admins are in groups."""
        checks.members(body, {"user_id": "integer", "group_id": "integer", "default": "boolean"})
        user, group = self.world.get("users", body.get("user_id")), self.world.get("groups", body.get("group_id"))
        if user is None or not user["active"] or user["role"] == "end-user":
            raise Invalid({"user": [("User: must be an agent", "InvalidValue")]})
        if group is None or group["deleted"]:
            raise Invalid({"group": [("Group: is invalid", "InvalidValue")]})
        same = [row for row in self.world.rows("group_memberships") if row["user_id"] == user["id"]]
        if any(row["group_id"] == group["id"] for row in same):
            raise Invalid({"user_id": [("User has already been taken", "DuplicateValue")]})
        return self.world.add("group_memberships", {"user_id": user["id"], "group_id": group["id"], "default": not same})

    def create_group_membership(self, request):
        row = self.join_group(checks.wrapped(request, "group_membership"))
        self.became(request, row["id"], "created")
        return Answer(201, {"group_membership": self.world.shown("group_memberships", row, request.base)})

    def create_group_memberships(self, request):
        return self.create_many(request, "group_memberships", "Bulk Create Group Membership",
                                lambda item: (self.join_group(item)["id"], "created"))

    def delete_group_membership(self, request):
        self.world.remove("group_memberships", self.find("group_memberships", request.params["id"])["id"])
        self.became(request, request.params["id"], "deleted")
        return Answer(204)

    def delete_group_memberships(self, request):
        return self.delete_many(request, "group_memberships", "Bulk Delete Group Membership",
                                lambda row: self.world.remove("group_memberships", row["id"]))

    def membership_of(self, request):
        user = self.user(request)
        row = next((row for row in user["_memberships"] if row["organization_id"] == request.params["organization"]), None)
        if row is None:
            raise NotFound
        return user, row

    def default_organization(self, request):
        user, row = self.membership_of(request)
        companies.make_default(self.world, user, row)
        return Answer(200, {"organization_memberships": [self.world.shown("organization_memberships", one, request.base)
                                                         for one in user["_memberships"]]})

    def leave_organization(self, request):
        _, row = self.membership_of(request)
        companies.leave(self.world, row)
        self.became(request, row["id"], "deleted")
        return Answer(204)

    # ---- tickets ----

    def ticket(self, number):
        row = self.world.get("tickets", number)
        if row is None or row["status"] == "deleted":
            raise NotFound
        return row

    def shown_audit(self, audit):
        return {key: value for key, value in audit.items() if key[0] != "_"}

    def create_ticket(self, request):
        """With an Idempotency-Key the same body is done once in two hours, and answered alike."""
        key = request.header("idempotency-key")
        if key is None:
            return self.make_ticket(request)
        until, digest, answer = self.keys.get(key, (0, None, None))
        if until > self.simulator.clock.now():
            if digest != hashlib.sha256(request.raw).hexdigest():
                raise bad_request("IdempotentRequestError", "The request parameters do not match those of the first request with this "
                                                            "Idempotency-Key")
            request.rows = [{"index": 0, "became": "replayed"}]
            again = Answer(answer.status, answer.raw, [(name, value) for name, value in answer.headers
                                                       if name == "Location"], answer.content_type)
            again.headers.append(("x-idempotency-lookup", "hit"))
            return again
        answer = self.make_ticket(request)
        answer.headers.append(("x-idempotency-lookup", "miss"))
        self.keys[key] = (self.simulator.clock.now() + IDEMPOTENCY_SECONDS, hashlib.sha256(request.raw).hexdigest(), answer)
        return answer

    def make_ticket(self, request):
        ticket, audit = tickets.create(self.world, checks.wrapped(request, "ticket"), request.user["id"])
        self.became(request, ticket["id"], "created")
        return Answer(201, {"ticket": tickets.shown(self.world, ticket, request.base), "audit": self.shown_audit(audit)},
                      [("Location", f"{request.base}/api/v2/tickets/{ticket['id']}.json")])

    def update_ticket(self, request):
        body, ticket = checks.wrapped(request, "ticket"), self.ticket(request.params["id"])
        self.simulator.limits.endpoint(request, "ticket_update", (ticket["id"], request.user["id"]))
        audit = tickets.update(self.world, ticket, body, request.user["id"])
        self.became(request, ticket["id"], "updated" if audit else "unchanged")
        return Answer(200, {"ticket": tickets.shown(self.world, ticket, request.base),
                            "audit": self.shown_audit(audit) if audit else None})

    def delete_ticket(self, request):
        self.simulator.limits.endpoint(request, "ticket_delete")
        tickets.delete(self.world, self.ticket(request.params["id"]))
        self.became(request, request.params["id"], "deleted")
        return Answer(204)

    def create_tickets(self, request):
        who = request.user["id"]
        return self.create_many(request, "tickets", "Bulk Create Ticket",
                                lambda item: (tickets.create(self.world, item, who)[0]["id"], "created"))

    def update_tickets(self, request):
        who = request.user["id"]
        return self.update_many(request, "tickets", "ticket",
                                lambda row, body: tickets.update(self.world, self.ticket(row["id"]), body, who))

    def delete_tickets(self, request):
        return self.delete_many(request, "tickets", "Bulk Delete Ticket",
                                lambda row: tickets.delete(self.world, self.ticket(row["id"])))

    def import_ticket(self, request):
        ticket, _ = tickets.create(self.world, checks.wrapped(request, "ticket"), request.user["id"], importing=True)
        self.became(request, ticket["id"], "created")
        return Answer(201, {"ticket": tickets.shown(self.world, ticket, request.base)})

    def import_tickets(self, request):
        who = request.user["id"]
        return self.create_many(request, "tickets", "Bulk Import Ticket",
                                lambda item: (tickets.create(self.world, item, who, importing=True)[0]["id"], "created"))

    # ---- tags ----

    def tags(self, request, table):
        """POST sets, PUT adds, DELETE removes."""
        row = self.ticket(request.params["id"]) if table == "tickets" else self.find(table, request.params["id"])
        if request.method == "GET":
            return Answer(200, {"tags": row["tags"]})
        body = checks.body_of(request)
        if not isinstance(body, dict) or set(body) - {"tags", "safe_update", "updated_stamp"} or not checks.TYPES["tags"](
                body.get("tags")):
            raise bad_request("ParameterMissing", "Required parameter missing: tags")
        given, old = set(checks.tags(body["tags"])), set(row["tags"])
        new = sorted({"POST": given, "PUT": old | given, "DELETE": old - given}[request.method])
        changed = new != row["tags"]
        if table == "tickets":
            guard = {name: body[name] for name in ("safe_update", "updated_stamp") if name in body}
            changed = tickets.update(self.world, row, {"tags": new, **guard}, request.user["id"]) is not None
        elif changed:
            row["tags"] = new
            self.world.touch(table, row)
        self.became(request, row["id"], "updated" if changed else "unchanged")
        if request.method == "DELETE":
            return Answer(204)
        return Answer(201 if request.method == "POST" else 200, {"tags": row["tags"]})

    # ---- custom fields ----

    def create_field(self, request, kind, table):
        body = checks.wrapped(request, table[:-1])
        checks.members(body, {"key": "string", "type": tuple(checks.VALUES), "title": "string", "description": "string",
                              "regexp_for_validation": "string", "custom_field_options": "objects", "tag": "string",
                              "relationship_target_type": "string", "active": "boolean", "position": "integer"})
        if not body.get("title") or not body.get("type") or (kind != "tickets" and not body.get("key")):
            raise Invalid({"title": [("Title, type and key: cannot be blank", "BlankValue")]})
        if kind != "tickets" and any(row["key"] == body["key"] for row in self.world.rows(table)):
            raise Invalid({"key": [(f"Key: {body['key']} has already been taken", "DuplicateValue")]})
        options = tuple((one["name"], one["value"]) for one in body.get("custom_field_options") or ())
        row = seed.define(self.world, kind, body.get("key"), body["type"], body["title"], options=options, **{
            name: body[name] for name in ("regexp_for_validation", "tag", "relationship_target_type") if body.get(name)})
        self.simulator.fill_field(kind, row)
        self.became(request, row["id"], "created")
        return Answer(201, {table[:-1]: self.world.shown(table, row, request.base)})

    def delete_field(self, request, kind, table):
        row = self.world.get(table, request.params["id"])
        if row is None or not row.get("removable", True):
            raise NotFound
        self.simulator.drop_field(kind, row)
        return Answer(204)
