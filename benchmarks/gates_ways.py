"""Ways to judge the same ten checks over N rows; each gives how many rows failed each check.

The rows are the generated records, of which every 500th has one of ten defects.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import own_leg

Found = dict[str, int]
EVERY = 500
EMAIL = r"^[a-z0-9.]+@[a-z0-9.]+\.[a-z]+$"
STATES = ("approved", "check", "unapproved")
DEFECTS = {
    "name": "NULL", "city": "NULL", "description": "repeat(description, 9)", "email": "'nobody'", "price": "-1.0",
    "stock": "999999", "status": "'unknown'", "modifiedtime": "TIMESTAMP '1999-01-01'", "code": "lower(code)",
    "street": "repeat('x', 300)",
}  # fmt: skip
"""Column -> what every 5,000th row holds instead, each column another one."""
RULES = {
    "name": "name IS NOT NULL", "city": "city IS NOT NULL", "description": "strlen(description) <= 255",
    "email": f"regexp_matches(email, '{EMAIL}')", "price": "price BETWEEN 0 AND 100000",
    "stock": "stock BETWEEN 0 AND 100000", "status": f"status IN {STATES}",
    "modifiedtime": "modifiedtime BETWEEN TIMESTAMP '2025-01-01' AND TIMESTAMP '2027-01-01'",
    "code": "regexp_matches(code, '^SKU-[0-9]{10}$')", "street": "street IS NULL OR strlen(street) <= 200",
}  # fmt: skip
EXPECTATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "name": ("ExpectColumnValuesToNotBeNull", {}),
    "city": ("ExpectColumnValuesToNotBeNull", {}),
    "description": ("ExpectColumnValueLengthsToBeBetween", {"max_value": 255}),
    "email": ("ExpectColumnValuesToMatchRegex", {"regex": EMAIL}),
    "price": ("ExpectColumnValuesToBeBetween", {"min_value": 0, "max_value": 100000}),
    "stock": ("ExpectColumnValuesToBeBetween", {"min_value": 0, "max_value": 100000}),
    "status": ("ExpectColumnValuesToBeInSet", {"value_set": list(STATES)}),
    "modifiedtime": ("ExpectColumnValuesToBeBetween", {"min_value": "2025-01-01", "max_value": "2027-01-01"}),
    "code": ("ExpectColumnValuesToMatchRegex", {"regex": "^SKU-[0-9]{10}$"}),
    "street": ("ExpectColumnValueLengthsToBeBetween", {"max_value": 200}),
}


def prepare(*, path: str, home: str) -> Found:
    """The change batch: all rows new, with the defects; gives how many rows have each."""
    shutil.rmtree(home, ignore_errors=True)
    values = ", ".join(
        f"CASE WHEN n % {EVERY * 10} = {place * EVERY + 7} THEN {value} ELSE {name} END AS {name}"
        for place, (name, value) in enumerate(DEFECTS.items())
    )
    numbered = f"SELECT *, substr(code, 5)::BIGINT AS n FROM read_parquet('{path}')"
    place = own_leg.site(Path(home))
    with place.batches.write("bench", "run", "changes") as into, place.batches.connect() as con:
        into.copy(con, f"SELECT code AS _key, 'NEW' AS _kind, 0::UBIGINT AS _fingerprint, NULL::VARCHAR AS _target_id, "
                       f"{values} FROM ({numbered})")  # fmt: skip
        counts = ", ".join(f"count(*) FILTER (n % {EVERY * 10} = {at * EVERY + 7})" for at in range(len(DEFECTS)))
        return dict(zip(DEFECTS, con.execute(f"SELECT {counts} FROM ({numbered})").fetchall()[0], strict=True))


def rules(*, home: str) -> Callable[[], Found]:
    """Our gate with ten row rules: one pass of SQL, its counts judged by Great Expectations; page and quarantine."""
    from commerce_sync.mapping import Checks, RowRule

    return _gate(home, Checks(rows=tuple(RowRule(name=name, sql=sql) for name, sql in RULES.items())))


def expected(*, home: str) -> Callable[[], Found]:
    """Our gate with ten expectations: rows that SQL proves good are counted, Great Expectations judges the others."""
    from commerce_sync.mapping import Check, Checks

    listed = [
        Check(expect, {"column": name} | _exact(arguments), "quarantine")
        for name, (expect, arguments) in EXPECTATIONS.items()
    ]
    return _gate(home, Checks(changes=tuple(listed)))


def _exact(arguments: dict[str, Any]) -> dict[str, Any]:
    from datetime import date

    days = {name: value for name, value in arguments.items() if name.endswith("_value") and isinstance(value, str)}
    return arguments | {name: date.fromisoformat(value) for name, value in days.items()}


def _gate(home: str, checks: Any) -> Callable[[], Found]:
    import great_expectations  # noqa: F401  # every way pays for this import; it is in the process' figures

    from commerce_sync.gates import run_gate
    from commerce_sync.mapping import Guards

    place = own_leg.site(Path(home))
    changes, con = place.batches.read("bench", "run", "changes"), place.batches.connect(memory_limit="256MB")

    def work() -> Found:
        with place.batches.write("bench", "run", "check") as into:
            result = run_gate(
                leg="bench", run="run", checks=checks, guards=Guards(max_quarantined=None), personal=frozenset(),
                source=None, source_rows=0, changes=changes, con=con, into=into, pages=place.pages,
            )  # fmt: skip
        return {name: item.failed for name, item in zip(RULES, result.results, strict=True)}

    return work


def whole_frame(*, home: str, result_format: str) -> Callable[[], Found]:
    """Great Expectations as its documentation has it: the batch as a pandas frame, one validation of the suite."""
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}  # type: ignore[assignment]
    asset = context.data_sources.add_pandas("bench").add_dataframe_asset("rows")
    definition = asset.add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite(name="ten", expectations=[
        getattr(gxe, expect)(column=name, **{n: _stamp(n, v) for n, v in arguments.items()})
        for name, (expect, arguments) in EXPECTATIONS.items()
    ])  # fmt: skip
    paths = own_leg.site(Path(home)).batches.read("bench", "run", "changes").paths()

    def work() -> Found:
        frame = pd.read_parquet(paths)
        batch = definition.get_batch(batch_parameters={"dataframe": frame})
        outcome = batch.validate(suite, result_format={"result_format": result_format})
        if result_format == "BOOLEAN_ONLY":
            return {item.expectation_config.kwargs["column"]: int(not item.success) for item in outcome.results}
        return {item.expectation_config.kwargs["column"]: item.result["unexpected_count"] for item in outcome.results}

    return work


def _stamp(name: str, value: Any) -> Any:
    import pandas as pd

    return pd.Timestamp(value).to_pydatetime() if name.endswith("_value") and isinstance(value, str) else value


def sql(*, home: str) -> Callable[[], Found]:
    """The limit: ten counts in one pass of DuckDB, no page, no quarantine."""
    place = own_leg.site(Path(home))
    con, scan = place.batches.connect(), place.batches.read("bench", "run", "changes").scan()
    counts = ", ".join(f"count(*) FILTER (NOT coalesce({rule}, false))" for rule in RULES.values())
    return lambda: dict(zip(RULES, con.execute(f"SELECT {counts} FROM {scan}").fetchall()[0], strict=True))
