# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What the plugin mailchimp sends, held against the vendor's own document: every read of the scope and every way to write."""

import os
import pathlib
import sys

import pytest

import mailchimp_spec
import openapi
import prism

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "sim"), str(TESTS / "e2e")]

import harness  # noqa: E402
import mailchimp_scene as scene  # noqa: E402

STREAMS = ("lists", "list_members", "merge_fields", "interest_categories", "interests", "segments", "segment_members", "tags",
           "campaigns", "reports", "email_activity", "unsubscribes", "automations")

pytestmark = pytest.mark.skipif("DRAY_BIN" not in os.environ, reason="skipped: DRAY_BIN names no program")


@pytest.fixture(scope="module")
def spec():
    return mailchimp_spec.document()


@pytest.fixture(scope="module")
def validator(spec, tmp_path_factory):
    openapi.node_modules()
    with prism.Validator(spec, tmp_path_factory.mktemp("prism")) as running:
        yield running


class Watched:
    """The simulator, asked through what judges."""

    def __init__(self, sim, checked):
        self.sim, self.url, self.hello = sim, checked.url, sim.hello


@pytest.fixture
def watched(spec, validator, tmp_path):
    with scene.start(tmp_path, members=300) as sim:
        with prism.Checked(validator, mailchimp_spec.lint(spec), sim.url, mailchimp_spec.known) as checked:
            made = Watched(sim, checked)
            made.checked = checked
            yield made


@pytest.fixture
def project(tmp_path, watched):
    return harness.Project(tmp_path / "project", scene.environment(watched.sim))


def expect_clean(watched, operations):
    wrong = [one for one in watched.checked.violations() if one["location"][0] == "request"]  # answers are the simulator's
    assert not wrong, wrong[:3]
    asked = set(map(str, watched.checked.operations))
    missing = [wanted for wanted in operations if not any(wanted in one for one in asked)]
    assert not missing, (missing, asked)


def test_every_read_is_as_the_document_has_it(project, watched):
    scene.into_warehouse(project, watched, STREAMS, more=", page_size: 100")
    project.dray("check").expect(0)
    for name in STREAMS:
        project.sync(name)
        project.sync(name)  # and what is new
    expect_clean(watched, ["members", "merge-fields", "interests", "segments", "tag-search", "email-activity", "unsubscribed",
                           "campaigns", "reports", "automations", "ping"])


def test_every_write_is_as_the_document_has_it(project, watched, tmp_path):
    columns = ("email_address", "status", "merge_fname", "merge_ltv", "merge_new", "language", "vip", "latitude", "longitude")
    rows = [(f"p{i}@dray.test", "subscribed", "Ada", i / 2, "x", "de", "true", "52.5", "13.4") for i in range(20)]
    for way in ("archive", "unsubscribe", "permanent"):
        target = f"object: members, create_merge_fields: true, delete_mode: {way}"
        scene.to_audience(project, watched, columns, rows, target=target)
        project.sync("out")
        scene.write_rows(project, columns, [(row[0], "unsubscribed", "", "", *row[4:]) for row in rows[2:]])
        project.sync("out")
    tags = [(row[0], "New tag") for row in rows[2:]]
    project = harness.Project(tmp_path / "tags", scene.environment(watched.sim))
    scene.to_audience(project, watched, ("email_address", "tag"), tags, target="object: member_tags", key="[email_address, tag]")
    project.sync("out")
    expect_clean(watched, ["POST", "DELETE", "PATCH", "delete-permanent", "segments"])
