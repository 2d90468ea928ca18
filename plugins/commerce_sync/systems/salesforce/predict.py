"""What an org would refuse of a plan's rows, from its describes and from the records that are there.

Told: unknown and read-only fields, required fields, text lengths, restricted picklists, ranges and kinds of numbers,
dates, e-mail addresses and ids, parents that are not there, external ids held or sent twice, values of unique fields.
Not told, because no describe has it: validation rules, triggers, duplicate rules, locks, the states of orders,
contracts and converted leads. Source: REST API Developer Guide, sObject Describe; Object Reference, field types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from commerce_sync.mapping import Field, Target
from commerce_sync.systems.foreseen import Foreseen, Rule, first
from commerce_sync.systems.salesforce.cells import Column, column_of
from commerce_sync.systems.salesforce.client import SalesforceClient
from commerce_sync.systems.salesforce.predict_values import Spec, Traveller, value_rules
from commerce_sync.systems.salesforce.predict_world import World

if TYPE_CHECKING:
    import duckdb

UNWRITEABLE = "INVALID_FIELD_FOR_INSERT_UPDATE"


async def predict(
    client: SalesforceClient, target: Target, fields: Sequence[Field], con: duckdb.DuckDBPyConnection, *, rows: str,
    types: Mapping[str, str],
) -> Foreseen:  # fmt: skip
    """The refusals of ``rows``, in the order the org looks at a row; see ``foreseen`` for the relations."""
    described = await client.describe(target.object)
    held: dict[str, Spec] = {item["name"]: item for item in described["fields"]}
    columns = [column_of(item, item.name, types[item.name]) for item in fields]
    if stops := _absent(target, columns, held):
        return Foreseen(stops=tuple(stops))
    travellers = [
        Traveller(column, held[_written(column)], f"c{number}", types[column.field.name])
        for number, column in enumerate(columns)
    ]
    _stage(con, target, travellers, rows)
    world = World(client, con, target, described, travellers)
    await world.look()
    rules = [*_unsendable(target), *value_rules(travellers, world.keys), *world.parent_rules()]
    rules += [*world.key_rules(), *_writeable(travellers), *_required(held, travellers), *world.id_rules()]
    rules += world.unique_rules(beside=first(rules, "SELECT * FROM travelling"))
    return Foreseen(first(rules, "SELECT * FROM travelling"), (), tuple(world.warnings))


def _absent(target: Target, columns: Sequence[Column], held: Mapping[str, Spec]) -> list[str]:
    """A field without any access is absent from describe, and a load that names one is refused as a whole."""
    names = [name for name in map(_written, columns) if name not in held]
    return [f"{target.object} has no field {name!r} this user may see" for name in names]


def _written(column: Column) -> str:
    """The field a column ends up in: of a lookup the one that holds the id."""
    return column.id_name if column.field.lookup else column.field.name


def _stage(con: duckdb.DuckDBPyConnection, target: Target, travellers: Sequence[Traveller], rows: str) -> None:
    """Table ``travelling``: each row with its cells as they are sent, whether by Bulk, and its place."""
    key = next(item for item in travellers if item.name == target.external_id)
    create_only = set(target.options.get("create_only", ()))
    cells = ", ".join(f"{_cell(item, create_only)} AS {item.cell}" for item in travellers)
    marks = " OR ".join(sorted({item.column.mark for item in travellers} - {"false"})) or "false"
    bulk = f"count(*) FILTER (_kind <> 'DELETED') OVER () >= {target.bulk_from} AND NOT coalesce({marks}, false)"
    con.execute(f"""CREATE OR REPLACE TEMP TABLE travelling AS
        SELECT *, nullif({key.cell}, '') AS _match FROM (
            SELECT _key, _kind, _there, _target_id, row_number() OVER () AS _n, {bulk} AS _bulk, {cells}
            FROM {rows})""")


def _cell(item: Traveller, create_only: set[str]) -> str:
    name = "'" + item.name.replace("'", "''") + "'"
    left = f"list_contains(_leave, {name})" + (" OR _there" if item.name in create_only else "")
    return f"CASE WHEN _kind <> 'DELETED' AND NOT ({left}) THEN {item.column.cell} END"


def _unsendable(target: Target) -> list[Rule]:
    """Rows that are not sent at all: there is nothing to match their answer by."""
    deletes = "false" if target.on_delete == "ignore" else "_kind = 'DELETED' AND _target_id IS NULL"
    no_key = f"'its {target.external_id} is empty: without an external id it cannot be matched again'"
    no_target = "'no id at the target is known for it: delete it there by hand or dismiss it'"
    return [
        Rule(deletes, "NO_TARGET_ID", "reference", no_target),
        Rule("_kind <> 'DELETED' AND _match IS NULL", "NO_EXTERNAL_ID", "validation", no_key, target.external_id),
    ]


def _writeable(travellers: Sequence[Traveller]) -> list[Rule]:
    rules = []
    for item in travellers:
        if not item.spec["createable"] or not item.spec["updateable"]:
            may = f"CASE WHEN _there THEN {item.spec['updateable']} ELSE {item.spec['createable']} END"
            text = (
                f"'Unable to create/update fields: {item.spec['name']}. Please check the security settings of this "
                "field and verify that it is read/write for your profile or permission set.'"
            )
            rules.append(
                Rule(f"{item.cell} IS NOT NULL AND NOT {may}", UNWRITEABLE, "permission", text, item.spec["name"])
            )
    return rules


def _required(held: Mapping[str, Spec], travellers: Sequence[Traveller]) -> list[Rule]:
    """Source: a field is required on create when it is createable, not nillable and not defaulted."""
    sent = {str(item.spec["name"]): item.cell for item in travellers}
    needed = [name for name, spec in held.items()
              if spec["createable"] and not spec["nillable"] and not spec["defaultedOnCreate"]]  # fmt: skip
    if not needed:
        return []
    missing = [_missing(name, sent.get(name)) for name in needed]
    names = f"list_filter([{', '.join(missing)}], lambda x: x IS NOT NULL)"
    text = f"'Required fields are missing: [' || array_to_string({names}, ', ') || ']'"
    return [Rule(f"_kind <> 'DELETED' AND len({names}) > 0", "REQUIRED_FIELD_MISSING", "validation", text,
                 fields_sql=f"array_to_string({names}, ',')")]  # fmt: skip


def _missing(name: str, cell: str | None) -> str:
    """SQL: the name of a required field that a row does not give, or empties."""
    if cell is None:
        return f"CASE WHEN NOT _there THEN '{name}' END"
    return f"CASE WHEN {cell} = '' OR ({cell} IS NULL AND NOT _there) THEN '{name}' END"
