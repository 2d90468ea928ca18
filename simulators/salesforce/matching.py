"""Which records a batch means: parents given by key, targets given by id or external id."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from simulators.salesforce import ids
from simulators.salesforce.errors import RowError
from simulators.salesforce.schema import Field
from simulators.salesforce.values import ABSENT
from simulators.salesforce.work import Parent, Work

GONE = RowError("ENTITY_IS_DELETED", "entity is deleted")
UNKNOWN = RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")


def resolve_parents(work: Work) -> None:
    for parent in work.batch.parents:
        wanted = {value for value in parent.values if value is not ABSENT and value is not None}
        found: dict[Any, list[str]] = defaultdict(list)
        legal = legal_record_types(work) if parent.target.name == "RecordType" else None
        for value, key in work.store.pairs(parent.target, parent.key, wanted):
            if legal is None or key in legal:
                found[folded(parent.key, value)].append(key)
        column = work.batch.columns.setdefault(parent.lookup.name, [ABSENT] * work.batch.size)
        for row, value in enumerate(parent.values):
            if value is not ABSENT:
                column[row] = None if value is None else _one_parent(work, row, parent=parent, found=found)


def legal_record_types(work: Work) -> set[str]:
    return {kind.id for kind in work.item.record_types}


def _one_parent(work: Work, row: int, *, parent: Parent, found: dict[Any, list[str]]) -> Any:
    value = parent.values[row]
    matches = found.get(folded(parent.key, value), ())
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


def folded(key: Field, value: Any) -> Any:
    return value.lower() if isinstance(value, str) and not key.case_sensitive and key.name != "Id" else value


def find_targets(work: Work, *, all_fail: bool) -> None:
    batch = work.batch
    if batch.operation == "insert":
        work.targets, work.created = [None] * batch.size, [True] * batch.size
    elif batch.operation == "update" or (batch.key is not None and batch.key.name == "Id"):
        find_by_id(work)
    else:
        _find_by_key(work, all_fail=all_fail)


def find_by_id(work: Work) -> None:
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
    values = batch.keys if exact else [folded(key, value) for value in batch.keys]
    usable = {value for value in batch.keys if value is not None and value is not ABSENT}
    found: dict[Any, list[str]] = defaultdict(list)
    for value, record in work.store.pairs(work.item, key, usable):
        found[value if exact else folded(key, value)].append(record)
    work.targets = [found[value][0] if value in found else None for value in values]
    work.created = [target is None for target in work.targets]
    different = usable if exact else {value for value in values if value is not None and value is not ABSENT}
    if len(different) < batch.size:
        _refuse_blank_and_repeated(work, values=values, all_fail=all_fail)
    for value, records in found.items():
        if len(records) > 1:
            _refuse_ambiguous(work, rows=[row for row, one in enumerate(values) if one == value], records=records)


def _refuse_ambiguous(work: Work, *, rows: list[int], records: list[str]) -> None:
    assert work.batch.key is not None
    for row in rows:
        message = f"{work.batch.key.name}: more than one record found for external id field: [{', '.join(records)}]"
        work.fail(row, "DUPLICATE_EXTERNAL_ID", message, work.batch.key.name)


def _refuse_blank_and_repeated(work: Work, *, values: list[Any], all_fail: bool) -> None:
    assert work.batch.key is not None
    name = work.batch.key.name
    counts, seen = Counter(values), set()
    for row, value in enumerate(values):
        if value is None or value is ABSENT:
            work.fail(row, "MISSING_ARGUMENT", f"{name} not specified")
        elif counts[value] > 1 and (all_fail or value in seen):
            message = f"Duplicate external id specified: {work.batch.keys[row]}"
            work.fail(row, "DUPLICATE_VALUE", message, name)
        seen.add(value)
