"""Fixtures of the undo stories."""

from __future__ import annotations

from typing import Any

import pytest

from flows.house import media, org, shop, walk
from undo.taking_back import Back

__all__ = ["media", "org", "shop", "walk"]


@pytest.fixture
def back(walk: Any) -> Back:
    """Undoes runs of the walk."""
    return Back(walk)
