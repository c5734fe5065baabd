"""One line of the table: what was measured, and whether it reaches what was promised."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """A number with its target. `detail` says what else was seen while it was taken."""

    name: str
    what: str
    ours: str
    baseline: str = "–"
    ratio: str = "–"
    target: str
    reached: bool
    detail: str = ""

    @property
    def verdict(self) -> str:
        """One word for the table."""
        return "reached" if self.reached else "missed"
