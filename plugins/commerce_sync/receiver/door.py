"""The way of every delivery: known source, right sender, small enough, read, durable in the ledger, answered.

A delivery is answered as taken only after the transaction that has its events and its receipt. What cannot be written
in time is answered 503: the sender comes again, and events that arrived after all are known by their ids. Work is done
on threads of our own, so that a ledger that stands still does not stop Airflow's API.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect

from commerce_sync import places
from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger import Added, Ledger, Receipt
from commerce_sync.receiver import bodies, settings
from commerce_sync.receiver.credentials import Credential, Keys
from commerce_sync.receiver.deliveries import Answer, Call, Delivery
from commerce_sync.receiver.pace import Pace
from commerce_sync.receiver.refusals import Refusal, later, unknown_source
from commerce_sync.receiver.settings import Settings, SourceRules
from commerce_sync.receiver.upkeep import Upkeep

if TYPE_CHECKING:
    from fastapi import Request

log = logging.getLogger(__name__)
T = TypeVar("T")
Reader = Callable[[Call], Delivery]

THREADS = 4
MOST_AT_ONCE = 64
"""Deliveries on their way at a time; the next one is told to come again."""
PATIENCE_S = 4.0
"""Time for reading and writing one delivery; SAP Commerce gives up after 5 s."""
LEDGER_KEPT_S = 60.0
STRANGERS_PER_MINUTE = 60
"""Deliveries without credentials that are answered 401; more are answered 429, and one a minute leaves a receipt."""


@dataclass(slots=True)
class Visit:
    """One delivery on its way, for its receipt."""

    source: str
    kind: str
    began: float = field(default_factory=time.monotonic)
    size_bytes: int = 0
    is_known: bool = False
    """Whether the sender proved who it is."""

    def receipt(self, status: int, reason: str | None, **counts: Any) -> Receipt:
        took_ms = round((time.monotonic() - self.began) * 1000, 3)
        return Receipt(
            datetime.now(UTC), self.source, self.kind, status, reason, self.size_bytes, took_ms, **counts
        )  # fmt: skip


class Door:
    """Takes deliveries. ``ledger`` gives the ledger, ``keys`` the credentials; both are asked when needed."""

    def __init__(
        self, *, ledger: Callable[[], Ledger] = places.open_ledger, keys: Keys | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:  # fmt: skip
        self._open, self._keys, self._patience_s = ledger, keys or Keys(), patience_s
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="receiver")
        self._lookups = ThreadPoolExecutor(1, thread_name_prefix="receiver-keys")  # never behind the ledger
        self._upkeep = Upkeep()
        self._paces: dict[tuple[str, int], Pace] = {}
        self._strangers = Pace(STRANGERS_PER_MINUTE)
        self._strangers_noted = Pace(1)
        self._known: tuple[float, Ledger] | None = None
        self._settings: tuple[Any, Settings] | None = None
        self._reading = self._working = 0

    async def take(self, request: Request, source: str, *, kind: str, reader: Reader) -> Answer:
        """One delivery from arrival to answer. Raises Refusal, of which the receipt is already on its way."""
        visit = Visit(source, kind)
        try:
            rules = self._rules(source)
            credential = await self._credential(rules, request)
            visit.is_known = credential.scheme != "hmac"
            if self._reading + self._working >= MOST_AT_ONCE:
                raise later("busy", f"{MOST_AT_ONCE} deliveries are on their way", seconds=1)
            call = await self._read(request, rules, credential, visit=visit)
            return await self._soon(self._threads, lambda: self._work(call, visit, reader))
        except Refusal as refusal:
            self._note(visit, refusal)
            raise
        except ClientDisconnect as error:
            raise Refusal(400, "disconnected", "the sender went away") from error

    def _rules(self, source: str) -> SourceRules:
        """What the file says of a source; the file is read again when it has changed."""
        file = settings.path()
        try:
            mark = (file, file.stat().st_mtime_ns) if file.is_file() else (file, 0)
            if self._settings is None or self._settings[0] != mark:
                self._settings = (mark, settings.load(file))
        except ConfigurationError as error:
            log.error("the receiver's file cannot be used: %s", error)
            raise later("misconfigured", "the receiver is not configured rightly", seconds=60) from error
        rules = self._settings[1].sources.get(source)
        if rules is None:
            raise unknown_source()
        return rules

    async def _credential(self, rules: SourceRules, request: Request) -> Credential:
        credential = await self._soon(self._lookups, lambda: self._find(rules.name))
        if credential is None:
            raise unknown_source()
        try:
            credential.check_headers(request.headers)
        except Refusal:
            if self._strangers.wait_s():
                raise Refusal(429, "too_many", "too many deliveries without credentials", retry_after=60) from None
            raise
        return credential

    def _find(self, source: str) -> Credential | None:
        try:
            return self._keys.find(source)
        except ConfigurationError as error:
            log.error("source %s is closed: %s", source, error)
            raise later("misconfigured", "the source is not configured rightly", seconds=60) from error
        except Exception as error:  # a secrets backend may fail in any way; the sender has to come again
            log.error("the connection of source %s cannot be read: %s", source, type(error).__name__)
            raise later("no_secrets", "credentials cannot be read now", seconds=10) from error

    async def _read(self, request: Request, rules: SourceRules, credential: Credential, *, visit: Visit) -> Call:
        self._reading += 1
        try:
            body = await bodies.read(request, max_bytes=rules.max_bytes)
        finally:
            self._reading -= 1
        visit.size_bytes = len(body)
        credential.check_body(request.headers, body)
        visit.is_known = True
        pace = self._paces.setdefault((rules.name, rules.per_minute), Pace(rules.per_minute))
        if wait_s := pace.wait_s():
            raise Refusal(429, "too_fast", f"at most {rules.per_minute} deliveries a minute", retry_after=wait_s)
        given = {name: str(value) for name, value in request.path_params.items()}
        return Call(request.method, request.headers, bodies.media_type(request), body, given, rules, credential)

    async def _soon(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        """Do it on a thread of our own, and give up waiting in time for the sender to hear of it."""
        self._working += 1  # until it is done, also when nobody waits any longer
        done = asyncio.get_running_loop().run_in_executor(threads, work)
        done.add_done_callback(self._ended)
        try:
            return await asyncio.wait_for(asyncio.shield(done), self._patience_s)
        except TimeoutError as error:
            raise later("slow", "the delivery could not be written in time; send it again") from error

    def _ended(self, done: asyncio.Future[Any]) -> None:
        """Count it out. What went wrong after nobody waited is no message: the sender was told to come again."""
        self._working -= 1
        if not done.cancelled():
            done.exception()

    def _work(self, call: Call, visit: Visit, reader: Reader) -> Answer:
        try:
            delivery = reader(call)
            ledger = self._ledger()
            kept: list[Added] = []

            def _receipt(added: Added) -> Receipt:
                kept.append(added)
                status = delivery.answer(added).status
                types = delivery.types if added.new else ()
                return visit.receipt(
                    status, delivery.reason, events=delivery.events, new=added.new, doubled=added.doubled,
                    refused=added.refused, types=types,
                )  # fmt: skip

            added = ledger.add_events(
                delivery.feed, delivery.rows, refused=delivery.refused, run="receiver", receipt=_receipt
            )
        except RetryableError as error:
            log.warning("a delivery of %s cannot be written: %s", visit.source, error)
            raise later("no_ledger", "it cannot be written now; send it again") from error
        except ConfigurationError as error:
            log.error("a delivery of %s cannot be taken: %s", visit.source, error)
            raise later("misconfigured", "the source is not configured rightly", seconds=60) from error
        self._upkeep.perhaps(ledger, self._settings[1] if self._settings else Settings())
        return delivery.answer(added)

    def _ledger(self) -> Ledger:
        until, ledger = self._known or (0.0, None)
        if ledger is None or until <= time.monotonic():
            ledger = self._open()
            self._known = (time.monotonic() + LEDGER_KEPT_S, ledger)
        return ledger

    def _note(self, visit: Visit, refusal: Refusal) -> None:
        """A receipt of a refusal, in the background; those of strangers one a minute, of unknown sources none."""
        log.warning(
            "delivery refused: source=%s kind=%s %d %s", visit.source, visit.kind, refusal.status, refusal.reason
        )
        is_stranger = refusal.status == 401 or not visit.is_known
        if refusal.reason in ("unknown_source", "no_ledger", "slow", "busy"):
            return
        if not is_stranger or not self._strangers_noted.wait_s():
            self._threads.submit(self._write, visit.receipt(refusal.status, refusal.reason))

    def _write(self, receipt: Receipt) -> None:
        try:
            self._ledger().note_receipt(receipt)
        except Exception:  # on a thread of its own nobody would hear of it
            log.exception("a receipt of source %s could not be written", receipt.source)
