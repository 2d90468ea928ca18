"""Entities as JSON text, fast: one compiled function per entity type and expansion.

A node is an entity type in the expand tree. Its function turns one database row into the finished text of one
entity; children are fetched for a whole page at once and handed over as finished fragments. Measured against
generic dictionaries and a JSON encoder this is several times faster, which is why text is generated here.
Source of the shapes: fact sheet section 2.4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring
from typing import Any

from simulators.sap_commerce.keys import in_address, segment
from simulators.sap_commerce.rows import Joins, json_list
from simulators.sap_commerce.schema import IntegrationObject, Item, ItemAttribute
from simulators.sap_commerce.scripts import virtual_value
from simulators.sap_commerce.store import Store
from simulators.sap_commerce.values import epoch_ms, java_double

NAMESPACE = "HybrisCommerceOData"
_LARGEST_CACHE = 200_000
_BOOLEANS = {None: "null", 0: "false", 1: "true"}

Fragments = dict[int, str]


def quoted_double(value: float | None) -> str:
    return "null" if value is None else f'"{java_double(value)}"'


def key_text(kind: str, value: Any, *, null: str) -> str:
    """One segment of an integration key from a stored value."""
    if value is None:
        return null
    if kind == "B":
        return "true" if value else "false"
    if kind == "D":
        return segment(java_double(value))
    return segment(str(value))


# how a stored value becomes JSON text; {v} is the variable that holds it
_JSON = {
    "S": "'null' if {v} is None else q({v})",
    "L": "'null' if {v} is None else q({v})",
    "B": "booleans[{v}]",
    "I": "'null' if {v} is None else {v}",
    "Lg": "'null' if {v} is None else f'\"{{{v}}}\"'",
    "BD": "'null' if {v} is None else f'\"{{{v}}}\"'",
    "D": "f'\"{{{v}!r}}\"' if {v} is not None and 0.001 <= {v} < 1e7 else double({v})",
    "T": "'null' if {v} is None else f'\"/Date({{{v}}})/\"'",
}
_SIMPLE_KEY = {
    "S": "{v} if {v} is not None and {v}.isalnum() and {v}.isascii() else key_text('S', {v}, null=null)",
    "I": "{v} if {v} is not None else null",
}


class Node:
    """One entity type at one place of the expand tree."""

    def __init__(
        self,
        item: Item,
        *,
        service: IntegrationObject,
        store: Store,
        language: str,
        null_key: str,
        expand: dict[str, Any],
    ) -> None:
        self.item, self.service, self.store = item, service, store
        self.children: dict[str, Node] = {}
        self.expanded = [n for n in item.navigations if n.name in expand]
        self.all_languages = "localizedAttributes" in expand and bool(item.localized)
        for navigation in self.expanded:
            if navigation.target in service.items:
                self.children[navigation.name] = Node(
                    service.items[navigation.target],
                    service=service,
                    store=store,
                    language=language,
                    null_key=null_key,
                    expand=expand[navigation.name],
                )
        self._cache: Fragments = {}
        self._cached_for: tuple[int, str] = (-1, "")
        self._joins = Joins(item, types=store.types, language=language)
        self._columns: list[str] = []
        self._function = self._compile(null_key)

    def page(self, pks: Iterable[int], *, base: str) -> list[str]:
        """The entities in the order of ``pks``; those that are gone are left out."""
        wanted = list(pks)
        found = self._by_pk(wanted, base=base)
        return [found[pk] for pk in wanted if pk in found]

    def _by_pk(self, pks: list[int], *, base: str) -> Fragments:
        where = "WHERE t.pk IN (SELECT value FROM json_each(?))"
        return dict(self._rendered("t.pk", self._joins.text, where, [json_list(pks)], base=base))

    def _referenced(self, pks: set[int], *, base: str) -> Fragments:
        """Fragments of single references, kept until anything is written: pages share most of them."""
        stamp = (self.store.version, base)
        if self._cached_for != stamp or len(self._cache) > _LARGEST_CACHE:
            self._cache, self._cached_for = {}, stamp
        if missing := [pk for pk in pks if pk not in self._cache]:
            self._cache.update(self._by_pk(missing, base=base))
        return self._cache

    def _collected(self, navigation: ItemAttribute, owners: list[int], *, base: str) -> Fragments:
        """For every owner the joined fragments of one collection."""
        attribute, listed = navigation.attribute, json_list(owners)
        if attribute.kind == "children":
            group = f't."{attribute.inverse}"'
            where = f"WHERE {group} IN (SELECT value FROM json_each(?)) ORDER BY {group}, t.pk"
            rows = self._rendered(group, self._joins.text, where, [listed], base=base)
        else:
            near, far = ("target", "source") if attribute.reverse else ("source", "target")
            tables = f"links l CROSS JOIN {self._joins.text}"
            where = f"WHERE l.relation = ? AND l.{near} IN (SELECT value FROM json_each(?)) AND t.pk = l.{far}"
            where += f" ORDER BY l.{near}, l.position"
            rows = self._rendered(f"l.{near}", tables, where, [attribute.relation, listed], base=base)
        groups: dict[int, list[str]] = {}
        for owner, text in rows:
            groups.setdefault(owner, []).append(text)
        return {owner: ",".join(texts) for owner, texts in groups.items()}

    def _rendered(
        self, group: str, tables: str, where: str, values: list[Any], *, base: str
    ) -> Iterable[tuple[int, str]]:
        sql = f"SELECT {group}, {', '.join(self._columns)} FROM {tables} {where}"
        rows = self.store.db.execute(sql, values).fetchall()
        return self._function(rows, f"{base}{self.item.entity_set}('", self._fragments(rows, base=base))

    def _fragments(self, rows: list[tuple[Any, ...]], *, base: str) -> list[Fragments]:
        found: list[Fragments] = []
        for navigation in self.expanded:
            child = self.children.get(navigation.name)
            if child is None:
                continue
            if navigation.many:
                found.append(child._collected(navigation, [row[1] for row in rows], base=base))
            else:
                place = self._place(f't."{navigation.attribute.name}"') + 1
                pks = {row[place] for row in rows if row[place] is not None}
                found.append(child._referenced(pks, base=base))
        return found

    def _place(self, column: str) -> int:
        """The position of a column in the row, added when it is new."""
        if column not in self._columns:
            self._columns.append(column)
        return self._columns.index(column)

    def _compile(self, null_key: str) -> Callable[..., Iterable[tuple[int, str]]]:
        lines: list[str] = []
        self._place("t.pk")
        self._key_lines(lines)
        template = f'{{"__metadata":{{"id":"@u@","uri":"@u@","type":"{NAMESPACE}.{self.item.code}"}}'
        template += self._property_lines(lines)
        template += ',"integrationKey":"@k@"'
        template += self._navigation_lines(lines)
        template = (template + "}").replace("{", "{{").replace("}", "}}")
        template = re.sub(r"@(\w+)@", r"{\1}", template)
        names = ", ".join(f"v{number}" for number in range(len(self._columns)))
        body = "".join(f"        {line}\n" for line in lines)
        source = (
            f"def render(rows, prefix, fragments):\n    for group, {names} in rows:\n{body}"
            f"        yield group, f'{template}'\n"
        )
        scope = _scope(null_key, self.store)
        exec(compile(source, f"<{self.service.code}.{self.item.code}>", "exec"), scope)  # our own text
        return scope["render"]  # type: ignore[no-any-return]

    def _key_lines(self, lines: list[str]) -> None:
        names = []
        for number, part in enumerate(self.service.key_of(self.item)):
            kind = part.path[-1].attribute.kind
            value = f"v{self._place(self._joins.column(part.path))}"
            general = f"key_text({kind!r}, {{v}}, null=null)"
            lines.append(f"k{number} = {_SIMPLE_KEY.get(kind, general).format(v=value)}")
            names.append(f"{{k{number}}}")
        lines.append(f"k = f'{'|'.join(names)}'")
        lines.append('u = prefix + (k if k.isalnum() else in_address(k)) + "\')"')

    def _property_lines(self, lines: list[str]) -> str:
        template = ""
        for prop in self.item.properties:
            number = self._place(self._joins.column((prop,)))
            lines.append(f"a{number} = {_JSON[prop.attribute.kind].format(v=f'v{number}')}")
            template += f',"{prop.name}":@a{number}@'
        for number, virtual in enumerate(self.item.virtual.values()):
            lines.append(f"a8{number} = virtual({virtual.location!r}, v0, {virtual.edm!r})")
            template += f',"{virtual.name}":@a8{number}@'
        return template

    def _navigation_lines(self, lines: list[str]) -> str:
        template, fragment = "", 0
        for navigation in self.item.navigations:
            name = navigation.name
            if navigation not in self.expanded:
                template += f',"{name}":{{"__deferred":{{"uri":"@u@/{name}"}}}}'
                continue
            number = 0 if not navigation.attribute.stored else self._place(f't."{navigation.attribute.name}"')
            slot = 1000 + fragment
            if name not in self.children:
                lines.append(f"a{slot} = elements(v{number})")
                template += f',"{name}":{{"results":[@a{slot}@]}}'
            elif navigation.many:
                lines.append(f"a{slot} = fragments[{fragment}].get(v0, '')")
                template += f',"{name}":{{"results":[@a{slot}@]}}'
            else:
                lines.append(f"a{slot} = fragments[{fragment}].get(v{number}, 'null')")
                template += f',"{name}":@a{slot}@'
            fragment += name in self.children
        return template + self._language_lines(lines)

    def _language_lines(self, lines: list[str]) -> str:
        if not self.item.localized:
            return ""
        if not self.all_languages:
            return ',"localizedAttributes":{"__deferred":{"uri":"@u@/localizedAttributes"}}'
        names = [a.name for a in self.item.localized]
        places = [self._place(f't."{a.attribute.name}"') for a in self.item.localized]
        values = ", ".join(f"v{place}" for place in places)
        lines.append(f"a999 = languages({names!r}, ({values},), prefix, {self.item.code!r})")
        return ',"localizedAttributes":{"results":[@a999@]}'


def _scope(null_key: str, store: Store) -> dict[str, Any]:
    return {
        "virtual": lambda location, pk, edm: virtual_text(virtual_value(location, pk, store=store), edm),
        "q": encode_basestring,
        "booleans": _BOOLEANS,
        "double": quoted_double,
        "key_text": key_text,
        "in_address": in_address,
        "null": null_key,
        "elements": primitive_elements,
        "languages": localized_elements,
    }


def virtual_text(value: Any, edm: str) -> str:
    """A computed primitive as JSON text: Int64 and Double are strings, dates milliseconds."""
    if value is None:
        return "null"
    if edm == "Edm.DateTime":
        return f'"/Date({epoch_ms(value)})/"'
    if edm == "Edm.Double":
        return quoted_double(float(value))
    if edm in ("Edm.Boolean", "Edm.Int32"):
        return json.dumps(value)
    return encode_basestring(str(value))


def primitive_elements(text: str | None) -> str:
    """The elements of a primitive collection or a map."""
    values = json.loads(text) if text else []
    if isinstance(values, dict):
        return ",".join(json.dumps({"key": key, "value": value}) for key, value in values.items())
    return ",".join(json.dumps({"value": value}, ensure_ascii=False) for value in values)


def localized_elements(names: list[str], texts: tuple[str | None, ...], prefix: str, code: str) -> str:
    """One element per language that has any value; attributes without a value are left out."""
    by_language: dict[str, dict[str, str]] = {}
    for name, text in zip(names, texts, strict=True):
        for language, value in (json.loads(text) if text else {}).items():
            if value is not None:
                by_language.setdefault(language, {})[name] = value
    base, _, entity_set = prefix.removesuffix("('").rpartition("/")
    entities = []
    for language, values in sorted(by_language.items()):
        uri = f"{base}/Localized___{entity_set}('{language}')"
        metadata = {"id": uri, "uri": uri, "type": f"{NAMESPACE}.Localized___{code}"}
        entities.append(json.dumps({"__metadata": metadata, "language": language, **values}, ensure_ascii=False))
    return ",".join(entities)
