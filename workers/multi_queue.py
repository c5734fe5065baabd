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

#: A queue's worker that ends unexpectedly is started again, but not more often than so many times a minute.
RESTARTS_A_MINUTE = 3

#: How long the workers may take to hand back what is unfinished, before the kill.
_COLD_SECONDS = 3.0
_LOOK_SECONDS = 1.0


class StopRequested(BaseException):
    """SIGTERM or SIGINT: all workers are to stop."""


class CrashLoop(Exception):
    """A queue's worker keeps ending."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for."""

    slots: Mapping[str, int]  #: how many stages of each queue run at once
    parent: int | None = None  #: all ends when this process is no longer its parent
    ready: Path | None = None  #: a file named like the queue appears here when its worker takes messages
    logs: Path | None = None  #: `<queue>.log` is written here; without, all goes to this process' output
    grace: float | None = None  #: seconds that running stages are given at the end; else as the settings say
    generation: int = 1  #: which start of the workers this is: they start anew with other code
    finishing: tuple[int, ...] = ()  #: processes of earlier workers, which run their last stages


@dataclass
class QueueWorkers:
    """The workers that are running, by their process id."""

    options: Options
    consume: Callable[..., int]  #: `queue_worker.consume`
    queues: dict[int, str] = field(default_factory=dict)
    restarts: dict[str, deque[float]] = field(default_factory=dict)
    finishing: set[int] = field(default_factory=set)  #: workers with older code
    outdated: bool = False  #: a worker has said so

    def launch(self, queue: str) -> None:
        """Fork the worker of a queue."""
        # Between fork and the worker's own handlers, ours must not run in the child.
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
            options = self.options
            status = self.consume(
                queue,
                slots=options.slots[queue],
                generation=options.generation,
                log=options.logs and options.logs / f"{queue}.log",
                ready=options.ready and options.ready / queue,
            )
        except BaseException:
            log.exception("worker failed", extra={"action": "worker_failed", "queue": queue})
        finally:
            logging.shutdown()
            os._exit(status)

    def watch(self, wake: int) -> int:
        """Stay until all workers have ended on their own (exit status 0) or one keeps ending (CrashLoop)."""
        while self.queues:
            select.select([wake], [], [], _LOOK_SECONDS)
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 512)
            if self.options.parent is not None and os.getppid() != self.options.parent:
                raise StopRequested
            if self.outdated:
                self.reload()
            for queue, status in self.reap():
                if status != 0:  # 0: somebody shut it down through Celery or Flower
                    self._restart(queue, status)
        return 0

    def note_outdated(self, *_: int | FrameType | None) -> None:
        """A signal's handler: the code that this process has imported is not what is on the disk."""
        self.outdated = True

    def reload(self) -> None:
        """Begin anew with the code that is on the disk, in the same process; what runs is finished first."""
        from workers.runtime.reloading import FINISH, begin_anew

        log.warning("the code has changed: all workers are started anew", extra={"action": "reloading"})
        signal.signal(_RELOAD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # until the next generation hears them
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
        """The queues whose workers have ended by now, with their exit status."""
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
        """Give running stages their grace, then have them handed back, then kill."""
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
_RELOAD = signal.SIGUSR2  # as `workers.runtime.reloading` has it, which must not be imported yet


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workers until they are told to stop; returns the exit status."""
    options = _parse(arguments)
    if options.grace is not None:
        os.environ["ORCHESTRATOR_GRACE_SECONDS"] = str(options.grace)  # the workers keep to it by themselves
    wake = _take_signals()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    workers: QueueWorkers | None = None
    try:
        # Heavy from here on, and stopped at any time by the signals.
        from workers.queue_worker import consume, load_application, load_libraries

        load_application()
        workers = QueueWorkers(options, consume, finishing=set(options.finishing))
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
    """Stop at SIGTERM and SIGINT; returns the end of a pipe that is readable when a child has ended."""
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
    os._exit(status)  # taking down the interpreter with all its libraries would take a tenth of a second
