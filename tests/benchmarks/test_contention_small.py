"""The contention case with few children: what is left, never how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import contention
from benchmarks.contention import LOCKED, NAIVE, Crowd

SWIFT = {"pauses_s": [0, 0, 0], "poll_first_s": 0.02, "poll_most_s": 0.1}
ROWS, BATCH = 4_000, 250


@pytest.fixture
def crowd(salesforce: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    """4,000 children of 150 parents; internal batches of 250, so that the hottest parents fill several."""
    monkeypatch.setattr("commerce_sync.systems.salesforce.pieces.INTERNAL_ROWS", BATCH)
    monkeypatch.setattr(contention.Crowd, "options", lambda _self: SWIFT | {"job_rows": 1_000})
    found = Crowd(salesforce.credentials, tmp_path, rows=ROWS, parents=150)
    yield found
    found.caller.http.close()


def test_no_child_of_a_hot_parent_is_left_behind_by_its_locks(crowd: Crowd, salesforce: Any) -> None:
    assert crowd.hottest > 2 * BATCH
    found = crowd.turn(LOCKED, internal_batch_rows=BATCH, lock_hold_ms=5)
    assert (found["left"], found["jobs"] > 4) == (0, True)
    held = salesforce.control("GET", "records/Contact", params={"limit": 100_000})["records"]
    assert len({row["Commerce_Id__c"] for row in held}) == len(held) == ROWS


def test_random_order_loses_rows_to_locks(crowd: Crowd) -> None:
    """What the case is about: without it, the other test would prove nothing."""
    found = crowd.turn(NAIVE, internal_batch_rows=BATCH, lock_hold_ms=5)
    assert found["left"] == found["met"] > ROWS / 20
