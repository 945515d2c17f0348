# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Random tables, random changes to them, and what each mode of writing must leave of them: plain Python that knows
nothing of dray. A row is a tuple of Python values in the order of the table's columns."""

import base64
import datetime
import decimal
import json
import random

NAMES = ["select", "order", 'we"ird', "back`tick", "it's", "semi;colon", "größe", "東京", "UPPER Case", "per%cent %s", "$1", "?",
         "a.b", " lead", "trail ", "back\\slash", "tab\tname", "new\nline", "[brackets]", "{p}", "rowid", "oid", "s", "d", "e",
         "\U0001F600", "x" * 63, "'; DROP TABLE t; --", "true", "false", "null", "user", "valid_from", "group", "--", "/*", "rank"]
TEXTS = ["", " ", "a", "A", "a ", "ä", "ß", "NULL", "\\N", "'; DROP TABLE t; --", 'say "hi"', "line\nbreak", "tab\t", "\\x00", "東京",
         "\U0001F600\u200d\u2642", "0", "00", "1e2", "true", "a,b", "x" * 240, "é", "e\u0301"]
UTC = datetime.timezone.utc
KEY_TYPES = ["int64", "string", "date", "timestamp", "bool", "decimal(12,3)", "bytes"]
TYPES = KEY_TYPES + ["float64", "json", "decimal(38,9)", "decimal(5,0)"]


class Column:
    def __init__(self, name, kind, nullable):
        self.name, self.kind, self.nullable = name, kind, nullable

    def __repr__(self):
        return f"{self.name!r} {self.kind}{'' if self.nullable else ' not null'}"

    def value(self, rng, few=False):
        """A value of the type, now and then null; `few`: of a handful, so that rows meet again."""
        if self.nullable and rng.random() < 0.2:
            return None
        return VALUES[self.kind.split("(")[0]](rng, self.kind, few)


def _int(rng, _kind, few):
    return rng.choice([0, 1, -1, 7, 2**63 - 1, -2**63]) if few or rng.random() < 0.5 else rng.randrange(-10**6, 10**6)


def _float(rng, _kind, few):
    edges = [0.0, 1.0, -1.5, 0.1, 1e300, 5e-324, 0.1 + 0.2, 1 / 3, 123456789.123]
    return rng.choice(edges) if few or rng.random() < 0.5 else rng.uniform(-1e6, 1e6)


def _decimal(rng, kind, few):
    precision, scale = map(int, kind[8:-1].split(","))
    most = 10**precision - 1
    units = rng.choice([0, 1, -1, 10, most, -most]) if few or rng.random() < 0.5 else rng.randrange(-most, most)
    return decimal.Decimal(units).scaleb(-scale, decimal.Context(prec=60))


def _string(rng, _kind, few):
    return rng.choice(TEXTS[:8]) if few else rng.choice(TEXTS) + rng.choice(["", "x", str(rng.randrange(50))])


def _bytes(rng, _kind, few):
    return rng.choice([b"", b"\0", b"\xff\xfe", b"a"]) if few else rng.randbytes(rng.randrange(8))


def _date(rng, _kind, few):
    edges = [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(2024, 2, 29), datetime.date(1970, 1, 1)]
    return rng.choice(edges) if few or rng.random() < 0.3 else datetime.date(2000, 1, 1) + datetime.timedelta(rng.randrange(9999))


def _timestamp(rng, _kind, few):
    edges = [datetime.datetime(1970, 1, 1, tzinfo=UTC), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
             datetime.datetime(1, 1, 1, tzinfo=UTC), datetime.datetime(2024, 3, 31, 1, 30, tzinfo=UTC)]
    if few or rng.random() < 0.3:
        return rng.choice(edges)
    return edges[0] + datetime.timedelta(microseconds=rng.randrange(2 * 10**15))


def _json(rng, _kind, few):
    return rng.choice(['{"a":1}', '[]', '{"b":[null,"x"],"a":{"c":true}}', '[1,2,3]', '{}'][:3 if few else 5])


VALUES = {"bool": lambda rng, _kind, _few: rng.random() < 0.5, "int64": _int, "float64": _float, "decimal": _decimal,
          "string": _string, "bytes": _bytes, "date": _date, "timestamp": _timestamp, "json": _json}


class Table:
    """Columns, the first `key_count` of them the key, and rows that change. `takes`: which names there may be. `texts`: the key
    and most columns are texts, of a handful that many a collation cannot tell apart."""

    def __init__(self, rng, history=False, takes=lambda name: True, texts=False):
        self.rng, self.texts = rng, texts
        names = rng.sample([name for name in NAMES if takes(name)], 2 + rng.randrange(6))
        self.key_count = 1 + rng.randrange(min(2, len(names) - 1))
        self.columns = [Column(name, rng.choice(KEY_TYPES if i < self.key_count else TYPES), i >= self.key_count and
                               rng.random() < 0.8) for i, name in enumerate(names)]
        for column in self.columns if texts else []:
            if column is self.columns[0] or rng.random() < 0.7:
                column.kind = "string"
        if history:
            self.columns.append(Column("since", rng.choice(["timestamp", "date"]), False))
        self.rows = []

    def key(self, row):
        return tuple(repr(value) for value in row[:self.key_count])

    def new_row(self, few=False):
        return tuple(column.value(self.rng, few or self.texts) for column in self.columns)

    def grow(self, most):
        """Some rows come, at least one where there is none."""
        there = {self.key(row) for row in self.rows}
        for _ in range(self.rng.randrange(0 if self.rows else 1, most + 1)):
            row = self.new_row()
            if self.key(row) not in there:
                there.add(self.key(row))
                self.rows.append(row)

    def change(self):
        """Some rows go, some change in some columns, some come, and their order is another."""
        rng = self.rng
        self.rows = [row for row in self.rows if rng.random() < 0.85]
        for i, row in enumerate(self.rows):
            if rng.random() < 0.4:
                self.rows[i] = row[:self.key_count] + tuple(
                    column.value(rng, self.texts) if rng.random() < 0.5 else value
                    for column, value in list(zip(self.columns, row))[self.key_count:])
        self.grow(6)
        rng.shuffle(self.rows)


# ---- files ----

def _plain(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float):
        return repr(value)
    return str(value)


def jsonl(columns, rows):
    lines = []
    for row in rows:
        members = []
        for column, value in zip(columns, row):
            if value is None:
                text = "null"
            elif column.kind == "json":
                text = value
            elif isinstance(value, bool):
                text = json.dumps(value)
            elif isinstance(value, decimal.Decimal):
                text = format(value, "f")
            elif isinstance(value, (int, float)):
                text = repr(value)
            else:
                text = json.dumps(_plain(value))
            members.append(f"{json.dumps(column.name)}:{text}")
        lines.append("{" + ",".join(members) + "}\n")
    return "".join(lines)


def _quoted(text):
    return '"' + text.replace('"', '""') + '"'


def csv_rows(columns, rows):
    def field(column, value):
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, decimal.Decimal):
            return format(value, "f")
        return _quoted(value if column.kind == "json" else _plain(value))
    return "".join(",".join(field(c, v) for c, v in zip(columns, row)) + "\n" for row in rows)


def csv_header(columns):
    return ",".join(_quoted(column.name) for column in columns) + "\n"


# ---- what each mode leaves ----

def as_bag(rows):
    """Rows in one order, nulls, floats and all."""
    return sorted(rows, key=repr)


class Appended:
    def __init__(self):
        self.rows = []

    def sync(self, rows, _table):
        self.rows += rows


class Replaced:
    def __init__(self):
        self.rows = []

    def sync(self, rows, _table):
        self.rows = list(rows)


class Upserted:
    def __init__(self, deletes=False):
        self.by_key, self.deletes = {}, deletes
        self.gone = {}  # key -> its last row

    def sync(self, rows, table):
        shown = {table.key(row): row for row in rows}
        if self.deletes:
            for key in list(self.by_key):
                if key not in shown:
                    self.gone[key] = self.by_key.pop(key)
        for key, row in shown.items():
            self.gone.pop(key, None)
            self.by_key[key] = row

    @property
    def rows(self):
        return list(self.by_key.values())


class Versioned:
    """Versions in the order of the syncs: each is [row, number of the sync that brought it, of the one that ended it]."""

    def __init__(self, full=True):
        self.versions, self.current, self.syncs, self.full = [], {}, 0, full

    def sync(self, rows, table):
        self.syncs += 1
        shown = {table.key(row): row for row in rows}
        for key, version in list(self.current.items()):
            if (key not in shown and self.full) or (key in shown and shown[key] != version[0]):
                version[2] = self.syncs
                del self.current[key]
        for key, row in shown.items():
            if key not in self.current:
                self.current[key] = [row, self.syncs, None]
                self.versions.append(self.current[key])


class Timed:
    """Versions by the rows' own time, the last column: of rows of one moment the one that came last holds."""

    def __init__(self):
        self.moments = {}

    def sync(self, rows, table):
        for row in rows:
            self.moments.setdefault(table.key(row), {})[row[-1]] = row

    @property
    def versions(self):
        """(row, from, to or None)"""
        found = []
        for moments in self.moments.values():
            times = sorted(moments)
            found += [(moments[time], time, after) for time, after in zip(times, times[1:] + [None])]
        return found


def seeded(seed):
    return random.Random(seed)
