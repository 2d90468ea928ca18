"""What a live org lacks of what the mappings need, found in its describes as the connection's user sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from commerce_sync.systems.salesforce.client import SalesforceClient
from commerce_sync.systems.salesforce.setup.needs import Needs, ObjectNeeds
from commerce_sync.systems.salesforce.setup.org_file import OrgFile, Spec

TYPES = {
    "Text": "string", "Checkbox": "boolean", "Number": "double", "Currency": "currency", "Percent": "percent",
    "Date": "date", "DateTime": "datetime", "Email": "email", "Phone": "phone", "Url": "url",
    "TextArea": "textarea", "LongTextArea": "textarea", "Picklist": "picklist", "Lookup": "reference",
}  # fmt: skip
"""Metadata API type -> type in a describe. Source: SOAP API Developer Guide, Field Types."""
Described = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lack:
    """One thing that is missing. what: object, field, type, length, precision, external_id, unique, case_sensitive,
    reference, create, update, delete, read, picklist_value, record_type.
    """

    object: str
    field: str
    what: str
    text: str
    legs: tuple[str, ...] = ()

    def __str__(self) -> str:
        name = f"{self.object}.{self.field}" if self.field else self.object
        return f"{name}: {self.text}"

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {"object": self.object, "field": self.field, "what": self.what, "text": self.text,
                "legs": list(self.legs)}  # fmt: skip


async def lacks(client: SalesforceClient, needs: Needs, org: OrgFile) -> list[Lack]:
    """Everything that is missing, object by object. Nothing is read but describes."""
    found: list[Lack] = []
    for name, one in needs.items():
        answer = await client.call("GET", f"sobjects/{name}/describe", ok=(200, 404))
        legs = tuple(sorted(one.legs))
        if answer.status == 404:
            text = "there is no such object, or the user may not see it"
            found.append(Lack(name, "", "object", text, legs))
            continue
        described: Described = answer.json()
        found += [Lack(name, *item, legs) for item in _object(described, one)]
        found += [Lack(name, *item, legs) for item in _fields(described, name, one, org)]
    return found


Found = Iterator[tuple[str, str, str]]


def _object(described: Described, one: ObjectNeeds) -> Found:
    wanted = {"create": bool(one.create), "update": bool(one.update), "delete": one.deletes, "read": True}
    flags = {"create": "createable", "update": "updateable", "delete": "deletable", "read": "queryable"}
    for right, flag in flags.items():
        if wanted[right] and not described[flag]:
            yield "", right, f"the user may not {right} records ({flag} is false)"
    there = {item["developerName"] for item in described["recordTypeInfos"] if item["available"] and item["active"]}
    for name in sorted(one.record_types - there):
        yield "", "record_type", f"the user has no record type {name}; available: {', '.join(sorted(there))}"


def _fields(described: Described, name: str, one: ObjectNeeds, org: OrgFile) -> Found:
    held = {item["name"]: item for item in described["fields"]}
    for field in sorted(one.fields):
        spec = held.get(field)
        if spec is None:
            yield field, "field", "there is no such field, or the user may not see it (field-level security)"
            continue
        yield from ((field, *item) for item in _rights(spec, field, one))
        yield from ((field, *item) for item in _key(spec, field in one.keys))
        wanted = org.fields.get((name, field))
        if wanted is not None:
            yield from ((field, *item) for item in _shape(spec, wanted))
        values = one.values.get(field, set()) | set((wanted or {}).get("values", ()))
        yield from ((field, *item) for item in _picklist(spec, values))


Fault = Iterator[tuple[str, str]]


def _rights(spec: Described, field: str, one: ObjectNeeds) -> Fault:
    if field in one.create and not spec["createable"]:
        yield "create", "the user may not set it in new records (createable is false)"
    if field in one.update and not spec["updateable"]:
        yield "update", "the user may not change it (updateable is false)"


def _key(spec: Described, is_key: bool) -> Fault:
    """Upserts and lookups name a record by this field."""
    if not is_key or spec["name"] == "Id":
        return
    if not spec["idLookup"]:
        yield "external_id", "is no external id, which upserts and lookups go by"
    elif spec["externalId"] and not spec["unique"]:
        yield "unique", "is an external id but not unique: two records could hold one value"


def _shape(spec: Described, wanted: Spec) -> Fault:
    kind = TYPES[wanted["type"]]
    if spec["type"] != kind:
        yield "type", f"is of type {spec['type']}; wanted: {kind} ({wanted['type']})"
        return
    length = wanted.get("length", 0) if kind in ("string", "textarea") else 0
    if spec["length"] < length:
        yield "length", f"holds {spec['length']} characters; wanted: {length}"
    yield from _digits(spec, wanted)
    if kind == "reference" and wanted["reference_to"] not in spec["referenceTo"]:
        yield "reference", f"refers to {', '.join(spec['referenceTo'])}; wanted: {wanted['reference_to']}"
    if wanted.get("external_id") and not spec["externalId"]:
        yield "external_id", "is not marked as an external id"
    if wanted.get("unique") and not spec["unique"]:
        yield "unique", "is not unique"
    if wanted.get("case_sensitive") and not spec["caseSensitive"]:
        yield "case_sensitive", "is not case sensitive: c1 and C1 would be one record"


def _digits(spec: Described, wanted: Spec) -> Fault:
    """Places before and behind the point; a describe counts both in precision."""
    if "precision" not in wanted:
        return
    before, behind = wanted["precision"] - wanted["scale"], wanted["scale"]
    held = spec["precision"] - spec["scale"]
    if held < before or spec["scale"] < behind:
        yield (
            "precision",
            (f"has {held} digits before the point and {spec['scale']} behind it; wanted: {before} and {behind}"),
        )


def _picklist(spec: Described, values: Iterable[str]) -> Fault:
    if spec["type"] not in ("picklist", "multipicklist", "combobox"):
        return
    there = [item["value"] for item in spec["picklistValues"] if item["active"]]
    for value in sorted(set(values) - set(there)):
        yield "picklist_value", f"has no value {value!r}; it has: {', '.join(there)}"
