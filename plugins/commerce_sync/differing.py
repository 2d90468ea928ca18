"""Which records differ, and what a repair makes of each: pure SQL over what ``comparing`` asked for.

expected   key, fingerprint, target_id, bucket, cell, mark, is_sure: what the markers know
looked     bucket, cell: where sums differ           found     target_id, external_id, mark, bucket, cell: what is there
aside      target_id of doubles that wait to be deleted        present   target_id and values of what was modified
rejects_table  key: what does not arrive, or was undone: known to differ
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from commerce_sync import changes, folding
from commerce_sync.agreement import CREATES
from commerce_sync.binding import Types
from commerce_sync.changes import literal
from commerce_sync.mapping import Mapping

if TYPE_CHECKING:
    import duckdb

SEND, DELETE, REPORT = "send", "delete", "report"
NO_MAPPING = "0::UBIGINT"
"""Fingerprint of no payload: a marker with it differs from whatever is mapped."""


def find(con: duckdb.DuckDBPyConnection, mapping: Mapping, types: Types) -> None:
    """Table ``differences``: kind, key, target_id, action; table ``waiting``: keys that are to be sent anyway."""
    con.execute("""CREATE TEMP TABLE waiting AS SELECT key FROM expected WHERE NOT is_sure
        UNION SELECT key FROM rejects_table""")
    con.execute(f"CREATE TEMP TABLE strangers AS {_strangers(mapping)}")
    con.execute(f"CREATE TEMP TABLE met AS {_known()} UNION ALL {_strange()} UNION ALL {_edited(mapping, types)}")
    con.execute(f"""CREATE TEMP TABLE differences AS
        SELECT kind, key, target_id, {_action(mapping)} AS action FROM met
        WHERE kind IN ('doubled', 'resurrected') OR key NOT IN (SELECT key FROM waiting)
        QUALIFY row_number() OVER (PARTITION BY key, target_id ORDER BY {_rank()}) = 1""")


def _rank() -> str:
    """A record that is edited and stale is stale; one that is missing and replaced is replaced."""
    order = ("replaced", "missing", "stale", "edited", "doubled", "resurrected")
    return "list_position([" + ", ".join(literal(kind) for kind in order) + "], kind)"


def _known() -> str:
    """SQL: records of markers that are gone, or hold another mark than they should."""
    return """SELECT CASE WHEN f.target_id IS NULL THEN 'missing' ELSE 'stale' END AS kind, e.key, e.target_id
        FROM expected AS e JOIN looked USING (bucket, cell) LEFT JOIN found AS f ON f.target_id = e.target_id
        WHERE e.key NOT IN (SELECT key FROM strangers WHERE kind = 'replaced')
            AND (f.target_id IS NULL OR f.mark IS DISTINCT FROM e.mark
                OR (f.bucket, f.cell) IS DISTINCT FROM (e.bucket, e.cell))"""


def _strangers(mapping: Mapping) -> str:
    """SQL: records that no marker knows: kind, key (null: unknown), target_id.

    Whose double it is: the external id says so, or, where that was emptied, the mark it was copied with.
    """
    by_key = "f.external_id" if is_key(mapping) else "NULL::VARCHAR"
    return f"""WITH strange AS (
            SELECT f.* FROM found AS f ANTI JOIN aside USING (target_id) ANTI JOIN expected USING (target_id)),
        known AS (SELECT f.external_id, e.key FROM found AS f JOIN expected AS e ON e.target_id = f.target_id),
        told AS (
            SELECT f.target_id, f.external_id, f.bucket,
                coalesce((SELECT max(e.key) FROM expected AS e WHERE e.key = {by_key}),
                    (SELECT max(k.key) FROM known AS k WHERE k.external_id = f.external_id),
                    (SELECT max(e.key) FROM expected AS e WHERE f.external_id IS NULL
                        AND (e.bucket, e.cell, e.mark) = (f.bucket, f.cell, f.mark))) AS key
            FROM strange AS f)
        SELECT CASE
                WHEN t.key IS NOT NULL AND t.external_id IS NOT NULL
                    AND e.target_id NOT IN (SELECT target_id FROM found)
                    AND (e.bucket, e.cell) IN (SELECT (bucket, cell) FROM looked) THEN 'replaced'
                WHEN t.key IS NOT NULL OR t.external_id IS NULL THEN 'doubled'
                ELSE 'resurrected' END AS kind,
            coalesce(t.key, t.external_id) AS key, t.target_id
        FROM told AS t LEFT JOIN expected AS e ON e.key = t.key
        WHERE t.key IS NOT NULL OR t.bucket IS NOT NULL"""


def _strange() -> str:
    return "SELECT kind, coalesce(key, target_id) AS key, target_id FROM strangers"


def _edited(mapping: Mapping, types: Types) -> str:
    """SQL: records whose present values have another fingerprint than what was sent."""
    value = changes.fingerprint(changes.own(mapping, types), version=mapping.version)
    return f"""SELECT 'edited' AS kind, e.key, e.target_id FROM
        (SELECT target_id, {value} AS now FROM present) AS p JOIN expected AS e ON e.target_id = p.target_id
        WHERE e.is_sure AND p.now <> e.fingerprint"""


def is_key(mapping: Mapping) -> bool:
    """Whether the external id is the key, so that a record at the target can be told the leg's name of it."""
    value = next(item.value for item in mapping.fields if item.name == mapping.target.external_id)
    return value.strip() == mapping.key.strip()


def _action(mapping: Mapping) -> str:
    """SQL: what a repair makes of a difference, by the leg's policy."""
    compare, target = mapping.target.compare, mapping.target
    assert compare is not None
    deletes = target.on_delete != "ignore"
    creates = compare.on_missing == "restore" and target.options.get(CREATES, True)
    sends = SEND if compare.on_edited == "restore" else REPORT
    said = {
        "missing": SEND if creates else REPORT,
        "replaced": SEND if compare.on_missing == "restore" else REPORT,
        "edited": sends,
        "stale": sends,
        "doubled": DELETE if deletes and compare.on_double == "delete" else REPORT,
        # Without the key there is no telling whether the source has the record again by now.
        "resurrected": DELETE if deletes and is_key(mapping) and compare.on_resurrected == "delete" else REPORT,
    }
    return "CASE kind " + " ".join(f"WHEN '{kind}' THEN '{action}'" for kind, action in said.items()) + " END"


def markers() -> str:
    """SQL of the markers of a repair: key, fingerprint, target_id, gone.

    What is to be sent again differs from now on from whatever is mapped. What is to be deleted gets a marker that no
    source has a record for: a double's key cannot be one, a resurrected record's is one only if it is back there too.
    """
    return f"""SELECT CASE WHEN kind = 'doubled' THEN key || {literal(folding.ASIDE)} || target_id ELSE key END AS key,
            {NO_MAPPING} AS fingerprint, CASE WHEN kind <> 'missing' THEN target_id END AS target_id,
            kind = 'missing' AS gone
        FROM differences WHERE action <> '{REPORT}'"""
