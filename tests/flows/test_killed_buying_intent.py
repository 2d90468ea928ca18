"""S6: killed at every step boundary it ends with the tasks an undisturbed flow has."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.ledger import Ledger
from commerce_sync.systems.inbox import taking
from flows.killing import ROUNDS, assert_survives
from flows.walking import KEY, Org, Shop, line, uid

CUSTOMERS = range(ROUNDS)
FIELDS = ("Status", "Subject", "Close_Reason__c", "Cart_Value__c", "Description", "Product_Links__c", "ActivityDate")


def test_a_killed_flow_ends_as_an_undisturbed_one(
    shop: Shop, org: Org, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    monday = (began - timedelta(days=began.weekday())).replace(hour=0, minute=0, second=0)
    plays: list[Path] = []

    def reset() -> None:
        shop.far.reset()
        org.far.reset()
        org.far.options(job_min_polls=1, job_latency_ms=0)
        plays.append(tmp_path / f"inbox-{len(plays)}")
        plays[-1].mkdir()
        monkeypatch.setenv("COMMERCE_SYNC_HOME", str(plays[-1]))

    def edit(number: int) -> None:
        """First everybody leaves a cart; then, every round, one customer buys and another one looks at a product."""
        if number == 0:
            for customer in CUSTOMERS:
                come(customer)
        else:
            recent = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)
            order = {
                "code": f"O{number}",
                "user": uid(number - 1),
                "currency": "USD",
                "entries": [line(0, "cart", 1, 90.0)],
            }
            shop.far.put("Order", [order | {"date": recent.isoformat(), "modifiedtime": recent.isoformat()}])
        look_at(number)

    def come(number: int) -> None:
        """A customer who consents, and left a cart six hours ago."""
        key, left = f"C{number:04d}", (began - timedelta(hours=6)).isoformat()
        shop.customers(number)
        org.far.put("Account", [{"Name": "household", KEY: key}])
        contact = {KEY: key, "LastName": "x", "Commerce_Uid__c": uid(number), "AccountId": org.accounts[key]["Id"]}
        org.far.put("Contact", [contact | {"Commerce_Active__c": True, "Consent_Email__c": True}])
        consent = {
            "code": key,
            "customer": uid(number),
            "consentTemplate": {"id": "MARKETING_NEWSLETTER", "version": 1},
        }
        shop.far.put("Consent", [consent | {"consentGivenDate": "2026-01-01T00:00:00Z", "modifiedtime": left}])
        cart = {"code": f"K{number}", "user": uid(number), "currency": "USD", "totalPrice": 90.0, "date": left}
        shop.far.put("Cart", [cart | {"entries": [line(0, "cart", 1, 90.0)], "modifiedtime": left}])

    def look_at(number: int) -> None:
        data = {"uid": uid(number), "consent": True, "product": "drill", "value": 50, "currency": "USD"}
        events = [
            {"specversion": "1.0", "id": f"{number}-{n}", "source": "https://shop.example", "type": "product.viewed",
             "time": (monday + timedelta(minutes=n)).isoformat(), "data": data} for n in range(3)
        ]  # fmt: skip
        ledger = Ledger.open(f"sqlite:///{plays[-1]}/ledger.db", files=f"{plays[-1]}/batches/markers")
        assert taking.take(ledger, "storefront", [json.dumps(event).encode() for event in events]).new == 3

    def look() -> Any:
        return {key: tuple(row[name] for name in FIELDS) for key, row in org.live("Task").items()}

    assert_survives("salesforce_buying_intent", tmp_path, reset=reset, edit=edit, look=look)
    found = org.live("Task")
    carts, views = (
        {key for key, row in found.items() if row["Signal__c"] == name} for name in ("Abandoned cart", "Repeated views")
    )
    assert (len(carts), len(views)) == (ROUNDS, ROUNDS)
    assert found["K0|1"]["Close_Reason__c"] == "Recovered by order O1"
    assert found[f"K{ROUNDS - 1}|1"]["Status"] == "Not Started"
