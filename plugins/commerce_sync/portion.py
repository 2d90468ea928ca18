"""A portion of a run: with ``keys``, ``limit`` or ``plan`` only some of the changes are sent now, the others wait.

What waits is neither lost nor counted as sent: it is a ``waiting`` verdict, so its records are carried to the next run.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from commerce_sync import applying
from commerce_sync.detection import Verdicts
from commerce_sync.leg import CHANGES, VERDICTS, LegRun, fresh, intact, records

if TYPE_CHECKING:
    import duckdb


def postpone(leg: LegRun, found: Verdicts) -> Verdicts:
    """Take what this run was not asked to send out of the change batch; gives what is left to send."""
    if not leg.asked:
        return found
    con = leg.connect()
    before = intact(con, leg.read(CHANGES))
    con.execute(f"CREATE TEMP TABLE later AS {_later(leg, con, before.scan())}")
    kinds = dict(con.execute("SELECT _kind, count(*) FROM later GROUP BY _kind").fetchall())
    count = sum(kinds.values())
    left = replace(
        found,
        filtered=found.filtered + count,
        waiting=found.waiting + count,
        new=found.new - kinds.get("NEW", 0),
        modified=found.modified - kinds.get("MODIFIED", 0),
        deleted=found.deleted - kinds.get("DELETED", 0),
    )
    if count:
        _rewrite(leg, con, left)
    leg.note(**asdict(left), carried=_carried(leg, con))
    return left


def _later(leg: LegRun, con: duckdb.DuckDBPyConnection, batch: str) -> str:
    """SQL: keys and kinds of the changes that wait: those not asked for, and those above the limit in key order."""
    if "plan" in leg.asked:
        rows = f"SELECT * FROM {batch}"
        return f"SELECT _key, _kind FROM {batch} WHERE _key IN ({applying.unplanned(leg, con, rows)})"
    listed = ", ".join("'" + key.replace("'", "''") + "'" for key in leg.keys)
    wanted = f"_key IN ({listed})" if leg.keys else "true"
    limit = leg.asked.get("limit")
    above = f"OR place > {int(limit)}" if limit else ""
    return f"""SELECT _key, _kind FROM (SELECT _key, _kind, {wanted} AS wanted,
            row_number() OVER (PARTITION BY {wanted} ORDER BY _key) AS place FROM {batch})
        WHERE NOT wanted {above}"""


def _rewrite(leg: LegRun, con: duckdb.DuckDBPyConnection, left: Verdicts) -> None:
    sent, verdicts = leg.read(CHANGES), intact(con, leg.read(VERDICTS))
    con.execute(f"CREATE TEMP TABLE now_sent AS SELECT * FROM {sent.scan()} WHERE _key NOT IN (SELECT _key FROM later)")
    con.execute(f"""CREATE TEMP TABLE now_said AS SELECT _key, CASE WHEN _key IN (SELECT _key FROM later)
        THEN 'waiting' ELSE verdict END AS verdict FROM {verdicts.scan()}""")
    with leg.write(VERDICTS) as into:
        into.facts = verdicts.facts
        into.copy(con, "SELECT * FROM now_said")
    with leg.write(CHANGES) as into:
        into.facts = sent.facts | asdict(left)
        into.copy(con, "SELECT * FROM now_sent")


def _carried(leg: LegRun, con: duckdb.DuckDBPyConnection) -> int:
    """Records of earlier runs among those looked at; a run for a few keys looks at a part of what it read."""
    if leg.mapping.aggregate is not None:
        return 0
    looked_at, read = (
        int(con.execute(f"SELECT count(*) FROM ({rows})").fetchall()[0][0])
        for rows in (records(leg, con), fresh(leg, con))
    )
    return looked_at - read
