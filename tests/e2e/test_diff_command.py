# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""`dray diff`: what it tells, applied to OLD, gives NEW; whatever the formats, the spelling and the way it went."""

import csv
import datetime
import decimal
import gzip
import io
import json
import os
import random
import re
import signal
import sqlite3
import subprocess

import pytest

import harness

CASES = int(os.environ.get("DRAY_DIFF_CASES", "40"))


def say(project, old, new, *options, code=None, env=None):
    result = project.dray("diff", old, new, "--key", "id", *options, env=env)
    return result if code is None else result.expect(code)


def changes_of(result):
    return [json.loads(line, parse_float=decimal.Decimal) for line in result.out.splitlines()]


def told(project, old, new, *options, code=2):
    """The changes by key, as ndjson says them."""
    changes = changes_of(say(project, old, new, "--format", "ndjson", *options, code=code))
    return {tuple(change["key"].values()): change for change in changes}


def summary(project, old, new, *options, code=2, key="id"):
    return project.dray("diff", old, new, "--key", key, "--summary", "--format", "ndjson", *options).expect(code).line("diff")


def counts(record):
    return tuple(record[name] for name in ("inserts", "updates", "deletes", "unchanged"))


# ---- reading what it prints, without dray's help ----


def csv_cells(text):
    """Records of RFC 4180, where nothing is None and "" is the empty text."""
    records, record, at = [], [], 0
    while at < len(text):
        if text[at] == '"':
            end, parts = at + 1, []
            while True:
                close = text.index('"', end)
                parts.append(text[end:close])
                if text[close + 1:close + 2] != '"':
                    break
                parts.append('"')
                end = close + 2
            record.append("".join(parts))
            at = close + 1
        else:
            end = re.compile("[,\n]").search(text, at).start()
            record.append(text[at:end] or None)
            at = end
        if text[at] == "\n":
            records.append(record)
            record = []
        at += 1
        if record and at < len(text) and text[at] == "\n":  # a comma and then the line's end
            record.append(None)
            records.append(record)
            record = []
            at += 1
    return records


def apply_ndjson(rows, changes):
    """rows: {key: row}. Every `before` must be what is there."""
    rows = dict(rows)
    for change in changes:
        key = tuple(change["key"].values())
        if change["op"] == "insert":
            assert key not in rows and change["before"] is None
            rows[key] = change["after"]
        elif change["op"] == "update":
            assert rows[key] == change["before"]
            changed = [name for name in change["after"] if change["after"][name] != change["before"][name]]
            assert changed == change["changed"] and changed
            rows[key] = change["after"]
        else:
            assert change["op"] == "delete" and rows[key] == change["before"] and change["after"] is None
            del rows[key]
    return rows


def apply_csv(rows, text, key_columns):
    rows = {key: dict(row) for key, row in rows.items()}
    header, *lines = csv_cells(text)
    assert header == ["op", *key_columns, "column", "before", "after"]
    width = len(header)
    assert all(len(record) == width for record in csv.reader(io.StringIO(text)))
    deleted = set()
    for line in lines:
        op, *key, column, before, after = line
        key = tuple(key)
        if op == "insert":
            rows.setdefault(key, dict(zip(key_columns, key)))
        if column is not None:
            assert rows[key].get(column) == before
            rows[key][column] = after
        if op == "delete":
            assert after is None
            deleted.add(key)
    for key in deleted:
        del rows[key]
    return rows


# ---- an oracle: the rule of the help, in Python ----

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")
INTEGER = re.compile(r"(0|-?[1-9][0-9]{0,17})\Z")


def moment(text):
    match = re.match(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?(Z|[+-]\d\d:\d\d)?)?\Z", text)
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        at = datetime.datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
                               int((fraction or "").ljust(6, "0")))
    except ValueError:
        return None
    if zone and zone != "Z":
        sign = 1 if zone[0] == "+" else -1
        at -= sign * datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    return at


def is_number(text):
    integer = re.match(r"-?\d+\Z", text)
    return bool(NUMBER.match(text)) and (not integer or bool(INTEGER.match(text)))


def kind_of(texts):
    seen = [text for text in texts if text]
    tests = (("integer", lambda t: bool(INTEGER.match(t))), ("number", is_number),
             ("bool", lambda t: t.lower() in ("true", "false")), ("date", lambda t: len(t) == 10 and moment(t) is not None),
             ("time", lambda t: moment(t) is not None))
    for name, test in tests if seen else ():
        if all(test(text) for text in seen):
            return name
    return "text" if seen else None


def merge(a, b):
    if a is None or b is None or a == b:
        return a or b
    pairs = {frozenset(("integer", "number")): "number", frozenset(("date", "time")): "time",
             frozenset(("bool", "integer")): "bool"}
    return pairs.get(frozenset((a, b)), "text")


def value_of(kind, text):
    if text is None:
        return None
    if kind in ("integer", "number") and NUMBER.match(text):
        return decimal.Decimal(text).normalize() + 0
    if kind == "bool" and text.lower() in ("true", "false", "1", "0"):
        return text.lower() in ("true", "1")
    if kind == "time" and moment(text) is not None:
        return moment(text)
    return text


class Oracle:
    """Both sides as lists of {column: text or None}."""

    def __init__(self, columns, key, old, new):
        self.columns, self.key = columns, key
        self.kinds = {c: merge(kind_of([r[c] for r in old]), kind_of([r[c] for r in new])) for c in columns}
        self.old, self.old_bad = self.index(old)
        self.new, self.new_bad = self.index(new)
        bad = self.old_bad | self.new_bad
        self.inserts = {k for k in self.new if k not in self.old and k not in bad}
        self.deletes = {k for k in self.old if k not in self.new and k not in bad}
        both = {k for k in self.old if k in self.new and k not in bad}
        self.updates = {k for k in both if self.old[k] != self.new[k]}
        self.unchanged = len(both) - len(self.updates)
        self.partial = bool(bad) or self.nulls > 0

    nulls = 0

    def index(self, rows):
        found, bad = {}, set()
        for row in rows:
            values = {c: value_of(self.kinds[c], row[c]) for c in self.columns}
            key = tuple(values[c] for c in self.key)
            if None in key:
                self.nulls += 1
                continue
            if key in found or key in bad:
                bad.add(key)
                found.pop(key, None)
                continue
            found[key] = values
        return found, bad

    def code(self):
        return 3 if self.partial else 2 if self.inserts or self.updates or self.deletes else 0

    def typed(self, row):
        """A row of ndjson, in the oracle's values."""
        out = {}
        for column, value in row.items():
            kind = self.kinds[column]
            if isinstance(value, (int, decimal.Decimal)) and not isinstance(value, bool):
                value = decimal.Decimal(value).normalize() + 0
            elif kind == "time" and isinstance(value, str) and moment(value) is not None:
                value = moment(value)
            out[column] = value
        return out

    def check(self, changes):
        by_op = {"insert": set(), "update": set(), "delete": set()}
        for change in changes:
            key = tuple(self.typed(change["key"]).values())
            by_op[change["op"]].add(key)
            if change["before"] is not None:
                assert self.typed(change["before"]) == self.old[key]
            if change["after"] is not None:
                assert self.typed(change["after"]) == self.new[key]
        assert by_op == {"insert": self.inserts, "update": self.updates, "delete": self.deletes}


def spell(random_, text, quote_all):
    if text is None:
        return ""
    if text == "" or quote_all or re.search('[",\r\n]', text) or text != text.strip() or random_.random() < 0.1:
        return '"' + text.replace('"', '""') + '"'
    return text


def write_csv(path, columns, rows, random_, line_end="\n"):
    quote_all = random_.random() < 0.3
    with open(path, "w", encoding="utf-8", newline="") as out:
        out.write(",".join(columns) + line_end)
        for row in rows:
            out.write(",".join(spell(random_, row[c], quote_all) for c in columns) + line_end)


def respell(random_, kind, text):
    """Another spelling of the same value."""
    if text is None or kind == "text":
        return text
    if kind == "number" and "e" not in text:
        return random_.choice([text, text + ("0" if "." in text else ".0"), text + "e0", "-0" if text == "0" else text])
    if kind == "bool":
        return random_.choice([text, text.upper(), text.capitalize()])
    if kind == "time" and text.endswith("Z"):
        return random_.choice([text, text[:-1], text.replace("T", " "), text[:-1] + "+00:00"])
    return text


POOL = {
    "integer": lambda r: str(r.choice([0, 1, -1, 7, 42, 10**17, r.randrange(-99, 99)])),
    "number": lambda r: r.choice(["0", "1.5", "-2.25", "1e3", "0.001", "12345678901234567890.5", str(r.randrange(50)) + ".5"]),
    "bool": lambda r: r.choice(["true", "false"]),
    "time": lambda r: f"2024-0{r.randrange(1, 9)}-1{r.randrange(9)}T0{r.randrange(9)}:30:00Z",
    "date": lambda r: f"2024-0{r.randrange(1, 9)}-1{r.randrange(9)}",
    "text": lambda r: r.choice(["", "x", "a,b", 'say "no"', "two\nlines", "é", "007", " blank ", "n/a", "NULL", "🙂" * r.randrange(3)]),
}


def random_case(seed):
    r = random.Random(seed)
    kinds = {"id": r.choice(["integer", "text", "number", "time"]), "part": r.choice(["integer", "date", "bool"])}
    for i in range(r.randrange(4)):
        kinds[f"c{i}"] = r.choice(list(POOL))
    key = ["id", "part"] if r.random() < 0.4 else ["id"]

    def row(number):
        out = {c: None if r.random() < 0.1 else POOL[kind](r) for c, kind in kinds.items()}
        out["id"] = {"integer": str(number), "text": f"k{number}", "number": f"{number}.5",
                     "time": f"2024-01-01T00:{number // 60:02}:{number % 60:02}Z"}[kinds["id"]]
        if r.random() < 0.02:
            out["id"] = None
        return out

    old = [row(number) for number in range(r.choice([0, 1, 5, 40]))]
    new = []
    for before in old:
        after = dict(before)
        if r.random() < 0.1:
            continue
        if r.random() < 0.3:
            column = r.choice(list(kinds))
            after[column] = None if r.random() < 0.2 else POOL[kinds[column]](r)
        if r.random() < 0.3:
            after = {c: respell(r, kinds[c], text) for c, text in after.items()}
        new.append(after)
    new += [row(number) for number in range(100, 100 + r.choice([0, 1, 10]))]
    if r.random() < 0.3 and old:
        old.append(dict(r.choice(old)))
    if r.random() < 0.3 and new:
        new.append(dict(r.choice(new)))
    if r.random() < 0.5:
        r.shuffle(new)
    return r, list(kinds), key, old, new


# Every row through the engine; what the sieve leaves through the engine; what it leaves compared in memory.
WITHOUT_PAIRS = {"DRAY_TEST": "1", "DRAY_FAULT": "eio:compare.pairs:1"}
PATHS = ((("--no-sieve",), None), ((), WITHOUT_PAIRS), ((), None))


@pytest.mark.parametrize("group", range(4))
def test_random_files_on_all_paths_are_what_the_oracle_says(project, group):
    for seed in range(group, CASES, 4):
        r, columns, key, old, new = random_case(seed)
        oracle = Oracle(columns, key, old, new)
        write_csv(project.folder / "old.csv", columns, old, r)
        write_csv(project.folder / "new.csv", columns, new, r, r.choice(["\n", "\r\n"]))
        said = []
        for way, env in PATHS:
            result = project.dray("diff", "old.csv", "new.csv", "--key", ",".join(key), "--format", "ndjson", *way, env=env)
            assert result.code == oracle.code(), f"seed {seed}: {oracle.code()}\n{result}"
            oracle.check(changes_of(result))
            text = project.dray("diff", "old.csv", "new.csv", "--key", ",".join(key), *way, env=env)
            # Of copies that are withheld the engine may show the one that equals OLD's row out of its turn.
            said.append((result.out, sorted(line for line in text.out.splitlines() if not line.startswith("  cost:"))))
        assert said[0] == said[1] == said[2], f"seed {seed}"
        options = ("--key", ",".join(key), "--summary", "--format", "ndjson")
        record = project.dray("diff", "old.csv", "new.csv", *options).expect(oracle.code()).line("diff")
        assert counts(record) == (len(oracle.inserts), len(oracle.updates), len(oracle.deletes), oracle.unchanged), seed


# ---- the formats give NEW from OLD ----


TRICKY_OLD = [
    {"id": "1", "name": "plain", "note": None},
    {"id": "2", "name": "a,b", "note": ""},
    {"id": "3", "name": 'with "quotes"', "note": "two\nlines"},
    {"id": "4", "name": "gone", "note": "x"},
    {"id": "5", "name": "null to empty", "note": None},
    {"id": "6", "name": "empty to null", "note": ""},
    {"id": "7", "name": "é🙂\u2028", "note": "same"},
]
TRICKY_NEW = [
    {"id": "1", "name": "plain", "note": "set"},
    {"id": "2", "name": "a;b", "note": ""},
    {"id": "3", "name": 'with ""quotes""', "note": "two\r\nlines"},
    {"id": "5", "name": "null to empty", "note": ""},
    {"id": "6", "name": "empty to null", "note": None},
    {"id": "7", "name": "é🙂\u2028", "note": "same"},
    {"id": "8", "name": "\ttabs\t", "note": None},
    {"id": "9", "name": None, "note": ","},
]


def by_key(rows, *key):
    return {tuple(row[c] for c in key): row for row in rows}


@pytest.mark.parametrize("way", [(), ("--no-sieve",)])
def test_csv_applied_to_old_gives_new(project, way):
    r = random.Random(1)
    write_csv(project.folder / "old.csv", ["id", "name", "note"], TRICKY_OLD, r)
    write_csv(project.folder / "new.csv", ["id", "name", "note"], TRICKY_NEW, r)
    out = say(project, "old.csv", "new.csv", "--format", "csv", *way, code=2).out
    assert apply_csv(by_key(TRICKY_OLD, "id"), out, ["id"]) == by_key(TRICKY_NEW, "id")


@pytest.mark.parametrize("way", [(), ("--no-sieve",)])
def test_ndjson_applied_to_old_gives_new(project, way):
    r = random.Random(2)
    write_csv(project.folder / "old.csv", ["id", "name", "note"], TRICKY_OLD, r)
    write_csv(project.folder / "new.csv", ["id", "name", "note"], TRICKY_NEW, r)
    changes = changes_of(say(project, "old.csv", "new.csv", "--format", "ndjson", *way, code=2))
    old = by_key([dict(row, id=int(row["id"])) for row in TRICKY_OLD], "id")
    assert apply_ndjson(old, changes) == by_key([dict(row, id=int(row["id"])) for row in TRICKY_NEW], "id")


def test_rows_of_nothing_but_a_key_are_told_in_csv_too(project):
    project.write("old.csv", "id,day\n1,a\n2,b\n")
    project.write("new.csv", "id,day\n2,b\n3,c\n")
    out = project.dray("diff", "old.csv", "new.csv", "--key", "id,day", "--format", "csv").expect(2).out
    assert out == "op,id,day,column,before,after\ninsert,3,c,,,\ndelete,1,a,,,\n"


def test_the_same_inputs_are_told_the_same_twice(project):
    r = random.Random(3)
    rows = [{"id": str(i), "v": str(i % 7)} for i in range(500)]
    write_csv(project.folder / "old.csv", ["id", "v"], rows, r)
    write_csv(project.folder / "new.csv", ["id", "v"], rows[250:], r)
    first = say(project, "old.csv", "new.csv", "--format", "ndjson", code=2).out
    assert first.count("\n") == 250
    assert say(project, "old.csv", "new.csv", "--format", "ndjson", code=2).out == first
    assert say(project, "old.csv", "new.csv", "--format", "ndjson", "--threads", "1", "--no-sieve", code=2).out == first


# ---- what is equal ----


def test_spelling_is_not_a_difference(project):
    project.write("old.csv", 'id,price,at,ok,word\n1,1.0,2024-01-01 00:00:00,TRUE,"x"\n2,-0.0,2024-01-01T02:00:00+02:00,false,y\n')
    project.write("new.csv", 'word,ok,id,price,at\nx,true,1,"1.00",2024-01-01T00:00:00Z\ny,False,2,0,2024-01-01\n')
    assert counts(summary(project, "old.csv", "new.csv", code=0)) == (0, 0, 0, 2)


def test_identifiers_are_text(project):
    project.write("old.csv", "id,zip,big\n1,01234,12345678901234567890\n")
    project.write("new.csv", "id,zip,big\n1,1234,12345678901234567890.0\n")
    assert told(project, "old.csv", "new.csv")[(1,)]["changed"] == ["zip", "big"]


def test_null_is_not_the_empty_text_and_null_has_the_spellings_that_are_given(project):
    project.write("old.csv", 'id,a,b\n1,,NA\n2,"",x\n')
    project.write("new.csv", 'id,a,b\n1,"",NA\n2,"",NULL\n')
    changes = told(project, "old.csv", "new.csv")
    assert changes[(1,)]["before"]["a"] is None and changes[(1,)]["after"]["a"] == ""
    changes = told(project, "old.csv", "new.csv", "--null", "NA,NULL")
    assert changes[(2,)]["after"]["b"] is None and (1,) not in changes


@pytest.mark.parametrize("way", [(), ("--no-sieve",)])
def test_a_late_value_of_another_type_is_compared_as_text(project, way):
    rows = [f"{i},{i}.5\n" for i in range(10050)]
    project.write("old.csv", "id,v\n" + "".join(rows) + "x1,n/a\nx2,none\nx3,1.50\n")
    project.write("new.csv", "id,v\n" + "".join(rows) + "x1,n/a\nx2,n/a\nx3,1.5\n")
    record = summary(project, "old.csv", "new.csv", *way)
    assert counts(record) == (0, 1, 0, 10052)
    assert record["old_side"]["unreadable"] == record["new_side"]["unreadable"] == 0


def test_declared_types_are_strict_about_rows_that_differ(project):
    project.write("old.csv", "id,v,w\n1,1.00,a\n2,abc,a\n3,abc,a\n4,5,a\n")
    project.write("new.csv", "id,v,w\n1,1,a\n2,abc,a\n3,abc,b\n4,6.001,a\n")
    for way in ((), ("--no-sieve",)):
        result = say(project, "old.csv", "new.csv", "--types", "v=decimal(10,2)", "--format", "ndjson", *way, code=3)
        assert result.out == ""
        record = summary(project, "old.csv", "new.csv", "--types", "v=decimal(10,2)", *way, code=3)
        assert counts(record) == (0, 0, 0, 2) and record["new_side"]["unreadable"] == 2
    text = say(project, "old.csv", "new.csv", "--types", "v=decimal(10,2)", code=3).out
    assert '"abc" is not a value of decimal(10,2)' in text and "id=4" in text


def test_a_whole_number_key_is_what_it_is_spelt_and_a_declared_one_what_it_means(project):
    project.write("old.csv", "id,v\n1,a\n2,b\n")
    project.write("new.csv", "id,v\n1.0,a\n2.0,b\n")
    assert counts(summary(project, "old.csv", "new.csv", code=0)) == (0, 0, 0, 2)  # numbers on one side: numbers
    project.write("new.csv", "id,v\n01,a\n02,b\n")
    assert counts(summary(project, "old.csv", "new.csv")) == (2, 0, 2, 0)
    assert counts(summary(project, "old.csv", "new.csv", "--types", "id=int64", code=0)) == (0, 0, 0, 2)


# ---- what cannot be compared ----


@pytest.mark.parametrize("way", [(), ("--no-sieve",)])
def test_keys_that_are_not_unique_are_withheld_on_both_sides(project, way):
    project.write("old.csv", "id,v\n1,a\n1,b\n2,c\n3,d\n4,e\n")
    project.write("new.csv", "id,v\n1,a\n2,c\n2,c\n3,x\n4,e\n")
    changes = told(project, "old.csv", "new.csv", *way, code=3)
    assert list(changes) == [(3,)]
    record = summary(project, "old.csv", "new.csv", *way, code=3)
    assert counts(record) == (0, 1, 0, 1)
    assert (record["old_side"]["duplicate_keys"], record["old_side"]["duplicate_rows"]) == (1, 2)
    assert record["new_side"]["duplicate_rows"] == 2 and record["new_side"]["opposite_duplicates"] == 1
    assert record["old_side"]["opposite_duplicates"] == 1
    text = say(project, "old.csv", "new.csv", *way, code=3).out
    assert "OLD: 1 key came more than once: 2 rows withheld" in text and "data_key_duplicate: id=1" in text


@pytest.mark.parametrize("way", [(), ("--no-sieve",)])
def test_one_of_several_rows_is_taken_on_request(project, way):
    project.write("old.csv", "id,v\n1,a\n1,b\n")
    project.write("new.csv", "id,v\n1,b\n1,c\n1,a\n")
    assert told(project, "old.csv", "new.csv", "--duplicates", "first", *way)[(1,)]["after"]["v"] == "b"
    assert told(project, "old.csv", "new.csv", "--duplicates", "last", *way)[(1,)]["before"]["v"] == "b"


@pytest.mark.parametrize("way", [(), ("--no-sieve",)])
def test_rows_without_a_key_are_withheld(project, way):
    project.write("old.csv", "id,v\n,a\n2,b\n")
    project.write("new.csv", "id,v\n,a\n2,b\n")
    record = summary(project, "old.csv", "new.csv", *way, code=3)
    assert counts(record) == (0, 0, 0, 1) and record["old_side"]["null_keys"] == record["new_side"]["null_keys"] == 1
    assert "OLD: 1 row without a key" in say(project, "old.csv", "new.csv", *way, code=3).out


@pytest.mark.parametrize("way", [(), ("--no-sieve",)])
def test_broken_records_are_named_by_their_line(project, way):
    project.write("old.csv", "id,v\n1,a\n2,b\n")
    project.write("new.csv", b"id,v\n1,a\n2,b\n3,c,d\n4,\xff\xfe\n5,e\n")
    result = say(project, "old.csv", "new.csv", *way, code=3)
    assert "new.csv line 4: 3 fields, header has 2" in result.out and "new.csv line 5" in result.out
    assert "+ 1 added" in result.out and "NEW: 2 rows could not be read" in result.out


def test_what_is_withheld_is_shown_up_to_the_limit_with_the_number_of_the_rest(project):
    project.write("old.csv", "id,v\n" + "".join(f"{i % 20},x{i}\n" for i in range(40)) + ",a\n")
    project.write("new.csv", "id,v\n" + "".join(f"{i},y\n" for i in range(100, 130)))
    out = say(project, "old.csv", "new.csv", "--limit", "3", code=3).out
    assert out.count("! OLD  data_key_duplicate") == 3 and out.count("! OLD  data_key_null") == 1
    assert "and 37 more of OLD" in out and "more of NEW" not in out
    out = say(project, "new.csv", "old.csv", "--limit", "3", "--types", "v=int64", "--duplicates", "first", code=3).out
    assert out.count("! OLD  data_type") == 3 and out.count("! NEW  data_type") == 3  # they come in turns
    assert "OLD: 30 rows with a value that is not of its declared type" in out
    assert "and 27 more of OLD" in out and "and 17 more of NEW" in out


def test_a_broken_record_is_said_to_be_of_any_key_in_every_format(project):
    project.write("old.csv", "id,v\n1,a\n2\n")
    project.write("new.csv", "id,v\n1,a\n2,b\n")
    for name, where in (("text", "out"), ("ndjson", "err"), ("csv", "err")):
        result = say(project, "old.csv", "new.csv", "--format", name, code=3)
        assert "may be told as added or removed" in getattr(result, where)
    assert "1 row could not be compared" in result.err


def test_a_field_of_many_megabytes(project):
    big = "x" * (5 << 20)
    project.write("old.csv", f"id,v\n1,{big}\n2,{big}\n")
    project.write("new.csv", f"id,v\n1,{big}y\n2,{big}\n")
    change = told(project, "old.csv", "new.csv")[(1,)]
    assert change["before"]["v"] == big and change["after"]["v"] == big + "y"
    assert len(say(project, "old.csv", "new.csv", code=2).out) < 1000


# ---- columns ----


def test_columns_of_one_side_are_named_and_count(project):
    project.write("old.csv", "id,a,fax\n1,x,9\n")
    project.write("new.csv", "id,a,mail\n1,x,9\n")
    result = say(project, "old.csv", "new.csv", code=2)
    assert "columns only in OLD, not compared: fax" in result.out and "only in NEW, not compared: mail" in result.out
    record = summary(project, "old.csv", "new.csv")
    assert record["old_side"]["only_here"] == ["fax"] and record["equal"] is False
    stream = say(project, "old.csv", "new.csv", "--format", "ndjson", code=2)
    assert stream.out == "" and "only OLD has the column fax" in stream.err
    say(project, "old.csv", "new.csv", "--exclude", "fax,mail", code=0)
    say(project, "old.csv", "new.csv", "--columns", "a", code=0)


def test_a_name_with_a_blank_in_front_is_shown_in_quotes(project):
    project.write("old.csv", "id, v\n1,x\n")
    project.write("new.csv", "id,v\n1,x\n")
    out = say(project, "old.csv", "new.csv", code=2).out
    assert 'only in OLD, not compared: " v"\n' in out and "only in NEW, not compared: v\n" in out


def test_chosen_columns_alone_are_compared_and_told(project):
    project.write("old.csv", 'id,a,"b,c"\n1,x,y\n')
    project.write("new.csv", 'id,a,"b,c"\n1,X,Y\n')
    assert told(project, "old.csv", "new.csv", "--columns", "a")[(1,)]["after"] == {"id": 1, "a": "X"}
    assert told(project, "old.csv", "new.csv", "--exclude", "a")[(1,)]["changed"] == ["b,c"]
    assert told(project, "old.csv", "new.csv", "--columns", "b\\,c")[(1,)]["changed"] == ["b,c"]


@pytest.mark.parametrize("options, words", [
    (("--key", "idd"), ["schema_key", 'did you mean "id"']),
    (("--key", "id", "--columns", "nam"), ["schema_column", 'did you mean "name"']),
    (("--key", "id", "--exclude", "zzz"), ["schema_column", "neither in OLD nor in NEW"]),
    (("--key", "id", "--types", "name=strin"), ["usage", '"strin" is not a type']),
    (("--key", "id", "--types", "name"), ["usage", "NAME=TYPE"]),
    (("--key", "id", "--exclude", "id"), ["usage", "key column"]),
    (("--key", "id,id"), ["usage", "twice"]),
    (("--key", "id,"), ["usage", "empty name"]),
    (("--key", "id", "--format", "xml"), ["usage", "text, ndjson or csv"]),
    (("--key", "id", "--duplicates", "all"), ["usage", "reject, first or last"]),
    (("--key", "id", "--memory", "lots"), ["usage", "--memory"]),
    (("--key", "id", "--delimiter", "ab"), ["usage", "--delimiter"]),
    (("--key", "id", "--summary", "--format", "csv"), ["usage", "--summary"]),
    ((), ["usage", "--key"]),
])
def test_usage_is_4_and_says_what_to_do(project, options, words):
    project.write("a.csv", "id,name\n1,x\n")
    result = project.dray("diff", "a.csv", "a.csv", *options).expect(4)
    assert "fix:" in result.err and result.out == ""
    for word in words:
        assert word in result.err, str(result)


# ---- inputs ----


def test_missing_and_unfit_files(project):
    project.write("a.csv", "id,v\n1,a\n")
    project.execute("CREATE TABLE t (id INTEGER, v TEXT)", "a.db")
    result = say(project, "a.csv", "none.csv", code=4)
    assert "none.csv (NEW) cannot be read" in result.err and "fix:" in result.err
    assert "sqlite:a.db#TABLE" in say(project, "a.db", "a.csv", code=4).err
    assert "no regular file" in say(project, ".", "a.csv", code=4).err
    assert "sqlite:PATH#TABLE" in say(project, "sqlite:a.db", "a.csv", code=4).err
    assert "schema_stream" in say(project, "sqlite:a.db#u", "a.csv", code=4).err
    say(project, "sqlite:a.db#SELECT nothing FROM t", "a.csv", code=4)
    assert not os.path.exists(project.folder / "none.db")
    assert say(project, "sqlite:none.db#t", "a.csv").code == 4 and not os.path.exists(project.folder / "none.db")
    project.write("twice.csv", "id,id\n1,2\n")
    twice = say(project, "twice.csv", "a.csv", code=4).err
    assert "schema_name" in twice and "two columns are named id\n" in twice and "`columns`" not in twice
    (project.folder / "cut.csv.gz").write_bytes(gzip.compress(b"id,v\n1,a\n" * 1000)[:-20])
    cut = say(project, "cut.csv.gz", "a.csv", "--format", "ndjson", code=1)  # not 3: nothing was compared
    assert "data_encoding" in cut.err and cut.out == ""


@pytest.mark.parametrize("start, words", [("id,v\n1,a\n".encode("utf-16"), "UTF-16"), (b"PK\x03\x04\x14\x00", "ZIP archive"),
                                          (b"PAR1\x15\x04", "Parquet")])
def test_files_of_another_kind_are_told_by_name(project, start, words):
    project.write("a.csv", "id,v\n1,a\n")
    project.write("b.csv", start)
    result = say(project, "a.csv", "b.csv", code=4)
    assert "b.csv (NEW) is" in result.err and words in result.err


@pytest.mark.parametrize("delimiter, option", [(";", "--delimiter ';'"), ("\t", "--delimiter tab"), ("|", "--delimiter '|'")])
def test_another_delimiter_is_guessed_when_the_key_is_not_there(project, delimiter, option):
    project.write("a.csv", "id,v\n1,a\n")
    project.write("b.csv", f"id{delimiter}v\n1{delimiter}a\n")
    assert option in say(project, "a.csv", "b.csv", code=4).err
    project.write("b.csv", "key\n1\n")
    assert "--delimiter" not in say(project, "a.csv", "b.csv", code=4).err


def test_a_pipe_and_what_is_no_database_are_told_with_a_way_out(project):
    project.write("a.csv", "id,v\n1,a\n")
    os.mkfifo(project.folder / "pipe.csv")
    assert "read more than once" in say(project, "pipe.csv", "a.csv", code=4).err  # and nobody writes it
    assert "given by its path alone" in say(project, "sqlite:a.csv#t", "a.csv", code=4).err


@pytest.mark.parametrize("way", [(), ("--no-sieve",)])
def test_empty_inputs(project, way):
    project.write("empty.csv", "")
    project.write("empty.jsonl", "")
    project.write("header.csv", "id,v\n")
    project.write("a.csv", "id,v\n1,2.50\n")
    assert counts(summary(project, "empty.csv", "a.csv", *way)) == (1, 0, 0, 0)
    assert counts(summary(project, "a.csv", "empty.csv", *way)) == (0, 0, 1, 0)
    assert counts(summary(project, "header.csv", "a.csv", *way)) == (1, 0, 0, 0)
    assert counts(summary(project, "header.csv", "header.csv", *way, code=0)) == (0, 0, 0, 0)
    assert counts(summary(project, "empty.csv", "empty.jsonl", *way, code=0)) == (0, 0, 0, 0)
    (project.folder / "empty.csv.gz").write_bytes(gzip.compress(b""))
    project.write("blank.csv", "\n\n")
    assert counts(summary(project, "empty.csv.gz", "a.csv", *way)) == (1, 0, 0, 0)
    assert counts(summary(project, "a.csv", "blank.csv", *way)) == (0, 0, 1, 0)
    assert told(project, "header.csv", "a.csv", *way)[(1,)]["after"] == {"id": 1, "v": decimal.Decimal("2.5")}
    say(project, "empty.csv", "empty.csv", "--format", "csv", *way, code=0)


def test_csv_with_json_lines_and_gzip(project):
    project.write("old.csv", "id,v,t,n\n1,1.50,true,\n2,x,false,5\n")
    lines = [{"id": 1, "v": 1.5, "t": True}, {"id": 2, "v": "x", "t": False, "n": 6}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (project.folder / "new.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    changes = told(project, "old.csv", "new.jsonl.gz")
    assert changes[(2,)]["changed"] == ["n"] and changes[(2,)]["before"]["n"] == 5
    # v is text in OLD, where one value is no number: 1.50 is not 1.5 then.
    assert changes[(1,)]["changed"] == ["v"]
    project.write("old.csv", "id,v,t,n\n1,1.50,true,\n2,2,false,6\n")
    project.write("new.jsonl", '{"id":1,"v":1.5,"t":true}\n{"n":6,"t":false,"v":2.0,"id":2}\n')
    assert counts(summary(project, "old.csv", "new.jsonl", code=0)) == (0, 0, 0, 2)
    (project.folder / "old.csv.gz").write_bytes(gzip.compress((project.folder / "old.csv").read_bytes()))
    assert counts(summary(project, "old.csv.gz", "old.csv", code=0)) == (0, 0, 0, 2)


def test_json_keeps_texts_texts_and_documents_documents(project):
    project.write("old.jsonl", '{"id":"1","doc":{"a":[1, 2]},"code":"5"}\n')
    project.write("new.jsonl", '{"id":"1","doc":{"a":[1,3]},"code":"5"}\n')
    change = told(project, "old.jsonl", "new.jsonl")[("1",)]
    assert change["before"] == {"id": "1", "doc": {"a": [1, 2]}, "code": "5"} and change["changed"] == ["doc"]
    project.write("new.jsonl", '{"id":"1","code":"5","doc": {"a": [1, 2]}}\n')
    say(project, "old.jsonl", "new.jsonl", code=0)


def test_json_that_is_not_lines_is_said(project):
    project.write("a.json", ' [\n{"id":1}\n]\n')
    project.write("b.jsonl", "id,v\n1,2\n")
    assert "one JSON array" in say(project, "a.json", "a.json", code=4).err
    assert "one object a line" in say(project, "b.jsonl", "b.jsonl", code=4).err


def test_sqlite_tables_and_queries(project):
    project.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, price REAL, ok BOOLEAN, raw BLOB, name TEXT);"
                    "INSERT INTO t VALUES (1, 1.5, 1, x'00ff', 'a'), (2, 2.5, 0, NULL, NULL), (3, 3, 1, x'', '')", "old.db")
    project.execute("CREATE TABLE u (id INTEGER PRIMARY KEY, price REAL, ok BOOLEAN, raw BLOB, name TEXT);"
                    "INSERT INTO u VALUES (1, 1.5, 1, x'00fe', 'a'), (2, 2.5, 0, NULL, ''), (3, 3, 1, x'', '')", "new.db")
    changes = told(project, "sqlite:old.db#t", "sqlite:new.db#u")
    assert changes[(1,)]["changed"] == ["raw"] and changes[(1,)]["before"]["raw"] == "AP8="
    assert changes[(2,)]["changed"] == ["name"] and changes[(2,)]["before"]["ok"] is False
    project.write("new.csv", "id,price,ok,name\n1,1.50,1,a\n2,2.5,0,\n3,3.0,1,\"\"\n")
    assert counts(summary(project, "sqlite:old.db#t", "new.csv", "--exclude", "raw", code=0)) == (0, 0, 0, 3)
    query = "sqlite:old.db#SELECT id, price * 2 AS price FROM t WHERE id < 3"
    assert counts(summary(project, query, "new.csv", "--columns", "price")) == (1, 2, 0, 0)
    with sqlite3.connect(project.folder / "old.db") as check:
        assert check.execute("SELECT count(*) FROM t").fetchone() == (3,)


def test_dialects(project):
    project.write("old.txt", "1;a,b\n2;c\n")
    project.write("new.txt", "1;a,b\n2;d\n")
    result = project.dray("diff", "old.txt", "new.txt", "-k", "column_1", "--no-header", "--delimiter", ";", "-f", "ndjson")
    assert changes_of(result.expect(2))[0]["after"] == {"column_1": 2, "column_2": "d"}
    project.write("a.tsv", "id\tv\n1\ta,b\n")
    project.write("b.csv", 'id,v\n1,"a,b"\n')
    say(project, "a.tsv", "b.csv", code=0)


def test_the_real_retail_file_with_known_changes(project, retail):
    lines = retail.read_text(encoding="utf-8").splitlines(keepends=True)
    header, body = "line," + lines[0], [f"{i}," + line for i, line in enumerate(lines[1:])]
    project.write("old.csv", (header + "".join(body)).encode())
    changed = [line for i, line in enumerate(body) if i % 100 != 7]
    changed = [line.replace("United Kingdom", "UK") if i % 50 == 0 else line for i, line in enumerate(changed)]
    updates = sum(a != b for a, b in zip([line for i, line in enumerate(body) if i % 100 != 7], changed))
    project.write("new.csv", (header + "".join(changed) + body[0].replace("0,", "999999,", 1)).encode())
    said = []
    for way in ((), ("--no-sieve",)):
        record = summary(project, "old.csv", "new.csv", *way, key="line")
        deletes = len(body) - len(changed)
        assert counts(record) == (1, updates, deletes, len(changed) - updates)
        assert list(record["changed_columns"].values()) == [updates]
        said.append(project.dray("diff", "old.csv", "new.csv", "--key", "line", "--format", "ndjson", *way).expect(2).out)
    assert said[0] == said[1]


def test_the_real_database_with_itself_and_with_an_edit(project, chinook):
    copy = project.folder / "copy.db"
    copy.write_bytes(chinook.read_bytes())
    place = f"sqlite:{chinook}#Track"
    project.dray("diff", place, "sqlite:copy.db#Track", "--key", "TrackId").expect(0)
    project.execute("UPDATE Track SET Composer = 'me' WHERE TrackId % 500 = 1; DELETE FROM Track WHERE TrackId = 2", "copy.db")
    record = summary(project, place, "sqlite:copy.db#Track", key="TrackId")
    assert record["deletes"] == 1 and record["changed_columns"] == {"Composer": record["updates"]} and record["updates"] == 8


# ---- text and json ----


def test_text_says_counts_columns_and_samples_up_to_the_limit(project):
    project.write("old.csv", "id,a,b\n" + "".join(f"{i},x,y\n" for i in range(20)))
    project.write("new.csv", "id,a,b\n" + "".join(f"{i},X,{'Y' if i < 5 else 'y'}\n" for i in range(20)))
    out = say(project, "old.csv", "new.csv", "--limit", "3", code=2).out
    assert "~ 20 changed" in out and "columns: a 20, b 5" in out and "~ id=0  a: x -> X, b: y -> Y" in out
    assert out.count("~ id=") == 3 and "and 17 more" in out
    assert "id=" not in say(project, "old.csv", "new.csv", "--summary", code=2).out
    records = say(project, "old.csv", "new.csv", "--json", code=2).lines()
    assert records[0]["type"] == "diff" and sum(record["type"] == "sample" for record in records) == 10


def test_a_value_cannot_forge_a_line_or_move_the_cursor(project):
    project.write("old.csv", "id,v\n1,a\n")
    project.write("new.csv", 'id,v\n1,"x\n  + 9 added\x1b[2J"\n')
    out = say(project, "old.csv", "new.csv", code=2).out
    assert "\x1b" not in out and "\n  + 9 added" not in out
    project.write("old.csv", 'id,"v\n  + 9 added\x1b","w\n  + 9 added"\n1,a,b\n')
    project.write("new.csv", 'id,"v\n  + 9 added\x1b"\n1,b\n')
    out = say(project, "old.csv", "new.csv", code=2).out
    assert "\x1b" not in out and "\n  + 9 added" not in out and "columns: v" in out


# ---- ends ----


def folders(tmp):
    return sorted(path.name for path in tmp.glob("dray-diff-*"))


def big_pair(project, rows=100000):
    with open(project.folder / "old.csv", "w", encoding="utf-8") as out:
        out.write("id,a,b\n")
        out.writelines(f"{i},name {i},{i * 7 % 1000}.25\n" for i in range(rows))
    with open(project.folder / "new.csv", "w", encoding="utf-8") as out:
        out.write("id,a,b\n")
        out.writelines(f"{i},name {i},{i * 11 % 1000}.25\n" for i in range(rows))


def in_its_middle(project, tmp, env, number):
    """Ended by a signal while it has a temporary folder. On a machine that gives us our turn too late it may be through by then:
    the next one has more to do."""
    rows = 100000
    while True:
        process = project.start("diff", "old.csv", "new.csv", "--key", "id", "--no-sieve", env=env)
        harness.wait_until(lambda: folders(tmp) or process.poll() is not None, what="the temporary folder")
        process.send_signal(number)
        result = project.finish(process)
        if result.code != 2:
            return result
        rows *= 2
        big_pair(project, rows)


def test_nothing_is_left_behind_whatever_the_end(project, tmp_path):
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    env = {"TMPDIR": str(tmp)}
    big_pair(project)
    say(project, "old.csv", "old.csv", env=env, code=0)
    say(project, "old.csv", "none.csv", env=env, code=4)
    assert folders(tmp) == []
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        in_its_middle(project, tmp, env, number).expect(code)
        assert folders(tmp) == []
    in_its_middle(project, tmp, env, signal.SIGKILL).expect(-signal.SIGKILL)
    left = folders(tmp)
    assert len(left) == 1
    assert os.stat(tmp / left[0]).st_mode & 0o777 == 0o700
    harness.wait_until(lambda: say(project, "old.csv", "old.csv", env=env).code == 0 and folders(tmp) == [],
                       what="the removal of what a killed process left")


def test_a_run_does_not_remove_the_folder_of_another_one(project, tmp_path):
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    env = {"TMPDIR": str(tmp)}
    big_pair(project)
    first = project.start("diff", "old.csv", "new.csv", "--key", "id", "--no-sieve", "--summary", env=env)
    harness.wait_until(lambda: folders(tmp) or first.poll() is not None, what="the temporary folder")
    project.write("a.csv", "id,v\n1,a\n")
    say(project, "a.csv", "a.csv", env=env, code=0)
    project.finish(first).expect(2)
    assert folders(tmp) == []


def test_a_reader_that_goes_away_is_no_failure(project):
    big_pair(project, 50000)
    process = project.start("diff", "old.csv", "new.csv", "--key", "id", "--format", "ndjson")
    assert json.loads(process.stdout.readline())["op"] == "update"
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=harness.RUN_SECONDS_MAX) == 2 and "error" not in error


def test_a_full_disk_behind_stdout_is_a_failure(project):
    project.write("old.csv", "id,v\n1,a\n")
    project.write("new.csv", "id,v\n1,b\n")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([harness.program(), "diff", "old.csv", "new.csv", "-k", "id", "-f", "ndjson"], stdout=full,
                              stderr=subprocess.PIPE, cwd=project.folder, env=project.environ(), timeout=harness.RUN_SECONDS_MAX, check=False)
    assert done.returncode == 1 and b"could not be written" in done.stderr


def test_an_unwritable_temporary_folder_is_said(project):
    project.write("a.csv", "id,v\n1,a\n")
    result = say(project, "a.csv", "a.csv", env={"TMPDIR": str(project.folder / "not there")}, code=1)
    assert "not there" in result.err and "fix:" in result.err


def test_little_memory_gives_the_same(project):
    big_pair(project, 30000)
    first = say(project, "old.csv", "new.csv", "--format", "ndjson", code=2).out
    for way in ((), ("--no-sieve",)):
        assert say(project, "old.csv", "new.csv", "--format", "ndjson", "--memory", "1MiB", *way, code=2).out == first
