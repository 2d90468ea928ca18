"""What a run, or a person at the error desk, leaves in the history."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from commerce_sync import changes, disguise
from commerce_sync.errors import BalanceError
from commerce_sync.history import ERROR_COLUMNS, MASK
from commerce_sync.ledger import MarkerFile, RejectAnswer
from commerce_sync.leg import LegRun, Site

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

DESK = "desk-"
"""Runs with names that begin like this are what people said."""
EDIT_DROPPED = "EDIT_DROPPED"
OUTCOMES = {"retry": "retried", "dismiss": "dismissed", "edit": "edited"}


def masked_payload(leg: LegRun) -> str:
    """SQL: the payload as JSON text, personal values masked."""
    pairs = []
    for item in leg.mapping.fields:
        name = changes.quoted(item.name)
        value = f"CASE WHEN {name} IS NULL THEN NULL ELSE '{MASK}' END" if item.pii else name
        pairs.append(f"{changes.literal(item.name)}, {value}")
    return f"CAST(json_object({', '.join(pairs)}) AS VARCHAR)"


def masked_reason(leg: LegRun) -> str:
    """SQL: the far side's sentence without the personal values it quotes, and without any e-mail address.

    One or two letters would hit any word. Far sides also quote a part of a value: its longer words go as words.
    """
    text = "_reason"
    personal = [f"CAST({changes.quoted(item.name)} AS VARCHAR)" for item in leg.mapping.fields if item.pii]
    for item in (item for item in leg.mapping.fields if item.pii):
        value = f"CAST({changes.quoted(item.name)} AS VARCHAR)"
        text = f"replace({text}, CASE WHEN length({value}) > 2 THEN {value} ELSE '' END, '{MASK}')"
    text = f"regexp_replace({text}, '{disguise.ADDRESS_SQL}', '{MASK}', 'g')"
    return f"regexp_replace({text}, {_any_word(personal)}, '{MASK}', 'g')" if personal else text


def _any_word(values: list[str]) -> str:
    """SQL: a pattern of the words of some values that have more than three characters; of none, one that never is."""
    split = f"regexp_split_to_array(concat_ws(' ', {', '.join(values)}), '[^\\pL\\pN]+')"
    words = f"list_distinct(list_filter({split}, lambda word: length(word) > 3))"
    return f"'\\b(?:' || coalesce(nullif(array_to_string({words}, '|'), ''), '[^\\s\\S]') || ')\\b'"


def extras(leg: LegRun, con: duckdb.DuckDBPyConnection) -> str:
    """SQL of what the history knows of a delivered change ``c`` beyond its marker; ``r``: its result."""
    has_rejects = con.execute("SELECT count(*) FROM rejects_table").fetchall()[0][0]
    tried = "(SELECT max(p.attempts) FROM rejects_table AS p WHERE p.key = c._key AND p.fingerprint = c._fingerprint)"
    attempt = f"coalesce({tried}, 0) + 1" if has_rejects else "1"
    return f"c._kind AS kind, r.created, ({attempt})::INTEGER AS attempt, {_job(leg)} AS job, r.message_id"


def _job(leg: LegRun) -> str:
    """SQL: the remote job a row of ``r`` travelled in: the one its load names, or the only one the run had."""
    only = {item.remote_id for item in leg.site.ledger.jobs(leg.leg, leg.id).all() if item.remote_id}
    return f"coalesce(r.job, {changes.literal(only.pop())})" if len(only) == 1 else "r.job"


def refuse_altered(leg: LegRun, con: duckdb.DuckDBPyConnection, delta: MarkerFile, delivered: str) -> None:
    """What will be remembered has to be what was delivered: a marker too many hides a record for good.

    delivered: SQL the delta was made from. Raises BalanceError.
    """
    columns = "key, fingerprint::UBIGINT, target_id, gone::BOOLEAN, kind, created, attempt, job, message_id"
    mark = f"count(*), sum(hash({columns})::HUGEINT)"
    kept = f"SELECT {mark} FROM {leg.site.ledger.files.scan([delta])}"
    if con.execute(f"SELECT {mark} FROM ({delivered})").fetchall() != con.execute(kept).fetchall():
        raise BalanceError(
            f"leg {leg.leg}: the markers of run {leg.id} are not what it delivered; nothing is committed"
        )


def record(leg: LegRun, con: duckdb.DuckDBPyConnection, delta: MarkerFile) -> None:
    """Write the run's part of the history, before it settles: written again by another try, it is the same.

    delta: the markers of what was delivered, with ``extras``. Uses the views of ``commit``.
    """
    history = leg.site.history
    if history is None:
        return
    refused = f"""SELECT n.key, c._kind AS kind, coalesce(r.target_id, c._target_id) AS target_id, r.created,
            n.attempts AS attempt, {_job(leg)} AS job, r.message_id,
            coalesce(r.outcome, CASE n.code WHEN 'held' THEN 'held' ELSE 'quarantined' END) AS outcome,
            n.code, n.reason_class, n.reason, n.payload
        FROM new_rejects AS n JOIN changes AS c ON c._key = n.key LEFT JOIN results AS r ON r._key = n.key"""
    delivered = leg.site.ledger.files.uri(delta.name), delta.rows
    at = max(leg.now, datetime.now(UTC))  # a step may be at work for hours
    history.write(con, leg=leg.leg, run=leg.id, at=at, delivered=delivered, refused=refused)


def note_said(site: Site, leg: str | None = None) -> int:
    """Bring what people said about rejects into the history; gives the number of rows.

    Killed in between, the next call writes the same rows at the same address again.
    """
    if site.history is None:
        return 0
    waiting = site.ledger.said(leg=leg, noted=False)
    for name in dict.fromkeys(item.leg for item in waiting):
        mine = [item for item in waiting if item.leg == name]
        for is_over in (False, True):
            some = [item for item in mine if _is_overtaken(item) == is_over]
            if some:
                _note(site, name, some, run=f"{DESK}{some[0].id}{'-dropped' if is_over else ''}")
    site.ledger.note_said([item.id for item in waiting])
    return len(waiting)


def _is_overtaken(item: RejectAnswer) -> bool:
    """The source changed before its edited values arrived."""
    return item.status == "dropped" and item.run is not None


def _note(site: Site, leg: str, said: list[RejectAnswer], *, run: str) -> None:
    assert site.history is not None
    last = {item.key: item for item in said}
    known = {item.key: item for item in site.ledger.find_rejects([leg], keys=list(last))}
    rows = [_said_row(item, known.get(item.key)) for item in last.values()]
    at = max(filter(None, (item.closed_at if _is_overtaken(item) else item.answered_at for item in said)))
    with site.history.files.connect() as con:
        con.register("said", _table(rows))
        site.history.put_errors(con, leg=leg, run=run, at=at, rows=f"SELECT {', '.join(ERROR_COLUMNS)} FROM said")


def _said_row(item: RejectAnswer, reject: Any) -> dict[str, Any]:
    words = f"{item.answered_by}: {item.reason}" if item.reason else item.answered_by
    same = reject is not None and reject.fingerprint == item.fingerprint
    row: dict[str, Any] = {
        "key": item.key, "kind": "MODIFIED" if item.fingerprint else "DELETED", "outcome": OUTCOMES[item.action],
        "attempt": reject.attempts if same else 0, "reason": words, "code": reject.code if same else None,
        "reason_class": reject.reason_class if same else None, "payload": reject.payload if same else None,
    }  # fmt: skip
    if item.shown:
        row["payload"] = {**(row["payload"] or {}), **item.shown}
    if _is_overtaken(item):
        since = f"{item.answered_at:%Y-%m-%d %H:%M} UTC"
        row |= {"outcome": "dismissed", "code": EDIT_DROPPED, "reason_class": None,
                "reason": f"the record changed at its source after {item.answered_by} edited it on {since}: its own "
                "values go"}  # fmt: skip
    return row


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    kinds = {"created": pa.bool_(), "attempt": pa.int32()}
    fields = pa.schema([(name, kinds.get(name, pa.string())) for name in ERROR_COLUMNS])
    texts = [row | {"payload": json.dumps(row["payload"]) if row["payload"] else None} for row in rows]
    return pa.table([pa.array([row.get(field.name) for row in texts], field.type) for field in fields], fields)
