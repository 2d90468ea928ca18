"""A leg of the product over the generated records: its mapping, its stores, its extract and its markers."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import records

RULES = ("strlen(name) > 0", "price >= 0", "stock >= 0", "status IN ('approved', 'check', 'unapproved')")
LEG, RUN = "bench", "measured"


def mapping(*, on_delete: str = "delete") -> Any:
    """Every column goes to a field of its own name; guards are open, since the built-in changes are known."""
    from commerce_sync.mapping import Checks, Field, Guards, Mapping, RowRule, Source, Target

    source = Source(
        name="records", system="sap_commerce", conn_id="none", service="Bench", entity_set="Records",
        columns=dict(records.TYPES), key="code", modified="modifiedtime",
    )  # fmt: skip
    target = Target(
        system="salesforce", conn_id="bench", object="Product2", external_id="code", on_delete=on_delete,
        options={"poll_first_s": 0.05, "poll_most_s": 0.5},
    )  # fmt: skip
    rules = tuple(RowRule(name=f"rule {number}", sql=sql) for number, sql in enumerate(RULES))
    return Mapping(
        leg=LEG, path="bench.yaml", version=1, sources=(source,), key="code", target=target,
        fields=tuple(Field(name=name, value=name) for name in records.COLUMNS), checks=Checks(rows=rules),
        guards=Guards(max_deletes=None, max_changes=None, max_rejected=None, max_quarantined=None),
    )  # fmt: skip


def site(home: Path) -> Any:
    """The product's stores below one folder: ledger in SQLite, batches and pages as files."""
    from commerce_sync.batches import Batches
    from commerce_sync.history import History
    from commerce_sync.ledger import Ledger
    from commerce_sync.leg import Site

    home.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.open(f"sqlite:///{home / 'ledger.db'}", files=str(home / "markers"))
    runs, kept = Batches(str(home / "runs")), timedelta(days=30)
    history = History(str(home / "history"), runs=runs, keep_success=kept, keep_error=kept)
    return Site(ledger, runs, Batches(str(home / "stores")), home / "pages", history=history)


def prepare(*, home: str, before: str | None, after: str, rows: int, on_delete: str = "delete") -> dict[str, int]:
    """A fresh ledger in which ``before`` is delivered, and an open run ``RUN`` whose extract step read ``after``.

    Every other step is done by the process that is measured; each may be repeated on the same run.
    """
    shutil.rmtree(home, ignore_errors=True)
    place = site(Path(home))
    if before:
        acknowledge(place, path=before, rows=rows)
    work = _opened(place, on_delete=on_delete)
    with work.write("extract-records") as into, place.batches.connect(memory_limit="1GB") as con:
        read = into.copy(con, f"SELECT * FROM read_parquet('{after}')")
        into.facts = {"high_water": "2026-09-01T00:00:00+00:00", "rows": read, "state_version": work.state.version}
    work.note(read=read)
    return {"rows": read}


def _opened(place: Any, *, on_delete: str) -> Any:
    from commerce_sync import leg as legs
    from commerce_sync.window import Request

    return legs.begin(place, mapping(on_delete=on_delete), RUN, request=Request(mode="complete"))


def resume(home: str, *, on_delete: str = "delete") -> Any:
    """The open run, as a step of its own process finds it."""
    from commerce_sync import leg as legs

    return legs.resume(site(Path(home)), mapping(on_delete=on_delete), RUN)


def acknowledge(place: Any, *, path: str, rows: int) -> None:
    """Markers as if every record of ``path`` had been delivered."""
    run = place.ledger.begin(LEG, "before", kind="changes")
    with place.batches.connect(memory_limit="1GB") as con:
        delta = place.ledger.stage_delta(
            LEG, con, f"SELECT _key AS key, _fingerprint AS fingerprint, '01t' || lpad(_key, 15, '0') AS target_id, "
            f"false AS gone FROM ({keyed(path)})",
        )  # fmt: skip
    counts = dict.fromkeys(("read", "extracted", "new", "sent", "delivered", "created"), rows)
    place.ledger.settle(run, state_version=0, status="green", delta=delta, **counts)
    place.ledger.compact(LEG)


def keyed(path: str) -> str:
    """The product's SQL of key and fingerprint over a Parquet file of records."""
    from commerce_sync import changes
    from commerce_sync.binding import field_types

    leg = mapping()
    return changes.keyed(
        changes.Comparison(
            mapping=leg, types=field_types(leg), records=f"SELECT * FROM read_parquet('{path}')", markers="",
            rejects="", complete=True,
        )
    )  # fmt: skip
