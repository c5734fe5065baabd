"""What differs between two runs: how they were called, their code, parameters, data, and what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.archive.rounds import Round
from orchestrator.archive.specification import Specification
from orchestrator.artifacts import MISSING, digest_of, inline
from orchestrator.authoring.graph import JSON
from orchestrator.authoring.masking import is_masked, mask_value
from orchestrator.client.run_lookup import KnownRun, Records
from orchestrator.lifecycle.progress import progress_of
from orchestrator.run_id import RunId

#: What is compared of a run, by section and name.
Facts: TypeAlias = Mapping[str, Mapping[str, JSON]]


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same: `None` where a run does not have it."""

    section: str  #: run, graph, code, parameters, data, outputs
    name: str
    left: JSON
    right: JSON


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    left: RunId
    right: RunId
    differences: tuple[Difference, ...]
    same: Mapping[str, int]  #: how many things are the same, by section; secrets are not counted

    def to_json(self) -> dict[str, JSON]:
        """As `compare --json` prints it."""
        return {
            "left": self.left,
            "right": self.right,
            "same": dict(self.same),
            "differences": [
                {"section": each.section, "name": each.name, "left": each.left, "right": each.right}
                for each in self.differences
            ],
        }


def compare(records: Records, left: RunId, right: RunId) -> Comparison:
    """Compare two runs; raises UnknownRun."""
    return compare_facts(left, _facts(records, left), right, _facts(records, right))


def compare_facts(left: RunId, one: Facts, right: RunId, two: Facts) -> Comparison:
    """Compare what is known of two runs, section by section."""
    differences: list[Difference] = []
    same: dict[str, int] = {}
    for section in one:
        same[section] = 0
        for name in dict.fromkeys([*one[section], *two[section]]):
            values = one[section].get(name), two[section].get(name)
            # A run that lacks it differs from one where it is None.
            lacks_it = (name in one[section]) != (name in two[section])
            if lacks_it or _canonical(values[0]) != _canonical(values[1]):
                differences.append(Difference(section, name, *values))
            elif not is_masked(values[0]):  # secrets may differ behind the same mask
                same[section] += 1
    return Comparison(left, right, tuple(differences), same)


def _canonical(value: JSON) -> str:
    return json.dumps(value, sort_keys=True)  # as text, NaN is NaN


def _facts(records: Records, run: RunId) -> Facts:
    """All that is compared of a run, by section and name."""
    specification, known = Specification.read(records.store, run), records.get(run)
    outputs = dict(_outputs(records, run, specification))
    return {
        "run": _run(known),
        "graph": {node.name: node.stage for node in specification.graph.everything},
        "code": {
            "commit": f"{specification.commit}{' and changes' if specification.dirty else ''}",
            **specification.code,
        },
        "parameters": dict(_flat("", {**specification.parameters})),
        "data": dict(specification.files),
        "outputs": outputs,
    }


def _run(known: KnownRun) -> dict[str, JSON]:
    record = known.record
    return {
        "pipeline": record.pipeline,
        "state": known.state,
        "error": record.error,
        "name": record.labels.name,
        "note": record.labels.note,
        **{f"tag {key}": value for key, value in record.labels.tags.items()},
    }


def _outputs(records: Records, run: RunId, specification: Specification) -> Iterator[tuple[str, JSON]]:
    """Small outputs as they are, a field a line; others by their digests."""
    graph = specification.graph
    progress = progress_of(run, graph, records.store, Round.latest(records.store, run))
    for name, tree in progress.outputs.items():
        value = inline(tree)
        if value is MISSING:
            yield name, digest_of(tree)
        else:
            yield from _flat(name, mask_value("", value))


def _flat(name: str, value: JSON) -> Iterator[tuple[str, JSON]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _flat(f"{name}.{key}" if name else key, each)
    else:
        yield name, value
