"""More clients we did not write, unmodified: sf-toolkit, aio-sf, aiosalesforce, salesforce-bulk."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from urllib.parse import urlsplit

import pytest
import requests

# these clients speak to their own dependencies in deprecated ways; that is not what is judged here
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def client_form(far):
    return {"grant_type": "client_credentials", "client_id": far.client_id, "client_secret": far.client_secret}


# --- sf-toolkit ------------------------------------------------------------------------------------------


@pytest.fixture
def toolkit(trusted):
    """A signed-in sf-toolkit client, registered as its default connection."""
    sf_toolkit = pytest.importorskip("sf_toolkit")
    login = sf_toolkit.lazy_login(
        consumer_key=trusted.client_id, consumer_secret=trusted.client_secret, domain="acme.my"
    )
    with sf_toolkit.SalesforceClient(login=login, api_version=60.0) as client:
        yield client


@pytest.fixture
def account_type(toolkit):
    from sf_toolkit import SObject
    from sf_toolkit.data.fields import IdField, NumberField, TextField

    class Account(SObject):
        Id = IdField()
        Name = TextField()
        Commerce_Id__c = TextField()
        Order_Count__c = NumberField()

    return Account


def test_sf_toolkit_saves_reads_and_deletes_records(toolkit, account_type, trusted):
    from sf_toolkit.io import api as io_api

    record = account_type(Name="one", Commerce_Id__c="k1", Order_Count__c=3)
    io_api.save(record)
    assert trusted.records("Account")[0]["Name"] == "one"
    record.Name = "two"
    io_api.save(record, only_changes=True)
    io_api.reload(record)
    assert (record.Name, record.Order_Count__c) == ("two", 3)
    other = account_type(Commerce_Id__c="k1", Name="three")
    io_api.save(other, external_id_field="Commerce_Id__c")
    found = account_type.query().where(Name="three").execute() if hasattr(account_type, "query") else None
    assert [row["Name"] for row in trusted.records("Account")] == ["three"]
    assert found is None or [row.Name for row in found] == ["three"]
    io_api.delete(record)
    assert trusted.records("Account")[0]["IsDeleted"] is True


def test_sf_toolkit_upserts_lists_through_collections(toolkit, account_type, trusted):
    from sf_toolkit.data.sobject import SObjectList
    from sf_toolkit.io import api as io_api

    rows = SObjectList([account_type(Commerce_Id__c=str(n), Name=f"c {n}") for n in range(450)])
    assert all(result.success for result in io_api.save_upsert_list(rows, "Commerce_Id__c"))
    again = SObjectList([account_type(Commerce_Id__c="1", Name="x"), account_type(Commerce_Id__c="2", Name="y" * 300)])
    results = io_api.save_upsert_list(again, "Commerce_Id__c")
    assert [result.success for result in results] == [True, False]
    assert results[1].errors[0].statusCode == "STRING_TOO_LONG"
    assert len(trusted.records("Account")) == 450
    kept = io_api.fetch_list(account_type, *[row["Id"] for row in trusted.records("Account")[:3]])
    assert len(kept) == 3
    assert all(result.success for result in io_api.delete_list(kept))


def test_sf_toolkit_loads_and_queries_in_bulk(toolkit, account_type, trusted):
    from sf_toolkit import SoqlQuery
    from sf_toolkit.data.bulk import BulkApiIngestJob, BulkApiQueryJob

    job = BulkApiIngestJob.init_job("Account", "upsert", external_id_field="Commerce_Id__c", connection=toolkit)
    rows = [account_type(Commerce_Id__c=str(n), Name=f"Zoë, {n}", Order_Count__c=n) for n in range(300)]
    job.upload_batches([*rows, account_type(Commerce_Id__c="bad", Name="x" * 256, Order_Count__c=1)])
    job.monitor_until_complete(poll_interval=0.05)
    assert (job.state, job.numberRecordsProcessed, job.numberRecordsFailed) == ("JobComplete", 301, 1)
    assert len(job.successful_results()) == 300
    assert job.failed_results()[0].sf__Error.startswith("STRING_TOO_LONG")
    assert len(job.unprocessed_results()) == 0
    export = BulkApiQueryJob.init_job(SoqlQuery(account_type), connection=toolkit)
    export.monitor_until_complete(poll_interval=0.05)
    assert {row.Name for row in export} == {f"Zoë, {n}" for n in range(300)}
    assert len(trusted.records("Account")) == 300


def test_sf_toolkit_builds_its_classes_from_our_describe(toolkit):
    from sf_toolkit.data.fields import object_fields
    from sf_toolkit.io import api as io_api

    for name in ("Account", "Opportunity", "Order", "Task"):
        described = io_api.sobject_from_description(name, connection="default")
        assert "Id" in object_fields(described)


# --- aio-sf ----------------------------------------------------------------------------------------------


def aio_client(far):
    aio = pytest.importorskip("aio_sf")
    return aio.SalesforceClient(aio.ClientCredentialsAuth(far.url, far.client_id, far.client_secret))


def test_aio_sf_writes_collections_in_order(salesforce):
    async def story():
        async with aio_client(salesforce) as sf:
            rows = [{"Commerce_Id__c": str(n), "Name": f"c {n}"} for n in range(450)]
            rows[7]["Name"] = ""
            results = await sf.collections.upsert(rows, "Commerce_Id__c", "Account", all_or_none=False)
            assert [n for n, result in enumerate(results) if not result["success"]] == [7]
            updated = await sf.collections.update([{"Id": results[0]["id"], "Name": "new"}], "Account")
            assert updated[0]["success"]
            assert (await sf.collections.delete([results[1]["id"]]))[0]["success"]
            together = await sf.collections.insert([{"Name": "a"}, {"Name": None}], "Account")
            assert {result["errors"][0]["statusCode"] for result in together} == {
                "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                "REQUIRED_FIELD_MISSING",
            }

    asyncio.run(story())
    stored = salesforce.records("Account")
    assert len(stored) == 449
    assert sum(row["IsDeleted"] for row in stored) == 1
    assert [row["Name"] for row in stored if row["Commerce_Id__c"] == "0"] == ["new"]


def test_aio_sf_queries_describes_and_exports(salesforce):
    salesforce.put("Account", [{"Name": f"n {n}"} for n in range(2300)])

    async def story():
        async with aio_client(salesforce) as sf:
            result = await sf.query.soql("SELECT Id, Name FROM Account")
            assert len(await result.collect_all()) == 2300
            assert (await sf.query.explain("SELECT Id FROM Account"))["plans"]
            assert await sf.query.sosl("FIND {n 1} RETURNING Account(Id)")
            assert (await sf.describe.get_organization_info())["IsSandbox"] is False
            assert (await sf.describe.get_limits())["DailyApiRequests"]["Max"] == 100_000
            assert "Account" in [entry["name"] for entry in await sf.describe.list_sobjects()]
            info = await sf.bulk_v2.execute_query("SELECT Id, Name FROM Account", poll_interval=0.05)
            assert info["numberRecordsProcessed"] == 2300
            text, locator = await sf.bulk_v2.get_job_results(info["id"], max_records=2000)
            rest, end = await sf.bulk_v2.get_job_results(info["id"], locator=locator, max_records=2000)
            assert end is None
            return [row for page in (text, rest) for row in csv.DictReader(io.StringIO(page))]

    assert len(asyncio.run(story())) == 2300


# --- aiosalesforce ---------------------------------------------------------------------------------------


def test_aiosalesforce_writes_records_composites_and_bulk(trusted):
    pytest.importorskip("aiosalesforce")
    httpx = pytest.importorskip("httpx")
    from aiosalesforce import ClientCredentialsFlow, Salesforce
    from aiosalesforce.exceptions import SalesforceError

    class ToOurPort(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request):
            request.url = request.url.copy_with(port=urlsplit(trusted.url).port)
            return await super().handle_async_request(request)

    async def story():
        async with httpx.AsyncClient(transport=ToOurPort()) as http:
            auth = ClientCredentialsFlow(trusted.client_id, trusted.client_secret)
            sf = Salesforce(http, "https://acme.my.salesforce.com", auth)
            key = await sf.sobject.create("Account", {"Name": "one", "Commerce_Id__c": "k"})
            made = await sf.sobject.upsert("Account", "k", "Commerce_Id__c", {"Name": "two"})
            assert (made.id, made.created) == (key, False)
            with pytest.raises(SalesforceError, match="REQUIRED_FIELD_MISSING"):
                await sf.sobject.create("Contact", {"FirstName": "x"})
            async with sf.composite(all_or_none=True, autoraise=True) as group:
                account = group.sobject.create("Account", {"Name": "parent"})
                contact = group.sobject.create("Contact", {"LastName": "c", "AccountId": str(account.reference.id)})
                found = group.query("SELECT Id, AccountId FROM Contact")
            assert contact.is_success
            assert found.records[0]["AccountId"] == account.id
            async with sf.composite.batch(halt_on_error=True) as batch:
                record = batch.sobject.get("Account", key)
                query = batch.query("SELECT Name FROM Account ORDER BY Name")
            assert record.record["Name"] == "two"
            assert len(query.records) == 2
            rows = [{"Commerce_Id__c": str(n), "Name": f'Zoë "{n}"\nx'} for n in range(50)] + [{"Commerce_Id__c": "-"}]
            result = await sf.bulk_v2.upsert("Account", rows, "Commerce_Id__c")
            assert (len(result.successful_results), len(result.failed_results)) == (50, 1)
            assert [row["Name"] async for row in sf.query("SELECT Name FROM Account WHERE Commerce_Id__c = '3'")] == [
                'Zoë "3"\nx'
            ]
            await sf.sobject.delete("Account", "k", "Commerce_Id__c")

    asyncio.run(story())
    assert len([row for row in trusted.records("Account") if not row["IsDeleted"]]) == 51


# --- salesforce-bulk (Bulk API 1.0, CSV) -----------------------------------------------------------------


@pytest.fixture
def classic(salesforce):
    salesforce_bulk = pytest.importorskip("salesforce_bulk")
    token = requests.post(f"{salesforce.url}/services/oauth2/token", data=client_form(salesforce), timeout=10).json()
    return salesforce_bulk.SalesforceBulk(sessionId=token["access_token"], host=salesforce.url)


def test_salesforce_bulk_upserts_csv_and_reads_results_in_order(classic, salesforce):
    from salesforce_bulk import CsvDictsAdapter

    job = classic.create_upsert_job("Account", "Commerce_Id__c", contentType="CSV", concurrency="Serial")
    rows = [
        {"Commerce_Id__c": "a", "Name": "Zoë"},
        {"Commerce_Id__c": "b", "Name": ""},
        {"Commerce_Id__c": "c", "Name": "x"},
    ]
    batch = classic.post_batch(job, CsvDictsAdapter(iter(rows)))
    classic.wait_for_batch(job, batch, timeout=10, sleep_interval=0.05)
    classic.close_job(job)
    results = classic.get_batch_results(batch)
    assert [result.success for result in results] == ["true", "false", "true"]
    assert results[1].error.startswith("REQUIRED_FIELD_MISSING")
    assert classic.job_status(job)["numberRecordsFailed"] == "1"
    assert sorted(row["Name"] for row in salesforce.records("Account")) == ["Zoë", "x"]


@pytest.mark.parametrize("content", ["CSV", "JSON"])
def test_salesforce_bulk_queries(classic, salesforce, content):
    salesforce.put("Account", [{"Name": f"n {n}"} for n in range(5)])
    job = classic.create_query_job("Account", contentType=content)
    batch = classic.query(job, "SELECT Id, Name FROM Account ORDER BY Name")
    classic.close_job(job)
    classic.wait_for_batch(job, batch, timeout=10, sleep_interval=0.05)
    found = []
    for part in classic.get_all_results_for_query_batch(batch):
        raw = part.read().decode()
        found += json.loads(raw) if content == "JSON" else csv.DictReader(io.StringIO(raw))
    assert [row["Name"] for row in found] == [f"n {n}" for n in range(5)]


def test_salesforce_bulk_reports_a_dead_session(classic, salesforce):
    from salesforce_bulk import BulkApiError

    salesforce.fault(action="expire_tokens")
    with pytest.raises(BulkApiError, match="InvalidSessionId"):
        classic.create_insert_job("Account")
