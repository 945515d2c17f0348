# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A MariaDB server of its own for tests: Debian's, in a temporary folder, on a free port of this machine, run by a user without
rights, ended by its process id."""

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

FAST = ("innodb-flush-log-at-trx-commit=0", "innodb-doublewrite=0", "innodb-buffer-pool-size=64M",
        "sync-binlog=0", "performance-schema=0", "max-connections=60",
        "innodb-use-native-aio=0", "innodb-log-file-size=64M")


def programs():
    """The server, the client and what makes a data folder; None when one is missing."""
    found = [shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") for name in ("mariadbd", "mariadb", "mariadb-install-db")]
    return found if all(found) else None


def missing():
    """Why there can be no server: None when there can be."""
    return None if programs() is not None else "skipped: MariaDB is not installed"


def text(value):
    """A text as a literal of SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


class Server:
    def __init__(self, password):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="dray-my-", dir=os.environ.get("TMPDIR", "/tmp")))
        self.data = self.folder / "data"
        self.user = self._unprivileged()
        self.process = None
        self.held, self.port = ports.hold()
        try:
            self._make()
            self.start()
            self.sql(f"CREATE USER dray@'%' IDENTIFIED BY {text(password)}; GRANT ALL ON *.* TO dray@'%'", database="")
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _unprivileged():
        if os.getuid() != 0:
            return pwd.getpwuid(os.getuid())
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        return names.get("mysql") or names["nobody"]

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
        self._run(programs()[2], "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal",
                  "--skip-test-db", "--innodb-log-file-size=64M", "--innodb-use-native-aio=0",
                  f"--tmpdir={self.folder}")  # in a shared one a server that starts removes what another has there
        self._run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                  "-addext", "subjectAltName=DNS:localhost", "-keyout", self.folder / "server.key", "-out",
                  self.authority)

    @property
    def authority(self):
        return self.folder / "authority.pem"

    @property
    def socket(self):
        return self.folder / "socket"

    def start(self, *settings):
        options = FAST + (f"datadir={self.data}", f"socket={self.socket}", f"port={self.port}", "bind-address=127.0.0.1",
                          "skip-networking=0", f"tmpdir={self.folder}", f"ssl-cert={self.authority}",
                          f"ssl-key={self.folder / 'server.key'}", "character-set-server=utf8mb4", "local-infile=1") + settings
        self.log = open(self.folder / "log", "ab")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            [programs()[0], "--no-defaults", *(f"--{option}" for option in options)], cwd=self.folder, stdout=self.log,
            stderr=self.log, stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            start_new_session=True, **self._as_user())
        end = time.monotonic() + 600
        while self.try_sql("SELECT 1", database="").returncode != 0:
            assert self.process.poll() is None and time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self, how=signal.SIGTERM):
        """SIGTERM: sessions are ended. SIGKILL: as a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=600)
            self.log.close()
        self.process = None

    def close(self):
        self.stop(signal.SIGKILL)
        self.held.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self, database="work"):
        return [programs()[1], "--no-defaults", "--default-character-set=utf8mb4", f"--socket={self.socket}", "--user=root",
                "--local-infile=1", *([database] if database else [])]

    def try_sql(self, script, database="work"):
        return subprocess.run(self.client(database) + ["--batch", "--skip-column-names", "--raw"], input=script.encode(),
                              capture_output=True, check=False)

    def sql(self, script, database="work"):
        """Runs SQL as the superuser; returns the rows as lists of texts (null: NULL)."""
        done = self.try_sql(script, database)
        assert done.returncode == 0, f"{script}\n{done.stderr.decode()}"
        return [line.split("\t") for line in done.stdout.decode("utf-8", "surrogateescape").splitlines()]

    def value(self, query, database="work"):
        return self.sql(query, database)[0][0]

    def rows(self, table, columns, where="1 = 1", order="1", database="work"):
        """The columns of a table as JSON values, whatever is in them."""
        names = ", ".join("`" + column.replace("`", "``") + "`" for column in columns)
        return [json.loads(line[0]) for line in self.sql(
            f"SELECT JSON_ARRAY({names}) FROM {table} WHERE {where} ORDER BY {order}", database)]

    def fresh(self, database="work"):
        """An empty database, and no other but the server's own."""
        own = {"information_schema", "mysql", "performance_schema", "sys"}
        gone = [row[0] for row in self.sql("SHOW DATABASES", "") if row[0] not in own]
        drop = "".join("DROP DATABASE `" + name.replace("`", "``") + "`;" for name in gone)
        self.sql(f"{drop} CREATE DATABASE {database}", "")

    def counter(self, name):
        return int(self.sql(f"SHOW GLOBAL STATUS LIKE '{name}'", "")[0][1])

    def sessions(self, user="dray"):
        return int(self.value(f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{user}'", ""))

    def lock_waits(self):
        """How many transactions wait for the lock of a row, now. Not from information_schema.INNODB_TRX: that is a copy, which
        the server renews only when nobody has read it for 100 ms; whoever looks more often sees the old one for ever."""
        return self.counter("Innodb_row_lock_current_waits")

    def session(self, database="work"):
        """A client that is left open, to hold locks: `ask` runs SQL and waits for the answer."""
        process = subprocess.Popen(self.client(database) + ["--batch", "--skip-column-names", "--raw", "--unbuffered"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def ask(script):
            process.stdin.write(script + "\nSELECT 'done';\n")
            process.stdin.flush()
            lines = []
            for line in process.stdout:
                if line.strip() == "done":
                    return lines
                lines.append(line.strip())
            raise AssertionError(f"the client ended: {script}")

        return process, ask
