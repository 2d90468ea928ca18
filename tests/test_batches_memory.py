"""A step has a bounded memory: what cannot be spilled gets more once, and what then fails says what to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from commerce_sync import places
from commerce_sync.batches import Batches
from commerce_sync.errors import ConfigurationError

LISTS = "SELECT range % 100 AS k, list(range::VARCHAR ORDER BY range) AS v FROM range(400000) GROUP BY k"
"""The lists of a group are kept in memory until the group is whole: at 16 MB they are too large, at 64 MB they fit."""


def written(folder: Path, *, memory: str) -> int:
    batches = Batches(str(folder))
    with batches.connect(memory_limit=memory, threads=2) as con, batches.write("leg", "run", "step") as into:
        rows = into.copy(con, LISTS)
    assert batches.read("leg", "run", "step").rows == rows
    return rows


def test_what_cannot_be_spilled_gets_more_memory_and_somebody_is_told(tmp_path: Path, caplog) -> None:
    assert written(tmp_path, memory="16MB") == 100
    assert "more memory than 15.2 MiB and gets up to 60.8MiB; see COMMERCE_SYNC_MEMORY" in caplog.text


def test_what_has_room_gets_no_more(tmp_path: Path, caplog) -> None:
    assert written(tmp_path, memory="128MB") == 100
    assert "COMMERCE_SYNC_MEMORY" not in caplog.text


def test_too_little_memory_says_what_to_set_and_leaves_no_batch(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"set COMMERCE_SYNC_MEMORY \(now 3.8 MiB\) higher"):
        written(tmp_path, memory="4MB")
    assert Batches(str(tmp_path)).find("leg", "run", "step") is None


@pytest.mark.parametrize("size", ["", "much", "256", "256 apples"])
def test_a_setting_that_is_no_size_is_refused(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMERCE_SYNC_MEMORY", size)
    with pytest.raises(ConfigurationError, match="for example 512MB"):
        places.memory()


def test_a_step_takes_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert places.memory() == "256MB"
    monkeypatch.setenv("COMMERCE_SYNC_MEMORY", "1.5GB")
    assert places.memory() == "1.5GB"
