# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What both servers are tried with in one way: a client that proves itself by a certificate; and MariaDB's full disk, beside
PostgreSQL's in test_postgres_faults.py."""

import os
import subprocess

import pytest

import harness
import mysql_server
import scene

PASSWORD = harness.CANARY_BEARER


# ---- certificates of clients ----

def openssl(folder, *arguments):
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def make_client(folder, authority, name):
    """NAME.crt and NAME.key, signed by AUTHORITY.crt, which is made when it is not there."""
    if not (folder / f"{authority}.crt").exists():
        openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={authority}", "-keyout",
                f"{authority}.key", "-out", f"{authority}.crt")
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial",
            "-days", "2", "-out", f"{name}.crt")
    os.chmod(folder / f"{name}.key", 0o600)


class Postgres:
    """Logs in by the certificate alone: its common name is the role."""

    plugin, number = "postgres", "generate_series(1, 5) AS i(n)"

    def __init__(self, server, authority):
        self.server = server
        self.hba = server.data / "pg_hba.conf"
        self.before = self.hba.read_text()
        self.hba.write_text("local all all trust\nhostssl all dray 127.0.0.1/32 cert\n")
        target = server.data / "clients.crt"
        target.write_bytes(authority.read_bytes())
        os.chown(target, server.user.pw_uid, server.user.pw_gid)
        server.stop()
        server.start("ssl_ca_file=clients.crt")
        server.fresh()

    def close(self):
        self.hba.write_text(self.before)
        self.server.stop()
        self.server.start()


class Mysql:
    """Has no password, and must show a certificate of this name."""

    plugin, number = "mysql", "(SELECT seq AS n FROM seq_1_to_5) AS i"

    def __init__(self, server, authority):
        self.server = server
        target = server.folder / "clients.pem"
        target.write_bytes(authority.read_bytes())
        os.chmod(target, 0o644)
        server.stop()
        server.start(f"ssl-ca={target}")
        server.fresh()
        server.sql("CREATE OR REPLACE USER dray@'%' REQUIRE SUBJECT '/CN=dray'; GRANT ALL ON *.* TO dray@'%'")

    def close(self):
        self.server.sql("CREATE OR REPLACE USER dray@'%' IDENTIFIED BY " + mysql_server.text(PASSWORD) +
                        "; GRANT ALL ON *.* TO dray@'%'", "")
        self.server.stop()
        self.server.start()


@pytest.mark.parametrize("kind", [Postgres, Mysql], ids=["postgres", "mysql"])
def test_a_client_proves_itself_by_a_certificate(project, tmp_path, request, kind):
    make_client(tmp_path, "clients", "dray")
    make_client(tmp_path, "clients", "somebody")
    make_client(tmp_path, "others", "stranger")
    place = kind(request.getfixturevalue(kind.plugin), tmp_path / "clients.crt")
    try:
        place.server.sql(f"CREATE TABLE people (id int PRIMARY KEY); INSERT INTO people SELECT n FROM {place.number}; "
                         "GRANT SELECT ON people TO dray")

        def configure(name):
            proof = "" if name is None else f", sslcert: {tmp_path / name}.crt, sslkey: {tmp_path / name}.key"
            project.config(f"connections:\n  wh: {{plugin: {kind.plugin}, host: localhost, port: {place.server.port}, database: work, "
                           f"user: dray, sslmode: verify-full, sslrootcert: {place.server.authority}{proof}}}\n"
                           "models:\n  m: {warehouse: wh, sql: \"SELECT id FROM people\", key: id}\n"
                           "syncs:\n  s: {from: {model: m}, to: {connection: wh, table: copies}, mode: replace}\n")

        configure("dray")
        project.dray("check").expect(0)
        assert project.sync("s")["applied"] == 5
        for name in (None, "somebody", "stranger"):
            configure(name)
            refused = project.dray("check")
            assert refused.code != 0 and "FAIL" in refused.out, f"{name}: {refused}"
            assert project.dray("sync", "s").code != 0
        configure("dray")
        assert project.sync("s")["applied"] == 0
    finally:
        place.close()


# ---- MariaDB: no room ----

ROOM = "innodb-file-per-table=0", "innodb-data-file-path=ibdata1:12M:autoextend:max:{}M"
FEW = [(i, f"name {i}", i) for i in range(1, 21)]
BIG = [(i, "x" * 900 + str(i), i) for i in range(1, 20001)]


@pytest.fixture
def small():
    """A server whose tables share one file of a few megabytes. (A file system that is full ends the server itself.)"""
    made = scene.started(mysql_server)
    made.stop()
    made.start(*(option.format(16) for option in ROOM))
    made.fresh()
    yield made
    made.close()


def put_people(project, rows):
    project.write("in/people.csv", "id,name,score\n" + "".join(f"{i},{n},{s}\n" for i, n, s in rows))


@pytest.mark.parametrize("first, local_infile", [(True, 1), (False, 0)])
def test_no_room_in_mariadb_is_told_and_takes_nothing(project, small, first, local_infile):
    """The load of a new table, and a merge into one that is there."""
    small.sql(f"SET GLOBAL local_infile = {local_infile}", "")
    project.environment["MY_PASSWORD"] = PASSWORD
    project.config(f"connections:\n  wh: {{plugin: mysql, host: 127.0.0.1, port: {small.port}, database: work, user: dray, sslmode: "
                   "disable, password: !secret env:MY_PASSWORD}\n  files: {plugin: file, path: in}\n"
                   "syncs:\n  people: {from: {connection: files, stream: people}, to: {connection: wh}, mode: mirror, key: id}\n")
    if not first:
        put_people(project, FEW)
        project.sync("people")
    put_people(project, BIG)
    ended = project.dray("sync", "people", "--json").expect(1)
    assert ended.errors() == ["disk_full"], str(ended)
    assert small.rows("people", ("id", "name", "score"), order="id") == ([] if first else [list(row) for row in FEW])
    assert small.sessions() == 0
    small.stop()
    small.start(ROOM[0], ROOM[1].format(400))
    project.sync("people")
    assert small.rows("people", ("id", "name", "score"), order="id") == [list(row) for row in BIG]
    assert project.sync("people")["applied"] == 0
    project.dray("state", "verify", "people").expect(0)
    assert {row[0] for row in small.sql("SHOW TABLES")} == {"people", "_dray_state"}
