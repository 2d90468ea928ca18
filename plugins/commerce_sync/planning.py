"""A plan: what a run would do to every record and field, and what the target would refuse; nothing is sent.

The plan of a run is a batch with one row per change: what becomes of the record (``effect``: create, change, delete,
none), which fields are set, cleared and left alone, their values before and after, and the predicted refusal. Before
is what the target has when the plan is made. Values lie in it as they are, like in the change batch; ``plan_rows``
masks the personal ones when it shows them. Guards that a run would breach are told instead of raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from commerce_sync import agreement, applying, changes, detection, recording
from commerce_sync.applying import PLAN, comparable
from commerce_sync.changes import literal, quoted
from commerce_sync.delivery import Targets
from commerce_sync.detection import Verdicts
from commerce_sync.errors import ConfigurationError, GuardError
from commerce_sync.history import MASK, PERSONAL
from commerce_sync.leg import CHANGES, LegRun, intact
from commerce_sync.systems.foreseen import COMING, NONE, Foreseen

if TYPE_CHECKING:
    import duckdb

EFFECTS = ("create", "change", "delete", "none")
LONG_RUN = 500
"""Runs looked at for the plans of other legs that were made with this one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan in figures, as its batch has them in its facts.

    effects: rows by effect.   sets, clears, lefts: fields.   refusals: rows by predicted code.   held: rows that need
    a person's yes.   stops: why nothing at all would be sent.   is_known: whether the target could be asked.
    """

    leg: str
    run: str
    effects: dict[str, int]
    sets: int
    clears: int
    lefts: int
    refusals: dict[str, int]
    held: int
    stops: tuple[str, ...]
    warnings: tuple[str, ...]
    is_known: bool

    @property
    def rows(self) -> int:
        return sum(self.effects.values())

    def brief(self) -> dict[str, Any]:
        """What may travel in XCom."""
        found = dict(self.effects) | {"clears": self.clears, "refusals": sum(self.refusals.values())}
        return found | {"stops": list(self.stops)}

    def sentence(self) -> str:
        """For the run's row in the ledger."""
        said = ", ".join(f"{self.effects[name]} {_SAID[name]}" for name in EFFECTS)
        stops = f"; it would stop: {self.stops[0]}" if self.stops else ""
        return f"plan: {said}; {sum(self.refusals.values())} predicted to be refused{stops}"


_SAID = {"create": "to create", "change": "to change", "delete": "to delete", "none": "without effect"}


def make(leg: LegRun, found: Verdicts, targets: Targets | None) -> Plan:
    """Plan the changes that detection found, write the batch, close the run. targets: None asks no target."""
    with leg.timed(PLAN):
        con = leg.connect()
        rows = f"SELECT * FROM {intact(con, leg.read(CHANGES)).scan()}"
        with leg.counting(leg.mapping.target.system) as on_call:
            target = targets(leg.mapping, on_call) if targets and found.send else None
            foreseen, is_known = _look(leg, con, target, rows)
        stops = (*_breached(leg, con, found), *foreseen.stops)
        plan = _write(leg, con, foreseen, stops=stops, is_known=is_known)
    leg.note(status="stopped", message=plan.sentence())
    return plan


# What the target has, and what it would say


def _look(leg: LegRun, con: duckdb.DuckDBPyConnection, target: Any, rows: str) -> tuple[Foreseen, bool]:
    """Tables ``planned`` and ``refusals``; whether the target could be asked for its present values."""
    con.execute(f"CREATE TEMP TABLE ours AS SELECT *, {_asked_by(leg)} AS _asked FROM ({rows})")
    silence = _ask(leg, con, target)
    verdicts = _shared(leg, con, known=not silence)
    con.execute(f"CREATE TEMP TABLE planned AS {_planned(leg, verdicts=verdicts, known=not silence)}")
    _put_coming(leg, con)
    foreseen = _predict(leg, con, target)
    con.execute(f"CREATE TEMP TABLE refusals AS {foreseen.refusals}")
    warnings = (*silence, *foreseen.warnings)
    return Foreseen(stops=foreseen.stops, warnings=warnings), not silence


def _asked_by(leg: LegRun) -> str:
    """SQL: what the target is asked for; a delete has no values, its key may be the external id all the same."""
    key, mapping = changes.target_key(leg.mapping), leg.mapping
    own = next((item.value.strip() for item in mapping.fields if item.name == mapping.target.external_id), None)
    gone = "_key" if own == mapping.key.strip() else "NULL" if own else "_target_id"
    return f"CASE WHEN _kind = 'DELETED' THEN {gone} ELSE {key} END"


def _ask(leg: LegRun, con: duckdb.DuckDBPyConnection, target: Any) -> tuple[str, ...]:
    """Table ``present``; why it is empty although it was asked for."""
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in leg.types.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE present (_target_key VARCHAR, {columns})")
    if target is None:
        return ()
    if not hasattr(target, "current"):
        return (f"{leg.mapping.target.system} cannot be asked for present values: what is there before is not known",)
    try:
        keys = "SELECT DISTINCT _asked AS k FROM ours WHERE _asked IS NOT NULL"
        applying.present(leg, con, target, keys=keys, aim=agreement.plain(leg.mapping.target))
    except ConfigurationError as error:
        con.execute("DELETE FROM present")
        return (f"what is there before is not known: {error}",)
    return ()


def _shared(leg: LegRun, con: duckdb.DuckDBPyConnection, *, known: bool) -> str:
    """SQL: _key, the fields that are not sent, and what becomes of the record, for a leg that shares values."""
    if not changes.shared(leg.mapping) or not known:
        return "SELECT NULL::VARCHAR AS _key, NULL::VARCHAR[] AS left_alone, NULL::VARCHAR AS verdict WHERE false"
    agreement.foresee(leg, con, rows="SELECT * EXCLUDE (_asked) FROM ours")
    silent = f"list(string_split(field, ',')) FILTER (action IN {agreement.SILENT})"
    return f"""SELECT _key, coalesce(flatten({silent}), []) AS left_alone, any_value(verdict) AS verdict
        FROM decided GROUP BY _key"""


def _planned(leg: LegRun, *, verdicts: str, known: bool) -> str:
    """SQL: the changes with ``_there``, ``_leave``, ``_verdict`` and ``_before``, the present values as a struct."""
    there = "p._target_key IS NOT NULL" if known else "o._kind <> 'NEW'"
    before = ", ".join(f"{quoted(name)} := p.{quoted(name)}" for name in leg.types)
    return f"""SELECT o.*, {there} AS _there, coalesce(v.left_alone, []) AS _leave, v.verdict AS _verdict,
            struct_pack({before}) AS _before
        FROM ours AS o LEFT JOIN present AS p ON p._target_key = o._asked LEFT JOIN ({verdicts}) AS v USING (_key)"""


def _put_coming(leg: LegRun, con: duckdb.DuckDBPyConnection) -> None:
    """Table ``coming``: what this plan creates, and what the plans create that were made with it for earlier legs."""
    target = leg.mapping.target
    con.execute(f"CREATE TEMP TABLE {COMING} (object VARCHAR, external_id VARCHAR, key VARCHAR)")
    _coming(con, target.object, target.external_id, "SELECT _asked FROM planned WHERE _kind <> 'DELETED'")
    for other in leg.site.ledger.runs(limit=LONG_RUN):
        batch = (
            leg.site.batches.find(other.leg, other.run, PLAN) if other.run == leg.id and other.leg != leg.leg else None
        )
        if batch is not None and batch.parts and batch.facts["system"] == target.system:
            rows = f"SELECT target_key FROM {batch.scan()} WHERE effect = 'create' AND code IS NULL"
            _coming(con, batch.facts["object"], batch.facts["external_id"], rows)


def _coming(con: duckdb.DuckDBPyConnection, name: str, external_id: str, keys: str) -> None:
    con.execute(f"INSERT INTO {COMING} SELECT {literal(name)}, {literal(external_id)}, k FROM ({keys}) AS t(k) "
                "WHERE k IS NOT NULL")  # fmt: skip


def _predict(leg: LegRun, con: duckdb.DuckDBPyConnection, target: Any) -> Foreseen:
    if target is None:
        return Foreseen(NONE)
    if not hasattr(target, "predict"):
        return Foreseen(NONE, warnings=(f"what {leg.mapping.target.system} would refuse cannot be told beforehand",))
    aim = agreement.plain(leg.mapping.target)
    told = "SELECT * FROM planned WHERE coalesce(_verdict, 'send') = 'send'"
    con.execute(f"CREATE OR REPLACE TEMP VIEW sendable AS {told}")
    try:
        found: Foreseen = target.predict(aim, leg.mapping.fields, con, rows="sendable", types=dict(leg.types))
    except ConfigurationError as error:
        return Foreseen(NONE, stops=(str(error),))
    return found


def _breached(leg: LegRun, con: duckdb.DuckDBPyConnection, found: Verdicts) -> tuple[str, ...]:
    """Guards that would stop a run that is no plan, and external ids that several changes have."""
    stops = []
    gone = con.execute("SELECT count(*) FROM ours WHERE _kind = 'DELETED' AND _fingerprint = 0").fetchall()[0][0]
    try:
        detection.guard(leg, found, markers=leg.state.markers, gone=gone)
    except GuardError as error:
        stops.append(str(error))
    twice = con.execute("""SELECT _asked FROM ours WHERE _kind <> 'DELETED' AND _asked IS NOT NULL GROUP BY 1
        HAVING count(*) > 1 ORDER BY 1 LIMIT 4""").fetchall()
    if twice:
        hides = leg.mapping.target.external_id in leg.mapping.personal
        shown = "" if hides else f", for example {', '.join(key for (key,) in twice[:3])}"
        stops.append(f"several changes have the same {leg.mapping.target.external_id}{shown}: make it unique per key")
    return tuple(stops)


# What is written down


def _write(
    leg: LegRun, con: duckdb.DuckDBPyConnection, foreseen: Foreseen, *, stops: Sequence[str], is_known: bool
) -> Plan:
    con.execute(f"CREATE TEMP TABLE plan AS {_effects(leg)}")
    plan = _figures(leg, con, foreseen, stops=stops, is_known=is_known)
    with leg.write(PLAN) as into:
        target = leg.mapping.target
        into.facts = {
            "effects": plan.effects, "sets": plan.sets, "clears": plan.clears, "lefts": plan.lefts,
            "refusals": plan.refusals, "held": plan.held, "stops": list(plan.stops), "warnings": list(plan.warnings),
            "is_known": is_known, "system": target.system, "object": target.object, "external_id": target.external_id,
            "fields": [item.name for item in leg.mapping.fields], PERSONAL: sorted(leg.mapping.personal),
            "mapping_version": leg.mapping.version,
        }  # fmt: skip
        into.copy(con, "SELECT * EXCLUDE (held) FROM plan ORDER BY _key")
    return plan


def _effects(leg: LegRun) -> str:
    """SQL of the plan's rows."""
    fields = leg.mapping.fields
    after = ", ".join(f"{quoted(item.name)} := f.{quoted(item.name)}" for item in fields)
    actions = {name: _listed(leg, name) for name in ("set", "clear", "left")}
    lists = ", ".join(f"{query} AS {name}s" for name, query in actions.items())
    rule = leg.mapping.approval.rows if leg.mapping.approval else None
    return f"""SELECT _key, _kind, _fingerprint, _target_id, _asked AS target_key, _there AS is_there,
            {_effect(leg)} AS effect, sets, clears, lefts, code, reason_class, reason, fields AS refused_fields,
            held, before, after
        FROM (SELECT f._key, f._kind, f._fingerprint, f._target_id, f._asked, f._there, f._verdict, {lists},
                coalesce(_code, {_held_back()}) AS code, coalesce(_class, {_held_class()}) AS reason_class,
                {_masked(leg)} AS reason, _fields AS fields,
                coalesce(({rule or "false"})::BOOLEAN, false) AS held,
                f._before AS before, struct_pack({after}) AS after
            FROM planned AS f LEFT JOIN (
                SELECT _key AS _refused, code AS _code, reason_class AS _class, reason AS _reason, fields AS _fields
                FROM refusals) AS r ON _refused = f._key)"""


def _masked(leg: LegRun) -> str:
    """SQL: the predicted sentence without the personal values it quotes, nor their beginning."""
    text = recording.masked_reason(leg)
    for item in (item for item in leg.mapping.fields if item.pii):
        begins = f"left(CAST(f.{quoted(item.name)} AS VARCHAR), 255)"
        text = f"replace({text}, CASE WHEN length({begins}) > 254 THEN {begins} ELSE '' END, '{MASK}')"
    return text


def _held_back() -> str:
    """SQL: the code of a row that both sides' rules hold back (see ``agreement``)."""
    return f"CASE f._verdict WHEN 'loop' THEN '{agreement.LOOP}' WHEN 'moved' THEN '{agreement.MOVED}' END"


def _held_class() -> str:
    return "CASE f._verdict WHEN 'loop' THEN 'validation' WHEN 'moved' THEN 'transient' END"


def _listed(leg: LegRun, action: str) -> str:
    """SQL: names of the fields to which a row does something."""
    names = (f"CASE WHEN {_does(leg, item.name, action)} THEN {literal(item.name)} END" for item in leg.mapping.fields)
    return f"list_filter([{', '.join(names)}]::VARCHAR[], lambda x: x IS NOT NULL)"


def _does(leg: LegRun, name: str, action: str) -> str:
    """SQL: whether a row sets, clears or leaves a field."""
    item = next(item for item in leg.mapping.fields if item.name == name)
    now, was = (comparable(f"{at}.{quoted(name)}", leg.types[name]) for at in ("f", "f._before"))
    once = " OR f._there" if name in leg.mapping.target.options.get("create_only", ()) else ""
    left = f"(list_contains(f._leave, {literal(name)}){once})"
    if action == "left":
        null = f" OR f.{quoted(name)} IS NULL" if item.on_null == "leave" else ""
        return f"f._kind <> 'DELETED' AND ({left}{null})"
    sent = f"f._kind <> 'DELETED' AND NOT {left}"
    if action == "clear":
        empty = "false" if item.on_null == "leave" else f"{now} IS NULL"
        return f"{sent} AND {empty} AND f._there AND {was} IS NOT NULL"
    return f"{sent} AND {now} IS NOT NULL AND NOT (f._there AND {was} IS NOT DISTINCT FROM {now})"


def _effect(leg: LegRun) -> str:
    """SQL: what becomes of a record."""
    target = leg.mapping.target
    gone = "none" if target.on_delete == "ignore" else "delete"
    absent = "create" if target.options.get("creates", True) else "none"
    return f"""CASE WHEN _kind = 'DELETED' AND _target_id IS NULL AND NOT _there THEN 'none'
        WHEN _kind = 'DELETED' THEN '{gone}' WHEN coalesce(_verdict, 'send') <> 'send' THEN 'none'
        WHEN NOT _there THEN '{absent}' WHEN len(sets) + len(clears) > 0 THEN 'change' ELSE 'none' END"""


def _figures(
    leg: LegRun, con: duckdb.DuckDBPyConnection, foreseen: Foreseen, *, stops: Sequence[str], is_known: bool
) -> Plan:
    effects = dict(con.execute("SELECT effect, count(*) FROM plan GROUP BY effect").fetchall())
    codes = con.execute("SELECT code, count(*) FROM plan WHERE code IS NOT NULL GROUP BY code ORDER BY 2 DESC, 1")
    refusals = dict(codes.fetchall())
    sums = "SELECT coalesce(sum(len({0})), 0) FROM plan"
    sets, clears, lefts = (int(con.execute(sums.format(name)).fetchall()[0][0]) for name in ("sets", "clears", "lefts"))
    held = con.execute("SELECT count(*) FROM plan WHERE held").fetchall()[0][0]
    return Plan(
        leg=leg.leg, run=leg.id, effects={name: effects.get(name, 0) for name in EFFECTS}, sets=sets, clears=clears,
        lefts=lefts, refusals=refusals, held=held, stops=tuple(stops), warnings=foreseen.warnings, is_known=is_known,
    )  # fmt: skip
