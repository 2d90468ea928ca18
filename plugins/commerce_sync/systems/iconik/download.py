"""Downloads: from a signed address straight to disk, taken up where a cut left it, proved by size and checksum.

What has arrived lies beside the target as ``<name>.part`` and survives the process; the target appears when it is
complete. The address goes to another host than the API, so no credentials travel with it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.systems.iconik.reasons import NOT_FOUND, IconikRefusal
from commerce_sync.systems.trust import USUAL, Trust, refusal

Address = Callable[[], Awaitable[str]]
BLOCK_BYTES = 1 << 20
FRUITLESS = 4
"""Attempts in a row that bring no new byte before the download gives up; Airflow's retry goes on from the part."""
EXPIRED = frozenset({400, 401, 403, 410})
"""What storages answer to a signed address whose time is over; which one differs between them."""
PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A finished download. ``resumed``: bytes an earlier attempt had left; ``requests``: made this time."""

    path: Path
    size_bytes: int
    md5: str
    sha256: str
    requests: int
    resumed: int


class _Spoiled(Exception):
    """The bytes that have arrived are not the file's."""


async def download(
    address: Address, to: Path, *, expected_checksum: str | None = None, size: int | None = None,
    trust: Trust = USUAL, stall_s: float = 60.0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Downloaded:  # fmt: skip
    """Fetch a file to ``to``, whatever its size, in constant memory.

    address: gives a fresh signed address each time it is called.   expected_checksum: MD5 in hexadecimal, as iconik
    keeps it (or SHA-256, told by its length); None when iconik has none.   size: in bytes.   stall_s: seconds without
    a byte after which the connection counts as cut.
    Raises RetryableError when it does not get through or is not the file it should be, IconikRefusal for a 404.
    """
    part = to.with_name(to.name + ".part")
    to.parent.mkdir(parents=True, exist_ok=True)

    async def permitted() -> str:
        url = await address()
        trust.permit(URL(url, encoded=True), name=f"download of {to.name}")
        return url

    fetching = _Fetch(permitted, part, size=size, sleep=sleep)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=stall_s)
    connector = aiohttp.TCPConnector(ssl=trust.context())
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        resumed = _length(part)
        for last in (False, True):
            try:
                await fetching.run(session)
                md5, sha256 = await asyncio.to_thread(_digests, part)
                _prove(part, size, expected_checksum, (md5, sha256))
                break
            except _Spoiled as error:
                # Most likely a part of an older version of the file: once more, from its beginning.
                part.unlink(missing_ok=True)
                if last:
                    raise RetryableError(f"download of {to.name}: {error}, twice; nothing was kept") from error
    part.replace(to)
    return Downloaded(to, to.stat().st_size, md5, sha256, fetching.requests, resumed)


class _Fetch:
    def __init__(
        self, address: Address, part: Path, *, size: int | None, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._address = address
        self._part = part
        self._size = size
        self._sleep = sleep
        self._etag: str | None = None
        self.requests = 0

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Request until the far side says that all is there."""
        fruitless, url, trouble = 0, await self._address(), ""
        while fruitless < FRUITLESS:
            before = _length(self._part)
            if self._size is not None and before == self._size and before:
                return
            status, is_complete, trouble = await self._attempt(session, url, before)
            if is_complete:
                return
            fruitless = 0 if _length(self._part) > before else fruitless + 1
            if fruitless and status not in EXPIRED:
                await self._sleep(min(PAUSE_S * 2**fruitless, LONGEST_PAUSE_S))
            url = await self._address()
        raise RetryableError(
            f"download of {self._part.stem} stands at {_length(self._part)} of {self._size or '?'} bytes: {trouble}; "
            "the part is kept and the next attempt goes on from there"
        )

    async def _attempt(self, session: aiohttp.ClientSession, url: str, have: int) -> tuple[int, bool, str]:
        """(status, complete, what went wrong). Raises IconikRefusal when there is no such file."""
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._etag:
                headers["If-Range"] = self._etag
        self.requests += 1
        status = 0
        try:
            # As it is: a signature covers the very spelling of names with quotes or blanks.
            async with session.get(URL(url, encoded=True), headers=headers) as answer:
                status = answer.status
                if status in (200, 206):
                    await self._write(answer, have)
                    return status, True, ""
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if said := refusal(error):
                raise ConfigurationError(f"download of {self._part.stem}: {said}") from error
            return status, False, f"the connection was cut ({type(error).__name__})"
        return status, *self._refused(status, have)

    def _refused(self, status: int, have: int) -> tuple[bool, str]:
        if status == 404:
            raise IconikRefusal(
                f"{self._part.stem} is not in its storage any more", code=NOT_FOUND, reason_class="reference"
            )
        if status == 416:  # nothing lies behind what we have: it is all, or not of this file
            if self._size is None and have:
                return True, ""
            raise _Spoiled(f"the part has {have} bytes, more than the file")
        return False, f"the storage answered {status}"

    async def _write(self, answer: aiohttp.ClientResponse, have: int) -> None:
        self._etag = answer.headers.get("ETag")
        goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if answer.status == 206 and not goes_on:
            raise _Spoiled(f"asked for bytes from {have}, the storage sent {answer.headers.get('Content-Range')!r}")
        with self._part.open("ab" if goes_on else "wb") as sink:
            async for block in answer.content.iter_chunked(BLOCK_BYTES):
                sink.write(block)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digests(path: Path) -> tuple[str, str]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            md5.update(block)
            sha256.update(block)
    return md5.hexdigest(), sha256.hexdigest()


def _prove(part: Path, size: int | None, expected: str | None, digests: tuple[str, str]) -> None:
    if size is not None and _length(part) != size:
        raise _Spoiled(f"{_length(part)} bytes arrived, {size} were announced")
    if expected and expected.lower() not in digests:
        raise _Spoiled(f"its checksum is {digests[0]}, {expected} was announced")
