"""What the systems hold at the start: a named seed, or one of the tester's own.

``--seed FILE`` is JSON, records by system and type, ``{"salesforce": {"Account": [{"Name": "Acme"}, ...], ...}, ...}``.
The systems begin empty; types are loaded in the order they are written, by the same raw load as
``POST /_sim/records/{Type}``. A state folder that holds a system already is left as it is.
"""

from __future__ import annotations

import inspect
import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulators.system import KEPT, Row, System

SEEDS = ("empty", "demo", "bare")
Records = dict[str, list[Row]]  # type -> rows


@dataclass(frozen=True, slots=True)
class Seeding:
    """The seed of all systems: its name, and by system the records a file adds to it."""

    name: str
    records: dict[str, Records] = field(default_factory=dict)
    state: Path | None = None

    @classmethod
    def chosen(cls, seed: str, *, systems: Collection[str], state: Path | None) -> Seeding:
        """``demo``, ``empty``, ``bare`` or a file's path. Raises ValueError when something is wrong with the file."""
        if seed in SEEDS:
            return cls(seed, state=state)
        return cls("empty", read_seed(Path(seed), systems=systems), state)

    async def fill(self, system: System, *, name: str) -> None:
        """Seed one system, unless its state folder holds it; a file's load that was broken off begins again."""
        mark = self.state / f"{name}.loading" if self.state else None
        kept = system.restored or await _done(system.store.reset(seed=self.name)) is KEPT
        if kept and (mark is None or not mark.exists()):
            return
        if kept:
            await _done(system.store.reset(seed=self.name))
        if mark is not None and self.records.get(name):
            mark.touch()
        await _load(system, self.records.get(name, {}), name=name)
        if mark is not None:
            mark.unlink(missing_ok=True)


def read_seed(path: Path, *, systems: Collection[str]) -> dict[str, Records]:
    """The records of a file by system. Raises ValueError with a sentence about what is wrong in it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"seed file {path} is not JSON: {error}") from error
    except OSError as error:
        sentence = f"seed {path} cannot be read: {error.strerror or error}; legal: demo, empty, or a JSON file"
        raise ValueError(sentence) from error
    if not isinstance(found, dict):
        raise ValueError(f"seed file {path} holds {_kind(found)}; it must be an object of systems")
    if unknown := sorted(set(found) - set(systems)):
        raise ValueError(f"seed file {path} names unknown systems {unknown}; legal: {', '.join(systems)}")
    for system, types in found.items():
        _check(types, where=f"seed file {path}: {system}")
    return found


def _check(types: object, *, where: str) -> None:
    if not isinstance(types, dict):
        raise ValueError(f"{where} is {_kind(types)}; it must be an object of types, each with a list of records")
    for kind, rows in types.items():
        if not isinstance(rows, list):
            raise ValueError(f"{where}.{kind} is {_kind(rows)}; it must be a list of records")
        for place, row in enumerate(rows):
            if not isinstance(row, dict):
                raise ValueError(f"{where}.{kind}[{place}] is {_kind(row)}; it must be an object")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


async def _load(system: System, records: Records, *, name: str) -> None:
    for kind, rows in records.items():
        try:
            await _done(system.store.load(kind, rows))
        except (LookupError, ValueError, TypeError, sqlite3.Error) as error:
            said = error.args[0] if error.args else error
            raise ValueError(f"seed file: {name}.{kind}: {said}") from error


async def _done(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
