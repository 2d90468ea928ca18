"""The pages under /commerce-sync, served by Airflow's API server behind Airflow's own login.

Reading needs the right to see jobs, changing the right to trigger runs of the flow (see ``access``).
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException as RoutingException

from commerce_sync.errors import RetryableError, SyncError
from commerce_sync.monitor import (
    decisions,
    errors,
    explaining,
    forgetting,
    gates,
    limits,
    messages,
    page,
    plans,
    receipts,
    runs,
    streams,
    undoing,
)
from commerce_sync.monitor.access import MAY_SEE, Reader, Visit

LOG = logging.getLogger(__name__)
READ: tuple[tuple[str, Any], ...] = (
    ("/", streams.streams),
    ("/runs", runs.runs),
    ("/runs/{leg}/{run}", runs.run),
    ("/plans", plans.plans),
    ("/plans/{leg}/{run}", plans.plan),
    ("/messages", messages.messages),
    ("/messages/{leg}/{run}", messages.message),
    ("/errors", errors.errors),
    ("/errors/{leg}", errors.error),
    ("/conflicts", decisions.conflicts),
    ("/holds", decisions.holds),
    ("/gates", gates.gates),
    ("/gates/{leg}/{run}", gates.gate),
    ("/receipts", receipts.receipts),
    ("/limits", limits.limits),
    ("/explain", explaining.explain),
    ("/explain/forget", forgetting.ask),
)
CHANGE: tuple[tuple[str, Any], ...] = (
    ("/errors/retry", errors.retry),
    ("/errors/dismiss", errors.dismiss),
    ("/errors/{leg}/edit", errors.edit),
    ("/conflicts/resolve", decisions.resolve),
    ("/holds/answer", decisions.answer),
    ("/explain/forget", forgetting.forget),
    ("/plans/{leg}/{run}/apply", plans.apply),
    ("/runs/{leg}/{run}/undo", undoing.start),
)


def build() -> FastAPI:
    """The application; every route needs a logged-in user who may see jobs."""
    app = FastAPI(title="Commerce Sync", docs_url=None, redoc_url=None, openapi_url=None,
                  dependencies=[Depends(MAY_SEE)])  # fmt: skip
    for path, view in READ:
        app.add_api_route(path, view, methods=["GET"], response_class=HTMLResponse, response_model=None)
    for path, change in CHANGE:
        app.add_api_route(path, change, methods=["POST"], response_class=HTMLResponse, response_model=None)
    app.add_api_route("/static/{name}", static, methods=["GET"], response_model=None)
    app.add_exception_handler(RoutingException, _refused)
    app.add_exception_handler(SyncError, _broken)
    app.add_exception_handler(Exception, _crashed)
    return app


def static(_visit: Reader, name: str) -> Response:
    """A style sheet, script or icon."""
    return page.static(name)


def _refused(request: Request, error: Exception) -> Response:
    """A request that is not answered with what it asked for, as a page that says why and what to do."""
    assert isinstance(error, RoutingException)
    return _problem(request, error.status_code, str(error.detail))


def _broken(request: Request, error: Exception) -> Response:
    """Our own errors: 503 when the ledger cannot be reached, which passes by itself; 409 for a change it refused."""
    LOG.warning("page failed: %s", error)
    status = 503 if isinstance(error, RetryableError) else 409 if request.method == "POST" else 500
    return _problem(request, status, str(error))


def _crashed(request: Request, error: Exception) -> Response:
    """A fault of the monitor's own; what it says may hold anything, so it goes to the log only."""
    return _problem(request, 500, f"A fault of the page itself: {type(error).__name__}.")


WHAT_TO_DO = {
    401: "Log in to Airflow, then open this page again.",
    403: "Ask whoever administers Airflow if you need to do this.",
    404: "Follow one of the links above.",
    409: "Nothing was changed. Somebody or a run may have been quicker: look at the page again.",
    500: "Correct what the message names, then load this page again. The log of the API server says more.",
    503: (
        "Look whether the database of the connection commerce_sync_ledger is up and can be reached from the API "
        "server. Flows that run meanwhile wait and try again; nothing is lost. Load this page again."
    ),
}  # fmt: skip


def _problem(request: Request, status: int, text: str) -> Response:
    title = {
        401: "Not logged in",
        403: "Not allowed",
        404: "Nothing here",
        409: "Not changed",
        500: "This page could not be made",
        503: "The ledger does not answer",
    }.get(status, HTTPStatus(status).phrase)
    visit = Visit(request, None, "", fresh=False)
    return page.show(
        visit, "problem", tab="", title=title, status=status, code=status, text=text, todo=WHAT_TO_DO.get(status, "")
    )  # fmt: skip
