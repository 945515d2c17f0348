# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Running programs: time and peak memory of a child, two sides in turn, builds, folders, room on the disk."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Failed(Exception):
    """A benchmark that could not be run, with a sentence for its row."""


class Run:
    """One measured run. seconds: what counts; said: the JSON that the program printed, if any."""

    def __init__(self, seconds, peak_mb, cpu_s, said):
        self.seconds, self.peak_mb, self.cpu_s, self.said = seconds, peak_mb, cpu_s, said


def say(text):
    print(text, file=sys.stderr, flush=True)


def last_object(text):
    """The JSON object on the last line, or {}."""
    lines = text.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        return {}
    return json.loads(lines[-1])


def run(command, *, env=None, cwd=None, codes=(0,), seconds="total_s", stdout=None):
    """Runs a program to its end. Its time is what it says under the name `seconds`, else wall time from outside; its
    peak is what it says as peak_mb, else the kernel's ru_maxrss (which never says less than this script's own at the
    time of the fork, some 20 MB)."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.monotonic()
        child = subprocess.Popen([str(part) for part in command], stdout=stdout or out, stderr=err, cwd=cwd,
                                 stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text, errors = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    if child.returncode not in codes:
        tail = " ".join((errors or text).split())[-400:]
        raise Failed(f"{pathlib.Path(str(command[0])).name} ended with {child.returncode}: {tail}")
    said = last_object(text)
    return Run(said.get(seconds, wall) if seconds else wall, said.get("peak_mb", usage.ru_maxrss / 1024),
               usage.ru_utime + usage.ru_stime, said)


def in_turn(count, *sides):
    """Runs the sides one after the other, `count` times, so that a busy moment meets them all. A side is a function
    that returns a Run, or None: no such peer."""
    runs = [[] for _ in sides]
    for _ in range(count):
        for mine, side in zip(runs, sides):
            if side is not None:
                mine.append(side())
    return runs


class Place:
    """Folders and programs of one invocation."""

    def __init__(self, work, rows, runs, keep=False):
        self.work, self.rows, self.runs, self.keep = pathlib.Path(work), rows, runs, keep
        self.work.mkdir(parents=True, exist_ok=True)
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=self.work))
        self.closers = []
        self.files = []  # data made by this invocation
        self.build = None
        self.seeds = None  # how many, where something is tried by seeds; None: as many as the bench says

    def close(self):
        for closer in reversed(self.closers):
            closer()
        shutil.rmtree(self.scratch, ignore_errors=True)
        if not self.keep:
            for path in self.files:
                path.unlink(missing_ok=True)

    def need_disk(self, wanted):
        free = shutil.disk_usage(self.work).free
        if wanted > free * 0.9:
            raise Failed(f"needs about {wanted / 1e9:.1f} GB in {self.work}, where {free / 1e9:.1f} GB are free; "
                         "fewer --rows, --only NAME, or --work FOLDER on another disk")

    def program(self, name):
        for folder in ("tests/bench/diff", "tests/bench", "tools/dray", "plugins/postgres/tests"):
            path = self.build / folder / name
            if path.exists():
                return path
        return None

    def need(self, name):
        path = self.program(name)
        if path is None:
            raise Failed(f"{name} was not built; tools/bench --setup installs what it needs")
        return path


def build(folder, targets, flags=""):
    """Configures as the preset `release` does, in a folder of its own when flags are given, and builds the targets
    that exist."""
    folder = ROOT / "build" / folder
    say(f"bench: building {folder.relative_to(ROOT)}")
    configure = ["cmake", "--preset", "release", "-B", folder]
    if flags:
        configure.append(f"-DCMAKE_C_FLAGS_RELWITHDEBINFO=-g -O2 -DNDEBUG {flags}")
    checked(configure)
    known = set(re.findall(r"^(\S+): phony", checked(["cmake", "--build", folder, "--", "-t", "targets", "all"]), re.M))
    checked(["cmake", "--build", folder, "--target", *(target for target in targets if target in known)])
    return folder


def checked(command):
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(str(part) for part in command)}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def facts():
    """What a number depends on beside the code."""
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, load {os.getloadavg()[0]:.1f}"
