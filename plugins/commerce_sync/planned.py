"""The run that applies a plan reads what the plan read: all there is, or from the same moment on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import Ledger, Run
from commerce_sync.window import Request


def request(ledger: Ledger, leg: str, asked: Request) -> Request:
    """What a run reads that was asked to apply a plan; any other request as it is.

    Raises ConfigurationError for a run that is no plan of the leg, or together with a window, keys or a limit.
    """
    if asked.plan is None:
        return asked
    if asked.mode != "auto" or asked.since or asked.keys or asked.limit or asked.backfill:
        raise ConfigurationError(
            f"leg {leg}: plan {asked.plan!r} says itself which changes are sent; leave mode, since, until, keys and "
            "limit as they are"
        )
    plan = find(ledger, leg, asked.plan)
    return replace(asked, mode="changes" if plan.since else "complete", since=plan.since)


def takes_part(ledger: Ledger, leg: str, run: str, *, flow: Iterable[str]) -> bool:
    """Whether a leg has something to do when its flow applies a plan; a plan may have been made of some legs only.

    flow: all legs of the flow.   A run that no leg of the flow has a plan of is nobody's to skip: ``find`` says so.
    """
    planned = {name for name in flow if (found := ledger.find_run(name, run)) is not None and found.kind == "plan"}
    return not planned or leg in planned


def find(ledger: Ledger, leg: str, run: str) -> Run:
    """The run of a plan. Raises ConfigurationError with the plans there are."""
    found = ledger.find_run(leg, run)
    if found is None or found.kind != "plan":
        known = [item.run for item in ledger.runs(leg, limit=200) if item.kind == "plan"][:3]
        raise ConfigurationError(
            f"leg {leg} has no plan {run!r}; its latest are: {', '.join(known) or 'none, make one with mode plan'}"
        )
    return found
