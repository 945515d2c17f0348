# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Is the mirror PostgreSQL's table? Rows edited by hand, a mirror that is lost or old, a table or a whole server restored from
a backup: what `dray state verify` says, what `dray state rebuild` mends, and what a run finds out by itself."""

import shutil
import subprocess

import pytest

import postgres_server
from postgres_scene import (PEOPLE, configure, engine, held, people_sync, put_people, server, tables,  # noqa: F401
                            versions)

EDITED = ("UPDATE people SET name = 'by hand' WHERE id = 3; DELETE FROM people WHERE id = 5;"
          "INSERT INTO people (id, name, score) VALUES (77, 'by hand too', 7)")
LATER = [(i, n, s + 1 if i == 9 else s) for i, n, s in PEOPLE[1:]] + [(40, "new", 4)]


@pytest.fixture(params=["row", "columns", "key"])
def synced(project, server, request):
    configure(project, server, people_sync("mirror", f", keep: {request.param}"))
    put_people(project, PEOPLE)
    project.sync("people")
    project.dray("state", "verify", "people").expect(0)
    project.keep = request.param
    return project


def mirror(project):
    found = [path for path in (project.folder / ".dray").rglob("mirror") if path.is_dir()]
    assert len(found) == 1
    return found[0]


def differences(project):
    """What verify tells apart: {key: where it is}, counts."""
    told = project.dray("state", "verify", "people", "--json")
    assert told.code != 0 and told.errors() == ["mirror_corrupt"], told
    counts = told.line("verify")
    return ({line["key"]: line["in"] for line in told.lines("difference")},
            tuple(counts[name] for name in ("table_only", "mirror_only", "different")), told)


def test_rows_edited_by_hand_are_told_and_mended(synced, server):
    server.sql(EDITED)
    where, counts, told = differences(synced)
    assert where == {"id=77": "table", "id=5": "mirror", "id=3": "both"} and counts == (1, 1, 1)
    if synced.keep == "row":
        assert [line["text"] for line in told.lines("difference") if line["key"] == "id=3"] == ["name: name 3 -> by hand"]
    told = synced.dray("state", "verify", "people")
    assert "~ id=3" in told.out and "+ id=77" in told.out and "- id=5" in told.out
    before = versions(server)
    assert synced.sync("people")["applied"] == 0  # the generation agrees, and the mirror is believed
    assert versions(server) == before
    synced.dray("state", "rebuild", "people", "--yes").expect(0)
    synced.dray("state", "verify", "people").expect(0)
    assert synced.sync("people")["applied"] == 3
    assert held(server) == PEOPLE
    touched = {row[0] for row in versions(server) if row not in before}
    assert touched == {"3", "5"}  # 77 is gone, and nothing else was written
    assert synced.sync("people")["applied"] == 0
    synced.dray("state", "verify", "people").expect(0)


def test_a_lost_mirror_is_made_from_the_table(synced, server):
    shutil.rmtree(mirror(synced))
    assert synced.dray("state", "verify", "people").code != 0
    put_people(synced, LATER)
    before = versions(server)
    run = synced.sync("people")
    assert run["rebuilt"] and run["applied"] == 3
    assert held(server) == LATER
    assert {row[0] for row in versions(server) if row not in before} == {"9", "40"}
    assert synced.sync("people")["applied"] == 0
    synced.dray("state", "verify", "people").expect(0)


def test_an_old_mirror_is_known_by_its_generation(synced, server, tmp_path):
    """The folder of the project is restored from a backup, the server is not."""
    shutil.copytree(synced.folder / ".dray", tmp_path / "backup")
    put_people(synced, LATER)
    synced.sync("people")
    shutil.rmtree(synced.folder / ".dray")
    shutil.copytree(tmp_path / "backup", synced.folder / ".dray")
    before = versions(server)
    run = synced.sync("people")
    assert run["rebuilt"] and run["applied"] == 0 and versions(server) == before
    assert held(server) == LATER
    synced.dray("state", "verify", "people").expect(0)


def test_a_table_that_is_gone_is_made_anew(synced, server):
    server.sql("DROP TABLE people")
    run = synced.sync("people")
    assert run["rebuilt"] and held(server) == PEOPLE
    assert synced.sync("people")["applied"] == 0


def dump(server, path):
    command = [postgres_server.programs() / "pg_dump", "-h", server.folder, "-p", server.port, "-U", "postgres", "-f", path, "work"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_dump_of_an_older_state_that_is_restored_is_noticed(synced, server, tmp_path):
    """Table and state row are of yesterday, the mirror is of today."""
    dump(server, tmp_path / "yesterday.sql")
    put_people(synced, LATER)
    synced.sync("people")
    server.fresh()
    server.sql((tmp_path / "yesterday.sql").read_text())
    assert held(server) == PEOPLE
    assert synced.dray("state", "verify", "people").code != 0
    run = synced.sync("people")
    assert run["rebuilt"] and run["applied"] == 3
    assert held(server) == LATER and tables(server) == {"people", "_dray_state"}
    assert synced.sync("people")["applied"] == 0
    synced.dray("state", "verify", "people").expect(0)


def test_a_table_alone_that_is_restored_is_told_by_verify_only(synced, server, tmp_path):
    """The state row says today: no run can know. Verify does, and rebuild mends."""
    server.sql("CREATE TABLE yesterday AS TABLE people")
    put_people(synced, LATER)
    synced.sync("people")
    server.sql("DELETE FROM people; INSERT INTO people SELECT * FROM yesterday; DROP TABLE yesterday")
    where, counts, _ = differences(synced)
    assert where == {"id=1": "table", "id=40": "mirror", "id=9": "both"} and counts == (1, 1, 1)
    assert synced.sync("people")["applied"] == 0
    synced.dray("state", "rebuild", "people", "--yes").expect(0)
    assert synced.sync("people")["applied"] == 3
    assert held(server) == LATER
    synced.dray("state", "verify", "people").expect(0)


def test_a_server_restored_from_a_copy_of_its_files_is_noticed(project, server, tmp_path):
    """A cold copy of the data folder: rows, state row and transaction numbers all go back."""
    configure(project, server, people_sync("mirror"))
    put_people(project, PEOPLE)
    project.sync("people")
    server.stop()
    try:
        subprocess.run(["cp", "-a", server.data, tmp_path / "data"], check=True)
        server.start()
        put_people(project, LATER)
        project.sync("people")
        server.stop()
        shutil.rmtree(server.data)
        subprocess.run(["cp", "-a", tmp_path / "data", server.data], check=True)
    finally:
        if server.process is None:
            server.start()
    run = project.sync("people")
    assert run["rebuilt"] and run["applied"] == 3
    assert held(server) == LATER
    project.dray("state", "verify", "people").expect(0)


def test_a_second_project_that_writes_the_same_table_is_fenced(project, server, tmp_path):
    """Two mirrors, one state row: the one that is behind finds the generation of the other and reads the table first."""
    configure(project, server, people_sync("upsert"))
    put_people(project, PEOPLE)
    project.sync("people")
    shutil.copytree(project.folder, tmp_path / "other")
    other = type(project)(tmp_path / "other", project.environment)
    put_people(other, LATER)
    other.sync("people")
    put_people(project, LATER + [(41, "mine", 1)])
    run = project.sync("people")
    assert run["rebuilt"] and run["applied"] == 1
    assert held(server) == sorted(LATER + [PEOPLE[0], (41, "mine", 1)])


@pytest.mark.parametrize("mode", ["append", "upsert", "history"])
def test_two_projects_that_call_their_syncs_alike_have_a_state_each(project, server, tmp_path, mode):
    """One schema, one name, two tables: what one has read is no checkpoint of the other's."""
    others = {name: type(project)(tmp_path / name) for name in ("ours", "theirs")}
    for name, each in others.items():
        configure(each, server, people_sync(mode).replace("connection: wh}", f"connection: wh, table: {name}}}"))
        put_people(each, PEOPLE)
        assert each.sync("people")["inserts"] == len(PEOPLE), name
    for name, each in others.items():
        put_people(each, PEOPLE + [(50, name, 1)])
        each.sync("people")
        assert held(server, name) == PEOPLE + [(50, name, 1)]


def test_snapshots_hide_no_state(project, server):
    """A role looks into the schema of its own name first, and the one of the snapshots is called as the role may be."""
    lines = "  people: {from: {connection: files, stream: people}, to: {connection: wh}, mode: append, key: id}\n"
    configure(project, server, lines)
    put_people(project, PEOPLE)
    project.sync("people")
    configure(project, server, lines + "  out: {from: {model: m}, to: {connection: log, object: people}, mode: mirror, diff: warehouse}\n",
              models="  m: {warehouse: wh, sql: \"SELECT id, name FROM people\", key: id}\n",
              others="  log: {plugin: file, path: out}\n")
    assert project.sync("out")["applied"] == len(PEOPLE)
    assert {"dray"} <= {row[0] for row in server.sql("SELECT nspname FROM pg_namespace")}, "the snapshot's schema"
    put_people(project, PEOPLE + [(50, "new", 1)])
    assert project.sync("people")["inserts"] == 1
    assert held(server) == PEOPLE + [(50, "new", 1)]
