"""The shared HTTP session against a server of our own that answers, refuses and hangs up as told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from commerce_sync.errors import ConfigurationError, QuotaError, RetryableError
from commerce_sync.systems.rest import (
    Basic,
    ClientCredentials,
    FixedHeaders,
    RestSession,
    UnknownOutcomeError,
    file_body,
)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Far:
    """A server whose answers are a script; it keeps what it was asked."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.seen: list[tuple[str, str, str]] = []
        self.tokens = 0
        self.valid = ""
        self.grant: dict[str, Any] = {}
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        self.seen.append((request.method, request.path_qs, body))
        step = self.script.pop(0) if self.script else 200
        if step == "hang up":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if step == "secured":
            ok = request.headers.get("Authorization") == f"Bearer {self.valid}"
            return web.json_response({"ok": ok}, status=200 if ok else 401)
        if isinstance(step, web.Response):
            return step
        return web.Response(status=step, text='{"n": 1}')

    async def token(self, request: web.Request) -> web.StreamResponse:
        self.grant = dict(await request.post())
        if self.grant.get("client_secret") != "s3cret-value":
            said = {"error": "invalid_client", "error_description": "no"}
            return web.json_response(said, status=400)
        self.tokens += 1
        self.valid = f"token-{self.tokens}-abcdefgh"
        return web.json_response({"access_token": self.valid})


@asynccontextmanager
async def served() -> AsyncIterator[Far]:
    far = Far()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/token", far.token)
    app.router.add_route("*", "/{tail:.*}", far.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    far.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield far
    finally:
        await runner.cleanup()


class Naps:
    """A sleep that only writes down how long it would have been."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


def run(story: Callable[[Far, RestSession, Naps], Awaitable[Any]], **options: Any) -> Any:
    async def play() -> Any:
        async with served() as far:
            naps = Naps()
            auth = options.pop("auth", None) or FixedHeaders({})
            if callable(auth):
                auth = auth(far)
            session = RestSession(far.url, auth=auth, name="far", sleep=naps, **options)
            async with session:
                return await story(far, session, naps)

    return asyncio.run(play())


def test_a_short_outage_is_waited_out() -> None:
    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        far.script = [503, 502, 200]
        assert (await session.request("GET", "/a")).json() == {"n": 1}
        assert len(naps.taken) == 2
        assert session.calls == {"GET /a": 3}

    run(story)


@pytest.mark.parametrize("dated", [False, True])
def test_retry_after_is_obeyed(dated: bool) -> None:
    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        asked = format_datetime(datetime.now(UTC) + timedelta(seconds=7), usegmt=True) if dated else "7"
        far.script = [web.Response(status=429, headers={"Retry-After": asked}), 200]
        await session.request("POST", "/a", json={})
        assert naps.taken[0] == pytest.approx(7, abs=2)

    run(story)


def test_a_long_retry_after_is_handed_on_at_once() -> None:
    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        far.script = [web.Response(status=429, headers={"Retry-After": "600"})]
        with pytest.raises(RetryableError) as caught:
            await session.request("GET", "/a")
        assert caught.value.retry_after == 600
        assert naps.taken == []
        assert len(far.seen) == 1

    run(story)


def test_a_call_that_may_have_had_its_effect_is_not_sent_again() -> None:
    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        far.script = ["hang up"]
        with pytest.raises(UnknownOutcomeError):
            await session.request("POST", "/orders", json={"n": 1})
        far.script = [500]
        with pytest.raises(UnknownOutcomeError):
            await session.request("POST", "/orders", json={"n": 1})
        assert len(far.seen) == 2

    run(story)


def test_a_call_that_is_known_to_be_repeatable_is_sent_again() -> None:
    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        far.script = ["hang up", 500, 200]
        await session.request("PATCH", "/x", json={"n": 1}, repeatable=True)
        far.script = ["hang up", 200]
        await session.request("PUT", "/x", json={"n": 1})
        assert len(far.seen) == 5

    run(story)


def test_a_refused_token_is_renewed_once_for_all_calls_that_met_it() -> None:
    def auth(far: Far) -> ClientCredentials:
        return ClientCredentials(f"{far.url}/token", client_id="id", client_secret="s3cret-value")

    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        await session.request("GET", "/warm")
        far.valid = "token-2-abcdefgh"
        far.script = ["secured"] * 8
        answers = await asyncio.gather(*(session.request("GET", f"/{n}") for n in range(4)))
        assert [answer.json() for answer in answers] == [{"ok": True}] * 4
        assert far.tokens == 2

    run(story, auth=auth)


def test_credentials_that_stay_refused_are_a_configuration_error_without_the_secret() -> None:
    def auth(far: Far) -> ClientCredentials:
        return ClientCredentials(f"{far.url}/token", client_id="id", client_secret="s3cret-value")

    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        far.script = [401, 401]
        with pytest.raises(ConfigurationError, match="check the credentials") as caught:
            await session.request("GET", "/a", params={"q": "private"})
        assert "token-" not in str(caught.value)
        assert "private" not in str(caught.value)
        assert far.tokens == 2

    run(story, auth=auth)


def test_a_wrong_secret_says_so_and_is_not_repeated_in_the_message() -> None:
    def auth(far: Far) -> ClientCredentials:
        return ClientCredentials(f"{far.url}/token", client_id="id", client_secret="wrong-value")

    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        with pytest.raises(ConfigurationError, match="invalid_client") as caught:
            await session.request("GET", "/a")
        assert "wrong-value" not in str(caught.value)
        assert "wrong-value" not in repr(session)

    run(story, auth=auth)


def test_secrets_never_reach_log_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        far.script = [503, web.Response(status=400, text='{"access_token": "abc123secret", "x": 1}')]
        with pytest.raises(ConfigurationError) as caught:
            await session.request("GET", "/a", params={"password": "hunter2"})
        assert "abc123secret" not in str(caught.value)

    run(story, auth=Basic("user", "hunter2"))
    assert "hunter2" not in caplog.text
    assert "hunter2" not in repr(Basic("user", "hunter2"))


def test_credentials_do_not_travel_to_another_host() -> None:
    async def play() -> None:
        async with served() as far, served() as other:
            other.valid = "x"
            other.script = ["secured"]
            auth = FixedHeaders({"Authorization": "Bearer x"})
            async with RestSession(far.url, auth=auth, name="far") as session:
                answer = await session.request("GET", f"{other.url}/elsewhere", ok=(200, 401))
                assert answer.json() == {"ok": False}

    asyncio.run(play())


def test_an_upload_starts_again_from_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("ä" * 300_000, encoding="utf-8")

    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        far.script = [503, 201]
        stream, headers = file_body(file)
        await session.request("PUT", "/up", data=stream, headers=headers, ok=(201,))
        assert [len(body) for _, _, body in far.seen] == [300_000, 300_000]

    run(story)


def test_a_download_that_breaks_off_leaves_no_file_and_is_repeated(tmp_path: Path) -> None:
    async def play() -> None:
        tries = 0

        async def cut(request: web.Request) -> web.StreamResponse:
            nonlocal tries
            tries += 1
            answer = web.StreamResponse(headers={"Content-Length": "1000"})
            await answer.prepare(request)
            await answer.write(b"a" * (500 if tries == 1 else 1000))
            if tries == 1:
                assert request.transport is not None
                request.transport.abort()
            return answer

        app = web.Application()
        app.router.add_get("/f", cut)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with RestSession(url, auth=FixedHeaders({}), name="far", sleep=Naps()) as session:
            await session.download("/f", tmp_path / "f")
        await runner.cleanup()
        assert tries == 2

    asyncio.run(play())
    assert (tmp_path / "f").read_bytes() == b"a" * 1000
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_a_system_reads_its_own_errors() -> None:
    def classify(status: int, body: bytes) -> QuotaError | None:
        return QuotaError("used up") if b"LIMIT" in body else None

    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        far.script = [web.Response(status=403, text="LIMIT")]
        with pytest.raises(QuotaError):
            await session.request("GET", "/a")
        far.script = [403]
        with pytest.raises(ConfigurationError):
            await session.request("GET", "/a")

    run(story, classify=classify)


def test_calls_start_no_faster_than_asked() -> None:
    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        await asyncio.gather(*(session.request("GET", "/a") for _ in range(4)))
        assert sorted(round(nap, 1) for nap in naps.taken) == [0.5, 1.0, 1.5]

    run(story, max_per_second=2, clock=lambda: 100.0)


def test_a_silent_server_times_out_as_retryable() -> None:
    async def play() -> None:
        writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        session = RestSession(url, auth=FixedHeaders({}), name="far", timeout_s=0.2, tries=2, sleep=Naps())
        async with session:
            with pytest.raises(RetryableError, match="no answer"):
                await session.request("GET", "/a")
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()

    started = time.monotonic()
    asyncio.run(play())
    assert time.monotonic() - started < 5


def test_a_host_that_does_not_listen_is_retryable_even_for_post() -> None:
    async def play() -> None:
        async with RestSession("http://127.0.0.1:9", auth=FixedHeaders({}), name="far", sleep=Naps()) as session:
            with pytest.raises(RetryableError) as caught:
                await session.request("POST", "/a", json={})
            assert not isinstance(caught.value, UnknownOutcomeError)

    asyncio.run(play())


def test_the_budget_hears_every_attempt() -> None:
    heard: list[tuple[str, int]] = []

    async def story(far: Far, session: RestSession, naps: Naps) -> None:
        far.script = [503, "hang up", 200]
        await session.request("GET", "/things/4711", route="/things/{id}")

    run(story, on_call=lambda call: heard.append((call.route, call.status)))
    assert heard == [("/things/{id}", 503), ("/things/{id}", 0), ("/things/{id}", 200)]
