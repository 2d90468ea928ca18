"""S8: killed at every step boundary of every leg it ends as if nothing had happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.systems import rest
from flows.killing import assert_survives
from flows.marketing import CAMPAIGNS, Marketing, day
from flows.walking import Org, Shop, line


def test_a_killed_flow_ends_as_an_undisturbed_one(
    shop: Shop, org: Org, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    marketing = Marketing(shop, org, monkeypatch)

    def reset() -> None:
        shop.far.reset()
        org.far.reset()
        org.far.options(job_min_polls=1, job_latency_ms=0)
        org.far.clock(advance_s=-30)
        shop.product("p1")

    def edit(number: int) -> None:
        """A new campaign with a coupon and an order, and the end of the one before."""
        shop.moment = max(shop.moment, datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60))
        marketing.people(number)
        marketing.campaign(f"campaign-{number}", number, start=-1, end=1, Coupon_Code__c=f"TEN-{number}")
        shop.order(f"O{number}", customer=number, day=day(0), lines=[line(0, "p1", 1, 5.5 + number)])
        marketing.redeem(f"TEN-{number}", f"O{number}", number)
        if number:
            marketing.edit("Campaign", f"campaign-{number - 1}", Status="Aborted")

    def look() -> Any:
        rules = {row["code"]: row["name"] for row in shop.far.records("PromotionSourceRule")}
        coupons = {row["couponId"]: (row["endDate"], row["active"]) for row in shop.far.records("SingleCodeCoupon")}
        days = {key: (row["Orders__c"], row["Revenue__c"], row["Conversion_Rate__c"])
                for key, row in org.live("Campaign_Performance__c").items()}  # fmt: skip
        totals = {key: row["Commerce_Revenue__c"] for key, row in org.live("Campaign").items()}
        return marketing.groups(), rules, coupons, days, totals

    assert_survives(CAMPAIGNS, tmp_path, reset=reset, edit=edit, look=look)
