"""Tell the worker's parent process what a turn runs, so that each node is a task of its own for Celery.

The parent knows the message only, that is the first node of a turn. Each process of the pool writes what
follows into memory that it shares with the parent, which sends the events for Flower from it, and finds there
the node that `celery inspect` and `celery control revoke` mean. Writing costs microseconds; what does not fit
is not told.
"""

from __future__ import annotations

import json
import mmap
import struct
from typing import Literal, NamedTuple, TypeAlias, cast

from billiard.process import current_process
from celery.worker import WorkController, state

from workers.runtime.periodic import PeriodicCheck

#: Processes of a pool whose turns are told, and bytes for each turn: 64 nodes with names of 90 characters.
PROCESSES, SIZE = 256, 32_768

#: At the start of a process's part: its id, and how many bytes of its turn are written.
_HEADER = struct.Struct("<QQ")

Kind: TypeAlias = Literal["started", "succeeded", "failed", "retried"]


class TurnEvent(NamedTuple):
    """A node of a turn has started or ended."""

    kind: Kind
    task: str  #: id that the node's own message has, or would have
    name: str  #: name of the Celery task: its stage
    node: str
    time: float  #: seconds since 1970
    told: str = ""  #: a word for its end, or its error


class _Memory:
    """The part of each process, in memory that is mapped before the pool forks."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, PROCESSES * SIZE)
        self._parts: dict[int, int] = {}  #: where each process's part begins

    def begin(self, index: int, process: int) -> None:
        _HEADER.pack_into(self._map, index * SIZE, process, 0)

    def append(self, index: int, process: int, line: bytes) -> None:
        begin = index * SIZE
        _, length = _HEADER.unpack_from(self._map, begin)
        if _HEADER.size + length + len(line) <= SIZE:
            at = begin + _HEADER.size + length
            self._map[at : at + len(line)] = line
            _HEADER.pack_into(self._map, begin, process, length + len(line))  # last: the parent may read now

    def read(self, process: int, start: int) -> bytes:
        """What a process has written since `start`."""
        begin = self._part_of(process)
        if begin is None:
            return b""
        _, length = _HEADER.unpack_from(self._map, begin)
        return bytes(self._map[begin + _HEADER.size + start : begin + _HEADER.size + length])

    def _part_of(self, process: int) -> int | None:
        begin = self._parts.get(process)
        if begin is None or _HEADER.unpack_from(self._map, begin)[0] != process:
            parts = range(0, PROCESSES * SIZE, SIZE)
            found = {_HEADER.unpack_from(self._map, part)[0]: part for part in parts}
            self._parts = {pid: part for pid, part in found.items() if pid}
            begin = self._parts.get(process)
        return begin


_memory: _Memory | None = None


#: The index of this process in its pool, and its id, once it has a part of the memory.
_own: tuple[int, int] | None = None


def take_part() -> None:
    """Give this process of a pool its part of the memory, so that the parent finds it without a search."""
    global _own
    index = cast("int", current_process().index)
    if _memory is not None and index < PROCESSES:
        _own = index, current_process().pid
        _memory.begin(*_own)


class TurnWriter:
    """Writes the turn of one delivery, from the moment at which it continues beyond its first node."""

    def __init__(self, delivery: str) -> None:
        self._delivery = delivery
        self._begun = False

    def tell(self, event: TurnEvent) -> None:
        """Append an event; does nothing outside a worker's pool."""
        if _memory is None or _own is None:
            return
        if not self._begun:
            _memory.begin(*_own)
        for value in (event,) if self._begun else (self._delivery, event):
            _memory.append(*_own, json.dumps(value).encode() + b"\n")
        self._begun = True


class TurnReader:
    """Reads the turn of one delivery, in the worker's parent process."""

    def __init__(self, delivery: str, process: int) -> None:
        self._delivery = delivery
        self._process = process
        self._read = 0

    def news(self) -> list[TurnEvent]:
        """Return what has happened since the last call."""
        fresh = b"" if _memory is None else _memory.read(self._process, self._read)
        try:
            told = [json.loads(line) for line in fresh.splitlines()]
        except ValueError:  # another process of the same id has written meanwhile
            return []
        if not self._read and told and told.pop(0) != self._delivery:  # that of an earlier delivery
            return []
        self._read += len(fresh)
        return [TurnEvent(*fields) for fields in told]


class TurnWatch(PeriodicCheck):
    """Maps the memory before the pool forks, and has each request look at its turn regularly."""

    def __init__(self, worker: WorkController, **options: object) -> None:
        global _memory
        super().__init__(worker, **options)
        _memory = _Memory()

    def look(self) -> None:
        """Have each active request tell Celery what has happened in its turn."""
        for request in list(state.active_requests):
            follow = getattr(request, "follow_turn", None)
            if follow is not None:
                follow()
