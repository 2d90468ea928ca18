"""No connection speaks to a far side it cannot be sure of, and nothing is sent before it is."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.iconik.hook import IconikHook
from commerce_sync.systems.opentext_iot.hook import OpenTextIotHook
from commerce_sync.systems.rest import ClientCredentials, FixedHeaders, RestSession
from commerce_sync.systems.salesforce.hook import SalesforceHook
from commerce_sync.systems.sap_commerce.hook import SapCommerceHook
from commerce_sync.systems.trust import Trust
from flows.walking import connection

SYSTEMS = {"sap_commerce": SapCommerceHook, "salesforce": SalesforceHook, "iconik": IconikHook,
           "opentext_iot": OpenTextIotHook}  # fmt: skip
BODY = "what nobody else may read"


def post(url: str, trust: Trust, *, host: str | None = None) -> Any:
    """One write with a body and credentials."""

    async def work() -> Any:
        session = RestSession(url, auth=FixedHeaders({"Auth-Token": BODY}), name="far", trust=trust, tries=1)
        async with session:
            return await session.request("POST", "/rows", data=BODY)

    return asyncio.run(work())


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_system_is_reached_with_its_authority_and_not_without(
    simulators_tls, salesforce_tls, monkeypatch, stranger, system
) -> None:
    far = type(salesforce_tls)(credentials=simulators_tls[system], ca_file=simulators_tls["ca_file"])
    far.reset()
    assert far.url.startswith("https://")
    name, hook = f"{system}_tls", SYSTEMS[system]

    def tried(**extra: Any) -> tuple[bool, str]:
        extra |= {"test_service": "OrderSync"} if system == "sap_commerce" else {}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", connection(far, **extra))
        return hook(name).test_connection()

    good, said = tried(ca_file=far.ca_file)
    assert good, said
    far.reset_calls()
    for extra in ({}, {"ca_file": stranger.ca_file}, {"verify": False}, {"verify_ssl": False}, {"ssl": False}):
        good, said = tried(**extra)
        assert not good
        assert "certificate is not trusted" in said
        assert "ca_file" in said
    assert far.calls()["total"] == 0, "nothing may arrive over a connection that is not trusted"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"days": -3}, "expired: have it renewed"),
        ({"host": "shop.example.com"}, "correct the connection's host"),
        ({"host": "10.1.2.3"}, "correct the connection's host"),
    ],
)
def test_a_certificate_that_is_wrong_stops_the_call_before_anything_is_sent(authority, listen, kind, said) -> None:
    far = listen(authority.serving(**kind))
    trust = Trust(ca_file=authority.ca_file)
    with pytest.raises(ConfigurationError, match=said):
        post(far.url, trust)
    with pytest.raises(ConfigurationError, match=said):
        asyncio.run(ClientCredentials(f"{far.url}/token", client_id="me", client_secret=BODY, trust=trust).refresh())
    assert far.seen == []


def test_an_unknown_authority_stops_the_call_before_anything_is_sent(authority, stranger, listen) -> None:
    far = listen(stranger.serving())
    with pytest.raises(ConfigurationError, match="is not trusted .*ca_file"):
        post(far.url, Trust(ca_file=authority.ca_file))
    assert far.seen == []
    post(far.url, Trust(ca_file=stranger.ca_file))
    assert far.seen[0]["body"] == BODY


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_nothing_older_than_tls_1_2_is_spoken(authority, listen) -> None:
    context = authority.serving()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    far = listen(context)
    with pytest.raises(ConfigurationError, match="no common version of TLS"):
        post(far.url, Trust(ca_file=authority.ca_file))
    assert far.seen == []
    assert Trust().context().minimum_version >= ssl.TLSVersion.TLSv1_2
    newer = authority.serving()
    newer.maximum_version = ssl.TLSVersion.TLSv1_2
    post(listen(newer).url, Trust(ca_file=authority.ca_file))


def test_https_to_a_port_that_speaks_http_says_so(authority, listen) -> None:
    far = listen()
    with pytest.raises(ConfigurationError, match="plain http there"):
        post(far.url.replace("http:", "https:"), Trust(ca_file=authority.ca_file))
    assert far.seen == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_far_side_that_wants_a_certificate_gets_ours_and_no_other(authority, stranger, listen, version) -> None:
    context = authority.serving()
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    far = listen(context)
    ours, foreign = str(authority.chain(client=True)), str(stranger.chain(client=True))
    post(far.url, Trust(ca_file=authority.ca_file, client_cert=ours))
    assert far.seen.pop()["body"] == BODY
    for certificate in (None, foreign):
        with pytest.raises(ConfigurationError, match="client_cert and client_key"):
            post(far.url, Trust(ca_file=authority.ca_file, client_cert=certificate))
    assert far.seen == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_connection_shows_its_certificate_also_where_tokens_come_from(
    authority, listen, monkeypatch, system
) -> None:
    context = authority.serving()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    far = listen(context)
    files = {"ca_file": authority.ca_file, "client_cert": str(authority.chain(client=True)), "test_service": "x"}
    extra = files | {"client_id": "me", "client_secret": BODY, "auth": "oauth", "tenant": "t", "realm": "r"}
    fields = {"conn_type": "http", "host": far.url, "login": "me", "password": BODY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_MUTUAL", json.dumps(fields))
    SYSTEMS[system]("mutual").test_connection()
    assert far.seen, "the call came through, whatever became of it"
    monkeypatch.setenv("AIRFLOW_CONN_MUTUAL", json.dumps(fields | {"extra": {**extra, "client_cert": None}}))
    far.seen.clear()
    good, said = SYSTEMS[system]("mutual").test_connection()
    assert not good
    assert "client_cert" in said
    assert far.seen == []


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        ({"ca_file": "/no/such.pem"}, "ca_file '/no/such.pem'"),
        ({"client_cert": "/no/such.pem"}, "client_cert '/no/such.pem'"),
        ({"client_key": "/no/such.pem"}, "client_key is set without client_cert"),
    ],
)
def test_a_file_that_is_not_there_is_named(trust, said) -> None:
    with pytest.raises(ConfigurationError, match=said):
        post("https://127.0.0.1:9", Trust(**trust))


def test_a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked_at_a_terminal(authority) -> None:
    locked = str(authority.chain(client=True, password=b"a pass phrase"))
    with pytest.raises(ConfigurationError, match="without a pass phrase"):
        post("https://127.0.0.1:9", Trust(client_cert=locked))


@pytest.mark.parametrize(
    "host", ["shop.example.com", "simulators:9100", "10.0.0.7", "127.0.0.1.example.com", "[2001:db8::1]"]
)
def test_plain_http_never_leaves_this_machine_unasked(host) -> None:
    url = f"http://{host}"
    with pytest.raises(ConfigurationError, match="allow_http"):
        RestSession(url, auth=FixedHeaders({}), name="far")
    with pytest.raises(ConfigurationError, match="allow_http"):
        ClientCredentials(f"{url}/token", client_id="me", client_secret=BODY)
    RestSession(url, auth=FixedHeaders({}), name="far", trust=Trust(allow_http=True))
    ClientCredentials(f"{url}/token", client_id="me", client_secret=BODY, trust=Trust(allow_http=True))


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1:9", "127.8.8.8", "[::1]:9"])
def test_plain_http_may_stay_on_this_machine(host) -> None:
    RestSession(f"http://{host}", auth=FixedHeaders({}), name="far")


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_connection_refuses_http_and_takes_the_option(monkeypatch, system) -> None:
    extra = {"client_id": "me", "client_secret": BODY, "auth": "oauth", "tenant": "t", "test_service": "x"}
    fields = {"conn_type": "http", "host": "http://shop.invalid", "login": "me", "password": BODY}
    monkeypatch.setenv("AIRFLOW_CONN_PLAIN", json.dumps(fields | {"extra": extra}))
    with pytest.raises(ConfigurationError, match="allow_http"):
        SYSTEMS[system]("plain").client(*["x"][: system == "sap_commerce"])
    monkeypatch.setenv("AIRFLOW_CONN_PLAIN", json.dumps(fields | {"extra": extra | {"allow_http": True}}))
    SYSTEMS[system]("plain").client(*["x"][: system == "sap_commerce"])


def test_allow_http_is_a_truth_value_and_nothing_like_it() -> None:
    with pytest.raises(ConfigurationError, match="legal: true, false"):
        Trust.of({"allow_http": "false"})
