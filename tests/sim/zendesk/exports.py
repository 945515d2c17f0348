# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Incremental exports, by cursor and by time, with their traps: records of one second, repeated boundaries, the withheld minute."""

import base64
import binascii
import bisect

from server import Answer, Route

from . import reads
from .errors import bad_request
from .paging import number

WITHHELD_SECONDS = 60
PAGE_MAX = 1000
CURSOR_QUERY = ("start_time", "cursor", "per_page", "include", "exclude_deleted", "support_type_scope")
TIME_QUERY = ("start_time", "per_page", "include", "exclude_deleted", "include_changes")


class Exports:
    def __init__(self, simulator):
        self.simulator, self.world = simulator, simulator.world
        self.page_max = simulator.options.export_page
        self.generation = 0  # cursors of an earlier one are refused

    def routes(self):
        def route(path, handler, query, resource):
            return Route("GET", "/api/v2/incremental/" + path, handler, query, resource=resource, admin=True)

        return [
            route("tickets/cursor", lambda request: self.by_cursor(request, "tickets"), CURSOR_QUERY, "tickets"),
            route("users/cursor", lambda request: self.by_cursor(request, "users"), CURSOR_QUERY, "users"),
            route("tickets", lambda request: self.by_time(request, "tickets"), TIME_QUERY, "tickets"),
            route("users", lambda request: self.by_time(request, "users"), TIME_QUERY, "users"),
            route("organizations", lambda request: self.by_time(request, "organizations"), TIME_QUERY, "organizations"),
            route("ticket_events", lambda request: self.by_time(request, "ticket_events"), TIME_QUERY, "tickets"),
            route("ticket_metric_events", lambda request: self.by_time(request, "ticket_metric_events"), TIME_QUERY, "tickets"),
        ]

    # ---- what both have ----

    def start_time(self, request):
        text = request.query.get("start_time")
        if text is None:
            raise bad_request("StartTimeMissing", "start_time: is missing")
        if not text.isdecimal():
            raise bad_request("StartTimeInvalid", "start_time: is not a Unix time")
        if int(text) > self.world.now() - WITHHELD_SECONDS:
            raise bad_request("StartTimeTooRecent", "Too recent start_time. Use a start_time older than 1 minute")
        return int(text)

    def size(self, request):
        return min(number(request, "per_page", PAGE_MAX, most=PAGE_MAX, code="InvalidValue"), self.page_max)

    def visible(self, name):
        """Rows in order of (second, id) without those of the last minute."""
        table = {"ticket_events": "audits", "ticket_metric_events": "metric_events"}.get(name, name)
        rows = self.world.tables[table].by_stamp()
        upto = bisect.bisect_right(rows, self.world.now() - WITHHELD_SECONDS, key=lambda row: row["_stamp"])
        return rows, upto

    def shower(self, request, name):
        world, base = self.world, request.base
        include = request.query.get("include", "").split(",")
        if name == "tickets":
            return reads.ticket_shower(world, base, include)
        if name == "ticket_events":
            return lambda row: event(row, "comment_events" in include)
        if name == "ticket_metric_events":
            return lambda row: {key: value for key, value in row.items() if key[0] != "_"}
        if name == "organizations":
            return lambda row: world.shown("organizations", row, base)
        return lambda row: world.shown("users", row, base)

    def check_include(self, request, name):
        allowed = {"tickets": set(reads.SIDELOADS), "ticket_events": {"comment_events"}, "users": reads.USER_SIDELOADS,
                   "organizations": set(), "ticket_metric_events": set()}[name]
        asked = {part for part in request.query.get("include", "").split(",") if part}
        if asked - allowed:
            raise bad_request("InvalidInclude", f"include does not take {', '.join(sorted(asked - allowed))} here")
        return asked

    def hidden(self, request, name):
        if request.query.get("exclude_deleted", "false") != "true":
            return lambda row: False
        return lambda row: row.get("status") == "deleted" if name == "tickets" else bool(row.get("deleted_at"))

    # ---- by cursor ----

    def by_cursor(self, request, name):
        self.simulator.limits.endpoint(request, "exports")
        size, asked = self.size(request), self.check_include(request, name)
        rows, upto = self.visible(name)
        if "cursor" in request.query:
            place = self.unpack(request, request.query["cursor"])
            begin = bisect.bisect_right(rows, place, hi=upto, key=lambda row: (row["_stamp"], row["id"]))
        else:
            begin = bisect.bisect_left(rows, self.start_time(request), hi=upto, key=lambda row: row["_stamp"])
            place = (int(request.query["start_time"]), 0)
        if request.fault("empty_page"):
            chosen, end = [], False
        else:
            chosen, end = rows[begin:min(begin + size, upto)], begin + size >= upto
        first = (chosen[0]["_stamp"], chosen[0]["id"]) if chosen else place
        last = (chosen[-1]["_stamp"], chosen[-1]["id"]) if chosen else place
        hidden = self.hidden(request, name)
        shown = [row for row in chosen if not hidden(row)]
        after, before = self.pack(last), self.pack(first)
        show = self.shower(request, name)
        url = f"{request.base}{request.path}?"
        keep = "".join(f"&{key}={value}" for key, value in request.pairs if key not in ("cursor", "start_time"))
        return Answer(200, {name: [show(row) for row in shown], **reads.sideloads(self.world, request, shown, asked),
                            "after_url": f"{url}cursor={after}{keep}", "after_cursor": after,
                            "before_url": f"{url}cursor={before}{keep}" if "cursor" in request.query else None,
                            "before_cursor": before if "cursor" in request.query else None, "end_of_stream": end})

    def pack(self, place):
        text = f"{place[0]}.0||{place[1]}" + (f"||{self.generation}" if self.generation else "")
        return base64.b64encode(text.encode()).decode().rstrip("=")

    def unpack(self, request, text):
        stale = bad_request("InvalidCursor", "The cursor is invalid or has expired")
        if request.fault("stale_cursor"):
            raise stale
        try:
            parts = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode().split("||")
            place = (int(float(parts[0])), int(parts[1]))
        except (ValueError, IndexError, binascii.Error):
            raise stale from None
        if (int(parts[2]) if len(parts) > 2 else 0) != self.generation:
            raise stale
        return place

    # ---- by time ----

    def by_time(self, request, name):
        """Every record of the second `start_time` and later: so a boundary comes twice, and more than a page of records of one
        second give the same next_page for ever. That is Zendesk's own behaviour."""
        self.simulator.limits.endpoint(request, "exports")
        start, size, asked = self.start_time(request), self.size(request), self.check_include(request, name)
        rows, upto = self.visible(name)
        begin = bisect.bisect_left(rows, start, hi=upto, key=lambda row: row["_stamp"])
        chosen = [] if request.fault("empty_page") else rows[begin:min(begin + size, upto)]
        end = begin + size >= upto and not request.fault("empty_page")
        end_time = chosen[-1]["_stamp"] if chosen else (None if end else start)
        hidden = self.hidden(request, name)
        shown = [row for row in chosen if not hidden(row)]
        keep = "".join(f"&{key}={value}" for key, value in request.pairs if key != "start_time")
        show = self.shower(request, name)
        return Answer(200, {
            name: [show(row) for row in shown], **reads.sideloads(self.world, request, shown, asked), "count": len(shown),
            "end_of_stream": end, "end_time": end_time,
            "next_page": None if end_time is None else f"{request.base}{request.path}?start_time={end_time}{keep}"})


def event(audit, with_comments):
    """An audit as ticket_events gives it: comments are among its children only when they are asked for."""
    children = []
    for one in audit["events"]:
        if one["type"] == "Comment":
            if not with_comments:
                continue
            children.append({**one, "event_type": "Comment", "via": audit["via"], "via_reference_id": None,
                             "created_at": audit["created_at"]})
        else:
            child = {"id": one["id"], "via": "Web service", "via_reference_id": None, "event_type": one["type"],
                     one["field_name"]: one["value"]}
            if one["type"] == "Change":
                child["previous_value"] = one["previous_value"]
            children.append(child)
    return {"id": audit["id"], "ticket_id": audit["ticket_id"], "timestamp": audit["_stamp"], "created_at": audit["created_at"],
            "updater_id": audit["author_id"], "via": "Web service", "system": audit["metadata"]["system"],
            "metadata": audit["metadata"], "event_type": "Audit", "child_events": children}
