"""Import redis-py without OpenTelemetry, whose sixty modules no command uses.

It imports them by itself wherever they are installed, as MLflow has them installed.
"""

from __future__ import annotations

import sys

_UNUSED = "opentelemetry"


def import_redis() -> None:
    """Import redis-py as if OpenTelemetry were not installed, unless one of them is imported already."""
    if "redis" in sys.modules or _UNUSED in sys.modules:
        return
    sys.modules[_UNUSED] = None  # type: ignore[assignment] # what Python takes for "cannot be imported"
    try:
        import redis  # noqa: F401
    finally:
        del sys.modules[_UNUSED]
