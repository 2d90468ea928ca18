"""Loading: what the shop holds afterwards, and one truthful outcome per row."""

from __future__ import annotations

from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Field, Lookup, Target
from commerce_sync.systems.sap_commerce.batch import Answer, Operation, Part, changesets, encode, parse, settle

STOCK = (Field("productCode", ""), Field("available", ""), Field("warehouse.code", ""))


def stock(**options: Any) -> Target:
    return Target(
        system="sap_commerce", conn_id="sap_test", object="StockLevels", external_id="integrationKey",
        on_delete=options.pop("on_delete", "delete"), options={"service": "InboundOMMStockLevel", **options},
    )  # fmt: skip


def change(number: int, *, available: int | None = 5, warehouse: str | None = "w1", **more: Any) -> dict[str, Any]:
    return {
        "_key": f"k{number:04d}", "_kind": "NEW", "_fingerprint": number, "_target_id": None,
        "productCode": f"p{number:04d}", "available": available, "warehouse.code": warehouse, **more,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def warehouse(sap_commerce):
    sap_commerce.put("Warehouse", [{"code": "w1"}, {"code": "w2"}])


def held(sap_commerce: Any) -> dict[str, Any]:
    return {row["productCode"]: row["available"] for row in sap_commerce.records("StockLevel", limit="5000")}


def test_all_rows_arrive_and_their_keys_in_the_shop_are_reported(sap_commerce, load):
    done, outcomes = load(stock(changesets=50), STOCK, [change(number) for number in range(230)])
    assert held(sap_commerce) == {f"p{number:04d}": 5 for number in range(230)}
    assert (done.delivered, done.rejected, done.unprocessed) == (230, 0, 0)
    assert outcomes["k0007"]["target_id"] == "p0007|w1"


def test_loading_the_same_rows_again_changes_nothing(sap_commerce, load):
    rows = [change(number) for number in range(20)]
    load(stock(), STOCK, rows)
    before = held(sap_commerce)
    load(stock(), STOCK, rows)
    assert held(sap_commerce) == before


@pytest.mark.parametrize("together", [1, 10])
def test_one_bad_row_does_not_take_the_others_with_it(sap_commerce, load, together):
    rows = [change(number, warehouse="nowhere" if number == 13 else "w1") for number in range(40)]
    done, outcomes = load(stock(operations_per_changeset=together), STOCK, rows)
    assert (done.delivered, done.rejected) == (39, 1)
    assert "p0013" not in held(sap_commerce)
    assert len(held(sap_commerce)) == 39
    bad = outcomes["k0013"]
    assert (bad["outcome"], bad["code"], bad["reason_class"]) == ("rejected", "missing_nav_property", "reference")
    assert "warehouse" in bad["fields"]


def test_null_clears_or_leaves_as_the_field_says(sap_commerce, load):
    fields = (
        Field("productCode", ""), Field("warehouse.code", ""), Field("available", "", on_null="leave"),
        Field("maxPreOrder", "", on_null="clear"),
    )  # fmt: skip
    load(stock(), fields, [change(1, maxPreOrder=9)])
    load(stock(), fields, [change(1, available=None, maxPreOrder=None)], available="int32", maxPreOrder="int32")
    (row,) = sap_commerce.records("StockLevel")
    assert (row["available"], row["maxPreOrder"]) == (5, None)


def test_deleted_rows_go_and_absent_ones_count_as_delivered(sap_commerce, load):
    load(stock(), STOCK, [change(number) for number in range(5)])
    gone = [change(number, available=None, warehouse=None) for number in (1, 2, 9)]
    rows = [row | {"_kind": "DELETED", "productCode": None, "_target_id": f"p{row['_key'][1:]}|w1"} for row in gone]
    done, _ = load(stock(), STOCK, [*rows, change(7)])
    assert sorted(held(sap_commerce)) == ["p0000", "p0003", "p0004", "p0007"]
    assert done.delivered == 4


def test_a_deleted_row_may_be_a_change_of_fields_instead(sap_commerce, load):
    load(stock(), STOCK, [change(1)])
    row = change(1) | {"_kind": "DELETED", "_target_id": "p0001|w1"}
    done, _ = load(stock(on_delete={"available": "0"}), STOCK, [row])
    assert (held(sap_commerce), done.delivered) == ({"p0001": 0}, 1)


def test_a_deleted_row_whose_key_is_unknown_is_rejected_and_says_so(sap_commerce, load):
    _, outcomes = load(stock(), STOCK, [change(1) | {"_kind": "DELETED"}, change(2)])
    assert outcomes["k0001"]["code"] == "missing_target_id"
    assert outcomes["k0002"]["outcome"] == "delivered"


@pytest.mark.parametrize("action", ["drop_before", "drop_after", "deadlock"])
def test_a_lost_answer_or_a_lock_is_settled_by_sending_again(sap_commerce, load, action):
    sap_commerce.fault(match={"path": "batch"}, action=action, times=1)
    done, _ = load(stock(), STOCK, [change(number) for number in range(10)])
    assert done.delivered == 10
    assert len(held(sap_commerce)) == 10


def test_a_shop_that_is_down_is_a_reason_to_try_later(sap_commerce, load):
    sap_commerce.fault(match={"path": "batch"}, action="status", status=503, headers={"Retry-After": "0"}, times=None)
    with pytest.raises(RetryableError):
        load(stock(), STOCK, [change(1)])
    assert held(sap_commerce) == {}


def test_one_failing_request_leaves_its_rows_unprocessed_and_the_others_arrive(sap_commerce, load):
    fault = {"match": {"path": "batch", "body": "p0000"}, "action": "status", "status": 503}
    sap_commerce.fault(**fault, headers={"Retry-After": "0"}, times=None)
    done, outcomes = load(stock(changesets=10, concurrency=1), STOCK, [change(number) for number in range(30)])
    assert (done.delivered, done.unprocessed) == (20, 10)
    assert outcomes["k0000"]["outcome"] == "unprocessed"


def test_patching_replaces_what_a_post_would_merge(sap_commerce, load):
    sap_commerce.put("UserGroup", [{"uid": "a"}, {"uid": "b"}])
    target = Target(
        system="sap_commerce", conn_id="sap_test", object="B2BUnits", external_id="uid",
        options={"service": "InboundB2BUnit", "write": "patch"},
    )  # fmt: skip
    fields = (Field("uid", ""), Field("name", ""), Field("groups", ""))

    def unit(*groups: str, target_id: str | None = None) -> dict[str, Any]:
        listed = [{"uid": name} for name in groups]
        return {"_key": "u1", "_kind": "NEW", "_target_id": target_id, "uid": "u1", "name": "Unit", "groups": listed}

    _, first = load(target, fields, [unit("a")])
    load(target, fields, [unit("b", target_id=first["u1"]["target_id"])])
    (stored,) = sap_commerce.records("B2BUnit")
    assert stored["groups"] == ["b"]


def test_a_lookup_becomes_a_reference(sap_commerce, load):
    fields = (*STOCK[:2], Field("warehouse", "", lookup=Lookup("Warehouse", "code")))
    row = {name: value for name, value in change(1).items() if name != "warehouse.code"} | {"warehouse": "w2"}
    _, outcomes = load(stock(), fields, [row])
    assert outcomes["k0001"]["target_id"] == "p0001|w2"


@pytest.mark.parametrize(
    ("options", "fields", "said"),
    [
        ({"entity_set": "Stock"}, STOCK, "has no entity set 'Stock'"),
        ({}, (*STOCK, Field("colour", "")), "no property 'colour'; it has: "),
        ({}, (*STOCK, Field("shelf.code", "")), "'shelf' is no single reference"),
        ({"changesets": 500}, STOCK, "legal: 1 to 200"),
        ({"langauge": "de"}, STOCK, "unknown"),
    ],
)
def test_a_mistake_in_the_target_is_named_before_anything_is_sent(sap_commerce, load, options, fields, said):
    with pytest.raises(ConfigurationError, match=said):
        load(stock(**options), fields, [change(1)])
    assert held(sap_commerce) == {}


def answered(*parts: str) -> bytes:
    return ("".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--").encode()


def test_answers_out_of_order_are_matched_by_their_content_id():
    sets = changesets([Operation(name, "POST", "X", {}) for name in "ab"])
    part = "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\nContent-Id: {}\r\n\r\n{}\r\n--c--"
    first = part.format("b", "HTTP/1.1 201 Created\r\n\r\n{}")
    second = part.format("a", "HTTP/1.1 400 Bad Request\r\n\r\n{}")
    found = settle(sets, parse("multipart/mixed; boundary=b", answered(first, second)))
    assert {name: answer.status for name, answer in found.items()} == {"a": 400, "b": 201}


def test_a_missing_part_leaves_what_cannot_be_matched_open():
    sets = changesets([Operation(name, "POST", "X", {}) for name in "ab"])
    error = "Content-Type: application/http\r\n\r\nHTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n{}"
    assert settle(sets, parse("multipart/mixed; boundary=b", answered(error))) == {}


def test_a_failed_changeset_answers_for_each_of_its_operations():
    sets = changesets([Operation(name, "POST", "X", {}) for name in "abc"], size=2)
    parts = [Part(((None, Answer(400, b"{}")),), shared=True), Part((("c", Answer(201, b"{}")),), shared=False)]
    assert {name: answer.status for name, answer in settle(sets, parts).items()} == {"a": 400, "b": 400, "c": 201}


def test_an_answer_that_was_cut_off_is_not_taken_for_complete():
    with pytest.raises(RetryableError, match="closing boundary"):
        parse("multipart/mixed; boundary=b", answered("Content-Type: application/http\r\n\r\nHTTP/1.1 201 x")[:-6])


def test_more_than_two_hundred_changesets_are_never_sent_at_once():
    with pytest.raises(ValueError, match="limit is 200"):
        encode(changesets([Operation(str(number), "POST", "X", {}) for number in range(201)]))
