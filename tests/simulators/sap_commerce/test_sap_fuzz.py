"""Random and nasty requests to the services: no answer is a 500 and no traceback leaves the process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sap_strategies import MODEST, SETS, bodies, headers, methods, never_a_500, options, raw_bodies, words


@pytest.fixture
def full(shop):
    shop.put("Product", [{"code": "loc", "name": {"en": "a", "de": "b"}, "keywords": ["x", "y"]}])
    return shop


NASTY_PATHS = [
    "OrderSync/Orders?$top=%C2%B2",
    "OrderSync/Orders?$skiptoken=" + "9" * 40,
    "OrderSync/Orders('%FF%00')",
    "OrderSync/Orders?$filter=totalPrice gt 99999999999999999999999",
    "OrderSync/OrderEntries('99999999999999999999999%7Co1')",
    "OrderSync/Orders?$filter=" + "(" * 3000,
    "OrderSync/Orders?$expand=" + "/".join(["entries", "order"] * 30),
    "OrderSync/Orders?$filter=date gt datetime'0000-00-00'",
    "InboundIntegrationMonitoring/InboundRequests('9|9|9')",
]
NASTY_BODIES = [
    '{"uid": "\\ud800"}',
    '{"\\udfff": 1}',
    '{"uid": ' + "[" * 9000 + "]" * 9000 + "}",
    '{"uid": NaN}',
    '{"uid": "a", "creditLimit": 1e999}',
    '{"uid": "a", "creationtime": "/Date(99999999999999999999)/"}',
    '{"uid": "b", "creationtime": 100000000000000000}',
    "[]",
    "5",
    '"x"',
    "null",
    '{"d": 5}',
    '{"uid": "c", "creationtime": 1e308}',
    '{"uid": {"uid": "x"}}',
]


@pytest.mark.parametrize("path", NASTY_PATHS)
def test_a_nasty_address_is_refused_or_answered(api, full, path):
    for accept in ("application/json", "application/xml"):
        never_a_500(api.call("GET", path, headers={"Accept": accept}))


@pytest.mark.parametrize("body", NASTY_BODIES)
def test_a_nasty_body_is_refused(api, full, body):
    for accept in ("application/json", "application/xml"):
        answer = api.call(
            "POST",
            "AccountTermsSync/B2BUnits",
            data=body,
            headers={"Accept": accept, "Content-Type": "application/json"},
        )
        assert answer.status_code == 400, answer.text


def test_no_odata_request_gives_a_500(api, full):
    @MODEST
    @given(
        method=methods,
        base=st.sampled_from(SETS),
        key=st.none() | words,
        rest=st.sampled_from(["", "/entries", "/user", "/$count", "/code", "/x"]),
        params=options,
        sent=headers,
        body=raw_bodies,
    )
    def request(method, base, key, rest, params, sent, body):
        path = base + ("" if key is None else f"('{key.replace(chr(39), chr(39) * 2)}')") + rest
        never_a_500(api.call(method, path, params=params, headers=sent, data=body))

    request()


def test_no_written_entity_gives_a_500_when_it_is_read(api, full):
    @MODEST
    @given(base=st.sampled_from(SETS[:12]), body=bodies, patch=bodies)
    def request(base, body, patch):
        answer = api.call("POST", base, data=body, headers={"Content-Type": "application/json"})
        never_a_500(answer)
        if answer.status_code == 201:
            uri = answer.json()["d"]["__metadata"]["uri"]
            for accept in ("application/json", "application/xml"):
                never_a_500(api.call("GET", uri, headers={"Accept": accept}))
            never_a_500(api.call("PATCH", uri, data=patch, headers={"Content-Type": "application/json"}))

    request()


def test_no_batch_gives_a_500(api, full):
    lines = st.lists(
        st.sampled_from(
            [
                "--b",
                "--b--",
                "--c",
                "--c--",
                "",
                "Content-Type: multipart/mixed; boundary=c",
                "Content-Type: application/http",
                "POST Orders HTTP/1.1",
                "GET Orders HTTP/1.1",
                "PATCH Orders('o1') HTTP/1.1",
                "Content-Type: application/json",
                '{"code": "o1"}',
                "{}",
                "x: \u00ff",
            ]
        ),
        max_size=14,
    )

    @MODEST
    @given(body=lines.map("\r\n".join) | st.text(max_size=40))
    def request(body):
        never_a_500(
            api.call(
                "POST", "OrderSync/$batch", data=body.encode(), headers={"Content-Type": "multipart/mixed; boundary=b"}
            )
        )

    request()
