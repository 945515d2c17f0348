# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of a run that a vendor has broken off, the same for each of them: what was read before is kept and only the rest is
read again, what was written is not written again, the error says what to do, and whoever does it has everything. Time passes by
the simulators' clocks.
"""
import datetime
import itertools
import json
import os
import signal
import time

import pytest

import harness
from driver import accounts, vendor_kills

VENDORS = sorted(accounts.VENDORS)
PEOPLE = itertools.count(1000, 1000)  # the numbers of rows, so that tests share an account


class Ways:
    """How a vendor is asked. `page`, `write`: where faults meet a page of the stream and a write of rows; `small`: settings
    with which the stream has more pages than a run reads ahead; `secret`: the variable that has the credential's secret;
    `several`: how many rows are more than one batch, with these settings."""

    def __init__(self, page, write, small, secret, several, streams):
        self.page, self.write, self.small, self.secret = page, write, small, secret
        self.several, self.streams = several, streams


WAYS = {
    "shopify": Ways({"body_contains": "customers(first:$first"}, {"body_contains": "customerSet("}, ", use_bulk: never, page_size: 5",
                    "SHOP_TOKEN", (300, ""), ("customers",)),
    "zendesk": Ways({"path": "/api/v2/incremental/users/*"}, {"path": "/api/v2/users/create_or_update*", "method": "POST"},
                    ", page_size: 3", "ZENDESK_SECRET", (60, ""), ("users", "organizations")),
    "mailchimp": Ways({"path": "/3.0/lists/*/members", "method": "GET"}, {"path": "/3.0/lists/*", "method": "POST"}, ", page_size: 10",
                      "MC_KEY", (2600, ", max_connections: 1"), ("list_members",)),
}


class Scene:
    """A vendor's account, a project, and what both sides are to hold."""

    def __init__(self, account, folder):
        self.account, self.sim, self.ways = account, account.sim, WAYS[account.plugin]
        self.project = vendor_kills.Project(folder)
        self.stream, self.target = account.streams[0], account.targets[0]
        self.rows = range(0)

    def clear(self):
        self.sim.sim("DELETE", "faults")

    def mark(self):
        return len(self.sim.ledger())

    def since(self, mark):
        return self.account.requests(self.sim.ledger()[mark:])

    def reading(self, more=None, mode="upsert", streams=None):
        accounts.reading(self.project, self.account, self.ways.small if more is None else more, mode, streams or [self.stream])

    def writing(self, count=30, more="", target=None):
        self.target = target or self.target
        accounts.writing(self.project, self.account, self.target, more)
        first = next(PEOPLE)
        self.rows = range(first, first + count)
        self.version(0)

    def version(self, number):
        accounts.fill(self.project, self.target, self.rows, number)

    def touch(self, count=4):
        """The vendor's own users change some records, and a minute passes."""
        ids = sorted(self.account.wanted(self.stream)[0])[:count]
        if self.account.plugin == "shopify":
            self.sim.change({"update": [{"id": one, "set": {"note": f"touched {next(PEOPLE)}"}} for one in ids]})
        elif self.account.plugin == "zendesk":
            self.sim.change({"users": [{"id": one, "notes": f"touched {next(PEOPLE)}"} for one in ids]})
        else:
            there = [member["email_address"] for member in self.account.members().values() if member["status"] == "subscribed"]
            self.sim.change({"ops": [{"op": "unsubscribe", "email": email} for email in sorted(there)[:count]]})
        self.sim.advance(120)

    def edit(self, old, new):
        """Of the config."""
        path = self.project.folder / "dray.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text, text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def expect_read(self, stream=None):
        """The table is the account."""
        stream = stream or self.stream
        wanted, columns = self.account.wanted(stream)
        found = self.project.query(f"SELECT {', '.join(columns)} FROM \"{stream}\"")
        assert sorted(row[0] for row in found) == sorted(wanted), stream
        assert {row[0]: row[1:] for row in found} == wanted, stream

    def expect_written(self, mark=None):
        """The account holds each row once, as it is; by the ledger from `mark` on each was written once."""
        wanted, held = accounts.expected(self.project, self.target), self.account.held(self.target)
        wrong = [(key, held.get(key), value) for key, value in wanted.items() if held.get(key) != [value]]
        assert not wrong, wrong[:3]
        if mark is not None:
            done = self.account.done(self.target, self.sim.ledger()[mark:])
            assert {key: done.get(key) for key in wanted} == {key: 1 for key in wanted}

    def expect_idle(self):
        """Nothing is sent, nothing is said of any row."""
        mark = self.mark()
        run = self.project.sync("out")
        assert (run["sent"], run["recovered_batches"], run["in_doubt"]) == (0, 0, 0), run
        assert self.account.writes(self.sim.ledger()[mark:]) == 0
        assert self.project.rows("out") == []

    def pause(self, name, step, number=1):
        """A run that stands still at a named step."""
        process = self.project.start("sync", name, "--json", env={"DRAY_FAULT": f"stop:{step}:{number}"})
        harness.wait_until(lambda: self.stopped() or process.poll() is not None, what=f"the run at {step}")
        assert process.poll() is None, self.project.finish(process)
        return process

    def stopped(self):
        """The process that stands still, or None."""
        for number, path in self.project.processes().items():
            try:
                if path.read_text().rsplit(") ", 1)[1][0] == "T":
                    return int(number)
            except OSError:
                pass
        return None

    def go_on(self, process):
        os.kill(self.stopped(), signal.SIGCONT)
        return self.project.finish(process)


@pytest.fixture
def scene(request, shared_account, tmp_path):
    return Scene(shared_account(request.param), tmp_path / "project")


@pytest.fixture
def own(own_account, tmp_path):
    def make(name, *options, size=60):
        return Scene(own_account(name, *options, size=size), tmp_path / "project")
    return make


every_vendor = pytest.mark.parametrize("scene", VENDORS, indirect=True)


# ---- 5xx ----

def faulty(lines, kind):
    return [line for line in lines if line.get("outcome") == f"fault: {kind}"]


@every_vendor
def test_a_minute_of_5xx_ends_a_read_and_the_next_has_the_rest(scene):
    scene.reading()
    scene.sim.fault({"kind": "status", "status": 503, "for_s": 60, "nth": 4, **scene.ways.page})
    result = scene.project.dray("sync", "in", "--json").expect(1)
    assert set(result.errors()) == {"http_server"} and "503" in result.line("run")["text"], result
    kept = scene.project.query(f'SELECT count(*) FROM "{scene.stream}"')[0][0]
    assert 0 < kept < len(scene.account.wanted(scene.stream)[0]), "what was read before is kept"
    scene.sim.advance(61)
    run = scene.project.sync("in")
    assert run["inserts"] + kept == len(scene.account.wanted(scene.stream)[0]), run
    scene.expect_read()


@every_vendor
def test_a_minute_that_leaves_open_what_was_done(scene):
    """502 may have done it: each row is told, to be asked for by the next run, and is there once."""
    scene.writing()
    scene.sim.fault({"kind": "status", "status": 502, "for_s": 60, **scene.ways.write})
    mark = scene.mark()
    assert scene.project.sync("out", code=3)["applied"] == 0
    told = scene.project.rows("out")
    assert len(told) == 30 and all("again" in row["text"] and not row["parked"] for row in told), told[:2]
    scene.sim.advance(61)
    scene.project.sync("out")
    scene.expect_written(mark)
    scene.expect_idle()


@every_vendor
def test_a_minute_of_5xx_that_a_run_waits_for(scene):
    """The minute passes while the run waits before it asks again."""
    scene.reading()
    scene.sim.fault({"kind": "status", "status": 503, "for_s": 60, "nth": 2, **scene.ways.page})
    mark = scene.mark()
    process = scene.project.start("sync", "in", "--json", env={"DRAY_HTTP_BACKOFF_MS": "1500"})
    harness.wait_until(lambda: faulty(scene.since(mark), "status") or process.poll() is not None, what="a 503")
    scene.sim.advance(61)
    assert scene.project.finish(process).expect(0).line("run")["rejected"] == 0
    scene.expect_read()


# ---- credentials that end ----

class Revocable:
    """A scene whose credential is one text that its vendor takes back; then there is another one."""

    def __init__(self, scene):
        self.scene, self.sim = scene, scene.sim

    def begin(self):
        if self.scene.account.plugin == "zendesk":
            self.scene.edit("client_id: dray_client, client_secret:", "access_token:")
            self.scene.project.environment["ZENDESK_SECRET"] = self.sim.hello["access_token"]

    def revoke(self):
        {"shopify": lambda: self.sim.sim("POST", "access", {"revoke": "shpat_dray_static"}),
         "zendesk": lambda: self.sim.change({"revoke": "access"}),
         "mailchimp": lambda: self.sim.change({"op": "key_revoke", "key": self.sim.hello["api_key"]})}[self.scene.account.plugin]()

    def renew(self):
        vendor = self.scene.account.plugin
        if vendor == "mailchimp":
            self.scene.edit("api_key:", "access_token:")
            secret = self.sim.hello["oauth_token"]
        elif vendor == "shopify":
            secret = self.sim.request("POST", "/admin/oauth/access_token", {
                "client_id": "dray-client", "client_secret": "dray-secret",
                "code": self.sim.sim("POST", "access", {"code": True})["code"]}).json()["access_token"]
        else:
            secret = self.sim.request("POST", "/oauth/tokens", {
                "grant_type": "client_credentials", "client_id": "dray_client", "client_secret": self.sim.hello["client_secret"],
                "scope": "read write"}).json()["access_token"]
        self.scene.project.environment[self.scene.ways.secret] = secret

    def expect_told(self, result):
        """The setting to look at, and never the secret."""
        setting = "api_key" if self.scene.account.plugin == "mailchimp" else "access_token"
        run = result.expect(5).line("run")
        assert set(result.errors()) == {"auth_rejected"}, result
        assert setting in result.out + result.err, result
        assert self.scene.project.environment[self.scene.ways.secret] not in result.out + result.err
        return run


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_token_that_is_revoked_in_the_middle_of_a_read(own, vendor):
    scene = own(vendor, size=300 if vendor == "mailchimp" else 150)
    token = Revocable(scene)
    scene.reading()
    scene.edit("mode: upsert", "mode: upsert, commit_rows: 5")
    token.begin()
    process = scene.pause("in", "sync.warehouse_committed")
    token.revoke()
    token.expect_told(scene.go_on(process))
    kept = scene.project.query(f'SELECT count(*) FROM "{scene.stream}"')[0][0]
    wanted = len(scene.account.wanted(scene.stream)[0])
    assert 0 < kept < wanted
    assert scene.project.dray("check").code != 0
    token.renew()
    scene.edit(", commit_rows: 5", "")
    assert scene.project.sync("in")["inserts"] == wanted - kept
    scene.expect_read()


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_token_that_is_revoked_in_the_middle_of_a_write(own, vendor):
    scene = own(vendor, size=30)
    token = Revocable(scene)
    count, more = scene.ways.several
    scene.writing(count, more)
    token.begin()
    mark = scene.mark()
    process = scene.pause("out", "delivery.answered")
    token.revoke()
    run = token.expect_told(scene.go_on(process))
    assert (run["rejected"], run["refused"]) == (0, 0), run
    token.renew()
    scene.project.sync("out")
    scene.expect_written(mark)
    scene.expect_idle()


# ---- another time there ----

def hour_apart(own, vendor, hours):
    now = datetime.datetime.fromtimestamp(time.time() + hours * 3600, datetime.timezone.utc)
    return own(vendor, "--now", now.strftime("%Y-%m-%dT%H:%M:%SZ"), size=40)


@pytest.mark.parametrize("hours", [-1, 1])
def test_nothing_is_taken_for_gone_by_another_clock(own, hours):
    """Of streams that tell what was deleted, by cursor and by time."""
    scene = hour_apart(own, "zendesk", hours)
    scene.reading("", "mirror", ["users", "organizations"])
    scene.project.dray("sync", "in").expect(0)
    for count in (4, 9):
        scene.touch(count)
        runs = scene.project.dray("sync", "in", "--json").expect(0).lines("run")
        assert sum(run["deletes"] + run["inserts"] for run in runs) == 0 and sum(run["updates"] for run in runs) >= 4, runs
    gone = sorted(scene.account.wanted("users")[0])[20]
    scene.sim.change({"delete": {"users": [gone]}})
    scene.sim.advance(120)
    assert sum(run["deletes"] for run in scene.project.dray("sync", "in", "--json").expect(0).lines("run")) == 1
    for stream in ("users", "organizations"):
        scene.expect_read(stream)


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("vendor", VENDORS)
def test_what_is_written_by_another_clock(own, vendor, hours):
    scene = hour_apart(own, vendor, hours)
    scene.writing(10)
    for version in (0, 1):
        mark = scene.mark()
        scene.version(version)
        assert scene.project.sync("out")["applied"] == 10
        scene.expect_written(mark)
    scene.expect_idle()


# ---- fields that are gone ----

NICKS = {
    "shopify": (accounts.Target("nicks", "customers", ("email", "metafield_custom_nickname"), to=", bulk_threshold: 0"),
                "metafield_custom_nickname"),
    "zendesk": (accounts.Target("nicks", "users", ("external_id", "name", "nick")), "user_fields.nick"),
    "mailchimp": (accounts.Target("nicks", "members", ("email_address", "NICK")), "merge_nick"),
}


def make_nick(scene):
    if scene.account.plugin == "zendesk":
        scene.sim.change({"fields": [{"object": "users", "key": "nick", "type": "text", "title": "Nick"}]})
    elif scene.account.plugin == "mailchimp":
        scene.sim.change({"op": "field_add", "field": {"tag": "NICK", "name": "Nick", "type": "text"}})


def drop_nick(scene):
    scene.sim.change({"shopify": {"undefine": [{"ownerType": "CUSTOMER", "namespace": "custom", "key": "nickname"}]},
                      "zendesk": {"drop_fields": ["users.nick"]},
                      "mailchimp": {"op": "field_drop", "tag": "NICK"}}[scene.account.plugin])


def nicks(scene):
    """Key to value, as the vendor holds it."""
    if scene.account.plugin == "shopify":
        return {record["email"]: one["value"] for record in scene.account.records("Customer") for one in record["metafields"]
                if one["key"] == "nickname"}
    if scene.account.plugin == "zendesk":
        return {row["external_id"]: row["user_fields"].get("nick") for row in scene.sim.state("?tables=users")["users"]}
    return {member["email_address"]: member["merge_fields"].get("NICK") for member in scene.account.members().values()}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_custom_field_deleted_between_discover_and_sync(own, vendor):
    """The vendors would take the rows and forget the field's values: so nothing is sent, and the field is named."""
    scene = own(vendor, size=30)
    make_nick(scene)
    target, field = NICKS[vendor]
    if vendor == "mailchimp":
        target = accounts.Target("nicks", "members", target.columns, to=f", list_id: \"{scene.account.list}\"")
    scene.writing(6, target=target)
    if vendor == "zendesk":
        scene.edit('"nick": "nick"', '"nick": "user_fields.nick"')
    assert scene.project.sync("out")["applied"] == 6
    wanted = {key: values[-1] for key, values in accounts.expected(scene.project, target).items()}
    held = nicks(scene)
    assert {key: held.get(key) for key in wanted} == wanted
    assert field in scene.project.dray("discover", "vendor", "--json").expect(0).out
    drop_nick(scene)
    scene.project.execute(f"UPDATE {accounts.TABLE} SET {target.columns[-1]} = 'changed'")
    mark = scene.mark()
    result = scene.project.dray("sync", "out", "--json").expect(4)
    assert set(result.errors()) == {"schema_field"} and field in result.line("run")["text"], result
    assert scene.account.writes(scene.sim.ledger()[mark:]) == 0
    last = target.columns[-1]
    path = scene.project.folder / "dray.yaml"  # the way out that the error offers: without the field
    text = path.read_text(encoding="utf-8")
    mapping = next(line for line in text.splitlines() if line.strip().startswith("map:"))
    shorter = json.loads(mapping.split(":", 1)[1])
    del shorter[last]
    path.write_text(text.replace(mapping, mapping.split(":", 1)[0] + ": " + json.dumps(shorter)), encoding="utf-8")
    run = scene.project.sync("out")
    assert run["rejected"] == 0, run
    scene.expect_idle()


# ---- rows that are refused ----

def test_one_row_of_several_jobs_is_refused(own):
    scene = own("zendesk", size=20)
    scene.writing(250)
    scene.edit(", batch_size: 20", "")
    scene.sim.fault({"kind": "job_rows", "indexes": [17], "error": "PermissionDenied", "details": "not this one", "nth": 2,
                     "path": "/api/v2/users/create_or_update_many"})
    mark = scene.mark()
    run = scene.project.sync("out", code=3)
    assert (run["applied"], run["rejected"], run["refused"], run["in_doubt"]) == (249, 1, 1, 0), run
    [row] = scene.project.rows("out")
    assert "not this one" in row["text"] and not row["parked"], row
    done = scene.account.done(scene.target, scene.sim.ledger()[mark:])
    assert set(done.values()) == {1} and set(accounts.expected(scene.project, scene.target)) - set(done) == {row["key"].split("=")[1]}
    mark = scene.mark()
    assert scene.project.sync("out")["sent"] == 1
    assert scene.account.done(scene.target, scene.sim.ledger()[mark:]) == {row["key"].split("=")[1]: 1}
    scene.expect_written()
    scene.expect_idle()


REFUSALS = {
    "shopify": {"kind": "graphql_error", "code": "BAD_REQUEST", "message": "The request makes no sense"},
    "zendesk": {"kind": "status", "status": 422, "body": {"error": "RecordInvalid", "description": "The request makes no sense"}},
    "mailchimp": {"kind": "status", "status": 400, "content_type": "application/problem+json",
                  "body": {"title": "Invalid Resource", "status": 400, "detail": "The request makes no sense"}},
}


@every_vendor
def test_a_batch_that_is_refused_as_a_whole_is_halved_until_the_row_is_alone(scene):
    scene.writing(40)
    bad = accounts.value_of("email", scene.rows[13], 0)
    scene.sim.fault({**REFUSALS[scene.account.plugin], **{"path": scene.ways.write[name] for name in ("path",) if name in scene.ways.write},
                     "body_contains": bad, "count": -1})
    mark = scene.mark()
    run = scene.project.sync("out", code=3)
    assert (run["applied"], run["rejected"], run["in_doubt"]) == (39, 1, 0), run
    [row] = scene.project.rows("out")
    assert "makes no sense" in row["text"] and row["key"].endswith((bad, str(scene.rows[13]))), row
    assert set(scene.account.done(scene.target, scene.sim.ledger()[mark:]).values()) == {1}
    scene.clear()
    assert scene.project.sync("out")["sent"] == 1
    scene.expect_written(mark)
    scene.expect_idle()


# ---- the wrong account ----

def test_a_shop_that_is_not_there(own):
    scene = own("shopify", size=5)
    scene.reading()
    scene.edit("shop: dray-test", "shop: nobody")
    scene.edit(f'base_url: "{scene.sim.url}"', f'base_url: "{scene.sim.url}/nobody.myshopify.com"')
    result = scene.project.dray("sync", "in")
    assert result.code in (1, 4) and "nobody.myshopify.com" in result.err and "`shop`" in result.err, result
    checked = scene.project.dray("check")
    assert checked.code != 0 and "nobody" in checked.out + checked.err, checked
    scene.edit("shop: nobody", "shop: nobody.example.com")
    result = scene.project.dray("sync", "in").expect(4)
    assert "'nobody.example.com' is not the name of a shop" in result.err, result


def test_a_data_centre_that_is_not_the_keys(own):
    scene = own("mailchimp", size=20)
    scene.reading()
    scene.project.environment["MC_KEY"] = scene.sim.hello["api_key"].rsplit("-", 1)[0] + "-us99"
    result = scene.project.dray("sync", "in").expect(5)
    assert "datacenter" in result.err and "api_key" in result.err, result
    checked = scene.project.dray("check").expect(5)
    assert "datacenter" in checked.out + checked.err or "data centre" in checked.out + checked.err, checked
    scene.project.environment["MC_KEY"] = "0123456789abcdef0123456789abcdef"  # and without an address, it is not known where
    scene.edit(f'base_url: "{scene.sim.url}", ', "")
    result = scene.project.dray("sync", "in").expect(4)
    assert "data centre" in result.err and "`dc`" in result.err, result


# ---- types ----

def test_a_merge_field_whose_type_its_column_cannot_take(own):
    """What was a number is a date now: no value is bent into it or lost, and the policy that the error names lets the rest go on."""
    scene = own("mailchimp", size=30)
    scene.reading("", streams=["list_members"])
    scene.project.sync("in")
    before = scene.project.query("SELECT count(*) FROM list_members WHERE merge_ltv IS NOT NULL")[0][0]
    assert before > 0
    scene.sim.change({"op": "field_type", "tag": "LTV", "type": "date"})
    scene.touch(3)
    result = scene.project.dray("sync", "in", "--json").expect(1)
    text = result.line("run")["text"]
    assert set(result.errors()) == {"schema_drift"} and "merge_ltv" in text and "policy" in text, result
    assert scene.project.query("SELECT count(*) FROM list_members WHERE merge_ltv IS NOT NULL") == [(before,)]
    scene.edit("mode: upsert", "mode: upsert, drift: {type: discard_value}")
    run = scene.project.sync("in")
    assert (run["rejected"], run["unreadable"]) == (0, 0), run
    scene.expect_read()
