"""K4: what iconik knows of an asset stands at the shop's media and products; what it does not know empties nothing."""

from __future__ import annotations

from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError
from flows.archive import ONLINE, Archive, Catalog
from flows.walking import Shop, Walk, connection

FLOW = "iconik_metadata"
TEXTS, FEATURES = "assets_to_media_texts", "assets_to_product_features"


@pytest.fixture
def archive(media: Any, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setenv("AIRFLOW_CONN_ICONIK_DEFAULT", connection(media, max_per_second=100_000))
    return Archive(media)


@pytest.fixture
def catalog(shop: Shop) -> Catalog:
    return Catalog(shop.far)


def shown(archive: Archive, catalog: Catalog, title: str, *renditions: str, **values: Any) -> str:
    """An asset the shop has media of."""
    key = archive.asset(title, **values)
    catalog.media(*(f"iconik-{key}-{name}" for name in renditions or ("web",)))
    return key


def texts(catalog: Catalog, version: str = "Staged|Default") -> dict[str, tuple[Any, Any]]:
    rows = [row for row in catalog.far.records("Media") if row["catalogVersion"] == version]
    return {row["code"]: (row["altText"], row["description"]) for row in rows}


def features(catalog: Catalog, product: str) -> dict[str, list[str]]:
    rows = [row for row in catalog.far.records("ProductFeature") if row["product"].startswith(f"{product}|")]
    rows.sort(key=lambda row: (row["qualifier"], row["valuePosition"]))
    return {name: [row["value"] for row in rows if row["qualifier"] == name] for name in {r["qualifier"] for r in rows}}


def assert_in_step(walk: Walk, archive: Archive, catalog: Catalog, mode: str = "complete") -> None:
    """Another walk writes nothing on either side."""
    for side in (archive, catalog):
        side.far.reset_calls()
    before = [row["modifiedtime"] for kind in ("Media", "ProductFeature") for row in catalog.far.records(kind)]
    runs = walk(FLOW, mode)
    assert walk.errors == {}
    assert ([run.sent for run in runs.values()], archive.writes(), catalog.writes()) == ([0, 0], 0, 0)
    assert before == [row["modifiedtime"] for kind in ("Media", "ProductFeature") for row in catalog.far.records(kind)]


def test_words_and_figures_of_assets_arrive(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    catalog.product("drill")
    said = {"sku": ["drill"], "alt_text": "<p>A&nbsp;drill <b>at</b>\n work &amp; play</p>", "language": "de"}
    hero = shown(archive, catalog, "Drill <i>hero</i>", "web", "thumb",
                 metadata=said | {"usage_rights": "web_only", "campaign_tags": ["spring", "<b>sale</b>"]})  # fmt: skip
    film = shown(archive, catalog, "Film", media="video", seconds=2.5, width=320, height=180,
                 metadata={"sku": ["drill"], "language": "en-US", "media_role": "video"})  # fmt: skip
    archive.asset("Not in the shop", metadata={"sku": ["drill"], "campaign_tags": ["secret"], "alt_text": "Secret"})
    catalog.media("by-hand", altText="Ours", description="Ours")
    catalog.media(f"iconik-{hero}-web", version=ONLINE, altText="live")
    runs = walk(FLOW)
    assert walk.errors == {}
    assert [run.status for run in runs.values()] == ["green", "green"]
    words = ("A drill at work & play", "Drill hero")
    assert texts(catalog) == {
        f"iconik-{hero}-web": words, f"iconik-{hero}-thumb": words, f"iconik-{film}-web": (None, "Film"),
        "by-hand": ("Ours", "Ours"),
    }  # fmt: skip
    assert texts(catalog, ONLINE) == {f"iconik-{hero}-web": ("live", None)}
    size = archive.far.records("files", asset_id=film)[0]["size"]
    assert features(catalog, "drill") == {
        "video_duration_s": ["2.500"], "video_format": ["MOV"], "video_codec": ["jpeg"], "video_resolution": ["320x180"],
        "video_size_bytes": [str(size)], "media_language": ["de", "en-US"], "usage_rights": ["web_only"],
        "campaign_tags": ["sale", "spring"],
    }  # fmt: skip
    assert_in_step(walk, archive, catalog)
    assert_in_step(walk, archive, catalog, "auto")
    archive.far.patch("assets", film, date_modified=archive.far.clock()["now"])  # somebody's write elsewhere
    assert_in_step(walk, archive, catalog, "changes")


def test_a_blank_empties_nothing_unless_it_is_meant_to(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    catalog.product("drill")
    said = {"sku": ["drill"], "alt_text": "A drill", "language": "de", "usage_rights": "web_only"}
    key = shown(archive, catalog, "Drill", metadata=said | {"campaign_tags": ["spring", "sale"]})
    walk(FLOW)
    known = features(catalog, "drill")
    archive.edit(key, alt_text=None, language=None, usage_rights=None, campaign_tags=["sale"])
    walk(FLOW)
    assert texts(catalog)[f"iconik-{key}-web"] == ("A drill", "Drill")
    assert features(catalog, "drill") == known | {"campaign_tags": ["sale"]}
    archive.edit(key, campaign_tags=None)
    walk(FLOW)
    assert features(catalog, "drill") == {name: known[name] for name in known if name != "campaign_tags"}
    assert_in_step(walk, archive, catalog)
    archive.edit(key, usage_rights="editorial")
    walk(FLOW)
    assert features(catalog, "drill")["usage_rights"] == ["editorial"]
    archive.edit(key, sku=None)  # it fits the product no more: what was said because of it goes
    walk(FLOW)
    assert features(catalog, "drill") == {}
    assert_in_step(walk, archive, catalog)


def test_an_unknown_value_is_set_aside_and_the_shop_keeps_its_own(
    walk: Walk, archive: Archive, catalog: Catalog
) -> None:
    for code in ("a", "b"):
        catalog.product(code)
    good = {"usage_rights": "web_only", "language": "en_us", "alt_text": "Good"}
    first = shown(archive, catalog, "A", metadata=good | {"sku": ["a"]})
    shown(archive, catalog, "B", metadata=good | {"sku": ["b"]})
    walk(FLOW)
    assert features(catalog, "a") == {"usage_rights": ["web_only"], "media_language": ["en-US"]}
    archive.edit(first, usage_rights="ask_legal", language="english!", alt_text="&lt;script&gt;alert(1)&lt;/script&gt;")
    other = shown(archive, catalog, "😀 " + "ש" * 300, metadata={"sku": ["b", "nowhere"], "campaign_tags": ["x" * 300]})
    runs = walk(FLOW)
    assert walk.errors == {}
    assert [run.status for run in runs.values()] == ["green", "green"]
    assert features(catalog, "a") == {"usage_rights": ["web_only"], "media_language": ["en-US"]}
    assert texts(catalog)[f"iconik-{first}-web"] == ("Good", "A")
    assert features(catalog, "b")["campaign_tags"] == ["x" * 255]
    assert len(texts(catalog)[f"iconik-{other}-web"][1]) == 255
    aside = {(item.code, item.status) for leg in (TEXTS, FEATURES) for item in walk.rejects(leg).values()}
    assert {code for code, status in aside if status == "quarantined"} == {
        "usage_rights_are_known", "language_is_a_bcp47_tag", "no_markup_is_left",
    }  # fmt: skip
    assert len([1 for _code, status in aside if status == "rejected"]) == 1  # the product that is nowhere
    archive.edit(first, usage_rights="editorial", language="fr", alt_text="Better")
    archive.edit(other, sku=["b"])
    walk(FLOW)
    assert features(catalog, "a") == {"usage_rights": ["editorial"], "media_language": ["fr"]}
    assert (walk.rejects(TEXTS), walk.rejects(FEATURES)) == ({}, {})
    assert_in_step(walk, archive, catalog)


def test_a_renamed_field_stops_the_run_before_anything_is_read(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    catalog.product("a")
    key = shown(archive, catalog, "A", metadata={"sku": ["a"], "alt_text": "Known", "usage_rights": "web_only"})
    walk(FLOW)
    view = archive.far.records("views", name="SAP Commerce")[0]
    renamed = {"alt_text": "alternative_text", "usage_rights": "rights"}
    fields = [{"name": renamed.get(one["name"], one["name"])} for one in view["view_fields"]]
    for old, new in renamed.items():
        known = archive.far.records("fields", name=old)[0]
        archive.far.put("fields", [{**known, "id": new, "name": new}])
    archive.far.patch("views", view["id"], view_fields=fields)
    archive.edit(key, alt_text="Lost?")
    for side in (archive, catalog):
        side.far.reset_calls()
    walk(FLOW)
    assert {leg: type(error) for leg, error in walk.errors.items()} == {
        TEXTS: ConfigurationError, FEATURES: ConfigurationError,
    }  # fmt: skip
    assert "no field 'alt_text' (was it renamed?); it has: alternative_text" in str(walk.errors[TEXTS])
    assert catalog.writes() == 0
    assert "search" not in " ".join(archive.far.calls()["by_route"])
    archive.far.patch("views", view["id"], view_fields=view["view_fields"])
    walk(FLOW)
    assert walk.errors == {}
    assert texts(catalog)[f"iconik-{key}-web"] == ("Lost?", "A")
    assert_in_step(walk, archive, catalog)


def test_deleted_assets_and_a_flood_leave_the_shop_alone(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    catalog.product("a")
    keys = [shown(archive, catalog, name, metadata={"sku": ["a"], "alt_text": name}) for name in ("x", "y")]
    walk(FLOW)
    known = texts(catalog)
    archive.touch(keys[0], status="DELETED")  # withdrawing its medium is the gate's work
    walk(FLOW, "complete")
    assert walk.errors == {}
    assert texts(catalog) == known
    archive.far.fault(action="status", status=429, headers={"Retry-After": "0"}, match={"path": "/search/"}, times=2)
    catalog.far.fault(action="status", status=503, match={"method": "POST"}, times=1)
    archive.edit(keys[1], alt_text="z")
    walk(FLOW)
    assert walk.errors == {}
    assert texts(catalog)[f"iconik-{keys[1]}-web"] == ("z", "y")
    assert_in_step(walk, archive, catalog)
