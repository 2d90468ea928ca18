"""POST and PATCH: deep upsert by key, merging or replacing, all or nothing.

Source: fact sheet sections 2.5, 2.6 and the localization paragraphs there. The caller holds the transaction.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from simulators.sap_commerce.access import AccessRights
from simulators.sap_commerce.errors import bad_request
from simulators.sap_commerce.localized import Localization, localized_values
from simulators.sap_commerce.records import Records
from simulators.sap_commerce.render import key_text
from simulators.sap_commerce.schema import IntegrationObject, Item, ItemAttribute
from simulators.sap_commerce.store import Store
from simulators.sap_commerce.values import from_text, stored

Payload = dict[str, Any]
Enclosing = tuple[tuple[str, int], ...]
IGNORED = {"integrationKey", "__metadata", "@odata.context", "localizedAttributes"}


@dataclass(slots=True)
class Writer:
    """One request's writes. ``replaces`` is True for PATCH: collections are replaced instead of merged."""

    store: Store
    service: IntegrationObject
    localization: Localization
    replaces: bool = False
    rights: AccessRights | None = None
    written: list[tuple[int, bool]] = field(default_factory=list)  # (pk, whether it is new)

    def post(self, item: Item, payload: Any) -> int:
        """Create or update the item a payload describes; gives its pk."""
        body = _object(payload, item)
        pk = self._look_up(item, body, enclosing=())
        return self._write(item, body, pk=pk, enclosing=(), touch=True)

    def patch(self, item: Item, payload: Any, *, pk: int) -> int:
        """Change an existing item; key parts in the payload must be those it has."""
        body = _object(payload, item)
        self._check_unchanged_key(item, body, pk)
        return self._write(item, body, pk=pk, enclosing=(), touch=True)

    def _check_unchanged_key(self, item: Item, body: Payload, pk: int) -> None:
        for name, attribute in item.attributes.items():
            if not attribute.unique or body.get(name) is None:
                continue
            given = self._key_value(attribute, body[name], item=item, enclosing=())
            if given != self.store.value(pk, attribute.attribute.name):
                message = f"The key value of [{name}] in the payload differs from the key in the URI."
                raise bad_request("invalid_key", message)

    def _key_value(self, attribute: ItemAttribute, value: Any, *, item: Item, enclosing: Enclosing) -> Any:
        if attribute.is_property:
            return _primitive(attribute, value, item=item)
        target = self.service.items[attribute.target]
        return self._look_up(target, _object(value, target), enclosing=enclosing)

    def _look_up(self, item: Item, body: Payload, *, enclosing: Enclosing) -> int | None:
        """Find the item of a payload by its key; raises missing_key when the key is incomplete."""
        conditions: Payload = {}
        for name, attribute in item.attributes.items():
            if not attribute.unique or attribute.many:
                continue
            if attribute.is_property:
                conditions[attribute.attribute.name] = self._key_property(item, attribute, body.get(name))
                continue
            found = self._key_reference(item, attribute, body.get(name), enclosing)
            if found is None:
                return None
            conditions[attribute.attribute.name] = found
        if not conditions or all(value is None for value in conditions.values()):
            return None
        found_pks = self.store.find(self._codes(item), conditions)
        return found_pks[0] if found_pks else None

    def _codes(self, item: Item) -> list[str]:
        types = self.store.types
        if item.match == "RESTRICT_TO_ITEM_TYPE":
            return [item.type.code]
        codes = types.subtypes(item.type.code)
        if item.match == "ALL_SUB_AND_SUPER_TYPES" or item.match is None:
            codes += [c for c in types.lineage(item.type.code)[1:] if types.get(c).table == item.type.table]
        return codes

    def _key_property(self, item: Item, attribute: ItemAttribute, value: Any) -> Any:
        if value is None and not attribute.nullable:
            raise bad_request("missing_key", f"Key [{attribute.name}] is required for EntityType [{item.code}].")
        if value is None and attribute.attribute.default is not None and attribute.attribute.kind != "ref":
            return from_text(attribute.attribute.kind, attribute.attribute.default)
        return _primitive(attribute, value, item=item)

    def _key_reference(self, item: Item, attribute: ItemAttribute, value: Any, enclosing: Enclosing) -> int | None:
        target = self.service.items[attribute.target]
        if value is not None:
            return self._look_up(target, _object(value, target), enclosing=enclosing)
        inferred = _nearest(enclosing, attribute.target)
        if inferred is None:
            raise bad_request(
                "missing_key",
                f"Key NavigationProperty [{attribute.name}] is required for EntityType [{item.code}].",
            )
        return inferred

    def _write(
        self,
        item: Item,
        body: Payload,
        *,
        pk: int | None,
        enclosing: Enclosing,
        touch: bool,
        extra: Payload | None = None,
    ) -> int:
        """Primitives and references first, so that members of collections can refer to the item."""
        self._check_names(item, body)
        values = dict(extra or {})
        for name in body:
            attribute = item.attributes.get(name)
            if attribute is not None and not attribute.many:
                values |= self._single(item, attribute, body[name], pk=pk, enclosing=enclosing)
        if "localizedAttributes" in body or any(a.name in body for a in item.localized):
            values |= localized_values(
                item, body, localization=self.localization, store=self.store, pk=pk, replaces=self.replaces
            )
        if pk is None:
            pk = self._create(item, body, values, enclosing)
        else:
            self._update(pk, values, touch=touch)
        inner = (*enclosing, (item.code, pk))
        for name in body:
            attribute = item.attributes.get(name)
            if attribute is not None and attribute.many:
                self._collection(item, attribute, body[name], pk=pk, enclosing=inner)
        return pk

    def _check_names(self, item: Item, body: Payload) -> None:
        for name in body:
            if name not in item.attributes and name not in IGNORED and name not in item.virtual:
                raise bad_request(
                    "invalid_property",
                    f"An entity contains [{name}] that is not defined in the Integration Object.",
                    innererror=self._label(item, body),
                )

    def _label(self, item: Item, body: Payload) -> str | None:
        """The key of a payload, as far as its own primitive values give it."""
        parts = []
        for part in self.service.key_of(item):
            value: Any = body
            for step in part.path:
                value = value.get(step.name) if isinstance(value, dict) else None
            parts.append(key_text(part.path[-1].attribute.kind, value, null="null") if _plain(value) else "")
        return "|".join(parts) if any(parts) else None

    def _single(
        self, item: Item, attribute: ItemAttribute, value: Any, *, pk: int | None, enclosing: Enclosing
    ) -> Payload:
        column = attribute.attribute.name
        if attribute.attribute.localized:
            return {}
        if attribute.is_property:
            converted = _primitive(attribute, value, item=item)
            if converted is None and not attribute.nullable:
                raise _missing_property(item, attribute)
            return {column: converted}
        if isinstance(value, dict) and "__deferred" in value:
            return {}
        if value is None:
            return self._without_reference(item, attribute)
        return {column: self._reference(item, attribute, value, enclosing=enclosing)}

    def _without_reference(self, item: Item, attribute: ItemAttribute) -> Payload:
        """Null clears an optional reference on POST; PATCH may replace but not clear it (2.6)."""
        if not attribute.nullable or self.replaces:
            raise _missing_navigation(item, attribute)
        return {attribute.attribute.name: None}

    def _reference(self, item: Item, attribute: ItemAttribute, value: Any, *, enclosing: Enclosing) -> int:
        target = self.service.items[attribute.target]
        body = _object(value, target)
        pk = self._look_up(target, body, enclosing=enclosing)
        creates = attribute.auto_create or attribute.part_of or (target.type.enum and target.type.dynamic)
        if pk is None and not creates:
            label = self._label(target, body) or ""
            raise bad_request(
                "missing_nav_property",
                f"Item referenced by attribute [{attribute.name}] in [{item.code}] item does not exist in the"
                f" system. Cannot create referenced item [{target.code}] because the attribute is not partof or"
                " autocreate.",
                innererror=label,
            )
        return self._write(target, body, pk=pk, enclosing=enclosing, touch=False)

    def _create(self, item: Item, body: Payload, values: Payload, enclosing: Enclosing) -> int:
        self._infer_references(item, body, values, enclosing)
        self._check_required(item, body, values)
        code = self._concrete(item)
        item_type = self.store.types.get(code)
        values = Records(self.store).defaults(item_type, values) | values
        for attribute in item_type.attributes.values():
            if attribute.required and attribute.stored and values.get(attribute.name) is None:
                raise bad_request(
                    "invalid_attribute_value",
                    f"An error occurred while attempting to save entries for entityType: [{item.code}], with"
                    f" error message [missing values for [{attribute.name}] in model of type {code}].",
                    innererror=self._label(item, body),
                )
        if self.rights is not None:
            self.rights.require("create", code)
        pk = self.store.insert(code, values)
        self.written.append((pk, True))
        return pk

    def _infer_references(self, item: Item, body: Payload, values: Payload, enclosing: Enclosing) -> None:
        """Fill key and required references the payload omits with the nearest enclosing item."""
        for attribute in item.attributes.values():
            if attribute.is_reference and attribute.name not in body and _is_needed(attribute):
                inferred = _nearest(enclosing, attribute.target)
                if inferred is not None:
                    values.setdefault(attribute.attribute.name, inferred)

    def _check_required(self, item: Item, body: Payload, values: Payload) -> None:
        for attribute in item.attributes.values():
            if attribute.nullable or values.get(attribute.attribute.name) is not None:
                continue
            if attribute.is_property:
                raise _missing_property(item, attribute, innererror=self._label(item, body))
            if not attribute.many or body.get(attribute.name) is None:
                raise _missing_navigation(item, attribute, innererror=self._label(item, body))

    def _concrete(self, item: Item) -> str:
        if not item.type.abstract:
            return item.type.code
        return next(c for c in self.store.types.subtypes(item.type.code) if not self.store.types.get(c).abstract)

    def _update(self, pk: int, values: Payload, *, touch: bool) -> None:
        changed = {n: v for n, v in values.items() if self.store.value(pk, n) != v}
        if self.rights is not None and (changed or touch):
            self.rights.require("change", self.store.itemtype(pk))
        if changed or touch:
            self.store.update(pk, changed)
            self.written.append((pk, False))

    def _collection(self, item: Item, attribute: ItemAttribute, value: Any, *, pk: int, enclosing: Enclosing) -> None:
        if isinstance(value, dict) and "__deferred" in value:
            return
        if isinstance(value, dict) and "results" in value:
            value = value["results"]
        if value is None:
            if self.replaces and attribute.attribute.kind != "map":
                raise _missing_navigation(item, attribute)
            return
        if not isinstance(value, list):
            raise bad_request("odata_error", f"[{attribute.name}] of [{item.code}] must be a list.")
        if attribute.attribute.stored:
            self._plain_collection(attribute, value, pk=pk)
        else:
            self._items(item, attribute, value, pk=pk, enclosing=enclosing)

    def _plain_collection(self, attribute: ItemAttribute, elements: list[Any], *, pk: int) -> None:
        name, kind = attribute.attribute.name, attribute.attribute.kind
        before = json.loads(self.store.value(pk, name) or "null")
        if kind == "map":
            given = {element["key"]: element.get("value") for element in elements}
            after: Any = given if self.replaces else {**(before or {}), **given}
        else:
            values = [element["value"] if isinstance(element, dict) else element for element in elements]
            after = list(dict.fromkeys(values if self.replaces else [*(before or []), *values]))
        self.store.update(pk, {name: json.dumps(after)})

    def _items(
        self, item: Item, attribute: ItemAttribute, elements: list[Any], *, pk: int, enclosing: Enclosing
    ) -> None:
        target = self.service.items[attribute.target]
        members: list[int] = []
        for element in elements:
            members.append(self._member(item, attribute, _object(element, target), pk=pk, enclosing=enclosing))
        if self.replaces:
            gone = [m for m in self.store.collection(pk, attribute.attribute) if m not in members]
            self.store.remove_from_collection(pk, attribute.attribute, gone)
        self.store.add_to_collection(pk, attribute.attribute, members)

    def _member(self, item: Item, attribute: ItemAttribute, body: Payload, *, pk: int, enclosing: Enclosing) -> int:
        target = self.service.items[attribute.target]
        if attribute.attribute.kind != "children":
            return self._reference(item, attribute, body, enclosing=enclosing)
        found = self._look_up(target, body, enclosing=enclosing)
        if found is None and not (attribute.auto_create or attribute.part_of):
            return self._reference(item, attribute, body, enclosing=enclosing)
        extra = {attribute.attribute.inverse: pk} if found is None else {}
        return self._write(target, body, pk=found, enclosing=enclosing, touch=False, extra=extra)


def _nearest(enclosing: Enclosing, code: str) -> int | None:
    return next((pk for outer, pk in reversed(enclosing) if outer == code), None)


def _is_needed(attribute: ItemAttribute) -> bool:
    return attribute.unique or not attribute.nullable


def _plain(value: Any) -> bool:
    return value is not None and not isinstance(value, dict | list)


def _object(value: Any, item: Item) -> Payload:
    if not isinstance(value, dict):
        raise bad_request("odata_error", f"An entity of type [{item.code}] must be a JSON object.")
    return value


def _primitive(attribute: ItemAttribute, value: Any, *, item: Item) -> Any:
    try:
        return stored(attribute.attribute.kind, value)
    except ValueError as error:
        message = f"Invalid value for property [{attribute.name}] of [{item.code}]: {error}."
        raise bad_request("odata_error", message) from error


def _missing_property(item: Item, attribute: ItemAttribute, *, innererror: str | None = None) -> Exception:
    message = f"Property [{attribute.name}] is required for EntityType [{item.code}]."
    return bad_request("missing_property", message, innererror=innererror)


def _missing_navigation(item: Item, attribute: ItemAttribute, *, innererror: str | None = None) -> Exception:
    message = f"NavigationProperty [{attribute.name}] is required for EntityType [{item.code}]."
    return bad_request("missing_nav_property", message, innererror=innererror)
