# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The suite `vendors`: whole runs of `dray sync` against simulated accounts of Shopify, Zendesk and Mailchimp.

--rows is the bars' own size at 1 M: objects of the bulk result; 50,000 and 100,000 members; all fewer with fewer rows.
"""
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import time

from . import accounts, machine, vendor_kills
from .machine import Run, in_turn
from .rows import NOT_AVAILABLE, Bar, median, peak, row

ROWS_DEFAULT = 1_000_000
PROGRAMS = ("dray", "bench_json_rows", "plugin_sqlite", *(f"plugin_{name}" for name in accounts.VENDORS))
BENCHES = []  # (name, what, bytes of disk a row, function)

BULK_SHARE = 0.6
PEAK_MB = 256
CONNECTIONS = 4
BATCH = 500           # members in one call of Mailchimp
CALL_MS = 200
PAGE_MS = 50
PAGE = 100            # members a page: more cost the simulator more processor time than its latency
CHANGED = 1000
SEEDS = 20


def bench(name, what, disk):
    def register(function):
        BENCHES.append((name, what, disk, function))
        return function
    return register


# ---- runs ----

class Scene:
    """An account and a project in folders of their own. Use as a context."""

    peaks = False  # a peak is never less than this script's own, which holds whole accounts in other benches

    def __init__(self, place, vendor, *arguments, **more):
        self.place = place
        self.folder = place.scratch / vendor
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.project = vendor_kills.Project(self.folder / "project")
        self.account = accounts.VENDORS[vendor](self.folder, *arguments, **more)
        self.sim = self.account.sim

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sim.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sync(self, name):
        """One run. `said`: its records, one a stream; `calls`: what the simulator was asked for, by method and path."""
        out = self.folder / "out"
        self.sim.sim("DELETE", "calls")
        with open(out, "wb") as stdout:
            ran = machine.run([self.place.need("dray"), "-C", self.project.folder, "sync", name, "--json"],
                              env=self.account.environment(), seconds=None, stdout=stdout)
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        ran.said = [line for line in lines if line["type"] == "run"]
        if not self.peaks:
            ran.peak_mb = None
        told = self.sim.calls()
        ran.calls, ran.in_flight_max, ran.defects = told["calls"], told["in_flight_max"], told["defects"]
        return ran

    def forget(self):
        """As if nothing had ever been read."""
        shutil.rmtree(self.project.folder / ".dray", ignore_errors=True)
        for path in self.project.folder.glob("warehouse.db*"):
            path.unlink()

    def fill(self, target, count, version=0):
        accounts.fill(self.project, target, range(count), version)


def why_not(place, vendor):
    """Why this vendor cannot be measured here, or None."""
    if not (place.build / "plugins" / vendor).is_dir():
        return f"there is no plugin {vendor}"
    return accounts.VENDORS[vendor].missing()


def not_there(name, rows, bar, why):
    return row(name, rows, bar, peer=NOT_AVAILABLE, note=why)


def first_of(*sentences):
    return next((one for one in sentences if one), None)


def total(ran, name):
    return sum(one[name] for one in ran.said)


def refused(ran):
    """None, or what a run said that it should not have."""
    bad = {name: total(ran, name) for name in ("rejected", "deferred", "pending", "in_doubt", "unsent", "kept_back") if total(ran, name)}
    return f"the run left rows behind: {bad}" if bad else (f"the simulator: {ran.defects[0][-300:]}" if ran.defects else None)


def too_many(ran, limit):
    return f"{ran.in_flight_max} requests at once, {limit} are allowed" if ran.in_flight_max > limit else None


def applied(ran, count):
    return None if total(ran, "applied") == count else f"{total(ran, 'applied')} rows applied, not {count}"


def arrived(scene, target):
    """None, or how the account's rows are not the model's."""
    wanted, held = accounts.expected(scene.project, target), scene.account.held(target)
    other = [key for key, value in wanted.items() if held.get(key) != [value]]
    return f"{len(other)} of {len(wanted)} rows are not at the vendor as the model has them, {other[0]} say" if other else None


def read_all(scene, stream):
    """None, or how the table is not what the account holds."""
    wanted, columns = scene.account.wanted(stream)
    found = scene.project.query(f"SELECT {', '.join(columns)} FROM \"{stream}\"")
    if len(found) == len(wanted) and {one[0]: one[1:] for one in found} == wanted:
        return None
    return f"{stream}: {len(found)} rows, of which {len({one[0]: 0 for one in found if wanted.get(one[0]) == one[1:]})} of {len(wanted)} are right"


def shown(calls):
    return ", ".join(f"{count} {name}" for name, count in sorted(calls.items(), key=lambda item: -item[1])) or "none"


def writes_of(calls):
    return sum(count for name, count in calls.items() if name.split(" ", 1)[0] in accounts.WRITES)


# ---- a bulk result into a warehouse ----

NUMBER = re.compile(rb'"id":"gid:\\?/\\?/shopify\\?/(\w+)\\?/(\d+)')
TABLES = {"Customer": "customers", "Order": "orders", "LineItem": "order_line_items"}
REST = 2 ** 31  # numbers of ids are summed modulo it: those of ten million pass what SQLite's sum holds


class BulkShop(Scene):
    """A shop of about `rows` objects, whose bulk results are made once and kept."""

    peaks = True

    def __init__(self, place, rows):
        self.results = place.work / f"shopify-{rows}"
        orders = rows // 4
        # 2.5 lines an order by the mean, and customers for the rest.
        # What an operation lasts is the vendor's time, which is not what is measured.
        super().__init__(place, "shopify", "--customers", max(1, rows // 8), "--orders", orders, "--bulk-dir", self.results,
                         "--bulk-seconds", 0, brief=True)
        accounts.reading(self.project, self.account, ", use_bulk: always")

    def files(self):
        return sorted(self.results.glob("kept-*.jsonl"))

    def held(self):
        """kind -> (how many, sum of the numbers in their ids modulo REST), of the largest file of each kind."""
        found = {}
        for path in self.files():
            counts, sums = collections.Counter(), collections.Counter()
            with open(path, "rb") as file:
                for line in file:
                    kind, number = NUMBER.search(line).groups()
                    counts[kind] += 1
                    sums[kind] += int(number) % REST
            for kind, count in counts.items():
                found[kind.decode()] = max(found.get(kind.decode(), (0, 0)), (count, sums[kind]))
        return found

    def wrong(self):
        for kind, wanted in self.held().items():
            if kind not in TABLES:
                continue
            number = f"CAST(replace(id, 'gid://shopify/{kind}/', '') AS INTEGER)"
            have = self.project.query(f"SELECT count(*), sum({number} % {REST}) FROM {TABLES[kind]}")[0]
            if have != wanted:
                return f"{TABLES[kind]}: {have[0]} rows, {wanted[0]} were in the file, or other ones"
        return None


def columns_of(path):
    """The members of the file's first lines, as columns for the reader: names with dots and letters for types."""
    types = {}

    def look(value, name):
        if isinstance(value, dict) and value:
            for member, below in value.items():
                look(below, f"{name}.{member}" if name else member)
        elif value is not None or name not in types:
            letter = {bool: "b", int: "i", float: "f", list: "j", dict: "j"}.get(type(value), "t" if name.endswith("At") else "s")
            types[name] = letter if types.get(name, letter) == letter or types[name] == "?" else "s"
            types[name] = "?" if value is None else types[name]
    with open(path, encoding="utf-8") as file:
        for _, line in zip(range(1000), file):
            look(json.loads(line), "")
    return [f"{name}:{'s' if letter == '?' else letter}" for name, letter in types.items() if "." not in name or letter != "?"]


def reader_speed(place, paths):
    """MB/s of the JSON reader alone over the files, each as far as its benchmark goes."""
    mb = seconds = 0
    for path in paths:
        ran = machine.run([place.need("bench_json_rows"), "--file", path, 3, *columns_of(path)], seconds=None)
        mb += ran.said["mb"]
        seconds += ran.said["mb"] / ran.said["ours_mb_s"]
    return mb / seconds


def bulk_rows(place, rows, names, runs):
    bars = (Bar(">=", BULK_SHARE), Bar("<=", PEAK_MB))
    why = why_not(place, "shopify")
    if why:
        for name, bar in zip(names, bars):
            yield not_there(name, rows, bar, why)
        return
    with BulkShop(place, rows) as shop:
        if not place.keep:
            place.closers.append(lambda: shutil.rmtree(shop.results, ignore_errors=True))
        made, wrong = [], None
        for number in range(runs + 1):  # the first has the results made
            shop.forget()
            ran = shop.sync("in")
            wrong = first_of(wrong, refused(ran))
            made += [ran] if number > 0 else []
        wrong = first_of(wrong, shop.wrong())
        mb = sum(path.stat().st_size for path in shop.files()) / 1e6
        speed = reader_speed(place, shop.files())
    ours = mb / median(ran.seconds for ran in made)
    stages = ", ".join(f"{one['sync'].rsplit('.', 1)[-1]} {one['total_ms'] / 1000:.1f} s (read {one['read_ms'] / 1000:.1f}, "
                       f"apply {one['apply_ms'] / 1000:.1f})" for one in made[-1].said)
    note = (f"{mb:.0f} MB of JSONL, {sum(one['rows_read'] for one in made[-1].said):,} rows at {ours:.0f} MB/s, the reader alone "
            f"{speed:.0f} MB/s; {stages}")
    yield row(names[0], rows, bars[0], ours=made, peer="the JSON reader on the same bytes", ratio=ours / speed, measure="our MB/s / the reader's",
              wrong=wrong, note=note, peers=[Run(mb / speed, None, None, {})])
    yield row(names[1], rows, bars[1], ours=made, ratio=peak(made), measure="MB at most", wrong=wrong)


@bench("shopify_bulk", "a bulk result of --rows objects (customers, orders, lines) into SQLite: MB/s, peak memory", 2500)
def shopify_bulk(place):
    yield from bulk_rows(place, place.rows, ("shopify_bulk", "shopify_bulk_peak"), place.runs)


@bench("shopify_bulk_tenfold", "the same with ten times the objects, one run: peak memory", 25000)
def shopify_bulk_tenfold(place):
    yield from list(bulk_rows(place, 10 * place.rows, ("shopify_bulk_tenfold", "shopify_bulk_tenfold_peak"), 1))


# ---- pages ----

@bench("paged", f"Mailchimp's members at {PAGE_MS} ms a page: {CONNECTIONS} connections against one", 0)
def paged(place):
    bar, members = Bar(">=", 3), min(20_000, max(1000, place.rows // 50))
    why = why_not(place, "mailchimp")
    if why:
        yield not_there("paged", members, bar, why)
        return
    with Scene(place, "mailchimp", "--latency-ms", PAGE_MS, size=members, brief=True) as scene:
        wrong = []

        def side(connections):
            def measure():
                scene.forget()
                accounts.reading(scene.project, scene.account, f", page_size: {PAGE}, max_connections: {connections}")
                ran = scene.sync("in")
                wrong.extend((refused(ran), too_many(ran, connections), read_all(scene, "list_members")))
                return ran
            return measure

        mine, theirs = in_turn(place.runs, side(CONNECTIONS), side(1))
    yield row("paged", members, bar, ours=mine, peer="one page after the other", peers=theirs, wrong=first_of(*wrong),
              note=f"{members / PAGE:.0f} pages of {PAGE}; at once at most {max(ran.in_flight_max for ran in mine)}, "
                   f"and {max(ran.in_flight_max for ran in theirs)}; calls: {shown(mine[-1].calls)}")


# ---- members written ----

def bare_client(scene, members):
    """Seconds of a client that does nothing but post as many members over as many connections: what the machine and the
    simulator leave to gain."""
    account, begin = scene.account, time.monotonic()

    def post(lane):
        connection = scene.sim.connect()
        for batch in range(lane, members // BATCH, CONNECTIONS):
            numbers = range(batch * BATCH, (batch + 1) * BATCH)
            body = {"update_existing": True, "members": [{"email_address": accounts.value_of("email", number, 0), "status": "subscribed",
                                                          "merge_fields": {"LNAME": "bare"}} for number in numbers]}
            reply = scene.sim.request("POST", f"/3.0/lists/{account.list}", body, {"Authorization": "Bearer " + account.environment()["MC_KEY"]},
                                      connection)
            if reply.status != 200:
                raise machine.Failed(f"the bare client: {reply}")
        connection.close()
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(post, range(CONNECTIONS)))
    return time.monotonic() - begin


@bench("mailchimp_upsert", f"50,000 changed members at {CALL_MS} ms a call, {CONNECTIONS} connections, against the ideal", 0)
def mailchimp_upsert(place):
    bar, members = Bar("<=", 1.15), min(50_000, max(BATCH * CONNECTIONS, place.rows // 20))
    why = why_not(place, "mailchimp")
    if why:
        yield not_there("mailchimp_upsert", members, bar, why)
        return
    ideal = members / BATCH / CONNECTIONS * CALL_MS / 1000
    with Scene(place, "mailchimp", "--latency-ms", CALL_MS, size=100, brief=True) as scene:
        target = scene.account.targets[0]
        accounts.writing(scene.project, scene.account, target)
        scene.fill(target, members)
        wrong, mine = [refused(scene.sync("out"))], []
        for version in range(1, place.runs + 1):
            scene.fill(target, members, version)
            ran = scene.sync("out")
            wrong += [refused(ran), applied(ran, members), too_many(ran, CONNECTIONS), arrived(scene, target)]
            mine.append(ran)
        bare = bare_client(scene, members)
    yield row("mailchimp_upsert", members, bar, ours=mine, peer=f"{members // BATCH} calls / {CONNECTIONS} x {CALL_MS} ms",
              peers=[Run(ideal, None, None, {})], measure="ours / peer", wrong=first_of(*wrong), bare_client_s=bare,
              note=f"a client that does nothing else took {bare:.2f} s; calls: {shown(mine[-1].calls)}")


@bench("mailchimp_idle", "a second run without changes, 100,000 members: calls that write", 0)
def mailchimp_idle(place):
    bar, members = Bar("<=", 0), min(100_000, max(1000, place.rows // 10))
    why = why_not(place, "mailchimp")
    if why:
        yield not_there("mailchimp_idle", members, bar, why)
        return
    with Scene(place, "mailchimp", size=100, brief=True) as scene:
        target = scene.account.targets[0]
        accounts.writing(scene.project, scene.account, target)
        scene.fill(target, members)
        first = scene.sync("out")
        ran = scene.sync("out")
        wrong = first_of(refused(first), applied(first, members), arrived(scene, target), refused(ran), applied(ran, 0))
    yield row("mailchimp_idle", members, bar, ours=[ran], ratio=writes_of(ran.calls), measure="calls that write", wrong=wrong,
              note=f"calls that read, which tell the fields and the right to write: {shown(ran.calls)}")


# ---- calls ----

# What the API needs at least to write CHANGED rows: calls that write, and why.
LEAST = {"shopify": (3, "stagedUploadsCreate, the upload, bulkOperationRunMutation; then polls and one download"),
         "zendesk": (CHANGED // 100, "jobs of 100 users; then polls"),
         "mailchimp": (CHANGED // BATCH, f"batches of {BATCH} members")}
# Settings under which the least is meant.
SETTINGS = {"shopify": {"to": f", bulk_threshold: {CHANGED // 2}"}, "zendesk": {}, "mailchimp": {}}


def plain_target(account):
    """The vendor's first object with no limit of its own on batches."""
    first = account.targets[0]
    to = SETTINGS[account.plugin].get("to", first.to)
    return accounts.Target("changed rows", first.object, first.columns, to=to)


def calls_of(vendor):
    def function(place):
        name, (least, what) = f"calls_{vendor}", LEAST[vendor]
        why = why_not(place, vendor)
        if why:
            yield not_there(name, CHANGED, Bar("<=", 1), why)
            return
        with Scene(place, vendor) as scene:
            target = plain_target(scene.account)
            accounts.writing(scene.project, scene.account, target)
            scene.fill(target, CHANGED)
            wrong = [refused(scene.sync("out"))]
            scene.fill(target, CHANGED, 1)
            before = len(scene.sim.ledger())
            ran = scene.sync("out")
            wrong += [refused(ran), applied(ran, CHANGED), arrived(scene, target)]
            writes = scene.account.writes(scene.sim.ledger()[before:])
        everything = sum(ran.calls.values())
        yield row(name, CHANGED, Bar("<=", 1), ours=[ran], peer=f"{least}: {what}", ratio=writes / least, measure="calls that write / least",
                  wrong=first_of(*wrong), calls=everything, calls_writing=writes,
                  note=f"{everything} calls for {CHANGED} changed rows, {writes} of them write: {shown(ran.calls)}")
    return function


for _vendor in accounts.VENDORS:
    bench(f"calls_{_vendor}", f"calls for {CHANGED} changed rows, against the least that the API allows", 0)(calls_of(_vendor))


# ---- kills ----

def kills_of(vendor):
    def function(place):
        name, bar, seeds = f"kills_{vendor}", Bar("<=", 0), place.seeds or SEEDS
        why = why_not(place, vendor)
        if why:
            yield not_there(name, seeds, bar, why)
            return
        os.environ["DRAY_BIN"] = str(place.need("dray"))
        folder = pathlib.Path(place.scratch) / name
        folder.mkdir()
        for direction in vendor_kills.DIRECTIONS:
            learned = vendor_kills.Learned(folder)
            told = []
            for seed in range(seeds):
                told.append(vendor_kills.run_seed(vendor, direction, seed, folder, learned=learned))
                one = told[-1]
                machine.say(f"bench: {name} {direction} {seed}: {one['what']}: {'; '.join(one['deaths'])}"
                            + (f"\n  WRONG {one['wrong']}" if one["wrong"] else ""))
            yield kill_row(f"{name}_{direction}", seeds, bar, told, learned)
        shutil.rmtree(folder)
    return function


def kill_row(name, seeds, bar, told, learned):
    wrong = [one for one in told if one["wrong"]]
    deaths = [death for one in told for death in one["deaths"]]
    steps = {step for counts, _, _ in learned.known.values() for step in counts}
    repeats, flight = (sum(one.get(what, 0) for one in told) for what in ("repeats", "in_flight"))
    return row(name, seeds, bar, ratio=len(wrong), measure="seeds that went wrong", deaths=len(deaths),
               wrong=f"seed {wrong[0]['seed']} ({wrong[0]['what']}; {'; '.join(wrong[0]['deaths'])}): {wrong[0]['wrong'][:600]}" if wrong else None,
               note=f"{len(deaths)} deaths, {sum('kill:' in death for death in deaths)} at one of {len(steps)} steps, "
                    f"{sum('request' in death for death in deaths)} after a request; {repeats} rows written again of {flight} in flight")


for _vendor in accounts.VENDORS:
    bench(f"kills_{_vendor}", f"runs killed at random and gone on with, {SEEDS} seeds (--seeds) in each direction", 0)(kills_of(_vendor))


def prepare(place):
    """Before the first bench."""
    place.build = machine.build("release", PROGRAMS)
