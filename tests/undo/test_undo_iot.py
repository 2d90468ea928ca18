"""Undo at the OpenText IoT Platform: attributes and tags of devices, by both gateway profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commerce_sync import before_images, mapping_file, undo
from commerce_sync import walk as walks
from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import Run
from commerce_sync.window import Request
from flows.appliances import Appliances, fleet_by_profile, noted, one_fleet
from flows.guarantees import CONTRACTS, RECORDS, Guarantees, day
from flows.shelves import SHELVES, TRACKERS, Depot, counted, flowed, tracked
from flows.walking import Shop, Walk, line
from undo.taking_back import Back

__all__ = ["fleet_by_profile", "one_fleet"]

ATTRIBUTES, TAGS = "context_to_device_attributes", "context_to_device_tags"


def held(fleet: Appliances) -> dict[str, tuple[dict[str, Any], set[str]]]:
    """Attributes that are set and tags of all devices."""
    return {row["id"]: (fleet.attributes(row["id"]), fleet.tags(row["id"])) for row in fleet.far.records("device")}


def a_fleet(fleet: Appliances, shop: Shop, walk: Walk, back: Back, leg: str) -> list[str]:
    """Three devices with their context in place; the third is known by nothing but its product."""
    back.keep(leg)
    shop.categories("Machines", "Air")
    shop.product("c200", "air")
    shop.product("x9", "machines")
    shop.far.patch("Product", "c200", name={"en": "Compressor C-200"})
    shop.far.patch("Product", "x9", name={"en": "Chest X"})
    shop.customers(1, 2)
    shop.units("acme")
    shop.order("O1", customer=1, day="2026-10-01", lines=[line(0, "c200", 1, 10)])
    shop.order("O2", customer=2, unit="acme", day="2026-10-02", lines=[line(0, "x9", 1, 10)])
    devices = [
        fleet.device(1, tags=("grp:offer-open",), productCode="c200", purchaseOrderCode="O1", firmware="1.0"),
        fleet.device(2, productCode="x9", purchaseOrderCode="O2"),
        fleet.device(3, productCode="c200"),
    ]
    walk.leg(leg)
    return devices


def moved_on(fleet: Appliances, shop: Shop, devices: list[str]) -> str:
    """The product of the first gets a name and a family, the second's order is cancelled, the third is no product
    any more, and a fourth appears; gives that."""
    shop.far.patch("Product", "c200", name={"en": "Compressor C-210"})
    shop.far.patch("Category", "air", supercategories=["machines"])
    shop.touch("O2", status="CANCELLED")
    fleet.relabel(devices[2], productCode=None)
    return fleet.device(4, productCode="x9", serialNumber="own")


def test_attributes_go_back_and_what_was_absent_is_absent_again(
    fleet: Appliances, shop: Shop, walk: Walk, back: Back
) -> None:
    devices = a_fleet(fleet, shop, walk, back, ATTRIBUTES)
    fourth = moved_on(fleet, shop, devices)
    before = held(fleet)
    run = walk.leg(ATTRIBUTES, "complete")
    assert (run.new, run.modified, run.deleted) == (1, 2, 1)
    first, second, third, made = (fleet.attributes(device) for device in (*devices, fourth))
    assert (first["productName"], first["productFamily"]) == ("Compressor C-210", "machines")
    assert not {"customerRef", "b2bUnit", "purchaseDate"} & set(second)
    assert "productName" not in third
    assert (made["productName"], made["categoryCodes"]) == ("Chest X", "machines")
    undone = back.undo(run)
    assert held(fleet) == before
    assert "productName" not in fleet.attributes(fourth), "the run had given it its first context"
    assert (undone.kind, undone.status, undone.balanced) == ("undo", "green", True)
    assert (undone.extracted, undone.delivered, undone.filtered) == (4, 4, 0)
    for mode in ("complete", "auto"):
        assert walk.leg(ATTRIBUTES, mode).sent == 0, "what was undone waits until the shop says something else"
    assert held(fleet) == before
    shop.far.patch("Product", "c200", name={"en": "Compressor C-220"}, modifiedtime=shop.tick())
    walk.leg(ATTRIBUTES)
    assert fleet.attributes(devices[0])["productName"] == "Compressor C-220"


def test_an_attribute_somebody_changed_since_is_left_and_listed(
    one: Appliances, shop: Shop, walk: Walk, back: Back
) -> None:
    devices = a_fleet(one, shop, walk, back, ATTRIBUTES)
    fourth = moved_on(one, shop, devices)
    run = walk.leg(ATTRIBUTES, "complete")
    one.relabel(devices[0], productName="By hand", firmware="1.1")
    one.relabel(devices[2], productFamily="set again")
    one.relabel(fourth, productName=None)
    planned = back.plan(run)
    assert one.attributes(devices[0])["productFamily"] == "machines", "a plan sends nothing"
    assert planned.conflicts == 2
    undone = back.undo(run)
    assert [row for row in back.rows(undone) if row[2] == "conflict"] == sorted([
        (devices[0], "productName", "conflict"), (devices[2], "productFamily", "conflict"),
    ])  # fmt: skip
    first, third, made = (one.attributes(device) for device in (devices[0], devices[2], fourth))
    assert (first["productName"], first["productFamily"], first["firmware"]) == ("By hand", "air", "1.1")
    assert (third["productFamily"], third["productName"]) == ("set again", "Compressor C-200")
    assert (made, undone.status) == ({"productCode": "x9", "serialNumber": "own", "runtimeHours": 1.5}, "green")
    assert walk.leg(ATTRIBUTES, "complete").sent == 0, "what was cleared and is half back is not cleared again"


def test_a_device_that_went_away_since_is_listed_and_not_made_anew(
    one: Appliances, shop: Shop, walk: Walk, back: Back
) -> None:
    devices = a_fleet(one, shop, walk, back, ATTRIBUTES)
    moved_on(one, shop, devices)
    run = walk.leg(ATTRIBUTES, "complete")
    one.far.delete("device", devices[1])
    undone = back.undo(run)
    assert (undone.extracted, undone.delivered, undone.filtered) == (4, 3, 1)
    assert (devices[1], "", "conflict") in back.rows(undone)
    assert len(held(one)) == 3


def test_an_undo_that_somebody_overtakes_writes_again(one: Appliances, shop: Shop, walk: Walk, back: Back) -> None:
    moved_on(one, shop, a_fleet(one, shop, walk, back, ATTRIBUTES))
    before = held(one)
    run = walk.leg(ATTRIBUTES, "complete")
    one.far.fault(action="version_conflict", times=2)
    one.far.fault(action="status", status=429, retry_after_s=0, times=1)
    assert (back.undo(run).delivered, held(one)) == (4, before)


@pytest.mark.parametrize("leg", [ATTRIBUTES, TAGS])
def test_an_undo_of_devices_can_be_undone_and_twice_changes_nothing(
    one: Appliances, shop: Shop, walk: Walk, back: Back, leg: str
) -> None:
    moved_on(one, shop, a_fleet(one, shop, walk, back, leg))
    before = held(one)
    run = walk.leg(leg, "complete")
    after, markers = held(one), walk.markers(leg)
    first = back.undo(run)
    assert held(one) == before
    versions = one.versions()
    one.far.reset_calls()
    again = back.undo(run)
    assert (again.status, again.sent, again.unchanged, again.filtered) == ("green", 0, 4, 0)
    assert (one.writes(), one.versions()) == (0, versions)
    second = back.undo(first)
    assert (held(one), walk.markers(leg), back.held(leg)) == (after, markers, set())
    assert (second.kind, second.balanced, walk.leg(leg, "complete").sent) == ("undo", True, 0)
    back.undo(second)
    assert held(one) == before
    assert walk.leg(leg, "complete").sent == 0


def test_tags_go_back_and_those_of_others_stay(fleet: Appliances, shop: Shop, walk: Walk, back: Back) -> None:
    devices = a_fleet(fleet, shop, walk, back, TAGS)
    fourth = moved_on(fleet, shop, devices)
    before = held(fleet)
    run = walk.leg(TAGS, "complete")
    assert (run.new, run.modified, run.deleted) == (1, 2, 1)
    assert [tag for tag in fleet.tags(devices[1]) if tag.startswith(("customer:", "b2bunit:"))] == []
    assert fleet.tags(devices[2]) == {"serial:SN-3"}, "no product any more: all tags of ours went"
    assert {"sku:x9", "managed:sapcc"} < fleet.tags(fourth)
    fleet.far.patch("device", devices[0], tags=sorted(fleet.tags(devices[0]) | {"site:north"}))
    undone = back.undo(run)
    assert fleet.tags(devices[0]) == before[devices[0]][1] | {"site:north"}
    assert {key: tags for key, (_, tags) in held(fleet).items() if key != devices[0]} == {
        key: tags for key, (_, tags) in before.items() if key != devices[0]
    }
    assert fleet.tags(fourth) == {"serial:SN-4"}
    assert (undone.status, undone.balanced, undone.delivered, undone.filtered) == ("green", True, 4, 0)
    assert walk.leg(TAGS, "complete").sent == 0
    assert "C0002" not in str(undo.found_by(walk.site, undone)), "who has a device is personal"


def test_tags_of_ours_that_somebody_changed_since_are_left(one: Appliances, shop: Shop, walk: Walk, back: Back) -> None:
    devices = a_fleet(one, shop, walk, back, TAGS)
    fourth = moved_on(one, shop, devices)
    run = walk.leg(TAGS, "complete")
    theirs = {key: sorted(one.tags(key) | {"customer:C0001"}) for key in (devices[1], devices[2])}
    for key, tags in theirs.items():
        one.far.patch("device", key, tags=tags)
    undone = back.undo(run)
    assert [row for row in back.rows(undone) if row[2] != "restore"] == sorted(
        (key, "tags", "conflict") for key in theirs
    )
    assert {key: sorted(one.tags(key)) for key in theirs} == theirs
    assert (one.tags(fourth), undone.delivered, undone.filtered) == ({"serial:SN-4"}, 2, 2)


def on_shelf(depot: Depot, shelf: str) -> tuple[str, str | None]:
    """What a shelf should hold, and when it is refilled."""
    found = depot.fleet.attributes(shelf)
    return str(found.get("expectedQty")), found.get("reorderPoint")


def test_what_shelves_should_hold_goes_back(fleet: Appliances, walk: Walk, back: Back) -> None:
    back.keep(SHELVES)
    depot, ledger = Depot(fleet), walk.site.ledger
    depot.product("p1", "p2", "p3")
    shelves = [depot.shelf(n, f"p{n}") for n in (1, 2)]
    noted(ledger, *(counted(shelf, f"p{n}", 40, seq=1) for n, shelf in enumerate(shelves, 1)))
    flowed(walk)
    flowed(walk)
    assert [on_shelf(depot, shelf) for shelf in shelves] == [("40", "10")] * 2
    late = depot.shelf(3, "p3")
    noted(ledger, counted(late, "p3", 7, seq=1), counted(shelves[0], "p1", 33, seq=2, hours_ago=0))
    flowed(walk, leg="counts_to_stock_levels")
    depot.product("p2", offlineDate="2026-01-01T00:00:00+00:00")  # left the assortment
    run = flowed(walk, leg=SHELVES, mode="complete")[SHELVES]
    assert (run.new, run.modified, run.deleted) == (1, 1, 1)
    assert [on_shelf(depot, shelf) for shelf in (*shelves, late)] == [("33", "10"), ("None", None), ("7", "10")]
    undone = back.undo(run)
    assert [on_shelf(depot, shelf) for shelf in (*shelves, late)] == [("40", "10"), ("40", "10"), ("None", None)]
    assert (undone.status, undone.delivered, undone.filtered) == ("green", 3, 0)
    assert flowed(walk, leg=SHELVES, mode="complete")[SHELVES].sent == 0
    noted(ledger, counted(shelves[0], "p1", 30, seq=3, hours_ago=0))
    flowed(walk)
    flowed(walk)
    assert [on_shelf(depot, shelf) for shelf in (*shelves, late)] == [("30", "10"), ("40", "10"), ("None", None)]


def test_single_tags_of_trackers_are_refused_and_cost_nothing(one: Appliances, walk: Walk, back: Back) -> None:
    walk.gated = False
    back.undo_switch(on=True)
    depot = Depot(one)
    depot.product("p1")
    tracker = one.device(1)
    depot.sent("S1")
    noted(walk.site.ledger, tracked(tracker, "S1", "SHIPPED"))
    run: Run = flowed(walk, leg=TRACKERS)[TRACKERS]
    assert one.tags(tracker) == {"serial:SN-1", "order:O-S1"}
    assert before_images.of(walk.site, TRACKERS, run.run) is None
    with pytest.raises(ConfigurationError, match="single tags are there or not"):
        back.undo(run)
    assert one.tags(tracker) == {"serial:SN-1", "order:O-S1"}


MADE = """
leg: products_to_made_devices
from:
  system: sap_commerce
  service: ProductSync
  entity_set: Products
  key: code
  columns: {code: VARCHAR, name: VARCHAR}
key: code
undo: true
to: {system: opentext_iot, object: devices, external_id: serial, on_delete: delete}
fields: {serial: "'SN-' || code", name: name, template: "'Compressor C-200'"}
guards: {max_deletes: 100%}
"""


def named(fleet: Appliances) -> dict[str, str]:
    """Serial number -> name of each device."""
    return {
        tag.removeprefix("serial:"): row["name"][0]["text"]
        for row in fleet.far.records("device")
        for tag in row["tags"]
        if tag.startswith("serial:")
    }


def test_devices_that_a_leg_makes_go_as_records_do(
    fleet: Appliances, shop: Shop, walk: Walk, back: Back, tmp_path: Path
) -> None:
    """None of the flows makes devices; a site's own leg can."""
    file = tmp_path / "products_to_made_devices.yaml"
    file.write_text(MADE)
    mapping = mapping_file.load(file)
    walk._altered[mapping.leg] = mapping

    def run() -> Run:
        request, name = Request(mode="complete"), walk.next_id()
        return walks.leg(walk.site, mapping, name, request=request, sources=walk.source, targets=walk.target)

    for code in ("p1", "p2", "p3"):
        shop.product(code)
        shop.far.patch("Product", code, name={"en": f"First {code}"})
    run()
    before = named(fleet)
    assert before == {f"SN-{code}": f"First {code}" for code in ("p1", "p2", "p3")}
    shop.far.patch("Product", "p1", name={"en": "Second p1"})
    shop.far.delete("Product", "p2")
    for code in ("p4", "p5"):
        shop.product(code)
        shop.far.patch("Product", code, name={"en": f"First {code}"})
    changed = run()
    assert (changed.new, changed.modified, changed.deleted) == (2, 1, 1)
    after = named(fleet)
    assert after == {"SN-p1": "Second p1", "SN-p3": "First p3", "SN-p4": "First p4", "SN-p5": "First p5"}
    touched = next(row["id"] for row in fleet.far.records("device") if "serial:SN-p5" in row["tags"])
    fleet.far.patch("device", touched, name=[{"lang": "en_US", "text": "By hand"}])
    undone = back.undo(changed)
    assert named(fleet) == before | {"SN-p5": "By hand"}
    assert ("SN-p5", "name", "conflict") in [(f"SN-{key}", field, verdict) for key, field, verdict in back.rows(undone)]
    assert (undone.status, undone.delivered, undone.filtered, undone.created) == ("green", 3, 1, 1)
    assert run().sent == 0
    back.undo(undone)
    assert named(fleet) == after | {"SN-p5": "By hand"}


def test_contracts_of_devices_go_back(
    opentext_iot: Any, shop: Shop, walk: Walk, back: Back, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leg reads contractId as well: what the undo puts there is no word of a person."""
    opentext_iot.clear_faults()
    shelf = Guarantees(opentext_iot, shop, walk, monkeypatch)
    back.keep(CONTRACTS)
    devices = [shelf.sold(number, on=day(60)) for number in (1, 2, 3)]
    for number in (1, 2):
        shelf.contract(f"K{number}", number, on=day(20))
    shelf(RECORDS, CONTRACTS)
    before = [shelf.on_device(device) for device in devices]
    assert [found[1] for found in before] == ["K1-0", "K2-0", None]
    shop.returned("R1", "K1", entry=0, pieces=1)
    shelf.contract("K3", 3, on=day(1))
    run = shelf(RECORDS, CONTRACTS)[CONTRACTS]
    assert [shelf.on_device(device)[1] for device in devices] == [None, "K2-0", "K3-0"]
    undone = back.undo(run)
    assert [shelf.on_device(device) for device in devices] == before
    assert (undone.status, undone.filtered) == ("green", 0)
    for _ in range(2):
        shelf(RECORDS, CONTRACTS)
        assert [shelf.on_device(device) for device in devices] == before, "it waits"
    back.undo(undone)
    assert [shelf.on_device(device)[1] for device in devices] == [None, "K2-0", "K3-0"]
