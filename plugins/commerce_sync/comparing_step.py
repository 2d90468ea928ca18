"""The nightly comparison of every leg that leaves marks, as an Airflow task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk.definitions.context import Context

from commerce_sync import alerts, comparing, duty, steps
from commerce_sync.company import LegBusy
from commerce_sync.delivery import Targets
from commerce_sync.errors import SyncError
from commerce_sync.flow import BUILT, target_system
from commerce_sync.ledger import FAILURE, Finding
from commerce_sync.leg import Site
from commerce_sync.mapping import Mapping as Leg

SUBJECT = "Commerce Sync: a target holds what it was not sent"
Flows = Mapping[str, Sequence[Sequence[Leg]]]


class CompareLegs(duty.OfAllFlows):
    """Compare every leg that leaves marks, let the next complete scan repair what differs, tell people."""

    def execute(self, context: Context) -> dict[str, Any]:
        duty.read(self.dags_folder())
        run_id, repair = f"compare__{context['dag_run'].run_id}", bool(context["params"].get("repair", True))
        return compare_all(steps.site(), BUILT, run_id=run_id, repair=repair, log=self.log)


def compare_all(
    site: Site, flows: Flows, *, run_id: str, repair: bool, log: Any, targets: Targets = target_system
) -> dict[str, Any]:
    """Differences by leg. A leg that is at work is left for the next night; a fault of one leg stops no other.

    Raises the first fault when all legs had their turn. A leg that this run compared already is not compared again.
    """
    found: dict[str, Any] = {}
    faults: list[SyncError] = []
    legs = [(flow, leg) for flow, stages in flows.items() for stage in stages for leg in stage if leg.target.compare]
    for flow, leg in legs:
        known = site.ledger.find_run(leg.leg, run_id)
        if known is not None and known.settled:
            continue
        try:
            seen = comparing.run(site, leg, targets=targets, run_id=run_id, repair=repair)
        except LegBusy as error:
            log.info("%s: %s", leg.leg, error)
        except SyncError as error:
            log.error("%s: %s", leg.leg, error)
            faults.append(error)
        else:
            found[leg.leg] = seen.kinds
            _tell(site, flow, seen, log=log)
    if faults:
        raise faults[0]
    return found


def _tell(site: Site, flow: str, found: comparing.Found, *, log: Any) -> None:
    """What was found, once; keys are in the run's batch and on the command line."""
    said = ", ".join(f"{count} {kind}" for kind, count in found.kinds.items())
    log.info("%s: %s records compared: %s", found.leg, found.compared, said or "no difference")
    if not found.differences:
        return
    done = ", ".join(f"{count} to {action}" for action, count in found.actions.items())
    text = f"{found.differences} of {found.compared} records differ ({said}): {done}; see run {found.run}"
    finding = Finding(f"compare:{found.leg}:{found.run}"[:250], FAILURE, flow, found.leg, text)
    alerts.tell(site.ledger, site.ledger.claim_alerts([finding]), over=[], subject=SUBJECT, log=log)
