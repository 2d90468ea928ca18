"""What a system hands to the process: its application, its credentials, its store.

A system is a package with ``build(*, clock, faults, options) -> System``; ``__main__`` lists the packages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

LARGEST_BODY_BYTES = 256 * 1024 * 1024

Row = dict[str, Any]

KEPT = object()
"""What ``Store.reset`` gives at the start of a process when a state folder already holds the seed."""


class Store(Protocol):
    """What the control API needs; every method may also be a coroutine.

    An unknown type or id raises LookupError, a bad value ValueError; both with a sentence for the tester.
    """

    def reset(self, *, seed: str) -> Any:
        """Forget everything, then load the named seed ("empty" or "demo"); KEPT when a folder's data was left."""

    def records(self, kind: str, *, where: dict[str, str], limit: int | None, offset: int) -> Any:
        """(rows, total): raw stored values; ``where`` compares as text, ``total`` ignores the paging."""

    def load(self, kind: str, rows: list[Row]) -> Any:
        """Store rows without API semantics; gives the number stored."""

    def patch(self, kind: str, key: str, values: Row) -> Any:
        """Overwrite values of one record, system timestamps included."""

    def delete(self, kind: str, key: str) -> Any:
        """Remove one record as if somebody had done so in the system itself."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, as far as systems care."""

    seed: str = "empty"
    scale: str = "slice"
    state: Path | None = None
    org: Path | None = None
    control: bool = False


@dataclass(slots=True)
class System:
    """One simulated system, ready to be served.

    restored: the state folder already holds this system's data, so it is not seeded again.
    begin, close: called (and awaited, if need be) when the system is about to listen and after it has stopped.
    settings: switches that POST /_sim/options changes; ``defaults`` is what a reset returns to.
    inspect: further read-only views for the control API, GET /_sim/inspect/{name}.
    """

    app: web.Application
    credentials: Callable[[str], dict[str, Any]]
    store: Store
    settings: dict[str, Any] = field(default_factory=dict)
    restored: bool = False
    begin: Callable[[], Any] | None = None
    close: Callable[[], Any] | None = None
    inspect: dict[str, Callable[[], Any]] = field(default_factory=dict)


def new_application() -> web.Application:
    """An application that accepts bodies as large as the largest bulk upload."""
    return web.Application(client_max_size=LARGEST_BODY_BYTES)
