"""The files of the history: where they lie, which of them count, and how some are replaced by others.

Below ``<root>/<leg>/<side>/`` (side: ``success`` or ``error``) lie

    <run>~<moment>-<rows>.parquet              what one run left; its run and moment stand in its name only
    merged/<from>-<to>-<rows>-<id>.parquet     what many left; run and moment are columns
    moving/<id>.json                           a replacement under way: which files take the place of which

Moments are microseconds since 1970, a run's name is percent-encoded and cut into folders where it is long. Files are
never changed. A replacement is first written down, then its new files, then the old ones go: whoever looks in between,
or after a crash, counts the new files when all of them are there, and the old ones until then.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote

import fsspec

from commerce_sync.batches import safe_name
from commerce_sync.errors import RetryableError

if TYPE_CHECKING:
    import duckdb

Side = Literal["success", "error"]
SIDES: tuple[Side, ...] = ("success", "error")
MERGED, MOVING = "merged", "moving"
LONGEST_NAME = 180
LISTINGS = 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_RUN = re.compile(r"(?P<run>.+)~(?P<at>\d+)-(?P<rows>\d+)\.parquet")
_OF_MANY = re.compile(rf"{MERGED}/(?P<first>\d+)-(?P<last>\d+)-(?P<rows>\d+)-\w+\.parquet")


@dataclass(frozen=True, slots=True)
class HistoryFile:
    """One file. first, last: moments of its oldest and newest row.   run: None when it holds those of many runs."""

    path: str
    leg: str
    side: Side
    first: datetime
    last: datetime
    rows: int
    run: str | None = None


class HistoryFiles:
    """The files below one folder or fsspec URL."""

    def __init__(self, root: str) -> None:
        self.fs, path = fsspec.core.url_to_fs(root)
        protocol = self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]
        self.local = protocol in ("file", "local")
        self.root = (path if self.local else f"{protocol}://{path.lstrip('/')}").rstrip("/")
        self._protocol = protocol

    def connect(self, *, memory_limit: str = "512MB") -> duckdb.DuckDBPyConnection:
        """A DuckDB session that reads and writes here: UTC, and it remembers the footers of files that never change."""
        import duckdb

        con = duckdb.connect(config={"memory_limit": memory_limit})
        con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET parquet_metadata_cache = true")
        if not self.local:
            con.register_filesystem(self.fs)
        return con

    def legs(self) -> list[str]:
        """Legs that have a history, by name."""
        if not self.fs.exists(self.root):
            return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in self.fs.ls(self.root, detail=False))

    def folder(self, leg: str, side: Side) -> str:
        """Where the files of one side of a leg lie."""
        return f"{self.root}/{safe_name(leg)}/{side}"

    # What is there

    def listed(self, leg: str, side: Side) -> list[HistoryFile]:
        """The files that count, each row in exactly one of them.

        A folder that is being changed may show neither the old files nor the new ones: it is listed until it is still.
        """
        before: set[str] | None = None
        for _ in range(LISTINGS):
            found = self._names(leg, side)
            if found == before:
                return self._counting(leg, side, found)
            before = found
        raise RetryableError(f"history of leg {leg} at {self.folder(leg, side)} is changing too fast to be read")

    def _names(self, leg: str, side: Side) -> set[str]:
        folder = self.folder(leg, side)
        if self.local:
            return set(_below(folder))
        # Some stores list with a leading slash, some without, none with the protocol.
        start = len(folder.removeprefix(f"{self._protocol}://").strip("/")) + 1
        try:
            return {str(path).strip("/")[start:] for path in self.fs.find(folder)}
        except FileNotFoundError:
            return set()

    def _counting(self, leg: str, side: Side, names: set[str]) -> list[HistoryFile]:
        gone: set[str] = set()
        for move in self._moves(leg, side, names):
            gone |= set(move["old"] if set(move["new"]) <= names else move["new"])
        found = (self._described(leg, side, name) for name in names - gone)
        newest: dict[str, HistoryFile] = {}
        for item in filter(None, found):
            # A run that was committed twice left two files when it was killed before it took away the first.
            key = item.run if item.run is not None else f"/{item.path}"
            if key not in newest or newest[key].last < item.last:
                newest[key] = item
        return list(newest.values())

    def _moves(self, leg: str, side: Side, names: Iterable[str]) -> list[dict[str, list[str]]]:
        found = []
        for name in names:
            if name.startswith(f"{MOVING}/") and name.endswith(".json"):
                try:
                    with self.fs.open(f"{self.folder(leg, side)}/{name}", "r") as source:
                        found.append(json.load(source))
                except FileNotFoundError:
                    continue  # it ended since; its old files are gone, which the next reading notices
        return found

    def _described(self, leg: str, side: Side, name: str) -> HistoryFile | None:
        path = f"{self.folder(leg, side)}/{name}"
        if many := _OF_MANY.fullmatch(name):
            first, last = (from_micros(int(many[item])) for item in ("first", "last"))
            return HistoryFile(path, leg, side, first, last, int(many["rows"]))
        one = _OF_RUN.fullmatch(name.replace("/", ""))
        if one is None:
            return None
        at = from_micros(int(one["at"]))
        return HistoryFile(path, leg, side, at, at, int(one["rows"]), unquote(one["run"]))

    # What a run leaves

    def put_run(
        self, con: duckdb.DuckDBPyConnection, *, leg: str, side: Side, run: str, at: datetime, query: str
    ) -> HistoryFile:
        """Write what a run left (see ``history`` for the columns) in place of what it may have left before."""
        draft = f"{self.folder(leg, side)}/{MOVING}/{uuid.uuid4().hex}.draft"
        self.fs.makedirs(draft.rpartition("/")[0], exist_ok=True)
        rows = copy(con, query, draft)
        return self._publish(draft, leg=leg, side=side, run=run, at=at, rows=rows)

    def take_run(self, path: str, *, leg: str, side: Side, run: str, at: datetime, rows: int) -> HistoryFile:
        """Keep a copy of a file somebody else wrote as what a run left."""
        draft = f"{self.folder(leg, side)}/{MOVING}/{uuid.uuid4().hex}.draft"
        self.fs.makedirs(draft.rpartition("/")[0], exist_ok=True)
        self.fs.cp_file(path, draft)
        return self._publish(draft, leg=leg, side=side, run=run, at=at, rows=rows)

    def _publish(self, draft: str, *, leg: str, side: Side, run: str, at: datetime, rows: int) -> HistoryFile:
        name = _name_of_run(run, at=at, rows=rows)
        path = f"{self.folder(leg, side)}/{name}"
        self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self.fs.mv(draft, path)
        self.drop_run(leg=leg, side=side, run=run, but=name)
        return HistoryFile(path, leg, side, at, at, rows, run)

    def drop_run(self, *, leg: str, side: Side, run: str, but: str = "") -> None:
        """Take away what a run left, except for one file."""
        for name in self._names(leg, side):
            one = _OF_RUN.fullmatch(name.replace("/", ""))
            if one is not None and name != but and unquote(one["run"]) == run:
                self.fs.rm(f"{self.folder(leg, side)}/{name}")

    # Replacing

    def replace(self, con: duckdb.DuckDBPyConnection, old: Sequence[HistoryFile], query: str) -> HistoryFile | None:
        """Put the rows of ``query`` (columns of many runs) in place of files of one side of a leg.

        None when there are no rows. Raises RetryableError when another process is replacing some of these files.
        """
        leg, side = old[0].leg, old[0].side
        folder = self.folder(leg, side)
        self.fs.makedirs(f"{folder}/{MERGED}", exist_ok=True)
        self.fs.makedirs(f"{folder}/{MOVING}", exist_ok=True)
        draft = f"{folder}/{MOVING}/{uuid.uuid4().hex}.draft"
        copy(con, query, draft)
        rows, first, last = con.execute(
            f"SELECT count(*), min(moment), max(moment) FROM read_parquet({_text(draft)})"
        ).fetchall()[0]
        new = f"{MERGED}/{first}-{last}-{rows}-{_identity(old)}.parquet" if rows else None
        self._move(leg, side, draft, old=[item.path.removeprefix(f"{folder}/") for item in old], new=new)
        if new is None:
            return None
        return HistoryFile(f"{folder}/{new}", leg, side, from_micros(first), from_micros(last), rows)

    def _move(self, leg: str, side: Side, draft: str, *, old: list[str], new: str | None) -> None:
        """Two replacements of one file would count its rows twice: the one that sees the other gives up."""
        folder = self.folder(leg, side)
        note = f"{folder}/{MOVING}/{uuid.uuid4().hex}"
        with self.fs.open(f"{note}.draft", "w") as sink:
            json.dump({"old": old, "new": [new] if new else []}, sink)
        self.fs.mv(f"{note}.draft", f"{note}.json")
        if self._is_contested(leg, side, own=f"{note}.json", old=set(old)):
            self.remove(f"{note}.json")
            self.remove(draft)
            raise RetryableError(
                f"history of leg {leg} at {folder}: another process is putting the same files together"
            )
        if new:
            self.fs.mv(draft, f"{folder}/{new}")
        else:
            self.fs.rm(draft)
        self._finish(folder, note, old)

    def _is_contested(self, leg: str, side: Side, *, own: str, old: set[str]) -> bool:
        """Whoever writes down a replacement looks for others afterwards: of two, one at least sees the other.

        Notes are looked for before the files: one that has gone in between took its old files with it.
        """
        mine = own.rpartition("/")[2]
        notes = [name for name in self._names(leg, side) if not name.endswith(mine)]
        if any(old & set(move["old"]) for move in self._moves(leg, side, notes)):
            return True
        return not old <= self._names(leg, side)

    def _finish(self, folder: str, note: str, old: Iterable[str]) -> None:
        for name in old:
            self.remove(f"{folder}/{name}")
        self.remove(f"{note}.json")

    def tidy(self, leg: str, *, older_than: timedelta = timedelta(hours=1)) -> None:
        """Finish or take back the replacements that a killed process left, and remove its drafts."""
        before = datetime.now(UTC) - older_than
        for side in SIDES:
            folder, names = self.folder(leg, side), self._names(leg, side)
            for name in sorted(item for item in names if item.startswith(f"{MOVING}/")):
                if self._written(f"{folder}/{name}") > before:
                    continue
                if name.endswith(".json"):
                    for move in self._moves(leg, side, [name]):
                        done = set(move["new"]) <= names
                        self._finish(folder, f"{folder}/{name}".removesuffix(".json"), move["old"] if done else [])
                self.remove(f"{folder}/{name}")

    def _written(self, path: str) -> datetime:
        try:
            written: datetime = self.fs.modified(path)
        except FileNotFoundError:
            return datetime.now(UTC)
        return written if written.tzinfo else written.replace(tzinfo=UTC)

    def remove(self, path: str) -> None:
        """Delete a file that may be gone already."""
        if self.fs.exists(path):
            self.fs.rm(path)


def copy(con: duckdb.DuckDBPyConnection, query: str, path: str) -> int:
    """Write the rows of a query, ordered by key in groups of 16 Ki rows: a key is found by opening one of them."""
    options = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 16384)"
    return int(con.execute(f"COPY (SELECT * FROM ({query}) ORDER BY key) TO {_text(path)} {options}").fetchall()[0][0])


def _name_of_run(run: str, *, at: datetime, rows: int) -> str:
    whole = f"{quote(run, safe='')}~{micros(at)}-{rows}.parquet"
    if len(whole) <= LONGEST_NAME:
        return whole
    # Never a folder that could be taken for ours, and the last piece keeps the ending.
    return "/".join(f"{whole[start : start + LONGEST_NAME]}" for start in range(0, len(whole), LONGEST_NAME))


def micros(at: datetime) -> int:
    """A moment as microseconds since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1)


def from_micros(number: int) -> datetime:
    """The moment so many microseconds after 1970 began, in UTC."""
    return EPOCH + timedelta(microseconds=number)


def _identity(old: Sequence[HistoryFile]) -> str:
    return hashlib.sha256("\n".join(sorted(item.path for item in old)).encode()).hexdigest()[:16]


def _text(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"


def paths_sql(files: Sequence[HistoryFile]) -> str:
    """SQL list of the files' paths."""
    return "[" + ", ".join(_text(item.path) for item in files) + "]"


def place(path: str) -> str:
    """A file's path in the form in which it is compared with ``place_sql``."""
    return path.partition("://")[2].strip("/") if "://" in path else path


def place_sql(files: Sequence[HistoryFile], column: str) -> str:
    """SQL of the place of a row's file: with a protocol, DuckDB may give other slashes than it was given."""
    is_remote = bool(files) and "://" in files[0].path
    return f"ltrim(split_part({column}, '://', 2), '/')" if is_remote else column


def _below(folder: str, inner: str = "") -> Iterator[str]:
    """Files below a folder of this machine, by their path from there; fsspec asks for each one's size and owner too."""
    try:
        with os.scandir(f"{folder}/{inner}") as found:
            entries = [(item.name, item.is_dir(follow_symlinks=False)) for item in found]
    except FileNotFoundError:
        return
    for name, is_folder in entries:
        if is_folder:
            yield from _below(folder, f"{inner}{name}/")
        else:
            yield f"{inner}{name}"
