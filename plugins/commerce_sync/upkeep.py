"""Upkeep: what is older than it is kept goes, small files are put together. Killed anywhere, the next night goes on."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import fsspec

from commerce_sync import before_images, forget, recording
from commerce_sync.batches import safe_name
from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import LegState, Run
from commerce_sync.leg import CHANGES, Site
from commerce_sync.systems.inbox import feeds

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """For how long. batch: what steps handed to each other.   payload: change batches.   run: runs, gate pages.

    event: of feeds whose file says nothing shorter.
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
    """One night's work; gives what went: rows of the history, batches, superseded replicas, gate pages, runs, events.

    And files of the ledger, alerts that are over, and what was left of forgotten records because a run was at work.
    """
    recording.note_said(site)
    gone = {"history": site.history.sweep(now=now) if site.history else 0}
    runs = site.ledger.runs(limit=1_000_000)
    gone["batches"] = sum(_sweep_batches(site, run, kept=kept, now=now) for run in runs)
    gone["stores"] = sum(_sweep_stores(site, state, runs, kept=kept, now=now) for state in site.ledger.states())
    gone["pages"] = _sweep_pages(site.pages, before=now - kept.run)
    gone["events"] = _sweep_feeds(site, kept=kept, now=now)
    days = kept.receipt / timedelta(days=1)
    gone["receipts"] = site.ledger.sweep_receipts(success_days=days, error_days=days, now=now)
    gone["alerts"] = site.ledger.sweep_alerts(before=now - kept.run)
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


def _sweep_stores(site: Site, state: LegState, runs: list[Run], *, kept: Kept, now: datetime) -> int:
    """Replicas, figures and carried rows that a later run put others in place of; gives how many batches went.

    They hold records as they were. What the leg names stays, and so does what a run may still be about to name.
    """
    named = {_last(text) for text in (*state.names(), *(name for name, _since in state.retired), state.carry or "")}
    young = {safe_name(run.run) for run in runs if run.leg == state.leg and _is_young(run, kept=kept, now=now)}
    fs, root = fsspec.core.url_to_fs(site.stores.root, use_listings_cache=False)
    folder, gone = f"{root.rstrip('/')}/{safe_name(state.leg)}", 0
    for run in fs.ls(folder, detail=False) if fs.exists(folder) else ():
        if run.rstrip("/").rpartition("/")[2] not in young:
            batches = [str(path).rstrip("/") for path in fs.ls(run, detail=False)]
            old = [path for path in batches if _last(path) not in named]
            gone += len(old)
            for path in [str(run)] if old and len(old) == len(batches) else old:
                fs.rm(path, recursive=True)
    return gone


def _last(address: str) -> str:
    """Leg, run and step of an address: a root may be spelled in several ways."""
    return "/".join(address.rstrip("/").split("/")[-3:])


def _is_young(run: Run, *, kept: Kept, now: datetime) -> bool:
    return run.started > now - (kept.batch if run.settled else max(kept.payload, kept.batch))


def _sweep_feeds(site: Site, *, kept: Kept, now: datetime) -> int:
    """Events of each feed, kept as long as its file says, be that longer or shorter; of the others as long as any."""
    own = _kept_by_feed()
    return sum(site.ledger.drop_events(now - own.get(name, kept.event), feed=name) for name in site.ledger.feeds())


def _kept_by_feed() -> dict[str, timedelta]:
    found = {}
    for path in sorted(feeds.folder().glob("*.yaml")):
        try:
            feed = feeds.load(path)
        except ConfigurationError as error:
            log.warning("events of this feed are kept as long as any: %s", error)
            continue
        if feed.keep_days:
            found[feed.feed] = timedelta(days=feed.keep_days)
    return found


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
