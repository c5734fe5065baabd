"""How long MLflow is left alone after it did not answer."""

from __future__ import annotations

from workers.tracking import TrackingUnavailable
from workers.tracking.circuit import FIRST, LONGEST, Circuit


def test_the_wait_doubles_while_mlflow_is_away_and_begins_anew_when_it_was_back() -> None:
    now = 0.0
    circuit = Circuit(clock=lambda: now)
    away = TrackingUnavailable("does not answer")
    waits = []
    for _ in range(6):
        assert circuit.error() is None
        circuit.open(away)
        circuit.open(away)  # another call of the same stage
        began = now
        while circuit.error() is not None:
            now += 1.0
        waits.append(now - began)
    assert waits == [FIRST, 10.0, 20.0, 40.0, LONGEST, LONGEST]
    circuit.close()
    assert circuit.error() is None
    circuit.open(away)
    now += FIRST
    assert circuit.error() is None
