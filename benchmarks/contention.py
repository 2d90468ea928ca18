"""Case: children of Zipf-distributed parents go into an org that locks a parent while one of its children is written.

The same rows are loaded in turns into an org whose locks never fail a row, into one whose locks do, and, the naive
way, in random order by two jobs at once. Internal batches of a job are at work beside each other, as Salesforce has
them, and a locked row fails at once, where Salesforce waits some seconds first. A transaction takes as long with locks
as without.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import simulated
from benchmarks.caller import Caller
from benchmarks.measure import say
from benchmarks.results import Goal, Report, table

KEY, OBJECT = "Commerce_Id__c", "Contact"
PARENTS, AT_ONCE = 20_000, 5_000
BATCHES_AT_ONCE, HOLD_MS = 4, 20
SHARE = 0.85
NAIVE_JOBS = 2
COLUMNS = (KEY, "LastName", "FirstName", "Email", "AccountId")
FREE, LOCKED, NAIVE = "ours, locks off", "ours, locks on", "random order, two jobs at once, locks on"


def run(*, rows: int, rounds: int) -> Report:
    """rows: children.   rounds: each loads all of them three times."""
    with simulated.simulators("--only", "salesforce") as (ready, _, _), tempfile.TemporaryDirectory() as home:
        crowd = Crowd(ready["salesforce"], Path(home), rows=rows, parents=PARENTS)
        samples: dict[str, list[dict[str, Any]]] = {FREE: [], LOCKED: [], NAIVE: []}
        for number in range(rounds):
            for name, found in samples.items():
                found.append(crowd.turn(name))
                say(f"round {number + 1} of {rounds}: {name}: {found[-1]}")
    ratios = [one["rows_per_s"] / other["rows_per_s"]
              for one, other in zip(samples[LOCKED], samples[FREE], strict=True)]  # fmt: skip
    title = f"Loading {rows:,} children of {PARENTS:,} parents by Zipf"
    report = Report("contention", title, {"rows": rows, "rounds": rounds})
    lines = [("", "seconds", "rows a second", "lock failures met", "left", "bulk jobs")]
    report.table = table(lines + [_line(name, found) for name, found in samples.items()])
    report.figures = {"samples": samples, "ratios": ratios, "hottest_parent": crowd.hottest}
    left = max(one["left"] for one in samples[LOCKED])
    report.goals = [
        Goal("lock failures left", left, 0, "at most", ""),
        Goal("throughput of the uncontended load", statistics.median(ratios), SHARE, "at least"),
    ]
    return report


def _line(name: str, found: list[dict[str, Any]]) -> tuple[str, ...]:
    names = ("seconds", "rows_per_s", "met", "left", "jobs")
    return (name, *(f"{statistics.median(one[item] for one in found):,.0f}" for item in names))


class Crowd:
    """Parents in an org, and a change batch with their children: few parents have most of them."""

    def __init__(self, far: dict[str, Any], home: Path, *, rows: int, parents: int) -> None:
        from commerce_sync.batches import Batches

        self.rows, self.parents, self.home = rows, parents, home
        self.caller, self.batches = Caller(far["url"]), Batches(str(home / "runs"))
        os.environ["AIRFLOW_CONN_CROWD"] = json.dumps({
            "conn_type": "commerce_sync_salesforce", "host": far["url"], "login": far["client_id"],
            "password": far["client_secret"]})  # fmt: skip
        self._turns = 0
        self._children()

    def _children(self) -> None:
        """A parent's share falls with its rank: log-uniform ranks, which is Zipf with exponent 1."""
        with self.batches.write("crowd", "run", "changes") as into, self.batches.connect() as con:
            con.execute(f"""CREATE TABLE children AS SELECT 'c-' || lpad(n::VARCHAR, 8, '0') AS "{KEY}",
                'Name ' || n AS "LastName", 'Grace' AS "FirstName", 'g' || n || '@example.org' AS "Email",
                'a-' || CAST(floor(pow({self.parents}, n * 0.6180339887498949 % 1)) AS INTEGER) AS "AccountId"
                FROM range({self.rows}) AS t(n)""")
            into.copy(con, f"""SELECT "{KEY}" AS _key, 'NEW' AS _kind, 0::UBIGINT AS _fingerprint,
                NULL::VARCHAR AS _target_id, * FROM children""")  # fmt: skip
            self.hottest = con.execute(
                'SELECT count(*) FROM children GROUP BY "AccountId" ORDER BY 1 DESC LIMIT 1'
            ).fetchall()[0][0]
            for number in range(NAIVE_JOBS):
                con.execute(f"""COPY (SELECT "{KEY}", "LastName", "FirstName", "Email",
                        "AccountId" AS "Account.{KEY}" FROM children WHERE hash("{KEY}") % {NAIVE_JOBS} = {number}
                        ORDER BY hash("{KEY}" || 'shuffled'))
                    TO '{self._file(number)}' (FORMAT csv, HEADER true, DELIMITER ',')""")  # fmt: skip

    def _file(self, number: int) -> Path:
        return self.home / f"naive-{number}.csv"

    def turn(self, name: str, **settings: Any) -> dict[str, Any]:
        """One load into an org that was emptied; seconds, rows_per_s, lock failures met and left, jobs."""
        self.control("POST", "reset", {"seed": "empty"})
        accounts = [{"Name": f"A {number}", KEY: f"a-{number}"} for number in range(1, self.parents + 1)]
        for start in range(0, len(accounts), AT_ONCE):
            self.control("POST", "records/Account", accounts[start : start + AT_ONCE])
        self.control("POST", "options", {"parallel_batches": BATCHES_AT_ONCE, "lock_hold_ms": HOLD_MS,
                                         "row_locks": name != FREE, **settings})  # fmt: skip
        began = time.monotonic()
        delivered = (self._naive if name == NAIVE else self._ours)()
        seconds = time.monotonic() - began
        jobs = self._jobs()
        return {"seconds": round(seconds, 2), "rows_per_s": delivered / seconds, "left": self.rows - delivered,
                "met": sum(int(job["numberRecordsFailed"]) for job in jobs), "jobs": len(jobs)}  # fmt: skip

    def _ours(self) -> int:
        """The loader, as a leg's load step calls it."""
        from commerce_sync.mapping import Field, Lookup, Target
        from commerce_sync.systems.jobs import MemoryJobs

        target = Target("salesforce", "crowd", OBJECT, KEY, options=self.options())
        fields = tuple(Field(name, name, lookup=Lookup("Account", KEY) if name == "AccountId" else None)
                       for name in COLUMNS)  # fmt: skip
        self._turns += 1
        changes = self.batches.read("crowd", "run", "changes")
        with self.batches.write("crowd", f"turn-{self._turns}", "load") as into:
            done = self._hook().load(target, fields, changes, jobs=MemoryJobs(), into=into, wait_s=3600)
        return int(done.delivered)

    def options(self) -> dict[str, Any]:
        """Of the target; those of every leg."""
        return {}

    def _naive(self) -> int:
        """Two jobs as they come; gives the rows that got through."""
        from commerce_sync.systems.salesforce.bulk import Ingest, wait_for

        async def one(ingest: Any, path: Path) -> int:
            job = await ingest.create(OBJECT, "upsert", external_id=KEY)
            await ingest.upload(job, path)
            await ingest.close(job)
            info = await wait_for(ingest, job, seconds=3600, pause_s=0.5, most_s=10)
            return int(info["numberRecordsProcessed"]) - int(info["numberRecordsFailed"])

        async def both() -> int:
            async with self._hook().client() as client:
                ingest = Ingest(client)
                return sum(await asyncio.gather(*(one(ingest, self._file(n)) for n in range(NAIVE_JOBS))))

        return asyncio.run(both())

    def _jobs(self) -> list[dict[str, Any]]:
        hook = self._hook()
        listed = hook.call("GET", "jobs/ingest")["records"]
        return [hook.call("GET", f"jobs/ingest/{job['id']}") for job in listed]

    @staticmethod
    def _hook() -> Any:
        from commerce_sync.systems.salesforce.hook import SalesforceHook

        return SalesforceHook("crowd")

    def control(self, method: str, path: str, body: Any = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        return json.loads(self.caller.call(method, f"/_sim/{path}", sent, Content_Type="application/json"))
