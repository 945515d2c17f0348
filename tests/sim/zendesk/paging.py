# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Pages of lists: by cursor (`page[size]`, `page[after]`) or by offset (`page`, `per_page`, never beyond 10,000 records)."""

import base64
import json
import urllib.parse

from server import Answer

from .errors import bad_parameter, bad_request

SIZE_MAX, OFFSET_PAGES_MAX, OFFSET_RECORDS_MAX = 100, 100, 10000
QUERY = ("page", "per_page", "page[size]", "page[after]", "page[before]", "sort", "include", "sort_by", "sort_order")


def number(request, name, default, least=1, most=None, code="InvalidPaginationParameter"):
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        raise bad_parameter(code, "Invalid pagination parameter", f"{name} is {text!r}, not between {least} and {most}")
    return int(text)


def ids(request, name, most=100):
    """The numbers of a comma list."""
    parts = [part.strip() for part in request.query.get(name, "").split(",") if part.strip()]
    if len(parts) > most:
        raise bad_request("TooManyValues", f"{name} accepts at most {most} ids, {len(parts)} were given")
    if not all(part.isdecimal() for part in parts):
        raise bad_request("InvalidValue", f"{name} is a comma-separated list of ids")
    return [int(part) for part in parts]


def link(request, **changes):
    pairs = [(name, value) for name, value in request.pairs if name not in ("page[after]", "page[before]", "page")]
    return f"{request.base}{request.path}?" + urllib.parse.urlencode(pairs + list(changes.items()))


def pack(path, value):
    path = path.removesuffix(".json")
    return base64.urlsafe_b64encode(json.dumps([path, value]).encode()).decode().rstrip("=")


def unpack(path, text):
    try:
        where, value = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError):
        where, value = None, None
    if where != path.removesuffix(".json"):
        raise bad_parameter("InvalidPaginationParameter", "Invalid cursor", "page[after] is not a cursor of this list")
    return value


def page_of(request, name, rows, show, key=lambda row: row["id"], more=lambda rows: {}):
    """`rows` stand in the order of `key`, which is of one type. `more` gives sideloads for the rows of the page."""
    if any(part.startswith("page[") for part in request.query):
        if "page" in request.query or "per_page" in request.query:
            raise bad_parameter("InvalidPaginationParameter", "Cursor and offset pagination cannot be mixed")
        return by_cursor(request, name, rows, show, key, more)
    page, size = number(request, "page", 1), number(request, "per_page", SIZE_MAX, most=SIZE_MAX)
    if page > OFFSET_PAGES_MAX or (page - 1) * size >= OFFSET_RECORDS_MAX:
        raise bad_parameter("InvalidPaginationDepth", "Pagination requests using Offset Pagination are limited",
                            f"page {page} of {size} is beyond 100 pages or 10,000 records; use cursor pagination")
    chosen = rows[(page - 1) * size:page * size]
    last = page * size >= len(rows)
    return Answer(200, {name: [show(row) for row in chosen], **more(chosen), "count": len(rows),
                        "next_page": None if last else link(request, page=page + 1),
                        "previous_page": None if page == 1 else link(request, page=page - 1)})


def by_cursor(request, name, rows, show, key, more):
    if request.fault("stale_cursor") and ("page[after]" in request.query or "page[before]" in request.query):
        raise bad_parameter("InvalidPaginationParameter", "Invalid cursor", "the cursor has expired")
    size = number(request, "page[size]", SIZE_MAX, most=SIZE_MAX)
    after, before = request.query.get("page[after]"), request.query.get("page[before]")
    begin = 0
    if after is not None:
        begin = first_beyond(rows, key, unpack(request.path, after), True)
    elif before is not None:
        begin = max(0, first_beyond(rows, key, unpack(request.path, before), False) - size)
    chosen = rows[begin:begin + size]
    has_more = begin + size < len(rows)
    first = pack(request.path, key(chosen[0])) if chosen else None
    last = pack(request.path, key(chosen[-1])) if chosen else None
    return Answer(200, {
        name: [show(row) for row in chosen], **more(chosen),
        "meta": {"has_more": has_more, "after_cursor": last, "before_cursor": first},
        "links": {"prev": link(request, **{"page[before]": first}) if begin > 0 and first else None,
                  "next": link(request, **{"page[after]": last}) if has_more else None}})


def first_beyond(rows, key, value, after):
    """Index of the first row whose key is greater (`after`), or not smaller."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        if key(rows[middle]) < value or (after and key(rows[middle]) == value):
            low = middle + 1
        else:
            high = middle
    return low
