# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The lint and the way through prism, on a document of two operations: what is right passes, what is wrong is named."""

import copy
import pathlib
import sys

import pytest

import openapi
import prism

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "sim"))

from server.running import Running  # noqa: E402

EXAMPLE = pathlib.Path(__file__).resolve().parent.parent / "sim" / "server" / "example.py"
NOTE = {"type": "object", "required": ["note"], "properties": {
    "note": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}},
    "more": {"anyOf": [{"type": "object", "properties": {"a": {"type": "integer"}}}, {"$ref": "#/components/schemas/Other"}]},
    "free": {"type": "object"}, "map": {"type": "object", "additionalProperties": {"type": "number"}}}}
DOCUMENT = {
    "openapi": "3.0.3", "info": {"title": "notes", "version": "1"},
    "paths": {
        "/notes": {
            "parameters": [{"name": "size", "in": "query", "schema": {"type": "integer"}}],
            "get": {"parameters": [{"name": "page", "in": "query", "style": "deepObject", "schema": {"type": "object"}}],
                    "responses": {"200": {"description": "", "content": {"application/json": {"schema": {
                        "type": "object", "required": ["notes"],
                        "properties": {"notes": {"type": "array", "items": {"type": "string"}}}}}}}}},
            "post": {"requestBody": {"content": {"application/json": {"schema": NOTE}}},
                     "responses": {"201": {"description": "", "content": {"application/json": {"schema": {"type": "object"}}}},
                                   "default": {"description": "", "content": {"*/*": {}}}}}},
        "/notes/{id}": {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
                        "get": {"responses": {"200": {"description": "", "content": {"application/json": {"schema": {
                            "type": "object", "required": ["note"]}}}}}}}},
    "components": {"schemas": {"Other": {"type": "object", "properties": {"b": {"type": "boolean", "nullable": True}}}}}}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("method,target,body,wanted", [
    ("GET", "/notes?size=1&page[size]=2", b"", None),
    ("GET", "/notes?sise=1", b"", "'sise' is not declared"),
    ("GET", "/nodes", b"", "not in the document"),
    ("GET", "/notes?per_page=1", b"", None),
    ("POST", "/notes", b'{"note":"a","tags":["x"],"more":{"a":1,"b":null},"free":{"z":1},"map":{"q":1,"r":1.5}}', None),
    ("POST", "/notes", b'{"note":"a","nope":1}', "field /nope is not declared"),
    ("POST", "/notes", b'{"note":"a","own_x":1}', None),
    ("POST", "/notes", b'{"note":"a","more":{"c":1}}', "field /more/c is not declared"),
    ("POST", "/notes", b'{"note":"a","more":{"a":"1"}}', "/more/a is string, declared as integer"),
    ("POST", "/notes", b'{"note":"a","tags":["x",5]}', "/tags/* is integer, declared as string"),
    ("POST", "/notes", b'{"note":"a","map":{"q":"1"}}', "/map/q is string, declared as number"),
    ("POST", "/notes", b'{"note":null}', "/note is null"),
    ("POST", "/notes", b'{"note":', "not JSON"),
    ("GET", "/notes/7", b'{}', "a body is not declared"),
])
def test_what_a_document_does_not_declare_is_named(method, target, body, wanted):
    lint = openapi.Lint(DOCUMENT, queries=[("GET", "/notes", "per_page")], fields=[("POST", "/notes", "/own_*")])
    said = lint.check(method, target, JSON, body)
    assert said == [] if wanted is None else len(said) == 1 and wanted in said[0]


@pytest.fixture(scope="module")
def validator(tmp_path_factory):
    with prism.Validator(DOCUMENT, tmp_path_factory.mktemp("prism")) as running:
        yield running


@pytest.fixture
def notes(validator):
    with Running(EXAMPLE) as simulator, prism.Checked(validator, openapi.Lint(DOCUMENT), simulator.url) as checked:
        client = copy.copy(simulator)
        client.port, client.checked = checked.port, checked
        yield client


WHO = {"Authorization": "me"}


def test_an_exchange_as_declared_has_nothing_wrong_and_the_client_sees_the_simulator(notes):
    assert notes.request("GET", "/notes?size=2", None, WHO).json() == {"notes": ["note 0", "note 1"]}
    assert notes.request("POST", "/notes", {"note": "näw"}, WHO).status == 201
    assert notes.state()["notes"][3] == "näw"
    assert notes.checked.violations() == []
    assert notes.checked.count == 2 and notes.checked.operations == {"GET /notes", "POST /notes"}


def test_what_is_wrong_on_either_side_is_found(notes):
    notes.request("POST", "/notes", {"note": 5}, WHO)
    notes.change({"note": 6})
    notes.request("GET", "/notes", None, WHO)
    notes.request("GET", "/notes?sice=2", None, WHO)
    notes.request("GET", "/notes/x", None, WHO)
    found = notes.checked.violations()
    assert any(one["location"][:2] == ["request", "body"] and one["method"] == "POST" and not one["refused"] for one in found)
    assert any(one["location"][0] == "response" and one["method"] == "GET" for one in found)
    assert any(one["code"] == "lint" and "sice" in one["message"] and one["refused"] for one in found)
    assert any(one["path"] == "/notes/x" and one["location"][0] == "request" for one in found)


def test_faults_reach_the_client_as_they_are_and_are_not_blamed_on_the_simulator(notes):
    notes.fault({"kind": "html"}, {"kind": "reset", "nth": 2}, {"kind": "cut", "nth": 3})
    assert notes.request("GET", "/notes", None, WHO).raw.startswith(b"<!doctype html>")
    for _ in range(2):
        with pytest.raises(Exception) as problem:
            notes.request("GET", "/notes", None, WHO)
        assert type(problem.value).__name__ in ("ConnectionResetError", "RemoteDisconnected", "IncompleteRead")
    assert notes.request("GET", "/notes", None, WHO).status == 200
    assert notes.checked.violations() == []


def test_a_schema_that_lost_its_teeth_is_seen(tmp_path):
    """Why a known-bad request belongs to every document that was edited: prism skips a body whose schema does not compile."""
    broken = copy.deepcopy(DOCUMENT)
    broken["paths"]["/notes"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["note"] = {
        "type": "string", "nullable": True, "enum": ["a", None, None]}
    with prism.Validator(broken, tmp_path) as validator:
        said = validator.judge("POST", "/notes", JSON, b'{"note":5}', prism.Answer(201, {}))
        assert said == []
    assert validator.process.poll() is not None  # and it is gone
