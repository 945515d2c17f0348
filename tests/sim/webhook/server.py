# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A strict webhook receiver that remembers.

It stands for a company's own receiver: takes batches of changes over HTTP, applies them to rows by
key, answers per row, honours idempotency keys, and writes every request it saw into a ledger that is
only ever appended to and is on the disk before the answer leaves. Faults can be switched on, by file
or while it runs. It shares no code with dray: what it accepts is written here by hand from the
README of plugins/webhook, so that a change of either is seen by the tests.

Started as a program it prints one JSON line {"port": ...} and serves until it is ended.
"""

import argparse
import email.utils
import gzip
import hashlib
import hmac
import json
import pathlib
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Before this file's own folder, whose server.py has the name of the package.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from server.ledger import Ledger, entries  # noqa: E402

BODY_BYTES_MAX = 64 * 1024 * 1024
OPERATIONS = ("insert", "update", "delete")
ROW_MEMBERS = {"op", "key", "data", "changed"}
BODY_MEMBERS = {"object", "sync", "batch_id", "rows"}
LEDGER_HEADERS = ("content-type", "content-encoding", "idempotency-key", "user-agent",
                  "x-dray-signature", "x-dray-timestamp")
FAULTS = {"status", "html", "close", "reject_rows", "refuse_batch", "slow", "hold", "cut_answer", "not_json", "drop_results"}


class Refusal(Exception):
    """The request breaks the receiver's contract: nothing of it is applied."""

    def __init__(self, status, code, message, index=None):
        super().__init__(message)
        self.status, self.code, self.index = status, code, index


def no_duplicates(pairs):
    members = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"member {name!r} stands twice")
        members[name] = value
    return members


def no_constant(text):
    raise ValueError(f"{text} is not JSON")


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


class Receiver:
    """Rows by object and key, the answers given under each idempotency key, and the ledger."""

    def __init__(self, ledger_path, faults=(), require=None):
        self.lock = threading.RLock()
        self.require = {"hmac": None, "bearer": None, "idempotency_key": False, "rows_max": 1000,
                        "bytes_max": BODY_BYTES_MAX, "clock_skew": 300, "strict_operations": False}
        self.require.update(require or {})
        self.faults = []
        self.add_faults(faults)
        self.rows = {}     # object -> key text -> row
        self.answers = {}  # idempotency key -> (body hash, status, answer)
        self.busy = set()  # idempotency keys in work
        self.freed, self.clears, self.holding = threading.Condition(self.lock), 0, 0
        self.restore(ledger_path)
        self.ledger = Ledger(ledger_path)

    # ---- the ledger ----

    def restore(self, ledger_path):
        """State is a fold over the ledger, so a receiver that is started again knows what it knew."""
        for entry in entries(ledger_path):
            if entry["outcome"] == "replay":
                continue
            for index in entry["applied"]:
                self.apply(entry["object"], entry["rows"][index])
            if entry["stored_answer"] is not None:
                key = entry["headers"].get("idempotency-key")
                self.answers[key] = (entry["body_sha256"], entry["status"], entry["stored_answer"])

    def record(self, entry):
        with self.lock:
            self.ledger.sync(self.ledger.write({"time": time.time(), **entry}))

    # ---- faults ----

    def add_faults(self, faults):
        for fault in faults:
            if fault.get("kind") not in FAULTS:
                raise ValueError(f"unknown fault kind {fault.get('kind')!r}, one of {sorted(FAULTS)}")
            with self.lock:
                self.faults.append({"times": 1, "after": 0, **fault})

    def next_faults(self, kinds, most=None):
        """Takes one use of the faults of these kinds that are due, at most `most` of them. times -1 is for ever."""
        due = []
        with self.lock:
            for fault in self.faults:
                if fault["kind"] not in kinds or fault["times"] == 0 or len(due) == most:
                    continue
                if fault["after"] > 0:
                    fault["after"] -= 1
                    continue
                if fault["times"] > 0:
                    fault["times"] -= 1
                due.append(fault)
        return due

    def clear_faults(self):
        with self.lock:
            self.faults.clear()
            self.clears += 1
            self.freed.notify_all()

    def hold(self):
        """Until all faults are cleared."""
        with self.lock:
            self.holding += 1
            clears = self.clears
            self.freed.wait_for(lambda: self.clears > clears)
            self.holding -= 1

    # ---- the contract ----

    def check_envelope(self, headers, raw):
        if self.require["bearer"] and headers.get("authorization") != "Bearer " + self.require["bearer"]:
            raise Refusal(401, "unauthorized", "the bearer token is missing or wrong")
        if self.require["hmac"]:
            self.check_signature(headers, raw)
        if self.require["idempotency_key"] and not headers.get("idempotency-key"):
            raise Refusal(400, "idempotency_key_missing", "the Idempotency-Key header is required")
        content_type = headers.get("content-type", "").split(";")[0].strip().lower()
        if content_type != "application/json":
            raise Refusal(415, "content_type", f"content type is {content_type!r}, not application/json")
        if len(raw) > self.require["bytes_max"]:
            raise Refusal(413, "too_large", f"{len(raw)} bytes, at most {self.require['bytes_max']}")

    def check_signature(self, headers, raw):
        stamp, given = headers.get("x-dray-timestamp", ""), headers.get("x-dray-signature", "")
        if not stamp.isdigit() or abs(time.time() - int(stamp)) > self.require["clock_skew"]:
            raise Refusal(401, "timestamp", f"timestamp {stamp!r} is missing or too far from now")
        wanted = hmac.new(self.require["hmac"].encode(), stamp.encode() + b"." + raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(given, "sha256=" + wanted):
            raise Refusal(401, "signature", "the signature does not match the body")

    def parse(self, raw):
        try:
            body = json.loads(raw.decode("utf-8"), object_pairs_hook=no_duplicates, parse_constant=no_constant)
        except (UnicodeDecodeError, ValueError, RecursionError) as problem:
            raise Refusal(400, "not_json", f"the body is not JSON: {problem}") from None
        if not isinstance(body, dict):
            raise Refusal(400, "shape", "the body is not an object")
        if set(body) != BODY_MEMBERS:
            raise Refusal(400, "shape", f"members are {sorted(body)}, not {sorted(BODY_MEMBERS)}")
        if not isinstance(body["object"], str) or not body["object"] or not isinstance(body["rows"], list):
            raise Refusal(400, "shape", "object is not a name, or rows is not a list")
        if not body["rows"]:
            raise Refusal(400, "empty", "there are no rows")
        if len(body["rows"]) > self.require["rows_max"]:
            raise Refusal(413, "too_many_rows", f"{len(body['rows'])} rows, at most {self.require['rows_max']}")
        return body

    def check_rows(self, rows):
        seen = {}
        for index, row in enumerate(rows):
            if not isinstance(row, dict) or not set(row) <= ROW_MEMBERS:
                raise Refusal(422, "row_shape", f"row {index}: members must be of {sorted(ROW_MEMBERS)}", index)
            if row.get("op") not in OPERATIONS:
                raise Refusal(422, "operation", f"row {index}: unknown operation {row.get('op')!r}", index)
            if not isinstance(row.get("key"), dict) or not row["key"]:
                raise Refusal(422, "key", f"row {index}: key is not an object with members", index)
            if any(value is None for value in row["key"].values()):
                raise Refusal(422, "key", f"row {index}: a key member is null", index)
            if row["op"] != "delete" and not isinstance(row.get("data"), dict):
                raise Refusal(422, "data", f"row {index}: data is missing", index)
            if "changed" in row and not isinstance(row["changed"], list):
                raise Refusal(422, "changed", f"row {index}: changed is not a list", index)
            text = key_text(row["key"])
            if text in seen:
                raise Refusal(422, "duplicate", f"rows {seen[text]} and {index} have the same key", index)
            seen[text] = index

    # ---- applying ----

    def apply(self, name, row):
        """Returns applied or unchanged; raises Refusal for a row that strict operations do not allow."""
        table, text = self.rows.setdefault(name, {}), key_text(row["key"])
        had = table.get(text)
        if row["op"] == "delete":
            if had is None and self.require["strict_operations"]:
                raise Refusal(404, "missing", "there is no such row to delete")
            return "unchanged" if table.pop(text, None) is None else "applied"
        if self.require["strict_operations"]:
            if row["op"] == "insert" and had is not None:
                raise Refusal(409, "exists", "the row is there already")
            if row["op"] == "update" and had is None:
                raise Refusal(404, "missing", "there is no such row to update")
        base = had if had is not None and row["op"] == "update" else {}
        now = {**base, **row["key"], **row["data"]}
        table[text] = now
        return "unchanged" if now == had else "applied"

    def apply_batch(self, body, rejecting):
        results, applied = [], []
        for index, row in enumerate(body["rows"]):
            result = {"index": index, "key": row["key"]}
            refused = next((fault for fault in rejecting if row_matches(row, fault.get("where", {}))), None)
            if refused is not None:
                result["status"] = refused.get("as", "rejected")
                result["error"] = {"code": "invalid", "message": refused.get("message", "refused by a rule of the receiver")}
            else:
                try:
                    result["status"] = self.apply(body["object"], row)
                    applied.append(index)
                except Refusal as problem:
                    result["status"] = "rejected"
                    result["error"] = {"code": problem.code, "message": str(problem)}
            results.append(result)
        return {"accepted": len(applied), "results": results}, applied


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "webhook-sim"
    sys_version = ""
    busy_key = None  # the idempotency key this request works under

    def log_message(self, *arguments):
        pass

    # ---- reading and answering ----

    def read_body(self):
        length = self.headers.get("Content-Length")
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            raw = self.read_chunks()
        elif length is None or not length.isdigit():
            raise Refusal(411, "length", "Content-Length is required")
        else:
            if int(length) > BODY_BYTES_MAX:
                raise Refusal(413, "too_large", "the body is too large")
            raw = self.rfile.read(int(length))
            if len(raw) != int(length):
                raise ConnectionError("the body is cut")
        if self.headers.get("Content-Encoding", "").lower() == "gzip":
            raw = gzip.decompress(raw)
        return raw

    def read_chunks(self):
        raw = b""
        while True:
            size = int(self.rfile.readline(64).split(b";")[0], 16)
            chunk = self.rfile.read(size)
            self.rfile.readline(64)
            if size == 0:
                return raw
            raw += chunk
            if len(raw) > BODY_BYTES_MAX:
                raise Refusal(413, "too_large", "the body is too large")

    def answer(self, status, payload, headers=(), content_type="application/json", announce=0):
        self.let_go()
        raw = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(raw) + announce))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)
            self.wfile.flush()

    def let_go(self):
        """The work under the key is done before the client can know: it may come again at once."""
        with self.server.receiver.lock:
            self.server.receiver.busy.discard(self.busy_key)

    def hang_up(self):
        """Closes with a reset, as a crashed process or a load balancer does."""
        self.let_go()
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        # rfile and wfile hold the descriptor open: the reset leaves when the last of them is closed.
        self.wfile.close()
        self.rfile.close()
        self.connection.close()

    # ---- routes ----

    def do_HEAD(self):
        self.answer(405, b"", headers=[("Allow", "POST, PUT, PATCH")])

    def do_GET(self):
        receiver = self.server.receiver
        if self.path == "/_state":
            with receiver.lock:
                state = {name: list(table.values()) for name, table in receiver.rows.items()}
            self.answer(200, state)
        elif self.path == "/_ledger":
            self.answer(200, receiver.ledger.text(), content_type="application/x-ndjson")
        elif self.path == "/_control":
            with receiver.lock:
                self.answer(200, {"faults": receiver.faults, "holding": receiver.holding, "require": {**receiver.require, "hmac": None, "bearer": None}})
        else:
            self.answer(404, {"error": {"code": "not_found", "message": "no such path"}})

    def do_POST(self):
        if self.path == "/_control":
            self.control()
        else:
            self.receive()

    def do_PUT(self):
        self.receive()

    def do_PATCH(self):
        self.receive()

    def control(self):
        """{"faults": [...], "require": {...}, "clear": true}: `clear` ends all faults before new ones are added."""
        receiver = self.server.receiver
        try:
            order = json.loads(self.read_body())
            with receiver.lock:
                if order.get("clear"):
                    receiver.clear_faults()
                receiver.add_faults(order.get("faults", []))
                receiver.require.update(order.get("require", {}))
        except (ValueError, Refusal) as problem:
            self.answer(400, {"error": {"code": "control", "message": str(problem)}})
            return
        self.answer(200, {"ok": True})

    def receive(self):
        receiver = self.server.receiver
        headers = {name.lower(): value for name, value in self.headers.items()}
        entry = {"method": self.command, "path": self.path, "object": None,
                 "headers": {name: headers[name] for name in LEDGER_HEADERS if name in headers},
                 "authorization": "present" if "authorization" in headers else "absent",
                 "body_sha256": None, "body_bytes": 0, "rows": [], "outcome": None, "status": 0,
                 "applied": [], "rejected": [], "stored_answer": None, "error": None}
        try:
            raw = self.read_body()
        except Refusal as problem:
            self.refuse(entry, problem)
            return
        except (ConnectionError, OSError, EOFError, ValueError):
            entry["outcome"] = "cut"
            receiver.record(entry)
            self.close_connection = True
            return
        entry["body_sha256"], entry["body_bytes"] = hashlib.sha256(raw).hexdigest(), len(raw)
        key = headers.get("idempotency-key")
        self.busy_key = None
        with receiver.lock:
            if key is not None and key in receiver.busy:
                self.refuse(entry, Refusal(409, "in_progress", "a request with this key is in work"))
                return
            receiver.busy.add(key)
            self.busy_key = key
        try:
            self.receive_whole(headers, raw, key, entry)
        except Refusal as problem:
            self.refuse(entry, problem)
        finally:
            with receiver.lock:
                receiver.busy.discard(key)

    def refuse(self, entry, problem):
        entry.update(outcome="refused", status=problem.status, error={"code": problem.code, "message": str(problem)})
        self.server.receiver.record(entry)
        answer = {"error": {"code": problem.code, "message": str(problem)}}
        if problem.index is not None:
            answer["error"]["index"] = problem.index
        self.answer(problem.status, answer)

    def receive_whole(self, headers, raw, key, entry):
        receiver = self.server.receiver
        for fault in receiver.next_faults({"slow"}):
            time.sleep(fault.get("seconds", 1))
        for _ in receiver.next_faults({"hold"}):
            receiver.hold()
        fault = next(iter(receiver.next_faults({"status", "html", "close", "cut_answer", "not_json"}, most=1)), None)
        if fault is not None and not fault.get("applied"):
            self.fail_before(fault, entry)
        else:
            self.accept(headers, raw, key, entry, fault)

    def fail_before(self, fault, entry):
        """The fault strikes and nothing is applied."""
        entry["outcome"] = "fault:" + fault["kind"]
        if fault["kind"] == "status":
            entry["status"] = fault["status"]
        elif fault["kind"] in ("html", "not_json", "cut_answer"):
            entry["status"] = 200
        self.server.receiver.record(entry)
        self.fail(fault, 200, {"accepted": 0, "results": []})

    def fail(self, fault, status, answer):
        kind = fault["kind"]
        if kind == "status":
            extra = []
            wait = fault.get("retry_after")
            if wait is not None:
                # A number of seconds goes out as it is; {"date": n} as the HTTP date n seconds from now.
                stamp = email.utils.formatdate(time.time() + wait["date"], usegmt=True) if isinstance(wait, dict) else str(wait)
                extra.append(("Retry-After", stamp))
            payload = fault.get("body", {"error": {"code": "fault", "message": f"fault {fault['status']}"}})
            self.answer(fault["status"], payload, headers=extra)
        elif kind == "html":
            self.answer(200, b"<!doctype html><title>Sign in</title><p>Please sign in to continue.</p>",
                        content_type="text/html; charset=utf-8")
        elif kind == "not_json":
            self.answer(200, b'{"accepted": 1, "results": [', content_type="application/json")
        elif kind == "cut_answer":
            self.answer(status, answer, announce=1000)
            self.close_connection = True
        else:
            self.hang_up()

    def accept(self, headers, raw, key, entry, fault):
        receiver = self.server.receiver
        receiver.check_envelope(headers, raw)
        with receiver.lock:
            stored = receiver.answers.get(key) if key is not None else None
        if stored is not None:
            self.replay(stored, entry, fault)
            return
        body = receiver.parse(raw)
        entry["object"] = body["object"]
        receiver.check_rows(body["rows"])
        entry["rows"] = body["rows"]
        for refusing in receiver.next_faults({"refuse_batch"}):
            for index, row in enumerate(body["rows"]):
                if row_matches(row, refusing.get("where", {})):
                    raise Refusal(refusing.get("status", 400), "invalid_row",
                                  f"row {index}: {refusing.get('message', 'refused by a rule of the receiver')}", index)
        with receiver.lock:
            answer, applied = receiver.apply_batch(body, receiver.next_faults({"reject_rows"}))
            entry.update(outcome="applied", status=200, applied=applied,
                         rejected=[r["index"] for r in answer["results"] if r["index"] not in applied])
            for _ in receiver.next_faults({"drop_results"}):
                answer["results"] = answer["results"][:-1]
            if fault is not None:
                entry["outcome"] = "applied, then fault:" + fault["kind"]
            if key is not None:
                receiver.answers[key] = (entry["body_sha256"], 200, answer)
                entry["stored_answer"] = answer
            receiver.record(entry)
        if fault is None:
            self.answer(200, answer)
        else:
            self.fail(fault, 200, answer)

    def replay(self, stored, entry, fault):
        body_hash, status, answer = stored
        if body_hash != entry["body_sha256"]:
            raise Refusal(422, "key_reused", "this idempotency key was used for another body")
        entry.update(outcome="replay", status=status)
        self.server.receiver.record(entry)
        if fault is None:
            self.answer(status, answer, headers=[("Idempotency-Replayed", "true")])
        else:
            self.fail(fault, status, answer)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, receiver):
        self.receiver = receiver
        super().__init__(address, Handler)

    def handle_error(self, request, client_address):
        # A client that goes away is daily bread; anything else is a defect of the simulator and must be seen.
        if not isinstance(sys.exc_info()[1], (ConnectionError, ValueError)):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description="a strict webhook receiver that remembers")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", required=True, help="append-only NDJSON, one line per request")
    parser.add_argument("--faults", help="JSON array of faults, or @FILE")
    parser.add_argument("--require-hmac", metavar="SECRET")
    parser.add_argument("--require-bearer", metavar="TOKEN")
    parser.add_argument("--require-key", action="store_true", help="refuse requests without Idempotency-Key")
    parser.add_argument("--rows-max", type=int, default=1000)
    parser.add_argument("--strict-operations", action="store_true", help="refuse inserts of rows that exist, updates of rows that do not")
    options = parser.parse_args()
    faults = options.faults or "[]"
    if faults.startswith("@"):
        with open(faults[1:], encoding="utf-8") as file:
            faults = file.read()
    receiver = Receiver(options.ledger, json.loads(faults),
                        {"hmac": options.require_hmac, "bearer": options.require_bearer,
                         "idempotency_key": options.require_key, "rows_max": options.rows_max,
                         "strict_operations": options.strict_operations})
    server = Server(("127.0.0.1", options.port), receiver)
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    try:
        server.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
