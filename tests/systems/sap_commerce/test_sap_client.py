"""The client by itself: schema, single entities, links, headers, errors; nested reads; memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from commerce_sync.errors import ConfigurationError, RejectedError
from commerce_sync.mapping import Source
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.protocol import entity_path, failure, literal, write_headers
from commerce_sync.systems.sap_commerce.schema import parse
from systems.sap_commerce.shop import START, customer, customers

ORDERS = Source(
    name="orders", system="sap_commerce", conn_id="sap_test", service="OrderSync", entity_set="Orders", key="code",
    modified="modifiedtime",
    columns={
        "code": "VARCHAR", "date": "TIMESTAMP", "totalPrice": "DECIMAL(18,2)", "modifiedtime": "TIMESTAMP",
        "status": "STRUCT(code VARCHAR)", "user": "STRUCT(uid VARCHAR)", "unit": "STRUCT(uid VARCHAR)",
        "entries": "STRUCT(entryNumber INTEGER, quantity BIGINT, basePrice DOUBLE, "
                   "product STRUCT(code VARCHAR, supercategories STRUCT(code VARCHAR)[]))[]",
    },
)  # fmt: skip


@pytest.fixture
def ask(hook) -> Callable[..., Any]:
    """Run ``work(client)`` with a client of a service."""

    def run(work: Callable[[SapCommerceClient], Awaitable[Any]], *, service: str = "OrderSync") -> Any:
        async def inside() -> Any:
            async with hook.client(service) as client:
                return await work(client)

        return asyncio.run(inside())

    return run


def order(number: int, *entries: dict[str, Any], **values: Any) -> dict[str, Any]:
    at = (START + timedelta(minutes=number)).isoformat()
    return {
        "code": f"o{number}", "user": {"uid": "ann@shop"}, "date": at, "currency": "USD", "totalPrice": 10.1 + number,
        "modifiedtime": at, "entries": list(entries), **values,
    }  # fmt: skip


def entry(number: int, product: str | None, *categories: str, quantity: int = 2) -> dict[str, Any]:
    described = {"code": product, "supercategories": [{"code": name} for name in categories]} if product else None
    return {"entryNumber": number, "product": described, "quantity": quantity, "basePrice": 1.5}


def test_orders_come_with_entries_products_and_categories(sap_commerce, read):
    sap_commerce.put("Order", [order(1, entry(0, "p1", "c1", "c2"), entry(1, None, quantity=2**40)), order(2)])
    _, rows = read(ORDERS)
    first, second = sorted(rows, key=lambda row: row["code"])
    product = {"code": "p1", "supercategories": [{"code": "c1"}, {"code": "c2"}]}
    assert sorted(first["entries"], key=lambda row: row["entryNumber"]) == [
        {"entryNumber": 0, "quantity": 2, "basePrice": 1.5, "product": product},
        {"entryNumber": 1, "quantity": 2**40, "basePrice": 1.5, "product": None},
    ]
    assert (first["user"], first["unit"], float(first["totalPrice"])) == ({"uid": "ann@shop"}, None, 11.1)
    assert (second["entries"], second["status"]) == ([], None)


def test_metadata_names_sets_keys_and_collections(ask):
    schema = ask(lambda client: client.metadata())
    order_type = schema.entity("Orders")
    assert order_type.alias == "Order_code"
    assert order_type.key_properties == ["code"]
    assert order_type.navigations["entries"].many
    assert not order_type.navigations["user"].many
    assert schema.types["OrderEntry"].properties["quantity"].type == "Edm.Int64"
    assert schema.entity("OrderEntries").alias == "OrderEntry_entryNumber|Order_code"


def test_a_reference_to_its_own_type_points_at_the_far_end():
    edmx = b"""<Edmx><Schema>
      <EntityType Name="Category"><Property Name="code" Type="Edm.String"/>
        <NavigationProperty Name="supercategories" Relationship="N.FK_C_s" FromRole="Category" ToRole="Category"/>
      </EntityType>
      <Association Name="FK_C_s"><End Multiplicity="0..1" Role="Category" Type="N.Category"/>
        <End Multiplicity="*" Role="Category" Type="N.Category"/></Association>
      <EntityContainer><EntitySet Name="Categories" EntityType="N.Category"/></EntityContainer></Schema></Edmx>"""
    assert parse("X", edmx).entity("Categories").navigations["supercategories"].many


def test_the_service_document_lists_the_sets(ask):
    assert "Orders" in ask(lambda client: client.service_document())


@pytest.mark.parametrize("uid", ["plain", "o'neil@shop.com", "a|b c", "50%+1/2", "häßlich"])
def test_an_entity_is_found_by_the_key_the_shop_gave_it(sap_commerce, ask, uid):
    async def work(client: SapCommerceClient) -> Any:
        key = (await client.upsert("Customers", {"uid": uid, "name": "Ann"}))["integrationKey"]
        await client.update("Customers", key, {"name": "Berta"})
        found = await client.get("Customers", key)
        return found["name"], await client.delete("Customers", key), await client.delete("Customers", key)

    assert ask(work, service="CustomerSync") == ("Berta", True, False)
    assert sap_commerce.records("Customer", uid=uid) == []


def test_an_absent_entity_is_none_and_an_absent_set_a_mistake(ask):
    assert ask(lambda client: client.get("Orders", "nothing")) is None
    with pytest.raises(ConfigurationError, match="Bestellungen"):
        ask(lambda client: client.get("Bestellungen", "nothing"))


def test_links_are_followed_on_the_configured_host(sap_commerce, ask):
    sap_commerce.put("Customer", [customer(number) for number in range(25)])
    link = "https://inner.node:9002/odata2webservices/CustomerSync/Customers?$top=10&$skiptoken=20&$orderby=uid asc"

    async def work(client: SapCommerceClient) -> Any:
        pages = [len(page) async for page in client.pages("Customers", {"$top": 10})]
        return pages, b"c00024" in await client.page_at(link)

    assert ask(work, service="CustomerSync") == ([10, 10, 5], True)


def test_a_message_id_shows_up_in_the_shops_monitoring(sap_commerce, ask):
    headers = write_headers(message_id="run7-1", content_language="de")
    ask(lambda client: client.upsert("Customers", {"uid": "c"}, headers=headers), service="CustomerSync")
    assert [row["messageId"] for row in sap_commerce.records("InboundRequest")] == ["run7-1"]


def test_a_refused_record_carries_the_shops_code_and_our_class(ask):
    with pytest.raises(RejectedError) as refused:
        ask(lambda client: client.upsert("Customers", {"name": "no key"}), service="CustomerSync")
    assert (refused.value.code, refused.value.reason_class) == ("missing_key", "validation")


def test_an_unknown_persist_hook_is_a_refusal(ask):
    headers = write_headers(pre_persist_hook="noSuchHook")
    with pytest.raises(RejectedError, match="hook_not_found"):
        ask(lambda client: client.upsert("Customers", {"uid": "c"}, headers=headers), service="CustomerSync")


def test_wrong_credentials_are_for_a_person_to_correct(sap_commerce, hook, monkeypatch):
    monkeypatch.setattr(hook, "_connection", hook.get_connection("sap_test"))
    hook.connection.extra = '{"auth": "oauth", "client_id": "integration_client", "client_secret": "wrong"}'
    with pytest.raises(ConfigurationError, match="check client id"):
        hook.fetch_count(customers())


def test_each_service_is_called_with_its_own_scheme(hook, ask):
    assert ask(lambda client: client.service_document(), service="IntegrationService")
    assert hook.test_connection() == (True, f"OrderSync has the entity sets {', '.join(_sets(ask))}")


def _sets(ask: Any) -> list[str]:
    return ask(lambda client: client.service_document())


@pytest.mark.parametrize(
    ("body", "code", "reason_class", "fields"),
    [
        (b'{"error":{"code":"missing_property","message":{"value":"Property [x] is required for EntityType [T]."}}}',
         "missing_property", "validation", "x"),
        (b'{"error":{"code":"internal_error","message":{"value":"Deadlock found when trying to get lock"}}}',
         "internal_error", "lock", ""),
        (b'{"error":{"code":"internal_error","message":{"value":"ambiguous unique keys {code=1} for model"}}}',
         "internal_error", "duplicate", ""),
        (b'<error xmlns="http://x"><code>forbidden</code><message xml:lang="en">No.</message></error>',
         "forbidden", "permission", ""),
        (b"<html>Bad gateway</html>", "http_502", "transient", ""),
    ],
)  # fmt: skip
def test_errors_are_read_in_every_form(body, code, reason_class, fields):
    found = failure(502, body)
    assert (found.code, found.reason_class, found.fields) == (code, reason_class, fields)


def test_keys_and_literals_are_spelled_as_the_address_wants_them():
    assert entity_path("Products", "Staged|Default|a%7Cb") == "Products('Staged%7CDefault%7Ca%257Cb')"
    assert entity_path("Products", "o'neil") == "Products('o%27%27neil')"
    assert [literal(value) for value in ("o'n", True, None)] == ["'o''n'", "true", "null"]
    assert [literal(5, long=True), literal(START)] == ["5L", "datetime'2026-01-01T00:00:00'"]


def test_memory_does_not_grow_with_the_pages(sap_commerce, hook, batches):
    """Six times the rows (of 450 bytes each) may cost some bytes of book-keeping a row, not the rows themselves."""
    padding = "x" * 400
    sap_commerce.put("Customer", [customer(number, name=padding + str(number)) for number in range(6000)])
    source = customers(options={"page_rows": 100, "part_rows": 500, "concurrency": 2})

    def peaks(rows: int) -> tuple[int, int]:
        bounds = {"since": START, "until": START + timedelta(seconds=rows), "complete": False}
        arrow = [0]
        with batches.write("leg", "run", "extract") as into:
            tracemalloc.start()
            found = hook.extract(
                source, **bounds, into=into, report=lambda *_: arrow.append(pa.total_allocated_bytes())
            )
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert found.rows == rows
        return used, max(arrow)

    peaks(1000)  # what is loaded once is not what this is about
    (python, arrow), (python_more, arrow_more) = peaks(1000), peaks(6000)
    assert python_more - python < 5000 * 150
    assert arrow_more < arrow * 1.5 + 200_000
