"""Random requests to the platform's own services, OCC and the token address: no answer is a 500."""

from __future__ import annotations

import json

import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from sap_api_client import Api, Platform
from sap_strategies import MODEST, methods, never_a_500, scalars, words


def test_no_meta_service_request_gives_a_500(shop):
    platform = Platform(shop)
    sets = [
        "OutboundChannelConfig/OutboundChannelConfigurations",
        "OutboundChannelConfig/ConsumedDestinations",
        "OutboundChannelConfig/Triggers",
        "WebhookService/WebhookConfigurations",
        "ScriptService/Scripts",
        "IntegrationService/IntegrationObjects",
    ]
    names = [
        "code",
        "id",
        "integrationObject",
        "destination",
        "eventType",
        "destinationTarget",
        "url",
        "autoGenerate",
        "cronJob",
        "cronExpression",
        "items",
        "type",
        "root",
        "attributes",
        "attributeName",
        "attributeDescriptor",
        "qualifier",
        "unique",
    ]
    body = st.dictionaries(
        st.sampled_from(names),
        st.recursive(
            st.sampled_from(["OutboundOrder", "OrderSync", "x", "Order", True, None, 1, "0 0 * * * ?"]),
            lambda inner: st.dictionaries(st.sampled_from(names), inner, max_size=4) | st.lists(inner, max_size=2),
            max_leaves=8,
        ),
        max_size=6,
    )

    @settings(MODEST, max_examples=120)
    @given(base=st.sampled_from(sets), body=body)
    def request(base, body):
        never_a_500(platform.call("POST", base, json=body))
        never_a_500(platform.call("GET", base))

    request()


def test_no_occ_request_gives_a_500(api, shop):
    token = api.new_token("trusted_client")
    caller = Api(shop)
    caller.session.headers["Authorization"] = f"Bearer {token}"
    part = st.sampled_from(
        [
            "users",
            "C1",
            "current",
            "anonymous",
            "orders",
            "o1",
            "carts",
            "entries",
            "0",
            "products",
            "p1",
            "references",
            "export",
            "customergroups",
            "members",
            "tickets",
            "quotes",
            "orderReturns",
            "cancellation",
            "promotions",
            "save",
            "x",
            "search",
            "stock",
        ]
    )
    names = [
        "uid",
        "product",
        "code",
        "quantity",
        "members",
        "orderCode",
        "returnRequestEntryInputs",
        "cancellationRequestEntryInputs",
        "orderEntryNumber",
        "subject",
        "message",
        "status",
        "cartId",
        "action",
        "associatedTo",
        "ticketCategory",
        "firstName",
        "lastName",
        "password",
    ]
    body = st.dictionaries(
        st.sampled_from(names),
        st.recursive(
            scalars | st.sampled_from(["C1", "ann@example.com", "o1"]),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(names), inner, max_size=3),
            max_leaves=6,
        ),
        max_size=5,
    )
    params = st.fixed_dictionaries(
        {},
        optional={
            "fields": st.sampled_from(["BASIC", "code,(", "a(b(c", "orders(code)", "DEFAULT,x"]),
            "pageSize": st.sampled_from(["0", "5", "x", "-1", "9" * 25]),
            "currentPage": st.sampled_from(["0", "7", "9" * 25]),
            "timestamp": st.sampled_from(["x", "2020-01-01T00:00:00Z"]),
            "type": st.just("all"),
            "query": words,
            "cartId": words,
            "curr": st.sampled_from(["USD", "XXX"]),
        },
    )

    @MODEST
    @given(
        method=methods,
        parts=st.lists(part, max_size=5),
        params=params,
        body=body.map(lambda one: json.dumps(one).encode()) | st.binary(max_size=20),
    )
    def request(method, parts, params, body):
        url = f"{shop.url}/occ/v2/shop/{'/'.join(parts)}"
        never_a_500(caller.call(method, url, params=params, data=body, headers={"Content-Type": "application/json"}))

    request()


def test_no_token_request_gives_a_500(shop):
    @settings(MODEST, max_examples=60)
    @given(
        form=st.dictionaries(
            st.sampled_from(["grant_type", "client_id", "client_secret", "username", "password"]),
            st.sampled_from(
                [
                    "client_credentials",
                    "password",
                    "integration_client",
                    "trusted_client",
                    "secret",
                    "integration",
                    "nimda",
                    "",
                    "\x00",
                ]
            ),
        ),
        header=st.sampled_from(["", "Basic !!!", "Basic YTpi", "Bearer", "Bearer x", "x y z"]),
    )
    def request(form, header):
        never_a_500(
            requests.post(
                f"{shop.url}/authorizationserver/oauth/token", data=form, headers={"Authorization": header}, timeout=30
            )
        )
        for path in (
            "odata2webservices/OrderSync/Orders",
            "odata2webservices/IntegrationService",
            "occ/v2/shop/users/C1",
        ):
            never_a_500(requests.get(f"{shop.url}/{path}", headers={"Authorization": header}, timeout=30))

    request()
