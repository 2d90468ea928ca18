"""What an undo finds: before, written and present value of every field a run wrote, and what becomes of each.

With ``b`` the before-image, ``w`` what the run wrote and ``n`` what the target has now:

    n = b           same       as it was before: nothing to do
    w = b           silent     the run did not change it
    n = w           restore    nobody changed it since
    otherwise       conflict   somebody did: left as it is

A shared value of several fields is restored as a whole or not at all. A record the run made is taken away (as the
leg's ``on_delete`` says) when all it was given is still there; one it deleted is put back, made anew if need be.
Blanks, the order in lists and parts of a second make no difference: targets do not keep them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from commerce_sync import before_images, changes, delivery
from commerce_sync import leg as legs
from commerce_sync.before_images import Frame
from commerce_sync.errors import ConfigurationError
from commerce_sync.leg import CHANGES, LOAD, LegRun
from commerce_sync.mapping import Field

if TYPE_CHECKING:
    import duckdb

MASK = "***"
SLACK = timedelta(minutes=5)
"""Between our clock and the one that filled in the time of a delete."""
UNREADABLE = {("iconik", "assets"): ("collection_id", "type"), ("iconik", "collections"): ("storage_id",),
              ("opentext_iot", "devices"): ("template",)}  # fmt: skip
"""Fields that are written when a record is made and cannot be read back afterwards, or not as they were written."""
REASONS = {
    "unknown": "there is no before-image of it: it was erased, or nobody could say whether the record was there",
    "back": "deleted by the run, and made anew by somebody since",
    "appeared": "made by somebody else at the very moment of the run",
    "gone": "deleted at the target since",
    "touched": "made by the run, and changed by somebody since",
    "kept": "made by the run; the leg deletes nothing (on_delete: ignore), so it stays",
}
"""What is said of a whole record that is left as it is."""


def compare(work: LegRun, was: LegRun, con: duckdb.DuckDBPyConnection, target: object) -> None:
    """Tables ``met`` (a row per record), ``fields`` (per record and field) and ``said`` (what becomes of each)."""
    frame = frame_of(was)
    batch = before_images.of(was.site, was.leg, was.id)
    assert batch is not None
    con.execute(f"CREATE OR REPLACE TEMP VIEW image AS SELECT * FROM {legs.intact(con, batch).scan(by_name=True)}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE wrote AS {_wrote(was, con, frame)}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE asked_now AS {_asked(was, frame)}")
    before_images.ask(con, target, before_images.aim(work.mapping), frame, asked="asked_now", into="present_now")
    again = bool(batch.facts.get(before_images.AGAIN))
    con.execute(f"CREATE OR REPLACE TEMP TABLE met AS {_met(frame, again=again)}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE fields AS {_fields(work, was, frame)}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE said AS {_said(work)}")


def frame_of(was: LegRun) -> Frame:
    """What the run's images show. Raises ConfigurationError for a run without images, or of another target by now."""
    found = before_images.of(was.site, was.leg, was.id)
    if found is None or was.find(CHANGES) is None or was.find(LOAD) is None:
        raise ConfigurationError(
            f"leg {was.leg}: run {was.id} has no before-images, so it cannot be undone: it sent nothing, `undo` was "
            "not on for the leg when it ran, or they are older than COMMERCE_SYNC_KEEP_IMAGE_DAYS"
        )
    frame, target = Frame.read(found.facts), was.mapping.target
    if (frame.system, frame.object, frame.external_id) != (target.system, target.object, target.external_id):
        raise ConfigurationError(
            f"leg {was.leg}: run {was.id} wrote {frame.object} of {frame.system} by {frame.external_id}, the leg "
            f"writes {target.object} of {target.system} by {target.external_id} now; take the mapping it ran with"
        )
    return frame


def _wrote(was: LegRun, con: duckdb.DuckDBPyConnection, frame: Frame) -> str:
    """SQL of the rows that arrived, with all fields of the frame; what a delete set stands in it as values."""
    rows = _written(was, con)
    has = {row[0] for row in con.execute(f"DESCRIBE {rows}").fetchall()}
    columns = []
    for name, kind in frame.types.items():
        column = f"w.{changes.quoted(name)}" if name in has else "NULL"
        if isinstance(frame.on_delete, dict) and name in frame.on_delete:
            column = f"CASE WHEN w._kind = 'DELETED' THEN ({frame.on_delete[name]}) ELSE {column} END"
        columns.append(f"CAST({column} AS {kind}) AS {changes.quoted(name)}")
    left = "coalesce(w._leave, [])" if "_leave" in has else "[]"
    results = legs.intact(con, was.read(LOAD)).scan(by_name=True)
    return f"""SELECT w._key, w._kind, w._fingerprint, CAST({left} AS VARCHAR[]) AS _leave,
            coalesce(r.target_id, w._target_id) AS _target_id, r.created AS _created, {", ".join(columns)}
        FROM ({rows}) AS w JOIN {results} AS r ON r._key = w._key AND r.outcome = 'delivered'"""


def _written(was: LegRun, con: duckdb.DuckDBPyConnection) -> str:
    """SQL of the rows the target was given: without the quarantined, and without those a pair had nothing to say of."""
    rows, origin = delivery._passed(was, con)
    sent = was.find(delivery.SENDING)
    is_of_it = sent is not None and bool(sent.parts) and sent.facts.get(delivery.ORIGIN) == origin
    return f"SELECT * FROM {legs.intact(con, sent).scan()}" if sent and is_of_it else rows


def _asked(was: LegRun, frame: Frame) -> str:
    """SQL: by what to ask for each record: the id it has here once it may be switched off, else its external id."""
    key = changes.quoted(frame.key) if frame.key else None
    is_off = "w._kind = 'DELETED'" if isinstance(frame.on_delete, dict) else "false"
    own = "coalesce(w._target_id, i._target_id)"
    value = f"CAST(CASE WHEN w._kind = 'DELETED' THEN i.{key} ELSE w.{key} END AS VARCHAR)" if key else own
    return f"""SELECT w._key, CASE WHEN {is_off} THEN 'own' ELSE 'key' END AS way,
            CASE WHEN {is_off} THEN {own} ELSE {value} END AS value
        FROM wrote AS w LEFT JOIN image AS i ON i._key = w._key"""


def _met(frame: Frame, *, again: bool) -> str:
    """SQL: written, image and present values of each record side by side (w0, b0, n0, w1, ...), and its ``standing``.

    again: the run's load was begun more than once, so that it may have met records of its own making.
    """
    columns = "".join(
        f", w.{changes.quoted(name)} AS w{number}, i.{changes.quoted(name)} AS b{number}, "
        f"p.{changes.quoted(name)} AS n{number}"
        for number, name in enumerate(frame.fields)
    )
    is_real = "w._kind = 'DELETED'" if frame.on_delete == "delete" else "false"
    return f"""SELECT w._key, w._kind, w._fingerprint, w._leave, coalesce(w._target_id, i._target_id) AS _target_id,
            i._there, i._marker, i._hold, CASE
                WHEN i._key IS NULL THEN 'unknown'
                WHEN {is_real} AND i._there IS NOT TRUE THEN 'same'
                WHEN {is_real} THEN CASE WHEN p._key IS NULL THEN 'deleted' ELSE 'back' END
                WHEN i._there IS NULL THEN 'unknown'
                WHEN NOT i._there AND p._key IS NULL THEN 'same'
                WHEN NOT i._there AND w._kind <> 'DELETED'
                    AND (coalesce(w._created, true) OR {again}) THEN 'made'
                WHEN NOT i._there THEN 'appeared'
                WHEN p._key IS NULL THEN 'gone'
                ELSE 'changed' END AS standing{columns}
        FROM wrote AS w LEFT JOIN image AS i ON i._key = w._key LEFT JOIN present_now AS p ON p._key = w._key"""


def _fields(work: LegRun, was: LegRun, frame: Frame) -> str:
    """SQL: a row per record and field that the run wrote: its three values as texts, and ``verdict``."""
    shared = {item.name: item.shared.name for item in work.mapping.fields if item.shared is not None}
    structs = ", ".join(
        _struct(was, frame, name, number=number, group=shared.get(name, name))
        for number, name in enumerate(frame.fields)
    )
    verdict = """CASE WHEN standing = 'made' THEN CASE WHEN nm IS DISTINCT FROM wm AND NOT loose THEN 'conflict'
                ELSE 'silent' END
            WHEN nm IS NOT DISTINCT FROM bm THEN 'same' WHEN wm IS NOT DISTINCT FROM bm AND NOT stamped THEN 'silent'
            WHEN owned THEN 'left' WHEN nm IS NOT DISTINCT FROM wm OR stamped THEN 'restore' ELSE 'conflict' END"""
    found = f"SELECT * EXCLUDE (writes) FROM (SELECT _key, standing, unnest([{structs}], recursive := true) FROM met) "
    judged = f"""SELECT *, {verdict} AS verdict FROM ({found}
        WHERE writes AND standing IN ('made', 'changed'))"""
    return f"""SELECT _key, standing, field, before, written, present, CASE
            WHEN verdict = 'restore' AND bool_or(verdict = 'conflict') OVER (PARTITION BY _key, value) THEN 'conflict'
            ELSE verdict END AS verdict FROM ({judged})"""


def _struct(was: LegRun, frame: Frame, name: str, *, number: int, group: str) -> str:
    """SQL of one field of table ``met``: whether the run wrote it, marks and texts of its values."""
    item, options = frame.fields[name], was.mapping.target.options
    texts = ", ".join(
        f"{label}: CASE WHEN {letter}{number} IS NOT NULL THEN "
        f"{changes.literal(MASK) if item.pii else f'CAST({letter}{number} AS VARCHAR)'} END"
        for label, letter in (("before", "b"), ("written", "w"), ("present", "n"))
    )
    marks = ", ".join(f"{letter}m: {mark(f'{letter}{number}', item.type)}" for letter in "bwn")
    loose = name in UNREADABLE.get((frame.system, frame.object), ())
    return (
        f"{{field: {changes.literal(name)}, value: {changes.literal(group)}, "
        f"writes: {_writes(was, frame, name, number)}, "
        f"owned: {name in options.get('owned', ())}, loose: {loose or name in options.get('owned', ())}, "
        f"stamped: {_stamped(was, frame, name, number)}, {texts}, {marks}}}"
    )


def _writes(was: LegRun, frame: Frame, name: str, number: int) -> str:
    """SQL: whether the run wrote this field of a record."""
    options = was.mapping.target.options
    if name == frame.external_id:
        return "false"
    sets = isinstance(frame.on_delete, dict) and name in frame.on_delete
    parts = [f"NOT list_contains(_leave, {changes.literal(name)})"]
    if name not in {item.name for item in was.mapping.fields} and was.run.kind != "undo":
        parts.append("false")
    if frame.fields[name].leaves and was.run.kind != "undo":
        parts.append(f"w{number} IS NOT NULL")
    if name in (*options.get("create_only", ()), *options.get("at_creation", ())):
        parts.append("_there IS NOT TRUE")
    return f"CASE WHEN _kind = 'DELETED' THEN {str(sets).lower()} ELSE {' AND '.join(parts)} END"


def _stamped(was: LegRun, frame: Frame, name: str, number: int) -> str:
    """SQL: whether the present value is a moment that the run's delete filled in."""
    literal = frame.on_delete.get(name, "") if isinstance(frame.on_delete, dict) else ""
    if not ("getvariable" in literal or "now()" in literal):
        return "false"
    since, until = was.run.started - SLACK, (was.run.ended or datetime.now(UTC)) + SLACK
    value = f"TRY_CAST(n{number} AS TIMESTAMPTZ)"
    return (
        f"_kind = 'DELETED' AND coalesce({value} BETWEEN '{since.isoformat()}'::TIMESTAMPTZ "
        f"AND '{until.isoformat()}'::TIMESTAMPTZ, false)"
    )


def mark(column: str, kind: str) -> str:
    """SQL: what two values have in common that a target would not tell apart."""
    if kind.endswith("]"):
        return f"CASE WHEN len({column}) > 0 THEN md5(CAST(to_json(list_sort({column})) AS VARCHAR)) END"
    if kind.upper().startswith(("TIMESTAMP", "DATETIME")):
        return f"md5(CAST(epoch_us({column}) // 1000000 AS VARCHAR))"
    if kind.upper() == "BOOLEAN":
        return f"md5(CAST(coalesce({column}, false) AS VARCHAR))"  # an empty check box reads as false
    return changes.mark([Field(column, "")], {column: kind})


def _said(work: LegRun) -> str:
    """SQL: what becomes of each record: same, conflict, or what is sent (NEW, MODIFIED, DELETED)."""
    ignores = work.mapping.target.on_delete == "ignore"
    counted = """SELECT _key, list(field ORDER BY field) FILTER (verdict = 'restore') AS restored,
        count(*) FILTER (verdict IN ('conflict', 'left')) AS left_alone FROM fields GROUP BY _key"""
    return f"""SELECT m._key, m.standing, coalesce(f.restored, []) AS restored, coalesce(f.left_alone, 0) AS left_alone,
        CASE m.standing WHEN 'same' THEN 'same' WHEN 'deleted' THEN 'NEW'
            WHEN 'made' THEN CASE WHEN f.left_alone > 0 OR {ignores} THEN 'conflict' ELSE 'DELETED' END
            WHEN 'changed' THEN CASE WHEN len(f.restored) > 0 THEN 'MODIFIED' WHEN f.left_alone > 0 THEN 'conflict'
                ELSE 'same' END
            ELSE 'conflict' END AS verdict,
        CASE m.standing WHEN 'made' THEN CASE WHEN f.left_alone > 0 THEN 'touched' ELSE 'kept' END
            ELSE m.standing END AS why
        FROM met AS m LEFT JOIN ({counted}) AS f ON f._key = m._key"""


def payload(frame: Frame) -> str:
    """SQL of the change batch without fingerprints: restored fields as they were, the others as they are and left."""
    columns = []
    for number, (name, kind) in enumerate(frame.types.items()):
        text = changes.literal(name)
        columns.append(
            f"""CASE WHEN s.verdict = 'DELETED' THEN NULL WHEN s.verdict = 'NEW' OR list_contains(s.restored, {text})
            THEN m.b{number} ELSE m.n{number} END::{kind} AS {changes.quoted(name)}"""
        )
    kept = ", ".join(changes.literal(name) for name in frame.fields if name != frame.external_id)
    return f"""SELECT s._key, s.verdict AS _kind, CASE WHEN s.verdict <> 'NEW' THEN m._target_id END AS _target_id,
            {", ".join(columns)},
            CASE WHEN s.verdict = 'MODIFIED' THEN list_filter([{kept}]::VARCHAR[],
                lambda name: NOT list_contains(s.restored, name)) ELSE [] END::VARCHAR[] AS _leave
        FROM said AS s JOIN met AS m ON m._key = s._key WHERE s.verdict IN ('NEW', 'MODIFIED', 'DELETED')"""


def listing() -> str:
    """SQL of batch ``undo``: every field that was restored or left, and every record treated as a whole."""
    reasons = " ".join(f"WHEN '{name}' THEN {changes.literal(text)}" for name, text in REASONS.items())
    return f"""SELECT _key, field, verdict, before, written, present, NULL AS reason FROM fields
            WHERE verdict IN ('restore', 'conflict', 'left')
        UNION ALL SELECT _key, NULL,
            CASE verdict WHEN 'NEW' THEN 'make' WHEN 'DELETED' THEN 'take away' ELSE verdict END,
            NULL, NULL, NULL, CASE why {reasons} END FROM said
        WHERE verdict IN ('NEW', 'DELETED') OR (verdict = 'conflict' AND standing <> 'changed')"""
