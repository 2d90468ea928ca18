"""Upkeep: what is older than it is kept goes, small files are put together. Killed anywhere, the next night goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from commerce_sync import before_images, forget, recording
from commerce_sync.ledger import Run
from commerce_sync.leg import CHANGES, Site


@dataclass(frozen=True, slots=True)
class Kept:
    """For how long. batch: what steps handed to each other.   payload: change batches.   run: runs, gate pages.

    image: before-images, and what their runs sent and were answered: without it an image is of no use.
    receipt: of the receiver, at the most: it sweeps by its own file too, but only while something is delivered.
    """

    batch: timedelta
    payload: timedelta
    run: timedelta
    event: timedelta
    image: timedelta = timedelta()
    receipt: timedelta = timedelta(days=90)


def sweep(site: Site, *, kept: Kept, now: datetime) -> dict[str, int]:
    """One night's work; gives what went: history rows, batches, gate pages, runs, events, files of the ledger.

    And what was left of forgotten records because a run was at work.
    """
    recording.note_said(site)
    gone = {"history": site.history.sweep(now=now) if site.history else 0}
    runs = site.ledger.runs(limit=1_000_000)
    gone["batches"] = sum(_sweep_batches(site, run, kept=kept, now=now) for run in runs)
    gone["pages"] = _sweep_pages(site.pages, before=now - kept.run)
    gone["events"] = site.ledger.drop_events(now - kept.event)
    days = kept.receipt / timedelta(days=1)
    gone["receipts"] = site.ledger.sweep_receipts(success_days=days, error_days=days, now=now)
    gone["runs"] = site.ledger.prune(now - kept.run)
    gone["files"] = sum(site.ledger.sweep(state.leg) for state in site.ledger.states())
    gone["forgotten"] = forget.erase_pending(site)
    return gone


def _sweep_batches(site: Site, run: Run, *, kept: Kept, now: datetime) -> int:
    """The batches of a run that ended; its changes stay longer. A run that may still be taken up again keeps all."""
    if run.started > now - kept.batch:
        return 0
    root = site.batches.address(run.leg, run.run, CHANGES).rpartition("/")[0]
    if run.settled and run.started > now - kept.image and before_images.of(site, run.leg, run.run) is not None:
        return site.batches.remove_all(root, but=before_images.NEEDED)
    if run.started <= now - max(kept.payload, kept.batch):
        return site.batches.remove_all(root)
    return site.batches.remove_all(root, but=(CHANGES,)) if run.settled else 0


def _sweep_pages(pages: Path, *, before: datetime) -> int:
    """Gate pages last written before a moment, with their folders."""
    removed = 0
    for folder in _run_folders(pages):
        if folder.stat().st_mtime < before.timestamp():
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def _run_folders(pages: Path) -> Iterator[Path]:
    if pages.is_dir():
        yield from (run for leg in pages.iterdir() if leg.is_dir() for run in leg.iterdir() if run.is_dir())
