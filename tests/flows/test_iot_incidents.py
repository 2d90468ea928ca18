"""I7: who is concerned by a confirmed incident is in its customer group for as long as it is open, and nobody else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.ledger import Run
from commerce_sync.mapping import Limit
from flows.appliances import PROFILES, RAW, Appliances, Repairs, ago, downtime, excursion, noted
from flows.walking import Row, Shop, Walk, line

GROUPS, MEMBERS = "incidents_to_groups", "incident_members_to_groups"
SAFETY, CARE = "iot-safety-excursion-", "iot-promotional-downtime-"


def next_at(hour: int) -> datetime:
    """The next time the clock of UTC shows an hour."""
    now = datetime.now(UTC)
    at = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return at if at > now else at + timedelta(days=1)


def noon() -> datetime:
    return next_at(11)


def night() -> datetime:
    return next_at(23)


class Incidents:
    """The shop and the fleet, and what becomes of a few sensors' reports."""

    def __init__(self, repairs: Repairs, walk: Walk) -> None:
        self.repairs, self.fleet, self.shop, self.walk = repairs, repairs.fleet, repairs.shop, walk

    def walked(self, at: datetime | None = None, *, approve: bool = False, mode: str = "auto") -> dict[str, Run]:
        """Both legs; with ``approve`` a person agrees to all that waits, and they run once more."""
        runs = self.walk("iot_incidents", mode, now=at or noon())
        assert self.walk.errors == {}
        if not approve:
            return runs
        ledger = self.walk.site.ledger
        ledger.answer_holds(
            MEMBERS, keys=[item.key for item in ledger.holds(MEMBERS)], status="approved", by="ann"
        )  # fmt: skip
        return self.walked(at, mode=mode)

    def noted(self, *events: Row) -> None:
        noted(self.walk.site.ledger, *events)

    def members(self) -> dict[str, set[int]]:
        return self.repairs.groups()

    def states(self) -> dict[str, str]:
        """Group of ours -> the state its description tells."""
        rows = [row for row in self.shop.far.records("UserGroup") if row["uid"].startswith("iot-")]
        return {row["uid"]: json.loads(row["description"])["status"] for row in rows}

    def stamps(self) -> dict[str, str]:
        return {row["uid"]: row["modifiedtime"] for row in self.shop.far.records("UserGroup")}

    def owner(self, number: int, *tags: str, consent: bool = True) -> str:
        """A customer's device, as I8 tagged it; gives the device."""
        self.shop.customers(number)
        if consent:
            self.repairs.consent(number)
        return self.fleet.device(number, tags=(f"customer:C{number:04d}", *tags))


@pytest.fixture(params=PROFILES[:1])
def incidents(
    request: Any, opentext_iot: Any, shop: Shop, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> Incidents:  # fmt: skip
    opentext_iot.clear_faults()
    fleet = Appliances(opentext_iot, shop, monkeypatch, profile=request.param)
    return Incidents(Repairs(fleet, monkeypatch), walk)


@pytest.mark.parametrize("incidents", PROFILES, indirect=True)
def test_the_story_of_an_excursion(incidents: Incidents, shop: Shop, walk: Walk) -> None:
    """Safety: buyers of the product, the batch's, the site's and a parcel's people; a person agrees; closing empties."""
    fleet = incidents.fleet
    shop.customers(1, 2, 3, 4, 5, 6, 9)
    shop.units("acme")
    shop.buyers(50, 51, unit="acme")
    shop.buyers(52, unit="acme", active=False)
    sensor = fleet.device(80, tags=("sku:milk", "site:WH1"))
    fleet.device(81, tags=("grp:batch-b-77", "customer:C0003", "sku:milk"))
    fleet.device(82, tags=("site:WH1", "b2bunit:acme"))
    fleet.device(83, tags=("site:WH1", "order:O4"))
    fleet.device(84, tags=("site:WH2", "customer:C0009"))
    for code, number, days, status in (("O1", 1, 3, "COMPLETED"), ("O2", 2, 40, "COMPLETED"), ("O5", 5, 3, "CANCELLED"),
                                       ("O6", 6, 3, "COMPLETED")):  # fmt: skip
        shop.order(
            code, customer=number, day=f"{ago(days=days):%Y-%m-%d}", lines=[line(0, "milk", 2, 5)], status=status
        )
    shop.order("O4", customer=4, day=f"{ago(days=50):%Y-%m-%d}", lines=[line(0, "eggs", 1, 5)])
    shop.returned("R6", "O6", entry=0, pieces=2)

    def reported(minutes_ago: float, state: str = "open") -> None:
        fleet.event(sensor, "environment.excursion", minutes_ago=minutes_ago, payload={
            "excursionId": "x-301", "metric": "temperatureC", "value": 11.8, "limit": 8.0, "unit": "C", "durationSec": 60,
            "state": state, "affectedBatch": "B-77"})  # fmt: skip
        fleet.now += timedelta(seconds=2)
        fleet.polled(walk.site.ledger)

    reported(12)
    assert incidents.walked()[GROUPS].sent == 0, "one reading confirms nothing"
    reported(8)
    runs = incidents.walked()
    assert (incidents.states(), incidents.members()) == ({SAFETY + "x-301": "open"}, {})
    assert (runs[MEMBERS].sent, runs[MEMBERS].quarantined) == (0, 5)
    assert {item.code for item in walk.rejects(MEMBERS).values()} == {"held"}
    incidents.walked(night(), approve=True)
    assert incidents.members() == {SAFETY + "x-301": {1, 3, 4, 50, 51}}, "at once, whatever the hour, without consent"
    stamps = incidents.stamps()
    assert {run.sent for run in incidents.walked().values()} == {0}
    assert {run.sent for run in incidents.walked(mode="complete").values()} == {0}
    assert incidents.stamps() == stamps
    reported(3, "closed")
    run = incidents.walked()[MEMBERS]
    assert (run.deleted, run.quarantined) == (5, 0), "leaving needs nobody's yes"
    assert (incidents.members(), incidents.states()) == ({}, {SAFETY + "x-301": "closed"})
    assert {run.sent for run in incidents.walked().values()} == {0}


def test_no_word_of_a_device_reaches_the_shop(incidents: Incidents, shop: Shop) -> None:
    device = incidents.owner(1)
    incidents.noted(downtime(device, "d-1", ago(hours=2)),
                    *(excursion(device, "x-1", ago(minutes=n), affectedBatch=RAW, unit=RAW) for n in (30, 20)))  # fmt: skip
    incidents.walked(approve=True)
    rows = [row for row in shop.far.records("UserGroup") if row["uid"].startswith("iot-")]
    assert {row["name"] for row in rows} == {"Important notice about your order", "Help for your device"}
    assert "sabotage" not in json.dumps(rows)
    assert "temperature" not in json.dumps(rows)


def test_promotional_incidents_heed_consent_quiet_hours_and_who_is_served(incidents: Incidents, shop: Shop) -> None:
    devices = {number: incidents.owner(number, "sku:c200", consent=number != 2) for number in range(1, 6)}
    incidents.repairs.consent(3, withdrawn=True)
    incidents.repairs.fits("c200", "filter", "CONSUMABLE")
    incidents.noted(*(downtime(device, f"d-{number}", ago(minutes=40)) for number, device in devices.items()))
    shop.order("O4", customer=4, day=f"{ago(minutes=10):%Y-%m-%dT%H:%M:%S+00:00}", lines=[line(0, "filter", 1, 5)])
    incidents.walked(night())
    assert incidents.members() == {}
    assert set(incidents.states()) == {f"{CARE}d-{number}" for number in devices}
    incidents.walked(noon())
    assert incidents.members() == {CARE + "d-1": {1}, CARE + "d-5": {5}}
    incidents.walked(night())
    assert incidents.members() == {CARE + "d-1": {1}, CARE + "d-5": {5}}, "who is in stays in over night"
    incidents.repairs.consent(5, withdrawn=True)
    incidents.walked(night())
    assert incidents.members() == {CARE + "d-1": {1}}, "a withdrawn consent is heeded at any hour"


def test_a_customer_is_addressed_twice_a_week_at_most(incidents: Incidents) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday() + 7)
    devices = [incidents.owner(1), *(incidents.fleet.device(20 + n, tags=("customer:C0001",)) for n in range(3))]
    incidents.noted(*(downtime(device, f"d-{n}", monday + timedelta(hours=9 * n)) for n, device in enumerate(devices)))
    incidents.walked()
    assert incidents.members() == {CARE + "d-0": {1}, CARE + "d-1": {1}}
    assert len(incidents.states()) == 4
    incidents.noted(downtime(devices[0], "d-0", monday + timedelta(days=2), state="closed"))
    incidents.walked()
    assert incidents.members() == {CARE + "d-1": {1}}, "what is over still counts"
    incidents.noted(downtime(devices[0], "d-9", monday + timedelta(days=7, minutes=1)))
    incidents.walked()
    assert incidents.members() == {CARE + "d-1": {1}, CARE + "d-9": {1}}, "another week"


def test_readings_or_duration_confirm_and_a_spike_does_not(incidents: Incidents) -> None:
    names = {1: "spike", 2: "long", 3: "told", 4: "brief", 5: "twice"}
    devices = {number: incidents.owner(number, "sku:c200", f"site:S{number}") for number in names}
    incidents.noted(
        excursion(devices[1], "spike", ago(hours=5)),
        excursion(devices[2], "long", ago(minutes=30)), excursion(devices[2], "long", ago(minutes=10), state="closed"),
        excursion(devices[3], "told", ago(minutes=30), durationSec=1260),
        downtime(devices[4], "brief", ago(minutes=50)), downtime(devices[4], "brief", ago(minutes=45), state="closed"),
        *(excursion(devices[5], "twice", ago(minutes=n), metric="humidityPct") for n in (30, 30, 20)),
    )  # fmt: skip
    incidents.walked(approve=True)
    assert incidents.states() == {SAFETY + "long": "closed", SAFETY + "told": "open",
                                  "iot-promotional-excursion-twice": "open"}  # fmt: skip
    assert incidents.members() == {SAFETY + "told": {3}, "iot-promotional-excursion-twice": {5}}


def test_anomalies_end_when_nothing_is_heard_for_days(incidents: Incidents) -> None:
    device = incidents.owner(1)
    incidents.noted(*({"id": f"a-{n}", "type": "usage.anomaly", "subject": device, "time": ago(hours=n),
                       "data": {"anomalyId": "a-1", "metric": "load", "score": 9.1}} for n in (3, 2)))  # fmt: skip
    incidents.walked()
    assert incidents.members() == {"iot-promotional-anomaly-a-1": {1}}
    incidents.walked(noon() + timedelta(days=4))
    assert incidents.states() == {"iot-promotional-anomaly-a-1": "closed"}
    assert incidents.members() == {}


def test_a_false_alarm_is_retracted_and_recorded(incidents: Incidents) -> None:
    devices = [incidents.owner(number) for number in (1, 2)]
    incidents.noted(*(downtime(device, f"d-{n}", ago(hours=2)) for n, device in enumerate(devices)))
    incidents.walked()
    assert incidents.members() == {CARE + "d-0": {1}, CARE + "d-1": {2}}
    incidents.noted(downtime(devices[0], "d-0", ago(minutes=60), state="retracted"),
                    downtime(devices[0], "d-0", ago(minutes=50)))  # fmt: skip
    incidents.walked(night())
    assert incidents.members() == {CARE + "d-1": {2}}, "nothing a device says later brings it back"
    assert incidents.states() == {CARE + "d-0": "retracted", CARE + "d-1": "open"}


def test_late_and_reordered_closings(incidents: Incidents) -> None:
    """Closed before it was opened; closed hours late; opened again."""
    first, second = incidents.owner(1), incidents.owner(2)
    incidents.noted(downtime(first, "d-1", ago(hours=1), state="closed", startAt=ago(hours=3).isoformat()),
                    downtime(second, "d-2", ago(hours=9)))  # fmt: skip
    incidents.walked()
    incidents.noted(downtime(first, "d-1", ago(hours=3)))
    incidents.walked()
    assert incidents.members() == {CARE + "d-2": {2}}
    incidents.noted(downtime(second, "d-2", ago(hours=5), state="closed"))
    incidents.walked(night())
    assert (incidents.members(), set(incidents.states().values())) == ({}, {"closed"})
    incidents.noted(downtime(second, "d-2", ago(hours=4), startAt=None))
    incidents.walked()
    assert incidents.members() == {CARE + "d-2": {2}}


def test_incidents_of_one_cause_are_one(incidents: Incidents, shop: Shop) -> None:
    """By site and window: a second sensor, a second id; not another site, not another day, not another metric."""
    shop.customers(1, 2)
    sensors = [incidents.fleet.device(80 + n, tags=(f"site:{site}", "customer:C0001"))
               for n, site in enumerate(("S1", "S1", "S2"))]  # fmt: skip
    incidents.noted(
        excursion(sensors[0], "x-2", ago(hours=5)), excursion(sensors[1], "x-3", ago(hours=4, minutes=50)),
        *(excursion(sensors[2], "x-4", ago(hours=5, minutes=n)) for n in (0, 1)),
        *(excursion(sensors[0], "x-0", ago(days=3, minutes=n)) for n in (0, 1)),
        excursion(sensors[0], "x-0", ago(days=2, hours=23), state="closed"),
        *(excursion(sensors[0], "x-2", ago(hours=4, minutes=n), metric="humidityPct", excursionId="y-1") for n in (0, 1)),
    )  # fmt: skip
    incidents.walked(approve=True)
    assert incidents.states() == {SAFETY + "x-2": "open", SAFETY + "x-4": "open", SAFETY + "x-0": "closed",
                                  "iot-promotional-excursion-y-1": "open"}  # fmt: skip
    assert incidents.members() == {SAFETY + "x-2": {1}, SAFETY + "x-4": {1}}, "two sensors are two readings"
    incidents.noted(excursion(sensors[0], "x-2", ago(hours=1), state="closed"))
    incidents.walked()
    assert incidents.states()[SAFETY + "x-2"] == "open", "the other one lasts"
    incidents.noted(excursion(sensors[1], "x-1", ago(hours=6)))
    incidents.walked(approve=True)
    assert incidents.states()[SAFETY + "x-2"] == "over", "an earlier one comes late: the incident goes by its name"
    assert incidents.members() == {SAFETY + "x-1": {1}, SAFETY + "x-4": {1}}


def test_a_large_audience_waits_for_a_person_and_a_huge_one_is_refused(
    incidents: Incidents, shop: Shop, walk: Walk
) -> None:  # fmt: skip
    shop.units("acme")
    shop.buyers(*range(1000, 3001), unit="acme")
    device = incidents.fleet.device(1, tags=("b2bunit:acme",))
    incidents.repairs.consent(1)
    template = {"id": "MARKETING_NEWSLETTER", "version": 1, "baseSite": "shop"}

    def agree(first: int, last: int) -> None:
        shop.far.put("Consent", [{"code": f"b{n}", "consentTemplate": template,
                                  "customer": f"b{n}@people.example", "consentGivenDate": "2026-01-01T00:00:00+00:00",
                                  "modifiedtime": shop.tick()} for n in range(first, last)])  # fmt: skip

    agree(1000, 1501)
    incidents.noted(downtime(device, "d-1", ago(hours=2)))
    incidents.walked()
    assert incidents.members() == {}, "501 at once need a yes"
    incidents.walked(approve=True)
    assert len(incidents.members()[CARE + "d-1"]) == 501
    agree(1501, 3001)
    run = incidents.walked(approve=True)[GROUPS]
    assert (run.quarantined, len(incidents.members()[CARE + "d-1"])) == (1, 501), "who is in stays in"
    assert "audience" in str(walk.rejects(GROUPS)[CARE + "d-1"].reason)
    incidents.noted(downtime(device, "d-1", ago(minutes=5), state="closed"))
    incidents.walked()
    assert (incidents.members(), incidents.states()) == ({}, {CARE + "d-1": "closed"})


def test_odd_reports_are_set_aside_and_the_others_arrive(incidents: Incidents, shop: Shop, walk: Walk) -> None:
    device = incidents.owner(1)
    odd = {"no policy": "luminance", "nobody approved": "vibrationG"}
    incidents.noted(
        *(excursion(device, f"x-{n}", ago(minutes=n), metric=metric) for metric in odd.values() for n in (20, 30)),
        *(excursion("ghost", "x-1", ago(minutes=n)) for n in (20, 30)),
        excursion(device, None, ago(minutes=20)), excursion(device, " ", ago(minutes=21)),
        excursion(device, "x" * 300, ago(minutes=20)), excursion(device, "заказ 🔥", ago(minutes=20)),
        excursion(device, "offer-filter|admingroup", ago(minutes=20)),
        excursion(device, "x-7", ago(minutes=20), state="melted"), excursion(device, "x-8", ago(minutes=-700)),
        downtime(device, "d-1", ago(minutes=40), cause="תקלה 🔥" * 100),
        downtime(device, "d-2", ago(minutes=3), startAt="1970-01-01T00:00:00Z"),
    )  # fmt: skip
    run = incidents.walked(ago(minutes=-1))[GROUPS]
    assert set(incidents.states()) == {CARE + "d-1"}, "a start in 1970 lasts no years"
    assert (run.status, run.quarantined) == ("green", 8)
    assert all("incident_is_understood" in str(item.reason) for item in walk.rejects(GROUPS).values())
    incidents.walked(noon())
    assert incidents.members() == {CARE + "d-1": {1}}


def test_who_is_gone_is_refused_and_the_others_are_told(incidents: Incidents, shop: Shop, walk: Walk) -> None:
    devices = [incidents.owner(number) for number in (1, 2)]
    incidents.noted(*(downtime(device, f"d-{n}", ago(hours=1)) for n, device in enumerate(devices)))
    incidents.walked(night())
    for row in shop.far.records("Consent"):
        if "c1@" in str(row["customer"]):
            shop.far.delete("Consent", row["code"])
    shop.far.delete("Customer", "c1@people.example")
    run = incidents.walked(noon(), mode="changes")[MEMBERS]  # a complete scan would see that the customer is gone
    assert (run.delivered, run.rejected, incidents.members()) == (1, 1, {CARE + "d-1": {2}})


def test_a_shop_that_is_down_for_a_moment_loses_nothing(incidents: Incidents, shop: Shop, walk: Walk) -> None:
    devices = [incidents.owner(number) for number in (1, 2, 3)]
    incidents.noted(*(downtime(device, f"d-{n}", ago(hours=1)) for n, device in enumerate(devices)))
    shop.far.fault(action="status", status=429, match={"path": "/members"}, times=1)
    shop.far.fault(action="status", status=503, match={"method": "PATCH", "path": "/members"}, skip=1, times=5)
    shop.far.fault(action="status", status=401, match={"path": "CustomerGroupSync"}, times=1)
    walk("iot_incidents", now=noon())
    shop.far.clear_faults()
    incidents.walked()
    assert incidents.members() == {f"{CARE}d-{n}": {n + 1} for n in range(3)}
    assert {run.sent for run in incidents.walked().values()} == {0}


def test_a_guard_stops_a_storm_before_anything_is_sent(incidents: Incidents, walk: Walk) -> None:
    device = incidents.owner(1)
    incidents.noted(downtime(device, "d-1", ago(hours=1)))
    mapping = walk.mapping(MEMBERS)
    walk.alter(MEMBERS, guards=replace(mapping.guards, max_changes=Limit(absolute=0)))
    walk("iot_incidents", now=noon())
    assert set(walk.errors) == {MEMBERS}
    assert "max_changes" in str(walk.errors[MEMBERS])
    assert incidents.members() == {}
