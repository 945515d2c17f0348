# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator of tests/sim/zendesk, and projects over it."""

import json
import sys
import textwrap

import harness

SIMULATOR = harness.ROOT / "tests" / "sim" / "zendesk" / "server.py"
sys.path.insert(0, str(SIMULATOR.parent.parent))
from server.running import Running  # noqa: E402  the client of the test side

# Every stream, and where the simulator's state holds its records.
STATES = {"tickets": "tickets", "ticket_comments": None, "ticket_audits": None, "ticket_metrics": "metrics", "ticket_metric_events": "metric_events",
          "users": "users", "organizations": "organizations", "groups": "groups", "group_memberships": "group_memberships",
          "organization_memberships": "organization_memberships", "ticket_fields": "ticket_fields",
          "ticket_forms": "ticket_forms", "user_fields": "user_fields", "organization_fields": "organization_fields",
          "satisfaction_ratings": "satisfaction_ratings", "brands": "brands", "tags": None, "macros": "macros"}
EXPORTS = ("tickets", "ticket_comments", "ticket_audits", "ticket_metrics", "ticket_metric_events", "users", "organizations")
WRITES = ("POST", "PUT", "DELETE", "PATCH")


class Zendesk(Running):
    """The simulator without limits of its own, unless they are asked for."""

    def __init__(self, folder, *arguments):
        limits = [] if "--rate-limit" in arguments else ["--rate-limit", "0"]
        limits += [] if "--export-limit" in arguments else ["--export-limit", "0"]
        super().__init__(SIMULATOR, *limits, *arguments, ledger=folder / "zendesk.ndjson")

    def settings(self, **settings):
        return self.sim("POST", "settings", settings)

    def clear_faults(self):
        self.sim("DELETE", "faults")

    def rows(self, table):
        return {row["id"]: row for row in self.state()[table]}

    def requests(self, since=0, methods=None, path=None):
        """Lines of the ledger about the API itself."""
        lines = self.ledger()[since:]
        return [line for line in lines if line.get("path", "").startswith("/api/") and (methods is None or line["method"] in methods)
                and (path is None or path in line["path"])]

    def mark(self):
        return len(self.ledger())


def connection(zendesk, more="", auth="client"):
    ways = {"client": 'client_id: dray_client, client_secret: !secret env:ZENDESK_SECRET',
            "refresh": 'client_id: dray_client, client_secret: !secret env:ZENDESK_SECRET, '
                       'refresh_token: !secret env:ZENDESK_REFRESH',
            "legacy": f'email: {zendesk.hello["email"]}, api_token: !secret env:ZENDESK_TOKEN'}
    return f'{{plugin: zendesk, base_url: "{zendesk.url}", {ways[auth]}, exports_per_minute: 1000{more}}}'


def environment(zendesk):
    return {"ZENDESK_SECRET": zendesk.hello["client_secret"], "ZENDESK_REFRESH": zendesk.hello["refresh_token"],
            "ZENDESK_TOKEN": zendesk.hello["api_token"]}


def ingest(project, zendesk, streams=tuple(STATES), more="", mode="mirror", sync="", auth="client", read=""):
    """A sync for each stream, into a table of its name."""
    project.environment.update(environment(zendesk))
    lines = ["connections:", f"  zd: {connection(zendesk, more, auth)}", "  wh: {plugin: sqlite, path: warehouse.db}", "syncs:"]
    for stream in streams:
        lines += [f"  {stream}:", f"    from: {{connection: zd, stream: {stream}{read}}}",
                  f"    to: {{connection: wh, table: {stream}}}", f"    mode: {mode}"]
        lines += [textwrap.indent(textwrap.dedent(sync), "    ")] if sync else []
    project.config("\n".join(lines) + "\n")


def activate(project, zendesk, object_name, table, key, mode="upsert", mapping=None, to="", more="", auth="client"):
    """`out`: the rows of a table to an object. `table`: {column: SQL type}, made empty."""
    project.environment.update(environment(zendesk))
    lines = ["connections:", f"  zd: {connection(zendesk, more, auth)}", "  wh: {plugin: sqlite, path: warehouse.db}",
             "models:", f"  rows: {{warehouse: wh, sql: \"SELECT * FROM rows\", key: {key}}}", "syncs:", "  out:",
             "    from: {model: rows}", f"    to: {{connection: zd, object: {object_name}{to}}}", f"    mode: {mode}"]
    if mapping:
        lines.append("    map: " + json.dumps(mapping))
    project.config("\n".join(lines) + "\n")
    project.execute("CREATE TABLE rows (%s)" % ", ".join(f'"{name}" {kind}' for name, kind in table.items()))


def fill(project, rows):
    """Replaces the rows of the model."""
    script = ["DELETE FROM rows;"]
    for row in rows:
        values = ["NULL" if value is None else str(int(value)) if isinstance(value, (bool, int)) else
                  "'" + str(value).replace("'", "''") + "'" for value in row.values()]
        script.append('INSERT INTO rows (%s) VALUES (%s);' % (", ".join(f'"{name}"' for name in row), ", ".join(values)))
    project.execute("\n".join(script))
