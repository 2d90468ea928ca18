"""The gate of a leg: Great Expectations judges the source batch and the changes before anything is sent.

Failing rows are quarantined, or stop the leg, as each check says; a failure that names no rows (a mean, a row count, a
source without ``_key``) always stops. DELETED changes have no values and are not checked. Rows that plain expectations
surely accept are counted in SQL and never become frames (``gate_proofs``). The only importer of
great_expectations, and only inside functions: the import costs 3 to 14 seconds.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commerce_sync import gate_checks, gate_page, gate_proofs
from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, GateError
from commerce_sync.gate_page import CheckResult, GateResult
from commerce_sync.gate_rows import Failures, Rows, open_rows, with_nan
from commerce_sync.mapping import Checks, Guards, RowRule

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

CHUNK_ROWS = 100_000
NOISY = ("great_expectations", "great_expectations.data_context.types.base")


_Found = dict[int, tuple[int, tuple[str, ...]]]
"""Place of a check -> how many rows failed it, and examples of what was found."""


def run_gate(
    *,
    leg: str,
    run: str,
    checks: Checks,
    guards: Guards,
    personal: frozenset[str],
    source: Batch | None,
    source_rows: int,
    changes: Batch,
    con: duckdb.DuckDBPyConnection,
    into: BatchWriter,
    pages: Path | str,
    personal_source: frozenset[str] | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> GateResult:
    """Judge a run's batches, write the page, set failing changes aside.

    into: gets ``_key, expectation, reason`` (VARCHAR), one row per quarantined key.   personal: target fields to mask.
    personal_source: source columns to mask; None masks all of them when any target field is personal.   Raises
    GateError when the leg stops (the page is there), ConfigurationError or RetryableError when a check crashed.
    """
    begin = time.perf_counter()
    hidden, hides_all = personal_source or frozenset(), bool(personal) and personal_source is None
    left = open_rows(con, source, title="source", rows=source_rows, hidden=hidden, hides_all=hides_all)
    failures = Failures(con)
    try:
        sides = (left, _changes(con, changes, personal))
        results, quarantine, count = _verdicts(checks, guards, sides, changes, failures, chunk_rows)
        limit, page = guards.max_quarantined, gate_page.address(pages, leg=leg, run=run)
        allowed = limit.allowed(changes.rows) if limit else None
        why, seconds = gate_checks.why(results), time.perf_counter() - begin
        result = GateResult(leg, run, changes.rows, count, allowed, tuple(results), why, page, seconds)
        gate_page.write(result)
        if why:
            raise GateError(f"leg {leg}, run {run}: {why} Nothing was sent; see {page}")
        into.copy(con, quarantine)
        return result
    finally:
        failures.drop()


def check_names(checks: Checks) -> list[str]:
    """What is wrong with the names and arguments of the expectations, one sentence each; needs no data."""
    listed = [(f"checks.{part}[{i}]", c) for part in ("source", "changes") for i, c in enumerate(getattr(checks, part))]
    if not listed:
        return []
    with _quiet():
        classes = _classes()
        return [f"{place}: {fault}" for place, check in listed for fault in gate_checks.faults(classes, check)]


def _changes(con: duckdb.DuckDBPyConnection, changes: Batch, personal: frozenset[str]) -> Rows:
    alive = "_kind <> 'DELETED'"
    count = 0
    if changes.parts:
        count = int(con.execute(f"SELECT count(*) FROM {changes.scan()} WHERE {alive}").fetchall()[0][0])
    return open_rows(con, changes, title="changes", rows=count, hidden=personal, where=alive)


def _verdicts(
    checks: Checks, guards: Guards, sides: tuple[Rows, Rows], changes: Batch, failures: Failures, size: int
) -> tuple[list[CheckResult], str, int]:
    """Results of all checks, the SQL of the rows to set aside, and their number."""
    listed = [(sides[0], check) for check in checks.source] + [(sides[1], check) for check in checks.changes]
    if not listed and not checks.rows:
        return [], failures.quarantine(changes, labels={}), 0
    with _quiet():
        judge = _Judge(failures, size)
        classes = _classes()
        tallies = [gate_checks.tally(classes, place=place, check=check) for place, (_, check) in enumerate(listed)]
        for side in sides:
            judge.look(side, [tally for tally, (own, _) in zip(tallies, listed, strict=True) if own is side])
        rules = dict(enumerate(checks.rows, start=len(listed)))
        if rules and sides[1].rows:
            failures.add_rules(sides[1], rules)
        found = failures.tally()
        results = [gate_checks.result(t, own, found.get(t.place)) for t, (own, _) in zip(tallies, listed, strict=True)]
        results += judge.rules(sides[1], rules, found)
        aside = {place: r for place, r in enumerate(results) if r.outcome == "quarantined"}
        quarantine = failures.quarantine(
            changes, labels={place: (r.name, gate_checks.label(r)) for place, r in aside.items()}
        )
        count = int(failures.con.execute(f"SELECT count(*) FROM ({quarantine})").fetchall()[0][0])
        return results + judge.limit(guards, count, changes.rows), quarantine, count


class _Judge:
    """Great Expectations over frames, in memory, without progress bars, statistics or files."""

    def __init__(self, failures: Failures, size: int) -> None:
        import great_expectations as gx

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}  # type: ignore[assignment]
        asset = context.data_sources.add_pandas("gate").add_dataframe_asset("rows")
        self._definition = asset.add_batch_definition_whole_dataframe("all")
        self._failures, self._size = failures, size

    def look(self, rows: Rows, tallies: list[gate_checks.Tally]) -> None:
        """Run the expectations on one side of the gate."""
        by_kind = {
            kind: [t for t in tallies if t.kind == kind] for kind in ("count", "table", "rows", "unique", "whole")
        }
        if by_kind["count"]:
            self._count(rows, by_kind["count"])
        if not rows.types and len(tallies) > len(by_kind["count"]) and rows.rows:
            raise ConfigurationError(f"the {rows.title} has {rows.rows} rows but no batch was given to the gate")
        if by_kind["table"] and rows.types:
            self._ask(rows, rows.schema(), by_kind["table"])
        if rows.rows and rows.types:
            self._chunked(rows, self._prove(rows, by_kind["rows"]))
            for tally in by_kind["unique"]:
                beside = rows.mentioned(str(tally.check.arguments.get("row_condition", "")))
                for frame in rows.groups(tally.columns, beside=beside, size=self._size):
                    self._ask(rows, frame, [tally])
            for tally in by_kind["whole"]:
                frame = rows.frame(_needed(rows, [tally]), ordered=tally.check.expect in gate_checks.ORDERED)
                self._ask(rows, frame, [tally])

    def _count(self, rows: Rows, tallies: list[gate_checks.Tally]) -> None:
        import pandas as pd

        self._ask(rows, pd.DataFrame(index=pd.RangeIndex(rows.rows)), tallies)

    def _prove(self, rows: Rows, tallies: list[gate_checks.Tally]) -> list[gate_checks.Tally]:
        """Judge what SQL can tell apart, the doubtful rows by their frames; gives the expectations it cannot tell."""
        proofs = {tally.place: gate_proofs.proof(tally.check, rows) for tally in tallies}
        known = {place: proof for place, proof in proofs.items() if proof}
        if known:
            provable = [tally for tally in tallies if tally.place in known]
            with gate_proofs.undecided(rows, list(known.values())) as (doubtful, proven, missing):
                for tally, number in zip(provable, missing, strict=True):
                    tally.take(proven, missing=number)
                if doubtful.rows:
                    self._chunked(doubtful, provable)
        return [tally for tally in tallies if tally.place not in known]

    def _chunked(self, rows: Rows, tallies: list[gate_checks.Tally]) -> None:
        if not tallies:
            return
        single = [tally for tally in tallies if len(tally.columns) < 2]
        several = [tally for tally in tallies if len(tally.columns) >= 2]
        for frame in rows.chunks(_needed(rows, tallies), size=self._size):
            self._ask(rows, frame, single)
            self._ask(rows, with_nan(frame), several)

    def _ask(self, rows: Rows, frame: pd.DataFrame, tallies: list[gate_checks.Tally]) -> None:
        """One frame, several expectations: merge what comes back and remember the failing rows."""
        if not tallies:
            return
        for place, outcome in self._outcomes(frame, [tally.expectation for tally in tallies]).items():
            tally = next(tally for tally in tallies if tally.place == place)
            gate_checks.raise_crash(rows, tally, outcome)
            hidden = any(rows.hides(name) for name in tally.columns)
            failing = tally.merge(outcome, hidden=hidden)
            if failing:
                self._failures.add(place, rows, frame.iloc[failing], columns=tally.columns)

    def _outcomes(self, frame: pd.DataFrame, expectations: list[Any]) -> dict[int, Any]:
        import great_expectations as gx

        batch = self._definition.get_batch(batch_parameters={"dataframe": frame})
        suite = gx.ExpectationSuite(name="gate", expectations=expectations)
        outcome = batch.validate(suite, result_format={"result_format": "COMPLETE"})
        configured = ((item, item.expectation_config) for item in outcome.results)
        return {int(own.meta["place"]): item for item, own in configured if own is not None and own.meta}

    def at_most(self, counts: dict[int, int], *, most: int) -> dict[int, bool]:
        """Whether each count is at most ``most``: Great Expectations over a one-row table of the counts."""
        import pandas as pd

        between = _classes()["ExpectColumnValuesToBeBetween"]
        frame = pd.DataFrame({f"count_{place}": [count] for place, count in counts.items()})
        wanted = [between(column=f"count_{place}", max_value=most, meta={"place": place}) for place in counts]
        return {place: bool(outcome.success) for place, outcome in self._outcomes(frame, wanted).items()}

    def rules(self, rows: Rows, rules: dict[int, RowRule], found: _Found) -> list[CheckResult]:
        """Results of the row rules, in their order."""
        counts = {place: found.get(place, (0, ()))[0] for place in rules}
        held = self.at_most(counts, most=0) if rules else {}
        return [
            CheckResult(
                name=rule.name,
                part="rows",
                columns=rows.mentioned(rule.sql),
                detail=rule.sql,
                checked=rows.rows,
                failed=counts[place],
                passed=held[place],
                on_fail=rule.on_fail,
                examples=found.get(place, (0, ()))[1],
            )
            for place, rule in rules.items()
        ]

    def limit(self, guards: Guards, count: int, changes: int) -> list[CheckResult]:
        """The result of the quarantine limit, if there is one."""
        if guards.max_quarantined is None:
            return []
        allowed = guards.max_quarantined.allowed(changes)
        held = self.at_most({0: count}, most=allowed)[0]
        detail = f"at most {allowed} of {changes} changes"
        return [CheckResult("max_quarantined", "limit", (), detail, changes, count, held, "stop")]


def _needed(rows: Rows, tallies: Iterable[gate_checks.Tally]) -> list[str]:
    """The columns the expectations read, checked to be there."""
    names: dict[str, None] = {}
    for tally in tallies:
        for name in tally.columns:
            try:
                rows.expression(name)
            except ConfigurationError as error:
                raise ConfigurationError(f"{tally.check.expect}: {error}") from error
        names |= dict.fromkeys(tally.columns)
        names |= dict.fromkeys(rows.mentioned(str(tally.check.arguments.get("row_condition", ""))))
    return list(names)


def _classes() -> dict[str, Any]:
    """Expectations by class name, those a frame can be judged with."""
    import great_expectations.expectations as gxe

    named = {name: getattr(gxe, name) for name in dir(gxe) if name.startswith("Expect") and name != "Expectation"}
    return {name: cls for name, cls in named.items() if not any(part in name for part in gate_checks.NOT_FOR_FRAMES)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Great Expectations without statistics sent home, log lines by the hundred and deprecation notices."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _hush()
        import great_expectations  # noqa: F401

        _hush()  # one of its modules sets its own level when it is imported
        yield


def _hush() -> None:
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
