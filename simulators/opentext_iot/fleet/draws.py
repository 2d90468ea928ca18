"""Numbers that look random and follow from their place: the same on every machine and in every order."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

_MASK = (1 << 64) - 1
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MINUTE_MS = 60_000


def mixed(value: int) -> int:
    """64 well-spread bits for a number (the finishing steps of splitmix64)."""
    value &= _MASK
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


def draw(base: int, slot: int, salt: int) -> int:
    """64 bits for one slot of one device and purpose."""
    return mixed(base + slot * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03)


def share(bits: int) -> float:
    """The low 24 bits as a number in [0, 1)."""
    return (bits & 0xFFFFFF) / 16777216


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86400, UTC).strftime("%Y-%m-%d")


def day(ms: int) -> str:
    """The UTC date of a moment."""
    return _day(ms // DAY_MS)


def stamp(ms: int) -> str:
    """ISO 8601 in UTC, whole seconds."""
    seconds = ms // 1000
    number, rest = divmod(seconds, 86400)
    hour, rest = divmod(rest, 3600)
    return f"{_day(number)}T{hour:02}:{rest // 60:02}:{rest % 60:02}Z"
