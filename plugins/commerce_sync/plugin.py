"""The Airflow plugin: the pages under /commerce-sync.

Every Airflow process loads plugins, only the API server serves pages: the application is imported at its first request.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from airflow.plugins_manager import AirflowPlugin


@lru_cache(maxsize=1)
def _application() -> Any:
    from commerce_sync.monitor.app import build

    return build()


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """ASGI application that becomes the real one when it is first asked."""
    await _application()(scope, receive, send)


class CommerceSyncPlugin(AirflowPlugin):
    """Registers the pages."""

    name = "commerce_sync"
    fastapi_apps = [{"app": pages, "url_prefix": "/commerce-sync", "name": "Commerce Sync"}]  # noqa: RUF012
