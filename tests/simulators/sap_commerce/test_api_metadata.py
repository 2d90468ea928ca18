"""$metadata and service documents, against the published models of SAP's own objects."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

EDM = "{http://schemas.microsoft.com/ado/2008/09/edm}"
S = "{http://schemas.sap.com/commerce}"

ALIASES = {
    ("InboundProduct", "Product"): "CatalogVersion_version|Catalog_id|Product_code",
    (
        "InboundPriceRow",
        "PriceRow",
    ): "CatalogVersion_version|Catalog_id|Currency_isocode|PriceRow_sapConditionId|Unit_code",
    ("InboundOMMStockLevel", "StockLevel"): "StockLevel_productCode|Warehouse_code",
    ("InboundB2BUnit", "B2BUnit"): "B2BUnit_uid",
    ("InboundB2BUnit", "Address"): "Address_duplicate|Address_publicKey",
    ("InboundB2BCustomer", "B2BCustomer"): "B2BCustomer_customerID|B2BCustomer_uid",
    ("OrderSync", "OrderEntry"): "OrderEntry_entryNumber|Order_code",
    ("ReturnSync", "RefundEntry"): "OrderEntry_entryNumber|Order_code|ReturnRequest_code",
}


def schema(api, service, query=""):
    root = ET.fromstring(api.call("GET", f"{service}/$metadata{query}").content)
    return next(root.iter(f"{EDM}Schema"))


def entity(api, service, name):
    return next(e for e in schema(api, service).iter(f"{EDM}EntityType") if e.get("Name") == name)


@pytest.mark.parametrize(("service", "name"), ALIASES)
def test_key_aliases_are_those_of_the_published_models(api, service, name):
    key = next(p for p in entity(api, service, name).iter(f"{EDM}Property") if p.get("Name") == "integrationKey")
    assert key.get(f"{S}Alias") == ALIASES[service, name]
    assert key.get("Nullable") == "false"


def test_types_and_annotations_follow_the_type_system(api):
    order = entity(api, "OrderSync", "Order")
    types = {p.get("Name"): p.get("Type") for p in order.iter(f"{EDM}Property")}
    assert types["modifiedtime"] == "Edm.DateTime"
    assert types["totalPrice"] == "Edm.Double"
    code = next(p for p in order.iter(f"{EDM}Property") if p.get("Name") == "code")
    assert (code.get(f"{S}IsUnique"), code.get("Nullable")) == ("true", "true")
    entries = next(n for n in order.iter(f"{EDM}NavigationProperty") if n.get("Name") == "entries")
    assert (entries.get(f"{S}IsAutoCreate"), entries.get(f"{S}IsPartOf")) == ("true", "true")
    entry = {p.get("Name"): p.get("Type") for p in entity(api, "OrderSync", "OrderEntry").iter(f"{EDM}Property")}
    assert (entry["quantity"], entry["entryNumber"]) == ("Edm.Int64", "Edm.Int32")


def test_associations_and_sets_are_named_by_the_rules(api):
    found = schema(api, "InboundOMMStockLevel")
    association = next(a for a in found.iter(f"{EDM}Association") if a.get("Name") == "FK_StockLevel_warehouse")
    assert [e.get("Multiplicity") for e in association] == ["0..1", "0..1"]
    names = {s.get("Name") for s in found.iter(f"{EDM}AssociationSet")}
    assert "StockLevel_Warehouses" in names
    assert found.get("Namespace") == "HybrisCommerceOData"
    assert found.get(f"{S}schema-version") == "1"


def test_localized_items_get_an_entity_for_their_languages(api):
    localized = entity(api, "InboundProduct", "Localized___Product")
    assert [p.get("Name") for p in localized.iter(f"{EDM}Property")] == ["name", "language"]


def test_metadata_can_be_narrowed_to_an_item_and_what_it_refers_to(api):
    names = {e.get("Name") for e in schema(api, "InboundProduct", "?CatalogVersion").iter(f"{EDM}EntityType")}
    assert names == {"CatalogVersion", "Catalog"}


def test_the_service_document_comes_as_xml_or_json(api):
    sets = api.get("ReturnSync/")["EntitySets"]
    assert {"Orders", "OrderEntries", "RefundEntries", "ReturnRequests", "ReturnStatuses"} <= set(sets)
    answer = api.call("GET", "ReturnSync", headers={"Accept": "application/xml"})
    root = ET.fromstring(answer.content)
    assert root.tag == "{http://www.w3.org/2007/app}service"
    hrefs = [c.get("href") for c in root.iter("{http://www.w3.org/2007/app}collection")]
    assert hrefs == sets
