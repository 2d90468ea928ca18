"""Forgetting a record for good, and letting it come back."""

from __future__ import annotations

import argparse
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from commerce_sync.errors import ConfigurationError

if TYPE_CHECKING:
    from commerce_sync.forget import Forgotten


def add_commands(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """The command ``forget``."""
    text = "erase all that is held about one record, by every name it is known by, and keep it from coming back"
    sub = add(commands, "forget", forget, text)
    sub.add_argument("key", nargs="?", metavar="KEY", help="its key, login, or id at a target")
    only = sub.add_mutually_exclusive_group()
    only.add_argument("--system", help="only in the legs that read or write this system, such as salesforce")
    only.add_argument("--leg", help="only in this leg, under this very key")
    what = sub.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="say what would go, and erase nothing")
    what.add_argument("--undo", action="store_true", help="let a forgotten record come back, by any name it had")
    what.add_argument("--pending", action="store_true", help="go on with what waited for runs to end")
    sub.add_argument("--by", default="command line", help="who says so; kept with the tombstone")
    sub.add_argument("--json", action="store_true", help="for machines")


def forget(options: Namespace) -> int:
    """Erase all that is held about a record, by every name it is known by; 1 when something is left for later."""
    from commerce_sync import forget as forgetting
    from commerce_sync import steps

    if options.pending:
        done = forgetting.erase_pending(steps.site())
        print(
            f"{done} records are erased now; {len(steps.site().ledger.tombstones(pending=True))} wait for a run to end"
        )
        return 0
    if options.key is None:
        raise ConfigurationError("forget needs a KEY; or --pending, to go on with what waited for runs to end")
    if options.undo:
        return _readmit(options)
    found = forgetting.forget(
        steps.site(), options.key, by=options.by, system=options.system, leg=options.leg, dry_run=options.dry_run
    )
    print(json.dumps(found.as_json(), indent=2) if options.json else _text(found, options))
    return 0 if found.done else 1


def _readmit(options: Namespace) -> int:
    from commerce_sync import forget as forgetting
    from commerce_sync import steps

    lifted = forgetting.readmit(steps.site(), options.key, system=options.system, leg=options.leg)
    if not lifted:
        print("no record was forgotten under this name", file=sys.stderr)
        return 1
    print("the record may come back: the next complete scan of each leg reads it again")
    return 0


def _text(found: Forgotten, options: Namespace) -> str:
    """For people: what went, or would."""
    head = "would go" if options.dry_run else "erased"
    lines = [f"known by {found.names} names" + (f": {', '.join(found.known_as)}" if options.dry_run else "")]
    lines += [f"{store:24} {rows:>8} {head}" for store, rows in found.gone.items()] or ["nothing is held about it"]
    if found.scoured:
        lines.append(found.scoured)
    if found.waits:
        lines.append(
            f"at work: {', '.join(found.waits)}. What they hold goes when they have ended: the nightly upkeep sees to "
            "it, or python -m commerce_sync forget --pending"
        )
    if not options.dry_run:
        lines.append("a tombstone keeps it from coming back; the target systems still hold what they hold")
    return "\n".join(lines)
