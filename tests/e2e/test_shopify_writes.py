# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""A warehouse into a shop: every object and operation, by aliases and by jobs, refusals and doubts."""

import time

import pytest

import harness
import shopify_scene as scene

pytestmark = pytest.mark.usefixtures("clean_shopify_traffic")


@pytest.fixture(scope="module")
def one_shop(tmp_path_factory):
    scene.need_shop()
    made = scene.Shops(tmp_path_factory.mktemp("shop"))
    yield made.start("--customers", 120, "--orders", 40)
    made.end()


@pytest.fixture
def shop(one_shop):
    one_shop.sim("POST", "faults", {"clear": True})
    yield one_shop
    one_shop.sim("POST", "faults", {"clear": True})


def fill(project, columns, rows):
    marks = ", ".join("?" * len(columns))
    connection = __import__("sqlite3").connect(project.folder / "warehouse.db")
    connection.execute("DROP TABLE IF EXISTS rows")
    connection.execute(f"CREATE TABLE rows ({', '.join(columns)})")
    connection.executemany(f"INSERT INTO rows VALUES ({marks})", rows)
    connection.commit()
    connection.close()


def by_email(shop):
    return {record["email"]: record for record in shop.records("Customer")}


def mutations(shop, since=0):
    return [entry for entry in shop.ledger()[since:]
            if ((entry.get("operation") or {}).get("query") or "").startswith("mutation")]


CUSTOMER = {"email": "TEXT", "first_name": "TEXT", "note": "TEXT", "tags": "TEXT"}


def typed(columns):
    return [f"{name} {kind}" for name, kind in columns.items()]


def customers(project, shop, count, columns=None, match=("email",), first=0, **more):
    columns = columns or CUSTOMER
    scene.writing(project, shop, "customers", list(columns), list(match), **more)
    fill(project, typed(columns), [(f"dray{i}@example.com", f"First {i}", f"note {i}", '["a","b"]')[:len(columns)]
                                   for i in range(first, first + count)])


def test_customers_are_made_and_changed_by_email(project, shop):
    customers(project, shop, 30)
    known = by_email(shop)
    assert project.sync("out")["applied"] == 30
    made = by_email(shop)
    assert len(made) == len(known) + 30
    for i in range(30):
        record = made[f"dray{i}@example.com"]
        assert (record["firstName"], record["note"], record["tags"]) == (f"First {i}", f"note {i}", ["a", "b"])
    assert (project.sync("out")["sent"], project.sync("out")["sent"]) == (0, 0)
    since = len(shop.ledger())
    project.execute("UPDATE rows SET note = 'other' WHERE email = 'dray3@example.com'; "
                    "UPDATE rows SET first_name = NULL WHERE email = 'dray4@example.com'")
    assert project.sync("out")["applied"] == 2
    sent = mutations(shop, since)
    assert len(sent) == 1
    values = list(sent[0]["operation"]["variables"].values())
    assert {"email": "dray3@example.com", "note": "other"} in values, "only what changed is sent"
    now = by_email(shop)
    assert now["dray3@example.com"]["note"] == "other" and now["dray3@example.com"]["firstName"] == "First 3"
    assert now["dray4@example.com"]["firstName"] is None


def test_refused_rows_have_shopifys_words(project, shop):
    customers(project, shop, 60, first=1000)
    project.execute("UPDATE rows SET email = 'not an email' WHERE email = 'dray1007@example.com'; "
                    "UPDATE rows SET note = printf('%.*c', 5001, 'x') WHERE email = 'dray1031@example.com'")
    run = project.sync("out", code=3)
    assert (run["applied"], run["refused"]) == (58, 2)
    reasons = " ".join(row["text"] for row in project.rows("out"))
    assert "Email is invalid" in reasons and "5000" in reasons.replace(",", "")
    project.execute("UPDATE rows SET note = 'short' WHERE email = 'dray1031@example.com'; "
                    "DELETE FROM rows WHERE email = 'not an email'")
    assert project.sync("out")["applied"] == 1


def test_customers_by_id_with_metafields(project, shop):
    records = shop.records("Customer")[:20]
    columns = {"id": "TEXT", "note": "TEXT", "metafield_custom_loyalty_points": "INTEGER", "metafield_custom_nickname": "TEXT"}
    scene.writing(project, shop, "customers", list(columns), ["id"])
    fill(project, typed(columns), [(record["id"], "by id", 100 + i, f"nick {i}") for i, record in enumerate(records)])
    assert project.sync("out")["applied"] == 20
    now = {record["id"]: record for record in shop.records("Customer")}
    for i, record in enumerate(records):
        fields = {one["key"]: one["value"] for one in now[record["id"]]["metafields"] if one["namespace"] == "custom"}
        assert now[record["id"]]["note"] == "by id"
        assert (fields["loyalty_points"], fields["nickname"]) == (str(100 + i), f"nick {i}")


def test_customers_by_email_with_metafields_and_a_bad_one(project, shop):
    columns = {"email": "TEXT", "first_name": "TEXT", "metafield_custom_loyalty_points": "INTEGER", "metafield_custom_favourite": "TEXT"}
    product = shop.records("Product")[0]["id"]
    scene.writing(project, shop, "customers", list(columns), ["email"])
    fill(project, typed(columns), [(f"meta{i}@example.com", "Meta", i, product if i != 5 else "no gid") for i in range(12)])
    run = project.sync("out", code=3)
    assert run["applied"] + run["refused"] == 12 and run["refused"] == 1, run
    fields = {one["key"]: one["value"] for one in by_email(shop)["meta7@example.com"]["metafields"]}
    assert (fields["loyalty_points"], fields["favourite"]) == ("7", product)


def custom(shop, kind="Customer"):
    """id -> key -> value of the metafields custom.*"""
    return {record["id"]: {one["key"]: one["value"] for one in record["metafields"] if one["namespace"] == "custom"}
            for record in shop.records(kind)}


@pytest.mark.parametrize("match,threshold", [("id", 0), ("id", 10), ("email", 0)], ids=["id", "job", "email"])
def test_metafield_that_becomes_null_is_deleted(project, shop, match, threshold):
    emails = [f"null-{match}-{threshold}-{i}@example.com" for i in range(120)]
    shop.change({"create": [{"__typename": "Customer", "email": email} for email in emails]})
    keys = [by_email(shop)[email]["id"] for email in emails] if match == "id" else emails
    columns = {match: "TEXT", "note": "TEXT", "metafield_custom_loyalty_points": "INTEGER", "metafield_custom_nickname": "TEXT"}
    scene.writing(project, shop, "customers", list(columns), [match], options=f", bulk_threshold: {threshold}")
    fill(project, typed(columns), [(key, "all", i, f"nick {i}") for i, key in enumerate(keys)])
    assert project.sync("out")["applied"] == 120
    since = len(shop.ledger())
    project.execute("UPDATE rows SET note = 'none', metafield_custom_nickname = NULL WHERE metafield_custom_loyalty_points < 110")
    run = project.sync("out")
    assert (run["applied"], run["refused"]) == (110, 0)
    held = custom(shop)
    for i, email in enumerate(emails):
        record = by_email(shop)[email]
        wanted = {"loyalty_points": str(i)} if i < 110 else {"loyalty_points": str(i), "nickname": f"nick {i}"}
        assert (held[record["id"]], record["note"]) == (wanted, "none" if i < 110 else "all"), i
    asked = [(entry.get("operation") or {}).get("query", "") for entry in shop.ledger()[since:]]
    assert sum("metafieldsDelete" in query for query in asked) == 5  # lists of 25
    assert sum("bulkOperationRunMutation" in query for query in asked) == (threshold > 0)
    assert project.sync("out")["sent"] == 0


def test_row_of_a_metafield_without_a_value_deletes_it(project, shop):
    records = shop.records("Customer")[40:44]
    columns = {"owner_id": "TEXT", "namespace": "TEXT", "key": "TEXT", "value": "TEXT"}
    scene.writing(project, shop, "metafields", list(columns), ["owner_id", "namespace", "key"])
    fill(project, typed(columns), [(record["id"], "custom", "nickname", "N") for record in records])
    assert project.sync("out")["applied"] == 4
    project.execute(f"UPDATE rows SET value = NULL WHERE owner_id IN ('{records[0]['id']}', '{records[1]['id']}')")
    assert project.sync("out")["applied"] == 2
    assert ["nickname" in custom(shop)[record["id"]] for record in records] == [False, False, True, True]


def test_customers_by_an_id_of_ones_own(project, shop):
    columns = {"custom_id": "TEXT", "email": "TEXT", "first_name": "TEXT"}
    scene.writing(project, shop, "customers", list(columns), ["custom_id"], options=", custom_id: custom.erp_id")
    fill(project, typed(columns), [("ERP-0", "erp0@example.com", "Known"), ("ERP-NEW", "erpnew@example.com", "New")])
    before = len(shop.records("Customer"))
    assert project.sync("out")["applied"] == 2
    assert len(shop.records("Customer")) == before + 1
    assert by_email(shop)["erp0@example.com"]["firstName"] == "Known"


def test_on_missing_skip_creates_nobody(project, shop):
    customers(project, shop, 3, first=2000, options=", on_missing: skip")
    known = next(email for email in by_email(shop) if email)
    project.execute(f"INSERT INTO rows VALUES ('{known}', 'Known', 'skip', '[]')")
    before = len(shop.records("Customer"))
    run = project.sync("out", code=3)
    assert (run["applied"], run["refused"]) == (1, 3)
    assert len(shop.records("Customer")) == before and by_email(shop)[known]["note"] == "skip"


def test_mirror_deletes_only_when_told_to(project, shop):
    customers(project, shop, 10, first=3000, mode="mirror", options=", deletes: delete")
    assert project.sync("out")["applied"] == 10
    project.execute("DELETE FROM rows WHERE email IN ('dray3001@example.com', 'dray3002@example.com')")
    gone = by_email(shop)["dray3001@example.com"]["id"]
    shop.change({"delete": [gone]})  # somebody else was faster
    assert project.sync("out", "--allow-guard")["applied"] == 2
    now = by_email(shop)
    assert "dray3002@example.com" not in now and "dray3003@example.com" in now


def known(shop, count):
    return [record for record in shop.records("Customer") if record["email"]][:count]


@pytest.mark.parametrize("threshold,count", [(0, 5), (100, 300)], ids=["aliases", "job"])
def test_mode_update_makes_nobody(project, shops, threshold, count):
    shop = shops.start("--customers", count + 50)
    held = known(shop, count)
    columns = {"email": "TEXT", "note": "TEXT"}
    scene.writing(project, shop, "customers", list(columns), ["email"], mode="update", options=f", bulk_threshold: {threshold}")
    fill(project, typed(columns), [(record["email"], "ours") for record in held] + [("dray0@example.com", "ours"), ("dray1@example.com", "ours")])
    before = len(shop.records("Customer"))
    for note in ("ours", "ours too"):  # new rows, and some that changed
        project.execute(f"UPDATE rows SET note = '{note}'")
        run = project.sync("out", code=3)
        assert (run["applied"], run["rejected"]) == (len(held), 2)
        assert {row["text"] for row in project.rows("out")} == {"there is no such customer, and mode update makes none"}
        now = by_email(shop)
        assert len(shop.records("Customer")) == before and {now[record["email"]]["note"] for record in held} == {note}
    assert scene.operations(shop).count("bulkOperationRunMutation") == (2 if threshold else 0)


@pytest.mark.parametrize("threshold,count", [(0, 5), (100, 300)], ids=["aliases", "job"])
@pytest.mark.parametrize("mode", ["create", "append"])
def test_mode_create_changes_nobody(project, shops, mode, threshold, count):
    shop = shops.start("--customers", 20)
    held = known(shop, 3)
    columns = {"email": "TEXT", "note": "TEXT"}
    scene.writing(project, shop, "customers", list(columns), ["email"], mode=mode, options=f", bulk_threshold: {threshold}")
    fill(project, typed(columns), [(record["email"], "ours") for record in held] + [(f"dray{i}@example.com", "ours") for i in range(count)])
    run = project.sync("out")
    assert (run["applied"], run["refused"]) == (count + 3, 0)  # or there already
    now = by_email(shop)
    assert [now[record["email"]] for record in held] == held
    assert {now[f"dray{i}@example.com"]["note"] for i in range(count)} == {"ours"}
    assert scene.operations(shop).count("bulkOperationRunMutation") == (1 if threshold else 0)


def test_mode_create_by_id_changes_and_makes_nobody(project, shop):
    held = known(shop, 2)
    before = shop.records("Customer")
    columns = {"id": "TEXT", "note": "TEXT"}
    scene.writing(project, shop, "customers", list(columns), ["id"], mode="create")
    fill(project, typed(columns), [(held[0]["id"], "ours"), (held[1]["id"].rsplit("/", 1)[1], "ours"), ("999999999999", "ours")])
    run = project.sync("out", code=3)
    assert (run["applied"], run["rejected"]) == (2, 1)  # the two are there already
    assert "an id that Shopify has not given" in project.rows("out")[0]["text"]
    assert shop.records("Customer") == before


def test_results_that_cannot_be_downloaded_are_asked_for_once(project, shops):
    """A firewall may keep the download host away for good: the rows are sent again, and no job after that."""
    shop = shops.start("--customers", 20)
    shop.fault({"kind": "bulk", "expire": True, "count": -1})
    customers(project, shop, 300, options=", bulk_threshold: 100")
    project.execute("UPDATE rows SET email = 'not an email' WHERE email = 'dray7@example.com'")
    run = project.sync("out", code=3)
    assert (run["applied"], run["refused"], run["in_doubt"], run["pending"]) == (299, 1, 0, 0)
    assert scene.operations(shop).count("bulkOperationRunMutation") == 1
    assert sum(1 for email in by_email(shop) if email and email.startswith("dray")) == 299
    assert project.sync("out", code=3)["sent"] == 1  # the one that is refused


@pytest.mark.parametrize("match", ["email", "id"])
@pytest.mark.parametrize("how", ["gone", "lost"])
def test_deleting_who_is_gone_is_done(project, shop, match, how):
    """Somebody else was faster, or it was we, and the answer was lost."""
    first = 3100 + 10 * ["email", "id"].index(match) + 100 * ["gone", "lost"].index(how)
    names = [f"dray{i}@example.com" for i in range(first, first + 3)]
    customers(project, shop, 3, first=first)
    assert project.sync("out")["applied"] == 3
    held = by_email(shop)
    scene.writing(project, shop, "customers", [match, "note"], [match], mode="mirror", options=", deletes: delete")
    (project.folder / "dray.yaml").write_text((project.folder / "dray.yaml").read_text().replace("  out:", "  gone:"))
    fill(project, [f"{match} TEXT", "note TEXT"], [(held[name][match], "x") for name in names])
    assert project.sync("gone")["applied"] == 3
    project.execute(f"DELETE FROM rows WHERE {match} = '{held[names[0]][match]}'")
    if how == "gone":
        shop.change({"delete": [held[names[0]]["id"]]})
    else:
        shop.fault({"kind": "reset", "applied": True, "body_contains": "customerDelete"})
    run = project.sync("gone", "--allow-guard")
    assert (run["applied"], run["refused"], run["in_doubt"]) == (1, 0, 0) and project.rows("gone") == []
    assert project.sync("gone")["sent"] == 0
    assert set(names) & set(by_email(shop)) == set(names[1:])


def test_tags_of_customers(project, shop):
    records = shop.records("Customer")[20:23]
    columns = {"id": "TEXT", "tag": "TEXT"}
    scene.writing(project, shop, "customer_tags", list(columns), ["id", "tag"], mode="mirror")
    fill(project, typed(columns), [(record["id"].rsplit("/", 1)[1], tag) for record in records for tag in ("dray one", "dray two")])
    assert project.sync("out")["applied"] == 6
    now = {record["id"]: record for record in shop.records("Customer")}
    for record in records:
        assert set(record["tags"]) | {"dray one", "dray two"} == set(now[record["id"]]["tags"])
    project.execute("DELETE FROM rows WHERE tag = 'dray one'")
    assert project.sync("out", "--allow-guard")["applied"] == 3
    now = {record["id"]: record for record in shop.records("Customer")}
    for record in records:
        assert set(record["tags"]) | {"dray two"} == set(now[record["id"]]["tags"])


def test_metafields_are_atomic_but_rows_are_not(project, shop):
    records = shop.records("Product")[:30]
    columns = {"owner_id": "TEXT", "namespace": "TEXT", "key": "TEXT", "value": "TEXT", "type": "TEXT"}
    scene.writing(project, shop, "metafields", list(columns), ["owner_id", "namespace", "key"], mode="mirror")
    rows = [(record["id"], "dray", "rank", str(i), "number_integer") for i, record in enumerate(records)]
    rows[3] = (*rows[3][:3], "three", "number_integer")
    rows[17] = (*rows[17][:3], "1.5", "number_integer")
    fill(project, typed(columns), rows)
    run = project.sync("out", code=3)
    assert (run["applied"], run["refused"]) == (28, 2)
    now = {record["id"]: {(one["namespace"], one["key"]): one["value"] for one in record["metafields"]}
           for record in shop.records("Product")}
    assert sum(("dray", "rank") in fields for fields in now.values()) == 28
    assert now[records[5]["id"]]["dray", "rank"] == "5"
    project.execute(f"DELETE FROM rows WHERE owner_id = '{records[5]['id']}'")
    project.sync("out", "--allow-guard", code=3)
    left = {record["id"]: record for record in shop.records("Product")}[records[5]["id"]]["metafields"]
    assert not [one for one in left if one["namespace"] == "dray"]


def test_consent_by_its_own_mutations(project, shop):
    records = [record for record in shop.records("Customer") if record["email"]][30:34]
    columns = {"id": "TEXT", "email_marketing_state": "TEXT", "email_marketing_opt_in_level": "TEXT"}
    scene.writing(project, shop, "customer_consent", list(columns), ["id"])
    fill(project, typed(columns), [(record["id"], "UNSUBSCRIBED", "SINGLE_OPT_IN") for record in records])
    assert project.sync("out")["applied"] == 4
    now = {record["id"]: record for record in shop.records("Customer")}
    for record in records:
        assert now[record["id"]]["emailMarketing"]["state"] == "UNSUBSCRIBED"
    project.execute(f"UPDATE rows SET email_marketing_state = '{scene.NONSENSE}' WHERE rowid = 1")
    run = project.sync("out", code=3)
    assert (run["applied"], run["refused"]) == (0, 1)


def test_orders_are_updated(project, shop):
    records = shop.records("Order")[:5]
    columns = {"id": "TEXT", "note": "TEXT", "tags": "TEXT", "po_number": "TEXT"}
    scene.writing(project, shop, "orders", list(columns), ["id"])
    rows = [(record["id"], "from dray", '["x","y"]', "PO 1") for record in records]
    fill(project, typed(columns), [*rows, ("gid://shopify/Order/1", "nobody", "[]", None)])
    run = project.sync("out", code=3)
    assert (run["applied"], run["refused"]) == (5, 1)
    now = {record["id"]: record for record in shop.records("Order")}
    for record in records:
        assert (now[record["id"]]["note"], sorted(now[record["id"]]["tags"])) == ("from dray", ["x", "y"])


@pytest.mark.parametrize("fault", [{"kind": "throttled", "count": 2}, {"kind": "status", "status": 429, "retry_after": 1},
                                   {"kind": "status", "status": 502, "count": 2}, {"kind": "html"},
                                   {"kind": "reset", "applied": True}],
                         ids=["throttled", "429", "502", "html", "reset"])
def test_what_passes_marks_no_row(project, shop, fault, request):
    first = 5000 + 100 * abs(hash(request.node.name)) % 100000
    customers(project, shop, 60, first=first)
    shop.fault({**fault, "nth": 2, "body_contains": "customerSet"})
    run = project.sync("out")
    assert (run["applied"], run["refused"], run["in_doubt"]) == (60, 0, 0)
    assert project.sync("out")["sent"] == 0
    assert sum(1 for email in by_email(shop) if email and email.startswith("dray")
               and first <= int(email[4:].split("@")[0]) < first + 60) == 60


def test_many_rows_go_by_a_job(project, shops):
    shop = shops.start("--bulk-seconds", 0.3)
    customers(project, shop, 1500)
    project.execute("UPDATE rows SET email = 'not an email' WHERE email = 'dray7@example.com'")
    run = project.sync("out", code=3)
    assert (run["applied"], run["refused"], run["pending"]) == (1499, 1, 0)
    assert "Email is invalid" in project.rows("out")[0]["text"]
    assert scene.operations(shop).count("bulkOperationRunMutation") == 1
    assert len(mutations(shop)) <= 3
    assert sum(1 for email in by_email(shop) if email and email.startswith("dray")) == 1499


def test_slots_taken_by_others_refuse_no_row(project, shops):
    """Five bulk operations of other apps are at work: the rows wait for one, for as long as a run waits, and are the next run's then."""
    shop = shops.start("--bulk-seconds", 0.3)
    shop.sim("POST", "bulk", {"count": 5, "seconds": 600, "type": "MUTATION"})
    customers(project, shop, 1500)
    result = project.dray("sync", "out", env={"DRAY_LIMIT_MS": "1000"}).expect(3)
    assert "1,500 rows were kept back by a limit of the destination" in result.err + result.out, result
    assert project.rows("out") == []
    assert not any(email and email.startswith("dray") for email in by_email(shop))
    shop.sim("POST", "clock", {"advance_s": 601})
    run = project.sync("out")
    assert (run["applied"], run["refused"], run["kept_back"]) == (1500, 0, 0)
    assert sum(1 for email in by_email(shop) if email and email.startswith("dray")) == 1500


def test_job_survives_a_restart(project, shops):
    shop = shops.start("--bulk-seconds", 3)
    customers(project, shop, 1200)
    process = project.start("sync", "out")
    harness.wait_until(lambda: any((entry.get("operation") or {}).get("query", "").startswith("query($id:ID!){bulkOperation")
                                   for entry in shop.ledger()), what="a poll")
    project.kill(process)
    run = project.sync("out")
    assert scene.operations(shop).count("bulkOperationRunMutation") == 1
    assert sum(1 for email in by_email(shop) if email and email.startswith("dray")) == 1200
    assert (run["pending"], run["in_doubt"]) == (0, 0)
    assert project.sync("out")["sent"] == 0


def finish_with_jobs(project, shop, process):
    """Jobs that last long by the shop's clock: it goes forward as soon as one is there."""
    while process.poll() is None:
        if any(one["status"] in ("CREATED", "RUNNING") for one in shop.state()["bulk"]):
            shop.advance(300)
        time.sleep(0.05)
    return project.finish(process)


def test_job_that_vanishes_is_sent_again(project, shops):
    shop = shops.start("--bulk-seconds", 300)
    customers(project, shop, 1200)
    process = project.start("sync", "out", "--json")
    harness.wait_until(lambda: shop.state()["bulk"], what="the job")
    shop.advance(60)
    assert shop.state()["bulk"][0]["status"] == "RUNNING"
    shop.change({"vanish": [shop.state()["bulk"][0]["id"]]})
    finish_with_jobs(project, shop, process)
    run = finish_with_jobs(project, shop, project.start("sync", "out", "--json")).expect(0).line("run")
    assert run["in_doubt"] == 0
    assert sum(1 for email in by_email(shop) if email and email.startswith("dray")) == 1200
    assert project.sync("out")["sent"] == 0


def test_missing_scope_stops_the_run_and_says_so(project, shops):
    shop = shops.start("--customers", 20)
    scopes = [one for one in shop.state()["access"]["scopes"] if one != "write_customers"]
    shop.sim("POST", "access", {"scopes": scopes})
    customers(project, shop, 5)
    result = project.dray("sync", "out", "--json")
    assert result.code == 5 and "write_customers" in result.out + result.err
    checked = project.dray("check")
    assert "write_customers" in checked.out + checked.err and checked.code == 5


def test_two_processes_share_the_budget(project, shops, tmp_path):
    shop = shops.start("--bucket", 1000, "--restore-rate", 500)
    customers(project, shop, 100)
    project.dray("check").expect(0)
    config = (project.folder / "dray.yaml").read_text()
    extra = config[config.index("  out:"):].replace("  out:", "  two:").replace("model: rows", "model: more")
    project.write("dray.yaml", config.replace("syncs:\n", "  more: {warehouse: wh, sql: \"SELECT 'b' || email AS email, note FROM rows\", key: [email]}\nsyncs:\n") + extra)
    both = [project.start("sync", name, "--json") for name in ("out", "two")]
    for process in both:
        assert project.finish(process).expect(0).line("run")["applied"] == 100
    assert shop.state()["bucket"]["throttled"] == 0
