# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every named step, in both directions: nothing is lost, nothing is done twice beyond the batch in flight.

The steps are learned from a run that is traced. Then a run dies at each of them, at several passes; the next run without a
fault has to bring both sides together, and the one after that has to find nothing to do.
"""

import concurrent.futures
import shutil
import sqlite3

import pytest

import harness
import scene

PASSES = (1, 2, 4)
ROWS = 50
SIDE_BY_SIDE = 3

CHANGES = ("UPDATE people SET score = score + 1 WHERE id % 3 = 0; DELETE FROM people WHERE id IN (5, 17, 40);"
           "INSERT INTO people SELECT id + 1000, name || '!', score FROM people WHERE id % 4 = 0;")


class Case:
    """A copy of a scene in a folder of its own, in which one run dies."""

    def __init__(self, folder):
        self.folder = folder
        self.project = harness.Project(folder)
        self.receiver = None
        self.repeatable = set()  # keys of the batches that were in flight at the death

    def close(self):
        if self.receiver is not None:
            self.receiver.stop()
        shutil.rmtree(self.folder)


class Scene:
    """A project as it stands before the run that is to die."""

    steps = ()  # at least these must be among the learned ones
    passes = PASSES

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)

    def case(self, folder):
        shutil.copytree(self.folder / "project", folder)
        return Case(folder)

    def in_flight(self, case):
        """The keys of the batches that the next run may repeat."""
        return set()

    def between(self, case):
        """What happens before the run after the death."""


class Ingest(Scene):
    """From one SQLite file into another."""

    steps = ("sync.merged", "sync.warehouse_committed", "sync.mirror_committed", "store.commit", "file.write",
             "mirror.commit", "changeset.done")

    def __init__(self, folder, before):
        super().__init__(folder)
        project = harness.Project(folder / "project")
        project.config("""\
            connections:
              app: {plugin: sqlite, path: app.db}
              wh: {plugin: sqlite, path: warehouse.db}
            syncs:
              people: {from: {connection: app, stream: people}, to: {connection: wh}, mode: mirror}
            """)
        scene.make_people(project.folder / "app.db", ROWS)
        if before:
            project.sync("people")
            project.execute(CHANGES, "app.db")

    def check(self, case, where):
        project = case.project
        wanted = project.query("SELECT id, name, score FROM people ORDER BY id", database="app.db")
        found = project.query("SELECT id, name, score FROM people ORDER BY id")
        assert found == wanted, f"{where}: the table is not the source"
        assert project.tables() == {"people", "_dray_state"}, f"{where}: {project.tables()}"


class Append(Scene):
    """Lines of a file into a table without a key: what is repeated would be there twice."""

    steps = ("sync.merged", "sync.warehouse_committed", "store.commit")

    def __init__(self, folder, before):
        super().__init__(folder)
        project = harness.Project(folder / "project")
        project.write("lines.csv", "n,text\n" + "".join(f"{i},line {i}\n" for i in range(ROWS)))
        project.config("""\
            connections:
              files: {plugin: file, path: lines.csv}
              wh: {plugin: sqlite, path: warehouse.db}
            syncs:
              people: {from: {connection: files, stream: lines}, to: {connection: wh}, mode: append}
            """)
        if before:
            project.sync("people")
            with open(project.folder / "lines.csv", "a", encoding="utf-8") as file:
                file.write("".join(f"{i},line {i}\n" for i in range(ROWS, 2 * ROWS)))

    def check(self, case, where):
        project = case.project
        wanted = [(int(row["n"]), row["text"]) for row in harness.read_csv(project.folder / "lines.csv")]
        found = project.query("SELECT n, text FROM lines ORDER BY n")
        assert found == wanted, f"{where}: {len(found)} lines, not {len(wanted)}"
        assert project.tables() == {"lines", "_dray_state"}, f"{where}: {project.tables()}"


class Activate(Scene):
    """A model to a receiver that refuses to insert what it has, and to change or delete what it has not."""

    steps = ("delivery.sending", "delivery.written", "delivery.answered", "delivery.mirrored", "delivery.settled",
             "sync.activated", "store.commit", "store.committed")
    sync = ""
    options = ("--require-hmac", harness.CANARY_HMAC, "--require-bearer", harness.CANARY_BEARER, "--require-key",
               "--strict-operations")

    def __init__(self, folder, before, lanes=1):
        super().__init__(folder)
        self.lanes = lanes
        if lanes > 1:
            self.steps += ("delivery.claimed",)
        receiver = harness.Receiver(folder, *self.options)
        project = harness.Project(folder / "project")
        scene.people_to_hook(project, receiver, ROWS, more=f"batch_rows: 10\nparallel: {lanes}", sync=self.sync)
        self.hook, self.synced = receiver.hook, before
        receiver.stop()

    def case(self, folder):
        """What was sent before was sent to the case's own receiver: another one is another place."""
        case = super().case(folder)
        case.receiver = harness.Receiver(folder, *self.options)
        case.project.environment.update(scene.SECRETS)
        config = (folder / "dray.yaml").read_text()
        case.project.write("dray.yaml", config.replace(self.hook, case.receiver.hook))
        if self.synced:
            case.project.sync("people")
            case.project.execute(CHANGES)
        case.before = len(case.receiver.ledger())
        return case

    def in_flight(self, case):
        # A copy is looked at, since the database of a process that died may have a journal to be rolled back.
        copy = case.folder / "look"
        shutil.copytree(case.folder / ".dray", copy)
        connection = sqlite3.connect(copy / "state.db")
        made = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'batches'").fetchone()[0]
        keys = {row[0] for row in connection.execute("SELECT idempotency_key FROM batches WHERE state = 2")} if made else set()
        connection.close()
        shutil.rmtree(copy)
        return keys

    def check(self, case, where):
        assert scene.held(case.receiver) == scene.people(case.project), f"{where}: the receiver does not hold the model"
        changes = [(row["op"], str(row["key"])) for row in case.receiver.applied(case.before)]
        assert len(changes) == len(set(changes)), f"{where}: a change was applied twice"
        seen = set()
        for entry in case.receiver.requests(case.before):
            key = entry["headers"]["idempotency-key"]
            if key in seen:
                assert entry["outcome"] == "replay", f"{where}: {entry['outcome']} under a key that was seen"
                assert key in case.repeatable, f"{where}: a batch was repeated that was not in flight"
            seen.add(key)
        assert len(case.repeatable) <= self.lanes, f"{where}: {len(case.repeatable)} batches in flight"


class Snapshot(Activate):
    """The same with `diff: warehouse`. What the dying run brought there leaves the model before the next one: it is in no
    snapshot then, and must go all the same."""

    sync = "diff: warehouse"
    passes = (1, 3)

    def __init__(self, folder, before):
        super().__init__(folder, before)
        more = ("snapshot.advancing", "snapshot.advanced") if before else ("snapshot.remaking", "snapshot.remade")
        self.steps = Activate.steps + more + ("snapshot.settling", "snapshot.settled")

    def between(self, case):
        case.project.execute("DELETE FROM people WHERE id % 8 = 0; "
                             "UPDATE people SET score = -score WHERE id % 7 = 0 AND id % 3 > 0 AND id < 1000")

    def check(self, case, where):
        super().check(case, where)
        left = [name for name in case.project.tables() if name.startswith("_dray") and name != "_dray_state"]
        assert not left, f"{where}: {left}"


SCENES = {
    "ingest_first": lambda folder: Ingest(folder, before=False),
    "ingest_changes": lambda folder: Ingest(folder, before=True),
    "append_first": lambda folder: Append(folder, before=False),
    "append_more": lambda folder: Append(folder, before=True),
    "activate_first": lambda folder: Activate(folder, before=False),
    "activate_changes": lambda folder: Activate(folder, before=True),
    "activate_lanes": lambda folder: Activate(folder, before=False, lanes=3),
    "snapshot_first": lambda folder: Snapshot(folder, before=False),
    "snapshot_changes": lambda folder: Snapshot(folder, before=True),
}


def die_and_go_on(made, case, fault):
    """Returns 0 when the step was not passed that often, so that the run ended well."""
    project = case.project
    result = project.dray("sync", "people", "--json", env={"DRAY_FAULT": fault})
    if result.code == 0:
        return 0
    assert result.code in (1, -9), f"{fault}: {result}"
    assert result.code == -9 or "killed" in result.errors(), f"{fault}: {result}"
    case.repeatable = made.in_flight(case)
    made.between(case)
    again = project.dray("sync", "people", "--json")
    assert again.code == 0, f"{fault}: the next run: {again}"
    made.check(case, fault)
    third = project.sync("people")
    idle = {name: third[name] for name in ("inserts", "updates", "deletes", "sent", "applied", "recovered_batches")}
    assert set(idle.values()) == {0}, f"{fault}: the third run had something to do: {idle}"
    made.check(case, fault)
    assert not project.left_behind(), f"{fault}: left behind: {project.left_behind()}"
    never_ended = [run for run in project.status("people") if run["ended_us"] == 0]
    assert not never_ended, f"{fault}: {never_ended}"
    project.assert_no_canary_kept()
    return 1


def die_at(made, folder, step):
    """One step at all passes. Returns how often it died, and what went wrong."""
    died, wrong = 0, []
    for number in made.passes:
        case = made.case(folder / f"{step}.{number}")
        try:
            if not die_and_go_on(made, case, f"kill:{step}:{number}"):
                break
        except AssertionError as problem:
            wrong.append(str(problem))
        finally:
            case.close()
        died += 1
    return died, wrong


def learn(made, folder):
    trace = folder / "trace"
    case = made.case(folder / "traced")
    try:
        case.project.dray("sync", "people", env={"DRAY_FAULT_TRACE": str(trace)}).expect(0)
        made.check(case, "traced")
    finally:
        case.close()
    return sorted(set(trace.read_text().split()))


@pytest.mark.parametrize("name", SCENES)
def test_kill_at_every_step(name, tmp_path):
    made = SCENES[name](tmp_path / "scene")
    steps = learn(made, tmp_path)
    assert set(made.steps) <= set(steps), f"the run did not pass {set(made.steps) - set(steps)}"
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        outcomes = dict(zip(steps, pool.map(lambda step: die_at(made, tmp_path, step), steps)))
    wrong = [text for _, texts in outcomes.values() for text in texts]
    assert not wrong, f"{len(wrong)} of the deaths went wrong:\n\n" + "\n\n".join(wrong[:5])
    assert all(died > 0 for died, _ in outcomes.values()), f"never died: {outcomes}"
