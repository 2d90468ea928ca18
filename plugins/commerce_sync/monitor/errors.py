"""The error desk: what did not arrive, grouped by reason, to offer again, to correct, or to dismiss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse

from commerce_sync import error_desk
from commerce_sync.ledger.browsing import UNSETTLED, Group
from commerce_sync.ledger.rejects import REJECT_STATUSES, Reject
from commerce_sync.monitor import book, catalogue, explaining, page, references
from commerce_sync.monitor.access import Reader, Visit, Writer
from commerce_sync.monitor.masking import masked_key, masked_payload

ROWS = 50
CLASSES = {
    "transient": "The far side was busy or away. The next runs offer these rows again by themselves.",
    "lock": "The record was locked by somebody else. The next runs offer these rows again by themselves.",
    "limit": "A quota was used up. The rows are offered again when there is room.",
    "validation": "A rule refused the values. Correct them at the source, or edit the row here, then retry.",
    "reference": "A record that this one points to is not there. Bring that one over first; this one then follows.",
    "permission": "The integration user may not write this. Give it access, then retry.",
    "duplicate": "The far side knows a record like this one. Merge them there, or give the old one the external id.",
    "unknown": "A reason we have no class for. Read what the far side says.",
}
"""Reason class -> what happened, and what to do."""
REASON_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Heap:
    """All rejects of one reason class, with the groups it consists of, the largest first."""

    reason_class: str
    rows: int
    groups: tuple[Group, ...]


def errors(visit: Reader) -> HTMLResponse:
    """Heaps by reason class; below them the rows that the filters leave."""
    known, browser = catalogue.read(), book.browser()
    query = filters(visit)
    statuses = (query["status"],) if query["status"] else UNSETTLED
    groups = browser.groups(leg=query["leg"], statuses=statuses)
    found = browser.rejects(
        leg=query["leg"], reason_class=query["class"], code=query["code"], statuses=statuses, key=query["key"],
        after=_after(visit.asked("after")), limit=ROWS + 1,
    )  # fmt: skip
    shown = found[:ROWS]
    return page.show(
        visit, "errors", tab="errors", title="Errors", heaps=_heaps(groups), rows=shown, query=query, known=known,
        legs=known.order({group.leg for group in groups}), classes=CLASSES, statuses=REJECT_STATUSES, pick=pick,
        total=_total(groups, query), after=_mark(shown[-1]) if len(found) > ROWS else "", hidden=masked_key,
        is_first=not visit.asked("after"), may_change=visit.may_change({row.leg for row in shown}),
    )  # fmt: skip


def filters(visit: Visit) -> dict[str, str]:
    """The filters in the address."""
    return {
        "leg": visit.asked("leg"),
        "class": page.one_of(visit.asked("class"), CLASSES),
        "code": visit.asked("code"),
        "status": page.one_of(visit.asked("status"), REJECT_STATUSES),
        "key": visit.asked("key"),
    }


def _heaps(groups: Sequence[Group]) -> list[Heap]:
    heaps: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        heaps[group.reason_class].append(group)
    found = [Heap(name, sum(group.rows for group in some), tuple(some)) for name, some in heaps.items()]
    return sorted(found, key=lambda heap: -heap.rows)


def _total(groups: Sequence[Group], query: Mapping[str, str]) -> int | None:
    """How many rows the filters leave; None when a key narrows them further."""
    if query["key"]:
        return None
    kept = [item for item in groups if query["class"] in ("", item.reason_class) and query["code"] in ("", item.code)]
    return sum(item.rows for item in kept)


def _mark(row: Reject) -> str:
    return f"{row.leg} {references.linked(row.key, catalogue.read().moves.get(row.leg))}"


def _after(text: str) -> tuple[str, str] | None:
    leg, blank, key = text.partition(" ")
    return (leg, references.key_of(key)) if blank else None


def pick(leg: str, key: str) -> str:
    """What a ticked row sends: leg and key as a query, so that neither can be taken for the other."""
    return urlencode({"leg": leg, "key": references.linked(key, catalogue.read().moves.get(leg))})


def picked(visit: Visit) -> dict[str, list[str]]:
    """Leg -> the keys ticked. Raises 400 when there are none."""
    found: dict[str, list[str]] = defaultdict(list)
    for item in visit.form.get("row", ()):
        values = dict(parse_qsl(item, keep_blank_values=True))
        if "leg" in values and "key" in values:
            found[values["leg"]].append(references.key_of(values["key"]))
    if not found:
        raise HTTPException(400, "No row was chosen, nothing was changed. Tick at least one row.")
    return dict(found)


def error(visit: Reader, leg: str) -> HTMLResponse:
    """One row with all that is known of it. 404 when it has arrived or was never refused."""
    leg, key = page.leg_of(leg), visit.asked("key")
    row = book.browser().reject(leg, key)
    if row is None:
        raise HTTPException(
            404, f"Leg {leg} has no such row among its errors: it has arrived, or is gone at its source."
        )
    known = catalogue.read()
    moves, may_change = known.moves.get(leg), visit.may_change([leg])
    return page.show(
        visit, "error", tab="errors", title="One row", row=row, moves=moves, flow=known.flow_of(leg), classes=CLASSES,
        payload=masked_payload(row.payload, moves), pick=pick, may_change=may_change,
        shown_key=masked_key(key, moves), bad=_fields(row), said=book.ledger().said(leg=leg, keys=[key])[::-1],
        editable=error_desk.editable(leg) if may_change else {},
    )  # fmt: skip


def _fields(row: Reject) -> set[str]:
    """Fields the far side named in its refusal."""
    return {name.strip() for name in (row.fields or "").strip("[]").replace('"', "").split(",") if name.strip()}


def retry(visit: Writer) -> RedirectResponse:
    """Offer the chosen rows again."""
    chosen = picked(visit)
    visit.demand(chosen)
    site = explaining.site()
    rows = sum(error_desk.retry(site, leg, keys, by=visit.name) for leg, keys in chosen.items())
    return page.back(visit, "errors", done="retried", rows=rows, **_query(visit))


def dismiss(visit: Writer) -> RedirectResponse:
    """Let the chosen rows be; a reason is needed."""
    chosen, reason = picked(visit), visit.given("reason")[:REASON_LENGTH]
    if not reason:
        raise HTTPException(400, "A row is dismissed with a reason, nothing was changed. Say why it need not arrive.")
    visit.demand(chosen)
    site = explaining.site()
    rows = sum(error_desk.dismiss(site, leg, keys, by=visit.name, reason=reason) for leg, keys in chosen.items())
    return page.back(visit, "errors", done="dismissed", rows=rows, **_query(visit))


def _query(visit: Visit) -> dict[str, str]:
    return {name: visit.given(f"query-{name}") for name in ("leg", "class", "code", "status", "key")}


def edit(visit: Writer, leg: str) -> RedirectResponse:
    """Correct values of one row, then offer it again."""
    leg, key = page.leg_of(leg), visit.given("key")
    visit.demand([leg])
    values = edited(visit)
    if not values:
        raise HTTPException(400, "No value was changed. Type a new value, or tick one to be emptied.")
    error_desk.edit(explaining.site(), error_desk.mapping_of(leg), key, values, by=visit.name)
    return page.back(visit, "errors", done="edited", rows=1, leg=leg)


def edited(visit: Visit) -> dict[str, Any]:
    """Field -> new text, or None to empty it; fields left alone are missing."""
    values: dict[str, Any] = {
        name.removeprefix("value-"): texts[0]
        for name, texts in visit.form.items()
        if name.startswith("value-") and texts[0] != ""
    }
    return values | dict.fromkeys((name for name in visit.form.get("empty", ()) if name), None)
