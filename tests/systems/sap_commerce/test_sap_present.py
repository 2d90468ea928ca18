"""What the shop holds now, under the names of a leg's fields; and what of a mapping it would refuse."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from test_sap_targets import BUYER, PRICE, buyers, price, prices

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Lookup, Target

UNIT = (Field("name", ""), Field("active", ""), Field("userPriceGroup.code", ""))
UNIT_TYPES = {"name": "VARCHAR", "active": "BOOLEAN", "userPriceGroup.code": "VARCHAR"}


def units(**changes: Any) -> Target:
    target = Target(system="sap_commerce", conn_id="sap_test", object="B2BUnits", external_id="uid",
                    options={"service": "InboundB2BUnit"})  # fmt: skip
    return replace(target, **changes)


@pytest.fixture
def three(sap_commerce: Any) -> None:
    rows = [{"uid": "u1", "name": "One", "active": True, "userPriceGroup": "gold"}, {"uid": "u'2|x", "name": None}]
    sap_commerce.put("B2BUnit", [*rows, {"uid": "u3", "name": "Three", "active": False}])


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("external_id", ["uid", "integrationKey"])
def test_present_values_come_under_the_names_of_the_fields(hook, external_id):
    strange = "u'2|x" if external_id == "uid" else "u%272%7Cx"
    found = hook.current(units(external_id=external_id), UNIT, ["u1", strange, "nobody"], types=UNIT_TYPES)
    rows = {row.pop("_target_key"): row for row in found.to_pylist()}
    assert rows.keys() == {"u1", strange}, "absent keys are absent"
    assert rows["u1"] == {"name": "One", "active": True, "userPriceGroup.code": "gold"}
    assert rows[strange]["name"] is None
    assert rows[strange]["userPriceGroup.code"] is None


@pytest.mark.usefixtures("three")
def test_a_lookup_comes_as_the_key_it_is_written_by(hook):
    fields = (Field("userPriceGroup", "", lookup=Lookup("UserPriceGroup", "code")),)
    found = hook.current(units(), fields, ["u1"], types={"userPriceGroup": "VARCHAR"})
    assert found.to_pylist() == [{"_target_key": "u1", "userPriceGroup": "gold"}]


def test_values_come_in_the_types_of_the_leg_through_references_of_references(sap_commerce, hook, load):
    sap_commerce.put("Product", [{"code": "p1"}])
    load(prices(), PRICE, [price(1), price(2)], price="float64", minqtd="int64")
    fields = tuple(item for item in PRICE if item.name != "sapConditionId")
    types = {item.name: "VARCHAR" for item in fields} | {
        "price": "DECIMAL(10,2)", "minqtd": "BIGINT", "startTime": "TIMESTAMP", "endTime": "TIMESTAMP",
    }  # fmt: skip
    found = hook.current(prices(), fields, ["C2", "C3"], types=types).to_pylist()
    (row,) = found
    assert (row["_target_key"], row["price"], row["minqtd"]) == ("C2", Decimal("9.99"), 1)
    assert (row["ug.code"], row["product.catalogVersion.catalog.id"]) == ("gold", "Default")
    assert row["startTime"] == datetime(2026, 1, 1)


def test_more_keys_than_fit_one_request_are_all_found(sap_commerce, hook):
    sap_commerce.put("B2BUnit", [{"uid": f"u{number}", "name": f"N{number}"} for number in range(95)])
    found = hook.current(units(), UNIT[:1], [f"u{number}" for number in range(110)], types=UNIT_TYPES)
    assert {row["_target_key"]: row["name"] for row in found.to_pylist()} == {f"u{n}": f"N{n}" for n in range(95)}


def test_no_key_gives_no_row_and_all_columns(sap_commerce, hook):
    found = hook.current(units(), UNIT, [], types=UNIT_TYPES)
    assert (found.num_rows, found.column_names) == (0, ["_target_key", *UNIT_TYPES])


def test_a_field_the_object_lacks_is_named(sap_commerce, hook):
    with pytest.raises(ConfigurationError, match="'colour' is not in entity type B2BUnit"):
        hook.current(units(), (Field("colour", ""),), ["u1"], types={"colour": "VARCHAR"})


# What the shop would refuse


def test_a_mapping_the_shop_takes_has_no_problems(sap_commerce, hook):
    assert hook.problems(prices(), PRICE) == []
    assert hook.problems(units(), (Field("uid", ""), *UNIT)) == []
    assert hook.problems(buyers(), BUYER) == []


def without(*names: str) -> tuple[Field, ...]:
    return tuple(item for item in PRICE if item.name not in names)


@pytest.mark.parametrize(
    ("target", "fields", "said"),
    [
        (prices(entity_set="Prices"), PRICE, "no entity set 'Prices'; it has: "),
        (prices(), (*PRICE, Field("colour", "")), "has no property 'colour'"),
        (prices(), (*PRICE, Field("shelf.code", "")), "'shelf' is no single reference"),
        (prices(), (*PRICE, Field("integrationKey", "")), "computed by the shop"),
        (prices(), without("sapConditionId"), "PriceRow: key part 'sapConditionId' is mapped by no field"),
        (prices(), without("unit.code"), "PriceRow: key part 'unit' is mapped by no field"),
        (prices(), without("product.code"), "product: key part 'code' is mapped by no field"),
        (prices(), without("product.catalogVersion.catalog.id"), "product.catalogVersion: key part 'catalog'"),
        (prices(), without("price"), "PriceRow.price is required and mapped by no field"),
        (prices(on_delete={"ug": "NULL"}), PRICE, "clears the reference 'ug', which a PATCH cannot do"),
        (prices(on_delete={"endTime": "yesterday"}), PRICE, "on_delete: 'yesterday' is no SQL value"),
        (prices(langauge="de"), PRICE, "unknown ['langauge']"),
        (buyers(owned={"titles": "x"}), BUYER, "owned: 'titles' is no mapped collection"),
    ],
)
def test_what_the_shop_would_refuse_is_said_in_a_sentence(sap_commerce, hook, target, fields, said):
    (found,) = hook.problems(target, fields)
    assert said in found


def test_a_service_that_is_not_there_is_a_problem_too(sap_commerce, hook):
    (found,) = hook.problems(units(options={"service": "Nowhere"}), UNIT)
    assert "Nowhere" in found
