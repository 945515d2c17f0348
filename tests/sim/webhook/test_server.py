# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The receiver is a judge in other tests, so it is judged itself here: over real sockets, as a program."""

import hashlib
import hmac
import http.client
import json
import pathlib
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from server.ledger import entries  # noqa: E402

SERVER = pathlib.Path(__file__).with_name("server.py")


class Running:
    def __init__(self, ledger, *arguments):
        self.ledger_path = ledger
        self.process = subprocess.Popen([sys.executable, str(SERVER), "--ledger", str(ledger), *arguments],
                                        stdout=subprocess.PIPE)
        self.port = json.loads(self.process.stdout.readline())["port"]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def send(self, rows, headers=None, **changes):
        body = {"object": "customers", "sync": "s", "batch_id": "b", "rows": rows, **changes}
        status, answered, raw = self.request("POST", "/hook", json.dumps(body),
                                             {"Content-Type": "application/json", **(headers or {})})
        return status, json.loads(raw), answered

    def control(self, **order):
        status, _, raw = self.request("POST", "/_control", json.dumps(order))
        assert status == 200, raw

    def state(self, name="customers"):
        return json.loads(self.request("GET", "/_state")[2]).get(name, [])

    def ledger(self):
        return entries(self.ledger_path)


@pytest.fixture
def start(tmp_path):
    running = []

    def make(*arguments, ledger="ledger.ndjson"):
        running.append(Running(tmp_path / ledger, *arguments))
        return running[-1]

    yield make
    for one in running:
        one.stop()


def row(number, op="insert", **data):
    return {"op": op, "key": {"id": number}, "data": data} if op != "delete" else {"op": op, "key": {"id": number}}


def test_changes_become_rows_and_the_ledger_tells_how(start):
    receiver = start()
    status, answer, _ = receiver.send([row(1, name="Ann", city="Oslo"), row(2, name="Bo")])
    assert status == 200 and answer["accepted"] == 2
    assert [result["status"] for result in answer["results"]] == ["applied", "applied"]
    receiver.send([row(1, "update", name="Anna"), row(2, "delete"), row(3, name="Cy")])
    assert receiver.state() == [{"id": 1, "name": "Anna", "city": "Oslo"}, {"id": 3, "name": "Cy"}]
    ledger = receiver.ledger()
    assert [entry["number"] for entry in ledger] == [1, 2]
    assert [entry["applied"] for entry in ledger] == [[0, 1], [0, 1, 2]]
    assert ledger[1]["rows"][1] == {"op": "delete", "key": {"id": 2}}


def test_a_restarted_receiver_knows_what_it_knew(start):
    receiver = start()
    receiver.send([row(1, name="Ann")], {"Idempotency-Key": "k1"})
    receiver.stop()
    with open(receiver.ledger_path, "ab") as ledger:
        ledger.write(b'{"number": 2, "outcome": "appl')  # killed while it wrote
    again = start()
    assert again.state() == [{"id": 1, "name": "Ann"}]
    _, _, headers = again.send([row(1, name="Ann")], {"Idempotency-Key": "k1"})
    assert headers["Idempotency-Replayed"] == "true"
    assert [entry["outcome"] for entry in again.ledger()] == ["applied", "replay"]


def test_the_same_key_is_applied_once_and_another_body_under_it_is_refused(start):
    receiver = start()
    first = receiver.send([row(1, name="Ann")], {"Idempotency-Key": "k1"})
    receiver.send([row(1, "update", name="Bea")], {"Idempotency-Key": "k2"})
    again = receiver.send([row(1, name="Ann")], {"Idempotency-Key": "k1"})
    assert again[1] == first[1]
    assert receiver.state() == [{"id": 1, "name": "Bea"}]
    status, answer, _ = receiver.send([row(2, name="Cy")], {"Idempotency-Key": "k1"})
    assert status == 422 and answer["error"]["code"] == "key_reused"


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
    status, answer, _ = receiver.send([row(7, name="good")] + rows if rows else rows)
    assert status in (400, 422) and answer["error"]["code"] == code
    assert receiver.state() == []
    assert receiver.ledger()[-1]["outcome"] == "refused"


@pytest.mark.parametrize("body,content_type,status,code", [
    ("{", "application/json", 400, "not_json"),
    ('{"a": NaN}', "application/json", 400, "not_json"),
    ('{"rows": [], "rows": []}', "application/json", 400, "not_json"),
    ("{}", "text/plain", 415, "content_type"),
    ('{"rows": []}', "application/json", 400, "shape"),
])
def test_bodies_outside_the_contract_are_refused(start, body, content_type, status, code):
    receiver = start()
    answer = receiver.request("POST", "/hook", body, {"Content-Type": content_type})
    assert answer[0] == status and json.loads(answer[2])["error"]["code"] == code


def test_signature_bearer_and_key_are_demanded(start):
    receiver = start("--require-hmac", "s3cret", "--require-bearer", "tok", "--require-key")
    body = json.dumps({"object": "o", "sync": "s", "batch_id": "b", "rows": [row(1, a=1)]}).encode()

    def post(signed_at, secret=b"s3cret", bearer="Bearer tok", key="k"):
        signature = hmac.new(secret, str(signed_at).encode() + b"." + body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Dray-Timestamp": str(signed_at), "Authorization": bearer,
                   "X-Dray-Signature": "sha256=" + signature}
        if key:
            headers["Idempotency-Key"] = key
        return receiver.request("POST", "/hook", body, headers)[0]

    now = int(time.time())
    assert post(now, bearer="Bearer no") == 401
    assert post(now, secret=b"other") == 401
    assert post(now - 1000) == 401
    assert post(now, key=None) == 400
    assert post(now) == 200
    text = receiver.ledger_path.read_text()
    assert "s3cret" not in text and "tok" not in text.replace("token", "")


def test_fault_status_with_retry_after_passes_after_its_times(start):
    receiver = start("--faults", json.dumps([{"kind": "status", "status": 429, "retry_after": 2, "times": 2}]))
    first = receiver.send([row(1, a=1)])
    assert first[0] == 429 and first[2]["Retry-After"] == "2"
    assert receiver.send([row(1, a=1)])[0] == 429
    assert receiver.send([row(1, a=1)])[0] == 200
    receiver.control(faults=[{"kind": "status", "status": 503, "retry_after": {"date": 30}}])
    assert receiver.send([row(2, a=1)])[2]["Retry-After"].endswith("GMT")
    assert len(receiver.state()) == 1


def test_fault_html_applies_nothing(start):
    receiver = start("--faults", '[{"kind": "html"}]')
    status, headers, raw = receiver.request("POST", "/hook", "{}", {"Content-Type": "application/json"})
    assert status == 200 and headers["Content-Type"].startswith("text/html") and b"sign in" in raw
    assert receiver.ledger()[0]["outcome"] == "fault:html" and receiver.state() == []


@pytest.mark.parametrize("applied", [False, True])
def test_fault_close_happens_after_the_body_and_says_whether_it_was_applied(start, applied):
    receiver = start("--faults", json.dumps([{"kind": "close", "applied": applied}]))
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        receiver.send([row(1, a=1)], {"Idempotency-Key": "k"})
    assert receiver.state() == ([{"id": 1, "a": 1}] if applied else [])
    receiver.send([row(1, a=1)], {"Idempotency-Key": "k"})
    assert [e["outcome"] for e in receiver.ledger()] == (
        ["applied, then fault:close", "replay"] if applied else ["fault:close", "applied"])
    assert receiver.state() == [{"id": 1, "a": 1}]


def test_fault_cut_answer_announces_more_than_it_sends(start):
    receiver = start("--faults", '[{"kind": "cut_answer", "applied": true}]')
    with pytest.raises(http.client.IncompleteRead):
        receiver.send([row(1, a=1)])
    assert receiver.state() == [{"id": 1, "a": 1}]


def test_fault_reject_rows_refuses_only_the_matching_ones(start):
    receiver = start("--faults", json.dumps([
        {"kind": "reject_rows", "times": -1, "where": {"field": "country", "equals": "France"}, "message": "not there"}]))
    _, answer, _ = receiver.send([row(1, country="France"), row(2, country="Norway")])
    assert [result["status"] for result in answer["results"]] == ["rejected", "applied"]
    assert answer["results"][0]["error"]["message"] == "not there"
    assert [one["id"] for one in receiver.state()] == [2]
    assert receiver.ledger()[0]["rejected"] == [0]


def test_fault_refuse_batch_refuses_all_because_of_one(start):
    receiver = start("--faults", json.dumps([{"kind": "refuse_batch", "times": -1, "where": {"key": {"id": 2}}}]))
    status, answer, _ = receiver.send([row(1, a=1), row(2, a=1)])
    assert status == 400 and answer["error"]["index"] == 1
    assert receiver.send([row(1, a=1)])[0] == 200
    assert [one["id"] for one in receiver.state()] == [1]


def test_fault_slow(start):
    receiver = start("--faults", '[{"kind": "slow", "seconds": 0.3}]')
    began = time.monotonic()
    assert receiver.send([row(1, a=1)])[0] == 200
    assert time.monotonic() - began >= 0.3


def test_fault_hold_and_a_second_request_under_the_key_meets_a_conflict(start):
    receiver = start("--faults", '[{"kind": "hold"}]')
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=600)
    body = json.dumps({"object": "o", "sync": "s", "batch_id": "b", "rows": [row(1, a=1)]})
    connection.request("POST", "/hook", body, {"Content-Type": "application/json", "Idempotency-Key": "k"})
    while json.loads(receiver.request("GET", "/_control")[2])["holding"] == 0:
        time.sleep(0.02)
    assert receiver.send([row(1, a=1)], {"Idempotency-Key": "k"})[0] == 409
    assert receiver.request("POST", "/_control", '{"clear": true}')[0] == 200
    assert connection.getresponse().status == 200
    connection.close()


def test_strict_operations_tell_existing_from_missing_rows(start):
    receiver = start("--strict-operations")
    receiver.send([row(1, a=1)])
    _, answer, _ = receiver.send([row(1, a=2), row(2, "update", a=1), row(3, "delete")])
    assert [result["error"]["code"] for result in answer["results"]] == ["exists", "missing", "missing"]
    assert receiver.state() == [{"id": 1, "a": 1}]


def test_unknown_faults_are_refused(start):
    receiver = start()
    assert receiver.request("POST", "/_control", '{"faults": [{"kind": "flood"}]}')[0] == 400


def test_fault_not_json_and_drop_results_break_the_answer_only(start):
    receiver = start("--faults", '[{"kind": "not_json", "applied": true}, {"kind": "drop_results"}]')
    raw = receiver.request("POST", "/hook", json.dumps({"object": "o", "sync": "s", "batch_id": "b", "rows": [row(1, a=1)]}),
                           {"Content-Type": "application/json"})[2]
    with pytest.raises(ValueError):
        json.loads(raw)
    assert len(receiver.state("o")) == 1
    receiver.control(faults=[{"kind": "drop_results"}])
    _, answer, _ = receiver.send([row(1, a=1), row(2, a=1)])
    assert answer["accepted"] == 2 and len(answer["results"]) == 1
