"""Where a process can die: every HTTP call, every file that appears or goes, every write transaction of the ledger.

``watch`` puts itself at the lowest seam of each and names what comes by: ``extract | POST /oauth/token #1``. The same
code in the same place gets the same name in every play, whatever ids are drawn.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import sqlalchemy as sa
from fsspec.implementations.local import LocalFileSystem
from yarl import URL

from commerce_sync import batches, history_files
from commerce_sync.ledger import markers

HOWS: dict[str, tuple[str, ...]] = {
    "http": ("kill before", "kill after", "answer lost", "answer late"),
    "file": ("kill before", "kill after"),
    "ledger": ("kill before", "kill after", "answer lost"),
}
"""Kind of step -> what can happen to it. A file has no answer to lose."""
DRAWN = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{8,}|[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?(?=/|$)|\d+(?:\.\d+)?")
"""Ids, keys and moments in an address: another one in every play."""


@dataclass
class Watch:
    """Counts steps of one process by name. at: the one to disturb.   how: in which way.   seen: all, in order.

    hit: told when it comes.   act: what is done just before it.
    """

    at: str = ""
    how: str = ""
    task: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    hit: Callable[[], None] = lambda: None
    act: Callable[[], None] = lambda: None

    def comes(self, kind: str, name: str) -> str:
        """What happens to the step that comes now; dies here if it is to die before."""
        label = f"{self.task} | {name}"
        self.counted[label] += 1
        step = f"{label} #{self.counted[label]}"
        self.seen.append((kind, step))
        if step != self.at:
            return ""
        self.hit()
        self.act()
        if self.how == "kill before":
            die()
        return self.how


def die() -> None:
    """As the kernel's out-of-memory killer does it: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def watch(on: Watch) -> None:
    """From now on, and for the rest of this process."""
    _calls(on)
    _files(on)
    _transactions(on)


def _calls(on: Watch) -> None:
    real = aiohttp.ClientSession._request

    async def request(self: Any, method: str, address: Any, **options: Any) -> Any:
        how = on.comes("http", f"{method} {plain(URL(address).path)}")
        answer = await real(self, method, address, **options)
        if not how:
            return answer
        await answer.read()  # the far side has done it all
        if how == "kill after":
            die()
        answer.close()
        raise asyncio.TimeoutError if how == "answer late" else aiohttp.ServerDisconnectedError

    aiohttp.ClientSession._request = request  # type: ignore[method-assign]


def _files(on: Watch) -> None:
    _around(on, batches.BatchWriter, "add", lambda self, *_: f"write {_tail(self.uri)}")
    _around(on, batches.BatchWriter, "copy", lambda self, *_: f"write {_tail(self.uri)}")
    _around(on, LocalFileSystem, "mv", lambda _self, _old, new, *_: f"put in place {_tail(new)}")
    _around(on, LocalFileSystem, "rm", lambda _self, path, *_: f"remove {_tail(path)}")
    _around(on, markers.MarkerFiles, "_write", lambda *_: "write markers")
    _around(on, history_files, "copy", lambda *_: "write history")
    _around(on, os, "replace", lambda _old, new, *_: f"put in place {_tail(new)}")


def _around(on: Watch, owner: Any, name: str, told: Callable[..., str]) -> None:
    real = getattr(owner, name)

    def call(*args: Any, **options: Any) -> Any:
        how = on.comes("file", told(*args))
        found = real(*args, **options)
        if how == "kill after":
            die()
        return found

    setattr(owner, name, call)


def _transactions(on: Watch) -> None:
    real = sa.engine.Connection._commit_impl

    def commit(self: Any) -> None:
        if not self.get_execution_options().get("ledger_writes"):
            real(self)
            return
        how = on.comes("ledger", f"commit {_asker()}")
        real(self)
        if how == "kill after":
            die()
        if how == "answer lost":
            lost = ConnectionError("server closed the connection unexpectedly")
            raise sa.exc.OperationalError("COMMIT", {}, lost)

    sa.engine.Connection._commit_impl = commit  # type: ignore[method-assign]


def _asker() -> str:
    """The function of ours that began the transaction."""
    frame = sys._getframe(2)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("commerce_sync.") and not module.endswith("ledger.database"):
            return frame.f_code.co_qualname
        frame = frame.f_back  # type: ignore[assignment]
    return "?"


def plain(path: str) -> str:
    """An address without what is drawn anew in every play."""
    return DRAWN.sub("*", path)


def _tail(path: Any) -> str:
    parts = str(path if not isinstance(path, list) else path[0]).rstrip("/").split("/")
    return plain("/".join(parts[-2:]))
