# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Instructions a row, counted by callgrind on a fixed input: what a busy machine does not change. Only what happens
inside the engine's calls is counted (the functions measured_* of engine.c), in one thread."""
import json
import pathlib
import platform
import re
import shutil
import subprocess
import tempfile

from . import machine

ROWS = 100_000
KNOWN = pathlib.Path(__file__).parents[1] / "instructions.json"
GROWTH_MAX = 0.03  # salts of a pass are drawn anew: counts move by some tenths of a percent

# name, step, version of the rows, what is divided by
PHASES = (("first_pass", "pass", 1), ("ack", "ack", 1), ("compact", "compact", 1), ("unchanged_pass", "pass", 1),
          ("changed_pass", "pass", 2))


def count(command, *options):
    with tempfile.NamedTemporaryFile(suffix=".callgrind") as profile:
        done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile.name}", *options,
                               *map(str, command)], capture_output=True, text=True)
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if done.returncode != 0 or found is None:
        raise machine.Failed(f"callgrind of {' '.join(map(str, command))}: {done.stderr[-600:]}")
    return int(found.group(1))


def measure(place):
    program, generate = place.need("bench_diff"), place.need("bench_generate")
    found = {}
    for keep in ("row", "key"):
        folder = place.scratch / f"counted-{keep}"
        sources = {version: f"rows:{ROWS}:{version}:random" for version in (1, 2)}
        if keep == "key":
            for version in (1, 2):
                path = place.scratch / f"words-{version}"
                machine.run([generate, "words", ROWS, version, "random", path])
                sources[version] = f"words:{path}"
        for name, step, version in PHASES:
            command = [program, step, "--mirror", folder, "--set", f"{folder}.changes", "--source", sources[version],
                       "--keep", keep, "--threads", "1", "--memory", "256"]
            name = f"{name}.{'rows' if keep == 'row' else 'hashed'}"
            machine.say(f"bench: counting {name}")
            found[name] = round(count(command, "--toggle-collect=measured_*") / ROWS, 1)
    sieve = place.program("bench_csv_sieve")
    if sieve is not None:
        # The whole program: it does nothing else once its files are there, which the first run makes.
        command = [sieve, place.scratch, ROWS, "same", 1, 256, 1]
        machine.run(command)
        machine.say("bench: counting csv_sieve")
        found["csv_sieve"] = round(count(command) / ROWS, 1)
    return found


def compare(found, known):
    """Lines of a report, and the names of what grew."""
    lines, grown = [f"{'instructions a row':<28}{'now':>10}{'known':>10}  change"], []
    for name, now in found.items():
        before = known.get(name)
        change = "" if not before else f"{(now / before - 1) * 100:+.1f} %"
        if before and now > before * (1 + GROWTH_MAX):
            grown.append(name)
            change += "  GREW"
        lines.append(f"{name:<28}{now:>10.1f}{before if before else '-':>10}  {change}")
    return lines, grown


def main(arguments):
    if shutil.which("valgrind") is None:
        raise machine.Failed("no valgrind on the path (tools/bench --setup)")
    place = machine.Place(arguments.work, ROWS, 1)
    try:
        place.build = machine.build("release", ("bench_diff_programs", "bench_csv_sieve"))
        found = measure(place)
    finally:
        place.close()
    compiler = machine.checked(["cc", "-dumpfullversion"]).strip()
    known = json.loads(KNOWN.read_text()) if KNOWN.exists() else {"rows": ROWS, "counts": {}}
    lines, grown = compare(found, known["counts"])
    if arguments.json:
        print(json.dumps({"rows": ROWS, "counts": found, "grown": grown}))
    else:
        print("\n".join(lines))
    if known.get("compiler", compiler) != compiler or known.get("machine", platform.machine()) != platform.machine():
        machine.say(f"bench: the known counts are of {known['compiler']} on {known['machine']}")
    if arguments.write:
        KNOWN.write_text(json.dumps({"rows": ROWS, "compiler": compiler, "machine": platform.machine(), "counts": found},
                                    indent=2) + "\n")
        return 0
    return 1 if grown else 0
