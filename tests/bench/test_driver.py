# SPDX-FileCopyrightText: the dray authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' own correctness, at tiny sizes: rows that follow from the seed, a truth that the engine and an
independent count agree on, ratios and bars computed right. No times are asserted."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

from driver import diff, instructions, machine, rows, vendors, warehouse  # noqa: E402

BUILD = pathlib.Path(os.environ["DRAY_BUILD"])
PROGRAMS = BUILD / "tests" / "bench" / "diff"
COUNT = 3000


def generate(tmp_path, kind, version, order, seed=1, count=COUNT):
    path = tmp_path / f"{kind}-{version}-{order}-{seed}"
    done = subprocess.run([PROGRAMS / "bench_generate", kind, str(count), str(version), order, path, str(seed)],
                          capture_output=True, text=True, check=True)
    return path, json.loads(done.stdout)


def table(path):
    lines = path.read_text().splitlines()
    return lines[0], {line.split(",", 1)[0]: line for line in lines[1:]}, lines[1:]


def test_same_seed_makes_the_same_bytes(tmp_path):
    (tmp_path / "again").mkdir()
    for kind in ("csv", "pairs", "words"):
        one, _ = generate(tmp_path, kind, 2, "random")
        two, _ = generate(tmp_path / "again", kind, 2, "random")
        assert one.read_bytes() == two.read_bytes()
    other, _ = generate(tmp_path, "csv", 2, "random", seed=2)
    assert other.read_bytes() != (tmp_path / "csv-2-random-1").read_bytes()


def test_generated_files_differ_by_what_the_generator_says(tmp_path):
    old_path, said_old = generate(tmp_path, "csv", 1, "key")
    new_path, said = generate(tmp_path, "csv", 2, "random")
    head, old, old_lines = table(old_path)
    _, new, new_lines = table(new_path)
    assert head.count(",") == 11 and all(line.count(",") == 11 for line in old_lines)
    assert len(old) == len(old_lines) == said_old["rows"] == COUNT
    assert len(new) == len(new_lines) == said["rows"]
    assert list(old) == sorted(old, key=int) and list(new) != sorted(new, key=int)
    found = {"inserts": len(new.keys() - old.keys()), "deletes": len(old.keys() - new.keys()),
             "updates": sum(old[key] != new[key] for key in old.keys() & new.keys())}
    assert found == {name: said[name] for name in found}
    assert 0.04 < found["updates"] / COUNT < 0.07 and found["inserts"] == COUNT // 100
    assert 110 < old_path.stat().st_size / COUNT < 140


def test_both_orders_hold_the_same_rows(tmp_path):
    for kind in ("csv", "pairs"):
        _, by_key, _ = table(generate(tmp_path, kind, 2, "key")[0])
        _, at_random, _ = table(generate(tmp_path, kind, 2, "random")[0])
        assert by_key == at_random


def test_pairs_and_words_say_the_same(tmp_path):
    path, said = generate(tmp_path, "words", 1, "key", count=10_000)  # more than one block of 8,192
    _, pairs, _ = table(generate(tmp_path, "pairs", 1, "key", count=10_000)[0])
    words = memoryview(path.read_bytes()).cast("q")
    assert len(words) == 2 * said["rows"]
    found = {}
    for begin in range(0, said["rows"], 8192):
        count = min(8192, said["rows"] - begin)
        block = words[2 * begin:2 * (begin + count)]
        found.update((str(block[i]), f"{block[i]},{block[count + i]}") for i in range(count))
    assert found == pairs


@pytest.mark.parametrize("keep", ["row", "key"])
def test_engine_finds_what_the_generator_made(tmp_path, keep):
    _, said = generate(tmp_path, "count", 2, "key")

    def engine(steps, source):
        done = subprocess.run([PROGRAMS / "bench_diff", steps, "--mirror", tmp_path / "mirror", "--set", tmp_path / "set",
                               "--source", source, "--keep", keep], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    words = {version: f"words:{generate(tmp_path, 'words', version, 'random')[0]}" for version in (1, 2)}
    made = {version: f"rows:{COUNT}:{version}:random" for version in (1, 2)}
    sources = made if keep == "row" else words
    assert engine("pass,ack,compact", sources[1])["mirror_rows"] == COUNT
    changed = engine("pass,groups,compact", sources[2])
    assert {name: changed[name] for name in said if name != "bytes"} == {name: said[name] for name in said if name != "bytes"}
    assert changed["changes"] == said["inserts"] + said["updates"] + said["deletes"]
    assert changed["mirror_rows"] == said["rows"]
    again = engine("pass", sources[2])
    assert again["unchanged"] == said["rows"] == again["rows"]


def made_run(seconds, peak_mb=10.0, said=None):
    return machine.Run(seconds, peak_mb, seconds, said or {})


def test_row_has_every_field_and_is_json():
    made = json.loads(rows.to_json(rows.row("x", 1000, rows.Bar(">=", 3), ours=[made_run(1.0)], peer="p",
                                            peers=[made_run(4.0)])))
    assert set(rows.FIELDS) <= made.keys()
    empty = json.loads(rows.to_json(rows.row("x", 1000, rows.Bar(">=", 3), peer="p (not available)")))
    assert set(rows.FIELDS) <= empty.keys()
    assert empty["held"] is None and empty["ours_s"] is None and empty["ratio"] is None


def test_row_takes_medians_of_times_and_the_largest_peak():
    made = rows.row("x", 1000, rows.Bar(">=", 3), ours=[made_run(1.0, 5.0), made_run(9.0, 7.0), made_run(2.0, 6.0)],
                    peer="p", peers=[made_run(8.0), made_run(2.0), made_run(6.0)])
    assert (made["ours_s"], made["peer_s"], made["ours_peak_mb"]) == (2.0, 6.0, 7.0)
    assert made["ratio"] == 3.0 and made["held"] is True


@pytest.mark.parametrize("sense, limit, ratio, held", [
    (">=", 3, 3.0, True), (">=", 3, 2.99, False), ("<=", 1.1, 1.1, True), ("<=", 1.1, 1.101, False), ("<=", 1, None, None)])
def test_bar(sense, limit, ratio, held):
    assert rows.Bar(sense, limit).held(ratio) is held


def test_ratio_is_upside_down_where_we_may_cost_a_little():
    made = rows.row("x", 1000, rows.Bar("<=", 1.1), ours=[made_run(11.0)], peer="p", peers=[made_run(10.0)],
                    measure="ours / peer")
    assert made["ratio"] == 1.1 and made["held"] is True


def test_wrong_answer_never_holds():
    expected = {"inserts": 1, "updates": 2, "deletes": 3}
    wrong = diff.first_wrong(expected, ours=[made_run(1.0, said={"inserts": 1, "updates": 1, "deletes": 3})])
    assert wrong == "ours: 1 updates found, 2 are there"
    assert diff.first_wrong(expected, ours=[made_run(1.0, said=dict(expected))]) is None
    made = rows.row("x", 1000, rows.Bar(">=", 3), ours=[made_run(1.0)], peer="p", peers=[made_run(9.0)], wrong=wrong)
    assert made["ratio"] == 9.0 and made["held"] is False and "updates" in rows.table([made])


def test_every_bench_has_a_name_of_its_own_and_sides_run_in_turn():
    names = [name for name, *_ in diff.BENCHES]
    assert len(set(names)) == len(names)
    order = []
    machine.in_turn(2, lambda: order.append("ours"), None, lambda: order.append("peer"))
    assert order == ["ours", "peer", "ours", "peer"]


def test_numbers_of_rows():
    assert [rows.count(text) for text in ("1000", "250k", "10M")] == [1000, 250_000, 10_000_000]
    with pytest.raises(ValueError):
        rows.count("12")


def test_no_room_on_the_disk_is_said_before_anything_is_made(tmp_path):
    place = machine.Place(tmp_path, 1000, 1)
    with pytest.raises(machine.Failed, match="GB are free"):
        place.need_disk(1 << 60)
    place.close()
    assert list(tmp_path.iterdir()) == []


def test_instructions_that_grew_are_named():
    lines, grown = instructions.compare({"a": 100.0, "b": 100.0, "new": 1.0}, {"a": 99.0, "b": 90.0})
    assert grown == ["b"] and len(lines) == 4


@pytest.mark.parametrize("suite", [diff, warehouse])
def test_list_of_a_suite(suite):
    done = subprocess.run([HERE.parents[1] / "tools" / "bench", suite.__name__.split(".")[-1], "--list"], capture_output=True,
                          text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [name for name, *_ in suite.BENCHES]


# ---- whole runs against a server ----

@pytest.fixture
def place():
    """Not below pytest's folder: the server's user has to come through, and every pytest that starts closes that one to others."""
    with tempfile.TemporaryDirectory(prefix="dray-bench-") as folder:
        os.chmod(folder, 0o755)
        made = machine.Place(folder, 5000, 1)
        made.build = BUILD
        yield made
        made.close()


def test_warehouse_rows_are_right_on_both_sides(place):
    """Tables that are equal afterwards, rows written as many as changed, no byte for nothing; times mean nothing here."""
    made = {one["bench"]: one for name, _, _, function in warehouse.BENCHES if name not in ("model", "mysql_load")
            for one in function(place)}
    notes = [one["note"] for one in made.values() if "not available" in str(one["peer"])]
    if notes:
        if os.environ.get("CI") == "true":
            pytest.fail(notes[0])
        pytest.skip("skipped: " + notes[0])
    assert [one["wrong"] for one in made.values() if one.get("wrong")] == []
    assert {"load", "load_keyed", "copy", "copy_keyed", "again_wal", "again_time", "again_size", "peak", "tenfold_peak"} <= made.keys()
    assert made["again_written"]["held"] and made["again_written"]["rows"] == 2000
    assert made["idle_wal"]["held"] and made["idle_written"]["held"]
    assert all(one["ours_s"] > 0 and one["peer_s"] > 0 for name, one in made.items() if name in ("load", "copy", "again_time"))


def test_wrong_tables_are_told(place):
    server = warehouse.server_of(place)
    if server.why:
        pytest.skip("skipped: " + server.why)
    for name, revenue in (("ours", 1), ("theirs", 2)):
        server.make(name, True)
        server.sql(f"INSERT INTO {name} (id, revenue) VALUES (1, {revenue})")
    assert "differ" in warehouse.unequal(server, "ours", "theirs")
    server.sql("UPDATE theirs SET revenue = 1")
    assert warehouse.unequal(server, "ours", "theirs") is None


def test_second_version_differs_in_one_row_of_a_hundred(place):
    data = warehouse.data_of(place)
    one, two = (data.csv(4000, second).read_text().splitlines() for second in (False, True))
    assert len(one) == len(two) == 4001 and sum(a != b for a, b in zip(one, two)) == 40


# ---- vendors ----

BULK = [{"__typename": "Order", "id": "gid://shopify/Order/12", "updatedAt": "2026-01-01T00:00:00Z", "note": None, "test": False,
         "total": {"amount": "1.00"}, "tags": ["a"], "number": 5},
        {"__typename": "LineItem", "id": "gid://shopify/LineItem/7", "quantity": 2, "note": "x", "__parentId": "gid://shopify/Order/12"},
        {"__typename": "LineItem", "id": "gid://shopify/LineItem/8", "quantity": 3, "__parentId": "gid://shopify/Order/12"}]


@pytest.fixture
def bulk_file(tmp_path):
    path = tmp_path / "kept-1.jsonl"
    path.write_text("".join(json.dumps(line, separators=(",", ":")).replace("/", "\\/") + "\n" for line in BULK))
    return path


def test_columns_of_a_bulk_result_have_the_types_of_their_values(bulk_file):
    columns = dict(column.rsplit(":", 1) for column in vendors.columns_of(bulk_file))
    assert columns == {"__typename": "s", "id": "s", "updatedAt": "t", "note": "s", "test": "b", "total.amount": "s", "tags": "j",
                       "number": "i", "quantity": "i", "__parentId": "s"}


def test_reader_alone_takes_a_file(bulk_file):
    done = subprocess.run([BUILD / "tests" / "bench" / "bench_json_rows", "--file", bulk_file, "1", *vendors.columns_of(bulk_file)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ours_mb_s"] > 0


def test_records_of_a_bulk_result_are_counted_by_kind(bulk_file):
    class Shop(vendors.BulkShop):
        def __init__(self):
            self.results = bulk_file.parent

    assert Shop().held() == {"Order": (1, 12), "LineItem": (2, 15)}


def test_calls_that_write_are_told_from_those_that_read():
    assert vendors.writes_of({"GET /a": 3, "POST /a": 2, "PUT /b": 1, "DELETE /b": 1}) == 4


def test_row_of_kills_tells_the_first_seed_that_went_wrong():
    class Learned:
        known = {"shape": ({"store.commit": 2}, 1.0, 5)}

    told = [{"seed": seed, "what": "x", "deaths": ["kill:store.commit:1, 3 rows in flight"], "wrong": wrong, "repeats": 1, "in_flight": 3}
            for seed, wrong in enumerate((None, "lost", "lost too"))]
    made = vendors.kill_row("kills_x", 3, rows.Bar("<=", 0), told, Learned)
    assert made["ratio"] == 2 and made["held"] is False and "seed 1" in made["wrong"] and made["deaths"] == 3
    assert vendors.kill_row("kills_x", 1, rows.Bar("<=", 0), told[:1], Learned)["held"] is True
