"""Targets with ``creates: false``: what the shop has is changed, what it has not is refused and never made."""

from __future__ import annotations

from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Field, Target

UNIT = (Field("uid", ""), Field("name", "", on_null="leave"), Field("creditLimit", ""), Field("groups", ""))
NAMES = {"creditLimit": "float64", "name": "string"}


def units(**options: Any) -> Target:
    settings = {"service": "AccountTermsSync", "entity_set": "B2BUnits", "creates": False, "owned": {"groups": "crm-*"}}
    return Target(
        system="sap_commerce", conn_id="sap_test", object="B2BUnit", external_id="uid",
        on_delete=options.pop("on_delete", "ignore"), options={**settings, **options},
    )  # fmt: skip


def unit(uid: str, *groups: str, **values: Any) -> dict[str, Any]:
    row = {"_key": uid, "_kind": "NEW", "_target_id": None, "uid": uid, "name": None, "creditLimit": 5.0}
    return row | {"groups": [{"uid": name} for name in groups]} | values


@pytest.fixture
def shop(sap_commerce: Any) -> Any:
    sap_commerce.put("UserGroup", [{"uid": uid} for uid in ("crm-a", "crm-b", "vip")])
    sap_commerce.put("B2BUnit", [{"uid": uid, "name": uid, "groups": ["vip", "crm-b"]} for uid in ("one", "two")])
    return sap_commerce


def held(shop: Any) -> dict[str, Any]:
    return {row["uid"]: row["creditLimit"] for row in shop.records("B2BUnit", limit="1000")}


def groups(shop: Any, uid: str) -> set[str]:
    (row,) = shop.records("B2BUnit", uid=uid)
    return set(row["groups"])


@pytest.mark.parametrize("together", [1, 10])
def test_a_record_that_is_gone_is_refused_and_not_made_and_the_others_arrive(shop, load, together):
    target = units(operations_per_changeset=together)
    done, outcomes = load(target, UNIT, [unit("one"), unit("gone"), unit("two")], **NAMES)
    assert held(shop) == {"one": 5.0, "two": 5.0}
    assert (done.delivered, done.rejected, done.unprocessed) == (2, 1, 0)
    refused = outcomes["gone"]
    assert (refused["code"], refused["reason_class"]) == ("not_in_shop", "reference")
    assert "deleted there" in refused["reason"]
    assert "'gone'" in refused["reason"]
    assert "Make it again in the shop" in refused["reason"]
    assert outcomes["one"]["target_id"] == "one"


def test_one_that_is_gone_arrives_once_the_shop_has_it_again(shop, load):
    _, before = load(units(), UNIT, [unit("three")], **NAMES)
    shop.put("B2BUnit", [{"uid": "three"}])
    _, after = load(units(), UNIT, [unit("three")], **NAMES)
    assert (before["three"]["outcome"], after["three"]["outcome"]) == ("rejected", "delivered")
    assert held(shop)["three"] == 5.0


def test_a_record_known_from_before_is_not_made_again_either(shop, load):
    _, first = load(units(), UNIT, [unit("one")], **NAMES)
    shop.delete("B2BUnit", str(shop.records("B2BUnit", uid="one")[0]["pk"]))
    _, second = load(units(), UNIT, [unit("one", _kind="MODIFIED", _target_id=first["one"]["target_id"])], **NAMES)
    assert second["one"]["code"] == "not_in_shop"
    assert set(held(shop)) == {"two"}


def test_a_record_that_goes_while_it_is_written_is_refused_in_the_same_words(shop, load):
    answer = b'{"error":{"code":"not_found","message":{"lang":"en","value":"[B2BUnit] with integration key [one] was not found."}}}'
    fault = {"match": {"method": "PATCH", "path": "one"}, "action": "status", "status": 404, "body": answer.decode()}
    shop.fault(**fault, headers={"Content-Type": "application/json"}, times=None)
    _, outcomes = load(units(), UNIT, [unit("one"), unit("two")], **NAMES)
    assert (outcomes["one"]["code"], outcomes["one"]["reason_class"]) == ("not_in_shop", "reference")
    assert outcomes["two"]["outcome"] == "delivered"


def test_owned_groups_are_settled_and_the_others_stay(shop, load):
    load(units(), UNIT, [unit("one", "crm-a"), unit("two", "crm-b")], **NAMES)
    assert (groups(shop, "one"), groups(shop, "two")) == ({"vip", "crm-a"}, {"vip", "crm-b"})
    load(units(), UNIT, [unit("one", "crm-a", "crm-new"), unit("two", groups=None)], **NAMES)
    assert (groups(shop, "one"), groups(shop, "two")) == ({"vip", "crm-a", "crm-new"}, {"vip"})
    load(units(), UNIT, [unit("one", _leave=["groups"]), unit("two", "crm-b", _leave=[])], **NAMES)
    assert (groups(shop, "one"), groups(shop, "two")) == ({"vip", "crm-a", "crm-new"}, {"vip", "crm-b"})


def test_null_clears_or_leaves_as_the_field_says(shop, load):
    load(units(), UNIT, [unit("one", name="New")], **NAMES)
    load(units(), UNIT, [unit("one", creditLimit=None)], **NAMES)
    (row,) = shop.records("B2BUnit", uid="one")
    assert (row["name"], row["creditLimit"]) == ("New", None)


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("action", ["drop_before", "drop_after", "deadlock"])
def test_a_lost_answer_or_a_lock_is_settled_by_sending_again(shop, load, method, action):
    shop.fault(match={"method": method, "path": "B2BUnits"}, action=action, times=1)
    done, outcomes = load(units(), UNIT, [unit("one", "crm-a"), unit("gone"), unit("two")], **NAMES)
    assert (done.delivered, outcomes["gone"]["code"]) == (2, "not_in_shop")
    assert held(shop) == {"one": 5.0, "two": 5.0}
    assert groups(shop, "one") == {"vip", "crm-a"}


def test_a_write_without_any_answer_leaves_its_row_open_and_the_others_arrive(shop, load):
    fault = {"match": {"method": "PATCH", "path": "one"}, "action": "status", "status": 503}
    shop.fault(**fault, headers={"Retry-After": "0"}, times=None)
    done, outcomes = load(units(), UNIT, [unit("one"), unit("two")], **NAMES)
    assert (done.delivered, outcomes["one"]["outcome"], outcomes["two"]["outcome"]) == (1, "unprocessed", "delivered")
    assert held(shop) == {"one": None, "two": 5.0}


def test_a_shop_that_cannot_be_asked_is_a_reason_to_try_later(shop, load):
    fault = {"match": {"method": "GET", "path": "B2BUnits"}, "action": "status", "status": 503}
    shop.fault(**fault, headers={"Retry-After": "0"}, times=None)
    with pytest.raises(RetryableError):
        load(units(), UNIT, [unit("one"), unit("gone")], **NAMES)
    assert held(shop) == {"one": None, "two": None}


def test_keys_that_need_spelling_are_found_many_at_a_time(shop, load):
    names = [
        "o'neil & co|x",
        "\u05d7\u05d1\u05e8\u05d4 \U0001f600",
        "a/b%7Cc?#",
        *(f"u{number:03d}" for number in range(50)),
    ]
    shop.put("B2BUnit", [{"uid": name} for name in names])
    done, _ = load(units(), UNIT, [unit(name) for name in [*names, "U001"]], **NAMES)
    assert (done.delivered, done.rejected) == (len(names), 1), "U001 is another unit than u001"
    assert held(shop) == dict.fromkeys(names, 5.0) | {"one": None, "two": None}


def test_a_record_is_found_by_a_key_that_spans_references(sap_commerce, load):
    sap_commerce.put("Warehouse", [{"code": "w1"}, {"code": "w2"}])
    stock = (Field("productCode", ""), Field("available", ""), Field("warehouse.code", ""))
    sap_commerce.put("StockLevel", [{"productCode": "p", "warehouse": "w1", "available": 1}])
    rows = [{"_key": name, "_kind": "NEW", "_target_id": None, "productCode": "p", "available": 7, "warehouse.code": name}
            for name in ("w1", "w2", None)]  # fmt: skip
    rows[2]["_key"] = "none"
    target = Target(system="sap_commerce", conn_id="sap_test", object="StockLevels", external_id="integrationKey",
                    options={"service": "InboundOMMStockLevel", "creates": False})  # fmt: skip
    _, outcomes = load(target, stock, rows)
    assert [(row["warehouse"], row["available"]) for row in sap_commerce.records("StockLevel")] == [("w1", 7)]
    assert {name: row["code"] for name, row in outcomes.items()} == {
        "w1": None, "w2": "not_in_shop", "none": "missing_key",
    }  # fmt: skip


def test_a_deleted_row_is_written_as_ever(shop, load):
    gone = {"_kind": "DELETED", "creditLimit": None, "groups": None}
    rows = [unit("one", _target_id="one", **gone), unit("gone", _target_id="gone", **gone), unit("two")]
    done, _ = load(units(on_delete={"creditLimit": "0"}), UNIT, rows, **NAMES)
    assert done.delivered == 3, "what is to be gone and is not there has arrived"
    assert held(shop) == {"one": 0.0, "two": 5.0}


@pytest.mark.parametrize(
    ("options", "fields", "said"),
    [
        ({"creates": "no"}, UNIT, "creates is 'no'; legal: true, false"),
        ({"creates": 0}, UNIT, "creates is 0; legal: true, false"),
        ({"owned": {}}, UNIT, "collection 'groups' of B2BUnit would be replaced"),
        ({"service": "ProductSync", "entity_set": "Products", "owned": {}}, (Field("code", ""), Field("name", "")),
         "'name' of Product would clear it in all languages"),
    ],
)  # fmt: skip
def test_what_would_do_harm_is_named_before_anything_is_sent(shop, load, hook, options, fields, said):
    assert [text for text in hook.problems(units(**options), fields) if said in text]
    with pytest.raises(ConfigurationError, match=said):
        load(units(**options), fields, [unit("one")], **NAMES)
    assert held(shop) == {"one": None, "two": None}


def test_a_leg_that_may_create_still_does(shop, load):
    load(units(creates=True), UNIT, [unit("three")], **NAMES)
    assert held(shop)["three"] == 5.0
