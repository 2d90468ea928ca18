"""Shared values of a flow both ways: which of the two sides is heard, decided just before anything is sent.

The pair remembers, per record and shared value, what both sides last agreed on (see ``ledger.pairs``). With ``a`` ours,
``t`` the target's present value and ``g`` the agreed one:

    a = t                   equal    nothing to send, from now on agreed
    a = g                   leave    not changed here; the other leg brings what changed there
    t = g                   send     changed here only
    g unknown, a is null    leave    at first sight a null is no wish to clear what the other side has
    g unknown, t is null    send
    otherwise               win      both changed (or first met) and differ: sent if our side owns the value,
                            yield    left alone if not; either way the losing value goes to the conflict list

Null is a value like any other, and an empty text is null. Values are compared by their mark (see ``changes.mark``).
A record the target does not have is sent whole, or left out by a leg with ``options: {creates: false}``. A yielded
value stays disagreed, so that the owner's leg brings the other one here. Conflicts are listed before the values are
sent: killed in between, one may be listed that nobody lost, but none is lost that nobody listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from commerce_sync import changes
from commerce_sync.batches import Batch
from commerce_sync.errors import BalanceError, ConfigurationError
from commerce_sync.ledger import PairMove
from commerce_sync.leg import LegRun
from commerce_sync.mapping import Field, Mapping, Target

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

AGREEMENT = "agreement"
"""The step's batch: one row per change and shared value, with what was decided (see ``_DECIDED``)."""
CREATES, MAX_TURNS = "creates", "max_turns"
OURS = (CREATES, MAX_TURNS)
TURNS = 6
"""How often in a row a value may change direction within ``WINDOW``; ``options.max_turns`` of a target sets another.

``options.creates``: whether records that the target does not have (any more) are made; true unless said otherwise.
"""
WINDOW = "INTERVAL 24 HOURS"
LOOP, MOVED = "loop", "pair_moved"
"""Codes of records that are held back: two automations that fight, and the other leg at work at the same time."""
MASK = "***"
KEYS_AT_ONCE = 20_000
SILENT = "('leave', 'yield', 'equal')"
_DECIDED = """_key VARCHAR, name VARCHAR, field VARCHAR, type VARCHAR, value VARCHAR, known BOOLEAN, agreed VARCHAR,
    action VARCHAR, turns INTEGER, since TIMESTAMPTZ, verdict VARCHAR, reason VARCHAR"""


class Readable(Protocol):
    """A target that can be asked for its present values.

    Gives a table with ``_target_key`` (one of ``keys``, as given) and one column per field; a record that is not there
    has no row. keys: the external ids as text, or the known target ids where the external id is no field of the leg.
    """

    def current(
        self, target: Target, fields: tuple[Field, ...], keys: list[str], *, types: dict[str, str]
    ) -> pa.Table: ...


def agreed(leg: LegRun) -> str:
    """SQL of what the leg's pair has agreed on: key, name, value, type, leg, turns, since, settled_at."""
    ledger = leg.site.ledger
    return ledger.agreed_sql(ledger.pair_state(pair_of(leg.mapping)))


def pair_of(mapping: Mapping) -> str:
    """The leg's pair. Raises ConfigurationError for a leg that shares values and has none."""
    if mapping.pair is None:
        raise ConfigurationError(
            f"{mapping.path}: fields are shared, but the leg names no `pair`; name the same in both"
        )
    return mapping.pair


def plain(target: Target) -> Target:
    """The target without our own options, which no system knows."""
    options = {name: value for name, value in target.options.items() if name not in OURS}
    return replace(target, options=options)


def decide(leg: LegRun, con: duckdb.DuckDBPyConnection, target: Readable, *, rows: str, origin: Any) -> Batch:
    """Ask the target for its present values, decide on each shared value of ``rows`` (SQL), list the conflicts.

    Raises ConfigurationError when the two legs disagree on a type, or when the target cannot be asked.
    """
    _refuse_other_types(leg)
    _ask(leg, con, target, rows)
    foresee(leg, con, rows=rows)
    with leg.write(AGREEMENT) as into:
        into.facts["origin"] = origin
        into.copy(con, "SELECT * FROM decided")
    _list_conflicts(leg, con)
    return leg.read(AGREEMENT)


def foresee(leg: LegRun, con: duckdb.DuckDBPyConnection, *, rows: str) -> None:
    """Table ``decided`` from table ``present``: what becomes of the shared values of ``rows``; nothing is written."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE compared AS {_compared(leg, rows)}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE decided ({_DECIDED})")
    con.execute(f"INSERT INTO decided BY NAME {_decided(leg, _released(leg))}")


def _refuse_other_types(leg: LegRun) -> None:
    """Values are compared by their canonical text, which depends on the type."""
    mine = {name: changes.value_type(fields, leg.types) for name, fields in changes.values(leg.mapping).items()}
    declared = leg.site.ledger.declare_types(pair_of(leg.mapping), leg=leg.leg, types=mine)
    for other, types in declared.items():
        for name in (name for name in types if mine.get(name, types[name]) != types[name]):
            raise ConfigurationError(
                f"{leg.mapping.path}: shared value {name!r} is {mine[name]} here and {types[name]} in leg {other}; "
                "cast both to the same type (a leg whose mapping was corrected has to run once to be believed)"
            )


def _ask(leg: LegRun, con: duckdb.DuckDBPyConnection, target: Readable, rows: str) -> None:
    """Table ``present``: ``_target_key`` and the shared fields as the target has them."""
    if not hasattr(target, "current"):
        raise ConfigurationError(
            f"{leg.mapping.path}: {leg.mapping.target.system} cannot be asked for its present values, which shared "
            "fields need; let one side own each field instead"
        )
    fields = changes.shared(leg.mapping)
    columns = ", ".join(f"{changes.quoted(item.name)} {leg.types[item.name]}" for item in fields)
    con.execute(f"CREATE OR REPLACE TEMP TABLE present (_target_key VARCHAR, {columns})")
    types = {item.name: leg.types[item.name] for item in fields}
    for keys in _keys(leg, con, rows):
        found = target.current(plain(leg.mapping.target), fields, keys, types=types)
        con.register("found", found)
        con.execute("INSERT INTO present BY NAME SELECT * FROM found")
        con.unregister("found")
    twice = con.execute("SELECT _target_key FROM present GROUP BY 1 HAVING count(*) > 1 LIMIT 3").fetchall()
    if twice:
        shown = ", ".join(str(key) for (key,) in twice)
        raise BalanceError(f"leg {leg.leg}: {leg.mapping.target.object} has several records for {shown}")


def _keys(leg: LegRun, con: duckdb.DuckDBPyConnection, rows: str) -> Iterator[list[str]]:
    cursor = con.cursor()
    key = changes.target_key(leg.mapping)
    cursor.execute(f"SELECT DISTINCT {key} AS k FROM ({rows}) WHERE _kind <> 'DELETED' AND k IS NOT NULL")
    while part := cursor.fetchmany(KEYS_AT_ONCE):
        yield [key for (key,) in part]


def _compared(leg: LegRun, rows: str) -> str:
    """SQL: one row per change and shared value: ours, theirs, the agreed one; ``settled``: our own fields are there."""
    mapping = leg.mapping
    marker = changes.fingerprint(changes.own(mapping, leg.types), version=mapping.version)
    ours = f"""SELECT _key, {changes.target_key(mapping)} AS target, {marker} AS marker,
        unnest({_values(leg)}, recursive := true) FROM ({rows}) WHERE _kind <> 'DELETED'"""
    theirs = f"SELECT _target_key, unnest({_values(leg)}, recursive := true) FROM present"
    markers = leg.site.ledger.markers_sql(leg.state)
    own = "true" if changes.only_keyed(mapping) else "coalesce(m.fingerprint = o.marker, false)"
    return f"""SELECT o.* EXCLUDE (target, marker), t.value AS their_value, t.text AS their_text,
            t._target_key IS NULL AS absent, g.key IS NOT NULL AS known, g.value AS agreed, g.leg AS last,
            g.turns AS turned, g.since AS began, g.settled_at, {own} AS settled
        FROM ({ours}) AS o LEFT JOIN ({theirs}) AS t ON t._target_key = o.target AND t.name = o.name
        LEFT JOIN ({agreed(leg)}) AS g ON g.key = o._key AND g.name = o.name AND g.type = o.type
        LEFT JOIN ({markers}) AS m ON m.key = o._key"""


def _values(leg: LegRun) -> str:
    """SQL: the shared values of a row as a list of structs; ``field`` names all fields of one, joined by commas."""
    structs = []
    for name, fields in changes.values(leg.mapping).items():
        assert fields[0].shared is not None
        names, kind = ",".join(item.name for item in fields), changes.value_type(fields, leg.types)
        texts = {"name": name, "field": names, "type": kind, "owner": fields[0].shared.owner}
        given = ", ".join(f"{name}: {changes.literal(text)}" for name, text in texts.items())
        structs.append(
            f"{{{given}, hidden: {any(item.pii for item in fields)}, leaves: {changes.leaves(fields)}, "
            f"value: {changes.mark(fields, leg.types)}, text: {changes.value_text(fields)}}}"
        )
    return f"[{', '.join(structs)}]"


def _decided(leg: LegRun, released: list[str]) -> str:
    """SQL: what becomes of each value, and of each record (``verdict``: send, spared, loop, moved)."""
    owns = f"owner = {changes.literal(leg.mapping.source.system)}"
    creates = _creates(leg.mapping)
    actions = f"""SELECT *, CASE WHEN absent THEN '{"send" if creates else "leave"}'
        WHEN value IS NOT DISTINCT FROM their_value THEN 'equal'
        WHEN leaves AND value IS NULL THEN 'leave'
        WHEN known AND value IS NOT DISTINCT FROM agreed THEN 'leave'
        WHEN known AND their_value IS NOT DISTINCT FROM agreed THEN 'send'
        WHEN NOT known AND value IS NULL THEN 'leave'
        WHEN NOT known AND their_value IS NULL THEN 'send'
        WHEN {owns} THEN 'win' ELSE 'yield' END AS action FROM compared"""
    fresh = f"last IS NULL OR last = {changes.literal(leg.leg)} OR {_listed(released)}"
    late = f"getvariable('now') - began > {WINDOW}"
    turned = f"""SELECT *, CASE WHEN {fresh} THEN 0 WHEN {late} THEN 1 ELSE turned + 1 END AS turns,
        CASE WHEN {fresh} OR {late} THEN getvariable('now') ELSE began END AS since FROM ({actions})"""
    held = f"""SELECT *,
        action IN ('send', 'win', 'yield') AND NOT absent AND settled_at > {_moment(_read_at(leg))} AS is_moved,
        action IN ('send', 'win') AND turns > {_max_turns(leg.mapping)} AS is_loop FROM ({turned})"""
    return f"""SELECT _key, name, field, type, value, known, agreed, action, turns, since,
        CASE WHEN bool_or(is_moved) OVER w THEN 'moved' WHEN bool_or(is_loop) OVER w THEN 'loop'
             WHEN bool_and(action IN {SILENT} AND {"settled AND NOT absent" if creates else "(settled OR absent)"})
                 OVER w THEN 'spared'
             ELSE 'send' END AS verdict,
        CASE WHEN is_loop AND NOT is_moved THEN {_fight()} END AS reason
        FROM ({held}) WINDOW w AS (PARTITION BY _key)"""


def _fight() -> str:
    """SQL: what a person needs to know of two automations that undo each other's work."""
    shown = ", ".join(
        f"CASE WHEN hidden THEN '{MASK}' ELSE coalesce({text}, 'null') END" for text in ("text", "their_text")
    )
    text = "{} goes back and forth since {}: here it is {}, there {}; find out who writes it, then retry or dismiss"
    return f"""format('{text}', field, strftime(began, '%Y-%m-%d %H:%M UTC'), {shown})"""


def _max_turns(mapping: Mapping) -> int:
    limit = mapping.target.options.get(MAX_TURNS, TURNS)
    if not isinstance(limit, int) or limit < 1:
        raise ConfigurationError(f"{mapping.path}: target option {MAX_TURNS} is {limit!r}; legal: a number from 1 on")
    return limit


def _creates(mapping: Mapping) -> bool:
    creates = mapping.target.options.get(CREATES, True)
    if not isinstance(creates, bool):
        raise ConfigurationError(f"{mapping.path}: target option {CREATES} is {creates!r}; legal: true, false")
    return creates


def _released(leg: LegRun) -> list[str]:
    """Records that were held back as loops and that a person wants to be tried again."""
    rejects = leg.site.ledger.rejects(leg.leg, status="rejected")
    return [item.key for item in rejects if item.code == LOOP]


def _listed(keys: list[str]) -> str:
    return f"_key IN ({', '.join(changes.literal(key) for key in keys)})" if keys else "false"


def _read_at(leg: LegRun) -> datetime:
    """Not before this the run's records were read; what the pair agreed on later, they may not know.

    A replay reads nothing: its records were known to be current when the last run that did read began.
    """
    if leg.run.kind != "replay":
        return leg.run.started
    reading = [run for run in leg.site.ledger.runs(leg.leg) if run.settled and run.kind in ("changes", "complete")]
    return reading[0].started if reading else leg.run.started


def _moment(at: datetime) -> str:
    return f"TIMESTAMPTZ '{at.isoformat()}'"


def _list_conflicts(leg: LegRun, con: duckdb.DuckDBPyConnection) -> None:
    """Hand the losing values to the ledger: a person may want one back."""
    source, target = (changes.literal(name) for name in (leg.mapping.source.system, leg.mapping.target.system))
    rows = con.sql(f"""SELECT _key AS key, d.name AS field, owner,
            CASE action WHEN 'win' THEN {target} ELSE {source} END AS losing,
            CASE action WHEN 'win' THEN text ELSE their_text END AS kept,
            CASE action WHEN 'win' THEN their_text ELSE text END AS lost
        FROM decided AS d JOIN compared AS c USING (_key, field)
        WHERE action IN ('win', 'yield') AND verdict IN ('send', 'spared')""").to_arrow_table()
    if rows.num_rows:
        leg.site.ledger.note_conflicts(pair_of(leg.mapping), leg=leg.leg, run=leg.id, rows=rows)


def sending(rows: str, decided: Batch) -> str:
    """SQL: the rows that are sent, with ``_leave``, the names of the fields that are not."""
    names = f"list(string_split(field, ',') ORDER BY field) FILTER (action IN {SILENT})"
    return f"""SELECT s.*, coalesce(d.left_alone, []) AS _leave FROM ({rows}) AS s LEFT JOIN (
            SELECT _key, flatten({names}) AS left_alone, any_value(verdict) AS verdict
            FROM {decided.scan()} GROUP BY _key
        ) AS d ON d._key = s._key WHERE coalesce(d.verdict, 'send') = 'send'"""


def unsent(decided: Batch) -> str:
    """SQL: result rows of the records that are not sent: nothing to do, or held back."""
    moved = "the other leg of the pair settled this record while this run was at work; the next run compares again"
    return f"""SELECT _key, CASE any_value(verdict) WHEN 'spared' THEN 'delivered' WHEN 'loop' THEN 'rejected'
                ELSE 'unprocessed' END AS outcome, NULL::VARCHAR AS target_id, false AS created,
            CASE any_value(verdict) WHEN 'loop' THEN '{LOOP}' WHEN 'moved' THEN '{MOVED}' END AS code,
            CASE any_value(verdict) WHEN 'loop' THEN 'validation' WHEN 'moved' THEN 'transient' END AS reason_class,
            coalesce(string_agg(reason, '; ' ORDER BY field),
                CASE any_value(verdict) WHEN 'moved' THEN {changes.literal(moved)} END) AS reason,
            string_agg(field, ',' ORDER BY field) FILTER (reason IS NOT NULL) AS fields
        FROM {decided.scan()} WHERE verdict <> 'send' GROUP BY _key"""


def stage(leg: LegRun, con: duckdb.DuckDBPyConnection) -> PairMove | None:
    """Write what the run's delivered records (tables ``sent`` and ``results``) agreed on, for the settlement.

    A value the other leg settled meanwhile is no longer agreed on: the next run compares the two sides afresh.
    """
    decided = leg.find(AGREEMENT)
    if decided is None or not changes.shared(leg.mapping):
        return None
    ledger = leg.site.ledger
    pair = ledger.pair_state(pair_of(leg.mapping))
    sent_it = f"action IN ('send', 'win') THEN {changes.literal(leg.leg)}"
    query = f"""
        SELECT d._key AS key, d.name, d.value, d.type, CASE WHEN {sent_it} END AS leg,
               CASE WHEN action = 'equal' THEN 0 ELSE d.turns END AS turns, d.since, getvariable('now') AS settled_at,
               (g.key IS NOT NULL, g.value) IS DISTINCT FROM (d.known, d.agreed) AS gone
        FROM {decided.scan()} AS d JOIN sent AS s ON s._key = d._key
        JOIN results AS r ON r._key = d._key AND r.outcome = 'delivered'
        LEFT JOIN ({ledger.agreed_sql(pair)}) AS g ON g.key = d._key AND g.name = d.name AND g.type = d.type
        WHERE d.action IN ('send', 'win', 'equal')
        UNION ALL
        SELECT g.key, g.name, NULL, g.type, NULL, 0, NULL, getvariable('now'), true
        FROM ({ledger.agreed_sql(pair)}) AS g JOIN sent AS s ON s._key = g.key AND s._kind = 'DELETED'
        JOIN results AS r ON r._key = g.key AND r.outcome = 'delivered'"""
    return ledger.stage_agreed(pair, con, query)
