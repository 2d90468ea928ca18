"""The command line of the flows: list, check, plan, run, explain; what did not arrive and what waits for an answer.

``python -m commerce_sync --help`` names the commands. Uses the same settings, connections and ledger as the DAGs.
"""

from __future__ import annotations

import argparse
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from commerce_sync.commands import (
    budgeting,
    comparing,
    desk,
    drift,
    forgetting,
    listing,
    planning,
    running,
    setting_up,
    undoing,
)
from commerce_sync.errors import SyncError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when something is red or broken, 2 for a wrong call or a set-up that
    differs.
    """
    options = _parser().parse_args(arguments)
    # Great Expectations reports its own assembly in hundreds of lines.
    os.environ.setdefault("AIRFLOW__LOGGING__NAMESPACE_LEVELS", "great_expectations=WARNING")
    command: Callable[[Namespace], int] = options.command
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
    for add in (_add_flows, _add_runs, _add_compare, _add_undo, _add_desk, _add_approvals):
        add(commands)
    setting_up.add_commands(commands, _add)
    forgetting.add_commands(commands, _add)
    return parser


def _add_flows(commands: Any) -> None:
    _add(commands, "flows", listing.flows, "list flows, legs, and how their last run ended")
    sub = _add(commands, "check", listing.check, "validate every DAG, mapping, its SQL and its expectations")
    sub.add_argument("--offline", action="store_true", help="do not ask the systems whether they have the fields")
    sub = _add(commands, "drift", drift.drift, "show what changed in the systems' fields since the last look")
    sub.add_argument("--json", action="store_true", help="for machines")
    sub = _add(commands, "budget", budgeting.budget, "what is left of every system's allowance, and who waits for room")
    sub.add_argument("--json", action="store_true", help="for machines")


def _add_runs(commands: Any) -> None:
    for name, function, text in (("plan", planning.plan, "show what the next run would do, and do nothing"),
                                 ("run", running.run, "run a flow here, without the scheduler")):  # fmt: skip
        sub = _add(commands, name, function, text)
        legs = ", or a leg" if name == "plan" else ""
        sub.add_argument("flow", help=f"DAG id{legs}, as listed by `flows`")
        sub.add_argument("--leg", help="only this leg")
        modes = ("auto", "complete") if name == "plan" else ("auto", "changes", "complete", "replay")
        sub.add_argument("--mode", choices=modes, default="auto", help="what to read; only complete finds deletes")
        sub.add_argument(
            "--since", type=datetime.fromisoformat, help="changed at or after, e.g. 2026-01-31T00:00:00+00:00"
        )
        sub.add_argument("--until", type=datetime.fromisoformat, help="changed before")
        sub.add_argument("--keys", nargs="+", default=(), metavar="KEY", help="only these records")
        sub.add_argument("--limit", type=int, help="at most so many changes per leg; the others wait")
        sub.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="for another run of a leg to end")
        if name == "plan":
            sub.add_argument("--json", action="store_true", help="for machines")
            sub.add_argument("--rows", type=int, default=20, help="show so many changes field by field (default 20)")
            sub.add_argument("--out", metavar="FILE", help="write all lines to FILE.csv or FILE.parquet")
    sub = _add(commands, "apply", planning.apply, "send the changes of a plan, where nothing has changed since")
    sub.add_argument("run", help="the plan's run id, as `plan` prints it")
    sub.add_argument("--leg", help="only this leg")
    sub.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="for another run of a leg to end")
    sub = _add(commands, "release", running.release, "end a run that died, so that the leg may run again")
    sub.add_argument("leg")
    sub.add_argument("run")


def _add_compare(commands: Any) -> None:
    sub = _add(commands, "compare", comparing.compare, "show what the target holds otherwise than it was sent")
    sub.add_argument("flow", help="DAG id, or a leg; legs without `compare` in their mapping are left out of a flow")
    sub.add_argument("--leg", help="only this leg")
    sub.add_argument("--repair", action="store_true", help="let the next complete scan put it right")
    sub.add_argument("--json", action="store_true", help="for machines")


def _add_undo(commands: Any) -> None:
    sub = _answering(commands, "undo", undoing.undo, "put back what a run changed, where nobody changed it since")
    sub.add_argument("run", help="as the monitor names it")
    sub.add_argument("--plan", action="store_true", help="show what would be done, and send nothing")
    sub = _answering(commands, "redo", undoing.redo, "let records that were undone go again")
    sub.add_argument("keys", nargs="*", metavar="KEY", help="none named: all of the leg")


def _add_desk(commands: Any) -> None:
    sub = _add(commands, "explain", desk.explain, "all that is known of one record, in every leg that moves it")
    sub.add_argument(
        "names", nargs="+", metavar="[LEG] KEY", help="the record's key, behind a leg to hear of that only"
    )
    sub.add_argument("--json", action="store_true", help="for machines")
    sub = _add(commands, "rejects", desk.rejects, "list what did not arrive: by reason, or row by row for one leg")
    sub.add_argument("leg", nargs="?")
    sub.add_argument("--limit", type=int, default=desk.SHOWN, help=f"at most so many rows (default {desk.SHOWN})")
    sub = _answering(commands, "retry", desk.retry, "let the next run offer rejects at once")
    sub.add_argument("keys", nargs="+", metavar="KEY")
    sub = _answering(commands, "dismiss", desk.dismiss, "keep rejects out until their payload changes", needs=True)
    sub.add_argument("keys", nargs="+", metavar="KEY")
    sub = _answering(commands, "edit", desk.edit, "let the next run send corrected values for one reject", needs=True)
    sub.add_argument("key")
    sub.add_argument("values", nargs="+", metavar="FIELD=VALUE", help="a field of the target; FIELD= clears it")


def _answering(
    commands: Any, name: str, function: Callable[[Namespace], int], text: str, *, needs: bool = False
) -> argparse.ArgumentParser:
    sub = _add(commands, name, function, text)
    sub.add_argument("leg")
    sub.add_argument("--by", required=needs, default="command line", help="who says so; kept in the ledger")
    sub.add_argument("--reason", required=name == "dismiss", help="kept in the ledger")
    return sub


def _add_approvals(commands: Any) -> None:
    sub = _add(commands, "approvals", desk.approvals, "list the changes that wait for a person's yes, or waited")
    sub.add_argument("leg", nargs="?")
    for name, status, text in (("approve", "approved", "let the next run send changes that are held"),
                               ("refuse", "refused", "keep changes that are held set aside")):  # fmt: skip
        sub = _add(commands, name, desk.answer, text)
        sub.set_defaults(status=status)
        sub.add_argument("leg")
        sub.add_argument("keys", nargs="+", metavar="KEY", help="as listed by `approvals`; '*' stands for a whole run")
        sub.add_argument("--by", required=True, help="who says so; kept in the ledger")
        sub.add_argument("--reason", help="kept in the ledger")


def _add(commands: Any, name: str, function: Callable[[Namespace], int], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=function)
    return parser


if __name__ == "__main__":
    sys.exit(main())
