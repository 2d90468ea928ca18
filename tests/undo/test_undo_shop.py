"""Undo at SAP Commerce: coupons, and values that Salesforce's people gave to units."""

from __future__ import annotations

from typing import Any

import pytest

from flows.marketing import CAMPAIGNS, COUPONS, Marketing, day
from flows.walking import Org, Shop, Walk
from undo.taking_back import Back


@pytest.fixture
def marketing(shop: Shop, org: Org, monkeypatch: pytest.MonkeyPatch) -> Marketing:
    return Marketing(shop, org, monkeypatch)


def coupon(shop: Shop, code: str) -> dict[str, Any]:
    row = shop.far.records("SingleCodeCoupon", couponId=code)[0]
    return {"name": row["name"]["en"], "until": row["endDate"][:10], "active": row["active"]}


def test_coupons_go_back_to_what_they_were(walk: Walk, shop: Shop, marketing: Marketing, back: Back) -> None:
    back.keep(COUPONS)
    for code in ("one", "two"):
        shop.far.put("SingleCodeCoupon", [{"couponId": code, "active": True}])
        marketing.campaign(f"campaign-{code}", Coupon_Code__c=code)
    assert walk(CAMPAIGNS, leg=COUPONS)[COUPONS].delivered == 2
    marketing.edit("Campaign", "campaign-one", EndDate=day(9), Name="Longer")
    marketing.edit("Campaign", "campaign-two", Status="Aborted")
    marketing.campaign("campaign-three", Coupon_Code__c="three")
    changed = walk(CAMPAIGNS, leg=COUPONS)[COUPONS]
    assert (changed.new, changed.modified, changed.deleted) == (1, 1, 1)
    assert coupon(shop, "two")["active"] is False
    shop.far.patch("SingleCodeCoupon", "one", name={"en": "Said in the backoffice"})
    undone = back.undo(changed)
    assert coupon(shop, "one") == {"name": "Said in the backoffice", "until": day(5), "active": True}
    assert coupon(shop, "two") == {"name": "Name of campaign-two", "until": day(5), "active": True}
    assert coupon(shop, "three")["active"] is False
    assert ("one", "name", "conflict") in back.rows(undone)
    assert (undone.status, undone.delivered, undone.filtered) == ("green", 3, 0)
    assert walk(CAMPAIGNS, leg=COUPONS)[COUPONS].sent == 0
    assert walk(CAMPAIGNS, "complete", leg=COUPONS)[COUPONS].sent == 0
    assert back.held(COUPONS) == {"one", "two", "three"}


def test_the_undo_of_an_undo_at_the_shop(walk: Walk, shop: Shop, marketing: Marketing, back: Back) -> None:
    back.keep(COUPONS)
    marketing.campaign("campaign-one", Coupon_Code__c="one")
    marketing.campaign("campaign-two", Coupon_Code__c="two")
    walk(CAMPAIGNS, leg=COUPONS)
    marketing.edit("Campaign", "campaign-one", Name="Renamed")
    marketing.edit("Campaign", "campaign-two", Status="Aborted")
    changed = walk(CAMPAIGNS, leg=COUPONS)[COUPONS]
    after = {code: coupon(shop, code) for code in ("one", "two")}
    back.undo(back.undo(changed))
    assert {code: coupon(shop, code) for code in ("one", "two")} == after
    assert walk(CAMPAIGNS, "complete", leg=COUPONS)[COUPONS].sent == 0
    assert back.held(COUPONS) == set()
