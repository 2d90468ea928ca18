"""The OCC subset: what each role may see and do, and the shapes of answers and refusals."""

from __future__ import annotations

import pytest
import requests

TIMEOUT_S = 30
ANN = "ann@example.com"


class Occ:
    def __init__(self, side, *, client="trusted_client", user=None, token=None):
        self.side, self.session = side, requests.Session()
        self.session.trust_env = False
        form = {"client_id": client, "client_secret": "secret", "grant_type": "client_credentials"}
        if user:
            form |= {"grant_type": "password", "username": user[0], "password": user[1]}
        if client:
            answer = requests.post(f"{side.url}/authorizationserver/oauth/token", data=form, timeout=TIMEOUT_S)
            token = answer.json()["access_token"]
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def call(self, method, path, **options):
        return self.session.request(method, f"{self.side.url}/occ/v2/{path}", timeout=TIMEOUT_S, **options)

    def get(self, path, **params):
        answer = self.call("GET", f"shop/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, method, path, body=None, *, status=None, **params):
        answer = self.call(method, f"shop/{path}", json=body, params=params)
        assert answer.ok if status is None else answer.status_code == status, answer.text
        return answer.json() if answer.content else None


@pytest.fixture
def occ(shop):
    shop.patch("Customer", ANN, password="secret1")
    shop.options(password_grant=True)
    shop.put(
        "PriceRow",
        [{"price": 2.5, "product": "p1|Online|Default"}, {"price": 2.0, "minqtd": 10, "product": "p1|Online|Default"}],
    )
    shop.put("StockLevel", [{"productCode": "p1", "warehouse": "w1", "available": 4}])
    return Occ(shop)


@pytest.fixture
def ann(occ):
    return Occ(occ.side, client="storefront_client", user=(ANN, "secret1"))


def test_a_users_orders_come_newest_first_in_pages(occ):
    page = occ.get(f"users/{ANN}/orders", pageSize=1)
    assert [one["code"] for one in page["orders"]] == ["o3"]
    assert page["pagination"] == {"currentPage": 0, "pageSize": 1, "sort": "byDate", "totalPages": 2, "totalResults": 2}
    assert occ.get("users/C1/orders", pageSize=1, currentPage=1)["orders"][0]["placed"] == "2024-01-02T00:00:00+0000"
    assert occ.get("users/C1/orders", statuses="CREATED,CANCELLED")["orders"] == []


def test_an_order_is_found_by_code_or_guid_and_shaped_like_occ(occ):
    occ.side.patch("Order", "o1", guid="g-1")
    order = occ.get("orders/g-1")
    assert (order["code"], order["user"], order["status"]) == ("o1", {"uid": ANN, "name": "Ann"}, "COMPLETED")
    assert order["totalPrice"] == {"currencyIso": "USD", "value": 21.0, "priceType": "BUY", "formattedValue": "$21.00"}
    assert order["entries"][1]["quantity"] == 2
    assert occ.get("users/C1/orders/o1", fields="code,entries(quantity,product(code))") == {
        "code": "o1",
        "entries": [{"quantity": 1, "product": {"code": "p0"}}, {"quantity": 2, "product": {"code": "p1"}}],
    }


def test_cancelling_the_last_piece_cancels_the_order(occ):
    path = "users/C1/orders/o1/cancellation"
    occ.send("POST", path, {"cancellationRequestEntryInputs": [{"orderEntryNumber": 1, "quantity": 1}]}, status=200)
    (entry,) = occ.side.records("OrderEntry", order="o1", entryNumber="1")
    assert (entry["quantity"], entry["totalPrice"], entry["quantityCancelled"]) == (1, 1.25, 1)
    rest = [{"orderEntryNumber": 0, "quantity": 1}, {"orderEntryNumber": 1, "quantity": 1}]
    occ.send("POST", path, {"cancellationRequestEntryInputs": rest})
    assert occ.side.records("Order", code="o1")[0]["status"] == "CANCELLED"
    assert occ.call("POST", f"shop/{path}", json={"cancellationRequestEntryInputs": rest}).status_code == 400


def test_a_return_is_requested_and_withdrawn(occ):
    body = {"orderCode": "o1", "returnRequestEntryInputs": [{"orderEntryNumber": 1, "quantity": 2}]}
    made = occ.send("POST", "users/C1/orderReturns", body, status=201)
    assert (made["status"], made["totalPrice"]["value"], made["cancellable"]) == ("APPROVAL_PENDING", 2.5, True)
    assert occ.call("POST", "shop/users/C1/orderReturns", json=body).status_code == 400
    occ.send("PATCH", f"users/C1/orderReturns/{made['code']}", {"status": "CANCELLING"})
    assert occ.get(f"users/C1/orderReturns/{made['code']}")["status"] == "CANCELED"
    assert occ.get("users/C1/orderReturns")["pagination"]["totalResults"] == 1


def test_shipments_can_be_tracked(occ):
    occ.side.put(
        "Consignment",
        [{"code": "c1", "order": {"code": "o1"}, "status": "SHIPPED", "trackingID": "T1", "carrier": "UPS"}],
    )
    found = occ.get("users/C1/orders/o1/consignments/c1/tracking")
    assert (found["trackingID"], found["carrierDetails"], found["statusDisplay"]) == ("T1", {"code": "UPS"}, "SHIPPED")
    assert occ.get("users/C1/orders/o1")["cancellable"] is False


def test_a_cart_is_filled_priced_saved_and_ordered(ann):
    cart = ann.send("POST", "users/current/carts", status=201)
    path = f"users/current/carts/{cart['code']}"
    for quantity in (4, 6):
        ann.send("POST", f"{path}/entries", {"product": {"code": "p1"}, "quantity": quantity})
    assert ann.get(path)["totalPrice"]["value"] == 20.0  # ten pieces reach the scale price
    ann.send("PATCH", f"{path}/entries/0", {"quantity": 2})
    assert ann.get(path)["totalPrice"]["value"] == 5.0
    ann.send("PATCH", f"{path}/save", saveCartName="reorder")
    assert [one["name"] for one in ann.get("users/current/carts", savedCartsOnly="true")["carts"]] == ["reorder"]
    order = ann.send("POST", "users/current/orders", cartId=cart["code"], status=201)
    assert (order["status"], order["totalPrice"]["value"]) == ("CREATED", 5.0)
    assert ann.get("users/current/carts")["carts"] == []


def test_an_anonymous_cart_is_known_by_its_guid(occ):
    nobody = Occ(occ.side, client="storefront_client")
    cart = nobody.send("POST", "users/anonymous/carts", status=201)
    nobody.send("POST", f"users/anonymous/carts/{cart['guid']}/entries", {"product": {"code": "p1"}})
    assert nobody.get(f"users/anonymous/carts/{cart['guid']}")["totalItems"] == 1


def test_customer_groups_gain_and_lose_members(occ):
    occ.send("POST", "customergroups", {"uid": "vip", "name": "VIP"}, status=201)
    occ.send("PATCH", "customergroups/vip/members", {"members": [{"uid": ANN}, {"uid": "bob@example.com"}]})
    assert occ.get("customergroups/vip")["membersCount"] == 2
    occ.send("DELETE", f"customergroups/vip/members/{ANN}")
    assert occ.get("customergroups/vip")["members"] == [{"uid": "bob@example.com"}]
    occ.send("PUT", "customergroups/vip/members", {"members": [{"uid": ANN}]})
    assert [one["uid"] for one in occ.get(f"users/{ANN}/customergroups")["userGroups"]] == ["vip"]


def test_products_are_exported_since_a_timestamp(occ):
    occ.side.patch("Product", "p2|Online|Default", modifiedtime="2090-01-01T00:00:00Z")
    assert occ.get("export/products", pageSize=2)["totalProductCount"] == 3
    changed = occ.get("export/products", timestamp="2089-01-01T00:00:00+0000", catalog="Default", version="Online")
    assert [one["code"] for one in changed["products"]] == ["p2"]
    feed = occ.get("products/expressupdate", timestamp="2089-01-01T00:00:00Z")["productExpressUpdateElements"]
    assert feed == [{"code": "p2", "catalogId": "Default", "catalogVersion": "Online"}]
    assert occ.call("GET", "shop/export/products?catalog=Default").status_code == 400


def test_a_product_shows_price_stock_and_references(occ):
    occ.side.put(
        "ProductReference",
        [
            {"source": "p1|Online|Default", "target": f"p{n}|Online|Default", "referenceType": kind}
            for n, kind in ((0, "SPAREPART"), (2, "UPSELLING"))
        ],
    )
    product = occ.get("products/p1")
    assert product["stock"] == {"stockLevelStatus": "lowStock", "stockLevel": 4}
    assert product["price"]["value"] == 2.5
    found = occ.get("products/p1/references", referenceType="SPAREPART")["references"]
    assert [(one["referenceType"], one["target"]["code"]) for one in found] == [("SPAREPART", "p0")]


def test_tickets_and_quotes_go_through_their_steps(ann):
    ticket = ann.send(
        "POST",
        "users/current/tickets",
        {"subject": "Broken", "message": "It is.", "associatedTo": {"code": "o1", "type": "Order"}},
        status=201,
    )
    ann.send("POST", f"users/current/tickets/{ticket['id']}/events", {"message": "Still."}, status=201)
    assert [one["message"] for one in ann.get(f"users/current/tickets/{ticket['id']}")["ticketEvents"]] == [
        "It is.",
        "Still.",
    ]
    cart = ann.send("POST", "users/current/carts")
    ann.send("POST", f"users/current/carts/{cart['code']}/entries", {"product": {"code": "p1"}})
    quote = ann.send("POST", "users/current/quotes", {"cartId": cart["code"]}, status=201)
    ann.send("POST", f"users/current/quotes/{quote['code']}/action", {"action": "SUBMIT"})
    assert ann.get(f"users/current/quotes/{quote['code']}")["state"] == "BUYER_SUBMITTED"


def test_a_customer_registers_and_is_deactivated(occ):
    body = {"uid": "eve@example.com", "password": "p", "firstName": "Eve", "lastName": "Poe", "titleCode": "ms"}
    made = occ.send("POST", "users", body, status=201)
    assert (made["name"], made["active"]) == ("Eve Poe", True)
    assert occ.call("POST", "shop/users", json=body).json()["errors"][0]["type"] == "DuplicateUidError"
    occ.send("PATCH", "users/eve@example.com", {"lastName": "Fox"})
    occ.send("DELETE", "users/eve@example.com")
    found = occ.get("users/eve@example.com")
    assert (found["name"], found["active"]) == ("Eve Fox", False)


@pytest.mark.parametrize(
    ("who", "path", "status", "kind"),
    [
        ("trusted", "nosite/users/C1", 400, "InvalidResourceError"),
        ("trusted", "shop/products/none", 400, "UnknownIdentifierError"),
        ("trusted", "shop/users/nobody", 400, "UnknownIdentifierError"),
        ("trusted", "shop/nothing/here", 404, "UnknownResourceError"),
        ("trusted", "shop/users/C1/orders?pageSize=-1", 400, "ValidationError"),
        ("trusted", "shop/users/current", 403, "ForbiddenError"),
        ("nobody", "shop/users/C1", 401, "UnauthorizedError"),
        ("stranger", "shop/users/C1", 401, "InvalidTokenError"),
        ("client", "shop/users/C1", 403, "ForbiddenError"),
        ("client", "shop/customergroups", 403, "ForbiddenError"),
        ("ann", "shop/users/C2", 403, "ForbiddenError"),
        ("ann", "shop/export/products", 403, "ForbiddenError"),
    ],
)
def test_refusals_have_the_shape_of_occ(occ, ann, who, path, status, kind):
    callers = {"trusted": occ, "ann": ann, "client": None, "nobody": None, "stranger": None}
    caller = (
        callers[who]
        or {
            "client": lambda: Occ(occ.side, client="storefront_client"),
            "nobody": lambda: Occ(occ.side, client=None),
            "stranger": lambda: Occ(occ.side, client=None, token="none"),
        }[who]()
    )
    answer = caller.call("GET", path)
    assert (answer.status_code, answer.json()["errors"][0]["type"]) == (status, kind)


def test_a_customer_manager_may_do_what_a_trusted_client_may(occ):
    manager = Occ(occ.side, client="storefront_client", user=("customermanager", "nimda"))
    assert manager.get("users/C1")["customerId"] == "C1"
    assert "userGroups" in manager.get("customergroups")


def test_a_wrong_password_gives_no_token_and_a_shop_client_no_integration_api(occ, api):
    form = {
        "client_id": "storefront_client",
        "client_secret": "secret",
        "grant_type": "password",
        "username": ANN,
        "password": "no",
    }
    answer = requests.post(f"{occ.side.url}/authorizationserver/oauth/token", data=form, timeout=TIMEOUT_S)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    headers = dict(occ.session.headers)
    answer = requests.get(f"{occ.side.url}/odata2webservices/OrderSync/Orders", headers=headers, timeout=TIMEOUT_S)
    assert answer.status_code == 403
