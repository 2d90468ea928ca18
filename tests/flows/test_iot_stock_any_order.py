"""I2 and I3: the same messages in any order, in any portions, doubled or not, end in the same state; I2's is the rules'.

``HYPOTHESIS_EXAMPLES`` asks for more examples than the usual few.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.aggregating import Aggregate
from flows.walking import Row

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "12"))
NOW = datetime(2026, 11, 21, 12)
MODES = {"WH-EU-1": ("absolute", 20), "WH-US-2": ("delta", 200)}
"""Warehouse of the table in stock_levels.sql -> its mode, and pieces that are no jump yet."""
SURE, SHARE = 0.85, 0.5
usual = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)


def event(number: int, hour: int, subject: str, **data: Any) -> Row:
    """A message, received a minute after its time."""
    at = NOW - timedelta(days=20) + timedelta(hours=hour)
    return {
        "id": f"e{number:03d}",
        "subject": subject,
        "time": at,
        "received_at": at + timedelta(minutes=1),
        "data": data,
    }


counts = st.fixed_dictionaries(
    {
        "hour": st.integers(0, 8),
        "onHandQty": st.sampled_from([40.0, 38.0, 30.0, 5.0, 60.0, 90.0, 0.0, -1.0, 400.0, None]),
        "sequence": st.one_of(st.none(), st.integers(0, 6)),
        "confidence": st.sampled_from([*[0.97] * 8, 0.5, None]),
        "unit": st.sampled_from([*["pieces"] * 8, "kg"]),
    }
)
movements = st.fixed_dictionaries(
    {
        "hour": st.integers(4, 12),
        "deltaQty": st.sampled_from([*[-4.0, -1.0, 2.0, 20.0] * 3, -30.0, 900.0, None]),
        "movementId": st.sampled_from([None, "m0", "m1", "m2"]),
    }
)
houses = st.sampled_from(sorted(MODES))


@st.composite
def portions(draw: st.DrawFn, events: Sequence[Row]) -> list[list[Row]]:
    """The events with some of them repeated under other ids, shuffled, in up to three portions."""
    doubled = draw(st.lists(st.sampled_from(events), max_size=3)) if events else []
    every = draw(st.permutations([*events, *({**row, "id": f"{row['id']}-again"} for row in doubled)]))
    cuts = sorted(draw(st.lists(st.integers(0, len(every)), max_size=2)))
    bounds = [0, *cuts, len(every)]
    return [list(every[low:high]) for low, high in zip(bounds, bounds[1:], strict=False)]


def played(aggregate: Aggregate, parts: Sequence[Sequence[tuple[str, Row]]], names: Sequence[str],
           after: Callable[[list[Row]], None] = lambda _rows: None) -> list[Row]:  # fmt: skip
    """Deliver portion after portion of (source, message); gives what stands in the end."""
    aggregate.forget()
    seen: list[tuple[str, Row]] = []
    found: list[Row] = []
    for part in parts:
        seen += part
        for name in names:
            aggregate.fill(name, [row for source, row in seen if source == name])
        found = aggregate.run()
        after(found)
    return found


# Stock


@cache
def shelves() -> Aggregate:
    found = Aggregate("counts_to_stock_levels", now=NOW)
    found.fill("devices", [{"id": f"d-{house}", "active": True, "attributes": {"productCode": "p1", "warehouseCode": house}}
                           for house in MODES])  # fmt: skip
    found.fill("products", [{"integrationKey": "k", "code": "p1", "approvalStatus": {"code": "approved"}, "unit": {"code": "pieces"},
                             "catalogVersion": {"version": "Online"}}])  # fmt: skip
    return found


def stands(rows: Sequence[Row], house: str) -> tuple[int | None, str | None]:
    """(pieces, why it is held) of the shelf; nothing at all is (None, None)."""
    (row,) = [row for row in rows if row["id"] == f"held|{house}|p1"] or [{"on_hand": None, "fault": None}]
    stock = [row["on_hand"] for row in rows if row["id"] == f"stock|{house}|p1"]
    assert stock == ([] if row["on_hand"] is None else [row["on_hand"]])
    return row["on_hand"], row["fault"]


def ruled(house: str, said: list[Row], moves: list[Row]) -> int | None:
    """The pieces that the rules say, step by step."""
    mode, pieces = MODES[house]
    kept: dict[Any, Row] = {}
    for row in sorted(moves, key=lambda row: (row["data"]["deltaQty"] is None, row["time"], row["id"])):
        kept.setdefault(row["data"]["movementId"] or row["id"], row)
    good_moves = [row for row in kept.values() if row["data"]["deltaQty"] is not None]
    level = _last_good(said, good_moves, pieces)
    if level is None or mode == "absolute":
        return None if level is None else level[0]
    later = [row for row in kept.values() if row["time"] > level[1]]
    if any(
        row["data"]["deltaQty"] is None or abs(row["data"]["deltaQty"]) > max(pieces, SHARE * level[0]) for row in later
    ):
        return None
    total = int(level[0] + sum(row["data"]["deltaQty"] for row in later))
    return total if total >= 0 else None


def _last_good(said: list[Row], moves: list[Row], pieces: int) -> tuple[int, datetime] | None:
    by_sequence: dict[Any, Row] = {}
    for row in sorted(said, key=lambda row: (_is_bad(row), [-row["time"].timestamp()], [-ord(c) for c in row["id"]])):
        name = row["data"]["sequence"]
        by_sequence.setdefault(row["time"] if name is None else name, row)
    trusted = [row for row in by_sequence.values() if not _is_bad(row)]
    trusted.sort(
        key=lambda row: (-1 if row["data"]["sequence"] is None else row["data"]["sequence"], row["time"], row["id"])
    )
    levels = [
        (row["data"]["onHandQty"], sum(m["data"]["deltaQty"] for m in moves if m["time"] <= row["time"]))
        for row in trusted
    ]
    found = None
    for place, (qty, moved) in enumerate(levels):
        near = [level for old, was in levels[max(place - 2, 0) : place] for level in (old, old + moved - was)]
        if not near or any(abs(qty - level) <= max(pieces, SHARE * max(level, 0)) for level in near):
            found = (int(qty), trusted[place]["time"])
    return found


def _is_bad(row: Row) -> bool:
    told = row["data"]
    return bool(
        told["unit"] != "pieces"
        or told["onHandQty"] is None
        or told["onHandQty"] < 0
        or (told["confidence"] or 0) < SURE
    )


@usual
@given(st.data(), houses, st.lists(counts, min_size=1, max_size=8), st.lists(movements, max_size=8))
def test_a_shelf_ends_as_the_rules_say_in_whatever_order_messages_come(
    data: st.DataObject, house: str, counted: list[Row], moved: list[Row]
) -> None:
    told = {"warehouseCode": house, "productCode": "p1"}
    said = [event(n, one.pop("hour"), f"d-{house}", **told, **one) for n, one in enumerate(map(dict, counted))]
    moves = [event(100 + n, one.pop("hour"), f"d-{house}", **told, **one) for n, one in enumerate(map(dict, moved))]
    for row in moves:
        row["data"]["movementId"] = row["data"]["movementId"] or f"own-{row['id']}"
    of = {row["id"]: "counts" for row in said} | {row["id"]: "movements" for row in moves}
    sources = ("counts", "movements")
    ends = set()
    for _ in range(2):
        parts = data.draw(portions([*said, *moves]))
        named = [[(of[row["id"].removesuffix("-again")], row) for row in part] for part in parts]
        ends.add(stands(played(shelves(), named, sources), house))
    assert len(ends) == 1
    ((pieces, fault),) = ends
    assert pieces == ruled(house, said, moves)
    assert pieces is not None or fault is not None or not (said or (moves and MODES[house][0] == "delta"))


# Parcels

STATUSES = ("PICKED", "SHIPPED", "IN_TRANSIT", "OUT_FOR_DELIVERY", "DELIVERED", "LOST")
MAP = {"PICKED": "PICKPACK", "SHIPPED": "SHIPPED", "IN_TRANSIT": "IN_TRANSIT", "OUT_FOR_DELIVERY": "DELIVERING",
       "DELIVERED": "DELIVERY_COMPLETED"}  # fmt: skip
SHOWN = (
    "READY",
    "PICKPACK",
    "SHIPPED",
    "IN_TRANSIT",
    "DELIVERING",
    "DELIVERY_COMPLETED",
    "CANCELLED",
    "TAX_NOT_COMMITTED",
)
statuses = st.tuples(
    st.integers(0, 9), st.sampled_from(STATUSES), st.sampled_from([None, "2026-11-22", "2026-11-25", "soon"])
)
FAR = {name: place for place, name in enumerate(SHOWN[:6])}


@cache
def parcels() -> Aggregate:
    return Aggregate("parcels_to_consignments", now=NOW)


@usual
@given(
    st.data(),
    st.sampled_from(SHOWN),
    st.lists(statuses, min_size=1, max_size=7),
)
def test_a_parcel_goes_forward_only_in_whatever_order_messages_come(
    data: st.DataObject, shown: str, told: list[tuple[int, str, str | None]]
) -> None:
    messages = [
        event(n, hour, "t1", orderCode="O", consignmentCode="S", status=status, eta=eta)
        for n, (hour, status, eta) in enumerate(told)
    ]
    parcels().fill("consignments", [{"code": "S", "status": {"code": shown}, "order": {"code": "O"}}])
    ends = set()
    for _ in range(2):
        named = [[("messages", row) for row in part] for part in data.draw(portions(messages))]
        rows = played(parcels(), named, ("messages",))
        ends.add(frozenset((row["id"], row["status"], row["fault"], row["moves"]) for row in rows))
    assert len(ends) == 1
    (end,) = ends
    moved = {status for id_, status, _, moves in end if id_.startswith("consignment|") and moves}
    best = max((FAR[MAP[status]] for _, status, _ in told if status in MAP), default=-1)
    is_open = shown in FAR and FAR[shown] < 5
    is_dated = is_open and best == FAR[shown] and any(day and day != "soon" for _, status, day in told if status in MAP)
    assert moved == ({SHOWN[best]} if is_dated or (is_open and best > FAR[shown]) else set())


# Consumables

readings = st.tuples(
    st.integers(0, 60), st.sampled_from([3.0, 9.0, 14.0, 15.0, 16.0, 29.0, 45.0, 61.0, 80.0, 97.0, 130.0])
)
resets = st.lists(st.tuples(st.integers(0, 60), st.sampled_from([1.0, 500.0, 510.0])), max_size=3)


@cache
def filters() -> Aggregate:
    found = Aggregate("refill_carts", now=NOW)
    code = {"code": "filter"}
    found.fill(
        "devices",
        [
            {
                "id": "d1",
                "active": True,
                "attributes": {"productCode": "c200", "customerRef": "C1", "b2bUnit": None, "contractEnd": None},
            }
        ],
    )
    found.fill(
        "products",
        [
            {
                "integrationKey": "k",
                "code": "filter",
                "approvalStatus": {"code": "approved"},
                "catalogVersion": {"version": "Online"},
            }
        ],
    )
    found.fill("product_references", [{"integrationKey": "r", "active": True, "quantity": 2, "source": {"code": "c200"}, "target": code,
                                       "referenceType": {"code": "CONSUMABLE"}}])  # fmt: skip
    found.fill(
        "stock", [{"integrationKey": "s", "productCode": "filter", "available": 5, "reserved": 0, "overSelling": 0}]
    )
    found.fill(
        "prices",
        [
            {
                "integrationKey": "p",
                "price": 10,
                "minqtd": 1,
                "unitFactor": 1,
                "currency": {"isocode": "USD"},
                "product": code,
            }
        ],
    )
    found.fill("customers", [{"uid": "ada", "customerID": "C1", "loginDisabled": False}])
    return found


def prepared(rows: Sequence[Row]) -> list[Row]:
    """The carts that stand in the shop."""
    return [{"code": row["name"], "name": row["name"], "user": {"uid": row["uid"]}, "entries": [{"product": {"code": row["sku"]}}]}
            for row in rows if row["is_wanted"]]  # fmt: skip


@usual
@given(st.data(), st.lists(readings, max_size=10, unique_by=lambda one: one[0]), resets)
def test_a_consumable_ends_in_the_same_cart_in_whatever_order_messages_come(
    data: st.DataObject, told: list[tuple[int, float]], run_times: list[tuple[int, float]]
) -> None:
    """Between two portions the shop has the carts of the first."""
    said = [event(n, hour * 6, "d1", consumableType="air-filter", levelPct=pct, remainingUnits=None, estDaysLeft=None)
            for n, (hour, pct) in enumerate(told)]  # fmt: skip
    usage = [event(100 + n, hour * 6, "d1", runtimeHoursTotal=total) for n, (hour, total) in enumerate(run_times)]
    of = {row["id"]: "levels" for row in said} | {row["id"]: "usage" for row in usage}
    ends = set()
    for _ in range(2):
        filters().fill("carts", [])
        parts = data.draw(portions([*said, *usage]))
        named = [[(of[row["id"].removesuffix("-again")], row) for row in part] for part in parts]
        rows = played(filters(), named, ("levels", "usage"), lambda found: filters().fill("carts", prepared(found)))
        ends.add(frozenset((row["kind"], row["name"], row["sku"], row["quantity"], row["is_wanted"]) for row in rows))
    assert len(ends) == 1
    assert sum(is_wanted for *_, is_wanted in next(iter(ends))) <= 1, "one device has one cart"
