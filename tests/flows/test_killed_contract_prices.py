"""S3: killed at every step boundary of every leg it ends as if nothing had happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flows.agreements import PRICES, Sales, day
from flows.killing import assert_survives
from flows.walking import Org, Shop


def test_a_killed_flow_ends_as_an_undisturbed_one(shop: Shop, org: Org, tmp_path: Path) -> None:
    sales: list[Sales] = []

    def reset() -> None:
        shop.far.reset()
        org.far.reset()
        org.far.options(job_min_polls=1, job_latency_ms=0)
        sales[:] = [Sales(shop, org)]

    def edit(number: int) -> None:
        """A new account with its prices, another owner, the end of an agreement, and one that is cut short."""
        (here,) = sales
        shop.moment = max(shop.moment, datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60))
        name = f"unit{number}"
        here.account(name, Payment_Terms__c=f"Net {number}")
        here.agree(f"{name}-a", 8.0 + number / 100, 1, None, account=name)
        here.agree(f"{name}-b", 7.0, -9, 9, account=name, Minimum_Quantity__c=5)
        if number:
            here.change(f"unit{number - 1}-b", Active__c=False)
            here.change(f"unit{number - 1}-a", Price__c=9.0, Valid_To__c=day(30))

    def look() -> Any:
        (here,) = sales
        names = {f"SF-{row['Id']}": row["Commerce_Id__c"] for row in org.far.records("Price_Agreement__c")}
        now = datetime.now(UTC).isoformat()
        rows = {names[row["sapConditionId"]]: (row["price"], row["ug"], row["startTime"], row["endTime"] > now)
                for row in here.agreed()}  # fmt: skip
        assert len(rows) == len(here.agreed())
        units = {row["uid"]: (row["userPriceGroup"], sorted(row["groups"]), row["accountManager"])
                 for row in shop.far.records("B2BUnit")}  # fmt: skip
        return rows, units

    assert_survives(PRICES, tmp_path, reset=reset, edit=edit, look=look)
