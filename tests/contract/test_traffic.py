# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever the tests of plugins sent to simulators and were answered, judged by the vendors' documents; and that this was of every
stream and operation that the plugins offer (COVERAGE.md has the table).

Runs after those tests (ctest's fixture vendor_traffic), on what they left in the folder DRAY_TRAFFIC_ALL.
CONTRACT_WRITE=1 writes the table anew.
"""

import copy
import functools
import json
import os
import pathlib
import re

import pytest

import openapi
import prism
import traffic

FOLDER = os.environ.get("DRAY_TRAFFIC_ALL")
TABLE = pathlib.Path(__file__).with_name("COVERAGE.md")
VENDORS = ("shopify", "zendesk", "mailchimp")
pytestmark = pytest.mark.skipif(not FOLDER, reason="skipped: DRAY_TRAFFIC_ALL names no folder")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """vendor -> Verdict, each judged once."""
    openapi.node_modules()
    made = {}

    def verdict(vendor):
        if vendor not in made:
            made[vendor] = traffic.judge(vendor, FOLDER, tmp_path_factory.mktemp(vendor))
        return made[vendor]
    return verdict


@functools.lru_cache(maxsize=1)
def scopes():
    """vendor -> what tests/e2e/test_vendor_scope.py found that each stream and operation asks for."""
    found = {vendor: list(pathlib.Path(FOLDER).glob(f"*/scope.{vendor}.json")) for vendor in VENDORS}
    assert all(len(paths) == 1 for paths in found.values()), f"no list of what the plugins offer: {found}"
    return {vendor: documented(vendor, json.loads(paths[0].read_text(encoding="utf-8"))) for vendor, paths in found.items()}


def lines_of(scope):
    """(title, what it asks for) of each stream and of each operation of an object."""
    yield from ((f"`{name}`", asked) for name, asked in scope["streams"].items())
    for name, operations in scope["objects"].items():
        yield from ((f"`{name}`, {operation}", asked) for operation, asked in operations.items())


@pytest.mark.parametrize("vendor", VENDORS)
def test_all_that_was_sent_and_answered_is_as_the_vendor_declares(verdicts, vendor):
    verdict = verdicts(vendor)
    print(f"{vendor}: {verdict.exchanges} exchanges, {verdict.answers} answers judged")
    assert verdict.violations == [], json.dumps(verdict.violations[:5], indent=1)
    assert verdict.exchanges > 100 and verdict.answers > verdict.exchanges / 2


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_stream_and_operation_was_judged(verdicts, vendor):
    met = verdicts(vendor).met
    for title, asked in lines_of(scopes()[vendor]):
        missing = [name for name in asked if not met.get(plain(name))]
        assert asked and not missing, f"{title}: never judged: {missing}"


def documented(vendor, scope):
    """The scope with the names that the document has for what simulators name by their own templates."""
    if vendor == "shopify":
        return scope
    lint = traffic.rest(vendor).lint

    def name(asked):
        method, template = asked.split(" ")
        path = re.sub(r"\{[^}]*\}", "1", template)
        found = lint.find(method, path)
        return f"{method} {found[0] if found else traffic.undocumented(path)}"
    return {"streams": {one: list(map(name, asked)) for one, asked in scope["streams"].items()},
            "objects": {one: {operation: list(map(name, asked)) for operation, asked in operations.items()}
                        for one, operations in scope["objects"].items()}}


def plain(name):
    """A root field of a bulk operation is judged with the operation that starts it."""
    return "mutation bulkOperationRunQuery" if name.startswith("bulk query ") else \
        "mutation bulkOperationRunMutation" if name.startswith("bulk mutation ") else name


# ---- the table ----

def behaviours(met, asked):
    """What the simulator did to these requests besides answering them."""
    told = set().union(*(met.get(plain(name), {}) for name in asked))
    return {name for name in told if name not in ("data", "spoiled") and not name.startswith("2")}


def row(title, asked, seen):
    return f"| {title} | {', '.join(asked).replace('/api/v2', '').replace('/3.0', '')} | {', '.join(sorted(seen)) or '-'} |"


def table(verdicts):
    lines = []
    for vendor, scope in scopes().items():
        lines += [f"## {vendor}", "", "| stream, or object and operation | requests, each judged | met with, besides success |", "|---|---|---|"]
        lines += [row(title, asked, behaviours(verdicts(vendor).met, asked)) for title, asked in lines_of(scope)] + [""]
    return lines


def test_the_table_is_what_was_seen(verdicts):
    """Each line says what is asked for; and whatever the table says of a vendor was met in this run too. (In which of the requests is
    up to which of them came first.)"""
    wanted = table(verdicts)
    text = TABLE.read_text(encoding="utf-8")
    head = text[:text.index("## shopify")] if "## shopify" in text else text
    if os.environ.get("CONTRACT_WRITE"):
        TABLE.write_text(head.rstrip("\n") + "\n\n" + "\n".join(wanted).rstrip("\n") + "\n", encoding="utf-8")
        return
    held = text[len(head):].splitlines()
    assert [parts(line)[0] for line in held if line] == [parts(line)[0] for line in wanted if line]
    assert {vendor: met - all_met(wanted)[vendor] for vendor, met in all_met(held).items()} == {vendor: set() for vendor in VENDORS}


def parts(line):
    """(a line but for its last cell, what stands in that cell)."""
    rest, _, last = line.rstrip("| ").rpartition(" | ")
    return (rest, {*last.split(", ")} - {"-"}) if line.startswith("| `") else (line, set())


def all_met(lines):
    """vendor -> all that its lines say was met."""
    found, vendor = {}, None
    for line in lines:
        vendor = line.removeprefix("## ") if line.startswith("## ") else vendor
        found.setdefault(vendor, set()).update(parts(line)[1])
    found.pop(None, None)
    return found


# ---- the judge has teeth ----

@pytest.mark.parametrize("vendor", ["zendesk", "mailchimp"])
def test_one_exchange_that_is_spoiled_is_found(vendor, tmp_path):
    judge = traffic.rest(vendor)
    path, good = next((path, entry) for path, entry in traffic.exchanges(traffic.files(FOLDER, vendor))
                      if entry["method"] == "POST" and entry["status"] in (200, 201) and not entry["spoiled"] and "oauth" not in entry["target"])
    asked = copy.deepcopy(good)
    asked["target"] += "&no_such=1" if "?" in asked["target"] else "?no_such=1"
    body = copy.deepcopy(good)
    body["body"] = traffic.packed(b"[5]")
    answer = copy.deepcopy(good)
    answer["answer"] = traffic.packed(b"[5]")
    with prism.Validator(judge.document, tmp_path) as validator:
        said = [traffic.judge_one(judge, validator, path, entry)[1] for entry in (good, asked, body, answer)]
    assert said[0] == [] and "no_such" in json.dumps(said[1])
    assert any(one["location"][0] == "request" for one in said[2]) and any(one["location"][0] == "response" for one in said[3])
