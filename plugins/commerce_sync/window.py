"""What a run reads: one function decides between a delta, a complete scan, a backfill and a replay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Mapping

Kind = Literal["changes", "complete", "backfill", "replay"]
Mode = Literal["auto", "changes", "complete", "replay", "plan", "plan_complete"]
MODES: tuple[Mode, ...] = ("auto", "changes", "complete", "replay", "plan", "plan_complete")


@dataclass(frozen=True, slots=True)
class Request:
    """What a person, a schedule or a backfill asked for.

    since, until: an explicit window; with ``backfill`` it is the data interval of the backfill run.   keys: only these
    records (keys as the ledger has them).   limit: at most so many changes are sent, the others wait for the next run.
    mode: ``plan`` reads what ``auto`` would and sends nothing, ``plan_complete`` what ``complete`` would.
    plan: run of a plan of which just the changes are sent (see ``applying``).
    """

    mode: Mode = "auto"
    since: datetime | None = None
    until: datetime | None = None
    backfill: bool = False
    keys: tuple[str, ...] = ()
    limit: int | None = None
    plan: str | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigurationError(f"mode {self.mode!r} is not known; legal modes: {', '.join(MODES)}")
        if self.until and not self.since:
            raise ConfigurationError(f"until {self.until} stands alone; give since as well, or neither")
        if self.since and self.until and self.since >= self.until:
            raise ConfigurationError(f"window is empty: since {self.since} is not before until {self.until}")
        if self.limit is not None and self.limit < 1:
            raise ConfigurationError(f"limit {self.limit} would send nothing; give 1 or more, or mode 'plan'")

    @property
    def plans(self) -> bool:
        """Whether the run only says what it would do."""
        return self.mode in ("plan", "plan_complete")


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the source a run reads: ``since`` closed, ``until`` open, both UTC; None has no bound."""

    kind: Kind
    since: datetime | None
    until: datetime | None

    @property
    def complete(self) -> bool:
        """Whether the run sees all there is."""
        return self.kind == "complete"


def decide(request: Request, *, mapping: Mapping, high_water: datetime | None, complete_at: datetime | None,
           now: datetime) -> Window:  # fmt: skip
    """The window of a run that begins ``now``; the upper bound is fixed here, once."""
    if request.mode == "replay":
        return Window("replay", None, None)
    if request.keys:
        everyone = replace(request, keys=(), mode="changes" if request.mode == "changes" else "complete")
        return _of_some(
            decide(everyone, mapping=mapping, high_water=high_water, complete_at=complete_at, now=now),
            mapping=mapping,
            high_water=high_water,
        )
    if request.since is not None:
        return Window("backfill" if request.backfill else "changes", request.since, request.until or now)
    if (
        request.mode in ("complete", "plan_complete")
        or high_water is None
        or any(item.modified is None for item in mapping.sources)
    ):
        return Window("complete", None, now)
    if request.mode != "changes" and scan_is_due(mapping.complete_scan, last=complete_at, now=now):
        return Window("complete", None, now)
    return Window("changes", below(high_water, mapping), now)


def _of_some(window: Window, *, mapping: Mapping, high_water: datetime | None) -> Window:
    """The window of a run for a few keys: a backfill, because it sees nothing of the records beside them.

    Those records may have changed long ago, so without a window or mode ``changes`` the whole source is read; figures
    of an aggregate are all stored, so only what changed is read.
    """
    since = window.since
    if mapping.aggregate is not None and since is None and high_water is not None:
        since = below(high_water, mapping)
    return Window("backfill", since, window.until)


def below(high_water: datetime, mapping: Mapping) -> datetime:
    """Where a run begins that goes on from the high water."""
    return high_water - max(item.overlap for item in mapping.sources)


def scan_is_due(cron: str | None, *, last: datetime | None, now: datetime) -> bool:
    """Whether a tick of ``cron`` (UTC) lies between the last complete scan and now."""
    if cron is None:
        return False
    if last is None:
        return True
    from croniter import croniter

    tick: datetime = croniter(cron, last.astimezone(UTC)).get_next(datetime)
    return tick <= now
