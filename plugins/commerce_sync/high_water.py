"""How far a run has seen its sources, for the next run to go on from.

It goes by the sources' own clocks, and by each source's own: one that lags behind ours, or behind the others', loses
nothing. The next run begins an overlap below (``Source.overlap``); a complete scan finds what was committed even later.
"""

from __future__ import annotations

from datetime import datetime

from commerce_sync import replica
from commerce_sync.leg import EXTRACT, LegRun
from commerce_sync.mapping import Source


def reached(leg: LegRun) -> datetime | None:
    """The newest modification any source showed; None leaves the leg's high water where it is."""
    return max((at for item in leg.mapping.sources if (at := _newest(leg, item)) is not None), default=None)


def seen(leg: LegRun) -> dict[str, dict[str, str]]:
    """The newest modification each source of an aggregate has ever shown, for the replica's pointer."""
    known: dict[str, str] = dict(leg.state.replica.get(replica.SEEN, {}))
    for source in leg.mapping.sources:
        at = _newest(leg, source)
        if at is not None and (source.name not in known or at > datetime.fromisoformat(known[source.name])):
            known[source.name] = at.isoformat()
    return {replica.SEEN: known}


def _newest(leg: LegRun, source: Source) -> datetime | None:
    """What a source showed, at most the end of the window: during a long scan records change that were read before."""
    text = leg.read(f"{EXTRACT}-{source.name}").facts.get("high_water")
    if text is None or leg.run.kind not in ("changes", "complete") or _leaves_a_gap(leg):
        return None
    return min(datetime.fromisoformat(text), leg.run.until or leg.run.started)


def _leaves_a_gap(leg: LegRun) -> bool:
    """A window that somebody asked for may begin after the high water: what lies between has not been read."""
    known = leg.state.high_water
    return leg.run.kind == "changes" and (known is None or leg.run.since is None or leg.run.since > known)
