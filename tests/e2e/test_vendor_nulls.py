# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""What a null does to a field at the other side: emptied, or, with `nulls: keep` in the map, left as it is."""

import json
import sqlite3

import pytest

import mailchimp_scene
import scene
import shopify_scene
import zendesk_scene


def mapped(project, **fields):
    """The last sync of the config gets a map."""
    path = project.folder / "dray.yaml"
    path.write_text(path.read_text(encoding="utf-8").rstrip("\n") + "\n    map: " + json.dumps(fields) + "\n", encoding="utf-8")


def keep(name):
    return {"to": name, "nulls": "keep"}


def fill(project, columns, rows):
    connection = sqlite3.connect(project.folder / "warehouse.db")
    connection.execute("DROP TABLE IF EXISTS rows")
    connection.execute(f"CREATE TABLE rows ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")
    connection.executemany(f"INSERT INTO rows VALUES ({', '.join('?' * len(columns))})", rows)
    connection.commit()
    connection.close()


def run(project, sent):
    record = project.sync("out")
    assert (record["sent"], record["applied"], record["rejected"]) == (sent, sent, 0), record


def live(project, put, held, keys, empty, values, others):
    """Rows (key, plain, kept...): the kept ones come, go, come again and change; `empty` is what the other side has of a row that
    never said them. `held(key)` gives (plain, kept...)."""
    nothing = [None] * len(values)
    put([(keys[0], "one", *values), (keys[1], "two", *nothing)])
    run(project, 2)
    first, second = held(keys[0]), held(keys[1])
    assert first[0] == "one" and second == ("two", *empty), (first, second)
    put([(keys[0], "one", *nothing), (keys[1], "two", *nothing)])
    run(project, 0)
    assert held(keys[0]) == first
    # Beside another change the nulls are not said either.
    put([(keys[0], "ONE", *nothing), (keys[1], "two", *others)])
    run(project, 2)
    assert held(keys[0]) == ("ONE", *first[1:])
    assert held(keys[1])[0] == "two" and held(keys[1])[1:] != second[1:]
    put([(keys[0], "ONE", *values), (keys[1], "two", *nothing)])
    run(project, 0)
    assert held(keys[0]) == ("ONE", *first[1:])
    # All of it again, to who is there: what is null is still not said.
    put([(keys[0], "ONE", *nothing), (keys[1], "two", *nothing)])
    before = [held(key) for key in keys]
    record = project.sync("out", "--full-refresh")
    assert (record["sent"], record["applied"]) == (2, 2), record
    assert [held(key) for key in keys] == before


# ---- Zendesk ----


@pytest.fixture
def zendesk(tmp_path):
    with zendesk_scene.Zendesk(tmp_path, "--users", 20, "--tickets", 20) as made:
        made.settings(endpoint_limits={"user_update": 0, "ticket_update": 0, "tickets_index": 0})
        yield made


USERS = {"external_id": "TEXT", "name": "TEXT", "notes": "TEXT", "visits": "INTEGER", "tags": "TEXT"}


def zendesk_users(project, zendesk, kept, more=""):
    fields = {name: keep(to) if kept else to
              for name, to in {"notes": "notes", "visits": "user_fields.visits", "tags": "tags"}.items()}
    zendesk_scene.activate(project, zendesk, "users", USERS, "external_id",
                           mapping={"external_id": "external_id", "name": "name", **fields}, more=more)

    def held(key):
        [user] = [user for user in zendesk.state()["users"] if user["external_id"] == key]
        return user["name"], user["notes"], user["user_fields"].get("visits"), tuple(user["tags"])

    return held


@pytest.mark.parametrize("bulk", ["auto", "never"])
def test_zendesk_users_keep(project, zendesk, bulk):
    held = zendesk_users(project, zendesk, True, f", use_bulk: {bulk}")
    live(project, lambda rows: fill(project, USERS, rows), held, ["n-1", "n-2"], (None, None, ()), ("a note", 7, "x,y"),
         ("another", 8, "z"))


def test_zendesk_users_are_emptied_without_the_word(project, zendesk):
    held = zendesk_users(project, zendesk, False)
    fill(project, USERS, [("n-1", "one", "a note", 7, "x,y"), ("n-2", "two", "b", 8, "z")])
    run(project, 2)
    fill(project, USERS, [("n-1", None, None, None, None), ("n-2", "two", "b", 8, "z")])
    run(project, 1)
    assert held("n-1") == ("one", None, None, ()), "what Zendesk cannot empty stays, all else does not"


@pytest.mark.parametrize("how", ["add", "set"])
def test_zendesk_rows_that_say_no_tags_touch_none(project, zendesk, how):
    number = next(user["id"] for user in zendesk.state()["users"] if user["active"])
    zendesk.change({"users": [{"id": number, "tags": ["old"]}]})
    zendesk_scene.activate(project, zendesk, "user_tags", {"user_id": "INTEGER", "tags": "TEXT"}, "user_id", "upsert",
                           {"user_id": "user_id", "tags": keep("tags")}, to=f", tags: {how}")
    zendesk_scene.fill(project, [{"user_id": number, "tags": None}])
    mark = zendesk.mark()
    run(project, 1)
    assert zendesk.rows("users")[number]["tags"] == ["old"]
    assert zendesk.requests(mark, methods=zendesk_scene.WRITES, path="/tags") == []
    zendesk_scene.fill(project, [{"user_id": number, "tags": "new"}])
    run(project, 1)
    assert set(zendesk.rows("users")[number]["tags"]) == ({"old", "new"} if how == "add" else {"new"})
    zendesk_scene.fill(project, [{"user_id": number, "tags": None}])
    run(project, 0)


def test_zendesk_has_no_switch_of_its_own(project, zendesk):
    zendesk_scene.activate(project, zendesk, "users", USERS, "external_id", to=", nulls: skip",
                           mapping={"external_id": "external_id", "name": "name"})
    said = str(project.dray("sync", "out"))
    assert "config_unknown_key" in said and "nulls: keep" in said and "map" in said, said


# ---- Shopify ----


@pytest.fixture
def shop(tmp_path):
    shopify_scene.need_shop()
    shops = shopify_scene.Shops(tmp_path)
    yield shops.start()
    shops.end()


CUSTOMERS = {"email": "TEXT", "first_name": "TEXT", "note": "TEXT", "tags": "TEXT", "metafield_custom_nickname": "TEXT"}


@pytest.mark.parametrize("match, threshold", [("email", 1000), ("email", 0), ("id", 1000)], ids=["calls", "job", "id"])
def test_shopify_customers_keep(project, shop, match, threshold):
    emails = ["n1@example.com", "n2@example.com"]
    shop.change({"create": [{"__typename": "Customer", "email": email} for email in emails]})
    ids = {record["email"]: record["id"] for record in shop.records("Customer")}
    columns = {match: "TEXT", **{name: kind for name, kind in CUSTOMERS.items() if name != "email"}}
    shopify_scene.writing(project, shop, "customers", list(columns), [match], options=f", bulk_threshold: {threshold}")
    mapped(project, **{match: match, "first_name": "first_name", "note": keep("note"), "tags": keep("tags"),
                       "metafield_custom_nickname": keep("metafield_custom_nickname")})

    def held(key):
        [record] = [one for one in shop.records("Customer") if key in (one["email"], one["id"])]
        nick = [one["value"] for one in record["metafields"] if one["key"] == "nickname"]
        return record["firstName"], record["note"], tuple(record["tags"]), tuple(nick)

    live(project, lambda rows: fill(project, columns, rows), held, [ids[email] if match == "id" else email for email in emails],
         (None, (), ()), ("a note", '["x","y"]', "nick"), ("another", '["z"]', "nock"))


def test_shopify_metafields_without_a_value_stay(project, shop):
    owners = [record["id"] for record in shop.records("Customer")[:2]]
    columns = {"owner_id": "TEXT", "namespace": "TEXT", "key": "TEXT", "value": "TEXT"}
    shopify_scene.writing(project, shop, "metafields", list(columns), ["owner_id", "namespace", "key"])
    mapped(project, owner_id="owner_id", namespace="namespace", key="key", value=keep("value"))

    def held(owner):
        [record] = [one for one in shop.records("Customer") if one["id"] == owner]
        return [one["value"] for one in record["metafields"] if (one["namespace"], one["key"]) == ("custom", "nickname")]

    fill(project, columns, [(owners[0], "custom", "nickname", "N"), (owners[1], "custom", "nickname", None)])
    before = held(owners[1])
    run(project, 2)
    assert held(owners[0]) == ["N"] and held(owners[1]) == before
    fill(project, columns, [(owners[0], "custom", "nickname", None), (owners[1], "custom", "nickname", "M")])
    run(project, 1)
    assert held(owners[0]) == ["N"] and held(owners[1]) == ["M"]


# ---- Mailchimp ----


@pytest.fixture
def sim(tmp_path):
    made = mailchimp_scene.start(tmp_path, members=20)
    yield made
    made.stop()


@pytest.mark.parametrize("sync_tags", ["false", "true"])
def test_mailchimp_members_keep(project, sim, sync_tags):
    project.environment.update(mailchimp_scene.environment(sim))
    columns = ("email_address", "merge_fname", "language", "vip", "merge_lname", "tags")
    mailchimp_scene.to_audience(project, sim, columns, [], target=f"object: members, sync_tags: {sync_tags}")
    mapped(project, email_address="email_address", merge_fname="merge_fname",
           **{name: keep(name) for name in ("language", "vip", "merge_lname", "tags")})

    def put(rows):
        mailchimp_scene.write_rows(project, columns, [["" if value is None else value for value in row] for row in rows])

    def held(key):
        member = mailchimp_scene.members(sim)[key]
        fields = member["merge_fields"]
        tags = tuple(sorted(tag["name"] if isinstance(tag, dict) else str(tag) for tag in member["tags"]))
        return fields["FNAME"], member["language"], member["vip"], fields.get("LNAME", ""), tags

    live(project, put, held, ["n1@dray.test", "n2@dray.test"], ("", False, "", ()), ("de", "true", "Lovelace", '["x","y"]'),
         ("en", "true", "King", '["z"]'))


# ---- a webhook, and what is told ----


def test_a_webhook_is_not_told(project, receiver):
    scene.people_to_hook(project, receiver, count=2, sync="map: {id: , name: , score: {nulls: keep}}")
    project.sync("people")
    project.execute("UPDATE people SET score = NULL WHERE id = 1")
    mark = len(receiver.ledger())
    assert project.sync("people")["sent"] == 0
    project.execute("UPDATE people SET name = 'Zoë' WHERE id = 1; INSERT INTO people VALUES (3, 'new', NULL)")
    assert project.sync("people")["applied"] == 2
    told = {row["key"]["id"]: (row["op"], row["data"]) for entry in receiver.requests(mark) for row in entry["rows"]}
    assert told == {1: ("update", {"id": 1, "name": "Zoë"}), 3: ("insert", {"id": 3, "name": "new"})}
    project.execute("UPDATE people SET score = 10 WHERE id = 1")
    assert project.sync("people")["sent"] == 0
    assert {row["id"]: row.get("score") for row in receiver.state("people")} == {1: 10, 2: 20, 3: None}


def test_a_plan_tells_which_fields_keep(project, receiver):
    scene.people_to_hook(project, receiver, sync="map: {id: , name: {nulls: keep}, score: {to: [score, points], nulls: keep}}")
    assert "a null keeps what is there: name, score, points\n" in project.dray("plan", "people").expect(0).out
    assert project.plan("people")[0]["nulls_keep"] == ["name", "score", "points"]
    assert "4 columns, nulls keep 3 of them, a key of 1" in project.dray("check").out


def test_discover_tells_what_a_null_does(project, zendesk):
    zendesk_users(project, zendesk, True)
    out = project.dray("discover", "zd").expect(0).out
    lines = {line.split()[0]: line for line in out[out.index("object users"):].splitlines() if line.startswith("    ")}
    assert "null kept" in lines["role"] and "null" not in lines["notes"]
