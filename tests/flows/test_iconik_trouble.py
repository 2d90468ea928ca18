"""What goes wrong between iconik and the shop: hints that get lost, a service that refuses, two runs at once, many assets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows.archive import Archive, Catalog
from flows.gallery import GOVERNANCE, Gallery, gallery
from flows.walking import Shop, Walk, connection, legs_of

__all__ = ["gallery"]
Row = dict[str, Any]


class Ear:
    """Whoever listens to iconik's webhooks; a hint says that something changed, and nothing else of it is believed."""

    def __init__(self) -> None:
        self.heard: list[Row] = []
        hints = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hints.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self) -> int:
        """How many hints came since the last look."""
        number = len(self.heard)
        self.heard.clear()
        return number


@pytest.fixture
def ear() -> Iterator[Ear]:
    found = Ear()
    yield found
    found.server.shutdown()
    found.server.server_close()


HISTORY: list[Callable[[Gallery, Row], None]] = [
    lambda gallery, keys: keys.update(front=gallery.picture("Front", "1"), side=gallery.picture("Side", "1", role="gallery")),
    lambda gallery, keys: gallery.describe(keys["front"], alt_text="Another text"),
    lambda gallery, keys: keys.update(other=gallery.picture("Other", "2")),
    lambda gallery, keys: gallery.describe(keys["side"], commerce_status="draft"),
]  # fmt: skip


def end_of(gallery: Gallery, keys: Row) -> Any:
    """What the shop and the assets hold, without ids."""
    names = {key: name for name, key in keys.items()}
    media = {f"{names[code[7:43]]} {code[44:]}": row["altText"] for code, row in gallery.media().items()}
    pictures = {code: names[gallery.pictures(code)["picture"][7:43]] for code in ("1", "2")}
    states = {name: gallery.described(key)["commerce_status"] == ["published"] for name, key in keys.items()}
    return media, pictures, states


def play(gallery: Gallery, folder: Path, ear: Ear | None) -> Any:
    """The history from the start: a run per step that was hinted at, then one sweep. Without an ear only the sweep."""
    gallery.shop.reset()
    gallery.domain.reset()
    gallery.domain.options(index_lag_s=0, raw_edits_fire_webhooks=True)
    gallery.walk = Walk(folder)
    gallery.walk.gated = False
    gallery.products("1", "2")
    if ear:
        for kind in ("assets", "metadata"):
            body = {"event_type": "assets", "status": "ENABLED", "url": ear.url, "name": kind}
            gallery.api("POST", "notifications/v1/webhooks/", json=body)
        gallery.domain.fault(action="webhook_double", times=None)
    keys: Row = {}
    for number, step in enumerate(HISTORY):
        if ear and number == 2:
            gallery.domain.fault(action="webhook_loss", times=None)
        step(gallery, keys)
        if ear and ear.take():
            gallery()
    gallery()
    return end_of(gallery, keys)


def test_lost_and_doubled_hints_change_nothing_of_the_end(gallery: Gallery, ear: Ear, tmp_path: Path) -> None:
    alone = play(gallery, tmp_path / "alone", None)
    hinted = play(gallery, tmp_path / "hinted", ear)
    assert alone == hinted
    assert alone[1] == {"1": "front", "2": "other"}
    assert alone[2] == {"front": True, "side": False, "other": True}
    assert set(alone[0]) == {"front master", "front thumb", "other master", "other thumb"}


def test_a_storm_of_refusals_costs_calls_and_nothing_else(gallery: Gallery) -> None:
    gallery.products("1", "2")
    keep, lose = gallery.picture("Keep", "1"), gallery.picture("Lose", "2")
    gallery.domain.fault(action="rate_limit", match={"path": "/API/"}, times=3)
    for skip in (6, 14, 22):
        gallery.domain.fault(action="rate_limit", match={"path": "/API/"}, skip=skip, times=2, retry_after=0)
    gallery(GOVERNANCE)
    gallery()
    assert {code[7:43] for code in gallery.media()} == {keep, lose}
    gallery.review(lose, "NOT_APPROVED")
    gallery.domain.fault(action="rate_limit", match={"path": "/API/"}, times=3)
    gallery(GOVERNANCE)
    gallery()
    assert {code[7:43] for code in gallery.media()} == {keep}
    assert sum("Commerce decision: withdraw" in text for text in gallery.history(lose)) >= 1


def test_addresses_that_end_while_many_files_are_fetched_are_asked_for_again(gallery: Gallery) -> None:
    gallery.products("1")
    keys = [gallery.picture(f"P{number}", "1", role="gallery") for number in range(3)]
    gallery.domain.options(signed_url_ttl_s=1)
    gallery.domain.fault(action="expire_urls")
    gallery.domain.fault(action="truncate_download", times=2)
    gallery()
    for key in keys:
        assert gallery.md5(f"iconik-{key}-master") == gallery.original(key)["checksum"]


def test_what_the_index_shows_late_arrives_with_the_next_sweep_and_a_failed_transcode_never(gallery: Gallery) -> None:
    gallery.products("1", "2")
    gallery.picture("There", "1")
    film = gallery.picture("Film", "2", role="video", media="video")
    proxy = next(row for row in gallery.domain.records("proxies") if row["asset_id"] == film)
    gallery.domain.patch("proxies", proxy["id"], status="FAILED")
    gallery.domain.options(index_lag_s=3600)
    late = gallery.picture("Late", "2", metadata={"commerce_status": "draft"})
    gallery.describe(late, commerce_status="ready_for_commerce")
    gallery()
    assert "picture" not in gallery.pictures("2")
    gallery.domain.clock(advance_s=4000)
    gallery()
    assert gallery.pictures("2")["picture"].startswith(f"iconik-{late}-")
    assert not any(film in code for code in gallery.media())


@pytest.fixture
def archive(media: Any, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setenv("AIRFLOW_CONN_ICONIK_DEFAULT", connection(media, max_per_second=100_000))
    return Archive(media)


def test_two_runs_at_once_open_one_package_per_product(walk: Walk, archive: Archive, shop: Shop) -> None:
    catalog = Catalog(shop.far)
    codes = [f"p{number}" for number in range(8)]
    for code in codes:
        catalog.product(code)
    archive.far.fault(action="delay", delay_ms=30, match={"method": "POST", "path": "/collections/$"}, times=None)
    legs_of("iconik_packages")  # read once: a DAG file is not read by two threads at a time
    walks = [walk, Walk(walk.folder)]
    start = threading.Barrier(2)
    errors: list[Any] = []

    def run(one: Walk, name: str) -> None:
        start.wait()
        one("iconik_packages", leg="products_to_packages", run_id=name)
        errors.extend(one.errors.values())

    threads = [threading.Thread(target=run, args=(one, f"run of {number}")) for number, one in enumerate(walks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert [type(error).__name__ for error in errors] in ([], ["LegBusy"])
    walk("iconik_packages", "complete")
    assert walk.errors == {}
    assert sorted(row["external_id"] for row in archive.far.records("collections")) == [
        f"sapcc:Default:{code}" for code in codes
    ]


@pytest.mark.parametrize("assets", [300, 1500])
def test_a_full_look_at_many_assets_takes_a_call_per_hundred(
    walk: Walk, archive: Archive, shop: Shop, assets: int
) -> None:
    Catalog(shop.far)
    at = "2026-01-01T00:00:00.000000+00:00"
    archive.far.put(
        "assets", [{"title": f"Asset {number}", "date_created": at, "date_modified": at} for number in range(assets)]
    )
    archive.far.reset_calls()
    run = walk.leg("assets_to_media_texts", "complete")
    assert (run.status, archive.far.calls()["by_route"]["POST /API/search/v1/search"]) == ("green", assets // 100 + 2)
    assert archive.far.calls()["total"] <= assets // 100 + 8
