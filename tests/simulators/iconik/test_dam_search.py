"""Metadata, the index with its lag, search, and the four ways of paging."""

from __future__ import annotations

import pytest


def values_of(answer, name):
    return [one["value"] for one in answer["metadata_values"][name]["field_values"]]


def test_a_view_answers_all_its_fields_and_keeps_what_is_not_named(api):
    asset = api.asset()
    api.metadata(asset["id"], sku=["1"], alt_text="A jar")
    answer = api.metadata(asset["id"], commerce_status="draft")
    assert values_of(answer, "sku") == ["1"]
    assert answer["metadata_values"]["commerce_status"]["field_values"] == [{"label": "Draft", "value": "draft"}]
    assert answer["metadata_values"]["sku"]["field_values"] == [{"score": 1, "value": "1"}]
    assert answer["metadata_values"]["rights_end"] == {"date_created": None, "field_values": []}
    assert "__separator__" in answer["metadata_values"]
    assert answer["version_id"] == asset["versions"][0]["id"]


def test_write_modes_append_delete_and_empty(api):
    asset = api.asset()
    path = f"metadata/v1/assets/{asset['id']}/views/{api.far.metadata_view_id}/"

    def write(values, mode):
        body = {"metadata_values": {"sku": {"field_values": [{"value": one} for one in values], "mode": mode}}}
        return values_of(api.ok("PUT", path, json=body), "sku")

    assert write(["a"], "overwrite") == ["a"]
    assert write(["b", "a"], "append") == ["a", "b"]
    assert write(["a"], "delete") == ["b"]
    assert write([], "overwrite") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("commerce_status", "sold"),
        ("rights_end", "soon"),
        ("commerce_usage_count", "many"),
        ("alt_text", 7),
        ("ghost", "x"),
    ],
)
def test_a_value_that_does_not_fit_its_field_is_refused_and_nothing_is_written(api, name, value):
    asset = api.asset()
    body = {"metadata_values": {"sku": {"field_values": [{"value": "1"}]}, name: {"field_values": [{"value": value}]}}}
    path = f"metadata/v1/assets/{asset['id']}/views/{api.far.metadata_view_id}/"
    answer = api.call("PUT", path, json=body)
    assert answer.status_code == 400
    assert name in answer.json()["errors"]["metadata_values"]
    assert values_of(api.ok("GET", path), "sku") == []


def test_unchanged_values_are_not_written_again_when_asked(api):
    asset = api.asset()
    first = api.metadata(asset["id"], sku=["1"])
    path = f"metadata/v1/assets/{asset['id']}/views/{api.far.metadata_view_id}/?ignore_unchanged=true"
    body = {"metadata_values": {"sku": {"field_values": [{"value": "1"}]}}}
    assert api.ok("PUT", path, json=body)["date_modified"] == first["date_modified"]


def test_many_objects_at_once_is_a_job(api):
    ids = [api.asset()["id"] for _ in range(2)]
    body = {"object_ids": ids, "metadata_values": {"sku": {"field_values": [{"value": "9"}]}}}
    answer = api.call("PUT", f"metadata/v1/assets/views/{api.far.metadata_view_id}/", json=body)
    assert answer.status_code == 202
    assert api.ok("GET", f"jobs/v1/jobs/{answer.json()['job_id']}/")["status"] in ("READY", "FINISHED")
    assert api.search(query="metadata.sku:9")["total"] == 2


def test_metadata_without_a_view_is_for_administrators(api, editor):
    asset = api.asset()
    api.metadata(asset["id"], sku=["1"])
    path = f"metadata/v1/assets/{asset['id']}/"
    assert api.ok("GET", path)["sku"]["values"] == [{"score": 1, "value": "1"}]
    assert editor.call("GET", path).status_code == 403


def test_a_field_and_a_view_can_be_made_and_used(api):
    field = {"name": "shelf", "label": "Shelf", "field_type": "integer", "min_value": 1}
    api.ok("POST", "metadata/v1/fields/", json=field)
    view = api.ok("POST", "metadata/v1/views/", json={"name": "Shop", "view_fields": [{"name": "shelf"}]})
    path = f"metadata/v1/assets/{api.asset()['id']}/views/{view['id']}/"
    answer = api.ok("PUT", path, json={"metadata_values": {"shelf": {"field_values": [{"value": "7"}]}}})
    assert values_of(answer, "shelf") == [7]
    assert (
        api.call("PUT", path, json={"metadata_values": {"shelf": {"field_values": [{"value": 0}]}}}).status_code == 400
    )
    merged = api.ok("GET", f"metadata/v1/views/{view['id']}/?merge_fields=true")
    assert merged["view_fields"][0]["field_type"] == "integer"


def test_a_write_is_found_only_after_the_lag(api, iconik):
    iconik.options(index_lag_s=30)
    asset = api.asset("Slow")
    assert api.ok("GET", f"assets/v1/assets/{asset['id']}/")["title"] == "Slow"
    assert api.search(query="Slow")["total"] == 0
    iconik.clock(advance_s=20)
    api.ok("PATCH", f"assets/v1/assets/{asset['id']}/", json={"title": "Slower"})
    iconik.clock(advance_s=11)
    assert [row["title"] for row in api.search(query="Slow")["objects"]] == ["Slow"]
    iconik.clock(advance_s=20)
    assert [row["title"] for row in api.search(query="Slow")["objects"]] == ["Slower"]


def term(name, **how):
    return {"operator": "AND", "terms": [{"name": name, **how}]}


@pytest.fixture
def shelf(iconik):
    iconik.put(
        "complete_assets",
        [
            {"title": "Alpha hero", "media": "image", "approval": "APPROVED", "metadata": {"sku": ["1", "2"]}},
            {"title": "Beta film", "media": "video", "approval": "REQUESTED", "metadata": {"rights_end": "2026-01-31"}},
            {"title": "Gamma sheet", "media": "pdf", "metadata": {"commerce_usage_count": 7}, "status": "DELETED"},
        ],
    )


@pytest.mark.parametrize(
    ("node", "titles"),
    [
        (term("status", value_in=["ACTIVE"]), ["Alpha hero", "Beta film"]),
        (term("media_type", value="video"), ["Beta film"]),
        (term("metadata.sku", value="2"), ["Alpha hero"]),
        (term("approval_status", value="APPROVED"), ["Alpha hero"]),
        (term("is_online", value="true"), ["Alpha hero", "Beta film", "Gamma sheet"]),
        (term("metadata.rights_end", range={"max": "2026-06-01"}), ["Beta film"]),
        (term("metadata.commerce_usage_count", range={"min": "6", "max": "8"}), ["Gamma sheet"]),
        (term("metadata.sku", exists=True), ["Alpha hero"]),
        (term("metadata.sku", missing=True), ["Beta film", "Gamma sheet"]),
        ({"operator": "NOT", "terms": [{"name": "status", "value": "DELETED"}]}, ["Alpha hero", "Beta film"]),
        (
            {"operator": "OR", "filters": [term("title", value="Beta film"), term("metadata.sku", value="1")]},
            ["Alpha hero", "Beta film"],
        ),
    ],
)
def test_filters_find_what_they_say(api, shelf, node, titles):
    found = api.search(doc_types=["assets"], filter=node, sort=[{"name": "title", "order": "asc"}])
    assert [row["title"] for row in found["objects"]] == titles


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("beta", ["Beta film"]),
        ("alpha OR gamma", ["Alpha hero", "Gamma sheet"]),
        ("NOT film", ["Alpha hero", "Gamma sheet"]),
        ('metadata.sku:"1" AND hero', ["Alpha hero"]),
        ("(alpha OR beta) AND title:*film", ["Beta film"]),
        ("((", []),
    ],
)
def test_the_query_language_finds_words_and_fields(api, shelf, query, titles):
    found = api.search(query=query, doc_types=["assets"], sort=[{"name": "title", "order": "asc"}])
    assert [row["title"] for row in found["objects"]] == titles or query == "(("


def test_facets_count_values(api, shelf):
    facets = api.search(doc_types=["assets"], facets=["media_type", "approval_status"])["facets"]
    assert {one["key"]: one["doc_count"] for one in facets["media_type"]["buckets"]} == {
        "image": 1,
        "video": 1,
        "document": 1,
    }
    assert {one["key"] for one in facets["approval_status"]["buckets"]} == {"APPROVED", "REQUESTED", "N/A"}


def test_search_after_reaches_everything_exactly_once(api, iconik):
    iconik.put("complete_assets", [{"title": f"Same {number % 3}"} for number in range(25)])
    body = {"doc_types": ["assets"], "sort": [{"name": "title", "order": "desc"}, {"name": "date_modified"}]}
    seen, after = [], None
    while True:
        more = {"search_after": after} if after else {}
        page = api.ok("POST", "search/v1/search/?per_page=7", json=body | more)["objects"]
        if not page:
            break
        seen += [row["id"] for row in page]
        after = page[-1]["_sort"]
    assert len(seen) == len(set(seen)) == 25


def test_page_style_follows_next_url_to_the_end(api, iconik):
    iconik.put("complete_assets", [{"title": f"T{number}"} for number in range(7)])
    path, seen = "/API/assets/v1/assets/?per_page=3&sort=title", []
    while path:
        page = api.ok("GET", path.removeprefix("/API/"))
        seen += [row["title"] for row in page["objects"]]
        path = page["next_url"]
    assert seen == [f"T{number}" for number in range(7)]
    assert (page["page"], page["pages"], page["total"]) == (3, 3, 7)
    assert api.call("GET", "assets/v1/assets/?per_page=3&page=9").status_code == 404


def test_a_deep_page_is_refused(api):
    answer = api.call("POST", "search/v1/search/?per_page=100&page=101", json={})
    assert answer.status_code == 400


def test_last_id_and_last_field_name_page_on(api):
    asset = api.asset()
    for number in range(12):
        api.ok("POST", f"files/v1/assets/{asset['id']}/formats/", json={"name": f"F{number}"})
    first = api.ok("GET", f"files/v1/assets/{asset['id']}/formats/")["objects"]
    rest = api.ok("GET", f"files/v1/assets/{asset['id']}/formats/", params={"last_id": first[-1]["id"]})["objects"]
    assert [row["name"] for row in first + rest] == [f"F{number}" for number in range(12)]
    names = [row["name"] for row in api.ok("GET", "metadata/v1/fields/?per_page=5")["objects"]]
    after = api.ok("GET", "metadata/v1/fields/", params={"last_field_name": names[-1]})["objects"]
    assert names == sorted(names)
    assert after[0]["name"] > names[-1]


def test_the_second_search_version_is_strict(api):
    answer = api.call("POST", "search/v2/search/", json={"querry": "x"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "querry"]
    assert api.ok("POST", "search/v2/search/", json={"query": ""})["total"] == 0
