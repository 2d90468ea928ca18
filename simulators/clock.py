"""The simulated clock: real UTC time plus an offset that tests move."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path


class Clock:
    """One clock for all systems of the process; ``path`` keeps its offset over a restart."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.offset_s = float(path.read_text()) if path is not None and path.exists() else 0.0

    def timestamp(self) -> float:
        """Seconds since 1970 on the simulated clock."""
        return time.time() + self.offset_s

    def now(self) -> datetime:
        """The simulated moment, aware, in UTC."""
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def set(self, moment: datetime) -> None:
        """Make ``moment`` the present; a moment without a zone counts as UTC."""
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        self._shift(aware.timestamp() - time.time())

    def advance(self, seconds: float) -> None:
        self._shift(self.offset_s + seconds)

    def reset(self) -> None:
        self._shift(0.0)

    def _shift(self, offset_s: float) -> None:
        self.offset_s = offset_s
        if self.path is not None:
            self.path.write_text(str(offset_s))
