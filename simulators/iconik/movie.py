"""Short films made on request: JPEG frames in a QuickTime or MP4 container.

Sources: QuickTime File Format (codec "jpeg"), ISO/IEC 14496-12 and 14496-14 (object type 0x6C: JPEG).
"""

from __future__ import annotations

import struct
from functools import lru_cache

from simulators.iconik.pictures import jpeg

FRAMES_PER_SECOND = 5
TIMESCALE = 1000
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


@lru_cache(maxsize=32)
def film(width: int, height: int, seconds: float, seed: str, *, quicktime: bool) -> bytes:
    """A film of ``seconds``; its frames are mosaics that move."""
    count = max(1, round(seconds * FRAMES_PER_SECOND))
    frames = [jpeg(width, height, seed, place / count) for place in range(count)]
    brand = b"qt  " if quicktime else b"isom"
    head = _box(b"ftyp", brand, struct.pack(">I", 512), brand, b"" if quicktime else b"mp42")
    start = len(head) + 8
    offsets = [start + sum(map(len, frames[:place])) for place in range(count)]
    movie = _movie(width, height, frames, offsets=offsets, quicktime=quicktime)
    return head + _box(b"mdat", *frames) + movie


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", len(content) + 8) + kind + content


def _full(kind: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", flags), *parts)


def _movie(width: int, height: int, frames: list[bytes], *, offsets: list[int], quicktime: bool) -> bytes:
    duration = len(frames) * TIMESCALE // FRAMES_PER_SECOND
    times = struct.pack(">IIII", 0, 0, TIMESCALE, duration)
    header = _full(b"mvhd", times, struct.pack(">IH10x", 0x10000, 0x100), _MATRIX, bytes(24), struct.pack(">I", 2))
    size = struct.pack(">II", width << 16, height << 16)
    track = _full(b"tkhd", struct.pack(">IIIII8xHHHxx", 0, 0, 1, 0, duration, 0, 0, 0), _MATRIX, size, flags=3)
    media = _full(b"mdhd", times, struct.pack(">HH", 0x55C4, 0))
    handler = _full(b"hdlr", b"mhlr" if quicktime else bytes(4), b"vide", bytes(12), b"\x00")
    reference = _box(b"dinf", _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1)))
    table = _table(width, height, frames, offsets=offsets, quicktime=quicktime)
    info = _box(b"minf", _full(b"vmhd", bytes(8), flags=1), reference, table)
    return _box(b"moov", header, _box(b"trak", track, _box(b"mdia", media, handler, info)))


def _table(width: int, height: int, frames: list[bytes], *, offsets: list[int], quicktime: bool) -> bytes:
    count, each = len(frames), TIMESCALE // FRAMES_PER_SECOND
    entry = struct.pack(">6xH16xHHIIIH32shH", 1, width, height, 0x480000, 0x480000, 0, 1, b"\x04jpeg", 24, 0xFFFF)
    sample = _box(b"jpeg", entry) if quicktime else _box(b"mp4v", entry, _descriptor())
    return _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1), sample),
        _full(b"stts", struct.pack(">III", 1, count, each)),
        _full(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        _full(b"stsz", struct.pack(f">II{count}I", 0, count, *map(len, frames))),
        _full(b"stco", struct.pack(f">I{count}I", count, *offsets)),
    )


def _descriptor() -> bytes:
    decoder = b"\x04\x0d\x6c\x11" + bytes(3) + bytes(8)
    stream = struct.pack(">HB", 1, 0) + decoder + b"\x06\x01\x02"
    return _full(b"esds", b"\x03" + bytes([len(stream)]) + stream)
