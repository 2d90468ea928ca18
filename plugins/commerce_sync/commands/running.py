"""``run`` and ``release``: runs without the scheduler."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from commerce_sync.commands.built import chosen_mappings, run_id, table
from commerce_sync.errors import SyncError

BALANCE = ("extracted", "unchanged", "filtered", "quarantined", "sent", "delivered", "rejected", "unprocessed")


def run(options: Namespace) -> int:
    """Run a flow's legs here, one after the other."""
    from commerce_sync import steps, walk
    from commerce_sync.flow import source_system, target_system

    site, rows, red = steps.site(), [], 0
    request = _request(options, mode=options.mode)
    for mapping in chosen_mappings(options):
        name = run_id("cli")
        try:
            walk.leg(
                site, mapping, name, request=request, sources=source_system, targets=target_system, wait_s=options.wait
            )
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
