"""The demo seed: real baskets as orders, and a day's worth of change on top."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import requests

from simulators.seed.people import companies, is_business, person


class Demo:
    """The shop with its demo seed, through the control API only."""

    def __init__(self, url):
        self.url = url

    def control(self, method, path, *, body=None):
        answer = requests.request(method, f"{self.url}/_sim/{path}", json=body, timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def reset(self):
        self.control("POST", "reset", body={"seed": "demo"})

    def records(self, kind):
        return self.control("GET", f"records/{kind}")["records"]


@pytest.fixture(scope="module")
def demo(simulators):
    side = Demo(simulators["sap_commerce"]["url"])
    side.reset()
    return side


@pytest.fixture(scope="module")
def orders(demo):
    """All orders of the untouched seed by code; the tests that change the seed come after."""
    return dump(demo)


def dump(side):
    lines = requests.get(f"{side.url}/_sim/dump/orders", timeout=60).content.splitlines()
    return {order["code"]: order for order in map(json.loads, lines)}


def cents(value):
    return round(float(value) * 100)


def test_the_slice_holds_every_tenth_household_with_all_it_bought(orders):
    assert len(orders) == 16246
    assert sum(len(order["entries"]) for order in orders.values()) == 148755
    assert len({order["user"]["customerID"] for order in orders.values()}) == 247


def test_totals_are_exact_cents_and_equal_the_sum_of_their_entries(orders):
    for order in orders.values():
        assert cents(order["totalPrice"]) == sum(cents(entry["totalPrice"]) for entry in order["entries"])
        assert order["totalPrice"] == cents(order["totalPrice"]) / 100


def test_the_last_day_is_yesterday_and_changes_follow_their_orders(orders):
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    assert max(order["date"][:10] for order in orders.values()) == yesterday
    assert all(order["date"] < order["modifiedtime"] for order in orders.values())


def test_statuses_and_returns_have_small_fixed_shares(orders):
    statuses = Counter(order["status"] for order in orders.values())
    assert 0.01 < statuses["CANCELLED"] / len(orders) < 0.02
    assert 0 < statuses["CREATED"] < 300
    returned = [order for order in orders.values() if order["returns"]]
    assert 0.01 < len(returned) / len(orders) < 0.03
    assert {request["status"] for order in returned for request in order["returns"]} == {"COMPLETED", "WAIT"}


def test_business_orders_belong_to_the_unit_of_their_customer(demo, orders):
    units = {c["uid"]: c["defaultB2BUnit"] for c in demo.records("B2BCustomer")}
    for order in orders.values():
        assert order["unit"] == units.get(order["user"]["uid"])
    sizes = Counter(units.values()).values()
    assert set(sizes) <= set(range(3, 9))


def test_people_and_companies_follow_from_the_household_number_alone():
    households = list(range(1, 2501))
    assert [person(h) for h in households] == [person(h) for h in households]
    assert len({person(h).uid for h in households}) == 2500
    assert 0.15 < sum(map(is_business, households)) / 2500 < 0.25
    assert {len(c.households) for c in companies(households)} <= set(range(3, 9))


def test_mutation_changes_a_share_of_the_orders_and_names_what_it_touched(demo, orders):
    demo.reset()
    answer = demo.control("POST", "mutate", body={"share": 0.01, "seed": 7})
    after = dump(demo)
    changed = {code for code in after if after[code] != orders.get(code)}
    assert changed == set(answer["orders"])
    assert 100 < len(changed) <= 162
    assert sum(answer["by_kind"].values()) == len(answer["orders"])
    assert all(answer["by_kind"].values())
    owners = {order["unit"] or order["user"]["customerID"] for code, order in after.items() if code in changed}
    assert owners == set(answer["accounts"])
    for code in changed:
        total = sum(cents(entry["totalPrice"]) for entry in after[code]["entries"])
        assert cents(after[code]["totalPrice"]) == total


def test_the_same_mutation_seed_gives_the_same_changes(demo):
    answers = []
    for _ in range(2):
        demo.reset()
        answers.append(demo.control("POST", "mutate", body={"share": 0.002, "seed": 1}))
    assert answers[0] == answers[1]
