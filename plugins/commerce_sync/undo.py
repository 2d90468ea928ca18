"""Undo of a run from its before-images: a run of kind ``undo`` with a balance, images and a history of its own.

    undo.run(site, mapping, "scheduled__2026-11-21...", targets=flow.target_system, run_id="undo__...", by="Ada")
    undo.plan(site, mapping, ...)          what it would do, nothing sent
    undo.redo(site, "customers_to_contacts", ["C0042"], by="Ada")

Killed anywhere, the same call with the same ``run_id`` goes on: what was found is not compared anew once something may
have been sent. An undo can be undone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from commerce_sync import agreement, attempts, before_images, changes, company, delivery, undo_compare, undo_settle
from commerce_sync import leg as legs
from commerce_sync.before_images import UNDO, UNDONE, Frame
from commerce_sync.delivery import BatchJobs, Targets
from commerce_sync.errors import BalanceError, ConfigurationError, GuardError
from commerce_sync.ledger import Run
from commerce_sync.leg import ASKED, CHANGES, LOAD, LegRun, Site
from commerce_sync.mapping import Mapping, Target

if TYPE_CHECKING:
    import duckdb

COMPARE = "compare"
WAIT_S = 600.0
UNDOES = "undoes"
ANEW = {"creates", "owned", "over", *agreement.OURS}
"""Options of targets that say when a value may be written; an undo has compared the values itself."""
REPLACING = {"sap_commerce": {"write": "patch"}}
"""A POST merges collections and demands all parts of a key; a PATCH puts back exactly what is named."""
SHOWN = 200


@dataclass(frozen=True, slots=True)
class Found:
    """What an undo did, or would do. counts: of its balance.   rows: field by field, personal values masked."""

    leg: str
    undoes: str
    counts: dict[str, int]
    rows: tuple[dict[str, Any], ...] = ()
    restored: int = 0
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about undoing a run. objection: why not.   undoes: the run it undid.   by: runs that undid it."""

    objection: str = ""
    undoes: str = ""
    by: tuple[str, ...] = ()
    found: Found | None = field(default=None)


def run(
    site: Site, mapping: Mapping, of: str, *, targets: Targets, run_id: str, by: str, reason: str | None = None,
    now: datetime | None = None,
) -> Run:  # fmt: skip
    """Put back what run ``of`` of a leg changed, as far as nobody changed it since; gives the undo's run.

    Raises ConfigurationError for a run that cannot be undone, LegBusy while the leg is at work, GuardError when the
    target refused more of it than the leg allows.
    """
    work, was = begin(site, mapping, of, run_id=run_id, by=by, reason=reason, now=now)
    if work.run.settled:
        return _verdict(work.run)
    try:
        if not _is_compared(work):
            with work.timed(COMPARE), _reading(work, targets) as target:
                _compare(work, was, target)
        _send(work, was, targets)
        with work.timed(delivery.COMMIT):
            settled = undo_settle.settle(work, was, by=by, reason=reason)
        delivery._tidy(work)
    except Exception as error:
        legs.release(site, mapping.leg, run_id, message=f"{type(error).__name__}: {error}")
        raise
    return _verdict(settled)


def plan(site: Site, mapping: Mapping, of: str, *, targets: Targets, now: datetime | None = None) -> Found:
    """What an undo would do now. Sends nothing and leaves no run."""
    was = undone_run(site, mapping, of)
    undo_compare.frame_of(was)
    work = replace(was, now=now or datetime.now(UTC))
    con = work.connect()
    with _reading(work, targets) as target:
        undo_compare.compare(work, was, con, target)
    return _found(con, f"({undo_compare.listing()})", leg=was.leg, undoes=of, counts=undo_settle.counts_of(con))


def begin(
    site: Site, mapping: Mapping, of: str, *, run_id: str, by: str, reason: str | None = None,
    now: datetime | None = None,
) -> tuple[LegRun, LegRun]:  # fmt: skip
    """The undo's run, opened or taken up again, and the run it undoes."""
    was = undone_run(site, mapping, of)
    undo_compare.frame_of(was)
    name = attempts.latest(site.ledger, mapping.leg, run_id)
    company.refuse_company(site.ledger, mapping.leg, name)
    opened = site.ledger.begin(mapping.leg, name, kind="undo", mapping_version=was.run.mapping_version)
    company.give_way(site.ledger, opened)
    work = LegRun(site=site, mapping=mapping, run=opened, now=now or datetime.now(UTC))
    if not work.asked:
        with work.write(ASKED) as into:
            into.facts = {UNDOES: of, "by": by, "reason": reason}
        work = replace(work)
    if work.asked[UNDOES] != of:
        raise ConfigurationError(
            f"leg {mapping.leg}: run {name} undoes {work.asked[UNDOES]}; name another run for {of}"
        )
    return work, was


def undone_run(site: Site, mapping: Mapping, of: str) -> LegRun:
    """The run to undo. Raises ConfigurationError when there is none, when it has not ended, or never can be undone."""
    if fault := before_images.objection(mapping):
        raise ConfigurationError(f"leg {mapping.leg}: its runs cannot be undone: {fault}")
    found = site.ledger.find_run(mapping.leg, of)
    if found is None:
        raise ConfigurationError(f"leg {mapping.leg} has no run {of!r}; the monitor's page Runs lists them")
    if not found.settled and (name := attempts.settled_after(site.ledger, mapping.leg, of)):
        raise ConfigurationError(
            f"leg {mapping.leg}: run {of!r} never settled; it began again as {name!r}. Undo that one: it has what the "
            "target held before both"
        )
    if not found.settled or found.kind == "plan":
        raise ConfigurationError(
            f"leg {mapping.leg}: run {of!r} ({found.kind}, {found.status}) has not settled: what it sent is not known "
            "for sure. Let it end, or start it again, then undo it"
        )
    return LegRun(site=site, mapping=mapping, run=found)


class _reading:
    """The target, for reading; its calls are counted on the run."""

    def __init__(self, work: LegRun, targets: Targets) -> None:
        self._counting = work.counting(work.mapping.target.system)
        self._mapping, self._targets = work.mapping, targets

    def __enter__(self) -> Any:
        return self._targets(self._mapping, self._counting.__enter__())

    def __exit__(self, *error: Any) -> None:
        self._counting.__exit__(*error)


def _is_compared(work: LegRun) -> bool:
    """Once its images are taken something may have been sent: comparing again would take that for somebody's edit."""
    return before_images.of(work.site, work.leg, work.id) is not None and work.find(CHANGES) is not None


def _compare(work: LegRun, was: LegRun, target: Any) -> None:
    con, frame = work.connect(), undo_compare.frame_of(was)
    undo_compare.compare(work, was, con, target)
    undo_settle.write(work, was, con, frame)


def _send(work: LegRun, was: LegRun, targets: Targets) -> None:
    while True:
        with work.timed(LOAD):
            done = _load(work, was, targets)
        if getattr(done, "trigger", None) is None:
            return
        time.sleep(1)


def _load(work: LegRun, was: LegRun, targets: Targets) -> Any:
    """Take the undo's own images, then send. Gives what the target gives; nothing to send is done at once."""
    con = work.connect()
    sending, frame = legs.intact(con, work.read(CHANGES)), undo_compare.frame_of(was)
    work.refuse_stale(sending)
    _refuse_altered(work, con, frame)
    if not sending.rows:
        return None
    frame = replace(frame, on_delete=before_images.deletion_of(work.mapping), fields=_fields(work, frame))
    with work.write(LOAD) as into, work.counting(work.mapping.target.system) as on_call:
        target = targets(work.mapping, on_call)
        before_images.take(work, con, target, rows=f"SELECT * FROM {sending.scan()}", frame=frame)
        jobs = BatchJobs(work.site.ledger.jobs(work.leg, work.id), batch=sending.parts[0].name)
        fields = undo_compare.frame_of(was).mapped()
        return target.load(aim(work.mapping, frame), fields, sending, jobs=jobs, into=into, wait_s=WAIT_S)


def _fields(work: LegRun, frame: Frame) -> dict[str, Any]:
    """The fields of the undo's images: those of the run, and those that the leg's deletes set by now."""
    now, deletion = Frame.of(work).fields, before_images.deletion_of(work.mapping)
    sets = deletion if isinstance(deletion, dict) else {}
    more = {name: now[name] for name in sets if name not in frame.fields}
    return {name: replace(item, leaves=False) for name, item in (more | frame.fields).items()}


def aim(mapping: Mapping, frame: Frame) -> Target:
    """The leg's target, told to write what it is given and nothing else."""
    target = before_images.aim(mapping)
    options = {name: value for name, value in target.options.items() if name not in ANEW}
    if "create_only" in options:
        options["create_only"] = [name for name in options["create_only"] if name in frame.fields]
    return replace(target, options=options | REPLACING.get(target.system, {}))


def _refuse_altered(work: LegRun, con: duckdb.DuckDBPyConnection, frame: Frame) -> None:
    value = changes.fingerprint(frame.types, version=0)
    rows = con.execute(f"""SELECT _key FROM {work.read(CHANGES).scan()}
        WHERE _kind <> 'DELETED' AND _fingerprint <> {value} LIMIT 3""").fetchall()
    if rows:
        keys = ", ".join(str(key) for (key,) in rows)
        raise BalanceError(f"leg {work.leg}: what undo {work.id} puts back of {keys} changed on the way; undo again")


def _verdict(settled: Run) -> Run:
    if settled.status == "red":
        raise GuardError(f"leg {settled.leg}: {settled.message}. The page of the run's messages has the reasons")
    return settled


# Looking back


def standing(site: Site, mapping: Mapping | None, run: Run) -> Standing:
    """Whether a run can be undone, what it undid, which runs undid it, and what it found (at most ``SHOWN`` rows)."""
    undoes = _asked(site, run).get(UNDOES, "") if run.kind == "undo" else ""
    others = (item for item in site.ledger.runs(run.leg, limit=200) if item.kind == "undo" and item.settled)
    by = tuple(item.run for item in others if _asked(site, item).get(UNDOES) == run.run)
    return Standing(_objection(site, mapping, run), undoes, by, found_by(site, run) if undoes else None)


def _asked(site: Site, run: Run) -> dict[str, Any]:
    batch = site.batches.find(run.leg, run.run, ASKED)
    return batch.facts if batch else {}


def _objection(site: Site, mapping: Mapping | None, run: Run) -> str:
    if mapping is None:
        return "its leg has no mapping any more"
    if before_images.of(site, run.leg, run.run) is None and not before_images.objection(mapping):
        return "no before-images of it are kept"
    try:
        undo_compare.frame_of(undone_run(site, mapping, run.run))
    except ConfigurationError as error:
        return str(error)
    return ""


def found_by(site: Site, run: Run) -> Found | None:
    """What an undo found, while it is kept."""
    batch = site.batches.find(run.leg, run.run, UNDO)
    if batch is None or not batch.parts:
        return None
    con = site.batches.connect(memory_limit=site.memory_limit)
    return _found(con, batch.scan(), leg=run.leg, undoes=_asked(site, run).get(UNDOES, ""), counts=run.counts)


def _found(con: duckdb.DuckDBPyConnection, rows: str, *, leg: str, undoes: str, counts: dict[str, int]) -> Found:
    """Conflicts come first."""
    kinds = dict(con.execute(f"SELECT verdict, count(*) FROM {rows} GROUP BY verdict").fetchall())
    cursor = con.execute(f"""SELECT _key AS key, field, verdict, before, written, present, reason FROM {rows}
        ORDER BY verdict NOT IN ('conflict', 'left'), _key, field LIMIT {SHOWN}""")
    names = [item[0] for item in cursor.description]
    shown = tuple(dict(zip(names, row, strict=True)) for row in cursor.fetchall())
    conflicts = kinds.pop("conflict", 0) + kinds.pop("left", 0)
    return Found(leg, undoes, counts, shown, sum(kinds.values()), conflicts)


def redo(site: Site, leg: str, keys: Sequence[str] = (), *, by: str, reason: str | None = None) -> list[str]:
    """Let records that were undone go again (none named: all of the leg); gives their keys.

    The next run that looks at them sends them: the next complete scan, or one asked for these keys.
    """
    held = [item.key for item in site.ledger.rejects(leg, status=UNDONE)]  # type: ignore[arg-type]
    chosen = [key for key in held if key in set(keys)] if keys else held
    if chosen:
        site.ledger.retry_rejects(leg, keys=chosen, by=by, reason=reason)
    return chosen
