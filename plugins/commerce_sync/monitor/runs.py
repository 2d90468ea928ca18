"""Runs: all of them with their balance, and one with everything the ledger noted about it."""

from __future__ import annotations

from datetime import datetime

from fastapi import HTTPException
from fastapi.responses import HTMLResponse

from commerce_sync import places
from commerce_sync.batches import safe_name
from commerce_sync.gate_page import PAGE
from commerce_sync.ledger import Run
from commerce_sync.ledger.runs import KINDS, STATUSES
from commerce_sync.monitor import book, catalogue, page, streams, undoing
from commerce_sync.monitor.access import Reader

ROWS = 50


def runs(visit: Reader) -> HTMLResponse:
    """Runs, newest first."""
    known = catalogue.read()
    leg = visit.asked("leg")
    status, kind = page.one_of(visit.asked("status"), STATUSES), page.one_of(visit.asked("kind"), KINDS)
    found = book.browser().runs(
        leg=leg, status=status, kind=kind, before=before_of(visit.asked("before")), limit=ROWS + 1
    )
    over = page.one_of(visit.asked("over"), streams.SPANS) or "7d"
    query = {"leg": leg, "status": status, "kind": kind, "over": visit.asked("over")}
    older = mark(found[ROWS - 1]) if len(found) > ROWS else ""
    return page.show(
        visit, "runs", tab="runs", title="Runs", runs=found[:ROWS], query=query, statuses=STATUSES, kinds=KINDS,
        legs=known.order(book.browser().legs()), older=older, known=known, is_first=not visit.asked("before"),
        charts=streams.charts(over, leg=leg), over=over, spans=streams.SPANS,
    )  # fmt: skip


def mark(run: Run) -> str:
    """The last run shown; the next page goes on after it."""
    return f"{run.started.isoformat()} {run.leg} {run.run}"


def before_of(text: str) -> tuple[datetime, str, str] | None:
    """What ``mark`` wrote; None for anything else, which shows the first page."""
    at, _, rest = text.partition(" ")
    leg, _, run = rest.partition(" ")
    started = page.moment(at)
    return (started, leg, run) if started else None


def run(visit: Reader, leg: str, run: str) -> HTMLResponse:
    """One run. 404 when the ledger has none of that name."""
    leg = page.leg_of(leg)
    found = book.ledger().find_run(leg, run)
    if found is None:
        raise HTTPException(404, f"The ledger has no run {run} of leg {leg}. Runs are forgotten after a while.")
    jobs = book.ledger().jobs(leg, run).all()
    return page.show(
        visit, "run", tab="runs", title=f"Run of {leg}", run=found, jobs=jobs, known=catalogue.read(),
        has_gate=(places.pages() / safe_name(leg) / safe_name(run) / PAGE).is_file(), parts=_parts(found),
        undo=undoing.standing(found), may_undo=visit.may_change([leg]),
    )  # fmt: skip


def _parts(run: Run) -> dict[str, list[tuple[str, int]]]:
    """Both sides of the balance: what the rows read became, and what became of those that were sent."""
    counts = run.counts
    return {
        "extracted": [(name, counts[name]) for name in ("unchanged", "filtered", "quarantined", "sent")],
        "sent": [(name, counts[name]) for name in ("delivered", "rejected", "unprocessed")],
    }
