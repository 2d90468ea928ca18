"""How an undo ends: its balance, and a ledger that says of every undone record what is true now.

marker      what was taken for delivered before the run; where somebody else had a hand in the record, a payload that
            no mapping makes, so that whatever the source says next is sent
hold        the payload the source was known to offer waits as ``undone`` (deletes as well): the next run does not do
            again what was undone, until the source says something else or a person lets it go (``redo``)
pair        a restored shared value is the agreed one: the other leg does not carry the undo into the source
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from commerce_sync import agreement, changes, delivery
from commerce_sync import leg as legs
from commerce_sync.before_images import UNDO, UNDONE, Frame
from commerce_sync.leg import CHANGES, LOAD, STATE_VERSION, LegRun
from commerce_sync.undo_compare import MASK, frame_of, listing, payload

if TYPE_CHECKING:
    import duckdb

    from commerce_sync.ledger import PairMove, Run

MARKS = "marks"
"""Batch of an undo: per record that is sent, the marker and the hold it gets when it arrives."""
CONFLICT = "UNDO_CONFLICT"
NO_MAPPING = "0::UBIGINT"
"""Fingerprint of no payload (see ``changes``): a marker with it differs from whatever is mapped."""


def write(work: LegRun, was: LegRun, con: duckdb.DuckDBPyConnection, frame: Frame) -> None:
    """Leave what ``compare`` found for the steps that follow: changes, marks, and the list of what becomes of each."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE later AS {_later(was)}")
    value = changes.fingerprint(frame.types, version=0)
    with work.write(UNDO) as into:
        into.copy(con, f"SELECT * FROM ({listing()}) ORDER BY _key, field")
    with work.write(MARKS) as into:
        into.copy(con, _marks(was))
    counts = counts_of(con)
    with work.write(CHANGES) as into:
        into.facts = {**counts, STATE_VERSION: work.state.version,
                      "personal": sorted(name for name, item in frame.fields.items() if item.pii)}  # fmt: skip
        into.copy(
            con,
            f"""SELECT _key, _kind, CASE WHEN _kind = 'DELETED' THEN 0::UBIGINT ELSE {value} END
            AS _fingerprint, * EXCLUDE (_key, _kind) FROM ({payload(frame)})""",
        )
    digest = con.execute(f"SELECT {changes.digest()} FROM said").fetchall()[0][0]
    work.note(**counts, digest=digest, read=0)


def counts_of(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """The balance so far: records of the run are unchanged (as they were before), left (filtered), or sent."""
    found = dict(con.execute("SELECT verdict, count(*) FROM said GROUP BY verdict").fetchall())
    names = {"unchanged": "same", "filtered": "conflict", "new": "NEW", "modified": "MODIFIED", "deleted": "DELETED"}
    return {"extracted": sum(found.values()), "waiting": 0} | {
        name: found.get(verdict, 0) for name, verdict in names.items()
    }


def _later(was: LegRun) -> str:
    """SQL: what runs after the undone one made of its records: _key, offer (null for an undo), the newest first."""
    parts = ["SELECT NULL::VARCHAR AS _key, NULL::UBIGINT AS offer, 0 AS age WHERE false"]
    runs = [item for item in was.site.ledger.runs(was.leg, limit=100_000) if item.started > was.run.started]
    for age, run in enumerate(item for item in runs if item.settled):
        batch = was.site.batches.find(was.leg, run.run, CHANGES)
        if batch is not None and batch.rows:
            offer = "NULL" if run.kind == "undo" else "CASE WHEN _kind = 'DELETED' THEN 0 ELSE _fingerprint END"
            parts.append(f"SELECT _key, ({offer})::UBIGINT, {age} FROM {batch.scan()}")
    return " UNION ALL ".join(parts)


def _marks(was: LegRun) -> str:
    """SQL: _key, and after its delivery: ``marker`` (null: none), ``hold`` (null: nothing is held back)."""
    own = "m._hold" if was.run.kind == "undo" else "CASE WHEN m._kind = 'DELETED' THEN 0 ELSE m._fingerprint END"
    whole = "s.left_alone = 0 AND m._key NOT IN (SELECT _key FROM later)"
    offered = "(SELECT arg_min(offer, age) FROM later WHERE later._key = m._key AND offer IS NOT NULL)"
    # A delete that is held back is written 0 as well, beside a marker of no payload it says something of its own.
    needed = f"hold IS DISTINCT FROM marker OR marker = {NO_MAPPING}"
    return f"""SELECT _key, marker, CASE WHEN {needed} THEN hold END AS hold FROM (
        SELECT m._key, CASE WHEN s.verdict = 'DELETED' OR m._marker IS NULL THEN NULL
                WHEN {whole} THEN m._marker ELSE {NO_MAPPING} END::UBIGINT AS marker,
            coalesce({offered}, {own})::UBIGINT AS hold
        FROM said AS s JOIN met AS m ON m._key = s._key WHERE s.verdict IN ('NEW', 'MODIFIED', 'DELETED'))"""


def settle(work: LegRun, was: LegRun, *, by: str, reason: str | None) -> Run:
    """Prove the balance, then write markers, holds, agreements and history: one transaction for the ledger."""
    con = work.connect()
    _open(work, con)
    delivery._refuse_imbalance(work, con)
    delta = work.site.ledger.stage_delta(work.leg, con, """
        SELECT c._key AS key, coalesce(m.marker, 0) AS fingerprint, coalesce(r.target_id, c._target_id) AS target_id,
            m.marker IS NULL AS gone, c._kind AS kind, r.created, 1 AS attempt, r.job, r.message_id
        FROM sent AS c JOIN results AS r ON r._key = c._key AND r.outcome = 'delivered'
        JOIN marks AS m ON m._key = c._key""")  # fmt: skip
    frame = frame_of(was)
    _record(work, con, delta, frame)
    held = _held(con, frame, f"run {was.id} was undone by {by}" + (f": {reason}" if reason else ""))
    outcomes = _outcomes(con)
    return work.site.ledger.settle(
        work.run,
        state_version=work.read(CHANGES).facts[STATE_VERSION],
        delta=delta,
        rejects=held,
        clear=_released(con, held),
        pair=_agreed(work, con),
        status="red" if _is_red(work, outcomes) else "green",
        message=_message(work, was, outcomes),
        **outcomes,
    )


def _open(work: LegRun, con: duckdb.DuckDBPyConnection) -> None:
    sent = legs.intact(con, work.read(CHANGES))
    loaded = work.find(LOAD) if sent.rows else None
    query = f"SELECT * FROM {legs.intact(con, loaded).scan(by_name=True)}" if loaded else delivery.NOTHING_LOADED
    con.execute(f"CREATE TEMP VIEW sent AS SELECT * FROM {sent.scan()}")
    con.execute(f"CREATE TEMP VIEW results AS {delivery._told(con, query)}")
    for name in (MARKS, UNDO):
        con.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM {legs.intact(con, work.read(name)).scan()}")
    con.register("rejects_table", work.site.ledger.rejects_table(work.leg))


def _outcomes(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    found = dict(con.execute("SELECT outcome, count(*) FROM results GROUP BY outcome").fetchall())
    created = con.execute("SELECT count(*) FROM results WHERE outcome = 'delivered' AND created").fetchall()[0][0]
    answered = {name: found.get(name, 0) for name in ("delivered", "rejected", "unprocessed")}
    return answered | {"sent": sum(found.values()), "quarantined": 0, "created": created}


def _is_red(work: LegRun, outcomes: dict[str, int]) -> bool:
    limit, refused = work.mapping.guards.max_rejected, outcomes["rejected"] + outcomes["unprocessed"]
    if not refused:
        return False
    return outcomes["delivered"] == 0 or (limit is not None and refused > limit.allowed(outcomes["sent"]))


def _message(work: LegRun, was: LegRun, outcomes: dict[str, int]) -> str:
    facts = work.read(CHANGES).facts
    text = f"undo of {was.id}: {outcomes['delivered']} records as before, {facts['unchanged']} were already"
    if facts["filtered"]:
        text += f", {facts['filtered']} left because they changed since"
    refused = outcomes["rejected"] + outcomes["unprocessed"]
    return text + (f", {refused} not taken by {work.mapping.target.system}: undo again" if refused else "")


def _held(con: duckdb.DuckDBPyConnection, frame: Frame, text: str) -> Any:
    """Rejects to write: what the source offers of undone records. What waits for other reasons stays as it is."""
    con.execute(f"""CREATE TEMP TABLE held AS SELECT m._key AS key, '{UNDONE}' AS status, 'UNDONE' AS code,
            $1 || '; sent again when its source changes, or with: python -m commerce_sync redo' AS reason,
            {_masked(frame)} AS payload, m.hold AS fingerprint, 0 AS attempts
        FROM marks AS m JOIN results AS r ON r._key = m._key AND r.outcome = 'delivered'
        JOIN sent AS c ON c._key = m._key
        WHERE m.hold IS NOT NULL AND m._key NOT IN (SELECT key FROM rejects_table WHERE status <> '{UNDONE}')""",
        [text])  # fmt: skip
    return con.table("held").to_arrow_table()


def _released(con: duckdb.DuckDBPyConnection, held: Any) -> list[str]:
    """Holds that are over, because what was undone is in place again."""
    rows = con.execute(f"""SELECT key FROM rejects_table WHERE status = '{UNDONE}' AND key NOT IN (SELECT key FROM held)
        AND key IN (SELECT _key FROM results WHERE outcome = 'delivered')""").fetchall()
    return [key for (key,) in rows]


def _agreed(work: LegRun, con: duckdb.DuckDBPyConnection) -> PairMove | None:
    """What the leg's pair agrees on from now: restored shared values; nothing about records that were taken away."""
    if not changes.shared(work.mapping):
        return None
    ledger, pair = work.site.ledger, agreement.pair_of(work.mapping)
    state = ledger.pair_state(pair)
    arrived = "JOIN results AS r ON r._key = s._key AND r.outcome = 'delivered'"
    parts = []
    columns = {row[0] for row in con.execute("DESCRIBE sent").fetchall()}
    for name, fields in changes.values(work.mapping).items():
        if not {item.name for item in fields} <= columns:
            continue  # the run was older than the agreement on this value
        touched = " OR ".join(f"NOT list_contains(_leave, {changes.literal(item.name)})" for item in fields)
        kind = changes.literal(changes.value_type(fields, work.types))
        value = changes.mark(fields, work.types)
        parts.append(f"""SELECT s._key AS key, {changes.literal(name)} AS name, {value} AS value,
            {kind} AS type, NULL AS leg, 0 AS turns, NULL AS since, getvariable('now') AS settled_at, false AS gone
            FROM sent AS s {arrived} WHERE _kind <> 'DELETED' AND ({touched})""")
    parts.append(f"""SELECT g.key, g.name, NULL, g.type, NULL, 0, NULL, getvariable('now'), true
        FROM ({ledger.agreed_sql(state)}) AS g JOIN sent AS s ON s._key = g.key AND s._kind = 'DELETED' {arrived}""")
    return ledger.stage_agreed(state, con, " UNION ALL ".join(parts))


def _masked(frame: Frame) -> str:
    """SQL: what is put back as JSON text, personal values masked; ``c``: the change."""
    pairs = []
    for name, item in frame.fields.items():
        value = f"c.{changes.quoted(name)}"
        shown = f"CASE WHEN {value} IS NULL THEN NULL ELSE '{MASK}' END" if item.pii else value
        pairs.append(f"{changes.literal(name)}, {shown}")
    return f"CAST(json_object({', '.join(pairs)}) AS VARCHAR)"


def _unquoted(frame: Frame) -> str:
    """SQL: the far side's sentence without the personal values it quotes (see ``recording.masked_reason``)."""
    text = "r.reason"
    for name in (name for name, item in frame.fields.items() if item.pii):
        value = f"CAST(c.{changes.quoted(name)} AS VARCHAR)"
        text = f"replace({text}, CASE WHEN length({value}) > 2 THEN {value} ELSE '' END, '{MASK}')"
    return text


def _record(work: LegRun, con: duckdb.DuckDBPyConnection, delta: Any, frame: Frame) -> None:
    """The undo's part of the history: what went back, what was refused, and what was left for its conflict."""
    history = work.site.history
    if history is None:
        return
    left = "string_agg(coalesce(field || ' changed since', reason), '; ' ORDER BY field)"
    refused = f"""SELECT c._key AS key, c._kind AS kind, c._target_id AS target_id, r.created, 1 AS attempt, r.job,
            r.message_id, r.outcome, r.code, r.reason_class, {_unquoted(frame)} AS reason, {_masked(frame)} AS payload
        FROM sent AS c JOIN results AS r ON r._key = c._key
        WHERE r.outcome <> 'delivered'
        UNION ALL SELECT _key, 'MODIFIED', NULL, NULL, 0, NULL, NULL, 'held', '{CONFLICT}', NULL, {left}, NULL
        FROM undo WHERE verdict IN ('conflict', 'left') AND _key NOT IN (SELECT _key FROM sent) GROUP BY _key"""
    delivered = work.site.ledger.files.uri(delta.name), delta.rows
    at = max(work.now, datetime.now(UTC))
    history.write(con, leg=work.leg, run=work.id, at=at, delivered=delivered, refused=refused)
