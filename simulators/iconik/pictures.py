"""Still pictures and sheets made on request: PNG, JPEG, PDF, WAV, from nothing but the standard library.

The same parameters give the same bytes, so nothing needs to be stored and a checksum can be named beforehand.
Sources: PNG (W3C), JPEG baseline (ITU T.81, tables K.1 and K.3), WAVE (RIFF), PDF 1.4.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from functools import cache, lru_cache

Colour = tuple[int, int, int]
_DC_CODES = {  # ITU T.81 table K.3: size of the difference -> (code, length)
    0: (0b00, 2),
    1: (0b010, 3),
    2: (0b011, 3),
    3: (0b100, 3),
    4: (0b101, 3),
    5: (0b110, 3),
    6: (0b1110, 4),
    7: (0b11110, 5),
    8: (0b111110, 6),
    9: (0b1111110, 7),
    10: (0b11111110, 8),
    11: (0b111111110, 9),
}
_DC_TABLE = bytes([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]) + bytes(range(12))
_AC_TABLE = bytes([1, *[0] * 15]) + b"\x00"  # one code only: end of block, "0"
_BLOCK = 8
_STEP = 8  # quantizer of the mean value: one step is one grey level


def palette(seed: str) -> tuple[Colour, Colour]:
    """Two colours that belong to a seed."""
    digest = hashlib.md5(seed.encode(), usedforsecurity=False).digest()
    return (digest[0], digest[1], digest[2]), (digest[3], digest[4], digest[5])


def _shade(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


@lru_cache(maxsize=64)
def png(width: int, height: int, seed: str) -> bytes:
    """A diagonal gradient in true colour."""
    first, second = palette(seed)
    span = max(width + height - 2, 1)
    ramp = b"".join(bytes(_shade(first, second, place / span)) for place in range(width + height))
    lines = b"".join(b"\x00" + ramp[3 * row : 3 * (row + width)] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines, 6)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@lru_cache(maxsize=256)
def jpeg(width: int, height: int, seed: str, moment: float = 0.0) -> bytes:
    """A mosaic of 8 x 8 blocks, each one colour; ``moment`` 0 to 1 moves the mosaic, for film frames."""
    first, second = palette(seed)
    across, down = -(-width // _BLOCK), -(-height // _BLOCK)
    span = max(across + down - 2, 1)
    diagonals = [_ycc(_shade(first, second, (place / span + moment) % 1.0)) for place in range(across + down - 1)]
    bits: list[str] = []
    luma, blue, red = 0, 0, 0
    for row in range(down):
        for column in range(row, row + across):
            last, (luma, blue, red) = (luma, blue, red), diagonals[column]
            bits += _mean(luma - last[0]), _mean(blue - last[1]), _mean(red - last[2])
    return _jpeg_head(width, height) + _packed(bits) + b"\xff\xd9"


def _ycc(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = colour
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return round(luma - 128), round(0.564 * (blue - luma)), round(0.713 * (red - luma))


def _jpeg_head(width: int, height: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    parts = [
        (0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"),
        (0xDB, bytes([0]) + bytes([_STEP] * 64)),
        (0xC0, frame),
        (0xC4, bytes([0x00]) + _DC_TABLE),
        (0xC4, bytes([0x10]) + _AC_TABLE),
        (0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 0, 63, 0])),
    ]
    return b"\xff\xd8" + b"".join(
        b"\xff" + bytes([mark]) + struct.pack(">H", len(one) + 2) + one for mark, one in parts
    )


@cache
def _mean(difference: int) -> str:
    """The bits of one block: how its mean value differs from the last one's, and that nothing else follows."""
    size = abs(difference).bit_length()
    code, length = _DC_CODES[size]
    value = difference if difference > 0 else difference + (1 << size) - 1
    return f"{code:0{length}b}" + (f"{value:0{size}b}" if size else "") + "0"


def _packed(bits: list[str]) -> bytes:
    """The entropy-coded part: whole bytes, filled up with ones, FF followed by 00."""
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    packed = int(text, 2).to_bytes(len(text) // 8, "big") if text else b""
    return packed.replace(b"\xff", b"\xff\x00")


@lru_cache(maxsize=16)
def wav(seconds: float, seed: str) -> bytes:
    """A square wave, mono, 8 kHz, 16 bit."""
    pitch = 10 + hashlib.md5(seed.encode(), usedforsecurity=False).digest()[0] % 30
    period = struct.pack(f"<{2 * pitch}h", *([6000] * pitch), *([-6000] * pitch))
    wanted = round(seconds * 8000) * 2
    samples = (period * (wanted // len(period) + 1))[:wanted]
    form = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


@lru_cache(maxsize=64)
def pdf(title: str) -> bytes:
    """One page with one line of text."""
    shown = title.encode("ascii", "replace").decode().replace("\\", " ").replace("(", "[").replace(")", "]")
    stream = f"BT /F1 18 Tf 72 760 Td ({shown}) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        " /Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    text, places = "%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(text))
        text += f"{number} 0 obj\n{one}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size, start = len(objects) + 1, len(text)
    text += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n"
    return (text + "%%EOF\n").encode()
