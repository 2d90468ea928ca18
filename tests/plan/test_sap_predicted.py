"""What a shop will refuse is told before it is asked: the same rows, with the same codes, and no others."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.mapping import Field, Lookup, Target
from flows.walking import connection
from plan.predicting import Compared, Row, compare, prove

ONLINE = {"version": "Online", "catalog": {"id": "Default"}}
PRICE_TYPES = {
    "sapConditionId": "VARCHAR", "catalogVersion.version": "VARCHAR", "catalogVersion.catalog.id": "VARCHAR",
    "currency.isocode": "VARCHAR", "unit.code": "VARCHAR", "product.code": "VARCHAR",
    "product.catalogVersion.version": "VARCHAR", "product.catalogVersion.catalog.id": "VARCHAR", "price": "VARCHAR",
    "minqtd": "VARCHAR", "unitFactor": "BIGINT", "net": "BOOLEAN", "startTime": "VARCHAR", "ug.code": "VARCHAR",
}  # fmt: skip
PRICES = tuple(Field(name, name, on_null="leave" if name == "net" else "clear") for name in PRICE_TYPES)
PEOPLE_TYPES = {
    "uid": "VARCHAR", "customerID": "VARCHAR", "email": "VARCHAR", "name": "VARCHAR", "loginDisabled": "BOOLEAN",
    "defaultB2BUnit": "VARCHAR", "groups": "STRUCT(uid VARCHAR)[]", "sessionLanguage.isocode": "VARCHAR",
}  # fmt: skip
PEOPLE = tuple(
    Field(name, name, lookup=Lookup("B2BUnit", "uid") if name == "defaultB2BUnit" else None) for name in PEOPLE_TYPES
)


@pytest.fixture
def hook(sap_commerce: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from commerce_sync.systems.sap_commerce.hook import SapCommerceHook

    monkeypatch.setenv("AIRFLOW_CONN_SAP_PLAN", connection(sap_commerce))
    sap_commerce.clear_faults()
    sap_commerce.put("Product", [{"code": f"p{number}"} for number in range(60)])
    sap_commerce.put("B2BUnit", [{"uid": f"u{number}"} for number in range(20)])
    sap_commerce.put("UserGroup", [{"uid": f"g{number}"} for number in range(5)])
    sap_commerce.put("B2BCustomer", [{"uid": f"c{number}@shop.example", "customerID": f"C{number}", "email": "x@y.z"}
                                     for number in range(0, 1500, 5)])  # fmt: skip
    return SapCommerceHook("sap_plan")


def prices(**options: Any) -> Target:
    given = {"service": "InboundPriceRow", "entity_set": "PriceRows"} | options
    return Target("sap_commerce", "sap_plan", "PriceRow", "sapConditionId", options=given)


def people(**options: Any) -> Target:
    return Target(
        "sap_commerce", "sap_plan", "B2BCustomers", "uid", options={"service": "InboundB2BCustomer"} | options
    )


def price(number: int) -> Row:
    return {
        "_key": f"k{number}", "_kind": "NEW", "_target_id": None, "sapConditionId": f"k{number}",
        "catalogVersion.version": "Online", "catalogVersion.catalog.id": "Default", "currency.isocode": "USD",
        "unit.code": "pieces", "product.code": f"p{number % 60}", "product.catalogVersion.version": "Online",
        "product.catalogVersion.catalog.id": "Default", "price": "9.99", "minqtd": "1", "unitFactor": 1, "net": True,
        "startTime": "2026-01-31T00:00:00Z", "ug.code": "gold",
    }  # fmt: skip


def person(number: int) -> Row:
    return {
        "_key": f"C{number}", "_kind": "NEW", "_target_id": None, "uid": f"c{number}@shop.example",
        "customerID": f"C{number}", "email": f"c{number}@shop.example", "name": "Ada", "loginDisabled": False,
        "defaultB2BUnit": f"u{number % 20}", "groups": [{"uid": f"g{number % 5}"}], "sessionLanguage.isocode": "en",
    }  # fmt: skip


PRICE_DEFECTS: dict[str, list[Any]] = {
    "sapConditionId": [None],
    "catalogVersion.version": [None, "Nowhere", "Staged"],
    "currency.isocode": [None, "XXX", "usd"],
    "unit.code": [None, "barrels"],
    "product.code": ["p999", None],
    "product.catalogVersion.version": ["Nowhere", None],
    "price": [None, "cheap", "1e400", "0.1", "-5"],
    "minqtd": ["1.5", "9223372036854775808", "12", None],
    "unitFactor": [2**31, -(2**31) - 1, 2**31 - 1, None],
    "net": [None, False],
    "startTime": ["soon", "/Date(1767225600000)/", "2026-01-31", None],
    "ug.code": ["never seen", None],
}
PEOPLE_DEFECTS: dict[str, list[Any]] = {
    "uid": [None],
    "customerID": [None],
    "email": [None, ""],
    "name": [None],
    "loginDisabled": [None, True],
    "defaultB2BUnit": ["nowhere", "U1", None],
    "groups": [[{"uid": "nobody"}], [{"uid": "g1"}, {"uid": "no"}], [], None, [{"uid": "g0"}, {"uid": "g4"}]],
    "sessionLanguage.isocode": ["xx", None],
}


def made(count: int, sound: Any, defects: dict[str, list[Any]], *, seed: int, share: float = 0.25) -> list[Row]:
    """Rows of which a share has one defect or several."""
    pick, rows = random.Random(seed), []
    for number in range(count):
        row = sound(number)
        while pick.random() < share:
            name, values = pick.choice(list(defects.items()))
            row[name] = pick.choice(values)
        rows.append(row)
    return rows


def proven(found: Compared, what: str) -> None:
    prove(found, what)
    assert len(found.other_codes) < 0.02 * len(found.rejected), list(found.other_codes.items())[:10]


@pytest.mark.parametrize("seed", [1, 2])
def test_random_defects_of_price_rows_are_predicted(hook: Any, tmp_path: Path, seed: int) -> None:
    rows = made(1500, price, PRICE_DEFECTS, seed=seed)
    found = compare(hook, prices(), PRICES, rows, types=PRICE_TYPES, folder=tmp_path)
    proven(found, "SAP Commerce, price rows")


@pytest.mark.parametrize("seed", [1, 2])
def test_random_defects_of_customers_are_predicted(hook: Any, tmp_path: Path, seed: int) -> None:
    rows = made(1500, person, PEOPLE_DEFECTS, seed=seed)
    found = compare(hook, people(), PEOPLE, rows, types=PEOPLE_TYPES, folder=tmp_path)
    proven(found, "SAP Commerce, customers")


def test_a_leg_that_makes_nothing_is_refused_what_is_not_there(hook: Any, tmp_path: Path) -> None:
    fields = tuple(item for item in PEOPLE if item.name != "groups")
    # Of a key with several parts only the external id is looked for: the other part stays whole here.
    defects = {name: values for name, values in PEOPLE_DEFECTS.items() if name not in ("groups", "customerID")}
    rows = made(200, person, defects, seed=3)
    types = {item.name: PEOPLE_TYPES[item.name] for item in fields}
    found = compare(hook, people(creates=False), fields, rows, types=types, folder=tmp_path)
    proven(found, "SAP Commerce, customers that are only changed")


def test_sound_rows_raise_no_alarm(hook: Any, tmp_path: Path) -> None:
    found = compare(hook, people(), PEOPLE, [person(number) for number in range(600)], types=PEOPLE_TYPES,
                    folder=tmp_path)  # fmt: skip
    assert (found.rejected, found.predicted, found.warnings) == ({}, {}, ())


def test_a_code_that_may_be_an_enumeration_is_a_warning(hook: Any, tmp_path: Path) -> None:
    found = compare(hook, prices(), PRICES, [price(1) | {"ug.code": "platinum"}], types=PRICE_TYPES, folder=tmp_path)
    assert found.predicted == {} == found.rejected
    assert "1 rows name a UserPriceGroup that is not there" in found.warnings[0]


def test_a_delete_without_a_known_key_is_refused(hook: Any, tmp_path: Path) -> None:
    target = Target("sap_commerce", "sap_plan", "B2BCustomers", "uid", on_delete="delete",
                    options={"service": "InboundB2BCustomer"})  # fmt: skip
    rows = [person(1), {"_key": "gone", "_kind": "DELETED", "_target_id": None}]
    found = compare(hook, target, PEOPLE, rows, types=PEOPLE_TYPES, folder=tmp_path)
    assert found.predicted == found.rejected == {"gone": "missing_target_id"}
