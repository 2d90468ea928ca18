"""Case: hidden differences among N synced records are found and repaired with few calls.

The records stand in the Salesforce simulator as the leg would have sent them: mapped, fingerprinted, marked and settled
by the leg's own steps; only their transport is left out. Then people edit, delete, double and undelete 37 of them
behind the leg's back. A comparison and the leg's next complete scan have to bring the org back, touch nothing else, and
take at most 2 % of the calls of reading the object by the REST API, 2,000 records a page. Reading it by a Bulk query,
50,000 a page, takes few calls whatever is in them: that baseline is measured and shown beside.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import simulated
from benchmarks.caller import Caller
from benchmarks.measure import say
from benchmarks.results import Goal, Report, table

KINDS = {"edited": 12, "missing": 10, "doubled": 8, "resurrected": 7}
DIFFERENCES = sum(KINDS.values())
KEY, OBJECT, LEG = "Commerce_Id__c", "Contact", "bench"
AT_ONCE, REST_PAGE, SHARE = 10_000, 2_000, 2.0
FIRST_ID = 50_000_000
"""Far from the ids the simulator gives to new records."""
PERSON = "005000000000042AAA"
FIELDS = {
    KEY: "code", "LastName": "'Hopper ' || n", "FirstName": "'Grace'", "Email": "'g' || n || '@example.org'",
    "Phone": "'030 ' || (n * 7919 % 1000000)", "MailingCity": "CASE n % 3 WHEN 0 THEN 'Bonn' ELSE 'Berlin' END",
    "MailingCountry": "'DE'", "Description": "'likes ships'",
}  # fmt: skip
MARKS = [
    {"field": "Sync_Mark__c", "type": "Number", "precision": 10, "scale": 0},
    {"field": "Sync_Bucket__c", "type": "Text", "length": 3, "external_id": True},
    {"field": "Sync_Cell__c", "type": "Text", "length": 2},
]


def run(*, rows: int, rounds: int) -> Report:
    """rows: synced records. Calls are counted, not timed: one round says all, ``rounds`` is not used."""
    with simulated.simulators("--only", "salesforce") as (ready, _, _), tempfile.TemporaryDirectory() as home:
        bench = _Bench(ready["salesforce"], Path(home), rows)
        found = bench.play()
    report = Report("anti_entropy", f"{DIFFERENCES} hidden differences among {rows:,} records", {"rows": rows})
    rest, bulk, spent = found["rest_calls"], found["bulk_calls"], found["calls"]
    report.table = table([
        ("", "calls", "share of REST pages", "share of Bulk"),
        ("comparison", str(found["compare_calls"]), _share(found["compare_calls"], rest),
         _share(found["compare_calls"], bulk)),
        ("repair by the next complete scan", str(spent - found["compare_calls"]), "", ""),
        ("both", str(spent), _share(spent, rest), _share(spent, bulk)),
        ("whole object, REST query, 2,000 a page", str(rest), "", ""),
        ("whole object, Bulk query, 50,000 a page", str(bulk), "", ""),
        ("records read by the comparison", f"{found['records_read']:,}", _share(found["records_read"], rows), ""),
        ("seconds of the comparison", f"{found['compare_s']:.1f}", "", ""),
        ("seconds of reading by Bulk", f"{found['bulk_s']:.1f}", "", ""),
    ])  # fmt: skip
    report.figures = found
    report.goals = [
        Goal("differences found", found["found"], DIFFERENCES, "at least", ""),
        Goal("differences repaired", found["repaired"], DIFFERENCES, "at least", ""),
        Goal("other records touched", found["others"], 0, "at most", ""),
        Goal("calls of a full download by REST pages", 100 * spent / rest, SHARE, "at most", "%"),
        Goal("calls of a full download by Bulk query", 100 * spent / bulk, SHARE, "at most", "%"),
    ]
    return report


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %"


class _Bench:
    """One org with N contacts and the leg that sent them."""

    def __init__(self, far: dict[str, Any], home: Path, rows: int) -> None:
        from benchmarks.own_leg import site
        from simulators.salesforce import ids

        self.rows, self.caller, self.site = rows, Caller(far["url"]), site(home)
        self.gone = [self.code(number) for number in range(rows, rows + KINDS["resurrected"])]
        self.ids = ids.block("003", FIRST_ID, rows + len(self.gone))
        self.is_back = False
        os.environ["AIRFLOW_CONN_BENCH"] = json.dumps({
            "conn_type": "commerce_sync_salesforce", "host": far["url"], "login": far["client_id"],
            "password": far["client_secret"]})  # fmt: skip
        self.mapping = _mapping()

    @staticmethod
    def code(number: int) -> str:
        return f"C{number:08d}"

    def play(self) -> dict[str, Any]:
        """The whole story; what was counted."""
        self.control("POST", "records/FieldDefinition", [{"object": OBJECT, **field} for field in MARKS])
        self._deliver()
        self.is_back = True
        say("the leg deletes what will be resurrected")
        assert self.scan("deleting").deleted == len(self.gone)
        assert self.compare("clean").kinds == {}
        bulk_calls, bulk_s = self._bulk_download()
        self._meddle()
        return self._measured() | {"rest_calls": -(-self.rows // REST_PAGE), "bulk_calls": bulk_calls, "bulk_s": bulk_s}

    def _deliver(self) -> None:
        """All records, by the leg's own steps but the load."""
        from commerce_sync import delivery, detection, folding
        from commerce_sync import leg as legs
        from commerce_sync.leg import CHANGES, LOAD
        from commerce_sync.window import Request

        say(f"{self.rows:,} records are mapped, marked and put into the org")
        work = legs.begin(self.site, self.mapping, "first", request=Request(mode="complete"))
        legs.extract(work, self.source)
        detection.map_changes(work)
        con = work.connect()
        batch, fields = folding.marked(work, con, work.read(CHANGES))
        names = ", ".join(f'"{item.name}"' for item in fields)
        con.execute("CREATE TEMP TABLE ids AS SELECT * FROM (SELECT unnest($1) AS id, unnest($2) AS _key)",
                    [self.ids, [self.code(number) for number in range(len(self.ids))]])  # fmt: skip
        # They came the day before: of what was modified since the last repair, nothing is the load's.
        stamp = f"'{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT%H:%M:%S}.000+0000' AS \"SystemModstamp\""
        found = con.sql(f'SELECT id AS "Id", {names}, {stamp} FROM {batch.scan()} JOIN ids USING (_key)')
        for part in found.to_arrow_reader(AT_ONCE):
            self.control("POST", f"records/{OBJECT}", part.to_pylist())
        with work.write(LOAD) as into:
            into.copy(con, """SELECT _key, 'delivered' AS outcome, id AS target_id, true AS created,
                NULL::VARCHAR AS code, NULL::VARCHAR AS reason_class, NULL::VARCHAR AS reason, NULL::VARCHAR AS fields
                FROM ids""")  # fmt: skip
        assert delivery.commit(work).delivered == len(self.ids)

    def source(self, _source: Any, _on_call: Any) -> Any:
        """The shop: every record, without those that are gone by now."""
        rows = self.rows + (0 if self.is_back else len(self.gone))

        def extract(_source: Any, *, into: Any, **_window: Any) -> Any:
            with self.site.batches.connect(memory_limit="1GB") as con:
                into.copy(con, f"SELECT 'C' || lpad(n::VARCHAR, 8, '0') AS code, n FROM range({rows}) AS t(n)")
            return SimpleNamespace(rows=rows, complete=True, high_water=None)

        return SimpleNamespace(extract=extract)

    def target(self, _mapping: Any, on_call: Any) -> Any:
        from commerce_sync.systems.salesforce.hook import SalesforceHook

        return SalesforceHook("bench", on_call=on_call)

    def scan(self, name: str) -> Any:
        """The leg's complete scan."""
        from commerce_sync import walk
        from commerce_sync.window import Request

        request = Request(mode="complete")
        return walk.leg(self.site, self.mapping, name, request=request, sources=self.source, targets=self.target)

    def compare(self, name: str) -> Any:
        from commerce_sync import comparing

        return comparing.run(self.site, self.mapping, targets=self.target, run_id=name, repair=True)

    def _meddle(self) -> None:
        """37 differences, half of the edits made as the leg's own user."""
        say(f"{DIFFERENCES} records are edited, deleted, doubled, undeleted")
        step = self.rows // (DIFFERENCES + 1)
        chosen = [step * number for number in range(1, DIFFERENCES + 1)]
        self.edited, rest = chosen[: KINDS["edited"]], chosen[KINDS["edited"] :]
        self.deleted, self.doubled = rest[: KINDS["missing"]], rest[KINDS["missing"] :][: KINDS["doubled"]]
        for place, number in enumerate(self.edited):
            person = {"LastModifiedById": PERSON} if place % 2 else {}
            self.control("PATCH", f"records/{OBJECT}/{self.ids[number]}", {"Phone": "112"} | person)
        for number in self.deleted:
            self.control("DELETE", f"records/{OBJECT}/{self.ids[number]}")
        for number in self.doubled:
            row = self._records(number)[0]
            kept = {name: value for name, value in row.items() if name in (*FIELDS, *(m["field"] for m in MARKS))}
            self.control("POST", f"records/{OBJECT}", [kept])
        for number in range(self.rows, self.rows + len(self.gone)):
            self.control("PATCH", f"records/{OBJECT}/{self.ids[number]}", {"IsDeleted": False})

    def _measured(self) -> dict[str, Any]:
        self.control("DELETE", "calls")
        began = time.monotonic()
        found = self.compare("drifted")
        seconds, compare_calls = time.monotonic() - began, self._calls()
        say(f"found {found.kinds} with {compare_calls} calls in {seconds:.1f} s")
        moment = self._newest()
        before = self._calls()
        repaired = self.scan("repairing")
        calls = compare_calls + self._calls() - before
        settled = self.site.ledger.find_run(LEG, found.run)
        assert settled is not None
        return {
            "found": found.differences, "kinds": found.kinds, "calls": calls, "compare_calls": compare_calls,
            "compare_s": seconds, "records_read": settled.read, "repaired": self._repaired(),
            "others": self._touched(moment) - len(self.edited) - len(self.deleted), "status": repaired.status,
            "sent": repaired.sent, "left": self.compare("after").differences,
        }  # fmt: skip

    def _repaired(self) -> int:
        """How many of the records are as they should be, by what the org holds."""
        living = {number: [row for row in self._records(number) if not row["IsDeleted"]]
                  for number in (*self.edited, *self.deleted, *self.doubled,
                                 *range(self.rows, self.rows + len(self.gone)))}  # fmt: skip
        right = 0
        for number, rows in living.items():
            if number >= self.rows:
                right += not rows
            else:
                phone = f"030 {number * 7919 % 1000000}"
                kept = number in self.deleted or [row["Id"] for row in rows] == [self.ids[number]]
                right += kept and [row["Phone"] for row in rows] == [phone]
        return right

    def _newest(self) -> str:
        """When the org was changed last."""
        found = self._query(f"SELECT MAX(SystemModstamp) newest FROM {OBJECT}")
        return str(found[0]["newest"]).replace("+0000", "Z")

    def _touched(self, moment: str) -> int:
        """Living records that were written after a moment."""
        return int(self._query(f"SELECT COUNT(Id) n FROM {OBJECT} WHERE SystemModstamp > {moment}")[0]["n"])

    def _query(self, soql: str) -> list[dict[str, Any]]:
        return self.target(self.mapping, None).query(soql)

    def _bulk_download(self) -> tuple[int, float]:
        """Calls and seconds of reading every record by a Bulk query."""
        from commerce_sync.systems.salesforce.bulk import BulkQuery

        say("the whole object is read by a Bulk query")
        soql = f"SELECT Id, {', '.join(FIELDS)} FROM {OBJECT}"

        async def read() -> None:
            async with self.target(self.mapping, None).client() as client:
                with tempfile.TemporaryDirectory() as folder:
                    await BulkQuery(client, poll_first_s=5, poll_most_s=10).to_csv(soql, Path(folder))

        self.control("DELETE", "calls")
        began = time.monotonic()
        asyncio.run(read())
        return self._calls(), time.monotonic() - began

    def _calls(self) -> int:
        """Calls that count against the org's allowance; logging in does not."""
        routes = self.control("GET", "calls")["by_route"]
        return sum(count for route, count in routes.items() if not route.endswith("/oauth2/token"))

    def _records(self, number: int) -> list[dict[str, Any]]:
        return list(self.control("GET", f"records/{OBJECT}?{KEY}={self.code(number)}")["records"])

    def control(self, method: str, path: str, body: Any = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        return json.loads(self.caller.call(method, f"/_sim/{path}", sent, Content_Type="application/json"))


def _mapping() -> Any:
    from commerce_sync.mapping import Compare, Field, Guards, Mapping, Source, Target

    source = Source(name="people", system="sap_commerce", conn_id="none", entity_set="People", key="code",
                    columns={"code": "VARCHAR", "n": "BIGINT"})  # fmt: skip
    target = Target("salesforce", "bench", OBJECT, KEY, on_delete="delete",
                    compare=Compare(edits="all", on_double="delete"))  # fmt: skip
    fields = tuple(Field(name, value) for name, value in FIELDS.items())
    mapping = Mapping(leg=LEG, path="bench.yaml", version=1, sources=(source,), key="code", target=target,
                      fields=fields)  # fmt: skip
    return replace(mapping, guards=Guards(max_rejected=None, max_quarantined=None))
