"""Tells somebody when a flow failed: which leg, what it counted, why, and where to look.

Attached to the DAG and not to its tasks: a task that was killed runs no callback of its own, the DAG does, and one
failed run gives one message. Where it goes is decided by the Airflow connection ``commerce_sync_alerts``: of type
``smtp`` it is mailed to the addresses in its extra field ``to``, of type ``http`` it is posted there as JSON. Without
that connection it is logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseNotifier
from airflow.sdk.definitions.context import Context

CONNECTION = "commerce_sync_alerts"
TIMEOUT_S = 30


class FailureNotifier(BaseNotifier):
    """One message per failed run of a flow; also ends the runs of its legs that will not go on."""

    def __init__(self, *, legs: Sequence[str]) -> None:
        super().__init__()
        self.legs = tuple(legs)

    def notify(self, context: Context) -> None:
        dag_run = context["dag_run"]
        reason = str(context.get("reason") or "task failed")
        message = {
            "subject": f"{dag_run.dag_id} failed",
            "flow": dag_run.dag_id,
            "run": dag_run.run_id,
            "reason": reason,
            "legs": self._legs(dag_run.run_id, reason),
        }
        deliver(message, log=self.log)

    def _legs(self, run_id: str, reason: str) -> list[dict[str, Any]]:
        from commerce_sync import leg as legs
        from commerce_sync import steps

        site = steps.site()
        found = []
        for leg in self.legs:
            legs.release(site, leg, run_id, message=f"the DAG run failed: {reason}")
            run = site.ledger.find_run(leg, legs.attempt_id(site.ledger, leg, run_id, fresh=False))
            if run is not None:
                found.append({"leg": leg, "status": run.status, "message": run.message, **run.counts})
        return found


def deliver(message: dict[str, Any], *, log: Any) -> None:
    """Send a message where the connection says; a message that cannot be sent is logged and never hides the failure."""
    from airflow.sdk import BaseHook

    log.error("%s: %s", message["subject"], message)
    try:
        connection = BaseHook.get_connection(CONNECTION)
    except Exception as error:  # noqa: BLE001  # every Airflow process has its own way of saying "there is none"
        log.info("no connection %s (%s): the alert stays in this log", CONNECTION, type(error).__name__)
        return
    if connection.conn_type == "smtp":
        _mail(connection, message)
    else:
        _post(connection, message)


def text(message: dict[str, Any]) -> str:
    """The message for people: one line per leg."""
    lines = [f"Flow {message['flow']}, run {message['run']}: {message['reason']}", ""]
    for leg in message["legs"]:
        counts = ", ".join(
            f"{name} {leg[name]}" for name in ("extracted", "sent", "delivered", "rejected", "quarantined")
        )
        lines.append(f"{leg['leg']}: {leg['status']}; {counts}" + (f"\n    {leg['message']}" if leg["message"] else ""))
    return "\n".join(lines)


def _mail(connection: Any, message: dict[str, Any]) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    with SmtpHook(smtp_conn_id=connection.conn_id) as hook:
        hook.send_email_smtp(
            to=connection.extra_dejson["to"],
            subject=message["subject"],
            html_content=f"<pre>{escape(text(message))}</pre>",
        )


def escape(content: str) -> str:
    """Text as HTML shows it unchanged."""
    from html import escape as html_escape

    return html_escape(content)


def _post(connection: Any, message: dict[str, Any]) -> None:
    from airflow.providers.http.hooks.http import HttpHook

    hook = HttpHook(method="POST", http_conn_id=connection.conn_id)
    hook.run(endpoint="", json=message, extra_options={"timeout": TIMEOUT_S})
