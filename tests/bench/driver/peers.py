# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The peers: DuckDB from its npm package, a PostgreSQL server of our own, SQLite, sort and comm. None of them is
installed from here but DuckDB's package, into the work folder."""
import glob
import json
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import ports  # noqa: E402

from . import machine  # noqa: E402

DUCKDB_PACKAGE = "@duckdb/node-api@1.5.6-r.1"
COLUMNS = ("email", "first_name", "last_name", "city", "country", "signed_up", "seen_at", "orders", "revenue", "score",
           "subscribed")
CHANGED = " OR ".join(f"n.{name} IS DISTINCT FROM o.{name}" for name in COLUMNS)
OPERATION = "CASE WHEN o.id IS NULL THEN 'insert' WHEN n.id IS NULL THEN 'delete' ELSE 'update' END"
NEW_ROW = ", ".join(f"n.{name}" for name in COLUMNS)
OLD_ROW = ", ".join(f"o.{name} AS before_{name}" for name in COLUMNS)


def counts_of(pairs):
    """[(operation, count)] as the generator's words."""
    found = {"inserts": 0, "updates": 0, "deletes": 0}
    for operation, number in pairs:
        found[str(operation) + "s"] = int(number)
    return found


# ---- DuckDB ----

class DuckDB:
    def __init__(self, place):
        self.place, self.why = place, None
        self.modules = place.work / "npm"
        for program in ("node", "npm"):
            if shutil.which(program) is None:
                self.why = f"no {program} on the path (tools/bench --setup)"
                return
        if not (self.modules / "node_modules/@duckdb/node-api").is_dir():
            self.install()

    def install(self):
        machine.say(f"bench: npm install {DUCKDB_PACKAGE}")
        self.modules.mkdir(parents=True, exist_ok=True)
        (self.modules / "package.json").write_text('{"private": true}\n')
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", DUCKDB_PACKAGE],
                              cwd=self.modules, capture_output=True, text=True)
        if done.returncode != 0:
            self.why = "npm install failed: " + " ".join(done.stderr.split())[-200:]

    def run(self, timed, *, database=":memory:", memory=None, prepare=(), then=None):
        temporary = self.place.scratch / "duckdb.tmp"
        settings = {"threads": "2", "temp_directory": str(temporary), "preserve_insertion_order": "false"}
        if memory:
            settings["memory_limit"] = memory
        job = self.place.scratch / "duckdb.json"
        job.write_text(json.dumps({"module_folder": str(self.modules), "database": str(database), "settings": settings,
                                   "prepare": list(prepare), "timed": list(timed), "then": then}))
        ran = machine.run(["node", pathlib.Path(__file__).parent / "duckdb.mjs", job])
        shutil.rmtree(temporary, ignore_errors=True)
        return ran


# ---- PostgreSQL ----

class Postgres:
    """A server in a folder of its own, as an unprivileged user, on a free loopback port, with a password of its own."""

    TABLE = """CREATE UNLOGGED TABLE {name} (id bigint NOT NULL, email text, first_name text, last_name text, city text,
        country text, signed_up date, seen_at timestamptz, orders integer, revenue numeric(12,2),
        score double precision, subscribed boolean)"""
    # What one would give it on a laptop; work_mem is the engine's own budget. No parallel full join before 16.
    SETTINGS = {"shared_buffers": "1GB", "work_mem": "256MB", "maintenance_work_mem": "512MB", "max_wal_size": "8GB",
                "fsync": "off", "autovacuum": "off", "unix_socket_directories": ""}

    def __init__(self, place):
        self.place, self.why, self.tables = place, None, set()
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
        if not found or shutil.which("psql") is None:
            self.why = "no server in /usr/lib/postgresql, or no psql (tools/bench --setup)"
            return
        if place.program("bench_copy_count") is None:
            self.why = "built without libpq (tools/bench --setup)"
            return
        self.bin = pathlib.Path(found[-1]).parent
        self.version = machine.checked([found[-1], "--version"]).split()[2]
        self.folder = place.scratch / "postgres"
        self.folder.mkdir()
        self.drop = []
        if os.getuid() == 0:
            try:
                user = pwd.getpwnam("postgres")
            except KeyError:
                self.why = "root may not run a server, and there is no user postgres"
                return
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            place.scratch.chmod(0o755)
            self.drop = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]
        self.start()
        place.closers.append(self.stop)

    def start(self):
        machine.say("bench: starting PostgreSQL " + self.version)
        password = secrets.token_hex(16)
        given = self.folder / "password"
        given.write_text(password)
        given.chmod(0o644 if self.drop else 0o600)  # ours, readable to the server's user until initdb is done
        checked_as(self.drop, [self.bin / "initdb", "-D", self.folder / "data", "-U", "bench", "-A", "scram-sha-256",
                               f"--pwfile={given}", "-E", "UTF8", "--locale=C", "-N"], self.folder)
        given.unlink()
        self.held, self.port = ports.hold()
        settings = [part for name, value in self.SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self.log = open(self.place.scratch / "postgres.log", "wb")
        self.server = subprocess.Popen([*self.drop, str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-p",
                                        str(self.port), "-h", "127.0.0.1", *settings], cwd=self.folder,
                                       stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        self.env = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "bench", "PGPASSWORD": password,
                    "PGDATABASE": "postgres", "PGSSLMODE": "disable"}
        for _ in range(1500):
            if self.server.poll() is not None:
                break
            try:
                self.sql("SELECT 1")
                return
            except machine.Failed:
                time.sleep(0.2)
        raise machine.Failed("PostgreSQL did not start" + self.last_words())

    def stop(self):
        self.server.send_signal(signal.SIGINT)  # a fast shutdown
        try:
            self.server.wait(30)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.log.close()

    def psql(self, *statements):
        command = ["psql", "-X", "-q", "-A", "-t", "-F", ",", "-v", "ON_ERROR_STOP=1"]
        for sql in statements:
            command += ["-c", sql]
        return command

    def sql(self, *statements):
        done = subprocess.run(self.psql(*statements), env={**os.environ, **self.env}, capture_output=True, text=True)
        if done.returncode != 0:
            raise machine.Failed("psql: " + " ".join(done.stderr.split())[-300:] + self.last_words())
        return done.stdout

    def last_words(self):
        """What a server said that is about to be gone, and with it its log."""
        return "\nthe server's log:\n" + (self.place.scratch / "postgres.log").read_text(errors="replace")[-3000:]

    def load(self, name, csv):
        """A table from a CSV file, with its key, hint bits set: nobody pays for being the first reader."""
        if name not in self.tables:
            machine.say(f"bench: loading {name} into PostgreSQL")
            self.sql(self.TABLE.format(name=name), f"\\copy {name} FROM '{csv}' CSV HEADER",
                     f"ALTER TABLE {name} ADD PRIMARY KEY (id)", f"VACUUM (FREEZE, ANALYZE) {name}", "CHECKPOINT")
            self.tables.add(name)
        return name

    def full_join(self, new, old):
        """The database's own diff: changed rows into a table."""
        ran = machine.run(self.psql(
            "DROP TABLE IF EXISTS changes",
            f"CREATE UNLOGGED TABLE changes AS SELECT {OPERATION} AS op, coalesce(n.id, o.id) AS id, {NEW_ROW} "
            f"FROM {new} n FULL JOIN {old} o ON n.id = o.id WHERE {CHANGED}"), env=self.env)
        ran.peak_mb = None  # psql's own says nothing
        ran.said = counts_of(line.split(",") for line in
                             self.sql("SELECT op, count(*) FROM changes GROUP BY op").split())
        return ran


def checked_as(drop, command, cwd):
    done = subprocess.run([*drop, *map(str, command)], cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        raise machine.Failed(f"{pathlib.Path(str(command[0])).name}: {' '.join((done.stderr + done.stdout).split())[-400:]}")


# ---- plain tools ----

def sort_comm(place, old, new):
    """sort + sort + comm within 256 MB: the diff that every machine has. Lines out, no operations, no columns."""
    script = ('set -e; sort -S 240M -T "$3" "$1" > "$3/old.sorted"; sort -S 240M -T "$3" "$2" > "$3/new.sorted"; '
              'comm -3 "$3/old.sorted" "$3/new.sorted" > "$3/changed"; rm "$3/old.sorted" "$3/new.sorted" "$3/changed"')
    return machine.run(["bash", "-c", script, "sort_comm", old, new, place.scratch], env={"LC_ALL": "C"}, seconds=None)


def sqlite_load(place, database, old, new):
    columns = ", ".join(f"{name} TEXT" for name in COLUMNS)
    script = [f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {columns});" for name in ("old", "new")]
    script += [".mode csv", f".import --skip 1 {old} old", f".import --skip 1 {new} new"]
    done = subprocess.run(["sqlite3", "-cmd", "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;", str(database)],
                          input="\n".join(script) + "\n", capture_output=True, text=True)
    if done.returncode != 0:
        raise machine.Failed("sqlite3: " + done.stderr[-300:])


def sqlite_join(database):
    """Left join for inserts and updates, anti join for deletes, changed rows into a table."""
    sql = (f"DROP TABLE IF EXISTS temp.changes; CREATE TEMP TABLE changes AS SELECT {OPERATION} AS op, n.id, {NEW_ROW} "
           f"FROM new n LEFT JOIN old o ON n.id = o.id WHERE {CHANGED.replace('IS DISTINCT FROM', 'IS NOT')}; "
           "INSERT INTO changes (op, id) SELECT 'delete', o.id FROM old o WHERE NOT EXISTS "
           "(SELECT 1 FROM new n WHERE n.id = o.id); SELECT count(*) FROM changes;")
    return machine.run(["sqlite3", database, sql], seconds=None)
