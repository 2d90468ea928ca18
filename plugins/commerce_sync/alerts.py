"""Tells somebody when a flow failed or is late: which step, what it counted, why, and where to look.

Attached to tasks and to the DAG. A task's own callback comes first and knows the step; a task that was killed runs
none, then the DAG's callback tells it. The ledger notes each failure before it is told, so that there are no doubles,
and what was noted and never left (the process died, the mail server was down) is sent by the watch (``duty``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseNotifier
from airflow.sdk.definitions.context import Context

from commerce_sync import attempts, sending
from commerce_sync.errors import SyncError
from commerce_sync.ledger import FAILURE, Finding, Ledger, Run

COUNTED = ("extracted", "sent", "delivered", "rejected", "quarantined", "unprocessed")
REJECTS_LOOKED_AT = 10_000
UNTOLD = "it ended before it could tell why: killed (out of memory?), or its machine is gone"
"""A task that fails tells what went wrong, and first; only of one that could not does the DAG's callback tell."""


class FailureNotifier(BaseNotifier):
    """One message per failed leg of a run, however many callbacks Airflow makes.

    legs: of the flow. As the DAG's callback it also ends the runs of its legs that will not go on.
    """

    def __init__(self, *, legs: Sequence[str]) -> None:
        super().__init__()
        self.legs = tuple(legs)

    def notify(self, context: Context) -> None:
        from commerce_sync import steps

        ledger = steps.site().ledger
        error = context.get("exception")
        found = self._of_run(ledger, context) if error is None else [self._of_task(ledger, context, error)]
        tell(ledger, ledger.claim_alerts(found), subject=f"{context['dag_run'].dag_id} failed", log=self.log)

    def _of_task(self, ledger: Ledger, context: Context, error: Any) -> Finding:
        dag_run, task_id = context["dag_run"], str(context["ti"].task_id)
        leg = task_id.partition(".")[0]
        of_leg = leg if leg in self.legs else None
        # Only our own errors are sure to quote no personal values.
        reason = f"{type(error).__name__}: {error}" if isinstance(error, SyncError) else type(error).__name__
        lines = [
            f"step {task_id}: {reason}",
            *_balance(ledger, of_leg, dag_run.run_id),
            f"log: {link(dag_run, task_id)}",
        ]
        return _finding(dag_run, of_leg or task_id, of_leg, lines)

    def _of_run(self, ledger: Ledger, context: Context) -> list[Finding]:
        """Legs that did not end well; the run itself when it is none of them (a poll, a broken DAG)."""
        from commerce_sync import leg as legs
        from commerce_sync import steps

        dag_run, reason = context["dag_run"], str(context.get("reason") or "task failed")
        failed = str(getattr(context.get("ti"), "task_id", "") or "")  # the last one that failed
        found = []
        for leg in self.legs:
            legs.release(steps.site(), leg, dag_run.run_id, message=f"the DAG run failed: {reason}")
            run = _run(ledger, leg, dag_run.run_id)
            if run is not None and run.status != "green":
                step = failed if failed.partition(".")[0] == leg else ""
                told = f"step {step}: {UNTOLD}" if step else reason
                lines = [told, *_balance(ledger, leg, dag_run.run_id), f"run: {link(dag_run, step)}"]
                found.append(_finding(dag_run, leg, leg, lines))
        if found:
            return found
        return [_finding(dag_run, failed.partition(".")[0] or "-", None, [reason, f"run: {link(dag_run, failed)}"])]


def late(*, legs: Sequence[str], hours: float, context: Any = None) -> None:
    """A run of a flow is not done in time; called by Airflow's deadline alerts in a worker."""
    import logging

    from commerce_sync import steps

    ledger, dag_run = steps.site().ledger, _dag_run(context)
    running = [line for leg in legs for line in _balance(ledger, leg, dag_run["run_id"])]
    lines = [f"run {dag_run['run_id']} is not done {hours:g} hours after it was queued", *running]
    found = Finding(f"late:{dag_run['dag_id']}:{dag_run['run_id']}", FAILURE, dag_run["dag_id"], None, "\n".join(lines))
    log = logging.getLogger(__name__)
    tell(ledger, ledger.claim_alerts([found]), subject=f"{dag_run['dag_id']} is late", log=log)


def _dag_run(context: Any) -> dict[str, Any]:
    """Airflow hands the run over as a dict or as an object, depending on where the callback runs."""
    dag_run = (context or {}).get("dag_run") or {}
    if isinstance(dag_run, dict):
        return dag_run
    return {"dag_id": dag_run.dag_id, "run_id": dag_run.run_id}


def tell(ledger: Ledger, found: Sequence[Finding], *, subject: str, log: Any, over: Sequence[Finding] = ()) -> None:
    """Send one message about all findings, and note that it left. Nothing found is no message."""
    if not found and not over:
        return
    parts = [f"{one.flow}{f', leg {one.leg}' if one.leg else ''}\n{one.message}" for one in found]
    parts += [f"over: {one.kind} {one.flow}{f', leg {one.leg}' if one.leg else ''}" for one in over]
    message = {
        "subject": subject,
        "text": "\n\n".join(parts),
        "findings": [{"kind": one.kind, "flow": one.flow, "leg": one.leg, "message": one.message} for one in found],
        "over": [{"kind": one.kind, "flow": one.flow, "leg": one.leg} for one in over],
    }
    if sending.send(message, log=log):
        ledger.told_alerts([one.key for one in found])


def link(dag_run: Any, task_id: str = "") -> str:
    """Address of a run, or of its task, in Airflow's UI."""
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="").rstrip("/")
    run = f"{base}/dags/{quote(dag_run.dag_id)}/runs/{quote(dag_run.run_id)}"
    return f"{run}/tasks/{quote(task_id)}" if task_id else run


def _finding(dag_run: Any, part: str, leg: str | None, lines: Sequence[str]) -> Finding:
    # A run that is cleared gets a new start, and may fail anew.
    began = getattr(dag_run, "start_date", None)
    key = f"{FAILURE}:{dag_run.dag_id}:{dag_run.run_id}:{began.isoformat() if began else ''}:{part}"
    return Finding(key, FAILURE, dag_run.dag_id, leg, "\n".join([f"run {dag_run.run_id}", *lines]))


def _run(ledger: Ledger, leg: str, run_id: str) -> Run | None:

    return ledger.find_run(leg, attempts.latest(ledger, leg, run_id))


def _balance(ledger: Ledger, leg: str | None, run_id: str) -> list[str]:
    """Status, counts, message and classes of reasons of a leg's run, a line each."""
    run = _run(ledger, leg, run_id) if leg else None
    if leg is None or run is None:
        return []
    counts = ", ".join(f"{name} {run.counts[name]:,}" for name in COUNTED)
    lines = [f"{leg}: {run.status}; {counts}", *([run.message] if run.message else [])]
    classes = Counter(item.reason_class or "unknown" for item in ledger.rejects(leg, limit=REJECTS_LOOKED_AT)
                      if item.last_run == run.run)  # fmt: skip
    if classes:
        lines.append("refused: " + ", ".join(f"{name} {number:,}" for name, number in classes.most_common()))
    return lines
