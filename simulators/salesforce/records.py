"""One record as JSON."""

from __future__ import annotations

from typing import Any

from simulators.salesforce.call import Call
from simulators.salesforce.errors import ApiError
from simulators.salesforce.query import attributes, json_value
from simulators.salesforce.schema import Field, SObject


def record_of(call: Call, item: SObject, key: str, names: list[str] | None = None) -> dict[str, Any]:
    """One record as JSON with the wanted fields, all of them when none are named."""
    wanted = names or [name for name in call.query.get("fields", "").split(",") if name]
    specs = [known(item, name.strip()) for name in wanted] or list(item.fields.values())
    row = call.org.store.rows_by_id(item, [spec.name for spec in specs], [key])[key]
    record: dict[str, Any] = {"attributes": attributes(item.name, key, call=call)}
    record |= {spec.name: json_value(value, spec.type) for spec, value in zip(specs, row, strict=True)}
    record.setdefault("Id", key)
    return record


def known(item: SObject, name: str) -> Field:
    found = item.find(name)
    if found is None:
        message = f"No such column '{name}' on entity '{item.name}'."
        raise ApiError(400, "INVALID_FIELD", message)
    return found
