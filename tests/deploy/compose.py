"""docker-compose.yaml as an engine would see it: merged, and with variables filled in by the rules of the specification."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yaml"
REQUIRED = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "FERNET_KEY", "JWT_SECRET", "API_SECRET_KEY", "AIRFLOW_USERS")
FILLED = {name: f"given{number}" for number, name in enumerate(REQUIRED)}
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:?[-?+])([^}]*))?\}|(\w+))")
"""https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md"""


class Missing(Exception):
    """A required variable has no value; its text is the message of the file."""


def raw() -> dict[str, Any]:
    """Anchors and merges resolved, variables not."""
    return dict(yaml.safe_load(FILE.read_text()))


def resolved(environment: Mapping[str, str]) -> dict[str, Any]:
    """With variables. Raises Missing."""
    return dict(_filled(raw(), environment))


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, environment) for item in value]
    return VARIABLE.sub(lambda match: _one(match, environment), value) if isinstance(value, str) else value


def _one(match: re.Match[str], environment: Mapping[str, str]) -> str:
    escaped, braced, operator, operand, plain = match.groups()
    if escaped:
        return "$"
    given = environment.get(braced or plain)
    is_set = bool(given) if operator and operator.startswith(":") else given is not None
    if operator and operator.endswith("?") and not is_set:
        raise Missing(f"{braced}: {operand}")
    if operator and operator.endswith("-") and not is_set:
        return str(operand)
    return given or ""
