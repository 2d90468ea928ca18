"""Clients we did not write, with only the address and the credentials changed: nsa-pythonik, old and new interface."""

from __future__ import annotations

import hashlib
import warnings

import pytest
import requests

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the old interface still declares its models in the manner of pydantic 1
    pytest.importorskip("pythonik.friendly", reason="nsa-pythonik is not installed")
    from pythonik.client import PythonikClient
    from pythonik.friendly import Iconik
    from pythonik.models.assets.assets import AssetCreate


@pytest.fixture
def old(iconik, api):
    client = PythonikClient(app_id=iconik.app_id, auth_token=iconik.auth_token, timeout=20, base_url=iconik.url)
    client.session.trust_env = False
    yield client
    client.session.close()


@pytest.fixture
def new(iconik, api):
    with Iconik(iconik.app_id, iconik.auth_token, base_url=f"{iconik.url}/API") as client:
        yield client


def test_the_old_interface_creates_reads_and_deletes(old, api):
    asset = old.assets().create(body=AssetCreate(title="From pythonik", external_id="p:1")).data
    assert old.assets().get(asset.id).data.external_id == "p:1"
    old.assets().partial_update_asset(asset.id, body={"title": "Renamed"})
    assert api.ok("GET", f"assets/v1/assets/{asset.id}/")["title"] == "Renamed"
    assert old.assets().delete(asset.id).response.status_code == 204
    assert [row["id"] for row in old.assets().list_all(params={"per_page": 10}).data.objects] == [asset.id]


def test_the_old_interface_reads_and_writes_metadata(old, api, iconik):
    asset = api.asset()
    body = {"metadata_values": {"sku": {"field_values": [{"value": "77"}]}}}
    view = iconik.metadata_view_id
    assert old.metadata().update_asset_metadata(asset["id"], view, body).response.status_code == 200
    values = old.metadata().get_asset_metadata(asset["id"], view).data.metadata_values
    assert [one.value for one in values["sku"].field_values] == ["77"]
    assert {row.name for row in old.metadata().get_views().data.objects} >= {"SAP Commerce"}


def test_the_old_interface_walks_files_and_collections(old, api, package):
    asset = package(media="video")
    file = old.files().get_asset_files(asset["id"]).data.objects[0]
    content = requests.get(file.url, timeout=20).content
    assert hashlib.md5(content).hexdigest() == file.checksum
    proxy = old.files().get_asset_proxies(asset["id"]).data.objects[0]
    assert (proxy.status, proxy.resolution.width) == ("CLOSED", 320)
    assert {one.type for one in old.files().get_asset_keyframes(asset["id"]).data.objects} == {"POSTER", "KEYFRAME"}
    home = old.collections().create(body={"title": "Home"}).data
    old.collections().add_content(home.id, body={"object_id": asset["id"], "object_type": "assets"})
    assert old.collections().get_info(home.id).data.assets_count == 1
    assert len(old.collections().get_contents(home.id).data.objects) == 1


def test_the_old_interface_makes_versions_segments_history_and_jobs(old, api):
    asset = api.asset()
    made = old.assets().create_version(asset["id"], body={"copy_metadata": True}).data
    assert len(made.versions) == 2
    old.assets().create_segment(asset["id"], body={"segment_type": "COMMENT", "segment_text": "Hm"})
    assert [one.segment_text for one in old.assets().get_segments(asset["id"]).data.objects] == ["Hm"]
    old.assets().create_history_entity(asset["id"], "Published", "CUSTOM")
    entries = old.assets().list_asset_history_entities(asset["id"]).data.objects
    assert "CUSTOM" in {row["operation_type"] for row in entries}
    job = old.jobs().create(body={"title": "Sync", "type": "CUSTOM", "status": "STARTED"}).data
    assert old.jobs().update(job.id, body={"status": "FINISHED"}).data.status == "FINISHED"


def test_the_old_interface_uploads_a_proxy_the_resumable_way(old, api):
    asset = api.asset()
    proxy = old.files().create_asset_proxy(asset["id"], body={"name": "p.mp4", "format": "mp4"}).data
    started = old.files().get_upload_id_for_proxy(asset["id"], proxy.id)
    assert started.data
    assert requests.put(started.response.headers["Location"], data=b"film", timeout=20).status_code == 200
    closed = old.files().update_asset_proxy(asset["id"], proxy.id, body={"status": "CLOSED"}).data
    assert (closed.size, requests.get(closed.url, timeout=20).content) == (4, b"film")


def test_the_old_interface_searches(old, api, package):
    package(title="Findable", metadata={"sku": ["5"]})
    body = {"doc_types": ["assets"], "query": "findable"}
    found = old.search().search(body, per_page=5, generate_signed_url=True).data
    assert [row.title for row in found.objects] == ["Findable"]
    assert requests.get(found.objects[0].keyframes[0].url, timeout=20).status_code == 200


def test_the_new_interface_parses_every_answer_it_gets(new, api, iconik, package):
    asset = package(media="video", approval="APPROVED", metadata={"sku": ["5"], "commerce_status": "published"})
    key, view = asset["id"], iconik.metadata_view_id
    assert new.get_asset(key).parsed.title == "Pickles"
    assert new.get_asset_files(key).parsed.objects[0].size > 0
    assert new.get_asset_formats(key).parsed.objects[0].name == "ORIGINAL"
    assert new.get_asset_proxies(key).parsed.objects[0].codec == "mjpeg"
    assert len(new.get_asset_keyframes(key).parsed.objects) == 2
    for call in (new.get_views_metadata, new.get_fields_metadata, new.get_webhooks, new.get_jobs, new.get_storages):
        answer = call()
        assert answer.status_code == 200
        assert answer.parsed.objects is not None
    values = new.get_asset_metadata(key, view).parsed.metadata_values.to_dict()
    assert values["sku"]["field_values"][0]["value"] == "5"
    assert new.get_object_approvals_request("assets", key).parsed.status == "APPROVED"


def test_the_new_interface_writes(new, api, iconik):
    make, values, find, decide = (
        _models("assets", "AssetCreateSchema", "CollectionInputSchema", "CollectionContentSchema")[0],
        *_models("metadata", "MetadataValuesSchema"),
        *_models("search", "SearchCriteriaSchema"),
        *_models("assets", "ApprovalBySchema"),
    )
    made = new.post_assets(body=make(title="Written"))
    assert made.status_code == 201
    key = str(made.parsed.id)
    body = values.from_dict({"metadata_values": {"sku": {"field_values": [{"value": "8"}], "mode": "append"}}})
    assert new.put_asset_metadata(key, iconik.metadata_view_id, body=body, ignore_unchanged=True).status_code == 200
    assert new.put_object_approvals("assets", key, body=decide.from_dict({"status": "APPROVED"})).status_code == 200
    criteria = {
        "doc_types": ["assets"],
        "filter": {"operator": "AND", "terms": [{"name": "metadata.sku", "value": "8"}]},
        "facets_filters": [{"name": "approval_status", "value_in": ["APPROVED"]}],
        "sort": [{"name": "date_modified", "order": "asc"}, {"name": "id", "order": "asc"}],
    }
    found = new.post_search(body=find.from_dict(criteria), per_page=10, generate_signed_url=False)
    assert [str(row.id) for row in found.parsed.objects] == [key]


def _models(service, *names):
    import importlib

    module = importlib.import_module(f"pythonik.{service}.models")
    return [getattr(module, name) for name in names]


@pytest.mark.parametrize(
    ("service", "model", "path"),
    [
        ("assets", "AssetSchema", "assets/v1/assets/{asset}/"),
        ("assets", "AssetsSchema", "assets/v1/assets/"),
        ("assets", "CollectionSchema", "assets/v1/collections/{collection}/"),
        ("assets", "CollectionsSchema", "assets/v1/collections/"),
        ("assets", "CollectionContentsSchema", "assets/v1/collections/{collection}/contents/"),
        ("assets", "CollectionContentInfoSchema", "assets/v1/collections/{collection}/content/info/"),
        ("assets", "ApprovalSchema", "assets/v1/assets/{asset}/approvals/request/"),
        ("assets", "ApprovalsBySchema", "assets/v1/assets/{asset}/approvals/"),
        ("assets", "RelationTypesSchema", "assets/v1/assets/relation_types/"),
        ("assets", "AssetsSchema", "assets/v1/assets/{asset}/relations/"),
        ("assets", "AssetHistoryEntitiesSchema", "assets/v1/assets/{asset}/history/"),
        ("assets", "SegmentsSchema", "assets/v1/assets/{asset}/segments/"),
        ("assets", "CustomActionsSchema", "assets/v1/custom_actions/"),
        ("files", "FormatsSchema", "files/v1/assets/{asset}/formats/"),
        ("files", "FileSetsSchema", "files/v1/assets/{asset}/file_sets/"),
        ("files", "FilesSchema", "files/v1/assets/{asset}/files/"),
        ("files", "ProxiesSchema", "files/v1/assets/{asset}/proxies/"),
        ("files", "KeyframesSchema", "files/v1/assets/{asset}/keyframes/"),
        ("files", "SubtitlesSchema", "files/v1/assets/{asset}/subtitles/"),
        ("files", "StoragesReadSchema", "files/v1/storages/"),
        ("files", "ExportLocationsSchema", "files/v1/export_locations/"),
        ("metadata", "MetadataFieldsSchema", "metadata/v1/fields/"),
        ("metadata", "MetadataViewsSchema", "metadata/v1/views/"),
        ("metadata", "MetadataCategoriesSchema", "metadata/v1/assets/categories/"),
        ("metadata", "MetadataValuesSchema", "metadata/v1/assets/{asset}/views/{view}/"),
        ("jobs", "JobsSchema", "jobs/v1/jobs/"),
        ("notifications", "WebhooksSchema", "notifications/v1/webhooks/"),
        ("users", "UserSchema", "users/v1/users/current/"),
        ("users", "UsersSchema", "users/v1/users/"),
    ],
)
def test_every_answer_fits_the_published_schema(api, iconik, package, service, model, path):
    home = api.ok("POST", "assets/v1/collections/", json={"title": "Home"})
    asset = package(media="video", approval="MIXED", metadata={"sku": ["5"]}, collections=[home["id"]])
    other = api.asset("Other", external_link="https://example.com/p/1")
    relation = {"related_to_asset_id": other["id"], "relation_type": "replaces"}
    api.ok("POST", f"assets/v1/assets/{asset['id']}/relations/", json=relation)
    api.ok("POST", f"assets/v1/assets/{asset['id']}/segments/", json={"segment_type": "COMMENT", "segment_text": "a"})
    api.ok("POST", f"assets/v1/assets/{asset['id']}/history/", json={"operation_type": "CUSTOM"})
    api.ok("POST", f"files/v1/assets/{asset['id']}/subtitles/", json={"language": "en", "content": "hello"})
    action = {"title": "Go", "url": "http://127.0.0.1:9/", "headers": {"X": "1"}}
    api.ok("POST", "assets/v1/custom_actions/ASSET/", json=action)
    hook = {"event_type": "assets", "status": "DISABLED", "url": "http://127.0.0.1:9/"}
    api.ok("POST", "notifications/v1/webhooks/", json=hook)
    api.ok("POST", f"files/v1/assets/{asset['id']}/versions/{asset['versions'][0]['id']}/transcode/", json={})
    named = path.format(asset=asset["id"], collection=home["id"], view=iconik.metadata_view_id)
    answer = api.ok("GET", named)
    parsed = _models(service, model)[0].from_dict(answer)
    assert parsed.to_dict() is not None
