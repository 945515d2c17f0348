# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""One audience (the API says list): its members, merge fields, interests, segments and tags, and every write to a member.

A tag is a static segment. `version` counts changes, so that the sorted and filtered views that offset paging walks over
are made once per change and not once per page.
"""

import hashlib
import operator

from mailchimp import problem
from mailchimp.members import REMOVABLE, Member, hash_of, judge_email, judge_status, state_of, take
from mailchimp.merge_fields import Fields
from mailchimp.shapes import moment_of

VIEWS_MAX = 64
SORT_FIELDS = ("timestamp_opt", "timestamp_signup", "last_changed")


def id_of(*parts):
    """A ten-digit hexadecimal id, the same for the same parts."""
    return hashlib.md5("/".join(map(str, parts)).encode()).hexdigest()[:10]


class Audience:
    def __init__(self, list_id, name, created, account):
        self.id, self.name, self.created, self.account = list_id, name, created, account
        self.settings = {}
        self.fields = Fields(list_id)
        self.members = {}        # hash of the email -> Member
        self.by_contact = {}     # contact_id -> Member
        self.forgotten = set()   # hashes that may never come back
        self.categories = {}     # id -> category, whose "interests" are id -> interest
        self.interest_ids = ()
        self.segments = {}       # id -> segment; static ones hold members: hash -> when added
        self.permissions = {}    # marketing permissions: id -> text
        self.webhooks = {}
        self.double_optin = False
        self.version = 0
        self.views = {}

    # ---- looking ----

    def find(self, key):
        """By hash, email or contact id, as the path may name it."""
        member = self.members.get(key.lower()) or self.by_contact.get(key)
        if member is None and "@" in key:
            member = self.members.get(hash_of(key))
        return member

    def get(self, key):
        member = self.find(key)
        if member is None:
            raise problem.not_found()
        return member

    def view(self, key, make):
        """A list of members that stays as long as nothing changes."""
        had = self.views.get(key)
        if had is not None and had[0] == self.version:
            return had[1]
        if len(self.views) >= VIEWS_MAX:
            self.views.clear()
        made = make()
        self.views[key] = (self.version, made)
        return made

    def select(self, wanted):
        """The members that a listing shows, in its order. `wanted` is a dict of judged query values."""
        return self.view(tuple(sorted(wanted.items())), lambda: self._select(wanted))

    def _select(self, wanted):
        status = wanted.get("status")
        chosen = [member for member in self.members.values()
                  if (member.status == status if status else member.status != "archived")]
        for name, slot in (("last_changed", "last_changed"), ("timestamp_opt", "timestamp_opt")):
            since, before = wanted.get("since_" + name), wanted.get("before_" + name)
            get = operator.attrgetter(slot)
            if since is not None:  # strictly after, as far as a whole second tells
                chosen = [member for member in chosen if get(member) > since]
            if before is not None:
                chosen = [member for member in chosen if get(member) and get(member) < before]
        for name, slot in (("email_type", "email_type"), ("unique_email_id", "unique_email_id")):
            if wanted.get(name) is not None:
                chosen = [member for member in chosen if getattr(member, slot) == wanted[name]]
        if wanted.get("vip_only"):
            chosen = [member for member in chosen if member.vip]
        if wanted.get("unsubscribed_since") is not None:
            chosen = [member for member in chosen if member.unsubscribed_at > wanted["unsubscribed_since"]]
        if wanted.get("interest_ids"):
            chosen = self._by_interest(chosen, wanted)
        if wanted.get("sort_field"):
            chosen.sort(key=operator.attrgetter(wanted["sort_field"]), reverse=wanted.get("sort_dir") == "DESC")
        return chosen

    def _by_interest(self, chosen, wanted):
        ids = frozenset(wanted["interest_ids"].split(","))
        match = wanted.get("interest_match")
        if match == "all":
            return [member for member in chosen if ids <= member.interests]
        if match == "none":
            return [member for member in chosen if not ids & member.interests]
        return [member for member in chosen if ids & member.interests]

    def count(self, status):
        return self.view(("count", status), lambda: sum(member.status == status for member in self.members.values()))

    # ---- writing ----

    def touch(self, member, now):
        member.last_changed = int(now)
        self.version += 1

    def new_member(self, email, status, now):
        member = Member(email, self.account.next_web_id(), status, int(now))
        self.members[member.id] = member
        self.by_contact[member.contact_id] = member
        self.version += 1
        return member

    def judge_new(self, email):
        judge_email(email)
        if hash_of(email) in self.forgotten:
            raise problem.forgotten(email)

    def judge_interests(self, body):
        unknown = [key for key in body.get("interests", ()) if key not in self.interest_ids]
        if unknown:
            raise problem.invalid(*((f"interests.{key}", f"Invalid interest ID: '{key}'.") for key in unknown))

    def create(self, body, status, now, skip_required=False):
        """A member that was not there. Judges all, then writes."""
        email = body["email_address"].strip()
        self.judge_new(email)
        self.judge_interests(body)
        values = self.fields.judge(body.get("merge_fields", {}), {}, skip_required)
        if self.double_optin and status == "subscribed":
            status = "pending"
        member = self.new_member(email, status, now)
        member.source = "API - Generic"
        take(self, member, {**body, "status": status}, values, int(now))
        for name in body.get("tags", ()):
            self.tag(member, name, True, now)
        return member

    def change(self, member, body, now, skip_required=False):
        """True when something is another than before."""
        email = body.get("email_address", member.email).strip()
        if hash_of(email) != member.id:
            self.judge_new(email)
            if hash_of(email) in self.members:
                raise problem.member_exists(email)
        self.judge_interests(body)
        if body.get("status") is not None:
            judge_status(member, body["status"])
        values = self.fields.judge(body.get("merge_fields", {}), member.merge, skip_required)
        before = state_of(member)
        if hash_of(email) != member.id:
            self.rename(member, email)
        else:
            member.email = email
        take(self, member, body, values, int(now))
        if state_of(member) == before:
            return False
        self.touch(member, now)
        return True

    def rename(self, member, email):
        """Another email, so another id; contact_id and unique_email_id stay."""
        old, member.email, member.id = member.id, email, hash_of(email)
        del self.members[old]
        self.members[member.id] = member
        for key in member.tags:
            held = self.segments[key]["members"]
            held[member.id] = held.pop(old)

    def archive(self, member, now):
        if member.status not in REMOVABLE:
            raise problem.not_allowed("This list member cannot be removed. Can not archive a contact that is bounced, "
                                      "pending or archived")
        member.status = "archived"
        self.touch(member, now)

    def forget(self, member):
        """For ever: the email may never be written again."""
        for key in member.tags:
            self.segments[key]["members"].pop(member.id, None)
        del self.members[member.id]
        del self.by_contact[member.contact_id]
        self.forgotten.add(member.id)
        self.version += 1

    # ---- segments and tags ----

    def new_segment(self, name, kind, now, options=None):
        key = self.account.next_segment_id()
        segment = {"id": key, "name": name, "type": kind, "created_at": int(now), "updated_at": int(now),
                   "options": options, "members": {} if kind == "static" else None}
        self.segments[key] = segment
        return segment

    def tag_named(self, name):
        """Names of tags are compared without case."""
        folded = name.casefold()
        return next((segment for segment in self.segments.values()
                     if segment["type"] == "static" and segment["name"].casefold() == folded), None)

    def tag(self, member, name, active, now):
        """True when the member had it otherwise. An unknown tag is made, unless it is to be taken away."""
        segment = self.tag_named(name)
        if segment is None and not active:
            return False
        return self.hold(segment or self.new_segment(name.strip(), "static", now), member, active, now)

    def hold(self, segment, member, inside, now):
        if (segment["id"] in member.tags) == inside:
            return False
        if inside:
            member.tags[segment["id"]] = segment["members"][member.id] = int(now)
        else:
            del member.tags[segment["id"]], segment["members"][member.id]
        segment["updated_at"] = int(now)
        self.touch(member, now)
        return True

    def sync_tags(self, member, names, now):
        """Exactly these tags, no others."""
        wanted = {name.casefold() for name in names}
        changed = False
        for key in list(member.tags):
            if self.segments[key]["name"].casefold() not in wanted:
                changed |= self.hold(self.segments[key], member, False, now)
        for name in names:
            changed |= self.tag(member, name, True, now)
        return changed

    def drop_segment(self, segment):
        for key in list(segment["members"] or ()):
            self.members[key].tags.pop(segment["id"], None)
        del self.segments[segment["id"]]
        self.version += 1

    def segment_members(self, segment, statuses):
        if segment["type"] == "static":
            chosen = [self.members[key] for key in segment["members"]]
        else:
            chosen = [member for member in self.members.values() if self.fits(member, segment["options"])]
        return [member for member in chosen if member.status in statuses]

    def fits(self, member, options):
        verdicts = [self._condition(member, condition) for condition in options["conditions"]]
        return any(verdicts) if options["match"] == "any" else all(verdicts)

    def _condition(self, member, condition):
        field, op, value = condition.get("field"), condition.get("op"), condition.get("value")
        if condition["condition_type"] == "VIP":
            return member.vip == (op == "member")
        if condition["condition_type"] == "StaticSegment":
            return (value in member.tags) == (op == "static_is")
        had = {"EMAIL": member.email, "language": member.language, "rating": member.rating,
               "timestamp_opt": moment_of(member.timestamp_opt)}.get(field, member.merge.get(field, ""))
        if op in ("is", "not"):
            return (had == value) == (op == "is")
        if op in ("blank", "blank_not"):
            return (had == "") == (op == "blank")
        if op in ("contains", "notcontain"):
            return (str(value) in str(had)) == (op == "contains")
        if had == "" or type(had) is not type(value):
            return False
        return had > value if op == "greater" else had < value

    def show_segment(self, segment, statuses):
        options = segment["options"] or {"match": "any", "conditions": [
            {"condition_type": "StaticSegment", "field": "static_segment", "op": "static_is", "value": segment["id"]}]}
        shown = {"id": segment["id"], "name": segment["name"], "type": segment["type"],
                 "member_count": len(self.view(("segment", segment["id"], statuses),
                                               lambda: self.segment_members(segment, statuses))),
                 "created_at": moment_of(segment["created_at"]), "updated_at": moment_of(segment["updated_at"]),
                 "options": options, "list_id": self.id}
        return shown

    # ---- merge fields with their values ----

    def rename_values(self, old, tag):
        """The values go with the tag."""
        for member in self.members.values():
            if tag != old and old in member.merge:
                member.merge = {tag if key == old else key: value for key, value in member.merge.items()}
        self.version += 1

    def drop_field(self, field):
        for member in self.members.values():
            if field["tag"] in member.merge:
                member.merge = {key: value for key, value in member.merge.items() if key != field["tag"]}
        self.fields.drop(field)
        self.version += 1

    # ---- interests ----

    def renew_interests(self):
        self.interest_ids = tuple(key for category in self.categories.values() for key in category["interests"])
        self.version += 1
