"""Runs a leg's steps one after the other in this process: what the command line and the story tests use."""

from __future__ import annotations

import time
from datetime import datetime

from commerce_sync import aim_check, approval, delivery, detection, planning, portion, sharding
from commerce_sync import leg as legs
from commerce_sync.approval import Ask
from commerce_sync.company import LegBusy
from commerce_sync.delivery import Targets
from commerce_sync.detection import Verdicts
from commerce_sync.ledger import Run
from commerce_sync.leg import LegRun, Site, Sources
from commerce_sync.mapping import Mapping
from commerce_sync.window import Request

LOOK_AGAIN_S = 1.0
"""How long a run in this process sleeps before it asks again whether its leg is free."""
WAIT_S = 600.0
"""How long a load in this process waits for remote jobs before it asks again."""


def leg(
    site: Site, mapping: Mapping, run_id: str, *, request: Request, sources: Sources, targets: Targets,
    now: datetime | None = None, approve: Ask | None = None, wait_s: float = 0.0,
) -> Run:  # fmt: skip
    """One run of one leg from extract to commit. Raises what its steps raise; the run then is marked stopped.

    approve: asks a person; without it what needs an answer stays held.   wait_s: how long to wait for another run of
    the leg, in seconds; then LegBusy.
    """
    work = _begin(site, mapping, run_id, request=request, now=now, wait_s=wait_s)
    try:
        aim_check.before_reading(work, targets)
        found = legs.extract(work, sources)
        if found["idle"]:
            return delivery.commit_nothing(work)
        return _onwards(work, targets, approve)
    except BaseException as error:
        legs.release(site, mapping.leg, run_id, message=f"{type(error).__name__}: {error}")
        raise


def _begin(
    site: Site, mapping: Mapping, run_id: str, *, request: Request, now: datetime | None, wait_s: float
) -> LegRun:
    until = time.monotonic() + wait_s
    while True:
        try:
            return legs.begin(site, mapping, run_id, request=request, now=now)
        except LegBusy:
            if (left := until - time.monotonic()) <= 0:
                raise
            time.sleep(min(LOOK_AGAIN_S, left))


def _onwards(work: LegRun, targets: Targets, approve: Ask | None) -> Run:
    verdicts = detect(work)
    if work.planned:
        planning.make(work, verdicts, targets)
    elif verdicts.send:
        delivery.check(work)
        _agree(work, approve)
        _load(work, targets)
        return sharding.commit(work)
    else:
        return delivery.commit(work)
    return work.site.ledger.find_run(work.leg, work.id) or work.run


def detect(work: LegRun) -> Verdicts:
    """Aggregate if the leg does, then map and compare."""
    if work.mapping.aggregate is not None:
        legs.aggregate(work)
    return portion.postpone(work, detection.map_changes(work))


def _agree(work: LegRun, approve: Ask | None) -> None:
    asked = approval.hold(work)
    if asked is not None and asked.waits:
        approval.settle(work, asked, approve(asked) if approve else None)


def _load(work: LegRun, targets: Targets) -> None:
    aim_check.before_sending(work, targets)
    for part in sharding.parts(work):
        while getattr(sharding.load(part, targets, wait_s=WAIT_S), "trigger", None) is not None:
            time.sleep(1)
