"""Entities and payloads as Atom XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

NAMES = {
    "a": "http://www.w3.org/2005/Atom",
    "m": "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata",
    "d": "http://schemas.microsoft.com/ado/2007/08/dataservices",
}
XML = {"Accept": "application/atom+xml"}
ENTRY = """<?xml version="1.0" encoding="utf-8"?>
<entry xmlns="http://www.w3.org/2005/Atom" xmlns:m="{m}" xmlns:d="{d}">
 <link rel="{d}/related/user" href="x"><m:inline><entry><content type="application/xml"><m:properties>
  <d:uid>ann@example.com</d:uid></m:properties></content></entry></m:inline></link>
 <link rel="{d}/related/currency" href="x"><m:inline><entry><content type="application/xml"><m:properties>
  <d:isocode>USD</d:isocode></m:properties></content></entry></m:inline></link>
 <link rel="{d}/related/entries" href="x"><m:inline><feed><entry><content type="application/xml"><m:properties>
  <d:entryNumber m:type="Edm.Int32">0</d:entryNumber><d:quantity m:type="Edm.Int64">3</d:quantity>
 </m:properties></content></entry></feed></m:inline></link>
 <content type="application/xml"><m:properties>
  <d:code>x1</d:code><d:date m:type="Edm.DateTime">2024-05-01T00:00:00</d:date>
  <d:totalPrice m:type="Edm.Double">7.5</d:totalPrice></m:properties></content>
</entry>""".format(**NAMES)


def read(api, path, **options):
    answer = api.call("GET", path, headers=XML, **options)
    assert answer.status_code == 200, answer.text
    return answer.headers["Content-Type"], ET.fromstring(answer.content)


def test_an_entity_is_an_entry_with_typed_properties_and_links(api, shop):
    kind, entry = read(api, "OrderSync/Orders('o1')?$expand=user")
    assert kind.startswith("application/atom+xml;type=entry")
    values = {one.tag.partition("}")[2]: one for one in entry.find("a:content/m:properties", NAMES)}
    assert values["code"].text == "o1"
    assert (values["totalPrice"].text, values["totalPrice"].get(f"{{{NAMES['m']}}}type")) == ("21.0", "Edm.Double")
    assert values["date"].text == "2024-01-02T00:00:00"
    assert values["totalDiscounts"].text == "0.0"
    links = {link.get("title"): link for link in entry.findall("a:link", NAMES)}
    assert links["user"].find(".//d:uid", NAMES).text == "ann@example.com"
    assert links["entries"].get("href") == "Orders('o1')/entries"
    assert len(links["entries"]) == 0


def test_a_collection_is_a_feed_with_count_and_next_link(api, shop):
    kind, feed = read(api, "OrderSync/Orders?$top=2&$inlinecount=allpages")
    assert kind.startswith("application/atom+xml;type=feed")
    assert feed.find("m:count", NAMES).text == "5"
    assert len(feed.findall("a:entry", NAMES)) == 2
    following = next(link.get("href") for link in feed.findall("a:link", NAMES) if link.get("rel") == "next")
    assert len(ET.fromstring(api.call("GET", following, headers=XML).content).findall("a:entry", NAMES)) == 2


def test_a_property_is_an_element_of_its_own(api, shop):
    _, element = read(api, "OrderSync/Orders('o1')/code")
    assert (element.tag, element.text) == (f"{{{NAMES['d']}}}code", "o1")


@pytest.mark.parametrize("kind", ["application/xml", "application/atom+xml;charset=utf-8"])
def test_an_atom_entry_is_stored_like_a_json_object(api, shop, kind):
    answer = api.call("POST", "OrderSync/Orders", data=ENTRY, headers={**XML, "Content-Type": kind})
    assert answer.status_code == 201, answer.text
    assert ET.fromstring(answer.content).find(".//d:integrationKey", NAMES).text == "x1"
    (order,) = shop.records("Order", code="x1")
    assert (order["totalPrice"], order["date"], order["user"]) == (7.5, "2024-05-01T00:00:00.000Z", "ann@example.com")
    assert shop.records("OrderEntry", order="x1")[0]["quantity"] == 3


@pytest.mark.parametrize("body", ["<entry>", "<feed xmlns='http://www.w3.org/2005/Atom'/>", "<!DOCTYPE x><x/>", ""])
def test_unreadable_xml_is_an_odata_error(api, shop, body):
    answer = api.call("POST", "OrderSync/Orders", data=body, headers={**XML, "Content-Type": "application/xml"})
    assert answer.status_code == 400
    assert b"<code>odata_error</code>" in answer.content
