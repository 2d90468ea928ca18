"""Case: the simulators are quick enough not to be what a test waits for.

The caller reads raw bytes over one connection and decodes nothing, so that the simulator is measured and not a client.
"""

from __future__ import annotations

import http.client
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
from urllib.parse import quote, urlsplit

from benchmarks import measure
from benchmarks.results import Goal, Report, table

TIMEOUT_S = 120
ORDERS = "/odata2webservices/OrderSync/Orders"
EXPAND = "entries,entries/product,user,status"
PAGE_ROWS = 1000
INGEST_ROWS = 100_000
KEY, VERSION = "Commerce_Id__c", "v62.0"
COLUMNS = (KEY, "Name", "Phone", "Website", "BillingStreet", "BillingCity", "BillingPostalCode", "BillingCountry",
           "Industry", "Description")  # fmt: skip
READING, INGEST = "SAP Commerce: orders with entries read", "Salesforce: Bulk 2.0 rows ingested"
START = "start with demo data"


def run(*, rows: int, rounds: int) -> Report:
    """rows: orders read per round. Start, reads and ingest happen in every round, in one simulator process."""
    found: dict[str, list[float]] = {START: [], "memory": [], READING: [], "entries": [], INGEST: []}
    for _ in range(max(1, min(rounds, 3))):
        with simulators() as (ready, start_s, pid):
            found[START].append(start_s)
            orders, entries, read_s = _read(ready["sap_commerce"], most=rows)
            found[READING].append(orders / read_s)
            found["entries"].append(entries / read_s)
            found[INGEST].append(_ingest(ready["salesforce"], rows=INGEST_ROWS))
            found["memory"].append(_peak_mb(pid))
    return _report(rows, found)


def _report(rows: int, found: dict[str, list[float]]) -> Report:
    units = {START: "s", "memory": "MB", READING: "orders/s", "entries": "entities/s", INGEST: "rows/s"}
    names = {"memory": "peak memory, both systems", "entries": "SAP Commerce: entities read (orders and entries)"}
    lines = [("", "median", "min-max", "unit")]
    for name, values in found.items():
        spread = f"{min(values):,.1f}-{max(values):,.1f}"
        lines.append((names.get(name, name), f"{statistics.median(values):,.1f}", spread, units[name]))
    report = Report("simulators", "Simulators, demo data (slice)", {"orders": rows, "ingest_rows": INGEST_ROWS})
    report.table, report.figures = table(lines), dict(found)
    report.goals = [
        Goal("entities read from SAP Commerce", statistics.median(found["entries"]), 10_000, "at least", "/s"),
        Goal("rows ingested by Bulk 2.0", statistics.median(found[INGEST]), 50_000, "at least", "/s"),
    ]
    return report


@contextmanager
def simulators() -> Iterator[tuple[dict[str, Any], float, int]]:
    """A simulator process of both systems with demo data; yields its ready line, seconds to it, its pid."""
    command = [sys.executable, "-m", "simulators", "--port-base", "0", "--seed", "demo", "--control",
               "--only", "sap_commerce,salesforce"]  # fmt: skip
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


class Caller:
    """One kept-alive connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.http = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
        self.headers: dict[str, str] = {}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        """The answer's bytes. Raises RuntimeError for anything but success."""
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        kind = {"Content-Type": "application/json"} if isinstance(body, dict) else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.http.request(method, path, body=sent, headers={**self.headers, **kind, **named})
        answer = self.http.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} was answered {answer.status}: {content[:300]!r}")
        return content


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
