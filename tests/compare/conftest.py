"""Fixtures of the comparison stories."""

from __future__ import annotations

from typing import Any

import pytest

from compare.marking import Town
from flows.house import org, shop, walk

__all__ = ["org", "shop", "walk"]


@pytest.fixture
def town(walk: Any, shop: Any, org: Any) -> Town:
    """Twelve households at Salesforce, with marks."""
    return Town(walk, shop, org)
