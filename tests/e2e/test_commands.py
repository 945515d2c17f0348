# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The commands: each does what it says, its exit codes are what the README says, its JSON is JSON."""

import json
import os
import pathlib
import pty
import shutil
import sqlite3
import subprocess

import pytest

import harness
import scene


def every_line_is_a_record(text):
    records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        assert record["v"] == 1 and isinstance(record["type"], str), record
    return records


def started(project):
    """What `dray init` makes."""
    shutil.rmtree(project.folder)
    project.folder.mkdir()
    result = subprocess.run([harness.program(), "init", str(project.folder)], env=project.environ(), capture_output=True,
                            text=True, timeout=harness.RUN_SECONDS_MAX, check=False)
    assert result.returncode == 0, result
    return project


# ---- init and what it makes ----


def test_init_makes_a_project_that_works_at_once(project):
    started(project)
    project.dray("check").expect(0)
    assert "customers" in project.dray("discover", "files").expect(0).out
    plan = project.dray("plan", "--detailed-exitcode").expect(2)
    assert "+ 6 to add" in plan.out
    assert "customers" not in project.tables() if (project.folder / "warehouse.db").exists() else True
    project.dray("sync", "--all").expect(0)
    rows = harness.read_csv(project.folder / "data" / "customers.csv")
    assert project.query("SELECT id, name FROM customers ORDER BY id") == [(int(r["id"]), r["name"]) for r in rows]
    project.dray("plan", "--detailed-exitcode").expect(0)


def test_init_overwrites_nothing(project):
    started(project)
    project.write("dray.yaml", "version: 1\n# mine\n")
    result = subprocess.run([harness.program(), "init", str(project.folder)], env=project.environ(), capture_output=True,
                            text=True, timeout=harness.RUN_SECONDS_MAX, check=False)
    assert result.returncode != 0 and "dray.yaml" in result.stderr
    assert (project.folder / "dray.yaml").read_text() == "version: 1\n# mine\n"


def test_commands_find_the_project_above(project):
    started(project)
    below = project.folder / "data"
    result = subprocess.run([harness.program(), "sync", "--all", "--json"], env=project.environ(), capture_output=True,
                            text=True, timeout=harness.RUN_SECONDS_MAX, cwd=below, check=False)
    assert result.returncode == 0, result
    assert (project.folder / "warehouse.db").exists() and not (below / ".dray").exists()


def test_model_of_init_can_be_switched_on(project):
    """The comments of the example are true: the other direction works as they say."""
    started(project)
    text = (project.folder / "dray.yaml").read_text()
    assert "# models:" in text and "by_country" in text
    project.dray("sync", "--all").expect(0)
    text = text.replace("syncs:\n", "models:\n  by_country: {warehouse: warehouse, key: country}\nsyncs:\n", 1)
    text = text.replace("  warehouse: {plugin: sqlite", "  out: {plugin: file, path: out}\n  warehouse: {plugin: sqlite", 1)
    text += "  out:\n    from: {model: by_country}\n    to: {connection: out, object: countries.csv}\n    mode: mirror\n"
    project.write("dray.yaml", text)
    assert project.sync("out")["applied"] == 6
    rows = harness.read_csv(project.folder / "out" / "countries.csv")
    assert {row["country"] for row in rows} == {"GB", "US", "DE", "SN", "JP", "FR"} and {row["_op"] for row in rows} == {"insert"}


# ---- plan, status, rows, state ----


def test_plan_shows_before_and_after_and_sends_nothing(project, receiver):
    scene.people_to_hook(project, receiver)
    project.dray("plan", "people", "--detailed-exitcode").expect(2)
    assert receiver.ledger() == []
    project.sync("people")
    before = len(receiver.ledger())
    project.execute("UPDATE people SET name = 'Zoë' WHERE id = 3; DELETE FROM people WHERE id = 4; "
                    "INSERT INTO people VALUES (90, 'new', NULL)")
    out = project.dray("plan", "people").expect(0).out
    assert "+ 1 to add" in out and "~ 1 to change" in out and "- 1 to remove" in out and "= 18 unchanged" in out
    assert "~ id=3  name: name 3 -> Zoë" in out and "- id=4" in out and "+ id=90" in out
    plan, samples = project.plan("people", "--samples", "1")
    assert plan["changed_columns"] == {"name": 1} and len(samples) == 3
    assert project.dray("sync", "people", "--dry-run").expect(0).out.count("id=3") == 1
    assert len(receiver.ledger()) == before
    assert [run["run"] for run in project.status("people")] == [1], "a plan is not a run"


@pytest.mark.parametrize("keep, columns, update", [
    ("row", {"name": 1}, "name: name 3 -> Zoë"),
    ("columns", {"name": 1}, "name: Zoë"),
    ("key", {}, "name: Zoë, score: 30"),  # which of them changed is not known
])
def test_a_mirror_that_keeps_less_shows_less_and_sends_the_same(project, receiver, keep, columns, update):
    scene.people_to_hook(project, receiver, sync=f"keep: {keep}")
    project.sync("people")
    project.execute("UPDATE people SET name = 'Zoë' WHERE id = 3; DELETE FROM people WHERE id = 4; "
                    "INSERT INTO people VALUES (90, 'new', NULL)")
    plan, samples = project.plan("people")
    assert (plan["inserts"], plan["updates"], plan["deletes"], plan["unchanged"]) == (1, 1, 1, 18)
    assert plan["changed_columns"] == columns
    texts = {sample["op"]: sample["text"] for sample in samples}
    assert texts["update"] == update and texts["insert"] == "name: new, score: null"
    assert texts["delete"] == ("name: name 4, score: 40" if keep == "row" else "")
    mark = len(receiver.ledger())
    project.sync("people")
    assert scene.held(receiver) == scene.people(project)
    sent = [row for entry in receiver.requests(mark) for row in entry["rows"] if row["op"] == "update"]
    assert [row["changed"] for row in sent] == [["name", "score"] if keep == "key" else ["name"]]  # never the key
    before = len(receiver.ledger())
    project.sync("people")
    assert len(receiver.ledger()) == before


def test_full_refresh_sends_everything_and_the_deletes(project, receiver):
    scene.people_to_hook(project, receiver)
    project.sync("people")
    project.execute("DELETE FROM people WHERE id = 4")
    before = len(receiver.ledger())
    project.sync("people", "--full-refresh")
    sent = receiver.sent(before)
    assert sorted(row["key"]["id"] for row in sent if row["op"] != "delete") == [n for n in range(1, 21) if n != 4]
    assert [row["key"] for row in sent if row["op"] == "delete"] == [{"id": 4}]
    assert scene.held(receiver) == scene.people(project)


def test_status_tells_runs_newest_first(project, receiver):
    scene.people_to_hook(project, receiver)
    assert project.dray("status").expect(0).out == ""
    project.sync("people")
    receiver.stop()
    project.execute("UPDATE people SET score = 0")
    project.dray("sync", "people").expect(1)
    failed, done = project.status("people")
    assert (failed["state"], failed["error"], failed["exit_code"]) == ("failed", "net_connect", 1)
    assert (done["state"], done["applied"], done["error"]) == ("done", 20, None)
    out = project.dray("status").expect(0).out
    assert "net_connect" in out and "last error" in out


def test_state_commands(project, receiver):
    scene.people_to_hook(project, receiver)
    project.sync("people")
    assert "20" in project.dray("state", "show", "people").expect(0).out
    project.dray("state", "verify", "people").expect(0)
    result = project.dray("state", "reset", "people").expect(4)  # no terminal, no --yes: nothing is done
    assert "--yes" in result.err
    assert project.sync("people")["sent"] == 0
    project.dray("state", "reset", "people", "--yes").expect(0)
    before = len(receiver.ledger())
    project.dray("state", "baseline", "people", "--yes").expect(0)
    assert project.sync("people")["sent"] == 0 and len(receiver.ledger()) == before
    project.dray("state", "reset", "people", "--yes").expect(0)
    assert project.sync("people")["inserts"] == 20
    assert scene.held(receiver) == scene.people(project)


def test_rebuild_takes_the_table_for_the_truth(project):
    started(project)
    project.dray("sync", "--all").expect(0)
    project.execute("UPDATE customers SET name = 'somebody else' WHERE id = 2; DELETE FROM customers WHERE id = 5")
    assert project.dray("state", "verify", "customers").code == 1
    project.dray("state", "rebuild", "customers", "--yes").expect(0)
    run = project.sync("customers")
    assert (run["inserts"], run["updates"], run["deletes"]) == (1, 1, 0)
    rows = harness.read_csv(project.folder / "data" / "customers.csv")
    assert project.query("SELECT id, name FROM customers ORDER BY id") == [(int(r["id"]), r["name"]) for r in rows]
    project.dray("state", "verify", "customers").expect(0)


# ---- plugins ----


def test_plugin_list_and_info(project):
    started(project)
    out = project.dray("plugin", "list").expect(0).out
    assert all(name in out for name in ("file", "sqlite", "webhook"))
    records = every_line_is_a_record(project.dray("plugin", "list", "--json").expect(0).out)
    assert {"file", "sqlite", "webhook"} <= {record.get("name") for record in records}
    info = project.dray("plugin", "info", "webhook").expect(0).out
    assert "bearer_token" in info and "secret" in info and "batch_rows" in info
    result = project.dray("plugin", "info", "webhok").expect(8)
    assert 'webhook' in result.err


def test_plugin_new_makes_a_skeleton(project):
    result = project.dray("plugin", "new", "acme", "--dir", str(project.folder / "acme"))
    assert result.code == 0, result
    names = {path.name for path in (project.folder / "acme").rglob("*") if path.is_file()}
    assert {"CMakeLists.txt", "plugin.c", "source.c", "destination.c", "manifest.json", "README.md"} <= names
    for path in (project.folder / "acme").rglob("*"):
        assert not path.is_file() or "@NAME@" not in path.read_text(), path
    assert json.loads((project.folder / "acme" / "manifest.json").read_text())["name"] == "acme"
    assert project.dray("plugin", "new", "acme", "--dir", str(project.folder / "acme")).code != 0, "it was overwritten"


# ---- documents ----


def test_explain(project):
    out = project.dray("explain", "guard").expect(0).out
    assert "608" in out and "--allow-guard" in out and "exit code       7" in out
    assert project.dray("explain", "608").expect(0).out == out
    codes = every_line_is_a_record(project.dray("explain", "--json").expect(0).out)
    assert len(codes) > 60 and all(code["fix"] and code["what"] for code in codes)
    assert "guard" in project.dray("explain", "gaurd").expect(4).err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_its_shell_reads(project, shell):
    script = project.dray("completion", shell).expect(0).out
    assert "dray" in script and "discover" in script and "baseline" in script
    if shutil.which(shell) is None:
        pytest.skip(f"skipped: there is no {shell} here; the script was written")
    path = project.write("script", script)
    subprocess.run([shell, "-n", str(path)], check=True, timeout=harness.RUN_SECONDS_MAX)


def test_bash_completion_completes(project):
    started(project)
    project.write("completion.bash", project.dray("completion", "bash").expect(0).out)
    ask = ("source ./completion.bash; COMP_WORDS=(dray %s); COMP_CWORD=%d; COMP_LINE=\"dray %s\"; COMP_POINT=${#COMP_LINE};"
           " $(complete -p dray | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p') dray \"${COMP_WORDS[COMP_CWORD]}\";"
           " printf '%%s\\n' \"${COMPREPLY[@]}\"")
    path = f"{os.path.dirname(harness.program())}:{os.environ['PATH']}"

    def complete(words, at):
        done = subprocess.run(["bash", "-c", ask % (words, at, words)], cwd=project.folder, capture_output=True, text=True,
                              env=project.environ({"PATH": path}), timeout=harness.RUN_SECONDS_MAX, check=False)
        return {word.strip() for word in done.stdout.split()}

    assert "sync" in complete("sy", 1)
    assert "customers" in complete("sync cu", 2)
    assert "--full-refresh" in complete("sync --fu", 2)


def test_man_page_is_clean(project):
    page = project.dray("help", "--man").expect(0).out
    assert page.startswith((".", "'")) and ".SH" in page.upper()
    for name in ("sync", "plan", "rows", "state", "plugin", "explain"):
        assert name in page
    if shutil.which("mandoc"):
        path = project.write("dray.1", page)
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(path)], capture_output=True, text=True, timeout=harness.RUN_SECONDS_MAX,
                              check=False)
        wrong = [line for line in done.stdout.splitlines() if "missing date" not in line]  # a build has no date of its own
        assert not wrong, done.stdout


def test_help_of_every_command(project):
    listed = project.dray("help").expect(0).out
    for command in ("init", "check", "discover", "plan", "sync", "status", "rows", "state", "plugin", "explain", "completion"):
        assert command in listed
        assert project.dray("help", command).expect(0).out == project.dray(command, "--help").expect(0).out
    assert project.dray("--version").expect(0).out.startswith("dray ")


@pytest.mark.parametrize("arguments", [["snyc"], ["sync", "--al"], ["sync"], ["status", "--runs", "many"], ["rows"],
                                       ["explain", "a", "b"], []])
def test_usage_errors(project, arguments):
    started(project)
    result = project.dray(*arguments)
    assert result.code == 4 or (arguments == [] and result.code in (0, 4)), result
    assert "\x1b" not in result.out + result.err
    if arguments == ["snyc"]:
        assert "sync" in result.err


# ---- how things are said ----


def test_json_everywhere(project, receiver):
    scene.people_to_hook(project, receiver)
    receiver.faults({"kind": "reject_rows", "where": {"field": "id", "equals": 3}, "count": -1})
    seen = set()
    for arguments in (["check"], ["discover", "wh"], ["discover", "hook"], ["plan", "people"], ["sync", "people"],
                      ["status"], ["rows", "people"], ["rows", "retry", "people"], ["state", "show", "people"],
                      ["state", "verify", "people"], ["plugin", "list"], ["plugin", "info", "file"], ["explain", "guard"],
                      ["sync", "nobody"]):
        result = project.dray(*arguments, "--json")
        records = every_line_is_a_record(result.out)
        every_line_is_a_record(result.err)
        assert records or result.err, arguments
        seen |= {record["type"] for record in records}
    assert {"run", "plan", "sample", "row", "check", "error"} <= seen


def on_a_terminal(project, *arguments, env=None):
    """Runs with stderr on a terminal; returns what stood there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([harness.program(), "-C", str(project.folder), *arguments],
                               env=project.environ({"TERM": "xterm", **(env or {})}), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    text = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:
            break
        if not data:
            break
        text += data
    process.communicate(timeout=harness.RUN_SECONDS_MAX)
    os.close(ours)
    harness.assert_no_canary(text.decode("utf-8", "replace"), "the terminal")
    return process.returncode, text.decode("utf-8", "replace")


def test_colour_and_progress_only_on_a_terminal(project, receiver):
    scene.people_to_hook(project, receiver, 50, more="batch_rows: 10")
    receiver.faults({"kind": "slow", "seconds": 1, "nth": 3})
    code, text = on_a_terminal(project, "sync", "people")
    assert code == 0 and "people: " in text and "\r" in text, repr(text)
    assert text.rstrip("\r\n").endswith("\x1b[K"), "the progress line is taken away at the end"
    project.execute("UPDATE people SET score = 0")
    result = project.dray("sync", "people").expect(0)
    assert "\r" not in result.err and "\x1b" not in result.err + result.out
    code, text = on_a_terminal(project, "sync", "nobody")
    assert code == 4 and "\x1b[" in text
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        code, text = on_a_terminal(project, "sync", "nobody", env=env)
        assert code == 4 and "\x1b[" not in text, env
    code, text = on_a_terminal(project, "--no-color", "sync", "nobody")
    assert "\x1b[" not in text


@pytest.mark.parametrize("command", ["explain", "diff a.csv b.csv -k id", "diff a.csv b.csv -k id -f ndjson"])
def test_output_that_is_closed_is_an_error_and_goes_nowhere_else(project, command):
    project.write("a.csv", "id,v\n1,a\n")
    project.write("b.csv", "id,v\n1,b\n")
    done = subprocess.run(["/bin/sh", "-c", f'"$0" {command} >&-', harness.program()], stderr=subprocess.PIPE, text=True,
                          cwd=project.folder, env=project.environ(), timeout=harness.RUN_SECONDS_MAX, check=False)
    assert done.returncode == 1 and "could not be written" in done.stderr


def test_output_that_cannot_be_written_is_an_error(project):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([harness.program(), "explain"], stdout=full, stderr=subprocess.PIPE, text=True,
                              env=project.environ(), timeout=harness.RUN_SECONDS_MAX, check=False)
    assert done.returncode == 1 and "could not be written" in done.stderr


def test_logs_at_their_loudest_hold_no_secret(project, receiver):
    """The canaries of both secrets: Project.finish searches what was said, the fixture what is kept below .dray."""
    scene.people_to_hook(project, receiver)
    receiver.faults({"kind": "status", "status": 500}, {"kind": "reset", "nth": 2},
                    {"kind": "reject_rows", "where": {"field": "id", "equals": 3}, "count": -1,
                     "message": f"you sent Bearer {harness.CANARY_BEARER}"})
    result = project.dray("-v", "-v", "sync", "people").expect(3)
    assert result.err, "nothing was logged"
    (row,) = project.rows("people")
    assert "you sent Bearer" in row["text"] and harness.CANARY_BEARER not in row["text"]
    project.dray("-v", "-v", "check")
    project.dray("discover", "hook")
    project.dray("state", "show", "people")


def test_folder_of_the_state_is_private(project, receiver):
    scene.people_to_hook(project, receiver)
    project.sync("people")
    for path in [project.folder / ".dray", *project.state_files()]:
        assert path.stat().st_mode & 0o022 == 0, f"{path} can be written by others"
    assert sqlite3.connect(project.folder / ".dray" / "state.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert pathlib.Path(harness.program()).exists()


def test_check_opens_what_each_sync_reads(project):
    """A wrong key is found before a run; a model on a table that an earlier sync will make is not held against it."""
    project.write("people.csv", "id,name\n1,Ada\n")
    project.write("dray.yaml", """version: 1
connections:
  files: {plugin: file, path: people.csv}
  wh: {plugin: sqlite, path: w.db}
models:
  names: {warehouse: wh, sql: "select id, nmae from people", key: id}
syncs:
  people: {from: {connection: files, stream: people}, to: {connection: wh, table: people}, key: id}
  copy: {from: {model: names}, to: {connection: wh, table: copy}}
""")
    assert "not tried" in project.dray("check").expect(0).out
    project.dray("sync", "people").expect(0)
    wrong = project.dray("check").expect(4)  # as the run would end
    assert "nmae" in wrong.out
