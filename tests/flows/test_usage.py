"""K7: iconik knows where the shop uses an asset, counted down only when the whole shop was looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.errors import GuardError
from commerce_sync.mapping import Guards, Limit
from flows.archive import ONLINE, STAGED, Archive, Catalog
from flows.walking import Shop, Walk, connection

FLOW, LEG = "iconik_usage", "placements_to_assets"
CONTENT = "Online|Content"
NOW = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)
TODAY = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def archive(media: Any, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setenv("AIRFLOW_CONN_ICONIK_DEFAULT", connection(media, max_per_second=100_000))
    return Archive(media)


@pytest.fixture
def catalog(shop: Shop) -> Catalog:
    return Catalog(shop.far)


def page(catalog: Catalog, uid: str, *components: str, version: str = CONTENT) -> None:
    """A content page whose one slot holds these components."""
    far, there = catalog.far, {"catalogVersion": version}
    far.put("ContentPage", [there | {"uid": uid, "name": uid, "label": f"/{uid}"}])
    listed = [f"{name}|{version}" for name in components]
    far.put("ContentSlot", [there | {"uid": f"slot-{uid}", "name": uid, "cmsComponents": listed}])
    link = {
        "uid": f"{uid}-main",
        "position": "main",
        "page": f"{uid}|{version}",
        "contentSlot": f"slot-{uid}|{version}",
    }
    far.put("ContentSlotForPage", [there | link])


def banner(catalog: Catalog, uid: str, media: str, version: str = CONTENT) -> None:
    catalog.far.put(
        "BannerComponent", [{"uid": uid, "catalogVersion": version, "name": uid, "media": f"{media}|{version}"}]
    )


def usage(archive: Archive, key: str) -> tuple[list[Any], Any]:
    """commerce_placements, commerce_usage_count."""
    held = archive.metadata(key)
    return held.get("commerce_placements", []), (held.get("commerce_usage_count") or [None])[0]


def last_used(archive: Archive, key: str) -> datetime:
    return datetime.fromisoformat(archive.metadata(key)["commerce_last_used"][0])


def history(archive: Archive, key: str) -> list[str]:
    rows = archive.far.records("history", asset_id=key)
    return [row["operation_description"] for row in rows if row["operation_type"] == "CUSTOM"]


def assert_in_step(walk: Walk, archive: Archive, days: int = 0) -> None:
    archive.far.reset_calls()
    run = walk.leg(LEG, now=NOW + timedelta(days=days))
    assert (run.kind, run.sent, archive.writes()) == ("complete", 0, 0)


def test_every_place_is_found_and_nothing_else(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    hero, shared, idle = (archive.asset(name, metadata={"commerce_status": "published"}) for name in "abc")
    catalog.media(f"iconik-{hero}-web", f"iconik-{shared}-web", f"iconik-{idle}-web", "by-hand", "iconik-nonsense-web")
    catalog.media(f"iconik-{hero}-wide", version=CONTENT)
    catalog.categories("toys", picture=f"iconik-{shared}-web|{STAGED}")
    for version in (STAGED, ONLINE):
        catalog.media(f"iconik-{hero}-thumb", version=version)
        catalog.product("drill", version=version, picture=f"iconik-{hero}-thumb|{version}")
    catalog.product(
        "doll", others=[f"iconik-{shared}-web|{STAGED}", f"by-hand|{STAGED}", f"iconik-nonsense-web|{STAGED}"]
    )
    catalog.far.put("MediaContainer", [{"qualifier": "hand-made", "catalogVersion": STAGED}])
    catalog.change("Media", f"iconik-{shared}-web|{STAGED}", mediaContainer=f"hand-made|{STAGED}")
    catalog.product("saw", galleryImages=[f"hand-made|{STAGED}"])
    banner(catalog, "big", f"iconik-{hero}-wide")
    page(catalog, "home", "big")
    run = walk.leg(LEG, now=NOW)
    assert (run.status, run.delivered) == ("green", 2)
    assert usage(archive, hero) == (["component:Content/big", "page:Content//home", "product:Default/drill"], 3)
    assert usage(archive, shared) == (["category:Default/toys", "product:Default/doll", "product:Default/saw"], 3)
    assert usage(archive, idle) == ([], None)
    assert last_used(archive, hero) == TODAY
    assert len(history(archive, hero)) == 1
    assert history(archive, idle) == []
    assert_in_step(walk, archive)
    assert_in_step(walk, archive, days=3)


def test_an_asset_no_longer_shown_says_when_it_last_was(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    keys = [archive.asset(name) for name in ("goes", "stays")]
    catalog.media(*(f"iconik-{key}-web" for key in keys))
    for code, key in zip(("p1", "p2"), keys, strict=True):
        catalog.product(code, picture=f"iconik-{key}-web|{STAGED}")
    walk.leg(LEG, now=NOW)
    assert_in_step(walk, archive, days=1)
    catalog.product("p1", picture=None)
    walk.leg(LEG, now=NOW + timedelta(days=2))
    assert (usage(archive, keys[0]), last_used(archive, keys[0])) == (([], 0), TODAY + timedelta(days=1))
    assert (usage(archive, keys[1])[1], last_used(archive, keys[1])) == (1, TODAY)
    assert len(history(archive, keys[0])) == 2
    assert_in_step(walk, archive, days=3)
    catalog.product("p1", picture=f"iconik-{keys[0]}-web|{STAGED}")
    walk.leg(LEG, now=NOW + timedelta(days=4))
    assert (usage(archive, keys[0])[1], last_used(archive, keys[0])) == (1, TODAY + timedelta(days=4))
    assert_in_step(walk, archive, days=5)


def test_an_incomplete_look_counts_nothing_down(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    keys = [archive.asset(f"a{number}") for number in range(4)]
    catalog.media(*(f"iconik-{key}-web" for key in keys))
    for number, key in enumerate(keys):
        catalog.product(f"p{number}", picture=f"iconik-{key}-web|{STAGED}")
    page(catalog, "home")
    walk.leg(LEG, now=NOW)
    known = [usage(archive, key) for key in keys]
    for number in range(4):
        catalog.product(f"p{number}", picture=None)
    archive.far.reset_calls()
    for broken in ("ContentPages", "Medias", "BannerComponents"):
        catalog.far.fault(action="status", status=500, match={"path": f"/{broken}"}, times=None)
        walk.attempt(LEG, now=NOW + timedelta(days=1))
        assert walk.error is not None
        catalog.far.clear_faults()
    assert ([usage(archive, key) for key in keys], archive.writes()) == (known, 0)
    walk.alter(LEG, guards=Guards(max_changes=Limit(share=0.3, absolute=2)))
    walk.attempt(LEG, now=NOW + timedelta(days=1))
    assert isinstance(walk.error, GuardError)
    assert ([usage(archive, key) for key in keys], archive.writes()) == (known, 0)
    walk.alter(LEG, guards=Guards())
    walk.leg(LEG, now=NOW + timedelta(days=1))
    assert [usage(archive, key) for key in keys] == [([], 0)] * 4


def test_many_places_are_cut_and_a_missing_master_is_reported(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    wanted, deleted = archive.asset("everywhere"), archive.asset("deleted")
    never = "0f0f0f0f-0000-4000-8000-00000000ffff"
    catalog.media(*(f"iconik-{key}-web" for key in (wanted, deleted, never)))
    codes = [f"p{number:03d}" for number in range(205)]
    catalog.far.put("Product", [{"code": code, "name": code, "catalogVersion": STAGED,
                                 "picture": f"iconik-{wanted}-web|{STAGED}"} for code in codes])  # fmt: skip
    catalog.product("משחק 😀", picture=f"iconik-{deleted}-web|{STAGED}")
    catalog.product("b", picture=f"iconik-{never}-web|{STAGED}")
    archive.touch(deleted, status="DELETED")
    run = walk.leg(LEG, now=NOW)
    assert (run.delivered, run.rejected) == (1, 2)
    assert usage(archive, wanted) == ([f"product:Default/{code}" for code in codes[:200]], 205)
    refused = walk.rejects(LEG)
    assert {key: item.reason_class for key, item in refused.items()} == {deleted: "reference", never: "reference"}
    assert f"asset {deleted} is deleted in iconik, but something still speaks of it" in refused[deleted].reason
    assert usage(archive, deleted) == ([], None)
    archive.touch(deleted, status="ACTIVE")
    walk.leg(LEG, "replay", now=NOW + timedelta(hours=1))
    assert usage(archive, deleted) == (["product:Default/משחק 😀"], 1)


def test_own_writes_wake_no_other_flow(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    key = archive.asset("a", metadata={"sku": ["p"], "alt_text": "Words", "usage_rights": "web_only"})
    catalog.media(f"iconik-{key}-web")
    catalog.product("p", picture=f"iconik-{key}-web|{STAGED}")
    walk("iconik_metadata")
    before = archive.far.records("assets", id=key)[0]["date_modified"]
    catalog.far.reset_calls()
    walk.leg(LEG, now=NOW)
    assert archive.far.records("assets", id=key)[0]["date_modified"] > before
    runs = walk("iconik_metadata")
    assert walk.errors == {}
    assert ([run.sent for run in runs.values()], catalog.writes()) == ([0, 0], 0)
