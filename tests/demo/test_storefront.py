"""The demo's visitors: what the feeds take, the same every time, and long enough ago to be due."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from commerce_sync.ledger import Ledger
from commerce_sync.systems.inbox import feeds
from commerce_sync.systems.inbox.taking import take
from demo import storefront
from demo.folder import PROJECT
from demo.storefront import Catalog

NOW = datetime.now(UTC)
CATALOG = Catalog(
    customers=[f"c{number:03}@example.com" for number in range(90)],
    buyers=[f"b{number:03}@example.com" for number in range(40)],
    products=[(str(number), "9.99") for number in range(60)],
)


@pytest.fixture
def written(tmp_path):
    counts = storefront.write(tmp_path, CATALOG, now=NOW)
    lines = {path.parent.name: path.read_text().splitlines() for path in tmp_path.glob("feeds/*/*.jsonl")}
    return counts, lines


def test_the_inbox_takes_every_event(written, tmp_path):
    counts, lines = written
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", files=str(tmp_path / "markers"))
    for feed, texts in lines.items():
        types = feeds.load(PROJECT / "include" / "feeds" / f"{feed}.yaml").types
        take(ledger, feed, [text.encode() for text in texts], types=types)
        assert ledger.reject_counts(f"feed/{feed}") == {}
    assert sum(counts.values()) == sum(map(len, lines.values()))
    assert counts.keys() > {"product.viewed", "product.compared", "content.downloaded", "customer.registered"}


def test_everything_happened_hours_ago_and_not_last_week(written):
    moments = [datetime.fromisoformat(json.loads(text)["time"]) for text in written[1]["storefront"]]
    assert NOW - timedelta(days=2) < min(moments)
    assert max(moments) < NOW - timedelta(hours=2)
    assert moments == sorted(moments)


def test_the_same_moment_gives_the_same_events():
    assert list(storefront.storefront(CATALOG, now=NOW)) == list(storefront.storefront(CATALOG, now=NOW))
