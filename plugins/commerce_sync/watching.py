"""What the watch looks for in the ledger: legs that are stale, idle, forgotten, or lose too many rows.

A flow's limits come from how often it is scheduled, unless its DAG file says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from croniter import croniter

from commerce_sync.budget import Budget
from commerce_sync.ledger import Finding, Ledger, Run

LASTING = ("stale", "unscheduled", "idle", "rejects", "parked", "broken", "limits")
IDLE_FOR = timedelta(days=7)
FEWEST_IDLE_RUNS = 20
MOST_RUNS = 2_000


@dataclass(frozen=True, slots=True)
class Limits:
    """When a flow's legs are worth a message; None leaves it to the schedule.

    stale_after: since a leg's last green run (None: three intervals and an hour).
    unscheduled_after: since any run of a leg began (None: two intervals and half an hour).
    idle_runs: green runs on end that read nothing, of a leg that once did (None: as many as a week has).
    rejected_share: refused and quarantined rows of the rows a run wanted to send.   rejected_rows: at least so many.
    """

    stale_after: timedelta | None = None
    unscheduled_after: timedelta | None = None
    idle_runs: int | None = None
    rejected_share: float = 0.05
    rejected_rows: int = 20


@dataclass(frozen=True, slots=True)
class Watched:
    """A flow as the watch sees it. schedule: cron expression in UTC, or None."""

    flow: str
    legs: tuple[str, ...]
    schedule: str | None
    limits: Limits


def interval(schedule: str, *, now: datetime) -> timedelta:
    """The longest time between two runs of a cron schedule, among its next fifty.

    Raises ValueError for an expression croniter does not know.
    """
    fires = croniter(schedule, now)
    times: list[datetime] = [fires.get_next(datetime) for _number in range(50)]
    return max(later - earlier for earlier, later in zip(times, times[1:], strict=False))


def findings(ledger: Ledger, watched: Watched, *, now: datetime | None = None) -> list[Finding]:
    """What there is to say of a flow's legs now. Legs that never ran are silent: nobody has taken them into use."""
    now = now or datetime.now(UTC)
    found: list[Finding] = []
    for leg in watched.legs:
        runs = [run for run in ledger.runs(leg, limit=_looked_at(watched, now)) if run.kind not in ("plan", "compare")]
        if runs:
            found += _of_leg(ledger, watched, leg, runs, now)
    return found


def budget_findings(ledger: Ledger, budgets: Sequence[Budget], *, now: datetime | None = None) -> list[Finding]:
    """Allowances that are expected to fall below the reserve that is others', each with when and by whom."""
    found = []
    for item in ledger.standings(budgets, now=now):
        breach = item.forecast.breach if item.forecast is not None else None
        if breach is None:
            continue
        waiting = sum(1 for leg in item.legs if leg.since)
        text = (
            f"{item.connection}: {breach.left:,} of {item.level.limit or 0:,} {item.resource} are expected to be left "
            f"at {breach.at:%Y-%m-%d %H:%M} UTC, {item.level.reserve:,} are the reserve for others. Used in 24 hours: "
            f"{item.ours:,} by our flows, {item.others:,} by others; {waiting} legs wait. python -m commerce_sync "
            "budget says more"
        )
        found.append(Finding(f"limits:{item.connection}:{item.resource}", "limits", item.connection, None, text))
    return found


def _looked_at(watched: Watched, now: datetime) -> int:
    return min(MOST_RUNS, _idle_runs(watched, now) + 10)


def _idle_runs(watched: Watched, now: datetime) -> int:
    if watched.limits.idle_runs is not None:
        return watched.limits.idle_runs
    if watched.schedule is None:
        return FEWEST_IDLE_RUNS
    return max(FEWEST_IDLE_RUNS, math.ceil(IDLE_FOR / interval(watched.schedule, now=now)))


def _of_leg(ledger: Ledger, watched: Watched, leg: str, runs: Sequence[Run], now: datetime) -> list[Finding]:
    said = {
        "stale": _stale(watched, runs, now),
        "unscheduled": _unscheduled(watched, runs, now),
        "idle": _idle(ledger, watched, leg, runs, now),
        "rejects": _rejects(watched, runs),
        "parked": _parked(ledger, leg),
    }
    return [Finding(f"{kind}:{leg}", kind, watched.flow, leg, text) for kind, text in said.items() if text]


def _stale(watched: Watched, runs: Sequence[Run], now: datetime) -> str | None:
    limit = watched.limits.stale_after
    if limit is None and watched.schedule is not None:
        limit = 3 * interval(watched.schedule, now=now) + timedelta(hours=1)
    green = [run.ended for run in runs if run.status == "green" and run.ended is not None]
    since = max(green) if green else min(run.started for run in runs)
    if limit is None or now - since <= limit:
        return None
    never = "" if green else " (none is known)"
    return f"no green run for {_long(now - since)}{never}; allowed are {_long(limit)}. Its last run is {runs[0].status}"


def _unscheduled(watched: Watched, runs: Sequence[Run], now: datetime) -> str | None:
    limit = watched.limits.unscheduled_after
    if limit is None and watched.schedule is not None:
        limit = 2 * interval(watched.schedule, now=now) + timedelta(minutes=30)
    waited = now - runs[0].started
    if limit is None or waited <= limit or runs[0].status == "running":
        return None
    return (
        f"no run began for {_long(waited)}; allowed are {_long(limit)}. Is the DAG paused, missing, or the scheduler "
        "down?"
    )


def _idle(ledger: Ledger, watched: Watched, leg: str, runs: Sequence[Run], now: datetime) -> str | None:
    wanted = _idle_runs(watched, now)
    last = [run for run in runs if run.kind in ("changes", "complete")][:wanted]
    if len(last) < wanted or any(run.status != "green" or run.read or run.sent for run in last):
        return None
    if ledger.state(leg).version == 0 or not ledger.state(leg).markers:
        return None
    return f"{wanted} green runs on end read nothing, and it used to. Does the source still give what it gave?"


def _rejects(watched: Watched, runs: Sequence[Run]) -> str | None:
    last = next((run for run in runs if run.settled and run.sent + run.quarantined), None)
    if last is None:
        return None
    lost, offered = last.rejected + last.quarantined, last.sent + last.quarantined
    if lost < watched.limits.rejected_rows or lost <= watched.limits.rejected_share * offered:
        return None
    return (
        f"run {last.run}: {lost:,} of {offered:,} rows were refused or quarantined ({lost / offered:.0%}; allowed are "
        f"{watched.limits.rejected_share:.0%})"
    )


def _parked(ledger: Ledger, leg: str) -> str | None:
    parked = ledger.reject_counts(leg).get("parked", 0)
    return f"{parked:,} rows used up their attempts and wait for a person (error desk)" if parked else None


def _long(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours:,.1f} hours" if hours < 72 else f"{hours / 24:,.0f} days"
