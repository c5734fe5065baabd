"""The stages and pipelines that the imported modules define, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.authoring.graph import StageName
    from orchestrator.authoring.pipeline import Pipeline
    from orchestrator.authoring.stage import Stage

#: By `<module>.<function>`.
stages: dict[StageName, Stage[Any, Any]] = {}
pipelines: dict[str, Pipeline[Any]] = {}
