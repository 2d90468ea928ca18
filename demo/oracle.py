"""Purchase history of every account in plain Python, to hold against what the flow delivered.

Nothing here is shared with the product: no SQL, no floats, one account after the other, exact fractions
until the one rounding each rule names. Rounding is half up everywhere. The rules:

- An order counts unless its status is CANCELLED.
- A line keeps quantity minus returned quantity, at least 0; its value is totalPrice * kept / quantity,
  rounded to the cent (0 when the quantity is 0). A fully returned order still counts as a purchase, with
  nothing spent.
- Spend is the sum of the kept line values, returned the sum of totalPrice minus spend, delivery cost is not
  part of it.
- Months run from the first to the last purchase, both days included, at 30.4375 days each, and are at least
  one.
- Days between purchases: the median of the gaps between consecutive distinct purchase dates; none below two
  dates.
- Categories: by kept value, ties by name; only those with a value above 0; three at most. A product's
  category is its first one by code; a product without one is in "Other".
- Scores: fixed bands for days since the last purchase, purchases per month, spend; 1 is the lowest, 5 the
  highest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise

Value = Decimal | str | date | None
Figures = dict[str, Value]

DAYS_PER_MONTH = Fraction("30.4375")
RECENCY_DAYS = ((30, 5), (60, 4), (120, 3), (240, 2))
PURCHASES_PER_MONTH = ((8, 5), (4, 4), (2, 3), (1, 2))
SPEND = ((5000, 5), (2000, 4), (1000, 3), (250, 2))
TOP_CATEGORIES = 3
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Line:
    """One order line. ``returned``: pieces of all its return requests that are not cancelled."""

    quantity: Decimal
    returned: Decimal
    total_price: Decimal
    category: str

    def value(self) -> Decimal:
        """What the kept pieces cost, to the cent."""
        if self.quantity == 0:
            return Decimal("0.00")
        if self.returned == 0:
            return self.total_price.quantize(CENT, ROUND_HALF_UP)
        kept = max(Fraction(self.quantity) - Fraction(self.returned), Fraction(0))
        return half_up(Fraction(self.total_price) * kept / Fraction(self.quantity), places=2)


@dataclass(frozen=True, slots=True)
class Order:
    """One order as the rules see it. ``account``: the unit's uid, without a unit the customer's id."""

    code: str
    account: str
    day: date
    is_cancelled: bool
    lines: tuple[Line, ...]


def half_up(value: Fraction, *, places: int) -> Decimal:
    """Round exactly, halves away from zero: 0.125 -> 0.13 and -0.125 -> -0.13 at two places."""
    scaled = abs(value) * 10**places
    whole, rest = divmod(scaled.numerator, scaled.denominator)
    if 2 * rest >= scaled.denominator:
        whole += 1
    return Decimal(-whole if value < 0 else whole).scaleb(-places)


class Account:
    """What one account bought; takes its orders in any sequence."""

    def __init__(self) -> None:
        self._count = 0
        self._ordered = Decimal(0)
        self._spend = Decimal(0)
        self._days: set[date] = set()
        self._by_category: dict[str, Decimal] = defaultdict(Decimal)

    def add(self, order: Order) -> None:
        """Take one order into account, if it counts."""
        if order.is_cancelled:
            return
        self._count += 1
        self._days.add(order.day)
        for line in order.lines:
            value = line.value()
            self._ordered += line.total_price
            self._spend += value
            self._by_category[line.category] += value

    def figures(self, *, as_of: date) -> Figures:
        """Every figure by the name of the Account field that carries it."""
        result = dict.fromkeys(FIELDS, None) | {
            "Order_Count__c": Decimal(self._count),
            "Lifetime_Spend__c": self._spend,
        }
        if self._count == 0:
            return result
        days = sorted(self._days)
        result |= {
            "Average_Order_Value__c": half_up(Fraction(self._spend) / self._count, places=2),
            "Returned_Amount__c": self._ordered - self._spend,
        }
        result |= _timing(days, count=self._count) | self._categories()
        return result | _scores(days[-1], as_of=as_of, rate=result["Purchases_Per_Month__c"], spend=self._spend)

    def _categories(self) -> Figures:
        sold = ((-value, name) for name, value in self._by_category.items() if value > 0)
        result: Figures = {}
        for place, (value, name) in enumerate(sorted(sold)[:TOP_CATEGORIES], start=1):
            result[f"Top_Category_{place}__c"] = name
            share = Fraction(-value * 100) / Fraction(self._spend)
            result[f"Top_Category_{place}_Share__c"] = half_up(share, places=2)
        return result


def recompute(orders: Iterable[Order], *, as_of: date) -> dict[str, Figures]:
    """Figures of every account that has at least one order, cancelled or not."""
    accounts: dict[str, Account] = defaultdict(Account)
    for order in orders:
        accounts[order.account].add(order)
    return {name: account.figures(as_of=as_of) for name, account in accounts.items()}


def _timing(days: list[date], *, count: int) -> Figures:
    months = max(Fraction((days[-1] - days[0]).days + 1) / DAYS_PER_MONTH, Fraction(1))
    median = _median([(later - earlier).days for earlier, later in pairwise(days)])
    expected = None if median is None else days[-1] + timedelta(days=int(half_up(median, places=0)))
    return {
        "First_Purchase__c": days[0],
        "Last_Purchase__c": days[-1],
        "Purchases_Per_Month__c": half_up(count / months, places=2),
        "Median_Days_Between_Purchases__c": None if median is None else half_up(median, places=1),
        "Expected_Next_Purchase__c": expected,
    }


def _median(gaps: list[int]) -> Fraction | None:
    if not gaps:
        return None
    ordered, middle = sorted(gaps), len(gaps) // 2
    if len(gaps) % 2:
        return Fraction(ordered[middle])
    return Fraction(ordered[middle - 1] + ordered[middle], 2)


def _scores(last: date, *, as_of: date, rate: Value, spend: Decimal) -> Figures:
    days = (as_of - last).days
    recency = next((score for limit, score in RECENCY_DAYS if days <= limit), 1)
    frequency = next((score for limit, score in PURCHASES_PER_MONTH if Decimal(str(rate)) >= limit), 1)
    monetary = next((score for limit, score in SPEND if spend >= limit), 1)
    return {
        "Recency_Score__c": Decimal(recency),
        "Frequency_Score__c": Decimal(frequency),
        "Monetary_Score__c": Decimal(monetary),
        "RFM_Score__c": f"{recency}{frequency}{monetary}",
    }


FIELDS: tuple[str, ...] = (
    "Order_Count__c",
    "Lifetime_Spend__c",
    "Average_Order_Value__c",
    "Returned_Amount__c",
    "First_Purchase__c",
    "Last_Purchase__c",
    "Purchases_Per_Month__c",
    "Median_Days_Between_Purchases__c",
    "Expected_Next_Purchase__c",
    "Top_Category_1__c",
    "Top_Category_1_Share__c",
    "Top_Category_2__c",
    "Top_Category_2_Share__c",
    "Top_Category_3__c",
    "Top_Category_3_Share__c",
    "Recency_Score__c",
    "Frequency_Score__c",
    "Monetary_Score__c",
    "RFM_Score__c",
)
