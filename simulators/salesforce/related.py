"""GET /sobjects/{name}/{id}/{relationship}: the parent a record points to, or the records that point to it."""

from __future__ import annotations

from simulators.salesforce import query
from simulators.salesforce.call import Answer, Call
from simulators.salesforce.errors import not_found
from simulators.salesforce.records import known, record_of
from simulators.salesforce.schema import SObject


async def related(call: Call, item: SObject, key: str, relationship: str) -> Answer:
    """One parent as a record, children as a query's first page; 404 for an empty parent and an unknown name."""
    name = relationship.lower()
    if name in item.by_relationship:
        return Answer(body=_parent(call, item, key, name))
    if name not in item.children:
        raise not_found()
    child, field = item.children[name]
    found = call.org.schema.objects[child]
    names = [known(found, text).name for text in _wanted(call)] or list(found.fields)
    return query.answer(f"SELECT {', '.join(names)} FROM {child} WHERE {field.name} = '{key}'", call=call)


def _wanted(call: Call) -> list[str]:
    return [name.strip() for name in call.query.get("fields", "").split(",") if name.strip()]


def _parent(call: Call, item: SObject, key: str, name: str) -> dict[str, object]:
    field = item.by_relationship[name]
    (parent,) = call.org.store.rows_by_id(item, [field.name], [key])[key]
    if not parent:
        raise not_found()
    targets = (call.org.schema.objects[target] for target in field.targets)
    of = next((target for target in targets if parent.startswith(target.prefix)), None)
    if of is None or parent not in call.org.store.rows_by_id(of, ["IsDeleted"], [parent]):
        raise not_found()
    return record_of(call, of, parent)
