"""/actions/standard/convertLead: a lead becomes an account, a contact and, unless refused, an opportunity.

The names of the inputs follow the SOAP call; the shape of the answer is that of standard actions (unverified).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from simulators.salesforce import ids, values
from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.errors import ApiError, RowError
from simulators.salesforce.payload import Record, json_batch

CONVERTED = "Closed - Converted"
FIRST_STAGE = "Prospecting"
OPEN_FOR = timedelta(days=30)
ACCOUNT = {
    "Phone": "Phone",
    "Website": "Website",
    "Industry": "Industry",
    "Fax": "Fax",
    "AnnualRevenue": "AnnualRevenue",
}
ACCOUNT |= {f"Billing{part}": part for part in ("Street", "City", "State", "PostalCode", "Country")}
CONTACT = {name: name for name in ("FirstName", "LastName", "Salutation", "Title", "Email", "Phone", "MobilePhone")}
CONTACT |= {f"Mailing{part}": part for part in ("Street", "City", "State", "PostalCode", "Country")}


class Refused(Exception):
    """One lead that is not converted."""

    def __init__(self, error: RowError) -> None:
        super().__init__(error.message)
        self.error = error


async def convert(call: Call) -> Answer:
    """POST /actions/standard/convertLead with ``{"inputs": [{"leadId", "convertedStatus", ...}]}``."""
    inputs = call.json_object().get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(one, dict) for one in inputs):
        raise ApiError(400, "JSON_PARSER_ERROR", "inputs must be a list of objects")
    results = [_result(call, one) for one in inputs]
    return Answer(200 if all(result["isSuccess"] for result in results) else 400, results)


def _result(call: Call, given: Record) -> dict[str, Any]:
    db = call.org.store.db
    db.execute("SAVEPOINT conversion")
    try:
        found, errors = _converted(call, given), None
    except Refused as refused:
        db.execute("ROLLBACK TO conversion")
        found, errors = None, [refused.error.collection()]
    finally:
        db.execute("RELEASE conversion")
    return {"actionName": "convertLead", "errors": errors, "isSuccess": errors is None, "outputValues": found}


def _converted(call: Call, given: Record) -> dict[str, Any]:
    key, lead = _lead(call, str(given.get("leadId", "")))
    status = given.get("convertedStatus", CONVERTED)
    if status != CONVERTED:
        raise Refused(RowError("INVALID_STATUS", f"invalid convertedStatus: {status}", ("convertedStatus",)))
    account = given.get("accountId") or _made(call, "Account", {"Name": lead["Company"]} | _copied(lead, ACCOUNT))
    contact = given.get("contactId") or _made(call, "Contact", {"AccountId": account} | _copied(lead, CONTACT))
    opportunity = None
    if given.get("createOpportunity", True):
        name = given.get("opportunityName") or f"{lead['Company']}-"
        closes = (call.org.clock.now() + OPEN_FOR).date().isoformat()
        wanted = {"AccountId": account, "Name": name, "StageName": FIRST_STAGE, "CloseDate": closes}
        opportunity = _made(call, "Opportunity", wanted)
    call.org.store.patch(
        "Lead",
        key,
        {
            "IsConverted": True,
            "ConvertedDate": values.stamp(call.org.clock.now())[:10],
            "Status": status,
            "ConvertedAccountId": account,
            "ConvertedContactId": contact,
            "ConvertedOpportunityId": opportunity,
        },
    )
    return {"leadId": key, "accountId": account, "contactId": contact, "opportunityId": opportunity}


def _lead(call: Call, given: str) -> tuple[str, Record]:
    item, key = call.org.schema.objects["Lead"], ids.full(given)
    names = ["IsDeleted", "IsConverted", "Company", *dict.fromkeys([*ACCOUNT.values(), *CONTACT.values()])]
    found = call.org.store.rows_by_id(item, names, [key] if key else [])
    if key is None or key not in found or found[key][0]:
        raise Refused(RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ("leadId",)))
    if found[key][1]:
        raise Refused(RowError("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", ("leadId",)))
    return key, dict(zip(names, found[key], strict=True))


def _copied(lead: Record, names: dict[str, str]) -> Record:
    return {name: lead[source] for name, source in names.items() if lead[source] is not None}


def _made(call: Call, kind: str, record: Record) -> str:
    batch = json_batch(call.org.schema.objects[kind], [record], operation="insert", schema=call.org.schema)
    outcome = call.org.writer.write(batch)
    if outcome.errors:
        raise Refused(outcome.errors[0])
    return str(outcome.ids[0])


def routes(data: str) -> list[Route]:
    return [Route("POST", f"{data}/actions/standard/convertLead", convert)]
