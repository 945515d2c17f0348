# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Requests about members: listing, the batch of 500, single writes, tags, archive and delete, events."""

import fnmatch

from mailchimp import problem, shapes
from mailchimp.audience import SORT_FIELDS
from mailchimp.members import REMOVABLE, hash_of
from mailchimp.shapes import moment_of
from mailchimp.shown import NOT_BATCHED, ONE, PAGE, links, member_dict, member_page, members_text, page, picked, text_of
from mailchimp.writes import write_batch

SPANS = ("since_timestamp_opt", "before_timestamp_opt", "since_last_changed", "before_last_changed", "unsubscribed_since")
FILTERS = ("email_type", "status", "unique_email_id", "vip_only", "interest_category_id", "interest_ids", "interest_match",
           "sort_field", "sort_dir", "since_last_campaign")
LISTED = shapes.STATUSES + ("archived",)
INTEREST_NAMES = ("interest_category_id", "interest_ids", "interest_match")


class Members:
    def __init__(self, account, clock, lists):
        self.account, self.clock, self.lists = account, clock, lists

    def table(self):
        all_of, skip = "/lists/{list_id}/members", ("skip_merge_validation",)
        one = all_of + "/{subscriber_hash}"
        return [
            ("POST", "/lists/{list_id}", self.batch, skip + ("skip_duplicate_check",), shapes.BATCH),
            ("GET", all_of, self.list, PAGE + SPANS + FILTERS, None),
            ("POST", all_of, self.create, skip, shapes.MEMBER_POST),
            ("GET", one, self.one, ONE, None),
            ("PUT", one, self.put, skip, shapes.MEMBER_PUT),
            ("PATCH", one, self.patch, skip, shapes.MEMBER_PATCH),
            ("DELETE", one, self.archive, (), None),
            ("POST", one + "/actions/delete-permanent", self.delete_permanent, (), None),
            ("GET", one + "/tags", self.tags, PAGE, None),
            ("POST", one + "/tags", self.set_tags, (), shapes.TAGS),
            ("GET", one + "/events", self.events, PAGE, None),
            ("POST", one + "/events", self.new_event, (), shapes.EVENT),
        ]

    def audience(self, request):
        return self.account.audience(request.params["list_id"])

    def member(self, request):
        audience = self.audience(request)
        return audience, audience.get(request.params["subscriber_hash"])

    # ---- reading ----

    def wanted(self, audience, query):
        """The judged filters of a listing."""
        status = shapes.choice(query, "status", LISTED)
        wanted = {"status": status, "sort_field": shapes.choice(query, "sort_field", SORT_FIELDS),
                  "sort_dir": shapes.choice(query, "sort_dir", ("ASC", "DESC")), "vip_only": shapes.flag(query, "vip_only")}
        for name in SPANS:
            wanted[name] = shapes.moment(query, name)
        if wanted["unsubscribed_since"] is not None and status != "unsubscribed":
            raise problem.invalid(("unsubscribed_since", "This filter needs the status unsubscribed"))
        if shapes.flag(query, "since_last_campaign"):
            if status is None:
                raise problem.invalid(("since_last_campaign", "Member status is required to use this filter"))
            wanted["since_last_changed"] = max(wanted["since_last_changed"] or 0, self.lists.last_sent(audience))
        given = [name for name in INTEREST_NAMES if query.get(name)]
        if given and len(given) < len(INTEREST_NAMES):
            raise problem.invalid((given[0], "interest_category_id, interest_ids and interest_match go together"))
        shapes.choice(query, "interest_match", ("any", "all", "none"))
        for name in ("email_type", "unique_email_id", "interest_ids", "interest_match"):
            wanted[name] = query.get(name)
        return {name: value for name, value in wanted.items() if value is not None}

    def list(self, request):
        audience = self.audience(request)
        rows = audience.select(self.wanted(audience, request.query))
        answer = member_page(request.query, audience, rows, f"/lists/{audience.id}/members")
        for fault in request.faults:
            if fault["kind"] == "drift":
                self.drift(audience, rows, fault)
        return 200, answer

    def drift(self, audience, rows, fault):
        """What the vendor's users do between two pages: members that stood before the next page leave their place."""
        for member in rows[:fault.get("touch", 1)]:
            audience.touch(member, self.clock.now())
        for member in [one for one in rows[-fault.get("archive", 0) or len(rows):] if one.status in REMOVABLE]:
            audience.archive(member, self.clock.now())

    def one(self, request):
        return 200, picked(request.query, member_dict(*self.member(request)))

    # ---- writing ----

    def refused_by_fault(self, request):
        rules = [fault for fault in request.faults if fault["kind"] == "refuse_member"]

        def judge(email):
            for fault in rules:
                if fnmatch.fnmatchcase(email.lower(), fault.get("email", "*").lower()):
                    return problem.refused(fault.get("message", f"{email} cannot be imported."))
            return None
        return judge

    def skips(self, request):
        return bool(shapes.flag(request.query, "skip_merge_validation"))

    def batch(self, request):
        audience = self.audience(request)
        done = write_batch(audience, request.body, self.clock.now(), self.skips(request),
                           bool(shapes.flag(request.query, "skip_duplicate_check")), self.refused_by_fault(request))
        request.rows = done.rows
        end = text_of({"errors": done.errors, "total_created": len(done.created), "total_updated": len(done.updated),
                       "error_count": len(done.errors), "_links": links(f"/lists/{audience.id}")})
        return 200, (f'{{"new_members":{members_text(audience, done.created, NOT_BATCHED)},'
                     f'"updated_members":{members_text(audience, done.updated, NOT_BATCHED)},{end[1:]}')

    def write_one(self, request, audience, member):
        body, email = request.body, request.body.get("email_address", member.email if member else "")
        fault = self.refused_by_fault(request)(email)
        if fault is not None:
            raise fault
        if member is None:
            member = audience.create(body, body.get("status", body.get("status_if_new")), self.clock.now(),
                                     self.skips(request))
            became = "created"
        else:
            changed = audience.change(member, body, self.clock.now(), self.skips(request))
            became = "changed" if changed else "unchanged"
        request.rows = [{"email": member.email, "id": member.id, "became": became}]
        return 200, members_text(audience, [member])[1:-1]

    def create(self, request):
        audience, email = self.audience(request), request.body["email_address"]
        if hash_of(email) in audience.members:
            raise problem.member_exists(email)
        return self.write_one(request, audience, None)

    def put(self, request):
        audience, body, key = self.audience(request), request.body, request.params["subscriber_hash"]
        member = audience.find(key)
        if member is None:
            missing = [name for name in ("email_address",) if name not in body]
            missing += [] if "status" in body or "status_if_new" in body else ["status_if_new"]
            if missing:
                raise problem.invalid(("", "Required fields were not provided: " + ", ".join(missing)))
            # A hash of something else than the lowercased email: the vendor takes the email, so a tool that hashes
            # wrongly never finds its members again by what it computed.
            member = audience.members.get(hash_of(body["email_address"]))
            if member is not None:
                raise problem.member_exists(body["email_address"])
        return self.write_one(request, audience, member)

    def patch(self, request):
        return self.write_one(request, *self.member(request))

    def archive(self, request):
        audience, member = self.member(request)
        audience.archive(member, self.clock.now())
        request.rows = [{"email": member.email, "id": member.id, "became": "archived"}]
        return 204, None

    def delete_permanent(self, request):
        audience, member = self.member(request)
        audience.forget(member)
        request.rows = [{"email": member.email, "id": member.id, "became": "forgotten"}]
        return 204, None

    # ---- tags ----

    def tags(self, request):
        audience, member = self.member(request)
        return 200, page(request.query, "tags", list(member.tags.items()),
                         lambda item: {"id": item[0], "name": audience.segments[item[0]]["name"],
                                       "date_added": moment_of(item[1])},
                         f"/lists/{audience.id}/members/{member.id}/tags")

    def set_tags(self, request):
        audience, member = self.member(request)
        if any(not tag["name"].strip() for tag in request.body["tags"]):
            raise problem.invalid(("tags", "Tag names cannot be empty"))
        changed = [audience.tag(member, tag["name"], tag["status"] == "active", self.clock.now())
                   for tag in request.body["tags"]]
        request.rows = [{"email": member.email, "tag": tag["name"], "became": tag["status"] if did else "unchanged"}
                        for tag, did in zip(request.body["tags"], changed)]
        return 204, None

    # ---- events ----

    def events(self, request):
        audience, member = self.member(request)
        return 200, page(request.query, "events", member.events or [],
                         lambda event: {**event, "occurred_at": moment_of(event["occurred_at"])},
                         f"/lists/{audience.id}/members/{member.id}/events")

    def new_event(self, request):
        _, member = self.member(request)
        body = request.body
        if not 2 <= len(body["name"]) <= 30:
            raise problem.invalid(("name", "Event names must be between 2 and 30 characters"))
        happened = shapes.seconds_of(body["occurred_at"]) if body.get("occurred_at") else self.clock.now()
        member.events = (member.events or []) + [{"name": body["name"], "properties": body.get("properties", {}),
                                                  "occurred_at": int(happened)}]
        request.rows = [{"email": member.email, "event": body["name"], "became": "created"}]
        return 204, None
