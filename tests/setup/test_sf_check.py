"""``sf-setup check``: what a live org lacks of what the mappings need."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import salesforce_metadata
import yaml
from setting import ROOT

from commerce_sync.__main__ import main
from commerce_sync.systems.salesforce.hook import SalesforceHook
from commerce_sync.systems.salesforce.setup.constants import constants
from commerce_sync.systems.salesforce.setup.needs import ObjectNeeds
from commerce_sync.systems.salesforce.setup.org_check import lacks
from commerce_sync.systems.salesforce.setup.org_file import OrgFile
from flows.walking import Org, connection

LIST = ROOT / "include/salesforce/fields.yaml"
Entries = dict[tuple[str, str], dict[str, Any]]


def checked(capsys: pytest.CaptureFixture[str], told: list[str] | None = None) -> tuple[int, dict[str, set[str]]]:
    """Exit code, and what is missing by name; ``told`` takes the sentences."""
    code = main(["sf-setup", "check", "--json"])
    found: dict[str, set[str]] = {}
    for item in json.loads(capsys.readouterr().out):
        if told is not None:
            told.append(f"{item['object']}.{item['field']} {item['text']} {item['legs']}")
        found.setdefault(f"{item['object']}.{item['field']}".rstrip("."), set()).add(item["what"])
    return code, found


def test_an_org_that_has_everything_lacks_nothing(org: Org, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(capsys) == (0, {})


def test_an_org_that_got_the_package_lacks_only_what_is_made_by_hand(
    tmp_path: Path, start_simulators: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["sf-setup", "write", str(tmp_path)]) == 0
    assert "by hand: record type Quote" in capsys.readouterr().err
    deployed = tmp_path / "org.yaml"
    deployed.write_text(yaml.safe_dump(salesforce_metadata.as_list(tmp_path / "force-app/main/default")))
    with start_simulators("--org", str(deployed)) as ready:
        monkeypatch.setenv(
            "AIRFLOW_CONN_SALESFORCE_DEFAULT",
            connection(SimpleNamespace(credentials=ready["salesforce"], **ready["salesforce"])),
        )
        assert checked(capsys) == (2, {"Opportunity": {"record_type"}, "Opportunity.RecordTypeId": {"field"}})


def spoilt(entries: Entries) -> dict[str, set[str]]:
    """Spoil an org in every way there is; gives what has to be told."""
    del entries["Account", "Tier__c"]
    entries["Account", "Credit_Limit__c"] |= {"precision": 12}
    entries["Account", "Lifetime_Spend__c"] |= {"scale": 1}
    entries["Account", "Registered_At__c"]["type"] = "Date"
    entries["Contact", "Commerce_Uid__c"]["length"] = 80
    entries["Contact", "Commerce_Id__c"] |= {"external_id": False}
    entries["Order", "Commerce_Id__c"] |= {"unique": False}
    entries["Product2", "Commerce_Id__c"] |= {"case_sensitive": False}
    entries["Case", "Exception_Kind__c"]["values"] = ["Delayed", "Cancelled"]
    entries["Commerce_Shipment__c", "Order__c"]["reference_to"] = "Account"
    for field in [at for at in entries if at[0] == "Account_Offer__c"]:
        del entries[field]
    return {
        "Account.Tier__c": {"field"}, "Account.Credit_Limit__c": {"precision"},
        "Account.Lifetime_Spend__c": {"precision"}, "Account.Registered_At__c": {"type"},
        "Contact.Commerce_Uid__c": {"length"}, "Contact.Commerce_Id__c": {"external_id"},
        "Order.Commerce_Id__c": {"unique"}, "Product2.Commerce_Id__c": {"case_sensitive"},
        "Case.Exception_Kind__c": {"picklist_value"}, "Commerce_Shipment__c.Order__c": {"reference"},
        "Account_Offer__c": {"object"},
    }  # fmt: skip


def test_everything_that_is_missing_or_wrong_is_told(
    tmp_path: Path, start_simulators: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    content = yaml.safe_load(LIST.read_text())
    entries = {(item["object"], item["field"]): item for item in content["fields"]}
    expected = spoilt(entries)
    content["fields"] = list(entries.values())
    content["objects"] = [item for item in content["objects"] if item["object"] != "Account_Offer__c"]
    path = tmp_path / "org.yaml"
    path.write_text(yaml.safe_dump(content))
    with start_simulators("--org", str(path)) as ready:
        monkeypatch.setenv(
            "AIRFLOW_CONN_SALESFORCE_DEFAULT",
            connection(SimpleNamespace(credentials=ready["salesforce"], **ready["salesforce"])),
        )
        told: list[str] = []
        code, found = checked(capsys, told)
    assert (code, found) == (2, expected)
    assert (
        "Case.Exception_Kind__c has no value 'Payment Failed'; it has: Delayed, Cancelled ['order_exceptions_to_cases']"
    ) in told
    assert any("has 10 digits before the point and 2 behind it; wanted: 16 and 2" in text for text in told)


def test_what_the_user_may_not_write_is_told(org: Org) -> None:
    """Field-level security and rights of objects show in a describe as these flags."""

    async def ask() -> Any:
        needed = {
            "Account": ObjectNeeds(create={"CreatedDate", "Name"}, update={"CreatedDate", "Name"}, keys={"Name"}),
            "Organization": ObjectNeeds(create={"Name"}),
        }
        async with SalesforceHook("salesforce_default").client() as client:
            return await lacks(client, needed, OrgFile({}, {}, {}))

    found = {(item.object, item.field, item.what) for item in asyncio.run(ask())}
    assert found >= {("Account", "CreatedDate", "create"), ("Account", "CreatedDate", "update"),
                     ("Organization", "", "create"), ("Account", "Name", "external_id")}  # fmt: skip
    assert not any(item[:2] == ("Account", "Name") and item[2] != "external_id" for item in found)


def test_only_the_flows_asked_for_are_looked_at(org: Org, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sf-setup", "check", "--flows", "salesforce_contract_prices"]) == 0
    assert capsys.readouterr().out == "5 objects looked at, 0 missing or wrong\n"
    assert main(["sf-setup", "check", "--flows", "no_such_flow"]) == 1
    assert "no flow no_such_flow; there are: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("expression", "texts"),
    [
        ("'Web'", {"Web"}), ("status", set()), ("NULL", set()), ("'it''s'", {"it's"}),
        ("CASE WHEN a THEN 'x' WHEN b THEN c ELSE 'y' END", {"x", "y"}), ("CASE a WHEN 'no' THEN 'yes' END", {"yes"}),
        ("coalesce(a, 'z')", {"z"}), ("'q'::VARCHAR", {"q"}), ("a || 'tail'", set()), ("not sql at all", set()),
    ],
)  # fmt: skip
def test_texts_an_expression_may_come_to_are_found(expression: str, texts: set[str]) -> None:
    assert constants(expression) == texts
