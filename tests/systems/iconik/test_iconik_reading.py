"""Reading iconik: deltas, complete scans, parts, and what happens when the index or the network misbehaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError

WHOLE = {
    "id": "VARCHAR",
    "title": "VARCHAR",
    "status": "VARCHAR",
    "external_id": "VARCHAR",
    "date_modified": "TIMESTAMPTZ",
    "media_type": "VARCHAR",
    "duration_milliseconds": "BIGINT",
    "is_online": "BOOLEAN",
    "latest_version": "STRUCT(id VARCHAR, version_number INTEGER)",
    "metadata": "STRUCT(sku VARCHAR[], commerce_status VARCHAR, rights_start DATE, commerce_usage_count BIGINT, "
    "territories VARCHAR[], campaign_tags VARCHAR[])",
    "approval": "STRUCT(status VARCHAR, version_id VARCHAR)",
    "formats": "STRUCT(name VARCHAR, status VARCHAR, components STRUCT(type VARCHAR)[])[]",
    "files": "STRUCT(id VARCHAR, name VARCHAR, size BIGINT, checksum VARCHAR, status VARCHAR)[]",
    "proxies": "STRUCT(id VARCHAR, status VARCHAR, resolution STRUCT(width INTEGER, height INTEGER))[]",
    "keyframes": "STRUCT(id VARCHAR, type VARCHAR, status VARCHAR)[]",
    "collections": "STRUCT(id VARCHAR, external_id VARCHAR)[]",
    "relations": "STRUCT(related_to_asset_id VARCHAR, relation_type VARCHAR)[]",
}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def now_there(domain: Any) -> datetime:
    return datetime.fromisoformat(domain.far.clock()["now"])


def test_an_asset_comes_with_its_parts(domain: Any) -> None:
    package = domain.collection("c:1")
    old = domain.asset("Old")
    key = domain.asset("Film", media="video", approval="APPROVED", collections=[package],
                       metadata={"sku": ["1", "2"], "commerce_status": "ready_for_commerce", "rights_start": "2026-01-31"})  # fmt: skip
    domain.load(
        [{"_key": "k", "asset_id": key, "relation_type": "replaces", "related_to_asset_id": old}],
        to="relations",
        by="asset_id",
    )
    domain.catch_up()
    row = domain.extract(domain.source(WHOLE), since=LONG_AGO)[1][key]
    assert (row["media_type"], row["is_online"], row["duration_milliseconds"] > 0) == ("video", True, True)
    assert row["metadata"]["sku"] == ["1", "2"]
    assert row["metadata"]["rights_start"].isoformat() == "2026-01-31"
    assert row["metadata"]["commerce_usage_count"] is None
    assert row["approval"] == {"status": "APPROVED", "version_id": row["latest_version"]["id"]}
    assert [one["status"] for one in row["files"]] == ["CLOSED"]
    assert row["proxies"][0]["resolution"]["width"] > 0
    assert row["collections"] == [{"id": package, "external_id": "c:1"}]
    assert row["relations"] == [{"related_to_asset_id": old, "relation_type": "replaces"}]
    assert "ORIGINAL" in {one["name"] for one in row["formats"]}


def test_a_scan_gives_the_very_rows_that_direct_reads_give(domain: Any) -> None:
    domain.far.reset(seed="demo")
    domain.catch_up()
    scan, by_index = domain.extract(domain.source(WHOLE, settle_s=0), complete=True)
    delta, directly = domain.extract(domain.source(WHOLE), since=LONG_AGO)
    assert scan.complete is True
    assert delta.complete is False
    assert len(by_index) == scan.facts["total_before"] > 150
    assert (scan.facts["direct"], delta.facts["direct"]) == (0, len(directly))
    assert by_index == directly


def test_parts_named_direct_are_read_from_their_resource_even_in_a_scan(domain: Any) -> None:
    key = domain.asset(approval="APPROVED")
    version = domain.far.records("approvals")[0]["id"]
    domain.far.patch("approvals", version, status="NOT_APPROVED")  # the index has not seen it
    lax = domain.extract(domain.source(WHOLE, settle_s=0), complete=True)[1][key]
    strict = domain.extract(domain.source(WHOLE, settle_s=0, direct=["approval"]), complete=True)[1][key]
    assert lax["approval"]["status"] == "APPROVED"
    assert strict["approval"]["status"] == "NOT_APPROVED"


def test_an_asset_nobody_ever_reviewed_is_not_approved_in_whichever_form(domain: Any) -> None:
    key = domain.asset()
    for form in ("404", "na"):
        domain.far.options(never_requested_approval=form)
        row = domain.extract(domain.source(WHOLE), since=LONG_AGO)[1][key]
        assert row["approval"]["status"] == "N/A"


def test_a_new_version_leaves_the_approval_behind(domain: Any) -> None:
    key = domain.asset(approval="APPROVED")
    domain.hook.call("POST", f"assets/v1/assets/{key}/versions/", json={"copy_metadata": True})
    domain.catch_up()
    for newest_first in (True, False):
        domain.far.options(versions_newest_first=newest_first)
        row = domain.extract(domain.source(WHOLE), since=LONG_AGO)[1][key]
        assert row["latest_version"]["version_number"] == 2
        assert (row["approval"]["status"], row["approval"]["version_id"]) != ("APPROVED", row["latest_version"]["id"])


def test_what_the_index_shows_late_is_found_by_the_overlap(domain: Any) -> None:
    first, second = domain.asset("First"), domain.asset("Second")
    domain.far.options(index_lag_s=60)
    began = now_there(domain)
    domain.hook.call("PATCH", f"assets/v1/assets/{first}/", json={"title": "First, edited"})
    found, rows = domain.extract(domain.source(), since=began, until=now_there(domain) + timedelta(seconds=1))
    assert rows == {}
    assert found.high_water is None
    domain.catch_up(120)
    found, rows = domain.extract(domain.source(), since=began - timedelta(minutes=5), until=now_there(domain))
    assert rows[first]["title"] == "First, edited"
    assert found.high_water is not None
    assert found.high_water < now_there(domain)
    assert second in rows or rows.keys() == {first}


def test_the_index_is_a_hint_and_the_object_the_truth(domain: Any) -> None:
    key, gone = domain.asset("Before"), domain.asset("Gone")
    domain.far.options(index_lag_s=600)
    domain.hook.call("PATCH", f"assets/v1/assets/{key}/", json={"title": "After"})
    domain.hook.call("DELETE", f"assets/v1/assets/{gone}/")
    found, rows = domain.extract(domain.source(), since=LONG_AGO)
    assert {name: row["title"] for name, row in rows.items()} == {key: "After"}
    assert found.facts["vanished"] == 1
    complete, rows = domain.extract(domain.source(), complete=True)
    assert rows[key]["title"] == "After", "modified less than settle_s ago, so read directly"
    assert complete.rows == 1


def test_the_window_is_closed_below_and_open_above(domain: Any) -> None:
    moments = [
        "2026-05-01T00:00:00.000000+00:00",
        "2026-05-01T00:00:00.500000+00:00",
        "2026-05-02T00:00:00.000000+00:00",
    ]
    keys = [domain.asset(f"A{n}", date_modified=at) for n, at in enumerate(moments)]
    since, until = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)
    found, rows = domain.extract(domain.source(), since=since, until=until)
    assert set(rows) == set(keys[:2])
    assert found.high_water == datetime(2026, 5, 1, 0, 0, 0, 500_000, tzinfo=UTC)


def test_assets_of_one_moment_are_all_read_across_pages(domain: Any) -> None:
    at = "2026-05-01T00:00:00.000000+00:00"
    domain.far.put("complete_assets", [{"title": f"A{n}", "date_modified": at, "date_created": at} for n in range(25)])
    for options in ({"complete": True}, {"since": LONG_AGO}):
        assert len(domain.extract(domain.source(per_page=10), **options)[1]) == 25


def test_deleted_assets_are_there_when_asked_for(domain: Any) -> None:
    key = domain.asset()
    domain.hook.call("DELETE", f"assets/v1/assets/{key}/")
    domain.catch_up()
    columns = WHOLE | {"status": "VARCHAR"}
    assert domain.extract(domain.source(columns), since=LONG_AGO)[1] == {}
    rows = domain.extract(domain.source(columns, statuses=["ACTIVE", "DELETED"]), since=LONG_AGO)[1]
    assert rows[key]["status"] == "DELETED"
    assert domain.hook.read_keys(domain.source(), [key, "00000000-0000-1000-8000-000000000000"]) == set()


def test_a_revoked_approval_is_seen_although_the_asset_did_not_change(domain: Any) -> None:
    key = domain.asset(approval="APPROVED", metadata={"commerce_status": "published"})
    other = domain.asset("Other", metadata={"commerce_status": "draft"})
    domain.far.patch("approvals", domain.far.records("approvals")[0]["id"], status="NOT_APPROVED")
    source = domain.source(WHOLE, recheck={"metadata.commerce_status": ["published"]})
    later = now_there(domain) + timedelta(days=1)
    found, rows = domain.extract(source, since=later, until=later + timedelta(hours=1))
    assert {name: row["approval"]["status"] for name, row in rows.items()} == {key: "NOT_APPROVED"}
    assert other not in rows
    assert found.facts["rechecked"] == 1
    assert found.high_water is None, "what is rechecked says nothing about how far changes were read"


def test_terms_and_query_narrow_the_source(domain: Any) -> None:
    package = domain.collection("c:1")
    inside = domain.asset("In", collections=[package], metadata={"media_role": "hero"})
    domain.asset("Wrong role", collections=[package], metadata={"media_role": "banner"})
    domain.asset("Out", metadata={"media_role": "hero"})
    source = domain.source(terms={"ancestor_collections": [package]}, filter="metadata.media_role:hero")
    assert set(domain.extract(source, complete=True)[1]) == {inside}


def test_collections_are_read_with_their_metadata(domain: Any) -> None:
    key = domain.collection("c:1", "Package")
    domain.load([{"id": key, "sku": ["1"]}], to="metadata", by="id", object_type="collections")
    domain.catch_up()
    columns = {
        "id": "VARCHAR",
        "external_id": "VARCHAR",
        "date_modified": "TIMESTAMPTZ",
        "metadata": "STRUCT(sku VARCHAR[])",
    }
    source = domain.source(columns, entity_set="collections", settle_s=0)
    for options in ({"complete": True}, {"since": LONG_AGO}):
        row = domain.extract(source, **options)[1][key]
        assert (row["external_id"], row["metadata"]) == ("c:1", {"sku": ["1"]})


def test_a_renamed_field_of_the_view_stops_the_read(domain: Any) -> None:
    domain.asset()
    columns = {"id": "VARCHAR", "metadata": "STRUCT(skuu VARCHAR[])", "date_modified": "TIMESTAMP"}
    with pytest.raises(ConfigurationError, match=r"no field 'skuu'.*sku"):
        domain.extract(domain.source(columns), complete=True)
    scalar = columns | {"metadata": "STRUCT(sku VARCHAR)"}
    with pytest.raises(ConfigurationError, match=r"several values.*VARCHAR\[\]"):
        domain.extract(domain.source(scalar), complete=True)
    assert "skuu" in domain.hook.problems_of_source(domain.source(columns))[0]
    assert domain.hook.problems_of_source(domain.source(WHOLE)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"entity_set": "bins"}, "legal: assets, collections"),
        ({"key": "title"}, "the key of assets is 'id'"),
        ({"modified": "title"}, "date_modified"),
        ({"speed": 9}, "legal: view"),
        ({"per_page": 5000}, "legal: 1 to 1000"),
        ({"direct": ["files"]}, "direct"),
        ({"terms": ["x"]}, "give {field"),
        ({"view": "Nonsense", "columns": WHOLE}, "SAP Commerce"),
        (
            {"columns": {"id": "VARCHAR", "date_modified": "TIMESTAMP", "files": "STRUCT(url VARCHAR)[]"}},
            "signed address",
        ),
    ],
)
def test_faults_of_a_source_are_told(domain: Any, change: dict[str, Any], told: str) -> None:
    found = domain.hook.problems_of_source(domain.source(**change))
    assert found
    assert told in found[0]


def test_a_value_that_does_not_fit_its_column_names_column_and_asset(domain: Any) -> None:
    key = domain.asset(metadata={"catalog": "electronics"})
    columns = {"id": "VARCHAR", "date_modified": "TIMESTAMP", "metadata": "STRUCT(catalog BIGINT)"}
    with pytest.raises(ConfigurationError, match=rf"'metadata' of {key}"):
        domain.extract(domain.source(columns), complete=True)


def test_pages_that_end_too_soon_are_never_a_complete_scan(domain: Any) -> None:
    domain.far.put("complete_assets", [{"title": f"A{n}"} for n in range(30)])
    empty = {"objects": [], "total": 30}
    domain.far.fault(
        action="status", status=200, body=empty, times=None, match={"path": "/search/", "body": "search_after"}
    )
    with pytest.raises(RetryableError, match=r"10 of 30.*try again"):
        domain.extract(domain.source(per_page=10), complete=True)
    domain.far.clear_faults()
    domain.far.fault(
        action="status", status=200, body=empty, times=1, match={"path": "/search/", "body": "search_after"}
    )
    found, rows = domain.extract(domain.source(per_page=10), complete=True)
    assert len(rows) == 30
    assert found.facts["rereads"] == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "rate_limit", "times": 3, "retry_after": 1, "skip": 1},
        {"action": "rate_limit", "times": 2},
        {"action": "status", "status": 503, "times": 3, "skip": 2},
        {"action": "status", "status": 502, "times": 2, "body": "<html>bad gateway</html>"},
        {"action": "drop_before", "skip": 1, "times": 2},
        {"action": "drop_after", "skip": 4, "times": 2},
        {"action": "truncate", "bytes": 200, "skip": 1, "times": 2},
    ],
)
def test_trouble_that_passes_costs_time_and_no_row(domain: Any, fault: dict[str, Any]) -> None:
    domain.far.put("complete_assets", [{"title": f"A{n}", "media": "image"} for n in range(12)])
    domain.far.fault(**fault)
    assert len(domain.extract(domain.source(WHOLE, per_page=5), since=LONG_AGO)[1]) == 12


def test_lasting_trouble_is_a_retry_and_a_refused_token_is_not(domain: Any) -> None:
    domain.asset()
    domain.far.fault(action="status", status=500, times=None)
    with pytest.raises(RetryableError, match="500"):
        domain.extract(domain.source(), complete=True)
    domain.far.clear_faults()
    domain.far.fault(action="expire_tokens")
    with pytest.raises(ConfigurationError, match="401"):
        domain.extract(domain.source(), complete=True)


def test_calls_stay_within_the_connection_s_rate(domain: Any, connect: Any) -> None:
    connect(max_per_second=20)
    domain.far.put("complete_assets", [{"title": f"A{n}"} for n in range(30)])
    domain.far.options(rate_limit=20, rate_window_s=1)
    pauses = []

    async def nap(seconds: float) -> None:
        pauses.append(seconds)
        await domain.nap(seconds)

    domain.hook._sleep = nap
    found, rows = domain.extract(domain.source(), since=LONG_AGO)
    assert len(rows) == 30
    assert found.calls > 30
    assert sum(pauses) > 0


def test_an_empty_domain_gives_an_empty_batch(domain: Any) -> None:
    found, rows = domain.extract(domain.source(WHOLE), complete=True)
    assert (found.rows, found.high_water, found.complete, rows) == (0, None, True, {})
    found, rows = domain.extract(domain.source(WHOLE), since=LONG_AGO)
    assert (found.rows, found.high_water, found.complete, rows) == (0, None, False, {})


def test_a_search_that_does_not_count_proves_nothing(domain: Any) -> None:
    domain.asset()
    domain.far.fault(action="status", status=200, body={"objects": []}, times=None, match={"path": "/search/"})
    with pytest.raises(RetryableError, match="without its total"):
        domain.extract(domain.source(), complete=True)


def test_what_was_deleted_of_an_asset_is_in_neither_kind_of_read(domain: Any) -> None:
    key = domain.asset(media="video")
    proxy, file = (domain.far.records(kind, asset_id=key)[0]["id"] for kind in ("proxies", "files"))
    domain.far.patch("proxies", proxy, status="DELETED")
    domain.hook.call("DELETE", f"files/v1/assets/{key}/files/{file}/")
    domain.catch_up()
    for row in (domain.extract(domain.source(WHOLE, settle_s=0), complete=True)[1][key],
                domain.extract(domain.source(WHOLE), since=LONG_AGO)[1][key]):  # fmt: skip
        assert (row["files"], proxy in {one["id"] for one in row["proxies"]}) == ([], False)
