"""The pages under /commerce-sync, served by Airflow's API server behind Airflow's own login."""

from __future__ import annotations

from pathlib import Path

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse

from commerce_sync import places
from commerce_sync.batches import safe_name


def build() -> FastAPI:
    """The application; every route needs a logged-in user who may see jobs."""
    app = FastAPI(title="Commerce Sync", docs_url=None, redoc_url=None, openapi_url=None,
                  dependencies=[Depends(requires_access_view(AccessView.JOBS))])  # fmt: skip
    app.add_api_route("/gates/{leg}/{run}", gate, methods=["GET"], response_class=HTMLResponse)
    return app


def gate(leg: str, run: str) -> HTMLResponse:
    """The result page a gate left. 404 when that run had none."""
    page: Path = places.pages() / safe_name(leg) / safe_name(run) / "gate.html"
    if not page.is_file():
        raise HTTPException(
            404, f"No gate result for leg {leg}, run {run}: the gate only runs when there is something to send."
        )
    return HTMLResponse(page.read_text(encoding="utf-8"))
