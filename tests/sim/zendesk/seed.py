# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The account as a test finds it: linked records of all kinds, the same for the same seed, sizes and clock."""

import random

from server.clock import iso

from . import companies, names, people, tickets

DAY = 86400
OPTIONS = (("Gold", "tier_gold"), ("Silver ⭐", "tier_silver"), ("Bronze", "tier_bronze"))
FIELDS = (  # (key, type, title, more)
    ("note_text", "text", "Note", {}),
    ("long_text", "textarea", "Long text", {}),
    ("is_vip", "checkbox", "VIP?", {"tag": "is_vip"}),
    ("birthday", "date", "Birthday 🎂", {}),
    ("visits", "integer", "Visits", {}),
    ("ltv", "decimal", "Lifetime value", {}),
    ("plz", "regexp", "Postleitzahl", {"regexp_for_validation": r"\d{5}"}),
    ("tier", "dropdown", "Tier", {"options": OPTIONS}),
    ("interests", "multiselect", "Interests", {"options": (("Skiing", "int_ski"), ("Swimming", "int_swim"), ("読書", "int_read"))}),
    ("account_manager", "lookup", "Account manager", {"relationship_target_type": "zen:user"}),
)
SYSTEM_TICKET_FIELDS = (("subject", "Subject"), ("description", "Description"), ("status", "Status"), ("tickettype", "Type"),
                        ("priority", "Priority"), ("group", "Group"), ("assignee", "Assignee"))


def define(world, kind, key, type_, title, at=None, options=(), **more):
    """A definition of a custom field. `kind`: users, organizations, tickets."""
    table = {"users": "user_fields", "organizations": "organization_fields", "tickets": "ticket_fields"}[kind]
    at = world.now() if at is None else at
    if kind == "tickets" and type_ == "dropdown":
        type_ = "tagger"
    made = [{"id": world.new_id("options"), "name": name, "raw_name": name, "value": value, "position": number}
            for number, (name, value) in enumerate(options)]
    row = {"type": type_, "title": title, "raw_title": title, "description": "", "raw_description": "",
           "position": len(world.tables[table].rows), "active": True, "regexp_for_validation": more.get("regexp_for_validation"),
           "tag": more.get("tag")}
    if kind == "tickets":
        row.update(required=False, collapsed_for_agents=False, title_in_portal=title, raw_title_in_portal=title,
                   visible_in_portal=True, editable_in_portal=True, required_in_portal=False, agent_description=None,
                   removable=more.get("removable", True), key=None)
    else:
        row.update(key=key, system=False)
    if made or type_ in ("dropdown", "tagger", "multiselect"):
        row["custom_field_options"] = made
    if type_ == "lookup":
        row.update(relationship_target_type=more.get("relationship_target_type", "zen:user"),
                   relationship_filter={"all": [], "any": []})
    return world.add(table, row, at)


class Seeder:
    def __init__(self, world, seed, sizes):
        self.world, self.random, self.sizes = world, random.Random(seed), sizes
        self.end = world.now() - 600
        self.begin = self.end - 400 * DAY
        self.bulk = [self.random.randint(self.begin, self.end) for _ in range(12)]  # seconds of imports and bulk updates

    def when(self, since=None):
        """A second of the past; a fifth of them are shared by many records."""
        since = self.begin if since is None else since
        if self.random.random() < 0.2:
            later = [at for at in self.bulk if at >= since]
            if later:
                return self.random.choice(later)
        return self.random.randint(since, self.end) if since < self.end else self.end

    def run(self):
        self.fields()
        self.frame()
        self.organizations()
        self.users()
        self.tickets()

    def fields(self):
        for kind in ("users", "organizations"):
            for key, type_, title, more in FIELDS:
                define(self.world, kind, key, type_, title, self.begin, **more)
            define(self.world, kind, "gone_field", "text", "Not used any more", self.begin)["active"] = False
        for type_, title in SYSTEM_TICKET_FIELDS:
            define(self.world, "tickets", None, type_, title, self.begin, removable=False)
        for key, type_, title, more in FIELDS + (("card", "partialcreditcard", "Card", {}),):
            options = tuple((name, "t_" + value) for name, value in more.get("options", ()))
            more = {**more, "tag": "t_is_vip"} if "tag" in more else more
            define(self.world, "tickets", key, type_, title, self.begin, **{**more, "options": options})

    def frame(self):
        """What an account has before anybody works in it."""
        world, at = self.world, self.begin
        for number, name in enumerate(("Support", "Sales 🛒", "Отдел продаж", "Old group")):
            world.add("groups", {"name": name, "description": "", "default": number == 0, "deleted": name == "Old group",
                                 "is_public": True}, at + number)
        world.default_group_id = next(iter(world.tables["groups"].rows))
        for number, name in enumerate(("Hydra Shop", "Café Crème", "Closed brand")):
            world.add("brands", {
                "name": name, "brand_url": f"https://b{number}.zendesk.com", "subdomain": f"b{number}", "host_mapping": None,
                "has_help_center": number == 0, "help_center_state": "enabled" if number == 0 else "disabled", "active": number < 2,
                "default": number == 0, "is_deleted": number == 2, "logo": None, "signature_template": "{{agent.signature}}",
                "ticket_form_ids": []}, at + number)
        world.default_brand_id = next(iter(world.tables["brands"].rows))
        field_ids = [row["id"] for row in world.rows("ticket_fields")]
        for number, name in enumerate(("Default form", "Rückgabe")):
            world.add("ticket_forms", {
                "name": name, "raw_name": name, "display_name": name, "raw_display_name": name, "position": number,
                "end_user_visible": True, "active": True, "default": number == 0, "ticket_field_ids": field_ids,
                "in_all_brands": True, "restricted_brand_ids": [], "agent_conditions": [], "end_user_conditions": []}, at)
        for number in range(12):
            world.add("macros", {
                "title": f"Close and thank {number} 🙂", "active": number % 5 != 4, "position": number, "description": None,
                "default": False, "restriction": None if number % 3 else {"type": "Group", "id": world.default_group_id},
                "actions": [{"field": "status", "value": "solved"}, {"field": "current_tags", "value": "thanked"}]}, self.when())

    def custom(self, kind):
        """Values of every type, a third of them null."""
        pick, chance, values = self.random.choice, self.random.random, {}
        for name, field in self.world.fields(kind).items():
            if chance() < 0.35 and field["type"] != "checkbox":
                values[name] = None
                continue
            options = [option["value"] for option in field.get("custom_field_options", ())]
            values[name] = {
                "text": lambda: pick(("abc", "", "日本語", "quote \" and \\", "42")),
                "textarea": lambda: pick(("two\nlines", "🙂🙂🙂")),
                "checkbox": lambda: chance() < 0.3,
                "date": lambda: f"{self.random.randint(1940, 2026)}-{self.random.randint(1, 12):02}-{self.random.randint(1, 28):02}",
                "integer": lambda: pick((0, -3, 17, 9007199254740993)),
                "decimal": lambda: pick((0.5, "12.30", 1999.99, "-0.01")),
                "regexp": lambda: f"{self.random.randint(0, 99999):05}",
                "dropdown": lambda: pick(options), "tagger": lambda: pick(options),
                "multiselect": lambda: sorted(self.random.sample(options, self.random.randint(0, len(options)))),
                "lookup": lambda: str(self.world.admin_id) if self.world.admin_id else None,
                "partialcreditcard": lambda: "XXXXXXXXXXXX1234"}[field["type"]]()
        return values

    def organizations(self):
        for number in range(self.sizes.organizations):
            at = self.when()
            word = names.COMPANIES[number % len(names.COMPANIES)]
            row = companies.blank(self.world)
            row.update(name=word if number < len(names.COMPANIES) else f"{word} {number}",
                       external_id=f"Org-{number}" if self.random.random() < 0.8 else None,
                       domain_names=[f"company{number}.example"] if number % 3 == 0 else [],
                       notes=None if number % 2 else "pays late", tags=self.some_tags())
            row = self.world.add("organizations", row, at)
            self.world.organization_by_name[row["name"].lower()] = row["id"]
            if row["external_id"]:
                self.world.organization_by_external[row["external_id"].lower()] = row["id"]
            people.set_fields_and_tags(self.world, "organizations", row, "organization_fields", self.custom("organizations"))
            self.world.touch("organizations", row, self.when(at))
            if number % 17 == 16:
                row["deleted_at"] = row["updated_at"]
                self.world.organization_by_name.pop(row["name"].lower())
                self.world.organization_by_external.pop((row["external_id"] or "").lower(), None)

    def some_tags(self):
        return sorted(self.random.sample(names.TAGS, self.random.choice((0, 0, 1, 2, 3))))

    def users(self):
        self.organization_ids = [row["id"] for row in self.world.rows("organizations") if not row["deleted_at"]]
        groups = [row["id"] for row in self.world.rows("groups") if not row["deleted"]]
        for number in range(self.sizes.users):
            role = "admin" if number == 0 else "agent" if number < 4 else "end-user"
            row = self.user(number, role)
            if role != "end-user":
                row.update(default_group_id=self.world.default_group_id, role_type=4 if role == "admin" else 0,
                           restricted_agent=False, ticket_restriction=None)
                for place, group in enumerate(groups):
                    self.world.add("group_memberships", {"user_id": row["id"], "group_id": group, "default": place == 0},
                                   self.when())
            if number == 0:
                self.world.admin_id = row["id"]

    def user(self, number, role):
        world, pick, chance = self.world, self.random.choice, self.random.random
        at = self.when()
        zone, locale = pick(names.ZONES), pick(names.LOCALES)
        row = people.blank(world)
        row.update(name=names.PEOPLE[number % len(names.PEOPLE)], role=role, time_zone=zone[0], iana_time_zone=zone[1],
                   locale_id=locale[0], locale=locale[1], phone=pick(names.PHONES) if chance() < 0.3 else None,
                   verified=chance() < 0.7, tags=self.some_tags(), notes="says \"hi\"" if chance() < 0.1 else None,
                   last_login_at=iso(self.when(at)) if chance() < 0.3 else None)
        row = world.add("users", row, at)
        if role != "end-user" or chance() < 0.9:
            people.add_identity(world, row, f"user{number}@example.com", True, row["verified"], at)
        if role == "end-user" and chance() < 0.8:
            people.set_external(world, row, f"Ext-{number}")
        people.set_fields_and_tags(world, "users", row, "user_fields", self.custom("users"))
        for organization in self.random.sample(self.organization_ids, min(len(self.organization_ids), pick((0, 1, 1, 1, 2)))):
            companies.join(world, row, organization, at=at)
        world.touch("users", row, self.when(at))
        if role == "end-user" and number % 23 == 22:
            people.delete(world, row)
            if number % 46 == 45:
                people.delete_for_good(world, row)
            row["_stamp"] = self.when(at)
            row["updated_at"] = iso(row["_stamp"])
        return row

    def tickets(self):
        world, pick, chance = self.world, self.random.choice, self.random.random
        people_ids = [row["id"] for row in world.rows("users") if row["active"]]
        agents = [row["id"] for row in world.rows("users") if row["role"] != "end-user"]
        for number in range(self.sizes.tickets):
            requester = world.get("users", pick(people_ids))
            at = self.when()
            status = pick(names.STATUSES)
            last = tickets.seeded(world, self.random, at, self.end, requester, pick(agents) if chance() < 0.8 else None,
                                  {"subject": pick(names.SUBJECTS), "status": status, "tags": self.some_tags(),
                                   "priority": pick((None, "low", "normal", "high", "urgent")),
                                   "type": pick((None, "question", "problem", "task")),
                                   "external_id": f"case-{number // 2}" if chance() < 0.4 else None,
                                   "custom": self.custom("tickets")})
            ticket = world.get("tickets", last)
            if chance() < 0.1:  # the system touched it: the export sees it, updated_at does not
                ticket["_stamp"] = ticket["generated_timestamp"] = self.when(ticket["_stamp"])
            if number % 29 == 28:
                tickets.delete(world, ticket, ticket["_stamp"])
                if ticket["_stamp"] < self.end - 30 * DAY:
                    tickets.scrub(world, ticket)
            if status in ("solved", "closed") and chance() < 0.5:
                world.add("satisfaction_ratings", {
                    "assignee_id": ticket["assignee_id"], "group_id": ticket["group_id"], "requester_id": ticket["requester_id"],
                    "ticket_id": ticket["id"], "score": pick(("good", "bad", "offered")),
                    "comment": pick((None, "Danke! 👍", "not helpful")), "reason": None, "reason_id": None, "reason_code": None},
                    ticket["_stamp"])
