"""The ``fields`` parameter: BASIC, DEFAULT, FULL, or names with nesting, ``orders(code,total(value)),pagination``.

BASIC keeps plain values only, DEFAULT and FULL keep everything [assumed: the real levels differ per object].
"""

from __future__ import annotations

from typing import Any

from simulators.sap_commerce.occ.failures import invalid

LEVELS = {"BASIC", "DEFAULT", "FULL"}
Tree = dict[str, Any]


def selected(value: Any, text: str) -> Any:
    """The part of an answer that was asked for."""
    tree, rest = _names(text.replace(" ", ""))
    if rest:
        raise invalid(f"Incorrect fields parameter: {text!r}", subject="fields")
    return _cut(value, tree)


def _names(text: str) -> tuple[Tree, str]:
    """Names up to a closing parenthesis, and what follows them."""
    tree: Tree = {}
    while text:
        end = next((place for place, letter in enumerate(text) if letter in ",()"), len(text))
        name, text = text[:end], text[end:]
        below: Tree = {}
        if text.startswith("("):
            below, text = _names(text[1:])
            if not text.startswith(")"):
                return tree, "("
            text = text[1:]
        if name:
            tree[name] = below
        if text.startswith(","):
            text = text[1:]
            continue
        break
    return tree, text


def _cut(value: Any, tree: Tree) -> Any:
    if not tree or {"DEFAULT", "FULL"} & set(tree):
        return value
    if isinstance(value, list):
        return [_cut(one, tree) for one in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, one in value.items():
        if name in tree:
            found[name] = _cut(one, tree[name])
        elif "BASIC" in tree and not isinstance(one, dict | list):
            found[name] = one
        elif "BASIC" in tree and isinstance(one, list) and one and isinstance(one[0], dict):
            found[name] = [_cut(each, {"BASIC": {}}) for each in one]
    return found
