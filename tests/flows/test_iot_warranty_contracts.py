"""I5: contracts that are ordered reach their devices, returns end them, and who has one that ends is asked."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from flows.guarantees import CONTRACTS, OFFERS, RECORDS, Guarantees, day, months_on
from flows.walking import Shop, Walk, line

LONG_AGO = date(2023, 1, 10)


@pytest.fixture
def shelf(opentext_iot: Any, shop: Shop, walk: Walk, monkeypatch: pytest.MonkeyPatch) -> Guarantees:
    opentext_iot.clear_faults()
    return Guarantees(opentext_iot, shop, walk, monkeypatch)


def test_every_contract_finds_its_device_or_a_person(shelf: Guarantees, shop: Shop) -> None:
    sole = shelf.sold(1, on=day(60))
    shop.order("O20", customer=2, day=f"{day(50)}", lines=[line(0, "c200", 2, 900), line(1, "care-plus", 2, 200)])
    pair = [shelf.sold(number, on=day(50), order="O20", customerRef="C0002") for number in (2, 3)]
    shelf.sold(4, on=day(40))
    two = [shelf.fleet.device_id(4), shelf.sold(5, on=day(39), order="O4", customerRef="C0004")]
    shop.order("O4", customer=4, day=f"{day(40)}", lines=[line(0, "c200", 2, 900)])
    shop.units("acme")
    shop.buyers(50, 51, unit="acme")
    for code, buyer, sku in (("O60", 50, "c200"), ("O61", 51, "care-full")):
        shop.far.put("Order", [{"code": code, "date": f"{day(30)}T12:00:00+00:00", "currency": "USD", "status": "COMPLETED", "unit": "acme",
                                "user": f"b{buyer}@people.example", "entries": [line(0, sku, 1, 5)], "modifiedtime": shop.tick()}])  # fmt: skip
    unit = shelf.sold(6, on=day(30), order="O60", customerRef="B0050")
    asleep = shelf.sold(8, on=day(3), is_event=False)  # not activated yet
    shelf.contract("K8", 8, on=day(3))
    shop.customers(9, 10)
    shelf.contract("K9", 9, on=day(13))  # its device is still to come
    shelf.contract("K30", 10, on=day(14))  # this one should be here
    shelf.contract("K1", 1, on=day(5))
    shelf.contract("K4", 4, on=day(4), quantity=2)
    run = shelf(CONTRACTS)[CONTRACTS]
    assert [shelf.on_device(device)[1:3] for device in (sole, *pair, unit, asleep)] == [
        ("K1-0", "basic"), ("O20-1.1", "plus"), ("O20-1.2", "plus"), ("O61-0", "full"), ("K8-0", "basic")]  # fmt: skip
    assert [shelf.on_device(device)[1:] for device in two] == [(None, None, None)] * 2
    assert (run.status, set(shelf.walk.rejects(CONTRACTS))) == (
        "green",
        {"contract|K30-0", "contract|K4-0.1", "contract|K4-0.2"},
    )
    shelf.fleet.relabel(two[1], contractId="K4-0.1")  # a person says so
    run = shelf(CONTRACTS)[CONTRACTS]
    assert shelf.on_device(two[1])[1:] == ("K4-0.1", "basic", f"{months_on(day(4), 12)}")
    assert set(shelf.walk.rejects(CONTRACTS)) == {"contract|K30-0", "contract|K4-0.2"}
    assert shelf(CONTRACTS)[CONTRACTS].delivered == 0


def test_a_further_contract_follows_the_one_before(shelf: Guarantees) -> None:
    device = shelf.sold(1, on=LONG_AGO)
    shelf.contract("K1", 1, on=day(300))
    shelf.contract("K2", 1, on=day(10), sku="care-plus")
    shelf(RECORDS, CONTRACTS)
    first = months_on(day(300), 12)
    assert shelf.on_device(device)[1:] == ("K1-0", "basic", f"{first}")
    assert (shelf.records()["SN-1"]["status"], shelf.records()["SN-1"]["contractVersion"]) == ("in_contract", 1)
    shelf(RECORDS, CONTRACTS, days=(first - day(0)).days + 1)
    assert shelf.on_device(device)[1:] == ("K2-0", "plus", f"{months_on(first, 24)}")
    assert shelf.records()["SN-1"]["contractVersion"] == 2


def test_a_return_or_cancellation_ends_the_contract(shelf: Guarantees, shop: Shop) -> None:
    devices = {number: shelf.sold(number, on=day(60)) for number in (1, 2, 3, 4)}
    for number in devices:
        shelf.contract(f"K{number}", number, on=day(20))
    shelf(RECORDS, CONTRACTS)
    assert [shelf.on_device(device)[1] for device in devices.values()] == ["K1-0", "K2-0", "K3-0", "K4-0"]
    shop.returned("R1", "K1", entry=0, pieces=1, status="APPROVAL_PENDING")
    shop.returned("R2", "K2", entry=0, pieces=1)
    shop.touch("K3", status="CANCELLED")
    shop.returned("R4", "O4", entry=0, pieces=1)  # the device itself
    shelf(RECORDS, CONTRACTS)
    ends = f"{months_on(day(59), 36)}"
    assert [shelf.on_device(device)[:2] for device in devices.values()] == [
        (ends, "K1-0"),
        (ends, None),
        (ends, None),
        (None, None),
    ]
    assert shelf.states() == {1: "in_warranty", 2: "in_warranty", 3: "in_warranty", 4: "returned"}
    shop.returned("R1", "K1", entry=0, pieces=1, status="RECEIVED")
    shelf(RECORDS, CONTRACTS)
    assert shelf.on_device(devices[1])[1:] == (None, None, None)
    assert shelf.records()["SN-1"]["contractId"] is None


def test_one_of_several_devices_that_came_back_is_for_a_person(shelf: Guarantees, shop: Shop) -> None:
    shop.order("O1", customer=1, day=f"{day(50)}", lines=[line(0, "c200", 2, 900)])
    for number in (1, 2):
        shelf.sold(number, on=day(50), order="O1", customerRef="C0001")
    shelf(RECORDS)
    shop.returned("R1", "O1", entry=0, pieces=1)
    run = shelf(RECORDS)[RECORDS]
    assert (run.quarantined, shelf.states()) == (2, {1: "in_warranty", 2: "in_warranty"})
    shop.returned("R2", "O1", entry=0, pieces=1)
    shelf(RECORDS)
    assert shelf.states() == {1: "returned", 2: "returned"}


def test_who_is_asked_to_renew(shelf: Guarantees, shop: Shop) -> None:
    """Cover that ends soon or ended lately, or is nearly used up; with consent; until it is renewed."""
    today = day(0)
    soon, late = months_on(today, -11), months_on(today, -13)
    for number in range(1, 8):
        shelf.sold(number, on=LONG_AGO if number < 5 else day(95), product="x9" if number > 4 else "c200")
        if number != 2:
            shelf.consent(number)
    for number, on in ((1, soon), (2, soon), (3, late), (4, months_on(today, -20))):
        shelf.contract(f"K{number}", number, on=on)
    shelf.ran(shelf.fleet.device_id(5), (60, 500), (30, 1200), (10, 1700), (1, 1850))
    shelf.ran(shelf.fleet.device_id(6), (60, 500), (1, 1700))
    shelf(OFFERS)
    assert shelf.groups() == {"iot-renewal-contract": {1, 3}, "iot-renewal-warranty": {5}}
    assert {run.sent for run in shelf(OFFERS).values()} == {0}
    shelf.contract("K5", 5, on=today)
    shelf.contract("K1b", 1, on=today)
    shelf.consent(3, withdrawn=True)
    shelf(OFFERS)
    assert shelf.groups() == {}


def test_odd_texts_are_carried_or_refused_and_the_others_arrive(shelf: Guarantees, shop: Shop) -> None:
    odd = ("\u0645\u0631\u062d\u0628\u0627-\U0001f600", "x" * 300, "O'Neil|1")
    devices = []
    for number, serial in enumerate(odd, start=1):
        devices.append(shelf.sold(number, on=day(50), is_event=False))
        shelf.fleet.far.patch("device", devices[-1], tags=[f"serial:{serial}"])
        shelf.activated(devices[-1], number, on=day(49), serial=serial)
    shelf.sold(4, on=day(50))
    shop.order("O5", customer=4, day=f"{day(50)}", lines=[])
    shelf.contract("K4", 4, on=day(2), quantity=0)
    runs = shelf(RECORDS, CONTRACTS)
    assert set(shelf.records()) == {odd[0].upper(), odd[2].upper(), "SN-4"}
    assert (runs[RECORDS].quarantined, runs[CONTRACTS].delivered) == (1, 4)
    assert "serial_number_is_known" in str(shelf.walk.rejects(RECORDS)[devices[1]].reason)
