"""Marks: what a leg leaves in its target's records so that both sides can be compared by sums.

mark     31 bits of what the record's marker remembers: another value of any field makes another mark
bucket   one of 1,000, by the record's key alone; a target adds up the marks of each in one question
cell     one of 50 within a bucket, by the key as well; asked for where a bucket's sum differs

The marker of a delivered record gives the same three, so that what the target should hold is known without asking it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from commerce_sync import changes, editing
from commerce_sync.batches import Batch
from commerce_sync.changes import literal, quoted
from commerce_sync.leg import LegRun, intact
from commerce_sync.mapping import Field, Target

if TYPE_CHECKING:
    import duckdb

MARKED = "marked"
"""Batch: the change batch with the marks beside the values."""
BUCKETS, CELLS = 1000, 50
MODULUS = 2**31 - 1
"""Sums of 4 million marks are exact in a double, which is how JSON carries them."""
ASIDE = "#double:"
"""Stands between a record's key and a target's id in the key of a marker for a record that should not be there."""
_ORIGIN = "origin"


def mark(fingerprint: str) -> str:
    """SQL of the mark of a marker's fingerprint."""
    return f"CAST({fingerprint} % {MODULUS} AS BIGINT)"


def bucket(key: str) -> str:
    """SQL of the bucket of a key, three digits."""
    return f"lpad(CAST({_place(key)} % {BUCKETS} AS VARCHAR), 3, '0')"


def cell(key: str) -> str:
    """SQL of the cell of a key, two digits."""
    return f"lpad(CAST({_place(key)} // {BUCKETS} % {CELLS} AS VARCHAR), 2, '0')"


def _place(key: str) -> str:
    """The same number in every version of the libraries."""
    return f"md5_number_lower({key})::UBIGINT"


def marker(leg: LegRun) -> str:
    """SQL: what the marker remembers of a change (a row of ``sent``): its fingerprint, without the pair's values.

    Of an edited one it remembers the values the mapping made. Needs view ``edits_met`` where a run met edits.
    """
    if not changes.shared(leg.mapping):
        return "_fingerprint"
    sent = changes.fingerprint(changes.own(leg.mapping, leg.types), version=leg.mapping.version)
    mapped = f"(SELECT max(e.marker) FROM edits_met AS e WHERE e._key = sent._key AND e.verdict = '{editing.APPLY}')"
    return f"coalesce({mapped}, {sent})" if leg.find(editing.EDITED) else sent


def expected(markers: str) -> str:
    """SQL: key, fingerprint, target_id, bucket, cell, mark of every record that should be there, from its marker.

    is_sure: whether its mark is known; a record that is to be sent anyway may hold any.
    """
    return f"""SELECT key, fingerprint, target_id, {bucket("key")} AS bucket, {cell("key")} AS cell,
            {mark("fingerprint")} AS mark, coalesce(fingerprint, 0) <> 0 AS is_sure
        FROM ({markers}) WHERE NOT contains(key, {literal(ASIDE)})"""


def marked(leg: LegRun, con: duckdb.DuckDBPyConnection, sending: Batch) -> tuple[Batch, tuple[Field, ...]]:
    """The batch to send with its marks, and the fields with those that hold them; as they are for a leg without.

    The same batch again when a killed load is repeated: remote jobs know their rows by position.
    """
    compare, fields = leg.mapping.target.compare, leg.mapping.fields
    if compare is None:
        return sending, fields
    fields += tuple(Field(name, name) for name in compare.names)
    origin, before = [part.name for part in sending.parts], leg.find(MARKED)
    if before is not None and before.facts.get(_ORIGIN) == origin:
        return intact(con, before), fields
    con.execute(f"CREATE OR REPLACE TEMP VIEW edits_met AS {editing.scan(leg)}")
    values = (mark(marker(leg)), bucket("_key"), cell("_key"))
    columns = ", ".join(
        f"CASE WHEN _kind <> 'DELETED' THEN {value} END AS {quoted(name)}"
        for name, value in zip(compare.names, values, strict=True)
    )
    with leg.write(MARKED) as into:
        into.facts[_ORIGIN] = origin
        into.copy(con, f"SELECT *, {columns} FROM {sending.scan()} AS sent")
    return leg.read(MARKED), fields


def aim(target: Target) -> Target:
    """The target, told to take the marks off what it only switches off: that is not to be there any more."""
    if target.compare is None or not isinstance(target.on_delete, dict):
        return target
    return replace(target, on_delete=target.on_delete | dict.fromkeys(target.compare.names, "NULL"))


def by_bucket(rows: str) -> str:
    """SQL: bucket, rows, marks of what ``expected`` gives."""
    return f"SELECT bucket, count(*) AS rows, sum(mark)::BIGINT AS marks FROM {rows} GROUP BY bucket"


def by_cell(rows: str) -> str:
    """SQL: bucket, cell, rows, marks of what ``expected`` gives."""
    return f"SELECT bucket, cell, count(*) AS rows, sum(mark)::BIGINT AS marks FROM {rows} GROUP BY bucket, cell"
