"""The first page: every leg with how fresh it is, how it last ended, what waits for people; and rows over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi.responses import HTMLResponse

from commerce_sync.ledger import LegState, Run
from commerce_sync.monitor import book, catalogue, page
from commerce_sync.monitor.access import Reader
from commerce_sync.monitor.catalogue import Catalogue, Flow, Moves
from commerce_sync.monitor.chart import Chart, draw

SPANS = {
    "24h": (timedelta(minutes=30), 48, "24 hours"),
    "7d": (timedelta(hours=3), 56, "7 days"),
    "30d": (timedelta(hours=12), 60, "30 days"),
}
"""Choice -> step, number of steps, in words."""
GRACE = timedelta(minutes=10)
"""A run that begins late or takes long is not news yet."""
ATTENTION = ("red", "stopped", "late")
SHOWN = ("all", "attention", "errors")


@dataclass(frozen=True, slots=True)
class Stream:
    """One leg on the page. state: red, stopped, late, running, paused, never or green.

    lag: how far behind the present its source has been read, None when the leg reads completely or never did.
    """

    leg: str
    moves: Moves | None
    flow: Flow | None
    run: Run | None
    green: datetime | None
    lag: timedelta | None
    state: str
    errors: int


def streams(visit: Reader) -> HTMLResponse:
    """The overview."""
    over = page.one_of(visit.asked("over"), SPANS) or "24h"
    shown = page.one_of(visit.asked("show"), SHOWN) or "all"
    wanted = visit.asked("q").casefold()
    every = _every(catalogue.read())
    found = [item for item in every if _is_shown(item, shown) and wanted in _words(item)]
    delivered, refused = _charts(over)
    return page.show(
        visit, "streams", tab="streams", title="Streams", streams=found, total=len(every), over=over, spans=SPANS,
        shown=shown, q=visit.asked("q"), charts=(delivered, refused), counts=_counts(every),
        problem=catalogue.read().problem, waiting=book.browser().open_counts(),
    )  # fmt: skip


def _every(known: Catalogue) -> list[Stream]:
    browser = book.browser()
    states = {state.leg: state for state in book.ledger().states()}
    errors: dict[str, int] = {}
    for group in browser.groups():
        errors[group.leg] = errors.get(group.leg, 0) + group.rows
    legs = known.order([*states, *errors])
    latest, now = browser.latest(legs), datetime.now(UTC)
    found = []
    for leg in legs:
        last, flow = latest.get(leg), known.flow_of(leg)
        run, green = (last.run, last.green) if last else (None, None)
        state = state_of(run, green, flow=flow, now=now)
        lag = _lag(states.get(leg), now)
        found.append(Stream(leg, known.moves.get(leg), flow, run, green, lag, state, errors.get(leg, 0)))
    return found


def _lag(state: LegState | None, now: datetime) -> timedelta | None:
    return max(now - state.high_water, timedelta(0)) if state and state.high_water else None


def state_of(run: Run | None, green: datetime | None, *, flow: Flow | None, now: datetime) -> str:
    """What a leg is in, the worst first. Late: no run ended well for two of the flow's intervals and a grace."""
    if run is None:
        return "paused" if flow and flow.paused else "never"
    if run.status in ("red", "stopped"):
        return run.status
    if flow and flow.paused:
        return "paused"
    if flow and flow.interval and (green or run.started) < now - 2 * flow.interval - GRACE:
        return "late"
    return run.status


def _is_shown(stream: Stream, shown: str) -> bool:
    if shown == "attention":
        return stream.state in ATTENTION
    return shown == "all" or stream.errors > 0


def _words(stream: Stream) -> str:
    flow = f"{stream.flow.dag_id} {stream.flow.title}" if stream.flow else ""
    return f"{stream.leg} {flow} {stream.moves.arrow if stream.moves else ''} {stream.state}".casefold()


def _counts(streams: list[Stream]) -> Mapping[str, int]:
    states = [stream.state for stream in streams]
    return {state: states.count(state) for state in ("green", "running", "red", "stopped", "late", "paused", "never")}


def _charts(over: str) -> tuple[Chart, Chart]:
    return charts(over, leg="")


def charts(over: str, *, leg: str) -> tuple[Chart, Chart]:
    """Rows that arrived, and rows that did not, over one of ``SPANS``; of one leg or of all."""
    step, steps, _words = SPANS[over]
    last = int(datetime.now(UTC).timestamp() // step.total_seconds() + 1) * step.total_seconds()
    until = datetime.fromtimestamp(last, UTC)
    since = until - step * steps
    slices = book.browser().rows_over_time(since=since, until=until, step_s=int(step.total_seconds()), leg=leg)
    good = {item.at: {"delivered": item.delivered} for item in slices}
    bad = {
        item.at: {"rejected": item.rejected, "quarantined": item.quarantined, "unprocessed": item.unprocessed}
        for item in slices
    }
    return (
        draw("Rows delivered", series=("delivered",), numbers=good, since=since, step=step, steps=steps),
        draw(
            "Rows that did not arrive", series=("rejected", "quarantined", "unprocessed"), numbers=bad, since=since,
            step=step, steps=steps,
        ),
    )  # fmt: skip
