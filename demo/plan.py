"""Which flows the demo runs, and which of them it starts: all others follow by assets.

A new DAG file is found by itself. A flow that follows no other needs one line in ``FIRST`` and one in ``LATER``.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.folder import PROJECT

DAGS = PROJECT / "dags"
INBOX = "iot_inbox"
CUSTOMERS = "salesforce_customers"
HISTORY = "salesforce_purchase_history"
FAMILIES = ("salesforce_", "iconik_", "iot_")
SALESFORCE, ICONIK, IOT = FAMILIES
PORTION = 50
"""So many assets get their first placements at once: more is above the guard of that leg."""


@dataclass(frozen=True, slots=True)
class Start:
    """A flow that is triggered by hand once the flows in ``after`` have ended.

    conf: parameters as a person gives them in the trigger form.
    """

    flow: str
    after: tuple[str, ...] = ()
    conf: Mapping[str, Any] = field(default_factory=dict)


MADE = ("iconik_approved_media", "iconik_channels")
"""These make media in the shop."""
SHOWN = ("iconik_channels", "iconik_metadata", "iconik_campaign_switch")
"""After these the shop shows what it will show."""
FIRST = (
    Start(CUSTOMERS, after=("iot_stock",)),
    Start("iconik_packages"),
    Start("iconik_governance", after=("iconik_packages",)),
    Start("iconik_associations", after=MADE),
    Start("iconik_usage", after=SHOWN, conf={"limit": PORTION}),
    Start("iot_insights"),
    Start(INBOX, after=("iot_insights",)),
)
"""The first load: packages before media, the context of devices before their events, parcels before shipments."""
REST = (
    Start("iconik_packages"),
    Start("iconik_usage"),
    Start("iot_insights"),
    Start("iot_condition_offers"),
    Start("iot_self_service"),
    Start("iot_replenishment"),
    Start("iot_incidents"),
)
"""What the first load leaves to a second run: links to pages, the other placements, figures from events, offers of
parts whose stock was counted at the same time, and who ordered what trackers were given at the same time."""
LATER = (
    Start(CUSTOMERS),
    Start("iconik_governance"),
    Start("iconik_packages", after=("iconik_approved_media",)),
    Start("iconik_associations", after=MADE),
    Start("iconik_usage", after=SHOWN),
    Start(INBOX),
    Start("iot_insights", after=(INBOX,)),
)
"""Any day after that, in the order of their clocks."""


def quietly(flows: Sequence[str], *, folder: Path = DAGS) -> tuple[Start, ...]:
    """As ``LATER`` when no device has said anything: an inbox without news wakes nobody, its followers are started."""
    asleep = [flow for flow in flows if INBOX in _followed(folder / f"{flow}.py")]
    return LATER + tuple(Start(flow, after=(INBOX,)) for flow in asleep)


def with_followers(starts: Sequence[Start], flows: Sequence[str], *, folder: Path = DAGS) -> tuple[str, ...]:
    """What is started and what then follows by assets."""
    found = [start.flow for start in starts]
    for flow in found:
        found += [item for item in flows if item not in found and flow in _followed(folder / f"{item}.py")]
    return tuple(found)


def _followed(path: Path) -> set[str]:
    """Flows that a DAG file names in ``after``."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.keyword))
    return {name for call in calls if call.arg == "after" for name in ast.literal_eval(call.value)}


def flow_names(folder: Path = DAGS, *, families: Sequence[str] = FAMILIES) -> tuple[str, ...]:
    """Every flow of these families that has a DAG file, and the one that the proofs rest on, which comes first."""
    found = sorted(path.stem for family in {FAMILIES[0], *families} for path in folder.glob(f"{family}*.py"))
    return (CUSTOMERS, *(name for name in found if name != CUSTOMERS))


def short(flow: str) -> str:
    """A DAG id without the part that most have."""
    return flow.removeprefix(FAMILIES[0])
