"""K5: the shop says what a product is, iconik says what fits; only differences travel, and vanished codes wait a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.mapping import Guards, Limit
from flows.archive import Archive, Catalog
from flows.walking import Shop, Walk, connection, mapping_of

FLOW = "iconik_associations"
FACTS, CONTENTS, FITS = "product_facts_to_assets", "assets_to_package_contents", "asset_fits_to_products"


@pytest.fixture
def archive(media: Any, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setenv("AIRFLOW_CONN_ICONIK_DEFAULT", connection(media, max_per_second=100_000))
    return Archive(media)


@pytest.fixture
def catalog(shop: Shop) -> Catalog:
    return Catalog(shop.far)


def facts(archive: Archive, key: str) -> tuple[Any, ...]:
    """sku, variant_skus, category_codes."""
    held = archive.metadata(key)
    return tuple(held.get(name, []) for name in ("sku", "variant_skus", "category_codes"))


def others(catalog: Catalog, code: str) -> set[str]:
    row = next(row for row in catalog.far.records("Product") if row["code"] == code)
    return {name.partition("|")[0] for name in row["others"]}


def aside(walk: Walk, leg: str) -> dict[str, str]:
    return {key: item.code for key, item in walk.rejects(leg).items() if item.status == "quarantined"}


def with_code_changes(walk: Walk, *changes: tuple[str, str]) -> None:
    """The mapping after somebody has written renamed codes into its table."""
    rows = ", ".join(f"('{old}', '{new}')" for old, new in changes)
    sql = str(mapping_of(FACTS).aggregate)
    assert "VALUES (NULL::VARCHAR, NULL::VARCHAR)" in sql
    walk.alter(FACTS, aggregate=sql.replace("VALUES (NULL::VARCHAR, NULL::VARCHAR)", f"VALUES {rows}"))


def test_both_sides_say_what_is_theirs(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    catalog.categories("machines", "toys")
    catalog.product("drill", categories=("machines", "toys"))
    catalog.product("doll", categories=("toys",), others=[])
    catalog.variant("drill-red", of="drill")
    catalog.media("by-hand")
    catalog.change("Product", "drill|Staged|Default", others=["by-hand|Staged|Default"])
    packages = {code: archive.package(code) for code in ("drill", "doll")}
    both = archive.asset("both", metadata={"sku": ["drill", "doll"], "media_role": "hero", "catalog": "Default"})
    lost = archive.asset("lost", metadata={"sku": ["doll", "nowhere"], "category_codes": ["mine"]})
    unseen = archive.asset("no medium yet", metadata={"sku": ["doll"]})
    catalog.media(f"iconik-{both}-web", f"iconik-{both}-thumb", f"iconik-{lost}-web")
    catalog.product("bare")
    runs = walk(FLOW)
    assert walk.errors == {}
    assert [run.status for run in runs.values()] == ["green", "green", "green"]
    assert facts(archive, both) == (["drill", "doll"], ["drill-red"], ["machines", "toys"])
    assert facts(archive, lost) == (["doll", "nowhere"], [], ["toys"])
    assert aside(walk, FACTS) == {f"{lost}:nowhere": "every_sku_is_in_the_shop"}
    assert aside(walk, FITS) == {"Default:Staged:bare:hero": "every_product_has_a_hero"}
    assert archive.contents() == {
        (packages["drill"], both), (packages["doll"], both), (packages["doll"], lost), (packages["doll"], unseen),
    }  # fmt: skip
    rendered = {f"iconik-{both}-web", f"iconik-{both}-thumb"}
    assert others(catalog, "drill") == {"by-hand", *rendered}
    assert others(catalog, "doll") == {*rendered, f"iconik-{lost}-web"}
    assert_in_step_but_for_reports(walk, archive, catalog)


def assert_in_step_but_for_reports(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    """Reports are made again each time; nothing is written."""
    for mode in ("auto", "complete"):
        for side in (archive, catalog):
            side.far.reset_calls()
        runs = walk(FLOW, mode)
        assert walk.errors == {}
        assert [(run.sent, run.status) for run in runs.values()] == [(0, "green")] * 3
        assert (archive.writes(), catalog.writes()) == (0, 0)


def test_reclassified_replaced_and_no_longer_fitting(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    catalog.categories("machines", "toys")
    for code in ("drill", "saw"):
        catalog.product(code, categories=("machines",))
        archive.package(code)
    packages = {key.rpartition(":")[2]: row["id"] for key, row in archive.collections().items()}
    said = {"sku": ["drill"], "media_role": "hero", "catalog": "Default"}
    old, new = (
        archive.asset(name, metadata=said | {"sku": sku}) for name, sku in (("old", ["drill"]), ("new", ["saw"]))
    )
    stays = archive.asset("stays", metadata={"catalog": "Default"})
    archive.far.put("contents", [{"id": f"{packages['drill']}:{stays}", "collection_id": packages["drill"],
                                  "object_id": stays, "object_type": "assets"}])  # fmt: skip
    catalog.media(f"iconik-{old}-web")
    walk(FLOW)
    assert walk.errors == {}
    assert others(catalog, "drill") == {f"iconik-{old}-web"}
    catalog.product("drill", categories=("toys",))
    archive.far.put("relations", [{"id": f"{new}:replaces:{old}", "asset_id": new, "related_to_asset_id": old,
                                   "relation_type": "replaces"}])  # fmt: skip
    archive.touch(new)
    walk(FLOW)
    assert facts(archive, old)[2] == ["toys"]
    assert others(catalog, "drill") == {f"iconik-{old}-web"}  # what replaces it is not in the shop yet
    catalog.media(f"iconik-{new}-web")
    walk(FLOW)
    assert (others(catalog, "drill"), others(catalog, "saw")) == ({f"iconik-{new}-web"}, {f"iconik-{new}-web"})
    archive.edit(old, sku=["saw"])
    walk(FLOW)
    assert archive.contents() == {(packages["saw"], old), (packages["saw"], new), (packages["drill"], stays)}
    archive.edit(new, sku=None)
    archive.edit(old, sku=None)
    walk(FLOW)
    assert (others(catalog, "drill"), others(catalog, "saw")) == (set(), set())
    assert archive.contents() == {(packages["drill"], stays)}
    assert_in_step_but_for_reports(walk, archive, catalog)


def drill(walk: Walk, archive: Archive, catalog: Catalog) -> str:
    """An asset that fits a product with one category, and has been told so; gives its id."""
    catalog.categories("machines")
    catalog.product("drill", categories=("machines",))
    key = archive.asset("a", metadata={"sku": ["drill"]})
    walk(FLOW)
    return key


def test_the_shop_wins_over_its_own_facts_and_a_fit_added_meanwhile_stays(
    walk: Walk, archive: Archive, catalog: Catalog
) -> None:
    key = drill(walk, archive, catalog)
    for wrong in (["wrong"], [], ["wrong"]):  # the same mistake twice is set right twice
        archive.edit(key, category_codes=wrong)
        walk(FLOW)
        assert facts(archive, key)[2] == ["machines"]
        assert_in_step_but_for_reports(walk, archive, catalog)
    with_code_changes(walk, ("drill", "drill-2"), ("drill-2", "drill-3"))
    catalog.product("drill-3", categories=("machines",))
    catalog.far.delete("Product", "drill|Staged|Default")
    archive.edit(key, sku=["drill", "added by hand"])
    walk(FLOW, "complete")
    assert walk.errors == {}
    assert set(facts(archive, key)[0]) == {"drill-3", "added by hand"}
    assert facts(archive, key)[2] == ["machines"]
    assert_in_step_but_for_reports(walk, archive, catalog)


def test_a_replay_does_not_take_the_flow_s_own_write_for_somebody_s_edit(
    walk: Walk, archive: Archive, catalog: Catalog
) -> None:
    """A replay reads nothing anew: it knows the asset as it was before the write."""
    key = drill(walk, archive, catalog)
    archive.far.reset_calls()
    run = walk(FLOW, "replay", FACTS)[FACTS]
    assert (run.sent, archive.writes()) == (0, 0)
    archive.edit(key, category_codes=["wrong"])
    walk(FLOW)
    assert facts(archive, key)[2] == ["machines"]


def test_a_code_that_vanishes_without_a_new_name_waits_a_day(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    catalog.categories("machines", "toys")
    catalog.product("drill", categories=("machines",))
    catalog.product("doll", categories=("toys",))
    key = archive.asset("a", metadata={"sku": ["drill", "doll"]})
    begin = datetime.now(UTC)
    walk(FLOW)
    catalog.far.delete("Product", "drill|Staged|Default")
    for hours in (1, 20):
        run = walk.leg(FACTS, "complete", now=begin + timedelta(hours=hours))
        assert (run.status, run.sent) == ("green", 0)
        assert aside(walk, FACTS) == {
            key: "product_vanished_less_than_a_day_ago", f"{key}:drill": "every_sku_is_in_the_shop",
        }  # fmt: skip
        assert facts(archive, key) == (["drill", "doll"], [], ["machines", "toys"])
    walk.leg(FACTS, "complete", now=begin + timedelta(hours=26))
    assert facts(archive, key) == (["drill", "doll"], [], ["toys"])
    assert walk.leg(FACTS, "complete", now=begin + timedelta(hours=27)).sent == 0
    catalog.product("drill", categories=("machines",))
    walk.leg(FACTS, "complete", now=begin + timedelta(hours=28))
    assert facts(archive, key)[2] == ["machines", "toys"]
    assert aside(walk, FACTS) == {}


def test_a_bulk_move_stops_and_goes_on_in_parts(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    catalog.categories("old", "new")
    catalog.product("p", categories=("old",))
    keys = [archive.asset(f"a{number}", metadata={"sku": ["p"]}) for number in range(6)]
    walk(FLOW)
    walk.alter(FACTS, guards=Guards(max_changes=Limit(share=0.3), max_quarantined=None))
    catalog.product("p", categories=("new",))
    walk(FLOW, leg=FACTS)
    assert "guard max_changes" in str(walk.error)
    assert {tuple(facts(archive, key)[2]) for key in keys} == {("old",)}
    for moved in (1, 2):
        walk(FLOW, leg=FACTS, limit=1)
        assert sum(facts(archive, key)[2] == ["new"] for key in keys) == moved
    archive.far.fault(action="status", status=429, match={"method": "PUT"}, times=2)
    walk.alter(FACTS, guards=Guards(max_quarantined=None))
    walk(FLOW)
    assert walk.errors == {}
    assert all(facts(archive, key)[2] == ["new"] for key in keys)


def test_bad_rows_are_refused_alone(walk: Walk, archive: Archive, catalog: Catalog) -> None:
    catalog.categories("c", name={"en": "😀" * 100})
    catalog.product("שלום-😀", categories=("c",))
    catalog.product("good", categories=("c",))
    good, gone, strange = (archive.asset(name, metadata={"sku": [sku]}) for name, sku in
                           (("good", "good"), ("gone", "good"), ("strange", "שלום-😀")))  # fmt: skip
    archive.package("good")
    archive.package("good")  # doubled: nobody knows which one is meant
    refusing = {"method": "PUT", "path": f"/metadata/v1/assets/{gone}/"}
    archive.far.fault(action="status", status=403, match=refusing, body='{"errors": ["Permission denied"]}', times=1)
    runs = walk(FLOW)
    assert walk.errors == {}
    assert runs[FACTS].rejected == 1
    assert {key: item.reason_class for key, item in walk.rejects(FACTS).items()} == {gone: "permission"}
    assert (facts(archive, good)[2], facts(archive, strange)[2]) == (["c"], ["c"])
    assert archive.contents() == set()
    walk(FLOW, "replay")
    assert facts(archive, gone)[2] == ["c"]
    assert_in_step_but_for_reports(walk, archive, catalog)
