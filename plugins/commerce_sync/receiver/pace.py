"""How much a source may send: a bucket that refills, per source and process."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class Pace:
    """Allows ``per_minute`` on average, and as many at once after a quiet minute."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._left = float(per_minute)
        self._clock = clock
        self._at = clock()
        self._turn = threading.Lock()

    def wait_s(self) -> int:
        """0 when one more is allowed now, else the whole seconds until it is."""
        with self._turn:
            now = self._clock()
            self._left = min(self._most, self._left + (now - self._at) * self._most / 60)
            self._at = now
            if self._left >= 1:
                self._left -= 1
                return 0
            return max(1, math.ceil((1 - self._left) * 60 / self._most))
