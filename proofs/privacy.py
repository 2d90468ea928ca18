"""One person is forgotten, then a thousand attempts are made to bring her back; every byte is looked at in between.

She is a customer with all that flows hold of her: delivered, edited on both sides, refused, corrected, set aside, told
of by events, devices and a merge. The flows run over HTTP against the simulators, with nothing made cheap, and are the
same that ``tests/privacy`` walks. Every run has a control: the same attempts with the tombstones lifted, which must
bring her back.
"""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from proofs import bytescan, over_http, results

AT_ONCE = 20
"""Attempts between two scans."""
CONTROL = 60
"""Attempts without tombstones; she is back after the first few."""
SYSTEMS = ("sap_commerce", "salesforce", "opentext_iot")


@dataclass
class Found:
    """What a proof gave. before: store -> what the scan saw of her before.   back: (where, name) that came back."""

    attempts: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    rows_left_out: int = 0
    events_refused: int = 0
    stopped: int = 0
    before: dict[str, bytescan.Seen] = field(default_factory=dict)
    after: dict[str, bytescan.Seen] = field(default_factory=dict)
    scans: int = 0
    scanned: int = 0
    back: list[tuple[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Figures to keep."""
        stores = [
            {"store": store, "files_before": seen.files, "finds_before": len(seen.finds),
             "files_after": self.after.get(store, bytescan.Seen()).files,
             "bytes_after": self.after.get(store, bytescan.Seen()).size,
             "finds_after": len(self.after.get(store, bytescan.Seen()).finds)}
            for store, seen in sorted((self.after | self.before).items())
        ]  # fmt: skip
        return {
            "attempts": self.attempts, "kinds": dict(sorted(self.kinds.items(), key=lambda item: -item[1])),
            "rows_left_out": self.rows_left_out, "events_not_taken": self.events_refused,
            "stopped_by_guards": self.stopped, "scans": self.scans,
            "bytes_scanned": self.scanned, "finds": len(self.back), "stores": stores,
        }  # fmt: skip


@contextmanager
def world(folder: Path) -> Iterator[Any]:
    """She and all that is held of her, in a home folder, against simulators of its own."""
    far_side, walking = over_http._of_tests()
    story, pytest = importlib.import_module("privacy.life"), importlib.import_module("pytest")
    from commerce_sync.systems import rest

    logging.disable(logging.NOTSET)  # what is logged is scanned too
    with over_http.simulators() as ready, pytest.MonkeyPatch.context() as patch:
        sides = {name: far_side(credentials=ready[name], ca_file=None) for name in SYSTEMS}
        for side in sides.values():
            side.reset()
        for name in SYSTEMS[:2]:
            patch.setenv(f"AIRFLOW_CONN_{name.upper()}_DEFAULT", walking.connection(sides[name]))
        patch.setenv("COMMERCE_SYNC_HOME", str(folder))
        patch.setattr(rest, "_pause", lambda _state: 0.0)
        sides["salesforce"].options(job_min_polls=1, job_latency_ms=0)
        shop, org = walking.Shop(sides["sap_commerce"]), walking.Org(sides["salesforce"])
        with story.world(walking.Walk(folder), shop, org, sides["opentext_iot"], patch) as life:
            life.begin()
            life.live()
            life.left()
            yield life


def prove(
    life: Any, *, attempts: int, seed: int, tell: Callable[[Found], None] = lambda _found: None, forgetting: bool = True
) -> Found:
    """Forget her, try to bring her back, scan after every few attempts; ends early when she is back.

    In between only what is new or was altered is read, at the end everything.
    forgetting: False lifts the tombstones once she is erased, which is the control.
    """
    from commerce_sync import forget

    story, ways = importlib.import_module("privacy.life"), importlib.import_module("privacy.attempts")
    found, engine = Found(), life.ledger._engine
    found.before = bytescan.look(life.walk.folder, story.SECRETS, engine=engine)
    forget.forget(life.site, story.KEY, by="anna")
    clean: bytescan.Stamps = {}
    _look(found, life, story.SECRETS, clean)
    if not forgetting:
        forget.readmit(life.site, story.KEY)
    tries = ways.Attempts(life, seed, strict=forgetting)
    while found.attempts < attempts and not found.back:
        some = min(AT_ONCE, attempts - found.attempts) if forgetting else 1
        tries.make(some)
        found.attempts += some
        found.kinds = dict(tries.done)
        found.rows_left_out, found.events_refused = tries.left_out, tries.refused_events
        found.stopped = tries.stopped
        _look(found, life, story.SECRETS, clean if found.attempts < attempts else {})
        tell(found)
    return found


def _look(found: Found, life: Any, names: tuple[str, ...], clean: bytescan.Stamps) -> None:
    found.after = bytescan.look(life.walk.folder, names, engine=life.ledger._engine, clean=clean)
    found.scans += 1
    found.scanned += bytescan.size(found.after)
    found.back = bytescan.finds(found.after)


def command(attempts: int, *, seed: int) -> int:
    """Prove it, keep the figures as they grow, and print them."""
    told: dict[str, Any] = {}

    def tell(figures: dict[str, Any]) -> None:
        told.update(figures)
        results.keep("privacy", told)
        print(f"{figures['attempts']:,} of {attempts:,}, {figures['bytes_scanned']:,} bytes scanned, "
              f"{figures['finds']} finds, {figures['seconds']:,} s", flush=True)  # fmt: skip

    code = run(attempts, seed=seed, tell=tell)
    print(f"\n{results.table([('attempts', 'number'), *told['kinds'].items()])}\n")
    rows = [[row[name] for name in ("store", "finds_before", "files_after", "bytes_after", "finds_after")]
            for row in told["stores"]]  # fmt: skip
    print(results.table([("store", "finds before", "files or tables after", "bytes after", "finds after"), *rows]))
    print(f"\nwith the tombstones lifted: {told['control']}")
    return code


def run(attempts: int, *, seed: int, tell: Callable[[dict[str, Any]], None]) -> int:
    """Prove it, then the control; ``tell`` is given the figures as they grow. 1 when she came back, or never could."""
    began = time.monotonic()

    def figures(found: Found, control: Found | None = None) -> dict[str, Any]:
        came = {"back_after": control.attempts, "finds": len(control.back)} if control else None
        return {**found.as_json(), "first_seed": seed, "seconds": round(time.monotonic() - began), "control": came}

    with _home() as folder, world(folder) as life:
        found = prove(life, attempts=attempts, seed=seed, tell=lambda so_far: tell(figures(so_far)))
    blind = [store for store, seen in found.before.items() if not seen.finds and store != "logs"]
    with _home() as folder, world(folder) as life:
        control = prove(life, attempts=CONTROL, seed=seed, forgetting=False)
    tell(figures(found, control))
    for where, name in found.back[:AT_ONCE]:
        print(f"she is back after {found.attempts} attempts: {name!r} in {where}")
    for store in blind:
        print(f"nothing of her was in {store!r} before: nothing is proved of it")
    if not control.back:
        print(f"without tombstones nothing came back in {CONTROL} attempts: the attempts prove nothing")
    return int(bool(found.back or blind or not control.back))


@contextmanager
def _home() -> Iterator[Path]:
    with (
        tempfile.TemporaryDirectory(prefix="proof-privacy-", ignore_cleanup_errors=True) as folder,
        mock.patch.dict(os.environ),
    ):
        yield Path(folder)
