"""Delta detection: mapped records against markers gives NEW, MODIFIED, DELETED or unchanged.

The fingerprint is md5 (its lower 64 bits) of a canonical text of the mapped payload: mapping version first, then
every field in the mapping's order, each formatted once by its type, nulls marked, lengths in front of text so that
no value can imitate a separator. It depends on nothing a library may change: golden values stand in a test.
"""

from __future__ import annotations

from collections.abc import Mapping as Lookups
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from commerce_sync.binding import Types
from commerce_sync.mapping import Field, Mapping

NULL_MARK = "chr(0)"
SEPARATOR = "chr(31)"
TEXTS = ("VARCHAR", "TEXT", "STRING", "CHAR", "BLOB", "ENUM")

Merged = Lookups[str, str]
"""Object of the target system -> relation of its aliases (``lost``, ``now``: external ids); see ``ledger.aliases``."""


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


def only_keyed(mapping: Mapping) -> bool:
    """Whether a leg has nothing of its own to send beside the key: what is agreed on is then all there is to say.

    A leg that deletes needs markers with the target's ids, which only a delivery gives.
    """
    theirs = {item.name for item in mapping.fields if item.shared is None}
    return bool(shared(mapping)) and theirs <= {mapping.target.external_id} and mapping.target.on_delete == "ignore"


def values(mapping: Mapping) -> dict[str, tuple[Field, ...]]:
    """The shared values by name. Several fields under one name are one value: their texts, joined by a blank.

    So a shop that keeps one name and a CRM that keeps two halves of it can agree; the fields are sent together.
    """
    found: dict[str, tuple[Field, ...]] = {}
    for item in shared(mapping):
        assert item.shared is not None
        found[item.shared.name] = (*found.get(item.shared.name, ()), item)
    return found


def target_key(mapping: Mapping) -> str:
    """SQL: what the target knows a changed record by: its external id, or the target's own id where it is no field."""
    name = mapping.target.external_id
    if name not in {item.name for item in mapping.fields}:
        return "_target_id"
    return f"CAST({quoted(name)} AS VARCHAR)"


def value_type(fields: Sequence[Field], types: Types) -> str:
    """DuckDB type of a shared value."""
    return types[fields[0].name] if len(fields) == 1 else "VARCHAR"


def leaves(fields: Sequence[Field]) -> bool:
    """Whether a null of a shared value leaves what the target has."""
    return all(item.on_null == "leave" for item in fields)


def value_text(fields: Sequence[Field]) -> str:
    """SQL: a shared value as a person reads it."""
    texts = [f"CAST({quoted(item.name)} AS VARCHAR)" for item in fields]
    return texts[0] if len(texts) == 1 else f"nullif(trim(concat_ws(' ', {', '.join(texts)})), '')"


def mark(fields: Sequence[Field], types: Types) -> str:
    """SQL: a shared value as both legs compare it, md5 of its canonical text; null for null and for an empty text.

    Several targets keep no empty text, and trim what they are given: the two sides would never agree on white space,
    so blanks at the ends and the number of those between words make no difference.
    """
    kind = value_type(fields, types)
    text = canonical(quoted(fields[0].name) if len(fields) == 1 else value_text(fields), kind, lengths=False)
    if _is_text(kind):
        text = f"trim(regexp_replace({text}, '\\s+', ' ', 'g'))"
    return f"md5(nullif({text}, ''))"


def mapped(mapping: Mapping, *, records: str, types: Types, merged: Merged | None = None) -> str:
    """SQL: one row per record with ``_key``, ``_wanted`` and the target fields, cast to their bound types.

    A record that was merged away at the target is not wanted; references to one lead to the record it lives on in.
    """
    fields = ", ".join(f"{_cast(item.value, types[item.name])} AS {quoted(item.name)}" for item in mapping.fields)
    wanted = f"coalesce(({mapping.where})::BOOLEAN, false)" if mapping.where else "true"
    rows = f"SELECT CAST({mapping.key} AS VARCHAR) AS _key, {wanted} AS _wanted, {fields} FROM ({records}) AS record"
    return _following(mapping, rows, types, merged) if merged else rows


def _following(mapping: Mapping, rows: str, types: Types, merged: Merged) -> str:
    """SQL: the mapped rows after the merges of the target system."""
    joins, columns = [], []
    for number, item in enumerate(mapping.fields):
        table = merged.get(item.lookup.object) if item.lookup else None
        if table is None:
            columns.append(f"r.{quoted(item.name)}")
            continue
        joins.append(f"LEFT JOIN {table} AS a{number} ON a{number}.lost = CAST(r.{quoted(item.name)} AS VARCHAR)")
        followed = _cast(f"a{number}.now", types[item.name])
        columns.append(f"coalesce({followed}, r.{quoted(item.name)}) AS {quoted(item.name)}")
    own_table, own_id = merged.get(mapping.target.object), mapping.target.external_id
    wanted = "r._wanted"
    if own_table and own_id in types:
        joins.append(f"LEFT JOIN {own_table} AS own ON own.lost = CAST(r.{quoted(own_id)} AS VARCHAR)")
        wanted = "r._wanted AND own.lost IS NULL AS _wanted"
    return f"SELECT r._key, {wanted}, {', '.join(columns)} FROM ({rows}) AS r {' '.join(joins)}"


def _cast(expression: str, type_text: str) -> str:
    return f"CAST(({expression}) AS {type_text})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What detection compares.

    records: SQL of the source records.   markers: SQL with key, fingerprint, target_id.   rejects: SQL with key,
    status, fingerprint, attempts, next_attempt.   complete: the records are all there are, so a missing key is gone.
    agreed: SQL with key, name, type, value of what the pair agreed on, for a leg with shared fields.
    merged: aliases of the target's objects.   edited: SQL of the keys whose values a person replaced, if any: they are
    sent although the target may have them as they were.
    """

    mapping: Mapping
    types: Types
    records: str
    markers: str
    rejects: str
    complete: bool
    agreed: str = ""
    merged: Merged = field(default_factory=dict)
    edited: str = ""

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


def _mapped(comparison: Comparison) -> str:
    mapping, records = comparison.mapping, comparison.records
    return mapped(mapping, records=records, types=comparison.types, merged=comparison.merged)


def keyed(comparison: Comparison) -> str:
    """SQL: ``_key``, ``_wanted``, ``_fingerprint`` of every record.

    With shared fields also ``_marker``, the fingerprint of the others, which is what the marker remembers, and
    ``_differs``: whether some shared value is not the agreed one.
    """
    inner = _mapped(comparison)
    version = comparison.mapping.version
    value = fingerprint(comparison.types, version=version)
    if not comparison.shares:
        return f"SELECT _key, _wanted, {value} AS _fingerprint FROM ({inner})"
    marker = fingerprint(own(comparison.mapping, comparison.types), version=version)
    return f"""SELECT _key, _wanted, {value} AS _fingerprint, {marker} AS _marker, {_differs(comparison)} AS _differs
        FROM ({inner}) LEFT JOIN ({_agreed(comparison)}) ON _agreed_key = _key"""


def _agreed(comparison: Comparison) -> str:
    """SQL: one row per key with, for each shared value, whether it is agreed on and on which value."""
    columns = []
    for number, (name, fields) in enumerate(values(comparison.mapping).items()):
        this = f"name = {literal(name)} AND type = {literal(value_type(fields, comparison.types))}"
        columns.append(f"bool_or({this}) AS _known{number}, max(value) FILTER ({this}) AS _agreed{number}")
    return f"SELECT key AS _agreed_key, {', '.join(columns)} FROM ({comparison.agreed}) GROUP BY key"


def _differs(comparison: Comparison) -> str:
    parts = []
    for number, fields in enumerate(values(comparison.mapping).values()):
        value = mark(fields, comparison.types)
        part = f"(_known{number} IS NOT TRUE OR _agreed{number} IS DISTINCT FROM {value})"
        parts.append(f"({part} AND {value} IS NOT NULL)" if leaves(fields) else part)
    return " OR ".join(parts)


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def settled(comparison: Comparison, *, of: str = "") -> str:
    """SQL: whether the target has a record as it is; ``of``: prefix of the columns of ``keyed``."""
    as_mapped = f" AND {of}_key NOT IN ({comparison.edited})" if comparison.edited else ""
    if comparison.shares:
        own = "true" if only_keyed(comparison.mapping) else f"m.fingerprint = {of}_marker"
        return f"{own} AND NOT {of}_differs{as_mapped}"
    return f"m.fingerprint = {of}_fingerprint{as_mapped}"


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
    """A refused payload that has not changed waits for its next attempt; what is parked, dismissed or undone stays."""
    return f"""(r.fingerprint = {current} AND (r.status IN ('parked', 'dismissed', 'undone')
                OR (r.status = 'rejected' AND r.next_attempt > now_at)))""".replace("now_at", "getvariable('now')")


def payload(comparison: Comparison, *, changed_table: str) -> str:
    """SQL of the change batch: key, kind, fingerprint, known target id, then the target fields in order."""
    names = [quoted(item.name) for item in comparison.mapping.fields]
    inner = _mapped(comparison)
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
