"""S1, shop to CRM: killed at every step boundary of every leg it ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.killing import assert_survives
from flows.walking import CUSTOMERS, Org, Shop


def test_a_killed_flow_ends_as_an_undisturbed_one(shop: Shop, org: Org, tmp_path: Path) -> None:
    def reset() -> None:
        shop.far.reset()
        org.far.reset()
        org.far.options(job_min_polls=1, job_latency_ms=0)

    def edit(number: int) -> None:
        shop.units(f"unit{number}")
        shop.customers(number)
        shop.buyers(number, unit=f"unit{number}")

    def look() -> Any:
        accounts = {key: row["Name"] for key, row in org.accounts.items()}
        owner = {row["Id"]: key for key, row in org.accounts.items()}
        return accounts, {key: (row["Email"], owner[row["AccountId"]]) for key, row in org.contacts.items()}

    assert_survives(CUSTOMERS, tmp_path, reset=reset, edit=edit, look=look)
