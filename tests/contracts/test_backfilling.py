"""Contract 4.8, the long way: ninety daily slices in random order, beside live runs, against what the shop says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from flows.walking import HOUSEHOLDS, SPEND, Org, Shop, Walk, line, uid

DAYS = 90
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def slices(rng: random.Random) -> Iterator[tuple[datetime, datetime]]:
    """The intervals a daily schedule would have had, shuffled as many workers would take them."""
    starts = [TODAY - timedelta(days=number) for number in range(1, DAYS + 1)]
    rng.shuffle(starts)
    return ((start, start + timedelta(days=1)) for start in starts)


class Story:
    """What every customer's name is in the shop; a name ends with the number of times it was changed."""

    def __init__(self, shop: Shop, rng: random.Random) -> None:
        self.shop, self.rng = shop, rng
        self.names: dict[str, str] = {}

    def begin(self) -> None:
        for number in range(1, DAYS + 1):
            moment = TODAY - timedelta(days=number) + timedelta(minutes=self.rng.randrange(1440))
            (key,) = self.shop.customers(number, name=f"Ada {number} 0", modifiedtime=moment.isoformat())
            self.names[key] = f"Ada {number} 0"

    def go_on(self) -> None:
        """Somebody is changed now, and leaves the day a slice would have found it on."""
        number = self.rng.randrange(1, DAYS + 1)
        key = f"C{number:04d}"
        self.names[key] = f"Ada {number} {int(self.names[key].split()[-1]) + 1}"
        now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=2)
        self.shop.change(number, name=self.names[key], modifiedtime=now.isoformat())

    def seen(self, org: Org) -> dict[str, str]:
        return {key: row["Name"].removesuffix(" (household)") for key, row in org.accounts.items()}


def assert_none_went_back(before: dict[str, str], now: dict[str, str]) -> None:
    turns = {key: (int(before[key].split()[-1]), int(name.split()[-1])) for key, name in now.items() if key in before}
    assert all(earlier <= later for earlier, later in turns.values()), turns
    assert set(before) <= set(now), "nobody vanishes"


@pytest.mark.parametrize("seed", [1])
def test_ninety_slices_in_any_order_beside_live_runs_end_as_the_shop_has_it(
    walk: Walk, shop: Shop, org: Org, seed: int
) -> None:
    rng = random.Random(seed)
    story = Story(shop, rng)
    story.begin()
    seen: dict[str, str] = {}
    water = None
    for number, (since, until) in enumerate(slices(rng)):
        if rng.random() < 0.3:
            story.go_on()
        if number % 15 == 7:
            walk.leg(HOUSEHOLDS)
            water = walk.site.ledger.state(HOUSEHOLDS).high_water
        walk.leg(HOUSEHOLDS, "changes", since=since, until=until, backfill=True)
        assert walk.site.ledger.state(HOUSEHOLDS).high_water == water
        assert_none_went_back(seen, found := story.seen(org))
        seen = found
    walk.leg(HOUSEHOLDS)
    assert story.seen(org) == story.names
    org.far.reset_calls()
    for since, until in list(slices(rng))[:10]:
        run = walk.leg(HOUSEHOLDS, "changes", since=since, until=until, backfill=True)
        assert (run.sent, run.deleted) == (0, 0)
    assert org.writes() == 0, "completed slices once more"
    assert story.seen(org) == story.names


def test_slices_of_an_aggregate_end_as_a_full_recomputation(walk: Walk, shop: Shop, org: Org) -> None:
    """Orders change while they are read slice by slice; figures are those of all orders together."""
    rng = random.Random(3)
    shop.product("p1")
    shop.customers(1, 2, 3)
    for leg in (HOUSEHOLDS, "customers_to_contacts"):
        walk.leg(leg)
    totals: dict[str, tuple[int, float]] = {}

    def order(number: int, days: int) -> None:
        owner, price = 1 + number % 3, 10.0 + rng.randrange(90)
        day = (TODAY - timedelta(days=days) + timedelta(hours=9)).isoformat()
        shop.order(f"O{number}", customer=owner, day=day, lines=[line(0, "p1", 1, price)])
        shop.far.patch("Order", f"O{number}", modifiedtime=day)
        totals[f"O{number}"] = (owner, price)

    for number in range(1, 31):
        order(number, number)
    walk.leg(SPEND)
    for number, days in zip(rng.sample(range(1, 31), 12), range(1, 13), strict=True):
        order(number, days)
    starts = [TODAY - timedelta(days=number) for number in range(1, 31)]
    rng.shuffle(starts)
    for since in starts:
        walk.leg(SPEND, "changes", since=since, until=since + timedelta(days=1), backfill=True)
    for customer in (1, 2, 3):
        own = [price for owner, price in totals.values() if owner == customer]
        account = org.accounts[f"C{customer:04d}"]
        assert account["Order_Count__c"] == len(own), uid(customer)
        assert account["Lifetime_Spend__c"] == pytest.approx(sum(own))
    figures = {key: dict(row) for key, row in org.accounts.items()}
    assert walk.leg(SPEND, "complete").sent == 0, "a full recomputation gives the same"
    assert {key: dict(row) for key, row in org.accounts.items()} == figures
