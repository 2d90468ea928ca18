"""The custom part of the org: objects, fields and record types of one YAML file, as they would be deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from simulators.salesforce import ids
from simulators.salesforce.schema import (
    NUMBER_TYPES,
    TEXT_TYPES,
    Field,
    RecordType,
    Schema,
    SObject,
    build_object,
    label_of,
    standard,
)

CUSTOM = Path(__file__).parents[2] / "include" / "salesforce" / "fields.yaml"
TYPES = {
    "Text": "string", "Checkbox": "boolean", "Number": "double", "Currency": "currency", "Percent": "percent",
    "Date": "date", "DateTime": "datetime", "Email": "email", "Phone": "phone", "Url": "url",
    "TextArea": "textarea", "LongTextArea": "textarea", "Picklist": "picklist", "Lookup": "reference",
}  # fmt: skip
KEYS = {
    "object", "field", "type", "length", "precision", "scale", "external_id", "unique", "case_sensitive",
    "label", "values", "restricted", "required", "reference_to", "relationship", "child_relationship", "default",
}  # fmt: skip
OBJECT_KEYS = {"object", "label", "plural", "name"}
RECORD_TYPE_KEYS = {"object", "name", "label", "default"}


def load(path: Path | None = None) -> Schema:
    """The standard objects and what the file adds; raises ValueError with file and entry."""
    objects, path = standard(), path or CUSTOM
    if path.exists():
        given = yaml.safe_load(path.read_text()) or {}
        _check_keys(given, {"objects", "fields", "record_types"}, where=str(path))
        for number, entry in enumerate(given.get("objects", [])):
            objects[entry["object"]] = _object(entry, number=number, path=path)
        for entry in given.get("fields", []):
            _target(objects, entry, path=path).fields[entry.get("field", "?")] = _field(entry, path=path)
        for number, entry in enumerate(given.get("record_types", []), start=1):
            _add_record_type(_target(objects, entry, path=path), entry, number=number, path=path)
    return Schema(list(objects.values()))


def _check_keys(entry: dict[str, Any], legal: set[str], *, where: str) -> None:
    if unknown := set(entry) - legal:
        raise ValueError(f"{where} has unknown keys {sorted(unknown)}; legal: {sorted(legal)}")


def _target(objects: dict[str, SObject], entry: dict[str, Any], *, path: Path) -> SObject:
    if entry["object"] not in objects:
        raise ValueError(f"{path}: {entry['object']} is no object here; legal: {', '.join(objects)}")
    return objects[entry["object"]]


def _object(entry: dict[str, Any], *, number: int, path: Path) -> SObject:
    """``name`` is AutoNumber or Text; the id prefix follows the order of the file: a00, a01, ..."""
    name = entry["object"]
    _check_keys(entry, OBJECT_KEYS, where=f"{path}: object {name}")
    if not name.endswith("__c"):
        raise ValueError(f"{path}: object {name} is custom, so its name must end in __c")
    line = "string(80) name idlookup" if entry.get("name", "Text") == "Text" else "string(80) autonumber name idlookup"
    label = entry.get("label") or label_of("", name)
    spec = {"prefix": f"a{number:02d}", "label": label, "plural": entry.get("plural", f"{label}s"), "owner": True}
    return build_object(name, spec | {"fields": {"Name": line}})


def _field(entry: dict[str, Any], *, path: Path) -> Field:
    name = entry.get("field", "?")
    _check_keys(entry, KEYS, where=f"{path}: field {name}")
    if entry.get("type") not in TYPES:
        raise ValueError(f"{path}: field {name} has type {entry.get('type')!r}; legal: {', '.join(TYPES)}")
    kind, target = TYPES[entry["type"]], entry.get("reference_to")
    if (kind == "reference") != bool(target):
        raise ValueError(f"{path}: field {name}: reference_to belongs to a Lookup, and a Lookup needs it")
    children = entry.get("child_relationship")
    return Field(
        name=name,
        label=entry.get("label") or label_of("", name),
        type=kind,
        length=18 if target else entry.get("length", 255 if kind in TEXT_TYPES else 0),
        precision=entry.get("precision", 18 if kind in NUMBER_TYPES else 0),
        scale=entry.get("scale", 0),
        required=entry.get("required", False),
        defaulted=kind == "boolean",
        default=int(bool(entry.get("default", False))) if kind == "boolean" else entry.get("default"),
        external_id=entry.get("external_id", False),
        id_lookup=entry.get("external_id", False),
        unique=entry.get("unique", False),
        case_sensitive=entry.get("case_sensitive", False),
        restricted=entry.get("restricted", False),
        values=tuple(entry.get("values", ())),
        targets=(target,) if target else (),
        relationship=entry.get("relationship", name.replace("__c", "__r")) if target else None,
        children=f"{children}__r" if children else None,
    )


def _add_record_type(item: SObject, entry: dict[str, Any], *, number: int, path: Path) -> None:
    _check_keys(entry, RECORD_TYPE_KEYS, where=f"{path}: record type {entry.get('name')}")
    name = entry["name"]
    label = entry.get("label") or label_of("", name)
    kind = RecordType(ids.make("012", number), name, label, entry.get("default", False))
    item.record_types.append(kind)
    default = kind.id if kind.is_default else None
    known = item.fields.get("RecordTypeId")
    item.fields["RecordTypeId"] = Field(
        "RecordTypeId",
        "reference",
        "Record Type ID",
        length=18,
        default=default or (known.default if known else None),
        targets=("RecordType",),
        relationship="RecordType",
    )
