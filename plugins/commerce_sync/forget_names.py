"""By which names a record is known, over all legs: keys, ids at targets, names from before merges, logins, addresses.

A name is followed only while it means this record alone. The group that many members share, or the mailbox of a whole
company, is no name of any of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import fsspec

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger.tombstones_marks import ALL, normal
from commerce_sync.leg import Site

ROUNDS = 4
"""A name leads to further names: so often they are followed."""
SHORTEST = 4
"""Characters of a name; a shorter one could stand for anything."""
SURE = ("customerID", "uid", "Commerce_Id__c", "Commerce_Uid__c", "Id", "customer_id")
"""Columns whose value names one record of its system."""
SHARED = ("Email", "email")
"""Columns whose value may be that of several records."""
PEOPLE = ({"customerID", "uid"}, {"Id", "Commerce_Id__c"}, {"customer_id", "uid"})
"""A table with both columns of one of these names the same record in both."""
MOST_FILES = 200


def names(site: Site, key: str, *, scope: str = ALL, legs: Sequence[str] = ()) -> list[str]:
    """Every name of the record that ``key`` names, ``key`` first. With a leg as scope that is the key alone.

    Raises ConfigurationError for a key that is too short to be told apart from other values.
    """
    if len(key.strip()) < SHORTEST:
        raise ConfigurationError(
            f"a key of {len(key.strip())} characters could be any value of any record; give another key, id or login "
            f"of the record, with at least {SHORTEST} characters"
        )
    known: dict[str, None] = {key: None}
    if scope.startswith("leg:"):
        return list(known)
    people = list(_people(site))
    for _ in range(ROUNDS):
        before = len(known)
        found = [*_by_markers(site, list(known), legs), *_by_aliases(site, known), *_by_rows(site, list(known), people)]
        found += _by_events(site, list(known))
        known |= dict.fromkeys(name for name in found if len(name) >= SHORTEST and "|" not in name)
        if len(known) == before:
            break
    return list(known)


def _by_markers(site: Site, known: list[str], legs: Sequence[str]) -> Iterator[str]:
    """Ids at targets, and keys that ids at targets lead back to; each only where it is one to one."""
    own = {normal(name) for name in known}
    for row in site.ledger.find_markers(known, legs=legs):
        if row["target_id"] and _alone(site, row["target_id"], own, legs):
            yield row["target_id"]
    back = site.ledger.find_markers(known, legs=legs, are_targets=True)
    for row in back:
        if len({item["key"] for item in back if item["target_id"] == row["target_id"]} | own) <= len(own) + 1:
            yield row["key"]


def _alone(site: Site, target_id: str, own: set[str], legs: Sequence[str]) -> bool:
    rows = site.ledger.find_markers([target_id], legs=legs, are_targets=True)
    return {normal(row["key"]) for row in rows} <= own


def _by_aliases(site: Site, known: Iterable[str]) -> list[str]:
    return site.ledger.other_names(list(known))


def _by_rows(site: Site, known: list[str], people: list[tuple[str, list[str]]]) -> Iterator[str]:
    """What the newest rows about people say beside a name: login and customer number, record id and external id."""
    wanted = [name.lower() for name in known]
    with closing(site.stores.connect()) as con:
        for path, columns in people:
            sure = [name for name in columns if name in SURE]
            one = " OR ".join(f'lower("{name}") = ANY(?)' for name in columns)
            shown = ", ".join(f'"{name}"' for name in columns)
            query = f"SELECT DISTINCT {shown} FROM read_parquet('{path}') WHERE {one} LIMIT 1000"
            found = con.execute(query, [wanted] * len(columns)).fetchall()
            yield from _meant([dict(zip(columns, row, strict=True)) for row in found], set(wanted), sure)


def _meant(rows: list[dict[str, Any]], known: set[str], sure: list[str]) -> Iterator[str]:
    for row in rows:
        if any(str(row[name]).lower() in known for name in sure):
            yield from (row[name] for name in sure if row[name])
            yield from (row[name] for name in SHARED if row.get(name) and _is_own(rows, row, name, sure, known))


def _is_own(rows: list[dict[str, Any]], row: dict[str, Any], name: str, sure: list[str], known: set[str]) -> bool:
    """Whether an address is that of no other record."""
    others = [item for item in rows if item[name] == row[name]]
    return "@" in row[name] and all(any(str(item[one]).lower() in known for one in sure) for item in others)


def _people(site: Site) -> Iterator[tuple[str, list[str]]]:
    """Files whose rows name people, with their columns that do: in the stores, and what runs read and sent lately."""
    for root in (site.stores.root, site.batches.root):
        fs, folder = fsspec.core.url_to_fs(root)
        listed = fs.find(folder, detail=True) if fs.exists(folder) else {}
        paths = [path for path in listed if path.endswith(".parquet")]
        newest = sorted(paths, key=lambda path: str(listed[path].get("mtime", listed[path].get("LastModified", ""))))
        looked = 0
        for path in reversed(newest):
            columns = _columns(fs, path)
            if any(pair <= set(columns) for pair in PEOPLE):
                full = fs.unstrip_protocol(path) if "://" in root else path
                yield full.replace("'", "''"), columns
                looked += 1
            if looked == MOST_FILES:
                break


def _columns(fs: Any, path: str) -> list[str]:
    """Columns of a file that name a record; none of one that cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with fs.open(path, "rb") as source:
            found = pq.read_schema(source)
    except (pa.ArrowInvalid, FileNotFoundError):
        return []
    return [item.name for item in found if item.name in (*SURE, *SHARED) and item.type == pa.string()]


def _by_events(site: Site, known: list[str]) -> Iterator[str]:
    """Login and address that an event gives for the same person: who registered."""
    own = {normal(name) for name in known}
    for text in site.ledger.events_saying(known):
        data = _parsed(text)
        given = [data.get("uid"), data.get("email")]
        if any(isinstance(item, str) and normal(item) in own for item in given):
            yield from (item for item in given if isinstance(item, str))


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
