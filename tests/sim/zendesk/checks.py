# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What a written record may hold: names and types of members, values of custom fields. Everything that is not right is named."""

import datetime
import re

from .errors import Invalid, bad_request

EMAIL = re.compile(r"^[^@\s,;<>()\[\]]+@[^@\s,;<>()\[\]]+\.[A-Za-z]{2,}$")
DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
DATE_TIME = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$")
TEXT_MAX, TEXTAREA_MAX = 65536, 65536


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def is_date_time(value):
    return isinstance(value, str) and DATE_TIME.match(value) is not None


def list_of(check):
    return lambda value: isinstance(value, list) and all(check(one) for one in value)


TYPES = {
    "string": lambda value: isinstance(value, str),
    "integer": is_int,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "date-time": is_date_time,
    "strings": list_of(lambda one: isinstance(one, str)),
    "integers": list_of(is_int),
    "objects": list_of(lambda one: isinstance(one, dict)),
    "tags": lambda value: isinstance(value, str) or list_of(lambda one: isinstance(one, str))(value),
    "any": lambda value: True,
}


def members(record, declared, fixed=()):
    """Invalid when a member is not declared or of another type. null stands for "no value" everywhere but in `fixed`."""
    wrong = {}
    for name, value in record.items():
        wanted = declared.get(name)
        if wanted is None:
            wrong[name] = [(f"{name}: is not a known attribute", "UnknownAttribute")]
        elif value is None:
            if name in fixed:
                wrong[name] = [(f"{title(name)}: cannot be blank", "BlankValue")]
        elif isinstance(wanted, tuple):
            if value not in wanted:
                wrong[name] = [(f"{title(name)}: {value!r} is not included in the list", "InvalidValue")]
        elif not TYPES[wanted](value):
            wrong[name] = [(f"{title(name)}: {value!r} is not of type {wanted}", "InvalidFormat")]
    if wrong:
        raise Invalid(wrong)


def title(name):
    return name.replace("_", " ").capitalize()


def wrapped(request, name, kind=dict):
    """body[name] of a request whose body is exactly {name: ...}. Refused (400) when it is not."""
    body = body_of(request)
    if not isinstance(body, dict) or not isinstance(body.get(name), kind):
        raise bad_request("ParameterMissing", f"Required parameter missing: {name}")
    surplus = sorted(set(body) - {name})
    if surplus:
        raise bad_request("InvalidParameter", f"unknown members beside {name}: {', '.join(surplus)}")
    return body[name]


def body_of(request):
    kind = (request.header("content-type") or "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise bad_request("InvalidContentType", f"Content-Type is {kind!r}, application/json is needed")
    try:
        return request.json()
    except ValueError as problem:
        raise bad_request("UnprocessableJSON", f"the body is not JSON: {problem}") from None


def email(value):
    """Lower-cased, or Invalid."""
    if not isinstance(value, str) or not EMAIL.match(value) or len(value) > 254:
        raise Invalid({"email": [(f"Email:  {value} is not properly formatted", "InvalidFormat")]})
    return value.lower()


def tags(value):
    """Lower-cased, spaces become underscores, each once, sorted as Zendesk gives them."""
    given = value.split() if isinstance(value, str) else value
    return sorted({"_".join(one.lower().split()) for one in given if one.strip()})


# ---- values of custom fields ----

def text_value(field, value, world):
    if not isinstance(value, str):
        raise ValueError("is not text")
    if len(value) > TEXT_MAX:
        raise ValueError("is too long")
    return value


def checkbox(field, value, world):
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def date(field, value, world):
    if not isinstance(value, str) or not DATE.match(value):
        raise ValueError("is not a date, YYYY-MM-DD is needed")
    datetime.date.fromisoformat(value)
    return value


def integer(field, value, world):
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value):
        value = int(value)
    if not is_int(value):
        raise ValueError("is not an integer")
    return value


def decimal(field, value, world):
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?", value):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("is not a number")
    return value


def regexp(field, value, world):
    if not isinstance(value, str) or not re.fullmatch(field["regexp_for_validation"], value):
        raise ValueError("is not valid")
    return value


def dropdown(field, value, world):
    if value not in [option["value"] for option in field["custom_field_options"]]:
        raise ValueError(f"{value!r} is not a valid option")
    return value


def multiselect(field, value, world):
    if not isinstance(value, list):
        raise ValueError("is not a list of options")
    return [dropdown(field, one, world) for one in value]


def lookup(field, value, world):
    table = {"zen:user": "users", "zen:organization": "organizations", "zen:ticket": "tickets"}[field["relationship_target_type"]]
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not is_int(number) or number not in world.tables[table].rows:
        raise ValueError(f"{value!r} is not a record of {field['relationship_target_type']}")
    return str(number)


VALUES = {"text": text_value, "textarea": text_value, "checkbox": checkbox, "date": date, "integer": integer,
          "decimal": decimal, "regexp": regexp, "dropdown": dropdown, "tagger": dropdown, "multiselect": multiselect,
          "lookup": lookup, "partialcreditcard": text_value}


def custom_value(field, value, world):
    """The value as it is kept, or Invalid. null clears; a checkbox is then false."""
    if value is None or (value == "" and field["type"] not in ("text", "textarea")):
        return False if field["type"] == "checkbox" else None
    try:
        return VALUES[field["type"]](field, value, world)
    except ValueError as problem:
        raise Invalid({field.get("key") or str(field["id"]): [(f"{field['title']}: {problem}", "InvalidValue")]}) from None
