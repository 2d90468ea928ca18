"""What people said about rejects: try it again, leave it out, send these values instead.

Every word is kept with who said it and when. Only an edit stays ``open``: until its values arrived (``done``), or the
source changed and its own values go (``dropped``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from commerce_sync import disguise
from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import rejects, state
from commerce_sync.ledger.tables import ANSWER, REJECT

Action = Literal["retry", "dismiss", "edit"]
MASK = "***"
CHUNK = 5_000
_AGAIN = {"status": "rejected", "attempts": 0}


@dataclass(frozen=True, slots=True)
class RejectAnswer:
    """One word about one reject. fingerprint: of the payload it is about.

    edited: field -> value to send, for an edit; personal ones are masked once the edit is over.   personal: their
    names.   run: the run that ended an edit.   noted: whether the history has it.
    """

    id: int
    leg: str
    key: str
    action: Action
    fingerprint: int | None
    edited: dict[str, Any] | None
    personal: tuple[str, ...]
    reason: str | None
    answered_by: str
    answered_at: datetime
    status: Literal["open", "done", "dropped"]
    run: str | None
    closed_at: datetime | None
    noted: bool

    @property
    def shown(self) -> dict[str, Any] | None:
        """The edited values, personal ones masked."""
        if self.edited is None:
            return None
        return {name: MASK if name in self.personal and value is not None else value
                for name, value in self.edited.items()}  # fmt: skip


def put(
    connection: Connection, leg: str, *, action: Action, keys: Sequence[str] | None, by: str, reason: str | None,
    edited: dict[str, Any] | None = None, personal: Iterable[str] = (),
) -> int:  # fmt: skip
    """Keep a word about the rejects of keys (None: all of the leg) and act by it; gives the number of rejects.

    A run that settles at the same time comes before or after it, never in between.
    """
    state.read(connection, leg, lock=True)
    now = datetime.now(UTC)
    about = _about(connection, leg, keys)
    if action != "retry":
        _drop(connection, leg, list(about), now=now)
    values = {"edited": edited, "personal": sorted(set(personal) & set(edited or {}))}
    row = {
        "leg": leg, "action": action, "reason": reason and disguise.plain(reason), "answered_by": by,
        "answered_at": now,
        "edited": json.dumps({"values": values["edited"], "personal": values["personal"]}) if edited else None,
        "status": "open" if action == "edit" else "done", "noted": False,
    }  # fmt: skip
    rows: list[dict[str, Any]] = [{**row, "key": key, "fingerprint": mark} for key, mark in about.items()]
    for start in range(0, len(rows), CHUNK):
        connection.execute(sa.insert(ANSWER), rows[start : start + CHUNK])
    return rejects.change(connection, leg, keys=list(about), values=_effect(action, now))


def _effect(action: str, now: datetime) -> dict[str, Any]:
    return {"status": "dismissed", "next_attempt": None} if action == "dismiss" else _AGAIN | {"next_attempt": now}


def _about(connection: Connection, leg: str, keys: Sequence[str] | None) -> dict[str, int | None]:
    query = sa.select(REJECT.c.key, REJECT.c.fingerprint).where(REJECT.c.leg == leg)
    if keys is None:
        return {row.key: row.fingerprint for row in connection.execute(query)}
    found: dict[str, int | None] = {}
    for part in _chunks(list(keys)):
        found |= {row.key: row.fingerprint for row in connection.execute(query.where(REJECT.c.key.in_(part)))}
    return found


def _drop(connection: Connection, leg: str, keys: list[str], *, now: datetime) -> None:
    """A newer word takes the place of an open edit."""
    for part in _chunks(keys):
        mine = sa.select(ANSWER.c.id).where(ANSWER.c.leg == leg, ANSWER.c.status == "open", ANSWER.c.key.in_(part))
        close(connection, leg, ids=list(connection.scalars(mine)), status="dropped", run=None, now=now, noted=None)


def close(
    connection: Connection, leg: str, *, ids: Sequence[int], status: Literal["done", "dropped"], run: str | None,
    now: datetime, noted: bool | None,
) -> None:  # fmt: skip
    """End edits; their personal values are masked from then on. noted: None leaves it as it is."""
    for part in _chunks(list(ids)):
        query = sa.select(ANSWER).where(ANSWER.c.leg == leg, ANSWER.c.id.in_(part), ANSWER.c.status == "open")
        for found in [_answer(row) for row in connection.execute(query)]:
            text = json.dumps({"values": found.shown, "personal": list(found.personal)})
            values: dict[str, Any] = {"status": status, "run": run, "closed_at": now, "edited": text}
            values |= {} if noted is None else {"noted": noted}
            connection.execute(sa.update(ANSWER).where(ANSWER.c.id == found.id).values(values))


def newest(connection: Connection, leg: str) -> int:
    """Number of the last word about a leg's rejects; 0 when there is none."""
    return int(connection.scalar(sa.select(sa.func.max(ANSWER.c.id)).where(ANSWER.c.leg == leg)) or 0)


def newest_open(connection: Connection, leg: str) -> int:
    """Number of the last edit of a leg that is still to be sent; 0 when there is none."""
    query = sa.select(sa.func.max(ANSWER.c.id)).where(ANSWER.c.leg == leg, ANSWER.c.status == "open")
    return int(connection.scalar(query) or 0)


def say_again(connection: Connection, leg: str, *, after: int) -> None:
    """What was said while a run was under way holds for the rejects that the run left, if their payload is the same."""
    query = sa.select(ANSWER).where(ANSWER.c.leg == leg, ANSWER.c.id > after, ANSWER.c.status != "dropped")
    for said in [_answer(row) for row in connection.execute(query.order_by(ANSWER.c.id))]:
        this = (REJECT.c.leg == leg) & (REJECT.c.key == said.key) & (REJECT.c.fingerprint == said.fingerprint)
        connection.execute(sa.update(REJECT).where(this).values(_effect(said.action, said.answered_at)))


def listed(
    connection: Connection, *, leg: str | None, keys: Sequence[str] | None, status: str | None, noted: bool | None
) -> list[RejectAnswer]:
    """Words in the order they were said."""
    query = sa.select(ANSWER).order_by(ANSWER.c.id)
    query = query.where(ANSWER.c.leg == leg) if leg is not None else query
    query = query.where(ANSWER.c.key.in_(list(keys))) if keys is not None else query
    query = query.where(ANSWER.c.status == status) if status is not None else query
    query = query.where(ANSWER.c.noted.is_(noted)) if noted is not None else query
    return [_answer(row) for row in connection.execute(query)]


def note(connection: Connection, ids: Sequence[int]) -> None:
    """The history has these."""
    for part in _chunks(list(ids)):
        connection.execute(sa.update(ANSWER).where(ANSWER.c.id.in_(part)).values(noted=True))


def prune(connection: Connection, *, before: datetime) -> int:
    """Forget what was said before a moment; open edits and what the history does not have yet stay."""
    over = (ANSWER.c.answered_at < before) & (ANSWER.c.status != "open") & ANSWER.c.noted.is_(True)
    return connection.execute(sa.delete(ANSWER).where(over)).rowcount


def demand(connection: Connection, leg: str, *, key: str) -> rejects.Reject:
    """The reject of a key. Raises ConfigurationError when there is none."""
    found = rejects.find(connection, leg, key=key)
    if found is None:
        raise ConfigurationError(
            f"leg {leg}: {key!r} is not among its rejects; see: python -m commerce_sync rejects {leg}"
        )
    return found


def _answer(row: sa.Row[Any]) -> RejectAnswer:
    values = dict(row._mapping)
    edited = json.loads(values["edited"]) if values["edited"] else {"values": None, "personal": []}
    return RejectAnswer(**(values | {"edited": edited["values"], "personal": tuple(edited["personal"])}))


def _chunks(items: list[Any]) -> list[list[Any]]:
    return [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
