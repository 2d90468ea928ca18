"""What did not arrive: the rows a commit writes to the reject table, and what the next delta run offers again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from commerce_sync import agreement, changes, doubt, editing, recording
from commerce_sync import leg as legs
from commerce_sync.ledger import Said
from commerce_sync.leg import LegRun

if TYPE_CHECKING:
    import duckdb

CARRY = "carry"
LEFT_BEHIND = "left_behind"
LOOK = (
    "A load that died half-way may have created it, its run was never tried again, and the source no longer gives it: "
    "nothing will take it back. Look for it at the target and remove it there, then dismiss this"
)


def stage(leg: LegRun, con: duckdb.DuckDBPyConnection) -> None:
    """Tables ``new_rejects`` (to write) and ``kept`` (keys that stay in the reject table)."""
    retries = leg.mapping.retries
    pause = int(retries.first_pause / timedelta(seconds=1))
    # Every name of ours begins with '_': the target may well have fields named code or reason.
    con.execute(f"""CREATE TEMP TABLE new_rejects AS
        WITH refused AS (
            SELECT c.*, r.code AS _code, r.reason_class AS _class, r.reason AS _reason, r.fields AS _fields,
                   coalesce(CASE WHEN p.fingerprint = c._fingerprint THEN p.attempts END, 0)
                       + CASE WHEN r.outcome = 'rejected' THEN 1 ELSE 0 END AS _attempts
            FROM sent AS c JOIN results AS r ON r._key = c._key AND r.outcome <> 'delivered'
            LEFT JOIN rejects_table AS p ON p.key = c._key)
        SELECT _key AS key, CASE WHEN _attempts >= {retries.attempts}
                   OR _code = '{agreement.LOOP}' THEN 'parked' ELSE 'rejected' END AS status,
               _code AS code, _class AS reason_class, {recording.masked_reason(leg)} AS reason, _fields AS fields,
               {recording.masked_payload(leg)} AS payload, _fingerprint AS fingerprint, _attempts AS attempts,
               getvariable('now') + to_seconds(CAST({pause} * pow(2, greatest(_attempts - 1, 0)) AS BIGINT))
                   * CASE WHEN _attempts = 0 THEN 0 ELSE 1 END AS next_attempt
        FROM refused
        UNION ALL
        SELECT _key, 'quarantined', _expectation, 'validation', _reason, NULL, {recording.masked_payload(leg)},
               _fingerprint, 0, NULL
        FROM changes JOIN (SELECT _key, expectation AS _expectation, reason AS _reason FROM quarantined)
        USING (_key)
        UNION ALL
        SELECT _key, 'parked', '{LEFT_BEHIND}', 'unknown', {changes.literal(LOOK)}, NULL, NULL, NULL, 0, NULL
        FROM ({_left_behind(leg)})""")
    # A record that is gone from a run that saw all there is has nothing left to be refused.
    unseen = "false" if leg.complete else "key NOT IN (SELECT _key FROM verdicts)"
    con.execute(f"""CREATE TEMP TABLE kept AS SELECT key FROM new_rejects
        UNION SELECT _key FROM verdicts WHERE verdict = 'waiting'
        UNION SELECT key FROM rejects_table WHERE {unseen}
        UNION SELECT key FROM rejects_table WHERE code = '{LEFT_BEHIND}' AND key NOT IN (SELECT _key FROM sent)""")


def _left_behind(leg: LegRun) -> str:
    """SQL of keys to name: those not named before, and those whose name somebody took for a thing to try again."""
    again = f"SELECT key AS _key FROM rejects_table WHERE code = '{LEFT_BEHIND}' AND status = 'rejected'"
    found = doubt.left_behind(leg)
    known = f"SELECT key FROM rejects_table WHERE code = '{LEFT_BEHIND}'"
    named = f"{again} UNION ALL SELECT _key FROM ({found}) WHERE _key NOT IN ({known})" if found else again
    return f"""SELECT _key FROM ({named}) WHERE _key NOT IN (SELECT _key FROM changes)
        AND _key NOT IN (SELECT _key FROM verdicts WHERE verdict = 'waiting')"""


def carry(leg: LegRun, con: duckdb.DuckDBPyConnection, said: Said) -> str | None:
    """Keep the source rows of everything that did not arrive, so that the next delta run offers them again."""
    if leg.mapping.aggregate is not None:
        return None
    key = f"CAST({leg.mapping.key} AS VARCHAR)"
    unfinished = "SELECT key FROM new_rejects UNION SELECT _key FROM verdicts WHERE verdict = 'waiting'"
    unfinished += "".join(f" UNION SELECT {changes.literal(name)}" for name in editing.open_keys(leg, but=said))
    if not con.execute(f"SELECT count(*) FROM ({unfinished})").fetchall()[0][0]:
        return None
    with leg.site.stores.write(leg.leg, leg.id, CARRY) as into:
        rows = into.copy(con, f"SELECT * FROM ({legs.records(leg, con)}) AS record WHERE {key} IN ({unfinished})")
    return leg.site.stores.address(leg.leg, leg.id, CARRY) if rows else None
