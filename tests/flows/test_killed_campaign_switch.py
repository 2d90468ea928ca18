"""K8: killed at every step boundary a campaign is all there or not at all, and in the end as if nothing had happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows import killing
from flows.gallery import gallery
from flows.seasons import OLD, SWITCH, Row, Season, season

__all__ = ["gallery", "season"]


def test_a_killed_switch_ends_as_an_undisturbed_one_and_no_kill_leaves_half_a_campaign(
    season: Season, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[Row] = []
    keys: list[str] = []
    die = killing._kill

    def death(hurt: Any, leg: str, number: int, point: str) -> bool:
        killed = die(hurt, leg, number, point)
        assert season.shown() in whole, (leg, number, point)
        return killed

    monkeypatch.setattr(killing, "_kill", death)

    def reset() -> None:
        season.shop.reset()
        season.domain.reset()
        season.furnish()
        whole[:], keys[:] = [dict(OLD)], []

    def edit(number: int) -> None:
        """One campaign after the other takes all places; the one before is cancelled. Each is noted first."""
        now = datetime.now(UTC)
        window = {
            "campaign_start": (now - timedelta(days=1)).isoformat(),
            "campaign_end": (now + timedelta(days=1)).isoformat(),
        }
        for key in keys:
            season.describe("collections", key, commerce_status="withdrawn")
        key, new = season.whole(f"season {number}", **window)
        keys.append(key)
        whole.append(new)
        season.domain.clock(advance_s=1)

    def look() -> Any:
        titles = {row["id"]: row["title"] for row in season.domain.records("assets")}
        shown = {place: titles.get((code or "")[7:43], code) for place, code in season.shown().items()}
        return shown, [season.told(key)[:5] for key in keys], [season.told(key, "commerce_status") for key in keys]

    killing.assert_survives(SWITCH, tmp_path, reset=reset, edit=edit, look=look)
