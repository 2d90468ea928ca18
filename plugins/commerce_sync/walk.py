"""Runs a leg's steps one after the other in this process: what the command line and the story tests use."""

from __future__ import annotations

import time
from datetime import datetime

from commerce_sync import delivery, detection
from commerce_sync import leg as legs
from commerce_sync.delivery import Targets
from commerce_sync.detection import Verdicts
from commerce_sync.ledger import Run
from commerce_sync.leg import LegRun, Site, Sources
from commerce_sync.mapping import Mapping
from commerce_sync.window import Request

WAIT_S = 600.0
"""How long a load in this process waits for remote jobs before it asks again."""


def leg(
    site: Site, mapping: Mapping, run_id: str, *, request: Request, sources: Sources, targets: Targets,
    now: datetime | None = None,
) -> Run:  # fmt: skip
    """One run of one leg from extract to commit. Raises what its steps raise; the run then is marked stopped."""
    work = legs.begin(site, mapping, run_id, request=request, now=now)
    try:
        found = legs.extract(work, sources)
        if found["idle"]:
            return delivery.commit_nothing(work)
        return _onwards(work, targets)
    except BaseException as error:
        legs.release(site, mapping.leg, run_id, message=f"{type(error).__name__}: {error}")
        raise


def _onwards(work: LegRun, targets: Targets) -> Run:
    verdicts = detect(work)
    if work.planned:
        detection.end_plan(work, verdicts)
    elif verdicts.send:
        delivery.check(work)
        _load(work, targets)
        return delivery.commit(work)
    else:
        return delivery.commit(work)
    return work.site.ledger.find_run(work.leg, work.id) or work.run


def detect(work: LegRun) -> Verdicts:
    """Aggregate if the leg does, then map and compare."""
    if work.mapping.aggregate is not None:
        legs.aggregate(work)
    return detection.map_changes(work)


def _load(work: LegRun, targets: Targets) -> None:
    while getattr(delivery.load(work, targets, wait_s=WAIT_S), "trigger", None) is not None:
        time.sleep(1)
