"""``sap-setup`` and ``sf-setup``: what the far sides have to hold, shown, made, checked.

Their exit codes: 0 when nothing differs, 2 when something does, 1 when something is broken or was refused.
"""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commerce_sync.errors import ConfigurationError

SAME, FAILED, DIFFERS = 0, 1, 2
PARTS = ("item", "attribute", "classification attribute", "virtual attribute", "inbound channel")
"""What an integration object consists of: too many for a line each."""
SIGNS = {"create": "+", "change": "~", "extra": "-"}


def sap_plan(options: Namespace) -> int:
    """Show what differs between the file and the shop; 2 when something does."""
    from commerce_sync.systems.sap_commerce.setup import differences

    found = _in_shop(options, lambda shop, asked: differences.plan(shop, asked))
    _show(found, options)
    return DIFFERS if found.differences else SAME


def sap_apply(options: Namespace) -> int:
    """Make the shop what the file wants; 1 when something was refused or is left."""
    from commerce_sync.systems.sap_commerce.setup import applying

    def tell(what: str, item: Any, why: str) -> None:
        if not options.json and (what != "done" or item.kind.name not in PARTS):
            print(f"{what:7} {SIGNS[item.action]} {item.name}{f': {why}' if why else ''}", flush=True)

    found = _in_shop(options, lambda shop, asked: applying.apply(shop, asked, prune=options.prune, tell=tell))
    stuck = [*found.refused.values(), *found.waiting.values()]
    if options.json:
        print(json.dumps({"done": [item.as_json() for item in found.done],
                          "refused": [item.as_json() | {"reason": why} for item, why in found.refused.values()],
                          "waiting": [item.as_json() | {"reason": why} for item, why in found.waiting.values()],
                          "left": [item.as_json() for item in found.left.differences],
                          "by_hand": list(found.left.by_hand)}, indent=2))  # fmt: skip
    else:
        print(f"{len(found.done)} done, {len(found.refused)} refused, {len(found.waiting)} waiting for those")
        _by_hand(found.left)
        for item in found.left.extra:
            print(f"extra   - {item.name}: remove it with --prune, or take it into the file")
    left = found.left.differences if options.prune else found.left.wanted
    return FAILED if stuck or left else SAME


def sap_impex(options: Namespace) -> int:
    """Write the integration objects as ImpEx."""
    from commerce_sync.systems.sap_commerce.setup import setup_file
    from commerce_sync.systems.sap_commerce.setup.impex import impex

    text = impex(setup_file.load(options.file))
    if options.out is None:
        print(text, end="")
    else:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, encoding="utf-8")
        print(f"written: {options.out}")
    return SAME


def _in_shop(options: Namespace, work: Callable[[Any, Any], Any]) -> Any:
    from commerce_sync.systems.sap_commerce.hook import SapCommerceHook
    from commerce_sync.systems.sap_commerce.setup import SECTIONS, setup_file
    from commerce_sync.systems.sap_commerce.setup.differences import Asked
    from commerce_sync.systems.sap_commerce.setup.live import Shop

    file = setup_file.load(options.file)
    hook = SapCommerceHook(options.connection)
    sections = tuple(options.only or SECTIONS)
    asked = Asked(file, _connections(hook), sections, options.send_secrets)

    async def run() -> Any:
        no_channels = "outbound_channels" not in asked.present
        async with Shop(hook.client, without_channels=no_channels) as shop:
            return await work(shop, asked)

    return asyncio.run(run())


def _connections(hook: Any) -> Callable[[str], Any]:
    def connection(name: str) -> Any:
        from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

        try:
            return hook.get_connection(name)
        except (AirflowNotFoundException, AirflowRuntimeError) as error:
            raise ConfigurationError(
                f"there is no connection {name!r}, which the set-up file takes values from; make it, name another one "
                "in the file, or leave those parts out with --only"
            ) from error

    return connection


def _show(found: Any, options: Namespace) -> None:
    if options.json:
        print(json.dumps({"differences": [item.as_json() for item in found.differences],
                          "by_hand": list(found.by_hand)}, indent=2))  # fmt: skip
        return
    for item in found.differences:
        for line in _lines(item, found):
            print(line)
    _by_hand(found)
    counts = {action: sum(item.action == action for item in found.differences) for action in SIGNS}
    told = {"create": "to create", "change": "to change", "extra": "extra"}
    print(", ".join(f"{number} {told[action]}" for action, number in counts.items()))


def _lines(item: Any, found: Any) -> list[str]:
    """A new integration object is one line; what it consists of is counted."""
    new = {one.key[0] for one in found.differences if one.action == "create" and one.kind.name == "integration object"}
    if item.kind.name in PARTS and item.action == "create" and item.key[0] in new:
        return []
    if item.kind.name == "integration object" and item.action == "create":
        mine = [one for one in found.differences if one.kind.name in PARTS and one.key[0] == item.key[0]]
        counts = {name: sum(one.kind.name == name for one in mine) for name in PARTS}
        told = [f"{number} {name}{'s' if number > 1 else ''}" for name, number in counts.items() if number]
        return [f"+ {item.name} ({', '.join(told)})"]
    if item.action == "change":
        return [f"~ {item.name}", *(f"    {name}: {_told(old)} -> {_told(new)}" for name, old, new in item.changes)]
    values = ", ".join(f"{name}: {_told(new)}" for name, _, new in item.changes)
    return [f"{SIGNS[item.action]} {item.name}{f' ({values})' if values else ''}"]


def _told(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _by_hand(found: Any) -> None:
    for text in found.by_hand:
        print(f"by hand: {text}", file=sys.stderr)


def sf_write(options: Namespace) -> int:
    """Write the folder to deploy."""
    from commerce_sync.systems.salesforce.setup import package

    needed, org = _needed(options)
    made = package.write(options.folder, needed, org, everything=options.all)
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in sorted(made.members.items()))
    print(f"written to {options.folder}: {counts}")
    for text in made.by_hand:
        print(f"by hand: {text}", file=sys.stderr)
    return SAME


def sf_check(options: Namespace) -> int:
    """Compare a live org with what the mappings need; 2 when something is missing."""
    from commerce_sync.systems.salesforce.hook import SalesforceHook
    from commerce_sync.systems.salesforce.setup import org_check

    needed, org = _needed(options)
    hook = SalesforceHook(options.connection)

    async def ask() -> Any:
        async with hook.client() as client:
            return await org_check.lacks(client, needed, org)

    found = asyncio.run(ask())
    if options.json:
        print(json.dumps([item.as_json() for item in found], indent=2))
    else:
        for item in found:
            print(f"{item}  [{', '.join(item.legs)}]")
        print(f"{len(needed)} objects looked at, {len(found)} missing or wrong")
    return DIFFERS if found else SAME


def _needed(options: Namespace) -> tuple[Any, Any]:
    from commerce_sync.commands.built import built_flows
    from commerce_sync.systems.salesforce.setup import marks, org_file
    from commerce_sync.systems.salesforce.setup.needs import needs

    org = org_file.load(options.fields)
    built, broken = built_flows(options)
    if broken:
        raise ConfigurationError(f"what broken flows need is not known: {'; '.join(broken)}")
    if unknown := set(options.flows) - set(built):
        raise ConfigurationError(f"no flow {', '.join(sorted(unknown))}; there are: {', '.join(built)}")
    chosen = {name: stages for name, stages in built.items() if name in (options.flows or built)}
    mappings = [item for stages in chosen.values() for stage in stages for item in stage]
    org = marks.added(org, mappings)
    return needs(mappings, org), org


def add_commands(commands: Any, add: Callable[..., Any]) -> None:
    """The parsers of ``sap-setup`` and ``sf-setup``."""
    _add_sap(commands, add)
    _add_salesforce(commands, add)


def _add_salesforce(commands: Any, add: Callable[..., Any]) -> None:
    sf = add(commands, "sf-setup", _no_action, "write what an org has to hold, or say what a live one lacks")
    actions = sf.add_subparsers(required=True, metavar="ACTION")
    sub = add(actions, "write", sf_write, "write objects, fields and the permission set as a folder to deploy")
    sub.add_argument("folder", type=Path, metavar="DIR")
    sub.add_argument("--all", action="store_true", help="every field of the list, not only those a mapping uses")
    _of_flows(sub)
    sub = add(actions, "check", sf_check, "compare a live org with what the mappings need; 2 when something is missing")
    sub.add_argument("--connection", default="salesforce_default", help="Airflow connection of the org")
    sub.add_argument("--json", action="store_true", help="for programs")
    _of_flows(sub)


def _of_flows(sub: Any) -> None:
    sub.add_argument("--flows", nargs="+", default=(), metavar="FLOW", help="only what these flows need")
    path = _include() / "salesforce" / "fields.yaml"
    sub.add_argument("--fields", type=Path, default=path, help="the list of fields (default: %(default)s)")


def _add_sap(commands: Any, add: Callable[..., Any]) -> None:
    sap = add(commands, "sap-setup", _no_action, "show and make what the shop has to hold: objects, channels, webhooks")
    actions = sap.add_subparsers(required=True, metavar="ACTION")
    for name, function, text in (
        ("plan", sap_plan, "show what differs; 2 when something does"),
        ("apply", sap_apply, "make it so; what the shop has besides is left alone"),
    ):
        sub = add(actions, name, function, text)
        _file(sub)
        sub.add_argument("--connection", default="sap_commerce_default", help="Airflow connection of the shop")
        sub.add_argument(
            "--only", nargs="+", metavar="SECTION", choices=_sections(), help="only these parts of the file"
        )
        sub.add_argument("--json", action="store_true", help="for programs")
        sub.add_argument(
            "--send-secrets", action="store_true", help="secrets of credentials that are there already too"
        )
        if name == "apply":
            sub.add_argument("--prune", action="store_true", help="remove what is extra")
    sub = add(actions, "impex", sap_impex, "write the integration objects as ImpEx, to be imported by hand")
    _file(sub)
    sub.add_argument("--out", type=Path, help="file to write; otherwise it is printed")


def _file(sub: Any) -> None:
    sub.add_argument("--file", type=Path, default=_include() / "setup" / "sap_commerce.yaml",
                     help="the set-up file (default: %(default)s)")  # fmt: skip


def _include() -> Path:
    """What the mappings' folder stands in."""
    from commerce_sync import places

    return places.mappings().parent


def _sections() -> tuple[str, ...]:
    from commerce_sync.systems.sap_commerce.setup import SECTIONS

    return SECTIONS


def _no_action(_options: Namespace) -> int:
    return FAILED
