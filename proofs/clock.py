"""The virtual clock: hours of a history pass in no time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Clock:
    """Our time. What the engine asks of ``datetime.now`` it is told by this, see ``cheap``."""

    def __init__(self) -> None:
        self.time = START

    def pass_s(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


clock = Clock()
"""The clock of this process; every history sets it back."""


class Virtual(datetime):
    """Stands for ``datetime`` in a module of the engine: all of it, but ``now`` is the virtual time."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        """The virtual time."""
        return clock.time.astimezone(tz) if tz else clock.time.replace(tzinfo=None)
