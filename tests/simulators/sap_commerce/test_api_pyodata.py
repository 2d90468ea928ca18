"""An unmodified pyodata as a client we did not write."""

from __future__ import annotations

from datetime import UTC, datetime

import pyodata
import pytest

SERVICES = (
    "UnitSync CustomerSync B2BCustomerSync OrderSync ReturnSync InboundProduct InboundOMMStockLevel"
    " InboundB2BUnit InboundB2BCustomer InboundPriceRow"
)


def client(api, service="OrderSync"):
    return pyodata.Client(f"{api.side.url}/odata2webservices/{service}", api.session)


def order(orders, code, **more):
    day = datetime(2024, 1, 1, tzinfo=UTC)
    reference = {"user": {"uid": "ann@example.com"}, "currency": {"isocode": "USD"}}
    return orders.create_entity().set(code=code, date=day, **reference, **more)


@pytest.mark.parametrize("service", SERVICES.split())
def test_pyodata_reads_the_metadata_of_every_service(api, service):
    assert list(client(api, service).schema.entity_sets)


def test_pyodata_lists_with_filter_expansion_and_count(api, shop):
    query = client(api).entity_sets.Orders.get_entities().filter("totalPrice gt 20").top(2)
    found = query.expand("entries").count(inline=True).execute()
    assert found.total_count == 4
    assert "$skiptoken=2" in found.next_url
    assert [[entry.quantity for entry in one.entries] for one in found] == [[1, 2], [1, 2]]


def test_pyodata_follows_next_links_to_the_end(api, shop):
    orders, found, address = client(api).entity_sets.Orders, [], None
    for _ in range(5):
        request = orders.get_entities().top(2) if address is None else orders.get_entities().next_url(address)
        page = request.execute()
        found += [one.code for one in page]
        if (address := page.next_url) is None:
            break
    assert sorted(found) == ["o0", "o1", "o2", "o3", "o4"]


def test_pyodata_posts_a_deep_entity(api, shop):
    entries = [{"entryNumber": 0, "quantity": 2, "totalPrice": 12.5, "product": {"code": "p1"}}]
    made = order(client(api).entity_sets.Orders, "n1", totalPrice=12.5, entries=entries).execute()
    assert made.integrationKey == "n1"
    (entry,) = shop.records("OrderEntry", order="n1")
    assert (entry["quantity"], entry["totalPrice"]) == (2, 12.5)


def test_pyodata_posts_a_batch(api, shop):
    service = client(api)
    batch, changes = service.create_batch(), service.create_changeset()
    for code in ("n1", "n2"):
        changes.add_request(order(service.entity_sets.Orders, code))
    batch.add_request(changes)
    ((first, second),) = batch.execute()
    assert (first.code, second.code) == ("n1", "n2")
    assert len(shop.records("Order")) == 7
