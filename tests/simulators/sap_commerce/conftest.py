"""A shop with a few orders, clients of its services, and a receiver of what it sends."""

from __future__ import annotations

from typing import Any

import pytest
from outbound_receiver import Receiver
from sap_api_client import Api, Platform


@pytest.fixture
def platform(sap_commerce: Any) -> Platform:
    return Platform(sap_commerce)


@pytest.fixture
def receiver() -> Any:
    """An HTTP server that keeps what it is sent."""
    with Receiver() as one:
        yield one


@pytest.fixture
def api(sap_commerce: Any) -> Api:
    return Api(sap_commerce)


@pytest.fixture
def shop(sap_commerce: Any) -> Any:
    """Customers, a unit, products and five orders of two entries each."""
    sap_commerce.put("B2BUnit", [{"uid": "U1", "name": "Acme"}])
    sap_commerce.put("Customer", [{"uid": "ann@example.com", "customerID": "C1", "name": "Ann"}])
    sap_commerce.put(
        "B2BCustomer",
        [{"uid": "bob@example.com", "customerID": "C2", "email": "bob@example.com", "defaultB2BUnit": "U1"}],
    )
    sap_commerce.put(
        "Product", [{"code": f"p{n}", "name": {"en": f"Pump {n}"}, "supercategories": ["pumps"]} for n in range(3)]
    )
    sap_commerce.put("Order", [order_row(number) for number in range(5)])
    return sap_commerce


def order_row(number: int) -> dict[str, Any]:
    return {
        "code": f"o{number}",
        "date": f"2024-01-0{number + 1}T00:00:00Z",
        "modifiedtime": f"2024-02-0{number + 1}T00:00:00.500Z",
        "user": {"itemtype": "Customer", "uid": "ann@example.com"} if number % 2 else "bob@example.com",
        "unit": None if number % 2 else "U1",
        "status": "COMPLETED" if number else "CREATED",
        "currency": "USD",
        "totalPrice": 10.5 * (number + 1),
        "entries": [
            {"entryNumber": n, "quantity": n + 1, "basePrice": 1.25, "totalPrice": 2.5, "product": f"p{n}"}
            for n in range(2)
        ],
    }
