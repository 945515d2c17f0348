# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of its own for tests: Debian's, in a temporary folder, on a free port of this machine, run by a user
without rights, ended by its process id."""

import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import ports  # noqa: E402

FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=40", "autovacuum=off",
        "wal_level=replica", "log_statement=none", "log_min_messages=warning", "max_wal_size=1GB")


def programs():
    """The folder of initdb and postgres, or None."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found and shutil.which("psql") else None


def missing():
    """Why there can be no server: None when there can be."""
    return None if programs() is not None else "skipped: PostgreSQL is not installed"


class Server:
    def __init__(self, role_password):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="dray-pg-", dir=os.environ.get("TMPDIR", "/tmp")))
        self.data = self.folder / "data"
        self.role_password = role_password
        self.user = self._unprivileged()
        self.process = None
        self.held, self.port = ports.hold()
        try:
            self._make()
            self.start()
            self.sql(f"CREATE ROLE dray LOGIN PASSWORD '{role_password}'", database="postgres")
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _unprivileged():
        if os.getuid() != 0:
            return pwd.getpwuid(os.getuid())
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        return names.get("postgres") or names["nobody"]

    def _as_user(self):
        if os.getuid() != 0:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def _run(self, *command):
        done = subprocess.run([str(part) for part in command], cwd=self.folder, capture_output=True, text=True,
                              check=False, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, **self._as_user())
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    def _make(self):
        os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        os.chmod(self.folder, 0o755)
        self._run(programs() / "initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-A",
                  "trust", "--no-sync")
        (self.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        self._run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                  "-addext", "subjectAltName=DNS:localhost", "-keyout", self.data / "server.key", "-out",
                  self.data / "server.crt")
        os.chmod(self.data / "server.key", 0o600)
        shutil.copy(self.data / "server.crt", self.folder / "authority.pem")

    @property
    def authority(self):
        return self.folder / "authority.pem"

    def start(self, *settings):
        options = [part for setting in FAST + ("ssl=on",) + settings for part in ("-c", setting)]
        self.log = open(self.folder / "log", "ab")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            [programs() / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.folder, *options],
            cwd=self.folder, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, start_new_session=True, **self._as_user())
        end = time.monotonic() + 600
        while self.try_sql("SELECT 1", database="postgres").returncode != 0:
            assert self.process.poll() is None and time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self, how=signal.SIGINT):
        """SIGINT: fast, sessions are ended. SIGQUIT: as a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=600)
            self.log.close()
        self.process = None

    def close(self):
        self.stop(signal.SIGQUIT)
        self.held.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def psql(self, database="work"):
        return ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-p", str(self.port), "-U",
                "postgres", "-d", database]

    def try_sql(self, script, database="work"):
        return subprocess.run(self.psql(database) + ["-At", "-F", "|", "-f", "-"], input=script, capture_output=True,
                              text=True, check=False)

    def sql(self, script, database="work"):
        """Runs SQL as the superuser; returns the rows as lists of texts (null: empty)."""
        done = self.try_sql(script, database)
        assert done.returncode == 0, f"{script}\n{done.stderr}"
        return [line.split("|") for line in done.stdout.splitlines()]

    def value(self, query, database="work"):
        return self.sql(query, database)[0][0]

    def rows(self, query, database="work"):
        """The rows as JSON values, whatever is in them."""
        text = self.sql(f"SELECT coalesce(json_agg(t), '[]') FROM ({query}) t", database)
        return [list(row.values()) for row in json.loads("\n".join("|".join(line) for line in text))]

    def fresh(self, database="work"):
        """An empty database that belongs to the role `dray`."""
        self.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)", "postgres")
        self.sql(f"CREATE DATABASE {database} OWNER dray TEMPLATE template0 STRATEGY file_copy", "postgres")

    def wal(self):
        return int(self.value("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))

    def assert_idle(self, run):
        """`run` writes not a byte. The server itself notes its running transactions, up to 15 s after others have written: that is
        met once, and not again."""
        written = []
        while 0 not in written and len(written) < 3:
            before = self.wal()
            run()
            written.append(self.wal() - before)
        assert 0 in written, written

    def session(self, database="work"):
        """A psql that is left open, to hold locks: write SQL to its stdin, line by line; `ask` waits for the answer."""
        process = subprocess.Popen(self.psql(database) + ["-At"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def ask(script):
            process.stdin.write(script + "\n\\echo done\n")
            process.stdin.flush()
            lines = []
            for line in process.stdout:
                if line.strip() == "done":
                    return lines
                lines.append(line.strip())
            raise AssertionError(f"psql ended: {script}")

        return process, ask
