"""The command line of the flows: list, check, plan, run, explain, approve, refuse, release.

``python -m commerce_sync --help`` names the commands. Uses the same settings, connections and ledger as the DAGs.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from commerce_sync.errors import ConfigurationError, SyncError

BALANCE = ("extracted", "unchanged", "filtered", "quarantined", "sent", "delivered", "rejected", "unprocessed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when something is red or broken, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    # Great Expectations reports its own assembly in hundreds of lines.
    os.environ.setdefault("AIRFLOW__LOGGING__NAMESPACE_LEVELS", "great_expectations=WARNING")
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except SyncError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m commerce_sync", description="Keeps SAP Commerce in step with its neighbours."
    )
    parser.add_argument(
        "--dags", default=os.environ.get("AIRFLOW__CORE__DAGS_FOLDER", "dags"), help="folder of the DAG files"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "flows", flows, "list flows, legs, and how their last run ended")
    sub = _add(commands, "check", check, "validate every DAG, mapping, its SQL and its expectations")
    sub.add_argument("--offline", action="store_true", help="do not ask the systems whether they have the fields")
    for name, function, text in (("plan", plan, "show what the next run would send, and send nothing"),
                                 ("run", run, "run a flow here, without the scheduler")):  # fmt: skip
        sub = _add(commands, name, function, text)
        sub.add_argument("flow", help="DAG id, as listed by `flows`")
        sub.add_argument("--leg", help="only this leg")
        sub.add_argument("--mode", choices=("auto", "changes", "complete", "replay"), default="auto")
        sub.add_argument(
            "--since", type=datetime.fromisoformat, help="changed at or after, e.g. 2026-01-31T00:00:00+00:00"
        )
        sub.add_argument("--until", type=datetime.fromisoformat, help="changed before")
        sub.add_argument("--keys", nargs="+", default=(), metavar="KEY", help="only these records")
        sub.add_argument("--limit", type=int, help="at most so many changes per leg; the others wait")
        sub.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="for another run of a leg to end")
    sub = _add(commands, "explain", explain, "all that is known of one record: marker, rejection, runs")
    sub.add_argument("leg")
    sub.add_argument("key")
    sub = _add(commands, "approvals", approvals, "list the changes that wait for a person's yes, or waited")
    sub.add_argument("leg", nargs="?")
    for name, status, text in (("approve", "approved", "let the next run send changes that are held"),
                               ("refuse", "refused", "keep changes that are held set aside")):  # fmt: skip
        sub = _add(commands, name, answer, text)
        sub.set_defaults(status=status)
        sub.add_argument("leg")
        sub.add_argument("keys", nargs="+", metavar="KEY", help="as listed by `approvals`; '*' stands for a whole run")
        sub.add_argument("--by", required=True, help="who says so; kept in the ledger")
        sub.add_argument("--reason", help="kept in the ledger")
    sub = _add(commands, "release", release, "end a run that died, so that the leg may run again")
    sub.add_argument("leg")
    sub.add_argument("run")
    return parser


def _add(commands: Any, name: str, function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=function)
    return parser


def flows(options: argparse.Namespace) -> int:
    """List every flow with its legs and their last run."""
    from commerce_sync import places

    ledger = places.open_ledger()
    rows = []
    built, broken = _flows(options)
    for flow, stages in built.items():
        for mapping in (item for stage in stages for item in stage):
            last = next(iter(ledger.runs(mapping.leg, limit=1)), None)
            arrow = f"{mapping.source.system} -> {mapping.target.system} {mapping.target.object}"
            ended = (
                (last.status, f"{last.started:%Y-%m-%d %H:%M}", str(last.delivered)) if last else ("never ran", "", "")
            )
            rows.append((flow, mapping.leg, arrow, *ended))
    _table(("flow", "leg", "moves", "last run", "started (UTC)", "delivered"), rows)
    return _show(broken)


def _ended(last: Any) -> tuple[str, str, str]:
    return (last.status, f"{last.started:%Y-%m-%d %H:%M}", str(last.delivered)) if last else ("never ran", "", "")


def check(options: argparse.Namespace) -> int:
    """Validate every mapping, and ask the systems that can tell whether they have what it names."""
    from commerce_sync import gates

    built, broken = _flows(options)
    broken += _broken_order()
    for mapping in (item for stages in built.values() for stage in stages for item in stage):
        faults = gates.check_names(mapping.checks) + ([] if options.offline else _far_faults(mapping))
        broken += [f"{mapping.path}: {fault}" for fault in faults]
        print(f"{'ok' if not faults else 'BROKEN':7} {mapping.leg}")
    return _show(broken)


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


def plan(options: argparse.Namespace) -> int:
    """Show what the next run would send."""
    from commerce_sync import detection, steps, walk
    from commerce_sync import leg as legs
    from commerce_sync.flow import source_system

    site, rows = steps.site(), []
    request = _request(options, mode="plan")
    for mapping in _chosen(options):
        work = legs.begin(site, mapping, _run_id("plan"), request=request)
        legs.extract(work, source_system)
        found = walk.detect(work)
        detection.end_plan(work, found)
        rows.append(
            (
                mapping.leg,
                *(str(item) for item in (found.extracted, found.unchanged, found.new, found.modified, found.deleted)),
            )
        )
        _sample(work)
    _table(("leg", "looked at", "unchanged", "would create", "would change", "would delete"), rows)
    return 0


def _sample(work: Any) -> None:
    """The first few changes of a plan, personal values masked."""
    batch = work.read("changes")
    rows = work.connect().execute(f"SELECT * FROM {batch.scan()} ORDER BY _key LIMIT 3")
    names = [item[0] for item in rows.description]
    for row in rows.fetchall():
        values = dict(zip(names, row, strict=True))
        shown = {name: "***" if name in work.mapping.personal and values[name] is not None else values[name]
                 for name in names if not name.startswith("_")}  # fmt: skip
        print(f"{work.leg} {values['_kind']} {values['_key']}: {json.dumps(shown, default=str)}")


def run(options: argparse.Namespace) -> int:
    """Run a flow's legs here, one after the other."""
    from commerce_sync import steps, walk
    from commerce_sync.flow import source_system, target_system

    site, rows, red = steps.site(), [], 0
    request = _request(options, mode=options.mode)
    for mapping in _chosen(options):
        name = _run_id("cli")
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
    _table(("leg", "status", *BALANCE), rows)
    return red


def _request(options: argparse.Namespace, *, mode: Any) -> Any:
    from commerce_sync.window import Request

    return Request(mode=mode, since=options.since, until=options.until, keys=tuple(options.keys), limit=options.limit)


def approvals(options: argparse.Namespace) -> int:
    """List what is held, with who answered what; payloads are masked."""
    from commerce_sync import places

    rows = [
        (item.leg, item.key, item.status, f"{item.asked_at:%Y-%m-%d %H:%M}", item.answered_by or "", item.reason or "")
        for item in places.open_ledger().holds(options.leg)
    ]
    _table(("leg", "key", "status", "asked (UTC)", "answered by", "reason"), rows)
    return 0


def answer(options: argparse.Namespace) -> int:
    """Approve or refuse changes that are held; 1 when none of the keys was."""
    from commerce_sync import places

    changed = places.open_ledger().answer_holds(
        options.leg, keys=options.keys, status=options.status, by=options.by, reason=options.reason
    )
    print(f"{options.leg}: {changed} {options.status}; the next run of the leg goes by it")
    return 0 if changed else 1


def explain(options: argparse.Namespace) -> int:
    """Print all the ledger knows of one record."""
    from commerce_sync import places

    known = places.open_ledger().explain(options.leg, options.key)
    print(json.dumps(known, indent=2, default=str))
    return 0 if known["marker"] or known["reject"] else 1


def release(options: argparse.Namespace) -> int:
    """End a run that died."""
    from commerce_sync import leg as legs
    from commerce_sync import steps

    legs.release(steps.site(), options.leg, options.run, message="released by hand")
    print(f"{options.leg}: {options.run} no longer holds up the next run")
    return 0


def _run_id(kind: str) -> str:
    return f"{kind}__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"


def _chosen(options: argparse.Namespace) -> list[Any]:
    built, broken = _flows(options)
    if options.flow not in built:
        _show(broken)
        raise ConfigurationError(f"no flow {options.flow!r}; there are: {', '.join(built) or 'none'}")
    mappings = [item for stage in built[options.flow] for item in stage]
    chosen = [item for item in mappings if options.leg in (None, item.leg)]
    if not chosen:
        raise ConfigurationError(
            f"flow {options.flow} has no leg {options.leg!r}; it has: {', '.join(item.leg for item in mappings)}"
        )
    return chosen


def _flows(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Flow -> stages of mappings, from the DAG files; and what is wrong with the files that are missing."""
    os.environ.setdefault("AIRFLOW__CORE__DAGS_FOLDER", str(Path(options.dags).resolve()))
    from commerce_sync.flow import BUILT

    broken = []
    for path in sorted(Path(options.dags).glob("*.py")):
        try:
            runpy.run_path(str(path))
        except SyncError as error:
            broken.append(f"{path}: {error}")
    return dict(BUILT), broken


def _show(broken: list[str]) -> int:
    for fault in broken:
        print(f"BROKEN  {fault}", file=sys.stderr)
    return 1 if broken else 0


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
