"""What a target of style ``media_store`` may say: Media whose bytes come from another system.

    to:
      system: sap_commerce
      object: Medias
      external_id: code
      on_delete: delete
      on_leave: delete
      options:
        style: media_store
        service: AssetMediaSync
        binaries: {system: iconik, connection: iconik_default}   # resolved by flow.target_system
        unlink: [{service: ProductSync, entity_set: Products, references: [picture], collections: [data_sheet]}]
    fields:
      code, catalogVersion.version, catalogVersion.catalog.id, mime, realfilename: ...
      binary.owner, binary.part, binary.id, binary.size, binary.checksum: ...   # where the bytes are; not sent
      altText, mediaContainer.qualifier, ...: as of any SAP target

Where media carry an address instead of bytes (a lasting public proxy link), no style is needed: map ``internalURL``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.sap_commerce.media_links import Place

STYLE = "media_store"
BINARY = "binary."
NEEDED = (
    "code", "catalogVersion.version", "catalogVersion.catalog.id", "mime", "realfilename",
    *(BINARY + name for name in ("owner", "part", "id", "size", "checksum")),
)  # fmt: skip
HOT_FOLDER = "sap_commerce_hot_folder"


class Fetched(Protocol):
    """A file that was fetched and proved."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def md5(self) -> str: ...

    @property
    def sha256(self) -> str: ...


class Binaries(Protocol):
    """The system the bytes come from."""

    def download(
        self, owner: str, key: str, to: Path, /, *, kind: Any, expected_checksum: str | None, size: int | None
    ) -> Fetched:
        """Stream to ``to``, resumed where an earlier attempt stood. Raises RejectedError, RetryableError."""


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """``options`` of such a target; all others are those of any SAP target.

    binaries: ``{system, connection}`` of the bytes.   hot_folder: connection of the container (host: its address,
    password: shared access signature).   intake: the folder in it.   patience_s: how long the shop may take for one
    import.   poll_s: between two looks.   zip_rows, zip_bytes: media in one zip; a larger one goes alone.   proof:
    ``download`` reads the bytes back from the shop and compares their SHA-256, ``size`` compares size and type.
    unlink: where links to a deleted Media are removed first.
    """

    style: str
    binaries: Mapping[str, str]
    hot_folder: str = HOT_FOLDER
    intake: str = "master/hotfolder"
    patience_s: float = 900.0
    poll_s: float = 5.0
    zip_rows: int = 25
    zip_bytes: int = 200_000_000
    proof: Literal["download", "size"] = "download"
    unlink: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    @classmethod
    def of(cls, target: Target) -> MediaOptions:
        """Raises ConfigurationError for a value that is not legal."""
        own = {item.name: target.options[item.name] for item in fields(cls) if item.name in target.options}
        if set(own.get("binaries") or ()) != {"system", "connection"}:
            raise ConfigurationError(f"target {target.object!r}: option binaries needs system and connection")
        if "creates" in target.options:
            raise ConfigurationError(f"target {target.object!r}: option creates is not for style {STYLE}; leave it out")
        found = cls(**own)
        if found.proof not in get_args(Literal["download", "size"]):
            raise ConfigurationError(f"target option proof is {found.proof!r}; legal: download, size")
        if not isinstance(found.zip_rows, int) or not 1 <= found.zip_rows <= 1000:
            raise ConfigurationError(f"target option zip_rows is {found.zip_rows!r}; legal: 1 to 1000")
        for given in found.unlink:
            Place.of(given)
        return found

    @property
    def places(self) -> list[Place]:
        """Where links may stand."""
        return [Place.of(given) for given in self.unlink]


def is_media_store(target: Target) -> bool:
    """Whether a target is written the way of this style."""
    return target.options.get("style") == STYLE


def plain(target: Target) -> Target:
    """The same target as any SAP target: its options without those of this style."""
    own = {item.name for item in fields(MediaOptions)}
    return replace(target, options={name: value for name, value in target.options.items() if name not in own})


def plain_fields(mapped: Sequence[Field]) -> tuple[Field, ...]:
    """The fields that are sent to the Integration API."""
    return tuple(item for item in mapped if not item.name.startswith(BINARY))


def check_fields(mapped: Sequence[Field]) -> None:
    """Raises ConfigurationError when a field that every Media needs is not mapped."""
    if missing := [name for name in NEEDED if name not in {item.name for item in mapped}]:
        raise ConfigurationError(f"a target of style {STYLE} lacks the fields {missing}; needed: {', '.join(NEEDED)}")
