"""Writes rows: insert, update, upsert, delete, hardDelete; REST, Collections and Bulk all come here.

Checks run a column at a time over the whole batch, which is what makes bulk loads cheap.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from simulators.faults import Faults
from simulators.salesforce import checks, rules
from simulators.salesforce.errors import RowError
from simulators.salesforce.locks import Locks, lock_error
from simulators.salesforce.matching import find_by_id, find_targets, resolve_parents
from simulators.salesforce.store import STAMPS, Store
from simulators.salesforce.values import ABSENT
from simulators.salesforce.work import Batch, Work

NO_RECYCLE_BIN = {"OrderItem"}
ROWS_PER_INSERT = 50


class Outcome(NamedTuple):
    """Per row: the record's Id (None when nothing was written), whether it is new, why it failed."""

    ids: list[str | None]
    created: list[bool]
    errors: dict[int, RowError]


@dataclass(slots=True)
class Writer:
    """The one door through which API writes pass."""

    store: Store
    faults: Faults
    locks: Locks
    settings: dict[str, Any]

    def write(self, batch: Batch) -> Outcome:
        """Write what can be written; the rest is in ``errors``. One transaction."""
        work = Work(batch, self.store)
        self.store.commit_lag_s = float(self.settings["commit_lag_s"])
        self._injected(work)
        self.store.db.execute("SAVEPOINT writing")
        try:
            if batch.operation in ("delete", "hardDelete"):
                self._delete(work)
            else:
                self._save(work)
        except BaseException:
            self.store.db.execute("ROLLBACK TO writing")
            raise
        finally:
            self.store.db.execute("RELEASE writing")
        return Outcome(work.targets, work.created, work.errors)

    def lock_keys(self, work: Work) -> list[list[str]]:
        """Per row what its transaction locks."""
        columns = [column for name, column in work.batch.columns.items() if work.item.fields[name].locks]
        rows: list[list[str]] = []
        for row, (target, new) in enumerate(zip(work.targets, work.created, strict=True)):
            own = [target] if target and not new else []
            rows.append(own + [column[row] for column in columns if column[row] and column[row] is not ABSENT])
        return rows

    def _save(self, work: Work) -> None:
        resolve_parents(work)
        find_targets(work, all_fail=self.settings["duplicate_keys_fail"] == "all")
        checks.check_writeable(work)
        checks.check_required(work)
        checks.check_references(work)
        checks.check_unique(work)
        rules.before(work)
        self._lock(work)
        _update(work)
        _insert(work)
        rules.add_up(work, rules.parents(work))

    def _delete(self, work: Work) -> None:
        find_by_id(work)
        rules.before_delete(work)
        self._lock(work)
        rows, parents = [(work.targets[row],) for row in work.updates()], rules.parents(work)
        name = work.item.name
        if work.batch.operation == "hardDelete" or name in NO_RECYCLE_BIN:
            self.store.db.executemany(f'DELETE FROM "{name}" WHERE "Id" = ?', rows)
        else:
            now = self.store.moment()
            sql = f'UPDATE "{name}" SET "IsDeleted" = 1, "LastModifiedDate" = ?, "SystemModstamp" = ? WHERE "Id" = ?'
            self.store.db.executemany(sql, [(now, now, key) for (key,) in rows])
        rules.add_up(work, parents)

    def _lock(self, work: Work) -> None:
        if not self.settings["row_locks"]:
            return
        owner = work.batch.owner
        foreign = self.locks.foreign(owner)
        if not foreign and (owner is None or not self.locks.contended):
            return
        mine: set[str] = set()
        for row, keys in enumerate(self.lock_keys(work)):
            taken = [key for key in keys if key in foreign]
            if taken:
                work.errors.setdefault(row, lock_error(taken))
            else:
                mine.update(keys)
        if owner is not None:
            self.locks.hold(owner, mine)

    def _injected(self, work: Work) -> None:
        for action in ("row_error", "lock"):
            for rule in self.faults.active(action):
                if rule.spec.get("object") not in (None, work.item.name):
                    continue
                for row in _rows_when(work.batch, rule.spec.get("when")):
                    if rule.spent:
                        break
                    if row not in work.errors and rule.spend():
                        work.errors[row] = _injected_error(rule.spec, row=row, batch=work.batch)


def _rows_when(batch: Batch, when: dict[str, Any] | None) -> list[int]:
    if not when:
        return list(range(batch.size))
    pattern = re.compile(when.get("regex", ""))
    if when["field"] == "Id" and batch.operation != "upsert":
        column: list[Any] = batch.keys
    else:
        column = batch.columns.get(when["field"], [])
    return [row for row, value in enumerate(column) if value is not ABSENT and pattern.search(str(value))]


def _injected_error(spec: dict[str, Any], *, row: int, batch: Batch) -> RowError:
    if spec["action"] == "lock":
        return lock_error([str(batch.keys[row]) if row < len(batch.keys) else batch.item.prefix + "0" * 12 + "AAA"])
    code = spec.get("code", "FIELD_CUSTOM_VALIDATION_EXCEPTION")
    return RowError(code, spec.get("message", "refused by a validation rule"), tuple(spec.get("fields", ())))


def _update(work: Work) -> None:
    rows = work.updates()
    if not rows:
        return
    now, store = work.store.moment(), work.store
    stamps = {"LastModifiedDate": now, "LastModifiedById": store.user_id, "SystemModstamp": now}
    key = work.batch.key.name if work.batch.key and work.batch.operation == "upsert" else "Id"
    columns = {name: column for name, column in work.batch.columns.items() if name not in (key, "Id")}
    for names, group in _by_presence(columns, rows).items():
        sets = [f'"{name}" = ?' for name in names] + [f"\"{name}\" = '{value}'" for name, value in stamps.items()]
        sql = f'UPDATE "{work.item.name}" SET {", ".join(sets)} WHERE "Id" = ?'
        picked = [*(columns[name] for name in names), work.targets]
        whole = len(group) == work.batch.size
        chosen = picked if whole else [[column[row] for row in group] for column in picked]
        store.db.executemany(sql, zip(*chosen, strict=True))


def _by_presence(columns: dict[str, list[Any]], rows: list[int]) -> dict[tuple[str, ...], list[int]]:
    """Rows grouped by which columns they really send, because absent ones must keep their stored value."""
    partial = [name for name, column in columns.items() if ABSENT in column]
    if not partial:
        return {tuple(columns): rows}
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row in rows:
        absent = {name for name in partial if columns[name][row] is ABSENT}
        groups[tuple(name for name in columns if name not in absent)].append(row)
    return groups


def _insert(work: Work) -> None:
    rows = work.creates()
    if not rows:
        return
    fresh = work.store.next_ids(work.item, len(rows))
    for row, key in zip(rows, fresh, strict=True):
        work.targets[row] = key
    filled, fixed = _defaults(work, fresh)
    _name_after_id(work, rows=rows, fresh=fresh)
    for name, column in work.batch.columns.items():
        if name != "Id":
            default = work.item.fields[name].default
            fixed.pop(name, None)
            filled[name] = [default if column[row] is ABSENT else column[row] for row in rows]
            if default is not None:
                filled[name] = [default if value is None else value for value in filled[name]]
    names = ", ".join(f'"{name}"' for name in [*filled, *fixed])
    marks = ", ".join(["?"] * len(filled) + [_literal(value) for value in fixed.values()])
    _insert_all(
        work,
        f'INSERT INTO "{work.item.name}" ({names}) VALUES ',
        f"({marks})",
        list(zip(*filled.values(), strict=True)),
    )


def _insert_all(work: Work, head: str, marks: str, rows: list[tuple[Any, ...]]) -> None:
    """Fifty rows a statement: each statement has its own price."""
    whole = len(rows) - len(rows) % ROWS_PER_INSERT
    packs = [chain.from_iterable(rows[at : at + ROWS_PER_INSERT]) for at in range(0, whole, ROWS_PER_INSERT)]
    work.store.db.executemany(head + ", ".join([marks] * ROWS_PER_INSERT), [tuple(pack) for pack in packs])
    work.store.db.executemany(head + marks, rows[whole:])


def _name_after_id(work: Work, *, rows: list[int], fresh: list[str]) -> None:
    """A record of a custom object that came without a name is named after its id."""
    name = work.item.fields.get("Name")
    if work.item.name.endswith("__c") and name is not None and not name.auto_number:
        for row, key in zip(rows, fresh, strict=True):
            if work.given(row, "Name") is None:
                work.put(row, "Name", key)


def _literal(value: Any) -> str:
    """A constant of all rows, written into the statement: binding it a million times would cost more."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def _defaults(work: Work, fresh: list[str]) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """(columns that differ by row, values that all rows share)."""
    count, store = len(fresh), work.store
    filled: dict[str, list[Any]] = {"Id": fresh}
    fixed: dict[str, Any] = {"IsDeleted": 0} | dict.fromkeys(STAMPS, store.moment())
    for spec in work.item.fields.values():
        if spec.default is not None:
            fixed[spec.name] = spec.default
        elif spec.auto_number:
            first = store.take_numbers(work.item.name, count)
            filled[spec.name] = [f"{number:08d}" for number in range(first, first + count)]
        elif spec.name in ("OwnerId", "CreatedById", "LastModifiedById"):
            fixed[spec.name] = store.user_id
    return filled, fixed
