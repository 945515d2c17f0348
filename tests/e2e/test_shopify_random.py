# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""Days of a shop's life: records change between reads and during them, reads are killed, and nothing is missed.

DRAY_SHOPIFY_SEEDS=20 DRAY_SHOPIFY_ROUNDS=60 make it long.
"""

import json
import os
import random
import threading
import time

import pytest

import harness
import shopify_scene as scene

SEEDS = int(os.environ.get("DRAY_SHOPIFY_SEEDS", "1"))
FIRST_SEED = int(os.environ.get("DRAY_SHOPIFY_SEED", "1"))
ROUNDS = int(os.environ.get("DRAY_SHOPIFY_ROUNDS", "3"))
DAY_S = 86400

# stream -> its records, and (column, how the shop's record says it)
STREAMS = {
    "customers": ("Customer", {"email": "email", "phone": "phone", "first_name": "firstName", "last_name": "lastName",
                               "note": "note", "tags": "tags", "locale": "locale", "state": "state",
                               "tax_exempt": "taxExempt", "created_at": "createdAt", "updated_at": "updatedAt"}),
    "orders": ("Order", {"name": "name", "note": "note", "tags": "tags",
                         "created_at": "createdAt", "updated_at": "updatedAt"}),
    "products": ("Product", {"title": "title", "handle": "handle", "vendor": "vendor", "tags": "tags", "status": "status",
                             "updated_at": "updatedAt"}),
    "product_variants": ("ProductVariant", {"title": "title", "sku": "sku", "barcode": "barcode", "updated_at": "updatedAt"}),
    "inventory_items": ("InventoryItem", {"sku": "sku", "tracked": "tracked", "updated_at": "updatedAt"}),
    "collections": ("Collection", {"title": "title", "updated_at": "updatedAt"}),
    "draft_orders": ("DraftOrder", {"name": "name", "status": "status", "note": "note2", "updated_at": "updatedAt"}),
    "abandoned_checkouts": ("AbandonedCheckout", {"note": "note", "updated_at": "updatedAt"}),
}
TEXTS = [None, "", "plain", 'quote " and \\ and / and \\/', "line\nbreak\ttab", "emoji \U0001f600 \u00e9\u4e2d", "</script>",
         "null", "\u2028\u2029", "x" * 4900, "0", "{}", "a,b"]
SET = {"Customer": ["note", "firstName", "lastName"], "Order": ["note"], "Product": ["title"], "ProductVariant": ["barcode"],
       "InventoryItem": ["sku"], "Collection": ["title"], "DraftOrder": ["note2"], "AbandonedCheckout": ["note"]}
NOT_NULL = {("Product", "title"), ("Collection", "title"), ("AbandonedCheckout", "note")}


class Life:
    """What users of the shop do."""

    def __init__(self, shop, seed):
        self.shop, self.random, self.gone, self.made = shop, random.Random(seed), [], 0
        self.ids = {kind: [one["id"] for one in shop.records(kind)] for kind, _ in STREAMS.values()}
        self.changes = 0

    def update(self):
        kind = self.random.choice(list(SET))
        if not self.ids[kind]:
            return None
        member = self.random.choice(SET[kind])
        value = self.random.choice(TEXTS)
        return {"id": self.random.choice(self.ids[kind]), "set": {member: value or "t" if (kind, member) in NOT_NULL else value}}

    def act(self):
        """One handful of changes at once, all of one second or nearly."""
        order = {"update": [one for one in (self.update() for _ in range(self.random.randint(1, 8))) if one]}
        if self.random.random() < 0.3:
            self.made += 1
            order["create"] = [{"__typename": self.random.choice(["Customer", "Order"]), "note": f"made {self.made}"}]
        if self.random.random() < 0.1:
            kind = self.random.choice(["Customer", "Order", "Collection", "DraftOrder"])
            if len(self.ids[kind]) > 4:
                gone = self.random.choice(self.ids[kind])
                order["update"] = [one for one in order["update"] if one["id"] != gone]
                order["delete"] = [gone]
                self.ids[kind].remove(gone)
                self.gone.append(gone)
        made = self.shop.change(order)["created"]
        for gid in made:
            self.ids[gid.split("/")[3]].append(gid)
        self.changes += len(order["update"]) + len(made) + len(order.get("delete", []))


class Restless(threading.Thread):
    """Changes all the time that a read takes."""

    def __init__(self, life):
        super().__init__(daemon=True)
        self.life, self.ended, self.failed = life, threading.Event(), None

    def run(self):
        try:
            while not self.ended.wait(self.life.random.uniform(0.01, 0.15)):
                self.life.act()
        except Exception as error:  # told by the test
            self.failed = error

    def end(self):
        self.ended.set()
        self.join()
        assert self.failed is None, self.failed


def told(value):
    """A value of the warehouse as the shop says it."""
    return json.loads(value) if isinstance(value, str) and value.startswith("[") else value


def expect_same(project, shop, life, where):
    for stream, (kind, columns) in STREAMS.items():
        shown = ", ".join(f'"{name}"' for name in columns)
        held = {row[0]: row[1:] for row in project.query(f'SELECT id, {shown} FROM "{stream}"')}
        for record in shop.records(kind):
            assert record["id"] in held, f"{where}: {stream} lacks {record['id']} of {record['updatedAt']}"
            for (column, member), value in zip(columns.items(), held[record["id"]]):
                wanted = record.get(member)
                if column.endswith("_at"):
                    value = value and value.replace(" ", "T") + "Z"
                elif isinstance(wanted, bool):
                    value = bool(value)
                elif isinstance(wanted, list):
                    value = told(value)
                assert value == wanted, f"{where}: {stream}.{column} of {record['id']} of {record['updatedAt']}"
    known = {row[0] for row in project.query("SELECT subject_id FROM deleted_records")}
    assert known.issuperset(life.gone), f"{where}: {set(life.gone) - known} is deleted, and nothing says so"


def sync(project, life, kill, restless):
    thread = Restless(life) if restless else None
    process = project.start("sync", "in", "--json")
    if thread:
        thread.start()
    try:
        if kill is not None:
            time.sleep(kill)
            project.kill(process)
        else:
            project.finish(process).expect(0)
    finally:
        if thread:
            thread.end()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_nothing_is_missed(project, tmp_path, seed):
    scene.need_shop()
    shops = scene.Shops(tmp_path)
    shop = shops.start("--customers", 70, "--orders", 60, "--products", 25, "--drafts", 15, "--checkouts", 15, "--seed", seed,
                       "--latency-ms", 10)
    dice = random.Random(seed * 1000)
    life = Life(shop, seed)
    kills, begun = 0, time.monotonic()
    for round_number in range(ROUNDS):
        use = dice.choice(["auto", "always", "never", "never"])
        scene.reading(project, shop, *STREAMS, "deleted_records", use_bulk=use, page_size=dice.choice([3, 7, 20, 250]),
                      lookback_hours=dice.choice([0, 0, 1]))
        for _ in range(dice.randint(0, 3)):
            life.act()
        for _ in range(dice.choice([0, 0, 1, 2])):
            kills += 1
            sync(project, life, dice.uniform(0.1, 2.5), dice.random() < 0.7)
        if dice.random() < 0.7:
            sync(project, life, None, True)
        # A bulk operation that a killed run has begun is as old as that run: what changed since is for the next one.
        sync(project, life, None, False)
        sync(project, life, None, False)
        expect_same(project, shop, life, f"seed {seed}, round {round_number}, {use}")
        print(f"{time.monotonic() - begun:.0f} s: round {round_number}, {use}, {life.changes} changes, {kills} kills", flush=True)
        shop.advance(dice.choice([0, 0, 1, 59, 3600, DAY_S // 3, 3 * DAY_S, 40 * DAY_S]))
    print(f"seed {seed}: {ROUNDS} rounds, {life.changes} changes, {kills} kills, "
          f"{scene.operations(shop).count('bulkOperationRunQuery')} bulk operations, {scene.operations(shop).count('page')} pages")
    shops.end()
