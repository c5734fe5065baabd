"""Small pipelines for the tests of the command line."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

from orchestrator import Retry, context, pipeline, stage

log = logging.getLogger(__name__)


@stage
def prices(count: int) -> list[float]:
    """Say so, on every way there is."""
    print(f"looking up {count} prices")
    log.warning("prices may change")
    return [float(each) for each in range(count)]


@stage
def taxed(price: float) -> float:
    """With a fifth on top."""
    return price * 1.2


@stage
def total(each: list[float]) -> float:
    """The sum."""
    return sum(each)


@stage(retry=Retry(on=(OSError,), times=1, backoff=0.1))
def pay(amount: float) -> str:
    """Fails once for a reason that passes, then for one that does not."""
    if context.attempt == 1:
        raise OSError("the bank is busy")
    raise RuntimeError(f"no money for {amount:g}")


@stage
def ship(receipt: str) -> None:
    """Needs the payment."""


@stage(queue="training")
def train() -> int:
    """On a queue that the tests' worker does not serve."""
    return 1


@stage(queue="trainng")
def misspelt() -> int:
    """On a queue that does not exist."""
    return 1


@stage
def linger(gate: Path) -> str:
    """Print, then wait until the file is there."""
    print("lingering")
    while not gate.exists():
        time.sleep(0.02)
    print("leaving")
    return "done"


@pipeline
def order(count: Annotated[int, "how many prices"] = 3) -> None:
    """Add prices up."""
    total(taxed.map(price=prices(count)))


@pipeline
def unpaid(amount: float = 5) -> None:
    """Ends with an error."""
    ship(pay(amount))


@pipeline
def study() -> None:
    """Waits for a worker that nobody has started."""
    train()


@pipeline
def typo() -> None:
    """Asks for a queue that there is not."""
    misspelt()


@pipeline
def patient(gate: Path) -> None:
    """Waits for a file."""
    linger(gate)


@pipeline
def checked(gate: Path) -> None:
    """Adds prices up that were there long before."""
    each = prices(2)
    total.after(linger.after(each)(gate))(each)
