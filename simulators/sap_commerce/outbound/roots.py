"""Which items of an integration object lead to its root, and by which attributes.

A changed child is sent as part of its root when the integration object has a way back from it, such as
``Address.owner`` or ``OrderEntry.order``. Source: fact sheet sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections import deque

from simulators.sap_commerce.schema import IntegrationObject, Item, ItemAttribute
from simulators.sap_commerce.store import Store

Way = tuple[ItemAttribute, ...]


def way_to_root(service: IntegrationObject, item: Item) -> Way | None:
    """The shortest chain of attributes from an item to the root; empty for the root, None without one."""
    root = service.root
    if root is None:
        return None
    queue: deque[tuple[Item, Way]] = deque([(item, ())])
    seen = {item.code}
    while queue:
        here, way = queue.popleft()
        if here is root:
            return way
        for navigation in here.navigations:
            target = service.items.get(navigation.target)
            if target is not None and target.code not in seen:
                seen.add(target.code)
                queue.append((target, (*way, navigation)))
    return None


def follow(store: Store, pk: int, way: Way) -> list[int]:
    """The existing items at the end of a way."""
    here = [pk]
    for step in way:
        found: list[int] = []
        for one in here:
            if step.many:
                found += store.collection(one, step.attribute)
            elif store.exists(other := store.value(one, step.attribute.name)):
                found.append(other)
        here = list(dict.fromkeys(found))
    return here


def item_of_type(service: IntegrationObject, itemtype: str, *, store: Store) -> Item | None:
    """The item whose type is nearest to an exact type; the root wins among equals."""
    lineage = store.types.lineage(itemtype)
    fitting = [item for item in service.items.values() if item.type.code in lineage]
    return min(fitting, key=lambda item: (lineage.index(item.type.code), not item.root), default=None)


def roots_of(service: IntegrationObject, pk: int, itemtype: str, *, store: Store) -> list[int] | None:
    """The roots a saved item belongs to; None when its type has no way to the root."""
    item, root = item_of_type(service, itemtype, store=store), service.root
    if item is None or root is None:
        return None
    way = way_to_root(service, item)
    if way is None:
        return None
    codes = store.types.subtypes(root.type.code)
    return [one for one in follow(store, pk, way) if store.itemtype(one) in codes]
