"""Fields change while clients call: describes and writes follow, a reset brings the org back."""

from __future__ import annotations

from typing import Any

import pytest

from simulators.salesforce.custom import load as delivered


def described(org: Any, kind: str = "Account") -> dict[str, Any]:
    return {field["name"]: field for field in org.client.describe(kind)["fields"]}


@pytest.fixture
def org(salesforce: Any) -> Any:
    import requests

    class Client:
        """The few calls these tests make."""

        def __init__(self) -> None:
            form = {"grant_type": "client_credentials", "client_id": salesforce.client_id,
                    "client_secret": salesforce.client_secret}  # fmt: skip
            answer = requests.post(f"{salesforce.url}/services/oauth2/token", data=form, timeout=30).json()
            self._headers = {"Authorization": f"Bearer {answer['access_token']}"}

        def describe(self, kind: str) -> Any:
            return self._call("GET", f"sobjects/{kind}/describe").json()

        def create(self, kind: str, **values: Any) -> Any:
            return self._call("POST", f"sobjects/{kind}", json=values).json()

        def _call(self, method: str, path: str, **options: Any) -> Any:
            url = f"{salesforce.url}/services/data/v62.0/{path}"
            return requests.request(method, url, headers=self._headers, timeout=30, **options)

    salesforce.client = Client()
    return salesforce


def test_a_shortened_field_refuses_what_it_took_before(org: Any) -> None:
    assert org.client.create("Account", Name="x" * 30)["success"]
    org.patch("FieldDefinition", "Account.Name", length=20)
    assert described(org)["Name"]["length"] == 20
    assert org.client.create("Account", Name="x" * 30)[0]["errorCode"] == "STRING_TOO_LONG"


def test_a_field_without_edit_access_is_seen_and_not_written(org: Any) -> None:
    org.patch("FieldDefinition", "Account.Phone", createable=False, updateable=False)
    assert not described(org)["Phone"]["createable"]
    refused = org.client.create("Account", Name="x", Phone="1")
    assert refused[0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"


def test_a_removed_field_is_gone_and_a_renamed_one_keeps_its_values(org: Any) -> None:
    org.put("Account", [{"Name": "x", "Site": "Berlin"}])
    org.patch("FieldDefinition", "Account.Site", name="Location__c")
    org.delete("FieldDefinition", "Account.Phone")
    assert {"Site", "Phone"} & set(described(org)) == set()
    assert org.records("Account")[0]["Location__c"] == "Berlin"
    assert org.client.create("Account", Name="y", Phone="1")[0]["errorCode"] == "INVALID_FIELD"


def test_a_new_field_may_be_required(org: Any) -> None:
    org.put(
        "FieldDefinition", [{"object": "Account", "field": "Tax__c", "type": "Text", "length": 9, "required": True}]
    )
    assert not described(org)["Tax__c"]["nillable"]
    assert org.client.create("Account", Name="x")[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert org.client.create("Account", Name="x", Tax__c="1")["success"]


def test_a_reset_brings_the_org_back_as_it_was_delivered(org: Any) -> None:
    org.patch("FieldDefinition", "Account.Site", name="Location__c")
    org.put("FieldDefinition", [{"object": "Account", "field": "Tax__c", "type": "Text", "length": 9}])
    org.reset()
    assert set(described(org)) == set(delivered().objects["Account"].fields)
    with pytest.raises(AssertionError, match="a field has no"):
        org.patch("FieldDefinition", "Account.Site", size=3)
