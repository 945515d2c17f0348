# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The package proved over real sockets, with the smallest simulator as a program."""

import concurrent.futures
import email.utils
import gzip
import http.client
import json
import pathlib
import socket
import subprocess
import time

import pytest

from server.faults import KINDS
from server.ledger import count, entries
from server.running import Running

EXAMPLE = pathlib.Path(__file__).with_name("example.py")
WHO = {"Authorization": "me"}


@pytest.fixture
def notes(tmp_path):
    with Running(EXAMPLE, "--now", "2026-11-20T08:00:00Z", ledger=tmp_path / "ledger") as running:
        yield running


def note(text):
    return {"note": text}


def test_one_connection_serves_many_requests_and_all_are_in_the_ledger(notes):
    connection = notes.connect()
    for number in range(3):
        assert notes.request("POST", "/notes", note(f"späť {number}"), WHO, connection).json() == {"id": 3 + number}
    assert notes.request("GET", "/notes/4", None, WHO, connection).json() == {"note": "späť 1"}
    connection.close()
    assert notes.calls()["connections_made"] == 2  # the second asks for the calls
    ledger = notes.ledger()
    assert [entry["number"] for entry in ledger] == [1, 2, 3, 4]
    first = ledger[0]
    assert (first["method"], first["path"], first["who"], first["status"]) == ("POST", "/notes", "me", 201)
    assert json.loads(first["body"]) == note("späť 0") and len(first["body_sha256"]) == 64
    assert first["rows"] == [{"id": 3, "became": "created"}] and first["time"].startswith("2026-11-20T08:00")
    assert notes.state()["notes"][3:] == ["späť 0", "späť 1", "späť 2"]


def test_routes_take_literals_before_parameters_and_say_what_they_do_not_know(notes):
    assert notes.request("GET", "/notes/first", None, WHO).json() == {"note": "first"}
    assert notes.request("GET", "/notes/second", None, WHO).status == 404
    assert notes.request("PUT", "/notes", note("x"), WHO).status == 405
    assert notes.request("GET", "/notes?size=1&filter[a]=2", None, WHO).json() == {"notes": ["note 0"]}
    refused = notes.request("GET", "/notes?sise=1", None, WHO)
    assert refused.status == 400 and "sise" in refused.json()["error"]
    assert notes.request("GET", "/notes").status == 401


@pytest.mark.parametrize("body", ['{"note": "a", "note": "b"}', '{"note": NaN}', '{"note": ', '\xff', "[" * 100000])
def test_only_strict_json_is_json(notes, body):
    assert notes.request("POST", "/notes", body.encode("latin-1"), WHO).status == 400
    assert len(notes.state()["notes"]) == 3


def test_a_defect_of_the_simulator_is_seen(notes):
    reply = notes.request("GET", "/broken", None, WHO)
    assert reply.status == 500 and reply.headers["x-sim-defect"] == "1"
    assert "ZeroDivisionError" in notes.calls()["defects"][0]


def test_gzip_when_asked_for(notes):
    for number in range(100):
        notes.change({"note": f"a longer note {number}"})
    plain = notes.request("GET", "/notes", None, WHO)
    packed = notes.request("GET", "/notes", None, {**WHO, "Accept-Encoding": "gzip, deflate"})
    assert "content-encoding" not in plain.headers and packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.raw) == plain.raw and len(packed.raw) < len(plain.raw) / 2


def raw_exchange(port, data, shut=False):
    with socket.create_connection(("127.0.0.1", port), timeout=600) as plain:
        plain.sendall(data)
        if shut:
            plain.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            part = plain.recv(65536)
            if not part:
                return answer
            answer += part


def test_bodies_in_chunks_and_bodies_that_never_end(notes):
    head = b"POST /notes HTTP/1.1\r\nHost: x\r\nAuthorization: me\r\nConnection: close\r\n"
    answer = raw_exchange(notes.port, head + b"Transfer-Encoding: chunked\r\n\r\n8\r\n{\"note\":\r\n5\r\n\"aa\"}\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert raw_exchange(notes.port, head + b"Content-Length: 100\r\n\r\n{\"note\"", shut=True) == b""
    assert raw_exchange(notes.port, b"POST /notes HTTP/1.1\r\nHos", shut=True) == b""
    assert raw_exchange(notes.port, head + b"Content-Length: 1e3\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw_exchange(notes.port, head + b"Content-Length: 99999999999\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    assert raw_exchange(notes.port, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    answer = raw_exchange(notes.port, head + b"Expect: 100-continue\r\nContent-Length: 12\r\n\r\n{\"note\":\"b\"}")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")
    assert notes.state()["notes"][3:] == ["aa", "b"]
    assert notes.calls()["cut_requests"] == 2
    assert [entry["outcome"].split(":")[0] for entry in notes.ledger()] == ["done", "cut", "cut", "refused early", "done"]
    assert [(entry["method"], entry["path"], entry["status"]) for entry in notes.ledger()[1:4]] == \
        [("POST", "/notes", None)] * 2 + [("POST", "/notes", 413)]


def test_the_highest_number_in_flight_and_the_latency(tmp_path):
    with Running(EXAMPLE, "--latency-ms", "300", ledger=tmp_path / "l") as notes:
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            replies = list(pool.map(lambda _: notes.request("GET", "/notes", None, WHO), range(5)))
        assert [reply.status for reply in replies] == [200] * 5
        calls = notes.calls()
        assert calls["in_flight_max"] == 5 and calls["in_flight"] == 0 and calls["calls"] == {"GET /notes": 5}
        notes.sim("DELETE", "calls")
        assert notes.calls()["total"] == 0


def test_a_status_with_its_headers_strikes_the_nth_call_and_then_no_more(notes):
    notes.fault({"kind": "status", "status": 520, "path": "/notes*", "method": "GET", "nth": 2, "count": 2,
                 "headers": {"Retry-After": "3"}, "body": "oh", "content_type": "text/html"})
    notes.request("POST", "/notes", note("x"), WHO)
    replies = [notes.request("GET", "/notes", None, WHO) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 520, 520, 200]
    assert replies[1].headers["retry-after"] == "3" and replies[1].raw == b"oh"
    assert replies[1].headers["content-type"] == "text/html"
    assert notes.sim("GET", "faults")["faults"][0]["struck"] == 2


def test_throttling_with_and_without_a_hint(notes):
    notes.fault({"kind": "throttle", "count": 1, "retry_after": 7}, {"kind": "throttle", "nth": 2})
    replies = [notes.request("GET", "/notes", None, WHO) for _ in range(3)]
    assert [reply.status for reply in replies] == [429, 429, 200]
    assert replies[0].headers["retry-after"] == "7" and "retry-after" not in replies[1].headers
    assert notes.calls()["throttled"] == 2


def test_a_wait_until_a_date(notes):
    notes.fault({"kind": "throttle", "retry_after": {"date": 60}}, {"kind": "status", "status": 503, "nth": 2, "retry_after": 5})
    replies = [notes.request("GET", "/notes", None, WHO) for _ in range(2)]
    dates = [email.utils.parsedate_to_datetime(replies[0].headers[name]) for name in ("retry-after", "date")]
    assert 0 < (dates[0] - dates[1]).total_seconds() <= 60  # the answer left a moment after it was made
    assert replies[1].status == 503 and replies[1].headers["retry-after"] == "5"


def answered(notes):
    """The status of the next answer, None when none comes."""
    connection = notes.connect()
    try:
        connection.request("POST", "/notes", json.dumps(note("x")), WHO)
        return connection.getresponse().status
    except (ConnectionError, http.client.RemoteDisconnected):
        return None
    finally:
        connection.close()


MORE = {"status": {"status": 520}, "html": {"status": 203}, "empty": {"status": 202}, "slow": {"seconds": 0}, "stall": {"seconds": 0},
        "mangle": {"find": "id", "replace": "no"}, "not_json": {"status": 500}, "cut": {"keep_bytes": 2}}
ALWAYS = {"mangle", "slow"}  # what is done before them or after them is done


@pytest.mark.parametrize("kind, applied", [
    (kind, applied) for kind in sorted(KINDS - {"hold", "connect_reset"}) for applied in (True, False) if applied or kind not in ALWAYS])
def test_the_ledger_has_the_status_that_was_answered(notes, kind, applied):
    notes.fault({"kind": kind, "applied": applied, **MORE.get(kind, {})})
    wanted = {"status": 520, "throttle": 429, "html": 203, "not_json": 200, "empty": 202, "reset": None, "stall": None}
    status = answered(notes)
    assert status == wanted.get(kind, 201 if applied else 200)
    line = notes.ledger()[-1]
    assert line["status"] == status
    assert line["outcome"] == ("done" if kind == "slow" else f"done, then fault: {kind}" if applied else f"fault: {kind}")
    assert ("x" in notes.state()["notes"]) is applied


def test_a_request_is_held_until_the_faults_are_cleared(notes):
    notes.fault({"kind": "hold", "method": "POST"})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(notes.request, "POST", "/notes", note("x"), WHO)
        while notes.holding() == 0:
            time.sleep(0.01)
        assert len(notes.request("GET", "/notes", None, WHO).json()["notes"]) == 3  # others go on
        notes.faults({"kind": "throttle"})
        assert waiting.result().status == 201
    assert notes.holding() == 0
    assert notes.request("GET", "/notes", None, WHO).status == 429


def test_a_fault_lasts_for_a_time_of_the_simulators_clock(notes):
    notes.fault({"kind": "status", "status": 503, "for_s": 60})
    assert [notes.request("GET", "/notes", None, WHO).status for _ in range(3)] == [503] * 3
    notes.advance(61)
    assert notes.request("GET", "/notes", None, WHO).status == 200


@pytest.mark.parametrize("applied", [True, False])
def test_a_reset_after_the_body_before_or_after_the_work(notes, applied):
    notes.fault({"kind": "reset", "method": "POST", "applied": applied})
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        notes.request("POST", "/notes", note("x"), WHO)
    assert ("x" in notes.state()["notes"]) is applied
    assert notes.ledger()[-1]["outcome"] == ("done, then fault: reset" if applied else "fault: reset")
    assert notes.request("POST", "/notes", note("y"), WHO).status == 201


def test_cut_html_not_json_and_empty_answers(notes):
    notes.fault({"kind": "cut"}, {"kind": "html", "nth": 2}, {"kind": "not_json", "nth": 3}, {"kind": "empty", "nth": 4})
    with pytest.raises(http.client.IncompleteRead):
        notes.request("GET", "/notes", None, WHO)
    html = notes.request("GET", "/notes", None, WHO)
    assert html.status == 200 and html.headers["content-type"].startswith("text/html")
    with pytest.raises(ValueError):
        notes.request("GET", "/notes", None, WHO).json()
    assert notes.request("GET", "/notes", None, WHO).raw == b""


def test_an_answer_is_mangled(notes):
    notes.fault({"kind": "mangle", "find": '"note 1"', "replace": "12345678901234567890"})
    assert notes.request("GET", "/notes", None, WHO).json()["notes"] == ["note 0", 12345678901234567890, "note 2"]
    assert notes.request("GET", "/notes", None, WHO).json()["notes"][1] == "note 1"
    assert notes.request("POST", "/_sim/faults", [{"kind": "mangle"}]).status == 400


def test_stalls_slow_answers_and_connections_that_are_refused(notes):
    notes.fault({"kind": "slow", "seconds": 0.3, "drip_s": 0.3})
    begun = time.monotonic()
    assert notes.request("GET", "/notes", None, WHO).json()["notes"] == ["note 0", "note 1", "note 2"]
    assert time.monotonic() - begun >= 0.6
    notes.fault({"kind": "stall", "seconds": 30})
    with pytest.raises(TimeoutError):
        notes.request("GET", "/notes", None, WHO, timeout=0.3)
    notes.fault({"kind": "connect_reset", "count": 2})
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            notes.request("GET", "/notes", None, WHO)
    assert notes.request("GET", "/notes", None, WHO).status == 200


def test_faults_of_the_vendors_own_and_orders_that_are_nonsense(notes):
    notes.fault({"kind": "odd", "word": "hm", "query": {"size": "2"}})
    assert notes.request("GET", "/notes?size=1", None, WHO).json() == {"notes": ["note 0"]}
    assert notes.request("GET", "/notes?size=2", None, WHO).json() == {"notes": ["hm"]}
    for order in ([{"kind": "weird"}], [{"kind": "reset", "sometimes": 1}], [{"kind": "status"}], [3], "no"):
        assert notes.request("POST", "/_sim/faults", json.dumps(order)).status == 400
    assert notes.request("POST", "/_sim/clock", {"advance_s": -1}).status == 400
    assert notes.request("GET", "/_sim/nothing").status == 404
    notes.sim("DELETE", "faults")
    assert notes.sim("GET", "faults") == {"faults": [], "holding": 0}


def test_the_clock_is_the_simulators(notes):
    assert notes.sim("GET", "clock")["now"].startswith("2026-11-20T08:00")
    assert notes.advance(3600).startswith("2026-11-20T09:00")
    assert notes.request("GET", "/notes", None, WHO).headers["date"].startswith("Fri, 20 Nov 2026 09:00")


def test_a_restarted_program_goes_on_with_the_ledger_and_ends_at_sigterm(tmp_path):
    for round_ in (1, 2):
        running = Running(EXAMPLE, ledger=tmp_path / "l")
        running.request("GET", "/notes", None, WHO)
        running.stop()
        assert running.process.returncode == 0
        assert [entry["number"] for entry in running.ledger()] == list(range(1, round_ + 1))


def test_half_a_line_of_the_ledger_is_none(tmp_path):
    ledger = tmp_path / "l"
    torn = '{"number": 1, "path": "/a"}\n{"number": 2, "who": "sp\u00e4t'.encode()[:-1]
    ledger.write_bytes(torn)
    assert (entries(ledger), count(ledger)) == ([{"number": 1, "path": "/a"}], 1)  # as one who is still writing leaves it
    with Running(EXAMPLE, ledger=ledger) as notes:  # as one who was killed leaves it
        notes.request("GET", "/notes", None, WHO)
        assert [(entry["number"], entry["path"]) for entry in notes.ledger()] == [(1, "/a"), (2, "/notes")]
        assert notes.noted() == 2


def test_tls(tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    with Running(EXAMPLE, "--tls", cert, key, ledger=tmp_path / "l") as notes:
        assert notes.request("GET", "/notes", None, WHO).json()["notes"][0] == "note 0"
        # One that speaks no TLS ends its own connection only.
        try:
            assert b"HTTP/1.1 200" not in raw_exchange(notes.port, b"GET /notes HTTP/1.1\r\n\r\n")
        except ConnectionError:
            pass
        assert notes.request("GET", "/notes", None, WHO).status == 200
