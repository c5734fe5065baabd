"""client: the CPU of commands that talk to a stack that is up, in the processes of the command alone."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.contenders import Unfinished
from benchmarks.rig import Rig
from benchmarks.row import Row

TARGET = 0.5


def measure(rig: Rig, *, quick: bool) -> Row:
    """Seconds of CPU of `run` of a stage that does nothing, of `show` and of `runs`."""
    rounds = 1 if quick else 9
    with rig.worker(slots=1):
        taken = {
            " ".join(words): median(_cpu(words) for _ in range(rounds))
            for words in (["run", "line", "-p", "length=1"], ["show", "latest"], ["runs"])
        }
    bare = median(
        _cpu([], command=[sys.executable, "-c", "import celery, redis, kombu.transport.redis"])
        for _ in range(rounds)
    )
    return Row(
        name="client",
        what="CPU of `orchestrator run` of one stage that does nothing on a stack that is up; of `show`; of "
        "`runs`. By hand: importing celery, redis and kombu's transport",
        ours="; ".join(f"{seconds:.2f} s" for seconds in taken.values()),
        baseline=f"{bare:.2f} s",
        ratio=f"{max(taken.values()) / bare:.2f}×",
        target=f"≤ {TARGET} s",
        reached=max(taken.values()) <= TARGET,
        detail=f"medians of {rounds}; user and system time, the interpreter's start included",
    )


def _cpu(
    words: Sequence[str], command: Sequence[str] = (str(Path(sys.executable).with_name("orchestrator")),)
) -> float:
    """User and system time of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "ORCHESTRATOR_PIPELINES": "benchmarks.stages"}
    done = subprocess.run([*command, *words], env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise Unfinished(
            f"{' '.join([*command, *words])} exited with {done.returncode}: {done.stderr[-500:]}"
        )
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
