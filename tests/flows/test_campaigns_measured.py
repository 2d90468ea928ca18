"""S8, shop to CRM: what every campaign brought per day and in total, equal to the shop's orders to the cent."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from demo import orders
from flows.marketing import CAMPAIGNS, DAYS, TOTALS, Marketing, assert_in_step, day, seen, today
from flows.walking import Org, Shop, Walk, line, uid

CENT = Decimal("0.01")
Figures = tuple[int, int, Decimal | None, Decimal, Decimal | None]
"""Reached, orders, conversion rate, revenue, average order value."""


@pytest.fixture
def marketing(shop: Shop, org: Org, monkeypatch: pytest.MonkeyPatch) -> Marketing:
    shop.product("p1")
    return Marketing(shop, org, monkeypatch)


def measured(walk: Walk, mode: str = "auto", *, now: datetime | None = None) -> None:
    for leg in (DAYS, TOTALS):
        run = walk(CAMPAIGNS, mode, leg, now=now)[leg]
        assert (walk.errors, run.status) == ({}, "green")


def exact(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def of_day(row: dict[str, Any]) -> Figures:
    return (int(row["Members_Reached__c"]), int(row["Orders__c"]), exact(row["Conversion_Rate__c"]),
            Decimal(str(row["Revenue__c"])), exact(row["Average_Order_Value__c"]))  # fmt: skip


def of_campaign(row: dict[str, Any]) -> Figures:
    return (int(row["Members_Reached__c"]), int(row["Commerce_Orders__c"]), exact(row["Conversion_Rate__c"]),
            Decimal(str(row["Commerce_Revenue__c"])), exact(row["Average_Order_Value__c"]))  # fmt: skip


class Books:
    """The figures again, in plain Python over the shop's orders, campaigns and redemptions as they are stored."""

    def __init__(self, marketing: Marketing) -> None:
        far = marketing.org.far
        raws = marketing.shop.dump()
        buyer = {raw["code"]: raw["user"]["customerID"] for raw in raws}
        self.orders = [
            (buyer[order.code], order) for order in orders.read(raws, categories={}) if not order.is_cancelled
        ]
        self.coupons = {(row["couponCode"], row["order"]) for row in marketing.shop.far.records("CouponRedemption")}
        contacts = {row["Id"]: row["Commerce_Id__c"] for row in far.records("Contact")}
        self.campaigns = {row["Commerce_Id__c"]: row for row in far.records("Campaign")}
        self.joined: dict[str, dict[str, date]] = {code: {} for code in self.campaigns}
        for row in far.records("CampaignMember"):
            code = next(key for key, item in self.campaigns.items() if item["Id"] == row["CampaignId"])
            if not row["IsDeleted"]:
                self.joined[code][contacts[row["ContactId"]]] = self._since(code, row["CreatedDate"])

    def period(self, code: str) -> list[date]:
        row = self.campaigns[code]
        first, last = date.fromisoformat(row["StartDate"]), date.fromisoformat(row["EndDate"])
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]

    def _since(self, code: str, created: str) -> date:
        days, made = self.period(code), date.fromisoformat(created[:10])
        return days[0] if made > days[-1] else max(made, days[0])

    def figures(self, code: str, days: Iterable[date]) -> Figures:
        days, joined = sorted(days), self.joined[code]
        coupon = self.campaigns[code]["Coupon_Code__c"]
        mine = [(who, order) for who, order in self.orders if order.day in days and (
            (coupon, order.code) in self.coupons if coupon else who in joined and joined[who] <= order.day)]  # fmt: skip
        buyers = {who for who, order in mine if who in joined and joined[who] <= order.day}
        reached = sum(since <= days[-1] for since in joined.values())
        revenue = sum((item.value() for _, order in mine for item in order.lines), Decimal(0))
        rate = _half_up(Decimal(100 * len(buyers)) / reached) if reached else None
        return reached, len(mine), rate, revenue, _half_up(revenue / len(mine)) if mine else None


def _half_up(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


def assert_exact(marketing: Marketing) -> None:
    """Every day up to today and every total is what the books say."""
    books = Books(marketing)
    for code in books.campaigns:
        days = [one for one in books.period(code) if one <= today()]
        found = {key: of_day(row) for key, row in marketing.days(code).items()}
        assert found == {one.isoformat(): books.figures(code, [one]) for one in days}
        if days:
            whole = books.figures(code, books.period(code))
            assert of_campaign(marketing.total(code)) == whole
            assert sum(row[3] for row in found.values()) == whole[3]


def test_the_story_of_a_campaigns_results(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    marketing.people(1, 2, 3, 4)
    marketing.campaign("campaign-x", 1, 2, 3, start=-4, end=2)
    marketing.join("campaign-x", 4, since=-1)
    marketing.campaign("campaign-c", 1, 2, start=-4, end=-2, Coupon_Code__c="TEN", Status="Completed", IsActive=False)
    marketing.campaign("campaign-next", 1, start=3, end=9)
    shop.order("O1", customer=1, day=day(-4), lines=[line(0, "p1", 3, 10.01), line(1, "p1", 1, 5.0)])
    shop.order("O2", customer=1, day=day(-4), lines=[line(0, "p1", 1, 1.0)])
    shop.order("O3", customer=4, day=day(-2), lines=[line(0, "p1", 1, 99.0)])  # not a member yet
    shop.order("O4", customer=4, day=day(-1), lines=[line(0, "p1", 1, 7.77)])
    shop.order("O5", customer=1, day=day(-9), lines=[line(0, "p1", 1, 50.0)])  # before the campaign
    shop.order("O6", customer=4, day=day(-3), lines=[line(0, "p1", 1, 20.0)])  # a coupon passed on
    for order, number in (("O2", 1), ("O5", 1), ("O6", 4)):
        marketing.redeem("TEN", order, number)
    seen(walk.site.ledger, ("v1", 1, -4), ("v2", 1, -4), ("v3", 2, -4), ("v4", 9, -3))
    measured(walk)
    first = marketing.days("campaign-x")[day(-4)]
    assert of_day(first) == (3, 2, Decimal("33.33"), Decimal("16.01"), Decimal("8.01"))
    assert sorted(marketing.days("campaign-x")) == [day(number) for number in range(-4, 1)]
    assert [marketing.days("campaign-x")[day(number)]["Visits__c"] for number in (-4, -3, -2)] == [2, 0, None]
    assert of_campaign(marketing.total("campaign-c")) == (2, 2, Decimal("50"), Decimal("21.00"), Decimal("10.50"))
    assert (marketing.days("campaign-next"), marketing.total("campaign-next")["Commerce_Orders__c"]) == ({}, None)
    assert marketing.total("campaign-x")["Name"] == "Name of campaign-x"
    assert_exact(marketing)

    shop.returned("R1", "O1", entry=0, pieces=1)
    shop.touch("O2", status="CANCELLED")
    shop.order("O7", customer=2, day=day(-3), lines=[line(0, "p1", 1, 3.33)])  # late
    measured(walk, "changes")
    assert_exact(marketing)
    shop.touch("O4", date=f"{day(-9)}T12:00:00+00:00")
    shop.touch("O7", user=uid(3))
    marketing.remove("CampaignMember", "campaign-x|C0002")
    marketing.edit("Campaign", "campaign-c", EndDate=day(-3))
    measured(walk, "changes")
    assert sorted(marketing.days("campaign-c")) == [day(-4), day(-3)]
    assert_exact(marketing)
    shop.far.delete("Order", "O6")
    measured(walk, "complete")
    assert_exact(marketing)
    assert_in_step_here(walk, marketing)


def assert_in_step_here(walk: Walk, marketing: Marketing) -> None:
    """The two legs again write nothing; complete or not."""
    for mode in ("changes", "complete"):
        before = marketing.stamps()
        marketing.org.far.reset_calls()
        measured(walk, mode)
        assert (marketing.org.writes(), marketing.stamps()) == (0, before)


def test_a_day_comes_with_the_date_and_nothing_is_written_twice(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    marketing.people(1)
    marketing.campaign("campaign-x", 1, start=-1, end=1)
    shop.order("O1", customer=1, day=day(0), lines=[line(0, "p1", 1, 10.0)])
    walk(CAMPAIGNS)
    assert walk.errors == {}
    assert_in_step(walk, marketing)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    measured(walk, "changes", now=tomorrow)
    assert of_day(marketing.days("campaign-x")[day(1)]) == (1, 0, Decimal(0), Decimal(0), None)
    measured(walk, "changes", now=tomorrow + timedelta(days=9))
    assert len(marketing.days("campaign-x")) == 3


def test_visits_that_the_inbox_has_forgotten_stay(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    marketing.people(1, 2)
    marketing.campaign("campaign-x", 1, 2, start=-3, end=1)
    seen(walk.site.ledger, ("v1", 1, -2), ("v2", 2, -2))
    measured(walk)
    assert walk.site.ledger.drop_events(datetime.now(UTC) + timedelta(hours=1)) == 2
    seen(walk.site.ledger, ("v3", 1, -1), ("v4", 2, -2))
    shop.order("O1", customer=1, day=day(-2), lines=[line(0, "p1", 1, 10.0)])
    measured(walk, "complete")
    found = {key: row["Visits__c"] for key, row in marketing.days("campaign-x").items()}
    assert found == {day(-3): None, day(-2): 2, day(-1): 1, day(0): None}


def test_an_order_in_another_currency_holds_back_its_day_only(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    marketing.people(1)
    marketing.campaign("campaign-x", 1, start=-3, end=1)
    marketing.campaign("campaign-long", start=-1000, end=5)
    marketing.campaign("campaign-back", start=5, end=-5)
    marketing.campaign("campaign-old", StartDate="1899-01-01", EndDate="1899-02-01")
    shop.order("O1", customer=1, day=day(-2), lines=[line(0, "p1", 1, 10.0)])
    shop.order("O2", customer=1, day=day(-1), lines=[line(0, "p1", 1, 10.0)])
    shop.far.put("Currency", [{"isocode": "XXX"}])
    shop.touch("O2", currency="XXX")
    for leg in (DAYS, TOTALS):
        walk(CAMPAIGNS, leg=leg)
        assert walk.errors == {}
        assert {item.code for item in walk.rejects(leg).values()} == {"revenue_is_in_the_currency_of_the_org"}
    assert set(marketing.days("campaign-x")) == {day(-3), day(-2), day(0)}
    assert {row["Campaign__c"] for row in marketing.org.live("Campaign_Performance__c").values()} == {
        marketing.id("Campaign", "campaign-x")
    }
    shop.touch("O2", currency="USD")
    measured(walk, "changes")
    assert of_campaign(marketing.total("campaign-x"))[3] == Decimal("20.00")


def test_a_campaign_that_is_deleted_takes_its_days_along(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    marketing.people(1)
    for code in ("campaign-x", "campaign-y"):
        marketing.campaign(code, 1, start=-2, end=1)
    measured(walk)
    marketing.remove("Campaign", "campaign-x")
    measured(walk, "changes")
    assert (len(marketing.days("campaign-x")), len(marketing.days("campaign-y"))) == (0, 3)
    assert set(marketing.org.live("Campaign")) == {"campaign-y"}, "totals never bring a campaign back"


class Customers:
    """Orders, edits, cancellations, moves and returns at random."""

    def __init__(self, marketing: Marketing, seed: int) -> None:
        self.marketing, self.shop = marketing, marketing.shop
        self.chance = random.Random(seed)
        self.codes: list[str] = []

    def place(self) -> None:
        """A new order, with or without the coupon, or an old one with other lines."""
        chance, is_old = self.chance, bool(self.codes) and self.chance.random() < 0.3
        code = chance.choice(self.codes) if is_old else f"O{len(self.codes)}"
        lines = [
            line(n, "p1", chance.randint(1, 4), chance.randint(1, 9999) / 100) for n in range(chance.randint(1, 3))
        ]
        self.shop.order(code, customer=chance.randint(1, 6), day=self._day(), lines=lines)
        if is_old:
            return
        self.codes.append(code)
        if chance.random() < 0.6:
            self.marketing.redeem("TEN", code, 1)

    def change(self) -> None:
        code, chance = self.chance.choice(self.codes), self.chance
        act = chance.choice(["cancel", "date", "move", "return"])
        if act == "cancel":
            self.shop.touch(code, status=chance.choice(["CANCELLED", "COMPLETED"]))
        elif act == "date":
            self.shop.touch(code, date=f"{self._day()}T23:59:59+00:00")
        elif act == "move":
            self.shop.touch(code, user=uid(chance.randint(1, 6)))
        else:
            status = chance.choice(["COMPLETED", "CANCELED"])
            self.shop.returned(f"R{code}", code, entry=0, pieces=chance.randint(1, 3), status=status)

    def _day(self) -> str:
        return day(self.chance.randint(-10, 0))


@pytest.mark.parametrize("seed", [1, 2])
def test_figures_equal_the_books_after_any_changes(walk: Walk, shop: Shop, marketing: Marketing, seed: int) -> None:
    walk.gated = False
    marketing.people(*range(1, 7))
    marketing.campaign("campaign-x", 1, 2, 3, start=-6, end=1)
    marketing.campaign("campaign-c", 2, 3, 4, start=-8, end=-2, Coupon_Code__c="TEN")
    customers = Customers(marketing, seed)
    for _ in range(12):
        customers.place()
    measured(walk)
    assert_exact(marketing)
    for _ in range(3):
        for act in customers.chance.choices([customers.place, customers.change], k=4):
            act()
        measured(walk, "changes")
        assert_exact(marketing)
    assert_in_step_here(walk, marketing)
