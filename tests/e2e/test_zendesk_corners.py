# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Corners of a model into Zendesk: rows in doubt that somebody has changed, records that are gone, keys that differ by case."""

import pytest

import harness
import zendesk_scene as scene
from test_zendesk_destination import USER_MAP, USERS, assert_people, by_external_id, comments, person, request, tickets, users, zendesk  # noqa: F401


# ---- doubt ----

@pytest.mark.parametrize("touched", [True, False])
def test_a_ticket_in_doubt_that_an_agent_has_touched_says_its_comment_once(project, zendesk, touched):  # noqa: F811
    tickets(project, zendesk)
    rows = [request(n) for n in range(5)]
    scene.fill(project, rows)
    project.start("sync", "out", env={"DRAY_FAULT": "kill:delivery.written:1"}).communicate()
    harness.wait_until(lambda: len(by_external_id(zendesk, "tickets", "mine-")) == 5, what="the job")
    if touched:
        zendesk.change({"tickets": [{"id": by_external_id(zendesk, "tickets", "mine-")["mine-2"][0]["id"], "priority": "urgent"}]})
    project.dray("sync", "out")
    project.dray("sync", "out").expect(0)
    held = by_external_id(zendesk, "tickets", "mine-")
    for row in rows:
        [ticket] = held[row["external_id"]]
        assert comments(zendesk, ticket) == [row["comment"]]


def test_a_job_in_doubt_is_asked_for_whatever_the_config_says_now(project, zendesk):  # noqa: F811
    tickets(project, zendesk)
    rows = [request(n) for n in range(5)]
    scene.fill(project, rows)
    zendesk.fault({"kind": "job_slow", "seconds": 60, "count": -1})
    project.start("sync", "out", env={"DRAY_FAULT": "kill:delivery.written:1"}).communicate()
    text = (project.folder / "dray.yaml").read_text(encoding="utf-8").replace("exports_per_minute", "use_bulk: never, exports_per_minute")
    project.write("dray.yaml", text)
    zendesk.clear_faults()
    mark = zendesk.mark()
    process = project.start("sync", "out")
    harness.wait_until(lambda: zendesk.requests(mark, path="/job_statuses") or zendesk.requests(mark, scene.WRITES), what="the read back")
    zendesk.advance(100)
    project.finish(process)
    project.dray("sync", "out").expect(0)
    held = by_external_id(zendesk, "tickets", "mine-")
    assert {name: len(found) for name, found in held.items()} == {row["external_id"]: 1 for row in rows}


def test_jobs_are_forbidden_in_the_middle(project, zendesk):  # noqa: F811
    users(project, zendesk, more=", batch_size: 5")
    rows = [person(n) for n in range(22)]
    scene.fill(project, rows)
    zendesk.fault({"kind": "status", "status": 403, "body": {"error": {"title": "Forbidden", "message": "You do not have access"}},
                   "path": "/api/v2/users/create_or_update_many", "nth": 2, "count": -1})
    assert project.sync("out")["applied"] == 22
    assert_people(zendesk, rows)


# ---- records that were deleted there ----

def test_a_deleted_user_is_made_again_whole(project, zendesk):  # noqa: F811
    users(project, zendesk)
    rows = [person(n) for n in range(4)]
    scene.fill(project, rows)
    project.sync("out")
    zendesk.change({"delete": {"users": [by_external_id(zendesk)["crm-1"][0]["id"]]}})
    rows[1]["notes"], rows[2]["notes"] = "one", "two"
    scene.fill(project, rows)
    assert project.sync("out")["applied"] == 2
    assert_people(zendesk, rows)


def test_a_deleted_ticket_is_made_again_whole(project, zendesk):  # noqa: F811
    tickets(project, zendesk)
    rows = [request(n) for n in range(4)]
    scene.fill(project, rows)
    project.sync("out")
    zendesk.change({"delete": {"tickets": [by_external_id(zendesk, "tickets", "mine-")["mine-1"][0]["id"]]}})
    rows[1]["priority"], rows[2]["priority"] = "high", "urgent"
    scene.fill(project, rows)
    assert project.sync("out")["applied"] == 2
    [ticket] = [row for row in by_external_id(zendesk, "tickets", "mine-")["mine-1"] if row["status"] != "deleted"]
    assert (ticket["subject"], comments(zendesk, ticket)) == ("Case 1", ["It is broken 1"])


@pytest.mark.parametrize("count", [1, 3])
def test_a_deleted_organization_is_made_again_whole(project, zendesk, count):  # noqa: F811
    scene.activate(project, zendesk, "organizations", {"external_id": "TEXT", "name": "TEXT", "notes": "TEXT"}, "external_id")
    rows = [{"external_id": f"crm-{n}", "name": f"Company {n}", "notes": None} for n in range(4)]
    scene.fill(project, rows)
    project.sync("out")
    zendesk.change({"delete": {"organizations": [by_external_id(zendesk, "organizations")["crm-1"][0]["id"]]}})
    for row in rows[1:1 + count]:
        row["notes"] = "changed"
    scene.fill(project, rows)
    assert project.sync("out")["applied"] == count
    assert by_external_id(zendesk, "organizations")["crm-1"][0]["name"] == "Company 1"


# ---- keys that differ by the case of letters ----

def test_two_rows_of_one_user_are_withheld_and_told(project, zendesk):  # noqa: F811
    users(project, zendesk)
    scene.fill(project, [person(0), person(1), person(2, external_id="CRM-1", email="other@dray.example")])
    run = project.sync("out", code=3)
    assert (run["applied"], run["duplicate_keys"], run["duplicate_rows"]) == (1, 1, 2)
    assert set(by_external_id(zendesk)) == {"crm-0"}


def test_a_user_whose_address_has_other_capitals_is_removed(project, zendesk):  # noqa: F811
    """Zendesk writes addresses in small letters of any script."""
    scene.activate(project, zendesk, "users", {"email": "TEXT", "name": "TEXT"}, "email", "upsert")
    scene.fill(project, [{"email": "jörg@dray.example", "name": "jör"}, {"email": "eva@dray.example", "name": "eva"}])
    project.sync("out")
    path = project.folder / "dray.yaml"
    path.write_text(path.read_text().replace("  out:", "  gone:").replace("mode: upsert", "mode: remove"))
    scene.fill(project, [{"email": "JÖRG@dray.example", "name": "x"}])
    assert project.sync("gone")["applied"] == 1
    assert {row["name"]: row["active"] for row in zendesk.state()["users"] if row["name"] in ("jör", "eva")} == {"jör": False, "eva": True}


@pytest.mark.parametrize("key", ["external_id", "number"])
def test_two_rows_of_one_ticket_make_no_two_tickets(project, zendesk, key):  # noqa: F811
    """A key by which they are two is refused before the run. Spelled otherwise they are two for Zendesk as well."""
    scene.activate(project, zendesk, "tickets", {"number": "INTEGER", "external_id": "TEXT", "subject": "TEXT", "comment": "TEXT"}, key,
                   mapping={"external_id": "external_id", "subject": "subject", "comment": "comment"})
    scene.fill(project, [{"number": n, "external_id": name, "subject": f"Row {n}", "comment": "hello"} for n, name in enumerate(["T-1", "T-1", "t-1", "T-2"])])
    run = project.sync("out", code=3 if key == "external_id" else 4)
    assert (run["applied"], run["duplicate_rows"]) == ((2, 2) if key == "external_id" else (0, 0))
    made = [row["external_id"] for row in zendesk.state()["tickets"] if (row["external_id"] or "").lower().startswith("t-")]
    assert sorted(made) == (["T-2", "t-1"] if key == "external_id" else [])


@pytest.mark.parametrize("count", [1, 2])
def test_a_mirror_whose_keys_change_their_case_removes_nobody(project, zendesk, count):  # noqa: F811
    users(project, zendesk, "mirror")
    rows = [person(n) for n in range(5)]
    scene.fill(project, rows)
    project.sync("out")
    for row in rows[:count]:
        row["external_id"] = row["external_id"].upper()
    scene.fill(project, rows)
    project.sync("out")
    living = {row["external_id"] for row in zendesk.state()["users"] if row["external_id"] and row["active"]}
    assert {row["external_id"] for row in rows} <= living


@pytest.mark.parametrize("what", ["users", "organizations"])
def test_a_key_that_zendesk_spells_otherwise_by_now_is_removed_all_the_same(project, zendesk, what):  # noqa: F811
    """Every spelling of an external_id is one key, so a removal is of nobody else."""
    scene.activate(project, zendesk, what, {"external_id": "TEXT", "name": "TEXT"}, "external_id", "mirror")
    rows = [{"external_id": name, "name": f"Named {name}"} for name in ("crm-0", "crm-1", "crm-JÖRG", "crm-3")]
    scene.fill(project, rows)
    project.sync("out")
    held = by_external_id(zendesk, what)
    for name in ("crm-1", "crm-JÖRG"):
        zendesk.change({what: [{"id": held[name][0]["id"], "external_id": name.swapcase()}]})
    scene.fill(project, rows[:1])
    run = project.sync("out")
    assert (run["deletes"], run["applied"], run["rejected"]) == (3, 3, 0), run
    assert {name.lower() for prefix in ("crm-", "CRM-") for name in by_external_id(zendesk, what, prefix)} == {"crm-0"}


# ---- modes, of every object ----

def chosen(zendesk, count):  # noqa: F811
    return [row for row in zendesk.state()["users"] if row["role"] == "end-user" and row["active"] and not row["external_id"]][:count]


@pytest.mark.parametrize("bulk", ["auto", "never"])
def test_modes_of_organizations(project, zendesk, bulk):  # noqa: F811
    numbers = [row["id"] for row in zendesk.state()["organizations"] if not row.get("deleted_at")][:2]
    for n, number in enumerate(numbers):
        zendesk.change({"organizations": [{"id": number, "external_id": f"crm-{n}", "notes": "theirs"}]})
    rows = [{"external_id": f"crm-{n}", "name": f"Ours {n}", "notes": "ours"} for n in (0, 1, 7, 8)]
    table = {"external_id": "TEXT", "name": "TEXT", "notes": "TEXT"}
    scene.activate(project, zendesk, "organizations", table, "external_id", "create", more=f", use_bulk: {bulk}")
    scene.fill(project, rows)
    assert project.sync("out")["rejected"] == 0
    held = by_external_id(zendesk, "organizations")
    assert {name: row[0]["notes"] for name, row in held.items()} == {"crm-0": "theirs", "crm-1": "theirs", "crm-7": "ours", "crm-8": "ours"}
    path = project.folder / "dray.yaml"
    path.write_text(path.read_text().replace("  out:", "  changes:").replace("mode: create", "mode: update"))
    scene.fill(project, rows + [{"external_id": "crm-9", "name": "Nobody", "notes": "ours"}])
    run = project.sync("changes", code=3)
    assert (run["applied"], run["rejected"]) == (4, 1), run
    held = by_external_id(zendesk, "organizations")
    assert {name: row[0]["notes"] for name, row in held.items()} == dict.fromkeys(["crm-0", "crm-1", "crm-7", "crm-8"], "ours")


@pytest.mark.parametrize("bulk", ["auto", "never"])
def test_modes_of_tickets(project, zendesk, bulk):  # noqa: F811
    number = next(row["id"] for row in zendesk.state()["tickets"] if row["status"] == "open")
    zendesk.change({"tickets": [{"id": number, "external_id": "mine-0", "subject": "Theirs"}]})
    tickets(project, zendesk, "create", more=f", use_bulk: {bulk}")
    rows = [request(n) for n in range(3)]
    scene.fill(project, rows)
    assert project.sync("out")["rejected"] == 0
    assert {name: row[0]["subject"] for name, row in by_external_id(zendesk, "tickets", "mine-").items()} == {
        "mine-0": "Theirs", "mine-1": "Case 1", "mine-2": "Case 2"}
    path = project.folder / "dray.yaml"
    path.write_text(path.read_text().replace("  out:", "  changes:").replace("mode: create", "mode: update"))
    scene.fill(project, [request(n, subject=f"Ours {n}", comment=None) for n in range(4)])
    assert project.sync("changes", code=3)["rejected"] == 1
    assert {name: row[0]["subject"] for name, row in by_external_id(zendesk, "tickets", "mine-").items()} == {
        f"mine-{n}": f"Ours {n}" for n in range(3)}


@pytest.mark.parametrize("what, column", [("users", "name"), ("organizations", "name"), ("tickets", "subject")])
def test_mode_create_by_id_is_refused(project, zendesk, what, column):  # noqa: F811
    """Nothing is made with an id of ours, so all that such a row could do is to change what is there."""
    before = zendesk.state()[what]
    scene.activate(project, zendesk, what, {"id": "INTEGER", column: "TEXT"}, "id", "create")
    scene.fill(project, [{"id": row["id"], column: "Ours"} for row in before[5:7]])
    result = project.dray("sync", "out", "--json").expect(4)
    assert "config_value" in result.errors() and "mode create" in result.out, result
    assert [row[column] for row in zendesk.state()[what]] == [row[column] for row in before]


@pytest.mark.parametrize("match", ["external_id", "email", "id"])
def test_mode_update_of_users_by_any_key(project, zendesk, match):  # noqa: F811
    there = chosen(zendesk, 2)
    if match == "external_id":
        for n, row in enumerate(there):
            zendesk.change({"users": [{"id": row["id"], "external_id": f"crm-{n}"}]})
    keys = {"external_id": ["crm-0", "crm-1", "crm-2"], "email": [row["email"] for row in there] + ["nobody@dray.example"],
            "id": [row["id"] for row in there] + [999999999]}[match]
    count = len(zendesk.state()["users"])
    scene.activate(project, zendesk, "users", {match: "INTEGER" if match == "id" else "TEXT", "name": "TEXT"}, match, "update")
    scene.fill(project, [{match: key, "name": "Ours"} for key in keys])
    run = project.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (2, 1), run
    now = zendesk.rows("users")
    assert [now[row["id"]]["name"] for row in there] == ["Ours"] * 2 and len(now) == count


@pytest.mark.parametrize("default", [None, False, True])
def test_modes_of_memberships(project, zendesk, default):  # noqa: F811
    state = zendesk.state()
    have = {(row["user_id"], row["organization_id"]): row["default"] for row in state["organization_memberships"]}
    user = next(row["id"] for row in state["users"] if row["role"] == "end-user" and row["active"] and any(row["id"] == a for a, _ in have))
    mine = next(company for one, company in have if one == user)
    other = next(row["id"] for row in state["organizations"] if not row.get("deleted_at") and (user, row["id"]) not in have)
    more = {} if default is None else {"default": default}
    table = {"user_id": "INTEGER", "organization_id": "INTEGER", **({"default": "BOOLEAN"} if more else {})}
    scene.activate(project, zendesk, "organization_memberships", table, "[user_id, organization_id]", "update")
    scene.fill(project, [{"user_id": user, "organization_id": company, **more} for company in (mine, other)])
    run = project.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (1, 1), "an update of what is not there has nothing to update"
    assert project.rows("out")[0]["key"] == {"user_id": user, "organization_id": other} or str(other) in str(project.rows("out")[0])
    now = {(row["user_id"], row["organization_id"]) for row in zendesk.state()["organization_memberships"]}
    assert now == set(have)
    path = project.folder / "dray.yaml"
    path.write_text(path.read_text().replace("  out:", "  made:").replace("mode: update", "mode: create"))
    assert project.sync("made")["rejected"] == 0
    now = {(row["user_id"], row["organization_id"]): row["default"] for row in zendesk.state()["organization_memberships"]}
    assert set(now) == {*have, (user, other)} and now[user, other] == bool(default)


@pytest.mark.parametrize("how", ["set", "remove"])
@pytest.mark.parametrize("of", ["ticket", "user"])
def test_mode_create_takes_no_tags_away(project, zendesk, how, of):  # noqa: F811
    number = next(row["id"] for row in zendesk.state()[of + "s"] if row.get("active", True) and row.get("status", "open") == "open")
    zendesk.change({of + "s": [{"id": number, "tags": ["old"]}]})
    scene.activate(project, zendesk, of + "_tags", {of + "_id": "INTEGER", "tags": "TEXT"}, of + "_id", "create", to=f", tags: {how}")
    scene.fill(project, [{of + "_id": number, "tags": "old new"}])
    result = project.dray("sync", "out", "--json").expect(4)
    assert "config_value" in result.errors() and "tags: add" in result.out, result
    assert zendesk.rows(of + "s")[number]["tags"] == ["old"]


def test_modes_of_tags_that_are_added(project, zendesk):  # noqa: F811
    number = chosen(zendesk, 1)[0]["id"]
    zendesk.change({"users": [{"id": number, "tags": ["old"]}]})
    scene.activate(project, zendesk, "user_tags", {"user_id": "INTEGER", "tags": "TEXT"}, "user_id", "update")
    scene.fill(project, [{"user_id": number, "tags": "new"}, {"user_id": 999999999, "tags": "new"}])
    run = project.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (1, 1), run
    assert set(zendesk.rows("users")[number]["tags"]) == {"old", "new"}


# ---- tags that a row's list has lost ----

def tagged(project, zendesk, of="user", mode="mirror", more="", column="TEXT"):  # noqa: F811
    number = next(row["id"] for row in zendesk.state()[of + "s"] if row.get("active", True) and row.get("status", "open") == "open")
    zendesk.change({of + "s": [{"id": number, "tags": ["theirs"]}]})
    scene.activate(project, zendesk, of + "_tags", {of + "_id": "INTEGER", "tags": column}, of + "_id", mode)
    if more:
        path = project.folder / "dray.yaml"
        path.write_text(path.read_text() + more)

    def sync(tags, code=0, env=None):
        scene.fill(project, [{of + "_id": number, "tags": tags}] if tags is not False else [])
        result = project.dray("sync", "out", env=env)
        assert code is None or result.code == code, result
        return set(zendesk.rows(of + "s")[number]["tags"])
    return sync


@pytest.mark.parametrize("of", ["user", "ticket"])
def test_a_mirror_takes_away_tags_that_a_list_has_lost(project, zendesk, of):  # noqa: F811
    sync = tagged(project, zendesk, of, more="    guard: off\n")
    assert sync("a b") == {"theirs", "a", "b"}
    mark = zendesk.mark()
    assert sync("a c") == {"theirs", "a", "c"}
    assert [line["method"] for line in zendesk.requests(mark, scene.WRITES)] == ["DELETE", "PUT"]
    mark = zendesk.mark()
    assert sync("A, c d") == {"theirs", "a", "c", "d"}
    assert [line["method"] for line in zendesk.requests(mark, scene.WRITES)] == ["PUT"], "another case is no other tag"
    assert sync('["d", "e"]') == {"theirs", "d", "e"}
    assert sync(None) == {"theirs"}
    assert sync("f") == {"theirs", "f"}
    assert sync(False) == {"theirs"}


def test_without_a_mirror_a_list_adds_alone(project, zendesk):  # noqa: F811
    sync = tagged(project, zendesk, mode="upsert")
    assert sync("a b") == {"theirs", "a", "b"}
    assert sync("a c") == {"theirs", "a", "b", "c"}


TAG_FAULTS = [("DELETE", {"kind": "reset"}), ("DELETE", {"kind": "reset", "applied": True}), ("DELETE", {"kind": "throttle", "retry_after": 0}),
              ("PUT", {"kind": "reset"}), ("PUT", {"kind": "reset", "applied": True}), ("PUT", {"kind": "status", "status": 503}),
              ("PUT", {"kind": "throttle", "retry_after": 0, "count": 3})]


@pytest.mark.parametrize("method, fault", TAG_FAULTS, ids=lambda value: value if isinstance(value, str) else "-".join(str(one) for one in value.values()))
def test_lost_tags_go_whatever_happens_between(project, zendesk, method, fault):  # noqa: F811
    sync = tagged(project, zendesk)
    sync("a b")
    zendesk.fault({**fault, "method": method, "path": "/api/v2/users/*/tags"})
    sync("a c", code=None)
    zendesk.clear_faults()
    assert sync("a d") == {"theirs", "a", "d"}


@pytest.mark.parametrize("step", ["delivery.sending", "delivery.written", "delivery.mirrored"])
def test_lost_tags_go_when_the_run_dies(project, zendesk, step):  # noqa: F811
    sync = tagged(project, zendesk)
    sync("a b")
    sync("a c", code=1, env={"DRAY_FAULT": f"kill:{step}:1"})
    assert sync("a d") == {"theirs", "a", "d"}


@pytest.mark.parametrize("keep", ["columns", "key"])
def test_a_mirror_of_tags_keeps_its_rows(project, zendesk, keep):  # noqa: F811
    sync = tagged(project, zendesk, more=f"    keep: {keep}\n")
    assert sync("a b", code=4) == {"theirs"}
