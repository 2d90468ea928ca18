"""What the Metadata API takes: elements of each component with their kinds, and a strict reader of such files.

Source: Metadata API Developer Guide, version 62.0: CustomObject, CustomField, ValueSet, RecordType, PermissionSet, Package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

SPACE = "{http://soap.sforce.com/2006/04/metadata}"
TEXT, FLAG, NUMBER = "text", "flag", "number"
VALUE = {"fullName": TEXT, "color": TEXT, "default": FLAG, "description": TEXT, "isActive": FLAG, "label": TEXT}
VALUES = {"sorted": FLAG, "value": [VALUE]}
VALUE_SET = {"controllingField": TEXT, "restricted": FLAG, "valueSetDefinition": VALUES, "valueSetName": TEXT}
NAME_FIELD = {"displayFormat": TEXT, "label": TEXT, "startingNumber": NUMBER, "trackHistory": FLAG, "type": TEXT}
FIELD_RIGHT = {"editable": FLAG, "field": TEXT, "readable": FLAG}
OBJECT_RIGHT = {name: FLAG for name in ("allowCreate", "allowDelete", "allowEdit", "allowRead", "modifyAllRecords",
                                        "viewAllFields", "viewAllRecords")} | {"object": TEXT}  # fmt: skip
USER_RIGHT = {"enabled": FLAG, "name": TEXT}
ELEMENTS: dict[str, dict[str, Any]] = {
    "CustomObject": {"deploymentStatus": TEXT, "description": TEXT, "label": TEXT, "nameField": NAME_FIELD,
                     "pluralLabel": TEXT, "sharingModel": TEXT},
    "CustomField": {"fullName": TEXT, "caseSensitive": FLAG, "defaultValue": TEXT, "deleteConstraint": TEXT,
                    "description": TEXT, "externalId": FLAG, "label": TEXT, "length": NUMBER, "precision": NUMBER,
                    "referenceTo": TEXT, "relationshipName": TEXT, "required": FLAG, "scale": NUMBER, "type": TEXT,
                    "unique": FLAG, "valueSet": VALUE_SET, "visibleLines": NUMBER},
    "RecordType": {"fullName": TEXT, "active": FLAG, "businessProcess": TEXT, "description": TEXT, "label": TEXT},
    "PermissionSet": {"description": TEXT, "fieldPermissions": [FIELD_RIGHT], "hasActivationRequired": FLAG,
                      "label": TEXT, "license": TEXT, "objectPermissions": [OBJECT_RIGHT],
                      "userPermissions": [USER_RIGHT]},
    "Package": {"types": [{"members": [TEXT], "name": TEXT}], "version": TEXT},
}  # fmt: skip
"""Component -> its elements; a list may stand several times."""
NEEDED = {
    "CustomObject": {"deploymentStatus", "label", "nameField", "pluralLabel", "sharingModel"},
    "CustomField": {"fullName", "label", "type"}, "RecordType": {"fullName", "active", "label"},
    "PermissionSet": {"label"}, "Package": {"version"},
}  # fmt: skip
OF_TYPE = {
    "Text": {"length"}, "LongTextArea": {"length", "visibleLines"}, "Number": {"precision", "scale"},
    "Currency": {"precision", "scale"}, "Percent": {"precision", "scale"}, "Checkbox": {"defaultValue"},
    "Picklist": {"valueSet"}, "Lookup": {"referenceTo", "relationshipName"}, "Date": set(), "DateTime": set(),
    "TextArea": set(),
}  # fmt: skip
"""Type of a field -> what it cannot be without."""
ONLY_OF = {"length": {"Text", "LongTextArea"}, "precision": {"Number", "Currency", "Percent"}, "valueSet": {"Picklist"},
           "referenceTo": {"Lookup"}, "visibleLines": {"LongTextArea"}, "externalId": {"Text", "Number", "Email"},
           "unique": {"Text", "Number", "Email"}, "caseSensitive": {"Text"}}  # fmt: skip
LIMITS = {"label": 40, "fullName": 43}


def read(path: Path) -> tuple[str, dict[str, Any]]:
    """Component and content of a file that the Metadata API would take; AssertionError for any other."""
    assert path.read_bytes().startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<'), path
    root = ElementTree.fromstring(path.read_bytes())
    kind = root.tag.removeprefix(SPACE)
    assert root.tag == f"{SPACE}{kind}", f"{path}: namespace of {root.tag}"
    assert kind in ELEMENTS, f"{path}: no component {kind}"
    found = _content(root, ELEMENTS[kind], str(path))
    assert found.keys() >= NEEDED[kind], f"{path}: lacks {NEEDED[kind] - found.keys()}"
    if kind == "CustomField":
        _check_field(found, path)
    return kind, found


def _content(at: ElementTree.Element, legal: dict[str, Any], where: str) -> dict[str, Any]:
    names = [child.tag.removeprefix(SPACE) for child in at]
    assert set(names) <= set(legal), f"{where}: unknown {set(names) - set(legal)}"
    order = sorted(names, key=lambda name: (name != "fullName", name))
    assert names == order, f"{where}: order of elements is {names}"
    found: dict[str, Any] = {}
    for name, child in zip(names, at, strict=True):
        many = isinstance(legal[name], list)
        value = _value(child, legal[name][0] if many else legal[name], f"{where}/{name}")
        assert many or name not in found, f"{where}: {name} stands twice"
        found[name] = [*found.get(name, []), value] if many else value
    return found


def _value(at: ElementTree.Element, kind: Any, where: str) -> Any:
    if isinstance(kind, dict):
        assert not (at.text or "").strip(), where
        return _content(at, kind, where)
    text = at.text or ""
    assert not list(at), where
    assert text.strip() == text, f"{where}: empty or padded"
    assert text, f"{where}: empty"
    if kind == FLAG:
        assert text in ("true", "false"), f"{where}: {text}"
        return text == "true"
    return int(text) if kind == NUMBER else text


def _check_field(field: dict[str, Any], path: Path) -> None:
    kind = field["type"]
    assert kind in OF_TYPE, f"{path}: type {kind}"
    assert field.keys() >= OF_TYPE[kind], f"{path}: {kind} lacks {OF_TYPE[kind] - field.keys()}"
    for name, kinds in ONLY_OF.items():
        assert name not in field or kind in kinds, f"{path}: a {kind} has no {name}"
    for name, most in LIMITS.items():
        assert len(field[name]) <= most, f"{path}: {name} is longer than {most}"
    if kind == "Text":
        assert 1 <= field["length"] <= 255, path
    if kind == "LongTextArea":
        assert 256 <= field["length"] <= 131072, path
    if "precision" in field:
        assert field["scale"] <= field["precision"] <= 18, path
    assert not field.get("caseSensitive") or field.get("unique"), f"{path}: caseSensitive without unique"


def as_list(folder: Path) -> dict[str, Any]:
    """What was deployed, as the list an org of the simulator is made from."""
    found: dict[str, Any] = {"objects": [], "fields": [], "record_types": []}
    for path in sorted(folder.rglob("*-meta.xml")):
        kind, content = read(path)
        name = path.relative_to(folder).parts[1] if "objects" in path.parts else ""
        if kind == "CustomObject":
            found["objects"].append({"object": name, "label": content["label"], "plural": content["pluralLabel"],
                                     "name": content["nameField"]["type"]})  # fmt: skip
        elif kind == "CustomField":
            found["fields"].append(_entry("Task" if name == "Activity" else name, content))
        elif kind == "RecordType":
            found["record_types"].append({"object": name, "name": content["fullName"], "label": content["label"]})
    return found


def _entry(name: str, field: dict[str, Any]) -> dict[str, Any]:
    named = {"length": "length", "precision": "precision", "scale": "scale", "externalId": "external_id",
             "unique": "unique", "caseSensitive": "case_sensitive", "referenceTo": "reference_to",
             "relationshipName": "child_relationship", "type": "type", "label": "label", "fullName": "field"}  # fmt: skip
    entry = {"object": name} | {ours: field[theirs] for theirs, ours in named.items() if theirs in field}
    if "valueSet" in field:
        entry["values"] = [value["fullName"] for value in field["valueSet"]["valueSetDefinition"]["value"]]
    return entry
