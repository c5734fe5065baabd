"""The names of the keys in Redis; only this package uses them."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.run_id import RunId

#: Sorted set: run id by the second it was submitted.
ALL_RUNS = "orc:runs"
#: Set: runs that have not ended, or are not yet concluded.
UNFINISHED_RUNS = "orc:open"
#: Field of a run's `memory` hash: why the run is not concluded yet.
CONCLUSION_ERROR = "hindrance"
#: String with expiry: the name of the leading coordinator.
LEADER = "orc:leader"
#: String with expiry: a worker's presence, written at each heartbeat.
WORKER = "orc:worker:{name}"
#: List with expiry: as many elements as a queue could use slots beyond those at work.
BACKLOG = "orc:backlog:{queue}"


@dataclass(frozen=True)
class RunKeys:
    """The keys of one run. They share a hash tag, and so one hash slot of a cluster."""

    run: RunId

    def _key(self, part: str) -> str:
        return f"orc:{{{self.run}}}:{part}"

    @property
    def meta(self) -> str:
        """Hash: the run's own state, times, parameters and counters."""
        return self._key("meta")

    @property
    def nodes(self) -> str:
        """Hash: node name to its record, as JSON."""
        return self._key("nodes")

    @property
    def leases(self) -> str:
        """Sorted set: running deliveries, by the millisecond at which their lease expires."""
        return self._key("leases")

    @property
    def events(self) -> str:
        """Stream: every transition."""
        return self._key("events")

    @property
    def missing(self) -> str:
        """Hash: how many inputs a node still misses."""
        return self._key("missing")

    @property
    def due(self) -> str:
        """Sorted set: nodes that have all inputs and are unclaimed, by the millisecond since when."""
        return self._key("due")

    @property
    def alone(self) -> str:
        """Set: nodes that the canvas no longer sends."""
        return self._key("alone")

    @property
    def revoked(self) -> str:
        """Set: deliveries whose attempt was taken over or cancelled, and whose process must be killed."""
        return self._key("revoked")

    @property
    def tracebacks(self) -> str:
        """Hash: tracebacks of failed attempts, by `node#number`."""
        return self._key("tracebacks")

    @property
    def memory(self) -> str:
        """Hash: ids of external objects (MLflow runs), by the key they were created for."""
        return self._key("memory")

    @property
    def taken(self) -> str:
        """Hash: the items of a map that a delivery took last, as JSON, by delivery."""
        return self._key("taken")

    @property
    def progress(self) -> str:
        """Hash: how far a running attempt has come, as JSON, by node; only of those that tell it."""
        return self._key("progress")

    def log(self, node: str) -> str:
        """Stream: the log lines of a node's running attempt."""
        return self._key(f"log:{node}")

    @property
    def base(self) -> str:
        """The common prefix of all keys, passed to every transition."""
        return self._key("")

    def all(self) -> list[str]:
        """Return all keys: those kept until the run expires, then those kept while it is open."""
        kept = [self.meta, self.nodes, self.events, self.tracebacks, self.memory, self.revoked]
        return [*kept, self.leases, self.taken, self.missing, self.due, self.alone, self.progress]
