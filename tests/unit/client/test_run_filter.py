"""Which runs a list shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.archive.run_index import RunSummary
from orchestrator.client.errors import InvalidFilter
from orchestrator.client.run_filter import RunFilter, parse_since, parse_tag_filters
from orchestrator.run_id import RunId
from orchestrator.runs.record import Labels
from orchestrator.runs.states import RunState

NOW = datetime(2026, 3, 8, 12, 30, tzinfo=UTC)
RUN = RunSummary(
    id=RunId("p-20260301-120000-0001"),
    pipeline="p",
    state=RunState.SUCCEEDED,
    submitted=NOW - timedelta(hours=3),
    labels=Labels(name="night", tags={"team": "risk", "empty": ""}),
)


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ({}, True),
        ({"pipeline": "p"}, True),
        ({"pipeline": "q"}, False),
        ({"states": frozenset({"failed", "succeeded"})}, True),
        ({"states": frozenset({"failed"})}, False),
        ({"name": "night"}, True),
        ({"name": "nigh"}, False),
        ({"tags": {"team": "risk"}}, True),
        ({"tags": {"team": None, "empty": ""}}, True),
        ({"tags": {"team": "other"}}, False),
        ({"tags": {"nobody": None}}, False),
        ({"since": NOW - timedelta(hours=4)}, True),
        ({"since": NOW - timedelta(hours=2)}, False),
    ],
)
def test_a_run_has_to_be_like_all_that_is_asked_for(wanted, taken):
    assert RunFilter(**wanted).takes(RUN, RUN.state.value) is taken


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(days=1)),
        ("7 D", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_since_is_so_long_ago(text, ago):
    assert parse_since(text, NOW) == NOW - ago


def test_since_is_a_moment_of_the_readers_own():
    today = NOW.astimezone().replace(hour=0, minute=0)
    assert parse_since("today", NOW) == today
    assert parse_since("Yesterday", NOW) == (today - timedelta(days=1)).replace(tzinfo=None).astimezone()
    assert parse_since("2026-03-01", NOW) == datetime(2026, 3, 1).astimezone()
    assert parse_since("2026-03-01T12:00+02:00", NOW) == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert parse_since("9999999999d", NOW).year == 1


@pytest.mark.parametrize("text", ["", "last week", "7", "-1d", "2026-13-01", "0000-00-00", "1e3d"])
def test_what_is_no_moment_is_told(text):
    with pytest.raises(InvalidFilter, match="is no moment"):
        parse_since(text, NOW)


def test_a_state_that_there_is_not_is_told():
    with pytest.raises(InvalidFilter, match="no state 'done'"):
        RunFilter(states=frozenset({"done"}))


def test_tags_are_asked_for_with_or_without_a_value():
    assert parse_tag_filters(["team=risk", "nightly", "empty="]) == {
        "team": "risk",
        "nightly": None,
        "empty": "",
    }
