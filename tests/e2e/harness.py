# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests stand on: a project in a folder, the program, the receiver, and a canary.

Nothing here knows how dray works inside: the tests see what an operator sees, files, exit codes, what was said, and what
arrived. DRAY_BIN names the program.
"""

import csv
import json
import lzma
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "sim")]

import ports  # noqa: E402  pylint: disable=wrong-import-position
from server.running import Running  # noqa: E402  pylint: disable=wrong-import-position

ROOT = HERE.parent.parent
RECEIVER = ROOT / "tests" / "sim" / "webhook" / "server.py"
RUN_SECONDS_MAX = 600  # only what hangs takes so long

# Never to be seen in any output, state, or argument list.
CANARY_HMAC = "canary-hmac-7f3a1c9e5b2d"
CANARY_BEARER = "canary-bearer-0d84e6f1a7c3"
CANARIES = (CANARY_HMAC, CANARY_BEARER)


def program():
    return os.environ["DRAY_BIN"]


def shared():
    """The folder of the real data, or None."""
    folder = pathlib.Path(os.environ.get("DRAY_SHARED", ROOT.parent / "shared"))
    return folder if (folder / "data").is_dir() else None


def unpack_retail(packed, to, lines=None):
    """The CSV, or its header and first `lines` lines. No field of this file holds a line break."""
    with lzma.open(packed, "rt", encoding="utf-8", newline="") as source, open(to, "w", encoding="utf-8", newline="") as out:
        for number, line in enumerate(source):
            if lines is not None and number > lines:
                break
            out.write(line)


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Result:
    """How one call of the program ended."""

    def __init__(self, arguments, code, out, err):
        self.arguments, self.code, self.out, self.err = arguments, code, out, err

    def lines(self, kind=None):
        """The objects of --json on stdout, of one type or all."""
        records = [json.loads(line) for line in self.out.splitlines()]
        return [record for record in records if kind is None or record["type"] == kind]

    def line(self, kind):
        found = self.lines(kind)
        assert len(found) == 1, f"{len(found)} records of type {kind}:\n{self}"
        return found[0]

    def errors(self):
        """The names of the errors that were told, of either form."""
        told = [json.loads(line) for line in self.out.splitlines() if line.startswith('{"')]
        names = [record["name"] for record in told if record["type"] == "error"]
        names += [record["error"] for record in told if record["type"] in ("run", "plan") and record["error"]]
        return names + re.findall(r"error\[([a-z0-9_]+)\]", self.err)

    def expect(self, code):
        assert self.code == code, f"exit code {self.code}, not {code}:\n{self}"
        return self

    def __str__(self):
        return f"$ dray {' '.join(self.arguments)}\n[{self.code}]\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


# A child's largest child: the own one of a process of tests would be that of all tests before.
PEAK = ("import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True, text=True)\n"
        "print(json.dumps([done.returncode, done.stdout, done.stderr, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))")


class Project:
    """A project in a folder of its own, and how the program is called on it."""

    def __init__(self, folder, environment=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = dict(environment or {})
        self.said = []  # stdout and stderr of every call, for the canary

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def config(self, text):
        """dray.yaml: `version: 1` and this."""
        self.write("dray.yaml", "version: 1\n" + textwrap.dedent(text))

    def environ(self, more=None):
        keep = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LLVM_PROFILE_FILE", "GCOV_PREFIX", "GCOV_PREFIX_STRIP",
                "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
        environment = {name: os.environ[name] for name in keep if name in os.environ}
        environment.update({"DRAY_TEST": "1", "DRAY_BACKOFF_MS": "5", "DRAY_HTTP_BACKOFF_MS": "5"})
        environment.update(self.environment)
        environment.update(more or {})
        return {name: value for name, value in environment.items() if value is not None}

    def start(self, *arguments, env=None, stdin=subprocess.DEVNULL):
        """Starts the program and returns at once; `finish` waits for it."""
        return subprocess.Popen([program(), "-C", str(self.folder), *map(str, arguments)], env=self.environ(env),
                                stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder)

    def finish(self, process, arguments=("...",)):
        try:
            out, err = process.communicate(timeout=RUN_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"dray {arguments} did not end within {RUN_SECONDS_MAX} s\n{out}\n{err}") from None
        result = Result([str(a) for a in arguments], process.returncode, out.decode("utf-8", "strict"),
                        err.decode("utf-8", "strict"))
        self.said.append(result)
        assert "Sanitizer" not in result.err and "runtime error:" not in result.err, str(result)
        assert_no_canary(result.out + result.err, str(arguments))
        return result

    def processes(self):
        """Those that work on this project and have not ended: {process id: path of its stat}."""
        mark = b"\0-C\0" + os.fsencode(self.folder) + b"\0"
        found = {}
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if mark in path.read_bytes():
                    found[path.parent.name] = path.with_name("stat")
            except OSError:
                pass
        return found

    def kill(self, process, arguments=("...",)):
        """SIGKILL for a run that `start` gave. Its child is killed with it, but a moment later, and holds the sync until it has
        ended: this waits for it."""
        processes = self.processes()
        process.kill()
        result = self.finish(process, arguments)
        wait_until(lambda: not any(is_alive(path) for path in {**processes, **self.processes()}.values()),
                   what="the end of a killed run's child")
        return result

    def dray(self, *arguments, env=None):
        return self.finish(self.start(*arguments, env=env), arguments)

    def sync(self, name, *options, env=None, code=0):
        """One run with --json; returns its record. A run that ends badly has it all the same."""
        result = self.dray("sync", name, "--json", *options, env=env).expect(code)
        return result.line("run")

    def peak(self, name):
        """One run: its record, and the KiB of the largest of its processes."""
        environment = self.environ({"ASAN_OPTIONS": "quarantine_size_mb=1:malloc_context_size=1"})
        done = subprocess.run([sys.executable, "-c", PEAK, program(), "-C", self.folder, "sync", name, "--json"],
                              env=environment, capture_output=True, text=True, check=True)
        code, out, err, kib = json.loads(done.stdout)
        assert code == 0, out + err
        return json.loads(out.splitlines()[-1]), kib

    def plan(self, name, *options, env=None, code=0):
        result = self.dray("plan", name, "--json", *options, env=env).expect(code)
        return result.line("plan"), result.lines("sample")

    def rows(self, name, *options):
        return self.dray("rows", name, "--json", *options).expect(0).lines("row")

    def status(self, name=None):
        return self.dray("status", *([name] if name else []), "--json").expect(0).lines("run")

    def state_files(self):
        folder = self.folder / ".dray"
        return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.exists() else []

    def left_behind(self):
        """What a run makes and a run that ended must not leave: change sets, spills, temporary files."""
        parts = (".changes", ".tmp", ".part", ".spill", ".run")
        return [str(path) for path in self.state_files() if path.name.endswith(parts)]

    def query(self, sql, parameters=(), database="warehouse.db"):
        connection = sqlite3.connect(f"file:{self.folder / database}?mode=ro", uri=True)
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def execute(self, script, database="warehouse.db"):
        connection = sqlite3.connect(self.folder / database)
        try:
            connection.executescript(script)
            connection.commit()
        finally:
            connection.close()

    def tables(self, database="warehouse.db"):
        return {row[0] for row in self.query("SELECT name FROM sqlite_master WHERE type = 'table'", database=database)}

    def assert_no_canary_kept(self):
        for path in self.state_files():
            assert_no_canary(path.read_bytes().decode("latin-1"), str(path))


def is_alive(stat):
    """Whether the process of /proc/N/stat has its files still."""
    try:
        return stat.read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except OSError:
        return False


def assert_no_canary(text, where):
    for canary in CANARIES:
        assert canary not in text, f"a secret stands in {where}"


class Receiver(Running):
    """tests/sim/webhook, and its ledger. It keeps its port while it is down."""

    def __init__(self, folder, *options):
        self.held, port = ports.hold()
        super().__init__(RECEIVER, "--port", port, *options, ledger=pathlib.Path(folder) / "ledger.ndjson")

    def stop(self, number=signal.SIGKILL):
        super().stop(number)

    @property
    def hook(self):
        return self.url + "/hook"

    def state(self, name):
        """The rows that the receiver holds of an object."""
        return super().state().get(name, [])

    def ledger(self):
        """The batches that came. `dray check` asks with HEAD, which the ledger has as well."""
        return [entry for entry in super().ledger() if entry["method"] != "HEAD"]

    def requests(self, since=0):
        return self.ledger()[since:]

    def sent(self, since=0):
        """All rows of all requests, in order."""
        return [row for entry in self.requests(since) for row in entry["rows"]]

    def applied(self, since=0):
        return [entry["rows"][index] for entry in self.requests(since) for index in entry["applied"]]


def wait_until(condition, seconds=120, what="the condition"):
    """Looks until it is true. The limit is only there to end a test that can never pass: a slow machine needs its time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")
