"""Two records of the source under one key are never merged into one in silence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from commerce_sync.errors import BalanceError
from commerce_sync.window import Request
from proofs.acts import history
from proofs.cheap import cheaply
from proofs.story import Story


def test_two_records_under_one_key_stop_the_run_before_anything_is_sent() -> None:
    with cheaply() as ground:
        story = Story(history(1), ground)
        story.mapping = replace(story.mapping, key="coalesce(city, 'nowhere')", where=None)
        for key in ("a", "b"):
            story.shop.edit(key, {"name": key})
        with pytest.raises(BalanceError, match="2 records have 1 different keys"):
            story._walk("run-1", Request())
        assert story.crm.writes == []
