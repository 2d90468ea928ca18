"""Stored scripts and what stands in for them: Groovy cannot run here, registered Python callables do.

A script is found by its location ``model://<code>``. It must exist as a ``Script`` item that is not disabled,
and a callable must be registered under the same code; otherwise it counts as missing.
Source: fact sheet sections 1.1 (virtual attributes) and 3.3 (webhook filters).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from simulators.sap_commerce.errors import bad_request
from simulators.sap_commerce.hooks import POST_HOOKS, PRE_HOOKS
from simulators.sap_commerce.store import Store

# (payload about to be sent, store, pk or None) -> the payload to send, or None to send nothing
WebhookFilter = Callable[[dict[str, Any], Store, int | None], dict[str, Any] | None]
# (store, pk) -> a primitive
VirtualValue = Callable[[Store, int], Any]


def _masked(payload: dict[str, Any], _store: Store, _pk: int | None) -> dict[str, Any]:
    return {name: "***" if name in ("email", "name", "phone1") else value for name, value in payload.items()}


def _online(payload: dict[str, Any], _store: Store, _pk: int | None) -> dict[str, Any] | None:
    version = payload.get("catalogVersion") or {}
    return payload if version.get("version") == "Online" else None


def _failing(_payload: dict[str, Any], _store: Store, _pk: int | None) -> dict[str, Any] | None:
    raise RuntimeError("the filter failed")


def _name_in_capitals(store: Store, pk: int) -> str:
    return str(store.value(pk, "name") or "").upper()


def _failing_value(_store: Store, _pk: int) -> Any:
    raise RuntimeError("the script failed")


# script code -> callable; tests and demos register their own, POST /_sim/scripts does so from outside
WEBHOOK_FILTERS: dict[str, WebhookFilter] = {
    "acceptingFilter": lambda payload, _store, _pk: payload,
    "rejectingFilter": lambda _payload, _store, _pk: None,
    "maskingFilter": _masked,
    "onlineFilter": _online,
    "failingFilter": _failing,
}
VIRTUAL_VALUES: dict[str, VirtualValue] = {
    "nameInCapitals": _name_in_capitals,
    "entryCount": lambda store, pk: len(store.find(["OrderEntry"], {"order": pk})),
    "failingValue": _failing_value,
}
KINDS: dict[str, dict[str, Any]] = {
    "webhook_filter": WEBHOOK_FILTERS,
    "virtual_attribute": VIRTUAL_VALUES,
    "pre_hook": PRE_HOOKS,
    "post_hook": POST_HOOKS,
}


def register(kind: str, code: str, location: str) -> None:
    """Put ``package.module:function`` behind a script code or a hook name; ValueError when it cannot be found."""
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is unknown; legal: {', '.join(KINDS)}")
    module, _, name = location.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"callable {location!r} cannot be found ({error}); give package.module:function") from error
    if not callable(found):
        raise ValueError(f"{location!r} is not callable")
    KINDS[kind][code] = found


def usable_code(location: str, *, store: Store) -> str | None:
    """The code a location names, or None when there is no such enabled Script."""
    scheme, _, code = location.partition("://")
    if scheme != "model" or not code:
        return None
    found = store.find(["Script"], {"code": code})
    return code if found and not store.value(found[0], "disabled") else None


def virtual_value(location: str, pk: int, *, store: Store) -> Any:
    """The value of a virtual attribute; raises runtime_error when its script is missing or fails."""
    code = usable_code(location, store=store)
    function = VIRTUAL_VALUES.get(code or "")
    if function is None:
        raise bad_request("runtime_error", f"The script [{location}] of a virtual attribute does not exist.")
    try:
        return function(store, pk)
    except Exception as error:  # whatever a script raises is the API's runtime_error
        raise bad_request("runtime_error", f"The script [{location}] failed: {error}") from error
