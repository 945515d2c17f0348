# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The base of a simulator: what a vendor's own class fills in, and the way of one request through it.

No sockets here: wire.py reads the request, calls answer_to() and sends what comes back.
"""

import collections
import sys
import threading
import time
import traceback

from .clock import Clock
from .exchange import Answer
from .faults import KINDS, Faults
from .ledger import Ledger
from .traffic import Traffic

LEDGER_BODY_BYTES = 64 * 1024
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
        """The vendor's 429; fault["retry_after"] is seconds, or absent: no header then."""
        headers = [("Retry-After", str(fault["retry_after"]))] if fault.get("retry_after") is not None else []
        return Answer(429, {"error": "too many requests"}, headers)

    # ---- the way of a request ----

    def work(self, request):
        """The vendor's answer, faults aside. The line of the ledger is written before the lock is let go, so the order of
        lines is the order of what was done."""
        with self.lock:
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
            return answer, self.note(request, answer.status, "done")

    def note(self, request, status, outcome):
        body = None
        if request.raw and not request.secret and len(request.raw) <= LEDGER_BODY_BYTES:
            body = request.raw.decode("utf-8", "replace")
        return self.ledger.write({
            "time": self.clock.iso(), "wall": round(time.time(), 6), "method": request.method, "path": request.path,
            "query": request.query_text, "template": request.route.template if request.route else None,
            "who": request.who, "body_sha256": request.digest(), "body": body, "status": status, "outcome": outcome,
            "rows": request.rows})

    def note_cut(self, method, target, reason):
        """A request that never came whole."""
        with self.calls.lock:
            self.calls.cut += 1
        self.ledger.sync(self.ledger.write({
            "time": self.clock.iso(), "wall": round(time.time(), 6), "method": method, "path": target, "status": None,
            "outcome": "cut: " + reason}))

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
                self.ledger.sync(self.note(request, early.status, "refused early"))
                return early, None
            request.faults = self.faults.due(
                lambda kind: kind in self.fault_kinds and self.fault_fits(kind, request), request)
            struck = request.struck = self.faults.due(KINDS - {"connect_reset"}, request)
            slow = sum(fault.get("seconds", 1) for fault in struck if fault["kind"] == "slow")
            if slow > 0:
                self.faults.pause(slow)
            fault = next((fault for fault in struck if fault["kind"] != "slow"), None)
            dripping = next((fault for fault in struck if fault["kind"] == "slow" and fault.get("drip_s")), None)
            if fault is None:
                answer, mark = self.work(request)
                self.ledger.sync(mark)
                answered = answer, dripping
            else:
                answered = self.fail(request, fault)
            # The simulator's own work counts, packing too: a measurement with a latency measures the client.
            if answered[0] is not None:
                answered[0].pack(request)
            time.sleep(max(0, begun + self.options.latency_ms / 1000 - time.monotonic()))
            return answered
        finally:
            self.after(request)

    def fail(self, request, fault):
        """The fault strikes: after the work was done when it says `applied`, otherwise nothing is done at all."""
        work = None
        if fault.get("applied") or fault["kind"] in ("cut", "mangle"):
            work, mark = self.work(request)
        else:
            mark = self.note(request, None if fault["kind"] in ("reset", "stall") else fault.get("status", 200),
                             "fault: " + fault["kind"])
        self.ledger.sync(mark)
        answer, on_wire = work, None
        if fault["kind"] == "status":
            body = fault.get("body", {"error": f"fault {fault['status']}"})
            answer = Answer(fault["status"], body, list(fault.get("headers", {}).items()), fault.get("content_type"))
        elif fault["kind"] == "throttle":
            answer = self.throttled(request, fault)
        elif fault["kind"] == "html":
            answer = Answer(fault.get("status", 200), HTML, content_type="text/html; charset=utf-8")
        elif fault["kind"] == "not_json":
            answer = Answer(200, fault.get("body", '{"cut":[{"id":1},'), content_type="application/json")
        elif fault["kind"] == "mangle":
            work.raw = work.raw.replace(fault["find"].encode(), fault["replace"].encode())
            work.headers.append(("X-Sim-Fault", "mangle"))
        elif fault["kind"] == "empty":
            answer = Answer(fault.get("status", 200), None)
        else:
            on_wire = fault  # reset, cut, stall: what wire.py does with the connection
        if answer is not None and answer is not work:
            answer.headers.append(("X-Sim-Fault", fault["kind"]))  # so that a judge does not take it for the vendor's
        return answer, on_wire

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
        return Answer(200, {"faults": self.faults.all()})
