"""Records reached through a relationship of another record."""

from __future__ import annotations


def test_a_record_leads_to_its_parent_and_to_its_children(api, salesforce):
    account = api.create("Account", Name="Acme")
    contacts = [api.create("Contact", LastName=name, AccountId=account) for name in ("Hopper", "Lovelace")]
    parent = api.get(f"sobjects/Contact/{contacts[0]}/Account", params={"fields": "Name"}).json()
    assert (parent["Id"], parent["Name"], parent["attributes"]["type"]) == (account, "Acme", "Account")
    children = api.get(f"sobjects/Account/{account[:15]}/Contacts", params={"fields": "LastName"}).json()
    assert (children["totalSize"], children["done"]) == (2, True)
    assert {row["LastName"] for row in children["records"]} == {"Hopper", "Lovelace"}


def test_a_relationship_that_is_not_there_is_not_found(api, salesforce):
    contact = api.create("Contact", LastName="Alone")
    for path in (f"Contact/{contact}/Account", f"Contact/{contact}/Nothing", "Contact/003000000000999AAA/Account"):
        assert api.get(f"sobjects/{path}").status_code == 404, path


def test_nothing_was_looked_at_recently(api, salesforce):
    assert api.get("recent").json() == []
