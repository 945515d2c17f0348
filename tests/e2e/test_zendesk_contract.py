# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""All that the plugin asks and sends, held against Zendesk's own OpenAPI document (tests/contract)."""

import json
import os
import sys

import pytest

import harness
import zendesk_scene as scene

sys.path.insert(0, str(harness.ROOT / "tests" / "contract"))
import openapi  # noqa: E402
import prism  # noqa: E402
import zendesk_spec  # noqa: E402


@pytest.fixture(scope="module")
def validator(tmp_path_factory):
    try:
        document = zendesk_spec.relaxed(zendesk_spec.original())
        with prism.Validator(document, tmp_path_factory.mktemp("zendesk")) as running:
            yield running
    except openapi.Missing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"skipped: {missing}")


@pytest.fixture
def zendesk(tmp_path, validator):
    """Requests of the program go through the judge."""
    with scene.Zendesk(tmp_path, "--users", 60, "--tickets", 60) as made:
        made.settings(endpoint_limits={"user_update": 0, "ticket_update": 0, "tickets_index": 0})
        with zendesk_spec.checked(validator, made.url) as checked:
            made.checked, made.url = checked, checked.url
            yield made


def assert_clean(zendesk, operations):
    found = zendesk.checked.violations()
    assert found == [], json.dumps(found[:10], indent=1, ensure_ascii=False)
    assert len(zendesk.checked.operations) >= operations, sorted(zendesk.checked.operations)


def test_reading_everything(project, zendesk):
    scene.ingest(project, zendesk, more=", page_size: 25")
    project.dray("check").expect(0)
    project.dray("sync", "--all").expect(0)
    zendesk.change({"users": [{"id": sorted(zendesk.rows("users"))[5], "notes": "changed"}]})
    zendesk.advance(120)
    project.dray("sync", "--all").expect(0)
    assert_clean(zendesk, 19)


WRITES = {
    "users": ({"external_id": "TEXT", "name": "TEXT", "email": "TEXT", "tags": "TEXT", "suspended": "BOOLEAN"}, "external_id",
              [{"external_id": f"crm-{n}", "name": f"Person {n}", "email": f"p{n}@dray.example", "tags": "a,b",
                "suspended": False} for n in range(6)], ("name", "email", "tags")),
    "organizations": ({"external_id": "TEXT", "name": "TEXT", "domain_names": "TEXT", "notes": "TEXT"}, "external_id",
                      [{"external_id": f"crm-{n}", "name": f"Company {n}", "domain_names": f"c{n}.example", "notes": None}
                       for n in range(6)], ("notes", "name", "domain_names")),
    "tickets": ({"external_id": "TEXT", "subject": "TEXT", "comment": "TEXT", "requester_email": "TEXT",
                 "requester_name": "TEXT", "priority": "TEXT"}, "external_id",
                [{"external_id": f"mine-{n}", "subject": f"Case {n}", "comment": f"Broken {n}", "requester_email":
                  f"a{n}@dray.example", "requester_name": f"Asks {n}", "priority": "low"} for n in range(6)],
                ("subject", "comment")),
}


@pytest.mark.parametrize("bulk", ["auto", "never"])
@pytest.mark.parametrize("object_name", WRITES)
def test_writing(project, zendesk, object_name, bulk):
    table, key, rows, changing = WRITES[object_name]
    mode = "upsert" if object_name == "tickets" else "mirror"
    scene.activate(project, zendesk, object_name, table, key, mode, more=f", batch_size: 2, use_bulk: {bulk}")
    rows = [dict(row) for row in rows]
    scene.fill(project, rows)
    project.dray("check").expect(0)
    assert project.sync("out")["applied"] == 6
    for n in range(3):
        for column in changing:
            rows[n][column] = "x" + (rows[n][column] or "")
    rows = rows if mode == "upsert" else rows[:5]
    scene.fill(project, rows)
    assert project.sync("out")["rejected"] == 0
    assert_clean(zendesk, 6)
    assert any("oauth/tokens/current" in str(operation) for operation in zendesk.checked.operations)
    assert bulk == "never" or any("job_statuses/show_many" in str(operation) for operation in zendesk.checked.operations)


def test_writing_tags_and_memberships(project, zendesk):
    ticket = next(row["id"] for row in zendesk.state()["tickets"] if row["status"] in ("new", "open", "pending"))
    scene.activate(project, zendesk, "ticket_tags", {"ticket_id": "INTEGER", "tags": "TEXT"}, "ticket_id", "mirror")
    scene.fill(project, [{"ticket_id": ticket, "tags": "fresh"}])
    assert project.sync("out")["applied"] == 1
    assert_clean(zendesk, 2)
