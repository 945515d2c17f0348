# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Merge fields: the typed columns of an audience. One function per type judges a value and gives what is kept.

"" is empty for every type. A judge returns the value to keep or raises Wrong with the vendor's message.
"""

import datetime
import re

from mailchimp import problem

TEXT_BYTES_MAX, TAG_CHARS_MAX, FIELDS_MAX = 255, 10, 80
ADDRESS_PARTS = ("addr1", "addr2", "city", "state", "zip", "country")
ADDRESS_REQUIRED = ("addr1", "city", "state", "zip")
RESERVED = ("EMAIL", "ARCHIVE", "UNSUB", "REWARDS", "INTERESTS", "DATE")


class Wrong(Exception):
    pass


def _text(value, options):
    if isinstance(value, dict):
        raise Wrong("Please enter a value")
    value = value if isinstance(value, str) else repr(value)
    if len(value.encode("utf-8", "replace")) > TEXT_BYTES_MAX:
        raise Wrong(f"Please limit this value to {TEXT_BYTES_MAX} bytes")
    return value


def _number(value, options):
    if isinstance(value, str):
        if not re.fullmatch(r"\s*[-+]?(\d+(\.\d*)?|\.\d+)\s*", value):
            raise Wrong("Please enter a number")
        value = float(value) if "." in value else int(value)
    if isinstance(value, dict):
        raise Wrong("Please enter a number")
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2 ** 53 else value


def _address(value, options):
    if not isinstance(value, dict):
        raise Wrong("Please enter a complete address")
    if not any(value.values()):
        return ""
    if any(not value.get(part) for part in ADDRESS_REQUIRED) or any(part not in ADDRESS_PARTS for part in value):
        raise Wrong("Please enter a complete address")
    if any(len(part.encode("utf-8", "replace")) > TEXT_BYTES_MAX for part in value.values()):
        raise Wrong(f"Please limit this value to {TEXT_BYTES_MAX} bytes")
    return {part: value.get(part) or ("US" if part == "country" else "") for part in ADDRESS_PARTS}


def _phone(value, options):
    value = _text(value, options)
    if options.get("phone_format") == "US" and not re.fullmatch(r"\(?\d{3}\)?[- .]?\d{3}[- .]?\d{4}", value):
        raise Wrong("Please enter a valid US phone number")
    if not re.search(r"\d", value):
        raise Wrong("Please enter a valid phone number")
    return value


def _date(value, options):
    value = _text(value, options)
    local = "%d/%m/%Y" if options.get("date_format") == "DD/MM/YYYY" else "%m/%d/%Y"
    for layout in ("%Y-%m-%d", local):
        try:
            return datetime.datetime.strptime(value, layout).strftime("%Y-%m-%d")
        except ValueError:
            pass
    raise Wrong("Please enter the date in the format YYYY-MM-DD")


def _birthday(value, options):
    value = _text(value, options)
    layout = "%Y/%d/%m" if options.get("date_format") == "DD/MM" else "%Y/%m/%d"
    if not re.fullmatch(r"\d{1,2}/\d{1,2}", value):
        raise Wrong("Please enter a month (01-12) and a day (01-31)")
    try:
        datetime.datetime.strptime("2000/" + value, layout)
    except ValueError:
        raise Wrong("Please enter a month (01-12) and a day (01-31)") from None
    return "/".join(part.zfill(2) for part in value.split("/"))


def _url(value, options):
    value = _text(value, options)
    if not re.fullmatch(r"https?://[^\s/]+\.[^\s]+", value):
        raise Wrong("Please enter a complete URL, with http:// or https://")
    return value


def _choice(value, options):
    value = _text(value, options)
    if value not in options.get("choices", ()):
        raise Wrong("Please choose one of the available options")
    return value


def _zip(value, options):
    value = _text(value, options)
    if not re.fullmatch(r"\d{5}(-\d{4})?", value):
        raise Wrong("Please enter a valid zip code")
    return value


JUDGES = {"text": _text, "number": _number, "address": _address, "phone": _phone, "date": _date, "birthday": _birthday,
          "url": _url, "imageurl": _url, "radio": _choice, "dropdown": _choice, "zip": _zip}


def _options(kind, given):
    """The options the vendor shows for a field of this kind."""
    if kind == "text":
        return {"size": given.get("size", 25)}
    if kind in ("radio", "dropdown"):
        return {"choices": list(given.get("choices", ()))}
    if kind == "date":
        return {"date_format": given.get("date_format", "MM/DD/YYYY")}
    if kind == "birthday":
        return {"date_format": given.get("date_format", "MM/DD")}
    if kind == "phone":
        return {"phone_format": given.get("phone_format", "none")}
    if kind == "address":
        return {"default_country": given.get("default_country", 164)}
    return {}


class Fields:
    """The merge fields of one audience, by tag, in order of their display."""

    def __init__(self, list_id):
        self.list_id, self.by_tag, self.next_id = list_id, {}, 1
        self._view = None

    def view(self):
        """(tag, value when empty) of all fields, in order."""
        if self._view is None:
            self._view = tuple(self.by_tag)
        return self._view

    def required(self):
        return [tag for tag, field in self.by_tag.items() if field["required"]]

    def find(self, merge_id):
        for field in self.by_tag.values():
            if str(field["merge_id"]) == merge_id:
                return field
        raise problem.not_found()

    def create(self, body):
        if len(self.by_tag) >= FIELDS_MAX:
            raise problem.refused(f"This list already has the maximum of {FIELDS_MAX} merge fields.")
        tag = body.get("tag", "").upper() or self._free_tag(body["name"])
        self._judge_tag(tag, None)
        if not body["name"].strip():
            raise problem.invalid(("name", "Please enter a value"))
        kind = body["type"]
        options = _options(kind, body.get("options", {}))
        if kind in ("radio", "dropdown") and not options["choices"]:
            raise problem.invalid(("options.choices", "Please provide at least one choice"))
        field = {"merge_id": self.next_id, "tag": tag, "name": body["name"], "type": kind,
                 "required": body.get("required", False), "default_value": body.get("default_value", ""),
                 "public": body.get("public", False), "display_order": body.get("display_order", self.next_id + 1),
                 "options": options, "help_text": body.get("help_text", ""), "list_id": self.list_id}
        self.next_id += 1
        self.by_tag[tag] = field
        self._view = None
        return field

    def change(self, field, body):
        tag = body.get("tag", field["tag"]).upper()
        if tag != field["tag"]:
            self._judge_tag(tag, field)
            self.by_tag = {tag if key == field["tag"] else key: value for key, value in self.by_tag.items()}
        field.update({name: value for name, value in body.items() if name not in ("tag", "options")}, tag=tag)
        field["options"].update({name: value for name, value in body.get("options", {}).items() if name in field["options"]})
        self._view = None

    def drop(self, field):
        del self.by_tag[field["tag"]]
        self._view = None

    def _free_tag(self, name):
        tag = re.sub(r"[^A-Z0-9_]", "", name.upper())[:TAG_CHARS_MAX]
        return tag if tag and tag not in self.by_tag else f"MMERGE{self.next_id}"

    def _judge_tag(self, tag, own):
        if not re.fullmatch(rf"[A-Z0-9_]{{1,{TAG_CHARS_MAX}}}", tag):
            raise problem.invalid(("tag", f"Merge tags are 1 to {TAG_CHARS_MAX} characters A-Z, 0-9 and _"))
        if tag in RESERVED:
            raise problem.invalid(("tag", f"The merge tag \"{tag}\" is reserved"))
        if tag in self.by_tag and self.by_tag[tag] is not own:
            raise problem.refused(f"A Merge Field with the tag \"{tag}\" already exists for this list.")

    def judge(self, given, kept, skip_required):
        """The values to keep: those that are kept, changed by those given. Tags the audience does not have are ignored.

        Raises the Problem that names every field at fault.
        """
        errors, values = [], dict(kept)
        for tag, value in given.items():
            field = self.by_tag.get(tag.upper())
            if field is None:
                continue
            if value == "":
                values.pop(field["tag"], None)
                continue
            try:
                value = JUDGES[field["type"]](value, field["options"])
            except Wrong as wrong:
                errors.append((field["tag"], str(wrong)))
                continue
            if value == "":
                values.pop(field["tag"], None)
            else:
                values[field["tag"]] = value
        if not skip_required:
            at_fault = {tag for tag, _ in errors}
            errors.extend((tag, "Please enter a value") for tag in self.required() if tag not in values and tag not in at_fault)
        if errors:
            raise problem.bad_merge_fields(errors)
        return values
