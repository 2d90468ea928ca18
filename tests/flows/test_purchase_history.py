"""S7: what every account has bought, from orders and returns, exact after any change, and only changed accounts written."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from demo import exactness, oracle, orders
from flows.walking import CUSTOMERS, HISTORY, KEY, SPEND, UNITS, Org, Row, Shop, Walk, line, uid

CATEGORIES = ("Bakery", "Beer", "Candy", "Deli")


def day(ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=ago)).date().isoformat()


def accounts_in_salesforce(shop: Shop, org: Org, *, customers: int) -> None:
    """Accounts as the flow of the customers would have made them, without walking it."""
    shop.units("acme", "zeta")
    shop.customers(*range(1, customers + 1))
    keys = ["acme", "zeta", *(f"C{number:04d}" for number in range(1, customers + 1))]
    org.far.put("Account", [{"Name": key, KEY: key} for key in keys])
    shop.categories(*CATEGORIES)
    for name in CATEGORIES:
        shop.product(f"p-{name.lower()}", name)
    shop.product("p-none")
    shop.product("p-two", "Deli", "Bakery")


def figures(org: Org) -> dict[str, dict[str, Any]]:
    """Every figure of every account, numbers as the API's text has them."""
    return {
        key: {name: Decimal(str(row[name])) if isinstance(row[name], float) else row[name] for name in oracle.FIELDS}
        for key, row in org.accounts.items()
    }


def assert_exact(shop: Shop, org: Org) -> None:
    names = {row["code"]: row["name"]["en"] for row in shop.far.records("Category")}
    expected = oracle.recompute(orders.read(shop.dump(), categories=names), as_of=datetime.now(UTC).date())
    assert exactness.compare(expected, figures(org)).differences == ()


def stamps(org: Org) -> dict[str, str]:
    return {key: row["SystemModstamp"] for key, row in org.accounts.items()}


def written(walk: Walk, org: Org, mode: str = "changes") -> set[str]:
    """Accounts a walk writes; it must be green, exactly those whose figures differ, and the next one writes nothing."""
    before, known = stamps(org), figures(org)
    walk(HISTORY, mode)
    assert walk.errors == {}
    after, now = stamps(org), figures(org)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {key for key in now if now[key] != known[key]}
    return changed


def assert_in_step(walk: Walk, org: Org) -> None:
    before = org.stamps()
    org.far.reset_calls()
    runs = walk(HISTORY)
    assert walk.errors == {}
    assert [run.sent for run in runs.values()] == [0]
    assert (org.writes(), org.stamps()) == (0, before)


def test_the_story_of_a_few_orders(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=3)
    shop.buyers(1, unit="acme")
    shop.order("O1", customer=1, day=day(40), lines=[line(0, "p-beer", 2, 10.01), line(1, "p-none", 1, 5.0)])
    shop.order("O2", customer=1, day=day(10), lines=[line(0, "p-two", 3, 9.99)])
    shop.order("O3", customer=2, day=day(5), lines=[line(0, "p-deli", 1, 7.77)])
    shop.order("O4", customer=3, unit="acme", day=day(1), lines=[line(0, "p-candy", 4, 100.0)])
    assert written(walk, org) == {"C0001", "C0002", "acme"}
    one = org.accounts["C0001"]
    assert (one["Order_Count__c"], one["Lifetime_Spend__c"], one["Top_Category_1__c"]) == (2, 25.0, "Beer")
    assert org.accounts["C0003"]["Order_Count__c"] is None, "the unit bought, not the person"
    assert_exact(shop, org)

    shop.returned("R1", "O1", entry=0, pieces=1)
    assert written(walk, org) == {"C0001"}, "returned"
    assert org.accounts["C0001"]["Returned_Amount__c"] == 5.0
    shop.order("O5", customer=2, day=day(200), lines=[line(0, "p-beer", 1, 1.0)])
    assert written(walk, org) == {"C0002"}, "late"
    shop.order("O4", customer=3, unit="acme", day=day(1), lines=[line(0, "p-candy", 5, 120.0)])
    assert written(walk, org) == {"acme"}, "edited"
    shop.touch("O3", status="CANCELLED")
    assert written(walk, org) == {"C0002"}, "cancelled"
    shop.touch("O2", user=uid(3))
    assert written(walk, org) == {"C0001", "C0003"}, "moved"
    shop.touch("O5")
    assert written(walk, org) == set(), "touched"
    shop.far.delete("Order", "O4")
    assert written(walk, org) == set(), "a delta read cannot see what is gone"
    assert written(walk, org, "complete") == {"acme"}, "deleted"
    assert (org.accounts["acme"]["Order_Count__c"], org.accounts["acme"]["RFM_Score__c"]) == (0, None)
    assert_in_step(walk, org)


def test_an_order_that_moves_takes_its_returns_along(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=3)
    shop.order("O1", customer=1, day=day(9), lines=[line(0, "p-beer", 2, 10.0)])
    shop.returned("R1", "O1", entry=0, pieces=1)
    written(walk, org)
    shop.tick(1200)  # from here on the return itself is not read any more
    shop.touch("O1", user=uid(2))
    assert written(walk, org) == {"C0001", "C0002"}
    assert_exact_for_orders(shop, org)
    shop.order("O2", customer=2, day=day(8), lines=[line(0, "p-beer", 1, 3.0)])
    assert written(walk, org) == {"C0002"}
    assert org.accounts["C0002"]["Lifetime_Spend__c"] == 8.0
    shop.touch("O1", user=uid(3))
    assert written(walk, org) == {"C0002", "C0003"}
    shop.order("O3", customer=3, day=day(7), lines=[line(0, "p-beer", 1, 4.0)])
    written(walk, org)
    assert org.accounts["C0003"]["Lifetime_Spend__c"] == 9.0
    written(walk, org, "complete")
    assert_exact_for_orders(shop, org)
    shop.order("O4", customer=3, day=day(6), lines=[line(0, "p-beer", 1, 1.0)])
    written(walk, org)
    assert_exact_for_orders(shop, org)


def assert_exact_for_orders(shop: Shop, org: Org) -> None:
    """Exact where orders are; an account whose last order moved away is told apart by ``assert_exact``."""
    names = {row["code"]: row["name"]["en"] for row in shop.far.records("Category")}
    expected = oracle.recompute(orders.read(shop.dump(), categories=names), as_of=datetime.now(UTC).date())
    found = {key: row for key, row in figures(org).items() if key in expected}
    assert exactness.compare(expected, found).differences == ()


def test_an_order_that_gets_an_owner_takes_its_returns_along(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=1)
    shop.far.put("Customer", [{"uid": "guest@people.example", "customerID": None, "modifiedtime": shop.tick()}])
    shop.order("O1", customer=1, day=day(9), lines=[line(0, "p-beer", 2, 10.0)])
    shop.touch("O1", user="guest@people.example")
    shop.returned("R1", "O1", entry=0, pieces=1)
    assert written(walk, org) == set(), "nobody's order"
    shop.tick(1200)
    shop.touch("O1", user=uid(1))
    assert written(walk, org) == {"C0001"}
    assert_exact_for_orders(shop, org)
    shop.tick(1200)
    shop.order("O2", customer=1, day=day(8), lines=[line(0, "p-beer", 1, 3.0)])
    assert written(walk, org) == {"C0001"}
    assert org.accounts["C0001"]["Lifetime_Spend__c"] == 8.0


class Customers:
    """Orders, far apart in time, that come, change, move, are returned and cancelled at random."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop, self.random, self.count = shop, random.Random(seed), 0
        self.orders: dict[str, Row] = {}
        self.returns = 0

    def place(self) -> None:
        self.count += 1
        code = f"O{self.count:03d}"
        customer = self.random.randint(1, 8)
        unit = self.random.choice(["acme", "zeta"]) if customer == 8 else None
        self.orders[code] = {
            "customer": customer,
            "unit": unit,
            "day": day(self.random.choice([0, 1, 29, 31, 61, 121, 300])),
        }
        self.put(code)

    def put(self, code: str) -> None:
        products = [*(f"p-{name.lower()}" for name in CATEGORIES), "p-none", "p-two"]
        lines = [
            line(number, self.random.choice(products), self.random.randint(1, 5), self.random.randint(0, 9999) / 100)
            for number in range(self.random.randint(1, 3))
        ]
        self.orders[code]["lines"] = max(len(lines), self.orders[code].get("lines", 0))
        self.shop.order(code, **{k: v for k, v in self.orders[code].items() if k != "lines"}, lines=lines)

    def change(self) -> None:
        self.shop.tick(200)
        code = self.random.choice(sorted(self.orders))
        act = self.random.choice(["edit", "cancel", "give back", "move", "place", "place"])
        if act == "edit":
            self.put(code)
        elif act == "cancel":
            self.shop.touch(code, status="CANCELLED")
        elif act == "move":
            self.shop.touch(code, user=uid(self.random.randint(1, 8)), unit=None)
        elif act == "place":
            self.place()
        else:
            self.returns += 1
            self.shop.returned(f"R{self.returns}", code, entry=0, pieces=self.random.randint(1, 3),
                               status=self.random.choice(["COMPLETED", "CANCELED"]))  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_figures_equal_a_recomputation_after_any_changes(walk: Walk, shop: Shop, org: Org, seed: int) -> None:
    accounts_in_salesforce(shop, org, customers=8)
    customers = Customers(shop, seed)
    for _ in range(15):
        customers.place()
    written(walk, org)
    assert_exact_for_orders(shop, org)
    for round_ in range(5):
        before = orders.index(shop.dump())
        for _ in range(customers.random.randint(1, 5)):
            customers.change()
        after = orders.index(shop.dump())
        touched = orders.owners(orders.changed(before, after), before=before, after=after)
        assert written(walk, org) <= touched
        assert_exact_for_orders(shop, org), round_
    assert written(walk, org, "complete") == set(), "a full recomputation gives the same figures"
    assert_in_step(walk, org)


def test_a_day_of_mutations_made_through_the_shops_api(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=8)
    customers = Customers(shop, 3)
    for _ in range(30):
        customers.place()
    written(walk, org)
    shop.far.clock(advance_s=-60)  # the present second is left to the next run
    for seed in (1, 2):
        told = shop.far.control("POST", "mutate", body={"share": 0.3, "seed": seed})
        assert written(walk, org) <= set(told["accounts"])
        assert_exact_for_orders(shop, org)
    assert_in_step(walk, org)


def test_an_order_of_an_account_that_is_not_there_yet_is_refused_and_arrives_later(
    walk: Walk, shop: Shop, org: Org
) -> None:
    shop.customers(1)
    shop.product("p1")
    shop.order("O1", customer=1, day=day(3), lines=[line(0, "p1", 1, 10.0)])
    first = walk(HISTORY)[SPEND]
    assert (first.status, first.rejected) == ("red", 1)
    assert walk.rejects(SPEND)["C0001"].code == "REQUIRED_FIELD_MISSING"
    assert org.accounts == {}
    walk(CUSTOMERS)
    second = walk(HISTORY, now=datetime.now(UTC) + timedelta(minutes=10))[SPEND]
    assert (second.status, second.delivered) == ("green", 1)
    assert org.accounts["C0001"]["Lifetime_Spend__c"] == 10
    assert UNITS not in walk.errors


def test_recency_moves_with_the_date_without_any_order(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=1)
    shop.order("O1", customer=1, day=day(29), lines=[line(0, "p-beer", 1, 10.0)])
    walk(HISTORY)
    assert org.accounts["C0001"]["Recency_Score__c"] == 5
    run = walk(HISTORY, "changes", now=datetime.now(UTC) + timedelta(days=2))[SPEND]
    assert (run.modified, org.accounts["C0001"]["Recency_Score__c"]) == (1, 4)
