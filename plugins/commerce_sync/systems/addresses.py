"""A connection's host, scheme and port as the base URL of its system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commerce_sync.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.providers.http.hooks.http import HttpHook
    from airflow.sdk import Connection


def base_url(hook: HttpHook, connection: Connection, *, wanted: str) -> str:
    """The base URL, without a slash at its end; https unless the connection names another scheme.

    The provider's own rule falls back to http, which would send credentials in the clear.
    wanted: what the host should hold, for the message.
    Raises ConfigurationError for a connection without a host.
    """
    if not connection.host:
        raise ConfigurationError(f"connection {connection.conn_id!r} has no host; fill in {wanted}")
    hook._set_base_url(connection)
    address = hook.base_url.rstrip("/")
    if not connection.schema and "://" not in connection.host:
        return address.replace("http://", "https://", 1)
    return address
