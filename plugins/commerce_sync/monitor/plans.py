"""Plans: what a run would do, field by field, and what the target would refuse; filtered by effect and by refusal."""

from __future__ import annotations

from fastapi import HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse

from commerce_sync import places, plan_rows
from commerce_sync.errors import ConfigurationError
from commerce_sync.monitor import book, catalogue, page, starting
from commerce_sync.monitor.access import Reader, Writer
from commerce_sync.monitor.masking import masked_key
from commerce_sync.monitor.runs import before_of, mark
from commerce_sync.planning import EFFECTS

ROWS = 50
MOST = 100_000
EFFECT_WORDS = {"create": "creates", "change": "changes", "delete": "deletes", "none": "no effect"}


def plans(visit: Reader) -> HTMLResponse:
    """The runs that are plans, newest first, with their figures as long as they are kept."""
    leg = visit.asked("leg")
    found = book.browser().runs(leg=leg, kind="plan", before=before_of(visit.asked("before")), limit=ROWS + 1)
    batches, known = places.batches(), catalogue.read()
    rows = [(run, plan_rows.load(batches, run.leg, run.run)) for run in found[:ROWS]]
    kept = page.span(places.kept("PAYLOAD"))
    older = mark(found[ROWS - 1]) if len(found) > ROWS else ""
    return page.show(
        visit, "plans", tab="plans", title="Plans", rows=rows, query={"leg": leg}, known=known, older=older,
        legs=known.order(book.browser().legs()), is_first=not visit.asked("before"), kept=kept,
    )  # fmt: skip


def plan(visit: Reader, leg: str, run: str) -> HTMLResponse:
    """One plan. 404 when the ledger has none of that name, or it is no longer kept."""
    leg, batches, known = page.leg_of(leg), places.batches(), catalogue.read()
    ran = book.ledger().find_run(leg, run)
    found = plan_rows.load(batches, leg, run)
    if ran is None or found is None:
        kept = page.span(places.kept("PAYLOAD"))
        raise HTTPException(404, f"There is no plan {run} of leg {leg} (any more). Plans are kept for {kept}.")
    effect = page.one_of(visit.asked("effect"), EFFECTS)
    code = page.one_of(visit.asked("code"), (plan_rows.REFUSED, *found.refusals))
    start = _start(visit.asked("start"))
    rows = plan_rows.rows(batches, leg, run, effect=effect, code=code, limit=ROWS + 1, offset=start)
    moves = known.moves.get(leg)
    codes = {plan_rows.REFUSED: "any refusal"} | {name: f"{name} ({count})" for name, count in found.refusals.items()}
    return page.show(
        visit, "plan", tab="plans", title=f"Plan of {leg}", plan=found, run=ran, rows=rows[:ROWS], known=known,
        moves=moves, flow=known.flow_of(leg), effects=EFFECT_WORDS, codes=codes, start=start, size=ROWS,
        has_more=len(rows) > ROWS, query={"effect": effect, "code": code}, hidden=masked_key, leg=leg,
        together=_together(known, leg, run), may_apply=visit.may_change([leg]),
    )  # fmt: skip


def apply(visit: Writer, leg: str, run: str) -> RedirectResponse:
    """Have the flow send what was planned. 404 for a plan that is not there, 409 for a leg that no DAG has."""
    leg, known = page.leg_of(leg), catalogue.read()
    visit.demand([leg])
    if plan_rows.load(places.batches(), leg, run) is None:
        raise HTTPException(404, f"There is no plan {run} of leg {leg} (any more). Make a new one.")
    flow = known.flow_of(leg)
    if flow is None:
        raise ConfigurationError(f"leg {leg} belongs to no DAG that Airflow knows; apply the plan on the command line")
    starting.trigger(visit, flow.dag_id, {"plan": run})
    return page.back(visit, f"plans/{page.part(leg)}/{page.quoted(run)}", done="applying")


def _together(known: catalogue.Catalogue, leg: str, run: str) -> list[str]:
    """The other legs of the flow that were planned in the same run and have something to send: they go with it."""
    flow, batches = known.flow_of(leg), places.batches()
    others = [name for name in flow.legs if name != leg] if flow else []
    return [name for name in others if (found := plan_rows.load(batches, name, run)) is not None and found.rows]


def _start(text: str) -> int:
    return min(int(text), MOST) if text.isdecimal() and len(text) < 8 else 0
