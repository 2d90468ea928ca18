"""Rows to load, and how a story looks at what went wrong."""

from __future__ import annotations

from typing import Any

import pytest

BOTH = pytest.mark.parametrize("bulk_from", [2000, 1], ids=["collections", "bulk"])


def people(count: int, **more: Any) -> list[dict[str, Any]]:
    """Contacts with keys c-00000, c-00001, ..."""
    return [{"Commerce_Id__c": f"c-{n:05d}", "LastName": f"Name {n}", **more} for n in range(count)]


def accounts(org: Any, count: int) -> None:
    """Parents with keys a-0, a-1, ..."""
    org.far.put("Account", [{"Name": f"A {n}", "Commerce_Id__c": f"a-{n}"} for n in range(count)])


def hits(org: Any) -> int:
    """How often the first fault rule struck."""
    return int(org.far.control("GET", "faults")["rules"][0]["hits"])
