"""Apply ORCHESTRATOR_CODE if this worker's code of a stage differs from the code of the run."""

from __future__ import annotations

import logging

from orchestrator.authoring.graph import Node
from orchestrator.code import differs_on_disk
from orchestrator.settings import settings
from workers.runtime.errors import OtherCode
from workers.runtime.identity import identity
from workers.runtime.loaded_code import loaded_code, reached
from workers.runtime.run_context import NodeRef, RunContext

log = logging.getLogger("orchestrator.code")


def is_outdated(context: RunContext, node: Node) -> bool:
    """Whether this worker's code differs from the run's and a restart would load different code."""
    if settings().code != "reload" or not context.other_code(node):
        return False
    return differs_on_disk(reached(node.stage).modules)


def lacks_new_module(stage: str) -> bool:
    """Whether a restart of this worker might register a stage that it does not know."""
    module = stage.rpartition(".")[0]
    listed = any(f"{module}.".startswith(f"{each}.") for each in settings().modules)
    return settings().code == "reload" and listed and differs_on_disk([module])


def check_code(context: RunContext, ref: NodeRef) -> None:
    """Raise OtherCode if the run was submitted with other code, unless ORCHESTRATOR_CODE is `worker`."""
    names = context.other_code(ref.node)
    if not names:
        return
    name, more = names[0], f" and {len(names) - 1} more" if len(names) > 1 else ""
    then, now = context.specification.code.get(name, "not there"), loaded_code(ref.node)[name]
    sender = context.specification.sent_from
    told = (
        f"{name}{more} is not the run's here: {then[:8]} in the run, sent from {sender}, "
        f"and {now[:8]} at worker {identity().name}"
    )
    if settings().code == "worker":
        log.warning("%s: the worker's is taken (ORCHESTRATOR_CODE=worker)", told)
        return
    if settings().code == "reload":
        resume = f"orchestrator resume {context.run}"
        hint = f"it has changed since the run was sent: `{resume}` takes it as it is now"
    else:
        hint = (
            "restart the worker with the run's code and resume the run, or let the worker run what it has: "
            "ORCHESTRATOR_CODE=worker"
        )
    raise OtherCode(f"{ref.name}: {told}", hint=hint)
