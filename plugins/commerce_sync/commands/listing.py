"""``flows`` and ``check``: what there is, and whether it can work."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

from commerce_sync.commands.built import built_flows, show_broken, table
from commerce_sync.errors import SyncError


def flows(options: Namespace) -> int:
    """List every flow with its legs and their last run."""
    from commerce_sync import places

    ledger = places.open_ledger()
    rows = []
    built, broken = built_flows(options)
    for flow, stages in built.items():
        for mapping in (item for stage in stages for item in stage):
            last = next(iter(ledger.runs(mapping.leg, limit=1)), None)
            arrow = f"{mapping.source.system} -> {mapping.target.system} {mapping.target.object}"
            rows.append((flow, mapping.leg, arrow, *_ended(last)))
    table(("flow", "leg", "moves", "last run", "started (UTC)", "delivered"), rows)
    return show_broken(broken)


def _ended(last: Any) -> tuple[str, str, str]:
    return (last.status, f"{last.started:%Y-%m-%d %H:%M}", str(last.delivered)) if last else ("never ran", "", "")


def check(options: Namespace) -> int:
    """Validate every mapping, and ask the systems that can tell whether they have what it names."""
    from commerce_sync import before_images, gates

    built, broken = built_flows(options)
    broken += _broken_order()
    for mapping in (item for stages in built.values() for stage in stages for item in stage):
        faults = gates.check_names(mapping.checks) + ([] if options.offline else _far_faults(mapping))
        faults += [f"undo: true, but {fault}"] if mapping.undo and (fault := before_images.objection(mapping)) else []
        broken += [f"{mapping.path}: {fault}" for fault in faults]
        print(f"{'ok' if not faults else 'BROKEN':7} {mapping.leg}")
    return show_broken(broken)


def _broken_order() -> list[str]:
    """What is wrong with the flows that follow each other: names that do not exist, and circles."""
    from commerce_sync.flow import FOLLOWS

    faults = []
    for flow, after in FOLLOWS.items():
        faults += [f"flow {flow}: follows {name!r}, which is no flow; there are: {', '.join(FOLLOWS)}"
                   for name in after if name not in FOLLOWS]  # fmt: skip
        seen, ahead = set(), list(after)
        while ahead and flow not in seen:
            name = ahead.pop()
            if name not in seen:
                seen.add(name)
                ahead += FOLLOWS.get(name, ())
        if flow in seen:
            faults.append(f"flow {flow}: follows itself by way of {', '.join(after)}, so it would never end")
    return faults


def _far_faults(mapping: Any) -> list[str]:
    """What the systems themselves say about a mapping; one that cannot be asked is named and is no fault."""
    from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

    from commerce_sync.errors import RetryableError

    faults: list[str] = []
    for conn_id, ask in _questions(mapping):
        try:
            faults += ask()
        except (AirflowNotFoundException, AirflowRuntimeError, RetryableError) as error:
            why = str(error) if isinstance(error, RetryableError) else "there is no such connection"
            print(f"{mapping.leg}: {conn_id} was not asked: {why}", file=sys.stderr)
        except SyncError as error:
            faults.append(f"{conn_id}: {error}")
    return faults


def _questions(mapping: Any) -> list[tuple[str, Callable[[], list[str]]]]:
    """Connection, and what asks it; a system that has no way to tell says nothing."""
    from commerce_sync import agreement
    from commerce_sync.flow import source_system, target_system

    def of_source(source: Any) -> list[str]:
        tell = getattr(source_system(source), "problems_of_source", None)
        return list(tell(source)) if tell else []

    def of_target() -> list[str]:
        tell = getattr(target_system(mapping), "problems", None)
        return list(tell(agreement.plain(mapping.target), mapping.fields)) if tell else []

    asks: list[tuple[str, Callable[[], list[str]]]] = [
        (source.conn_id, partial(of_source, source)) for source in mapping.sources
    ]
    return [*asks, (mapping.target.conn_id, of_target)]
