"""JSON records -> batches of typed columns, relationships by external id included."""

from __future__ import annotations

from typing import Any

from simulators.salesforce import values
from simulators.salesforce.errors import ApiError, RowError, no_column
from simulators.salesforce.schema import Field, Schema, SObject
from simulators.salesforce.values import ABSENT
from simulators.salesforce.work import Batch, Parent

Record = dict[str, Any]


def json_batch(
    item: SObject, records: list[Record], *, operation: str, schema: Schema, key: Field | None = None
) -> Batch:
    """A batch of JSON records; unknown fields and badly typed values become row errors.

    For update and upsert by Id the ids are taken from ``Id`` or ``id``; other upserts read the key field.
    """
    batch = Batch(item, operation, len(records), key=key)
    given: dict[str, list[Any]] = {}
    parents: dict[str, Parent] = {}
    for row, record in enumerate(records):
        for name, value in record.items():
            if name == "attributes":
                continue
            spec = item.find(name)
            if spec is not None:
                given.setdefault(spec.name, [ABSENT] * batch.size)[row] = value
            else:
                _relation(batch, row, name=name, value=value, schema=schema, parents=parents)
    _read_columns(batch, given)
    batch.parents = list(parents.values())
    return batch


def _read_columns(batch: Batch, given: dict[str, list[Any]]) -> None:
    by_id = batch.operation == "update" or (batch.key is not None and batch.key.name == "Id")
    sent_ids = given.pop("Id", None)
    if by_id or batch.operation == "delete":
        batch.keys = [None if value is ABSENT else value for value in sent_ids or [None] * batch.size]
    for name, column in given.items():
        typed, errors = values.from_json(batch.item.fields[name], column)
        batch.columns[name] = typed
        batch.errors = errors | batch.errors
    if not by_id and batch.key is not None and batch.operation == "upsert":
        batch.columns.setdefault(batch.key.name, [ABSENT] * batch.size)
        batch.keys = batch.columns[batch.key.name]


def _relation(batch: Batch, row: int, *, name: str, value: Any, schema: Schema, parents: dict[str, Parent]) -> None:
    lookup = batch.item.by_relationship.get(name.lower())
    if lookup is None:
        message = f"No such column '{name}' on sobject of type {batch.item.name}"
        batch.errors.setdefault(row, RowError("INVALID_FIELD", message))
        return
    if value is None:
        value = {}
    named = {key: one for key, one in value.items() if key != "attributes"} if isinstance(value, dict) else {}
    wanted = attributes_of(value).get("type")
    target = schema.objects[str(wanted) if str(wanted) in lookup.targets else lookup.targets[0]]
    if len(named) != 1:
        message = f"{name}: give exactly one external id field of {target.name}"
        batch.errors.setdefault(row, RowError("INVALID_FIELD", message))
        return
    field_name, wanted_value = next(iter(named.items()))
    key = target.find(field_name)
    if key is None or not key.is_key:
        message = f"Field name provided, {field_name} is not an External ID or indexed field for {target.name}"
        batch.errors.setdefault(row, RowError("INVALID_FIELD", message))
        return
    parent = parents.setdefault(
        f"{name.lower()}.{target.name}.{key.name}", Parent(lookup, target, key, [ABSENT] * batch.size)
    )
    typed, errors = values.from_json(key, [wanted_value])
    parent.values[row] = typed[0]
    if errors:
        batch.errors.setdefault(row, errors[0])


def attributes_of(record: Any) -> Record:
    """The ``attributes`` of a record, empty when it has none that can be read."""
    found = record.get("attributes") if isinstance(record, dict) else None
    return found if isinstance(found, dict) else {}


def check_names(item: SObject, record: Record) -> None:
    """Single record resources refuse an unknown field with the whole request."""
    for name in record:
        if name != "attributes" and item.find(name) is None and name.lower() not in item.by_relationship:
            raise no_column(name, kind=item.name)


def upsert_key(item: SObject, name: str, *, version: float = 60.0) -> Field:
    """The field an upsert names; raises 404 NOT_FOUND when it is no key of the object."""
    found = item.find(name)
    if found is None or not found.is_key:
        message = f"Provided external ID field does not exist or is not accessible: {name}"
        raise ApiError(404, "NOT_FOUND", message)
    return found
