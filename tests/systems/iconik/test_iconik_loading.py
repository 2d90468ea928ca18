"""Writing into iconik: what the domain holds afterwards, with one outcome for every row."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Field, Lookup

COLLECTIONS = Lookup(object="collections", external_id="external_id")
PACKAGE = "sapcc:electronics:300938"


def test_a_package_is_made_once_and_brought_up_to_date_after(domain: Any) -> None:
    row = {"external_id": PACKAGE, "title": "Camera", "metadata.sku": ["300938"], "metadata.commerce_status": "draft"}
    made = domain.load([row], to="collections")[PACKAGE]
    assert (made["outcome"], made["created"]) == ("delivered", True)
    stored = domain.far.records("collections", external_id=PACKAGE)
    assert [(one["id"], one["title"]) for one in stored] == [(made["target_id"], "Camera")]
    assert domain.metadata(made["target_id"]) == {"sku": ["300938"], "commerce_status": ["draft"]}
    again = row | {"title": "Camera II", "_target_id": made["target_id"], "metadata.commerce_status": "withdrawn"}
    assert domain.load([again], to="collections", kind="MODIFIED")[PACKAGE]["created"] is False
    assert [one["title"] for one in domain.far.records("collections", external_id=PACKAGE)] == ["Camera II"]
    assert domain.metadata(made["target_id"])["commerce_status"] == ["withdrawn"]


def test_a_load_that_died_unnoticed_makes_nothing_twice(domain: Any) -> None:
    rows = [{"external_id": f"{PACKAGE}:{n}", "title": f"P{n}"} for n in range(7)]
    domain.load(rows, to="assets")
    again = domain.load(rows, to="assets")  # the index has not seen the first load yet
    assert {row["outcome"] for row in again.values()} == {"delivered"}
    assert not any(row["created"] for row in again.values())
    assert len(domain.far.records("assets")) == 7
    assert {row["type"] for row in domain.far.records("assets")} == {"PLACEHOLDER"}


def test_an_unchanged_object_is_not_written(domain: Any) -> None:
    key = domain.collection(PACKAGE, "Camera")
    domain.far.reset_calls()
    row = {"external_id": PACKAGE, "title": "Camera", "_target_id": key}
    assert domain.load([row], to="collections")[PACKAGE]["outcome"] == "delivered"
    assert domain.writes() == {}


def test_a_doubled_external_id_stops_that_key_and_no_other(domain: Any) -> None:
    first, second = domain.collection(PACKAGE, "One"), domain.collection(PACKAGE, "Two")
    outcomes = domain.load(
        [{"external_id": PACKAGE, "title": "X"}, {"external_id": "b", "title": "B"}], to="collections"
    )
    refused = outcomes[PACKAGE]
    assert (refused["outcome"], refused["code"], refused["reason_class"]) == (
        "rejected", "ambiguous_external_id", "duplicate")  # fmt: skip
    assert first in refused["reason"]
    assert second in refused["reason"]
    assert outcomes["b"]["outcome"] == "delivered"
    assert {row["title"] for row in domain.far.records("collections", external_id=PACKAGE)} == {"One", "Two"}


def test_what_was_deleted_in_iconik_is_not_made_again_behind_its_back(domain: Any) -> None:
    key = domain.collection(PACKAGE)
    domain.hook.call("DELETE", f"assets/v1/collections/{key}/")
    row = {"external_id": PACKAGE, "title": "New", "_target_id": key}
    refused = domain.load([row], to="collections", kind="MODIFIED")[PACKAGE]
    assert (refused["code"], refused["reason_class"]) == ("deleted_in_iconik", "reference")
    assert len(domain.far.records("collections")) == 1


def test_what_was_purged_is_made_anew(domain: Any) -> None:
    key = domain.collection(PACKAGE)
    domain.far.delete("collections", key)
    row = {"external_id": PACKAGE, "title": "New", "_target_id": key}
    made = domain.load([row], to="collections", kind="MODIFIED")[PACKAGE]
    assert made["created"] is True
    assert made["target_id"] != key


def test_a_placeholder_goes_into_the_package_it_names(domain: Any) -> None:
    package = domain.collection(PACKAGE)
    rows = [
        {"external_id": f"{PACKAGE}:hero:en", "title": "Hero", "collection_id": PACKAGE, "metadata.media_role": "hero"},
        {"external_id": "lost", "title": "Lost", "collection_id": "nobody", "metadata.media_role": "hero"},
    ]
    outcomes = domain.load(rows, to="assets", lookups={"collection_id": COLLECTIONS})
    made = outcomes[f"{PACKAGE}:hero:en"]
    assert domain.links() == {(package, made["target_id"])}
    assert domain.metadata(made["target_id"]) == {"media_role": ["hero"]}
    assert (outcomes["lost"]["outcome"], outcomes["lost"]["reason_class"]) == ("rejected", "reference")
    assert len(domain.far.records("assets")) == 1


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
def test_a_creation_without_an_answer_is_settled_by_looking(domain: Any, fault: str) -> None:
    domain.far.fault(action=fault, match={"method": "POST", "path": "/collections/"})
    made = domain.load([{"external_id": PACKAGE, "title": "Camera"}], to="collections")[PACKAGE]
    assert made["outcome"] == "delivered"
    assert [row["id"] for row in domain.far.records("collections")] == [made["target_id"]]


def test_metadata_is_set_cleared_and_left(domain: Any) -> None:
    key = domain.asset(metadata={"sku": ["1"], "alt_text": "old", "campaign_code": "SPRING", "catalog": "c"})
    row = {"id": key, "sku": ["1", "2"], "alt_text": None, "campaign_code": None, "catalog": "other",
           "commerce_usage_count": 3, "rights_end": date(2027, 1, 31),
           "commerce_last_used": datetime(2026, 11, 20, 9, 30), "_leave": ["catalog"]}  # fmt: skip
    domain.load([row], to="metadata", by="id", leave=("campaign_code",))
    assert domain.metadata(key) == {
        "sku": ["1", "2"], "campaign_code": ["SPRING"], "catalog": ["c"], "commerce_usage_count": [3],
        "rights_end": ["2027-01-31"], "commerce_last_used": ["2026-11-20T09:30:00.000000+00:00"],
    }  # fmt: skip


def test_equal_metadata_touches_nothing(domain: Any) -> None:
    key = domain.asset(metadata={"sku": ["1"]})
    before = domain.far.records("assets", id=key)[0]["date_modified"]
    domain.load([{"id": key, "sku": ["1"]}], to="metadata", by="id")
    assert domain.far.records("assets", id=key)[0]["date_modified"] == before


def test_a_value_iconik_refuses_rejects_its_row_and_names_the_field(domain: Any) -> None:
    good, bad = domain.asset("Good"), domain.asset("Bad")
    rows = [{"id": good, "commerce_status": "draft"}, {"id": bad, "commerce_status": "perfect"},
            {"id": "00000000-0000-1000-8000-000000000000", "commerce_status": "draft"}]  # fmt: skip
    outcomes = domain.load(rows, to="metadata", by="id")
    assert outcomes[good]["outcome"] == "delivered"
    refused = outcomes[bad]
    assert (refused["outcome"], refused["reason_class"], refused["fields"]) == (
        "rejected", "validation", "commerce_status")  # fmt: skip
    assert outcomes["00000000-0000-1000-8000-000000000000"]["reason_class"] == "reference"


def test_metadata_finds_its_asset_by_external_id(domain: Any) -> None:
    key = domain.asset(external_id="x:1")
    outcomes = domain.load([{"external_id": "x:1", "sku": ["9"]}, {"external_id": "x:2", "sku": ["9"]}], to="metadata")
    assert domain.metadata(key) == {"sku": ["9"]}
    assert (outcomes["x:2"]["outcome"], outcomes["x:2"]["reason_class"]) == ("rejected", "reference")


def test_an_external_link_is_written_to_an_existing_asset(domain: Any) -> None:
    key = domain.asset("Hero")
    link = "https://shop.example/p/300938"
    domain.load([{"id": key, "external_link": link}], to="assets", by="id")
    stored = domain.far.records("assets", id=key)[0]
    assert (stored["external_link"], stored["title"]) == (link, "Hero")


def test_contents_follow_the_set(domain: Any) -> None:
    one, two = domain.collection("c:1"), domain.collection("c:2")
    first, second = domain.asset("A"), domain.asset("B")
    rows = [
        {"_key": "k1", "collection_id": one, "object_id": first},
        {"_key": "k2", "collection_id": one, "object_id": second},
    ]
    made = domain.load(rows, to="collection_contents", by="object_id")
    assert domain.links() == {(one, first), (one, second)}
    moved = {
        "_key": "k1",
        "collection_id": two,
        "object_id": first,
        "_target_id": made["k1"]["target_id"],
        "_kind": "MODIFIED",
    }
    gone = {
        "_key": "k2",
        "collection_id": None,
        "object_id": None,
        "_target_id": made["k2"]["target_id"],
        "_kind": "DELETED",
    }
    outcomes = domain.load([moved, gone], to="collection_contents", by="object_id", on_delete="delete")
    assert {row["outcome"] for row in outcomes.values()} == {"delivered"}
    assert domain.links() == {(two, first)}
    again = domain.load([gone], to="collection_contents", by="object_id", on_delete="delete")
    assert again["k2"]["outcome"] == "delivered", "what has gone already is gone"


@pytest.mark.parametrize("fault", ["drop_before", "drop_after"])
def test_a_link_without_an_answer_is_made_once(domain: Any, fault: str) -> None:
    package, asset = domain.collection("c:1"), domain.asset("A")
    domain.far.fault(action=fault, match={"method": "POST", "path": "/contents/"})
    outcomes = domain.load(
        [{"_key": "k", "collection_id": package, "object_id": asset}], to="collection_contents", by="object_id"
    )
    assert outcomes["k"]["outcome"] == "delivered"
    assert domain.links() == {(package, asset)}


def test_relations_are_made_and_undone(domain: Any) -> None:
    old, new = domain.asset("Old"), domain.asset("New")
    row = {"_key": "k", "asset_id": new, "relation_type": "replaces", "related_to_asset_id": old}
    wrong = row | {"_key": "w", "relation_type": "resembles"}
    outcomes = domain.load([row, wrong], to="relations", by="asset_id")
    assert [(one["asset_id"], one["related_to_asset_id"]) for one in domain.far.records("relations")] == [(new, old)]
    assert outcomes["w"]["reason_class"] == "validation"
    gone = {name: None for name in row} | {"_key": "k", "_target_id": outcomes["k"]["target_id"]}
    domain.load([gone | {"asset_id": None}], to="relations", by="asset_id", kind="DELETED", on_delete="delete")
    assert domain.far.records("relations") == []


def test_a_history_entry_is_written_once_per_state(domain: Any) -> None:
    key = domain.asset("A")
    row = {"_key": "k", "asset_id": key, "operation_description": "Published on PDP 300938"}
    domain.load([row], to="history", by="asset_id")
    domain.far.fault(action="drop_after", match={"method": "POST", "path": "/history/"})
    domain.load([row, row | {"_key": "other"}], to="history", by="asset_id")
    domain.load([row | {"_fingerprint": 8}], to="history", by="asset_id")
    entries = [one["operation_description"] for one in domain.far.records("history", operation_type="CUSTOM")]
    assert len(entries) == len(set(entries)) == 3
    assert all(text.startswith("Published on PDP 300938 [ref ") for text in entries)


def test_deleting_sets_values_or_deletes(domain: Any) -> None:
    key, other = domain.collection("c:1"), domain.collection("c:2")
    gone = {"external_id": None, "title": None, "metadata.commerce_status": None, "_kind": "DELETED"}
    rows = [gone | {"_key": "a", "_target_id": key}]
    domain.load(rows, to="collections", on_delete={"metadata.commerce_status": "'withdrawn'"})
    assert domain.metadata(key) == {"commerce_status": ["withdrawn"]}
    assert domain.far.records("collections", id=key)[0]["status"] == "ACTIVE"
    domain.load([gone | {"_key": "b", "_target_id": other}], to="collections", on_delete="delete")
    assert domain.far.records("collections", id=other)[0]["status"] == "DELETED"
    ignored = domain.load(rows, to="collections")["a"]
    assert (ignored["outcome"], ignored["code"]) == ("delivered", "ignored")
    unknown = domain.load([gone | {"_key": "c", "_target_id": None}], to="collections", on_delete="delete")["c"]
    assert (unknown["outcome"], unknown["code"]) == ("rejected", "missing_target_id")


def test_clearing_is_what_deleting_metadata_means(domain: Any) -> None:
    key = domain.asset(metadata={"sku": ["1"], "catalog": "c"})
    gone = {"_key": "k", "_target_id": key, "id": None, "sku": None}
    domain.load([gone], to="metadata", by="id", kind="DELETED", on_delete="delete")
    assert domain.metadata(key) == {"catalog": ["c"]}


def test_a_storm_of_429_is_waited_out(domain: Any) -> None:
    domain.far.fault(action="rate_limit", times=3, retry_after=2)
    made = domain.load([{"external_id": "a", "title": "A"}], to="collections")["a"]
    assert made["outcome"] == "delivered"
    assert 2 in domain.naps


def test_iconik_being_down_is_a_retry_and_half_down_is_told_row_by_row(domain: Any) -> None:
    rows = [{"external_id": f"c:{n}", "title": f"T{n}"} for n in range(40)]
    domain.far.fault(action="status", status=503, times=None, match={"method": "POST", "path": "/collections/"})
    with pytest.raises(RetryableError, match="503"):
        domain.load(rows, to="collections")
    domain.far.clear_faults()
    domain.far.fault(
        action="status", status=503, times=None, skip=10, match={"method": "POST", "path": "/collections/"}
    )
    outcomes = domain.load(rows, to="collections")
    kinds = [row["outcome"] for row in outcomes.values()]
    assert kinds.count("delivered") == 10
    assert kinds.count("unprocessed") == 30
    domain.far.clear_faults()
    domain.load(rows, to="collections")
    assert len(domain.far.records("collections")) == 40


def test_a_refused_token_is_for_a_person(domain: Any, connect: Any) -> None:
    connect(password="wrong")
    with pytest.raises(ConfigurationError, match="401"):
        domain.load([{"external_id": "a", "title": "A"}], to="collections")
    assert domain.hook.__class__(domain.hook.iconik_conn_id).test_connection()[0] is False


def test_a_right_the_token_lacks_rejects_the_rows_it_is_needed_for(domain: Any) -> None:
    key = domain.asset("A")
    token = next(row for row in domain.far.records("tokens") if row["token"] == domain.far.auth_token)
    domain.far.patch("tokens", token["id"], denies=["PUT /API/metadata/"])
    refused = domain.load([{"id": key, "sku": ["1"]}], to="metadata", by="id")[key]
    assert (refused["outcome"], refused["reason_class"]) == ("rejected", "permission")


def test_faults_of_a_mapping_are_told_before_anything_is_sent(domain: Any) -> None:
    changes = domain.changes([{"external_id": "a", "colour": "red", "metadata.skuu": "1"}])
    found = domain.hook.problems(domain.target("collections"), domain.fields(changes))
    assert any("'title' is not mapped" in one for one in found)
    assert any("'colour' is no writable field" in one for one in found)
    assert any("'metadata.skuu'" in one and "sku" in one for one in found)
    with pytest.raises(ConfigurationError, match="colour"):
        domain.load([{"external_id": "a", "title": "A", "colour": "red"}], to="collections")
    assert domain.far.records("collections") == []
    assert domain.hook.problems(domain.target("collections", view="Nonsense"), domain.fields(changes))[0].count(
        "Nonsense"
    )


def test_the_present_values_come_in_the_leg_s_types(domain: Any) -> None:
    parent = domain.collection("parent")
    key = domain.collection(PACKAGE, "Camera", parent_id=parent)
    domain.load(
        [{"id": key, "sku": ["1", "2"], "commerce_usage_count": 4}], to="metadata", by="id", object_type="collections"
    )
    row = {
        "external_id": PACKAGE,
        "title": "x",
        "parent_id": "parent",
        "metadata.sku": ["1"],
        "metadata.commerce_usage_count": 1,
    }
    fields = domain.fields(domain.changes([row]), lookups={"parent_id": COLLECTIONS})
    types = {"external_id": "VARCHAR", "title": "VARCHAR", "parent_id": "VARCHAR", "metadata.sku": "VARCHAR[]",
             "metadata.commerce_usage_count": "BIGINT"}  # fmt: skip
    found = domain.hook.current(domain.target("collections"), fields, [PACKAGE, "missing"], types=types).to_pylist()
    assert found == [{"_target_key": PACKAGE, "external_id": PACKAGE, "title": "Camera", "parent_id": "parent",
                      "metadata.sku": ["1", "2"], "metadata.commerce_usage_count": 4}]  # fmt: skip


def test_a_package_made_a_moment_ago_is_found_by_the_next_leg(domain: Any) -> None:
    domain.load([{"external_id": PACKAGE, "title": "Camera"}], to="collections")
    row = {"external_id": f"{PACKAGE}:hero", "title": "Hero", "collection_id": PACKAGE}
    made = domain.load([row], to="assets", lookups={"collection_id": COLLECTIONS})[f"{PACKAGE}:hero"]
    assert made["outcome"] == "delivered"
    assert len(domain.links()) == 1


def test_a_row_without_its_identity_is_refused_alone(domain: Any) -> None:
    rows = [{"_key": "a", "external_id": None, "title": "A"}, {"_key": "b", "external_id": "b", "title": "B"}]
    outcomes = domain.load(rows, to="collections")
    assert (outcomes["a"]["outcome"], outcomes["a"]["code"]) == ("rejected", "incomplete")
    assert [row["external_id"] for row in domain.far.records("collections")] == ["b"]
    values = domain.load([{"_key": "a", "external_id": None, "sku": ["1"]}], to="metadata")
    assert values["a"]["code"] == "incomplete"


@pytest.mark.parametrize(
    ("target", "row", "told"),
    [
        ({"to": "bins"}, {"id": "a"}, "legal: assets"),
        ({"to": "collections", "speed": 1}, {"external_id": "a", "title": "t"}, "unknown ['speed']"),
        ({"to": "collections", "concurrency": 99}, {"external_id": "a", "title": "t"}, "1 to 32"),
        ({"to": "metadata", "by": "id", "object_type": "segments"}, {"id": "a"}, "assets, collections"),
        ({"to": "collections", "by": "title"}, {"title": "t"}, "legal: id, external_id"),
        ({"to": "relations", "by": "asset_id"}, {"asset_id": "a"}, "'relation_type'"),
        ({"to": "history", "by": "asset_id", "on_delete": "delete"}, {"asset_id": "a", "operation_description": "x"}, "entries"),
        ({"to": "collection_contents", "by": "object_id", "on_delete": {"x": "1"}}, {"collection_id": "a", "object_id": "b"}, "only be ended"),
        ({"to": "collections", "on_delete": {"metadata.nope": "1"}}, {"external_id": "a", "title": "t"}, "nope"),
        ({"to": "collections", "on_delete": {"colour": "1"}}, {"external_id": "a", "title": "t"}, "colour"),
        ({"to": "metadata", "by": "id"}, {"id": "a", "Format": "x"}, "no metadata field"),
    ],
)  # fmt: skip
def test_faults_of_a_target_are_told_with_the_legal_values(domain: Any, target: Any, row: Any, told: str) -> None:
    fields = tuple(Field(name, name) for name in row)
    found = domain.hook.problems(domain.target(**target), fields)
    assert any(told in one for one in found), found
    with pytest.raises(ConfigurationError):
        domain.load([row], **target)


def test_a_purged_asset_is_told_and_its_later_deletion_is_no_trouble(domain: Any) -> None:
    key = domain.asset()
    domain.far.delete("assets", key)
    row = {"_key": "k", "id": key, "sku": ["1"], "_target_id": key}
    assert domain.load([row], to="metadata", by="id", kind="MODIFIED")["k"]["reason_class"] == "reference"
    gone = {"_key": "k", "id": None, "sku": None, "_target_id": key}
    for target in ({"to": "metadata", "by": "id"}, {"to": "assets", "by": "id"}):
        rows = [gone if target["to"] == "metadata" else {"_key": "k", "id": None, "title": None, "_target_id": key}]
        assert domain.load(rows, kind="DELETED", on_delete="delete", **target)["k"]["outcome"] == "delivered"


def test_an_empty_batch_is_an_empty_load(domain: Any) -> None:
    nothing = pa.table({"external_id": pa.array([], pa.string()), "title": pa.array([], pa.string())})
    assert domain.load(nothing, to="collections") == {}
