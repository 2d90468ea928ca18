"""Files one can fetch, links that end, transcodes that take time or fail."""

from __future__ import annotations

import hashlib
import io
import struct
import wave
import zlib

import pytest
import requests


def fetch(url, **headers):
    return requests.get(url, headers=headers, timeout=20)


def first(api, asset, kind):
    return api.ok("GET", f"files/v1/assets/{asset['id']}/{kind}/?generate_signed_url=true")["objects"][0]


def boxes(data):
    place, found = 0, []
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        found.append(data[place + 4 : place + 8])
        place += size
        if size < 8:
            break
    return found


def check_png(data):
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    (length,) = struct.unpack(">I", data[33:37])
    assert data[37:41] == b"IDAT"
    assert len(zlib.decompress(data[41 : 41 + length])) == height * (1 + 3 * width)


@pytest.mark.parametrize("media", ["png", "image", "video", "audio", "pdf"])
def test_a_file_has_the_size_and_checksum_it_says_and_is_what_it_says(api, package, media):
    file = first(api, package(media=media), "files")
    answer = fetch(file["url"])
    assert answer.status_code == 200
    assert (len(answer.content), hashlib.md5(answer.content).hexdigest()) == (file["size"], file["checksum"])
    if media == "png":
        check_png(answer.content)
    elif media == "image":
        assert answer.content.startswith(b"\xff\xd8\xff\xe0")
        assert b"\xff\xd9" in answer.content
    elif media == "video":
        assert boxes(answer.content)[:3] == [b"ftyp", b"mdat", b"moov"]
    elif media == "audio":
        with wave.open(io.BytesIO(answer.content)) as sound:
            assert sound.getframerate() == 8000
    else:
        assert answer.content.startswith(b"%PDF-1.4")


def test_proxies_and_keyframes_can_be_fetched_too(api, package):
    asset = package(media="video")
    for kind in ("proxies", "keyframes"):
        row = first(api, asset, kind)
        answer = fetch(row["url"])
        assert (answer.status_code, len(answer.content)) == (200, row["size"])


@pytest.mark.parametrize(
    ("asked", "part"), [("bytes=5-9", slice(5, 10)), ("bytes=100-", slice(100, None)), ("bytes=-7", slice(-7, None))]
)
def test_a_range_gives_that_part(api, package, asked, part):
    url = first(api, package(), "files")["url"]
    whole = fetch(url).content
    answer = fetch(url, Range=asked)
    assert (answer.status_code, answer.content) == (206, whole[part])
    assert fetch(url, Range="bytes=999999999-").status_code == 416


def test_a_signed_link_ends_after_its_time(api, iconik, package):
    asset = package()
    url = first(api, asset, "files")["url"]
    iconik.clock(advance_s=301)
    answer = fetch(url)
    assert (answer.status_code, b"ExpiredToken" in answer.content) == (403, True)
    assert fetch(first(api, asset, "files")["url"]).status_code == 200


def test_all_links_can_be_ended_at_once_with_another_status(api, iconik, package):
    url = first(api, package(), "files")["url"]
    iconik.options(expired_url_status=410)
    iconik.fault(action="expire_urls")
    assert fetch(url).status_code == 410
    assert fetch(url.replace("signature=", "signature=0")).status_code == 410


def test_a_public_proxy_link_does_not_end_until_it_is_withdrawn(api, iconik, package):
    asset = package(media="video")
    proxy = first(api, asset, "proxies")
    path = f"files/v1/assets/{asset['id']}/proxies/{proxy['id']}/public/"
    url = api.ok("POST", path)["url"]
    iconik.clock(advance_s=10**6)
    assert fetch(url).status_code == 200
    assert api.call("DELETE", path).status_code == 204
    assert fetch(url).status_code == 403


def test_a_download_by_the_user_is_in_the_history_but_a_link_in_a_list_is_not(api, package):
    asset = package()
    path = f"assets/v1/assets/{asset['id']}/history/?filter=operation_type,eq,DOWNLOAD"
    file = first(api, asset, "files")
    assert api.ok("GET", path)["total"] == 0
    url = api.ok("GET", f"files/v1/assets/{asset['id']}/files/{file['id']}/download_url/")["url"]
    assert "attachment" in fetch(url).headers["Content-Disposition"]
    assert api.ok("GET", path)["total"] == 1


def test_a_truncated_and_a_corrupted_download_are_noticed(api, iconik, package):
    file = first(api, package(), "files")
    iconik.fault(action="truncate_download")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        fetch(file["url"])
    iconik.fault(action="corrupt_download")
    assert hashlib.md5(fetch(file["url"]).content).hexdigest() != file["checksum"]
    assert hashlib.md5(fetch(file["url"]).content).hexdigest() == file["checksum"]


def test_an_upload_makes_the_asset_online_and_transcodes_it(api, iconik):
    iconik.options(job_duration_s=100)
    asset = api.asset(type="PLACEHOLDER")
    content = b"not really a picture"
    file = api.upload(asset["id"], content)
    assert (file["checksum"], file["size"]) == (hashlib.md5(content).hexdigest(), len(content))
    assert fetch(file["url"]).content == content
    now = api.ok("GET", f"assets/v1/assets/{asset['id']}/")
    assert (now["type"], now["is_online"], now["versions"][0]["is_online"]) == ("ASSET", True, True)

    def job():
        return api.ok("GET", "jobs/v1/jobs/", params={"object_id": asset["id"], "type": "TRANSCODE"})["objects"][0]

    assert (job()["status"], first(api, asset, "proxies")["status"]) == ("READY", "AWAITED")
    iconik.clock(advance_s=50)
    assert (job()["status"], job()["progress"] >= 50) == ("STARTED", True)
    iconik.clock(advance_s=51)
    assert (job()["status"], first(api, asset, "proxies")["status"]) == ("FINISHED", "CLOSED")
    assert first(api, asset, "keyframes")["type"] == "POSTER"
    assert api.ok("GET", f"files/v1/assets/{asset['id']}/formats/ORIGINAL/")["is_online"] is True


def test_a_transcode_fails_on_demand_and_can_be_started_again(api, iconik):
    asset = api.asset()
    iconik.fault(action="transcode_fails", message="codec", times=1)
    api.upload(asset["id"], b"x")
    job = api.ok("GET", "jobs/v1/jobs/", params={"object_id": asset["id"]})["objects"][0]
    assert (job["status"], job["error_message"]) == ("FAILED", "codec")
    assert first(api, asset, "proxies")["status"] == "FAILED"
    again = api.ok("POST", "transcode/v1/transcode/", json={"object_id": asset["id"], "object_type": "assets"})
    assert api.ok("GET", f"jobs/v1/jobs/{again['id']}/")["status"] == "FINISHED"


def test_jobs_wait_while_they_are_held_and_can_be_aborted(api, iconik):
    asset = api.asset()
    iconik.fault(action="hold_jobs", times=None)
    api.upload(asset["id"], b"x")
    job = api.ok("GET", "jobs/v1/jobs/", params={"object_id": asset["id"]})["objects"][0]
    assert job["status"] == "READY"
    api.ok("PUT", "jobs/v1/jobs/state/", json={"job_ids": [job["id"]], "action": "ABORT"})
    iconik.clear_faults()
    assert api.ok("GET", f"jobs/v1/jobs/{job['id']}/")["status"] == "ABORTED"


def test_a_job_of_ones_own_moves_only_by_hand(api, iconik):
    job = api.ok("POST", "jobs/v1/jobs/", json={"title": "Sync", "type": "CUSTOM", "status": "STARTED"})
    iconik.clock(advance_s=1000)
    assert api.ok("GET", f"jobs/v1/jobs/{job['id']}/")["status"] == "STARTED"
    done = api.ok("PATCH", f"jobs/v1/jobs/{job['id']}/", json={"status": "FINISHED", "progress": 100})
    assert done["completed_at"]


def test_an_archived_original_is_not_to_be_had_but_its_proxy_is(api, package):
    asset = package(media="video")
    path = f"files/v1/assets/{asset['id']}/formats/ORIGINAL/"
    assert api.call("POST", path + "archive/", json={}).status_code == 202
    file = first(api, asset, "files")
    assert (file["status"], file["url"]) == ("ARCHIVED", None)
    assert api.call("GET", f"files/v1/assets/{asset['id']}/files/{file['id']}/download_url/").status_code == 404
    assert fetch(first(api, asset, "proxies")["url"]).status_code == 200
    assert api.ok("GET", f"assets/v1/assets/{asset['id']}/")["archive_status"] == "ARCHIVED"
    assert api.call("POST", path + "restore/", json={}).status_code == 202
    assert fetch(first(api, asset, "files")["url"]).status_code == 200


def test_a_checksum_finds_its_file(api, package):
    file = first(api, package(), "files")
    found = api.ok("GET", f"files/v1/files/checksum/{file['checksum']}/")["objects"]
    assert [row["id"] for row in found] == [file["id"]]
    assert api.call("GET", f"files/v1/files/checksum/{'0' * 32}/").status_code == 404


def test_the_demo_is_a_believable_catalogue(iconik, api):
    iconik.reset(seed="demo")
    states = {row["status"] for row in iconik.records("approvals")}
    assert states == {"APPROVED", "REQUESTED", "NOT_APPROVED", "MIXED"}
    assets = iconik.records("assets")
    assert len(assets) > 150
    assert {row["type"] for row in assets} == {"ASSET", "PLACEHOLDER"}
    assert any(len(row["versions"]) > 1 for row in assets)
    campaign = api.search(doc_types=["collections"], query='external_id:"campaign:HARVEST"')["objects"][0]
    inside = api.ok("GET", f"assets/v1/collections/{campaign['id']}/contents/?per_page=100")["objects"]
    assert all(row["metadata"]["campaign_code"] == ["HARVEST"] for row in inside)
    assert len(inside) >= 5
