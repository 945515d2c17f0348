# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Damage to a mirror as an operator meets it: whatever is wrong with its files, `dray sync` says which file, names the ways out
and sends nothing; the way out it names works.

What the engine does with each byte is tests/unit/diff/test_damage.c; here the question is what comes out of the program.
"""

import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import harness  # noqa: E402
import scene  # noqa: E402

NAMED = {"mirror_corrupt", "mirror_missing", "mirror_schema", "state_version"}


class Scene:
    """A project whose mirror has rows in its base and in its journal, and a copy of its state to go back to."""

    def __init__(self, folder, secret="one"):
        self.folder = folder
        self.receiver = harness.Receiver(folder, "--require-hmac", harness.CANARY_HMAC, "--require-bearer",
                                         harness.CANARY_BEARER, "--require-key")
        self.project = harness.Project(folder / secret)
        scene.people_to_hook(self.project, self.receiver)
        self.project.sync("people")
        self.first = self.keep("first")
        # Another column: rows are held under an older schema, which is reason to merge them into a new base.
        config = self.project.folder / "dray.yaml"
        config.write_text(config.read_text().replace("score FROM", "score, score * 2 AS twice FROM"))
        self.project.sync("people")
        self.project.execute("UPDATE people SET score = score + 1 WHERE id <= 5")
        self.project.sync("people")
        self.saved = self.keep("saved")
        self.sent = len(self.receiver.ledger())
        self.mirror = self.path("head").parent

    def keep(self, name):
        copy = self.folder / f"{self.project.folder.name}-{name}"
        shutil.copytree(self.project.folder / ".dray", copy)
        return copy

    def restore(self, saved=None):
        shutil.rmtree(self.project.folder / ".dray")
        shutil.copytree(saved or self.saved, self.project.folder / ".dray")

    def path(self, prefix, within=None):
        found = [path for path in (within or self.project.folder / ".dray").rglob(f"{prefix}*")
                 if path.is_file() and path.name.split(".")[0] == prefix]
        assert len(found) == 1, found
        return found[0]

    def refused(self, what, names=None):
        """The run ends with a named error, a file and the ways out, and nothing was sent."""
        result = self.project.dray("sync", "people").expect(1)
        assert set(result.errors()) & NAMED, (what, result)
        assert "dray state" in result.err and "baseline" in result.err and "reset" in result.err, (what, result)
        if names:
            assert names in result.err, (what, result)
        assert len(self.receiver.ledger()) == self.sent, (what, result)
        return result

    def refused_or_harmless(self, what, names):
        """Damage where nothing depends on it may go unnoticed; then all is as it was."""
        result = self.project.dray("sync", "people")
        assert len(self.receiver.ledger()) == self.sent, (what, result)
        if result.code == 0:
            return 0
        assert result.code == 1 and set(result.errors()) & NAMED and names in result.err, (what, result)
        assert "dray state" in result.err and "baseline" in result.err, (what, result)
        return 1


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    made = Scene(tmp_path_factory.mktemp("damage"))
    yield made
    made.receiver.stop()


@pytest.fixture(autouse=True)
def as_it_was(damaged):
    damaged.restore()


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << at % 8
    path.write_bytes(data)


def places(size):
    """Close enough to hit every block, its header as well, and the fields of the file's front and end."""
    wanted = set(range(0, min(size, 72), 8)) | set(range(max(size - 128, 0), size, 16))
    return sorted(wanted | set(range(0, size, max(24, size // 64))))


def test_mirror_has_rows_in_base_and_journal(damaged):
    assert damaged.path("base").name != "base.1" and damaged.path("base").stat().st_size > 500
    assert damaged.path("journal").stat().st_size > 1500
    assert damaged.project.sync("people")["sent"] == 0


@pytest.mark.parametrize("kind", ["base", "journal", "head"])
def test_flipped_bit_is_named_and_nothing_is_sent(damaged, kind):
    size = damaged.path(kind).stat().st_size
    refusals = 0
    for at in places(size):
        damaged.restore()
        path = damaged.path(kind)
        flip(path, at)
        refusals += damaged.refused_or_harmless(f"{kind} at {at}", path.name)
    assert refusals > 8
    damaged.restore()
    path = damaged.path(kind)
    flip(path, 12)
    verify = damaged.project.dray("state", "verify", "people").expect(1)
    assert path.name in verify.err, verify
    assert "dray state" in damaged.project.dray("state", "show", "people").out


def test_base_cut_at_any_length_is_named(damaged):
    whole = damaged.path("base").read_bytes()
    for size in sorted({0, 1, 15, 16, 100, len(whole) // 3, len(whole) - 129, len(whole) - 128, len(whole) - 1}):
        damaged.restore()
        path = damaged.path("base")
        path.write_bytes(whole[:size])
        damaged.refused(f"base of {size} bytes", path.name)


def test_cut_journal_is_named_since_all_of_it_was_durable(damaged):
    whole = damaged.path("journal").read_bytes()
    for size in sorted({0, 16, 300, 600, len(whole) // 2, len(whole) - 1}):
        damaged.restore()
        path = damaged.path("journal")
        path.write_bytes(whole[:size])
        damaged.refused(f"journal of {size} bytes", path.name)


def test_write_that_was_cut_short_behind_the_last_commit_is_no_damage(damaged):
    with open(damaged.path("journal"), "ab") as journal:
        journal.write(b"DRFR\x02\0\0\0" + b"\x51" * 700)
    run = damaged.project.sync("people")
    assert run["sent"] == 0 and len(damaged.receiver.ledger()) == damaged.sent


@pytest.mark.parametrize("kind", ["base", "journal", "head"])
def test_missing_file_is_named_and_no_empty_mirror_is_believed(damaged, kind):
    path = damaged.path(kind)
    path.unlink()
    damaged.refused(f"{kind} is missing", None if kind == "head" else path.name)


def test_mirror_that_is_gone_is_not_an_empty_one(damaged):
    shutil.rmtree(damaged.mirror)
    damaged.refused("no mirror at all")


@pytest.mark.parametrize("kinds", [["head"], ["journal"], ["base"], ["head", "journal"], ["base", "journal"]])
def test_files_of_another_generation_do_not_pass(damaged, kinds):
    """Older files of this very mirror, under the names that the newer ones have."""
    for kind in kinds:
        old, new = damaged.path(kind, damaged.first), damaged.path(kind)
        new.write_bytes(old.read_bytes())
    damaged.refused(f"older {kinds}")


def test_state_of_another_project_is_refused_for_its_secret(damaged, tmp_path):
    other = Scene(tmp_path, "another")
    try:
        shutil.rmtree(damaged.mirror)
        shutil.copytree(other.mirror, damaged.mirror)
        damaged.refused("another project's mirror")
    finally:
        other.receiver.stop()
    # One file alone.
    for kind in ("base", "journal"):
        damaged.restore()
        damaged.path(kind).write_bytes(other.path(kind, other.saved).read_bytes())
        damaged.refused(f"another project's {kind}")


def test_another_key_is_refused_with_its_own_name(damaged):
    config = damaged.project.folder / "dray.yaml"
    whole = config.read_text()
    config.write_text(whole.replace("key: id", "key: name"))
    try:
        result = damaged.project.dray("sync", "people").expect(1)
        assert "mirror_schema" in result.errors() and "dray state reset" in result.err, result
        assert len(damaged.receiver.ledger()) == damaged.sent
    finally:
        config.write_text(whole)


@pytest.mark.parametrize("kind", ["base", "journal", "head"])
def test_way_out_works(damaged, kind):
    """Baseline takes the other side as it is: nothing is sent for it, and the next change is found."""
    flip(damaged.path(kind), 9)
    damaged.refused(f"{kind} at 9", damaged.path(kind).name)
    damaged.project.dray("state", "baseline", "people", "--yes").expect(0)
    assert damaged.project.sync("people")["sent"] == 0 and len(damaged.receiver.ledger()) == damaged.sent
    damaged.project.execute("UPDATE people SET name = name || '!' WHERE id = 7")
    run = damaged.project.sync("people")
    assert (run["inserts"], run["updates"], run["deletes"]) == (0, 1, 0), run
    assert {row["id"]: row["name"] for row in damaged.receiver.state("people")}[7].endswith("!")
    damaged.sent = len(damaged.receiver.ledger())
    damaged.saved = damaged.keep(f"after-{kind}")


def test_reset_sends_everything_again_and_says_so(damaged):
    flip(damaged.path("head"), 30)
    damaged.refused("head at 30")
    damaged.project.dray("state", "reset", "people", "--yes").expect(0)
    assert damaged.project.sync("people")["inserts"] == 20
    assert damaged.project.sync("people")["sent"] == 0


def test_rebuild_brings_back_the_mirror_of_a_table(tmp_path):
    project = harness.Project(tmp_path / "project")
    project.write("people.csv", "id,name\n" + "".join(f"{i},name {i}\n" for i in range(1, 31)))
    project.config("connections:\n  files: {plugin: file, path: people.csv}\n  wh: {plugin: sqlite, path: warehouse.db}\n"
                   "syncs:\n  people:\n    from: {connection: files, stream: people}\n"
                   "    to: {connection: wh, table: people}\n    mode: mirror\n    key: id\n")
    project.sync("people")
    for path in list(project.state_files()):
        if path.name.split(".")[0] not in ("base", "journal", "head"):
            continue
        whole = path.read_bytes()
        flip(path, 9)
        result = project.dray("sync", "people").expect(1)
        assert path.name in result.err and "dray state rebuild" in result.err, result
        project.dray("state", "rebuild", "people", "--yes").expect(0)
        run = project.sync("people")
        assert (run["inserts"], run["updates"], run["deletes"]) == (0, 0, 0), run
        assert whole and project.query("SELECT count(*) FROM people") == [(30,)]
