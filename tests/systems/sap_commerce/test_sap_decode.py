"""Pages become tables: types, nesting, nulls, and what is said when they do not fit."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.systems.sap_commerce import decode

COLUMNS = {
    "code": "VARCHAR",
    "quantity": "BIGINT",
    "price": "DOUBLE",
    "total": "DECIMAL(18,2)",
    "active": "BOOLEAN",
    "modified": "TIMESTAMP",
    "day": "DATE",
    "unit": "STRUCT(code VARCHAR, catalog STRUCT(id VARCHAR))",
    "entries": "STRUCT(entryNumber INTEGER, product STRUCT(code VARCHAR))[]",
    "keywords": "VARCHAR[]",
    "localizedAttributes": "STRUCT(language VARCHAR, name VARCHAR)[]",
}
ROW: dict[str, Any] = {
    "__metadata": {"uri": "https://shop/Things('1')"},
    "code": "a|1",
    "quantity": "9007199254740993",
    "price": "1.5",
    "total": "0.30000000000000004",
    "active": True,
    "modified": "/Date(1714521600123)/",
    "day": "/Date(1714521600123+0060)/",
    "unit": {"code": "pcs", "catalog": {"id": "Default"}},
    "entries": {"results": [{"entryNumber": 0, "product": {"code": "p"}}, {"entryNumber": 1, "product": None}]},
    "keywords": {"results": [{"value": "x"}, {"value": "y"}]},
    "localizedAttributes": {"results": [{"language": "de", "name": "Pumpe"}, {"language": "fr"}]},
    "notAsked": {"__deferred": {"uri": "https://shop/x"}},
}


def body(*rows: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"d": {"results": rows, **more}}).encode()


def one(**changes: Any) -> dict[str, Any]:
    return decode.page(body(ROW | changes), COLUMNS).to_pylist()[0]


def test_every_type_and_nesting_arrives_as_declared():
    assert one() == {
        "code": "a|1",
        "quantity": 9007199254740993,
        "price": 1.5,
        "total": Decimal("0.30"),
        "active": True,
        "modified": datetime(2024, 5, 1, 0, 0, 0, 123000),
        "day": date(2024, 5, 1),
        "unit": {"code": "pcs", "catalog": {"id": "Default"}},
        "entries": [{"entryNumber": 0, "product": {"code": "p"}}, {"entryNumber": 1, "product": None}],
        "keywords": ["x", "y"],
        "localizedAttributes": [{"language": "de", "name": "Pumpe"}, {"language": "fr", "name": None}],
    }


@pytest.mark.parametrize("sent", ["12", 12])
def test_a_long_may_come_as_text_or_number(sent):
    assert one(quantity=sent)["quantity"] == 12


@pytest.mark.parametrize("sent", ["12.50", 12.5])
def test_a_double_or_decimal_may_come_as_text_or_number(sent):
    row = one(price=sent, total=sent)
    assert (row["price"], row["total"]) == (12.5, Decimal("12.50"))


@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        ("/Date(0)/", datetime(1970, 1, 1)),
        ("/Date(-1)/", datetime(1969, 12, 31, 23, 59, 59, 999000)),
        ("/Date(1714521600123-0330)/", datetime(2024, 5, 1, 0, 0, 0, 123000)),
        ("2024-05-01T02:00:00.123+02:00", datetime(2024, 5, 1, 0, 0, 0, 123000)),
    ],
)
def test_a_date_is_the_moment_in_utc(sent, moment):
    assert one(modified=sent)["modified"] == moment


def test_nulls_stay_nulls_at_every_depth_and_an_empty_collection_is_no_null():
    empty = {name: None for name in COLUMNS}
    table = decode.page(body(ROW, empty, ROW | {"entries": {"results": []}}), COLUMNS)
    table.validate(full=True)
    assert table.to_pylist()[1] == empty
    assert table.to_pylist()[2]["entries"] == []
    assert table.to_pylist()[0]["entries"][1] == {"entryNumber": 1, "product": None}


def test_a_page_without_rows_has_the_same_columns():
    page = decode.layout(COLUMNS).page(body(__next="https://shop/next", __count="7"))
    assert (page.table.num_rows, page.next, page.count) == (0, "https://shop/next", 7)
    assert page.table.schema == decode.page(body(ROW), COLUMNS).schema
    assert page.table.schema.field("modified").type == pa.timestamp("us")


def test_the_expand_list_follows_from_the_columns():
    assert decode.layout(COLUMNS).expand == "unit/catalog,entries/product,keywords,localizedAttributes"
    assert decode.layout({"code": "VARCHAR"}).expand == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unit": {"__deferred": {"uri": "x"}}}, "'unit' was not expanded"),
        ({"entries": {"__deferred": {"uri": "x"}}}, "'entries' was not expanded"),
        ({"entries": {"results": [{"entryNumber": 1, "product": {"__deferred": {}}}]}}, "'entries.product' was not"),
        ({"unit": {"code": "x"}}, "'unit.catalog' is not in the answer"),
        ({"quantity": "many"}, "'quantity' cannot be read"),
        ({"quantity": "99999999999999999999"}, "'quantity' cannot hold"),
        ({"code": 5}, "'code' cannot be read"),
        ({"modified": "yesterday"}, "'modified' cannot hold .*ISO 8601"),
    ],
)
def test_what_does_not_fit_is_named_by_column(changes, said):
    with pytest.raises(ConfigurationError, match=said):
        decode.page(body(ROW, ROW | changes), COLUMNS)


def test_a_missing_property_is_an_error_and_not_a_null():
    row = {name: value for name, value in ROW.items() if name != "price"}
    with pytest.raises(ConfigurationError, match="'price' is not in the answer"):
        decode.page(body(row), COLUMNS)


@pytest.mark.parametrize("text", ["NOPE", "TIME", "MAP(VARCHAR, VARCHAR)", "VARCHAR("])
def test_a_type_that_cannot_be_read_is_refused(text):
    with pytest.raises(ConfigurationError, match="column 'code'"):
        decode.layout({"code": text})


def test_an_answer_that_is_cut_off_may_be_tried_again():
    with pytest.raises(RetryableError, match="not complete JSON"):
        decode.page(body(ROW)[:80], COLUMNS)
