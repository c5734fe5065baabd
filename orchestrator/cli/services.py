"""The long-running services: `worker` becomes a Celery worker, `coordinator` looks after all runs."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.errors import UsageError
from orchestrator.client.connection import join_stack, wait_for_redis
from orchestrator.client.errors import NoStack
from orchestrator.coordinator.service import supervisor_of
from orchestrator.lifecycle.checks import unknown_queue
from orchestrator.lifecycle.discovery import check_names
from orchestrator.lifecycle.errors import UnknownQueue
from orchestrator.settings import settings
from orchestrator.stack.environment import child_environment, thread_variables
from orchestrator.stack.slots import slots_of

Queues = Annotated[list[str], typer.Argument(metavar="QUEUE...", help="The queues that it serves.")]
SlotCount = Annotated[
    int | None,
    typer.Option("--slots", min=1, help="How many stages it runs at once.", show_default="by queue"),
]
Name = Annotated[
    str | None, typer.Option("--name", help="Its name on this host, if several serve the same queues.")
]

Grace = Annotated[
    float | None,
    typer.Option(
        "--grace",
        metavar="SECONDS",
        min=0,
        help="What its running stages are given to finish when it is told to stop.",
        show_default="ORCHESTRATOR_GRACE_SECONDS, or 30",
    ),
]


def worker(queues: Queues, *, slots: SlotCount = None, name: Name = None, grace: Grace = None) -> None:
    """Serve queues with a Celery worker until it is told to stop."""
    check_names(Path.cwd(), settings().modules)
    wanted = tuple(dict.fromkeys(queues))
    for queue in wanted:
        if queue not in settings().queues:
            raise UnknownQueue(f"a worker is wanted for {unknown_queue(queue, settings().queues)}")
    if name is not None and not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"--name {name}: letters, digits, - and _; the host is added to it")
    join_stack()
    url = settings().redis_url
    if url is None:
        hint = "set REDIS_URL, for example redis://localhost:6379, or start a stack with `orchestrator up`"
        raise NoStack("a worker needs a Redis to take its messages from", hint=hint)
    wait_for_redis(url)
    count = slots or max(slots_of(wanted, {}).values())
    variables = {"REDIS_URL": url, **thread_variables({wanted[0]: count})}
    environment = child_environment(variables, home=settings().home)
    if grace is not None:
        environment["ORCHESTRATOR_GRACE_SECONDS"] = str(grace)
    command = [sys.executable, "-m", "celery", "-A", "workers", "worker"]
    command += ["--queues", ",".join(wanted), "--hostname", f"{name or '-'.join(wanted)}@%h"]
    # Mingling and gossip are chatter between workers, which this project has no use for.
    command += ["--concurrency", str(count), "--loglevel", "INFO", "--without-mingle", "--without-gossip"]
    print(f"worker for {', '.join(wanted)}: {count} at once; stop it with Ctrl-C", flush=True)
    sys.stderr.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is meant to be there


def coordinator() -> None:
    """Supervise runs: requeue what dead workers held, send lost messages again. Several may run."""
    join_stack()
    url = settings().redis_url
    if url is None:
        raise NoStack("a coordinator needs a Redis", hint="set REDIS_URL, for example redis://localhost:6379")
    wait_for_redis(url)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    print("coordinator: looking after runs; stop it with Ctrl-C", flush=True)
    supervisor_of(settings(), url).run(stop)
