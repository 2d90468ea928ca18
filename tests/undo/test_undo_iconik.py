"""Undo at iconik: metadata of assets, packages of products."""

from __future__ import annotations

from typing import Any

import pytest

from flows.archive import Archive, Catalog
from flows.walking import Shop, Walk, connection
from undo.taking_back import Back

SHOWN, PACKAGES = "media_to_assets", "products_to_packages"


@pytest.fixture
def archive(media: Any, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setenv("AIRFLOW_CONN_ICONIK_DEFAULT", connection(media, max_per_second=100_000))
    return Archive(media)


@pytest.fixture
def catalog(shop: Shop) -> Catalog:
    return Catalog(shop.far)


def said(archive: Archive, *keys: str) -> list[tuple[Any, Any]]:
    """Status and code of assets."""
    held = [archive.metadata(key) for key in keys]
    return [(row.get("commerce_status"), row.get("commerce_media_code")) for row in held]


def test_statuses_of_assets_go_back(walk: Walk, archive: Archive, catalog: Catalog, back: Back) -> None:
    back.keep(SHOWN)
    new, old, third = (archive.asset(name, metadata={"commerce_status": ["ready_for_commerce"]}) for name in "abc")
    catalog.media(f"iconik-{old}-web", f"iconik-{third}-web", size=100)
    walk.leg(SHOWN)
    catalog.far.delete("Media", f"iconik-{old}-web|Staged|Default".replace("|", "%7C"))
    catalog.media(f"iconik-{new}-web", size=100)
    run = walk.leg(SHOWN, "complete")
    assert (run.new, run.deleted) == (1, 1)
    assert said(archive, new, old) == [(["published"], [f"iconik-{new}-web"]), (["withdrawn"], None)]
    undone = back.undo(run)
    assert said(archive, new, old, third) == [
        (["ready_for_commerce"], None), (["published"], [f"iconik-{old}-web"]), (["published"], [f"iconik-{third}-web"]),
    ]  # fmt: skip
    assert (undone.status, undone.delivered) == ("green", 2)
    assert walk.leg(SHOWN, "complete").sent == 0
    back.undo(undone)
    assert said(archive, new, old) == [(["published"], [f"iconik-{new}-web"]), (["withdrawn"], None)]
    assert walk.leg(SHOWN, "complete").sent == 0


def test_packages_keep_what_an_editor_changed_since(walk: Walk, archive: Archive, catalog: Catalog, back: Back) -> None:
    back.keep(PACKAGES)
    catalog.categories("tools", "toys")
    catalog.product("drill", categories=("tools",))
    catalog.product("doll", categories=("tools",))
    walk.leg(PACKAGES)
    for code in ("drill", "doll"):
        catalog.product(code, categories=("toys",))
    catalog.product("new", categories=("toys",))
    run = walk.leg(PACKAGES, "complete")
    packages = archive.collections()
    ids = {code: packages[f"sapcc:Default:{code}"]["id"] for code in ("drill", "doll", "new")}
    assert archive.metadata(ids["drill"])["category_codes"] == ["toys"]
    row = next(row for row in archive.far.records("metadata") if row["object_id"] == ids["doll"])
    entries = row["metadata_values"] | {"category_codes": {"date_created": None, "field_values": [{"value": "own"}]}}
    archive.far.patch("metadata", row["id"], metadata_values=entries)
    undone = back.undo(run)
    assert archive.metadata(ids["drill"])["category_codes"] == ["tools"]
    assert archive.metadata(ids["doll"])["category_codes"] == ["own"]
    assert archive.metadata(ids["new"])["commerce_status"] == ["withdrawn"]
    assert ("Default:doll", "metadata.category_codes", "conflict") in back.rows(undone)
    assert walk.leg(PACKAGES, "complete").sent == 0
