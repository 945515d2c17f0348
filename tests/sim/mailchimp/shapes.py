# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Shapes of bodies and query values: what a request may say, refused with the vendor's words when it says something else.

A shape is a small object with check(value, where, errors), which appends (field, message) pairs. The vendor names array
elements "item:N". Names that the vendor's spec does not declare are refused too: see the README for what is stricter here
than it is known to be there.
"""

import datetime

from mailchimp import problem

NAMES = {type(None): "NULL", bool: "boolean", int: "integer", float: "double", str: "string", list: "array", dict: "object"}
STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional")
COUNT_DEFAULT, COUNT_MAX = 10, 1000


def mismatch(kind, value):
    return f"Schema describes {kind}, {NAMES[type(value)]} found instead"


class Text:
    def __init__(self, *choices, bytes_max=65536):
        self.choices, self.bytes_max = choices, bytes_max

    def check(self, value, where, errors):
        if not isinstance(value, str):
            errors.append((where, mismatch("string", value)))
        elif self.choices and value not in self.choices:
            errors.append((where, "Value must be one of: " + ", ".join(self.choices)))
        elif len(value.encode("utf-8", "replace")) > self.bytes_max:
            errors.append((where, f"This value should be {self.bytes_max} bytes or less"))


class Moment:
    def check(self, value, where, errors):
        if not isinstance(value, str):
            errors.append((where, mismatch("string", value)))
        elif value and seconds_of(value) is None:
            errors.append((where, "This value is not a valid datetime."))


class Flag:
    def check(self, value, where, errors):
        if not isinstance(value, bool):
            errors.append((where, mismatch("boolean", value)))


class Whole:
    def check(self, value, where, errors):
        if not isinstance(value, int) or isinstance(value, bool):
            errors.append((where, mismatch("integer", value)))


class Number:
    def check(self, value, where, errors):
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            errors.append((where, mismatch("number", value)))


class MergeValue:
    """Text, a number or an address; the field's own rules come later."""

    def check(self, value, where, errors):
        if isinstance(value, dict):
            if not all(isinstance(part, str) for part in value.values()):
                errors.append((where, problem.NOT_ANY_OF))
        elif isinstance(value, bool) or not isinstance(value, (str, int, float)):
            errors.append((where, problem.NOT_ANY_OF))


class Many:
    def __init__(self, item, most=None):
        self.item, self.most = item, most

    def check(self, value, where, errors):
        if not isinstance(value, list):
            errors.append((where, mismatch("array", value)))
            return
        if self.most is not None and len(value) > self.most:
            errors.append((where, f"Array must not have more than {self.most} items, {len(value)} found"))
            return
        for index, item in enumerate(value):
            self.item.check(item, f"{where}.item:{index}", errors)


class Map:
    """An object whose names are data."""

    def __init__(self, value):
        self.value = value

    def check(self, value, where, errors):
        if not isinstance(value, dict):
            errors.append((where, mismatch("object", value)))
            return
        for name, item in value.items():
            self.value.check(item, f"{where}.{name}", errors)


class Open(Map):
    """Any object."""

    def __init__(self):
        super().__init__(self)

    def check(self, value, where, errors):
        if not isinstance(value, dict):
            errors.append((where, mismatch("object", value)))


class Thing:
    """An object of known names."""

    def __init__(self, fields, required=()):
        self.fields, self.required = fields, required

    def check(self, value, where, errors):
        if not isinstance(value, dict):
            errors.append((where, mismatch("object", value)))
            return
        missing = [name for name in self.required if name not in value]
        if missing:
            errors.append((where, "Required fields were not provided: " + ", ".join(missing)))
        inside = where + "." if where else ""
        for name, item in value.items():
            shape = self.fields.get(name)
            if shape is None:
                errors.append((inside + name, "This field is not part of the resource"))
            else:
                shape.check(item, inside + name, errors)


def judge(shape, body):
    """Raises the Problem of a body that does not fit."""
    errors = []
    shape.check(body, "", errors)
    if errors:
        raise problem.invalid(*errors[:50])


_MEMBER = {
    "email_address": Text(bytes_max=1024), "email_type": Text("html", "text"), "status": Text(*STATUSES),
    "merge_fields": Map(MergeValue()), "interests": Map(Flag()), "language": Text(bytes_max=16), "vip": Flag(),
    "location": Thing({"latitude": Number(), "longitude": Number()}),
    "ip_signup": Text(bytes_max=64), "ip_opt": Text(bytes_max=64), "timestamp_signup": Moment(), "timestamp_opt": Moment(),
}
_PERMISSIONS = Many(Thing({"marketing_permission_id": Text(), "enabled": Flag()}))
_FIELD = {
    "name": Text(bytes_max=255), "tag": Text(bytes_max=255), "required": Flag(), "default_value": Text(), "public": Flag(),
    "display_order": Whole(), "help_text": Text(),
}
_CHOICES = {"choices": Many(Text()), "date_format": Text("MM/DD/YYYY", "DD/MM/YYYY", "MM/DD", "DD/MM"),
            "phone_format": Text("US", "international", "none"), "default_country": Whole()}
FIELD_TYPES = ("text", "number", "address", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip")
_CONDITIONS = Thing({"match": Text("any", "all"), "conditions": Many(Open())})

MEMBER_PUT = Thing({**_MEMBER, "status_if_new": Text(*STATUSES), "marketing_permissions": _PERMISSIONS})
MEMBER_PATCH = Thing({**_MEMBER, "status": Text(*STATUSES[:4]), "marketing_permissions": _PERMISSIONS})
MEMBER_POST = Thing({**_MEMBER, "tags": Many(Text()), "marketing_permissions": _PERMISSIONS}, ("email_address", "status"))
# `tags` of batch members is not in the spec, but sync_tags speaks of it.
BATCH = Thing({"members": Many(Thing({**_MEMBER, "tags": Many(Text())}, ("email_address",)), 500),
               "update_existing": Flag(), "sync_tags": Flag()}, ("members",))
FIELD_POST = Thing({**_FIELD, "type": Text(*FIELD_TYPES), "options": Thing({**_CHOICES, "size": Whole()})}, ("name", "type"))
FIELD_PATCH = Thing({**_FIELD, "options": Thing(_CHOICES)}, ("name",))
CATEGORY = Thing({"title": Text(bytes_max=255), "type": Text("checkboxes", "dropdown", "radio", "hidden"),
                  "display_order": Whole()}, ("title", "type"))
INTEREST = Thing({"name": Text(bytes_max=255), "display_order": Whole()}, ("name",))
SEGMENT = Thing({"name": Text(bytes_max=100), "static_segment": Many(Text()), "options": _CONDITIONS}, ("name",))
SEGMENT_BATCH = Thing({"members_to_add": Many(Text(), 500), "members_to_remove": Many(Text(), 500)})
SEGMENT_MEMBER = Thing({"email_address": Text()}, ("email_address",))
TAGS = Thing({"tags": Many(Thing({"name": Text(bytes_max=100), "status": Text("active", "inactive")}, ("name", "status"))),
              "is_syncing": Flag()}, ("tags",))
EVENT = Thing({"name": Text(bytes_max=30), "properties": Map(Text()), "is_syncing": Flag(), "occurred_at": Moment()},
              ("name",))
LIST = {"name": Text(bytes_max=255), "permission_reminder": Text(), "email_type_option": Flag(), "double_optin": Flag(),
        "marketing_permissions": Flag(), "use_archive_bar": Flag(), "notify_on_subscribe": Text(),
        "notify_on_unsubscribe": Text(),
        "contact": Thing({name: Text() for name in ("company", "address1", "address2", "city", "state", "zip", "country",
                                                    "phone")}, ("company", "address1", "city", "country")),
        "campaign_defaults": Thing({name: Text() for name in ("from_name", "from_email", "subject", "language")},
                                   ("from_name", "from_email", "subject", "language"))}
LIST_POST = Thing(LIST, ("name", "contact", "permission_reminder", "campaign_defaults", "email_type_option"))
LIST_PATCH = Thing(LIST, ("name", "contact", "permission_reminder", "campaign_defaults", "email_type_option"))
WEBHOOK = Thing({"url": Text(bytes_max=2048),
                 "events": Thing({name: Flag() for name in ("subscribe", "unsubscribe", "profile", "cleaned", "upemail",
                                                            "campaign")}),
                 "sources": Thing({name: Flag() for name in ("user", "admin", "api")})})
BATCHES = Thing({"operations": Many(Thing({"method": Text("GET", "POST", "PUT", "PATCH", "DELETE"), "path": Text(),
                                           "params": Open(), "body": Text(bytes_max=4 << 20), "operation_id": Text()},
                                          ("method", "path")), 1000)}, ("operations",))


# ---- moments ----

def seconds_of(text):
    """Unix seconds of an ISO 8601 moment; None when it is none. Without an offset it is UTC."""
    try:
        moment = datetime.datetime.fromisoformat(text.strip().replace(" ", "T", 1) if "T" not in text else text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp()


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_texts = {}


def moment_of(seconds):
    """The vendor's way to write a moment; "" for none."""
    if not seconds:
        return ""
    seconds = int(seconds)
    text = _texts.get(seconds)
    if text is None:
        if len(_texts) > 500_000:
            _texts.clear()
        text = _texts[seconds] = (_EPOCH + datetime.timedelta(seconds=seconds)).isoformat()
    return text


# ---- query values ----

def whole(query, name, default, most=None):
    text = query.get(name)
    if text is None:
        return default
    if not text.isdigit() or (most is not None and int(text) > most):
        limit = f"between 0 and {most}" if most is not None else "0 or more"
        raise problem.invalid((name, f"This value should be a whole number {limit}"))
    return int(text)


def moment(query, name):
    text = query.get(name)
    if not text:
        return None
    # "+" of an offset that was not escaped arrives as a blank; the vendor reads it all the same.
    seconds = seconds_of(text.replace(" ", "+") if "T" in text else text)
    if seconds is None:
        raise problem.invalid((name, "This value is not a valid datetime."))
    return seconds


def flag(query, name):
    text = query.get(name)
    if text is None:
        return None
    if text.lower() not in ("true", "false", "1", "0"):
        raise problem.invalid((name, "Schema describes boolean, string found instead"))
    return text.lower() in ("true", "1")


def choice(query, name, choices):
    text = query.get(name)
    if text is not None and text not in choices:
        raise problem.invalid((name, "Value must be one of: " + ", ".join(choices)))
    return text
