"""Explain one record: where it stands in every leg, and everything that happened to it, in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import HTMLResponse

from commerce_sync import disguise, places
from commerce_sync import explain as explaining
from commerce_sync.explain import Event, Place
from commerce_sync.leg import Site
from commerce_sync.monitor import book, catalogue, page
from commerce_sync.monitor.access import Reader
from commerce_sync.monitor.catalogue import Catalogue
from commerce_sync.monitor.masking import masked_key, masked_payload
from commerce_sync.monitor.recollection import recollect

MOST_EVENTS = 200
MARKS = {
    "set aside": "quarantined",
    "held": "waiting",
    "asked": "waiting",
    "conflict": "open",
    "said": "edited",
    "sent": "running",
}
"""What happened -> the mark it looks like; answers look like what they said."""


def explain(visit: Reader) -> HTMLResponse:
    """The story of one key; without one, how to ask."""
    key, leg, known = visit.asked("key"), visit.asked("leg"), catalogue.read()
    stores, heard = recollect(site())
    found = explaining.explain(stores, key, leg or None) if key else None
    return page.show(
        visit, "explain", tab="explain", title="Explain", key=key, leg=leg, known=known, found=found, mark=_mark,
        legs=known.order(book.browser().legs()), places=_places(found, known), hidden=masked_key, most=MOST_EVENTS,
        events=found.events[::-1][:MOST_EVENTS] if found else (), names=_names(found, known), last=heard.last,
        may_forget=found is not None and found.known and visit.may_change(()),
    )  # fmt: skip


def site() -> Site:
    """The stores the monitor looks into."""
    return Site(
        book.ledger(), places.batches(), places.stores(), places.pages(), history=book.history()
    )  # fmt: skip


def _places(found: explaining.Explained | None, known: Catalogue) -> list[tuple[Place, Mapping[str, Any] | None]]:
    """Where it stands, each with its masked payload; in the order the legs run."""
    if found is None:
        return []
    order = {leg: number for number, leg in enumerate(known.order(item.leg for item in found.places))}
    ordered = sorted(found.places, key=lambda item: (order[item.leg], item.key))
    return [(item, masked_payload(item.payload, known.moves.get(item.leg))) for item in ordered]


def _names(found: explaining.Explained | None, known: Catalogue) -> list[str]:
    """What else the record is called; a name that is a personal value in any leg it stands in is masked."""
    if found is None:
        return []
    hidden = {item.key for item in found.places if _hides(item.leg, known)}
    return [f"{name[:1]}***" if name in hidden else disguise.shown(name) for name in found.names[1:]]


def _hides(leg: str, known: Catalogue) -> bool:
    moves = known.moves.get(leg)
    return moves is not None and moves.hides_key


def _mark(event: Event) -> str:
    if event.what == "answered":
        return "delivered" if event.text.startswith("delivered") else "rejected"
    return MARKS.get(event.what, event.what)
