"""An administrator at work: fields that are made, changed, renamed, hidden from the user or removed while others call.

The control API has them as records of kind ``FieldDefinition`` with keys like ``Account.Phone``:

POST   /_sim/records/FieldDefinition                 [an entry as in include/salesforce/fields.yaml, ..]
PATCH  /_sim/records/FieldDefinition/Account.Phone   {"length": 20}, {"updateable": false}, {"name": "Telephone__c"}, ..
DELETE /_sim/records/FieldDefinition/Account.Phone   removed, or without access: to the API it is the same

A reset brings the org back as it was delivered.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from simulators.salesforce import custom
from simulators.salesforce.schema import NUMBER_TYPES, Field, SObject
from simulators.salesforce.store import Store
from simulators.system import Row

KIND = "FieldDefinition"
LEGAL = [item.name for item in fields(Field)]


class Alterations:
    """Changes to the fields of one org, and the way back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._delivered = {name: dict(item.fields) for name, item in store.schema.objects.items()}

    def restore(self) -> None:
        """Give every object the fields it was delivered with; the tables are made anew by the reset."""
        for name, item in self._store.schema.objects.items():
            if item.fields != self._delivered[name]:
                item.fields = dict(self._delivered[name])
                item.index()

    def records(self, where: dict[str, str]) -> tuple[list[Row], int]:
        found = [{"Id": f"{item.name}.{spec.name}", "object": item.name} | {name: getattr(spec, name) for name in LEGAL}
                 for item in self._store.schema.objects.values() for spec in item.fields.values()]  # fmt: skip
        rows = [row for row in found if all(str(row.get(name)) == value for name, value in where.items())]
        return rows, len(rows)

    def add(self, rows: list[Row]) -> int:
        for row in rows:
            item = self._object(row["object"])
            self._put(item, custom._field(row, path=custom.CUSTOM))
        return len(rows)

    def change(self, key: str, values: dict[str, Any]) -> None:
        item, spec = self._found(key)
        if unknown := set(values) - set(LEGAL):
            raise ValueError(f"a field has no {sorted(unknown)}; it has: {', '.join(LEGAL)}")
        wanted = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        changed = replace(spec, **wanted)
        if changed.name != spec.name:
            self._store.db.execute(f'ALTER TABLE "{item.name}" RENAME COLUMN "{spec.name}" TO "{changed.name}"')
        item.fields = {changed.name if name == spec.name else name: changed if name == spec.name else one
                       for name, one in item.fields.items()}  # fmt: skip
        item.index()

    def remove(self, key: str) -> None:
        item, spec = self._found(key)
        item.fields = {name: one for name, one in item.fields.items() if name != spec.name}
        item.index()

    def _put(self, item: SObject, spec: Field) -> None:
        known = {row[1] for row in self._store.db.execute(f'PRAGMA table_info("{item.name}")')}
        if spec.name not in known:
            kind = "REAL" if spec.type in NUMBER_TYPES else "INTEGER" if spec.type in ("int", "boolean") else "TEXT"
            self._store.db.execute(f'ALTER TABLE "{item.name}" ADD COLUMN "{spec.name}" {kind}')
        item.fields = {**item.fields, spec.name: spec}
        item.index()

    def _found(self, key: str) -> tuple[SObject, Field]:
        kind, _, name = key.partition(".")
        item = self._object(kind)
        spec = item.find(name)
        if spec is None:
            raise LookupError(f"{kind} has no field {name!r}; it has: {', '.join(item.fields)}")
        return item, spec

    def _object(self, kind: str) -> SObject:
        item = self._store.schema.find(kind)
        if item is None:
            raise LookupError(f"object {kind!r} is unknown; legal: {', '.join(self._store.schema.objects)}")
        return item
