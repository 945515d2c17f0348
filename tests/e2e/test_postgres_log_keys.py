# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Logical replication: whether the log says of each row which one it is and that it changed (replica identities, publications
made by hand), and that nothing stays at the source when a sync ends or never began."""

import shutil

import pytest

from test_postgres_source import (FOLLOW, anew, broken, configure, engine, follow,  # pylint: disable=unused-import
                                  owned, publications, server, slots)

TABLE = ("CREATE TABLE t (id int PRIMARY KEY, u int NOT NULL UNIQUE, v text);"
         "INSERT INTO t SELECT i, i * 10, 'v' || i FROM generate_series(1, 5) i;")
WRITE = ("DELETE FROM t WHERE id = 1; UPDATE t SET u = 999 WHERE id = 2; UPDATE t SET id = 300 WHERE id = 3;"
         "UPDATE t SET v = 'new' WHERE id = 4;")
BY_U = "ALTER TABLE t REPLICA IDENTITY USING INDEX t_u_key;"


def same(project, server, columns="id, u, v"):
    assert project.query(f"SELECT {columns} FROM t ORDER BY u") == [
        tuple(row) for row in server.rows(f"SELECT {columns} FROM t ORDER BY u")]


def untouched(server):
    assert not slots(server) and not publications(server)


# ---- keys and replica identities ----

@pytest.mark.parametrize("identity,more,words,fix", [
    ("", ", key: u", "knows them by u", "ALTER TABLE t REPLICA IDENTITY FULL;"), ("", ", key: u", "knows them by u", BY_U),
    ("", ", key: [id, u]", "knows them by id, u", "ALTER TABLE t REPLICA IDENTITY FULL;"),
    (BY_U, "", "knows them by id", "ALTER TABLE t REPLICA IDENTITY DEFAULT;")])
def test_a_key_that_the_log_does_not_tell_is_refused_before_anything_is_made(project, server, identity, more, words, fix):
    owned(server, TABLE + identity)
    follow(project, server, more=more)
    broken(project, words, 4, "config_value")
    broken(project, "REPLICA IDENTITY FULL", 4, "config_value")
    untouched(server)
    assert "config_value" in project.dray("plan", "s", "--json").expect(4).errors()
    owned(server, fix)
    project.sync("s")
    owned(server, WRITE)
    assert project.dray("sync", "s", "--json").expect(0).line("run")["deletes"] == (3 if "id, u" in words else 2)
    same(project, server)
    project.dray("state", "verify", "s").expect(0)


def test_a_row_whose_key_moves_to_another_keeps_its_large_values(project, server):
    """With the whole old row in the log, and a key that is not the table's."""
    owned(server, TABLE + "ALTER TABLE t ALTER v SET STORAGE EXTERNAL, REPLICA IDENTITY FULL; UPDATE t SET v = repeat('x', 9000)")
    follow(project, server, more=", key: u")
    project.sync("s")
    owned(server, "UPDATE t SET u = 999 WHERE id = 2; DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (3, 30, 'again');"
                  "UPDATE t SET id = 400 WHERE id = 4; UPDATE t SET id = 2, u = 20 WHERE id = 2")
    project.sync("s")
    same(project, server)


def test_columns_that_tell_rows_apart_must_be_read(project, server):
    owned(server, TABLE)
    follow(project, server, stream="t, columns: [u, v]", more=", key: u")
    broken(project, "'id'", 4, "schema_column")
    untouched(server)
    owned(server, BY_U)
    project.sync("s")
    owned(server, WRITE)
    project.sync("s")
    same(project, server, "u, v")


def test_an_identity_that_changes_while_it_is_followed_is_noticed(project, server):
    owned(server, TABLE)
    follow(project, server)
    project.sync("s")
    owned(server, BY_U + "DELETE FROM t WHERE id = 2")
    broken(project, "knows them by id", 4, "config_value")
    owned(server, "ALTER TABLE t REPLICA IDENTITY DEFAULT; DELETE FROM t WHERE id = 3")
    before = project.query("SELECT id FROM t ORDER BY id")
    broken(project, "knows them by id")  # what was deleted meanwhile is in the log, but not by its key
    assert project.query("SELECT id FROM t ORDER BY id") == before
    owned(server, "ALTER TABLE t ALTER u DROP NOT NULL")
    anew(project, server, [1, 4, 5])


def test_partitions_have_identities_of_their_own(project, server):
    owned(server, "CREATE TABLE t (id int, u int NOT NULL, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);"
                  "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (100);"
                  "INSERT INTO t SELECT i, i * 10, 'v' || i FROM generate_series(1, 5) i;"
                  "ALTER TABLE t REPLICA IDENTITY FULL")
    follow(project, server, more=", key: u")
    broken(project, "t_1", 4, "config_value")
    untouched(server)
    owned(server, "ALTER TABLE t_1 REPLICA IDENTITY FULL")
    project.sync("s")
    owned(server, WRITE.replace("300", "30"))
    project.sync("s")
    same(project, server)
    owned(server, "CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (100) TO (200); INSERT INTO t VALUES (101, 7, 'a'), (102, 8, 'b');"
                  "DELETE FROM t WHERE id = 101")
    broken(project, "t_2", 4, "config_value")
    owned(server, "ALTER TABLE t_2 REPLICA IDENTITY FULL")
    broken(project, "knows them by u")
    project.sync("s", "--full-refresh")
    same(project, server)


# ---- publications made by hand ----

@pytest.mark.parametrize("what,words", [
    ("FOR TABLE t WHERE (id > 2)", "row filter"), ("FOR TABLE t (id, u)", "'v'"),
    ("FOR TABLE t WITH (publish = 'insert, update')", "delete"), ("FOR TABLE parts", "ADD TABLE t"),
    ("FOR ALL TABLES WITH (publish = 'insert')", "delete")])
def test_a_publication_that_leaves_something_out_is_refused(project, server, what, words):
    owned(server, TABLE + "CREATE TABLE parts (id int PRIMARY KEY)")
    server.sql(f"CREATE PUBLICATION mine {what}")
    configure(project, server, "  s: {from: {connection: pg, stream: t}, to: {connection: wh}, mode: mirror}\n",
              FOLLOW + ", publication: mine")
    broken(project, words, 4, "config_value")
    assert not slots(server)
    assert "config_value" in project.dray("plan", "s", "--json").expect(4).errors()
    server.sql("DROP PUBLICATION mine; CREATE PUBLICATION mine FOR TABLE t")
    project.sync("s")
    server.sql(f"DROP PUBLICATION mine; CREATE PUBLICATION mine {what}")
    owned(server, "DELETE FROM t WHERE id = 1")
    if "parts" in what:
        broken(project, "does not have the table any more")
    else:
        broken(project, words, 4, "config_value")
    server.sql("DROP PUBLICATION mine; CREATE PUBLICATION mine FOR TABLE t")
    broken(project, "was altered")  # what was written meanwhile may not have come
    owned(server, "ALTER TABLE t ALTER u DROP NOT NULL")
    anew(project, server, [2, 3, 4, 5])


def test_a_column_list_with_all_that_is_read_is_taken(project, server):
    owned(server, TABLE)
    server.sql("CREATE PUBLICATION mine FOR TABLE t (id, u)")
    configure(project, server, "  s: {from: {connection: pg, stream: t, columns: [id, u]}, to: {connection: wh}, mode: mirror}\n",
              FOLLOW + ", publication: mine")
    project.sync("s")
    owned(server, WRITE)
    project.sync("s")
    same(project, server, "id, u")


def test_a_publication_of_partitions_each_by_itself_is_refused(project, server):
    """Their changes would come under their own names."""
    owned(server, "CREATE TABLE t (id int PRIMARY KEY, u int, v text) PARTITION BY RANGE (id);"
                  "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (2000); INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b')")
    server.sql("CREATE PUBLICATION mine FOR TABLE t")
    configure(project, server, "  s: {from: {connection: pg, stream: t}, to: {connection: wh}, mode: mirror}\n",
              FOLLOW + ", publication: mine")
    broken(project, "SET (publish_via_partition_root = true)", 4, "config_value")
    assert not slots(server)
    server.sql("ALTER PUBLICATION mine SET (publish_via_partition_root = true)")
    project.sync("s")
    server.sql("ALTER PUBLICATION mine SET (publish_via_partition_root = false); DELETE FROM t WHERE id = 1;"
               "ALTER PUBLICATION mine SET (publish_via_partition_root = true)")
    broken(project, "was altered")
    anew(project, server, [2])


# ---- what stays at the source ----

def forget(project):
    """As on another machine, with the config alone."""
    shutil.rmtree(project.folder / ".dray")


def drop(project, code=0):
    return project.dray("sync", "s", "--drop", "--yes", "--json").expect(code)


def test_a_drop_without_local_state_finds_the_slot_by_the_checkpoint(project, server):
    owned(server, TABLE)
    follow(project, server)
    project.sync("s")
    slot = slots(server)[0]
    forget(project)
    assert {"kind": "replication slot", "name": slot} in drop(project).line("drop")["removed"]
    untouched(server)
    project.sync("s")
    assert len(slots(server)) == 1 and slots(server) != [slot]


def test_a_slot_that_nobody_knows_is_told(project, server):
    owned(server, TABLE)
    follow(project, server)
    project.sync("s")
    slot = slots(server)[0]
    forget(project)
    (project.folder / "warehouse.db").unlink()
    result = drop(project)
    assert result.line("drop")["removed"] == [] and slot in result.err and "pg_drop_replication_slot" in result.err
    assert slots(server) == [slot]  # it may be another project's


def test_a_full_refresh_takes_the_place_of_the_slot_that_the_checkpoint_names(project, server):
    owned(server, TABLE)
    follow(project, server)
    project.sync("s")
    slot = slots(server)[0]
    forget(project)
    project.sync("s", "--full-refresh")
    assert len(slots(server)) == 1 and slots(server) != [slot] and publications(server) == slots(server)
    owned(server, "CREATE TABLE other (id int PRIMARY KEY, u int, v text); INSERT INTO other VALUES (7, 7, 'x')")
    slot = slots(server)[0]
    follow(project, server, stream="other", to="{connection: wh, table: t}", more=", guard: off")
    project.sync("s", "--full-refresh")
    assert len(slots(server)) == 1 and slots(server) != [slot] and publications(server) == slots(server)
    assert project.query("SELECT id FROM t") == [(7,)]


def test_a_reset_leaves_no_slot_to_a_checkpoint_that_is_gone(project, server):
    owned(server, TABLE)
    follow(project, server)
    project.sync("s")
    forget(project)
    project.dray("state", "reset", "s", "--yes").expect(0)
    untouched(server)
    project.sync("s")
    assert len(slots(server)) == 1


def test_a_drop_cleans_the_source_when_the_warehouse_is_away(project, server):
    owned(server, TABLE)
    follow(project, server, to="{connection: copy, schema: copy}")
    project.sync("s")
    config = (project.folder / "dray.yaml").read_text()
    kept, copy = f"copy: {{plugin: postgres, host: 127.0.0.1, port: {server.port}", "copy: {plugin: postgres, host: 127.0.0.1, port: 1"
    assert kept in config
    project.write("dray.yaml", config.replace(kept, copy))
    result = drop(project, 1)
    assert "net_connect" in result.errors() and "checkpoint" in result.out + result.err
    assert len(result.line("drop")["removed"]) == 2
    untouched(server)
    project.write("dray.yaml", config)
    assert drop(project).line("drop")["removed"] == []
    assert project.sync("s")["rows_read"] == 5  # the checkpoint is gone by now
    assert len(slots(server)) == 1


@pytest.mark.parametrize("more,code,name", [(", key: nokey", 4, "schema_column"), (", drift: freeze", 1, "schema_drift"),
                                            (", map: {id: id, u: u, gone: v}", 4, "schema_column"), (", guard: on", 7, "guard")])
def test_a_first_run_that_fails_leaves_nothing_at_the_source(project, server, more, code, name):
    owned(server, TABLE + "CREATE SCHEMA copy; CREATE TABLE copy.t (id bigint PRIMARY KEY, u text);"
                          "INSERT INTO copy.t SELECT i, i FROM generate_series(1000, 2000) i")
    follow(project, server, to="{connection: copy, schema: copy}", more=more)
    broken(project, "", code, name)
    untouched(server)
    follow(project, server, to="{connection: copy, schema: copy}")
    project.sync("s", "--allow-guard")
    assert len(slots(server)) == 1


@pytest.mark.parametrize("point", ["sync.merged", "sync.warehouse_committed"])
def test_a_first_run_that_is_killed_leaves_what_others_find(project, server, point):
    owned(server, TABLE)
    follow(project, server)
    project.dray("sync", "s", env={"DRAY_FAULT": f"kill:{point}:1"})
    slot = slots(server)
    assert len(slot) == 1
    assert slot[0] in project.dray("check").expect(0).out
    project.sync("s")
    assert slots(server) == slot  # in its place, or going on from it
    project.dray("sync", "s", "--drop", "--yes").expect(0)
    untouched(server)
    project.dray("sync", "s", "--full-refresh", env={"DRAY_FAULT": f"kill:{point}:1"})
    project.dray("sync", "s", "--drop", "--yes").expect(0)
    untouched(server)
