"""How states, durations, times, values and tracebacks are written for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from orchestrator.authoring.graph import JSON
from orchestrator.authoring.progress import Progress
from orchestrator.text import visible

ICONS: Mapping[str, str] = {
    "waiting": "·",
    "pending": "○",
    "queued": "○",
    "running": "●",
    "retrying": "↻",
    "succeeded": "✓",
    "failed": "✗",
    "skipped": "–",
    "upstream_failed": "⊘",
    "cancelled": "■",
    "unfinished": "?",
}

STYLES: Mapping[str, str] = {
    "waiting": "bright_black",
    "pending": "yellow",
    "queued": "yellow",
    "running": "bold cyan",
    "retrying": "bold yellow",
    "succeeded": "green",
    "failed": "bold red",
    "skipped": "bright_black",
    "upstream_failed": "red",
    "cancelled": "magenta",
    "unfinished": "magenta",
}

#: Characters of what a loop is called, where it shares a line with others.
TITLE = 24

_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line \d+')
_RUNTIME = re.compile(r"[/\\]workers[/\\]runtime[/\\]\w+\.py$")


def state_label(state: str) -> str:
    """`upstream_failed` as people write it."""
    return state.replace("_", " ")


def duration(seconds: float) -> str:
    """`35 ms`, `1.2 s`, `2 min 05 s`, `3 h 20 min`."""
    seconds = max(0.0, seconds)
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def data_size(count: int) -> str:
    """`0 B`, `12.3 kB`, `4.5 GB`; powers of 1000."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


def elapsed(start: datetime | None, end: datetime | None) -> str:
    """The time from one moment to another; empty if one is missing."""
    return duration((end - start).total_seconds()) if start and end else ""


def progress_in_words(progress: Progress) -> str:
    """`40 % 12/30 · 8 s left`, behind what the loop is called; without a total, the items done."""
    done, total, left = progress.done, progress.total, progress.seconds_left
    lead = f"{shortened(progress.description, TITLE)}: " if progress.description else ""
    if total is None:
        return f"{lead}{done} done"
    share = f"{100 * done // total} % " if 0 < total >= done else ""
    rest = f" · {duration(left) if left >= 59.5 else f'{left:.0f} s'} left" if left else ""
    return f"{lead}{share}{progress.count}{rest}"


def time_of_day(time: datetime) -> str:
    """The time of day, where the reader is."""
    return f"{time.astimezone():%H:%M:%S}"


def date_and_time(time: datetime | None) -> str:
    """Date and time, where the reader is; empty if there is none."""
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}" if time else ""


def plain(value: JSON) -> str:
    """A value in one line, records without their braces: `accuracy 0.984, passed yes`."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return _number(value)
        case None:
            return "none"
        case str():
            return visible(" ".join(value.split()))
        case dict():
            return ", ".join(f"{visible(name)} {_inner(each)}" for name, each in value.items())
        case list():
            return ", ".join(map(_inner, value))
    return str(value)


def _number(value: float) -> str:
    """Four digits of what is small, whole numbers of what is large, such as a price."""
    if 1e3 <= abs(value) < 1e15:
        return f"{value:.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-3 else f"{value:g}"


def _inner(value: JSON) -> str:
    if isinstance(value, dict):
        return "{" + plain(value) + "}"
    if isinstance(value, list):
        return "[" + plain(value) + "]"
    return plain(value)


def first_line(text: str | None) -> str:
    """The first line of an error; empty if there is none."""
    return (text or "").partition("\n")[0]


def shortened(text: str, width: int) -> str:
    """The beginning of a text that is too long."""
    return text if len(text) <= width else text[: max(0, width - 1)].rstrip() + "…"


def as_line(value: JSON) -> str:
    """JSON in one line that strict readers take: what is no number to JSON (NaN, infinity) becomes null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value))


def _finite(value: JSON) -> JSON:
    match value:
        case float() if value != value or value in (float("inf"), float("-inf")):
            return None
        case dict():
            return {name: _finite(each) for name, each in value.items()}
        case list():
            return [_finite(each) for each in value]
    return value


def without_runtime(trace: str) -> str:
    """The traceback with our own frames left out, unless nothing else is in it."""
    lines = list(_others(trace.splitlines()))
    return "\n".join(lines) if any(map(_FRAME.match, lines)) else trace


def _others(lines: list[str]) -> Iterator[str]:
    dropping = False
    for line in lines:
        frame = _FRAME.match(line)
        if frame:
            dropping = bool(_RUNTIME.search(frame["file"]))
        elif not line.startswith("    "):
            dropping = False
        if not dropping:
            yield line
