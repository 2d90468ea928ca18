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

from commerce_sync import alerts, steps, watching
from commerce_sync.flow import WATCHED
from commerce_sync.ledger import Finding, Ledger
from commerce_sync.watching import LASTING, Watched

LEFT_ALONE = timedelta(minutes=2)
"""So long whoever noted an alert has to send it; then the watch does."""
KEPT = timedelta(days=90)


class Watch(BaseOperator):
    """Looks at the DAG files and the ledger. folder: of the DAG files (default: the one this DAG comes from)."""

    ui_color = "#fdf6e3"

    def __init__(self, *, folder: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = folder

    def execute(self, context: Context) -> dict[str, int]:
        from airflow.sdk.configuration import conf

        folder = Path(self.folder or conf.get("core", "dags_folder"))
        return look(steps.site().ledger, folder=folder, log=self.log)


def look(ledger: Ledger, *, folder: Path, log: Any) -> dict[str, int]:
    """One round: finds, tells what is new and what is over, sends what was left. Gives their numbers."""
    watched, broken = read(folder)
    found = broken + [one for flow in watched for one in watching.findings(ledger, flow)]
    new, over = ledger.lasting_alerts(found, kinds=LASTING)
    left = [one for one in ledger.untold_alerts(before=datetime.now(UTC) - LEFT_ALONE) if one.ended_at is None]
    alerts.tell(ledger, [*new, *left], over=over, subject=_subject(new, left, over), log=log)
    ledger.sweep_alerts(before=datetime.now(UTC) - KEPT)
    return {"flows": len(watched), "found": len(found), "new": len(new), "over": len(over), "sent_late": len(left)}


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
