"""Proofs in SQL never say more than Great Expectations would: the same gate with and without them finds the same."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from commerce_sync import gate_checks, gate_proofs
from commerce_sync.errors import ConfigurationError
from commerce_sync.gate_rows import Failures, Rows, open_rows
from test_gates import Gate, check

TEXTS = (
    None, "", " ", "a", "A", "a1", "abc", "ABC", "a b", "a\n", "\n", "a\r\nb", "\t", "\x0b", "\x1c", "\x7f", "a\x00b", "a\u00a0b", "ä",
    "a\u0308", "ſ", "K", "\u0661", "１", "a@b.c", "a@b", "ä@b.c", "a@b.c\n", "\U0001f926\U0001f3fc\u200d\u2642\ufe0f", "\u2028", "nan",
    "None", "0", "-0", "12", "x" * 300, "NULL", "'", '"', "%", "\\", "[", "a-z", "]", "{,3}", "aaa", "aaaa", ":", "alpha",
)  # fmt: skip
PATTERNS = (
    "a", "^a$", "^[a-z]+$", r"^\s*$", r"\s", r"\S", r"^\w+$", r"\W", r"\d", r"^\D+$", r"\bb", r"a\b", ".", "^.$", "^.*$", "a$", "$", "^",
    "(?i)s", "(?i)k", "(?i)^[a-z]+$", "(?s)^.+$", "(?m)^b$", r"^[^@\s]+@[^@\s]+\.[^@\s]+$", "a{2}", "a{,3}", "^a{,3}$", "a{2,}",
    "[[:alpha:]]", "^[]a]$", "[^]a]", "a|b|", r"\x41", r"\0", r"\v", "(?=a)", "(a)\\1", "ä", "[ä]", r"\Z", "(?a)\\w", "a*+", "(?>a)",
    r"\u0041", "[a-\\]]", "x{1001}", "'", "^(a|b)?$", "[a&&b]", "a{2",
)  # fmt: skip
WHOLE = (None, 0, 1, -1, 127, 2**31 - 1, -(2**31), 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
REAL = (
    None,
    0.0,
    -0.0,
    0.1,
    0.30000000000000004,
    1.0,
    1.5,
    -1.5,
    1e300,
    5e-324,
    float("nan"),
    float("inf"),
    float("-inf"),
    2.0**53,
)
MONEY = (None, "0", "0.01", "-0.01", "1.10", "99999999999999.99", "9007199254740.99")
DAYS = (None, "1970-01-01", "1999-12-31", "2000-01-01", "9999-12-31")
MOMENTS = (None, "2000-01-01 00:00:00", "2000-01-01 00:00:00.000001", "1999-12-31 23:59:59.999999")
ENDS = ({}, {"strict_min": True}, {"strict_max": True}, {"strict_min": True, "strict_max": True})


def _texts():
    for pattern in PATTERNS:
        yield check("ExpectColumnValuesToMatchRegex", column="v", regex=pattern)
        yield check("ExpectColumnValuesToNotMatchRegex", column="v", regex=pattern)
    for ends in ({"min_value": 3}, {"max_value": 2}, {"min_value": 1, "max_value": 3}):
        yield from (check("ExpectColumnValueLengthsToBeBetween", column="v", **ends, **more) for more in ENDS)
    yield from _sets(["a", "", "'", "ä", "nan", "1"], ["a", 1])


def _sets(*sets):
    for values in sets:
        yield check("ExpectColumnValuesToBeInSet", column="v", value_set=values)
        yield check("ExpectColumnValuesToNotBeInSet", column="v", value_set=values)
    yield check("ExpectColumnValuesToNotBeNull", column="v")
    yield check("ExpectColumnValuesToNotBeNull", column="v", mostly=0.5)


def _between(*ends):
    for low, high in ends:
        pair = {name: value for name, value in (("min_value", low), ("max_value", high)) if value is not None}
        yield from (check("ExpectColumnValuesToBeBetween", column="v", **pair, **more) for more in ENDS)
        yield check("ExpectColumnValuesToBeBetween", column="v", mostly=0.4, **pair)


NUMBERS = (
    (0, None),
    (None, 1),
    (-1, 1),
    (0.1, 0.30000000000000004),
    (0, 2**53),
    (2**53 + 1, None),
    (1.1, 99999999999999.99),
)
TIMES = (
    (date(2000, 1, 1), None), (None, datetime(2000, 1, 1)), (datetime(1999, 12, 31, 23, 59, 59, 999999), date(2000, 1, 1)),
    (datetime(2000, 1, 1, tzinfo=UTC), None),
)  # fmt: skip
CASES = {
    "VARCHAR": (TEXTS, tuple(_texts())),
    "BIGINT": (WHOLE, (*_between(*NUMBERS), *_sets([0, 1, 2**53], [2**53 + 1], [0.0, 1]))),
    "INTEGER": ((None, 0, 1, -1, 5), (*_between(*NUMBERS), *_sets([0, 1], [True]))),
    "DOUBLE": (REAL, (*_between(*NUMBERS), *_sets([0.1, 1.0]))),
    "DECIMAL(18,2)": (MONEY, (*_between(*NUMBERS), *_sets([1.1]))),
    "DATE": (DAYS, (*_between(*TIMES), *_sets([date(2000, 1, 1)]))),
    "TIMESTAMP": (MOMENTS, (*_between(*TIMES), *_sets([datetime(2000, 1, 1)]))),
    "TIMESTAMPTZ": (MOMENTS, (*_between(*TIMES), *_sets([datetime(2000, 1, 1)]))),
    "STRUCT(v VARCHAR)": ((None, {"v": None}, {"v": ""}, {"v": "ab"}), tuple(
        check(one.expect, column="v.v", **{k: v for k, v in one.arguments.items() if k != "column"})
        for one in (*_sets(["a", "ab"]), check("ExpectColumnValueLengthsToBeBetween", min_value=1))
    )),
}  # fmt: skip


@pytest.fixture
def gate(tmp_path):
    made = Gate(tmp_path)
    yield made
    made.con.close()


def judged(gate, checks):
    """What Great Expectations alone says: (check, keys that fail, number without a value), told by halves at a crash."""
    failing, missing = {}, {}
    add, result = Failures.add, gate_checks.result

    def added(self, place, rows, frame, *, columns):
        failing.setdefault(place, set()).update(frame["_key"])
        add(self, place, rows, frame, columns=columns)

    def told(tally, rows, seen):
        missing[tally.place] = tally.missing
        return result(tally, rows, seen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate_proofs, "proof", lambda *_: None)
        patch.setattr(Failures, "add", added)
        patch.setattr(gate_checks, "result", told)
        try:
            gate.run(changes=checks, chunk_rows=50)
        except ConfigurationError:
            half = len(checks) // 2
            return judged(gate, checks[:half]) + judged(gate, checks[half:]) if half else []
    return [(one, failing.get(place, set()), missing[place]) for place, one in enumerate(checks)]


@pytest.mark.parametrize("kind", CASES)
def test_no_proof_accepts_a_row_that_great_expectations_refuses(gate, kind):
    values, checks = CASES[kind]
    gate.changes = gate.put([(str(i), "NEW", value) for i, value in enumerate(values)], f"v {kind}")
    proven = 0
    for one, failing, missing in judged(gate, checks):
        proof = gate_proofs.proof(one, _rows(gate))
        if proof:
            accepted, absent = (_keys(gate, sql) for sql in (proof.accepted, proof.missing))
            assert not failing & (accepted | absent), one
            assert not accepted & absent, one
            assert len(absent) == missing, one
            proven += bool(accepted)
    assert proven > len(checks) // 4


def _keys(gate, condition) -> set[str]:
    found = gate.con.execute(f"SELECT _key FROM {_rows(gate).relation} WHERE {condition}").fetchall()
    return {key for (key,) in found}


def test_a_gate_with_proofs_finds_what_one_without_them_finds(gate, monkeypatch):
    gate.changes = gate.put([(str(i), "NEW", text) for i, text in enumerate(TEXTS)], "v VARCHAR")
    checks = [check("ExpectColumnValuesToMatchRegex", column="v", regex="^[a-z@.]*$"),
              check("ExpectColumnValueLengthsToBeBetween", column="v", min_value=1, mostly=0.9),
              check("ExpectColumnValuesToBeInSet", column="_kind", value_set=["NEW"]),
              check("ExpectColumnValuesToNotBeNull", column="v")]  # fmt: skip
    found = []
    for _ in range(2):
        result = gate.run(changes=checks, chunk_rows=7)
        found.append(([(one.checked, one.failed, one.passed, one.examples) for one in result.results], gate.aside()))
        monkeypatch.setattr(gate_proofs, "proof", lambda *_: None)
    assert found[0] == found[1]
    assert [one[1] > 0 for one in found[0][0]] == [True, True, False, True]


@pytest.mark.parametrize("strange", ["infinity", "-infinity", "0044-03-15 (BC)"])
@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "TIMESTAMPTZ"])
def test_moments_beyond_the_calendar_are_left_to_great_expectations(gate, kind, strange):
    gate.changes = gate.put([("a", "NEW", strange), ("b", "NEW", "2000-01-01")], f"v {kind}")
    listed = [check("ExpectColumnValuesToNotBeNull", column="v"),
              check("ExpectColumnValuesToBeBetween", column="v", min_value=date(1999, 1, 1))]  # fmt: skip
    for one in listed:
        assert _doubtful(gate, one) == 1


def _rows(gate) -> Rows:
    return open_rows(gate.con, gate.changes, title="changes", rows=gate.changes.rows, hidden=frozenset())


def _doubtful(gate, one) -> int:
    proof = gate_proofs.proof(one, _rows(gate))
    assert proof
    with gate_proofs.undecided(_rows(gate), [proof]) as (doubtful, _, _):
        return doubtful.rows


@pytest.mark.parametrize(
    "pattern", ["a{,3}", "[[:alpha:]]", "ä", "(?=a)", r"(a)\1", r"\Z", "(?>a)", "a*+", "x{1001}", r"\Qa\E", "a\n"]
)
def test_patterns_that_mean_two_things_are_not_proven(gate, pattern):
    gate.changes = gate.put([("a", "NEW", "a")], "v VARCHAR")
    assert gate_proofs.proof(check("ExpectColumnValuesToMatchRegex", column="v", regex=pattern), _rows(gate)) is None


@pytest.mark.parametrize(
    "one",
    [
        check("ExpectColumnValuesToNotBeNull", column="v", row_condition="v > 1", condition_parser="pandas"),
        check("ExpectColumnValuesToBeOfType", column="v", type_="str"),
        check("ExpectColumnValuesToBeBetween", column="v", min_value="a"),
        check("ExpectColumnValueLengthsToBeBetween", column="v", min_value=1.5),
        check("ExpectColumnValuesToBeInSet", column="v", value_set=[]),
    ],
    ids=lambda one: one.expect,
)
def test_what_sql_cannot_tell_is_not_proven(gate, one):
    gate.changes = gate.put([("a", "NEW", "a")], "v VARCHAR")
    assert gate_proofs.proof(one, _rows(gate)) is None


def test_only_doubtful_rows_become_frames(gate, monkeypatch):
    gate.changes = gate.write(
        "SELECT 'k' || i AS _key, 'NEW' AS _kind, 1::UBIGINT AS _fingerprint, NULL::VARCHAR AS _target_id, "
        "CASE WHEN i % 100 = 0 THEN 'nobody' ELSE 'u' || i || '@x.org' END AS mail FROM range(1000) t(i)",
        "map_changes",
    )
    framed, chunks = [], Rows.chunks

    def seen(self, columns, *, size):
        for frame in chunks(self, columns, size=size):
            framed.append(len(frame))
            yield frame

    monkeypatch.setattr(Rows, "chunks", seen)
    result = gate.run(changes=[check("ExpectColumnValuesToMatchRegex", column="mail", regex="^[^@]+@[^@]+$")])
    assert (result.results[0].checked, result.results[0].failed, result.quarantined) == (1000, 10, 10)
    assert sum(framed) == 10
