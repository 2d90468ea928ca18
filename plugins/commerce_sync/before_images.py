"""Before-images: what a target held of the records a run is about to change, kept so that the run can be undone.

With ``undo: true`` in a mapping, or COMMERCE_SYNC_UNDO=on for all legs that can, ``load`` asks the target for the
present values of the mapped fields before it sends anything, in the chunks ``current`` makes of them, and keeps them as
batch ``before`` of the run. A record is taken once per run: a load that is repeated after a kill finds its image and
leaves it, so that it never shows what we wrote ourselves. Columns, one row per record:

    _key, _kind, _target_id
    _there      whether the target had it; null when that could not be asked
    _marker     what the ledger took for delivered before the run; null: nothing
    _hold       payload that an earlier undo had held back; null: none
    then a typed column per mapped field, and per field that the leg's ``on_delete`` sets
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from commerce_sync import agreement, attempts, changes
from commerce_sync.batches import Batch
from commerce_sync.errors import BalanceError, ConfigurationError
from commerce_sync.leg import ASKED, CHANGES, CHECK, LOAD, LegRun, Site
from commerce_sync.mapping import Field, Lookup, Mapping, OnNull, Target

if TYPE_CHECKING:
    import duckdb

SENDING = "sending"
BEFORE, UNDO = attempts.BEFORE, "undo"
"""Batches of a run: its before-images; of an undo also what it found, field by field."""
NEEDED = (ASKED, BEFORE, CHANGES, CHECK, SENDING, LOAD, UNDO)
"""Batches of a run without which it could not be undone, or its undo not be looked at."""
UNDONE = "undone"
"""Status of a reject whose payload was undone and waits for its source, or a person."""
OWN_IDS = {"salesforce": "Id", "sap_commerce": "integrationKey", "iconik": "id", "opentext_iot": "id"}
"""System -> what it calls its own id of a record, which is all that is known of a record to delete."""
CANNOT = {
    ("iconik", "history"): "entries of the history stay for good",
    ("iconik", "relations"): "relations have no values to compare",
    ("iconik", "collection_contents"): "memberships of collections have no values to compare",
    ("opentext_iot", "commands"): "a command that was sent cannot be called back",
}
CLEARED = {("opentext_iot", "device_attributes"), ("opentext_iot", "device_tags"), ("iconik", "metadata")}
"""Targets whose ``on_delete: delete`` clears the leg's fields: the record they belong to is not the leg's and stays."""
AGAIN = "again"
"""Fact of the images: their load was begun more than once."""
KEYS_AT_ONCE = 20_000


def objection(mapping: Mapping) -> str:
    """Why runs of a leg cannot be undone; empty when they can."""
    target = mapping.target
    if style := target.options.get("style"):
        return f"a target of style {style!r} is no set of records whose fields could be read and put back one by one"
    if target.system not in OWN_IDS:
        return f"{target.system} cannot be asked for the values it holds"
    if (target.system, target.object) in CANNOT:
        return CANNOT[target.system, target.object]
    if target.object == "device_tags" and "tag" in {item.name for item in mapping.fields}:
        return "single tags are there or not, they have no values to compare"
    adding = [item.name for item in mapping.fields if item.name.endswith((".add", ".remove"))]
    if adding:
        return f"{adding[0]!r} says what is added to a list and not what the list is"
    return ""


def deletion_of(mapping: Mapping) -> str | dict[str, str]:
    """What the leg's deletes do at the target: ``ignore``, ``delete`` (the record goes), or the fields they set."""
    target = mapping.target
    if target.on_delete != "delete" or (target.system, target.object) not in CLEARED:
        return target.on_delete
    return {item.name: "NULL" for item in mapping.fields if item.name != target.external_id}


def wanted(leg: LegRun) -> bool:
    """Whether the leg's runs keep images. Raises ConfigurationError for a leg that asks for it and cannot."""
    mapping, fault = leg.mapping, objection(leg.mapping)
    if mapping.undo and fault:
        raise ConfigurationError(f"{mapping.path}: `undo: true`, but its runs cannot be undone: {fault}; remove it")
    return bool(mapping.undo) if mapping.undo is not None else leg.site.undo and not fault


@dataclass(frozen=True, slots=True)
class Pictured:
    """One field of an image: its DuckDB type; what it looks up; whether null leaves it, and it is personal."""

    type: str
    lookup: str | None = None
    leaves: bool = False
    pii: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """What an image shows: of which target, which fields, and what the target did with deletes at that time."""

    system: str
    object: str
    external_id: str
    on_delete: str | dict[str, str]
    fields: dict[str, Pictured]

    @classmethod
    def of(cls, leg: LegRun) -> Frame:
        """The frame of a leg as it is now."""
        target, deletion = leg.mapping.target, deletion_of(leg.mapping)
        fields = {
            item.name: Pictured(
                leg.types[item.name],
                f"{item.lookup.object}.{item.lookup.external_id}" if item.lookup else None,
                item.on_null == "leave",
                item.pii,
            )
            for item in leg.mapping.fields
        }
        if isinstance(deletion, dict):
            fields = {name: Pictured(_type(text)) for name, text in deletion.items()} | fields
        return cls(target.system, target.object, target.external_id, deletion, fields)

    @classmethod
    def read(cls, facts: dict[str, Any]) -> Frame:
        """The frame that ``facts`` wrote into a batch."""
        fields = {name: Pictured(**given) for name, given in facts["fields"].items()}
        return cls(**{name: value for name, value in facts.items() if name != AGAIN} | {"fields": fields})

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @property
    def types(self) -> dict[str, str]:
        return {name: item.type for name, item in self.fields.items()}

    def mapped(self, *, on_null: OnNull = "clear") -> tuple[Field, ...]:
        """The fields as a target takes them; a null is a value of its own."""
        return tuple(Field(name, "", on_null, item.pii, _lookup(item.lookup)) for name, item in self.fields.items())

    @property
    def key(self) -> str | None:
        """The field that is the external id; None when it is none of the leg's."""
        return self.external_id if self.external_id in self.fields else None


def _lookup(text: str | None) -> Lookup | None:
    return Lookup(*text.split(".", 1)) if text else None


def _type(literal: str) -> str:
    import duckdb

    with duckdb.connect() as con:
        con.execute("SET VARIABLE now = now()")
        found = str(con.execute(f"SELECT typeof({literal})").fetchall()[0][0])
    return "VARCHAR" if found == '"NULL"' else found


def take(leg: LegRun, con: duckdb.DuckDBPyConnection, target: Any, *, rows: str, frame: Frame | None = None) -> None:
    """Keep the present values of the records in ``rows`` (SQL of a change batch) that have no image yet.

    frame: takes images of these fields whatever the leg says (an undo always does).
    Raises ConfigurationError for a target that cannot be asked; nothing has been sent by then.
    """
    if frame is None:
        if not wanted(leg):
            return
        frame = Frame.of(leg)
    con.execute(f"CREATE OR REPLACE TEMP TABLE to_ask AS {_to_ask(leg, frame, rows)}")
    if not con.execute("SELECT count(*) FROM to_ask").fetchall()[0][0]:
        _note_again(leg)
        return
    ask(con, target, aim(leg.mapping), frame, asked="to_ask", into="shown")
    with leg.site.batches.extend(leg.leg, leg.id, BEFORE) as into:
        into.facts = frame.facts() | {AGAIN: bool(into.parts)}
        into.copy(con, _image(leg, con, frame))


def _note_again(leg: LegRun) -> None:
    """A load that is repeated finds what it made itself, and says that it was there already."""
    before = leg.find(BEFORE)
    if before is not None and not before.facts.get(AGAIN):
        with leg.site.batches.extend(leg.leg, leg.id, BEFORE) as into:
            into.facts[AGAIN] = True


def aim(mapping: Mapping) -> Target:
    """The target as its system knows it."""
    return agreement.plain(mapping.target) if changes.shared(mapping) else mapping.target


def _to_ask(leg: LegRun, frame: Frame, rows: str) -> str:
    """SQL: _key, _kind, _target_id, and by which ``way`` (key, own) and ``value`` to ask for a record."""
    key = f"CAST({changes.quoted(frame.key)} AS VARCHAR)" if frame.key else "_target_id"
    before = leg.find(BEFORE)
    known = f"WHERE _key NOT IN (SELECT _key FROM {before.scan(by_name=True)})" if before and before.parts else ""
    return f"""SELECT _key, _kind, _target_id, CASE WHEN _kind = 'DELETED' THEN 'own' ELSE 'key' END AS way,
        CASE WHEN _kind = 'DELETED' THEN _target_id ELSE {key} END AS value FROM ({rows}) {known}"""


def ask(con: duckdb.DuckDBPyConnection, target: Any, aimed: Target, frame: Frame, *, asked: str, into: str) -> None:
    """Make table ``into`` (_key and the fields of the records that are there) from table ``asked`` (see ``_to_ask``).

    Raises BalanceError when the target has two records for one.
    """
    if not hasattr(target, "current"):
        raise ConfigurationError(f"{frame.system} cannot be asked for its present values, so nothing can be undone")
    columns = ", ".join(f"{changes.quoted(name)} {kind}" for name, kind in frame.types.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE answered (way VARCHAR, _target_key VARCHAR, {columns})")
    ways = {"key": aimed, "own": replace(aimed, external_id=OWN_IDS[frame.system])}
    for way, keys in _portions(con, asked):
        found = target.current(ways[way], frame.mapped(), keys, types=frame.types)
        con.register("found_now", found)
        con.execute(f"INSERT INTO answered BY NAME SELECT '{way}' AS way, * FROM found_now")
        con.unregister("found_now")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE {into} AS SELECT a._key, n.* EXCLUDE (way, _target_key)
        FROM {asked} AS a JOIN answered AS n ON n.way = a.way AND n._target_key = a.value""")
    twice = con.execute(f"SELECT _key FROM {into} GROUP BY 1 HAVING count(*) > 1 LIMIT 3").fetchall()
    if twice:
        raise BalanceError(f"{frame.object} has several records for {', '.join(str(key) for (key,) in twice)}")


def _portions(con: duckdb.DuckDBPyConnection, asked: str) -> Iterator[tuple[str, list[str]]]:
    for way in ("key", "own"):
        last = ""  # page by page: what is asked in between goes through the same session
        query = f"SELECT DISTINCT value FROM {asked} WHERE way = '{way}' AND value > ? ORDER BY 1 LIMIT {KEYS_AT_ONCE}"
        while part := con.execute(query, [last]).fetchall():
            last = part[-1][0]
            yield way, [key for (key,) in part]


def _image(leg: LegRun, con: duckdb.DuckDBPyConnection, frame: Frame) -> str:
    """SQL of the images from tables ``to_ask`` and ``shown``."""
    con.register("set_aside", leg.site.ledger.rejects_table(leg.leg))
    names = "".join(f", s.{changes.quoted(name)}" for name in frame.fields)
    return f"""SELECT a._key, a._kind, coalesce(a._target_id, m.target_id) AS _target_id,
            CASE WHEN a.value IS NOT NULL THEN s._key IS NOT NULL END AS _there,
            m.fingerprint AS _marker, h.fingerprint AS _hold{names}
        FROM to_ask AS a LEFT JOIN shown AS s ON s._key = a._key
        LEFT JOIN ({leg.site.ledger.markers_sql(leg.state)}) AS m ON m.key = a._key
        LEFT JOIN (SELECT key, fingerprint FROM set_aside WHERE status = '{UNDONE}') AS h ON h.key = a._key"""


def of(site: Site, leg: str, run: str) -> Batch | None:
    """The images of a run, if it has some and they are still kept."""
    found = site.batches.find(leg, run, BEFORE)
    return found if found is not None and found.rows else None


def forget(site: Site, leg: str, keys: Iterable[str]) -> int:
    """Erase the images of records, and what undos found about them, in all runs of a leg; gives the rows that went.

    A record without an image is left as it is when its run is undone.
    """
    erased, some = 0, list(dict.fromkeys(keys))
    for run in site.ledger.runs(leg, limit=1_000_000) if some else ():
        for step in (BEFORE, UNDO):
            batch = site.batches.find(leg, run.run, step)
            if batch is not None and batch.rows:
                erased += _without(site, batch, leg=leg, run=run.run, step=step, keys=some)
    return erased


def _without(site: Site, batch: Batch, *, leg: str, run: str, step: str, keys: list[str]) -> int:
    con = site.batches.connect(memory_limit=site.memory_limit)
    con.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {batch.scan(by_name=True)} WHERE NOT list_contains(?, _key)",
                [keys])  # fmt: skip
    left = int(con.execute("SELECT count(*) FROM kept").fetchall()[0][0])
    if left < batch.rows:
        with site.batches.write(leg, run, step) as into:
            into.facts = batch.facts
            into.copy(con, "SELECT * FROM kept")
    con.close()
    return batch.rows - left
