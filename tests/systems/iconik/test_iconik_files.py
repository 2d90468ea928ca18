"""Downloads that survive cuts and expired addresses; jobs that are waited for."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import TaskDeferred

from commerce_sync.errors import ConfigurationError, RejectedError, RetryableError
from commerce_sync.systems.iconik.operators import (
    IconikDownloadOperator,
    IconikSearchOperator,
    IconikTranscodeOperator,
)
from commerce_sync.systems.iconik.triggers import IconikJobsTrigger

CONN = {"iconik_conn_id": "iconik_test"}


@pytest.fixture
def film(domain: Any) -> tuple[str, dict[str, Any]]:
    """An asset with a film of some size: (asset id, its file)."""
    key = domain.asset("Film", media="video", width=640, height=480, seconds=4)
    return key, domain.far.records("files", asset_id=key)[0]


def fetch(domain: Any, film: tuple[str, dict[str, Any]], to: Path, **more: Any) -> Any:
    key, file = film
    options = {"expected_checksum": file["checksum"], "size": file["size"]} | more
    return domain.hook.download(key, file["id"], to, **options)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_a_file_arrives_whole_and_proved(domain: Any, film: Any, tmp_path: Path) -> None:
    done = fetch(domain, film, tmp_path / "sub" / "film.mov")
    assert (done.size_bytes, done.md5, done.requests, done.resumed) == (film[1]["size"], film[1]["checksum"], 1, 0)
    assert md5(done.path) == film[1]["checksum"]
    assert len(done.sha256) == 64
    assert not list(tmp_path.glob("**/*.part"))
    assert domain.far.records("history", operation_type="DOWNLOAD") == [], "a sync is no download by a person"


def test_a_cut_download_goes_on_where_it_stood(domain: Any, film: Any, tmp_path: Path) -> None:
    domain.far.fault(action="truncate_download", times=3)
    done = fetch(domain, film, tmp_path / "film.mov")
    assert done.requests == 4
    assert md5(done.path) == film[1]["checksum"]
    answers = [call["status"] for call in domain.far.calls(log=True)["log"] if "/storage/" in call["path"]]
    assert answers == [200, 206, 206, 206]


def test_what_a_killed_process_left_is_used(domain: Any, film: Any, tmp_path: Path) -> None:
    whole = fetch(domain, film, tmp_path / "whole").path.read_bytes()
    (tmp_path / "film.mov.part").write_bytes(whole[: len(whole) // 3])
    done = fetch(domain, film, tmp_path / "film.mov")
    assert done.resumed == len(whole) // 3
    assert done.path.read_bytes() == whole


@pytest.mark.parametrize("left", [b"not this film at all", b"x" * 50_000_000])
def test_a_part_of_something_else_is_thrown_away(domain: Any, film: Any, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "film.mov.part").write_bytes(left)
    assert md5(fetch(domain, film, tmp_path / "film.mov").path) == film[1]["checksum"]


def test_a_complete_part_is_only_proved(domain: Any, film: Any, tmp_path: Path) -> None:
    whole = fetch(domain, film, tmp_path / "whole").path.read_bytes()
    (tmp_path / "a.part").write_bytes(whole)
    assert fetch(domain, film, tmp_path / "a").requests == 0
    (tmp_path / "b.part").write_bytes(whole)
    assert fetch(domain, film, tmp_path / "b", size=None).requests == 1
    assert (tmp_path / "b").read_bytes() == whole


@pytest.mark.parametrize("status", [403, 410])
def test_an_address_that_ended_is_asked_for_again(domain: Any, film: Any, tmp_path: Path, status: int) -> None:
    domain.far.options(expired_url_status=status)
    key, file = film
    address = domain.with_client(lambda client: _address(client, key, file["id"]))
    domain.far.fault(action="expire_urls")
    given = []

    async def addresses() -> str:
        given.append(1)
        if len(given) == 1:
            return address
        return await asyncio.to_thread(lambda: domain.with_client(lambda client: _address(client, key, file["id"])))

    from commerce_sync.systems.iconik.download import download

    done = asyncio.run(download(addresses, tmp_path / "film.mov", expected_checksum=file["checksum"], sleep=domain.nap))
    assert len(given) == 2
    assert md5(done.path) == file["checksum"]


async def _address(client: Any, key: str, file: str) -> str:
    from commerce_sync.systems.iconik import media

    return await media.address(client, key, "files", file)


def test_bytes_that_are_not_the_file_s_are_fetched_again_and_then_refused(
    domain: Any, film: Any, tmp_path: Path
) -> None:
    domain.far.fault(action="corrupt_download", times=1)
    assert md5(fetch(domain, film, tmp_path / "once.mov").path) == film[1]["checksum"]
    domain.far.fault(action="corrupt_download", times=None)
    with pytest.raises(RetryableError, match="checksum"):
        fetch(domain, film, tmp_path / "film.mov")
    assert not (tmp_path / "film.mov").exists()
    assert not (tmp_path / "film.mov.part").exists()


def test_a_storage_that_is_down_leaves_the_part_for_the_next_attempt(domain: Any, film: Any, tmp_path: Path) -> None:
    domain.far.fault(action="truncate_download", times=1)
    domain.far.fault(action="status", status=503, times=None, skip=1, match={"path": "/storage/"})
    with pytest.raises(RetryableError, match="the part is kept"):
        fetch(domain, film, tmp_path / "film.mov")
    assert (tmp_path / "film.mov.part").stat().st_size == film[1]["size"] // 2
    domain.far.clear_faults()
    assert fetch(domain, film, tmp_path / "film.mov").resumed == film[1]["size"] // 2


def test_a_file_that_has_gone_is_one_record_s_trouble(domain: Any, film: Any, tmp_path: Path) -> None:
    key, file = film
    domain.hook.call("DELETE", f"files/v1/assets/{key}/files/{file['id']}/")
    with pytest.raises(RejectedError) as caught:
        fetch(domain, film, tmp_path / "film.mov")
    assert caught.value.reason_class == "reference"


def test_the_operator_fetches_the_only_file(domain: Any, film: Any, tmp_path: Path) -> None:
    key, file = film
    done = IconikDownloadOperator(task_id="t", asset_id=key, path=str(tmp_path / "f"), **CONN).execute({})
    assert (done["md5"], done["size_bytes"]) == (file["checksum"], file["size"])
    with pytest.raises(ConfigurationError, match="one is needed"):
        IconikDownloadOperator(task_id="t", asset_id=key, file_id="x", path="/x", **CONN).execute({})
    proxy = IconikDownloadOperator(task_id="t", asset_id=key, kind="proxies", path=str(tmp_path / "p"), **CONN).execute(
        {}
    )
    assert proxy["size_bytes"] == (tmp_path / "p").stat().st_size


def test_the_search_operator_writes_typed_rows(domain: Any, tmp_path: Path) -> None:
    for number in range(3):
        domain.asset(f"A{number}", metadata={"sku": [str(number)], "media_role": "hero"})
    criteria = {"doc_types": ["assets"], "query": "metadata.media_role:hero", "sort": [{"name": "title"}]}
    fields = {"id": "VARCHAR", "title": "VARCHAR", "metadata": "STRUCT(sku VARCHAR[])"}
    path = str(tmp_path / "heroes.parquet")
    done = IconikSearchOperator(task_id="t", criteria=criteria, fields=fields, path=path, limit=2, **CONN).execute({})
    assert done == {"path": path, "rows": 2}
    assert pq.read_table(path).to_pylist()[1]["metadata"] == {"sku": ["1"]}


def test_a_transcode_is_waited_for_and_a_failed_one_is_a_retry(domain: Any, film: Any) -> None:
    domain.far.options(job_duration_s=0)
    key, _ = film
    job = IconikTranscodeOperator(task_id="t", asset_id=key, poll_s=0, **CONN).execute({})
    assert domain.far.records("jobs", id=job)[0]["status"] == "FINISHED"
    domain.far.fault(action="transcode_fails", message="codec unknown")
    with pytest.raises(RetryableError, match="FAILED: codec unknown"):
        IconikTranscodeOperator(task_id="t", asset_id=key, poll_s=0, **CONN).execute({})
    with pytest.raises(ConfigurationError, match="not in iconik"):
        IconikTranscodeOperator(task_id="t", asset_id="00000000-0000-1000-8000-000000000000", **CONN).execute({})


def test_a_deferred_transcode_joins_the_job_that_runs_already(domain: Any, film: Any) -> None:
    domain.far.options(job_duration_s=3600)
    operator = IconikTranscodeOperator(task_id="t", asset_id=film[0], deferrable=True, **CONN)
    with pytest.raises(TaskDeferred) as first:
        operator.execute({})
    with pytest.raises(TaskDeferred) as second:
        operator.execute({})
    job = first.value.kwargs["job_id"]
    assert second.value.kwargs["job_id"] == job
    domain.far.clock(advance_s=4000)
    event = fired(first.value.trigger)
    assert event["states"][job]["status"] == "FINISHED"
    assert operator.resume({}, event, job_id=job) == job
    for bad in ({"status": "timeout", "states": {}}, {"status": "error", "message": "401"}, None):
        with pytest.raises(RetryableError):
            operator.resume({}, bad, job_id=job)


def fired(trigger: Any) -> dict[str, Any]:
    async def run() -> Any:
        async for event in trigger.run():
            return event.payload
        return None

    return asyncio.run(run())


def test_the_trigger_outlives_trouble_and_tells_what_it_cannot(domain: Any, film: Any, connect: Any) -> None:
    domain.far.options(job_duration_s=0)
    job = IconikTranscodeOperator(task_id="t", asset_id=film[0], poll_s=0, **CONN).execute({})
    path, arguments = IconikJobsTrigger("iconik_test", job_ids=[job, "gone"], poll_s=0.01, timeout_s=20).serialize()
    assert path.endswith("IconikJobsTrigger")
    domain.far.fault(action="status", status=404, times=None, match={"path": "jobs/gone"})
    states = fired(IconikJobsTrigger(**arguments))["states"]
    assert {key: one["status"] for key, one in states.items()} == {job: "FINISHED", "gone": "DISCARDED"}
    domain.far.options(job_duration_s=3600)
    held = domain.hook.call(
        "POST",
        f"files/v1/assets/{film[0]}/versions/{domain.far.records('assets')[0]['versions'][0]['id']}/transcode/",
        json={},
    )
    assert (
        fired(IconikJobsTrigger("iconik_test", job_ids=[held["job_id"]], poll_s=0.01, timeout_s=0.05))["status"]
        == "timeout"
    )
    connect(password="wrong")
    assert fired(IconikJobsTrigger("iconik_test", job_ids=[job]))["status"] == "error"
