"""The comparison must find every kind of difference, and only differences."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from demo.exactness import changed_keys, compare
from demo.oracle import FIELDS, Line, Order, recompute


def expected():
    lines = (Line(Decimal(1), Decimal(0), Decimal("12.50"), "Dairy"),)
    return recompute([Order("o1", "A", date(2026, 1, 1), False, lines)], as_of=date(2026, 1, 2))


def shown(**other):
    """The record as a REST API gives it: 12.5 for 12.50, dates as text."""
    figures = {name: value.isoformat() if isinstance(value, date) else value for name, value in expected()["A"].items()}
    return {"A": figures | {"Lifetime_Spend__c": Decimal("12.5"), "Order_Count__c": 1} | other}


def test_equal_figures_are_equal_however_they_are_written():
    result = compare(expected(), shown(Expected_Next_Purchase__c=""))
    assert result.differences == ()
    assert (result.accounts_compared, result.figures_compared) == (1, len(FIELDS))


def test_a_cent_is_a_difference():
    result = compare(expected(), shown(Lifetime_Spend__c=Decimal("12.51")))
    assert result.differences == ("account A: Lifetime_Spend__c is 12.51, recomputed 12.50",)
    assert result.max_difference == Decimal("0.01")


def test_a_day_a_text_and_a_missing_number_are_differences():
    result = compare(
        expected(),
        shown(First_Purchase__c="2026-01-02", Top_Category_1__c="dairy", Average_Order_Value__c=None),
    )
    assert len(result.differences) == 3
    assert result.max_difference == Decimal("12.50")


def test_an_account_that_never_arrived_is_a_difference():
    assert compare(expected(), {}).differences == ("account A has orders but is not in Salesforce",)


def test_an_account_without_orders_may_be_empty_or_zero_but_not_more():
    empty = dict.fromkeys(FIELDS, None)
    zero = empty | {"Order_Count__c": 0, "Lifetime_Spend__c": Decimal("0.0")}
    assert compare({}, {"B": empty, "C": zero}).differences == ()
    assert compare({}, {"B": empty | {"RFM_Score__c": "111"}}).differences == (
        "account B: RFM_Score__c is 111, recomputed None",
    )


def test_a_record_that_was_only_touched_has_changed():
    before = {"A": {"Name": "a", "SystemModstamp": "1"}, "B": {"Name": "b"}, "C": {"Name": "c"}}
    after = {"A": {"Name": "a", "SystemModstamp": "2"}, "C": {"Name": "c"}, "D": {"Name": "d"}}
    assert changed_keys(before, after) == {"A", "B", "D"}
