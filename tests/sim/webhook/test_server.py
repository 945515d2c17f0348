# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The receiver is a judge in other tests, so it is judged itself here: over real sockets, as a program."""

import concurrent.futures
import hashlib
import hmac
import http.client
import json
import pathlib
import signal
import socket
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from server.faults import KINDS  # noqa: E402
from server.running import Running  # noqa: E402

SERVER = pathlib.Path(__file__).with_name("server.py")


class Receiver(Running):
    def stop(self, number=signal.SIGKILL):
        super().stop(number)

    def post(self, raw, content_type="application/json", connection=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", "/hook", raw, {"Content-Type": content_type, **headers}, connection)

    def send(self, rows, key=None, **more):
        """The answer to a batch."""
        return self.post(batch(rows), **({"Idempotency_Key": key} if key else {}), **more)

    def state(self, name="customers"):
        return super().state().get(name, [])


def batch(rows):
    return json.dumps({"object": "customers", "sync": "s", "batch_id": "b", "rows": rows})


@pytest.fixture
def start(tmp_path):
    running = []

    def make(*arguments, faults=()):
        running.append(Receiver(SERVER, "--faults", json.dumps(faults), *arguments, ledger=tmp_path / "ledger.ndjson"))
        return running[-1]

    yield make
    for one in running:
        one.stop()


def row(number, op="insert", **data):
    return {"op": op, "key": {"id": number}, "data": data} if op != "delete" else {"op": op, "key": {"id": number}}


def test_changes_become_rows_and_the_ledger_tells_how(start):
    receiver = start()
    reply = receiver.send([row(1, name="Ann", city="Oslo"), row(2, name="Bo")])
    assert reply.status == 200 and reply.json()["accepted"] == 2
    assert [result["status"] for result in reply.json()["results"]] == ["applied", "applied"]
    receiver.send([row(1, "update", name="Anna"), row(2, "delete"), row(3, name="Cy")])
    assert receiver.state() == [{"id": 1, "name": "Anna", "city": "Oslo"}, {"id": 3, "name": "Cy"}]
    ledger = receiver.ledger()
    assert [entry["number"] for entry in ledger] == [1, 2]
    assert [entry["applied"] for entry in ledger] == [[0, 1], [0, 1, 2]]
    assert ledger[1]["rows"][1] == {"op": "delete", "key": {"id": 2}}


def test_a_restarted_receiver_knows_what_it_knew(start):
    receiver = start()
    receiver.send([row(1, name="Ann")], "k1")
    receiver.stop()
    with open(receiver.ledger_path, "ab") as ledger:
        ledger.write(b'{"number": 2, "outcome": "appl')  # killed while it wrote
    receiver.launch()
    assert receiver.state() == [{"id": 1, "name": "Ann"}]
    assert receiver.send([row(1, name="Ann")], "k1").headers["idempotency-replayed"] == "true"
    assert [entry["outcome"] for entry in receiver.ledger()] == ["applied", "replay"]


def test_a_receiver_goes_on_after_all_that_a_ledger_may_hold(start):
    """Batches in part, replays, refusals, faults before and after the work, probes, bodies that never came."""
    receiver = start(faults=[{"kind": "reject_rows", "where": {"field": "id", "equals": 2}},
                             {"kind": "reset", "method": "POST", "nth": 2, "applied": True}, {"kind": "html", "method": "POST", "nth": 3}])
    first = receiver.send([row(1, name="Ann"), row(2, name="Bo")], "k1")
    with pytest.raises(ConnectionError):
        receiver.send([row(3, name="Cy")], "k2")
    receiver.send([row(4, name="Di")], "k3")
    receiver.send([row(1, "merge")], "k4")
    receiver.request("HEAD", "/hook")
    with socket.create_connection(("127.0.0.1", receiver.port)) as plain:
        plain.sendall(b"POST /hook HTTP/1.1\r\nContent-Length: 10\r\n\r\n{")
    while receiver.noted() < 6:
        time.sleep(0.01)
    held = receiver.state()
    assert held == [{"id": 1, "name": "Ann"}, {"id": 3, "name": "Cy"}]
    receiver.stop()
    receiver.launch()
    assert receiver.state() == held
    receiver.faults()
    again = [receiver.send([row(1, name="Ann"), row(2, name="Bo")], "k1"), receiver.send([row(3, name="Cy")], "k2")]
    assert again[0].json() == first.json() and [reply.headers["idempotency-replayed"] for reply in again] == ["true"] * 2
    assert receiver.send([row(4, name="Di")], "k3").json()["accepted"] == 1
    assert [(entry["outcome"].split(":")[0], entry["status"]) for entry in receiver.ledger()] == [
        ("applied", 200), ("applied, then fault", None), ("fault", 200), ("refused", 422), ("done", 405), ("cut", None),
        ("replay", 200), ("replay", 200), ("applied", 200)]


def test_what_was_answered_outlives_a_kill(start):
    receiver, answered = start(), []

    def client(first):
        connection = receiver.connect()
        for number in range(first, first + 10000):
            try:
                if receiver.send([row(number, a=1)], f"k{number}", connection=connection).status == 200:
                    answered.append(number)
            except (OSError, http.client.HTTPException):
                return

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, 10000 * number) for number in range(4)]
        while len(answered) < 50:
            time.sleep(0.01)
        receiver.stop()
    assert all(one.exception() is None for one in clients)
    receiver.launch()
    held = [one["id"] for one in receiver.state()]
    assert len(held) == len(set(held)) == receiver.noted() and set(answered) <= set(held)


def test_the_same_key_is_applied_once_and_another_body_under_it_is_refused(start):
    receiver = start()
    first = receiver.send([row(1, name="Ann")], "k1")
    receiver.send([row(1, "update", name="Bea")], "k2")
    again = receiver.send([row(1, name="Ann")], "k1")
    assert again.json() == first.json()
    assert receiver.state() == [{"id": 1, "name": "Bea"}]
    refused = receiver.send([row(2, name="Cy")], "k1")
    assert refused.status == 422 and refused.json()["error"]["code"] == "key_reused"


@pytest.mark.parametrize("rows,code", [
    ([], "empty"),
    ([{"op": "merge", "key": {"id": 1}, "data": {}}], "operation"),
    ([{"op": "insert", "key": {"id": 1}}], "data"),
    ([{"op": "insert", "key": {}, "data": {}}], "key"),
    ([{"op": "insert", "key": {"id": None}, "data": {}}], "key"),
    ([{"op": "insert", "key": {"id": 1}, "data": {}, "surplus": 1}], "row_shape"),
    ([{"op": "insert", "key": {"id": 1}, "data": {}}, {"op": "delete", "key": {"id": 1}}], "duplicate"),
])
def test_rows_outside_the_contract_are_refused_whole(start, rows, code):
    receiver = start()
    reply = receiver.send([row(7, name="good")] + rows if rows else rows)
    assert reply.status in (400, 422) and reply.json()["error"]["code"] == code
    assert receiver.state() == []
    line = receiver.ledger()[-1]
    assert (line["outcome"], line["status"], line["error"]["code"]) == ("refused", reply.status, code)


@pytest.mark.parametrize("body,content_type,status,code", [
    ("{", "application/json", 400, "not_json"),
    ('{"a": NaN}', "application/json", 400, "not_json"),
    ('{"rows": [], "rows": []}', "application/json", 400, "not_json"),
    ("{}", "text/plain", 415, "content_type"),
    ('{"rows": []}', "application/json", 400, "shape"),
])
def test_bodies_outside_the_contract_are_refused(start, body, content_type, status, code):
    receiver = start()
    reply = receiver.post(body, content_type)
    assert reply.status == status and reply.json()["error"]["code"] == code


def test_what_has_no_length_or_too_much_is_refused(start):
    receiver = start("--rows-max", "1")
    for head, status in ((b"", 411), (b"Content-Length: 99999999999\r\n", 413)):
        with socket.create_connection(("127.0.0.1", receiver.port)) as plain:
            plain.sendall(b"POST /hook HTTP/1.1\r\nContent-Type: application/json\r\n" + head + b"Connection: close\r\n\r\n")
            assert plain.makefile("rb").readline().split()[1] == str(status).encode()
    assert receiver.send([row(1, a=1), row(2, a=1)]).json()["error"]["code"] == "too_many_rows"
    assert [entry["status"] for entry in receiver.ledger()] == [411, 413, 413] and receiver.state() == []


def test_only_batches_are_taken(start):
    receiver = start()
    probe = receiver.request("HEAD", "/hook")
    assert (probe.status, probe.headers["allow"], probe.raw) == (405, "PATCH, POST, PUT", b"")
    assert receiver.request("GET", "/hook").status == 405
    for number, method in enumerate(("PUT", "PATCH")):
        assert receiver.request(method, "/hook?from=dray", batch([row(number, a=1)]), {"Content-Type": "application/json"}).status == 200
    assert len(receiver.state()) == 2


def test_signature_bearer_and_key_are_demanded(start):
    receiver = start("--require-hmac", "s3cret", "--require-bearer", "tok", "--require-key")
    body = batch([row(1, a=1)]).encode()

    def post(signed_at, secret=b"s3cret", bearer="Bearer tok", key="k"):
        signature = hmac.new(secret, str(signed_at).encode() + b"." + body, hashlib.sha256).hexdigest()
        more = {"Idempotency_Key": key} if key else {}
        return receiver.post(body, X_Dray_Timestamp=str(signed_at), Authorization=bearer,
                             X_Dray_Signature="sha256=" + signature, **more).status

    now = int(time.time())
    assert post(now, bearer="Bearer no") == 401
    assert post(now, secret=b"other") == 401
    assert post(now - 1000) == 401
    assert post(now, key=None) == 400
    assert post(now) == 200
    text = receiver.ledger_path.read_text()
    assert "s3cret" not in text and "tok" not in text.replace("token", "")


def test_fault_status_with_retry_after_passes_after_its_times(start):
    receiver = start(faults=[{"kind": "throttle", "retry_after": 2, "count": 2}])
    first = receiver.send([row(1, a=1)])
    assert first.status == 429 and first.headers["retry-after"] == "2"
    assert receiver.send([row(1, a=1)]).status == 429
    assert receiver.send([row(1, a=1)]).status == 200
    receiver.fault({"kind": "status", "status": 503, "retry_after": {"date": 30}})
    assert receiver.send([row(2, a=1)]).headers["retry-after"].endswith("GMT")
    assert len(receiver.state()) == 1


def test_fault_html_applies_nothing(start):
    receiver = start(faults=[{"kind": "html"}])
    reply = receiver.post("{}")
    assert reply.status == 200 and reply.headers["content-type"].startswith("text/html") and b"sign in" in reply.raw
    assert receiver.ledger()[0]["outcome"] == "fault: html" and receiver.state() == []


@pytest.mark.parametrize("applied", [False, True])
def test_fault_reset_happens_after_the_body_and_says_whether_it_was_applied(start, applied):
    receiver = start(faults=[{"kind": "reset", "applied": applied}])
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        receiver.send([row(1, a=1)], "k")
    assert receiver.state() == ([{"id": 1, "a": 1}] if applied else [])
    receiver.send([row(1, a=1)], "k")
    assert [e["outcome"] for e in receiver.ledger()] == (
        ["applied, then fault: reset", "replay"] if applied else ["fault: reset", "applied"])
    assert receiver.state() == [{"id": 1, "a": 1}]


def test_fault_cut_announces_more_than_it_sends(start):
    receiver = start(faults=[{"kind": "cut"}])
    with pytest.raises(http.client.IncompleteRead):
        receiver.send([row(1, a=1)])
    assert receiver.state() == [{"id": 1, "a": 1}]


def test_fault_reject_rows_refuses_only_the_matching_ones(start):
    receiver = start(faults=[{"kind": "reject_rows", "count": -1, "where": {"field": "country", "equals": "France"},
                              "message": "not there"}])
    answer = receiver.send([row(1, country="France"), row(2, country="Norway")]).json()
    assert [result["status"] for result in answer["results"]] == ["rejected", "applied"]
    assert answer["results"][0]["error"]["message"] == "not there"
    assert [one["id"] for one in receiver.state()] == [2]
    assert receiver.ledger()[0]["rejected"] == [0]


def test_fault_refuse_batch_refuses_all_because_of_one(start):
    receiver = start(faults=[{"kind": "refuse_batch", "count": -1, "where": {"key": {"id": 2}}}])
    refused = receiver.send([row(1, a=1), row(2, a=1)])
    assert refused.status == 400 and refused.json()["error"]["index"] == 1
    assert receiver.send([row(1, a=1)]).status == 200
    assert [one["id"] for one in receiver.state()] == [1]


def test_fault_slow(start):
    receiver = start(faults=[{"kind": "slow", "seconds": 0.3}])
    began = time.monotonic()
    assert receiver.send([row(1, a=1)]).status == 200
    assert time.monotonic() - began >= 0.3


def test_fault_hold_and_a_second_request_under_the_key_meets_a_conflict(start):
    receiver = start(faults=[{"kind": "hold"}])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(receiver.send, [row(1, a=1)], "k")
        while receiver.holding() == 0:
            time.sleep(0.02)
        assert receiver.send([row(1, a=1)], "k").status == 409
        receiver.faults()
        assert waiting.result().status == 200
    assert [(entry["status"], entry["outcome"]) for entry in receiver.ledger()] == [(409, "refused early"), (200, "applied")]


def test_strict_operations_tell_existing_from_missing_rows(start):
    receiver = start("--strict-operations")
    receiver.send([row(1, a=1)])
    answer = receiver.send([row(1, a=2), row(2, "update", a=1), row(3, "delete")]).json()
    assert [result["error"]["code"] for result in answer["results"]] == ["exists", "missing", "missing"]
    assert receiver.state() == [{"id": 1, "a": 1}]


def test_unknown_faults_are_refused(start):
    receiver = start()
    assert receiver.request("POST", "/_sim/faults", [{"kind": "flood"}]).status == 400


def test_fault_not_json_and_drop_results_break_the_answer_only(start):
    receiver = start(faults=[{"kind": "not_json", "applied": True}, {"kind": "drop_results"}])
    with pytest.raises(ValueError):
        receiver.send([row(1, a=1)]).json()
    assert len(receiver.state()) == 1
    receiver.fault({"kind": "drop_results"})
    answer = receiver.send([row(1, a=1), row(2, a=1)]).json()
    assert answer["accepted"] == 2 and len(answer["results"]) == 1


MORE = {"status": {"status": 502}, "html": {"status": 203}, "slow": {"seconds": 0}, "stall": {"seconds": 0}, "empty": {"status": 202},
        "mangle": {"find": "applied", "replace": "?"}, "refuse_batch": {"status": 422}}
STATUS = {"status": 502, "throttle": 429, "html": 203, "empty": 202, "reset": None, "stall": None, "refuse_batch": 422}
OWN = ["reject_rows", "refuse_batch", "drop_results"]


@pytest.mark.parametrize("kind", sorted(KINDS - {"hold", "connect_reset"}) + OWN)
@pytest.mark.parametrize("applied", [False, True])
def test_the_ledger_has_the_status_that_was_answered(start, kind, applied):
    receiver = start(faults=[{"kind": kind, **MORE.get(kind, {}), **({} if kind in OWN else {"applied": applied})}])
    connection = receiver.connect()
    connection.request("POST", "/hook", batch([row(1, a=1)]), {"Content-Type": "application/json"})
    if STATUS.get(kind, 200) is None:
        with pytest.raises(ConnectionError):
            connection.getresponse()
        status = None
    else:
        status = connection.getresponse().status
    connection.close()
    assert status == STATUS.get(kind, 200)
    (line,) = receiver.ledger()
    assert line["status"] == status
    assert len(receiver.state()) == len(line["applied"])
