"""``compare``: what a target holds otherwise than it was sent, and its repair."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from commerce_sync.commands.built import built_flows, chosen_mappings, run_id, table
from commerce_sync.errors import ConfigurationError, SyncError

HEAD = ("leg", "compared", "missing", "replaced", "stale", "edited", "doubled", "resurrected", "waiting", "calls")
KINDS = HEAD[2:8]


def compare(options: Namespace) -> int:
    """Compare the legs of a flow, or one; 1 when a leg could not be compared, 2 when something differs."""
    from commerce_sync import comparing, steps
    from commerce_sync.flow import target_system

    site, found, broken = steps.site(), [], False
    for mapping in _chosen(options):
        try:
            found.append(
                comparing.run(site, mapping, targets=target_system, run_id=run_id("compare"), repair=options.repair)
            )
        except SyncError as error:
            print(f"{mapping.leg}: {type(error).__name__}: {error}", file=sys.stderr)
            broken = True
    if options.json:
        print(json.dumps([asdict(item) for item in found], indent=2))
    else:
        _show(found, repair=options.repair)
    return 1 if broken else 2 if any(item.differences for item in found) else 0


def _chosen(options: Namespace) -> list[Any]:
    """The legs of a flow that leave marks, or one leg by its own name."""
    built, _broken = built_flows(options)
    every = [mapping for stages in built.values() for stage in stages for mapping in stage]
    alone = [mapping for mapping in every if mapping.leg == options.flow and options.flow not in built]
    if alone:
        return alone
    chosen = [mapping for mapping in chosen_mappings(options) if mapping.target.compare or options.leg]
    if not chosen:
        raise ConfigurationError(
            f"no leg of flow {options.flow} has `compare` in its mapping: there are no marks to compare by "
            "(docs/compare.md)"
        )
    return chosen


def _show(found: list[Any], *, repair: bool) -> None:
    rows = [
        (item.leg, str(item.compared), *(str(item.kinds.get(kind, 0)) for kind in KINDS), str(item.waiting),
         str(item.calls))
        for item in found
    ]  # fmt: skip
    table(HEAD, rows)
    for item in found:
        if item.rows:
            print(f"\n{item.leg}")
            table(("kind", "key", "target id", "action"),
                  [(row["kind"], row["key"], row["target_id"] or "", row["action"]) for row in item.rows])  # fmt: skip
        if len(item.rows) < item.differences:
            print(f"the first {len(item.rows)} are shown", file=sys.stderr)
        if item.unmarked:
            print(f"{item.leg}: {item.unmarked} records hold the external id and no mark; they are not compared")
    acts = any(item.actions.keys() - {"report"} for item in found)
    if acts:
        then = "The next complete scan of each leg does it." if repair else "With --repair the next complete scan does."
        print(f"\n{then} At once: python -m commerce_sync run FLOW --leg LEG --mode complete")
