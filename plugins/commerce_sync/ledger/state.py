"""The pointer row of a leg: which files hold its markers, how far it has read, what it carries over.

Everything a leg remembers moves with this one row, in one transaction, guarded by ``version``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from commerce_sync.ledger.database import insert
from commerce_sync.ledger.tables import LEG

RETIRED_FOR = timedelta(hours=6)
"""How long files outlive the pointer row that named them: longer than any step reads."""


@dataclass(frozen=True, slots=True)
class MarkerFile:
    """One Parquet file of markers: its name below the ledger's folder, its rows, how many of those are gone.

    run: the run whose outcome it holds; None for a compacted file.
    """

    name: str
    rows: int
    gone: int
    size_bytes: int
    run: str | None = None


@dataclass(frozen=True, slots=True)
class LegState:
    """What a leg remembers. ``deltas`` are oldest first; a later one overrides an earlier one and the base.

    version: grows by one with every settled run.   high_water: the modification time up to which all is read.
    complete_at: when the last complete scan began.   carry: address of the source rows kept for the next run.
    replica: source name -> addresses, as the leg's steps lay them out.
    """

    leg: str
    version: int = 0
    high_water: datetime | None = None
    complete_at: datetime | None = None
    base: tuple[MarkerFile, ...] = ()
    deltas: tuple[MarkerFile, ...] = ()
    carry: str | None = None
    replica: dict[str, Any] = field(default_factory=dict)
    retired: tuple[tuple[str, str], ...] = ()
    mapping_version: int | None = None
    updated: datetime | None = None

    @property
    def markers(self) -> int:
        """An upper bound of the number of markers, in rows (a key in two files counts twice)."""
        return sum(item.rows for item in (*self.base, *self.deltas))

    def names(self) -> set[str]:
        """Every file name and address in the ledger's folder that the row mentions (``carry`` is a batch)."""
        return {item.name for item in (*self.base, *self.deltas)} | set(_texts(self.replica))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def read(connection: Connection, leg: str, *, lock: bool = False) -> LegState:
    """The state of a leg, version 0 before it first settled. ``lock`` holds it until the transaction ends."""
    query = sa.select(LEG).where(LEG.c.leg == leg)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return LegState(leg=leg) if row is None else _state(dict(row))


def _state(values: dict[str, Any]) -> LegState:
    files = values.pop("markers")
    values["retired"] = tuple((name, since) for name, since in values["retired"])
    return LegState(base=_files(files["base"]), deltas=_files(files["deltas"]), **values)


def _files(rows: list[dict[str, Any]]) -> tuple[MarkerFile, ...]:
    return tuple(MarkerFile(**row) for row in rows)


def locked(connection: Connection, leg: str) -> LegState:
    """The state of a leg, its row made if need be and held until the transaction ends."""
    connection.execute(insert(connection, LEG).values(_row(LegState(leg=leg))).on_conflict_do_nothing())
    return read(connection, leg, lock=True)


def legs(connection: Connection) -> list[LegState]:
    """The states of all legs that ever settled, by name."""
    return [_state(dict(row)) for row in connection.execute(sa.select(LEG).order_by(LEG.c.leg)).mappings()]


def write(connection: Connection, state: LegState, *, previous: LegState) -> bool:
    """Move the row from ``previous`` to ``state``; False when it no longer has the version of ``previous``.

    Names that fall out are noted as retired with the time: files must outlive their last readers.
    """
    now = datetime.now(UTC)
    gone = [[name, now.isoformat()] for name in sorted(previous.names() - state.names())]
    young = [[name, since] for name, since in state.retired if datetime.fromisoformat(since) > now - RETIRED_FOR]
    row = _row(state) | {"retired": young + gone}
    this = (LEG.c.leg == state.leg) & (LEG.c.version == previous.version)
    return connection.execute(sa.update(LEG).where(this).values(row)).rowcount == 1


def _row(state: LegState) -> dict[str, Any]:
    files = {"base": [asdict(item) for item in state.base], "deltas": [asdict(item) for item in state.deltas]}
    row = {name: getattr(state, name) for name in ("leg", "version", "high_water", "complete_at", "carry", "replica")}
    row |= {"markers": files, "mapping_version": state.mapping_version}
    return row | {"retired": [list(entry) for entry in state.retired], "updated": datetime.now(UTC)}
