# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Rows to a Mailchimp audience, whatever it answers: the audience is what the rows say, nobody is brought back, every row is
accounted for, and nothing is sent twice without need."""

import hashlib

import pytest

import mailchimp_scene as scene

FIELDS = "GET /3.0/lists/{list_id}/merge-fields"
COLUMNS = ("email_address", "merge_fname", "language", "vip")


def people(count, name="Ada", first=0):
    return [(f"p{i}@dray.test", f"{name} {i}", "de" if i % 2 else "en", "true" if i % 3 == 0 else "false")
            for i in range(first, first + count)]


@pytest.fixture
def sim(tmp_path):
    made = scene.start(tmp_path, members=300)
    yield made
    made.stop()


@pytest.fixture
def account(project, sim):
    project.environment.update(scene.environment(sim))
    return project


def expect_held(sim, rows):
    held = scene.members(sim)
    wrong = [(row, held.get(row[0])) for row in rows
             if row[0] not in held or (held[row[0]]["merge_fields"]["FNAME"], held[row[0]]["language"], held[row[0]]["vip"])
             != (row[1], row[2], row[3] == "true") or held[row[0]]["status"] == "archived"]
    assert not wrong, wrong[:3]


def expect_idle(project, sim, name="out"):
    calls = scene.Calls(sim)
    run = project.sync(name)
    assert (run["sent"], run["recovered_batches"]) == (0, 0), run
    assert calls.writes() == {}, calls.writes()


def test_rows_come_change_and_go(account, sim):
    rows = people(1200)
    scene.to_audience(account, sim, COLUMNS, rows)
    calls = scene.Calls(sim)
    run = account.sync("out")
    assert (run["applied"], run["rejected"]) == (1200, 0), run
    assert calls.writes() == {"POST /3.0/lists/{list_id}": 3}
    expect_held(sim, rows)
    expect_idle(account, sim)
    changed = [(row[0], "Neu", *row[2:]) if i % 4 == 0 else row for i, row in enumerate(rows[20:])]
    scene.write_rows(account, COLUMNS, changed)
    calls = scene.Calls(sim)
    run = account.sync("out")
    assert (run["updates"], run["deletes"], run["rejected"]) == (295, 20, 0), run
    assert calls.writes() == {"POST /3.0/lists/{list_id}": 1, "DELETE /3.0/lists/{list_id}/members/{subscriber_hash}": 20}
    expect_held(sim, changed)
    assert {scene.members(sim)[row[0]]["status"] for row in rows[:20]} == {"archived"}
    sent = [entry for entry in sim.ledger() if entry["method"] == "POST"][-1]
    assert '"vip"' not in str(sent["body"]) and "Neu" in str(sent["body"]), "more than what changed was sent"
    expect_idle(account, sim)


def test_letters_beyond_ascii_have_capitals_too(account, sim):
    """Mailchimp knows members by the address in small letters: whoever is looked for otherwise seems to be gone."""
    columns = ("email_address", "merge_fname")
    scene.to_audience(account, sim, columns, [("JÖRG@dray.test", "A"), ("ελενη@dray.test", "B"), ("ada@dray.test", "C"), ("eva@dray.test", "D")])
    assert account.sync("out")["applied"] == 4
    scene.to_audience(account, sim, columns[:1], [("JÖRG@dray.test",), ("ΕΛΕΝΗ@dray.test",), ("ADA@dray.test",)], mode="remove")
    (account.folder / "dray.yaml").write_text((account.folder / "dray.yaml").read_text().replace("  out:", "  gone:"))
    assert account.sync("gone")["applied"] == 3
    assert {email.lower(): member["status"] for email, member in scene.members(sim).items() if email.endswith("dray.test")} == {
        "jörg@dray.test": "archived", "ελενη@dray.test": "archived", "ada@dray.test": "archived", "eva@dray.test": "subscribed"}


@pytest.mark.parametrize("status", ["", "subscribed"], ids=["plain", "with-status"])
def test_mode_update_subscribes_nobody(account, sim, status):
    known = next(email for email, member in scene.members(sim).items() if member["status"] == "subscribed")
    columns = ("email_address", "merge_fname") + (("status",) if status else ())
    row = lambda email, name: (email, name) + ((status,) if status else ())  # noqa: E731
    target = "object: members" + (", never_resubscribe: false" if status else "")
    scene.to_audience(account, sim, columns, [row("nobody@dray.test", "A"), row(known, "B")], target=target, mode="update")
    for name in ("B", "C"):  # a new row, and one that changed
        scene.write_rows(account, columns, [row("nobody@dray.test", "New " + name), row(known, name)])
        run = account.sync("out", code=3)
        assert (run["applied"], run["rejected"]) == (1, 1), run
        assert "no such member, and mode update makes none" in account.rows("out")[0]["text"]
        held = scene.members(sim)
        assert "nobody@dray.test" not in held and held[known]["merge_fields"]["FNAME"] == name


@pytest.mark.parametrize("mode", ["create", "append"])
def test_mode_create_leaves_members_as_they_are(account, sim, mode):
    before = scene.members(sim)
    known = [next(email for email, member in before.items() if member["status"] == status) for status in ("subscribed", "unsubscribed", "archived")]
    scene.to_audience(account, sim, ("email_address", "merge_fname"), [(email, "Changed") for email in [*known, "new@dray.test"]], mode=mode)
    assert account.sync("out")["applied"] == 4  # or there already
    held = scene.members(sim)
    assert held["new@dray.test"]["merge_fields"]["FNAME"] == "Changed"
    assert [held[email] for email in known] == [before[email] for email in known]


def test_nobody_is_brought_back(account, sim):
    held = scene.members(sim)
    left = next(email for email, member in held.items() if member["status"] == "subscribed")
    other = [email for email, member in held.items() if member["status"] == "subscribed"][1]
    sim.change({"ops": [{"op": "unsubscribe", "email": left}]})
    rows = [(left, "New name", "en", "false"), (other, "Other", "en", "false"), ("fresh@dray.test", "Fresh", "en", "false")]
    scene.to_audience(account, sim, COLUMNS, rows)
    calls = scene.Calls(sim)
    run = account.sync("out")
    assert (run["applied"], run["rejected"]) == (3, 0), run
    assert calls.writes() == {"POST /3.0/lists/{list_id}": 2}, "who was there already was sent once more, as an update"
    held = scene.members(sim)
    assert (held[left]["status"], held[left]["merge_fields"]["FNAME"]) == ("unsubscribed", "New name")
    assert (held[other]["status"], held["fresh@dray.test"]["status"]) == ("subscribed", "subscribed")
    expect_idle(account, sim)


def test_who_was_removed_and_comes_again_leaves_the_archive(account, sim):
    rows = people(30)
    scene.to_audience(account, sim, COLUMNS, rows)
    account.sync("out")
    scene.write_rows(account, COLUMNS, rows[10:])
    account.sync("out")
    assert scene.members(sim)["p3@dray.test"]["status"] == "archived"
    scene.write_rows(account, COLUMNS, rows)
    run = account.sync("out")
    assert (run["inserts"], run["applied"]) == (10, 10), run
    assert {scene.members(sim)[row[0]]["status"] for row in rows} == {"subscribed"}
    expect_held(sim, rows)
    expect_idle(account, sim)


def test_who_was_unsubscribed_and_archived_comes_back_unsubscribed(account, sim):
    rows = people(20)
    scene.to_audience(account, sim, COLUMNS, rows)
    account.sync("out")
    member = hashlib.md5(b"p3@dray.test").hexdigest()
    reply = sim.request("PATCH", f"/3.0/lists/{sim.hello['list_id']}/members/{member}", {"status": "unsubscribed"},
                        {"Authorization": "Bearer " + sim.hello["api_key"]})
    assert reply.status == 200, reply
    scene.write_rows(account, COLUMNS, rows[10:])
    account.sync("out")
    assert scene.members(sim)["p3@dray.test"]["status"] == "archived"
    scene.write_rows(account, COLUMNS, rows)
    run = account.sync("out")
    assert (run["inserts"], run["applied"]) == (10, 10), run
    held = scene.members(sim)
    assert [row[0] for row in rows if held[row[0]]["status"] != "subscribed"] == ["p3@dray.test"]
    assert held["p3@dray.test"]["status"] == "unsubscribed"
    expect_held(sim, rows)
    expect_idle(account, sim)


def test_a_status_is_sent_where_a_row_has_one(account, sim):
    columns = ("email_address", "status")
    rows = [("a@dray.test", "subscribed"), ("b@dray.test", "unsubscribed"), ("c@dray.test", "transactional")]
    scene.to_audience(account, sim, columns, rows)
    account.sync("out")
    assert {email: scene.members(sim)[email]["status"] for email, _ in rows} == dict(rows)
    scene.write_rows(account, columns, [("a@dray.test", "unsubscribed"), ("b@dray.test", "subscribed"), rows[2]])
    account.sync("out")
    held = scene.members(sim)
    assert (held["a@dray.test"]["status"], held["b@dray.test"]["status"]) == ("unsubscribed", "unsubscribed")


def test_who_will_never_be_taken_is_told_with_the_vendors_words(account, sim):
    rows = people(500)
    scene.to_audience(account, sim, COLUMNS, rows)
    sim.fault({"kind": "refuse_member", "email": "p7@dray.test", "message": "looks fake or invalid", "count": -1})
    run = account.dray("sync", "out", "--json").expect(3).line("run")
    assert (run["applied"], run["rejected"]) == (499, 1), run
    told = account.rows("out")
    assert len(told) == 1 and "looks fake" in str(told[0]) and "p7@dray.test" in str(told[0]), told
    sim.sim("DELETE", "faults")
    sim.change({"op": "delete", "email": "p9@dray.test"})  # for good
    scene.write_rows(account, COLUMNS, [(row[0], "Changed", *row[2:]) for row in rows])
    run = account.dray("sync", "out", "--json").expect(3).line("run")
    assert run["rejected"] == 1 and "p9@dray.test" in str(account.rows("out")), run
    assert scene.members(sim)["p7@dray.test"]["merge_fields"]["FNAME"] == "Changed"


def test_a_batch_that_is_refused_as_a_whole_is_halved_until_the_row_is_alone(account, sim):
    rows = people(40)
    scene.to_audience(account, sim, COLUMNS, rows)
    sim.fault({"kind": "status", "status": 400, "body_contains": "p13@dray.test", "path": "/3.0/lists/*", "count": -1,
               "content_type": "application/problem+json",
               "body": {"title": "Invalid Resource", "status": 400, "detail": "The resource submitted could not be validated."}})
    run = account.dray("sync", "out", "--json").expect(3).line("run")
    assert (run["applied"], run["rejected"]) == (39, 1), run
    assert "p13@dray.test" in str(account.rows("out")) and "could not be validated" in str(account.rows("out"))


@pytest.mark.parametrize("fault", [
    {"kind": "throttle", "count": 6},
    {"kind": "throttle", "retry_after": 1, "count": 2},
    {"kind": "status", "status": 403, "body": "", "count": 4},
    {"kind": "status", "status": 503, "count": 2},
], ids=lambda fault: "-".join(str(value) for value in fault.values() if value))
def test_what_passes_marks_no_row(account, sim, fault):
    rows = people(1000)
    scene.to_audience(account, sim, COLUMNS, rows)
    sim.fault({**fault, "method": "POST"})
    run = account.sync("out")
    assert (run["applied"], run["rejected"], run["refused"], run["in_doubt"]) == (1000, 0, 0, 0), run
    expect_held(sim, rows)
    expect_idle(account, sim)


@pytest.mark.parametrize("fault", [
    {"kind": "reset", "applied": True}, {"kind": "reset"}, {"kind": "status", "status": 500, "applied": True},
    {"kind": "html", "applied": True}, {"kind": "cut", "keep_bytes": 40},
], ids=lambda fault: "-".join(str(value) for value in fault.values()))
def test_what_is_in_doubt_is_sent_again_and_no_harm_is_done(account, sim, fault):
    rows = people(500)
    scene.to_audience(account, sim, COLUMNS, rows)
    sim.fault({**fault, "method": "POST"})
    account.dray("sync", "out", "--json")
    account.dray("sync", "out", "--json").expect(0)
    expect_held(sim, rows)
    expect_idle(account, sim)


def test_merge_fields_are_made_on_request_and_named_when_not(account, sim):
    columns = ("email_address", "merge_score", "merge_seen")
    rows = [(f"p{i}@dray.test", i / 4, f"2026-01-{i + 1:02}") for i in range(20)]
    scene.to_audience(account, sim, columns, rows)
    result = account.dray("sync", "out", "--json")
    assert "schema_field" in result.errors() and "merge_s" in result.out + result.err, result
    scene.to_audience(account, sim, columns, rows, target="object: members, create_merge_fields: true")
    account.sync("out")
    fields = {field["tag"]: field for field in sim.state()["lists"][sim.hello["list_id"]]["merge_fields"]}
    assert {"SCORE", "SEEN"} <= set(fields)
    held = scene.members(sim)
    assert {str(held[row[0]]["merge_fields"]["SEEN"]) for row in rows} == {row[2] for row in rows}
    assert [float(held[row[0]]["merge_fields"]["SCORE"]) for row in rows] == [row[1] for row in rows]


@pytest.mark.parametrize("fault", [
    {"kind": "throttle", "count": 3}, {"kind": "status", "status": 403, "body": "", "count": 2}, {"kind": "status", "status": 503, "count": 2},
    {"kind": "status", "status": 500, "applied": True}, {"kind": "reset", "applied": True}, {"kind": "html", "applied": True}],
    ids=["429", "bare-403", "503", "500-done", "reset-done", "html-done"])
def test_making_a_merge_field_waits_and_asks_again(account, sim, fault):
    scene.to_audience(account, sim, ("email_address", "merge_score"), [("a@dray.test", 7)], target="object: members, create_merge_fields: true")
    sim.fault({**fault, "method": "POST", "path": "/3.0/lists/*/merge-fields"})
    run = account.sync("out")
    assert (run["applied"], run["refused"], run["in_doubt"]) == (1, 0, 0), run
    tags = [field["tag"] for field in sim.state()["lists"][sim.hello["list_id"]]["merge_fields"]]
    assert tags.count("SCORE") == 1 and float(scene.members(sim)["a@dray.test"]["merge_fields"]["SCORE"]) == 7


@pytest.mark.parametrize("way,status", [("unsubscribe", "unsubscribed"), ("permanent", None), ("archive", "archived")])
def test_ways_to_remove(account, sim, way, status):
    rows = people(30)
    scene.to_audience(account, sim, COLUMNS, rows, target=f"object: members, delete_mode: {way}")
    account.sync("out")
    sim.change({"op": "archive", "email": "p3@dray.test"})
    scene.write_rows(account, COLUMNS, rows[10:])
    run = account.sync("out")
    assert (run["deletes"], run["rejected"]) == (10, 0), run
    held = scene.members(sim)
    assert {held[row[0]]["status"] if row[0] in held else None for row in rows[:10] if row[0] != "p3@dray.test"} == {status}
    expect_idle(account, sim)


def test_tags_of_members_are_changed_five_hundred_a_call(account, sim):
    emails = [email for email, member in scene.members(sim).items() if member["status"] == "subscribed"][:150]
    rows = [(email, "vip customer" if i % 2 else "Losing interest") for i, email in enumerate(emails)] + [("nobody@dray.test", "x")]
    scene.to_audience(account, sim, ("email_address", "tag"), rows, target="object: member_tags", key="[email_address, tag]")
    calls = scene.Calls(sim)
    run = account.dray("sync", "out", "--json").expect(3).line("run")
    assert (run["applied"], run["rejected"]) == (150, 1), run
    made = calls.writes()
    assert made["POST /3.0/lists/{list_id}/segments"] == 3 and made["POST /3.0/lists/{list_id}/segments/{segment_id}"] == 3, made
    held = scene.members(sim)
    assert all("vip customer" in names(held[email]) for email in emails[1::2])
    scene.write_rows(account, ("email_address", "tag"), rows[40:-1])
    run = account.sync("out")
    assert (run["deletes"], run["rejected"]) == (41, 0) or run["deletes"] == 40, run
    held = scene.members(sim)
    assert not any("vip customer" in names(held[email]) for email in emails[1:40:2])
    assert all("vip customer" in names(held[email]) for email in emails[41::2])


def names(member):
    return [tag["name"] if isinstance(tag, dict) else tag for tag in member["tags"]]


def test_members_of_a_static_segment(account, sim):
    segments = sim.state()["lists"][sim.hello["list_id"]]["segments"]
    static = next(segment for segment in (segments.values() if isinstance(segments, dict) else segments)
                  if segment["type"] == "static")
    emails = [email for email, member in scene.members(sim).items() if member["status"] == "subscribed"][:50]
    scene.to_audience(account, sim, ("email_address",), [(email,) for email in emails],
                      target=f"object: segment_members, segment_id: \"{static['id']}\"")
    calls = scene.Calls(sim)
    run = account.sync("out")
    assert (run["applied"], run["rejected"]) == (50, 0), run
    assert calls.writes() == {"POST /3.0/lists/{list_id}/segments/{segment_id}": 1}
    expect_idle(account, sim)


# ---- death, and several at once ----

def test_a_write_that_dies_goes_on(account, sim, tmp_path):
    rows = people(60)
    scene.to_audience(account, sim, COLUMNS, rows)
    trace = tmp_path / "trace"
    account.dray("sync", "out", env={"DRAY_FAULT_TRACE": str(trace)}).expect(0)
    steps = sorted(set(trace.read_text().split()))
    assert {"delivery.sending", "delivery.answered", "delivery.settled"} <= set(steps), steps
    for number, step in enumerate(steps):
        rows = [(row[0], f"{step} {number}", *row[2:]) for row in rows[1:]] + people(2, first=1000 + 2 * number)
        scene.write_rows(account, COLUMNS, rows)
        died = account.dray("sync", "out", "--json", env={"DRAY_FAULT": f"kill:{step}:1"})
        assert died.code in (0, 1, -9), died
        account.sync("out")
        expect_held(sim, rows)
        expect_idle(account, sim)


def test_lanes_share_the_connections_and_keep_them_busy(project, tmp_path):
    sim = scene.start(tmp_path, "--latency-ms", 100, members=20)
    try:
        project.environment.update(scene.environment(sim))
        rows = people(8000)
        scene.to_audience(project, sim, COLUMNS, rows)
        project.sync("out")
        scene.write_rows(project, COLUMNS, [(row[0], "Neu", *row[2:]) for row in rows])
        calls = scene.Calls(sim)
        run = project.sync("out")
        assert (run["updates"], run["applied"]) == (8000, 8000), run
        assert calls.made() == {"POST /3.0/lists/{list_id}": 16, FIELDS: 1}, "asked once a run, whatever its lanes"
        told = sim.calls()
        assert told["in_flight_max"] == 4 and told["throttled"] == 0, told
    finally:
        sim.stop()


def test_two_processes_and_their_lanes_share_the_connections(project, tmp_path):
    sim = scene.start(tmp_path, "--latency-ms", 60, members=20)
    try:
        project.environment.update(scene.environment(sim))
        rows = people(6000)
        scene.to_audience(project, sim, COLUMNS, rows, more=", max_connections: 3")
        config = project.folder / "dray.yaml"
        head, out = config.read_text().split("syncs:\n")
        other = out.replace("out:", "other:").replace("files, stream: people", "others, stream: others")
        config.write_text(f"{head}  others: {{plugin: file, path: others.csv}}\nsyncs:\n{out}{other}")
        (project.folder / "others.csv").write_text((project.folder / "people.csv").read_text().replace("@dray.test", "@other.test"))
        runs = [project.start("sync", name) for name in ("out", "other")]
        assert [run.wait(60) for run in runs] == [0, 0]
        told = sim.calls()
        assert told["in_flight_max"] == 3 and told["throttled"] == 0, told
        assert {email for email in scene.members(sim) if email.endswith(".test")} >= {row[0] for row in rows} | {
            row[0].replace("@dray", "@other") for row in rows}
    finally:
        sim.stop()


def test_looking_members_up_keeps_within_the_connections(project, tmp_path):
    sim = scene.start(tmp_path, "--latency-ms", 20, members=20)
    try:
        project.environment.update(scene.environment(sim))
        rows = [(f"P{n}@Dray.test", "Ada", "en", "false") for n in range(80)]
        scene.to_audience(project, sim, COLUMNS, rows, more=", max_connections: 3")
        project.sync("out")
        for row in rows[:40:2]:
            sim.change({"op": "archive", "email": row[0]})
        scene.write_rows(project, COLUMNS, rows[40:])
        run = project.sync("out")
        assert (run["deletes"], run["applied"], run["rejected"]) == (40, 40, 0), run
        assert sim.calls()["in_flight_max"] == 3 and sim.calls()["throttled"] == 0, sim.calls()
    finally:
        sim.stop()


def test_an_audience_that_is_not_there_is_named(account, sim):
    scene.to_audience(account, sim, COLUMNS, people(3), target="object: members")
    config = account.folder / "dray.yaml"
    config.write_text(config.read_text().replace(sim.hello["list_id"], "abcdef1234"))
    calls = scene.Calls(sim)
    result = account.dray("sync", "out", "--json").expect(4)
    assert "config_value" in result.errors() and "abcdef1234" in result.out + result.err and calls.writes() == {}, result
