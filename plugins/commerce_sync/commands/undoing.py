"""``undo`` and ``redo``: take back what a run did, and let it be done again."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from commerce_sync.commands.built import run_id, table

BALANCE = ("extracted", "unchanged", "filtered", "sent", "delivered", "rejected", "unprocessed")


def undo(options: Namespace) -> int:
    """Undo a run, or show what that would do; 1 when the target refused some of it."""
    from commerce_sync import error_desk, steps
    from commerce_sync import undo as undoing
    from commerce_sync.flow import target_system

    site, mapping = steps.site(), error_desk.mapping_of(options.leg)
    if options.plan:
        _show(undoing.plan(site, mapping, options.run, targets=target_system), would=True)
        return 0
    done = undoing.run(
        site, mapping, options.run, targets=target_system, run_id=run_id("undo"), by=options.by, reason=options.reason
    )
    table(("leg", "run", "status", *BALANCE),
          [(done.leg, done.run, done.status, *(str(done.counts[name]) for name in BALANCE))])  # fmt: skip
    found = undoing.found_by(site, done)
    if found is not None:
        _show(found, would=False)
    return 1 if done.rejected or done.unprocessed else 0


def _show(found: Any, *, would: bool) -> None:
    """The list, conflicts first; personal values are masked."""
    values = ("before", "written", "present", "reason")
    rows = [
        (row["key"], row["field"] or "", row["verdict"], *(_text(row[name]) for name in values)) for row in found.rows
    ]
    table(("key", "field", "verdict", *values), rows)
    verb = "would go back" if would else "went back"
    print(
        f"{found.leg}: undo of {found.undoes}: {found.restored} fields and records {verb}, {found.conflicts} left alone"
    )
    if len(found.rows) < found.restored + found.conflicts:
        print(f"the first {len(found.rows)} are shown", file=sys.stderr)


def _text(value: str | None) -> str:
    return "" if value is None else value if len(value) <= 80 else f"{value[:77]}..."


def redo(options: Namespace) -> int:
    """Let undone records go again; 1 when none of the keys was held."""
    from commerce_sync import steps
    from commerce_sync import undo as undoing

    keys = undoing.redo(steps.site(), options.leg, options.keys, by=options.by, reason=options.reason)
    print(
        f"{options.leg}: {len(keys)} go again with the next complete scan, or at once: trigger the flow with their keys"
    )
    return 0 if keys else 1
