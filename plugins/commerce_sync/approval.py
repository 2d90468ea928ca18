"""Approval: changes that a person has to agree to before they are sent.

``hold`` runs after the gate. Rows that meet the leg's condition are set aside like quarantined ones, with the code
``held``: not sent, offered again by every later run. (A delete has no values: a condition like ``Id__c IS NULL`` on the
external id holds deletes.) With more changes than the leg's limit the whole run is held. What
a person says is kept in the ledger for that very payload, by fingerprint: another payload is asked about again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from commerce_sync import changes, editing
from commerce_sync.batches import Batch
from commerce_sync.errors import ConfigurationError, GuardError
from commerce_sync.leg import CHANGES, CHECK, VERDICTS, LegRun, intact

if TYPE_CHECKING:
    import duckdb

GATE, HOLD = "gate", "hold"
HELD = "held"
WHOLE = "*"
"""Stands for the key in the question about a whole run; no record's key is a lone asterisk."""
EXAMPLES, COLUMNS = 5, 8
MASK = "***"


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked about one run of one leg; nothing in it is personal.

    changes: rows the run would send, held ones included.   held: rows that wait for the answer, by kind.   refused:
    rows that were refused before and stay set aside.   whole: all of the run waits.   examples: key, kind and values.
    """

    leg: str
    run: str
    changes: int
    held: dict[str, int]
    refused: int
    whole: bool
    reasons: tuple[str, ...]
    examples: tuple[dict[str, Any], ...] = ()
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def waits(self) -> bool:
        """Whether there is something to ask."""
        return self.whole or bool(self.held)

    def brief(self) -> dict[str, Any]:
        """What may travel in XCom."""
        return {"held": sum(self.held.values()), "refused_before": self.refused, "whole_run_held": self.whole}


@dataclass(frozen=True, slots=True)
class Answer:
    """Who said what; ``by`` is None when nobody answered in time."""

    approved: bool
    by: str | None
    reason: str | None = None

    @property
    def status(self) -> Literal["approved", "refused"]:
        return "approved" if self.approved else "refused"


Ask = Callable[[Question], Answer | None]
"""Gives a person's answer, or None when nobody is there to ask: then what is held stays held."""


def hold(leg: LegRun) -> Question | None:
    """Set aside what needs an answer and has none; None for a leg that needs no approval, else what to ask.

    Raises GuardError when this very run was refused before.
    """
    if leg.mapping.approval is None:
        return None
    with leg.timed(HOLD):
        con = _open(leg)
        _keep_gate(leg, con)
        con.execute(f"CREATE TEMP TABLE held AS {_held_rows(leg)}")
        whole = _whole(leg, con)
        _ask(leg, con, whole)
        _clear_stale(leg, con, whole)
        with leg.write(HOLD) as into:
            into.facts = {"whole": None if whole is None else str(whole)}
            into.copy(con, "SELECT * FROM held")
        _refuse_refused(leg, whole)
        _set_aside(leg, con)
        return _question(leg, con)


def question(leg: LegRun) -> Question:
    """What is still to be asked about a run that ``hold`` has seen."""
    con = _open(leg)
    _read_held(leg, con)
    return _question(leg, con)


def settle(leg: LegRun, asked: Question, answer: Answer | None) -> dict[str, Any]:
    """Keep the answer and let the approved rows go. Raises GuardError when a whole run is not approved."""
    with leg.timed(HOLD):
        con = _open(leg)
        _read_held(leg, con)
        _keep_answer(leg, con, asked, answer)
        refuse_unapproved(leg)
        return {"answer": answer.status if answer else "none", "set_aside": _set_aside(leg, con)}


def refuse_unapproved(leg: LegRun) -> None:
    """The last look before sending: a run that is held as a whole needs its yes. Raises GuardError."""
    if leg.mapping.approval is None:
        return
    whole = _whole_of(leg)
    if whole is not None and _answer_to_whole(leg, whole) != "approved":
        raise GuardError(
            f"leg {leg.leg}: run {leg.id} has more changes than may be sent without approval, and nobody approved it; "
            f"nothing was sent. {_how_to_answer(leg)}"
        )


def _how_to_answer(leg: LegRun) -> str:
    return f"To let the next run send the same changes: python -m commerce_sync approve {leg.leg} '{WHOLE}' --by NAME"


# What is held


def _open(leg: LegRun) -> duckdb.DuckDBPyConnection:
    con = leg.connect()
    found = f"SELECT * FROM {intact(con, leg.read(CHANGES)).scan()}"
    con.execute(f"CREATE TEMP VIEW changes AS {editing.told_apart(leg, found)}")
    con.register("holds_table", leg.site.ledger.holds_table(leg.leg))
    return con


def _keep_gate(leg: LegRun, con: duckdb.DuckDBPyConnection) -> None:
    """Copy what the gate found: from here on its batch also holds what waits, and changes with the answer."""
    checked = intact(con, leg.read(CHECK))
    with leg.write(GATE) as into:
        into.copy(con, f"SELECT * FROM {checked.scan()}" if checked.parts else _no_rows())
    con.execute(f"CREATE TEMP VIEW gate AS SELECT * FROM {leg.read(GATE).scan()}")


def _no_rows() -> str:
    return "SELECT NULL::VARCHAR AS _key, NULL::VARCHAR AS expectation, NULL::VARCHAR AS reason WHERE false"


def _held_rows(leg: LegRun) -> str:
    """SQL of the rows that meet the leg's condition: _key, _kind, fingerprint, reason, payload (masked JSON)."""
    rule = leg.mapping.approval.rows if leg.mapping.approval else None
    known = leg.site.ledger.markers_sql(leg.state)
    reason = f"needs approval: {rule}".replace("'", "''")
    # A delete has no payload; what it deletes is what was delivered last.
    gone = "md5_number_lower(concat_ws(':', 'DELETED', c._key, m.fingerprint))::UBIGINT"
    return f"""SELECT c._key, c._kind, '{reason}' AS reason, {_masked(leg)} AS payload,
            CASE WHEN c._kind = 'DELETED' THEN {gone} ELSE c._fingerprint END AS fingerprint
        FROM (SELECT * FROM changes WHERE coalesce(({rule or "false"})::BOOLEAN, false)) AS c
        LEFT JOIN ({known}) AS m ON m.key = c._key AND c._kind = 'DELETED'
        WHERE c._key NOT IN (SELECT _key FROM gate)"""


def _masked(leg: LegRun) -> str:
    """SQL: the payload as JSON text, personal values masked."""
    pairs = []
    for item in leg.mapping.fields:
        name = f"c.{changes.quoted(item.name)}"
        value = f"CASE WHEN {name} IS NULL THEN NULL ELSE '{MASK}' END" if item.pii else name
        pairs.append(f"'{item.name}', {value}")
    return f"CAST(json_object({', '.join(pairs)}) AS VARCHAR)"


def _whole(leg: LegRun, con: duckdb.DuckDBPyConnection) -> int | None:
    """The fingerprint of all changes together, when there are more of them than may go without approval."""
    limit = leg.mapping.approval.changes if leg.mapping.approval else None
    if limit is None:
        return None
    guard, found = leg.mapping.guards.max_changes, leg.read(CHANGES)
    rows = max(leg.state.markers, int(found.facts.get("extracted", 0)))
    allowed = min(item.allowed(rows) for item in (limit, guard) if item is not None)
    count, mark = con.execute("""SELECT count(*), bit_xor(md5_number_lower(concat_ws(':', _key, _kind, _fingerprint)))
        FROM changes WHERE _key NOT IN (SELECT _key FROM gate)""").fetchall()[0]
    return int(mark) % 2**64 if count > allowed else None


def _ask(leg: LegRun, con: duckdb.DuckDBPyConnection, whole: int | None) -> None:
    """Put the questions into the ledger; what was answered for the same payload keeps its answer."""
    rows = "SELECT _key AS key, fingerprint, reason, payload FROM held"
    if whole is not None:
        rows += f" UNION ALL SELECT '{WHOLE}', {whole}::UBIGINT, 'more changes than may be sent without approval', NULL"
    leg.site.ledger.put_holds(leg.leg, run=leg.id, rows=con.sql(rows).to_arrow_table())
    _look_again(leg, con)


def _look_again(leg: LegRun, con: duckdb.DuckDBPyConnection) -> None:
    con.unregister("holds_table")
    con.register("holds_table", leg.site.ledger.holds_table(leg.leg))


def _clear_stale(leg: LegRun, con: duckdb.DuckDBPyConnection, whole: int | None) -> None:
    """Forget questions that no longer are any: the record changed, or changed back."""
    verdicts = intact(con, leg.read(VERDICTS)).scan()
    over = f"OR key = '{WHOLE}'" if whole is None else ""
    keys = con.execute(f"""SELECT key FROM holds_table WHERE status <> 'approved' AND key NOT IN (SELECT _key FROM held)
        AND (key IN (SELECT _key FROM {verdicts}) {over})""").fetchall()
    leg.site.ledger.clear_holds(leg.leg, keys=[key for (key,) in keys])


def _refuse_refused(leg: LegRun, whole: int | None) -> None:
    if whole is not None and _answer_to_whole(leg, whole) == "refused":
        raise GuardError(
            f"leg {leg.leg}: these changes were refused before; nothing was sent. {_how_to_answer(leg)}, or correct "
            "the source: other changes are asked about again"
        )


def _answer_to_whole(leg: LegRun, whole: int) -> str:
    found = (item for item in leg.site.ledger.holds(leg.leg) if item.key == WHOLE and item.fingerprint == whole)
    return next((item.status for item in found), "waiting")


# What is set aside, what is asked


def _read_held(leg: LegRun, con: duckdb.DuckDBPyConnection) -> None:
    """Take up what ``hold`` found, in a later step."""
    for name, step in (("held", HOLD), ("gate", GATE)):
        con.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM {intact(con, leg.read(step)).scan()}")


WAITING = """SELECT held.*, coalesce(h.status, 'waiting') AS status FROM held
    LEFT JOIN holds_table AS h ON h.key = held._key AND h.fingerprint = held.fingerprint
    WHERE coalesce(h.status, 'waiting') <> 'approved'"""
"""Held rows without a yes to this very payload."""


def _set_aside(leg: LegRun, con: duckdb.DuckDBPyConnection) -> int:
    """What does not go: what failed the gate, and what is held; gives the number of the latter."""
    rows = f"SELECT _key, '{HELD}' AS expectation, reason || ' (' || status || ')' AS reason FROM ({WAITING})"
    con.execute(f"CREATE OR REPLACE TEMP TABLE aside AS SELECT * FROM gate UNION ALL {rows}")
    _refuse_late(leg, con)
    with leg.write(CHECK) as into:
        into.copy(con, "SELECT * FROM aside")
    total, held = con.execute(f"SELECT count(*), count(*) FILTER (expectation = '{HELD}') FROM aside").fetchall()[0]
    leg.note(quarantined=total)
    return int(held)


def _refuse_late(leg: LegRun, con: duckdb.DuckDBPyConnection) -> None:
    """Remote jobs know their rows by position: once some were made the selection must stay as it is."""
    before = leg.find(CHECK)
    if before is None or not before.parts or not leg.site.ledger.jobs(leg.leg, leg.id).all():
        return
    query = f"(SELECT _key FROM {intact(con, before).scan()}) EXCEPT SELECT _key FROM aside"
    if con.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0]:
        raise ConfigurationError(
            f"leg {leg.leg}: run {leg.id} has begun to send, so an answer cannot change any more what it sends; "
            "the next run asks again"
        )


def _question(leg: LegRun, con: duckdb.DuckDBPyConnection) -> Question:
    _look_again(leg, con)
    whole = _whole_of(leg)
    waits = f"SELECT * FROM ({WAITING}) WHERE status = 'waiting'"
    asks_whole = whole is not None and _answer_to_whole(leg, whole) == "waiting"
    rule = leg.mapping.approval.rows if leg.mapping.approval else None
    held = dict(con.execute(f"SELECT _kind, count(*) FROM ({waits}) GROUP BY _kind ORDER BY _kind").fetchall())
    if asks_whole:
        held = dict(con.execute("SELECT _kind, count(*) FROM changes GROUP BY _kind ORDER BY _kind").fetchall())
    reasons = [f"rows that meet: {rule}"] if rule and held and not asks_whole else []
    reasons += ["more changes than this leg may send without approval"] if asks_whole else []
    every = f"SELECT c.*, {_masked(leg)} AS payload FROM changes AS c"
    return Question(
        leg=leg.leg,
        run=leg.id,
        changes=leg.read(CHANGES).rows,
        held=held,
        refused=_count(con, f"SELECT count(*) FROM ({WAITING}) WHERE status = 'refused'"),
        whole=asks_whole,
        reasons=tuple(reasons),
        examples=_examples(leg, con, every if asks_whole else waits),
    )


def _whole_of(leg: LegRun) -> int | None:
    batch: Batch | None = leg.find(HOLD)
    mark = batch.facts.get("whole") if batch else None
    return None if mark is None else int(mark)


def _examples(leg: LegRun, con: duckdb.DuckDBPyConnection, rows: str) -> tuple[dict[str, Any], ...]:
    found = con.execute(f"SELECT _key, _kind, payload FROM ({rows}) ORDER BY _kind, _key LIMIT {EXAMPLES}").fetchall()
    hides = _key_is_personal(leg)
    return tuple({"key": MASK if hides else key, "kind": kind} | _shown(payload) for key, kind, payload in found)


def _key_is_personal(leg: LegRun) -> bool:
    """A key that is an e-mail address in the target must not be shown although the ledger goes by it."""
    key = leg.mapping.key.strip()
    return any(item.pii and item.value.strip() in (key, f"lower({key})") for item in leg.mapping.fields)


def _shown(payload: str) -> dict[str, Any]:
    values = {name: value for name, value in json.loads(payload).items() if value is not None}
    return dict(list(values.items())[:COLUMNS])


def _keep_answer(leg: LegRun, con: duckdb.DuckDBPyConnection, asked: Question, answer: Answer | None) -> None:
    """An answer to the whole run covers its rows when it is a yes; a no leaves them to be asked about again."""
    if answer is None or (asked.whole and answer.by is None):
        return
    questions = f"SELECT '{WHOLE}' AS _key, {_whole_of(leg)}::UBIGINT AS fingerprint" if asked.whole else ""
    if answer.approved or not asked.whole:
        questions += (" UNION ALL " if questions else "") + "SELECT _key, fingerprint FROM held"
    # Only what was asked about these very payloads: meanwhile another run may have asked about others.
    rows = con.execute(f"""SELECT _key FROM ({questions}) AS q JOIN holds_table AS h
        ON h.key = q._key AND h.fingerprint = q.fingerprint WHERE h.status = 'waiting'""").fetchall()
    keys = [key for (key,) in rows]
    by = answer.by or "nobody"
    reason = answer.reason or (None if answer.by else "no answer in time")
    leg.site.ledger.answer_holds(
        leg.leg, keys=keys, status=answer.status, by=by, reason=reason, asked_until=asked.asked_at
    )
    _look_again(leg, con)


def _count(con: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(con.execute(query).fetchall()[0][0])


def markdown(asked: Question) -> str:
    """The question for people: what is held, how much of it, and a few masked examples."""
    what = "The whole run" if asked.whole else f"{sum(asked.held.values())} of {asked.changes} changes"
    lines = [f"**{what}** of leg `{asked.leg}` (run `{asked.run}`) waits for approval."]
    lines += [f"- {reason}" for reason in asked.reasons]
    if asked.refused:
        lines.append(f"- {asked.refused} more were refused before and stay set aside")
    lines += ["", "| kind | changes |", "|---|---|"]
    lines += [f"| {kind} | {count} |" for kind, count in asked.held.items()]
    names = list(dict.fromkeys(name for row in asked.examples for name in row))
    lines += ["", "Examples, personal values masked:", "", _row(names), _row(["---"] * len(names))]
    lines += [_row([row.get(name, "") for name in names]) for row in asked.examples]
    refused = "nothing of this run is sent" if asked.whole else "these stay set aside, the others are sent"
    return "\n".join([*lines, "", f"Approve: they are sent in this run. Refuse: {refused}."])


def _row(values: list[Any]) -> str:
    cells = (str(value).replace("|", "\\|").replace("\n", " ")[:60] for value in values)
    return f"| {' | '.join(cells)} |"
