#!/usr/bin/python3
# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The layout of the plugin ABI, read from its headers.

The names of structs, members and constants come from the text of the headers, so that nothing can be forgotten; sizes,
offsets and values come from the compiler, by a small C program that is written, built and run here.

    layout.py [--include DIR]               prints the layout as JSON
    layout.py [--include DIR] --write FILE  writes it, for the lock of a new minor
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
INCLUDE = os.path.normpath(os.path.join(HERE, "..", "..", "sdk", "include"))
HEADERS = ["abi.h", "arrow.h", "stream.h", "host.h", "source.h", "destination.h", "warehouse.h", "plugin.h"]
# Array elements, and structs that somebody else froze: no struct_size, no growth.
FROZEN = {"ArrowSchema", "ArrowArray", "dray_str", "dray_receipt", "dray_http_header"}
# What a member may be made of (design of the ABI: explicit widths, no enums, no bool, no long, no bitfields).
PLAIN = {"char", "uint8_t", "int8_t", "uint16_t", "int16_t", "uint32_t", "int32_t", "uint64_t", "int64_t", "double"}
NOT_CONSTANTS = {"DRAY_ABI_MINOR", "DRAY_NODISCARD", "DRAY_EXPORT"}


class LayoutError(Exception):
    """A header that cannot be read, or a rule that is broken."""


def strip_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.S)


def collapse(text):
    text = re.sub(r"\s+", " ", text.replace("DRAY_NODISCARD", " ")).strip()
    return re.sub(r"\s*\*\s*", " *", text)


def without_name(parameter):
    """'struct dray_str *out' -> 'struct dray_str *': names of parameters are no part of the ABI."""
    parameter = collapse(parameter)
    match = re.match(r"^(.*\*)\s*\w+$", parameter)
    if match:
        return match.group(1)
    words = parameter.split()
    least = 1 + ("const" in words) + ("struct" in words)
    return " ".join(words[:-1]) if len(words) > least and not parameter.endswith("*") else parameter


def parse_member(statement):
    """One declaration -> [(name, type)]."""
    statement = collapse(statement)
    pointer = re.match(r"^(.*?)\(\s*\*\s*(\w+)\s*\)\s*\((.*)\)$", statement)
    if pointer:
        parameters = ", ".join(without_name(p) for p in pointer.group(3).split(","))
        return [(pointer.group(2), "%s (*)(%s)" % (pointer.group(1).strip(), parameters))]
    first, *others = [part.strip() for part in statement.split(",")]
    match = re.match(r"^(.*?)(\w+)((?:\[\w+\])?)$", first)
    if not match or ":" in statement:
        raise LayoutError("cannot read the member: %s" % statement)
    base = match.group(1).strip()
    members = [(match.group(2), base + match.group(3))]
    for other in others:
        if not re.match(r"^\w+$", other):
            raise LayoutError("cannot read the member: %s" % statement)
        members.append((other, base))
    return members


def read_headers(include):
    """The names: ({struct: [(member, type)]}, [constant])."""
    structs, constants = {}, []
    for header in HEADERS:
        with open(os.path.join(include, "dray", header), encoding="utf-8") as file:
            text = strip_comments(file.read())
        for name, value in re.findall(r"^#define (DRAY_\w+)[ \t]+(\S.*)$", text, flags=re.M):
            if name not in NOT_CONSTANTS and not name.endswith("_H"):
                constants.append(name)
        text = re.sub(r"^[ \t]*#.*$", "", text, flags=re.M)
        for body in re.findall(r"\benum\s*\{(.*?)\}\s*;", text, flags=re.S):
            constants += [part.split("=")[0].strip() for part in body.split(",") if part.strip()]
        for name, body in re.findall(r"\bstruct\s+(\w+)\s*\{(.*?)\}\s*;", text, flags=re.S):
            members = []
            for statement in body.split(";"):
                if statement.strip():
                    members += parse_member(statement)
            structs[name] = members
    with open(os.path.join(include, "dray", "errors.def"), encoding="utf-8") as file:
        constants += ["DRAY_E_" + name for name in re.findall(r"^DRAY_ERROR\((\w+),", file.read(), flags=re.M)]
    return structs, list(dict.fromkeys(constants))


def write_program(structs, constants, path):
    lines = ["#include <stdio.h>", "#include <stddef.h>", '#include "dray/plugin.h"',
             "#define SHOW(x) _Generic((x), char *: show_text, const char *: show_text, default: show_number)",
             "static void show_text(const char *name, const char *x) { printf(\"C %s s %s\\n\", name, x); }",
             "static void show_number(const char *name, long long x) { printf(\"C %s n %lld\\n\", name, x); }",
             "int main(void) {"]
    for struct, members in structs.items():
        lines.append('printf("S %%s %%zu\\n", "%s", sizeof(struct %s));' % (struct, struct))
        for member, _ in members:
            lines.append('printf("M %%s %%zu %%zu\\n", "%s", offsetof(struct %s, %s), sizeof(((struct %s *)0)->%s));'
                         % (member, struct, member, struct, member))
    for constant in constants:
        lines.append('SHOW(%s)("%s", %s);' % (constant, constant, constant))
    lines.append("return 0; }")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def compute(include=INCLUDE, cc=None):
    """The layout of the headers in `include`."""
    structs, constants = read_headers(include)
    cc = (cc or os.environ.get("DRAY_CC") or "cc").split()
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "layout")
        write_program(structs, constants, program + ".c")
        command = cc + ["-std=c11", "-I", include, program + ".c", "-o", program]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            raise LayoutError("the layout program does not build:\n" + built.stderr)
        output = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    layout = {"abi": None, "structs": {}, "constants": {}}
    current = None
    for line in output.splitlines():
        kind, name, *rest = line.split(" ")
        if kind == "S":
            current = layout["structs"][name] = {"size": int(rest[0]), "members": {}}
            types = dict(structs[name])
        elif kind == "M":
            current["members"][name] = {"offset": int(rest[0]), "size": int(rest[1]), "type": types[name]}
        elif rest[0] == "s":
            layout["constants"][name] = " ".join(rest[1:])
        else:
            layout["constants"][name] = int(rest[1])
    with open(os.path.join(include, "dray", "abi.h"), encoding="utf-8") as file:
        minor = re.search(r"^#define DRAY_ABI_MINOR (\d+)$", file.read(), flags=re.M).group(1)
    layout["abi"] = "%d.%s" % (layout["constants"]["DRAY_ABI_MAJOR"], minor)
    return layout


# ---- rules ----

def broken_rules(layout):
    """What the design of the ABI forbids, as sentences."""
    problems = []
    for name, struct in layout["structs"].items():
        members = list(struct["members"].items())
        if name not in FROZEN and (not members or members[0][0] != "struct_size"):
            problems.append("struct %s does not begin with struct_size" % name)
        end = 0
        for member, at in members:
            if at["offset"] != end:
                problems.append("struct %s has a hole of %d bytes before %s" % (name, at["offset"] - end, member))
            end = at["offset"] + at["size"]
            base = re.sub(r"\[\w+\]$", "", at["type"]).replace("const ", "").strip()
            is_struct = re.match(r"^struct \w+$", base)
            if not (base in PLAIN or is_struct or "*" in base):
                problems.append("struct %s: the type of %s (%s) has no explicit width" % (name, member, at["type"]))
        if end != struct["size"]:
            problems.append("struct %s has a hole of %d bytes at its end" % (name, struct["size"] - end))
    return problems


def differences(old, new, exact):
    """Why `new` is not `old` (exact), or not a compatible extension of it, as sentences."""
    problems = []
    for name, was in old["structs"].items():
        now = new["structs"].get(name)
        if now is None:
            problems.append("struct %s is gone" % name)
            continue
        for member, at in was["members"].items():
            if member not in now["members"]:
                problems.append("struct %s: %s is gone" % (name, member))
            elif now["members"][member] != at:
                problems.append("struct %s: %s was %s, is %s" % (name, member, at, now["members"][member]))
        more = [m for m in now["members"] if m not in was["members"]]
        if more and (exact or name in FROZEN):
            problems.append("struct %s has new members: %s" % (name, ", ".join(more)))
        for member in more:
            if now["members"][member]["offset"] < was["size"]:
                problems.append("struct %s: %s is not at the end" % (name, member))
    for name, value in old["constants"].items():
        if new["constants"].get(name) != value:
            problems.append("%s was %r, is %r" % (name, value, new["constants"].get(name)))
    if exact:
        problems += ["struct %s is new" % n for n in new["structs"] if n not in old["structs"]]
        problems += ["%s is new" % n for n in new["constants"] if n not in old["constants"]]
    return problems


def to_text(layout):
    """JSON with one line a member and a constant, so that a change is a line of a diff."""
    lines = ['{"abi": %s,' % json.dumps(layout["abi"]), '"structs": {']
    for name, struct in layout["structs"].items():
        lines.append(' "%s": {"size": %d, "members": {' % (name, struct["size"]))
        members = ["  %s: %s" % (json.dumps(m), json.dumps(at)) for m, at in struct["members"].items()]
        lines += [m + "," for m in members[:-1]] + [members[-1] + "}},"]
    lines[-1] = lines[-1][:-1] + "},"
    constants = [" %s: %s" % (json.dumps(n), json.dumps(v)) for n, v in layout["constants"].items()]
    return "\n".join(lines + ['"constants": {'] + [c + "," for c in constants[:-1]] + [constants[-1] + "}}"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--include", default=INCLUDE)
    parser.add_argument("--write")
    arguments = parser.parse_args()
    layout = compute(arguments.include)
    problems = broken_rules(layout)
    for problem in problems:
        print(problem, file=sys.stderr)
    text = to_text(layout)
    assert json.loads(text) == layout
    if arguments.write:
        with open(arguments.write, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
