"""The watch: an operator that looks after all flows and tells what nobody else would notice.

Broken files, flows that stopped being scheduled, legs that stay behind or move nothing, and alerts that never left.
"""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from commerce_sync import alerts, places, steps, watching
from commerce_sync.budget import Budgets
from commerce_sync.flow import BUILT, WATCHED, hook
from commerce_sync.ledger import Finding, Ledger, Reported
from commerce_sync.watching import LASTING, Watched

LEFT_ALONE = timedelta(minutes=2)
"""So long whoever noted an alert has to send it; then the watch does."""
KEPT = timedelta(days=90)
SILENT_FOR = timedelta(minutes=30)
"""After so long without an answer of a system the watch asks what is left of its allowance."""


class OfAllFlows(BaseOperator):
    """A task that is about every flow there is. folder: of the DAG files (default: the one this DAG comes from)."""

    ui_color = "#fdf6e3"

    def __init__(self, *, folder: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = folder

    def dags_folder(self) -> Path:
        """Where the DAG files are."""
        from airflow.sdk.configuration import conf

        return Path(self.folder or conf.get("core", "dags_folder"))


class Watch(OfAllFlows):
    """Looks at the DAG files and the ledger."""

    def execute(self, context: Context) -> dict[str, int]:
        return look(steps.site().ledger, folder=self.dags_folder(), log=self.log)


def look(ledger: Ledger, *, folder: Path, log: Any) -> dict[str, int]:
    """One round: finds, tells what is new and what is over, sends what was left. Gives their numbers."""
    watched, broken = read(folder)
    found = broken + [one for flow in watched for one in watching.findings(ledger, flow)]
    budgets = places.budgets()
    ask_limits(ledger, budgets, log=log)
    found += watching.budget_findings(ledger, list(budgets.values()))
    new, over = ledger.lasting_alerts(found, kinds=LASTING)
    left = [one for one in ledger.untold_alerts(before=datetime.now(UTC) - LEFT_ALONE) if one.ended_at is None]
    alerts.tell(ledger, [*new, *left], over=over, subject=_subject(new, left, over), log=log)
    ledger.sweep_alerts(before=datetime.now(UTC) - KEPT)
    return {"flows": len(watched), "found": len(found), "new": len(new), "over": len(over), "sent_late": len(left)}


def ask_limits(ledger: Ledger, budgets: Budgets, *, log: Any) -> None:
    """Ask systems what is left where no answer has said it for a while: flows that wait make no calls and hear nothing.

    One call for each connection, itself counted by the far side only.
    """
    systems = {target.conn_id: target.system for stages in BUILT.values() for stage in stages for target in
               (item.target for item in stage)}  # fmt: skip
    now = datetime.now(UTC)
    for name, system in systems.items():
        wanted = [resource for resource, allowance in budgets[name].per_day.items() if allowance.limit is None] if (
            name in budgets) else []  # fmt: skip
        heard = [ledger.reported_at(name, resource) for resource in wanted]
        if not wanted or all(at is not None and now - at < SILENT_FOR for at in heard):
            continue
        try:
            tell = getattr(hook(system, name), "allowances", None)
            for resource, (limit, used) in (tell() if tell else {}).items():
                ledger.report(name, resource, Reported(limit, used, datetime.now(UTC)))
        except Exception as error:  # whatever is wrong with the connection: its flows say so, the watch goes on
            log.warning("%s did not say what is left of its allowance: %s", name, type(error).__name__)


def _subject(new: Sequence[Finding], left: Sequence[Finding], over: Sequence[Finding]) -> str:
    flows = sorted({one.flow for one in (*new, *left)})
    if not flows:
        return f"Commerce Sync: {len(over)} alerts are over"
    return f"Commerce Sync: {', '.join(flows[:3])}{' and others' if len(flows) > 3 else ''} need a look"


def read(folder: Path) -> tuple[list[Watched], list[Finding]]:
    """The flows of the DAG files, and what is wrong with the files that give none."""
    WATCHED.clear()
    broken = []
    for path in sorted(folder.glob("*.py")):
        try:
            runpy.run_path(str(path))
        except Exception as error:  # noqa: BLE001  # whatever is wrong with a file, its flow does not run
            text = f"{path.name} gives no flow: {type(error).__name__}: {error}"
            broken.append(Finding(f"broken:{path.stem}", "broken", path.stem, None, text))
    return list(WATCHED.values()), broken
