# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The base of a simulator: what a vendor's own class fills in, and the way of one request through it.

No sockets here: wire.py reads the request, calls answer_to() and sends what comes back.
"""

import collections
import email.utils
import sys
import threading
import time
import traceback

from .clock import Clock
from .exchange import Answer
from .faults import KINDS, PAUSES, Faults
from .ledger import Ledger
from .traffic import Traffic

LEDGER_BODY_BYTES = 64 * 1024
SILENT = {"reset", "stall"}  # faults that leave a request without an answer
ON_WIRE = SILENT | {"cut"}   # and those that wire.py does to the connection
HTML = "<!doctype html><html><head><title>Sign in</title></head><body><p>Please sign in to continue.</p></body></html>"


class Refusal(Exception):
    """Raised by a handler: the request ends with this answer. Whatever it changed before must have been nothing."""

    def __init__(self, answer):
        super().__init__(answer.status)
        self.answer = answer


class Calls:
    """What was asked how often, and how much at a time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        self.by_route, self.statuses = collections.Counter(), collections.Counter()
        self.bytes_in = self.bytes_out = self.in_flight_max = self.connections_max = self.connections_made = self.cut = 0
        self.defects = []
        if not hasattr(self, "in_flight"):
            self.in_flight = self.connections = 0

    def shown(self):
        with self.lock:
            return {"calls": dict(sorted(self.by_route.items())), "total": sum(self.by_route.values()),
                    "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
                    "throttled": self.statuses[429], "in_flight": self.in_flight, "in_flight_max": self.in_flight_max,
                    "connections": self.connections, "connections_max": self.connections_max,
                    "connections_made": self.connections_made, "cut_requests": self.cut, "bytes_in": self.bytes_in,
                    "bytes_out": self.bytes_out, "defects": list(self.defects)}


class Simulator:
    """A vendor's class sets `router` and overrides what differs. Handlers run under `lock`, one at a time."""

    fault_kinds = {}  # the vendor's own kinds of faults: name -> members they take
    router = None

    def __init__(self, options):
        self.options = options
        self.clock = Clock(options.now)
        self.lock = threading.RLock()
        self.faults = Faults(self.clock, self.fault_kinds)
        self.ledger = Ledger(options.ledger)
        self.traffic = Traffic(getattr(options, "traffic", None))
        self.calls = Calls()

    # ---- what a vendor fills in ----

    def hello(self):
        """More members of the line that the program prints at its start."""
        return {}

    def state(self, query):
        """All that it holds, as JSON, for tests to compare."""
        return {}

    def change(self, order):
        """Records made, changed, deleted as by the vendor's own users. Gives JSON. ValueError refuses the order."""
        raise ValueError("this simulator takes no changes")

    def fault_fits(self, kind, request):
        """Whether one of its own kinds of faults can strike this request at all: others are not counted for `nth`."""
        return True

    def side(self, request, name):
        """Anything more under /_sim/: an Answer, or None when there is no such thing."""
        return None

    def vendor_path(self, path):
        """The path as the routes name it, e.g. without a suffix that the vendor takes too."""
        return path

    def before(self, request):
        """Without the lock, ahead of everything: an Answer ends the request (e.g. too many connections), None goes on."""
        return None

    def after(self, request):
        """Without the lock, always once for each before()."""

    def admit(self, request):
        """Under the lock, ahead of the handler: rates, authorisation. Sets request.who. Raises Refusal."""

    def dress(self, request, answer):
        """Under the lock: headers that every answer of the vendor bears."""

    def no_route(self, request, allowed):
        return Answer(404 if not allowed else 405, {"error": "not found" if not allowed else "method not allowed"})

    def undeclared_query(self, request, names):
        return Answer(400, {"error": f"query names that are not declared: {', '.join(names)}"})

    def too_large(self, request):
        return Answer(413, {"error": "the body is too large"})

    def throttled(self, request, fault):
        """The vendor's 429; retry_after() has its header."""
        return Answer(429, {"error": "too many requests"}, self.retry_after(fault))

    def retry_after(self, fault):
        """The header of a fault's `retry_after`: a number of seconds, {"date": n} for the HTTP date n seconds from now, or
        absent: no header."""
        wait = fault.get("retry_after")
        if isinstance(wait, dict):
            wait = email.utils.formatdate(self.clock.now() + wait["date"], usegmt=True)
        return [] if wait is None else [("Retry-After", str(wait))]

    def kept(self, request):
        """What the ledger keeps of a request beside how it ended."""
        body = None
        if request.raw and not request.secret and len(request.raw) <= LEDGER_BODY_BYTES:
            body = request.raw.decode("utf-8", "replace")
        return {"body": body, "rows": request.rows}

    # ---- the way of a request ----

    def handled(self, request):
        """The vendor's answer, faults aside."""
        try:
            self.admit(request)
            if request.route is None:
                raise Refusal(self.no_route(request, request.params))
            unknown = request.route.undeclared(request.pairs)
            if unknown:
                raise Refusal(self.undeclared_query(request, unknown))
            answer = request.route.handler(request)
        except Refusal as refusal:
            answer = refusal.answer
        except Exception:  # a defect of the simulator, which must be seen and not hang a test
            trace = traceback.format_exc()
            print(trace, flush=True, file=sys.stderr)
            with self.calls.lock:
                self.calls.defects.append(trace)
            answer = Answer(500, "defect of the simulator\n" + trace, [("X-Sim-Defect", "1")])
        self.dress(request, answer)
        return answer

    def work(self, request, fault):
        """(what is answered, the mark of its line in the ledger). That line is written before the lock is let go, so the order
        of lines is the order of what was done."""
        with self.lock:
            if fault is None:
                answer = self.handled(request)
                return answer, self.note(request, answer.status, request.outcome)
            # It strikes after the work was done when it says `applied`; otherwise nothing is done at all.
            done, outcome = None, ""
            if fault["kind"] == "mangle" or fault.get("applied", fault["kind"] == "cut"):
                done = self.handled(request)
                outcome = request.outcome + ", then "
            answer = self.spoiled(request, fault, done)
            status = None if fault["kind"] in SILENT else answer.status
            return answer, self.note(request, status, outcome + "fault: " + fault["kind"])

    def note(self, request, status, outcome):
        """`status` is what the client is answered with, None when it gets no answer."""
        return self.ledger.write({
            "time": self.clock.iso(), "wall": round(time.time(), 6), "method": request.method, "path": request.path,
            "query": request.query_text, "template": request.route.template if request.route else None,
            "who": request.who, "body_sha256": request.digest(), "status": status, "outcome": outcome, **self.kept(request),
            **request.told})

    def note_cut(self, request, reason):
        """A request that never came whole."""
        with self.calls.lock:
            self.calls.cut += 1
        self.ledger.sync(self.note(request, None, "cut: " + reason))

    def refused_early(self, request, answer):
        """The same answer, which the ledger has as well."""
        self.ledger.sync(self.note(request, answer.status, "refused early"))
        return answer

    def answer_to(self, request):
        """(answer, fault of the connection or None): everything from a whole request to what is sent."""
        found, params = self.router.find(request.method, self.vendor_path(request.path))
        request.route, request.params = found, params
        begun = time.monotonic()
        with self.calls.lock:
            self.calls.by_route[f"{request.method} {found.template if found else '(no such path)'}"] += 1
            self.calls.bytes_in += len(request.raw)
        early = self.before(request)
        try:
            if early is not None:
                return self.refused_early(request, early), None
            request.faults = self.faults.due(
                lambda kind: kind in self.fault_kinds and self.fault_fits(kind, request), request)
            struck = request.struck = self.faults.due(KINDS - {"connect_reset"}, request)
            self.faults.pause(struck)
            fault = next((fault for fault in struck if fault["kind"] not in PAUSES), None)
            answer, mark = self.work(request, fault)
            self.ledger.sync(mark)
            # The simulator's own work counts, packing too: a measurement with a latency measures the client.
            if answer is not None:
                answer.pack(request)
            time.sleep(max(0, begun + self.options.latency_ms / 1000 - time.monotonic()))
            if fault is None:
                return answer, next((fault for fault in struck if fault.get("drip_s")), None)
            return answer, fault if fault["kind"] in ON_WIRE else None
        finally:
            self.after(request)

    def spoiled(self, request, fault, done):
        """What a fault makes of the answer `done`, which is None when nothing was done."""
        kind = fault["kind"]
        if kind in ON_WIRE:
            return Answer(200, {}) if done is None and kind == "cut" else done
        if kind == "mangle":
            done.raw = done.raw.replace(fault["find"].encode(), fault["replace"].encode())
            answer = done
        elif kind == "status":
            body = fault.get("body", {"error": f"fault {fault['status']}"})
            headers = list(fault.get("headers", {}).items()) + self.retry_after(fault)
            answer = Answer(fault["status"], body, headers, fault.get("content_type"))
        elif kind == "throttle":
            answer = self.throttled(request, fault)
        elif kind == "html":
            answer = Answer(fault.get("status", 200), HTML, content_type="text/html; charset=utf-8")
        elif kind == "not_json":
            answer = Answer(200, fault.get("body", '{"cut":[{"id":1},'), content_type="application/json")
        else:
            answer = Answer(fault.get("status", 200), None)
        answer.headers.append(("X-Sim-Fault", kind))  # so that a judge does not take it for the vendor's
        return answer

    # ---- the test side ----

    def side_answer(self, request):
        name = request.path[len("/_sim/"):].strip("/")
        try:
            return self.side_known(request, name) or self.side(request, name) or Answer(
                404, {"error": f"no such thing: {request.method} {request.path}"})
        except Exception as problem:  # whatever is wrong with an order, the test that gave it is told
            return Answer(400, {"error": f"{type(problem).__name__}: {problem}"})

    def side_known(self, request, name):
        what = (request.method, name)
        if what == ("GET", "state"):
            with self.lock:
                return Answer(200, self.state(request.query))
        if what == ("GET", "calls"):
            return Answer(200, self.calls.shown())
        if what == ("DELETE", "calls"):
            with self.calls.lock:
                self.calls.reset()
            return Answer(200, {})
        if what == ("GET", "ledger"):
            return Answer(200, self.ledger.text(), content_type="application/x-ndjson")
        if name == "clock" and request.method in ("GET", "POST"):
            if request.method == "POST":
                self.clock.advance(request.json()["advance_s"])
            return Answer(200, {"now": self.clock.iso()})
        if what == ("POST", "change"):
            with self.lock:
                return Answer(200, self.change(request.json()))
        if name == "faults" and request.method in ("GET", "POST", "DELETE"):
            return self.side_faults(request)
        return None

    def side_faults(self, request):
        """POST a list adds to what there is; {"faults": [...], "clear": true} replaces; DELETE ends all."""
        if request.method == "DELETE":
            self.faults.clear()
        elif request.method == "POST":
            order = request.json()
            order = {"faults": order} if isinstance(order, list) else order
            if order.get("clear"):
                self.faults.clear()
            self.faults.add(order.get("faults", []))
        return Answer(200, self.faults.shown())
