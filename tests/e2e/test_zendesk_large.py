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


# ---- exports by time: records of one second come only together ----

def organizations(zendesk, word, count):
    """So many new ones, by their ids."""
    zendesk.change({"organizations": [{"name": f"{word} {n}"} for n in range(count)]})
    return [row["id"] for row in zendesk.state()["organizations"] if row["name"].startswith(word + " ")]


def make_large(zendesk, numbers, letters=3_500_000):
    for number in numbers:
        zendesk.change({"organizations": [{"id": number, "notes": "n" * letters}]})


def at(zendesk, table, numbers, ago_s):
    zendesk.change({"same_second": {table: {"ids": numbers, "ago_s": ago_s}}})


def test_small_organizations_of_one_second_behind_large_ones_all_come(project, zendesk):
    """Large ones have made the pages small: 12 of 200. A page of 12, all of one second, is no reason to leave the others out."""
    scene.ingest(project, zendesk, ["organizations"], more=", page_size: 200", mode="upsert")
    project.sync("organizations")
    small, large = organizations(zendesk, "Small", 60), organizations(zendesk, "Large", 20)
    make_large(zendesk, large)
    zendesk.advance(100)
    for n, number in enumerate(large):
        at(zendesk, "organizations", [number], 90 - n)
    at(zendesk, "organizations", small, 20)
    zendesk.advance(120)
    mark = zendesk.mark()
    result = project.dray("sync", "organizations", "--json").expect(0)
    assert result.line("run")["inserts"] == 80 and "changed in the second" not in result.err, result
    assert {row[0] for row in project.query("SELECT id FROM organizations")} >= set(small + large)
    asked = sizes(zendesk, mark, "/incremental/organizations")
    assert 12 in asked and max(asked[asked.index(12):]) <= 200, asked


@pytest.mark.parametrize("count", [15, 20])
def test_large_organizations_of_one_second_come_all_or_the_read_stops_before_them(project, zendesk, count):
    """15 of them fit into an answer, though not into the pages that were tried before; 20 do not."""
    scene.ingest(project, zendesk, ["organizations"], more=", page_size: 20", mode="upsert")
    project.sync("organizations")
    large, behind = organizations(zendesk, "Large", count), organizations(zendesk, "Behind", 20 - count + 1)
    make_large(zendesk, large + behind)
    zendesk.advance(100)
    at(zendesk, "organizations", large, 90)
    at(zendesk, "organizations", behind, 30)
    zendesk.advance(120)
    held = lambda: {row[0] for row in project.query("SELECT id FROM organizations")}
    if count == 20:
        for _ in range(2):  # and stays there, whatever comes behind
            result = project.dray("sync", "organizations", "--json").expect(1)
            assert "limit" in result.errors() and "changed in the second" in result.out, result
            assert not held() & set(behind), "nothing behind the second may be taken for read"
            zendesk.advance(120)
        at(zendesk, "organizations", large[10:], 70)
        zendesk.advance(120)
    project.sync("organizations")
    assert held() >= set(large + behind)
    assert dict(project.query("SELECT length(notes), count(*) FROM organizations WHERE name LIKE 'Large %' GROUP BY 1")) == {3_500_000: count}


def test_small_comments_of_one_second_behind_large_ones_all_come(project, zendesk):
    scene.ingest(project, zendesk, ["ticket_comments"], more=", page_size: 200", mode="upsert")
    project.sync("ticket_comments")
    number = next(row["id"] for row in zendesk.state()["tickets"] if row["status"] == "open")

    def comments(count, letters):
        before = {row["id"] for row in zendesk.state()["audits"]}
        for _ in range(count):
            zendesk.change({"tickets": [{"id": number, "comment": {"body": "c" * letters}}]})
        return [row["id"] for row in zendesk.state()["audits"] if row["id"] not in before]

    small, large = comments(60, 20), comments(20, 1_200_000)  # each is told three times
    zendesk.advance(100)
    for n, audit in enumerate(large):
        at(zendesk, "audits", [audit], 90 - n)
    at(zendesk, "audits", small, 20)
    zendesk.advance(120)
    result = project.dray("sync", "ticket_comments", "--json").expect(0)
    assert result.line("run")["inserts"] == 80 and "changed in the second" not in result.err, result
