"""Integration keys: percent-encoded segments joined by a bar, and once more encoded inside addresses.

Source: fact sheet section 2.3.
"""

from __future__ import annotations

from urllib.parse import quote_plus, unquote_plus

_ADDRESS_ESCAPES = (("%", "%25"), ("|", "%7C"), ("+", "%2B"))


def segment(value: str) -> str:
    """One segment as Java's URLEncoder writes it: letters, digits, ``.-_*`` stay, a space becomes ``+``."""
    if value.isascii() and value.isalnum():
        return value
    return quote_plus(value, safe="*").replace("~", "%7E")


def in_address(key: str) -> str:
    """A whole key as it stands in ``__metadata.uri``."""
    for plain, escaped in _ADDRESS_ESCAPES:
        key = key.replace(plain, escaped)
    return key


def segments(key: str) -> list[str]:
    """The decoded values of a key's segments."""
    return [unquote_plus(part) for part in key.split("|")]
