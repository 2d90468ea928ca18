"""Generated records: one Parquet extract before, and one after a known number of changes, the same for everyone.

Ten columns (a code, five texts, a double, an integer, a status, a timestamp). After: 1 % changed, 0.1 % inserted,
0.1 % deleted, every row in another place. Values come from hashes of the row number, so that every machine and every
run makes the same files.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

DATA = Path(__file__).parent / ".data"
TYPES = {
    "code": "VARCHAR",
    "name": "VARCHAR",
    "description": "VARCHAR",
    "email": "VARCHAR",
    "street": "VARCHAR",
    "city": "VARCHAR",
    "price": "DOUBLE",
    "stock": "BIGINT",
    "status": "VARCHAR",
    "modifiedtime": "TIMESTAMP",
}
COLUMNS = tuple(TYPES)
TEXTS = tuple(name for name, kind in TYPES.items() if kind == "VARCHAR")
WORDS = [
    "steel",
    "oak",
    "linen",
    "copper",
    "glass",
    "wool",
    "marble",
    "cedar",
    "velvet",
    "bronze",
    "garden",
    "kitchen",
    "travel",
    "office",
    "winter",
    "summer",
    "light",
    "heavy",
    "small",
    "large",
    "round",
    "square",
    "soft",
    "solid",
    "fresh",
    "bright",
    "quiet",
    "rapid",
    "classic",
    "modern",
    "simple",
    "double",
    "folding",
]
FORM = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536)"


@dataclass(frozen=True, slots=True)
class Difference:
    """What lies between the two extracts; every contender has to find exactly this."""

    new: int
    modified: int
    deleted: int
    unchanged: int


def folder(rows: int) -> Path:
    """Where the files for this number of rows are."""
    return DATA / f"records-{rows}"


def extract(rows: int, moment: str) -> Path:
    """The Parquet file of ``before`` or ``after``."""
    return folder(rows) / f"{moment}.parquet"


def difference(rows: int) -> Difference:
    """The difference that was built in, counted while generating."""
    return Difference(**json.loads((folder(rows) / "difference.json").read_text()))


def generate(*, rows: int) -> dict[str, int]:
    """Write both extracts unless they are there; returns the built-in difference."""
    home = folder(rows)
    if not (home / "difference.json").exists():
        import duckdb

        home.mkdir(parents=True, exist_ok=True)
        con = duckdb.connect(config={"memory_limit": "1GB", "temp_directory": str(home / "spill")})
        con.execute(f"COPY ({_records(f'range({rows})')} ORDER BY hash(code, 1)) TO '{extract(rows, 'before')}' {FORM}")
        con.execute(f"COPY ({_after(rows)} ORDER BY hash(code, 2)) TO '{extract(rows, 'after')}' {FORM}")
        (home / "difference.json").write_text(json.dumps(asdict(_count(rows))))
    return asdict(difference(rows))


def _after(rows: int) -> str:
    numbers = f"(SELECT range FROM range({rows + rows // 1000}) WHERE NOT (range < {rows} AND range % 1000 = 7))"
    changed = f"(_n < {rows} AND _n % 100 = 3)"
    values = {
        "price": f"CASE WHEN {changed} AND _n % 200 = 3 THEN price + 1 ELSE price END",
        "city": f"CASE WHEN {changed} AND _n % 200 <> 3 THEN city || ' North' ELSE city END",
    }
    listed = ", ".join(f"{values.get(name, name)} AS {name}" for name in COLUMNS)
    return f"SELECT {listed} FROM ({_records(numbers, number=True)})"


def of_numbers(numbers: str) -> str:
    """SQL of the records with the given row numbers; a relation with a column ``range``."""
    return _records(numbers)


def _records(numbers: str, *, number: bool = False) -> str:
    """SQL of the records with the given row numbers (a relation with a column ``range``)."""
    words = "[" + ", ".join(f"'{word}'" for word in WORDS) + "]"

    def word(salt: int) -> str:
        return f"{words}[1 + (hash(range, {salt}) % {len(WORDS)})::INT]"

    return f"""SELECT {"range AS _n, " if number else ""}
        'SKU-' || lpad(range::VARCHAR, 10, '0') AS code,
        {word(11)} || ' ' || {word(12)} || ' ' || (hash(range, 13) % 10000)::VARCHAR AS name,
        {word(21)} || ' ' || {word(22)} || ' ' || {word(23)} || ' ' || {word(24)} || ' ' || {word(25)} || ' '
            || {word(26)} || ' ' || {word(27)} AS description,
        {word(31)} || '.' || (hash(range, 32) % 100000)::VARCHAR || '@example.com' AS email,
        CASE WHEN hash(range, 41) % 20 = 0 THEN NULL ELSE {word(42)} || ' street '
            || (hash(range, 43) % 200)::VARCHAR END AS street,
        {word(51)} || 'ville' AS city,
        (hash(range, 61) % 100000)::DOUBLE / 100 AS price,
        (hash(range, 71) % 5000)::BIGINT AS stock,
        ['approved', 'check', 'unapproved'][1 + (hash(range, 81) % 3)::INT] AS status,
        TIMESTAMP '2026-01-01' + to_milliseconds((hash(range, 91) % 20000000000)::BIGINT) AS modifiedtime
        FROM {numbers}"""


def _count(rows: int) -> Difference:
    """Counted from the rule, not from the files: the files are what the contenders are judged by."""
    new, deleted = rows // 1000, (rows - 7 + 999) // 1000
    modified = (rows - 3 + 99) // 100
    return Difference(new=new, modified=modified, deleted=deleted, unchanged=rows - modified - deleted)
