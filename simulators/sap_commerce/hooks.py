"""Persistence hooks: named functions that see an item before and after it is saved.

A pre-hook gets (payload, context) and returns the payload to persist, or None to persist nothing; a post-hook
gets (pk, context). The header value is the name, with or without ``bean://``. Source: fact sheet section 2.11.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulators.sap_commerce.errors import ODataError, bad_request
from simulators.sap_commerce.store import Store


@dataclass(frozen=True, slots=True)
class HookContext:
    store: Store
    service: str
    item: str


PreHook = Callable[[dict[str, Any], HookContext], dict[str, Any] | None]
PostHook = Callable[[int, HookContext], None]


def _refuse(_payload: dict[str, Any], _context: HookContext) -> dict[str, Any] | None:
    raise RuntimeError("the hook refused the item")


def _refuse_saved(_pk: int, _context: HookContext) -> None:
    raise RuntimeError("the hook refused the item")


# name -> function; tests and demos register their own here
PRE_HOOKS: dict[str, PreHook] = {
    "noopPrePersistHook": lambda payload, _context: payload,
    "filteringPrePersistHook": lambda _payload, _context: None,
    "failingPrePersistHook": _refuse,
}
POST_HOOKS: dict[str, PostHook] = {
    "noopPostPersistHook": lambda _pk, _context: None,
    "failingPostPersistHook": _refuse_saved,
}


def pre_persist(name: str, payload: dict[str, Any], context: HookContext) -> dict[str, Any] | None:
    """Run the pre-hook a header names, if any."""
    if not (hook_name := name.removeprefix("bean://").strip()):
        return payload
    if hook_name not in PRE_HOOKS:
        raise _unknown("Pre", hook_name)
    try:
        return PRE_HOOKS[hook_name](payload, context)
    except ODataError:
        raise
    except Exception as error:  # whatever a hook raises is the API's pre_persist_error
        raise bad_request("pre_persist_error", f"Exception occurred in [{hook_name}]: {error}") from error


def post_persist(name: str, pk: int, context: HookContext) -> None:
    """Run the post-hook a header names, if any."""
    if not (hook_name := name.removeprefix("bean://").strip()):
        return
    if hook_name not in POST_HOOKS:
        raise _unknown("Post", hook_name)
    try:
        POST_HOOKS[hook_name](pk, context)
    except ODataError:
        raise
    except Exception as error:  # whatever a hook raises is the API's post_persist_error
        raise bad_request("post_persist_error", f"Exception occurred in [{hook_name}]: {error}") from error


def check_hooks(pre: str, post: str) -> None:
    """Refuse unknown hook names before anything is done."""
    if (name := pre.removeprefix("bean://").strip()) and name not in PRE_HOOKS:
        raise _unknown("Pre", name)
    if (name := post.removeprefix("bean://").strip()) and name not in POST_HOOKS:
        raise _unknown("Post", name)


def _unknown(moment: str, name: str) -> ODataError:
    message = f"{moment}PersistHook [{name}] does not exist. Payload will not be persisted."
    return bad_request("hook_not_found", message)
