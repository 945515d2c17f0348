# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The main job on real data: a CSV into a warehouse, a model of it to a receiver, and then only what changed.

What is to come out is computed here a second time, by Python's own csv, decimal and sqlite3.
"""

import collections
import decimal
import shutil
import sqlite3

import harness
import scene

RETAIL = """\
    connections:
      files: {plugin: file, path: online_retail.csv}
      wh: {plugin: sqlite, path: warehouse.db}
    syncs:
      lines:
        from: {connection: files, stream: online_retail}
        to: {connection: wh, table: lines}
        mode: append
    """


def sums(rows):
    """Count, quantity, value: exact. Quantity * UnitPrice over all lines."""
    value = sum((int(row["Quantity"]) * decimal.Decimal(row["UnitPrice"]) for row in rows), decimal.Decimal(0))
    return len(rows), sum(int(row["Quantity"]) for row in rows), value


def table_sums(project, table):
    rows = project.query(f"SELECT Quantity, UnitPrice FROM {table}")
    return (len(rows), sum(quantity for quantity, _ in rows),
            sum((quantity * decimal.Decimal(str(price)) for quantity, price in rows), decimal.Decimal(0)))


def test_retail_appends_every_line_and_a_second_run_none(project, retail):
    shutil.copy(retail, project.folder)
    project.config(RETAIL)
    rows = harness.read_csv(retail)
    run = project.sync("lines")
    assert (run["rows_read"], run["applied"], run["rejected"]) == (20000, 20000, 0)
    assert table_sums(project, "lines") == sums(rows)
    stored = project.query("SELECT InvoiceNo, StockCode, Description, CustomerID, Country, InvoiceDate FROM lines")
    wanted = [(row["InvoiceNo"], row["StockCode"], row["Description"] or None,
               int(row["CustomerID"]) if row["CustomerID"] else None, row["Country"], row["InvoiceDate"]) for row in rows]
    assert collections.Counter(stored) == collections.Counter(wanted)
    again = project.sync("lines")
    assert (again["rows_read"], again["applied"]) == (0, 0)
    assert table_sums(project, "lines") == sums(rows)


def test_retail_appended_lines_are_all_that_is_read(project, retail):
    rows = harness.read_csv(retail)
    whole = retail.read_bytes().splitlines(keepends=True)
    project.write("online_retail.csv", b"".join(whole[:15001]))
    project.config(RETAIL)
    assert project.sync("lines")["applied"] == 15000
    with open(project.folder / "online_retail.csv", "ab") as file:
        file.write(b"".join(whole[15001:]))
    run = project.sync("lines")
    assert (run["rows_read"], run["applied"]) == (5000, 5000)
    assert table_sums(project, "lines") == sums(rows)


def test_retail_whole_file(project, retail_whole):
    (project.folder / "online_retail.csv").symlink_to(retail_whole)
    project.config(RETAIL)
    rows = harness.read_csv(retail_whole)
    run = project.sync("lines")
    assert (run["rows_read"], run["applied"], run["rejected"]) == (541909, 541909, 0)
    assert table_sums(project, "lines") == sums(rows)
    without = sum(1 for row in rows if not row["CustomerID"])
    assert without == 135080
    assert project.query("SELECT count(*) FROM lines WHERE CustomerID IS NULL") == [(without,)]
    assert project.sync("lines")["rows_read"] == 0


def test_retail_upsert_withholds_and_reports_every_copy_of_a_duplicate_key(project, retail):
    shutil.copy(retail, project.folder)
    project.config(RETAIL.replace("mode: append", "mode: upsert\n        key: [InvoiceNo, StockCode]"))
    rows = harness.read_csv(retail)
    counts = collections.Counter((row["InvoiceNo"], row["StockCode"]) for row in rows)
    duplicates = {key: count for key, count in counts.items() if count > 1}
    assert duplicates, "the data no longer has what this test is about"
    run = project.sync("lines", code=3)
    assert run["duplicate_keys"] == len(duplicates)
    assert run["duplicate_rows"] == run["rejected"] == sum(duplicates.values())
    single = [row for row in rows if counts[row["InvoiceNo"], row["StockCode"]] == 1]
    assert run["applied"] == len(single)
    assert table_sums(project, "lines") == sums(single)
    shown = project.rows("lines", "--limit", "100000")
    assert {row["error"] for row in shown} == {"data_key_duplicate"}
    wanted = {f"InvoiceNo={invoice} StockCode={stock}": count for (invoice, stock), count in duplicates.items()}
    assert collections.Counter(row["key"] for row in shown) == wanted
    text = project.dray("sync", "lines").expect(0).out  # nothing new to read
    assert "0 read" in text


def test_rows_left_out_of_two_incremental_runs_are_all_shown(project):
    project.write("online_retail.csv", "a,b\n1,x\n1,y\n2,z\n")
    project.config(RETAIL.replace("mode: append", "mode: upsert\n        key: [a]"))
    assert project.sync("lines", code=3)["duplicate_rows"] == 2
    with open(project.folder / "online_retail.csv", "a", encoding="utf-8") as file:
        file.write("7,x\n7,y\n8,z\n8\n")
    run = project.sync("lines", code=3)
    assert (run["duplicate_rows"], run["unreadable"]) == (2, 1)
    shown = project.rows("lines")
    assert sorted(row["key"] for row in shown if row["error"] == "data_key_duplicate") == ["a=1", "a=1", "a=7", "a=7"]
    assert sum(row["error"] == "data_shape" for row in shown) == 1
    assert project.query("SELECT a FROM lines ORDER BY a") == [(2,), (8,)]


def value_of(value):
    """A value with what a change of type may do to it taken away: 1, 1.0 and '1.00' are one number."""
    if isinstance(value, (int, float)):
        return decimal.Decimal(str(value)).normalize()
    if isinstance(value, str):
        try:
            return decimal.Decimal(value).normalize()
        except decimal.InvalidOperation:
            return value
    return value


def multiset(rows):
    return collections.Counter(tuple(value_of(value) for value in row) for row in rows)


def test_chinook_every_table_arrives_equal(project, chinook):
    shutil.copy(chinook, project.folder / "chinook.db")
    (project.folder / "chinook.db").chmod(0o644)
    source = sqlite3.connect(project.folder / "chinook.db")
    tables = [row[0] for row in source.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    assert len(tables) == 11
    project.config("connections:\n"
                   "  shop: {plugin: sqlite, path: chinook.db}\n"
                   "  wh: {plugin: sqlite, path: warehouse.db}\n"
                   "syncs:\n"
                   "  chinook:\n"
                   f"    from: {{connection: shop, streams: [{', '.join(tables)}]}}\n"
                   "    to: {connection: wh}\n"
                   "    mode: mirror\n")
    result = project.dray("sync", "chinook", "--json").expect(0)
    assert sorted(run["sync"] for run in result.lines("run")) == [f"chinook.{table}" for table in tables]
    total = 0
    for table in tables:
        columns = [row[1] for row in source.execute(f'PRAGMA table_info("{table}")')]
        names = ", ".join(f'"{name}"' for name in columns)
        wanted = source.execute(f'SELECT {names} FROM "{table}"').fetchall()
        found = project.query(f'SELECT {names} FROM "{table}"')
        assert multiset(found) == multiset(wanted), table
        total += len(wanted)
    source.close()
    assert total == sum(run["applied"] for run in result.lines("run"))
    again = project.dray("sync", "chinook", "--json").expect(0).lines("run")
    assert all(run["applied"] == 0 and run["inserts"] + run["updates"] + run["deletes"] == 0 for run in again)
    source = sqlite3.connect(project.folder / "chinook.db")
    source.executescript("UPDATE Track SET Name = 'Ohne Titel — ü' WHERE TrackId = 7; "
                         "DELETE FROM InvoiceLine WHERE InvoiceLineId = 11; INSERT INTO Genre VALUES (99, 'Test');")
    source.close()
    changed = {run["sync"]: run for run in project.dray("sync", "chinook", "--json").expect(0).lines("run")}
    assert {name for name, run in changed.items() if run["applied"] > 0} == {
        "chinook.Track", "chinook.InvoiceLine", "chinook.Genre"}
    assert changed["chinook.Track"]["changed_columns"] == {"Name": 1}
    assert changed["chinook.InvoiceLine"]["deletes"] == 1
    assert project.query("SELECT Name FROM Track WHERE TrackId = 7") == [("Ohne Titel — ü",)]
    assert project.query("SELECT count(*) FROM InvoiceLine WHERE InvoiceLineId = 11") == [(0,)]


# ---- the model to the receiver ----


def rfm_project(project, receiver, retail):
    shutil.copy(retail, project.folder)
    project.environment.update(scene.SECRETS)
    project.write("models/rfm.sql", scene.RFM_SQL)
    project.config("connections:\n"
                   "  files: {plugin: file, path: online_retail.csv}\n"
                   "  wh: {plugin: sqlite, path: warehouse.db}\n" + scene.hook_connection(receiver) +
                   "models:\n"
                   "  rfm: {warehouse: wh, key: customer_id}\n"
                   "syncs:\n"
                   "  lines:\n"
                   "    from: {connection: files, stream: online_retail}\n"
                   "    to: {connection: wh, table: lines}\n"
                   "    mode: append\n"
                   "  rfm:\n"
                   "    from: {model: rfm}\n"
                   "    to: {connection: hook, object: customers}\n"
                   "    mode: mirror\n")


def rfm(project):
    """The model by SQLite itself: customer -> row."""
    connection = sqlite3.connect(project.folder / "warehouse.db")
    cursor = connection.execute(scene.RFM_SQL)
    names = [column[0] for column in cursor.description]
    rows = {row[0]: dict(zip(names, row)) for row in cursor}
    connection.close()
    return rows


def test_rfm_goes_out_once_then_only_what_changed(project, receiver, retail):
    rfm_project(project, receiver, retail)
    project.sync("lines")
    before = rfm(project)
    customers = {int(row["CustomerID"]) for row in harness.read_csv(retail) if row["CustomerID"]}
    assert set(before) == customers and len(customers) > 500
    for score in ("r", "f", "m"):  # quintiles: five groups that differ by one row at most
        sizes = collections.Counter(row[score] for row in before.values())
        assert set(sizes) == {1, 2, 3, 4, 5} and max(sizes.values()) - min(sizes.values()) <= 1
    first = project.sync("rfm")
    assert first["inserts"] == first["applied"] == len(customers)
    assert {row["customer_id"]: row for row in receiver.state("customers")} == before
    assert all(row["op"] == "insert" and row["key"] == {"customer_id": row["data"]["customer_id"]} for row in receiver.sent())
    requests = len(receiver.ledger())

    second = project.sync("rfm")
    assert (second["unchanged"], second["sent"], second["applied"]) == (len(customers), 0, 0)
    assert len(receiver.ledger()) == requests, "nothing changed, and something was sent"

    buyers = sorted(before)[:3]
    with open(project.folder / "online_retail.csv", "a", encoding="utf-8") as file:
        for customer in buyers:
            file.write(f"999{customer},22423,REGENCY CAKESTAND 3 TIER,7,2011-06-01 10:00:00,12.75,{customer},France\n")
    assert project.sync("lines")["applied"] == 3
    after = rfm(project)
    changed = {key for key in after if after[key] != before[key]}
    assert set(buyers) <= changed and len(changed) < len(customers) / 2

    plan, samples = project.plan("rfm", "--samples", "1000")
    assert (plan["inserts"], plan["updates"], plan["deletes"]) == (0, len(changed), 0)
    assert {sample["key"] for sample in samples} == {f"customer_id={key}" for key in changed}
    for sample in samples:
        key = int(sample["key"].split("=")[1])
        for name in after[key]:
            shown = f"{name}: " in sample["text"]
            assert shown == (after[key][name] != before[key][name]), (name, sample)
    text = project.dray("plan", "rfm", "--samples", "1000").expect(0).out
    buyer = buyers[0]
    assert f"frequency: {before[buyer]['frequency']} -> {after[buyer]['frequency']}" in text, text
    assert project.dray("plan", "rfm", "--detailed-exitcode").code == 2
    assert len(receiver.ledger()) == requests, "a plan sends nothing"

    run = project.sync("rfm")
    assert run["updates"] == run["applied"] == len(changed)
    sent = receiver.sent(requests)
    assert sorted(row["key"]["customer_id"] for row in sent) == sorted(changed)
    for row in sent:
        key = row["key"]["customer_id"]
        assert row["op"] == "update" and row["data"] == after[key]
        assert set(row["changed"]) == {name for name in after[key] if after[key][name] != before[key][name]}
    assert {row["customer_id"]: row for row in receiver.state("customers")} == after
    assert project.dray("plan", "rfm", "--detailed-exitcode").code == 0


def test_customer_that_disappears_is_one_delete_with_its_key(project, receiver, retail):
    rfm_project(project, receiver, retail)
    project.write("models/rfm.sql", "SELECT CustomerID AS customer_id, count(*) AS lines FROM lines "
                                    "WHERE CustomerID IS NOT NULL GROUP BY CustomerID")
    project.sync("lines")
    total = project.sync("rfm")["applied"]
    gone = project.query("SELECT min(CustomerID) FROM lines")[0][0]
    requests = len(receiver.ledger())
    project.execute(f"DELETE FROM lines WHERE CustomerID = {gone}")
    plan, samples = project.plan("rfm")
    assert plan["deletes"] == 1 and samples[0]["op"] == "delete" and samples[0]["key"] == f"customer_id={gone}"
    run = project.sync("rfm")
    assert (run["deletes"], run["applied"], run["inserts"], run["updates"]) == (1, 1, 0, 0)
    assert [(row["op"], row["key"]) for row in receiver.sent(requests)] == [("delete", {"customer_id": gone})]
    assert len(receiver.state("customers")) == total - 1
    assert project.sync("rfm")["sent"] == 0


def test_unmapped_column_never_sends_and_an_edited_mapping_sends_what_differs(project, receiver):
    scene.people_to_hook(project, receiver, 10, sync="map: {id: id, name: name}\n")
    assert project.sync("people")["applied"] == 10
    requests = len(receiver.ledger())
    project.execute("UPDATE people SET score = score + 1")
    assert project.sync("people")["updates"] == 0
    assert len(receiver.ledger()) == requests
    config = (project.folder / "dray.yaml").read_text()
    project.write("dray.yaml", config.replace("map: {id: id, name: name}", "map: {id: id, name: name, score: points}"))
    assert project.sync("people")["updates"] == 10
    assert scene.held(receiver) == [{"id": i, "name": f"name {i}", "points": i * 10 + 1} for i in range(1, 11)]
