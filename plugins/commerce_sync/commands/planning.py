"""``plan`` and ``apply``: what would be sent, field by field, and sending just that."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from commerce_sync.commands.built import built_flows, chosen_mappings, run_id, table
from commerce_sync.commands.running import run_legs
from commerce_sync.errors import ConfigurationError

HEAD = ("leg", "creates", "changes", "fields set", "fields cleared", "deletes", "no effect", "would be refused")


def plan(options: Namespace) -> int:
    """Show what the next run would do, and what the target would refuse; 1 when something would stop it."""
    from commerce_sync import plan_rows, steps, walk
    from commerce_sync.flow import source_system, target_system
    from commerce_sync.window import Mode, Request

    site, name, plans = steps.site(), run_id("plan"), []
    mode: Mode = "plan_complete" if options.mode == "complete" else "plan"
    request = Request(mode=mode, since=options.since, until=options.until, keys=tuple(options.keys),
                      limit=options.limit)  # fmt: skip
    for mapping in _chosen(options):
        walk.leg(site, mapping, name, request=request, sources=source_system, targets=target_system)
        found = plan_rows.load(site.batches, mapping.leg, name)
        assert found is not None
        plans.append(found)
    if options.json:
        print(json.dumps(_as_json(site, plans, rows=options.rows), indent=2, default=str))
    else:
        _print(site, plans, rows=options.rows)
    if options.out:
        path = Path(options.out)
        count = plan_rows.write_file(site.batches, [(item.leg, item.run) for item in plans], path)
        print(f"{path}: {count} lines, personal values masked", file=sys.stderr)
    return int(any(item.stops for item in plans))


def _chosen(options: Namespace) -> list[Any]:
    """The legs of a flow, or one leg by its own name."""
    built, _broken = built_flows(options)
    every = [mapping for stages in built.values() for stage in stages for mapping in stage]
    alone = [mapping for mapping in every if mapping.leg == options.flow and options.flow not in built]
    return alone or chosen_mappings(options)


def _print(site: Any, plans: list[Any], *, rows: int) -> None:
    table(HEAD, [(item.leg, str(item.effects["create"]), str(item.effects["change"]), str(item.sets), str(item.clears),
                  str(item.effects["delete"]), str(item.effects["none"]), str(sum(item.refusals.values())))
                 for item in plans])  # fmt: skip
    for item in plans:
        for code, count in item.refusals.items():
            print(f"{item.leg}: {count} would be refused: {code}")
        for text in item.stops:
            print(f"{item.leg}: WOULD STOP: {text}")
        for text in item.warnings:
            print(f"{item.leg}: note: {text}")
        if item.held:
            print(f"{item.leg}: {item.held} need a person's yes before they are sent")
        _print_rows(site, item, rows=rows)
    print(f"\nTo send just this: python -m commerce_sync apply '{plans[0].run}'")


def _print_rows(site: Any, item: Any, *, rows: int) -> None:
    from commerce_sync import plan_rows

    lines = []
    for change in plan_rows.rows(site.batches, item.leg, item.run, limit=rows) if rows else ():
        said = [line for line in change.lines if line[1] in ("set", "clear")] or [("", "", "", "")]
        for field, action, before, after in said:
            verdict = f"{change.code}: {change.reason}" if change.code else ""
            lines.append((change.key, change.effect, field, action, _short(before), _short(after), _short(verdict, 90)))
    if lines:
        print(f"\n{item.leg}")
        table(("key", "effect", "field", "", "before", "after", "would be refused"), lines)


def _short(text: str | None, most: int = 40) -> str:
    shown = "" if text is None else " ".join(text.split())
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def _as_json(site: Any, plans: list[Any], *, rows: int) -> list[dict[str, Any]]:
    from commerce_sync import plan_rows

    found = []
    for item in plans:
        changes = plan_rows.rows(site.batches, item.leg, item.run, limit=rows)
        names = ("field", "action", "before", "after")
        shown = [asdict(one) | {"lines": [dict(zip(names, line, strict=True)) for line in one.lines]}
                 for one in changes]  # fmt: skip
        found.append(asdict(item) | {"rows": shown})
    return found


def apply(options: Namespace) -> int:
    """Send the changes of a plan, where neither side has changed since; 1 when a leg did not end green."""
    from commerce_sync import steps
    from commerce_sync.window import Request

    site, request = steps.site(), Request(plan=options.run)
    return run_legs(site, _planned(site, options), prefix="apply", request=request, wait_s=options.wait)


def _planned(site: Any, options: Namespace) -> list[Any]:
    """The legs of a plan that has something to send, in the order of their flow."""
    from commerce_sync import plan_rows

    built, _broken = built_flows(options)
    every = [mapping for stages in built.values() for stage in stages for mapping in stage]
    plans = {item.leg: plan_rows.load(site.batches, item.leg, options.run) for item in every}
    found = [item for item in every if plans[item.leg] is not None and options.leg in (None, item.leg)]
    if not found:
        raise ConfigurationError(
            f"no leg has a plan {options.run!r} that is still kept; make one with: python -m commerce_sync plan FLOW"
        )
    return [item for item in found if plans[item.leg].rows]  # type: ignore[union-attr]
