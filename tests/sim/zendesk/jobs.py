# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Bulk jobs: queued, working, then completed, failed or killed; their rows are done when the time of the job has come.

At most 30 are queued or working, only the last 100 are known, and none after an hour.
"""

import hashlib

from server import Answer, Route

from . import errors
from .errors import Conflict, Denied, Invalid, NotFound, bad_request, not_found, refusal

ITEMS_MAX, ACTIVE_MAX, KEPT_MAX, KEPT_SECONDS = 100, 30, 100, 3600
FAULTS = {
    "job_failed": {"after", "message"}, "job_killed": {"after", "message"}, "job_vanish": {"applied"},
    "job_rows": {"indexes", "error", "details"}, "job_slow": {"seconds"}, "job_object_results": set(),
}


class Job:
    def __init__(self, number, kind, action, items, work, begins, ends, faults, request):
        self.id = hashlib.md5(f"{kind} {number}".encode(), usedforsecurity=False).hexdigest()
        self.kind, self.action, self.items, self.work = kind, action, items, work
        self.begins, self.ends = begins, ends
        self.faults = {fault["kind"]: fault for fault in faults}
        self.who, self.base = request.who, request.base
        self.created, self.done, self.status, self.message, self.results = begins, False, "queued", None, None


class Jobs:
    def __init__(self, simulator):
        self.simulator, self.clock = simulator, simulator.clock
        self.count, self.list = 0, []
        self.queued_s, self.working_s = simulator.options.job_queued_s, simulator.options.job_working_s

    def routes(self):
        def route(path, handler, query=()):
            return Route("GET", "/api/v2/job_statuses" + path, handler, query)
        return [route("", self.show_all, ("page[size]", "page[after]")), route("/show_many", self.show_many, ("ids",)),
                route("/{id}", self.show)]

    # ---- making and doing ----

    def submit(self, request, kind, action, items, work):
        """`work(item)` does one row: gives (id, what became of it), raises Invalid, NotFound, Denied, Conflict."""
        if not items:
            raise bad_request("ParameterMissing", "no records were given")
        if len(items) > ITEMS_MAX:
            raise bad_request("TooManyValues", f"at most {ITEMS_MAX} records, {len(items)} were given")
        if sum(1 for job in self.list if not job.done) >= ACTIVE_MAX:
            raise refusal(429, {"error": "TooManyJobs", "description":
                                f"You have {ACTIVE_MAX} jobs queued or running. Wait until one of them is done."})
        faults = [fault for fault in request.faults if fault["kind"] in FAULTS]
        slow = sum(fault.get("seconds", 10) for fault in faults if fault["kind"] == "job_slow")
        begins = self.clock.now() + self.queued_s
        self.count += 1
        job = Job(self.count, kind, action, items, work, begins, begins + self.working_s + slow, faults, request)
        self.list.append(job)
        del self.list[:-KEPT_MAX]
        request.rows = [{"job": job.id, "count": len(items)}]
        answer = Answer(200, {"job_status": self.shown(job)})
        if "job_vanish" in job.faults:
            if job.faults["job_vanish"].get("applied", True):
                self.run(job)
            self.list.remove(job)
        return answer

    def run_due(self):
        """Does the rows of every job whose time has come, in the order in which they end."""
        now = self.clock.now()
        for job in sorted((job for job in self.list if not job.done and job.ends <= now), key=lambda job: job.ends):
            self.run(job)
        self.list = [job for job in self.list if not job.done or job.ends > now - KEPT_SECONDS]

    def run(self, job):
        broken = job.faults.get("job_failed") or job.faults.get("job_killed")
        upto = broken.get("after", 0) if broken else len(job.items)
        refused = job.faults.get("job_rows")
        job.results, rows = [], []
        for index, item in enumerate(job.items[:upto]):
            result, became = self.do(job, index, item, refused)
            job.results.append(result)
            rows.append({"index": index, "id": result.get("id"), "became": became, **(
                {"details": result["details"]} if "details" in result else {})})
        job.done = True
        job.status = "completed"
        job.message = f"Completed at {self.clock.iso()}"
        if broken:
            job.status = broken["kind"].removeprefix("job_")
            job.message, job.results = broken.get("message", "Job was stopped"), []
        elif "job_object_results" in job.faults:
            job.results = {"success": True}
        self.simulator.ledger.write({"time": self.clock.iso(), "outcome": "job", "job": job.id, "kind": job.kind, "who": job.who,
                                     "status": job.status, "rows": rows})

    def do(self, job, index, item, refused):
        named = item.get("id") if isinstance(item, dict) else item if isinstance(item, int) else None
        try:
            if refused and index in refused["indexes"]:
                raise Invalid({"base": [refused.get("details", "refused by a rule of the account")]},
                              refused.get("error", "RecordInvalid"))
            number, became = job.work(item)
        except (Invalid, NotFound, Denied, Conflict) as problem:
            error, details = failure(problem)
            made = {"error": error, "details": details, "success": False, "status": "Failed", "action": job.action}
            made.update({"id": named} if named is not None and job.action != "create" else {"index": index})
            return made, "refused"
        if became == "created":
            return {"id": number, "index": index, "action": "create", "status": "Created", "success": True}, became
        status = {"deleted": "Deleted"}.get(became, "Updated")
        return {"id": number, "action": "delete" if became == "deleted" else "update", "status": status, "success": True}, became

    # ---- telling ----

    def shown(self, job):
        now = self.clock.now()
        status = job.status if job.done else "queued" if now < job.begins else "working"
        progress = len(job.items) if job.done else None if status == "queued" else len(job.items) // 2
        return {"id": job.id, "url": f"{job.base}/api/v2/job_statuses/{job.id}.json", "job_type": job.kind, "total": len(job.items),
                "progress": progress, "status": status, "message": job.message, "results": job.results if job.done else None}

    def show(self, request):
        found = next((job for job in self.list if job.id == request.params["id"]), None)
        if found is None:
            raise not_found()
        return Answer(200, {"job_status": self.shown(found)})

    def show_many(self, request):
        wanted = [part for part in request.query.get("ids", "").split(",") if part]
        if not wanted or len(wanted) > 100:
            raise bad_request("ParameterMissing", "ids: between 1 and 100 are needed")
        return Answer(200, {"job_statuses": [self.shown(job) for job in self.list if job.id in wanted], "count": len(wanted),
                            "next_page": None, "previous_page": None})

    def show_all(self, request):
        return Answer(200, {"job_statuses": [self.shown(job) for job in reversed(self.list)],
                            "meta": {"has_more": False, "after_cursor": None, "before_cursor": None},
                            "links": {"prev": None, "next": None}})


def failure(problem):
    if isinstance(problem, Invalid):
        return problem.error, str(problem)
    if isinstance(problem, NotFound):
        return "RecordNotFound", "The record was not found"
    if isinstance(problem, Conflict):
        return "UpdateConflict", "Safe Update prevented the update due to outdated data"
    return "PermissionDenied", str(problem) or errors.NO_ACCESS
