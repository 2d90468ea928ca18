"""The stores as ``explain`` asks them for a page: what it asks run by run is read at once, and no more than is shown.

``explain`` looks up the run and the jobs of every message on its own. A record that changes in every run has hundreds
of messages, and every look is a transaction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from commerce_sync.history import History, Message
from commerce_sync.ledger import Hold, Job, Ledger, LegState, Run, RunJobs
from commerce_sync.ledger.browsing import Browser
from commerce_sync.leg import Site

MOST_MESSAGES = 150
"""The newest of the record, whatever it is called."""


class Heard:
    """A history that remembers what it gave, and gives no more than a page shows.

    runs: (leg, run) of all messages.   last: (leg, key) -> the newest message.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self.runs: set[tuple[str, str]] = set()
        self.last: dict[tuple[str, str], Message] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._history, name)

    def search(self, *, limit: int = MOST_MESSAGES, **query: Any) -> list[Message]:
        """The newest messages."""
        found = self._history.search(limit=min(limit, MOST_MESSAGES), **query)
        self.runs |= {(item.leg, item.run) for item in found}
        self.last |= {(item.leg, item.key): item for item in sorted(found, key=lambda item: item.at)}
        return found

    def payload(self, leg: str, run: str, key: str) -> None:
        """Nothing: the page of the last message shows the values; reading those of every leg takes longer than all."""


class NotedJobs(RunJobs):
    """Jobs that were read already."""

    def __init__(self, known: list[Job], *, leg: str, run: str) -> None:
        self.leg, self.run, self._known = leg, run, known

    def all(self) -> list[Job]:
        """The run's jobs in the order they were planned."""
        return self._known


class Recollection(Ledger):
    """A ledger that reads the runs and jobs of all messages heard of with one look each."""

    def __init__(self, ledger: Ledger, heard: Heard) -> None:
        self.__dict__ = ledger.__dict__.copy()
        self._heard, self._browser = heard, Browser(ledger)
        self._states: list[LegState] | None = None
        self._holding: set[str] | None = None
        self._found: dict[tuple[str, str], Run] = {}
        self._jobs: dict[tuple[str, str], list[Job]] = {}
        self._looked: set[tuple[str, str]] = set()

    def states(self) -> list[LegState]:
        """The pointer rows, read once."""
        if self._states is None:
            self._states = super().states()
        return self._states

    def holds(self, leg: str | None = None, **query: Any) -> list[Hold]:
        """Holds of a leg; most legs never have any."""
        if self._holding is None:
            self._holding = self._browser.legs_with_holds()
        return super().holds(leg, **query) if leg is None or leg in self._holding else []

    def find_run(self, leg: str, run: str) -> Run | None:
        """The row of a run, or None."""
        self._look((leg, run))
        return self._found.get((leg, run))

    def jobs(self, leg: str, run: str) -> RunJobs:
        """The remote jobs of a run."""
        self._look((leg, run))
        return NotedJobs(self._jobs.get((leg, run), []), leg=leg, run=run)

    def _look(self, wanted: tuple[str, str]) -> None:
        if wanted in self._looked:
            return
        names = sorted((self._heard.runs | {wanted}) - self._looked)
        self._looked |= set(names)
        self._found |= self._browser.runs_named(names)
        self._jobs |= self._browser.jobs_named(names)


def recollect(site: Site) -> tuple[Site, Heard]:
    """The same site, to explain one record with; and what will have been heard of it then."""
    assert site.history is not None
    heard = Heard(site.history)
    return replace(site, ledger=Recollection(site.ledger, heard), history=cast(History, heard)), heard
