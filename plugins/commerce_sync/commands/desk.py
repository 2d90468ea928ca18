"""What people look at and answer: explain, approvals, rejects, and their retry, dismissal and editing."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import Any

from commerce_sync.commands.built import table
from commerce_sync.errors import ConfigurationError

SHOWN = 50


def approvals(options: Namespace) -> int:
    """List what is held, with who answered what; payloads are masked."""
    from commerce_sync import places

    rows = [
        (item.leg, item.key, item.status, f"{item.asked_at:%Y-%m-%d %H:%M}", item.answered_by or "", item.reason or "")
        for item in places.open_ledger().holds(options.leg)
    ]
    table(("leg", "key", "status", "asked (UTC)", "answered by", "reason"), rows)
    return 0


def answer(options: Namespace) -> int:
    """Approve or refuse changes that are held; 1 when none of the keys was."""
    from commerce_sync import places

    changed = places.open_ledger().answer_holds(
        options.leg, keys=options.keys, status=options.status, by=options.by, reason=options.reason
    )
    print(f"{options.leg}: {changed} {options.status}; the next run of the leg goes by it")
    return 0 if changed else 1


def explain(options: Namespace) -> int:
    """Print all that is known of one record, in all legs or in one; 1 when that is nothing."""
    from commerce_sync import steps
    from commerce_sync.explain import explain as explained
    from commerce_sync.explain import text

    *leg, key = options.names
    if len(leg) > 1:
        raise ConfigurationError(f"explain takes KEY, or LEG KEY; {len(options.names)} names were given")
    found = explained(steps.site(), key, leg=leg[0] if leg else None)
    print(json.dumps(found.as_json(), indent=2, default=str) if options.json else text(found))
    return 0 if found.known else 1


def rejects(options: Namespace) -> int:
    """List what did not arrive: by reason over all legs, or the rows of one leg."""
    from commerce_sync import error_desk, steps

    site = steps.site()
    if options.leg is None:
        rows = [
            (group.reason_class or "", group.code or "", str(group.rows),
             ", ".join(f"{leg} {number}" for leg, number in group.legs.items()))
            for group in error_desk.groups(site)
        ]  # fmt: skip
        table(("class", "code", "rows", "legs"), rows)
        return 0
    found = site.ledger.rejects(options.leg, limit=options.limit)
    table(
        ("key", "status", "class", "code", "attempts", "next attempt (UTC)", "reason"),
        [(item.key, item.status, item.reason_class or "", item.code or "", str(item.attempts),
          f"{item.next_attempt:%Y-%m-%d %H:%M}" if item.next_attempt else "", (item.reason or "")[:100])
         for item in found],
    )  # fmt: skip
    return 0


def retry(options: Namespace) -> int:
    """Let the next run offer rejects at once; 1 when none of the keys was one."""
    from commerce_sync import error_desk, steps

    done = error_desk.retry(steps.site(), options.leg, options.keys, by=options.by)
    return _told(options, done, "the next run offers them")


def dismiss(options: Namespace) -> int:
    """Keep rejects out until their payload changes; 1 when none of the keys was one."""
    from commerce_sync import error_desk, steps

    done = error_desk.dismiss(steps.site(), options.leg, options.keys, by=options.by, reason=options.reason)
    return _told(options, done, "they stay out until they change")


def _told(options: Namespace, done: int, text: str) -> int:
    print(f"{options.leg}: {done} of {len(options.keys)}; {text}")
    if done < len(options.keys):
        print(f"the others are not among the rejects of {options.leg}", file=sys.stderr)
    return 0 if done else 1


def edit(options: Namespace) -> int:
    """Let the next run send corrected values for one reject."""
    from commerce_sync import error_desk, steps

    values = dict(_assignment(text) for text in options.values)
    mapping = error_desk.mapping_of(options.leg)
    error_desk.edit(steps.site(), mapping, options.key, values, by=options.by, reason=options.reason)
    print(f"{options.leg}: the next run sends {', '.join(values)} of {options.key} as given")
    return 0


def _assignment(text: str) -> tuple[str, Any]:
    """``field=value``; a value is text as it stands, nothing behind the sign clears the field."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ConfigurationError(f"{text!r} is no field=value; an empty value clears the field")
    return name, value or None
