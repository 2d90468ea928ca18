"""A load that is killed anywhere and started again ends as an undisturbed one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.systems.jobs import Job, MemoryJobs, Waiting
from systems.salesforce.rows import people

ROOT = Path(__file__).resolve().parents[3]
ROWS, JOB_ROWS = 500, 300


class Killed(Exception):
    """The process ends here."""


class DyingJobs(MemoryJobs):
    """A journal whose process dies at its n-th write, before or after the write is on disk."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.dies_at: int | None = None
        self.dies_first = False

    def _count(self) -> bool:
        self.writes += 1
        return self.writes == self.dies_at

    def plan(self, name: str, **facts: Any) -> Job:
        dies = self._count()
        if dies and self.dies_first:
            raise Killed
        job = super().plan(name, **facts)
        if dies:
            raise Killed
        return job

    def update(self, job: Job, **known: Any) -> Job:  # type: ignore[override]
        dies = self._count()
        if dies and self.dies_first:
            raise Killed
        changed = super().update(job, **known)
        if dies:
            raise Killed
        return changed


def processed(org: Any) -> int:
    """Rows the org has worked on in all of its jobs."""
    return sum(
        org.hook.call("GET", f"jobs/ingest/{job['id']}")["numberRecordsProcessed"]
        for job in org.jobs()
        if job["state"] != "Aborted"
    )


def writes_of_an_undisturbed_load(org: Any) -> int:
    jobs = DyingJobs()
    org.load(org.changes(people(ROWS)), bulk_from=1, job_rows=JOB_ROWS, jobs=jobs)
    org.far.reset()
    org.far.options(job_min_polls=1)
    return jobs.writes


@pytest.mark.parametrize("dies_first", [True, False], ids=["before the write", "after the write"])
def test_killed_at_any_write_of_the_journal_the_next_process_ends_it(org: Any, dies_first: bool) -> None:
    last = writes_of_an_undisturbed_load(org)
    assert last > 10
    for point in range(1, last + 1):
        org.far.reset()
        org.far.options(job_min_polls=1)
        jobs, changes = DyingJobs(), org.changes(people(ROWS))
        jobs.dies_at, jobs.dies_first = point, dies_first
        with pytest.raises(Killed):
            org.load(changes, bulk_from=1, job_rows=JOB_ROWS, jobs=jobs)
        jobs.dies_at = None
        loaded, outcomes = org.load(changes, bulk_from=1, job_rows=JOB_ROWS, jobs=jobs)
        assert loaded.delivered == ROWS, point
        assert len(org.contacts()) == ROWS, point
        assert {row["target_id"] for row in outcomes.values()} == {c["Id"] for c in org.contacts().values()}
        assert processed(org) == ROWS, f"sent twice into effect, killed at write {point}"


def test_killed_twice_in_a_row_is_no_worse(org: Any) -> None:
    jobs, changes = DyingJobs(), org.changes(people(ROWS))
    for point in (4, 4, 5, 3, 6):
        jobs.writes, jobs.dies_at = 0, point
        with pytest.raises(Killed):
            org.load(changes, bulk_from=1, job_rows=JOB_ROWS, jobs=jobs)
    jobs.dies_at = None
    loaded, _ = org.load(changes, bulk_from=1, job_rows=JOB_ROWS, jobs=jobs)
    assert (loaded.delivered, processed(org)) == (ROWS, ROWS)


def test_killed_between_rounds_the_refused_rows_go_again(org: Any) -> None:
    org.far.fault(action="lock", object="Contact", when={"field": "Commerce_Id__c", "regex": "7$"}, times=100)
    jobs, changes = DyingJobs(), org.changes(people(ROWS))
    org.hook._sleep = dying_nap
    with pytest.raises(Killed):
        org.load(changes, bulk_from=1, job_rows=JOB_ROWS, jobs=jobs)
    org.hook._sleep = no_nap
    loaded, _ = org.load(changes, bulk_from=1, job_rows=JOB_ROWS, jobs=jobs)
    assert (loaded.delivered, len(org.contacts())) == (ROWS, ROWS)


async def dying_nap(_seconds: float) -> None:
    raise Killed


async def no_nap(_seconds: float) -> None:
    return


def test_a_job_that_is_gone_at_salesforce_is_sent_anew(org: Any) -> None:
    org.far.fault(action="hold_jobs", times=None)
    jobs, changes = MemoryJobs(), org.changes(people(ROWS))
    waiting, _ = org.load(changes, bulk_from=1, jobs=jobs, wait_s=0)
    assert isinstance(waiting, Waiting)
    org.far.reset()
    org.far.clear_faults()
    org.far.options(job_min_polls=1)
    loaded, _ = org.load(changes, bulk_from=1, jobs=jobs)
    assert (loaded.delivered, len(org.contacts())) == (ROWS, ROWS)


def test_settings_changed_between_two_processes_do_not_move_the_cuts(org: Any) -> None:
    org.far.fault(action="hold_jobs", times=None)
    jobs, changes = MemoryJobs(), org.changes(people(ROWS))
    org.load(changes, bulk_from=1, job_rows=JOB_ROWS, jobs=jobs, wait_s=0)
    org.far.clear_faults()
    loaded, _ = org.load(changes, bulk_from=1, job_rows=100, jobs=jobs)
    assert (loaded.delivered, processed(org)) == (ROWS, ROWS)


def test_a_batch_written_anew_in_another_order_ends_the_same(org: Any) -> None:
    """A job's rows are known by their places in the batch: in another one, the jobs of before mean other rows."""
    org.far.fault(action="hold_jobs", times=None)
    jobs = MemoryJobs()
    org.load(org.changes(people(ROWS)), bulk_from=1, job_rows=JOB_ROWS, jobs=jobs, wait_s=0)
    org.far.clear_faults()
    loaded, outcomes = org.load(org.changes(people(ROWS)[::-1]), bulk_from=1, job_rows=JOB_ROWS, jobs=jobs)
    held = org.contacts()
    assert (loaded.delivered, len(held)) == (ROWS, ROWS)
    assert {key: row["LastName"] for key, row in held.items()} == {
        row["Commerce_Id__c"]: row["LastName"] for row in people(ROWS)
    }
    assert {key: row["target_id"] for key, row in outcomes.items()} == {key: row["Id"] for key, row in held.items()}
    assert set(org.job_states()) <= {"Aborted", "JobComplete"}


class FileJobs(MemoryJobs):
    """A journal in a file, so that it outlives its process."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        if path.exists():
            self._jobs = {job["name"]: Job(**job) for job in json.loads(path.read_text())}

    def _save(self) -> None:
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps([asdict(job) for job in self.all()]))
        draft.replace(self.path)

    def plan(self, name: str, **facts: Any) -> Job:
        job = super().plan(name, **facts)
        self._save()
        return job

    def update(self, job: Job, **known: Any) -> Job:  # type: ignore[override]
        changed = super().update(job, **known)
        self._save()
        return changed


CHILD = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from commerce_sync.batches import Batches
from commerce_sync.mapping import Field, Target
from systems.salesforce.test_resume import FileJobs
from commerce_sync.systems.salesforce.hook import SalesforceHook
batches = Batches({root!r})
changes = batches.open({changes!r})
target = Target(system="salesforce", conn_id="sf_test", object="Contact", external_id="Commerce_Id__c", bulk_from=1,
                options={{"job_rows": 300}})
fields = (Field(name="Commerce_Id__c", value="x"), Field(name="LastName", value="x"))
with batches.write("leg", "child", "load") as into:
    SalesforceHook("sf_test").load(target, fields, changes, jobs=FileJobs(Path({journal!r})), into=into, wait_s=60)
"""


@pytest.mark.parametrize("during", ["PUT", "PATCH", "GET"])
def test_a_process_killed_for_good_during_a_call_is_resumed_by_another(org: Any, tmp_path: Path, during: str) -> None:
    changes, journal = org.changes(people(ROWS)), tmp_path / "journal.json"
    org.far.fault(action="delay", delay_ms=60_000, match={"method": during, "path": "/jobs/ingest/"}, skip=1, times=1)
    script = CHILD.format(
        path=[path for path in sys.path if path] + [str(ROOT / "plugins"), str(ROOT / "tests")],
        root=org.batches.root, changes=changes.uri, journal=str(journal),
    )  # fmt: skip
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", script], env=dict(os.environ), cwd=ROOT) as child:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline and child.poll() is None:
            if org.far.control("GET", "faults")["rules"][0]["hits"]:
                break
            time.sleep(0.1)
        child.send_signal(signal.SIGKILL)
    org.far.clear_faults()
    loaded, _ = org.load(changes, bulk_from=1, job_rows=JOB_ROWS, jobs=FileJobs(journal))
    assert (loaded.delivered, len(org.contacts())) == (ROWS, ROWS)
    assert processed(org) == ROWS
