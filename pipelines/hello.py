"""The smallest pipeline: one stage, one parameter. Run it to see that a worker answers.

orchestrator run hello -p name=Ada
"""

from __future__ import annotations

import platform

from orchestrator import pipeline, stage


@stage
def greet(name: str) -> str:
    """Say hello, and from which machine."""
    return f"Hello, {name}, from {platform.node()}!"


@pipeline
def hello(name: str = "world") -> str:
    """Greet somebody from a worker."""
    return greet(name)
