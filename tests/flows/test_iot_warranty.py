"""I5: warranties and contracts of devices, on records of the shop and on the devices; no denial without a person."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.errors import GateError
from commerce_sync.systems.opentext_iot.hook import OpenTextIotHook
from commerce_sync.systems.opentext_iot.polling import Pace
from flows.appliances import PROFILES, ago, fault, noted, summary
from flows.guarantees import CONTRACTS, DENIALS, FLOW, OFFERS, RECORDS, Guarantees, day, months_on
from flows.walking import Shop, Walk, line

LONG_AGO = date(2023, 1, 10)
"""Bought then, 24 months of warranty are over for good."""


@pytest.fixture
def shelf(opentext_iot: Any, shop: Shop, walk: Walk, monkeypatch: pytest.MonkeyPatch) -> Guarantees:
    opentext_iot.clear_faults()
    return Guarantees(opentext_iot, shop, walk, monkeypatch)


@pytest.mark.parametrize("profile", PROFILES)
def test_cover_is_told_to_both_sides_by_either_gateway_and_a_second_walk_writes_nothing(
    profile: str, opentext_iot: Any, shop: Shop, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    opentext_iot.clear_faults()
    shelf = Guarantees(opentext_iot, shop, walk, monkeypatch, profile=profile)
    device = shelf.sold(1, on=day(100), is_event=False)
    body = {"serialNumber": "SN-1", "productCode": "c200", "activationDate": f"{day(99)}"}
    shelf.fleet.reading(device, "device.activated", hours_ago=40, **body)
    for days in (1, 2):
        data = summary(device, days, runtimeHoursTotal=260 - 10 * days)["data"]
        shelf.fleet.reading(device, "usage.summary", hours_ago=24 * (days - 1) + 20, **data)
    shelf.fleet.fault(device, minutes_ago=100, faultState="raised")
    pace = Pace(lag=timedelta(0), first=timedelta(days=5), step=timedelta(days=5))
    OpenTextIotHook().poll(walk.site.ledger, pace=pace, now=shelf.fleet.now)
    shelf.contract("O7", 1, on=day(3), sku="care-plus")
    runs = shelf()
    end, contract_end = months_on(day(99), 36), months_on(day(3), 24)
    assert shelf.on_device(device) == (f"{end}", "O7-0", "plus", f"{contract_end}")
    row = shelf.records()["SN-1"]
    assert (row["status"], row["limitedBy"], row["policyVersion"]) == ("in_warranty", "date", "2026-1")
    assert (row["warrantyEnd"][:10], row["contractId"], row["contractEnd"][:10]) == (
        f"{end}",
        "O7-0",
        f"{contract_end}",
    )
    assert (row["orderCode"], row["productCode"], row["customerID"]) == ("O1", "c200", "C0001")
    assert (row["faultCount"], row["runtimeHours"], row["contractVersion"], row["denied"]) == (1, 200, 1, False)
    assert row["decisionId"] == f"SN-1|2026-1|{day(99)}"
    assert {run.status for run in runs.values()} == {"green"}
    before = shelf.stamps()
    shelf.fleet.far.reset_calls()
    assert {run.sent for run in [*shelf().values(), *shelf(mode="complete").values()]} == {0}
    assert (shelf.stamps(), shelf.fleet.writes()) == (before, 0)


def test_warranty_ends_by_date_or_by_use_and_a_changed_counter_counts_on(shelf: Guarantees) -> None:
    bought = day(95)
    used, swapped, jumped, fresh, unsaid = (shelf.sold(n, on=bought, product="x9") for n in range(1, 6))
    shelf.ran(used, (60, 700), (40, 1150), (10, 1865), (5, 1980), (4, 2003), (1, 2070))  # of 2000 hours, 94 days
    shelf.ran(swapped, (60, 800), (50, 20), (20, 700), (2, 1100))  # a new board fifty days ago: 800 + 1100
    shelf.ran(jumped, (60, 100), (50, 9000), (49, 110), (2, 200))  # nothing runs 8900 hours in ten days
    shelf.ran(fresh, (100, 5000), (80, 5), (1, 90))  # hours before it was sold, and a reset at the factory
    noted(shelf.ledger, summary(unsaid, 1, runtimeHoursTotal=-5), summary(unsaid, 2, runtimeHoursTotal="many"),
          summary(unsaid, -9, runtimeHoursTotal=2000))  # fmt: skip
    shelf(RECORDS)
    rows = shelf.records()
    assert {n: (rows[f"SN-{n}"]["status"], rows[f"SN-{n}"]["limitedBy"]) for n in range(1, 6)} == {
        1: ("review", "usage"), 2: ("in_warranty", "date"), 3: ("in_warranty", "date"), 4: ("in_warranty", "date"),
        5: ("in_warranty", "date")}  # fmt: skip
    assert rows["SN-1"]["warrantyEnd"][:10] == f"{day(4)}"
    assert {n: rows[f"SN-{n}"]["runtimeHours"] for n in range(1, 6)} == {1: 2000, 2: 1900, 3: 400, 4: 0, 5: 0}
    shelf.ran(swapped, (1, 1250))
    shelf(RECORDS)
    assert shelf.records()["SN-2"]["limitedBy"] == "date", "24 hours a day at most: 1900 + 24"


def test_hours_are_remembered_longer_than_they_are_read(shelf: Guarantees, walk: Walk) -> None:
    device = shelf.sold(1, on=day(95))
    shelf.ran(device, (80, 200), (65, 500), (30, 50), (10, 400))
    shelf(RECORDS)
    assert shelf.records()["SN-1"]["runtimeHours"] == 900
    walk.alter(RECORDS, sources=tuple(
        item if item.name != "events" else replaced(item) for item in walk.mapping(RECORDS).sources))  # fmt: skip
    shelf(RECORDS, mode="complete")
    assert shelf.records()["SN-1"]["runtimeHours"] == 900, "the readings of 65 days ago are no longer there"


def replaced(source: Any) -> Any:
    """The source without what is older than 62 days."""
    from dataclasses import replace

    return replace(source, filter=f"type = 'device.activated' OR time > TIMESTAMP '{ago(days=62):%Y-%m-%d %H:%M:%S}'")


def test_a_denial_needs_a_person_and_a_new_cover_does_not(shelf: Guarantees) -> None:
    shelf.sold(1, on=LONG_AGO)
    shelf.sold(2, on=LONG_AGO)
    shelf.sold(3, on=day(20))
    run = shelf()[DENIALS]
    assert (shelf.states(), run.delivered) == ({1: "review", 2: "review", 3: "in_warranty"}, 0)
    assert [row["denied"] for row in shelf.records().values()] == [False] * 3
    holds = {item.key: item for item in shelf.ledger.holds(DENIALS)}
    assert set(holds) == {shelf.fleet.device_id(1), shelf.fleet.device_id(2)}
    shelf.ledger.answer_holds(DENIALS, keys=[shelf.fleet.device_id(1)], status="approved", by="ann")
    shelf.ledger.answer_holds(DENIALS, keys=[shelf.fleet.device_id(2)], status="refused", by="ann")
    shelf(RECORDS, DENIALS)
    rows = shelf.records()
    assert {serial: row["denied"] for serial, row in rows.items()} == {"SN-1": True, "SN-2": False, "SN-3": False}
    assert rows["SN-1"]["deniedDecision"] == rows["SN-1"]["decisionId"] == "SN-1|2024-1|2025-01-12"
    noted(shelf.ledger, fault(shelf.fleet.device_id(1), "E17", ago(hours=2)))
    shelf(RECORDS, DENIALS)
    assert (shelf.records()["SN-1"]["faultCount"], shelf.records()["SN-1"]["denied"]) == (1, True)
    shelf.contract("O8", 1, on=day(1))
    shelf(RECORDS, DENIALS)
    row = shelf.records()["SN-1"]
    assert (row["status"], row["denied"], row["deniedDecision"]) == ("in_contract", False, None)


def test_what_cannot_be_decided_is_set_aside_with_its_reason(shelf: Guarantees, shop: Shop) -> None:
    bought = day(100)
    shelf.sold(1, on=bought)
    shelf.sold(2, on=bought, activated="1970-01-01")
    shelf.sold(3, on=bought, activated=day(-400))
    shelf.sold(4, on=bought, activated=bought - timedelta(days=15))
    shelf.sold(5, on=bought, activated=bought - timedelta(days=14))
    shelf.sold(6, on=bought, productCode="c300")
    shop.order("O7", customer=7, day=f"{bought}", lines=[line(0, "other", 1, 5)])
    shelf.sold(7, on=bought, order="O7")
    shelf.activated(shelf.sold(8, on=bought, is_event=False), 8, on=day(99), serial="SN-999")
    shelf.sold(9, on=bought, customerRef="C0001")
    shelf.sold(10, on=date(1999, 5, 1))
    shelf.sold(11, on=bought, order="NEVER")
    shelf.sold(12, on=bought, purchaseOrderCode=None)
    shelf.sold(13, on=bought)
    shop.touch("O13", status="CANCELLED")
    shelf.sold(14, on=bought, is_event=False)
    shelf.sold(15, on=bought, activated="not a day")
    shelf.sold(16, on=bought)
    shelf.sold(17, on=bought)
    shelf.fleet.far.patch("device", shelf.fleet.device_id(17), tags=["serial:sn-16 "])
    run = shelf(RECORDS)[RECORDS]
    good = {1: "in_warranty", 5: "in_warranty", 11: "unregistered", 12: "unregistered", 13: "unregistered"}
    assert shelf.states() == good
    assert shelf.records()["SN-11"]["warrantyEnd"] is None
    reasons = {key: str(item.reason).partition(":")[0] for key, item in shelf.walk.rejects(RECORDS).items()}
    found = {number: reasons.get(shelf.fleet.device_id(number), "") for number in range(1, 18)}
    assert {name: sorted(n for n in found if name in found[n]) for name in (
        "activation_is_on_a_plausible_day", "device_is_the_one_that_was_bought", "a_policy_is_there_for_it",
        "one_device_and_one_owner_per_serial_number")} == {
            "activation_is_on_a_plausible_day": [2, 3, 4, 15], "device_is_the_one_that_was_bought": [6, 7, 8],
            "a_policy_is_there_for_it": [10], "one_device_and_one_owner_per_serial_number": [9, 16, 17]}  # fmt: skip
    assert (run.status, run.quarantined) == ("green", 11)
    assert {run.sent for run in shelf(DENIALS, OFFERS).values()} == {0}, "nothing follows from any of them"
    shelf.activated(shelf.fleet.device_id(2), 2, on=day(98), n=1)  # activated again, with the right clock
    shelf.activated(shelf.fleet.device_id(8), 8, on=day(98), n=1)
    shelf.fleet.far.patch("device", shelf.fleet.device_id(17), tags=["serial:SN-17"])
    shelf(RECORDS)
    assert {n: state for n, state in shelf.states().items() if n in (2, 8, 16, 17)} == dict.fromkeys(
        (2, 8, 16, 17), "in_warranty"
    )


def test_what_stood_before_stays_while_something_is_held(shelf: Guarantees) -> None:
    device, denied = shelf.sold(1, on=day(100)), shelf.sold(2, on=LONG_AGO)
    shelf.contract("O7", 1, on=day(3))
    shelf(RECORDS, DENIALS, CONTRACTS)
    shelf.ledger.answer_holds(DENIALS, keys=None, status="approved", by="ann")
    shelf(DENIALS)
    before, held = shelf.records(), shelf.on_device(device)
    assert (before["SN-2"]["denied"], held[1]) == (True, "O7-0")
    for one in (device, denied):
        shelf.fleet.relabel(one, customerRef="C0077")
    runs = shelf()
    assert (runs[RECORDS].quarantined, {runs[leg].sent for leg in (DENIALS, CONTRACTS)}) == (2, {0})
    assert (shelf.records(), shelf.on_device(device)) == (before, held)


def test_policies_that_contradict_themselves_stop_the_flow(shelf: Guarantees, walk: Walk) -> None:
    shelf.sold(1, on=day(100))
    text = walk.mapping(RECORDS).aggregate or ""
    for wrong in (text.replace("DATE '2025-12-31', 24", "DATE '2026-12-31', 24"), text.replace("36, 12000, 14", "0, 12000, 14"),
                  text.replace("24, 2000, 14, 'service management'", "24, 2000, 14, NULL")):  # fmt: skip
        assert wrong != text
        walk.alter(RECORDS, aggregate=wrong)
        walk(FLOW, leg=RECORDS)
        assert isinstance(walk.error, GateError)
        assert shelf.records() == {}
    walk.alter(RECORDS, aggregate=text)
    shelf(RECORDS)
    assert shelf.states() == {1: "in_warranty"}


def test_time_alone_ends_cover_and_a_new_version_holds_for_new_purchases(shelf: Guarantees, walk: Walk) -> None:
    shelf.sold(1, on=day(30))
    shelf.sold(2, on=LONG_AGO)
    shelf(RECORDS)
    assert shelf.states() == {1: "in_warranty", 2: "review"}
    last = (months_on(day(29), 36) - datetime.now(UTC).date()).days
    shelf(RECORDS, days=last)
    assert shelf.states()[1] == "in_warranty", "the last day counts"
    shelf(RECORDS, days=last + 1)
    assert shelf.states()[1] == "review"
    text = walk.mapping(RECORDS).aggregate or ""
    walk.alter(RECORDS, aggregate=text.replace("('2026-1', '*', DATE '2026-01-01', DATE '9999-12-31'",
               f"('2030-1', '*', DATE '{day(20)}', DATE '9999-12-31', 60, 9000, 5, 'x'), ('2026-1', '*', DATE '2026-01-01', DATE '{day(21)}'"))  # fmt: skip
    shelf.sold(3, on=day(10))
    shelf(RECORDS)
    rows = shelf.records()
    assert [rows[f"SN-{n}"]["policyVersion"] for n in (1, 2, 3)] == ["2026-1", "2024-1", "2030-1"]
    assert rows["SN-3"]["warrantyEnd"][:10] == f"{months_on(day(9), 60)}"
