"""Languages: which one a request means, and what localized values become.

Source: fact sheet sections 2.4 to 2.6.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from simulators.sap_commerce.errors import bad_request
from simulators.sap_commerce.schema import Item
from simulators.sap_commerce.store import Store

Texts = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Localization:
    """write: language of plain values; explicit: whether a Content-Language header was sent."""

    write: str
    explicit: bool
    known: frozenset[str]

    def check(self, language: Any) -> str:
        if language not in self.known:
            raise invalid_language(str(language))
        return str(language)


def invalid_language(language: str) -> Exception:
    return bad_request("invalid_language", f"The language provided [{language}] is not available.")


def known_languages(store: Store) -> frozenset[str]:
    return frozenset(code for (code,) in store.db.execute("SELECT isocode FROM Language"))


def first_language(header: str | None, *, known: frozenset[str], platform: str) -> str:
    """The language of an Accept-Language or Content-Language header; no header means the platform's."""
    tag = (header or "").split(",")[0].split(";")[0].strip()
    if tag in ("", "*"):
        return platform
    for candidate in (tag, tag.replace("-", "_"), tag.replace("_", "-").split("-")[0]):
        if candidate in known:
            return candidate
    raise invalid_language(tag)


def localized_values(
    item: Item, body: dict[str, Any], *, localization: Localization, store: Store, pk: int | None, replaces: bool
) -> dict[str, Any]:
    """The stored texts of all localized attributes a payload mentions, as column values."""
    listed = _listed(body.get("localizedAttributes"), item=item, localization=localization)
    emptied = body.get("localizedAttributes") == []
    found: dict[str, Any] = {}
    for attribute in item.localized:
        column = attribute.attribute.name
        before: Texts = json.loads((store.value(pk, column) if pk else None) or "{}")
        after = dict(before)
        if attribute.name in body:
            after = _plain(
                after, body[attribute.name], localization=localization, replaces=replaces, name=attribute.name
            )
        if listed is not None and not emptied:
            given = {language: values.get(attribute.name) for language, values in listed.items()}
            if replaces and attribute.name not in body:
                after = given
            else:
                after |= {lang: text for lang, text in given.items() if attribute.name in listed[lang]}
        elif emptied and replaces:
            after = {} if not localization.explicit else after | {localization.write: None}
        if after != before:
            found[column] = json.dumps({lang: text for lang, text in after.items() if text is not None})
    return found


def _plain(after: Texts, value: Any, *, localization: Localization, replaces: bool, name: str) -> Texts:
    if value is not None and not isinstance(value, str):
        raise bad_request("odata_error", f"Invalid value for property [{name}]: {value!r} is not a string.")
    if value is None and replaces and not localization.explicit:
        return {}
    return after | {localization.write: value}


def _listed(elements: Any, *, item: Item, localization: Localization) -> dict[str, Texts] | None:
    if isinstance(elements, dict):
        elements = elements.get("results")
    if elements is None:
        return None
    found: dict[str, Texts] = {}
    for element in elements:
        values = {n: v for n, v in element.items() if n not in ("language", "__metadata")}
        if unknown := set(values) - {a.name for a in item.localized}:
            name = sorted(unknown)[0]
            message = f"An entity contains [{name}] that is not defined in the Integration Object."
            raise bad_request("invalid_property", message)
        found[localization.check(element.get("language"))] = values
    return found
