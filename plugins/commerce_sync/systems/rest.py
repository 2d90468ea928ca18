"""One HTTP session for every system: tokens, short retries, rate limit, streamed bodies, status -> error.

Seconds of trouble are waited out here and nowhere else; longer trouble becomes a ``RetryableError`` with its
``retry_after`` and is Airflow's business. Tokens and query strings never reach a log line or a message.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
)
from yarl import URL

from commerce_sync import budget_meter
from commerce_sync.budget_meter import Meter
from commerce_sync.errors import ConfigurationError, RetryableError, SyncError
from commerce_sync.systems.answers import (
    NOT_PROCESSED,
    PASSING,
    Call,
    Response,
    UnknownOutcomeError,
    excerpt,
    retry_after_s,
    secrets_in,
    without,
)
from commerce_sync.systems.tokens import (
    Auth,
    Basic,
    ClientCredentials,
    FixedHeaders,
    TokenEndpoint,
)
from commerce_sync.systems.trust import (
    KEPT_ELSEWHERE,
    MOST_REDIRECTS,
    REDIRECTED,
    USUAL,
    Trust,
    onward,
    refusal,
)

__all__ = [
    "Auth", "Basic", "Call", "ClientCredentials", "FixedHeaders", "Response", "RestSession", "TokenEndpoint",
    "UnknownOutcomeError", "excerpt", "file_body", "retry_after_s",
]  # fmt: skip

log = logging.getLogger(__name__)

Body = bytes | str | dict[str, str] | Callable[[], AsyncIterator[bytes]]
Classify = Callable[[int, bytes], SyncError | None]

OK = frozenset({200, 201, 202, 204})
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
LONGEST_PAUSE_S = 60.0
BLOCK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: URL
    route: str
    options: dict[str, Any]
    data: Body | None
    headers: dict[str, str]
    ok: Collection[int]
    classify: Classify | None
    repeatable: bool
    to_file: Path | None


class RestSession:
    """HTTP calls to one system. Use as ``async with``; safe for concurrent tasks of one event loop.

    auth: gives headers, renews them once after a 401.   tries: attempts per call for 429, 5xx, lost
    connections.   max_per_second: starts of calls by this session; the budget of ``name``, if it has one, holds for
    all processes together.   on_call: told every attempt.   classify: maps a status
    and body outside ``ok`` to an error, None for the usual reading.   trust: CA, own certificate, whether http may be.
    connections: open at once.
    sleep, clock: injected by tests.   ``calls`` counts attempts by "METHOD route".
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: Auth,
        name: str,
        timeout_s: float = 60,
        tries: int = 4,
        max_per_second: float | None = None,
        on_call: Callable[[Call], None] | None = None,
        trust: Trust = USUAL,
        classify: Classify | None = None,
        connections: int = 16,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        trust.permit(base_url, name=name)
        self.base_url = base_url.rstrip("/")
        self.name = name
        self.calls: Counter[str] = Counter()
        self._auth = auth
        self._timeout_s = timeout_s
        self._tries = tries
        self._gap_s = 1 / max_per_second if max_per_second else 0.0
        self._on_call = on_call
        self._trust = trust
        self._classify = classify
        self._connections = connections
        self._sleep = sleep
        self._clock = clock
        self._next_start = 0.0
        self._session: aiohttp.ClientSession | None = None
        self._auth_lock: asyncio.Lock | None = None

    def __repr__(self) -> str:
        return f"RestSession({self.name!r}, {self.base_url!r})"

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections, ssl=self._trust.context())
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        # aiohttp repeats PUT and GET by itself on a dropped connection, a stream from where it stood.
        self._session._retry_connection = False
        self._auth_lock = asyncio.Lock()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()
        self._session = None

    async def request(
        self,
        method: str,
        path_or_url: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Body | None = None,
        headers: Mapping[str, str] | None = None,
        ok: Collection[int] = OK,
        classify: Classify | None = None,
        repeatable: bool | None = None,
        to_file: Path | None = None,
        timeout_s: float | None = None,
        route: str | None = None,
    ) -> Response:
        """Send one call, retrying what passes by itself, and return an answer whose status is in ``ok``.

        path_or_url: below the base URL, or absolute; credentials go to the base URL's origin only.
        data: bytes, text, form fields, or a function that gives a fresh stream (see ``file_body``) for each
        attempt.   repeatable: whether to send again after a failure that may have had its effect; default: by
        method.   to_file: stream the body there (it appears when complete).   route: label for counters;
        default the path.
        Raises RetryableError, UnknownOutcomeError, ConfigurationError, QuotaError or what ``classify`` gives.
        """
        url = self._url(path_or_url, params)
        self._trust.permit(url, name=self.name)
        sent = dict(headers or {})
        if json is not None:
            data = msgspec.json.encode(json)
            sent.setdefault("Content-Type", "application/json")
        method = method.upper()
        request = _Request(
            method=method,
            url=url,
            route=route or url.path,
            options={"timeout": aiohttp.ClientTimeout(total=timeout_s or self._timeout_s)},
            data=data,
            headers=sent,
            ok=ok,
            classify=classify or self._classify,
            repeatable=method in REPEATABLE if repeatable is None else repeatable,
            to_file=to_file,
        )
        return await self._persist(request)

    async def download(self, path_or_url: str, to_file: Path, **options: Any) -> Response:
        """GET a body straight to a file; the file appears only when it is complete."""
        return await self.request("GET", path_or_url, to_file=to_file, **options)

    def _url(self, path_or_url: str, params: Mapping[str, Any] | None) -> URL:
        if "://" in path_or_url:
            url = URL(path_or_url, encoded=True)
        else:
            url = URL(f"{self.base_url}/{path_or_url.lstrip('/')}")
        return url.extend_query(params) if params else url

    async def _persist(self, request: _Request) -> Response:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._tries),
            wait=_pause,
            retry=retry_if_exception(_worth_waiting),
            sleep=self._sleep,
            before_sleep=_log_retry(self.name, request),
            reraise=True,
        )
        response: Response = await retrying(self._authorised, request)
        return response

    async def _authorised(self, request: _Request) -> Response:
        """One attempt with valid credentials; a read follows redirects, without credentials to another origin."""
        for _hop in range(MOST_REDIRECTS):
            response = await self._answered(request)
            following = onward(request.method, request.url, response.status, response.headers.get("Location", ""))
            if following is None or response.status in request.ok:
                return self._judged(request, response)
            self._trust.permit(following, name=self.name)
            stays = following.origin() == request.url.origin()
            kept = {name: value for name, value in request.headers.items() if stays or name.lower() in KEPT_ELSEWHERE}
            request = replace(request, url=following, headers=kept)
        raise ConfigurationError(f"{self._what(request)}: redirected more than {MOST_REDIRECTS} times; check the host")

    async def _answered(self, request: _Request) -> Response:
        """The answer to one address; a 401 renews the credentials once."""
        ours = request.url.origin() == URL(self.base_url).origin()
        granted = await self._granted() if ours else {}
        response = await self._attempt(request, granted)
        if response.status == 401 and ours:
            await self._renew(granted)
            response = await self._attempt(request, await self._granted())
            if response.status == 401:
                raise self._refused(request, response)
        return response

    async def _granted(self) -> dict[str, str]:
        assert self._auth_lock is not None, "use RestSession as 'async with'"
        async with self._auth_lock:
            return await self._auth.headers()

    async def _renew(self, stale: dict[str, str]) -> None:
        assert self._auth_lock is not None
        async with self._auth_lock:
            # Concurrent calls meet the same expired token; the first one renews it for all.
            if await self._auth.headers() == stale:
                await self._auth.refresh()

    async def _attempt(self, request: _Request, granted: dict[str, str]) -> Response:
        assert self._session is not None, "use RestSession as 'async with'"
        await self._wait_turn()
        meter = await self._admitted()
        headers: Mapping[str, str] = {}
        started, status = self._clock(), 0
        data = request.data() if callable(request.data) else request.data
        try:
            async with self._session.request(
                request.method,
                request.url,
                data=data,
                headers={**request.headers, **granted},
                allow_redirects=False,
                **request.options,
            ) as answer:
                status, headers = answer.status, answer.headers
                body = await _read(answer, request)
                if status not in request.ok:
                    body = without(body, secrets_in(granted, request.url.query))
                return Response(status, headers, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._no_answer(request, error) from error
        finally:
            self._count(request, status, headers, self._clock() - started)
            if meter:
                meter.heard(headers)

    async def _wait_turn(self) -> None:
        if not self._gap_s:
            return
        now = self._clock()
        start = max(now, self._next_start)
        self._next_start = start + self._gap_s
        if start > now:
            await self._sleep(start - now)

    async def _admitted(self) -> Meter | None:
        """The meter of this connection, once its budget has room for the call. Raises QuotaError when it has none."""
        meter = budget_meter.current(self.name)
        while meter:
            pause = meter.take()
            if pause is not None:
                if pause > 0:
                    await self._sleep(pause)
                break
            await asyncio.to_thread(meter.refill)
        return meter

    def _count(self, request: _Request, status: int, headers: Mapping[str, str], seconds: float) -> None:
        self.calls[f"{request.method} {request.route}"] += 1
        if self._on_call:
            self._on_call(Call(self.name, request.method, request.route, status, seconds, headers))

    def _no_answer(self, request: _Request, error: Exception) -> SyncError:
        if isinstance(error, aiohttp.InvalidURL):
            return ConfigurationError(f"{self._what(request)}: this is no address; check the connection's host")
        if said := refusal(error):
            return ConfigurationError(f"{self._what(request)}: {said}")
        what = f"{self._what(request)}: no answer ({type(error).__name__})"
        # A connector error means that nothing was sent; everything else may have had its effect.
        if request.repeatable or isinstance(error, aiohttp.ClientConnectorError):
            return RetryableError(what)
        return UnknownOutcomeError(f"{what}; it may have taken effect: read back before sending it again")

    def _judged(self, request: _Request, response: Response) -> Response:
        if response.status in request.ok:
            return response
        error = request.classify(response.status, response.body) if request.classify else None
        raise self._with_pause(request, response, error or self._usual(request, response))

    def _usual(self, request: _Request, response: Response) -> SyncError:
        what = f"{self._what(request)} answered {response.status}: {excerpt(response.body)}"
        if response.status in REDIRECTED:
            return ConfigurationError(f"{self._what(request)} answered {response.status}, a redirect, which calls that "
                                      "change something do not follow: correct the connection's host")  # fmt: skip
        if response.status not in PASSING:
            return self._refused(request, response) if response.status in (401, 403) else ConfigurationError(what)
        if request.repeatable or response.status in NOT_PROCESSED:
            return RetryableError(what)
        return UnknownOutcomeError(what)

    def _with_pause(self, request: _Request, response: Response, error: SyncError) -> SyncError:
        if not isinstance(error, RetryableError) or error.retry_after is not None:
            return error
        if not request.repeatable and response.status in PASSING - NOT_PROCESSED:
            error = UnknownOutcomeError(str(error))
        error.retry_after = retry_after_s(response.headers)
        return error

    def _refused(self, request: _Request, response: Response) -> ConfigurationError:
        return ConfigurationError(
            f"{self._what(request)} answered {response.status} ({excerpt(response.body)}): check the "
            f"credentials of connection {self.name!r} and the rights of its user"
        )

    def _what(self, request: _Request) -> str:
        return f"{self.name}: {request.method} {request.url.with_query(None)}"


def file_body(path: Path) -> tuple[Callable[[], AsyncIterator[bytes]], dict[str, str]]:
    """A file as ``data`` and the headers that go with it; every attempt reads it from its beginning."""

    async def stream() -> AsyncIterator[bytes]:
        with path.open("rb") as source:
            while block := source.read(BLOCK_BYTES):
                yield block

    return stream, {"Content-Length": str(path.stat().st_size)}


async def _read(answer: aiohttp.ClientResponse, request: _Request) -> bytes:
    if request.to_file is None or answer.status not in request.ok:
        return await answer.read()
    draft = request.to_file.with_name(request.to_file.name + ".part")
    with draft.open("wb") as sink:
        async for block in answer.content.iter_chunked(BLOCK_BYTES):
            sink.write(block)
    draft.replace(request.to_file)
    return b""


def _worth_waiting(error: BaseException) -> bool:
    if not isinstance(error, RetryableError) or isinstance(error, UnknownOutcomeError):
        return False
    return error.retry_after is None or error.retry_after <= LONGEST_PAUSE_S


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = getattr(error, "retry_after", None)
    if asked is not None:
        return float(asked)
    return float(min(8.0, 0.5 * 2 ** (state.attempt_number - 1)) * random.uniform(0.75, 1.25))  # noqa: S311


def _log_retry(name: str, request: _Request) -> Callable[[RetryCallState], None]:
    def tell(state: RetryCallState) -> None:
        pause = state.next_action.sleep if state.next_action else 0.0
        log.warning("%s: %s %s try %d failed, next in %.1f s", name, request.method, request.route,
                    state.attempt_number, pause)  # fmt: skip

    return tell
