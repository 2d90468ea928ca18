"""S4: killed at every step boundary it ends with the cases an undisturbed flow has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flows.killing import assert_survives
from flows.walking import KEY, Org, Shop, line, uid

FIELDS = ("Status", "Subject", "Priority", "Days_Late__c", "Order_Lines__c", "Description", "Comments")


def test_a_killed_flow_ends_as_an_undisturbed_one(shop: Shop, org: Org, tmp_path: Path) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def reset() -> None:
        shop.far.reset()
        org.far.reset()
        org.far.options(job_min_polls=1, job_latency_ms=0)
        shop.moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)

    def edit(number: int) -> None:
        """Every round a late and a cancelled order come; what was late the round before leaves, and comes back."""
        shop.customers(number)
        org.far.put("Account", [{"Name": "household", KEY: f"C{number:04d}"}])
        bought = {
            "user": uid(number),
            "currency": "USD",
            "totalPrice": 5.0,
            "date": (today - timedelta(days=9)).isoformat(),
        }
        for code, status in ((f"L{number}", "CREATED"), (f"C{number}", "CANCELLED")):
            order = {"code": code, "status": status, "modifiedtime": shop.tick(), "entries": [line(0, "p", 1, 5.0)]}
            shop.far.put("Order", [bought | order])
        parcels = [(number, "READY"), (number - 1, "SHIPPED"), (number - 2, "READY")]
        promised = (today - timedelta(days=5)).isoformat()
        rows = [{"code": f"a{n}", "order": f"L{n}", "status": status, "namedDeliveryDate": promised, "warehouse": "w",
                 "modifiedtime": shop.tick()} for n, status in parcels if n >= 0]  # fmt: skip
        shop.far.put("Consignment", rows)

    def look() -> Any:
        return {key: tuple(row[name] for name in FIELDS) for key, row in org.live("Case").items()}

    assert_survives("salesforce_cases", tmp_path, reset=reset, edit=edit, look=look)
    assert {key for key, row in org.live("Case").items() if row["Status"] == "Closed"} >= {
        "L0|Delayed|1",
        "L1|Delayed|1",
    }
    assert "L0|Delayed|2" in org.live("Case")
