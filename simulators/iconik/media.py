"""The bytes behind a file, proxy or keyframe: uploaded ones, or made from a recipe.

A recipe is ``{"make": "png"|"jpeg"|"mov"|"mp4"|"wav"|"pdf", "width", "height", "seconds", "seed", "mark"}``. ``mark``
goes behind the end of the content, where every reader stops, so that two files differ without being made twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from simulators.iconik.movie import film
from simulators.iconik.pictures import jpeg, pdf, png, wav
from simulators.iconik.store import Row, Store

_MAKERS: dict[str, Callable[[Row], bytes]] = {
    "png": lambda r: png(r["width"], r["height"], r["seed"]),
    "jpeg": lambda r: jpeg(r["width"], r["height"], r["seed"]),
    "mov": lambda r: film(r["width"], r["height"], r["seconds"], r["seed"], quicktime=True),
    "mp4": lambda r: film(r["width"], r["height"], r["seconds"], r["seed"], quicktime=False),
    "wav": lambda r: wav(r["seconds"], r["seed"]),
    "pdf": lambda r: pdf(r["seed"]),
}
LARGEST_SIDE, LONGEST_S = 4000, 60.0


def made(recipe: Row) -> bytes:
    """The bytes of a recipe. Raises ValueError when it cannot be made."""
    if recipe.get("make") not in _MAKERS:
        raise ValueError(f"recipe makes {recipe.get('make')!r}; legal: {', '.join(_MAKERS)}")
    full = {"width": 640, "height": 480, "seconds": 2.0, "seed": "", **recipe}
    for side in ("width", "height"):
        if not isinstance(full[side], int) or not 1 <= full[side] <= LARGEST_SIDE:
            raise ValueError(f"recipe has {side} {full[side]!r}; legal: 1 to {LARGEST_SIDE}")
    if not 0 < float(full["seconds"]) <= LONGEST_S:
        raise ValueError(f"recipe has seconds {full['seconds']!r}; legal: above 0, at most {LONGEST_S}")
    return _MAKERS[full["make"]](full) + str(recipe.get("mark", "")).encode()


def content(store: Store, row: Row) -> bytes | None:
    """What a download of this record gives; None when nothing was ever uploaded."""
    if (kept := store.blob(row["id"])) is not None:
        return kept
    return made(row["_recipe"]) if row.get("_recipe") else None


def checksum(data: bytes) -> str:
    """MD5 in hexadecimal, the form of every recorded checksum."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
