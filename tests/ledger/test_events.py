"""Events: each once per feed however often and in whatever order it comes; the cursor moves with what it brought."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger import REFUSED, Added, Refused, event_schema, events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AWKWARD = 'a "quoted", comma\nnew line \\. tab\t ümläut 漢 '

DELIVER = """
import random, sys
from datetime import UTC, datetime
import pyarrow as pa
from commerce_sync.ledger import Ledger, event_schema
ledger = Ledger.open(sys.argv[1], files=sys.argv[2])
order = random.Random(sys.argv[3])
new = 0
for start in range(0, 600, 100):
    ids = [f"e{number}" for number in range(start, start + 200)]
    order.shuffle(ids)
    rows = [(name, "product.viewed", "shop", None, datetime.now(UTC), "{}") for name in ids]
    table = pa.table([pa.array(list(v), f.type) for v, f in zip(zip(*rows), event_schema())], event_schema())
    new += ledger.add_events("storefront", table).new
print(new)
"""


def rows(*ids, kind="product.viewed", **values):
    row = {"type": kind, "source": "shop", "subject": "ada", "occurred_at": NOON, "data": '{"product": "P1"}'} | values
    return pa.Table.from_pylist([{"event_id": name} | row for name in ids], event_schema())


def read(ledger, feed="storefront", **asked):
    return [row for batch in ledger.events(feed, **asked) for row in batch.to_pylist()]


def ids(ledger, feed="storefront", **asked):
    return [row["event_id"] for row in read(ledger, feed, **asked)]


def test_an_event_comes_back_as_it_was_delivered(ledger):
    began = datetime.now(UTC)
    ledger.add_events("storefront", rows("e1", subject=AWKWARD, data='{"text": "\\u0000"}', source=AWKWARD))
    (event,) = read(ledger)
    assert (event["subject"], event["source"], event["data"]) == (AWKWARD, AWKWARD, '{"text": "\\u0000"}')
    assert (event["type"], event["occurred_at"]) == ("product.viewed", NOON)
    assert began <= event["received_at"] <= datetime.now(UTC)


def test_a_subject_may_be_missing(ledger):
    ledger.add_events("storefront", rows("e1").drop_columns(["subject"]))
    assert read(ledger)[0]["subject"] is None


def test_a_repeated_delivery_changes_nothing(ledger):
    assert ledger.add_events("storefront", rows("e1", "e2")) == Added(new=2)
    before = read(ledger)
    assert ledger.add_events("storefront", rows("e2", "e1", data='{"product": "other"}')) == Added(doubled=2)
    assert read(ledger) == before


def test_an_event_that_is_twice_in_a_delivery_is_there_once(ledger):
    assert ledger.add_events("storefront", rows("e1", "e1", "e2")) == Added(new=2, doubled=1)
    assert sorted(ids(ledger)) == ["e1", "e2"]


def test_feeds_do_not_share_their_ids(ledger):
    ledger.add_events("storefront", rows("e1"))
    assert ledger.add_events("devices", rows("e1")).new == 1
    assert ledger.feeds() == ["devices", "storefront"]


def test_processes_that_deliver_the_same_events_in_other_orders_lose_and_double_none(ledger, url, tmp_path, processes):
    printed = processes(DELIVER, url, str(tmp_path / "files"), number=4)
    assert sum(int(line) for line in printed) == 700
    assert sorted(ids(ledger)) == sorted(f"e{number}" for number in range(700))


def test_events_are_asked_for_by_type_and_time_received(ledger):
    ledger.add_events("storefront", rows("old"))
    ledger.add_events("storefront", rows("seen", kind="search.performed"))
    first, second = read(ledger)
    assert ids(ledger, types=["search.performed"]) == ["seen"]
    assert ids(ledger, since=second["received_at"]) == ["seen"]
    assert ids(ledger, since=first["received_at"], until=second["received_at"]) == ["old"]
    assert ids(ledger, types=["none"]) == []


def test_reading_by_time_received_misses_nothing_when_a_worker_has_a_slow_clock(ledger, monkeypatch):
    ledger.add_events("storefront", rows("e1"))
    seen = read(ledger)[0]["received_at"]

    class Slow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(hours=1)

    monkeypatch.setattr(events, "datetime", Slow)
    ledger.add_events("storefront", rows("e2"))
    assert ids(ledger, since=seen) == ["e1", "e2"]


def test_the_cursor_moves_with_the_events_it_brought(ledger):
    seen = ledger.feed_state("storefront")
    assert (seen.version, seen.cursor, seen.polled_at) == (0, {}, None)
    ledger.add_events("storefront", rows("e1"), seen=seen, cursor={"next": "e1"}, message="slow")
    moved = ledger.feed_state("storefront")
    assert (moved.version, moved.cursor, moved.message) == (1, {"next": "e1"}, "slow")
    assert ledger.feed_moved(moved, cursor={"next": "e2"}).version == 2


@pytest.mark.parametrize("version", [0, 1])
def test_of_two_polls_from_the_same_cursor_one_writes_nothing(ledger, version):
    if version:
        ledger.add_events("storefront", rows("e0"), seen=ledger.feed_state("storefront"), cursor={"n": 0})
    seen = ledger.feed_state("storefront")
    ledger.add_events("storefront", rows("e1"), seen=seen, cursor={"n": 1})
    with pytest.raises(RetryableError, match="another poll"):
        ledger.add_events("storefront", rows("e2"), seen=seen, cursor={"n": 2})
    assert "e2" not in ids(ledger)
    assert ledger.feed_state("storefront").cursor == {"n": 1}


def test_events_that_cannot_be_written_leave_the_cursor_where_it_was(ledger):
    broken = rows("e1").set_column(5, "data", pa.array([None], pa.string()))
    with pytest.raises(ConfigurationError, match="lack data"):
        ledger.add_events("storefront", broken, seen=ledger.feed_state("storefront"), cursor={"n": 1})
    assert ledger.feed_state("storefront").version == 0
    assert ledger.feeds() == []


def test_a_column_that_is_not_one_is_refused_with_the_legal_names(ledger):
    with pytest.raises(ConfigurationError, match="needed: event_id, type"):
        ledger.add_events("storefront", rows("e1").rename_columns(["id", *event_schema().names[1:]]))


def refused(*names, key="e1"):
    rejects = [{"key": key, "status": "quarantined", "reason": "no product"}] * len(names)
    return Refused(rows(*names, kind=REFUSED), pa.Table.from_pylist(rejects))


def test_what_is_not_valid_is_kept_and_listed_but_not_read(ledger):
    assert ledger.add_events("storefront", rows("e2"), refused=refused("~1")) == Added(new=1, refused=1)
    assert ids(ledger) == ["e2"]
    assert ids(ledger, types=[REFUSED]) == ["~1"]
    (reject,) = ledger.rejects("feed/storefront")
    assert (reject.key, reject.status, reject.reason) == ("e1", "quarantined", "no product")


def test_two_refused_forms_of_one_event_are_one_reject(ledger):
    assert ledger.add_events("storefront", rows(), refused=refused("~1", "~2")).refused == 2
    assert len(ledger.rejects("feed/storefront")) == 1


def test_a_refused_event_that_comes_again_stays_dismissed(ledger):
    ledger.add_events("storefront", rows(), refused=refused("~1"))
    ledger.dismiss_rejects("feed/storefront", keys=["e1"])
    assert ledger.add_events("storefront", rows(), refused=refused("~1")) == Added(doubled=1)
    assert ledger.reject_counts("feed/storefront") == {"dismissed": 1}


def test_the_corrected_event_clears_its_reject(ledger):
    ledger.add_events("storefront", rows(), refused=refused("~1"))
    ledger.add_events("storefront", rows("e1"))
    assert ledger.rejects("feed/storefront") == []
    assert ids(ledger) == ["e1"]


def test_old_events_are_forgotten_with_what_was_set_aside(ledger):
    ledger.add_events("storefront", rows("e1", "e2"), refused=refused("~1", key="x"))
    ledger.add_events("devices", rows("d1"))
    later = datetime.now(UTC)
    ledger.add_events("storefront", rows("e3"))
    assert ledger.drop_events(later, feed="storefront") == 3
    assert ids(ledger) == ["e3"]
    assert ledger.rejects("feed/storefront") == []
    assert ids(ledger, "devices") == ["d1"]
    assert ledger.drop_events(later) == 1


def test_numbers_are_never_given_twice(ledger):
    ledger.add_events("storefront", rows("e1"))
    (first,) = read(ledger)
    ledger.drop_events(datetime.now(UTC))
    ledger.add_events("storefront", rows("e2"))
    assert read(ledger)[0]["seq"] > first["seq"]


def test_a_subject_can_be_erased_from_every_feed(ledger):
    ledger.add_events("storefront", rows("e1"))
    ledger.add_events("storefront", rows("e2", subject="bob"))
    ledger.add_events("devices", rows("d1"))
    assert ledger.erase_events("ada") == 2
    assert ids(ledger) == ["e2"]


def test_a_hundred_thousand_events_in_any_order_with_repetitions_are_there_once(ledger):
    names = [f"e{number:06d}" for number in range(100_000)]
    sent = names + names[:20_000]
    random.Random(7).shuffle(sent)
    added = Added()
    for start in range(0, len(sent), 40_000):
        added += ledger.add_events("storefront", rows(*sent[start : start + 40_000]))
    assert added == Added(new=100_000, doubled=20_000)
    assert sorted(ids(ledger)) == names
    assert ledger.event_counts("storefront") == {"product.viewed": 100_000}
