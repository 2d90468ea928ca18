"""The fleet is the same for the same seed, believable, and awkward in the documented ways."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import groupby, pairwise

import pytest

from simulators.opentext_iot.fleet import BEHAVIOURS, EVENT_TYPES, events, fleet
from simulators.opentext_iot.fleet.shop import demo_shop
from simulators.opentext_iot.fleet.telemetry import LEVEL_MS

DAY_MS = 86_400_000
START = 1_795_000_000_000 // DAY_MS * DAY_MS
UNTIL = START + 20 * DAY_MS


@pytest.fixture(scope="module")
def members():
    return fleet(1, 400)


@pytest.fixture(scope="module")
def told(members):
    return list(events(1, members, START, UNTIL))


def values(told, kind):
    """(event, payload) of one type, in the order things happened, each message once."""
    found = {one.message_id + one.device_id: one for one in told if one.event_type == kind}
    return sorted(((one, json.loads(one.payload)) for one in found.values()), key=lambda pair: pair[0].occurred_ms)


def by_device(pairs):
    found = defaultdict(list)
    for event, payload in pairs:
        found[event.device_id].append((event, payload))
    return found


def plain(members, *behaviours):
    """Ids of devices that behave so and number their messages."""
    return {one.id for one in members if one.behaviour in behaviours and not one.constant_id}


def test_the_same_seed_tells_the_same_story_however_it_is_cut():
    whole = list(events(3, 60, START, START + 3 * DAY_MS))
    cut = START + DAY_MS + 12_345
    parts = [*events(3, 60, START, cut), *events(3, 60, cut, START + 3 * DAY_MS)]
    assert parts == whole
    assert list(events(4, 60, START, START + 3 * DAY_MS)) != whole


def test_events_come_in_the_order_the_platform_takes_them(told):
    assert [one.created_ms for one in told] == sorted(one.created_ms for one in told)
    assert all(START <= one.created_ms < UNTIL for one in told)


def test_all_types_and_behaviours_occur(told, members):
    kinds = {one.event_type for one in events(1, members, 1_740_000_000_000, 1_740_000_000_000 + 30 * DAY_MS)}
    assert {one.event_type for one in told} | kinds == set(EVENT_TYPES)
    assert {one.behaviour for one in members} == set(BEHAVIOURS)


def test_messages_are_late_repeated_and_out_of_order(told):
    late = [one for one in told if one.created_ms - one.occurred_ms > 60_000]
    assert 0.005 < len(late) / len(told) < 0.04
    repeats = [one for one in told if one.copy]
    assert 0.005 < len(repeats) / len(told) < 0.02
    slow = [one for one in told if one.visible_ms - one.created_ms > 20_000]
    assert 0.001 < len(slow) / len(told) < 0.02
    per_device = defaultdict(list)
    for one in told:
        per_device[one.device_id, one.event_type].append(one.occurred_ms)
    assert any(times != sorted(times) for times in per_device.values())


def test_run_time_only_grows_except_after_a_counter_reset(told, members):
    readings = by_device(values(told, "usage.summary"))
    steady = plain(members, "normal", "degrading", "faulty", "flapping", "silent", "clock_skewed")
    for device, rows in readings.items():
        totals = [payload["runtimeHoursTotal"] for _, payload in rows]
        if device in steady:
            assert totals == sorted(totals)
        assert all(0 <= payload["runtimeHoursDelta"] <= 24 for _, payload in rows)
        assert all(0 <= payload["loadPctAvg"] <= 100 for _, payload in rows)
    long = list(events(1, [one for one in members if one.behaviour == "counter_reset"], START, START + 60 * DAY_MS))
    resets = by_device(values(long, "usage.summary"))
    assert any(
        a[1]["runtimeHoursTotal"] > b[1]["runtimeHoursTotal"] for rows in resets.values() for a, b in pairwise(rows)
    )


def test_consumables_fall_and_are_refilled(told, members):
    readings = by_device(values(told, "consumable.level"))
    refills = 0
    for device in plain(members, "normal") & set(readings):
        rows = readings[device]
        levels = [payload["levelPct"] for _, payload in rows]
        assert all(0 <= one <= 100 for one in levels)
        for (before, first), (after, second) in pairwise(rows):
            rise = second["levelPct"] - first["levelPct"]
            if rise > 50:
                refills += 1
                assert first["levelPct"] < 40
            elif after.occurred_ms - before.occurred_ms <= LEVEL_MS:
                assert rise < 1.5
    assert refills > 20


def test_faults_are_raised_before_they_clear_and_chatter(told):
    episodes = defaultdict(list)
    for _, payload in values(told, "device.fault"):
        episodes[payload["faultInstanceId"]].append(payload["faultState"])
    assert len(episodes) > 50
    whole = [states for states in episodes.values() if states[0] == "raised"]
    assert len(whole) > 0.8 * len(episodes)  # the others began before the window, or sent their first under MSG12345
    assert any(states.count("raised") > 1 for states in whole)
    assert any(states[-1] == "cleared" for states in whole)


def test_counts_and_movements_of_a_shelf_agree(members, told):
    movements = by_device(values(told, "inventory.movement"))
    counts = by_device(values(told, "inventory.count"))
    checked = 0
    for device in plain(members, "normal") & set(counts):
        rows = counts[device]
        sequences = [payload["sequence"] for _, payload in rows]
        assert sequences == sorted(set(sequences))
        for (first, before), (second, after) in pairwise(rows):
            if (
                after["sequence"] != before["sequence"] + 1
                or second.occurred_ms > UNTIL - DAY_MS
                or first.occurred_ms < START + DAY_MS
            ):
                continue
            between = [
                payload["deltaQty"]
                for event, payload in movements[device]
                if first.occurred_ms < event.occurred_ms <= second.occurred_ms
            ]
            assert before["onHandQty"] + sum(between) == after["onHandQty"]
            checked += 1
    assert checked > 500


def test_no_two_shelves_count_the_same_stock_level():
    shelves = [(one.warehouse, one.product) for one in fleet(1, 10_000) if one.family == "shelf_scale"]
    assert len(shelves) == len(set(shelves)) == 1000


def test_a_parcel_goes_its_way_in_order(told):
    order = ["PICKED", "SHIPPED", "IN_TRANSIT", "OUT_FOR_DELIVERY", "DELIVERED"]
    for rows in by_device(values(told, "logistics.status")).values():
        for _, trip in groupby(rows, key=lambda pair: pair[1]["consignmentCode"]):
            places = [order.index(payload["status"]) for _, payload in trip]
            assert places == sorted(places)


def test_excursions_lie_above_the_limit_until_they_close(told):
    for _, payload in values(told, "environment.excursion"):
        assert (payload["value"] > payload["limit"]) is (payload["state"] == "open")


def test_some_devices_fall_silent_and_some_clocks_are_wrong(told, members):
    def days(device):
        return {one.occurred_ms // DAY_MS for one in told if one.device_id == device}

    assert all(len(days(one.id)) < 18 for one in members if one.behaviour == "silent")
    skewed = next(one for one in members if one.behaviour == "clock_skewed")
    event = next(one for one in told if one.device_id == skewed.id)
    from datetime import datetime

    said = datetime.fromisoformat(json.loads(event.payload)["occurredAt"]).timestamp() * 1000
    assert abs(said - event.occurred_ms - skewed.skew_ms) < 1000


def test_the_fleet_speaks_of_the_shops_own_codes(members):
    shop = demo_shop()
    products = set(shop.stocked())
    customers = dict(shop.customers)
    assert all(one.product in products for one in members)
    assert all(one.customer in customers and one.unit == customers[one.customer] for one in members if one.customer)
    assert all(one.warehouse in shop.warehouses for one in members if one.warehouse)


def test_the_demo_seed_holds_customers_products_and_orders_the_shop_has(opentext_iot):
    from simulators.seed.people import companies, person

    opentext_iot.reset(seed="demo")
    devices = opentext_iot.records("device")
    tags = {tag for one in devices for tag in one["tags"]}
    codes = {tag.split(":", 1)[1] for tag in tags if tag.startswith("customer:")}
    households = [int(code[1:]) for code in codes]
    assert len(devices) == 300
    assert codes == {person(number).customer_id for number in households}
    units = {tag.split(":", 1)[1] for tag in tags if tag.startswith("b2bunit:")}
    assert units <= {one.uid for one in companies([int(code[1:]) for code, _ in demo_shop().customers])}


def test_advancing_the_clock_makes_events_appear_and_setting_it_back_hides_them(opentext_iot, classic):
    opentext_iot.put("Fleet", [{"seed": 2, "devices": 50, "history_days": 1}])
    before = classic.search_count(0, 2**42)
    now = opentext_iot.clock()["now"]
    opentext_iot.clock(advance_s=3 * 86_400)
    classic.sign_in()
    after = classic.search_count(0, 2**42)
    assert after > 2.5 * before > 0
    opentext_iot.clock(now=now)
    assert abs(classic.search_count(0, 2**42) - before) < 20


def test_a_running_fleet_stores_what_the_library_tells(opentext_iot, classic):
    opentext_iot.put("Fleet", [{"seed": 2, "devices": 30, "history_days": 2}])
    now = classic.now_ms()
    told = [one for one in events(2, 30, now - DAY_MS, now - 3_600_000) if one.visible_ms <= now]
    found = classic.search(now - DAY_MS, now - 3_600_000)
    assert sorted((one["deviceId"], one["messageId"], one["creation"]) for one in found) == sorted(
        (one.device_id, one.message_id, one.created_ms) for one in told
    )


def test_state_survives_a_restart(start_simulators, tmp_path):
    import requests

    def device_ids(ready):
        answer = requests.get(f"{ready['opentext_iot']['url']}/_sim/records/device", timeout=20)
        return {one["id"]: one["version"] for one in answer.json()["records"]}

    options = ("--only", "opentext_iot", "--state", str(tmp_path))
    with start_simulators(*options) as ready:
        url = ready["opentext_iot"]["url"]
        requests.post(f"{url}/_sim/records/Fleet", json=[{"devices": 5}], timeout=20).raise_for_status()
        before = device_ids(ready)
    with start_simulators(*options) as ready:
        assert device_ids(ready) == before
        assert len(before) == 5
