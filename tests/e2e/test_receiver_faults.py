# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A receiver that misbehaves: nothing is lost, nothing is sent that need not be, and the operator is told the truth."""

import time

import pytest

import harness
import scene


def everything_arrived_once(project, receiver, changes):
    """The receiver holds the model, and applied each change once."""
    assert scene.held(receiver) == scene.people(project)
    applied = [(row["op"], row["key"]["id"]) for row in receiver.applied()]
    assert len(applied) == len(set(applied)) == changes
    assert project.rows("people") == []
    again = project.sync("people")
    assert (again["sent"], again["applied"], again["recovered_batches"]) == (0, 0, 0)


def test_throttled_with_retry_after_waits_and_marks_no_row(project, receiver):
    scene.people_to_hook(project, receiver)
    receiver.faults({"kind": "throttle", "retry_after": 1, "count": 2})
    start = time.monotonic()
    run = project.sync("people")
    assert time.monotonic() - start >= 2, "it did not wait as long as it was asked to"
    assert (run["applied"], run["rejected"], run["refused"], run["in_doubt"]) == (20, 0, 0, 0)
    assert [entry["status"] for entry in receiver.ledger()] == [429, 429, 200]
    everything_arrived_once(project, receiver, 20)


def test_batches_side_by_side(project, receiver):
    scene.people_to_hook(project, receiver, 200, more="batch_rows: 10\nparallel: 4")
    receiver.faults({"kind": "hold"})
    process = project.start("sync", "people", "--json")
    harness.wait_until(lambda: len(receiver.ledger()) == 19, what="the others' going on beside the one that is held")
    harness.wait_until(lambda: receiver.holding() == 1, what="the one that is held")
    receiver.faults()
    run = project.finish(process).expect(0).line("run")
    assert (run["sent"], run["applied"], run["rejected"]) == (200, 200, 0)
    everything_arrived_once(project, receiver, 200)


def test_run_that_ends_in_one_lane_keeps_what_the_others_brought(project, receiver):
    scene.people_to_hook(project, receiver, 100, more="batch_rows: 10\nparallel: 4")
    receiver.faults({"kind": "status", "status": 404, "nth": 4})
    run = project.dray("sync", "people", "--json").expect(1)
    assert "404" in run.out, run
    assert 30 <= len(receiver.applied()) < 100, "the run went on, or the others did not end their batch"
    receiver.faults()
    project.sync("people")
    everything_arrived_once(project, receiver, 100)


def test_throttled_until_a_date(project, receiver):
    scene.people_to_hook(project, receiver)
    receiver.faults({"kind": "throttle", "retry_after": {"date": 2}})
    start = time.monotonic()
    assert project.sync("people")["applied"] == 20
    assert time.monotonic() - start >= 0.9  # dates count whole seconds
    everything_arrived_once(project, receiver, 20)


@pytest.mark.parametrize("status", [500, 502, 503, 408])
def test_server_error_three_times(project, receiver, status):
    scene.people_to_hook(project, receiver)
    receiver.faults({"kind": "status", "status": status, "count": 3})
    run = project.sync("people")
    assert (run["applied"], run["rejected"]) == (20, 0)
    assert [entry["status"] for entry in receiver.ledger()] == [status] * 3 + [200]
    assert len({entry["headers"]["idempotency-key"] for entry in receiver.ledger()}) == 1
    everything_arrived_once(project, receiver, 20)


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not_applied"])
@pytest.mark.parametrize("kind, status", [("html", 200), ("reset", None), ("not_json", 200), ("cut", 200), ("status", 500)])
def test_answer_that_says_nothing_is_resent_under_its_key(project, receiver, kind, status, applied):
    scene.people_to_hook(project, receiver, 30, more="batch_rows: 10")
    receiver.faults({"kind": kind, "applied": applied, "nth": 2, **({"status": status} if kind == "status" else {})})
    run = project.sync("people")
    assert (run["applied"], run["rejected"], run["in_doubt"]) == (30, 0, 0)
    entries = receiver.ledger()
    assert [entry["status"] for entry in entries] == [200, status, 200, 200]
    assert entries[1]["headers"]["idempotency-key"] == entries[2]["headers"]["idempotency-key"]
    assert entries[2]["outcome"] == ("replay" if applied else "applied")
    everything_arrived_once(project, receiver, 30)


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not_applied"])
def test_doubt_that_outlives_the_run_is_settled_by_the_next(project, receiver, applied):
    """The connection closes at every attempt: what became of the batch is not known when the run ends."""
    scene.people_to_hook(project, receiver, 30, more="batch_rows: 10")
    receiver.faults({"kind": "reset", "applied": applied, "count": -1})
    result = project.dray("sync", "people", "--json")
    assert result.code in (1, 3), result
    keys = {entry["headers"]["idempotency-key"] for entry in receiver.ledger()}
    receiver.faults()
    before = len(receiver.ledger())
    run = project.sync("people")
    assert run["recovered_batches"] >= 1
    repeated = [entry for entry in receiver.requests(before) if entry["headers"]["idempotency-key"] in keys]
    assert len(repeated) == len(keys)
    assert {entry["outcome"] for entry in repeated} == {"replay" if applied else "applied"}
    everything_arrived_once(project, receiver, 30)


def test_receiver_that_is_down_fails_the_run_and_loses_nothing(project, receiver):
    scene.people_to_hook(project, receiver)
    receiver.stop()
    result = project.dray("sync", "people").expect(1)
    assert "net_connect" in result.errors() and "127.0.0.1" in result.err
    assert project.status("people")[0]["state"] == "failed"
    receiver.launch()
    assert project.sync("people")["applied"] == 20
    everything_arrived_once(project, receiver, 20)


def test_receiver_that_goes_down_between_batches(project, receiver):
    scene.people_to_hook(project, receiver, 50, more="batch_rows: 10")
    receiver.faults({"kind": "status", "status": 404, "nth": 3, "count": -1})  # 404: the run stops at once
    result = project.dray("sync", "people", "--json").expect(1)
    assert result.line("run")["applied"] == 20
    receiver.faults()
    run = project.sync("people")
    assert (run["inserts"], run["applied"], run["unchanged"]) == (30, 30, 20)
    everything_arrived_once(project, receiver, 50)


def test_wrong_credentials_stop_the_run(project, receiver):
    scene.people_to_hook(project, receiver)
    result = project.dray("sync", "people", env={"HOOK_BEARER": "not-the-right-token"}).expect(5)
    assert "auth_rejected" in result.errors() and "not-the-right-token" not in result.err + result.out
    assert receiver.state("people") == [] and project.rows("people") == []
    assert project.sync("people")["applied"] == 20


# ---- rows ----


def thousand(project, receiver, sync=""):
    scene.people_to_hook(project, receiver, 1000, more="batch_rows: 1000", sync=sync)


def test_one_row_of_a_thousand_is_rejected_comes_again_and_is_parked(project, receiver):
    thousand(project, receiver, sync="attempts: 3\n")
    receiver.faults({"kind": "reject_rows", "where": {"field": "id", "equals": 500}, "message": "no such country",
                     "count": -1})
    run = project.sync("people", code=3)
    assert (run["applied"], run["refused"], run["rejected"], run["parked"]) == (999, 1, 1, 0)
    assert len(receiver.ledger()) == 1 and len(receiver.state("people")) == 999
    (row,) = project.rows("people")
    assert (row["key"], row["error"], row["attempts"], row["parked"]) == ("id=500", "data_rejected", 1, False)
    assert "no such country" in row["text"]
    assert "no such country" in project.dray("rows", "people").expect(0).out

    for attempt in (2, 3):  # it comes again, alone
        before = len(receiver.ledger())
        run = project.sync("people", code=3)
        assert (run["sent"], run["applied"], run["refused"]) == (1, 0, 1)
        assert [row["key"]["id"] for row in receiver.sent(before)] == [500]
        assert project.rows("people")[0]["attempts"] == attempt
    assert project.rows("people")[0]["parked"] is True

    before = len(receiver.ledger())  # parked: not sent any more, not forgotten
    run = project.sync("people", code=3)
    assert (run["sent"], run["parked"]) == (0, 1)
    assert len(receiver.ledger()) == before and len(project.rows("people")) == 1

    receiver.faults()
    project.dray("rows", "retry", "people").expect(0)
    run = project.sync("people")
    assert (run["applied"], run["parked"]) == (1, 0)
    everything_arrived_once(project, receiver, 1000)


def test_parked_row_that_is_corrected_is_sent_and_cleared(project, receiver):
    thousand(project, receiver, sync="attempts: 1\n")
    receiver.faults({"kind": "reject_rows", "where": {"field": "name", "equals": "name 7"}, "count": -1})
    assert project.sync("people", code=3)["refused"] == 1
    assert project.rows("people")[0]["parked"] is True
    project.execute("UPDATE people SET name = 'a better name' WHERE id = 7")
    before = len(receiver.ledger())
    assert project.sync("people")["applied"] == 1
    assert [row["key"]["id"] for row in receiver.sent(before)] == [7]
    everything_arrived_once(project, receiver, 1000)


@pytest.mark.parametrize("status", [400, 422])
def test_batch_refused_for_one_row_is_halved_until_it_is_alone(project, receiver, status):
    thousand(project, receiver)
    receiver.faults({"kind": "refuse_batch", "where": {"key": {"id": 777}}, "status": status, "count": -1,
                     "message": "the name is not allowed"})
    run = project.sync("people", code=3)
    assert (run["applied"], run["refused"], run["rejected"]) == (999, 1, 1)
    held = {row["id"] for row in receiver.state("people")}
    assert held == set(range(1, 1001)) - {777}
    (row,) = project.rows("people")
    assert row["key"] == "id=777" and "the name is not allowed" in row["text"]
    assert len(receiver.ledger()) <= 21, "halving a thousand rows takes ten steps, two requests each"
    receiver.faults()
    assert project.sync("people")["applied"] == 1
    everything_arrived_once(project, receiver, 1000)


def test_rows_that_are_put_off_are_sent_again_in_the_same_run(project, receiver):
    scene.people_to_hook(project, receiver, results="{path: results, index: index, status: status, error: error.message, "
                                                    "retry: [later]}")
    receiver.faults({"kind": "reject_rows", "where": {"field": "id", "equals": 3}, "as": "later"})
    run = project.sync("people")
    assert (run["applied"], run["rejected"]) == (20, 0)
    everything_arrived_once(project, receiver, 20)


def test_row_that_never_gets_a_result_is_shown_and_can_be_resolved(project, receiver):
    """The receiver gives the same short answer to every repetition under the key: asking again does not help."""
    scene.people_to_hook(project, receiver)
    receiver.faults({"kind": "drop_results"})
    run = project.sync("people", code=3)
    assert (run["applied"], run["in_doubt"]) == (19, 1)
    assert len(receiver.state("people")) == 20
    (row,) = project.rows("people")
    assert row["error"] == "state_in_doubt"
    project.dray("rows", "resolve", "people", "--applied").expect(0)
    before = len(receiver.ledger())
    assert project.sync("people")["sent"] == 0
    assert len(receiver.ledger()) == before
    everything_arrived_once(project, receiver, 20)


def test_row_that_never_gets_a_result_can_be_sent_again(project, receiver):
    """Sent again by an operator's word, it goes in another batch: the old key stays with the old body."""
    scene.people_to_hook(project, receiver)
    receiver.faults({"kind": "drop_results"})
    project.sync("people", code=3)
    project.dray("rows", "resolve", "people", "--resend").expect(0)
    run = project.sync("people")
    assert run["sent"] == 1
    keys = [entry["headers"]["idempotency-key"] for entry in receiver.ledger()]
    assert keys[-1] != keys[0]
    assert scene.held(receiver) == scene.people(project) and project.rows("people") == []


def test_rejected_delete_is_tried_again(project, receiver):
    scene.people_to_hook(project, receiver)
    project.sync("people")
    project.execute("DELETE FROM people WHERE id = 4")
    receiver.faults({"kind": "reject_rows", "where": {"op": "delete"}, "message": "still has orders"})
    run = project.sync("people", code=3)
    assert (run["deletes"], run["applied"], run["refused"]) == (1, 0, 1)
    assert "still has orders" in project.rows("people")[0]["text"]
    run = project.sync("people")
    assert (run["deletes"], run["applied"]) == (1, 1)
    assert scene.held(receiver) == scene.people(project) and project.rows("people") == []


# ---- doubt that only an operator can resolve ----


def doubtful(project, receiver, applied):
    scene.people_to_hook(project, receiver, 30, more="batch_rows: 10\ndoubt: none")
    receiver.faults({"kind": "reset", "applied": applied, "nth": 2})
    run = project.sync("people", code=3)
    assert (run["applied"], run["in_doubt"]) == (20, 10)
    assert len(receiver.ledger()) == 3, "a batch in doubt is not repeated"
    rows = project.rows("people")
    assert len(rows) == 10 and {row["error"] for row in rows} == {"state_in_doubt"}
    before = len(receiver.ledger())
    still = project.sync("people", code=3)
    assert len(receiver.ledger()) == before and still["applied"] == 0
    return {int(row["key"].split("=")[1]) for row in rows}


def test_doubt_resolved_as_applied_sends_nothing(project, receiver):
    doubtful(project, receiver, applied=True)
    project.dray("rows", "resolve", "people", "--applied").expect(0)
    before = len(receiver.ledger())
    project.sync("people")
    assert len(receiver.ledger()) == before
    everything_arrived_once(project, receiver, 30)


def test_doubt_resolved_by_resending(project, receiver):
    rows = doubtful(project, receiver, applied=False)
    project.dray("rows", "resolve", "people", "--resend").expect(0)
    before = len(receiver.ledger())
    assert project.sync("people")["applied"] == 10
    assert {row["key"]["id"] for row in receiver.sent(before)} == rows
    everything_arrived_once(project, receiver, 30)


def test_resolve_wants_to_know_which(project, receiver):
    doubtful(project, receiver, applied=False)
    result = project.dray("rows", "resolve", "people").expect(4)
    assert "--applied" in result.err and "--resend" in result.err
    assert len(project.rows("people")) == 10


def test_secrets_are_in_no_argument_list(project, receiver):
    scene.people_to_hook(project, receiver)
    receiver.faults({"kind": "hold"})
    process = project.start("sync", "people")
    harness.wait_until(lambda: receiver.holding() == 1, what="a run")
    seen = 0
    for name in harness.pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = name.read_bytes()
        except OSError:
            continue
        if str(project.folder).encode() in line and b"server.py" not in line:
            seen += 1
            harness.assert_no_canary(line.decode("latin-1"), str(name))
    receiver.faults()
    project.finish(process).expect(0)
    assert seen >= 1
