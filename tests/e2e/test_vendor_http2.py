# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2, which is what the vendors speak. Whole runs by the vendors' own addresses through nghttpx, whose log says what was
spoken; then through a front that breaks off as only HTTP/2 can (tests/http2_front.py), where the simulators' ledgers say how
often each row was done.
"""

import collections
import json
import os
import signal
import subprocess
import sys

import pytest

import conftest
import harness
import ports
import scene
from driver import accounts, vendor_kills
from vendor_hosts import HOSTS, Authority, Proxy, ports_of

sys.path.insert(0, str(harness.ROOT / "tests"))
import http2_front  # noqa: E402  pylint: disable=wrong-import-position

SIZE = 80
LATENCY_MS = 15  # so that requests that may overlap do
ROWS = 25
VENDORS = sorted(HOSTS)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki") / "good")


@pytest.fixture(scope="module")
def pairs(authority):
    """{vendor: (certificate, key)}."""
    return {vendor: authority.issue(vendor, HOSTS[vendor]) for vendor in VENDORS}


# ---- nghttpx ----

class Nghttpx:
    """HTTP/2 and HTTP/1.1 over TLS before the simulators; who comes chooses."""

    def __init__(self, folder, backends, pair):
        self.folder, self.backends, self.pair = folder, backends, pair
        self.access = folder / "access.ndjson"
        self.held, self.port = ports.hold()
        self.process = None
        self.start()

    def start(self):
        line = {name: "$" + name for name in ("remote_port", "alpn", "tls_protocol", "tls_sni", "method", "path", "status", "http_range")}
        backends = [f"--backend=127.0.0.1,{port};{host}/;tls" for host, port in self.backends.items()]
        self.process = subprocess.Popen(
            ["nghttpx", "--conf=/dev/null", f"--frontend=127.0.0.1,{self.port}", *backends, f"--backend=127.0.0.1,{self.port}", "--insecure",
             "--no-ocsp", "--workers=1", "--no-location-rewrite", f"--accesslog-file={self.access}", f"--accesslog-format={json.dumps(line)}",
             f"--errorlog-file={self.folder / 'nghttpx.log'}", str(self.pair[1]), str(self.pair[0])],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        harness.wait_until(self.listens, what="nghttpx")

    def listens(self):
        assert self.process.poll() is None, (self.folder / "nghttpx.log").read_text()
        try:
            ports.socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def again(self, how):
        if how == signal.SIGKILL:
            self.end()
            self.start()
            return
        def drained():
            return (self.folder / "nghttpx.log").read_text(encoding="utf-8").count("Graceful shutdown commencing")
        before = drained()
        self.process.send_signal(how)
        harness.wait_until(lambda: drained() > before, what="another worker")

    def end(self):
        """With the workers, which outlive their master otherwise."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def asked(self):
        """Every request that was answered."""
        if not self.access.exists():
            return []
        return [json.loads(line) for line in self.access.read_text(encoding="utf-8").splitlines()]

    def close(self):
        self.end()
        self.held.close()


class World:
    """A vendor's account by its own addresses, and projects that know nothing else of it."""

    def __init__(self, vendor, folder, pair, trusted):
        made = conftest.vendor(vendor)
        more = ("--storage-url", "https://storage.example") if vendor == "shopify" else ()
        self.folder, self.trusted = folder, trusted
        self.account = made(folder, "--tls", *pair, "--latency-ms", LATENCY_MS, *more, size=SIZE)
        self.sim = self.account.sim
        plain = self.account.connection
        name = "subdomain: acme, " if vendor == "zendesk" else ""
        self.account.connection = lambda more="": plain(more).replace(f'base_url: "{self.sim.url}", ', name)
        self.front = Nghttpx(folder, ports_of(vendor, self.sim), pair)
        self.proxy = Proxy({host: self.front.port for host in HOSTS[vendor]})

    def project(self, name):
        return vendor_kills.Project(self.folder / name, {"HTTPS_PROXY": self.proxy.url, "SSL_CERT_FILE": str(self.trusted)})

    def close(self):
        self.proxy.close()
        self.front.close()
        self.sim.stop()


@pytest.fixture
def world(tmp_path, authority, pairs):
    made = []

    def make(vendor):
        made.append(World(vendor, tmp_path, pairs[vendor], authority.certificate))
        return made[-1]
    yield make
    for one in made:
        one.close()


def expect_read(project, account):
    for stream in account.streams:
        wanted, columns = account.wanted(stream)
        there = {row[0]: tuple(row[1:]) for row in project.query(f"SELECT {', '.join(columns)} FROM {stream}")}
        if stream == "list_members":
            there = {row[0]: row for row in project.query("SELECT email_address, status FROM list_members")}
            wanted = {email: (email, status) for email, status in wanted.values()}
        assert there == wanted, stream


def expect_written(account, project, target, mark, rows, times=(1,)):
    """These rows are there once, as the model has them, and each was done so often since the mark."""
    held = account.held(target)
    names = slice(1, 2) if target.create_only else slice(1, None)
    table = {row[0]: [tuple(row[names])] for row in project.query(f"SELECT {', '.join(target.columns)} FROM {accounts.TABLE}")}
    keys = [accounts.value_of(target.columns[0], number, 0) for number in rows]
    assert {key: held.get(key) for key in keys} == {key: table[key] for key in keys}
    done = account.done(target, account.sim.ledger()[mark:])
    assert {done.get(key, 0) for key in keys} <= set(times), done


def expect_http2(one):
    """All that was asked was asked in HTTP/2, and of all who were asked the log knows."""
    log = one.front.asked()
    assert log and {line["alpn"] for line in log} == {"h2"}, log[:3]
    assert {line["tls_sni"] for line in log} <= set(one.proxy.asked)
    assert len(log) == one.sim.calls()["total"]
    return log


@pytest.mark.parametrize("vendor", VENDORS)
def test_whole_runs_both_ways(world, vendor):
    one = world(vendor)
    account = one.account
    project = one.project("in")
    accounts.reading(project, account)
    assert [run["rejected"] for run in project.dray("sync", "--all", "--json").expect(0).lines("run")] == [0] * len(account.streams)
    expect_read(project, account)
    for number, target in enumerate(account.targets[:2]):
        project = one.project(f"out{number}")
        accounts.writing(project, account, target)
        rows = range(100 * number, 100 * number + ROWS)
        accounts.fill(project, target, rows)
        mark = len(one.sim.ledger())
        assert project.sync("out")["applied"] == ROWS
        expect_written(account, project, target, mark, rows)
        writes = account.writes(one.sim.ledger())
        assert project.sync("out")["sent"] == 0 and account.writes(one.sim.ledger()) == writes
    log = expect_http2(one)
    assert account.defects() in (0, []), account.defects()
    connections = collections.Counter(line["remote_port"] for line in log)
    assert len(connections) < len(log), "connections are kept"
    if vendor == "shopify":
        assert not one.sim.state()["token_leaks"] and "storage.example" in one.proxy.asked


def test_mailchimps_connections_are_kept_busy_and_to_their_number(world):
    """Ten requests at once are what Mailchimp allows, on however many connections."""
    one = world("mailchimp")
    project, target = one.project("out"), one.account.targets[0]
    accounts.writing(project, one.account, target)
    for version in range(2):
        accounts.fill(project, target, range(4000), version)
        assert project.sync("out")["applied"] == 4000
    told = one.sim.calls()
    assert told["in_flight_max"] == one.account.in_flight_max == 4 and told["throttled"] == 0, told
    log = [line for line in expect_http2(one) if line["method"] == "POST"]
    assert len(log) == 16 and len({line["remote_port"] for line in log}) >= 4, "one answer a connection"


def test_downloads_that_are_cut_go_on_where_they_were(world):
    one = world("shopify")
    project = one.project("in")
    one.sim.fault({"kind": "cut", "port": "storage", "keep_bytes": 10001, "count": 2})
    accounts.reading(project, one.account, streams=["orders"])
    project.dray("sync", "--all").expect(0)
    wanted, _ = one.account.wanted("orders")
    assert {row[0] for row in project.query("SELECT id FROM orders")} == set(wanted)
    ranges = [line["http_range"] for line in expect_http2(one) if line["tls_sni"] == "storage.example"]
    assert len(ranges) == 3 and ranges[0] == "-" and all(one.startswith("bytes=") for one in ranges[1:]), ranges
    assert not one.sim.state()["token_leaks"]


# SIGHUP: another worker takes over, the one before says GOAWAY and lets what is under way end. SIGKILL says nothing.
@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGKILL], ids=["goaway", "killed"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_front_goes_and_comes_again_in_the_middle(world, vendor, how):
    one = world(vendor)
    account, target = one.account, one.account.targets[0]
    project = one.project("in")
    accounts.reading(project, account, account.reading_more[-1])
    end_in_the_middle(one, project, "--all", how, {"path": {"shopify": "/admin/*", "zendesk": "/api/*", "mailchimp": "*/members"}[vendor]})
    expect_read(project, account)
    project, mark = one.project("out"), len(one.sim.ledger())
    accounts.writing(project, account, target)
    accounts.fill(project, target, range(ROWS))
    end_in_the_middle(one, project, "out", how, {"shopify": {"body_contains": '"mutation'}, "zendesk": {"method": "POST", "path": "/api/v2/users/*"},
                                                 "mailchimp": {"method": "POST", "path": "/3.0/lists/*"}}[vendor])
    expect_written(account, project, target, mark, range(ROWS), (1,) if how == signal.SIGHUP else (1, 2))
    assert {line["alpn"] for line in one.front.asked()} == {"h2"}


def end_in_the_middle(one, project, name, how, where):
    """A request waits behind the front while that ends."""
    seconds = 2 if one.account.plugin == "shopify" else 300  # those of Shopify's simulator do not end with the fault
    one.sim.fault({"kind": "slow", "seconds": seconds, **where})
    run = project.start("sync", name, "--json", env={"DRAY_HTTP_BACKOFF_MS": "100"})
    harness.wait_until(lambda: one.sim.sim("GET", "faults")["faults"][0]["struck"] or run.poll() is not None, what="a request that waits")
    assert run.poll() is None
    one.front.again(how)
    one.sim.sim("DELETE", "faults")
    result = project.finish(run)
    assert result.code in ((0,) if how == signal.SIGHUP else (0, 1, 3)), result
    if result.code != 0:
        project.dray("sync", name).expect(0)


def test_nobody_behind_the_front_is_a_server_error(world):
    one = world("mailchimp")
    project = one.project("in")
    accounts.reading(project, one.account)
    one.sim.stop()
    result = project.dray("sync", "--all", "--json")
    assert result.code != 0 and set(result.errors()) == {"http_server"}, result
    assert {line["status"] for line in one.front.asked()} <= {"502", "503"}


# ---- frame by frame ----

# What only the client's own tests go through: tests/unit/plugin/test_http2.c.
BREAKS = (http2_front.INTERNAL, http2_front.RESET, http2_front.CUT_GOAWAY, http2_front.REFUSED)
# It is known at once that all was done, or nothing.
SURE = (http2_front.GOAWAY_BELOW, http2_front.GOAWAY_AFTER)
# A target, by its place, and which of its requests are struck. A ticket is made, by a request that must not come twice.
WRITES = {"shopify": (0, {"body": b'"mutation'}), "zendesk": (1, {"method": "POST", "path": "/api/v2/tickets"}),
          "mailchimp": (0, {"method": "POST", "path": "/3.0/lists/"})}
READS = {"shopify": (", use_bulk: never, page_size: 8", {"path": "/admin/api/"}), "zendesk": (", page_size: 5", {"method": "GET"}),
         "mailchimp": (", page_size: 10", {"method": "GET", "path": "/members"})}


class Fronted:
    """A vendor's account behind the front that breaks off."""

    def __init__(self, vendor, folder, pair):
        self.folder = folder
        self.account = conftest.vendor(vendor)(folder, size=3 * SIZE if vendor == "mailchimp" else SIZE)
        self.sim = self.account.sim
        self.front = http2_front.Front(self.sim.port, pair)
        plain = self.account.connection
        self.account.connection = lambda more="": plain(more).replace(self.sim.url, f"https://127.0.0.1:{self.front.port}")

    def project(self, name):
        return vendor_kills.Project(self.folder / name)

    def judge(self):
        assert self.front.violations == [] and self.front.older == 0
        assert self.front.streams_max == 1, "one answer a connection"

    def close(self):
        self.front.close()
        self.sim.stop()


@pytest.fixture
def fronted(tmp_path, pairs):
    made = []

    def make(vendor):
        made.append(Fronted(vendor, tmp_path, pairs[vendor]))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("vendor", VENDORS)
def test_writes_that_break_off_are_done_once(fronted, vendor):
    one = fronted(vendor)
    place, where = WRITES[vendor]
    target, project = one.account.targets[place], one.project("out")
    accounts.writing(project, one.account, target)
    for version, kind in enumerate(SURE + BREAKS, 1):
        rows = range(100 * version, 100 * version + 5) if target.create_only else range(5)
        accounts.fill(project, target, rows, version)
        mark = len(one.sim.ledger())
        one.front.fault(kind, **where)
        run = project.sync("out")
        assert one.front.struck[-1] == kind and run["applied"] == 5 and run["in_doubt"] == 0, (kind, run)
        # What was in doubt, and is the same when it is done again, is done again. A ticket is looked for.
        again = kind in http2_front.DONE and not target.create_only
        expect_written(one.account, project, target, mark, rows, (1, 2) if again else (1,))
    assert one.front.struck == list(SURE + BREAKS)
    one.judge()


def test_tickets_that_nobody_can_look_for_are_made_once_where_it_is_known(fronted):
    one = fronted("zendesk")
    target, project = one.account.targets[2], one.project("out")
    accounts.writing(project, one.account, target)
    for version, kind in enumerate(SURE, 1):
        rows = range(100 * version, 100 * version + 5)
        accounts.fill(project, target, rows, version)
        mark = len(one.sim.ledger())
        one.front.fault(kind, **WRITES["zendesk"][1])
        run = project.sync("out")
        assert one.front.struck[-1] == kind and run["applied"] == 5 and run["in_doubt"] == 0, (kind, run)
        expect_written(one.account, project, target, mark, rows)
    one.judge()


@pytest.mark.parametrize("vendor", VENDORS)
def test_reads_that_break_off_are_whole(fronted, vendor):
    one = fronted(vendor)
    more, where = READS[vendor]
    project = one.project("in")
    accounts.reading(project, one.account, more)
    kinds = [http2_front.CUT, http2_front.REFUSED, http2_front.INTERNAL, http2_front.GOAWAY, http2_front.CUT_STREAM, http2_front.GOAWAY_BELOW,
             http2_front.RESET, http2_front.CUT_GOAWAY, http2_front.GOAWAY_AFTER, http2_front.LOST, http2_front.GOAWAY_ERROR]
    one.front.fault(*kinds, **where, spared=1)
    runs = project.dray("sync", "--all", "--json").expect(0).lines("run")
    assert [run["rejected"] for run in runs] == [0] * len(one.account.streams)
    assert sorted(one.front.struck) == sorted(kinds)
    expect_read(project, one.account)
    one.judge()
