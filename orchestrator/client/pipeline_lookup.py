"""Looks pipelines up by name, and suggests one to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.authoring.pipeline import Pipeline
from orchestrator.client.program import NAME
from orchestrator.lifecycle.discovery import in_place_of_shipped, load_catalogue
from orchestrator.lifecycle.errors import UnknownPipeline
from orchestrator.settings import SHIPPED, settings


def find_pipeline(name: str) -> Pipeline[..., Any]:
    """The pipeline of that name; raises UnknownPipeline or BrokenModule.

    A pipeline in a module of its own name is found without importing the others, whose pandas and
    scikit-learn would take seconds.
    """
    packages = settings().modules
    for pipeline in load_catalogue([f"{package}.{name}" for package in packages]).pipelines:
        if pipeline.name == name:
            return pipeline
    try:
        return load_catalogue(packages).find(name)
    except UnknownPipeline as error:
        hint = f"looked in {', '.join(packages)}: ORCHESTRATOR_PIPELINES names the modules"
        if name.isidentifier() and Path(f"{name}.py").exists():
            hint += f"; for {name}.py and these: ORCHESTRATOR_PIPELINES={','.join([*packages, name])}"
        raise UnknownPipeline(str(error), hint=hint) from error


def first_command() -> str:
    """The command to run first: a pipeline that ships, unless the pipelines are the user's own."""
    ships = SHIPPED in settings().modules and in_place_of_shipped(Path.cwd()) is None
    return f"{NAME} run hello" if ships else f"{NAME} pipelines"
