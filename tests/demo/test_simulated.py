"""Which calls count as writes: "nothing was written" rests on it."""

from __future__ import annotations

import pytest

from demo.simulated import Calls, is_write

BASE = "/services/data/vXX.0"


@pytest.mark.parametrize(
    "route",
    [
        f"POST {BASE}/sobjects/{{kind}}",
        f"PATCH {BASE}/sobjects/{{kind}}/{{field}}/{{value}}",
        f"DELETE {BASE}/sobjects/{{kind}}/{{id}}",
        f"POST {BASE}/composite/sobjects",
        f"PATCH {BASE}/composite/sobjects/{{kind}}/{{field}}",
        f"POST {BASE}/jobs/ingest",
        f"PUT {BASE}/jobs/ingest/{{job}}/batches",
        "POST /odata2webservices/{service}/$batch",
        "POST /occ/v2/{site}/users",
        "PUT /hybris/{path}",
        "PUT /API/metadata/v1/{object_type}/{object_id}/views/{view_id}",
        "PUT /device/v3/devices/{id}/tags/{tag}",
    ],
)
def test_anything_that_can_change_a_record_is_a_write(route):
    assert is_write(route)


@pytest.mark.parametrize(
    "route",
    [
        "POST /services/oauth2/token",
        "POST /authorizationserver/oauth/token",
        f"GET {BASE}/query",
        f"POST {BASE}/jobs/query",
        f"POST {BASE}/composite/sobjects/{{kind}}",
        "GET /odata2webservices/{service}/{set}",
        "POST /API/search/v1/search",
    ],
)
def test_signing_in_and_reading_are_no_writes(route):
    assert not is_write(route)


def test_writes_are_counted_apart():
    calls = Calls(total=5, by_route={"POST /services/oauth2/token": 2, f"POST {BASE}/jobs/ingest": 3})
    assert calls.writes == 3
