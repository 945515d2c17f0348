# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong at all vendors alike, each at each: whatever a run ends with, no row is marked failed for what passes, and one run
without the fault brings both sides together."""

import datetime
import os
import signal
import sys
import time

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "bench"))

from driver import accounts, vendor_kills  # noqa: E402

VENDORS = sorted(accounts.VENDORS)
STREAM = {"shopify": "orders", "zendesk": "users", "mailchimp": "list_members"}
# Where a fault strikes what is read, and what is written.
READ = {"shopify": {"body_contains": "orders("}, "zendesk": {"path": "/api/v2/incremental/users/*"},
        "mailchimp": {"path": "/3.0/lists/*/members"}}
WRITE = {"shopify": {"body_contains": "customerSet("}, "zendesk": {"path": "/api/v2/users/create_or_update_many"},
         "mailchimp": {"path": "/3.0/lists/*", "method": "POST"}}
READ_MORE = {"shopify": ", use_bulk: never, page_size: 20", "zendesk": ", page_size: 10", "mailchimp": ", page_size: 20"}
ROWS = range(30)


def need(vendor):
    why = accounts.VENDORS[vendor].missing()
    if why and os.environ.get("CI") == "true":
        pytest.fail(why)
    if why:
        pytest.skip(f"skipped: {why}")


@pytest.fixture
def project(tmp_path):
    return vendor_kills.Project(tmp_path / "project")


@pytest.fixture(params=VENDORS)
def account(request, tmp_path):
    need(request.param)
    with accounts.VENDORS[request.param](tmp_path) as made:
        yield made


class Reading:
    """A stream of an account into a warehouse."""

    place, sync = READ, "in"

    def __init__(self, project, account):
        self.project, self.account = project, account
        accounts.reading(project, account, READ_MORE[account.plugin], streams=[STREAM[account.plugin]])

    def begin(self):
        """Nothing: all is to be read."""

    def expect_equal(self):
        wanted, columns = self.account.wanted(STREAM[self.account.plugin])
        shown = ", ".join(f'"{name}"' for name in columns)
        rows = self.project.query(f'SELECT {shown} FROM "{STREAM[self.account.plugin]}"')
        held = {row[0]: row if len(wanted[next(iter(wanted))]) == len(columns) else row[1:] for row in rows}
        missing = sorted(set(wanted) - set(held), key=str)
        assert not missing, f"lost: {missing[:3]}"
        wrong = [key for key in wanted if tuple(wanted[key]) != tuple(held[key][-len(wanted[key]):])]
        assert not wrong, [(wanted[key], held[key]) for key in wrong[:3]]


class Writing:
    """Rows of a warehouse to an object of an account."""

    place, sync = WRITE, "out"

    def __init__(self, project, account):
        self.project, self.account, self.target = project, account, account.targets[0]
        accounts.writing(project, account, self.target)

    def begin(self):
        accounts.fill(self.project, self.target, ROWS)

    def expect_equal(self):
        held, wanted = self.account.held(self.target), accounts.expected(self.project, self.target)
        assert len(wanted) == len(ROWS)
        assert {key: held.get(key) for key in wanted} == {key: [values] for key, values in wanted.items()}


@pytest.fixture(params=[Reading, Writing], ids=["read", "write"])
def way(request, project, account):
    return request.param(project, account)


def expect_none_failed(result):
    for run in result.lines("run"):
        assert (run["rejected"], run["refused"], run["parked"], run["unreadable"]) == (0, 0, 0, 0), result


def settle(way):
    """Runs without a fault: the first may still have to look what became of rows in doubt."""
    way.account.sim.sim("DELETE", "faults")
    way.project.dray("sync", way.sync, "--json")
    way.project.dray("sync", way.sync, "--json").expect(0)
    way.expect_equal()


@pytest.mark.parametrize("header", [{"retry_after": 1, "count": 2}, {"count": 3}, {"retry_after": 0, "count": 8}],
                         ids=["retry-after", "none", "long"])
def test_storms_of_429(way, header):
    if way.account.plugin == "zendesk" and way.sync == "out" and "retry_after" not in header:
        pytest.skip("skipped: a minute each; the next test has the first of them")
    way.begin()
    way.account.sim.fault({"kind": "throttle", **header, **way.place[way.account.plugin]})
    result = way.project.dray("sync", way.sync, "--json")
    expect_none_failed(result)
    assert result.code == 0 or (header["count"] == 8 and "throttled" in result.errors()), result  # a run may give up a long one
    settle(way)


def test_a_storm_of_429_that_does_not_end(project, account):
    """The run ends, says why and what to do, and marks nothing; the next one without the storm sends each row, once."""
    way = Writing(project, account)
    way.begin()
    account.sim.fault({"kind": "throttle", "retry_after": 1, "count": 10000, **way.place[account.plugin]})
    result = project.dray("sync", "out", env={"DRAY_LIMIT_MS": "1500"}).expect(1)
    assert "has taken no row for" in result.err and f"{len(ROWS)} rows were kept back by a limit" in result.out, result
    assert project.rows("out") == []
    account.sim.sim("DELETE", "faults")
    begin = len(account.sim.ledger())
    run = project.dray("sync", "out", "--json").expect(0).line("run")
    assert (run["sent"], run["applied"], run["refused"]) == (len(ROWS), len(ROWS), 0), run
    way.expect_equal()
    written = account.writes(account.sim.ledger()[begin:])
    project.dray("sync", "out", "--json").expect(0)
    assert account.writes(account.sim.ledger()[begin:]) == written > 0


def test_a_job_refused_by_429_without_a_word_is_waited_for(project, tmp_path):
    """Zendesk's default is a minute; who ends the run meanwhile has lost nothing."""
    with accounts.VENDORS["zendesk"](tmp_path) as account:
        way = Writing(project, account)
        way.begin()
        account.sim.fault({"kind": "throttle", "count": 1, **WRITE["zendesk"]})
        process = project.start("sync", "out", "--json")
        harness.wait_until(lambda: account.sim.calls()["throttled"] == 1, what="the refusal")
        time.sleep(0.5)
        assert process.poll() is None, "it waits"
        process.send_signal(signal.SIGTERM)
        project.finish(process)
        assert project.rows("out") == []
        settle(way)


@pytest.mark.parametrize("body", [{"body": ""}, {"body": "<html>bad gateway</html>", "content_type": "text/html"}], ids=["empty", "html"])
def test_5xx_for_a_minute(way, body):
    """A run may end with it. The minute passes, and the next run has everything; nothing was marked failed, or written twice."""
    way.begin()
    way.account.sim.fault({"kind": "status", "status": 503, "for_s": 60, **body, **way.place[way.account.plugin]})
    result = way.project.dray("sync", way.sync, "--json")
    expect_none_failed(result)
    assert result.code in (0, 1), result
    way.account.sim.advance(61)
    result = way.project.dray("sync", way.sync, "--json").expect(0)
    expect_none_failed(result)
    way.expect_equal()
    begin = len(way.account.sim.ledger())
    way.project.dray("sync", way.sync, "--json").expect(0)
    assert way.account.writes(way.account.sim.ledger()[begin:]) == 0


CHANGES = {
    "shopify": lambda account, n: account.sim.change({"update": [
        {"id": one["id"], "set": {"note": f"turn {n}"}} for one in account.records("Order")[5 * n:5 * n + 5]]}),
    "zendesk": lambda account, n: account.sim.change({"users": [
        {"id": number, "notes": f"turn {n}"} for number in sorted(account.wanted("users")[0])[5 * n:5 * n + 5]]}),
    "mailchimp": lambda account, n: account.sim.change({"ops": [
        {"op": "unsubscribe", "email": email} for email in sorted(member["email_address"] for member in account.members().values()
                                                                  if member["status"] == "subscribed")[:3]]}),
}


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("vendor", VENDORS)
def test_clocks_an_hour_apart(project, tmp_path, vendor, hours):
    """The vendor's clock goes an hour before or after this machine's: what changes is read, run after run, and only that."""
    need(vendor)
    theirs = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
    with accounts.VENDORS[vendor](tmp_path, "--now", theirs.strftime("%Y-%m-%dT%H:%M:%SZ")) as account:
        way = Reading(project, account)
        first = project.dray("sync", "in", "--json").expect(0).line("run")
        account.sim.advance(130)  # Zendesk's exports withhold a minute
        project.dray("sync", "in", "--json").expect(0)
        way.expect_equal()
        for turn in range(1, 4):
            CHANGES[vendor](account, turn)
            account.sim.advance(130)
            run = project.dray("sync", "in", "--json").expect(0).line("run")
            way.expect_equal()
            assert run["updates"] in (3, 5) and run["rows_read"] < first["rows_read"], run


# ---- checks ----

def test_a_secret_that_is_refused_ends_a_check_as_it_ends_a_run(way):
    """And so does nobody who answers: what is said first decides, since the rest may follow from it."""
    way.begin()
    way.project.dray("check").expect(0)
    for name, secret in way.account.environment().items():
        way.project.environment[name] = "x" * 8 + secret[8:]
    way.project.dray("sync", way.sync).expect(5)
    checked = way.project.dray("check", "--json").expect(5)
    wrong = [line for line in checked.lines("check") if not line["ok"]]
    assert [line["error"] for line in wrong] == ["auth_rejected"] and wrong[0]["fix"], checked
    assert all(line["error"] is None for line in checked.lines("check") if line["ok"])
    way.account.sim.stop()
    way.project.dray("sync", way.sync).expect(1)
    checked = way.project.dray("check", "--json").expect(1)
    assert [line["error"] for line in checked.lines("check") if not line["ok"]][0].startswith("net_"), checked


# ---- rows ----

REFUSALS = {
    "shopify": {"kind": "graphql_error", "code": "BAD_REQUEST", "message": "The whole request is refused today"},
    "zendesk": {"kind": "status", "status": 422, "body": {"error": "RecordInvalid", "description": "The whole request is refused today",
                                                          "details": {}}},
    "mailchimp": {"kind": "status", "status": 400, "content_type": "application/problem+json", "body": {
        "type": "https://example.com", "title": "Invalid Resource", "status": 400, "detail": "The whole request is refused today",
        "instance": ""}},
}


def test_a_whole_batch_is_refused(project, account):
    """Each row has the vendor's words, none counts as sent, and all go once the vendor takes them."""
    way = Writing(project, account)
    way.begin()
    single = {"zendesk": [{**REFUSALS["zendesk"], "path": "/api/v2/users*", "method": method, "count": -1} for method in ("POST", "PUT")]}
    account.sim.fault(*single.get(account.plugin, [{**REFUSALS[account.plugin], **WRITE[account.plugin], "count": -1}]))
    result = project.dray("sync", "out", "--json")
    run = result.line("run")
    assert result.code in (1, 3) and run["applied"] == 0, result
    if result.code == 3:
        told = project.rows("out")
        assert len(told) == len(ROWS) and all("refused today" in row["text"] for row in told), told[:2]
    else:
        assert "refused today" in result.out + result.err, result
    settle(way)
    assert project.rows("out") == []
