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
    """What the newest rows about people say beside a name: login and customer number, record id and external id.

    And the addresses beside it that are nobody else's.
    """
    own, addresses = {name.lower() for name in known}, set(_addresses_of_events(site, known))
    with closing(site.stores.connect()) as con:
        for path, columns in people:
            for row in _rows_of(con, path, columns, own):
                sure = [row[name] for name in SURE if row.get(name)]
                addresses |= {row[name] for name in SHARED if "@" in (row.get(name) or "")}
                own |= {name.lower() for name in sure}
                yield from sure
        yield from addresses - _of_others(site, con, people, addresses=addresses, own=own)


def _rows_of(con: Any, path: str, columns: list[str], own: set[str]) -> list[dict[str, Any]]:
    """Rows of a file whose record has one of these names."""
    shown = ", ".join(_quoted(name) for name in columns)
    query = f"SELECT DISTINCT {shown} FROM read_parquet('{path}') WHERE {_is_own(columns)} LIMIT 1000"
    return [dict(zip(columns, row, strict=True)) for row in con.execute(query, {"own": sorted(own)}).fetchall()]


def _of_others(
    site: Site, con: Any, people: list[tuple[str, list[str]]], *, addresses: set[str], own: set[str]
) -> set[str]:
    """Addresses that another record has as well: the mailbox of a company, one that a family shares."""
    wanted, taken = sorted(item.lower() for item in addresses), set[str]()
    for path, columns in people if wanted else ():
        for name in (item for item in SHARED if item in columns):
            query = f"""SELECT DISTINCT lower({_quoted(name)}) FROM read_parquet('{path}')
                WHERE list_contains($wanted, lower({_quoted(name)})) AND NOT ({_is_own(columns)})"""
            taken |= {row[0] for row in con.execute(query, {"wanted": wanted, "own": sorted(own)}).fetchall()}
    taken |= {address for address, logins in _logins(site, addresses).items() if len(logins) > 1}
    return {item for item in addresses if item.lower() in taken}


def _logins(site: Site, addresses: set[str]) -> dict[str, set[str]]:
    """Address -> who registered with it."""
    found: dict[str, set[str]] = {}
    for data in map(_parsed, site.ledger.events_saying(sorted(addresses)) if addresses else ()):
        login, address = data.get("uid"), data.get("email")
        if isinstance(address, str) and isinstance(login, str):
            found.setdefault(address.lower(), set()).add(login.lower())
    return found


def _is_own(columns: list[str]) -> str:
    """SQL: the row's record has one of the names ``$own``."""
    names = (f"coalesce(list_contains($own, lower({_quoted(name)})), false)" for name in columns if name in SURE)
    return " OR ".join(names)


def _quoted(name: str) -> str:
    return f'"{name}"'


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
    """The login that events give for the same person: who registered. Several logins with one address are several."""
    own = {normal(name) for name in known}
    logins = {data["uid"] for data in _events_of(site, known) if isinstance(data.get("uid"), str)}
    if len({normal(login) for login in logins} - own) <= 1:
        yield from logins


def _addresses_of_events(site: Site, known: list[str]) -> Iterator[str]:
    for data in _events_of(site, known):
        if "@" in str(data.get("email")):
            yield str(data["email"])


def _events_of(site: Site, known: list[str]) -> Iterator[dict[str, Any]]:
    """What events say whose login or address is one of these names."""
    own = {normal(name) for name in known}
    for data in map(_parsed, site.ledger.events_saying(known)):
        if any(isinstance(item, str) and normal(item) in own for item in (data.get("uid"), data.get("email"))):
            yield data


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
