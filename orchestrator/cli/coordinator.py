"""`coordinator` looks after all runs until it is told to stop."""

from __future__ import annotations


def coordinator() -> None:
    """Look after runs: hand back what dead workers held, send again what stalls. Several may run."""
    import logging
    import signal
    import threading

    from orchestrator.cli.connection import join_stack, wait_for
    from orchestrator.cli.errors import NoStack
    from orchestrator.coordinator.service import supervisor_of
    from orchestrator.settings import settings

    join_stack()
    url = settings().redis_url
    if url is None:
        raise NoStack("a coordinator needs a Redis", hint="set REDIS_URL, for example redis://localhost:6379")
    wait_for(url)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    print("coordinator: looking after runs; stop it with Ctrl-C", flush=True)
    supervisor_of(settings(), url).run(stop)
