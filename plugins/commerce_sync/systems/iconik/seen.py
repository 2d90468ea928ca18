"""A metadata view as fields of ``systems.metadata``. Other fields of iconik's objects are fixed by its API."""

from __future__ import annotations

from typing import Any

from commerce_sync.systems.iconik.metadata import View
from commerce_sync.systems.metadata import Seen


def seen(view: View) -> dict[str, Seen]:
    """Metadata field -> how the view has it."""
    return {name: _field(definition) for name, definition in view.fields.items()}


def _field(definition: dict[str, Any]) -> Seen:
    options = definition.get("options") or []
    locked = bool(definition.get("read_only") or definition.get("auto_set"))
    return Seen(
        type=str(definition.get("field_type") or "string"),
        label=definition.get("label"),
        required=bool(definition.get("required")),
        createable=not locked,
        updateable=not locked,
        values=tuple(sorted(str(one["value"]) for one in options)) or None,
    )
