"""One page in a folder of its own: its files are written, its commands and Python are run, in their order."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.harness.services import Service, start
from tests.harness.shell import OURS
from tests.harness.waiting import wait_until

from .blocks import Block

INTERPRETER = Path(__file__).with_name("interpreter.py")

#: Seconds that one block may take.
PATIENCE = 110

#: Keeps what a shell has set, and where it is, for the next block.
_KEEP = """
trap '{ export -p; printf "cd %q\\n" "$PWD"; } >"$BLOCKS_KEPT"' EXIT
[ ! -f "$BLOCKS_KEPT" ] || . "$BLOCKS_KEPT"
set -euo pipefail
"""


@dataclass
class Session:
    """What a reader has open who follows a page: a shell, and Python."""

    folder: Path
    printed: str = ""  #: by the last block that was run
    _python: subprocess.Popen[str] | None = None
    _background: list[Service] = field(default_factory=list)
    _has_stack: bool = False

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Self]:
        """A session whose processes are gone with the block."""
        (folder / ".venv").symlink_to(sys.prefix)
        session = cls(folder)
        try:
            yield session
        finally:
            session._close()

    def follow(self, block: Block) -> None:
        """Do what a reader does with a block; fails where that does not come out."""
        if block.marker == "checked":
            return
        if block.marker == "file":
            place = self.here / block.words
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text, encoding="utf-8")
        elif block.marker == "printed":
            self._compare(block)
        elif block.marker == "background":
            self._start(block)
        elif block.language == "shell":
            self._shell(block)
        elif block.language == "python":
            self._execute(block)

    @property
    def here(self) -> Path:
        """Where the shell is by now."""
        kept = self.folder / ".kept"
        if not kept.is_file():
            return self.folder
        return Path(kept.read_text().splitlines()[-1].removeprefix("cd "))

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**inherited, "PATH": path, "BLOCKS_KEPT": str(self.folder / ".kept")}

    def _shell(self, block: Block) -> None:
        self._has_stack = self._has_stack or "orchestrator up" in block.text
        done = self._run(block.text)
        self.printed = done.stdout
        told = f"{block.place}: exit status {done.returncode}\n{block.text}\n{done.stdout}{done.stderr}"
        assert done.returncode == (int(block.words) if block.marker == "fails" else 0), told

    def _start(self, block: Block) -> None:
        command = ["bash", "-c", f"{_KEEP}cd {self.here}\nexec {block.text}"]
        service = start(command, self.folder / f".background-{block.line}", self.environment, group=True)
        self._background.append(service)
        wait_until(lambda: block.words in service.log.read_text(), f"{block.place} prints '{block.words}'")

    def _execute(self, block: Block) -> None:
        if self._python is None:
            self._python = subprocess.Popen(
                ["bash", "-c", f"{_KEEP}exec python {INTERPRETER}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        request = {"page": str(block.page), "line": block.line, "text": block.text}
        print(json.dumps(request), file=self._python.stdin, flush=True)
        line = self._python.stdout.readline()
        assert line, f"{block.place}: Python has ended"
        answer = json.loads(line)
        self.printed = answer["printed"]
        assert not answer["error"], f"{block.place}\n{answer['error']}"

    def _compare(self, block: Block) -> None:
        expected = block.text.replace("…", "...")
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        same = doctest.OutputChecker().check_output(expected, self.printed, options)
        assert same, f"{block.place}: the page says\n{block.text}\nand it prints\n{self.printed}"

    def _close(self) -> None:
        for service in self._background:
            service.kill()
        if self._python is not None:
            self._python.communicate(timeout=20)
        if self._has_stack:
            self._run("orchestrator down")

    def _run(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", _KEEP + script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
