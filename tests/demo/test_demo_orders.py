"""Reading the shop's dump: whose order it is, what came back, what changed."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from decimal import Decimal

from demo import orders

NAMES = {"a": "Zwieback", "b": "Bread", "c": "Dairy"}


def raw(code="o1", **other):
    entry = {"entryNumber": 0, "quantity": 3, "totalPrice": "9.00", "categories": ["c"]}
    return {
        "code": code,
        "status": "COMPLETED",
        "date": "2026-01-31T23:30:00+00:00",
        "unit": None,
        "user": {"customerID": "C1"},
        "entries": [entry],
        "returns": [],
    } | other


def of(owner, code):
    return raw(code, user={"customerID": owner})


def back(quantity, *, status="COMPLETED", entry=0):
    return {"status": status, "entries": [{"entryNumber": entry, "expectedQuantity": quantity}]}


def read(one):
    (order,) = orders.read([one], categories=NAMES)
    return order


def test_an_order_belongs_to_its_unit_else_to_its_customer():
    assert read(raw(unit="U1")).account == "U1"
    assert read(raw()).account == "C1"
    assert list(orders.read([raw(user={"customerID": None})], categories=NAMES)) == []


def test_the_day_is_the_utc_date():
    assert read(raw(date="2026-01-31T23:30:00-05:00")).day == date(2026, 2, 1)
    assert read(raw(date="2026-01-31T23:30:00")).day == date(2026, 1, 31)


def test_returns_add_up_over_requests_unless_cancelled():
    returns = [back(1), back(1, status="WAIT"), back(1, status="CANCELED"), back(9, entry=7)]
    (line,) = read(raw(returns=returns)).lines
    assert line.returned == 2
    assert line.value() == Decimal("3.00")


def test_a_product_in_several_categories_counts_for_the_first_by_code():
    entry = raw()["entries"][0]
    assert read(raw(entries=[entry | {"categories": ["b", "a"]}])).lines[0].category == "Zwieback"
    assert read(raw(entries=[entry | {"categories": []}])).lines[0].category == "Other"


def test_only_what_differs_is_changed_and_both_owners_are_touched():
    before = orders.index([raw("o1"), raw("o2"), of("C3", "o3")])
    moved = of("C2", "o2")
    late = of("C4", "o4")
    after = orders.index([deepcopy(raw("o1")), moved, late])
    codes = orders.changed(before, after)
    assert codes == {"o2", "o3", "o4"}
    assert orders.owners(codes, before=before, after=after) == {"C1", "C2", "C3", "C4"}


def test_an_index_counts_lines_and_return_requests():
    found = orders.index([raw("o1", returns=[back(1), back(2)]), raw("o2")])
    assert (len(found.orders), found.entries, found.returns) == (2, 2, 2)
