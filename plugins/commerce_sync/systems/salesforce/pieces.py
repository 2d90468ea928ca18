"""Cut the rows of a bulk load into jobs: by real bytes and rows, one parent inside one job."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from commerce_sync.systems.salesforce.stage import CHUNK_ROWS, Group, Operation, Stage

INTERNAL_ROWS = 10_000
"""Rows Salesforce puts into one internal batch of a job. Batches of one job run beside each other, and lock each other
out where they write children of the same parent. Source: Bulk API 2.0 limits."""
JOB_BYTES = 95_000_000
"""Salesforce takes 150 MB after base64, so about 100 MB of CSV."""
HEADER_BYTES = 64_000


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of one job: ordinals [first, end) of one shape.

    waits: must not run beside the jobs before it, since they may hold rows of the same parents.   chained: must not
    run beside the job just before it, since both hold rows of one parent.   alone: of a parent with more rows than an
    internal batch has; nothing is joined to it.
    """

    first: int
    end: int
    rows: int
    size_bytes: int
    shape: int
    waits: bool
    chained: bool = False
    alone: bool = False

    def joined(self, group: Group) -> Piece:
        """The piece with the next group added."""
        size = self.size_bytes + group.size_bytes
        return replace(self, end=group.end, rows=self.rows + group.rows, size_bytes=size)


def cut(stage: Stage, operation: Operation, *, where: str, max_rows: int, max_bytes: int = JOB_BYTES) -> list[Piece]:
    """The jobs for the rows of an operation that meet ``where``, in order; deterministic for one batch."""
    room = max_bytes - HEADER_BYTES if max_bytes > 2 * HEADER_BYTES else max_bytes
    # Looking for quotes in every text is half of the work and seldom decides anything.
    quick = _cut(stage, operation, where, max_rows, None)
    if all(piece.size_bytes <= room for piece in quick):
        return quick
    return _cut(stage, operation, where, max_rows, room)


def _cut(stage: Stage, operation: Operation, where: str, max_rows: int, room: int | None) -> list[Piece]:
    """Jobs by rows and, unless ``room`` is None, by bytes; without room the bytes are only estimated, from above."""
    chunk = max(1, min(CHUNK_ROWS, max_rows // 4))
    groups = stage.groups(operation, where, exact=room is not None, chunk=chunk)
    room = room or sys.maxsize
    pieces: list[Piece] = []
    for piece in _fitted(stage, groups, operation, where, max_rows, room):
        last = pieces[-1] if pieces else None
        if last and _fits(last, piece, max_rows, room):
            pieces[-1] = last.joined(_as_group(piece))
        else:
            waits = piece.waits or (last is not None and last.shape != piece.shape)
            pieces.append(replace(piece, waits=waits))
    return pieces


def _fitted(
    stage: Stage, groups: Iterable[Group], operation: Operation, where: str, max_rows: int, room: int
) -> Iterator[Piece]:
    """Each group as a piece; one that is too large for any job becomes several that run one after another."""
    for group in groups:
        is_hot = group.bound and group.rows > INTERNAL_ROWS
        most = min(max_rows, INTERNAL_ROWS) if is_hot else max_rows
        if group.size_bytes <= room and group.rows <= most:
            yield Piece(group.first, group.end, group.rows, group.size_bytes, group.shape, waits=False)
        else:
            rows = stage.sizes(operation, first=group.first, end=group.end, where=where)
            yield from _split(rows, group, most, room, alone=is_hot)


def _split(rows: Iterable[tuple[int, int]], group: Group, max_rows: int, room: int, *, alone: bool) -> Iterator[Piece]:
    """The pieces of one group, a chain where its rows share a parent."""
    part: Piece | None = None
    for ordinal, size in rows:
        row = Group(ordinal, ordinal + 1, 1, size, group.shape, group.bound)
        if part and part.rows < max_rows and part.size_bytes + size <= room:
            part = part.joined(row)
            continue
        if part:
            yield part
        chained = group.bound and part is not None
        part = Piece(ordinal, ordinal + 1, 1, size, group.shape, waits=False, chained=chained, alone=alone)
    if part:
        yield part


def _fits(last: Piece, piece: Piece, max_rows: int, room: int) -> bool:
    if piece.waits or piece.chained or piece.alone or last.alone or piece.shape != last.shape:
        return False
    return last.rows + piece.rows <= max_rows and last.size_bytes + piece.size_bytes <= room


def _as_group(piece: Piece) -> Group:
    return Group(piece.first, piece.end, piece.rows, piece.size_bytes, piece.shape, bound=False)
