"""S3, CRM to shop: whatever happens in whatever order, price rows never overlap, and settle on what the rules say."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.agreements import Sales, assert_apart, assert_in_step, day, flowed, priced, slot_of
from flows.walking import KEY, Org, Row, Shop, Walk

STARTS = (-20, -10, -1, 0, 0, 1, 5, 10)
LENGTHS = (0, 3, 12, 40, None)
LATER = timedelta(hours=5)
"""By then every hand-over that waits for a full hour is over."""


@pytest.fixture
def sales(shop: Shop, org: Org) -> Sales:
    return Sales(shop, org)


class Deals:
    """Random agreements about one product, in two quantities."""

    def __init__(self, sales: Sales, seed: int) -> None:
        self.sales, self.random, self.count = sales, random.Random(seed), 0

    def happen(self) -> None:
        """One thing that people do."""
        names = [row[KEY] for row in self.sales.org.far.records("Price_Agreement__c") if not row["IsDeleted"]]
        chance = self.random.random()
        if chance < 0.45 or not names:
            self._agree()
            return
        name = self.random.choice(names)
        if chance < 0.55:
            self.sales.remove(name)
        else:
            self.sales.change(name, **self._change())

    def _agree(self) -> None:
        self.count += 1
        start, end = self._window()
        self.sales.agree(
            f"a{self.count}", self._price(), start, end, Minimum_Quantity__c=self.random.choice((1, 1, 1, 10))
        )

    def _window(self) -> tuple[int, int | None]:
        start, length = self.random.choice(STARTS), self.random.choice(LENGTHS)
        return start, None if length is None else start + length

    def _price(self) -> float:
        return self.random.randrange(500, 1500) / 100

    def _change(self) -> Row:
        start, end = self._window()
        moved = {"Valid_From__c": day(start), "Valid_To__c": None if end is None else day(end)}
        priced, active = {"Price__c": self._price()}, {"Active__c": self.random.random() < 0.6}
        return self.random.choice((moved, priced, active, {"Minimum_Quantity__c": self.random.choice((1, 1, 10))}))


def expected(sales: Sales, quantity: int, at: datetime, *, now: datetime) -> list[float]:
    """What the rules say a piece costs at a moment: the agreement that began last decides, even where it has run out."""
    known = {row["sapConditionId"] for row in sales.agreed()}
    begun = [row for row in sales.org.far.records("Price_Agreement__c")
             if not row["IsDeleted"] and row["Active__c"] and row["Minimum_Quantity__c"] == quantity
             and _begin(row) <= at and (_end(row) > now or f"SF-{row['Id']}" in known)]  # fmt: skip
    last = max(begun, key=lambda row: (_begin(row), row["Id"]), default=None)
    return [last["Price__c"]] if last and _end(last) > at else []


def _begin(row: Row) -> datetime:
    return datetime.fromisoformat(row["Valid_From__c"]).replace(tzinfo=UTC)


def _end(row: Row) -> datetime:
    last = row["Valid_To__c"]
    return (
        datetime.fromisoformat(last).replace(tzinfo=UTC) + timedelta(days=1)
        if last
        else datetime.max.replace(tzinfo=UTC)
    )


def settle(walk: Walk, *, ahead: timedelta) -> None:
    """Walk until a run writes nothing; that takes a few runs, each of which may free a window for another."""
    for _ in range(6):
        if priced(walk, ahead=ahead).sent == 0:
            return
    pytest.fail("six runs, and still something is written")


@pytest.mark.parametrize("seed", [2, 3])
def test_windows_never_overlap_and_settle_on_the_rules(walk: Walk, sales: Sales, seed: int) -> None:
    deals = Deals(sales, seed)
    flowed(walk)
    walk.gated = False  # the gate has stories of its own, and takes most of the time
    ahead = timedelta()
    for _ in range(8):
        for _ in range(deals.random.randint(3, 6)):
            deals.happen()
        for _ in range(deals.random.randint(1, 2)):
            some: dict[str, Any] = {"limit": deals.random.randint(1, 2)} if deals.random.random() < 0.7 else {}
            priced(walk, ahead=ahead, **some)  # a limit leaves any of the writes undone, as a refusal would
            assert_apart(sales)
            ahead += timedelta(hours=deals.random.choice((0, 0, 1, 5)))
    settle(walk, ahead=ahead)
    assert_apart(sales)
    now = datetime.now(UTC) + ahead
    moments = [now + LATER + timedelta(hours=12 * number) for number in range(110)]
    for quantity in (1, 10):
        slot = ("prices-acme", "p1|Online|Default", "pieces", "USD", quantity)
        rows = [row for row in sales.agreed() if slot_of(row) == slot]
        for at in moments:
            asked = [row["price"] for row in rows if row["startTime"] <= at.isoformat() < row["endTime"]]
            assert asked == expected(sales, quantity, at, now=now), at
    assert_in_step(walk, sales, ahead=ahead)
