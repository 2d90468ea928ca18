"""What a sender is told when its delivery is not taken: a status, a reason for machines, a sentence for people."""

from __future__ import annotations

import json

LONGEST = 300
"""Characters of a sentence: SAP Commerce reads 1,024 bytes of an answer."""


class Refusal(Exception):  # noqa: N818 - not an error of ours
    """A delivery that is not taken. ``retry_after``: seconds after which it is worth to come again."""

    def __init__(self, status: int, reason: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message[:LONGEST]
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        found = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return found | ({"WWW-Authenticate": 'Basic realm="receiver"'} if self.status == 401 else {})

    def body(self) -> bytes:
        """``{"error": {"code", "message": {"lang", "value"}}}``: SAP Commerce's monitoring shows that message."""
        message = {"lang": "en", "value": self.message}
        return json.dumps({"error": {"code": self.reason, "message": message}}).encode()


def unknown_source() -> Refusal:
    """Nobody may deliver there; the same words whether the source is unknown or has no credentials."""
    return Refusal(404, "unknown_source", "there is no such source")


def not_allowed(reason: str = "not_allowed", message: str = "credentials are missing or wrong") -> Refusal:
    """The sender is not who it should be."""
    return Refusal(401, reason, message)


def unreadable(reason: str, message: str) -> Refusal:
    """The sender's words cannot be read."""
    return Refusal(400, reason, message)


def wrong(reason: str, message: str) -> Refusal:
    """It can be read, and is not what was agreed."""
    return Refusal(422, reason, message)


def later(reason: str, message: str, *, seconds: int = 5) -> Refusal:
    """It is us; the same delivery will be taken a little later."""
    return Refusal(503, reason, message, retry_after=seconds)
