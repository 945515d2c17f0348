# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Projects and servers that several files of tests begin with."""

import os
import sqlite3
import textwrap

import pytest

import harness

RFM_SQL = """\
    WITH base AS (
      SELECT CustomerID AS customer_id,
             CAST(julianday('2012-01-01') - julianday(max(InvoiceDate)) AS INTEGER) AS recency_days,
             count(DISTINCT InvoiceNo) AS frequency,
             round(sum(Quantity * CAST(UnitPrice AS REAL)), 2) AS monetary,
             max(Country) AS country
      FROM lines WHERE CustomerID IS NOT NULL GROUP BY CustomerID)
    SELECT customer_id, recency_days, frequency, monetary, country,
           6 - ntile(5) OVER (ORDER BY recency_days, customer_id) AS r,
           ntile(5) OVER (ORDER BY frequency, customer_id) AS f,
           ntile(5) OVER (ORDER BY monetary, customer_id) AS m
    FROM base
    """

RESULTS = "{path: results, index: index, status: status, error: error.message}"


def hook_connection(receiver, more="", results=RESULTS):
    """The YAML of a connection `hook` to the receiver, to stand under `connections:`."""
    lines = [f"hook:", "  plugin: webhook", f'  url: "{receiver.hook}"', "  bearer_token: !secret env:HOOK_BEARER",
             "  hmac_secret: !secret env:HOOK_HMAC"]
    if results:
        lines.append(f"  results: {results}")
    lines += [f"  {line}" for line in textwrap.dedent(more).splitlines() if line.strip()]
    return "\n".join("  " + line for line in lines) + "\n"


SECRETS = {"HOOK_BEARER": harness.CANARY_BEARER, "HOOK_HMAC": harness.CANARY_HMAC}


def make_people(path, count):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, score INTEGER)")
    connection.executemany("INSERT INTO people VALUES (?, ?, ?)", [(i, f"name {i}", i * 10) for i in range(1, count + 1)])
    connection.commit()
    connection.close()


def people_to_hook(project, receiver, count=20, more="", sync="", mode="mirror", to="object: people", results=RESULTS):
    """`people`: a table of `count` rows that a model sends to the receiver."""
    project.environment.update(SECRETS)
    project.config("connections:\n"
                   "  wh: {plugin: sqlite, path: warehouse.db}\n" + hook_connection(receiver, more, results) +
                   "models:\n"
                   "  people: {warehouse: wh, sql: \"SELECT id, name, score FROM people\", key: id}\n"
                   "syncs:\n"
                   "  people:\n"
                   "    from: {model: people}\n"
                   f"    to: {{connection: hook, {to}}}\n"
                   f"    mode: {mode}\n" + textwrap.indent(textwrap.dedent(sync), "    "))
    make_people(project.folder / "warehouse.db", count)


def people(project):
    """What the receiver is to hold."""
    return sorted(({"id": i, "name": n, "score": s} for i, n, s in project.query("SELECT id, name, score FROM people")),
                  key=lambda row: row["id"])


def held(receiver, name="people", key="id"):
    return sorted(receiver.state(name), key=lambda row: row[key])


def started(servers):
    """A server of its own for the tests of a file, whose password is a canary."""
    why = servers.missing()
    if why is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return servers.Server(harness.CANARY_BEARER)
