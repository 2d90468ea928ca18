"""I2: what shelves and parcels say reaches the shop, what the shop expects reaches the devices; silence changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from commerce_sync.mapping import Guards, Limit
from flows.appliances import PROFILES, Appliances, ago, noted
from flows.shelves import (
    COUNTED,
    DELTA,
    LEVELS,
    SAFETY,
    SHELVES,
    Depot,
    counted,
    flowed,
    moved,
    reason,
    tracked,
)
from flows.walking import Shop, Walk


@pytest.fixture(params=PROFILES)
def depots(request: Any, opentext_iot: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Depot:
    opentext_iot.clear_faults()
    return Depot(Appliances(opentext_iot, shop, monkeypatch, profile=request.param))


@pytest.fixture
def depot(opentext_iot: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Depot:
    opentext_iot.clear_faults()
    return Depot(Appliances(opentext_iot, shop, monkeypatch))


def held(product: str, warehouse: str = COUNTED) -> str:
    return f"held|{warehouse}|{product}"


def test_the_story_of_a_shelf_and_a_parcel(depots: Depot, shop: Shop, walk: Walk) -> None:
    walk.gated = False
    fleet, ledger = depots.fleet, walk.site.ledger
    depots.product("p1", "p2")
    shelf, other = depots.shelf(1, "p1"), depots.shelf(2, "p2", DELTA)
    tracker = fleet.device(3, tags=("order:O-old",))
    depots.stocked("p1", 7, reserved=3)
    depots.sent("S1", "READY")
    fleet.reading(shelf, "inventory.count", hours_ago=1, warehouseCode=COUNTED, productCode="p1", onHandQty=41,
                  unit="pieces", confidence=0.97, sequence=7)  # fmt: skip
    fleet.reading(other, "inventory.count", hours_ago=2, warehouseCode=DELTA, productCode="p2", onHandQty=30,
                  unit="pieces", confidence=0.97, sequence=1)  # fmt: skip
    fleet.reading(other, "inventory.movement", warehouseCode=DELTA, productCode="p2", deltaQty=-4, movementId="m-1")
    fleet.reading(tracker, "logistics.status", orderCode="O-S1", consignmentCode="S1", status="SHIPPED",
                  eta=f"{ago(days=-2):%Y-%m-%d}")  # fmt: skip
    fleet.polled(ledger)
    flowed(walk)
    assert depots.available() == {(COUNTED, "p1"): 41 - 3 - SAFETY, (DELTA, "p2"): 26 - SAFETY}
    assert depots.status() == {"S1": ("SHIPPED", f"{ago(days=-2):%Y-%m-%d}")}
    flowed(walk)  # what the shop was told comes to the devices one run later at most
    assert (str(fleet.attributes(shelf)["expectedQty"]), fleet.attributes(shelf)["reorderPoint"]) == ("41", "10")
    assert str(fleet.attributes(other)["expectedQty"]) == "26"
    assert fleet.tags(tracker) == {"serial:SN-3", "order:O-S1", "order:O-old"}, "tags of others stay"

    versions, stamps = fleet.versions(), [row["modifiedtime"] for row in shop.far.records("StockLevel")]
    fleet.far.reset_calls()
    runs = [*flowed(walk).values(), *flowed(walk, mode="complete").values()]
    assert {run.sent for run in runs} == {0}
    assert (fleet.writes(), fleet.versions()) == (0, versions)
    assert [row["modifiedtime"] for row in shop.far.records("StockLevel")] == stamps

    noted(ledger, tracked(tracker, "S1", "DELIVERED", hours_ago=0), counted(shelf, "p1", 38, seq=8, hours_ago=0))
    flowed(walk)
    flowed(walk)
    assert depots.of("p1") == 38 - 3 - SAFETY
    assert depots.status()["S1"][0] == "DELIVERY_COMPLETED"
    assert fleet.tags(tracker) == {"serial:SN-3", "order:O-old"}
    assert str(fleet.attributes(shelf)["expectedQty"]) == "38"


def test_sequences_beat_clocks_and_times_decide_where_there_are_none(depot: Depot, walk: Walk) -> None:
    walk.gated = False  # nothing is set aside here
    depot.product("p1", "p2", "p3")
    first, second, third = (depot.shelf(n, f"p{n}") for n in (1, 2, 3))
    noted(
        walk.site.ledger,
        counted(first, "p1", 40, seq=12, hours_ago=9),
        counted(first, "p1", 44, seq=11, hours_ago=1),  # late, and its clock says otherwise
        counted(second, "p2", 20, hours_ago=3),
        counted(second, "p2", 22, hours_ago=2),
        counted(second, "p2", 25, hours_ago=5),
        counted(third, "p3", 9, seq=3, hours_ago=4),
        counted(third, "p3", 10, hours_ago=1),  # without a sequence it is behind those with one
    )
    flowed(walk, leg=LEVELS)
    assert depot.available() == {(COUNTED, "p1"): 38, (COUNTED, "p2"): 20, (COUNTED, "p3"): 7}


def test_a_jump_waits_for_a_recount_and_the_last_value_stays(depot: Depot, walk: Walk) -> None:
    """A second count near the first confirms it, one near the level before ends it, a repeated message does neither."""
    ledger = walk.site.ledger
    depot.product("p1", "p2", "p3", "p4")
    shelves = {n: depot.shelf(n, f"p{n}") for n in (1, 2, 3, 4)}
    noted(ledger, *(counted(shelves[n], f"p{n}", 40, seq=1, hours_ago=9) for n in shelves))
    flowed(walk, leg=LEVELS)
    noted(ledger, *(counted(shelves[n], f"p{n}", 400, seq=2, hours_ago=8) for n in (1, 2, 3)))
    noted(ledger, counted(shelves[4], "p4", 61, seq=2, hours_ago=8), counted(shelves[3], "p3", 400, seq=2, hours_ago=7))
    run = flowed(walk, leg=LEVELS)[LEVELS]
    assert ([depot.of(f"p{n}") for n in shelves], run.status) == ([38, 38, 38, 38], "green")
    assert {reason(walk, LEVELS, held(f"p{n}")) for n in shelves} == {"count_did_not_jump"}
    noted(ledger, counted(shelves[1], "p1", 395, seq=3, hours_ago=6), counted(shelves[2], "p2", 39, seq=3, hours_ago=6))
    noted(ledger, moved(shelves[4], "p4", 21, "m-1", hours_ago=8.5, warehouse=COUNTED))  # what it was for came late
    flowed(walk, leg=LEVELS)
    assert [depot.of(f"p{n}") for n in shelves] == [393, 37, 38, 59]
    assert [reason(walk, LEVELS, held(f"p{n}")) for n in shelves] == ["", "", "count_did_not_jump", ""]


UNTRUSTED: dict[str, tuple[str, dict[str, Any]]] = {
    "p1": ("count_is_not_negative", {"qty": -3}),
    "p2": ("sensor_is_sure", {"confidence": 0.5}),
    "p3": ("sensor_is_sure", {"confidence": None}),
    "p4": ("unit_is_the_products", {"unit": "kg"}),
    "p5": ("unit_is_the_products", {"unit": None}),
    "p6": ("message_is_readable", {"qty": "many"}),
    "p7": ("message_is_readable", {"qty": 1.5}),
    "p8": ("clock_is_right", {"hours_ago": -2}),
}


def test_a_count_nobody_can_trust_is_shown_and_changes_nothing(depot: Depot, walk: Walk) -> None:
    depot.product(*UNTRUSTED, "p9")
    shelves = {code: depot.shelf(n, code) for n, code in enumerate((*UNTRUSTED, "p9"))}
    noted(walk.site.ledger, *(counted(shelf, code, 40, seq=1, hours_ago=9) for code, shelf in shelves.items()))
    flowed(walk, leg=LEVELS)
    noted(walk.site.ledger, *(counted(shelves[code], code, **({"qty": 39, "seq": 2} | event))
                              for code, (_, event) in UNTRUSTED.items()))  # fmt: skip
    noted(walk.site.ledger, counted(shelves["p9"], "p9", 39, seq=2))
    run = flowed(walk, leg=LEVELS)[LEVELS]
    assert ({depot.of(code) for code in UNTRUSTED}, depot.of("p9"), run.status) == ({38}, 37, "green")
    assert {code: reason(walk, LEVELS, held(code)) for code in UNTRUSTED} == {
        code: why for code, (why, _) in UNTRUSTED.items()
    }
    noted(walk.site.ledger, *(counted(shelf, code, 36, seq=3, hours_ago=0.5) for code, shelf in shelves.items()))
    flowed(walk, leg=LEVELS)
    assert ({depot.of(code) for code in shelves}, walk.rejects(LEVELS)) == ({34}, {}), "a good count releases the shelf"


def test_unknown_devices_products_and_warehouses_stop_nothing_else(depot: Depot, walk: Walk) -> None:
    depot.product("p1", "p2", "p3", "العربية ☕")
    good, asleep, elsewhere = depot.shelf(1, "p1"), depot.shelf(2, "p2"), depot.shelf(3, "p3", "WH-US-1")
    strange, ghost = depot.shelf(4, "العربية ☕"), depot.shelf(5, "g" * 300)
    depot.fleet.far.patch("device", asleep, isActive=False)
    noted(
        walk.site.ledger,
        counted(good, "p1", 40, seq=1), counted(asleep, "p2", 40, seq=1), counted(elsewhere, "p3", 40, seq=1),
        counted(strange, "العربية ☕", 5, seq=1), counted(ghost, "g" * 300, 5, seq=1),
        counted(good, "p1", 40, seq=1, warehouse="WH-9"), counted(good, None, 4), counted(good, "p1", 4, warehouse=None),
    )  # fmt: skip
    run = flowed(walk, leg=LEVELS)[LEVELS]
    assert depot.available() == {(COUNTED, "p1"): 38, (COUNTED, "العربية ☕"): 3}
    assert run.status == "green"
    assert {key: item.code for key, item in walk.rejects(LEVELS).items()} == {
        held("p2"): "device_stands_for_the_product_there", held("p3"): "device_stands_for_the_product_there",
        held("g" * 300): "product_is_in_the_shop", held("p1", "WH-9"): "warehouse_is_in_the_table",
        held("(none)"): "message_is_readable", held("p1", ""): "message_is_readable",
    }  # fmt: skip


def test_silence_is_shown_never_zero_and_takes_off_the_buffer_that_was_declared(depot: Depot, walk: Walk) -> None:
    depot.product("p1", "p2")
    first, second = depot.shelf(1, "p1"), depot.shelf(2, "p2", "WH-US-1")
    noted(walk.site.ledger, counted(first, "p1", 40, seq=1), counted(second, "p2", 40, seq=1, warehouse="WH-US-1"))
    flowed(walk, leg=LEVELS)
    assert walk.rejects(LEVELS) == {}
    flowed(walk, leg=LEVELS, ahead_h=25)
    frozen = {(COUNTED, "p1"): 38 - 3, ("WH-US-1", "p2"): 38}
    assert depot.available() == frozen
    codes = {item.code for item in walk.rejects(LEVELS).values()}
    assert (len(walk.rejects(LEVELS)), codes) == (2, {"shelf_was_heard_of"})
    assert flowed(walk, leg=LEVELS, ahead_h=26, mode="complete")[LEVELS].sent == 0
    walk.site.ledger.erase_events(first)  # the inbox has long forgotten it
    flowed(walk, leg=LEVELS, ahead_h=27, mode="complete")
    assert (depot.available(), len(walk.rejects(LEVELS))) == (frozen, 2)
    noted(walk.site.ledger, counted(first, "p1", 30, seq=2, hours_ago=0), counted(second, "p2", 0, seq=2, hours_ago=0, warehouse="WH-US-1"))  # fmt: skip
    flowed(walk, leg=LEVELS)
    assert depot.of("p1") == 28
    assert depot.of("p2", "WH-US-1") == 38, "from 40 to none is a jump"
    noted(walk.site.ledger, counted(second, "p2", 0, seq=3, hours_ago=0, warehouse="WH-US-1"))
    flowed(walk, leg=LEVELS)
    assert (depot.of("p2", "WH-US-1"), walk.rejects(LEVELS)) == (0, {}), "counted twice it is none"


def test_a_movement_counts_once_and_never_beside_the_count_it_is_in(depot: Depot, walk: Walk) -> None:
    ledger = walk.site.ledger
    depot.product("p1", "p2")
    shelf, counted_only = depot.shelf(1, "p1", DELTA), depot.shelf(2, "p2")
    noted(
        ledger,
        moved(shelf, "p1", -4, "m-2", hours_ago=1), moved(shelf, "p1", -4, "m-2", hours_ago=0.5, n=1),
        moved(shelf, "p1", -6, "m-1", hours_ago=3), counted(shelf, "p1", 50, hours_ago=2, warehouse=DELTA),
        moved(shelf, "p1", 3, "m-0", hours_ago=2),  # at the moment of the count
        counted(counted_only, "p2", 50, seq=1, hours_ago=2), moved(counted_only, "p2", -9, "m-9", warehouse=COUNTED),
    )  # fmt: skip
    flowed(walk, leg=LEVELS)
    assert (depot.of("p1", DELTA), depot.of("p2")) == (46 - SAFETY, 50 - SAFETY)
    noted(
        ledger, moved(shelf, "p1", -5, "m-3", hours_ago=0.2), counted(shelf, "p1", 41, hours_ago=0.1, warehouse=DELTA)
    )
    flowed(walk, leg=LEVELS)
    assert depot.of("p1", DELTA) == 41 - SAFETY
    noted(ledger, moved(shelf, "p1", -50, "m-4", hours_ago=0))
    flowed(walk, leg=LEVELS)
    assert (depot.of("p1", DELTA), reason(walk, LEVELS, held("p1", DELTA))) == (39, "count_is_not_negative")


def test_movements_without_a_beginning_or_sense_wait_for_a_count(depot: Depot, walk: Walk) -> None:
    ledger = walk.site.ledger
    depot.product("p1", "p2", "p3")
    first, second, third = (depot.shelf(n, f"p{n}", DELTA) for n in (1, 2, 3))
    noted(ledger, moved(first, "p1", 9, "m-1", hours_ago=5), *(counted(d, p, 20, hours_ago=6, warehouse=DELTA)
                                                               for d, p in ((second, "p2"), (third, "p3"))))  # fmt: skip
    flowed(walk, leg=LEVELS)
    assert (depot.of("p1", DELTA), reason(walk, LEVELS, held("p1", DELTA))) == (None, "delta_began_with_a_count")
    noted(ledger, moved(second, "p2", 9000, "m-2", hours_ago=4), moved(third, "p3", None, "m-3", hours_ago=4))
    flowed(walk, leg=LEVELS)
    assert [depot.of(f"p{n}", DELTA) for n in (2, 3)] == [18, 18]
    assert [reason(walk, LEVELS, held(f"p{n}", DELTA)) for n in (2, 3)] == ["count_did_not_jump", "message_is_readable"]
    noted(
        ledger,
        *(counted(d, f"p{n}", 21, hours_ago=1, warehouse=DELTA) for n, d in enumerate((first, second, third), 1)),
    )
    flowed(walk, leg=LEVELS)
    assert ([depot.of(f"p{n}", DELTA) for n in (1, 2, 3)], walk.rejects(LEVELS)) == ([19, 19, 19], {})


def test_each_warehouse_has_one_owner_and_a_line_that_makes_sense(depot: Depot, walk: Walk) -> None:
    """The table's lines as somebody might edit them."""
    depot.product("p1", "p2", "p3")
    shelves = {house: depot.shelf(n, f"p{n}", house) for n, house in enumerate(("WH-EU-1", "WH-US-1", "WH-US-2"), 1)}
    text = str(walk.mapping(LEVELS).aggregate)
    rows = [("'WH-EU-1', 'iot'", "'WH-EU-1', 'shop'"), ("'WH-US-1', 'iot', 'absolute'", "'WH-US-1', 'iot', 'both'"),
            ("('WH-US-2', 'WH-US-2'", "('WH-US-2', 'WH-EU-1'")]  # fmt: skip
    assert all(old in text for old, _ in rows)
    depot.stocked("p1", 5)
    noted(walk.site.ledger, *(counted(device, f"p{n}", 40, seq=1, warehouse=house)
                              for n, (house, device) in enumerate(shelves.items(), 1)))  # fmt: skip
    walk.alter(LEVELS, aggregate=text.replace(*rows[0]).replace(*rows[1]))
    flowed(walk, leg=LEVELS)
    assert depot.available() == {(COUNTED, "p1"): 5, (DELTA, "p3"): 38}, "the shop's own stays the shop's"
    assert {key: item.code for key, item in walk.rejects(LEVELS).items()} == {
        held("p2", "WH-US-1"): "table_of_warehouses_is_valid"
    }
    walk.alter(LEVELS, aggregate=text.replace(*rows[2]))
    flowed(walk, leg=LEVELS)
    assert depot.available() == {(COUNTED, "p1"): 5, ("WH-US-1", "p2"): 38, (DELTA, "p3"): 38}
    assert set(walk.rejects(LEVELS)) == {held("p1"), held("p3", DELTA)}, "two lines for one warehouse of the shop"
    since = (ago(minutes=30)).strftime("%Y-%m-%d %H:%M:%S")
    walk.alter(LEVELS, aggregate=text.replace("TIMESTAMP '2020-01-01'", f"TIMESTAMP '{since}'"))
    noted(walk.site.ledger, counted(shelves["WH-EU-1"], "p1", 7, seq=0, hours_ago=0.1))
    flowed(walk, leg=LEVELS)
    assert depot.of("p1") == 5, "a sensor that starts anew is believed from `since` on: 7 and no more"
    assert depot.of("p2", "WH-US-1") == 38


def test_reservations_and_orders_between_two_counts_are_taken_off(depot: Depot, shop: Shop, walk: Walk) -> None:
    walk.gated = False  # nothing is set aside here
    depot.product("p1")
    shelf = depot.shelf(1, "p1")
    depot.stocked("p1", 99)
    noted(walk.site.ledger, counted(shelf, "p1", 40, seq=1))
    flowed(walk)
    shop.far.patch("StockLevel", "p1|WH-EU-1", reserved=6, modifiedtime=ago(seconds=2).isoformat())
    flowed(walk)
    assert depot.of("p1") == 40 - 6 - SAFETY
    shop.far.patch("StockLevel", "p1|WH-EU-1", reserved=60, modifiedtime=ago(seconds=2).isoformat())
    flowed(walk)
    assert depot.of("p1") == 0, "sold out is not less than none"


def test_what_leaves_the_assortment_is_refilled_no_more(depot: Depot, shop: Shop, walk: Walk) -> None:
    walk.gated = False  # nothing is set aside here
    depot.product("p1", "p2")
    first, second = depot.shelf(1, "p1"), depot.fleet.device(2, tags=("sku:p2",), warehouseCode=COUNTED)
    bystander = depot.shelf(3, "p1")  # it never counted anything
    noted(walk.site.ledger, counted(first, "p1", 40, seq=1), counted(second, "p2", 12, seq=1))
    flowed(walk)
    flowed(walk)
    fleet = depot.fleet
    assert [(str(fleet.attributes(d)["expectedQty"]), fleet.attributes(d)["productCode"]) for d in (first, second)] == [
        ("40", "p1"),
        ("12", "p2"),
    ]
    assert "expectedQty" not in fleet.attributes(bystander)
    shop.far.patch("Product", "p1", approvalStatus="unapproved", modifiedtime=ago(seconds=2).isoformat())
    flowed(walk, leg=SHELVES)
    found = fleet.attributes(first)
    assert ("expectedQty" in found, "reorderPoint" in found, found["productCode"]) == (False, False, "p1")
    assert str(fleet.attributes(second)["expectedQty"]) == "12"


def test_a_level_the_shop_locked_is_written_the_next_time_and_a_missing_warehouse_is_named(
    depot: Depot, shop: Shop, walk: Walk
) -> None:  # fmt: skip
    depot.product("p1", "p2")
    first, second = depot.shelf(1, "p1"), depot.shelf(2, "p2", "WH-US-1")
    depot.stocked("p1", 1)
    shop.far.delete("Warehouse", "WH-US-1")
    noted(walk.site.ledger, counted(first, "p1", 40, seq=1), counted(second, "p2", 40, seq=1, warehouse="WH-US-1"))
    shop.far.fault(action="status", status=503, retry_after_s=0, match={"path": "batch"}, times=1)
    walk.attempt(LEVELS)
    shop.far.clear_faults()
    assert depot.available() == {(COUNTED, "p1"): 38}
    (refused,) = walk.rejects(LEVELS).values()
    assert "[Warehouse]" in str(refused.reason)
    shop.far.put("Warehouse", [{"code": "WH-US-1"}])
    flowed(walk, leg=LEVELS, ahead_h=1)
    assert depot.of("p2", "WH-US-1") == 38


def test_sensors_that_all_say_something_else_at_once_stop_the_leg(depot: Depot, walk: Walk) -> None:
    codes = [f"p{n}" for n in range(8)]
    depot.product(*codes)
    for n, code in enumerate(codes):
        noted(walk.site.ledger, counted(depot.shelf(n, code), code, 40, seq=1))
    walk.alter(LEVELS, guards=Guards(max_changes=Limit(absolute=7)))
    walk.attempt(LEVELS)
    assert ("max_changes" in str(walk.error), depot.available()) == (True, {})


def test_a_day_of_odd_messages_ends_in_the_last_good_count(depot: Depot, walk: Walk) -> None:
    """Between good counts every kind of bad one, and each message twice."""
    depot.product("p1")
    shelf = depot.shelf(1, "p1")
    bad: list[dict[str, Any]] = [{"confidence": 0.1}, {"unit": "kg"}, {"qty": -1}, {"qty": 4000}, {"qty": None}]
    events = []
    for n in range(10):
        events.append(counted(shelf, "p1", 60 - n, seq=2 * n, hours_ago=20 - 2 * n))
        events.append(counted(shelf, "p1", **({"qty": 50, "seq": 2 * n + 1, "hours_ago": 19.5 - 2 * n} | bad[n % 5])))
    noted(walk.site.ledger, *events)
    noted(walk.site.ledger, *({**event, "id": f"again/{event['id']}"} for event in events))
    flowed(walk, leg=LEVELS)
    assert (depot.of("p1"), reason(walk, LEVELS, held("p1"))) == (51 - SAFETY, "message_is_readable")
