# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator's own time: it starts where the test says, goes on with real time, and can be moved forward."""

import datetime
import threading
import time

UTC = datetime.timezone.utc


def parse_iso(text):
    """Seconds since 1970 of an ISO 8601 text; without an offset it is UTC. ValueError when it is none."""
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def iso(seconds):
    """`2026-11-20T08:00:00Z`: whole seconds, UTC, the shape that vendors give."""
    return datetime.datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Clock:
    """now() is real monotonic time since the start plus what was advanced, from `start` (ISO) or the real present."""

    def __init__(self, start=None):
        self.lock = threading.Lock()
        self.base = parse_iso(start) if start else time.time()
        self.begun = time.monotonic()

    def now(self):
        with self.lock:
            return self.base + time.monotonic() - self.begun

    def iso(self):
        return iso(self.now())

    def advance(self, seconds):
        if seconds < 0:
            raise ValueError("time goes forward only")
        with self.lock:
            self.base += seconds
