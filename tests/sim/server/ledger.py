# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What was asked and what became of it: JSON lines, only ever appended to, on the disk before the answer leaves.

Writing and syncing are two steps, so that the caller can order lines with its own lock and many threads share one fsync.
"""

import json
import os
import threading


def whole(path):
    """The lines that stand whole, as bytes; none where there is no file. Writing is not one step for who reads meanwhile, and a
    killed writer leaves half a line: what has no end is no line yet, and nobody had an answer for it."""
    if os.path.exists(path):
        with open(path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line


def count(path):
    """How many lines stand whole."""
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def entries(path):
    """What a ledger says that may be written just now."""
    return [json.loads(line) for line in whole(path)]


class Ledger:
    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.syncing = threading.Lock()
        self.count = 0
        self.written = 0  # lines written since the start; `synced` of them are durable
        self.synced = 0
        self.file = None
        if path:
            sizes = [len(line) for line in whole(path)]
            self.count = len(sizes)
            self.file = open(path, "ab", buffering=0)
            self.file.truncate(sum(sizes))

    def write(self, entry):
        """Appends a line with the next number; gives what sync() needs."""
        with self.lock:
            self.count += 1
            self.written += 1
            if self.file:
                self.file.write(json.dumps({"number": self.count, **entry}, ensure_ascii=False).encode() + b"\n")
            return self.written

    def sync(self, mark):
        """Returns when the line of this mark is on the disk."""
        if not self.file:
            return
        with self.syncing:
            if self.synced >= mark:
                return
            with self.lock:
                upto = self.written
            os.fdatasync(self.file.fileno())
            self.synced = upto

    def text(self):
        if not self.path:
            return b""
        with open(self.path, "rb") as file:
            return file.read()
