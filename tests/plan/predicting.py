"""Predicts what a far side will refuse, loads for real, and compares row by row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from commerce_sync.batches import Batches
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.foreseen import COMING
from commerce_sync.systems.jobs import MemoryJobs

Row = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """rejected, predicted: key -> code."""

    rows: int
    rejected: dict[str, str]
    predicted: dict[str, str]
    stops: tuple[str, ...]
    warnings: tuple[str, ...]
    reasons: dict[str, str]

    @property
    def missed(self) -> dict[str, str]:
        return {key: code for key, code in self.rejected.items() if key not in self.predicted}

    @property
    def false_alarms(self) -> dict[str, str]:
        return {key: code for key, code in self.predicted.items() if key not in self.rejected}

    @property
    def other_codes(self) -> dict[str, tuple[str, str]]:
        both = self.rejected.keys() & self.predicted.keys()
        return {key: (self.rejected[key], self.predicted[key]) for key in both
                if self.rejected[key] != self.predicted[key]}  # fmt: skip

    def recall(self) -> float:
        return 1 - len(self.missed) / max(len(self.rejected), 1)

    def false_share(self) -> float:
        return len(self.false_alarms) / max(self.rows - len(self.rejected), 1)

    def say(self, what: str) -> None:
        """The figures, for whoever reads the test's output."""
        same = 1 - len(self.other_codes) / max(len(self.rejected) - len(self.missed), 1)
        print(f"\n{what}: {self.rows} rows, {len(self.rejected)} rejected {dict(Counter(self.rejected.values()))}")
        print(f"  predicted {self.recall():.2%} of them, with the same code {same:.2%}; "
              f"false alarms {self.false_share():.3%} of the rows that went through")  # fmt: skip


def compare(hook: Any, target: Target, fields: tuple[Field, ...], rows: list[Row], *, types: dict[str, str],
            folder: Path, name: str = "run") -> Compared:  # fmt: skip
    """Predict the refusals of ``rows`` (columns of a change batch), then load them."""
    batches = Batches(str(folder))
    meta = dict.fromkeys(("_key", "_kind", "_target_id"), "VARCHAR")
    listed = ", ".join(f'CAST("{column}" AS {kind}) AS "{column}"' for column, kind in (meta | types).items())
    con = batches.connect()
    columns = [*meta, *(field.name for field in fields)]
    con.register("rows", pa.table({column: [row.get(column) for row in rows] for column in columns}))
    con.execute(f"CREATE TABLE given AS SELECT {listed} FROM rows")
    with batches.write("leg", name, "changes") as into:
        into.copy(con, "SELECT _key, _kind, 0::UBIGINT AS _fingerprint, * EXCLUDE (_key, _kind) FROM given")
    changes = batches.read("leg", name, "changes")
    foreseen = _foresee(hook, con, target, fields, types, changes.scan())
    predicted = {key: code for key, code, _ in foreseen[0]}
    reasons = {key: reason for key, _, reason in foreseen[0]}
    with batches.write("leg", name, "load") as into:
        hook.load(target, fields, changes, jobs=MemoryJobs(), into=into, wait_s=60)
    outcomes = con.execute(f"SELECT _key, outcome, code FROM {batches.read('leg', name, 'load').scan()}").fetchall()
    assert {outcome for _, outcome, _ in outcomes} <= {"delivered", "rejected"}
    assert len(outcomes) == len(rows)
    rejected = {key: code for key, outcome, code in outcomes if outcome == "rejected"}
    return Compared(len(rows), rejected, predicted, foreseen[1].stops, foreseen[1].warnings, reasons)


def _foresee(
    hook: Any, con: duckdb.DuckDBPyConnection, target: Target, fields: tuple[Field, ...], types: dict[str, str],
    scan: str,
) -> Any:  # fmt: skip
    keyed = target.external_id in {field.name for field in fields}
    key = f'CAST("{target.external_id}" AS VARCHAR)' if keyed else "_target_id"
    wanted = [value for (value,) in con.execute(f"SELECT DISTINCT {key} FROM {scan} WHERE {key} <> ''").fetchall()]
    own = f'CAST(c."{target.external_id}" AS VARCHAR)' if keyed else "c._target_id"
    con.register("present", hook.current(target, fields, wanted, types=types))
    con.execute(f"""CREATE TABLE planned AS SELECT c.*, p._target_key IS NOT NULL AS _there, []::VARCHAR[] AS _leave
        FROM {scan} AS c LEFT JOIN present AS p ON p._target_key = {own}""")
    con.execute(f"CREATE TABLE {COMING} (object VARCHAR, external_id VARCHAR, key VARCHAR)")
    found = hook.predict(target, fields, con, rows="planned", types=types)
    return con.execute(f"SELECT _key, code, reason FROM ({found.refusals})").fetchall(), found


def prove(found: Compared, what: str) -> None:
    """At least 99 % of what the far side refuses was predicted, and less than 0.1 % of what it takes was doubted."""
    found.say(what)
    assert found.stops == ()
    assert len(found.rejected) > 0.05 * found.rows, "a test without rejections proves nothing"
    assert found.recall() >= 0.99, dict(list(found.missed.items())[:10])
    assert found.false_share() < 0.001, [(key, code, found.reasons[key]) for key, code in
                                         list(found.false_alarms.items())[:10]]  # fmt: skip
