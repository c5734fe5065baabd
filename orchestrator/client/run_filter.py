"""Which runs a list shows: by pipeline, state, name, tags and time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from orchestrator.archive.run_index import RunSummary
from orchestrator.client.errors import InvalidFilter
from orchestrator.runs.states import RunState

#: The state, for lists, of a run that was never written down and that no Redis has.
UNFINISHED = "unfinished"
STATES = (*(state.value for state in RunState), UNFINISHED)

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d+)\s*([mhdw])")


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """What a run must be like; what is not given does not matter."""

    pipeline: str | None = None
    states: frozenset[str] = frozenset()
    name: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)  #: None: the tag is there, with any value
    since: datetime | None = None  #: submitted then or later

    def __post_init__(self) -> None:
        for state in self.states:
            if state not in STATES:
                raise InvalidFilter(f"there is no state '{state}'", hint=f"it is one of {', '.join(STATES)}")

    def takes(self, run: RunSummary, state: str) -> bool:
        """Whether a run is like that; `state` is what a list tells of it."""
        return (
            self.pipeline in (None, run.pipeline)
            and (not self.states or state in self.states)
            and self.name in (None, run.labels.name)
            and all(
                tag in run.labels.tags and value in (None, run.labels.tags[tag])
                for tag, value in self.tags.items()
            )
            and (self.since is None or (run.submitted is not None and run.submitted >= self.since))
        )


def parse_since(text: str, now: datetime) -> datetime:
    """A moment: `2026-11-01`, `2026-11-01T12:00`, `90m`, `24h`, `7d`, `2w`, `today`, `yesterday`.

    A date or time without a zone is the reader's own; `now` is aware. Raises InvalidFilter.
    """
    words = text.strip().lower()
    if words in ("today", "yesterday"):
        day = now.astimezone().date() - timedelta(days=words == "yesterday")
        return datetime.combine(day, time()).astimezone()
    if ago := _AGO.fullmatch(words):
        try:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise InvalidFilter(
            f"'{text}' is no moment",
            hint="write 2026-11-01, 2026-11-01T12:00, 90m, 24h, 7d, today or yesterday",
        ) from None


def parse_tag_filters(words: list[str]) -> dict[str, str | None]:
    """`["team=risk", "nightly"]` as `{"team": "risk", "nightly": None}`."""
    pairs = (word.partition("=") for word in words)
    return {key: value if equals else None for key, equals, value in pairs}
