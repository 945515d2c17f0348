# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A strict webhook receiver that remembers.

It stands for a company's own receiver: takes batches of changes over HTTP, applies them to rows by key, answers per row, honours
idempotency keys. It shares no code with dray: what it accepts is written here by hand from the README of plugins/webhook, so that
a change of either is seen by the tests. The server, the ledger and most faults are those of all simulators (tests/sim/server).

    python3 server.py --ledger /tmp/ledger.ndjson [--require-hmac SECRET] ...
"""

import hashlib
import hmac
import json
import pathlib
import sys
import threading

# Before this file's own folder, whose server.py has the name of the package.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from server import Answer, Route, Router, Simulator, entries, options_of, serve  # noqa: E402
from server.wire import BODY_BYTES_MAX  # noqa: E402

CLOCK_SKEW_S = 300
OPERATIONS = ("insert", "update", "delete")
ROW_MEMBERS = {"op", "key", "data", "changed"}
BODY_MEMBERS = {"object", "sync", "batch_id", "rows"}
LEDGER_HEADERS = ("content-type", "content-encoding", "idempotency-key", "user-agent",
                  "x-dray-signature", "x-dray-timestamp")


class Broken(Exception):
    """The request breaks the receiver's contract: nothing of it is applied. Or a row does, and is not."""

    def __init__(self, status, code, message, index=None):
        super().__init__(message)
        self.status, self.index, self.error = status, index, {"code": code, "message": message}


def key_text(key):
    return json.dumps(key, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def row_matches(row, where):
    """`where` is {"op": ...}, {"field": F, "equals": V}, {"field": F, "contains": T} or {"key": {...}}; all must hold."""
    if "op" in where and row["op"] != where["op"]:
        return False
    if "key" in where and row["key"] != where["key"]:
        return False
    if "field" in where:
        value = {**row["key"], **row.get("data", {})}.get(where["field"])
        if "equals" in where and value != where["equals"]:
            return False
        if "contains" in where and where["contains"] not in str(value):
            return False
    return True


def check_rows(rows):
    seen = {}
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or not set(row) <= ROW_MEMBERS:
            raise Broken(422, "row_shape", f"row {index}: members must be of {sorted(ROW_MEMBERS)}", index)
        if row.get("op") not in OPERATIONS:
            raise Broken(422, "operation", f"row {index}: unknown operation {row.get('op')!r}", index)
        if not isinstance(row.get("key"), dict) or not row["key"]:
            raise Broken(422, "key", f"row {index}: key is not an object with members", index)
        if any(value is None for value in row["key"].values()):
            raise Broken(422, "key", f"row {index}: a key member is null", index)
        if row["op"] != "delete" and not isinstance(row.get("data"), dict):
            raise Broken(422, "data", f"row {index}: data is missing", index)
        if "changed" in row and not isinstance(row["changed"], list):
            raise Broken(422, "changed", f"row {index}: changed is not a list", index)
        text = key_text(row["key"])
        if text in seen:
            raise Broken(422, "duplicate", f"rows {seen[text]} and {index} have the same key", index)
        seen[text] = index


class Receiver(Simulator):
    """Rows by object and key, and the answers given under each idempotency key."""

    fault_kinds = {"reject_rows": {"where", "message", "as"}, "refuse_batch": {"where", "message", "status"}, "drop_results": set()}

    def __init__(self, options):
        super().__init__(options)
        self.router = Router([Route(method, "/{hook}", self.take, query=("*",)) for method in ("POST", "PUT", "PATCH")])
        self.rows = {}     # object -> key text -> row
        self.answers = {}  # idempotency key -> (body hash, answer)
        self.busy = {}     # idempotency key -> the request that is in work under it
        self.busy_lock = threading.Lock()
        self.faults.add(options.faults)
        # State is a fold over the ledger, so a receiver that is started again knows what it knew.
        for entry in entries(options.ledger):
            for index in entry["applied"]:
                self.apply(entry["object"], entry["rows"][index])
            if entry["stored_answer"] is not None:
                self.answers[entry["headers"]["idempotency-key"]] = entry["body_sha256"], entry["stored_answer"]

    def state(self, query):
        return {name: list(table.values()) for name, table in self.rows.items()}

    # ---- the way of a request ----

    def before(self, request):
        key = request.header("idempotency-key")
        with self.busy_lock:
            if key is None or self.busy.setdefault(key, request) is request:
                return None
        return self.refused(request, Broken(409, "in_progress", "a request with this key is in work"))

    def after(self, request):
        """The work under the key is done before the client can know: it may come again at once."""
        key = request.header("idempotency-key")
        with self.busy_lock:
            if self.busy.get(key) is request:
                del self.busy[key]

    def take(self, request):
        try:
            return self.accept(request)
        except Broken as problem:
            request.outcome = "refused"
            return self.refused(request, problem)

    def refused(self, request, problem):
        request.told["error"] = problem.error
        index = {} if problem.index is None else {"index": problem.index}
        return Answer(problem.status, {"error": {**problem.error, **index}})

    def too_large(self, request):
        return self.refused(request, Broken(413, "too_large", "the body is too large"))

    def no_route(self, request, allowed):
        if not allowed:
            return self.refused(request, Broken(404, "not_found", "no such path"))
        answer = self.refused(request, Broken(405, "method", f"{request.method} is not one of {allowed}"))
        answer.headers.append(("Allow", ", ".join(allowed)))
        return answer

    def throttled(self, request, fault):
        return Answer(429, {"error": {"code": "throttled", "message": "too many requests"}}, self.retry_after(fault))

    def kept(self, request):
        """Rows instead of the body. `told` has what differs from this."""
        return {"headers": {name: request.headers[name] for name in LEDGER_HEADERS if name in request.headers},
                "body_bytes": len(request.raw), "object": None, "rows": [], "applied": [], "rejected": [], "stored_answer": None,
                "error": None}

    # ---- the contract ----

    def check_envelope(self, request):
        if self.options.require_bearer and request.header("authorization") != "Bearer " + self.options.require_bearer:
            raise Broken(401, "unauthorized", "the bearer token is missing or wrong")
        if self.options.require_hmac:
            self.check_signature(request)
        if self.options.require_key and not request.header("idempotency-key"):
            raise Broken(400, "idempotency_key_missing", "the Idempotency-Key header is required")
        if request.header("content-length") is None and request.header("transfer-encoding") is None:
            raise Broken(411, "length", "Content-Length is required")
        content_type = request.header("content-type", "").split(";")[0].strip().lower()
        if content_type != "application/json":
            raise Broken(415, "content_type", f"content type is {content_type!r}, not application/json")
        if len(request.raw) > BODY_BYTES_MAX:
            raise Broken(413, "too_large", f"{len(request.raw)} bytes unpacked, at most {BODY_BYTES_MAX}")

    def check_signature(self, request):
        stamp, given = request.header("x-dray-timestamp", ""), request.header("x-dray-signature", "")
        if not stamp.isdigit() or abs(self.clock.now() - int(stamp)) > CLOCK_SKEW_S:
            raise Broken(401, "timestamp", f"timestamp {stamp!r} is missing or too far from now")
        wanted = hmac.new(self.options.require_hmac.encode(), stamp.encode() + b"." + request.raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(given.encode(), b"sha256=" + wanted.encode()):
            raise Broken(401, "signature", "the signature does not match the body")

    def parse(self, request):
        try:
            body = request.json()
        except ValueError as problem:
            raise Broken(400, "not_json", f"the body is not JSON: {problem}") from None
        if not isinstance(body, dict):
            raise Broken(400, "shape", "the body is not an object")
        if set(body) != BODY_MEMBERS:
            raise Broken(400, "shape", f"members are {sorted(body)}, not {sorted(BODY_MEMBERS)}")
        if not isinstance(body["object"], str) or not body["object"] or not isinstance(body["rows"], list):
            raise Broken(400, "shape", "object is not a name, or rows is not a list")
        if not body["rows"]:
            raise Broken(400, "empty", "there are no rows")
        if len(body["rows"]) > self.options.rows_max:
            raise Broken(413, "too_many_rows", f"{len(body['rows'])} rows, at most {self.options.rows_max}")
        return body

    def accept(self, request):
        self.check_envelope(request)
        key, digest = request.header("idempotency-key"), request.digest()
        used, answer = self.answers.get(key, (digest, None))
        if used != digest:
            raise Broken(422, "key_reused", "this idempotency key was used for another body")
        if answer is not None:
            request.outcome = "replay"
            return Answer(200, answer, [("Idempotency-Replayed", "true")])
        body = self.parse(request)
        request.told["object"] = body["object"]
        check_rows(body["rows"])
        request.told["rows"] = body["rows"]
        faults = {kind: [fault for fault in request.faults if fault["kind"] == kind] for kind in self.fault_kinds}
        for fault in faults["refuse_batch"]:
            for index, row in enumerate(body["rows"]):
                if row_matches(row, fault.get("where", {})):
                    message = fault.get("message", "refused by a rule of the receiver")
                    raise Broken(fault.get("status", 400), "invalid_row", f"row {index}: {message}", index)
        answer = self.apply_batch(request, body, faults["reject_rows"])
        answer["results"] = answer["results"][:len(answer["results"]) - len(faults["drop_results"])]
        if key is not None:
            self.answers[key] = digest, answer
            request.told["stored_answer"] = answer
        return Answer(200, answer)

    # ---- applying ----

    def apply_batch(self, request, body, rejecting):
        results = []
        told = request.told = {**request.told, "applied": [], "rejected": []}
        for index, row in enumerate(body["rows"]):
            result = {"index": index, "key": row["key"]}
            refused = next((fault for fault in rejecting if row_matches(row, fault.get("where", {}))), None)
            try:
                if refused is not None:
                    raise Broken(422, "invalid", refused.get("message", "refused by a rule of the receiver"))
                if self.options.strict_operations:
                    self.check_operation(body["object"], row)
                result["status"] = self.apply(body["object"], row)
                told["applied"].append(index)
            except Broken as problem:
                result["status"] = refused.get("as", "rejected") if refused else "rejected"
                result["error"] = problem.error
                told["rejected"].append(index)
            results.append(result)
        request.outcome = "applied"
        return {"accepted": len(told["applied"]), "results": results}

    def check_operation(self, name, row):
        there = key_text(row["key"]) in self.rows.get(name, {})
        if row["op"] == "insert" and there:
            raise Broken(409, "exists", "the row is there already")
        if row["op"] != "insert" and not there:
            raise Broken(404, "missing", f"there is no such row to {row['op']}")

    def apply(self, name, row):
        """Returns applied or unchanged."""
        table, text = self.rows.setdefault(name, {}), key_text(row["key"])
        had = table.get(text)
        if row["op"] == "delete":
            return "unchanged" if table.pop(text, None) is None else "applied"
        base = had if had is not None and row["op"] == "update" else {}
        now = {**base, **row["key"], **row["data"]}
        table[text] = now
        return "unchanged" if now == had else "applied"


def main():
    parser = options_of("a strict webhook receiver that remembers")
    parser.add_argument("--faults", type=json.loads, default=[], metavar="JSON", help="a list of faults, from the start")
    parser.add_argument("--require-hmac", metavar="SECRET")
    parser.add_argument("--require-bearer", metavar="TOKEN")
    parser.add_argument("--require-key", action="store_true", help="refuse requests without Idempotency-Key")
    parser.add_argument("--rows-max", type=int, default=1000)
    parser.add_argument("--strict-operations", action="store_true", help="refuse inserts of rows that exist, updates of rows that do not")
    options = parser.parse_args()
    if options.ledger is None:
        parser.error("--ledger is required: it is what the receiver remembers")
    serve(Receiver(options))


if __name__ == "__main__":
    main()
