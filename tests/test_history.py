"""The history of records: found again by key, time and outcome, kept for a while, never lost, never doubled."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from commerce_sync import history_files, places
from commerce_sync.batches import Batches
from commerce_sync.errors import ConfigurationError
from commerce_sync.history import History, Message
from commerce_sync.history_files import HistoryFiles

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LEG = "people"


@pytest.fixture(params=["folder", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A local folder, and a store that is only reached through fsspec."""
    return str(tmp_path) if request.param == "folder" else f"memory://{tmp_path.name}"


def opened(root: str) -> History:
    keep = {"keep_success": timedelta(days=7), "keep_error": timedelta(days=30)}
    return History(f"{root}/history", runs=Batches(f"{root}/runs"), **keep)


@pytest.fixture
def history(root: str) -> History:
    return opened(root)


@pytest.fixture
def con(history: History) -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(history.files.connect()) as session:
        yield session


def success(history: History, con: Any, keys: list[str]) -> tuple[str, int] | None:
    """A file as the markers have it."""
    if not keys:
        return None
    history.files.fs.makedirs(f"{history.files.root}/../delta", exist_ok=True)
    path = f"{history.files.root}/../delta/delta.parquet".replace("/history/..", "")
    history.files.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    con.execute(f"""COPY (SELECT key, 7::UBIGINT AS fingerprint, 'T' || key AS target_id, false AS gone, 'NEW' AS kind,
        true AS created, 1 AS attempt, NULL::VARCHAR AS job, 'm-' || key AS message_id
        FROM (SELECT unnest({keys!r}) AS key) ORDER BY key) TO '{path}' (FORMAT parquet)""")
    return path, len(keys)


def refusals(keys: list[str], outcome: str = "rejected") -> str:
    given = f"SELECT unnest({keys!r}::VARCHAR[]) AS key"
    payload = json.dumps({"Name": "***", "City": "Berlin"})
    return f"""SELECT key, 'MODIFIED' AS kind, NULL::VARCHAR AS target_id, NULL::BOOLEAN AS created, 2 AS attempt,
        '750x' AS job, NULL::VARCHAR AS message_id, '{outcome}' AS outcome, 'LOCKED' AS code, 'lock' AS reason_class,
        'somebody has it' AS reason, '{payload}' AS payload FROM ({given})"""


def write(history: History, con: Any, run: str, good: list[str], bad: tuple[str, ...] | list[str] = (), *, hours: float = 0,
          leg: str = LEG, outcome: str = "rejected") -> None:  # fmt: skip
    history.write(con, leg=leg, run=run, at=NOW - timedelta(hours=hours), delivered=success(history, con, good),
                  refused=refusals(list(bad), outcome))  # fmt: skip


def seen(found: list[Message]) -> list[tuple[str, str, str]]:
    return [(item.run, item.key, item.outcome) for item in found]


def test_a_record_is_found_by_its_key_newest_first_with_all_that_is_known(history: History, con: Any) -> None:
    write(history, con, "r1", ["B"], ["A"], hours=2)
    write(history, con, "r2", ["A", "AB"], hours=1)
    assert seen(history.search(key="A")) == [("r2", "A", "delivered"), ("r1", "A", "rejected")]
    assert seen(history.search(key="A*")) == [("r2", "A", "delivered"), ("r2", "AB", "delivered"),
                                              ("r1", "A", "rejected")]  # fmt: skip
    good, bad = history.search(key="A")
    assert good == Message(NOW - timedelta(hours=1), LEG, "r2", "A", "NEW", "delivered", "TA", True, None, None, None, 1,
                           None, "m-A")  # fmt: skip
    assert bad == Message(NOW - timedelta(hours=2), LEG, "r1", "A", "MODIFIED", "rejected", None, None, "LOCKED", "lock",
                          "somebody has it", 2, "750x", None)  # fmt: skip
    assert history.payload(LEG, "r1", "A") == {"Name": "***", "City": "Berlin"}
    assert history.payload(LEG, "r2", "A") is None


def test_filters_and_pages_leave_no_row_out_and_show_none_twice(history: History, con: Any) -> None:
    for number in range(30):
        write(history, con, f"r{number}", [f"K{number}", "same"], [f"E{number}"], hours=number, leg=f"leg{number % 3}")
    everything = history.search(limit=1000)
    assert len(everything) == len(set(seen(everything))) == 90
    assert [item.at for item in everything] == sorted((item.at for item in everything), reverse=True)
    paged = [item for start in range(0, 90, 7) for item in history.search(limit=7, offset=start)]
    assert paged == everything
    assert {item.outcome for item in history.search(outcomes=["rejected"], limit=1000)} == {"rejected"}
    some = history.search(legs=["leg1"], since=NOW - timedelta(hours=10), until=NOW - timedelta(hours=4), limit=1000)
    assert {item.run for item in some} == {"r10", "r7"}
    assert history.search(legs=["nobody"]) == []
    with pytest.raises(ConfigurationError, match=r"no outcome lost; there are: delivered"):
        history.search(outcomes=["lost"])


def test_a_run_that_is_committed_again_takes_the_place_of_what_it_left(history: History, con: Any) -> None:
    write(history, con, "r1", ["A"], ["B"], hours=2)
    write(history, con, "r1", ["A", "B"], hours=1)
    assert seen(history.search()) == [("r1", "A", "delivered"), ("r1", "B", "delivered")]
    write(history, con, "r1", [], ["A"])
    assert seen(history.search()) == [("r1", "A", "rejected")]


def test_names_of_runs_of_any_length_and_script_come_back_as_they_were(history: History, con: Any) -> None:
    names = ["scheduled__2026-01-31T00:00:00+00:00", "manual/ä~1-2.parquet", "x" * 250, "%" * 250, "merged"]
    for name in names:
        write(history, con, name, ["A"], ["B"])
    assert {item.run for item in history.search(limit=100)} == set(names)
    assert len(history.search(limit=100)) == 10


def test_small_files_are_merged_and_every_row_is_still_there_once(history: History, con: Any) -> None:
    for number in range(40):
        write(history, con, f"r{number}", [f"K{number}", "same"], [f"E{number}"], hours=number)
        history.merge(LEG)
    assert len(history.files.listed(LEG, "success")) < 16
    everything = seen(history.search(limit=1000))
    assert len(everything) == len(set(everything)) == 120
    assert len(history.search(key="same", limit=1000)) == 40
    assert history.payload(LEG, "r39", "E39") == {"Name": "***", "City": "Berlin"}
    assert history.sweep(now=NOW) == 0
    assert [len(history.files.listed(LEG, side)) for side in ("success", "error")] == [1, 1]
    assert seen(history.search(limit=1000)) == everything


def test_totals_count_every_row_in_its_step(history: History, con: Any) -> None:
    for number in range(48):
        write(history, con, f"r{number}", ["A", "B"], ["C"], hours=number + 0.5,
              outcome="quarantined" if number % 2 else "rejected")  # fmt: skip
        if number == 30:
            history.sweep(now=NOW)
    day = timedelta(days=1)
    found = {(item.at, item.outcome): item.rows for item in history.totals(since=NOW - 2 * day, until=NOW, step=day)}
    assert found == {(NOW - days * day, outcome): rows for days in (1, 2)
                     for outcome, rows in (("delivered", 48), ("rejected", 12), ("quarantined", 12))}  # fmt: skip
    hours = history.totals(since=NOW - timedelta(hours=3), until=NOW - timedelta(hours=1), step=timedelta(hours=1))
    assert sum(item.rows for item in hours) == 6
    with pytest.raises(ConfigurationError, match="positive"):
        history.totals(since=NOW, until=NOW, step=timedelta(0))


def test_successes_and_errors_are_kept_for_their_own_times(history: History, con: Any) -> None:
    for number, days in enumerate((1, 6, 8, 29, 31)):
        write(history, con, f"r{number}", ["A"], ["B"], hours=24 * days)
    history.merge(LEG)
    assert history.sweep(now=NOW) == 3 + 1
    assert seen(history.search(limit=100)) == [
        ("r0", "A", "delivered"), ("r0", "B", "rejected"), ("r1", "A", "delivered"), ("r1", "B", "rejected"),
        ("r2", "B", "rejected"), ("r3", "B", "rejected"),
    ]  # fmt: skip
    assert history.sweep(now=NOW + timedelta(days=5)) == 1 + 1
    assert seen(history.search(limit=100)) == [
        ("r0", "A", "delivered"), ("r0", "B", "rejected"), ("r1", "B", "rejected"), ("r2", "B", "rejected"),
    ]  # fmt: skip


def test_a_forgotten_record_is_in_no_file_and_the_others_are(history: History, con: Any, root: str) -> None:
    for number in range(12):
        write(history, con, f"r{number}", ["A", "B"], ["C"], hours=number)
    history.merge(LEG)
    with Batches(f"{root}/runs").write(LEG, "r1", "changes") as into:
        into.copy(con, "SELECT 'A' AS _key, 'Ada' AS Name")
        into.facts = {"personal": ["Name"]}
    assert history.payload(LEG, "r1", "A") == {"Name": "***"}
    assert history.forget("A") == 12
    assert history.search(key="A") == []
    assert len(history.search(key="B", limit=100)) == len(history.search(key="C", limit=100)) == 12
    assert history.payload(LEG, "r1", "A") is None
    assert history.forget("A") == 0
    paths = [path for path in history.files.fs.find(history.files.root) if path.endswith(".parquet")]
    assert not any(b"TA" in history.files.fs.cat_file(path) for path in paths)


def merging(root: str, point: str) -> None:
    """Merge in this process, and die at a chosen point."""
    files = history_files.HistoryFiles
    real_move, real_finish = files._move, files._finish

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def half(self: Any, folder: str, note: str, old: Any) -> None:
        self.remove(f"{folder}/{list(old)[0]}")
        die()

    patches: dict[str, Any] = {
        "before it is noted": ("_move", die),
        "before the old files go": ("_finish", die),
        "while the old files go": ("_finish", half),
    }
    if point == "before the new file is there":

        def noted(self: Any, leg: str, side: Any, draft: str, **values: Any) -> None:
            fs_mv = self.fs.mv

            def mv(source: str, goal: str) -> None:
                if goal.endswith(".parquet"):
                    die()
                fs_mv(source, goal)

            self.fs.mv = mv
            real_move(self, leg, side, draft, **values)

        files._move = noted  # type: ignore[method-assign]
    else:
        name, function = patches[point]
        setattr(files, name, function)
    assert real_finish
    opened(root).merge(LEG)


@pytest.mark.parametrize("point", ["before it is noted", "before the new file is there", "before the old files go",
                                   "while the old files go"])  # fmt: skip
def test_a_merge_killed_anywhere_loses_and_doubles_no_row(tmp_path: Path, point: str) -> None:
    root = str(tmp_path)
    history = opened(root)
    with history.files.connect() as con:
        for number in range(10):
            write(history, con, f"r{number}", ["A", f"K{number}"], ["B"], hours=number)
    before = seen(history.search(limit=1000))
    process = multiprocessing.get_context("spawn").Process(target=merging, args=(root, point))
    process.start()
    process.join(60)
    assert process.exitcode == -9
    assert seen(history.search(limit=1000)) == before
    total = history.totals(since=NOW - timedelta(days=1), until=NOW + timedelta(days=1), step=timedelta(days=5))
    assert sum(item.rows for item in total) == len(before) == 30
    history.files.tidy(LEG, older_than=timedelta(0))
    history.merge(LEG)
    history.sweep(now=NOW)
    assert seen(history.search(limit=1000)) == before
    left = history.files._names(LEG, "success") | history.files._names(LEG, "error")
    assert not [name for name in left if name.startswith("moving/")]


def reading_on(root: str, path: str, begun: Any, over: Any) -> None:
    """Count rows over and over until told to stop; writes how often, and every count there was."""
    history, counts = opened(root), []
    while not over.is_set() or len(counts) < 2:
        counts.append(len(history.search(key="A", limit=1000)))
        begun.set()
    Path(path).write_text(json.dumps([len(counts), sorted(set(counts))]))


def test_whoever_reads_while_files_are_merged_sees_every_row(tmp_path: Path) -> None:
    root, told = str(tmp_path), str(tmp_path / "told")
    history = opened(root)
    with history.files.connect() as con:
        for number in range(8):
            write(history, con, f"r{number}", ["A"], hours=number)
        spawn = multiprocessing.get_context("spawn")
        begun, over = spawn.Event(), spawn.Event()
        process = spawn.Process(target=reading_on, args=(root, told, begun, over))
        process.start()
        assert begun.wait(60)
        for number in range(8, 48):
            write(history, con, f"r{number}", ["B"], hours=number)
            history.merge(LEG)
        over.set()
        process.join(60)
    times, counts = json.loads(Path(told).read_text())
    assert times > 0
    assert counts == [8]


@pytest.mark.parametrize("moment", ["before it is noted", "before the new file is there"])
def test_two_that_merge_at_once_count_no_row_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """One stops on its way; meanwhile another run comes to its end, and merges the same files and its own."""
    history, other = opened(str(tmp_path)), opened(str(tmp_path))

    def meanwhile() -> None:
        with other.files.connect() as con:
            write(other, con, "r9", ["A", "K9"], hours=9)
        other.merge(LEG)

    stop_once(monkeypatch, history.files, moment, meanwhile)
    with history.files.connect() as con:
        for number in range(9):
            write(history, con, f"r{number}", ["A", f"K{number}"], hours=number)
    history.merge(LEG)
    span = {"since": NOW - timedelta(days=9), "until": NOW + timedelta(days=9), "step": timedelta(days=30)}
    assert sum(item.rows for item in history.totals(**span)) == 20
    assert len(history.search(limit=1000)) == 20
    history.merge(LEG)
    assert sum(item.rows for item in history.totals(**span)) == 20


def stop_once(monkeypatch: pytest.MonkeyPatch, files: HistoryFiles, moment: str, meanwhile: Any) -> None:
    """Have something else done at one moment of the first replacement."""
    name = "_move" if moment == "before it is noted" else "_is_contested"
    real: Any = getattr(files, name)

    def stopped(*values: Any, **named: Any) -> Any:
        monkeypatch.undo()
        found = real(*values, **named) if name == "_is_contested" else None
        meanwhile()
        return found if name == "_is_contested" else real(*values, **named)

    monkeypatch.setattr(files, name, stopped)


@pytest.mark.parametrize("text", ["0", "-1", "a week", "1.5"])
def test_a_time_to_keep_that_is_no_number_of_days_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("COMMERCE_SYNC_KEEP_ERROR_DAYS", text)
    with pytest.raises(ConfigurationError, match=f"COMMERCE_SYNC_KEEP_ERROR_DAYS is '{text}'; give a whole number"):
        places.history()
