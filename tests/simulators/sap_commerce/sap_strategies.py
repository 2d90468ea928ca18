"""Random requests, and what no answer may be."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

MODEST = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
SETS = [
    "OrderSync/Orders",
    "OrderSync/OrderEntries",
    "ProductSync/Products",
    "UnitSync/B2BUnits",
    "StockSync/StockLevels",
    "InboundProduct/Products",
    "ContentSync/ContentPages",
    "UserSegmentSync/CxUserToSegments",
    "QuoteSync/Quotes",
    "AssetMediaSync/Medias",
    "InboundB2BCustomer/B2BCustomers",
    "CustomerGroupSync/UserGroups",
    "No/Thing",
    "OrderSync",
]
NAMES = [
    "code",
    "uid",
    "entries",
    "catalogVersion",
    "version",
    "catalog",
    "id",
    "user",
    "name",
    "quantity",
    "totalPrice",
    "date",
    "localizedAttributes",
    "order",
    "entryNumber",
    "product",
    "warehouse",
    "addresses",
    "publicKey",
    "active",
    "isocode",
    "integrationKey",
    "__metadata",
    "language",
    "value",
    "key",
    "galleryImages",
    "members",
    "approvalStatus",
    "d",
    "results",
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-5, 5),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            "o1",
            "p1",
            "Online",
            "Default",
            "/Date(1)/",
            "/Date(99999999999999999999)/",
            "2024-13-01",
            "en",
            "1e400",
            "\x00",
        ]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(NAMES), values, max_size=6).map(lambda body: json.dumps(body).encode())
raw_bodies = bodies | st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode())
words = st.text(max_size=12) | st.sampled_from(
    ["o1", "Online|Default|p1", "a%7Cb", "''", "null", "0|o1", "😀", "\ud800x".encode("utf-8", "replace").decode()]
)
filters = st.lists(
    st.sampled_from(
        [
            "code",
            "eq",
            "ne",
            "gt",
            "'x'",
            "and",
            "or",
            "(",
            ")",
            "null",
            "5L",
            "5",
            "1e999",
            "user/uid",
            "date",
            "datetime'2024-01-01T00:00:00'",
            "datetime'9999-99-99'",
            "integrationKey",
            "catalogVersion/integrationKey",
            "'Online|Default'",
            "not",
            "-",
            "99999999999999999999999",
        ]
    ),
    max_size=8,
).map(" ".join)
options = st.fixed_dictionaries(
    {},
    optional={
        "$filter": filters | words,
        "$orderby": st.sampled_from(["code", "code desc", "user", "entries", "x/y", ",", "code asc asc"]) | words,
        "$expand": st.sampled_from(
            ["entries", "user,unit", "entries/product/supercategories", "localizedAttributes", "/", ",,", "x"]
        )
        | words,
        "$top": st.sampled_from(["0", "1", "-1", "1001", "9" * 30, "x", "²"]),
        "$skip": st.sampled_from(["0", "3", "-1", "9" * 30, "٣"]),
        "$skiptoken": st.sampled_from(["0", "3", "x", "9" * 25]),
        "$inlinecount": st.sampled_from(["allpages", "none", "x"]),
        "$format": st.sampled_from(["json", "xml", "atom"]),
    },
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Accept": st.sampled_from(["application/json", "application/xml", "application/atom+xml", "text/plain", ""]),
        "Content-Type": st.sampled_from(
            ["application/json", "application/xml", "multipart/mixed; boundary=b", "x", "multipart/mixed"]
        ),
        "Content-Language": st.sampled_from(["en", "de", "xx", "*"]),
        "Accept-Language": st.sampled_from(["en", "de;q=0.3", "zz-ZZ"]),
        "Pre-Persist-Hook": st.sampled_from(
            ["", "noopPrePersistHook", "failingPrePersistHook", "filteringPrePersistHook", "none"]
        ),
        "Post-Persist-Hook": st.sampled_from(["bean://failingPostPersistHook", "x"]),
        "X-HTTP-Method": st.sampled_from(["PATCH", "MERGE", "DELETE"]),
        "integrationMessageId": st.just("fuzz"),
    },
)
methods = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "MERGE", "HEAD", "OPTIONS"])


def never_a_500(answer):
    assert answer.status_code < 500, (answer.request.method, answer.request.url, answer.request.body, answer.text)
    assert "Traceback" not in answer.text
