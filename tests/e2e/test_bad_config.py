# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A config that is wrong, and plugins that are: what the operator sees, the exit code, and that the rest goes on."""

import json
import os
import pathlib
import time

import pytest

import harness
import scene

GOOD = """\
    connections:
      files: {plugin: file, path: rows.csv}
      wh: {plugin: sqlite, path: warehouse.db}
    syncs:
      rows: {from: {connection: files, stream: rows}, to: {connection: wh}, mode: append}
    """


def refused(project, *arguments, code=4):
    """The command refuses and leaves no data behind."""
    result = project.dray(*arguments).expect(code)
    assert not (project.folder / "warehouse.db").exists() or project.tables() == set()
    return result


def test_tab(project):
    project.config("connections:\n\tfiles: {plugin: file, path: rows.csv}\n")
    err = refused(project, "sync", "rows").err
    assert "dray.yaml:3:1: error[config_syntax]" in err and "tab" in err and "spaces" in err


def test_unknown_key_shows_the_line_a_caret_and_the_nearest_name(project):
    project.config(GOOD.replace("mode: append", "mod: append"))
    err = refused(project, "check").err
    assert "error[config_unknown_key]" in err and 'did you mean "mode"?' in err
    line = (project.folder / "dray.yaml").read_text().splitlines()[5]
    column = line.index("mod:")
    assert f"dray.yaml:6:{column + 1}: " in err
    shown = err.splitlines()
    at = next(i for i, text in enumerate(shown) if text.startswith("   6 | "))
    assert shown[at + 1].index("^") == shown[at].index("mod:")


def test_setting_of_a_plugin_that_it_does_not_know(project):
    project.config(GOOD.replace("path: rows.csv", "path: rows.csv, delimeter: x"))
    err = refused(project, "sync", "rows").err
    assert "dray.yaml:3:" in err and 'did you mean "delimiter"?' in err


def test_wrong_type(project):
    project.config(GOOD.replace("mode: append", "mode: append, attempts: many"))
    err = refused(project, "sync", "rows").err
    assert "error[config_type]" in err and "`attempts` must be a whole number" in err


def test_all_errors_at_once(project):
    project.config("""\
        connections:
          files: {plugin: file, path: rows.csv, header: maybe}
          wh: {plugin: sqlite, path: warehouse.db}
        memory: lots
        syncs:
          rows:
            from: {conection: files, stream: rows}
            to: {connection: whh, table: rows}
            mode: upsrt
        """)
    result = refused(project, "check", "--json")
    problems = [json.loads(line) for line in (result.out + result.err).splitlines()]
    problems = [record for record in problems if record["type"] == "problem"]
    found = {(record["name"], record["line"]) for record in problems}
    assert {("config_type", 3), ("config_unknown_key", 8), ("config_reference", 9), ("config_value", 10)} <= found
    assert 5 in {record["line"] for record in problems}
    assert {record["nearest"] for record in problems if "nearest" in record} >= {"connection", "upsert"}


def test_missing_secret_names_the_variable(project, receiver):
    scene.people_to_hook(project, receiver)
    result = project.dray("sync", "people", env={"HOOK_HMAC": None}).expect(4)
    assert "config_secret_missing" in result.errors() and "HOOK_HMAC" in result.err
    assert receiver.ledger() == []
    assert project.sync("people")["applied"] == 20


def test_literal_secret_is_refused_and_shown_nowhere(project, receiver):
    scene.people_to_hook(project, receiver)
    config = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", config.replace("!secret env:HOOK_BEARER", harness.CANARY_BEARER)
                  .replace("!secret env:HOOK_HMAC", f'"{harness.CANARY_HMAC}"'))
    for arguments in (["check"], ["check", "--json"], ["sync", "people"], ["plan", "people"], ["discover", "hook"],
                      ["-v", "-v", "sync", "people"]):
        result = project.dray(*arguments).expect(4)  # every call is searched for the canaries
        assert "config_secret_literal" in result.out + result.err
    assert "!secret env:" in result.err
    assert receiver.ledger() == []


def test_literal_secret_in_a_broken_file_is_shown_nowhere(project):
    project.config(f"connections:\n  hook: {{plugin: webhook, bearer_token: {harness.CANARY_BEARER}\n  x: [1\n")
    refused(project, "check")
    project.config(f"connections:\n  hook:\n    plugin: webhook\n\tbearer_token: {harness.CANARY_BEARER}\n")
    refused(project, "check")


def test_no_project(project):
    result = project.dray("sync", "--all").expect(4)
    assert result.errors() == ["config_no_project"] and "dray init" in result.err


def test_unknown_sync_names_the_nearest(project):
    project.config(GOOD)
    err = refused(project, "sync", "rwos").err
    assert '"rwos"' in err and 'did you mean "rows"?' in err


# ---- plugins ----


def plugin_folders():
    build = pathlib.Path(os.environ["DRAY_BUILD"])
    return build / "tests" / "abi" / "broken", build / "tests" / "e2e" / "plugins"


def with_plugin(project, name, more=""):
    """A sync `bad` that reads from the plugin, and a sync `rows` that has nothing to do with it."""
    project.write("rows.csv", "id,name\n1,one\n2,two\n")
    folders = ", ".join(str(folder) for folder in plugin_folders())
    project.config(f"""\
        plugins: [{folders}]
        stall_timeout: 2s
        connections:
          odd: {{plugin: {name}}}
          files: {{plugin: file, path: rows.csv}}
          wh: {{plugin: sqlite, path: warehouse.db}}
        syncs:
          bad: {{from: {{connection: odd, stream: numbers}}, to: {{connection: wh}}, mode: mirror}}
          rows: {{from: {{connection: files, stream: rows}}, to: {{connection: wh}}, mode: append}}
        """)


def the_others_go_on(project, code):
    """`--all` runs the second sync although the first one ends badly, and tells by its exit code that one did."""
    project.dray("sync", "--all").expect(code)
    assert project.query("SELECT id, name FROM rows ORDER BY id") == [(1, "one"), (2, "two")]
    assert "numbers" not in project.tables()


def test_missing_plugin_says_where_it_looked(project):
    with_plugin(project, "nosuchplugin")
    result = project.dray("sync", "bad").expect(8)
    assert "plugin_missing" in result.errors() and "nosuchplugin" in result.err
    for folder in plugin_folders():
        assert str(folder) in result.err
    the_others_go_on(project, 8)


def test_plugin_of_another_abi_major(project):
    with_plugin(project, "entry_v2")
    result = project.dray("sync", "bad").expect(8)
    assert "plugin_abi" in result.errors()
    assert "ABI 2" in result.err and "ABI 1" in result.err and "broken_entry_v2.so" in result.err and "install" in result.err
    the_others_go_on(project, 8)


def test_plugin_that_exports_too_much(project):
    with_plugin(project, "extra_export")
    result = project.dray("sync", "bad").expect(8)
    assert "plugin_exports" in result.errors()
    assert "leaked_data" in result.err and "json_parse_everything" in result.err and "export.map" in result.err
    the_others_go_on(project, 8)


def test_plugin_that_crashes_in_a_constructor(project):
    with_plugin(project, "crash")
    result = project.dray("sync", "bad").expect(1)
    assert "plugin_crashed" in result.errors() and "plugin crash (constructor)" in result.err
    assert project.status("bad")[0]["state"] == "crashed"
    the_others_go_on(project, 1)


def test_plugin_that_crashes_in_a_read(project):
    with_plugin(project, "crash_read")
    result = project.dray("sync", "bad").expect(1)
    assert "plugin_crashed" in result.errors()
    assert "odd" in result.err and "next" in result.err and "Aborted" in result.err, result
    run = project.status("bad")[0]
    assert (run["state"], run["error"], run["exit_code"]) == ("crashed", "plugin_crashed", 1)
    assert "crashed" in project.dray("status").expect(0).out
    the_others_go_on(project, 1)


def test_plugin_that_hangs_in_a_read(project):
    with_plugin(project, "hang_read")
    start = time.monotonic()
    result = project.dray("sync", "bad").expect(1)  # it would never end by itself
    took = time.monotonic() - start
    assert "plugin_hung" in result.errors()
    assert "odd" in result.err and "next" in result.err and "2 s" in result.err, result
    assert took >= 2
    run = project.status("bad")[0]
    assert (run["state"], run["error"]) == ("crashed", "plugin_hung")
    the_others_go_on(project, 1)


@pytest.mark.parametrize("name", ["crash", "crash_read", "hang_read"])
def test_check_and_discover_outlive_a_bad_plugin(project, name):
    with_plugin(project, name)
    for arguments in (["check"], ["discover", "odd"]):
        result = project.dray(*arguments)
        assert result.code in (0, 1), result
        assert result.code == 0 or "plugin_crashed" in result.errors()
