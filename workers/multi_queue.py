"""Runs workers of several queues in one process tree: `python -m workers.multi_queue --slots data=2`.

The heavy libraries take seconds to import. Imported before the workers are forked, they are imported once,
and their memory is shared. Queues whose stages rarely need them are served before they are imported.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from orchestrator.messaging.tasks import PRELOADED

log = logging.getLogger("workers.multi_queue")

#: Maximum restarts per minute of a queue's worker that ends unexpectedly.
RESTARTS_A_MINUTE = 3

#: Seconds that workers have to requeue unfinished messages before they are killed.
_COLD_SECONDS = 3.0
_LOOK_SECONDS = 1.0


class StopRequested(BaseException):
    """SIGTERM or SIGINT was received: stop all workers."""


class CrashLoop(Exception):
    """A queue's worker ends again and again."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line options."""

    slots: Mapping[str, int]  #: number of stages that run at once, by queue
    parent: int | None = None  #: stop when this process is no longer the parent
    ready: Path | None = None  #: a file named after the queue is created here when its worker is ready
    logs: Path | None = None  #: folder for `<queue>.log`; None: log to this process's output
    grace: float | None = None  #: grace period of running stages in seconds; None: from the settings
    generation: int = 1  #: number of this start of the workers; each reload of code increments it
    finishing: tuple[int, ...] = ()  #: processes of earlier generations, which finish their stages


@dataclass
class QueueWorkers:
    """The running workers, by process id."""

    options: Options
    serve: Callable[[str], int]  #: is the worker of a queue until it ends; returns the exit status
    queues: dict[int, str] = field(default_factory=dict)
    restarts: dict[str, deque[float]] = field(default_factory=dict)
    finishing: set[int] = field(default_factory=set)  #: workers with older code
    outdated: bool = False  #: a worker has reported outdated code

    def launch(self, queue: str) -> None:
        """Fork the worker of a queue."""
        # Our signal handlers must not run in the child before it installs its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        try:
            pid = os.fork()
            if pid == 0:
                self._become_worker(queue)
            self.queues[pid] = queue
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def _become_worker(self, queue: str) -> NoReturn:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (*_STOPPING, _RELOAD, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
            status = self.serve(queue)
        except BaseException:
            log.exception("worker failed", extra={"action": "worker_failed", "queue": queue})
        finally:
            logging.shutdown()
            os._exit(status)

    def watch(self, wake: int) -> int:
        """Wait until all workers have exited with status 0, or raise CrashLoop if one keeps ending."""
        while self.queues:
            select.select([wake], [], [], _LOOK_SECONDS)
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 512)
            if self.options.parent is not None and os.getppid() != self.options.parent:
                raise StopRequested
            if self.outdated:
                self.reload()
            for queue, status in self.reap():
                if status != 0:  # 0: it was shut down through Celery or Flower
                    self._restart(queue, status)
        return 0

    def note_outdated(self, *_: int | FrameType | None) -> None:
        """Signal handler: the code on disk differs from the code that this process has imported."""
        self.outdated = True

    def reload(self) -> None:
        """Restart in the same process with the code on disk; earlier workers finish their running stages."""
        from workers.runtime.reloading import FINISH, begin_anew

        log.warning("the code has changed: all workers are started anew", extra={"action": "reloading"})
        signal.signal(_RELOAD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # until the next generation handles them
        for pid, queue in self.queues.items():
            if self.options.ready is not None:
                (self.options.ready / queue).unlink(missing_ok=True)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, FINISH)
        finishing = [f"--finishing={pid}" for pid in (*self.queues, *self.finishing)]
        words = [word for word in sys.orig_argv[1:] if not word.startswith(("--generation=", "--finishing="))]
        begin_anew([*words, f"--generation={self.options.generation + 1}", *finishing])

    def _restart(self, queue: str, status: int) -> None:
        now = time.monotonic()
        times = self.restarts.setdefault(queue, deque(maxlen=RESTARTS_A_MINUTE))
        if len(times) == RESTARTS_A_MINUTE and now - times[0] < 60.0:
            raise CrashLoop(f"the worker of queue {queue!r} keeps ending, now with exit status {status}")
        times.append(now)
        log.warning(
            "the worker of queue %r ended with exit status %d and is started again",
            queue,
            status,
            extra={"action": "worker_restarted", "queue": queue},
        )
        self.launch(queue)

    def reap(self) -> list[tuple[str, int]]:
        """Return the queues whose workers have ended, with their exit status."""
        ended = []
        for pid in list(self.finishing):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self.finishing.discard(pid)
        for pid in list(self.queues):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                ended.append((self.queues.pop(pid), os.waitstatus_to_exitcode(status)))
        return ended

    def stop(self) -> None:
        """Stop workers: grace period for running stages, then requeue them, then kill."""
        from orchestrator.settings import settings

        for number, seconds in (
            (signal.SIGTERM, settings().grace_seconds),
            (signal.SIGQUIT, _COLD_SECONDS),
            (signal.SIGKILL, _COLD_SECONDS),
        ):
            for pid in (*self.queues, *self.finishing):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while (self.queues or self.finishing) and time.monotonic() < deadline:
                self.reap()
                time.sleep(0.005)
            if not self.queues and not self.finishing:
                return


_STOPPING = (signal.SIGTERM, signal.SIGINT)
_RELOAD = signal.SIGUSR2  # same as in `workers.runtime.reloading`, which must not be imported yet


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workers until they are asked to stop; return the exit status."""
    options = _parse(arguments)
    if options.grace is not None:
        os.environ["ORCHESTRATOR_GRACE_SECONDS"] = str(options.grace)  # the workers read it
    wake = _take_signals()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    workers: QueueWorkers | None = None
    try:
        # Slow imports from here on, which the signals may interrupt at any time.
        from workers.queue_worker import consume, load_application, load_libraries

        def serve(queue: str) -> int:
            return consume(
                queue,
                slots=options.slots[queue],
                generation=options.generation,
                log=options.logs and options.logs / f"{queue}.log",
                ready=options.ready and options.ready / queue,
            )

        load_application()
        workers = QueueWorkers(options, serve, finishing=set(options.finishing))
        signal.signal(_RELOAD, workers.note_outdated)
        gc.freeze()
        later = [queue for queue in options.slots if queue in PRELOADED]
        for queue in options.slots:
            if queue not in PRELOADED:
                workers.launch(queue)
        if later:
            load_libraries()
            gc.freeze()
        for queue in later:
            workers.launch(queue)
        return workers.watch(wake)
    except StopRequested:
        return 0
    except CrashLoop as error:
        print(f"{error}; see its log", file=sys.stderr)
        return 1
    finally:
        for number in _STOPPING:
            signal.signal(number, signal.SIG_IGN)
        if workers is not None:
            workers.stop()


def _take_signals() -> int:
    """Install the signal handlers; return a pipe that becomes readable when a child process has ended."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in _STOPPING:
        signal.signal(number, _stop)
    return readable


def _stop(*_: int | FrameType | None) -> None:
    raise StopRequested


def _parse(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m workers.multi_queue", description=__doc__)
    parser.add_argument("--slots", metavar="QUEUE=N", action="append", required=True, type=_slot)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--ready", type=Path)
    parser.add_argument("--logs", type=Path)
    parser.add_argument("--grace", type=float, default=Options.grace)
    parser.add_argument("--generation", type=int, default=Options.generation)
    parser.add_argument("--finishing", metavar="PID", action="append", default=[], type=int)
    given = vars(parser.parse_args(arguments))
    return Options(**{**given, "slots": dict(given["slots"]), "finishing": tuple(given["finishing"])})


def _slot(text: str) -> tuple[str, int]:
    queue, _, count = text.partition("=")
    if not queue or not count.isdecimal() or int(count) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not QUEUE=N, as in training=2")
    return queue, int(count)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # skips the interpreter's shutdown, which would take 0.1 s
