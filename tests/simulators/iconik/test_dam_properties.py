"""Random metadata against a model, and random requests that must never break the server."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUIET = [HealthCheck.function_scoped_fixture]
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
DAYS = st.dates().map(lambda day: f"{day.year:04d}-{day.month:02d}-{day.day:02d}")
STATES = st.sampled_from(["draft", "in_review", "ready_for_commerce", "published", "withdrawn", "expired"])
SINGLE = {
    "alt_text": TEXT,
    "rights_end": DAYS,
    "commerce_status": STATES,
    "commerce_usage_count": st.integers(-(2**40), 2**40),
}
MULTI = {"sku": TEXT, "campaign_tags": TEXT}


@st.composite
def writes(draw):
    fields = {}
    for name in draw(st.lists(st.sampled_from([*SINGLE, *MULTI]), min_size=1, unique=True)):
        values = draw(st.lists({**SINGLE, **MULTI}[name], max_size=4 if name in MULTI else 1))
        mode = draw(st.sampled_from(["overwrite", "append", "delete"])) if name in MULTI else "overwrite"
        fields[name] = (mode, values)
    return fields


def applied(model, fields):
    for name, (mode, values) in fields.items():
        old = model.get(name, [])
        if mode == "overwrite":
            model[name] = list(values)
        elif mode == "append":
            model[name] = old + [one for one in dict.fromkeys(values) if one not in old]
        else:
            model[name] = [one for one in old if one not in values]


@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
@given(st.lists(writes(), min_size=1, max_size=5))
def test_metadata_reads_back_as_a_model_of_the_three_modes_says(api, sequence):
    asset, model = api.asset(), {}
    path = f"metadata/v1/assets/{asset['id']}/views/{api.far.metadata_view_id}/"
    for fields in sequence:
        body = {
            name: {"field_values": [{"value": one} for one in values], "mode": mode}
            for name, (mode, values) in fields.items()
        }
        api.ok("PUT", path, json={"metadata_values": body})
        applied(model, fields)
    answer = api.ok("GET", path)["metadata_values"]
    found = {name: [one["value"] for one in entry["field_values"]] for name, entry in answer.items()}
    assert {name: values for name, values in found.items() if values} == {n: v for n, v in model.items() if v}
    documents = api.search(filter={"operator": "AND", "terms": [{"name": "id", "value": asset["id"]}]})["objects"]
    assert documents[0]["metadata"] == {name: values for name, values in model.items() if values}


PARTS = st.sampled_from(
    [
        "API",
        "assets",
        "files",
        "metadata",
        "search",
        "jobs",
        "notifications",
        "transcode",
        "users",
        "auth",
        "settings",
        "v1",
        "v2",
        "formats",
        "file_sets",
        "proxies",
        "keyframes",
        "subtitles",
        "collections",
        "contents",
        "approvals",
        "request",
        "bulk",
        "versions",
        "promote",
        "relations",
        "relation_types",
        "replaces",
        "history",
        "segments",
        "vtt",
        "views",
        "fields",
        "sku",
        "categories",
        "webhooks",
        "custom_actions",
        "ASSET",
        "callback",
        "storages",
        "export_locations",
        "delete_queue",
        "purge",
        "all",
        "token",
        "current",
        "state",
        "steps",
        "saved",
        "suggest",
        "download_url",
        "public",
        "%",
        "'",
        "%00",
        "..",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "title",
        "status",
        "type",
        "external_id",
        "collection_id",
        "object_id",
        "object_type",
        "object_ids",
        "metadata_values",
        "field_values",
        "filter",
        "terms",
        "name",
        "value",
        "value_in",
        "range",
        "min",
        "query",
        "sort",
        "facets",
        "search_after",
        "doc_types",
        "ids",
        "segment_type",
        "steps",
        "job_ids",
        "action",
        "users",
        "min_number",
        "relation_type",
        "related_to_asset_id",
        "operation_type",
        "format_id",
        "component_ids",
        "size",
        "resolution",
        "event_type",
        "url",
        "headers",
        "options",
        "field_type",
        "label",
        "view_fields",
        "include_fields",
        "facets_filters",
        "objects",
    ]
)
BODY = st.dictionaries(NAMES, JSON, max_size=5) | JSON
QUERY = st.dictionaries(
    st.sampled_from(
        [
            "per_page",
            "page",
            "sort",
            "filter",
            "last_id",
            "search_after",
            "last_field_name",
            "version_id",
            "ids",
            "types",
        ]
    ),
    TEXT | st.integers(-5, 10**20).map(str),
    max_size=2,
)


@st.composite
def addresses(draw):
    """A known path with some parts replaced, or words in any order."""
    if draw(st.booleans()):
        return draw(st.sampled_from(KNOWN))
    return "/".join(
        draw(
            st.lists(
                PARTS | TEXT.map(lambda text: text.replace("/", "").replace("?", "").replace("#", "")),
                min_size=1,
                max_size=7,
            )
        )
    )


KNOWN = [
    "assets/v1/assets/",
    "assets/v1/assets/{id}/",
    "assets/v1/assets/{id}/versions/",
    "assets/v1/assets/{id}/versions/{version}/",
    "assets/v1/assets/{id}/approvals/",
    "assets/v1/assets/{id}/approvals/request/",
    "assets/v1/approvals/bulk/",
    "assets/v1/assets/{id}/relations/",
    "assets/v1/assets/relation_types/",
    "assets/v1/assets/{id}/history/",
    "assets/v1/assets/{id}/segments/",
    "assets/v1/assets/{id}/segments/bulk/",
    "assets/v1/collections/",
    "assets/v1/collections/{collection}/",
    "assets/v1/collections/{collection}/contents/",
    "assets/v1/delete_queue/bulk/",
    "assets/v1/custom_actions/ASSET/",
    "files/v1/assets/{id}/formats/",
    "files/v1/assets/{id}/formats/ORIGINAL/",
    "files/v1/assets/{id}/formats/ORIGINAL/components/",
    "files/v1/assets/{id}/file_sets/",
    "files/v1/assets/{id}/files/",
    "files/v1/assets/{id}/proxies/",
    "files/v1/assets/{id}/keyframes/",
    "files/v1/assets/{id}/subtitles/",
    "files/v1/storages/",
    "files/v1/export_locations/",
    "metadata/v1/fields/",
    "metadata/v1/fields/sku/",
    "metadata/v1/views/",
    "metadata/v1/assets/{id}/",
    "metadata/v1/assets/{id}/views/{view}/",
    "metadata/v1/assets/views/{view}/",
    "metadata/v1/assets/categories/",
    "search/v1/search/",
    "search/v2/search/",
    "search/v1/search/suggest/",
    "search/v1/search/saved/",
    "jobs/v1/jobs/",
    "jobs/v1/jobs/state/",
    "transcode/v1/transcode/",
    "notifications/v1/webhooks/",
]


@pytest.mark.parametrize("run", range(3))
def test_no_request_breaks_the_server(api, package, run):
    home = api.ok("POST", "assets/v1/collections/", json={"title": "Home"})
    asset = package(approval="APPROVED", metadata={"sku": ["1"]}, collections=[home["id"]])
    places = {"id": asset["id"], "version": asset["versions"][0]["id"], "collection": home["id"]}
    places["view"] = api.far.metadata_view_id

    @settings(max_examples=250, deadline=None, suppress_health_check=QUIET, derandomize=False)
    @given(
        st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
        addresses(),
        QUERY,
        BODY,
        st.binary(max_size=12) | st.none(),
    )
    def fire(method, path, query, body, raw):
        for name, value in places.items():
            path = path.replace(f"{{{name}}}", value)
        more = {"json": body} if raw is None else {"data": raw}
        answer = api.call(method, path, params=query, **more)
        assert answer.status_code < 500, f"{method} {path} {query} {body if raw is None else raw}: {answer.text}"
        assert "Traceback" not in answer.text

    fire()
