"""Known bugs of software that is killed, put into a running engine: with them the proof has to find red cells."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from commerce_sync.systems.iconik import objects, targets


def put_in(name: str | None, patch: pytest.MonkeyPatch) -> None:
    """For the rest of this process and of its copies."""
    if name is not None:
        BUGS[name](patch)


def _blind_creates(patch: pytest.MonkeyPatch) -> None:
    """What has no marker is created, without a look at what is there under its external id."""
    real = targets.Finder.learn

    async def nothing() -> None:
        return

    def learn(self: Any, values: Any, *, patient: bool) -> Any:
        is_own = sys._getframe(1).f_globals["__name__"] == objects.__name__  # others look up what rows refer to
        return nothing() if is_own else real(self, values, patient=patient)

    patch.setattr(targets.Finder, "learn", learn)


BUGS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {"blind-creates": _blind_creates}
"""Name -> what puts it in."""
