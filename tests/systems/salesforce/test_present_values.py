"""What the org holds now for the keys of a leg, as the leg would write it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Lookup, Target
from systems.salesforce.conftest import CONN_ID, KEY, LOOKUP

CONTACT = Target(system="salesforce", conn_id=CONN_ID, object="Contact", external_id=KEY)
NAME = (Field(name="LastName", value="x"),)


def now(org: Any, keys: list[str], *fields: Field, target: Target = CONTACT, **types: str) -> dict[str, dict[str, Any]]:
    """Present values by key."""
    table = org.hook.current(target, fields or NAME, keys, types=types or {"LastName": "VARCHAR"})
    assert table.column_names == ["_target_key", *(field.name for field in fields or NAME)]
    rows = table.to_pylist()
    assert len({row["_target_key"] for row in rows}) == len(rows)
    return {row.pop("_target_key"): row for row in rows}


def test_five_thousand_keys_are_asked_for_in_queries_that_fit_in_a_url(org: Any) -> None:
    org.far.put("Contact", [{KEY: f"c-{n:05d}", "LastName": f"n{n}"} for n in range(5000)])
    keys = [f"c-{n:05d}" for n in range(0, 6000)]
    org.far.reset_calls()
    found = now(org, keys)
    assert found == {f"c-{n:05d}": {"LastName": f"n{n}"} for n in range(5000)}
    assert org.far.calls()["total"] < 30
    longest = max(len(call["path"]) for call in org.far.calls(log=True)["log"])
    assert longest < 8_192


def test_keys_of_any_characters_are_found(org: Any) -> None:
    keys = ["it's", 'say "hi"', "back\\slash", "per%cent_", "a+b&c=d#e?", "ü/ß", "🛒", "漢字", "tab\there", "two\nlines",
            "x" * 255, "0012", "null"]  # fmt: skip
    org.far.put("Contact", [{KEY: key, "LastName": f"n{n}"} for n, key in enumerate(keys)])
    assert now(org, keys) == {key: {"LastName": f"n{n}"} for n, key in enumerate(keys)}


def test_an_empty_key_finds_nobody(org: Any) -> None:
    org.far.put("Contact", [{KEY: None, "LastName": "Nobody"}, {KEY: "c", "LastName": "C"}])
    assert now(org, ["", "c", "c"]) == {"c": {"LastName": "C"}}
    assert now(org, [""]) == now(org, []) == {}
    assert [
        row["LastName"] for row in org.hook.read_by_keys("Contact", ["", "c"], key_field=KEY, fields=("LastName",))
    ] == ["C"]


def test_keys_that_differ_in_case_are_told_apart_where_the_field_does(org: Any) -> None:
    org.far.put("Contact", [{KEY: "abc", "LastName": "small"}, {KEY: "ABC", "LastName": "large"}])
    assert now(org, ["abc", "ABC", "Abc"]) == {"abc": {"LastName": "small"}, "ABC": {"LastName": "large"}}
    org.far.put("Contact", [{"Email": "Ada@People.example", "LastName": "Ada"}])
    by_mail = Target(system="salesforce", conn_id=CONN_ID, object="Contact", external_id="Email")
    found = now(org, ["ada@people.example", "ADA@people.example", "Ada@People.example", "x@y.example"], target=by_mail)
    assert found == dict.fromkeys(
        ["ada@people.example", "ADA@people.example", "Ada@People.example"], {"LastName": "Ada"}
    )  # fmt: skip


def test_a_key_that_several_records_hold_is_left_out(org: Any, caplog: pytest.LogCaptureFixture) -> None:
    org.far.put("Contact", [{"Email": mail, "LastName": "n"} for mail in ("a@x.example", "A@x.example", "b@x.example")])
    by_mail = Target(system="salesforce", conn_id=CONN_ID, object="Contact", external_id="Email")
    assert set(now(org, ["a@x.example", "b@x.example"], target=by_mail)) == {"b@x.example"}
    assert "held by several records" in caplog.text


def test_deleted_records_are_absent(org: Any) -> None:
    org.far.put("Contact", [{KEY: "c", "LastName": "C"}])
    org.far.delete("Contact", org.contacts()["c"]["Id"])
    assert now(org, ["c"]) == {}


def test_lookups_come_as_the_external_ids_of_their_parents(org: Any) -> None:
    org.far.put("Account", [{KEY: "a-1", "Name": "A"}, {KEY: None, "Name": "without a key"}])
    ids = {row["Name"]: row["Id"] for row in org.far.records("Account")}
    org.far.put("Contact", [{KEY: "c1", "LastName": "x", "AccountId": ids["A"]}, {KEY: "c2", "LastName": "x"},
                            {KEY: "c3", "LastName": "x", "AccountId": ids["without a key"]}])  # fmt: skip
    field = Field(name="AccountId", value="x", lookup=LOOKUP)
    found = now(org, ["c1", "c2", "c3"], field, AccountId="VARCHAR")
    assert {key: row["AccountId"] for key, row in found.items()} == {"c1": "a-1", "c2": None, "c3": None}


def test_lookups_to_several_objects_come_as_external_ids_too(org: Any) -> None:
    org.far.put("Contact", [{KEY: "c1", "LastName": "x"}])
    org.far.put("Lead", [{"LastName": "l", "Company": "l", "Email": "l@x.example"}])
    contact, lead = org.contacts()["c1"]["Id"], org.far.records("Lead")[0]["Id"]
    org.far.put("Task", [{KEY: "t1", "Subject": "s", "WhoId": contact}, {KEY: "t2", "Subject": "s", "WhoId": lead},
                         {KEY: "t3", "Subject": "s"}])  # fmt: skip
    target = Target(system="salesforce", conn_id=CONN_ID, object="Task", external_id=KEY)
    field = Field(name="WhoId", value="x", lookup=Lookup("Contact", KEY))
    found = now(org, ["t1", "t2", "t3"], field, target=target, WhoId="VARCHAR")
    assert {key: row["WhoId"] for key, row in found.items()} == {"t1": "c1", "t2": None, "t3": None}


def test_values_come_in_the_types_of_the_leg(org: Any) -> None:
    org.far.put("Account", [{KEY: "a", "Name": "A", "Lifetime_Spend__c": 10.1, "Order_Count__c": 3, "Commerce_Active__c": True,
                             "First_Purchase__c": "2026-02-03"}, {KEY: "b", "Name": "B"}])  # fmt: skip
    target = Target(system="salesforce", conn_id=CONN_ID, object="Account", external_id=KEY)
    types = {"Name": "VARCHAR", "Lifetime_Spend__c": "DECIMAL(12,3)", "Order_Count__c": "BIGINT",
             "Commerce_Active__c": "BOOLEAN", "First_Purchase__c": "DATE", "SystemModstamp": "TIMESTAMP WITH TIME ZONE"}  # fmt: skip
    found = now(org, ["a", "b"], *(Field(name=name, value="x") for name in types), target=target, **types)
    stamp = found["a"].pop("SystemModstamp")
    assert stamp.tzinfo is not None
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 60
    assert found["a"] == {"Name": "A", "Lifetime_Spend__c": Decimal("10.100"), "Order_Count__c": 3,
                          "Commerce_Active__c": True, "First_Purchase__c": date(2026, 2, 3)}  # fmt: skip
    assert (found["b"]["Lifetime_Spend__c"], found["b"]["Commerce_Active__c"]) == (None, False)


def test_what_cannot_be_shown_is_named(org: Any) -> None:
    org.far.put("Contact", [{KEY: "c", "LastName": "x"}])
    with pytest.raises(ConfigurationError, match="Nonsense__c"):
        now(org, ["c"], Field(name="Nonsense__c", value="x"), Nonsense__c="VARCHAR")
    with pytest.raises(ConfigurationError, match=r"no type is given for the fields \['LastName'\]"):
        org.hook.current(CONTACT, NAME, ["c"], types={})
    with pytest.raises(ConfigurationError, match="column 'LastName' cannot hold"):
        now(org, ["c"], *NAME, LastName="BIGINT")
