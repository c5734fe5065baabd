"""The names of the keys in Redis; only this package touches them."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.run_id import RunId

#: Sorted set: run id by the second it was submitted.
ALL_RUNS = "orc:runs"
#: Set: runs that have not ended, or are not yet written down.
UNFINISHED_RUNS = "orc:open"
#: Field of a run's memory: why its end is not written down yet.
CONCLUSION_ERROR = "hindrance"
#: String with a lifetime: the name of the coordinator that leads.
LEADER = "orc:leader"
#: String with a lifetime: what a worker says of itself, at each heartbeat.
WORKER = "orc:worker:{name}"


@dataclass(frozen=True)
class RunKeys:
    """The keys of one run. They share a hash tag, so that they live in one hash slot of a cluster."""

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
        """Sorted set: deliveries that are being worked on, by the millisecond their lease ends."""
        return self._key("leases")

    @property
    def events(self) -> str:
        """Stream: every transition."""
        return self._key("events")

    @property
    def missing(self) -> str:
        """Hash: how many needs a node still misses."""
        return self._key("missing")

    @property
    def due(self) -> str:
        """Sorted set: nodes that have all they need and are not claimed, by the millisecond since which."""
        return self._key("due")

    @property
    def alone(self) -> str:
        """Set: nodes that nothing in the canvas brings any more."""
        return self._key("alone")

    @property
    def revoked(self) -> str:
        """Set: deliveries that an attempt was taken from."""
        return self._key("revoked")

    @property
    def tracebacks(self) -> str:
        """Hash: an attempt's traceback, by `node#number`."""
        return self._key("tracebacks")

    @property
    def memory(self) -> str:
        """Hash: ids of things made outside (MLflow runs), by what they were made for."""
        return self._key("memory")

    @property
    def taken(self) -> str:
        """Hash: the items of a map that a delivery was given last, as JSON, by delivery."""
        return self._key("taken")

    def log(self, node: str) -> str:
        """Stream: what the running attempt of a node printed and logged."""
        return self._key(f"log:{node}")

    @property
    def base(self) -> str:
        """The beginning that all of them share: what every transition is given."""
        return self._key("")

    def all(self) -> list[str]:
        """The keys that live as long as the run is remembered, and those that live as long as it is open."""
        kept = [self.meta, self.nodes, self.events, self.tracebacks, self.memory, self.revoked]
        return [*kept, self.leases, self.taken, self.missing, self.due, self.alone]
