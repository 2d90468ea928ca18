"""Sign-in, assets, versions, collections, reviews, relations, history, segments."""

from __future__ import annotations

import uuid

import pytest
import requests


@pytest.mark.parametrize("missing", ["App-ID", "Auth-Token"])
def test_a_call_without_one_of_the_two_headers_is_refused(api, missing):
    answer = api.call("GET", "users/v1/users/current/", headers={missing: None})
    assert (answer.status_code, answer.json()) == (401, {"errors": ["Token is invalid"]})


def test_the_current_user_is_the_one_of_the_token(api, editor, iconik):
    assert api.ok("GET", "users/v1/users/current/")["id"] == iconik.user_id
    assert editor.ok("GET", "users/v1/users/current/")["id"] != iconik.user_id


def test_expired_tokens_are_refused_until_a_reset(api, iconik):
    iconik.fault(action="expire_tokens")
    assert api.call("GET", "users/v1/users/current/").status_code == 401
    iconik.reset()
    assert api.call("GET", "users/v1/users/current/").status_code == 200


def test_a_token_may_lack_a_right(api, iconik):
    token = next(row for row in iconik.records("tokens") if row["token"] == iconik.auth_token)
    iconik.patch("tokens", token["id"], denies=["POST /API/assets/"])
    answer = api.call("POST", "assets/v1/assets/", json={"title": "Jar"})
    assert (answer.status_code, answer.json()) == (403, {"errors": ["Permission denied"]})


def test_an_unknown_path_and_a_wrong_method_answer_in_the_list_form(api):
    assert api.call("GET", "assets/v1/nothing/").json() == {"errors": ["Requested page does not exist"]}
    assert api.call("PUT", "assets/v1/collections/").status_code == 405


@pytest.mark.parametrize(("how", "status"), [("308", 308), ("404", 404), ("serve", 200)])
def test_a_missing_slash_is_a_switch(api, iconik, how, status):
    iconik.options(missing_slash=how)
    assert api.call("GET", "users/v1/users/current", allow_redirects=False).status_code == status


def test_an_asset_is_born_with_a_version_and_offline_whatever_was_asked(api):
    asset = api.asset("My New Asset", is_online=True, external_id="x:1")
    assert (asset["status"], asset["type"], asset["is_online"], asset["external_id"]) == (
        "ACTIVE",
        "ASSET",
        False,
        "x:1",
    )
    assert len(asset["versions"]) == 1
    assert uuid.UUID(asset["id"]).version == 1
    assert asset["date_created"].endswith("+00:00")


def test_the_field_form_names_every_fault(api, iconik):
    answer = api.call("POST", "assets/v1/assets/", json={"status": "SLEEPING", "external_link": "no"})
    assert answer.status_code == 400
    assert answer.json()["errors"] == {
        "title": "Missing data for required field.",
        "status": "Not a valid choice.",
        "external_link": "Not a valid URL.",
    }
    iconik.options(field_errors_as_lists=True)
    answer = api.call("POST", "assets/v1/assets/", json={})
    assert answer.json()["errors"] == {"title": ["Missing data for required field."]}


def test_an_external_id_need_not_be_unique(api):
    first, second = (api.asset(external_id="same")["id"] for _ in range(2))
    assert first != second


def test_a_patch_changes_only_what_it_names(api):
    asset = api.asset(external_id="keep")
    api.ok("PATCH", f"assets/v1/assets/{asset['id']}/", json={"title": "Other"})
    now = api.ok("GET", f"assets/v1/assets/{asset['id']}/")
    assert (now["title"], now["external_id"]) == ("Other", "keep")


def test_a_deleted_asset_waits_in_the_queue_and_can_return_or_go(api):
    asset = api.asset()
    path = f"assets/v1/assets/{asset['id']}/"
    assert api.call("DELETE", path).status_code == 204
    assert api.ok("GET", path)["status"] == "DELETED"
    assert [row["id"] for row in api.ok("GET", "assets/v1/delete_queue/assets/")["objects"]] == [asset["id"]]
    api.ok("PUT", path + "restore/")
    assert api.ok("GET", path)["status"] == "ACTIVE"
    api.ok("POST", "assets/v1/delete_queue/assets/", json={"ids": [asset["id"]]})
    assert api.call("DELETE", path + "purge/").status_code == 204
    assert api.call("GET", path).status_code == 404


def test_a_new_version_answers_200_and_copies_metadata(api):
    asset = api.asset()
    api.metadata(asset["id"], sku=["1", "2"])
    answer = api.call("POST", f"assets/v1/assets/{asset['id']}/versions/", json={"copy_metadata": True})
    assert answer.status_code == 200
    latest = max(answer.json()["versions"], key=lambda one: one["version_number"])
    path = f"metadata/v1/assets/{asset['id']}/versions/{latest['id']}/views/{api.far.metadata_view_id}/"
    values = api.ok("GET", path)["metadata_values"]
    assert [one["value"] for one in values["sku"]["field_values"]] == ["1", "2"]


def test_a_review_follows_the_decisions(api, editor):
    asset = api.asset()
    path = f"assets/v1/assets/{asset['id']}/approvals/"
    assert api.call("GET", path + "request/").status_code == 404
    assert api.ok("POST", path + "request/", json={"min_number": 2})["status"] == "REQUESTED"
    api.ok("PUT", path, json={"status": "APPROVED"})
    assert api.ok("GET", path + "request/")["status"] == "REQUESTED"
    editor.ok("PUT", path, json={"status": "APPROVED"})
    request = api.ok("GET", path + "request/")
    assert (request["status"], request["version_id"]) == ("APPROVED", asset["versions"][0]["id"])
    editor.ok("PUT", path, json={"status": "NOT_APPROVED"})
    assert api.ok("GET", path + "request/")["status"] == "MIXED"
    assert len(api.ok("GET", path)["objects"]) == 2


def test_a_new_version_is_not_approved_and_the_old_one_stays_so(api, package):
    asset = package(approval="APPROVED")
    path = f"assets/v1/assets/{asset['id']}/"
    old = asset["versions"][0]["id"]
    api.ok("POST", path + "versions/", json={})
    assert api.call("GET", path + "approvals/request/").status_code == 404
    assert api.ok("GET", f"{path}versions/{old}/approvals/request/")["status"] == "APPROVED"


def test_an_approval_can_be_revoked_behind_the_back_of_the_client(api, iconik, package):
    asset = package(approval="APPROVED")
    iconik.patch("approvals", asset["versions"][0]["id"], status="NOT_APPROVED")
    assert api.ok("GET", f"assets/v1/assets/{asset['id']}/approvals/request/")["status"] == "NOT_APPROVED"


def test_bulk_approval_counts_for_the_latest_versions(api):
    ids = [api.asset()["id"] for _ in range(2)]
    api.ok("POST", "assets/v1/approvals/bulk/", json={"object_type": "assets", "object_ids": ids, "status": "APPROVED"})
    for key in ids:
        assert api.ok("GET", f"assets/v1/assets/{key}/approvals/request/")["status"] == "APPROVED"


def test_what_is_never_requested_may_also_read_as_not_applicable(api, iconik):
    iconik.options(never_requested_approval="na")
    assert api.ok("GET", f"assets/v1/assets/{api.asset()['id']}/approvals/request/")["status"] == "N/A"


def test_a_collection_finds_its_contents_by_external_id(api):
    home = api.ok("POST", "assets/v1/collections/", json={"title": "Package", "external_id": "c:1"})
    inside = api.ok(
        "POST",
        "assets/v1/assets/?assign_to_collection=true",
        json={"title": "A", "collection_id": home["id"], "external_id": "e"},
    )
    other = api.asset("B")
    answer = api.call(
        "POST",
        f"assets/v1/collections/{home['id']}/contents/",
        json={"object_id": other["id"], "object_type": "assets"},
    )
    assert answer.status_code == 201
    path = f"assets/v1/collections/{home['id']}/contents/"
    found = api.ok("GET", path, params={"external_id": "e"})["objects"]
    assert [(row["id"], row["object_type"]) for row in found] == [(inside["id"], "assets")]
    assert api.ok("GET", path)["total"] == 2
    assert api.call("DELETE", f"{path}assets/{other['id']}/").status_code == 204
    assert api.ok("GET", path)["total"] == 1


def test_a_collection_cannot_be_inside_itself(api):
    outer = api.ok("POST", "assets/v1/collections/", json={"title": "Outer"})
    inner = api.ok("POST", "assets/v1/collections/", json={"title": "Inner", "parent_id": outer["id"]})
    assert api.ok("GET", f"assets/v1/collections/{inner['id']}/full/path/") == "Outer/Inner"
    answer = api.call("PATCH", f"assets/v1/collections/{outer['id']}/", json={"parent_id": inner["id"]})
    assert answer.status_code == 400


def test_a_relation_is_made_once_and_read_as_assets(api):
    old, new = api.asset("Old"), api.asset("New")
    path = f"assets/v1/assets/{new['id']}/relations/"
    body = {"related_to_asset_id": old["id"], "relation_type": "replaces"}
    assert [api.call("POST", path, json=body).status_code for _ in range(2)] == [201, 200]
    assert [row["title"] for row in api.ok("GET", path + "replaces/")["objects"]] == ["Old"]
    assert api.call("DELETE", f"{path}replaces/{old['id']}/").status_code == 204
    assert api.ok("GET", path)["objects"] == []


def test_history_takes_the_callers_entries(api):
    asset = api.asset()
    path = f"assets/v1/assets/{asset['id']}/history/"
    body = {"operation_type": "CUSTOM", "operation_description": "Published"}
    assert api.call("POST", path, json=body).status_code == 201
    found = api.ok("GET", path, params={"filter": "operation_type,eq,CUSTOM", "sort": "date_created,desc"})["objects"]
    assert [row["operation_description"] for row in found] == ["Published"]


def test_a_comment_can_be_checked_off(api):
    asset = api.asset()
    path = f"assets/v1/assets/{asset['id']}/segments/"
    made = api.ok("POST", path, json={"segment_type": "COMMENT", "segment_text": "Too dark", "user_id": None})
    api.ok("PATCH", f"{path}{made['id']}/", json={"segment_checked": True})
    assert [row["segment_checked"] for row in api.ok("GET", path)["objects"]] == [True]
    assert "Too dark" in api.call("GET", path + "vtt/").text


def test_too_many_calls_answer_429_with_what_is_left(api, iconik):
    iconik.options(rate_limit=3, retry_after=True)
    answers = [api.call("GET", "users/v1/users/current/") for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert [one.headers["RateLimit-Remaining"] for one in answers] == ["2", "1", "0", "0"]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    iconik.clock(advance_s=21)
    assert api.call("GET", "users/v1/users/current/").status_code == 200


def test_a_storm_of_429_passes(api, iconik):
    iconik.fault(action="rate_limit", times=2)
    answers = [api.call("GET", "users/v1/users/current/") for _ in range(3)]
    assert [one.status_code for one in answers] == [429, 429, 200]
    assert "Retry-After" not in answers[0].headers


def test_state_survives_a_restart(start_simulators, tmp_path):
    options = ("--only", "iconik", "--state", str(tmp_path))
    with start_simulators(*options) as ready:
        one = ready["iconik"]
        headers = {"App-ID": one["app_id"], "Auth-Token": one["auth_token"]}
        url = f"{one['url']}/API/assets/v1/assets/"
        key = requests.post(url, json={"title": "Kept"}, headers=headers, timeout=20).json()["id"]
    with start_simulators(*options) as ready:
        url = f"{ready['iconik']['url']}/API/assets/v1/assets/{key}/"
        assert requests.get(url, headers=headers, timeout=20).json()["title"] == "Kept"
