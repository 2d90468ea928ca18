"""The custom objects, fields and record types that mappings may use: ``include/salesforce/fields.yaml``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from commerce_sync import schema_file
from commerce_sync.errors import ConfigurationError

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OrgFile:
    """The file. objects, fields: by their names.   record_types: by object and developer name."""

    objects: dict[str, Spec]
    fields: dict[tuple[str, str], Spec]
    record_types: dict[tuple[str, str], Spec]


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The JSON schema of the file."""
    text = resources.files(__package__).joinpath("org_file_schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def load(path: Path) -> OrgFile:
    """Raises ConfigurationError with file, line, value and legal names."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"there is no list of fields {path}; name one with --fields") from None
    content, lines = schema_file.parse(path, text, schema(), what="a list of fields")
    seen: dict[tuple[str, str], Spec] = {}
    objects = {item["object"]: item for item in content.get("objects", [])}
    for index, item in enumerate(content["fields"]):
        at, line = (item["object"], item["field"]), lines["fields", index]
        if at in seen:
            raise ConfigurationError(f"{path}:{line}: field {'.'.join(at)} stands twice; keep one")
        if at[0].endswith("__c") and at[0] not in objects:
            near = schema_file.similar(at[0], objects)
            raise ConfigurationError(
                f"{path}:{line}: {'.'.join(at)} is of an object that is not in the list{near}; it has: "
                f"{', '.join(objects)}"
            )
        seen[at] = item
    records = {(item["object"], item["name"]): item for item in content.get("record_types", [])}
    return OrgFile(objects, seen, records)
