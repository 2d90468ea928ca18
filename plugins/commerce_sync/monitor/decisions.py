"""What people decide: conflicts (which of two values was right), and holds (whether a change may be sent)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from fastapi import HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse

from commerce_sync.ledger import Conflict
from commerce_sync.ledger.conflicts import ConflictStatus
from commerce_sync.ledger.holds import Answer, HoldStatus
from commerce_sync.monitor import book, catalogue, page
from commerce_sync.monitor.access import Reader, Visit, Writer
from commerce_sync.monitor.catalogue import Catalogue
from commerce_sync.monitor.errors import REASON_LENGTH, pick, picked
from commerce_sync.monitor.masking import masked_key, masked_payload, masked_value

ROWS = 50
CONFLICT_STATUSES: tuple[ConflictStatus, ...] = get_args(ConflictStatus)
HOLD_STATUSES: tuple[HoldStatus, ...] = get_args(HoldStatus)
RESOLUTIONS: dict[str, Literal["resolved", "dismissed"]] = {"resolved": "resolved", "ignored": "dismissed"}
ANSWERS: tuple[Answer, ...] = get_args(Answer)
WHOLE_RUN = "*"


def conflicts(visit: Reader) -> HTMLResponse:
    """Values that lost, the last met first."""
    known, pair, key = catalogue.read(), visit.asked("pair"), visit.asked("key")
    status = next((item for item in CONFLICT_STATUSES if item == (visit.asked("status") or "open")), None)
    start = _offset(visit)
    found = book.ledger().conflicts(
        pair=pair or None, status=status, key=key or None, limit=ROWS + 1, offset=start
    )  # fmt: skip
    rows = [_masked(row, known) for row in found[:ROWS]]
    return page.show(
        visit, "conflicts", tab="conflicts", title="Conflicts", rows=rows, known=known, start=start, size=ROWS,
        has_more=len(found) > ROWS, query={"pair": pair, "status": status or "all", "key": key}, hidden=masked_key,
        statuses=CONFLICT_STATUSES, pairs=sorted({item.pair for item in known.moves.values() if item.pair}),
        counts=book.ledger().conflict_counts(pair or None), may_change=visit.may_change({row.leg for row in rows}),
    )  # fmt: skip


def _offset(visit: Visit) -> int:
    text = visit.asked("start")
    return int(text) if text.isdecimal() and len(text) < 8 else 0


def _masked(row: Conflict, known: Catalogue) -> Conflict:
    legs = known.legs_of_pair(row.pair)
    kept, lost = (masked_value(value, name=row.field, legs=legs) for value in (row.kept, row.lost))
    return replace(row, kept=kept, lost=lost)


def resolve(visit: Writer) -> RedirectResponse:
    """Close the chosen conflicts."""
    status = RESOLUTIONS.get(visit.given("as"))
    chosen = {int(item) for item in visit.form.get("row", ()) if item.isdecimal()}
    if status is None or not chosen:
        raise HTTPException(400, "No conflict was chosen, nothing was changed. Tick at least one row.")
    _demand_for_conflicts(visit, chosen)
    rows = book.ledger().resolve_conflicts(sorted(chosen), status=status, by=visit.name)
    query = {name: visit.given(f"query-{name}") for name in ("pair", "status", "key")}
    return page.back(visit, "conflicts", done=visit.given("as"), rows=rows, **query)


def _demand_for_conflicts(visit: Visit, chosen: set[int]) -> None:
    """The right is asked for the legs the conflicts belong to, not for those the form might name."""
    visit.demand(book.browser().legs_of_conflicts(sorted(chosen)))


def holds(visit: Reader) -> HTMLResponse:
    """Changes that wait for a yes, or waited."""
    known, leg = catalogue.read(), visit.asked("leg")
    status = next((item for item in HOLD_STATUSES if item == (visit.asked("status") or "waiting")), None)
    start = _offset(visit)
    found = book.ledger().holds(leg or None, status=status, limit=ROWS + 1, offset=start)
    rows = found[:ROWS]
    payloads = [masked_payload(row.payload, known.moves.get(row.leg)) for row in rows]
    return page.show(
        visit, "holds", tab="holds", title="Holds", rows=list(zip(rows, payloads, strict=True)), known=known,
        start=start, size=ROWS, has_more=len(found) > ROWS, query={"leg": leg, "status": status or "all"},
        statuses=HOLD_STATUSES, legs=known.order({row.leg for row in rows}), pick=pick, hidden=masked_key,
        whole=WHOLE_RUN, may_change=visit.may_change({row.leg for row in rows}),
    )  # fmt: skip


def answer(visit: Writer) -> RedirectResponse:
    """Approve or refuse the chosen changes, as they were when the page was made."""
    status = next((item for item in ANSWERS if item == visit.given("as")), None)
    if status is None:
        raise HTTPException(400, f"An answer is one of: {', '.join(ANSWERS)}. Nothing was changed.")
    chosen, seen = picked(visit), page.moment(visit.given("seen"))
    visit.demand(chosen)
    reason = visit.given("reason")[:REASON_LENGTH] or None
    rows = sum(
        book.ledger().answer_holds(leg, keys=keys, status=status, by=visit.name, reason=reason, asked_until=seen)
        for leg, keys in chosen.items()
    )
    query = {name: visit.given(f"query-{name}") for name in ("leg", "status")}
    return page.back(visit, "holds", done=status, rows=rows, **query)
