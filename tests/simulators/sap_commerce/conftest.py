"""A bare client of the Integration API for these tests: requests, nothing clever."""

from __future__ import annotations

from typing import Any

import pytest
import requests

TIMEOUT_S = 30


class Api:
    """One service caller; paths are relative to /odata2webservices."""

    def __init__(self, side: Any, *, client: str = "integration_client") -> None:
        self.side = side
        self.session = requests.Session()
        self.session.trust_env = False
        self.token = self.new_token(client)
        self.session.headers.update({"Authorization": f"Bearer {self.token}", "Accept": "application/json"})

    def new_token(self, client: str = "integration_client") -> str:
        form = {"grant_type": "client_credentials", "client_id": client, "client_secret": "secret"}
        answer = requests.post(f"{self.side.url}/authorizationserver/oauth/token", data=form, timeout=TIMEOUT_S)
        return answer.json()["access_token"]

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        url = path if path.startswith("http") else f"{self.side.url}/odata2webservices/{path}"
        return self.session.request(method, url, timeout=TIMEOUT_S, **options)

    def get(self, path: str, **options: Any) -> Any:
        """The ``d`` of an answer that must be 200."""
        answer = self.call("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()["d"]

    def post(self, path: str, body: Any, **options: Any) -> Any:
        answer = self.call("POST", path, json=body, **options)
        assert answer.status_code == 201, answer.text
        return answer.json()["d"]

    def refused(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """(status, error code) of an answer that must be an error."""
        answer = self.call(method, path, **options)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["error"]["code"]

    def pages(self, path: str) -> list[list[dict[str, Any]]]:
        """All pages of a chain, following ``__next``."""
        found, address = [], path
        while address:
            page = self.get(address)
            found.append(page["results"])
            address = page.get("__next")
        return found


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
