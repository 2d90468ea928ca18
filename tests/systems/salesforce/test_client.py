"""Single calls, queries and credentials."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from commerce_sync.errors import ConfigurationError, RejectedError, RetryableError
from commerce_sync.mapping import Field, Lookup, Target
from commerce_sync.systems.rest import UnknownOutcomeError
from commerce_sync.systems.salesforce.client import SalesforceClient
from commerce_sync.systems.salesforce.connection import CONNECTION


def use(org: Any, story: Callable[[SalesforceClient], Any]) -> Any:
    async def play() -> Any:
        async with org.hook.client() as client:
            return await story(client)

    return asyncio.run(play())


def test_a_record_can_be_made_read_changed_and_deleted(org: Any) -> None:
    async def story(client: SalesforceClient) -> None:
        made = await client.create("Account", {"Name": "Acme", "Site": "x"})
        await client.update("Account", made, {"Site": None, "Phone": "1"})
        held = await client.get("Account", made, fields=("Name", "Site", "Phone"))
        assert held is not None
        assert (held["Name"], held["Site"], held["Phone"]) == ("Acme", None, "1")
        assert await client.delete("Account", made)
        assert not await client.delete("Account", made)
        assert await client.get("Account", made) is None

    use(org, story)


def test_upsert_says_whether_it_created(org: Any) -> None:
    key = "U/1 & ü?#"

    async def story(client: SalesforceClient) -> None:
        first = await client.upsert("Account", "Commerce_Id__c", key, {"Name": "Acme", "Commerce_Id__c": key})
        again = await client.upsert("Account", "Commerce_Id__c", key, {"Name": "Acme 2"})
        assert (first[1], again) == (True, (first[0], False))

    use(org, story)
    assert org.live("Account")[key]["Name"] == "Acme 2"


def test_a_refused_record_is_a_rejected_error_with_its_code(org: Any) -> None:
    async def story(client: SalesforceClient) -> None:
        with pytest.raises(RejectedError, match="Name") as caught:
            await client.create("Account", {"Site": "x"})
        assert (caught.value.code, caught.value.reason_class) == ("REQUIRED_FIELD_MISSING", "validation")
        with pytest.raises(ConfigurationError, match="Foo__c"):
            await client.create("Account", {"Name": "x", "Foo__c": 1})
        with pytest.raises(ConfigurationError):
            await client.describe("Nonsense__c")

    use(org, story)


def test_an_unanswered_create_is_not_repeated(org: Any) -> None:
    org.far.fault(action="drop_after", match={"method": "POST", "path": "/sobjects/Account"}, times=1)

    async def story(client: SalesforceClient) -> None:
        with pytest.raises(UnknownOutcomeError):
            await client.create("Account", {"Name": "Once"})

    use(org, story)
    assert len(org.far.records("Account")) == 1


def test_a_query_reads_all_pages_flat(org: Any) -> None:
    org.far.put("Account", [{"Name": "Parent", "Commerce_Id__c": "p"}])
    account = org.live("Account")["p"]["Id"]
    rows = [{"LastName": f"n{n:04d}", "Commerce_Id__c": f"c{n}", "AccountId": account} for n in range(4500)]
    org.far.put("Contact", rows)
    found = org.hook.query("SELECT LastName, Account.Name FROM Contact ORDER BY LastName")
    assert len(found) == 4500
    assert found[0] == {"LastName": "n0000", "Account.Name": "Parent"}


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_query_result_becomes_a_file(org: Any, tmp_path: Path, bulk: bool, suffix: str) -> None:
    row = {"Name": 'Ä "x",\ny', "Commerce_Id__c": "a", "Commerce_Active__c": True, "Lifetime_Spend__c": 12.5}
    org.far.put("Account", [row, {"Name": "plain", "Commerce_Id__c": "b"}])
    path = tmp_path / f"out{suffix}"
    soql = "SELECT Name, Commerce_Active__c, Lifetime_Spend__c, CreatedDate, Phone FROM Account ORDER BY Commerce_Id__c"
    assert org.hook.query_to_file(soql, path, bulk=bulk) == 2
    assert [item.name for item in tmp_path.iterdir() if item.suffix == suffix] == [path.name]
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        found = con.execute(
            f"SELECT * REPLACE (CreatedDate::VARCHAR AS CreatedDate) FROM '{path}' ORDER BY Name DESC"
        ).fetchall()
        types = [line[1] for line in con.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
    assert found[0][0] == row["Name"]
    assert float(found[0][2]) == 12.5
    assert found[1][4] is None
    if suffix == ".parquet":
        assert types == ["VARCHAR", "BOOLEAN", "DECIMAL(18,2)", "TIMESTAMP WITH TIME ZONE", "VARCHAR"]


def test_a_large_result_comes_by_a_bulk_query(org: Any, tmp_path: Path) -> None:
    org.far.put("Account", [{"Name": f"n{n}"} for n in range(12_000)])
    assert org.hook.query_to_file("SELECT Name FROM Account", tmp_path / "x.parquet") == 12_000
    assert any("jobs/query" in route for route in org.far.calls()["by_route"])


def test_an_empty_result_is_a_file_without_rows(org: Any, tmp_path: Path) -> None:
    assert org.hook.query_to_file("SELECT Id, Name FROM Account WHERE Name = 'no'", tmp_path / "x.parquet") == 0
    assert (tmp_path / "x.parquet").exists()


def test_records_are_found_by_their_keys(org: Any) -> None:
    keys = [f"k'{n}\\ü" for n in range(700)]
    org.far.put("Account", [{"Name": "x", "Commerce_Id__c": key} for key in keys])
    found = org.hook.read_by_keys("Account", [*keys, "absent"], key_field="Commerce_Id__c", fields=("Name",))
    assert {row["Commerce_Id__c"] for row in found} == set(keys)


def test_bad_soql_says_what_is_wrong(org: Any) -> None:
    with pytest.raises(ConfigurationError, match="Nope__c"):
        org.hook.query("SELECT Nope__c FROM Account")


def test_a_jwt_signed_with_the_key_of_the_app_logs_in(org: Any, connect: Any) -> None:
    key = org.far.private_key
    connect(password="", username=org.far.username, private_key=key)
    assert org.hook.test_connection()[0]
    connect(password="", username=org.far.username, private_key=key.replace("\n", "\\n"))
    assert org.hook.test_connection()[0]


def test_an_unreadable_key_is_named_without_being_shown(org: Any, connect: Any) -> None:
    connect(
        password="", username="u", private_key="-----BEGIN PRIVATE KEY-----\nsecretstuff\n-----END PRIVATE KEY-----"
    )
    good, said = org.hook.test_connection()
    assert not good
    assert "PEM" in said
    assert "secretstuff" not in said


def test_the_connection_test_says_what_is_wrong(org: Any, connect: Any) -> None:
    good, said = org.hook.test_connection()
    assert good
    assert "API calls" in said
    connect(password="wrong-secret")
    good, said = org.hook.test_connection()
    assert not good
    assert "check client id" in said
    assert "wrong-secret" not in said
    connect(login="", password="")
    assert "needs a client id" in org.hook.test_connection()[1]
    connect(version="six")
    assert "'62.0'" in org.hook.test_connection()[1]


def test_every_token_lost_is_a_login_and_not_a_failure(org: Any) -> None:
    async def story(client: SalesforceClient) -> None:
        await client.limits()
        org.far.fault(action="expire_tokens")
        assert await asyncio.gather(*(client.limits() for _ in range(5)))

    use(org, story)


def test_maintenance_is_retryable(org: Any) -> None:
    org.far.fault(action="status", status=503, body="<html>down</html>", match={"path": "/limits"}, times=None)
    with pytest.raises(RetryableError):
        use(org, lambda client: client.limits())


def test_tls_trusts_the_given_file_only(org: Any, salesforce_tls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def connection(**extra: Any) -> str:
        login, password = salesforce_tls.client_id, salesforce_tls.client_secret
        host = {"conn_type": "commerce_sync_salesforce", "host": salesforce_tls.url}
        return json.dumps(host | {"login": login, "password": password, "extra": extra})

    monkeypatch.setenv("AIRFLOW_CONN_SF_TEST", connection(ca_file=salesforce_tls.ca_file))
    good, said = org.hook.test_connection()
    assert good, said
    monkeypatch.setenv("AIRFLOW_CONN_SF_TEST", connection())
    good, said = org.hook.test_connection()
    assert not good
    assert "not trusted" in said
    monkeypatch.setenv("AIRFLOW_CONN_SF_TEST", connection(ca_file="/no/such.pem"))
    assert "ca_file" in org.hook.test_connection()[1]


def test_the_host_is_https_unless_it_says_otherwise(org: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def base_url(**fields: Any) -> str:
        named = {"conn_type": "commerce_sync_salesforce", "login": "a", "password": "b"}
        monkeypatch.setenv("AIRFLOW_CONN_SF_TEST", json.dumps(named | fields))
        return org.hook.client().rest.base_url

    assert base_url(host="acme.my.salesforce.com") == "https://acme.my.salesforce.com"
    assert base_url(host="https://acme.my.salesforce.com/") == "https://acme.my.salesforce.com"
    assert base_url(host="localhost", port=8443) == "https://localhost:8443"
    assert base_url(host="localhost", schema="http", port=80) == "http://localhost:80"


def test_the_connection_form_names_the_hook_it_belongs_to() -> None:
    module, _, name = CONNECTION["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert hook.conn_type == CONNECTION["connection-type"]
    assert CONNECTION["conn-fields"]["private_key"]["schema"]["format"] == "password"


def test_a_mapping_the_org_would_refuse_is_told_before_anything_is_sent(org: Any) -> None:
    def found(*names: str, key: str = "Commerce_Id__c", lookup: str = "Commerce_Id__c") -> list[str]:
        target = Target(system="salesforce", conn_id="sf_test", object="Contact", external_id=key)
        parent = Field(name="AccountId", value="x", lookup=Lookup("Account", lookup))
        return org.hook.problems(target, (*(Field(name=name, value="x") for name in names), parent))

    assert found("Commerce_Id__c", "LastName") == []
    (text,) = found("Surname")
    assert "no field 'Surname'" in text
    assert "LastName" in text
    assert "read-only" in found("CreatedDate")[0]
    assert "no external id" in found("LastName", key="LastName")[0]
    assert "Account.Name is no external id" in found(lookup="Name")[0]
