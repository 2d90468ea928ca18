"""Sends a message to people, to where Airflow connections say: mail, Slack, an HTTP address, or anything Apprise knows.

COMMERCE_SYNC_ALERTS names the connections, separated by commas (default: ``commerce_sync_alerts``). By their type:
    smtp           mailed to the addresses in the extra field ``to``
    slackwebhook   posted to the channel of the webhook
    apprise        handed to every service in the extra field ``config``
    http           posted as JSON
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from html import escape
from typing import Any

CONNECTION = "commerce_sync_alerts"
TIMEOUT_S = 30


def send(message: dict[str, Any], *, log: Any) -> bool:
    """Send ``message`` (subject, text, and what an HTTP receiver may want to know) everywhere; whether it left.

    It has left when one way worked: the others are logged. A message that cannot be sent is logged and never hides
    what it is about. Without any connection the log is where it stays, and counts as told.
    """
    log.error("%s\n%s", message["subject"], message["text"])
    ways = [found for name in names() if (found := _connection(name, log=log)) is not None]
    return not ways or any([_sent(connection, message, log=log) for connection in ways])


def names() -> list[str]:
    """The connections to send to."""
    return [name.strip() for name in os.environ.get("COMMERCE_SYNC_ALERTS", CONNECTION).split(",") if name.strip()]


def _connection(name: str, *, log: Any) -> Any:
    from airflow.sdk import BaseHook

    try:
        return BaseHook.get_connection(name)
    except Exception as error:  # noqa: BLE001  # every Airflow process has its own way of saying "there is none"
        log.info("no connection %s (%s): the alert stays in this log", name, type(error).__name__)
        return None


def _sent(connection: Any, message: dict[str, Any], *, log: Any) -> bool:
    way = WAYS.get(connection.conn_type)
    if way is None:
        known = ", ".join(sorted(WAYS))
        log.error("connection %s is of type %s; alerts go by: %s", connection.conn_id, connection.conn_type, known)
        return False
    try:
        way(connection, message)
    except Exception as error:  # noqa: BLE001  # a way that fails must not keep the message from the others
        # Only the kind of error: texts of mail and web libraries quote addresses and tokens.
        log.error("alert %r did not go by %s: %s", message["subject"], connection.conn_id, type(error).__name__)
        return False
    return True


def _mail(connection: Any, message: dict[str, Any]) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    with SmtpHook(smtp_conn_id=connection.conn_id) as hook:
        hook.send_email_smtp(
            to=connection.extra_dejson["to"],
            subject=message["subject"],
            html_content=f"<pre>{escape(message['text'])}</pre>",
        )


def _slack(connection: Any, message: dict[str, Any]) -> None:
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

    hook = SlackWebhookHook(slack_webhook_conn_id=connection.conn_id, timeout=TIMEOUT_S, retry_handlers=[])
    hook.send_text(f"*{_slack_text(message['subject'])}*\n{_slack_text(message['text'])}")


def _slack_text(content: str) -> str:
    """Source: Slack's formatting rules, these three characters are control characters."""
    return content.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _apprise(connection: Any, message: dict[str, Any]) -> None:
    """Not by the provider's hook, which does not say whether the message was taken; the connection's form is the same.

    Extra field ``config``: {"path": URL of a service or of a file, "tag": ...}, or a list of them.
    """
    from apprise import Apprise, NotifyFormat, NotifyType

    config = connection.extra_dejson["config"]
    config = json.loads(config) if isinstance(config, str) else config
    services = Apprise()
    for one in [config] if isinstance(config, dict) else config:
        services.add(one["path"], tag=one.get("tag"))
    is_taken = services.notify(
        body=message["text"], title=message["subject"], notify_type=NotifyType.FAILURE, body_format=NotifyFormat.TEXT
    )
    if not is_taken:
        raise ConnectionError("a service of Apprise did not take the message, or none is configured")


def _post(connection: Any, message: dict[str, Any]) -> None:
    from airflow.providers.http.hooks.http import HttpHook

    hook = HttpHook(method="POST", http_conn_id=connection.conn_id)
    hook.run(endpoint="", json=message, extra_options={"timeout": TIMEOUT_S})


WAYS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "smtp": _mail,
    "slackwebhook": _slack,
    "apprise": _apprise,
    "http": _post,
    "https": _post,
}
