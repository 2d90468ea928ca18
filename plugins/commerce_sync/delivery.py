"""The steps of a leg's run from the gate on: check, load, commit.

``commit`` is the only place where a change is consumed, and only for records the target confirmed. It first proves
by key that every change came back exactly once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from commerce_sync import (
    agreement,
    applying,
    before_images,
    changes,
    doubt,
    editing,
    folding,
    high_water,
    recording,
    rejecting,
)
from commerce_sync import leg as legs
from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import BalanceError, GuardError
from commerce_sync.ledger import KEEP, Job, Run, RunJobs
from commerce_sync.leg import AGGREGATE, CHANGES, CHECK, EXTRACT, LOAD, STATE_VERSION, VERDICTS, LegRun, OnCall
from commerce_sync.mapping import Checks, Field, Guards, Limit, Mapping, Target
from commerce_sync.systems.jobs import Loaded

if TYPE_CHECKING:
    import duckdb

SENDING = "sending"
ORIGIN = "origin"
COMMIT = "commit"
NOTHING_LOADED = """SELECT NULL::VARCHAR AS _key, NULL::VARCHAR AS outcome, NULL::VARCHAR AS target_id,
    NULL::BOOLEAN AS created, NULL::VARCHAR AS code, NULL::VARCHAR AS reason_class, NULL::VARCHAR AS reason,
    NULL::VARCHAR AS fields WHERE false"""
TOLD = ("job", "message_id")
"""Columns of results that only some systems have."""
NOTHING_CHECKED = "SELECT NULL::VARCHAR AS _key, NULL::VARCHAR AS expectation, NULL::VARCHAR AS reason WHERE false"


class TargetSystem(Protocol):
    """A system that can be written to; the batch it writes has exactly one row for every change."""

    def load(
        self, target: Target, fields: tuple[Field, ...], changes: Batch, *, jobs: Any, into: BatchWriter, wait_s: float
    ) -> Any: ...


def check(leg: LegRun) -> dict[str, Any]:
    """The gate: run the leg's expectations; rows that fail are quarantined. Raises GateError when too many do."""
    from commerce_sync import gates

    with leg.timed(CHECK), leg.write(CHECK) as into:
        con, found = leg.connect(), leg.read(CHANGES)
        source = leg.find(f"{EXTRACT}-{leg.mapping.source.name}")
        result = gates.run_gate(
            leg=leg.leg, run=leg.id, checks=_checks(leg, source), guards=_allowing_known(leg, con, found),
            personal=leg.mapping.personal, source=source, source_rows=source.rows if source else 0,
            changes=found, con=con, into=into, pages=leg.site.pages,
        )  # fmt: skip
        leg.note(quarantined=result.quarantined)
    return result.brief()


def _checks(leg: LegRun, source: Batch | None) -> Checks:
    """Without those on the source where it was not asked or had no news: only a complete scan may not be empty."""
    is_silent = not leg.scans and (source is None or source.rows == 0)
    return replace(leg.mapping.checks, source=()) if is_silent else leg.mapping.checks


def _allowing_known(leg: LegRun, con: duckdb.DuckDBPyConnection, found: Batch) -> Guards:
    """Guards whose limit is for new failures: rows set aside before, as they were, would stop every small run."""
    guards = leg.mapping.guards
    if guards.max_quarantined is None or not found.parts:
        return guards
    con.register("rejects_table", leg.site.ledger.rejects_table(leg.leg))
    known = con.execute(f"""SELECT count(*) FROM {found.scan()} AS c JOIN rejects_table AS r
        ON r.key = c._key AND r.fingerprint = c._fingerprint WHERE r.status = 'quarantined'""").fetchall()[0][0]
    allowed = guards.max_quarantined.allowed(found.rows - known) + known
    return replace(guards, max_quarantined=Limit(absolute=allowed))


Targets = Callable[[Mapping, OnCall], TargetSystem]
"""Gives the system a mapping writes to; the system reports every HTTP call."""


def load(leg: LegRun, targets: Targets, *, wait_s: float) -> Any:
    """Send what passed the gate. Gives what the target gives: it is done, or it waits for remote jobs.

    With shared fields, what is sent of them is decided first (see ``agreement``).
    """
    with leg.timed(LOAD):
        con = leg.connect()
        leg.refuse_stale(leg.read(CHANGES))
        if changes.shared(leg.mapping):
            return _load_shared(leg, con, targets, wait_s=wait_s)
        sending = _sendable(leg, con)
        _refuse_altered(leg, con, sending)
        jobs = _jobs(leg)
        with leg.write(LOAD) as into, leg.counting(leg.mapping.target.system) as on_call:
            target = targets(leg.mapping, on_call)
            before_images.take(leg, con, target, rows=f"SELECT * FROM {sending.scan()}")
            aim = leg.mapping.target
            return applying.send(leg, con, target, sending, aim=aim, jobs=jobs, into=into, wait_s=wait_s)


def _load_shared(leg: LegRun, con: duckdb.DuckDBPyConnection, targets: Targets, *, wait_s: float) -> Any:
    with leg.write(LOAD) as into, leg.counting(leg.mapping.target.system) as on_call:
        target = targets(leg.mapping, on_call)
        before_images.take(leg, con, target, rows=_passed(leg, con)[0])
        sending, decided = _settled_batch(leg, con, target)
        _refuse_altered(leg, con, sending)
        done: Any = Loaded()
        if sending.rows:
            aim = agreement.plain(leg.mapping.target)
            done = applying.send(leg, con, target, sending, aim=aim, jobs=_jobs(leg), into=into, wait_s=wait_s)
        if getattr(done, "trigger", None) is None:
            into.copy(con, agreement.unsent(decided))
        return done


def _settled_batch(leg: LegRun, con: duckdb.DuckDBPyConnection, target: Any) -> tuple[Batch, Batch]:
    """What is sent, and what was decided on it; both again when a killed load is repeated.

    Values that were sent before the kill are the target's present ones by now: asked again, it would hide what they
    replaced.
    """
    rows, origin = _passed(leg, con)
    decided, before = leg.find(agreement.AGREEMENT), leg.find(SENDING)
    if decided and before and decided.facts.get(ORIGIN) == before.facts.get(ORIGIN) == origin:
        return legs.intact(con, before), legs.intact(con, decided)
    decided = agreement.decide(leg, con, target, rows=rows, origin=origin)
    with leg.write(SENDING) as into:
        into.facts[ORIGIN] = origin
        into.copy(con, agreement.sending(rows, decided))
    return leg.read(SENDING), decided


def _jobs(leg: LegRun) -> BatchJobs:
    return BatchJobs(leg.site.ledger.jobs(leg.leg, leg.id), batch=leg.read(CHANGES).parts[0].name)


class BatchJobs:
    """The remote jobs of one change batch: a run that detects anew must not take up jobs of what it found before."""

    def __init__(self, jobs: RunJobs, *, batch: str) -> None:
        self._jobs = jobs
        self._prefix = f"{batch}/"

    def all(self) -> list[Job]:
        """Every job of this batch, oldest first."""
        return [self._shown(job) for job in self._jobs.all() if job.name.startswith(self._prefix)]

    def plan(self, name: str, **facts: Any) -> Job:
        """Write down a job that will be made; a name that is there already is given back as it is."""
        return self._shown(self._jobs.plan(self._prefix + name, **facts))

    def update(self, job: Job, **changed: Any) -> Job:
        """Write down what became known of a job."""
        return self._shown(self._jobs.update(replace(job, name=self._prefix + job.name), **changed))

    def _shown(self, job: Job) -> Job:
        return replace(job, name=job.name.removeprefix(self._prefix))


def _sendable(leg: LegRun, con: duckdb.DuckDBPyConnection) -> Batch:
    """The change batch without the quarantined rows; the same one again when a killed load is repeated."""
    rows, origin = _passed(leg, con)
    quarantined = leg.find(CHECK)
    if quarantined is None or quarantined.rows == 0:
        return leg.read(CHANGES)
    before = leg.find(SENDING)
    if before is not None and before.facts.get(ORIGIN) == origin:
        return legs.intact(con, before)  # remote jobs know their rows by position: the order must stay
    with leg.write(SENDING) as into:
        into.facts[ORIGIN] = origin
        into.copy(con, rows)
    return leg.read(SENDING)


def _passed(leg: LegRun, con: duckdb.DuckDBPyConnection) -> tuple[str, list[str]]:
    """SQL of the changes without the quarantined ones, and the names of the files they come from."""
    found, quarantined = legs.intact(con, leg.read(CHANGES)), leg.find(CHECK)
    if quarantined is None or quarantined.rows == 0:
        return f"SELECT * FROM {found.scan()}", [part.name for part in found.parts]
    aside = f"SELECT _key FROM {legs.intact(con, quarantined).scan()}"
    origin = [part.name for part in (*found.parts, *quarantined.parts)]
    return f"SELECT * FROM {found.scan()} WHERE _key NOT IN ({aside})", origin


def _refuse_altered(leg: LegRun, con: duckdb.DuckDBPyConnection, sending: Batch) -> None:
    """A payload that no longer has the fingerprint it was detected with was altered on the way."""
    value = changes.fingerprint(leg.types, version=leg.mapping.version)
    edited = f"SELECT _key, sent FROM ({editing.scan(leg)}) WHERE verdict = '{editing.APPLY}'"
    known = f"_fingerprint <> {value} AND (_key, {value}) NOT IN ({edited})"
    rows = con.execute(f"SELECT _key FROM {sending.scan()} WHERE _kind <> 'DELETED' AND {known} LIMIT 3").fetchall()
    if rows:
        keys = ", ".join(str(row[0]) for row in rows)
        raise BalanceError(f"leg {leg.leg}: payload of {keys} changed between detection and load; run the leg again")


def commit(leg: LegRun) -> Run:
    """Prove the balance, consume what the target confirmed, keep the rest, move the high water: one transaction.

    Raises BalanceError when a row is unaccounted for, GuardError when more rows were refused than the leg allows.
    """
    if leg.run.settled:
        return _verdict(leg, leg.run)
    with leg.timed(COMMIT):
        con = leg.connect()
        _open_results(leg, con)
        _refuse_imbalance(leg, con)
        settled = _settle(leg, con)
    _tidy(leg)
    return _verdict(leg, settled)


def _tidy(leg: LegRun) -> None:
    """What may as well be done by the next run, should this one die here."""
    leg.site.ledger.compact(leg.leg)
    recording.note_said(leg.site, leg.leg)
    if leg.site.history is not None:
        leg.site.history.merge(leg.leg)


def commit_nothing(leg: LegRun) -> Run:
    """Settle a run that read nothing and carries nothing: it is green, and proves that the leg was looked after."""
    return leg.site.ledger.settle(leg.run, state_version=leg.state.version, status="green", read=0)


def _open_results(leg: LegRun, con: duckdb.DuckDBPyConnection) -> None:
    """Views over what the steps left: sent changes, quarantined keys, results, earlier rejects."""
    for name, step, nothing in (("quarantined", CHECK, NOTHING_CHECKED), ("results", LOAD, NOTHING_LOADED)):
        batch = leg.find(step)
        query = f"SELECT * FROM {legs.intact(con, batch).scan(by_name=True)}" if batch and batch.parts else nothing
        con.execute(f"CREATE TEMP VIEW {name} AS {_told(con, query) if step == LOAD else query}")
    for name, step in (("changes", CHANGES), ("verdicts", VERDICTS)):
        con.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM {legs.intact(con, leg.read(step)).scan()}")
    con.execute("CREATE TEMP VIEW sent AS SELECT * FROM changes WHERE _key NOT IN (SELECT _key FROM quarantined)")
    con.execute(f"CREATE TEMP VIEW edits_met AS {editing.scan(leg)}")
    con.register("rejects_table", leg.site.ledger.rejects_table(leg.leg))


def _told(con: duckdb.DuckDBPyConnection, results: str) -> str:
    """SQL of the results with all columns of ``TOLD``."""
    has = {row[0] for row in con.execute(f"DESCRIBE {results}").fetchall()}
    return f"SELECT *{''.join(f', NULL::VARCHAR AS {name}' for name in TOLD if name not in has)} FROM ({results})"


def _refuse_imbalance(leg: LegRun, con: duckdb.DuckDBPyConnection) -> None:
    if _balances(con):
        return
    faults = con.execute("""
        SELECT 'no result for', _key FROM sent WHERE _key NOT IN (SELECT _key FROM results)
        UNION ALL SELECT 'a result for the unsent', _key FROM results WHERE _key NOT IN (SELECT _key FROM sent)
        UNION ALL SELECT 'two results for', _key FROM results GROUP BY _key HAVING count(*) > 1
        UNION ALL SELECT 'an unknown outcome for', _key FROM results
            WHERE outcome IS NULL OR outcome NOT IN ('delivered', 'rejected', 'unprocessed')
        LIMIT 3""").fetchall()
    if faults:
        shown = "; ".join(f"{what} {key!r}" for what, key in faults)
        raise BalanceError(f"leg {leg.leg}: run {leg.id} does not balance: {shown}. Nothing was committed")


def _balances(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether each sent key has one result and each result one sent key: all join, and to as many as there are."""
    known = "r.outcome IN ('delivered', 'rejected', 'unprocessed')"
    joined, sound = con.execute(f"""SELECT count(*), count(*) FILTER (c._key IS NOT NULL AND {known})
        FROM (SELECT _key FROM sent) AS c FULL JOIN results AS r ON r._key = c._key""").fetchall()[0]
    sent, answers = con.execute("SELECT (SELECT count(*) FROM sent), (SELECT count(*) FROM results)").fetchall()[0]
    return bool(joined == sound == sent == answers)


def _settle(leg: LegRun, con: duckdb.DuckDBPyConnection) -> Run:
    said = editing.heeded(leg, con, read=leg.site.ledger.last_said(leg.leg))
    rejecting.stage(leg, con)
    counts = _counts(leg, con)
    delivered = f"""
        SELECT c._key AS key, c._marker AS fingerprint, coalesce(r.target_id, c._target_id) AS target_id,
               c._kind = 'DELETED' AS gone, {recording.extras(leg, con)}
        FROM (SELECT *, {folding.marker(leg)} AS _marker FROM sent) AS c
        JOIN results AS r ON r._key = c._key WHERE r.outcome = 'delivered'{_adopted(leg)}"""
    delta = leg.site.ledger.stage_delta(leg.leg, con, delivered)
    recording.refuse_altered(leg, con, delta, delivered)
    recording.record(leg, con, delta)
    return leg.site.ledger.settle(
        leg.run,
        state_version=leg.read(CHANGES).facts[STATE_VERSION],
        delta=delta,
        rejects=con.table("new_rejects").to_arrow_table(),
        clear=[
            row[0]
            for row in con.execute("SELECT key FROM rejects_table WHERE key NOT IN (SELECT key FROM kept)").fetchall()
        ],
        carry=rejecting.carry(leg, con, said),
        replica=leg.read(AGGREGATE).facts["replica"] | high_water.seen(leg) if leg.mapping.aggregate else KEEP,
        high_water=high_water.reached(leg),
        complete_at=leg.run.started if leg.run.kind == "complete" else None,
        pair=agreement.stage(leg, con),
        said=said,
        status="red" if _too_many_refused(leg, con, counts) else "green",
        **counts,
    )


def _adopted(leg: LegRun) -> str:
    """SQL to add to what was delivered: records of given up runs that this one left out; sent again if they return."""
    found = doubt.to_adopt(leg)
    if not found:
        return ""
    return f""" UNION ALL SELECT _key, 0::UBIGINT, target_id, false, 'NEW', true, 1, NULL, NULL FROM ({found})
        WHERE _key IN (SELECT _key FROM verdicts WHERE verdict = 'filtered')"""


def _counts(leg: LegRun, con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    outcomes = dict(con.execute("SELECT outcome, count(*) FROM results GROUP BY outcome").fetchall())
    created = con.execute("SELECT count(*) FROM results WHERE outcome = 'delivered' AND created").fetchall()[0][0]
    sent = con.execute("SELECT count(*) FROM sent").fetchall()[0][0]
    quarantined = con.execute("SELECT count(*) FROM quarantined").fetchall()[0][0]
    answered = {name: outcomes.get(name, 0) for name in ("delivered", "rejected", "unprocessed")}
    return answered | {"sent": sent, "quarantined": quarantined, "created": created}


def _too_many_refused(leg: LegRun, con: duckdb.DuckDBPyConnection, counts: dict[str, int]) -> bool:
    """More than the guard allows, or all there was, unless each of these was refused before just as it is."""
    limit, refused = leg.mapping.guards.max_rejected, counts["rejected"] + counts["unprocessed"]
    if limit is None or not refused:
        return False
    known = con.execute("""SELECT count(*) FROM new_rejects AS n JOIN rejects_table AS p
        ON p.key = n.key AND p.fingerprint = n.fingerprint WHERE n.status <> 'quarantined'""").fetchall()[0][0]
    return refused > limit.allowed(counts["sent"]) or (counts["delivered"] == 0 and refused > known)


def _verdict(leg: LegRun, run: Run) -> Run:
    if run.status == "red":
        raise GuardError(
            f"leg {leg.leg}: {run.rejected} rejected and {run.unprocessed} unprocessed of {run.sent} rows is more than "
            f"max_rejected allows; what arrived is kept, the others are offered again. {_reasons(leg)}"
        )
    return run


def _reasons(leg: LegRun) -> str:
    counted: dict[str, int] = {}
    for item in leg.site.ledger.rejects(leg.leg):
        counted[f"{item.reason_class}/{item.code}"] = counted.get(f"{item.reason_class}/{item.code}", 0) + 1
    top = sorted(counted.items(), key=lambda pair: -pair[1])[:3]
    return "Reasons: " + json.dumps(dict(top))
