# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""For tests: a simulator started as a program, asked over real sockets, ended with its test."""

import http.client
import itertools
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys

from .ledger import count, entries

NUMBERS = itertools.count(1)
NO_VENDOR = ("server", "webhook")  # folders of simulators that no vendor's document describes


def traffic_path(script):
    """Where a judge finds this simulator's exchanges: a file of the folder that DRAY_TRAFFIC names, which holds those of one
    process of tests. None: nowhere."""
    folder = os.environ.get("DRAY_TRAFFIC")
    if pathlib.Path(script).resolve().parent.name in NO_VENDOR:
        return None
    if not folder:
        assert "CTEST_INTERACTIVE_DEBUG_MODE" not in os.environ, "nobody will judge this simulator: dray_keep_traffic() for the test"
        return None
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if os.environ.get("DRAY_TRAFFIC_OF") != str(os.getpid()):  # what an earlier process left
        os.environ["DRAY_TRAFFIC_OF"] = str(os.getpid())
        for file in folder.iterdir():
            file.unlink()
    return folder / f"{pathlib.Path(script).resolve().parent.name}.{__name__}.{next(NUMBERS)}.ndjson"


class Reply:
    """`headers` by lower-case name; json() of the body."""

    def __init__(self, answer):
        self.status, self.raw = answer.status, answer.read()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}

    def json(self):
        return json.loads(self.raw)

    def __repr__(self):
        return f"<{self.status} {self.raw[:300]!r}>"


class Running:
    """`script` is the simulator's program. `hello` is the line it printed. Use as a context, or call stop()."""

    def __init__(self, script, *arguments, ledger=None):
        self.ledger_path = pathlib.Path(ledger) if ledger else None
        more = ["--ledger", str(ledger)] if ledger else []
        self.tls = "--tls" in arguments
        program = "node" if str(script).endswith(".js") else sys.executable
        self.traffic = traffic_path(script)
        if self.traffic and program != "node":
            more += ["--traffic", str(self.traffic)]
        elif self.traffic and not ledger:  # the simulator that node runs has whole exchanges in its ledger
            more += ["--ledger", str(self.traffic)]
        self.command = [program, str(script), *more, *map(str, arguments)]
        self.launch()

    def launch(self):
        """Again, after a stop()."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError(f"{self.command[1]} ended without a port, exit code {self.process.returncode}")
        self.hello = json.loads(line)
        self.port = self.hello["port"]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.keep_ledger()

    def keep_ledger(self):
        """For judges, of a simulator whose ledger has whole exchanges, as it is now."""
        wanted = self.traffic and self.ledger_path and "--traffic" not in self.command
        if wanted and self.ledger_path != self.traffic and self.ledger_path.exists():
            shutil.copyfile(self.ledger_path, self.traffic)

    def connect(self, timeout=600):
        if self.tls:
            trusting = ssl.create_default_context()
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=trusting)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, connection=None, timeout=600):
        """`body` is a JSON value, text or bytes. On a connection of its own unless one is given."""
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if isinstance(body, str):
            body = body.encode()
        own = connection or self.connect(timeout)
        try:
            own.request(method, path, body, headers)
            return Reply(own.getresponse())
        finally:
            if connection is None:
                own.close()

    # ---- the test side ----

    def sim(self, method, name, body=None):
        reply = self.request(method, "/_sim/" + name, body)
        assert reply.status == 200, reply
        return reply.json()

    def state(self, query=""):
        return self.sim("GET", "state" + query)

    def calls(self):
        return self.sim("GET", "calls")

    def fault(self, *faults):
        return self.sim("POST", "faults", list(faults))

    def faults(self, *faults):
        """These and no others. Whom a fault keeps waiting goes on."""
        return self.sim("POST", "faults", {"clear": True, "faults": list(faults)})

    def holding(self):
        """How many requests `slow` and `hold` keep waiting."""
        return self.sim("GET", "faults")["holding"]

    def advance(self, seconds):
        return self.sim("POST", "clock", {"advance_s": seconds})["now"]

    def change(self, order):
        return self.sim("POST", "change", order)

    def ledger(self):
        return entries(self.ledger_path)

    def noted(self):
        """How many lines the ledger has."""
        return count(self.ledger_path)
