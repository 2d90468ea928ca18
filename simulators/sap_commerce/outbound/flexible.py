"""FlexibleSearch conditions as SQL, as far as a stream's where clause needs them.

Understood: ``{item.attribute}`` and ``{alias:attribute}``, ``[language]``, ``{{ subselects }}``, types with
aliases and joins inside braces. Source of the form: fact sheet section 3.2 (``whereClause``, alias ``item``).
"""

from __future__ import annotations

import re

from simulators.sap_commerce.types import TypeSystem

_TYPES = re.compile(r"\bFROM\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}", re.IGNORECASE)
_TYPE = re.compile(r"(?<![\w.])([A-Z]\w*)(!?)\s+AS\s+(\w+)", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"\{(\w+)[.:](\w+)(?:\[(\w+)\])?(?::o)?\}")


def where_sql(clause: str, *, type_code: str, types: TypeSystem) -> str:
    """The SQL condition over table alias ``item``; ValueError when a type or attribute is unknown."""
    text = clause.strip()
    if text.upper().startswith("WHERE "):
        text = text[6:]
    aliases = {"item": type_code}
    text = _TYPES.sub(lambda found: _from(found[1], aliases, types), _without_double_braces(text))
    return _ATTRIBUTE.sub(lambda found: _column(found, aliases, types), text)


def _without_double_braces(text: str) -> str:
    """The text without the braces around subselects; two single ones that close together stay."""
    kept: list[str] = []
    opened: list[str] = []
    place = 0
    while place < len(text):
        letter, pair = text[place], text[place : place + 2]
        doubled = pair == "{{" or (pair == "}}" and opened[-1:] == ["{{"])
        if doubled:
            kept.append(" ")
        else:
            kept.append(letter)
        if letter == "{":
            opened.append(pair if doubled else letter)
        elif letter == "}" and opened:
            opened.pop()
        place += 2 if doubled else 1
    return "".join(kept)


def _from(inner: str, aliases: dict[str, str], types: TypeSystem) -> str:
    def table(found: re.Match[str]) -> str:
        code, exact, alias = found.groups()
        if code not in types:
            raise ValueError(f"where clause: type {code!r} is unknown")
        aliases[alias] = code
        codes = [code] if exact else types.subtypes(code)
        listed = ", ".join(f"'{one}'" for one in codes)
        return f'(SELECT * FROM "{types.get(code).table}" WHERE itemtype IN ({listed})) {alias}'

    return f"FROM {_TYPE.sub(table, inner)}"


def _column(found: re.Match[str], aliases: dict[str, str], types: TypeSystem) -> str:
    alias, name, language = found.groups()
    if alias not in aliases:
        raise ValueError(f"where clause: alias {alias!r} is unknown; known: {', '.join(aliases)}")
    if name.lower() == "pk":
        return f"{alias}.pk"
    attribute = types.get(aliases[alias]).attributes.get(name)
    if attribute is None or not attribute.stored:
        raise ValueError(f"where clause: type {aliases[alias]} has no attribute {name!r} of its own")
    column = f'{alias}."{name}"'
    return f"json_extract({column}, '$.{language or 'en'}')" if attribute.localized else column
