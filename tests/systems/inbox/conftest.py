"""An installation with an inbox of its own, and events as a shop would write them."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

from commerce_sync import places
from commerce_sync.ledger import Ledger

Row = dict[str, Any]
DATA: dict[str, Row] = {
    "product.viewed": {"product": "P1", "value": 99.5, "currency": "EUR"},
    "product.compared": {"products": ["P1", "P2"]},
    "content.downloaded": {"content": "datasheet-7", "product": "P1", "gated": True},
    "customer.registered": {"email": "ada@people.example", "name": "Ada Lovelace", "company": "Engines Ltd"},
    "search.performed": {"query": "drill", "results": 12},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """COMMERCE_SYNC_HOME, with an empty folder of feed files beside it."""
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COMMERCE_SYNC_FEEDS", str(tmp_path / "feed-files"))
    monkeypatch.delenv("COMMERCE_SYNC_BATCHES", raising=False)
    (tmp_path / "feed-files").mkdir()
    return tmp_path / "home"


@pytest.fixture
def ledger(home: Path) -> Ledger:
    """The installation's ledger."""
    return places.open_ledger()


@pytest.fixture
def event() -> Callable[..., Row]:
    """A valid event; ``data`` replaces or (None) removes values of its data, the rest those of the envelope."""
    numbers = itertools.count(1)

    def _event(kind: str = "product.viewed", *, data: Row | None = None, **values: Any) -> Row:
        if isinstance(data, list):
            return _event(kind, **values) | {"data": data}
        inside = {"uid": "ada@people.example", "consent": True, **DATA.get(kind, {}), **(data or {})}
        row = {
            "specversion": "1.0", "id": f"e{next(numbers)}", "source": "https://shop.example", "type": kind,
            "time": "2026-03-01T12:00:00Z", "data": {name: item for name, item in inside.items() if item is not None},
        } | values  # fmt: skip
        return {name: item for name, item in row.items() if item is not None}

    return _event


@pytest.fixture
def kept(ledger: Ledger) -> Callable[..., list[Row]]:
    """What the inbox holds of a feed, in the order it came."""
    return lambda feed="storefront", **asked: [row for b in ledger.events(feed, **asked) for row in b.to_pylist()]
