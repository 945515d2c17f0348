# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A row: what was measured, against what, and whether its bar was held. As a JSON object and as a line of a table.

`ratio` is the number that the bar is about; `measure` says what it is: "peer / ours" (how many times faster we are),
"ours / peer" (what we cost on top), or a number of our own with its unit.
"""
import json
import statistics

FIELDS = ("bench", "rows", "ours_s", "peer", "peer_s", "ratio", "ours_peak_mb", "peer_peak_mb", "bar", "held")
NOT_AVAILABLE = "(not available)"


class Bar:
    """A limit that a ratio must keep: Bar(">=", 3) or Bar("<=", 1.1)."""

    def __init__(self, sense, limit):
        assert sense in ("<=", ">=")
        self.sense, self.limit = sense, limit

    def held(self, ratio):
        if ratio is None:
            return None
        return ratio <= self.limit if self.sense == "<=" else ratio >= self.limit

    def __str__(self):
        return f"{self.sense} {self.limit:g}"


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def ratio_of(measure, ours, peer):
    """peer / ours or ours / peer; None when either is missing."""
    if ours is None or peer is None:
        return None
    top, bottom = (peer, ours) if measure == "peer / ours" else (ours, peer)
    return top / bottom if bottom else None


def row(bench, rows, bar=None, *, ours=(), peer=None, peers=(), measure="peer / ours", ratio=None, note=None, **more):
    """A row from measured runs (machine.Run): medians of times, largest of peaks. A row without a bar holds nothing.

    wrong: a sentence when the answer of either side was not the one that the generator knows; such a row never holds."""
    ours, peers = list(ours), list(peers)
    ours_s, peer_s = median(run.seconds for run in ours), median(run.seconds for run in peers)
    if ratio is None:
        ratio = ratio_of(measure, ours_s, peer_s)
    wrong = more.pop("wrong", None)
    held = bar.held(ratio) if bar is not None else None
    made = {
        "bench": bench, "rows": rows, "ours_s": ours_s, "peer": peer, "peer_s": peer_s, "ratio": ratio,
        "ours_peak_mb": peak(ours), "peer_peak_mb": peak(peers), "bar": str(bar) if bar is not None else None,
        "held": False if wrong and bar is not None else held, "measure": measure, "runs": len(ours),
        "ours_cpu_s": median(run.cpu_s for run in ours), "peer_cpu_s": median(run.cpu_s for run in peers),
        "ours_all_s": [rounded(run.seconds) for run in ours], "peer_all_s": [rounded(run.seconds) for run in peers],
    }
    if note:
        made["note"] = note
    if wrong:
        made["wrong"] = wrong
    made.update(more)
    return {key: rounded(value) for key, value in made.items()}


def peak(runs):
    peaks = [run.peak_mb for run in runs if run.peak_mb is not None]
    return max(peaks) if peaks else None


def rounded(value):
    """Four significant digits are more than a busy machine can promise."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}")


def to_json(made):
    return json.dumps(made, separators=(", ", ": "))


# ---- the table ----

COLUMNS = (
    ("bench", "bench", str), ("rows", "rows", lambda v: short(v)), ("ours_s", "ours s", lambda v: f"{v:.3f}"),
    ("peer_s", "peer s", lambda v: f"{v:.3f}"), ("ratio", "ratio", lambda v: f"{v:.3g}"), ("bar", "bar", str),
    ("held", "held", lambda v: "yes" if v else "NO"), ("ours_peak_mb", "ours MB", lambda v: f"{v:.0f}"),
    ("peer_peak_mb", "peer MB", lambda v: f"{v:.0f}"), ("measure", "ratio is", str), ("peer", "peer", str),
)


def short(number):
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if number >= unit and number % (unit // 10) == 0:
            return f"{number / unit:g}{name}"
    return str(number)


def table(rows):
    lines = [[head for _, head, _ in COLUMNS]]
    for made in rows:
        lines.append(["-" if made.get(key) is None else show(made[key]) for key, _, show in COLUMNS])
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    left = {0, len(COLUMNS) - 1, len(COLUMNS) - 2}
    text = []
    for line, made in zip(lines, [None, *rows]):
        text.append("  ".join(cell.ljust(width) if i in left else cell.rjust(width)
                              for i, (cell, width) in enumerate(zip(line, widths))).rstrip())
        if made is not None and made.get("wrong"):
            text.append("    WRONG: " + made["wrong"])
        if made is not None and made.get("note"):
            text.append("    " + made["note"])
    return "\n".join(text)


def count(text):
    """1000, 250k, 10M, 1G as a number of rows."""
    units = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
    number, unit = (text[:-1], units[text[-1]]) if text and text[-1] in units else (text, 1)
    value = int(number) * unit
    if value < 1000:
        raise ValueError("at least 1000 rows")
    return value
