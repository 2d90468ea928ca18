"""The steps of a leg, each for a process of its own, over a run with as many rows as asked for."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import own_leg, records

Found = dict[str, int]
PAGE_ROWS = 1000
PAGES_A_WINDOW = 50
PART_ROWS = 100_000


def decode(*, rows: int) -> Callable[[], Found]:
    """Pages as SAP Commerce sends them, decoded, identified, collected into the parts of an extract."""
    from commerce_sync.batches import Batches
    from commerce_sync.systems.sap_commerce.collected import IDENTITY, Collected, identify
    from commerce_sync.systems.sap_commerce.decode import layout

    columns = {**records.TYPES, IDENTITY: "VARCHAR"}
    shape, pages = layout(columns), [_page(number) for number in range(10)]

    def work() -> Found:
        seen: dict[int, int] = {}
        with (
            tempfile.TemporaryDirectory(dir=records.DATA) as folder,
            Batches(folder).write("bench", "run", "extract") as into,
        ):
            collected = Collected(into, empty=shape.empty().select(records.COLUMNS), part_rows=PART_ROWS)
            for number in range(rows // PAGE_ROWS):
                if number % PAGES_A_WINDOW == 0:
                    seen = {}
                page = shape.page(pages[number % 10].replace(b"page-0", b"page-%d-" % number))
                collected.add(identify(page.table, modified="modifiedtime", columns=records.COLUMNS), seen=seen)
            return {"rows": collected.finish()}

    return work


def _page(number: int) -> bytes:
    """One answer to a collection request, 1,000 entities; ``page-0`` in the keys is replaced page by page."""
    results = []
    for row in range(PAGE_ROWS):
        key = f"page-0{number}-{row}"
        results.append(
            {
                "__metadata": {"uri": f"https://shop/odata2webservices/Bench/Records('{key}')", "type": "Bench.Record"},
                "integrationKey": key,
                "code": key,
                "name": f"steel garden {row}",
                "description": "light " * 8 + key,
                "email": f"oak.{row}@example.com",
                "street": f"linen street {row}",
                "city": "woolville",
                "price": f"{row}.25",
                "stock": str(row),
                "status": "approved",
                "modifiedtime": f"/Date({1_780_000_000_000 + row})/",
            }  # fmt: skip
        )
    return json.dumps({"d": {"results": results}}).encode()


def map_changes(*, home: str) -> Callable[[], Found]:
    """Detection with its change batch."""
    from commerce_sync import detection

    leg = own_leg.resume(home)
    return lambda: {"rows": detection.map_changes(leg).send}


def check(*, home: str) -> Callable[[], Found]:
    """The gate with four row rules over all changes."""
    from commerce_sync import delivery

    leg = own_leg.resume(home)

    def work() -> Callable[[], Found]:
        delivery.check(leg)
        return lambda: {"rows": leg.read("changes").rows - leg.read("check").rows}

    return work


def stage_csv(*, home: str) -> Callable[[], Found]:
    """Staging for Salesforce: order, encode, cut into jobs, write every job's CSV (and take it away again)."""
    from commerce_sync.systems.salesforce.loader import Pace
    from commerce_sync.systems.salesforce.pieces import cut
    from commerce_sync.systems.salesforce.stage import Stage

    leg, pace = own_leg.resume(home), Pace()

    def work() -> Found:
        rows = 0
        with tempfile.TemporaryDirectory(dir=records.DATA) as folder:
            stage = Stage(Path(folder), leg.mapping.target, leg.mapping.fields, leg.read("changes"))
            pieces = cut(stage, "upsert", where="bulk", max_rows=pace.job_rows, max_bytes=pace.job_bytes)
            for piece in pieces:
                path = Path(folder) / "job.csv"
                bounds = {"first": piece.first, "end": piece.end, "shape": piece.shape}
                rows += stage.write_csv(path, "upsert", where="bulk", **bounds)
                path.unlink()
            stage.close()
        return {"rows": rows}

    return work


class Agreeable:
    """A target that says yes to every change at once."""

    def load(self, target: Any, fields: Any, changes: Any, *, jobs: Any, into: Any, wait_s: float) -> None:
        import duckdb

        with duckdb.connect(config={"memory_limit": "256MB", "preserve_insertion_order": False}) as con:
            into.copy(
                con, f"SELECT _key, 'delivered' AS outcome, '01t' || _key AS target_id, true AS created, NULL::VARCHAR "
                "AS code, NULL::VARCHAR AS reason_class, NULL::VARCHAR AS reason, NULL::VARCHAR AS fields "
                f"FROM {changes.scan()}",
            )  # fmt: skip


def load(*, home: str) -> Callable[[], Found]:
    """Our part of the load step: what is sendable, and whether it is what was detected."""
    from commerce_sync import delivery

    leg = own_leg.resume(home)

    def work() -> Callable[[], Found]:
        delivery.load(leg, lambda *_: Agreeable(), wait_s=1)
        return lambda: {"rows": leg.read("load").rows}

    return work


def commit(*, home: str) -> Callable[[], Found]:
    """Balance by key, markers of everything delivered, the run settled, the markers compacted."""
    from commerce_sync import delivery

    leg = own_leg.resume(home)

    def work() -> Callable[[], Found]:
        run = delivery.commit(leg)
        return lambda: {"rows": run.delivered}

    return work
