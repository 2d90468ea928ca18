"""K7: killed at every step boundary it ends as if nothing had happened, with one entry in the history per change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.archive import STAGED, Archive, Catalog
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
        key = archive.asset(f"asset {number}")
        catalog.media(f"iconik-{key}-web")
        catalog.product(f"p{number}", picture=f"iconik-{key}-web|{STAGED}")
        if number > 1:
            catalog.product(f"p{number - 1}", picture=f"iconik-{key}-web|{STAGED}")

    def look() -> Any:
        names = {row["id"]: row["title"] for row in media.records("assets")}
        values = {names[row["object_id"]]: (row["metadata_values"].get("commerce_placements", {}).get("field_values"),
                                            row["metadata_values"].get("commerce_usage_count", {}).get("field_values"))
                  for row in media.records("metadata")}  # fmt: skip
        entries = [names[row["asset_id"]] for row in media.records("history") if row["operation_type"] == "CUSTOM"]
        return values, sorted(entries)

    assert_survives("iconik_usage", tmp_path, reset=reset, edit=edit, look=look)
