"""Names of a SOQL statement -> SQL: objects, fields, and the parents that must be joined for them."""

from __future__ import annotations

from dataclasses import replace

from simulators.salesforce.errors import ApiError
from simulators.salesforce.schema import Field, Schema, SObject
from simulators.salesforce.soql_tree import Query

MOST_LEVELS = 5
Path = tuple[str, ...]
# what any record shows of itself through a lookup that may point at several objects
SHARED = {"Name": 255, "Type": 40, "FirstName": 40, "LastName": 80, "Email": 80, "Phone": 40, "Title": 128}


class Parent:
    """A joined parent: the object its fields are read from, and how a field becomes SQL."""

    def __init__(self, item: SObject, aliases: dict[str, str], schema: Schema) -> None:
        self.item, self.aliases, self.schema = item, aliases, schema

    def sql(self, spec: Field) -> str:
        if len(self.aliases) == 1:
            return f'{next(iter(self.aliases.values()))}."{spec.name}"'
        if spec.name == "Type":
            tests = " ".join(f"WHEN {alias}.\"Id\" IS NOT NULL THEN '{name}'" for name, alias in self.aliases.items())
            return f"CASE {tests} END"
        parts = [f'{alias}."{own.name}"' for name, alias in self.aliases.items() if (own := self._own(name, spec))]
        return f"coalesce({', '.join(parts)}, NULL)"

    def _own(self, name: str, spec: Field) -> Field | None:
        item = self.schema.objects[name]
        if spec.name == "Name":
            return next((field for field in item.fields.values() if field.is_name), None)
        return item.fields.get(spec.name)


class Names:
    """The names one statement uses; ``joins`` collects the SQL of the parents on the way."""

    def __init__(self, query: Query, *, schema: Schema, text: str) -> None:
        self.query, self.schema, self.text = query, schema, text
        self.joins: list[str] = []
        self.item = self._object()
        self.parents: dict[Path, Parent] = {(): Parent(self.item, {self.item.name: "t0"}, schema)}

    def _object(self) -> SObject:
        found = self.schema.find(self.query.kind)
        if found is None:
            message = (
                f"sObject type '{self.query.kind}' is not supported. If you are attempting to use a custom object, be "
                "sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for "
                "the appropriate names."
            )
            raise ApiError(400, "INVALID_TYPE", self.at(self.query.positions["from"]) + message)
        return found

    def at(self, position: int) -> str:
        """The two line excerpt with a caret that precedes messages about a place."""
        start = max(0, position - 40)
        excerpt = " ".join(self.text[start : position + 30].split("\n"))
        caret = " " * (position - start) + "^"
        return f"\n{excerpt}\n{caret}\nERROR at Row:1:Column:{position + 1}\n"

    def resolve(self, path: str) -> tuple[str, Field, Path]:
        """(SQL, field, canonical path) of a dotted name; joins the parents on the way."""
        parts = path.split(".")
        if parts[0].lower() in (self.query.alias, self.item.name.lower()) and len(parts) > 1:
            parts = parts[1:]
        if len(parts) - 1 > MOST_LEVELS:
            raise ApiError(400, "INVALID_FIELD", f"{path}: only {MOST_LEVELS} levels of parents are allowed")
        walked: Path = ()
        for part in parts[:-1]:
            walked = self._join(part, walked=walked, path=path)
        parent = self.parents[walked]
        spec = parent.item.find(parts[-1]) or self._no_column(parts[-1], item=parent.item, path=path)
        return parent.sql(spec), spec, (*walked, spec.name)

    def _join(self, part: str, *, walked: Path, path: str) -> Path:
        child = self.parents[walked]
        lookup = child.item.by_relationship.get(part.lower())
        if lookup is None:
            where = self.at(self.query.positions.get(path.lower(), 0))
            message = f"Didn't understand relationship '{part}' in field path. If you are attempting to use a custom "
            raise ApiError(400, "INVALID_FIELD", f"{where}{message}relationship, be sure to append the '__r'.")
        walked = (*walked, str(lookup.relationship))
        if walked not in self.parents:
            aliases = {name: f"t{len(self.joins) + at}" for at, name in enumerate(lookup.targets, start=1)}
            for name, alias in aliases.items():
                self.joins.append(f'LEFT JOIN "{name}" AS {alias} ON {alias}."Id" = {child.sql(lookup)}')
            item = self.schema.objects[lookup.targets[0]] if len(aliases) == 1 else shared_item(self.schema)
            self.parents[walked] = Parent(item, aliases, self.schema)
        return walked

    def _no_column(self, name: str, *, item: SObject, path: str) -> Field:
        where = self.at(self.query.positions.get(path.lower(), 0))
        message = (
            f"No such column '{name}' on entity '{item.name}'. If you are attempting to use a custom field, be sure "
            "to append the '__c' after the custom field name. Please reference your WSDL or the describe call for "
            "the appropriate names."
        )
        raise ApiError(400, "INVALID_FIELD", where + message)


def shared_item(schema: Schema) -> SObject:
    """The object "Name": what a lookup with several targets (Who, What) can select without TYPEOF."""
    plain = next(iter(schema.objects.values())).fields["Id"]
    fields = {"Id": plain}
    for name, length in SHARED.items():
        fields[name] = replace(plain, name=name, type="string", label=name, length=length)
    item = SObject(name="Name", label="Name", plural="Names", prefix="", fields=fields)
    item.index()
    return item
