"""Kills a process of a worker, or a whole worker, before each step: `python -m tests.simulation.each_step`.

Each step in a simulation of its own. A turn, which runs node after node in one process, costs the node that
it was in and no other; a batch costs what it had taken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from .faults import Fault
from .graphs import Shape, Step
from .laboratory import Laboratory, laboratory
from .simulation import Case, Simulation, warm_up

#: Nodes that are run in one turn, and how often they may be called in all beyond once each.
LINE = Shape(tuple(Step(needs=(at - 1,) if at else ()) for at in range(6)))
#: Branches that meet, of which one is taken in place and the others are sent.
BRANCHES = Shape((Step(), *(Step(needs=(0,)) for _ in range(3)), Step(needs=(1, 2, 3)), Step(needs=(4,))))
#: A map, one that follows it item by item, and a turn behind them.
MAPS = Shape(
    (
        Step("spread", length=4),
        Step("each", needs=(0,)),
        Step("each", needs=(1,)),
        Step(needs=(2,)),
        Step(needs=(3,)),
    )
)
#: Of each shape: the most calls that one kill may cost.
COSTS: Mapping[str, tuple[Shape, int]] = {"line": (LINE, 1), "branches": (BRANCHES, 2), "maps": (MAPS, 4)}
KINDS = ("kill child", "kill worker")
SEED = 1


def breaches(name: str, lab: Laboratory) -> Iterator[str]:
    """What is not as it has to be, by where the kill was."""
    shape, cost = COSTS[name]
    calm = Simulation(Case(SEED, shape, ()), lab)
    steps = calm.run().steps
    nodes = set(calm.called)
    for kind in KINDS:
        for step in range(1, steps):
            hit = Simulation(Case(SEED, shape, (Fault(step, kind, 0.0),)), lab)
            outcome = hit.run()
            extra = {node: hit.called[node] - 1 for node in nodes if hit.called[node] != 1}
            where = f"{name}, {kind} at step {step}"
            if outcome.breach is not None:
                yield f"{where}: {outcome.breach}"
            elif not nodes <= hit.invariants.succeeded:
                yield f"{where}: {sorted(nodes - hit.invariants.succeeded)} did not succeed"
            elif min(extra.values(), default=1) < 1 or sum(extra.values()) > cost:
                yield f"{where}: calls beyond one each, or missing: {extra}"
    print(f"{name}: {len(KINDS)} kills at each of {steps - 1} steps", flush=True)


def main() -> int:
    with laboratory() as lab:
        warm_up(lab)
        found = [breach for name in COSTS for breach in breaches(name, lab)]
    print(*found, sep="\n")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main())
