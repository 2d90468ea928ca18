"""Sources have clocks of their own: one that lags behind the others loses nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flows.test_purchase_history import accounts_in_salesforce, day
from flows.walking import SPEND, Org, Shop, Walk, line


def at(minutes_ago: int) -> str:
    return (datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=minutes_ago)).isoformat()


def test_a_source_goes_on_from_what_it_has_shown_itself(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=1)
    shop.order("O1", customer=1, day=day(9), lines=[line(0, "p-beer", 4, 20.0)])
    shop.order("O2", customer=1, day=day(8), lines=[line(0, "p-beer", 1, 5.0)])
    shop.returned("R1", "O1", entry=0, pieces=1)
    shop.far.patch("ReturnRequest", "R1", modifiedtime=at(90))
    shop.touch("O1", modifiedtime=at(10))
    walk.leg(SPEND)
    assert org.accounts["C0001"]["Lifetime_Spend__c"] == 20.0
    shop.returned("R2", "O2", entry=0, pieces=1)
    shop.far.patch("ReturnRequest", "R2", modifiedtime=at(60))
    assert walk.leg(SPEND, "changes").read > 0
    assert org.accounts["C0001"]["Lifetime_Spend__c"] == 15.0


def test_a_window_that_was_asked_for_is_kept_for_every_source(walk: Walk, shop: Shop, org: Org) -> None:
    accounts_in_salesforce(shop, org, customers=1)
    shop.order("O1", customer=1, day=day(9), lines=[line(0, "p-beer", 4, 20.0)])
    shop.returned("R1", "O1", entry=0, pieces=1)
    shop.far.patch("ReturnRequest", "R1", modifiedtime=at(90))
    walk.leg(SPEND)
    shop.returned("R2", "O1", entry=0, pieces=1)
    shop.far.patch("ReturnRequest", "R2", modifiedtime=at(60))
    now = datetime.now(UTC)
    assert walk.leg(SPEND, "changes", since=now - timedelta(minutes=1), until=now).read == 0
