#!/usr/bin/env python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Metafields of one customer of a simulated shop into SQLite, in pages and in bulk: time and peak memory of the run.

    tests/bench/shopify_parent.py BUILD [--metafields 22000] [--bytes 7000]

BUILD is a build with dray and the plugins shopify and sqlite. Prints one JSON object a way.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import harness  # noqa: E402
import shopify_scene as scene  # noqa: E402

AT_ONCE = 2000  # of a request to the simulator


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--metafields", type=int, default=22000)
    parser.add_argument("--bytes", type=int, default=7000)
    given = parser.parse_args()
    os.environ["DRAY_BIN"] = str(pathlib.Path(given.build).resolve() / "tools" / "dray" / "dray")
    os.environ["DRAY_BUILD"] = str(pathlib.Path(given.build).resolve())
    why = scene.module.missing()
    if why:
        sys.exit(why)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shops = scene.Shops(folder)
        shop = shops.start("--customers", 12, "--orders", 3, "--products", 3, "--ledger-brief")
        try:
            customer = shop.records("Customer")[4]["id"]
            for first in range(0, given.metafields, AT_ONCE):
                shop.change({"metafields": [{"id": customer, "namespace": "many", "key": f"key_{i:06}", "value": "x" * given.bytes,
                                             "type": "multi_line_text_field"}
                                            for i in range(first, min(first + AT_ONCE, given.metafields))]})
            for way in ("never", "always"):
                project = harness.Project(folder / way)
                scene.reading(project, shop, "metafields_customers", use_bulk=way)
                begun = time.monotonic()
                run, kib = project.peak("in")
                print(json.dumps({"use_bulk": way, "rows": run["rows_read"], "mb": given.metafields * given.bytes / 1e6,
                                  "seconds": round(time.monotonic() - begun, 1), "peak_mb": round(kib / 1024)}))
        finally:
            shops.end()


if __name__ == "__main__":
    main()
