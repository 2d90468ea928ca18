"""Delta detection: mapped records against markers gives NEW, MODIFIED, DELETED or unchanged.

The fingerprint is md5 (its lower 64 bits) of a canonical text of the mapped payload: mapping version first, then
every field in the mapping's order, each formatted once by its type, nulls marked, lengths in front of text so that
no value can imitate a separator. It depends on nothing a library may change: golden values stand in a test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from commerce_sync.binding import Types
from commerce_sync.mapping import Field, Mapping

NULL_MARK = "chr(0)"
SEPARATOR = "chr(31)"
TEXTS = ("VARCHAR", "TEXT", "STRING", "CHAR", "BLOB", "ENUM")


def canonical(column: str, type_text: str, *, lengths: bool = True) -> str:
    """SQL text of one value as the target would see it.

    -0.0 is 0, NaN and infinity are null, decimals keep their scale, doubles have 15 digits, timestamps are UTC
    milliseconds, text is NFC with its length in front, nested values are JSON.
    """
    base = type_text.upper().partition("(")[0].strip()
    if type_text.endswith("]") or base in ("STRUCT", "MAP", "JSON", "UNION"):
        return _text(f"CAST(to_json({column}) AS VARCHAR)")
    if base in ("DOUBLE", "FLOAT", "REAL"):
        finite = f"CASE WHEN isfinite({column}) THEN {column} + 0.0 END"
        return f"format('{{:.15g}}', {finite})"
    if base.startswith("TIMESTAMP") or base == "DATETIME":
        return f"CAST(epoch_us({column}) // 1000 AS VARCHAR)"
    if base in TEXTS:
        return _text(f"nfc_normalize({column})") if lengths else f"nfc_normalize({column})"
    return f"CAST({column} AS VARCHAR)"


def _text(expression: str) -> str:
    return f"strlen({expression}) || ':' || {expression}"


def fingerprint(fields: Types, *, version: int) -> str:
    """SQL of the fingerprint (UBIGINT) over columns named and typed as in ``fields``, in that order.

    Values are joined as they are; only a row in which some text holds a separator or a null mark gets lengths in front
    of its texts, under a version mark of its own. Prefixing every text would cost a third more.
    """
    plain, guarded = (_joined(fields, version=version, lengths=lengths) for lengths in (False, True))
    texts = [quoted(name) for name, type_text in fields.items() if _is_text(type_text)]
    strange = " OR ".join(f"contains({name}, {mark})" for name in texts for mark in (SEPARATOR, NULL_MARK))
    joined = f"CASE WHEN {strange} THEN {guarded} ELSE {plain} END" if strange else plain
    return f"md5_number_lower({joined})::UBIGINT"


def _joined(fields: Types, *, version: int, lengths: bool) -> str:
    mark = f"'v{version}{'l' if lengths else ''}'"
    values = (
        f"coalesce({canonical(quoted(name), kind, lengths=lengths)}, {NULL_MARK})" for name, kind in fields.items()
    )
    return f"concat_ws({SEPARATOR}, {', '.join((mark, *values))})"


def _is_text(type_text: str) -> bool:
    return type_text.upper().partition("(")[0].strip() in TEXTS and not type_text.endswith("]")


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def shared(mapping: Mapping) -> tuple[Field, ...]:
    """The fields that the other side of the pair may edit too."""
    return tuple(item for item in mapping.fields if item.shared is not None)


def own(mapping: Mapping, types: Types) -> Types:
    """The fields that only this leg carries; for a leg without shared fields that is all of them."""
    theirs = {item.name for item in shared(mapping)}
    return {name: kind for name, kind in types.items() if name not in theirs}


def mark(column: str, type_text: str) -> str:
    """SQL: a shared value as both legs compare it, md5 of its canonical text; null for null and for an empty text.

    Several targets keep no empty text: the two sides would never agree on one.
    """
    text = canonical(column, type_text, lengths=False)
    return f"md5(nullif({text}, ''))"


def mapped(mapping: Mapping, *, records: str, types: Types) -> str:
    """SQL: one row per record with ``_key``, ``_wanted`` and the target fields, cast to their bound types."""
    fields = ", ".join(f"{_cast(item.value, types[item.name])} AS {quoted(item.name)}" for item in mapping.fields)
    wanted = f"coalesce(({mapping.where})::BOOLEAN, false)" if mapping.where else "true"
    return f"SELECT CAST({mapping.key} AS VARCHAR) AS _key, {wanted} AS _wanted, {fields} FROM ({records}) AS record"


def _cast(expression: str, type_text: str) -> str:
    return f"CAST(({expression}) AS {type_text})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What detection compares.

    records: SQL of the source records.   markers: SQL with key, fingerprint, target_id.   rejects: SQL with key,
    status, fingerprint, attempts, next_attempt.   complete: the records are all there are, so a missing key is gone.
    agreed: SQL with key, name, type, value of what the pair agreed on, for a leg with shared fields.
    """

    mapping: Mapping
    types: Types
    records: str
    markers: str
    rejects: str
    complete: bool
    agreed: str = ""

    @property
    def deletes(self) -> bool:
        """Whether missing keys are looked for."""
        return self.complete and self.mapping.target.on_delete != "ignore"

    @property
    def takes_back(self) -> bool:
        """Whether a delivered record that no longer meets ``where`` is deleted at the target."""
        target = self.mapping.target
        return target.on_leave == "delete" and target.on_delete != "ignore" and self.mapping.where is not None

    @property
    def shares(self) -> bool:
        """Whether the other side may edit some of the fields."""
        return bool(shared(self.mapping))


def narrowed(comparison: Comparison, condition: str) -> Comparison:
    """The same comparison over the records that meet a condition, so that only those get mapped."""
    return replace(comparison, records=f"SELECT * FROM ({comparison.records}) AS record WHERE {condition}")


def keyed(comparison: Comparison) -> str:
    """SQL: ``_key``, ``_wanted``, ``_fingerprint`` of every record.

    With shared fields also ``_marker``, the fingerprint of the others, which is what the marker remembers, and
    ``_differs``: whether some shared value is not the agreed one.
    """
    inner = mapped(comparison.mapping, records=comparison.records, types=comparison.types)
    version = comparison.mapping.version
    value = fingerprint(comparison.types, version=version)
    if not comparison.shares:
        return f"SELECT _key, _wanted, {value} AS _fingerprint FROM ({inner})"
    marker = fingerprint(own(comparison.mapping, comparison.types), version=version)
    return f"""SELECT _key, _wanted, {value} AS _fingerprint, {marker} AS _marker, {_differs(comparison)} AS _differs
        FROM ({inner}) LEFT JOIN ({_agreed(comparison)}) ON _agreed_key = _key"""


def _agreed(comparison: Comparison) -> str:
    """SQL: one row per key with, for each shared field, whether it is agreed on and on which value."""
    columns = []
    for number, item in enumerate(shared(comparison.mapping)):
        assert item.shared is not None
        this = f"name = {literal(item.shared.name)} AND type = {literal(comparison.types[item.name])}"
        columns.append(f"bool_or({this}) AS _known{number}, max(value) FILTER ({this}) AS _agreed{number}")
    return f"SELECT key AS _agreed_key, {', '.join(columns)} FROM ({comparison.agreed}) GROUP BY key"


def _differs(comparison: Comparison) -> str:
    parts = []
    for number, item in enumerate(shared(comparison.mapping)):
        column = quoted(item.name)
        value = mark(column, comparison.types[item.name])
        part = f"(_known{number} IS NOT TRUE OR _agreed{number} IS DISTINCT FROM {value})"
        parts.append(f"({part} AND {value} IS NOT NULL)" if item.on_null == "leave" else part)
    return " OR ".join(parts)


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def settled(comparison: Comparison, *, of: str = "") -> str:
    """SQL: whether the target has a record as it is; ``of``: prefix of the columns of ``keyed``."""
    if comparison.shares:
        return f"m.fingerprint = {of}_marker AND NOT {of}_differs"
    return f"m.fingerprint = {of}_fingerprint"


def verdicts(comparison: Comparison, *, keyed_table: str) -> str:
    """SQL: one row per key with ``verdict`` (unchanged, filtered, waiting, NEW, MODIFIED, DELETED)."""
    join = "FULL JOIN" if comparison.deletes else "LEFT JOIN"
    left = "WHEN NOT k._wanted AND m.key IS NOT NULL"
    taken = f"{left} AND {_held('0')} THEN 'waiting'\n{left} THEN 'DELETED'\n" if comparison.takes_back else ""
    return f"""
        SELECT coalesce(k._key, m.key) AS _key, k._fingerprint AS _fingerprint, m.target_id AS _target_id,
               CASE WHEN k._key IS NULL AND {_held("0")} THEN 'waiting'
                    WHEN k._key IS NULL THEN 'DELETED'
                    {taken}WHEN NOT k._wanted THEN 'filtered'
                    WHEN {settled(comparison, of="k.")} THEN 'unchanged'
                    WHEN {_held("k._fingerprint")} THEN 'waiting'
                    WHEN m.key IS NULL THEN 'NEW'
                    ELSE 'MODIFIED' END AS verdict
        FROM {keyed_table} AS k {join} ({comparison.markers}) AS m ON m.key = k._key
        LEFT JOIN ({comparison.rejects}) AS r ON r.key = coalesce(k._key, m.key)"""


def _held(current: str) -> str:
    """A refused payload that has not changed waits until its next attempt is due; parked and dismissed ones stay."""
    return f"""(r.fingerprint = {current} AND (r.status IN ('parked', 'dismissed')
                OR (r.status = 'rejected' AND r.next_attempt > now_at)))""".replace("now_at", "getvariable('now')")


def payload(comparison: Comparison, *, changed_table: str) -> str:
    """SQL of the change batch: key, kind, fingerprint, known target id, then the target fields in order."""
    names = [quoted(item.name) for item in comparison.mapping.fields]
    inner = mapped(comparison.mapping, records=comparison.records, types=comparison.types)
    nulls = ", ".join(
        f"NULL::{comparison.types[item.name]} AS {quoted(item.name)}" for item in comparison.mapping.fields
    )
    columns = ", ".join(f"p.{name}" for name in names)
    live = f"""SELECT c._key, c.verdict AS _kind, c._fingerprint, c._target_id, {columns}
               FROM {changed_table} AS c JOIN ({inner}) AS p ON p._key = c._key WHERE c.verdict <> 'DELETED'"""
    if not (comparison.deletes or comparison.takes_back):
        return live
    gone = f"""SELECT _key, 'DELETED' AS _kind, 0::UBIGINT AS _fingerprint, _target_id, {nulls}
               FROM {changed_table} WHERE verdict = 'DELETED'"""
    return f"{live} UNION ALL {gone}"


def digest(column: str = "_key") -> str:
    """SQL aggregate: an order-independent digest of keys that notices a lost, doubled or swapped one."""
    return f"CAST(coalesce(sum(hash({column})::HUGEINT) % 18446744073709551616, 0) AS VARCHAR)"
