"""POST, PATCH, DELETE of one entity, with hooks, localization and monitoring.

Source: fact sheet sections 2.5 to 2.7, 2.11, 2.12.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from simulators.sap_commerce.access import AccessRights
from simulators.sap_commerce.atom_payload import parse_entry
from simulators.sap_commerce.calls import Call, Reply, parse_path
from simulators.sap_commerce.errors import ODataError, bad_request, entity_not_found, not_allowed
from simulators.sap_commerce.hooks import HookContext, check_hooks, post_persist, pre_persist
from simulators.sap_commerce.localized import Localization, first_language, known_languages
from simulators.sap_commerce.odata_query import Query
from simulators.sap_commerce.outbound.configuration import after_save, check_unused
from simulators.sap_commerce.reading import Reader, item_of
from simulators.sap_commerce.schema import Item
from simulators.sap_commerce.store import Store
from simulators.sap_commerce.upsert import Writer

_READ_ONLY = ("InboundIntegrationMonitoring", "OutboundIntegrationMonitoring")
_BODIES = ("application/json", "application/xml", "application/atom+xml")


@dataclass(slots=True)
class Editor:
    """Applies writes to the store; the caller decides how far a transaction reaches."""

    store: Store
    reader: Reader
    settings: dict[str, Any]
    last_key: str = field(default="")

    def apply(self, call: Call) -> Reply:
        """One write; raises ODataError. ``last_key`` then holds the key for the monitoring record."""
        self.last_key = ""
        target = parse_path(call.path)
        item = item_of(call.service, target.entity_set)
        if call.method == "POST":
            if target.key is not None or target.rest:
                raise not_allowed("POST is only allowed on an entity set.")
            return self._post(call, item)
        if target.key is None or target.rest:
            raise not_allowed(f"{call.method} requires the key of exactly one entity in the URI.")
        self.last_key = target.key
        status = 404 if call.method == "DELETE" else 400
        pk = self.reader.find(target.key, item=item, service=call.service, malformed=status)
        if pk is None:
            raise entity_not_found(item.code, target.key)
        return self._delete(call, pk) if call.method == "DELETE" else self._patch(call, item, pk)

    def _post(self, call: Call, item: Item) -> Reply:
        payload = _payload(call, item)
        pre, post = _hooks(call)
        context = HookContext(self.store, call.service.code, item.code)
        changed = pre_persist(pre, payload, context)
        if changed is None:
            return Reply(201, b"{}")
        writer = Writer(self.store, call.service, self._localization(call), rights=self._rights(call))
        pk = writer.post(item, changed)
        post_persist(post, pk, context)
        self._after_save(pk, writer)
        return self._saved(call, item, pk, status=201)

    def _patch(self, call: Call, item: Item, pk: int) -> Reply:
        if call.service.code in _READ_ONLY:
            raise not_allowed("Monitoring records cannot be changed.")
        pre, post = _hooks(call)
        context = HookContext(self.store, call.service.code, item.code)
        changed = pre_persist(pre, _payload(call, item), context)
        if changed is not None:
            writer = Writer(
                self.store, call.service, self._localization(call), replaces=True, rights=self._rights(call)
            )
            writer.patch(item, changed, pk=pk)
            post_persist(post, pk, context)
            self._after_save(pk, writer)
        return self._saved(call, item, pk, status=200)

    def _delete(self, call: Call, pk: int) -> Reply:
        self._rights(call).require("remove", self.store.itemtype(pk))
        check_unused(self.store, pk)
        self.store.delete(pk)
        return Reply(200, b"")

    def _rights(self, call: Call) -> AccessRights:
        return AccessRights(self.store, self.settings, call.user)

    def _after_save(self, pk: int, writer: Writer) -> None:
        for written, created in writer.written:
            after_save(self.store, self.reader.schemas, written, created=created)
        if self.settings["return_touches_order"] and self.store.itemtype(pk) == "ReturnRequest":
            order = self.store.value(pk, "order")
            if self.store.exists(order):
                self.store.update(order, {})

    def _saved(self, call: Call, item: Item, pk: int, *, status: int) -> Reply:
        language = self._answer_language(call)
        text = self.reader.entity(call, item, pk, query=Query(), language=language)
        self.last_key = json.loads(text)["integrationKey"]
        headers = {"Location": json.loads(text)["__metadata"]["uri"]} if status == 201 else {}
        return Reply(status, f'{{"d":{text}}}'.encode(), headers=headers)

    def _localization(self, call: Call) -> Localization:
        known = known_languages(self.store)
        header = call.headers.get("Content-Language")
        platform = str(self.settings["platform_language"])
        return Localization(first_language(header, known=known, platform=platform), bool(header), known)

    def _answer_language(self, call: Call) -> str:
        header = call.headers.get("Accept-Language") or call.headers.get("Content-Language")
        platform = str(self.settings["platform_language"])
        return first_language(header, known=known_languages(self.store), platform=platform)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _payload(call: Call, item: Item) -> dict[str, Any]:
    kind = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in _BODIES:
        raise ODataError(415, "unknown_error", f"Media type [{kind}] is not supported.")
    if kind != "application/json":
        return parse_entry(call.body, item=item, service=call.service)
    try:
        body = json.loads(call.body, parse_constant=_refuse_constant)
        if b"\\ud" in call.body.lower():  # half of a surrogate pair is no text
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise bad_request("odata_error", f"The payload could not be parsed: {error}") from error
    entity = body["d"] if isinstance(body, dict) and set(body) == {"d"} else body
    if not isinstance(entity, dict):
        raise bad_request("odata_error", "The payload must be one JSON object.")
    return entity


def _hooks(call: Call) -> tuple[str, str]:
    pre, post = call.headers.get("Pre-Persist-Hook", ""), call.headers.get("Post-Persist-Hook", "")
    check_hooks(pre, post)
    return pre, post
