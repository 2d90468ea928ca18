"""``drift``: what changed in the far sides' fields since the nightly flow looked last."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from commerce_sync.commands.built import built_flows, show_broken


def drift(options: Namespace) -> int:
    """Show what changed since the last look, and what mappings name in vain; 1 when there is something that hurts."""
    from commerce_sync import drifting, steps

    built, broken = built_flows(options)
    looked = drifting.look(steps.site(), built)
    if options.json:
        print(json.dumps(looked.as_json(), indent=2))
    else:
        for _flow, change, at in looked.changes:
            print(f"{'hurts' if change.hurts else 'note':6} {change.sentence()}, since {at:%Y-%m-%d %H:%M} UTC")
        for _flow, leg, text in looked.faults:
            print(f"{'hurts':6} {leg}: {text}")
        first = f", {looked.first} of them for the first time" if looked.first else ""
        print(f"{len(looked.seen)} objects looked at{first}")
    for conn_id, why in looked.unasked.items():
        print(f"{conn_id} was not asked: {why}", file=sys.stderr)
    hurts = looked.faults or any(change.hurts for _flow, change, _at in looked.changes)
    return int(bool(show_broken(broken) or hurts))
