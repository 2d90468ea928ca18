"""What the undo stories share: legs that keep images, undos in this process, what a far side holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from commerce_sync import undo
from commerce_sync.ledger import Run
from commerce_sync.mapping import Guards
from flows.walking import Walk

Row = dict[str, Any]


class Back:
    """Undoes runs of a walk."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self._count = 0

    def keep(self, *legs: str, **values: Any) -> None:
        """These legs keep before-images and have neither gate nor guards."""
        self.walk.gated = False
        for leg in legs:
            self.walk.alter(leg, undo=True, guards=Guards(max_deletes=None), **values)

    def name(self) -> str:
        self._count += 1
        return f"undo-{self._count}"

    def undo(self, run: Run, *, run_id: str | None = None, by: str = "Ada", reason: str | None = None) -> Run:
        """Undo a run; gives the undo's run."""
        mapping = self.walk.mapping(run.leg)
        return undo.run(self.walk.site, mapping, run.run, targets=self.walk.target, run_id=run_id or self.name(), by=by,
                        reason=reason)  # fmt: skip

    def plan(self, run: Run) -> undo.Found:
        return undo.plan(self.walk.site, self.walk.mapping(run.leg), run.run, targets=self.walk.target)

    def rows(self, run: Run) -> list[tuple[str, str | None, str]]:
        """Key, field, verdict of what an undo found."""
        found = undo.found_by(self.walk.site, run)
        assert found is not None
        return sorted((row["key"], row["field"] or "", row["verdict"]) for row in found.rows)

    def held(self, leg: str) -> set[str]:
        """Keys that wait because they were undone."""
        return {key for key, item in self.walk.rejects(leg).items() if item.status == "undone"}

    def undo_switch(self, *, on: bool) -> None:
        """The site's own word on legs that say nothing."""
        self.walk.site = replace(self.walk.site, undo=on)
