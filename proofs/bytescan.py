"""A scan for a person in every byte that is held: files as they are, what is packed into them, and every table's rows.

Files are read raw (freed pages of a database, footers and statistics of Parquet included), and again unpacked: Parquet
decoded row by row whatever its compression, gzip inflated. Each name is looked for in the spellings that our stores and
our neighbours use. A scan that finds nothing proves nothing unless it can find; ``tests/privacy`` plants names.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

PARQUET, GZIP = b"PAR1", b"\x1f\x8b"
SHORTEST = 6
"""Bytes of a spelling that is looked for; a shorter one stands in anything by chance."""
STORES = (
    ("ledger.db", "ledger, its file"), ("batches/markers/", "markers and agreed values"),
    ("batches/history/", "history"), ("pages/", "gate pages"), ("logs/", "logs"),
)  # fmt: skip
STEPS = {
    "before": "before-images", "undo": "before-images", "carry": "carried rows", "verdicts": "verdicts and quarantine",
    "check": "verdicts and quarantine",
}  # fmt: skip
ROWS = "ledger, rows of every table"


@dataclass
class Seen:
    """What a scan looked at in one store. size: bytes read, unpacked ones included.   finds: (where, name)."""

    files: int = 0
    size: int = 0
    finds: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Seen) -> None:
        self.files += other.files
        self.size += other.size
        self.finds += other.finds


Stamps = dict[str, tuple[int, int]]
"""File -> time it was written, size."""


def look(
    home: Path, names: Sequence[str], *, engine: sa.Engine | None = None, clean: Stamps | None = None
) -> dict[str, Seen]:
    """Store -> what was seen of it: every file below ``home``, and every row of a database.

    clean: files in which an earlier look found nothing; they are not read again, and it is added to.
    """
    found: dict[str, Seen] = {}
    known = {} if clean is None else clean
    for path in sorted(item for item in home.rglob("*") if item.is_file()):
        where, seen = path.relative_to(home).as_posix(), Seen()
        stamp = path.stat().st_mtime_ns, path.stat().st_size
        if known.get(where) != stamp:
            _seen(seen, where, readings(path), names)
            known |= {} if seen.finds else {where: stamp}
            found.setdefault(store_of(where), Seen()).add(seen)
    for table, text in tables(engine) if engine is not None else ():
        _seen(found.setdefault(ROWS, Seen()), table, [text], names)
    return found


def finds(seen: dict[str, Seen]) -> list[tuple[str, str]]:
    """(where, name) over all stores."""
    return [item for part in seen.values() for item in part.finds]


def size(seen: dict[str, Seen]) -> int:
    """Bytes that were read."""
    return sum(part.size for part in seen.values())


def scan(home: Path, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(file, name) for every name that stands in any file below a folder."""
    yield from finds(look(home, names))


def store_of(where: str) -> str:
    """The store that a file belongs to, by its place below the home folder."""
    for start, store in STORES:
        if where.startswith(start):
            return store
    parts = where.split("/")
    kind = "batches of runs" if where.startswith("batches/runs/") else "replicas and figures"
    return STEPS.get(parts[4], kind) if len(parts) > 4 else kind if parts[0] == "batches" else "other files"


def _seen(into: Seen, where: str, texts: Iterator[bytes] | list[bytes], names: Sequence[str]) -> None:
    into.files += 1
    hit: set[str] = set()
    for text in texts:
        into.size += len(text)
        low = text.lower()
        hit |= {name for name in names if any(form in text or form.lower() in low for form in spellings(name))}
    into.finds += [(where, name) for name in sorted(hit)]


def readings(path: Path) -> Iterator[bytes]:
    """A file's name, its bytes, and what is packed into them."""
    raw = path.read_bytes()
    yield str(path).encode()
    yield raw
    if raw[:4] == PARQUET:
        yield _decoded(path)
    if raw[:2] == GZIP:
        yield zlib.decompress(raw, zlib.MAX_WBITS | 16)


def _decoded(path: Path) -> bytes:
    """Every value of a Parquet file. One that cannot be read (its writer was killed) has its raw bytes only."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as source:
            return json.dumps(pq.read_table(source).to_pylist(), default=str, ensure_ascii=False).encode()
    except pa.ArrowInvalid:
        return b""


def tables(engine: sa.Engine) -> Iterator[tuple[str, bytes]]:
    """Table -> its rows as text, of all tables that the database has: also such as the ledger does not know."""
    found = sa.MetaData()
    found.reflect(engine)
    with engine.connect() as connection:
        for table in found.sorted_tables:
            rows: list[Any] = [list(row) for row in connection.execute(sa.select(table))]
            yield table.name, json.dumps(rows, default=_text, ensure_ascii=False).encode()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


@cache
def spellings(name: str) -> frozenset[bytes]:
    """A name as it is, as in addresses and JSON, in base64 at each offset, in UTF-16 and hex.

    Upper and lower case are the same wherever a scan looks.
    """
    plain = name.encode()
    found = {plain, quote(name, safe="").encode(), json.dumps(name)[1:-1].replace("@", "\\u0040").encode()}
    found |= {name.encode("utf-16-le"), name.encode("utf-16-be"), plain.hex().encode()}
    for shift in range(3):
        found.add(base64.b64encode(b"x" * shift + plain)[(0, 2, 3)[shift] : -4])
    return frozenset(form for form in found if len(form) >= SHORTEST)
