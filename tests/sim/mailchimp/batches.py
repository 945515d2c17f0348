# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Batch operations: many requests handed over in one, worked off later, their answers fetched as tar.gz from another host.

Each state takes `step_s` of the simulator's clock. Operations are executed for real, in order, while the batch is
`started`, as far as that state has come; tick() brings all batches up to the present and is called before every request.
"""

import hashlib
import io
import json
import tarfile
import urllib.parse

from mailchimp import problem, shapes
from mailchimp.audience import id_of
from mailchimp.shapes import moment_of
from mailchimp.shown import ONE, PAGE, links, page, picked

OPEN_MAX, LINK_S, KEPT_S, FILE_ROWS = 500, 600, 7 * 86400, 1000
STATES = ("pending", "preprocessing", "started", "finalizing", "finished")


class Batch:
    def __init__(self, key, user, operations, now):
        self.key, self.user, self.operations, self.begun = key, user, operations, now
        self.done, self.results, self.errored, self.completed, self.archive = 0, [], 0, 0, None
        self.stuck, self.empty, self.expired_links, self.lost, self.broken = None, False, 0, False, 0
        self.extra = 0   # further pages of GETs, each counted like an operation of its own

    def state(self, now, step_s):
        """(index into STATES, part of it that has passed)."""
        steps = (now - self.begun) / step_s if step_s else len(STATES)
        index = min(int(steps), len(STATES) - 1)
        if self.stuck is not None and index >= self.stuck:
            return self.stuck, 0.5
        return index, steps - index


class Batches:
    def __init__(self, clock, step_s, perform, download_url):
        """`perform(user, operation, batch id)` gives [(status, text)], one for each page."""
        self.clock, self.step_s, self.perform, self.download_url = clock, step_s, perform, download_url
        self.batches = {}
        self.working = False

    def table(self):
        return [("GET", "/batches", self.list, PAGE, None), ("POST", "/batches", self.create, (), shapes.BATCHES),
                ("GET", "/batches/{batch_id}", self.one, ONE, None), ("DELETE", "/batches/{batch_id}", self.drop, (), None)]

    # ---- the work ----

    def tick(self):
        if self.working:  # a batch's own operation comes through here
            return
        now = self.clock.now()
        self.working = True
        try:
            for batch in list(self.batches.values()):
                if now - batch.begun > KEPT_S:
                    del self.batches[batch.key]
                elif batch.completed == 0:
                    self.advance(batch, now)
        finally:
            self.working = False

    def advance(self, batch, now):
        index, part = batch.state(now, self.step_s)
        total = len(batch.operations)
        due = 0 if index < 2 else int(total * part) if index == 2 else total
        while batch.done < due:
            operation = batch.operations[batch.done]
            batch.done += 1
            self.execute(batch, operation)
        if index == 4:
            batch.completed = int(batch.begun + 4 * self.step_s)
            batch.archive = archive_of(batch)

    def execute(self, batch, operation):
        if batch.broken:
            batch.broken -= 1
            answers = [(500, json.dumps(problem.Problem(500, "InternalServerError", "An unexpected internal error has "
                                                        "occurred. Please contact Support for more information.").document()))]
        else:
            answers = self.perform(batch.user, operation, batch.key)
        batch.extra += len(answers) - 1
        for status, text in answers:
            batch.errored += status >= 400
            batch.results.append({"status_code": status, "operation_id": operation.get("operation_id"), "response": text})

    # ---- requests ----

    def get(self, request):
        batch = self.batches.get(request.params["batch_id"])
        if batch is None or batch.lost:
            raise problem.not_found()
        return batch

    def show(self, batch):
        index, _ = batch.state(self.clock.now(), self.step_s)
        index = min(index, 3) if batch.completed == 0 else index  # finished is only what was worked off
        url = ""
        if index == 4:
            if batch.expired_links:
                batch.expired_links -= 1
                url = self.link(batch, self.clock.now() - 1)
            else:
                url = self.link(batch, self.clock.now() + LINK_S)
        counted = index > 0
        return {"id": batch.key, "status": STATES[index],
                "total_operations": len(batch.operations) + batch.extra if counted else 0,
                "finished_operations": len(batch.results), "errored_operations": batch.errored,
                "submitted_at": moment_of(batch.begun), "completed_at": moment_of(batch.completed),
                "response_body_url": url, "_links": links(f"/batches/{batch.key}")}

    def list(self, request):
        return 200, page(request.query, "batches", list(self.batches.values()), self.show, "/batches")

    def one(self, request):
        return 200, picked(request.query, self.show(self.get(request)))

    def create(self, request):
        if sum(batch.completed == 0 for batch in self.batches.values()) >= OPEN_MAX:
            raise problem.Problem(429, "Too Many Requests", f"You have more than {OPEN_MAX} pending batches.")
        if not request.body["operations"]:
            raise problem.invalid(("operations", "Please provide at least one operation"))
        key = id_of("batch", len(self.batches), self.clock.now())
        batch = self.batches[key] = Batch(key, request.user, request.body["operations"], self.clock.now())
        for fault in request.faults:
            self.spoil(batch, fault)
        request.rows = [{"batch": key, "operations": len(batch.operations), "became": "created"}]
        return 200, self.show(batch)

    def spoil(self, batch, fault):
        """What a fault that strikes the POST does to the batch."""
        if fault["kind"] == "batch_stuck":
            batch.stuck = STATES.index(fault["at"])
        elif fault["kind"] == "batch_empty":
            batch.empty = True
        elif fault["kind"] == "batch_lost":
            batch.lost = True
        elif fault["kind"] == "batch_errors":
            batch.broken = fault["operations"]
        elif fault["kind"] == "expired_link":
            batch.expired_links = fault.get("times", 1)

    def drop(self, request):
        """Ends it where it is; what was done stays done, the results are gone."""
        del self.batches[self.get(request).key]
        return 204, None

    # ---- the download host ----

    def signature(self, key, expires):
        return hashlib.sha256(f"{key}/{expires}/link".encode()).hexdigest()[:32]

    def link(self, batch, until):
        query = urllib.parse.urlencode({"Expires": int(until), "Signature": self.signature(batch.key, int(until))})
        return f"{self.download_url()}/{batch.key}-response.tar.gz?{query}"

    def download(self, request):
        """(status, bytes or text): no credentials are taken here, the link is all."""
        if request.header("authorization"):
            return 400, xml("InvalidArgument", "Only one auth mechanism allowed")
        batch = self.batches.get(request.params["name"].removesuffix("-response.tar.gz"))
        expires = request.query.get("Expires", "")
        if not expires.isdecimal() or request.query.get("Signature") != self.signature(
                request.params["name"].removesuffix("-response.tar.gz"), int(expires)):
            return 403, xml("SignatureDoesNotMatch", "The request signature we calculated does not match")
        if int(expires) < self.clock.now():
            return 403, xml("AccessDenied", "Request has expired")
        if batch is None or batch.archive is None:
            return 404, xml("NoSuchKey", "The specified key does not exist.")
        return 200, batch.archive


def xml(code, message):
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'


def archive_of(batch):
    """tar.gz: files of JSON arrays, a thousand answers each, and an empty one, as the vendor's archives have."""
    rows = [] if batch.empty else batch.results
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        folder = tarfile.TarInfo("./")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for number, at in enumerate(range(0, len(rows), FILE_ROWS)):
            add(tar, f"./{batch.key}-{number}.json", json.dumps(rows[at:at + FILE_ROWS]).encode())
        add(tar, f"./{batch.key}-{len(rows) // FILE_ROWS + 1}.json", b"")
    return packed.getvalue()


def add(tar, name, raw):
    entry = tarfile.TarInfo(name)
    entry.size = len(raw)
    tar.addfile(entry, io.BytesIO(raw))
