"""Describe answers, with every key of the recorded ones."""

from __future__ import annotations

from typing import Any

from simulators.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field, RecordType, Schema, SObject

NO_FEED = {"OpportunityContactRole", "OpportunityLineItem", "CampaignMember", "OrderItem", "CaseComment", "RecordType"}
SOAP_TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "address": "urn:address",
} | dict.fromkeys(NUMBER_TYPES, "xsd:double")
NO_CREATE = {"Organization"}


def everything(schema: Schema, *, data_url: str) -> dict[str, Any]:
    """GET /sobjects."""
    found = [scalars(item, data_url=data_url) for _, item in sorted(schema.objects.items())]
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": found}


# what is the same for everything here; real describes carry it nevertheless
SCALARS: dict[str, Any] = {
    "activateable": False,
    "associateEntityType": None,
    "associateParentEntity": None,
    "customSetting": False,
    "deprecatedAndHidden": False,
    "hasSubtypes": False,
    "isInterface": False,
    "isSubtype": False,
    "layoutable": True,
    "queryable": True,
    "replicateable": True,
    "retrieveable": True,
    "triggerable": True,
}


def scalars(item: SObject, *, data_url: str) -> dict[str, Any]:
    """One entry of the global describe."""
    writable = item.name not in NO_CREATE
    base = f"{data_url}/sobjects/{item.name}"
    own: dict[str, Any] = {
        "createable": writable,
        "custom": item.name.endswith("__c"),
        "deepCloneable": item.name == "Opportunity",
        "deletable": writable,
        "feedEnabled": item.name not in NO_FEED,
        "keyPrefix": item.prefix,
        "label": item.label,
        "labelPlural": item.plural,
        "mergeable": item.name in ("Account", "Contact", "Lead"),
        "mruEnabled": item.name not in NO_FEED,
        "name": item.name,
        "searchable": item.name not in NO_FEED,
        "undeletable": writable and item.name not in NO_FEED,
        "updateable": writable,
        "urls": {
            "compactLayouts": f"{base}/describe/compactLayouts",
            "rowTemplate": f"{base}/{{ID}}",
            "approvalLayouts": f"{base}/describe/approvalLayouts",
            "listviews": f"{base}/listviews",
            "describe": f"{base}/describe",
            "quickActions": f"{base}/quickActions",
            "layouts": f"{base}/describe/layouts",
            "sobject": base,
        },
    }
    return dict(sorted((SCALARS | own).items()))


def one(item: SObject, *, data_url: str) -> dict[str, Any]:
    """GET /sobjects/{name}/describe."""
    more: dict[str, Any] = {
        "actionOverrides": [],
        "childRelationships": [_child(child, lookup) for child, lookup in item.children.values()],
        "compactLayoutable": True,
        "defaultImplementation": None,
        "extendedBy": None,
        "extendsInterfaces": None,
        "fields": [field(spec, item=item) for spec in item.fields.values()],
        "implementedBy": None,
        "implementsInterfaces": None,
        "listviewable": None,
        "lookupLayoutable": None,
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": _record_types(item, data_url=data_url),
        "searchLayoutable": item.name not in NO_FEED,
        "sobjectDescribeOption": "FULL",
        "supportedScopes": [{"label": f"All {item.plural}", "name": "everything"}],
    }
    return scalars(item, data_url=data_url) | more


def _child(child: str, lookup: Field) -> dict[str, Any]:
    return {
        "cascadeDelete": False,
        "childSObject": child,
        "deprecatedAndHidden": False,
        "field": lookup.name,
        "junctionIdListNames": [],
        "junctionReferenceTo": [],
        "relationshipName": lookup.children,
        "restrictedDelete": False,
    }


def _record_types(item: SObject, *, data_url: str) -> list[dict[str, Any]]:
    own = [kind.is_default for kind in item.record_types]
    master = RecordType("012000000000000AAA", "Master", "Master", is_default=not any(own))
    return [
        {
            "active": True,
            "available": True,
            "defaultRecordTypeMapping": kind.is_default,
            "developerName": kind.name,
            "master": kind is master,
            "name": kind.label,
            "recordTypeId": kind.id,
            "urls": {"layout": f"{data_url}/sobjects/{item.name}/describe/layouts/{kind.id}"},
        }
        for kind in [*item.record_types, master]
    ]


# what is the same for everything here; real describes carry it nevertheless
FIELD: dict[str, Any] = {
    "aiPredictionField": False,
    "calculated": False,
    "calculatedFormula": None,
    "cascadeDelete": False,
    "controllerName": None,
    "defaultValueFormula": None,
    "dependentPicklist": False,
    "deprecatedAndHidden": False,
    "displayLocationInDecimal": False,
    "encrypted": False,
    "filteredLookupInfo": None,
    "formulaTreatNullNumberAsZero": False,
    "highScaleNumber": False,
    "htmlFormatted": False,
    "inlineHelpText": None,
    "mask": None,
    "maskType": None,
    "referenceTargetField": None,
    "relationshipOrder": None,
    "restrictedDelete": False,
    "writeRequiresMasterRead": False,
}


def is_groupable(spec: Field) -> bool:
    """Whether ``GROUP BY`` takes a field: neither numbers that are no ``int``, nor moments, nor long texts."""
    long_text = spec.type == "textarea" and spec.length > 255
    return not (spec.type in (*NUMBER_TYPES, "address", "datetime") or long_text)


def field(spec: Field, *, item: SObject) -> dict[str, Any]:
    """One field with all 57 keys; real describes carry them even where they say nothing."""
    text, address = spec.type in TEXT_TYPES, spec.type == "address"
    is_id = spec.type in ("id", "reference")
    long_text = spec.type == "textarea" and spec.length > 255
    own: dict[str, Any] = {
        "aggregatable": not (address or spec.type == "boolean" or long_text),
        "autoNumber": spec.auto_number,
        "byteLength": 18 if is_id else spec.length * 3,
        "caseSensitive": spec.case_sensitive,
        "compoundFieldName": _compound(spec, item),
        "createable": spec.createable,
        "custom": spec.custom,
        "defaultValue": bool(spec.default) if spec.type == "boolean" else spec.default if spec.values else None,
        "defaultedOnCreate": spec.defaulted or not (spec.createable or _nillable(spec) or _is_person_name(spec)),
        "digits": 9 if spec.type == "int" else 0,
        "externalId": spec.external_id,
        "extraTypeInfo": _extra_type(spec, item),
        "filterable": not long_text,
        "groupable": is_groupable(spec),
        "idLookup": spec.id_lookup or spec.name == "Id",
        "label": spec.label,
        "length": spec.length,
        "name": spec.name,
        "nameField": spec.is_name,
        "nillable": _nillable(spec),
        "permissionable": _permissionable(spec, item),
        "picklistValues": [_picklist(value, spec) for value in spec.values],
        "precision": spec.precision,
        "queryByDistance": address,
        "restrictedPicklist": spec.restricted,
        "scale": spec.scale,
        "soapType": SOAP_TYPES.get(spec.type, "xsd:string"),
        "sortable": not (address or (text and long_text)),
        "type": spec.type,
        "unique": spec.unique,
        "updateable": spec.updateable,
    }
    return dict(sorted((FIELD | own | _lookup(spec)).items()))


def _lookup(spec: Field) -> dict[str, Any]:
    return {
        "namePointing": len(spec.targets) > 1,
        "polymorphicForeignKey": len(spec.targets) > 1,
        "referenceTo": list(spec.targets),
        "relationshipName": spec.relationship,
        "searchPrefilterable": bool(spec.targets) and spec.updateable and not spec.required and not _to_setup(spec),
    }


PARTS = ("Street", "City", "State", "PostalCode", "Country", "Latitude", "Longitude", "GeocodeAccuracy")
PERSON_NAMES = ("Name", "FirstName", "LastName", "Salutation")


def _nillable(spec: Field) -> bool:
    system = ("Id", "IsDeleted", "OwnerId", "CreatedById", "CreatedDate", "LastModifiedById", "LastModifiedDate")
    always = spec.name in (*system, "SystemModstamp") or spec.auto_number
    return not (spec.required or spec.type == "boolean" or always or _is_person_name(spec) or spec.default_status)


def _is_person_name(spec: Field) -> bool:
    return spec.is_name and spec.formula is not None


def _to_setup(spec: Field) -> bool:
    """A lookup to people or record types, which field level security leaves alone."""
    return spec.targets in (("User",), ("RecordType",))


def _extra_type(spec: Field, item: SObject) -> str | None:
    if spec.name in PERSON_NAMES and any(_is_person_name(one) for one in item.fields.values()):
        return "personname"
    return "plaintextarea" if spec.type == "textarea" else None


def _permissionable(spec: Field, item: SObject) -> bool:
    """Whether field level security applies: not to names, owners, statuses and what is fixed by nature."""
    if spec.type == "address":
        return True
    person = spec.name in PERSON_NAMES and _extra_type(spec, item) is not None
    open_field = spec.createable and spec.updateable and not spec.required
    return open_field and not (person or _to_setup(spec) or spec.default_status)


def _compound(spec: Field, item: SObject) -> str | None:
    if spec.name in ("FirstName", "LastName", "Salutation") and item.find("Name") is not None:
        return "Name"
    for whole in item.fields.values():
        start = whole.name.removesuffix("Address")
        parts = {f"{start}{part}" for part in PARTS}
        if whole.type == "address" and spec.name in parts:
            return whole.name
    return None


def _picklist(value: str, spec: Field) -> dict[str, Any]:
    return {"active": True, "defaultValue": value == spec.default, "label": value, "validFor": None, "value": value}
