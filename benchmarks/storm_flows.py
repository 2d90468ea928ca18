"""The storm's rounds: a delivery goes into the inbox, the flows run once; a judge compares the shop with the oracle.

Each function prepares and gives the work to do, for a process of its own (see ``child``).
"""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import storm_far
from benchmarks.storm_oracle import Event, Expected, expect
from benchmarks.storm_world import BATCHES, delivery_of, read

MAPPINGS = Path(__file__).resolve().parents[1] / "include" / "mappings" / "iot"
LEGS = {"condition_offers_to_groups": "offers", "repair_carts": "carts", "counts_to_stock_levels": "stock"}
"""Leg -> what it brings to the shop."""
EXAMPLES = 3
Found = dict[str, Any]


def fill(*, folder: str, ready: Found) -> Callable[[], Found]:
    """Put the world into the simulators."""
    world, (shop, tenant) = read(folder), sides(ready)

    def work() -> Found:
        storm_far.fill(world, shop, tenant)
        return {"devices": len(world.devices)}

    return work


def sides(ready: Found) -> tuple[storm_far.FarSide, storm_far.FarSide]:
    """Shop and tenant."""
    return storm_far.FarSide(ready["sap_commerce"]), storm_far.FarSide(ready["opentext_iot"])


def play(*, folder: str, home: str, ready: Found, number: int) -> Callable[[], Found]:
    """One delivery into the inbox, then every flow once, as the scheduler would run them."""
    os.environ["COMMERCE_SYNC_HOME"] = home
    storm_far.connect(ready)
    # Imported late: the providers read the environment, and the judge must not pay for them.
    from commerce_sync import flow, mapping_file, walk
    from commerce_sync.batches import Batches
    from commerce_sync.ledger import Ledger
    from commerce_sync.leg import Site
    from commerce_sync.window import Request

    Path(home).mkdir(parents=True, exist_ok=True)
    files = f"{home}/batches"
    ledger = Ledger.open(f"sqlite:///{home}/ledger.db", files=f"{files}/markers")
    site = Site(ledger, Batches(f"{files}/runs"), Batches(f"{files}/stores"), Path(home) / "pages")
    mappings = [mapping_file.load(MAPPINGS / f"{leg}.yaml") for leg in LEGS]

    def work() -> Found:
        began = time.perf_counter()
        found: Found = {"new": take(ledger, folder, number), "take_s": time.perf_counter() - began}
        now = datetime.now(UTC)
        moment_of(home, number).write_text(now.isoformat())
        for mapping in mappings:
            began = time.perf_counter()
            run = walk.leg(site, mapping, f"round-{number}", request=Request(), sources=flow.source_system,
                           targets=flow.target_system, now=now)  # fmt: skip
            found[mapping.leg] = {"s": time.perf_counter() - began, **told(run)}
        return found

    return work


def take(ledger: Any, folder: str, number: int) -> int:
    """The events of a delivery into the inbox, as a poll hands them over; gives how many were new."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    new = 0
    for batch in pq.ParquetFile(delivery_of(folder, number)).iter_batches(batch_size=20_000):
        rows = pa.Table.from_batches([batch])
        new += ledger.add_events("iot", rows.append_column("source", rows["subject"])).new
    return new


def told(run: Any) -> Found:
    """What the ledger says of a run. ``writes``: rows the shop was asked to change; ignored deletes are none."""
    ignored = run.deleted if run.leg == "counts_to_stock_levels" else 0
    counts = {
        name: getattr(run, name) for name in ("status", "sent", "delivered", "rejected", "quarantined", "deleted")
    }
    return counts | {"writes": run.sent - ignored}


def moment_of(home: str, number: int) -> Path:
    return Path(home) / f"moment-{number}.txt"


# The judge


def judge(*, folder: str, home: str, ready: Found, number: int) -> Callable[[], Found]:
    """Compare what the shop holds after a round with what the rules say of all events so far."""
    world, shop = read(folder), sides(ready)[0]
    before = _recall(home, number - 1)
    now = datetime.fromisoformat(moment_of(home, number).read_text())

    def work() -> Found:
        wanted = expect(world, arrived(folder, number), now=now, stock=before.stock)
        (Path(home) / f"expected-{number}.pickle").write_bytes(pickle.dumps(wanted))
        return {
            "results": results(before, wanted),
            "held": sizes(wanted),
            "wrong": differences(wanted, storm_far.held(shop)),
        }

    return work


def arrived(folder: str, number: int) -> Iterator[Event]:
    """Every event of the deliveries up to ``number``, once."""
    seen: set[str] = set()
    for delivery in range(number + 1):
        for event in delivered(folder, delivery):
            if event[0] not in seen:
                seen.add(event[0])
                yield event


def delivered(folder: str, number: int) -> Iterator[Event]:
    """The events of one delivery, in its order."""
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(delivery_of(folder, number)).iter_batches(batch_size=20_000):
        for name, kind, subject, at, data in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield name, kind, subject, at, json.loads(data)


def _recall(home: str, number: int) -> Expected:
    if number < 0:
        return Expected(set(), {}, {})
    found: Expected = pickle.loads((Path(home) / f"expected-{number}.pickle").read_bytes())
    return found


def sizes(state: Expected) -> dict[str, int]:
    return {name: len(getattr(state, name)) for name in LEGS.values()}


def results(before: Expected, after: Expected) -> dict[str, int]:
    """What has to happen between two states: each membership, cart and level that comes, goes or changes is one."""
    return {
        "offers": len(before.offers ^ after.offers),
        "carts": _moves(before.carts, after.carts),
        "stock": _moves(before.stock, after.stock),
    }


def _moves(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> int:
    return sum(before.get(key) != after.get(key) for key in before.keys() | after.keys())


def differences(wanted: Expected, found: Expected) -> dict[str, list[str]]:
    """What is not as it should be, a few examples each; empty when all is."""
    pairs = {
        "offers": (dict.fromkeys(wanted.offers, True), dict.fromkeys(found.offers, True)),
        "carts": (wanted.carts, found.carts),
        "stock": (wanted.stock, found.stock),
    }
    told: dict[str, list[str]] = {}
    for name, (one, other) in pairs.items():
        wrong = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
        if wrong:
            some = [f"{key}: {one.get(key)} expected, {other.get(key)} found" for key in wrong[:EXAMPLES]]
            told[name] = [f"{len(wrong)} differ", *some]
    return told


def rounds() -> range:
    return range(BATCHES)
