"""S7 beyond spend: dated currency rates, what to offer next, guests and accounts that turn out to be one customer."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from commerce_sync.systems.inbox.polling import poll
from commerce_sync.systems.inbox.taking import take
from flows.test_purchase_history import accounts_in_salesforce, day
from flows.walking import HISTORY, SPEND, Org, Shop, Walk, line, uid


def rate(walk: Walk, currency: str, on: str, value: float, *, name: str = "") -> None:
    event = {"specversion": "1.0", "id": f"{currency}-{on}{name}", "source": "bank", "type": "currency.rated",
             "time": f"{on}T00:00:00Z", "data": {"currency": currency, "rate": value}}  # fmt: skip
    taken = take(walk.site.ledger, "rates", [json.dumps(event).encode()], types=("currency.rated",))
    assert taken.new == 1


def spend(org: Org, key: str) -> Decimal:
    return Decimal(str(org.accounts[key]["Lifetime_Spend__c"]))


def euros(shop: Shop, code: str, **order: Any) -> None:
    shop.order(code, **order)
    shop.touch(code, currency="EUR")


def test_an_order_counts_at_the_rate_of_its_day(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=2)
    rate(walk, "EUR", day(30), 1.10)
    rate(walk, "EUR", day(10), 1.20)
    euros(shop, "O1", customer=1, day=day(20), lines=[line(0, "p-beer", 1, 100.05)])
    euros(shop, "O2", customer=1, day=day(10), lines=[line(0, "p-deli", 2, 10.0)])
    shop.order("O3", customer=2, day=day(10), lines=[line(0, "p-deli", 2, 10.0)])
    walk.leg(SPEND)
    assert (spend(org, "C0001"), spend(org, "C0002")) == (Decimal("122.06"), Decimal("10.0"))
    rate(walk, "EUR", day(10), 1.30, name="-corrected")
    walk.leg(SPEND)
    assert spend(org, "C0001") == Decimal("123.06")
    org.far.reset_calls()
    assert (walk.leg(SPEND).sent, org.writes()) == (0, 0)


def test_figures_wait_for_a_rate_that_is_not_known(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=12)
    rate(walk, "EUR", day(10), 1.20)
    for number in range(2, 13):
        shop.order(f"U{number}", customer=number, day=day(3), lines=[line(0, "p-deli", 1, 7.0)])
    euros(shop, "O1", customer=1, day=day(20), lines=[line(0, "p-beer", 1, 100.0)])
    run = walk.leg(SPEND)
    assert (run.quarantined, run.delivered) == (1, 11)
    assert "every_order_has_a_currency_rate" in str(walk.rejects(SPEND)["C0001"])
    assert org.accounts["C0001"]["Lifetime_Spend__c"] is None
    rate(walk, "EUR", day(25), 1.50)
    walk.leg(SPEND)
    assert (spend(org, "C0001"), walk.rejects(SPEND)) == (Decimal("150.0"), {})


def propose(shop: Shop, source: str, target: str, kind: str = "CROSSELLING", *, active: bool = True) -> None:
    row = {"source": source, "target": target, "referenceType": kind, "active": active, "modifiedtime": shop.tick()}
    shop.far.put("ProductReference", [row])


def test_the_shops_references_say_what_to_offer_next(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=2)
    propose(shop, "p-beer", "p-candy")
    propose(shop, "p-beer", "p-deli", "ACCESSORIES")
    propose(shop, "p-bakery", "p-deli", "UPSELLING")
    propose(shop, "p-bakery", "p-none", "SIMILAR")
    propose(shop, "p-bakery", "p-two", active=False)
    shop.order("O1", customer=1, day=day(9), lines=[line(0, "p-beer", 1, 5.0), line(1, "p-bakery", 1, 2.0)])
    shop.order("O2", customer=2, day=day(9), lines=[line(0, "p-beer", 1, 5.0), line(1, "p-candy", 1, 2.0)])
    walk.leg(SPEND)
    assert {key: row["Cross_Sell_Products__c"] for key, row in org.accounts.items() if key.startswith("C")} == {
        "C0001": "p-deli, p-candy",
        "C0002": "p-deli",
    }
    shop.order("O3", customer=1, day=day(1), lines=[line(0, "p-deli", 1, 4.0)])
    walk.leg(SPEND)
    assert org.accounts["C0001"]["Cross_Sell_Products__c"] == "p-candy"
    propose(shop, "p-deli", "p-two")
    walk.leg(SPEND)
    assert {org.accounts[key]["Cross_Sell_Products__c"] for key in ("C0001",)} == {"p-candy, p-two"}


def test_the_orders_of_a_guest_count_for_the_customer_it_turns_out_to_be(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=2)
    shop.order("O1", customer=1, day=day(9), lines=[line(0, "p-beer", 1, 5.0)])
    shop.order("O2", customer=2, day=day(8), lines=[line(0, "p-beer", 2, 7.0)])
    walk.leg(SPEND)
    shop.touch("O1", user=uid(2))
    walk.leg(SPEND)
    assert (spend(org, "C0001"), spend(org, "C0002")) == (Decimal("0"), Decimal("12.0"))


def test_accounts_merged_in_salesforce_add_up(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=2)
    shop.order("O1", customer=1, day=day(9), lines=[line(0, "p-beer", 1, 5.0)])
    shop.order("O2", customer=2, day=day(8), lines=[line(0, "p-beer", 2, 7.0)])
    walk.leg(SPEND)
    ids = {key: row["Id"] for key, row in org.accounts.items()}
    merged = {"lost": "C0001", "now": "C0002", "lost_id": ids["C0001"], "now_id": ids["C0002"]}
    org.far.delete("Account", ids["C0001"])
    walk.site.ledger.put_aliases("salesforce", "Account", [merged])
    walk.leg(SPEND, "changes")
    assert spend(org, "C0002") == Decimal("12.0")
    assert "C0001" not in org.accounts, "nothing brings the merged account back"
    org.far.reset_calls()
    assert (walk.leg(SPEND).sent, org.writes()) == (0, 0)


def test_the_rates_come_as_a_file(walk: Walk, shop: Shop, org: Org) -> None:
    folder = walk.folder / "feeds" / "rates"
    folder.mkdir(parents=True)
    event = {"specversion": "1.0", "id": "ecb-EUR", "source": "ecb", "type": "currency.rated", "time": f"{day(30)}T00:00:00Z",
             "data": {"currency": "EUR", "rate": 2}}  # fmt: skip
    (folder / "2026.jsonl").write_text(json.dumps(event) + "\n")
    assert poll("rates", ledger=walk.site.ledger).new == 1
    accounts_in_salesforce(shop, org, customers=1)
    euros(shop, "O1", customer=1, day=day(20), lines=[line(0, "p-beer", 1, 1.0)])
    assert walk(HISTORY)[SPEND].delivered == 1
    assert spend(org, "C0001") == Decimal("2.0")
