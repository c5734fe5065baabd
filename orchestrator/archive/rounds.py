"""The rounds of a resumed run: which nodes were done when each began, and which had to run again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.archive.integrity import ANEW, as_written
from orchestrator.authoring.graph import NodeName, group_and_index, with_groups
from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from orchestrator.artifacts import ArtifactStore


@dataclass(frozen=True)
class Round:
    """One round of a run; number 0 is its submission, before which nothing was done."""

    number: int = 0
    done: frozenset[NodeName] = frozenset()
    #: The round in which nodes and map items ran again, because they changed or their outputs were lost.
    redone: Mapping[NodeName, int] = field(default_factory=dict)

    def stored_as(self, name: NodeName) -> str:
        """Return the name under which a node's output is stored, or an item's with other items of its map.

        Outputs from before it had to run again have another name.
        """
        since = max(self.redone.get(each, 0) for each in with_groups(name)) if self.redone else 0
        folder, _ = group_and_index(name)
        return f"{folder}@{since}" if since else folder

    def handler_stored_as(self, node: NodeName) -> str:
        """Return the name under which a failure handler's output is stored: it runs once per failed round."""
        stored = self.stored_as(node)
        return f"{stored}@{self.number}" if self.number else stored

    def reads(self, folder: str) -> bool:
        """Whether items of a map stored under this name are read: they are not of a round before."""
        map, _, number = folder.partition("@")
        return int(number or 0) >= max(self.redone.get(each, 0) for each in with_groups(NodeName(map)))

    def redoing(self, names: Iterable[NodeName], number: int) -> Round:
        """Return this round with nodes and items added that round `number` runs again."""
        return replace(self, redone={**self.redone, **dict.fromkeys(names, number)})

    def write(self, store: ArtifactStore, run: RunId) -> bool:
        """Store it before its first message is sent; False if the number exists already."""
        text = {"done": sorted(self.done), "redone": dict(self.redone)}
        return store.create(_key(run, self.number), json.dumps(text).encode(), flush=True)

    def withdraw(self, store: ArtifactStore, run: RunId) -> None:
        """Remove it, since the resumption was not accepted."""
        store.remove(_key(run, self.number))

    @classmethod
    def read(cls, store: ArtifactStore, run: RunId, number: int) -> Round:
        """Read the round of that number."""
        if number == 0:
            return cls()
        key = _key(run, number)
        data = store.read(key)
        if data is None:
            return cls(number)
        with as_written(store, key, hint=ANEW):
            plain = json.loads(data)
            return cls(number, frozenset(plain["done"]), dict(plain["redone"]))

    @classmethod
    def latest(cls, store: ArtifactStore, run: RunId) -> Round:
        """Read the last stored round; if Redis knows the run, its round number takes precedence."""
        return cls.read(store, run, latest_number(store, run))


def latest_number(store: ArtifactStore, run: RunId) -> int:
    """Return the highest number of a stored round; 0 if there is none."""
    names = (key.rpartition("/")[2].removesuffix(".json") for key in store.keys(f"runs/{run}/rounds"))
    return max((int(name) for name in names if name.isdecimal()), default=0)


def round_of_file(name: str) -> int | None:
    """Return 2 for `rounds/2.json` in a run's folder; None for a file that is of no round."""
    folder, _, file = name.rpartition("/")
    number = file.removesuffix(".json")
    return int(number) if folder == "rounds" and number.isdecimal() else None


def _key(run: RunId, number: int) -> str:
    return f"runs/{run}/rounds/{number}.json"
