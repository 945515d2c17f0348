# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests with PostgreSQL share: a server a file, an empty database a test, a project that loads people from a CSV
file, what the table holds, a wire that breaks."""

import os
import pathlib
import signal
import socket
import struct
import threading

import pytest

import harness
import postgres_server
import scene

PASSWORD = harness.CANARY_BEARER


@pytest.fixture(scope="module")
def engine():
    made = scene.started(postgres_server)
    yield made
    made.close()


@pytest.fixture
def server(engine):
    engine.fresh()
    return engine


def connection(server, more="", user="dray", host="127.0.0.1", name="wh"):
    return (f"  {name}: {{plugin: postgres, host: {host}, port: {server.port}, database: work, user: {user}, "
            f"password: !secret env:PG_PASSWORD{more}}}\n")


def configure(project, server, syncs, more="", models="", others=""):
    project.environment["PG_PASSWORD"] = PASSWORD
    project.config("connections:\n" + connection(server, more) + "  files: {plugin: file, path: in}\n" + others +
                   (f"models:\n{models}" if models else "") + f"syncs:\n{syncs}")


def put_people(project, rows):
    """in/people.csv of (id, name, score)."""
    project.write("in/people.csv", "id,name,score\n" + "".join(f"{i},{n},{s}\n" for i, n, s in rows))


PEOPLE = [(i, f"name {i}", i * 10) for i in range(1, 21)]


def people_sync(mode, more=""):
    return f"  people: {{from: {{connection: files, stream: people}}, to: {{connection: wh}}, mode: {mode}, key: id{more}}}\n"


def held(server, table="people", where="true"):
    return [tuple(row) for row in server.rows(f"SELECT id, name, score FROM {table} WHERE {where} ORDER BY id")]


def tables(server):
    return {row[0] for row in server.sql("SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
                                         "WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema')")}


def versions(server, table="people"):
    """Which transaction wrote each row: a row that was touched has another."""
    return server.sql(f"SELECT id, xmin, ctid FROM {table} ORDER BY id")


class Breaker:
    """A wire to the server that breaks once, when the bytes go by that `where` says: before they reach the server, or behind
    them, so that the server has done what was asked and nobody hears of it. `writing`: only in transactions that write.
    `answer_bytes`: when so many bytes have come back on one connection instead. `reset`: by RST, not by FIN."""

    def __init__(self, server, where, reaches=False, writing=True, answer_bytes=None, reset=False):
        self.upstream, self.where, self.reaches, self.broken = server.port, where, reaches, False
        self.cut, self.answered = None, threading.Event()  # the connection that breaks; what it was asked is done
        self.writing, self.answer_bytes, self.reset = writing, answer_bytes, reset
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.upstream))
            threading.Thread(target=self._up, args=(near, far), daemon=True).start()
            threading.Thread(target=self._down, args=(near, far), daemon=True).start()

    def _close(self, *sockets):
        for each in sockets:
            try:
                if self.reset:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    each.shutdown(socket.SHUT_RD)  # the other thread lets go of it
                    each.close()
                else:
                    each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _up(self, near, far):
        writing = not self.writing
        try:
            while data := near.recv(65536):
                writing = writing or b"READ WRITE" in data
                if writing and self.where and self.where in data and not self.broken:
                    self.cut, self.broken = far, True
                    if self.reaches:
                        far.sendall(data)
                        self.answered.wait(600 if self.where == b"COMMIT" else 0.3)  # no answer in the middle of a load
                    break
                far.sendall(data)
        except OSError:
            pass
        self._close(near, far)

    def _down(self, near, far):
        passed = 0
        try:
            while data := far.recv(65536):
                passed += len(data)
                if self.answer_bytes is not None and passed >= self.answer_bytes and not self.broken:
                    self.broken = True
                    break
                if far is self.cut:
                    self.answered.set()
                    break
                near.sendall(data)
        except OSError:
            pass
        self._close(near, far)

    def close(self):
        self.listener.close()


# ---- faults ----

def sessions(server):
    """Sessions of dray, and what they do."""
    return server.sql("SELECT pid, state FROM pg_stat_activity WHERE usename = 'dray' ORDER BY pid")


def wait_for_no_session(server):
    harness.wait_until(lambda: not sessions(server), what="the end of dray's sessions")


def assert_whole(project, server, rows, table="people", mode="mirror"):
    """One more run without a fault brings all together, and the one after that finds nothing to do: the table is the source,
    mirror and checkpoint are the table's, nothing is left behind."""
    project.sync("people")
    assert held(server, table) == rows
    assert project.sync("people")["applied"] == 0
    assert tables(server) == {table, "_dray_state"}
    if mode != "append":
        project.dray("state", "verify", "people").expect(0)
    wait_for_no_session(server)
    assert server.value("SELECT count(*) FROM pg_prepared_xacts") == "0"
    assert server.value("SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == "0"
    assert not project.left_behind()


class Paused:
    """A run that stands still at a named step until it is let go."""

    def __init__(self, project, step, number=1, env=None):
        self.project = project
        self.run = project.start("sync", "people", env={**(env or {}), "DRAY_FAULT": f"stop:{step}:{number}"})
        harness.wait_until(lambda: self._worker() is not None or self.run.poll() is not None, what=f"the run at {step}")
        assert self.run.poll() is None, f"{step} was not passed: {project.finish(self.run)}"

    def _worker(self):
        """The process of the run that is stopped."""
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                number, rest = path.read_text().split(" (", 1)
            except OSError:
                continue
            state, parent = rest.rsplit(") ", 1)[1].split()[:2]
            if state == "T" and int(parent) == self.run.pid:
                return int(number)
        return None

    def go_on(self):
        os.kill(self._worker(), signal.SIGCONT)
        return self.project.finish(self.run)
