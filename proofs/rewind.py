"""``python -m proofs.rewind OPTIONS``: the simulators, in a process that can be set back to where it was.

On SIGUSR1 the process forks. The copy goes on serving on the same ports while the original stands still; when the copy
ends, the original goes on as if what the copy was asked had never happened. Milliseconds instead of preparing the same
data again. On SIGUSR2 it counts the rows it holds. Both leave their answer in the file that ``PROOF_REWIND`` names.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from simulators import __main__ as serving
from simulators.server import Served, serve

ROOT = Path(__file__).parents[1]
FILE = "PROOF_REWIND"
PATIENCE_S = 60.0
PR_SET_PDEATHSIG = 1
DOCUMENTS = ("docs", "documents")
"""Tables that hold records of many kinds."""
served: list[Served] = []


class Rewindable:
    """The process as another one steers it. number: its process.   file: where it answers."""

    def __init__(self, number: int, file: Path) -> None:
        self.number, self.file = number, file
        self.copy: int | None = None

    def branch(self) -> None:
        """From now on a copy answers."""
        self.copy = int(self._asked(self.number, signal.SIGUSR1)["serving"])

    def back(self) -> None:
        """End the copy: everything is again as it was at ``branch``."""
        if self.copy is None:
            return
        os.kill(self.copy, signal.SIGKILL)
        until = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{self.copy}").exists():  # until the original has taken notice
            if time.monotonic() > until:
                raise TimeoutError(f"the copy {self.copy} of the simulators does not end")
            time.sleep(0.001)
        self.copy = None

    def holdings(self) -> dict[str, dict[str, int]]:
        """``census``: table, or kind of document -> rows.   ``jobs``: state of remote jobs -> how many."""
        return self._asked(self.copy or self.number, signal.SIGUSR2)

    def _asked(self, process: int, question: signal.Signals) -> dict[str, Any]:
        self.file.unlink(missing_ok=True)
        os.kill(process, question)
        until = time.monotonic() + PATIENCE_S
        while not self.file.exists():
            if time.monotonic() > until:
                raise TimeoutError(f"the simulators in process {process} do not answer {question.name}")
            time.sleep(0.001)
        return dict(json.loads(self.file.read_text(encoding="utf-8")))


@contextmanager
def simulators(file: Path, *options: str) -> Iterator[tuple[dict[str, Any], Rewindable]]:
    """The ready line of such a process, and its handle. file: where it may answer."""
    command = [sys.executable, "-m", "proofs.rewind", "--port-base", "0", "--seed", "empty", "--control", *options]
    settings = {**os.environ, "PYTHONPATH": str(ROOT), FILE: str(file)}
    with subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True) as process:
        handle = Rewindable(process.pid, file)
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline()), handle
        finally:
            handle.back()
            process.terminate()
            process.wait(timeout=20)


def _branch(*_: Any) -> None:
    copy = os.fork()
    if copy:
        os.waitpid(copy, 0)
        return
    _end_with_parent()
    # The loop we are in belongs to the original; ours has none of its connections.
    asyncio._set_running_loop(None)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        asyncio.run(_serve_again())
    finally:
        os._exit(1)


async def _serve_again() -> None:
    for one in served:
        app, sockets = one.system.app, [site._sock for site in one.runner.sites]  # type: ignore[attr-defined]
        app._loop = None
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        for listener in sockets:
            await web.SockSite(runner, listener).start()
    _answer({"serving": os.getpid()})
    await asyncio.Event().wait()


def _count(*_: Any) -> None:
    found: Counter[str] = Counter()
    for db in [item for item in gc.get_objects() if isinstance(item, sqlite3.Connection)]:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table in DOCUMENTS:
                rows = db.execute(f'SELECT kind, count(*) FROM "{table}" GROUP BY kind').fetchall()
            else:
                rows = [(table, *db.execute(f'SELECT count(*) FROM "{table}"').fetchone())]
            found.update(dict(rows))
    _answer({"census": {kind: count for kind, count in found.items() if count}, "jobs": _jobs()})


def _jobs() -> dict[str, int]:
    """Bulk jobs of Salesforce, and jobs of iconik, by state; what is finished but was not asked for counts as that."""
    found: Counter[str] = Counter()
    for item in gc.get_objects():
        if type(item).__name__ == "Job" and type(item).__module__ == "simulators.salesforce.jobs":
            found[f"salesforce {item.outcome or item.state}"] += 1
        if isinstance(item, sqlite3.Connection) and _has(item, "docs"):
            rows = item.execute("SELECT json_extract(doc, '$.status') FROM docs WHERE kind = 'jobs'")
            found.update(f"iconik {status}" for (status,) in rows)
    return dict(found)


def _has(db: sqlite3.Connection, table: str) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [table]).fetchone() is not None


def _answer(said: dict[str, Any]) -> None:
    file = Path(os.environ[FILE])
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(said), encoding="utf-8")
    draft.replace(file)


async def _noted(system: Any, **options: Any) -> Served:
    one = await serve(system, **options)
    served.append(one)
    return one


def _end_with_parent() -> None:
    """A proof that is stopped leaves no simulators behind; the kernel sees to it, as the original may stand still.

    Source: https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html (read 2026-11).
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    _end_with_parent()
    serving.serve = _noted  # type: ignore[attr-defined]
    signal.signal(signal.SIGUSR1, _branch)
    signal.signal(signal.SIGUSR2, _count)
    return asyncio.run(serving.run(serving.arguments()))


if __name__ == "__main__":
    sys.exit(main())
