"""``run`` and ``release``: runs without the scheduler."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from commerce_sync.commands.built import chosen_mappings, run_id, table
from commerce_sync.errors import SyncError

BALANCE = ("extracted", "unchanged", "filtered", "quarantined", "sent", "delivered", "rejected", "unprocessed")


def run(options: Namespace) -> int:
    """Run a flow's legs here, one after the other."""
    from commerce_sync import steps

    request = _request(options, mode=options.mode)
    return run_legs(steps.site(), chosen_mappings(options), prefix="cli", request=request, wait_s=options.wait)


def run_legs(site: Any, mappings: Iterable[Any], *, prefix: str, request: Any, wait_s: float) -> int:
    """Run legs one after the other and print their balance; 1 when one of them raised."""
    from commerce_sync import walk
    from commerce_sync.flow import source_system, target_system

    rows, red = [], 0
    for mapping in mappings:
        name = run_id(prefix)
        try:
            walk.leg(site, mapping, name, request=request, sources=source_system, targets=target_system, wait_s=wait_s)
        except SyncError as error:
            print(f"{mapping.leg}: {type(error).__name__}: {error}", file=sys.stderr)
            red = 1
        done = site.ledger.find_run(mapping.leg, name)
        if done is not None:
            rows.append((mapping.leg, done.status, *(str(done.counts[item]) for item in BALANCE)))
    table(("leg", "status", *BALANCE), rows)
    return red


def _request(options: Namespace, *, mode: Any) -> Any:
    from commerce_sync.window import Request

    return Request(mode=mode, since=options.since, until=options.until, keys=tuple(options.keys), limit=options.limit)


def release(options: Namespace) -> int:
    """End a run that died."""
    from commerce_sync import leg as legs
    from commerce_sync import steps

    legs.release(steps.site(), options.leg, options.run, message="released by hand")
    print(f"{options.leg}: {options.run} no longer holds up the next run")
    return 0
