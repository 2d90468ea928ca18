"""Whether a leg is free: two runs at once could send an older value after a newer one, so the second waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from commerce_sync.errors import RetryableError
from commerce_sync.ledger import Ledger, Run

BUSY_FOR = timedelta(hours=6)
"""After this a run that never ended no longer holds up the next one."""
LOOK_AGAIN_S = 60.0


class LegBusy(RetryableError):
    """Another run of the leg is at work. Waiting for it is no failed try."""


def refuse_company(ledger: Ledger, leg: str, run_id: str) -> None:
    """Raises LegBusy while another run of the leg is at work."""
    for other in _company(ledger, leg, run_id):
        raise _busy(other)


def give_way(ledger: Ledger, run: Run) -> None:
    """Of two runs that began at the same moment, both unseen by the other, the later one stops: LegBusy."""
    for other in _company(ledger, run.leg, run.run):
        if not run.settled and (other.started, other.run) < (run.started, run.run):
            ledger.update(run, status="stopped", message=f"gave way to {other.run}")
            raise _busy(other)


def _company(ledger: Ledger, leg: str, run_id: str) -> list[Run]:
    """Other runs of a leg that are at work and may send something."""
    since = datetime.now(UTC) - BUSY_FOR
    return [
        other
        for other in ledger.runs(leg, limit=10)
        if other.status == "running" and other.started > since and other.run != run_id and other.kind != "plan"
    ]


def _busy(other: Run) -> LegBusy:
    return LegBusy(
        f"leg {other.leg}: run {other.run} is still at work (since {other.started:%Y-%m-%d %H:%M} UTC); waiting for "
        f"it. If it died, end it with: python -m commerce_sync release {other.leg} '{other.run}'",
        retry_after=LOOK_AGAIN_S,
    )
