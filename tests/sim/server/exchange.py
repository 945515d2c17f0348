# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A request as it came and an answer as it will leave. No sockets here, nothing of a vendor."""

import gzip
import hashlib
import json
import urllib.parse

GZIP_BYTES_MIN = 860


def no_duplicates(pairs):
    members = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"member {name!r} stands twice")
        members[name] = value
    return members


def no_constant(text):
    raise ValueError(f"{text} is not JSON")


def strict_json(raw):
    """The value of UTF-8 JSON; ValueError for anything else, for a member that stands twice and for NaN."""
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=no_duplicates, parse_constant=no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


class Request:
    """One request, whole. `headers` by lower-case name; `pairs` are the decoded query pairs in order, `query` the last of each."""

    def __init__(self, method, target, headers, raw, peer, base):
        self.method, self.target, self.headers, self.raw = method, target, headers, raw
        self.peer = peer  # (address, port) of the client
        self.base = base  # scheme://host[:port] as the client named it, for links in answers
        path, _, self.query_text = target.partition("?")
        self.path = urllib.parse.unquote(path)
        self.pairs = urllib.parse.parse_qsl(self.query_text, keep_blank_values=True)
        self.query = dict(self.pairs)
        self.route = None   # the Route that matched
        self.params = {}    # what its template took from the path
        self.faults = []    # the vendor's own kinds of faults that strike this request
        self.struck = []    # and those that all simulators have
        self.who = None     # whom the simulator took it for; goes into the ledger
        self.rows = None    # what each row of a write became; goes into the ledger
        self.outcome = "done"  # the ledger's word for what became of it, faults aside
        self.told = {}      # more members of its line in the ledger
        self.secret = False  # the body holds credentials: only its digest goes into the ledger
        self.in_flight = 1  # requests in work when it began, itself included

    def header(self, name, default=None):
        return self.headers.get(name.lower(), default)

    def json(self):
        """The body; ValueError when it is not strict JSON."""
        return strict_json(self.raw)

    def fault(self, kind):
        """The first of the vendor's faults of this kind that strikes this request, or None."""
        return next((fault for fault in self.faults if fault["kind"] == kind), None)

    def digest(self):
        return hashlib.sha256(self.raw).hexdigest() if self.raw else None


class Answer:
    """`body` is a JSON value (dict, list), text, bytes or None. `headers` are (name, value) pairs."""

    def __init__(self, status, body=None, headers=(), content_type=None):
        self.status = status
        self.headers = list(headers)
        if isinstance(body, (dict, list)):
            self.raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            self.content_type = content_type or "application/json; charset=utf-8"
        else:
            self.raw = body.encode() if isinstance(body, str) else body or b""
            self.content_type = content_type or ("text/plain; charset=utf-8" if self.raw else None)
        self.packed = None  # (the same as gzip, of what raw)

    def pack(self, request):
        """What leaves for this client: `raw` itself, or other bytes, which are gzip."""
        asks = request is not None and "gzip" in request.headers.get("accept-encoding", "")
        if not asks or len(self.raw) < GZIP_BYTES_MIN or any(name.lower() == "content-encoding" for name, _ in self.headers):
            return self.raw
        if self.packed is None or self.packed[1] is not self.raw:
            self.packed = gzip.compress(self.raw, 1), self.raw
        return self.packed[0]
