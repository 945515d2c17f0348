# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Lists and single records: everything that only reads, exports aside."""

from server import Answer, Route
from server.clock import iso

from . import tickets
from .errors import bad_request, not_found
from .paging import QUERY, ids, page_of

SIDELOADS = ("users", "groups", "organizations", "metric_sets", "brands")
USER_SIDELOADS = {"organizations", "identities", "groups", "roles"}
SORTS = {"id": lambda row: row["id"], "updated_at": lambda row: (row["_stamp"], row["id"]),
         "created_at": lambda row: (row["created_at"], row["id"])}


def sideloads(world, request, rows, asked):
    """The members beside the records that `include` asked for."""
    made, base = {}, request.base
    if "users" in asked:
        wanted = {row.get(name) for row in rows for name in ("requester_id", "submitter_id", "assignee_id", "author_id")} - {None}
        made["users"] = [world.shown("users", world.get("users", one), base) for one in sorted(wanted)]
    for name, member in (("groups", "group_id"), ("organizations", "organization_id"), ("brands", "brand_id")):
        if name in asked:
            wanted = {row.get(member) for row in rows} - {None}
            made[name] = [world.shown(name, world.get(name, one), base) for one in sorted(wanted)]
    if "metric_sets" in asked and not world.metric_sets_embedded:
        made["metric_sets"] = [world.shown("metrics", row["_metrics"], base) for row in rows]
    if "identities" in asked:
        made["identities"] = [world.shown("identities", one, base) for row in rows for one in row["_identities"]]
    return made


def ticket_shower(world, base, asked):
    """Where metric_sets stand is told differently by those who met them: beside the tickets, or inside each as `metric_set`."""
    if "metric_sets" in asked and world.metric_sets_embedded:
        return lambda row: {**tickets.shown(world, row, base), "metric_set": world.shown("metrics", row["_metrics"], base)}
    return lambda row: tickets.shown(world, row, base)


class Reads:
    """`gates` of the simulator say which of these lists a plan does not have."""

    def __init__(self, simulator):
        self.simulator, self.world = simulator, simulator.world

    def routes(self):
        plain = [self.listing(*one) for one in (
            # (path, table, resource, filters, which rows)
            ("groups", "groups", None, ("exclude_deleted",), self.groups),
            ("group_memberships", "group_memberships", "users", (), None),
            ("organization_memberships", "organization_memberships", "organizations", (), None),
            ("ticket_fields", "ticket_fields", None, ("locale", "creator"), None),
            ("ticket_forms", "ticket_forms", None, ("active", "end_user_visible", "fallback_to_default", "associated_to_brand"), None),
            ("user_fields", "user_fields", None, (), None),
            ("organization_fields", "organization_fields", None, (), None),
            ("brands", "brands", None, (), None),
            ("macros", "macros", "macros", ("access", "active", "category", "group_id", "only_viewable"), self.macros),
            ("satisfaction_ratings", "satisfaction_ratings", "satisfaction_ratings", ("score", "start_time", "end_time"),
             self.ratings),
            ("users", "users", "users", ("role", "role[]", "permission_set", "external_id"), self.users),
            ("organizations", "organizations", "organizations", (), self.organizations),
        )]
        return plain + [
            self.route("tickets", self.list_tickets, "tickets", QUERY + ("external_id",)),
            self.route("tickets/show_many", self.show_tickets, "tickets", ("ids", "include")),
            self.route("tickets/count", lambda request: self.count(request, "tickets"), "tickets"),
            self.route("tickets/{id:int}", self.show_ticket, "tickets", ("include",)),
            self.route("tickets/{id:int}/comments", self.comments, "tickets", QUERY + ("include_inline_images",)),
            self.route("tickets/{id:int}/audits", self.audits, "tickets", QUERY),
            self.route("tickets/{id:int}/metrics", self.metrics_of, "tickets"),
            self.route("ticket_metrics", self.ticket_metrics, "tickets", QUERY),
            self.route("ticket_audits", self.all_audits, "tickets", QUERY + ("limit",)),
            self.route("deleted_tickets", self.deleted_tickets, "tickets", QUERY),
            self.route("tags", self.tags, None, QUERY),
            self.route("macros/active", lambda request: self.page(request, "macros", "macros", [
                row for row in self.world.tables["macros"].by_id() if row["active"]]), "macros", QUERY),
            self.route("users/me", self.me, "users", ("include",)),
            self.route("users/count", lambda request: self.count(request, "users"), "users", ("role", "role[]")),
            self.route("users/show_many", lambda request: self.show_many(request, "users"), "users",
                       ("ids", "external_ids", "include")),
            self.route("users/search", self.search_users, "users", QUERY + ("query", "external_id")),
            self.route("users/{id:int}/identities", self.identities, "users", QUERY + ("type[]",)),
            self.route("users/{id:int}/organization_memberships", self.memberships_of, "users", QUERY),
            self.route("deleted_users", self.deleted_users, "users", QUERY),
            self.route("deleted_users/{id:int}", self.deleted_user, "users"),
            self.route("organizations/show_many", lambda request: self.show_many(request, "organizations"), "organizations",
                       ("ids", "external_ids")),
            self.route("organizations/search", self.search_organizations, "organizations", QUERY + ("external_id", "name")),
            self.route("organizations/count", lambda request: self.count(request, "organizations"), "organizations"),
            self.route("organizations/{id:int}/organization_memberships", self.memberships_in, "organizations", QUERY),
            self.route("organizations/{id:int}/users", self.users_in, "users", QUERY),
            self.route("account/settings", self.settings, None),
        ] + [self.route(f"{table}/{{id:int}}", lambda request, table=table: self.one(request, table), resource)
             for table, resource in (("users", "users"), ("organizations", "organizations"), ("groups", None), ("brands", None),
                                     ("group_memberships", "users"), ("organization_memberships", "organizations"),
                                     ("ticket_fields", None), ("ticket_forms", None), ("user_fields", None),
                                     ("organization_fields", None), ("macros", "macros"))]

    @staticmethod
    def route(path, handler, resource, query=()):
        return Route("GET", "/api/v2/" + path, handler, query, resource=resource, gate=path.split("/")[0])

    def listing(self, path, table, resource, filters, choose):
        def handler(request):
            rows = choose(request) if choose else self.world.tables[table].by_id()
            return self.page(request, path, table, rows)
        return self.route(path, handler, resource, QUERY + filters)

    def page(self, request, name, table, rows, show=None, key=None):
        asked = {part for part in request.query.get("include", "").split(",") if part}
        allowed = {"tickets": set(SIDELOADS), "users": USER_SIDELOADS, "group_memberships": {"users", "groups"},
                   "comments": {"users"}, "organization_memberships": {"users", "organizations"},
                   "satisfaction_ratings": {"statistics"}, "macros": {"usage_1h", "permissions"}}.get(name, set())
        if asked - allowed:
            raise bad_request("InvalidInclude", f"include does not take {', '.join(sorted(asked - allowed))} here")
        world, base = self.world, request.base
        if show is None:
            show = ticket_shower(world, base, asked) if table == "tickets" else lambda row: world.shown(table, row, base)
        if key is None:
            rows, key = self.sorted(request, rows)
        return page_of(request, name, rows, show, key, lambda chosen: sideloads(world, request, chosen, asked))

    @staticmethod
    def sorted(request, rows):
        """By id unless `sort` says another; descending for `-name`."""
        text = request.query.get("sort", "id")
        name = text.removeprefix("-")
        if name not in SORTS:
            raise bad_request("InvalidValue", f"sort does not take {text!r}")
        key = SORTS[name]
        if text == "id":
            return rows, key
        if not text.startswith("-"):
            return sorted(rows, key=key), key
        if name != "id" and any(part.startswith("page[") for part in request.query):
            raise bad_request("InvalidValue", f"sort does not take {text!r} with cursor pagination here")
        return sorted(rows, key=key, reverse=True), lambda row: -row["id"]

    # ---- which rows ----

    def groups(self, request):
        rows = self.world.tables["groups"].by_id()
        return [row for row in rows if not row["deleted"]] if request.query.get("exclude_deleted") == "true" else rows

    def macros(self, request):
        rows = self.world.tables["macros"].by_id()
        if "active" in request.query:
            return [row for row in rows if row["active"] == (request.query["active"] == "true")]
        return rows

    def ratings(self, request):
        """By the time of their last change. end_time must be older than a minute."""
        for name in ("start_time", "end_time"):
            if name in request.query and not request.query[name].isdecimal():
                raise bad_request("InvalidValue", f"{name}: is not a Unix time")
        until = int(request.query.get("end_time", 2 ** 40))
        if "end_time" in request.query and until > self.world.now() - 60:
            raise bad_request("InvalidValue", "end_time: must be older than 60 seconds")
        since, score = int(request.query.get("start_time", 0)), request.query.get("score")
        scores = {"received": ("good", "bad"), None: ("good", "bad", "offered")}.get(score, (score,))
        return [row for row in self.world.tables["satisfaction_ratings"].by_id()
                if since <= row["_stamp"] <= until and row["score"] in scores]

    def users(self, request):
        roles = {value for name, value in request.pairs if name in ("role", "role[]")}
        if roles - {"end-user", "agent", "admin"}:
            raise bad_request("InvalidValue", f"role does not take {', '.join(sorted(roles))}")
        rows = [row for row in self.world.tables["users"].by_id() if row["active"] and (not roles or row["role"] in roles)]
        if "external_id" in request.query:
            user = self.world.user_with_external(request.query["external_id"])
            return [row for row in rows if row is user]
        return rows

    def organizations(self, _):
        return [row for row in self.world.tables["organizations"].by_id() if not row["deleted_at"]]

    # ---- tickets ----

    def list_tickets(self, request):
        self.simulator.limits.endpoint(request, "tickets_index")
        if "external_id" in request.query:
            numbers = self.world.tickets_by_external.get(request.query["external_id"], ())
            rows = [self.world.get("tickets", one) for one in sorted(numbers)]
        else:
            rows = [row for row in self.world.tables["tickets"].by_id() if row["status"] != "deleted"]
        return self.page(request, "tickets", "tickets", rows)

    def ticket(self, request):
        row = self.world.get("tickets", request.params["id"])
        if row is None or row["status"] == "deleted":
            raise not_found()
        return row

    def show_ticket(self, request):
        row = self.ticket(request)
        asked = set(request.query.get("include", "").split(",")) & set(SIDELOADS)
        return Answer(200, {"ticket": ticket_shower(self.world, request.base, asked)(row),
                            **sideloads(self.world, request, [row], asked)})

    def show_tickets(self, request):
        rows = [self.world.get("tickets", one) for one in ids(request, "ids")]
        rows = [row for row in rows if row is not None and row["status"] != "deleted"]
        asked = set(request.query.get("include", "").split(",")) & set(SIDELOADS)
        return Answer(200, {"tickets": [*map(ticket_shower(self.world, request.base, asked), rows)],
                            "count": len(rows), "next_page": None, "previous_page": None, **sideloads(self.world, request, rows, asked)})

    def comments(self, request):
        return self.page(request, "comments", "tickets", tickets.comments_of(self.ticket(request)), lambda row: row,
                         lambda row: row["id"])

    def audits(self, request):
        ticket = self.ticket(request)
        return self.page(request, "audits", "audits", ticket["_audits"],
                         lambda row: {key: value for key, value in row.items() if key[0] != "_"}, lambda row: row["id"])

    def all_audits(self, request):
        """Newest first in pages of 100; audits of archived (closed) tickets are not in it."""
        rows = [row for row in self.world.tables["audits"].by_id()
                if self.world.get("tickets", row["ticket_id"])["status"] not in ("closed", "deleted")]
        rows.reverse()
        return self.page(request, "audits", "audits", rows, lambda row: {key: value for key, value in row.items() if key[0] != "_"},
                         lambda row: -row["id"])

    def metrics_of(self, request):
        return Answer(200, {"ticket_metric": self.world.shown("metrics", self.ticket(request)["_metrics"], request.base)})

    def ticket_metrics(self, request):
        rows = [row for row in self.world.tables["metrics"].by_id()
                if self.world.get("tickets", row["ticket_id"])["status"] not in ("deleted", "closed")]
        return self.page(request, "ticket_metrics", "metrics", rows)

    def deleted_tickets(self, request):
        self.simulator.limits.endpoint(request, "deleted_tickets")
        rows = [row for row in self.world.tables["tickets"].by_id() if row["status"] == "deleted"]
        return self.page(request, "deleted_tickets", "tickets", rows, lambda row: {
            "id": row["id"], "subject": row["subject"], "description": row["description"],
            "actor": {"id": self.world.admin_id, "name": self.world.get("users", self.world.admin_id)["name"]},
            "deleted_at": row["_deleted_at"], "previous_state": row["_previous_status"]})

    def tags(self, request):
        counts = {}
        for row in self.world.rows("tickets"):
            for tag in row["tags"] if row["status"] != "deleted" else ():
                counts[tag] = counts.get(tag, 0) + 1
        rows = [{"name": name, "count": count} for name, count in sorted(counts.items())]
        return self.page(request, "tags", "tags", rows, lambda row: row, lambda row: row["name"])

    # ---- people ----

    def me(self, request):
        return Answer(200, {"user": self.world.shown("users", request.user, request.base)})

    def one(self, request, table):
        row = self.world.get(table, request.params["id"])
        if row is None or row.get("deleted_at"):
            raise not_found()
        singular = {"group_memberships": "group_membership", "organization_memberships": "organization_membership"}.get(
            table, table[:-1])
        return Answer(200, {singular: self.world.shown(table, row, request.base)})

    def count(self, request, name):
        rows = {"users": self.users, "organizations": self.organizations,
                "tickets": lambda _: [row for row in self.world.rows("tickets") if row["status"] != "deleted"]}[name](request)
        return Answer(200, {"count": {"value": len(rows), "refreshed_at": iso(self.world.now())}})

    def show_many(self, request, table):
        if ("ids" in request.query) == ("external_ids" in request.query):
            raise bad_request("ParameterMissing", "either ids or external_ids is needed")
        if "ids" in request.query:
            rows = [self.world.get(table, one) for one in ids(request, "ids")]
        else:
            texts = [part for part in request.query["external_ids"].split(",") if part]
            if len(texts) > 100:
                raise bad_request("TooManyValues", "external_ids accepts at most 100 ids")
            find = self.world.user_with_external if table == "users" else self.world.organization_with_external
            rows = [find(text) for text in texts]
        rows = [row for row in rows if row is not None and row.get("active", True) and not row.get("deleted_at")]
        return Answer(200, {table: [self.world.shown(table, row, request.base) for row in rows], "count": len(rows),
                            "next_page": None, "previous_page": None})

    def search_users(self, request):
        """`external_id`, or a query of `email:...`, an address, or words of a name."""
        text = request.query.get("query", "").removeprefix("email:").strip('"').lower()
        if "external_id" in request.query:
            rows = self.users(request)
        elif "@" in text:
            user = self.world.get("users", self.world.user_by_email.get(text))
            rows = [user] if user else []
        elif text:
            rows = [row for row in self.users(request) if text in row["name"].lower()]
        else:
            raise bad_request("ParameterMissing", "query or external_id is needed")
        return self.page(request, "users", "users", rows)

    def search_organizations(self, request):
        if ("external_id" in request.query) == ("name" in request.query):
            raise bad_request("ParameterMissing", "either external_id or name is needed")
        if "external_id" in request.query:
            found = self.world.organization_with_external(request.query["external_id"])
            return self.page(request, "organizations", "organizations", [found] if found else [])
        number = self.world.organization_by_name.get(request.query["name"].lower())
        return self.page(request, "organizations", "organizations", [self.world.get("organizations", number)] if number else [])

    def living_user(self, request):
        row = self.world.get("users", request.params["id"])
        if row is None or not row["active"]:
            raise not_found()
        return row

    def identities(self, request):
        return self.page(request, "identities", "identities", self.living_user(request)["_identities"])

    def memberships_of(self, request):
        return self.page(request, "organization_memberships", "organization_memberships", self.living_user(request)["_memberships"])

    def organization(self, request):
        row = self.world.get("organizations", request.params["id"])
        if row is None or row["deleted_at"]:
            raise not_found()
        return row

    def memberships_in(self, request):
        number = self.organization(request)["id"]
        rows = [row for row in self.world.tables["organization_memberships"].by_id() if row["organization_id"] == number]
        return self.page(request, "organization_memberships", "organization_memberships", rows)

    def users_in(self, request):
        number = self.organization(request)["id"]
        rows = [row for row in self.world.tables["users"].by_id()
                if any(one["organization_id"] == number for one in row["_memberships"])]
        return self.page(request, "users", "users", rows)

    def deleted_users(self, request):
        rows = [row for row in self.world.tables["users"].by_id() if not row["active"]]
        return self.page(request, "deleted_users", "users", rows, lambda row: self.deleted(row, request.base))

    def deleted_user(self, request):
        row = self.world.get("users", request.params["id"])
        if row is None or row["active"]:
            raise not_found()
        return Answer(200, {"deleted_user": self.deleted(row, request.base)})

    @staticmethod
    def deleted(row, base):
        names = ("id", "name", "email", "created_at", "updated_at", "time_zone", "phone", "shared_phone_number", "photo", "locale_id",
                 "locale", "organization_id", "role", "active")
        return {**{name: row[name] for name in names}, "url": f"{base}/api/v2/deleted_users/{row['id']}.json"}

    def settings(self, request):
        return Answer(200, {"settings": {"tickets": {"tagging": True}, "user": {"tagging": True},
                                         "active_features": {"user_org_fields": True, "user_tagging": True}}})
