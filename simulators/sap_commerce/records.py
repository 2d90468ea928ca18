"""Raw reading and loading of items, without the semantics of the API.

Rows are JSON objects by attribute name. A reference is a pk-free description: the other item's natural key
(``"USD"``, or a list of parts) or an object of its attributes, created when it does not exist. Dates are
ISO text, ``/Date(ms)/`` or milliseconds.
"""

from __future__ import annotations

import json
from typing import Any

from simulators.sap_commerce.store import Store
from simulators.sap_commerce.types import Attribute, ItemType
from simulators.sap_commerce.values import epoch_ms, from_text, iso, stored

Row = dict[str, Any]


class Records:
    """Raw access to the items of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def load(self, code: str, row: Row, *, within: tuple[Attribute, int] | None = None) -> int:
        """Store one row: the item with its natural key is overwritten, else created. Gives the pk."""
        item_type = self.type(code)
        fields = {name: row[name] for name in row if self._attribute(item_type, name).stored}
        values = {name: self._stored(item_type.attributes[name], value) for name, value in fields.items()}
        if within is not None:
            values[within[0].inverse] = within[1]
        pk = self._existing(item_type, values)
        if pk is None:
            pk = self.store.insert(item_type.code, self.defaults(item_type, values) | values)
        elif values:
            self.store.update(pk, values)
        self._load_collections(pk, item_type, row)
        return pk

    def _load_collections(self, pk: int, item_type: ItemType, row: Row) -> None:
        for name, members in row.items():
            attribute = item_type.attributes[name]
            if attribute.kind == "children":
                for member in members or ():
                    self.load(attribute.target, member, within=(attribute, pk))
            elif attribute.kind == "links":
                targets = [self.reference(attribute.target, member) for member in members or ()]
                self.store.add_to_collection(pk, attribute, [t for t in targets if t is not None])

    def type(self, code: str) -> ItemType:
        if code not in self.store.types:
            known = ", ".join(sorted(t.code for t in self.store.types if t.table))
            raise LookupError(f"type {code!r} is unknown; known: {known}")
        return self.store.types.get(code)

    def _attribute(self, item_type: ItemType, name: str) -> Attribute:
        if name not in item_type.attributes:
            known = ", ".join(sorted(item_type.attributes))
            raise ValueError(f"type {item_type.code} has no attribute {name!r}; it has: {known}")
        return item_type.attributes[name]

    def _stored(self, attribute: Attribute, value: Any) -> Any:
        if value is None:
            return None
        if attribute.kind == "ref":
            return self.reference(attribute.target, value)
        if attribute.kind in ("values", "map"):
            return json.dumps(value)
        if attribute.kind == "L":
            return json.dumps(value if isinstance(value, dict) else {"en": value})
        try:
            return int(value) if attribute.kind == "B" else stored(attribute.kind, value)
        except ValueError as error:
            raise ValueError(f"{attribute.name}: {error}") from error

    def reference(self, code: str, value: Any, *, create: bool = True) -> int | None:
        """The pk behind a description; an unknown item is created unless told not to."""
        if value is None:
            return None
        row = value if isinstance(value, dict) else self._described(self.type(code), value)
        if "itemtype" in row:
            row = dict(row)
            code = row.pop("itemtype")
        item_type = self.type(code)
        scalars = {n: v for n, v in row.items() if self._attribute(item_type, n).stored}
        conditions = {n: self._stored(item_type.attributes[n], v) for n, v in scalars.items()}
        keys = {a.name for a in item_type.natural_key}
        wanted = {n: v for n, v in conditions.items() if n in keys} or conditions
        found = self._first(item_type, wanted)
        if found is not None or not create:
            return found
        return self.load(code, row)

    def _first(self, item_type: ItemType, conditions: Row) -> int | None:
        codes = self.store.types.subtypes(item_type.code)
        if not self.store.types.get(codes[0]).table:
            return None
        found = self.store.find(codes, conditions) if conditions else []
        return found[0] if found else None

    def _described(self, item_type: ItemType, value: Any) -> Row:
        """The attributes a natural key text stands for; parts of referenced keys are joined by a bar."""
        parts = value if isinstance(value, list) else str(value).split("|")
        row: Row = {}
        for attribute in item_type.natural_key:
            width = self._width(attribute)
            taken, parts = parts[:width], parts[width:]
            if taken:
                text = "|".join(map(str, taken))
                row[attribute.name] = text if attribute.kind == "ref" else from_text(attribute.kind, text)
        if not row:
            raise ValueError(f"type {item_type.code} has no natural key; describe the item by an object")
        return row

    def _width(self, attribute: Attribute) -> int:
        if attribute.kind != "ref":
            return 1
        return sum(self._width(a) for a in self.type(attribute.target).natural_key) or 1

    def _existing(self, item_type: ItemType, values: Row) -> int | None:
        keys = [a.name for a in item_type.natural_key]
        if not keys or any(values.get(key) is None for key in keys if key in values):
            return None
        given = {key: values[key] for key in keys if key in values}
        return self._first(item_type, given) if given else None

    def defaults(self, item_type: ItemType, values: Row) -> Row:
        """Stored default values of the attributes that were not given."""
        found: Row = {}
        for attribute in item_type.attributes.values():
            if attribute.default is None or attribute.name in values:
                continue
            if attribute.kind == "ref":
                found[attribute.name] = self.reference(attribute.target, attribute.default)
            else:
                found[attribute.name] = from_text(attribute.kind, attribute.default)
        return found

    def find(self, code: str, key: str) -> int:
        """The pk of an item by natural key text, or by pk; LookupError when there is none."""
        item_type = self.type(code)
        if item_type.natural_key:
            try:
                found = self.reference(code, key, create=False)
            except ValueError:
                found = None
            if found is not None:
                return found
        if key.isdigit() and self.store.exists(int(key)):
            return int(key)
        raise LookupError(f"there is no {code} {key!r}; give its natural key or pk")

    def patch(self, code: str, key: str, values: Row) -> None:
        """Overwrite attributes; ``modifiedtime`` stays as it is unless it is among them."""
        pk = self.find(code, key)
        item_type = self.type(self.store.itemtype(pk))
        fields = {n: v for n, v in values.items() if self._attribute(item_type, n).stored}
        row = {n: self._stored(item_type.attributes[n], v) for n, v in fields.items()}
        kept = {"modifiedtime": self.store.value(pk, "modifiedtime")}
        self.store.update(pk, kept | row)
        self._load_collections(pk, item_type, values)

    def read(self, pk: int) -> Row:
        """One item as plain JSON: references and collections as natural keys, dates as ISO text."""
        item_type = self.type(self.store.itemtype(pk))
        row: Row = {"pk": pk, "itemtype": item_type.code}
        for attribute in item_type.attributes.values():
            if attribute.stored:
                row[attribute.name] = self._plain(attribute, self.store.value(pk, attribute.name))
            else:
                row[attribute.name] = [self.label(m) for m in self.store.collection(pk, attribute)]
        return row

    def _plain(self, attribute: Attribute, value: Any) -> Any:
        if value is None:
            return None
        if attribute.kind == "ref":
            return self.label(value)
        if attribute.kind in ("L", "values", "map"):
            return json.loads(value)
        if attribute.kind == "T":
            return iso(value)
        return bool(value) if attribute.kind == "B" else value

    def label(self, pk: int | None) -> str | None:
        """The natural key of an item as text, its parts joined by a bar; its pk where it has none."""
        if pk is None or not self.store.exists(pk):
            return None
        item_type = self.store.types.get(self.store.itemtype(pk))
        if not item_type.natural_key:
            return str(pk)
        return "|".join(str(self._label_part(pk, a)) for a in item_type.natural_key)

    def _label_part(self, pk: int, attribute: Attribute) -> Any:
        value = self.store.value(pk, attribute.name)
        return self.label(value) if attribute.kind == "ref" else value

    def select(self, code: str, where: dict[str, str]) -> list[int]:
        """The pks of a type (subtypes included) whose attributes read as the given texts."""
        item_type = self.type(code)
        codes = self.store.types.subtypes(code)
        tests, values = [f"itemtype IN ({', '.join('?' * len(codes))})"], list[Any](codes)
        for name, text in where.items():
            attribute = self._attribute(item_type, name)
            tests.append(f'"{name}" IS ?')
            values.append(self._comparable(attribute, text))
        sql = f'SELECT pk FROM "{item_type.table}" WHERE {" AND ".join(tests)} ORDER BY pk'
        return [pk for (pk,) in self.store.db.execute(sql, values)]

    def _comparable(self, attribute: Attribute, text: str) -> Any:
        if not attribute.stored:
            raise ValueError(f"{attribute.name} is a collection and cannot be compared")
        if text == "null":
            return None
        if attribute.kind == "ref":
            return self.reference(attribute.target, text, create=False) or -1
        if attribute.kind == "T":
            return epoch_ms(int(text) if text.lstrip("-").isdigit() else text)
        return json.dumps({"en": text}) if attribute.kind == "L" else from_text(attribute.kind, text)
