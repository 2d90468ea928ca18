"""Work that takes simulated time: READY, then STARTED with progress, then FINISHED or FAILED.

Jobs of users (type CUSTOM and whatever is posted) never move by themselves; those the far side starts carry a
hidden ``_work``. Source: fact sheet sections 12 and 17.8; how long work takes is a switch.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from simulators.clock import Clock
from simulators.faults import Faults
from simulators.iconik.call import Event
from simulators.iconik.store import Row, Store, stamp, words

STATUSES = words(
    "READY STARTED WAITING PENDING_USER PAUSED ABORT_PENDING FINISHED FINISHED_WITH_WARNING SKIPPED FAILED ABORTED"
    " DISCARDED"
)
MOVING = {"READY", "STARTED"}
STANDING = {"transcode_fails", "hold_jobs"}
START_SHARE = 0.25
Work = Callable[[Row], None]


class JobEngine:
    """Starts jobs and settles those whose time has come; ``works`` maps a kind of work to its two endings."""

    def __init__(self, store: Store, *, clock: Clock, faults: Faults, settings: Row) -> None:
        self.store, self.clock, self.faults, self.settings = store, clock, faults, settings
        self.works: dict[str, tuple[Work, Work]] = {}
        self.moving: dict[str, float] = {}  # job -> simulated second at which it ends
        self.flush: Callable[[], None] = lambda: None
        self.send: Callable[[list[Event]], None] = lambda _events: None

    def reload(self) -> None:
        """Find the unfinished work again after a start."""
        self.moving = {row["id"]: row["_end"] for row in self.store.find("jobs") if _moves(row)}

    def start(self, kind: str, *, work: str | None, title: str, user_id: str, **values: Any) -> Row:
        """A new job; ``work`` names what happens at its end, None: nothing beyond the status."""
        now, key = self.clock.timestamp(), self.store.new_id()
        duration = float(self.settings["job_duration_s"])
        row = new_job(self.store.now(), key=key, user_id=user_id) | {"type": kind, "title": title, "status": "READY"}
        row |= values | {"_work": work or "nothing", "_begin": now, "_end": now + duration}
        self.store.put("jobs", key, row, owner=row.get("object_id"))
        self.moving[key] = row["_end"]
        return row

    def settle(self) -> None:
        """Bring every job to where it is by now."""
        if not self.moving or self.faults.active("hold_jobs"):
            return
        now = self.clock.timestamp()
        events: list[Event] = []
        with self.store.transaction():
            for key in list(self.moving):
                if row := self.store.get("jobs", key):
                    self._move(row, now=now, events=events)
                else:
                    del self.moving[key]
            self.flush()
        self.send(events)

    def _move(self, row: Row, *, now: float, events: list[Event]) -> None:
        if not _moves(row):
            self.moving.pop(row["id"], None)
            return
        span = max(row["_end"] - row["_begin"], 1e-9)
        share = (now - row["_begin"]) / span
        if now >= row["_end"]:
            self._end(row, events=events)
        elif share >= START_SHARE:
            row |= {"status": "STARTED", "progress": int(share * 100)}
            row["started_at"] = row["started_at"] or self.moment(row["_begin"] + span * START_SHARE)
            self.store.put("jobs", row["id"], row)

    def _end(self, row: Row, *, events: list[Event]) -> None:
        failure = self._failure(row)
        done, failed = self.works[row["_work"]]
        row["completed_at"] = row["date_modified"] = self.moment(row["_end"])
        row["started_at"] = row["started_at"] or row["completed_at"]
        if failure is None:
            row |= {"status": "FINISHED", "progress": 100, "progress_processed": row["progress_total"] or 1}
            done(row)
        else:
            row |= {"status": "FAILED", "error_message": failure}
            failed(row)
        step = {"status": "FAILED", "error_message": failure} if failure else {"status": "DONE"}
        row["steps"] = [one | step for one in row["steps"]]
        self.store.put("jobs", row["id"], row)
        self.moving.pop(row["id"], None)
        document = {name: value for name, value in row.items() if not name.startswith("_")}
        subject = row.get("object_id") or row["id"]
        kind = row.get("object_type") or "jobs"
        events.append(Event(kind, subject, "jobs", "update", document, row["created_by"], self.store.new_id()))

    def _failure(self, row: Row) -> str | None:
        if row["type"] not in ("TRANSCODE", "KEYFRAMES", "MEDIAINFO"):
            return None
        for rule in self.faults.active("transcode_fails"):
            if rule.spec.get("object_id") in (None, row.get("object_id")) and rule.spend():
                return str(rule.spec.get("message", "Transcode failed"))
        return None

    def moment(self, seconds: float) -> str:
        return stamp(self.clock.now() + timedelta(seconds=seconds - self.clock.timestamp()))

    def control(self, row: Row, action: str) -> Row:
        """ABORT, PAUSE, RESUME or RESTART one job."""
        now = self.clock.timestamp()
        if action == "ABORT" and row["status"] not in ("FINISHED", "FAILED", "ABORTED"):
            row |= {"status": "ABORTED", "completed_at": self.store.now()}
        elif action == "PAUSE" and row["status"] in MOVING:
            row |= {"status": "PAUSED", "_left": max(row.get("_end", now) - now, 0)}
        elif action == "RESUME" and row["status"] == "PAUSED":
            row |= {"status": "STARTED", "_end": now + row.get("_left", 0)}
        elif action == "RESTART":
            row |= {"status": "READY", "progress": 0, "error_message": None, "completed_at": None, "started_at": None}
            row |= {"_begin": now, "_end": now + float(self.settings["job_duration_s"])} if "_work" in row else {}
        row["date_modified"] = self.store.now()
        self.store.put("jobs", row["id"], row)
        if _moves(row):
            self.moving[row["id"]] = row["_end"]
        return row


def _moves(row: Row) -> bool:
    return "_work" in row and row["status"] in MOVING


def new_job(now: str, *, key: str, user_id: str) -> Row:
    """All fields of a job, unset."""
    names = "custom_type error_message message object_id object_type parent_id completed_at started_at progress_total"
    row: Row = dict.fromkeys(names.split())
    row |= {"id": key, "created_by": user_id, "date_created": now, "date_modified": now, "progress": 0}
    row |= {"progress_processed": 0, "priority": 5, "has_children": False, "steps": [], "metadata": {}}
    return row | {"related_objects": [], "job_context": {}}
