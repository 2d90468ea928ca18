"""Case: the simulators are quick enough not to be what a test waits for.

The caller reads raw bytes over one connection and decodes nothing, so that the simulator is measured and not a client.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks import measure
from benchmarks.caller import Caller
from benchmarks.results import Goal, Report, table
from benchmarks.simulated_media import found_events, searched, sent

ORDERS = "/odata2webservices/OrderSync/Orders"
EXPAND = "entries,entries/product,user,status"
PAGE_ROWS = 1000
INGEST_ROWS = 100_000
KEY, VERSION = "Commerce_Id__c", "v62.0"
COLUMNS = (KEY, "Name", "Phone", "Website", "BillingStreet", "BillingCity", "BillingPostalCode", "BillingCountry",
           "Industry", "Description")  # fmt: skip
READING, INGEST = "SAP Commerce: orders with entries read", "Salesforce: Bulk 2.0 rows ingested"
START, FULL = "start with demo data", "start with demo data, full"
SEARCH, SENT, EVENTS = "iconik: assets found", "OpenText IoT: events sent one by one", "OpenText IoT: events found"
SYSTEMS = ("sap_commerce", "salesforce", "iconik", "opentext_iot")
UNITS = {START: "s", FULL: "s", "memory": "MB", READING: "orders/s", "entries": "entities/s", INGEST: "rows/s",
         SEARCH: "assets/s", SENT: "events/s", EVENTS: "events/s"}  # fmt: skip
FULL_ASSETS = 50_000


def run(*, rows: int, rounds: int) -> Report:
    """rows: orders read per round. Everything happens in every round, in simulator processes of its own."""
    found: dict[str, list[float]] = {}
    for _ in range(max(1, min(rounds, 3))):
        for name, value in _round(rows):
            found.setdefault(name, []).append(value)
    return _report(rows, found)


def _round(rows: int) -> Iterator[tuple[str, float]]:
    for name in SYSTEMS:
        with simulators("--only", name) as (_, start_s, _):
            yield f"{START}: {name}", start_s
    with simulators() as (ready, start_s, pid):
        yield START, start_s
        orders, entries, read_s = _read(ready["sap_commerce"], most=rows)
        yield READING, orders / read_s
        yield "entries", entries / read_s
        yield INGEST, _ingest(ready["salesforce"], rows=INGEST_ROWS)
        yield SENT, sent(ready["opentext_iot"])
        yield EVENTS, found_events(ready["opentext_iot"])
        yield "memory", _peak_mb(pid)
    with simulators("--scale", "full") as (ready, start_s, _):
        yield FULL, start_s
        yield SEARCH, searched(ready["iconik"], most=FULL_ASSETS)


def _report(rows: int, found: dict[str, list[float]]) -> Report:
    names = {"memory": "peak memory, all four", "entries": "SAP Commerce: entities read (orders and entries)"}
    lines = [("", "median", "min-max", "unit")]
    for name, values in found.items():
        spread = f"{min(values):,.1f}-{max(values):,.1f}"
        unit = UNITS.get(name.partition(": ")[0], UNITS.get(name, ""))
        lines.append((names.get(name, name), f"{statistics.median(values):,.1f}", spread, unit))
    report = Report("simulators", "Simulators, demo data", {"orders": rows, "ingest_rows": INGEST_ROWS})
    report.table, report.figures = table(lines), dict(found)
    report.goals = [
        Goal("entities read from SAP Commerce", statistics.median(found["entries"]), 10_000, "at least", "/s"),
        Goal("rows ingested by Bulk 2.0", statistics.median(found[INGEST]), 50_000, "at least", "/s"),
        Goal("all four start with demo data", statistics.median(found[START]), 10, "at most", " s"),
    ]
    return report


@contextmanager
def simulators(*options: str) -> Iterator[tuple[dict[str, Any], float, int]]:
    """A simulator process with demo data; yields its ready line, seconds to it, its pid."""
    command = [sys.executable, "-m", "simulators", "--port-base", "0", "--seed", "demo", "--control", *options]
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=measure.ROOT, env=measure.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the simulators ended before they were ready")
            yield json.loads(line), time.monotonic() - began, process.pid
        finally:
            process.terminate()
            process.wait(timeout=30)


def _read(system: dict[str, Any], *, most: int) -> tuple[int, int, float]:
    """(orders, orders and entries, seconds) of following pages until there are no more or ``most`` were read."""
    caller = Caller(system["url"])
    basic = b64encode(f"{system['client_id']}:{system['client_secret']}".encode()).decode()
    form = b"grant_type=client_credentials"
    answer = caller.call("POST", "/authorizationserver/oauth/token", form, Authorization=f"Basic {basic}",
                         Content_Type="application/x-www-form-urlencoded")  # fmt: skip
    caller.headers["Authorization"] = f"Bearer {json.loads(answer)['access_token']}"
    path: str | None = f"{ORDERS}?$format=json&$top={PAGE_ROWS}&$expand={quote(EXPAND)}"
    orders = entities = number = 0
    began = time.perf_counter()
    while path and orders < most:
        body = caller.call("GET", f"{path}&$skip={number * PAGE_ROWS}")
        count = body.count(b'HybrisCommerceOData.Order"')
        entities += count + body.count(b'HybrisCommerceOData.OrderEntry"')
        orders, number = orders + count, number + 1
        if count < PAGE_ROWS:
            path = None
    return orders, entities, time.perf_counter() - began


def _ingest(system: dict[str, Any], *, rows: int) -> float:
    """Rows per second from the upload's first byte until the job is complete; every row is checked to be in."""
    caller = Caller(system["url"])
    caller.call("POST", "/_sim/options", {"job_latency_ms": 0, "job_min_polls": 1})
    form = f"grant_type=client_credentials&client_id={system['client_id']}&client_secret={system['client_secret']}"
    token = caller.call("POST", "/services/oauth2/token", form.encode(),
                        Content_Type="application/x-www-form-urlencoded")  # fmt: skip
    caller.headers["Authorization"] = f"Bearer {json.loads(token)['access_token']}"
    jobs = f"/services/data/{VERSION}/jobs/ingest"
    job = {"object": "Account", "operation": "upsert", "externalIdFieldName": KEY, "contentType": "CSV"}
    path = f"{jobs}/{json.loads(caller.call('POST', jobs, job))['id']}"
    text = _csv(rows)
    began = time.perf_counter()
    caller.call("PUT", f"{path}/batches", text, Content_Type="text/csv")
    caller.call("PATCH", path, {"state": "UploadComplete"})
    while (info := json.loads(caller.call("GET", path)))["state"] in ("UploadComplete", "InProgress"):
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    if info["state"] != "JobComplete" or info["numberRecordsProcessed"] != rows or info["numberRecordsFailed"]:
        raise RuntimeError(f"the job of {rows} rows ended as {info}")
    return rows / seconds


def _csv(rows: int) -> bytes:
    cells = "{0},Garden {0},+49 30 {0},https://example.com/{0},Linden 7,Berlin,10115,Germany,Retail,light and simple"
    lines = (cells.format(f"b-{number:07d}") for number in range(rows))
    return ("\n".join([",".join(COLUMNS), *lines]) + "\n").encode()


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0
