"""The part of a run's page about undoing it: whether it can be, what an undo found, and the button that starts one.

The work itself is done by a worker: the button triggers the DAG ``commerce_sync_undo``.
"""

from __future__ import annotations

from dataclasses import replace

from fastapi import HTTPException
from fastapi.responses import RedirectResponse

from commerce_sync import error_desk, undo
from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import Run
from commerce_sync.mapping import Mapping
from commerce_sync.monitor import book, catalogue, explaining, page, starting
from commerce_sync.monitor.access import Writer
from commerce_sync.monitor.errors import REASON_LENGTH
from commerce_sync.monitor.masking import masked_key

FLOW = "commerce_sync_undo"


def standing(run: Run) -> undo.Standing:
    """What there is to say about undoing a run; keys that are personal are masked."""
    found = undo.standing(explaining.site(), _mapping(run.leg), run)
    moves = catalogue.read().moves.get(run.leg)
    if found.found is None:
        return found
    rows = tuple(row | {"key": masked_key(row["key"], moves)} for row in found.found.rows)
    return replace(found, found=replace(found.found, rows=rows))


def _mapping(leg: str) -> Mapping | None:
    try:
        return error_desk.mapping_of(leg)
    except ConfigurationError:
        return None


def start(visit: Writer, leg: str, run: str) -> RedirectResponse:
    """Have a run undone. 404 for a run that is not there, 409 for one that cannot be undone."""
    leg = page.leg_of(leg)
    visit.demand([leg])
    found = book.ledger().find_run(leg, run)
    if found is None:
        raise HTTPException(404, f"The ledger has no run {run} of leg {leg}. Runs are forgotten after a while.")
    if objection := standing(found).objection:
        raise ConfigurationError(f"leg {leg}: run {run} cannot be undone: {objection}")
    reason = visit.given("reason")[:REASON_LENGTH] or None
    starting.trigger(visit, FLOW, {"leg": leg, "run": run, "by": visit.name, "reason": reason})
    at = f"runs/{page.part(leg)}/{page.quoted(run)}"
    return page.back(visit, at, done="undoing")
