# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Requests about audiences: the lists themselves, merge fields, interests, segments, tags. Members are in api_members.py."""

from mailchimp import problem, shapes
from mailchimp.audience import id_of
from mailchimp.members import hash_of
from mailchimp.shapes import moment_of
from mailchimp.shown import NOT_BATCHED, NOT_IN_SEGMENTS, ONE, PAGE, links, member_page, members_text, page, picked, text_of

INCLUDE = ("include_cleaned", "include_transactional", "include_unsubscribed")


def statuses_of(query):
    """Which members count in a segment: subscribed ones, and what include_* adds."""
    return tuple(["subscribed"] + [name[len("include_"):] for name in INCLUDE if shapes.flag(query, name)])


class Lists:
    """Handlers take a request whose body was judged already (`request.body`) and give (status, value)."""

    def __init__(self, account, clock):
        self.account, self.clock = account, clock

    def table(self):
        one = "/lists/{list_id}"
        field, category = one + "/merge-fields/{merge_id}", one + "/interest-categories/{category_id}"
        interest, segment = category + "/interests/{interest_id}", one + "/segments/{segment_id}"
        hook = one + "/webhooks/{webhook_id}"
        spans = tuple(f"{edge}_{what}" for what in ("date_created", "campaign_last_sent") for edge in ("before", "since"))
        times = tuple(f"{edge}_{what}" for what in ("created_at", "updated_at") for edge in ("before", "since"))
        return [
            ("GET", "/lists", self.lists, PAGE + spans + ("email", "sort_field", "sort_dir", "has_ecommerce_store",
                                                          "include_total_contacts"), None),
            ("POST", "/lists", self.new_list, (), shapes.LIST_POST),
            ("GET", one, self.one_list, ONE + ("include_total_contacts",), None),
            ("PATCH", one, self.change_list, (), shapes.LIST_PATCH),
            ("GET", one + "/merge-fields", self.fields, PAGE + ("type", "required"), None),
            ("POST", one + "/merge-fields", self.new_field, (), shapes.FIELD_POST),
            ("GET", field, self.one_field, ONE, None),
            ("PATCH", field, self.change_field, (), shapes.FIELD_PATCH),
            ("DELETE", field, self.drop_field, (), None),
            ("GET", one + "/interest-categories", self.categories, PAGE + ("type",), None),
            ("POST", one + "/interest-categories", self.new_category, (), shapes.CATEGORY),
            ("GET", category, self.one_category, ONE, None),
            ("GET", category + "/interests", self.interests, PAGE, None),
            ("POST", category + "/interests", self.new_interest, (), shapes.INTEREST),
            ("GET", interest, self.one_interest, ONE, None),
            ("GET", one + "/segments", self.segments, PAGE + times + INCLUDE + ("type",), None),
            ("POST", one + "/segments", self.new_segment, (), shapes.SEGMENT),
            ("GET", segment, self.one_segment, ONE + INCLUDE, None),
            ("PATCH", segment, self.change_segment, (), shapes.SEGMENT),
            ("DELETE", segment, self.drop_segment, (), None),
            ("POST", segment, self.segment_batch, (), shapes.SEGMENT_BATCH),
            ("GET", segment + "/members", self.segment_members, PAGE + INCLUDE, None),
            ("POST", segment + "/members", self.add_segment_member, (), shapes.SEGMENT_MEMBER),
            ("DELETE", segment + "/members/{subscriber_hash}", self.drop_segment_member, (), None),
            ("GET", one + "/tag-search", self.tag_search, ("name",), None),
            ("GET", one + "/webhooks", self.webhooks, (), None),
            ("POST", one + "/webhooks", self.new_webhook, (), shapes.WEBHOOK),
            ("GET", hook, self.one_webhook, (), None),
            ("DELETE", hook, self.drop_webhook, (), None),
        ]

    def audience(self, request):
        return self.account.audience(request.params["list_id"])

    # ---- lists ----

    def last_sent(self, audience):
        return max((one.send_time for one in self.account.campaigns.values()
                    if one.audience is audience and one.status == "sent"), default=0)

    def show_list(self, audience, with_total=False):
        latest = audience.view("latest", lambda: max((m.timestamp_opt for m in audience.members.values()), default=0))
        left = audience.view("left", lambda: max((m.unsubscribed_at for m in audience.members.values()), default=0))
        stats = {
            "member_count": audience.count("subscribed"), "unsubscribe_count": audience.count("unsubscribed"),
            "cleaned_count": audience.count("cleaned"), "member_count_since_send": 0, "unsubscribe_count_since_send": 0,
            "cleaned_count_since_send": 0,
            "campaign_count": sum(one.audience is audience for one in self.account.campaigns.values()),
            "campaign_last_sent": moment_of(self.last_sent(audience)), "merge_field_count": len(audience.fields.by_tag),
            "avg_sub_rate": 0, "avg_unsub_rate": 0, "target_sub_rate": 0, "open_rate": 21.5, "click_rate": 3.25,
            "last_sub_date": moment_of(latest), "last_unsub_date": moment_of(left)}
        if with_total:
            stats["total_contacts"] = sum(member.status != "archived" for member in audience.members.values())
        return {
            "id": audience.id, "web_id": int(audience.id[:6], 16), "name": audience.name,
            "contact": {"company": "Nordlicht", "address1": "Deichstraße 1", "address2": "", "city": "Hamburg",
                        "state": "HH", "zip": "20459", "country": "DE", "phone": ""},
            "permission_reminder": "You signed up on our site.", "use_archive_bar": True,
            "campaign_defaults": {"from_name": "Nordlicht", "from_email": "post@nordlicht.example", "subject": "",
                                  "language": "de"},
            "notify_on_subscribe": False, "notify_on_unsubscribe": False, "date_created": moment_of(audience.created),
            "list_rating": 3, "email_type_option": False, "subscribe_url_short": f"http://eepurl.com/{audience.id[:6]}",
            "subscribe_url_long": f"https://nordlicht.example/subscribe?id={audience.id}",
            "beamer_address": f"us21-{audience.id}@inbound.example", "visibility": "prv",
            "double_optin": audience.double_optin, "has_welcome": False,
            "marketing_permissions": bool(audience.permissions), "modules": [], **audience.settings, "stats": stats,
            "_links": links(f"/lists/{audience.id}")}

    def lists(self, request):
        query = request.query
        rows = list(self.account.lists.values())
        for name, get in (("date_created", lambda audience: audience.created), ("campaign_last_sent", self.last_sent)):
            since, before = shapes.moment(query, "since_" + name), shapes.moment(query, "before_" + name)
            rows = [audience for audience in rows
                    if (since is None or get(audience) > since) and (before is None or get(audience) < before)]
        if query.get("email"):
            rows = [audience for audience in rows if hash_of(query["email"]) in audience.members]
        shapes.choice(query, "sort_field", ("date_created",))
        if query.get("sort_field"):
            rows.sort(key=lambda audience: audience.created,
                      reverse=shapes.choice(query, "sort_dir", ("ASC", "DESC")) == "DESC")
        total = shapes.flag(query, "include_total_contacts")
        return 200, page(query, "lists", rows, lambda audience: self.show_list(audience, total), "/lists",
                         constraints={"may_create": True, "max_instances": 5, "current_total_instances": len(rows)})

    def new_list(self, request):
        return 200, self.show_list(self.account.new_list(request.body, self.clock.now()))

    def one_list(self, request):
        total = shapes.flag(request.query, "include_total_contacts")
        return 200, picked(request.query, self.show_list(self.audience(request), total))

    def change_list(self, request):
        audience, body = self.audience(request), dict(request.body)
        audience.name = body.pop("name")
        audience.double_optin = body.pop("double_optin", audience.double_optin)
        body.pop("marketing_permissions", None)
        audience.settings.update(body)
        return 200, self.show_list(audience)

    # ---- merge fields ----

    def show_field(self, field):
        return {**field, "_links": links(f"/lists/{field['list_id']}/merge-fields/{field['merge_id']}")}

    def fields(self, request):
        audience, query = self.audience(request), request.query
        required = shapes.flag(query, "required")
        rows = [field for field in audience.fields.by_tag.values()
                if query.get("type", field["type"]) == field["type"] and required in (None, field["required"])]
        return 200, page(query, "merge_fields", rows, self.show_field, f"/lists/{audience.id}/merge-fields",
                         list_id=audience.id)

    def new_field(self, request):
        audience = self.audience(request)
        field = audience.fields.create(request.body)
        audience.version += 1
        request.rows = [{"tag": field["tag"], "became": "created"}]
        return 200, self.show_field(field)

    def one_field(self, request):
        return 200, picked(request.query, self.show_field(self.audience(request).fields.find(request.params["merge_id"])))

    def change_field(self, request):
        audience = self.audience(request)
        field = audience.fields.find(request.params["merge_id"])
        old = field["tag"]
        audience.fields.change(field, request.body)
        audience.rename_values(old, field["tag"])
        return 200, self.show_field(field)

    def drop_field(self, request):
        audience = self.audience(request)
        audience.drop_field(audience.fields.find(request.params["merge_id"]))
        return 204, None

    # ---- interests ----

    def category(self, request):
        audience = self.audience(request)
        category = audience.categories.get(request.params["category_id"])
        if category is None:
            raise problem.not_found()
        return audience, category

    def show_category(self, audience, category):
        return {"list_id": audience.id, **{name: category[name] for name in ("id", "title", "display_order", "type")},
                "_links": links(f"/lists/{audience.id}/interest-categories/{category['id']}")}

    def categories(self, request):
        audience, query = self.audience(request), request.query
        rows = [one for one in audience.categories.values() if query.get("type", one["type"]) == one["type"]]
        return 200, page(query, "categories", rows, lambda one: self.show_category(audience, one),
                         f"/lists/{audience.id}/interest-categories", list_id=audience.id)

    def new_category(self, request):
        audience, body = self.audience(request), request.body
        if any(one["title"] == body["title"] for one in audience.categories.values()):
            raise problem.refused(f"Cannot add \"{body['title']}\" because it already exists on the list.")
        category = {"id": id_of("category", audience.id, body["title"]), "display_order": 0, **body, "interests": {}}
        audience.categories[category["id"]] = category
        return 200, self.show_category(audience, category)

    def one_category(self, request):
        return 200, picked(request.query, self.show_category(*self.category(request)))

    def show_interest(self, audience, category, interest):
        held = audience.view(("interest", interest["id"]),
                             lambda: sum(interest["id"] in member.interests and member.status == "subscribed"
                                         for member in audience.members.values()))
        return {"category_id": category["id"], "list_id": audience.id, **interest, "subscriber_count": str(held),
                "_links": links(f"/lists/{audience.id}/interest-categories/{category['id']}/interests/{interest['id']}")}

    def interests(self, request):
        audience, category = self.category(request)
        return 200, page(request.query, "interests", list(category["interests"].values()),
                         lambda one: self.show_interest(audience, category, one),
                         f"/lists/{audience.id}/interest-categories/{category['id']}/interests",
                         list_id=audience.id, category_id=category["id"])

    def new_interest(self, request):
        audience, category = self.category(request)
        name = request.body["name"]
        if any(one["name"] == name for one in category["interests"].values()):
            raise problem.refused(f"Cannot add \"{name}\" because it already exists on the list.")
        key = id_of("interest", category["id"], name)
        order = request.body.get("display_order", len(category["interests"]) + 1)
        category["interests"][key] = {"id": key, "name": name, "display_order": order}
        audience.renew_interests()
        return 200, self.show_interest(audience, category, category["interests"][key])

    def one_interest(self, request):
        audience, category = self.category(request)
        interest = category["interests"].get(request.params["interest_id"])
        if interest is None:
            raise problem.not_found()
        return 200, picked(request.query, self.show_interest(audience, category, interest))

    # ---- segments and tags ----

    def segment(self, request, static=False):
        audience, key = self.audience(request), request.params["segment_id"]
        segment = audience.segments.get(int(key)) if key.isdecimal() else None
        if segment is None:
            raise problem.not_found()
        if static and segment["type"] != "static":
            raise problem.refused("Only static segments can have members added or removed.")
        return audience, segment

    def show_segment(self, audience, segment, statuses=("subscribed",)):
        return {**audience.show_segment(segment, statuses), "_links": links(f"/lists/{audience.id}/segments/{segment['id']}")}

    def segments(self, request):
        audience, query = self.audience(request), request.query
        rows = [one for one in audience.segments.values() if query.get("type", one["type"]) == one["type"]]
        for name in ("created_at", "updated_at"):
            since, before = shapes.moment(query, "since_" + name), shapes.moment(query, "before_" + name)
            rows = [one for one in rows
                    if (since is None or one[name] > since) and (before is None or one[name] < before)]
        statuses = statuses_of(query)
        return 200, page(query, "segments", rows, lambda one: self.show_segment(audience, one, statuses),
                         f"/lists/{audience.id}/segments", list_id=audience.id)

    def new_segment(self, request):
        audience, body, now = self.audience(request), request.body, self.clock.now()
        if ("static_segment" in body) == ("options" in body):
            raise problem.invalid(("", "Provide either static_segment or options"))
        if any(one["name"].casefold() == body["name"].casefold() for one in audience.segments.values()):
            raise problem.refused("Sorry, that tag already exists.")
        if "options" in body:
            judge_conditions(body["options"])
            segment = audience.new_segment(body["name"], "saved", now, body["options"])
        else:
            segment = audience.new_segment(body["name"], "static", now)
            for email in body["static_segment"]:
                member = audience.members.get(hash_of(email))
                if member is not None:
                    audience.hold(segment, member, True, now)
        audience.version += 1
        request.rows = [{"segment": segment["id"], "became": "created"}]
        return 200, self.show_segment(audience, segment)

    def one_segment(self, request):
        audience, segment = self.segment(request)
        return 200, picked(request.query, self.show_segment(audience, segment, statuses_of(request.query)))

    def change_segment(self, request):
        audience, segment = self.segment(request)
        body, now = request.body, self.clock.now()
        segment["name"], segment["updated_at"] = body["name"], int(now)
        if "options" in body:
            if segment["type"] == "static":
                raise problem.refused("A static segment takes no conditions.")
            judge_conditions(body["options"])
            segment["options"] = body["options"]
        if "static_segment" in body:
            self.segment(request, static=True)
            wanted = {hash_of(email) for email in body["static_segment"]} & set(audience.members)
            for key in set(segment["members"]) ^ wanted:
                audience.hold(segment, audience.members[key], key in wanted, now)
        audience.version += 1
        return 200, self.show_segment(audience, segment)

    def drop_segment(self, request):
        audience, segment = self.segment(request)
        audience.drop_segment(segment)
        return 204, None

    def segment_batch(self, request):
        """Adds and removes by email; emails that are not in the audience are told and otherwise ignored."""
        audience, segment = self.segment(request, static=True)
        now, done, unknown, request.rows = self.clock.now(), {True: [], False: []}, [], []
        for name, inside in (("members_to_add", True), ("members_to_remove", False)):
            for email in request.body.get(name, ()):
                member = audience.members.get(hash_of(email))
                if member is None or (not inside and segment["id"] not in member.tags):
                    unknown.append(email)
                    request.rows.append({"email": email, "became": "refused"})
                    continue
                changed = audience.hold(segment, member, inside, now)
                done[inside].append(member)
                request.rows.append({"email": email, "became": ("added" if inside else "removed") if changed else "unchanged"})
        errors = [{"email_addresses": unknown, "error": "Email addresses do not exist in the list"}] if unknown else []
        end = text_of({"errors": errors, "total_added": len(done[True]), "total_removed": len(done[False]),
                       "error_count": len(unknown), "_links": links(f"/lists/{audience.id}/segments/{segment['id']}")})
        return 200, (f'{{"members_added":{members_text(audience, done[True], NOT_BATCHED)},'
                     f'"members_removed":{members_text(audience, done[False], NOT_BATCHED)},{end[1:]}')

    def segment_members(self, request):
        audience, segment = self.segment(request)
        statuses = statuses_of(request.query)
        rows = audience.view(("segment", segment["id"], statuses), lambda: audience.segment_members(segment, statuses))
        return 200, member_page(request.query, audience, rows, f"/lists/{audience.id}/segments/{segment['id']}/members",
                                NOT_IN_SEGMENTS)

    def add_segment_member(self, request):
        audience, segment = self.segment(request, static=True)
        member = audience.members.get(hash_of(request.body["email_address"]))
        if member is None:
            raise problem.refused(f"{request.body['email_address']} is not a member of this list.")
        audience.hold(segment, member, True, self.clock.now())
        return 200, members_text(audience, [member], NOT_IN_SEGMENTS)[1:-1]

    def drop_segment_member(self, request):
        audience, segment = self.segment(request, static=True)
        member = audience.get(request.params["subscriber_hash"])
        if not audience.hold(segment, member, False, self.clock.now()):
            raise problem.not_found()
        return 204, None

    def tag_search(self, request):
        audience, start = self.audience(request), request.query.get("name", "").casefold()
        rows = [{"id": one["id"], "name": one["name"]} for one in audience.segments.values()
                if one["type"] == "static" and one["name"].casefold().startswith(start)]
        return 200, {"tags": rows, "total_items": len(rows)}

    # ---- webhooks ----

    def webhooks(self, request):
        audience = self.audience(request)
        return 200, {"webhooks": list(audience.webhooks.values()), "list_id": audience.id,
                     "total_items": len(audience.webhooks), "_links": links(f"/lists/{audience.id}/webhooks")}

    def new_webhook(self, request):
        audience, body = self.audience(request), request.body
        if not body.get("url", "").startswith(("http://", "https://")):
            raise problem.invalid(("url", "This value is not a valid URL."))
        key = id_of("webhook", audience.id, len(audience.webhooks), body["url"])
        hook = {"id": key, "url": body["url"], "list_id": audience.id,
                "events": {name: body.get("events", {}).get(name, False)
                           for name in shapes.WEBHOOK.fields["events"].fields},
                "sources": {name: body.get("sources", {}).get(name, False) for name in ("user", "admin", "api")},
                "_links": links(f"/lists/{audience.id}/webhooks/{key}")}
        audience.webhooks[key] = hook
        return 200, hook

    def one_webhook(self, request):
        hook = self.audience(request).webhooks.get(request.params["webhook_id"])
        if hook is None:
            raise problem.not_found()
        return 200, hook

    def drop_webhook(self, request):
        if self.audience(request).webhooks.pop(request.params["webhook_id"], None) is None:
            raise problem.not_found()
        return 204, None


CONDITION_TYPES = ("VIP", "StaticSegment", "TextMerge", "SelectMerge", "DateMerge", "EmailAddress", "Language",
                   "MemberRating", "Date")


def judge_conditions(options):
    """The kinds of conditions that this simulator can work out."""
    options.setdefault("match", "any")
    for index, condition in enumerate(options.setdefault("conditions", [])):
        if condition.get("condition_type") not in CONDITION_TYPES:
            raise problem.invalid((f"options.conditions.item:{index}", problem.NOT_ANY_OF))
