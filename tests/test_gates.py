"""The gate against real Great Expectations; one file, so that the slow import happens once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import pytest

from commerce_sync import gates
from commerce_sync.batches import Batches
from commerce_sync.errors import ConfigurationError, GateError
from commerce_sync.mapping import Check, Checks, Guards, Limit, RowRule

ROOT = Path(__file__).resolve().parents[1]
OPEN = Guards(max_quarantined=None)
PAYLOAD = "Email VARCHAR, Amount DECIMAL(18,2), Born DATE, Seen TIMESTAMPTZ, Rank BIGINT, Top BIGINT"
ROWS = [
    ("a", "NEW", "a@x.org", 10, "2001-02-03", "2024-01-01 00:00:00+00", 1, 5),
    ("b", "MODIFIED", "b@x.org", 20, "2002-02-03", "2024-02-01 00:00:00+00", 2, 5),
    ("c", "NEW", "secret-person", -3, None, "2024-03-01 00:00:00+00", 9, 5),
    ("d", "NEW", None, None, "1999-01-01", None, None, None),
    ("e", "NEW", "e@x.org", 40, "2004-02-03", "2024-05-01 00:00:00+00", 4, 5),
    ("z", "DELETED", None, None, None, None, None, None),
]


def check(expect, on_fail="quarantine", **arguments):
    return Check(expect, arguments, on_fail)


class Gate:
    """A gate over a small leg; ``run`` gives what was found, ``aside`` what is now in quarantine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.batches = Batches(str(root / "batches"))
        self.con = self.batches.connect(memory_limit="500MB")
        self.changes = self.put(ROWS)
        self.source = None
        self.source_rows = 0

    def put(self, rows, payload=PAYLOAD, step="map_changes"):
        columns = f"_key VARCHAR, _kind VARCHAR, _fingerprint UBIGINT, _target_id VARCHAR, {payload}"
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE given ({columns})")
        for key, kind, *values in rows:
            marks = ", ".join("?" * (4 + len(values)))
            self.con.execute(f"INSERT INTO given VALUES ({marks})", [key, kind, 1, None, *values])
        return self.write("SELECT * FROM given", step)

    def write(self, query, step):
        with self.batches.write("leg", "run", step) as writer:
            writer.copy(self.con, query)
        return self.batches.read("leg", "run", step)

    def run(self, *, changes=(), rows=(), source=(), guards=OPEN, personal=frozenset(), **more):
        checks = Checks(source=tuple(source), changes=tuple(changes), rows=tuple(rows))
        with self.batches.write("leg", "run", "quarantine") as into:
            return gates.run_gate(
                leg="leg", run="run", checks=checks, guards=guards, personal=frozenset(personal), source=self.source,
                source_rows=self.source_rows, changes=self.changes, con=self.con, into=into, pages=self.root / "pages", **more,
            )  # fmt: skip

    def aside(self):
        batch = self.batches.read("leg", "run", "quarantine")
        return {
            k: (e, r)
            for k, e, r in self.con.execute(f"SELECT _key, expectation, reason FROM {batch.scan()}").fetchall()
        }

    def page(self):
        return (self.root / "pages" / "leg" / "run" / "gate.html").read_text(encoding="utf-8")


@pytest.fixture
def gate(tmp_path):
    made = Gate(tmp_path)
    yield made
    made.con.close()


EMAIL = check("ExpectColumnValuesToMatchRegex", column="Email", regex="^[^@]+@[^@]+$")


# one passing and one failing case per kind: (check that holds, check that fails, keys that fail)
BY_ROW = [
    (check("ExpectColumnValuesToMatchRegex", column="Email", regex="."), EMAIL, {"c"}),
    (
        check("ExpectColumnValuesToNotBeNull", column="_key"),
        check("ExpectColumnValuesToNotBeNull", column="Email"),
        {"d"},
    ),
    (
        check("ExpectColumnValuesToBeBetween", column="Amount", min_value=-3),
        check("ExpectColumnValuesToBeBetween", column="Amount", min_value=0, max_value=30),
        {"c", "e"},
    ),
    (
        check("ExpectColumnValuesToBeInSet", column="Rank", value_set=[1, 2, 4, 9]),
        check("ExpectColumnValuesToBeInSet", column="Rank", value_set=[1, 2, 4]),
        {"c"},
    ),
    (
        check("ExpectColumnValuesToBeBetween", column="Born", min_value=date(1999, 1, 1)),
        check("ExpectColumnValuesToBeBetween", column="Born", min_value=date(2000, 1, 1)),
        {"d"},
    ),
    (
        check("ExpectColumnValuesToBeBetween", column="Seen", min_value=date(2024, 1, 1)),
        check("ExpectColumnValuesToBeBetween", column="Seen", min_value=date(2024, 1, 2)),
        {"a"},
    ),
    (
        check("ExpectColumnPairValuesAToBeGreaterThanB", column_A="Top", column_B="Top", or_equal=True),
        check(
            "ExpectColumnPairValuesAToBeGreaterThanB",
            column_A="Top",
            column_B="Rank",
            ignore_row_if="either_value_is_missing",
        ),
        {"c"},
    ),
    (
        check(
            "ExpectMulticolumnSumToEqual",
            column_list=["_fingerprint", "Top"],
            sum_total=6,
            ignore_row_if="any_value_is_missing",
        ),
        check("ExpectMulticolumnSumToEqual", column_list=["Rank", "Top"], sum_total=6),
        {"b", "c", "e"},
    ),
    (
        check("ExpectColumnValuesToBeUnique", column="_key"),
        check("ExpectColumnValuesToBeUnique", column="Top"),
        {*"abce"},
    ),
    (
        check("ExpectCompoundColumnsToBeUnique", column_list=["Top", "Rank"]),
        check("ExpectCompoundColumnsToBeUnique", column_list=["Top", "Top"]),
        {*"abce"},
    ),
]


@pytest.mark.parametrize("size", [2, 100_000])
@pytest.mark.parametrize(
    ("good", "bad", "keys"), BY_ROW, ids=[bad.expect + str(i) for i, (_, bad, _) in enumerate(BY_ROW)]
)
def test_failing_rows_are_set_aside_whole_or_in_chunks(gate, good, bad, keys, size):
    result = gate.run(changes=[good, bad], chunk_rows=size)
    assert [item.passed for item in result.results] == [True, False]
    assert set(gate.aside()) == keys
    assert result.results[1].failed == len(keys)
    assert result.quarantined == len(keys)
    assert result.results[1].checked == 5


def test_a_stop_check_stops_the_leg_and_the_page_is_there(gate):
    with pytest.raises(GateError, match=r"ExpectColumnValuesToMatchRegex on Email: 1 of 5 rows failed.*gate\.html"):
        gate.run(changes=[check(EMAIL.expect, "stop", **EMAIL.arguments)])
    assert "Stopped" in gate.page()
    assert gate.batches.find("leg", "run", "quarantine") is None


WHOLE = [
    (
        check("ExpectColumnMeanToBeBetween", column="Rank", max_value=4),
        check("ExpectColumnMeanToBeBetween", column="Rank", max_value=3),
    ),
    (
        check("ExpectColumnUniqueValueCountToBeBetween", column="Rank", max_value=4),
        check("ExpectColumnUniqueValueCountToBeBetween", column="Rank", min_value=5),
    ),
    (check("ExpectTableRowCountToEqual", value=5), check("ExpectTableRowCountToBeBetween", min_value=6)),
    (check("ExpectColumnToExist", column="Email"), check("ExpectColumnToExist", column="Fax")),
    (check("ExpectTableColumnCountToEqual", value=6), check("ExpectTableColumnsToMatchSet", column_set=["Email"])),
    (
        check("ExpectColumnSumToBeBetween", column="Amount", max_value=67),
        check("ExpectColumnSumToBeBetween", column="Amount", max_value=66),
    ),
]


@pytest.mark.parametrize(("good", "bad"), WHOLE, ids=[bad.expect for _, bad in WHOLE])
def test_a_failure_that_names_no_rows_stops_the_leg(gate, good, bad):
    assert gate.run(changes=[good], chunk_rows=2).results[0].passed
    with pytest.raises(GateError, match=bad.expect):
        gate.run(changes=[bad], chunk_rows=2)


def test_row_rules_quarantine_where_the_condition_is_false_or_null(gate):
    result = gate.run(rows=[RowRule("positive", "Amount > 0"), RowRule("known", "Rank < 10")])
    assert gate.aside() == {
        "c": ("positive", "positive: Amount=-3.00"),
        "d": ("positive; known", "positive: Amount=null; known: Rank=null"),
    }
    assert [(item.name, item.failed, item.percent) for item in result.results] == [
        ("positive", 2, 40.0),
        ("known", 1, 20.0),
    ]


def test_a_row_rule_may_stop_the_leg(gate):
    assert gate.run(rows=[RowRule("small", "coalesce(Amount, 0) < 100", "stop")]).quarantined == 0
    with pytest.raises(GateError, match="small: 2 of 5 rows failed"):
        gate.run(rows=[RowRule("small", "Amount > 0", "stop")])


def test_several_failures_of_one_row_are_one_quarantined_row(gate):
    gate.run(changes=[EMAIL], rows=[RowRule("positive", "Amount IS NULL OR Amount > 0")])
    expectation, reason = gate.aside()["c"]
    assert expectation == "ExpectColumnValuesToMatchRegex; positive"
    assert "Email=secret-person" in reason
    assert "Amount=-3.00" in reason


def test_too_many_quarantined_rows_stop_the_leg_and_name_the_worst(gate):
    rule = RowRule("positive", "Amount > 0")
    assert gate.run(rows=[rule], guards=Guards(max_quarantined=Limit(absolute=2))).quarantined == 2
    message = r"2 rows would be quarantined, at most 1 of 6 changes may be\. Most failed: positive: 2 of 5"
    with pytest.raises(GateError, match=message):
        gate.run(rows=[rule], guards=Guards(max_quarantined=Limit(absolute=1)))
    assert "max_quarantined" in gate.page()


def test_personal_values_are_never_shown(gate):
    result = gate.run(
        changes=[EMAIL],
        rows=[RowRule("mail", "email LIKE '%@%'")],
        personal={"Email"},
    )
    everything = gate.page() + repr(result) + repr(gate.aside()) + json.dumps(result.brief())
    assert "secret-person" not in everything
    assert "e@x.org" not in everything
    assert "Email=***" in gate.aside()["c"][1]
    with pytest.raises(GateError) as caught:
        gate.run(
            changes=[check("ExpectColumnMostCommonValueToBeInSet", column="Email", value_set=["q"])], personal={"Email"}
        )
    assert "x.org" not in gate.page() + str(caught.value)


def test_source_values_are_masked_when_the_leg_has_personal_fields(gate):
    gate.source, gate.source_rows = gate.changes, 6
    bad = [check("ExpectColumnValuesToBeInSet", column="Email", value_set=["x"])]
    gate.run(source=bad, personal={"PersonEmail"})
    assert "secret-person" not in gate.page()
    gate.run(source=bad, personal={"PersonEmail"}, personal_source=frozenset())
    assert "secret-person" in gate.page()


def test_a_crashing_row_rule_tells_its_name_and_no_personal_value(gate):
    with pytest.raises(ConfigurationError, match="'number'.*Conversion") as caught:
        gate.run(rows=[RowRule("fine", "true"), RowRule("number", "CAST(Email AS INTEGER) > 0")], personal={"Email"})
    assert "secret-person" not in str(caught.value)
    assert "@x.org" not in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (check("ExpectColumnValuesToMatchRegex", column="Emial", regex="x"), "did you mean Email"),
        (check("ExpectColumnValuesToMatchRegex", column="Email", regex="["), "ExpectColumnValuesToMatchRegex"),
        (check("ExpectColumnValuesToBeBetween", column="Email", min_value=3), "ExpectColumnValuesToBeBetween on Email"),
        (check("ExpectColumnMeanToBeBetween", column="Email", min_value=3), "ExpectColumnMeanToBeBetween on Email"),
        (check("ExpectColumnMeanToBeBetween", column="Nope", min_value=3), "'Nope'"),
        (check("ExpectColumnValuesToBeUnique", column="Nope"), "'Nope'"),
        (check("ExpectColumnValuesToMatchRegx", column="Email"), "ExpectColumnValuesToMatchRegex"),
        (check("ExpectColumnValuesToMatchRegex", column="Email", regexp="x"), "it has: .*regex"),
    ],
)
def test_a_check_that_cannot_be_evaluated_is_never_bad_data(gate, bad, cause):
    with pytest.raises(ConfigurationError, match=cause):
        gate.run(changes=[bad])


def test_names_and_arguments_are_checked_without_data():
    checks = Checks(
        source=(
            check("ExpectTableRowCountToBeBetween", min_value=1),
            check("ExpectColumnValuesToMatchLikePattern", column="a", like_pattern="x"),
        ),
        changes=(
            check("ExpectColumnValueToBeUnique", column="a"),
            check("ExpectColumnValuesToBeUnique", colum="a"),
            check("ExpectColumnValuesToMatchRegex", column="a"),
            check("ExpectColumnValuesToNotBeNull", column="a", mostly=7),
            check("ExpectColumnValuesToNotBeNull"),
        ),
    )
    faults = gates.check_names(checks)
    assert [fault.partition(":")[0] for fault in faults] == [
        "checks.source[1]",
        *(f"checks.changes[{i}]" for i in range(5)),
    ]
    assert "ExpectColumnValuesToBeUnique" in faults[1]
    assert "colum" in faults[2]
    assert "'regex'" in faults[3]


def test_duplicates_are_found_across_chunks_and_nulls_are_none(gate):
    query = (
        "SELECT 'k' || i AS _key, 'NEW' AS _kind, CASE WHEN i % 5 > 0 THEN i % 900 END AS code FROM range(1000) t(i)"
    )
    gate.changes = gate.write(query, "map_changes")
    for size in (64, 100_000):
        result = gate.run(changes=[check("ExpectColumnValuesToBeUnique", column="code")], chunk_rows=size)
        assert (result.results[0].checked, result.results[0].failed) == (1000, 160)
        assert len(gate.aside()) == 160


def test_mostly_is_judged_over_all_chunks(gate):
    query = (
        "SELECT 'k' || i AS _key, 'NEW' AS _kind, CASE WHEN i < 10 THEN 'bad' ELSE 'good' END AS v FROM range(100) t(i)"
    )
    gate.changes = gate.write(query, "map_changes")
    at = {"column": "v", "value_set": ["good"]}
    assert gate.run(changes=[check("ExpectColumnValuesToBeInSet", mostly=0.9, **at)], chunk_rows=10).results[0].passed
    assert gate.aside() == {}
    gate.run(changes=[check("ExpectColumnValuesToBeInSet", mostly=0.91, **at)], chunk_rows=10)
    assert len(gate.aside()) == 10


def test_a_row_condition_limits_what_is_judged(gate):
    bad = check(
        "ExpectColumnValuesToBeInSet",
        column="Rank",
        value_set=[1],
        row_condition="Amount > 15",
        condition_parser="pandas",
    )
    result = gate.run(changes=[bad], chunk_rows=2)
    assert set(gate.aside()) == {"b", "e"}
    assert result.results[0].checked == 2


def test_only_failing_source_rows_that_are_changes_are_set_aside(gate):
    gate.source = gate.write(
        "SELECT 'k' || i AS _key, {'uid': i} AS unit FROM range(3) t(i) UNION ALL SELECT 'a', {'uid': 7}", "extract"
    )
    gate.source_rows = 4
    result = gate.run(
        source=[
            check("ExpectColumnValuesToBeBetween", column="unit.uid", max_value=1),
            check("ExpectTableRowCountToEqual", value=4),
        ]
    )
    assert result.results[0].failed == 2
    assert set(gate.aside()) == {"a"}


def test_source_rows_without_a_key_stop_the_leg(gate):
    gate.source, gate.source_rows = gate.write("SELECT 1 AS n", "extract"), 1
    with pytest.raises(GateError, match="on n: 1 of 1 rows failed"):
        gate.run(source=[check("ExpectColumnValuesToBeBetween", column="n", max_value=0)])


def test_no_rows_fail_nothing_but_row_counts_still_count(gate):
    gate.changes = gate.put([("z", "DELETED", *[None] * 6)])
    assert gate.run(changes=[EMAIL, WHOLE[0][1]], rows=[RowRule("positive", "Amount > 0")]).verdict == "passed"
    with pytest.raises(GateError, match="ExpectTableRowCountToBeBetween"):
        gate.run(source=[check("ExpectTableRowCountToBeBetween", min_value=1)])


def test_all_null_chunks_are_judged_like_others(gate):
    gate.changes = gate.put([(str(i), "NEW", None, i, None, None, None, None) for i in range(4)])
    unique = check("ExpectColumnValuesToBeUnique", column="Rank")
    assert gate.run(changes=[EMAIL, unique], chunk_rows=2).quarantined == 0


def test_large_integers_keep_their_last_digit(gate):
    gate.changes = gate.put(
        [("a", "NEW", None, 1, None, None, 9007199254740993, 1), ("b", "NEW", None, 1, None, None, None, 1)]
    )
    gate.run(changes=[check("ExpectColumnValuesToBeInSet", column="Rank", value_set=[9007199254740992])])
    assert "Rank=9007199254740993" in gate.aside()["a"][1]


@pytest.mark.parametrize(
    ("several", "keys"),
    [
        (check("ExpectMulticolumnSumToEqual", column_list=["Rank", "Top"], sum_total=6), {"b", "c"}),
        (check("ExpectMulticolumnValuesToBeEqual", column_list=["Rank", "Top"]), {"a", "b", "c"}),
        (check("ExpectColumnPairValuesToBeEqual", column_A="Rank", column_B="Top"), {"a", "b", "c"}),
        (check("ExpectColumnPairValuesAToBeGreaterThanB", column_A="Top", column_B="Rank"), {"b", "c"}),
        (
            check("ExpectColumnPairValuesToBeInSet", column_A="Rank", column_B="Top", value_pairs_set=[[1, 5]]),
            {"b", "c"},
        ),
        (check("ExpectSelectColumnValuesToBeUniqueWithinRecord", column_list=["Rank", "Top"]), set()),
        (
            check("ExpectColumnValuesToNotBeNull", column="Top", row_condition="Rank < 9", condition_parser="pandas"),
            set(),
        ),
    ],
    ids=lambda item: getattr(item, "expect", ""),
)
def test_one_missing_number_of_two_is_no_crash(gate, several, keys):
    ranks = {"a": (1, 5), "b": (None, 5), "c": (9, None), "d": (None, None)}
    gate.changes = gate.put([(key, "NEW", None, None, None, None, *pair) for key, pair in ranks.items()])
    gate.run(changes=[several])
    assert set(gate.aside()) == keys


def test_batches_on_object_storage_are_judged_the_same(gate):
    gate.batches = Batches("memory://gate-batches")
    gate.con = gate.batches.connect(memory_limit="500MB")
    gate.changes = gate.put(ROWS)
    gate.run(changes=[EMAIL, check("ExpectColumnValuesToBeUnique", column="Rank")], chunk_rows=2)
    assert set(gate.aside()) == {"c"}


def test_the_brief_is_small_plain_json(gate):
    rules = [RowRule(f"rule {'x' * 300} {i}", "Amount > 0") for i in range(40)]
    brief = gate.run(rows=rules, changes=[EMAIL]).brief()
    assert len(json.dumps(brief).encode()) <= 4096
    assert (brief["verdict"], brief["quarantined"], brief["changes"], brief["failed"]) == ("quarantined", 2, 6, 41)


def test_nothing_is_left_behind(gate, tmp_path, monkeypatch):
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    gate.run(changes=[EMAIL])
    assert list(place.iterdir()) == []
    assert gate.con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'gate_%'").fetchall() == [(0,)]


def test_a_leg_without_checks_does_not_import_great_expectations(tmp_path):
    code = (
        "import sys; sys.path[:0] = ['plugins', 'tests']; from pathlib import Path; from test_gates import Gate; "
        f"print(Gate(Path({str(tmp_path)!r})).run().verdict, 'great_expectations' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        == "passed False\n"
    )


MEASURED = """
import resource, sys, time
sys.path[:0] = ['plugins', 'tests']
from pathlib import Path
from test_gates import EMAIL, Gate, RowRule, check
gate = Gate(Path(sys.argv[1]))
query = f\"\"\"SELECT 'key-' || i AS _key, 'NEW' AS _kind, CASE WHEN i % 100 > 0 THEN 'u' || i || '@x.org' ELSE 'bad' END AS Email,
i % 1000 AS Rank, (i % 5000) / 7 AS Amount, 'text of some length ' || i AS Name FROM range({sys.argv[2]}) t(i)\"\"\"
gate.changes = gate.write(query, 'map_changes')
start = time.perf_counter()
result = gate.run(changes=[EMAIL, check('ExpectColumnValuesToNotBeNull', column='Name'),
  check('ExpectColumnValuesToBeBetween', column='Rank', min_value=0), check('ExpectColumnValuesToBeUnique', column='Name')],
  rows=[RowRule('amount', 'Amount >= 0'), RowRule('rank', 'Rank < 1000')])
assert result.quarantined == int(sys.argv[2]) // 100
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, round(time.perf_counter() - start, 1))
"""


def test_memory_stays_flat_when_rows_grow(tmp_path):
    peaks = []
    for rows in (200_000, int(os.environ.get("GATE_ROWS", "1000000"))):
        command = [sys.executable, "-c", MEASURED, str(tmp_path / str(rows)), str(rows)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        measured = done.stdout.splitlines()[-1].split()
        print(f"{rows} rows: peak {measured[-2]} MB, {measured[-1]} s")
        peaks.append(int(measured[-2]))
    assert peaks[1] < 1.5 * peaks[0]
