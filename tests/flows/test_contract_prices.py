"""S3, CRM to shop: agreements become price rows that never overlap, ended ones end, odd prices wait for a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.errors import GuardError
from commerce_sync.mapping import Approval, Limit
from flows.agreements import (
    NOBODY_BUYS,
    OPEN_END,
    ROWS,
    Sales,
    assert_apart,
    assert_in_step,
    day,
    flowed,
    priced,
)
from flows.walking import Org, Shop, Walk

SOON = timedelta(hours=3)


@pytest.fixture
def sales(shop: Shop, org: Org) -> Sales:
    return Sales(shop, org)


def test_the_story_of_an_agreement(walk: Walk, sales: Sales) -> None:
    sales.agree("a1", 8.05, -10, 20)
    sales.agree("a2", 7.5, -10, None, Minimum_Quantity__c=10)
    sales.agree("a3", 9.99, 5, 9, account="zeta")
    sales.agree("a4", 9.0, -30, -2)
    flowed(walk)
    one = sales.row("a1")
    assert {name: one[name] for name in ("price", "currency", "unit", "product", "ug", "minqtd", "unitFactor", "net")} == {
        "price": 8.05, "currency": "USD", "unit": "pieces", "product": "p1|Online|Default", "ug": "prices-acme", "minqtd": 1,
        "unitFactor": 1, "net": False,
    }  # fmt: skip
    assert sales.days("a1") == (day(-10), day(21)), "both days are included"
    assert (sales.row("a2")["minqtd"], sales.days("a2")) == (10, (day(-10), OPEN_END))
    assert (sales.row("a3")["ug"], sales.days("a3")) == ("prices-zeta", (day(5), day(10)))
    assert sales.names() == {"a1", "a2", "a3"}, "what had run out before never comes"
    assert_in_step(walk, sales, whole=True)
    assert_in_step(walk, sales, whole=True, mode="complete")
    sales.change("a1", Price__c=8.1)
    assert priced(walk).sent == 1
    assert sales.row("a1")["price"] == 8.1
    assert_in_step(walk, sales)
    assert_in_step(walk, sales, ahead=timedelta(days=30))
    assert sales.prices(30) == [], "it ends by time alone"


@pytest.mark.parametrize("way", ["deleted", "inactive", "contract", "vanished", "other account"])
def test_a_withdrawn_agreement_ends(walk: Walk, sales: Sales, way: str) -> None:
    contract = sales.contract("k1")
    sales.agree("a1", 8.0, Contract__c=contract)
    sales.agree("b1", 9.0, account="zeta")
    flowed(walk)
    assert sales.prices(1) == [8.0]
    first = sales.window("a1")[0]
    match way:
        case "deleted":
            sales.remove("a1")
        case "inactive":
            sales.change("a1", Active__c=False)
        case "contract":
            sales.org.far.patch("Contract", contract, Status="Terminated")
        case "vanished":  # from the recycle bin as well
            name = sales.id("Price_Agreement__c", "a1")
            walk.alter(ROWS, sources=tuple(_without(item, name) for item in walk.mapping(ROWS).sources))
        case _:
            sales.change("a1", Account__c=sales.id("Account", "zeta"), Minimum_Quantity__c=5)
    priced(walk, mode="complete")
    assert sales.prices(0) == sales.prices(1) == []
    if way != "other account":
        assert sales.window("a1")[0] == first
        assert first < sales.window("a1")[1] <= datetime.now(UTC)
    priced(walk)
    assert_in_step(walk, sales)
    assert_in_step(walk, sales, mode="complete")
    assert sales.row("b1")["endTime"].startswith("9999"), "others stay"


def _without(source: Any, name: str) -> Any:
    return replace(source, filter=f"Id != '{name}'") if source.name == "agreements" else source


def test_what_is_taken_back_before_it_begins_never_begins(walk: Walk, sales: Sales) -> None:
    sales.agree("a1", 8.0, 5, 9)
    flowed(walk)
    sales.change("a1", Active__c=False)
    priced(walk)
    assert (sales.names(), sales.prices(7)) == (set(), [])
    sales.change("a1", Active__c=True)
    priced(walk)
    assert sales.prices(7) == [8.0]


def test_a_later_agreement_takes_over_without_overlap_or_gap(walk: Walk, sales: Sales) -> None:
    sales.agree("old", 8.0, -10, 100)
    sales.agree("next", 9.0, 30, 60)
    flowed(walk)
    assert (sales.days("old"), sales.days("next")) == ((day(-10), day(30)), (day(30), day(61)))
    sales.agree("now", 7.0, -3, None)
    priced(walk)
    assert_apart(sales)
    cut = sales.window("old")[1]
    assert timedelta(hours=1) < cut - datetime.now(UTC) <= timedelta(hours=2), (
        "first the old one is cut, a little ahead"
    )
    assert sales.prices(0) == [8.0]
    priced(walk)
    assert_apart(sales)
    assert (sales.window("now")[0], sales.days("now")[1]) == (cut, day(30)), "then the new one begins there"
    assert (sales.prices(0), sales.prices(0.2), sales.prices(31), sales.prices(70)) == ([8.0], [7.0], [9.0], [])
    priced(walk, ahead=SOON)
    assert_in_step(walk, sales, ahead=2 * SOON)
    sales.remove("now")
    priced(walk, ahead=3 * SOON)
    priced(walk, ahead=4 * SOON)
    assert_apart(sales)
    assert (sales.prices(2), sales.prices(31)) == ([8.0], [9.0]), "what it had replaced is taken up again"
    assert_in_step(walk, sales, ahead=5 * SOON)


def test_on_one_day_the_higher_id_wins(walk: Walk, sales: Sales) -> None:
    sales.agree("b", 8.0, 2, 5)
    sales.agree("a", 9.0, 2, 7)
    flowed(walk)
    assert max(sales.id("Price_Agreement__c", name) for name in "ab") == sales.id("Price_Agreement__c", "a")
    assert (sales.names(), sales.prices(3)) == ({"a"}, [9.0])


def test_accounts_that_share_a_price_group_compete(walk: Walk, sales: Sales) -> None:
    for name in ("acme", "zeta"):
        sales.org.far.patch("Account", sales.id("Account", name), Commerce_Price_Group__c="partners")
    sales.agree("a", 8.0, 1, 90)
    sales.agree("z", 9.0, 10, 20, account="zeta")
    flowed(walk)
    assert_apart(sales)
    assert {row["ug"] for row in sales.agreed()} == {"partners"}
    assert (sales.days("a"), sales.unit("zeta")["userPriceGroup"]) == ((day(1), day(10)), "partners")
    sales.org.far.patch("Account", sales.id("Account", "zeta"), Commerce_Price_Group__c="others")
    flowed(walk)
    priced(walk)
    assert (sales.row("z")["ug"], sales.days("a")) == ("others", (day(1), day(91))), "no agreement was touched"
    assert_in_step(walk, sales)


def test_another_unit_or_currency_is_another_row_and_the_former_ends(walk: Walk, sales: Sales) -> None:
    sales.listed("p2", 5.0, unit="kg", currency="EUR")
    sales.agree("a", 4.0, Product_Code__c="p2", Unit__c="kg", Currency__c="eur ")
    sales.listed("p3", 12.0, product="p2", unitFactor=2)  # 6.00 a piece
    flowed(walk)
    assert sales.row("a")["currency"] == "EUR"
    sales.change("a", Unit__c="pieces", Currency__c="USD")
    priced(walk)
    assert sales.window("a", unit="kg")[1] <= datetime.now(UTC)
    assert sales.window("a", unit="pieces")[1].year == 9999
    priced(walk)
    assert_in_step(walk, sales)


# Gates


def test_odd_prices_wait_for_a_person(walk: Walk, sales: Sales) -> None:
    sales.agree("fair", 5.0)
    sales.agree("cheap", 4.99, Minimum_Quantity__c=5)
    sales.agree("dear", 15.01, Minimum_Quantity__c=6)
    sales.listed("p2", 10.0, currency="EUR")
    sales.agree("unlisted", 10.0, Product_Code__c="p2")
    run = flowed(walk)[ROWS]
    assert (run.delivered, run.quarantined, sales.names()) == (1, 3, {"fair"})
    assert len(sales.agreed()) == 1
    assert {item.code for item in walk.rejects(ROWS).values()} == {"held"}
    ledger = walk.site.ledger
    assert {item.key for item in ledger.holds(ROWS)} == {sales.key(name) for name in ("cheap", "dear", "unlisted")}
    ledger.answer_holds(ROWS, keys=[sales.key("cheap")], status="approved", by="ann")
    ledger.answer_holds(ROWS, keys=[sales.key("dear")], status="refused", by="ann")
    priced(walk)
    assert sales.window("cheap") == (NOBODY_BUYS, NOBODY_BUYS), "the shop has the price, and nobody buys at it yet"
    priced(walk)
    assert sales.names() == {"fair", "cheap"}
    assert (sales.row("cheap")["price"], sales.days("cheap")) == (4.99, (day(-10), OPEN_END))
    assert priced(walk).sent == 0
    sales.change("cheap", Valid_To__c=day(9))
    assert priced(walk).delivered == 1, "the price is not asked about again"
    sales.change("cheap", Price__c=1.0)
    sales.change("dear", Price__c=16.0)
    assert priced(walk).sent == 0
    assert {item.key: item.status for item in ledger.holds(ROWS)} == dict.fromkeys(
        [sales.key(name) for name in ("cheap", "dear", "unlisted")], "waiting"
    )
    assert (sales.row("cheap")["price"], sales.days("cheap")[1]) == (4.99, day(10)), "meanwhile the old price holds"
    ledger.answer_holds(ROWS, keys=[sales.key("cheap")], status="approved", by="bob")
    priced(walk)
    priced(walk)
    assert (sales.row("cheap")["price"], sales.prices(1, slot=slot(5))) == (1.0, [1.0])
    sales.change("dear", Price__c=15.0)
    assert priced(walk).delivered == 1
    assert sales.names() == {"fair", "cheap", "dear"}


def slot(quantity: int) -> tuple[Any, ...]:
    return ("prices-acme", "p1|Online|Default", "pieces", "USD", quantity)


def test_an_odd_price_that_waits_ends_nothing(walk: Walk, sales: Sales) -> None:
    sales.agree("old", 8.0, -10, 100)
    sales.agree("odd", 1.0, 10, 50)
    flowed(walk)
    assert (sales.days("old"), sales.prices(20)) == ((day(-10), day(101)), [8.0])
    walk.site.ledger.answer_holds(ROWS, keys=None, status="approved", by="ann")
    for _ in range(3):
        priced(walk)
        assert_apart(sales)
        assert sales.prices(1) == [8.0]
    assert (sales.prices(9), sales.prices(20), sales.prices(60)) == ([8.0], [1.0], [])
    assert_in_step(walk, sales)


def test_a_mass_change_of_prices_stops_and_asks(walk: Walk, sales: Sales) -> None:
    for number in range(6):
        sales.agree(f"a{number}", 8.0, Minimum_Quantity__c=number + 1)
    flowed(walk)
    rule = walk.mapping(ROWS).approval
    assert rule is not None
    walk.alter(ROWS, approval=Approval(rows=rule.rows, changes=Limit(share=0.2, absolute=2)))
    for number in range(4):
        sales.change(f"a{number}", Price__c=9.0)
    walk.attempt(ROWS)
    assert isinstance(walk.error, GuardError)
    assert {row["price"] for row in sales.agreed()} == {8.0}, "nothing was sent"
    walk.site.ledger.answer_holds(ROWS, keys=["*"], status="approved", by="ann")
    priced(walk)
    assert sorted(row["price"] for row in sales.agreed()) == [8.0] * 2 + [9.0] * 4


def test_bad_agreements_are_named_and_the_others_arrive(walk: Walk, sales: Sales) -> None:
    sales.agree("good", 8.0)
    sales.agree("free", 0.0, Minimum_Quantity__c=2)
    sales.agree("minus", -1.0, Minimum_Quantity__c=3)
    sales.agree("none", None, Minimum_Quantity__c=4)
    sales.agree("backwards", 8.0, 5, 1, Minimum_Quantity__c=5)
    sales.agree("absurd", 8.0, Valid_From__c="1700-01-01", Minimum_Quantity__c=6)
    sales.agree("far", 8.0, Valid_From__c="3999-01-01", Minimum_Quantity__c=7)
    sales.agree("nothing", 8.0, Minimum_Quantity__c=0)
    sales.agree("no product", 8.0, Product_Code__c=" ")
    sales.agree("no currency", 8.0, Currency__c=None)
    sales.agree("no account", 8.0, Account__c=None)
    flowed(walk)
    reasons = {item.key.split("|")[0]: item.code for item in walk.rejects(ROWS).values()}
    found = {name: reasons.pop(sales.key(name).split("|")[0]) for name in
             ("free", "minus", "none", "backwards", "absurd", "far", "nothing", "no product", "no currency", "no account")}  # fmt: skip
    assert reasons == {}
    assert found["backwards"] == "ends_after_it_begins"
    assert found["absurd"] == found["far"] == "begins_between_2000_and_2100"
    assert found["no account"] == "account_is_known_to_the_shop"
    assert sales.names() == {"good"}
    assert len(sales.agreed()) == 1
    sales.change("free", Price__c=6.0)
    priced(walk)
    assert sales.names() == {"good", "free"}


def test_what_the_shop_lacks_is_rejected_and_comes_once_it_is_there(walk: Walk, sales: Sales) -> None:
    sales.agree("good", 8.0)
    sales.agree("product", 8.0, Product_Code__c="p9")
    sales.agree("late", 8.0, Product_Code__c="p8")
    sales.agree("name", 8.0, Product_Code__c="p" * 255)
    sales.agree("currency", 8.0, Currency__c="XXX")
    sales.agree("unit", 8.0, Unit__c="\u05e7\u05e8\u05d8\u05d5\u05df \U0001f4e6")
    flowed(walk)
    held = {sales.key("currency", currency="XXX"), sales.key("unit", unit="\u05e7\u05e8\u05d8\u05d5\u05df \U0001f4e6")}
    assert {item.key for item in walk.site.ledger.holds(ROWS)} == held, "p1 has no list price in these"
    walk.site.ledger.answer_holds(ROWS, keys=None, status="approved", by="ann")
    priced(walk)
    found = {item.key: (item.status, item.reason_class) for item in walk.rejects(ROWS).values()}
    lost = {sales.key(name) for name in ("product", "late", "name")}
    assert found == dict.fromkeys(held | lost, ("rejected", "reference"))
    assert sales.names() == {"good"}
    sales.listed("p9", 9.0)
    sales.shop.far.put("Product", [{"code": "p8"}])
    priced(walk)
    assert sales.names() == {"good", "product"}
    priced(walk, mode="replay")
    assert (sales.names(), sales.key("late") in walk.rejects(ROWS)) == ({"good", "product"}, False)
    assert priced(walk).sent == 0
    assert [item.key for item in walk.site.ledger.holds(ROWS, status="waiting")] == [sales.key("late")], "no list price"


def test_an_agreement_without_a_start_begins_with_its_contract(walk: Walk, sales: Sales) -> None:
    contract = sales.contract("k1", StartDate=day(-40), ContractTerm=2)
    sales.agree("a", 8.0, None, 900, Contract__c=contract)
    sales.agree("b", 8.0, None, None, Minimum_Quantity__c=2, CreatedDate=f"{day(-7)}T10:00:00.000Z")
    draft = sales.contract("k2", Status="Draft")
    sales.agree("c", 8.0, Minimum_Quantity__c=3, Contract__c=draft)
    flowed(walk)
    assert sales.days("a")[0] == day(-40)
    assert sales.days("a")[1] < day(60), "not longer than its contract"
    assert sales.days("b")[0] == day(-7)
    assert sales.names() == {"a", "b"}
    sales.org.far.patch("Contract", draft, Status="Activated")
    priced(walk)
    assert sales.names() == {"a", "b", "c"}
