"""A redirect takes a read further and never takes credentials along; a write stays where it was sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.rest import Basic, FixedHeaders, RestSession

TOKEN = "t0ken-of-the-far-side"
CUSTOM = FixedHeaders({"App-ID": "app-of-ours", "Auth-Token": TOKEN})
STATUSES = (301, 302, 303, 307, 308)


def asked(url: str, method: str = "GET", *, auth: Any = CUSTOM, **options: Any) -> Any:
    async def work() -> Any:
        async with RestSession(url, auth=auth, name="far", tries=1) as session:
            return await session.request(method, "/start", **options)

    return asyncio.run(work())


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("auth", [CUSTOM, Basic("me", TOKEN)])
def test_a_read_that_is_sent_to_another_host_goes_without_credentials(listen, status, auth) -> None:
    other = listen(answers={"/there": (200, {}, '{"n": 1}')})
    far = listen(answers={"/start": (status, {"Location": f"{other.url}/there"}, "")})
    found = asked(far.url, auth=auth, headers={"x-ours": TOKEN, "Accept": "text/plain"})
    assert found.json() == {"n": 1}
    assert TOKEN in far.text or "Basic" in far.text
    sent = other.seen[0]["headers"]
    assert sent["accept"] == "text/plain"
    assert not {"authorization", "app-id", "auth-token", "x-ours", "cookie"} & set(sent)


def test_a_read_that_stays_with_its_host_keeps_them(listen) -> None:
    far = listen(answers={"/start": (302, {"Location": "/there"}, "")})
    asked(far.url)
    assert [(one["path"], one["headers"]["auth-token"]) for one in far.seen] == [("/start", TOKEN), ("/there", TOKEN)]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("status", STATUSES)
def test_a_write_is_never_sent_elsewhere_and_never_becomes_a_read(listen, method, status) -> None:
    other = listen()
    for target in (f"{other.url}/there", "/there"):
        far = listen(answers={"/start": (status, {"Location": target}, "")})
        with pytest.raises(ConfigurationError, match="a redirect.*correct the connection's host"):
            asked(far.url, method, data="rows")
        assert len(far.seen) == 1
    assert other.seen == []


def test_a_redirect_leads_to_no_unprotected_host(listen) -> None:
    far = listen(answers={"/start": (302, {"Location": "http://example.com/there"}, "")})
    with pytest.raises(ConfigurationError, match="is not https"):
        asked(far.url)
    far.answers["/start"] = (302, {"Location": "file:///etc/passwd"}, "")
    with pytest.raises(ConfigurationError, match="is not https"):
        asked(far.url)


def test_a_circle_of_redirects_ends(listen) -> None:
    far = listen(answers={"/start": (302, {"Location": "/start"}, "")})
    with pytest.raises(ConfigurationError, match="more than 5 times"):
        asked(far.url)
    assert len(far.seen) == 5
