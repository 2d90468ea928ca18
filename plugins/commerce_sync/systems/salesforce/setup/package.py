"""A folder for the Salesforce CLI with what the mappings need, and a permission set that gives exactly that."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from commerce_sync.systems.salesforce.setup import metadata
from commerce_sync.systems.salesforce.setup.metadata import Parts
from commerce_sync.systems.salesforce.setup.needs import Needs, ObjectNeeds
from commerce_sync.systems.salesforce.setup.org_file import OrgFile

PERMISSION_SET = "Commerce_Sync"
PARENTS = {
    "OrderItem": "Order",
    "OpportunityLineItem": "Opportunity",
    "OpportunityContactRole": "Opportunity",
    "CampaignMember": "Campaign",
    "PricebookEntry": "Pricebook2",
}
"""Objects whose records go by the rights on their parent."""
WITHOUT_RIGHTS = ("RecordType", "Task", "User")
NEEDS_PROCESS = ("Opportunity", "Case", "Lead")
"""Record types of these need a process of the org, which nobody but the org knows."""
STANDARD = {
    "Account": ("BillingAddress", "Phone"),
    "Campaign": ("Description", "EndDate", "IsActive", "StartDate", "Status", "Type"),
    "Case": ("AccountId", "ContactId", "Description", "Origin", "Priority", "Reason", "Subject"),
    "Contact": ("AccountId", "Email", "HasOptedOutOfEmail", "MailingAddress", "Phone"),
    "Contract": ("EndDate", "StartDate"),
    "Lead": ("Email", "LeadSource"),
    "Opportunity": ("AccountId", "Amount", "Description", "LeadSource", "NextStep"),
    "Order": ("OrderReferenceNumber",),
    "Product2": ("ProductCode",),
}
"""Standard fields that field-level security knows; the others everybody has who has the object."""
ADDRESSES = ("Street", "City", "State", "StateCode", "PostalCode", "Country", "CountryCode")


@dataclass(slots=True)
class Package:
    """What was written. by_hand: one sentence for everything the CLI cannot make."""

    files: list[Path] = field(default_factory=list)
    members: dict[str, list[str]] = field(default_factory=dict)
    by_hand: list[str] = field(default_factory=list)


def write(folder: Path, needs: Needs, org: OrgFile, *, everything: bool = False) -> Package:
    """Write ``force-app``, ``manifest/package.xml`` and ``sfdx-project.json`` below ``folder``.

    everything: the whole list of fields, not only what a mapping uses.
    """
    made = _Writing(folder / "force-app/main/default")
    objects = [name for name in org.objects if everything or name in needs]
    for name in objects:
        made.put(
            "CustomObject", name, f"objects/{name}/{name}.object-meta.xml", metadata.custom_object(org.objects[name])
        )
    for (name, field_name), spec in org.fields.items():
        if everything or _is_needed(needs, name, field_name):
            home = "Activity" if name == "Task" else name  # a task's custom fields are those of Activity
            path = f"objects/{home}/fields/{field_name}.field-meta.xml"
            made.put("CustomField", f"{home}.{field_name}", path, metadata.custom_field(spec))
    for (name, record_type), spec in org.record_types.items():
        if everything or record_type in needs.get(name, ObjectNeeds()).record_types:
            made.record_type(name, record_type, metadata.record_type(spec), str(spec["label"]))
    path = f"permissionsets/{PERMISSION_SET}.permissionset-meta.xml"
    made.put("PermissionSet", PERMISSION_SET, path, permission_set(needs))
    made.by_hand(needs, org)
    _frame(folder, made.package)
    return made.package


def _is_needed(needs: Needs, name: str, field_name: str) -> bool:
    return name in needs and field_name in needs[name].fields


@dataclass(slots=True)
class _Writing:
    source: Path
    package: Package = field(default_factory=Package)

    def put(self, kind: str, member: str, path: str, parts: Parts) -> None:
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(metadata.document(kind, parts))
        self.package.files.append(file)
        self.package.members.setdefault(kind, []).append(member)

    def record_type(self, name: str, record_type: str, parts: Parts, label: str) -> None:
        if name in NEEDS_PROCESS:
            self.package.by_hand.append(f"record type {record_type} ({label}) of {name}: it needs a process of the org")
            return
        path = f"objects/{name}/recordTypes/{record_type}.recordType-meta.xml"
        self.put("RecordType", f"{name}.{record_type}", path, parts)

    def by_hand(self, needs: Needs, org: OrgFile) -> None:
        for name, one in needs.items():
            for record_type in sorted(one.record_types):
                if (name, record_type) not in org.record_types:
                    self.package.by_hand.append(f"record type {record_type} of {name}: it is not in the list of fields")
            for field_name in sorted(one.fields):
                if field_name.endswith("__c") and (name, field_name) not in org.fields:
                    legs = ", ".join(sorted(one.legs))
                    self.package.by_hand.append(
                        f"field {name}.{field_name}: it is not in the list of fields; for {legs}"
                    )


def _frame(folder: Path, package: Package) -> None:
    path = folder / "manifest/package.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(metadata.document("Package", metadata.manifest(package.members)))
    project = {"packageDirectories": [{"path": "force-app", "default": True}], "sourceApiVersion": metadata.API_VERSION}
    (folder / "sfdx-project.json").write_text(json.dumps(project, indent=2) + "\n", encoding="utf-8")


def permission_set(needs: Needs) -> Parts:
    """The rights the mappings need: read what is read, edit what is written, see all records of these objects."""
    fields = [part for name, one in needs.items() if name not in ("User", "RecordType") for part in _fields(name, one)]
    users = [{"enabled": True, "name": name} for name in ("ApiEnabled", "EditTask")]
    return {
        "description": "What Commerce Sync reads and writes, by its mappings.",
        "fieldPermissions": sorted(fields, key=lambda item: str(item["field"])),
        "hasActivationRequired": False, "label": "Commerce Sync", "objectPermissions": _objects(needs),
        "userPermissions": users,
    }  # fmt: skip


def _fields(name: str, one: ObjectNeeds) -> list[Parts]:
    read, written = (
        {_whole(name, item) for item in one.fields},
        {_whole(name, item) for item in one.create | one.update},
    )
    secured = [item for item in sorted(read) if item.endswith("__c") or item in STANDARD.get(name, ())]
    return [{"editable": item in written, "field": f"{name}.{item}", "readable": True} for item in secured]


def _whole(name: str, field_name: str) -> str:
    """The compound field a part of an address belongs to: security knows only that."""
    for part in ADDRESSES:
        start = field_name.removesuffix(part)
        if start != field_name and f"{start}Address" in STANDARD.get(name, ()):
            return f"{start}Address"
    return field_name


def _objects(needs: Needs) -> list[Parts]:
    """Reading sees all records, because what is not seen counts as gone."""
    rights: dict[str, list[bool]] = {}
    for name, one in needs.items():
        if name in WITHOUT_RIGHTS:
            continue
        at = rights.setdefault(PARENTS.get(name, name), [False, False, False])
        writes, is_child = bool(one.create or one.update), name in PARENTS
        at[0] |= bool(one.create) and not is_child
        at[1] |= writes
        at[2] |= one.deletes and not is_child
    return [
        {"allowCreate": creates, "allowDelete": deletes, "allowEdit": edits or creates or deletes, "allowRead": True,
         "modifyAllRecords": False, "object": name, "viewAllRecords": True}
        for name, (creates, edits, deletes) in sorted(rights.items())
    ]  # fmt: skip
