"""``python -m simulators``: serve the simulated systems until SIGTERM or SIGINT.

When everything answers, one JSON line with addresses and credentials goes to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from simulators.clock import Clock
from simulators.faults import Faults
from simulators.seeding import Seeding
from simulators.server import Served, serve, stop
from simulators.system import Options, System
from simulators.tls import server_context

# system -> its package; the order gives the ports: base, base + 1, ...
SYSTEMS = {
    "sap_commerce": "simulators.sap_commerce",
    "salesforce": "simulators.salesforce",
    "iconik": "simulators.iconik",
    "opentext_iot": "simulators.opentext_iot",
}


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``--help`` explains each option in a sentence."""
    parser = argparse.ArgumentParser(prog="python -m simulators", description=__doc__)
    add = parser.add_argument
    add(
        "--port-base",
        type=int,
        default=9100,
        metavar="N",
        help="first port; 0 takes free ports (default 9100)",
    )
    add("--only", type=_names, default=None, metavar="A,B", help=f"serve only these of {', '.join(SYSTEMS)}")
    add(
        "--seed",
        default="demo",
        metavar="demo|empty|FILE",
        help="what the systems hold at the start; FILE is JSON, records by system and type (default demo)",
    )
    add("--scale", choices=("slice", "full"), default="slice", help="how much of the demo data is loaded")
    add("--control", action="store_true", help="switch on the control API under /_sim/")
    add("--tls", action="store_true", help="serve HTTPS with a certificate authority made for this run")
    add("--state", type=Path, metavar="DIR", help="keep data and certificates in this folder")
    add("--latency-ms", type=float, default=0, metavar="L", help="delay before every answer, in milliseconds")
    add("--org", type=Path, metavar="FILE", help="custom fields of the Salesforce org")
    return parser.parse_args(argv)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SYSTEMS]:
        raise argparse.ArgumentTypeError(f"unknown systems {unknown}; legal: {', '.join(SYSTEMS)}")
    return names


def load(name: str, *, clock: Clock, faults: Faults, options: Options) -> System | None:
    """The built system, or None when its package is not there."""
    package = SYSTEMS[name]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:  # a bare folder is a namespace, not a system
        return None
    module = importlib.import_module(package)
    if not hasattr(module, "build"):
        return None
    system: System = module.build(clock=clock, faults=faults, options=options)
    return system


async def run(args: argparse.Namespace) -> int:
    """Start, announce, wait for a signal, stop. Gives the exit code."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with tempfile.TemporaryDirectory(prefix="simulators-") as temporary:
        folder = args.state or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        served: list[Served] = []
        try:
            ready = await _start_all(args, folder=folder, served=served)
            print(json.dumps(ready), flush=True)
            await stopped.wait()
        except (OSError, LookupError, ValueError) as error:
            print(f"simulators: {error}", file=sys.stderr)
            return 1
        finally:
            await stop(served)
    return 0


async def _start_all(args: argparse.Namespace, *, folder: Path, served: list[Served]) -> dict[str, Any]:
    clock = Clock(args.state / "clock" if args.state else None)
    context, ca_file = server_context(folder / "tls") if args.tls else (None, None)
    seeding = Seeding.chosen(args.seed, systems=SYSTEMS, state=args.state)
    options = Options(seed=seeding.name, scale=args.scale, state=args.state, org=args.org, control=args.control)
    ready: dict[str, Any] = {}
    for index, name in enumerate(SYSTEMS):
        if args.only is not None and name not in args.only:
            continue
        faults = Faults()
        system = load(name, clock=clock, faults=faults, options=options)
        if system is None:
            _missing(name, named=args.only is not None)
            continue
        await seeding.fill(system, name=name)
        one = await serve(
            system,
            port=args.port_base + index if args.port_base else 0,
            clock=clock,
            faults=faults,
            control=args.control,
            context=context,
            latency_ms=args.latency_ms,
        )
        served.append(one)
        ready[name] = system.credentials(one.url)
    return ready | {"ca_file": str(ca_file) if ca_file else None}


def _missing(name: str, *, named: bool) -> None:
    sentence = f"there is no simulator for {name} ({SYSTEMS[name]})"
    if named:
        raise LookupError(sentence)
    print(f"simulators: {sentence}; it is left out", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(asyncio.run(run(arguments())))
