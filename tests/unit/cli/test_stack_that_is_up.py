"""What a stack that is up has loaded, and what is said where that is not enough."""

from __future__ import annotations

import pytest

from orchestrator.client.connection import require_modules
from orchestrator.client.errors import UnknownToStack
from orchestrator.client.queue_watch import being_replaced
from orchestrator.stack_state import StackState


def stack(*modules: str) -> StackState:
    return StackState(
        pid=1,
        started="2026-01-01T00:00:00+00:00",
        redis_url="redis://localhost",
        mlflow_tracking_uri="",
        mlflow_url=None,
        flower_url=None,
        slots={"data": 2, "training": 0},
        environment={},
        modules=modules,
    )


def test_a_module_that_its_workers_have_not_loaded_is_named_with_what_to_do() -> None:
    with pytest.raises(UnknownToStack, match=r"without the pipelines of 'pipelines\.tabular'") as caught:
        require_modules(stack("spam"), "pipelines.tabular")
    assert "ORCHESTRATOR_PIPELINES=spam,pipelines " in str(caught.value.hint)


def test_modules_within_a_package_are_loaded_with_it() -> None:
    require_modules(stack("spam", "pipelines"), "pipelines.tabular")
    require_modules(stack(), "anything")  # a stack that an earlier version has started
    assert not stack("spam").knows("spammer")


def test_a_queue_that_the_stack_serves_asks_for_no_other_worker() -> None:
    advice = being_replaced(stack().slots)
    assert "is starting, as after each change of code" in advice("data")
    assert "start one with" in advice("training")
