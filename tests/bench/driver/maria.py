# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A MariaDB server of our own for the suite `warehouse`: Debian's, in a folder of the work place, default durability."""
import functools
import glob
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time

from . import machine, peers

COLUMNS = ("id",) + peers.COLUMNS


class Server:
    # What dray makes of these rows, but for its own column; texts as TEXT.
    TABLE = """CREATE TABLE {name} (id bigint NOT NULL, email longtext, first_name longtext, last_name longtext, city longtext,
        country longtext, signed_up date, seen_at datetime(6), orders bigint, revenue decimal(12,2), score double,
        subscribed boolean{key}) DEFAULT CHARSET utf8mb4"""
    SETTINGS = ("innodb-buffer-pool-size=1G", "innodb-log-file-size=1G", "local-infile=1", "skip-name-resolve",
                "bind-address=127.0.0.1", "character-set-server=utf8mb4")

    def __init__(self, place):
        self.place, self.why = place, None
        self.program = next((path for name in ("mariadbd", "mysqld") for path in ("/usr/sbin/" + name,) if os.path.exists(path)), None)
        if self.program is None or shutil.which("mariadb") is None:
            self.why = "no mariadbd, or no client (tools/bench --setup)"
        elif not glob.glob(str(place.build / "plugins/mysql/*.so")) and not glob.glob(str(place.build / "plugins/mysql/*/*.so")):
            self.why = "this build has no mysql plugin"
        if self.why:
            return
        self.folder = place.scratch / "mariadb"
        self.folder.mkdir()
        self.user = pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            self.user = "mysql"
            try:
                owner = pwd.getpwnam(self.user)
            except KeyError:
                self.why = "root may not run a server, and there is no user mysql"
                return
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            place.scratch.chmod(0o755)
        self.start()
        place.closers.append(self.stop)

    def start(self):
        machine.say("bench: starting " + machine.checked([self.program, "--version"]).strip())
        machine.checked(["mariadb-install-db", "--no-defaults", f"--datadir={self.folder}/data", f"--user={self.user}",
                         "--skip-test-db", "--auth-root-authentication-method=normal"])
        self.held, self.port = peers.ports.hold()
        self.socket = f"{self.folder}/socket"
        self.log = open(self.place.scratch / "mariadb.log", "wb")
        self.server = subprocess.Popen(
            [self.program, "--no-defaults", f"--datadir={self.folder}/data", f"--user={self.user}", f"--socket={self.socket}",
             f"--port={self.port}", f"--pid-file={self.folder}/pid", *("--" + setting for setting in self.SETTINGS)],
            cwd=self.folder, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        password = secrets.token_hex(16)
        self.env = {"BENCH_PASSWORD": password, "MYSQL_PWD": password}
        first = ["mariadb", "--no-defaults", f"--socket={self.socket}", "-uroot"]
        for _ in range(1500):
            done = subprocess.run(first, input=f"CREATE DATABASE bench; CREATE USER bench@'127.0.0.1' IDENTIFIED BY '{password}'; "
                                  "GRANT ALL ON bench.* TO bench@'127.0.0.1'", capture_output=True, text=True)
            if done.returncode == 0:
                return
            if self.server.poll() is not None:
                break
            time.sleep(0.2)
        raise machine.Failed(f"MariaDB did not start: {(self.place.scratch / 'mariadb.log').read_text()[-400:]}")

    def stop(self):
        self.server.send_signal(signal.SIGTERM)
        try:
            self.server.wait(60)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.log.close()

    def connections(self):
        link = (f"plugin: mysql, host: 127.0.0.1, port: {self.port}, database: bench, user: bench, "
                "password: !secret env:BENCH_PASSWORD")
        return [f"  wh: {{{link}}}", f"  from: {{{link}}}"]

    def client(self, sql):
        return ["mariadb", "--no-defaults", "--local-infile=1", "-h127.0.0.1", f"-P{self.port}", "-ubench", "-N", "-B", "bench", "-e", sql]

    def sql(self, *statements):
        done = subprocess.run(self.client("; ".join(statements)), env={**os.environ, **self.env}, capture_output=True, text=True)
        if done.returncode != 0:
            raise machine.Failed("mariadb: " + " ".join(done.stderr.split())[-300:])
        return done.stdout

    def make(self, name, keyed):
        self.sql(f"DROP TABLE IF EXISTS {name}", self.TABLE.format(name=name, key=", PRIMARY KEY (id)" if keyed else ""))

    @staticmethod
    def load_data(name, path):
        """The statement: empty fields are nulls, truth values and times as the file spells them."""
        taken = ", ".join(f"@{column}" for column in COLUMNS)
        spelt = {"subscribed": "@subscribed = 'true'", "seen_at": "replace(replace(@seen_at, 'T', ' '), 'Z', '')"}
        sets = ", ".join(f"{column} = {spelt.get(column, f'nullif(@{column}, {chr(39) * 2})')}" for column in COLUMNS)
        return (f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {name} CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' "
                f"OPTIONALLY ENCLOSED BY '\"' LINES TERMINATED BY '\\n' IGNORE 1 LINES ({taken}) SET {sets}")

    def unequal(self, ours, theirs):
        values = ", ".join(f"ifnull({column}, 'null')" for column in COLUMNS)
        one, two = (self.sql(f"SELECT count(*), sum(crc32(concat_ws('|', {values}))) FROM {name}").strip() for name in (ours, theirs))
        return None if one == two else f"the tables differ: rows and sum are {one} here, {two} at the peer"

    @staticmethod
    def measured(work):
        return work()


@functools.lru_cache(maxsize=None)
def server_of(place):
    return Server(place)
