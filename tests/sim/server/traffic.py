# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Whole exchanges, each different one once, for who judges them by the vendor's document (tests/contract/traffic.py): a ledger
tells what was done and has no answers. JSON lines; nothing of it is needed to go on after a restart, so nothing is synced.
"""

import base64
import hashlib
import json
import threading
import zlib

KEPT = {"content-type", "accept", "idempotency-key", "x-http-method-override"}
DROPPED = {"x-sim-fault", "x-sim-defect", "x-request-id"}


def packed(raw):
    return base64.b64encode(zlib.compress(raw, 1)).decode() if raw else ""


def unpacked(text):
    return zlib.decompress(base64.b64decode(text)) if text else b""


def without_secret(authorization):
    """The scheme, and something of its shape in the place of what must not be written down."""
    scheme = authorization.partition(" ")[0]
    return f"{scheme} {'eDp5' if scheme.lower() == 'basic' else 'x'}"


class Traffic:
    def __init__(self, path):
        self.file = open(path, "ab", buffering=0) if path else None
        self.lock, self.seen = threading.Lock(), set()

    def note(self, request, answer, fault):
        """`fault` is what the connection does instead of sending the answer whole, or None."""
        if self.file is None:
            return
        headers = {name: value for name, value in request.headers.items() if name in KEPT}
        if request.header("authorization"):
            headers["authorization"] = without_secret(request.header("authorization"))
        own = [value for name, value in answer.headers if name == "X-Sim-Fault"]
        entry = {
            "method": request.method, "target": request.target, "headers": headers, "body": packed(request.raw),
            "status": answer.status, "answer_headers": [pair for pair in answer.headers if pair[0].lower() not in DROPPED],
            "answer_type": answer.content_type, "answer": packed(answer.raw),
            # What an answer that a fault made says is not the vendor's, but for its own 429.
            "spoiled": any(kind != "throttle" for kind in own) or (fault is not None and fault["kind"] in ("reset", "stall")),
            "faults": sorted({one["kind"] for one in request.faults} | {one["kind"] for one in request.struck})}
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        mark = hashlib.sha256(line).digest()
        with self.lock:
            if mark not in self.seen:
                self.seen.add(mark)
                self.file.write(line)
