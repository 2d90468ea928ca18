"""K2: every product has a media package in iconik, and pictures that are shown know their product's page."""

from __future__ import annotations

from typing import Any

import pytest

from flows.archive import ONLINE, Archive, Catalog
from flows.walking import Shop, Walk, connection

FLOW = "iconik_packages"
PACKAGES, PLACEHOLDERS, PAGES = "products_to_packages", "products_to_placeholders", "product_pages_to_assets"


@pytest.fixture
def archive(media: Any, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setenv("AIRFLOW_CONN_ICONIK_DEFAULT", connection(media, max_per_second=100_000))
    return Archive(media)


@pytest.fixture
def catalog(shop: Shop) -> Catalog:
    return Catalog(shop.far)


def assert_in_step(walk: Walk, archive: Archive, mode: str = "complete") -> None:
    """Another walk, complete, sends nothing."""
    archive.far.reset_calls()
    runs = walk(FLOW, mode)
    assert walk.errors == {}
    assert ([run.sent for run in runs.values()], archive.writes()) == ([0, 0, 0], 0)


def package(code: str) -> str:
    return f"sapcc:Default:{code}"


def status(archive: Archive, external_id: str) -> list[Any]:
    row = (archive.collections() | archive.assets())[external_id]
    return archive.metadata(row["id"])["commerce_status"]


def test_a_new_product_gets_a_package_with_what_its_categories_ask_for(
    walk: Walk, archive: Archive, catalog: Catalog
) -> None:
    catalog.categories("machines", "toys")
    catalog.product("drill", categories=("machines", "toys"))
    catalog.product("drill", categories=("machines",), version=ONLINE, name="Old words")
    catalog.product("doll", categories=("toys",))
    catalog.variant("doll-red", of="doll")
    runs = walk(FLOW)
    assert walk.errors == {}
    assert [(run.status, run.created) for run in runs.values()] == [("green", 2), ("green", 7), ("green", 0)]
    packages, assets = archive.collections(), archive.assets()
    assert {key: row["title"] for key, row in packages.items()} == {
        package("drill"): "Thing drill", package("doll"): "Thing doll",
    }  # fmt: skip
    assert archive.metadata(packages[package("drill")]["id"]) == {
        "sku": ["drill"], "catalog": ["Default"], "category_codes": ["machines", "toys"], "commerce_status": ["draft"],
    }  # fmt: skip
    roles = ("hero:en", "gallery:en", "video:en", "datasheet:en", "datasheet:de")
    expected = {f"{package('drill')}:{role}" for role in roles} | {f"{package('doll')}:{role}" for role in roles[:2]}
    assert set(assets) == expected
    sheet = assets[f"{package('drill')}:datasheet:de"]
    assert (sheet["type"], sheet["title"]) == ("PLACEHOLDER", "Thing drill datasheet (de)")
    assert archive.metadata(sheet["id"]) == {
        "sku": ["drill"], "catalog": ["Default"], "category_codes": ["machines", "toys"], "media_role": ["datasheet"],
        "language": ["de"], "commerce_status": ["draft"],
    }  # fmt: skip
    drill = packages[package("drill")]["id"]
    assert {held for holder, held in archive.contents() if holder == drill} == {
        row["id"] for key, row in assets.items() if key.startswith(package("drill"))
    }
    assert_in_step(walk, archive)
    assert_in_step(walk, archive, "auto")


def test_what_people_did_in_iconik_stays(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    catalog.categories("machines")
    catalog.product("drill")
    walk(FLOW)
    drill = archive.collections()[package("drill")]["id"]
    hero = archive.assets()[f"{package('drill')}:hero:en"]["id"]
    archive.far.patch("collections", drill, title="Our best drill")
    archive.touch(hero, title="Drill, front")
    archive.edit(hero, sku=["drill", "drill-xl"], commerce_status="published", media_role="banner")
    catalog.product("drill", name="Drill 18V", categories=("machines",))
    runs = walk(FLOW)
    assert [(run.status, run.created) for run in runs.values()] == [("green", 0), ("green", 3), ("green", 0)]
    assert archive.collections()[package("drill")]["title"] == "Our best drill"
    assert archive.metadata(drill)["category_codes"] == ["machines"]
    assert archive.assets()[f"{package('drill')}:hero:en"]["title"] == "Drill, front"
    held = archive.metadata(hero)
    assert (held["sku"], held["commerce_status"], held["media_role"]) == (
        ["drill", "drill-xl"], ["published"], ["banner"],
    )  # fmt: skip
    assert archive.assets()[f"{package('drill')}:video:en"]["title"] == "Drill 18V video (en)"
    catalog.product("drill", name="Drill 18V")  # no machine any more: nothing that was opened goes
    walk(FLOW)
    assert (len(archive.assets()), archive.metadata(drill).get("category_codes")) == (5, None)
    assert_in_step(walk, archive)


def test_a_product_that_is_refused_offline_or_gone_withdraws_its_package_and_may_come_back(
    walk: Walk, archive: Archive, catalog: Catalog
) -> None:
    for code in ("refused", "offline", "gone", "kept"):
        catalog.product(code)
    walk(FLOW)
    heroes = {code: f"{package(code)}:hero:en" for code in ("refused", "offline", "gone", "kept")}
    archive.edit(archive.assets()[heroes["gone"]]["id"], commerce_status="published")
    catalog.product("refused", approvalStatus="unapproved")
    catalog.product("offline", offlineDate="2026-01-01T00:00:00+00:00")
    catalog.far.delete("Product", "gone|Staged|Default")
    walk(FLOW, "complete")
    assert walk.errors == {}
    for code in ("refused", "offline", "gone"):
        assert (status(archive, package(code)), status(archive, heroes[code])) == (["withdrawn"], ["withdrawn"])
    assert (status(archive, package("kept")), status(archive, heroes["kept"])) == (["draft"], ["draft"])
    assert {row["status"] for row in archive.collections().values()} == {"ACTIVE"}
    assert_in_step(walk, archive)
    before = {key: row["id"] for key, row in (archive.collections() | archive.assets()).items()}
    catalog.product("refused")
    catalog.product("gone")
    walk(FLOW)
    for code in ("refused", "gone"):
        assert (status(archive, package(code)), status(archive, heroes[code])) == (["draft"], ["draft"])
    assert {key: row["id"] for key, row in (archive.collections() | archive.assets()).items()} == before
    assert_in_step(walk, archive)


def test_a_doubled_package_stops_its_key_alone_and_bad_products_are_named(
    walk: Walk, archive: Archive, catalog: Catalog
) -> None:
    archive.package("twice")
    archive.package("twice")
    archive.package("there")
    for code in ("twice", "there", "new", "emoji"):
        catalog.product(code)
    catalog.product("emoji", name="مصباح 🔦 " + "x" * 300)
    catalog.product("nameless", name=None)
    runs = walk(FLOW)
    refused = walk.rejects(PACKAGES)
    assert {key: (item.code, item.status) for key, item in refused.items()} == {
        "Default:twice": ("ambiguous_external_id", "rejected"), "Default:nameless": ("product_has_a_name", "quarantined"),
    }  # fmt: skip
    assert (runs[PACKAGES].created, runs[PACKAGES].delivered) == (2, 3)
    assert {item.reason_class for item in walk.rejects(PLACEHOLDERS).values()} == {"duplicate"}
    assert len(walk.rejects(PLACEHOLDERS)) == 2
    rows = archive.far.records("collections")
    assert len(rows) == 5
    assert len(next(row["title"] for row in rows if row["external_id"] == package("emoji"))) == 255
    doubled = [row["id"] for row in rows if row["external_id"] == package("twice")]
    archive.far.patch("collections", doubled[1], external_id="")
    catalog.product("nameless", name="Named at last")
    walk(FLOW, "replay")
    walk(FLOW)
    assert walk.errors == {}
    assert (walk.rejects(PACKAGES), walk.rejects(PLACEHOLDERS)) == ({}, {})
    assert_in_step(walk, archive)


def test_a_call_that_was_answered_by_nobody_makes_nothing_twice(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    for code in ("a", "b", "c"):
        catalog.product(code)
    lost = {"action": "drop_after", "match": {"method": "POST", "path": "/assets/v1/(collections|assets)/$"}}
    archive.far.fault(**lost, skip=1, times=1)
    archive.far.fault(**lost, skip=4, times=2)
    walk(FLOW)
    assert walk.errors == {}
    assert (len(archive.far.records("collections")), len(archive.far.records("assets"))) == (3, 6)
    assert_in_step(walk, archive)


def test_an_asset_knows_the_page_of_the_product_that_shows_it(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    hero, shared, unseen = (archive.asset(name) for name in ("hero", "shared", "unseen"))
    catalog.media(f"iconik-{hero}-web", f"iconik-{shared}-web", f"iconik-{unseen}-web", "by-hand")
    links = {"picture": f"iconik-{hero}-web|Staged|Default", "others": [f"iconik-{shared}-web|Staged|Default"]}
    catalog.product("drill 18/V", **links)
    catalog.product("axe", others=[f"iconik-{shared}-web|Staged|Default", "by-hand|Staged|Default"])
    catalog.product("draft", approvalStatus="check", picture=f"iconik-{unseen}-web|Staged|Default")
    walk(FLOW)
    assert walk.errors == {}
    found = {row["id"]: row["external_link"] for row in archive.far.records("assets")}
    page = "https://www.example.com/p/"
    assert (found[hero], found[shared], found[unseen]) == (f"{page}drill%2018%2FV", f"{page}axe", None)
    assert_in_step(walk, archive)
    catalog.product("drill 18/V", picture=None, others=[])
    catalog.product("axe", others=[f"iconik-{shared}-web|Staged|Default"])
    walk(FLOW)
    found = {row["id"]: row["external_link"] for row in archive.far.records("assets")}
    assert (found[hero], found[shared]) == (None, f"{page}axe")
    assert_in_step(walk, archive)


def test_an_empty_shop_withdraws_nothing_and_a_flood_of_products_stops(
    walk: Walk, archive: Archive, catalog: Catalog
) -> None:
    catalog.product("a")
    walk(FLOW)
    catalog.far.delete("Product", "a|Staged|Default")
    walk(FLOW, "complete")
    assert "an empty source is not a wish to delete all" in str(walk.errors[PACKAGES])
    assert status(archive, package("a")) == ["draft"]
    from commerce_sync.mapping import Guards, Limit

    walk.alter(PACKAGES, guards=Guards(max_changes=Limit(absolute=2)))
    for code in "abcdef":
        catalog.product(code)
    assert "max_changes" in str(walk.attempt(PACKAGES) and walk.error)
    assert set(archive.collections()) == {package("a")}
    walk(FLOW, leg=PACKAGES, limit=2)
    assert walk.errors == {}
    assert len(archive.collections()) == 3
