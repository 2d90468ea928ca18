"""Feeds that are files: JSON lines below a glob, each file read on from where the last poll ended."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fsspec
import msgspec

from commerce_sync import places
from commerce_sync.systems.inbox.feeds import FeedFile

BLOCK_BYTES = 8 << 20
"""What one transaction takes; a line longer than this is no event."""
HEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """Some lines of one file, and the cursor once they are written."""

    where: str
    lines: list[bytes]
    cursor: dict[str, Any]
    message: str | None


def pieces(feed: FeedFile, cursor: dict[str, Any]) -> Iterator[Piece]:
    """What files hold beyond ``cursor``, file by file in the order of their names.

    A file that begins differently, or is shorter than what was read of it, is another file and read from its start;
    a last line that is not finished waits until it is. Files that are gone leave the cursor.
    """
    address = feed.path if "://" in feed.path or feed.path.startswith("/") else f"{places.home()}/{feed.path}"
    fs, pattern = fsspec.core.url_to_fs(address, use_listings_cache=False)
    found = {name: info["size"] for name, info in sorted(fs.glob(pattern, detail=True).items())
             if info["type"] == "file"}  # fmt: skip
    known = {name: at for name, at in cursor.get("files", {}).items() if name in found}
    unfinished: list[str] = []
    for name, size in found.items():
        for lines, at in _read_on(fs, name, size, known.get(name)):
            known = known | {name: at}
            yield Piece(name, lines, {"files": known}, None)
        if known.get(name, {}).get("offset", 0) < size:
            unfinished.append(name)
    yield Piece("", [], {"files": known}, _message(found, unfinished, pattern))


def _message(found: dict[str, int], names: list[str], pattern: str) -> str | None:
    if not found:
        return f"no file matches {pattern}"
    if not names:
        return None
    return f"{len(names)} files end in a line that is not finished, for example {names[0]}"


def _read_on(fs: Any, name: str, size: int, at: dict[str, Any] | None) -> Iterator[tuple[list[bytes], dict[str, Any]]]:
    if at is not None and at["offset"] == size == at["size"]:
        return
    with fs.open(name, "rb") as source:
        offset = _start(source, size, at)
        while offset < size:
            source.seek(offset)
            block = source.read(min(BLOCK_BYTES, size - offset))
            end = _end(block, is_last=offset + len(block) >= size)
            if end == 0:
                return
            offset += end
            lines = [line for line in (line.strip() for line in block[:end].split(b"\n")) if line]
            yield lines, {"offset": offset, "size": size, "head": _head(source, offset)}


def _start(source: Any, size: int, at: dict[str, Any] | None) -> int:
    """Where to read on; 0 when this is not the file that was read before."""
    if at is None or size < at["offset"] or _head(source, at["offset"]) != at["head"]:
        return 0
    return int(at["offset"])


def _head(source: Any, offset: int) -> str:
    """Digest of the file's beginning, of what had been read of it by then."""
    source.seek(0)
    return hashlib.blake2b(source.read(min(HEAD_BYTES, offset)), digest_size=8).hexdigest()


def _end(block: bytes, *, is_last: bool) -> int:
    """How much of a block is whole lines; a last line without a line end is whole if it is a whole JSON text."""
    end = block.rfind(b"\n") + 1
    if is_last and end < len(block) and _is_whole(block[end:]):
        return len(block)
    return end if end or is_last else len(block)


def _is_whole(text: bytes) -> bool:
    if not text.strip().startswith(b"{"):
        return not text.strip()
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True
