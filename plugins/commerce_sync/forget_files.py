"""Erasing forgotten records from files: batches, stores, markers, agreed values, history, gate pages.

A Parquet file is written anew beside itself and takes its own place: whoever is killed leaves the old one or the new
one, and done again, only what is left is done. A file that nothing names (of a writer that was killed) counts as well.
Runs that are at work are left alone: what is theirs is erased when they have ended.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec

from commerce_sync import forget_rows, history_rows, replica
from commerce_sync.batches import MANIFEST, digest_of, safe_name
from commerce_sync.history import History
from commerce_sync.history_files import SIDES, HistoryFile, HistoryFiles
from commerce_sync.ledger.tombstones_marks import MASK, Marks, purged
from commerce_sync.leg import Site

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

DRAFT = ".erasing"
"""In the name of what is written anew; left by a killed process it is gone through like any other file."""
OLD = timedelta(hours=1)
"""A file that cannot be read and was last written so long ago is nobody's any more."""
PARQUET = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536)"
ROW = "file_row_number"


@dataclass(slots=True)
class Files:
    """What erasing needs to know, and what came of it. personal: leg -> columns that are emptied beside a mention.

    busy: (leg, run) that are at work.   legs: only these; none means all.   gone: store -> rows erased or altered.
    """

    site: Site
    marks: Marks
    personal: dict[str, frozenset[str]]
    busy: Collection[tuple[str, str]] = ()
    legs: Collection[str] = ()
    dry_run: bool = False
    gone: dict[str, int] = field(default_factory=dict)
    waits: set[tuple[str, str]] = field(default_factory=set)
    con: duckdb.DuckDBPyConnection = field(init=False, repr=False)

    def count(self, store: str, rows: int) -> None:
        """Note what went of a store."""
        if rows:
            self.gone[store] = self.gone.get(store, 0) + rows


def erase(work: Files) -> None:
    """Go through all files. Raises what the file system raises; started again it goes on."""
    with closing(work.site.batches.connect()) as work.con:
        work.site.ledger.attach(work.con)
        _erase_runs(work)
        _erase_below(work, work.site.stores.root, "stores")
        _erase_below(work, work.site.ledger.files.root, "markers")
        if work.site.history is not None:
            _erase_history(work, work.site.history)
    _erase_pages(work)


def _listed(root: str) -> tuple[Any, list[str]]:
    """The file system and the full names of the files below a folder."""
    fs, path = fsspec.core.url_to_fs(root)
    found = fs.find(path) if fs.exists(path) else []
    return fs, [str(item) for item in found]


def _of(path: str, root: str) -> tuple[str, str]:
    """First and second folder of a file below a root: leg and run."""
    plain = fsspec.core.url_to_fs(root)[1].rstrip("/")
    parts = path.removeprefix(plain).strip("/").split("/")
    return parts[0], parts[1] if len(parts) > 2 else ""


def _wanted(work: Files, leg: str) -> bool:
    return not work.legs or leg in {safe_name(name) for name in work.legs}


# The batches of runs


def _erase_runs(work: Files) -> None:
    """Rows of ended runs go as a whole; a run that was given up half way loses its folder, and starts from extract."""
    root = work.site.batches.root
    fs, paths = _listed(root)
    folders: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        folders.setdefault(_of(path, root), []).append(path)
    busy = {(safe_name(leg), safe_name(run)) for leg, run in work.busy}
    settled = {
        (safe_name(run.leg), safe_name(run.run)) for run in work.site.ledger.runs(limit=1_000_000) if run.settled
    }
    for at, files in folders.items():
        if not _wanted(work, at[0]):
            continue
        if at in busy:
            work.waits.add(at)
        elif at in settled:
            _erase_files(work, fs, files, "runs", whole_rows=True)
        elif rows := _held(work, fs, files):
            work.count("runs", rows)
            if not work.dry_run:
                fs.rm("/".join(files[0].split("/")[: _depth(root) + 2]), recursive=True)


def _depth(root: str) -> int:
    return len(fsspec.core.url_to_fs(root)[1].rstrip("/").split("/"))


def _held(work: Files, fs: Any, files: list[str]) -> int:
    """How many rows or facts of these files have to do with a forgotten record; a file that cannot be read is one."""
    rows = 0
    for path in files:
        if path.endswith(f"/{MANIFEST}"):
            rows += purged(_manifest(fs, path), work.marks)[1]
        else:
            rows += (
                sum(len(found) for found, _table in _rows(work, fs, path, whole_rows=True)) if _reads(fs, path) else 1
            )
    return rows


# Batches and files of the ledger


def _erase_below(work: Files, root: str, store: str) -> None:
    fs, paths = _listed(root)
    _erase_files(work, fs, [path for path in paths if _wanted(work, _of(path, root)[0])], store)


def _erase_files(work: Files, fs: Any, paths: list[str], store: str, *, whole_rows: bool = False) -> None:
    for path in paths:
        if DRAFT in path.rpartition("/")[2] and _is_old(fs, path):
            _remove(work, fs, path)
        elif not _reads(fs, path):
            _remove_broken(work, fs, path)
        elif path.endswith(".parquet"):
            work.count(store, _erase_file(work, fs, path, whole_rows=whole_rows))
    for path in (item for item in paths if item.rpartition("/")[2].startswith(MANIFEST)):
        work.count(store, _erase_manifest(work, fs, path))


def _remove_broken(work: Files, fs: Any, path: str) -> None:
    """What a killed writer left goes; a young file may be one that is being written, and is looked at later."""
    if _is_old(fs, path):
        _remove(work, fs, path)
    else:
        work.waits.add((path.rpartition("/")[2], "being written"))


def _is_old(fs: Any, path: str) -> bool:
    written: datetime = fs.modified(path)
    return (written if written.tzinfo else written.replace(tzinfo=UTC)) < datetime.now(UTC) - OLD


def _remove(work: Files, fs: Any, path: str) -> None:
    if not work.dry_run:
        fs.rm(path)


def _reads(fs: Any, path: str) -> bool:
    """Whether a Parquet file is whole; other files are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.endswith(".parquet"):
        return True
    try:
        with fs.open(path, "rb") as source:
            pq.read_metadata(source)
    except (pa.ArrowInvalid, FileNotFoundError):
        return False
    return True


def _rows(work: Files, fs: Any, path: str, *, whole_rows: bool) -> Iterator[tuple[list[int], pa.Table]]:
    """Per group of rows with some to erase: their numbers in the file, and what is left of those that stay, with it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = 0
    with fs.open(path, "rb") as source:
        for batch in pq.ParquetFile(source).iter_batches(batch_size=65_536):
            table = pa.Table.from_batches([batch])
            judged = forget_rows.judge(table, work.marks)
            numbers = np.arange(start, start + table.num_rows)
            start += table.num_rows
            if judged.clean:
                continue
            about = judged.mentions if whole_rows else judged.about
            stays = judged.mentions & ~about
            part = table.append_column(ROW, pa.array(numbers)).filter(pa.array(stays))
            rest = [forget_rows.redacted(row, work.marks, personal=_personal(work, path)) for row in part.to_pylist()]
            yield numbers[judged.mentions].tolist(), pa.Table.from_pylist(rest, part.schema)


def _personal(work: Files, path: str) -> frozenset[str]:
    """Only figures have them: the columns of a source say themselves what they are."""
    if f"/{replica.FIGURES}/" not in path:
        return frozenset()
    return frozenset().union(*(names for leg, names in work.personal.items() if f"/{safe_name(leg)}/" in path))


def _erase_file(work: Files, fs: Any, path: str, *, whole_rows: bool) -> int:
    import pyarrow as pa

    found = list(_rows(work, fs, path, whole_rows=whole_rows))
    numbers = [number for some, _rest in found for number in some]
    if numbers and not work.dry_run:
        _rewrite(work, fs, path, numbers, pa.concat_tables([rest for _some, rest in found]))
    return len(numbers)


def _rewrite(work: Files, fs: Any, path: str, numbers: list[int], rest: pa.Table) -> None:
    """Write a file without some of its rows, and with what is left of them, in place of itself."""
    import pyarrow as pa

    full = fs.unstrip_protocol(path) if "://" in work.site.batches.root else path
    draft = f"{path}.{uuid.uuid4().hex[:8]}{DRAFT}.parquet"
    con = work.con
    con.register("erased", pa.table({ROW: pa.array(numbers, pa.int64())}))
    con.register("rest", rest)
    file = f"read_parquet({_text(full)}, file_row_number = true)"
    kinds = con.execute(f"DESCRIBE SELECT * EXCLUDE ({ROW}) FROM {file}").fetchall()
    names = ", ".join(_name(name) for name, *_ in kinds)
    casts = ", ".join(f"CAST({_name(name)} AS {kind}) AS {_name(name)}" for name, kind, *_ in kinds)
    kept = f"SELECT {names}, {ROW} FROM {file} WHERE {ROW} NOT IN (SELECT {ROW} FROM erased)"
    query = f"SELECT {names} FROM ({kept} UNION ALL SELECT {casts}, {ROW} FROM rest) ORDER BY {ROW}"
    _copy(con, query, fs.unstrip_protocol(draft) if full != path else draft)
    _take_place(fs, draft, path)


def _copy(con: duckdb.DuckDBPyConnection, query: str, path: str) -> None:
    con.execute(f"COPY ({query}) TO {_text(path)} {PARQUET}")


def _take_place(fs: Any, draft: str, path: str) -> None:
    """The draft becomes the file: in one step where the file system can, on the disk before the old one is gone."""
    if "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)):
        with open(draft, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(draft, path)
        return
    fs.mv(draft, path)


def _manifest(fs: Any, path: str) -> Any:
    with fs.open(path, "r") as source:
        try:
            return json.load(source)
        except ValueError:
            return {}


def _erase_manifest(work: Files, fs: Any, path: str) -> int:
    """Erase what a batch's facts say, and write down how many rows its parts have by now."""
    import pyarrow.parquet as pq

    before = _manifest(fs, path)
    after, went = purged(_manifest(fs, path), work.marks)
    folder = path.rpartition("/")[0]
    for part in after.get("parts", ()):
        name = f"{folder}/{part['name']}"
        if fs.exists(name):
            with fs.open(name, "rb") as source:
                part |= {"rows": pq.read_metadata(source).num_rows, "size_bytes": int(fs.size(name))}
            part["digest"] = digest_of(fs, name)
    if (went or after != before) and not work.dry_run:
        draft = f"{path}.{uuid.uuid4().hex[:8]}{DRAFT}"
        with fs.open(draft, "w") as sink:
            json.dump(after, sink)
        _take_place(fs, draft, path)
    return int(went)


# History and pages


def _erase_history(work: Files, history: History) -> None:
    """History files say in their names how many rows they have: they are replaced, as when they are merged."""
    files = history.files
    for leg in files.legs():
        if not _wanted(work, leg):
            continue
        if not work.dry_run:
            files.tidy(leg)
        for side in SIDES:
            for item in files.listed(leg, side):
                work.count("history", _erase_history_file(work, files, item))
        _erase_unnamed(work, files, leg)


def _erase_history_file(work: Files, files: HistoryFiles, item: HistoryFile) -> int:
    import pyarrow as pa

    found = list(_rows(work, files.fs, fsspec.core.url_to_fs(item.path)[1], whole_rows=False))
    numbers = [number for some, _rest in found for number in some]
    if numbers and not work.dry_run:
        con, names = work.con, ", ".join(history_rows.columns(item.side))
        rest = ", ".join(f"r.{name}" for name in history_rows.columns(item.side))
        con.register("erased", pa.table({ROW: pa.array(numbers, pa.int64())}))
        con.register("rest", pa.concat_tables([some for _numbers, some in found]))
        every = history_rows.rows(con, [item], (*history_rows.columns(item.side), ROW))
        every = every.replace("filename = true", f"filename = true, {ROW} = true")
        kept = f"SELECT moment, leg, run, {names} FROM ({every}) WHERE {ROW} NOT IN (SELECT {ROW} FROM erased)"
        altered = f"SELECT e.moment, e.leg, e.run, {rest} FROM ({every}) AS e JOIN rest AS r USING ({ROW})"
        files.replace(con, [item], f"{kept} UNION ALL {altered}")
    return len(numbers)


def _erase_unnamed(work: Files, files: HistoryFiles, leg: str) -> None:
    """Files that count no more, because a run was committed twice or a process was killed."""
    for side in SIDES:
        counting = {fsspec.core.url_to_fs(item.path)[1] for item in files.listed(leg, side)}
        fs, paths = _listed(files.folder(leg, side))
        for path in paths:
            if path.endswith(".parquet") and path not in counting and _held(work, fs, [path]) and not work.dry_run:
                fs.rm(path)


def _erase_pages(work: Files) -> None:
    """Gate pages: names are masked; one on which a name is still found goes with its folder."""
    for path in sorted(work.site.pages.rglob("*")) if work.site.pages.is_dir() else ():
        if not path.is_file() or not _wanted(work, path.relative_to(work.site.pages).parts[0]):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if work.marks.mentions(text):
            work.count("pages", 1)
            if not work.dry_run:
                _write(path, work.marks.scrub(text))


def _write(path: Path, text: str) -> None:
    if text == MASK:  # nothing less would do
        shutil.rmtree(path.parent)
        return
    draft = path.with_name(f"{path.name}{DRAFT}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _text(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
