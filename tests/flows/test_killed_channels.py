"""K6: killed at every step boundary each channel ends with the renditions of an undisturbed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.gallery import CHANNELS, Gallery, gallery
from flows.killing import assert_survives

__all__ = ["gallery"]


def test_killed_channels_end_as_undisturbed_ones(gallery: Gallery, tmp_path: Path) -> None:
    keys: list[str] = []

    def reset() -> None:
        gallery.shop.reset()
        gallery.domain.reset()
        gallery.domain.options(index_lag_s=0)
        keys.clear()

    def edit(number: int) -> None:
        gallery.products(f"{number}")
        if keys:
            gallery.review(keys[-1], "NOT_APPROVED")
        keys.append(gallery.picture(f"Front {number}", f"{number}", metadata={"channels": ["web", "mobile"]}))
        gallery.domain.clock(advance_s=1)

    def look() -> Any:
        titles = {row["id"]: row["title"] for row in gallery.domain.records("assets")}
        rows = gallery.media()
        return {
            f"{titles[code[7:43]]} {code[44:]}": (
                len(gallery.bytes_of(code)), row["mediaFormat"], row["mediaContainer"].removeprefix(code[:44]), row["altText"],
            )
            for code, row in rows.items()
        }  # fmt: skip

    assert_survives(CHANNELS, tmp_path, reset=reset, edit=edit, look=look)
