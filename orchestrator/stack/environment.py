"""The environment variables that the parts of a stack share."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from orchestrator.stack.slots import usable_cores
from orchestrator.tracking_address import local_artifact_root, never_proxy_loopback

#: The folder of our packages, which the parts of a stack import.
PROJECT = Path(__file__).resolve().parents[2]

#: Each numeric library reads another of these when it is loaded.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def users_tracking_uri() -> str | None:
    """The MLflow that the user has set; there is no need for one of our own then."""
    from orchestrator.settings import settings  # late: it brings pydantic

    return settings().mlflow_tracking_uri


def stack_variables(*, home: Path, redis_url: str, tracking_uri: str) -> dict[str, str]:
    """What a process needs in its environment to take part in the stack."""
    from orchestrator.settings import settings  # late: it brings pydantic

    return {
        "REDIS_URL": redis_url,
        "MLFLOW_TRACKING_URI": tracking_uri,
        "ORCHESTRATOR_HOME": str(home),
        "ORCHESTRATOR_STORE": settings().store or (home / "artifacts").as_uri(),
    }


def child_environment(variables: Mapping[str, str], *, home: Path) -> dict[str, str]:
    """The whole environment of a part: ours, the stack's variables, and defaults for what nobody has set."""
    environment = {**os.environ, **variables}
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    if str(PROJECT) not in paths:
        environment["PYTHONPATH"] = os.pathsep.join([*filter(None, paths), str(PROJECT)])
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Where experiments that a stage makes by itself keep their files; MLflow's own default is ./mlruns
        "_MLFLOW_SERVER_ARTIFACT_ROOT": local_artifact_root(home),
    }.items():
        environment.setdefault(name, value)
    never_proxy_loopback(environment)
    if sys.platform == "darwin":
        environment.setdefault("OBJC_DISABLE_INITIALIZE_FORK_SAFETY", "YES")
    return environment


def thread_variables(slots: Mapping[str, int]) -> dict[str, str]:
    """Numeric libraries share the usable cores between a queue's slots, unless the user decided otherwise.

    With 8 cores and `training=4`, a stage computes with 2 threads. A single slot on a whole machine is left
    to the libraries; in a container they would count the cores of its host.
    """
    cores = usable_cores()
    most = max(slots.values(), default=1)
    if most == 1 and cores == os.cpu_count():
        return {}
    share = str(max(1, cores // most))
    return {name: share for name in _THREADS if name not in os.environ}
