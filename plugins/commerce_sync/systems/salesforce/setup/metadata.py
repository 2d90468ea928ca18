"""Metadata API components as XML: custom objects, fields, record types, permission sets, the manifest.

In each component ``fullName`` comes first and the other elements in alphabetical order, as the metadata WSDL lists
them.
Source: Metadata API Developer Guide, CustomObject, CustomField, ValueSet, RecordType, PermissionSet, package.xml.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
API_VERSION = "62.0"
Spec = Mapping[str, Any]
Parts = dict[str, Any]
"""Element -> text, parts below it, or a list of either."""
FIRST = {"fullName": 0}


def document(kind: str, parts: Parts) -> bytes:
    """The component as a file."""
    root = ElementTree.Element(kind, xmlns=NAMESPACE)
    _fill(root, parts)
    ElementTree.indent(root, "    ")
    text: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text.replace(b"<?xml version='1.0' encoding='UTF-8'?>", b'<?xml version="1.0" encoding="UTF-8"?>') + b"\n"


def _fill(at: ElementTree.Element, parts: Parts) -> None:
    for name in sorted(parts, key=lambda item: (FIRST.get(item, 1), item)):
        for value in parts[name] if isinstance(parts[name], list) else [parts[name]]:
            child = ElementTree.SubElement(at, name)
            if isinstance(value, dict):
                _fill(child, value)
            else:
                child.text = str(value).lower() if isinstance(value, bool) else str(value)


def custom_object(spec: Spec) -> Parts:
    """One object of the list; records are shared by the org's defaults."""
    name: Parts = {"label": f"{spec['label']} Name", "type": spec.get("name", "Text")}
    if name["type"] == "AutoNumber":
        name["displayFormat"] = "{00000000}"
    return {
        "deploymentStatus": "Deployed", "label": spec["label"], "nameField": name,
        "pluralLabel": spec.get("plural", f"{spec['label']}s"), "sharingModel": "ReadWrite",
    }  # fmt: skip


def custom_field(spec: Spec) -> Parts:
    """One field of the list."""
    parts: Parts = {"fullName": spec["field"], "label": spec["label"], "type": spec["type"]}
    named = {"case_sensitive": "caseSensitive", "external_id": "externalId", "unique": "unique", "required": "required",
             "precision": "precision", "scale": "scale"}  # fmt: skip
    parts |= {element: spec[key] for key, element in named.items() if key in spec}
    if "length" in spec and spec["type"] != "TextArea":  # always 255
        parts["length"] = spec["length"]
    if spec["type"] == "Checkbox":
        parts["defaultValue"] = bool(spec.get("default", False))
    if spec["type"] == "Lookup":
        parts |= {"deleteConstraint": "SetNull", "referenceTo": spec["reference_to"],
                  "relationshipName": spec["child_relationship"]}  # fmt: skip
    if spec["type"] == "LongTextArea":
        parts["visibleLines"] = 3
    if "values" in spec:
        parts["valueSet"] = _value_set(spec["values"])
    return parts


def _value_set(names: Iterable[str]) -> Parts:
    values = [{"fullName": name, "default": False, "label": name} for name in names]
    return {"restricted": True, "valueSetDefinition": {"sorted": False, "value": values}}


def record_type(spec: Spec) -> Parts:
    """One record type, active, with all picklist values its object has."""
    return {"fullName": spec["name"], "active": True, "label": spec["label"]}


def manifest(members: Mapping[str, Iterable[str]]) -> Parts:
    """``package.xml``: component type -> full names."""
    types = [{"members": sorted(names), "name": kind} for kind, names in sorted(members.items()) if names]
    return {"types": types, "version": API_VERSION}
