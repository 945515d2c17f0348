# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Corners of a model into a Mailchimp audience: keys that differ by the case of letters."""

import pytest

import mailchimp_scene as scene


@pytest.fixture
def sim(tmp_path):
    made = scene.start(tmp_path, members=20)
    yield made
    made.stop()


def test_a_mirror_whose_addresses_lose_their_capitals_archives_nobody(project, sim):
    project.environment.update(scene.environment(sim))
    columns = ["email_address", "merge_fname"]
    scene.to_audience(project, sim, columns, [(f"P{n}@Dray.test", "Ada") for n in range(5)])
    project.sync("out")
    scene.write_rows(project, columns, [(f"p{n}@dray.test", "Ada") for n in range(4)])  # and one is really gone
    project.sync("out")
    held = {email.lower(): member["status"] for email, member in scene.members(sim).items() if email.lower().endswith("@dray.test")}
    assert [held[f"p{n}@dray.test"] for n in range(5)] == ["subscribed"] * 4 + ["archived"]
