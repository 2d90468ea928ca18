"""Load: changes into an entity set, with an outcome for every row.

Rows travel in ``$batch`` requests, one per ChangeSet by default, so each succeeds or fails by itself. Every
write is an upsert by key or a delete, so repeating one is harmless: rows whose answer is missing or in doubt,
that shared a failed ChangeSet, or met a lock are sent once more, alone. What still has no answer is
``unprocessed``.

A collection of which only some elements are ours (``owned``) is settled apart: the upsert adds what is missing, then
the collection is read and PATCHed without those of our elements that are no longer wanted.

With ``creates: false`` no row is upserted, see ``update_only``.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, RejectedError, RetryableError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.jobs import Loaded
from commerce_sync.systems.sap_commerce.batch import Answer, Operation
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.deletion import deletion_body
from commerce_sync.systems.sap_commerce.outcomes import LOAD_SCHEMA, delivered, refusal
from commerce_sync.systems.sap_commerce.owned import Owned
from commerce_sync.systems.sap_commerce.payload import Payload
from commerce_sync.systems.sap_commerce.protocol import MAX_CHANGESETS, entity_path, foremost, write_headers
from commerce_sync.systems.sap_commerce.schema import Schema
from commerce_sync.systems.sap_commerce.update_only import ABSENT, Aimed, UpdateOnly

log = logging.getLogger(__name__)
PART_ROWS = 20_000
FAILED_REQUESTS = 2
"""After so many failed requests in a row the shop counts as down."""
_AGAIN = ("lock", "transient")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """``options`` of a target.

    service, entity_set: where to; entity_set defaults to the target's object.   write: ``upsert`` merges
    collections (POST); ``patch`` replaces them for records whose id is known.   changesets: per request, at
    most 200. operations_per_changeset: above 1 is faster and makes rows share a transaction.   concurrency:
    requests at once, 1-8; more than 1 risks deadlocks where rows share nested items.   content_language,
    accept_language, pre_persist_hook, post_persist_hook: sent with every write.   owned: collection -> pattern
    (``crm-*``) of the keys of its elements that this leg may take out; all others stay.   creates: false rejects
    rows whose record the shop does not have, instead of making it; rows are then PATCHed one by one.
    """

    service: str
    entity_set: str
    write: Literal["upsert", "patch"] = "upsert"
    changesets: int = MAX_CHANGESETS
    operations_per_changeset: int = 1
    concurrency: int = 2
    content_language: str | None = None
    accept_language: str | None = None
    pre_persist_hook: str | None = None
    post_persist_hook: str | None = None
    owned: dict[str, str] = field(default_factory=dict)
    creates: bool = True

    @classmethod
    def of(cls, target: Target) -> LoadOptions:
        """Validate a target's options. Raises ConfigurationError naming the legal ones."""
        legal = [item.name for item in fields(cls)]
        unknown = sorted(set(target.options) - set(legal))
        if unknown or "service" not in target.options:
            wrong = f"unknown {unknown}" if unknown else "no 'service' (the integration object's code)"
            raise ConfigurationError(f"options of target {target.object!r} have {wrong}; legal: {', '.join(legal)}")
        found = cls(**{"entity_set": target.object, **target.options})
        for name, largest in (
            ("changesets", MAX_CHANGESETS),
            ("operations_per_changeset", 10_000),
            ("concurrency", 8),
        ):
            value = getattr(found, name)
            if not isinstance(value, int) or not 1 <= value <= largest:
                raise ConfigurationError(f"target option {name} is {value!r}; legal: 1 to {largest}")
        if found.write not in get_args(Literal["upsert", "patch"]):
            raise ConfigurationError(f"target option write is {found.write!r}; legal: upsert, patch")
        if not isinstance(found.creates, bool):
            raise ConfigurationError(f"target option creates is {found.creates!r}; legal: true, false")
        if found.owned and found.write == "patch":
            raise ConfigurationError("target options owned and write: patch exclude each other; leave write out")
        return found

    def headers(self, message_id: str) -> dict[str, str]:
        """Headers of one write."""
        return write_headers(
            message_id=message_id,
            content_language=self.content_language,
            accept_language=self.accept_language,
            pre_persist_hook=self.pre_persist_hook,
            post_persist_hook=self.post_persist_hook,
        )


@dataclass(frozen=True, slots=True)
class _Row:
    key: str
    kind: str
    target_id: str | None
    operation: Operation | None
    wanted: dict[str, Any] = field(default_factory=dict)
    """Owned collections and what of ours shall be in them."""


class Loader:
    """Sends changes through one client and writes outcomes into ``into``."""

    def __init__(
        self,
        client: SapCommerceClient,
        target: Target,
        payload: Payload,
        *,
        owned: Owned,
        only: UpdateOnly | None,
        into: BatchWriter,
    ) -> None:
        self._client = client
        self._options = LoadOptions.of(target)
        self._payload = payload
        self._owned = owned
        self._only = only
        self._into = into
        self._clearing = deletion_body(target, payload, owned=owned)
        self._deletes = target.on_delete == "delete"
        self._prefix = uuid.uuid4().hex
        self._sent = 0
        self._outcomes: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()
        self._messages: dict[str, str | None] = {}
        self._stopped: RetryableError | None = None
        self._failed = 0

    async def run(self, changes: Batch) -> Loaded:
        """Send every row.

        A request that fails for good leaves its rows unprocessed; two in a row, or none that got through,
        raise its RetryableError instead: everything may be sent again. ConfigurationError is raised at once.
        """
        slots = asyncio.Semaphore(self._options.concurrency)
        size = self._options.changesets * self._options.operations_per_changeset
        try:
            async with asyncio.TaskGroup() as group:
                for rows in _chunks(changes, size=size):
                    await slots.acquire()
                    group.create_task(self._send([self._row(row) for row in rows], slots))
        except BaseExceptionGroup as errors:
            raise foremost(errors) from errors
        if self._stopped and not self._counts["delivered"]:
            raise self._stopped
        self._flush()
        counts = self._counts
        log.info("load ended: %s, message ids begin with %s", dict(counts), self._prefix)
        return Loaded(counts["delivered"], counts["rejected"], counts["unprocessed"])

    def _row(self, row: dict[str, Any]) -> _Row:
        key, kind, target_id = row["_key"], row["_kind"], row["_target_id"]
        self._sent += 1
        identity = f"{self._prefix}-{self._sent}"
        entity_set, headers = self._options.entity_set, self._options.headers(identity)
        at = entity_path(entity_set, target_id) if target_id else None
        if kind == "DELETED":
            wanted = {} if self._deletes else self._owned.emptied
            return _Row(key, kind, target_id, self._deletion(identity, at), wanted)
        if self._only or (at and self._options.write == "patch"):
            path = entity_set if self._only or not at else at
            replacing = self._payload.body(row, replaces=True)
            return _Row(key, kind, target_id, Operation(identity, "PATCH", path, replacing, headers))
        upsert = Operation(identity, "POST", entity_set, self._payload.body(row), headers)
        return _Row(key, kind, target_id, upsert, self._owned.wanted(row))

    def _deletion(self, identity: str, at: str | None) -> Operation | None:
        if at is None or self._ignores:
            return None
        if self._deletes:
            return Operation(identity, "DELETE", at, headers=write_headers(message_id=identity))
        return Operation(identity, "PATCH", at, self._clearing, self._options.headers(identity))

    @property
    def _ignores(self) -> bool:
        return not self._deletes and self._clearing is None

    async def _send(self, rows: list[_Row], slots: asyncio.Semaphore) -> None:
        try:
            answers = await self._attempt([row.operation for row in rows if row.operation])
            answers |= await self._take_out(rows, answers)
        finally:
            slots.release()
        for row in rows:
            self._note(row, answers.get(row.operation.id) if row.operation else None)

    async def _take_out(
        self, rows: Sequence[_Row], answers: dict[str, Answer | RejectedError]
    ) -> dict[str, Answer | RejectedError]:
        """Answers of rows whose owned collections could not be settled; a lost answer leaves the row unprocessed."""
        found: dict[str, Answer | RejectedError] = {}
        lost: list[RetryableError | None] = []
        for row in (row for row in rows if row.operation and row.wanted):
            assert row.operation is not None
            answer = answers.get(row.operation.id)
            if not isinstance(answer, Answer) or not answer.is_success:
                continue
            if self._stopped in lost:
                found[row.operation.id] = Answer(0, b"")
                continue
            at = answer.entity().get("integrationKey") or row.target_id
            try:
                await self._owned.settle(self._client, str(at), row.wanted, headers=row.operation.headers)
            except RejectedError as error:
                found[row.operation.id] = error
            except RetryableError as error:
                lost.append(error)
                self._stopped, found[row.operation.id] = error, Answer(0, b"")
        return found

    async def _attempt(self, operations: list[Operation]) -> dict[str, Answer | RejectedError]:
        # PATCH inside $batch is not documented, so these go alone.
        alone = [item for item in operations if item.method == "PATCH"]
        batched = [item for item in operations if item.method != "PATCH"]
        answers: dict[str, Answer | RejectedError] = {}
        try:
            answers |= await self._batched(batched)
            aimed = await self._only.aimed(self._client, alone) if self._only else {}
        except RetryableError as error:
            self._lose(error)
            return answers
        if batched or aimed:
            self._failed = 0
        for item in alone:
            if answer := await self._single(item, aimed.get(item.id)):
                answers[item.id] = answer
        return answers

    def _lose(self, error: RetryableError) -> None:
        """Note a request that failed for good; raises it when it is not the first one in a row."""
        self._stopped, self._failed = error, self._failed + 1
        if self._failed >= FAILED_REQUESTS:
            raise error

    async def _batched(self, operations: list[Operation]) -> dict[str, Answer | RejectedError]:
        if not operations:
            return {}
        size = self._options.operations_per_changeset
        answers = await self._bisected(operations, size)
        again = [item for item in operations if _in_doubt(answers.get(item.id), shared=size > 1)]
        for start in range(0, len(again), MAX_CHANGESETS):
            answers |= await self._bisected(again[start : start + MAX_CHANGESETS], 1)
        return answers

    async def _bisected(self, operations: list[Operation], size: int) -> dict[str, Answer | RejectedError]:
        """Send a request; one refused as a whole is halved until the operation at fault stands alone."""
        self._messages |= dict.fromkeys((item.id for item in operations), operations[0].id)
        try:
            return dict(await self._client.batch(operations, per_changeset=size))
        except RejectedError as error:
            if len(operations) == 1:
                return {operations[0].id: error}
            middle = len(operations) // 2
            first = await self._bisected(operations[:middle], size)
            return first | await self._bisected(operations[middle:], size)

    async def _single(self, item: Operation, aimed: Aimed | None) -> Answer | RejectedError | None:
        """The answer of an operation, or of what it was aimed at (see ``update_only``); None when it was lost."""
        if isinstance(aimed, RejectedError):
            self._messages[item.id] = None  # nothing was sent
            return aimed
        answer: Answer | RejectedError
        try:
            answer = Answer(200, await self._client.send(aimed or item))
        except RejectedError as error:
            answer = self._only.absent(item) if self._only and aimed and error.code in ABSENT else error
        except RetryableError as error:
            self._lose(error)
            return None
        self._failed = 0
        return answer

    def _note(self, row: _Row, answer: Answer | RejectedError | None) -> None:
        outcome = _outcome(row, answer, stopped=self._stopped, ignores=self._ignores)
        self._counts[outcome["outcome"]] += 1
        own = row.operation.id if row.operation else None
        message_id = self._messages.pop(own, own) if own else None
        self._outcomes.append({"_key": row.key, **outcome, "message_id": message_id})
        if len(self._outcomes) >= PART_ROWS:
            self._flush()

    def _flush(self) -> None:
        self._into.add(pa.Table.from_pylist(self._outcomes, schema=LOAD_SCHEMA))
        self._outcomes = []


async def load(
    client: SapCommerceClient,
    target: Target,
    fields: Sequence[Field],
    changes: Batch,
    *,
    into: BatchWriter,
) -> Loaded:
    """Write ``changes`` (columns as every leg has them) to the target and one outcome per row into ``into``.

    Raises ConfigurationError for unknown fields or refused credentials, RetryableError when the shop is down.
    """
    schema = await client.metadata()
    options = LoadOptions.of(target)
    payload = Payload(schema, options.entity_set, fields)
    owned = Owned(schema, options.entity_set, fields, patterns=options.owned, deletion=target.on_delete)
    only = update_only(schema, target, fields, owned=owned)
    loader = Loader(client, target, payload, owned=owned, only=only, into=into)
    return await loader.run(changes)


def update_only(schema: Schema, target: Target, fields: Sequence[Field], *, owned: Owned) -> UpdateOnly | None:
    """How the rows of a target with ``creates: false`` are aimed; None for one that creates."""
    options = LoadOptions.of(target)
    if options.creates:
        return None
    return UpdateOnly(
        schema, options.entity_set, fields,
        owned=owned, replaces=options.write == "patch", language=options.content_language,
    )  # fmt: skip


def _chunks(changes: Batch, *, size: int) -> Iterator[list[dict[str, Any]]]:
    for path in changes.paths():
        with fsspec.open(path, "rb") as source:
            for piece in pq.ParquetFile(source).iter_batches(batch_size=size):
                yield piece.to_pylist()


def _in_doubt(answer: Answer | RejectedError | None, *, shared: bool) -> bool:
    if answer is None:
        return True
    if isinstance(answer, RejectedError) or answer.is_success:
        return False
    return shared or answer.status == 0 or answer.failure().reason_class in _AGAIN


def _outcome(
    row: _Row, answer: Answer | RejectedError | None, *, stopped: RetryableError | None, ignores: bool
) -> dict[str, Any]:
    if row.operation is None:
        return _without_request(row, ignores=ignores)
    if answer is None or (isinstance(answer, Answer) and answer.status == 0):
        reason = str(stopped) if stopped else "the answer held no result for this row, twice"
        return refusal("unprocessed", "unprocessed", "transient", reason, "")
    if isinstance(answer, RejectedError):
        if row.kind == "DELETED" and answer.code in ABSENT:
            return delivered(row.target_id)
        return refusal("rejected", answer.code, answer.reason_class, str(answer), "")
    if answer.is_success:
        return delivered(answer.entity().get("integrationKey") or row.target_id)
    found = answer.failure()
    if row.kind == "DELETED" and found.code in ABSENT:
        return delivered(row.target_id)
    return refusal(
        "rejected",
        found.code,
        found.reason_class,
        f"{found.status} {found.code}: {found.message}",
        found.fields,
    )


def _without_request(row: _Row, *, ignores: bool) -> dict[str, Any]:
    if ignores:
        return delivered(row.target_id) | {"code": "ignored"}
    reason = f"{row.key} is to be deleted but its integration key in the shop is not known"
    return refusal("rejected", "missing_target_id", "reference", reason, "")
