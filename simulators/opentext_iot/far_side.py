"""What the control API sees: reset, raw records of all kinds, a fleet on demand."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from simulators.opentext_iot import shapes
from simulators.opentext_iot.documents import Document
from simulators.opentext_iot.errors import ApiError
from simulators.opentext_iot.event_search import envelope
from simulators.opentext_iot.events import EventRow, StoredEvent, split_message
from simulators.opentext_iot.platform import Platform
from simulators.opentext_iot.profile import profile
from simulators.system import KEPT, Options, Row

OTHER_KINDS = ("deviceGroup", "subscription", "orchestration", "TopicMessage")
# scale -> devices and days of history of the demo seed
DEMO = {"slice": (300, 14), "full": (3000, 3)}
STATE_FORMAT = 1


class FarSide:
    """The ``Store`` of the simulator kernel; tokens outlive a reset, ending them is the fault expire_tokens."""

    def __init__(self, platform: Platform, *, options: Options, forget: Callable[[], None]) -> None:
        self._platform, self._options, self._forget = platform, options, forget
        self._started = False
        self._kinds = (*profile("covisint_classic")["resources"], *OTHER_KINDS)

    async def reset(self, *, seed: str) -> object:
        """Back to a seed; the first reset of a process keeps what a state folder holds of the same seed."""
        platform, mark = self._platform, [seed, self._options.scale, STATE_FORMAT]
        platform.answered.clear()
        self._forget()
        if not self._started and platform.database.fact("seed") == mark:
            self._started = True
            platform.documents.forget_numbers()
            platform.fleet.resume()
            return KEPT
        self._started = True
        platform.fleet.forget()
        platform.database.create()
        if seed == "demo":
            devices, days = DEMO[self._options.scale]
            platform.fleet.start({"devices": devices, "history_days": days, "scale": self._options.scale})
            await platform.fleet.catch_up()
        platform.database.remember("seed", mark)
        return None

    async def records(self, kind: str, *, where: dict[str, str], limit: int | None, offset: int) -> Any:
        """Rows of a kind; ``event`` has the search's fields with times of storage and the payload's fields."""
        if kind == "event":
            await self._platform.fleet.catch_up()
            found = [self._event(one) for one in self._platform.events.select("1 ORDER BY created_ms, seq", ())]
        else:
            found = [self._row(one) for one in self._platform.documents.select(self._known(kind))]
        found = [row for row in found if all(_text(row.get(name)) == text for name, text in where.items())]
        return found[offset : None if limit is None else offset + limit], len(found)

    def _known(self, kind: str) -> str:
        if kind not in self._kinds:
            raise LookupError(f"type {kind!r} is unknown; legal: event, Fleet, {', '.join(self._kinds)}")
        return kind

    def _row(self, one: Document) -> Row:
        times = {"updatedMs": one.updated_ms, "indexedMs": one.indexed_ms}
        return shapes.rendered(one) | {name: value for name, value in one.body.items() if name.startswith("_")} | times

    def _event(self, one: StoredEvent) -> Row:
        sql = "SELECT visible_ms FROM events WHERE seq = ?"
        shown = self._platform.database.db.execute(sql, (one.seq,)).fetchone()[0]
        return envelope(one) | {"seq": one.seq, "visibleMs": shown, "payload": one.values()}

    async def load(self, kind: str, rows: list[Row]) -> int:
        """Store rows without API semantics; ``Fleet`` rows start a fleet."""
        if kind == "Fleet":
            started = sum(self._platform.fleet.start(row) for row in rows)
            await self._platform.fleet.catch_up()
            return started
        if kind == "event":
            return self._platform.events.add([self._event_row(row) for row in rows])
        return self._platform.documents.put([self._document(self._known(kind), row) for row in rows])

    def _document(self, kind: str, row: Row) -> Document:
        now = self._platform.now_ms()
        created = int(row.get("creation", now))
        server = {"id", "version", "creation", "updatedMs", "indexedMs"}
        body = {name: value for name, value in row.items() if name not in server}
        times = (created, int(row.get("updatedMs", created)), int(row.get("indexedMs", min(created, now))))
        return Document(kind, str(row.get("id") or uuid.uuid4()), 1, *times, body)

    def _event_row(self, row: Row) -> EventRow:
        """An envelope with ``creation`` and ``visibleMs`` (both now by default); ``payload`` may stand for message."""
        now, number = self._platform.now_ms(), self._platform.database.number
        created = int(row.get("creation", now))
        device, template, stream = (
            number(str(row.get(name, ""))) for name in ("deviceId", "eventTemplateId", "streamId")
        )
        encoding = row.get("encodingType", "BASE64")
        if isinstance(row.get("payload"), dict):
            content: tuple[str | None, str | None] = (_json(row["payload"]), None)
        else:
            content = split_message(str(row.get("message", "")), encoding)
        message_id = str(row.get("messageId") or uuid.uuid4())
        return EventRow(
            created, int(row.get("visibleMs", created)), device, template, stream, message_id, *content, encoding
        )

    def patch(self, kind: str, key: str, values: Row) -> None:
        """Somebody else's edit: a new version; ``creation``, ``updatedMs``, ``indexedMs`` may be set."""
        found = self._found(kind, key)
        times = {name: int(values[name]) for name in ("creation", "updatedMs", "indexedMs") if name in values}
        server = {"id", "version", "creation", "updatedMs", "indexedMs"}
        found.body |= {name: value for name, value in values.items() if name not in server}
        self._platform.documents.write(found)
        if times:
            found.created_ms = times.get("creation", found.created_ms)
            found.updated_ms = times.get("updatedMs", found.updated_ms)
            found.indexed_ms = times.get("indexedMs", found.indexed_ms)
            self._platform.documents.put([found])

    def delete(self, kind: str, key: str) -> None:
        if kind == "event":
            if not self._platform.database.db.execute("DELETE FROM events WHERE seq = ?", (key,)).rowcount:
                raise LookupError(f"there is no event number {key}")
            return
        self._found(kind, key)
        self._platform.documents.delete(kind, key)

    def _found(self, kind: str, key: str) -> Document:
        try:
            return self._platform.documents.get(self._known(kind), key)
        except ApiError as error:
            raise LookupError(f"there is no {kind} {key}") from error


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
