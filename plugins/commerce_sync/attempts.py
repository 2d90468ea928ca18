"""Which row of the ledger an Airflow run has at a leg: its own, or a numbered successor when it is started anew.

A run that is cleared starts from ``extract`` again under the same name. When it had settled, that is another run; so it
is when it may have sent something, because what it sent no longer follows from what it reads now: the try before is
then a run that was given up (see ``doubt``), and what the target held before it is what it held before both.
"""

from __future__ import annotations

from commerce_sync.batches import Batches
from commerce_sync.ledger import Ledger, Run

CHANGES, BEFORE = "changes", "before"


def latest(ledger: Ledger, leg: str, run_id: str) -> str:
    """The ledger's name of the newest try of an Airflow run."""
    number, name = 2, run_id
    while ledger.find_run(leg, f"{run_id}~{number}") is not None:
        name, number = f"{run_id}~{number}", number + 1
    return name


def settled_after(ledger: Ledger, leg: str, name: str) -> str | None:
    """The newest try of the same Airflow run when that is a later one than ``name`` and has settled."""
    first, mark, number = name.rpartition("~")
    run_id = first if mark and number.isdigit() else name
    last = latest(ledger, leg, run_id)
    found = ledger.find_run(leg, last)
    return last if last != name and found is not None and found.settled else None


def to_begin(ledger: Ledger, batches: Batches, leg: str, run_id: str) -> tuple[str, Run | None]:
    """The name of the try that starts now, and the try before if that may have sent something and never settled."""
    name = latest(ledger, leg, run_id)
    before = ledger.find_run(leg, name)
    if before is None or not (before.settled or _has_changes(batches, before) and may_have_sent(ledger, before)):
        return name, None
    number = int(name[len(run_id) + 1 :] or 1)
    return f"{run_id}~{number + 1}", None if before.settled else before


def may_have_sent(ledger: Ledger, run: Run) -> bool:
    """A run that a gate, a guard or a person stopped sent nothing, unless an earlier try of it had begun to.

    Their refusals name the leg first; a run that was released or gave way may have been at any point.
    """
    if run.kind == "plan":
        return False
    refused = run.status == "stopped" and (run.message or "").startswith(f"leg {run.leg}: ")
    return not refused or bool(ledger.jobs(run.leg, run.run).all())


def _has_changes(batches: Batches, run: Run) -> bool:
    found = batches.find(run.leg, run.run, CHANGES)
    return found is not None and found.rows > 0
