"""K4: killed at every step boundary of every leg it ends as if nothing had happened."""

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
        catalog.product(f"p{number}")
        said = {"sku": [f"p{number}"], "alt_text": f"Words {number}", "campaign_tags": [f"tag {number}"]}
        catalog.media(f"iconik-{archive.asset(f'asset {number}', metadata=said)}-web")

    def look() -> Any:
        words = sorted((row["altText"], row["description"]) for row in shop.far.records("Media"))
        rows = shop.far.records("ProductFeature")
        return words, sorted((row["product"], row["qualifier"], row["valuePosition"], row["value"]) for row in rows)

    assert_survives("iconik_metadata", tmp_path, reset=reset, edit=edit, look=look)
