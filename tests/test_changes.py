"""Fingerprints and detection: what counts as a change, and what must not."""

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_sync import changes


def prints(rows: str, types: dict[str, str], *, version: int = 1) -> list[int]:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    columns = ", ".join(f'"{name}"' for name in types)
    casts = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in types.items())
    query = f"SELECT {changes.fingerprint(types, version=version)} FROM (SELECT {casts} FROM (VALUES {rows}) AS t({columns}))"
    return [row[0] for row in con.execute(query).fetchall()]


def same(rows: str, **types: str) -> bool:
    return len(set(prints(rows, types))) == 1


GOLDEN = {
    "VARCHAR": ("'Zo\u00eb'", 1477014630477326099),
    "BIGINT": ("42", 4885615056605701979),
    "DECIMAL(18,2)": ("1.10", 6098556382804147551),
    "DOUBLE": ("0.1", 2113258693637271893),
    "BOOLEAN": ("true", 1490470995919376271),
    "DATE": ("DATE '2026-11-21'", 8690419761838695311),
    "TIMESTAMP": ("TIMESTAMP '2026-11-21 09:30:00.123456'", 2814518779933645265),
    "TIMESTAMP WITH TIME ZONE": ("TIMESTAMPTZ '2026-11-21 09:30:00+01'", 7659732625394044309),
    "STRUCT(a INTEGER, b VARCHAR)": ("{'a': 1, 'b': 'x'}", 13120698758941433252),
    "VARCHAR[]": ("['a', 'b']", 5313276860483639461),
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_fingerprints_are_the_same_on_every_machine_and_version(kind):
    literal, golden = GOLDEN[kind]
    assert prints(f"({literal})", {"a": kind}) == [golden]


def test_negative_zero_is_zero():
    assert same("(0.0::DOUBLE), ('-0.0'::DOUBLE)", a="DOUBLE")


def test_not_a_number_and_infinity_are_null():
    assert same("('NaN'::DOUBLE), (NULL), ('Infinity'::DOUBLE)", a="DOUBLE")


def test_a_decimal_keeps_its_scale_whatever_it_was_written_as():
    assert same("(1.1), (1.10), (1.100)", a="DECIMAL(18,2)")


def test_the_same_instant_in_two_time_zones_is_the_same():
    assert same("(TIMESTAMPTZ '2026-11-21 12:00:00+00'), (TIMESTAMPTZ '2026-11-21 13:00:00+01')", a="TIMESTAMPTZ")


def test_an_hour_of_difference_in_a_naive_timestamp_is_noticed():
    assert not same("(TIMESTAMP '2026-11-21 12:00:00'), (TIMESTAMP '2026-11-21 13:00:00')", a="TIMESTAMP")


def test_microseconds_below_what_targets_keep_are_no_change():
    assert same("(TIMESTAMP '2026-11-21 12:00:00.123001'), (TIMESTAMP '2026-11-21 12:00:00.123999')", a="TIMESTAMP")


def test_composed_and_decomposed_letters_are_the_same():
    assert same("('Zo\u00eb'), ('Zoe\u0308')", a="VARCHAR")


def test_null_empty_and_blank_are_three_values():
    assert len(set(prints("(NULL), (''), (' ')", {"a": "VARCHAR"}))) == 3


def test_a_null_does_not_let_its_neighbour_slip_into_its_place():
    assert not same("('a', NULL, 'b'), ('a', 'b', NULL)", a="VARCHAR", b="VARCHAR", c="VARCHAR")


def test_no_text_can_imitate_a_separator_or_a_null():
    forged = "('x' || chr(31) || '1:y', 'z'), ('x', 'y' || chr(31) || '1:z'), (chr(0), 'z'), (NULL, 'z')"
    assert len(set(prints(forged, {"a": "VARCHAR", "b": "VARCHAR"}))) == 4


def test_a_null_on_one_page_does_not_change_the_integers_beside_it():
    alone = prints("(1), (2)", {"a": "BIGINT"})
    with_null = prints("(1), (2), (NULL)", {"a": "BIGINT"})
    assert with_null[:2] == alone


def test_a_new_mapping_version_sends_everything_again():
    assert prints("('a')", {"a": "VARCHAR"}, version=1) != prints("('a')", {"a": "VARCHAR"}, version=2)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.none() | st.text(max_size=6), st.none() | st.text(max_size=6)), min_size=2, max_size=2))
def test_different_rows_of_text_have_different_fingerprints(rows):
    import unicodedata

    con = duckdb.connect()
    con.execute("CREATE TABLE t (a VARCHAR, b VARCHAR)")
    clean = [tuple(None if v is None else v.encode("utf-8", "ignore").decode() for v in row) for row in rows]
    con.executemany("INSERT INTO t VALUES (?, ?)", clean)
    found = con.execute(f"SELECT {changes.fingerprint({'a': 'VARCHAR', 'b': 'VARCHAR'}, version=1)} FROM t").fetchall()
    folded = [tuple(None if v is None else unicodedata.normalize("NFC", v) for v in row) for row in clean]
    assert (found[0] == found[1]) == (folded[0] == folded[1])
