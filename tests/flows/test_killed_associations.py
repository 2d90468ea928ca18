"""K5: killed at every step boundary of every leg it ends as if nothing had happened."""

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
        catalog.categories(f"c{number}")
        catalog.product(f"p{number}", categories=(f"c{number}",))
        archive.package(f"p{number}")
        key = archive.asset(f"asset {number}", metadata={"sku": [f"p{number}"], "catalog": "Default"})
        catalog.media(f"iconik-{key}-web", altText=f"asset {number}")

    def look() -> Any:
        names = {row["id"]: row["title"] for kind in ("assets", "collections") for row in media.records(kind)}
        said = {names[row["object_id"]]: [one["value"] for one in row["metadata_values"]["category_codes"]["field_values"]]
                for row in media.records("metadata") if "category_codes" in row["metadata_values"]}  # fmt: skip
        held = {(names[row["collection_id"]], names[row["object_id"]]) for row in media.records("contents")}
        words = {row["code"]: row["altText"] for row in shop.far.records("Media")}
        links = {row["code"]: [words[name.partition("|")[0]] for name in row["others"]]
                 for row in shop.far.records("Product")}  # fmt: skip
        return said, held, links

    assert_survives("iconik_associations", tmp_path, reset=reset, edit=edit, look=look)
