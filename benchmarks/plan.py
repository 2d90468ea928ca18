"""Case: a plan of many changes of one leg, made against the Salesforce simulator.

Four of five records are in the org, every fifth is new there, some rows have a defect. The clock runs over what makes
the plan: mapping, detection, reading the present values, predicting the refusals, writing it down. What it says is
checked against how the rows were made.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import measure, simulated
from benchmarks.caller import Caller
from benchmarks.results import Goal, Report, table

LIMIT_S = 30
AT_ONCE = 5000
PARENTS = 5000
KEY = "Commerce_Id__c"
FIELDS = {
    KEY: "code", "LastName": "last", "FirstName": "first", "Email": "email", "Phone": "phone",
    "MailingStreet": "street", "MailingCity": "city", "MailingPostalCode": "postal", "MailingCountry": "country",
    "Description": "description", "Birthdate": "born", "AccountId": "account",
}  # fmt: skip


def run(*, rows: int, rounds: int) -> Report:
    """rows: changes of the plan."""
    with simulated.simulators("--only", "salesforce") as (ready, _, _), tempfile.TemporaryDirectory() as home:
        _fill(ready["salesforce"], rows)
        arguments = {"rows": rows, "home": home, "far": ready["salesforce"]}
        tracks = measure.race([measure.Contender("plan", "plan:make", arguments)], rounds=rounds,
                              accept=lambda _name, found: _check(found, rows))  # fmt: skip
    track = tracks["plan"]
    if track.fault:
        raise RuntimeError(track.fault)
    report = Report("plan", f"A plan of {rows:,} changes, {len(FIELDS)} fields each", {"rows": rows, "rounds": rounds})
    found, calls = track.samples[-1].found, track.samples[-1].found["calls"]
    work, peak = ([getattr(sample, name) for sample in track.samples] for name in ("work_s", "peak_mb"))
    report.table = table([
        ("", "median", "min-max"), ("seconds", f"{statistics.median(work):.1f}", f"{min(work):.1f}-{max(work):.1f}"),
        ("peak memory MB", f"{statistics.median(peak):.0f}", f"{min(peak):.0f}-{max(peak):.0f}"),
        ("calls", str(calls), ""), ("rows a second", f"{rows / statistics.median(work):,.0f}", ""),
    ])  # fmt: skip
    report.figures = {"work_s": work, "peak_mb": peak, "calls": calls, "effects": found["effects"]}
    if rows <= 50_000:
        report.goals.append(Goal(f"a plan of {rows:,} changes", statistics.median(work), LIMIT_S, "at most", " s"))
    return report


def _fill(far: dict[str, Any], rows: int) -> None:
    caller = Caller(far["url"])
    parents = [{"Name": f"Account {number}", KEY: f"A{number}"} for number in range(PARENTS)]
    there = [_record(number) for number in range(rows) if number % 5]
    for kind, records in (("Account", parents), ("Contact", there)):
        for start in range(0, len(records), AT_ONCE):
            part = json.dumps(records[start : start + AT_ONCE]).encode()
            caller.call("POST", f"/_sim/records/{kind}", part, Content_Type="application/json")


def _record(number: int) -> dict[str, Any]:
    """As the org has it: every tenth record has another city by now."""
    return {
        KEY: f"C{number:06d}", "LastName": f"Hopper {number}", "FirstName": "Grace", "Email": f"g{number}@example.org",
        "Phone": "030 1234567", "MailingStreet": "Mill Lane 1", "MailingCity": "Bonn" if number % 10 == 1 else "Berlin",
        "MailingPostalCode": "10115", "MailingCountry": "DE", "Description": "likes ships", "Birthdate": "1906-12-09",
    }  # fmt: skip


def _check(found: dict[str, Any], rows: int) -> None:
    wanted = {"create": rows // 5, "delete": 0}
    wrong = {name: found["effects"][name] for name, count in wanted.items() if found["effects"][name] != count}
    if wrong or found["refused"] != rows // 50 or found["warnings"]:
        raise ValueError(f"the plan is wrong: {found}")


def make(*, rows: int, home: str, far: dict[str, Any]) -> Callable[[], Any]:
    """Prepare a run whose extract has read the rows; the work is everything that makes its plan."""
    import os
    import uuid

    from benchmarks.own_leg import site
    from commerce_sync.systems.salesforce.hook import SalesforceHook

    os.environ["AIRFLOW_CONN_BENCH"] = _connection(far)
    place = site(Path(home) / uuid.uuid4().hex)
    work = _opened(place, rows)
    calls: list[Any] = []

    def plan() -> Callable[[], dict[str, Any]]:
        from commerce_sync import planning, portion
        from commerce_sync.detection import map_changes

        made = planning.make(
            work,
            portion.postpone(work, map_changes(work)),
            lambda _mapping, _on_call: SalesforceHook("bench", on_call=calls.append),
        )
        return lambda: {"effects": made.effects, "refused": sum(made.refusals.values()), "calls": len(calls),
                        "warnings": made.warnings}  # fmt: skip

    return plan


def _connection(far: dict[str, Any]) -> str:
    return json.dumps({"conn_type": "commerce_sync_salesforce", "host": far["url"], "login": far["client_id"],
                       "password": far["client_secret"]})  # fmt: skip


def _opened(place: Any, rows: int) -> Any:
    from commerce_sync import leg as legs
    from commerce_sync.mapping import Checks, Field, Guards, Lookup, Mapping, Source, Target
    from commerce_sync.window import Request

    source = Source(name="people", system="sap_commerce", conn_id="none", entity_set="People", key="code",
                    columns=dict.fromkeys(FIELDS.values(), "VARCHAR"))  # fmt: skip
    fields = tuple(Field(name, value, lookup=Lookup("Account", KEY) if name == "AccountId" else None)
                   for name, value in FIELDS.items())  # fmt: skip
    mapping = Mapping(leg="bench", path="bench.yaml", version=1, sources=(source,), key="code", fields=fields,
                      target=Target("salesforce", "bench", "Contact", KEY), checks=Checks(),
                      guards=Guards(max_deletes=None, max_rejected=None, max_quarantined=None))  # fmt: skip
    work = legs.begin(place, mapping, "plan", request=Request(mode="plan"))
    with work.write("extract-people") as into, place.batches.connect(memory_limit="1GB") as con:
        read = into.copy(con, f"""SELECT 'C' || lpad(i::VARCHAR, 6, '0') AS code,
            CASE WHEN i % 50 = 7 THEN repeat('x', 81) ELSE 'Hopper ' || i END AS last, 'Grace' AS first,
            'g' || i || '@example.org' AS email, '030 1234567' AS phone, 'Mill Lane 1' AS street, 'Berlin' AS city,
            '10115' AS postal, 'DE' AS country, 'likes ships' AS description, '1906-12-09' AS born,
            'A' || i % {PARENTS} AS account FROM range({rows}) AS t(i)""")  # fmt: skip
        into.facts = {"high_water": None, "rows": read, "state_version": work.state.version}
    work.note(read=read)
    return work
