"""The closed choices and bodies of the assets service. Source: fact sheet sections 3 to 8."""

from __future__ import annotations

from simulators.iconik.shapes import (
    Shape,
    address,
    anything,
    boolean,
    identifier,
    integer,
    list_of,
    mapping,
    moment,
    one_of,
    text,
)
from simulators.iconik.store import words

ARCHIVE = ("NOT_ARCHIVED", "ARCHIVING", "FAILED_TO_ARCHIVE", "ARCHIVED")
WORK = ("N/A", "REQUESTED", "IN_PROGRESS", "FAILED", "DONE")
TYPES = ("ASSET", "SEQUENCE", "NLE_PROJECT", "PLACEHOLDER", "CUSTOM", "LINK", "SUBCLIP")
APPROVAL = ("N/A", "REQUESTED", "APPROVED", "NOT_APPROVED", "MIXED")
SEGMENT_TYPES = (
    "MARKER",
    "QC",
    "GENERIC",
    "COMMENT",
    "TAG",
    "TRANSCRIPTION",
    "SEMANTIC_TRANSCRIPTION",
    "SCENE",
    "SHOT",
    "PERSON",
)
HISTORY = words(
    "EXPORT TRANSCODE ANALYZE ADD_FORMAT DELETE_FORMAT RESTORE_FORMAT DELETE_FILESET DELETE_FILE RESTORE_FILESET"
    " MODIFY_FILESET APPROVE REJECT DOWNLOAD METADATA CUSTOM TRANSCRIPTION VERSION_CREATE VERSION_DELETE"
    " VERSION_UPDATE VERSION_PROMOTE RESTORE RESTORE_FROM_GLACIER ARCHIVE RESTORE_ARCHIVE DELETE TRANSFER"
    " UNLINK_SUBCLIP FACE_RECOGNITION PUBLISH PUBLISH_SCHEDULED PUBLISH_SAVE_DRAFT"
)
CONTEXTS = words(
    "ASSET ASSET_SUBCLIP COLLECTION BULK SAVED_SEARCH PLAYLIST SHARED_ASSET SHARED_COLLECTION SHARED_PLAYLIST NONE"
)

ASSET = Shape(
    fields={
        "title": text,
        "type": one_of(*TYPES),
        "status": one_of("ACTIVE", "DELETED"),
        "archive_status": one_of(*ARCHIVE),
        "analyze_status": one_of(*WORK),
        "category": text,
        "external_id": text,
        "external_link": address,
        "is_online": boolean,
        "is_blocked": boolean,
        "warning": text,
        "site_name": text,
        "custom_keyframe": identifier,
        "custom_poster": identifier,
        "collection_id": identifier,
        "original_asset_id": identifier,
        "original_version_id": identifier,
        "original_segment_id": identifier,
        "time_start_milliseconds": integer,
        "time_end_milliseconds": integer,
        "limit_download_to_groups": list_of(identifier),
        "person_ids": list_of(identifier),
        "date_created": moment,
        "date_modified": moment,
        "date_deleted": moment,
        "last_archive_restore_date": moment,
        "has_unconfirmed_persons": boolean,
        "face_recognition_status": one_of(*WORK),
        "clip_id": integer,
    },
    required=("title",),
    read_only=words(
        "id versions in_collections favoured created_by_user updated_by_user deleted_by_user created_by_user_info"
        " updated_by_user_info deleted_by_user_info date_imported date_viewed"
    ),
)
VERSION = Shape(
    fields={
        "status": one_of("ACTIVE", "IN_PROGRESS", "FAILED", "DELETING", "DELETED"),
        "archive_status": one_of(*ARCHIVE),
        "analyze_status": one_of(*WORK),
        "transcribe_status": one_of(*WORK),
        "face_recognition_status": one_of(*WORK),
        "is_online": boolean,
        "has_unconfirmed_persons": boolean,
        "person_ids": list_of(identifier),
        "transcribed_languages": list_of(text),
        "date_created": moment,
    },
    read_only=("id", "version_number", "created_by_user", "created_by_user_info"),
)
NEW_VERSION = Shape(
    fields={
        "copy_metadata": boolean,
        "copy_segments": boolean,
        "copy_persons": boolean,
        "source_version_id": identifier,
        "include_segment_types": list_of(one_of(*SEGMENT_TYPES)),
        "system_domain_id": identifier,
        "source_metadata_asset_id": identifier,
        "copy_previous_version_segments": boolean,
        "copy_previous_version_persons": boolean,
    }
)
COLLECTION = Shape(
    fields={
        "title": text,
        "parent_id": identifier,
        "external_id": text,
        "category": text,
        "is_root": boolean,
        "status": one_of("ACTIVE", "HIDDEN", "DELETED"),
        "storage_id": identifier,
        "custom_keyframe": identifier,
        "custom_poster": identifier,
        "keyframe_asset_ids": list_of(identifier, most=3),
        "date_created": moment,
    },
    required=("title",),
    read_only=words(
        "id parents in_collections permissions object_type metadata project_id custom_order_status date_modified"
        " date_deleted date_viewed created_by_user deleted_by_user favoured keyframes position"
    ),
)
CONTENT = Shape(
    fields={"object_id": identifier, "object_type": one_of("assets", "collections"), "date_created": moment},
    required=("object_id", "object_type"),
    read_only=("collection_id",),
)
APPROVAL_REQUEST = Shape(
    fields={
        "status": one_of(*APPROVAL),
        "users": list_of(identifier),
        "groups": list_of(identifier),
        "externals": list_of(text),
        "min_number": integer,
        "share_id": identifier,
        "change_date": moment,
        "request_date": moment,
    },
    read_only=words("user_status users_info approvals_by requested_by object_id object_type version_id"),
)
DECISION = Shape(
    fields={"status": one_of(*APPROVAL), "user": identifier, "external": text},
    required=("status",),
    read_only=("change_date", "object_id", "object_type", "version_id"),
)
BULK_APPROVAL = Shape(
    fields={
        "object_type": one_of("assets", "collections", "saved_searches"),
        "object_ids": list_of(identifier),
        "status": one_of("APPROVED", "NOT_APPROVED"),
    },
    required=("object_type", "object_ids", "status"),
)
BULK_REMOVE = Shape(fields=BULK_APPROVAL.fields, required=("object_type", "object_ids"))
RELATION = Shape(
    fields={"related_to_asset_id": identifier, "relation_type": text, "description": text},
    required=("related_to_asset_id", "relation_type"),
    read_only=("id", "asset_id", "date_created", "date_modified"),
)
RELATION_TYPE = Shape(
    fields={
        "name": text,
        "source_label": text,
        "destination_label": text,
        "is_directional": boolean,
        "description": text,
    },
    required=("name", "source_label", "destination_label"),
    read_only=("is_system", "date_created", "date_modified"),
)
HISTORY_ENTRY = Shape(
    fields={
        "operation_type": one_of(*HISTORY),
        "operation_description": text,
        "version_id": identifier,
        "job_id": identifier,
        "share_id": identifier,
        "share_user_id": identifier,
    },
    required=("operation_type",),
    read_only=("id", "asset_id", "user_id", "system_domain_id", "date_created", "date_modified"),
)
SEGMENT = Shape(
    fields={
        "segment_type": one_of(*SEGMENT_TYPES),
        "segment_text": text,
        "segment_color": text,
        "segment_track": text,
        "segment_checked": boolean,
        "time_start_milliseconds": integer,
        "time_end_milliseconds": integer,
        "version_id": identifier,
        "parent_id": identifier,
        "external_id": text,
        "metadata_view_id": identifier,
        "metadata": mapping,
        "user_id": identifier,
        "status": one_of("ACTIVE", "AWAITED", "DELETED"),
        "is_internal": boolean,
        "keyframe_id": identifier,
        "person_id": identifier,
        "drawing": anything,
        "transcription": anything,
    },
    required=("segment_type",),
)
SEGMENT_EDIT = Shape(fields=SEGMENT.fields)
IDS = Shape(fields={"ids": list_of(identifier)}, required=("ids",))
BULK_DELETE = Shape(
    fields={
        "object_ids": list_of(identifier),
        "object_type": one_of("assets", "collections", "saved_searches"),
        "content_only": boolean,
    },
    required=("object_ids", "object_type"),
)
CUSTOM_ACTION = Shape(
    fields={
        "context": one_of(*CONTEXTS),
        "title": text,
        "url": address,
        "type": one_of("POST", "OPEN", "PUBLISH"),
        "headers": mapping,
        "app_id": identifier,
        "metadata_view": identifier,
        "color": text,
        "disabled": boolean,
        "publish_template_id": text,
        "transcoder_id": identifier,
        "read_access_for_everyone": boolean,
    },
    required=("title", "url"),
    read_only=words("id status last_error last_error_date system_domain_id date_created date_modified"),
)
CALLBACK = Shape(
    fields={
        **{f"{name}_ids": list_of(identifier) for name in ("asset", "collection", "playlist", "saved_search")},
        "from_collection_id": identifier,
        "metadata_view_id": identifier,
        "metadata_values": mapping,
    }
)
