"""Steps of a run in a process of their own, which may kill itself for good at a chosen point."""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import delivery, detection, flow
from commerce_sync import leg as legs
from commerce_sync import walk as walks
from commerce_sync.batches import Batches, BatchWriter
from commerce_sync.ledger import Ledger, rejects
from commerce_sync.mapping import Checks, Guards, Mapping
from commerce_sync.systems.salesforce.bulk import Ingest
from commerce_sync.systems.salesforce.loader import Load
from commerce_sync.window import Request
from flows.walking import mapping_of, open_site, swift

STEPS = ("extract", "map_changes", "check", "load", "commit")


def by_bulk(mapping: Mapping) -> Mapping:
    """The leg, sending everything by bulk jobs, without gate and limits."""
    return replace(swift(mapping, bulk_from=1), checks=Checks(), guards=Guards(max_rejected=None))


def die(*_args: Any, **_kwargs: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str) -> None:
    """Die instead of calling a function."""
    setattr(owner, name, die)


def after(owner: Any, name: str) -> None:
    """Die once a function has returned."""
    real = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        die()

    setattr(owner, name, call)


def after_closing() -> None:
    real = Ingest.close

    async def close(self: Ingest, job_id: str) -> str:
        await real(self, job_id)
        return str(die())

    Ingest.close = close  # type: ignore[method-assign]


def unpublished(step: str) -> Callable[[], None]:
    """Die with a batch's parts written and its manifest not."""

    def arm() -> None:
        real = Batches._publish

        def publish(self: Batches, writer: BatchWriter) -> None:
            if writer.uri.endswith(f"/{step}"):
                die()
            real(self, writer)

        Batches._publish = publish  # type: ignore[method-assign]

    return arm


# point -> the step it lies in, what makes the process die there
POINTS: dict[str, tuple[str, Callable[[], None]]] = {
    "extract, its rows written": ("extract", unpublished("extract-source")),
    "map_changes, its changes written": ("map_changes", unpublished("changes")),
    "load, before a job exists": ("load", lambda: before(Ingest, "create")),
    "load, the data uploaded": ("load", lambda: before(Ingest, "close")),
    "load, the job closed": ("load", after_closing),
    "load, before the results are read": ("load", lambda: before(Load, "_take")),
    "load, the results written": ("load", unpublished("load")),
    "commit, before the transaction": ("commit", lambda: before(Ledger, "settle")),
    "commit, in the transaction": ("commit", lambda: before(rejects, "clear")),
    "commit, after the transaction": ("commit", lambda: after(Ledger, "settle")),
}

# the same for a leg that aggregates; its steps run as one
AGGREGATE_POINTS: dict[str, Callable[[], None]] = {
    "aggregate, the orders merged": unpublished("figures"),
    "aggregate, its figures written": unpublished("aggregate"),
    "load, the job closed": after_closing,
    "commit, before the transaction": lambda: before(Ledger, "settle"),
    "commit, after the transaction": lambda: after(Ledger, "settle"),
}


def live(
    folder: str, environment: dict[str, str], leg: Mapping, run_id: str, steps: tuple[str, ...], point: str
) -> None:
    """Walk some steps of a complete run; ``point`` names where to die, an empty one nowhere."""
    os.environ |= environment
    if steps == ("whole",):
        from flows import killing  # stands above this module

        killing.whole(folder, leg, run_id, point)
        return
    if point:
        arm = AGGREGATE_POINTS[point] if leg.aggregate else POINTS[point][1]
        arm()
    site, mapping = open_site(Path(folder)), by_bulk(leg)
    if steps == ("walk",):
        walks.leg(site, mapping, run_id, request=Request(mode="complete"), sources=flow.source_system,
                  targets=flow.target_system)  # fmt: skip
        return
    for step in steps:
        if step == "extract":
            legs.extract(legs.begin(site, mapping, run_id, request=Request(mode="complete")), flow.source_system)
        else:
            one_step(step, legs.resume(site, mapping, run_id))


def one_step(step: str, work: legs.LegRun) -> None:
    later: dict[str, Callable[[], Any]] = {
        "map_changes": lambda: detection.map_changes(work),
        "check": lambda: delivery.check(work),
        "load": lambda: delivery.load(work, flow.target_system, wait_s=60),
        "commit": lambda: delivery.commit(work),
    }
    later[step]()


@cache
def _nursery() -> multiprocessing.context.ForkServerContext:
    """Processes that begin with everything imported: the server that forks them needs our path when it starts."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["great_expectations", "flows.dying", "flows.killing"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        forkserver.ensure_running()
    return context


def in_a_process(
    folder: str, environment: dict[str, str], leg: str, run_id: str, steps: tuple[str, ...], point: str
) -> int | None:
    """Exit code of a process that did ``live``; -9 when it was killed. It is given the mapping: reading all is slow."""
    process = _nursery().Process(target=live, args=(folder, environment, mapping_of(leg), run_id, steps, point))
    process.start()
    process.join(timeout=120)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode
