# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL when things break: the server is killed and started again in each phase of a run, wires are reset, sessions are
ended while idle or in a transaction, the disk is full, rights are gone, dray is killed at every named step. After each of
them and one run without a fault the table is the source, the checkpoint is right and nothing is left behind."""

import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time

import pytest

import harness
import ports
from postgres_scene import (PASSWORD, PEOPLE, Breaker, Paused, assert_whole, configure, connection, engine,  # noqa: F401
                            held, people_sync, put_people, server, sessions, tables, versions, wait_for_no_session)

LATER = PEOPLE[4:] + [(7, "changed", 1), (50, "new", 1)]
LATER = sorted({row[0]: row for row in LATER}.values())
BIG = [(i, "x" * 200, i) for i in range(30000)]


def begin(project, server, mode="mirror", more=""):
    """A table with people in it and a source that has changed since."""
    configure(project, server, people_sync(mode), more)
    put_people(project, PEOPLE)
    project.sync("people")
    put_people(project, LATER)


# ---- the server ends ----

def end_backend(server):
    """One session's process is killed: the server ends all others and recovers by itself."""
    pids = [int(pid) for pid, _ in sessions(server)]
    assert pids, "dray has no session here"
    os.kill(pids[-1], signal.SIGKILL)
    harness.wait_until(lambda: server.try_sql("SELECT 1", "postgres").returncode == 0 and not sessions(server))


def crash(server):
    server.stop(signal.SIGQUIT)
    server.start()


def shut_down(server):
    server.stop(signal.SIGINT)
    server.start()


@pytest.mark.parametrize("phase, how", [("warehouse.begin", end_backend), ("warehouse.loaded", crash), ("warehouse.loaded", end_backend),
                                        ("sync.merged", crash), ("sync.warehouse_committed", crash)])
def test_the_server_ends_in_each_phase_of_a_write(project, server, phase, how):
    begin(project, server)
    paused = Paused(project, phase)
    how(server)
    ended = paused.go_on()
    committed = phase == "sync.warehouse_committed"
    assert committed or ended.code == 1 and {"net_closed", "state_in_doubt"} & set(ended.errors()), ended
    assert_whole(project, server, LATER)


@pytest.mark.parametrize("phase", ("warehouse.loaded", "sync.merged", "sync.warehouse_committed"))
def test_an_append_is_not_doubled_when_the_server_ends(project, server, phase):
    configure(project, server, people_sync("append").replace(", key: id", ""))
    put_people(project, PEOPLE)
    paused = Paused(project, phase)
    shut_down(server)
    paused.go_on()
    assert_whole(project, server, PEOPLE, mode="append")


def test_the_server_ends_while_a_model_is_read(project, server):
    server.sql("CREATE TABLE raw (id int PRIMARY KEY, name text, score int); GRANT SELECT ON raw TO dray;"
               "INSERT INTO raw SELECT i, 'name ' || i, i FROM generate_series(1, 20000) i")
    sync = "  people: {from: {model: m}, to: {connection: wh, table: people}, mode: mirror}\n"
    configure(project, server, sync, "", "  m: {warehouse: wh, sql: models/m.sql, key: id}\n")
    slow = "SELECT id, name, score, pg_sleep(CASE WHEN id % 1000 = 0 THEN 3 ELSE 0 END)::text AS s FROM raw"
    for how in (end_backend, crash):
        project.write("models/m.sql", slow)
        run = project.start("sync", "people")
        harness.wait_until(lambda: [state for _, state in sessions(server) if state == "active"])
        time.sleep(0.3)  # rows are on their way
        how(server)
        ended = project.finish(run)
        assert ended.code == 1 and "net_closed" in ended.errors(), ended
        assert "people" not in tables(server)
    project.write("models/m.sql", "SELECT id, name, score FROM raw")
    project.sync("people")
    assert server.value("SELECT count(*) FROM raw FULL JOIN people USING (id, name, score) WHERE raw IS NULL OR people IS NULL") == "0"


# ---- wires that break ----

@pytest.mark.parametrize("where", [b"CREATE TEMP", b"PGCOPY", b"UPDATE \"people\"", b"INSERT INTO \"_dray_state\"", b"DROP TABLE", b"COMMIT"])
def test_a_wire_that_is_reset_in_each_phase_of_a_merge(project, server, where):
    begin(project, server, more=", sslmode: disable")
    wire = Breaker(server, where, reset=True)
    config = (project.folder / "dray.yaml").read_text()
    try:
        (project.folder / "dray.yaml").write_text(config.replace(str(server.port), str(wire.port)))
        first = project.dray("sync", "people")
        assert wire.broken, f"{where} never went by"
        assert first.code == 0 or {"net_closed", "state_in_doubt"} & set(first.errors()), first
    finally:
        wire.close()
    (project.folder / "dray.yaml").write_text(config)
    assert_whole(project, server, LATER)


def test_a_wire_that_is_reset_while_a_model_is_read(project, server):
    server.sql("CREATE TABLE raw (id int PRIMARY KEY, name text, score int); GRANT SELECT ON raw TO dray;"
               "INSERT INTO raw SELECT i, repeat('x', 100), i FROM generate_series(1, 20000) i")
    wire = Breaker(server, b"", answer_bytes=1_000_000, reset=True)
    project.environment["PG_PASSWORD"] = PASSWORD
    project.config("connections:\n" + connection(server) +
                   connection(server, ", sslmode: disable", name="far").replace(str(server.port), str(wire.port)) +
                   "models:\n  m: {warehouse: far, sql: TABLE raw, key: id}\n"
                   "syncs:\n  people: {from: {model: m}, to: {connection: wh, table: people}, mode: mirror}\n")
    try:
        ended = project.dray("sync", "people")
        assert wire.broken and ended.code == 1 and "net_closed" in ended.errors(), ended
        assert "people" not in tables(server)
        project.sync("people")  # the wire broke once
    finally:
        wire.close()
    assert server.value("SELECT count(*) FROM people") == "20000"
    assert project.sync("people")["applied"] == 0


# ---- sessions that are ended ----

def test_an_idle_session_that_the_server_closed_is_opened_again(project, server):
    """Between reading and writing the session has nothing to do."""
    begin(project, server)
    paused = Paused(project, "changeset.done")
    assert [state for _, state in sessions(server)] == ["idle"]
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dray'")
    wait_for_no_session(server)
    paused.go_on().expect(0)
    assert held(server) == LATER
    assert_whole(project, server, LATER)


def test_idle_sessions_are_closed_between_windows_of_an_append(project, server):
    configure(project, server, people_sync("append", ", commit_rows: 1000").replace(", key: id", ""))
    put_people(project, [(i, f"n{i}", i) for i in range(5000)])
    paused = Paused(project, "sync.warehouse_committed")
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'dray'")
    paused.go_on()
    project.sync("people")
    assert server.sql("SELECT count(*), count(DISTINCT id) FROM people") == [["5000", "5000"]]


@pytest.mark.parametrize("setting", ["idle_in_transaction_session_timeout", "statement_timeout"])
def test_a_timeout_of_the_role_ends_the_run_and_nothing_else(project, server, setting):
    begin(project, server)
    before = versions(server)
    server.sql(f"ALTER ROLE dray SET {setting} = '3s'")  # far longer than dray keeps the server waiting by itself
    try:
        if setting == "statement_timeout":
            process, ask = server.session()
            ask("BEGIN; LOCK people IN ACCESS EXCLUSIVE MODE;")
            ended = project.dray("sync", "people")
            process.kill()
            process.communicate()
            assert "timeout" in ended.errors(), ended
        else:
            paused = Paused(project, "warehouse.merged")
            wait_for_no_session(server)
            ended = paused.go_on()
            assert "net_closed" in ended.errors() and "idle-in-transaction" in ended.err, ended
        assert ended.code == 1 and versions(server) == before
    finally:
        server.sql(f"ALTER ROLE dray RESET {setting}")
    assert_whole(project, server, LATER)


def test_a_load_longer_than_the_statement_timeout_is_taken_back(project, server):
    """A load counts as one statement, from its first row on."""
    begin(project, server)
    server.sql("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$;"
               "CREATE TRIGGER slow BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION slow()")
    config = (project.folder / "dray.yaml").read_text()
    (project.folder / "dray.yaml").write_text(config.replace("env:PG_PASSWORD", "env:PG_PASSWORD, statement_timeout_seconds: 1"))
    ended = project.dray("sync", "people")
    assert ended.code == 1 and "timeout" in ended.errors() and "statement timeout" in ended.err, ended
    server.sql("DROP TRIGGER slow ON people")
    assert_whole(project, server, LATER)


# ---- keepalive ----

def test_silence_is_probed_as_set(project, server):
    """The kernel's timer of the connection: 02 is keepalive, in hundredths of a second until the first probe."""
    configure(project, server, "  slow: {from: {model: slow}, to: {connection: wh, table: t}, mode: upsert}\n",
              ", keepalive_seconds: 9", "  slow: {warehouse: wh, sql: \"SELECT 1 AS id FROM pg_sleep(60)\", key: id}\n")
    run = project.start("sync", "slow")
    try:
        harness.wait_until(lambda: [state for _, state in sessions(server) if state == "active"])
        far = f"{server.port:04X}"

        def timers():
            with open("/proc/net/tcp", encoding="ascii") as table:
                found = [fields[5] for fields in (line.split() for line in table) if fields[2].endswith(":" + far) and fields[3] == "01"]
            return {timer.split(":")[0]: int(timer.split(":")[1], 16) for timer in found}

        harness.wait_until(lambda: "02" in timers() or run.poll() is not None, what="the timer")  # not while bytes are under way
        assert timers()["02"] <= 900, timers()
    finally:
        run.send_signal(signal.SIGINT)
        project.finish(run)


# ---- no room, no rights ----

class SmallDisk:
    """A tablespace of a few megabytes."""

    def __init__(self, server):
        self.server, self.folder = server, server.folder / "small"
        self.folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", self.folder], capture_output=True, text=True)
        self.why = None if done.returncode == 0 else f"skipped: no file system of its own can be mounted here ({done.stderr.strip()})"
        if self.why is not None:
            return
        os.chown(self.folder, server.user.pw_uid, server.user.pw_gid)
        server.sql(f"CREATE TABLESPACE small LOCATION '{self.folder}'", "postgres")
        server.sql("GRANT CREATE ON TABLESPACE small TO dray; ALTER ROLE dray SET default_tablespace = small;"
                   "ALTER ROLE dray SET temp_tablespaces = small", "postgres")

    def larger(self):
        subprocess.run(["mount", "-o", "remount,size=64m", self.folder], check=True)

    def close(self):
        if self.why is not None:
            return
        self.server.sql("ALTER ROLE dray RESET default_tablespace; ALTER ROLE dray RESET temp_tablespaces", "postgres")
        self.server.sql("DROP DATABASE work WITH (FORCE)", "postgres")
        self.server.sql("DROP TABLESPACE small", "postgres")
        subprocess.run(["umount", self.folder], check=True)


@pytest.mark.parametrize("first", [True, False])
def test_a_full_disk_of_the_server_is_told_and_takes_nothing(project, server, first):
    """The load of a new table, and a merge by way of a staging table beside a table that is elsewhere."""
    if not first:
        configure(project, server, people_sync("mirror"))
        put_people(project, PEOPLE)
        project.sync("people")
        before = versions(server)
    disk = SmallDisk(server)
    try:
        if disk.why is not None:
            pytest.fail(disk.why) if os.environ.get("CI") == "true" else pytest.skip(disk.why)
        configure(project, server, people_sync("mirror"))
        put_people(project, BIG)
        ended = project.dray("sync", "people")
        assert ended.code == 1 and "No space left" in ended.err, ended
        assert ("people" not in tables(server)) if first else (versions(server) == before)
        disk.larger()
        assert_whole(project, server, BIG)
    finally:
        disk.close()
        os.rmdir(disk.folder)


def test_a_role_that_may_not_create_is_told_what_to_grant_and_goes_on_when_it_may(project, server):
    configure(project, server, people_sync("mirror"))
    put_people(project, PEOPLE)
    server.sql("CREATE SCHEMA shop")
    config = (project.folder / "dray.yaml").read_text()
    (project.folder / "dray.yaml").write_text(config.replace("to: {connection: wh}", "to: {connection: wh, schema: shop}"))
    refused = project.dray("sync", "people").expect(5)
    assert 'ON SCHEMA "shop" TO "dray"' in refused.err, refused
    server.sql("GRANT USAGE, CREATE ON SCHEMA shop TO dray")
    project.sync("people")
    assert held(server, "shop.people") == PEOPLE
    server.sql("REVOKE CREATE ON SCHEMA shop FROM dray")
    put_people(project, LATER)
    project.sync("people")  # what is there is written without it
    assert held(server, "shop.people") == LATER


# ---- dray is killed ----

@pytest.mark.parametrize("first", [True, False])
def test_killed_at_every_step_of_the_write(project, server, first, tmp_path):
    """The steps are learned from a run that is traced; then a run dies at each."""

    def case(name):
        server.fresh()
        made = harness.Project(tmp_path / name)
        if first:
            configure(made, server, people_sync("mirror"))
            put_people(made, LATER)
        else:
            begin(made, server)
        return made

    trace = tmp_path / "trace"
    case("traced").dray("sync", "people", env={"DRAY_FAULT_TRACE": str(trace)}).expect(0)
    passed = set(trace.read_text().split())
    # Those that have to do with an engine; test_kill dies at the others as well.
    steps = {step for step in passed if step.startswith(("warehouse.", "sync."))} | {"mirror.ack", "mirror.prepare", "mirror.commit"}
    assert {"warehouse.begin", "warehouse.loaded", "warehouse.merged", "warehouse.committed", "sync.merged",
            "sync.warehouse_committed", "sync.mirror_committed", "mirror.ack", "mirror.prepare", "mirror.commit"} <= passed
    for step in sorted(steps):
        died = case(step)
        ended = died.dray("sync", "people", env={"DRAY_FAULT": f"kill:{step}:1"})
        assert ended.code != 0, f"{step} was not passed"
        assert_whole(died, server, LATER)


# ---- certificates ----

def make_certificate(folder, name, begin_at, end_at, host):
    """A certificate of its own authority, valid from one day to the other (YYYYMMDD)."""
    place = folder / name
    place.mkdir()
    (place / "index").write_text("")
    (place / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n"
        f"[p]\ncommonName=supplied\n[e]\nsubjectAltName=DNS:{host}\nbasicConstraints=CA:TRUE\n[req]\ndistinguished_name=n\n[n]\n")
    for command in (["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-config", "ca.cnf", "-subj", f"/CN={host}", "-keyout",
                     "server.key", "-out", "server.csr"],
                    ["openssl", "ca", "-batch", "-selfsign", "-create_serial", "-config", "ca.cnf", "-keyfile", "server.key", "-in",
                     "server.csr", "-out", "server.crt", "-notext", "-startdate", begin_at + "000000Z", "-enddate", end_at + "000000Z"]):
        done = subprocess.run(command, cwd=place, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return place


@pytest.mark.parametrize("begin_at, end_at, host, works", [
    ("20200101", "20990101", "localhost", True), ("20200101", "20210101", "localhost", False),
    ("20980101", "20990101", "localhost", False), ("20200101", "20990101", "elsewhere.example", False)])
def test_a_certificate_must_be_valid_now_and_for_the_name(project, server, begin_at, end_at, host, works, tmp_path):
    made = make_certificate(tmp_path, "tls", begin_at, end_at, host)
    kept = {name: (server.data / name).read_bytes() for name in ("server.key", "server.crt")}
    try:
        for name in kept:
            (server.data / name).write_bytes((made / name).read_bytes())
        server.sql("SELECT pg_reload_conf()", "postgres")
        project.environment["PG_PASSWORD"] = PASSWORD

        def check(mode):
            project.config("connections:\n" + connection(server, f", sslmode: {mode}, sslrootcert: {made / 'server.crt'}", host="localhost")
                           + "syncs: {}\n")
            return project.dray("check", "--json")

        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        wanted = ssl.PEM_cert_to_DER_cert((made / "server.crt").read_text())

        def fresh_certificate():
            with socket.create_connection(("127.0.0.1", server.port)) as probe:
                probe.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]))
                assert probe.recv(1) == b"S"
                with context.wrap_socket(probe) as secure:
                    return secure.getpeercert(binary_form=True) == wanted

        harness.wait_until(fresh_certificate, what="the server's reading of its files")
        told = check("verify-full")
        assert (told.code == 0) is works, told
        assert works or "certificate" in told.out.lower(), told
        if host != "localhost":
            assert check("verify-ca").code == 0  # the authority is right, only the name is not
    finally:
        for name, data in kept.items():
            (server.data / name).write_bytes(data)
        server.sql("SELECT pg_reload_conf()", "postgres")


# ---- a pooler ----

class Pooler:
    """PgBouncer in transaction mode before the server."""

    def __init__(self, server, size):
        self.folder = pathlib.Path(server.folder) / "pooler"
        self.folder.mkdir()
        self.held, self.port = ports.hold()
        (self.folder / "users").write_text(f'"dray" "{PASSWORD}"\n')
        (self.folder / "pgbouncer.ini").write_text(
            f"[databases]\nwork = host=127.0.0.1 port={server.port} dbname=work\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nauth_type = scram-sha-256\nauth_file = {self.folder}/users\npool_mode = transaction\n"
            f"default_pool_size = {size}\nquery_wait_timeout = 600\nunix_socket_dir =\nserver_tls_sslmode = disable\n")
        for path in (self.folder, *self.folder.iterdir()):
            os.chown(path, server.user.pw_uid, server.user.pw_gid)
        who = {} if os.getuid() != 0 else {"user": server.user.pw_uid, "group": server.user.pw_gid, "extra_groups": []}
        self.log = open(self.folder / "log", "wb")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(["pgbouncer", self.folder / "pgbouncer.ini"], stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL, cwd=self.folder, **who)
        harness.wait_until(self._answers, what="pgbouncer")

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        except OSError:
            return False

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=600)
        self.log.close()
        self.held.close()


@pytest.fixture
def pooler(server):
    if subprocess.run(["sh", "-c", "command -v pgbouncer"], capture_output=True).returncode != 0:
        why = "skipped: PgBouncer is not installed"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)
    made = Pooler(server, 2)
    yield made
    made.close()
    subprocess.run(["rm", "-r", str(made.folder)], check=True)


def test_everything_works_through_a_pooler_of_transactions(project, server, pooler):
    server.sql("CREATE TABLE raw (id int PRIMARY KEY, n numeric(8,2)); GRANT SELECT ON raw TO dray;"
               "INSERT INTO raw SELECT i, i / 4.0 FROM generate_series(1, 20000) i")
    configure(project, server, people_sync("mirror") +
              "  twice: {from: {model: twice}, to: {connection: wh, table: t}, mode: mirror}\n"
              "  lines: {from: {connection: files, stream: people}, to: {connection: wh, table: lines}, mode: append}\n",
              "", "  twice: {warehouse: wh, sql: \"SELECT id, (n * 2)::numeric(9,2) AS n FROM raw\", key: id}\n")
    config = (project.folder / "dray.yaml").read_text()
    (project.folder / "dray.yaml").write_text(config.replace(str(server.port), str(pooler.port)))
    put_people(project, PEOPLE)
    project.dray("check").expect(0)
    project.sync("people")
    project.sync("lines")
    assert held(server) == PEOPLE and held(server, "lines") == PEOPLE
    before = versions(server)
    assert project.sync("people")["applied"] == 0
    assert versions(server) == before
    put_people(project, LATER)
    both = [project.start("sync", "people", "--json"), project.start("sync", "twice", "--json")]  # sharing the two sessions
    for run in both:
        project.finish(run).expect(0)
    assert held(server) == LATER
    same = "SELECT count(*) FROM raw r FULL JOIN t USING (id) WHERE t.n IS DISTINCT FROM r.n * 2"
    assert server.value(same) == "0"
    server.sql("UPDATE raw SET n = n + 1 WHERE id % 100 = 0")
    assert project.sync("twice")["applied"] == 200 and server.value(same) == "0"
    project.dray("state", "verify", "people").expect(0)
    # The pooler's sessions are still there: what dray needed in them is not.
    assert sessions(server) and {state for _, state in sessions(server)} == {"idle"}
    assert server.value("SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == "0"
    assert tables(server) == {"people", "t", "lines", "raw", "_dray_state"}


def test_a_run_that_dies_behind_a_pooler_leaves_no_transaction(project, server, pooler):
    begin(project, server)
    config = (project.folder / "dray.yaml").read_text()
    (project.folder / "dray.yaml").write_text(config.replace(str(server.port), str(pooler.port)))
    died = project.dray("sync", "people", env={"DRAY_FAULT": "kill:warehouse.merged:1"})
    assert died.code != 0
    harness.wait_until(lambda: "idle in transaction" not in {state for _, state in sessions(server)})
    project.sync("people")
    assert held(server) == LATER and project.sync("people")["applied"] == 0
