"""The client: paging, error bodies, resources, and what a connection says about itself."""

from __future__ import annotations

from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError, RejectedError, RetryableError
from commerce_sync.provider import get_provider_info
from commerce_sync.systems.iconik import catalogue, media, metadata, services
from commerce_sync.systems.iconik.reasons import classify, complaints
from commerce_sync.systems.trust_fields import TRUST_FIELDS


@pytest.mark.parametrize(("count", "per_page"), [(0, 5), (4, 5), (5, 5), (6, 5), (11, 5), (10, 10)])
def test_every_style_of_paging_gives_each_object_once(domain: Any, count: int, per_page: int) -> None:
    key = domain.asset()
    for number in range(count):
        domain.far.put("proxies", [{"asset_id": key, "version_id": None, "status": "CLOSED", "name": f"p{number}"}])
        domain.hook.call(
            "POST",
            f"assets/v1/assets/{key}/history/",
            json={"operation_type": "CUSTOM", "operation_description": f"h{number}"},
        )
        domain.collection(f"c:{number}")
    domain.catch_up()

    async def read(client: Any) -> list[int]:
        proxies = await client.by_last_id(media.path_of(key, "proxies"), per_page=per_page)
        history = await client.listed(catalogue.path_of("assets", key, "history"), per_page=per_page)
        criteria = {"doc_types": ["collections"], "sort": [{"name": "date_created"}, {"name": "id"}]}
        found = [row async for page in client.search(criteria, per_page=per_page) for row in page.objects]
        return [len({row["id"] for row in rows}) if len(rows) == count else -1 for rows in (proxies, history, found)]

    assert domain.with_client(read) == [count, count, count]


@pytest.mark.parametrize("per_page", [3, 24, 25, 500])
def test_metadata_fields_are_paged_by_name(domain: Any, per_page: int) -> None:
    found = domain.with_client(lambda client: client.by_last_name("metadata/v1/fields/", per_page=per_page))
    assert sorted(row["name"] for row in found) == sorted(row["name"] for row in domain.far.records("fields"))


def test_a_search_that_does_not_move_on_is_not_repeated_for_ever(domain: Any) -> None:
    stuck = {"objects": [{"id": "a", "_sort": ["x"]}], "total": 5}
    domain.far.fault(action="status", status=200, body=stuck, times=None, match={"path": "/search/"})
    with pytest.raises(RetryableError, match="does not go on"):
        domain.hook.search({"doc_types": ["assets"]})
    domain.far.clear_faults()
    domain.far.fault(
        action="status", status=200, body={"objects": [{"id": "a"}]}, times=None, match={"path": "/search/"}
    )
    with pytest.raises(RetryableError, match="_sort"):
        domain.hook.search({"doc_types": ["assets"]})


def test_a_search_iconik_refuses_is_for_a_person(domain: Any) -> None:
    with pytest.raises(ConfigurationError, match="refuses the search"):
        domain.hook.search({"doc_types": ["nonsense"]})


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"errors": ["Token is invalid"]}', [("", "Token is invalid")]),
        (b'{"errors": {"title": "Missing.", "status": ["a", "b"]}}', [("title", "Missing."), ("status", "a"), ("status", "b")]),
        (b'{"errors": {"metadata_values": {"sku": ["no"]}}}', [("metadata_values.sku", "no")]),
        (b'{"errors": "plain"}', [("", "plain")]),
        (b'{"detail": [{"loc": ["body", "query"], "msg": "bad", "type": "t"}]}', [("body.query", "bad")]),
        (b"<html>", []),
        (b"[]", []),
        (b'{"errors": null}', []),
    ],
)  # fmt: skip
def test_both_forms_of_error_bodies_are_read(body: bytes, found: list[tuple[str, str]]) -> None:
    assert complaints(body) == found


def test_statuses_about_one_object_reject_it_and_others_are_left_to_the_session() -> None:
    for status, kind in (
        (400, "validation"),
        (403, "permission"),
        (404, "reference"),
        (409, "duplicate"),
        (422, "validation"),
    ):
        error = classify(status, b'{"errors": {"title": "Missing."}}')
        assert isinstance(error, RejectedError)
        assert (error.reason_class, error.fields) == (kind, ("title",))
    assert [classify(status, b"") for status in (401, 429, 500, 503)] == [None] * 4


@pytest.mark.parametrize("as_lists", [True, False])
def test_a_refusal_names_the_field_in_either_form(domain: Any, as_lists: bool) -> None:
    domain.far.options(field_errors_as_lists=as_lists)
    with pytest.raises(RejectedError, match="title") as caught:
        domain.hook.call("POST", "assets/v1/collections/", json={"category": "x"})
    assert caught.value.fields == ("title",)


def test_every_call_has_its_slash(domain: Any) -> None:
    domain.far.options(missing_slash="404")
    key = domain.asset(media="image", approval="APPROVED", metadata={"sku": ["1"]})
    columns = {"id": "VARCHAR", "date_modified": "TIMESTAMP", "files": "STRUCT(id VARCHAR)[]",
               "metadata": "STRUCT(sku VARCHAR[])", "approval": "STRUCT(status VARCHAR)"}  # fmt: skip
    assert domain.extract(domain.source(columns), since=domain_start())[1][key]["files"]


def domain_start() -> Any:
    from datetime import UTC, datetime

    return datetime(2020, 1, 1, tzinfo=UTC)


def test_reviews_are_asked_for_and_decided(domain: Any) -> None:
    key = domain.asset()

    async def review(client: Any) -> list[str]:
        states = [(await catalogue.approval(client, "assets", key))["status"]]
        mine = (await services.me(client))["id"]
        await catalogue.request_approval(client, "assets", key, users=[mine])
        states.append((await catalogue.approval(client, "assets", key))["status"])
        await catalogue.decide(client, "assets", key, "APPROVED")
        states.append((await catalogue.approval(client, "assets", key))["status"])
        states.append((await catalogue.decisions(client, "assets", key))[0]["status"])
        await catalogue.add_version(client, key)
        states.append((await catalogue.approval(client, "assets", key))["status"])
        return states

    assert domain.with_client(review) == ["N/A", "REQUESTED", "APPROVED", "APPROVED", "N/A"]


def test_deleted_objects_can_be_taken_back(domain: Any) -> None:
    key = domain.asset()

    async def there_and_back(client: Any) -> list[Any]:
        first = await catalogue.delete(client, "assets", key)
        gone = (await catalogue.read(client, "assets", key))["status"]
        await catalogue.restore(client, "assets", key)
        missing = await catalogue.delete(client, "assets", "00000000-0000-1000-8000-000000000000")
        return [first, gone, (await catalogue.read(client, "assets", key))["status"], missing]

    assert domain.with_client(there_and_back) == [True, "DELETED", "ACTIVE", False]


def test_the_latest_version_is_found_in_any_order() -> None:
    versions = [
        {"id": "b", "version_number": 2},
        {"id": "a", "version_number": 1},
        {"id": "c", "version_number": 3, "status": "DELETED"},
    ]
    for listed in (versions, versions[::-1]):
        assert catalogue.latest_version({"versions": listed})["id"] == "b"
    undated = [{"id": "old", "date_created": "2021"}, {"id": "new", "date_created": "2022"}]
    assert catalogue.latest_version({"versions": undated})["id"] == "new"
    assert catalogue.latest_version({"versions": []}) is None


def test_a_view_is_found_by_name_or_id_and_two_of_a_name_are_told(domain: Any) -> None:
    by_name = domain.with_client(lambda client: metadata.view(client, "SAP Commerce"))
    by_id = domain.with_client(lambda client: metadata.view(client, domain.far.metadata_view_id))
    assert by_name == by_id
    assert "__separator__" not in by_name.fields
    assert by_name.fields["sku"]["multi"] is True
    domain.hook.call("POST", "metadata/v1/views/", json={"name": "SAP Commerce", "view_fields": [{"name": "sku"}]})
    with pytest.raises(ConfigurationError, match="2 metadata views"):
        domain.with_client(lambda client: metadata.view(client, "SAP Commerce"))


def test_webhooks_are_registered_once_and_revived(domain: Any) -> None:
    wanted = {"name": "commerce-sync", "event_type": "assets", "realm": "metadata", "url": "https://hooks.example/iconik",
              "headers": {"X-Secret": "s"}}  # fmt: skip
    first = domain.with_client(lambda client: services.ensure_webhook(client, wanted))
    assert domain.with_client(lambda client: services.ensure_webhook(client, wanted))["id"] == first["id"]
    domain.far.patch("webhooks", first["id"], status="FAILING")
    assert [one["id"] for one in domain.with_client(services.failing_webhooks)] == [first["id"]]
    domain.with_client(lambda client: services.ensure_webhook(client, wanted))
    assert [(one["id"], one["status"]) for one in domain.far.records("webhooks")] == [(first["id"], "ENABLED")]
    assert domain.with_client(lambda client: services.delete_webhook(client, first["id"])) is True
    assert domain.far.records("webhooks") == []


def test_custom_actions_are_registered_once(domain: Any) -> None:
    wanted = {"title": "Publish to SAP Commerce", "type": "POST", "url": "https://hooks.example/publish"}
    first = domain.with_client(lambda client: services.ensure_custom_action(client, "ASSET", wanted))
    moved = wanted | {"url": "https://hooks.example/other"}
    second = domain.with_client(lambda client: services.ensure_custom_action(client, "ASSET", moved))
    assert (first["id"], second["url"]) == (second["id"], moved["url"])
    assert len(domain.far.records("custom_actions")) == 1
    domain.with_client(lambda client: services.delete_custom_action(client, "ASSET", first["id"]))
    assert domain.far.records("custom_actions") == []


def test_comments_and_jobs_of_one_s_own_are_shown_on_the_asset(domain: Any) -> None:
    key = domain.asset()

    async def work(client: Any) -> list[Any]:
        await catalogue.add_segment(client, key, {"segment_type": "COMMENT", "segment_text": "Too dark"})
        job = await media.start_job(
            client,
            {"title": "Publish", "type": "CUSTOM", "status": "STARTED", "object_type": "assets", "object_id": key},
        )
        await media.change_job(client, job["id"], {"status": "FINISHED", "progress": 100})
        states = [one["status"] for one in await media.jobs_of(client, key, type="CUSTOM")]
        return [[one["segment_text"] for one in await catalogue.segments(client, key)], states]

    assert domain.with_client(work) == [["Too dark"], ["FINISHED"]]


def test_a_public_proxy_keeps_its_address_and_loses_it_again(domain: Any) -> None:
    key = domain.asset(media="video")
    proxy = domain.far.records("proxies", asset_id=key)[0]["id"]
    columns = {"id": "VARCHAR", "date_modified": "TIMESTAMP", "proxies": "STRUCT(id VARCHAR, url VARCHAR)[]"}
    addresses = []
    for step in (None, media.publish_proxy, media.withdraw_proxy):
        if step:
            domain.with_client(lambda client, step=step: step(client, key, proxy))
        addresses.append(domain.extract(domain.source(columns), since=domain_start())[1][key]["proxies"][0]["url"])
    assert addresses[0] is None
    assert addresses[2] is None
    assert "/public/" in addresses[1]


def test_an_asset_is_found_by_its_checksum(domain: Any) -> None:
    key = domain.asset(media="image")
    file = domain.far.records("files", asset_id=key)[0]
    found = domain.with_client(lambda client: media.with_checksum(client, file["checksum"]))
    assert [row["id"] for row in found] == [file["id"]]
    assert domain.with_client(lambda client: media.format_named(client, key))["name"] == "ORIGINAL"


def test_the_connection_test_says_who_it_is_or_what_is_wrong(domain: Any, connect: Any) -> None:
    works, text = domain.hook.test_connection()
    assert works
    assert "connected as" in text
    for wrong, told in (
        ({"password": "x"}, "401"),
        ({"login": ""}, "App-ID"),
        ({"host": "http://127.0.0.1:9"}, "no answer"),
    ):
        connect(**wrong)
        works, text = type(domain.hook)("iconik_test", sleep=domain.hook._sleep).test_connection()
        assert not works
        assert told in text
        assert domain.far.auth_token not in text


def test_the_address_may_be_given_in_any_usual_form(domain: Any, connect: Any) -> None:
    for host in (domain.far.url, domain.far.url + "/", domain.far.url + "/API", domain.far.url + "/API/"):
        connect(host=host)
        assert type(domain.hook)("iconik_test").test_connection()[0], host
    connect(host="eu.iconik.io")
    assert type(domain.hook)("iconik_test").client()._session.base_url == "https://eu.iconik.io/API"
    connect(host=None)
    assert type(domain.hook)("iconik_test").client()._session.base_url == "https://app.iconik.io/API"


def test_the_provider_names_the_connection_type_and_its_form() -> None:
    from importlib import import_module

    found = next(
        one for one in get_provider_info()["connection-types"] if one["connection-type"] == "commerce_sync_iconik"
    )
    module, _, name = found["hook-class-name"].rpartition(".")
    assert getattr(import_module(module), name).conn_type == "commerce_sync_iconik"
    assert set(found["conn-fields"]) == {"view", "max_per_second", "timeout_s", *TRUST_FIELDS}
    assert found["ui-field-behaviour"]["relabeling"]["login"] == "App-ID"


def test_contents_and_running_jobs_are_seen_and_stopped(domain: Any) -> None:
    package = domain.collection("c:1")
    key = domain.asset(media="video", collections=[package])
    domain.far.options(job_duration_s=3600)

    async def work(client: Any) -> list[Any]:
        held = [row["id"] for row in await catalogue.contents(client, package, object_types="assets")]
        version = catalogue.latest_version(await catalogue.read(client, "assets", key))["id"]
        job = await media.transcode(client, key, version)
        await media.steer_jobs(client, [job], "ABORT")
        return [held, (await media.job(client, job))["status"], await catalogue.holders(client, "assets", key)]

    assert domain.with_client(work) == [[key], "ABORTED", [package]]
