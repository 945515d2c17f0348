# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A simulated shop, a project that reads it into SQLite or writes to it, and what both sides hold."""

import datetime
import json
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "sim" / "shopify"))

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "contract"))

import shop as module  # noqa: E402
import shopify_ledger  # noqa: E402

TOKEN = module.TOKEN
NONSENSE = "NONSENSE"  # what rows of tests hold that are to be refused
LEDGERS = []  # of all shops of a file of tests


def expect_clean_traffic():
    """All that the plugin has sent, and all that it was answered, fits the vendor's schema."""
    ledgers = [path for path in LEDGERS if path.exists()]
    LEDGERS.clear()
    if ledgers:
        report = shopify_ledger.check(*ledgers)
        wrong = [one for one in report.violations if not (one.get("refused") and NONSENSE in one["where"])]
        assert report.checked["operations"] > 0 and wrong == [], wrong[:5]


def need_shop():
    problem = module.missing()
    if problem and os.environ.get("CI") == "true":
        pytest.fail(problem)
    if problem:
        pytest.skip(f"skipped: {problem}")


class Shops:
    """Starts simulators and ends them with their test; a defect of theirs fails it."""

    def __init__(self, folder):
        self.folder, self.running = folder, []

    def start(self, *arguments):
        self.running.append(module.Shop("--restore-rate", 10000, "--bulk-seconds", 0.05, *arguments,
                                        ledger=self.folder / f"shop{len(self.running)}.ndjson"))
        LEDGERS.append(self.running[-1].ledger_path)
        return self.running[-1]

    def end(self):
        alive = [one for one in self.running if one.process.poll() is None]
        defects = [one.calls()["defects"] for one in alive]
        leaks = [one.state()["token_leaks"] for one in alive]
        for one in self.running:
            one.stop()
        assert not any(defects), defects
        assert not any(leaks), "a token was sent to the download host"


def days_ago(days):
    """Arguments for a shop that lives so long before us. By our own clock it is decided what was long ago."""
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
    return "--now", then.strftime("%Y-%m-%dT%H:%M:%SZ")


def connection(shop, auth="access_token: !secret env:SHOP_TOKEN", **settings):
    more = "".join(f", {name}: {json.dumps(value)}" for name, value in settings.items())
    return f'{{plugin: shopify, shop: dray-test, base_url: "{shop.url}", {auth}{more}}}'


def reading(project, shop, *streams, mode="upsert", auth="access_token: !secret env:SHOP_TOKEN", sync="", **settings):
    """A project whose sync `in` (`in.STREAM`) reads streams."""
    project.environment.update({"SHOP_TOKEN": TOKEN, "SHOP_SECRET": "dray-secret", "SHOP_REFRESH": "shprt_dray_first"})
    project.config(f"""
        connections:
          shop: {connection(shop, auth, **settings)}
          wh: {{plugin: sqlite, path: warehouse.db}}
        syncs:
          in: {{from: {{connection: shop, streams: [{", ".join(streams)}]}}, to: {{connection: wh}}, mode: {mode}{sync}}}
        """)


def writing(project, shop, object_name, columns, match, mode="upsert", options="", **settings):
    """A project whose sync `out` writes the table `rows` of a warehouse to an object of the shop."""
    project.environment.update({"SHOP_TOKEN": TOKEN})
    key = ", ".join(match)
    project.config(f"""
        connections:
          shop: {connection(shop, **settings)}
          wh: {{plugin: sqlite, path: warehouse.db}}
        models:
          rows: {{warehouse: wh, sql: models/rows.sql, key: [{key}]}}
        syncs:
          out:
            from: {{model: rows}}
            to: {{connection: shop, object: {object_name}{options}}}
            mode: {mode}
        """)
    project.write("models/rows.sql", f"SELECT {', '.join(columns)} FROM rows\n")


def operations(shop):
    """The root fields that were asked for, in order, from the ledger."""
    names = []
    for entry in shop.ledger():
        document = (entry.get("operation") or {}).get("query") or ""
        names += [name for name in ("bulkOperationRunQuery", "bulkOperationRunMutation", "stagedUploadsCreate") if name in document]
        if document.startswith("query($first") and entry["operation"]["variables"]["first"] > 1:
            names.append("page") # and not the look at one record that comes before a bulk operation
    return names


def held(project, stream, columns="*", order="id"):
    return project.query(f'SELECT {columns} FROM "{stream}" ORDER BY {order}')
