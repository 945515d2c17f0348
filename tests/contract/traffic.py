# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""All that plugins sent and simulators answered while the suite ran, held against the vendors' own documents.

Every simulator that a test starts writes its exchanges into the folder that DRAY_TRAFFIC names, one below it for each test
program (tests/sim/server/traffic.py). Here they are read again: REST by prism and the lint, GraphQL by shopify_check.js.
"""

import collections
import concurrent.futures
import json
import pathlib
import re
import sys

import mailchimp_spec
import openapi
import prism
import shopify_ledger
import zendesk_spec

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "sim"))

from server import Answer  # noqa: E402
from server.traffic import packed, unpacked  # noqa: E402

NONSENSE = b"NONSENSE"  # what rows of tests hold that the vendor is to refuse
SOUND = {"slow"}  # faults that are of no interest to who asks what a plugin went through
JUDGES = 4
THIN_BYTES_MIN = 20000
# What may differ between two records that are wrong or right alike: valid times, hashes, digits.
ALIKE = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:Z|[+-]\d\d:\d\d)"
                   r"|\b[0-9a-f]{10,32}\b|\d+")
SHOPIFY_SECONDS_MAX = 400


class Rest:
    """What is needed to judge one vendor that has an OpenAPI document."""

    def __init__(self, document, lint, known):
        self.document, self.lint, self.known = document, lint(document), known
        self.seen = set()  # records that were judged


def rest(vendor):
    if vendor == "zendesk":
        return Rest(zendesk_spec.relaxed(zendesk_spec.original()), zendesk_spec.lint, zendesk_spec.known)
    return Rest(mailchimp_spec.document(), mailchimp_spec.lint, mailchimp_spec.known)


def files(folder, vendor):
    return sorted(path for path in pathlib.Path(folder).glob("*/*.ndjson") if path.name.startswith(vendor + "."))


def is_steady(path):
    """Whether the same is met in each run: not where dice or deaths decide."""
    return not re.search("random|kill", path.parent.name)


class Verdict:
    """`violations`; `exchanges`: how many were judged; `met`: operation -> the statuses and faults it met, with counts, where dice
    have no part in it."""

    def __init__(self):
        self.violations, self.exchanges, self.answers = [], 0, 0
        self.met = collections.defaultdict(collections.Counter)


def exchanges(paths):
    """(file, entry) of all, each different one once."""
    seen = set()
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n") and hash(line) not in seen:  # a killed test may leave half a line
                    seen.add(hash(line))
                    yield path, json.loads(line)


def thinned(operation, raw, seen):
    """A list's answer without the records of whose shape another answer of the operation had one: pages of thousands come again in
    each test, and a record is no less wrong the first time."""
    if len(raw) < THIN_BYTES_MIN:
        return raw
    try:
        whole = json.loads(raw)
    except ValueError:
        return raw
    for name, rows in whole.items() if isinstance(whole, dict) else ():
        if isinstance(rows, list) and len(rows) > 1:
            marks = [hash((operation, name, ALIKE.sub("", json.dumps(row)))) for row in rows]
            whole[name] = [row for mark, row in zip(marks, rows) if mark not in seen]
            seen.update(marks)
    return json.dumps(whole, ensure_ascii=False).encode()


def undocumented(path):
    """How operations are named that the document has not, and a list allows (vendor.lint.paths)."""
    return re.sub(r"/\d+(?=/|$)", "/{}", path) + " (not in the document)"


def judge_one(vendor, validator, path, entry):
    """(operation or None, violations) of one exchange."""
    raw, target = unpacked(entry["body"]), entry["target"]
    known = vendor.lint.find(entry["method"], target.partition("?")[0])
    told = unpacked(entry["answer"])
    if known and not entry["spoiled"]:
        told = thinned(known[0], told, vendor.seen)
    answer = Answer(entry["status"], told, [tuple(pair) for pair in entry["answer_headers"]], entry["answer_type"])
    if entry["spoiled"]:
        answer = Answer(500, {"error": "of a fault"})
    said = [{"location": ["request"], "code": "lint", "message": text}
            for text in vendor.lint.check(entry["method"], target, entry["headers"], raw)]
    if known:
        said += validator.judge(entry["method"], target, entry["headers"], raw, answer)
    refused = 400 <= entry["status"] < 500 and NONSENSE in raw
    wrong = []
    for one in said:
        side = one["location"][0] if one.get("location") else "request"
        one = {"file": f"{path.parent.name}/{path.name}", "method": entry["method"], "path": target, "status": entry["status"], **one}
        if not (side == "response" and (entry["spoiled"] or vendor.known(one))) and not (refused and side == "request"):
            wrong.append(one)
    return f"{entry['method']} {known[0] if known else undocumented(target.partition('?')[0])}", wrong


def judge_rest(name, folder, work):
    """The Verdict on all exchanges with a vendor. `work`: a folder for prism."""
    vendor, verdict = rest(name), Verdict()
    with prism.Validator(vendor.document, work) as validator, concurrent.futures.ThreadPoolExecutor(JUDGES) as pool:
        waiting = collections.deque()
        for path, entry in exchanges(files(folder, name)):
            waiting.append((path, entry, pool.submit(judge_one, vendor, validator, path, entry)))
            while len(waiting) > 8 * JUDGES:
                take(verdict, *waiting.popleft())
        while waiting:
            take(verdict, *waiting.popleft())
    return verdict


def take(verdict, path, entry, future):
    operation, wrong = future.result()
    verdict.exchanges += 1
    verdict.answers += not entry["spoiled"]
    verdict.violations += wrong
    told = set(entry["faults"]) - SOUND
    if not entry["spoiled"] or told & {"status", "throttle"}:
        told.add(str(entry["status"]))
    if is_steady(path):
        verdict.met[operation].update(told - {"status", "throttle"} or {"spoiled"})


def judge_shopify(folder):
    """The Verdict on the ledgers of all shops."""
    openapi.shared_spec("shopify", shopify_ledger.SCHEMA)
    verdict, paths = Verdict(), files(folder, "shopify")
    if paths:
        report = shopify_ledger.check(*paths, timeout_s=SHOPIFY_SECONDS_MAX)
        verdict.exchanges, verdict.answers = report.checked["operations"], report.checked["answers"]
        verdict.violations = [one for one in report.violations if not (one["refused"] and NONSENSE.decode() in one["where"])]
        for path in filter(is_steady, paths):
            for root, met in report.met.get(str(path), {}).items():
                verdict.met[root].update(met)
    return verdict


def judge(vendor, folder, work):
    return judge_shopify(folder) if vendor == "shopify" else judge_rest(vendor, folder, work)
