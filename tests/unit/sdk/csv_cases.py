# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Prints nasty CSV texts and how Python's csv module reads them, for test_csv_python.c.

A case is a line "case DELIMITER HEX", its records as lines "r HEX HEX ..." ("-" is an empty field), then "end".
Texts that end inside quotes are left out: Python gives their last field without a word, dray reports them.
"""
import csv
import io
import random

CASES = 4000
ALPHABET = ['a', 'b', ',', ';', '"', '"', '\n', '\r', '\r\n', ' ', '\t', '\0', '\xe9', 'longer text ']


def ends_in_quotes(text, delimiter):
    """A line behind the text becomes a record of its own exactly when the text does not end in quotes."""
    rows = list(csv.reader(io.StringIO(text + '\nMARK', newline=''), delimiter=delimiter))
    return rows[-1] != ['MARK']


def main():
    rng = random.Random(541909)
    csv.field_size_limit(1 << 20)
    for _ in range(CASES):
        delimiter = rng.choice(',;')
        text = ''.join(rng.choice(ALPHABET) for _ in range(rng.randrange(1, 40)))
        if ends_in_quotes(text, delimiter):
            continue
        print('case', delimiter, text.encode('latin-1').hex())
        for row in csv.reader(io.StringIO(text, newline=''), delimiter=delimiter):
            if row:
                print('r', *(field.encode('latin-1').hex() or '-' for field in row))
        print('end')


main()
