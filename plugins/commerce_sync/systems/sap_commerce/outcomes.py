"""Rows of the result batch: what became of one change, as every load reports it.

message_id: the integrationMessageId its last write carried, by which the shop's own monitoring knows it.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

LOAD_SCHEMA = pa.schema(
    [
        ("_key", pa.string()), ("outcome", pa.string()), ("target_id", pa.string()), ("created", pa.bool_()),
        ("code", pa.string()), ("reason_class", pa.string()), ("reason", pa.string()),
        ("fields", pa.string()), ("message_id", pa.string()),
    ]
)  # fmt: skip


def delivered(target_id: str | None) -> dict[str, Any]:
    """The target confirmed the row. Writes answer alike for new and known records, so ``created`` is not known."""
    return {"outcome": "delivered", "target_id": target_id, "created": None}


def refusal(outcome: str, code: str, reason_class: str, reason: str, names: str) -> dict[str, Any]:
    """The target refused the row, or nothing is known of it (``unprocessed``); ``names``: fields, comma separated."""
    return {
        "outcome": outcome,
        "code": code,
        "reason_class": reason_class,
        "reason": reason,
        "fields": names or None,
    }
