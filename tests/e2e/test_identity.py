# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A sync whose names stay and stand for another place: nothing is taken for delivered where nothing was, nothing is removed
where nobody knows what is there, and a mirror from before places were kept goes on as it was."""

import json
import os
import re
import sqlite3

import pytest

import harness
import mailchimp_scene
import mysql_server
import postgres_server
import scene

PASSWORD = harness.CANARY_BEARER
OLD = [(i, f"name {i}", i) for i in range(1, 121)]
NEW = [(i, f"name {i}", i + 1) for i in range(21, 141)]


def put(project, rows):
    project.write("in/people.csv", "id,name,score\n" + "".join(f"{i},{n},{s}\n" for i, n, s in rows))


def kept(project, sync):
    """The identity as the store has it."""
    with sqlite3.connect(project.folder / ".dray" / "state.db") as store:
        return store.execute("SELECT identity FROM syncs WHERE sync = ?", (sync,)).fetchone()[0]


def forget_place(project, sync):
    """The state as it was before places were kept."""
    names = re.sub(r" \{.*", "", kept(project, sync))
    with sqlite3.connect(project.folder / ".dray" / "state.db") as store:
        store.execute("UPDATE syncs SET identity = ? WHERE sync = ?", (names, sync))
    store.close()


# ---- into a warehouse ----

class Sqlite:
    places = ("a.db", "b.db")

    def connection(self, place):
        return f"{{plugin: sqlite, path: {place}}}"

    def rows(self, project, place):
        return project.query("SELECT id, name, score FROM people ORDER BY id", database=place)


class Postgres:
    places = ("work", "other")

    def __init__(self):
        self.server = scene.started(postgres_server)

    def connection(self, place):
        return (f"{{plugin: postgres, host: 127.0.0.1, port: {self.server.port}, database: {place}, user: dray, "
                "password: !secret env:SERVER_PASSWORD}")

    def rows(self, _, place):
        return [tuple(row) for row in self.server.rows("SELECT id, name, score FROM people ORDER BY id", place)]


class Mysql(Postgres):
    def __init__(self):  # pylint: disable=super-init-not-called
        self.server = scene.started(mysql_server)

    def connection(self, place):
        return (f"{{plugin: mysql, host: 127.0.0.1, port: {self.server.port}, database: {place}, user: dray, "
                "password: !secret env:SERVER_PASSWORD, sslmode: disable}")

    def rows(self, _, place):
        return [tuple(row) for row in self.server.rows("people", ("id", "name", "score"), "1 = 1", "id", place)]


@pytest.fixture(params=[Sqlite, Postgres, Mysql])
def engine(request, project):
    made = request.param()
    project.environment["SERVER_PASSWORD"] = PASSWORD
    if isinstance(made, Mysql):
        made.server.sql("".join(f"CREATE DATABASE {place};" for place in made.places), "")
    elif isinstance(made, Postgres):
        for place in made.places:
            made.server.fresh(place)
    yield made
    if not isinstance(made, Sqlite):
        made.server.close()


def ingest(project, engine, place, mode="upsert"):
    project.config(f"connections:\n  wh: {engine.connection(place)}\n  files: {{plugin: file, path: in}}\nsyncs:\n"
                   f"  people: {{from: {{connection: files, stream: people}}, to: {{connection: wh}}, mode: {mode}, key: id}}\n")


@pytest.mark.parametrize("look", ["sync", "plan", "rebuild"])
def test_a_database_that_is_left_and_found_again_is_not_taken_for_the_other(project, engine, look):
    """Both count their generations from one: by the generation alone the mirror of the other one would be believed."""
    first, second = engine.places
    ingest(project, engine, first)
    put(project, OLD)
    assert project.sync("people")["applied"] == 120
    ingest(project, engine, second)
    put(project, NEW)
    if look == "sync":
        assert project.sync("people")["applied"] == 120
        assert engine.rows(project, second) == NEW
    elif look == "plan":
        assert project.plan("people")[0]["inserts"] == 120
    else:
        project.dray("state", "rebuild", "people", "--yes").expect(0)
    ingest(project, engine, first)
    assert project.sync("people")["applied"] == 120
    assert engine.rows(project, first) == OLD[:20] + NEW
    assert project.sync("people")["applied"] == 0
    assert json.loads(kept(project, "people").split(" ", 1)[1]).get("path", first) == first


def test_a_mirror_does_not_delete_what_it_did_not_write(project, engine):
    first, second = engine.places
    ingest(project, engine, second, "mirror")
    put(project, OLD)
    project.sync("people")
    project.dray("state", "reset", "people", "--yes").expect(0)
    ingest(project, engine, first, "mirror")
    put(project, NEW[:100])
    project.sync("people")
    ingest(project, engine, second, "mirror")
    project.sync("people", "--allow-guard")  # its own rows of before: those that are gone go
    assert engine.rows(project, second) == NEW[:100]


def test_a_mirror_from_before_places_were_kept_goes_on(project, engine):
    ingest(project, engine, engine.places[0])
    put(project, OLD)
    project.sync("people")
    forget_place(project, "people")
    run = project.sync("people")
    assert run["applied"] == 0 and not run["rebuilt"]
    assert "{" in kept(project, "people")
    put(project, OLD[:119] + NEW[99:100])
    run = project.sync("people")
    assert run["applied"] == 1 and run["unchanged"] == 119 and not run["rebuilt"]


def test_what_is_no_place_may_change(project):
    ingest(project, Sqlite(), "a.db")
    put(project, OLD)
    project.sync("people")
    project.write("dray.yaml", (project.folder / "dray.yaml").read_text().replace("path: a.db", "path: a.db, busy_timeout_ms: 99"))
    run = project.sync("people")
    assert run["applied"] == 0 and not run["rebuilt"]


# ---- to a destination ----

@pytest.fixture
def receivers(tmp_path):
    made = []
    for name in "ab":
        (tmp_path / name).mkdir()
        made.append(harness.Receiver(tmp_path / name))
    yield made
    for receiver in made:
        receiver.stop()


def refused(project, *words, sync="people"):
    """Nothing is sent, and the error says what is another, and the ways out."""
    for arguments in (("plan",), ("sync",)):
        told = project.dray(*arguments, sync).expect(1)
        assert "state_identity" in told.err and "dray state reset" in told.err and "dray state baseline" in told.err
        assert all(word in told.err for word in words), told


def test_another_receiver_is_not_believed_to_hold_what_the_first_was_sent(project, receivers):
    first, second = receivers
    scene.people_to_hook(project, first)
    project.sync("people")
    assert scene.held(first) == scene.people(project)
    config = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", config.replace(first.url, second.url))
    project.execute("DELETE FROM people WHERE id = 3; UPDATE people SET score = 7 WHERE id = 4")
    refused(project, "`url`", f":{first.port}", f":{second.port}")
    assert second.ledger() == [] and len(scene.held(first)) == 20
    project.write("dray.yaml", config)  # point it back
    assert project.sync("people", "--allow-guard")["sent"] == 2
    project.write("dray.yaml", config.replace(first.url, second.url))
    project.dray("state", "reset", "people", "--yes").expect(0)  # start over there
    assert project.sync("people")["sent"] == 19
    assert scene.held(second) == scene.people(project) == scene.held(first)


def test_a_baseline_takes_another_address_for_the_same_place(project, receivers):
    first, second = receivers
    scene.people_to_hook(project, first)
    project.sync("people")
    project.execute("DELETE FROM people WHERE id = 3")
    text = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", text.replace(first.url, second.url))
    project.dray("state", "baseline", "people", "--yes").expect(0)
    assert project.sync("people")["sent"] == 0
    project.execute("UPDATE people SET score = 7 WHERE id = 4")
    assert project.sync("people")["sent"] == 1 and [row["key"]["id"] for row in second.sent()] == [4]
    assert len(second.ledger()) == 1  # and no removal of a row that only the first one was sent


def test_an_option_may_be_the_place(project, receivers):
    scene.people_to_hook(project, receivers[0], to="object: people, path: /hook?audience=a")
    project.sync("people")
    text = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", text.replace("audience=a", "audience=b"))
    refused(project, "`path`")
    assert "audience" not in kept(project, "people")  # what may be a secret stands as a hash
    project.write("dray.yaml", text.replace("audience=a", "audience=a, method: PUT"))
    assert project.sync("people")["sent"] == 0


def test_a_destination_from_before_places_were_kept_is_sent_nothing_again(project, receivers):
    scene.people_to_hook(project, receivers[0])
    project.sync("people")
    forget_place(project, "people")
    project.plan("people")
    assert "{" not in kept(project, "people")  # a plan leaves no trace
    assert project.sync("people")["sent"] == 0
    assert "{" in kept(project, "people")
    text = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", text.replace(receivers[0].url, receivers[1].url))
    refused(project, "`url`")


def test_a_place_that_a_plugin_comes_to_know_later_is_no_other(project, receivers):
    scene.people_to_hook(project, receivers[0])
    project.sync("people")
    with sqlite3.connect(project.folder / ".dray" / "state.db") as store:
        store.execute("UPDATE syncs SET identity = replace(identity, '\"path\"', '\"gone\"') WHERE sync = 'people'")
    store.close()
    text = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", text.replace("object: people", "object: people, path: /hook"))
    assert project.sync("people")["sent"] == 0


def test_open_batches_of_the_place_before_are_not_sent_to_another(project, receivers):
    first, second = receivers
    scene.people_to_hook(project, first)
    killed = project.dray("sync", "people", env={"DRAY_FAULT": "kill:delivery.written:1"})
    assert killed.code != 0
    text = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", text.replace(first.url, second.url))
    told = project.dray("state", "baseline", "people", "--yes").expect(1)
    assert "batches are open" in told.err and second.ledger() == []
    refused(project, "`url`")
    project.write("dray.yaml", text)
    project.sync("people")
    assert scene.held(first) == scene.people(project)


def test_an_audience_is_a_place(project, tmp_path):
    sim = mailchimp_scene.start(tmp_path)
    try:
        project.environment.update(mailchimp_scene.environment(sim))
        mailchimp_scene.to_audience(project, sim, ("email_address", "status"), [("ann@dray.test", "subscribed")])
        assert project.sync("out")["applied"] == 1
        text = (project.folder / "dray.yaml").read_text()
        other = next(name for name in sim.state()["lists"] if name != sim.hello["list_id"])
        project.write("dray.yaml", text.replace(sim.hello["list_id"], other))
        refused(project, "`list_id`", sim.hello["list_id"], other, sync="out")
        assert "ann@dray.test" not in mailchimp_scene.members(sim, other)
    finally:
        sim.stop()


PLACES = {
    "sqlite": {"path"}, "postgres": {"host", "port", "database"}, "mysql": {"host", "port", "database"}, "file": {"path"},
    "webhook": {"url"}, "mailchimp": {"dc", "base_url"}, "shopify": {"shop", "base_url"}, "zendesk": {"subdomain", "base_url"},
}


@pytest.mark.parametrize("plugin", sorted(PLACES))
def test_plugins_say_which_settings_are_the_place(project, plugin):
    project.config("connections: {}\n")
    for record in project.dray("plugin", "info", plugin, "--json").expect(0).lines("spec"):
        marked = {name for name, schema in record["schema"]["properties"].items() if schema.get("place")}
        assert marked == PLACES[plugin], record["role"]
