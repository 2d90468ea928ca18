"""Gate results: the list of runs that had one, and the page each gate left."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fastapi import HTTPException
from fastapi.responses import HTMLResponse

from commerce_sync import places
from commerce_sync.batches import safe_name
from commerce_sync.gate_page import PAGE
from commerce_sync.ledger import Run
from commerce_sync.monitor import book, catalogue, page
from commerce_sync.monitor.access import Reader
from commerce_sync.monitor.runs import before_of, mark

ROWS = 50
LOOKED_THROUGH = 400
"""Runs per page at most: a leg with nothing to send has runs without a gate by the hundred."""
VERDICTS = ("passed", "quarantined", "stopped")
TITLE_BYTES = 1024
_TITLE = re.compile(r"<title>(Passed|Quarantined|Stopped):")


@dataclass(frozen=True, slots=True)
class Gate:
    """A run whose gate left a page. verdict: empty when the page does not say."""

    run: Run
    verdict: str


def gates(visit: Reader) -> HTMLResponse:
    """Gate results, newest first."""
    known, leg = catalogue.read(), visit.asked("leg")
    verdict = page.one_of(visit.asked("verdict"), VERDICTS)
    found, older = _found(leg=leg, verdict=verdict, before=visit.asked("before"))
    return page.show(
        visit, "gates", tab="gates", title="Gate results", gates=found, older=older, known=known, verdicts=VERDICTS,
        legs=known.order(book.browser().legs()), query={"leg": leg, "verdict": verdict},
        is_first=not visit.asked("before"),
    )  # fmt: skip


def _found(*, leg: str, verdict: str, before: str) -> tuple[list[Gate], str]:
    """Gates, and where the next page goes on; empty at the end."""
    runs = book.browser().runs(leg=leg, before=before_of(before), limit=LOOKED_THROUGH)
    found: list[Gate] = []
    for run in runs:
        path = _path(run.leg, run.run)
        said = _verdict(path) if is_there(path) else None
        if said is not None and verdict in ("", said):
            found.append(Gate(run, said))
        if len(found) == ROWS:
            return found, mark(run)
    return found, mark(runs[-1]) if len(runs) == LOOKED_THROUGH else ""


def _path(leg: str, run: str) -> Path:
    return places.pages() / safe_name(leg) / safe_name(run) / PAGE


def _verdict(path: Path) -> str:
    """What the gate decided, from the title of its page."""
    with path.open("rb") as file:
        title = _TITLE.search(file.read(TITLE_BYTES).decode("utf-8", errors="replace"))
    return title.group(1).lower() if title else ""


def gate(visit: Reader, leg: str, run: str) -> HTMLResponse:
    """The result page a gate left, as it was written. 404 when that run had none."""
    path = _path(leg, run)
    if not is_there(path):
        raise HTTPException(
            404, f"No gate result for leg {leg}, run {run}: the gate only runs when there is something to send."
        )
    return page.guarded(HTMLResponse(path.read_text(encoding="utf-8")), policy=page.GATE_PAGE)


def is_there(path: Path) -> bool:
    """Whether there is such a file; a name no file can have (an address may ask for any) is not there."""
    try:
        return path.is_file()
    except OSError:
        return False
