"""What the shop has, read through the Meta APIs as far as its ``$metadata`` offers them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Self

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.schema import EntityType, Schema
from commerce_sync.systems.sap_commerce.setup import kinds
from commerce_sync.systems.sap_commerce.setup.kinds import Kind, Row, Value

Clients = Callable[[str], SapCommerceClient]
Found = dict[tuple[str, ...], Row]


@dataclass(slots=True)
class Shop:
    """The Meta APIs of one shop, opened as they are needed. Use as ``async with``.

    without_channels: credentials and destinations go by WebhookService, which needs no rights on Outbound Sync.
    """

    clients: Clients
    without_channels: bool = False
    _open: dict[str, SapCommerceClient] = field(default_factory=dict)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(self, *cause: Any) -> None:
        await self._stack.__aexit__(*cause)

    async def client(self, kind: Kind) -> SapCommerceClient:
        """The client of the service a kind belongs to."""
        service = self.service(kind)
        if service not in self._open:
            self._open[service] = await self._stack.enter_async_context(self.clients(service))
        return self._open[service]

    def service(self, kind: Kind) -> str:
        """Where a kind is read and written."""
        return kinds.WEBHOOK if self.without_channels and kind in kinds.DESTINATIONS else kind.service

    async def offered(self, kind: Kind) -> Kind | None:
        """The kind with the values that this shop's service knows; None when it knows nothing of it.

        Raises ConfigurationError when the service cannot be reached at all.
        """
        schema = await self._schema(kind)
        entity = schema.types.get(schema.sets.get(kind.entity_set, ""))
        if entity is None:
            return None
        values = {name: value for name, value in kind.values.items() if _reachable(schema, entity, value.place)}
        return replace(kind, values=values)

    async def rows(self, kind: Kind) -> Found:
        """Key -> row with its references, of everything of a kind as ``offered`` gave it."""
        client = await self.client(kind)
        expand = ",".join(_expanded([*kind.keys.values(), *kind.values.values()]))
        # pages of an unordered set may repeat rows and leave others out
        order = ",".join(dict.fromkeys(value.path[0] for value in kind.keys.values()))
        query = {"$expand": expand or None, "$orderby": order}
        try:
            return await _read(client, kind, query)
        except ConfigurationError:  # the documentation contradicts itself on whether $orderby is supported
            return await _read(client, kind, {**query, "$orderby": None})

    async def _schema(self, kind: Kind) -> Schema:
        service = self.service(kind)
        client = await self.client(kind)
        try:
            return await client.metadata()
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{service} cannot be used: {error}; the connection's user has to be in integrationadmingroup and "
                f"{kinds.GROUPS[service]}, and sign in as the service's inbound channel says (`other_services`)"
            ) from error


async def _read(client: SapCommerceClient, kind: Kind, query: dict[str, str | None]) -> Found:
    return {kind.key_of(row): row async for page in client.pages(kind.entity_set, query) for row in page}


def _reachable(schema: Schema, entity: EntityType, path: Collection[str]) -> bool:
    *way, last = path
    for name in way:
        if name not in entity.navigations:
            return False
        entity = schema.types[entity.navigations[name].target]
    return last in entity.properties or last in entity.navigations


def _expanded(values: Iterable[Value]) -> list[str]:
    """What to expand: every reference on the way, the longest paths only."""
    ways = {"/".join(value.place if value.form in ("codes", "map") else value.path[:-1]) for value in values}
    return sorted(way for way in ways if way and not any(other.startswith(f"{way}/") for other in ways))
