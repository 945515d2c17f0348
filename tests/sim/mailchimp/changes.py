# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What the vendor's own users do meanwhile (POST /_sim/change), and what the account holds (GET /_sim/state).

An order is {"op": ..., ...} or {"ops": [...]}; `list` names the audience, the first one when it is absent.
"""

from mailchimp import problem
from mailchimp.members import hash_of
from mailchimp.shapes import moment_of


class Changes:
    def __init__(self, account, clock):
        self.account, self.clock = account, clock
        self.ops = {"add": self.add, "set": self.set, "unsubscribe": self.unsubscribe, "resubscribe": self.resubscribe,
                    "clean": self.clean, "archive": self.archive, "delete": self.delete, "email": self.email,
                    "touch": self.touch, "bar": self.bar, "tag": self.tag, "field_add": self.field_add,
                    "field_drop": self.field_drop, "field_type": self.field_type, "activity": self.activity,
                    "double_optin": self.double_optin, "key_revoke": self.key_revoke, "role": self.role}

    def change(self, order):
        orders = order.get("ops", [order])
        try:
            return {"done": [self.ops[one["op"]](one) for one in orders]}
        except problem.Problem as reason:
            raise ValueError(f"{reason.title}: {reason.detail} {reason.errors}") from None

    def audience(self, order):
        return self.account.audience(order.get("list") or next(iter(self.account.lists)))

    def member(self, order):
        audience = self.audience(order)
        return audience, audience.get(hash_of(order["email"]))

    def add(self, order):
        body = {"merge_fields": {}, **order.get("member", {}), "email_address": order["email"]}
        return self.audience(order).create(body, body.get("status", "subscribed"), self.clock.now(), True).id

    def set(self, order):
        """Fields as PATCH takes them."""
        audience, member = self.member(order)
        audience.change(member, order["member"], self.clock.now(), True)
        return member.id

    def _status(self, order, status, barred):
        audience, member = self.member(order)
        member.status, member.barred = status, barred
        if status == "unsubscribed":
            member.reason, member.unsubscribed_at = order.get("reason", "None given"), int(self.clock.now())
        audience.touch(member, self.clock.now())
        return member.id

    def unsubscribe(self, order):
        """By the member itself: the API may not take that back."""
        return self._status(order, "unsubscribed", True)

    def resubscribe(self, order):
        return self._status(order, "subscribed", False)

    def clean(self, order):
        return self._status(order, "cleaned", True)

    def bar(self, order):
        """A compliance review: as it is, but never to be subscribed by the API."""
        self.member(order)[1].barred = True
        return self.member(order)[1].id

    def archive(self, order):
        audience, member = self.member(order)
        audience.archive(member, self.clock.now())
        return member.id

    def delete(self, order):
        audience, member = self.member(order)
        audience.forget(member)
        return member.id

    def email(self, order):
        """The member's email becomes `to`, so its id is another."""
        audience, member = self.member(order)
        audience.change(member, {"email_address": order["to"]}, self.clock.now(), True)
        return member.id

    def touch(self, order):
        """last_changed becomes `at` (seconds) or the present, nothing else: for equal moments at a boundary."""
        audience, member = self.member(order)
        audience.touch(member, order.get("at", self.clock.now()))
        return member.id

    def tag(self, order):
        audience, member = self.member(order)
        return audience.tag(member, order["tag"], order.get("active", True), self.clock.now())

    def field_add(self, order):
        audience = self.audience(order)
        audience.version += 1
        return audience.fields.create(order["field"])["merge_id"]

    def _field(self, order):
        audience = self.audience(order)
        field = audience.fields.by_tag.get(order["tag"])
        if field is None:
            raise problem.not_found()
        return audience, field

    def field_drop(self, order):
        audience, field = self._field(order)
        audience.drop_field(field)
        return field["merge_id"]

    def field_type(self, order):
        """As when a field is dropped and made again under the same tag with another type: its values are gone."""
        audience, field = self._field(order)
        audience.drop_field(field)
        made = audience.fields.create({"tag": order["tag"], "name": field["name"], "type": order["type"],
                                       **order.get("more", {})})
        return made["merge_id"]

    def activity(self, order):
        """`action` (open, click, bounce, unsub) of `email` in `campaign`."""
        campaign = self.account.campaign(order["campaign"])
        delivery = campaign.deliveries[hash_of(order["email"])]
        at = int(order.get("at", self.clock.now()))
        if order["action"] == "unsub":
            delivery.left_at, delivery.reason = at, order.get("reason", "None given")
        else:
            delivery.activity = (delivery.activity or []) + [(order["action"], at, order.get("url", ""),
                                                              order.get("type", ""))]
        return delivery.email_id

    def double_optin(self, order):
        self.audience(order).double_optin = order["on"]
        return order["on"]

    def key_revoke(self, order):
        self.account.users[order["key"]].revoked = order.get("revoked", True)
        return True

    def role(self, order):
        self.account.users[order["key"]].role = order["role"]
        return order["role"]


def state_of(account, batches, query):
    """Query: `list` and `email` narrow it, `summary=1` leaves the members out."""
    lists = {}
    for audience in account.lists.values():
        if query.get("list", audience.id) != audience.id:
            continue
        chosen = audience.members.values()
        if query.get("email"):
            chosen = [member for member in chosen if member.id == hash_of(query["email"])]
        counts = {}
        for member in audience.members.values():
            counts[member.status] = counts.get(member.status, 0) + 1
        lists[audience.id] = {
            "name": audience.name, "counts": counts, "forgotten": sorted(audience.forgotten),
            "merge_fields": list(audience.fields.by_tag.values()),
            "interests": {key: interest["name"] for category in audience.categories.values()
                          for key, interest in category["interests"].items()},
            "segments": [{"id": one["id"], "name": one["name"], "type": one["type"],
                          "members": sorted(one["members"]) if one["members"] is not None else None}
                         for one in audience.segments.values()],
            "members": {} if query.get("summary") else {
                member.id: brief_state(audience, member) for member in chosen}}
    return {"lists": lists, "campaigns": {one.id: {"status": one.status, "list_id": one.audience.id,
                                                   "recipients": len(one.deliveries)}
                                          for one in account.campaigns.values()},
            "batches": {batch.key: {"operations": len(batch.operations), "done": batch.done, "errored": batch.errored}
                        for batch in batches.batches.values()}}


def brief_state(audience, member):
    return {"email_address": member.email, "status": member.status, "merge_fields": member.merge,
            "interests": sorted(member.interests), "tags": sorted(audience.segments[key]["name"] for key in member.tags),
            "language": member.language, "vip": member.vip, "last_changed": moment_of(member.last_changed),
            "contact_id": member.contact_id, "barred": member.barred,
            "events": [event["name"] for event in member.events or ()]}
