# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever the tests of plugins sent to simulators and were answered, judged by the vendors' documents; that this was of every stream
and operation that the plugins offer; and whatever the simulators answered in tests of their own (COVERAGE.md has the tables).

Runs after those tests (ctest's fixture vendor_traffic), on what they left in the folder DRAY_TRAFFIC_ALL.
CONTRACT_WRITE=1 writes the table anew.
"""

import contextlib
import copy
import functools
import json
import os
import pathlib
import re

import pytest

import openapi
import prism
import shopify_ledger
import traffic

FOLDER = os.environ.get("DRAY_TRAFFIC_ALL")
TABLE = pathlib.Path(__file__).with_name("COVERAGE.md")
VENDORS = ("shopify", "zendesk", "mailchimp")
ALONE = "## Simulators' own tests: "
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
    found = {vendor: list(pathlib.Path(FOLDER).glob(f"whole/*/scope.{vendor}.json")) for vendor in VENDORS}
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
    print(f"{vendor}: {verdict.exchanges} exchanges of plugins with {verdict.answers} answers, {verdict.alone} answers besides")
    assert verdict.violations == [], json.dumps(verdict.violations[:5], indent=1)
    assert verdict.exchanges > 100 and verdict.answers > verdict.exchanges / 2
    for test in ("sim", "contract"):
        assert list(pathlib.Path(FOLDER).glob(f"answers/{test}.{vendor}/{vendor}.*.ndjson")), f"{test}.{vendor} left nothing to judge"


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


def row_alone(operation, met):
    return f"| {operation.replace('/api/v2', '').replace('/3.0', '')} | {', '.join(sorted(met)) or '-'} |"


def table_alone(verdicts):
    """What the simulators answered in tests of their own."""
    lines = []
    for vendor in VENDORS:
        lines += [ALONE + vendor, "", "| asked | answers judged |", "|---|---|"]
        lines += [row_alone(operation, met) for operation, met in sorted(verdicts(vendor).told.items())] + [""]
    return lines


def test_the_table_is_what_was_seen(verdicts):
    """Each line says what is asked for; and whatever the table says of a vendor was met in this run too. (In which of the requests is
    up to which of them came first.)"""
    wanted, alone = table(verdicts), table_alone(verdicts)
    text = TABLE.read_text(encoding="utf-8")
    head = text[:text.index("## shopify")] if "## shopify" in text else text
    if os.environ.get("CONTRACT_WRITE"):
        TABLE.write_text(head.rstrip("\n") + "\n\n" + "\n".join(wanted + alone).rstrip("\n") + "\n", encoding="utf-8")
        return
    lines = text[len(head):].splitlines()
    at = lines.index(ALONE + VENDORS[0])
    held = lines[:at]
    assert [parts(line)[0] for line in held if line] == [parts(line)[0] for line in wanted if line]
    assert {vendor: met - all_met(wanted)[vendor] for vendor, met in all_met(held).items()} == {vendor: set() for vendor in VENDORS}
    assert missing(lines[at:], alone) == []


def missing(held, seen):
    """What a table of answers says and the other does not."""
    section, found = "", []
    known = {}
    for rows, take in ((seen, True), (held, False)):
        for line in rows:
            section = line if line.startswith("## ") else section
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if line.startswith("| ") and take:
                known[section, cells[0]] = set(cells[1].split(", "))
            elif line.startswith("| ") and not set(cells[1].split(", ")) <= known.get((section, cells[0]), set()):
                found.append((section, line))
    return found


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

@pytest.fixture(scope="module")
def judges(tmp_path_factory):
    """vendor -> what judges it, with a validator that runs."""
    with contextlib.ExitStack() as running:
        made = {}

        def judge(vendor):
            if vendor not in made:
                made[vendor] = traffic.rest(vendor)
                made[vendor].validator = running.enter_context(prism.Validator(made[vendor].document, tmp_path_factory.mktemp(vendor)))
            return made[vendor]
        yield judge


def some(vendor, wanted):
    """(path, entry) of a plugin's exchange."""
    return next((path, entry) for path, entry in traffic.exchanges(traffic.files(FOLDER, vendor, "whole"))
                if not entry["spoiled"] and "oauth" not in entry["target"] and wanted(entry))


@pytest.mark.parametrize("vendor", ["zendesk", "mailchimp"])
def test_one_exchange_that_is_spoiled_is_found(judges, vendor):
    judge = judges(vendor)
    path, good = some(vendor, lambda entry: entry["method"] == "POST" and entry["status"] in (200, 201))
    asked = copy.deepcopy(good)
    asked["target"] += "&no_such=1" if "?" in asked["target"] else "?no_such=1"
    body = copy.deepcopy(good)
    body["body"] = traffic.packed(b"[5]")
    answer = copy.deepcopy(good)
    answer["answer"] = traffic.packed(b"[5]")
    said = [traffic.judge_whole(judge, judge.validator, path, entry)[1] for entry in (good, asked, body, answer)]
    assert said[0] == [] and "no_such" in json.dumps(said[1])
    assert any(one["location"][0] == "request" for one in said[2]) and any(one["location"][0] == "response" for one in said[3])


@pytest.mark.parametrize("vendor, nowhere, refusal", [
    ("zendesk", "/api/v2/nothing", (404, "application/json", {"error": "InvalidEndpoint", "description": "Not found"})),
    ("mailchimp", "/3.0/nothing", (404, "application/problem+json", {
        "type": "https://mailchimp.com/developer/marketing/docs/errors/", "title": "Resource Not Found", "status": 404,
        "detail": "The requested resource could not be found.", "instance": "0" * 36}))])
def test_a_wrong_answer_in_a_simulators_own_test_is_refused(judges, vendor, nowhere, refusal):
    """Whatever was asked: there only the answer is judged, and as hard as a plugin's."""
    judge = judges(vendor)
    _, good = some(vendor, lambda entry: entry["method"] == "GET" and entry["status"] == 200)
    told = json.loads(traffic.unpacked(good["answer"]))
    alone = pathlib.Path(f"answers/sim.{vendor}/{vendor}.a.ndjson")

    def judged(path=alone, status=None, kind=None, answer=None, **more):
        entry = {**copy.deepcopy(good), **more}
        if answer is not None:
            entry["answer"] = traffic.packed(json.dumps(answer).encode())
        entry["status"], entry["answer_type"] = status or entry["status"], kind or entry["answer_type"]
        judge.seen.clear()
        by = traffic.judge_whole if traffic.is_whole(path) else traffic.judge_answer
        return by(judge, judge.validator, path, entry)[1]

    status, kind, body = refusal
    nonsense = {"target": good["target"].partition("?")[0] + "?no_such=1", "body": traffic.packed(b"[5]")}
    assert judged() == [] and judged(**nonsense) == []
    assert judged(target=nowhere, status=status, kind=kind, answer=body) == []
    assert judged(status=status, kind=kind, answer=body, **nonsense) == []
    plugins = pathlib.Path(f"whole/e2e.{vendor}/{vendor}.a.ndjson")
    assert judged(plugins) == [] and judged(plugins, **nonsense)
    wrong = [
        judged(answer=[5]), judged(answer={**told, "no_such": 1}), judged(status=202), judged(status=302), judged(status=500),
        judged(target=nowhere), judged(status=status), judged(status=status, kind=kind, answer={**body, "more": 1}),
        judged(status=status, kind="text/html", answer=body), judged(status=418, kind=kind, answer=body),
        judged(status=status, kind=kind, answer={"oops": "no"}), judged(status=401, kind=kind, answer=body)]
    assert all(wrong), [bool(one) for one in wrong]
    assert all(one["location"][0] == "response" and one["file"] == f"sim.{vendor}/{alone.name}" for said in wrong for one in said)


QUERY = "{ customers(first: 1) { nodes { id } } }"
COST = {"cost": {"requestedQueryCost": 3, "actualQueryCost": 3,
                 "throttleStatus": {"maximumAvailable": 2000, "currentlyAvailable": 1997, "restoreRate": 100}}}
DATA = {"data": {"customers": {"nodes": [{"id": "gid://shopify/Customer/1"}]}}, "extensions": COST}
REFUSED = {"errors": [{"message": "Field 'shoe' doesn't exist on type 'QueryRoot'", "locations": [{"line": 1, "column": 3}],
                       "path": ["query", "shoe"], "extensions": {"code": "undefinedField"}}]}


def shop_line(answer=None, query=QUERY, variables=None, **more):
    line = {"method": "POST", "template": "/admin/api/{version}/graphql.json", "status": 200, **more}
    operation = {"query": query, "variables": variables or {}, "operationName": None}
    return {**line, "operation": operation, "answer": answer} if answer else line


SHOP_LINES = [  # (line of a ledger, whether the answer is right)
    (shop_line(DATA), True), (shop_line(REFUSED, "{ shoe }"), True), (shop_line({"errors": [{"message": "syntax error"}]}, "{"), True),
    (shop_line(REFUSED, "query($n: Int) { customers(first: $n) { nodes { id } } }", {"n": "x"}), True),
    (shop_line(status=404, reply={"errors": "Not Found"}), True),
    (shop_line(DATA, "{ shoe }"), False), (shop_line({**REFUSED, "data": None}, "{ shoe }"), False),
    (shop_line(DATA, "query($n: Int) { customers(first: $n) { nodes { id } } }", {"n": "x"}), False),
    (shop_line({**DATA, "more": 1}), False), (shop_line({"data": DATA["data"]}), False), (shop_line({"errors": []}), False),
    (shop_line({**DATA, "data": {"customers": {"nodes": [{"id": 5}]}}}), False), (shop_line({**DATA, "data": {"customers": None}}), False),
    (shop_line({"errors": [{"message": "x", "extensions": {"code": "OUT_OF_SHOES"}}]}), False),
    (shop_line({"errors": [{"code": 1}]}), False),
    (shop_line(status=404, reply={"error": "Not Found"}), False), (shop_line(status=418, reply={"errors": "Tea"}), False),
    (shop_line(status=404, reply=None), False), (shop_line(status=404, template="/bulk-operation-outputs/{file}", reply="gone"), False),
    (shop_line(status=200, template="/admin/oauth/access_token", reply={"access_token": "shpat_x"}), False)]


def test_a_wrong_answer_in_the_shops_own_test_is_refused(tmp_path):
    openapi.node_modules()
    openapi.shared_spec("shopify", shopify_ledger.SCHEMA)
    (tmp_path / "answers" / "sim.shopify").mkdir(parents=True)
    for at, (line, _) in enumerate(SHOP_LINES):
        path = tmp_path / "answers" / "sim.shopify" / f"shopify.{at}.ndjson"
        path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    verdict = traffic.judge("shopify", tmp_path, None)
    found = {int(pathlib.Path(one["file"]).name.split(".")[1]) for one in verdict.violations}
    assert found == {at for at, (_, right) in enumerate(SHOP_LINES) if not right}, verdict.violations
    assert verdict.alone == len(SHOP_LINES) and all(one["kind"] == "answer" for one in verdict.violations)
