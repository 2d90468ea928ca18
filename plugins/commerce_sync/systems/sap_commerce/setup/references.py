"""Values that stand elsewhere: in a field of an Airflow connection, or in the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from commerce_sync.errors import ConfigurationError

Connections = Callable[[str], Any]
"""Connection id -> the Airflow connection; raises when there is none."""
FIELDS = ("login", "password", "host")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a value stands. ``path`` is put behind it."""

    connection: str = ""
    field: str = ""
    env: str = ""
    path: str = ""

    def __str__(self) -> str:
        return f"environment variable {self.env}" if self.env else f"connection {self.connection}, field {self.field}"

    def resolve(self, connections: Connections) -> str:
        """The value. Raises ConfigurationError when it is not there."""
        value = os.environ.get(self.env, "") if self.env else self._field(connections(self.connection))
        if not value:
            raise ConfigurationError(f"{self} is empty; fill it in, or take out what needs it")
        return value.rstrip("/") + self.path if self.path else value

    def _field(self, connection: Any) -> str:
        if self.field == "host":
            return _address(connection)
        if self.field in FIELDS:
            return getattr(connection, self.field) or ""
        extra = connection.extra_dejson
        if self.field not in extra:
            legal = ", ".join([*FIELDS, *sorted(extra)])
            raise ConfigurationError(f"connection {self.connection!r} has no field {self.field!r}; it has: {legal}")
        return str(extra[self.field] or "")


def text_or_reference(value: str | Mapping[str, str]) -> str | Reference:
    """What the file holds: a text, or the four keys of a reference."""
    return value if isinstance(value, str) else Reference(**value)


def resolved(value: str | Mapping[str, str], connections: Connections) -> str:
    """The text, wherever it stands."""
    found = text_or_reference(value)
    return found if isinstance(found, str) else found.resolve(connections)


def _address(connection: Any) -> str:
    """The host, with https unless the connection says otherwise: what goes there carries a password."""
    host = connection.host or ""
    if host and "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    return f"{host}:{connection.port}" if host and connection.port else host
