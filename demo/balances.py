"""Each leg run's balance, read from the ledger the flows keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

COUNTS = (
    "read",
    "extracted",
    "unchanged",
    "filtered",
    "quarantined",
    "sent",
    "delivered",
    "rejected",
    "unprocessed",
)
READING = ("extracted", "unchanged", "filtered", "quarantined", "sent")
SENDING = ("sent", "delivered", "created", "rejected", "unprocessed")
NEWEST = 1000
MORE_COUNTS = ("carried", "waiting", "new", "modified", "deleted", "created")


@dataclass(frozen=True, slots=True)
class Balance:
    """One run of one leg: counts in rows by name, seconds by step, calls by system as counted by the leg."""

    leg: str
    run: str
    kind: str
    status: str
    is_balanced: bool
    counts: dict[str, int]
    seconds: dict[str, float]
    calls: dict[str, int]
    message: str | None
    as_of: date
    """The UTC date the run's figures refer to: the one of the end of the window it read."""

    def report(self) -> dict[str, Any]:
        """The balance as report.json shows it."""
        return {
            "leg": self.leg,
            "kind": self.kind,
            "status": self.status,
            "balanced": self.is_balanced,
            **self.counts,
            "seconds_per_step": self.seconds,
            "calls": self.calls,
        }


def read_balances(home: Path, *, run_id: str) -> list[Balance]:
    """Balances of one DAG run's legs, in the order the legs began; of a cleared run the last attempt.

    home: the COMMERCE_SYNC_HOME of the flows, with the ledger's SQLite file and its marker files.
    """
    if not (home / "ledger.db").exists():
        return []
    from commerce_sync.ledger import Ledger

    ledger = Ledger.open(f"sqlite:///{home / 'ledger.db'}", files=str(home / "batches" / "markers"))
    found = [run for run in ledger.runs(limit=NEWEST) if run.run == run_id or run.run.startswith(f"{run_id}~")]
    last = {run.leg: run for run in sorted(found, key=lambda run: run.started)}
    return [_balance(run) for run in last.values()]


def _balance(run: Any) -> Balance:
    return Balance(
        leg=run.leg,
        run=run.run,
        kind=run.kind,
        status=run.status,
        is_balanced=run.balanced,
        counts={name: int(run.counts[name]) for name in (*COUNTS, *MORE_COUNTS)},
        seconds={step: round(seconds, 3) for step, seconds in run.seconds.items()},
        calls=dict(run.calls),
        message=run.message,
        as_of=(run.until or run.started).date(),
    )


def rows(balances: Sequence[Balance], names: Sequence[str]) -> list[list[object]]:
    """Rows of a balance table: leg, then the named counts."""
    return [[item.leg, *(item.counts[name] for name in names)] for item in balances]
