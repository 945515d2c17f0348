# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Bad rows, suspicious reads, damaged state, a full disk, two runs at once, interruptions: one bad row is one row, and
nothing that was acknowledged is lost."""

import os
import signal

import pytest

import harness
import scene

TYPES = '{n: int64, amount: "decimal(6,2)", day: date, text: string}'


def csv_project(project, lines, mode="append", key="", types=TYPES):
    """rows.csv with these lines (bytes) behind its header, into the table `rows`."""
    project.write("rows.csv", b"n,amount,day,text\n" + b"".join(line + b"\n" for line in lines))
    project.config(f"""\
        connections:
          files: {{plugin: file, path: rows.csv, types: {types}}}
          wh: {{plugin: sqlite, path: warehouse.db}}
        syncs:
          rows: {{from: {{connection: files, stream: rows}}, to: {{connection: wh}}, mode: {mode}{key}}}
        """)


GOOD = [b"%d,%d.25,2024-02-%02d,good %d" % (n, n, n, n) for n in range(1, 21)]
BAD = {
    "short": (b"99,1.00,2024-01-01", "data_shape", "3 fields"),
    "long": (b"99,1.00,2024-01-01,x,y", "data_shape", "5 fields"),
    "field_of_10_MB": (b"99,1.00,2024-01-01," + b"x" * 10_000_000, "data_too_large", "10"),
    "not_utf8": (b"99,1.00,2024-01-01,caf\xe9", "data_utf8", ""),
    "nul": (b"99,1.00,2024-01-01,a\x00b", "data_utf8", "NUL"),
    "int64_overflow": (b"9223372036854775808,1.00,2024-01-01,x", "data_overflow", "9223372036854775808"),
    "decimal_too_long": (b"99,12345.67,2024-01-01,x", None, "12345.67"),
    "decimal_too_fine": (b"99,1.005,2024-01-01,x", "data_precision", "1.005"),
    "impossible_date": (b"99,1.00,2023-02-29,x", "data_date", "2023-02-29"),
    "no_number": (b"many,1.00,2024-01-01,x", "data_type", "many"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("mode", ["append", "mirror"])
def test_bad_record_is_one_rejected_row_with_its_line(project, name, mode):
    line, error, text = BAD[name]
    csv_project(project, GOOD[:7] + [line] + GOOD[7:], mode, ", key: n" if mode == "mirror" else "")
    run = project.sync("rows", code=3)
    assert (run["applied"], run["rejected"], run["unreadable"]) == (20, 1, 1)
    assert project.query("SELECT n, text FROM rows ORDER BY n") == [(n, f"good {n}") for n in range(1, 21)]
    (row,) = project.rows("rows")
    assert row["error"] == error or (error is None and row["error"] in ("data_overflow", "data_precision")), row
    assert "rows.csv line 9" in row["text"] and text in row["text"], row
    assert len(row["text"]) < 2000
    if mode == "mirror":  # it comes again until it is corrected
        assert project.sync("rows", code=3)["unreadable"] == 1
        assert len(project.rows("rows")) == 1
        project.write("rows.csv", b"n,amount,day,text\n" + b"".join(good + b"\n" for good in GOOD + [b"99,1.00,2024-01-01,ok"]))
        assert project.sync("rows")["applied"] == 1
        assert project.rows("rows") == []


def test_all_kinds_of_bad_records_at_once(project):
    lines = [item for pair in zip(GOOD, [bad for bad, _, _ in BAD.values()] + [None] * 20) for item in pair if item is not None]
    csv_project(project, lines)
    run = project.sync("rows", code=3)
    assert (run["applied"], run["rejected"]) == (20, len(BAD))
    assert len(project.rows("rows")) == len(BAD)


def test_unreadable_row_is_not_a_deleted_row(project):
    csv_project(project, GOOD, "mirror", ", key: n, guard: off")
    project.sync("rows")
    csv_project(project, GOOD[:9] + [b"ten,1.00,2024-01-01,x"] + GOOD[10:], "mirror", ", key: n, guard: off")
    run = project.dray("sync", "rows", "--json")
    assert run.code in (3, 7), run
    assert project.query("SELECT count(*) FROM rows WHERE n = 10") == [(1,)], "the row could not be read, and was deleted"


# ---- models ----


def test_model_without_its_key_column(project, receiver):
    scene.people_to_hook(project, receiver)
    config = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", config.replace("key: id}", "key: idd}"))
    result = project.dray("sync", "people").expect(4)
    assert set(result.errors()) & {"schema_key", "schema_column"} and '"idd"' in result.err, result
    assert receiver.ledger() == []


def test_model_with_null_keys(project, receiver):
    scene.people_to_hook(project, receiver)
    config = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", config.replace("SELECT id, name", "SELECT nullif(id, 5) AS id, name"))
    run = project.sync("people", code=3)
    assert (run["applied"], run["null_keys"], run["rejected"]) == (19, 1, 1)
    (row,) = project.rows("people")
    assert row["error"] == "data_key_null" and row["key"] == "id=null"
    assert sorted(row["id"] for row in receiver.state("people")) == [n for n in range(1, 21) if n != 5]


def test_model_with_duplicate_keys_sends_no_copy_and_reports_all(project, receiver):
    scene.people_to_hook(project, receiver)
    config = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", config.replace("SELECT id, name", "SELECT CASE id WHEN 4 THEN 3 ELSE id END AS id, name"))
    run = project.sync("people", code=3)
    assert (run["applied"], run["duplicate_keys"], run["duplicate_rows"]) == (18, 1, 2)
    assert [row["key"] for row in project.rows("people")] == ["id=3", "id=3"]
    assert sorted(row["id"] for row in receiver.state("people")) == [1, 2] + list(range(5, 21))


def test_key_that_becomes_duplicate_is_left_as_it_is(project, receiver):
    """What the receiver holds under a key that came twice is neither changed nor deleted."""
    scene.people_to_hook(project, receiver)
    project.sync("people")
    config = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", config.replace("FROM people", "FROM people UNION ALL SELECT 7, 'copy', 0"))
    before = len(receiver.ledger())
    run = project.sync("people", code=3)
    assert (run["inserts"], run["updates"], run["deletes"], run["duplicate_rows"]) == (0, 0, 0, 2)
    assert len(receiver.ledger()) == before
    assert scene.held(receiver) == scene.people(project)


# ---- the guard ----


def test_model_that_returns_nothing_stops_at_the_guard(project, receiver):
    scene.people_to_hook(project, receiver)
    project.sync("people")
    project.execute("DELETE FROM people")
    before = len(receiver.ledger())
    result = project.dray("sync", "people").expect(7)
    assert result.errors() == ["guard"] and "20" in result.err and "--allow-guard" in result.err
    assert len(receiver.ledger()) == before and len(receiver.state("people")) == 20
    plan = project.dray("plan", "people").expect(7)  # a plan says that the guard would stop it, and why
    assert "- 20 to remove" in plan.out and "    - id=1" in plan.out
    assert project.sync("people", "--allow-guard")["deletes"] == 20
    assert receiver.state("people") == []


def test_guard_on_the_share_of_deletes(project, receiver):
    scene.people_to_hook(project, receiver, 200, sync="guard: {deletes: 10%, min: 5}\n")
    project.sync("people")
    project.execute("DELETE FROM people WHERE id <= 20")  # 10 %: not more than allowed
    assert project.sync("people")["deletes"] == 20
    project.execute("DELETE FROM people WHERE id <= 45")  # 25 of 180
    before = len(receiver.ledger())
    result = project.dray("sync", "people").expect(7)
    assert "25 of 180" in result.err and len(receiver.ledger()) == before
    assert project.status("people")[0]["error"] == "guard"
    assert project.sync("people", "--allow-guard")["deletes"] == 25
    assert scene.held(receiver) == scene.people(project)


def test_empty_source_stops_before_the_table_is_emptied(project):
    for mode, more in (("mirror", ", key: n"), ("replace", "")):
        csv_project(project, GOOD, mode, more)
        project.sync("rows")
        csv_project(project, [], mode, more)
        result = project.dray("sync", "rows").expect(7)
        assert result.errors() == ["guard"]
        assert project.query("SELECT count(*) FROM rows") == [(20,)], mode
        project.execute("DROP TABLE rows; DELETE FROM _dray_state")
        project.dray("state", "reset", "rows", "--yes").expect(0)


# ---- the disk, the state, the mirror ----


@pytest.mark.parametrize("step", ["file.write", "file.sync", "mirror.commit", "store.commit"])
def test_disk_full_fails_the_run_and_the_next_one_repairs(project, receiver, step):
    scene.people_to_hook(project, receiver, 40, more="batch_rows: 10")
    failed = 0
    for number in range(1, 9):
        result = project.dray("sync", "people", "--json", env={"DRAY_FAULT": f"enospc:{step}:{number}"})
        if result.code != 0:
            assert result.code == 1 and "disk_full" in result.errors(), result
            failed += 1
        run = project.dray("sync", "people", "--json")
        assert run.code == 0, f"after {step}:{number}: {run}"
        assert scene.held(receiver) == scene.people(project), f"{step}:{number}"
        assert not project.left_behind()
        project.execute("UPDATE people SET score = score + 1")  # work for the next round
    assert failed > 0, f"no run passed {step}"


def test_disk_full_in_an_ingest(project):
    csv_project(project, GOOD, "mirror", ", key: n")
    failed = 0
    for number in range(1, 13):
        result = project.dray("sync", "rows", "--json", env={"DRAY_FAULT": f"enospc:file.write:{number}"})
        if result.code != 0:
            assert result.code == 1 and "disk_full" in result.errors(), result
            failed += 1
        project.sync("rows")
        wanted = [(int(row["n"]), row["text"]) for row in harness.read_csv(project.folder / "rows.csv")]
        assert project.query("SELECT n, text FROM rows ORDER BY n") == wanted, number
        text = (project.folder / "rows.csv").read_text().replace("good", "goood")  # every row differs in the next round
        project.write("rows.csv", text)
    assert failed > 0


def test_truncated_state_is_told_and_not_believed(project, receiver):
    scene.people_to_hook(project, receiver)
    project.sync("people")
    path = project.folder / ".dray" / "state.db"
    whole = path.read_bytes()
    before = len(receiver.ledger())
    for size in (len(whole) // 2, 4096, 100):
        path.write_bytes(whole[:size])
        result = project.dray("sync", "people").expect(1)
        assert "state_corrupt" in result.errors() and "state.db" in result.err, (size, result)
        assert "backup" in result.err or "reset" in result.err  # a way out
        assert len(receiver.ledger()) == before
    path.write_bytes(whole)
    assert project.sync("people")["sent"] == 0


def test_state_that_is_gone_is_not_an_empty_one(project, receiver):
    """The mirror is there and the state is not: nothing may be sent again without consent."""
    scene.people_to_hook(project, receiver)
    project.sync("people")
    before = len(receiver.ledger())
    for path in project.state_files():
        if path.name.startswith("state.db"):
            path.unlink()
    result = project.dray("sync", "people", "--json")
    assert len(receiver.ledger()) == before, result
    assert scene.held(receiver) == scene.people(project)


def mirror_files(project):
    return [path for path in project.state_files() if "mirror" in path.parts and path.stat().st_size > 0]


def test_flipped_byte_in_the_mirror_is_not_believed(project, receiver):
    scene.people_to_hook(project, receiver)
    project.sync("people")
    before = len(receiver.ledger())
    told = 0
    for path in mirror_files(project):
        whole = path.read_bytes()
        for at in {len(whole) // 2, len(whole) // 3}:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1:])
            result = project.dray("sync", "people")
            if result.code != 0:
                assert result.code == 1 and "mirror_corrupt" in result.errors(), (path, at, result)
                assert "baseline" in result.err or "reset" in result.err
                told += 1
                assert project.dray("state", "verify", "people").code == 1
            assert len(receiver.ledger()) == before, f"{path} at {at}: something was sent on the word of a damaged mirror"
            path.write_bytes(whole)
    assert told > 0
    assert project.sync("people")["sent"] == 0


def test_missing_mirror_is_not_an_empty_one(project, receiver):
    scene.people_to_hook(project, receiver)
    project.sync("people")
    before = len(receiver.ledger())
    for path in mirror_files(project):
        path.unlink()
    result = project.dray("sync", "people").expect(1)
    assert set(result.errors()) & {"mirror_missing", "mirror_corrupt"} and "baseline" in result.err
    assert len(receiver.ledger()) == before
    project.dray("state", "baseline", "people", "--yes").expect(0)
    assert project.sync("people")["sent"] == 0 and len(receiver.ledger()) == before


def test_lost_mirror_of_a_table_is_rebuilt_from_it(project):
    csv_project(project, GOOD, "mirror", ", key: n")
    project.sync("rows")
    for path in mirror_files(project):
        path.unlink()
    run = project.dray("sync", "rows", "--json")
    if run.code != 0:  # not by itself: then by the command that the message names
        assert set(run.errors()) & {"mirror_missing", "mirror_corrupt"} and "rebuild" in run.out + run.err, run
        project.dray("state", "rebuild", "rows", "--yes").expect(0)
    again = project.sync("rows")
    assert (again["inserts"], again["updates"], again["deletes"]) == (0, 0, 0)
    assert project.query("SELECT count(*) FROM rows") == [(20,)]


# ---- two at once, and interruptions ----


def slow_run(project, receiver):
    """A run that waits for its receiver."""
    scene.people_to_hook(project, receiver, 50, more="batch_rows: 10")
    receiver.faults({"kind": "hold", "nth": 2})
    process = project.start("sync", "people")
    harness.wait_until(lambda: receiver.holding() == 1, what="the second batch")
    return process


def let_go(receiver):
    """The receiver goes on with what it was given."""
    taken = len(receiver.ledger())
    receiver.faults()
    harness.wait_until(lambda: len(receiver.ledger()) > taken and receiver.holding() == 0, what="the second batch's end")


def test_second_run_of_a_sync_is_refused_and_names_the_first(project, receiver):
    process = slow_run(project, receiver)
    second = project.dray("sync", "people").expect(6)
    running = project.status("people")[0]
    assert second.errors() == ["locked"] and str(running["pid"]) in second.err, (running, second)
    receiver.faults()
    project.finish(process).expect(0)
    assert scene.held(receiver) == scene.people(project)
    assert project.sync("people")["sent"] == 0


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_ends_soon_and_the_next_goes_on(project, receiver, number, code):
    process = slow_run(project, receiver)
    os.kill(process.pid, number)
    result = project.finish(process)  # the receiver has not answered
    assert result.code == code, result
    assert project.status("people")[0]["error"] == "cancelled"
    let_go(receiver)
    project.sync("people")
    assert scene.held(receiver) == scene.people(project)
    applied = [row["key"]["id"] for row in receiver.applied()]
    assert len(applied) == len(set(applied)) == 50
    assert not project.left_behind()


def test_run_that_was_killed_with_its_watcher_is_shown_as_crashed(project, receiver):
    """As after a power cut: nobody was left to write down that the run ended."""
    process = slow_run(project, receiver)
    project.kill(process)
    let_go(receiver)
    project.sync("people")
    done, killed = project.status("people")
    assert done["state"] == "done"
    assert (killed["state"], killed["error"]) == ("crashed", "cancelled") and killed["ended_us"] > 0
    assert str(killed["pid"]) in killed["text"]
    assert scene.held(receiver) == scene.people(project)
    applied = [row["key"]["id"] for row in receiver.applied()]
    assert len(applied) == len(set(applied)) == 50
