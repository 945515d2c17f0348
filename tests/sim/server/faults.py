# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Faults that a test switches on: where each applies, when it strikes, how often. README.md has the table of kinds."""

import fnmatch
import threading

PAUSES = {"slow", "hold"}  # the request goes on after them
KINDS = PAUSES | {"status", "throttle", "html", "not_json", "empty", "mangle", "reset", "cut", "stall", "connect_reset"}
WHERE = {"method", "path", "query", "body_contains"}
WHEN = {"nth", "count", "for_s"}
WHAT = {"status", "headers", "body", "content_type", "applied", "retry_after", "seconds", "drip_s", "reset", "keep_bytes",
        "find", "replace"}


class FaultError(ValueError):
    """The order of a fault says something that nobody would do."""


class Faults:
    """`own_kinds`: the vendor's, by name with the members that each takes more (beside where and when)."""

    def __init__(self, clock, own_kinds=None):
        self.clock, self.own_kinds = clock, own_kinds or {}
        self.lock = threading.Lock()
        self.cleared = threading.Condition(self.lock)
        self.clears = 0
        self.holding = 0  # requests that a pause keeps waiting
        self.list = []

    def add(self, orders):
        if not isinstance(orders, list):
            raise FaultError("faults are a list")
        made = []
        for order in orders:
            kind = order.get("kind") if isinstance(order, dict) else None
            if kind not in KINDS and kind not in self.own_kinds:
                raise FaultError(f"unknown kind of fault {kind!r}, one of {sorted(KINDS | set(self.own_kinds))}")
            unknown = set(order) - WHERE - WHEN - {"kind"} - (WHAT if kind in KINDS else set(self.own_kinds[kind]))
            if unknown:
                raise FaultError(f"fault {kind!r} takes no {sorted(unknown)}")
            if kind == "status" and not isinstance(order.get("status"), int):
                raise FaultError("fault 'status' needs a status")
            if kind == "mangle" and not (isinstance(order.get("find"), str) and isinstance(order.get("replace"), str)):
                raise FaultError("fault 'mangle' needs find and replace")
            # A fault that lasts for a time strikes as often as it is met.
            made.append({"nth": 1, "count": -1 if "for_s" in order else 1, **order, "met": 0, "struck": 0, "until": None})
        with self.lock:
            self.list.extend(made)

    def clear(self):
        with self.lock:
            self.list.clear()
            self.clears += 1
            self.cleared.notify_all()

    def pause(self, struck):
        """What `slow` and `hold` take, unless all faults are cleared before, or were since these struck."""
        struck = [fault for fault in struck if fault["kind"] in PAUSES]
        if not struck:
            return
        held = any(fault["kind"] == "hold" for fault in struck)
        seconds = None if held else sum(fault.get("seconds", 1) for fault in struck)
        with self.lock:
            self.holding += 1
            self.cleared.wait_for(lambda: self.clears > struck[0]["clears"], seconds)
            self.holding -= 1

    def shown(self):
        with self.lock:
            return {"faults": [dict(fault) for fault in self.list], "holding": self.holding}

    def due(self, kinds, request=None):
        """Takes one use of every fault of `kinds` (names, or a function of a name) that strikes now, and gives them."""
        wanted = kinds if callable(kinds) else kinds.__contains__
        with self.lock:
            return [{**fault, "clears": self.clears} for fault in self.list
                    if wanted(fault["kind"]) and (request is None or applies(fault, request)) and self.strikes(fault)]

    def strikes(self, fault):
        fault["met"] += 1
        if fault["met"] < fault["nth"] or fault["count"] == 0:
            return False
        if "for_s" in fault:
            now = self.clock.now()
            if fault["until"] is None:
                fault["until"] = now + fault["for_s"]
            if now > fault["until"]:
                return False
        if fault["count"] > 0:
            fault["count"] -= 1
        fault["struck"] += 1
        return True


def applies(fault, request):
    if "method" in fault and fault["method"] != request.method:
        return False
    if "path" in fault and not fnmatch.fnmatchcase(request.path, fault["path"]):
        return False
    if any(request.query.get(name) != value for name, value in fault.get("query", {}).items()):
        return False
    return "body_contains" not in fault or fault["body_contains"].encode() in request.raw
