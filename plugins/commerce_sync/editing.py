"""Edited rejects: values a person gave go in place of the mapped ones, as long as the source says what it said then.

An edit is about one fingerprint, that of the values the mapping made. Those stay what the marker remembers: a record
that arrived with edited values is unchanged for the next run, and a later change of the source goes as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping as Values
from typing import TYPE_CHECKING, Any

from commerce_sync import changes
from commerce_sync.binding import Types
from commerce_sync.changes import literal, quoted
from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import RejectAnswer, Said
from commerce_sync.leg import CHANGES, LegRun
from commerce_sync.mapping import Mapping

if TYPE_CHECKING:
    import duckdb

EDITED = "edited"
"""Batch: the edits a run met, as ``_edits`` has them, with ``verdict`` (apply, drop), ``marker``, and ``sent``, the
fingerprint of what goes instead."""
ANSWERS = "answers"
"""Fact of a change batch: number of the last word about rejects that its detection knew of."""
APPLY, DROP = "apply", "drop"


def legal(mapping: Mapping) -> dict[str, str]:
    """Fields that may be edited -> why the others may not, ``''`` for those that may."""
    return {item.name: _objection(mapping, item.name) for item in mapping.fields}


def _objection(mapping: Mapping, name: str) -> str:
    if name == mapping.target.external_id:
        return "it is what the target knows the record by"
    if name in {item.name for item in changes.shared(mapping)}:
        return "both sides may edit it: change it on one of them"
    return ""


def refuse_illegal(mapping: Mapping, types: Types, values: Values[str, Any]) -> None:
    """Raises ConfigurationError for a field that is not there or may not be edited, or a value of another type."""
    found = legal(mapping)
    allowed = ", ".join(name for name, objection in found.items() if not objection)
    for name in values:
        objection = found.get(name, "the mapping has no such field")
        if objection:
            raise ConfigurationError(
                f"leg {mapping.leg}: field {name!r} cannot be edited: {objection}; may be: {allowed}"
            )
    for name, value in values.items():
        if not _casts(types[name], value):
            raise ConfigurationError(
                f"leg {mapping.leg}: field {name!r} is {types[name]}, and {value!r} is no value of it; give one, or "
                "null to clear it"
            )


def _casts(type_text: str, value: Any) -> bool:
    import duckdb

    if value is None:
        return True
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        edited = json.dumps({"value": value})
        try:
            found = con.execute(f"SELECT {_value('$1', 'value', type_text)}", [edited]).fetchall()[0][0]
        except duckdb.Error:
            return False
    return found is not None


def _value(edited: str, name: str, type_text: str) -> str:
    """SQL of one edited value, null when it is none of its type."""
    pointer = literal("/" + name.replace("~", "~0").replace("/", "~1"))
    nested = type_text.endswith("]") or type_text.upper().startswith(("STRUCT", "MAP", "JSON"))
    return f"TRY_CAST(({edited})::JSON {'->' if nested else '->>'} {pointer} AS {type_text})"


def meet(leg: LegRun, con: duckdb.DuckDBPyConnection) -> str:
    """Table ``edits`` of the open edits about records of table ``keyed``; gives SQL of keys to send whatever else.

    An edit is dropped when its record's own values have changed, or when the mapping no longer takes it.
    """
    found = leg.site.ledger.said(leg=leg.leg, status="open")
    con.execute("CREATE OR REPLACE TEMP TABLE edits (id BIGINT, _key VARCHAR, fingerprint UBIGINT, edited VARCHAR, "
                "legal BOOLEAN, verdict VARCHAR, marker UBIGINT, sent UBIGINT)")  # fmt: skip
    if found:
        rows = [(item.id, item.key, item.fingerprint, json.dumps(item.edited), _is_legal(leg, item)) for item in found]
        con.executemany("INSERT INTO edits VALUES (?, ?, ?, ?, ?, NULL, NULL, NULL)", rows)
        marker = "k._marker" if changes.shared(leg.mapping) else "k._fingerprint"
        con.execute(f"""UPDATE edits SET marker = {marker}, verdict = CASE
            WHEN legal AND k._fingerprint = edits.fingerprint THEN '{APPLY}' ELSE '{DROP}' END
            FROM keyed AS k WHERE k._key = edits._key""")
        if leg.complete:
            con.execute(f"UPDATE edits SET verdict = '{DROP}' WHERE verdict IS NULL")
        con.execute("DELETE FROM edits WHERE verdict IS NULL")
    return f"SELECT _key FROM edits WHERE verdict = '{APPLY}'"


def _is_legal(leg: LegRun, item: RejectAnswer) -> bool:
    try:
        refuse_illegal(leg.mapping, leg.types, item.edited or {})
    except ConfigurationError:
        return False
    return True


def keep(leg: LegRun, con: duckdb.DuckDBPyConnection, payload: str) -> None:
    """Leave table ``edits`` for the steps that follow; the batch of an earlier try goes. payload: from ``applied``."""
    if con.execute("SELECT count(*) FROM edits").fetchall()[0][0]:
        value = changes.fingerprint(leg.types, version=leg.mapping.version)
        con.execute(f"""UPDATE edits SET sent = p.sent FROM (SELECT _key, {value} AS sent FROM ({payload})
            WHERE _key IN (SELECT _key FROM edits)) AS p WHERE p._key = edits._key AND verdict = '{APPLY}'""")
        with leg.write(EDITED) as into:
            into.copy(con, "SELECT * FROM edits")
    elif before := leg.find(EDITED):
        leg.site.batches.remove(before.uri)


def applied(leg: LegRun, con: duckdb.DuckDBPyConnection, payload: str) -> str:
    """SQL of the change batch with the values of table ``edits`` in it."""
    rows = con.execute(f"SELECT edited FROM edits WHERE verdict = '{APPLY}'").fetchall()
    names = sorted({name for (text,) in rows for name in json.loads(text)})
    if not names:
        return payload
    given = ", ".join(
        f"CASE WHEN list_contains(json_keys(e.edited), {literal(name)}) "
        f"THEN {_value('e.edited', name, leg.types[name])} ELSE p.{quoted(name)} END AS {quoted(name)}"
        for name in names
    )
    return f"""SELECT p.* REPLACE ({given}) FROM ({payload}) AS p
        LEFT JOIN (SELECT _key, edited FROM edits WHERE verdict = '{APPLY}') AS e ON e._key = p._key"""


def scan(leg: LegRun) -> str:
    """SQL of the edits the run's detection met: id, _key, fingerprint, edited, verdict, marker, sent."""
    batch = leg.find(EDITED)
    if batch is None or not batch.parts:
        return """SELECT NULL::BIGINT AS id, NULL::VARCHAR AS _key, NULL::UBIGINT AS fingerprint,
            NULL::VARCHAR AS edited, NULL::VARCHAR AS verdict, NULL::UBIGINT AS marker,
            NULL::UBIGINT AS sent WHERE false"""
    return f"SELECT * FROM {batch.scan()}"


def told_apart(leg: LegRun, rows: str) -> str:
    """SQL of change rows in which an edited one has a fingerprint of its own: a yes to its old values is none to it."""
    batch = leg.find(EDITED)
    if batch is None or not batch.parts:
        return rows
    mark = "md5_number_lower(concat_ws(':', 'EDITED', c._fingerprint, e.id))::UBIGINT"
    return f"""SELECT c.* REPLACE (CASE WHEN e.id IS NULL THEN c._fingerprint ELSE {mark} END AS _fingerprint)
        FROM ({rows}) AS c LEFT JOIN ({scan(leg)}) AS e ON e._key = c._key AND e.verdict = '{APPLY}'"""


def open_keys(leg: LegRun, *, but: Said) -> list[str]:
    """Records whose edited values are still to be sent; ``but``: without the edits this run ends."""
    over = {*but.done, *but.dropped}
    return [item.key for item in leg.site.ledger.said(leg=leg.leg, status="open") if item.id not in over]


def heeded(leg: LegRun, con: duckdb.DuckDBPyConnection, *, read: int) -> Said:
    """What the run did with the edits it met; uses the views ``edits_met`` and ``results``."""
    done = f"""SELECT id FROM edits_met AS e JOIN results AS r ON r._key = e._key
        WHERE e.verdict = '{APPLY}' AND r.outcome = 'delivered'"""
    ids = [[number for (number,) in con.execute(query).fetchall()]
           for query in (done, f"SELECT id FROM edits_met WHERE verdict = '{DROP}'")]  # fmt: skip
    seen = int(leg.read(CHANGES).facts.get(ANSWERS, read))
    return Said(seen=seen, read=read, done=ids[0], dropped=ids[1])
