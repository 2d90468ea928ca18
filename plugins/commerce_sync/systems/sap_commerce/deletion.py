"""What a deleted record becomes in the shop where its fields are changed instead (``on_delete`` as a dict)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Target
from commerce_sync.systems.sap_commerce.owned import Owned
from commerce_sync.systems.sap_commerce.payload import Payload


def deletion_body(target: Target, payload: Payload, *, owned: Owned) -> dict[str, Any] | None:
    """``on_delete`` as field -> SQL literal: the body it stands for, spelled as the schema wants it.

    None when deletes are ignored or real. ``getvariable('now')`` and ``now()`` are the moment of loading, in UTC.
    """
    if not isinstance(target.on_delete, dict):
        return None
    names = [name for name in target.on_delete if name not in owned.names]
    values = dict(zip(names, evaluated([target.on_delete[name] for name in names]), strict=True))
    return payload.alone(names).body(values, replaces=True)


def evaluated(literals: Sequence[str]) -> list[Any]:
    """Values of SQL literals. Raises ConfigurationError naming the one DuckDB cannot read."""
    import duckdb

    found = []
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET VARIABLE now = now()")
        for text in literals:
            try:
                found.append(con.sql(f"SELECT {text} AS value").to_arrow_table()["value"][0].as_py())
            except duckdb.Error as error:
                raise ConfigurationError(f"on_delete: {text!r} is no SQL value: {error}") from error
    return found
