"""K3: killed at every step boundary it records each decision once, as if nothing had happened."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from flows.gallery import GOVERNANCE, Gallery, gallery
from flows.killing import assert_survives

__all__ = ["gallery"]


def test_killed_governance_ends_as_an_undisturbed_one(gallery: Gallery, tmp_path: Path) -> None:
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
        keys.append(gallery.picture(f"Front {number}", f"{number}"))
        gallery.picture(f"Waits {number}", f"{number}", role="gallery", approval="REQUESTED")
        gallery.domain.clock(advance_s=1)

    def look() -> Any:
        """Each asset's recorded decisions, in no order: entries of one run share a moment."""
        titles = {row["id"]: row["title"] for row in gallery.domain.records("assets")}
        return {title: sorted(_plain(text) for text in gallery.history(key)) for key, title in titles.items()}

    assert_survives(GOVERNANCE, tmp_path, reset=reset, edit=edit, look=look)


def _plain(text: str) -> str:
    """A recorded decision without ids, checksums and reference, which differ between two plays."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)
    text = re.sub(r"\b[0-9a-f]{32,64}\b", "SUM", text)
    return re.sub(r" \[ref [0-9a-f]+\]$", "", text)
