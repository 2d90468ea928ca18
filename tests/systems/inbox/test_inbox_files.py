"""A feed of files: each line once, files read on as they grow, whatever dies in between."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger import Added, Ledger, events
from commerce_sync.systems.inbox import feeds, files
from commerce_sync.systems.inbox.polling import poll

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(home):
    (home.parent / "feed-files" / "storefront.yaml").write_text("feed: storefront\nkind: file\npath: drop/*.jsonl\n")
    (home / "drop").mkdir(parents=True)
    return home / "drop"


@pytest.fixture
def append(folder, event):
    def _append(name, *events, end="\n"):
        with (folder / name).open("a") as sink:
            sink.write("\n".join(json.dumps(item) for item in events or [event()]) + end)

    return _append


@pytest.fixture
def ids(kept):
    return lambda: [row["event_id"] for row in kept()]


def test_files_are_read_on_as_they_grow(append, ids):
    append("a.jsonl")
    append("b.jsonl")
    assert poll("storefront") == Added(new=2)
    append("a.jsonl")
    append("c.jsonl")
    assert poll("storefront") == Added(new=2)
    assert poll("storefront") == Added()
    assert ids() == ["e1", "e2", "e3", "e4"]


def test_a_line_still_being_written_waits_and_is_told(append, folder, event, ids, ledger):
    append("a.jsonl", event(), end="\n" + json.dumps(event())[:30])
    assert poll("storefront") == Added(new=1)
    assert "not finished" in ledger.feed_state("storefront").message
    with (folder / "a.jsonl").open("w") as sink:
        sink.write("\n".join(json.dumps(event(id=name)) for name in ("e1", "e2")) + "\n")
    assert poll("storefront").new == 1
    assert ids() == ["e1", "e2"]
    assert ledger.feed_state("storefront").message is None


def test_a_last_line_without_a_line_end_counts_when_it_is_whole(append, ids):
    append("a.jsonl", end="")
    assert poll("storefront") == Added(new=1)
    append("a.jsonl", end="")
    assert poll("storefront") == Added(new=1)
    assert ids() == ["e1", "e2"]


def test_a_file_written_anew_is_read_from_its_start(append, folder, event, ids):
    append("a.jsonl", event(), event())
    poll("storefront")
    (folder / "a.jsonl").unlink()
    append("a.jsonl", *(event(source="https://other.example") for _number in range(9)))
    assert poll("storefront") == Added(new=9)
    (folder / "a.jsonl").unlink()
    append("a.jsonl", event())
    assert poll("storefront") == Added(new=1)
    assert len(ids()) == 12


def test_a_file_that_is_moved_brings_nothing_twice(append, folder, ids):
    append("a.jsonl")
    poll("storefront")
    (folder / "a.jsonl").rename(folder / "z.jsonl")
    assert poll("storefront") == Added(doubled=1)
    assert ids() == ["e1"]


def test_wrong_lines_do_not_stop_the_feed(append, folder, event, ids, ledger):
    append("a.jsonl", event(), {"id": "x"}, event())
    (folder / "b.jsonl").write_bytes(b"\xff\xfe\n\n" + json.dumps(event()).encode() + b"\n")
    assert poll("storefront") == Added(new=3, refused=2)
    assert ids() == ["e1", "e2", "e3"]
    assert any("a.jsonl" in item.reason for item in ledger.rejects("feed/storefront"))


def test_large_files_go_in_piece_by_piece_and_lines_without_end_are_set_aside(append, event, ids, monkeypatch):
    monkeypatch.setattr(files, "BLOCK_BYTES", 1000)
    append("a.jsonl", *(event() for _number in range(20)))
    append("a.jsonl", event(data={"product": "P" * 5000}))
    append("a.jsonl", *(event() for _number in range(20)))
    added = poll("storefront")
    assert added.new == len(ids()) == 40
    assert added.refused > 0


class Dying(Ledger):
    """A ledger whose process dies at one of its writes, before or after it has its effect."""

    def __init__(self, ledger, *, at, after):
        super().__init__(ledger._engine, files=ledger.files.root)
        self.left, self.after = at, after

    def add_events(self, *args, **options):
        self.left -= 1
        if self.left == 0 and not self.after:
            raise RetryableError("died")
        added = super().add_events(*args, **options)
        if self.left == 0:
            raise RetryableError("died")
        return added


@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize("after", [False, True])
def test_a_poll_may_die_at_any_write_and_brings_every_event_once(append, event, ids, ledger, monkeypatch, at, after):
    monkeypatch.setattr(files, "BLOCK_BYTES", 600)
    for name in ("a.jsonl", "b.jsonl"):
        append(name, *(event() for _number in range(4)))
    with pytest.raises(RetryableError):
        poll("storefront", ledger=Dying(ledger, at=at, after=after))
    done = len(ids())
    assert poll("storefront") == Added(new=8 - done)
    assert ids() == [f"e{number}" for number in range(1, 9)]


def test_a_folder_without_files_is_told_and_a_poll_of_it_is_noted(folder, ledger):
    assert poll("storefront") == Added()
    state = ledger.feed_state("storefront")
    assert "no file matches" in state.message
    assert state.polled_at is not None


def test_old_events_go_when_the_feed_keeps_them_for_days(append, home, ids, monkeypatch):
    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=8)

    append("a.jsonl")
    with monkeypatch.context() as clock:
        clock.setattr(events, "datetime", Earlier)
        poll("storefront")
    append("a.jsonl")
    (home.parent / "feed-files" / "storefront.yaml").write_text(
        "feed: storefront\nkind: file\npath: drop/*.jsonl\nkeep_days: 7\n"
    )
    poll("storefront")
    assert ids() == ["e2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("feed: f\nkind: file\npth: x", r"f.yaml:3: unknown key 'pth' in a file feed \(did you mean 'path'\?\); legal keys"),
        ("feed: f\nkind: kafka\npath: x", r"f.yaml:1: kind is 'kafka'; legal values: file, http"),
        ("feed: f\nkind: file", r"f.yaml:1: a file feed needs feed, path; missing: path"),
        ("feed: g\nkind: file\npath: x", r"f.yaml:1: feed is 'g'; it must be the file's name 'f'"),
        ("feed: f\nkind: file\npath: x\ntypes: all", r"f.yaml:4: types is 'all'; it must be a list of names"),
        ("feed: f\nkind: file\npath: x\nkeep_days: 0", r"f.yaml:4: keep_days is 0; it must be a number from 1 on"),
        ("feed: f\nkind: file\npath: x\npath: y", r"f.yaml:4: key 'path' stands twice"),
        ("feed: f\nkind: file\npath: x\nsize: 5", r"f.yaml:4: unknown key 'size' in a file feed"),
        ("feed: [", r"f.yaml:1: not readable as YAML"),
        ("- feed", r"f.yaml:1: a feed file is a YAML mapping"),
        ("feed: f\nkind: file\npath: x\ntypes: []", r"f.yaml:1: types \[\] of a feed"),
    ],
)  # fmt: skip
def test_a_wrong_feed_file_is_refused_with_file_and_line(tmp_path, text, message):
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        feeds.load(tmp_path / "f.yaml")


def test_a_feed_that_is_not_there_is_refused_with_those_that_are(folder):
    with pytest.raises(ConfigurationError, match="no feed 'shopfront'.*there are: storefront"):
        poll("shopfront")


@pytest.mark.parametrize("path", sorted((ROOT / "include" / "feeds").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_feeds_of_the_project_are_readable(path):
    assert feeds.load(path).feed == path.stem
