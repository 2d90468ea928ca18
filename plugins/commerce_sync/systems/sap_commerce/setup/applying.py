"""Makes the shop what the file wants: kind by kind, each thing by itself, so that one refusal stops only what needs it.

Nothing is remembered between runs: what a killed run left undone is the difference that the next one finds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from commerce_sync.errors import RejectedError
from commerce_sync.systems.sap_commerce.batch import Answer, Operation
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.protocol import Failure, entity_path
from commerce_sync.systems.sap_commerce.setup import kinds
from commerce_sync.systems.sap_commerce.setup.differences import Asked, Difference, Plan, plan
from commerce_sync.systems.sap_commerce.setup.kinds import Row
from commerce_sync.systems.sap_commerce.setup.live import Shop
from commerce_sync.systems.sap_commerce.setup.resources import Id

BATCH = 100
"""Operations of one ``$batch``: far below the limit of 200, so that a killed run loses little."""
PASSES = 4
"""What the shop generates by itself is looked at again; more passes than that would go in circles."""
Tell = Callable[[str, Difference, str], None]
"""Told "done", "refused" or "waits", the difference, and why."""


@dataclass(slots=True)
class Outcome:
    """done: what was made, changed, removed.   refused, waiting: with the reason.   left: what still differs."""

    done: list[Difference] = field(default_factory=list)
    refused: dict[Id, tuple[Difference, str]] = field(default_factory=dict)
    waiting: dict[Id, tuple[Difference, str]] = field(default_factory=dict)
    left: Plan = field(default_factory=lambda: Plan(()))


async def apply(shop: Shop, asked: Asked, *, prune: bool, tell: Tell) -> Outcome:
    """Make it so, and look again until nothing is left that can be done.

    prune: remove what is extra.   tell: called after each step.
    Raises RetryableError when the shop cannot be reached for long: another run goes on from there.
    """
    work = _Work(shop, asked, prune, tell)
    for _ in range(PASSES):
        work.outcome.left = await plan(shop, asked)
        asked = work.look_again()
        if not await work.walk():
            break
    else:
        work.outcome.left = await plan(shop, asked)
    return work.outcome


@dataclass(slots=True)
class _Work:
    shop: Shop
    asked: Asked
    prune: bool
    tell: Tell
    outcome: Outcome = field(default_factory=Outcome)

    def look_again(self) -> Asked:
        """Secrets that were sent on request are sent once."""
        return Asked(self.asked.file, self.asked.connections, self.asked.sections)

    async def walk(self) -> bool:
        """One pass; whether anything was done."""
        before = len(self.outcome.done)
        self.outcome.waiting.clear()
        for kind in kinds.KINDS:
            todo = [
                item for item in self.outcome.left.wanted if item.kind == kind and item.id not in self.outcome.refused
            ]
            ready = [item for item in sorted(todo, key=_roots_last) if self._is_ready(item)]
            await self._write(ready)
        if self.prune:
            await self._remove()
        return len(self.outcome.done) > before

    def _is_ready(self, item: Difference) -> bool:
        stuck = {**self.outcome.refused, **self.outcome.waiting}
        needs = item.resource.needs if item.resource else ()
        for need in needs:
            if need in stuck:
                reason = f"needs {stuck[need][0].name}, which is not there"
                self.outcome.waiting[item.id] = (item, reason)
                self.tell("waits", item, reason)
                return False
        return True

    async def _write(self, items: Sequence[Difference]) -> None:
        singles = [item for item in items if _patched(item)]
        posts = [item for item in items if item not in singles or _posted(item)]
        for start in range(0, len(posts), BATCH):
            await self._post(posts[start : start + BATCH])
        for item in singles:
            if item.id not in self.outcome.refused:
                await self._patch(item)

    async def _post(self, items: Sequence[Difference]) -> None:
        client = await self.shop.client(items[0].kind)
        operations = {item.id: self._operation(item) for item in items}
        answers = await _batch(client, list(operations.values())) if len(items) > 1 else {}
        for item in items:
            operation = operations[item.id]
            answer = answers.get(operation.id)
            if answer is None:
                self._settle(item, await _send(client, operation))
            else:
                self._settle(item, None if answer.is_success else _text(answer.failure(), item))

    def _settle(self, item: Difference, refusal: str | None) -> None:
        if refusal is None:
            self.outcome.done.append(item)
            self.tell("done", item, "")
            return
        self.outcome.refused[item.id] = (item, refusal)
        self.tell("refused", item, refusal)

    def _operation(self, item: Difference) -> Operation:
        return Operation(f"setup-{uuid.uuid4()}", "POST", item.kind.entity_set, self._body(item))

    def _body(self, item: Difference) -> Row:
        """Everything that is wanted, or of something that is there only what differs and what a POST may say of it."""
        one, kind = item.resource, item.kind
        assert one is not None
        changed = {name for name, _, _ in item.changes}
        values = {name: value for name, value in one.values.items()
                  if name in kind.values and (item.action == "create" or _by_post(item, name))}  # fmt: skip
        if item.action == "create":
            values = {name: value for name, value in values.items() if value not in (None, (), {})} | one.once
        secrets = {name: reference.resolve(self.asked.connections) for name, reference in one.secrets.items()
                   if item.action == "create" or name in changed}  # fmt: skip
        return kind.body(item.key, values | secrets)

    async def _patch(self, item: Difference) -> None:
        assert item.row is not None
        assert item.resource is not None
        client = await self.shop.client(item.kind)
        values = {name: item.resource.values[name] for name, _, _ in item.changes if not _by_post(item, name)}
        body = {name: value for name, value in item.kind.body(item.key, values).items()
                if name in {item.kind.values[given].place[0] for given in values}}  # fmt: skip
        try:
            await client.update(item.kind.entity_set, item.row["integrationKey"], body)
        except RejectedError as error:
            self._settle(item, str(error))
        else:
            if not _posted(item):
                self._settle(item, None)

    async def _remove(self) -> None:
        """What is extra, those that refer to others first."""
        for item in reversed(self.outcome.left.extra):
            if item.id in self.outcome.refused or item.row is None:
                continue
            client = await self.shop.client(item.kind)
            path = entity_path(item.kind.entity_set, item.row["integrationKey"])
            self._settle(item, await _send(client, Operation(f"setup-{uuid.uuid4()}", "DELETE", path)))


def _roots_last(item: Difference) -> bool:
    """An object has at most one root item: the old one steps down before the new one steps up."""
    return item.resource is not None and bool(item.resource.values.get("root"))


def _patched(item: Difference) -> bool:
    return item.action == "change" and any(not _by_post(item, name) for name, _, _ in item.changes)


def _posted(item: Difference) -> bool:
    return item.action == "create" or any(_by_post(item, name) for name, _, _ in item.changes)


def _by_post(item: Difference, name: str) -> bool:
    """POST merges collections and cannot name a trigger, PATCH cannot clear a reference: each takes the other's part.

    Source: SAP Commerce 2211, POST and PATCH of the Integration API.
    """
    if item.kind == kinds.TRIGGER:
        return False
    return name in item.kind.secrets or item.kind.values[name].form not in ("codes", "map")


async def _batch(client: SapCommerceClient, operations: Sequence[Operation]) -> dict[str, Answer]:
    """Answers as far as there are any; a batch that is refused as a whole has none."""
    try:
        return await client.batch(operations)
    except RejectedError:
        return {}


async def _send(client: SapCommerceClient, operation: Operation) -> str | None:
    try:
        await client.send(operation)
    except RejectedError as error:
        return None if operation.method == "DELETE" and error.code == "not_found" else str(error)
    return None


def _text(failure: Failure, item: Difference) -> str:
    return f"{failure.status} {failure.code}: {failure.message}{''.join(_advice(failure, item))}"


def _advice(failure: Failure, item: Difference) -> Iterator[str]:
    values: dict[str, Any] = item.resource.values if item.resource else {}
    if failure.code != "missing_nav_property":
        return
    if "[attributeDescriptor]" in failure.message:
        yield (
            f" The shop's type {values.get('type')} has no attribute {values.get('of')}: add it there, or take it out "
            "of the file and of the mappings that use it."
        )
    if item.kind == kinds.ITEM and "[type]" in failure.message:
        yield f" The shop has no type {values.get('type')}: add it there, or take the item out of the file."
