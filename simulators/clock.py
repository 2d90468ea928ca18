"""The simulated clock: real UTC time plus an offset that tests move."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """One clock for all systems of the process."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def timestamp(self) -> float:
        """Seconds since 1970 on the simulated clock."""
        return time.time() + self.offset_s

    def now(self) -> datetime:
        """The simulated moment, aware, in UTC."""
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def set(self, moment: datetime) -> None:
        """Make ``moment`` the present; a moment without a zone counts as UTC."""
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        self.offset_s = aware.timestamp() - time.time()

    def advance(self, seconds: float) -> None:
        self.offset_s += seconds

    def reset(self) -> None:
        self.offset_s = 0.0
