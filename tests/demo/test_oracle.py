"""The rules of the purchase history, each by a case worked out by hand."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.oracle import FIELDS, Line, Order, half_up, recompute

AS_OF = date(2026, 6, 30)


def line(price="10.00", *, quantity=1, returned=0, category="Dairy"):
    return Line(Decimal(quantity), Decimal(returned), Decimal(price), category)


def order(day, *lines, code="o", cancelled=False, account="A"):
    return Order(code, account, date.fromisoformat(day), cancelled, lines or (line(),))


def figures(*orders, as_of=AS_OF):
    return recompute(orders, as_of=as_of)["A"]


def test_a_line_keeps_the_share_of_its_price_that_was_not_sent_back_rounded_half_up():
    assert line("10.00", quantity=3, returned=1).value() == Decimal("6.67")
    assert line("0.05", quantity=2, returned=1).value() == Decimal("0.03")
    assert line("9.99", quantity=4, returned=4).value() == 0
    assert line("9.99", quantity=0).value() == 0


def test_a_cancelled_order_never_was_a_purchase():
    seen = figures(order("2026-01-01"), order("2026-05-01", line("99.00"), cancelled=True))
    assert (seen["Order_Count__c"], seen["Lifetime_Spend__c"]) == (1, Decimal("10.00"))
    assert seen["Last_Purchase__c"] == date(2026, 1, 1)


def test_an_order_that_came_back_completely_counts_but_adds_no_spend():
    seen = figures(order("2026-01-01"), order("2026-02-01", line("30.00", quantity=2, returned=2)))
    assert seen["Order_Count__c"] == 2
    assert seen["Lifetime_Spend__c"] == Decimal("10.00")
    assert seen["Returned_Amount__c"] == Decimal("30.00")
    assert seen["Average_Order_Value__c"] == Decimal("5.00")
    assert seen["Last_Purchase__c"] == date(2026, 2, 1)


def test_an_account_with_only_cancelled_orders_shows_zero_and_nothing_else():
    seen = figures(order("2026-01-01", cancelled=True))
    zero = {"Order_Count__c": 0, "Lifetime_Spend__c": 0}
    assert seen == dict.fromkeys(FIELDS, None) | zero


def test_days_between_purchases_ignore_a_second_order_on_the_same_day():
    seen = figures(order("2026-01-01"), order("2026-01-01"), order("2026-01-11"), order("2026-01-26"))
    assert seen["Median_Days_Between_Purchases__c"] == Decimal("12.5")
    assert seen["Expected_Next_Purchase__c"] == date(2026, 2, 8)  # 12.5 rounds up to 13


def test_one_purchase_day_has_no_rhythm():
    seen = figures(order("2026-01-01"), order("2026-01-01"))
    assert seen["Median_Days_Between_Purchases__c"] is None
    assert seen["Expected_Next_Purchase__c"] is None
    assert seen["Purchases_Per_Month__c"] == Decimal("2.00")  # less than a month counts as one


def test_purchases_per_month_run_from_the_first_to_the_last_day_inclusive():
    seen = figures(order("2026-01-01"), order("2026-03-01"), order("2026-04-01"))
    assert seen["Purchases_Per_Month__c"] == Decimal("1.00")  # 3 / (91 / 30.4375) = 1.0034


def test_categories_rank_by_what_was_kept_and_ties_by_name():
    seen = figures(
        order(
            "2026-01-01",
            line("10.00", category="Wine"),
            line("10.00", category="Bread"),
            line("40.00", quantity=2, returned=1, category="Meat"),
            line("50.00", quantity=1, returned=1, category="Toys"),
            line("1.00", category="Salt"),
        )
    )
    names = [seen[f"Top_Category_{place}__c"] for place in (1, 2, 3)]
    shares = [seen[f"Top_Category_{place}_Share__c"] for place in (1, 2, 3)]
    assert names == ["Meat", "Bread", "Wine"]
    assert shares == [Decimal("48.78"), Decimal("24.39"), Decimal("24.39")]


def test_a_category_that_was_sent_back_is_no_favourite():
    seen = figures(order("2026-01-01", line(quantity=1, returned=1)))
    assert seen["Top_Category_1__c"] is None
    assert seen["Top_Category_1_Share__c"] is None


@pytest.mark.parametrize(
    ("days_ago", "score"),
    [(0, 5), (30, 5), (31, 4), (60, 4), (61, 3), (120, 3), (121, 2), (240, 2), (241, 1)],
)
def test_recency_follows_its_bands(days_ago, score):
    day = date.fromordinal(AS_OF.toordinal() - days_ago)
    assert figures(order(day.isoformat()))["Recency_Score__c"] == score


@pytest.mark.parametrize(
    ("spend", "score"), [("249.99", 1), ("250", 2), ("999.99", 2), ("1000", 3), ("2000", 4), ("5000", 5)]
)
def test_monetary_follows_its_bands(spend, score):
    assert figures(order("2026-01-01", line(spend)))["Monetary_Score__c"] == score


@pytest.mark.parametrize(("orders", "score"), [(1, 2), (2, 3), (4, 4), (8, 5)])
def test_frequency_follows_its_bands(orders, score):
    seen = figures(*[order("2026-01-01") for _ in range(orders)])
    assert seen["Frequency_Score__c"] == score


def test_the_score_is_the_three_digits_in_order():
    seen = figures(order("2026-06-30", line("300.00")))
    assert seen["RFM_Score__c"] == "522"


def test_every_account_is_computed_from_its_own_orders_only():
    both = recompute([order("2026-01-01"), order("2026-01-01", line("7.00"), account="B")], as_of=AS_OF)
    assert {key: value["Lifetime_Spend__c"] for key, value in both.items()} == {
        "A": Decimal("10.00"),
        "B": Decimal("7.00"),
    }


@given(st.decimals(-(10**6), 10**6, places=5), st.integers(0, 4))
def test_half_up_rounds_as_decimal_does(value, places):
    assert half_up(Fraction(value), places=places) == value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
