"""The profiles: paths, media types and field names of a gateway, in YAML shared with clients."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("profiles")
PROFILES = ("covisint_classic", "generic_rest")


@cache
def profile(name: str) -> dict[str, Any]:
    """One profile; LookupError names the legal ones."""
    if name not in PROFILES:
        raise LookupError(f"profile {name!r} is unknown; legal: {', '.join(PROFILES)}")
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def media(name: str) -> str:
    """The full media type of a classic name, such as ``device.v2``."""
    prefix: str = profile("covisint_classic")["media_prefix"]
    return f"{prefix}{name}+json"
