# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A database that falls silent: the connection stays, everything is acknowledged, and nothing comes any more. No connection is
waited for longer than is set, a run that is interrupted ends soon, and no process or session is left."""

import signal
import socket
import threading
import time

import pytest

import harness
from engine_scene import HERE, engine, server  # noqa: F401

PASSWORD = harness.CANARY_BEARER
pytestmark = HERE


class Mute:
    """A wire that passes everything on until these bytes go by, up or down, and then nothing more on any connection, the new
    ones included; all of them stay open. `reads`: what comes is read and lost; else it fills the buffers."""

    def __init__(self, server, where, reads=True):
        self.upstream, self.where, self.reads = server.port, where, reads
        self.mute, self.held, self.calls = threading.Event(), [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        if not where:
            self.mute.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.upstream))
            except OSError:
                return
            self.calls += 1
            self.held += [near, far]
            threading.Thread(target=self._pass, args=(near, far), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near), daemon=True).start()

    def _pass(self, one, other):
        try:
            while data := one.recv(65536):
                if self.where and self.where in data:
                    self.mute.set()
                if not self.mute.is_set():
                    other.sendall(data)
                elif not self.reads:
                    return
        except OSError:
            pass

    def close(self):
        for each in [self.listener, *self.held]:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()


@pytest.fixture
def wire(server):
    made = []

    def make(where, **more):
        made.append(Mute(server, where, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


PEOPLE = [(i, f"name {i}", i * 10) for i in range(1, 21)]


def configure(project, server, to, more="", top="", sslmode="disable", sql="SELECT 1 AS id"):
    """A sync of people.csv into the database, and a model that is read from it into SQLite."""
    project.environment["DB_PASSWORD"] = PASSWORD
    project.config(top + "connections:\n"
                   f"  wh: {{plugin: {server.plugin}, host: 127.0.0.1, port: {to.port}, database: work, user: dray, "
                   f"password: !secret env:DB_PASSWORD, sslmode: {sslmode}{more}}}\n"
                   "  files: {plugin: file, path: in}\n  lite: {plugin: sqlite, path: out.db}\n"
                   f"models:\n  m: {{warehouse: wh, sql: \"{sql}\", key: id}}\n"
                   "syncs:\n  people: {from: {connection: files, stream: people}, to: {connection: wh}, mode: upsert, key: id}\n"
                   "  read: {from: {model: m}, to: {connection: lite, table: t}, mode: upsert}\n")
    project.write("in/people.csv", "id,name,score\n" + "".join(f"{i},{n},{s}\n" for i, n, s in PEOPLE))


def sessions(server):
    if server.plugin == "mysql":
        return server.sessions()
    return int(server.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'dray'"))


def commit(server):
    """The COMMIT of a transaction, as it goes by."""
    return b"\x07\x00\x00\x00\x03COMMIT" if server.plugin == "mysql" else b"COMMIT\x00"


def sleep(server):
    return "SELECT 1 AS id, SLEEP(600) AS z" if server.plugin == "mysql" else "SELECT 1 AS id, pg_sleep(600)::text AS z"


def asleep(server):
    if server.plugin == "mysql":
        return server.value("SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = 'dray' AND STATE = 'User sleep'") == "1"
    return server.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'dray' AND wait_event = 'PgSleep'") == "1"


def many_rows(server):
    return ("SELECT CAST(seq AS SIGNED) AS id, REPEAT('x', 100) AS a FROM seq_1_to_1000000" if server.plugin == "mysql" else
            "SELECT g::bigint AS id, repeat('x', 100) AS a FROM generate_series(1, 1000000) g")


def assert_goes_on(project, server):
    """Nothing of the run is left at the server, and the next one has it all."""
    harness.wait_until(lambda: sessions(server) == 0, what="the end of the sessions")
    configure(project, server, server)
    project.sync("people")
    assert server.value("SELECT count(*) FROM people") == "20"


@pytest.mark.parametrize("where, sslmode", [(b"", "disable"), (b"\x16\x03\x01", "require")])
def test_silence_in_the_handshake_ends_with_the_timeout_for_it(project, server, wire, where, sslmode):
    configure(project, server, wire(where), ", connect_timeout_seconds: 1", sslmode=sslmode)
    told = project.dray("sync", "people").expect(1)
    assert told.errors() == ["net_timeout"] and "connect_timeout_seconds" in told.err, told


@pytest.mark.parametrize("where", [b"", b"\x16\x03\x01"])
def test_a_run_that_shakes_hands_is_interrupted(project, server, wire, where):
    mute = wire(where)
    configure(project, server, mute, ", connect_timeout_seconds: 3600", sslmode="require")
    run = project.start("sync", "people")
    harness.wait_until(lambda: mute.calls == 1 and mute.mute.is_set())
    time.sleep(0.5)  # it waits
    run.send_signal(signal.SIGINT)
    told = project.finish(run).expect(130)
    assert told.errors() == ["cancelled"] and "was stopped" not in told.err, told


@pytest.mark.parametrize("phase, interrupted", [("commit", False), ("load", False), ("rows", False), ("commit", True), ("rows", True)])
def test_silence_later_ends_with_the_timeout_for_it_or_a_signal(project, server, wire, phase, interrupted):
    """Without either a server is waited for, as it may be at work."""
    mute = wire({"commit": commit(server), "load": b"name 7", "rows": b"x" * 100}[phase])
    configure(project, server, mute, ", connect_timeout_seconds: 1" + ("" if interrupted else ", answer_timeout_seconds: 1"),
              sql=many_rows(server))
    run = project.start("sync", "read" if phase == "rows" else "people")
    harness.wait_until(lambda: mute.mute.is_set() or run.poll() is not None)
    if interrupted:
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
    told = project.finish(run)
    assert "was stopped" not in told.err, told  # it has ended by itself
    if not interrupted:
        assert told.code == 1 and told.errors() == ["net_timeout"] and "answer_timeout_seconds" in told.err, told
    elif phase != "commit":
        assert told.code == 130 and told.errors() == ["cancelled"], told
    else:  # whether it has come through is not known
        assert told.errors() in (["cancelled"], ["net_closed"]), told
    mute.close()
    assert_goes_on(project, server)


@pytest.mark.parametrize("interrupted", [False, True])
def test_silence_inside_of_tls(project, server, wire, interrupted):
    mute = wire(b"\0 never \0 said \0")
    configure(project, server, mute, "" if interrupted else ", answer_timeout_seconds: 2", sslmode="require", sql=sleep(server))
    run = project.start("sync", "read")
    harness.wait_until(lambda: asleep(server) or run.poll() is not None, what="the query")
    mute.mute.set()
    if interrupted:
        run.send_signal(signal.SIGINT)
    told = project.finish(run).expect(130 if interrupted else 1)
    assert told.errors() == ["cancelled" if interrupted else "net_timeout"], told
    if server.plugin == "postgres" or not interrupted:  # libmariadb may stand in a read of TLS's that only the supervisor ends
        assert "was stopped" not in told.err, told


def test_a_server_that_is_given_up_is_told_so(project, server):
    """Where only the answer takes too long, the statement does not go on."""
    configure(project, server, server, ", answer_timeout_seconds: 1", sql=sleep(server))
    told = project.dray("sync", "read").expect(1)
    assert told.errors() == ["net_timeout"], told
    harness.wait_until(lambda: sessions(server) == 0, what="the end of the query")


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_peer_that_does_not_read_any_more(project, server, wire, interrupted):
    """More is written than the buffers on the way hold."""
    mute = wire(b"name 7", reads=False)
    configure(project, server, mute, ", connect_timeout_seconds: 1" + ("" if interrupted else ", answer_timeout_seconds: 1"))
    project.write("in/people.csv", "id,name,score\n" + "".join(f"{i},name {i}{'x' * 2000},{i}\n" for i in range(12000)))
    run = project.start("sync", "people")
    harness.wait_until(lambda: mute.mute.is_set() or run.poll() is not None)
    time.sleep(1)
    if interrupted:
        run.send_signal(signal.SIGINT)
    told = project.finish(run).expect(130 if interrupted else 1)
    assert told.errors() == ["cancelled" if interrupted else "net_timeout"] and "was stopped" not in told.err, told


def test_the_second_signal_ends_a_silent_run_at_once(project, server, wire):
    mute = wire(b"name 7")
    configure(project, server, mute)
    run = project.start("sync", "people")
    harness.wait_until(lambda: mute.mute.is_set() or run.poll() is not None)
    processes = project.processes()
    for _ in range(2):
        run.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert "was stopped" in project.finish(run).expect(130).err
    harness.wait_until(lambda: not any(harness.is_alive(path) for path in processes.values()), what="the end of the processes")
