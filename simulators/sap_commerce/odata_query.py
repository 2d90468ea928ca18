"""Query options of a collection, and the list of items they select.

The selected pks are kept until anything is written: a page chain is then slices of one list, and a write
between two pages shifts the rest of the chain, as absolute offsets do in the real system.
Source: fact sheet section 2.4.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from simulators.sap_commerce.errors import bad_request
from simulators.sap_commerce.odata_filter import Filter, order_by
from simulators.sap_commerce.rows import Joins, type_test
from simulators.sap_commerce.schema import IntegrationObject, Item
from simulators.sap_commerce.store import Store

DEFAULT_PAGE, LARGEST_PAGE = 10, 1000
SUPPORTED = {
    "$filter",
    "$top",
    "$skip",
    "$inlinecount",
    "$expand",
    "$orderby",
    "$skiptoken",
    "$select",
    "$format",
}
_KEPT_LISTS = 16
_CIRCLES = 2
_FARTHEST = 2**40  # no collection reaches so far
# no order is promised without $orderby; "scattered" shows who relies on one
_UNORDERED = {"pk": "t.pk", "scattered": "(t.pk * 2654435761) % 4294967291, t.pk"}


@dataclass(frozen=True, slots=True)
class Query:
    """The options of one request, checked; ``texts`` holds them as they were sent."""

    expand: dict[str, Any] = field(default_factory=dict)
    filter: str | None = None
    orderby: str | None = None
    top: int | None = None
    offset: int = 0
    count: bool = False
    texts: tuple[tuple[str, str], ...] = ()

    @property
    def page_size(self) -> int:
        return DEFAULT_PAGE if self.top is None else min(self.top, LARGEST_PAGE)


def parse_query(raw: str) -> Query:
    """Read a raw query string; raises ODataError 400 naming the option."""
    texts = tuple(part for part in raw.split("&") if part)
    pairs = tuple((unquote_plus(n), unquote_plus(v)) for n, _, v in (text.partition("=") for text in texts))
    options = dict(pairs)
    for name in options:
        if name.startswith("$") and name not in SUPPORTED:
            raise bad_request("odata_error", f"Invalid system query option: '{name}'.")
    offset = _whole(options, "$skiptoken")
    return Query(
        expand=expand_tree(options.get("$expand", "")),
        filter=options.get("$filter") or None,
        orderby=options.get("$orderby") or None,
        top=_whole(options, "$top"),
        offset=offset if offset is not None else _whole(options, "$skip") or 0,
        count=_counts(options.get("$inlinecount", "none")),
        texts=tuple((name, text) for (name, _), text in zip(pairs, texts, strict=True)),
    )


def _whole(options: dict[str, str], name: str) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise bad_request("odata_error", f"URI malformed: value '{text}' of '{name}' is not valid.")
    return min(int(text), _FARTHEST)


def _counts(text: str) -> bool:
    if text not in ("none", "allpages"):
        raise bad_request("odata_error", f"URI malformed: value '{text}' of '$inlinecount' is not valid.")
    return text == "allpages"


def expand_tree(text: str) -> dict[str, Any]:
    """``a,b/c`` as a tree of dictionaries."""
    tree: dict[str, Any] = {}
    for path in (part.strip() for part in text.split(",")):
        level = tree
        for name in path.split("/") if path else ():
            level = level.setdefault(name, {})
    return tree


def check_expand(tree: dict[str, Any], *, item: Item, service: IntegrationObject, above: tuple[str, ...] = ()) -> None:
    """Refuse names that are not navigation properties, and circles, whose answers would grow without end."""
    if above.count(item.code) >= _CIRCLES:
        message = f"[$expand] passes [{item.code}] more than {_CIRCLES} times."
        raise bad_request("invalid_query_parameter", message)
    for name, below in tree.items():
        if name == "localizedAttributes" and item.localized:
            continue
        attribute = item.attributes.get(name)
        if attribute is None or attribute.is_property:
            raise bad_request("odata_error", f"Could not find property with name: '{name}'.")
        if attribute.target in service.items:
            target = service.items[attribute.target]
            check_expand(below, item=target, service=service, above=(*above, item.code))


def next_link(query: Query, *, address: str, offset: int) -> str:
    """The address of the next page: an absolute offset instead of ``$skip``, all else as it was sent."""
    kept = [text for name, text in query.texts if name not in ("$skip", "$skiptoken")]
    return f"{address}?{'&'.join([*kept, f'$skiptoken={offset}'])}"


class Selections:
    """Which items a query selects, in order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[str, tuple[Any, ...]], array[int]] = OrderedDict()
        self._version = -1

    def select(self, query: Query, *, item: Item, service: IntegrationObject, settings: dict[str, Any]) -> array[int]:
        """The pks of all selected items, not only of one page."""
        joins = Joins(item, types=self._store.types, language=settings["platform_language"])
        tests = [type_test(item, types=self._store.types, fallback=settings["item_type_match"])]
        values: list[Any] = []
        if query.filter:
            parsed = Filter(item, service, joins)
            tests.append(parsed.sql(query.filter))
            values = parsed.values
        order = _UNORDERED[settings["default_order"]]
        if query.orderby:
            order = order_by(query.orderby, item=item, joins=joins) + ", t.pk"
        sql = f"SELECT t.pk FROM {joins.text} WHERE {' AND '.join(tests)} ORDER BY {order}"
        return self._rows(sql, tuple(values))

    def _rows(self, sql: str, values: tuple[Any, ...]) -> array[int]:
        if self._version != self._store.version:
            self._kept.clear()
            self._version = self._store.version
        found = self._kept.get((sql, values))
        if found is None:
            found = array("q", (pk for (pk,) in self._store.db.execute(sql, values)))
            self._kept[(sql, values)] = found
            if len(self._kept) > _KEPT_LISTS:
                self._kept.popitem(last=False)
        return found
