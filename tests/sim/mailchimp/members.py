# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""One member of an audience: what is kept, how it is shown, and what a write may do to it.

Consent lives here: who may be subscribed again and who never. Members are compact (slots, shared empties), because an
audience of 100,000 must be there in seconds.
"""

import hashlib
import re

from mailchimp import problem
from mailchimp.shapes import moment_of, seconds_of

EMAIL = re.compile(r"[^@\s,;<>\"()]{1,64}@[^@\s,;<>\"()]+\.[^@\s.,;<>\"()]{2,}")
FAKE_LOCALS = ("fake", "asdf", "noemail", "none", "nobody")
FAKE_DOMAINS = (".invalid", ".localhost")
REMOVABLE = ("subscribed", "unsubscribed", "transactional")


def lowered(email):
    """One character for one: a capital sigma at the end of a word is a small sigma like any other."""
    return "".join(character.lower() if len(character.lower()) == 1 else character for character in email)


def hash_of(email):
    return hashlib.md5(lowered(email.strip()).encode("utf-8", "surrogatepass")).hexdigest()


def judge_email(email):
    if len(email) > 320 or not EMAIL.fullmatch(email) or ".." in email:
        raise problem.refused("Please provide a valid email address.")
    local, _, domain = email.lower().rpartition("@")
    if local in FAKE_LOCALS or domain.endswith(FAKE_DOMAINS):
        raise problem.fake(email)


class Member:
    __slots__ = ("id", "email", "status", "merge", "interests", "tags", "language", "vip", "email_type", "location",
                 "ip_signup", "ip_opt", "timestamp_signup", "timestamp_opt", "last_changed", "unique_email_id",
                 "contact_id", "web_id", "source", "reason", "rating", "note", "orders", "permissions", "events",
                 "barred", "unsubscribed_at")

    def __init__(self, email, web_id, status, now):
        self.email, self.id, self.web_id, self.status = email, hash_of(email), web_id, status
        self.contact_id = hashlib.md5(b"contact %d" % web_id).hexdigest()
        self.unique_email_id = self.contact_id[4:14]
        self.merge, self.interests, self.tags = {}, frozenset(), {}
        self.language, self.vip, self.email_type, self.location = "", False, "html", None
        self.ip_signup = self.ip_opt = self.source = self.reason = ""
        self.timestamp_signup = 0
        self.timestamp_opt = now if status == "subscribed" else 0
        self.last_changed = now
        self.rating, self.note, self.orders = 2, None, None
        self.permissions, self.events = {}, None
        # Barred: the member left or bounced by itself, so that no API call may subscribe it again.
        self.barred, self.unsubscribed_at = False, 0

    def show(self, audience):
        """The full resource, without _links (see shown.py)."""
        place = self.location or (0, 0, 0, 0, "", "", "")
        merge, names = self.merge, audience.fields.view()
        first, last = merge.get("FNAME", ""), merge.get("LNAME", "")
        shown = {
            "id": self.id, "email_address": self.email, "unique_email_id": self.unique_email_id,
            "contact_id": self.contact_id, "full_name": f"{first} {last}".strip(), "web_id": self.web_id,
            "email_type": self.email_type, "status": self.status,
        }
        if self.status == "unsubscribed" or self.reason:
            shown["unsubscribe_reason"] = self.reason or "N/A (Unsubscribed by admin)"
        shown.update({
            "consents_to_one_to_one_messaging": self.status == "subscribed",
            "merge_fields": {tag: merge.get(tag, "") for tag in names},
        })
        if audience.interest_ids:
            chosen = self.interests
            shown["interests"] = {key: key in chosen for key in audience.interest_ids}
        orders = self.orders
        shown["stats"] = {"avg_open_rate": self.rating / 10, "avg_click_rate": self.rating / 20}
        if orders is not None:
            shown["stats"]["ecommerce_data"] = {"total_revenue": orders[1], "number_of_orders": orders[0],
                                                "currency_code": "EUR"}
        shown.update({
            "ip_signup": self.ip_signup, "timestamp_signup": moment_of(self.timestamp_signup), "ip_opt": self.ip_opt,
            "timestamp_opt": moment_of(self.timestamp_opt), "member_rating": self.rating,
            "last_changed": moment_of(self.last_changed), "language": self.language, "vip": self.vip, "email_client": "",
            "location": {"latitude": place[0], "longitude": place[1], "gmtoff": place[2], "dstoff": place[3],
                         "country_code": place[4], "timezone": place[5], "region": place[6]},
        })
        if audience.permissions:
            shown["marketing_permissions"] = [
                {"marketing_permission_id": key, "text": text, "enabled": self.permissions.get(key, False)}
                for key, text in audience.permissions.items()]
        if self.note is not None:
            shown["last_note"] = {"note_id": self.note[0], "created_at": moment_of(self.note[1]),
                                  "created_by": self.note[2], "note": self.note[3]}
        shown.update({
            "source": self.source, "tags_count": len(self.tags),
            "tags": [{"id": key, "name": audience.segments[key]["name"]} for key in self.tags],
            "list_id": audience.id,
        })
        return shown


# What a body names and where it is kept, for the members that are taken as they come.
PLAIN = (("email_type", "email_type"), ("language", "language"), ("vip", "vip"), ("ip_signup", "ip_signup"),
         ("ip_opt", "ip_opt"))


def state_of(member):
    """All that a change may change, to tell whether one did."""
    return (member.email, member.status, member.merge, member.interests, member.language, member.vip, member.email_type,
            member.location, member.ip_signup, member.ip_opt, member.timestamp_signup, member.timestamp_opt,
            dict(member.permissions), tuple(member.tags))


def judge_status(member, status):
    """Whether this member may come to this status; a barred one may only be asked (pending) or stay out."""
    if member.barred and status in ("subscribed", "transactional"):
        raise problem.compliance(member.email)


def take(audience, member, body, values, now):
    """Writes what a body says into a member; everything has been judged before."""
    member.merge = values
    status = body.get("status")
    if status is not None and status != member.status:
        if status == "unsubscribed":
            member.reason, member.unsubscribed_at = "N/A (Unsubscribed by admin)", now
        elif status == "subscribed":
            member.reason, member.timestamp_opt = "", now
        member.status = status
    for name, slot in PLAIN:
        if name in body:
            setattr(member, slot, body[name])
    if "interests" in body:
        chosen = set(member.interests)
        for key, wanted in body["interests"].items():
            (chosen.add if wanted else chosen.discard)(key)
        member.interests = frozenset(chosen)
    if "location" in body:
        place = member.location or (0, 0, 0, 0, "", "", "")
        member.location = (body["location"].get("latitude", place[0]), body["location"].get("longitude", place[1]),
                           *place[2:])
    for name in ("timestamp_signup", "timestamp_opt"):
        if name in body:
            setattr(member, name, int(seconds_of(body[name]) or 0) if body[name] else 0)
    for permission in body.get("marketing_permissions", ()):
        if permission.get("marketing_permission_id") in audience.permissions:
            member.permissions[permission["marketing_permission_id"]] = permission.get("enabled", False)
