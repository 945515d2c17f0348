# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Records of Zendesk so large that a page of them passes what is taken of one answer: it is read again in smaller pages."""

import pytest

import zendesk_scene as scene

ANSWER_MAX = 64 << 20


@pytest.fixture
def zendesk(tmp_path):
    with scene.Zendesk(tmp_path, "--users", 60, "--tickets", 60) as made:
        made.settings(endpoint_limits={"user_update": 0, "ticket_update": 0, "tickets_index": 0})
        yield made


def sizes(zendesk, mark, path):
    """How many records each page was asked for."""
    words = [line.get("query") or "" for line in zendesk.requests(mark, ("GET",), path)]
    return [int(word.split("=")[1]) for words in words for word in words.split("&") if word.startswith(("per_page=", "page%5Bsize%5D="))]


def enlarge(zendesk, what, field, count, letters):
    """The first of them become so large; the others stay as they are."""
    chosen = [row["id"] for row in zendesk.state()[what] if row.get("active", True) and row.get("status", "open") in ("open", "pending", "new", "hold", "solved")]
    for number in chosen[:count]:
        zendesk.change({what: [{"id": number, field: field[0] * letters}]})
    zendesk.advance(120)
    return chosen[:count]


def test_a_page_of_large_users_is_read_in_smaller_ones(project, zendesk):
    scene.ingest(project, zendesk, ["users"], more=", page_size: 20", mode="upsert")
    project.sync("users")
    large = enlarge(zendesk, "users", "notes", 20, 3_500_000)  # 70 MB in one page
    mark = zendesk.mark()
    run = project.sync("users")
    assert (run["updates"], run["unreadable"], run["rejected"]) == (20, 0, 0), run
    held = dict(project.query("SELECT id, length(notes) FROM users"))
    assert [held[number] for number in large] == [3_500_000] * 20
    asked = sizes(zendesk, mark, "/incremental/users")
    assert asked[0] == 20 and 10 in asked, asked
    zendesk.advance(120)
    again = project.sync("users")
    assert (again["inserts"], again["updates"], again["deletes"]) == (0, 0, 0), again


def test_one_record_that_is_too_large_is_told(project, zendesk):
    scene.ingest(project, zendesk, ["users"], more=", page_size: 4", mode="upsert")
    project.sync("users")
    for field in ("notes", "details"):
        enlarge(zendesk, "users", field, 1, ANSWER_MAX // 2)
    result = project.dray("sync", "users", "--json").expect(1)
    assert "limit" in result.errors() and "zendesk users: page" in result.out, result


def test_lists_of_large_audits_are_read_in_smaller_pages(project, zendesk):
    scene.ingest(project, zendesk, ["ticket_audits"], mode="upsert")
    project.sync("ticket_audits")
    number = next(row["id"] for row in zendesk.state()["tickets"] if row["status"] == "open")
    for n in range(90):  # each is told three times: 73 MB
        zendesk.change({"tickets": [{"id": number, "comment": {"body": chr(97 + n % 26) * 270_000}}]})
    zendesk.advance(120)
    mark = zendesk.mark()
    run = project.sync("ticket_audits")
    assert (run["unreadable"], run["rejected"]) == (0, 0), run
    told = [row["id"] for row in zendesk.state()["audits"] if row["ticket_id"] == number]
    held = [row[0] for row in project.query("SELECT id FROM ticket_audits WHERE ticket_id = ?", (number,))]
    assert sorted(held) == sorted(told)
    asked = sizes(zendesk, mark, f"/tickets/{number}/audits")
    assert asked[0] == 100 and min(asked) == 50, asked
