# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A Mailchimp account into a warehouse, whatever happens meanwhile: the tables are what the account holds."""

import json

import pytest

import harness
import mailchimp_scene as scene

STREAMS = ("lists", "list_members", "merge_fields", "interest_categories", "interests", "segments", "segment_members", "tags",
           "campaigns", "reports", "email_activity", "unsubscribes", "automations")
INCREMENTAL = ("list_members", "segments", "campaigns", "reports", "email_activity", "unsubscribes")


@pytest.fixture
def sim(tmp_path):
    made = scene.start(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def account(project, sim):
    project.environment.update(scene.environment(sim))
    return project


def table(project, sim):
    """The members of the first audience in the warehouse, as the simulator tells them."""
    rows = project.query("SELECT email_address, status, merge_fname, merge_ltv, language, vip, last_changed, archived FROM "
                         "(SELECT *, status = 'archived' AS archived FROM list_members) WHERE list_id = ?",
                         (sim.hello["list_id"],))
    return {row[0]: (row[1], row[2], None if row[3] is None else float(row[3]), row[4], bool(row[5]), row[6][:19].replace(" ", "T"))
            for row in rows}


def held(sim):
    return {email: (member["status"], member["merge_fields"].get("FNAME", ""),
                    None if member["merge_fields"].get("LTV", "") == "" else float(member["merge_fields"]["LTV"]),
                    member["language"], member["vip"], member["last_changed"][:19])
            for email, member in scene.members(sim).items()}


def test_every_stream_arrives_whole_and_again_without_a_change(account, sim):
    scene.into_warehouse(account, sim, STREAMS, "mirror")
    for name in STREAMS:
        run = account.sync(name)
        assert run["rejected"] == run["unreadable"] == run["duplicate_keys"] == 0, run
        assert run["rows_read"] > 0, name
    assert table(account, sim) == held(sim)
    state = sim.state()
    for list_id, audience in state["lists"].items():
        counted = dict(account.query("SELECT status, count(*) FROM list_members WHERE list_id = ? GROUP BY 1", (list_id,)))
        assert counted == {status: count for status, count in audience["counts"].items() if count}
        assert len(audience["merge_fields"]) == account.query("SELECT count(*) FROM merge_fields WHERE list_id = ?",
                                                             (list_id,))[0][0]
    assert account.query("SELECT count(*) FROM list_members WHERE timestamp_signup = ''") == [(0,)]
    assert account.query("SELECT count(*) FROM list_members WHERE timestamp_signup IS NULL")[0][0] > 0
    assert account.query("SELECT max(occurrence) FROM email_activity")[0][0] >= 1
    assert sim.calls()["in_flight_max"] <= 4 and sim.calls()["throttled"] == 0
    for name in ("list_members", "email_activity"):
        again = account.sync(name)
        assert (again["inserts"], again["updates"], again["deletes"]) == (0, 0, 0), again


def test_only_what_changed_is_read_again(account, sim):
    scene.into_warehouse(account, sim, INCREMENTAL)
    for name in INCREMENTAL:
        account.sync(name)
    sim.advance(600)
    emails = [email for email, member in scene.members(sim).items() if member["status"] == "subscribed"][:6]
    sim.change({"ops": [{"op": "set", "email": emails[0], "member": {"merge_fields": {"FNAME": "Neu"}}},
                        {"op": "unsubscribe", "email": emails[1]}, {"op": "archive", "email": emails[2]},
                        {"op": "touch", "email": emails[3]}, {"op": "add", "email": "added@dray.test"}]})
    calls = scene.Calls(sim)
    run = account.sync("list_members")
    assert 5 <= run["rows_read"] <= 8, run
    assert calls.made()["GET /3.0/lists/{list_id}/members"] <= 4, "an audience, and what of it is archived, is a call each"
    assert table(account, sim) == held(sim)
    for name in INCREMENTAL[1:]:
        assert account.sync(name)["inserts"] == 0, name
    sim.advance(600)
    idle = account.sync("list_members")
    assert (idle["inserts"], idle["updates"]) == (0, 0), idle


def test_more_of_one_second_than_a_page_holds(account, sim):
    """The seed has 1,200 members that changed in the same second: no cursor stands between them."""
    scene.into_warehouse(account, sim, ["list_members"], more=", page_size: 100")
    account.sync("list_members")
    assert table(account, sim) == held(sim)


def test_members_that_move_while_they_are_paged_are_not_lost(account, sim):
    scene.into_warehouse(account, sim, ["list_members"], more=", page_size: 200")
    sim.fault({"kind": "drift", "touch": 3, "archive": 2, "path": "/3.0/lists/*/members", "count": -1})
    run = account.sync("list_members")
    assert run["duplicate_keys"] == 0, run
    sim.sim("DELETE", "faults")
    # Whoever was not moved is there; who moved is there or comes with the next run.
    before = set(table(account, sim))
    missing = {email for email in held(sim) if email not in before}
    moved = [entry for entry in sim.ledger() if entry.get("fault") == "drift"]
    assert len(missing) <= 5 * max(len(moved), 20), missing
    sim.advance(120)
    account.sync("list_members")
    assert table(account, sim) == held(sim)


def test_a_full_read_finds_everybody_while_members_move(account, sim):
    scene.into_warehouse(account, sim, ["list_members"], "mirror", more=", page_size: 200")
    account.sync("list_members")
    sim.fault({"kind": "drift", "touch": 3, "archive": 0, "path": "/3.0/lists/*/members", "count": -1})
    run = account.sync("list_members")
    assert (run["deletes"], run["duplicate_keys"]) == (0, 0), "somebody was taken for gone"


# ---- faults ----

@pytest.mark.parametrize("fault", [
    {"kind": "throttle", "count": 12},
    {"kind": "throttle", "retry_after": 1, "count": 2},
    {"kind": "status", "status": 403, "body": "", "count": 3},
    {"kind": "status", "status": 503, "count": 2},
    {"kind": "reset", "count": 2},
], ids=lambda fault: "-".join(str(value) for value in fault.values() if value))
def test_what_passes_is_waited_for(account, sim, fault):
    scene.into_warehouse(account, sim, ["list_members"])
    sim.fault({**fault, "path": "/3.0/lists/*/members"})
    account.sync("list_members")
    assert table(account, sim) == held(sim)


@pytest.mark.parametrize("fault", [{"kind": "html"}, {"kind": "not_json"}, {"kind": "empty"}, {"kind": "cut", "keep_bytes": 900}],
                         ids=lambda fault: fault["kind"])
def test_an_answer_that_is_none_ends_the_run_and_nothing_is_lost(account, sim, fault):
    scene.into_warehouse(account, sim, ["list_members"], more=", page_size: 500")
    sim.fault({**fault, "path": "/3.0/lists/*/members", "nth": 4, "count": -1})
    result = account.dray("sync", "list_members", "--json").expect(1)
    assert {"http_content", "net_closed"} & set(result.errors()), result
    sim.sim("DELETE", "faults")
    account.sync("list_members")
    assert table(account, sim) == held(sim)


def test_a_stream_that_may_not_be_read_leaves_the_others_alone(account, sim):
    scene.into_warehouse(account, sim, ["lists", "reports"])
    sim.fault({"kind": "status", "status": 403, "path": "/3.0/reports", "count": -1, "content_type": "application/problem+json",
               "body": {"title": "Forbidden", "status": 403, "detail": "You do not have the rights."}})
    result = account.dray("sync", "--all", "--json")
    assert result.code != 0 and "auth_forbidden" in result.errors(), result
    assert account.query("SELECT count(*) FROM lists") == [(2,)]
    checked = account.dray("check")
    assert checked.code == 5 and "role" in checked.out + checked.err, checked


def test_a_key_that_is_revoked_meanwhile(account, sim):
    scene.into_warehouse(account, sim, ["list_members"], more=", page_size: 200")
    account.sync("list_members")
    sim.change({"op": "key_revoke", "key": sim.hello["api_key"]})
    result = account.dray("sync", "list_members", "--json")
    assert result.code != 0 and "auth_rejected" in result.errors(), result
    assert sim.hello["api_key"] not in result.out + result.err


def test_a_token_is_known_by_what_its_metadata_say(project, sim):
    scene.into_warehouse(project, sim, ["lists"])
    text = (project.folder / "dray.yaml").read_text().replace("api_key", "access_token")
    project.write("dray.yaml", text)
    project.environment["MAILCHIMP_KEY"] = sim.hello["oauth_token"]
    project.sync("lists")
    assert sim.calls()["calls"]["GET /oauth2/metadata"] >= 1
    project.environment["MAILCHIMP_KEY"] = "nobody-knows-this-token"
    result = project.dray("sync", "lists", "--json")
    assert "auth_rejected" in result.errors() and "nobody-knows" not in result.out + result.err, result


def test_merge_fields_come_go_and_change_their_type(account, sim):
    scene.into_warehouse(account, sim, ["list_members"], "mirror")
    account.sync("list_members")
    sim.change({"ops": [{"op": "field_add", "field": {"tag": "SHOE", "name": "Shoe size", "type": "number"}},
                        {"op": "field_drop", "tag": "LTV"}]})
    email = next(email for email, member in scene.members(sim).items() if member["status"] == "subscribed")
    sim.change({"op": "set", "email": email, "member": {"merge_fields": {"SHOE": 42}}})
    run = account.sync("list_members")
    assert run["unreadable"] == 0, run
    assert float(account.query("SELECT merge_shoe FROM list_members WHERE email_address = ?", (email,))[0][0]) == 42


def test_an_audience_that_is_not_there(account, sim):
    scene.into_warehouse(account, sim, ["list_members"], more=", list_ids: [abcdef]")
    result = account.dray("sync", "list_members", "--json")
    assert result.code == 4 and "abcdef" in result.out + result.err, result


def test_two_syncs_share_the_connections(account, sim):
    sim.stop()
    sim = scene.start(account.folder, "--latency-ms", 30, members=2000)
    try:
        account.environment.update(scene.environment(sim))
        scene.into_warehouse(account, sim, ["list_members", "segment_members"], more=", page_size: 100")
        both = [account.start("sync", name, "--json") for name in ("list_members", "segment_members")]
        for process in both:
            account.finish(process).expect(0)
        assert sim.calls()["in_flight_max"] <= 4 and sim.calls()["throttled"] == 0
    finally:
        sim.stop()


# ---- death ----

@pytest.fixture
def small(tmp_path, project):
    made = scene.start(tmp_path, members=300)
    project.environment.update(scene.environment(made))
    yield made
    made.stop()


def test_a_read_that_dies_goes_on(project, small, tmp_path):
    account, sim = project, small
    scene.into_warehouse(account, sim, ["list_members"], more=", page_size: 50")
    trace = tmp_path / "trace"
    account.dray("sync", "list_members", env={"DRAY_FAULT_TRACE": str(trace)}).expect(0)
    steps = sorted(set(trace.read_text().split()))
    assert "sync.merged" in steps and "sync.warehouse_committed" in steps, steps
    for number, step in enumerate(steps):
        sim.advance(3600)
        emails = [email for email, member in scene.members(sim).items() if member["status"] == "subscribed"]
        sim.change({"ops": [{"op": "touch", "email": email} for email in emails[number * 7:number * 7 + 30]]})
        died = account.dray("sync", "list_members", "--json", env={"DRAY_FAULT": f"kill:{step}:1"})
        assert died.code in (0, 1, -9), died
        account.sync("list_members")
        assert table(account, sim) == held(sim), step


def test_the_plugin_says_what_it_offers(account, sim):
    scene.into_warehouse(account, sim, ["lists"])
    found = [json.loads(line) for line in account.dray("discover", "mailchimp", "--json").expect(0).out.splitlines()]
    assert set(STREAMS) <= {str(entry.get("name", entry.get("stream"))) for entry in found} | set(str(found).split("'")), found
    shown = account.dray("check").expect(0).out
    assert "owner" in shown and sim.hello["api_key"] not in shown, shown
    harness.assert_no_canary(shown, "check")


# ---- who is archived ----

def statuses(project, sim):
    return dict(project.query("SELECT email_address, status FROM list_members WHERE list_id = ?", (sim.hello["list_id"],)))


def living(sim):
    return {email: member["status"] for email, member in scene.members(sim).items() if member["status"] != "archived"}


@pytest.mark.parametrize("mode", ["upsert", "mirror", "history"])
def test_without_archived_members_whoever_is_archived_later_is_gone(project, small, mode):
    scene.into_warehouse(project, small, ["list_members"], mode=mode, more=", include_archived: false, page_size: 50")
    project.sync("list_members")
    now = (lambda: dict(project.query("SELECT email_address, status FROM list_members WHERE list_id = ? AND _dray_valid_to IS NULL", (small.hello["list_id"],)))
           ) if mode == "history" else (lambda: statuses(project, small))
    assert now() == living(small)
    asked = [line["query"] for line in small.ledger() if line["path"].endswith("/members")]
    assert asked and not [query for query in asked if "status=archived" in query], "nobody of it was given out"
    small.advance(600)
    emails = [email for email, member in scene.members(small).items() if member["status"] == "subscribed"][:4]
    small.change({"ops": [{"op": "archive", "email": email} for email in emails[:3]] + [{"op": "touch", "email": emails[3]}]})
    calls = scene.Calls(small)
    run = project.sync("list_members")
    assert (run["deletes"], run["unreadable"], run["rejected"]) == (3, 0, 0), run
    if mode != "mirror":
        assert calls.made()["GET /3.0/lists/{list_id}/members"] <= 4, "an audience, and what of it is archived, is a call each"
    assert now() == living(small) and not set(emails[:3]) & set(now())
    small.advance(600)
    small.change({"op": "resubscribe", "email": emails[0]})
    project.sync("list_members")
    assert now() == living(small) and emails[0] in now(), "who is back is a row again"
    small.advance(600)
    idle = project.sync("list_members")
    assert (idle["inserts"], idle["updates"], idle["deletes"]) == (0, 0, 0), idle


def test_archived_members_that_are_not_wanted_any_more_go(project, small):
    scene.into_warehouse(project, small, ["list_members"])
    project.sync("list_members")
    assert "archived" in statuses(project, small).values()
    scene.into_warehouse(project, small, ["list_members"], more=", include_archived: false")
    small.advance(600)
    email = next(email for email, member in scene.members(small).items() if member["status"] == "subscribed")
    small.change({"op": "archive", "email": email})
    project.sync("list_members")
    assert statuses(project, small) == living(small)
    scene.into_warehouse(project, small, ["list_members"])
    project.sync("list_members")
    held = {email: member["status"] for email, member in scene.members(small).items()}
    assert statuses(project, small) == held and "archived" in held.values(), "and come back when they are"


@pytest.mark.parametrize("nth", [0, 6], ids=["whole", "died"])
@pytest.mark.parametrize("start", ["2020-01-01", None], ids=["earlier", "removed"])
def test_archived_members_go_also_where_an_earlier_start_begins_anew(project, small, start, nth):
    """Beginning again must not be taken for a first read, of whose archive nobody was ever given out."""
    scene.into_warehouse(project, small, ["list_members"], more=', start_date: "2023-01-01", page_size: 50')
    if nth > 0:
        small.fault({"kind": "html", "path": "/3.0/lists/*/members", "nth": nth, "count": -1})
    project.dray("sync", "list_members").expect(0 if nth == 0 else 1)
    small.sim("DELETE", "faults")
    assert "archived" in statuses(project, small).values()
    small.advance(600)
    more = "" if start is None else f', start_date: "{start}"'
    scene.into_warehouse(project, small, ["list_members"], more=more + ", include_archived: false")
    project.sync("list_members")
    assert statuses(project, small) == living(small)
    small.advance(600)
    idle = project.sync("list_members")
    assert (idle["inserts"], idle["updates"], idle["deletes"]) == (0, 0, 0), idle
