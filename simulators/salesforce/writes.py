"""Writes rows: insert, update, upsert, delete, hardDelete; REST, Collections and Bulk all come here.

Checks run a column at a time over the whole batch, which is what makes bulk loads cheap.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

from simulators.faults import Faults
from simulators.salesforce import ids, rules
from simulators.salesforce.errors import RowError
from simulators.salesforce.locks import Locks, lock_error
from simulators.salesforce.schema import Field
from simulators.salesforce.store import STAMPS, Store
from simulators.salesforce.values import ABSENT
from simulators.salesforce.work import Batch, Parent, Work

GONE = RowError("ENTITY_IS_DELETED", "entity is deleted")
UNKNOWN = RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
NO_RECYCLE_BIN = {"OrderItem"}


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
        _resolve_parents(work)
        _find_targets(work, all_fail=self.settings["duplicate_keys_fail"] == "all")
        _check_writeable(work)
        _check_required(work)
        _check_references(work)
        _check_unique(work)
        rules.before(work)
        self._lock(work)
        _update(work)
        _insert(work)
        rules.after(work)

    def _delete(self, work: Work) -> None:
        _find_by_id(work)
        rules.before_delete(work)
        self._lock(work)
        rows = [(work.targets[row],) for row in work.updates()]
        name = work.item.name
        if work.batch.operation == "hardDelete" or name in NO_RECYCLE_BIN:
            self.store.db.executemany(f'DELETE FROM "{name}" WHERE "Id" = ?', rows)
        else:
            now = self.store.moment()
            sql = f'UPDATE "{name}" SET "IsDeleted" = 1, "LastModifiedDate" = ?, "SystemModstamp" = ? WHERE "Id" = ?'
            self.store.db.executemany(sql, [(now, now, key) for (key,) in rows])

    def _lock(self, work: Work) -> None:
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


def _resolve_parents(work: Work) -> None:
    for parent in work.batch.parents:
        wanted = {value for value in parent.values if value is not ABSENT and value is not None}
        found: dict[Any, list[str]] = defaultdict(list)
        for value, key in work.store.pairs(parent.target, parent.key, wanted):
            found[_folded(parent.key, value)].append(key)
        column = work.batch.columns.setdefault(parent.lookup.name, [ABSENT] * work.batch.size)
        for row, value in enumerate(parent.values):
            if value is not ABSENT:
                column[row] = None if value is None else _one_parent(work, row, parent=parent, found=found)


def _one_parent(work: Work, row: int, *, parent: Parent, found: dict[Any, list[str]]) -> Any:
    value = parent.values[row]
    matches = found.get(_folded(parent.key, value), ())
    if len(matches) == 1:
        return matches[0]
    if matches:
        message = f"More than one record found for external id field: {value}"
        work.fail(row, "DUPLICATE_EXTERNAL_ID", message, parent.key.name)
    else:
        message = (
            f"Foreign key external ID: {value} not found for field {parent.key.name} in entity {parent.target.name}"
        )
        work.fail(row, "INVALID_FIELD", message)
    return ABSENT


def _folded(key: Field, value: Any) -> Any:
    return value.lower() if isinstance(value, str) and not key.case_sensitive and key.name != "Id" else value


def _find_targets(work: Work, *, all_fail: bool) -> None:
    batch = work.batch
    if batch.operation == "insert":
        work.targets, work.created = [None] * batch.size, [True] * batch.size
    elif batch.operation == "update" or (batch.key is not None and batch.key.name == "Id"):
        _find_by_id(work)
    else:
        _find_by_key(work, all_fail=all_fail)


def _find_by_id(work: Work) -> None:
    batch, upsert = work.batch, work.batch.operation == "upsert"
    full = [ids.full(key) if isinstance(key, str) else None for key in batch.keys]
    found = work.store.rows_by_id(work.item, ["IsDeleted"], {key for key in full if key})
    work.created = [False] * batch.size
    work.targets = list(full)
    for row, key in enumerate(full):
        given = batch.keys[row]
        if upsert and (given is None or given is ABSENT or given == ""):
            work.created[row] = True
        elif key is None or not key.startswith(work.item.prefix):
            message = f"{work.item.label} ID: id value of incorrect type: {given if isinstance(given, str) else ''}"
            work.fail(row, "MALFORMED_ID", message, "Id")
        elif key not in found:
            work.errors.setdefault(row, UNKNOWN)
        elif found[key][0]:
            work.errors.setdefault(row, GONE)


def _find_by_key(work: Work, *, all_fail: bool) -> None:
    batch = work.batch
    assert batch.key is not None
    key = batch.key
    exact = key.case_sensitive
    folded = batch.keys if exact else [_folded(key, value) for value in batch.keys]
    usable = {value for value in batch.keys if value is not None and value is not ABSENT}
    found: dict[Any, list[str]] = defaultdict(list)
    for value, record in work.store.pairs(work.item, key, usable):
        found[value if exact else _folded(key, value)].append(record)
    work.targets = [found[value][0] if value in found else None for value in folded]
    work.created = [target is None for target in work.targets]
    if len(usable) < batch.size:
        _refuse_blank_and_repeated(work, folded=folded, all_fail=all_fail)
    for value, records in found.items():
        if len(records) > 1:
            _refuse_ambiguous(work, rows=[row for row, one in enumerate(folded) if one == value], records=records)


def _refuse_ambiguous(work: Work, *, rows: list[int], records: list[str]) -> None:
    assert work.batch.key is not None
    for row in rows:
        message = f"{work.batch.key.name}: more than one record found for external id field: [{', '.join(records)}]"
        work.fail(row, "DUPLICATE_EXTERNAL_ID", message, work.batch.key.name)


def _refuse_blank_and_repeated(work: Work, *, folded: list[Any], all_fail: bool) -> None:
    assert work.batch.key is not None
    name = work.batch.key.name
    counts, seen = Counter(folded), set()
    for row, value in enumerate(folded):
        if value is None or value is ABSENT:
            work.fail(row, "MISSING_ARGUMENT", f"{name} not specified")
        elif counts[value] > 1 and (all_fail or value in seen):
            message = f"Duplicate external id specified: {work.batch.keys[row]}"
            work.fail(row, "DUPLICATE_VALUE", message, name)
        seen.add(value)


def _check_writeable(work: Work) -> None:
    for name, column in work.batch.columns.items():
        spec = work.item.fields[name]
        if (spec.createable and spec.updateable) or name == "Id":
            continue
        rows = work.creates() if not spec.createable else []
        rows += work.updates() if not spec.updateable else []
        for row in rows:
            if column[row] is not ABSENT:
                message = (
                    f"Unable to create/update fields: {name}. Please check the security settings of this field "
                    "and verify that it is read/write for your profile or permission set."
                )
                work.fail(row, "INVALID_FIELD_FOR_INSERT_UPDATE", message, name)


def _check_required(work: Work) -> None:
    creates, updates = work.creates(), work.updates()
    missing: dict[int, list[str]] = defaultdict(list)
    for spec in work.item.fields.values():
        if not spec.required:
            continue
        column = work.batch.columns.get(spec.name, [ABSENT] * work.batch.size)
        rows = [row for row in creates if column[row] is None or column[row] is ABSENT]
        for row in rows + [row for row in updates if column[row] is None]:
            missing[row].append(spec.name)
    for row, names in missing.items():
        work.fail(row, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(names)}]", *names)


def _check_references(work: Work) -> None:
    resolved = {parent.lookup.name for parent in work.batch.parents}
    for name, column in work.batch.columns.items():
        spec = work.item.fields[name]
        if spec.type != "reference" or name in resolved:
            continue
        wanted = {value for value in column if value is not ABSENT and value is not None}
        living = set()
        for target in spec.targets:
            item = work.store.schema.objects[target]
            mine = [value for value in wanted if value.startswith(item.prefix)]
            living |= {key for key, row in work.store.rows_by_id(item, ["IsDeleted"], mine).items() if not row[0]}
        if wanted <= living:
            continue
        for row, value in enumerate(column):
            if value in wanted and value not in living:
                work.errors.setdefault(row, _bad_reference(work, spec=spec, value=value))


def _bad_reference(work: Work, *, spec: Field, value: str) -> RowError:
    prefixes = [work.store.schema.objects[target].prefix for target in spec.targets]
    if value[:3] in work.store.schema.by_prefix and value[:3] not in prefixes:
        message = f"{spec.label}: id value of incorrect type: {value}"
        return RowError("FIELD_INTEGRITY_EXCEPTION", message, (spec.name,))
    return UNKNOWN


def _check_unique(work: Work) -> None:
    for name, column in work.batch.columns.items():
        spec = work.item.fields[name]
        if not spec.unique or (work.batch.operation == "upsert" and spec is work.batch.key):
            continue
        wanted = {value for value in column if value is not ABSENT and value is not None}
        owner = {_folded(spec, value): key for value, key in work.store.pairs(work.item, spec, wanted)}
        for row in sorted(work.creates() + work.updates()):
            value = column[row]
            if value is None or value is ABSENT:
                continue
            holder = owner.setdefault(_folded(spec, value), work.targets[row] or f"row {row}")
            if holder not in (work.targets[row], f"row {row}"):
                named = "<unknown>" if holder.startswith("row ") else holder[:15]
                message = f"duplicate value found: {name} duplicates value on record with id: {named}"
                work.fail(row, "DUPLICATE_VALUE", message)


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
    for name, column in work.batch.columns.items():
        if name != "Id":
            default = work.item.fields[name].default
            fixed.pop(name, None)
            filled[name] = [default if column[row] is ABSENT else column[row] for row in rows]
            if default is not None:
                filled[name] = [default if value is None else value for value in filled[name]]
    names = ", ".join(f'"{name}"' for name in [*filled, *fixed])
    marks = ", ".join(["?"] * len(filled) + [_literal(value) for value in fixed.values()])
    sql = f'INSERT INTO "{work.item.name}" ({names}) VALUES ({marks})'
    work.store.db.executemany(sql, zip(*filled.values(), strict=True))


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
