"""Users, customer groups and support tickets. Source: fact sheet section 4."""

from __future__ import annotations

from typing import Any

from simulators.sap_commerce.occ.calls import OccCall, find_user, page_of
from simulators.sap_commerce.occ.failures import OccError, invalid, unauthorized, unknown
from simulators.sap_commerce.occ.views import Views, filled, occ_time
from simulators.sap_commerce.records import Records
from simulators.sap_commerce.store import Store


def register(call: OccCall) -> Any:
    """A new customer: uid, password, firstName, lastName, titleCode."""
    if not call.roles:
        raise unauthorized()
    uid, first, last = call.text("uid"), call.text("firstName"), call.text("lastName")
    if find_user(call.store, uid) is not None:
        raise OccError(400, "DuplicateUidError", uid)
    row = {"uid": uid, "name": f"{first} {last}", "password": call.text("password"), "groups": ["customergroup"]}
    number = call.store.new_pk("Principal")
    pk = Records(call.store).load("Customer", row | {"customerID": f"{number:08d}", "originalUid": uid})
    return Views(call.store).customer(pk)


def read_user(call: OccCall) -> Any:
    user = call.subject()
    return Views(call.store).customer(user) | ({"roles": sorted(call.roles)} if user == call.user else {})


def change_user(call: OccCall) -> Any:
    """Name and title; what is not given stays."""
    user, store = call.subject(), call.store
    if not isinstance(call.body, dict):
        raise invalid("An object is required.", subject="user")
    before = Views(store).customer(user)
    first, last = (str(call.body.get(name, before.get(name) or "")) for name in ("firstName", "lastName"))
    values: dict[str, Any] = {"name": f"{first} {last}".strip()}
    if (code := call.body.get("titleCode")) is not None:
        titles = store.find(["Title"], {"code": str(code)})
        if not titles:
            raise unknown("title", str(code))
        values["title"] = titles[0]
    store.update(user, values)


def deactivate_user(call: OccCall) -> Any:
    call.store.update(call.subject(), {"deactivationDate": call.store.now_ms(), "loginDisabled": 1})


def addresses(call: OccCall) -> Any:
    views = Views(call.store)
    return {"addresses": [views.address(pk) for pk in views.children(call.subject(), "addresses")]}


def groups_of_user(call: OccCall) -> Any:
    views, user = Views(call.store), call.subject()
    return {"userGroups": [_brief(call.store, pk) for pk in views.children(user, "groups")]}


def list_groups(call: OccCall) -> Any:
    call.require_all()
    pks = [
        pk
        for pk in call.store.find(["UserGroup"], {})
        if not str(call.store.value(pk, "uid")).startswith("integration")
    ]
    page = page_of(call, pks, name="userGroups")
    return page | {"userGroups": [_brief(call.store, pk) for pk in page["userGroups"]]}


def create_group(call: OccCall) -> Any:
    call.require_all()
    uid = call.text("uid")
    if call.store.find(call.store.types.subtypes("Principal"), {"uid": uid}):
        raise OccError(400, "DuplicateUidError", uid)
    call.store.insert("UserGroup", {"uid": uid, "name": call.body.get("name")})


def read_group(call: OccCall) -> Any:
    call.require_all()
    group = _group_of(call)
    members = [{"uid": call.store.value(pk, "uid")} for pk in Views(call.store).children(group, "members")]
    return _brief(call.store, group) | {"members": members, "subGroups": []}


def add_members(call: OccCall) -> Any:
    call.require_all()
    group = _group_of(call)
    call.store.add_to_collection(group, _members(call.store), _named_users(call))
    call.store.update(group, {})


def replace_members(call: OccCall) -> Any:
    call.require_all()
    group, wanted = _group_of(call), _named_users(call)
    before = Views(call.store).children(group, "members")
    call.store.remove_from_collection(group, _members(call.store), [pk for pk in before if pk not in wanted])
    call.store.add_to_collection(group, _members(call.store), wanted)
    call.store.update(group, {})


def remove_member(call: OccCall) -> Any:
    call.require_all()
    group, user = _group_of(call), find_user(call.store, call.path["user"])
    if user is None:
        raise unknown("user", call.path["user"])
    call.store.remove_from_collection(group, _members(call.store), [user])
    call.store.update(group, {})


def _members(store: Store) -> Any:
    return store.types.get("UserGroup").attributes["members"]


def _named_users(call: OccCall) -> list[int]:
    members = call.body.get("members") if isinstance(call.body, dict) else None
    if not isinstance(members, list):
        raise invalid("This field is required.", subject="members", reason="missing")
    found = []
    for member in members:
        uid = member.get("uid") if isinstance(member, dict) else None
        user = find_user(call.store, uid) if isinstance(uid, str) else None
        if user is None:
            raise unknown("user", str(uid))
        found.append(user)
    return found


def _group_of(call: OccCall) -> int:
    found = call.store.find(call.store.types.subtypes("UserGroup"), {"uid": call.path["group"]})
    if not found:
        raise unknown("userGroup", call.path["group"])
    return found[0]


def _brief(store: Store, pk: int) -> dict[str, Any]:
    count = len(Views(store).children(pk, "members"))
    return filled({"uid": store.value(pk, "uid"), "name": store.value(pk, "name"), "membersCount": count})


def create_ticket(call: OccCall) -> Any:
    """``{"subject", "message", "ticketCategory": {"id"}, "associatedTo": {"code", "type"}}``."""
    store, user = call.store, call.subject()
    subject, message = call.text("subject"), call.text("message")
    given = call.body.get("ticketCategory")
    category = str(given.get("id", "Enquiry")) if isinstance(given, dict) else "Enquiry"
    row = {"headline": subject, "category": category.capitalize(), "state": "New", "priority": "Medium"}
    number = f"{store.new_pk('CsTicket') >> 8:08d}"
    associated = _associated(call, user)
    pk = Records(store).load("CsTicket", row | {"ticketID": number, "baseSite": call.site})
    store.update(pk, {"customer": user, **associated})
    store.insert(
        "CsTicketEvent",
        {"ticket": pk, "author": store.value(user, "name"), "text": message, "startDateTime": store.now_ms()},
    )
    return _ticket(store, pk)


def _associated(call: OccCall, user: int) -> dict[str, Any]:
    given = call.body.get("associatedTo")
    if not isinstance(given, dict):
        return {}
    kind = "Cart" if str(given.get("type", "Order")).lower() == "cart" else "Order"
    found = call.store.find([kind], {"code": str(given.get("code")), "user": user})
    if not found:
        raise unknown(kind.lower(), str(given.get("code")))
    return {kind.lower(): found[0]}


def list_tickets(call: OccCall) -> Any:
    pks = call.store.find(["CsTicket"], {"customer": call.subject()})
    page = page_of(call, pks, name="tickets")
    return page | {"tickets": [_ticket(call.store, pk) for pk in page["tickets"]]}


def read_ticket(call: OccCall) -> Any:
    return _ticket(call.store, _ticket_of(call))


def add_ticket_event(call: OccCall) -> Any:
    ticket, store = _ticket_of(call), call.store
    row = {"ticket": ticket, "author": store.value(call.subject(), "name"), "text": call.text("message")}
    event = store.insert("CsTicketEvent", row | {"startDateTime": store.now_ms()})
    return _event(store, event)


def _ticket_of(call: OccCall) -> int:
    found = call.store.find(["CsTicket"], {"ticketID": call.path["ticket"], "customer": call.subject()})
    if not found:
        raise unknown("ticket", call.path["ticket"])
    return found[0]


def _ticket(store: Store, pk: int) -> dict[str, Any]:
    views = Views(store)
    order, category = views.code(pk, "order"), views.code(pk, "category")
    state = views.code(pk, "state")
    view = {
        "id": store.value(pk, "ticketID"),
        "subject": store.value(pk, "headline"),
        "status": {"id": str(state).upper(), "name": state},
        "ticketCategory": {"id": str(category).upper(), "name": category},
        "createdAt": occ_time(store.value(pk, "creationtime")),
        "modifiedAt": occ_time(store.value(pk, "modifiedtime")),
        "associatedTo": {"code": order, "type": "Order"} if order else None,
        "ticketEvents": [_event(store, one) for one in views.children(pk, "events")],
    }
    return filled(view)


def _event(store: Store, pk: int) -> dict[str, Any]:
    value = store.value
    return {
        "author": value(pk, "author"),
        "message": value(pk, "text"),
        "createdAt": occ_time(value(pk, "startDateTime")),
    }
