"""Jobs and requests keep the rows of one parent together, whatever the rows are."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_sync.batches import Batches
from commerce_sync.mapping import Field, Lookup, Target
from commerce_sync.systems.salesforce.collections import lanes
from commerce_sync.systems.salesforce.pieces import cut
from commerce_sync.systems.salesforce.stage import Stage

PARENTS = st.lists(st.one_of(st.none(), st.integers(0, 9).map(str)), max_size=120)


@given(parents=PARENTS, size=st.integers(1, 30))
def test_a_parent_is_in_one_lane_and_every_row_in_one_request(parents: list[str | None], size: int) -> None:
    rows = sorted(enumerate(parents), key=lambda row: (row[1] is not None, row[1] or ""))
    result = lanes(rows, size=size)
    sent = [ordinal for lane in result for request in lane for ordinal in request]
    assert sorted(sent) == list(range(len(parents)))
    assert all(0 < len(request) <= size for lane in result for request in lane)
    where: dict[str, set[int]] = {}
    for number, lane in enumerate(result):
        for ordinal in itertools.chain(*lane):
            if parents[ordinal] is not None:
                where.setdefault(str(parents[ordinal]), set()).add(number)
    assert all(len(numbers) == 1 for numbers in where.values())


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.one_of(st.none(), st.integers(0, 4).map(str)), st.text(max_size=40)), min_size=1, max_size=60
    ),
    max_rows=st.integers(1, 20),
    max_bytes=st.integers(150, 2000),
)
def test_jobs_fit_and_running_jobs_share_no_parent(rows: list[Any], max_rows: int, max_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage = staged(Path(folder), rows)
        try:
            pieces = cut(stage, "upsert", where="true", max_rows=max_rows, max_bytes=max_bytes)
            check(stage, pieces, len(rows), max_rows, max_bytes, Path(folder))
        finally:
            stage.close()


def test_a_parent_with_more_rows_than_an_internal_batch_gets_a_chain_of_jobs_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commerce_sync.systems.salesforce.pieces.INTERNAL_ROWS", 300)
    rows = [("hot" if n % 2 else f"p{n % 50}", "x") for n in range(1600)]
    stage = staged(tmp_path, rows)
    try:
        pieces = cut(stage, "upsert", where="true", max_rows=5000, max_bytes=1_000_000)
        check(stage, pieces, 1600, 5000, 1_000_000, tmp_path)
    finally:
        stage.close()
    hot = [piece for piece in pieces if piece.alone]
    assert [(piece.rows, piece.chained, piece.waits) for piece in hot] == [
        (300, False, False), (300, True, False), (200, True, False),
    ]  # fmt: skip
    assert sum(piece.rows for piece in pieces if not piece.alone) == 800


def check(stage: Stage, pieces: list[Any], rows: int, max_rows: int, max_bytes: int, folder: Path) -> None:
    assert sum(piece.rows for piece in pieces) == rows
    assert pieces[0].first == 0
    together: set[str] = set()
    just_before: set[str] = set()
    for before, piece in itertools.zip_longest([None, *pieces[:-1]], pieces):
        assert before is None or piece.first == before.end
        path = folder / "piece.csv"
        bounds = {"first": piece.first, "end": piece.end, "shape": piece.shape, "where": "true"}
        assert stage.write_csv(path, "upsert", **bounds) == piece.rows <= max_rows
        body = path.read_bytes().split(b"\n", 1)[1]
        assert len(body) <= piece.size_bytes
        assert piece.size_bytes <= max_bytes or piece.rows == 1
        found = stage.con.execute(
            "SELECT DISTINCT parent FROM staged WHERE n >= ? AND n < ? AND parent IS NOT NULL", [piece.first, piece.end]
        ).fetchall()
        parents = {row[0] for row in found}
        if piece.waits:
            together = set()
        assert not parents & (together - just_before if piece.chained else together)
        together |= parents
        just_before = parents


def staged(folder: Path, rows: list[Any]) -> Stage:
    batches = Batches(str(folder))
    table = pa.table({
        "_key": [str(n) for n in range(len(rows))],
        "_kind": ["NEW"] * len(rows),
        "_target_id": pa.array([None] * len(rows), pa.string()),
        "K__c": [f"k{n}" for n in range(len(rows))],
        "Text": [text for _, text in rows],
        "AccountId": pa.array([parent for parent, _ in rows], pa.string()),
    })  # fmt: skip
    with batches.write("l", "r", "c") as writer, duckdb.connect() as con:
        con.register("t", table)
        writer.copy(con, "SELECT * FROM t")
    target = Target(system="salesforce", conn_id="x", object="Contact", external_id="K__c")
    fields = (
        Field(name="K__c", value="K__c"),
        Field(name="Text", value="Text"),
        Field(name="AccountId", value="AccountId", lookup=Lookup(object="Account", external_id="K__c")),
    )
    scratch = folder / "scratch"
    scratch.mkdir()
    return Stage(scratch, target, fields, batches.read("l", "r", "c"))
