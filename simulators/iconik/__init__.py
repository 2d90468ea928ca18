"""Simulated iconik: assets, metadata, files, search, reviews, jobs, webhooks, custom actions.

``build`` plugs it into ``python -m simulators``; what it does not do is said in README.md beside this file.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

from simulators.clock import Clock
from simulators.faults import Faults
from simulators.iconik import (
    approvals,
    assets,
    collections,
    custom_actions,
    dispatch,
    files,
    formats,
    job_engine,
    jobs,
    links,
    metadata_values,
    metadata_views,
    packages,
    people,
    proxies,
    relations,
    renditions,
    searching,
    segments,
    storages,
    versions,
    webhooks,
)
from simulators.iconik.call import Route
from simulators.iconik.customer import COMMERCE_VIEW
from simulators.iconik.far_side import FarSide
from simulators.iconik.index import Index
from simulators.iconik.site import APP_ID, AUTH_TOKEN, EDITOR_TOKEN, INTEGRATION_USER, SETTINGS, SYSTEM_DOMAIN, Site
from simulators.iconik.store import Store
from simulators.iconik.web import add_routes, storm_answer
from simulators.system import Options, System, new_application

TICK_S = 0.1
MODULES = (
    searching,
    relations,
    approvals,
    versions,
    segments,
    custom_actions,
    assets,
    collections,
    metadata_views,
    metadata_values,
    files,
    formats,
    proxies,
    storages,
    jobs,
    webhooks,
    people,
)


def build(*, clock: Clock, faults: Faults, options: Options) -> System:
    """The domain as a system of the process, not yet seeded."""
    site = _site(clock=clock, faults=faults, options=options)
    app = new_application()
    add_routes(app, site)
    site.links.add_routes(app)
    app.cleanup_ctx.append(lambda _app: _background(site))
    faults.at_once["expire_urls"] = site.links.expire_all
    faults.at_once["expire_tokens"] = lambda _spec: people.expire_tokens(site.store)
    faults.on_request["rate_limit"] = storm_answer
    faults.standing |= dispatch.STANDING | job_engine.STANDING | links.STANDING
    return System(app=app, credentials=_credentials, store=FarSide(site, options), settings=site.settings)


def _site(*, clock: Clock, faults: Faults, options: Options) -> Site:
    settings = copy.deepcopy(SETTINGS)
    if options.state:
        options.state.mkdir(parents=True, exist_ok=True)
    store = Store(clock=clock, path=options.state / "iconik.sqlite" if options.state else None)
    hooks = dispatch.Dispatcher(store, faults=faults, settings=settings)
    engine = job_engine.JobEngine(store, clock=clock, faults=faults, settings=settings)
    index = Index(store, settings)
    store.unpack = lambda key: packages.unpack(store, index, key)
    engine.flush, engine.send = index.flush, hooks.send
    site = Site(
        store=store,
        index=index,
        jobs=engine,
        links=links.Links(store, clock=clock, settings=settings, faults=faults),
        hooks=hooks,
        clock=clock,
        faults=faults,
        settings=settings,
        routes=_routes(),
    )
    renditions.register(site)
    return site


def _routes() -> list[Route]:
    return [route for module in MODULES for route in module.routes()]


async def _background(site: Site) -> AsyncIterator[None]:
    """Jobs end and tell so even when nobody asks."""
    task = asyncio.create_task(_tick(site))
    yield
    task.cancel()
    await site.hooks.close()


async def _tick(site: Site) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        site.jobs.settle()


def _credentials(url: str) -> dict[str, Any]:
    return {
        "url": url,
        "app_id": APP_ID,
        "auth_token": AUTH_TOKEN,
        "editor_token": EDITOR_TOKEN,
        "user_id": INTEGRATION_USER,
        "system_domain_id": SYSTEM_DOMAIN,
        "metadata_view_id": COMMERCE_VIEW,
    }
