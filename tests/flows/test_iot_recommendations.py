"""I4: how devices are used puts their owners into bands, each a customer group, and takes them out again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.errors import GuardError
from commerce_sync.ledger import Run
from commerce_sync.systems.opentext_iot.hook import OpenTextIotHook
from commerce_sync.systems.opentext_iot.polling import Pace
from flows.appliances import PROFILES, Appliances, Repairs, ago, noted, summary
from flows.walking import Row, Shop, Walk, line, uid

LEG = "usage_bands_to_groups"
HEAVY, STARTS, UPGRADE = "iot-usage-heavy-user", "iot-usage-frequent-starts", "iot-usage-upgrade-candidate"
FIVE = range(1, 6)


@pytest.fixture
def repairs(opentext_iot: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Repairs:
    return prepared(opentext_iot, shop, monkeypatch)


def prepared(far: Any, shop: Shop, patch: pytest.MonkeyPatch, **options: Any) -> Repairs:
    far.clear_faults()
    found = Repairs(Appliances(far, shop, patch, **options), patch)
    found.stocked()
    return found


def walked(walk: Walk, mode: str = "auto", *, days: float = 0) -> Run:
    return walk.leg(LEG, mode, now=datetime.now(UTC) + timedelta(days=days))


def used(device: str, days: Any = range(1, 30), **values: Any) -> list[Row]:
    """One summary for each of some days ago."""
    return [summary(device, day, **values) for day in days]


def stamps(shop: Shop) -> dict[str, str]:
    return {row["uid"]: row["modifiedtime"] for row in shop.far.records("UserGroup")}


def crowd(repairs: Repairs, walk: Walk, numbers: Any = FIVE, *, load: Any = 85, **values: Any) -> dict[int, str]:
    """Customers with a device each, used for a month; number -> device."""
    devices = {number: repairs.owner(number, **values) for number in numbers}
    noted(walk.site.ledger, *(row for device in devices.values() for row in used(device, load=load)))
    return devices


@pytest.mark.parametrize("profile", PROFILES)
def test_heavy_users_become_a_group_by_either_gateway_and_a_second_walk_writes_nothing(
    profile: str, opentext_iot: Any, shop: Shop, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    repairs = prepared(opentext_iot, shop, monkeypatch, profile=profile)
    midnight = repairs.fleet.now.replace(hour=0, minute=0, second=0)
    for number in range(1, 7):
        device = repairs.owner(number)
        for row in used(device, range(1, 27), load=85 if number < 6 else 30):
            since = (repairs.fleet.now - row["time"]).total_seconds() / 60
            repairs.fleet.event(device, "usage.summary", minutes_ago=since, payload=row["data"])
    pace = Pace(lag=timedelta(0), first=timedelta(days=40), step=timedelta(days=40))
    OpenTextIotHook().poll(walk.site.ledger, pace=pace, now=midnight + timedelta(days=1))
    run = walked(walk)
    assert (repairs.groups(), run.status, run.delivered) == ({HEAVY: {1, 2, 3, 4, 5}}, "green", 5)
    before, calls = stamps(shop), repairs.fleet.writes()
    assert (walked(walk).sent, walked(walk, "complete").sent) == (0, 0)
    assert (stamps(shop), repairs.fleet.writes()) == (before, calls)
    texts = [str(value) for row in shop.far.records("UserGroup") for value in row.values()]
    assert not [text for text in texts for device in FIVE if repairs.fleet.device_id(device) in text]


def test_bands_have_hysteresis_and_late_windows_count_as_if_in_time(repairs: Repairs, walk: Walk) -> None:
    ledger, devices = walk.site.ledger, crowd(repairs, walk)
    middling = repairs.owner(6)
    noted(ledger, *used(middling, load=75))
    walked(walk)
    assert repairs.groups() == {HEAVY: {1, 2, 3, 4, 5}}, "75 is below enter"
    noted(ledger, *used(devices[1], load=75, n=1))  # said again: the later word wins
    run = walked(walk)
    assert (repairs.groups()[HEAVY], run.sent) == ({2, 3, 4, 5}, 1), "it never was above"
    noted(ledger, *used(devices[1], range(30, 59), load=85), *used(devices[2], range(30, 59), load=85))
    noted(ledger, *used(devices[2], range(1, 15), load=62, n=1))
    walked(walk)
    assert repairs.groups()[HEAVY] == {1, 2, 3, 4, 5}, (
        "both were above enter a month ago, and are above leave: 75, 73.5"
    )
    noted(ledger, *used(devices[2], range(1, 22), load=62, n=2))
    walked(walk)
    assert repairs.groups()[HEAVY] == {1, 3, 4, 5}
    walked(walk, days=57)
    assert repairs.groups()[HEAVY] == {1, 3, 4, 5}, "when it was above enter is too long ago to be read, and remembered"


def test_too_few_windows_keep_the_band_and_two_silent_months_end_it(repairs: Repairs, walk: Walk) -> None:
    ledger, devices = walk.site.ledger, crowd(repairs, walk)
    few, enough, hourly = (repairs.owner(number) for number in (6, 7, 8))
    # 19 and 24 of 28 days; one fewer until the last one is over for two hours
    noted(ledger, *used(few, range(1, 20)), *used(enough, range(1, 25)))
    noted(ledger, *(row for day in range(1, 29) for row in hours(hourly, day)))
    walked(walk)
    assert repairs.groups() == {HEAVY: {1, 2, 3, 4, 5, 7, 8}}, "hourly windows are as good"
    walked(walk, days=20)
    assert repairs.groups() == {HEAVY: {1, 2, 3, 4, 5, 7, 8}}, "silence is no news"
    noted(ledger, *used(devices[1], range(0, 1), load=0, hours=1))
    walked(walk, days=20)
    assert repairs.groups()[HEAVY] >= {1}, "and a little is too little"
    walked(walk, days=62)
    assert repairs.groups() == {}, "a profile does not outlive its data"


def hours(device: str, day: int) -> list[Row]:
    """The day's 24 windows of an hour."""
    start = summary(device, day)["time"] - timedelta(hours=24)
    rows = []
    for hour in range(24):
        begin = start + timedelta(hours=hour)
        data = {"windowStart": begin.isoformat(), "windowEnd": (begin + timedelta(hours=1)).isoformat(), "loadPctAvg": 90,
                "runtimeHoursDelta": 0.9}  # fmt: skip
        rows.append({"id": f"{device}/h/{begin}", "type": "usage.summary", "subject": device,
                     "time": begin + timedelta(hours=1), "data": data})  # fmt: skip
    return rows


def test_each_gate_lets_one_pass_and_stops_one(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    """Consent, known and active customers, purchase before the windows, plausible windows, upgrades."""
    ledger, _ = walk.site.ledger, crowd(repairs, walk)
    repairs.parts("c300", "c300-draft", "c100")
    repairs.parts("c300-draft", status="unapproved")
    repairs.fits("c200", "c300", "UPSELLING")
    repairs.fits("c100", "c300-draft", "UPSELLING")
    for number in range(1, 6):
        shop.order(f"O{number}", customer=number, day=f"{ago(days=900):%Y-%m-%d}", lines=[line(0, "c200", 1, 5)])
    shop.order("O4b", customer=4, day=f"{ago(days=9):%Y-%m-%d}", lines=[line(0, "c300", 1, 5)], status="CANCELLED")
    odd = {
        6: {"consent": False},
        7: {},
        8: {},
        9: {"purchaseDate": f"{ago(days=10):%Y-%m-%d}"},
        10: {},
        11: {},
        12: {"product": "c100"},
    }
    more = {number: repairs.owner(number, **values) for number, values in odd.items()}
    repairs.consent(7, withdrawn=True)
    shop.change(8, loginDisabled=True)
    for number in (6, 7, 8, 9, 12):
        noted(ledger, *used(more[number]))
    noted(ledger, *used(more[10], hours=49), *used(more[10], load=900), *used(more[10], runtimeHoursDelta=30, n=1),
          *used(more[10], load=None, n=2), *used(more[10], range(-30, -1), n=3))  # fmt: skip
    noted(ledger, *used(repairs.fleet.device(60, productCode="c200", customerRef="C9999")),
          *used(repairs.fleet.device(61, productCode="c200")), *used("ghost"))  # fmt: skip
    shop.order("O12", customer=12, day=f"{ago(days=900):%Y-%m-%d}", lines=[line(0, "c100", 1, 5)])
    walk.attempt(LEG)
    ledger.answer_holds(LEG, keys=["*"], status="approved", by="ann")  # eleven at once
    run = walked(walk)
    assert (run.status, run.quarantined, run.rejected) == ("green", 0, 0)
    assert repairs.groups() == {HEAVY: {1, 2, 3, 4, 5, 12}, UPGRADE: {1, 2, 3, 4, 5}}
    shop.order("O1b", customer=1, day=f"{ago(days=1):%Y-%m-%d}", lines=[line(0, "c300", 1, 5)])
    repairs.parts("c300-draft")
    walked(walk)
    assert repairs.groups()[UPGRADE] == {2, 3, 4, 5, 12}, "bought by one, for sale now to another"


def test_starts_per_hour_leave_counter_resets_out(repairs: Repairs, walk: Walk) -> None:
    ledger = walk.site.ledger
    for number in range(1, 7):
        device = repairs.owner(number)
        step = 130 if number < 6 else 90  # starts a day, in ten hours of running
        for day in range(1, 30):
            total = step * (30 - day) if number != 5 or day > 10 else step * (11 - day)  # a new board ten days ago
            noted(ledger, summary(device, day, load=20, cyclesTotal=total))
    walked(walk)
    assert repairs.groups() == {STARTS: {1, 2, 3, 4, 5}}


def test_a_small_group_is_not_formed_takes_nobody_in_and_ends(repairs: Repairs, walk: Walk) -> None:
    crowd(repairs, walk, range(1, 5))
    assert (walked(walk).sent, repairs.groups()) == (0, {}), "four are too few"
    crowd(repairs, walk, [5])
    walked(walk)
    assert repairs.groups() == {HEAVY: {1, 2, 3, 4, 5}}
    repairs.consent(1, withdrawn=True)
    repairs.consent(2, withdrawn=True)
    crowd(repairs, walk, [6])
    walked(walk)
    assert repairs.groups() == {HEAVY: {3, 4, 5}}, "it stays, and takes nobody in"
    repairs.consent(3, withdrawn=True)
    walked(walk)
    assert repairs.groups() == {}


def test_a_mass_move_waits_for_a_person(repairs: Repairs, walk: Walk) -> None:
    ledger, devices = walk.site.ledger, crowd(repairs, walk, range(1, 15))
    walk.attempt(LEG)
    assert isinstance(walk.error, GuardError)
    assert repairs.groups() == {}
    ledger.answer_holds(LEG, keys=["*"], status="approved", by="ann")
    walked(walk)
    assert repairs.groups() == {HEAVY: set(range(1, 15))}
    noted(ledger, *(row for number in range(1, 13) for row in used(devices[number], load=5, n=1)))  # a new firmware
    walk.attempt(LEG)
    assert isinstance(walk.error, GuardError)
    assert repairs.groups() == {HEAVY: set(range(1, 15))}
    ledger.answer_holds(LEG, keys=["*"], status="refused", by="ann")
    noted(
        ledger, *(row for number in range(1, 12) for row in used(devices[number], load=85, n=2))
    )  # and its correction
    run = walked(walk)
    assert (run.sent, repairs.groups()) == (1, {HEAVY: set(range(1, 15)) - {12}})


def test_a_changed_login_and_a_merge_move_the_membership(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    ledger, devices = walk.site.ledger, crowd(repairs, walk, range(1, 7))
    walked(walk)
    assert repairs.groups() == {HEAVY: {1, 2, 3, 4, 5, 6}}
    shop.far.delete("Customer", uid(1))
    shop.customers(1, uid="c77@people.example")
    shop.customers(9)
    row = {"code": "c1", "modifiedtime": shop.tick(), "customer": "c77@people.example", "consentGivenDate": "2026-03-01T00:00:00+00:00",
           "consentTemplate": {"id": "MARKETING_NEWSLETTER", "version": 1, "baseSite": "shop"}}  # fmt: skip
    shop.far.put("Consent", [row])
    walked(walk)
    assert repairs.groups() == {HEAVY: {77, 2, 3, 4, 5, 6}}
    repairs.consent(9, withdrawn=True)
    ledger.put_aliases("salesforce", "Contact", [{"lost": "C0002", "now": "C0009"}], gone=[])
    walked(walk)
    assert repairs.groups() == {HEAVY: {77, 3, 4, 5, 6}}, "the one that is left said no"
    repairs.consent(9)
    walked(walk)
    assert repairs.groups() == {HEAVY: {77, 9, 3, 4, 5, 6}}, "the device counts for the one that is left"
    repairs.fleet.relabel(devices[3], customerRef="")
    repairs.fleet.relabel(devices[4], customerRef="C0009", purchaseDate=f"{ago(days=3):%Y-%m-%d}")
    walked(walk)
    assert repairs.groups() == {HEAVY: {77, 9, 5, 6}}, "a device that was sold takes its customer out at once"


def test_odd_members_are_refused_and_the_others_arrive(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    ledger, devices = walk.site.ledger, crowd(repairs, walk, range(1, 6))
    for number, name in ((1, "\u0645\u0631\u062d\u0628\u0627 \U0001f600 " + "x" * 300), (2, "")):
        shop.change(number, name=name)
    noted(
        ledger,
        *used(devices[1], range(100, 130)),
        {**summary(devices[1], 3), "id": "bad", "data": {"windowStart": "soon"}},
    )
    walked(walk)
    assert repairs.groups() == {HEAVY: {1, 2, 3, 4, 5}}
    shop.far.put("Customer", [{"uid": "y" * 260 + "@x.example", "customerID": "C0066", "modifiedtime": shop.tick()}])
    template = {"id": "MARKETING_NEWSLETTER", "version": 1, "baseSite": "shop"}
    shop.far.put("Consent", [{"code": "c66", "consentTemplate": template, "customer": "y" * 260 + "@x.example",
                              "consentGivenDate": "2026-03-01T00:00:00+00:00", "modifiedtime": shop.tick()}])  # fmt: skip
    noted(ledger, *used(repairs.fleet.device(66, productCode="c200", customerRef="C0066")))
    crowd(repairs, walk, [7])
    run = walked(walk)
    assert (run.status, run.delivered, run.quarantined) == ("green", 1, 1)
    assert "member_is_a_login" in str(walk.rejects(LEG)["heavy-user|C0066"].reason)
    assert repairs.groups() == {HEAVY: {1, 2, 3, 4, 5, 7}}
