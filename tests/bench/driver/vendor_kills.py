# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Runs against a vendor that are killed with SIGKILL and gone on with until they are done, judged by what the simulator holds
and by its ledger. The suite `vendors` of tools/bench runs many seeds, tests/e2e/test_vendor_kills.py a few.

A seed decides what is run, how large the change is, and each death: after some time, at a named step (base/fault.h), or when
the simulator has answered its n-th request.
"""
import collections
import pathlib
import random
import shutil
import sqlite3
import sys
import time

from . import accounts

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import harness  # noqa: E402

WAYS = ("step", "request", "moment")
DIRECTIONS = ("ingest", "activate")
DEATHS_MAX = 2
ATTEMPTS_MAX = 5    # for a run that ended before its death
RUNS_MAX = 12       # after the last death, until nothing is left to do
ROWS = (60, 120)
LATENCY_MS = 15     # so that a death finds requests in work
SETTLE_S = 20       # for what the vendor still does when nobody waits for it
OPEN = (2, 5)       # batches in state.db that are being sent, or in doubt: what may be done once more
UNLEARNED_REQUESTS = 4  # that every run has
# Steps that every run in a direction passes, for those who do not learn them.
STEPS = {"ingest": ("sync.merged", "sync.warehouse_committed", "sync.mirror_committed", "store.commit"),
         "activate": ("delivery.sending", "delivery.written", "delivery.answered", "delivery.mirrored", "delivery.settled",
                      "sync.activated", "store.commit")}


class Project(harness.Project):
    def execute_many(self, make, statement, rows, database="warehouse.db"):
        connection = sqlite3.connect(self.folder / database)
        with connection:
            connection.execute(make)
            connection.executemany(statement, rows)
        connection.close()


class Wrong(AssertionError):
    """What a resumed run left behind that it must not."""


def demand(truth, text):
    if not truth:
        raise Wrong(text)


class Case:
    """One seed in one direction: an account and a project as they stand before the run that dies. `children`: processes of a run, one a
    stream."""

    def __init__(self, vendor, direction, seed, folder, attempt=0):
        self.chance = random.Random(f"{vendor} {direction} {seed} {attempt}")
        self.direction, self.seed, self.attempt, self.folder = direction, seed, attempt, pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.account = accounts.VENDORS[vendor](self.folder, "--latency-ms", LATENCY_MS)
        self.project = Project(self.folder / "project")
        self.project.environment.update({"DRAY_HTTP_BACKOFF_MS": "20"})
        self.later = self.chance.random() < 0.5  # whether a whole run went before
        self.allowed = 0                         # rows that were in flight at the deaths
        self.deaths = []
        try:
            self.prepare()
        except BaseException:
            self.close()
            raise
        self.begin = len(self.account.sim.ledger())  # what is judged begins here

    def close(self):
        self.account.sim.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def shape(self):
        """Cases of one shape pass the same steps and take about as long."""
        return self.account.plugin, self.direction, self.name, self.later

    def dray(self, env=None):
        return self.project.dray("sync", self.sync, "--json", env=env)

    def runs(self):
        """One run that must end well: its records (one a stream)."""
        result = self.dray()
        demand(result.code == 0, f"the run after the death: {result}")
        return result.lines("run")

    def in_flight(self):
        """Rows in batches that are being sent. A copy is looked at: the database of a process that died may have a journal."""
        copy = self.folder / "look"
        shutil.copytree(self.project.folder / ".dray", copy)
        connection = sqlite3.connect(copy / "state.db")
        try:
            made = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'batches'").fetchone()[0]
            marks = ", ".join("?" for _ in OPEN)
            query = f"SELECT coalesce(sum(count), 0) FROM batches WHERE state IN ({marks})"
            return connection.execute(query, OPEN).fetchone()[0] if made else 0
        finally:
            connection.close()
            shutil.rmtree(copy)

    def go_on(self):
        """Runs until one finds nothing to do; then one more that must find nothing either."""
        for number in range(RUNS_MAX):
            runs = self.runs()
            if all(run["pending"] + run["in_doubt"] + run["deferred"] + run["unsent"] + run["kept_back"] == 0 for run in runs):
                return number + 1
            time.sleep(0.3)
        raise Wrong(f"after {RUNS_MAX} runs there are still rows without an answer: {runs}")

    def idle(self):
        names = ("inserts", "updates", "deletes", "sent", "applied", "recovered_batches")
        busy = [{name: run[name] for name in names if run[name]} for run in self.runs()]
        demand(not any(busy), f"a run after the last one had something to do: {busy}")
        left = self.project.left_behind()
        demand(not left, f"left behind: {left}")
        demand(not self.account.defects(), f"the simulator: {self.account.defects()[:1]}")


class Ingest(Case):
    sync = "in"

    @property
    def children(self):
        return len(self.account.streams)

    def prepare(self):
        self.name = more = self.chance.choice(self.account.reading_more)
        accounts.reading(self.project, self.account, more)
        self.project.dray("discover", "vendor").expect(0)
        if self.later:
            self.runs()
            self.account.change(self.chance)

    def judge(self):
        """Every record once and as the vendor has it. What is gone there may stay where reads are incremental."""
        for stream in self.account.streams:
            wanted, columns = self.account.wanted(stream)
            found = {row[0]: row[1:] for row in self.project.query(f"SELECT {', '.join(columns)} FROM \"{stream}\"")}
            count = self.project.query(f'SELECT count(*) FROM "{stream}"')[0][0]
            demand(count == len(found), f"{stream}: {count - len(found)} records are there twice")
            lost = sorted(key for key in wanted if key not in found)
            demand(not lost, f"{stream}: {len(lost)} of {len(wanted)} records were lost: {lost[:3]}")
            more = sorted(key for key in found if key not in wanted)
            demand(not more, f"{stream}: {len(more)} records that the vendor has not: {more[:3]}")
            other = [(key, found[key], value) for key, value in wanted.items() if found[key] != value]
            demand(not other, f"{stream}: {len(other)} records are not as the vendor has them: {other[:2]}")
        return {}


class Activate(Case):
    sync = "out"
    children = 1

    def prepare(self):
        self.target = self.chance.choice(self.account.targets) if self.seed >= len(self.account.targets) else self.account.targets[self.seed]
        self.name = self.target.name
        accounts.writing(self.project, self.account, self.target)
        rows = self.chance.randint(*ROWS)
        accounts.fill(self.project, self.target, range(rows))
        if self.later:
            self.go_on()
            changed = () if self.target.create_only else self.chance.sample(range(rows), rows // 2)
            accounts.fill(self.project, self.target, changed, version=1)
            accounts.fill(self.project, self.target, range(rows, rows + rows // 2))
            self.rows = len(changed) + rows // 2
        else:
            self.rows = rows

    def judge(self):
        wanted, held = accounts.expected(self.project, self.target), self.account.held(self.target)
        lost = [key for key in wanted if key not in held]
        demand(not lost, f"{len(lost)} of {len(wanted)} rows never arrived: {lost[:3]}")
        if self.target.create_only:
            twice = {key: len(held[key]) for key in wanted if len(held[key]) > 1}
            demand(not twice, f"{len(twice)} rows were created more than once: {list(twice.items())[:3]}")
        else:
            other = [(key, held[key], value) for key, value in wanted.items() if held[key] != [value]]
            demand(not other, f"{len(other)} rows did not arrive as they are: {other[:2]}")
        done = self.account.done(self.target, self.account.sim.ledger()[self.begin:])
        done = {key: count for key, count in done.items() if key in wanted}
        missing = self.rows - len(done)
        demand(missing <= 0, f"by the ledger {missing} of {self.rows} rows were never written")
        repeats = sum(count - 1 for count in done.values())
        allowed = 0 if self.target.create_only else self.allowed
        demand(repeats <= allowed, f"{repeats} rows were written again, {allowed} were in flight")
        limit = self.account.in_flight_max
        most = self.account.sim.calls()["in_flight_max"]
        demand(limit is None or most <= limit, f"{most} requests at once, {limit} are allowed")
        return {"repeats": repeats, "in_flight": self.allowed}


KINDS = {"ingest": Ingest, "activate": Activate}


class Learned:
    """What whole runs of each shape pass and take, found out once."""

    def __init__(self, folder):
        self.folder, self.known = pathlib.Path(folder), {}

    def of(self, vendor, case):
        shape = case.shape()
        if shape not in self.known:
            twin = KINDS[case.direction](vendor, case.direction, case.seed, self.folder / "twin", case.attempt)
            try:
                trace = self.folder / "trace"
                before, begin = len(twin.account.sim.ledger()), time.monotonic()
                twin.dray(env={"DRAY_FAULT_TRACE": str(trace)}).expect(0)
                self.known[shape] = (collections.Counter(trace.read_text().split()), time.monotonic() - begin,
                                     len(twin.account.requests(twin.account.sim.ledger()[before:])))
                trace.unlink()
            finally:
                twin.close()
        return self.known[shape]


def kill_when(case, condition):
    """Starts a run and kills it as soon as `condition()` holds. None when it ended before."""
    process = case.project.start("sync", case.sync, "--json")
    while process.poll() is None and not condition():
        time.sleep(0.001)
    result = case.project.kill(process, ("sync", case.sync))
    return None if result.code == 0 else result


def die_at_step(vendor, case, learned):
    if learned is None:
        step, passes = case.chance.choice(STEPS[case.direction]), 1
    else:
        # By turns, those of the sync and of its delivery first.
        counts = learned.of(vendor, case)[0]
        steps = sorted(counts, key=lambda name: (not name.startswith(("delivery.", "sync.")), name))
        step = steps[(case.seed // len(WAYS) + case.attempt + 5 * len(case.deaths)) % len(steps)]
        passes = max(1, counts[step] // case.children)  # each counts its own
    fault = f"kill:{step}:{case.chance.randint(1, passes)}"
    result = case.dray(env={"DRAY_FAULT": fault})
    return fault, None if result.code == 0 else result


def die_after_request(vendor, case, learned):
    most = learned.of(vendor, case)[2] if learned is not None else UNLEARNED_REQUESTS
    number = case.chance.randint(1, max(1, most))
    sim = case.account.sim
    begin = sim.noted()
    return f"request {number} of about {most}", kill_when(case, lambda: sim.noted() - begin >= number)


def die_at_moment(vendor, case, learned):
    longest = learned.of(vendor, case)[1] if learned is not None else 1.0
    end = time.monotonic() + case.chance.random() * longest
    return "some moment", kill_when(case, lambda: time.monotonic() >= end)


DIE = {"step": die_at_step, "request": die_after_request, "moment": die_at_moment}


def settle(case):
    """Nothing is in work at the vendor any more."""
    end = time.monotonic() + SETTLE_S
    while case.account.sim.calls().get("in_flight", 0) > 0 and time.monotonic() < end:
        time.sleep(0.02)


def die(vendor, case, way, learned):
    where, result = DIE[way](vendor, case, learned)
    if result is None:
        return False
    demand(result.code in (1, -9) and (result.code == -9 or "killed" in result.errors()), f"{where}: {result}")
    settle(case)
    flight = case.in_flight()
    case.allowed += flight
    case.deaths.append(f"{where}, {flight} rows in flight")
    return True


def play(vendor, case, ways, learned, told):
    """The deaths of a case, then runs until it is done, then the judges. False when the first run outlived its fault."""
    wanted = case.chance.randint(1, DEATHS_MAX)
    for number in range(wanted):
        if not die(vendor, case, ways[(case.seed + number) % len(ways)], learned):
            break
    if not case.deaths:
        return False
    told["runs"] = case.go_on()
    told.update(case.judge())
    case.idle()
    case.judge()
    return True


def run_seed(vendor, direction, seed, folder, ways=WAYS, learned=None):
    """One seed: what it was, how it died, and what was wrong, or None. `learned` is a Learned, or None: steps that are known.
    A run that ends before its death is tried again from the start."""
    for attempt in range(ATTEMPTS_MAX):
        case = KINDS[direction](vendor, direction, seed, pathlib.Path(folder) / f"{vendor}-{direction}-{seed}", attempt)
        told = {"seed": seed, "direction": direction, "what": case.name, "later": case.later, "deaths": case.deaths, "wrong": None}
        try:
            if play(vendor, case, ways, learned, told):
                break
        except AssertionError as problem:  # of a judge, or of the harness
            told["wrong"] = str(problem)
            break
        finally:
            case.close()
    else:
        told["wrong"] = f"in {ATTEMPTS_MAX} attempts the run always ended before it was to die"
    return told
