# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Requests and answers judged by prism and by the lint, while a client talks with a simulator as ever.

    client -> Checked -> simulator          what the client sees: the simulator's own bytes, resets and cuts too
                 |
                 +-> prism -> playback      each exchange again, the answer played from memory

Prism as a proxy would follow redirects, turn resets into 500 and ask for other encodings (so a client would not meet the faults
that a test switched on), and it writes what it found wrong into a header that a client does not read. Here it stands beside:
`Checked` sends each finished exchange through it and keeps what its header `sl-violations` says.

    with Validator(document, folder) as validator:           # one prism, 4-11 s to start: once for many tests
        with Checked(validator, lint, simulator.url) as checked:
            ... a client of checked.url ...
            assert checked.violations() == []
"""

import http.client
import itertools
import json
import os
import pathlib
import queue
import re
import subprocess
import sys
import threading
import time
import types

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "sim")]

import ports  # noqa: E402
from openapi import node_modules  # noqa: E402
from server import Answer, Router, Simulator  # noqa: E402
from server.wire import Server  # noqa: E402

START_SECONDS_MAX = 600
# No URL for prism, whose URLs have a host with a name.
LOOPBACK = re.compile(r"(https?://)127\.0\.0\.1:\d+")
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "content-encoding", "accept-encoding", "te",
       "expect", "upgrade"}


def played(answer):
    """The answer with links as of a host that is not this machine, and with a mark."""
    raw = LOOPBACK.sub(r"\1vendor.example", answer.raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    headers = [(name, LOOPBACK.sub(r"\1vendor.example", value)) for name, value in answer.headers]
    return Answer(answer.status, raw, [*headers, ("X-Played", "1")], answer.content_type)


class Loopback(Simulator):
    """Something that answers on a port of its own in this process."""

    router = Router([])

    def __init__(self):
        super().__init__(types.SimpleNamespace(now=None, ledger=None, latency_ms=0))
        self.listening = Server(self)
        self.port = self.listening.address[1]
        threading.Thread(target=self.listening.serve_forever, daemon=True).start()

    def close(self):
        self.listening.close()


class Playback(Loopback):
    """Answers by number what was put there."""

    def __init__(self):
        super().__init__()
        self.answers = {}

    def answer_to(self, request):
        return self.answers[request.header("x-exchange")], None


class Validator:
    """One prism on a prepared copy of a spec. `document` is written into `folder`."""

    def __init__(self, document, folder):
        self.folder = pathlib.Path(folder)
        self.document = document
        self.numbers = itertools.count(1)
        self.process = None

    def __enter__(self):
        spec = self.folder / "spec.json"
        spec.write_text(json.dumps(self.document), encoding="utf-8")
        self.playback = Playback()
        modules = node_modules()
        self.log = open(self.folder / "prism.log", "wb+")
        # Port 0 would be told in the log too, but prism takes it for "not given".
        self.held, self.port = ports.hold()
        self.process = subprocess.Popen(
            ["node", str(modules / "@stoplight" / "prism-cli" / "dist" / "index.js"), "proxy", "-h", "127.0.0.1", "-p",
             str(self.port), str(spec), f"http://127.0.0.1:{self.playback.port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
            env={**os.environ, "NODE_PATH": str(modules), "NO_COLOR": "1"})
        if self.wait_listening():
            return self
        said = self.log_text()[-3000:]
        self.__exit__()
        raise RuntimeError("prism does not start:\n" + said)

    def wait_listening(self):
        until = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < until and self.process.poll() is None:
            if "Prism is listening" in self.log_text():
                return True
            time.sleep(0.1)
        return False

    def log_text(self):
        self.log.flush()
        return re.sub(r"\x1b\[[0-9;]*m", "", (self.folder / "prism.log").read_text(encoding="utf-8", errors="replace"))

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __exit__(self, *_):
        self.stop()
        self.playback.close()
        self.log.close()
        self.held.close()

    def judge(self, method, target, headers, raw, answer):
        """The violations of one exchange: [{"location": [...], "code", "message"}]. `answer` is an Answer."""
        number = str(next(self.numbers))
        self.playback.answers[number] = played(answer)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            sent = {name: value for name, value in headers.items() if name not in HOP | {"host"}}
            connection.request(method, target, raw or None, {**sent, "X-Exchange": number})
            reply = connection.getresponse()
            text, told = reply.read(), reply.getheader("sl-violations")
        finally:
            connection.close()
            del self.playback.answers[number]
        if told:
            return json.loads(told)
        if not reply.getheader("x-played"):  # prism's own answer: no such operation, a body that it cannot read, ...
            return [{"location": ["request"], "code": f"prism-{reply.status}", "message": text.decode("utf-8", "replace")[:600]}]
        return []


class Checked(Loopback):
    """Stands before a simulator at `url`. `ignore(violation)`: True for what is known and said elsewhere (with its reason)."""

    def __init__(self, validator, lint, upstream_url, ignore=lambda violation: False):
        super().__init__()
        self.validator, self.lint, self.ignore = validator, lint, ignore
        self.upstream = re.fullmatch(r"http://([^:/]+):(\d+)/?", upstream_url).groups()
        self.url = f"http://127.0.0.1:{self.port}"
        self.found, self.count, self.operations = [], 0, set()
        self.pending = queue.Queue()
        self.local = threading.local()
        self.worker = threading.Thread(target=self.judge_all, daemon=True)
        self.worker.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pending.join()
        self.close()

    # ---- what the client sees ----

    def forward(self, request):
        """(answer, fault): the simulator's, or what its connection did."""
        connection = http.client.HTTPConnection(self.upstream[0], int(self.upstream[1]), timeout=300)
        try:
            headers = {name: value for name, value in request.headers.items() if name not in HOP}
            connection.request(request.method, request.target, request.raw or None, headers)
            reply = connection.getresponse()
            try:
                text, fault = reply.read(), None
            except http.client.IncompleteRead as cut:
                text, fault = cut.partial + b"\0" * (cut.expected or 1), {"kind": "cut", "keep_bytes": len(cut.partial)}
            kept = [(name, value) for name, value in reply.getheaders() if name.lower() not in HOP | {"content-type"}]
            return Answer(reply.status, text, kept, reply.getheader("content-type") or ("" if not text else None)), fault
        except (ConnectionError, TimeoutError, http.client.HTTPException):
            return None, {"kind": "reset"}
        finally:
            connection.close()

    def answer_to(self, request):
        answer, fault = self.forward(request)
        if answer is None:
            return Answer(502), fault
        struck = any(name.lower() == "x-sim-fault" for name, _ in answer.headers)
        answer.headers = [(name, value) for name, value in answer.headers if name.lower() != "x-sim-fault"]
        if fault is None:
            self.pending.put((request, answer, struck))
        return answer, fault

    def side_answer(self, request):
        answer, _ = self.forward(request)
        return answer or Answer(502)

    # ---- what is wrong with it ----

    def judge_all(self):
        while True:
            request, answer, struck = self.pending.get()
            try:
                self.judge_one(request, answer, struck)
            except Exception as problem:  # a judge that fails must not pass for one that found nothing
                self.found.append({"method": request.method, "path": request.path, "code": "judge", "message": repr(problem)})
            finally:
                self.pending.task_done()

    def judge_one(self, request, answer, struck):
        self.count += 1
        known = self.lint.find(request.method, request.path)
        if known:
            self.operations.add(f"{request.method} {known[0]}")
        said = [{"location": ["request"], "code": "lint", "message": text}
                for text in self.lint.check(request.method, request.target, request.headers, request.raw)]
        if known:  # what is not in the document the lint has said, or its list of paths allows
            said += self.validator.judge(request.method, request.target, request.headers, request.raw, answer)
        refused = answer.status >= 400  # a client may send what is wrong, if the simulator refuses it
        for violation in said:
            side = violation["location"][0] if violation.get("location") else "request"
            if side == "response" and struck:
                continue
            entry = {"method": request.method, "path": request.target, "status": answer.status, "refused": refused, **violation}
            if not self.ignore(entry):
                self.found.append(entry)

    def violations(self):
        """All that was found in what was exchanged until now. Requests that the simulator refused (`refused`) are in it too."""
        self.pending.join()
        return list(self.found)
