"""Erasing forgotten records from the tables of the ledger, so that their bytes are gone from its files.

All tables are gone through, also those that come later: a row whose key is a forgotten name goes, in every other text a
forgotten name is masked. What PostgreSQL keeps in its write-ahead log and its backups is beyond our reach.
Source: https://www.sqlite.org/pragma.html#pragma_secure_delete and https://www.sqlite.org/lang_vacuum.html, and
https://www.postgresql.org/docs/16/sql-vacuum.html (read 2026-11).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from commerce_sync.ledger.database import reading, writing
from commerce_sync.ledger.events import REFUSED, feed_leg
from commerce_sync.ledger.tables import EVENT, REJECT, SALT, TOMBSTONE, metadata
from commerce_sync.ledger.tombstones_marks import Marks, purged, says

KEYS = frozenset({"key", "subject", "lost", "now", "lost_id", "now_id"})
"""Columns that say whom a row is about."""
OURS = frozenset({TOMBSTONE.name, SALT.name})
CHUNK = 500
LOCK_TIMEOUT = "10s"


class Erasing:
    """Erasing from the tables of one ledger."""

    _engine: Engine

    def erase(self, marks: Marks, *, legs: Sequence[str] = (), dry_run: bool = False) -> dict[str, int]:
        """Erase what the marks recognise; gives table -> rows erased or masked, for tables that had some.

        legs: only rows of these legs, from tables that know legs; none means all. Done again it finds nothing.
        """
        touched: dict[str, int] = {}
        for table in metadata.sorted_tables:
            if table.name not in OURS and (not legs or "leg" in table.c):
                number = self._from_table(table, marks, legs=legs, dry_run=dry_run)
                touched |= {table.name: number} if number else {}
        return touched

    def _from_table(self, table: sa.Table, marks: Marks, *, legs: Sequence[str], dry_run: bool) -> int:
        with reading(self._engine) as connection:
            found = list(_found(connection, table, marks, legs=legs))
        for start in range(0, 0 if dry_run else len(found), CHUNK):
            with writing(self._engine) as connection:
                _secure(connection)
                for row in found[start : start + CHUNK]:
                    _erase(connection, table, row, marks)
        return len(found)

    def scour(self) -> str:
        """Make sure that what was deleted cannot be read from the database's files; gives what was done, in words."""
        return _vacuum_sqlite(self._engine) if self._engine.dialect.name == "sqlite" else _vacuum(self._engine)


def _secure(connection: Connection) -> None:
    """Deleted content is overwritten with zeros."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")


def _texts(table: sa.Table) -> list[sa.Column[Any]]:
    return [column for column in table.c if isinstance(column.type, sa.Text | sa.JSON)]


def _found(connection: Connection, table: sa.Table, marks: Marks, *, legs: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows that mention a forgotten name: their primary key and their texts."""
    columns = list(dict.fromkeys([*table.primary_key.columns, *_texts(table)]))
    query = sa.select(*columns).where(table.c.leg.in_(list(legs))) if legs else sa.select(*columns)
    for row in connection.execution_options(yield_per=CHUNK).execute(query).mappings():
        if any(_mentioned(row[column.name], marks) for column in _texts(table)):
            yield dict(row)


def _mentioned(value: Any, marks: Marks) -> bool:
    if isinstance(value, str):
        return marks.mentions(value) or ("\\" in value and says(_parsed(value), marks))
    return value is not None and says(value, marks)


def _parsed(text: str) -> Any:
    """What a JSON text says; the text itself when it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _erase(connection: Connection, table: sa.Table, found: dict[str, Any], marks: Marks) -> None:
    """Erase or mask one row as it is now: a run may have settled since it was found."""
    this = sa.and_(*(column == found[column.name] for column in table.primary_key.columns))
    now = connection.execute(sa.select(table).where(this).with_for_update()).mappings().one_or_none()
    if now is None:
        return
    row = dict(now)
    if table is EVENT:
        connection.execute(sa.delete(table).where(this))
        if row["type"] == REFUSED:
            mine = (REJECT.c.leg == feed_leg(row["feed"])) & (REJECT.c.key == row["subject"])
            connection.execute(sa.delete(REJECT).where(mine))
        return
    if any(isinstance(row[name], str) and marks.names(row[name]) for name in KEYS & row.keys()):
        connection.execute(sa.delete(table).where(this))
        return
    fixed = {column.name for column in table.primary_key.columns}
    changed = {
        column.name: _masked(row[column.name], marks)
        for column in _texts(table)
        if column.name not in fixed and _mentioned(row[column.name], marks)
    }
    if changed:
        connection.execute(sa.update(table).where(this).values(changed))
    else:  # only the primary key says it: nothing of the row can stay
        connection.execute(sa.delete(table).where(this))


def _masked(value: Any, marks: Marks) -> Any:
    """A text stays a text: JSON in one is purged as JSON, so that it can still be read."""
    if not isinstance(value, str):
        return purged(value, marks)[0]
    parsed = _parsed(value)
    return json.dumps(purged(parsed, marks)[0]) if isinstance(parsed, dict | list) else marks.scrub(value)


def _vacuum_sqlite(engine: Engine) -> str:
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA secure_delete = ON")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        cursor.execute("VACUUM")
        busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
    if busy:
        return "the database was rewritten, but its write-ahead log is in use and shrinks when the readers are done"
    return "the database was rewritten and its write-ahead log emptied"


def _vacuum(engine: Engine) -> str:
    """Rewrites the tables; where one is in use for long, its dead rows are only released, to be overwritten later."""
    late = []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        for table in metadata.sorted_tables:
            try:
                connection.exec_driver_sql(f"VACUUM (FULL) {table.name}")
            except sa.exc.OperationalError:
                late.append(table.name)
                connection.exec_driver_sql(f"VACUUM {table.name}")
    rest = f"; {', '.join(late)} in use: dead rows released, not overwritten yet" if late else ""
    return f"the tables were rewritten{rest}; the server's write-ahead log, replicas and backups hold what they held"
