# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Logical replication where it is awkward: a slot that the server gave up, another server in the place of the first, partitions, a
transaction of 100,000 rows. What is plainer is in test_postgres_source.py."""

import harness
import postgres_server
from test_postgres_source import (LOGICAL, PASSWORD, anew, broken, drop_slots, engine, follow,  # pylint: disable=unused-import
                                  owned, server, slots)


def test_a_slot_that_the_server_gave_up_is_noticed(project, server):
    """max_slot_wal_keep_size bounds what a slot keeps: beyond it the log is gone, and what was in it is not known."""
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    follow(project, server)
    project.sync("s")
    server.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "postgres")
    try:
        server.sql("SELECT pg_reload_conf()", "postgres")
        owned(server, "DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, 'c')")
        for _ in range(3):
            server.sql("CREATE TABLE filler (); DROP TABLE filler; SELECT pg_switch_wal()")
        server.sql("CHECKPOINT")
        assert server.value("SELECT wal_status FROM pg_replication_slots") == "lost"
        checked = project.dray("check").expect(1)
        assert "is lost" in checked.out and "--drop" in checked.out, str(checked)
        broken(project, "max_slot_wal_keep_size")
        assert project.query("SELECT id FROM t ORDER BY id") == [(1,), (2,)]
    finally:
        server.sql("ALTER SYSTEM RESET max_slot_wal_keep_size", "postgres")
        server.sql("SELECT pg_reload_conf()", "postgres")
    anew(project, server, [2, 3])


def test_another_server_in_the_place_of_the_first_is_noticed(project, server):
    """A dump that was loaded elsewhere: the same names, the same slot even, but another log."""
    rows = "CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')"
    owned(server, rows)
    follow(project, server)
    project.sync("s")
    slot = slots(server)[0]
    other = postgres_server.Server(PASSWORD)
    try:
        other.stop()
        other.start(*LOGICAL)
        other.fresh()
        other.sql("ALTER ROLE dray REPLICATION", "postgres")
        owned(other, rows + "; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, 'c')")
        publication = server.value("SELECT pubname FROM pg_publication")
        owned(other, f"CREATE PUBLICATION {publication} FOR TABLE t")
        other.sql(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
        follow(project, other)
        broken(project, "another server")
        assert project.query("SELECT id FROM t ORDER BY id") == [(1,), (2,)]
        anew(project, other, [2, 3])
    finally:
        other.close()


def test_partitions_are_followed_as_one_table(project, server):
    """Also rows that move from one partition to another, and a partition that comes later."""
    owned(server, "CREATE TABLE t (id int, day date, name text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);"
                  "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');"
                  "CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');"
                  "INSERT INTO t SELECT i, date '2024-01-01' + i, 'name ' || i FROM generate_series(1, 50) i")
    follow(project, server)

    def same():
        project.sync("s")
        assert project.query("SELECT id, day, name FROM t ORDER BY id, day") == [
            tuple(row) for row in server.rows("SELECT id, day::text, name FROM t ORDER BY id, day")]

    same()
    owned(server, "UPDATE t SET day = day + 31 WHERE id < 5; DELETE FROM t WHERE id = 20; UPDATE t SET name = 'x' WHERE id > 45")
    same()
    owned(server, "CREATE TABLE t_3 PARTITION OF t FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');"
                  "INSERT INTO t VALUES (100, '2024-03-05', 'later'); UPDATE t SET day = '2024-03-06' WHERE id = 40")
    same()
    assert (100, "2024-03-05", "later") in project.query("SELECT id, day, name FROM t")
    assert len(slots(server)) == 1


def test_a_transaction_of_100000_rows_takes_no_more_memory(project, server):
    """They are 80 MB of log; a transaction is given out only when it has committed. A tenth of them fills all that is kept ahead."""
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, name text)")
    follow(project, server, "upsert", to="{connection: copy, schema: copy}")
    project.write("dray.yaml", (project.folder / "dray.yaml").read_text() + "memory: 32MiB\n")
    project.sync("s")
    wide = "INSERT INTO t SELECT i, repeat(md5(i::text), 25) FROM generate_series({}, {}) i"
    owned(server, wide.format(1, 10000))
    few, before = project.peak("s")
    owned(server, wide.format(10001, 110000))
    many, after = project.peak("s")
    assert (few["applied"], many["applied"]) == (10000, 100000)
    assert server.rows("SELECT count(*), min(length(name)) FROM copy.t") == [[110000, 800]]
    assert after < before + 24 * 1024, f"{before} KiB for 10,000 rows, {after} KiB for 100,000"
