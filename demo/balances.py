"""Each leg run's balance, read from the ledger the flows keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True, slots=True)
class Refusal:
    """Rows of one leg's run that did not arrive, with the most frequent code among them and an example."""

    leg: str
    rows: int
    code: str
    reason: str

    def report(self) -> dict[str, Any]:
        """The refusal as report.json shows it."""
        return asdict(self)


def read_refusals(home: Path, balances: Sequence[Balance]) -> list[Refusal]:
    """What was rejected or quarantined in these runs, one entry per leg that has any."""
    ledger = open_ledger(home)
    found = []
    for item in balances:
        rows = item.counts["quarantined"] + item.counts["rejected"]
        if not rows:
            continue
        mine = [row for row in ledger.rejects(item.leg, limit=NEWEST) if row.last_run == item.run]
        codes = Counter(row.code or row.reason_class or "unknown" for row in mine)
        code = codes.most_common(1)[0][0] if codes else "unknown"
        reason = next((row.reason for row in mine if row.code == code and row.reason), "")
        found.append(Refusal(leg=item.leg, rows=rows, code=code, reason=reason))
    return found


def open_ledger(home: Path) -> Any:
    """The ledger the flows of the demo keep."""
    from commerce_sync.ledger import Ledger

    return Ledger.open(f"sqlite:///{home / 'ledger.db'}", files=str(home / "batches" / "markers"))


def read_balances(home: Path, *, run_id: str) -> list[Balance]:
    """Balances of one DAG run's legs, in the order the legs began; of a cleared run the last attempt.

    home: the COMMERCE_SYNC_HOME of the flows, with the ledger's SQLite file and its marker files.
    """
    if not (home / "ledger.db").exists():
        return []
    found = [
        run for run in open_ledger(home).runs(limit=NEWEST) if run.run == run_id or run.run.startswith(f"{run_id}~")
    ]
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
