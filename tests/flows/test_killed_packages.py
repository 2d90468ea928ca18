"""K2: killed at every step boundary of every leg it ends as if nothing had happened, and nothing is made twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.archive import Archive, Catalog
from flows.killing import assert_survives
from flows.walking import Shop, connection


def test_a_killed_flow_ends_as_an_undisturbed_one(
    shop: Shop, media: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ICONIK_DEFAULT", connection(media, max_per_second=100_000))
    archive = Archive(media)

    def reset() -> None:
        shop.far.reset()
        media.reset()
        Archive(media)
        Catalog(shop.far)

    def edit(number: int) -> None:
        catalog = Catalog(shop.far)
        shown = archive.asset(f"shown {number}")
        catalog.media(f"iconik-{shown}-web")
        catalog.product(f"p{number}", picture=f"iconik-{shown}-web|Staged|Default")

    def look() -> Any:
        rows = [*media.records("collections"), *media.records("assets")]
        return sorted((str(row["external_id"]), row["title"], row.get("external_link")) for row in rows), len(
            media.records("contents")
        )

    assert_survives("iconik_packages", tmp_path, reset=reset, edit=edit, look=look)
