"""What an answer means before any system is asked: its body, its pause, its error text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from commerce_sync.errors import RetryableError

SHORTEST_SECRET = 4
"""Shorter ones would mask every other word."""
PASSING = frozenset({408, 420, 425, 429, 500, 502, 503, 504})
NOT_PROCESSED = frozenset({420, 425, 429, 503})
"""Statuses that say the request had no effect, so that any method may be sent again."""


class UnknownOutcomeError(RetryableError):
    """A call that must not be repeated blindly got no answer: read back whether it took effect first."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. ``headers`` ignores case; ``body`` is empty when the call was streamed to a file."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The decoded body. Raises RetryableError when it is not JSON (a proxy's page, a cut answer)."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise RetryableError(f"answer {self.status} is not JSON ({excerpt(self.body)}); try again") from error


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt, for budgets: ``status`` is 0 when no answer came; ``seconds`` until the body was read."""

    system: str
    method: str
    route: str
    status: int
    seconds: float
    headers: Mapping[str, str]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by ``Retry-After`` (number or date, RFC 9110 10.2.3), None without a usable one."""
    asked = headers.get("Retry-After", "").strip()
    if not asked:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", asked):
        return float(asked)
    try:
        # The answer's own Date is the clock the far side counts by.
        now = parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(UTC)
        return max(0.0, (parsedate_to_datetime(asked) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def secrets_in(headers: Mapping[str, str], query: Mapping[str, str]) -> set[str]:
    """What of a request's credentials must not come back in a message: tokens, passwords, signatures of addresses."""
    found = {query[name] for name in ("sig", "signature", "token") if name in query}
    for value in headers.values():
        scheme, _, rest = value.partition(" ")
        found.add(rest or scheme)
        if scheme == "Basic":
            try:
                found.add(base64.b64decode(rest).decode().partition(":")[2])
            except (binascii.Error, UnicodeDecodeError):
                continue
    return found


def without(body: bytes, secrets: Iterable[str]) -> bytes:
    """An answer that repeats the request's credentials (debugging far sides and proxies do), without them."""
    for secret in sorted((one for one in secrets if len(one) >= SHORTEST_SECRET), key=len, reverse=True):
        body = body.replace(secret.encode(), b"***")
    return body


def excerpt(body: bytes, *, length: int = 300) -> str:
    """The beginning of an answer for a message, with anything that looks like a credential masked."""
    text = " ".join(body[: length * 4].decode("utf-8", "replace").split())[:length]
    text = re.sub(r"(?i)\b(bearer|basic)\s+[\w.!~+/=-]{8,}", r"\1 ***", text)
    return re.sub(r'(?i)("?(?:\w*token|\w*secret|password|assertion)"?\s*[:=]\s*)"?[^",&\s}]+"?', r"\1***", text)
