"""One set of rows on its way into the store: what was asked, what is known, what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulators.salesforce.errors import RowError
from simulators.salesforce.schema import Field, SObject
from simulators.salesforce.store import Store
from simulators.salesforce.values import ABSENT


@dataclass(slots=True)
class Parent:
    """A lookup given by the parent's external id: ``Account.Commerce_Id__c`` for ``AccountId``."""

    lookup: Field
    target: SObject
    key: Field
    values: list[Any]


@dataclass(slots=True)
class Batch:
    """Rows as typed columns; ABSENT marks what was not sent.

    keys: ids for update and delete, values of ``key`` for upsert, unused for insert.
    """

    item: SObject
    operation: str
    size: int
    columns: dict[str, list[Any]] = field(default_factory=dict)
    key: Field | None = None
    keys: list[Any] = field(default_factory=list)
    parents: list[Parent] = field(default_factory=list)
    errors: dict[int, RowError] = field(default_factory=dict)
    owner: str | None = None


@dataclass(slots=True)
class Work:
    """A batch while it is checked: ``targets`` has the Id of the record each row will change."""

    batch: Batch
    store: Store
    targets: list[str | None] = field(default_factory=list)
    created: list[bool] = field(default_factory=list)

    @property
    def errors(self) -> dict[int, RowError]:
        return self.batch.errors

    @property
    def item(self) -> SObject:
        return self.batch.item

    def fail(self, row: int, code: str, message: str, *fields: str) -> None:
        """Refuse one row; the first reason stays."""
        self.errors.setdefault(row, RowError(code, message, fields))

    def creates(self) -> list[int]:
        return [row for row, new in enumerate(self.created) if new and row not in self.errors]

    def updates(self) -> list[int]:
        targets, errors = self.targets, self.errors
        return [row for row, new in enumerate(self.created) if not new and targets[row] and row not in errors]

    def given(self, row: int, name: str) -> Any:
        """The sent value, None when it is absent."""
        column = self.batch.columns.get(name)
        value = column[row] if column is not None else None
        return None if value is ABSENT else value

    def sends(self, row: int, name: str) -> bool:
        column = self.batch.columns.get(name)
        return column is not None and column[row] is not ABSENT

    def put(self, row: int, name: str, value: Any) -> None:
        """Set a value the platform derives."""
        self.batch.columns.setdefault(name, [ABSENT] * self.batch.size)[row] = value

    def stored(self, rows: list[int], *names: str) -> dict[int, tuple[Any, ...]]:
        """The present values of the records that rows will change."""
        found = self.store.rows_by_id(self.item, list(names), [str(self.targets[row]) for row in rows])
        return {row: found[str(self.targets[row])] for row in rows if self.targets[row] in found}

    def linked(self, rows: list[int], lookup: str, *names: str) -> dict[int, tuple[Any, ...]]:
        """Values of the record each row's lookup points at."""
        target = self.store.schema.objects[self.item.fields[lookup].targets[0]]
        wanted = {self.given(row, lookup) for row in rows} - {None}
        found = self.store.rows_by_id(target, list(names), wanted)
        return {row: found[self.given(row, lookup)] for row in rows if self.given(row, lookup) in found}
