"""The receiver on a local port, closed until a test opens a source, with a ledger of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.ledger import Ledger
from receiver.receiving import LOGIN, Receiver, Shop


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{tmp_path}/ledger.db", files=f"{tmp_path}/files")


@pytest.fixture
def receiver(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    one = Receiver(ledger, monkeypatch, tmp_path / "receiver.yaml").start()
    yield one
    one.stop()


@pytest.fixture
def pushing_shop(sap_commerce: Any, receiver: Receiver) -> Shop:
    """A shop whose destinations lead to the receiver, which lets it in."""
    receiver.open("sap_commerce", login=LOGIN)
    sap_commerce.clear_faults()
    return Shop(sap_commerce, receiver)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What starts Airflow itself takes minutes: it runs when asked for with ``-m slow``."""
    if "slow" in str(config.getoption("markexpr") or ""):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
