#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The kit on the plugin `file`: CSV and JSON Lines with edge values, read; and changes, written to both formats."""
import json
import os
import tempfile
import unittest

import kit

HUGE = "x" * 65536 + "\U0001F600"
CSV = "\ufeffid,text,amount,big,day,at,flag\r\n" + "".join(line + "\r\n" for line in (
    '1,"Grüße, 東京 \U0001F600 \u202eright",12345678901234567890123456789.123456789,9223372036854775807,2024-02-29,2024-03-31T03:00:00+02:00,true',
    '2,"",-0.000000001,-9223372036854775808,0001-01-01,0001-01-01T00:00:00Z,false',
    '3,,,,,,',
    '4,"line one\nline ""two""\r\nthree",-99999999999999999999999999999.999999999,0,9999-12-31,9999-12-31T23:59:59.999999Z,true',
    '5,%s,0,9007199254740993,1969-12-31,1969-12-31T23:59:59.999999Z,false' % HUGE,
    '6," null ",1,-1,1970-01-01,2024-10-27 02:30:00.000001,true'))
CSV_ROWS = [
    ["1", "Grüße, 東京 \U0001F600 \u202eright", "12345678901234567890123456789.123456789", "9223372036854775807", "2024-02-29",
     "2024-03-31T01:00:00Z", "true"],
    ["2", "", "-0.000000001", "-9223372036854775808", "0001-01-01", "0001-01-01T00:00:00Z", "false"],
    ["3", None, None, None, None, None, None],
    ["4", 'line one\nline "two"\r\nthree', "-99999999999999999999999999999.999999999", "0", "9999-12-31",
     "9999-12-31T23:59:59.999999Z", "true"],
    ["5", HUGE, "0.000000000", "9007199254740993", "1969-12-31", "1969-12-31T23:59:59.999999Z", "false"],
    ["6", " null ", "1.000000000", "-1", "1970-01-01", "2024-10-27T02:30:00.000001Z", "true"]]
LINES = [
    r'{"id": 1, "text": "Gr\u00fc\u00dfe \ud83d\ude00", "amount": 12345678901234567890123456789.123456789, "at": "2024-03-31T03:00:00+02:00", "doc": {"a": [1, 2.50, null]}}',
    '{"id": 9223372036854775807, "text": "", "amount": -1e-9, "at": "9999-12-31T23:59:59.999999Z", "doc": []}',
    '{"id": -9223372036854775808, "text": null, "amount": null, "at": null, "doc": null}',
    '{"id": 4}',
    '{"id": 5, "text": %s, "amount": 0, "at": "0001-01-01T00:00:00+00:00", "doc": "text"}' % json.dumps(HUGE)]
LINES_ROWS = [
    ["1", "Grüße \U0001F600", "12345678901234567890123456789.123456789", "2024-03-31T01:00:00Z", '{"a":[1,2.50,null]}'],
    ["9223372036854775807", "", "-0.000000001", "9999-12-31T23:59:59.999999Z", "[]"],
    ["-9223372036854775808", None, None, None, None],
    ["4", {}, {}, {}, {}],
    ["5", HUGE, "0.000000000", "0001-01-01T00:00:00Z", '"text"']]
TYPES = {"amount": "decimal(38,9)", "at": "timestamp", "day": "date", "doc": "json"}


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as file:
        file.write(text)


@unittest.skipUnless(kit.BIN, "DRAY_BIN names no program")
class TestFile(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="dray-conformance-")
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        os.mkdir(os.path.join(self.folder, "in"))
        write(self.folder, "in/edges.csv", CSV)
        write(self.folder, "in/records.jsonl", "".join(line + "\n" for line in LINES))
        write(self.folder, "in/many.csv", "id,name\n" + "".join("%d,name %d\n" % (i, i * 7) for i in range(350)))

    def check(self, source, destination, object_name, expect):
        config = {
            "source": {"settings": {"types": TYPES, **source}},
            "destination": {"settings": {"path": "@SCRATCH@/out", **destination}},
            "object": object_name,
            "expect": expect,
        }
        # It has no secrets, so the canary has nowhere to be.
        return kit.run(kit.library("file"), config, self.folder)

    def test_csv_and_json_lines_read_and_csv_written(self):
        results = self.check({"path": "@CONFIG@/in"}, {}, "rows.csv",
                             [{"stream": "edges", "rows": CSV_ROWS}, {"stream": "records", "rows": LINES_ROWS}])
        kit.expect_clean(self, results, may_skip=("canary_secrets",))

    def test_one_file_read_and_json_lines_written(self):
        results = self.check({"path": "@CONFIG@/in/records.jsonl"}, {"format": "jsonl"}, "rows",
                             [{"stream": "records", "rows": LINES_ROWS}])
        kit.expect_clean(self, results, may_skip=("canary_secrets",))

    def test_a_wrong_expectation_is_told_with_its_place(self):
        wrong = [list(row) for row in CSV_ROWS]
        wrong[3][1] = {}
        expect = [{"stream": "edges", "rows": wrong}]
        results = kit.run(kit.library("file"), {"settings": {"path": "@CONFIG@/in", "types": TYPES}, "expect": expect},
                          self.folder, only="values")
        self.assertEqual(("fail", "row 4, column 2 (text) is not the expected nothing"), results["values"])


if __name__ == "__main__":
    unittest.main()
