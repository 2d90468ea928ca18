"""Targets as flows use them: price rows, price groups, units, and groups of which only some are ours."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Field, Target

ROOT = Path(__file__).resolve().parents[3]
PRICE = (
    Field("sapConditionId", ""), Field("price", ""), Field("minqtd", ""), Field("currency.isocode", ""),
    Field("unit.code", ""), Field("catalogVersion.version", ""), Field("catalogVersion.catalog.id", ""),
    Field("product.code", ""), Field("product.catalogVersion.version", ""), Field("product.catalogVersion.catalog.id", ""),
    Field("ug.code", ""), Field("startTime", ""), Field("endTime", ""),
)  # fmt: skip
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
TYPES = {"price": "float64", "minqtd": "int64"}


def prices(**options: Any) -> Target:
    ended = {"endTime": "getvariable('now')::TIMESTAMPTZ"}
    return Target(
        system="sap_commerce", conn_id="sap_test", object="PriceRows", external_id="sapConditionId",
        on_delete=options.pop("on_delete", ended), options={"service": "InboundPriceRow", **options},
    )  # fmt: skip


def price(number: int = 1, **values: Any) -> dict[str, Any]:
    row = {
        "_key": f"C{number}", "_kind": "NEW", "_target_id": None, "sapConditionId": f"C{number}", "price": 9.99, "minqtd": 1,
        "currency.isocode": "USD", "unit.code": "pieces", "catalogVersion.version": "Online",
        "catalogVersion.catalog.id": "Default", "product.code": "p1", "product.catalogVersion.version": "Online",
        "product.catalogVersion.catalog.id": "Default", "ug.code": "gold", "startTime": START, "endTime": END,
    }  # fmt: skip
    return row | values


def deleted(row: dict[str, Any], target_id: str | None) -> dict[str, Any]:
    gone = {name: None for name in row if not name.startswith("_")}
    return row | gone | {"_kind": "DELETED", "_target_id": target_id}


@pytest.fixture
def product(sap_commerce: Any) -> None:
    sap_commerce.put("Product", [{"code": "p1"}, {"code": "p2"}])


@pytest.mark.usefixtures("product")
def test_the_life_of_a_negotiated_price(sap_commerce, load):
    _, first = load(prices(), PRICE, [price()], **TYPES)
    (stored,) = sap_commerce.records("PriceRow")
    assert (stored["price"], stored["ug"], stored["minqtd"], stored["endTime"][:10]) == (9.99, "gold", 1, "2026-12-31")
    target_id = first["C1"]["target_id"]
    assert target_id == "Online|Default|USD|C1|pieces"

    load(prices(), PRICE, [price(price=8.5, _kind="MODIFIED", _target_id=target_id)], **TYPES)
    cleared = {"ug.code": None, "endTime": None, "_target_id": target_id}
    load(prices(), PRICE, [price(price=8.5, **cleared)], **TYPES)
    (stored,) = sap_commerce.records("PriceRow")
    assert (stored["price"], stored["ug"], stored["endTime"]) == (8.5, None, None), "one row, changed and cleared"

    done, _ = load(prices(), PRICE, [deleted(price(), target_id)], **TYPES)
    (stored,) = sap_commerce.records("PriceRow")
    assert done.delivered == 1
    assert stored["price"] == 8.5, "an ended price is kept"

    ended = datetime.fromisoformat(stored["endTime"].replace("Z", "+00:00"))
    assert abs((datetime.now(UTC) - ended).total_seconds()) < 60


@pytest.mark.usefixtures("product")
def test_loading_prices_again_leaves_one_row_each(sap_commerce, load):
    rows = [price(number, price=float(number)) for number in range(1, 6)]
    load(prices(), PRICE, rows, **TYPES)
    held = sap_commerce.records("PriceRow")
    load(prices(), PRICE, rows, **TYPES)
    again = sap_commerce.records("PriceRow")
    assert [(row["pk"], row["price"]) for row in again] == [(row["pk"], row["price"]) for row in held]


@pytest.mark.usefixtures("product")
def test_a_price_for_an_unknown_product_is_refused_with_its_reason(sap_commerce, load):
    _, outcomes = load(prices(), PRICE, [price(1), price(2, **{"product.code": "nowhere"})], **TYPES)
    assert outcomes["C1"]["outcome"] == "delivered"
    assert (outcomes["C2"]["code"], outcomes["C2"]["reason_class"]) == ("missing_nav_property", "reference")
    assert "product" in outcomes["C2"]["fields"]
    assert len(sap_commerce.records("PriceRow")) == 1


@pytest.mark.usefixtures("product")
def test_fields_left_alone_are_not_sent_for_their_row_only(sap_commerce, load):
    load(prices(), PRICE, [price(1), price(2)], **TYPES)
    new = {"price": 1.0, "ug.code": None, "endTime": None}
    left = ["price", "ug.code", "endTime"]
    load(prices(), PRICE, [price(1, **new, _leave=left), price(2, **new, _leave=[])], **TYPES)
    one, two = sorted(sap_commerce.records("PriceRow"), key=lambda row: row["sapConditionId"])
    assert (one["price"], one["ug"], one["endTime"][:4]) == (9.99, "gold", "2026")
    assert (two["price"], two["ug"], two["endTime"]) == (1.0, None, None)


def test_a_price_group_is_made_by_naming_it_and_a_unit_is_moved_between_groups(sap_commerce, load):
    target = Target(system="sap_commerce", conn_id="sap_test", object="B2BUnits", external_id="uid",
                    on_delete={"active": "false"}, options={"service": "InboundB2BUnit"})  # fmt: skip
    fields = (Field("uid", ""), Field("name", ""), Field("active", ""), Field("userPriceGroup.code", ""))

    def unit(group: str | None, **values: Any) -> dict[str, Any]:
        return {"_key": "u1", "_kind": "NEW", "_target_id": None, "uid": "u1", "name": "Unit", "active": True,
                "userPriceGroup.code": group, **values}  # fmt: skip

    def held() -> tuple[Any, ...]:
        (stored,) = sap_commerce.records("B2BUnit", uid="u1")
        return stored["name"], stored["active"], stored["userPriceGroup"]

    for group in ("gold", "gold", "silver", None):
        load(target, fields, [unit(group)], **{"userPriceGroup.code": "string"})
        assert held() == ("Unit", True, group)
    load(target, fields, [unit("gold", name=None)], name="string")
    assert held() == (None, True, "gold")
    load(target, fields, [deleted(unit("gold"), "u1")], uid="string", name="string", active="bool",
         **{"userPriceGroup.code": "string"})  # fmt: skip
    assert held() == (None, False, "gold")


def test_price_groups_are_records_of_their_own_too(sap_commerce, load):
    target = Target(system="sap_commerce", conn_id="sap_test", object="UserPriceGroups", external_id="code",
                    options={"service": "InboundB2BUnit"})  # fmt: skip
    for _ in range(2):
        _, outcomes = load(
            target, (Field("code", ""),), [{"_key": "g", "_kind": "NEW", "_target_id": None, "code": "gold"}]
        )
        assert outcomes["g"]["target_id"] == "gold"
    assert [row["code"] for row in sap_commerce.records("UserPriceGroup")] == ["gold"]


# Groups of which only some are ours

BUYER = (Field("uid", ""), Field("customerID", ""), Field("email", ""), Field("groups", ""))


def buyers(**options: Any) -> Target:
    return Target(
        system="sap_commerce", conn_id="sap_test", object="B2BCustomers", external_id="uid",
        on_delete=options.pop("on_delete", {"groups": "NULL"}),
        options={"service": "InboundB2BCustomer", "owned": {"groups": "crm-*"}, **options},
    )  # fmt: skip


def buyer(*groups: str, **values: Any) -> dict[str, Any]:
    row = {"_key": "b1", "_kind": "NEW", "_target_id": None, "uid": "b1", "customerID": "B1", "email": "b@x.example"}
    return row | {"groups": [{"uid": name} for name in groups]} | values


@pytest.fixture
def groups(sap_commerce: Any) -> Any:
    sap_commerce.put("UserGroup", [{"uid": uid} for uid in ("crm-a", "crm-b", "vip")])
    sap_commerce.put(
        "B2BCustomer", [{"uid": "b1", "customerID": "B1", "email": "b@x.example", "groups": ["vip", "crm-b"]}]
    )

    def held() -> set[str]:
        (stored,) = sap_commerce.records("B2BCustomer", uid="b1")
        return set(stored["groups"])

    return held


def test_assigning_groups_takes_ours_out_and_leaves_the_others(groups, load):
    _, outcomes = load(buyers(), BUYER, [buyer("crm-a")])
    assert groups() == {"vip", "crm-a"}
    load(buyers(), BUYER, [buyer()], groups=None)
    assert groups() == {"vip"}, "cleared"
    load(buyers(), BUYER, [buyer("crm-a", "crm-b", _target_id=outcomes["b1"]["target_id"])])
    load(buyers(), BUYER, [buyer("crm-b", _leave=["groups"])])
    assert groups() == {"vip", "crm-a", "crm-b"}, "left alone"
    done, _ = load(buyers(), BUYER, [deleted(buyer(), outcomes["b1"]["target_id"])], uid="string", customerID="string",
                   email="string", groups="null")  # fmt: skip
    assert (done.delivered, groups()) == (1, {"vip"})


def test_nothing_is_patched_when_no_group_of_ours_is_left_over(sap_commerce, groups, load):
    load(buyers(), BUYER, [buyer("crm-b")])
    assert not [route for route in sap_commerce.calls()["by_route"] if route.startswith("PATCH")]
    assert groups() == {"vip", "crm-b"}


def test_a_lost_read_of_the_groups_leaves_the_row_open(sap_commerce, groups, load):
    fault = {"match": {"method": "GET", "path": "B2BCustomers"}, "action": "status", "status": 503}
    sap_commerce.fault(**fault, headers={"Retry-After": "0"}, times=None)
    with pytest.raises(RetryableError):
        load(buyers(), BUYER, [buyer("crm-a")])
    sap_commerce.clear_faults()
    load(buyers(), BUYER, [buyer("crm-a")])
    assert groups() == {"vip", "crm-a"}


def test_only_a_mapped_collection_can_be_owned(sap_commerce, load):
    with pytest.raises(ConfigurationError, match="mapped collections: groups"):
        load(buyers(owned={"addresses": "crm-*"}), BUYER, [buyer("crm-a")])


KILLED = """
import os, signal, sys
from commerce_sync.batches import Batches
from commerce_sync.systems.sap_commerce import client
from commerce_sync.systems.sap_commerce.hook import SapCommerceHook
sys.path.insert(0, "tests/systems/sap_commerce")
from test_sap_targets import PRICE, prices
real = client.SapCommerceClient.batch
calls = []
async def batch(self, operations, **options):
    answer = await real(self, operations, **options)
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
client.SapCommerceClient.batch = batch
batches = Batches(sys.argv[1])
with batches.write("leg", "run", "load") as into:
    SapCommerceHook("sap_test").load(
        prices(changesets=10, concurrency=1), PRICE, batches.read("leg", "run", "changes"), into=into, wait_s=0)
"""


@pytest.mark.usefixtures("product")
def test_a_load_that_was_killed_half_way_ends_as_if_nothing_had_happened(sap_commerce, hook, load, batches):
    rows = [price(number, price=float(number)) for number in range(1, 41)]
    load(prices(), PRICE, rows[:1], **TYPES)  # the connection is known, the batch of all rows comes below
    import pyarrow as pa

    with batches.write("leg", "run", "changes") as into:
        into.add(pa.Table.from_pylist(rows))
    died = subprocess.run(
        [sys.executable, "-c", KILLED, batches.root], cwd=ROOT, env=environment(), capture_output=True, timeout=120
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert 10 <= len(sap_commerce.records("PriceRow")) < 40
    done, _ = load(prices(changesets=10), PRICE, rows, **TYPES)
    held = {row["sapConditionId"]: row["price"] for row in sap_commerce.records("PriceRow")}
    assert (done.delivered, held) == (40, {f"C{number}": float(number) for number in range(1, 41)})


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": f"{ROOT / 'plugins'}{os.pathsep}{ROOT / 'tests'}"}
