"""Feeds that are pages over HTTP: GET with a cursor, each page's ``next`` followed until there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from yarl import URL

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.systems.inbox.feeds import FeedFile
from commerce_sync.systems.rest import Auth, Basic, FixedHeaders, RestSession
from commerce_sync.systems.trust import Trust

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its events as JSON texts, and the cursor once they are written."""

    where: str
    events: list[bytes]
    cursor: dict[str, Any]


def session(feed: FeedFile, *, on_call: Any = None) -> RestSession:
    """A session for the feed's connection (type http): host, login and password or the extra field ``token``.

    Raises ConfigurationError when there is no such connection or it has no host.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

    try:
        found = BaseHook.get_connection(feed.connection)
    except (AirflowNotFoundException, AirflowRuntimeError) as error:
        raise ConfigurationError(
            f"feed {feed.feed!r}: there is no connection {feed.connection!r}; create it"
        ) from error
    if not found.host:
        raise ConfigurationError(f"feed {feed.feed!r}: connection {feed.connection!r} has no host; fill it in")
    host = found.host if "://" in found.host else f"{found.schema or 'https'}://{found.host}"
    if found.port:
        host = f"{host}:{found.port}"
    extra = found.extra_dejson
    return RestSession(host, auth=_auth(found, extra), name=feed.connection, timeout_s=TIMEOUT_S, on_call=on_call,
                       trust=Trust.of(extra))  # fmt: skip


def _auth(found: Any, extra: dict[str, Any]) -> Auth:
    if extra.get("token"):
        return FixedHeaders({"Authorization": f"Bearer {extra['token']}"})
    return Basic(found.login, found.password or "") if found.login else FixedHeaders({})


async def pages(session: RestSession, feed: FeedFile, cursor: dict[str, Any]) -> AsyncIterator[Page]:
    """Pages beyond ``cursor``; the last ``next`` is where the following poll begins.

    Where the last page has none, that page is read again then: its events are known and change nothing.
    Raises RetryableError for an answer that is not a page, and for what a session raises.
    """
    at = cursor.get("next")
    for _number in range(feed.max_pages):
        answer = await session.request("GET", *_call(session, feed, at))
        events, following = _page(feed, answer.body)
        moved = following if following is not None else at
        yield Page(f"{feed.path} after {at}" if at else feed.path, events, {"next": moved})
        if following is None or following == at or (not events and at is None):
            return
        at = following


def _call(session: RestSession, feed: FeedFile, at: str | None) -> tuple[str]:
    """The address of a page. ``next`` may be a cursor, or an address of the same origin."""
    if at is not None and ("://" in at or at.startswith("/")):
        url = URL(session.base_url).join(URL(at, encoded=True))
        if url.origin() != URL(session.base_url).origin():
            raise ConfigurationError(f"feed {feed.feed!r}: next leads to {url.origin()}, not to {session.base_url}")
        return (str(url),)
    url = URL(f"{session.base_url}/{feed.path.lstrip('/')}")
    if feed.size_param:
        url = url.update_query({feed.size_param: str(feed.size)})
    return (str(url.update_query({feed.cursor_param: at}) if at is not None else url),)


def _page(feed: FeedFile, body: bytes) -> tuple[list[bytes], str | None]:
    try:
        answer = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        events = msgspec.json.decode(answer[feed.events], type=list[msgspec.Raw])
        following = msgspec.json.decode(answer[feed.next], type=str | int | None) if feed.next in answer else None
    except (msgspec.MsgspecError, KeyError) as error:
        raise RetryableError(
            f"feed {feed.feed!r}: the answer is no page with a list {feed.events!r} and perhaps {feed.next!r}: {error}"
        ) from error
    return [bytes(item) for item in events], None if following in (None, "") else str(following)
