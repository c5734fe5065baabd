"""Puts docker-compose.yml and its files into the wheel, from which `orchestrator init` copies them."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithCompose(build_py):
    """Copies them beside the command; an editable install finds them in the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "orchestrator" / "cli" / "compose"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        shutil.copy(ROOT / "docker-compose.yml", target)
        ignored = shutil.ignore_patterns("Dockerfile*", "__pycache__")
        shutil.copytree(ROOT / "docker", target / "docker", ignore=ignored)


setup(cmdclass={"build_py": BuildWithCompose})
