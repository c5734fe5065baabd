"""The command line, called as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from orchestrator.run_id import RunId

#: Of variables that no command inherits from whoever runs the tests.
OURS = ("ORCHESTRATOR_", "REDIS_", "MLFLOW_", "COLUMNS", "NO_COLOR", "FORCE_COLOR")


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def last_json(self) -> Any:
        """The last line of the output."""
        return json.loads(self.out.splitlines()[-1])


@dataclass(frozen=True)
class Shell:
    """Calls `orchestrator` in its home with variables of its own, and nothing of ours."""

    home: Path
    variables: Mapping[str, str]

    #: Of every shell of a class, unless a variable says otherwise.
    defaults: ClassVar[Mapping[str, str]] = {}

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        own = {
            "ORCHESTRATOR_HOME": str(self.home),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        return {**inherited, **self.defaults, **own, **self.variables}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command, and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.home,
        )

    def __call__(self, *words: str, seconds: float = 60) -> Done:
        """Run a command to its end."""
        with self.start(*words) as process:
            try:
                out, err = process.communicate(timeout=seconds)
            except BaseException:
                process.kill()
                raise
        return Done(process.returncode, out, err)

    def succeed(self, *words: str) -> Done:
        """Run a command that is to succeed."""
        done = self(*words, seconds=90)
        assert done.status == 0, done.out + done.err
        return done

    def submit(self, pipeline: str, **parameters: object) -> RunId:
        """Start a run, and leave it to the workers."""
        given = [word for name, value in parameters.items() for word in ("-p", f"{name}={value}")]
        return RunId(self.succeed("run", pipeline, *given, "--detach", "--json").last_json["id"])

    def where(self, **variables: str) -> Self:
        """The same with other variables."""
        return replace(self, variables={**self.variables, **variables})
