"""Texts without the personal values that somebody else quoted in them: errors of converters, sentences of far sides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from commerce_sync.errors import ConfigurationError, SyncError

MASK = "***"
_ADDRESS = re.compile(r"""[^\s<>"'()\[\]{},;:=/?&|]+(?:@|%40)[^\s<>"'()\[\]{},;:=/?&|]+""")
_QUOTED = re.compile(r"""['"].*['"]""", re.DOTALL)
"""From the first quote to the last: a value may have quotes and line ends of its own."""
QUOTING = frozenset({
    "ConversionException", "InvalidInputException", "OutOfRangeException", "DataError", "ConstraintException",
    "ArrowInvalid", "ArrowTypeError",
})  # fmt: skip
"""Errors of DuckDB and Arrow about a value, which quote it."""
ADDRESS_SQL = r"""[^\s<>"''()\[\]{},;:=/?&|]+(@|%40)[^\s<>"''()\[\]{},;:=/?&|]+"""
"""The same for DuckDB, inside quotes."""


def plain(text: str) -> str:
    """The text with every e-mail address masked."""
    return _ADDRESS.sub(MASK, text) if "@" in text or "%40" in text else text


def quotes_a_value(error: BaseException) -> bool:
    """Whether an error's text is likely to quote the value that could not be converted."""
    return any(kind.__name__ in QUOTING for kind in type(error).__mro__)


def unquoted(text: str) -> str:
    """The first line of a converter's error, what it quotes masked."""
    return plain(_QUOTED.sub(MASK, text.strip()).partition("\n")[0])


def shown(name: str) -> str:
    """A name as it may be shown: of an e-mail address, or of a key with one in it, the first letter."""
    return f"{name[:1]}{MASK}" if "@" in name or "%40" in name else name


@contextmanager
def discreet(where: str) -> Iterator[None]:
    """Let no error out that quotes a person's value: such texts go to logs, alerts and pages.

    Raises ConfigurationError in place of a converter's error; our own errors keep their kind. where: said first.
    """
    try:
        yield
    except SyncError as error:
        error.args = tuple(plain(item) if isinstance(item, str) else item for item in error.args)
        raise
    except Exception as error:
        if not quotes_a_value(error):
            raise
        # From nothing: the traceback of the original would say the value again.
        raise ConfigurationError(
            f"{where}: {type(error).__name__}: {unquoted(str(error))}; correct the value at its source, or let the "
            "mapping bear it (TRY_CAST)"
        ) from None
