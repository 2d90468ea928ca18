"""Webhook configurations: which saved items they are about, and what the delivery says.

Source: fact sheet section 3.3. The values of ``ce-type`` and ``ce-source`` are unconfirmed there; a webhook for
ItemSavedEvent names what happened, Created or Updated.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulators.sap_commerce.outbound.roots import item_of_type, roots_of
from simulators.sap_commerce.schema import IntegrationObject, Schemas
from simulators.sap_commerce.scripts import WEBHOOK_FILTERS, usable_code
from simulators.sap_commerce.store import Saved, Store

EVENTS = "de.hybris.platform.webhookservices.event."
KINDS_OF = {
    f"{EVENTS}ItemSavedEvent": {"created", "updated"},
    f"{EVENTS}ItemCreatedEvent": {"created"},
    f"{EVENTS}ItemUpdatedEvent": {"updated"},
    f"{EVENTS}ItemDeletedEvent": {"deleted"},
}


@dataclass(frozen=True, slots=True)
class Webhook:
    """One configuration, read."""

    pk: int
    service: str
    destination: int
    event: str
    filter: str

    @property
    def kinds(self) -> set[str]:
        return KINDS_OF.get(self.event, set())


class Webhooks:
    """The configurations of a store, read again after one of them changed."""

    def __init__(self, store: Store, *, schemas: Schemas) -> None:
        self._store, self._schemas = store, schemas
        self._known: list[Webhook] = []
        self._stamp = -1

    def all(self) -> list[Webhook]:
        if self._stamp != self._store.definitions:
            self._stamp = self._store.definitions
            self._known = [self._read(pk) for pk in self._store.find(["WebhookConfiguration"], {})]
        return self._known

    def _read(self, pk: int) -> Webhook:
        value = self._store.value
        service = value(value(pk, "integrationObject"), "code") or ""
        return Webhook(pk, service, value(pk, "destination"), value(pk, "eventType"), value(pk, "filterLocation") or "")

    def service(self, webhook: Webhook) -> IntegrationObject | None:
        return self._schemas.get(webhook.service)

    def touched(self, saved: Saved, webhook: Webhook) -> Iterator[tuple[int, str]]:
        """(root item, what happened to it) for one saved item; a child makes its parent Updated."""
        service = self.service(webhook)
        if service is None or service.root is None:
            return
        item = item_of_type(service, saved.itemtype, store=self._store)
        if item is service.root:
            yield saved.pk, saved.kind
        elif item is not None and saved.kind != "deleted" and self._store.exists(saved.pk):
            for root in roots_of(service, saved.pk, saved.itemtype, store=self._store) or ():
                yield root, "updated"

    def has_child_type(self, webhook: Webhook, itemtype: str) -> bool:
        """Whether another webhook of the same destination and event is about a nearer type of the item."""
        mine, types = self.service(webhook), self._store.types
        if mine is None or mine.root is None:
            return False
        for other in self.all():
            theirs = self.service(other)
            if theirs is None or theirs.root is None or theirs.root.type.code == mine.root.type.code:
                continue
            same = (other.destination, other.event) == (webhook.destination, webhook.event)
            nearer = types.is_a(theirs.root.type.code, ancestor=mine.root.type.code)
            if same and nearer and types.is_a(itemtype, ancestor=theirs.root.type.code):
                return True
        return False


def filtered(payload: dict[str, Any], webhook: Webhook, *, store: Store, pk: int | None) -> dict[str, Any] | None:
    """What the filter lets through: None when it refuses, fails, or is missing (fail closed)."""
    if not webhook.filter:
        return payload
    function = WEBHOOK_FILTERS.get(usable_code(webhook.filter, store=store) or "")
    if function is None:
        return None
    try:
        found = function(dict(payload), store, pk)
    except Exception:  # a crashing filter means: do not send
        return None
    return found if isinstance(found, dict) else None


def cloud_event_headers(
    *, service: str, kind: str, subject: str, time: str, settings: dict[str, Any]
) -> dict[str, str]:
    """The CloudEvents attributes in binary mode, except the passport's twin that the sender knows."""
    return {
        "ce-specversion": "1.0",
        "ce-id": str(uuid.uuid4()),
        "ce-source": f"/{settings['webhook_region']}/sap.cx.commerce/{settings['webhook_tenant']}",
        "ce-type": f"sap.cx.commerce.{service}.{kind.capitalize()}.{settings['webhook_type_version']}",
        "ce-subject": subject,
        "ce-time": time,
    }
