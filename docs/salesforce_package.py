"""Turns ``include/salesforce/fields.yaml`` into source for the Salesforce CLI, with a permission set for the flows.

python docs/salesforce_package.py FOLDER

The permission set holds what the flows' mappings read and write and nothing else. Record types of opportunities and
cases need a process of the org: they are named at the end, to be made by hand. Not deployed to a production org yet;
``--dry-run`` of the deployment says what yours would refuse.
Source of the shapes: Metadata API Developer Guide, CustomObject, CustomField, RecordType, PermissionSet.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "docs")]

import rights  # noqa: E402  # stands beside this file

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
API_VERSION = "62.0"
PARENTS = {
    "OrderItem": "Order",
    "OpportunityLineItem": "Opportunity",
    "OpportunityContactRole": "Opportunity",
    "CampaignMember": "Campaign",
    "PricebookEntry": "Pricebook2",
}
"""Objects whose records go by the rights on their parent."""
WITHOUT_RIGHTS = ("RecordType", "Task")
NEEDS_PROCESS = ("Opportunity", "Case", "Lead")
STANDARD = {
    "Account": ("BillingAddress", "Phone"),
    "Campaign": ("Description", "EndDate", "StartDate", "Status", "Type"),
    "Case": ("AccountId", "ContactId", "Description", "Origin", "Priority", "Reason", "Subject"),
    "Contact": ("AccountId", "Email", "HasOptedOutOfEmail", "MailingAddress", "Phone"),
    "Contract": ("EndDate", "StartDate"),
    "Lead": ("Email", "LeadSource"),
    "Opportunity": ("AccountId", "Amount", "Description", "LeadSource", "NextStep"),
    "Order": ("OrderReferenceNumber",),
    "Product2": ("ProductCode",),
}
"""Standard fields of the mappings that field-level security knows; the others everybody has who has the object."""
Parts = Iterable[tuple[str, Any]]


def main(arguments: list[str]) -> int:
    """Write the package; 2 for a wrong call."""
    if len(arguments) != 1:
        print("usage: python docs/salesforce_package.py FOLDER", file=sys.stderr)
        return 2
    for line in write(Path(arguments[0])):
        print(line)
    return 0


def write(folder: Path) -> list[str]:
    """Write ``force-app`` below ``folder``; gives what has to be made by hand."""
    wanted = yaml.safe_load((ROOT / "include/salesforce/fields.yaml").read_text(encoding="utf-8"))
    source = folder / "force-app/main/default"
    for item in wanted["objects"]:
        _xml(source / f"objects/{item['object']}/{item['object']}.object-meta.xml", "CustomObject", _object(item))
    for item in wanted["fields"]:
        home = "Activity" if item["object"] == "Task" else item["object"]
        _xml(source / f"objects/{home}/fields/{item['field']}.field-meta.xml", "CustomField", _field(item))
    by_hand = [item for item in wanted["record_types"] if item["object"] in NEEDS_PROCESS]
    for item in wanted["record_types"]:
        if item not in by_hand:
            path = source / f"objects/{item['object']}/recordTypes/{item['name']}.recordType-meta.xml"
            _xml(path, "RecordType", [("fullName", item["name"]), ("active", True), ("label", item["label"])])
    path = source / "permissionsets/Commerce_Sync.permissionset-meta.xml"
    _xml(path, "PermissionSet", _permissions(wanted["fields"]))
    project = '{"packageDirectories": [{"path": "force-app", "default": true}], "sourceApiVersion": "%s"}\n'
    (folder / "sfdx-project.json").write_text(project % API_VERSION, encoding="utf-8")
    return [f"by hand: record type {item['name']} ({item['label']}) of {item['object']}" for item in by_hand]


def _object(item: dict[str, Any]) -> Parts:
    name = [("label", f"{item['label']} Name"), ("type", item.get("name", "Text"))]
    if item.get("name") == "AutoNumber":
        name.insert(0, ("displayFormat", "{00000000}"))
    return [
        ("deploymentStatus", "Deployed"), ("label", item["label"]), ("nameField", name),
        ("pluralLabel", item.get("plural", f"{item['label']}s")), ("sharingModel", "ReadWrite"),
    ]  # fmt: skip


def _field(item: dict[str, Any]) -> Parts:
    parts: list[tuple[str, Any]] = [("fullName", item["field"])]
    if "case_sensitive" in item:
        parts.append(("caseSensitive", item["case_sensitive"]))
    if item["type"] == "Checkbox":
        parts.append(("defaultValue", False))
    if item["type"] == "Lookup":
        parts.append(("deleteConstraint", "SetNull"))
    if "external_id" in item:
        parts.append(("externalId", item["external_id"]))
    parts.append(("label", item["label"]))
    if item["type"] != "TextArea":
        parts += [(name, item[name]) for name in ("length", "precision", "scale") if name in item]
    if item["type"] == "Lookup":
        parts += [("referenceTo", item["reference_to"]), ("relationshipName", item["child_relationship"])]
    parts.append(("type", item["type"]))
    parts += [("unique", item["unique"])] if "unique" in item else []
    parts += [("visibleLines", 3)] if item["type"] == "LongTextArea" else []
    parts += [("valueSet", _values(item["values"]))] if "values" in item else []
    return parts


def _values(names: Iterable[str]) -> Parts:
    values = [("value", [("fullName", name), ("default", False), ("label", name)]) for name in names]
    return [("restricted", True), ("valueSetDefinition", [("sorted", False), *values])]


def _permissions(fields: Iterable[dict[str, Any]]) -> Parts:
    used = {cells[0].strip("`") for cells in rights.of("salesforce")[1]}
    names = {(item["object"], item["field"]) for item in fields if item["object"] in used}
    names |= {(name, field) for name, found in STANDARD.items() for field in found}
    written = _written()
    parts: list[tuple[str, Any]] = []
    for name, field in sorted(names):
        editable = any(item.startswith(field.removesuffix("Address")) for item in written.get(name, ()))
        parts.append(("fieldPermissions", [("editable", editable), ("field", f"{name}.{field}"), ("readable", True)]))
    parts += [("hasActivationRequired", False), ("label", "Commerce Sync")]
    parts += [("objectPermissions", item) for item in _objects()]
    return [*parts, *(("userPermissions", [("enabled", True), ("name", name)]) for name in ("ApiEnabled", "EditTask"))]


def _written() -> dict[str, set[str]]:
    """Object -> fields some mapping writes."""
    found: dict[str, set[str]] = {}
    for flow in rights.flows():
        for mapping in flow.legs:
            target = mapping["to"]
            on_delete = target.get("on_delete")
            more = on_delete if isinstance(on_delete, dict) else {}
            if target["system"] == "salesforce":
                found.setdefault(target["object"], set()).update(mapping["fields"], more)
    return found


def _objects() -> list[Parts]:
    """Rights on objects: reading sees all records, because what is not seen counts as gone."""
    found: dict[str, list[bool]] = {}
    for cells in rights.of("salesforce")[1]:
        name = cells[0].strip("`")
        if name not in WITHOUT_RIGHTS:
            at = found.setdefault(PARENTS.get(name, name), [False, False])
            at[0] |= bool(cells[2])
            at[1] |= bool(cells[3]) and name not in PARENTS
    return [
        [("allowCreate", writes), ("allowDelete", deletes), ("allowEdit", writes), ("allowRead", True),
         ("modifyAllRecords", False), ("object", name), ("viewAllRecords", True)]
        for name, (writes, deletes) in sorted(found.items())
    ]  # fmt: skip


def _xml(path: Path, kind: str, parts: Parts) -> None:
    root = ElementTree.Element(kind, xmlns=NAMESPACE)
    _fill(root, parts)
    ElementTree.indent(root, "    ")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n")


def _fill(at: ElementTree.Element, parts: Parts) -> None:
    for name, value in parts:
        child = ElementTree.SubElement(at, name)
        if isinstance(value, list):
            _fill(child, value)
        else:
            child.text = str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
