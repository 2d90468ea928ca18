"""What the org holds that decides whether a row is refused: parents, records with the same key or the same value.

Asked for the distinct values of the plan's rows only, several queries at a time (see ``present``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from commerce_sync.mapping import Lookup, Target
from commerce_sync.systems.foreseen import COMING, Rule, literal
from commerce_sync.systems.salesforce.client import COLLECTION_ROWS, SalesforceClient
from commerce_sync.systems.salesforce.predict_values import ID, Spec, Traveller
from commerce_sync.systems.salesforce.present import where_in

if TYPE_CHECKING:
    import duckdb

RECORD_TYPE = "RecordType"
FOUND = pa.schema([("value", pa.string()), ("holder", pa.string())])


class World:
    """The far side as far as the rows of ``travelling`` ask for it.

    keys: lookup -> spec of its parent's external id.   warnings: what may be refused, and cannot be told for sure.
    """

    def __init__(
        self, client: SalesforceClient, con: duckdb.DuckDBPyConnection, target: Target, described: Mapping[str, Any],
        travellers: Sequence[Traveller],
    ) -> None:  # fmt: skip
        self._client, self._con, self._target, self._described = client, con, target, described
        self._lookups = [item for item in travellers if item.column.field.lookup]
        self._ids = [item for item in travellers if not item.column.field.lookup and item.spec["type"] == "reference"]
        self._uniques = [item for item in travellers
                         if item.spec["unique"] and item.name != target.external_id]  # fmt: skip
        self._key = next(item for item in travellers if item.name == target.external_id)
        self.keys: dict[str, Spec] = {}
        self.warnings: list[str] = []

    async def look(self) -> None:
        """Ask for everything the rules need."""
        for item in self._lookups:
            assert item.column.field.lookup is not None
            await self._parents(item, item.column.field.lookup)
        for item in self._ids:
            await self._living(item)
        await self._ambiguous()
        self._repeated()
        for item in self._uniques:
            await self._holders(item)

    def _distinct(self, cell: str, *, where: str = "true") -> list[str]:
        rows = self._con.execute(f"SELECT DISTINCT {cell} FROM travelling WHERE {cell} <> '' AND {where}").fetchall()
        return [str(value) for (value,) in rows]

    def _keep(self, name: str, rows: Sequence[tuple[Any, Any]]) -> None:
        table = pa.Table.from_pylist([{"value": str(value), "holder": str(holder)} for value, holder in rows], FOUND)
        self._con.register("kept", table)
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM kept")
        self._con.unregister("kept")

    # Parents

    async def _parents(self, item: Traveller, lookup: Lookup) -> None:
        """Table ``parents_<cell>``: external ids of living parents, and of those that will be there."""
        parent = await self._client.describe(lookup.object)
        spec = next((one for one in parent["fields"] if one["name"] == lookup.external_id), None)
        if spec is None:
            self.warnings.append(f"{item.name}: {lookup.object} has no field {lookup.external_id!r} this user may see")
            return
        self.keys[item.name] = spec
        if lookup.object == RECORD_TYPE:
            rows = [(one["developerName"], one["recordTypeId"]) for one in self._record_types()]
        else:
            columns = ("Id", lookup.external_id)
            found = await where_in(self._client, lookup.object, columns, lookup.external_id, self._distinct(item.cell))
            rows = [(one[lookup.external_id], one["Id"]) for one in found]
        self._keep(f"parents_{item.cell}", rows)
        self._con.execute(f"""INSERT INTO parents_{item.cell} SELECT key, 'coming' FROM {COMING}
            WHERE object = {literal(lookup.object)} AND external_id = {literal(lookup.external_id)}
              AND key NOT IN (SELECT value FROM parents_{item.cell})""")

    def _record_types(self) -> list[dict[str, Any]]:
        return [one for one in self._described["recordTypeInfos"] if one["available"] and not one["master"]]

    def parent_rules(self) -> list[Rule]:
        """Lookups by an external id that nobody, or several parents, hold."""
        rules = []
        for item in (one for one in self._lookups if one.name in self.keys):
            lookup, spec = item.column.field.lookup, self.keys[item.name]
            assert lookup is not None
            cell, held = folded(item.cell, spec), f"(SELECT {folded('value', spec)} FROM parents_{item.cell}"
            several = f"{held} GROUP BY 1 HAVING count(DISTINCT holder) > 1)"
            text = f"'Foreign key external ID: ' || {item.cell} || ' not found for field {spec['name']} in entity "
            more = f"'More than one record found for external id field: ' || {item.cell}"
            sent = f"{item.cell} <> ''"
            rules.append(Rule(f"({sent} AND {cell} NOT IN {held}))", "INVALID_FIELD", "reference",
                              f"{text}{lookup.object}'", item.name))  # fmt: skip
            rules.append(
                Rule(f"({sent} AND {cell} IN {several})", "DUPLICATE_EXTERNAL_ID", "duplicate", more, item.name)
            )
        return rules

    # Ids given as they are

    async def _living(self, item: Traveller) -> None:
        wanted = self._distinct(item.cell, where=f"regexp_matches({item.cell}, '{ID}')")
        found: list[Any] = []
        if item.spec["name"] == "RecordTypeId":
            found = [one["recordTypeId"] for one in self._record_types()]
        elif wanted:
            for parent in item.spec["referenceTo"]:
                found += [one["Id"] for one in await where_in(self._client, parent, ("Id",), "Id", wanted)]
        self._keep(f"living_{item.cell}", [(str(one)[:15], "") for one in found])

    def id_rules(self) -> list[Rule]:
        return [
            Rule(f"({item.cell} <> '' AND left({item.cell}, 15) NOT IN (SELECT value FROM living_{item.cell}))",
                 "INVALID_CROSS_REFERENCE_KEY", "reference", "'invalid cross reference id'", item.name)
            for item in self._ids
        ]  # fmt: skip

    # Keys

    async def _ambiguous(self) -> None:
        """Table ``ambiguous``: keys that several records hold. A unique field that minds case cannot have any."""
        spec, name = self._key.spec, self._target.external_id
        rows: list[tuple[Any, Any]] = []
        if not spec["unique"]:
            wanted = self._distinct(self._key.cell, where="NOT _there AND _kind <> 'DELETED'")
            found = await where_in(self._client, self._target.object, ("Id", name), name, wanted)
            rows = [(one[name], one["Id"]) for one in found]
        self._keep("holding", rows)
        self._con.execute(f"""CREATE OR REPLACE TEMP TABLE ambiguous AS SELECT {folded("value", spec)} AS value
            FROM holding GROUP BY 1 HAVING count(DISTINCT holder) > 1""")

    def _repeated(self) -> None:
        """Table ``repeated``: keys sent twice but for their case; they are refused when they meet in a call."""
        value = folded("_match", self._key.spec)
        self._con.execute(f"""CREATE OR REPLACE TEMP TABLE repeated AS SELECT {value} AS value FROM travelling
            WHERE _match IS NOT NULL AND _kind <> 'DELETED' GROUP BY 1 HAVING count(*) > 1""")
        count, rows = self._con.execute("""SELECT (SELECT count(*) FROM repeated),
            (SELECT count(*) FROM travelling WHERE _kind <> 'DELETED')""").fetchall()[0]
        self._one_call = rows <= COLLECTION_ROWS and rows < self._target.bulk_from
        if count and not self._one_call:
            self.warnings.append(
                f"{count} values of {self._target.external_id} are sent more than once, told apart by case only: the "
                "org takes them for the same record, and refuses those that meet in one call"
            )

    def key_rules(self) -> list[Rule]:
        """External ids that several records hold, or that are sent twice."""
        name = self._target.external_id
        value = folded("_match", self._key.spec)
        several = f"'{name}: more than one record found for external id field: [' || _match || ']'"
        rules = [Rule(f"(_kind <> 'DELETED' AND {value} IN (SELECT value FROM ambiguous))", "DUPLICATE_EXTERNAL_ID",
                      "duplicate", several, name)]  # fmt: skip
        if self._one_call:
            text = "'Duplicate external id specified: ' || _match"
            again = f"(_kind <> 'DELETED' AND {value} IN (SELECT value FROM repeated))"
            rules.append(Rule(again, "DUPLICATE_VALUE", "duplicate", text, name))
        return rules

    # Values that only one record may hold

    async def _holders(self, item: Traveller) -> None:
        """Table ``holders_<cell>``: who holds a value, by external id."""
        name, key = item.spec["name"], self._target.external_id
        found = await where_in(self._client, self._target.object, ("Id", name, key), name, self._distinct(item.cell))
        self._keep(f"holders_{item.cell}", [(one[name], one[key] or one["Id"]) for one in found])
        if not self._one_call:
            self._let_go(item)

    def _let_go(self, item: Traveller) -> None:
        """What its holder gives away in the same load is free or not, depending on which of their calls comes first."""
        key, spec = self._key.spec, item.spec
        moves = self._con.execute(f"""DELETE FROM holders_{item.cell} AS h USING travelling AS t
            WHERE {folded("t._match", key)} = {folded("h.holder", key)} AND t.{item.cell} IS NOT NULL
              AND {folded(f"t.{item.cell}", spec)} <> {folded("h.value", spec)}""").fetchall()[0][0]
        if moves:
            text = f"{moves} values of {spec['name']} pass from one record to another: the other one may be refused"
            self.warnings.append(text)

    def unique_rules(self, *, beside: str) -> list[Rule]:
        """A value another record holds; of several rows that bring the same one, all but the first.

        beside: SQL of the rows that are refused for another reason: they take nothing.
        """
        rules = []
        for item in self._uniques:
            self._con.execute(f"""CREATE OR REPLACE TEMP TABLE first_{item.cell} AS
                SELECT {folded(item.cell, item.spec)} AS value, min(_n) AS place FROM travelling
                WHERE {item.cell} <> '' AND _key NOT IN (SELECT _key FROM ({beside})) GROUP BY 1""")
            value, key = folded(item.cell, item.spec), self._key.spec
            held = f"""EXISTS (SELECT 1 FROM holders_{item.cell} AS h WHERE {folded("h.value", item.spec)} = {value}
                AND {folded("h.holder", key)} <> {folded("_match", key)})"""
            free = f"{value} NOT IN (SELECT {folded('value', item.spec)} FROM holders_{item.cell})"
            earlier = f"({free} AND ({value}, _n) NOT IN (SELECT (value, place) FROM first_{item.cell}))"
            text = f"'duplicate value found: {item.spec['name']} duplicates value on record with id: <unknown>'"
            rules.append(Rule(f"({item.cell} <> '' AND ({held} OR {earlier}))", "DUPLICATE_VALUE", "duplicate", text,
                              item.name))  # fmt: skip
        return rules


def folded(column: str, spec: Spec) -> str:
    """SQL: a value as the org compares it."""
    return column if spec["caseSensitive"] or spec["type"] in ("id", "reference") else f"lower({column})"
