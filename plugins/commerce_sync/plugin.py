"""The Airflow plugin: the monitor's pages under /commerce-sync and their entry in Airflow's navigation.

Every Airflow process loads plugins, only the API server serves pages: the application is imported at its first request.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

PREFIX = "/commerce-sync"
BASE = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
"""Path Airflow itself is served under; links in its navigation start at the host."""


@lru_cache(maxsize=1)
def _application() -> Any:
    from commerce_sync.monitor.app import build

    return build()


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """ASGI application that becomes the real one when it is first asked."""
    await _application()(scope, receive, send)


@lru_cache(maxsize=1)
def _receiver() -> Any:
    from commerce_sync.receiver.app import build

    return build()


async def receiver(scope: Any, receive: Any, send: Any) -> None:
    """ASGI application of the receiver, with credentials of its own; imported when it is first asked."""
    await _receiver()(scope, receive, send)


class CommerceSyncPlugin(AirflowPlugin):
    """Registers the pages, and shows them in Airflow's own frame."""

    name = "commerce_sync"
    # The first that fits takes a request, so what is below the pages' address comes before them.
    fastapi_apps = [  # noqa: RUF012
        {"app": receiver, "url_prefix": f"{PREFIX}/receive", "name": "Commerce Sync receiver"},
        {"app": pages, "url_prefix": PREFIX, "name": "Commerce Sync"},
    ]
    external_views = [  # noqa: RUF012
        {
            "name": "Sync",  # the navigation has room for no more
            "href": f"{BASE}{PREFIX}/",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "commerce-sync",
            "icon": f"{BASE}{PREFIX}/static/icon.svg",
            "icon_dark_mode": f"{BASE}{PREFIX}/static/icon-dark.svg",
        }
    ]
