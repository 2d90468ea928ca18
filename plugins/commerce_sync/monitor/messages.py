"""Messages: every record that was sent, refused or set aside, with what the far side answered; inbound and outbound."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from fastapi import HTTPException
from fastapi.responses import HTMLResponse

from commerce_sync import places
from commerce_sync.history import OUTCOMES, Message
from commerce_sync.monitor import book, catalogue, page
from commerce_sync.monitor.access import Reader
from commerce_sync.monitor.catalogue import Catalogue
from commerce_sync.monitor.masking import masked_key, masked_payload

ROWS = 50
MOST = 5_000
"""Rows one can page to; who looks further back narrows the time or names a key."""
SPANS = {
    "1h": (timedelta(hours=1), "last hour"),
    "24h": (timedelta(days=1), "last 24 hours"),
    "7d": (timedelta(days=7), "last 7 days"),
    "30d": (timedelta(days=30), "last 30 days"),
    "all": (None, "all that is kept"),
}
LOOKS = (timedelta(hours=1), timedelta(days=1))
"""How far back to look at first."""
DIRECTIONS = {"outbound": "out of SAP Commerce", "inbound": "into SAP Commerce"}


def messages(visit: Reader) -> HTMLResponse:
    """The newest messages that the filters leave."""
    known = catalogue.read()
    query = {
        "key": visit.asked("key"),
        "leg": visit.asked("leg"),
        "direction": page.one_of(visit.asked("direction"), DIRECTIONS),
        "outcome": page.one_of(visit.asked("outcome"), OUTCOMES),
        "over": page.one_of(visit.asked("over"), SPANS) or ("all" if visit.asked("key") else "7d"),
    }
    start = _start(visit.asked("start"))
    length, _words = SPANS[query["over"]]
    legs = _legs(known, leg=query["leg"], direction=query["direction"])
    since = datetime.now(UTC) - length if length else None
    search = partial(
        book.history().search, key=query["key"] or None, legs=legs or (), limit=ROWS + 1, offset=start,
        outcomes=(query["outcome"],) if query["outcome"] else (),
    )  # fmt: skip
    found = [] if legs == () else _newest(search, since, looks=() if query["key"] else LOOKS)
    return page.show(
        visit, "messages", tab="messages", title="Messages", rows=found[:ROWS], query=query, known=known, start=start,
        size=ROWS, has_more=len(found) > ROWS and start + ROWS < MOST, most=MOST, directions=DIRECTIONS,
        spans_words={name: words for name, (_length, words) in SPANS.items()}, kept=kept(),
        outcomes=OUTCOMES, legs=known.order(book.browser().legs()), hidden=masked_key,
    )  # fmt: skip


def _newest(
    search: Callable[..., list[Message]], since: datetime | None, *, looks: tuple[timedelta, ...]
) -> list[Message]:
    """What ``search`` finds from ``since`` on; recent messages fill most pages, and they lie in few small files."""
    for length in looks:
        closer = datetime.now(UTC) - length
        if since is None or closer > since:
            found = search(since=closer)
            if len(found) > ROWS:
                return found
    return search(since=since)


def kept() -> dict[str, str]:
    """How long successes and errors are kept, in words."""
    return {name: page.span(places.kept(name.upper())) for name in ("success", "error", "payload")}


def _start(text: str) -> int:
    return min(int(text), MOST) if text.isdecimal() and len(text) < 8 else 0


def _legs(known: Catalogue, *, leg: str, direction: str) -> tuple[str, ...] | None:
    """None for all legs; an empty tuple when the filters leave none."""
    if not direction:
        return (leg,) if leg else None
    of_direction = tuple(item.leg for item in known.moves.values() if item.direction == direction)
    return tuple(item for item in of_direction if leg in ("", item))


def message(visit: Reader, leg: str, run: str) -> HTMLResponse:
    """One message with its payload, personal values masked. 404 when it is no longer kept."""
    leg, key = page.leg_of(leg), visit.asked("key")
    history, known = book.history(), catalogue.read()
    found = [item for item in history.search(key=_exact(key), legs=(leg,), limit=200) if item.run == run]
    if not found:
        raise HTTPException(
            404, f"The history has no message of run {run} of leg {leg} for this key; successes are kept for a shorter "
            "time than errors."
        )  # fmt: skip
    moves = known.moves.get(leg)
    return page.show(
        visit, "message", tab="messages", title="One message", rows=found, moves=moves, flow=known.flow_of(leg),
        payload=masked_payload(history.payload(leg, run, key), moves), key=key, shown_key=masked_key(key, moves),
    )  # fmt: skip


def _exact(key: str) -> str:
    return key
