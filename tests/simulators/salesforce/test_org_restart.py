"""What survives a restart with ``--state``, what HTTPS answers to, and that all systems share one clock."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def org_in(start_simulators, tmp_path):
    """Start an org on the same folder again and again: ``with org_in() as org``."""

    def start(*options):
        return start_simulators("--only", "salesforce", "--state", str(tmp_path), *options)

    return start


def signed_in(api_type, ready):
    return api_type(SimpleNamespace(**ready["salesforce"]))


@pytest.fixture
def api_type(api):
    return type(api)


def test_records_tokens_and_job_results_survive_a_restart(org_in, api_type):
    with org_in() as ready:
        before = signed_in(api_type, ready)
        key = before.create("Account", Name="kept", Commerce_Id__c="k")
        info, job = before.load(
            "Account", "upsert", "Commerce_Id__c,Name\nx,one\ny,\n", externalIdFieldName="Commerce_Id__c"
        )
        assert (info["numberRecordsProcessed"], info["numberRecordsFailed"]) == (2, 1)
        pem = ready["salesforce"]["private_key"]
    with org_in() as ready:
        assert ready["salesforce"]["private_key"] == pem
        after = signed_in(api_type, ready)
        after.http.headers["Authorization"] = f"Bearer {before.token}"  # the old session is still good
        assert [row["Name"] for row in after.query("SELECT Name FROM Account ORDER BY Name")] == ["kept", "one"]
        assert [row["Commerce_Id__c"] for row in after.rows(job, "successfulResults")] == ["x"]
        assert "REQUIRED_FIELD_MISSING" in after.rows(job, "failedResults")[0]["sf__Error"]
        fresh = after.create("Account", Name="new")
        assert fresh != key
        assert len(after.query("SELECT Id FROM Account")) == 3


def test_a_killed_process_takes_up_its_upsert_where_the_job_was_closed(org_in, api_type, tmp_path):
    options = ["--port-base", "0", "--only", "salesforce", "--seed", "empty", "--control", "--state", str(tmp_path)]
    command = [sys.executable, "-m", "simulators", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        ready = json.loads(process.stdout.readline())
        before = signed_in(api_type, ready)
        requests.post(f"{ready['salesforce']['url']}/_sim/faults", json={"action": "hold_jobs"}, timeout=10)
        job = before.open_job("Account", "upsert", "Commerce_Id__c,Name\nx,one\n", externalIdFieldName="Commerce_Id__c")
        before.close_job(job)
        open_job = before.open_job("Account", "insert", "Name\nlater\n")
        process.kill()
    with org_in() as ready:
        after = signed_in(api_type, ready)
        assert after.finish(job)["state"] == "JobComplete"
        assert after.close_job(open_job).status_code == 200
        assert after.finish(open_job)["numberRecordsProcessed"] == 1
        assert {row["Name"] for row in after.query("SELECT Name FROM Account")} == {"one", "later"}


def test_an_interrupted_insert_is_reported_and_not_repeated(org_in, api_type):
    with org_in() as ready:
        before = signed_in(api_type, ready)
        requests.post(f"{ready['salesforce']['url']}/_sim/faults", json={"action": "hold_jobs"}, timeout=10)
        job = before.open_job("Account", "insert", "Name\none\n")
        before.close_job(job)
    with org_in() as ready:
        info = signed_in(api_type, ready).finish(job)
        assert (info["state"], "restart" in info["errorMessage"]) == ("Failed", True)


def test_a_folder_of_another_field_list_is_refused_with_a_sentence(org_in, tmp_path, start_simulators):
    with org_in():
        pass
    other = tmp_path / "other.yaml"
    other.write_text("fields: [{object: Account, field: X__c, type: Text, length: 9}]")
    command = ["--only", "salesforce", "--state", str(tmp_path), "--org", str(other)]
    with pytest.raises(pytest.fail.Exception, match="before they were ready"), start_simulators(*command):
        pass


def test_the_clock_is_one_for_all_systems_and_survives_a_restart(start_simulators, tmp_path):
    with start_simulators("--only", "sap_commerce,salesforce", "--state", str(tmp_path)) as ready:
        urls = [ready[name]["url"] for name in ("sap_commerce", "salesforce")]
        requests.post(f"{urls[0]}/_sim/clock", json={"now": "2031-05-05T00:00:00Z"}, timeout=10)
        assert requests.get(f"{urls[1]}/_sim/clock", timeout=10).json()["now"].startswith("2031-05-05")
    with start_simulators("--only", "salesforce", "--state", str(tmp_path)) as ready:
        clock = requests.get(f"{ready['salesforce']['url']}/_sim/clock", timeout=10).json()
        assert clock["now"].startswith("2031-05-05")


@pytest.mark.parametrize(
    "host", ["acme.my.salesforce.com", "acme--uat.sandbox.my.salesforce.com", "login.salesforce.com"]
)
def test_https_answers_under_the_names_clients_insist_on(trusted, host):
    answer = requests.get(f"https://{host}/services/data/", timeout=10)
    assert answer.json()[-1]["version"] == "68.0"


def test_https_of_a_kept_folder_is_trusted_with_the_same_authority(org_in):
    with org_in("--tls") as ready:
        first = Path(ready["ca_file"]).read_text()
    with org_in("--tls") as ready:
        assert Path(ready["ca_file"]).read_text() == first
        assert requests.get(f"{ready['salesforce']['url']}/healthz", verify=ready["ca_file"], timeout=10).ok


def test_a_used_up_quota_refuses_until_a_day_has_passed(api, salesforce):
    salesforce.options(daily_api_requests=3)
    answers = [api.get("limits") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 403, 403]
    assert answers[3].json() == [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    assert answers[2].json()["DailyApiRequests"] == {"Max": 3, "Remaining": 0}
    salesforce.clock(advance_s=25 * 3600)
    api.sign_in()
    assert api.get("limits").status_code == 200


def test_a_refresh_token_signs_in_and_rotates_when_asked(salesforce):
    form = {"grant_type": "refresh_token", "refresh_token": salesforce.refresh_token}
    form |= {"client_id": salesforce.client_id, "client_secret": salesforce.client_secret}

    def refresh(**changed):
        return requests.post(f"{salesforce.url}/services/oauth2/token", data=form | changed, timeout=10)

    assert "refresh_token" not in refresh().json()
    salesforce.options(refresh_rotation=True)
    second = refresh().json()["refresh_token"]
    assert refresh().json() == {"error": "invalid_grant", "error_description": "expired access/refresh token"}
    token = refresh(refresh_token=second).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert (
        requests.get(f"{salesforce.url}/services/oauth2/userinfo", headers=bearer, timeout=10).json()["user_type"]
        == "STANDARD"
    )


def test_health_answers_while_a_large_job_is_at_work(api, salesforce):
    data = "Commerce_Id__c,Name\n" + "".join(f"{n},Company {n}\n" for n in range(60_000))
    job = api.open_job("Account", "upsert", data, externalIdFieldName="Commerce_Id__c")
    api.close_job(job)
    slowest = 0.0
    for _ in range(20):
        begun = time.monotonic()
        assert requests.get(f"{salesforce.url}/healthz", timeout=10).ok
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < 2
    assert api.finish(job)["numberRecordsProcessed"] == 60_000


def test_late_commits_appear_with_an_earlier_stamp(api, salesforce):
    first = api.create("Account", Name="in time")
    high_water = api.query("SELECT SystemModstamp FROM Account")[0]["SystemModstamp"]
    salesforce.options(commit_lag_s=120)
    api.create("Account", Name="late")
    after = high_water.replace("+0000", "Z")
    assert api.query(f"SELECT Id FROM Account WHERE SystemModstamp > {after}") == []
    assert {row["Name"] for row in api.query("SELECT Name FROM Account")} == {"in time", "late"}
    salesforce.options(commit_lag_s=0)
    assert api.patch(f"sobjects/Account/{first}", {"Name": "again"}).status_code == 204
    assert len(api.query(f"SELECT Id FROM Account WHERE SystemModstamp > {after}")) == 1
