"""Personal values never leave the server: what the ledger holds masked stays so, what it holds in plain text is masked.

A leg whose mapping is unknown (removed, or not readable) counts as personal altogether.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from commerce_sync import disguise
from commerce_sync.monitor.catalogue import Moves

MASK = "***"


def masked_payload(payload: Mapping[str, Any] | None, moves: Moves | None) -> dict[str, Any] | None:
    """Field -> value with personal ones masked; null stays null."""
    if payload is None:
        return None
    return {
        name: MASK if value is not None and (moves is None or name in moves.personal) else value
        for name, value in payload.items()
    }


def masked_key(key: str, moves: Moves | None) -> str:
    """The key as it may be shown: where it is itself a personal value, only its first letter."""
    return f"{key[:1]}{MASK}" if moves is not None and moves.hides_key else disguise.shown(key)


def masked_target(target_id: str | None, moves: Moves | None) -> str:
    """The id at the target as it may be shown; empty when there is none."""
    return f"{target_id[:1]}{MASK}" if target_id and moves and moves.hides_target else disguise.shown(target_id or "")


def masked_value(value: str | None, *, name: str, legs: Iterable[Moves]) -> str | None:
    """A value that two legs share, masked when either of them marks it as personal or neither is known."""
    found = list(legs)
    is_personal = not found or any(name in item.shared or name in item.personal for item in found)
    return MASK if value is not None and is_personal else value
