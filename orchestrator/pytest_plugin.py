"""The fixture `orchestrator_stack`: a private stack with real workers, for the tests of a project.

pytest loads this wherever the package is installed: what it needs is imported when a test asks for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from orchestrator.authoring.pipeline import Pipeline
    from orchestrator.client.client import Client
    from orchestrator.client.run import Run

#: Seconds until the workers of all queues take messages.
_READY_SECONDS = 90.0


@dataclass(frozen=True)
class OrchestratorStack:
    """A stack that is up while the tests run: Redis, workers for each queue, MLflow in a SQLite file."""

    client: Client
    modules: tuple[str, ...]  #: those whose pipelines the workers know

    def run(self, pipeline: Pipeline[..., Any], /, *, timeout: float = 120.0, **parameters: object) -> Run:
        """Run a pipeline on the workers, and return the run once it is over, whether or not it succeeded.

        `timeout` is in seconds: StillRunning is raised after it. Raises UnknownToStack for a pipeline of a
        module that the workers do not load, and what `client.submit` raises.
        """
        from orchestrator.client.errors import UnknownToStack
        from orchestrator.stack_state import is_within

        if not is_within(pipeline.module, self.modules):
            raise UnknownToStack(
                f"the workers of these tests do not know the module '{pipeline.module}'",
                hint='name its package in pyproject.toml: [project.entry-points."orchestrator.pipelines"]',
            )
        return self.client.submit(pipeline, **parameters).wait(timeout, progress=False)


@pytest.fixture(scope="session")
def _orchestrator_environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The stack, started once; what a process needs in its environment to take part in it."""
    from orchestrator.coordinator.service import supervised
    from orchestrator.messaging.app import follow_settings
    from orchestrator.settings import named_by_project, settings
    from orchestrator.stack.embedded import EmbeddedStack

    with pytest.MonkeyPatch.context() as patch:
        for name in ("REDIS_URL", "MLFLOW_TRACKING_URI", "ORCHESTRATOR_STORE"):
            patch.delenv(name, raising=False)  # tests leave alone what the user has elsewhere
        patch.setenv("ORCHESTRATOR_HOME", str(home := tmp_path_factory.mktemp("orchestrator")))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        settings.cache_clear()
        modules = dict.fromkeys([*settings().modules, *named_by_project(request.config.rootpath)])
        patch.setenv("ORCHESTRATOR_PIPELINES", ",".join(modules))
        settings.cache_clear()
        queues = settings().queues
        with EmbeddedStack.start(home, dict.fromkeys(queues, 1), queues) as stack:
            environment = {**stack.environment(), "ORCHESTRATOR_PIPELINES": ",".join(modules)}
            for name, value in environment.items():
                patch.setenv(name, value)
            settings.cache_clear()
            follow_settings()  # the supervisor sends messages by this process's application
            with supervised(settings(), stack.redis_url):
                stack.wait_until_ready(_READY_SECONDS)
                patch.undo()
                settings.cache_clear()
                yield environment
    settings.cache_clear()


@pytest.fixture
def orchestrator_stack(
    _orchestrator_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[OrchestratorStack]:
    """A private stack with real workers, started for the first test that asks for it, with a home of its own.

    Within the test, `orchestrator.connect()` and the settings are the stack's; other tests do not notice it.
    """
    from orchestrator.client.client import connect
    from orchestrator.settings import settings

    for name, value in _orchestrator_environment.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield OrchestratorStack(connect(), settings().modules)
    monkeypatch.undo()
    settings.cache_clear()
