# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A vendor's OpenAPI document: read, searched, and used for what a validator of schemas lets pass.

Vendors do not close their schemas, so a misspelt query name or field is never wrong for a validator. `Lint` says what a request
carries that its operation does not declare, and values of a type that none of the declared alternatives has.
"""

import fnmatch
import gzip
import json
import os
import pathlib
import re
import subprocess
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
DEPTH_MAX = 40


class Missing(Exception):
    """Something that these tests need is not on this machine: the test is skipped, and fails where CI=true."""


def node_modules():
    for folder in (os.environ.get("NODE_PATH"), ROOT / "build" / "npm" / "node_modules"):
        if folder and (pathlib.Path(folder) / "@stoplight" / "prism-cli").is_dir():
            return pathlib.Path(folder)
    raise Missing("the npm packages are not here: run tests/contract/install")


def shared_spec(vendor, name):
    """The path of a vendor's document under DRAY_SHARED (or ../shared)."""
    folder = pathlib.Path(os.environ.get("DRAY_SHARED", ROOT.parent / "shared"))
    path = folder / "specs" / vendor / name
    if not path.is_file():
        raise Missing(f"no {path}: the vendor's spec is not here (DRAY_SHARED)")
    return path


def load(path):
    """The document of a JSON or YAML file, packed by gzip or not. YAML dates stay text."""
    raw = path.read_bytes()
    if path.suffix == ".gz":
        raw, path = gzip.decompress(raw), path.with_suffix("")
    if path.suffix == ".json":
        return json.loads(raw)
    script = ('const y=require("js-yaml"),f=require("fs");'
              'process.stdout.write(JSON.stringify(y.load(f.readFileSync(0,"utf8"),{schema:y.JSON_SCHEMA})))')
    done = subprocess.run(["node", "-e", script], input=raw, capture_output=True, check=True,
                          env={**os.environ, "NODE_PATH": str(node_modules())})
    return json.loads(done.stdout)


def visit(schema, change):
    """Calls change(dict) for every object below, innermost first."""
    if isinstance(schema, dict):
        for value in schema.values():
            visit(value, change)
        change(schema)
    elif isinstance(schema, list):
        for value in schema:
            visit(value, change)


def type_of(value):
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return {str: "string", list: "array", dict: "object", type(None): "null"}[type(value)]


class Lint:
    """`queries` and `fields` allow what is real but not declared: lists of (method, path pattern, name pattern). Names of fields
    are pointers with `*` for the places of arrays, e.g. `/users/*/user_fields/*`. In patterns `*` takes anything. `told`: the same as
    `fields`, of answers."""

    def __init__(self, document, queries=(), fields=(), paths=(), told=()):
        self.document = document
        self.queries, self.fields, self.paths, self.told = list(queries), list(fields), list(paths), list(told)
        self.operations = []
        for template, item in document["paths"].items():
            pattern = re.compile("".join("([^/]+)" if part.startswith("{") else re.escape(part)
                                         for part in re.split(r"(\{[^}]*\})", template)) + "$")
            for method in METHODS:
                if method in item:
                    self.operations.append((template.count("{"), template, pattern, method.upper(), item))
        self.operations.sort(key=lambda operation: operation[:2])

    def resolve(self, thing):
        for _ in range(DEPTH_MAX):
            if "$ref" not in thing:
                return thing
            found = self.document
            for part in thing["$ref"][2:].split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            thing = found
        raise ValueError("a $ref that goes in a circle")

    def find(self, method, path):
        """(template, operation, parameters of the path item), or None: the document has no such operation."""
        for _, template, pattern, declared, item in self.operations:
            if declared == method and pattern.match(path):
                return template, item[method.lower()], item.get("parameters", [])
        return None

    @staticmethod
    def allowed(rules, method, path, name):
        return any(fnmatch.fnmatchcase(method, rule[0]) and fnmatch.fnmatchcase(path, rule[1])
                   and fnmatch.fnmatchcase(name, rule[2].replace("[", "[[]")) for rule in rules)

    def check(self, method, target, headers, raw):
        """What is wrong with a request, as sentences. `headers` by lower-case name."""
        path, _, query = target.partition("?")
        found = self.find(method, path)
        if found is None:
            return [] if self.allowed(self.paths, method, path, "") else [f"{method} {path} is not in the document"]
        template, operation, shared = found
        problems = self.check_query(method, path, query, shared + operation.get("parameters", []))
        if raw:
            problems += self.check_body(method, path, headers, raw, operation)
        return [f"{method} {template}: {problem}" for problem in problems]

    def check_query(self, method, path, query, parameters):
        declared = [self.resolve(parameter) for parameter in parameters]
        names = {parameter["name"] for parameter in declared if parameter["in"] == "query"}
        nested = {name + "[" for name in names}
        problems = []
        for name in sorted({name for name, _ in urllib.parse.parse_qsl(query, keep_blank_values=True)}):
            if name in names or name.startswith(tuple(nested)) or self.allowed(self.queries, method, path, name):
                continue
            problems.append(f"query name {name!r} is not declared")
        return problems

    def check_body(self, method, path, headers, raw, operation):
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            return [f"the body is {kind!r}, not application/json"]
        try:
            body = json.loads(raw)
        except ValueError as problem:
            return [f"the body is not JSON: {problem}"]
        content = self.resolve(operation.get("requestBody", {})).get("content", {}).get("application/json")
        if content is None:
            return ["a body is not declared"]
        return self.undeclared(body, content.get("schema", {}), (method, path), self.fields)

    def check_answer(self, method, path, status, raw):
        """What an answer with a declared status has that its operation does not declare, as sentences."""
        found = self.find(method, path)
        declared = found and found[1]["responses"].get(str(status))
        content = self.resolve(declared or {}).get("content", {}).get("application/json")
        try:
            return self.undeclared(json.loads(raw), content.get("schema", {}), (method, path), self.told) if content and raw else []
        except ValueError as problem:
            return [f"the answer is not JSON: {problem}"]

    def undeclared(self, value, schema, where, allowed):
        problems = []
        self.walk(value, [schema], "", (*where, allowed), problems)
        return problems

    def alternatives(self, schemas):
        """Every schema that may describe the value: allOf, anyOf and oneOf opened."""
        flat, todo = [], [(schema, 0) for schema in schemas]
        while todo:
            schema, depth = todo.pop()
            schema = self.resolve(schema)
            if depth > DEPTH_MAX:
                continue
            parts = [part for name in ("allOf", "anyOf", "oneOf") for part in schema.get(name, ())]
            todo += [(part, depth + 1) for part in parts]
            if not parts or len(schema.keys() - {"allOf", "anyOf", "oneOf", "description", "title"}) > 0:
                flat.append(schema)
        return flat

    def walk(self, value, schemas, at, where, problems):
        if len(at) > 4096:
            return
        flat = self.alternatives(schemas)
        if not self.type_fits(value, flat):
            wanted = sorted({schema["type"] for schema in flat if "type" in schema})
            problems.append(f"{at or '/'} is {type_of(value)}, declared as {' or '.join(wanted)}")
        elif isinstance(value, dict):
            self.walk_object(value, flat, at, where, problems)
        elif isinstance(value, list):
            items = [schema["items"] for schema in flat if "items" in schema]
            for one in value if items else ():
                self.walk(one, items, at + "/*", where, problems)

    @staticmethod
    def type_fits(value, flat):
        given = type_of(value)
        for schema in flat:
            wanted = schema.get("type", "object" if "properties" in schema else None)
            if wanted is None or wanted == given or (wanted == "number" and given == "integer"):
                return True
            if given == "null" and schema.get("nullable"):
                return True
        return not flat

    def walk_object(self, value, flat, at, where, problems):
        objects = [schema for schema in flat if "properties" in schema or isinstance(schema.get("additionalProperties"), dict)]
        if not objects:  # an object without declared members takes any
            return
        for name, one in value.items():
            inside = [schema["properties"][name] for schema in objects if name in schema.get("properties", {})]
            inside += [schema["additionalProperties"] for schema in objects
                       if not inside and isinstance(schema.get("additionalProperties"), dict)]
            pointer = f"{at}/{name}"
            if inside:
                self.walk(one, inside, pointer, where, problems)
            elif not self.allowed(where[2], *where[:2], pointer):
                problems.append(f"field {pointer} is not declared")
