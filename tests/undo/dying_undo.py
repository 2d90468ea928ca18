"""An undo, or the run before it, in a process of its own that kills itself at a chosen point."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from commerce_sync import flow, undo, undo_settle
from commerce_sync import walk as walks
from commerce_sync.ledger import Ledger
from commerce_sync.mapping import Mapping
from commerce_sync.systems.salesforce.hook import SalesforceHook
from commerce_sync.window import Request
from flows import dying

UNDO_POINTS: dict[str, Callable[[], None]] = {
    "compared, its list not published": dying.unpublished("undo"),
    "compared, its changes not published": dying.unpublished("changes"),
    "before its own images are published": dying.unpublished("before"),
    "before anything is sent": lambda: dying.before(SalesforceHook, "load"),
    "everything sent": lambda: dying.after(SalesforceHook, "load"),
    "results not published": dying.unpublished("load"),
    "before it is settled": lambda: dying.before(undo_settle, "settle"),
    "before the transaction": lambda: dying.before(Ledger, "settle"),
    "after the transaction": lambda: dying.after(Ledger, "settle"),
}
RUN_POINTS: dict[str, Callable[[], None]] = {
    "images not published": dying.unpublished("before"),
    "images taken, nothing sent": lambda: dying.before(SalesforceHook, "load"),
    "everything sent, results not published": dying.unpublished("load"),
    "before the transaction": lambda: dying.before(Ledger, "settle"),
}


def undoing(folder: str, environment: dict[str, str], mapping: Mapping, of: str, run_id: str, point: str) -> None:
    os.environ |= environment
    UNDO_POINTS[point]()
    undo.run(dying.open_site(Path(folder)), mapping, of, targets=flow.target_system, run_id=run_id, by="Ada")


def running(folder: str, environment: dict[str, str], mapping: Mapping, run_id: str, point: str) -> None:
    os.environ |= environment
    RUN_POINTS[point]()
    walks.leg(dying.open_site(Path(folder)), mapping, run_id, request=Request(mode="complete"),
              sources=flow.source_system, targets=flow.target_system)  # fmt: skip


def dies(work: Callable[..., None], *arguments: object) -> bool:
    """Whether the process was killed by itself."""
    process = dying._nursery().Process(target=work, args=arguments)
    process.start()
    process.join(timeout=120)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == -9
