"""What our flows may use of a system's allowance, and what they leave to others; read from ``include/budgets.yaml``.

salesforce_default:                                         # the Airflow connection
  calls_per_day: {limit: reported, reserve: 20 %}           # of a rolling 24 hours; the org says how many there are
  bulk_batches_per_day: {limit: 15000, reserve: 3000}
iconik_default:
  calls_per_second: 40                                      # of all processes together
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import yaml

from commerce_sync.errors import ConfigurationError

Priority = Literal["high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")
"""The first may use everything above the reserve, the others leave what those before them will need."""
DEFAULT_PRIORITY: Priority = "normal"
WITHIN = timedelta(hours=4)
"""How long a run may wait unless its flow says otherwise; then it gets what the next hour leaves over."""
CALLS, BATCHES, JOBS, BYTES = "calls", "batches", "jobs", "bytes"
PER_DAY = {
    "calls_per_day": CALLS, "bulk_batches_per_day": BATCHES, "bulk_jobs_per_day": JOBS, "bulk_bytes_per_day": BYTES,
}  # fmt: skip
"""Key of the file -> what it limits. All are of a rolling 24 hours, as Salesforce counts."""
REPORTED = "reported"
KEYS = (*PER_DAY, "calls_per_second")


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a limit, or a number."""

    share: float = 0.0
    number: int = 0

    def of(self, limit: int) -> int:
        """How much that is of a limit."""
        return min(limit, max(math.ceil(limit * self.share), self.number))


NOTHING = Part()


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much there is in 24 hours, and how much of it is others'.

    limit: None is what the far side reports.   reserve: what none of our flows touches.   cushion: what low ones leave
    beside it (normal ones half of it), for a day on which others use more than ever; None: as much as the reserve.
    """

    limit: int | None = None
    reserve: Part = NOTHING
    cushion: Part | None = None

    def reserved(self, limit: int) -> int:
        """The reserve of a limit."""
        return self.reserve.of(limit)

    def cushioned(self, limit: int) -> int:
        """The cushion of a limit."""
        return (self.reserve if self.cushion is None else self.cushion).of(limit)


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of one connection. per_day: by ``calls``, ``batches``, ``jobs``, ``bytes``."""

    connection: str
    per_day: Mapping[str, Allowance] = field(default_factory=dict)
    per_second: float | None = None


Budgets = Mapping[str, Budget]
"""Connection -> its budget; a connection without one is counted and never held up."""


def load(path: Path) -> dict[str, Budget]:
    """The budgets of a file, none without one. Raises ConfigurationError with the place and the legal keys."""
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: give connections, each with some of: {', '.join(KEYS)}")
    return {str(name): _budget(f"{path}: {name}", str(name), given) for name, given in content.items()}


def _budget(where: str, connection: str, given: Any) -> Budget:
    if not isinstance(given, dict) or not given or (unknown := sorted(set(map(str, given)) - set(KEYS))):
        named = f"{', '.join(unknown)} is not known; " if isinstance(given, dict) and given else ""
        raise ConfigurationError(f"{where}: {named}legal keys: {', '.join(KEYS)}")
    rate = given.get("calls_per_second")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or rate <= 0):
        raise ConfigurationError(f"{where}: calls_per_second is {rate!r}; give a number above 0")
    per_day = {PER_DAY[key]: _allowance(f"{where}: {key}", given[key]) for key in PER_DAY if key in given}
    return Budget(connection, per_day, float(rate) if rate is not None else None)


def _allowance(where: str, given: Any) -> Allowance:
    if not isinstance(given, dict):
        given = {"limit": given}
    if unknown := sorted(set(map(str, given)) - {"limit", "reserve", "cushion"}):
        raise ConfigurationError(f"{where}: {', '.join(unknown)} is not known; legal keys: limit, reserve, cushion")
    limit = given.get("limit", REPORTED)
    if limit != REPORTED and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ConfigurationError(f"{where}: limit is {limit!r}; give a whole number from 1 on, or {REPORTED!r}")
    reserve = _part(where, "reserve", given.get("reserve", 0))
    if limit != REPORTED and reserve.of(limit) >= limit:
        raise ConfigurationError(f"{where}: reserve {reserve.number} leaves nothing of limit {limit}; lower it")
    cushion = _part(where, "cushion", given["cushion"]) if "cushion" in given else None
    return Allowance(None if limit == REPORTED else limit, reserve, cushion)


def _part(where: str, key: str, given: Any) -> Part:
    if isinstance(given, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", given.strip())):
        share = float(found[1]) / 100
        if share < 1:
            return Part(share=share)
    elif isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return Part(number=given)
    raise ConfigurationError(f"{where}: {key} is {given!r}; give a share below 100 % like '20 %', or a number")
