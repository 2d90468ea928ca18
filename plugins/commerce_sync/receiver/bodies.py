"""Bodies: read up to a size, of one of the agreed types, as JSON that the ledger can keep."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import msgspec

from commerce_sync.receiver.refusals import Refusal, unreadable, wrong

if TYPE_CHECKING:
    from fastapi import Request

SLOWEST_S = 10.0
"""A body that takes longer is not waited for; no documented sender waits longer than 5 s."""


def media_type(request: Request) -> str:
    """The Content-Type without parameters, in small letters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def must_be(kind: str, legal: Collection[str]) -> None:
    """Raises Refusal (415) for another type."""
    if kind not in legal:
        raise Refusal(415, "media_type", f"Content-Type is {kind[:80]!r}; legal: {', '.join(legal)}")


async def read(request: Request, *, max_bytes: int) -> bytes:
    """The whole body. Raises Refusal: 413 when it is too large, 408 when too slow, 415 when it is encoded."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "content_encoding", "send the body as it is, without Content-Encoding")
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(SLOWEST_S):
            return await _all_of(request, max_bytes)
    except TimeoutError as error:
        raise Refusal(408, "too_slow", f"the body took more than {SLOWEST_S:.0f} s") from error


async def _all_of(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _too_large(max_bytes: int) -> Refusal:
    return Refusal(413, "too_large", f"a delivery has at most {max_bytes} bytes")


def parsed(body: bytes) -> Any:
    """A body's JSON. Raises Refusal for what is no JSON (400), and for text no database can keep (422)."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unreadable("malformed", f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise unreadable("malformed", "the body is nested too deeply") from error
    must_be_keepable(body, found)
    return found


def must_be_keepable(body: bytes, found: Any) -> None:
    """Raises Refusal for half characters and NUL: JSON can spell them, no database can keep them."""
    if b"\\u0000" in body or b"\x00" in body:
        raise wrong("not_text", "the body has the character NUL")
    if b"\\ud" in body.lower():
        try:
            msgspec.json.encode(found)
        except (ValueError, OverflowError) as error:
            raise wrong("not_text", "the body has half of a character (a lone surrogate)") from error


def document(body: bytes) -> dict[str, Any]:
    """A body that has to be a JSON object."""
    found = parsed(body)
    if not isinstance(found, dict):
        raise wrong("not_an_object", "the body has to be a JSON object")
    return found
