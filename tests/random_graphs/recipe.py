"""Random pipelines as plain data, from which a pipeline is made, and what it should do is worked out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from orchestrator import pipeline
from orchestrator.authoring.pipeline import Pipeline, pipelines
from orchestrator.authoring.stage import Stage

from . import stages

T = TypeVar("T")


@dataclass(frozen=True)
class Ref:
    """What another step gives, or a field of it."""

    step: int
    field: str = ""

    def __str__(self) -> str:
        return f"s{self.step}.{self.field}" if self.field else f"s{self.step}"


@dataclass(frozen=True)
class Element:
    """What a copy of a mapped pipeline is given."""

    scope: int

    def __str__(self) -> str:
        return f"element{self.scope}"


@dataclass(frozen=True)
class Condition:
    of: Ref
    negated: bool


#: A step's argument: numbers and what other steps give, one or a list.
Operand: TypeAlias = int | Ref | Element | tuple[int | Ref | Element, ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One use of a stage; `mapped` over its first argument."""

    stage: str
    value: Operand
    mapped: bool = False
    setting: int | str | None = None  #: the stage's second argument
    tolerate: float = 0.0
    after: tuple[int, ...] = ()
    conditions: tuple[Condition, ...] = ()
    scope: int | None = None  #: the mapped pipeline that it is a part of: a place in `Recipe.scopes`


@dataclass(frozen=True)
class Recipe:
    steps: tuple[Step, ...]
    handlers: bool
    fail_fast: bool
    scopes: tuple[
        Operand, ...
    ] = ()  #: what mapped pipelines go through; each returns what its last step gives
    parents: tuple[int | None, ...] = ()  #: for each mapped pipeline the one that it is mapped in

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each step's node: that of its stage, numbered from the second use on."""
        uses: Counter[str] = Counter()
        scopes: dict[int | None, str] = {None: ""}
        found = []
        for step in self.steps:
            for scope in self.around(step.scope):
                if scope not in scopes:
                    scopes[scope] = _numbered(f"{scopes[self.parents[scope]]}copies", uses) + "."
            found.append(_numbered(f"{scopes[step.scope]}{step.stage}", uses))
        return tuple(found)

    def around(self, scope: int | None) -> tuple[int, ...]:
        """A mapped pipeline and those that it is mapped in, the outermost first."""
        return () if scope is None else (*self.around(self.parents[scope]), scope)

    def shared(self, scope: int | None, other: int | None) -> int:
        """How many mapped pipelines are around both."""
        return len({*self.around(scope)} & {*self.around(other)})

    def body(self, scope: int) -> tuple[int, ...]:
        """The steps of a mapped pipeline, and of those that are mapped in it."""
        return tuple(number for number, step in enumerate(self.steps) if scope in self.around(step.scope))

    def __str__(self) -> str:
        lines = [f"on_failure={self.handlers}, fail_fast={self.fail_fast}"]
        for number, step in enumerate(self.steps):
            around = self.around(step.scope)
            for depth, scope in enumerate(around):
                if number == self.body(scope)[0]:
                    lines.append(f"{'  ' * depth}for each element{scope} of {_listed(self.scopes[scope])}:")
            lines.append(f"{'  ' * len(around)}s{number} = {_told(step)}")
        return "\n".join(lines)


def _numbered(name: str, uses: Counter[str]) -> str:
    uses[name] += 1
    return name if uses[name] == 1 else f"{name}-{uses[name]}"


#: Second arguments, by stage.
SETTINGS: Mapping[str, str] = {"picky": "bad", "flaky": "modulus", "cached": "key", "spread": "most"}
#: First arguments that are not called `value`.
FIRST: Mapping[str, str] = {"add": "values", "flatten": "lists"}


def pipeline_of(recipe: Recipe, salt: str) -> Pipeline[[], None]:
    """The pipeline, written as its author would; results are cached for the same `salt` only."""

    def random_graph() -> None:
        _Author(recipe, salt).write(range(len(recipe.steps)), None)

    handlers: list[Stage[..., Any]] = [stages.report, stages.report_in_vain] if recipe.handlers else []
    made = pipeline(on_failure=handlers, fail_fast=recipe.fail_fast)(random_graph)
    pipelines.pop(f"{made.module}.{made.name}", None)  # another recipe is another pipeline
    return made


@dataclass
class _Author:
    """Writes a recipe down as a pipeline."""

    recipe: Recipe
    salt: str
    made: list[Any] = field(default_factory=list)
    elements: dict[int, Any] = field(default_factory=dict)

    def write(self, numbers: Sequence[int], scope: int | None) -> None:
        """Use the steps, which are in a mapped pipeline, or in no one."""
        for number in numbers:
            around = self.recipe.around(self.recipe.steps[number].scope)
            within = around[len(self.recipe.around(scope)) :]
            if not within:
                self.made.append(self._use(self.recipe.steps[number]))
            elif number == self.recipe.body(within[0])[0]:
                self._map(within[0])

    def _map(self, scope: int) -> None:
        """Map a pipeline of some steps; for those behind it, its last step stands for the list of results."""

        def copies(element: int) -> Any:
            self.elements[scope] = element
            self.write(self.recipe.body(scope), scope)
            return self.made[-1]

        mapped = pipeline(copies)
        pipelines.pop(f"{mapped.module}.{mapped.name}", None)
        through = self._given(self.recipe.scopes[scope])
        result = mapped.map(element=through)
        self.made[-1] = result

    def _use(self, step: Step) -> Any:
        used: Stage[..., Any] = getattr(stages, step.stage)
        if step.tolerate:
            used = used.options(tolerate=step.tolerate)
        used = used.after(*(self.made[other] for other in step.after))
        for condition in step.conditions:
            truth = self._given(condition.of)
            used = used.only_if(~truth if condition.negated else truth)
        fixed: dict[str, object] = {}
        if step.setting is not None:
            own = f"{self.salt} {step.setting}" if step.stage == "cached" else step.setting
            fixed[SETTINGS[step.stage]] = own
        first = {FIRST.get(step.stage, "value"): self._given(step.value)}
        return used.partial(**fixed).map(**first) if step.mapped else used(**fixed, **first)

    def _given(self, operand: Operand) -> Any:
        match operand:
            case Ref(step, part):
                return getattr(self.made[step], part) if part else self.made[step]
            case Element(scope):
                return self.elements[scope]
            case tuple():
                return [self._given(each) for each in operand]
        return operand


def recipe(seed: int) -> Recipe:
    """The same for the same seed."""
    chance = random.Random(seed)
    draft = _Draft(chance)
    for _ in range(chance.randint(3, 14)):
        if chance.random() < 0.1:
            draft.add_pipeline()
        else:
            draft.add()
    return Recipe(
        tuple(draft.steps),
        handlers=chance.random() < 0.6,
        fail_fast=chance.random() < 0.08,
        scopes=tuple(draft.scopes),
        parents=tuple(draft.parents),
    )


class _Draft:
    """The steps so far, by what they give."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.steps: list[Step] = []
        self.scopes: list[Operand] = []
        self.parents: list[int | None] = []
        self.scope: int | None = None  #: the mapped pipeline that steps are added to
        self.numbers: list[Ref | Element] = []
        self.lists: list[Ref] = []
        self.truths: list[Ref] = []

    def add(self) -> None:
        """Add a step of a random kind."""
        chance = self.chance
        kinds = ["double", "picky", "flaky", "cached", "add", "flatten", "spread", "take_apart", "is_even"]
        kind = chance.choices(kinds, [4, 4, 3, 2, 4, 1 if self.lists else 0, 3, 2, 2])[0]
        mapped = kind in ("double", "picky", "flaky", "cached") and chance.random() < 0.6
        self._add(kind, mapped=mapped)

    def add_pipeline(self) -> None:
        """Add the steps of a mapped pipeline; those behind it see only what the last one gives."""
        chance, outer_scope = self.chance, self.scope
        self.scopes.append(self._operand("double", mapped=True))
        self.parents.append(outer_scope)
        outer = self.numbers, self.lists, self.truths
        self.scope = len(self.scopes) - 1
        self.numbers = [*self._few(self.numbers), Element(self.scope), Element(self.scope)]
        self.lists, self.truths = self._few(self.lists), self._few(self.truths)
        for _ in range(chance.randint(1, 4)):
            if outer_scope is None and chance.random() < 0.15:
                self.add_pipeline()
                continue
            kinds = ["double", "picky", "flaky", "add", "spread", "take_apart", "is_even"]
            kind = chance.choices(kinds, [4, 3, 2, 3, 2, 2, 4])[0]
            self._add(kind, mapped=kind in ("double", "picky", "flaky") and chance.random() < 0.4)
        self._add(chance.choice(["double", "picky", "flaky", "add"]), mapped=False)
        self.scope = outer_scope
        self.numbers, self.lists, self.truths = outer
        self.lists.append(Ref(len(self.steps) - 1))

    def _few(self, given: list[T]) -> list[T]:
        return self.chance.sample(given, min(len(given), self.chance.choice([0, 0, 1])))

    def _add(self, kind: str, *, mapped: bool) -> None:
        chance = self.chance
        several = mapped or self.scope is not None
        setting: int | str | None = None
        match kind:
            case "picky":
                setting = chance.choice([0, 1, 1, 2]) if several else chance.choice([0, 0, 1])
            case "flaky":
                setting = chance.choice([2, 3, 4]) if several else chance.choice([2, 3, 3, 4])
            case "spread":
                setting = chance.choice([2, 5])
            case "cached":
                setting = f"s{len(self.steps)}"
        self._put(
            Step(
                stage=kind,
                value=self._operand(kind, mapped),
                mapped=mapped,
                setting=setting,
                tolerate=chance.choice([0.0, 0.3, 0.5, 0.5, 1.0]) if several else 0.0,
                after=tuple(self._some(self._before(), 0.2)),
                conditions=tuple(
                    Condition(each, chance.random() < 0.5) for each in self._some(self.truths, 0.3)
                ),
                scope=self.scope,
            )
        )

    def _before(self) -> list[int]:
        """The steps that the next one can come after: of another mapped pipeline only the last."""
        last = {step.scope: number for number, step in enumerate(self.steps)}
        around = self._around(self.scope)
        return [
            number
            for number, step in enumerate(self.steps)
            if step.scope in around
            or (number == last[step.scope] and self.parents[step.scope or 0] in around)
        ]

    def _around(self, scope: int | None) -> tuple[int | None, ...]:
        return (None,) if scope is None else (*self._around(self.parents[scope]), scope)

    def _put(self, step: Step) -> None:
        own = Ref(len(self.steps))
        self.steps.append(step)
        if step.stage == "take_apart":
            self.numbers += [Ref(own.step, "low"), Ref(own.step, "high")]
            self.lists.append(Ref(own.step, "several"))
            self.truths.append(Ref(own.step, "even"))
        elif step.stage == "is_even":
            self.truths.append(own)
        elif step.mapped or step.stage in ("spread", "flatten"):
            self.lists.append(own)
        else:
            self.numbers.append(own)
        if step.stage == "cached" and self.chance.random() < 0.6:  # its twin finds the result
            self._put_twin(step, own.step)

    def _put_twin(self, step: Step, first: int) -> None:
        self.steps.append(
            Step(stage="cached", value=step.value, mapped=step.mapped, setting=step.setting, after=(first,))
        )

    def _operand(self, kind: str, mapped: bool) -> Operand:
        chance = self.chance
        if kind == "flatten":
            return tuple(chance.choices(self.lists, k=chance.randint(1, 3)))
        if not mapped and kind != "add":
            return self._number()
        if self.lists and chance.random() < 0.6 and kind != "cached":  # which takes each number once
            return chance.choice(self.lists)
        if kind == "cached" or chance.random() < 0.5:
            length = chance.choices([0, 1, 3, 5, 70], [3, 4, 6, 6, 1])[0] if mapped else 3
            return tuple(chance.sample(range(99), length))
        return tuple(self._number() for _ in range(chance.randint(1, 4)))

    def _number(self) -> int | Ref | Element:
        known = self.numbers and self.chance.random() < 0.75
        return self.chance.choice(self.numbers) if known else self.chance.randrange(20)

    def _some(self, given: Any, probability: float) -> Iterator[Any]:
        left = list(given)
        while left and self.chance.random() < probability:
            yield left.pop(self.chance.randrange(len(left)))


def _listed(operand: Operand) -> str:
    return f"[{', '.join(map(str, operand))}]" if isinstance(operand, tuple) else str(operand)


def _told(step: Step) -> str:
    """A step as its author would write it."""
    parts = [step.stage]
    if step.tolerate:
        parts.append(f"options(tolerate={step.tolerate})")
    if step.after:
        parts.append(f"after({', '.join(f's{other}' for other in step.after)})")
    parts += [f"only_if({'~' * condition.negated}{condition.of})" for condition in step.conditions]
    fixed = f"{SETTINGS[step.stage]}={step.setting!r}" if step.setting is not None else ""
    first = f"{FIRST.get(step.stage, 'value')}={_listed(step.value)}"
    if step.mapped:
        parts += [f"partial({fixed})"] * bool(fixed) + [f"map({first})"]
        return ".".join(parts)
    return f"{'.'.join(parts)}({', '.join(filter(None, [first, fixed]))})"
