"""The closed choices and bodies of the files, jobs and notifications services. Source: fact sheet 11 to 13."""

from __future__ import annotations

from simulators.iconik.job_engine import STATUSES
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

FILE_STATUS = words("OPEN AWAITED GROWING CLOSED MISSING FAILED DELETED ARCHIVED REDISCOVERED")
FILE_TYPES = ("FILE", "DIRECTORY", "SEQUENCE", "SYMLINK")
COMPONENT_TYPES = words("VIDEO AUDIO IMAGE TEXT GENERAL EXIF IPTC XMP MANIFEST NON_MEDIA OTHER")
METHODS = words("AZURE B2 CUSTOM FILE FTP GCS HTTP PORTAL S3 SFTP")
ARCHIVE = ("NOT_ARCHIVED", "ARCHIVING", "FAILED_TO_ARCHIVE", "ARCHIVED")
_UPLOADED = {
    "storage_id": identifier,
    "storage_method": text,
    "version_id": identifier,
    "status": one_of(*FILE_STATUS),
    "size": integer,
    "name": text,
    "content_type": text,
}
_GIVEN_BACK = words(
    "id asset_id date_created date_modified upload_url upload_headers upload_method upload_credentials"
    " upload_filename multipart_upload_url url is_public system_domain_id"
)
COMPONENT = Shape(
    fields={"name": text, "type": one_of(*COMPONENT_TYPES), "metadata": mapping},
    required=("name", "type"),
    read_only=("id",),
)
FORMAT = Shape(
    fields={
        "name": text,
        "status": one_of("ACTIVE", "DELETED"),
        "archive_status": one_of(*ARCHIVE),
        "is_online": boolean,
        "version_id": identifier,
        "storage_methods": list_of(text),
        "metadata": list_of(mapping),
        "components": list_of(mapping),
        "warnings": list_of(text),
        "external_references": list_of(mapping),
        "user_id": identifier,
    },
    required=("name",),
    read_only=("id", "asset_id", "date_created", "date_modified", "date_deleted", "deleted_by_user"),
)
FILE_SET = Shape(
    fields={
        "name": text,
        "base_dir": text,
        "component_ids": list_of(identifier),
        "format_id": identifier,
        "storage_id": identifier,
        "version_id": identifier,
        "status": one_of("ACTIVE", "ARCHIVED", "DELETED"),
        "is_archive": boolean,
        "original_storage_id": identifier,
        "archive_file_set_id": identifier,
        "type": one_of("REGULAR", "MANY_FILES"),
    },
    required=("name", "base_dir", "component_ids", "format_id"),
    read_only=("id", "asset_id", "file_count", "date_created", "date_modified", "date_deleted", "deleted_by_user"),
)
FILE = Shape(
    fields={
        **_UPLOADED,
        "original_name": text,
        "directory_path": text,
        "type": one_of(*FILE_TYPES),
        "checksum": text,
        "file_set_id": identifier,
        "format_id": identifier,
        "parent_id": identifier,
        "file_date_created": moment,
        "file_date_modified": moment,
        "user_id": identifier,
    },
    required=("original_name", "directory_path", "type"),
    read_only=_GIVEN_BACK,
)
_RESOLUTION = {"resolution": mapping, "rotation": integer, "filename": text, "format": text}
PROXY = Shape(
    fields={
        **_UPLOADED,
        **_RESOLUTION,
        "codec": text,
        "frame_rate": text,
        "bit_rate": integer,
        "audio_bitrate": integer,
        "audio_channels": integer,
        "start_time_code": text,
        "is_drop_frame": boolean,
        "is_multichannel": boolean,
        "proxy_container_id": identifier,
    },
    read_only=_GIVEN_BACK,
)
KEYFRAME = Shape(
    fields={
        **_UPLOADED,
        **_RESOLUTION,
        "type": one_of("POSTER", "KEYFRAME", "KEYFRAME_MAP"),
        "time_code": mapping,
        "is_custom_keyframe": boolean,
        "collection_id": identifier,
    },
    required=("type",),
    read_only=_GIVEN_BACK,
)
SUBTITLE = Shape(
    fields={
        "language": text,
        "closed_captions": boolean,
        "content": text,
        "name": text,
        "format_id": identifier,
        "version_id": identifier,
    },
    required=("language",),
    read_only=("id", "asset_id"),
)
STORAGE = Shape(
    fields={
        "name": text,
        "method": one_of(*METHODS),
        "purpose": one_of("ARCHIVE", "EXPORTS", "FACES", "FILES", "KEYFRAMES", "PROXIES"),
        "settings": mapping,
        "default": boolean,
        "description": text,
        "status": one_of("ACTIVE", "FAILING", "INACTIVE"),
        "version": text,
    },
    required=("name", "method", "purpose", "settings"),
    read_only=("id", "last_scanned", "scanner_status", "status_message"),
)
EXPORT_LOCATION = Shape(
    fields={
        "name": text,
        "path": text,
        "storage_id": identifier,
        "description": text,
        "metadata_format": one_of("JSON", "CSV", "XML"),
        "metadata_view": identifier,
        "transcode_profile_ids": list_of(identifier),
        **dict.fromkeys(("export_metadata", "export_original", "export_posters", "export_proxy"), boolean),
    },
    required=("name", "path", "storage_id"),
    read_only=("id", "system_domain_id"),
)
EXPORT = Shape(
    fields={
        "format_id": identifier,
        "export_metadata": boolean,
        "metadata_view": identifier,
        "metadata_format": one_of("JSON", "CSV", "XML"),
        "overwrite": boolean,
        "file_name": text,
        "export_to_asset_folder": boolean,
        "preferred_original_storage_id": identifier,
        "transcode_profile_ids": list_of(identifier),
    }
)
JOB = Shape(
    fields={
        "title": text,
        "type": text,
        "status": one_of(*STATUSES),
        "object_type": text,
        "object_id": identifier,
        "parent_id": identifier,
        "custom_type": text,
        "message": text,
        "error_message": text,
        "priority": integer,
        "progress": integer,
        "progress_processed": integer,
        "progress_total": integer,
        "has_children": boolean,
        "metadata": mapping,
        "job_context": mapping,
        "action_context": anything,
        "related_objects": list_of(mapping),
        "steps": list_of(mapping),
        "started_at": moment,
        "completed_at": moment,
    },
    required=("title", "type", "status"),
    read_only=("id", "created_by", "date_created", "date_modified", "children_progress"),
)
JOB_STATE = Shape(
    fields={"job_ids": list_of(identifier), "action": one_of("ABORT", "PAUSE", "RESUME", "RESTART")},
    required=("job_ids", "action"),
)
STEP = Shape(
    fields={
        "id": identifier,
        "label": text,
        "status": one_of("WAITING", "IN_PROGRESS", "DONE", "FAILED", "SKIPPED"),
        "message": text,
        "error_message": text,
    },
    read_only=("date_updated",),
)
WEBHOOK = Shape(
    fields={
        "event_type": text,
        "status": one_of("ENABLED", "DISABLED", "FAILING", "DELETED"),
        "url": address,
        "headers": mapping,
        "name": text,
        "description": text,
        "object_id": identifier,
        "operation": text,
        "query": text,
        "realm": text,
    },
    required=("event_type", "status", "url"),
    read_only=words("id date_created date_modified deleted_at first_failed_at last_error last_payload"),
)
