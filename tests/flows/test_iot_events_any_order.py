"""I1, I6 and I7: what follows from messages of devices does not depend on the order they come in, or how they are told.

The flows' SQL runs in DuckDB directly, over random messages with many ties in time.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.storm_oracle import expect, ordered_at
from benchmarks.storm_world import Device, World, customer_id, uid
from commerce_sync.binding import BEFORE, record_types
from commerce_sync.mapping import Mapping
from flows.walking import Row, mapping_of

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)  # a Friday noon, no quiet hour
NIGHT = NOW.replace(hour=23)
OFFERS, CARTS, MEMBERS, GROUPS = (
    "condition_offers_to_groups", "repair_carts", "incident_members_to_groups", "incidents_to_groups"
)  # fmt: skip
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
Rows = list[tuple[Any, ...]]


class Sheet:
    """The sources of a leg as tables, and what its SQL makes of them."""

    def __init__(self, leg: str, **tables: Sequence[Row]) -> None:
        self.mapping: Mapping = mapping_of(leg)
        self.con = duckdb.connect(config={"threads": 2})
        self.con.execute("SET TimeZone = 'UTC'")
        for source in self.mapping.sources:
            self._create(source.name, {**source.columns, "_owner": "VARCHAR"})
            self.fill(source.name, tables.get(source.name, ()))
        types = record_types(self.mapping)
        self.wanted = [name for name in types if name != "as_of"]
        self._create(BEFORE, {"owner": "VARCHAR", **self.mapping.memory})

    def _create(self, name: str, columns: dict[str, str]) -> None:
        listed = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
        self.con.execute(f'CREATE OR REPLACE TABLE "{name}" ({listed})')

    def fill(self, table: str, rows: Iterable[Row]) -> None:
        """These rows and no others, in this order."""
        self.con.execute(f'DELETE FROM "{table}"')
        for row in rows:
            names = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join("?" for _ in row)
            self.con.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(row.values()))

    def figures(self, events: Iterable[Row], *, now: datetime = NOW, keeps: bool = False) -> Rows:
        """What the leg would want at the target. keeps: the next look finds this one in ``before``."""
        self.fill("events", events)
        self.con.execute("SET VARIABLE now = ?::TIMESTAMPTZ", [now])
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE figures AS {self.mapping.aggregate}")
        if keeps:
            names = ", ".join(("owner", *self.mapping.memory))
            self.con.execute(f"DELETE FROM {BEFORE}; INSERT INTO {BEFORE} SELECT {names} FROM figures")
        columns = ", ".join(f'"{name}"' for name in self.wanted)
        return self.con.execute(f"SELECT {columns} FROM figures WHERE {self.mapping.where} ORDER BY ALL").fetchall()


def event(number: int, kind: str, device: str, minutes: int, data: Row) -> Row:
    at = NOW - timedelta(minutes=minutes)
    return {"id": f"e-{number:03d}", "type": kind, "subject": device, "time": at.replace(tzinfo=None),
            "received_at": NOW.replace(tzinfo=None), "data": data}  # fmt: skip


# Messages with few different values, so that they meet: same device, same instance, same minute.
MINUTES = (-2, 0, 6, 40, 59, 60, 61, 200, 1400)
DEVICES = ("d1", "d1", "d1", "d2", "d3", "ghost")
Drawn = list[tuple[str, str, int, Row]]


def faults(seed: int) -> Drawn:
    """Some thirty messages about faults and health."""
    draw = random.Random(seed)
    return [_fault(draw) if draw.random() < 0.85 else _health(draw) for _ in range(draw.randrange(5, 40))]


def _fault(draw: random.Random) -> tuple[str, str, int, Row]:
    code = draw.choice(("E17", "E17", "E33", "E09", "E04", "E99"))
    instance = draw.choice((None, "f-1", "f-2", "f-3"))
    data = {"faultCode": code, "faultState": draw.choice(("raised", "raised", "cleared")), "faultInstanceId": instance,
            "severity": draw.choice(("low", "medium", "critical")), "healthScore": None}  # fmt: skip
    return "device.fault", draw.choice(DEVICES), draw.choice(MINUTES), data


def _health(draw: random.Random) -> tuple[str, str, int, Row]:
    nothing = dict.fromkeys(("faultCode", "faultState", "faultInstanceId", "severity"))
    score = draw.choice((40.0, 50.0, 59.0, 65.0, 70.0, 300.0))
    return "device.health", draw.choice(DEVICES), draw.choice(MINUTES), nothing | {"healthScore": score}


def reports(seed: int) -> Drawn:
    """Some twenty reports of few incidents."""
    draw = random.Random(seed)
    return [_drawn_report(draw) for _ in range(draw.randrange(5, 30))]


def _drawn_report(draw: random.Random) -> tuple[str, str, int, Row]:
    kind = draw.choice(("environment.excursion", "environment.excursion", "device.downtime", "usage.anomaly"))
    metric = draw.choice(("temperatureC", "temperatureC", "humidityPct", None))
    state = draw.choice(
        ("open", "open", "open", "open", "open", "closed", "retracted") if draw.random() < 0.97 else ("odd",)
    )
    data = _report(kind, draw.choice(("x-1", "x-2", "x-3", "x-4", None)), metric, state, draw.choice((None, 60, 1000)))
    return kind, draw.choice(DEVICES), draw.choice(MINUTES), data


SEEDS = st.integers(0, 2**32)


def _report(kind: str, name: str | None, metric: str | None, state: str | None, seconds: int | None) -> Row:
    own = {"environment.excursion": "excursionId", "device.downtime": "downtimeId", "usage.anomaly": "anomalyId"}[kind]
    names = dict.fromkeys(("excursionId", "downtimeId", "anomalyId")) | {own: name}
    return names | {"metric": metric, "state": state, "durationSec": seconds, "startAt": None, "affectedBatch": None}


def told(drawn: Iterable[tuple[str, str, int, Row]]) -> list[Row]:
    return [event(number, *one) for number, one in enumerate(drawn)]


@pytest.fixture(scope="module")
def world() -> World:
    """A customer with three devices; what was bought lies in the days of the messages."""
    devices = [Device("d1", "c200", customer_id(1), "2.10.0"), Device("d2", "c200", customer_id(1), "1.9.4"),
               Device("d3", "c300", customer_id(1))]  # fmt: skip
    return World(devices, 3, {2}, [], [("O1", 1, "belt-2", 0.05), ("O2", 1, "hose", 2.0)], NOW)


def stood(world: World, leg: str) -> Sheet:
    """The world as the tables that I1 and I6 read."""
    return Sheet(
        leg,
        devices=[{"id": one.id, "active": True, "serial": one.id, "attributes": {
            "productCode": one.product, "customerRef": one.customer, "b2bUnit": None, "firmware": one.firmware}}
            for one in world.devices],
        products=[{"integrationKey": code, "code": code, "approvalStatus": {"code": status}, "catalogVersion": {"version": "Online"}}
                  for code, (status, _) in world.parts.items()],
        stock=[{"integrationKey": code, "productCode": code, "available": pieces, "inStockStatus": None}
               for code, (_, pieces) in world.parts.items()],
        product_references=[{"integrationKey": f"{one}{part}", "quantity": pieces, "source": {"code": one}, "target": {"code": part},
                             "referenceType": {"code": kind}} for one, part, kind, pieces in world.references],
        customers=people(world.customers),
        consents=[{"code": f"c{n}", "consentGivenDate": datetime(2026, 1, 1), "customer": {"uid": uid(n)},
                   "consentTemplate": {"id": "MARKETING"}} for n in range(world.customers) if n not in world.unwilling],
        orders=[{"code": code, "date": ordered_at(world, days).replace(tzinfo=None), "status": {"code": "COMPLETED"},
                 "user": {"customerID": customer_id(n)}, "unit": None, "entries": [{"product": {"code": part}}]}
                for code, n, part, days in world.orders],
    )  # fmt: skip


def people(number: int) -> list[Row]:
    return [{"uid": uid(n), "customerID": customer_id(n), "loginDisabled": False} for n in range(number)]


@pytest.fixture(scope="module")
def repairs(world: World) -> dict[str, Sheet]:
    return {leg: stood(world, leg) for leg in (OFFERS, CARTS)}


@pytest.fixture(scope="module")
def notices() -> dict[str, Sheet]:
    """Two devices at one site, one at another, whose people agree to marketing; orders of their product."""
    tags = {
        "d1": ["site:S1", "sku:milk", "customer:C000001"],
        "d2": ["site:S1", "customer:C000002"],
        "d3": ["customer:C000001"],
    }
    return {leg: Sheet(
        leg,
        devices=[{"id": name, "active": True, "tags": values} for name, values in tags.items()],
        customers=people(4),
        consents=[{"code": f"c{n}", "consentGivenDate": datetime(2026, 1, 1), "customer": {"uid": uid(n)},
                   "consentTemplate": {"id": "MARKETING"}} for n in range(4)],
        orders=[{"code": "O3", "date": datetime(2026, 11, 18), "status": {"code": "COMPLETED"}, "user": {"customerID": customer_id(3)},
                 "entries": [{"entryNumber": 0, "quantity": 1, "product": {"code": "milk"}}]}],
    ) for leg in (MEMBERS, GROUPS)}  # fmt: skip


@FEW
@given(seed=SEEDS)
def test_faults_in_any_order_mean_the_same(repairs: dict[str, Sheet], seed: int) -> None:
    events = told(faults(seed))
    late = list(events)
    random.Random(seed).shuffle(late)
    for sheet in repairs.values():
        assert sheet.figures(events) == sheet.figures(late)


@FEW
@given(seed=SEEDS)
def test_faults_mean_what_the_rules_say(world: World, repairs: dict[str, Sheet], seed: int) -> None:
    """Beside an account of the rules in plain Python."""
    events = told(faults(seed))
    plain = [(one["id"], one["type"], one["subject"], one["time"].replace(tzinfo=UTC), one["data"]) for one in events]
    wanted = expect(world, plain, now=NOW, stock={})
    names = repairs[OFFERS].wanted
    offers = [dict(zip(names, row, strict=True)) for row in repairs[OFFERS].figures(events)]
    assert {(row["grp"], row["uid"]) for row in offers if row["kind"] == "offer"} == wanted.offers
    carts = [dict(zip(names, row, strict=True)) for row in repairs[CARTS].figures(events)]
    found = {(row["uid"], row["device_id"], row["instance"]): (row["part"], row["quantity"]) for row in carts}
    assert sorted(found.values()) == sorted(wanted.carts.values())
    assert {(user, f"repair-{instance}") for user, _, instance in found} == {
        (user, name.rpartition("-")[0]) for user, name in wanted.carts
    }


@FEW
@given(seed=SEEDS)
def test_incidents_in_any_order_mean_the_same(notices: dict[str, Sheet], seed: int) -> None:
    events = told(reports(seed))
    late = list(events)
    random.Random(seed).shuffle(late)
    for sheet in notices.values():
        sheet.fill(BEFORE, ())
        assert sheet.figures(events) == sheet.figures(late)


@FEW
@given(seed=SEEDS, hours=st.lists(st.booleans(), min_size=3, max_size=3))
def test_incidents_that_come_bit_by_bit_end_alike(notices: dict[str, Sheet], seed: int, hours: list[bool]) -> None:
    """By day and by night, whatever was known in between: at noon everybody is where all the messages put them."""
    events = told(reports(seed))
    random.Random(seed).shuffle(events)
    sheet = notices[MEMBERS]
    sheet.fill(BEFORE, ())
    wanted = sheet.figures(events)
    for number, is_day in enumerate(hours):
        sheet.figures(events[: number * len(events) // 3], now=NOW if is_day else NIGHT - timedelta(days=1), keeps=True)
    assert sheet.figures(events, keeps=True) == wanted
    assert sheet.figures(events, now=NOW, keeps=True) == wanted


@FEW
@given(seed=SEEDS)
def test_no_group_says_what_a_device_said(notices: dict[str, Sheet], seed: int) -> None:
    for row in notices[GROUPS].figures(told(reports(seed))):
        assert not {"temperatureC", "humidityPct", "odd"} & set(str(row).replace('"', " ").split())
