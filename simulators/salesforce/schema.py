"""The org's objects and fields as data: schema.yaml plus the custom fields of the project."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

STANDARD = Path(__file__).with_name("schema.yaml")
CUSTOM = Path(__file__).parents[2] / "include" / "salesforce" / "fields.yaml"
LINE = re.compile(r"^(?P<type>\w+)(?:\((?P<args>[^)]*)\))?(?P<rest>.*)$")
TEXT_TYPES = {
    "string", "textarea", "phone", "url", "email", "picklist", "multipicklist", "combobox", "encryptedstring",
}  # fmt: skip
NUMBER_TYPES = {"double", "currency", "percent"}
CUSTOM_TYPES = {
    "Text": "string", "Checkbox": "boolean", "Number": "double", "Currency": "currency", "Percent": "percent",
    "Date": "date", "DateTime": "datetime", "Email": "email", "Phone": "phone", "Url": "url",
    "TextArea": "textarea", "LongTextArea": "textarea", "Picklist": "picklist", "Lookup": "reference",
}  # fmt: skip
CUSTOM_KEYS = {
    "object", "field", "type", "length", "precision", "scale", "external_id", "unique", "case_sensitive",
    "label", "values", "restricted", "required", "reference_to", "relationship", "default",
}  # fmt: skip


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
    def is_key(self) -> bool:
        """Whether an upsert or a relationship column may name it."""
        return self.external_id or self.id_lookup or self.name == "Id"


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


def load(custom: Path | None = None) -> Schema:
    """Read the standard objects and the custom fields; raises ValueError with file and field."""
    raw: dict[str, Any] = yaml.safe_load(STANDARD.read_text())
    objects = {name: _object(name, spec) for name, spec in raw.items()}
    path = custom or CUSTOM
    if path.exists():
        for entry in yaml.safe_load(path.read_text())["fields"]:
            item = _custom(entry, path=path)
            if entry["object"] not in objects:
                raise ValueError(f"{path}: {entry['object']} is no object here; legal: {', '.join(objects)}")
            objects[entry["object"]].fields[item.name] = item
    return Schema(list(objects.values()))


def _object(name: str, spec: dict[str, Any]) -> SObject:
    fields = {
        "Id": Field("Id", "id", _label(name, "Id"), length=18, createable=False, updateable=False, defaulted=True)
    }
    fields["IsDeleted"] = _parse("IsDeleted", "boolean readonly")
    if spec.get("person"):
        computed = "trim(coalesce(FirstName_||_'_','')_||_coalesce(LastName,''))"
        fields["Name"] = _parse("Name", f"string(121) name formula={computed}")
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
        label=_label("", name),
        type=kind,
        **_size(kind, args),
        required="required" in flags,
        createable=not closed,
        updateable=not closed and "fixed" not in flags,
        defaulted="defaulted" in flags or kind == "boolean" or "autonumber" in flags,
        default=None if formula else _default(kind, options.get("default")),
        is_name="name" in flags,
        id_lookup="idlookup" in flags,
        auto_number="autonumber" in flags,
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


def _label(owner: str, name: str) -> str:
    if name == "Id":
        return f"{owner} ID".strip()
    bare = name.removesuffix("__c").replace("_", " ")
    bare = bare[:-2] + " ID" if bare.endswith("Id") and len(bare) > 2 else bare
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", bare)


def _custom(entry: dict[str, Any], *, path: Path) -> Field:
    name = entry.get("field", "?")
    if unknown := set(entry) - CUSTOM_KEYS:
        raise ValueError(f"{path}: field {name} has unknown keys {sorted(unknown)}; legal: {sorted(CUSTOM_KEYS)}")
    if entry.get("type") not in CUSTOM_TYPES:
        raise ValueError(f"{path}: field {name} has type {entry.get('type')!r}; legal: {', '.join(CUSTOM_TYPES)}")
    kind = CUSTOM_TYPES[entry["type"]]
    target = entry.get("reference_to")
    return Field(
        name=name,
        label=entry.get("label") or _label("", name),
        type=kind,
        length=18 if kind == "reference" else entry.get("length", 255 if kind in TEXT_TYPES else 0),
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
    )
