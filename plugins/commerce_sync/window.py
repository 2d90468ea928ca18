"""What a run reads: one function decides between a delta, a complete scan, a backfill and a replay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Mapping

Kind = Literal["changes", "complete", "backfill", "replay"]
Mode = Literal["auto", "changes", "complete", "replay", "plan"]
MODES: tuple[Mode, ...] = ("auto", "changes", "complete", "replay", "plan")


@dataclass(frozen=True, slots=True)
class Request:
    """What a person, a schedule or a backfill asked for.

    since, until: an explicit window; with ``backfill`` it is the data interval of the backfill run.
    """

    mode: Mode = "auto"
    since: datetime | None = None
    until: datetime | None = None
    backfill: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigurationError(f"mode {self.mode!r} is not known; legal modes: {', '.join(MODES)}")
        if self.until and not self.since:
            raise ConfigurationError(f"until {self.until} stands alone; give since as well, or neither")
        if self.since and self.until and self.since >= self.until:
            raise ConfigurationError(f"window is empty: since {self.since} is not before until {self.until}")


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
    if request.since is not None:
        return Window("backfill" if request.backfill else "changes", request.since, request.until or now)
    if request.mode == "complete" or high_water is None or any(item.modified is None for item in mapping.sources):
        return Window("complete", None, now)
    if request.mode != "changes" and scan_is_due(mapping.complete_scan, last=complete_at, now=now):
        return Window("complete", None, now)
    overlap = max(item.overlap for item in mapping.sources)
    return Window("changes", high_water - overlap, now)


def scan_is_due(cron: str | None, *, last: datetime | None, now: datetime) -> bool:
    """Whether a tick of ``cron`` (UTC) lies between the last complete scan and now."""
    if cron is None:
        return False
    if last is None:
        return True
    from croniter import croniter

    tick: datetime = croniter(cron, last.astimezone(UTC)).get_next(datetime)
    return tick <= now
