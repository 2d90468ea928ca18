"""Describe answers, with every key of the recorded ones."""

from __future__ import annotations

from typing import Any

from simulators.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field, Schema, SObject

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
    "deepCloneable": False,
    "deprecatedAndHidden": False,
    "feedEnabled": True,
    "hasSubtypes": False,
    "isInterface": False,
    "isSubtype": False,
    "layoutable": True,
    "mruEnabled": True,
    "queryable": True,
    "replicateable": True,
    "retrieveable": True,
    "searchable": True,
    "triggerable": True,
}


def scalars(item: SObject, *, data_url: str) -> dict[str, Any]:
    """One entry of the global describe."""
    writable = item.name not in NO_CREATE
    base = f"{data_url}/sobjects/{item.name}"
    own: dict[str, Any] = {
        "createable": writable,
        "custom": item.name.endswith("__c"),
        "deletable": writable,
        "keyPrefix": item.prefix,
        "label": item.label,
        "labelPlural": item.plural,
        "mergeable": item.name in ("Account", "Contact", "Lead"),
        "name": item.name,
        "undeletable": writable,
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
        "recordTypeInfos": [_master_record_type(item, data_url=data_url)],
        "searchLayoutable": True,
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


def _master_record_type(item: SObject, *, data_url: str) -> dict[str, Any]:
    key = "012000000000000AAA"
    return {
        "active": True,
        "available": True,
        "defaultRecordTypeMapping": True,
        "developerName": "Master",
        "master": True,
        "name": "Master",
        "recordTypeId": key,
        "urls": {"layout": f"{data_url}/sobjects/{item.name}/describe/layouts/{key}"},
    }


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
    "extraTypeInfo": None,
    "filteredLookupInfo": None,
    "formulaTreatNullNumberAsZero": False,
    "highScaleNumber": False,
    "htmlFormatted": False,
    "inlineHelpText": None,
    "mask": None,
    "maskType": None,
    "queryByDistance": False,
    "referenceTargetField": None,
    "relationshipOrder": None,
    "restrictedDelete": False,
    "writeRequiresMasterRead": False,
}


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
        "defaultValue": bool(spec.default) if spec.type == "boolean" else None,
        "defaultedOnCreate": spec.defaulted or not (spec.createable or _nillable(spec)),
        "digits": 9 if spec.type == "int" else 0,
        "externalId": spec.external_id,
        "filterable": not (address or long_text),
        "groupable": not (spec.type in (*NUMBER_TYPES, "address", "datetime") or long_text),
        "idLookup": spec.id_lookup or spec.name == "Id",
        "label": spec.label,
        "length": spec.length,
        "name": spec.name,
        "nameField": spec.is_name,
        "namePointing": len(spec.targets) > 1,
        "nillable": _nillable(spec),
        "permissionable": spec.createable and not spec.required,
        "picklistValues": [_picklist(value, spec) for value in spec.values],
        "polymorphicForeignKey": len(spec.targets) > 1,
        "precision": spec.precision,
        "referenceTo": list(spec.targets),
        "relationshipName": spec.relationship,
        "restrictedPicklist": spec.restricted,
        "scale": spec.scale,
        "searchPrefilterable": spec.type == "reference",
        "soapType": SOAP_TYPES.get(spec.type, "xsd:string"),
        "sortable": not (address or (text and long_text)),
        "type": spec.type,
        "unique": spec.unique,
        "updateable": spec.updateable,
    }
    return dict(sorted((FIELD | own).items()))


def _nillable(spec: Field) -> bool:
    system = ("Id", "IsDeleted", "OwnerId", "CreatedById", "CreatedDate", "LastModifiedById", "LastModifiedDate")
    always = spec.name in (*system, "SystemModstamp") or spec.auto_number
    return not (spec.required or spec.type == "boolean" or always)


def _compound(spec: Field, item: SObject) -> str | None:
    if spec.name in ("FirstName", "LastName", "Salutation") and item.find("Name") is not None:
        return "Name"
    for whole in item.fields.values():
        start = whole.name.removesuffix("Address")
        parts = {
            f"{start}{part}" for part in ("Street", "City", "State", "PostalCode", "Country", "Latitude", "Longitude")
        }
        if whole.type == "address" and spec.name in parts:
            return whole.name
    return None


def _picklist(value: str, spec: Field) -> dict[str, Any]:
    return {"active": True, "defaultValue": value == spec.default, "label": value, "validFor": None, "value": value}
