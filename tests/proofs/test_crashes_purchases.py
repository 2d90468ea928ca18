"""S7: killed at every step boundary it ends with the figures of an undisturbed flow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo import oracle
from flows.house import org, shop
from flows.killing import assert_survives
from flows.walking import HISTORY, KEY, Org, Shop, line

__all__ = ["org", "shop"]


def test_a_killed_flow_ends_as_an_undisturbed_one(shop: Shop, org: Org, tmp_path: Path) -> None:
    def reset() -> None:
        shop.far.reset()
        org.far.reset()
        org.far.options(job_min_polls=1, job_latency_ms=0)
        shop.moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
        shop.customers(0, 1, 2)
        org.far.put("Account", [{"Name": f"C{number:04d}", KEY: f"C{number:04d}"} for number in range(3)])
        shop.categories("Deli", "Beer")
        shop.product("p-deli", "Deli")
        shop.product("p-beer", "Beer")

    def edit(number: int) -> None:
        """One customer buys for the first time, another one returns a piece, a third one's order is cancelled."""
        bought = (datetime.now(UTC) - timedelta(days=20 + number)).date().isoformat()
        lines = [line(0, "p-deli", 2, 10.0), line(1, "p-beer", 1, 3.5 + number)]
        for customer in range(3) if number == 0 else (number,):
            shop.order(f"O{number}-{customer}", customer=customer, day=bought, lines=lines)
        if number:
            shop.returned(f"R{number}", "O0-0", entry=0, pieces=number)
            shop.touch("O0-0")
            shop.touch("O0-2", status="CANCELLED" if number == 1 else "COMPLETED")

    def look() -> Any:
        return {key: {name: row[name] for name in oracle.FIELDS} for key, row in org.accounts.items()}

    assert_survives(HISTORY, tmp_path, reset=reset, edit=edit, look=look)
