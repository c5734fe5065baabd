"""Corners of the run store in which a run once stopped, or left something behind."""

from __future__ import annotations

from orchestrator.runs.transitions import Verdict

from .conftest import Desk


def test_a_resumed_map_hands_out_the_items_behind_those_that_are_done(desk: Desk) -> None:
    desk.submit(2)
    desk.runs.cancel(desk.run)
    desk.reopen(2, "m[0]", "m[1]")
    desk.expand("m", 3)
    assert list(desk.take("m", desk.holder("share")).items) == [2]


def test_a_map_that_was_done_before_wakes_what_waits_for_it(desk: Desk) -> None:
    desk.submit(3)
    desk.runs.cancel(desk.run)
    desk.reopen(3, "m[0]")
    assert desk.claim("z", waits="m")[0].verdict is Verdict.EARLY
    assert desk.park("z", "m")
    assert desk.expand("m", 1, "z").ready == (desk.ready("z"),)
    assert desk.told("m")[-2:] == ["expanded", "succeeded"]


def test_nobody_helps_himself_to_a_map_that_the_canvas_writes_out(desk: Desk) -> None:
    desk.submit(2, m=3)
    assert not desk.take("m", desk.holder("share")).items
