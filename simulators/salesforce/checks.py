"""What every object asks of a row: writeable fields, required fields, living parents, unique values."""

from __future__ import annotations

from collections import defaultdict

from simulators.salesforce.errors import RowError
from simulators.salesforce.matching import UNKNOWN, folded, legal_record_types
from simulators.salesforce.schema import Field
from simulators.salesforce.values import ABSENT
from simulators.salesforce.work import Work


def check_writeable(work: Work) -> None:
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


def check_required(work: Work) -> None:
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


def check_references(work: Work) -> None:
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
        if name == "RecordTypeId":
            living &= legal_record_types(work)
        if wanted <= living:
            continue
        for row, value in enumerate(column):
            if value in wanted and value not in living:
                work.errors.setdefault(row, _bad_reference(work, spec=spec, value=value))


def _bad_reference(work: Work, *, spec: Field, value: str) -> RowError:
    if spec.name == "RecordTypeId":
        message = f"Record Type ID: this ID value isn't valid for the user: {value}"
        return RowError("INVALID_CROSS_REFERENCE_KEY", message, (spec.name,))
    prefixes = [work.store.schema.objects[target].prefix for target in spec.targets]
    if value[:3] in work.store.schema.by_prefix and value[:3] not in prefixes:
        message = f"{spec.label}: id value of incorrect type: {value}"
        return RowError("FIELD_INTEGRITY_EXCEPTION", message, (spec.name,))
    return UNKNOWN


def check_unique(work: Work) -> None:
    for name, column in work.batch.columns.items():
        spec = work.item.fields[name]
        if not spec.unique or (work.batch.operation == "upsert" and spec is work.batch.key):
            continue
        wanted = {value for value in column if value is not ABSENT and value is not None}
        owner = {folded(spec, value): key for value, key in work.store.pairs(work.item, spec, wanted)}
        for row in sorted(work.creates() + work.updates()):
            value = column[row]
            if value is None or value is ABSENT:
                continue
            holder = owner.setdefault(folded(spec, value), work.targets[row] or f"row {row}")
            if holder not in (work.targets[row], f"row {row}"):
                named = "<unknown>" if holder.startswith("row ") else holder[:15]
                message = f"duplicate value found: {name} duplicates value on record with id: {named}"
                work.fail(row, "DUPLICATE_VALUE", message)
