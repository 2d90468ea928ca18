"""The org's objects and fields as data: schema.yaml plus the custom fields of the project."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

STANDARD = Path(__file__).with_name("schema.yaml")
LINE = re.compile(r"^(?P<type>\w+)(?:\((?P<args>[^)]*)\))?(?P<rest>.*)$")
TEXT_TYPES = {
    "string", "textarea", "phone", "url", "email", "picklist", "multipicklist", "combobox", "encryptedstring",
}  # fmt: skip
NUMBER_TYPES = {"double", "currency", "percent"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field; ``required`` means that a create must give it."""

    name: str
    type: str
    label: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    required: bool = False
    createable: bool = True
    updateable: bool = True
    defaulted: bool = False
    default: Any = None
    is_name: bool = False
    id_lookup: bool = False
    external_id: bool = False
    unique: bool = False
    case_sensitive: bool = False
    auto_number: bool = False
    restricted: bool = False
    values: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    relationship: str | None = None
    children: str | None = None
    locks: bool = False
    formula: str | None = None

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @property
    def default_status(self) -> bool:
        """A Status that is never empty, because the platform fills it."""
        return self.name == "Status" and self.defaulted

    @property
    def is_key(self) -> bool:
        """Whether an upsert or a relationship column may name it."""
        return self.external_id or self.id_lookup or self.name == "Id"


class RecordType(NamedTuple):
    """A kind of record of one object; ``id`` is that of the RecordType row."""

    id: str
    name: str
    label: str
    is_default: bool


@dataclass(slots=True)
class SObject:
    """One object; ``fields`` is in describe order, ``by_name`` finds a field in any case."""

    name: str
    label: str
    plural: str
    prefix: str
    fields: dict[str, Field]
    by_name: dict[str, Field] = field(default_factory=dict)
    by_relationship: dict[str, Field] = field(default_factory=dict)
    children: dict[str, tuple[str, Field]] = field(default_factory=dict)
    record_types: list[RecordType] = field(default_factory=list)

    def find(self, name: str) -> Field | None:
        return self.by_name.get(name.lower())

    def index(self) -> None:
        self.by_name = {name.lower(): item for name, item in self.fields.items()}
        self.by_relationship = {item.relationship.lower(): item for item in self.fields.values() if item.relationship}


class Schema:
    """All objects, found by name in any case."""

    def __init__(self, objects: list[SObject]) -> None:
        self.objects = {item.name: item for item in objects}
        self._by_name = {item.name.lower(): item for item in objects}
        self.by_prefix = {item.prefix: item for item in objects}
        for item in objects:
            item.index()
        for item in objects:
            self._link(item)

    def find(self, name: str) -> SObject | None:
        return self._by_name.get(name.lower())

    def _link(self, child: SObject) -> None:
        for item in child.fields.values():
            for target in item.targets if item.children else ():
                if target in self.objects:
                    self.objects[target].children[str(item.children).lower()] = (child.name, item)


def standard() -> dict[str, SObject]:
    """The objects of schema.yaml, by name."""
    raw: dict[str, Any] = yaml.safe_load(STANDARD.read_text())
    return {name: build_object(name, spec) for name, spec in raw.items()}


def build_object(name: str, spec: dict[str, Any]) -> SObject:
    fields = {
        "Id": Field("Id", "id", label_of(name, "Id"), length=18, createable=False, updateable=False, defaulted=True)
    }
    fields["IsDeleted"] = _parse("IsDeleted", "boolean readonly label=Deleted")
    if spec.get("person"):
        computed = "trim(coalesce(FirstName_||_'_','')_||_coalesce(LastName,''))"
        fields["Name"] = _parse("Name", f"string(121) name label=Full_Name formula={computed}")
    fields |= {key: _parse(key, line) for key, line in spec["fields"].items()}
    if spec.get("owner"):
        fields["OwnerId"] = _parse("OwnerId", "reference(User) rel=Owner defaulted")
    for key, line in SYSTEM_FIELDS.items():
        fields[key] = _parse(key, line)
    label = spec.get("label", name)
    return SObject(name=name, label=label, plural=spec["plural"], prefix=spec["prefix"], fields=fields)


SYSTEM_FIELDS = {
    "CreatedDate": "datetime readonly",
    "CreatedById": "reference(User) rel=CreatedBy readonly",
    "LastModifiedDate": "datetime readonly",
    "LastModifiedById": "reference(User) rel=LastModifiedBy readonly",
    "SystemModstamp": "datetime readonly",
}


def _parse(name: str, line: str) -> Field:
    match = LINE.match(line)
    if match is None:
        raise ValueError(f"{STANDARD}: field {name} reads {line!r}, which is no field line")
    text, _, values = match["rest"].partition(" values=")
    flags = text.split()
    options = dict(flag.split("=", 1) for flag in flags if "=" in flag)
    kind, args = match["type"], match["args"] or ""
    # blanks inside an option are written as underscores, so that a line splits at blanks
    formula = options["formula"].replace("_", " ") if "formula" in options else None
    closed = "readonly" in flags or "autonumber" in flags or formula is not None or kind == "address"
    return Field(
        name=name,
        label=options["label"].replace("_", " ") if "label" in options else label_of("", name),
        type=kind,
        **_size(kind, args),
        required="required" in flags,
        createable=not closed,
        updateable=not closed and "fixed" not in flags,
        defaulted="defaulted" in flags or kind == "boolean" or "autonumber" in flags,
        default=None if formula else _default(kind, options.get("default")),
        is_name="name" in flags,
        id_lookup="idlookup" in flags,
        case_sensitive="exact" in flags,
        auto_number="autonumber" in flags,
        restricted="restricted" in flags,
        values=tuple(values.split("|")) if values else (),
        targets=tuple(args.split("|")) if kind == "reference" else (),
        relationship=options.get("rel"),
        children=options.get("kids"),
        locks="locks" in flags,
        formula=formula,
    )


def _size(kind: str, args: str) -> dict[str, Any]:
    if kind in NUMBER_TYPES:
        precision, _, scale = args.partition(",")
        return {"precision": int(precision), "scale": int(scale or 0)}
    if kind in ("id", "reference"):
        return {"length": 18}
    return {"length": int(args)} if args else {}


def _default(kind: str, text: str | None) -> Any:
    if kind == "boolean":
        return 0
    if text is None:
        return None
    if kind in NUMBER_TYPES:
        return float(text)
    locale = re.fullmatch(r"[a-z]{2}_[A-Z]{2}", text)
    return text.replace("_", " ") if kind == "picklist" and not locale else text


def label_of(owner: str, name: str) -> str:
    if name == "Id":
        return f"{owner} ID".strip()
    bare = name.removesuffix("__c").replace("_", " ")
    bare = bare[:-2] + " ID" if bare.endswith("Id") and len(bare) > 2 else bare
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", bare)
