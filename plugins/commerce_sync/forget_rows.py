"""Forgotten records in tables of rows: which rows are about one, and what goes from those that only mention one.

A row is about a record when one of its key columns is a name of it; such a row goes as a whole. Another row that
mentions one (the company's order that a forgotten person placed) stays, without the person: the text with the name, its
neighbours in the same structure, and whole structures that are an address.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from commerce_sync.ledger.tombstones_marks import Marks

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Bools = np.ndarray[Any, np.dtype[np.bool_]]
    Ints = np.ndarray[Any, np.dtype[np.int64]]

KEYS = ("_key", "key", "_owner", "owner", "target_id", "_target_id", "_target_key")
"""Columns of our own files that say whom a row is about."""
HASH = "_hash"
"""Column of a replica with a hash of the whole record; 0 for one that was altered, so that it is read anew."""
ADDRESS = "ddress"
"""How the name of a structure ends that is one address."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Per row of a table: whether it is about a forgotten record, and whether it mentions one at all."""

    about: Bools
    mentions: Bools

    @property
    def clean(self) -> bool:
        """Whether no row has to do with a forgotten record."""
        return not (self.about.any() or self.mentions.any())


def judge(table: pa.Table, marks: Marks, *, keys: Collection[str] = KEYS) -> Judged:
    """Look at every text of a table, however deep. keys: columns that say whom a row is about, as far as it has them.

    A table that has none of them is judged by all its texts of the first level.
    """
    import numpy as np

    about, mentions = np.zeros(table.num_rows, np.bool_), np.zeros(table.num_rows, np.bool_)
    key_columns = set(keys) & set(table.column_names) or set(table.column_names)
    for name in table.column_names if table.num_rows else ():
        for texts, rows, is_nested in _texts(table[name].combine_chunks(), np.arange(table.num_rows)):
            mentions[rows[_that(texts, marks.mentions)]] = True
            if name in key_columns and not is_nested:
                about[rows[_that(texts, marks.names)]] = True
    return Judged(about, mentions | about)


def _texts(array: Any, rows: Ints, *, is_nested: bool = False) -> Iterator[tuple[pa.Array, Ints, bool]]:
    """Every array of texts in an array, with the row of the table that each of its values belongs to."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.ChunkedArray):
        for chunk, start in _chunks(array):
            yield from _texts(chunk, rows[start : start + len(chunk)], is_nested=is_nested)
    elif pa.types.is_dictionary(array.type):
        yield from _texts(array.dictionary_decode(), rows, is_nested=is_nested)
    elif array.type in (pa.string(), pa.large_string()):
        yield array, rows, is_nested
    elif pa.types.is_struct(array.type):
        for child in array.flatten():
            yield from _texts(child, rows, is_nested=True)
    elif pa.types.is_nested(array.type):
        lists = array.cast(_as_list(array.type)) if pa.types.is_map(array.type) else array
        yield from _texts(lists.flatten(), rows[pc.list_parent_indices(lists).to_numpy()], is_nested=True)


def _as_list(kind: pa.MapType) -> pa.ListType[Any]:
    import pyarrow as pa

    return pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))


def _chunks(array: pa.ChunkedArray) -> Iterator[tuple[pa.Array, int]]:
    start = 0
    for chunk in array.chunks:
        yield chunk, start
        start += len(chunk)


def _that(texts: pa.Array, says: Callable[[str], bool]) -> Ints:
    """Places of the texts that say it; each distinct text is asked about once."""
    import numpy as np

    coded = texts.dictionary_encode()
    hit = np.array([bool(text) and says(text) for text in coded.dictionary.to_pylist()], np.bool_)
    if not hit.any():
        return np.zeros(0, np.int64)
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found: Ints = np.flatnonzero((codes >= 0) & hit[codes])
    return found


def without(table: pa.Table, marks: Marks, judged: Judged, *, personal: Collection[str] = ()) -> pa.Table:
    """The table without the rows that are about a forgotten record, the person taken out of those that mention one.

    personal: further columns that are emptied in a row that mentions one.
    """
    import pyarrow as pa

    if judged.clean:
        return table
    altered = judged.mentions & ~judged.about
    kept = table.filter(pa.array(~(judged.about | altered)))
    if not altered.any():
        return kept
    import numpy as np

    rows = table.filter(pa.array(altered)).to_pylist()
    rest = pa.Table.from_pylist([redacted(row, marks, personal=personal) for row in rows], table.schema)
    places = np.concatenate([np.flatnonzero(~judged.mentions), np.flatnonzero(altered)])
    return pa.concat_tables([kept, rest]).take(pa.array(np.argsort(places, kind="stable")))


def blanked(table: pa.Table, marks: Marks, judged: Judged) -> pa.Table:
    """Like ``without``, with a row of nulls in the place of each that goes: who counts rows still finds them."""
    import numpy as np
    import pyarrow as pa

    if judged.clean:
        return table
    rest = without(table, marks, judged)
    nothing = pa.table([pa.nulls(int(judged.about.sum()), field.type) for field in table.schema], table.schema)
    places = np.concatenate([np.flatnonzero(~judged.about), np.flatnonzero(judged.about)])
    return pa.concat_tables([rest, nothing]).take(pa.array(np.argsort(places, kind="stable")))


def filled(table: pa.Table) -> pa.Table:
    """The table without rows of nulls."""
    import numpy as np
    import pyarrow as pa

    empty = np.ones(table.num_rows, np.bool_)
    for column in table.columns:
        empty &= column.is_null().to_numpy()
    return table.filter(pa.array(~empty))


def redacted(row: dict[str, Any], marks: Marks, *, personal: Collection[str] = ()) -> dict[str, Any]:
    """A row without the person it mentions."""
    done = {name: _silent(value, marks) for name, value in row.items()}
    for name, value in row.items():
        if name in personal or (name.endswith(ADDRESS) and isinstance(value, dict)):
            done[name] = _emptied(value)
    return done | ({HASH: 0} if HASH in row else {})


def _silent(value: Any, marks: Marks) -> Any:
    if isinstance(value, str):
        return None if marks.mentions(value) else value
    if isinstance(value, dict):
        if any(isinstance(item, str) and marks.mentions(item) for item in value.values()):
            return _emptied(value)
        return {name: _silent(item, marks) for name, item in value.items()}
    return [_silent(item, marks) for item in value] if isinstance(value, list) else value


def _emptied(value: Any) -> Any:
    """Without any text, however deep."""
    if isinstance(value, dict):
        return {name: _emptied(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_emptied(item) for item in value]
    return None if isinstance(value, str) else value
