"""The benchmarks' pass or fail part: no false change, and records that differ exactly as they say."""

from pathlib import Path

import duckdb
import pytest

from benchmarks import detection_ours, records, traps_probes

ROWS = 3000


@pytest.mark.parametrize("trap", traps_probes.traps(), ids=lambda trap: trap.name)
def test_our_fingerprint_falls_into_no_trap(trap):
    one, other = (traps_probes.ours(table, trap) for table in (trap.one, trap.other))
    assert (one == other) is trap.same


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    monkeypatch.setattr(records, "DATA", tmp_path)
    return records.generate(rows=ROWS)


def test_the_generated_extracts_differ_exactly_as_they_say(generated):
    before, after = (f"read_parquet('{records.extract(ROWS, moment)}')" for moment in ("before", "after"))
    differs = " OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in records.COLUMNS)
    counted = duckdb.sql(f"""
        SELECT count(*) FILTER (b.code IS NULL), count(*) FILTER (a.code IS NULL),
               count(*) FILTER (a.code = b.code AND ({differs}))
        FROM {before} AS b FULL JOIN {after} AS a ON a.code = b.code""").fetchall()[0]
    assert counted == (generated["new"], generated["deleted"], generated["modified"])


@pytest.mark.parametrize("way", [detection_ours.whole, detection_ours.staged])
def test_detection_finds_what_was_built_in(generated, tmp_path, way):
    before, after = (str(records.extract(ROWS, moment)) for moment in ("before", "after"))
    detection_ours.prepare(home=str(tmp_path / "own"), before=before, after=after, rows=ROWS)
    found = way(home=str(tmp_path / "own"))()
    assert found == {kind: generated[kind] for kind in ("new", "modified", "deleted")}
