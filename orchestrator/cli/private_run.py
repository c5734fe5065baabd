"""Work on a private stack, which ends with its command: a run, or the conclusion of one."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.archive.run_record import read_final, unconcluded_runs
from orchestrator.artifacts import ArtifactStore
from orchestrator.authoring.masking import mask_text
from orchestrator.cli.conclusions import conclude_earlier_runs
from orchestrator.cli.errors import NotConcluded
from orchestrator.client.formatting import as_line
from orchestrator.lifecycle.submission import Prepared
from orchestrator.runs.connection import connect_redis
from orchestrator.settings import apply_environment, settings
from orchestrator.stack.embedded import EmbeddedStack

if TYPE_CHECKING:
    from orchestrator.cli.attached_run import Send
    from orchestrator.client.run_lookup import KnownRun

#: Seconds that `resume` waits until a run is concluded, of which nothing else is left.
CONCLUSION_TIMEOUT = 60.0


def run_on_private_stack(prepared: Prepared, send: Send, slots: Mapping[str, int], *, as_json: bool) -> None:
    """Start a stack for one run, send the run, show its progress, and stop the stack."""
    modules = {node.stage.rpartition(".")[0] for node in prepared.graph}
    os.environ["ORCHESTRATOR_PIPELINES"] = ",".join(sorted(modules))  # the workers need no others
    with EmbeddedStack.start(settings().home, slots, prepared.graph.queues) as stack:
        # Celery and rich take a third of a second to import, which passes while the workers start
        from orchestrator.cli.attached_run import run_attached
        from orchestrator.coordinator.service import supervised

        apply_environment(stack.environment())
        store = ArtifactStore(settings().store_url)
        with (
            stack.announced(),
            supervised(settings(), stack.redis_url),
            conclude_earlier_runs(store),
        ):
            run_attached(prepared, send, private=stack, as_json=as_json)


def conclude_run(known: KnownRun, store: ArtifactStore, wished: Mapping[str, int], *, as_json: bool) -> None:
    """Have a run written to MLflow that has succeeded, on the stack that there is or on a private one."""
    run = known.record.id
    if settings().redis_url is not None:
        _send_and_wait(known, store)
    else:
        with EmbeddedStack.start(settings().home, wished, known.graph.queues) as stack:
            from orchestrator.coordinator.service import supervised

            apply_environment(stack.environment())
            with supervised(settings(), stack.redis_url):
                _send_and_wait(known, store)
    final = read_final(store, run)
    if as_json and final is not None:
        print(as_line(dict(final[0].to_json())))
    else:
        print(f"{run} is written to MLflow; nothing was run again")


def _send_and_wait(known: KnownRun, store: ArtifactStore) -> None:
    from orchestrator.lifecycle.ending import send_conclusion

    run = known.record.id
    send_conclusion(run, connect_redis(str(settings().redis_url)), known.graph.queues)
    until = time.monotonic() + CONCLUSION_TIMEOUT
    while run in unconcluded_runs(store):
        if time.monotonic() > until:
            uri = mask_text(settings().tracking_uri)
            raise NotConcluded(
                f"run '{run}' has succeeded; MLflow at {uri} could not be told "
                f"within {CONCLUSION_TIMEOUT:.0f} s",
                hint="start MLflow, or correct MLFLOW_TRACKING_URI; the workers' logs say more",
            )
        time.sleep(0.05)
