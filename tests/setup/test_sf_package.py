"""The folder that is deployed to an org: well formed, complete, and not one right more than the mappings need."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import salesforce_metadata
import yaml
from setting import ROOT

from commerce_sync.__main__ import main
from simulators.salesforce import custom, describe

BY_RIGHT_OF_OTHERS = {
    "OrderItem",
    "OpportunityContactRole",
    "CampaignMember",
    "PricebookEntry",
    "Task",
    "RecordType",
    "User",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("package")
    assert main(["sf-setup", "write", str(found)]) == 0
    return found


@pytest.fixture(scope="module")
def used() -> dict[str, dict[str, set[str]]]:
    """Object -> "read" and "write" -> fields, from the mappings as they are written."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: {"read": set(), "write": set()})
    for path in (ROOT / "include/mappings").rglob("*.yaml"):
        mapping = yaml.safe_load(path.read_text())
        given = mapping["from"]
        for source in [given] if isinstance(given.get("system"), str) else given.values():
            if source["system"] == "salesforce":
                found[source["entity_set"]]["read"] |= set(source["columns"])
        target = mapping["to"]
        if target["system"] == "salesforce":
            deletion = target.get("on_delete")
            found[target["object"]]["write"] |= {*mapping["fields"], *(deletion if isinstance(deletion, dict) else ())}
            for item in mapping["fields"].values():
                if isinstance(item, dict) and "lookup" in item:
                    parent, _, key = item["lookup"].partition(".")
                    found[parent]["read"].add(key)
    return found


def components(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for path in sorted((folder / "force-app/main/default").rglob("*-meta.xml")):
        kind, content = salesforce_metadata.read(path)
        found[kind][str(path.relative_to(folder / "force-app/main/default"))] = content
    return found


def rights(folder: Path) -> dict[str, Any]:
    (found,) = components(folder)["PermissionSet"].values()
    return found


def test_every_file_is_what_the_metadata_api_takes(folder: Path) -> None:
    found = components(folder)
    assert set(found) == {"CustomObject", "CustomField", "PermissionSet"}
    assert len(found["CustomField"]) > 100
    assert json.loads((folder / "sfdx-project.json").read_text())["packageDirectories"][0]["path"] == "force-app"


def test_the_manifest_names_every_component_and_no_other(folder: Path) -> None:
    kind, content = salesforce_metadata.read(folder / "manifest/package.xml")
    assert (kind, content["version"]) == ("Package", "62.0")
    named = {(item["name"], member) for item in content["types"] for member in item["members"]}
    there = {("PermissionSet", "Commerce_Sync")}
    for path in components(folder)["CustomField"]:
        _, name, _, file = path.split("/")
        there.add(("CustomField", f"{name}.{file.removesuffix('.field-meta.xml')}"))
    there |= {("CustomObject", path.split("/")[1]) for path in components(folder)["CustomObject"]}
    assert named == there


def test_it_holds_the_fields_the_mappings_name_and_no_others(folder: Path, used: Any) -> None:
    wanted = {
        (name, field)
        for name, kinds in used.items()
        for field in kinds["read"] | kinds["write"]
        if field.endswith("__c")
    }
    wanted |= {
        (name, f"{field[:-3]}__c") for name, kinds in used.items() for field in kinds["read"] if field.endswith("__r")
    }
    there = {(path.split("/")[1].replace("Activity", "Task"), content["fullName"])
             for path, content in components(folder)["CustomField"].items()}  # fmt: skip
    assert there == wanted


def test_external_ids_are_unique_and_tell_upper_from_lower_case(folder: Path) -> None:
    keys = [content for content in components(folder)["CustomField"].values() if content.get("externalId")]
    assert len(keys) > 10
    assert {(key["unique"], key["caseSensitive"], key["fullName"]) for key in keys} == {(True, True, "Commerce_Id__c")}


def test_fields_are_editable_only_where_a_mapping_writes_them(folder: Path, used: Any) -> None:
    for right in rights(folder)["fieldPermissions"]:
        name, field = right["field"].split(".")
        parts = {item for item in used[name]["write"] if item == field or (
            field.endswith("Address") and item.startswith(field.removesuffix("Address")))}  # fmt: skip
        assert right["readable"] is True
        assert right["editable"] is bool(parts), right["field"]


def test_every_custom_field_a_mapping_uses_may_be_read(folder: Path, used: Any) -> None:
    granted = {right["field"] for right in rights(folder)["fieldPermissions"]}
    wanted = {f"{name}.{field}" for name, kinds in used.items() for field in kinds["read"] | kinds["write"]
              if field.endswith("__c")}  # fmt: skip
    assert granted >= wanted


def test_no_right_is_given_on_a_standard_field_that_security_leaves_alone(folder: Path) -> None:
    """Such a line would make the whole deployment fail."""
    schema = custom.load()
    for right in rights(folder)["fieldPermissions"]:
        name, field = right["field"].split(".")
        if field.endswith("__c"):
            continue
        found = {item["name"]: item for item in describe.one(schema.objects[name], data_url="")["fields"]}
        one = found[field]
        assert not one["nameField"], right["field"]
        assert one["nillable"] or one["defaultedOnCreate"] or one["type"] == "boolean", f"{right['field']} is required"


def test_objects_give_no_more_than_the_mappings_need(folder: Path, used: Any) -> None:
    given = {right["object"]: right for right in rights(folder)["objectPermissions"]}
    assert set(given) >= set(used) - BY_RIGHT_OF_OTHERS
    assert {right["modifyAllRecords"] for right in given.values()} == {False}
    assert {right["viewAllRecords"] for right in given.values()} == {True}, "what is not seen counts as gone"
    assert given["Price_Agreement__c"] | {"object": ""} == {
        "object": "", "allowRead": True, "allowCreate": False, "allowEdit": False, "allowDelete": False,
        "modifyAllRecords": False, "viewAllRecords": True}  # fmt: skip
    assert {name for name, right in given.items() if right["allowDelete"]} == {"Campaign_Performance__c"}
    assert (given["Pricebook2"]["allowCreate"], given["Pricebook2"]["allowEdit"]) == (False, True)
    for right in given.values():
        assert right["allowEdit"] or not right["allowDelete"]


def test_a_flow_of_ones_own_gets_only_what_it_needs(tmp_path: Path) -> None:
    assert main(["sf-setup", "write", str(tmp_path), "--flows", "salesforce_contract_prices"]) == 0
    assert {right["object"] for right in rights(tmp_path)["objectPermissions"]} == {
        "Account",
        "Contract",
        "Price_Agreement__c",
        "Product2",
    }
    assert not any(right["editable"] for right in rights(tmp_path)["fieldPermissions"])


def test_all_of_the_list_is_written_when_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sf-setup", "write", str(tmp_path), "--all"]) == 0
    wanted = yaml.safe_load((ROOT / "include/salesforce/fields.yaml").read_text())
    found = components(tmp_path)
    assert len(found["CustomField"]) == len(wanted["fields"])
    assert len(found["CustomObject"]) == len(wanted["objects"])
    by_hand = capsys.readouterr().err
    assert len(found["RecordType"]) + by_hand.count("by hand: record type") == len(wanted["record_types"])
    assert "by hand: record type Quote (Quote) of Opportunity: it needs a process of the org" in by_hand


def test_the_list_of_fields_is_checked_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fields.yaml"
    for entry, said in {
        "{object: Account, field: A__c, type: Txt, label: A}": "fields.0.type is 'Txt'; legal values: Text",
        "{object: Account, field: A__c, type: Text, label: A}": "'length' is a required property",
        "{object: Other__c, field: A__c, type: Date, label: A}": "Other__c.A__c is of an object that is not in the list",
        "{object: Account, field: A__c, type: Date, label: A, lenght: 3}": "unknown key 'lenght'.*did you mean 'length'",
    }.items():
        path.write_text(f"fields:\n  - {entry}\n")
        assert main(["sf-setup", "write", str(tmp_path), "--fields", str(path)]) == 1
        error = capsys.readouterr().err
        assert f"{path}:2: " in error
        assert re.search(said, error), error
