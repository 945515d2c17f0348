# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""`mode: create` changes nothing that is there and `mode: update` makes nothing, whatever the object of a shop is."""

import pytest

import harness
import shopify_scene as scene
from test_shopify_writes import by_email, custom, fill, mutations, typed

pytestmark = pytest.mark.usefixtures("clean_shopify_traffic")


@pytest.fixture(scope="module")
def one_shop(tmp_path_factory):
    scene.need_shop()
    made = scene.Shops(tmp_path_factory.mktemp("shop"))
    yield made.start("--customers", 300, "--orders", 10, "--products", 3, "--bulk-slots", 100)
    made.end()


@pytest.fixture
def shop(one_shop):
    one_shop.sim("POST", "faults", {"clear": True})
    yield one_shop
    one_shop.sim("POST", "faults", {"clear": True})


METAFIELD = {"owner_id": "TEXT", "namespace": "TEXT", "key": "TEXT", "value": "TEXT", "type": "TEXT"}
WAYS = pytest.mark.parametrize("threshold,count", [(0, 30), (50, 120)], ids=["lists", "job"])


def metafields(project, shop, mode, key, threshold, count, first=0):
    """Rows for the key of `count` customers, of which every second one has that metafield with the value theirs."""
    owners = [record["id"] for record in shop.records("Customer")[first:first + count]]
    shop.change({"metafields": [{"id": owner, "namespace": "modes", "key": key, "type": "single_line_text_field", "value": "theirs"}
                                for owner in owners[::2]]})
    scene.writing(project, shop, "metafields", list(METAFIELD), ["owner_id", "namespace", "key"], mode=mode, options=f", bulk_threshold: {threshold}")
    fill(project, typed(METAFIELD), [(owner, "modes", key, "ours", "single_line_text_field") for owner in owners])
    return owners


def values(shop, owners, key):
    held = {record["id"]: {one["key"]: one["value"] for one in record["metafields"] if one["namespace"] == "modes"}
            for record in shop.records("Customer")}
    return [held[owner].get(key) for owner in owners]


@WAYS
@pytest.mark.parametrize("mode", ["create", "append"])
def test_metafields_that_are_there_are_not_changed_by_create(project, shop, mode, threshold, count):
    key = f"{mode}_{threshold}"
    owners = metafields(project, shop, mode, key, threshold, count)
    run = project.sync("out")
    assert (run["applied"], run["rejected"]) == (count, 0)  # or there already
    assert values(shop, owners, key) == ["theirs", "ours"] * (count // 2)
    fresh = harness.Project(project.folder.parent / "again")  # one that knows of nothing
    scene.writing(fresh, shop, "metafields", list(METAFIELD), ["owner_id", "namespace", "key"], mode=mode)
    fill(fresh, typed(METAFIELD), [(owners[0], "modes", key, None, None), (owners[1], "modes", key, "other", "single_line_text_field")])
    assert fresh.sync("out")["rejected"] == 0
    assert values(shop, owners, key) == ["theirs", "ours"] * (count // 2), "neither deleted nor changed"


@WAYS
def test_metafields_that_are_not_there_are_not_made_by_update(project, shop, threshold, count):
    key = f"update_{threshold}"
    owners = metafields(project, shop, "update", key, threshold, count)
    run = project.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (count // 2, count // 2)
    assert {row["text"] for row in project.rows("out")} == {"there is no such metafield, and mode update makes none"}
    assert values(shop, owners, key) == ["ours", None] * (count // 2)
    project.execute(f"UPDATE rows SET value = NULL WHERE owner_id = '{owners[0]}'; "
                    f"UPDATE rows SET value = 'ours too' WHERE owner_id = '{owners[2]}'")
    assert project.sync("out", code=3)["applied"] == 2
    assert values(shop, owners, key)[:4] == [None, None, "ours too", None]


def test_metafields_of_nobody_are_refused_by_update(project, shop):
    nobody, since = "gid://shopify/Customer/999999999999", len(shop.ledger())
    scene.writing(project, shop, "metafields", list(METAFIELD), ["owner_id", "namespace", "key"], mode="update")
    fill(project, typed(METAFIELD), [(nobody, "modes", "any", "ours", "single_line_text_field"), (None, "modes", "any", "ours", None)])
    project.dray("sync", "out").expect(3)
    assert not mutations(shop, since)


@pytest.mark.parametrize("name,columns,match,mode,options", [
    ("customer_tags", {"id": "TEXT", "tag": "TEXT"}, ["id", "tag"], "update", ""),
    ("customer_tags", {"id": "TEXT", "tag": "TEXT"}, ["id", "tag"], "update", ", tag_mode: remove"),
    ("customer_tags", {"id": "TEXT", "tag": "TEXT"}, ["id", "tag"], "create", ", tag_mode: remove"),
    ("customer_consent", {"id": "TEXT", "email_marketing_state": "TEXT"}, ["id"], "create", ""),
    ("orders", {"id": "TEXT", "note": "TEXT"}, ["id"], "create", ""),
    ("orders", {"id": "TEXT", "note": "TEXT"}, ["id"], "append", "")])
def test_modes_that_have_no_sense_for_an_object_are_refused(project, shop, name, columns, match, mode, options):
    kind = "Order" if name == "orders" else "Customer"
    before, since = shop.records(kind), len(shop.ledger())
    scene.writing(project, shop, name, list(columns), match, mode=mode, options=options)
    fill(project, typed(columns), [(before[0]["id"], "UNSUBSCRIBED")])
    result = project.dray("sync", "out", "--json")
    assert result.code == 4 and "config_value" in result.errors() and f"mode: {'create' if mode == 'append' else mode}" in result.out + result.err, result
    assert shop.records(kind) == before and not mutations(shop, since)


def test_tags_are_added_by_create(project, shop):
    held = shop.records("Customer")[50]
    scene.writing(project, shop, "customer_tags", ["id", "tag"], ["id", "tag"], mode="create")
    fill(project, ["id TEXT", "tag TEXT"], [(held["id"], "brand new")])
    assert project.sync("out")["applied"] == 1
    now = next(record for record in shop.records("Customer") if record["id"] == held["id"])
    assert sorted(now["tags"]) == sorted([*held["tags"], "brand new"])


@pytest.mark.parametrize("name,state", [("customer_consent", "email_marketing_state"), ("orders", "note")])
def test_update_changes_what_is_there_and_makes_nothing(project, shop, name, state):
    kind = "Order" if name == "orders" else "Customer"
    before = shop.records(kind)
    one = next(record for record in before if record["email"] or kind == "Order")
    scene.writing(project, shop, name, ["id", state], ["id"], mode="update")
    fill(project, ["id TEXT", f"{state} TEXT"], [(one["id"], "UNSUBSCRIBED"), (f"gid://shopify/{kind}/999999999999", "UNSUBSCRIBED")])
    run = project.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (1, 1)
    after = {record["id"]: record for record in shop.records(kind)}
    assert set(after) == {record["id"] for record in before}
    changed = after[one["id"]]["note"] if kind == "Order" else after[one["id"]]["emailMarketing"]["state"]
    assert changed == "UNSUBSCRIBED"


# ---- create, with metafields ----

def creating(project, shop, match, count, first, threshold=0):
    columns = {match: "TEXT", "first_name": "TEXT", "metafield_custom_loyalty_points": "INTEGER"}
    options = f", bulk_threshold: {threshold}" + (", custom_id: custom.erp_id" if match == "custom_id" else "")
    scene.writing(project, shop, "customers", list(columns), [match], mode="create", options=options)
    fill(project, typed(columns), [(f"made{i}@example.com" if match == "email" else f"MADE-{i}", f"Made {i}", i) for i in range(first, first + count)])


def made(shop, match, first, count):
    """(first name, loyalty points) of those that were made, each as often as it is there."""
    held, key = custom(shop), "erp_id"
    names = {f"Made {i}" for i in range(first, first + count)}
    found = sorted((record["firstName"], held[record["id"]].get("loyalty_points"), held[record["id"]].get(key))
                   for record in shop.records("Customer") if record["firstName"] in names)
    return found, sorted((f"Made {i}", str(i), f"MADE-{i}" if match == "custom_id" else None) for i in range(first, first + count))


@pytest.mark.parametrize("match", ["email", "custom_id"])
@pytest.mark.parametrize("threshold,count", [(0, 30), (50, 120)], ids=["aliases", "job"])
def test_created_with_their_metafields_at_once(project, shop, match, threshold, count):
    first = 10000 + 1000 * ["email", "custom_id"].index(match) + threshold
    since = len(shop.ledger())
    creating(project, shop, match, count, first, threshold)
    assert project.sync("out")["applied"] == count
    found, wanted = made(shop, match, first, count)
    assert found == wanted
    asked = [(entry.get("operation") or {}).get("query", "") for entry in shop.ledger()[since:]]
    assert not any("metafieldsSet" in query or "customerSet" in query for query in asked)
    assert sum("bulkOperationRunMutation" in query for query in asked) == (threshold > 0)


@pytest.mark.parametrize("match", ["email", "custom_id"])
@pytest.mark.parametrize("applied", [True, False])
def test_create_that_died_is_finished_by_the_next_run(project, shop, match, applied):
    """Nothing comes between a customer and its metafields: both are there, or neither, and then the next run makes both."""
    first = 20000 + 100 * ["email", "custom_id"].index(match) + 10 * applied
    creating(project, shop, match, 4, first)
    shop.fault({"kind": "stall", "seconds": 30, "applied": applied, "body_contains": "customerCreate"})
    since = len(shop.ledger())
    process = project.start("sync", "out")
    harness.wait_until(lambda: any("customerCreate" in ((entry.get("operation") or entry.get("asked") or {}).get("query") or "")
                                   for entry in shop.ledger()[since:]), what="the request")
    project.kill(process)
    shop.sim("POST", "faults", {"clear": True})
    run = project.sync("out")
    assert (run["rejected"], run["in_doubt"]) == (0, 0)
    found, wanted = made(shop, match, first, 4)
    assert found == wanted
    assert project.sync("out")["sent"] == 0


@pytest.mark.parametrize("fault", [{"kind": "reset", "applied": True}, {"kind": "reset"}, {"kind": "status", "status": 502, "applied": True},
                                   {"kind": "graphql_error", "code": "INTERNAL_SERVER_ERROR", "applied": True}],
                         ids=["lost", "reset", "502", "internal"])
def test_create_in_doubt_is_looked_up_and_made_once(project, shop, fault):
    first = 30000 + 100 * [("applied" in fault), fault["kind"]].count(True) + 10 * ["reset", "status", "graphql_error"].index(fault["kind"])
    creating(project, shop, "email", 4, first)
    shop.fault({**fault, "body_contains": "customerCreate"})
    run = project.sync("out")
    assert (run["rejected"], run["in_doubt"]) == (0, 0), run
    found, wanted = made(shop, "email", first, 4)
    assert found == wanted


def test_create_with_a_metafield_that_is_refused_makes_nobody(project, shop):
    columns = {"email": "TEXT", "first_name": "TEXT", "metafield_custom_favourite": "TEXT"}
    product = shop.records("Product")[0]["id"]
    scene.writing(project, shop, "customers", list(columns), ["email"], mode="create")
    fill(project, typed(columns), [("whole@example.com", "Whole", product), ("half@example.com", "Half", "no gid")])
    run = project.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (1, 1)
    assert "half@example.com" not in by_email(shop)
    project.execute(f"UPDATE rows SET metafield_custom_favourite = '{product}'")
    assert project.sync("out")["applied"] == 1
    assert custom(shop)[by_email(shop)["half@example.com"]["id"]]["favourite"] == product
