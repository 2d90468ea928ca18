"""Writing beside people: what they renamed, decided or added stays."""

from __future__ import annotations

from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError


def package(title: str = "From the shop", status: str = "draft") -> list[dict[str, Any]]:
    return [{"external_id": "x:1", "title": title, "metadata.commerce_status": status, "metadata.sku": ["1"]}]


def test_a_title_is_only_given_at_creation_and_a_status_only_steps_on_what_it_may(domain: Any) -> None:
    domain.far.options(index_lag_s=0)
    options = {"settle_s": 0, "at_creation": ["title"],
               "over": {"metadata.commerce_status": {"draft": ["", "withdrawn"]}}}  # fmt: skip
    key = domain.load(package(), to="collections", **options)["x:1"]["target_id"]
    assert domain.far.records("collections", id=key)[0]["title"] == "From the shop"
    assert domain.metadata(key)["commerce_status"] == ["draft"]
    domain.far.patch("collections", key, title="By hand")
    for held, sent, left in (("published", "draft", "published"), ("published", "withdrawn", "withdrawn"),
                             ("withdrawn", "draft", "draft")):  # fmt: skip
        row = domain.far.records("metadata", object_id=key)[0]
        entry = {"date_created": None, "field_values": [{"value": held}]}
        domain.far.patch("metadata", row["id"], metadata_values=row["metadata_values"] | {"commerce_status": entry})
        assert domain.load(package("Renamed", sent), to="collections", **options)["x:1"]["outcome"] == "delivered"
        assert domain.metadata(key)["commerce_status"] == [left]
    assert domain.far.records("collections", id=key)[0]["title"] == "By hand"


def test_values_are_added_and_taken_out_beside_those_of_others(domain: Any) -> None:
    key = domain.asset(metadata={"sku": ["old", "theirs"]})
    rows = [{"id": key, "sku.add": ["new"], "sku.remove": ["old"], "category_codes": ["c"]}]
    assert domain.load(rows, to="metadata", by="id")[key]["outcome"] == "delivered"
    assert domain.metadata(key) == {"sku": ["theirs", "new"], "category_codes": ["c"]}
    domain.far.reset_calls()
    domain.load([{"id": key, "sku.add": [], "sku.remove": []}], to="metadata", by="id")
    assert domain.writes() == {}


def test_a_deleted_asset_is_refused_and_a_written_one_says_so_once(domain: Any) -> None:
    good, gone = domain.asset("good"), domain.asset("gone")
    domain.far.patch("assets", gone, status="DELETED")
    rows = [{"id": key, "commerce_usage_count": 3} for key in (good, gone)]
    for _ in range(2):
        done = domain.load(rows, to="metadata", by="id", only_active=True, history="Counted")
        assert (done[good]["outcome"], done[gone]["reason_class"]) == ("delivered", "reference")
    assert domain.metadata(gone) == {}
    entries = [row for row in domain.far.records("history") if row["operation_type"] == "CUSTOM"]
    assert [(row["asset_id"], row["operation_description"].split(" [")[0]) for row in entries] == [(good, "Counted")]


def test_an_option_that_names_no_field_is_refused(domain: Any) -> None:
    with pytest.raises(ConfigurationError, match="option at_creation names 'titel', which is no mapped field"):
        domain.load(package(), to="collections", at_creation=["titel"])
    with pytest.raises(ConfigurationError, match="option over names 'state'"):
        domain.load(package(), to="collections", over={"state": {"a": ["b"]}})
