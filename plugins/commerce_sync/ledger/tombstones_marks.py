"""Recognising a forgotten record by what is left of it: keyed hashes of the names it had.

A name is compared as a whole, as a part of a key that was put together with ``|``, or as a word of a longer text, also
percent-encoded. Nothing here can be turned back into a name: HMAC-SHA256 with the salt of this installation.
"""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from typing import Any
from urllib.parse import unquote

ALL = "*"
"""The scope of a name that means the same record wherever it stands."""
MASK = "***"
REMEMBERED = 500_000
"""Answers kept in memory; the values of a store repeat."""
_WORD = re.compile(r"""[^\s|,;<>(){}\[\]"'`=\\&?]+""")
_EDGES = ".:!*#"


def normal(name: str) -> str:
    """A name as it is compared: NFC, no blanks around it; upper and lower case of an e-mail address are the same."""
    text = unicodedata.normalize("NFC", name.strip())
    return text.lower() if "@" in text else text


def mark(salt: bytes, *, scope: str, name: str) -> str:
    """The keyed hash of a name in a scope, 64 hexadecimal digits."""
    return hmac.digest(salt, f"{scope}\x00{normal(name)}".encode("utf-8", "surrogatepass"), "sha256").hex()


class Marks:
    """Some marks, and the scopes that count here. Empty marks recognise nothing and cost nothing."""

    def __init__(self, salt: bytes, marks: Collection[str], *, scopes: Iterable[str] = (ALL,)) -> None:
        self._salt = salt
        self._marks = frozenset(marks)
        self._scopes = tuple(dict.fromkeys(scopes))
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._marks)

    def names(self, text: str) -> bool:
        """Whether a key is a forgotten name, or was put together from one (``group|login``)."""
        return self._is(text) or ("|" in text and any(self._is(part) for part in _unquoted(text).split("|")))

    def mentions(self, text: str) -> bool:
        """Whether a forgotten name stands anywhere in a text as a word of its own."""
        return self.names(text) or any(self._is(word) for word in _words(text))

    def scrub(self, text: str) -> str:
        """The text with every forgotten name in it masked."""
        if not self.mentions(text):
            return text
        if self._is(text):
            return MASK
        done = _WORD.sub(lambda found: self._scrubbed(found.group()), text)
        return MASK if self.mentions(done) else done

    def _scrubbed(self, word: str) -> str:
        return MASK if any(self._is(item) for item in _forms(word)) else word

    def _is(self, text: str) -> bool:
        if not text:
            return False
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = any(mark(self._salt, scope=scope, name=text) in self._marks for scope in self._scopes)
            self._known[text] = known
        return known


def _words(text: str) -> Iterator[str]:
    for word in _WORD.findall(text):
        if word != text:
            yield word
        yield from _forms(word)
    if "%" in text and (plain := unquote(text)) != text:
        yield from (form for word in _WORD.findall(plain) for form in _forms(word))


def _forms(word: str) -> Iterator[str]:
    """A word without the marks around it, its parts, and what it says when it is unescaped."""
    plain = unquote(word) if "%" in word else word
    for text in dict.fromkeys((word, plain)):
        yield text
        yield text.strip(_EDGES)
        yield from (part for part in re.split(r"[:/|]", text) if part != text)


def _unquoted(text: str) -> str:
    return unquote(text) if "%" in text else text


def purged(value: Any, marks: Marks) -> tuple[Any, bool]:
    """JSON without what mentions a forgotten name, and whether anything went.

    An entry of a list goes; a value of a dict is masked, an entry whose name is one goes.
    """
    if isinstance(value, str):
        return (marks.scrub(value), True) if marks.mentions(value) else (value, False)
    if isinstance(value, list | tuple):
        kept = [item for item in value if not _says(item, marks)]
        return kept, len(kept) < len(value)
    if isinstance(value, dict):
        done = {name: purged(item, marks) for name, item in value.items() if not marks.mentions(str(name))}
        return {name: item for name, (item, _went) in done.items()}, (
            len(done) < len(value) or any(went for _item, went in done.values())
        )
    return value, False


def _says(value: Any, marks: Marks) -> bool:
    """Whether a forgotten name stands anywhere in a JSON value."""
    if isinstance(value, str):
        return marks.mentions(value)
    if isinstance(value, dict):
        return any(marks.mentions(str(name)) or _says(item, marks) for name, item in value.items())
    return isinstance(value, list | tuple) and any(_says(item, marks) for item in value)


def says(value: Any, marks: Marks) -> bool:
    """Whether a forgotten name stands anywhere in a JSON value."""
    return _says(value, marks)
