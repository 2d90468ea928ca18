"""Receipts: what the receiver was sent by the neighbours, and what it answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi.responses import HTMLResponse

from commerce_sync.monitor import book, page
from commerce_sync.monitor.access import Reader

ROWS = 50
MOST = 5_000
OUTCOMES = {"taken": False, "failed": True}


def receipts(visit: Reader) -> HTMLResponse:
    """Deliveries, the newest first, and how many each source made in a day."""
    source = visit.asked("source")
    outcome = page.one_of(visit.asked("outcome"), OUTCOMES)
    text = visit.asked("start")
    start = min(int(text), MOST) if text.isdecimal() and len(text) < 8 else 0
    ledger = book.ledger()
    counts = ledger.receipt_counts(datetime.now(UTC) - timedelta(days=1))
    found = ledger.receipts(source=source or None, failed=OUTCOMES.get(outcome), limit=ROWS + 1, offset=start)
    return page.show(
        visit, "receipts", tab="receipts", title="Receipts", rows=found[:ROWS], counts=counts, start=start, size=ROWS,
        has_more=len(found) > ROWS and start + ROWS < MOST, query={"source": source, "outcome": outcome},
        sources=sorted({item.source for item in counts} | ({source} if source else set())), outcomes=OUTCOMES,
    )  # fmt: skip
