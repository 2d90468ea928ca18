"""Serves systems: one process, one event loop, one port per system."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from simulators.calls import Calls
from simulators.clock import Clock
from simulators.control import Control
from simulators.faults import Faults
from simulators.middleware import surround
from simulators.system import System

HOST = os.environ.get("SIMULATORS_HOST", "127.0.0.1")
"""Other machines are served only when this says so: the passwords of the simulated systems are in the README."""
STOP_TIMEOUT_S = 2.0


@dataclass(slots=True)
class Served:
    """A running system: where it listens, and what stops it."""

    url: str
    runner: web.AppRunner
    system: System


async def serve(
    system: System,
    *,
    port: int,
    clock: Clock,
    faults: Faults,
    control: bool,
    context: ssl.SSLContext | None,
    latency_ms: float,
) -> Served:
    """Listen for a seeded system; port 0 takes a free one. Raises OSError when the port is taken."""
    calls = Calls()
    system.app.middlewares.insert(0, surround(faults=faults, calls=calls, latency_ms=latency_ms))
    system.app.router.add_get("/healthz", _healthz)
    if control:
        Control(system, clock=clock, faults=faults, calls=calls).add_routes(system.app)
    if system.begin is not None:
        await _done(system.begin())
    runner = web.AppRunner(system.app, access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
    await runner.setup()
    listener = socket.create_server((HOST, port), backlog=512)
    await web.SockSite(runner, listener, ssl_context=context).start()
    bound = listener.getsockname()[1]
    url = f"https://localhost:{bound}" if context else f"http://{HOST}:{bound}"
    return Served(url=url, runner=runner, system=system)


async def stop(served: list[Served]) -> None:
    """Stop listening, then let the systems put away what they keep."""
    await asyncio.gather(*(one.runner.cleanup() for one in served))
    for one in served:
        if one.system.close is not None:
            await _done(one.system.close())


async def _done(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
