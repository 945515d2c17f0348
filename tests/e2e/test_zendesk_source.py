# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Zendesk into a warehouse: all that is there, then what changed, through whatever breaks on the way."""

import json

import pytest

import harness
import zendesk_scene as scene


@pytest.fixture
def zendesk(tmp_path):
    with scene.Zendesk(tmp_path, "--users", 90, "--tickets", 120) as made:
        yield made


def table(project, name, key="id"):
    """{key: {column: value}} of what the warehouse holds."""
    connection = harness.sqlite3.connect(f"file:{project.folder / 'warehouse.db'}?mode=ro", uri=True)
    connection.row_factory = harness.sqlite3.Row
    rows = {row[key]: dict(row) for row in connection.execute(f"SELECT * FROM {name}")}
    connection.close()
    return rows


def time_text(value):
    return None if value is None else value.replace("T", " ").replace("Z", "")


def same(held, wanted, column):
    """Whether a column holds what the record says."""
    if isinstance(wanted, bool):
        return held == int(wanted)
    if isinstance(wanted, (list, dict)):
        return json.loads(held) == wanted
    if isinstance(wanted, str) and column.endswith("_at"):
        return held == time_text(wanted)
    return held == wanted


def differences(project, name, records, key="id"):
    found = []
    rows = table(project, name, key)
    if set(rows) != set(records):
        found.append(("keys", sorted(set(rows) ^ set(records))[:5]))
    for number, row in rows.items():
        record = records.get(number, {})
        for column, held in row.items():
            if column in record and column not in ("generated_timestamp", "time", "url") and not same(held, record[column], column):
                found.append((number, column, held, record[column]))
    return found[:5]


def living(zendesk, name):
    gone = {"tickets": lambda row: row["status"] == "deleted", "users": lambda row: not row["active"],
            "organizations": lambda row: row.get("deleted_at") is not None}.get(name, lambda row: False)
    return {number: row for number, row in zendesk.rows(scene.STATES[name]).items() if not gone(row)}


def audits_differ(project, zendesk):
    """Of tickets that are there now; those of a ticket that was deleted later stay."""
    tickets = living(zendesk, "tickets")
    wanted = {row["id"]: row for row in zendesk.state()["audits"] if row["ticket_id"] in tickets}
    held = {number: row for number, row in table(project, "ticket_audits").items() if row["ticket_id"] in tickets}
    if set(held) != set(wanted):
        return [("keys", sorted(set(held) ^ set(wanted))[:5])]
    return [(number, column) for number, row in held.items() for column in row if column in wanted[number]
            and not same(row[column], wanted[number][column], column)][:5]


def test_every_stream_is_what_zendesk_holds(project, zendesk):
    scene.ingest(project, zendesk, more=", page_size: 50")
    project.dray("sync", "--all").expect(0)
    for name, state in scene.STATES.items():
        if state is None or name == "ticket_metrics":
            continue
        assert differences(project, name, living(zendesk, name)) == [], name
    tickets = living(zendesk, "tickets")
    metrics = {row["ticket_id"]: row for row in zendesk.state()["metrics"] if row["ticket_id"] in tickets}
    assert differences(project, "ticket_metrics", metrics, "ticket_id") == []
    comments = {event["id"]: dict(event, ticket_id=audit["ticket_id"]) for audit in zendesk.state()["audits"]
                for event in audit["events"] if event["type"] == "Comment"}
    held = table(project, "ticket_comments")
    assert comments and set(held) == set(comments)
    assert all(held[number]["body"] == comment["body"] and held[number]["ticket_id"] == comment["ticket_id"]
               for number, comment in comments.items())
    assert audits_differ(project, zendesk) == []
    assert project.query("SELECT count(*) FROM tags") > [(0,)]


def test_custom_fields_are_typed_columns(project, zendesk):
    scene.ingest(project, zendesk, ("users", "tickets", "organizations"))
    project.dray("sync", "--all").expect(0)
    users = table(project, "users")
    kinds = {field["key"]: field["type"] for field in zendesk.state()["user_fields"]}
    checked = 0
    for number, record in living(zendesk, "users").items():
        for key, value in record["user_fields"].items():
            held = users[number]["custom_" + key]
            if value in (None, ""):
                assert held in (None, ""), (key, held)
            elif kinds[key] == "checkbox":
                assert held == int(value)
            elif kinds[key] == "date":
                assert held == value[:10]
            elif kinds[key] == "decimal":
                assert float(held) == float(value)
            elif kinds[key] == "integer":
                assert held == int(value)
            elif kinds[key] == "multiselect":
                assert json.loads(held) == value
            else:
                assert held == str(value)
            checked += 1
    assert checked > 300
    tickets = table(project, "tickets")
    columns = [column for column in next(iter(tickets.values())) if column.startswith("custom_") and column[7:].isdigit()]
    fields = {str(field["id"]) for field in zendesk.state()["ticket_fields"] if field["removable"]}
    assert columns and {column[7:] for column in columns} == fields


def test_only_what_changed_is_read_again(project, zendesk):
    scene.ingest(project, zendesk, ("tickets", "users", "organizations"))
    project.dray("sync", "--all").expect(0)
    users, tickets = sorted(living(zendesk, "users")), sorted(living(zendesk, "tickets"))
    companies = sorted(living(zendesk, "organizations"))
    zendesk.change({"users": [{"id": users[5], "notes": "changed"}], "tickets": [{"id": tickets[7], "subject": "changed"}],
                    "organizations": [{"id": companies[3], "notes": "changed"}]})
    zendesk.advance(120)
    for name, wanted in (("users", users[5]), ("tickets", tickets[7]), ("organizations", companies[3])):
        run = project.sync(name)
        assert (run["inserts"], run["updates"], run["deletes"]) == (0, 1, 0), name
        assert run["rows_read"] < 20, name
        assert differences(project, name, living(zendesk, name)) == []
        assert "changed" in table(project, name)[wanted].values()


def test_audits_of_tickets_that_changed_are_read_again(project, zendesk):
    scene.ingest(project, zendesk, ("ticket_audits",), more=", page_size: 30")
    numbers = [number for number, row in sorted(living(zendesk, "tickets").items()) if row["status"] in ("new", "open")]
    long, gone = numbers[0], numbers[1]
    for turn in range(130):  # a list of two pages
        zendesk.change({"tickets": [{"id": long, "comment": {"body": f"turn {turn}"}}]})
    zendesk.advance(120)
    run = project.sync("ticket_audits")
    assert run["rejected"] == 0 and audits_differ(project, zendesk) == []
    mark = zendesk.mark()
    assert project.sync("ticket_audits")["inserts"] == 0
    assert zendesk.requests(mark, path="/audits") == []
    zendesk.change({"tickets": [{"id": long, "subject": "changed"}], "delete": {"tickets": [gone]}})
    zendesk.advance(120)
    mark = zendesk.mark()
    run = project.sync("ticket_audits")
    assert (run["inserts"], run["updates"], run["deletes"]) == (1, 0, 0) and audits_differ(project, zendesk) == []
    assert {line["path"] for line in zendesk.requests(mark, path="/audits")} == {f"/api/v2/tickets/{long}/audits"}


@pytest.mark.parametrize("fault, path", [({"kind": "throttle", "retry_after": 0, "count": 3}, "/api/v2/tickets/*/audits"),
                                         ({"kind": "reset", "count": 1}, "/api/v2/tickets/*/audits"),
                                         ({"kind": "status", "status": 502, "count": 2}, "/api/v2/tickets/*/audits"),
                                         ({"kind": "status", "status": 404, "body": {"error": "RecordNotFound", "description": "Not found"},
                                           "count": 1}, "/api/v2/tickets/*/audits"),
                                         ({"kind": "stale_cursor", "count": 1}, "/api/v2/incremental/*")])
def test_audits_through_what_breaks(project, zendesk, fault, path):
    """A ticket that is deleted between the export and its list has none."""
    scene.ingest(project, zendesk, ("ticket_audits",), more=", page_size: 25")
    zendesk.fault({**fault, "path": path, "nth": 9 if "audits" in path else 1})
    project.sync("ticket_audits")
    zendesk.clear_faults()
    if fault.get("status") == 404:
        [missed] = {row["ticket_id"] for row in zendesk.state()["audits"]} & set(living(zendesk, "tickets")) - {
            row["ticket_id"] for row in table(project, "ticket_audits").values()}
        zendesk.change({"system_update": [missed]})
        zendesk.advance(120)
        project.sync("ticket_audits")
    assert audits_differ(project, zendesk) == []


def test_audits_are_gone_on_with_after_a_death(project, zendesk):
    scene.ingest(project, zendesk, ("ticket_audits",), more=", page_size: 10", sync="commit_after: 0s")
    project.sync("ticket_audits")
    changed = [number for number, row in sorted(living(zendesk, "tickets").items()) if row["status"] != "closed"][:70]
    zendesk.change({"tickets": [{"id": number, "subject": f"changed {number}"} for number in changed]})
    zendesk.advance(120)
    zendesk.fault({"kind": "slow", "seconds": 0.02, "path": "/api/v2/tickets/*/audits", "count": -1})
    mark = zendesk.mark()
    process = project.start("sync", "ticket_audits")
    harness.wait_until(lambda: len(zendesk.requests(mark, path="/audits")) > 45, what="lists")
    project.kill(process)
    zendesk.clear_faults()
    mark = zendesk.mark()
    project.sync("ticket_audits")
    assert audits_differ(project, zendesk) == []
    assert len(zendesk.requests(mark, path="/audits")) <= len(changed) - 20  # not from the start


def test_what_is_deleted_is_a_tombstone(project, zendesk):
    scene.ingest(project, zendesk, ("tickets", "users", "organizations", "ticket_metrics"))
    project.dray("sync", "--all").expect(0)
    gone = {name: sorted(living(zendesk, name))[9] for name in ("tickets", "users", "organizations")}
    zendesk.change({"delete": {name: [number] for name, number in gone.items()}})
    zendesk.advance(120)
    for name, number in gone.items():
        assert project.sync(name)["deletes"] == 1, name
        assert number not in table(project, name)
        assert differences(project, name, living(zendesk, name)) == []
    assert project.sync("ticket_metrics")["deletes"] == 1


def test_deleted_ones_can_be_kept(project, zendesk):
    scene.ingest(project, zendesk, ("users",), more=", include_deleted: false")
    project.sync("users")
    number = sorted(living(zendesk, "users"))[9]
    zendesk.change({"delete": {"users": [number]}})
    zendesk.advance(120)
    assert project.sync("users")["deletes"] == 0
    assert number in table(project, "users")


def test_a_full_read_shows_each_record_once(project, zendesk):
    scene.ingest(project, zendesk, ("tickets", "organizations"), more=", page_size: 7", read=", read: full")
    project.dray("sync", "--all").expect(0)
    for name in ("tickets", "organizations"):
        assert differences(project, name, living(zendesk, name)) == []
        run = project.sync(name)
        assert (run["inserts"], run["updates"], run["deletes"], run["rejected"]) == (0, 0, 0, 0)


def test_a_refused_cursor_goes_on_by_time(project, zendesk):
    scene.ingest(project, zendesk, ("users",))
    project.sync("users")
    changed = sorted(living(zendesk, "users"))[4]
    zendesk.change({"users": [{"id": changed, "notes": "after"}]})
    zendesk.change({"drop_cursors": True})
    zendesk.advance(120)
    result = project.dray("sync", "users").expect(0)
    assert "the cursor was refused" in result.err
    assert table(project, "users")[changed]["notes"] == "after"


def test_empty_pages_and_pinned_seconds(project, zendesk):
    companies = sorted(living(zendesk, "organizations"))
    zendesk.change({"same_second": {"organizations": {"ids": companies[:12], "ago_s": 4000}}})
    scene.ingest(project, zendesk, ("tickets", "organizations"), more=", page_size: 5")
    zendesk.fault({"kind": "empty_page", "path": "/api/v2/incremental/*", "nth": 2, "count": 2})
    project.dray("sync", "--all").expect(0)
    for name in ("tickets", "organizations"):
        assert differences(project, name, living(zendesk, name)) == [], name


@pytest.mark.parametrize("gate", ["403", "403 object", "404"])
def test_what_the_plan_has_not_is_skipped(project, zendesk, gate):
    zendesk.settings(gates={"ticket_forms": gate, "satisfaction_ratings": gate})
    scene.ingest(project, zendesk, ("ticket_forms", "satisfaction_ratings", "groups"))
    result = project.dray("sync", "--all").expect(0)
    assert result.err.count("skipped, the account's plan") == 2
    assert len(table(project, "groups")) == 4


def test_a_missing_scope_stops_one_stream_only(project, zendesk):
    scene.ingest(project, zendesk, ("tickets", "groups"))
    zendesk.fault({"kind": "no_scope", "path": "/api/v2/incremental/tickets/*", "scopes": ["tickets:read"], "count": -1})
    result = project.dray("sync", "--all")
    assert result.code != 0 and "auth_forbidden" in result.errors()
    assert "scope" in result.err
    assert len(table(project, "groups")) == 4


def test_storms_of_429_and_5xx_pass(project, zendesk):
    scene.ingest(project, zendesk, ("tickets", "users", "groups"), more=", page_size: 40")
    zendesk.fault({"kind": "throttle", "retry_after": 0, "path": "/api/*", "nth": 2, "count": 4},
                  {"kind": "throttle", "path": "/api/v2/groups", "count": 2},
                  {"kind": "status", "status": 502, "path": "/api/v2/incremental/users/*", "count": 3},
                  {"kind": "status", "status": 520, "path": "/api/v2/incremental/tickets/*", "nth": 2, "count": 2},
                  {"kind": "html", "path": "/api/v2/nothing"})
    project.dray("sync", "--all").expect(0)
    for name in ("tickets", "users"):
        assert differences(project, name, living(zendesk, name)) == []


def test_exports_wait_as_long_as_their_own_limit_says(project, zendesk):
    """Other integrations use the account's exports, too: 429 in plain text, although this one keeps below what it is set to."""
    zendesk.settings(endpoint_limits={"exports": [4, 1]})
    scene.ingest(project, zendesk, ("users",), more=", page_size: 7")
    run = project.sync("users")
    assert differences(project, "users", living(zendesk, "users")) == [] and run["rejected"] == 0
    asked = [line["status"] for line in zendesk.requests(path="incremental/users")]
    pages = asked.count(200)
    assert pages >= 13 and 1 <= asked.count(429) <= pages // 4 + 1  # once a window: nobody asks before Retry-After


@pytest.mark.parametrize("fault", [{"kind": "html"}, {"kind": "not_json"}, {"kind": "cut", "keep_bytes": 100},
                                   {"kind": "reset"}, {"kind": "status", "status": 500}])
def test_a_run_that_breaks_off_goes_on_later(project, zendesk, fault):
    scene.ingest(project, zendesk, ("users",), more=", page_size: 20")
    zendesk.fault({**fault, "path": "/api/v2/incremental/users/*", "nth": 3, "count": 40})
    assert project.dray("sync", "users").code == 1
    zendesk.clear_faults()
    project.sync("users")
    assert differences(project, "users", living(zendesk, "users")) == []


def test_a_token_that_ends_in_the_middle(project, zendesk):
    scene.ingest(project, zendesk, ("tickets", "users"), more=", page_size: 10")
    zendesk.settings(access_ttl=300)
    zendesk.fault({"kind": "status", "status": 401, "body": {"error": "invalid_token"}, "path": "/api/v2/incremental/*",
                   "nth": 3, "count": 1})
    project.dray("sync", "--all").expect(0)
    assert differences(project, "tickets", living(zendesk, "tickets")) == []
    zendesk.change({"revoke": "access"})
    zendesk.advance(120)
    project.dray("sync", "--all").expect(0)


def test_rotating_refresh_tokens_in_two_processes(project, zendesk):
    scene.ingest(project, zendesk, ("tickets", "users", "organizations", "groups"), auth="refresh")
    for _ in range(2):
        processes = [project.start("sync", name) for name in ("tickets", "users", "organizations", "groups")]
        for process in processes:
            project.finish(process).expect(0)
        zendesk.change({"revoke": "access"})
        zendesk.advance(120)
    tokens = [line for line in zendesk.ledger() if line.get("path") == "/oauth/tokens"]
    assert 2 <= len(tokens) <= 3 and all(line["status"] in (200, 201) for line in tokens)
    for secret in scene.environment(zendesk).values():
        assert all(secret.encode() not in path.read_bytes() for path in project.state_files())


def test_wrong_credentials_are_told(project, zendesk):
    scene.ingest(project, zendesk, ("users",))
    result = project.dray("sync", "users", env={"ZENDESK_SECRET": "not this one"}).expect(5)
    assert "auth_rejected" in result.errors()


def test_the_legacy_token_works_and_names_the_date(project, tmp_path):
    with scene.Zendesk(tmp_path, "--users", 90, "--tickets", 20, "--now", "2026-11-20T08:00:00Z") as zendesk:  # it is good still
        scene.ingest(project, zendesk, ("users",), auth="legacy")
        result = project.dray("sync", "users").expect(0)
        assert "2027-04-30" in result.err
        assert differences(project, "users", living(zendesk, "users")) == []


def test_a_custom_field_that_goes_away(project, zendesk):
    scene.ingest(project, zendesk, ("users",))
    project.sync("users")
    zendesk.change({"drop_fields": ["users.visits"]})
    zendesk.change({"users": [{"id": sorted(living(zendesk, "users"))[3], "notes": "later"}]})
    zendesk.advance(120)
    project.dray("sync", "users").expect(0)
    assert "later" in [row["notes"] for row in table(project, "users").values()]


def custom_of(project, number):
    return project.query(f"SELECT custom_note_text FROM users WHERE id = {number}")[0][0]


def test_custom_fields_that_may_not_be_seen_any_more_stop_their_stream(project, zendesk):
    """What changes meanwhile is read when the right is back, and other streams go on."""
    scene.ingest(project, zendesk, ("users", "groups"), mode="upsert")
    project.sync("users")
    number = next(row["id"] for row in living(zendesk, "users").values() if row["role"] == "end-user" and row["active"])
    zendesk.change({"users": [{"id": number, "user_fields": {"note_text": "new value"}}]})
    zendesk.advance(120)
    zendesk.fault({"kind": "status", "status": 403, "path": "/api/v2/user_fields*", "count": -1})
    result = project.dray("sync", "users")
    assert result.code != 0 and "auth_forbidden" in result.errors() and "flatten_custom_fields" in result.err, result
    project.sync("groups")
    zendesk.clear_faults()
    project.sync("users")
    assert custom_of(project, number) == "new value"


@pytest.mark.parametrize("how", ["right", "setting"])
def test_custom_fields_that_may_be_seen_at_last_are_read_of_all(project, zendesk, how):
    zendesk.fault({"kind": "status", "status": 403, "path": "/api/v2/user_fields*", "count": -1 if how == "right" else 0})
    scene.ingest(project, zendesk, ("users",), mode="upsert", more="" if how == "right" else ", flatten_custom_fields: false")
    project.sync("users")
    project.sync("users")
    zendesk.clear_faults()
    scene.ingest(project, zendesk, ("users",), mode="upsert")
    project.sync("users")
    wanted = {row["id"]: row["user_fields"]["note_text"] for row in living(zendesk, "users").values()}
    assert {number: custom_of(project, number) for number in wanted} == wanted and set(wanted.values()) != {None}
    mark = zendesk.mark()
    project.sync("users")
    assert len(zendesk.requests(mark, path="incremental")) == 1  # and not of all again


@pytest.mark.parametrize("seed", range(4))
def test_killed_in_the_middle_nothing_is_lost(project, zendesk, seed):
    scene.ingest(project, zendesk, ("users",), more=", page_size: 10", sync="commit_rows: 10")
    process = project.start("sync", "users")
    harness.wait_until(lambda: len(zendesk.requests(path="incremental")) > seed * 2, what="a page")
    project.kill(process)
    project.sync("users")
    assert differences(project, "users", living(zendesk, "users")) == []


def test_check_says_what_to_grant(project, zendesk):
    scene.ingest(project, zendesk, ("users",))
    good = project.dray("check").expect(0)
    assert "admin" in good.out + good.err
    zendesk.fault({"kind": "no_scope", "path": "/api/v2/macros*", "scopes": ["macros:read"], "count": -1})
    assert "no sync uses it" in project.dray("check").expect(0).out  # a stream that nobody reads needs no right
    scene.ingest(project, zendesk, ("users", "macros"))
    bad = project.dray("check")
    assert bad.code == 5 and "macros:read" in bad.out + bad.err


def test_check_of_a_token_that_may_not_ask_who_it_is(project, zendesk):
    scene.ingest(project, zendesk, ("macros",))
    zendesk.fault({"kind": "no_scope", "path": "/api/v2/users*", "scopes": ["users:read"], "count": -1})
    told = project.dray("check").expect(0)
    assert "the role is not known" in told.out and "macros: can be read" in told.out


def test_a_wrong_subdomain_is_told(project, zendesk):
    scene.ingest(project, zendesk, ("users",))
    zendesk.settings(help_desk=False)
    result, bad = project.dray("sync", "users"), project.dray("check")
    assert bad.code == result.code == 1 and "subdomain" in bad.out + bad.err


def test_a_start_date_of_today(project, zendesk):
    scene.ingest(project, zendesk, ("users", "organizations"), more=', start_date: "2999-01-01"')
    project.dray("sync", "--all").expect(0)
    assert table(project, "users") == {}


def test_what_does_not_fit_its_column_is_a_bad_row(project, zendesk):
    scene.ingest(project, zendesk, ("users",))
    number = sorted(living(zendesk, "users"))[6]
    body = {"users": [{"id": number, "name": "Bad", "active": True, "updated_at": "2026-02-30T00:00:00Z"},
                      {"id": 5, "name": "Good", "active": True, "updated_at": "2026-02-03T00:00:00Z"}],
            "after_cursor": "x", "end_of_stream": True}
    zendesk.fault({"kind": "status", "status": 200, "body": body, "path": "/api/v2/incremental/users/*"})
    run = project.sync("users", code=3)
    assert (run["unreadable"], run["inserts"]) == (1, 1)
    (row,) = project.rows("users")
    assert (row["key"], row["error"], row["column"]) == (f"id={number}", "data_date", "updated_at") and "2026-02-30" in row["text"]


def test_ids_that_no_number_holds_are_bad_rows(project, zendesk):
    scene.ingest(project, zendesk, ("users",))
    body = {"users": [{"id": 99999999999999999999, "name": "Beyond"}, {"id": 9223372036854775807, "name": "Last"}],
            "after_cursor": "x", "end_of_stream": True}
    zendesk.fault({"kind": "status", "status": 200, "body": body, "path": "/api/v2/incremental/users/*"})
    assert project.sync("users", code=3)["unreadable"] == 1
    assert list(table(project, "users")) == [9223372036854775807]
    (row,) = project.rows("users")
    assert row["column"] == "id" and "99999999999999999999" in row["text"]


def test_metrics_may_stand_in_the_tickets(project, zendesk):
    zendesk.settings(metric_sets="embedded")
    scene.ingest(project, zendesk, ("ticket_metrics",), more=", page_size: 30")
    project.sync("ticket_metrics")
    tickets = living(zendesk, "tickets")
    metrics = {row["ticket_id"]: row for row in zendesk.state()["metrics"] if row["ticket_id"] in tickets}
    assert differences(project, "ticket_metrics", metrics, "ticket_id") == []


def test_updates_by_the_system_are_read(project, zendesk):
    """They change generated_timestamp alone: updated_at lies long before what was read last."""
    scene.ingest(project, zendesk, ("tickets",))
    project.sync("tickets")
    number = sorted(living(zendesk, "tickets"))[3]
    before = table(project, "tickets")[number]
    zendesk.change({"system_update": [number]})
    zendesk.advance(120)
    assert project.sync("tickets")["updates"] == 1
    after = table(project, "tickets")[number]
    assert after["generated_timestamp"] > before["generated_timestamp"] and after["updated_at"] == before["updated_at"]


def test_users_that_are_deleted_for_good_and_scrubbed_tickets(project, zendesk):
    scene.ingest(project, zendesk, ("users", "tickets"))
    project.dray("sync", "--all").expect(0)
    user, ticket = sorted(living(zendesk, "users"))[9], sorted(living(zendesk, "tickets"))[9]
    zendesk.change({"delete": {"users": [user], "tickets": [ticket]}})
    zendesk.change({"delete_for_good": [user], "scrub": [ticket]})
    zendesk.advance(120)
    project.dray("sync", "--all").expect(0)
    assert user not in table(project, "users") and ticket not in table(project, "tickets")


@pytest.mark.parametrize("name", ["users", "organizations"])
def test_records_that_change_while_they_are_paged(project, zendesk, name):
    scene.ingest(project, zendesk, (name,), more=", page_size: 5")
    numbers = sorted(living(zendesk, name))
    zendesk.fault({"kind": "slow", "seconds": 0.05, "path": "/api/v2/incremental/*", "count": -1})
    process = project.start("sync", name, "--json")
    for turn in range(3):
        harness.wait_until(lambda: len(zendesk.requests(path="incremental")) > turn, what="a page")
        zendesk.change({name: [{"id": numbers[turn], "notes": f"turn {turn}"}, {"id": numbers[-1 - turn], "notes": "late"}]})
    result = project.finish(process).expect(0)
    assert result.line("run")["rejected"] == 0
    zendesk.clear_faults()
    zendesk.advance(120)
    project.sync(name)
    assert differences(project, name, living(zendesk, name)) == []
