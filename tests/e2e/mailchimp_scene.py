# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Projects between a simulated Mailchimp account and a warehouse."""

import csv
import io
import pathlib
import sys

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "sim"))
from server.running import Running  # noqa: E402

SIMULATOR = harness.ROOT / "tests" / "sim" / "mailchimp" / "server.py"
CONNECTION = "mailchimp"


def start(folder, *options, members=3000):
    return Running(SIMULATOR, "--members", members, *options, ledger=pathlib.Path(folder) / "ledger.ndjson")


def environment(sim, key="api_key"):
    return {"MAILCHIMP_KEY": sim.hello[key] if key in sim.hello else key}


def connection(sim, more=""):
    return f"{CONNECTION}: {{plugin: mailchimp, api_key: !secret env:MAILCHIMP_KEY, base_url: \"{sim.url}\"{more}}}"


def into_warehouse(project, sim, streams, mode="upsert", more=""):
    """A sync of the stream's name for each."""
    lines = [f"  {name}: {{from: {{connection: {CONNECTION}, stream: {name}}}, to: {{connection: warehouse, table: {name}}}, "
             f"mode: {mode}}}" for name in streams]
    project.config("connections:\n  " + connection(sim, more) + "\n  warehouse: {plugin: sqlite, path: warehouse.db}\n"
                   "syncs:\n" + "\n".join(lines) + "\n")


def to_audience(project, sim, columns, rows, target="object: members", mode="mirror", more="", key="email_address"):
    """The rows of a file to the audience, as the sync `out`."""
    write_rows(project, columns, rows)
    project.config("connections:\n  " + connection(sim, more) + "\n  files: {plugin: file, path: people.csv}\n"
                   "syncs:\n  out:\n    from: {connection: files, stream: people}\n"
                   f"    to: {{connection: {CONNECTION}, list_id: {sim.hello['list_id']}, {target}}}\n"
                   f"    key: {key}\n    mode: {mode}\n    guard: off\n")


def write_rows(project, columns, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    (project.folder / "people.csv").write_text(text.getvalue(), encoding="utf-8")


def members(sim, list_id=None):
    """What the audience holds, by address."""
    name = list_id or sim.hello["list_id"]
    return {member["email_address"]: member for member in sim.state(f"?list={name}")["lists"][name]["members"].values()}


class Calls:
    """Calls since it was made."""

    def __init__(self, sim):
        self.sim, self.before = sim, sim.calls()["calls"]

    def made(self, method=None):
        now = self.sim.calls()["calls"]
        changed = {name: count - self.before.get(name, 0) for name, count in now.items() if count != self.before.get(name, 0)}
        return {name: count for name, count in changed.items() if method is None or name.startswith(method + " ")}

    def writes(self):
        return {name: count for name, count in self.made().items() if not name.startswith("GET ")}
