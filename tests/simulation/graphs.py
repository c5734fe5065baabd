"""Small random graphs: chains, fan-ins, N shapes, maps of known and unknown length, conditions, failures."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from orchestrator import pipeline
from orchestrator.authoring.graph import Graph
from orchestrator.authoring.pipeline import pipelines

from . import stages


@dataclass(frozen=True)
class Step:
    """One node."""

    stage: str = "make"  #: make, fit (with a model), spread, decide, judge (in a copy), or each: a map
    needs: tuple[int, ...] = ()  #: steps whose values it takes
    after: tuple[int, ...] = ()
    only_if: int | None = None
    items: int | None = None  #: of a map; None: it goes through what the first step of `needs` gives
    length: int = 0  #: of the list that a `spread` gives
    truth: bool = True
    plan: str = "ok"  #: or fail, flaky; `fail 1` of a map: its item 1
    tolerate: float = 0.0
    training: bool = False
    scope: int = (
        0  #: of steps that follow each other: the mapped pipeline that they are the body of; 0 for none
    )
    through: int | None = None  #: the step whose list that pipeline goes through; None: as many as `items`
    inside: int | None = (
        None  #: of a map in a copy: its items; -1: it goes through what the first of `needs` gives
    )

    def __str__(self) -> str:
        shown = {
            "needs": self.needs,
            "after": self.after,
            "only_if": self.only_if,
            "items": self.items,
            "plan": "" if self.plan == "ok" else self.plan,
            "tolerate": self.tolerate,
            "training": self.training,
            "scope": self.scope,
            "through": self.through,
            "inside": self.inside,
            "length": self.length,
        }
        if self.stage == "decide":
            shown["truth"] = str(self.truth)
        told = ", ".join(
            f"{name}={value}" for name, value in shown.items() if value not in ((), None, "", 0, False)
        )
        return f"{self.stage}({told})"


@dataclass(frozen=True)
class Shape:
    """A graph, as it is drawn at random."""

    steps: tuple[Step, ...]
    handler: bool = False
    fail_fast: bool = False

    def __str__(self) -> str:
        head = f"on_failure={self.handler}, fail_fast={self.fail_fast}"
        return "\n".join([head, *(f"s{at} = {step}" for at, step in enumerate(self.steps))])

    def without(self, gone: int) -> Shape | None:
        """The same without one step, and without all that take it for granted; None if nothing is left."""
        left = [step for at, step in enumerate(self.steps) if at != gone]
        if not left or any(
            step.only_if == gone
            or step.through == gone
            or (step.stage == "each" and step.items is None and not step.scope and step.needs[0] == gone)
            or (step.inside == -1 and step.needs[0] == gone)
            for step in left
        ):
            return None
        if self.steps[gone].scope and gone == self.last_of(self.steps[gone].scope):
            return None  # it is what the pipeline returns
        return replace(self, steps=tuple(_renumbered(step, gone) for step in left))

    def gives_list(self, at: int, to: Step) -> bool:
        """Whether what a step gives to another one is a list."""
        step = self.steps[at]
        of_same_copy = to.scope and step.scope == to.scope
        return step.stage == "spread" or step.inside is not None or (_is_map(step) and not of_same_copy)

    def last_of(self, scope: int) -> int:
        """The step whose output a mapped pipeline returns."""
        return max(at for at, step in enumerate(self.steps) if step.scope == scope)


def _renumbered(step: Step, gone: int) -> Step:
    def moved(at: int) -> int:
        return at - (at > gone)

    return replace(
        step,
        needs=tuple(moved(at) for at in step.needs if at != gone),
        after=tuple(moved(at) for at in step.after if at != gone),
        only_if=None if step.only_if is None else moved(step.only_if),
        through=None if step.through is None else moved(step.through),
    )


def shape(seed: int) -> Shape:
    """The same for the same seed."""
    chance = random.Random(f"shape {seed}")
    steps: list[Step] = []
    for _ in range(chance.choice([1, 2, 2, 3, 3, 4, 5])):
        if chance.random() < 0.15:
            steps += _mapped_pipeline(chance, steps)
        else:
            steps.append(_step(chance, len(steps), steps))
    return Shape(tuple(steps), handler=chance.random() < 0.3, fail_fast=chance.random() < 0.15)


def _mapped_pipeline(chance: random.Random, before: list[Step]) -> list[Step]:
    """The steps of a mapped pipeline."""
    scope = max((step.scope for step in before), default=0) + 1
    lists = [at for at in _seen(before) if before[at].stage == "spread" or _is_map(before[at])]
    through = chance.choice(lists) if lists and chance.random() < 0.75 else None
    items = None if through is not None else chance.choice([0, 1, 2, 3])
    outer = [at for at in _seen(before) if before[at].stage not in ("decide", "judge")]
    steps: list[Step] = []
    count = chance.choice([1, 2, 2, 3, 4])
    for number in range(count):
        own = [len(before) + at for at, step in enumerate(steps) if step.stage != "judge"]
        lists = [
            len(before) + at
            for at, step in enumerate(steps)
            if step.stage == "spread" or step.inside is not None
        ]
        decisions = [len(before) + at for at, step in enumerate(steps) if step.stage == "judge"]
        kind = chance.choice(
            ["each", "each", "make", *(["judge", "spread", "inner"] if number < count - 1 else [])]
        )
        needs = {*chance.sample(own, min(len(own), chance.choice([0, 1, 1, 2])))}
        if outer and chance.random() < 0.2:
            needs.add(chance.choice(outer))
        plan = chance.choices(["ok", "fail", "flaky"], [12, 2, 1])[0]
        inside, first = None, tuple[int, ...]()
        if kind == "inner":
            kind, inside = "each", chance.choice([0, 1, 2])
            if lists and chance.random() < 0.7:
                inside, first = -1, (chance.choice(lists),)
        steps.append(
            Step(
                stage=kind,
                needs=(*first, *sorted(needs - {*first})),
                inside=inside,
                length=chance.choice([0, 1, 2]) if kind == "spread" else 0,
                after=tuple(at for at in own if at not in needs and chance.random() < 0.15),
                only_if=chance.choice(decisions) if decisions and chance.random() < 0.7 else None,
                items=items,
                plan="ok" if plan == "ok" or kind != "each" else f"{plan} {chance.randrange(3)}",
                tolerate=chance.choice([0.0, 0.0, 0.5]),
                training=chance.random() < 0.3,
                scope=scope,
                through=through,
            )
        )
    return steps


def _seen(steps: list[Step]) -> list[int]:
    """The steps that a later one can take something of: of a mapped pipeline only the last."""
    last = {step.scope: at for at, step in enumerate(steps)}
    return [at for at, step in enumerate(steps) if not step.scope or last[step.scope] == at]


def _is_map(step: Step) -> bool:
    return step.stage == "each" or step.scope > 0


def _step(chance: random.Random, at: int, before: list[Step]) -> Step:
    earlier = _seen(before)
    giving = [other for other in earlier if before[other].stage != "decide"]
    needs = tuple(sorted(chance.sample(giving, min(len(giving), chance.choice([0, 1, 1, 2, 3])))))
    lists = [other for other in earlier if before[other].stage == "spread" or _is_map(before[other])]
    decisions = [other for other in earlier if before[other].stage == "decide"]
    kind = chance.choices(["make", "fit", "each", "spread", "decide"], [4, 1, 3, 2, 1])[0]
    plan = chance.choices(["ok", "fail", "flaky"], [12, 1, 1])[0]
    step = Step(
        stage=kind,
        needs=needs,
        after=tuple(other for other in earlier if other not in needs and chance.random() < 0.15),
        only_if=chance.choice(decisions) if decisions and chance.random() < 0.6 else None,
        length=chance.choice([0, 1, 2, 3, 5]) if kind == "spread" else 0,
        truth=chance.random() < 0.6,
        plan=plan,
        training=chance.random() < 0.3,
    )
    if kind != "each":
        return step
    if lists and chance.random() < 0.75:
        source = chance.choice(lists)
        rest = tuple(other for other in needs if other != source)
        step = replace(step, needs=(source, *rest))
    else:
        step = replace(step, items=chance.choice([0, 1, 2, 3]))
    failing = {"ok": "ok", "fail": f"fail {chance.randrange(3)}", "flaky": f"flaky {chance.randrange(3)}"}[
        plan
    ]
    return replace(step, plan=failing, tolerate=chance.choice([0.0, 0.0, 0.0, 0.5]))


@lru_cache(maxsize=4096)
def graph_of(shape: Shape) -> Graph:
    """The graph, written as its author would."""

    def simulated() -> None:
        made: list[Any] = []
        for step in shape.steps:
            if not step.scope:
                made.append(_use(step, made, shape))
            elif len(made) == min(at for at, each in enumerate(shape.steps) if each.scope == step.scope):
                _use_pipeline(step, made, shape)

    drawn = pipeline(on_failure=[stages.report] if shape.handler else [], fail_fast=shape.fail_fast)(
        simulated
    )
    pipelines.pop(f"{drawn.module}.{drawn.name}", None)
    return drawn.graph()


def _use_pipeline(first: Step, made: list[Any], shape: Shape) -> None:
    """Map a pipeline of some steps; for those behind it, its last step stands for the list of results."""

    def copies(item: int) -> Any:
        for step in shape.steps:
            if step.scope == first.scope:
                made.append(_use(step, made, shape, item))
        return made[-1]

    through = list(range(first.items or 0)) if first.through is None else made[first.through]
    mapped = pipeline(copies)
    pipelines.pop(f"{mapped.module}.{mapped.name}", None)
    made[-1] = mapped.map(item=through)


def _use(step: Step, made: list[Any], shape: Shape, item: object = None) -> Any:
    used: Any = getattr(stages, step.stage)
    if step.training:
        used = used.options(queue="training")
    if step.tolerate:
        used = used.options(tolerate=step.tolerate)
    if step.after:
        used = used.after(*(made[other] for other in step.after))
    if step.only_if is not None:
        used = used.only_if(made[step.only_if])
    is_through = step.stage == "each" and step.items is None and not step.scope
    through = step.needs[0] if is_through or step.inside == -1 else None
    rest = [other for other in step.needs if other != through]
    several = [other for other in rest if shape.gives_list(other, step)]
    fixed: dict[str, Any] = {
        "needs": [made[other] for other in rest if other not in several],
        "lists": [made[other] for other in several],
        "plan": step.plan,
    }
    if step.stage == "spread":
        fixed["length"] = step.length
    if step.stage == "decide":
        fixed["truth"] = step.truth
    if step.inside is not None:
        return used.partial(**fixed).map(
            item=made[through or 0] if step.inside == -1 else list(range(step.inside))
        )
    if step.scope and step.stage not in ("make", "spread"):
        return used(item=item, **fixed)
    if step.stage != "each":
        return used(**fixed)
    varying = list(range(step.items)) if step.items is not None else made[through or 0]
    return used.partial(**fixed).map(item=varying)
