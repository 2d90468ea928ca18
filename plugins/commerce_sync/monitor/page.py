"""Makes pages: templates with what every page shows, numbers and times as people read them, addresses with filters.

Nothing comes from elsewhere: one style sheet, one script and one icon, served from here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import jinja2
from fastapi import HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from commerce_sync.gate_page import TEMPLATES
from commerce_sync.monitor import catalogue, references
from commerce_sync.monitor.access import COOKIE, Visit
from commerce_sync.monitor.masking import masked_target

Answer = TypeVar("Answer", bound=Response)
FOLDER = TEMPLATES / "monitor"
STATIC = {"monitor.css": "text/css", "monitor.js": "text/javascript", "icon.svg": "image/svg+xml",
          "icon-dark.svg": "image/svg+xml"}  # fmt: skip
TABS = (
    ("streams", "", "Streams"),
    ("runs", "runs", "Runs"),
    ("plans", "plans", "Plans"),
    ("messages", "messages", "Messages"),
    ("errors", "errors", "Errors"),
    ("conflicts", "conflicts", "Conflicts"),
    ("holds", "holds", "Holds"),
    ("gates", "gates", "Gates"),
    ("receipts", "receipts", "Receipts"),
    ("limits", "limits", "Limits"),
    ("explain", "explain", "Explain"),
)
"""Page, its address, its name in the navigation."""
STRICT = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'self'; base-uri 'none'"
)
GATE_PAGE = STRICT.replace("style-src 'self'", "style-src 'unsafe-inline'").replace("script-src 'self'", "")
"""A gate's page carries its own style sheet and has no script."""


def show(visit: Visit, template: str, *, tab: str, title: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. tab: which part of the navigation it belongs to."""
    text = _environment().get_template(f"{template}.html.j2").render(
        visit=visit, tab=tab, tabs=TABS, title=title, root=visit.root, now=datetime.now(UTC), version=_version(),
        base=visit.root.rpartition("/")[0],
        done=DONE.get(visit.asked("done"), ""), done_rows=_number(visit.asked("rows")), **values,
    )  # fmt: skip
    answer = HTMLResponse(text, status_code=status)
    if visit.fresh:
        secure = visit.request.url.scheme == "https"
        answer.set_cookie(
            COOKIE, visit.session, path=visit.root or "/", httponly=True, samesite="strict", secure=secure
        )
    return guarded(answer)


DONE = {
    "retried": "offered again by the next run",
    "dismissed": "dismissed",
    "edited": "saved, and offered again by the next run",
    "resolved": "marked as resolved",
    "ignored": "dismissed; met again, they are only counted",
    "approved": "approved; the next run sends them",
    "refused": "refused; nothing of them is sent",
    "forgotten": "erased or masked; the record is forgotten, and does not come back",
    "forgotten_later": "erased or masked; runs are at work, what they hold of it goes when they have ended",
    "applying": "Applying the plan was asked for; it stands among the runs of the leg in a moment",
    "undoing": "The undo was asked for; it stands among the runs of the leg in a moment",
}
"""What the page says after a change. A closed list: a link cannot make it say anything else."""


def back(visit: Visit, path: str, *, done: str, rows: int | None = None, **query: str) -> RedirectResponse:
    """After a change: to the page it was made on, which then says what was done."""
    kept = {name: references.linked(value, None) if name == "key" else value for name, value in query.items() if value}
    kept |= {"done": done}
    kept |= {} if rows is None else {"rows": str(rows)}
    return guarded(RedirectResponse(f"{visit.root}/{path}?{urlencode(kept)}", 303))


def guarded(answer: Answer, *, policy: str = STRICT) -> Answer:
    """The answer with the headers every answer has: what the browser may load, and that nothing is kept."""
    answer.headers["Content-Security-Policy"] = policy
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


def static(name: str) -> Response:
    """One of the files that pages consist of; their addresses carry a version, so that they may be kept."""
    if name not in STATIC:
        raise HTTPException(404, f"There is no file {name}.")
    answer = Response((FOLDER / name).read_bytes(), media_type=STATIC[name])
    answer.headers["Cache-Control"] = "private, max-age=86400"
    return guarded(answer)


@lru_cache(maxsize=1)
def _version() -> str:
    return hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in STATIC)).hexdigest()[:10]


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(FOLDER)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "count": count, "utc": utc, "ago": ago, "span": span, "part": part, "system": catalogue.system,
        "urlpart": partial(quote, safe=""), "json": partial(json.dumps, ensure_ascii=False, default=str),
    }  # fmt: skip
    environment.globals |= {"address": address, "linked": references.linked, "target": masked_target}
    return environment


def address(root: str, path: str, **query: Any) -> str:
    """A link below the pages; empty values are left out of the query."""
    kept = {name: _addressed(name, str(value)) for name, value in query.items() if value not in (None, "")}
    return f"{root}/{path}" + (f"?{urlencode(kept)}" if kept else "")


def _addressed(name: str, value: str) -> str:
    """An e-mail address is no part of an address; what ``linked`` made of a key stays as it is."""
    is_key = name == "key" and not value.startswith(references.SIGN)
    return references.linked(value, None) if is_key else value


def part(text: str) -> str:
    """A text as one part of a path. ``/`` is written ``~``: servers do not agree on what %2F means."""
    return quote(text.replace("/", "~"), safe="~")


def quoted(text: str) -> str:
    """A run's name as one part of a path."""
    return quote(text, safe="")


def leg_of(text: str) -> str:
    """The leg that ``part`` wrote; only legs of feeds (``feed/<name>``) have a slash."""
    return text.replace("~", "/")


def count(number: int) -> str:
    """1234567 as 1,234,567."""
    return f"{number:,}"


def utc(at: datetime) -> str:
    """A moment to the minute, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def ago(at: datetime, now: datetime) -> str:
    """How long ago or ahead a moment is: ``3 min ago``, ``in 2 h``."""
    text = span(abs(now - at))
    if text == "0 s":
        return "now"
    return f"{text} ago" if at <= now else f"in {text}"


def span(length: timedelta | float) -> str:
    """A length of time in its largest unit; seconds below a minute."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= (2 if unit == "d" else 1) * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.1f} s" if 0 < seconds < 10 and not float(seconds).is_integer() else f"{int(seconds)} s"


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None


def one_of(value: str, legal: Iterable[str]) -> str:
    """The value when it is legal, else nothing: an address typed by hand shows everything rather than an error."""
    return value if value in legal else ""


def moment(text: str) -> datetime | None:
    """A moment from an address: ISO 8601, UTC when it names no zone; None when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
