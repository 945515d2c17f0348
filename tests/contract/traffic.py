# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""All that plugins sent and simulators answered while the suite ran, held against the vendors' own documents.

Every simulator that a test starts writes its exchanges into the folder that DRAY_TRAFFIC names, one for each test program
(tests/sim/server/traffic.py). Here they are read again: REST by prism, the lint and answers.py, GraphQL by shopify_check.js. The folder
says how: below `whole` stands what plugins did, and both sides are judged; below `answers` are the tests of the simulators
themselves, which ask much wrongly on purpose, and what the simulators say to that is judged.
"""

import collections
import concurrent.futures
import functools
import json
import pathlib
import re
import sys

import answers
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

    def __init__(self, spec, document):
        self.spec, self.document, self.lint = spec, document, spec.lint(document)
        self.seen = set()  # records that were judged, and answers that were judged alone


@functools.lru_cache(maxsize=2)
def document(vendor):
    return zendesk_spec.relaxed(zendesk_spec.original()) if vendor == "zendesk" else mailchimp_spec.document()


def rest(vendor):
    return Rest(zendesk_spec if vendor == "zendesk" else mailchimp_spec, document(vendor))


def files(folder, vendor, judged):
    """The files of a vendor below `whole` or `answers`."""
    return sorted((pathlib.Path(folder) / judged).glob(f"*/{vendor}.*.ndjson"))


def is_whole(path):
    return path.parent.parent.name == "whole"


def is_steady(path):
    """Whether the same is met in each run: not where dice or deaths decide."""
    return not re.search("random|kill", path.parent.name)


class Verdict:
    """`violations`; of plugins `exchanges` and `answers`: how many were judged, and `met`: operation -> the statuses and faults it met,
    with counts, where dice have no part in it; of simulators' own tests `alone`: how many answers, and `told`: operation -> statuses
    (Shopify: what became of it)."""

    def __init__(self):
        self.violations, self.exchanges, self.answers, self.alone = [], 0, 0, 0
        self.met, self.told = collections.defaultdict(collections.Counter), collections.defaultdict(collections.Counter)


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
    return re.sub(r"/(?:\d+|[0-9a-f]{10,32})(?=[/-]|$)", "/{}", path) + " (not in the document)"


def answer_of(entry, operation, seen):
    told = unpacked(entry["answer"])
    if operation and not entry["spoiled"]:
        told = thinned(operation, told, seen)
    return Answer(entry["status"], told, [tuple(pair) for pair in entry["answer_headers"]], entry["answer_type"])


def located(path, entry, said):
    return {"file": f"{path.parent.name}/{path.name}", "method": entry["method"], "path": entry["target"], "status": entry["status"], **said}


def is_known(vendor, violation):
    """What a validator says wrongly. (What answers.py says has its own lists.)"""
    return violation.get("code") != "answer" and vendor.spec.known(violation)


def judge_whole(vendor, validator, path, entry):
    """(operation or None, violations) of one exchange."""
    raw, target = unpacked(entry["body"]), entry["target"]
    known = vendor.lint.find(entry["method"], target.partition("?")[0])
    answer = Answer(500, {"error": "of a fault"}) if entry["spoiled"] else answer_of(entry, known and known[0], vendor.seen)
    said = [{"location": ["request"], "code": "lint", "message": text}
            for text in vendor.lint.check(entry["method"], target, entry["headers"], raw)]
    if known:
        said += validator.judge(entry["method"], target, entry["headers"], raw, answer)
    if not entry["spoiled"]:
        said += of_answer(vendor, None if known else validator, entry, answer)
    refused = 400 <= entry["status"] < 500 and NONSENSE in raw
    wrong = []
    for one in said:
        side = one["location"][0] if one.get("location") else "request"
        one = located(path, entry, one)
        if not (side == "response" and (entry["spoiled"] or is_known(vendor, one))) and not (refused and side == "request"):
            wrong.append(one)
    return f"{entry['method']} {known[0] if known else undocumented(target.partition('?')[0])}", wrong


def of_answer(vendor, validator, entry, answer):
    """What is wrong with an answer: what the validator says, if there is one, and what it leaves open."""
    method, target = entry["method"], vendor.spec.document_path(entry["target"].partition("?")[0])
    known = vendor.lint.find(method, target)
    told = []
    if known and validator:  # a request without all that might be wrong with it; what prism answers itself it has not judged
        told = validator.judge(method, target, {"authorization": "Bearer x"}, b"", answer)
        told = [one for one in told if (one.get("location") or ["response"])[0] == "response" or str(one.get("code")).startswith("prism-")]
    said = [answers.wrong(vendor.spec, known, method, target, answer, entry["faults"])]
    said += dict.fromkeys(vendor.lint.check_answer(method, target, answer.status, answer.raw))
    return told + [{"location": ["response"], "code": "answer", "message": text} for text in said if text]


def judge_answer(vendor, validator, path, entry):
    """(operation, violations) of an answer alone. One that another answer to the operation was like is right or wrong as that one."""
    target = vendor.spec.document_path(entry["target"].partition("?")[0])
    known = vendor.lint.find(entry["method"], target)
    operation = f"{entry['method']} {known[0] if known else undocumented(target)}"
    answer = answer_of(entry, operation, vendor.seen)
    mark = hash((operation, answer.status, answer.content_type, tuple(name for name, _ in answer.headers), tuple(entry["faults"]),
                 ALIKE.sub("", answer.raw.decode("utf-8", "replace"))))
    if entry["spoiled"] or mark in vendor.seen:
        return operation, []
    vendor.seen.add(mark)
    said = (located(path, entry, one) for one in of_answer(vendor, validator, entry, answer))
    return operation, [one for one in said if not is_known(vendor, one)]


def judge_rest(name, folder, work):
    """The Verdict on all exchanges with a vendor. `work`: a folder for prism."""
    vendor, verdict = rest(name), Verdict()
    with prism.Validator(vendor.document, work) as validator, concurrent.futures.ThreadPoolExecutor(JUDGES) as pool:
        waiting = collections.deque()
        for path, entry in exchanges(files(folder, name, "whole") + files(folder, name, "answers")):
            judge_one = judge_whole if is_whole(path) else judge_answer
            waiting.append((path, entry, pool.submit(judge_one, vendor, validator, path, entry)))
            while len(waiting) > 8 * JUDGES:
                take(verdict, *waiting.popleft())
        while waiting:
            take(verdict, *waiting.popleft())
    return verdict


def take(verdict, path, entry, future):
    operation, wrong = future.result()
    verdict.violations += wrong
    if not is_whole(path):
        if not entry["spoiled"]:
            verdict.alone += 1
            verdict.told[operation][str(entry["status"])] += 1
        return
    verdict.exchanges += 1
    verdict.answers += not entry["spoiled"]
    told = set(entry["faults"]) - SOUND
    if not entry["spoiled"] or told & {"status", "throttle"}:
        told.add(str(entry["status"]))
    if is_steady(path):
        verdict.met[operation].update(told - {"status", "throttle"} or {"spoiled"})


def judge_shopify(folder):
    """The Verdict on the ledgers of all shops."""
    openapi.shared_spec("shopify", shopify_ledger.SCHEMA)
    verdict, whole, alone = Verdict(), files(folder, "shopify", "whole"), files(folder, "shopify", "answers")
    if whole or alone:
        report = shopify_ledger.check(*whole, answers=alone, timeout_s=SHOPIFY_SECONDS_MAX)
        verdict.exchanges, verdict.answers = report.checked["operations"], report.checked["answers"]
        verdict.alone = report.checked["alone"]
        verdict.violations = [one for one in report.violations if not (one["refused"] and NONSENSE.decode() in one["where"])]
        for path in filter(is_steady, whole):
            for root, met in report.met.get(str(path), {}).items():
                verdict.met[root].update(met)
        for path in alone:
            for root, met in report.met.get(str(path), {}).items():
                verdict.told[root].update(met)
    return verdict


def judge(vendor, folder, work):
    return judge_shopify(folder) if vendor == "shopify" else judge_rest(vendor, folder, work)
