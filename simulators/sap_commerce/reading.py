"""GET: service document, metadata, collections, entities, navigation.

Source: fact sheet sections 2.1, 2.3 and 2.4.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from simulators.faults import Faults
from simulators.sap_commerce.access import AccessRights
from simulators.sap_commerce.calls import XML, Call, Reply, Target, parse_path
from simulators.sap_commerce.edmx import metadata, service_document_json, service_document_xml
from simulators.sap_commerce.errors import entity_not_found, not_found
from simulators.sap_commerce.localized import first_language, known_languages
from simulators.sap_commerce.odata_query import Query, Selections, check_expand, next_link, parse_query
from simulators.sap_commerce.page_faults import PageFaults
from simulators.sap_commerce.render import Node
from simulators.sap_commerce.rows import Joins, key_conditions, malformed_key, type_test
from simulators.sap_commerce.schema import IntegrationObject, Item, ItemAttribute, Schemas
from simulators.sap_commerce.store import Store

_KEPT_NODES = 64


class Reader:
    """Answers GET requests from the store."""

    def __init__(self, store: Store, *, schemas: Schemas, settings: dict[str, Any], faults: Faults) -> None:
        self.store, self.schemas, self.settings = store, schemas, settings
        self.page_faults = PageFaults(faults, store=store)
        self._selections = Selections(store)
        self._nodes: OrderedDict[tuple[Any, ...], Node] = OrderedDict()

    def answer(self, call: Call) -> Reply:
        """Any GET of a service."""
        path = call.path.strip("/")
        if not path:
            return _service_document(call)
        if path == "$metadata":
            return self._metadata(call)
        target = parse_path(path)
        item = item_of(call.service, target.entity_set)
        query = parse_query(call.query)
        AccessRights(self.store, self.settings, call.user).require_read(item, query.expand, service=call.service)
        if target.key is None:
            return self._of_set(call, item, target=target, query=query)
        pk = self.find(target.key, item=item, service=call.service)
        if pk is None:
            raise entity_not_found(item.code, target.key)
        if not target.rest:
            return _json(self.entity(call, item, pk, query=query))
        return self._of_entity(call, item, pk, name=target.rest, query=query)

    def _metadata(self, call: Call) -> Reply:
        code = call.query.partition("&")[0]
        everything = list(call.service.items.values())
        self._check_metadata(call)
        items = call.service.reachable(code) if code in call.service.items else everything
        return Reply(200, metadata(call.service, items=items).encode(), XML)

    def _check_metadata(self, call: Call) -> None:
        """A restricted user reads the metadata of what has a root, and only with the right to read it."""
        rights = AccessRights(self.store, self.settings, call.user)
        if call.service.root is not None:
            rights.require("read", call.service.root.type.code)
        elif rights.enforced:
            rights.require("read", "Item")

    def _of_set(self, call: Call, item: Item, *, target: Target, query: Query) -> Reply:
        pks = self._selections.select(query, item=item, service=call.service, settings=self.settings)
        if target.rest == "$count":
            return Reply(200, str(len(pks)).encode(), "text/plain;charset=utf-8")
        if target.rest:
            raise not_found(f"Could not find property with name: '{target.rest}'.")
        return self._page(call, item, pks=pks, query=query)

    def _page(self, call: Call, item: Item, *, pks: Any, query: Query) -> Reply:
        path, end = f"{call.path}?{call.query}", query.offset + query.page_size
        pks = self.page_faults.shifted(pks, path=path, offset=query.offset)
        page, more = list(pks[query.offset : end]), len(pks) > end and query.page_size > 0
        page, more = self.page_faults.truncated(page, more, path=path, offset=query.offset)
        node = self.node(call, item, query.expand)
        parts = ['{"d":{']
        if query.count:
            parts.append(f'"__count":"{len(pks)}",')
        parts += ['"results":[', ",".join(node.page(page, base=call.base)), "]"]
        if more:
            link = next_link(query, address=call.base + item.entity_set, offset=end)
            parts.append(f',"__next":{json.dumps(link)}')
        parts.append("}}")
        return Reply(200, "".join(parts).encode())

    def entity(self, call: Call, item: Item, pk: int, *, query: Query, language: str | None = None) -> str:
        """One entity as JSON text."""
        return self.node(call, item, query.expand, language=language).page([pk], base=call.base)[0]

    def node(self, call: Call, item: Item, expand: dict[str, Any], *, language: str | None = None) -> Node:
        """The compiled renderer for an entity type, an expansion and a language."""
        language = language or self.read_language(call)
        key = (call.service.code, item.code, json.dumps(expand), language, self.settings["null_key_part"])
        found = self._nodes.get((*key, self.schemas.stamp))
        if found is None:
            check_expand(expand, item=item, service=call.service)
            found = Node(
                item,
                service=call.service,
                store=self.store,
                language=language,
                null_key=self.settings["null_key_part"],
                expand=expand,
            )
            self._nodes[(*key, self.schemas.stamp)] = found
            if len(self._nodes) > _KEPT_NODES:
                self._nodes.popitem(last=False)
        return found

    def read_language(self, call: Call) -> str:
        header = call.headers.get("Accept-Language")
        platform = str(self.settings["platform_language"])
        if not header:
            return platform
        return first_language(header, known=known_languages(self.store), platform=platform)

    def find(self, key: str, *, item: Item, service: IntegrationObject, malformed: int = 400) -> int | None:
        """The pk behind an integration key, or None; ``malformed`` is the status for a wrong form."""
        joins = Joins(item, types=self.store.types, language=self.settings["platform_language"])
        try:
            tests, values = key_conditions(key, service=service, item=item, joins=joins)
        except ValueError as error:
            raise malformed_key(item, key, status=malformed) from error
        tests.append(type_test(item, types=self.store.types, fallback=self.settings["item_type_match"]))
        sql = f"SELECT t.pk FROM {joins.text} WHERE {' AND '.join(tests)} ORDER BY t.pk LIMIT 1"
        found = self.store.db.execute(sql, values).fetchone()
        return found[0] if found else None

    def _of_entity(self, call: Call, item: Item, pk: int, *, name: str, query: Query) -> Reply:
        if name in ("localizedAttributes", "integrationKey"):
            return self._special(call, item, pk, name=name)
        attribute = item.attributes.get(name)
        if attribute is None and name not in item.virtual:
            raise not_found(f"Could not find property with name: '{name}'.")
        if attribute is None or attribute.is_property:
            entity = json.loads(self.entity(call, item, pk, query=Query()))
            return _json(json.dumps({name: entity[name]}, ensure_ascii=False))
        if attribute.target not in call.service.items:
            entity = json.loads(self.entity(call, item, pk, query=Query(expand={name: {}})))
            return _json(json.dumps(entity[name], ensure_ascii=False))
        rights = AccessRights(self.store, self.settings, call.user)
        rights.require_read(call.service.items[attribute.target], query.expand, service=call.service)
        if attribute.many:
            return self._related(call, attribute, pk, query=query)
        return self._referenced(call, attribute, pk, query=query)

    def _special(self, call: Call, item: Item, pk: int, *, name: str) -> Reply:
        if name == "localizedAttributes" and not item.localized:
            raise not_found(f"Could not find property with name: '{name}'.")
        expand: dict[str, Any] = {name: {}} if name == "localizedAttributes" else {}
        entity = json.loads(self.entity(call, item, pk, query=Query(expand=expand)))
        value = entity[name] if expand else {name: entity[name]}
        return _json(json.dumps(value, ensure_ascii=False))

    def _related(self, call: Call, attribute: ItemAttribute, pk: int, *, query: Query) -> Reply:
        target = call.service.items[attribute.target]
        members = self.store.collection(pk, attribute.attribute)
        texts = self.node(call, target, query.expand).page(members, base=call.base)
        return _json(f'{{"results":[{",".join(texts)}]}}')

    def _referenced(self, call: Call, attribute: ItemAttribute, pk: int, *, query: Query) -> Reply:
        target = call.service.items[attribute.target]
        found = self.store.value(pk, attribute.attribute.name)
        if not self.store.exists(found):
            if self.settings["null_navigation_status"] == 204:
                return Reply(204)
            raise not_found(f"[{target.code}] referenced by [{attribute.name}] was not found.")
        return _json(self.entity(call, target, found, query=query))


def item_of(service: IntegrationObject, entity_set: str) -> Item:
    item = service.by_set(entity_set)
    if item is None:
        raise not_found(f"Could not find an entity set or function import for '{entity_set}'.")
    return item


def _service_document(call: Call) -> Reply:
    if "json" in call.headers.get("Accept", ""):
        return Reply(200, service_document_json(call.service).encode())
    text = service_document_xml(call.service, base=call.base)
    return Reply(200, text.encode(), "application/atomsvc+xml;charset=utf-8")


def _json(text: str) -> Reply:
    return Reply(200, f'{{"d":{text}}}'.encode())
