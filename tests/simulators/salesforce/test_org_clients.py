"""Clients we did not write, unmodified: simple-salesforce and Airflow's Salesforce provider, over TLS."""

from __future__ import annotations

import csv
import io
import json
import time

import pytest
import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
)


@pytest.fixture
def sf(trusted):
    form = {"grant_type": "client_credentials", "client_id": trusted.client_id, "client_secret": trusted.client_secret}
    token = requests.post(f"{trusted.url}/services/oauth2/token", data=form, timeout=10).json()
    return Salesforce(session_id=token["access_token"], instance_url=token["instance_url"])


def test_simple_salesforce_describes_and_writes_records(sf, trusted):
    assert {"Account", "Contact"} <= {entry["name"] for entry in sf.describe()["sobjects"]}
    assert "Commerce_Id__c" in [field["name"] for field in sf.Account.describe()["fields"]]
    key = sf.Account.create({"Name": "x", "Commerce_Id__c": "k k"})["id"]
    assert sf.Account.get(key)["Name"] == "x"
    assert sf.Account.get_by_custom_id("Commerce_Id__c", "k k")["Id"] == key
    assert sf.Account.update(key, {"Name": "y"}) == 204
    assert sf.Account.upsert("Commerce_Id__c/new", {"Name": "z"}) == 201
    assert sf.Account.upsert("Commerce_Id__c/new", {"Name": "zz"}) == 200
    assert sf.Account.delete(key) == 204
    assert sf.query("SELECT Name FROM Account")["records"][0]["Name"] == "zz"
    assert sf.query_all("SELECT Name FROM Account", include_deleted=True)["totalSize"] == 2
    assert sf.api_usage["api-usage"].total == 100000
    assert sf.limits()["DailyApiRequests"]["Max"] == 100000
    assert sf.search("FIND {zz} RETURNING Account(Id)")["searchRecords"]
    assert sf.restful("limits/recordCount", params={"sObjects": "Account,Nope"}) == {
        "sObjects": [{"count": 2, "name": "Account"}]
    }


def test_simple_salesforce_pages_through_everything(sf, trusted):
    trusted.put("Account", [{"Name": str(n)} for n in range(4500)])
    assert len(sf.query_all("SELECT Id, Name FROM Account")["records"]) == 4500


def test_simple_salesforce_sees_refusals(sf, trusted):
    with pytest.raises(SalesforceMalformedRequest) as refused:
        sf.Account.create({})
    assert refused.value.content[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    trusted.put("Contact", [{"LastName": str(n), "Email": "a@b.cd"} for n in range(2)])
    with pytest.raises(SalesforceMoreThanOneRecord):
        sf.Contact.upsert("Email/a@b.cd", {"Title": "t"})
    trusted.fault(action="expire_tokens")
    with pytest.raises(SalesforceExpiredSession):
        sf.query("SELECT Id FROM Account")


def test_simple_salesforce_bulk2_upserts_reads_results_and_queries(sf, trusted, monkeypatch):
    monkeypatch.setattr("simple_salesforce.bulk2.sleep", lambda seconds: time.sleep(seconds / 100))
    rows = [{"Commerce_Id__c": str(n), "Name": f"Zoë {n}"} for n in range(250)] + [
        {"Commerce_Id__c": "", "Name": "lost"}
    ]
    result = sf.bulk2.Account.upsert(records=rows, external_id_field="Commerce_Id__c", wait=1)[0]
    assert (result["numberRecordsProcessed"], result["numberRecordsFailed"]) == (251, 1)
    assert "MISSING_ARGUMENT" in sf.bulk2.Account.get_failed_records(result["job_id"])
    assert sf.bulk2.Account.get_successful_records(result["job_id"]).count("\n") >= 250
    assert len(sf.bulk2.Account.get_unprocessed_records(result["job_id"]).splitlines()) == 1
    pages = list(sf.bulk2.Account.query("SELECT Id, Name FROM Account", max_records=100))
    found = [row["Name"] for page in pages for row in csv.DictReader(io.StringIO(page))]
    assert len(found) == len(set(found)) == 250
    assert set(found) == {f"Zoë {n}" for n in range(250)}
    assert len(trusted.records("Account")) == 250


def test_simple_salesforce_bulk1_keeps_the_order_of_rows(sf, trusted):
    rows = [{"Commerce_Id__c": "1", "Name": "a"}, {"Commerce_Id__c": "2"}, {"Commerce_Id__c": "3", "Name": "c"}]
    results = sf.bulk.Account.upsert(rows, external_id_field="Commerce_Id__c")
    assert [result["success"] for result in results] == [True, False, True]
    assert results[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert [row["Name"] for row in sf.bulk.Account.query("SELECT Id, Name FROM Account ORDER BY Name")] == ["a", "c"]
    gone = sf.bulk.Account.delete([{"Id": results[0]["id"]}])
    assert gone[0]["success"] is True
    assert len(sf.bulk.Account.query_all("SELECT Id FROM Account")) == 2


def test_simple_salesforce_signs_in_every_way(trusted):
    client = {"consumer_key": trusted.client_id, "consumer_secret": trusted.client_secret, "domain": "acme.my"}
    assert Salesforce(**client).limits()
    assert Salesforce(
        username=trusted.username, consumer_key=trusted.client_id, privatekey=trusted.private_key, domain="login"
    ).limits()
    trusted.options(soap_login=True, password_flow=True)
    plain = {"username": trusted.username, "password": trusted.password}
    assert Salesforce(**plain, security_token=trusted.security_token).limits()
    assert Salesforce(username=trusted.username, password=trusted.password + trusted.security_token, **client).limits()


@pytest.fixture
def airflow_connection(trusted, monkeypatch, tmp_path):
    """A connection with client credentials: neither login nor password, as the provider needs it."""
    extra = {"consumer_key": trusted.client_id, "consumer_secret": trusted.client_secret, "domain": "acme.my"}
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", json.dumps({"conn_type": "salesforce", "extra": extra}))
    return trusted


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
def test_airflows_hook_and_bulk_operator(airflow_connection):
    from airflow.providers.salesforce.hooks.salesforce import SalesforceHook
    from airflow.providers.salesforce.operators.bulk import SalesforceBulkOperator

    rows = [{"Commerce_Id__c": "1", "Name": "a"}, {"Commerce_Id__c": "2", "Name": "b"}]
    options = {"object_name": "Account", "payload": rows, "external_id_field": "Commerce_Id__c"}
    operator = SalesforceBulkOperator(task_id="load", operation="upsert", do_xcom_push=True, **options)
    assert [row["success"] for row in operator.execute({})] == [True, True]
    hook = SalesforceHook()
    assert hook.make_query("SELECT Name FROM Account ORDER BY Name")["totalSize"] == 2
    assert "Commerce_Id__c" in hook.get_available_fields("Account")
    assert hook.describe_object("Contact")["name"] == "Contact"
    assert hook.test_connection()[0] is True
    assert [row["Name"] for row in airflow_connection.records("Account")] == ["a", "b"]
