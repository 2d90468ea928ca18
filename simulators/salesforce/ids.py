"""Record ids: 15 base-62 characters plus three that encode their capitals."""

from __future__ import annotations

import string
from collections.abc import Iterator

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
POD = "5g0"
PAIRS = [first + second for first in DIGITS for second in DIGITS]


def _mask(text: str) -> int:
    return sum(1 << index for index, letter in enumerate(text) if "A" <= letter <= "Z")


PAIR_MASKS = [_mask(pair) << 3 for pair in PAIRS]


def checksum(short: str) -> str:
    """The three characters that make a 15 character id safe where case is ignored."""
    return "".join(CHECK[_mask(short[start : start + 5])] for start in (0, 5, 10))


def full(text: str) -> str | None:
    """The 18 character form, or None when ``text`` is no id (wrong length, letters or checksum)."""
    if len(text) == 15 and text.isalnum() and text.isascii():
        return text + checksum(text)
    if len(text) == 18 and text.isalnum() and text.isascii() and checksum(text[:15]) == text[15:]:
        return text
    return None


def _base62(number: int, *, width: int) -> str:
    letters = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        letters.append(DIGITS[digit])
    return "".join(reversed(letters))


def make(prefix: str, number: int) -> str:
    """The id with this running number."""
    short = prefix + POD + _base62(number, width=9)
    return short + checksum(short)


def number(key: str) -> int:
    """The running number of an id that ``make`` or ``block`` gave."""
    found = 0
    for letter in key[6:15]:
        found = found * 62 + DIGITS.index(letter)
    return found


def block(prefix: str, start: int, count: int) -> list[str]:
    """``count`` ids from running number ``start``; a pair of digits at a time, because jobs need millions."""
    found: list[str] = []
    for high, low, stop in _spans(start, start + count):
        head = prefix + POD + _base62(high, width=7)
        check, mask = checksum(head + "00")[:2], _mask(head[10:13])
        found += [f"{head}{PAIRS[index]}{check}{CHECK[mask | PAIR_MASKS[index]]}" for index in range(low, stop)]
    return found


def _spans(start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    while start < stop:
        high, low = divmod(start, 3844)
        end = min(3844, low + stop - start)
        yield high, low, end
        start += end - low
