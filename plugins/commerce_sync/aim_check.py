"""Does the target still have what the mapping names? Asked before a run reads, and again before it sends.

A field that was removed, renamed or hidden from the integration user would be found by the load at the earliest, after
everything was read and perhaps partly sent. Before reading, an answer of the last hour will do, so that a leg that runs
every few minutes and finds nothing costs no calls; before sending it has to be this run's own. What cannot be asked now
(the target is down) is left to the load, so that a leg that has nothing to send stays green.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from commerce_sync import agreement
from commerce_sync.delivery import Targets
from commerce_sync.errors import ConfigurationError, QuotaError, RetryableError
from commerce_sync.leg import LegRun

log = logging.getLogger(__name__)
STORE, LAST = "aim_checks", "last"
FRESH = timedelta(hours=1)


def before_reading(leg: LegRun, targets: Targets | None) -> None:
    """Raises ConfigurationError when the target no longer has a field of the mapping. targets: None asks nobody."""
    known = _known(leg)
    if targets is not None and (known is None or leg.now - datetime.fromisoformat(known["at"]) > FRESH):
        _refuse_gone(leg, targets)


def before_sending(leg: LegRun, targets: Targets) -> None:
    """The same, unless this very run has asked already."""
    known = _known(leg)
    if known is None or known["run"] != leg.id:
        _refuse_gone(leg, targets)


def _known(leg: LegRun) -> dict[str, Any] | None:
    """When the target last had everything, for this version of the mapping."""
    batch = leg.site.stores.find(STORE, leg.leg, LAST)
    found = batch.facts if batch else None
    return found if found and found["version"] == leg.mapping.version else None


def _refuse_gone(leg: LegRun, targets: Targets) -> None:
    with leg.counting(leg.mapping.target.system) as on_call:
        target = targets(leg.mapping, on_call)
        gone = _gone(leg, target)
    if gone:
        raise ConfigurationError(
            f"{leg.mapping.path}: {'; '.join(gone)}. Nothing was sent: it was removed, renamed, or hidden from the "
            "integration user since the mapping was written; correct the mapping, or the target"
        )
    if gone is not None:
        with leg.site.stores.write(STORE, leg.leg, LAST) as into:
            into.facts = {"at": leg.now.isoformat(), "run": leg.id, "version": leg.mapping.version}


def _gone(leg: LegRun, target: Any) -> list[str] | None:
    """What the target does not have; None when it could not be asked."""
    tell = getattr(target, "gone", None)
    if tell is None:
        return None
    try:
        return list(tell(agreement.plain(leg.mapping.target), leg.mapping.fields))
    except (RetryableError, QuotaError) as error:
        log.info("%s could not be asked for its fields (%s); the load will find out", leg.mapping.target.conn_id, error)
        return None
